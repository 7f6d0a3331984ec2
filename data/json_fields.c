/* SPDX-License-Identifier: Apache-2.0 */
#include "data/json_fields.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/keys.h"
#include "base/vfs.h"
#include "data/metadata.h"

const struct dpc_json *
dpc_json_field(const struct dpc_json *object, const char *name)
{
    const struct dpc_json *node = dpc_json_get(object, name);
    char key[DPC_NAME_MAX];
    while (!node && object) {
        const char *dot = strchr(name, '.');
        size_t len = dot ? (size_t)(dot - name) : 0;
        if (!dot || len >= sizeof key)
            return NULL;
        memcpy(key, name, len);
        key[len] = 0;
        name = dot + 1;
        object = dpc_json_get(object, key);
        node = dpc_json_get(object, name);
    }
    return node;
}

/* --- Columns. */

static bool
has_column(const struct dpc_json_fields *fields, const char *name)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        if (strcmp(fields->columns[i].name, name) == 0)
            return true;
    }
    return false;
}

/* As routing.field may be. */
static bool
is_column_name(const char *name)
{
    return dpc_keys_is_name(name) && strcmp(name, "id") != 0;
}

static bool
take_word(const char *word, size_t len, char ret_word[static DPC_NAME_MAX])
{
    if (len == 0 || len >= DPC_NAME_MAX)
        return false;
    memcpy(ret_word, word, len);
    ret_word[len] = 0;
    return true;
}

/* `len` bytes of the list: "FIELD" or "COLUMN=FIELD". */
static int
add_column(struct dpc_json_fields *fields, const char *item, size_t len, struct dpc_error *err)
{
    if (fields->count == DPC_JSON_FIELDS_MAX)
        return dpc_error_set(err, DPC_EINVAL, "%s takes %d fields at most", DPC_METADATA_FILE,
                             DPC_JSON_FIELDS_MAX);
    struct dpc_json_column *column = &fields->columns[fields->count];
    const char *equals = memchr(item, '=', len);
    size_t name_len = equals ? (size_t)(equals - item) : len, from = equals ? name_len + 1 : 0;
    bool taken = take_word(item, name_len, column->name) &&
                 take_word(item + from, len - from, column->field);
    if (!taken || !is_column_name(column->name))
        return dpc_error_set(
            err, DPC_EINVAL,
            "\"%.*s\" is no column for %s: lower-case letters, digits, _ and -, "
            "but not id; name it as in \"source=%.*s\"",
            (int)(len < DPC_NAME_MAX ? len : DPC_NAME_MAX), item, DPC_METADATA_FILE,
            (int)(len - from < DPC_NAME_MAX ? len - from : DPC_NAME_MAX), item + from);
    if (has_column(fields, column->name))
        return dpc_error_set(err, DPC_EINVAL, "%s cannot have two columns \"%s\"",
                             DPC_METADATA_FILE, column->name);
    fields->count++;
    return DPC_OK;
}

int
dpc_json_fields_init(struct dpc_json_fields *fields, const char *list, struct dpc_error *err)
{
    int code = DPC_OK;
    fields->count = 0;
    dpc_buf_init(&fields->rows, 0);
    for (const char *at = list, *comma; code == DPC_OK && at; at = comma ? comma + 1 : NULL) {
        comma = strchr(at, ',');
        code = add_column(fields, at, comma ? (size_t)(comma - at) : strlen(at), err);
    }
    if (code != DPC_OK || fields->count == 0)
        return code;
    dpc_buf_put(&fields->rows, "id", 2);
    for (uint32_t i = 0; i < fields->count; i++)
        dpc_buf_printf(&fields->rows, "\t%s", fields->columns[i].name);
    dpc_buf_put_u8(&fields->rows, '\n');
    return DPC_OK;
}

void
dpc_json_fields_done(struct dpc_json_fields *fields)
{
    dpc_buf_done(&fields->rows);
}

/* --- Rows. */

/* What would end a cell or a line is a blank in it. */
static void
put_text(struct dpc_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        dpc_buf_put_u8(out, iscntrl((unsigned char)text[i]) ? ' ' : (uint8_t)text[i]);
}

static void
put_value(struct dpc_buf *out, const struct dpc_json *value)
{
    size_t len;
    const char *text = dpc_json_text_bytes(value, &len);
    double number = dpc_json_number(value, NAN);
    bool truth = dpc_json_bool(value, false);
    if (text)
        put_text(out, text, len);
    else if (isfinite(number))
        dpc_buf_put_real(out, number);
    else if (truth == dpc_json_bool(value, true))
        dpc_buf_printf(out, "%s", truth ? "true" : "false");
}

void
dpc_json_fields_read(const struct dpc_json_fields *fields, const struct dpc_json *object,
                     struct dpc_buf *cells)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        dpc_buf_put_u8(cells, '\t');
        put_value(cells, dpc_json_field(object, fields->columns[i].field));
    }
}

void
dpc_json_fields_add(struct dpc_json_fields *fields, uint64_t id, const struct dpc_buf *cells)
{
    if (fields->count == 0)
        return;
    dpc_buf_printf(&fields->rows, "%" PRIu64, id);
    dpc_buf_put(&fields->rows, cells->data, cells->len);
    dpc_buf_put_u8(&fields->rows, '\n');
}

/* --- The file. */

int
dpc_json_fields_check(const struct dpc_json_fields *fields, const char *path, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    if (fields->count == 0)
        return DPC_OK;
    int code = dpc_vfs_read_file(&dpc_vfs_posix, path, DPC_METADATA_BYTES_MAX, &bytes, &len, err);
    if (code != DPC_OK)
        return code == DPC_ENOTFOUND ? DPC_OK : code;
    const uint8_t *end = memchr(fields->rows.data, '\n', fields->rows.len);
    size_t head = (size_t)(end - fields->rows.data) + 1;
    bool same = len >= head && memcmp(bytes, fields->rows.data, head) == 0;
    dpc_free(bytes);
    return same ? DPC_OK
                : dpc_error_set(err, DPC_EEXIST,
                                "\"%s\" has other columns, so that this import did not write it: "
                                "move it away, or import without fields for it",
                                path);
}
