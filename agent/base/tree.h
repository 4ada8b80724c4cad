/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON and YAML as one kind of tree (cJSON), with case-sensitive look-ups and bounded parsing. cJSON holds numbers as
 * doubles: integers are exact up to 2^53; larger identifiers travel as strings.
 */
#ifndef MEMDIAG_BASE_TREE_H
#define MEMDIAG_BASE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"

enum {
	TREE_MAX_DEPTH = 64,	 /* levels; the CRDs need 14 */
	TREE_MAX_NODES = 200000, /* values in one YAML document: what an alias bomb may expand to */
};

DEFINE_CLEANUP(tree, cJSON *, cJSON_Delete);
#define _cleanup_tree_ _cleanup_(tree_cleanup)

/* Makes cJSON allocate through base/mem.h. Call it once at start, before any thread. */
void tree_init(void);

/* Parses exactly one JSON value of valid UTF-8. The caller frees *ret with cJSON_Delete(). -EINVAL: not JSON. */
int tree_parse_json(const char *s, size_t n, cJSON **ret, struct err *err);
/*
 * Parses the one YAML document in s (JSON is YAML). Plain scalars get the JSON types of YAML 1.2's core schema; aliases are
 * refused, since what memdiag reads has no use for them and expanding them is how a small file becomes a large one.
 * -EINVAL: not YAML, not UTF-8, empty, or more than one document; -E2BIG: too deep or too many values.
 */
int tree_parse_yaml(const char *s, size_t n, cJSON **ret, struct err *err);

/* Appends the tree as block YAML. Returns 0 or -ENOBUFS. */
int tree_print_yaml(const cJSON *tree, struct buf *out);
/* The tree as JSON; pretty or in one line. The caller frees the result. */
char *tree_print_json(const cJSON *tree, bool pretty);

/* The member `path` names, such as "spec.target.nodeName"; NULL when a part is missing. tree may be NULL. */
const cJSON *tree_get(const cJSON *tree, const char *path);
/* One member whose name may contain dots, such as an annotation. */
const cJSON *tree_member(const cJSON *tree, const char *name);
/* The string at path, or NULL when it is missing or no string. */
const char *tree_str(const cJSON *tree, const char *path);
/* The string at path, or "". */
const char *tree_str_or_empty(const cJSON *tree, const char *path);
/* The whole number at path (|v| <= 2^53). False when it is missing, no number, or has a fraction. */
bool tree_int(const cJSON *tree, const char *path, int64_t *ret);
int64_t tree_int_or(const cJSON *tree, const char *path, int64_t otherwise);

/* Builders. Strings are made plain (base/text.h) on the way in; NULL and "" are left out by tree_add_str(). */
void tree_add_str(cJSON *object, const char *name, const char *value);
/* A string cut to at most max bytes at its end. */
void tree_add_text(cJSON *object, const char *name, const char *value, size_t max);
/* The same, but line breaks stay: for manifests. */
void tree_add_lines(cJSON *object, const char *name, const char *value, size_t max);
void tree_add_int(cJSON *object, const char *name, int64_t value);
/* Bytes and counts: left out nothing, clamped to 2^53. */
void tree_add_u64(cJSON *object, const char *name, uint64_t value);
void tree_add_bool(cJSON *object, const char *name, bool value);
void tree_add_time(cJSON *object, const char *name, int64_t unix_seconds);
cJSON *tree_add_object(cJSON *object, const char *name);
cJSON *tree_add_array(cJSON *object, const char *name);
/* A new object at the end of the array. */
cJSON *tree_push_object(cJSON *array);
void tree_push_str(cJSON *array, const char *value);

#endif
