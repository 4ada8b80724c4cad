#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A run on thousands of nodes: hollow agents (tests/scale/hollow.c) and the real controller against a real API server.

    tests/scale/run.py [--nodes 5000] MEMDIAG_BINARY HOLLOW_BINARY

Prints what was measured and `N passed, N failed`. Two runs are made: a one-shot, and the same again on request.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "hack")]

from kube_harness import Api, ControlPlane, Daemon, HarnessError, clean_environment, exit_on_signals  # noqa: E402

NAMESPACE = "memdiag-system"
PER_PROCESS = 500
MIB = 1 << 20
API = "/apis/memdiag.io/v1alpha1"


def make_node(api, name):
    """The node, and "NAME TOKEN" with a token as its agent's pod would have it."""
    node = json.loads(api.must("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}))
    bound = {"kind": "Node", "apiVersion": "v1", "name": name, "uid": node["metadata"]["uid"]}
    token = json.loads(api.must(
        "POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/memdiag-agent/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
         "spec": {"expirationSeconds": 7200, "boundObjectRef": bound}}))
    return f"{name} {token['status']['token']}"


def counters(api):
    """(writes of our kinds, answers 429 by what was asked) as the API server counts them."""
    writes, throttled = 0, collections.Counter()
    for line in api.must("GET", "/metrics").decode().splitlines():
        if not line.startswith("apiserver_request_total{"):
            continue
        labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
        n = int(float(line.rsplit(" ", 1)[1]))
        if labels["code"] == "429":
            throttled[f"{labels['verb']} {labels['resource']}"] += n
        if labels["group"] == "memdiag.io" and labels["verb"] in ("APPLY", "PATCH", "POST", "PUT") and labels["code"][0] == "2":
            writes += n
    return writes, throttled


def rss(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return tuple(int(re.search(rf"{key}:\s+(\d+)", text)[1]) * 1024 for key in ("VmRSS", "VmHWM"))


def wait_complete(api, name, run_id, seconds):
    deadline = time.monotonic() + seconds
    while True:
        obj = json.loads(api.must("GET", f"{API}/memorydiagnoses/{name}"))
        run = obj.get("status", {}).get("run", {})
        if (run_id is None or run.get("id") != run_id) and run.get("state") in ("Complete", "Failed", "Replaced"):
            return obj
        if time.monotonic() > deadline:
            raise HarnessError(f"not complete after {seconds} s: {json.dumps(obj.get('status', {}))[:600]}")
        time.sleep(1)


class Results:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, good, detail):
        print(f"{'ok' if good else 'FAIL'} {what}: {detail}", flush=True)
        self.passed += bool(good)
        self.failed += not good


def measure_run(results, api, controller, nodes, name, start, previous):
    writes, throttled = counters(api)
    begin = time.monotonic()
    start()
    obj = wait_complete(api, name, previous, 900)
    seconds = time.monotonic() - begin
    status, summary = obj["status"], obj["status"]["summary"]
    writes_after, throttled_after = counters(api)
    now, peak = rss(controller.pid)
    size = len(json.dumps(status))
    results.check("run", status["run"]["state"] == "Complete" and summary["reported"] == nodes and summary["missing"] == 0,
                  f"{status['run']['id']} {status['run']['state']}, {summary['nodes']} nodes in {seconds:.0f} s "
                  f"(spread over {status['run'].get('spreadSeconds')} s)")
    results.check("API writes", writes_after - writes <= nodes + 10, f"{writes_after - writes} for {nodes} nodes")
    throttled = throttled_after - throttled
    results.check("429", throttled.total() <= nodes // 100, f"{throttled.total()} answers {dict(throttled)}")
    results.check("controller", peak <= 64 * MIB, f"{now / MIB:.1f} MiB RSS, {peak / MIB:.1f} at most")
    results.check("status", size <= 16384, f"{size} bytes")
    return obj


def prepare(api, nodes, folder):
    """Nodes and tokens; files of PER_PROCESS each."""
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        lines = list(pool.map(lambda i: make_node(api, f"hollow-{i:05d}"), range(nodes)))
    files = []
    for at in range(0, nodes, PER_PROCESS):
        path = folder / f"nodes-{at}"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines[at:at + PER_PROCESS]) + "\n")
        files.append(path)
    print(f"{nodes} nodes with tokens ({time.monotonic() - begin:.0f} s)", flush=True)
    return files


