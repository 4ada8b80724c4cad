/* SPDX-License-Identifier: Apache-2.0 */
#include "report/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct finding *findings_add(struct findings *findings)
{
	struct finding *finding;

	if (findings->n == findings->cap) {
		findings->cap = findings->cap ? findings->cap * 2 : 16;
		findings->items =
			xreallocarray(findings->items, findings->cap, sizeof(*findings->items));
	}
	finding = &findings->items[findings->n++];
	memset(finding, 0, sizeof(*finding));
	return finding;
}

void findings_move(struct findings *to, struct findings *from)
{
	for (size_t i = 0; i < from->n; i++)
		*findings_add(to) = from->items[i];
	free(from->items);
	memset(from, 0, sizeof(*from));
}

static int compare(const void *pa, const void *pb)
{
	const struct finding *a = pa, *b = pb;
	_cleanup_free_ char *ia = NULL, *ib = NULL;

	if (a->severity != b->severity)
		return a->severity > b->severity ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	ia = finding_id(a);
	ib = finding_id(b);
	return strcmp(ia, ib);
}

void findings_sort(struct findings *findings)
{
	if (findings->n > 1)
		qsort(findings->items, findings->n, sizeof(*findings->items), compare);
}

void hint_done(struct hint *hint)
{
	free(hint->summary);
	free(hint->command);
	free(hint->manifest);
	free(hint->current);
	free(hint->proposed);
	free(hint->trade_off);
}

void findings_done(struct findings *findings)
{
	for (size_t i = 0; i < findings->n; i++) {
		struct finding *finding = &findings->items[i];

		owner_done(&finding->subject);
		free(finding->message);
		for (size_t k = 0; k < finding->n_hints; k++)
			hint_done(&finding->hints[k]);
	}
	free(findings->items);
	memset(findings, 0, sizeof(*findings));
}

void finding_add_evidence(struct finding *finding, const char *name, const char *fmt, ...)
{
	struct evidence *evidence;
	va_list ap;

	if (finding->n_evidence == FINDING_MAX_EVIDENCE)
		return;
	evidence = &finding->evidence[finding->n_evidence++];
	evidence->name = name;
	va_start(ap, fmt);
	(void)vsnprintf(evidence->value, sizeof(evidence->value), fmt, ap);
	va_end(ap);
}

char *finding_id(const struct finding *finding)
{
	_cleanup_free_ char *who = owner_id(&finding->subject);

	return xasprintf("%s%s", finding->reason, who);
}

static void hint_to_tree(const struct hint *hint, cJSON *array)
{
	cJSON *object = tree_push_object(array);

	/* The ceilings are those of the CRD. */
	tree_add_str(object, "id", hint->id);
	tree_add_text(object, "summary", hint->summary, 256);
	if (hint->command)
		tree_add_text(object, "command", hint->command, 1024);
	if (hint->manifest)
		tree_add_lines(object, "manifest", hint->manifest, 2048);
	if (hint->current)
		tree_add_text(object, "current", hint->current, 128);
	if (hint->proposed)
		tree_add_text(object, "proposed", hint->proposed, 128);
	tree_add_str(object, "risk", hint->risk);
	if (hint->trade_off)
		tree_add_text(object, "tradeOff", hint->trade_off, 512);
}

void finding_to_tree(const struct finding *finding, const char *node_name, cJSON *array)
{
	cJSON *object = tree_push_object(array), *subject, *list;
	_cleanup_free_ char *id = finding_id(finding);

	tree_add_text(object, "id", id, 512);
	tree_add_str(object, "check", check_type_names[finding->check]);
	tree_add_str(object, "severity", severity_names[finding->severity]);
	tree_add_str(object, "reason", finding->reason);
	subject = tree_add_object(object, "subject");
	owner_add_subject(&finding->subject, subject);
	tree_add_str(subject, "node", node_name);
	tree_add_text(object, "message", finding->message, 512);
	tree_add_u64(object, "bytes", finding->bytes);
	tree_add_u64(object, "errorBytes", finding->error_bytes);
	tree_add_u64(object, "reclaimableBytes", finding->reclaimable_bytes);
	list = tree_add_array(object, "evidence");
	for (size_t i = 0; i < finding->n_evidence; i++) {
		cJSON *row = tree_push_object(list);

		tree_add_str(row, "name", finding->evidence[i].name);
		tree_add_text(row, "value", finding->evidence[i].value, 128);
	}
	list = tree_add_array(object, "hints");
	for (size_t i = 0; i < finding->n_hints; i++)
		hint_to_tree(&finding->hints[i], list);
}
