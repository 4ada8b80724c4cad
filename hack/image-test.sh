#!/usr/bin/env bash
# Builds the image of Dockerfile with hack/build-image.sh and looks whether it works: as its own user, with all libraries, no
# compiler, time zones. Root. Prints its size.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:-image-test}
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

hack/build-image.sh into "$work" "$version"
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
base=$(buildah from localhost/memdiag-base)
plain=$(buildah mount "$base")
echo "image: $(size "$root") MiB, $(($(size "$root") - $(size "$plain"))) of these beside its base; memdiag: $(size "$root/usr/local/bin/memdiag") MiB"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
