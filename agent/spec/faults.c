/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/faults.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { VALUE_MAX = 80 }; /* bytes of a foreign value in a message */

void faults_add(struct faults *faults, const char *field, const char *value, const char *accepted)
{
	_cleanup_free_ char *plain_field = text_plain(field, strlen(field));
	_cleanup_free_ char *plain = value ? text_plain(value, strlen(value)) : NULL;

	if (faults->n == FAULTS_MAX) {
		faults->dropped++;
		return;
	}
	text_shorten_middle(plain_field, VALUE_MAX);
	if (plain)
		text_shorten_end(plain, VALUE_MAX);
	faults->lines[faults->n++] =
		plain ? xasprintf("%s: \"%s\": %s", plain_field, plain, accepted)
		      : xasprintf("%s: %s", plain_field, accepted);
}

void faults_done(struct faults *faults)
{
	for (size_t i = 0; i < faults->n; i++)
		free(faults->lines[i]);
	memset(faults, 0, sizeof(*faults));
}
