/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers of devices: dma-buf, and DRM clients. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "instruments/kmem_internal.h"

enum { BUFINFO_MAX = 4 << 20 };

/* --- dma-buf ----------------------------------------------------------------------------------------------------------- */

/* Drivers over TTM take pages from the allocator; the others' buffers are shmem files. */
static bool is_ttm(const char *driver)
{
	static const char *const ttm[] = {"amdgpu", "radeon", "nouveau", "xe",
					  "vmwgfx", "qxl",    "ast",	 "loongson"};

	for (size_t i = 0; i < ARRAY_SIZE(ttm); i++)
		if (strcmp(driver, ttm[i]) == 0)
			return true;
	return false;
}

/* The driver of a card; "": it is software alone. */
static void card_driver(const struct root *sys, const char *card, char *out, size_t size)
{
	char rel[64], target[256];
	const char *name;
	ssize_t n;

	(void)snprintf(rel, sizeof(rel), "class/drm/%.16s/device/driver", card);
	n = readlinkat(sys->fd, rel, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	name = strrchr(target, '/');
	(void)snprintf(out, size, "%.31s", name ? name + 1 : target);
}

/* There is a card, and none whose driver takes pages from the allocator. */
static bool cards_use_shmem(const struct root *sys)
{
	int fd = sys->fd < 0 ? -1
			     : openat(sys->fd, "class/drm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool found = false, ttm = false;

	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return false;
	}
	while ((entry = readdir(dir))) {
		char driver[32];

		/* "card0"; "card0-HDMI-A-1" is one of its connectors. */
		if (strncmp(entry->d_name, "card", 4) != 0 || strchr(entry->d_name, '-'))
			continue;
		card_driver(sys, entry->d_name, driver, sizeof(driver));
		found = true;
		ttm |= is_ttm(driver);
	}
	(void)closedir(dir);
	return found && !ttm;
}

/*
 * udmabuf makes a buffer of a memfd's pages (kmem_place_udmabufs() looks closer); most others allocate. What DRM exports is in its
 * client's sum too; it calls itself "drm" whichever the driver is (i915 has its own export), so all cards are asked.
 */
static enum kmem_line dma_buf_line(struct kmem_reading *reading, const char *exporter)
{
	if (strcmp(exporter, "drm") == 0) {
		if (!reading->cards_asked)
			reading->cards_shmem = cards_use_shmem(&reading->sys);
		reading->cards_asked = true;
		return reading->cards_shmem ? KMEM_IN_SHMEM : KMEM_IN_RESIDUAL;
	}
	return strcmp(exporter, "udmabuf") == 0 || strcmp(exporter, "i915") == 0 ? KMEM_IN_SHMEM
										 : KMEM_IN_RESIDUAL;
}

static void add_dma_buf(struct kmem_reading *reading, pid_t pid, const char *exporter,
			uint64_t bytes)
{
	kmem_add(reading, KMEM_DMA_BUF, dma_buf_line(reading, exporter), KMEM_AT_MOST, pid,
		 exporter, bytes, 1);
}

void kmem_dma_buf_fd(void *arg, const struct root *proc, const struct proc_fd *fd)
{
	struct kmem_reading *reading = arg;
	_cleanup_buf_ struct buf text = BUF_INIT(0);
	char exporter[48] = "";
	uint64_t bytes, inode;

	if (strncmp(fd->target, "/dmabuf:", 8) != 0 || proc_read_fdinfo(proc, fd, &text) < 0 ||
	    !text.data || !proc_field(text.data, "size", &bytes))
		return;
	if (!proc_field(text.data, "ino", &inode)) { /* since 5.14 */
		struct stat st = {0};
		char rel[48];

		(void)snprintf(rel, sizeof(rel), "%d/fd/%u", fd->pid, fd->fd);
		inode = fstatat(proc->fd, rel, &st, 0) == 0 ? st.st_ino : 0;
	}
	(void)proc_field_text(text.data, "exp_name", exporter, sizeof(exporter));
	if (kmem_seen_add(&reading->dma_bufs, inode))
		add_dma_buf(reading, fd->pid, exporter, bytes);
}

/* The n-th field of a line whose fields are separated by tabs. */
static bool tab_field(const char *line, unsigned int n, char *out, size_t size)
{
	size_t len;

	for (; n > 0; n--) {
		line += strcspn(line, "\t\n");
		if (*line != '\t')
			return false;
		line++;
	}
	len = strcspn(line, "\t\n");
	if (len == 0 || len >= size)
		return false;
	memcpy(out, line, len);
	out[len] = '\0';
	return true;
}

void kmem_dma_buf_parse(const char *bufinfo,
			void (*fn)(void *arg, uint64_t inode, const char *exporter, uint64_t bytes),
			void *arg)
{
	/* "size flags mode count exp_name ino name", separated by tabs; lines of attached devices begin with one. */
	for (const char *line = bufinfo; line && *line; line = strchr(line, '\n')) {
		char size[24], exporter[48], ino[24];
		uint64_t bytes, inode;

		line += *line == '\n';
		if (tab_field(line, 0, size, sizeof(size)) &&
		    tab_field(line, 4, exporter, sizeof(exporter)) &&
		    tab_field(line, 5, ino, sizeof(ino)) &&
		    num_u64(size, 0, UINT64_MAX, &bytes) == 0 &&
		    num_u64(ino, 1, UINT64_MAX, &inode) == 0)
			fn(arg, inode, exporter, bytes);
	}
}

static void add_unheld(void *arg, uint64_t inode, const char *exporter, uint64_t bytes)
{
	struct kmem_reading *reading = arg;

	if (kmem_seen_add(&reading->dma_bufs, inode))
		add_dma_buf(reading, 0, exporter, bytes);
}

/* Buffers that only a driver or a mapping holds. */
void kmem_read_dma_buf_rest(struct kmem_reading *reading)
{
	_cleanup_buf_ struct buf text = BUF_INIT(BUFINFO_MAX);
	int r = reading->sys.fd < 0
			? -ENOENT
			: root_read(&reading->sys, "kernel/debug/dma_buf/bufinfo", &text, NULL);

	if (text.data)
		kmem_dma_buf_parse(text.data, add_unheld, reading);
	if (r == -EFBIG)
		kmem_missing_add(&reading->missing, "DMA buffers beyond 4 MiB of text");
	else if (r < 0 && reading->dma_bufs.n > 0)
		kmem_missing_add(&reading->missing,
				 "DMA buffers that no process has open: needs debugfs");
}

static bool is_udmabuf(const struct kmem_owner *row)
{
	return row->kind == KMEM_DMA_BUF && strcmp(row->what, "udmabuf") == 0;
}

static bool maps_memfd(struct kmem_reading *reading, pid_t pid)
{
	_cleanup_buf_ struct buf text = BUF_INIT(ROOT_FILE_MAX);

	if (pid > 0)
		kmem_read_maps(reading, pid, &text);
	return text.data && strstr(text.data, " /memfd:");
}

/*
 * A udmabuf's pages are its memfd's, and with that shared memory, while that is open or mapped. When it goes, they leave the count
 * of shared memory and stay with the buffer (seen in 6.12 and 7.2). Nothing tells which memfd it was: there are as many bytes of
 * buffers with theirs as memfds have that are open, and those of a process that has one mapped.
 */
void kmem_place_udmabufs(struct kmem_reading *reading)
{
	const struct kmem_owners *owners = &reading->owners;
	uint64_t open_bytes = 0;

	for (size_t i = 0; i < owners->n; i++)
		if (owners->items[i].kind == KMEM_MEMFD)
			open_bytes += owners->items[i].bytes;
	for (size_t i = 0; i < owners->n; i++) {
		struct kmem_owner *row = &owners->items[i];

		if (!is_udmabuf(row))
			continue;
		if (row->bytes <= open_bytes)
			open_bytes -= row->bytes;
		else if (!maps_memfd(reading, row->pid))
			row->line = KMEM_IN_RESIDUAL;
	}
}

/* --- DRM --------------------------------------------------------------------------------------------------------------- */

/* Regions are the driver's words: "system0", "gtt", "memory", "cpu"; these are on the card, or taken from memory at boot. */
static bool in_main_memory(const char *region)
{
	return strncmp(region, "vram", 4) != 0 && strncmp(region, "local", 5) != 0 &&
	       strncmp(region, "stolen", 6) != 0;
}

/* Sum over the regions of "<prefix><region>:". */
static uint64_t sum_regions(const char *fdinfo, const char *prefix)
{
	size_t n = strlen(prefix);
	uint64_t sum = 0, bytes;

	for (const char *line = fdinfo; line && *line; line = strchr(line, '\n')) {
		char key[64];
		size_t len;

		line += *line == '\n';
		len = strcspn(line, ":\n");
		if (line[len] != ':' || len <= n || len >= sizeof(key) ||
		    memcmp(line, prefix, n) != 0 || !in_main_memory(line + n))
			continue;
		memcpy(key, line, len);
		key[len] = '\0';
		if (proc_field(line, key, &bytes) && bytes < 1ULL << 46 && sum < 1ULL << 46)
			sum += bytes;
	}
	return sum;
}

bool kmem_drm_parse(const char *fdinfo, struct kmem_drm *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!proc_field_text(fdinfo, "drm-driver", ret->driver, sizeof(ret->driver)) ||
	    !proc_field(fdinfo, "drm-client-id", &ret->client))
		return false;
	(void)proc_field_text(fdinfo, "drm-pdev", ret->pdev, sizeof(ret->pdev));
	/* What is in memory now; older drivers show what was allocated (drm-total-, since 6.5), the oldest drm-memory-. */
	ret->bytes = sum_regions(fdinfo, "drm-resident-");
	if (ret->bytes == 0)
		ret->bytes = sum_regions(fdinfo, "drm-memory-");
	if (ret->bytes == 0)
		ret->bytes = sum_regions(fdinfo, "drm-total-");
	return true;
}

void kmem_drm_fd(void *arg, const struct root *proc, const struct proc_fd *fd)
{
	struct kmem_reading *reading = arg;
	_cleanup_buf_ struct buf text = BUF_INIT(0);
	struct kmem_drm drm;
	char what[64];

	if (strncmp(fd->target, "/dev/dri/", 9) != 0 || proc_read_fdinfo(proc, fd, &text) < 0 ||
	    !text.data || !kmem_drm_parse(text.data, &drm))
		return;
	/* A client is one opening of the device: shared by its duplicates, numbered per device. */
	if (!kmem_seen_add(&reading->drm_clients,
			   num_hash(drm.pdev, strlen(drm.pdev)) ^ (drm.client + 1)))
		return;
	(void)snprintf(what, sizeof(what), "%s%s%s", drm.driver, drm.pdev[0] ? " " : "", drm.pdev);
	kmem_add(reading, KMEM_DRM, is_ttm(drm.driver) ? KMEM_IN_RESIDUAL : KMEM_IN_SHMEM,
		 KMEM_AT_MOST, fd->pid, what, drm.bytes, 1);
}
