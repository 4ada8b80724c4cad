#!/usr/bin/env bash
# Runs each test program, shows what it prints, and counts. Usage: run.sh BUILD_DIR PROGRAM...
# A program that dies or fails counts as failed, whatever it printed.
set -u
# The page scan's test holds 10,000 files open, more than a login allows by default. Never lowered: it may be more already.
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 16384 ] || ulimit -n 16384 2>/dev/null || true
export MEMDIAG_BIN=$1/memdiag
shift
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
passed=0 failed=0 skipped=0 bad=()
for program in "$@"; do
	printf '== %s\n' "${program#build/*/}"
	out=$("$program" 2>&1)
	status=$?
	printf '%s\n' "$out" | grep -vE '^\[ (RUN|      OK) '
	p=$(printf '%s\n' "$out" | sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' | tail -1)
	f=$(printf '%s\n' "$out" | sed -n 's/^\[  FAILED  \].* \([0-9]*\) test.*/\1/p' | tail -1)
	k=$(printf '%s\n' "$out" | sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' | tail -1)
	skipped=$((skipped + ${k:-0}))
	passed=$((passed + ${p:-0}))
	failed=$((failed + ${f:-0}))
	if [ "$status" != 0 ] || [ "${p:-0}" = 0 ]; then
		bad+=("${program##*/} (exit $status)")
		[ "${f:-0}" != 0 ] || failed=$((failed + 1))
	fi
done
[ ${#bad[@]} = 0 ] || printf 'not passed: %s\n' "${bad[@]}"
[ "$skipped" = 0 ] || printf 'skipped (the lines above say why): %d\n' "$skipped"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
