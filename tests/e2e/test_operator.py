# SPDX-License-Identifier: Apache-2.0
"""The life of diagnoses: schedules, requests, deadlines, two controllers of which one leads, events, pruning.

Two controllers and two agents with the rights of manifests/base. A third node has no agent: what waits for it stays
Running until its deadline. Every version that etcd holds is recorded (tests/chaos/history.py); the tests look at that, so
that what was true for a moment only is seen, too.
"""

import contextlib
import json
import os
import pathlib
import signal
import statistics
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))

from containerd_harness import Containerd
from history import History, last_of, states_of
from kube_harness import HarnessError, eventually

from test_diagnosis import alive, apply, condition_of, wait_for

NEEDS_BINARY = True
NAMESPACE = "memdiag-system"
LEASE = "memdiag-controller"
QUICK = {"checks": [{"type": "MemoryBreakdown"}], "cpuBudget": "1m"}
WITH_AGENTS = {"target": {"nodeSelector": {"memdiag-op": "yes"}}, **QUICK}
ALONE = {"target": {"nodeName": "op-none"}, **QUICK}  # no agent there: Running until the deadline


def versions_of(bench, name):
    """All that etcd has held of the last diagnosis of that name, and of its reports."""
    def probe():
        now = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"])
               for item in bench.get("memorydiagnoses")["items"]}
        if name in now:
            return bench.history.revision >= now[name]
        told = [version for version in list(bench.history.versions) if version.name == name]
        return told and not told[-1].object

    eventually("etcd tells all", 10, probe)
    return last_of(list(bench.history.versions), name)


def diagnoses_of(bench, name):
    """The same without the reports, as objects."""
    return [version.object for version in versions_of(bench, name) if version.kind == "memorydiagnoses"]


def runs(bench, name):
    """[(run id, [its states in order, without repetitions])]"""
    return states_of(diagnoses_of(bench, name))


def status_of(bench, name):
    return bench.get("memorydiagnosis", name).get("status", {})


def request(bench, name, value):
    bench.kubectl(["annotate", "memorydiagnosis", name, "--overwrite", f"memdiag.io/run-requested-at={value}"], check=True)


def run_reaches(bench, name, state, seconds=30, but=()):
    """Waits for a run in this state whose id is none of `but`; its status."""
    def probe():
        status = status_of(bench, name)
        run = status.get("run", {})
        return status if run.get("state") == state and run["id"] not in but else None

    return eventually(f"a run of {name} is {state}", seconds, probe)


def holder(bench):
    return bench.get("lease", LEASE, "-n", NAMESPACE)["spec"].get("holderIdentity", "")


def events_of(bench, name):
    """[(reason, note, type)] of the diagnosis that has this name now, oldest first."""
    return told_of(bench, "default", bench.get("memorydiagnosis", name)["metadata"]["uid"])


def told_of(bench, namespace, uid):
    """The same of whatever has that uid."""
    items = bench.get("events.events.k8s.io", "-n", namespace)["items"]
    items = [item for item in items if item["regarding"].get("uid") == uid]
    return [(item["reason"], item["note"], item["type"]) for item in sorted(items, key=lambda item: item["eventTime"])]


def leader(bench):
    """The controller that leads, and the other one."""
    first, second = bench.daemons["controller-a"], bench.daemons["controller-b"]
    name = eventually("one of the controllers leads", 30, lambda: holder(bench))
    assert name in ("a", "b"), name
    return (first, second) if name == "a" else (second, first)


def controller(bench, which):
    kubeconfig = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-controller")
    return bench.start(f"controller-{which}", ["controller", "--kubeconfig", kubeconfig, "--leader-elect",
                                               f"--identity={which}"])


def setup(bench):
    bench.install()
    bench.kubectl(["delete", "memdiag,memreport", "--all", "--wait=false"], check=True)
    bench.history = History(bench.cluster.etcd_port)
    for node in ("op-a", "op-b"):
        bench.cluster.create_node(node, {"memdiag-op": "yes"})
    bench.cluster.create_node("op-none", {})
    controller(bench, "a")
    controller(bench, "b")
    for node in ("op-a", "op-b"):
        kubeconfig = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node=node)
        bench.start(f"agent-{node}", ["agent", "--metrics-address", "", "--node-name", node,
                                         "--kubeconfig", kubeconfig])
    leader(bench)
    alive(bench)


