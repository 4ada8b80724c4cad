# SPDX-License-Identifier: Apache-2.0
"""What is exported: a real Prometheus scrapes a loaded agent, and every panel of the dashboards has something to show.

Real containerd, no API server: the agent measures without one. Pods at their memory limit and
at their CPU limit, and one that shares a CPU with a hog.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from containerd_harness import Containerd
from kube_harness import Daemon, HarnessError, clean_environment, eventually, free_ports

NEEDS_BINARY = True
NEEDS_CLUSTER = False
MIB = 1 << 20
WINDOW = "20s" # what Grafana would put for $__rate_interval
SCRAPES_SECONDS = 15
IDLE_SECONDS = 20

# Events that a healthy machine has none of and that cannot be made here without harming it: direct compaction in a container.
# Its own integration test makes them; here the query must be valid, and the node's panels, which show zeros, must answer.
QUIET = {"Pod: Direct compaction, time waited"}

loaded_before = set()
runtime = None
tools = None
prometheus = None
agent_port = prometheus_port = 0


def programs():
    """Ids of the BPF programs in the kernel; ids are not used again."""
    done = subprocess.run(["bpftool", "-j", "prog", "show"], stdout=subprocess.PIPE, check=True,
                          env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"})
    return {program["id"] for program in json.loads(done.stdout or "[]")}


def start_pods():
    # Reads and writes a file larger than its limit, again and again: each page waits for another to be reclaimed.
    writer = runtime.run_pod("writer-0", "batch")
    writer.run_container("app", memory_limit=64 * MIB, command=[
        "sh", "-c", "while true; do dd if=/dev/zero of=/big.bin bs=1M count=160 2>/dev/null; cat /big.bin >/dev/null; done"])
    # Sleeps and wakes: what a server does. On one CPU with a hog it waits for its turn.
    server = runtime.run_pod("server-0", "shop")
    server.run_container("app", command=[
        "taskset", "1", "sh", "-c", "while true; do i=0; while [ $i -lt 300 ]; do i=$((i+1)); done; sleep 0.01; done"])
    hog = runtime.run_pod("hog-0", "batch")
    hog.run_container("app", command=["taskset", "1", "sh", "-c", "while true; do :; done"])
    limited = runtime.run_pod("limited-0", "shop")
    limited.run_container("app", command=["sh", "-c", "while true; do :; done"], cpus=0.1)


def start_agent(bench):
    config = bench.folder / "nobody.kubeconfig"
    config.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
    bench.start("agent-metrics", ["agent", "--node-name", "e2e-metrics", "--kubeconfig", config, "--cri-socket",
                                  runtime.socket, "--metrics-address", f"127.0.0.1:{agent_port}", "--compat-sysom"])
    eventually("the agent serves metrics", 20, lambda: fetch(agent_port, "/healthz") == "ok\n")


def start_prometheus(folder):
    config, rules = folder / "prometheus.yaml", folder / "rules-under-test.yaml"
    config.write_text(f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
- job_name: memdiag
  honor_labels: true
  static_configs: [{{targets: ["127.0.0.1:{agent_port}"], labels: {{node: e2e-metrics}}}}]
""")
    daemon = Daemon("prometheus", [f"{tools}/prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
                                   f"--web.listen-address=127.0.0.1:{prometheus_port}"],
                    folder / "prometheus.log", env=clean_environment(), ready=lambda: fetch(prometheus_port, "/-/ready"))
    return daemon.start()


def fetch(port, path, headers=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers or {}),
                                    timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return None


def write_rules(bench):
    """The groups alone, as Prometheus reads them, without the operator's envelope."""
    text = (bench.root / "manifests/components/monitoring/prometheusrule.yaml").read_text()
    spec = text.split("\nspec:\n", 1)[1]
    path = bench.folder / "rules-under-test.yaml"
    path.write_text("\n".join(line.removeprefix("  ") for line in spec.splitlines()) + "\n")
    return path


