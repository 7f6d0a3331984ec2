/* SPDX-License-Identifier: Apache-2.0
 * Reading. A map is walked in the order of the file, so that the first mistake in the file is the
 * one reported; each of its keys is a row of the table, the name of a group of rows, or a mistake.
 */
#include "base/keys.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

enum {
    PATH_MAX_SHOWN = 128, /* bytes of "levels[3].parts"; a longer key is unknown anyway */
    VALUE_SHOWN_MAX = 48,
    NEAR_DISTANCE_MAX = 3, /* edits that a slip of the hand makes */
    TEXT_MAX = DPC_ERROR_TEXT_MAX / 2,
};

/* One table at work: on the root, or on an item of a list (then `prefix` is "levels[1]."). */
struct scope {
    const struct dpc_keys *keys;
    const struct dpc_yaml *yaml;
    const char *prefix;
    void *target;
    struct dpc_error *err;
};

/* --- Errors. */

/* A copy for people: short, and without what a terminal would obey. */
static const char *
excerpt(const char *text, char *ret_text, size_t size)
{
    size_t used = 0;
    for (; text[used] && used + 1 < size; used++)
        ret_text[used] = text[used] < ' ' || text[used] == 0x7F ? '?' : text[used];
    ret_text[used] = 0;
    if (text[used])
        memcpy(ret_text + used - 3, "...", 3);
    return ret_text;
}

static int
set_error(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, const char *path,
          struct dpc_error *err, int code, const char *text)
{
    char shown[PATH_MAX_SHOWN / 2];
    excerpt(path, shown, sizeof shown);
    if (node)
        return dpc_error_set(err, code, "%s:%u: \"%s\" %s", dpc_yaml_name(yaml),
                             dpc_yaml_line(node), shown, text);
    return dpc_error_set(err, code, "%s: \"%s\" %s", dpc_yaml_name(yaml), shown, text);
}

int
dpc_keys_error_at(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, const char *path,
                  struct dpc_error *err, int code, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return set_error(yaml, node, path, err, code, text);
}

/* The value of `key` (`len` bytes) in a map, or NULL. */
static const struct dpc_yaml_node *
value_of(const struct dpc_yaml *yaml, const struct dpc_yaml_node *map, const char *key, size_t len)
{
    if (dpc_yaml_kind(map) != DPC_YAML_MAP)
        return NULL;
    for (size_t i = 0; i < dpc_yaml_count(map); i++) {
        const char *text = dpc_yaml_text(dpc_yaml_key_at(yaml, map, i));
        if (text && strlen(text) == len && memcmp(text, key, len) == 0)
            return dpc_yaml_at(yaml, map, i);
    }
    return NULL;
}

/* The node at "a.b[1].c", or NULL when the file does not have it. */
static const struct dpc_yaml_node *
find_node(const struct dpc_yaml *yaml, const char *path)
{
    const struct dpc_yaml_node *node = dpc_yaml_root(yaml);
    while (node && *path) {
        size_t len = strcspn(path, ".[");
        if (len)
            node = value_of(yaml, node, path, len);
        path += len;
        if (node && *path == '[') {
            size_t index = strtoul(path + 1, NULL, 10);
            bool exists = dpc_yaml_kind(node) == DPC_YAML_LIST && index < dpc_yaml_count(node);
            node = exists ? dpc_yaml_at(yaml, node, index) : NULL;
            path += strcspn(path, "]") + 1;
        }
        path += *path == '.';
    }
    return node;
}

int
dpc_keys_error(const struct dpc_yaml *yaml, const char *path, struct dpc_error *err, int code,
               const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return set_error(yaml, find_node(yaml, path), path, err, code, text);
}