def teardown(bench):
    if hasattr(bench, "history"):
        bench.history.ending = True
    bench.kubectl(["delete", "memdiag,memreport", "--all", "--wait=false"])
    bench.kubectl(["delete", "node", "op-a", "op-b", "op-none", "op-pod", "--wait=false"])


def test_schedule_is_accepted(bench):
    """It goes on while the other tests run; test_schedule_has_run looks at what came of it."""
    apply(bench, "every-minute", {"schedule": "* * * * *", "timeZone": "Asia/Kathmandu", **WITH_AGENTS})
    wait_for(bench, "every-minute", "Ready", 20)
    status = status_of(bench, "every-minute")
    assert "run" not in status and status["nextScheduleTime"].endswith(":00Z"), status
    assert condition_of(status, "Complete")["reason"] == "NotRunYet", status


def test_bad_schedules(bench):
    """What the CRD cannot refuse."""
    for name, spec, reason, word in [
            ("never", {"schedule": "0 0 30 2 *"}, "InvalidSchedule", "never fires"),
            ("reversed", {"schedule": "30-10 * * * *"}, "InvalidSchedule", "30-10"),
            ("no-zone", {"schedule": "0 2 * * *", "timeZone": "Mars/Base"}, "InvalidTimeZone", "Mars/Base")]:
        apply(bench, name, {**spec, **WITH_AGENTS})
        wait_for(bench, name, "Stalled", 20)
        status = status_of(bench, name)
        stalled = condition_of(status, "Stalled")
        assert stalled["reason"] == reason and word in stalled["message"], stalled
        assert condition_of(status, "Ready")["status"] == "False" and "run" not in status, status
        events = eventually("an event tells", 10, lambda: events_of(bench, name))
        assert len(events) == 1 and events[0][0] == reason and events[0][2] == "Warning", events
        apply(bench, name, {"schedule": "0 2 1 1 *", **WITH_AGENTS})
        wait_for(bench, name, "Ready", 20)


def test_run_now(bench):
    apply(bench, "now", WITH_AGENTS)
    wait_for(bench, "now", "Complete", 60)
    request(bench, "now", "2026-01-01T00:00:00Z")
    run_reaches(bench, "now", "Complete", but=["g-1"])
    wait_for(bench, "now", "Complete", 60)
    # The write that takes the request is the one that makes Complete false: no wait sees the old one in between.
    taken = next(v for v in diagnoses_of(bench, "now") if v.get("status", {}).get("lastHandledRunRequest"))
    assert condition_of(taken["status"], "Complete")["status"] == "False", taken["status"]
    assert taken["status"]["run"]["trigger"] == "Request", taken["status"]["run"]
    request(bench, "now", "2026-01-01T00:00:00Z")  # the same again is nothing new
    time.sleep(1)
    ids = [run_id for run_id, _states in runs(bench, "now")]
    assert len(ids) == 2 and ids[0] == "g-1" and ids[1].startswith("r-"), ids


def test_suspend(bench):
    apply(bench, "paused", {"suspend": True, **WITH_AGENTS})
    wait_for(bench, "paused", "Ready", 20)
    request(bench, "paused", "x")
    time.sleep(1)
    status = status_of(bench, "paused")
    assert "run" not in status and condition_of(status, "Ready")["reason"] == "Suspended", status
    apply(bench, "paused", WITH_AGENTS)
    wait_for(bench, "paused", "Complete", 60)
    # It was asked for and its spec was changed: one run does for both.
    assert [states for _id, states in runs(bench, "paused")] == [["Running", "Complete"]]


