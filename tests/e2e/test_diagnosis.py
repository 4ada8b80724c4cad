# SPDX-License-Identifier: Apache-2.0
"""Diagnoses from `kubectl apply` to the report: a controller and two agents, with the rights of manifests/base only.

Both agents run on this host under different node names, so they see the same files. One reads a kubeconfig, the other a
ServiceAccount folder and the environment, as in a pod. Needs root and a kernel the page scan works on.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from kube_harness import HarnessError, die_with_parent, eventually

NEEDS_BINARY = True
NAMESPACE = "memdiag-system"
NODES = ["e2e-a", "e2e-b"]
MIB = 1 << 20
RSS_LIMIT = 20 * MIB
PLANTED_FILE, PLANTED_SHM = 40 * MIB, 24 * MIB

# Every run here: the two checks of this version; a budget that no machine exhausts.
CHECKS = {"checks": [{"type": "PageCache"}, {"type": "SharedMemory"}], "cpuBudget": "1m"}

# What a crash or a sanitizer leaves in a log.
CRASH = re.compile(r"\bpanic\b|AddressSanitizer|LeakSanitizer|runtime error:|[Ss]egmentation fault|stack smashing|"
                   r"double free|Assertion .* failed|\bBUG\b")

# Fills a file, keeps all of it in memory, says so, and waits until its stdin is closed.
PLANT = """
import ctypes, mmap, os, sys
path, size = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
block = os.urandom(1 << 20)
for _ in range(size >> 20):
    os.write(fd, block)
os.fsync(fd)
memory = mmap.mmap(fd, size)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None, use_errno=True)
locked = libc.mlock(ctypes.c_void_p(start), ctypes.c_size_t(size)) == 0
if not locked: # without CAP_IPC_LOCK: at least all of it has just been used
    sum(memory[::4096])
print("locked" if locked else "touched", flush=True)
sys.stdin.read()
"""


class Planted:
    """A file of this size that stays in the page cache while the block runs."""

    def __init__(self, folder, name, size):
        self.path = pathlib.Path(folder) / f"memdiag-e2e-{name}-{os.getpid()}"
        self.size = size
        self.child = None

    def __enter__(self):
        self.child = subprocess.Popen([sys.executable, "-c", PLANT, str(self.path), str(self.size)], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        if not self.child.stdout.readline():
            self.__exit__()
            raise HarnessError(f"cannot plant {self.path}; what Python said is above")
        return self

    def __exit__(self, *exception):
        self.child.stdin.close()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()
        self.path.unlink(missing_ok=True)


def disk_folder(bench):
    """A folder that is not on tmpfs: there, files are shared memory and not page cache of a disk."""
    for folder in (tempfile.gettempdir(), "/var/tmp", bench.root / "build"):
        done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() not in ("tmpfs", "ramfs"):
            return folder
    raise HarnessError("neither the folder for temporary files nor /var/tmp is on a disk")


def apply(bench, name, spec):
    bench.apply({"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "metadata": {"name": name},
                 "spec": spec})


def wait_for(bench, name, condition, seconds=60):
    """What `kubectl wait` says; on failure the status that it has instead."""
    done = bench.kubectl(["wait", f"--for=condition={condition}", f"--timeout={seconds}s", f"memorydiagnosis/{name}"],
                         timeout=seconds + 30)
    if done.returncode != 0:
        status = bench.get("memorydiagnosis", name).get("status")
        raise HarnessError(f"{name}: {done.stderr.strip()}; status: {json.dumps(status)}")


def diagnose(bench, name, spec, seconds=60):
    """Applies it, waits for Complete, returns its status."""
    apply(bench, name, spec)
    wait_for(bench, name, "Complete", seconds)
    return bench.get("memorydiagnosis", name)["status"]


def condition_of(status, type_):
    return next((c for c in status.get("conditions", []) if c["type"] == type_), {})


def columns(bench, name):
    """`kubectl get memorydiagnoses NAME` as a dict; cells may be empty, so they are cut by the header's positions."""
    header, row = bench.kubectl(["get", "memorydiagnoses", name], check=True).stdout.splitlines()
    starts = [(match.group(), match.start()) for match in re.finditer(r"\S+", header)]
    ends = [start for _title, start in starts[1:]] + [None]
    return {title: row[start:end].strip() for (title, start), end in zip(starts, ends)}


