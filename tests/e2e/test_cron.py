# SPDX-License-Identifier: Apache-2.0
"""Schedules against an independent implementation: the very one of Kubernetes' CronJob (hack/cron-oracle, Go)."""

import json
import pathlib
import random
import subprocess
import time

from kube_harness import HarnessError, clean_environment

NEEDS_BINARY = True
NEEDS_CLUSTER = False
PAIRS = 10000
# Until 2011 whole days were left out in the Pacific; the original never finds its way over one.
EARLIEST = 1325376000
ZONEINFO = pathlib.Path("/usr/share/zoneinfo")
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
WEEKDAYS = "sun mon tue wed thu fri sat".split()
# Where clocks are changed at midnight, by half an hour, in Ramadan, or not any more: all of them often.
ODD_ZONES = ["Asia/Beirut", "Africa/Cairo", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Amman",
             "Antarctica/Troll", "America/Asuncion", "Asia/Gaza", "America/Havana", "Europe/Berlin", "America/New_York",
             "Europe/Dublin", "America/Nuuk", "Asia/Tehran", "Pacific/Chatham", "UTC"]


def zones():
    """Every zone of tzdata."""
    lines = (ZONEINFO / "tzdata.zi").read_text().splitlines()
    return sorted({line.split()[1] for line in lines if line.startswith("Z ")} |
                  {line.split()[2] for line in lines if line.startswith("L ")})


def entry(rng, low, high, words):
    def value(n):
        return rng.choice([words[n - low], words[n - low].upper()]) if words and rng.random() < .3 else str(n)

    kind = rng.random()
    first, last = sorted(rng.randint(low, high) for _ in range(2))
    step = f"/{rng.choice([1, 2, 3, 5, 7, 15, 40])}" if rng.random() < .3 else ""
    if kind < .35:
        return rng.choice("***?") + step
    return value(first) + step if kind < .7 else f"{value(first)}-{value(last)}{step}"


def field(rng, low, high, words=None):
    return ",".join(entry(rng, low, high, words) for _ in range(rng.choice([1, 1, 1, 2, 3])))


def expression(rng):
    if rng.random() < .05:
        return rng.choice(["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"])
    return " ".join([field(rng, 0, 59), field(rng, 0, 23), field(rng, 1, 31) if rng.random() < .5 else "*",
                     field(rng, 1, 12, MONTHS) if rng.random() < .3 else "*",
                     field(rng, 0, 6, WEEKDAYS) if rng.random() < .5 else "*"])


def transitions(name):
    """Instants near which the zone's clock is changed, found with Python's own reader."""
    import datetime
    import zoneinfo
    zone, found = zoneinfo.ZoneInfo(name), []
    at = datetime.datetime(2012, 1, 1, tzinfo=datetime.timezone.utc)
    while at.year < 2060:
        later = at + datetime.timedelta(days=7)
        if at.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset():
            found.append((int(at.timestamp()), int(later.timestamp())))
        at = later
    return found


def pairs(rng):
    """(expression, zone, instant): a third within a week of a change of clocks."""
    every, near = zones(), {name: transitions(name) for name in ODD_ZONES}
    for _ in range(PAIRS):
        name = rng.choice(ODD_ZONES) if rng.random() < .5 else rng.choice(every)
        if near.get(name) and rng.random() < .7:
            instant = rng.randint(*rng.choice(near[name]))
        else:
            instant = rng.randint(EARLIEST, 4_000_000_000)
        yield f"{expression(rng)}\t{name}\t{instant}"


def answers(argv, lines, **kwargs):
    done = subprocess.run(argv, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=120,
                          env=clean_environment(), **kwargs)
    if done.returncode != 0:
        raise HarnessError(f"{argv[0]}: {done.stderr.strip()[-500:]}")
    return done.stdout.splitlines()


def setup(bench):
    bench.oracle = bench.folder / "cron-oracle"
    done = subprocess.run(["go", "build", "-o", bench.oracle, "."], cwd=bench.root / "hack/cron-oracle",
                          capture_output=True, text=True, timeout=280)
    if done.returncode != 0:
        raise HarnessError(f"cannot build hack/cron-oracle: {done.stderr.strip()[-500:]}")


def test_random_pairs(bench):
    """10,000 random (expression, zone, instant): the same answer, time by time."""
    seed = time.time_ns()
    lines = list(pairs(random.Random(seed)))
    theirs, ours = answers([bench.oracle], lines), answers([bench.binary, "schedule", "-"], lines)
    assert len(theirs) == len(ours) == PAIRS, (len(theirs), len(ours))
    # What never fires is refused by ours at once; theirs looks for it for five years.
    wrong = [(line, a, b) for line, a, b in zip(lines, theirs, ours)
             if a != b and not (a == "never" and b == "refused")]
    assert not wrong, f"seed {seed}: {len(wrong)} differ; first (line, theirs, ours): {json.dumps(wrong[:3])}"
    times = sum(b not in ("never", "refused") for b in ours)
    assert times > PAIRS * .9, f"seed {seed}: only {times} of {PAIRS} have an answer"
    print(f"   {PAIRS} pairs agree, {times} of them times, {len(set(line.split(chr(9))[1] for line in lines))} zones",
          flush=True)


def test_bounds(bench):
    """Every field's bounds, and both sides of each: refused by both, or taken by both."""
    lines = []
    for position, (low, high) in enumerate([(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]):
        for text in (low - 1, low, high, high + 1, f"{low}-{high}", f"{low}-{high + 1}", f"{high}-{low}", f"{low}/{high}",
                     f"*/{high}", "*/0", "", "x", "1-2-3", "1/2/3", "jan", "Mon", "sunday"):
            parts = ["*"] * 5
            parts[position] = str(text)
            lines.append(f"{' '.join(parts)}\tUTC\t1800000000")
    theirs, ours = answers([bench.oracle], lines), answers([bench.binary, "schedule", "-"], lines)
    wrong = [(line, a, b) for line, a, b in zip(lines, theirs, ours) if a != b]
    assert not wrong, wrong[:5]
    assert 20 < sum(a == "refused" for a in theirs) < len(lines) - 20


TESTS = [
    test_random_pairs,
    test_bounds,
]
