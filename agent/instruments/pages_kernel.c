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

#include "base/cleanup.h"
#include "base/num.h"
#include "instruments/bpf_load.h"
#include "instruments/host.h"
#include "instruments/pages_internal.h"

#define KERNEL_LOCKDOWN "/sys/kernel/security/lockdown"

/* From linux/capability.h, whose older versions lack two of them. */
#define BIT_SYS_ADMIN (1ULL << 21)
#define BIT_PERFMON   (1ULL << 38)
#define BIT_BPF	      (1ULL << 39)

static int effective_caps(const struct root *proc, uint64_t *ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(65536);
	const char *at;
	size_t n;
	int r = root_read(proc, "self/status", &text, err);

	if (r < 0)
		return r;
	at = text.data ? strstr(text.data, "\nCapEff:") : NULL;
	if (!at)
		return err_say(err, EIO, "%s/self/status has no CapEff", proc->path);
	at += strlen("\nCapEff:");
	at += strspn(at, " \t");
	n = strcspn(at, "\n");
	if (num_hex(at, n, ret) < 0)
		return err_say(err, EIO, "%s/self/status: CapEff is no number", proc->path);
	return 0;
}

static bool locked_down(void)
{
	_cleanup_fclose_ FILE *f = fopen(KERNEL_LOCKDOWN, "re");
	char line[128];

	return f && fgets(line, sizeof(line), f) && strstr(line, "[confidentiality]");
}

int pages_probe(const struct root *proc, struct err *err)
{
	uint64_t caps = 0;
	int r;

#if !defined(__x86_64__) && !defined(__aarch64__)
	return err_say(err, EOPNOTSUPP,
		       "the page scan knows the virtual memory map of x86_64 and arm64 only");
#endif
	if (access(HOST_KERNEL_BTF, R_OK) < 0)
		return err_say(err, EOPNOTSUPP, "the kernel has no BTF (%s: %s)", HOST_KERNEL_BTF,
			       strerror(errno));
	if (locked_down())
		return err_say(err, EPERM, "kernel lockdown is in confidentiality mode");
	r = effective_caps(proc, &caps, err);
	if (r < 0)
		return r;
	if (caps & BIT_SYS_ADMIN)
		return 0;
	if (!(caps & BIT_BPF) || !(caps & BIT_PERFMON))
		return err_say(err, EPERM, "missing capability:%s%s",
			       caps & BIT_BPF ? "" : " CAP_BPF",
			       caps & BIT_PERFMON ? "" : " CAP_PERFMON");
	return 0;
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
	return (struct pages_anchor_programs){
		.anchor = &k->skel->bss->anchor,
		.by_file = k->skel->progs.pages_anchor,
		.by_zones = k->skel->progs.pages_zones,
		.calls = &k->calls,
	};
}
