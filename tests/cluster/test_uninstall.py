# SPDX-License-Identifier: Apache-2.0
"""`kubectl delete -k manifests/base`: nothing of ours is left but the file that is documented. The last module."""

import pathlib

from bench import NAMESPACE
from containerd_harness import memory_hierarchy
from kube_harness import eventually

CLUSTER_WIDE = ("crds,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,"
                "priorityclasses,namespaces")


def setup(bench):
    bench.install()


def ours(bench):
    names = bench.kubectl(["get", CLUSTER_WIDE, "-o", "name"], check=True).stdout.split()
    return [name for name in names if "memdiag" in name]


def test_nothing_is_left(bench):
    pods = [*bench.pods("agent"), *bench.pods("controller")]
    pids = [bench.pid(pod) for pod in pods]
    cgroups = [memory_hierarchy() / bench.cluster.cgroups.path.lstrip("/") / "kubepods/burstable" / f"pod{pod['metadata']['uid']}"
               for pod in pods]
    assert all(cgroup.exists() for cgroup in cgroups), cgroups
    others = {pod["metadata"]["uid"] for pod in bench.get("pods", "-A")["items"] if pod["metadata"]["namespace"] != NAMESPACE}
    bench.kubectl(["delete", "clusterrole,clusterrolebinding", "--ignore-not-found", "memdiag-agent-kubelet"], check=True)
    bench.kubectl(["delete", "-k", bench.root / "manifests/base", "--timeout=60s"], check=True)
    eventually("all of it is gone", 60, lambda: not ours(bench))
    assert not [pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists()]
    eventually("the pods' cgroups are gone", 30, lambda: not any(cgroup.exists() for cgroup in cgroups))
    assert {path.name for path in pathlib.Path("/var/lib/memdiag").iterdir()} == {"pods"}
    after = {pod["metadata"]["uid"] for pod in bench.get("pods", "-A")["items"]}
    assert others <= after, "other pods are gone"


TESTS = [test_nothing_is_left]
