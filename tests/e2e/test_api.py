# SPDX-License-Identifier: Apache-2.0
"""The contract with the API server: what it accepts, what it refuses and in which words, who may write what."""

from kube_harness import eventually

NEEDS_BINARY = False
NAMESPACE = "memdiag-system"

# What a row of BAD does to an empty spec, and what the refusal must mention: the field first of all.
BAD = [
    ("unknown check", {"checks": [{"type": "PageCash"}]}, ["spec.checks[0].type", "PageCash", "PageCache"]),
    ("check twice", {"checks": [{"type": "PageCache"}, {"type": "PageCache"}]}, ["spec.checks[1]", "Duplicate"]),
    ("window 0s", {"window": "0s"}, ["spec.window", "0s", "1s to 10m"]),
    ("window 11m", {"window": "11m"}, ["spec.window", "11m", "1s to 10m"]),
    ("window abc", {"window": "abc"}, ["spec.window", "abc", "1s to 10m"]),
    ("window without unit", {"window": "30"}, ["spec.window", "30", "1s to 10m"]),
    ("window as number", {"window": 30}, ["spec.window", "string"]),
    ("window beyond deadline", {"window": "1m", "activeDeadlineSeconds": 60},
     ["spec.activeDeadlineSeconds", "longer than window (1m)"]),
    ("deadline too short", {"activeDeadlineSeconds": 1}, ["spec.activeDeadlineSeconds", "10"]),
    ("top 0", {"top": 0}, ["spec.top", "from 1 to 50"]),
    ("top 51", {"top": 51}, ["spec.top", "from 1 to 50"]),
    ("top as text", {"top": "ten"}, ["spec.top", "integer"]),
    ("cpuBudget 6m", {"cpuBudget": "6m"}, ["spec.cpuBudget", "6m", "10ms to 5m"]),
    ("historyLimit 11", {"historyLimit": 11}, ["spec.historyLimit", "10"]),
    ("concurrencyPolicy Allow", {"concurrencyPolicy": "Allow"}, ["spec.concurrencyPolicy", "Forbid", "Replace"]),
    ("failOn Info", {"failOn": "Info"}, ["spec.failOn", "Never"]),
    ("nodeName and nodeSelector", {"target": {"nodeName": "a", "nodeSelector": {"pool": "x"}}},
     ["spec.target.nodeSelector", 'nodeName ("a")']),
    ("nodeName no node's name", {"target": {"nodeName": "../a"}}, ["spec.target.nodeName", "../a"]),
    ("pod and namespaces", {"target": {"pod": {"namespace": "n", "name": "p"}, "namespaces": ["n"]}},
     ["spec.target.namespaces", 'pod ("n/p")']),
    ("pod and nodeName", {"target": {"pod": {"namespace": "n", "name": "p"}, "nodeName": "a"}},
     ["spec.target.nodeName", 'pod ("n/p")']),
    ("pod and the rest", {"target": {"pod": {"namespace": "n", "name": "p"}, "nodeSelector": {"a": "b"},
                                     "podSelector": {"matchLabels": {"a": "b"}}}},
     ["spec.target.nodeSelector", "spec.target.podSelector", 'pod ("n/p")']),
    ("pod without name", {"target": {"pod": {"namespace": "n"}}}, ["spec.target.pod.name", "Required"]),
    ("pod without namespace", {"target": {"pod": {"name": "p"}}}, ["spec.target.pod.namespace", "Required"]),
    ("In without values", {"target": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}},
     ["spec.target.podSelector.matchExpressions[0].values", "needs at least one"]),
    ("ttl and schedule", {"ttlSecondsAfterFinished": 60, "schedule": "0 2 * * *"},
     ["spec.ttlSecondsAfterFinished", "schedule"]),
    ("timeZone without schedule", {"timeZone": "Europe/Berlin"}, ["spec.timeZone", "without schedule"]),
    ("timeZone no zone", {"timeZone": "../Berlin", "schedule": "0 2 * * *"}, ["spec.timeZone", "IANA"]),
    ("startingDeadlineSeconds without schedule", {"startingDeadlineSeconds": 60},
     ["spec.startingDeadlineSeconds", "requires schedule"]),
    ("four cron fields", {"schedule": "0 2 * *"}, ["spec.schedule", "five fields"]),
    ("six cron fields", {"schedule": "0 0 2 * * *"}, ["spec.schedule", "five fields"]),
    ("unknown macro", {"schedule": "@fortnightly"}, ["spec.schedule", "@fortnightly", "@daily"]),
    ("@every", {"schedule": "@every 5m"}, ["spec.schedule", "@every 5m", "@hourly"]),
    ("minute 60", {"schedule": "60 2 * * *"}, ["spec.schedule", 'minute field "60"', "0-59"]),
    ("hour 24", {"schedule": "0 24 * * *"}, ["spec.schedule", 'hour field "24"', "0-23"]),
    ("day 0", {"schedule": "0 2 0 * *"}, ["spec.schedule", 'day-of-month field "0"', "1-31"]),
    ("month 13", {"schedule": "0 2 * 13 *"}, ["spec.schedule", 'month field "13"', "1-12"]),
    ("weekday 8", {"schedule": "0 2 * * 8"}, ["spec.schedule", 'day-of-week field "8"', "0-6"]),
    ("step 0", {"schedule": "*/0 * * * *"}, ["spec.schedule", 'minute field "*/0"']),
    ("TZ in schedule", {"schedule": "TZ=Europe/Berlin 0 2 * * *"}, ["spec.schedule", "spec.timeZone"]),
    ("CRON_TZ in schedule", {"schedule": "CRON_TZ=UTC 0 2 * * *"}, ["spec.schedule", "spec.timeZone"]),
    ("threshold without values", {"thresholds": [{"reason": "PageCacheHigh"}]},
     ["spec.thresholds[0].warning", "PageCacheHigh", "neither warning nor critical"]),
    ("threshold 120%", {"thresholds": [{"reason": "PageCacheHigh", "warning": "120%"}]},
     ["spec.thresholds[0].warning", "120%"]),
    ("threshold of a reason that is none", {"thresholds": [{"reason": "page cache", "warning": "1%"}]},
     ["spec.thresholds[0].reason", "page cache"]),
]