/* Says what stands there and what is needed instead. */
static int
value_error(const struct scope *scope, const struct dpc_key *key, const struct dpc_yaml_node *node,
            const char *path, int code)
{
    static const char *const kinds[] = {
        [DPC_YAML_SCALAR] = "empty", [DPC_YAML_LIST] = "a list", [DPC_YAML_MAP] = "a map"};
    char shown[VALUE_SHOWN_MAX];
    struct dpc_buf needed;
    const char *text = dpc_yaml_text(node);
    /* Quotes make a text of a number, which is what is wrong then. */
    const char *quote = text && !dpc_yaml_is_plain(node) ? "\"" : "";
    dpc_buf_init(&needed, 0);
    dpc_keys_describe(key, &needed);
    if (text && *text)
        (void)dpc_keys_error_at(scope->yaml, node, path, scope->err, code,
                                "is %s%s%s: needed is %s", quote,
                                excerpt(text, shown, sizeof shown), quote, dpc_buf_text(&needed));
    else
        (void)dpc_keys_error_at(scope->yaml, node, path, scope->err, code, "is %s: needed is %s",
                                kinds[dpc_yaml_kind(node)], dpc_buf_text(&needed));
    dpc_buf_done(&needed);
    return code;
}

/* --- Values. */

static bool
in_range(double value, const struct dpc_range *range)
{
    return (range->min_open ? value > range->min : value >= range->min) &&
           (range->max_open ? value < range->max : value <= range->max);
}

/* What a double does not hold would be rounded into the range by the comparison. */
static int
parse_whole(const char *text, const struct dpc_range *range, uint64_t *ret_value)
{
    if (!*text || text[strspn(text, "0123456789")])
        return DPC_EINVAL;
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno || value > UINT64_C(1) << 53 || !in_range((double)value, range))
        return DPC_ERANGE;
    *ret_value = value;
    return DPC_OK;
}

int
dpc_keys_read_uint(const struct dpc_yaml_node *node, const struct dpc_range *range,
                   uint64_t *ret_value)
{
    const char *text = dpc_yaml_text(node);
    return text && dpc_yaml_is_plain(node) ? parse_whole(text, range, ret_value) : DPC_EINVAL;
}

static int
parse_uint(const struct dpc_key *key, const char *text, void *field)
{
    uint64_t value;
    int code = parse_whole(text, &key->range, &value);
    if (code != DPC_OK)
        return code;
    if (key->size == sizeof(uint64_t)) {
        memcpy(field, &value, sizeof value);
    } else {
        assert(key->size == sizeof(uint32_t) && key->range.max <= UINT32_MAX);
        uint32_t narrow = (uint32_t)value;
        memcpy(field, &narrow, sizeof narrow);
    }
    return DPC_OK;
}

/* strtod would also take "nan", "inf" and hexadecimal. */
static int
parse_real(const char *text, const struct dpc_range *range, void *field)
{
    char *end;
    if (!*text || text[strspn(text, "0123456789+-.eE")])
        return DPC_EINVAL;
    double value = strtod(text, &end);
    if (*end || end == text)
        return DPC_EINVAL;
    if (!isfinite(value) || !in_range(value, range))
        return DPC_ERANGE;
    memcpy(field, &value, sizeof value);
    return DPC_OK;
}

static int
parse_bool(const char *text, void *field)
{
    bool value = strcmp(text, "true") == 0;
    if (!value && strcmp(text, "false") != 0)
        return DPC_EINVAL;
    memcpy(field, &value, sizeof value);
    return DPC_OK;
}

static const struct dpc_choice *
find_choice(const struct dpc_key *key, const char *text)
{
    for (const struct dpc_choice *choice = key->choices; choice && choice->name; choice++) {
        if (strcmp(choice->name, text) == 0)
            return choice;
    }
    return NULL;
}

static int
parse_enum(const struct dpc_key *key, const char *text, void *field)
{
    const struct dpc_choice *choice = find_choice(key, text);
    if (!choice)
        return DPC_EINVAL;
    if (field) {
        assert(key->size == sizeof choice->value);
        memcpy(field, &choice->value, sizeof choice->value);
    }
    return DPC_OK;
}

bool
dpc_keys_is_name(const char *text)
{
    return text[0] >= 'a' && text[0] <= 'z' &&
           !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-")];
}

static int
parse_text(const struct dpc_key *key, const char *text, void *field)
{
    size_t len = strlen(text);
    if (len == 0)
        return DPC_EINVAL;
    if (len >= key->size)
        return DPC_ERANGE;
    if (key->type == DPC_KEY_NAME && !dpc_keys_is_name(text))
        return DPC_EINVAL;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7F)
            return DPC_EINVAL;
    }
    memset(field, 0, key->size);
    memcpy(field, text, len);
    return DPC_OK;
}

