/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/captures.h"

#include <errno.h>
#include <pthread.h>

#include "base/mem.h"
#include "instruments/compaction.h"
#include "instruments/reclaim.h"
#include "instruments/runqueue.h"
#include "instruments/stalls.h"

/* The table of instruments; NULL: none yet. */
static const struct capture_ops *const all_ops[CAPTURES] = {
	[CAPTURE_RECLAIM] = &reclaim_capture,
	[CAPTURE_COMPACTION] = &compaction_capture,
	[CAPTURE_RUN_QUEUE] = &runqueue_capture,
	[CAPTURE_STALLS] = &stalls_capture,
};

struct captures {
	const struct host *host;
	pthread_mutex_t lock;
	struct {
		void *self;
		unsigned int holders;
	} items[CAPTURES];
};

struct captures *captures_new(const struct host *host)
{
	struct captures *captures = xcalloc(1, sizeof(*captures));

	captures->host = host;
	(void)pthread_mutex_init(&captures->lock, NULL);
	return captures;
}

void captures_free(struct captures *captures)
{
	if (!captures)
		return;
	for (int type = 0; type < CAPTURES; type++) {
		if (captures->items[type].holders > 0)
			all_ops[type]->close(captures->items[type].self);
	}
	(void)pthread_mutex_destroy(&captures->lock);
	free(captures);
}

int captures_hold(struct captures *captures, enum capture_type type, void **ret_self,
		  struct err *err)
{
	const struct capture_ops *ops = all_ops[type];
	int r = 0;

	if (!ops)
		return err_say(err, EOPNOTSUPP, "this version of memdiag cannot observe that");
	(void)pthread_mutex_lock(&captures->lock);
	if (captures->items[type].holders == 0)
		r = ops->open(captures->host, &captures->items[type].self, err);
	if (r == 0) {
		captures->items[type].holders++;
		*ret_self = captures->items[type].self;
	}
	(void)pthread_mutex_unlock(&captures->lock);
	return r;
}

void captures_release(struct captures *captures, enum capture_type type)
{
	(void)pthread_mutex_lock(&captures->lock);
	if (captures->items[type].holders > 0 && --captures->items[type].holders == 0)
		all_ops[type]->close(captures->items[type].self);
	(void)pthread_mutex_unlock(&captures->lock);
}
