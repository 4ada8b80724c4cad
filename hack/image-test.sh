#!/usr/bin/env bash
# Builds the image of Dockerfile on a Debian 12 of debootstrap's (made once, kept in the cache folder; no image registry is asked),
# and looks whether it works: as its own user, with all libraries, no compiler, time zones. Root. Prints its size.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-image-test}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/memdiag/image
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
work=$(mktemp -d "${TMPDIR:-/var/tmp}/memdiag-image-XXXXXX")
container=""
passed=0 failed=0

buildah() {
	command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}
finish() {
	[ -z "$container" ] || buildah rm "$container" >/dev/null
	rm -rf "$work"
}
trap finish EXIT

check() { # NAME COMMAND...
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "ok image.$name"
		passed=$((passed + 1))
	else
		printf 'FAIL image.%s: %s\n' "$name" "$out"
		failed=$((failed + 1))
	fi
}
inside() { buildah run --isolation chroot "$container" -- "$@"; }

if [ ! -f "$cache/base.tar" ]; then
	mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
		awk '$1 == "Debian" && $2 == "Debian" {print $3; exit}')
	debootstrap --variant=minbase bookworm "$work/base" "$mirror" >"$work/log" || { tail -20 "$work/log" >&2; exit 1; }
	# What the registry's slim image lacks as well.
	rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/* "$work"/base/usr/share/{doc,man,locale}/*
	tar -C "$work/base" -cf "$cache/base.tar.new" .
	mv "$cache/base.tar.new" "$cache/base.tar"
	rm -rf "$work/base"
fi
container=$(buildah from scratch)
buildah add -q "$container" "$cache/base.tar" / >/dev/null
buildah commit -q --rm "$container" localhost/memdiag-base >/dev/null
container=""
buildah bud --isolation chroot --network host --build-arg BASE=localhost/memdiag-base --build-arg VERSION="$version" \
	-t localhost/memdiag:test . >"$work/log" 2>&1 || { tail -30 "$work/log" >&2; exit 1; }
container=$(buildah from localhost/memdiag:test)
root=$(buildah mount "$container")

check version sh -c '[ "$1" = "memdiag $2" ]' sh "$(inside memdiag version)" "$version"
check user sh -c '[ "$1" = 65532 ]' sh "$(inside id -u)"
check libraries sh -c '! chroot "$1" ldd /usr/local/bin/memdiag | grep "not found"' sh "$root"
check checks inside memdiag checks
check time_zones inside memdiag schedule --time-zone Europe/Berlin '0 2 * * *'
check hardening hack/check-hardening.sh "$root/usr/local/bin/memdiag"
check no_compiler sh -c '! ls "$1"/usr/bin/*gcc* "$1"/usr/bin/clang* "$1"/usr/bin/make 2>/dev/null | grep .' sh "$root"
# What is installed beside the base is what the binary is linked with, but for the time zones.
check no_more_than_linked sh -c '
	for package in $(sed -n "s/^ *\(libbpf1 .*\) \\\\$/\1/p" Dockerfile); do
		[ "$package" = tzdata ] && continue
		chroot "$1" dpkg -L "$package" | grep -F .so | xargs -n1 basename | sort -u >"$2"
		chroot "$1" ldd /usr/local/bin/memdiag | awk "{print \$1}" | grep -qxFf "$2" || { echo "$package is not used"; exit 1; }
	done' sh "$root" "$work/names"

size() { du -sm --apparent-size "$1" | cut -f1; }
mkdir "$work/plain"
tar -C "$work/plain" -xf "$cache/base.tar"
echo "image: $(size "$root") MiB, $(($(size "$root") - $(size "$work/plain"))) of these beside its base; memdiag: $(size "$root/usr/local/bin/memdiag") MiB"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