def test_ttl(bench):
    apply(bench, "short-lived", {"ttlSecondsAfterFinished": 1, **WITH_AGENTS})
    eventually("it is deleted", 60, lambda: bench.kubectl(["get", "memorydiagnosis", "short-lived"]).returncode != 0)
    assert runs(bench, "short-lived") == [("g-1", ["Running", "Complete"])]
    apply(bench, "short-lived", {"ttlSecondsAfterFinished": 3600, **WITH_AGENTS})  # another one of that name
    wait_for(bench, "short-lived", "Complete", 60)


def test_forbid_and_replace(bench):
    """Runs of a node without an agent last until their deadline of 10 s."""
    forbid = {**ALONE, "window": "1s", "activeDeadlineSeconds": 10}
    apply(bench, "forbid", forbid)
    apply(bench, "replace", {**forbid, "concurrencyPolicy": "Replace"})
    run_reaches(bench, "forbid", "Running")
    run_reaches(bench, "replace", "Running")
    request(bench, "forbid", "x")
    request(bench, "replace", "x")
    run_reaches(bench, "replace", "Running", 5, but=["g-1"])
    assert status_of(bench, "forbid")["run"]["id"] == "g-1"
    run_reaches(bench, "forbid", "Running", 20, but=["g-1"])
    status = run_reaches(bench, "forbid", "Failed", 30, but=["g-1"])
    assert condition_of(status, "Complete")["reason"] == "DeadlineExceeded", status["conditions"]
    assert status["missingNodes"] == ["op-none"] and status["summary"]["missing"] == 1, status
    (first, states), (second, later) = runs(bench, "forbid")
    assert first == "g-1" and states == ["Running", "Failed"] and second.startswith("r-"), (states, later)
    assert runs(bench, "replace")[0] == ("g-1", ["Running"]), runs(bench, "replace")
    assert ("RunReplaced" in [event[0] for event in events_of(bench, "replace")]), events_of(bench, "replace")


def test_events(bench):
    """Transitions only, each once, whoever tells."""
    apply(bench, "told", WITH_AGENTS)
    wait_for(bench, "told", "Complete", 60)
    events = eventually("both events are there", 10, lambda: (e := events_of(bench, "told")) and len(e) == 2 and e)
    assert [event[0] for event in events] == ["RunStarted", "RunCompleted"], events
    assert "on 2 nodes" in events[0][1] and "2 of 2 nodes reported" in events[1][1], events
    shown = bench.kubectl(["describe", "memorydiagnosis", "told"], check=True).stdout
    assert "RunCompleted" in shown and "memdiag.io/controller" in shown, shown[-600:]


def forged_report(diagnosis, uid, node, run, numbers, **more):
    summary = json.dumps({"verdict": "OK", **numbers})
    return json.dumps({
        "apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosisReport",
        "metadata": {"name": f"{diagnosis}.{node}", "annotations": {"memdiag.io/summary": summary},
                     "labels": {"memdiag.io/diagnosis": diagnosis, "memdiag.io/run": run},
                     "ownerReferences": [{"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis",
                                          "name": diagnosis, "uid": uid}]},
        "diagnosis": diagnosis, "nodeName": node, "verdict": "OK", "summary": {}, "run": {"id": run}, "checks": [], **more})


def test_report_of_a_megabyte(bench):
    """Nothing an agent writes; its findings are not read, the run ends all the same, and says so."""
    apply(bench, "huge", ALONE)
    run_reaches(bench, "huge", "Running")
    hint = {"id": "h", "summary": "s" * 256, "command": "c" * 1024, "manifest": "m" * 2048, "tradeOff": "t" * 512}
    finding = {"check": "PageCache", "severity": "Critical", "reason": "PageCacheHigh", "message": "m" * 512,
               "hints": [hint] * 4}
    bench.apply(forged_report("huge", bench.get("memorydiagnosis", "huge")["metadata"]["uid"], "op-none", "g-1",
                              {"critical": 50}, findings=[{"id": f"f{n}", **finding} for n in range(50)]))
    wait_for(bench, "huge", "Complete", 20)
    status = status_of(bench, "huge")
    assert status["summary"]["critical"] == 50 and not status.get("topFindings"), status
    assert "findings of 1 reports could not be read" in condition_of(status, "Complete")["message"], status["conditions"]


