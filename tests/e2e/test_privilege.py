# SPDX-License-Identifier: Apache-2.0
"""What the agent and the controller need is what their manifests give, and each capability is for what is written there.

Both run in pods of a real containerd with securityContext, mounts, arguments and memory limit of manifests/base: user 0 with
five capabilities, or user 65532 with none; read-only root, no new privileges, the runtime's own seccomp profile. The image is
busybox with this host's libraries mounted into it. Needs root.
"""

import json
import re
import subprocess
import urllib.request

from containerd_harness import Containerd, security_context
from kube_harness import HarnessError, clean_environment, die_with_parent, eventually, free_ports

NEEDS_BINARY = True
NAMESPACE = "memdiag-system"
NODE = "e2e-privilege"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
WINDOW = "1s"

# What a run says with all five. A check is (state, reason, what its message must match, and nothing else in it).
NO_LIMITS = ("Complete", None, None)
# What is no matter of privileges: pods that are gone or another runtime's, more events or removed cgroups than there is room for.
OF_THE_MOMENT = re.compile(
    r"NamesMissing names of pods are missing: neither the container runtime nor the history knows them|"
    r"NamesMissing \d+ of \d+ events were in cgroups that are gone without a trace|"
    r"(EventsLost|NotListed|FilesOfLargestOnly) .*")
HIDDEN = "files of N processes: needs CAP_SYS_PTRACE, or a security module hides them"
# Whether this is said depends on what other processes of user 0 are there.
PIPES = "what waits in pipes: needs CAP_SYS_PTRACE"
WITHOUT_SYS_ADMIN = {"BPF maps that no process has open: needs CAP_SYS_ADMIN"}
EXPECTED = {
    "MemoryBreakdown": NO_LIMITS, "PageCache": NO_LIMITS, "SharedMemory": NO_LIMITS, "CgroupLeak": NO_LIMITS,
    "SlabCache": NO_LIMITS, "KernelMemory": ("Complete", "PartsMissing", WITHOUT_SYS_ADMIN), "ReclaimLatency": NO_LIMITS,
    "CompactionLatency": NO_LIMITS, "RunQueueLatency": NO_LIMITS, "SchedulingStall": NO_LIMITS,
}


def no_bpf(capability):
    """What is lost without one of the two that BPF takes."""
    missing = f"missing capability: CAP_{capability}"
    skipped = ("Skipped", "MissingPrivilege", missing)
    return {
        **{check: skipped for check in ("PageCache", "SharedMemory", "CgroupLeak", "ReclaimLatency", "CompactionLatency",
                                        "RunQueueLatency", "SchedulingStall")},
        "SlabCache": ("Complete", "DentriesMissing", f"the owners of dentries and inodes are unknown: {missing}"),
        "KernelMemory": ("Complete", "PartsMissing", {*WITHOUT_SYS_ADMIN, f"stacks of allocations: {missing}",
                                                      f"pages charged to cgroups: {missing}"}),
    }


# What changes when one is taken away; no other check may.
LOST = {
    "BPF": no_bpf("BPF"),
    "PERFMON": no_bpf("PERFMON"),
    "SYSLOG": {
        "KernelMemory": ("Complete", "PartsMissing", {*WITHOUT_SYS_ADMIN,
            "names of functions: /proc/kallsyms shows no addresses: it takes CAP_SYSLOG and kernel.kptr_restrict below 2"}),
        "SchedulingStall": ("Complete", "LimitedByKernel", r".*its symbols are hidden.*"),
    },
    "DAC_READ_SEARCH": {
        "KernelMemory": ("Complete", "PartsMissing", {*WITHOUT_SYS_ADMIN, "files of N processes: needs CAP_DAC_READ_SEARCH"}),
    },
    "SYS_PTRACE": {
        "KernelMemory": ("Complete", "PartsMissing", {*WITHOUT_SYS_ADMIN, HIDDEN}),
    },
}

runtime = None
other_user = None
hidden_here = 0 # processes whose files real root may not see either
accounts = {}


def template(bench, file, kind):
    """The pod's template of a manifest as a dict; kubectl reads the YAML and asks no server."""
    text = bench.kubectl(["label", "--local", "-f", bench.root / "manifests/base" / file, "-o", "json", "e2e=yes"],
                         check=True).stdout
    at, decoder = 0, json.JSONDecoder()
    while at < len(text): # one object after the other
        item, at = decoder.raw_decode(text, at)
        at += len(text[at:]) - len(text[at:].lstrip())
        for item in item["items"] if item["kind"] == "List" else [item]:
            if item["kind"] == kind:
                return item["spec"]["template"]["spec"]
    raise HarnessError(f"no {kind} in {file}")


