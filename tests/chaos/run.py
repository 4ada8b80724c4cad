#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Chaos: API server, etcd, controllers and agents are killed at random points of runs, again and again.

    tests/chaos/run.py [--rounds 200] [--jobs 2] [--seed N] MEMDIAG_BINARY

Each job has a control plane of its own, two controllers (one leads) and two real agents with the rights of manifests/base, and
makes its share of the rounds. A round: diagnoses are made and asked to run again, a random choice of processes is killed with
SIGKILL or (a leader) put to sleep beyond its lease, all come back, all runs must end. Then every version that etcd has ever
held is judged (history.py): no run doubled, lost or left open, nothing goes back. The seed is printed: with it and the same
number of jobs the same is killed at the same moments. A round that fails does not end the job.

Prints `N passed, N failed`: rounds.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "hack"), str(HERE)]

from history import ENDED, History, condition, judge, lives, runs_of, self_test  # noqa: E402
from kube_harness import (Api, ControlPlane, Daemon, HarnessError, clean_environment, die_with_parent,  # noqa: E402
                          eventually, exit_on_signals)

NAMESPACE = "memdiag-system"
API = "/apis/memdiag.io/v1alpha1/memorydiagnoses"
REPORTS = "/apis/memdiag.io/v1alpha1/memorydiagnosisreports"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/memdiag-controller"
NODES = ("chaos-a", "chaos-b")
NO_AGENT = "chaos-none"
SETTLE_S = 120     # for all to be well again after a round
KEPT = 6           # rounds whose diagnoses are kept, so that they may be asked to run again
SLEEP_S = 17       # longer than a lease holds
LEFT_MINUTE_S = 60 # without a leader for so long a time of the schedule may be missed by design
QUICK = {"checks": [{"type": "MemoryBreakdown"}], "cpuBudget": "1m", "activeDeadlineSeconds": 300}

# What a crash or a sanitizer leaves in a log.
CRASH = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|[Ss]egmentation fault|stack smashing|double free")


class Rig:
    """One control plane with controllers and agents, and what was asked of them."""

    def __init__(self, cluster, binary, folder, label):
        self.cluster, self.binary, self.folder, self.label = cluster, binary, folder, label
        self.api = Api(cluster, timeout=8)
        self.controllers, self.agents, self.identities = {}, {}, 0
        self.asked = {}  # name: [requests]
        self.rounds = {} # name: the round that made it

    def install(self):
        self.cluster.kubectl(["apply", "-k", ROOT / "manifests/base", "--server-side"], check=True)
        self.cluster.kubectl(["wait", "--for=condition=Established", "--timeout=30s", "crd/memorydiagnoses.memdiag.io",
                              "crd/memorydiagnosisreports.memdiag.io"], check=True)
        for name in (*NODES, NO_AGENT):
            self.cluster.create_node(name, {"chaos": "no" if name == NO_AGENT else "yes"})
        self.controller_config = self.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-controller")
        for name in NODES:
            config = self.cluster.service_account_kubeconfig(NAMESPACE, "memdiag-agent", node=name)
            self.agents[name] = self.daemon(name, ["agent", "--metrics-address", "", "--node-name", name,
                                                   "--kubeconfig", config]).start()
        for name in ("controller-1", "controller-2"):
            self.start_controller(name)

    def daemon(self, name, args):
        return Daemon(name, [self.binary, *args], self.folder / f"{name}.log", env=clean_environment())

    def start_controller(self, name):
        """As a pod that is made anew: with another identity each time, so that the old lease has to run out."""
        self.identities += 1
        self.controllers[name] = self.daemon(name, [
            "controller", "--kubeconfig", self.controller_config, "--leader-elect", f"--identity={name}-{self.identities}"])
        self.controllers[name].identity = f"{name}-{self.identities}"
        self.controllers[name].start()

    def leader(self):
        """The name of the controller that holds the lease; None: neither does."""
        holder = json.loads(self.api.must("GET", LEASE))["spec"].get("holderIdentity")
        return next((name for name, daemon in self.controllers.items() if daemon.identity == holder), None)

    # -- asking -------------------------------------------------------------------------------------------------------

    def patiently(self, what, method, path, body, content_type="application/json"):
        """Until the API server takes it; that it has it already is fine, the answer may have been lost."""
        def probe():
            status, text = self.api.call(method, path, body, content_type)
            if status // 100 == 2 or status == 409:
                return True
            raise HarnessError(f"{status} {text[:200]!r}")

        eventually(what, SETTLE_S, probe)

    def make(self, number, name, spec):
        self.asked[name], self.rounds[name] = [], number
        self.patiently(f"{name} is made", "POST", API, {
            "apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "metadata": {"name": name},
            "spec": {**QUICK, **spec}})

    def ask(self, name, value):
        self.asked[name].append(value)
        self.patiently(f"{name} is asked for", "PATCH", f"{API}/{name}",
                       {"metadata": {"annotations": {"memdiag.io/run-requested-at": value}}},
                       "application/merge-patch+json")

    def diagnoses(self):
        return {item["metadata"]["name"]: item for item in json.loads(self.api.must("GET", API))["items"]}

    def forget(self, before):
        """Deletes the diagnoses of rounds before that one, and their reports, which nobody else does here."""
        for name in [name for name, number in self.rounds.items() if number < before]:
            del self.rounds[name], self.asked[name]
            self.patiently(f"{name} is deleted", "DELETE", f"{API}/{name}", None)
            for node in NODES:
                self.api.call("DELETE", f"{REPORTS}/{name}.{node}")


