#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster of one node for tests: etcd, API server, controller manager, scheduler, kubelet, containerd.

    from cluster_harness import Cluster, prepare
    image = prepare()                 # builds what is missing; needs the network
    with Cluster([image]) as cluster: # from here on this process lives on the "node"
        cluster.kubectl(["get", "nodes"], check=True)

From a shell: `hack/cluster_harness.py run DIR` keeps one up until SIGTERM or SIGINT and prints how to get at it, and
`hack/cluster_harness.py clean` removes what a harness that was killed has left (each start does that, too).

The node is this machine's kernel seen through namespaces: processes see all others, as on a node; mounts, network and host
name are the harness's own, made by Cluster() in its own process, which stays there. So ports and paths are those of a real
node (/run/containerd, /var/lib/kubelet, 10250), and all of it goes with the last process. Pods have a bridge, made by CNI's
own plugins; there is no kube-proxy, since the one Service needed, the API server's, is an address of the node itself. The
kubelet's sysctls are files of ours, so that it does not change the machine's. All cgroups are below one of our own, beside
which other pods may run. Root. Python's standard library; hack/get-control-plane.sh, hack/install-deps.sh cluster.
"""

import ctypes
import fcntl
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

import containerd_harness
from containerd_harness import Containerd, hierarchies, is_ours, kill_cgroup, remove_cgroup
from kube_harness import (LIBC, ControlPlane, Daemon, HarnessError, certificate_user, clean_environment, eventually,
                          find_binaries, keep_up)

HERE = pathlib.Path(__file__).resolve().parent
PREFIX = "memdiag-cluster-"
NODE = "node-1"
NODE_IP = "192.0.2.10" # for documentation: no real network has it
SERVICE_IP = "10.96.0.1" # of the Service "kubernetes": the first of the range
DNS_IP = "10.96.0.10" # nobody answers: a kubelet without one complains about each pod
PODS = "10.244.0.0/24"
ON_DISK = ("/run/containerd", "/var/lib/kubelet", "/var/lib/memdiag") # layers, emptyDirs; the rest of the node is in memory
PROGRAMS = ("kube-controller-manager", "kube-scheduler", "kubelet")
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
# What a kubelet sets on its start.
SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
           "kernel/keys/root_maxbytes")


def prepare():
    """Builds what is missing, for which the network is needed: programs and image. The image's archive."""
    os.environ["KUBEBUILDER_ASSETS"] = str(find_binaries(*PROGRAMS)) # where they are found from now on
    done = subprocess.run([HERE / "build-image.sh", "archive"], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise HarnessError("hack/build-image.sh failed; its messages are above")
    return pathlib.Path(done.stdout.strip())


def must(*argv):
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise HarnessError(f"{' '.join(map(str, argv))}: {done.stderr.strip() or done.stdout.strip()}")


def bind(source, target):
    """What is mounted below the target later does not appear below the source, too."""
    target.mkdir(parents=True, exist_ok=True)
    source.mkdir(parents=True, exist_ok=True)
    must("mount", "--bind", source, target)
    must("mount", "--make-private", target)
    must("mount", "--make-shared", target)


# --- the node ----------------------------------------------------------------------------------------------------------

def enter_node(folder):
    """Gives this process, which must have one thread, the node's namespaces. There is no way back."""
    if LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET) != 0:
        raise HarnessError(f"unshare: {os.strerror(ctypes.get_errno())}")
    socket.sethostname(NODE)
    must("mount", "--make-rprivate", "/")
    must("mount", "--make-rshared", "/") # what systemd does; without it no pod may ask for mountPropagation
    make_mounts(folder)
    make_network()


def make_mounts(folder):
    """Folders of the node: in memory, or on the disk in the harness's folder."""
    for path in ("/run", "/var/lib", "/var/log"):
        must("mount", "-t", "tmpfs", "-o", "mode=755", "memdiag-cluster", path)
    for path in ON_DISK:
        bind(folder / "node" / path.replace("/", "_"), pathlib.Path(path))
    for sysctl in SYSCTLS:
        real, ours = pathlib.Path("/proc/sys") / sysctl, folder / "sysctls" / sysctl
        ours.parent.mkdir(parents=True, exist_ok=True)
        ours.write_text(real.read_text())
        must("mount", "--bind", ours, real)


