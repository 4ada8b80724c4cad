# SPDX-License-Identifier: Apache-2.0
"""Controller and agent behind proxies that break what passes between them and the real API server (fault_proxy.py).

First bytes: connections that are cut, reset, slow, silent, gone. Then HTTP: answers an API server gives when it is young,
old, loaded or restored. In each case a run is made; it must end Complete, once, and nobody may storm the server meanwhile.
"""

import json
import time

from fault_proxy import ByteProxy, HttpProxy, answer, stream
from kube_harness import eventually, free_ports

from test_diagnosis import CRASH, apply, condition_of, wait_for

NEEDS_BINARY = True
NAMESPACE = "memdiag-system"
NODE = "faulty"
SPEC = {"target": {"nodeName": NODE}, "checks": [{"type": "MemoryBreakdown"}], "cpuBudget": "1m"}
STORM = 12  # connections or requests a second of two processes with four watches; without backing off it is hundreds
AGENT_WATCH = r"^GET /apis/memdiag.io/v1alpha1/memorydiagnoses\?watch=true"
EXPIRED = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired",
                                                  "message": "too old resource version"}}) + "\n"


def through(bench, kubeconfig, port):
    """A copy of the kubeconfig whose server is the proxy."""
    path = bench.folder / f"{kubeconfig.stem}-{port}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(kubeconfig.read_text().replace(bench.cluster.server, f"https://127.0.0.1:{port}"))
    return path


def start_both(bench, port, which):
    controller = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-controller")
    agent = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node=NODE)
    bench.start(f"controller-{which}", ["controller", "--kubeconfig", through(bench, controller, port)])
    bench.start(f"agent-{which}", ["agent", "--metrics-address", "", "--node-name", NODE, "--kubeconfig",
                                   through(bench, agent, port)])


def stop_both(bench, which):
    for name in (f"controller-{which}", f"agent-{which}"):
        daemon = bench.daemons[name]
        assert daemon.running(), f"{name} ended by itself"
        assert daemon.terminate(10) == 0, f"{name}: exit status"
        found = CRASH.search(daemon.log.read_text(errors="replace"))
        assert not found, f"{name}: {found[0]}"


def setup(bench):
    bench.install()
    bench.kubectl(["delete", "memdiag,memreport", "--all", "--wait=false"], check=True)
    bench.cluster.create_node(NODE, {})
    bytes_port, bench.http_port = free_ports(2)
    bench.proxy = ByteProxy(bytes_port, bench.cluster.port)
    bench.http = None
    start_both(bench, bytes_port, "bytes")
    run(bench, "well")


def teardown(bench):
    for proxy in (getattr(bench, "proxy", None), getattr(bench, "http", None)):
        if proxy:
            proxy.close()
    bench.kubectl(["delete", "memdiag,memreport", "--all", "--wait=false"])
    bench.kubectl(["delete", "node", NODE, "--wait=false"])


def run(bench, name, seconds=60):
    """A diagnosis from apply to Complete, one report of one run."""
    apply(bench, name, SPEC)
    wait_for(bench, name, "Complete", seconds)
    check(bench, name)


def check(bench, name):
    status = bench.get("memorydiagnosis", name)["status"]
    report = bench.get("memreport", f"{name}.{NODE}")
    assert status["run"]["id"] == report["run"]["id"] == "g-1", (status["run"], report["run"])
    assert status["summary"]["nodes"] == "1/1" and not report.get("history"), (status["summary"], report.get("history"))
    assert condition_of(status, "Complete")["reason"] == "AllNodesReported", status["conditions"]


# --- bytes -----------------------------------------------------------------------------------------------------------

def test_single_bytes(bench):
    """TLS records in pieces of one byte."""
    bench.proxy.piece = 1
    bench.proxy.reset_all()
    try:
        run(bench, "single-bytes")
    finally:
        bench.proxy.piece = 65536


def test_slow(bench):
    """Each answer comes in pieces of 200 bytes, 20 ms apart."""
    bench.proxy.piece, bench.proxy.delay = 200, 0.02
    bench.proxy.reset_all()
    try:
        run(bench, "slow", 90)
    finally:
        bench.proxy.piece, bench.proxy.delay = 65536, 0


def test_cut_anywhere(bench):
    """For 10 s each connection ends after 1 to 20000 bytes: in the handshake, the head, an event, a list."""
    bench.proxy.cut_after = (1, 20000)
    bench.proxy.reset_all()
    started = time.monotonic()
    for n in range(3):
        apply(bench, f"cut-{n}", SPEC)
    time.sleep(10)
    bench.proxy.cut_after = None
    made = bench.proxy.connections(started)
    for n in range(3):
        wait_for(bench, f"cut-{n}", "Complete", 60)
        check(bench, f"cut-{n}")
    print(f"   {made} connections were cut", flush=True)
    assert 3 <= made, "nothing was cut"


def test_reset_again_and_again(bench):
    """All connections at once, every 300 ms, in the midst of a run."""
    apply(bench, "reset", SPEC)
    for _n in range(20):
        bench.proxy.reset_all()
        time.sleep(0.3)
    wait_for(bench, "reset", "Complete", 60)
    check(bench, "reset")


def test_no_storm(bench):
    """A server that hangs up on everybody for 10 s is not stormed, and is found again soon."""
    bench.proxy.refuse = True
    bench.proxy.reset_all()
    started = time.monotonic()
    apply(bench, "no-storm", SPEC)
    time.sleep(10)
    made = bench.proxy.connections(started)
    bench.proxy.refuse = False
    print(f"   {made} connections in 10 s", flush=True)
    assert 4 <= made <= 10 * STORM, made
    wait_for(bench, "no-storm", "Complete", 30)
    check(bench, "no-storm")


