#!/usr/bin/env bash
# Prints a folder with prometheus and promtool: Debian's package, unpacked and not installed, since that would start a server.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/memdiag/prometheus
if [ ! -x "$cache/usr/bin/promtool" ]; then
	mkdir -p "$cache"
	new=$(mktemp -d "$cache.new-XXXXXX")
	trap 'rm -rf "$new"' EXIT
	(cd "$new" && { apt-get download -qq -o APT::Sandbox::User=root prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root prometheus; }; } >&2)
	dpkg -x "$new"/prometheus_*.deb "$new/unpacked"
	rm -rf "$cache"
	mv "$new/unpacked" "$cache"
fi
printf '%s\n' "$cache/usr/bin"
