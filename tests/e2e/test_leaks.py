# SPDX-License-Identifier: Apache-2.0
"""Memory cgroups that outlive their pods: whose they were, which file keeps them, and that they go when its cache does.

Real containerd and this kernel's memory controller: pods of a CronJob that write parts of one log, one that filled a tmpfs, and
some that made files.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile

from containerd_harness import Containerd, memory_hierarchy
from kube_harness import clean_environment, eventually
from page_cache import drop, hold

NEEDS_BINARY = True
NEEDS_CLUSTER = False
MIB = 1 << 20
JOBS = 12 # pods of the CronJob, a MiB of the log each
CHURNS = 8 # pods that make files
SHARED = 8 * MIB

runtime = None
volumes = None
log, blob = None, None
disk = None # a loop device with ext4, on volumes/disk
held = None # the log's cache: kernels that reclaim what is idle would end the leak on their own


def setup(bench):
    global runtime, volumes, log, blob, held
    # On a tmpfs: else a container's own layer makes it pay for blocks of the disk's metadata.
    runtime = Containerd(tempfile.mkdtemp(prefix="memdiag-containerd-", dir="/dev/shm"))
    runtime.__enter__()
    volumes = pathlib.Path(tempfile.mkdtemp(prefix="memdiag-volumes-", dir="/var/tmp"))
    (volumes / "logs").mkdir()
    (volumes / "shared").mkdir()
    log, blob = volumes / "logs/nightly.log", volumes / "shared/blob"
    # Its blocks are there already: who makes a file grow pays for some of the disk's metadata, which outlives any file's pages.
    log.write_bytes(bytes(JOBS * MIB))
    drop(log)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "memdiag-test", volumes / "shared"], check=True)
    gone = [leave_behind(bench, f"nightly-{29000000 + i}-x7k2{'bcdfghjklmnp'[i]}", "batch", "dump",
                         f"dd if=/dev/zero of=/volume/{log.name} bs=1M count=1 seek={i} conv=notrunc", volumes / "logs") for i in range(JOBS)]
    gone.append(leave_behind(bench, "db-0", "shop", "server", f"dd if=/dev/zero of=/volume/{blob.name} bs=1M count=8",
                             volumes / "shared"))
    held = hold(log)
    left = [pod.cgroup for pod in gone if (memory_hierarchy() / pod.cgroup.lstrip("/")).exists()]
    assert not left, f"cgroups that are still there: {left}"


def leave_behind(bench, name, namespace, container, script, volume):
    """A pod that has used its file, was seen by memdiag, and is removed."""
    pod = runtime.run_pod(name, namespace)
    pod.run_container(container, command=["sh", "-c", f"{script} && echo done; sleep 1000"],
                      mounts=[(volume, "/volume")])
    eventually(f"{name} has used its file", 20, lambda: "done" in pod.log(container))
    run(bench, "MemoryBreakdown") # what knows a pod while it lives
    pod.remove()
    return pod


def teardown(_bench):
    global held
    if held:
        held.close()
        held = None
    if runtime:
        for folder in ("disk", "ram", "shared"):
            subprocess.run(["umount", "-l", volumes / folder], check=False, capture_output=True)
        if disk:
            subprocess.run(["losetup", "-d", disk], check=False)
        runtime.close()
        subprocess.run(["rm", "-rf", "--one-file-system", volumes, runtime.folder], check=False)


def run(bench, check, output="json"):
    document = {"apiVersion": "memdiag.io/v1alpha1", "kind": "MemoryDiagnosis", "spec": {
        "checks": [{"type": check}], "top": 50, "thresholds": [{"reason": "CgroupLeak", "warning": str(JOBS)}]}}
    done = subprocess.run([bench.binary, "run", "-f", "-", "-o", output, "--cri-socket", runtime.socket,
                           "--history-file", volumes / "history"],
                          input=json.dumps(document), capture_output=True, text=True, timeout=60, env=clean_environment())
    assert done.returncode == 0, f"memdiag run: exit {done.returncode}: {done.stderr.strip()}"
    return json.loads(done.stdout) if output == "json" else done.stdout


def group_of(report, controller):
    """The group's row; None: it has none."""
    rows = [row for row in report["checks"][0]["cgroupLeak"]["groups"] if row.get("controller") == controller]
    assert len(rows) <= 1, rows
    return rows[0] if rows else None


def test_names_what_left_them(bench):
    """Former pod, container and controller, exact counts, and the file."""
    report = run(bench, "CgroupLeak")
    check = report["checks"][0]
    assert check["state"] == "Complete" and "reason" not in check, check
    nightly = group_of(report, "CronJob/nightly")
    assert nightly, [row.get("controller") or row.get("cgroup") for row in check["cgroupLeak"]["groups"]]
    # The container's cgroup has the pages; the pod's own, above it, is kept by its child. And each CPU may keep some (7 since
    # Linux 6.17) for what it has reserved of their limits: a sandbox's, for instance.
    assert 2 * JOBS <= nightly["dying"] <= 2 * JOBS + 7 * os.cpu_count(), nightly
    assert (nightly["namespace"], nightly["container"]) == ("batch", "dump"), nightly
    assert nightly["pod"].startswith("nightly-290000"), nightly
    # What else is there is some of the disk's metadata.
    assert nightly["pinnedBy"] == ["Files"] and nightly["files"][0] == str(log), nightly
    assert 0.9 * JOBS * MIB <= nightly["fileBytes"] <= JOBS * MIB + MIB, nightly
    database = group_of(report, "StatefulSet/db")
    assert (database["namespace"], database["container"], database["dying"]) == ("shop", "server", 2), database
    assert "SharedMemory" in database["pinnedBy"] and database["files"][0] == str(blob), database
    assert database["shmemBytes"] == SHARED, database


