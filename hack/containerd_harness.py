#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real containerd with CRI for tests: its own socket and folder, images made on the spot, pods without a kubelet.

    from containerd_harness import Containerd
    with Containerd() as runtime:
        pod = runtime.run_pod("web-0", "shop", qos="burstable", labels={"app": "web"})
        container_id = pod.run_container("app", command=["sleep", "100"], memory_limit=64 << 20)
        runtime.stop(); runtime.start()  # the containers live on
        pod.remove()

From a shell: `hack/containerd_harness.py run DIR [PODS]` keeps one up, with so many pods, until SIGTERM or SIGINT and prints
its socket; `hack/containerd_harness.py clean` removes what a harness that was killed has left (each start does that, too).

Pods are as the kubelet makes them with the cgroupfs driver (cgroup paths, labels, log folders), but for the network: they
use the host's, so no CNI plugin is needed. Root only. Everything is put back at the end: processes, mounts, cgroups, files;
sysctls are left alone, for nothing here changes any. Python's standard library; Debian's containerd, runc, busybox-static,
curl (hack/install-deps.sh containers).
"""

import concurrent.futures
import contextlib
import fcntl
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid

from kube_harness import Daemon, HarnessError, clean_environment, eventually, exit_on_signals

IMAGE = "memdiag.test/busybox:1"
BUSYBOX = pathlib.Path("/bin/busybox")
PREFIX = "memdiag-containerd-"
SHIM_SOCKETS = pathlib.Path("/run/containerd/s") # containerd has no option for it
QOS = {"guaranteed": "", "burstable": "/burstable", "besteffort": "/besteffort"}


# --- protobuf, as much as CRI needs ------------------------------------------------------------------------------------

def varint(number):
    number &= (1 << 64) - 1 # negative int64s have ten bytes
    out = bytearray()
    while number > 0x7f:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(fields):
    """{number: value} as a message. int: varint; str, bytes; dict: submessage; list: repeated. None is left out."""
    out = bytearray()
    for number, value in fields.items():
        for item in value if isinstance(value, list) else [value]:
            if item is None:
                continue
            if isinstance(item, int):
                out += varint(number << 3) + varint(item)
                continue
            data = encode(item) if isinstance(item, dict) else item.encode() if isinstance(item, str) else item
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return bytes(out)


def string_map(strings):
    """map<string, string>: repeated entries of key and value."""
    return [{1: key, 2: value} for key, value in (strings or {}).items()]


def decode(data):
    """A message as {number: [int or bytes, ...]}; submessages stay bytes."""
    out, at = {}, 0

    def number():
        nonlocal at
        result = shift = 0
        while True:
            byte = data[at]
            at += 1
            result |= (byte & 0x7f) << shift
            shift += 7
            if not byte & 0x80:
                return result

    while at < len(data):
        key = number()
        if key & 7 == 0:
            value = number()
        else:
            size = {1: 8, 5: 4}.get(key & 7) or number()
            value, at = data[at:at + size], at + size
        out.setdefault(key >> 3, []).append(value)
    return out


def text(message, number):
    return message.get(number, [b""])[0].decode()


class CriError(HarnessError):
    """A call failed; `status` is the gRPC code, None when there was none."""

    def __init__(self, what, status=None):
        super().__init__(what)
        self.status = status


class Cri:
    """CRI v1 calls: gRPC by curl, one process a call (10 ms)."""

    def __init__(self, socket):
        self.socket = pathlib.Path(socket)

    def call(self, method, fields=None, service="RuntimeService", timeout=60):
        """The reply of runtime.v1.SERVICE/METHOD to the request with these fields, decoded."""
        message = encode(fields or {})
        with tempfile.TemporaryDirectory(prefix="memdiag-cri-") as folder:
            body = pathlib.Path(folder) / "body"
            done = subprocess.run(
                ["curl", "-sS", "--http2-prior-knowledge", "--unix-socket", self.socket, "--max-time", str(timeout),
                 "-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "expect:", "--data-binary", "@-",
                 "-D", "-", "-o", body, f"http://localhost/runtime.v1.{service}/{method}"],
                input=b"\0" + len(message).to_bytes(4, "big") + message, capture_output=True,
                env=clean_environment())
            headers = dict(line.split(": ", 1) for line in done.stdout.decode().splitlines() if ": " in line)
            status = headers.get("grpc-status")
            if status != "0":
                reason = headers.get("grpc-message") or done.stderr.decode().strip() or "no grpc-status"
                raise CriError(f"CRI {method}: {reason}", int(status) if status else None)
            return decode(body.read_bytes()[5:])


# What the kubelet asks for unless procMount is Unmasked.
MASKED_PATHS = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"]
READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def security_context(spec):
    """A Kubernetes securityContext, of pod and container in one dict, as the kubelet tells it to the runtime."""
    capabilities = spec.get("capabilities", {})
    return {1: {1: capabilities.get("add", []), 2: capabilities.get("drop", [])},
            5: {1: spec["runAsUser"]}, 12: {1: spec["runAsGroup"]},
            7: int(spec["readOnlyRootFilesystem"]), 11: int(not spec["allowPrivilegeEscalation"]),
            13: MASKED_PATHS, 14: READONLY_PATHS,
            15: {1: {"RuntimeDefault": 0, "Unconfined": 1}[spec["seccompProfile"]["type"]]}}


# --- an image ----------------------------------------------------------------------------------------------------------

def add_file(archive, name, data=b"", **attributes):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o755
    for key, value in attributes.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


def busybox_layer():
    """A root filesystem: static busybox under the names of its applets, and /tmp."""
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as layer:
        for name, mode in (("bin", 0o755), ("tmp", 0o1777)):
            add_file(layer, name, type=tarfile.DIRTYPE, mode=mode)
        add_file(layer, "bin/busybox", BUSYBOX.read_bytes())
        for applet in applets:
            if applet != "busybox":
                add_file(layer, f"bin/{applet}", type=tarfile.SYMTYPE, linkname="busybox")
    return out.getvalue()


def make_image(path, name):
    """An OCI image layout as a tar, for `ctr images import`. Its entry point waits: it serves as pause image as well."""
    layer = busybox_layer()
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    target = {"architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
              "os": "linux"}
    blobs = {}

    def blob(data, kind):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    config = blob({**target, "config": {"Entrypoint": ["/bin/sleep", "1000000"], "Env": ["PATH=/bin"], "WorkingDir": "/"},
                   "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}},
                  "config.v1+json")
    manifest = blob({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
                     "layers": [blob(packed, "layer.v1.tar+gzip")]}, "manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [{**manifest, "platform": target, "annotations": {
        "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1]}}]}
    with tarfile.open(path, "w") as archive:
        add_file(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add_file(archive, "index.json", json.dumps(index).encode())
        for file_name, data in blobs.items():
            add_file(archive, file_name, data)


# --- what the kernel holds for us --------------------------------------------------------------------------------------

def mounts():
    """(mount point, type) of this namespace, in the order they were made."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        yield left.split()[4].encode().decode("unicode_escape"), right.split()[0]