# --- one round -------------------------------------------------------------------------------------------------------

def pick_victims(dice):
    """1 to 4 of what can be killed, in random order; seldom a leader that sleeps, whose lease then runs out."""
    if dice.random() < 0.08:
        return ["asleep", *dice.sample(["agent", "etcd"], dice.randint(0, 1))]
    weights = {"apiserver": 3, "etcd": 3, "leader": 3, "other": 1, NODES[0]: 2, NODES[1]: 2}
    bag = [name for name, weight in weights.items() for _ in range(weight)]
    return list(dict.fromkeys(dice.choice(bag) for _ in range(dice.randint(1, 4))))


def work(dice, rig, number):
    """[function]: what is asked for in this round, in random order."""
    names = [f"r{number}-all", f"r{number}-one"]
    tasks = [lambda: rig.make(number, names[0], {"target": {"nodeSelector": {"chaos": "yes"}}}),
             lambda: rig.make(number, names[1], {"target": {"nodeName": dice.choice(NODES)}})]
    if dice.random() < 0.25:
        names.append(f"r{number}-none")
        tasks.append(lambda: rig.make(number, names[2], {
            "target": {"nodeName": NO_AGENT}, "window": "1s", "activeDeadlineSeconds": 10}))
    old = [name for name, made in rig.rounds.items() if made < number and not name.endswith("-none") and made >= 0]
    for name in dice.sample(old, min(len(old), 2)):
        tasks.append(lambda name=name: rig.ask(name, f"round-{number}"))
    dice.shuffle(tasks)
    return tasks


def kill(rig, victim, leader):
    """Kills it; what brings it back."""
    if victim in ("apiserver", "etcd"):
        daemon = getattr(rig.cluster, victim)
        daemon.kill()
        return victim, daemon.start
    if victim in rig.agents or victim == "agent":
        daemon = rig.agents[NODES[0] if victim == "agent" else victim]
        daemon.kill()
        return daemon.name, daemon.start
    if victim == "asleep":
        pid, until = rig.controllers[leader].pid, time.monotonic() + SLEEP_S
        os.kill(pid, signal.SIGSTOP)

        def wake():
            time.sleep(max(0, until - time.monotonic()))
            os.kill(pid, signal.SIGCONT)
        return f"{leader} (asleep)", wake
    name = leader if victim == "leader" else next(name for name in rig.controllers if name != leader)
    rig.controllers[name].kill()
    return f"{name} ({victim})", lambda: rig.start_controller(name)


def crashed(rig):
    for daemon in (*rig.controllers.values(), *rig.agents.values()):
        if not daemon.running():
            raise HarnessError(f"{daemon.name} ended by itself with status {daemon.child.returncode}\n{daemon.tail()}")


def under_way(rig):
    """How many diagnoses have a run that has not ended, or wait for one."""
    found = rig.diagnoses()
    waiting = 0
    for name, requests in rig.asked.items():
        status = found[name].get("status", {}) if name in found else {}
        ended = status.get("run", {}).get("state", "Complete" if name == "every-minute" else None) in ENDED
        waiting += name in found and (not ended or bool(requests and status.get("lastHandledRunRequest") != requests[-1]))
    return waiting


