# SPDX-License-Identifier: Apache-2.0
"""The integration tests: which of them run in the machines, and what must come out."""

import re

from judge import expect

# Every program of tests/integration runs in every machine, but for these.
LEFT_OUT = {
    "test_cli": "arguments and files, nothing that a kernel could change",
}

# Tests that may skip themselves: (program, test, on which kernels). Any other skip fails, and so does one of these that ran.
SKIPS = []


def wanted(programs):
    return [program for program in programs if program.name not in LEFT_OUT]


def skipped(kernel, name):
    return sorted(test for program, test, kernels in SKIPS if program == name and kernels(kernel.version))


def judge(kernel, sections, name):
    """The program's own verdict; its failures are worth more than its end."""
    expect(name in sections, f"{name} did not end")
    section = sections[name]
    lines = [line for line in section.text.splitlines() if not re.match(r"\[ (RUN|      OK) ", line)]
    expect(section.status == 0, f"exit status {section.status}\n" + "\n".join(lines))
    count = re.search(r"^\[  PASSED  \] (\d+) test", section.text, re.M)
    expect(count and int(count[1]) > 0, "no test ran")
    # The summary has a line with the number, then one for each.
    skips = sorted(set(re.findall(r"^\[  SKIPPED \] ([a-z]\w+)$", section.text, re.M)))
    expect(skips == skipped(kernel, name), f"skipped: {skips}, expected: {skipped(kernel, name)}\n" + "\n".join(lines))
    return f"{count[1]} tests" + (f", skipped as expected: {', '.join(skips)}" if skips else "")
