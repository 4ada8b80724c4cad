/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of kernel memory: what the kernel's files and messages say, as recorded or as the kernel's sources write them. */
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/inet_diag.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <rdma/rdma_netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instruments/kmem_internal.h"
#include "instruments/netlink.h"
#include "support/folder.h"

#define MIB (1ULL << 20)

static const struct kmem_owner *find_row(const struct kmem_owners *owners, enum kmem_kind kind,
					 pid_t pid, const char *what)
{
	for (size_t i = 0; i < owners->n; i++) {
		const struct kmem_owner *row = &owners->items[i];

		if (row->kind == kind && row->pid == pid && (!what || strcmp(row->what, what) == 0))
			return row;
	}
	return NULL;
}

/* --- rows --------------------------------------------------------------------------------------------------------------- */

static void equal_rows_are_summed(void **state)
{
	struct kmem_owners owners = {0};
	struct kmem_owner row = {.kind = KMEM_PIPE, .pid = 7, .bytes = 10, .count = 1};

	(void)state;
	kmem_owners_add(&owners, &row);
	kmem_owners_add(&owners, &row);
	row.pid = 8;
	row.bytes = 50;
	kmem_owners_add(&owners, &row);
	row.bytes = 0;
	kmem_owners_add(&owners, &row);
	kmem_owners_merge(&owners);
	assert_int_equal(owners.n, 2);
	assert_int_equal(owners.items[0].pid, 8);
	assert_int_equal(owners.items[1].bytes, 20);
	assert_int_equal(owners.items[1].count, 2);
	kmem_owners_done(&owners);
}

static void rows_have_a_ceiling(void **state)
{
	struct kmem_owners owners = {0};
	struct kmem_owner row = {.kind = KMEM_TCP, .bytes = 1, .count = 1};

	(void)state;
	/* The same few processes over and over fit. */
	for (int i = 0; i < KMEM_MAX_OWNERS + 5000; i++) {
		row.pid = i % 100;
		kmem_owners_add(&owners, &row);
	}
	assert_int_equal(owners.dropped, 0);
	for (int i = 0; i < KMEM_MAX_OWNERS + 10; i++) {
		row.pid = 1000 + i;
		kmem_owners_add(&owners, &row);
	}
	assert_true(owners.n <= KMEM_MAX_OWNERS);
	assert_true(owners.dropped >= 10);
	assert_int_equal(owners.dropped, owners.dropped_bytes);
	kmem_owners_done(&owners);
}

static void what_is_missing_is_told_once(void **state)
{
	struct kmem_missing missing = {0};

	(void)state;
	kmem_missing_add(&missing, "pipes: %d", 1);
	kmem_missing_add(&missing, "pipes: %d", 1);
	assert_int_equal(missing.n, 1);
	for (int i = 0; i < KMEM_MAX_MISSING + 3; i++)
		kmem_missing_add(&missing, "other %d", i);
	assert_int_equal(missing.n, KMEM_MAX_MISSING);
	assert_int_equal(missing.dropped, 4);
}

static void numbers_are_seen_once(void **state)
{
	struct kmem_seen seen = {0};

	(void)state;
	for (uint64_t i = 1; i <= 2000; i++)
		assert_true(kmem_seen_add(&seen, i * 4096));
	for (uint64_t i = 1; i <= 2000; i++)
		assert_false(kmem_seen_add(&seen, i * 4096));
	assert_int_equal(seen.n, 2000);
	kmem_seen_done(&seen);
}

/* --- text --------------------------------------------------------------------------------------------------------------- */

static void fields_of_fdinfo(void **state)
{
	static const char text[] =
		"pos:\t0\nmap_id:\t32\nmask:\t0x3f\ndrm-total-gtt:\t12 KiB\n"
		"big:\t99999999999999999999\nword:\tabc\nbad:\t12 pages\nempty:\n";
	char word[4];
	uint64_t v = 5;

	(void)state;
	assert_true(proc_field(text, "map_id", &v));
	assert_int_equal(v, 32);
	assert_true(proc_field(text, "mask", &v));
	assert_int_equal(v, 0x3f);
	assert_true(proc_field(text, "drm-total-gtt", &v));
	assert_int_equal(v, 12288);
	assert_false(proc_field(text, "big", &v));
	assert_false(proc_field(text, "word", &v));
	assert_false(proc_field(text, "bad", &v));
	assert_false(proc_field(text, "empty", &v));
	assert_false(proc_field(text, "map", &v));
	assert_int_equal(v, 12288);
	assert_true(proc_field_text(text, "word", word, sizeof(word)));
	assert_string_equal(word, "abc");
}