def hierarchies():
    """Where cgroup hierarchies are mounted: one with v2, about a dozen with v1."""
    return [pathlib.Path(point) for point, kind in mounts() if kind in ("cgroup", "cgroup2")]


def memory_hierarchy():
    """The one whose cgroups count memory."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ", 1)
        if right.split()[0] == "cgroup" and "memory" in right.split()[-1].split(","):
            return pathlib.Path(left.split()[4])
    return next(pathlib.Path(point) for point, kind in mounts() if kind == "cgroup2")


def kill_cgroup(path):
    """Kills what runs in this cgroup and below, wherever the hierarchies have it."""
    def processes():
        found = set()
        for hierarchy in hierarchies():
            for file in (hierarchy / path.lstrip("/")).rglob("cgroup.procs"):
                with contextlib.suppress(OSError):
                    found.update(map(int, file.read_text().split()))
        return found - {0}

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = processes()
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    raise HarnessError(f"processes {sorted(processes())} of cgroup {path} do not end")


def remove_cgroup(path):
    """Removes it and those below from all hierarchies; what is busy or not there stays as it is."""
    for hierarchy in hierarchies():
        top = hierarchy / path.lstrip("/")
        for folder, _folders, _files in os.walk(top, topdown=False):
            for _ in range(50): # a task that has just ended keeps its cgroup busy for a moment
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    pass
                except OSError:
                    time.sleep(0.02)
                    continue
                break


def shims(folder):
    """The process ids of the shims of the containerd in this folder."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError): # it has ended by now; one that is not reaped yet has no command line
            argv = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else [b""]
            if b"containerd-shim" in argv[0] and f"{folder}/containerd.sock".encode() in argv:
                found.append(int(process.name))
    return found


