/* SPDX-License-Identifier: Apache-2.0 */
/* Whole small files by path: kubeconfigs and tokens. Private to kube/. */
#ifndef MEMDIAG_KUBE_FILE_H
#define MEMDIAG_KUBE_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the file to out; -EFBIG beyond out->max. */
int kube_file_read(const char *path, struct buf *out, struct err *err);

#endif
