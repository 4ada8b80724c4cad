/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the findings PageCacheHigh and SharedMemoryHigh have in common: a cgroup holds much of one kind of memory.
 */
#ifndef MEMDIAG_CHECKS_CACHE_FINDING_H
#define MEMDIAG_CHECKS_CACHE_FINDING_H

#include "checks/cache_rows.h"
#include "report/hints.h"

/* A cgroup that is above a threshold. */
struct cache_case {
	const struct cache_facts *facts;
	const struct pages_memcg *memcg;
	const struct cgroup_usage *usage;
	const struct pages_file *top; /* its largest file of this kind; NULL: not resolved */
	uint64_t bytes;		      /* what it holds */
	uint64_t whole; /* what percentages are of: its limit, else the node's memory */
};

/*
 * Fills *c for memcg i and returns the severity of its bytes under reason; SEVERITY_NONE: nothing to report.
 */
enum severity cache_case_open(const struct cache_facts *facts, size_t i, bool shmem,
			      const char *reason, struct cache_case *c);

/* "89 % of its memory limit of 256Mi", "20 % of the node's memory". The caller frees it. */
char *cache_case_share(const struct cache_case *c);

/* Subject, bytes and the common evidence. */
void cache_case_fill(const struct cache_case *c, struct finding *finding);
/* Conditions and names that the rules of both reasons use. */
void cache_case_hint_facts(const struct cache_case *c, struct hint_facts *facts);

#endif
