#!/usr/bin/env bash
# Boots a kernel of hack/vm-kernels.sh in an emulated machine and runs SCRIPT there, a busybox shell script, as root with the
# PROGRAMs and busybox in its PATH. Its output comes out here, its exit status is ours; 125: the machine did not get that far.
#   vm-run.sh KERNEL_FOLDER SCRIPT [PROGRAM]...
# The machine is of the kernel's architecture, and so must the programs be. If that is not ours, their libraries and busybox come
# from the folder of hack/sysroot.sh.
# There: cgroup v2 alone with the memory controller, a disk with ext4 on /var/tmp, tmpfs on /tmp, 2 GiB, 2 CPUs, no network: a
# device that leads nowhere, if the kernel's folder has its driver, for what a driver holds.
# VM_SECONDS=300 bounds it; VM_CONSOLE names a file for the kernel's messages.
set -euo pipefail

kernel=$1 script=$2
shift 2
work=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
PATH=$PATH:/usr/sbin:/sbin
case $(cat "$kernel/version") in *-arm64*) arch=arm64 triplet=aarch64-linux-gnu ;; *) arch=amd64 triplet=x86_64-linux-gnu ;; esac

# --- the first file system: busybox, the programs, and what they link to --------------------------------------------------

root=$work/root
mkdir -p "$root"/{bin,lib64,dev,proc,sys,tmp,modules,var/tmp,etc}
ln -s lib64 "$root/lib" # where arm64's loader is asked for
cp "$kernel"/modules/*.ko "$root/modules/" 2>/dev/null || true
cp "$script" "$root/script"

# The libraries of PROGRAM...; the loader is asked for by its path in the program, and finds the rest in LD_LIBRARY_PATH.
copy_ours() {
	local program
	for program in "$@"; do
		ldd "$program"
	done | { grep -oE '/[^ ]+' || true; } | sort -u | while read -r library; do
		cp -L "$library" "$root/lib64/"
	done
}
copy_foreign() {
	local name
	for name in $(readelf -d "$@" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u); do
		[ ! -e "$root/lib64/$name" ] || continue
		cp -L "$sysroot/usr/lib/$triplet/$name" "$root/lib64/"
		copy_foreign "$root/lib64/$name"
	done
}
if [ "$arch" = "$(dpkg --print-architecture)" ]; then
	cp "$(command -v busybox)" "$root/bin/busybox"
	strip=strip libraries=copy_ours
else
	sysroot=$("$(dirname "$0")/sysroot.sh" "$arch")
	cp "$sysroot/bin/busybox" "$root/bin/busybox"
	strip=$triplet-strip libraries=copy_foreign
fi
for program in "$@"; do
	"$strip" -o "$root/bin/${program##*/}" "$program"
done
[ $# = 0 ] || "$libraries" "$@"

cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin LD_LIBRARY_PATH=/lib64 HOME=/tmp
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
for module in /modules/*.ko; do
	[ ! -f "$module" ] || insmod "$module"
done
mount -t ext4 /dev/vda /var/tmp || poweroff -f
ifconfig lo 127.0.0.1 up
read -r out </output
stty -F "$out" raw -echo
sh /script </dev/null >"$out" 2>&1
echo "EXIT $?" >"$out"
sync
poweroff -f
INIT
chmod +x "$root/init"

# --- the machine: the kernel's console to a file, the script's output to ours -----------------------------------------------

console=${VM_CONSOLE:-$work/console}
case $arch in
amd64)
	# Without cx16: Debian 12's QEMU (7.2) loses the flags when an interrupt comes right behind cmpxchg16b, which SLUB uses for
	# every allocation; Linux 6.12 oopses within seconds. Strings are emulated byte by byte if the CPU says it is fast at that
	# (erms, fsrm); without, and without mitigations, it takes an eighth less CPU time.
	machine=(qemu-system-x86_64 -cpu max,cx16=off,erms=off,fsrm=off -serial "file:$console" -serial stdio)
	tty=ttyS0 output=ttyS1
	;;
arm64)
	# The CPU of clouds' nodes; it knows all sizes of pages. The machine has one serial port, a second one is a PCI device.
	machine=(qemu-system-aarch64 -M virt -cpu neoverse-n1 -serial "file:$console" -chardev stdio,id=out -device pci-serial,chardev=out)
	tty=ttyAMA0 output=ttyS0
	;;
esac
echo "/dev/$output" >"$root/output"
(cd "$root" && find . -print0 | cpio -0 -o -H newc -R 0:0 --quiet) >"$work/initrd"
truncate -s 2G "$work/disk"
mkfs.ext4 -q -E lazy_itable_init=1,lazy_journal_init=1 "$work/disk"

# One thread for both CPUs: machines side by side use the host's CPUs better.
timeout -k 5 "${VM_SECONDS:-300}" "${machine[@]}" -accel tcg,thread=single \
	-smp 2 -m 2048 -display none -monitor none -no-reboot -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
	-netdev user,id=nowhere,restrict=on -device virtio-net-pci,netdev=nowhere,rx_queue_size=1024,romfile= \
	-append "console=$tty quiet panic=-1 mitigations=off init_on_alloc=0" \
	-drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" </dev/null >"$work/out" &
pid=$!
status=0
wait "$pid" || status=$?
pid=
sed '/^EXIT [0-9]*$/d' "$work/out"
code=$(sed -n 's/^EXIT \([0-9]*\)$/\1/p' "$work/out" | tail -1)
if [ -z "$code" ]; then
	[ "$status" != 124 ] || echo "vm-run: stopped after ${VM_SECONDS:-300} s" >&2
	echo "vm-run: the kernel's last words:" >&2
	tail -15 "$console" | tr -d '\r' >&2
	exit 125
fi
exit "$code"