def make_network():
    """The node's address is at one end of a cable that leads nowhere: nothing outside can be reached, nor reach it."""
    for command in (["link", "set", "lo", "up"], ["address", "add", f"{SERVICE_IP}/32", "dev", "lo"],
                    ["link", "add", "eth0", "type", "veth", "peer", "name", "outside"],
                    ["address", "add", f"{NODE_IP}/24", "dev", "eth0"], ["link", "set", "outside", "up"],
                    ["link", "set", "eth0", "up"]):
        must("ip", *command)


class Cgroups:
    """One cgroup in all hierarchies, the node's root: the daemons' below it, and what the kubelet makes."""

    def __init__(self, name):
        self.path = f"/{name}"
        self.daemons = f"{self.path}/daemons"

    def make(self):
        for hierarchy in hierarchies():
            for path in (self.path, self.daemons):
                folder = hierarchy / path.lstrip("/")
                folder.mkdir(exist_ok=True)
                for file in ("cpuset.cpus", "cpuset.mems"): # v1: empty at first, and then nothing can run there
                    if (folder / file).exists():
                        (folder / file).write_text((folder.parent / file).read_text())

    def enter(self):
        """A command that gives what follows it, and its children, this cgroup: their own processes outlive the daemons."""
        files = [str(hierarchy / self.daemons.lstrip("/") / "cgroup.procs") for hierarchy in hierarchies()]
        return ["sh", "-c", 'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1"; shift; n=$((n - 1)); done; exec "$@"', "sh",
                str(len(files)), *files]

    def remove(self):
        kill_cgroup(self.path)
        remove_cgroup(self.path)


def clean():
    """Removes what harnesses have left that were killed; their number."""
    count = 0
    for folder in pathlib.Path("/var/tmp").glob(f"{PREFIX}*"):
        if is_ours(folder) and hold(folder):
            Cgroups(folder.name).remove()
            shutil.rmtree(folder)
            count += 1
    return count


def hold(folder):
    """The lock that says that the folder is in use as long as this process lives; None: it is another's."""
    lock = open(folder / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


# --- its parts ---------------------------------------------------------------------------------------------------------

class NodeRuntime(Containerd):
    """Where a real one is, with a network for pods."""

    NETWORK = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}

    def __init__(self, command):
        self.COMMAND = command
        super().__init__("/run/containerd")


class NodeControlPlane(ControlPlane):
    PORT = 443
    NAMES = f"{ControlPlane.NAMES},IP:{SERVICE_IP},IP:{NODE_IP}"

    def _apiserver_argv(self, assets, etcd_port):
        certificate, key = self.pki.certificate("apiserver-kubelet", "/O=system:masters/CN=apiserver-kubelet")
        return [*super()._apiserver_argv(assets, etcd_port), "--bind-address=0.0.0.0", f"--advertise-address={NODE_IP}",
                f"--kubelet-client-certificate={certificate}", f"--kubelet-client-key={key}",
                f"--kubelet-certificate-authority={self.pki.ca}", "--kubelet-preferred-address-types=InternalIP"]


def kubelet_config(cluster):
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs", "cgroupRoot": cluster.cgroups.path, "failCgroupV1": False, "failSwapOn": False,
        "authentication": {"x509": {"clientCAFile": str(cluster.pki.ca)}, "webhook": {"enabled": True},
                           "anonymous": {"enabled": False}},
        # Rules that come and go are seen at once.
        "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "1s", "cacheUnauthorizedTTL": "1s"}},
        "serverTLSBootstrap": True,
        "volumePluginDir": str(cluster.folder / "plugins"), "resolvConf": "", "makeIPTablesUtilChains": False,
        "clusterDNS": [DNS_IP], "staticPodPath": str(cluster.static_pods), "fileCheckFrequency": "1s",
        "oomScoreAdj": 0, # what is negative takes CAP_SYS_RESOURCE
        "syncFrequency": "10s", "nodeStatusUpdateFrequency": "5s",
        # The machine's disk and memory are others' affair.
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "10Mi", "nodefs.available": "0%", "imagefs.available": "0%",
                         "nodefs.inodesFree": "0%"},
    }


