/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A histogram of latencies, shared by BPF programs and user space: powers of two from 1 us to 67 s, and between them the
 * round edges that dashboards are made of (1, 5, 10, 100, 500 and 1000 ms), so that both views are exact.
 */
#ifndef MEMDIAG_BPF_HIST_H
#define MEMDIAG_BPF_HIST_H

/* Upper bounds, inclusive, in microseconds; the last bucket has none. */
#define HIST_EDGES_US                                                                            \
	1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1024, 2048, 4096, 5000, 8192, 10000, 16384, \
		32768, 65536, 100000, 131072, 262144, 500000, 524288, 1000000, 1048576, 2097152, \
		4194304, 8388608, 16777216, 33554432, 67108864
enum { HIST_EDGES = 33, HIST_BUCKETS = HIST_EDGES + 1 };

struct hist {
	__u64 count;
	__u64 sum_ns;
	__u64 max_ns;
	__u64 buckets[HIST_BUCKETS]; /* counts of each bucket alone */
};

/* The bucket of a latency. A microsecond begun counts as one, so that no value stands in a bucket below it. */
static __attribute__((always_inline)) inline __u32 hist_bucket(__u64 ns)
{
	__u64 us = (ns + 999) / 1000;
	__u64 left;
	__u32 log2 = 0; /* rounded up */

	if (us > 67108864)
		return HIST_EDGES;
	left = us > 1 ? us - 1 : 0;
	/* A fixed number of steps instead of a loop: the verifier on 5.10 has no need to unroll it. */
	if (left >> 16) {
		log2 += 16;
		left >>= 16;
	}
	if (left >> 8) {
		log2 += 8;
		left >>= 8;
	}
	if (left >> 4) {
		log2 += 4;
		left >>= 4;
	}
	if (left >> 2) {
		log2 += 2;
		left >>= 2;
	}
	if (left >> 1) {
		log2 += 1;
		left >>= 1;
	}
	log2 += left ? 1 : 0;
	return log2 + (us > 1000) + (us > 5000) + (us > 10000) + (us > 100000) + (us > 500000) +
	       (us > 1000000);
}

#endif
