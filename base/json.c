/* SPDX-License-Identifier: Apache-2.0
 * A node is jansson's json_t under another name. Printing is ours, because jansson prints 0.1 as
 * 0.10000000000000001. jansson fails on well-formed input only for want of memory, and then this
 * file aborts, as dpc_alloc does.
 *
 * A byte model writes text that is no UTF-8: such bytes become U+FFFD, so that what is printed is
 * always JSON. */
#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/utf8.h"

static struct dpc_json *
wrap(json_t *node)
{
    return (struct dpc_json *)node;
}

static json_t *
unwrap(const struct dpc_json *node)
{
    return (json_t *)(uintptr_t)node;
}

static void
require(bool worked)
{
    if (!worked) {
        fprintf(stderr, "<2>out of memory in the JSON library\n");
        abort();
    }
}

struct dpc_json *
dpc_json_object(void)
{
    json_t *node = json_object();
    require(node != NULL);
    return wrap(node);
}

struct dpc_json *
dpc_json_array(void)
{
    json_t *node = json_array();
    require(node != NULL);
    return wrap(node);
}

struct dpc_json *
dpc_json_destroy(struct dpc_json *root)
{
    json_decref(unwrap(root));
    return NULL;
}

static json_t *
text_node(const char *text)
{
    json_t *node = json_string(text);
    if (!node) {
        struct dpc_buf mended;
        dpc_buf_init(&mended, 0);
        dpc_utf8_mend(text, strlen(text), &mended);
        require(!mended.failed);
        node = json_string(dpc_buf_text(&mended));
        dpc_buf_done(&mended);
    }
    require(node != NULL);
    return node;
}

static json_t *
number_node(double value)
{
    json_t *node = isfinite(value) ? json_real(value) : json_null();
    require(node != NULL);
    return node;
}

static json_t *
integer_node(int64_t value)
{
    json_t *node = json_integer(value);
    require(node != NULL);
    return node;
}

static void
set(struct dpc_json *object, const char *key, json_t *value)
{
    require(json_object_set_new(unwrap(object), key, value) == 0);
}

void
dpc_json_set(struct dpc_json *object, const char *key, struct dpc_json *value)
{
    set(object, key, value ? unwrap(value) : json_null());
}

void
dpc_json_set_text(struct dpc_json *object, const char *key, const char *text)
{
    set(object, key, text ? text_node(text) : json_null());
}

void
dpc_json_set_integer(struct dpc_json *object, const char *key, int64_t value)
{
    set(object, key, integer_node(value));
}

void
dpc_json_set_number(struct dpc_json *object, const char *key, double value)
{
    set(object, key, number_node(value));
}

void
dpc_json_set_bool(struct dpc_json *object, const char *key, bool value)
{
    set(object, key, json_boolean(value));
}

static void
append(struct dpc_json *array, json_t *value)
{
    require(json_array_append_new(unwrap(array), value) == 0);
}

void
dpc_json_append(struct dpc_json *array, struct dpc_json *value)
{
    append(array, value ? unwrap(value) : json_null());
}

struct dpc_json *
dpc_json_copy(const struct dpc_json *node)
{
    json_t *copy = json_deep_copy(unwrap(node));
    require(copy != NULL);
    return wrap(copy);
}

void
dpc_json_append_all(struct dpc_json *array, const struct dpc_json *from)
{
    for (size_t i = 0; i < dpc_json_count(from); i++)
        dpc_json_append(array, dpc_json_copy(dpc_json_at(from, i)));
}

void
dpc_json_append_text(struct dpc_json *array, const char *text)
{
    append(array, text ? text_node(text) : json_null());
}

void
dpc_json_append_integer(struct dpc_json *array, int64_t value)
{
    append(array, integer_node(value));
}

void
dpc_json_append_number(struct dpc_json *array, double value)
{
    append(array, number_node(value));
}

/* --- Printing. */

enum { COMPACT = -1, INDENT = 2 };

/* Of one to three bytes of UTF-8. */
static unsigned
code_point(const uint8_t *at, size_t len)
{
    if (len == 1)
        return at[0];
    if (len == 2)
        return (at[0] & 0x1Fu) << 6 | (at[1] & 0x3Fu);
    return (at[0] & 0x0Fu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
}

/* Whatever would draw on a terminal is written by its number. */
static void
print_text(struct dpc_buf *out, const char *text, size_t len)
{
    dpc_buf_put(out, "\"", 1);
    for (size_t i = 0, step; i < len; i += step) {
        const char *at = text + i;
        const uint8_t *bytes = (const uint8_t *)at;
        step = dpc_utf8_sequence(bytes, len - i);
        step = step ? step : 1;
        if (*at == '"' || *at == '\\')
            dpc_buf_printf(out, "\\%c", *at);
        else if (*at == '\n')
            dpc_buf_put(out, "\\n", 2);
        else if (*at == '\t')
            dpc_buf_put(out, "\\t", 2);
        else if (dpc_utf8_is_control(bytes, step))
            dpc_buf_printf(out, "\\u%04x", code_point(bytes, step));
        else
            dpc_buf_put(out, at, step);
    }
    dpc_buf_put(out, "\"", 1);
}

static void
print_real(struct dpc_buf *out, double value)
{
    size_t start = out->len;
    dpc_buf_put_real(out, value);
    if (!out->failed && !strpbrk(dpc_buf_text(out) + start, ".e"))
        dpc_buf_put(out, ".0", 2);
}

/* The break before an item and before the closing bracket of something `depth` deep. */
static void
print_break(struct dpc_buf *out, int depth)
{
    if (depth > COMPACT)
        dpc_buf_printf(out, "\n%*s", depth * INDENT, "");
}

static void print_node(struct dpc_buf *out, const json_t *node, int depth);

static void
print_object(struct dpc_buf *out, const json_t *object, int depth)
{
    json_t *mutable = (json_t *)(uintptr_t)object;
    int inside = depth > COMPACT ? depth + 1 : COMPACT;
    bool first = true;
    dpc_buf_put(out, "{", 1);
    for (void *at = json_object_iter(mutable); at; at = json_object_iter_next(mutable, at)) {
        const char *key = json_object_iter_key(at);
        if (!first)
            dpc_buf_put(out, ",", 1);
        first = false;
        print_break(out, inside);
        print_text(out, key, strlen(key));
        dpc_buf_printf(out, depth > COMPACT ? ": " : ":");
        print_node(out, json_object_iter_value(at), inside);
    }
    if (!first)
        print_break(out, depth);
    dpc_buf_put(out, "}", 1);
}

static void
print_array(struct dpc_buf *out, const json_t *array, int depth)
{
    int inside = depth > COMPACT ? depth + 1 : COMPACT;
    size_t count = json_array_size(array);
    dpc_buf_put(out, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i)
            dpc_buf_put(out, ",", 1);
        print_break(out, inside);
        print_node(out, json_array_get(array, i), inside);
    }
    if (count)
        print_break(out, depth);
    dpc_buf_put(out, "]", 1);
}

