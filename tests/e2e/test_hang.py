# SPDX-License-Identifier: Apache-2.0
"""A node on which the kernel does not let the agent go: a file of its /proc is a FIFO that nobody writes to.

The run ends with a report that names the file, the liveness probe asks for a restart, SIGTERM ends the agent all the same, and once
the file can be read everything goes on. Needs root.
"""

import os
import pathlib
import signal
import time
import urllib.error
import urllib.request

from kube_harness import eventually, free_ports

from test_diagnosis import apply

NEEDS_BINARY = True
NAMESPACE = "memdiag-system"
NODE = "e2e-hang"
HANGS = "slabinfo"
SPEC = {"target": {"nodeName": NODE}, "checks": [{"type": "SlabCache"}, {"type": "PageCache"}], "window": "1s", "cpuBudget": "1s"}

port = None
proc = None
agent = None


def plant_proc(folder):
    """A /proc as the kernel's but for that file."""
    folder.mkdir()
    for entry in os.listdir("/proc"):
        if entry != HANGS:
            (folder / entry).symlink_to(pathlib.Path("/proc") / entry)
    os.mkfifo(folder / HANGS)
    return folder


def heal():
    """The file is the kernel's from now on, and who waits for it is let go."""
    fifo = proc / "healed"
    (proc / HANGS).rename(fifo)
    (proc / HANGS).symlink_to(f"/proc/{HANGS}")
    os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))


def health():
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError: # it has just been started
        return 0, ""


def report(bench, name):
    """The report of the diagnosis's run once it is in."""
    def ended():
        return bench.get("memorydiagnosis", name).get("status", {}).get("run", {}).get("state") in ("Complete", "Failed")

    eventually(f"the run of {name} ends", 90, ended)
    return bench.get("memreport", f"{name}.{NODE}")


def start_agent(bench):
    return bench.start("agent-hang", ["agent", "--metrics-address", f"127.0.0.1:{port}", "--node-name", NODE, "--proc", proc,
                                      "--hang-timeout", "2s", "--kubeconfig",
                                      bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node=NODE)])


def setup(bench):
    global port, proc, agent
    bench.install()
    bench.cluster.create_node(NODE)
    bench.start("controller-hang", ["controller", "--kubeconfig",
                                    bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-controller")])
    (port,) = free_ports(1)
    proc = plant_proc(bench.folder / "hanging-proc")
    agent = start_agent(bench)


def test_the_report_names_the_file(bench):
    apply(bench, "hangs", SPEC)
    checks = {check["type"]: check for check in report(bench, "hangs")["checks"]}
    slab = checks["SlabCache"]
    assert slab["state"] == "Failed" and slab["reason"] == "Hangs", slab
    assert f"it opens {proc / HANGS}" in slab["message"], slab
    assert checks["PageCache"]["reason"] == "GivenUp", checks["PageCache"]
    assert bench.get("memreport", f"hangs.{NODE}")["verdict"] == "Error"


def test_it_asks_for_a_restart(bench):
    code, text = eventually("the liveness probe fails", 30, lambda: health() if health()[0] != 200 else None)
    assert code == 503 and "hangs" in text, (code, text)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        seconds = [line for line in answer.read().decode().splitlines() if line.startswith("memdiag_agent_hung_seconds ")]
    assert len(seconds) == 1 and float(seconds[0].split()[1]) >= 2, seconds


def test_it_ends_all_the_same(bench):
    """Within the grace period of its pod, and says what it left; the next one finds the run reported and goes on."""
    global agent
    begin = time.monotonic()
    agent.child.send_signal(signal.SIGTERM)
    status = agent.child.wait(30)
    assert status == 1 and time.monotonic() - begin < 10, (status, time.monotonic() - begin)
    log = agent.log.read_text()
    assert "ended without the thread that runs diagnoses" in log and f"it opens {proc / HANGS}" in log, log
    agent = start_agent(bench)
    eventually("the new agent is well", 30, lambda: health()[0] == 200)


def test_it_goes_on_once_it_is_let_go(bench):
    apply(bench, "hangs-again", SPEC)
    assert report(bench, "hangs-again")["verdict"] == "Error"
    apply(bench, "waits", SPEC)
    heal()
    waited = {check["type"]: check["state"] for check in report(bench, "waits")["checks"]}
    assert waited == {"SlabCache": "Complete", "PageCache": "Complete"}, waited
    eventually("the agent is well again", 30, lambda: health()[0] == 200)
    assert "has come back" in agent.log.read_text(), agent.log.read_text()
    # What the late run brought was not wanted any more: one report for each run.
    assert bench.get("memreport", f"hangs-again.{NODE}")["verdict"] == "Error"


def test_an_agent_that_was_frozen_goes_on(bench):
    """Late by more than it may, but by no fault of the node's: the run is not given up."""
    apply(bench, "frozen", {"target": {"nodeName": NODE}, "checks": [{"type": "ReclaimLatency"}], "window": "3s",
                            "cpuBudget": "10ms"})
    eventually("the run begins", 30, lambda: "frozen run g-1: running" in agent.log.read_text())
    agent.child.send_signal(signal.SIGSTOP)
    time.sleep(12)
    agent.child.send_signal(signal.SIGCONT)
    checks = report(bench, "frozen")["checks"]
    assert [check["state"] for check in checks] == ["Complete"], checks
    assert "frozen run g-1: no longer wanted" not in agent.log.read_text(), agent.log.read_text()


TESTS = [test_the_report_names_the_file, test_it_asks_for_a_restart, test_it_ends_all_the_same, test_it_goes_on_once_it_is_let_go,
         test_an_agent_that_was_frozen_goes_on]
