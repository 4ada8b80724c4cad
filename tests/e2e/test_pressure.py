# SPDX-License-Identifier: Apache-2.0
"""An API server that has no time, and leaders whose time is over: what is written then, as the server's own audit log tells.

Two controllers and two agents with the rights of manifests/base. The 429s are the API server's: its Priority and Fairness
gives the ServiceAccount no share at all. Runs are judged by what etcd has held (tests/chaos/history.py).
"""

import base64
import datetime
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))

from fault_proxy import HttpProxy, answer
from history import History, judge, lives, runs_of
from kube_harness import eventually, free_ports

from test_diagnosis import CRASH, apply, wait_for
from test_operator import LEASE, holder, request, run_reaches, status_of, versions_of

NEEDS_BINARY = True
NAMESPACE = "memdiag-system"
NODES = ("pr-a", "pr-b")
QUICK = {"checks": [{"type": "MemoryBreakdown"}], "cpuBudget": "1m"}
WITH_AGENTS = {"target": {"nodeSelector": {"memdiag-pr": "yes"}}, **QUICK}
ALONE = {"target": {"nodeName": "pr-none"}, **QUICK}  # no agent there: Running until the deadline
WINDOW_S = 20    # in which what is refused is counted
STORM = 22       # refusals of one process in that time: Retry-After says a second; without heeding it it is thousands
LEAST_GAP_S = .9 # between two of them: Retry-After is a second at least
API = "/apis/memdiag.io/v1alpha1"
EVENT = r"^POST .*/events$"
EVENT_TRIES = 4  # after which one is given up
FLOW = "flowcontrol.apiserver.k8s.io/v1"


# --- who wrote what --------------------------------------------------------------------------------------------------

def credential(kubeconfig):
    """The id of its token, which the audit log has next to the user's name that all controllers share."""
    payload = re.search(r"token: [^.]+\.([^.]+)\.", kubeconfig.read_text())[1]
    return "JTI=" + json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]


def author(event):
    return event["user"].get("extra", {}).get("authentication.kubernetes.io/credential-id", [""])[0]


def writes(events, who, group="memdiag.io"):
    """What that token wrote, or tried to: [(verb, resource/name, HTTP status, time)]."""
    found = []
    for event in events:
        ref = event["objectRef"]
        if author(event) == who and ref.get("apiGroup") == group:
            at = datetime.datetime.fromisoformat(event["requestReceivedTimestamp"].replace("Z", "+00:00"))
            found.append((event["verb"], f"{ref['resource']}/{ref.get('name', '')}", event["responseStatus"]["code"],
                          at.timestamp()))
    return found


# --- what is started -------------------------------------------------------------------------------------------------

def kubeconfig_of(bench, name, account, node=None, port=None):
    """One with a token that nobody else has, whose server is the proxy on that port if there is one."""
    common = bench.cluster.service_account_kubeconfig(NAMESPACE, account, node=node)
    path = bench.folder / f"{name}.kubeconfig"
    path.touch(mode=0o600)
    server = f"https://127.0.0.1:{port}" if port else bench.cluster.server
    path.write_text(common.read_text().replace(bench.cluster.server, server))
    bench.tokens[name] = credential(path)
    return path


def start_controller(bench, which, port=None):
    name = f"controller-{which}"
    path = kubeconfig_of(bench, name, "memdiag-controller", port=port)
    return bench.start(name, ["controller", "--kubeconfig", path, "--leader-elect", f"--identity={which}"])


def leads(bench, which, seconds=30):
    eventually(f"{which} leads", seconds, lambda: holder(bench) == which)


def stop_controllers(bench):
    for which in ("a", "b"):
        assert bench.daemons[f"controller-{which}"].terminate(10) == 0, f"exit status of controller-{which}"


def setup(bench):
    bench.install()
    bench.kubectl(["delete", "memdiag,memreport", "--all", "--wait=false"], check=True)
    bench.history, bench.tokens, bench.jails, bench.http = History(bench.cluster.etcd_port), {}, 0, None
    for node in NODES:
        bench.cluster.create_node(node, {"memdiag-pr": "yes"})
    bench.cluster.create_node("pr-none", {})
    start_controller(bench, "a")
    leads(bench, "a")
    start_controller(bench, "b")
    for node in NODES:
        path = kubeconfig_of(bench, f"agent-{node}", "memdiag-agent", node)
        bench.start(f"agent-{node}", ["agent", "--metrics-address", "", "--node-name", node, "--kubeconfig", path])
    apply(bench, "pr-well", WITH_AGENTS)
    ended(bench, "pr-well")


