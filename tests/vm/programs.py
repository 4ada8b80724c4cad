# SPDX-License-Identifier: Apache-2.0
"""The integration tests: which of them run in the machines, and what must come out."""

import re

from judge import expect

# Every program of tests/integration runs in every machine, but for these.
LEFT_OUT = {
    "test_cli": "arguments and files, nothing that a kernel could change",
}

def old_arm64(kernel):
    return kernel.arch == "arm64" and kernel.version < (5, 11)


# Tests that may skip themselves: (program, test, on which kernels). Any other skip fails, and so does one of these that ran.
SKIPS = [
    # They plant a stall with bpf_loop(), which there is since 5.17.
    ("test_stalls", "test_finds_a_planted_stall", lambda kernel: kernel.version < (5, 17)),
    ("test_stalls", "test_finds_it_by_clock", lambda kernel: kernel.version < (5, 17)),
    ("test_stalls", "test_finds_interrupts_off", lambda kernel: kernel.version < (5, 17)),
    # arm64's struct pages are found without CAP_SYS_ADMIN since 5.11 (agent/instruments/pages_anchor.c).
    ("test_pages_run", "test_vmemmap_three_ways", old_arm64),
    ("test_pages_run", "test_without_sys_admin", old_arm64),
    # Devices of software: only 6.1 is of the flavour that has all drivers, udmabuf and heaps came to Debian later, heaps
    # not to arm64. The machine with pages of 16 KiB gets no driver of its network device.
    ("test_kmem", "a_buffer_of_a_gpu_has_its_owner", lambda kernel: kernel.version != (6, 1)),
    ("test_kmem", "an_rdma_region_has_its_owner", lambda kernel: kernel.version != (6, 1)),
    ("test_kmem", "a_buffer_of_udmabuf_has_its_owner", lambda kernel: kernel.version < (6, 12)),
    ("test_kmem", "a_buffer_outlives_its_memfd", lambda kernel: kernel.version < (6, 12)),
    ("test_kmem", "a_buffer_of_a_heap_has_its_owner",
     lambda kernel: kernel.version < (6, 12) or kernel.arch == "arm64"),
    ("test_kmem", "a_buffer_that_is_mapped_alone_is_seen",
     lambda kernel: kernel.version < (6, 1) or kernel.arch == "arm64" and kernel.version != (6, 1)),
    ("test_kmem", "receive_buffers_have_their_device",
     lambda kernel: kernel.version < (7, 2) or kernel.name.endswith("-16k")),
]

# Of the output of a program that failed, lines from the beginning and from the end, and how long they may be.
FIRST, LAST, WIDTH = 30, 30, 200


def wanted(programs):
    return [program for program in programs if program.name not in LEFT_OUT]


def skipped(kernel, name):
    return sorted(test for program, test, kernels in SKIPS if program == name and kernels(kernel))


def shown(text):
    """What a program that failed said, without the tests that went well."""
    lines = [line[:WIDTH] for line in text.splitlines() if line and not re.match(r"\[ (RUN|      OK) ", line)]
    if len(lines) <= FIRST + LAST:
        return "\n".join(lines)
    return "\n".join([*lines[:FIRST], f"... {len(lines) - FIRST - LAST} lines left out ...", *lines[-LAST:]])


def judge(kernel, sections, name):
    """The program's own verdict; its failures are worth more than its end."""
    expect(name in sections, f"{name} did not end")
    section = sections[name]
    expect(section.status == 0, f"exit status {section.status}\n{shown(section.text)}")
    count = re.search(r"^\[  PASSED  \] (\d+) test", section.text, re.M)
    expect(count and int(count[1]) > 0, "no test ran")
    # The summary has a line with the number, then one for each.
    skips = sorted(set(re.findall(r"^\[  SKIPPED \] ([a-z]\w+)$", section.text, re.M)))
    expect(skips == skipped(kernel, name), f"skipped: {skips}, expected: {skipped(kernel, name)}\n{shown(section.text)}")
    if section.first:
        print(f"{kernel.name} {name}: passed at its second try; the first said\n{shown(section.first)}")
    return f"{count[1]} tests" + (f", skipped as expected: {', '.join(skips)}" if skips else "")