static void inodes_in_links(void **state)
{
	uint64_t inode;

	(void)state;
	assert_true(proc_link_inode("socket:[4026531840]", "socket:[", &inode));
	assert_true(inode == 4026531840);
	assert_false(proc_link_inode("socket:[]", "socket:[", &inode));
	assert_false(proc_link_inode("socket:[12", "socket:[", &inode));
	assert_false(proc_link_inode("socket:[12]x", "socket:[", &inode));
	assert_false(proc_link_inode("pipe:[12]", "socket:[", &inode));
	assert_false(proc_link_inode("socket:[99999999999999999999999]", "socket:[", &inode));
}

static void maps_sit_in_their_line(void **state)
{
	(void)state;
	assert_int_equal(kmem_bpf_map_line(2, 64 * MIB, 4096), KMEM_IN_VMALLOC);
	assert_int_equal(kmem_bpf_map_line(2, 4096, 4096), KMEM_IN_SLAB);
	assert_int_equal(kmem_bpf_map_line(2, 65536, 4096), KMEM_IN_VMALLOC);
	assert_int_equal(kmem_bpf_map_line(2, 65536, 16384), KMEM_IN_SLAB);
	assert_int_equal(kmem_bpf_map_line(1, MIB, 4096), KMEM_IN_VMALLOC);
	assert_int_equal(kmem_bpf_map_line(5, MIB, 4096), KMEM_IN_PERCPU);
	assert_int_equal(kmem_bpf_map_line(6, MIB, 4096), KMEM_IN_PERCPU);
	assert_int_equal(kmem_bpf_map_line(27, MIB, 4096), KMEM_IN_RESIDUAL);
	assert_int_equal(kmem_bpf_map_line(33, MIB, 4096), KMEM_IN_RESIDUAL);
	assert_int_equal(kmem_bpf_map_line(11, MIB, 4096), KMEM_IN_SLAB);
}

static void rings_of_io_uring(void **state)
{
	(void)state;
	/* 32768 entries: 2 MiB, and 1.2 MiB in a block of 2 MiB; as 6.18 takes it. */
	assert_true(kmem_uring_bytes("SqMask:\t0x7fff\nCqMask:\t0xffff\n", 4096) == 4 * MIB);
	assert_true(kmem_uring_bytes("SqMask:\t0x3f\nCqMask:\t0x7f\n", 4096) == 4096 + 4096);
	/* Until 5.18 there are no masks. */
	assert_true(kmem_uring_bytes("UserFiles:\t0\nUserBufs:\t0\n", 4096) == 0);
	assert_true(kmem_uring_bytes("SqMask:\t0xffffffffffffffff\nCqMask:\t0x1\n", 4096) == 0);
}

static void mappings_by_name(void **state)
{
	static const char maps[] =
		"7f9a3bd00000-7f9a3bd02000 rw-s 00000000 00:0e 1057                       "
		"anon_inode:[perf_event]\n"
		"7f9a3c000000-7f9a3d001000 rw-s 00000000 00:0e 1057                       "
		"anon_inode:[perf_event]\n"
		"7f9a40000000-7f9a40001000 r--p 00000000 08:01 12  /tmp/xanon_inode:[perf_event]\n"
		"7f9a50000000-7f9a4 rw-s 00000000 00:0e 1 anon_inode:[perf_event]\n"
		"zz-yy rw-s 00000000 00:0e 1 anon_inode:[perf_event]\n"
		"7f9a60000000-7f9a60001000 rw-p 00000000 00:00 0\n";
	uint64_t count;

	(void)state;
	assert_true(kmem_maps_bytes(maps, "anon_inode:[perf_event]", &count) == 0x2000 + 0x1001000);
	assert_int_equal(count, 2);
	assert_true(kmem_maps_bytes("", "x", &count) == 0);
}

