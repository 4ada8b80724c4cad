# SPDX-License-Identifier: Apache-2.0
"""`kubectl apply -k manifests/base`: all runs within a minute, with what the manifests give and no more."""

import base64
import json

from bench import NAMESPACE

# linux/capability.h
NUMBERS = {"DAC_READ_SEARCH": 2, "SYS_PTRACE": 19, "SYSLOG": 34, "PERFMON": 38, "BPF": 39}


def setup(bench):
    bench.install()


def test_ready_within_a_minute(bench):
    """No restart, and no warning: a probe that fails at each start is one."""
    print(f"installed and ready after {bench.install_seconds:.1f} s", flush=True)
    assert bench.install_seconds < 60, bench.install_seconds
    pods = [*bench.pods("agent"), *bench.pods("controller")]
    assert len(pods) == 3, [pod["metadata"]["name"] for pod in pods]
    for pod in pods:
        name, status = pod["metadata"]["name"], pod["status"]["containerStatuses"][0]
        assert status["ready"] and status["restartCount"] == 0, (name, status)
    warnings = [event["message"] for event in bench.get("events", "-n", NAMESPACE)["items"] if event["type"] == "Warning"]
    assert not warnings, warnings


def confined(bench, pod, uid, capabilities):
    """The kernel has of the process what the manifest says, and no way to more."""
    mask = sum(1 << NUMBERS[name] for name in capabilities)
    status = bench.process_status(pod)
    assert {status["Uid"].split()[i] for i in range(4)} == {str(uid)}, status["Uid"]
    for name in ("CapPrm", "CapEff", "CapBnd"):
        expected = mask if uid == 0 or name == "CapBnd" else 0
        assert int(status[name], 16) == expected, (name, status[name], hex(expected))
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0, status
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status
    with open(f"/proc/{bench.pid(pod)}/mountinfo") as file:
        mounts = {line.split()[4]: line.split()[5].split(",") for line in file}
    assert "ro" in mounts["/"], mounts["/"]
    assert "ro" in mounts["/proc/sys"], "privileged: /proc/sys can be written"


def test_agent_has_five_capabilities(bench):
    agent = bench.agent()
    asked = agent["spec"]["containers"][0]["securityContext"]
    assert set(asked["capabilities"]["add"]) == set(NUMBERS) and asked["capabilities"]["drop"] == ["ALL"], asked
    confined(bench, agent, 0, NUMBERS)


def test_controllers_have_none(bench):
    for pod in bench.pods("controller"):
        confined(bench, pod, 65532, [])


def test_every_check_is_available(bench):
    rows = [line.split()[:2] for line in bench.in_agent("memdiag", "checks").splitlines()[1:]]
    assert len(rows) == 10 and all(available == "yes" for _check, available in rows), rows


def test_commands_in_the_agents_pod_need_no_option(bench):
    """They look at the node, not at the container that they run in."""
    listing = json.loads(bench.in_agent("memdiag", "pods", "-o", "json"))
    found = {(row.get("pod"), row.get("container")) for row in listing["pods"]}
    pods = [*bench.pods("agent"), *bench.pods("controller")]
    expected = {(pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]) for pod in pods}
    assert expected <= found, (expected - found, listing.get("runtimeProblem"))
    report = json.loads(bench.in_agent("memdiag", "run", "--check", "PageCache", "-o", "json"))
    assert report["nodeName"] == bench.cluster.node, report["nodeName"]


def test_token_is_the_nodes(bench):
    """The kubelet's token names the node, and with it another node's report can't be written."""
    token = bench.in_agent("cat", "/var/run/secrets/kubernetes.io/serviceaccount/token").strip()
    middle = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert claims["kubernetes.io"]["node"]["name"] == bench.cluster.node, claims
    config = bench.cluster.folder / "agent-pod.kubeconfig"
    bench.cluster.write_kubeconfig(config, {"token": token})
    for node, expected in ((bench.cluster.node, 0), ("other", 1)):
        report = {"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosisReport",
                  "metadata": {"name": f"by-hand.{node}"}, "nodeName": node,
                  "diagnosis": "by-hand", "run": {"id": "g-1"}, "verdict": "OK"}
        done = bench.kubectl(["create", "--validate=false", "-f", "-"], input=report, kubeconfig=config)
        assert done.returncode == expected, (node, done.stderr)
    assert "may write only its own reports" in done.stderr, done.stderr
    bench.kubectl(["delete", "memreport", f"by-hand.{bench.cluster.node}"], check=True)


def test_applying_again_changes_nothing(bench):
    def generations():
        return {what: bench.get(what, "-n", NAMESPACE)["metadata"]["generation"]
                for what in ("daemonset/memdiag-agent", "deployment/memdiag-controller")}

    before, agent = generations(), bench.agent()["metadata"]["uid"]
    bench.install()
    assert generations() == before, (before, generations())
    assert bench.agent()["metadata"]["uid"] == agent


TESTS = [test_ready_within_a_minute, test_agent_has_five_capabilities, test_controllers_have_none,
         test_every_check_is_available, test_commands_in_the_agents_pod_need_no_option, test_token_is_the_nodes,
         test_applying_again_changes_nothing]