def strike(dice, rig, tasks):
    """Asks and kills in turns, brings all back; what was killed, and in the midst of what."""
    leader = eventually("a controller leads", 60, rig.leader)
    crashed(rig)
    before = dice.randint(1, len(tasks))
    for task in tasks[:before]:
        task()
    time.sleep(dice.uniform(0, dice.choice([0.2, 0.5, 1.2])))
    midst = under_way(rig)
    killed, back = [], []
    for victim in pick_victims(dice):
        name, revive = kill(rig, victim, leader)
        killed.append(name)
        back.append((name, revive))
        time.sleep(dice.uniform(0, 0.3))
    if dice.random() < 0.5 and not {"apiserver", "etcd"} & set(killed):
        for task in tasks[before:]:
            task() # nobody is there to see it at once
        before = len(tasks)
    time.sleep(dice.uniform(0, 1))
    # etcd before the API server, which waits for it; the rest before, between or after them.
    dice.shuffle(back)
    for at, name in enumerate(["etcd", "apiserver"]):
        back.sort(key=lambda pair, name=name: pair[0] == name)
    asleep = [pair for pair in back if "asleep" in pair[0]]
    rest = [pair for pair in back if pair not in asleep]
    if dice.random() < 0.5:
        rest.reverse()
        rest.sort(key=lambda pair: pair[0] == "apiserver")
    for _name, revive in rest:
        revive()
    for task in tasks[before:]:
        task()
    for _name, revive in asleep:
        revive()
    return f"killed {', '.join(killed)} with {midst} runs under way"


def settled(rig):
    """All runs have ended and all requests are answered; else HarnessError with what is not."""
    found = rig.diagnoses()
    for name, requests in rig.asked.items():
        if name not in found:
            raise HarnessError(f"{name} is gone")
        status = found[name].get("status", {})
        if requests and status.get("lastHandledRunRequest") != requests[-1]:
            raise HarnessError(f"{name}: request {requests[-1]} is not taken")
        if name != "every-minute" and status.get("run", {}).get("state") not in ENDED:
            raise HarnessError(f"{name}: {json.dumps(status.get('run'))}")
    return found


def expect_runs(rig, versions):
    """Each diagnosis has had the runs that were asked for, no more and no fewer, and each run its reports."""
    made, reports = lives(versions, "memorydiagnoses"), lives(versions, "memorydiagnosisreports")
    for (name, _uid), objects in made.items():
        if name not in rig.asked or name == "every-minute":
            continue
        runs = runs_of(objects)
        ids = [run_id for run_id, _versions in runs]
        if len(ids) != 1 + len(rig.asked[name]) or ids[0] != "g-1" or not all(i.startswith("r-") for i in ids[1:]):
            yield f"{name}: asked for g-1 and {rig.asked[name]}, runs are {ids}"
        for run_id, steps in runs:
            run, status = steps[-1]
            if name.endswith("-none"):
                if (run["state"], condition(status, "Complete").get("reason")) != ("Failed", "DeadlineExceeded"):
                    yield f"{name}: {run_id} is {run['state']} without an agent"
                continue
            reported = sum(any(report["run"]["id"] == run_id for report in objects)
                           for (report_name, _), objects in reports.items() if report_name.startswith(name + "."))
            want = 2 if name.endswith("-all") else 1
            if run["state"] == "Complete" and (reported != want or status["summary"]["reported"] != want):
                yield f"{name}: {run_id} is Complete, {status['summary']['nodes']} nodes, {reported} reports of {want}"
            elif run["state"] != "Complete":
                yield f"{name}: {run_id} is {run['state']}: {condition(status, 'Complete')}"


def play(dice, rig, history, number):
    """One round: (what was killed, what is wrong)."""
    rig.forget(number - KEPT)
    killed = strike(dice, rig, work(dice, rig, number))
    try:
        found = eventually("all runs end", SETTLE_S, lambda: settled(rig), interval=0.3)
    except HarnessError as e:
        return killed, [str(e)]
    newest = max(int(item["metadata"]["resourceVersion"]) for item in found.values())
    eventually("etcd tells all", 30, lambda: history.revision >= newest)
    crashed(rig)
    versions = list(history.versions)
    faults = judge(versions) + list(expect_runs(rig, versions))
    if history.lost:
        faults.append(history.lost)
        history.lost = None
    return killed, faults


