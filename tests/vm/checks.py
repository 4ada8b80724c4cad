# SPDX-License-Identifier: Apache-2.0
"""What `memdiag run` must say on each kernel. A test gets the kernel and its sections, name -> Section."""

import json
import re

from judge import expect, passed

MIB = 1 << 20

# A check is Complete on every kernel, and lacks nothing, but for these: (type, on which kernels, state, reason, what its
# message says). A row that is no longer true fails too, so what a kernel can't do is known and stays known.
EXPECTED = [
    # Tracing programs have task storage since 5.12 (a10787e6d58c).
    ("ReclaimLatency", lambda kernel: kernel.version < (5, 12), "Complete", "TaskStorageMissing", "by thread id"),
    ("RunQueueLatency", lambda kernel: kernel.version < (5, 12), "Complete", "LimitedByKernel", "by pid"),
    # Since about 6.19 it is allocated by what needs cmpxchg16b, which hack/vm-run.sh takes away from the CPU.
    ("RunQueueLatency", lambda kernel: kernel.version >= (7, 0) and kernel.arch == "amd64", "Complete", "LimitedByKernel", "by pid"),
]

# With these reasons a check is Complete all the same. No machine here has a container runtime.
HARMLESS = ("NamesMissing",)


def numbers(text):
    return {name: int(value) for name, value in (line.split() for line in text.split("\n") if line.strip())}


def page_size(sections):
    """Of the machine, not of this host."""
    return int(passed(sections, "page-kib")) << 10


def near(a, b, permille):
    return abs(a - b) * 1000 <= max(a, b) * permille


def report_of(sections):
    """Also of a run that ended badly: it says which check failed."""
    log = sections["run-log"].text if "run-log" in sections else ""
    expect("run" in sections, "the run did not end")
    try:
        return json.loads(sections["run"].text)
    except ValueError as e:
        raise AssertionError(f"exit status {sections['run'].status}, no report: {e}; its log:\n{log}") from e


def check_of(sections, check_type):
    return next(check for check in report_of(sections)["checks"] if check["type"] == check_type)


def offered(sections):
    """{type: what it needs or lacks} of `memdiag checks`, without those that this version does not have."""
    rows = [re.match(r"(\S+) +(yes|no) +(.*)$", line) for line in passed(sections, "checks").splitlines()]
    return {row[1]: row[3] for row in rows if row and row[3] != "not in this version"}


def expected_of(kernel, check_type):
    rows = [row for row in EXPECTED if row[0] == check_type and row[1](kernel)]
    return rows[0][2:] if rows else ("Complete", None, "")


def test_every_check(kernel, sections):
    """Each that this version has is in the report, with the state that this kernel allows."""
    report = report_of(sections)
    said = {check["type"]: check for check in report["checks"]}
    faults = [f"{name} is not in the report" for name in offered(sections) if name not in said]
    for name, check in said.items():
        state, reason, words = expected_of(kernel, name)
        reasons = (reason,) if reason else (None, *HARMLESS)
        if check["state"] != state or check.get("reason") not in reasons or words not in check.get("message", ""):
            faults.append(f"{name} is {check['state']} {check.get('reason', '')}: {check.get('message', '')}")
    faults += [f"{name} does not say what it needs" for name, needs in offered(sections).items() if "null" in needs]
    expect(said, "no check in the report")
    expect(not faults, "; ".join(faults))
    return f"{len(said)} checks"


def test_report(kernel, sections):
    report = report_of(sections)
    passed(sections, "run")
    expect(report["kind"] == "MemoryDiagnosisReport", "not a MemoryDiagnosisReport")
    expect(report["agent"]["kernel"] == kernel.name, f"kernel {report['agent']['kernel']}")
    expect(report["agent"]["cgroup"] == "v2", f"cgroup {report['agent']['cgroup']}")
    for name in ("PageCache", "SharedMemory"):
        check = check_of(sections, name)
        expect(check["method"] == "bpf-page-scan", f"{name} by {check['method']}")
        expect(check["coveragePermille"] == 1000, f"{name} covers {check['coveragePermille']} permille")


def test_totals(_kernel, sections):
    """Within 1 % of what the kernel counts itself."""
    page = page_size(sections)
    cache = check_of(sections, "PageCache")["pageCache"]
    for when in ("truth-before", "truth-after"):
        truth = numbers(passed(sections, when))
        for what, said, true in (("page cache", cache["totalBytes"], truth["nr_file_pages"]),
                                 ("shared memory", cache["shmemBytes"], truth["nr_shmem"])):
            expect(near(said, true * page, 10), f"{what}: {said}, the kernel says {true * page} ({when})")
    # ext4 keeps the bitmaps of its allocator in an inode without a name.
    expect(cache["unresolvedBytes"] < MIB, f"{cache['unresolvedBytes']} bytes of files without a name")


def test_v2_finding(_kernel, sections):
    """A cgroup with memory.high and memory.max, charged for a file of 96 MiB."""
    passed(sections, "plant")
    report = report_of(sections)
    found = [finding for finding in report["findings"]
             if finding["reason"] == "PageCacheHigh" and finding["subject"].get("cgroup") == "/workload"]
    expect(len(found) == 1, f"{len(found)} findings about /workload in {report['findings']}")
    finding, truth = found[0], numbers(passed(sections, "truth-after"))
    expect(finding["severity"] == "Warning", f"severity {finding['severity']}")
    said = truth["workload_file"] - truth["workload_shmem"]
    # memory.stat may lag by 32 pages per CPU before 5.13.
    expect(abs(finding["bytes"] - said) <= 64 * page_size(sections), f"{finding['bytes']} bytes, memory.stat says {said}")
    expect(finding["bytes"] >= 96 * MIB, f"{finding['bytes']} bytes of a file of {96 * MIB}")
    evidence = {item["name"]: item["value"] for item in finding["evidence"]}
    expect(evidence.get("memoryLimitBytes") == str(256 * MIB), f"limit {evidence.get('memoryLimitBytes')}")
    expect(evidence.get("largestFile") == "/var/tmp/planted", f"largest file {evidence.get('largestFile')}")
    hint = next((hint for hint in finding["hints"] if hint["id"] == "cap-cache-memory-high"), None)
    expect(hint, f"no cap-cache-memory-high in {[hint['id'] for hint in finding['hints']]}")
    expect(hint["current"] == "128Mi", f"the hint says memory.high is {hint['current']}")
    expect(re.fullmatch(r"echo \d+M > '?/sys/fs/cgroup/workload'?/memory\.high", hint["command"]), hint["command"])


def test_table(_kernel, sections):
    text = passed(sections, "table")
    expect("/var/tmp/planted" in text and "/workload" in text, f"the planted file is not in the table: {text}")


TESTS = [("every check", test_every_check), ("report", test_report), ("totals", test_totals),
         ("v2 finding", test_v2_finding), ("table", test_table)]