GOOD = [
    ("empty", {}),
    ("limits of ranges", {"window": "1s", "top": 1, "cpuBudget": "10ms", "activeDeadlineSeconds": 10}),
    ("other limits", {"window": "10m", "top": 50, "cpuBudget": "5m", "historyLimit": 0,
                      "activeDeadlineSeconds": 86400, "ttlSecondsAfterFinished": 0}),
    ("window in parts", {"window": "1m30s"}),
    ("one pod", {"target": {"pod": {"namespace": "payments", "name": "api-7c9f-x2x"}}}),
    ("pods by label", {"target": {"nodeSelector": {"pool": "general"}, "namespaces": ["payments"], "podSelector": {
        "matchLabels": {"app": "api"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}]}}}),
    ("schedule", {"schedule": "0 2 * * *", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 600,
                  "concurrencyPolicy": "Replace", "suspend": True}),
    ("lists, ranges, steps, names", {"schedule": "*/15,7 0-6/2 1,15 jan-MAR mon-fri"}),
    ("tabs between cron fields", {"schedule": "0\t2 *  * *"}),
    ("macro", {"schedule": "@hourly", "timeZone": "America/Argentina/Buenos_Aires"}),
    ("thresholds", {"thresholds": [{"reason": "PageCacheHigh", "warning": "0%", "critical": "100%"},
                                   {"reason": "SharedMemoryHigh", "warning": "512Mi"},
                                   {"reason": "ReclaimSlow", "critical": "200ms"}]}),
]

