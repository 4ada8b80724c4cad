/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/cgroup_name.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"

/*
 * The outermost "kubepods" counts, the first pod below it, and that pod's direct child: these levels are made by the kubelet and
 * the runtime. What is further down may be named by whoever runs in the container, and must not pass for another one.
 */

enum { CONTAINER_ID_LEN = 64 };

/* A part of a path; not terminated. */
struct part {
	const char *s;
	size_t n;
};

static bool next_part(const char **path, struct part *ret)
{
	*path += strspn(*path, "/");
	ret->s = *path;
	ret->n = strcspn(*path, "/");
	*path += ret->n;
	return ret->n > 0;
}

static bool is(struct part p, const char *text)
{
	return p.n == strlen(text) && memcmp(p.s, text, p.n) == 0;
}

static bool has_prefix(struct part p, const char *prefix)
{
	size_t n = strlen(prefix);

	return p.n >= n && memcmp(p.s, prefix, n) == 0;
}

/* Cuts the suffix off; false when it is not there, or nothing is before it. */
static bool cut_suffix(struct part *p, const char *suffix)
{
	size_t n = strlen(suffix);

	if (p->n <= n || memcmp(p->s + p->n - n, suffix, n) != 0)
		return false;
	p->n -= n;
	return true;
}

static bool contains(struct part p, const char *text)
{
	return memmem(p.s, p.n, text, strlen(text)) != NULL;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Level names below kubepods; guaranteed pods have none. */
static const struct {
	const char *level, *qos;
} qos_levels[] = {{"burstable", "Burstable"}, {"besteffort", "BestEffort"}};

/* "pod" and a UID; in a slice's name '-' is written '_'. A manifest may set any UID, so a form is not asked for. */
static bool parse_uid(struct part p, struct cgroup_name *ret)
{
	if (!has_prefix(p, "pod") || p.n <= 3 || p.n - 3 >= sizeof(ret->pod_uid))
		return false;
	for (size_t i = 3; i < p.n; i++) {
		char c = p.s[i] == '_' ? '-' : p.s[i];

		if (!is_alnum(c) && c != '-')
			return false;
		ret->pod_uid[i - 3] = c;
	}
	ret->pod_uid[p.n - 3] = '\0';
	return true;
}

enum level { LEVEL_NONE, LEVEL_PODS, LEVEL_QOS, LEVEL_POD };

/*
 * A slice's name repeats those above it: [ROOT-...]kubepods[-QOS][-podUID]. Old kubelets wrote the UID's '-' as they are. p is
 * without ".slice".
 */
static enum level parse_slice(struct part p, struct cgroup_name *ret)
{
	while (p.n > 0) {
		const char *dash = memchr(p.s, '-', p.n);
		struct part word = {p.s, dash ? (size_t)(dash - p.s) : p.n};

		p.s += word.n + (dash != NULL);
		p.n -= word.n + (dash != NULL);
		if (is(word, "kubepods"))
			break;
		if (p.n == 0)
			return LEVEL_NONE;
	}
	ret->qos = "Guaranteed";
	if (p.n == 0)
		return LEVEL_PODS;
	for (size_t i = 0; i < ARRAY_SIZE(qos_levels); i++) {
		size_t n = strlen(qos_levels[i].level);

		if (!has_prefix(p, qos_levels[i].level))
			continue;
		ret->qos = qos_levels[i].qos;
		if (p.n == n)
			return LEVEL_QOS;
		if (p.s[n] != '-')
			return LEVEL_NONE;
		p.s += n + 1;
		p.n -= n + 1;
		break;
	}
	return parse_uid(p, ret) ? LEVEL_POD : LEVEL_NONE;
}

/* One level of the path with either driver; above is what the level before it was. */
static enum level parse_level(struct part p, enum level above, struct cgroup_name *ret)
{
	if (cut_suffix(&p, ".slice"))
		return parse_slice(p, ret);
	if (is(p, "kubepods")) {
		ret->qos = "Guaranteed";
		return LEVEL_PODS;
	}
	for (size_t i = 0; i < ARRAY_SIZE(qos_levels) && above == LEVEL_PODS; i++) {
		if (!is(p, qos_levels[i].level))
			continue;
		ret->qos = qos_levels[i].qos;
		return LEVEL_QOS;
	}
	if (above == LEVEL_PODS || above == LEVEL_QOS)
		return parse_uid(p, ret) ? LEVEL_POD : LEVEL_NONE;
	return LEVEL_NONE;
}

/*
 * A pod's child: [PREFIX-]ID[.scope]; cri-containerd-, crio-, docker-, libpod-, kata_ or none. CRI-O's monitor has its container's id:
 * nothing is taken from that.
 */
static void parse_child(struct part p, struct cgroup_name *ret)
{
	const char *id;

	if (contains(p, "conmon-")) {
		*ret = (struct cgroup_name){.qos = ""};
		return;
	}
	(void)cut_suffix(&p, ".scope");
	if (p.n < CONTAINER_ID_LEN)
		return;
	p.n -= CONTAINER_ID_LEN;
	id = p.s + p.n;
	for (size_t i = 0; i < CONTAINER_ID_LEN; i++) {
		if (!(id[i] >= '0' && id[i] <= '9') && !(id[i] >= 'a' && id[i] <= 'f'))
			return;
	}
	if (p.n > 0 && !memchr("-_:", p.s[p.n - 1], 3))
		return;
	memcpy(ret->container_id, id, CONTAINER_ID_LEN);
	ret->container_id[CONTAINER_ID_LEN] = '\0';
	ret->kind = CGROUP_KIND_CONTAINER;
}

/*
 * "SLICE.slice:PREFIX:ID" as one name: what a runtime with the cgroupfs driver makes of the path that a kubelet with the systemd
 * driver asks for. Seen below containerd.service, k3s.service and at the root.
 */
static bool parse_colons(struct part p, struct cgroup_name *ret)
{
	const char *colon = memchr(p.s, ':', p.n);
	struct part slice = {p.s, colon ? (size_t)(colon - p.s) : 0};

	if (!colon || !cut_suffix(&slice, ".slice") || parse_slice(slice, ret) != LEVEL_POD)
		return false;
	ret->kind = CGROUP_KIND_POD;
	parse_child((struct part){colon + 1, p.n - (size_t)(colon + 1 - p.s)}, ret);
	return true;
}

static bool parse_pod(const char *path, struct cgroup_name *ret)
{
	enum level level = LEVEL_NONE;
	struct part p;

	while (next_part(&path, &p)) {
		if (parse_colons(p, ret))
			return true;
		level = parse_level(p, level, ret);
		if (level != LEVEL_POD)
			continue;
		ret->kind = CGROUP_KIND_POD;
		if (next_part(&path, &p))
			parse_child(p, ret);
		return true;
	}
	return false;
}

static bool is_unit_name(struct part p, bool *ret_slice)
{
	static const char *const suffixes[] = {".service", ".scope", ".slice",
					       ".socket",  ".mount", ".swap"};
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes) && !known; i++) {
		struct part stem = p;

		known = cut_suffix(&stem, suffixes[i]);
		*ret_slice = i == 2;
	}
	for (size_t i = 0; i < p.n; i++) {
		if (!is_alnum(p.s[i]) && !memchr(":_.\\@-", p.s[i], 6))
			return false;
	}
	return known;
}

/* As systemd reads it: the slices from the root, then the first other unit; what is below that belongs to it. */
static void parse_unit(const char *path, struct cgroup_name *ret)
{
	bool slice = true;
	struct part p;

	while (slice && next_part(&path, &p)) {
		/* systemd puts '_' before names that could be a file's of the kernel. */
		if (*p.s == '_') {
			p.s++;
			p.n--;
		}
		if (!is_unit_name(p, &slice) || p.n >= sizeof(ret->unit))
			return;
		if (has_prefix(p, "crio-conmon-")) {
			*ret = (struct cgroup_name){.qos = ""};
			return;
		}
		ret->kind = CGROUP_KIND_UNIT;
		memcpy(ret->unit, p.s, p.n);
		ret->unit[p.n] = '\0';
	}
}

void cgroup_name_parse(const char *path, struct cgroup_name *ret)
{
	*ret = (struct cgroup_name){.qos = ""};
	if (parse_pod(path, ret))
		return;
	*ret = (struct cgroup_name){.qos = ""};
	parse_unit(path, ret);
}
