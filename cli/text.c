/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/utf8.h"

/* --- UTF-8. */

void
dpc_text_clean(const void *bytes, size_t len, struct dpc_buf *out)
{
    const uint8_t *at = bytes, *end = at + len;
    while (at < end) {
        size_t step = dpc_utf8_sequence(at, (size_t)(end - at));
        if (step == 0)
            dpc_buf_put(out, DPC_UTF8_REPLACEMENT, strlen(DPC_UTF8_REPLACEMENT));
        else if (at[0] == '\t')
            dpc_buf_put_u8(out, ' ');
        else if (at[0] == '\n' || !dpc_utf8_is_control(at, step))
            dpc_buf_put(out, at, step);
        at += step ? step : 1;
    }
}

void
dpc_text_show(const char *text, FILE *out)
{
    struct dpc_buf clean;
    dpc_buf_init(&clean, 0);
    dpc_text_clean(text, strlen(text), &clean);
    fputs(dpc_buf_text(&clean), out);
    dpc_buf_done(&clean);
}

void
dpc_text_set(struct dpc_json *object, const char *key, const void *bytes, size_t len)
{
    struct dpc_buf mended;
    dpc_buf_init(&mended, 0);
    dpc_utf8_mend(bytes, len, &mended);
    dpc_json_set_text(object, key, dpc_buf_text(&mended));
    dpc_buf_done(&mended);
}

size_t
dpc_text_cut(const void *bytes, size_t len)
{
    const uint8_t *text = bytes;
    /* Only the last sequence can be cut off: look for its first byte. */
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        uint8_t byte = text[len - back];
        if ((byte & 0xC0) == 0x80)
            continue;
        size_t wanted = byte < 0xC2 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
        return wanted > back ? len - back : len;
    }
    return len;
}

/* --- Short forms. */

static const char *
scaled(double value, double step, const char *const *units, size_t units_count,
       char ret_text[DPC_SHORT_TEXT_MAX])
{
    size_t unit = 0;
    while (fabs(value) >= step && unit + 1 < units_count) {
        value /= step;
        unit++;
    }
    snprintf(ret_text, DPC_SHORT_TEXT_MAX, unit ? "%.1f%s" : "%.0f%s", value, units[unit]);
    return ret_text;
}

const char *
dpc_text_bytes(double bytes, char ret_text[DPC_SHORT_TEXT_MAX])
{
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB"};
    return scaled(bytes, 1024, units, sizeof units / sizeof *units, ret_text);
}

const char *
dpc_text_count(double count, char ret_text[DPC_SHORT_TEXT_MAX])
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    return scaled(count, 1000, units, sizeof units / sizeof *units, ret_text);
}

const char *
dpc_text_seconds(double seconds, char ret_text[DPC_SHORT_TEXT_MAX])
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e9) {
        snprintf(ret_text, DPC_SHORT_TEXT_MAX, "?");
        return ret_text;
    }
    unsigned long whole = (unsigned long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(ret_text, DPC_SHORT_TEXT_MAX, "%lu:%02lu:%02lu", whole / 3600, whole / 60 % 60,
                 whole % 60);
    else
        snprintf(ret_text, DPC_SHORT_TEXT_MAX, "%lu:%02lu", whole / 60, whole % 60);
    return ret_text;
}

/* --- Tables. */

struct dpc_table {
    size_t columns_count;
    size_t cells_count, cells_capacity;
    char **cells; /* the titles are the first row */
    bool *right;
};

static void
add_cell(struct dpc_table *table, char *text)
{
    if (table->cells_count == table->cells_capacity) {
        table->cells_capacity = table->cells_capacity ? 2 * table->cells_capacity : 64;
        table->cells = dpc_grow(table->cells, table->cells_capacity, sizeof *table->cells);
    }
    table->cells[table->cells_count++] = text;
}

struct dpc_table *
dpc_table_create(const char *const *titles, size_t columns_count)
{
    struct dpc_table *table = dpc_alloc(1, sizeof *table);
    table->columns_count = columns_count;
    table->right = dpc_alloc(columns_count, sizeof *table->right);
    for (size_t i = 0; i < columns_count; i++) {
        table->right[i] = titles[i][0] == '>';
        add_cell(table, dpc_strdup(titles[i] + table->right[i]));
    }
    return table;
}

struct dpc_table *
dpc_table_destroy(struct dpc_table *table)
{
    if (!table)
        return NULL;
    for (size_t i = 0; i < table->cells_count; i++)
        dpc_free(table->cells[i]);
    dpc_free(table->cells);
    dpc_free(table->right);
    return dpc_free(table);
}

void
dpc_table_add(struct dpc_table *table, const char *format, ...)
{
    char raw[512];
    va_list list;
    va_start(list, format);
    vsnprintf(raw, sizeof raw, format, list);
    va_end(list);
    /* A worker's name is its own choice: it must not draw on this terminal. */
    struct dpc_buf clean;
    dpc_buf_init(&clean, 0);
    dpc_text_clean(raw, dpc_text_cut(raw, strlen(raw)), &clean);
    add_cell(table, dpc_strdup(dpc_buf_text(&clean)));
    dpc_buf_done(&clean);
}

