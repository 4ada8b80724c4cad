#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""memdiag in a real cluster of one node: its image, its manifests, a kubelet that runs them. Root.

    tests/cluster/run.py [--only PREFIX]... [--list]

Prints `ok NAME (1.2 s)` or `FAIL NAME: reason` for each test and `N passed, N failed` at the end; the exit status is 0 only when
something ran and nothing failed. What is missing is built first (hack/cluster_harness.py). All that is started here ends with
this process, and nothing is left on the machine.
"""

import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "hack"), str(ROOT / "tests/support")]

from bench import Bench  # noqa: E402
from cluster_harness import Cluster, prepare  # noqa: E402
from kube_harness import HarnessError, exit_on_signals  # noqa: E402
from suite import main, parser, run_all  # noqa: E402

# In this order: the last one removes what the others look at.
MODULES = ["test_install", "test_workload", "test_kubelet", "test_uninstall"]


def run(_args, suites):
    exit_on_signals()
    passed, failed = 0, 0
    try:
        image = prepare()
        started = time.monotonic()
        with Cluster([image]) as cluster:
            print(f"cluster ready ({time.monotonic() - started:.1f} s)", flush=True)
            passed, failed = run_all(suites, Bench(cluster, ROOT))
    except HarnessError as e:
        print(f"FAIL cluster: {e}", flush=True)
        failed += 1
    return passed, failed


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], parser("memdiag's manifests and image in a real cluster."), MODULES, run))
    except KeyboardInterrupt:
        sys.exit(130)