def teardown(bench):
    if bench.http:
        bench.http.close()
    bench.history.ending = True
    bench.kubectl(["delete", "flowschema,prioritylevelconfiguration", "-l", "memdiag-test=jail", "--wait=false"])
    bench.kubectl(["delete", "memdiag,memreport", "--all", "--wait=false"])
    bench.kubectl(["delete", "node", *NODES, "pr-none", "--wait=false"])


# --- the end of a run ------------------------------------------------------------------------------------------------

def ended(bench, name, seconds=60, nodes=NODES):
    """It ends Complete: one run, opened once and closed once, each report written once."""
    wait_for(bench, name, "Complete", seconds)
    versions = versions_of(bench, name)
    assert judge(versions) == [], judge(versions)
    (objects,) = lives(versions, "memorydiagnoses").values()
    ((run_id, steps),) = runs_of(objects)
    states = list(dict.fromkeys(run["state"] for run, _status in steps))
    assert run_id == "g-1" and states == ["Running", "Complete"], (run_id, states)
    assert steps[-1][1]["summary"]["nodes"] == f"{len(nodes)}/{len(nodes)}", steps[-1][1]["summary"]
    reports = {report: len(objects) for (report, _uid), objects in lives(versions, "memorydiagnosisreports").items()}
    assert reports == {f"{name}.{node}": 1 for node in nodes}, reports


def test_a_name_comes_again(bench):
    """What had the name before, and its reports, is not taken for what has it now: other tests share this cluster."""
    bench.kubectl(["delete", "memorydiagnosis", "pr-well"], check=True)
    apply(bench, "pr-well", WITH_AGENTS)
    ended(bench, "pr-well")


# --- 429 -------------------------------------------------------------------------------------------------------------

class Jail:
    """While the block runs the API server answers 429 to these requests of a ServiceAccount.

    A priority level with no share, which can borrow none, and a flow schema that comes before all others but `exempt`. One
    request at a time would be let through even so (canAccommodateSeatsLocked() in k8s.io/apiserver), so one is begun here
    that does not end: a PATCH of `path` whose body never comes. The API server gives it 60 s.
    """

    def __init__(self, bench, account, verbs, resources, path):
        bench.jails += 1
        self.bench, self.name, self.account, self.path = bench, f"memdiag-jail-{bench.jails}", account, path
        meta = {"name": self.name, "labels": {"memdiag-test": "jail"}}
        self.level = {"apiVersion": FLOW, "kind": "PriorityLevelConfiguration", "metadata": meta, "spec": {
            "type": "Limited", "limited": {"nominalConcurrencyShares": 0, "lendablePercent": 0,
                                           "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"}}}}
        self.schema = {"apiVersion": FLOW, "kind": "FlowSchema", "metadata": meta, "spec": {
            "priorityLevelConfiguration": {"name": self.name}, "matchingPrecedence": 50, "rules": [{
                "subjects": [{"kind": "ServiceAccount",
                              "serviceAccount": {"namespace": NAMESPACE, "name": account}}],
                "resourceRules": [{"verbs": verbs, "apiGroups": ["memdiag.io"], "resources": resources,
                                   "clusterScope": True}]}]}}

    def __enter__(self):
        self.bench.apply(self.level)
        self.bench.apply(self.schema)
        # Said after the schema has become part of what requests are sorted by.
        self.bench.kubectl(["wait", "--for=condition=Dangling=False", "--timeout=30s", f"flowschema/{self.name}"],
                           check=True)
        self.inmate = self._occupy()
        eventually("the only seat is taken", 10, lambda: self._metric("current_executing_requests") == 1)
        self.mark = len(self.bench.cluster.audit())
        return self

    def _occupy(self):
        cluster = self.bench.cluster
        context = ssl.create_default_context(cafile=str(cluster.pki.ca))
        raw = socket.create_connection(("127.0.0.1", cluster.port))
        tls = context.wrap_socket(raw, server_hostname="127.0.0.1")
        tls.sendall(f"PATCH {API}/{self.path}?fieldManager=test HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                    f"Authorization: Bearer {cluster.service_account_token(NAMESPACE, self.account)}\r\n"
                    "Content-Type: application/apply-patch+yaml\r\nContent-Length: 100\r\n\r\n".encode())
        return tls

    def __exit__(self, *exception):
        self.inmate.close()
        self.bench.kubectl(["delete", f"flowschema/{self.name}", f"prioritylevelconfiguration/{self.name}"], check=True)

    def _metric(self, name):
        """The API server's own count."""
        metrics = self.bench.kubectl(["get", "--raw", "/metrics"], check=True).stdout
        rows = re.findall(rf"^apiserver_flowcontrol_{name}\{{([^}}]*)\}} (\S+)$", metrics, re.M)
        return sum(int(float(value)) for labels, value in rows if f'flow_schema="{self.name}"' in labels)

    def rejected(self):
        return self._metric("rejected_requests_total")

    def count(self):
        """Until some time after the first refusal: how many there were."""
        eventually("something is refused", 30, self.rejected)
        time.sleep(WINDOW_S)
        return self.rejected()

    def refused(self, name):
        """When that process was answered 429, and that nothing of it was taken; a storm it was not."""
        said = writes(self.bench.cluster.audit(self.mark), self.bench.tokens[name])
        times = [at for _verb, _what, status, at in said if status == 429]
        gaps = [after - before for before, after in zip(times, times[1:])]
        print(f"   {name}: {len(times)} times 429, {min(gaps, default=0):.1f} to {max(gaps, default=0):.1f} s apart",
              flush=True)
        assert 2 <= len(times) <= STORM and min(gaps) >= LEAST_GAP_S, (name, gaps)
        return said