def result(report, type_):
    """The result of one check, which must have worked."""
    check = next((c for c in report.get("checks", []) if c["type"] == type_), None)
    assert check, f"no {type_} among {[c['type'] for c in report.get('checks', [])]}"
    assert check["state"] == "Complete", f"{type_}: {check['state']} {check.get('reason')}: {check.get('message')}"
    assert check["coveragePermille"] == 1000 and check["method"], check
    return check[type_[0].lower() + type_[1:]]


def planted_row(rows, planted):
    """The row of a planted file, with exactly its bytes."""
    name = planted.path.name
    row = next((r for r in rows if r.get("path", "").endswith("/" + name)), None)
    seen = [(r.get("path"), r["cachedBytes"]) for r in rows]
    assert row, f"{planted.path} ({planted.size} bytes) is not among {seen}"
    assert row["cachedBytes"] == row["sizeBytes"] == planted.size, row
    assert sum(payer["bytes"] for payer in row["chargedTo"]) == planted.size, row
    assert not row.get("deleted") and not row.get("kernelMount"), row
    return row


def alive(bench):
    for daemon in bench.daemons.values():
        assert daemon.running(), f"{daemon.name} ended with status {daemon.child.returncode}"
    clean_logs(bench)


def clean_logs(bench):
    for daemon in bench.daemons.values():
        found = CRASH.search(daemon.log.read_text(errors="replace"))
        assert not found, f"the log of {daemon.name} says {found.group()!r}"


# -- tests ------------------------------------------------------------------------------------------------------------


def setup(bench):
    bench.install()
    for node in NODES:
        bench.cluster.create_node(node, {"memdiag-e2e": "yes"})
    cluster = bench.cluster
    bench.start("controller", ["controller", "--kubeconfig",
                               cluster.service_account_kubeconfig(NAMESPACE, "memdiag-controller")])
    bench.start("agent-a", ["agent", "--metrics-address", "127.0.0.1:0", "--node-name", "e2e-a", "--kubeconfig",
                            cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node="e2e-a")])
    bench.start("agent-b", ["agent", "--metrics-address", "127.0.0.1:0", "--node-name", "e2e-b", "--serviceaccount-dir",
                            cluster.service_account_dir(NAMESPACE, "memdiag-agent", node="e2e-b")],
                **cluster.in_cluster_environment())
    time.sleep(0.5) # enough for a daemon that does not like its arguments to end
    alive(bench)


def test_one_shot(bench):
    with Planted(disk_folder(bench), "file", PLANTED_FILE) as file, Planted("/dev/shm", "shm", PLANTED_SHM) as shm:
        status = diagnose(bench, "one-shot", {"target": {"nodeName": "e2e-a"}, "top": 30, **CHECKS})
        row = columns(bench, "one-shot")
        assert row["STATE"] == "Complete" and row["NODES"] == "1/1", row
        assert re.fullmatch(r"(\d+[smhd])+", row["LAST-RUN"]), row
        assert status["run"]["id"] == "g-1" and status["run"]["trigger"] == "Generation", status["run"]
        assert condition_of(status, "Reconciling").get("status") != "True", status["conditions"]

        report = bench.get("memreport", "one-shot.e2e-a")
        assert report["nodeName"] == "e2e-a" and report["run"]["id"] == "g-1", report["run"]
        assert report["verdict"] in ("OK", "Info", "Warning", "Critical"), report["verdict"]
        owner = report["metadata"]["ownerReferences"][0]
        assert owner["kind"] == "MemoryDiagnosis" and owner["name"] == "one-shot", owner

        page_cache = result(report, "PageCache")
        assert not planted_row(page_cache["files"], file).get("shmem"), "a file on disk is said to be shared memory"
        shared = result(report, "SharedMemory")
        planted_row(shared["files"], shm)
        assert shared["totalBytes"] >= PLANTED_SHM, shared["totalBytes"]
        # The kernel's own counter, read at about the same time.
        difference = abs(page_cache["totalBytes"] - page_cache["nodeCachedBytes"])
        assert difference <= 64 * MIB + page_cache["nodeCachedBytes"] // 20, \
            f"{page_cache['totalBytes']} seen, {page_cache['nodeCachedBytes']} by the kernel"


