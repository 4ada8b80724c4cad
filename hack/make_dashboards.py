#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the Grafana dashboards: a list of panels is read and reviewed here, the JSON that Grafana imports is not.

    hack/make_dashboards.py            writes manifests/components/monitoring/dashboards/*.json
    hack/make_dashboards.py --check    fails when what is there is not what this would write
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "manifests/components/monitoring/dashboards"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 24, 8


def variable(name, label, query, multi=True):
    return {"name": name, "label": label, "type": "query", "datasource": DATASOURCE, "query": query, "refresh": 2,
            "definition": query, "includeAll": multi, "multi": multi, "allValue": ".*" if multi else None, "sort": 1,
            "current": {"selected": True, "text": "All", "value": "$__all"} if multi else {}}


def row(title):
    return {"row": title}


def panel(title, unit, queries, help, kind="timeseries", width=12, stack=False, height=HEIGHT):
    return {"title": title, "unit": unit, "queries": queries, "help": help, "kind": kind, "width": width, "stack": stack,
            "height": height}


def heatmap(title, query, help, width=12):
    return panel(title, "s", [(query, "{{le}}")], help, "heatmap", width)


def render_panel(item, number, x, y):
    targets = []
    for index, (expr, legend) in enumerate(item["queries"]):
        target = {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
        if item["kind"] == "heatmap":
            target["format"] = "heatmap"
        if item["kind"] == "table":
            target.update(format="table", instant=True)
        targets.append(target)
    defaults = {"unit": item["unit"]}
    if item["kind"] == "timeseries":
        defaults["custom"] = {"fillOpacity": 60 if item["stack"] else 10, "showPoints": "never",
                              "stacking": {"mode": "normal" if item["stack"] else "none"}}
        defaults["min"] = 0
    options = {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}} \
        if item["kind"] == "timeseries" else {}
    if item["kind"] == "heatmap":
        options = {"calculate": False, "yAxis": {"unit": "s"}, "color": {"scheme": "Oranges", "mode": "scheme"}}
    return {"id": number, "type": item["kind"], "title": item["title"], "description": item["help"], "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": item["width"], "h": item["height"]}, "targets": targets,
            "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options}


def render(uid, title, description, variables, items):
    panels, x, y, line = [], 0, 0, 0
    for number, item in enumerate(items, 1):
        if "row" in item:
            y, x, line = y + line, 0, 0
            panels.append({"id": number, "type": "row", "title": item["row"], "collapsed": False, "panels": [],
                           "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
            y += 1
            continue
        if x + item["width"] > WIDTH:
            y, x, line = y + line, 0, 0
        panels.append(render_panel(item, number, x, y))
        x, line = x + item["width"], max(line, item["height"])
    datasource = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
                  "current": {}}
    return {"uid": uid, "title": title, "description": description, "tags": ["memdiag"], "timezone": "browser",
            "editable": True, "schemaVersion": 38, "version": 1, "refresh": "30s", "time": {"from": "now-1h", "to": "now"},
            "graphTooltip": 1, "templating": {"list": [datasource, *variables]}, "panels": panels,
            "links": [{"type": "dashboards", "title": "memdiag", "tags": ["memdiag"], "asDropdown": False,
                       "keepTime": True, "includeVars": True}]}


def rate(metric, selector, by):
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def quantile(q, metric, selector, by):
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))"


def average(metric, selector, by):
    return f"{rate(metric + '_sum', selector, by)} / {rate(metric + '_count', selector, by)}"


NODE = 'node=~"$node"'
CONTENTION = ',cause="contention"'
DIRECT = ',cause=~"direct-.*"'
POD = 'node=~"$node",namespace=~"$namespace",pod=~"$pod"'
WHO = "namespace, pod, container"
NAMED = "{{namespace}}/{{pod}}/{{container}}"


def node_panels():
    return [
        row("Where the memory went"),
        panel("Memory by use", "bytes", [(f"sum by (part) (memdiag_node_memory_bytes{{{NODE}}})", "{{part}}")],
              "Every part has one owner; together they are the nodes' memory, to the byte.", width=16, stack=True),
        panel("Not explained", "percentunit",
              [(f'memdiag_node_memory_bytes{{part="residual",{NODE}}} / ignoring(part, group) '
                f"memdiag_node_memory_total_bytes{{{NODE}}}", "{{node}}")],
              "Memory that no counter of the kernel explains: drivers, GPU, NIC, leaks. Run a KernelMemory check when it grows.",
              width=8),
        panel("Memory cgroups", "short", [(f"sum by (node, state) (memdiag_node_memory_cgroups{{{NODE}}})",
                                           "{{node}} {{state}}")],
              "Dying ones are removed but pinned by page cache or other memory: each costs kernel memory. "
              "Run a CgroupLeak check."),
        panel("Page scans", "short",
              [(rate("memdiag_node_pages_scanned_direct_total", NODE, "node"), "{{node}} direct"),
               (rate("memdiag_node_pages_scanned_kswapd_total", NODE, "node"), "{{node}} kswapd")],
              "Direct scans are made by processes that wait; kswapd's are not."),
        row("Waiting for memory"),
        panel("Direct reclaim, time waited", "s",
              [(rate("memdiag_node_direct_reclaim_seconds_sum", NODE, "node, cause"), "{{node}} {{cause}}")],
              "Seconds waited in each second, all tasks together, by cause: a limit, memory.high, or the node."),
        heatmap("Direct reclaim, how long", rate("memdiag_node_direct_reclaim_seconds_bucket", NODE, "le"),
                "Each direct reclaim by how long it took."),
        panel("Direct compaction, time waited", "s",
              [(rate("memdiag_node_compaction_seconds_sum", NODE + DIRECT, "node, cause"), "{{node}} {{cause}}")],
              "Tasks that waited for free pages to be made contiguous."),
        panel("Direct compactions", "ops",
              [(rate("memdiag_node_compaction_stalls_total", NODE, "node"), "{{node}} stalls"),
               (rate("memdiag_node_compaction_failures_total", NODE, "node"), "{{node}} failures")],
              "As the kernel counts them."),
        row("Waiting for a CPU"),
        panel("WaitOnRunq, average", "s", [(average("memdiag_node_run_queue_wait_seconds", NODE + CONTENTION, "node"), "{{node}}")],
              "How long a runnable task waited for a CPU, on average. Above 50 ms tasks are not run promptly."),
        panel("Run queue, longest", "s",
              [(quantile("0.99", "memdiag_node_run_queue_wait_seconds", NODE + CONTENTION, "node"), "{{node}} p99"),
               (quantile("0.999", "memdiag_node_run_queue_wait_seconds", NODE + CONTENTION, "node"), "{{node}} p99.9")],
              "Quantiles of the waits."),
        panel("Scheduling stalls", "short",
              [(f"sum by (node, cause) (increase(memdiag_node_scheduling_stall_seconds_count{{{NODE}}}[$__rate_interval]))",
                "{{node}} {{cause}}")],
              "CPUs that did not schedule although they should have, or held interrupts off. A SchedulingStall check names "
              "the function."),
        panel("Stalls by length", "short",
              [(f"sum by (le) (increase(memdiag_node_scheduling_stall_seconds_bucket{{{NODE}}}[$__rate_interval]))",
                "<= {{le}} s")],
              "Sched delay count: cumulative, by upper bound."),
        row("The agent"),
        panel("CPU", "percentunit", [(rate("memdiag_agent_cpu_seconds_total", NODE, "node"), "{{node}}")],
              "Share of one core."),
        panel("Resident memory", "bytes", [(f"memdiag_agent_resident_memory_bytes{{{NODE}}}", "{{node}}")], "RSS.", width=12),
        panel("Lost events, dropped series", "short",
              [(rate("memdiag_lost_events_total", NODE, "node, capture"), "{{node}} {{capture}}"),
               (f"sum by (node) (memdiag_series_dropped{{{NODE}}})", "{{node}} series")],
              "Anything but 0 means that what is shown is not all."),
        panel("Captures attached", "short",
              [(f"sum by (node, capture) (memdiag_capture_attached{{{NODE}}})", "{{node}} {{capture}}")],
              "0: this kernel lacks what the capture needs; `memdiag checks` on the node says what."),
    ]


def pod_panels():
    return [
        row("Waiting for memory"),
        panel("Direct reclaim, time waited", "s",
              [(rate("memdiag_container_direct_reclaim_seconds_sum", POD, WHO + ", cause"), NAMED + " {{cause}}")],
              "Seconds waited in each second. limit: the container, or a cgroup it is in, is at its memory limit; high: above "
              "memory.high; global: the node was short of free memory."),
        panel("Direct reclaim, p99", "s", [(quantile("0.99", "memdiag_container_direct_reclaim_seconds", POD, WHO), NAMED)],
              "How long one wait took."),
        panel("Direct compaction, time waited", "s",
              [(rate("memdiag_container_compaction_seconds_sum", POD + DIRECT, WHO), NAMED)],
              "Waits for contiguous memory."),
        row("Waiting for a CPU"),
        panel("Run queue, average wait", "s", [(average("memdiag_container_run_queue_wait_seconds", POD + CONTENTION, WHO),
                                              NAMED)],
              "Runnable, but other tasks had the CPU. Waits for the CPU quota are not in here.", width=8),
        panel("CPU quota, time waited", "s",
              [(rate("memdiag_container_run_queue_wait_seconds_sum", POD + ',cause="throttled"', WHO), NAMED)],
              "Seconds waited in each second, all tasks together, because the CPU limit's quota was used up.", width=8),
        panel("Run queue, p99", "s", [(quantile("0.99", "memdiag_container_run_queue_wait_seconds", POD + CONTENTION, WHO), NAMED)],
              "How long one wait took.", width=8),
        row("Memory"),
        panel("Working set", "bytes", [(f"memdiag_container_memory_working_set_bytes{{{POD}}}", NAMED)],
              "As the kubelet reckons: usage without inactive file cache."),
        panel("Usage of limit", "percentunit",
              [(f"memdiag_container_memory_usage_bytes{{{POD}}} / memdiag_container_memory_limit_bytes{{{POD}}}", NAMED)],
              "At 100 % each allocation waits for reclaim."),
        panel("Page cache", "bytes",
              [(f'memdiag_container_memory_bytes{{part="cache",{POD}}}', NAMED + " all"),
               (f'memdiag_container_memory_bytes{{part="inactive_file",{POD}}}', NAMED + " inactive")],
              "Files and shared memory charged to the container. A PageCache check names the files."),
        panel("Dirty", "bytes", [(f'memdiag_container_memory_bytes{{part="dirty",{POD}}}', NAMED)],
              "Must be written before it can be reclaimed."),
        panel("Shared memory", "bytes", [(f'memdiag_container_memory_bytes{{part="shmem",{POD}}}', NAMED)],
              "tmpfs, /dev/shm, memfd: without swap nothing of it can be reclaimed."),
        panel("Kernel memory", "bytes", [(f'memdiag_container_memory_bytes{{part="kernel",{POD}}}', NAMED)],
              "Slab, stacks, page tables, pipes and sockets charged to the container."),
    ]


def dashboards():
    node = variable("node", "Node", "label_values(memdiag_build_info, node)")
    namespace = variable("namespace", "Namespace", "label_values(memdiag_container_memory_usage_bytes, namespace)")
    pod = variable("pod", "Pod", 'label_values(memdiag_container_memory_usage_bytes{namespace=~"$namespace"}, pod)')
    return {
        "node.json": render("memdiag-node", "memdiag / Node", "Where nodes' memory went, and what waits for it.", [node],
                            node_panels()),
        "pod.json": render("memdiag-pod", "memdiag / Pod", "Which containers wait for memory or a CPU, and why.",
                           [node, namespace, pod], pod_panels()),
    }


def main(argv):
    different = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, dashboard in dashboards().items():
        text = json.dumps(dashboard, indent=1) + "\n"
        path = FOLDER / name
        if path.exists() and path.read_text() == text:
            continue
        different.append(name)
        if "--check" not in argv:
            path.write_text(text)
    if "--check" in argv and different:
        print(f"make_dashboards: {', '.join(different)} differ: run hack/make_dashboards.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
