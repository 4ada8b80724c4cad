#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs memdiag and its integration tests on Debian's kernels, each in an emulated machine with cgroup v2.

    tests/vm/run.py [--suite SUITE]... MEMDIAG_BINARY TEST_PAGES_BINARY

Prints `ok KERNEL NAME` or `FAIL KERNEL NAME: reason` and `N passed, N failed` at the end; the exit status is 0 only when
Linux 6.1 and a newer kernel ran and nothing failed. The machines run side by side, one per CPU: each uses one.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def near(a, b, permille):
    return abs(a - b) * 1000 <= max(a, b) * permille


# --- the checks: each gets the sections of one machine, name -> (exit status, text) -------------------------------------


def passed(sections, name, status=0):
    """The text of a section that ended well."""
    expect(name in sections, f"{name} did not end")
    code, text = sections[name]
    expect(code == status, f"{name} ended with {code}, not {status}: {text.strip()[-600:]}")
    return text


def numbers(text):
    return {name: int(value) for name, value in (line.split() for line in text.split("\n") if line.strip())}


def check_of(sections, check_type):
    report = json.loads(passed(sections, "run"))
    return next(check for check in report["checks"] if check["type"] == check_type)


def test_checks(sections):
    text = passed(sections, "checks")
    for name in ("PageCache", "SharedMemory"):
        expect(re.search(rf"^{name} +yes ", text, re.M), f"{name} is not available: {text}")


def test_run(sections):
    report = json.loads(passed(sections, "run"))
    expect(report["kind"] == "MemoryDiagnosisReport", "not a MemoryDiagnosisReport")
    expect(report["agent"]["kernel"] == passed(sections, "kernel").strip(), f"kernel {report['agent']['kernel']}")
    expect(report["agent"]["cgroup"] == "v2", f"cgroup {report['agent']['cgroup']}")
    for name in ("PageCache", "SharedMemory"):
        check = check_of(sections, name)
        expect(check["state"] == "Complete", f"{name} is {check['state']}: {check.get('message')}")
        expect(check["method"] == "bpf-page-scan", f"{name} by {check['method']}")
        expect(check["coveragePermille"] == 1000, f"{name} covers {check['coveragePermille']} permille")


def test_totals(sections):
    """Within 1 % of what the kernel counts itself."""
    passed(sections, "run")
    cache = check_of(sections, "PageCache")["pageCache"]
    for when in ("truth-before", "truth-after"):
        truth = numbers(passed(sections, when))
        for what, said, true in (("page cache", cache["totalBytes"], truth["nr_file_pages"]),
                                 ("shared memory", cache["shmemBytes"], truth["nr_shmem"])):
            expect(near(said, true * PAGE, 10), f"{what}: {said}, the kernel says {true * PAGE} ({when})")
    # ext4 keeps the bitmaps of its allocator in an inode without a name.
    expect(cache["unresolvedBytes"] < MIB, f"{cache['unresolvedBytes']} bytes of files without a name")


def test_v2_finding(sections):
    """A cgroup with memory.high and memory.max, charged for a file of 96 MiB."""
    passed(sections, "plant")
    report = json.loads(passed(sections, "run"))
    found = [finding for finding in report["findings"]
             if finding["reason"] == "PageCacheHigh" and finding["subject"].get("cgroup") == "/workload"]
    expect(len(found) == 1, f"{len(found)} findings about /workload in {report['findings']}")
    finding, truth = found[0], numbers(passed(sections, "truth-after"))
    expect(finding["severity"] == "Warning", f"severity {finding['severity']}")
    said = truth["workload_file"] - truth["workload_shmem"]
    # memory.stat may lag by 32 pages per CPU before 5.13.
    expect(abs(finding["bytes"] - said) <= 64 * PAGE, f"{finding['bytes']} bytes, memory.stat says {said}")
    expect(finding["bytes"] >= 96 * MIB, f"{finding['bytes']} bytes of a file of {96 * MIB}")
    evidence = {item["name"]: item["value"] for item in finding["evidence"]}
    expect(evidence.get("memoryLimitBytes") == str(256 * MIB), f"limit {evidence.get('memoryLimitBytes')}")
    expect(evidence.get("largestFile") == "/var/tmp/planted", f"largest file {evidence.get('largestFile')}")
    hint = next((hint for hint in finding["hints"] if hint["id"] == "cap-cache-memory-high"), None)
    expect(hint, f"no cap-cache-memory-high in {[hint['id'] for hint in finding['hints']]}")
    expect(hint["current"] == "128Mi", f"the hint says memory.high is {hint['current']}")
    expect(re.fullmatch(r"echo \d+M > '?/sys/fs/cgroup/workload'?/memory\.high", hint["command"]), hint["command"])


