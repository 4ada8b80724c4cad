# SPDX-License-Identifier: Apache-2.0
# What an emulated machine can do, in busybox's shell; run.py puts the steps behind it, takes the sections apart and judges them.
ulimit -n 65536 # some tests hold thousands of files
export MEMDIAG_TEST_EMULATED=1 MEMDIAG_BIN=/bin/memdiag

uptime_seconds() {
	read -r up _ </proc/uptime
	echo "${up%.*}"
}

# A hang ends with status 143 and leaves the sections behind it their turn.
section() {
	name=$1
	shift
	echo "@@ begin $name"
	began=$(uptime_seconds)
	"$@"
	status=$?
	echo
	echo "@@ end $name $status $(($(uptime_seconds) - began))"
}

# An emulated CPU stands still whenever the host is busy: a program that fails gets a second try, and what it said first is shown.
program() {
	section "$1" timeout 300 "$1"
	[ "$status" = 0 ] || section "$1" timeout 300 "$1"
}

# A cgroup that reaches neither its memory.high nor its memory.max, charged for one file. Written by a process of its own.
plant() {
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control || return
	mkdir "$cgroup" || return
	echo 256M >"$cgroup/memory.max" || return
	echo 128M >"$cgroup/memory.high" || return
	sh -c "echo 0 >$cgroup/cgroup.procs && dd if=/dev/zero of=/var/tmp/planted bs=1M count=96 2>/dev/null" || return
	sync
}

# The kernel's own numbers, with the per-CPU parts folded in.
truth() {
	echo 1 >/proc/sys/vm/stat_refresh
	grep -E '^(nr_file_pages|nr_shmem) ' /proc/vmstat
	sed -n 's/^\(file\|shmem\) /workload_\1 /p' "$cgroup/memory.stat"
}

# What it logs meanwhile is no part of the report.
report() { memdiag run --window 2s --cpu-budget 5m -o json 2>/tmp/run-log; }

# Every check, as a person calls them. An emulated CPU is slow: only the budget is another.
checks() {
	cgroup=/sys/fs/cgroup/workload
	section kernel uname -r
	section page-kib sed -n '/^KernelPageSize:/{s/[^0-9]//gp;q}' /proc/self/smaps
	section checks memdiag checks
	section plant plant
	section truth-before truth
	section run report
	section run-log cat /tmp/run-log
	section truth-after truth
	section table memdiag run --window 1s --cpu-budget 5m
	rmdir "$cgroup"
	rm -f /var/tmp/planted
}

# What the kernel complained of. Not lockups and stalls: the host may do something else for whole seconds.
complaints() {
	if dmesg | grep -v lockup | grep -qE 'BUG: |WARNING: |Oops|general protection'; then
		dmesg | grep -v lockup | grep -E -A 15 'BUG: |WARNING: |Oops|general protection' | head -40
	fi
}
