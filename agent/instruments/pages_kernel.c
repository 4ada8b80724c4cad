/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF object: whether it can be loaded, loading it, running its programs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "../bpf/pages.h"
#include "pages.skel.h"

#include "instruments/bpf_load.h"
#include "instruments/host.h"
#include "instruments/pages_internal.h"

int pages_probe(const struct root *proc, struct err *err)
{
#if !defined(__x86_64__) && !defined(__aarch64__)
	return err_say(err, EOPNOTSUPP,
		       "the page scan knows the virtual memory map of x86_64 and arm64 only");
#endif
	return bpf_probe(proc, err);
}

_Static_assert(PAGES_MAX_MEMCG_IDS == PAGES_WANTED, "the ids of a filter fit");

static int by_id(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void set_filter(struct pages_filter *f, const uint64_t *ids, size_t n)
{
	/* No kernfs node has the id of all ones. */
	memset(f->ids, 0xff, sizeof(f->ids));
	memcpy(f->ids, ids, n * sizeof(*ids));
	qsort(f->ids, n, sizeof(*f->ids), by_id);
	f->none_wanted = f->ids[0] == 0;
	f->last_wanted = f->none_wanted;
}

int pages_kernel_load(struct pages_kernel *k, const uint64_t *ids, size_t n, struct err *err)
{
	struct bpf_load load = bpf_load_begin();
	BPF_OPEN_OPTS(opts);
	struct pages_bpf *skel = pages_bpf__open_opts(&opts);
	int r = skel ? 0 : -errno;

	if (skel) {
		skel->rodata->filter_on = n > 0;
		r = pages_bpf__load(skel);
	}
	r = bpf_load_end(&load, r, "the page scan", err);
	if (r < 0) {
		pages_bpf__destroy(skel);
		return r;
	}
	if (n > 0)
		set_filter(&skel->bss->filter, ids, n);
	k->skel = skel;
	return 0;
}

void pages_kernel_unload(struct pages_kernel *k)
{
	pages_bpf__destroy(k->skel);
	k->skel = NULL;
}

static const struct bpf_program *program_of(const struct pages_bpf *skel,
					    enum pages_program program)
{
	switch (program) {
	case PAGES_PROGRAM_SCAN:
		return skel->progs.pages_scan;
	case PAGES_PROGRAM_CHECK:
		return skel->progs.pages_check;
	case PAGES_PROGRAM_PARENT:
		return skel->progs.pages_parent;
	case PAGES_PROGRAM_DENTRY:
		return skel->progs.pages_dentry;
	case PAGES_PROGRAM_INODE:
		return skel->progs.pages_inode;
	case PAGES_PROGRAM_SUPER:
		return skel->progs.pages_super;
	case PAGES_PROGRAM_GROUP:
		break;
	}
	return skel->progs.pages_group;
}

int64_t pages_kernel_run(struct pages_kernel *k, enum pages_program program)
{
	return bpf_run(program_of(k->skel, program), &k->calls);
}

struct pages_anchor_programs pages_kernel_anchor(struct pages_kernel *k)
{
	return (struct pages_anchor_programs)PAGES_ANCHOR_PROGRAMS(k->skel, &k->calls);
}
