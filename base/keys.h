/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of configuration keys, and what can be done with one: read a YAML file into a plain
 * struct, print the struct, tell two of them apart, write the commented example and the man text. A
 * key is said once, in a row, and everything that a person meets follows from the row.
 *
 * Owns: nothing. Threads: tables are constant; a read belongs to one thread.
 * Errors name file, line, key and what is allowed: DPC_EINVAL (unknown, twice, wrong type,
 * missing), DPC_ERANGE, and those of base/yaml.h.
 * Not here: rules between keys; their owner checks them and reports through dpc_keys_error.
 */
#ifndef DPC_BASE_KEYS_H
#define DPC_BASE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/change.h"
#include "base/error.h"
#include "base/yaml.h"

enum dpc_key_type {
    DPC_KEY_UINT, /* uint32_t or uint64_t, by `size` */
    DPC_KEY_REAL, /* double */
    DPC_KEY_BOOL, /* bool */
    DPC_KEY_ENUM, /* an enum; without a field: only checked, its one value is what the code does */
    DPC_KEY_NAME, /* text of a-z, 0-9, _ and -, a letter first */
    DPC_KEY_PATH, /* text without control characters */
    DPC_KEY_TEXT, /* the same, for people */
    DPC_KEY_LIST, /* array of structs with a table of their own, and a uint32_t count */
    DPC_KEY_CUSTOM, /* read and printed by functions of the row */
};

/* A word that a key may have as its value. A table of them ends with a NULL name. */
struct dpc_choice {
    const char *name;
    int value;
};

/* What a number may be; both ends belong to it unless they are open. */
struct dpc_range {
    double min, max;
    bool min_open, max_open;
};

struct dpc_key;
struct dpc_keys {
    const struct dpc_key *rows; /* keys of one group stand together */
    size_t count;
};

enum { DPC_KEY_NO_FIELD = -1 };

struct dpc_key {
    const char *path; /* "inner.lr" */
    enum dpc_key_type type;
    long offset; /* of the field in the struct, bytes; or DPC_KEY_NO_FIELD */
    size_t size; /* of the field, bytes; of a list: of all its items */
    struct dpc_range range;
    const char *fallback;       /* the default as it would be written; NULL: see `required` */
    const char *fallback_words; /* a default that follows from other keys, for people */
    const char *example;        /* what the example file says where that is not the default */
    const char *unit;           /* "steps"; NULL for none */
    const char *doc;            /* a sentence without its full stop */
    bool required;
    unsigned may_change; /* when: a set of enum dpc_change */
    const struct dpc_choice *choices;
    struct {
        const struct dpc_keys *keys;
        size_t item_size;
        long count_offset;
        uint32_t count_max;
    } list;
    struct {
        const char *needed; /* "a list of ..." */
        /* `path` names the value in errors; `target` is the struct that holds the field. */
        int (*read)(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, const char *path,
                    void *target, struct dpc_error *err);
        void (*print)(const void *target, struct dpc_buf *out);
    } custom;
};

/* Sets every field with a default, then reads the document over them. `target` was zeroed. */
int dpc_keys_read(const struct dpc_keys *keys, const struct dpc_yaml *yaml, void *target,
                  struct dpc_error *err) DPC_MUST_CHECK;

/* The same for the keys of one map of the document alone, over the struct as it is: nothing gets
 * its default, nothing is required, and a list replaces the one that was there. `prefix` is the
 * map's own place, such as "rows[2].set.", for errors. */
int dpc_keys_read_over(const struct dpc_keys *keys, const struct dpc_yaml *yaml,
                       const struct dpc_yaml_node *map, const char *prefix, void *target,
                       struct dpc_error *err) DPC_MUST_CHECK;

/* Fills `err` with `file:line: "path" ` and the formatted text. `path` may be "levels[1].name";
 * when the file does not have it, the error names no line. Returns `code`. */
int dpc_keys_error(const struct dpc_yaml *yaml, const char *path, struct dpc_error *err, int code,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same for a node at hand. */
int dpc_keys_error_at(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node,
                      const char *path, struct dpc_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* May it be the value of a key of DPC_KEY_NAME, as far as its characters go? */
bool dpc_keys_is_name(const char *text);

/* Reads a whole number from a plain scalar. DPC_EINVAL when it is none, DPC_ERANGE. */
int dpc_keys_read_uint(const struct dpc_yaml_node *node, const struct dpc_range *range,
                       uint64_t *ret_value) DPC_MUST_CHECK;

/* The struct as YAML: all keys, table order, but those that are `left_out`, one for each row; NULL:
 * none. Reading all of them gives an equal struct. */
void dpc_keys_print(const struct dpc_keys *keys, const void *target, const bool *left_out,
                    struct dpc_buf *out);

/* Calls `visit` for each key whose values differ, with whether it may. */
void dpc_keys_diff(const struct dpc_keys *keys, enum dpc_change when, const void *old,
                   const void *now,
                   void (*visit)(void *context, const char *key, const char *old_value,
                                 const char *new_value, bool may_change),
                   void *context);

/* What a key may be, in words: "a whole number from 1 to 65536 (sequences)". */
void dpc_keys_describe(const struct dpc_key *key, struct dpc_buf *out);

/* A file with every key, its meaning, range, unit and default, that can itself be read. */
void dpc_keys_write_example(const struct dpc_keys *keys, struct dpc_buf *out);
/* The same as a fragment of a man page: one .TP a key. */
void dpc_keys_write_man(const struct dpc_keys *keys, struct dpc_buf *out);

#endif