def test_reports_that_count_for_nothing(bench):
    """Of a node that is not targeted, of another run; a summary that says what cannot be."""
    apply(bench, "strict", {**ALONE, "window": "1s", "activeDeadlineSeconds": 10})
    uid = bench.get("memorydiagnosis", "strict")["metadata"]["uid"]
    for node, run, numbers in [("op-a", "g-1", {"critical": 7}), ("op-none", "g-0", {"critical": 7}),
                               ("op-b", "g-1", {"critical": -1, "warning": 10 ** 15, "nodeName": "op-none"})]:
        bench.apply(forged_report("strict", uid, node, run, numbers))
    status = run_reaches(bench, "strict", "Failed", 30)
    assert status["summary"]["reported"] == 0 and status["summary"]["critical"] == 0, status["summary"]
    assert status["summary"]["ignored"] == 2, status["summary"]


def test_leader_ends(bench):
    """SIGTERM: the lease is given up, the other leads at once."""
    first, second = leader(bench)
    before = holder(bench)
    assert first.terminate(5) == 0, "exit status of the leader"
    eventually("the other leads", 6, lambda: holder(bench) not in ("", before))
    assert second.running()
    first.start()


def test_leader_killed_in_the_midst_of_a_run(bench):
    first, _second = leader(bench)
    before = holder(bench)
    apply(bench, "orphaned", WITH_AGENTS)
    run_reaches(bench, "orphaned", "Running", 10) if not runs(bench, "orphaned") else None
    first.kill()
    started = time.monotonic()
    wait_for(bench, "orphaned", "Complete", 60)
    eventually("the other leads", 30, lambda: holder(bench) not in ("", before))
    print(f"   the other led {time.monotonic() - started:.1f} s after the kill", flush=True)
    assert runs(bench, "orphaned") == [("g-1", ["Running", "Complete"])], runs(bench, "orphaned")
    reasons = [event[0] for event in events_of(bench, "orphaned")]
    assert reasons.count("RunStarted") <= 1 and reasons.count("RunCompleted") <= 1, reasons
    # A run that waits for a node is closed by the one that leads now.
    first.start()


def test_leader_that_slept(bench):
    """Stopped for longer than its lease: when it wakes it must not write, not even what it was about to."""
    first, second = leader(bench)
    before = holder(bench)
    apply(bench, "slept", {**ALONE, "window": "1s", "activeDeadlineSeconds": 10})
    run_reaches(bench, "slept", "Running", 10)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        eventually("the other leads", 30, lambda: holder(bench) not in ("", before))
        status = run_reaches(bench, "slept", "Failed", 30)
    finally:
        said = len(first.log.read_text())
        os.kill(first.pid, signal.SIGCONT)
    time.sleep(3)
    woken = first.log.read_text()[said:]
    assert "no longer leading" in woken, woken
    assert "RunFailed" not in woken and "RunStarted" not in woken, woken
    assert status_of(bench, "slept") == status
    assert runs(bench, "slept") == [("g-1", ["Running", "Failed"])], runs(bench, "slept")
    assert second.running() and first.running()


def test_reports_of_vanished_nodes(bench):
    apply(bench, "vanishing", WITH_AGENTS)
    wait_for(bench, "vanishing", "Complete", 60)
    bench.daemons.pop("agent-op-b").stop()
    bench.kubectl(["delete", "node", "op-b"], check=True)
    eventually("its report is deleted", 60,
               lambda: bench.kubectl(["get", "memreport", "vanishing.op-b"]).returncode != 0, interval=1)
    assert bench.get("memreport", "vanishing.op-a")["nodeName"] == "op-a"


