#!/usr/bin/env bash
# Prints "SUITE FOLDER" for each Debian kernel that `make vmtest` boots, newest last. A folder holds vmlinuz, the modules of
# $wanted in modules/ in the order they are loaded, and the version; it is filled once and then reused (delete the suite's
# link beside it to take what is newest again). A suite is Debian's, with -arm64 behind it that architecture's kernel, and with
# -arm64-16k the one that has pages of 16 KiB. Packages come from the Debian mirror that this machine's apt uses already, with an
# apt state of our own: nothing of the machine's changes. A suite that cannot be had is said in one line and left out.
set -euo pipefail

# 5.10, 6.1, 6.12 and the newest there is.
suites=${*:-bullseye bookworm bookworm-backports sid}
# A disk, and what the kernel would load itself for who asks about sockets; the machine has no modprobe.
basic="virtio_pci virtio_blk ext4 af_packet af_packet_diag unix_diag inet_diag tcp_diag udp_diag raw_diag netlink_diag"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/memdiag/kernels

say() { printf '%s\n' "vm-kernels: $*" >&2; }

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
state=$(mktemp -d "$cache/.new-XXXXXX")
trap 'rm -rf "$state"' EXIT

. "$(dirname "$0")/debian.sh"
mirror=$(debian_mirror)

# Sets what is taken of $suite. The cloud flavour is the same kernel with a fifth of the drivers; one suite has all of them, for
# devices that are software alone: a GPU without hardware, RDMA over Ethernet (it asks the kernel's crypto for crc32).
choose() {
	release=${suite%%-arm64*} arch=$(dpkg --print-architecture)
	[ "$release" = "$suite" ] || arch=arm64
	flavour=cloud-$arch
	wanted=$basic
	if [ "$suite" != "${suite%-16k}" ]; then
		flavour=$arch-16k # there is no cloud flavour of it
	elif [ "$release" = bookworm ]; then
		flavour=$arch
		wanted="$basic vgem crc32_generic rdma_rxe"
	elif [ "$release" = sid ]; then
		wanted="$basic virtio_net" # its receive buffers are a page pool there
	fi
}

# What apt says is kept for the line that reports a suite.
suite_apt() { private_apt "$state/$suite" "$arch" "$@" 2>>"$state/$suite/log"; }

update() {
	mkdir -p "$state/$suite/unpacked"
	private_apt_init "$state/$suite" "$mirror" "$release"
	suite_apt apt-get update -o APT::Update::Error-Mode=any
}

# The packages that a kernel is made of: since 6.17 the image only depends on them.
depends_on() { suite_apt apt-cache depends "$1" | grep -oE ' linux-(image|binary|modules|base)-[0-9][^ ]*' | tr -d ' ' | sort -u; }

download() {
	local image deb
	image=$(depends_on "linux-image-$flavour" | grep -m1 linux-image-)
	(cd "$state/$suite" && suite_apt apt-get download "$image" $(depends_on "$image"))
	for deb in "$state/$suite"/*.deb; do
		dpkg-deb -x "$deb" "$state/$suite/unpacked"
	done
}

# The disk's modules only, unpacked, with names that sort in the order in which they are loaded.
keep_what_is_needed() {
	local root=$state/$suite/unpacked out=$state/$suite/kept modules version n=0 verb file
	mkdir -p "$out/modules"
	[ -d "$root/lib/modules" ] || ln -s usr/lib "$root/lib" # where /usr is merged
	modules=$(echo "$root"/lib/modules/*)
	version=${modules##*/}
	cp "$root/boot/vmlinuz-$version" "$out/vmlinuz" 2>/dev/null || cp "$modules/vmlinuz" "$out/vmlinuz"
	printf '%s\n' "$version" >"$out/version"
	printf '%s\n' "$wanted" >"$out/wanted"
	depmod -b "$root" "$version" 2>>"$state/$suite/log"
	# What is built in is listed as such or not at all; vm-run.sh says so if it has no disk.
	modprobe -d "$root" -S "$version" --show-depends -a $wanted >"$state/$suite/order" 2>>"$state/$suite/log" || true
	while read -r verb file _; do
		[ "$verb" = insmod ] || continue
		n=$((n + 1))
		case $file in
		*.xz) xz -dc "$file" ;;
		*.zst) zstd -dcq "$file" ;;
		*) cat "$file" ;;
		esac >"$out/modules/$(printf %02d $n)-$(basename "$file" | sed 's/\.ko.*//').ko"
	done < <(awk '!seen[$0]++' "$state/$suite/order")
	rm -rf "${cache:?}/$version"
	mv "$out" "$cache/$version"
	ln -sfn "$version" "$cache/$suite"
}

for suite in $suites; do
	choose
	if [ "$(cat "$cache/$suite/wanted" 2>/dev/null)" != "$wanted" ]; then
		mkdir -p "$state/$suite"
		if [ -z "$mirror" ]; then
			say "$suite: apt has no Debian mirror here; kernel left out"
			continue
		fi
		set +e # within a condition the subshell would go on after a failure
		(set -e; update; download; keep_what_is_needed) 2>>"$state/$suite/log"
		status=$?
		set -e
		if [ "$status" != 0 ]; then
			say "$suite: kernel left out: $(grep -v '^ ' "$state/$suite/log" | tail -1)"
			continue
		fi
	fi
	printf '%s %s\n' "$suite" "$(readlink -f "$cache/$suite")"
done