/* fdinfo of three drivers, as their documentation has it. */
static void drm_clients(void **state)
{
	struct kmem_drm drm;

	(void)state;
	assert_true(kmem_drm_parse("pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t42\n"
				   "drm-pdev:\t0000:03:00.0\ndrm-memory-vram:\t4096 KiB\n"
				   "drm-memory-gtt:\t1024 KiB\ndrm-memory-cpu:\t8 KiB\n",
				   &drm));
	assert_string_equal(drm.driver, "amdgpu");
	assert_string_equal(drm.pdev, "0000:03:00.0");
	assert_int_equal(drm.client, 42);
	assert_true(drm.bytes == 1032 << 10);
	assert_true(kmem_drm_parse("drm-driver:\ti915\ndrm-client-id:\t7\n"
				   "drm-total-system0:\t600 KiB\ndrm-shared-system0:\t10 KiB\n"
				   "drm-resident-system0:\t512 KiB\ndrm-resident-local0:\t9 MiB\n"
				   "drm-resident-stolen-system0:\t1 MiB\n",
				   &drm));
	assert_true(drm.bytes == 512 << 10);
	assert_true(kmem_drm_parse("drm-driver:\tpanfrost\ndrm-client-id:\t1\n"
				   "drm-total-memory:\t2 MiB\n",
				   &drm));
	assert_true(drm.bytes == 2 * MIB);
	assert_false(kmem_drm_parse("drm-driver:\ti915\n", &drm));
	assert_false(kmem_drm_parse("", &drm));
}

static uint64_t buffers, buffer_bytes;

static void on_buffer(void *arg, uint64_t inode, const char *exporter, uint64_t bytes)
{
	(void)arg;
	assert_true(inode == 39 || inode == 123);
	assert_string_equal(exporter, inode == 39 ? "system" : "drm");
	buffers++;
	buffer_bytes += bytes;
}

static void dma_bufs_of_debugfs(void **state)
{
	(void)state;
	kmem_dma_buf_parse("\nDma-buf Objects:\n"
			   "size    \tflags   \tmode    \tcount   \texp_name\tino     \tname\n"
			   "08388608\t00000002\t00080007\t00000002\tsystem\t00000039\t<none>\n"
			   "\tAttached Devices:\n\t0000:00:02.0\nTotal 1 devices attached\n\n"
			   "00532480\t00000002\t00080007\t00000003\tdrm\t00000123\tshared\n"
			   "abc\t1\t2\t3\tx\t5\t\n00000001\t2\n"
			   "\nTotal 2 objects, 8921088 bytes\n",
			   on_buffer, NULL);
	assert_int_equal(buffers, 2);
	assert_true(buffer_bytes == 8388608 + 532480);
}

static void vmalloc_by_function(void **state)
{
	struct kmem_owners owners = {0};
	const struct kmem_owner *row;

	(void)state;
	kmem_vmalloc_parse("0x0000000065928f9a-0x00000000a3aba22d   20480 kernel_clone+0x94/0x3e0 "
			   "pages=4 vmalloc N0=4\n"
			   "0x00000000c02fb979-0x00000000eb5dde3e   20480 "
			   "irq_init_percpu_irqstack+0xca/0x100 vmap\n"
			   "0x00000000cd2d5440-0x00000000906f25bc   12288 "
			   "acpi_os_map_iomem+0x1bc/0x1e0 phys=0x9f000 ioremap\n"
			   "0x0000000058720732-0x000000007bf410d4 2101248 "
			   "pcpu_create_chunk+0x217/0x230 pages=512 vmalloc N0=512\n"
			   "0x0000000058720732-0x000000007bf410d4    8192 "
			   "pcpu_create_chunk+0xa0/0x230 pages=1 vmalloc N0=1\n"
			   "0x0000000058720732-0x000000007bf410d4  135168 "
			   "xt_alloc_table_info+0x3d/0x60 [x_tables] pages=32 vmalloc N0=32\n"
			   "0x0000000058720732-0x000000007bf410d4 33558528 array_map_alloc+0x1/0x2 "
			   "pages=8192 vmalloc\n"
			   "0x0000000058720732-0x000000007bf410d4    8192 unpurged vm_area\n"
			   "0x1-0x2 8192 f+0x1/0x2 pages=99999999999999999999 vmalloc\n"
			   "0x1-0x2 8192",
			   4096, &owners);
	kmem_owners_merge(&owners);
	assert_int_equal(owners.n, 2);
	row = find_row(&owners, KMEM_VMALLOC, 0, "pcpu_create_chunk");
	assert_non_null(row);
	assert_int_equal(row->bytes, 513 * 4096);
	row = find_row(&owners, KMEM_VMALLOC, 0, "xt_alloc_table_info [x_tables]");
	assert_non_null(row);
	assert_int_equal(row->bytes, 32 * 4096);
	kmem_owners_done(&owners);
}

/* --- a recorded /proc --------------------------------------------------------------------------------------------------- */

struct entry {
	const char *path, *text, *link; /* text and link NULL: a folder */
};

