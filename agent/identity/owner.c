/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/owner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "identity/pods.h"

enum { CGROUP_MAX = 512 }; /* bytes of a cgroup path in a report, as the CRD has it */

static char *copy(const char *s)
{
	return s && *s ? xstrdup(s) : NULL;
}

struct owner owner_of_cgroup(const struct pods *pods, const struct history *history,
			     uint64_t cgroup_id, const char *path, bool dying)
{
	struct owner owner = {.cgroup = copy(path), .cgroup_id = cgroup_id, .dying = dying};
	struct pod_cgroup scratch = {0};
	const struct pod_cgroup *found = pods_find(pods, cgroup_id, path, history, &scratch);

	if (found) {
		owner.ns = copy(found->ns);
		owner.pod = copy(found->pod);
		owner.container = copy(found->container);
		owner.pod_uid = copy(found->pod_uid);
		owner.unit = copy(found->name.unit);
	}
	pod_cgroup_done(&scratch);
	return owner;
}

void owner_done(struct owner *owner)
{
	free(owner->cgroup);
	free(owner->ns);
	free(owner->pod);
	free(owner->container);
	free(owner->pod_uid);
	free(owner->unit);
	free(owner->controller);
	memset(owner, 0, sizeof(*owner));
}

struct owner owner_copy(const struct owner *owner)
{
	return (struct owner){
		.cgroup = copy(owner->cgroup),
		.cgroup_id = owner->cgroup_id,
		.dying = owner->dying,
		.ns = copy(owner->ns),
		.pod = copy(owner->pod),
		.container = copy(owner->container),
		.pod_uid = copy(owner->pod_uid),
		.unit = copy(owner->unit),
		.controller = copy(owner->controller),
	};
}

static void add_names(const struct owner *owner, cJSON *object)
{
	_cleanup_free_ char *name = NULL;

	tree_add_str(object, "namespace", owner->ns);
	tree_add_str(object, "pod", owner->pod);
	tree_add_str(object, "container", owner->container);
	tree_add_str(object, "controller", owner->controller);
	if (!owner->cgroup)
		return;
	name = text_escape_name(owner->cgroup, strlen(owner->cgroup));
	text_shorten_middle(name, CGROUP_MAX);
	tree_add_str(object, "cgroup", name);
}

void owner_add(const struct owner *owner, cJSON *object)
{
	add_names(owner, object);
	if (owner->dying)
		tree_add_bool(object, "dying", true);
}

void owner_add_subject(const struct owner *owner, cJSON *object)
{
	add_names(owner, object);
	tree_add_str(object, "podUID", owner->pod_uid);
}

char *owner_id(const struct owner *owner)
{
	_cleanup_free_ char *name = NULL, *who = NULL;
	char suffix[32] = "";

	if (!owner->cgroup && !owner->pod && !owner->controller)
		return xstrdup("/node");
	if (owner->dying)
		(void)snprintf(suffix, sizeof(suffix), "@%" PRIu64, owner->cgroup_id);
	if (owner->ns && owner->pod) {
		who = owner->container
			      ? xasprintf("/%s/%s/%s", owner->ns, owner->pod, owner->container)
			      : xasprintf("/%s/%s", owner->ns, owner->pod);
	} else if (owner->ns && owner->controller) {
		const char *slash = strchr(owner->controller, '/');

		who = xasprintf("/%s/%s", owner->ns, slash ? slash + 1 : owner->controller);
	} else {
		name = text_escape_name(owner->cgroup, strlen(owner->cgroup));
		text_shorten_middle(name, 400); /* with reason and id within the CRD's 512 bytes */
		who = xasprintf("/cgroup%s", name);
	}
	return xasprintf("%s%s", who, suffix);
}
