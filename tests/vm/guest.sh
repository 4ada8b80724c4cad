# SPDX-License-Identifier: Apache-2.0
# What runs inside each emulated machine, in busybox's shell; tests/vm/run.py takes the sections apart and judges them.
ulimit -n 65536 # test_pages holds thousands of files
export MEMDIAG_TEST_EMULATED=1

section() {
	name=$1
	shift
	echo "@@ begin $name"
	"$@"
	status=$?
	echo
	echo "@@ end $name $status"
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

cgroup=/sys/fs/cgroup/workload
section kernel uname -r
section checks memdiag checks
section plant plant
section truth-before truth
section run memdiag run -o json
section truth-after truth
section table memdiag run --fail-on critical
rmdir "$cgroup"
rm -f /var/tmp/planted
section test_pages test_pages
