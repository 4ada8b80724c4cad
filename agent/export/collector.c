/* SPDX-License-Identifier: Apache-2.0 */
#include "export/collector.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "export/families.h"

/* How often names are asked for: sooner when a cgroup turns up that has none, later when nothing does. */
#define NAMES_SOON_NS (10 * NSEC_PER_SEC)
#define NAMES_LATE_NS (300 * NSEC_PER_SEC)

enum { MAX_WAITING = 32 }; /* scrapes that wait for one reading; more are served the old text */

struct collector {
	struct collector_opts opts;
	pthread_t thread;
	struct reading reading; /* the thread's own */
	struct pods *pods;
	uint64_t names_ns; /* when names were asked for */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Under lock. */
	bool asked, stop;
	struct published *newest;
	uint64_t newest_ns;
	struct {
		void (*notify)(void *arg);
		void *arg;
	} waiting[MAX_WAITING];
	size_t n_waiting;
};

static void put_locked(struct published *published)
{
	if (!published || --published->holders > 0)
		return;
	free(published->text);
	free(published);
}

/* --- the thread ------------------------------------------------------------------------------------------------------- */

/* Names, when it is time. They come from the runtime's socket: a scrape never waits for them. */
static void read_names(struct collector *collector)
{
	const struct pods_opts opts = {collector->opts.host, collector->opts.identity.cri_socket,
				       collector->opts.identity.kubelet, NULL};
	uint64_t age_ns = clock_mono_ns() - collector->names_ns;
	struct pods *pods;

	if (collector->pods && age_ns < NAMES_LATE_NS &&
	    (collector->reading.unknown_cgroups == 0 || age_ns < NAMES_SOON_NS))
		return;
	collector->names_ns = clock_mono_ns();
	if (pods_read(&opts, &pods, NULL) == 0) {
		pods_free(collector->pods);
		collector->pods = pods;
	}
	export_count_cgroups(&collector->reading);
}

static struct published *read_all(struct collector *collector)
{
	struct published *published = xcalloc(1, sizeof(*published));
	size_t max = collector->opts.max_series ? collector->opts.max_series : COLLECTOR_MAX_SERIES;
	uint64_t begin_ns = clock_mono_ns();
	struct reading *reading = &collector->reading;
	struct exposition e;

	exposition_init(&e, max);
	reading->pods = collector->pods;
	reading_begin(reading);
	/* What tells whether the rest can be trusted comes first: it must not be what a ceiling cuts off. */
	export_self(reading, &e);
	export_node_memory(reading, &e);
	export_latency(reading, &e);
	export_containers(reading, &e);
	if (collector->opts.compat_sysom)
		export_sysom(reading, &e);
	reading_end(reading);
	exposition_family(&e, "memdiag_series_dropped", EXPOSITION_GAUGE,
			  "Series that this scrape leaves out: above --metrics-max-series.");
	e.max_series = SIZE_MAX;
	exposition_u64(&e, NULL, 0, e.dropped);
	published->len = e.text.len;
	published->text = buf_take(&e.text);
	published->holders = 1;
	exposition_done(&e);
	reading->last_reading_ns = clock_mono_ns() - begin_ns;
	return published;
}

/* With the lock held. */
static void notify_waiting(struct collector *collector)
{
	for (size_t i = 0; i < collector->n_waiting; i++)
		collector->waiting[i].notify(collector->waiting[i].arg);
	collector->n_waiting = 0;
}

/* Called and returns with the lock held. */
static void publish(struct collector *collector)
{
	struct published *published, *old;

	collector->asked = false;
	(void)pthread_mutex_unlock(&collector->lock);
	published = read_all(collector);
	(void)pthread_mutex_lock(&collector->lock);
	old = collector->newest;
	collector->newest = published;
	collector->newest_ns = clock_mono_ns();
	put_locked(old);
	notify_waiting(collector);
}