static const struct entry tree[] = {
	{"proc"},
	{"proc/meminfo", "MemTotal: 1000000 kB\nVmallocUsed: 5000 kB\n"},
	{"proc/vmallocinfo", "0x1-0x2 1052672 big_table+0x1/0x2 pages=256 vmalloc N0=256\n"
			     "0x1-0x2 8192 small+0x1/0x2 pages=1 vmalloc\n"},
	{"proc/self"},
	{"proc/10"},
	{"proc/10/status", "Name:\tdpdk\nHugetlbPages:\t    4096 kB\n"},
	{"proc/10/maps", "7f0000000000-7f0001000000 rw-s 0 00:0e 1 anon_inode:[perf_event]\n"
			 "7f1000000000-7f1000200000 rw-s 0 00:06 9 /dev/nvidiactl\n"
			 "7f2000000000-7f2040000000 rw-s 0 00:06 9 /dev/nvidia0\n"},
	{"proc/10/fd"},
	{"proc/10/fd/0", NULL, "/dev/null"},
	{"proc/10/fd/3", NULL, "anon_inode:bpf-map"},
	{"proc/10/fd/4", NULL, "anon_inode:bpf-map"},
	{"proc/10/fd/5", NULL, "anon_inode:[perf_event]"},
	{"proc/10/fd/6", NULL, "anon_inode:[perf_event]"},
	{"proc/10/fd/7", NULL, "anon_inode:[io_uring]"},
	{"proc/10/fd/8", NULL, "/dmabuf:"},
	{"proc/10/fd/9", NULL, "/dev/dri/renderD128"},
	{"proc/10/fd/11", NULL, "/dev/nvidiactl"},
	{"proc/10/fd/12", NULL, "anon_inode:bpf-prog"},
	{"proc/10/fdinfo"},
	{"proc/10/fdinfo/3", "map_type:\t27\nmemlock:\t1065288\nmap_id:\t5\n"},
	{"proc/10/fdinfo/4", "map_type:\t2\nmemlock:\t33554432\nmap_id:\t6\n"},
	{"proc/10/fdinfo/7", "SqMask:\t0x3f\nCqMask:\t0x7f\n"},
	{"proc/10/fdinfo/8", "pos:\t0\nino:\t39\nsize:\t8388608\ncount:\t2\nexp_name:\tsystem\n"},
	{"proc/10/fdinfo/9", "drm-driver:\tamdgpu\ndrm-client-id:\t42\ndrm-pdev:\t0000:03:00.0\n"
			     "drm-memory-gtt:\t1024 KiB\n"},
	{"proc/10/fdinfo/12", "prog_type:\t6\nmemlock:\t8192\nprog_id:\t77\n"},
	{"proc/11"},
	{"proc/11/fd"},
	{"proc/11/fd/3", NULL, "anon_inode:bpf-map"},
	{"proc/11/fd/4", NULL, "/dmabuf:"},
	{"proc/11/fd/9", NULL, "/dev/dri/renderD128"},
	{"proc/11/fd/x", NULL, "anon_inode:bpf-map"},
	{"proc/11/fdinfo"},
	{"proc/11/fdinfo/3", "map_type:\t27\nmemlock:\t1065288\nmap_id:\t5\n"},
	{"proc/11/fdinfo/4", "ino:\t39\nsize:\t8388608\nexp_name:\tsystem\n"},
	{"proc/11/fdinfo/9", "drm-driver:\tamdgpu\ndrm-client-id:\t42\ndrm-pdev:\t0000:03:00.0\n"
			     "drm-memory-gtt:\t1024 KiB\n"},
	{"proc/12"}, /* it has just ended */
	{"sys"},
	{"sys/class"},
	{"sys/class/drm"},
	{"sys/class/drm/card0"},
	{"sys/class/drm/card0/device"},
	{"sys/class/drm/card0/device/driver", NULL, "../../../bus/pci/drivers/mgag200"},
	{"sys/class/drm/card0-VGA-1"},
	{"sys/class/drm/card1"},
	{"sys/kernel"},
	{"sys/kernel/debug"},
	{"sys/kernel/debug/dma_buf"},
	{"sys/kernel/debug/dma_buf/bufinfo",
	 "08388608\t00000002\t00080007\t00000002\tsystem\t00000039\t<none>\n"
	 "00004096\t00000002\t00080007\t00000001\tudmabuf\t00000040\t<none>\n"
	 "00008192\t00000002\t00080007\t00000001\tdrm\t00000041\t<none>\n"},
	{"sys/kernel/mm"},
	{"sys/kernel/mm/hugepages"},
	{"sys/kernel/mm/hugepages/hugepages-2048kB"},
	{"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "10\n"},
	{"sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "6\n"},
	{"sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "1\n"},
	{"sys/kernel/mm/hugepages/hugepages-1048576kB"},
	{"sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "garbage\n"},
	{"sys/kernel/mm/hugepages/nonsense"},
};

static char *plant_tree(void)
{
	char *dir = folder_new();

	for (size_t i = 0; i < ARRAY_SIZE(tree); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, tree[i].path);

		if (tree[i].link) {
			assert_int_equal(symlink(tree[i].link, path), 0);
		} else if (tree[i].text) {
			folder_put(dir, tree[i].path, tree[i].text);
		} else {
			assert_int_equal(mkdir(path, 0755), 0);
		}
	}
	return dir;
}

static void assert_row(const struct kmem_snapshot *s, enum kmem_kind kind, pid_t pid,
		       const char *what, enum kmem_line line, uint64_t bytes)
{
	const struct kmem_owner *row = find_row(&s->owners, kind, pid, what);

	if (!row)
		fail_msg("no row %s %d %s", kmem_kind_names[kind], pid, what ? what : "");
	assert_int_equal(row->line, line);
	if (row->bytes != bytes)
		fail_msg("%s %d: %llu bytes, not %llu", kmem_kind_names[kind], pid,
			 (unsigned long long)row->bytes, (unsigned long long)bytes);
}

static void a_recorded_host(void **state)
{
	_cleanup_free_ char *dir = plant_tree();
	_cleanup_free_ char *proc_path = xasprintf("%s/proc", dir), *sys = xasprintf("%s/sys", dir);
	_cleanup_root_ struct root proc = ROOT_INIT;
	struct kmem_snapshot *s = NULL;

	(void)state;
	assert_int_equal(root_open(&proc, proc_path, NULL), 0);
	assert_int_equal(kmem_read(&(struct kmem_opts){.proc = &proc,
						       .sys = sys,
						       .recorded = true,
						       .vmalloc = true},
				   &s, NULL),
			 0);
	assert_int_equal(s->processes, 3);
	assert_int_equal(s->fds, 13);
	/* Held by two processes: told once, with the first that is met. */
	assert_true(!find_row(&s->owners, KMEM_BPF_MAP, 10, "ringbuf") !=
		    !find_row(&s->owners, KMEM_BPF_MAP, 11, "ringbuf"));
	assert_row(s, KMEM_BPF_MAP, 10, "array", KMEM_IN_VMALLOC, 32 * MIB);
	assert_row(s, KMEM_BPF_PROG, 10, "", KMEM_IN_VMALLOC, 8192);
	assert_row(s, KMEM_PERF, 10, "", KMEM_IN_RESIDUAL, 16 * MIB);
	assert_row(s, KMEM_IO_URING, 10, "", KMEM_IN_RESIDUAL, 8192);
	assert_row(s, KMEM_NVIDIA, 10, "", KMEM_IN_RESIDUAL, 2 * MIB);
	assert_true(!find_row(&s->owners, KMEM_DMA_BUF, 10, "system") !=
		    !find_row(&s->owners, KMEM_DMA_BUF, 11, "system"));
	assert_row(s, KMEM_DMA_BUF, 0, "udmabuf", KMEM_IN_RESIDUAL, 4096); /* no memfd is left */
	assert_row(s, KMEM_DMA_BUF, 0, "drm", KMEM_IN_SHMEM, 8192);
	assert_true(!find_row(&s->owners, KMEM_DRM, 10, NULL) !=
		    !find_row(&s->owners, KMEM_DRM, 11, NULL));
	assert_row(s, KMEM_HUGE_PAGES, 0, "free, 2048 KiB pages", KMEM_IN_HUGE_PAGES, 10 * MIB);
	assert_row(s, KMEM_HUGE_PAGES, 0, "promised but not used yet, 2048 KiB pages",
		   KMEM_IN_HUGE_PAGES, 2 * MIB);
	assert_row(s, KMEM_HUGE_PAGES, 10, "mapped", KMEM_IN_HUGE_PAGES, 4 * MIB);
	assert_row(s, KMEM_HUGE_PAGES, 0, "used, but neither mapped nor open", KMEM_IN_HUGE_PAGES,
		   4 * MIB);
	assert_row(s, KMEM_VMALLOC, 0, "big_table", KMEM_IN_VMALLOC, MIB);
	assert_null(find_row(&s->owners, KMEM_VMALLOC, 0, "small"));
	assert_int_equal(s->missing.n, 1); /* NVIDIA's own */
	kmem_snapshot_free(s);
	(void)folder_remove(dir);
}

/* Its pages are shared memory as long as a memfd is there that can be the one. */
static void a_udmabuf_without_its_memfd(void **state)
{
	static const struct {
		pid_t pid;
		enum kmem_line line;
	} expected[] = {{5, KMEM_IN_SHMEM}, {6, KMEM_IN_RESIDUAL}, {7, KMEM_IN_SHMEM}};
	struct kmem_reading *reading = xcalloc(1, sizeof(*reading));
	_cleanup_free_ char *dir = folder_new();
	_cleanup_root_ struct root proc = ROOT_INIT;

	(void)state;
	folder_put(dir, "6/maps", "7f0000000000-7f0000400000 rw-s 0 00:01 9 /dmabuf:\n");
	folder_put(dir, "7/maps",
		   "7f0000000000-7f0000400000 rw-s 0 00:01 9 /memfd:pc.ram (deleted)\n");
	assert_int_equal(root_open(&proc, dir, NULL), 0);
	reading->proc = &proc;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		kmem_add(reading, KMEM_DMA_BUF, KMEM_IN_SHMEM, KMEM_AT_MOST, expected[i].pid,
			 "udmabuf", 4 * MIB, 1);
	/* Whoever has it open: a buffer is passed on, its memfd need not be. */
	kmem_add(reading, KMEM_MEMFD, KMEM_IN_SHMEM, KMEM_EXACT, 4, "pixels", 6 * MIB, 1);
	kmem_place_udmabufs(reading);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(reading->owners.items[i].pid, expected[i].pid);
		assert_int_equal(reading->owners.items[i].line, expected[i].line);
	}
	kmem_owners_done(&reading->owners);
	free(reading);
	(void)folder_remove(dir);
}

/* "drm" says nothing of the driver: one card's is enough. */
static void buffers_where_a_driver_allocates(void **state)
{
	_cleanup_free_ char *dir = plant_tree();
	_cleanup_free_ char *proc_path = xasprintf("%s/proc", dir), *sys = xasprintf("%s/sys", dir);
	_cleanup_free_ char *device = xasprintf("%s/class/drm/card1/device", sys);
	_cleanup_free_ char *driver = xasprintf("%s/driver", device);
	_cleanup_root_ struct root proc = ROOT_INIT;
	struct kmem_snapshot *s = NULL;

	(void)state;
	assert_int_equal(mkdir(device, 0755), 0);
	assert_int_equal(symlink("../../../bus/pci/drivers/amdgpu", driver), 0);
	assert_int_equal(root_open(&proc, proc_path, NULL), 0);
	assert_int_equal(kmem_read(&(struct kmem_opts){.proc = &proc, .sys = sys, .recorded = true},
				   &s, NULL),
			 0);
	assert_row(s, KMEM_DMA_BUF, 0, "drm", KMEM_IN_RESIDUAL, 8192);
	kmem_snapshot_free(s);
	(void)folder_remove(dir);
}

static void a_large_vmalloc_list_is_not_read(void **state)
{
	struct kmem_reading *reading = xcalloc(1, sizeof(*reading));
	_cleanup_free_ char *dir = folder_new();
	_cleanup_root_ struct root proc = ROOT_INIT;

	(void)state;
	folder_put(dir, "meminfo", "MemTotal: 1000000000 kB\nVmallocUsed: 1048577 kB\n");
	assert_int_equal(root_open(&proc, dir, NULL), 0);
	reading->proc = &proc;
	kmem_read_vmalloc(reading);
	assert_int_equal(reading->missing.n, 1);
	assert_int_equal(reading->owners.n, 0);
	(void)folder_remove(dir);
	free(reading);
}

/* --- messages ----------------------------------------------------------------------------------------------------------- */

static struct kmem_reading *new_reading(void)
{
	struct kmem_reading *reading = xcalloc(1, sizeof(*reading));

	reading->recorded = true;
	kmem_sockets_fd(reading, NULL, &(struct proc_fd){.pid = 9, .target = "socket:[500]"});
	kmem_sockets_fd(reading, NULL, &(struct proc_fd){.pid = 7, .target = "socket:[500]"});
	kmem_sockets_fd(reading, NULL, &(struct proc_fd){.pid = 8, .target = "socket:[501]"});
	kmem_sockets_fd(reading, NULL, &(struct proc_fd){.pid = 8, .target = "pipe:[502]"});
	return reading;
}

static void free_reading(struct kmem_reading *reading)
{
	kmem_owners_done(&reading->owners);
	free(reading->sockets.items);
	free(reading);
}

static void sockets_have_holders(void **state)
{
	struct kmem_reading *reading = new_reading();

	(void)state;
	assert_int_equal(kmem_sockets_find(&reading->sockets, 500), 7);
	assert_int_equal(kmem_sockets_find(&reading->sockets, 501), 8);
	assert_int_equal(kmem_sockets_find(&reading->sockets, 502), 0);
	assert_int_equal(kmem_sockets_find(&reading->sockets, 499), 0);
	free_reading(reading);
}

static void packet_rings(void **state)
{
	struct kmem_reading *reading = new_reading();
	const struct packet_diag_ring ring = {.pdr_block_size = 1 << 20, .pdr_block_nr = 4096};
	_Alignas(4) char space[512] = "";
	struct nlmsghdr *message = mnl_nlmsg_put_header(space);
	struct packet_diag_msg *msg;

	(void)state;
	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	msg = mnl_nlmsg_put_extra_header(message, sizeof(*msg));
	msg->pdiag_ino = 500;
	kmem_packet_message(reading, message);
	assert_int_equal(reading->owners.n, 0);
	mnl_attr_put(message, PACKET_DIAG_RX_RING, sizeof(ring), &ring);
	mnl_attr_put(message, PACKET_DIAG_TX_RING, sizeof(ring) - 1, &ring); /* cut short */
	kmem_packet_message(reading, message);
	assert_int_equal(reading->owners.n, 1);
	assert_int_equal(reading->owners.items[0].pid, 7);
	assert_true(reading->owners.items[0].bytes == 4096 * MIB);
	/* Of another type, and too short for its header: passed over. */
	message->nlmsg_type = NLMSG_ERROR;
	kmem_packet_message(reading, message);
	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	message->nlmsg_len = NLMSG_HDRLEN + 4;
	kmem_packet_message(reading, message);
	assert_int_equal(reading->owners.n, 1);
	free_reading(reading);
}

static void memory_of_sockets(void **state)
{
	/* rmem, rcvbuf, wmem, sndbuf, fwd, queued, optmem, backlog, drops */
	static const uint32_t mem[SK_MEMINFO_VARS] = {100, 9999, 20, 9999, 9999, 3000, 4, 5, 9999};
	struct kmem_reading *reading = new_reading();
	_Alignas(4) char space[512] = "", other[512] = "";
	struct nlmsghdr *message = mnl_nlmsg_put_header(space);
	struct inet_diag_msg *inet;
	struct unix_diag_msg *local;

	(void)state;
	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	inet = mnl_nlmsg_put_extra_header(message, sizeof(*inet));
	inet->idiag_inode = 501;
	mnl_attr_put(message, INET_DIAG_SKMEMINFO, sizeof(mem), mem);
	kmem_inet_message(reading, KMEM_TCP, message);
	kmem_inet_message(reading, KMEM_UDP, message);
	message = mnl_nlmsg_put_header(other);
	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	local = mnl_nlmsg_put_extra_header(message, sizeof(*local));
	local->udiag_ino = 500;
	mnl_attr_put(message, UNIX_DIAG_MEMINFO, sizeof(mem), mem);
	kmem_unix_message(reading, message);
	assert_int_equal(reading->owners.n, 3);
	assert_int_equal(reading->owners.items[0].bytes, 100 + 3000 + 4 + 5);
	assert_int_equal(reading->owners.items[0].pid, 8);
	assert_int_equal(reading->owners.items[1].bytes, 100 + 20 + 4 + 5);
	assert_int_equal(reading->owners.items[2].bytes, 100 + 20 + 4);
	assert_int_equal(reading->owners.items[2].pid, 7);
	free_reading(reading);
}

static void sockets_of_proc_net(void **state)
{
	struct kmem_reading *reading = new_reading();

	(void)state;
	kmem_procnet_queues(reading, KMEM_TCP,
			    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			    "retrnsmt   uid  timeout inode\n"
			    "   0: 00000000:07E8 00000000:0000 0A 00000000:00000080 00:00000000 "
			    "00000000     0        0 500 1 0 100 0 0 10 0\n"
			    "   1: 0100007F:98CD 0100007F:8960 01 00001000:00100000 03:00000BAA "
			    "00000000     0        0 501 3 0\n"
			    "   2: 0100007F:98CD 0100007F:8960 06 00001000:00000001 03:00000BAA "
			    "00000000     0        0 0 3 0\n"
			    "   3: 0100007F:98CD 0100007F:8960 01 xyz:00100000 03:00000BAA "
			    "00000000     0        0 501 3 0\n"
			    "   4: 0100007F:98CD 0100007F:8960 01 00001000");
	assert_int_equal(reading->owners.n, 1);
	assert_int_equal(reading->owners.items[0].pid, 8);
	assert_int_equal(reading->owners.items[0].bytes, 0x101000);
	assert_int_equal(reading->owners.items[0].certainty, KMEM_AT_LEAST);
	free_reading(reading);
}

static void page_pools(void **state)
{
	struct kmem_reading *reading = new_reading();
	_Alignas(4) char space[512] = "";
	struct nlmsghdr *message = mnl_nlmsg_put_header(space);

	(void)state;
	(void)mnl_nlmsg_put_extra_header(message, sizeof(struct genlmsghdr));
	mnl_attr_put_u32(message, 1, 3);       /* id */
	mnl_attr_put_u32(message, 4, 512);     /* inflight: "uint", 4 or 8 bytes */
	mnl_attr_put_u64(message, 5, 2 * MIB); /* inflight-mem */
	mnl_attr_put_u32(message, 6, 1234);    /* detach-time */
	kmem_page_pool_message(reading, message);
	assert_int_equal(reading->owners.n, 1);
	assert_true(reading->owners.items[0].bytes == 2 * MIB);
	assert_int_equal(reading->owners.items[0].count, 512);
	assert_string_equal(reading->owners.items[0].what, "device that is gone, detached");
	free_reading(reading);
}

static void rdma_regions(void **state)
{
	struct kmem_reading *reading = new_reading();
	_Alignas(4) char space[512] = "";
	struct nlmsghdr *message = mnl_nlmsg_put_header(space);
	struct nlattr *table, *entry;

	(void)state;
	mnl_attr_put_u32(message, RDMA_NLDEV_ATTR_DEV_INDEX, 0);
	table = mnl_attr_nest_start(message, RDMA_NLDEV_ATTR_RES_MR);
	entry = mnl_attr_nest_start(message, RDMA_NLDEV_ATTR_RES_MR_ENTRY);
	mnl_attr_put_u64(message, RDMA_NLDEV_ATTR_RES_MRLEN, 64 * MIB);
	mnl_attr_put_u32(message, RDMA_NLDEV_ATTR_RES_PID, 4321);
	mnl_attr_nest_end(message, entry);
	entry = mnl_attr_nest_start(message, RDMA_NLDEV_ATTR_RES_MR_ENTRY);
	mnl_attr_put_u64(message, RDMA_NLDEV_ATTR_RES_MRLEN, UINT64_MAX); /* the kernel's */
	mnl_attr_nest_end(message, entry);
	mnl_attr_nest_end(message, table);
	kmem_rdma_message(reading, "mlx5_0", message);
	assert_int_equal(reading->owners.n, 1);
	assert_int_equal(reading->owners.items[0].pid, 4321);
	assert_true(reading->owners.items[0].bytes == 64 * MIB);
	assert_string_equal(reading->owners.items[0].what, "mlx5_0");
	free_reading(reading);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_rows_are_summed),
		cmocka_unit_test(rows_have_a_ceiling),
		cmocka_unit_test(what_is_missing_is_told_once),
		cmocka_unit_test(numbers_are_seen_once),
		cmocka_unit_test(fields_of_fdinfo),
		cmocka_unit_test(inodes_in_links),
		cmocka_unit_test(maps_sit_in_their_line),
		cmocka_unit_test(rings_of_io_uring),
		cmocka_unit_test(mappings_by_name),
		cmocka_unit_test(drm_clients),
		cmocka_unit_test(dma_bufs_of_debugfs),
		cmocka_unit_test(vmalloc_by_function),
		cmocka_unit_test(a_recorded_host),
		cmocka_unit_test(buffers_where_a_driver_allocates),
		cmocka_unit_test(a_udmabuf_without_its_memfd),
		cmocka_unit_test(a_large_vmalloc_list_is_not_read),
		cmocka_unit_test(sockets_have_holders),
		cmocka_unit_test(packet_rings),
		cmocka_unit_test(memory_of_sockets),
		cmocka_unit_test(sockets_of_proc_net),
		cmocka_unit_test(page_pools),
		cmocka_unit_test(rdma_regions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
