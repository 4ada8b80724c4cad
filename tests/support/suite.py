# SPDX-License-Identifier: Apache-2.0
"""What runs modules of tests in Python: tests/e2e/run.py and tests/cluster/run.py.

A module has TESTS, functions that take the suite's bench and raise when they fail, setup(bench) and maybe teardown(bench). A bench
has logs(), stop_all() and daemons, a dict.
"""

import argparse
import importlib
import pathlib
import sys
import time
import traceback

from kube_harness import HarnessError


def parser(description):
    """With the options that all suites have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--only", action="append", metavar="PREFIX", help="run the tests whose names begin so")
    parser.add_argument("--list", action="store_true", help="print the names and run nothing")
    return parser


def selected(modules, only):
    """(module, [(name, function)]) in order."""
    for module_name in modules:
        module = importlib.import_module(module_name)
        tests = [(f"{module_name}.{test.__name__.removeprefix('test_')}", test) for test in module.TESTS]
        tests = [(name, test) for name, test in tests if not only or any(name.startswith(p) for p in only)]
        if tests:
            yield module, tests


def reason(e):
    """An exception in words; where it came from unless it is a plain expectation."""
    text = str(e) or type(e).__name__
    if isinstance(e, HarnessError):
        return text
    frame = traceback.extract_tb(e.__traceback__)[-1]
    where = f"{pathlib.Path(frame.filename).name}:{frame.lineno}"
    return f"{text} ({where})" if isinstance(e, AssertionError) else f"{type(e).__name__}: {text} ({where})"


def run_one(name, function, bench, quiet=False):
    """Whether it passed; quiet: says so only if not."""
    started = time.monotonic()
    try:
        function(bench)
    except Exception as e: # a test may fail in any way; the others still run
        print(f"FAIL {name}: {reason(e)}", flush=True)
        logs = bench.logs()
        print("\n".join("    " + line for line in logs.splitlines()), flush=True)
        return False
    if not quiet:
        print(f"ok {name} ({time.monotonic() - started:.1f} s)", flush=True)
    return True


def run_all(suites, bench):
    """(passed, failed). The tests of a module share what its setup() made; they run in order."""
    passed = failed = 0
    for module, tests in suites:
        try:
            setup_passed = run_one(f"{module.__name__}.setup", module.setup, bench, quiet=True)
            for name, function in tests:
                if not setup_passed:
                    print(f"FAIL {name}: its setup failed", flush=True)
                    failed += 1
                elif run_one(name, function, bench):
                    passed += 1
                else:
                    failed += 1
        finally:
            getattr(module, "teardown", lambda _bench: None)(bench)
            bench.stop_all()
            bench.daemons.clear() # the next module has its own
    return passed, failed


def main(argv, options, modules, run):
    """
    What a run.py does: options is a parser(); run(args, suites) runs them and returns (passed, failed), or None when it has said why it
    cannot. The exit status.
    """
    args = options.parse_args(argv)
    suites = list(selected(modules, args.only))
    if args.list:
        for _module, tests in suites:
            print("\n".join(name for name, _function in tests))
        return 0
    if not suites:
        print("run.py: no test's name begins so; --list shows them", file=sys.stderr)
        return 2
    counts = run(args, suites)
    if counts is None:
        return 2
    passed, failed = counts
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1
