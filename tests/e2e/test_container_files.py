# SPDX-License-Identifier: Apache-2.0
"""Files of containers: the path that the container would use, its volume, who pays; limited to some pods; after their end.

Real containerd, overlayfs and cgroups; the kubelet's folder layout is made by hand. Needs root.
"""

import http.server
import json
import ssl
import subprocess
import threading
import time
import uuid

from containerd_harness import Containerd
from kube_harness import HarnessError, clean_environment

NEEDS_BINARY = True
NEEDS_CLUSTER = False
MIB = 1 << 20
OVERLAY, LOG, BLOB, SHARED = 20 * MIB, 24 * MIB, 16 * MIB, 8 * MIB
# Some kernels reclaim what is idle for seconds: the files are read again and again, and a page may still be missing.
TOLERANCE = 0.9

runtime = None
pods = {}


def app_script(own_log_mib):
    """Writes the files, says so, then keeps them warm."""
    return (f"dd if=/dev/zero of=/overlay.bin bs=1M count={OVERLAY // MIB} &&"
            f"dd if=/dev/zero of=/logs/access.log bs=1M count={own_log_mib} &&"
            f"dd if=/dev/zero of=/cache/blob bs=1M count={BLOB // MIB} &&"
            f"dd if=/dev/zero bs=1M count={SHARED // MIB} >> /shared/both.bin && echo written;"
            "while true; do cat /overlay.bin /logs/access.log /cache/blob /shared/both.bin > /dev/null; sleep 0.2; done")


def start_pod(name, namespace, log_mib):
    volumes = runtime.folder / "volumes"
    uid = str(uuid.uuid4())
    empty_dir = volumes / "kubelet/pods" / uid / "volumes/kubernetes.io~empty-dir/cache"
    logs, shared = volumes / name / "logs", volumes / "shared"
    for folder in (empty_dir, logs, shared):
        folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "memdiag-test", empty_dir], check=True)
    pod = runtime.run_pod(name, namespace, uid=uid, labels={"app": name})
    pods[name] = pod
    pod.empty_dir = empty_dir
    pod.run_container("app", command=["sh", "-c", app_script(log_mib)],
                      mounts=[(logs, "/logs"), (empty_dir, "/cache"), (shared, "/shared")])
    deadline = time.monotonic() + 30
    while "written" not in pod.log("app"):
        if time.monotonic() > deadline:
            raise HarnessError(f"{name} has written nothing: {pod.log('app')}")
        time.sleep(0.1)


def setup(_bench):
    global runtime
    runtime = Containerd()
    runtime.__enter__()
    # One after the other: who touches the shared file's pages first pays for them.
    start_pod("api-0", "shop", LOG // MIB)
    start_pod("api-1", "batch", LOG // MIB)


def teardown(_bench):
    for pod in pods.values():
        subprocess.run(["umount", "-l", pod.empty_dir], check=False, capture_output=True)
    pods.clear()
    if runtime:
        folder = runtime.folder / "volumes"
        runtime.close()
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=False)


class Kubelet:
    """Answers GET /pods over TLS as a kubelet would, to who has the token: the real one comes with a cluster."""

    def __init__(self, folder, pod_list):
        self.ca, self.token = folder / "kubelet.crt", folder / "token"
        self.token.write_text("let-me-in")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", folder / "kubelet.key", "-out", self.ca, "-days", "1", "-subj", "/CN=kubelet",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.headers.get("Authorization") == "Bearer let-me-in"
                body = json.dumps(pod_list).encode()
                self.send_response(200 if known and self.path == "/pods" else 401)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body if known else b"Unauthorized")

            def log_message(self, *_args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, folder / "kubelet.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def options(self):
        return ["--kubelet-url", f"https://127.0.0.1:{self.server.server_port}", "--kubelet-ca", self.ca,
                "--kubelet-token-file", self.token]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def pod_list():
    """The pods as the kubelet would list them."""
    return {"apiVersion": "v1", "kind": "PodList", "items": [{
        "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid, "labels": {"app": pod.name}},
        "spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": "512Mi"}},
                                 "volumeMounts": [{"name": "access-logs", "mountPath": "/logs"},
                                                  {"name": "cache", "mountPath": "/cache"}]}],
                 "volumes": [{"name": "access-logs", "hostPath": {"path": "/somewhere"}}]},
        "status": {"qosClass": "Burstable", "containerStatuses": [
            {"name": "app", "containerID": f"containerd://{pod.containers['app']}"}]}} for pod in pods.values()]}