COLUMNS = "NAME SCHEDULE STATE NODES CRITICAL WARNING TOP-FINDING RECLAIMABLE LAST-RUN AGE"
WIDE = "NAME SCHEDULE STATE NODES CRITICAL WARNING TOP-FINDING RECLAIMABLE LAST-RUN READY SUSPEND DURATION AGE"
REPORT_COLUMNS = "NAME NODE VERDICT CRITICAL WARNING TOP-FINDING RECLAIMABLE RUN LAST-RUN AGE"


def diagnosis(name, spec):
    return {"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "metadata": {"name": name}, "spec": spec}


def report(name, node, **more):
    return {"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosisReport",
            "metadata": {"name": f"{name}.{node}"}, "diagnosis": name, "nodeName": node, "verdict": "OK",
            "run": {"id": "g-1"}, **more}


def dry_run(bench, obj):
    """What the server says to it, validation and admission included."""
    return bench.kubectl(["create", "--dry-run=server", "-f", "-"], input=obj)


def apply(bench, obj, kubeconfig=None, *flags):
    """Server-side apply, as memdiag writes."""
    return bench.kubectl(["apply", "--server-side", "--force-conflicts", *flags, "-f", "-"], input=obj,
                         kubeconfig=kubeconfig)


def refused(done, *words):
    """Fails unless it was refused in words that mention all of these."""
    assert done.returncode != 0, f"accepted: {done.stdout.strip()}"
    missing = [word for word in words if word not in done.stderr]
    assert not missing, f"refused without mentioning {missing}: {done.stderr.strip()}"


def accepted(done):
    assert done.returncode == 0, done.stderr.strip()


def setup(bench):
    bench.install()
    for node in ("api-a", "api-b"):
        bench.cluster.create_node(node)


def teardown(bench):
    bench.kubectl(["delete", "memdiag,memreport", "--all", "--wait=false"])
    bench.kubectl(["delete", "node", "api-a", "api-b", "--wait=false"])


def test_install_twice(bench):
    accepted(bench.kubectl(["apply", "-k", bench.root / "manifests/base", "--server-side"]))
    for crd in ("memorydiagnoses", "memorydiagnosisreports"):
        status = bench.get("crd", f"{crd}.memdiag.io")["status"]
        bad = [c for c in status["conditions"] if c["type"] in ("NonStructuralSchema", "Terminating")]
        assert not bad, f"{crd}: {bad}"


def test_examples(bench):
    examples = sorted((bench.root / "manifests/examples").glob("*.yaml"))
    assert len(examples) >= 4, examples
    for example in examples:
        done = bench.kubectl(["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", example])
        assert done.returncode == 0, f"{example.name}: {done.stderr.strip()}"


def test_bad_specs(bench):
    wrong = []
    for what, spec, words in BAD:
        try:
            refused(dry_run(bench, diagnosis("bad", spec)), *words)
        except AssertionError as e:
            wrong.append(f"{what}: {e}")
    assert not wrong, "\n  ".join(["", *wrong])


def test_bad_names(bench):
    refused(dry_run(bench, diagnosis("a" * 41, {})), "metadata.name", "1 to 40 characters")
    refused(dry_run(bench, diagnosis("a.b", {})), "metadata.name", '"a.b"')
    accepted(dry_run(bench, diagnosis("a" * 40, {})))


def test_good_specs(bench):
    wrong = []
    for what, spec in GOOD:
        done = dry_run(bench, diagnosis("good", spec))
        if done.returncode != 0:
            wrong.append(f"{what}: {done.stderr.strip()}")
    assert not wrong, "\n  ".join(["", *wrong])


def test_unknown_field(bench):
    done = bench.kubectl(["create", "--dry-run=server", "--validate=strict", "-f", "-"],
                         input=diagnosis("typo", {"windows": "30s"}))
    refused(done, 'unknown field "spec.windows"')


def test_defaults(bench):
    accepted(apply(bench, diagnosis("defaults", {})))
    got = bench.get("memdiag", "defaults")
    want = {"window": "30s", "top": 10, "cpuBudget": "2s", "activeDeadlineSeconds": 900, "concurrencyPolicy": "Forbid",
            "suspend": False, "historyLimit": 3, "failOn": "Never"}
    assert got["spec"] == want, got["spec"]
    # kstatus takes a status without conditions as done, unless it is about an older generation.
    assert got["status"] == {"observedGeneration": -1}, got["status"]


def test_columns(bench):
    accepted(apply(bench, diagnosis("columns", {"schedule": "0 2 * * *", "suspend": True})))
    for args, want in ([], COLUMNS), (["-o", "wide"], WIDE):
        header, row = bench.kubectl(["get", "memorydiagnoses", "columns", *args], check=True).stdout.splitlines()
        assert " ".join(header.split()) == want, header
        assert row.startswith("columns ") and "0 2 * * *" in row, row
    accepted(apply(bench, report("columns", "api-a", findings=[{
        "id": "PageCacheHigh/node", "check": "PageCache", "severity": "Warning", "reason": "PageCacheHigh",
        "message": "much"}])))
    header, row = bench.kubectl(["get", "memreport", "columns.api-a"], check=True).stdout.splitlines()
    assert " ".join(header.split()) == REPORT_COLUMNS, header
    assert "PageCacheHigh/node" in row, row


def test_category(bench):
    """One word for both kinds; and it must not shadow the short name."""
    accepted(apply(bench, diagnosis("category", {})))
    accepted(apply(bench, report("category", "api-a")))
    out = bench.kubectl(["get", "memdiag-all"], check=True).stdout
    for name in ("memorydiagnosis.memdiag.io/category", "memorydiagnosisreport.memdiag.io/category.api-a"):
        assert name in out, out
    accepted(bench.kubectl(["get", "memdiag", "category"]))


def test_report_rules(bench):
    wrong = report("rules", "api-a")
    wrong["metadata"]["name"] = "rules.api-b"
    refused(apply(bench, wrong), "metadata.name", '"rules.api-a"')
    accepted(apply(bench, report("rules", "api-a")))
    moved = report("rules", "api-b")
    moved["metadata"]["name"] = "rules.api-a"
    refused(apply(bench, moved), "nodeName", 'was "api-a", got "api-b"')
    done = bench.kubectl(["get", "memreport", "--field-selector", "nodeName=api-a,diagnosis=rules", "-o", "name"])
    assert done.stdout.split() == ["memorydiagnosisreport.memdiag.io/rules.api-a"], done


def test_report_full(bench):
    """Every field a check of this version may fill."""
    row = {"path": "/var/log/x", "containerPath": "/logs/x", "volume": "logs", "filesystem": "ext4", "device": "254:0",
           "inode": "131075", "generation": "4211", "sizeBytes": 1, "cachedBytes": 1, "dirtyBytes": 0,
           "deleted": False, "shmem": False, "kernelMount": False,
           "chargedTo": [{"namespace": "n", "pod": "p", "container": "c", "cgroup": "/", "bytes": 1, "dying": False}]}
    payer = {"namespace": "n", "pod": "p", "podUID": "u", "container": "c", "cgroup": "/", "bytes": 1,
             "shmemBytes": 0, "dirtyBytes": 0, "topFile": "/x", "dying": False}
    totals = dict.fromkeys(["totalBytes", "nodeCachedBytes", "shmemBytes", "blockDeviceBytes", "dirtyBytes",
                            "unresolvedBytes", "unresolvedFiles", "unnamedBytes", "distinctFiles"], 1)
    check = {"state": "Complete", "reason": "", "message": "", "method": "bpf-page-scan", "coveragePermille": 1000,
             "durationMillis": 1, "cpuMillis": 1, "bpfCalls": 40, "bpfMaxCallMicros": 700}
    full = report("full", "api-a", checks=[
        {"type": "PageCache", **check, "pageCache": {**totals, "files": [row], "containers": [payer]}},
        {"type": "SharedMemory", **check, "sharedMemory": {
            "totalBytes": 1, "unresolvedBytes": 0, "files": [row], "containers": [payer],
            "directories": [{"path": "/dev/shm", "filesystem": "tmpfs", "device": "0:26", "files": 3, "bytes": 1}]}}])
    accepted(apply(bench, full, None, "--validate=strict"))
    refused(apply(bench, {**full, "checks": [{"type": "PageCache", **check, "pageCache": {"totalBytes": -1}}]}),
            "checks[0].pageCache.totalBytes")
    row["generation"] = "x"
    refused(apply(bench, full), "generation")


def test_agents_write_their_own_report_only(bench):
    a = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node="api-a")
    # The policy takes effect a moment after it is accepted.
    eventually("the policy refuses a report of another node", 20,
               lambda: apply(bench, report("own", "api-b"), a).returncode != 0)
    refused(apply(bench, report("own", "api-b"), a),
            'the agent of node "api-a" may write only its own reports, not one with nodeName "api-b"')
    accepted(apply(bench, report("own", "api-a"), a))
    accepted(apply(bench, report("own", "api-a", verdict="Warning"), a))

    b = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node="api-b")
    refused(apply(bench, report("own", "api-a", verdict="Critical"), b), 'the agent of node "api-b"')
    unbound = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent")
    refused(apply(bench, report("own", "api-a"), unbound), "not bound to a node")


