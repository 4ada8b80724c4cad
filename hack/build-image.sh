#!/usr/bin/env bash
# Builds the image of Dockerfile on a Debian 12 of debootstrap's (made once, kept in the cache folder; no image registry is asked).
#
#   hack/build-image.sh into STORAGE VERSION    as localhost/memdiag:test, for `buildah --root STORAGE/storage --runroot STORAGE/run`
#   hack/build-image.sh archive                 prints the path of a docker-archive with memdiag:dev, built when the sources changed
#
# Root. Some minutes: packages come from Debian's mirror.
set -euo pipefail
cd "$(dirname "$0")/.."
. hack/debian.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/memdiag/image

storage() { # STORAGE ARGUMENT...
	local work=$1
	shift
	buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"
}

make_base() { # WORK
	local work=$1
	debootstrap --variant=minbase bookworm "$work/base" "$(debian_mirror)" >"$work/log" || { tail -20 "$work/log" >&2; exit 1; }
	# What the registry's slim image lacks as well.
	rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/* "$work"/base/usr/share/{doc,man,locale}/*
	tar -C "$work/base" -cf "$cache/base.tar.new" .
	mv "$cache/base.tar.new" "$cache/base.tar"
	rm -rf "$work/base"
}

into() { # WORK VERSION
	local work=$1 version=$2 container
	[ -f "$cache/base.tar" ] || make_base "$work"
	container=$(storage "$work" from scratch)
	storage "$work" add -q "$container" "$cache/base.tar" / >/dev/null
	storage "$work" commit -q --rm "$container" localhost/memdiag-base >/dev/null
	storage "$work" bud --isolation chroot --network host --build-arg BASE=localhost/memdiag-base --build-arg VERSION="$version" \
		-t localhost/memdiag:test . >"$work/log" 2>&1 || { tail -30 "$work/log" >&2; exit 1; }
}

# What .dockerignore lets in, and what says how to build it.
sources() {
	git ls-files -z --cached --others --exclude-standard Dockerfile LICENSE Makefile agent bpf hack/install-deps.sh hack/build-image.sh |
		sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16
}

archive() {
	local file
	file=$cache/memdiag-$(sources).tar
	if [ ! -f "$file" ]; then
		echo "build-image: building the image (minutes)" >&2
		work=$(mktemp -d "${TMPDIR:-/var/tmp}/memdiag-image-XXXXXX") # global: the trap is run outside of this function
		trap 'rm -rf "$work"' EXIT
		into "$work" dev
		rm -f "$cache"/memdiag-*.tar # of other sources
		# The name as a runtime completes what the manifests say.
		storage "$work" push -q localhost/memdiag:test "docker-archive:$work/image.tar:docker.io/library/memdiag:dev" >&2
		mv "$work/image.tar" "$file"
	fi
	printf '%s\n' "$file"
}

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
"$@"