class Workload:
    """A container of a manifest, in a pod of ours."""

    def __init__(self, bench, file, kind):
        spec = template(bench, file, kind)
        self.container = spec["containers"][0]
        self.security = {**spec.get("securityContext", {}), **self.container["securityContext"]}
        self.bench, self.host_pid = bench, spec.get("hostPID", False)
        state = bench.folder / "state"
        state.mkdir(exist_ok=True)
        paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec.get("volumes", [])}
        paths["state"] = state
        self.mounts = [(paths[mount["name"]], mount["mountPath"], mount.get("readOnly", False))
                       for mount in self.container.get("volumeMounts", [])]
        # In place of an image: this host's libraries.
        self.mounts += [("/usr", "/usr", True), ("/usr/lib", "/lib", True), ("/usr/lib64", "/lib64", True),
                        (bench.binary, "/memdiag", True),
                        (runtime.socket, "/cri.sock", True)]
        self.pod = runtime.run_pod(file.removesuffix(".yaml"), NAMESPACE, host_pid=self.host_pid)

    def run(self, name, args, without=None, mounts=(), env=None):
        """Starts `memdiag ARGS` as the manifest has it, less one capability."""
        security = dict(self.security)
        if without:
            has = security["capabilities"]["add"]
            assert without in has, f"{without} is not in the manifest"
            security["capabilities"] = {"drop": ["ALL"], "add": [capability for capability in has if capability != without]}
        limit = int(self.container["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
        self.pod.run_container(name, command=["/memdiag", *args], memory_limit=limit, security=security_context(security),
                               mounts=[*self.mounts, *mounts], env=env)

    def status(self, name):
        """/proc/PID/status of its process."""
        with open(f"/proc/{self.pod.pid(name)}/status") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def setup(bench):
    global runtime, other_user, hidden_here, accounts
    runtime = Containerd()
    runtime.__enter__()
    # A process of another user with a pipe that holds something: its files are what two of the capabilities are for.
    other_user = subprocess.Popen(["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "sleep", "1000"],
                                  stdin=subprocess.PIPE, preexec_fn=die_with_parent)
    other_user.stdin.write(b"x" * 60000)
    other_user.stdin.flush()
    hidden_here = count_hidden(bench)
    bench.install()
    bench.cluster.create_node(NODE)
    for name in ("agent", "controller"):
        folder = bench.cluster.service_account_dir(NAMESPACE, f"memdiag-{name}", node=NODE if name == "agent" else None)
        folder.chmod(0o755) # as the kubelet mounts it
        accounts[name] = (folder, SERVICE_ACCOUNT, True)


def teardown(_bench):
    if other_user:
        other_user.kill()
        other_user.wait()
    if runtime:
        runtime.close()


def summary(report):
    """{check: (state, reason, message)}; KernelMemory's parts as a set, numbers as N."""
    found = {}
    for check in report["checks"]:
        said = check.get("message")
        if check["type"] == "KernelMemory" and "kernelMemory" in check:
            of_host = HIDDEN.replace("N", str(hidden_here))
            said = {number(part) for part in check["kernelMemory"]["missing"] if part != of_host} or None
        found[check["type"]] = (check["state"], check.get("reason"), said)
        if check["state"] == "Complete" and OF_THE_MOMENT.fullmatch(f"{check.get('reason')} {said}"):
            found[check["type"]] = NO_LIMITS
    return found


def count_hidden(bench):
    """Of processes' files that real root may not see on this host; else it must lack nothing."""
    done = subprocess.run([bench.binary, "run", "-o", "json", "--check", "KernelMemory", "--window", WINDOW],
                          capture_output=True, text=True, timeout=120, env=clean_environment())
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
    missing = json.loads(done.stdout)["checks"][0]["kernelMemory"]["missing"]
    unknown = [part for part in missing if number(part) != HIDDEN]
    assert not unknown, f"real root lacks {unknown}"
    return sum(int(re.search(r"\d+", part).group()) for part in missing)


def number(part):
    return re.sub(r"\d+ processes", "N processes", part)


def diagnose(workload, without=None):
    """What a run in the pod finds."""
    name = f"without-{without}".lower().replace("_", "-")
    workload.run(name, ["run", "-o", "json", "--window", WINDOW, "--cpu-budget=1m", "--cgroup-root=/host/sys/fs/cgroup",
                        "--cri-socket=/cri.sock"], without)
    eventually(f"memdiag run {name} ends", 90, lambda: workload.pod.exit_code(name) is not None)
    code = workload.pod.exit_code(name)
    log = workload.pod.log(name)
    assert code == 0, f"exit {code} without {without}: {log[-2000:]}"
    return summary(json.loads(log))


def expect(check, found, expected):
    state, reason, said = expected
    assert found[:2] == (state, reason), f"{check}: {found} instead of {expected}"
    if isinstance(said, set):
        allowed = {PIPES} if HIDDEN in said else set()
        assert (found[2] or set()) - allowed == said, f"{check}: missing {found[2]} instead of {said}"
    elif said:
        assert re.fullmatch(said, found[2] or ""), f"{check}: {found[2]!r} instead of {said!r}"
    else:
        assert not found[2], f"{check}: {found[2]!r}"


def test_run_needs_no_more(bench):
    """Every check, as the manifest has it; then with one capability less at a time."""
    agent = Workload(bench, "agent.yaml", "DaemonSet")
    assert set(agent.security["capabilities"]["add"]) == set(LOST), "the manifest's capabilities are not those of the table"
    full = diagnose(agent)
    assert set(full) == set(EXPECTED), f"checks: {sorted(full)}"
    for check, expected in EXPECTED.items():
        expect(check, full[check], expected)
    for capability, lost in LOST.items():
        found = diagnose(agent, without=capability)
        for check in EXPECTED:
            try:
                expect(check, found[check], lost.get(check, EXPECTED[check]))
            except AssertionError as e:
                raise AssertionError(f"without {capability}: {e}") from None
    agent.pod.remove()


def families(port):
    """The names of what is exported and has a value; "" while nothing is served."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return set(re.findall(r"^(memdiag_\w+)[ {]", answer.read().decode(), re.M))
    except OSError:
        return set()


def captures(port):
    """{name: "1" when it is attached}"""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return dict(re.findall(r'^memdiag_capture_attached{capture="(\w+)"} (\d)', answer.read().decode(), re.M))


def confined(status, capabilities):
    """The kernel has taken from the process what the manifest says."""
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == int(status["CapPrm"], 16), status
    assert bin(int(status["CapEff"], 16)).count("1") == capabilities, status["CapEff"]
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", (status["NoNewPrivs"], status["Seccomp"])


def test_daemons_need_no_more(bench):
    """Agent and controller serve a diagnosis; the agent exports the same as one that is real root."""
    ports = free_ports(2)
    agent, controller = Workload(bench, "agent.yaml", "DaemonSet"), Workload(bench, "controller.yaml", "Deployment")
    in_cluster = bench.cluster.in_cluster_environment()
    agent.run("agent", [*agent.container["args"], f"--metrics-address=127.0.0.1:{ports[0]}", "--cri-socket=/cri.sock"],
              mounts=[accounts["agent"]], env={**in_cluster, "NODE_NAME": NODE})
    controller.run("controller", [arg.replace("$(POD_NAME)", "c").replace("$(POD_UID)", "0")
                                  for arg in controller.container["args"]],
                   mounts=[accounts["controller"]], env=in_cluster)
    confined(agent.status("agent"), len(LOST))
    confined(controller.status("controller"), 0)
    assert controller.status("controller")["Uid"].split()[0] == "65532"

    bench.apply({"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "metadata": {"name": "privilege"},
                 "spec": {"target": {"nodeName": NODE}, "window": WINDOW, "cpuBudget": "1m"}})
    done = bench.kubectl(["wait", "--for=condition=Complete", "--timeout=90s", "memorydiagnosis/privilege"], timeout=120)
    assert done.returncode == 0, (done.stderr, agent.pod.log("agent"), controller.pod.log("controller"))
    found = summary(bench.get("memreport", f"privilege.{NODE}"))
    for check, expected in EXPECTED.items():
        expect(check, found[check], expected)

    config = bench.folder / "nobody.kubeconfig"
    config.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
    bench.start("agent-root", ["agent", "--node-name", "root", "--kubeconfig", config, "--cri-socket", runtime.socket,
                               "--metrics-address", f"127.0.0.1:{ports[1]}"])
    eventually("both export the same", 30, lambda: families(ports[0]) and families(ports[0]) == families(ports[1]))
    attached = captures(ports[0])
    assert len(attached) >= 4 and set(attached.values()) == {"1"}, f"captures: {attached}"
    agent.pod.remove()
    controller.pod.remove()


TESTS = [test_run_needs_no_more, test_daemons_need_no_more]
