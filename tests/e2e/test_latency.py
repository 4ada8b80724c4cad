# SPDX-License-Identifier: Apache-2.0
"""The case that memdiag is made for: a server answers late, and the pod beside it is to blame.

A key-value server in one pod, and on the same CPU a pod that rewrites a file larger than its memory limit. Real containerd; the
report must blame the limit for the second pod's waits and the second pod for the first one's.
"""

import json
import socket
import statistics
import subprocess
import time

from containerd_harness import Containerd
from kube_harness import clean_environment, free_ports

NEEDS_BINARY = True
NEEDS_CLUSTER = False
MIB = 1 << 20
WINDOW = 10

runtime = None
port = 0
report = None
alone_ms = beside_ms = 0.0


def setup(bench):
    """Measures the server's answers alone and beside its neighbour, and diagnoses the latter."""
    global runtime, port, report, alone_ms, beside_ms
    runtime = Containerd()
    runtime.__enter__()
    port = free_ports(1)[0]
    server = runtime.run_pod("redis-0", "shop", labels={"app": "redis"})
    # Beside what answers, a thread that computes, as a server under load has them.
    server.run_container("server", command=["taskset", "1", "sh", "-c", "echo PONG > /tmp/ping; while true; do :; done & "
                                            f"exec httpd -f -p 127.0.0.1:{port} -h /tmp"])
    wait_for_server()
    alone_ms = statistics.median(ask() for _ in range(40))
    neighbour = runtime.run_pod("writer-0", "batch")
    neighbour.run_container("app", memory_limit=64 * MIB, command=[
        "taskset", "1", "sh", "-c",
        "work() { while true; do dd if=/dev/zero of=/big$1.bin bs=64k count=1280 2>/dev/null; cat /big$1.bin >/dev/null; done; }; "
        "work 1 & work 2 & work 3 & work 4 & work 5 & work 6 & wait"])
    time.sleep(2)
    run = subprocess.Popen([bench.binary, "run", "--check", "ReclaimLatency", "--check", "RunQueueLatency", "--window",
                            f"{WINDOW}s", "--cri-socket", runtime.socket, "-o", "json"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env=clean_environment(), text=True)
    samples = []
    while run.poll() is None:
        samples.append(ask())
        time.sleep(0.02)
    out, errors = run.communicate()
    assert run.returncode == 0, errors
    report = json.loads(out)
    beside_ms = statistics.median(samples)
    print(f"   an answer: {alone_ms:.2f} ms alone, {beside_ms:.2f} ms beside the writer", flush=True)


def wait_for_server():
    deadline = time.monotonic() + 20
    while True:
        try:
            return ask()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def ask():
    """Milliseconds of one request."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        assert answer.endswith(b"PONG\n"), answer
    return (time.monotonic() - begin) * 1000


def teardown(_bench):
    if runtime:
        runtime.close()


def result(check_type, field):
    check = next(c for c in report["checks"] if c["type"] == check_type)
    assert check["state"] == "Complete", check
    return check[field]


def container(rows, pod):
    return next((row for row in rows if row.get("pod") == pod), None)


def findings(reason):
    return [f for f in report["findings"] if f["reason"] == reason]


def test_the_case_is_real(_bench):
    """The neighbour makes answers late; without that nothing below means anything."""
    assert beside_ms > 1.3 * alone_ms, f"{alone_ms:.2f} ms alone, {beside_ms:.2f} ms beside the writer"


def test_limit_reclaim_is_the_writers(_bench):
    rows = result("ReclaimLatency", "reclaimLatency")["containers"]
    writer = container(rows, "writer-0")
    limit = next(cause for cause in writer["causes"] if cause["cause"].startswith("limit"))
    assert limit["count"] > 100 and limit["sumMicros"] > 0, writer
    server = container(rows, "redis-0")
    assert not server or server.get("sumMicros", 0) * 20 < writer["sumMicros"], server
    found = findings("LimitReclaimStalls")
    assert [f["subject"]["pod"] for f in found] == ["writer-0"], report["findings"]
    assert found[0]["hints"], "no remedy"


def test_run_queue_wait_is_the_servers_and_names_the_writer(_bench):
    rows = result("RunQueueLatency", "runQueueLatency")["containers"]
    server = container(rows, "redis-0")
    assert server and server["count"] > 50, rows
    found = [f for f in findings("RunQueueWait") if f["subject"].get("pod") == "redis-0"]
    assert len(found) == 1, report["findings"]
    text = json.dumps(found[0]["evidence"]) + found[0]["message"]
    assert "writer-0" in text, f"the culprit is not named: {text}"


TESTS = [test_the_case_is_real, test_limit_reclaim_is_the_writers,
         test_run_queue_wait_is_the_servers_and_names_the_writer]
