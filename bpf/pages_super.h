/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Part of every object that names files: a program that tells what a superblock is. */
#ifndef MEMDIAG_BPF_PAGES_SUPER_H
#define MEMDIAG_BPF_PAGES_SUPER_H

#include "compat/file.h"
#include "pages.h"

struct pages_super super; /* see pages.h */

SEC("raw_tp")
int pages_super(BPF_CTX)
{
	struct super_block *sb = (void *)super.address;
	const char *type = BPF_CORE_READ(sb, s_type, name);

	super.magic = BPF_CORE_READ(sb, s_magic);
	super.flags = BPF_CORE_READ(sb, s_flags);
	super.root = (__u64)BPF_CORE_READ(sb, s_root);
	super.dev = BPF_CORE_READ(sb, s_dev);
	super.valid = BPF_CORE_READ(sb, s_root, d_sb) == sb;
	bpf_probe_read_kernel_str(super.type, sizeof(super.type), type);
	bpf_probe_read_kernel_str(super.id, sizeof(super.id),
				  (const char *)sb +
					  bpf_core_field_offset(struct super_block, s_id));
	return 0;
}

#endif