def test_every_check(bench):
    """An empty list is every check; the server has a place for all that they report."""
    diagnose(bench, "everything", {"target": {"nodeName": "e2e-a"}, "window": "1s", "cpuBudget": "1m"})
    report = bench.get("memreport", "everything.e2e-a")
    kinds = {check["type"]: check["state"] for check in report["checks"]}
    assert {"MemoryBreakdown", "PageCache", "SharedMemory"} <= set(kinds), kinds
    assert set(kinds.values()) <= {"Complete", "Truncated"}, kinds
    node = result(report, "MemoryBreakdown")["node"]
    assert sum(line["bytes"] for line in node["lines"]) == node["totalBytes"], node
    for check in report["checks"]:
        assert check["type"][0].lower() + check["type"][1:] in check, f"{check['type']} has no result: {check}"


def test_findings_and_hints(bench):
    low = {"thresholds": [{"reason": reason, "warning": "1Mi"} for reason in ("PageCacheHigh", "SharedMemoryHigh")]}
    with Planted(disk_folder(bench), "file", PLANTED_FILE), Planted("/dev/shm", "shm", PLANTED_SHM):
        status = diagnose(bench, "findings", {"target": {"nodeName": "e2e-a"}, **CHECKS, **low})
    assert status["summary"]["critical"] + status["summary"]["warning"] > 0, status["summary"]
    assert condition_of(status, "FindingsDetected").get("status") == "True", status["conditions"]
    top = status["topFindings"][0]
    assert top["severity"] in ("Warning", "Critical") and top["node"] == "e2e-a" and top.get("hint"), top
    assert top["report"] == "findings.e2e-a", top
    assert columns(bench, "findings")["TOP-FINDING"].startswith(top["id"][:20]), columns(bench, "findings")

    report = bench.get("memreport", "findings.e2e-a")
    assert report["verdict"] in ("Warning", "Critical"), report["verdict"]
    assert top["id"] in [f["id"] for f in report["findings"]], report["findings"]
    hints = [hint for finding in report["findings"] for hint in finding.get("hints", [])]
    fields = ("summary", "command", "current", "proposed", "risk", "tradeOff")
    assert any(all(hint.get(field) for field in fields) for hint in hints), hints


def test_no_findings(bench):
    """The same with limits nothing can reach: an empty answer is an answer."""
    high = {"thresholds": [{"reason": reason, "warning": "900Ti", "critical": "900Ti"}
                           for reason in ("PageCacheHigh", "SharedMemoryHigh")]}
    status = diagnose(bench, "no-findings", {"target": {"nodeName": "e2e-a"}, **CHECKS, **high})
    assert condition_of(status, "FindingsDetected").get("status") == "False", status["conditions"]
    assert not status.get("topFindings"), status["topFindings"]
    assert bench.get("memreport", "no-findings.e2e-a")["verdict"] in ("OK", "Info")


def test_two_nodes(bench):
    status = diagnose(bench, "two-nodes", {"target": {"nodeSelector": {"memdiag-e2e": "yes"}}, **CHECKS})
    assert columns(bench, "two-nodes")["NODES"] == "2/2", status["summary"]
    for node in NODES:
        report = bench.get("memreport", f"two-nodes.{node}")
        assert report["nodeName"] == node, report["nodeName"]
        result(report, "PageCache")


def test_selector_without_nodes(bench):
    apply(bench, "nowhere", {"target": {"nodeSelector": {"memdiag-e2e": "no-such-node"}}, **CHECKS})

    def ended():
        status = bench.get("memorydiagnosis", "nowhere")["status"]
        return status if status.get("run", {}).get("state") in ("Complete", "Failed") else None

    status = eventually("a run without nodes ends", 30, ended)
    said = [c for c in status["conditions"] if c["type"] in ("Complete", "Stalled", "Ready") and c["message"]]
    assert said and status["observedGeneration"] == 1, status
    assert status.get("summary", {}).get("desired", 0) == 0, status["summary"]


