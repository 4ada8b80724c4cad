# SPDX-License-Identifier: Apache-2.0
"""Schedules under a controller whose clock is set: an hour forth, back, and back before it was started.

libfaketime gives that one process a wall clock of its own; its monotonic clock goes on, as the kernel's does. That the clock
was set the kernel has to say itself, so its own is set, to the time it shows. The API server, the agent and the controller
that stands by keep the machine's time.
"""

import calendar
import os
import pathlib
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))

from history import ENDED, History, judge, lives, states_of
from kube_harness import HarnessError, eventually

from test_diagnosis import CRASH, apply, wait_for
from test_operator import LEASE, events_of, holder, request, run_reaches, status_of, versions_of

NEEDS_BINARY = True
NAMESPACE = "memdiag-system"
NODE = "ck-a"
MINUTE, HOUR = 60, 3600
QUICK = {"checks": [{"type": "MemoryBreakdown"}], "cpuBudget": "1m"}
WITH_AGENT = {"target": {"nodeName": NODE}, **QUICK}
ALONE = {"target": {"nodeName": "ck-none"}, **QUICK, "window": "1s", "activeDeadlineSeconds": 10}
SOON_S = 15  # a controller that is not told of its new clock would look in an hour


class Clock:
    """A process's wall clock: the machine's and an offset."""

    def __init__(self, path):
        self.path, self.offset = path, 0
        self._write()

    def environment(self):
        library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
        if not library:
            raise HarnessError("no libfaketime; hack/install-deps.sh e2e installs it")
        return {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": self.path, "FAKETIME_NO_CACHE": 1,
                "FAKETIME_DONT_FAKE_MONOTONIC": 1, "NO_FAKE_STAT": 1}

    def _write(self):
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f"{self.offset:+f}\n")
        os.replace(fresh, self.path)

    def now(self):
        return time.time() + self.offset

    def ahead(self, seconds):
        """So far from the machine's."""
        self.offset = seconds
        self._write()
        # What the kernel does for whoever asked to be told (TFD_TIMER_CANCEL_ON_SET) when it moves by a microsecond.
        time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME))

    def show(self, instant):
        """So that it is that time."""
        self.ahead(instant - time.time())

    def reaches(self, instant):
        time.sleep(max(0, instant - self.now()))


def text(instant):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instant))


def start_controller(bench, which, **env):
    kubeconfig = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-controller")
    bench.start(f"controller-{which}", ["controller", "--kubeconfig", kubeconfig, "--leader-elect",
                                        f"--identity={which}"], **env)


def lease_of(bench):
    return bench.get("lease", LEASE, "-n", NAMESPACE)["spec"]


def setup(bench):
    bench.install()
    bench.kubectl(["delete", "memdiag,memreport", "--all", "--wait=false"], check=True)
    bench.history, bench.asked = History(bench.cluster.etcd_port), 0
    bench.cluster.create_node(NODE, {})
    bench.cluster.create_node("ck-none", {})
    bench.clock = Clock(bench.folder / "clock")
    start_controller(bench, "odd", **bench.clock.environment())
    eventually("it leads", 30, lambda: holder(bench) == "odd")
    start_controller(bench, "even")
    kubeconfig = bench.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node=NODE)
    bench.start("agent", ["agent", "--metrics-address", "", "--node-name", NODE, "--kubeconfig", kubeconfig])
    bench.transitions = lease_of(bench)["leaseTransitions"]


def teardown(bench):
    bench.history.ending = True
    bench.kubectl(["delete", "memdiag,memreport", "--all", "--wait=false"])
    bench.kubectl(["delete", "node", NODE, "ck-none", "--wait=false"])


# --- what came of it -------------------------------------------------------------------------------------------------

def scheduled(bench, name):
    """The times of its schedule that had a run, in order; each run was opened once and closed once."""
    versions = versions_of(bench, name)
    faults = judge(versions)
    assert faults == [], faults
    (objects,) = lives(versions, "memorydiagnoses").values()
    runs = states_of(objects)
    for run_id, states in runs:
        assert states == ["Running", "Complete"], (run_id, states)
    return [int(run_id[2:]) * MINUTE for run_id, _states in runs if run_id.startswith("s-")]


def slot_runs(bench, name, slot):
    run_id = f"s-{slot // MINUTE}"

    def probe():
        run = status_of(bench, name).get("run", {})
        if run.get("id") == run_id and run["state"] in ENDED:
            return True
        raise HarnessError(f"run {run}")

    eventually(f"the run of {text(slot)}", SOON_S, probe)


def looks(bench, name):
    """It has looked at this with the clock as it is now: a run that is asked for begins and ends."""
    bench.asked += 1
    request(bench, name, f"request-{bench.asked}")

    def probe():
        status = status_of(bench, name)
        return status.get("lastHandledRunRequest") == f"request-{bench.asked}" and status["run"]["state"] in ENDED

    eventually("the run that was asked for", SOON_S, probe)


def goes_on(bench):
    """The lease was never lost, the log says nothing of a crash."""
    spec = lease_of(bench)
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("odd", bench.transitions), spec
    said = bench.daemons["controller-odd"].log.read_text()
    assert bench.daemons["controller-odd"].running() and said.count("leading") == 1, said[-500:]
    assert not CRASH.search(said), said[-500:]