class Cluster(NodeControlPlane):
    """
    A ControlPlane that runs pods. `runtime` is its containerd, `kubelet` and the others are Daemons; what is put into the folder
    `static_pods` runs without the API server.
    """

    node = NODE

    def __init__(self, images=(), folder=None):
        clean()
        containerd_harness.clean() # its own start would do it, but from the node it sees no mounts
        super().__init__(folder or tempfile.mkdtemp(prefix=PREFIX, dir="/var/tmp")) # not in memory: layers, emptyDirs
        self.keep = folder is not None
        self.images = images
        self.lock = hold(self.folder)
        self.static_pods = self.folder / "static"
        self.static_pods.mkdir(exist_ok=True)
        self.cgroups = Cgroups(self.folder.name if self.folder.name.startswith(PREFIX) else PREFIX + self.folder.name)
        self.runtime = self.kubelet = self.manager = self.scheduler = None

    def start(self):
        """Starts all and waits until the node is ready: 9 seconds."""
        self.cgroups.make()
        enter_node(self.folder)
        self.runtime = NodeRuntime(self.cgroups.enter())
        self.runtime.__enter__()
        for image in self.images:
            must(*self.runtime.ctr, "images", "import", image)
        super().start()
        assets = find_binaries(*PROGRAMS)
        self.manager = self._daemon(assets, "kube-controller-manager", "system:kube-controller-manager", [
            "--bind-address=127.0.0.1", "--leader-elect=false", "--use-service-account-credentials",
            f"--service-account-private-key-file={self.pki.folder / 'service-account.key'}", f"--root-ca-file={self.pki.ca}",
            f"--cluster-signing-cert-file={self.pki.ca}", f"--cluster-signing-key-file={self.pki.ca_key}"])
        self.scheduler = self._daemon(assets, "kube-scheduler", "system:kube-scheduler", [
            "--bind-address=127.0.0.1", "--leader-elect=false"])
        config = self.folder / "kubelet.json"
        config.write_text(json.dumps(kubelet_config(self)))
        self.kubelet = self._daemon(assets, "kubelet", f"system:node:{NODE}", [
            f"--config={config}", f"--hostname-override={NODE}", f"--node-ip={NODE_IP}",
            f"--cert-dir={self.folder / 'kubelet-pki'}"], "system:nodes")
        eventually("the kubelet asks for a certificate", 60, self._approve)
        self.kubectl(["wait", "--for=condition=Ready", "--timeout=60s", f"node/{NODE}"], check=True)
        eventually("the node takes pods", 60, lambda: not self.get("node", NODE)["spec"].get("taints"))
        return self

    def _daemon(self, assets, name, user, argv, group=None):
        config = self.folder / f"{name}.kubeconfig"
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        self.write_kubeconfig(config, certificate_user(self.pki.certificate(name, subject)))
        return Daemon(name, [assets / name, f"--kubeconfig={config}", *argv], self.folder / f"{name}.log",
                      env=clean_environment(AWS_EC2_METADATA_DISABLED="true")).start()

    def _approve(self):
        """The certificate that the kubelet serves with: nobody else approves it."""
        waiting = [item["metadata"]["name"] for item in self.get("csr")["items"] if not item.get("status")]
        return waiting and self.kubectl(["certificate", "approve", *waiting], check=True)

    def daemons(self):
        return [self.runtime.daemon, *super().daemons(), self.manager, self.scheduler, self.kubelet]

    def stop(self):
        """Ends everything at once and puts everything back. A second time it does nothing."""
        for daemon in (self.kubelet, self.scheduler, self.manager, self.runtime and self.runtime.daemon):
            if daemon:
                daemon.kill()
        self.cgroups.remove()
        for path in ON_DISK if self.runtime else (): # a folder on which something is mounted can't be removed
            must("umount", "--recursive", "--lazy", path)
        self.runtime = None
        super().stop()


def main(argv):
    if argv[1:] == ["clean"]:
        print(f"{clean()} clusters cleaned up")
        return 0
    if len(argv) != 3 or argv[1] != "run":
        print(f"usage: {argv[0]} run DIR | clean", file=sys.stderr)
        return 2
    return keep_up(argv[0], lambda: Cluster([prepare()], argv[2]), lambda cluster: (
        f"nsenter --target={os.getpid()} --mount --net --uts env KUBECONFIG={cluster.kubeconfig} bash"))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
