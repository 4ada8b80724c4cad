# SPDX-License-Identifier: Apache-2.0
"""Whose a cgroup is: `memdiag pods` beside a real containerd, with the pods' cgroups of this kernel.

The container runtime is private (hack/containerd_harness.py): nothing of the node's own is asked or touched. Needs root.
"""

import json
import os
import signal
import subprocess
import time

from containerd_harness import Containerd, memory_hierarchy
from kube_harness import HarnessError, clean_environment, eventually

NEEDS_BINARY = True
NEEDS_CLUSTER = False
QOS_CLASS = {"guaranteed": "Guaranteed", "burstable": "Burstable", "besteffort": "BestEffort"}
PODS = [("web-0", "shop", "burstable"), ("db-0", "shop", "guaranteed"), ("cron-28", "batch", "besteffort")]
MANY_PODS, MANY_CONTAINERS = 10, 30

runtime = None
pods = []


def setup(bench):
    """Three pods, one of each QoS class, with two containers that run and one that has ended."""
    global runtime
    started = time.monotonic()
    runtime = Containerd()
    runtime.__enter__() # on failure it has cleaned up
    for name, namespace, qos in PODS:
        pod = runtime.run_pod(name, namespace, qos=qos, labels={"app": name})
        pod.run_container("app", memory_limit=64 << 20)
        pod.run_container("sidecar")
        pod.run_container("done", command=["true"])
        pods.append(pod)
    for pod in pods: # containerd removes the cgroup of what has ended a moment later
        eventually("the cgroup of an ended container goes", 10, lambda: not cgroup(
            f"{pod.cgroup}/{pod.containers['done']}").exists())
    print(f"containerd and {len(pods)} pods ready ({time.monotonic() - started:.1f} s)", flush=True)


def teardown(_bench):
    pods.clear()
    if runtime:
        runtime.close()


def list_pods(bench, socket=None, timeout=60):
    """What `memdiag pods -o json` prints; it must not fail, whatever the runtime does."""
    done = subprocess.run([bench.binary, "pods", "--cri-socket", socket or runtime.socket, "-o", "json"],
                          capture_output=True, text=True, timeout=timeout, env=clean_environment())
    if done.returncode != 0:
        raise HarnessError(f"memdiag pods: exit {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def rows_of(listing, pod):
    """The rows of a pod's cgroups by path."""
    return {row["cgroup"]: row for row in listing["pods"] if row["cgroup"].startswith(pod.cgroup)}


def cgroup(path):
    """Its folder in the memory controller's hierarchy."""
    return memory_hierarchy() / path.lstrip("/")


def expect_rows(listing, pod, source):
    """The pod's cgroups: its own, the sandbox's, those of the containers that run; each with what is known of it."""
    rows = rows_of(listing, pod)
    named = source != "cgroup"
    running = {f"{pod.cgroup}/{container}": name for name, container in pod.containers.items() if name != "done"}
    expected = {pod.cgroup: None, f"{pod.cgroup}/{pod.id}": "(sandbox)", **running}
    assert set(rows) == set(expected), f"cgroups of {pod.name}: {sorted(rows)} instead of {sorted(expected)}"
    for path, container in expected.items():
        row = rows[path]
        for field, value in [("source", source), ("podUID", pod.uid), ("qosClass", QOS_CLASS[pod.qos]),
                             ("cgroupID", str(cgroup(path).stat().st_ino)), ("container", container if named else None),
                             ("namespace", pod.namespace if named else None), ("pod", pod.name if named else None)]:
            assert row.get(field) == value, f"{field} of {path}: {row.get(field)!r} instead of {value!r}"


def expect_named(listing, some):
    """All of these pods resolve to their names."""
    assert listing["runtime"].startswith("containerd "), f"runtime: {listing.get('runtime')!r}"
    assert "runtimeProblem" not in listing, f"runtimeProblem: {listing['runtimeProblem']}"
    for pod in some:
        expect_rows(listing, pod, "cri")


def expect_unnamed(listing, problem):
    """What the paths alone tell is there, and why it is not more."""
    assert "runtime" not in listing, f"runtime: {listing.get('runtime')!r}"
    assert problem in listing["runtimeProblem"], f"runtimeProblem: {listing['runtimeProblem']!r} without {problem!r}"
    for pod in pods:
        expect_rows(listing, pod, "cgroup")


def test_names(bench):
    """Every container that runs has its namespace, pod and name; one that has ended has no cgroup."""
    listing = list_pods(bench)
    expect_named(listing, pods)
    assert listing["dropped"] == 0, f"dropped: {listing['dropped']}"


def test_pod_comes_and_goes(bench):
    pod = runtime.run_pod("late", "shop")
    pod.run_container("app")
    expect_named(list_pods(bench), [*pods, pod])
    pod.remove()
    listing = list_pods(bench)
    assert not rows_of(listing, pod), f"rows of a removed pod: {rows_of(listing, pod)}"
    expect_named(listing, pods)


def test_runtime_stopped(bench):
    """The pods run on without it: only their names are lost, and come back."""
    runtime.stop()
    try:
        expect_unnamed(list_pods(bench), str(runtime.socket))
    finally:
        runtime.start()
    expect_named(list_pods(bench), pods)


def test_runtime_hangs(bench):
    """It takes the connection and says nothing: the answer comes without it, in bounded time."""
    os.kill(runtime.daemon.pid, signal.SIGSTOP)
    try:
        expect_unnamed(list_pods(bench, timeout=30), "no answer within")
    finally:
        os.kill(runtime.daemon.pid, signal.SIGCONT)
    expect_named(list_pods(bench), pods)


def test_no_socket(bench):
    expect_unnamed(list_pods(bench, socket=runtime.folder / "nothing.sock"), "nothing.sock")


def test_no_runtime_asked(bench):
    """The runtime is not to be asked, and that is what is told."""
    done = subprocess.run([bench.binary, "pods", "--cri-socket", "none", "-o", "json"], capture_output=True, text=True,
                          timeout=60, env=clean_environment())
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr.strip()}"
    expect_unnamed(json.loads(done.stdout), "not asked")


def test_many(bench):
    """300 containers in 10 pods. The last test: teardown removes them faster than CRI does."""
    many = runtime.run_many(MANY_PODS, MANY_CONTAINERS)
    listing = list_pods(bench)
    expect_named(listing, [*pods, *many])
    named = sum(row.get("namespace") == "many" and row.get("container") not in (None, "(sandbox)")
                for row in listing["pods"])
    assert named == MANY_PODS * MANY_CONTAINERS, f"{named} containers have names"


TESTS = [test_names, test_pod_comes_and_goes, test_runtime_stopped, test_runtime_hangs, test_no_socket,
         test_no_runtime_asked, test_many]
