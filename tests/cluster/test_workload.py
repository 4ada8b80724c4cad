# SPDX-License-Identifier: Apache-2.0
"""Pods that a kubelet has made: names, volumes and paths in reports, series of metrics; an agent that goes in the midst of a run;
what a CronJob's pods leave behind."""

import json
import pathlib
import urllib.request

from bench import IMAGE, NAMESPACE, check_of
from kube_harness import eventually
from page_cache import drop, hold

MIB = 1 << 20
LOG, BLOB, LAYER, DUMP = 40 * MIB, 16 * MIB, 12 * MIB, 4 * MIB
SEGMENT = 8 * MIB
TOLERANCE = 0.9 # some kernels reclaim what is idle for seconds
WRITE = ("dd if=/dev/zero of=/data/log/access.log bs=1M count=40 && dd if=/dev/zero of=/cache/blob bs=1M count=16 && "
         "dd if=/dev/zero of=/layer.bin bs=1M count=12 && cat /etc/settings/conf.txt && echo written; "
         "while :; do cat /data/log/access.log /cache/blob /layer.bin > /dev/null; sleep 1; done")
POD = {
    "terminationGracePeriodSeconds": 1,
    "containers": [{
        "name": "app", "image": IMAGE, "command": ["sh", "-c", WRITE],
        "resources": {"requests": {"memory": "32Mi", "cpu": "10m"}, "limits": {"memory": "96Mi", "cpu": "1"}},
        "volumeMounts": [{"name": "logs", "mountPath": "/data/log"}, {"name": "cache", "mountPath": "/cache"},
                         {"name": "settings", "mountPath": "/etc/settings"}]}],
    "volumes": [{"name": "logs", "emptyDir": {}}, {"name": "cache", "emptyDir": {"medium": "Memory"}},
                {"name": "settings", "projected": {"sources": [{"configMap": {"name": "settings"}}]}}]}
WEB = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
       "spec": {"selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": POD}}}
# Its pods write a file whose blocks are there already: its pages are theirs, and nothing else is.
DUMP_FOLDER = pathlib.Path("/var/lib/kubelet/dump")
NIGHTLY = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "shop"},
           "spec": {"schedule": "* * * * *", "successfulJobsHistoryLimit": 0, "concurrencyPolicy": "Forbid",
                    "jobTemplate": {"spec": {"template": {"spec": {
                        "restartPolicy": "Never",
                        "containers": [{"name": "dump", "image": IMAGE,
                                        "command": ["sh", "-c", "dd if=/dev/zero of=/dump/file bs=1M count=4 conv=notrunc"],
                                        "volumeMounts": [{"name": "dump", "mountPath": "/dump"}]}],
                        "volumes": [{"name": "dump", "hostPath": {"path": str(DUMP_FOLDER)}}]}}}}}}
# The mirror of a static pod has another UID than the pod itself.
STATIC = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "static", "namespace": "shop"},
          "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
              "name": "server", "image": IMAGE,
              "command": ["sh", "-c", "dd if=/dev/zero of=/dev/shm/segment bs=1M count=8; echo written; sleep 100000"]}]}}

web = None # the pod, as the API server has it
held = None


def setup(bench):
    global web
    bench.install()
    DUMP_FOLDER.mkdir()
    (DUMP_FOLDER / "file").write_bytes(bytes(DUMP))
    drop(DUMP_FOLDER / "file")
    bench.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    bench.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
                 "data": {"conf.txt": "colour: blue"}}, NIGHTLY, WEB)
    (bench.cluster.static_pods / "static.json").write_text(json.dumps(STATIC))
    bench.kubectl(["rollout", "status", "-n", "shop", "deployment/web", "--timeout=60s"], check=True)
    eventually("web has written its files", 30, lambda: "written" in bench.kubectl(
        ["logs", "-n", "shop", "deployment/web"]).stdout)
    web, = bench.get("pods", "-n", "shop", "-l", "app=web")["items"]


def teardown(_bench):
    if held:
        held.close()


