# SPDX-License-Identifier: Apache-2.0
"""What of a file is in the page cache."""

import ctypes
import mmap
import os


def hold(path):
    """Locks the file's pages: some kernels reclaim within seconds what nobody uses. Who pays for them stays the same."""
    with open(path, "rb") as f:
        mapped = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
    libc = ctypes.CDLL(None, use_errno=True)
    address = ctypes.c_char.from_buffer(mapped)
    assert libc.mlock(ctypes.byref(address), ctypes.c_size_t(len(mapped))) == 0, os.strerror(ctypes.get_errno())
    del address
    return mapped


def drop(path):
    """Writes the file's pages to the disk and lets go of them."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