def test_one_pod(bench):
    """The controller finds the pod's node; only that node's agent runs. A pod that is not there is told."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api-0", "namespace": "default"},
           "spec": {"nodeName": "e2e-b", "automountServiceAccountToken": False,
                    "containers": [{"name": "app", "image": "none"}]}}
    bench.kubectl(["create", "serviceaccount", "default", "-n", "default"]) # there is no controller manager to make it
    bench.apply(json.dumps(pod))
    status = diagnose(bench, "one-pod", {"target": {"pod": {"namespace": "default", "name": "api-0"}}, **CHECKS})
    assert status["run"]["nodeName"] == "e2e-b" and status["summary"]["nodes"] == "1/1", status
    report = bench.get("memreport", "one-pod.e2e-b")
    # No such container runs here: that is the answer of the node, not a failure.
    assert {check["reason"] for check in report["checks"]} == {"NoMatchingPods"}, report["checks"]
    apply(bench, "no-pod", {"target": {"pod": {"namespace": "default", "name": "gone"}}, **CHECKS})
    wait_for(bench, "no-pod", "Stalled", 20)
    stalled = condition_of(bench.get("memorydiagnosis", "no-pod")["status"], "Stalled")
    assert stalled["reason"] == "PodNotFound" and "gone" in stalled["message"], stalled


def test_changed_spec_runs_again(bench):
    spec = {"target": {"nodeName": "e2e-b"}, **CHECKS}
    diagnose(bench, "again", spec)
    apply(bench, "again", {**spec, "top": 5})

    def second_run():
        run = bench.get("memorydiagnosis", "again")["status"]["run"]
        return run["id"] == "g-2" and run["state"] == "Complete"

    eventually("the changed spec has run", 60, second_run)
    report = bench.get("memreport", "again.e2e-b")
    assert report["run"]["id"] == "g-2", report["run"]
    assert len(result(report, "PageCache")["files"]) <= 5
    assert [entry["runID"] for entry in report.get("history", [])] == ["g-1"], report.get("history")


def test_api_server_killed_mid_run(bench):
    """kill -9 at once after the apply, then a moment later; neither agent nor controller is started again."""
    api = bench.cluster.apiserver
    pids = {name: daemon.pid for name, daemon in bench.daemons.items()}
    for n, delay in enumerate((0, 0.3)):
        name = f"outage-{n}"
        apply(bench, name, {"target": {"nodeSelector": {"memdiag-e2e": "yes"}}, **CHECKS})
        time.sleep(delay)
        api.kill()
        try:
            time.sleep(3)
            alive(bench)
        finally:
            api.start()
        wait_for(bench, name, "Complete", 60)
        assert columns(bench, name)["NODES"] == "2/2", columns(bench, name)
    assert pids == {name: daemon.pid for name, daemon in bench.daemons.items()}
    alive(bench)


def test_deleted_mid_run(bench):
    for n, delay in enumerate((0, 0.05, 0.2, 0.5)):
        apply(bench, f"deleted-{n}", {"target": {"nodeSelector": {"memdiag-e2e": "yes"}}, **CHECKS})
        time.sleep(delay)
        bench.kubectl(["delete", "memorydiagnosis", f"deleted-{n}", "--wait=false"], check=True)
    diagnose(bench, "after-deleted", {"target": {"nodeSelector": {"memdiag-e2e": "yes"}}, **CHECKS})
    alive(bench)


def test_memory(bench):
    """After all these runs. VmHWM is the most it ever was."""
    alive(bench)
    too_much = []
    for daemon in bench.daemons.values():
        status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
        rss, peak = (int(re.search(rf"^{field}:\s+(\d+) kB", status, re.M).group(1)) * 1024
                     for field in ("VmRSS", "VmHWM"))
        print(f"   {daemon.name}: VmRSS {rss / MIB:.1f} MiB, VmHWM {peak / MIB:.1f} MiB", flush=True)
        if rss >= RSS_LIMIT:
            too_much.append(f"{daemon.name} uses {rss / MIB:.1f} MiB")
    assert not too_much, f"{', '.join(too_much)}; the limit is {RSS_LIMIT // MIB} MiB"


def test_sigterm(bench):
    alive(bench)
    for daemon in bench.daemons.values():
        os.kill(daemon.pid, signal.SIGTERM)
    wrong = []
    deadline = time.monotonic() + 5
    for daemon in bench.daemons.values():
        try:
            status = daemon.child.wait(max(0.01, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            status = "none within 5 s"
        if status != 0:
            wrong.append(f"{daemon.name}: exit status {status}")
    assert not wrong, "; ".join(wrong)
    clean_logs(bench)


TESTS = [
    test_one_shot,
    test_every_check,
    test_findings_and_hints,
    test_no_findings,
    test_two_nodes,
    test_selector_without_nodes,
    test_one_pod,
    test_changed_spec_runs_again,
    test_api_server_killed_mid_run,
    test_deleted_mid_run,
    test_memory,
    test_sigterm,
]
