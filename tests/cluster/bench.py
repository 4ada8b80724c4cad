# SPDX-License-Identifier: Apache-2.0
"""What a test of tests/cluster gets."""

import json
import time

from kube_harness import HarnessError

NAMESPACE = "memdiag-system"
IMAGE = "memdiag.test/busybox:1" # the harness has made it


class Bench:
    def __init__(self, cluster, root):
        self.cluster, self.root = cluster, root
        self.kubectl, self.get = cluster.kubectl, cluster.get
        self.daemons = {} # all run in pods
        self.install_seconds = None

    def stop_all(self):
        pass

    # -- memdiag ------------------------------------------------------------------------------------------------------

    def install(self, folder=None):
        """As a user would; waits until all pods are ready. The first time it is measured."""
        started = time.monotonic()
        self.kubectl(["apply", "-k", folder or self.root / "manifests/base", "--server-side"], check=True)
        for what in ("daemonset/memdiag-agent", "deployment/memdiag-controller"):
            self.kubectl(["rollout", "status", "-n", NAMESPACE, what, "--timeout=60s"], check=True)
        if self.install_seconds is None:
            self.install_seconds = time.monotonic() - started

    def pods(self, component):
        """Those of ours that are not about to end."""
        items = self.get("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/component={component}")["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def agent(self):
        agents = self.pods("agent")
        if len(agents) != 1:
            raise HarnessError(f"{len(agents)} agents")
        return agents[0]

    def in_agent(self, *command):
        """What a command prints in the agent's container."""
        return self.kubectl(["exec", "-n", NAMESPACE, self.agent()["metadata"]["name"], "--", *command], check=True).stdout

    def diagnose(self, name, spec):
        """Its report of the node."""
        self.apply({"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "metadata": {"name": name},
                    "spec": {"window": "1s", **spec}})
        return self.report(name)

    def report(self, name):
        done = self.kubectl(["wait", "--for=condition=Complete", "--timeout=60s", f"memorydiagnosis/{name}"])
        if done.returncode != 0:
            status = self.get("memorydiagnosis", name).get("status")
            raise HarnessError(f"{name}: {done.stderr.strip()}; status: {json.dumps(status)}")
        return self.get("memreport", f"{name}.{self.cluster.node}")

    # -- anything -----------------------------------------------------------------------------------------------------

    def apply(self, *objects):
        self.kubectl(["apply", "--server-side", "-f", "-"],
                     input={"apiVersion": "v1", "kind": "List", "items": list(objects)}, check=True)

    def pid(self, pod, container=0):
        """On the node, of a container's first process."""
        container_id = pod["status"]["containerStatuses"][container]["containerID"].removeprefix("containerd://")
        return self.cluster.runtime.status(container_id)["pid"]

    def process_status(self, pod):
        """/proc/PID/status of a pod's first process."""
        with open(f"/proc/{self.pid(pod)}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)

    def logs(self):
        """For a failure: our pods and what is told about them, the ends of their logs and of the node's daemons'."""
        out = [self.kubectl(["get", "pods", "-A", "-o", "wide"]).stdout,
               self.kubectl(["get", "events", "-A", "--field-selector=type=Warning"]).stdout]
        for component in ("agent", "controller"):
            out.append(self.kubectl(["logs", "-n", NAMESPACE, "--prefix", "--tail=20", "-l",
                                     f"app.kubernetes.io/component={component}"]).stdout)
        return "\n".join([*out, *(daemon.tail(4) for daemon in (self.cluster.kubelet, self.cluster.runtime.daemon))])


def check_of(report, type_):
    """Its entry in the report."""
    return next(check for check in report["checks"] if check["type"] == type_)
