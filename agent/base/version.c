/* SPDX-License-Identifier: Apache-2.0 */
#include "base/version.h"

#ifndef MEMDIAG_VERSION
#define MEMDIAG_VERSION "unknown"
#endif

const char memdiag_version[] = MEMDIAG_VERSION;
