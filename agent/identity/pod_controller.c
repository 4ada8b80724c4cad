/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/pod_controller.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Kubernetes makes random name parts of these only (k8s.io/apimachinery/pkg/util/rand), so that they spell no words. */
#define SAFE   "bcdfghjklmnpqrstvwxz2456789"
#define DIGITS "0123456789"

enum {
	SUFFIX = 5, /* of a pod's generated name */
	HASH_MIN =
		6, /* of a ReplicaSet's pod-template-hash: a 32 bit number with each digit encoded */
	HASH_MAX = 10,
	TIME_MIN = 8,  /* of a CronJob's Jobs: minutes since 1970 */
	TIME_MAX = 10, /* before 1.21: seconds */
	ORDINAL_MAX = 4,
};

/* Takes "-part" off the end when part is min..max characters of that set. */
static bool strip(char *name, const char *set, size_t min, size_t max)
{
	char *dash = strrchr(name, '-');
	size_t n = dash ? strspn(dash + 1, set) : 0;

	if (!dash || dash == name || dash[1 + n] != '\0' || n < min || n > max)
		return false;
	*dash = '\0';
	return true;
}

/* A Job's name: nightly-28391640. */
static bool strip_time(char *name)
{
	return strip(name, DIGITS, TIME_MIN, TIME_MAX);
}

void pod_controller_of(const char *pod, struct pod_controller *ret)
{
	char indexed[sizeof(ret->name)];

	ret->kind = "";
	(void)snprintf(ret->name, sizeof(ret->name), "%s", pod);
	if (!strip(ret->name, SAFE, SUFFIX, SUFFIX)) {
		if (strip(ret->name, DIGITS, 1, ORDINAL_MAX))
			ret->kind = "StatefulSet";
		return;
	}
	if (strip_time(ret->name)) {
		ret->kind = "CronJob";
		return;
	}
	/* An indexed Job's pods carry their index: nightly-28391640-0-x7k2p. */
	memcpy(indexed, ret->name, sizeof(indexed));
	if (strip(indexed, DIGITS, 1, ORDINAL_MAX) && strip_time(indexed)) {
		memcpy(ret->name, indexed, sizeof(indexed));
		ret->kind = "CronJob";
	} else if (strip(ret->name, SAFE, HASH_MIN, HASH_MAX)) {
		ret->kind = "Deployment";
	}
}
