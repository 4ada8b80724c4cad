#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes control plane for tests: etcd and kube-apiserver on loopback, each can be killed and started again.

    from kube_harness import ControlPlane
    with ControlPlane() as cluster:
        cluster.kubectl(["get", "nodes"], check=True)
        cluster.apiserver.kill(); cluster.apiserver.start()

From a shell: `hack/kube_harness.py run DIR` keeps one up until SIGTERM or SIGINT and prints the KUBECONFIG to use.

There is no controller manager and no scheduler: what is created stays as it is, pods do not run, nothing is garbage
collected. Python's standard library only; the binaries are those of hack/get-control-plane.sh.
"""

import atexit
import ctypes
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ISSUER = "https://kubernetes.default.svc"
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
AUDIT_POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
    {"level": "Metadata", "verbs": ["create", "update", "patch", "delete"],
     "resources": [{"group": "memdiag.io"}, {"group": "coordination.k8s.io"}]},
    {"level": "None"}]}


class HarnessError(Exception):
    """Something the harness needs did not happen; the text says what and shows the end of the log."""


def die_with_parent():
    """In a child before exec: even when this process is killed with SIGKILL, nothing is left running."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def exit_on_signals():
    """SIGTERM and SIGHUP end Python as Ctrl-C does, so that `with` and `finally` clean up."""
    def leave(number, _frame):
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def clean_environment(**more):
    """os.environ without proxies: Go leaves loopback out of them, curl does not."""
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    env.update({name: str(value) for name, value in more.items()})
    return env


def eventually(what, seconds, probe, interval=0.2):
    """Calls probe until it returns something true and returns that. Its own HarnessErrors mean "not yet"."""
    deadline = time.monotonic() + seconds
    last = ""
    while True:
        try:
            result = probe()
            if result:
                return result
        except HarnessError as e:
            last = f"; last: {e}"
        if time.monotonic() >= deadline:
            raise HarnessError(f"not within {seconds} s: {what}{last}")
        time.sleep(interval)


def free_ports(count):
    """Ports nobody listens on, below the ephemeral range.

    A client that retries a closed port inside that range is sooner or later given the same port as its own and connects
    to itself; the server could not come back then.
    """
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first, last = (16000, low - 1) if low > 17000 else (61001, 65535)
    held, ports = [], []
    try:
        while len(ports) < count:
            s = socket.socket()
            held.append(s) # until all are found, so that none is found twice
            port = random.randint(first, last)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                if len(held) > 1000:
                    raise HarnessError(f"no free port from {first} to {last}") from None
                continue
            ports.append(port)
    finally:
        for s in held:
            s.close()
    return ports


class Daemon:
    """A child process with a log file. It is ended at the latest when this process ends."""

    def __init__(self, name, argv, log, env=None, ready=None, ready_seconds=60):
        self.name, self.argv, self.log = name, [str(a) for a in argv], pathlib.Path(log)
        self.env = env
        self.ready, self.ready_seconds = ready, ready_seconds
        self.child = None
        atexit.register(self.kill)

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child is not None and self.child.poll() is None

    def start(self):
        """Starts it, or starts it again, and waits until it is ready. The log goes on."""
        if self.running():
            raise HarnessError(f"{self.name} is running already")
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                          env=self.env or clean_environment(), preexec_fn=die_with_parent)
        if self.ready:
            self._wait_ready()
        return self

    def _wait_ready(self):
        deadline = time.monotonic() + self.ready_seconds
        while not self.ready():
            if not self.running():
                raise HarnessError(f"{self.name} ended with status {self.child.returncode}\n{self.tail()}")
            if time.monotonic() > deadline:
                raise HarnessError(f"{self.name} is not ready after {self.ready_seconds} s\n{self.tail()}")
            time.sleep(0.05)

    def terminate(self, seconds):
        """SIGTERM. Its exit status, or None when it has not ended in time."""
        self.child.terminate()
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, seconds=10):
        """SIGTERM, and SIGKILL when that is not enough."""
        if self.running() and self.terminate(seconds) is None:
            self.kill()

    def kill(self):
        """SIGKILL: it gets no chance to say goodbye."""
        if self.running():
            self.child.kill()
            self.child.wait()

    def restart(self):
        self.stop()
        return self.start()

    def tail(self, lines=25):
        try:
            text = self.log.read_text(errors="replace").splitlines()[-lines:]
        except OSError as e:
            text = [str(e)]
        return "\n".join([f"--- end of {self.log}"] + [line[:400] for line in text])


