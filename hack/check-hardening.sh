#!/usr/bin/env bash
# Whether a program is built as `make build` means it: PIE, full RELRO, no executable stack, stack protector, FORTIFY, and
# nothing that could start another program. Usage: check-hardening.sh PROGRAM
set -euo pipefail
export LC_ALL=C
program=${1:?usage: check-hardening.sh PROGRAM}
failed=0
header=$(readelf -hlW "$program")
dynamic=$(readelf -dW "$program")
imports=$(nm -D --undefined-only "$program" | awk '{sub(/@.*/, "", $NF); print $NF}')

must() { # WHAT TEXT PATTERN
	grep -qE "$3" <<<"$2" || { echo "hardening: $program: no $1"; failed=1; }
}
must_not() { # WHAT TEXT PATTERN
	local hits
	hits=$(grep -E "$3" <<<"$2") || return 0
	echo "hardening: $program: $1: $(tr '\n' ' ' <<<"$hits")"
	failed=1
}

must "position-independent executable" "$dynamic" 'FLAGS_1.*\<PIE\>'
must "RELRO segment" "$header" 'GNU_RELRO'
must "immediate binding (full RELRO)" "$dynamic" 'BIND_NOW|\<NOW\>'
must "stack without execution" "$header" 'GNU_STACK.* RW +0x'
must_not "segment that is writable and executable" "$header" 'LOAD.* RWE +0x'
must_not "relocations in code" "$dynamic" 'TEXTREL'
must_not "path of libraries of its own" "$dynamic" 'RPATH|RUNPATH'
must "stack protector" "$imports" '^__stack_chk_fail$'
must "FORTIFY" "$imports" '^__(vsn|sn|f)?printf_chk$'
must_not "starts other programs" "$imports" '^(system|popen|wordexp|v?fork|_Fork|exec[lv]p?e?|f?execve(at)?|posix_spawnp?)$'
must_not "loads code at run time" "$imports" '^dl(m?open|sym)$'

exit "$failed"
