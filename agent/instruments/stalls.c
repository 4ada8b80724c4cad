/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/stalls.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/clock.h"
#include "base/mem.h"
#include "instruments/bpf_load.h"
#include "instruments/ksyms.h"

#include "stalls.skel.h"

enum {
	CLOCK_PERIOD_NS = 4000000, /* of perf's clock event, where it has to replace the tick */
	MOVES = 40,		   /* from CPU to CPU, to find the flag; each is a sample */
	SAMPLES_MIN = 20,
};

struct stalls {
	pthread_mutex_t lock;
	struct stalls_bpf *skel;
	struct ring_buffer *ring;
	struct bpf_link **clocks; /* one for each CPU */
	int n_clocks;
	/* The latest events: number s is at s % STALLS_KEEP. */
	struct stalls_event kept[STALLS_KEEP];
	uint64_t seq;
};

static const char what[] = "the observer of scheduling stalls";

/* --- attaching -------------------------------------------------------------------------------------------------------- */

/* Where the tick and its way in from user space are; 0s when the kernel does not tell. */
static void find_functions(const struct root *proc, uint64_t *tick, uint64_t *user_entry,
			   uint64_t *user_entry_end)
{
	/* Since 6.9 (efe9d9f8e8f7) one function for both kinds of tick; before, this one was the high resolution one's. */
	static const char *const ticks[] = {"tick_nohz_handler", "tick_sched_timer"};
	static const char *const entries[] = {"asm_sysvec_apic_timer_interrupt", "el0t_64_irq",
					      "el0_irq"};
	struct ksyms *symbols = NULL;

	if (ksyms_load(proc, &symbols, NULL) < 0)
		return;
	/* tick_nohz_handler is also an older kernel's low resolution tick, which is no timer. */
	*tick = ksyms_address(symbols, ticks[1]);
	if (!*tick)
		*tick = ksyms_address(symbols, ticks[0]);
	for (size_t i = 0; i < ARRAY_SIZE(entries) && !*user_entry; i++)
		*user_entry = ksyms_address(symbols, entries[i]);
	*user_entry_end = ksyms_end(symbols, *user_entry);
	ksyms_free(symbols);
}

/* The programs for one way of looking; -ENOENT: the tick's function is not to be found. */
static int load(const struct root *proc, const struct stalls_opts *opts, bool by_clock,
		struct stalls_bpf **ret, struct err *err)
{
	BPF_OPEN_OPTS(open_opts);
	uint64_t tick = 0, user_entry = 0, user_entry_end = 0;
	struct bpf_load told;
	struct stalls_bpf *skel;
	int r;

	find_functions(proc, &tick, &user_entry, &user_entry_end);
	if (!by_clock && !tick)
		return err_say(err, ENOENT, "the kernel does not show the function of its tick");
	told = bpf_load_begin();
	skel = stalls_bpf__open_opts(&open_opts);
	r = skel ? 0 : -errno;
	if (r == 0) {
		skel->rodata->tick_function = tick;
		skel->rodata->user_entry = user_entry;
		skel->rodata->user_entry_end = user_entry_end;
		if (opts->no_sched_ns)
			skel->rodata->no_sched_ns = opts->no_sched_ns;
		(void)bpf_program__set_autoload(
			by_clock ? skel->progs.on_tick : skel->progs.on_clock, false);
		r = stalls_bpf__load(skel);
	}
	r = bpf_load_end(&told, r, what, err);
	if (r < 0)
		stalls_bpf__destroy(skel);
	else
		*ret = skel;
	return r;
}

static int attach(const struct bpf_program *program, struct bpf_link **ret, struct err *err)
{
	struct bpf_load told = bpf_load_begin();
	int r;

	*ret = bpf_program__attach(program);
	r = *ret ? 0 : -errno;
	return bpf_load_end(&told, r, what, err);
}

/* Moves this thread from one of its CPUs to another and back. */
static void move_about(const cpu_set_t *allowed)
{
	int cpus[2] = {-1, -1}, n = 0;

	for (int cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET((size_t)cpu, allowed))
			cpus[n++] = cpu;
	for (int i = 0; i < MOVES && n == 2; i++) {
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET((size_t)cpus[i % 2], &one);
		(void)sched_setaffinity(0, sizeof(one), &one);
	}
	(void)sched_setaffinity(0, sizeof(*allowed), allowed);
}

