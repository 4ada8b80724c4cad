/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What compaction.bpf.c and user space share. */
#ifndef MEMDIAG_BPF_COMPACTION_H
#define MEMDIAG_BPF_COMPACTION_H

enum compaction_cause {
	COMPACTION_SUCCESS, /* direct, and the piece that was asked for is there; target: its order */
	COMPACTION_FAILURE, /* direct, in vain */
	COMPACTION_DEFERRED, /* direct, but not even tried: it failed too often before. Takes no time */
	COMPACTION_KCOMPACTD, /* in the background, a zone at a time */
	COMPACTION_MANUAL,    /* somebody wrote to vm.compact_memory, a zone at a time */
	COMPACTION_CAUSES
};

struct compaction_counters {
	__u64 lost;	  /* events in no row: the table was full */
	__u64 lost_tasks; /* events not timed: no memory to remember their begin */
};

#endif
