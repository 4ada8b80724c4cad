/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Files: mappings, inodes, their names, the filesystems that they are of, and who has them open. */
#ifndef MEMDIAG_BPF_COMPAT_FILE_H
#define MEMDIAG_BPF_COMPAT_FILE_H

#include "compat/base.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct xarray {
	void *xa_head;
};

struct address_space {
	struct inode *host;
	struct xarray i_pages;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	struct list_head s_list;
	__u32 s_dev;
	struct file_system_type *s_type;
	unsigned long s_flags;
	unsigned long s_magic;
	struct dentry *s_root;
	struct list_head s_inodes;
	char s_id[32];
};

/* i_state is a number up to 6.17, then an enumeration, then (7.0) a structure with one member; its bits moved meanwhile. */
struct inode___long {
	unsigned long i_state;
};

struct inode___int {
	unsigned int i_state;
};

enum inode_state_flags_t {
	I_CLEAR___t = 0,
};

struct inode___enum {
	enum inode_state_flags_t i_state;
};

enum inode_state_flags_enum {
	I_CLEAR___enum = 0,
};

struct inode_state_flags {
	enum inode_state_flags_enum __state;
};

struct inode___struct {
	struct inode_state_flags i_state;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	__u32 i_rdev;
	__s64 i_size;
	__u32 i_generation;
	struct list_head i_sb_list;
	struct hlist_head i_dentry;
	struct address_space i_data;
};

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct lockref {
	int count;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
	struct lockref d_lockref;
	union {
		struct hlist_node d_alias;
	} d_u;
};

/* Where a short name is; a union with words in it since 6.15 (58cf9c383c5c). */
struct dentry___iname {
	unsigned char d_iname[1];
};

union shortname_store {
	unsigned char string[1];
};

struct dentry___shortname {
	union shortname_store d_shortname;
};

/* 2026: the union's name is going away. */
struct dentry___flat {
	struct hlist_node d_alias;
};

struct file {
	struct address_space *f_mapping;
};

struct fdtable {
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

#pragma clang attribute pop

/* The dentry that an inode's i_dentry list begins with; 0: none. */
static __always_inline __u64 compat_inode_dentry(__u64 inode)
{
	__u64 node = 0;

	compat_read(node, inode + bpf_core_field_offset(struct inode, i_dentry));
	if (!node)
		return 0;
	if (bpf_core_field_exists(struct dentry___flat, d_alias))
		return node - bpf_core_field_offset(struct dentry___flat, d_alias);
	return node - bpf_core_field_offset(struct dentry, d_u.d_alias);
}

/* Offsets, 0: unknown. */
static __always_inline __u32 compat_dentry_short_name(void)
{
	if (bpf_core_field_exists(struct dentry___shortname, d_shortname))
		return bpf_core_field_offset(struct dentry___shortname, d_shortname);
	if (bpf_core_field_exists(struct dentry___iname, d_iname))
		return bpf_core_field_offset(struct dentry___iname, d_iname);
	return 0;
}

static __always_inline __u32 compat_inode_state_at(void)
{
	if (bpf_core_field_exists(struct inode___long, i_state))
		return bpf_core_field_offset(struct inode___long, i_state);
	if (bpf_core_field_exists(struct inode___int, i_state))
		return bpf_core_field_offset(struct inode___int, i_state);
	if (bpf_core_field_exists(struct inode___enum, i_state))
		return bpf_core_field_offset(struct inode___enum, i_state);
	if (bpf_core_field_exists(struct inode___struct, i_state))
		return bpf_core_field_offset(struct inode___struct, i_state);
	return 0;
}

/*
 * I_CLEAR: set when an inode is torn down. A macro up to 6.17: 64, and 256 since the flags were renumbered when i_state became 32
 * bits wide (6.12).
 */
static __always_inline __u32 compat_inode_clear(void)
{
	if (bpf_core_enum_value_exists(enum inode_state_flags_t, I_CLEAR___t))
		return bpf_core_enum_value(enum inode_state_flags_t, I_CLEAR___t);
	if (bpf_core_enum_value_exists(enum inode_state_flags_enum, I_CLEAR___enum))
		return bpf_core_enum_value(enum inode_state_flags_enum, I_CLEAR___enum);
	return bpf_core_field_size(struct inode___long, i_state) == sizeof(__u64) ? 64 : 256;
}

#endif
