/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/runqueue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/clock.h"
#include "base/mem.h"
#include "instruments/bpf_load.h"

#include "runqueue.skel.h"

enum {
	BATCH = 256, /* map entries a system call: 84 KiB */
};

/* A table three quarters full gives up what had nothing to add for so long. */
#define STALE_NS (3600 * NSEC_PER_SEC)

struct runqueue {
	pthread_mutex_t lock; /* the walk and the tables have one reader at a time */
	struct runqueue_bpf *skel;
	struct bpf_link *walk;
	bool by_pid;
};

static const char what[] = "the observer of run queues";

/* --- attaching -------------------------------------------------------------------------------------------------------- */

static int load(const struct runqueue_opts *opts, bool by_pid, struct runqueue_bpf **ret,
		struct err *err)
{
	BPF_OPEN_OPTS(open_opts);
	struct bpf_load told = bpf_load_begin();
	struct runqueue_bpf *skel = runqueue_bpf__open_opts(&open_opts);
	int r = skel ? 0 : -errno;

	if (r == 0) {
		skel->rodata->has_storage = !by_pid;
		skel->rodata->holder_ns = opts->holder_ns ? opts->holder_ns : 4 * NSEC_PER_MSEC;
		r = by_pid ? bpf_map__set_autocreate(skel->maps.storage, false)
			   : bpf_map__set_max_entries(skel->maps.tasks, 1);
	}
	if (r == 0)
		r = runqueue_bpf__load(skel);
	r = bpf_load_end(&told, r, what, err);
	if (r < 0)
		runqueue_bpf__destroy(skel);
	else
		*ret = skel;
	return r;
}

/* Runs the walk over all tasks once. */
static int walk(struct runqueue *rq, struct err *err)
{
	_cleanup_close_ int fd = bpf_iter_create(bpf_link__fd(rq->walk));
	char nothing[64];
	ssize_t n;

	if (fd < 0)
		return err_set(err, errno, "cannot walk the tasks");
	rq->skel->bss->counters.tasks = 0;
	rq->skel->bss->counters.followed = 0;
	rq->skel->bss->counters.delay_ns = 0;
	rq->skel->bss->counters.waits = 0;
	while ((n = read(fd, nothing, sizeof(nothing))) > 0 || (n < 0 && errno == EINTR))
		;
	return n < 0 ? err_set(err, EIO, "the walk of tasks failed (%s)", strerror(errno)) : 0;
}

static int attach(const struct bpf_program *program, struct bpf_link **ret, struct err *err)
{
	struct bpf_load told = bpf_load_begin();
	int r;

	*ret = bpf_program__attach(program);
	r = *ret ? 0 : -errno;
	return bpf_load_end(&told, r, what, err);
}

/*
 * New tasks first, then those that are there; only then waits are looked at, so that each of them belongs to a task that is
 * followed.
 */
static int attach_all(struct runqueue *rq, struct err *err)
{
	struct runqueue_bpf *skel = rq->skel;
	int r = attach(skel->progs.count_tasks, &rq->walk, err);

	r = r < 0 ? r : attach(skel->progs.on_fork, &skel->links.on_fork, err);
	r = r < 0 ? r : attach(skel->progs.on_free, &skel->links.on_free, err);
	r = r < 0 ? r : walk(rq, err);
	if (r < 0)
		return r;
	if (skel->bss->counters.followed < skel->bss->counters.tasks / 2)
		return err_set(err, ENOMEM, "the kernel gives tasks no storage");
	if (skel->bss->counters.waits == 0)
		return err_say(err, EOPNOTSUPP,
			       "this kernel does not time run queues (needs CONFIG_SCHEDSTATS, or "
			       "CONFIG_TASK_DELAY_ACCT and, before 5.14, booting with delayacct)");
	skel->bss->counting = true;
	return attach(skel->progs.on_switch, &skel->links.on_switch, err);
}

static int open_as(const struct runqueue_opts *opts, bool by_pid, struct runqueue **ret,
		   struct err *err)
{
	struct runqueue *rq = xcalloc(1, sizeof(*rq));
	int r;

	(void)pthread_mutex_init(&rq->lock, NULL);
	rq->by_pid = by_pid;
	r = load(opts, by_pid, &rq->skel, err);
	if (r == 0)
		r = attach_all(rq, err);
	if (r < 0)
		runqueue_close(rq);
	else
		*ret = rq;
	return r;
}

/*
 * Task storage is for tracing programs since 5.12 (a10787e6d58c), and newer kernels have none to give where the CPU lacks a
 * double-word compare and exchange. Why else it failed, the second try tells.
 */
int runqueue_open(const struct runqueue_opts *opts, struct runqueue **ret, struct err *err)
{
	if (!opts->by_pid && open_as(opts, false, ret, NULL) == 0)
		return 0;
	return open_as(opts, true, ret, err);
}