def test_event_on_the_pod(bench):
    """A finding about a pod that becomes Critical is told on that pod, once: real container, real identity."""
    script = ("dd if=/dev/zero of=/big bs=1M count=40 && echo written;"
              "while true; do cat /big > /dev/null; sleep 0.2; done")
    with Containerd() as runtime:
        pod = runtime.run_pod("greedy", "shop")
        pod.run_container("app", command=["sh", "-c", script])
        eventually("the container has written", 30, lambda: "written" in pod.log("app"))
        bench.kubectl(["create", "namespace", "shop"], check=True)
        bench.cluster.create_node("op-pod", {})
        kubeconfig = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node="op-pod")
        agent = bench.start("agent-op-pod", ["agent", "--metrics-address", "", "--node-name", "op-pod", "--cri-socket",
                                             runtime.socket, "--kubeconfig", kubeconfig])
        apply(bench, "greedy", {"target": {"nodeName": "op-pod", "namespaces": ["shop"]}, "cpuBudget": "1m",
                                "checks": [{"type": "PageCache"}],
                                "thresholds": [{"reason": "PageCacheHigh", "warning": "1Mi", "critical": "1Mi"}]})
        wait_for(bench, "greedy", "Complete", 60)
        events = eventually("the pod's event", 10, lambda: told_of(bench, "shop", pod.uid))
        assert len(events) == 1 and events[0][0] == "PageCacheHigh" and events[0][2] == "Warning", events
        assert "kubectl get memreport greedy.op-pod" in events[0][1], events
        request(bench, "greedy", "again")
        run_reaches(bench, "greedy", "Complete", but=["g-1"])
        time.sleep(1)
        assert len(told_of(bench, "shop", pod.uid)) == 1, told_of(bench, "shop", pod.uid)
        agent.stop()
        del bench.daemons["agent-op-pod"]


def quick_run(bench, name):
    """Seconds from before `kubectl apply` until a watch has brought Complete."""
    body = {"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "metadata": {"name": name},
            "spec": {"target": {"nodeName": "op-a"}, **QUICK}}
    started = time.monotonic()
    bench.apply(body)
    while True:
        for version in last_of(list(bench.history.versions), name):
            if condition_of(version.object.get("status", {}), "Complete").get("status") == "True":
                return time.monotonic() - started
        if time.monotonic() - started > 30:
            raise HarnessError(f"{name} is not complete after 30 s")
        time.sleep(0.01)


def test_quick_runs(bench):
    """`kubectl apply` to Complete of a quick check on one node; kubectl's own start included."""
    seconds = [quick_run(bench, f"quick-{n}") for n in range(10)]
    print(f"   apply to Complete: median {statistics.median(seconds):.2f} s, most {max(seconds):.2f} s", flush=True)


def test_schedule_has_run(bench):
    """What came of test_schedule_is_accepted: every minute one run, none twice, and never anything but Ready."""
    eventually("three runs", 200, lambda: len(runs(bench, "every-minute")) >= 3, interval=1)
    found = runs(bench, "every-minute")
    assert all(run_id.startswith("s-") for run_id, _states in found), found
    minutes = [int(run_id[2:]) for run_id, _states in found]
    assert minutes == sorted(set(minutes)), minutes
    for run_id, states in found[:-1]:
        assert states == ["Running", "Complete"], (run_id, states)
    for version in diagnoses_of(bench, "every-minute")[2:]:
        status = version["status"]
        for type_, value in (("Ready", "True"), ("Reconciling", "False"), ("Stalled", "False")):
            assert condition_of(status, type_).get("status") == value, status["conditions"]
        assert status["nextScheduleTime"] > status.get("lastScheduleTime", ""), status
    last = status_of(bench, "every-minute")
    assert last["lastSuccessfulTime"] and last["run"]["trigger"] == "Schedule", last
    print(f"   {len(found)} runs in {minutes[-1] - minutes[0] + 1} minutes", flush=True)
    alive(bench)


TESTS = [
    test_schedule_is_accepted,
    test_bad_schedules,
    test_run_now,
    test_suspend,
    test_ttl,
    test_forbid_and_replace,
    test_events,
    test_reports_that_count_for_nothing,
    test_report_of_a_megabyte,
    test_leader_ends,
    test_leader_killed_in_the_midst_of_a_run,
    test_leader_that_slept,
    test_event_on_the_pod,
    test_quick_runs,
    test_reports_of_vanished_nodes,
    test_schedule_has_run,
]