/* Finds the bit of thread_info.flags; see find_wakeup in the program. */
static int find_flag(struct stalls_bpf *skel, struct err *err)
{
	struct bpf_link *wakeup = NULL, *change = NULL;
	cpu_set_t allowed;
	uint64_t mask;
	int r;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return err_set(err, errno, "cannot read this thread's CPUs");
	skel->bss->find_tgid = (__u32)getpid();
	skel->bss->find_and = UINT64_MAX;
	skel->bss->find_or = 0;
	skel->bss->find_n = 0;
	r = attach(skel->progs.find_wakeup, &wakeup, err);
	r = r < 0 ? r : attach(skel->progs.find_switch, &change, err);
	if (r == 0)
		move_about(&allowed);
	bpf_link__destroy(wakeup);
	bpf_link__destroy(change);
	if (r < 0)
		return r;
	mask = skel->bss->find_and & ~skel->bss->find_or;
	if (skel->bss->find_n < SAMPLES_MIN || mask == 0 || (mask & (mask - 1)))
		return err_say(
			err, EOPNOTSUPP,
			"cannot find out by which flag this kernel asks a task to give up the "
			"CPU (needs two CPUs that this process may use)");
	skel->bss->resched_mask = mask;
	return 0;
}

/* perf's clock event on each CPU that is there. */
static int attach_clocks(struct stalls *stalls, struct err *err)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(attr),
		.sample_period = CLOCK_PERIOD_NS,
	};
	int n_cpus = libbpf_num_possible_cpus(), error = 0;

	stalls->clocks = xcalloc((size_t)(n_cpus > 0 ? n_cpus : 1), sizeof(*stalls->clocks));
	for (int cpu = 0; cpu < n_cpus; cpu++) {
		struct bpf_load told = bpf_load_begin();
		int fd =
			(int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
		struct bpf_link *link =
			fd >= 0 ? bpf_program__attach_perf_event(stalls->skel->progs.on_clock, fd)
				: NULL;

		(void)bpf_load_end(&told, 0, what, NULL);
		if (link) {
			stalls->clocks[stalls->n_clocks++] = link;
			continue;
		}
		error = errno;
		if (fd >= 0)
			close(fd);
	}
	return stalls->n_clocks > 0
		       ? 0
		       : err_set(err, error ? error : ENODEV, "cannot use perf's clock event");
}

/* Fails when no tick comes by: a busy CPU has one every 10 ms at least, and this one is; a virtual one may be away for long. */
static int attach_tick(struct stalls *stalls, struct err *err)
{
	struct stalls_bpf *skel = stalls->skel;
	uint64_t end_ns = clock_mono_ns() + 250 * NSEC_PER_MSEC;
	int r = attach(skel->progs.on_tick, &skel->links.on_tick, err);

	while (r == 0 && skel->bss->counters.ticks == 0)
		if (clock_mono_ns() > end_ns)
			return err_say(err, ENODEV, "the tick is no high resolution timer");
	return r;
}

static int keep(void *arg, void *data, size_t size)
{
	struct stalls *stalls = arg;

	if (size >= sizeof(struct stalls_event))
		memcpy(&stalls->kept[++stalls->seq % STALLS_KEEP], data,
		       sizeof(struct stalls_event));
	return 0;
}

static int open_as(const struct root *proc, const struct stalls_opts *opts, bool by_clock,
		   struct stalls **ret, struct err *err)
{
	struct stalls *stalls = xcalloc(1, sizeof(*stalls));
	int r;

	(void)pthread_mutex_init(&stalls->lock, NULL);
	r = load(proc, opts, by_clock, &stalls->skel, err);
	r = r < 0 ? r : find_flag(stalls->skel, err);
	if (r == 0) {
		stalls->ring =
			ring_buffer__new(bpf_map__fd(stalls->skel->maps.ring), keep, stalls, NULL);
		r = stalls->ring ? 0 : err_set(err, errno, "cannot map the ring of %s", what);
	}
	if (r == 0)
		r = by_clock ? attach_clocks(stalls, err) : attach_tick(stalls, err);
	if (r < 0)
		stalls_close(stalls);
	else
		*ret = stalls;
	return r;
}

int stalls_open(const struct root *proc, const struct stalls_opts *opts, struct stalls **ret,
		struct err *err)
{
	int r = opts->by_clock ? -ENOENT : open_as(proc, opts, false, ret, err);