/* Columns that a text takes: its code points. */
static size_t
width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static size_t
column_width(const struct dpc_table *table, size_t column)
{
    size_t width = 0;
    for (size_t i = column; i < table->cells_count; i += table->columns_count) {
        size_t own = width_of(table->cells[i]);
        width = own > width ? own : width;
    }
    return width;
}

void
dpc_table_print(const struct dpc_table *table, FILE *out)
{
    size_t *widths = dpc_alloc(table->columns_count, sizeof *widths);
    for (size_t column = 0; column < table->columns_count; column++)
        widths[column] = column_width(table, column);
    for (size_t i = 0; i < table->cells_count; i++) {
        size_t column = i % table->columns_count;
        bool last = column + 1 == table->columns_count;
        int pad = (int)(widths[column] - width_of(table->cells[i]));
        if (table->right[column])
            fprintf(out, "%*s%s", pad, "", table->cells[i]);
        else
            fprintf(out, "%s%*s", table->cells[i], last ? 0 : pad, "");
        fputs(last ? "\n" : "  ", out);
    }
    dpc_free(widths);
}

/* --- Listings. */

static void
add_list(struct dpc_table *table, const struct dpc_json *list)
{
    struct dpc_buf text;
    dpc_buf_init(&text, 0);
    for (size_t i = 0; i < dpc_json_count(list); i++)
        dpc_buf_printf(&text, "%s%s", i ? " " : "", dpc_json_text(dpc_json_at(list, i), "?"));
    dpc_table_add(table, "%s", text.len ? dpc_buf_text(&text) : "-");
    dpc_buf_done(&text);
}

/* A number that may be missing comes as the fallback of two different reads. */
static bool
is_number(const struct dpc_json *node)
{
    double one = dpc_json_number(node, 0), two = dpc_json_number(node, 1);
    return one == two;
}

static const char *
date(double seconds, char ret_text[DPC_SHORT_TEXT_MAX])
{
    time_t when = (time_t)seconds;
    struct tm parts;
    if (!localtime_r(&when, &parts) ||
        strftime(ret_text, DPC_SHORT_TEXT_MAX, "%Y-%m-%d %H:%M", &parts) == 0)
        return "-";
    return ret_text;
}

static void
add_number(struct dpc_table *table, const struct dpc_json *node, enum dpc_cell cell)
{
    char text[DPC_SHORT_TEXT_MAX];
    double value = dpc_json_number(node, 0);
    if (!is_number(node))
        dpc_table_add(table, "-");
    else if (cell == DPC_CELL_INTEGER)
        dpc_table_add(table, "%.0f", value);
    else if (cell == DPC_CELL_NUMBER)
        dpc_table_add(table, "%.4f", value);
    else if (cell == DPC_CELL_COUNT)
        dpc_table_add(table, "%s", dpc_text_count(value, text));
    else if (cell == DPC_CELL_BYTES)
        dpc_table_add(table, "%s", dpc_text_bytes(value, text));
    else if (cell == DPC_CELL_DATE)
        dpc_table_add(table, "%s", date(value, text));
    else
        dpc_table_add(table, "%.1f s", value / 1000);
}

static void
add_value(struct dpc_table *table, const struct dpc_json *node, enum dpc_cell cell)
{
    const char *text = dpc_json_text(node, "");
    switch (cell) {
    case DPC_CELL_TEXT:
        dpc_table_add(table, "%s", *text ? text : "-");
        break;
    case DPC_CELL_HASH:
        dpc_table_add(table, "%.12s", *text ? text : "-");
        break;
    case DPC_CELL_YES:
        dpc_table_add(table, "%s", dpc_json_bool(node, false) ? "yes" : "no");
        break;
    case DPC_CELL_LIST:
        add_list(table, node);
        break;
    default:
        add_number(table, node, cell);
    }
}

void
dpc_listing_print(const struct dpc_json *rows, const struct dpc_column *columns,
                  size_t columns_count, FILE *out)
{
    const char **titles = dpc_alloc(columns_count, sizeof *titles);
    for (size_t i = 0; i < columns_count; i++)
        titles[i] = columns[i].title;
    struct dpc_table *table = dpc_table_create(titles, columns_count);
    for (size_t row = 0; row < dpc_json_count(rows); row++) {
        for (size_t i = 0; i < columns_count; i++)
            add_value(table, dpc_json_get(dpc_json_at(rows, row), columns[i].key), columns[i].cell);
    }
    dpc_table_print(table, out);
    dpc_table_destroy(table);
    dpc_free(titles);
}

void
dpc_json_show(const struct dpc_json *json, FILE *out)
{
    char *text = dpc_json_print(json, true);
    fprintf(out, "%s\n", text);
    dpc_free(text);
}