static void
print_node(struct dpc_buf *out, const json_t *node, int depth)
{
    switch (json_typeof(node)) {
    case JSON_OBJECT:
        print_object(out, node, depth);
        break;
    case JSON_ARRAY:
        print_array(out, node, depth);
        break;
    case JSON_STRING:
        print_text(out, json_string_value(node), json_string_length(node));
        break;
    case JSON_INTEGER:
        dpc_buf_printf(out, "%lld", (long long)json_integer_value(node));
        break;
    case JSON_REAL:
        print_real(out, json_real_value(node));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        dpc_buf_printf(out, json_is_true(node) ? "true" : "false");
        break;
    case JSON_NULL:
        dpc_buf_printf(out, "null");
        break;
    }
}

char *
dpc_json_print(const struct dpc_json *root, bool pretty)
{
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    print_node(&out, unwrap(root), pretty ? 0 : COMPACT);
    require(!out.failed);
    (void)dpc_buf_text(&out);
    return (char *)out.data;
}

/* --- Reading. */

static int
parse(const char *text, size_t len, size_t flags, struct dpc_json **ret_root, struct dpc_error *err)
{
    json_error_t fault;
    json_t *root = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | flags, &fault);
    if (!root && json_error_code(&fault) == json_error_out_of_memory)
        return dpc_error_set(err, DPC_ENOMEM, "%s", dpc_error_words(DPC_ENOMEM));
    if (!root)
        return dpc_error_set(err, DPC_EPARSE, "line %d, column %d: %s", fault.line, fault.column,
                             fault.text);
    *ret_root = wrap(root);
    return DPC_OK;
}

int
dpc_json_parse(const char *text, size_t len, struct dpc_json **ret_root, struct dpc_error *err)
{
    return parse(text, len, 0, ret_root, err);
}

int
dpc_json_parse_unique(const char *text, size_t len, struct dpc_json **ret_root,
                      struct dpc_error *err)
{
    return parse(text, len, JSON_REJECT_DUPLICATES, ret_root, err);
}

int
dpc_json_parse_reals(const char *text, size_t len, struct dpc_json **ret_root,
                     struct dpc_error *err)
{
    return parse(text, len, JSON_DECODE_INT_AS_REAL, ret_root, err);
}

const struct dpc_json *
dpc_json_get(const struct dpc_json *object, const char *key)
{
    return wrap(json_object_get(unwrap(object), key));
}

const struct dpc_json *
dpc_json_at(const struct dpc_json *array, size_t index)
{
    return wrap(json_array_get(unwrap(array), index));
}

size_t
dpc_json_count(const struct dpc_json *array_or_object)
{
    const json_t *node = unwrap(array_or_object);
    return json_is_array(node) ? json_array_size(node) : json_object_size(node);
}

void
dpc_json_each(const struct dpc_json *object,
              bool (*visit)(void *context, const char *key, const struct dpc_json *value),
              void *context)
{
    json_t *node = unwrap(object);
    for (void *at = json_object_iter(node); at; at = json_object_iter_next(node, at)) {
        if (!visit(context, json_object_iter_key(at), wrap(json_object_iter_value(at))))
            return;
    }
}

bool
dpc_json_is_object(const struct dpc_json *node)
{
    return json_is_object(unwrap(node));
}

bool
dpc_json_is_array(const struct dpc_json *node)
{
    return json_is_array(unwrap(node));
}

bool
dpc_json_is_null(const struct dpc_json *node)
{
    return json_is_null(unwrap(node));
}

const char *
dpc_json_text(const struct dpc_json *node, const char *fallback)
{
    const char *text = json_string_value(unwrap(node));
    return text ? text : fallback;
}

const char *
dpc_json_text_bytes(const struct dpc_json *node, size_t *ret_len)
{
    *ret_len = json_string_length(unwrap(node));
    return json_string_value(unwrap(node));
}

int64_t
dpc_json_integer(const struct dpc_json *node, int64_t fallback)
{
    const json_t *value = unwrap(node);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

double
dpc_json_number(const struct dpc_json *node, double fallback)
{
    const json_t *value = unwrap(node);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

bool
dpc_json_bool(const struct dpc_json *node, bool fallback)
{
    const json_t *value = unwrap(node);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}
