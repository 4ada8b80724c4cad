#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs memdiag and its integration tests on Debian's kernels, in emulated machines with cgroup v2.

    tests/vm/run.py [--suite SUITE]... [--only NAME]... MEMDIAG_BINARY TEST_PROGRAM...

Prints `ok KERNEL NAME` or `FAIL KERNEL NAME: reason` and `N passed, N failed` at the end; the exit status is 0 only when
Linux 6.1 and a newer kernel ran and nothing failed. The kernels are of the programs' architecture. As many machines run side by side as there are CPUs: each uses one.
What memdiag must say is checks.py, what the programs must say programs.py, what runs inside guest.sh.
"""

import argparse
import concurrent.futures
import os
import pathlib
import signal
import sys

import checks
import machines
import programs
from judge import expect


def deal(names, n):
    """Deals the steps to at most n machines, one by one."""
    shares = [names[i::n] for i in range(n)]
    return [share for share in shares if share]


def test_complaints(sections):
    """The kernel's log, of every machine."""
    for name, section in sections.items():
        if name.startswith("complaints-"):
            expect(not section.text.strip(), f"the kernel complained:\n{section.text}")


class KernelRun:
    """One kernel's machines, judged when all have ended."""

    def __init__(self, kernel, steps):
        self.kernel, self.steps = kernel, steps
        self.sections, self.faults, self.seconds = {}, [], 0
        self.open = 0

    def start(self, pool, memdiag, paths, n_machines):
        """Yields a future for each machine; ended() takes what it brings."""
        shares = deal(self.steps, n_machines)
        self.open = len(shares)
        for i, share in enumerate(shares):
            lines = ["checks" if name == "memdiag" else f"program {name}" for name in share]
            yield pool.submit(machines.run, self.kernel, [memdiag, *(paths[name] for name in share if name in paths)],
                              [*lines, f"section complaints-{i} complaints"])

    def ended(self, result):
        self.sections.update(result.sections)
        self.seconds += result.seconds
        if result.fault:
            self.faults.append(result.fault)
        self.open -= 1

    def tests(self):
        """(name, function without arguments) of what must come out."""
        if "memdiag" in self.steps:
            for name, test in checks.TESTS:
                yield name, lambda test=test: test(self.kernel, self.sections)
        for name in self.steps:
            if name != "memdiag":
                yield name, lambda name=name: programs.judge(self.kernel, self.sections, name)
        yield "kernel log", lambda: test_complaints(self.sections)

    def judge(self):
        """(passed, failed)"""
        good = bad = 0
        for name, test in self.tests():
            took = f"{self.sections[name].seconds} s" if name in self.sections else ""
            try:
                note = test()
            except (AssertionError, ValueError, KeyError, TypeError, StopIteration) as e:
                text = str(e) if isinstance(e, AssertionError) else f"{type(e).__name__}: {e}"
                print(f"FAIL {self.kernel.name} {name}: {text}")
                bad += 1
            else:
                notes = ", ".join(text for text in (note, took) if text)
                print(f"ok {self.kernel.name} {name}" + (f" ({notes})" if notes else ""))
                good += 1
        if bad:  # the last words of the kernel, or of the script
            print("\n".join("    " + line for fault in self.faults for line in fault.splitlines()))
        print(f"{self.kernel.name} took {self.seconds:.0f} s", flush=True)
        return good, bad


def wanted_ran(versions):
    return (6, 1) in versions and any(version > (6, 1) for version in versions)


def parse(argv):
    parser = argparse.ArgumentParser(description="memdiag on Debian's kernels.")
    parser.add_argument("--suite", action="append", default=[], help="only the kernels of these; default: all")
    parser.add_argument("--only", action="append", default=[],
                        help="only these programs, by name; `memdiag` is the report of every check")
    parser.add_argument("memdiag", type=pathlib.Path)
    parser.add_argument("programs", nargs="*", type=pathlib.Path)
    args = parser.parse_args(argv)
    args.paths = {program.name: program for program in programs.wanted(args.programs)}
    args.arch = machines.architecture(args.memdiag)
    args.steps = [name for name in ("memdiag", *args.paths) if not args.only or name in args.only]
    if not args.steps or set(args.only) - set(args.steps):
        parser.error(f"--only: there are {', '.join(('memdiag', *args.paths))}")
    return args


def main(argv):
    args = parse(argv)
    found, missing = machines.kernels(args.suite or machines.SUITES.get(args.arch, []))
    foreign = [kernel.name for kernel in found if kernel.arch != args.arch]
    if foreign:
        print(f"FAIL kernels: {args.memdiag} is of {args.arch}, which {', '.join(foreign)} can't run")
        return 1
    print("".join(f"NOT RUN {line}\n" for line in missing), end="", flush=True)
    good = bad = 0
    cpus = os.cpu_count() or 1
    # With more CPUs than kernels each kernel's work is split; booting costs some seconds a machine.
    n_machines = max(1, 2 * cpus // max(1, len(found)))
    # The machines end with us: hack/vm-run.sh ends its own on a signal, which a terminal sends to all.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with concurrent.futures.ThreadPoolExecutor(max_workers=cpus) as pool:
        runs = {}
        for kernel in [KernelRun(kernel, args.steps) for kernel in reversed(found)]:
            runs.update((run, kernel) for run in kernel.start(pool, args.memdiag, args.paths, n_machines))
        for run in concurrent.futures.as_completed(runs):
            kernel = runs[run]
            kernel.ended(run.result())
            if not kernel.open:
                counts = kernel.judge()
                good, bad = good + counts[0], bad + counts[1]
    # Said again where it is seen: below the failures.
    print("".join(f"NOT RUN {line}\n" for line in missing), end="")
    if not args.suite and not wanted_ran([kernel.version for kernel in found]):
        print("FAIL kernels: Linux 6.1 and a newer one are needed")
        bad += 1
    print(f"{good} passed, {bad} failed")
    return 0 if good and not bad else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