class Pki:
    """A certificate authority and what it signs, in one folder, made with openssl.

    All is valid from a day before until two days from now, so that it is to a client whose clock a test has set, too.
    """

    CONFIG = """\
[ca]
default_ca = this
[this]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
default_days = 2
policy = subject
unique_subject = no
[subject]
organizationName = optional
commonName = supplied
"""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.ca, self.ca_key = self.folder / "ca.crt", self.folder / "ca.key"
        (self.folder / "ca.cnf").write_text(self.CONFIG.format(folder=self.folder))
        (self.folder / "index.txt").touch()
        self._key(self.ca_key)
        self._sign("ca", self.ca_key, self.ca, "/CN=memdiag-test-ca",
                   "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                   "subjectKeyIdentifier=hash\n", "-selfsign")

    def key_pair(self, name):
        """A private key and its public half, as files."""
        private, public = self.folder / f"{name}.key", self.folder / f"{name}.pub"
        self._key(private)
        self._openssl("pkey", "-in", private, "-pubout", "-out", public)
        return private, public

    def certificate(self, name, subject, names=""):
        """A certificate for both ends of TLS and its key, as files. names is a subjectAltName."""
        key, certificate = (self.folder / f"{name}.{ending}" for ending in ("key", "crt"))
        self._key(key)
        self._sign(name, key, certificate, subject,
                   "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n" +
                   (f"subjectAltName={names}\n" if names else ""), "-cert", self.ca)
        return certificate, key

    def _sign(self, name, key, certificate, subject, extensions, *more):
        request, file = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        file.write_text(extensions)
        self._openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        # `openssl x509` cannot date back before 3.4.
        start = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() - 24 * 3600))
        self._openssl("ca", "-batch", "-notext", "-config", self.folder / "ca.cnf", "-keyfile", self.ca_key, *more,
                      "-startdate", start, "-extfile", file, "-in", request, "-out", certificate)

    def _key(self, path):
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
        path.chmod(0o600)

    @staticmethod
    def _openssl(*args):
        done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise HarnessError(f"openssl {args[0]}: {done.stderr.strip()}")


def certificate_user(pair):
    """A kubeconfig's user by certificate and key."""
    return {"client-certificate": str(pair[0]), "client-key": str(pair[1])}


