/* SPDX-License-Identifier: Apache-2.0
 * Printing: the struct as YAML, and the table for people. The groups of dotted paths become nested
 * maps; items of lists are written in flow style, one a line. */
#include "base/keys.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 2, COMMENT_COLUMNS = 92 };

/* --- Values. */

static const void *
field_of(const struct dpc_key *key, const void *target)
{
    return (const char *)target + key->offset;
}

static void
print_uint(const struct dpc_key *key, const void *field, struct dpc_buf *out)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;
    if (key->size == sizeof wide)
        memcpy(&wide, field, sizeof wide);
    else
        memcpy(&narrow, field, sizeof narrow);
    dpc_buf_printf(out, "%llu", (unsigned long long)(wide + narrow));
}

static void
print_enum(const struct dpc_key *key, const void *field, struct dpc_buf *out)
{
    int value;
    memcpy(&value, field, sizeof value);
    for (const struct dpc_choice *choice = key->choices; choice->name; choice++) {
        if (choice->value == value) {
            dpc_buf_printf(out, "%s", choice->name);
            return;
        }
    }
    assert(!"an enum holds one of its choices");
}

/* Decodes one character of UTF-8 that the YAML reader has already checked. */
static uint32_t
next_character(const unsigned char **text)
{
    const unsigned char *at = *text;
    size_t more = at[0] < 0x80 ? 0 : at[0] < 0xE0 ? 1 : at[0] < 0xF0 ? 2 : 3;
    uint32_t character = more ? at[0] & (0x3Fu >> more) : at[0];
    for (size_t i = 1; i <= more && at[i]; i++)
        character = character << 6 | (at[i] & 0x3F);
    *text = at + 1 + more;
    return character;
}

/* Plain where no YAML reader could see anything but a text, else quoted and in ASCII. */
static void
print_text(const char *text, struct dpc_buf *out)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.-";
    const unsigned char *at = (const unsigned char *)text;
    if (*text && *text != '-' && !text[strspn(text, plain)]) {
        dpc_buf_printf(out, "%s", text);
        return;
    }
    dpc_buf_printf(out, "\"");
    while (*at) {
        uint32_t character = next_character(&at);
        if (character == '"' || character == '\\')
            dpc_buf_printf(out, "\\%c", (int)character);
        else if (character < 0x7F)
            dpc_buf_printf(out, "%c", (int)character);
        else
            dpc_buf_printf(out, "\\U%08X", character);
    }
    dpc_buf_printf(out, "\"");
}

static void print_item(const struct dpc_keys *keys, const void *item, struct dpc_buf *out);

static uint32_t
list_count(const struct dpc_key *key, const void *target)
{
    uint32_t count;
    memcpy(&count, (const char *)target + key->list.count_offset, sizeof count);
    return count;
}

static const void *
list_item(const struct dpc_key *key, const void *target, uint32_t index)
{
    return (const char *)field_of(key, target) + index * key->list.item_size;
}

static void
print_list_in_line(const struct dpc_key *key, const void *target, struct dpc_buf *out)
{
    uint32_t count = list_count(key, target);
    dpc_buf_printf(out, "[");
    for (uint32_t i = 0; i < count; i++) {
        dpc_buf_printf(out, i ? ", " : "");
        print_item(key->list.keys, list_item(key, target, i), out);
    }
    dpc_buf_printf(out, "]");
}

/* The value in one line. */
static void
print_value(const struct dpc_key *key, const void *target, struct dpc_buf *out)
{
    double real;
    bool on;
    if (key->type == DPC_KEY_CUSTOM) {
        key->custom.print(target, out);
        return;
    }
    if (key->offset == DPC_KEY_NO_FIELD) {
        dpc_buf_printf(out, "%s", key->fallback);
        return;
    }
    const void *field = field_of(key, target);
    switch (key->type) {
    case DPC_KEY_UINT:
        print_uint(key, field, out);
        break;
    case DPC_KEY_REAL:
        memcpy(&real, field, sizeof real);
        dpc_buf_put_real(out, real);
        break;
    case DPC_KEY_BOOL:
        memcpy(&on, field, sizeof on);
        dpc_buf_printf(out, on ? "true" : "false");
        break;
    case DPC_KEY_ENUM:
        print_enum(key, field, out);
        break;
    case DPC_KEY_LIST:
        print_list_in_line(key, target, out);
        break;
    default:
        print_text(field, out);
        break;
    }
}

static void
print_item(const struct dpc_keys *keys, const void *item, struct dpc_buf *out)
{
    dpc_buf_printf(out, "{");
    for (size_t i = 0; i < keys->count; i++) {
        dpc_buf_printf(out, "%s%s: ", i ? ", " : "", keys->rows[i].path);
        print_value(&keys->rows[i], item, out);
    }
    dpc_buf_printf(out, "}");
}