def test_finding_says_what_to_do(bench):
    finding = next(finding for finding in run(bench, "CgroupLeak")["findings"]
                   if finding["subject"].get("controller") == "CronJob/nightly")
    assert finding["reason"] == "CgroupLeak" and finding["severity"] == "Warning", finding
    assert finding["bytes"] >= 0.9 * JOBS * MIB, finding
    assert str(log) in finding["message"] and "CronJob/nightly" in finding["message"], finding["message"]
    assert any(str(log) in json.dumps(hint) for hint in finding["hints"]), finding["hints"]


def test_table_names_them(bench):
    table = run(bench, "CgroupLeak", output="table")
    assert "CronJob/nightly" in table and log.name in table, table


def dying_of(bench, controller):
    group = group_of(run(bench, "CgroupLeak"), controller)
    return group["dying"] if group else 0


def is_gone(bench, controller):
    """
    Reclaims from the cgroups above them first: a block of the disk's metadata is charged to one or the other, and what CPUs have
    reserved of their limits keeps them as well.
    """
    for folder in (memory_hierarchy() / "kubepods/burstable", memory_hierarchy() / "kubepods"):
        for name in ("memory.force_empty", "memory.reclaim"):
            if (folder / name).exists():
                with contextlib.suppress(OSError): # not all of it could be reclaimed
                    (folder / name).write_text("1M")
    return not group_of(run(bench, "CgroupLeak"), controller)


def test_gone_with_the_files_cache(bench):
    """What the hint says frees them: the CronJob's when the log's cache is dropped, the other when the file is removed."""
    global held
    held.close()
    held = None
    drop(log)
    eventually("the CronJob's cgroups go", 30, lambda: dying_of(bench, "CronJob/nightly") <= JOBS)
    rest = group_of(run(bench, "CgroupLeak"), "CronJob/nightly")
    assert not rest or (str(log) not in rest["files"] and rest["fileBytes"] < MIB), rest
    eventually("the last of them go", 30, lambda: is_gone(bench, "CronJob/nightly"))
    assert group_of(run(bench, "CgroupLeak"), "StatefulSet/db"), "those that something else keeps are still there"
    pathlib.Path(blob).unlink()
    eventually("the other's go", 30, lambda: is_gone(bench, "StatefulSet/db"))
    findings = run(bench, "CgroupLeak").get("findings", [])
    assert not [finding for finding in findings if finding["subject"].get("controller")], findings


def make_disk():
    """Its image is on a tmpfs: a file's cache would be charged to whoever writes to the disk."""
    global disk
    for folder in ("disk", "ram"):
        (volumes / folder).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "memdiag-test", volumes / "ram"], check=True)
    image = volumes / "ram/image"
    with open(image, "wb") as f:
        f.truncate(1024 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    disk = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["mount", disk, volumes / "disk"], check=True)


def checkpoint(folder):
    """Empties the filesystem's journal, as it does by itself when it is written to for half a minute."""
    subprocess.run(["fsfreeze", "--freeze", folder], check=True)
    subprocess.run(["fsfreeze", "--unfreeze", folder], check=True)


def test_gone_with_the_devices_cache(bench):
    """Pods that made files, which are removed, are pinned by the filesystem's own blocks: the hint flushes that device, and they go."""
    make_disk()
    for i in range(CHURNS):
        leave_behind(bench, f"churn-{29000000 + i}-x7k2{'bcdfghjk'[i]}", "batch", "churn",
                     f"mkdir /volume/{i} && for f in $(seq 40); do echo x > /volume/{i}/$f; done", volumes / "disk")
    # When all have run: the next pod would take the inodes again, which are charged to the first.
    for path in (volumes / "disk").glob("*/*"):
        if path.is_file():
            path.unlink()
    finding = next(finding for finding in run(bench, "CgroupLeak")["findings"]
                   if finding["subject"].get("controller") == "CronJob/churn")
    assert int(next(e["value"] for e in finding["evidence"] if e["name"] == "dyingCgroups")) >= 2 * CHURNS, finding
    hints = {hint["id"]: hint for hint in finding["hints"]}
    assert list(hints)[0] == "drop-device-cache" and list(hints)[-1] == "drop-caches", list(hints)
    assert hints["drop-device-cache"]["command"] == f"blockdev --flushbufs {disk}", hints
    checkpoint(volumes / "disk")
    before = dying_of(bench, "CronJob/churn")
    assert before >= 2 * CHURNS, f"{before} left before the command was run"
    subprocess.run(["sh", "-c", hints["drop-device-cache"]["command"]], check=True)
    # The filesystem keeps a block or two in use, and its own table of free blocks is no part of the device's cache.
    left = eventually("most of them go", 30, lambda: (n := dying_of(bench, "CronJob/churn")) <= before // 2 and (n, before))
    print(f"    {before} removed cgroups, {left[0]} after {hints['drop-device-cache']['command']}")


TESTS = [test_names_what_left_them, test_finding_says_what_to_do, test_table_names_them, test_gone_with_the_files_cache,
         test_gone_with_the_devices_cache]