/* A scalar's value into its field; the error code says what was wrong. */
static int
parse_scalar(const struct dpc_key *key, const char *text, void *field)
{
    switch (key->type) {
    case DPC_KEY_UINT:
        return parse_uint(key, text, field);
    case DPC_KEY_REAL:
        return parse_real(text, &key->range, field);
    case DPC_KEY_BOOL:
        return parse_bool(text, field);
    case DPC_KEY_ENUM:
        return parse_enum(key, text, field);
    case DPC_KEY_NAME:
    case DPC_KEY_PATH:
    case DPC_KEY_TEXT:
        return parse_text(key, text, field);
    default:
        assert(!"a scalar type");
        return DPC_EINVAL;
    }
}

/* In quotes stand words; a number or a truth value there is a slip. */
static int
read_scalar(const struct dpc_key *key, const struct dpc_yaml_node *node, void *field)
{
    bool word = key->type != DPC_KEY_UINT && key->type != DPC_KEY_REAL && key->type != DPC_KEY_BOOL;
    const char *text = dpc_yaml_text(node);
    return text && (word || dpc_yaml_is_plain(node)) ? parse_scalar(key, text, field) : DPC_EINVAL;
}

static void *
field_of(const struct dpc_key *key, void *target)
{
    return key->offset == DPC_KEY_NO_FIELD ? NULL : (char *)target + key->offset;
}

/* --- Maps and lists. */

static int read_map(const struct scope *scope, const struct dpc_yaml_node *map, const char *group);
static int read_table(const struct scope *scope, const struct dpc_yaml_node *map);

static int
read_list(const struct scope *scope, const struct dpc_key *key, const struct dpc_yaml_node *node,
          const char *path)
{
    if (dpc_yaml_kind(node) != DPC_YAML_LIST)
        return value_error(scope, key, node, path, DPC_EINVAL);
    size_t count = dpc_yaml_count(node);
    if (count == 0 || count > key->list.count_max)
        return dpc_keys_error_at(scope->yaml, node, path, scope->err, DPC_ERANGE,
                                 "has %zu items: allowed are 1 to %u", count, key->list.count_max);
    memset(field_of(key, scope->target), 0, key->size);
    for (size_t i = 0; i < count; i++) {
        char prefix[PATH_MAX_SHOWN];
        (void)snprintf(prefix, sizeof prefix, "%s[%zu].", path, i);
        struct scope item = *scope;
        item.keys = key->list.keys;
        item.prefix = prefix;
        item.target = (char *)field_of(key, scope->target) + i * key->list.item_size;
        int code = read_table(&item, dpc_yaml_at(scope->yaml, node, i));
        if (code != DPC_OK)
            return code;
    }
    uint32_t items = (uint32_t)count;
    memcpy((char *)scope->target + key->list.count_offset, &items, sizeof items);
    return DPC_OK;
}

static int
read_value(const struct scope *scope, const struct dpc_key *key, const struct dpc_yaml_node *node,
           const char *path)
{
    if (key->type == DPC_KEY_LIST)
        return read_list(scope, key, node, path);
    if (key->type == DPC_KEY_CUSTOM)
        return key->custom.read(scope->yaml, node, path, scope->target, scope->err);
    int code = read_scalar(key, node, field_of(key, scope->target));
    return code == DPC_OK ? code : value_error(scope, key, node, path, code);
}

static const struct dpc_key *
find_key(const struct dpc_keys *keys, const char *path)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->rows[i].path, path) == 0)
            return &keys->rows[i];
    }
    return NULL;
}

static bool
is_group(const struct dpc_keys *keys, const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < keys->count; i++) {
        const char *known = keys->rows[i].path;
        if (strncmp(known, path, len) == 0 && known[len] == '.')
            return true;
    }
    return false;
}

/* --- Unknown keys. */

/* The part behind the last dot within `len` bytes. */
static size_t
last_part(const char *path, size_t len)
{
    while (len && path[len - 1] != '.')
        len--;
    return len;
}

