/* SPDX-License-Identifier: Apache-2.0 */
/* Observing, and reading what judging compaction latency needs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "checks/compaction_latency.h"
#include "instruments/bpf_load.h"

/* sysfs is the host's in every container. */
#define THP "/sys/kernel/mm/transparent_hugepage"

/* Between start and finish. */
struct observation {
	struct captures *captures;
	struct compaction *compaction;
	struct latency_snapshot *before;
	struct pressure_vmstat vmstat;
};

static void stop(void *self)
{
	struct observation *o = self;

	if (!o)
		return;
	captures_release(o->captures, CAPTURE_COMPACTION);
	latency_snapshot_free(o->before);
	free(o);
}

static int start(const struct check_env *env, void **ret_self, struct err *err)
{
	struct observation *o = xcalloc(1, sizeof(*o));
	struct parse_notes notes = {0};
	void *self = NULL;
	int r = captures_hold(env->captures, CAPTURE_COMPACTION, &self, err);

	if (r < 0) {
		free(o);
		return r;
	}
	o->captures = env->captures;
	o->compaction = self;
	pressure_read_vmstat(&env->host->proc, &o->vmstat, &notes);
	r = compaction_read(o->compaction, &o->before, err);
	if (r < 0) {
		stop(o);
		return r;
	}
	*ret_self = o;
	return 0;
}

void compaction_parse_choice(const char *text, char *out, size_t n)
{
	const char *begin = strchr(text, '[');
	size_t len = begin ? strcspn(begin + 1, "]\n") : 0;

	out[0] = '\0';
	if (len > 0 && len < n && begin[1 + len] == ']') {
		memcpy(out, begin + 1, len);
		out[len] = '\0';
	}
}

/* What remedies are about; what is missing is not proposed. */
static void read_settings(const struct host *host, struct compaction_facts *facts)
{
	_cleanup_root_ struct root thp = ROOT_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT(4096);
	unsigned long long value = 0;

	facts->proactiveness = UINT64_MAX;
	if (root_read_u64(&host->proc, "sys/vm/compaction_proactiveness", &value, NULL) == 0)
		facts->proactiveness = value;
	facts->huge_order = 9; /* with pages of 4 KiB */
	if (root_open(&thp, THP, NULL) < 0)
		return;
	if (root_read(&thp, "defrag", &text, NULL) == 0 && text.data)
		compaction_parse_choice(text.data, facts->defrag, sizeof(facts->defrag));
	if (root_read_u64(&thp, "hpage_pmd_size", &value, NULL) == 0 && value > 0) {
		unsigned long pages = (unsigned long)value / (unsigned long)sysconf(_SC_PAGESIZE);

		for (facts->huge_order = 0; pages > 1; pages /= 2)
			facts->huge_order++;
	}
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	const struct observation *o = self;
	struct compaction_facts facts = {.spec = env->spec};
	struct latency_snapshot *after = NULL, *diff;
	struct latency_rows *rows = NULL;
	struct parse_notes notes = {0};
	int r = compaction_read(o->compaction, &after, err);

	if (r < 0)
		return r;
	pressure_read_vmstat(&env->host->proc, &facts.vmstat, &notes);
	facts.vmstat.compact_stall -= o->vmstat.compact_stall;
	facts.vmstat.compact_fail -= o->vmstat.compact_fail;
	facts.vmstat.compact_success -= o->vmstat.compact_success;
	pressure_read_zones(&env->host->proc, &facts.zones, &notes);
	read_settings(env->host, &facts);
	diff = latency_diff(o->before, after);
	r = latency_rows_read(env, &env->host->cgroups, diff, &compaction_words, &rows, err);
	if (r == 0) {
		facts.rows = rows;
		compaction_judge(&facts, result);
	}
	latency_rows_free(rows);
	latency_snapshot_free(diff);
	latency_snapshot_free(after);
	return r;
}

const struct check check_compaction_latency = {
	.type = CHECK_COMPACTION_LATENCY,
	.needs = "BPF tracepoints: BTF, CAP_BPF, CAP_PERFMON",
	.probe = check_probe_bpf,
	.captures = true,
	.start = start,
	.finish = finish,
	.stop = stop,
};