def test_agents_are_refused(bench):
    """Two agents whose reports nobody takes: they ask seldom, and are done when they are let."""
    with Jail(bench, "memdiag-agent", ["create", "update", "patch"], ["memorydiagnosisreports"],
              "memorydiagnosisreports/none.pr-a") as jail:
        apply(bench, "pr-refused", WITH_AGENTS)
        counted = jail.count()
        for node in NODES:
            said = jail.refused(f"agent-{node}")
            assert {status for _verb, _what, status, _at in said} == {429}, said
        assert 2 * 2 <= counted <= 2 * STORM, counted
        assert bench.get("memreport", "-l", "memdiag.io/diagnosis=pr-refused")["items"] == []
        assert status_of(bench, "pr-refused")["run"]["state"] == "Running"
    ended(bench, "pr-refused", 30)


def lease_of(bench):
    spec = bench.get("lease", LEASE, "-n", NAMESPACE)["spec"]
    return spec["holderIdentity"], spec["leaseTransitions"]


def test_controller_is_refused(bench):
    """Neither the end of a run nor the beginning of another can be told for 20 s; the lease is kept meanwhile."""
    before, agent = lease_of(bench), bench.daemons["agent-pr-a"]
    os.kill(agent.pid, signal.SIGSTOP)  # so that the run is open when nothing is taken any more
    try:
        apply(bench, "to-close", WITH_AGENTS)
        run_reaches(bench, "to-close", "Running")
        with Jail(bench, "memdiag-controller", ["patch", "update"], ["memorydiagnoses", "memorydiagnoses/status"],
                  "memorydiagnoses/none/status") as jail:
            os.kill(agent.pid, signal.SIGCONT)
            apply(bench, "to-open", WITH_AGENTS)
            counted = jail.count()
            assert 2 <= counted <= STORM, counted
            names = {what for _verb, what, status, _at in jail.refused(f"controller-{before[0]}") if status == 429}
            assert names == {"memorydiagnoses/to-close", "memorydiagnoses/to-open"}, names
            other = "b" if before[0] == "a" else "a"
            assert writes(bench.cluster.audit(jail.mark), bench.tokens[f"controller-{other}"]) == []
            assert status_of(bench, "to-close")["run"]["state"] == "Running"
            assert "run" not in status_of(bench, "to-open")
            assert lease_of(bench) == before, (lease_of(bench), before)
    finally:
        os.kill(agent.pid, signal.SIGCONT)
    ended(bench, "to-close", 30)
    ended(bench, "to-open", 30)


def test_start_is_refused(bench):
    """An agent that starts and may not even list."""
    agent = bench.daemons["agent-pr-b"]
    with Jail(bench, "memdiag-agent", ["*"], ["*"], "memorydiagnosisreports/none.pr-a") as jail:
        assert agent.terminate(10) == 0
        apply(bench, "not-listed", WITH_AGENTS)
        agent.start()
        counted = jail.count()
        print(f"   {counted} times 429, lists and reports of both agents", flush=True)
        assert 2 <= counted <= 2 * STORM, counted
        assert agent.running()
    ended(bench, "not-listed", 60)


