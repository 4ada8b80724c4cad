#!/usr/bin/env bash
# What `make lint` checks: formatting, cppcheck, functions we do not call, lengths. Exits non-zero on the first three.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
say() { printf '%s\n' "lint: $*"; }

mapfile -t c_files < <(git ls-files --cached --others --exclude-standard '*.c' '*.h')
mapfile -t product < <(printf '%s\n' "${c_files[@]}" | grep -E '^(agent|bpf)/')
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard '*.sh' .ci/run)

clang-format --dry-run --Werror "${c_files[@]}" || { say "formatting differs: run make fmt"; failed=1; }

cppcheck --quiet --std=c11 --language=c --inline-suppr --error-exitcode=1 \
	--enable=warning,performance,portability --suppress=missingIncludeSystem --suppress=missingInclude \
	--suppress=normalCheckLevelMaxBranches --suppress=unknownMacro -D_GNU_SOURCE -D__linux__ \
	-Iagent $(printf '%s\n' "${product[@]}" | grep '^agent/.*\.c$') || { say "cppcheck found faults"; failed=1; }

# Unbounded copies, locale-dependent or unchecked numbers, state hidden in statics, shells.
banned='atoi|atol|atoll|atof|strtok|strtok_r|sprintf|vsprintf|strcpy|strcat|stpcpy|gets|system|popen|mktemp|tmpnam|strtol|strtoul|strtoll|strtoull|sscanf|alloca|signal_handler|asctime|ctime|gmtime|localtime|rand|srand|usleep'
hits=$(grep -nE "(^|[^a-zA-Z0-9_])($banned) *\(" "${product[@]}" | grep -vE ':[0-9]+:[[:space:]]*(/\*|\*|//)')
if [ -n "$hits" ]; then
	printf '%s\n' "$hits"
	say "functions that are banned in the product (see CONTRIBUTING.md)"
	failed=1
fi

for script in "${scripts[@]}"; do
	bash -n "$script" || failed=1
done

# A smell, not a fault: reported so that a reader asks whether it is still one subject.
printf '%s\n' "${product[@]}" | xargs wc -l | awk '$2 != "total" && $1 > 400 {printf "lint: long file %s (%d lines)\n", $2, $1}'
awk 'FNR == 1 {inside = 0}
	/^[a-zA-Z_].*[(,]/ {name = $0}
	/^\{/ {inside = 1; start = FNR}
	/^\}/ {if (inside && FNR - start > 60) printf "lint: long function %s:%d (%d lines)\n", FILENAME, start, FNR - start; inside = 0}' \
	"${product[@]}"

[ "$failed" = 0 ] && say "ok (${#c_files[@]} C files)"
exit "$failed"
