#!/usr/bin/env bash
# Runs each test program, shows what it prints, and counts. Usage: run.sh BUILD_DIR PROGRAM...
# A program that dies or fails counts as failed, whatever it printed. One of tests/integration, which the machine's other work can
# disturb, gets a second try; both are shown, the second counts, and the summary names the program. One of tests/unit gets none.
set -u
# The page scan's test holds 10,000 files open, more than a login allows by default. Never lowered: it may be more already.
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 16384 ] || ulimit -n 16384 2>/dev/null || true
export MEMDIAG_BIN=$1/memdiag
shift
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}

# Of cmocka's summary the number behind this word: how many tests; 0 when there is no such line.
number() {
	local n
	n=$(printf '%s\n' "$out" | sed -n "s/^\[ *$1 *\].* \([0-9]*\) test.*/\1/p" | tail -1)
	echo "${n:-0}"
}

# Sets status, p, f, k: exit status, tests that passed, failed, were skipped. False when the program did not pass.
try() {
	local out
	out=$("$1" 2>&1)
	status=$?
	printf '%s\n' "$out" | grep -vE '^\[ (RUN|      OK) '
	p=$(number PASSED) f=$(number FAILED) k=$(number SKIPPED)
	[ "$status" = 0 ] && [ "$p" != 0 ]
}

passed=0 failed=0 skipped=0 bad=() again=()
for program in "$@"; do
	name=${program##*/}
	printf '== %s\n' "${program#build/*/}"
	if ! try "$program" && [[ $program == */integration/* ]]; then
		again+=("$name (exit $status)")
		printf '== %s: second try\n' "${program#build/*/}"
		try "$program"
	fi
	skipped=$((skipped + k)) passed=$((passed + p)) failed=$((failed + f))
	if [ "$status" != 0 ] || [ "$p" = 0 ]; then
		bad+=("$name (exit $status)")
		[ "$f" != 0 ] || failed=$((failed + 1))
	fi
done
[ ${#bad[@]} = 0 ] || printf 'not passed: %s\n' "${bad[@]}"
[ ${#again[@]} = 0 ] || printf 'second try: %s\n' "${again[@]}"
[ "$skipped" = 0 ] || printf 'skipped (the lines above say why): %d\n' "$skipped"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
