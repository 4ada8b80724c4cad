# SPDX-License-Identifier: Apache-2.0
"""Every version of every diagnosis and report, read from etcd itself, and what must be true of them.

The API server cannot tell what was written while nobody watched; etcd keeps each revision, so that after its own death,
too, the watch goes on where it stood and nothing is missed.
"""

import base64
import collections
import hashlib
import http.client
import itertools
import json
import threading
import time

PREFIX = "/registry/memdiag.io/"
ENDED = ("Complete", "Failed", "Replaced")

Version = collections.namedtuple("Version", "revision kind name object")  # object None: deleted


def encode(text):
    return base64.b64encode(text.encode()).decode()


class History(threading.Thread):
    """Collects versions from its start on."""

    def __init__(self, etcd_port):
        super().__init__(daemon=True)
        self.port, self.revision, self.versions = etcd_port, 0, []
        self.lost = None  # why the history has a hole
        self.ending = False
        self.start()

    def run(self):
        while not self.ending:
            try:
                self._watch()
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.1)  # etcd is away

    def _watch(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3600)
        try:
            connection.request("POST", "/v3/watch", json.dumps({"create_request": {
                "key": encode(PREFIX), "range_end": encode(PREFIX[:-1] + "0"), "start_revision": str(self.revision + 1)}}))
            answer = connection.getresponse()
            while line := answer.readline():
                self._take(json.loads(line).get("result", {}))
        finally:
            connection.close()

    def _take(self, result):
        if "compact_revision" in result:
            self.lost = f"etcd has forgotten what was before revision {result['compact_revision']}, {self.revision} was seen"
            self.revision = int(result["compact_revision"])
        for event in result.get("events", []):
            pair = event["kv"]
            kind, name = base64.b64decode(pair["key"]).decode()[len(PREFIX):].split("/", 1)
            deleted = event.get("type") == "DELETE"
            revision = int(pair["mod_revision"])
            self.versions.append(Version(revision, kind, name,
                                         None if deleted else json.loads(base64.b64decode(pair["value"]))))
            self.revision = max(self.revision, revision)


def last_of(versions, name):
    """The versions of the last diagnosis of that name and of its reports, by uid: others may have had the name before it."""
    uids = [version.object["metadata"]["uid"] for version in versions
            if version.kind == "memorydiagnoses" and version.name == name and version.object]

    def belongs(version):
        metadata = version.object["metadata"]
        if version.kind == "memorydiagnoses":
            return metadata["uid"] == uids[-1]
        return any(owner["uid"] == uids[-1] for owner in metadata.get("ownerReferences", []))

    return [version for version in versions if version.object and belongs(version)] if uids else []


def lives(versions, kind):
    """{(name, uid): [objects in order]}"""
    found = collections.defaultdict(list)
    for version in versions:
        if version.kind == kind and version.object:
            found[version.name, version.object["metadata"]["uid"]].append(version.object)
    return found


def condition(status, type_):
    return next((c for c in status.get("conditions", []) if c["type"] == type_), {})


def runs_of(objects):
    """[(run id, [its runs' versions as (run, status)])] in order; an id that comes back has two entries."""
    runs = []
    for obj in objects:
        status = obj.get("status", {})
        if "run" not in status:
            continue
        if not runs or runs[-1][0] != status["run"]["id"]:
            runs.append((status["run"]["id"], []))
        runs[-1][1].append((status["run"], status))
    return runs


def states_of(objects):
    """[(run id, [its states in order, without repetitions])]"""
    return [(run_id, [state for state, _same in itertools.groupby(run["state"] for run, _status in versions)])
            for run_id, versions in runs_of(objects)]


def judge_run(run_id, versions, replaced):
    """What is wrong with one run. replaced: another came after it."""
    states = [run["state"] for run, _status in versions]
    for before, after in zip(states, states[1:]):
        if before in ENDED and after != before:
            yield f"run {run_id} goes back from {before} to {after}"
    for fixed in ("startTime", "deadline", "trigger"):
        if len({run.get(fixed) for run, _status in versions}) > 1:
            yield f"run {run_id}: {fixed} changes"
    if len({run["completionTime"] for run, _status in versions if "completionTime" in run}) > 1:
        yield f"run {run_id} ends twice"
    reported = [status.get("summary", {}).get("reported", 0) for _run, status in versions]
    if reported != sorted(reported):
        yield f"run {run_id}: reports counted go back: {reported}"
    last_run, last_status = versions[-1]
    if last_run["state"] in ENDED and not condition(last_status, "Complete").get("reason"):
        yield f"run {run_id} is {last_run['state']} without a reason"
    if replaced and last_run["state"] not in ENDED:
        yield f"run {run_id} was left {last_run['state']}"


def never_back(objects, what, read):
    values = [value for obj in objects if (value := read(obj)) is not None]
    for before, after in zip(values, values[1:]):
        if after < before:
            yield f"{what} goes back from {before} to {after}"


