/* SPDX-License-Identifier: Apache-2.0 */
#include "support/plant_device.h"

#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "support/plant_rdma.h"

static const char heap_file[] = "/dev/dma_heap/system";
static const char udmabuf_file[] = "/dev/udmabuf";

/* Each returns the descriptor of a new buffer, or -1. They run in the child: no assertions. */

static int udmabuf(size_t bytes, bool alone)
{
	struct udmabuf_create create = {.flags = UDMABUF_FLAGS_CLOEXEC, .size = bytes};
	int device = open(udmabuf_file, O_RDWR | O_CLOEXEC);
	int memfd = memfd_create("planted", MFD_CLOEXEC | MFD_ALLOW_SEALING), fd;

	/* It could be cut short below the buffer otherwise. */
	if (device < 0 || memfd < 0 || ftruncate(memfd, (off_t)bytes) < 0 ||
	    fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -1;
	create.memfd = (unsigned int)memfd;
	fd = ioctl(device, UDMABUF_CREATE, &create);
	if (alone)
		(void)close(memfd);
	return fd;
}

static int dma_heap(size_t bytes)
{
	struct dma_heap_allocation_data data = {.len = bytes, .fd_flags = O_RDWR | O_CLOEXEC};
	int heap = open(heap_file, O_RDONLY | O_CLOEXEC);

	return heap < 0 || ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) < 0 ? -1 : (int)data.fd;
}

static char *map_written(int fd, size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	for (size_t i = 0; p != MAP_FAILED && i < bytes; i += 4096)
		((volatile char *)p)[i] = 1;
	return p == MAP_FAILED ? NULL : p;
}

/* --- a GPU without hardware; not every machine has the headers of DRM ------------------------------------------------------ */

struct drm_text {
	size_t bytes;
	char *text;
};

struct drm_version {
	int major, minor, patchlevel;
	struct drm_text name, date, description;
};

struct drm_dumb {
	uint32_t height, width, bpp, flags;
	uint32_t handle, pitch;
	uint64_t size;
};

struct drm_prime {
	uint32_t handle, flags;
	int32_t fd;
};

#define DRM_VERSION	       _IOWR('d', 0x00, struct drm_version)
#define DRM_PRIME_HANDLE_TO_FD _IOWR('d', 0x2d, struct drm_prime)
#define DRM_CREATE_DUMB	       _IOWR('d', 0xb2, struct drm_dumb)

static int open_vgem(void)
{
	for (int i = 0; i < 16; i++) {
		char path[32], name[16] = "";
		struct drm_version version = {.name = {sizeof(name) - 1, name}};
		int fd;

		(void)snprintf(path, sizeof(path), "/dev/dri/card%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (ioctl(fd, DRM_VERSION, &version) == 0 && strcmp(name, "vgem") == 0)
			return fd;
		(void)close(fd);
	}
	return -1;
}

static int vgem(size_t bytes)
{
	/* An image of 1024 pixels a line, 4 bytes each. */
	struct drm_dumb dumb = {.width = 1024, .bpp = 32, .height = (uint32_t)(bytes >> 12)};
	struct drm_prime prime = {.flags = O_RDWR | O_CLOEXEC};
	int card = open_vgem();

	if (card < 0 || ioctl(card, DRM_CREATE_DUMB, &dumb) < 0 || dumb.size != bytes)
		return -1;
	prime.handle = dumb.handle;
	if (ioctl(card, DRM_PRIME_HANDLE_TO_FD, &prime) < 0)
		return -1;
	/* Pages come when they are first used. */
	return map_written(prime.fd, bytes) ? prime.fd : -1;
}

/* --------------------------------------------------------------------------------------------------------------------------- */

bool plant_device_there(enum plant_device device)
{
	_cleanup_close_ int card = -1;

	switch (device) {
	case PLANT_UDMABUF:
	case PLANT_UDMABUF_ALONE:
		return access(udmabuf_file, F_OK) == 0;
	case PLANT_DMA_HEAP:
		return access(heap_file, F_OK) == 0;
	case PLANT_VGEM:
		card = open_vgem();
		return card >= 0;
	case PLANT_RDMA:
		return plant_rdma_there();
	default:
		return false;
	}
}

struct job {
	enum plant_device device;
	size_t bytes;
	bool mapped;
};

static int plant(void *arg)
{
	const struct job *job = arg;
	int fd = -1;

	if (job->device == PLANT_RDMA)
		return plant_rdma_region(job->bytes) ? 0 : 12;
	if (job->device == PLANT_UDMABUF || job->device == PLANT_UDMABUF_ALONE)
		fd = udmabuf(job->bytes, job->device == PLANT_UDMABUF_ALONE);
	else if (job->device == PLANT_DMA_HEAP)
		fd = dma_heap(job->bytes);
	else if (job->device == PLANT_VGEM)
		fd = vgem(job->bytes);
	if (fd < 0)
		return 10;
	if (job->mapped)
		return map_written(fd, job->bytes) && close(fd) == 0 ? 0 : 11;
	return dup(fd) < 0 ? 11 : 0;
}

struct plant_child plant_device(enum plant_device device, size_t bytes)
{
	struct job job = {device, bytes, false};

	return plant_process(NULL, plant, &job);
}

struct plant_child plant_device_mapped(enum plant_device device, size_t bytes)
{
	struct job job = {device, bytes, true};

	return plant_process(NULL, plant, &job);
}

/* --- network ----------------------------------------------------------------------------------------------------------------- */

static void net_flags(unsigned long request, struct ifreq *ifreq)
{
	_cleanup_close_ int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(s >= 0);
	assert_int_equal(ioctl(s, request, ifreq), 0);
}

bool plant_device_net(char *ret_name)
{
	struct if_nameindex *all;
	struct utsname uts;
	bool found = false;

	/* Seen in 7.2. Before, the driver had pages of its own. */
	assert_int_equal(uname(&uts), 0);
	if (strverscmp(uts.release, "7.2") < 0)
		return false;
	all = if_nameindex();
	assert_non_null(all);
	for (size_t i = 0; !found && all[i].if_index != 0; i++) {
		char path[96], driver[128] = "";
		struct ifreq ifreq = {0};

		(void)snprintf(path, sizeof(path), "/sys/class/net/%s/device/driver",
			       all[i].if_name);
		if (readlink(path, driver, sizeof(driver) - 1) < 0 ||
		    !strstr(driver, "/virtio_net"))
			continue;
		(void)snprintf(ifreq.ifr_name, IF_NAMESIZE, "%s", all[i].if_name);
		net_flags(SIOCGIFFLAGS, &ifreq);
		found = !(ifreq.ifr_flags & IFF_UP);
		if (found)
			(void)snprintf(ret_name, IF_NAMESIZE, "%s", all[i].if_name);
	}
	if_freenameindex(all);
	return found;
}

void plant_device_net_up(const char *name, bool up)
{
	struct ifreq ifreq = {0};

	(void)snprintf(ifreq.ifr_name, IF_NAMESIZE, "%s", name);
	net_flags(SIOCGIFFLAGS, &ifreq);
	ifreq.ifr_flags = (short)(up ? ifreq.ifr_flags | IFF_UP : ifreq.ifr_flags & ~IFF_UP);
	net_flags(SIOCSIFFLAGS, &ifreq);
}
