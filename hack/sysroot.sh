#!/usr/bin/env bash
# Prints the folder with Debian 12's libraries of another architecture, to build for it: `hack/sysroot.sh arm64`. Filled once from the
# Debian mirror that this machine's apt uses already, with an apt state of our own, and then reused: nothing of the machine's changes,
# and it need not know the architecture. Remove the folder to take newer packages.
set -euo pipefail

arch=${1:?sysroot.sh ARCHITECTURE, as Debian names it}
cd "$(dirname "$0")/.."
packages=$(hack/install-deps.sh --list sysroot)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/memdiag/sysroot
. hack/debian.sh

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
if [ "$(cat "$cache/$arch/packages" 2>/dev/null)" != "$packages" ]; then
	state=$(mktemp -d "$cache/.new-XXXXXX")
	trap 'rm -rf "$state"' EXIT
	mkdir -p "$state/root/usr/lib"
	private_apt_init "$state" "$(debian_mirror)" bookworm
	sysroot_apt() { private_apt "$state" "$arch" apt-get -y -o Debug::NoLocking=1 "$@"; }
	if ! { sysroot_apt update -o APT::Update::Error-Mode=any &&
		sysroot_apt install --download-only --no-install-recommends $packages; } >"$state/log" 2>&1; then
		tail -5 "$state/log" >&2
		exit 1
	fi
	ln -s usr/lib "$state/root/lib" # as where /usr is merged: libraries are in both
	for deb in "$state"/cache/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -C "$state/root" -x --keep-directory-symlink
	done
	mkdir -p "$state/kept"/{usr,bin}
	mv "$state/root/usr/lib" "$state/root/usr/include" "$state/kept/usr/"
	mv "$state/root/bin/busybox" "$state/kept/bin/"
	ln -s usr/lib "$state/kept/lib"
	# An absolute link would lead out of the folder.
	find "$state/kept" -type l -lname '/*' -printf '%p %l\n' | while read -r link target; do
		ln -sfnr "$state/kept$target" "$link"
	done
	printf '%s\n' "$packages" >"$state/kept/packages"
	rm -rf "${cache:?}/$arch"
	mv "$state/kept" "$cache/$arch"
fi
printf '%s\n' "$cache/$arch"