def container_cgroup(bench, pod, qos):
    container_id = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    return f"{bench.cluster.cgroups.path}/kubepods{qos}/pod{pod['metadata']['uid']}/{container_id}"


def expect_file(check, path, volume, size, bench):
    """The file that the container knows by this path."""
    row, = [row for row in check["files"] if row.get("containerPath") == path]
    assert row.get("volume") == volume, row
    assert TOLERANCE * size <= row["cachedBytes"] <= size, row
    payer = row["chargedTo"][0]
    assert (payer["namespace"], payer["pod"], payer["container"]) == ("shop", web["metadata"]["name"], "app"), row
    assert payer["cgroup"] == container_cgroup(bench, web, "/burstable"), row


def test_every_check_completes(bench):
    report = bench.diagnose("all", {})
    states = {check["type"]: (check["state"], check.get("message")) for check in report["checks"]}
    assert len(states) == 10 and {state for state, _message in states.values()} == {"Complete"}, states


def test_report_names_pods_and_volumes(bench):
    """Of the pods of one namespace, by the labels that the kubelet has told the runtime."""
    target = {"namespaces": ["shop"], "podSelector": {"matchLabels": {"app": "web"}}}
    report = bench.diagnose("some", {"target": target, "checks": [{"type": "PageCache"}, {"type": "SharedMemory"}]})
    cache = check_of(report, "PageCache")["pageCache"]
    expect_file(cache, "/data/log/access.log", "logs", LOG, bench)
    expect_file(cache, "/layer.bin", None, LAYER, bench)
    expect_file(check_of(report, "SharedMemory")["sharedMemory"], "/cache/blob", "cache", BLOB, bench)
    assert {row["podUID"] for row in cache["containers"]} == {web["metadata"]["uid"]}, cache["containers"]
    row, = [row for row in cache["containers"] if row["container"] == "app"]
    assert row["pod"] == web["metadata"]["name"] and row["bytes"] >= TOLERANCE * (LOG + BLOB + LAYER), row


def test_pod_is_told_what_is_critical(bench):
    """52 MiB in files and a limit of 96 MiB; an event of the pod's own, which its owner may read."""
    finding = next(finding for finding in bench.report("some")["findings"] if finding["reason"] == "PageCacheHigh"
                   and finding["subject"].get("pod") == web["metadata"]["name"])
    assert finding["severity"] == "Critical", finding
    events = eventually("the event", 20, lambda: [
        event for event in bench.get("events", "-n", "shop")["items"]
        if event["reason"] == "PageCacheHigh" and event["involvedObject"]["uid"] == web["metadata"]["uid"]])
    assert events[0]["type"] == "Warning" and "/data/log/access.log of volume logs" in events[0]["message"], events


def test_target_is_a_static_pod(bench):
    """The API server knows its mirror, which has another UID."""
    mirror = f"static-{bench.cluster.node}"
    eventually("it has written its segment", 30, lambda: "written" in bench.kubectl(["logs", "-n", "shop", mirror]).stdout)
    report = bench.diagnose("static", {"target": {"pod": {"namespace": "shop", "name": mirror}},
                                       "checks": [{"type": "SharedMemory"}]})
    memory = check_of(report, "SharedMemory")["sharedMemory"]
    row, = memory["containers"]
    assert (row["namespace"], row["pod"], row["container"], row["bytes"]) == ("shop", mirror, "server", SEGMENT), row
    assert memory["files"][0]["containerPath"] == "/dev/shm/segment", memory["files"]