/* Distance of a mistyped path to a known one; a right name in the wrong group counts one edit. */
static size_t
path_distance(const char *typed, const char *known, size_t known_len)
{
    size_t typed_len = strlen(typed);
    size_t typed_last = last_part(typed, typed_len), known_last = last_part(known, known_len);
    size_t whole = dpc_nearest_distance(typed, typed_len, known, known_len);
    size_t last = 1 + dpc_nearest_distance(typed + typed_last, typed_len - typed_last,
                                           known + known_last, known_len - known_last);
    return whole < last ? whole : last;
}

/* The known key or group nearest to `path`; false when nothing is near. */
static bool
find_nearest(const struct dpc_keys *keys, const char *path, const char **ret_known, size_t *ret_len)
{
    size_t least = NEAR_DISTANCE_MAX + 1;
    for (size_t i = 0; i < keys->count; i++) {
        const char *known = keys->rows[i].path;
        for (size_t len = strcspn(known, ".");; len += 1 + strcspn(known + len + 1, ".")) {
            size_t distance = path_distance(path, known, len);
            if (distance < least) {
                least = distance;
                *ret_known = known;
                *ret_len = len;
            }
            if (!known[len])
                break;
        }
    }
    return least <= NEAR_DISTANCE_MAX;
}

/* Names of keys and groups directly inside `group` ("" or "inner."), each once. */
static void
list_siblings(const struct dpc_keys *keys, const char *group, struct dpc_buf *out)
{
    const char *before = "";
    size_t group_len = strlen(group), before_len = 0;
    for (size_t i = 0; i < keys->count; i++) {
        const char *path = keys->rows[i].path;
        if (strncmp(path, group, group_len) != 0)
            continue;
        const char *name = path + group_len;
        size_t len = strcspn(name, ".");
        if (len == before_len && memcmp(name, before, len) == 0)
            continue;
        dpc_buf_printf(out, "%s%.*s", out->len ? ", " : "", (int)len, name);
        before = name;
        before_len = len;
    }
}

static int
unknown_key(const struct scope *scope, const struct dpc_yaml_node *node, const char *group,
            const char *path, const char *shown)
{
    const char *known;
    size_t len;
    if (find_nearest(scope->keys, path, &known, &len))
        return dpc_keys_error_at(scope->yaml, node, shown, scope->err, DPC_EINVAL,
                                 "is unknown: did you mean \"%s%.*s\"?", scope->prefix, (int)len,
                                 known);
    struct dpc_buf siblings;
    dpc_buf_init(&siblings, 0);
    list_siblings(scope->keys, group, &siblings);
    (void)dpc_keys_error_at(scope->yaml, node, shown, scope->err, DPC_EINVAL,
                            "is unknown: the keys here are %s", dpc_buf_text(&siblings));
    dpc_buf_done(&siblings);
    return DPC_EINVAL;
}

/* --- A map. */

/* DPC_EINVAL when the key at `index` stood before. A map is left at its first unknown key, so that
 * `index` never passes the number of known ones. */
static int
check_twice(const struct scope *scope, const struct dpc_yaml_node *map, size_t index,
            const char *shown)
{
    const struct dpc_yaml_node *node = dpc_yaml_key_at(scope->yaml, map, index);
    for (size_t i = 0; i < index; i++) {
        const struct dpc_yaml_node *before = dpc_yaml_key_at(scope->yaml, map, i);
        if (strcmp(dpc_yaml_text(before), dpc_yaml_text(node)) == 0)
            return dpc_keys_error_at(scope->yaml, node, shown, scope->err, DPC_EINVAL,
                                     "stands twice: first in line %u", dpc_yaml_line(before));
    }
    return DPC_OK;
}

