# SPDX-License-Identifier: Apache-2.0
"""GitOps tools' view of diagnoses: Argo CD's health check run by a Lua interpreter, kstatus by its own library.

Real statuses: the API server's default, and what the controller and an agent make of diagnoses that go well, find something,
or cannot run.
"""

import json
import re
import subprocess

from kube_harness import HarnessError, eventually

NEEDS_BINARY = True
NODE = "gitops-a"

kstatus = None
history = {} # name of a diagnosis -> its states in order, each once: (Argo CD's health, kstatus)
objects = {} # name of a diagnosis -> the object as it was last

LUA_DRIVER = r"""
local function value(text)
  return assert(loadstring("return " .. text))()
end
obj = value(io.read("*a"))
local result = assert(loadfile(arg[1]))()
io.write(result.status or "?")
"""


def lua_literal(value):
    """JSON data as a Lua expression."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(f"\\{b:03d}" for b in value.encode()) + '"'
    if isinstance(value, list):
        return "{" + ",".join(map(lua_literal, value)) + "}"
    return "{" + ",".join(f"[{lua_literal(k)}]={lua_literal(v)}" for k, v in value.items()) + "}"


def config_map(bench):
    text = bench.kubectl(["create", "--dry-run=client", "-o", "json", "-f", bench.root / "manifests/gitops/argocd-cm.yaml"],
                         check=True).stdout
    return json.loads(text)["data"]


def run_lua(bench, script, driver, obj):
    (bench.folder / "script.lua").write_text(script)
    (bench.folder / "driver.lua").write_text(driver)
    done = subprocess.run(["lua5.1", bench.folder / "driver.lua", bench.folder / "script.lua"], input=lua_literal(obj),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise HarnessError(f"lua5.1: {done.stderr}")
    return done.stdout


def argo_health(bench, obj):
    script = config_map(bench)["resource.customizations.health.memdiag.io_MemoryDiagnosis"]
    return run_lua(bench, script, LUA_DRIVER, obj)


def judge(obj):
    done = subprocess.run([kstatus], input=json.dumps(obj), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise HarnessError(f"kstatus: {done.stderr}")
    return done.stdout.strip()


def note(bench, name):
    """Adds the state of a diagnosis to its history."""
    obj = bench.get("memorydiagnosis", name)
    state = (argo_health(bench, obj), judge(obj))
    states = history.setdefault(name, [])
    if not states or states[-1] != state:
        states.append(state)
    objects[name] = obj
    return obj


def diagnosis(name, **spec):
    return {"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "metadata": {"name": name},
            "spec": {"checks": [{"type": "PageCache"}], "target": {"nodeName": NODE}, **spec}}


def setup(bench):
    global kstatus
    kstatus = subprocess.run([bench.root / "hack/get-kstatus.sh"], stdout=subprocess.PIPE, text=True,
                             check=True).stdout.strip()
    bench.install()
    bench.cluster.create_node(NODE)
    # A limit of 1 byte: there is always something to find.
    found = {"thresholds": [{"reason": "PageCacheHigh", "warning": "1", "critical": "1"}]}
    for item in (diagnosis("gitops-plain"), diagnosis("gitops-found", **found),
                 diagnosis("gitops-fail", failOn="Critical", **found),
                 diagnosis("gitops-zone", schedule="0 3 * * *", timeZone="Europe/Nowhere"),
                 diagnosis("gitops-nightly", schedule="0 3 * * *", timeZone="Europe/Berlin")):
        bench.apply(json.dumps(item))
        note(bench, item["metadata"]["name"]) # before any controller has looked
    start(bench)


def start(bench):
    kubeconfig = bench.cluster.service_account_kubeconfig("memdiag-system", "memdiag-agent", node=NODE)
    bench.start("gitops-agent", ["agent", "--metrics-address", "", "--node-name", NODE, "--kubeconfig", kubeconfig])
    kubeconfig = bench.cluster.service_account_kubeconfig("memdiag-system", "memdiag-controller")
    bench.start("gitops-controller", ["controller", "--kubeconfig", kubeconfig])


def settled(bench, name, done):
    eventually(f"{name} settles", 60, lambda: done(note(bench, name)), interval=0.1)


def condition(obj, kind):
    return next((c["status"] for c in obj.get("status", {}).get("conditions", []) if c["type"] == kind), None)


def is_complete(obj):
    return condition(obj, "Complete") == "True"


def check_history(name, end):
    """From Progressing to the end; never anything else in between."""
    states = history[name]
    assert states[0] == ("Progressing", "InProgress"), f"{name} begins as {states[0]}"
    assert states[-1] == end, f"{name} ends as {states[-1]}: {objects[name]['status']}"
    between = set(states) - {("Progressing", "InProgress"), end}
    assert not between, f"{name} was {between} in between"


def test_one_shot(bench):
    settled(bench, "gitops-plain", is_complete)
    check_history("gitops-plain", ("Healthy", "Current"))


def test_findings_do_not_degrade(bench):
    settled(bench, "gitops-found", is_complete)
    assert condition(objects["gitops-found"], "FindingsDetected") == "True", objects["gitops-found"]["status"]
    check_history("gitops-found", ("Healthy", "Current"))


def test_fail_on_degrades(bench):
    settled(bench, "gitops-fail", is_complete)
    check_history("gitops-fail", ("Degraded", "Failed"))


def test_a_schedule_is_healthy_once_accepted(bench):
    settled(bench, "gitops-nightly", lambda obj: condition(obj, "Ready") == "True")
    check_history("gitops-nightly", ("Healthy", "Current"))


def test_what_cannot_run_is_degraded(bench):
    settled(bench, "gitops-zone", lambda obj: condition(obj, "Stalled") == "True")
    check_history("gitops-zone", ("Degraded", "Failed"))


def test_action_runs_now(bench):
    """The action's Lua gives an object that the API server takes and the controller runs."""
    text = config_map(bench)["resource.customizations.actions.memdiag.io_MemoryDiagnosis"]
    script = re.search(r"action\.lua: \|\n(.*)", text, re.S)[1]
    script = "\n".join(line.removeprefix("    ") for line in script.splitlines())
    driver = LUA_DRIVER.replace("io.write(result.status or \"?\")",
                                'io.write(result.metadata.annotations["memdiag.io/run-requested-at"])')
    requested = run_lua(bench, script, driver, objects["gitops-plain"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", requested), requested
    before = bench.get("memorydiagnosis", "gitops-plain")["status"]["run"]["id"]
    bench.kubectl(["annotate", "memorydiagnosis", "gitops-plain", f"memdiag.io/run-requested-at={requested}"], check=True)

    def ran_again():
        status = bench.get("memorydiagnosis", "gitops-plain")["status"]
        return status["run"]["id"] != before and status["run"]["state"] == "Complete" and \
            status.get("lastHandledRunRequest") == requested
    eventually("the run that was asked for", 60, ran_again)


def test_exclusion_names_the_reports(bench):
    text = config_map(bench)["resource.exclusions"]
    served = bench.kubectl(["api-resources", "--api-group=memdiag.io", "-o", "name"], check=True).stdout.split()
    assert "memorydiagnosisreports.memdiag.io" in served, served
    assert "apiGroups: [memdiag.io]" in text and "kinds: [MemoryDiagnosisReport]" in text, text


TESTS = [test_one_shot, test_findings_do_not_degrade, test_fail_on_degrades, test_a_schedule_is_healthy_once_accepted,
         test_what_cannot_run_is_degraded, test_action_runs_now, test_exclusion_names_the_reports]
