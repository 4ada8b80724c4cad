# SPDX-License-Identifier: Apache-2.0
"""manifests/components/kubelet: the agent asks its kubelet, which must allow it, over TLS that is verified."""

import json
import os

from bench import IMAGE, NAMESPACE
from kube_harness import eventually


def setup(bench):
    start_pod(bench, "guaranteed")


def start_pod(bench, name):
    resources = {"limits": {"memory": "48Mi", "cpu": "100m"}}
    bench.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
                 "spec": {"terminationGracePeriodSeconds": 1,
                          "containers": [{"name": "app", "image": IMAGE, "resources": resources}]}})
    bench.kubectl(["wait", "--for=condition=Ready", "--timeout=60s", f"pod/{name}"], check=True)


def overlay(bench, *without):
    """A user's folder, with the component, less some of its objects."""
    folder = bench.cluster.folder / "overlay"
    folder.mkdir(exist_ok=True)
    base = os.path.relpath(bench.root / "manifests", folder)
    (folder / "kustomization.yaml").write_text(json.dumps({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [f"{base}/base"],
        "components": [f"{base}/components/kubelet"],
        "patches": [{"patch": json.dumps({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
                                          "metadata": {"name": name}, "$patch": "delete"})}
                    for kind, name in without]}))
    return folder


def log(bench):
    return bench.kubectl(["logs", "-n", NAMESPACE, bench.agent()["metadata"]["name"]], check=True).stdout


def kubelet_options(bench):
    """As the agent has them, from a process of its container."""
    address = bench.agent()["status"]["hostIP"]
    return [arg.replace("$(NODE_IP)", address) for arg in bench.agent()["spec"]["containers"][0]["args"]
            if arg.startswith("--kubelet-")]


def test_refused_without_the_rule(bench):
    bench.install(overlay(bench, ("ClusterRoleBinding", "memdiag-agent-kubelet")))
    said = eventually("the agent says why", 20, lambda: [line for line in log(bench).splitlines() if "403" in line])
    assert "Forbidden" in said[0] and "nodes" in said[0], said
    listing = json.loads(bench.in_agent("memdiag", "pods", "-o", "json", *kubelet_options(bench)))
    assert "403" in listing["kubeletProblem"], listing.get("kubeletProblem")
    assert {row["source"] for row in listing["pods"]} == {"cri"}, "the runtime's names are there all the same"


def test_allowed_with_it(bench):
    """nodes/pods alone is enough, which the kubelet has asked for since 1.33 (KubeletFineGrainedAuthz)."""
    bench.install(overlay(bench))
    listing = json.loads(bench.in_agent("memdiag", "pods", "-o", "json", *kubelet_options(bench)))
    assert "kubeletProblem" not in listing, listing["kubeletProblem"]
    row, = [row for row in listing["pods"] if row.get("pod") == "guaranteed" and row.get("container") == "app"]
    assert (row["source"], row["qosClass"], row["memoryLimitBytes"]) == ("kubelet", "Guaranteed", 48 << 20), row
    start_pod(bench, "another") # for which the agent looks again
    eventually("the agent says so", 20, lambda: "the kubelet answers again" in log(bench))


def test_certificate_is_verified(bench):
    """Another CA is not good enough, nor another name."""
    options = [option for option in kubelet_options(bench) if not option.startswith("--kubelet-ca=")]
    for wrong in (["--kubelet-ca=/etc/ssl/certs/ca-certificates.crt"],
                  ["--kubelet-ca=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "--kubelet-server-name=other"]):
        listing = json.loads(bench.in_agent("memdiag", "pods", "-o", "json", *options, *wrong))
        assert "certificate" in listing.get("kubeletProblem", "").lower(), (wrong, listing.get("kubeletProblem"))


TESTS = [test_refused_without_the_rule, test_allowed_with_it, test_certificate_is_verified]
