/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMDIAG_BASE_VERSION_H
#define MEMDIAG_BASE_VERSION_H

/* `git describe` of the source this was built from. */
extern const char memdiag_version[];

#endif
