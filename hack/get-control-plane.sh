#!/usr/bin/env bash
# Prints a folder that holds etcd, kube-apiserver, kubectl and what the arguments name besides (kube-controller-manager,
# kube-scheduler, kubelet): $KUBEBUILDER_ASSETS when it has them all, else one that is filled once and then reused. etcd
# comes from Debian's etcd-server, kubectl from PATH, and what is missing is built from hack/controlplane/go.mod (about
# 5 minutes on 2 cores the first time, 3 more for the other three).
set -euo pipefail

version=1.36.2
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/memdiag/control-plane-$version

say() { printf '%s\n' "get-control-plane: $*" >&2; }

has_all() { # FOLDER PROGRAM...
	local folder=$1 program
	shift
	for program in "$@"; do
		[ -x "$folder/$program" ] || return 1
	done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && has_all "$KUBEBUILDER_ASSETS" etcd kube-apiserver kubectl "$@"; then
	printf '%s\n' "$KUBEBUILDER_ASSETS"
	exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/.lock" # two test runs must not build into one folder at once
flock 9

# A build that is cut off must not leave half a binary behind: build beside, then rename.
go_build() {
	command -v go >/dev/null || {
		say "Go 1.21 or later is needed (it fetches the version that go.mod asks for); Debian 12's own is older"
		exit 1
	}
	say "building $1 $version (minutes the first time)"
	(cd "$here/controlplane" && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath \
		-ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36" \
		-o "$cache/$1.new" "k8s.io/kubernetes/cmd/$1")
	mv "$cache/$1.new" "$cache/$1"
}

for program in kube-apiserver "$@"; do
	[ -x "$cache/$program" ] || go_build "$program"
done
if [ ! -x "$cache/kubectl" ]; then
	if kubectl=$(command -v kubectl); then
		ln -sf "$kubectl" "$cache/kubectl"
	else
		go_build kubectl
	fi
fi
if [ ! -x "$cache/etcd" ]; then
	etcd=$(command -v etcd) || { say "etcd is missing: run 'make deps'"; exit 1; }
	ln -sf "$etcd" "$cache/etcd"
fi
printf '%s\n' "$cache"