def can(bench, kubeconfig, verb, what, *more):
    return bench.kubectl(["auth", "can-i", verb, what, *more], kubeconfig=kubeconfig).stdout.strip() == "yes"


def test_agent_rights(bench):
    agent = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node="api-a")
    accepted(apply(bench, report("rights", "api-a")))
    refused(bench.kubectl(["delete", "memreport", "rights.api-a"], kubeconfig=agent), "forbidden")
    for verb, what in [("get", "memdiag"), ("list", "memdiag"), ("watch", "memdiag"), ("get", "memreport"),
                       ("create", "memreport"), ("patch", "memreport"), ("get", "nodes"),
                       ("create", "events.events.k8s.io"), ("patch", "events.events.k8s.io")]:
        assert can(bench, agent, verb, what), f"the agent cannot {verb} {what}"
    for verb, what in [("patch", "memdiag"), ("patch", "memdiag/status"), ("list", "memreport"), ("list", "nodes"),
                       ("list", "pods"), ("get", "nodes/proxy"), ("get", "secrets"), ("create", "leases")]:
        resource, _, sub = what.partition("/")
        assert not can(bench, agent, verb, resource, *([f"--subresource={sub}"] if sub else [])), \
            f"the agent can {verb} {what}"


def test_controller_rights(bench):
    controller = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-controller")
    for verb, what, *more in [("list", "memdiag"), ("delete", "memdiag"), ("patch", "memdiag", "--subresource=status"),
                              ("watch", "memreport"), ("delete", "memreport"), ("watch", "nodes"), ("list", "pods"),
                              ("create", "leases", "-n", NAMESPACE), ("create", "events.events.k8s.io"),
                              ("patch", "leases/memdiag-controller", "-n", NAMESPACE)]:
        assert can(bench, controller, verb, what, *more), f"the controller cannot {verb} {what} {more}"
    for verb, what, *more in [("create", "memdiag"), ("patch", "memreport"), ("create", "memreport"),
                              ("patch", "nodes"), ("watch", "secrets"), ("create", "pods"),
                              ("create", "leases", "-n", "kube-system"), ("get", "nodes", "--subresource=proxy")]:
        assert not can(bench, controller, verb, what, *more), f"the controller can {verb} {what} {more}"


TESTS = [
    test_install_twice,
    test_examples,
    test_bad_specs,
    test_bad_names,
    test_good_specs,
    test_unknown_field,
    test_defaults,
    test_columns,
    test_category,
    test_report_rules,
    test_report_full,
    test_agents_write_their_own_report_only,
    test_agent_rights,
    test_controller_rights,
]