def judge_diagnosis(objects):
    runs = runs_of(objects)
    ids = [run_id for run_id, _versions in runs]
    for run_id in sorted({run_id for run_id in ids if ids.count(run_id) > 1}):
        yield f"run {run_id} comes back: {ids}"
    replaces = objects[0]["spec"].get("concurrencyPolicy") == "Replace"
    for i, (run_id, versions) in enumerate(runs):
        yield from judge_run(run_id, versions, i + 1 < len(runs) and not replaces)
    status_of = lambda obj: obj.get("status", {})  # noqa: E731
    yield from never_back(objects, "observedGeneration", lambda obj: status_of(obj).get("observedGeneration"))
    for time_ in ("lastScheduleTime", "nextScheduleTime", "lastSuccessfulTime"):
        yield from never_back(objects, time_, lambda obj: status_of(obj).get(time_))
    handled = [value for obj in objects if (value := status_of(obj).get("lastHandledRunRequest"))]
    kept = [value for i, value in enumerate(handled) if i == 0 or value != handled[i - 1]]
    if len(kept) != len(set(kept)):
        yield f"a request is taken again: {kept}"


def content(report):
    """What a report says, as a hash; whatever the API server adds left out."""
    said = {key: value for key, value in report.items() if key != "metadata"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def judge_report(objects):
    runs = []
    for report in objects:
        said = (report["run"]["id"], content(report))
        if not runs or runs[-1] != said:
            runs.append(said)
        told = [entry["runID"] for entry in report.get("history", [])]
        if len(told) != len(set(told)) or report["run"]["id"] in told:
            yield f"the history tells a run twice: {told}"
    ids = [run_id for run_id, _content in runs]
    for run_id in sorted({run_id for run_id in ids if ids.count(run_id) > 1}):
        yield f"run {run_id} is reported twice, with different results: {ids}"


def judge(versions):
    """Everything that is wrong, as text."""
    faults = []
    for kind, judge_one in (("memorydiagnoses", judge_diagnosis), ("memorydiagnosisreports", judge_report)):
        for (name, _uid), objects in lives(versions, kind).items():
            faults += [f"{name}: {fault}" for fault in judge_one(objects)]
    return faults


# --- can it fail? ----------------------------------------------------------------------------------------------------

def _diagnosis(*runs, **status):
    """Versions of a diagnosis; a run: (id, state, more)."""
    versions = []
    for n, (run_id, state, *more) in enumerate(runs):
        run = {"id": run_id, "state": state, "startTime": run_id, **(more[0] if more else {})}
        versions.append(Version(n, "memorydiagnoses", "d", {
            "metadata": {"uid": "u"}, "spec": {},
            "status": {"run": run, "conditions": [{"type": "Complete", "reason": "R"}],
                       **{key: values[n] for key, values in status.items()}}}))
    return versions


def _report(*runs):
    return [Version(n, "memorydiagnosisreports", "d.n", {"metadata": {"uid": "u", "resourceVersion": n},
                                                         "run": {"id": run_id}, "verdict": verdict, "history": history})
            for n, (run_id, verdict, history) in enumerate(runs)]


def self_test():
    """Each rule finds what breaks it; what is right passes. AssertionError if not."""
    right = _diagnosis(("g-1", "Running"), ("g-1", "Complete"), ("r-1", "Running"), ("r-1", "Failed"),
                       observedGeneration=[1, 1, 1, 1], lastHandledRunRequest=["", "", "x", "x"])
    right += _report(("g-1", "OK", []), ("g-1", "OK", []), ("r-1", "OK", [{"runID": "g-1"}]))
    assert judge(right) == [], judge(right)
    wrong = {
        "goes back from Complete": _diagnosis(("g-1", "Complete"), ("g-1", "Running")),
        "startTime changes": _diagnosis(("g-1", "Running"), ("g-1", "Running", {"startTime": "later"})),
        "ends twice": _diagnosis(("g-1", "Failed", {"completionTime": 1}), ("g-1", "Failed", {"completionTime": 2})),
        "counted go back": _diagnosis(("g-1", "Running"), ("g-1", "Running"), summary=[{"reported": 2}, {"reported": 1}]),
        "without a reason": _diagnosis(("g-1", "Failed"), conditions=[[]]),
        "was left Running": _diagnosis(("g-1", "Running"), ("r-1", "Running")),
        "comes back": _diagnosis(("g-1", "Complete"), ("r-1", "Complete"), ("g-1", "Complete")),
        "observedGeneration goes back": _diagnosis(("g-1", "Running"), ("g-1", "Running"), observedGeneration=[2, 1]),
        "nextScheduleTime goes back": _diagnosis(("s-1", "Running"), ("s-1", "Running"), nextScheduleTime=["2", "1"]),
        "taken again": _diagnosis(*[("g-1", "Running")] * 3, lastHandledRunRequest=["a", "b", "a"]),
        "different results": _report(("g-1", "OK", []), ("g-1", "Warning", [])),
        "tells a run twice": _report(("g-1", "OK", [{"runID": "g-0"}, {"runID": "g-0"}])),
    }
    for fault, versions in wrong.items():
        assert any(fault in found for found in judge(versions)), f"not found: {fault}"