void runqueue_close(struct runqueue *rq)
{
	if (!rq)
		return;
	bpf_link__destroy(rq->walk);
	runqueue_bpf__destroy(rq->skel);
	(void)pthread_mutex_destroy(&rq->lock);
	free(rq);
}

const char *runqueue_method(const struct runqueue *rq)
{
	return rq->by_pid ? "bpf-sched-info-by-pid" : "bpf-sched-info";
}

const char *runqueue_missing(const struct runqueue *rq)
{
	return rq->by_pid ? "this kernel has no task storage for tracing programs: tasks are "
			    "followed by pid, at most 32768"
			  : NULL;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

/* All of a hash map; *ret_keys and *ret_values are the caller's to free. */
static int read_map(const struct bpf_map *map, size_t key_size, size_t value_size, void **ret_keys,
		    void **ret_values, size_t *ret_n, struct err *err)
{
	size_t max = bpf_map__max_entries(map), n = 0;
	_cleanup_free_ char *keys = xcalloc(max + BATCH, key_size);
	_cleanup_free_ char *values = xcalloc(max + BATCH, value_size);
	__u32 token = 0, next = 0;
	bool first = true;
	int r;

	do {
		__u32 count = BATCH;

		r = bpf_map_lookup_batch(bpf_map__fd(map), first ? NULL : &token, &next,
					 keys + n * key_size, values + n * value_size, &count,
					 NULL);
		if (r < 0 && errno != ENOENT)
			return err_set(err, errno, "cannot read a table of %s", what);
		n += count;
		token = next;
		first = false;
	} while (r == 0 && n < max);
	*ret_keys = take_ptr(keys);
	*ret_values = take_ptr(values);
	*ret_n = n;
	return 0;
}

/* Makes room: forgets rows that nobody adds to any more. Those who read differences see a row begin anew at worst. */
static void forget_stale(const struct bpf_map *map, const char *key, size_t key_size,
			 uint64_t last_ns, uint64_t now_ns, size_t n)
{
	if (n >= (size_t)bpf_map__max_entries(map) / 4 * 3 && last_ns + STALE_NS < now_ns)
		(void)bpf_map__delete_elem(map, key, key_size, 0);
}

static void to_row(const struct runqueue_key *key, const struct runqueue_row *from,
		   struct latency_row *row)
{
	uint64_t fast_max_ns;

	row->cgroup_id = key->cgroup;
	row->target_id = 0;
	row->cause = (uint32_t)key->cause;
	row->hist = from->slow;
	if (key->cause != RUNQUEUE_CONTENTION)
		return;
	row->hist.count += from->fast_count;
	row->hist.buckets[hist_bucket(RUNQUEUE_SLOW_NS)] += from->fast_count;
	/* Slow waits that ended since the walk are in their sum alone. */
	if (from->delay_ns > row->hist.sum_ns)
		row->hist.sum_ns = from->delay_ns;
	/* The longest of the fast ones is not known: at most this. */
	fast_max_ns = from->delay_ns < RUNQUEUE_SLOW_NS ? from->delay_ns : RUNQUEUE_SLOW_NS;
	if (row->hist.max_ns < fast_max_ns)
		row->hist.max_ns = fast_max_ns;
}

static int read_waits(struct runqueue *rq, struct latency_snapshot *waits, struct err *err)
{
	_cleanup_free_ void *keys = NULL, *values = NULL;
	const struct bpf_map *map = rq->skel->maps.rows;
	size_t n;
	int r = read_map(map, sizeof(struct runqueue_key), sizeof(struct runqueue_row), &keys,
			 &values, &n, err);

	if (r < 0)
		return r;
	waits->time_ns = clock_mono_ns();
	waits->lost = rq->skel->bss->counters.lost_waits;
	waits->rows = xcalloc(n + 1, sizeof(*waits->rows));
	for (size_t i = 0; i < n; i++) {
		const struct runqueue_key *key = (struct runqueue_key *)keys + i;
		const struct runqueue_row *row = (struct runqueue_row *)values + i;

		to_row(key, row, &waits->rows[i]);
		forget_stale(map, (const char *)key, sizeof(*key), row->last_ns, waits->time_ns, n);
	}
	waits->n = n;
	latency_snapshot_sort(waits);
	return 0;
}

static int compare_holders(const void *pa, const void *pb)
{
	const struct runqueue_holder *a = pa, *b = pb;

	if (a->waiter_id != b->waiter_id)
		return a->waiter_id < b->waiter_id ? -1 : 1;
	return a->holder_id < b->holder_id ? -1 : a->holder_id > b->holder_id;
}

static int read_holders(struct runqueue *rq, struct runqueue_snapshot *snapshot, struct err *err)
{
	_cleanup_free_ void *keys = NULL, *values = NULL;
	const struct bpf_map *map = rq->skel->maps.culprits;
	uint64_t now_ns = clock_mono_ns();
	size_t n;
	int r = read_map(map, sizeof(struct runqueue_pair), sizeof(struct runqueue_culprit), &keys,
			 &values, &n, err);

	if (r < 0)
		return r;
	snapshot->holders = xcalloc(n + 1, sizeof(*snapshot->holders));
	for (size_t i = 0; i < n; i++) {
		const struct runqueue_pair *key = (struct runqueue_pair *)keys + i;
		const struct runqueue_culprit *from = (struct runqueue_culprit *)values + i;
		struct runqueue_holder *holder = &snapshot->holders[i];

		holder->waiter_id = key->waiter;
		holder->holder_id = key->holder;
		holder->count = from->count;
		holder->wait_ns = from->wait_ns;
		holder->held_ns = from->held_ns;
		holder->holder_pid = from->holder_pid;
		holder->waiter_pid = from->waiter_pid;
		memcpy(holder->holder_comm, from->holder_comm, sizeof(holder->holder_comm));
		memcpy(holder->waiter_comm, from->waiter_comm, sizeof(holder->waiter_comm));
		holder->holder_comm[RUNQUEUE_COMM - 1] = '\0';
		holder->waiter_comm[RUNQUEUE_COMM - 1] = '\0';
		forget_stale(map, (const char *)key, sizeof(*key), from->last_ns, now_ns, n);
	}
	snapshot->n_holders = n;
	qsort(snapshot->holders, n, sizeof(*snapshot->holders), compare_holders);
	return 0;
}

int runqueue_read(struct runqueue *rq, struct runqueue_snapshot **ret, struct err *err)
{
	struct runqueue_snapshot *snapshot = xcalloc(1, sizeof(*snapshot));
	int r;

	snapshot->waits = xcalloc(1, sizeof(*snapshot->waits));
	(void)pthread_mutex_lock(&rq->lock);
	r = walk(rq, err);
	r = r < 0 ? r : read_waits(rq, snapshot->waits, err);
	r = r < 0 ? r : read_holders(rq, snapshot, err);
	snapshot->lost_holders = rq->skel->bss->counters.lost_culprits;
	snapshot->stateless = rq->skel->bss->counters.stateless;
	snapshot->tasks = rq->skel->bss->counters.tasks;
	(void)pthread_mutex_unlock(&rq->lock);
	if (r < 0)
		runqueue_snapshot_free(snapshot);
	else
		*ret = snapshot;
	return r;
}

void runqueue_snapshot_free(struct runqueue_snapshot *snapshot)
{
	if (!snapshot)
		return;
	latency_snapshot_free(snapshot->waits);
	free(snapshot->holders);
	free(snapshot);
}

/* --- differences ------------------------------------------------------------------------------------------------------ */

static void subtract_holder(struct runqueue_holder *holder, const struct runqueue_holder *before)
{
	if (holder->count < before->count || holder->wait_ns < before->wait_ns)
		return; /* it began anew */
	holder->count -= before->count;
	holder->wait_ns -= before->wait_ns;
	holder->held_ns -= before->held_ns < holder->held_ns ? before->held_ns : holder->held_ns;
}

struct runqueue_snapshot *runqueue_diff(const struct runqueue_snapshot *before,
					const struct runqueue_snapshot *after)
{
	struct runqueue_snapshot *diff = xcalloc(1, sizeof(*diff));
	size_t at = 0;

	diff->waits = latency_diff(before ? before->waits : NULL, after->waits);
	diff->lost_holders = after->lost_holders - (before ? before->lost_holders : 0);
	diff->stateless = after->stateless - (before ? before->stateless : 0);
	diff->tasks = after->tasks;
	diff->holders = xcalloc(after->n_holders + 1, sizeof(*diff->holders));
	for (size_t i = 0; i < after->n_holders; i++) {
		struct runqueue_holder *holder = &diff->holders[diff->n_holders];

		while (before && at < before->n_holders &&
		       compare_holders(&before->holders[at], &after->holders[i]) < 0)
			at++;
		*holder = after->holders[i];
		if (before && at < before->n_holders &&
		    compare_holders(&before->holders[at], holder) == 0)
			subtract_holder(holder, &before->holders[at]);
		diff->n_holders += holder->count > 0;
	}
	return diff;
}

/* --- as a capture ----------------------------------------------------------------------------------------------------- */

static int open_capture(const struct host *host, void **ret, struct err *err)
{
	const struct runqueue_opts opts = {0};

	(void)host;
	return runqueue_open(&opts, (struct runqueue **)ret, err);
}

static void close_capture(void *self)
{
	runqueue_close(self);
}

const struct capture_ops runqueue_capture = {
	.name = "run queues",
	.open = open_capture,
	.close = close_capture,
};
