#!/usr/bin/env bash
# Runs each fuzzer for some seconds, from the seeds in corpus/ and from what it found in earlier runs (kept beside the
# program). Usage: run.sh SECONDS PROGRAM... An input that fails is kept, too, and named.
set -u
seconds=$1
shift
seeds=$(dirname "$0")/corpus
passed=0 failed=0
for program in "$@"; do
	name=${program##*/fuzz_}
	mkdir -p "$program.corpus"
	if out=$("$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$program." \
		"$program.corpus" "$seeds/$name" 2>&1); then
		printf '%-12s %s\n' "$name" "$(printf '%s\n' "$out" | tail -1)"
		passed=$((passed + 1))
	else
		printf '%s\n' "$out" | tail -40
		printf '%-12s FAILED\n' "$name"
		failed=$((failed + 1))
	fi
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