def run(bench, spec=None, socket=None, options=()):
    """One report of this host."""
    document = {"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis",
                "spec": {"checks": [{"type": "PageCache"}, {"type": "SharedMemory"}], "top": 50, **(spec or {})}}
    done = subprocess.run([bench.binary, "run", "-f", "-", "-o", "json", "--cri-socket", socket or runtime.socket,
                           "--history-file", runtime.folder / "volumes/history", *options],
                          input=json.dumps(document), capture_output=True, text=True, timeout=60,
                          env=clean_environment())
    if done.returncode != 0:
        raise HarnessError(f"memdiag run: exit {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def check_of(report, kind):
    return next(check for check in report["checks"] if check["type"] == kind)


def files_of(report, pod, container_path):
    """Rows of files that this pod sees at this path and is the largest payer of."""
    name = pods[pod].name if pod in pods else pod
    return [row for row in check_of(report, "PageCache")["pageCache"]["files"]
            if row.get("containerPath") == container_path and row["chargedTo"][0].get("pod") == name]


def the_file(report, pod, container_path):
    rows = files_of(report, pod, container_path)
    shown = [(row.get("containerPath"), row["path"][-60:]) for row in
             check_of(report, "PageCache")["pageCache"]["files"][:12]]
    assert len(rows) == 1, f"{len(rows)} rows for {container_path} of {pod}; the first are {shown}"
    return rows[0]


def test_paths_and_volumes(bench):
    """A file in the overlay, in a hostPath volume and in a tmpfs emptyDir."""
    report = run(bench)
    assert report["agent"]["runtime"].startswith("containerd "), report["agent"]
    for pod, namespace in (("api-0", "shop"), ("api-1", "batch")):
        for path, size, volume, shmem in (("/overlay.bin", OVERLAY, None, False), ("/logs/access.log", LOG, None, False),
                                          ("/cache/blob", BLOB, "cache", True)):
            row = the_file(report, pod, path)
            assert TOLERANCE * size <= row["cachedBytes"] <= size, (path, row["cachedBytes"], size)
            assert row.get("volume") == volume and row["shmem"] == shmem, row
            payer = row["chargedTo"][0]
            assert (payer["namespace"], payer["pod"], payer["container"]) == (namespace, pod, "app"), payer
    containers = check_of(report, "PageCache")["pageCache"]["containers"]
    mine = next(row for row in containers if row.get("pod") == "api-0" and row.get("container") == "app")
    assert mine["namespace"] == "shop" and mine["podUID"] == pods["api-0"].uid, mine


def test_kubelet_adds_volumes_and_limits(bench):
    """The name of a hostPath volume is in no path: only the kubelet has it."""
    kubelet = Kubelet(runtime.folder / "volumes", pod_list())
    try:
        report = run(bench, options=kubelet.options())
        assert the_file(report, "api-0", "/logs/access.log").get("volume") == "access-logs"
        listing = json.loads(subprocess.run(
            [bench.binary, "pods", "-o", "json", "--cri-socket", runtime.socket, *kubelet.options()], check=True,
            capture_output=True, text=True, timeout=60, env=clean_environment()).stdout)
        row = next(row for row in listing["pods"] if row.get("pod") == "api-0" and row.get("container") == "app")
        assert row["source"] == "kubelet" and row["memoryLimitBytes"] == 512 * MIB, row
        assert "kubeletProblem" not in listing, listing["kubeletProblem"]
        kubelet.token.write_text("wrong")
        done = subprocess.run([bench.binary, "pods", "--cri-socket", runtime.socket, *kubelet.options()],
                              capture_output=True, text=True, timeout=60, env=clean_environment())
        assert done.returncode == 0 and "401" in done.stderr, done.stderr
    finally:
        kubelet.close()


def test_same_path_in_two_pods(bench):
    report = run(bench)
    one, two = the_file(report, "api-0", "/logs/access.log"), the_file(report, "api-1", "/logs/access.log")
    assert one["path"] != two["path"] and one["inode"] != two["inode"], (one, two)


def test_shared_file_lists_both(bench):
    """Each pod wrote half of it: each is charged for its half."""
    report = run(bench)
    row = next(row for row in check_of(report, "PageCache")["pageCache"]["files"] if row["path"].endswith("/both.bin"))
    paid = {(payer.get("namespace"), payer.get("pod")): payer["bytes"] for payer in row["chargedTo"]}
    assert set(paid) == {("shop", "api-0"), ("batch", "api-1")}, paid
    assert all(TOLERANCE * SHARED <= part <= 2 * SHARED for part in paid.values()), paid
    assert sum(paid.values()) == row["cachedBytes"], (paid, row["cachedBytes"])


def test_limited_to_pods(bench):
    """What is charged to others is not in the report; the filter runs in the kernel."""
    everything = check_of(run(bench), "PageCache")["pageCache"]["totalBytes"]
    for target in ({"namespaces": ["shop"]}, {"podSelector": {"matchLabels": {"app": "api-0"}}},
                   {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api-1"]}]}}):
        report = run(bench, {"target": target})
        cache, shared = check_of(report, "PageCache")["pageCache"], check_of(report, "SharedMemory")["sharedMemory"]
        names = {(row.get("namespace"), row.get("pod")) for row in cache["containers"] + shared["containers"]}
        assert names == {("shop", "api-0")}, (target, names)
        assert OVERLAY + LOG < cache["totalBytes"] < everything, (target, cache["totalBytes"], everything)
        assert len(files_of(report, "api-1", "/logs/access.log")) == 0


def test_no_pod_matches(bench):
    check = check_of(run(bench, {"target": {"namespaces": ["nobody"]}}), "PageCache")
    assert check["state"] == "Complete" and check["reason"] == "NoMatchingPods", check
    assert "no pod on this node" in check["message"], check["message"]


def test_runtime_away(bench):
    """Names at most are lost, and the report says so."""
    runtime.stop()
    try:
        check = check_of(run(bench), "PageCache")
        payers = [payer for row in check["pageCache"]["files"] for payer in row["chargedTo"]]
        # What the history remembers keeps its name.
        assert any(payer.get("pod") == "api-0" for payer in payers), payers[:5]
        assert check["state"] == "Complete", check
    finally:
        runtime.start()


def test_pod_that_is_gone(bench):
    """Its page cache outlives it, and still carries its name."""
    run(bench) # the history learns the names
    gone = pods["api-0"]
    subprocess.run(["umount", "-l", gone.empty_dir], check=True)
    gone.remove()
    log = runtime.folder / "volumes/api-0/logs/access.log"
    for _ in range(3):
        log.read_bytes()
    report = run(bench)
    row = next(row for row in check_of(report, "PageCache")["pageCache"]["files"] if row["path"] == str(log))
    payer = row["chargedTo"][0]
    assert (payer.get("namespace"), payer.get("pod"), payer.get("container")) == ("shop", "api-0", "app"), row
    assert payer["dying"] is True, payer


TESTS = [test_paths_and_volumes, test_kubelet_adds_volumes_and_limits, test_same_path_in_two_pods, test_shared_file_lists_both, test_limited_to_pods,
         test_no_pod_matches, test_runtime_away, test_pod_that_is_gone]