def find_binaries(*more):
    """The folder with etcd, kube-apiserver, kubectl and what else is named; what is missing is built."""
    done = subprocess.run([HERE / "get-control-plane.sh", *more], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise HarnessError("hack/get-control-plane.sh failed; its messages are above")
    return pathlib.Path(done.stdout.strip())


class ControlPlane:
    """etcd and kube-apiserver. `etcd` and `apiserver` are Daemons: kill and start them at will, ports and data stay."""

    PORT = None # of the API server; None: a free one
    NAMES = "IP:127.0.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"

    def __init__(self, folder=None):
        self.temporary = folder is None
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="memdiag-control-plane-")).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keep = not self.temporary
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self.etcd = self.apiserver = None

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *exception):
        self.stop()

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self):
        """Starts both and waits until the API server says it is ready: 4 to 5 seconds."""
        assets = find_binaries()
        client, peer, port = free_ports(3)
        self.port = self.PORT or port
        self.etcd_port = client
        self.server = f"https://127.0.0.1:{self.port}"
        self.pki = Pki(self.folder / "pki")
        self.admin = self.pki.certificate("admin", "/O=system:masters/CN=memdiag-test-admin")
        self.kubectl_path = assets / "kubectl"
        self.write_kubeconfig(self.kubeconfig, certificate_user(self.admin))
        self.audit_log = self.folder / "audit.log"
        self.etcd = Daemon("etcd", self._etcd_argv(assets, client, peer), self.folder / "etcd.log",
                           ready=lambda: self._etcd_healthy(client))
        self.apiserver = Daemon("kube-apiserver", self._apiserver_argv(assets, client),
                                self.folder / "kube-apiserver.log", ready=self._ready)
        self.etcd.start()
        self.apiserver.start()
        return self

    def stop(self):
        """Ends both at once (the data is thrown away) and removes the folder if it is a temporary one."""
        for daemon in (self.apiserver, self.etcd):
            if daemon:
                daemon.kill()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def daemons(self):
        return [self.etcd, self.apiserver]

    def _etcd_argv(self, assets, client, peer):
        url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        return [assets / "etcd", "--name=etcd", f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}", f"--listen-peer-urls={peer_url}",
                f"--initial-advertise-peer-urls={peer_url}", f"--initial-cluster=etcd={peer_url}"]

    def _apiserver_argv(self, assets, etcd_port):
        certificate, key = self.pki.certificate("apiserver", "/CN=kube-apiserver", self.NAMES)
        private, public = self.pki.key_pair("service-account")
        policy = self.folder / "audit-policy.json"
        policy.write_text(json.dumps(AUDIT_POLICY))
        return [assets / "kube-apiserver", "--bind-address=127.0.0.1", f"--secure-port={self.port}",
                # Without a reconciler it does not try to make an Endpoints object out of a loopback address.
                "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
                f"--etcd-servers=http://127.0.0.1:{etcd_port}", "--service-cluster-ip-range=10.96.0.0/16",
                "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true", f"--client-ca-file={self.pki.ca}",
                f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}",
                f"--service-account-issuer={ISSUER}", f"--api-audiences={ISSUER}",
                f"--service-account-signing-key-file={private}", f"--service-account-key-file={public}",
                f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]

    @staticmethod
    def _etcd_healthy(port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/health")
            return json.loads(connection.getresponse().read()).get("health") == "true"
        except (OSError, http.client.HTTPException, ValueError):
            return False
        finally:
            connection.close()

    def _ready(self):
        context = ssl.create_default_context(cafile=str(self.pki.ca))
        context.load_cert_chain(*map(str, self.admin))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=2, context=context)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def audit(self, offset=0):
        """What the API server has answered to whoever wrote diagnoses, reports or leases, refusals included, in order.

        Audit events (audit.k8s.io/v1), those after the first `offset`; each is there before its answer is sent.
        """
        lines = self.audit_log.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines[offset:]]

    # -- clients ------------------------------------------------------------------------------------------------------

    def kubectl(self, args, input=None, check=False, kubeconfig=None, timeout=90):
        """Runs kubectl, as the administrator unless another kubeconfig is given. Dicts as input become JSON."""
        if isinstance(input, (dict, list)):
            input = json.dumps(input)
        argv = [str(self.kubectl_path), f"--kubeconfig={kubeconfig or self.kubeconfig}", *map(str, args)]
        env = clean_environment(
            KUBECACHEDIR=self.folder / "kubectl-cache", # not ~/.kube: its discovery would outlive this server
            KUBERC="off",
            KUBECTL_NODE_BOUND_TOKENS="true") # `create token --bound-object-kind=Node` is behind it up to 1.32
        try:
            done = subprocess.run(argv, input=input, capture_output=True, text=True, timeout=timeout, env=env)
        except subprocess.TimeoutExpired:
            raise HarnessError(f"kubectl {' '.join(map(str, args))}: no answer in {timeout} s") from None
        if check and done.returncode != 0:
            raise HarnessError(f"kubectl {' '.join(map(str, args))}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def get(self, *args):
        """`kubectl get ... -o json`, parsed."""
        return json.loads(self.kubectl(["get", *args, "-o", "json"], check=True).stdout)

    def create_node(self, name, labels=None):
        """A Node object that is Ready, as a kubelet would report it."""
        node = {"apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                                                      **(labels or {})}}}
        self.kubectl(["create", "-f", "-"], input=node, check=True)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "test node",
                 "lastHeartbeatTime": now, "lastTransitionTime": now}
        self.kubectl(["patch", "node", name, "--subresource=status", "--type=merge", "-p",
                      json.dumps({"status": {"conditions": [ready]}})], check=True)

    def service_account_token(self, namespace, name, node=None, audience=None):
        """A token for one hour. With a node it carries the node's name, as the token in a pod on that node does."""
        args = ["create", "token", name, "-n", namespace, "--duration=1h"]
        if audience:
            args.append(f"--audience={audience}")
        if node:
            args += ["--bound-object-kind=Node", f"--bound-object-name={node}",
                     f"--bound-object-uid={self.get('node', node)['metadata']['uid']}"]
        return self.kubectl(args, check=True).stdout.strip()

    def service_account_kubeconfig(self, namespace, name, node=None, audience=None):
        """A kubeconfig for that ServiceAccount; its path."""
        path = self.folder / f"{namespace}-{name}{'-' + node if node else ''}.kubeconfig"
        self.write_kubeconfig(path, {"token": self.service_account_token(namespace, name, node, audience)})
        return path

    def service_account_dir(self, namespace, name, node=None, audience=None):
        """A folder as it is mounted into pods: token, ca.crt, namespace; its path."""
        path = self.folder / f"{namespace}-{name}{'-' + node if node else ''}.serviceaccount"
        path.mkdir(mode=0o700, exist_ok=True)
        (path / "token").write_text(self.service_account_token(namespace, name, node, audience))
        (path / "ca.crt").write_bytes(self.pki.ca.read_bytes())
        (path / "namespace").write_text(namespace)
        return path

    def in_cluster_environment(self):
        """What Kubernetes puts into every container, next to service_account_dir()."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}

    def write_kubeconfig(self, path, user):
        """user: fields of a kubeconfig's user."""
        lines = "\n".join(f"    {key}: {value}" for key, value in user.items())
        path.touch(mode=0o600)
        path.write_text(f"""\
apiVersion: v1
kind: Config
clusters:
- name: test
  cluster:
    server: {self.server}
    certificate-authority: {self.pki.ca}
users:
- name: test
  user:
{lines}
contexts:
- name: test
  context:
    cluster: test
    user: test
current-context: test
""")


class Api:
    """The API server as the administrator, a connection for each thread: where kubectl's start would cost too much."""

    def __init__(self, cluster, timeout=60):
        self.cluster, self.timeout, self.local = cluster, timeout, threading.local()

    def call(self, method, path, body=None, content_type="application/json"):
        """(HTTP status, body). HarnessError: no answer, twice."""
        last = None
        for _attempt in range(2):
            try:
                if not hasattr(self.local, "connection"):
                    context = ssl.create_default_context(cafile=str(self.cluster.pki.ca))
                    context.load_cert_chain(*map(str, self.cluster.admin))
                    self.local.connection = http.client.HTTPSConnection("127.0.0.1", self.cluster.port,
                                                                        timeout=self.timeout, context=context)
                self.local.connection.request(method, path, json.dumps(body) if body is not None else None,
                                              {"Content-Type": content_type})
                answer = self.local.connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException) as e:
                self.local.__dict__.pop("connection", None)
                last = e
        raise HarnessError(f"{method} {path}: no answer: {last}")

    def must(self, method, path, body=None, content_type="application/json"):
        """The body of a 2xx; else HarnessError."""
        status, text = self.call(method, path, body, content_type)
        if status // 100 != 2:
            raise HarnessError(f"{method} {path}: {status} {text[:300]!r}")
        return text


def keep_up(program, context, tell):
    """Keeps what context() starts up until it is asked to end or one of its daemons() does; tell(cluster) prints how to get at it."""
    exit_on_signals()
    started = time.monotonic()
    try:
        with context() as cluster:
            print(f"ready after {time.monotonic() - started:.1f} s; SIGTERM or Ctrl-C ends it", file=sys.stderr)
            print(tell(cluster), flush=True)
            while all(daemon.running() for daemon in cluster.daemons()):
                time.sleep(0.5)
            for daemon in cluster.daemons():
                if not daemon.running():
                    raise HarnessError(f"{daemon.name} ended\n{daemon.tail()}")
    except (KeyboardInterrupt, SystemExit): # asked to end: all went well
        pass
    except HarnessError as e:
        print(f"{program}: {e}", file=sys.stderr)
        return 1
    return 0


def main(argv):
    if len(argv) != 3 or argv[1] != "run":
        print(f"usage: {argv[0]} run DIR", file=sys.stderr)
        return 2
    return keep_up(argv[0], lambda: ControlPlane(argv[2]), lambda cluster: f"export KUBECONFIG={cluster.kubeconfig}")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
