#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""End-to-end tests: a real etcd and kube-apiserver on loopback, with memdiag's controller and agents as processes.

    tests/e2e/run.py [--only PREFIX]... [--list] [MEMDIAG_BINARY]

Prints `ok NAME (1.2 s)` or `FAIL NAME: reason` for each test and `N passed, N failed` at the end; the exit status is 0
only when something ran and nothing failed. `--only` takes the beginning of names: test_api, test_diagnosis.two_nodes.
The tests of test_api need no binary. Whatever is started here ends with this process.
"""

import contextlib
import pathlib
import shutil
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "hack"), str(ROOT / "tests/support")]

from kube_harness import ControlPlane, Daemon, HarnessError, clean_environment, exit_on_signals  # noqa: E402
from suite import main, parser, run_all  # noqa: E402

MODULES = ["test_cron", "test_api", "test_operator", "test_faults", "test_pressure", "test_clock", "test_diagnosis", "test_containers", "test_container_files", "test_leaks", "test_gitops", "test_monitoring", "test_latency", "test_privilege", "test_hang"]
NAMESPACE = "memdiag-system"


class Bench:
    """What a test gets: the control plane, the binary, a scratch folder, and the daemons it started."""

    def __init__(self, cluster, binary, folder):
        self.cluster, self.binary, self.folder = cluster, binary, folder
        if cluster:
            self.kubectl, self.get = cluster.kubectl, cluster.get
        self.root = ROOT
        self.daemons = {}
        self._installed = False

    def install(self):
        """CRDs, RBAC and policy as a user would apply them; once."""
        if self._installed:
            return
        self.kubectl(["apply", "-k", ROOT / "manifests/base", "--server-side"], check=True)
        self.kubectl(["wait", "--for=condition=Established", "--timeout=30s", "crd/memorydiagnoses.memdiag.io",
                      "crd/memorydiagnosisreports.memdiag.io"], check=True)
        self._installed = True

    def apply(self, objects):
        self.kubectl(["apply", "--server-side", "-f", "-"], input=objects, check=True)

    def start(self, name, args, **env):
        """Starts `memdiag ARGS` and forgets no log line of it."""
        daemon = Daemon(name, [self.binary, *args], self.folder / f"{name}.log", env=clean_environment(**env))
        self.daemons[name] = daemon
        return daemon.start()

    def stop_all(self):
        for daemon in self.daemons.values():
            daemon.stop(5)

    def logs(self):
        """The ends of all logs, for a failure."""
        daemons = [*self.daemons.values(), *([self.cluster.apiserver] if self.cluster else [])]
        return "\n".join(daemon.tail(25 if daemon in self.daemons.values() else 8) for daemon in daemons)


def options():
    options = parser("End-to-end tests of memdiag.")
    options.add_argument("binary", nargs="?", metavar="MEMDIAG_BINARY")
    return options


def run(args, suites):
    binary = pathlib.Path(args.binary).resolve() if args.binary else None
    if any(module.NEEDS_BINARY for module, _tests in suites) and not (binary and binary.is_file()):
        print(f"run.py: {binary or 'MEMDIAG_BINARY'}: no such program; `make build` makes it", file=sys.stderr)
        return None
    exit_on_signals()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="memdiag-e2e-"))
    passed, failed = 0, 0
    try:
        started = time.monotonic()
        # Tests of one node alone need none.
        needed = any(getattr(module, "NEEDS_CLUSTER", True) for module, _tests in suites)
        with ControlPlane() if needed else contextlib.nullcontext() as cluster:
            if needed:
                print(f"control plane ready ({time.monotonic() - started:.1f} s)", flush=True)
            passed, failed = run_all(suites, Bench(cluster, binary, folder))
    except HarnessError as e:
        print(f"FAIL control plane: {e}", flush=True)
        failed += 1
    finally:
        if failed:
            print(f"logs of memdiag are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return passed, failed


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], options(), MODULES, run))
    except KeyboardInterrupt:
        sys.exit(130)
