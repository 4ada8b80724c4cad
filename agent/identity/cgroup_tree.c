/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/cgroup_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/mem.h"

enum {
	MAX_DEPTH = 64,
	MAX_PATH_BYTES = 32 << 20, /* of all paths: 65536 with the systemd driver are 14 MiB */
};

DEFINE_CLEANUP(dir, DIR *, closedir);
DEFINE_CLEANUP(cgroup_tree, struct cgroup_tree *, cgroup_tree_free);

/*
 * The tree is walked level by level: when a container fills its own subtree with cgroups, pods and containers, which are
 * nearer to the root, are already in.
 */
struct walk {
	const struct root *root;
	dev_t dev; /* other filesystems are not entered */
	struct cgroup_tree *tree;
	size_t cap;
	size_t path_bytes;
	struct branch {
		size_t node;
		unsigned int depth;
	} * branches; /* nodes with children: a queue */
	size_t n_branches, branches_cap;
};

/* Gone while we look: kernfs answers ENODEV where the directory was open already. */
static bool is_gone(int errnum)
{
	return errnum == ENOENT || errnum == ENODEV || errnum == ENOTDIR;
}

static void add_branch(struct walk *walk, size_t node, unsigned int depth)
{
	if (walk->n_branches == walk->branches_cap) {
		walk->branches_cap = walk->branches_cap ? walk->branches_cap * 2 : 64;
		walk->branches =
			xreallocarray(walk->branches, walk->branches_cap, sizeof(*walk->branches));
	}
	walk->branches[walk->n_branches++] = (struct branch){node, depth};
}

/* Takes over path. */
static void add_node(struct walk *walk, char *path, const struct stat *st, unsigned int depth)
{
	struct cgroup_tree *tree = walk->tree;
	size_t bytes = strlen(path) + 1;

	if (tree->n >= CGROUP_TREE_MAX || walk->path_bytes + bytes > MAX_PATH_BYTES) {
		tree->dropped++;
		free(path);
		return;
	}
	if (tree->n == walk->cap) {
		walk->cap = walk->cap ? walk->cap * 2 : 256;
		tree->nodes = xreallocarray(tree->nodes, walk->cap, sizeof(*tree->nodes));
	}
	tree->nodes[tree->n] = (struct cgroup_node){.id = st->st_ino, .path = path};
	walk->path_bytes += bytes;
	/* kernfs counts a directory's children in its links; filesystems that don't have 1. */
	if (st->st_nlink != 2)
		add_branch(walk, tree->n, depth);
	tree->n++;
}

static void add_child(struct walk *walk, const char *parent, int dir_fd, const struct dirent *entry,
		      unsigned int depth)
{
	struct stat st;

	if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
		return;
	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return;
	if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		walk->tree->dropped += !is_gone(errno);
		return;
	}
	if (!S_ISDIR(st.st_mode) || st.st_dev != walk->dev)
		return;
	if (depth > MAX_DEPTH) {
		walk->tree->dropped++;
		return;
	}
	add_node(walk, xasprintf("%s/%s", parent[1] ? parent : "", entry->d_name), &st, depth);
}

/* Adds the children of one cgroup. Returns 0 or -errno. */
static int read_children(struct walk *walk, struct branch branch)
{
	const char *parent = walk->tree->nodes[branch.node].path;
	__attribute__((cleanup(dir_cleanup))) DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(walk->root->fd, parent[1] ? parent + 1 : ".",
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	while (errno = 0, (entry = readdir(dir)))
		add_child(walk, parent, fd, entry, branch.depth + 1);
	return -errno;
}

static int compare(const void *a, const void *b)
{
	const struct cgroup_node *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

static int walk_all(struct walk *walk, struct err *err)
{
	struct stat st;
	int r;

	if (fstat(walk->root->fd, &st) < 0)
		return err_set(err, errno, "cannot stat %s", walk->root->path);
	walk->dev = st.st_dev;
	st.st_nlink = 0; /* the root is always looked into */
	add_node(walk, xstrdup("/"), &st, 0);
	for (size_t i = 0; i < walk->n_branches; i++) {
		r = read_children(walk, walk->branches[i]);
		if (r < 0 && i == 0)
			return err_set(err, -r, "cannot read the cgroups in %s", walk->root->path);
		if (r < 0)
			walk->tree->dropped += !is_gone(-r);
	}
	return 0;
}

int cgroup_tree_read(const struct cgroupfs *cg, struct cgroup_tree **ret, struct err *err)
{
	_cleanup_(cgroup_tree_cleanup) struct cgroup_tree *tree = xcalloc(1, sizeof(*tree));
	struct walk walk = {.root = &cg->memory, .tree = tree};
	int r = 0;

	if (cg->mode != CGROUP_NONE)
		r = walk_all(&walk, err);
	free(walk.branches);
	if (r < 0)
		return r;
	if (tree->n > 0)
		qsort(tree->nodes, tree->n, sizeof(*tree->nodes), compare);
	*ret = take_ptr(tree);
	return 0;
}

void cgroup_tree_free(struct cgroup_tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->n; i++)
		free(tree->nodes[i].path);
	free(tree->nodes);
	free(tree);
}

const struct cgroup_node *cgroup_tree_find(const struct cgroup_tree *tree, uint64_t id)
{
	struct cgroup_node key = {.id = id};

	if (tree->n == 0)
		return NULL;
	return bsearch(&key, tree->nodes, tree->n, sizeof(*tree->nodes), compare);
}