def test_bytes_lost(bench):
    """5 s in which nothing arrives and nothing ends; the events of that time are lost, and the streams are broken for good."""
    bench.proxy.blackhole = True
    apply(bench, "lost", SPEC)
    time.sleep(5)
    assert "status" not in bench.get("memorydiagnosis", "lost") or "run" not in bench.get("memorydiagnosis", "lost")["status"]
    bench.proxy.blackhole = False
    run(bench, "not-lost", 75)  # its event is the first sign
    wait_for(bench, "lost", "Complete", 75)
    check(bench, "lost")


def test_gone_without_a_word(bench):
    """Half-open connections: keepalive finds them, long before the watch's own end after 5 minutes."""
    time.sleep(1)  # all is quiet: only watches
    gone = bench.proxy.vanish()
    assert gone >= 3, gone
    started = time.monotonic()
    run(bench, "half-open", 75)
    print(f"   {gone} connections vanished, noticed and run after {time.monotonic() - started:.0f} s", flush=True)


# --- HTTP ------------------------------------------------------------------------------------------------------------

def test_lists_in_pages_and_410(bench):
    """Two processes start with lists of a page each; one token after another is too old."""
    stop_both(bench, "bytes")
    bench.http = HttpProxy(bench.cluster, bench.http_port)
    for n in range(4):
        apply(bench, f"paused-{n}", {"suspend": True, **SPEC})

    def rewrite_limit(head):
        return head.replace(b"limit=500", b"limit=3").replace(b"&resourceVersion=0", b"")

    expired = bench.http.add(r"^GET .*memorydiagnoses\?limit=500&continue=", answer(
        "410 Gone", json.dumps({"kind": "Status", "code": 410, "reason": "Expired", "message": "continue is too old"})), 3)
    pages = bench.http.add(r"^GET .*memorydiagnoses\?limit=500", rewrite_limit, 1000)
    start_both(bench, bench.http_port, "http")
    run(bench, "pages")
    eventually("all were said", 30, lambda: expired.left == 0)
    begun = bench.http.requests(r"memorydiagnoses\?limit=500(&resourceVersion=0)?$")
    assert len(begun) >= 2 + 3, begun  # each process, and anew after each 410: not the same page again
    pages.left = 0


def test_429(bench):
    """Whoever is told to wait waits as long as that: 2 s in which nothing but the Lease is asked for."""
    told = []

    def refuse(tls):
        told.append(time.monotonic())
        answer("429 Too Many Requests", json.dumps({"kind": "Status", "code": 429, "reason": "TooManyRequests",
                                                    "message": "later"}), "Retry-After: 2\r\n")(tls)

    rule = bench.http.add(r"^PATCH .*memorydiagnosisreports/busy", refuse, 2)
    run(bench, "busy")
    assert rule.left == 0 and len(told) == 2, told
    assert told[1] - told[0] >= 2, told
    with bench.http.lock:
        writes = [at for at, line in bench.http.seen if line.startswith("PATCH") and "memorydiagnosisreports/busy" in line]
    assert len(writes) == 3 and writes[2] - writes[1] >= 2, writes


def end_watches(bench, *answers):
    """The watches of diagnoses that are under way end; the next of both processes get these answers."""
    rules = [bench.http.add(AGENT_WATCH, one, times) for one, times in answers]
    bench.http.reset_all()
    return rules


def test_expired_in_stream(bench):
    started = time.monotonic()
    rules = end_watches(bench, (stream(EXPIRED), 4))
    run(bench, "expired")
    eventually("all were said", 30, lambda: rules[0].left == 0)
    lists = bench.http.requests(r"^GET .*memorydiagnoses\?limit=500", started)
    assert len(lists) >= 2, lists


def test_empty_watches(bench):
    """200, no event, the end: what a server says of a version it does not know. No storm, and a new list."""
    started = time.monotonic()
    rules = end_watches(bench, (stream(), 10000))
    time.sleep(10)
    asked = bench.http.requests(r"\?watch=true", started)
    print(f"   {len(asked)} watches in 10 s", flush=True)
    assert 2 <= len(asked) <= 10 * STORM, len(asked)
    eventually("a new list", 60, lambda: bench.http.requests(r"^GET .*memorydiagnoses\?limit=500", started))
    rules[0].left = 0
    run(bench, "empty")


def test_watch_refused(bench):
    """HTTP 410, 500, an HTML page, no answer at all, a line of 9 MiB: each is got over."""
    page = "<html><body>please log in</body></html>"
    rules = end_watches(bench, (answer("410 Gone"), 2), (answer("500 Internal Server Error"), 2),
                        (answer("200 OK", page), 2), (lambda tls: None, 2), (stream("x" * (9 << 20)), 2))
    run(bench, "refused", 90)
    eventually("all were said", 60, lambda: all(rule.left == 0 for rule in rules))
    for name in ("controller-http", "agent-http"):
        peak = int(next(line for line in open(f"/proc/{bench.daemons[name].pid}/status")
                        if line.startswith("VmHWM")).split()[1])
        print(f"   {name}: {peak / 1024:.0f} MiB at most", flush=True)
        assert peak < 64 * 1024, f"{name}: {peak} KiB"


def test_end_of_http(bench):
    stop_both(bench, "http")


TESTS = [
    test_single_bytes,
    test_slow,
    test_cut_anywhere,
    test_reset_again_and_again,
    test_no_storm,
    test_bytes_lost,
    test_gone_without_a_word,
    test_lists_in_pages_and_410,
    test_429,
    test_expired_in_stream,
    test_empty_watches,
    test_watch_refused,
    test_end_of_http,
]