static void *collector_main(void *arg)
{
	struct collector *collector = arg;

	read_names(collector);
	(void)pthread_mutex_lock(&collector->lock);
	while (!collector->stop) {
		if (!collector->asked) {
			(void)pthread_cond_wait(&collector->wake, &collector->lock);
			continue;
		}
		publish(collector);
		(void)pthread_mutex_unlock(&collector->lock);
		read_names(collector);
		(void)pthread_mutex_lock(&collector->lock);
	}
	(void)pthread_mutex_unlock(&collector->lock);
	return NULL;
}

/* --- for others ------------------------------------------------------------------------------------------------------- */

/* What this kernel cannot run is said once, in the log and in the metrics; the rest is attached all the same. */
static void attach(struct collector *collector)
{
	for (int type = 0; type < CAPTURES; type++) {
		struct err err = {0};
		int r;

		if (collector->opts.captures_off & 1U << type)
			continue;
		r = captures_hold(collector->opts.captures, (enum capture_type)type,
				  &collector->reading.captures[type], &err);
		if (r == 0)
			continue;
		collector->reading.captures[type] = NULL;
		collector->reading.capture_problems[type] = xstrdup(err.msg);
		if (r != -EOPNOTSUPP)
			log_warn("monitoring: %s", err.msg);
	}
}

static void detach(struct collector *collector)
{
	for (int type = 0; type < CAPTURES; type++) {
		if (collector->reading.captures[type])
			captures_release(collector->opts.captures, (enum capture_type)type);
		free(collector->reading.capture_problems[type]);
	}
}

int collector_new(const struct collector_opts *opts, struct collector **ret, struct err *err)
{
	struct collector *collector = xcalloc(1, sizeof(*collector));
	int r;

	collector->opts = *opts;
	collector->opts.identity.history = NULL;
	collector->reading.host = opts->host;
	collector->reading.counters = opts->counters;
	collector->reading.live_cgroups = collector->reading.dying_cgroups = UINT64_MAX;
	(void)pthread_mutex_init(&collector->lock, NULL);
	(void)pthread_cond_init(&collector->wake, NULL);
	attach(collector);
	r = pthread_create(&collector->thread, NULL, collector_main, collector);
	if (r != 0) {
		detach(collector);
		free(collector);
		return err_set(err, r, "cannot start the collector's thread");
	}
	*ret = collector;
	return 0;
}

void collector_stop(struct collector *collector)
{
	(void)pthread_mutex_lock(&collector->lock);
	collector->stop = true;
	(void)pthread_cond_signal(&collector->wake);
	notify_waiting(collector);
	(void)pthread_mutex_unlock(&collector->lock);
}

void collector_free(struct collector *collector)
{
	if (!collector)
		return;
	collector_stop(collector);
	(void)pthread_join(collector->thread, NULL);
	detach(collector);
	put_locked(collector->newest);
	pods_free(collector->pods);
	(void)pthread_cond_destroy(&collector->wake);
	(void)pthread_mutex_destroy(&collector->lock);
	free(collector);
}

int collector_get(struct collector *collector, void (*notify)(void *arg), void *arg,
		  struct published **ret)
{
	uint64_t age_ns;
	int r = 0;

	(void)pthread_mutex_lock(&collector->lock);
	age_ns = clock_mono_ns() - collector->newest_ns;
	if (collector->stop) {
		r = -ESHUTDOWN;
	} else if (collector->newest && (age_ns < COLLECTOR_MIN_AGE_MS * NSEC_PER_MSEC ||
					 collector->n_waiting == MAX_WAITING)) {
		*ret = collector->newest;
		collector->newest->holders++;
		r = 1;
	} else if (collector->n_waiting < MAX_WAITING) {
		collector->waiting[collector->n_waiting].notify = notify;
		collector->waiting[collector->n_waiting++].arg = arg;
		collector->asked = true;
		(void)pthread_cond_signal(&collector->wake);
	} else {
		r = -ESHUTDOWN; /* not even the first text is there, and many wait for it already */
	}
	(void)pthread_mutex_unlock(&collector->lock);
	return r;
}

void collector_put(struct collector *collector, struct published *published)
{
	(void)pthread_mutex_lock(&collector->lock);
	put_locked(published);
	(void)pthread_mutex_unlock(&collector->lock);
}
