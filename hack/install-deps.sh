#!/usr/bin/env bash
# Installs the Debian packages of the groups named, those that are missing only; with nothing missing it asks no network.
# install-deps.sh --list GROUP... prints them instead.
set -euo pipefail

declare -A group=(
	[build]="gcc make git pkg-config clang llvm bpftool libbpf-dev libelf-dev zlib1g-dev libcurl4-openssl-dev libcjson-dev libyaml-dev protobuf-c-compiler libprotobuf-c-dev libmicrohttpd-dev libmnl-dev libc6-dev linux-libc-dev"
	[test]="libcmocka-dev openssl tzdata stress-ng"
	[lint]="clang-format cppcheck bear python3"
	[e2e]="etcd-server openssl curl python3 lua5.1 bpftool tzdata faketime"
	[containers]="containerd runc busybox-static curl python3"
	[image]="buildah debootstrap"
	[cluster]="containernetworking-plugins iproute2"
	[vm]="qemu-system-x86 busybox-static cpio e2fsprogs kmod xz-utils zstd debian-archive-keyring python3"
	[fuzz]="clang libclang-rt-14-dev"
	# For another architecture: the compiler and the emulator here, libraries in a folder (hack/sysroot.sh).
	[arm64]="gcc-aarch64-linux-gnu debian-archive-keyring"
	[vm-arm64]="qemu-system-arm"
	[sysroot]="libbpf-dev libelf-dev zlib1g-dev libcurl4-openssl-dev libcjson-dev libyaml-dev libprotobuf-c-dev libmicrohttpd-dev libmnl-dev libc6-dev linux-libc-dev libcmocka-dev busybox-static"
)

if [ "${1:-}" = --list ]; then
	shift
	for name in "$@"; do
		echo "${group[$name]:?no such group}"
	done
	exit 0
fi

missing=()
for name in "$@"; do
	for package in ${group[$name]:?no such group}; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
		[ "$status" = installed ] || missing+=("$package")
	done
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "install-deps: missing packages; run: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
	exit 1
fi
echo "install-deps: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || {
	tail -20 "$log" >&2
	exit 1
}