def setup(bench):
    global loaded_before, runtime, tools, prometheus, agent_port, prometheus_port
    loaded_before = programs()
    tools = subprocess.run([bench.root / "hack/get-prometheus.sh"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.strip()
    runtime = Containerd()
    runtime.__enter__()
    agent_port, prometheus_port = free_ports(2)
    start_pods()
    start_agent(bench)
    write_rules(bench)
    prometheus = start_prometheus(bench.folder)
    time.sleep(SCRAPES_SECONDS)


def teardown(_bench):
    if prometheus:
        prometheus.stop()
    if runtime:
        runtime.close()


def promtool(*args, **kwargs):
    done = subprocess.run([f"{tools}/promtool", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)
    assert done.returncode == 0, f"promtool {args[0]} {args[1]}: {done.stdout}"


def test_rules(bench):
    """Valid, and each alert fires when it should and not before."""
    promtool("check", "rules", str(bench.folder / "rules-under-test.yaml"))
    tests = bench.folder / "rules-test.yaml"
    tests.write_text((bench.root / "tests/monitoring/rules.yaml").read_text())
    promtool("test", "rules", str(tests), cwd=bench.folder)


def test_dashboards_are_current(bench):
    done = subprocess.run([sys.executable, "-B", bench.root / "hack/make_dashboards.py", "--check"],
                          stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def test_format(_bench):
    """Both text formats are whole; promtool finds nothing to complain of in our own names."""
    text = fetch(agent_port, "/metrics")
    ours = re.sub(r"(?m)^(# (HELP|TYPE) )?(sysom_|sched_moni_).*\n", "", text)
    promtool("check", "metrics", input=ours)
    open_metrics = fetch(agent_port, "/metrics", {"Accept": "application/openmetrics-text;version=1.0.0"})
    assert open_metrics.endswith("# EOF\n"), "OpenMetrics has no end mark"
    assert "container_id" not in text and "/kubepods" not in text, "a cgroup path or container id is a label"


def query(expression):
    answer = json.loads(fetch(prometheus_port, "/api/v1/query?" + urllib.parse.urlencode({"query": expression})) or "{}")
    assert answer.get("status") == "success", f"{expression}: {answer}"
    return answer["data"]["result"]


def panels(bench):
    """(dashboard, title, expression) of every query."""
    for name in ("node", "pod"):
        dashboard = json.loads((bench.root / f"manifests/components/monitoring/dashboards/{name}.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield dashboard["title"].rsplit(" ", 1)[-1], panel["title"], target["expr"]


def without_variables(expression):
    for variable in ("$node", "$namespace", "$pod"):
        expression = expression.replace(f'"{variable}"', '".*"')
    return expression.replace("$__rate_interval", WINDOW)


def test_every_panel_has_data(bench):
    asked = 0
    empty = []
    for dashboard, title, expression in panels(bench):
        asked += 1
        found = [series for series in query(without_variables(expression)) if series["value"][1] != "NaN"]
        if not found and f"{dashboard}: {title}" not in QUIET:
            empty.append(f"{dashboard}: {title}: {expression}")
    assert asked > 20, f"only {asked} queries"
    assert not empty, "no data for\n" + "\n".join(empty)


def value(expression):
    result = query(expression)
    assert len(result) == 1, f"{expression}: {result}"
    return float(result[0]["value"][1])


def test_it_is_the_truth(_bench):
    """The parts add up; who waits at the limit and who waits for a CPU are told apart."""
    total = value("memdiag_node_memory_total_bytes")
    assert value("sum(memdiag_node_memory_bytes)") == total
    with open("/proc/meminfo") as meminfo:
        assert int(meminfo.readline().split()[1]) * 1024 == total
    waited = value(f'sum(rate(memdiag_container_direct_reclaim_seconds_sum{{pod="writer-0",cause="limit"}}[{WINDOW}]))')
    assert waited > 0, "the pod at its limit has not waited"
    others = query(f'rate(memdiag_container_direct_reclaim_seconds_sum{{pod!="writer-0",cause="limit"}}[{WINDOW}]) > 0')
    assert not others, f"others wait at a limit: {others}"
    throttled = query(f'rate(memdiag_container_run_queue_wait_seconds_sum{{cause="throttled"}}[{WINDOW}]) > 0.1')
    assert {series["metric"]["pod"] for series in throttled} == {"limited-0"}, f"at their CPU limit: {throttled}"
    average = value(f'sum(rate(memdiag_container_run_queue_wait_seconds_sum{{pod="server-0",cause="contention"}}[{WINDOW}])) / '
                    f'sum(rate(memdiag_container_run_queue_wait_seconds_count{{pod="server-0",cause="contention"}}[{WINDOW}]))')
    assert average > 0.0001, f"the server shares its CPU with a hog, but waits {average} s on average"


def test_sysoms_names(_bench):
    """What the original exporter says of a container: the limits it was started with, and what they did to it."""
    assert value('sysom_container_cpu_cfsquota{pod="limited-0",type="quota_ratio"}') == 10
    for kind in ("nr_periods", "nr_throttled", "throttled_time"):
        assert value(f'sysom_container_cpu_stat{{pod="limited-0",type="{kind}"}}') > 0, kind
        assert value(f'sysom_container_cpu_stat{{pod="hog-0",type="{kind}"}}') == 0, kind
    assert not query('sysom_container_cpu_cfsquota{pod="hog-0"}'), "a quota without one"
    assert value('sysom_container_memory_stat{pod="writer-0",type="limit"}') == 64 * MIB
    assert value('sum(sysom_container_memory_oomcnt)') == 0
    waits = value('sysom_container_cpuacct_wait_latency{pod="server-0",type="wait_lat_total"}')
    assert waits > 0, "the server shares its CPU with a hog"


def test_recorded_and_alerts(_bench):
    assert query("container:memdiag_direct_reclaim_seconds:rate5m"), "the recording rules gave nothing"
    assert query("up == 1"), "the scrape fails"
    assert value("memdiag_series_dropped") == 0
    assert value("sum(memdiag_capture_attached)") == 4, query("memdiag_capture_attached")


def test_cost(bench):
    """Everything on, scraped each second: printed, and bounded as the README says."""
    rss = value("memdiag_agent_resident_memory_bytes")
    cpu = value(f"rate(memdiag_agent_cpu_seconds_total[{WINDOW}])")
    print(f"   agent with all captures: {rss / MIB:.1f} MiB RSS, {cpu * 100:.2f} % of a core, scraped each second")
    assert rss <= 20 * MIB * (2 if os.environ.get("MEMDIAG_SANITIZED") else 1), f"{rss} bytes resident"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle(bench):
    """Everything attached, nobody scrapes: nothing is read."""
    pid = bench.daemons["agent-metrics"].pid
    prometheus.stop()
    before = cpu_seconds(pid)
    time.sleep(IDLE_SECONDS)
    share = (cpu_seconds(pid) - before) / IDLE_SECONDS
    print(f"   agent with all captures, not scraped: {share * 100:.2f} % of a core")
    # The clock's ticks are 10 ms: three of them are the noise.
    assert share <= 0.001 + 0.03 / IDLE_SECONDS, f"{share * 100:.2f} % of a core"


def test_nothing_stays(bench):
    """While it runs programs are loaded; after its end none is, also when it was killed."""
    agent = bench.daemons["agent-metrics"]
    assert programs() - loaded_before, "the agent has loaded nothing"
    agent.kill()
    eventually("all programs are gone", 10, lambda: not programs() - loaded_before)


TESTS = [test_rules, test_dashboards_are_current, test_format, test_every_panel_has_data, test_it_is_the_truth, test_sysoms_names,
         test_recorded_and_alerts, test_cost, test_idle, test_nothing_stays]
