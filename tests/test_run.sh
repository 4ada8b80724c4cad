#!/usr/bin/env bash
# What run.sh makes of programs that pass, fail, fail once, or die. Prints nothing when all is right.
set -uo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/unit" "$dir/integration"

# program NAME TRY...: each try is "PASSED FAILED EXIT"; the last one is repeated.
program() {
	local file=$dir/$1
	shift
	printf '%s\n' "$@" >"$file.tries"
	cat >"$file" <<'END'
#!/bin/bash
read -r passed failed status <"$0.tries"
[ "$(wc -l <"$0.tries")" = 1 ] || sed -i 1d "$0.tries"
echo "said with $status"
[ "$passed" = 0 ] || echo "[  PASSED  ] $passed test(s)."
[ "$failed" = 0 ] || echo "[  FAILED  ] $failed test(s), listed below:"
exit "$status"
END
	chmod +x "$file"
}

# expect STATUS LINES PROGRAM...: run.sh ends with it, and these are the last lines that it prints.
expect() {
	local want=$1 lines=$2 out status
	shift 2
	out=$("$(dirname "$0")/run.sh" "$dir" "${@/#/$dir/}" 2>&1)
	status=$?
	if [ "$status" != "$want" ] || [ "$(tail -n "$(wc -l <<<"$lines")" <<<"$out")" != "$lines" ]; then
		printf 'run.sh %s: exit status %d, wanted %d with\n%s\nit printed\n%s\n' "$*" "$status" "$want" "$lines" "$out" |
			sed 's/^/    /'
		exit 1
	fi
}

program unit/good "3 0 0"
program integration/good "2 0 0"
expect 0 "5 passed, 0 failed" unit/good integration/good

# A unit test that fails once has failed.
program unit/once "2 1 1" "3 0 0"
expect 1 $'not passed: once (exit 1)\n2 passed, 1 failed' unit/once

program integration/once "2 1 1" "3 0 0"
expect 0 $'said with 1
[  PASSED  ] 2 test(s).
[  FAILED  ] 1 test(s), listed below:
== '"$dir"$'/integration/once: second try
said with 0
[  PASSED  ] 3 test(s).
second try: once (exit 1)
3 passed, 0 failed' integration/once

program integration/twice "2 1 1" "2 1 3"
expect 1 $'not passed: twice (exit 3)\nsecond try: twice (exit 1)\n2 passed, 1 failed' integration/twice

# Dies before it says anything; says that it passed, and dies: a leak.
program integration/dies "0 0 139"
expect 1 $'not passed: dies (exit 139)\nsecond try: dies (exit 139)\n3 passed, 1 failed' unit/good integration/dies
program unit/leaks "3 0 1"
expect 1 $'not passed: leaks (exit 1)\n3 passed, 1 failed' unit/leaks
program unit/none "0 0 0"
expect 1 $'not passed: none (exit 0)\n0 passed, 1 failed' unit/none
