/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/owner.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { CGROUP_MAX = 512 }; /* bytes of a cgroup path in a report, as the CRD has it */

void owner_done(struct owner *owner)
{
	free(owner->cgroup);
	memset(owner, 0, sizeof(*owner));
}

struct owner owner_copy(const struct owner *owner)
{
	struct owner copy = *owner;

	copy.cgroup = owner->cgroup ? xstrdup(owner->cgroup) : NULL;
	return copy;
}

void owner_add(const struct owner *owner, cJSON *object)
{
	_cleanup_free_ char *name = NULL;

	if (!owner->cgroup)
		return;
	name = text_escape_name(owner->cgroup, strlen(owner->cgroup));
	text_shorten_middle(name, CGROUP_MAX);
	tree_add_str(object, "cgroup", name);
	if (owner->dying)
		tree_add_bool(object, "dying", true);
}

char *owner_id(const struct owner *owner)
{
	_cleanup_free_ char *name = NULL;

	if (!owner->cgroup)
		return xstrdup("/node");
	name = text_escape_name(owner->cgroup, strlen(owner->cgroup));
	text_shorten_middle(name, 400); /* with reason and id within the CRD's 512 bytes */
	return owner->dying ? xasprintf("/cgroup%s@%" PRIu64, name, owner->cgroup_id)
			    : xasprintf("/cgroup%s", name);
}