def series(bench):
    """{name and labels: value} of the agent."""
    with urllib.request.urlopen(f"http://{bench.agent()['status']['podIP']}:9760/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def test_metrics_have_the_pod(bench):
    """A scrape does not wait for names: the next one has them."""
    labels = f'{{namespace="shop",pod="{web["metadata"]["name"]}",container="app"}}'
    usage = f"memdiag_container_memory_usage_bytes{labels}"
    eventually("the pod has series", 20, lambda: usage in series(bench))
    found = series(bench)
    assert found[usage] >= TOLERANCE * (LOG + BLOB + LAYER), found
    assert found[f"memdiag_container_memory_limit_bytes{labels}"] == 96 * MIB, found
    assert found["memdiag_names_known"] == 1
    attached = [value for name, value in found.items() if name.startswith("memdiag_capture_attached{")]
    assert attached == [1] * 4, attached


def test_agent_goes_in_the_midst_of_a_run(bench):
    """The DaemonSet brings another; that one does the run from its beginning, once."""
    bench.apply({"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "metadata": {"name": "interrupted"},
                 "spec": {"window": "5s", "checks": [{"type": "PageCache"}, {"type": "ReclaimLatency"}]}})
    name = bench.agent()["metadata"]["name"]
    eventually("the agent runs it", 20, lambda: "interrupted run g-1: running" in bench.kubectl(
        ["logs", "-n", NAMESPACE, name]).stdout)
    bench.kubectl(["delete", "pod", "-n", NAMESPACE, name], check=True)
    report = bench.report("interrupted")
    assert report["run"]["id"] == "g-1" and {check["state"] for check in report["checks"]} == {"Complete"}, report
    summary = bench.get("memorydiagnosis", "interrupted")["status"]["summary"]
    assert (summary["reported"], summary["missing"]) == (1, 0), summary
    assert bench.agent()["metadata"]["name"] != name
    bench.install() # waits until the new one is ready


def test_runtime_is_restarted(bench):
    """Its socket is another then, in the same folder."""
    bench.cluster.runtime.stop()
    bench.cluster.runtime.start()
    listing = json.loads(bench.in_agent("memdiag", "pods", "-o", "json"))
    assert "runtimeProblem" not in listing, listing["runtimeProblem"]
    assert web["metadata"]["name"] in {row.get("pod") for row in listing["pods"]}, listing["pods"]


def test_leader_is_deleted(bench):
    """It hands over: the other need not wait until the lease has run out."""
    def holder():
        lease, = bench.get("leases", "-n", NAMESPACE)["items"]
        return lease["spec"].get("holderIdentity") or ""

    leader = holder()
    bench.kubectl(["delete", "pod", "-n", NAMESPACE, leader.split("_")[0]], check=True)
    eventually("the other one leads", 10, lambda: holder() not in ("", leader))
    bench.diagnose("new-leader", {"checks": [{"type": "MemoryBreakdown"}]})


def test_cron_job_is_named_after_its_pods_are_gone(bench):
    """Within a minute there is a first one; its pages keep its cgroup."""
    global held

    def gone():
        jobs, pods = bench.get("jobs", "-n", "shop")["items"], bench.get("pods", "-n", "shop")["items"]
        last = bench.get("cronjob", "-n", "shop", "nightly")["status"].get("lastSuccessfulTime")
        return last and not jobs and not any(pod["metadata"]["name"].startswith("nightly-") for pod in pods)

    eventually("a job is done and removed", 100, gone, 0.5)
    held = hold(DUMP_FOLDER / "file")
    bench.kubectl(["patch", "cronjob", "-n", "shop", "nightly", "--type=merge", "-p", '{"spec":{"suspend":true}}'], check=True)
    report = bench.diagnose("leak", {"top": 50, "checks": [{"type": "CgroupLeak"}]})
    groups = check_of(report, "CgroupLeak")["cgroupLeak"]["groups"]
    group, = [group for group in groups if group.get("controller") == "CronJob/nightly"]
    assert (group["namespace"], group["container"]) == ("shop", "dump"), group
    assert group["pod"].startswith("nightly-") and group["fileBytes"] >= TOLERANCE * DUMP, group
    assert group["files"][0].endswith("/dump/file"), group


TESTS = [test_every_check_completes, test_report_names_pods_and_volumes, test_pod_is_told_what_is_critical,
         test_target_is_a_static_pod, test_metrics_have_the_pod, test_agent_goes_in_the_midst_of_a_run,
         test_runtime_is_restarted, test_leader_is_deleted, test_cron_job_is_named_after_its_pods_are_gone]
