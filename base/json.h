/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON for listings, reports and JSON lines: a thin face over jansson, so that one folder knows it.
 *
 * Owns: a tree owns its nodes; a node handed to _set or _append belongs to its parent from then on,
 * and is freed with it. Threads: a tree belongs to one thread. Keys keep the order they were set
 * in. Numbers that are not finite become null: JSON has no word for them.
 */
#ifndef DPC_BASE_JSON_H
#define DPC_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dpc_json;

struct dpc_json *dpc_json_object(void);
struct dpc_json *dpc_json_array(void);
/* Takes NULL; frees a whole tree (only its root). Returns NULL. */
struct dpc_json *dpc_json_destroy(struct dpc_json *root);

void dpc_json_set(struct dpc_json *object, const char *key, struct dpc_json *value);
void dpc_json_set_text(struct dpc_json *object, const char *key, const char *text);
void dpc_json_set_integer(struct dpc_json *object, const char *key, int64_t value);
void dpc_json_set_number(struct dpc_json *object, const char *key, double value);
void dpc_json_set_bool(struct dpc_json *object, const char *key, bool value);
void dpc_json_append(struct dpc_json *array, struct dpc_json *value);
/* A tree of its own; a node cannot leave the one that it is in. */
struct dpc_json *dpc_json_copy(const struct dpc_json *node);
/* Copies of all items of the array `from` (may be NULL). */
void dpc_json_append_all(struct dpc_json *array, const struct dpc_json *from);
void dpc_json_append_text(struct dpc_json *array, const char *text);
void dpc_json_append_integer(struct dpc_json *array, int64_t value);
void dpc_json_append_number(struct dpc_json *array, double value);

/* Text in fresh memory (dpc_free it): indented by two with `pretty`, else on one line. */
char *dpc_json_print(const struct dpc_json *root, bool pretty);

/* DPC_EPARSE with line and column in `err`; DPC_ENOMEM. Depth and size are bounded by the caller's
 * `len`. */
int dpc_json_parse(const char *text, size_t len, struct dpc_json **ret_root,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* The same, and DPC_EPARSE where an object has a key twice: readers would take different ones. */
int dpc_json_parse_unique(const char *text, size_t len, struct dpc_json **ret_root,
                          struct dpc_error *err) DPC_MUST_CHECK;
/* The same, with every number as a real: for input of others, where an integer that no int64_t
 * holds is no fault, and whose numbers are not asked for digit by digit. */
int dpc_json_parse_reals(const char *text, size_t len, struct dpc_json **ret_root,
                         struct dpc_error *err) DPC_MUST_CHECK;

/* Reading. All take NULL and nodes of another type, and then give the fallback. */
const struct dpc_json *dpc_json_get(const struct dpc_json *object, const char *key);
const struct dpc_json *dpc_json_at(const struct dpc_json *array, size_t index);
size_t dpc_json_count(const struct dpc_json *array_or_object);
/* Calls `visit` for each key of an object, in order, until it answers false: an object of a hundred
 * thousand keys is walked over once. */
void dpc_json_each(const struct dpc_json *object,
                   bool (*visit)(void *context, const char *key, const struct dpc_json *value),
                   void *context);
bool dpc_json_is_object(const struct dpc_json *node);
bool dpc_json_is_array(const struct dpc_json *node);
bool dpc_json_is_null(const struct dpc_json *node);
const char *dpc_json_text(const struct dpc_json *node, const char *fallback);
/* The text with its length, since a JSON string may hold zero bytes; NULL when it is no text. */
const char *dpc_json_text_bytes(const struct dpc_json *node, size_t *ret_len);
int64_t dpc_json_integer(const struct dpc_json *node, int64_t fallback);
double dpc_json_number(const struct dpc_json *node, double fallback);
bool dpc_json_bool(const struct dpc_json *node, bool fallback);

#endif