	/* What is no matter of the tick is none of the clock either. */
	return r == 0 || r == -EOPNOTSUPP || r == -EPERM ? r : open_as(proc, opts, true, ret, err);
}

void stalls_close(struct stalls *stalls)
{
	if (!stalls)
		return;
	for (int i = 0; i < stalls->n_clocks; i++)
		bpf_link__destroy(stalls->clocks[i]);
	free(stalls->clocks);
	ring_buffer__free(stalls->ring);
	stalls_bpf__destroy(stalls->skel);
	(void)pthread_mutex_destroy(&stalls->lock);
	free(stalls);
}

const char *stalls_method(const struct stalls *stalls)
{
	return stalls->n_clocks > 0 ? "perf-cpu-clock" : "bpf-tick";
}

const char *stalls_missing(const struct stalls *stalls)
{
	return stalls->n_clocks > 0
		       ? "this kernel's tick cannot be looked at (no high resolution timers, or "
			 "its "
			 "symbols are hidden): a clock event looks every 4 ms, and times with "
			 "interrupts off are not seen"
		       : NULL;
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

static void read_rows(const struct bpf_map *map, struct latency_snapshot *waits)
{
	struct stalls_key key, *at = NULL;
	size_t max = bpf_map__max_entries(map);

	waits->rows = xcalloc(max, sizeof(*waits->rows));
	/* Few: a row is made by a stall. */
	while (waits->n < max && bpf_map_get_next_key(bpf_map__fd(map), at, &key) == 0) {
		struct latency_row *row = &waits->rows[waits->n];

		at = &key;
		if (bpf_map_lookup_elem(bpf_map__fd(map), &key, &row->hist) < 0)
			continue;
		row->cgroup_id = key.cgroup;
		row->cause = (uint32_t)key.kind;
		waits->n++;
	}
	latency_snapshot_sort(waits);
}

static void copy_events(const struct stalls *stalls, uint64_t since_seq,
			struct stalls_snapshot *snapshot)
{
	uint64_t kept = stalls->seq < STALLS_KEEP ? stalls->seq : STALLS_KEEP;
	uint64_t wanted = since_seq < stalls->seq ? stalls->seq - since_seq : 0;
	uint64_t n = wanted < kept ? wanted : kept;

	snapshot->seq = stalls->seq;
	snapshot->missed = wanted - n;
	snapshot->events = xcalloc(n + 1, sizeof(*snapshot->events));
	for (uint64_t i = 0; i < n; i++)
		snapshot->events[i] = stalls->kept[(stalls->seq - n + 1 + i) % STALLS_KEEP];
	snapshot->n_events = n;
}

int stalls_read(struct stalls *stalls, uint64_t since_seq, struct stalls_snapshot **ret,
		struct err *err)
{
	struct stalls_snapshot *snapshot = xcalloc(1, sizeof(*snapshot));
	const struct stalls_counters *counters = &stalls->skel->bss->counters;
	int r;

	snapshot->waits = xcalloc(1, sizeof(*snapshot->waits));
	(void)pthread_mutex_lock(&stalls->lock);
	r = ring_buffer__consume(stalls->ring);
	snapshot->waits->time_ns = clock_mono_ns();
	snapshot->waits->lost = counters->lost_rows;
	read_rows(stalls->skel->maps.rows, snapshot->waits);
	copy_events(stalls, since_seq, snapshot);
	snapshot->lost = counters->lost_events;
	snapshot->ticks = counters->ticks;
	snapshot->stolen = counters->stolen;
	snapshot->stolen_ns = counters->stolen_ns;
	(void)pthread_mutex_unlock(&stalls->lock);
	if (r < 0) {
		stalls_snapshot_free(snapshot);
		return err_set(err, -r, "cannot read the ring of %s", what);
	}
	*ret = snapshot;
	return 0;
}

void stalls_snapshot_free(struct stalls_snapshot *snapshot)
{
	if (!snapshot)
		return;
	latency_snapshot_free(snapshot->waits);
	free(snapshot->events);
	free(snapshot);
}

/* --- as a capture ----------------------------------------------------------------------------------------------------- */

static int open_capture(const struct host *host, void **ret, struct err *err)
{
	const struct stalls_opts opts = {0};

	return stalls_open(&host->proc, &opts, (struct stalls **)ret, err);
}

static void close_capture(void *self)
{
	stalls_close(self);
}

const struct capture_ops stalls_capture = {
	.name = "scheduling stalls",
	.open = open_capture,
	.close = close_capture,
};