/* --- The struct as YAML. */

/* Bytes of the group in front of the key's own name: 6 for "inner.lr". */
static size_t
group_len(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? (size_t)(dot - path) + 1 : 0;
}

/* Groups that `path` lies in. */
static int
depth_of(const char *path)
{
    int depth = 0;
    for (; *path; path++)
        depth += *path == '.';
    return depth;
}

/* Writes the heads of groups that `path` lies in and the key before it, `before`, does not. */
static void
print_groups(const char *before, const char *path, struct dpc_buf *out)
{
    size_t start = 0;
    int depth = 0;
    for (size_t len = 0; len < group_len(path); len++) {
        if (path[len] != '.')
            continue;
        if (strncmp(before, path, len + 1) != 0)
            dpc_buf_printf(out, "%*s%.*s:\n", depth * INDENT, "", (int)(len - start), path + start);
        start = len + 1;
        depth++;
    }
}

static void
print_key(const struct dpc_key *key, const void *target, struct dpc_buf *out)
{
    int indent = depth_of(key->path) * INDENT;
    dpc_buf_printf(out, "%*s%s:", indent, "", key->path + group_len(key->path));
    if (key->type != DPC_KEY_LIST) {
        dpc_buf_printf(out, " ");
        print_value(key, target, out);
        dpc_buf_printf(out, "\n");
        return;
    }
    dpc_buf_printf(out, "\n");
    uint32_t count = list_count(key, target);
    for (uint32_t i = 0; i < count; i++) {
        dpc_buf_printf(out, "%*s- ", indent + INDENT, "");
        print_item(key->list.keys, list_item(key, target, i), out);
        dpc_buf_printf(out, "\n");
    }
}

void
dpc_keys_print(const struct dpc_keys *keys, const void *target, const bool *left_out,
               struct dpc_buf *out)
{
    const char *before = "";
    for (size_t i = 0; i < keys->count; i++) {
        const struct dpc_key *key = &keys->rows[i];
        if (left_out && left_out[i])
            continue;
        print_groups(before, key->path, out);
        print_key(key, target, out);
        before = key->path;
    }
}

void
dpc_keys_diff(const struct dpc_keys *keys, enum dpc_change when, const void *old, const void *now,
              void (*visit)(void *, const char *, const char *, const char *, bool), void *context)
{
    for (size_t i = 0; i < keys->count; i++) {
        const struct dpc_key *key = &keys->rows[i];
        struct dpc_buf a, b;
        dpc_buf_init(&a, 0);
        dpc_buf_init(&b, 0);
        print_value(key, old, &a);
        print_value(key, now, &b);
        if (strcmp(dpc_buf_text(&a), dpc_buf_text(&b)) != 0)
            visit(context, key->path, dpc_buf_text(&a), dpc_buf_text(&b),
                  (key->may_change & when) != 0);
        dpc_buf_done(&a);
        dpc_buf_done(&b);
    }
}

/* --- The table in words. */

static void
describe_range(const struct dpc_range *range, struct dpc_buf *out)
{
    dpc_buf_printf(out, range->min_open ? " above " : " from ");
    dpc_buf_put_real(out, range->min);
    dpc_buf_printf(out, range->max_open ? " to below " : " to ");
    dpc_buf_put_real(out, range->max);
}

static void
describe_choices(const struct dpc_choice *choices, struct dpc_buf *out)
{
    const char *separator = choices[1].name ? "one of " : "";
    for (; choices->name; choices++) {
        dpc_buf_printf(out, "%s%s", separator, choices->name);
        separator = ", ";
    }
}

void
dpc_keys_describe(const struct dpc_key *key, struct dpc_buf *out)
{
    switch (key->type) {
    case DPC_KEY_UINT:
    case DPC_KEY_REAL:
        dpc_buf_printf(out, key->type == DPC_KEY_UINT ? "a whole number" : "a number");
        describe_range(&key->range, out);
        break;
    case DPC_KEY_BOOL:
        dpc_buf_printf(out, "true or false");
        break;
    case DPC_KEY_ENUM:
        describe_choices(key->choices, out);
        break;
    case DPC_KEY_NAME:
        dpc_buf_printf(out, "a name of a-z, 0-9, _ and -, a letter first, at most %zu bytes",
                       key->size - 1);
        break;
    case DPC_KEY_PATH:
        dpc_buf_printf(out, "a file name of at most %zu bytes", key->size - 1);
        break;
    case DPC_KEY_TEXT:
        dpc_buf_printf(out, "a line of text of at most %zu bytes", key->size - 1);
        break;
    case DPC_KEY_LIST:
        dpc_buf_printf(out, "a list of 1 to %u maps", key->list.count_max);
        break;
    case DPC_KEY_CUSTOM:
        dpc_buf_printf(out, "%s", key->custom.needed);
        break;
    }
    if (key->unit)
        dpc_buf_printf(out, " (%s)", key->unit);
}

