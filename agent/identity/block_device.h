/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a block device is called: its numbers become the name that the kernel gave it.
 */
#ifndef MEMDIAG_IDENTITY_BLOCK_DEVICE_H
#define MEMDIAG_IDENTITY_BLOCK_DEVICE_H

#include <stdint.h>

#include "base/root.h"

/*
 * The name of its node below /dev, such as "sda1", "dm-0" or "cciss/c0d0p1". sys is /sys. NULL: there is no such device, or its
 * name is none that a path could end with. The caller frees it.
 */
char *block_device_name(const struct root *sys, uint32_t major, uint32_t minor);

#endif
