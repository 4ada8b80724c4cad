/* SPDX-License-Identifier: Apache-2.0 */
#include "report/hints.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "report/hint_rules.h"

static const struct hint_rules *const tables[] = {
	&hint_rules_cache,   &hint_rules_leak, &hint_rules_kernel,
	&hint_rules_latency, &hint_rules_slab, &hint_rules_cpu,
};

void hint_facts_set(struct hint_facts *facts, const char *name, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (facts->n_vars == HINT_MAX_VARS)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	facts->vars[facts->n_vars].name = name;
	facts->vars[facts->n_vars++].value = xstrdup(text);
}

void hint_facts_self(struct hint_facts *facts, uint64_t window_ms)
{
	uint64_t longer_s = window_ms / 1000 * 4;

	facts->conditions |= HINT_SELF;
	/* The accepted range ends at 10 minutes. */
	hint_facts_set(facts, "longer_window", "%" PRIu64 "s",
		       longer_s < 60	? (uint64_t)60
		       : longer_s > 600 ? (uint64_t)600
					: longer_s);
}

void hint_facts_done(struct hint_facts *facts)
{
	for (size_t i = 0; i < facts->n_vars; i++)
		free(facts->vars[i].value);
	memset(facts, 0, sizeof(*facts));
}

static const char *lookup(const struct hint_facts *facts, const char *name, size_t len)
{
	for (size_t i = 0; i < facts->n_vars; i++) {
		if (strlen(facts->vars[i].name) == len &&
		    memcmp(facts->vars[i].name, name, len) == 0)
			return facts->vars[i].value;
	}
	return NULL;
}

static const char name_letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";

/* The text with each {name} replaced; NULL when a name has no value: a command with a hole is worse than none. */
static char *fill(const struct hint_facts *facts, const char *text)
{
	_cleanup_buf_ struct buf out = BUF_INIT(8192);

	while (*text) {
		size_t n = strcspn(text, "{");
		size_t name = text[n] ? strspn(text + n + 1, name_letters) : 0;

		if (text[n] && name > 0 && text[n + 1 + name] == '}') {
			const char *value = lookup(facts, text + n + 1, name);

			if (!value || buf_append(&out, text, n) < 0 ||
			    buf_append(&out, value, strlen(value)) < 0)
				return NULL;
			text += n + 1 + name + 1;
		} else { /* plain text, or a brace of its own: find's {}, a manifest's */
			n += text[n] ? 1 : 0;
			if (buf_append(&out, text, n) < 0)
				return NULL;
			text += n;
		}
	}
	return buf_take(&out);
}

/* False when a name has no value. */
static bool make_hint(const struct hint_rule *rule, const struct hint_facts *facts,
		      struct hint *ret)
{
	_cleanup_free_ char *command = fill(facts, rule->command);
	_cleanup_free_ char *current = fill(facts, rule->current);
	_cleanup_free_ char *proposed = fill(facts, rule->proposed);
	_cleanup_free_ char *summary = fill(facts, rule->summary);
	_cleanup_free_ char *trade_off = fill(facts, rule->trade_off);
	_cleanup_free_ char *manifest = rule->manifest ? fill(facts, rule->manifest) : NULL;

	if (!command || !current || !proposed || !summary || !trade_off ||
	    (rule->manifest && !manifest))
		return false;
	*ret = (struct hint){
		.id = rule->id,
		.risk = rule->risk,
		.summary = take_ptr(summary),
		.command = take_ptr(command),
		.current = take_ptr(current),
		.proposed = take_ptr(proposed),
		.manifest = take_ptr(manifest),
		.trade_off = take_ptr(trade_off),
	};
	return true;
}

static void drop(struct finding *finding, struct hint *hint)
{
	finding->hints_dropped++;
	hint_done(hint);
}

void hints_apply(const struct hint_facts *facts, struct finding *finding)
{
	struct hint hint, last = {0};

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		for (size_t j = 0; j < tables[i]->n; j++) {
			const struct hint_rule *rule = &tables[i]->rules[j];

			if (strcmp(rule->reason, finding->reason) != 0 ||
			    (rule->needs & ~facts->conditions) || !make_hint(rule, facts, &hint))
				continue;
			if (rule->last_resort && !last.id)
				last = hint;
			else if (finding->n_hints < FINDING_MAX_HINTS)
				finding->hints[finding->n_hints++] = hint;
			else
				drop(finding, &hint);
		}
	}
	if (!last.id)
		return;
	if (finding->n_hints == FINDING_MAX_HINTS)
		drop(finding, &finding->hints[--finding->n_hints]);
	finding->hints[finding->n_hints++] = last;
}
