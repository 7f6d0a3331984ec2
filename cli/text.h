/* SPDX-License-Identifier: Apache-2.0
 *
 * Text for people: tables with aligned columns, sizes, durations, and text of a model made safe for
 * a terminal.
 *
 * Owns: a table owns copies of its cells. Threads: one. Widths count code points of UTF-8.
 */
#ifndef DPC_CLI_TEXT_H
#define DPC_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/json.h"

struct dpc_table;

/* Columns from titles; one that begins with '>' is aligned to the right (the '>' is not shown). */
struct dpc_table *dpc_table_create(const char *const *titles, size_t columns_count);
struct dpc_table *dpc_table_destroy(struct dpc_table *table);
/* The next cell, row by row. */
void dpc_table_add(struct dpc_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void dpc_table_print(const struct dpc_table *table, FILE *out);

/* A column of a listing: where its value stands in each row's JSON object and how it is shown. */
enum dpc_cell {
    DPC_CELL_TEXT,
    DPC_CELL_INTEGER,
    DPC_CELL_NUMBER,  /* four places */
    DPC_CELL_COUNT,   /* 12.3k */
    DPC_CELL_BYTES,   /* 12.3 MiB */
    DPC_CELL_SECONDS, /* from milliseconds */
    DPC_CELL_HASH,    /* its first 12 digits */
    DPC_CELL_DATE,    /* from seconds since 1970, in local time: 2026-11-29 16:40 */
    DPC_CELL_YES,     /* true: yes, false: no */
    DPC_CELL_LIST,    /* texts with spaces between */
};
struct dpc_column {
    const char *title;
    const char *key;
    enum dpc_cell cell;
};
/* A missing or null value is shown as "-". */
void dpc_listing_print(const struct dpc_json *rows, const struct dpc_column *columns,
                       size_t columns_count, FILE *out);

enum { DPC_SHORT_TEXT_MAX = 32 };
/* "12.3 MiB"; "12.3k"; "1:02:03" or "2:03". */
const char *dpc_text_bytes(double bytes, char ret_text[DPC_SHORT_TEXT_MAX]);
const char *dpc_text_count(double count, char ret_text[DPC_SHORT_TEXT_MAX]);
const char *dpc_text_seconds(double seconds, char ret_text[DPC_SHORT_TEXT_MAX]);

/* Appends `len` bytes with everything replaced that could move a cursor or is no UTF-8: control
 * characters but the newline go, broken sequences become U+FFFD. */
void dpc_text_clean(const void *bytes, size_t len, struct dpc_buf *out);
/* Prints a text so: names, and what has names in it, are what workers call themselves. */
void dpc_text_show(const char *text, FILE *out);
/* Sets a member of `object` to `len` bytes, as JSON can hold them (dpc_utf8_mend). */
void dpc_text_set(struct dpc_json *object, const char *key, const void *bytes, size_t len);
/* The longest beginning of `bytes` that ends between two code points, at most `len`. */
size_t dpc_text_cut(const void *bytes, size_t len);

/* Prints a tree, indented, with a newline. */
void dpc_json_show(const struct dpc_json *json, FILE *out);

#endif