def kill_shims(folder):
    """They outlive containerd."""
    for pid in shims(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(f"the shims of {folder} end", 10, lambda: not shims(folder), interval=0.02)


def shim_sockets(folder):
    """The sockets of the shims that this containerd has started."""
    for address in folder.glob("state/io.containerd.runtime.v2.task/*/*/address"):
        path = pathlib.Path(address.read_text().removeprefix("unix://"))
        if path.parent == SHIM_SOCKETS:
            yield path


class Leftovers:
    """What is to be put back, written down in the folder before it is done, so that it can be done by another process."""

    def __init__(self, folder):
        self.folder = folder
        self.cgroups = folder / "cgroups" # those we made, one a line
        self.lock = None

    def hold(self, create=True):
        """Marks the folder as in use as long as this process lives. False: another process uses it, or removes it."""
        try:
            self.lock = open(self.folder / "lock", "w" if create else "r+")
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if self.lock:
                self.lock.close()
            return False
        return True

    def note_pod(self, cgroup):
        """To be called before it is made. Its parents are the kubelet's when they are there already."""
        parents = [str(parent) for parent in reversed(pathlib.PurePath(cgroup).parents)][1:]
        made = [path for path in parents if not (memory_hierarchy() / path.lstrip("/")).exists()]
        with open(self.cgroups, "a") as file:
            file.write("".join(f"{path}\n" for path in [*made, cgroup]))

    def sweep(self):
        """Removes all but the folder itself. Whatever fails, the rest is done; the first failure is raised then."""
        failures = []
        for step in (self._processes, self._mounts, self._sockets, self._cgroups):
            try:
                step()
            except Exception as e: # a later step may still succeed
                failures.append(e)
        if failures:
            raise failures[0]

    def _noted(self):
        """(parents, pods), in the order they were made."""
        lines = self.cgroups.read_text().splitlines() if self.cgroups.exists() else []
        lines = [line for line in lines if re.fullmatch(r"/kubepods(/[a-z]+)?(/pod[^/.]+)?", line)]
        return [line for line in lines if "/pod" not in line], [line for line in lines if "/pod" in line]

    def _processes(self):
        for pod in self._noted()[1]:
            kill_cgroup(pod)
        kill_shims(self.folder)

    def _mounts(self):
        for point in reversed([point for point, _kind in mounts() if point.startswith(f"{self.folder}/")]):
            subprocess.run(["umount", "--lazy", point], check=True)

    def _sockets(self):
        for path in list(shim_sockets(self.folder)):
            path.unlink(missing_ok=True)
        for folder in (SHIM_SOCKETS, SHIM_SOCKETS.parent):
            with contextlib.suppress(OSError): # not empty: it is somebody else's as well
                folder.rmdir()

    def _cgroups(self):
        parents, pods = self._noted()
        for pod in pods:
            remove_cgroup(pod)
        for parent in reversed(parents):
            for hierarchy in hierarchies():
                with contextlib.suppress(OSError): # gone, or another's pods are in it
                    (hierarchy / parent.lstrip("/")).rmdir()


def is_ours(folder):
    """Anyone can make a folder of this name, with a list of cgroups to kill in it; mkdtemp() makes them private."""
    try:
        status = folder.lstat()
    except FileNotFoundError: # its harness has just removed it
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def clean():
    """Sweeps the folders whose harness was killed; their number."""
    count = 0
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        leftovers = Leftovers(folder)
        if is_ours(folder) and leftovers.hold(create=False):
            leftovers.sweep()
            shutil.rmtree(folder)
            count += 1
    return count


# --- containerd --------------------------------------------------------------------------------------------------------

CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
                    "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{folder}/containerd.sock"
[ttrpc]
  address = "{folder}/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  disable_apparmor = true
  enable_selinux = false
  # Pods ask for a negative oom_score_adj, which takes CAP_SYS_RESOURCE: without it runc ends in the middle.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "{runc}"
        Root = "{folder}/runc"
"""


class Containerd:
    """A containerd. `cri` makes calls, `socket` is for others' calls, `pods` are those that run."""

    # Without a configuration the node's network is not ready; the plugin is never run, since all pods use the host's.
    NETWORK = {"cniVersion": "0.4.0", "name": "test", "plugins": [{"type": "loopback"}]}
    PLUGINS = "/usr/lib/cni"
    COMMAND = [] # what containerd's own command line is given to

    def __init__(self, folder=None):
        self.temporary = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix=PREFIX)).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.leftovers = Leftovers(self.folder)
        if not self.leftovers.hold():
            raise HarnessError(f"{self.folder} is used by another harness")
        self.socket = self.folder / "containerd.sock"
        self.cri = Cri(self.socket)
        self.pods = []
        self.daemon = None

    def __enter__(self):
        try:
            clean()
            self.leftovers.sweep() # of an earlier use of this folder
            self._prepare()
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exception):
        self.close()

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self):
        """Starts it, or starts it again after stop() with the pods it had, and waits until CRI is ready."""
        self.daemon.start()
        return self

    def stop(self):
        """Ends containerd alone: the pods run on."""
        self.daemon.stop()

    def close(self):
        """Ends everything and puts everything back; a temporary folder is removed. A second time it does nothing."""
        if self.leftovers.lock.closed:
            return
        if self.daemon:
            self.daemon.kill()
        self.leftovers.sweep()
        for name in ("root", "state", "runc", "opt", "cni", "podlogs", "cgroups", "image.tar"):
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if self.temporary:
            shutil.rmtree(self.folder)
        self.leftovers.lock.close()

    def _prepare(self):
        runc = shutil.which("runc", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        binary = pathlib.Path(os.environ.get("CONTAINERD_BINDIR", "/usr/bin")) / "containerd"
        if os.geteuid() != 0 or not runc or not binary.exists() or not BUSYBOX.exists():
            raise HarnessError("needs root, containerd, runc and busybox: hack/install-deps.sh containers")
        (self.folder / "cni").mkdir(exist_ok=True)
        (self.folder / "cni/10-test.conflist").write_text(json.dumps(self.NETWORK))
        (self.folder / "config.toml").write_text(CONFIG.format(
            folder=self.folder, image=IMAGE, runc=runc, plugins=self.PLUGINS, snapshotter=self._snapshotter()))
        self.daemon = Daemon("containerd", [*self.COMMAND, binary, "-c", self.folder / "config.toml"], self.folder / "containerd.log",
                             env=clean_environment(PATH=f"{binary.parent}:{os.environ['PATH']}"), ready=self._ready)
        self.ctr = [binary.parent / "ctr", "-a", self.socket, "-n", "k8s.io"]
        make_image(self.folder / "image.tar", IMAGE)

    def _snapshotter(self):
        """overlayfs can't have its upper folder on overlayfs: so it is when this runs in a container."""
        done = subprocess.run(["stat", "-f", "-c", "%T", self.folder], capture_output=True, text=True, check=True)
        return "native" if "overlay" in done.stdout else "overlayfs"

    def _ready(self):
        """CRI answers and has the image; it learns of an import by an event."""
        try:
            if not self.cri.call("ImageStatus", {1: {1: IMAGE}}, "ImageService", timeout=5).get(1):
                subprocess.run([*self.ctr, "images", "import", self.folder / "image.tar"], capture_output=True,
                               check=True, timeout=60)
                return False
            return True
        except (CriError, subprocess.CalledProcessError):
            return False

    # -- pods ---------------------------------------------------------------------------------------------------------

    def run_pod(self, name, namespace="default", uid=None, labels=None, qos="burstable", host_pid=False):
        """A pod without containers yet."""
        pod = Pod(self, name, namespace, uid or str(uuid.uuid4()), labels or {}, qos, host_pid)
        self.pods.append(pod)
        return pod

    def run_many(self, pods, containers, namespace="many", workers=4):
        """So many pods of so many waiting containers each, several at a time."""
        def one(number):
            pod = self.run_pod(f"pod-{number}", namespace, qos=list(QOS)[number % 3])
            for i in range(containers):
                pod.run_container(f"container-{i}")
            return pod

        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            return list(pool.map(one, range(pods)))

    def status(self, container_id):
        """What containerd tells of a container beyond CRI: pid, runtimeSpec and so on."""
        reply = self.cri.call("ContainerStatus", {1: container_id, 2: 1})
        entries = {text(decode(entry), 1): text(decode(entry), 2) for entry in reply.get(2, [])}
        return json.loads(entries["info"])


class Pod:
    """A pod on the host's network. `containers` are the ids of its containers by name."""

    def __init__(self, runtime, name, namespace, uid, labels, qos, host_pid=False):
        self.runtime, self.cri = runtime, runtime.cri
        self.name, self.namespace, self.uid, self.qos = name, namespace, uid, qos
        self.cgroup = f"/kubepods{QOS[qos]}/pod{uid}" # below the memory controller's mount
        self.logs = runtime.folder / "podlogs" / f"{namespace}_{name}_{uid}"
        self.containers = {}
        self.kubernetes = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace,
                           "io.kubernetes.pod.uid": uid}
        self.namespaces = {1: 2, 2: 2 if host_pid else 0} # network: the node's; processes: the node's, or the pod's own
        self.config = {1: {1: name, 2: uid, 3: namespace}, 3: str(self.logs), 6: string_map({**self.kubernetes, **labels}),
                       8: {1: self.cgroup, 2: {1: self.namespaces}}}
        runtime.leftovers.note_pod(self.cgroup)
        self.id = text(self.cri.call("RunPodSandbox", {1: self.config}), 1)

    def run_container(self, name, command=None, mounts=(), memory_limit=None, cpus=None, env=None, security=None):
        """
        Starts a container and returns its id. command: else it waits. cpus: its quota. mounts: (path on the host, path in
        it), or (..., ..., True) for read-only. security: what security_context() makes.
        """
        config = {1: {1: name}, 2: {1: IMAGE}, 3: [str(word) for word in command or ["sleep", "1000000"]],
                  6: string_map(env),
                  7: [{1: str(mount[1]), 2: str(mount[0]), 3: int(len(mount) > 2 and mount[2])} for mount in mounts],
                  9: string_map({**self.kubernetes, "io.kubernetes.container.name": name}), 11: f"{name}.log",
                  15: {1: {1: 100000 if cpus else None, 2: int(cpus * 100000) if cpus else None, 4: memory_limit},
                       2: {**(security or {}), 3: self.namespaces}}}
        container_id = text(self.cri.call("CreateContainer", {1: self.id, 2: config, 3: self.config}), 1)
        self.cri.call("StartContainer", {1: container_id})
        self.containers[name] = container_id
        return container_id

    def remove_container(self, name):
        """Kills and removes it; its cgroup goes with it."""
        self.cri.call("StopContainer", {1: self.containers[name]})
        self.cri.call("RemoveContainer", {1: self.containers.pop(name)})

    def exit_code(self, name):
        """Of a container that has ended; None: it runs."""
        status = decode(self.cri.call("ContainerStatus", {1: self.containers[name]})[1][0])
        return status.get(7, [0])[0] if status[3][0] == 2 else None

    def pid(self, name):
        """Of the container's first process, on the host."""
        return self.runtime.status(self.containers[name])["pid"]

    def log(self, name):
        """What it has printed, without the prefixes of the log format."""
        lines = (self.logs / f"{name}.log").read_text().splitlines()
        return "\n".join(line.split(" ", 3)[3] for line in lines)

    def remove(self):
        """Kills and removes all of it, as the kubelet does: the pod's own cgroup last."""
        self.cri.call("StopPodSandbox", {1: self.id})
        self.cri.call("RemovePodSandbox", {1: self.id})
        remove_cgroup(self.cgroup)
        self.containers.clear()
        self.runtime.pods.remove(self)


def main(argv):
    if argv[1:] == ["clean"]:
        print(f"{clean()} harnesses cleaned up")
        return 0
    if len(argv) not in (3, 4) or argv[1] != "run":
        print(f"usage: {argv[0]} run DIR [PODS] | clean", file=sys.stderr)
        return 2
    exit_on_signals()
    try:
        with Containerd(argv[2]) as runtime:
            runtime.run_many(int(argv[3]) if len(argv) > 3 else 0, 1, "default")
            print("ready; SIGTERM or Ctrl-C ends it", file=sys.stderr)
            print(runtime.socket, flush=True)
            while runtime.daemon.running():
                time.sleep(0.5)
            raise HarnessError(f"containerd ended\n{runtime.daemon.tail()}")
    except (KeyboardInterrupt, SystemExit): # asked to end: all went well
        return 0
    except HarnessError as e:
        print(f"containerd_harness: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