static int
read_pair(const struct scope *scope, const struct dpc_yaml_node *map, size_t index,
          const char *group)
{
    char path[PATH_MAX_SHOWN], shown[PATH_MAX_SHOWN];
    const struct dpc_yaml_node *name = dpc_yaml_key_at(scope->yaml, map, index);
    const struct dpc_yaml_node *value = dpc_yaml_at(scope->yaml, map, index);
    if (!dpc_yaml_text(name))
        return dpc_error_set(scope->err, DPC_EINVAL,
                             "%s:%u: a key must be a word, not a list or map",
                             dpc_yaml_name(scope->yaml), dpc_yaml_line(name));
    (void)snprintf(path, sizeof path, "%s%s", group, dpc_yaml_text(name));
    (void)snprintf(shown, sizeof shown, "%s%s", scope->prefix, path);
    int code = check_twice(scope, map, index, shown);
    if (code != DPC_OK)
        return code;
    const struct dpc_key *key = find_key(scope->keys, path);
    if (key)
        return read_value(scope, key, value, shown);
    if (!is_group(scope->keys, path))
        return unknown_key(scope, name, group, path, shown);
    if (dpc_yaml_kind(value) != DPC_YAML_MAP)
        return dpc_keys_error_at(scope->yaml, value, shown, scope->err, DPC_EINVAL,
                                 "must be a map of keys");
    (void)snprintf(path + strlen(path), sizeof path - strlen(path), ".");
    return read_map(scope, value, path);
}

/* `group` is "" or "inner.". The depth is bounded by that of the table's paths. */
static int
read_map(const struct scope *scope, const struct dpc_yaml_node *map, const char *group)
{
    for (size_t i = 0; i < dpc_yaml_count(map); i++) {
        int code = read_pair(scope, map, i, group);
        if (code != DPC_OK)
            return code;
    }
    return DPC_OK;
}

static void
set_default(const struct dpc_key *key, void *target)
{
    void *field = field_of(key, target);
    if (!key->fallback || !field)
        return;
    int code = parse_scalar(key, key->fallback, field);
    assert(code == DPC_OK);
}

/* Whether the map has the key, which may lie in a group. */
static bool
has_key(const struct scope *scope, const struct dpc_yaml_node *map, const char *path)
{
    while (map) {
        size_t len = strcspn(path, ".");
        map = value_of(scope->yaml, map, path, len);
        if (!path[len])
            return map != NULL;
        path += len + 1;
    }
    return false;
}

static int
check_map(const struct scope *scope, const struct dpc_yaml_node *map)
{
    if (dpc_yaml_kind(map) == DPC_YAML_MAP)
        return DPC_OK;
    return dpc_error_set(scope->err, DPC_EINVAL, "%s:%u: a map of keys is needed here",
                         dpc_yaml_name(scope->yaml), dpc_yaml_line(map));
}

static int
read_table(const struct scope *scope, const struct dpc_yaml_node *map)
{
    int code = check_map(scope, map);
    if (code != DPC_OK)
        return code;
    for (size_t i = 0; i < scope->keys->count; i++)
        set_default(&scope->keys->rows[i], scope->target);
    code = read_map(scope, map, "");
    for (size_t i = 0; code == DPC_OK && i < scope->keys->count; i++) {
        const struct dpc_key *key = &scope->keys->rows[i];
        if (key->required && !has_key(scope, map, key->path))
            code = dpc_error_set(scope->err, DPC_EINVAL, "%s:%u: \"%s%s\" is missing (%s)",
                                 dpc_yaml_name(scope->yaml), dpc_yaml_line(map), scope->prefix,
                                 key->path, key->doc);
    }
    return code;
}

int
dpc_keys_read(const struct dpc_keys *keys, const struct dpc_yaml *yaml, void *target,
              struct dpc_error *err)
{
    const struct dpc_yaml_node *root = dpc_yaml_root(yaml);
    struct scope scope = {keys, yaml, "", target, err};
    if (!root)
        return dpc_error_set(err, DPC_EINVAL, "%s: the file is empty", dpc_yaml_name(yaml));
    return read_table(&scope, root);
}

int
dpc_keys_read_over(const struct dpc_keys *keys, const struct dpc_yaml *yaml,
                   const struct dpc_yaml_node *map, const char *prefix, void *target,
                   struct dpc_error *err)
{
    struct scope scope = {keys, yaml, prefix, target, err};
    int code = check_map(&scope, map);
    return code == DPC_OK ? read_map(&scope, map, "") : code;
}