def test_table(sections):
    text = passed(sections, "table")
    expect("/var/tmp/planted" in text and "/workload" in text, f"the planted file is not in the table: {text}")


def test_pages(sections):
    """The integration test's own verdict; its failures are worth more than its end."""
    expect("test_pages" in sections, "test_pages did not end")
    code, text = sections["test_pages"]
    lines = [line for line in text.splitlines() if not re.match(r"\[ (RUN|      OK) ", line)]
    expect(code == 0, f"exit status {code}\n" + "\n".join(lines))
    count = re.search(r"^\[  PASSED  \] (\d+) test", text, re.M)
    expect(count and int(count[1]) > 0, "no test ran")
    return f"{count[1]} tests"


TESTS = [("checks", test_checks), ("run", test_run), ("totals", test_totals), ("v2 finding", test_v2_finding),
         ("table", test_table), ("pages", test_pages)]


# --- the machines -------------------------------------------------------------------------------------------------------


def kernels(suites):
    """[(version, folder)], and what hack/vm-kernels.sh says of those that cannot be had goes to our output."""
    done = subprocess.run([ROOT / "hack/vm-kernels.sh", *suites], stdout=subprocess.PIPE, text=True)
    folders = [pathlib.Path(line.split(" ", 1)[1]) for line in done.stdout.splitlines()]
    return [((folder / "version").read_text().strip(), folder) for folder in folders]


def sections_of(output):
    pattern = r"^@@ begin (\S+)\n(.*?)^@@ end \1 (\d+)$"
    return {m[1]: (int(m[3]), m[2]) for m in re.finditer(pattern, output, re.M | re.S)}


def run_machine(folder, programs):
    """(seconds, sections, what went wrong with the machine itself)"""
    started = time.monotonic()
    done = subprocess.run([ROOT / "hack/vm-run.sh", folder, HERE / "guest.sh", *programs], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    errors = done.stderr.decode(errors="replace").strip()
    return time.monotonic() - started, sections_of(done.stdout.decode(errors="replace")), \
        "" if done.returncode == 0 else f"{errors or 'the last step failed'} (exit status {done.returncode})"


def judge(version, seconds, sections, fault):
    """The number of tests that passed."""
    good = 0
    for name, test in TESTS:
        try:
            note = test(sections)
        except (AssertionError, ValueError, KeyError, TypeError) as e:
            text = f"{type(e).__name__}: {e}" if not isinstance(e, AssertionError) else str(e)
            print(f"FAIL {version} {name}: {text}")
        else:
            print(f"ok {version} {name}" + (f" ({note})" if note else ""))
            good += 1
    if good < len(TESTS) and fault: # the last words of the kernel, or of the script
        print("\n".join("    " + line for line in fault.splitlines()))
    print(f"{version} took {seconds:.0f} s", flush=True)
    return good


def wanted_ran(versions):
    """Whether 6.1 and a newer one are there."""
    numbers_of = [tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", version).groups()) for version in versions]
    return (6, 1) in numbers_of and any(n > (6, 1) for n in numbers_of)


def main(argv):
    parser = argparse.ArgumentParser(description="memdiag on Debian's kernels.")
    parser.add_argument("--suite", action="append", default=[], help="only the kernels of these; default: all")
    parser.add_argument("programs", nargs="+", metavar="PROGRAM")
    args = parser.parse_args(argv)
    machines = kernels(args.suite)
    good = bad = 0
    # The machines end with us: hack/vm-run.sh ends its own on a signal, which a terminal sends to all.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        runs = {pool.submit(run_machine, folder, args.programs): version for version, folder in reversed(machines)}
        for run in concurrent.futures.as_completed(runs):
            n = judge(runs[run], *run.result())
            good, bad = good + n, bad + len(TESTS) - n
    if not args.suite and not wanted_ran([version for version, _folder in machines]):
        print("FAIL kernels: Linux 6.1 and a newer one are needed")
        bad += 1
    print(f"{good} passed, {bad} failed")
    return 0 if good and not bad else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
