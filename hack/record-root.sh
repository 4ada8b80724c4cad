#!/usr/bin/env bash
# Takes down what memdiag reads of a node, into a tarball that is a fixture: unpacked, its proc/ and cgroup/ stand for the node's.
#
# Usage: record-root.sh [-p PROC] [-c CGROUP] OUT.tar.gz     (root; PROC is /proc, CGROUP is /sys/fs/cgroup)
#
# In it: meminfo, vmstat, zoneinfo, iomem and 1/mountinfo of PROC; the tree of memory cgroups with their statistics and limits;
# the kernel's release. Not in it: command lines, environments, process ids, contents of files. What could be a secret in mount
# options is blanked, and iomem is without the kernel's own addresses. The names of cgroups, units and mount points are in it:
# look through it before you hand it on.
set -euo pipefail

proc=/proc cgroup=/sys/fs/cgroup
max_file=$((4 << 20))  # bytes of a file; what is beyond is cut off
max_cgroups=20000
max_depth=64

usage() {
	sed -n '2,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0" >&2
	exit 2
}

while getopts p:c:h opt; do
	case $opt in
	p) proc=$OPTARG ;;
	c) cgroup=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# = 1 ] || usage
out=$1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077
mkdir -p "$work/root/proc/1" "$work/root/cgroup"

# take FROM TO: a file that is missing, or cannot be read, is left out.
take() {
	[ -f "$1" ] && [ -r "$1" ] || return 0
	head -c "$max_file" -- "$1" >"$2" 2>/dev/null || rm -f -- "$2"
}

uname -r >"$work/root/kernel"
for name in meminfo vmstat zoneinfo; do
	take "$proc/$name" "$work/root/proc/$name"
done
take "$proc/iomem" "$work/iomem"
[ ! -f "$work/iomem" ] || grep -v ' : Kernel ' "$work/iomem" >"$work/root/proc/iomem" || true
take "$proc/1/mountinfo" "$work/mountinfo"
[ ! -f "$work/mountinfo" ] || sed -E \
	's/([,[:space:]][^,=[:space:]]*(pass|secret|token|key|cookie|cred|user|sas)[^,=[:space:]]*=)[^,[:space:]]*/\1_/gI' \
	"$work/mountinfo" >"$work/root/proc/1/mountinfo"

# The memory controller's hierarchy, as memdiag looks for it: v1's, else v2.
tree=$cgroup to=$work/root/cgroup
if [ -e "$cgroup/memory/memory.stat" ]; then
	tree=$cgroup/memory to=$work/root/cgroup/memory
	if [ -e "$cgroup/unified/cgroup.procs" ]; then
		mkdir -p "$work/root/cgroup/unified"
		: >"$work/root/cgroup/unified/cgroup.procs"
	fi
fi
mkdir -p "$to"
take "$tree/cgroup.controllers" "$to/cgroup.controllers"

# Names may hold anything but NUL and '/'. A cgroup that goes meanwhile is left out.
n=0 dropped=0
while IFS= read -r -d '' rel; do
	n=$((n + 1))
	if [ "$n" -gt "$max_cgroups" ]; then
		dropped=$((dropped + 1))
		continue
	fi
	mkdir -p -- "$to/$rel"
	for name in stat current max high usage_in_bytes limit_in_bytes; do
		take "$tree/$rel/memory.$name" "$to/$rel/memory.$name"
	done
done < <(cd -- "$tree" && find . -xdev -maxdepth "$max_depth" -type d -print0 2>/dev/null | sort -z)

tar --create --gzip --file "$out" --directory "$work/root" --sort=name --owner=0 --group=0 --numeric-owner .
[ "$dropped" = 0 ] || printf '%s\n' "record-root: $dropped cgroups beyond $max_cgroups are left out" >&2
printf '%s: %d cgroups, %d bytes\n' "$out" "$((n - dropped))" "$(stat -c %s -- "$out")"
