# SPDX-License-Identifier: Apache-2.0
"""Kernels, and emulated machines that run a few steps of guest.sh on one of them."""

import collections
import os
import pathlib
import re
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# For one machine; each step has a limit of its own (guest.sh).
SECONDS = 1500

# What an architecture's programs are run on if nothing else is said; [] is hack/vm-kernels.sh's own choice.
SUITES = {
    "amd64": [],
    "arm64": ["bullseye-arm64", "bookworm-arm64", "bookworm-backports-arm64", "sid-arm64", "sid-arm64-16k"],
}

# name: as Debian has it, such as 6.1.0-50-cloud-amd64; version: (6, 1)
Kernel = collections.namedtuple("Kernel", "name version folder arch")
# first: the text of a try that failed before; "": there was none.
Section = collections.namedtuple("Section", "status text seconds first", defaults=[""])
# fault: what went wrong with the machine itself, or ""
Result = collections.namedtuple("Result", "sections seconds fault")


def architecture(program):
    """Of an ELF program, as Debian names it."""
    machine = int.from_bytes(program.read_bytes()[18:20], "little")
    return {62: "amd64", 183: "arm64"}.get(machine, f"ELF machine {machine}")


def kernels(suites):
    """([Kernel], [what was said of suites that could not be had]). Fetched the first time, about a minute for all."""
    done = subprocess.run([ROOT / "hack/vm-kernels.sh", *suites], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    found = []
    for line in done.stdout.splitlines():
        folder = pathlib.Path(line.split(" ", 1)[1])
        name = (folder / "version").read_text().strip()
        found.append(Kernel(name, tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", name).groups()), folder,
                            "arm64" if "-arm64" in name else "amd64"))
    missing = [line for line in done.stderr.splitlines() if line]
    if done.returncode != 0:
        missing.append(f"hack/vm-kernels.sh ended with {done.returncode}")
    return found, missing


def sections_of(output):
    pattern = r"^@@ begin (\S+)\n(.*?)^@@ end \1 (\d+) (\d+)$"
    sections = {}
    for m in re.finditer(pattern, output, re.M | re.S):
        first = sections[m[1]].text if m[1] in sections else ""
        sections[m[1]] = Section(int(m[3]), m[2], int(m[4]), first)
    return sections


def run(kernel, programs, steps):
    """Boots a machine that has the programs, runs guest.sh with the steps (lines of shell) behind it."""
    started = time.monotonic()
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as script:
        script.write((HERE / "guest.sh").read_text() + "\n".join(steps) + "\n")
        script.flush()
        done = subprocess.run([ROOT / "hack/vm-run.sh", kernel.folder, script.name, *programs],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(os.environ, VM_SECONDS=str(SECONDS)))
    fault = ""
    if done.returncode != 0:
        errors = done.stderr.decode(errors="replace").strip()
        fault = f"{errors or 'the last step failed'} (exit status {done.returncode})"
    return Result(sections_of(done.stdout.decode(errors="replace")), time.monotonic() - started, fault)