# --- leaders ---------------------------------------------------------------------------------------------------------

def asleep(daemon):
    os.kill(daemon.pid, signal.SIGSTOP)
    return time.monotonic()


def test_stale_leader_writes_nothing(bench):
    """One that slept beyond its lease wakes with a write in its queue, and to news that nobody has dealt with.

    The other, which dealt with the rest, sleeps when it wakes: whatever it wrote before it leads again would be taken.
    """
    stop_controllers(bench)
    (port,) = free_ports(1)
    bench.http = HttpProxy(bench.cluster, port)
    first = start_controller(bench, "a", port)
    leads(bench, "a")
    second = start_controller(bench, "b")
    token_a, token_b = bench.tokens["controller-a"], bench.tokens["controller-b"]
    try:
        # A 429 that says 20 s: what is to be written after it waits in the queue until then.
        rule = bench.http.add(r"^PATCH .*memorydiagnoses/told-to-wait/status", answer(
            "429 Too Many Requests", json.dumps({"kind": "Status", "code": 429, "reason": "TooManyRequests"}),
            "Retry-After: 20\r\n"))
        # An event that is to be sent again, and waits, too.
        unheard = bench.http.add(EVENT, answer("503 Service Unavailable", "", ""), 99)
        apply(bench, "untold", ALONE)
        eventually("an event is refused", 20, lambda: bench.http.requests(EVENT))
        apply(bench, "told-to-wait", WITH_AGENTS)
        eventually("it is told to wait", 20, lambda: rule.left == 0)
        pause_ends = time.monotonic() + 26
        apply(bench, "queued", WITH_AGENTS)
        time.sleep(1)  # it has long seen that
        asleep(first)
        assert len(bench.http.requests(EVENT)) < EVENT_TRIES
        unheard.left = 0
        leads(bench, "b")
        for name in ("told-to-wait", "queued"):
            ended(bench, name, 30)
        time.sleep(max(0, pause_ends - time.monotonic()))
        said = len(second.log.read_text())
        slept = asleep(second)
        mark = len(bench.cluster.audit())
        apply(bench, "news", WITH_AGENTS)
        request(bench, "queued", "again")
        os.kill(first.pid, signal.SIGCONT)
        eventually("a looks who leads, twice", 20, lambda: len(bench.http.requests(r"^GET .*/leases/", slept)) >= 2)
        assert bench.http.requests(EVENT, slept) == []
        leads(bench, "a", 40)
        print(f"   a led {time.monotonic() - slept:.1f} s after b fell asleep", flush=True)
        ended(bench, "news", 30)
        run_reaches(bench, "queued", "Complete", but=["g-1"])
        events = bench.cluster.audit(mark)
        taken = next(at for verb, _what, status, at in writes(events, token_a, "coordination.k8s.io") if status == 200)
        wrote = writes(events, token_a)
        early = [one for one in wrote if one[-1] < taken]
        assert early == [], f"written by a leader whose time was over: {early}"
        assert len(wrote) >= 4, wrote  # it is a's token: both runs were opened and closed
        assert writes(events, token_b) == []
        mark = len(bench.cluster.audit())
        os.kill(second.pid, signal.SIGCONT)
        eventually("b sees that it is over", 10, lambda: "no longer leading" in second.log.read_text()[said:])
        apply(bench, "news-too", WITH_AGENTS)
        ended(bench, "news-too", 30)
        assert writes(bench.cluster.audit(mark), token_b) == []
        assert first.running() and second.running()
    finally:
        for daemon in (first, second):
            os.kill(daemon.pid, signal.SIGCONT)


def test_all_end_well(bench):
    for name, daemon in bench.daemons.items():
        assert daemon.running(), f"{name} ended by itself"
        assert daemon.terminate(10) == 0, f"{name}: exit status"
        found = CRASH.search(daemon.log.read_text(errors="replace"))
        assert not found, f"{name}: {found[0]}"


TESTS = [
    test_a_name_comes_again,
    test_agents_are_refused,
    test_controller_is_refused,
    test_start_is_refused,
    test_stale_leader_writes_nothing,
    test_all_end_well,
]