static const char *
change_words(unsigned may_change)
{
    bool warm = may_change & DPC_CHANGE_WARM;
    if (may_change & DPC_CHANGE_RUNNING)
        return warm ? " May change in a running experiment and in every fork."
                    : " May change in a running experiment and in a fork.";
    if (may_change & DPC_CHANGE_FORK)
        return warm ? " A fork may change it, one of the warm start, too."
                    : " A fork may change it.";
    return warm ? " A fork of the warm start may change it." : "";
}

/* Everything about a key in sentences. */
static void
describe_fully(const struct dpc_key *key, struct dpc_buf *out)
{
    dpc_buf_printf(out, "%s. ", key->doc);
    dpc_buf_printf(out, "Allowed: ");
    dpc_keys_describe(key, out);
    if (key->required)
        dpc_buf_printf(out, ". Required.");
    else
        dpc_buf_printf(out, ". Default: %s.", key->fallback ? key->fallback : key->fallback_words);
    dpc_buf_printf(out, "%s", change_words(key->may_change));
}

/* `text` as comment lines of at most COMMENT_COLUMNS, broken between words. */
static void
print_comment(const char *text, int indent, struct dpc_buf *out)
{
    size_t used = 0;
    while (*text) {
        size_t len = strcspn(text, " ");
        if (used == 0 || used + 1 + len > COMMENT_COLUMNS) {
            dpc_buf_printf(out, "%s%*s#", used ? "\n" : "", indent, "");
            used = (size_t)indent + 1;
        }
        dpc_buf_printf(out, " %.*s", (int)len, text);
        used += 1 + len;
        text += len;
        text += strspn(text, " ");
    }
    dpc_buf_printf(out, "\n");
}

static void
print_key_comment(const struct dpc_key *key, const char *head, int indent, struct dpc_buf *out)
{
    struct dpc_buf text;
    dpc_buf_init(&text, 0);
    dpc_buf_printf(&text, "%s", head);
    describe_fully(key, &text);
    print_comment(dpc_buf_text(&text), indent, out);
    dpc_buf_done(&text);
}

/* The keys of a list's items, as comments below those of the list. */
static void
print_item_comments(const struct dpc_keys *keys, int indent, struct dpc_buf *out)
{
    for (size_t i = 0; i < keys->count; i++) {
        char head[64];
        (void)snprintf(head, sizeof head, "- %s: ", keys->rows[i].path);
        print_key_comment(&keys->rows[i], head, indent, out);
    }
}

void
dpc_keys_write_example(const struct dpc_keys *keys, struct dpc_buf *out)
{
    const char *before = "";
    for (size_t i = 0; i < keys->count; i++) {
        const struct dpc_key *key = &keys->rows[i];
        const char *name = key->path + group_len(key->path);
        int indent = depth_of(key->path) * INDENT;
        size_t top = strcspn(key->path, ".") + 1;
        if (i && strncmp(before, key->path, top) != 0)
            dpc_buf_printf(out, "\n");
        print_groups(before, key->path, out);
        print_key_comment(key, "", indent, out);
        before = key->path;
        if (key->type == DPC_KEY_LIST)
            print_item_comments(key->list.keys, indent, out);
        dpc_buf_printf(out, "%*s%s:%s%s\n", indent, "", name,
                       key->type == DPC_KEY_LIST ? "\n" : " ",
                       key->example ? key->example : key->fallback);
    }
}

/* --- The man page. */

static void
print_roff(const char *text, struct dpc_buf *out)
{
    for (; *text; text++) {
        if (*text == '\\')
            dpc_buf_printf(out, "\\e");
        else if (*text == '-')
            dpc_buf_printf(out, "\\-");
        else
            dpc_buf_printf(out, "%c", *text);
    }
}

static void
print_man_rows(const struct dpc_keys *keys, const char *prefix, struct dpc_buf *out)
{
    for (size_t i = 0; i < keys->count; i++) {
        const struct dpc_key *key = &keys->rows[i];
        struct dpc_buf text;
        dpc_buf_init(&text, 0);
        describe_fully(key, &text);
        dpc_buf_printf(out, ".TP\n.B ");
        print_roff(prefix, out);
        print_roff(key->path, out);
        dpc_buf_printf(out, "\n");
        print_roff(dpc_buf_text(&text), out);
        dpc_buf_printf(out, "\n");
        dpc_buf_done(&text);
        if (key->type == DPC_KEY_LIST) {
            char inside[64];
            (void)snprintf(inside, sizeof inside, "%s[].", key->path);
            print_man_rows(key->list.keys, inside, out);
        }
    }
}

void
dpc_keys_write_man(const struct dpc_keys *keys, struct dpc_buf *out)
{
    print_man_rows(keys, "", out);
}