# --- tests -----------------------------------------------------------------------------------------------------------

def renewed(bench):
    """What the controller's clock shows, as its lease tells, less what the machine's does."""
    spec = lease_of(bench)["renewTime"]
    return calendar.timegm(time.strptime(spec[:19], "%Y-%m-%dT%H:%M:%S")) - time.time()


def test_clock_is_its_own(bench):
    """Else nothing here would prove anything."""
    for ahead in (HOUR, 0, -HOUR, 0):
        bench.clock.ahead(ahead)
        eventually(f"it is {ahead} s ahead", 10, lambda ahead=ahead: abs(renewed(bench) - ahead) < 10)
    goes_on(bench)


def test_hourly(bench):
    """Forth by an hour: the time that is passed has its run. Back: no time has a second one."""
    name, clock = "hourly", bench.clock
    slot = int(time.time() + HOUR / 2) // MINUTE * MINUTE
    apply(bench, name, {"schedule": f"{time.gmtime(slot).tm_min} * * * *", **WITH_AGENT})
    wait_for(bench, name, "Ready", 20)
    assert status_of(bench, name)["nextScheduleTime"] == text(slot), status_of(bench, name)
    clock.ahead(HOUR)
    slot_runs(bench, name, slot)
    clock.ahead(0)
    looks(bench, name)
    clock.show(slot - 2)  # the same time again
    looks(bench, name)
    clock.reaches(slot + 1)
    looks(bench, name)
    status = status_of(bench, name)
    assert (status["lastScheduleTime"], status["nextScheduleTime"]) == (text(slot), text(slot + HOUR)), status
    clock.show(slot + HOUR + 5)
    slot_runs(bench, name, slot + HOUR)
    clock.ahead(-HOUR)
    looks(bench, name)
    clock.ahead(0)
    looks(bench, name)
    clock.show(slot + 2 * HOUR - 2)
    slot_runs(bench, name, slot + 2 * HOUR)
    assert scheduled(bench, name) == [slot, slot + HOUR, slot + 2 * HOUR], scheduled(bench, name)
    clock.ahead(0)
    goes_on(bench)


def test_every_minute(bench):
    """An hour that is passed at once has one run, the last, as a CronJob's; an hour that comes again has none."""
    name, clock = "minutely", bench.clock
    first = (int(time.time()) // MINUTE + 1) * MINUTE
    clock.show(first - 3)
    apply(bench, name, {"schedule": "* * * * *", **WITH_AGENT})
    slot_runs(bench, name, first)
    clock.show(first + HOUR + 5)
    slot_runs(bench, name, first + HOUR)
    missed = eventually("an event tells", 10, lambda: [note for reason, note, _type in events_of(bench, name)
                                                       if "Missed" in reason])
    assert len(missed) == 1 and "59" in missed[0], missed
    clock.show(first + 5)
    looks(bench, name)
    clock.show(first + HOUR + MINUTE - 3)
    slot_runs(bench, name, first + HOUR + MINUTE)
    clock.show(first + 5)
    looks(bench, name)
    clock.show(first - HOUR + 5)
    looks(bench, name)
    clock.show(first + HOUR + 2 * MINUTE - 3)
    slot_runs(bench, name, first + HOUR + 2 * MINUTE)
    wanted = [first, first + HOUR, first + HOUR + MINUTE, first + HOUR + 2 * MINUTE]
    assert scheduled(bench, name) == wanted, (scheduled(bench, name), wanted)
    bench.kubectl(["delete", "memorydiagnosis", name], check=True)
    clock.ahead(0)
    goes_on(bench)


def test_deadline(bench):
    """A run has 10 s, however the clock is set meanwhile: not an hour more, and not cut off."""
    for name, jump in (("forth", HOUR), ("back", -HOUR)):
        apply(bench, name, ALONE)
        run_reaches(bench, name, "Running")
        began = time.monotonic()
        bench.clock.ahead(jump)
        status = run_reaches(bench, name, "Failed", 30)
        lasted = time.monotonic() - began
        print(f"   {name}: {lasted:.1f} s", flush=True)
        assert 8 <= lasted <= 20, lasted
        assert status["run"]["duration"] in ("10s", "11s"), status["run"]
        bench.clock.ahead(0)
    goes_on(bench)


def test_another_clock_takes_over(bench):
    """The one that stands by has the right time, hours behind what the status says: it doubles nothing, and runs what is asked."""
    before = scheduled(bench, "hourly")
    bench.clock.ahead(HOUR)
    odd = bench.daemons.pop("controller-odd")
    odd.kill()
    for left in pathlib.Path("/dev/shm").glob(f"*faketime_*_{odd.pid}"):  # libfaketime's, which had no time to do it
        left.unlink()
    eventually("the other leads", 30, lambda: holder(bench) == "even")
    looks(bench, "hourly")
    status = status_of(bench, "hourly")
    assert status["nextScheduleTime"] == text(before[-1] + HOUR), status
    assert scheduled(bench, "hourly") == before
    for name in ("controller-even", "agent"):
        daemon = bench.daemons[name]
        assert daemon.running() and daemon.terminate(10) == 0, name
        assert not CRASH.search(daemon.log.read_text()), name


TESTS = [
    test_clock_is_its_own,
    test_hourly,
    test_every_minute,
    test_deadline,
    test_another_clock_takes_over,
]