def make_template(binary, folder):
    """A real report of this host, as big as such reports are."""
    done = subprocess.run([binary, "run", "--check", "PageCache", "--check", "CgroupLeak", "--top", "10", "-o", "json"],
                          stdout=subprocess.PIPE, check=True, env=clean_environment())
    path = folder / "report.json"
    path.write_bytes(done.stdout)
    print(f"report of {len(done.stdout) / 1024:.0f} KiB", flush=True)
    return path


def watching(api):
    text = api.must("GET", "/metrics").decode()
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in text.splitlines()
               if line.startswith("apiserver_longrunning_requests{") and 'resource="memorydiagnoses"' in line)


def wait_watching(api, nodes):
    begin = time.monotonic()
    while watching(api) < nodes:
        if time.monotonic() - begin > 300:
            raise HarnessError(f"{watching(api)} of {nodes} agents watch after 300 s")
        time.sleep(2)


def scale(args, folder, cluster):
    api, results = Api(cluster), Results()
    cluster.kubectl(["apply", "-k", ROOT / "manifests/base", "--server-side"], check=True)
    cluster.kubectl(["wait", "--for=condition=Established", "--timeout=30s", "crd/memorydiagnoses.memdiag.io",
                     "crd/memorydiagnosisreports.memdiag.io"], check=True)
    files = prepare(api, args.nodes, folder)
    template = make_template(args.binary, folder)
    kubeconfig = cluster.service_account_kubeconfig(NAMESPACE, "memdiag-controller")
    controller = Daemon("controller", [args.binary, "controller", "--kubeconfig", kubeconfig], folder / "controller.log").start()
    hollows = []
    for i, path in enumerate(files): # one after the other: all at once would measure TLS handshakes
        hollows.append(Daemon(path.name, [args.hollow, cluster.server, cluster.pki.ca, template, path],
                              folder / f"{path.name}.log").start())
        wait_watching(api, min((i + 1) * PER_PROCESS, args.nodes))
    print(f"{args.nodes} agents watch", flush=True)
    name = "everywhere"
    obj = {"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "metadata": {"name": name},
           "spec": {"checks": [{"type": "PageCache"}], "activeDeadlineSeconds": 900}}
    obj = measure_run(results, api, controller, args.nodes, name,
                      lambda: api.must("POST", f"{API}/memorydiagnoses", obj), None)
    ask = {"metadata": {"annotations": {"memdiag.io/run-requested-at": "again"}}}
    measure_run(results, api, controller, args.nodes, name,
                lambda: api.must("PATCH", f"{API}/memorydiagnoses/{name}", ask, "application/merge-patch+json"),
                obj["status"]["run"]["id"])
    total = sum(rss(daemon.pid)[0] for daemon in hollows)
    print(f"hollow agents: {total / MIB:.0f} MiB RSS, {total / args.nodes / 1024:.0f} KiB each; "
          f"API server {rss(cluster.apiserver.pid)[0] / MIB:.0f} MiB, etcd {rss(cluster.etcd.pid)[0] / MIB:.0f} MiB", flush=True)
    for daemon in (*hollows, controller):
        results.check(daemon.name, daemon.running(), "runs on" if daemon.running() else daemon.tail())
        daemon.stop()
    return results


def main(argv):
    parser = argparse.ArgumentParser(description="A run on thousands of nodes.")
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("hollow", type=pathlib.Path)
    args = parser.parse_args(argv)
    args.binary, args.hollow = args.binary.resolve(), args.hollow.resolve()
    exit_on_signals()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard)) # each agent has two connections, the API server both ends
    folder = pathlib.Path(tempfile.mkdtemp(prefix="memdiag-scale-"))
    try:
        with ControlPlane() as cluster:
            results = scale(args, folder, cluster)
    except HarnessError as e:
        print(f"FAIL scale: {e}\nlogs are kept in {folder}")
        print("0 passed, 1 failed")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    print(f"{results.passed} passed, {results.failed} failed")
    return 0 if results.passed and not results.failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