def missed_minutes(versions, outages):
    """Times of the schedule that had no run, but for those that came while nothing led for a minute."""
    for (name, _uid), objects in lives(versions, "memorydiagnoses").items():
        if name != "every-minute":
            continue
        minutes = [int(run_id[2:]) for run_id, _versions in runs_of(objects)]
        print(f"   every-minute: {len(minutes)} runs in {minutes[-1] - minutes[0] + 1 if minutes else 0} minutes", flush=True)
        for before, after in zip(minutes, minutes[1:]):
            excused = any(begin < after * 60 and end > before * 60 for begin, end in outages)
            if after != before + 1 and not excused:
                yield f"every-minute: no run between minutes {before} and {after}"


def job(args, label, first, rounds):
    """Plays that many rounds in a cluster of its own; (passed, failed)."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"memdiag-chaos-{label}-"))
    failed, shown, outages = 0, set(), []
    with ControlPlane() as cluster:
        rig = Rig(cluster, args.binary, folder, label)
        history = History(cluster.etcd_port)
        rig.install()
        rig.make(-1, "every-minute", {"schedule": "* * * * *", "target": {"nodeSelector": {"chaos": "yes"}}})
        rig.rounds.pop("every-minute")
        for number in range(first, first + rounds):
            dice, began = random.Random(f"{args.seed}/{number}"), time.time()
            try:
                killed, faults = play(dice, rig, history, number)
            except HarnessError as e:
                killed, faults = "broke off", [str(e)]
            if time.time() - began > LEFT_MINUTE_S:
                outages.append((began, time.time()))
            fresh = [fault for fault in faults if fault not in shown]
            shown.update(fresh)
            failed += bool(fresh)
            print(f"{'FAIL' if fresh else 'ok'} round {number} ({time.time() - began:.1f} s): {killed}"
                  + "".join(f"\n   {fault}" for fault in fresh), flush=True)
        failed += end(rig, history, outages)
    crashes = [path for path in folder.glob("*.log") if CRASH.search(path.read_text(errors="replace"))]
    if crashes or failed:
        print(f"logs are kept in {folder}" + "".join(f"\nFAIL a crash in {path}" for path in crashes), flush=True)
    else:
        shutil.rmtree(folder)
    failed += bool(crashes)
    return max(rounds - failed, 0), failed


def end(rig, history, outages):
    """The schedule's last run ends, too; its faults."""
    def quiet():
        return rig.diagnoses()["every-minute"].get("status", {}).get("run", {"state": "Complete"})["state"] in ENDED

    try:
        eventually("the schedule's run ends", SETTLE_S, quiet)
    except HarnessError as e:
        print(f"FAIL {e}", flush=True)
        return 1
    faults = list(missed_minutes(history.versions, outages))
    print(f"   job {rig.label}: {len(history.versions)} versions judged", flush=True)
    for fault in faults:
        print(f"FAIL {fault}", flush=True)
    return len(faults)


def spread(args):
    """Starts the jobs as processes, waits; (passed, failed)."""
    share = [args.rounds // args.jobs + (i < args.rounds % args.jobs) for i in range(args.jobs)]
    children, first = [], 0
    for i, rounds in enumerate(share):
        argv = [sys.executable, "-B", __file__, f"--seed={args.seed}", f"--job={i}:{first}:{rounds}", str(args.binary)]
        children.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent))
        first += rounds
    passed = failed = 0
    for child in children:
        for line in child.stdout: # the pipes of the others hold what they say meanwhile
            match = re.fullmatch(r"(\d+) passed, (\d+) failed\n", line)
            if match:
                passed, failed = passed + int(match[1]), failed + int(match[2])
            else:
                print(line, end="", flush=True)
        if child.wait() not in (0, 1):
            print(f"FAIL a job ended with status {child.returncode}")
            failed += 1
    return passed, failed


def main(argv):
    parser = argparse.ArgumentParser(description="Chaos: what is killed comes back, and no run is lost or doubled.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", default=str(random.randrange(10 ** 9)))
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("binary", type=pathlib.Path)
    args = parser.parse_args(argv)
    args.binary = args.binary.resolve()
    args.jobs = max(1, min(args.jobs, args.rounds))
    exit_on_signals()
    self_test()
    if args.job:
        passed, failed = job(args, *[int(part) if i else part for i, part in enumerate(args.job.split(":"))])
    else:
        print(f"seed {args.seed}", flush=True)
        passed, failed = spread(args)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
