/* SPDX-License-Identifier: Apache-2.0
 *
 * Fields of JSON lines: where a document's text stands, and those that become columns of
 * DPC_METADATA_FILE, for `routing.init: metadata`.
 *
 * A field is named by its key, or by keys with dots between them where it stands in an object of
 * the line: `meta.source`. A key with dots of its own comes before such a walk. Its value is text,
 * a number or true and false; of anything else, and of documents that are no JSON lines, the cell
 * is empty, which is none.
 *
 * Owns: the columns and their rows. Threads: one.
 * Limits: DPC_JSON_FIELDS_MAX columns of names shorter than DPC_NAME_MAX.
 */
#ifndef DPC_DATA_JSON_FIELDS_H
#define DPC_DATA_JSON_FIELDS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"

enum { DPC_JSON_FIELDS_MAX = 16 };

/* NULL when the object has none of that name. */
const struct dpc_json *dpc_json_field(const struct dpc_json *object, const char *name);

struct dpc_json_fields {
    uint32_t count;
    struct dpc_json_column {
        char name[DPC_NAME_MAX], field[DPC_NAME_MAX];
    } columns[DPC_JSON_FIELDS_MAX];
    struct dpc_buf rows; /* what DPC_METADATA_FILE is to hold; empty without columns */
};

/* `list` is "FIELD,COLUMN=FIELD...": a column has its field's name unless it is given one, and must
 * have one that `routing.field` can name. NULL: no columns, and the rest does nothing. DPC_EINVAL.
 */
int dpc_json_fields_init(struct dpc_json_fields *fields, const char *list,
                         struct dpc_error *err) DPC_MUST_CHECK;
void dpc_json_fields_done(struct dpc_json_fields *fields);

/* What stands behind the id in a document's row, into `cells`; `object` NULL: it is no JSON line.
 */
void dpc_json_fields_read(const struct dpc_json_fields *fields, const struct dpc_json *object,
                          struct dpc_buf *cells);
/* The row of document `id`. */
void dpc_json_fields_add(struct dpc_json_fields *fields, uint64_t id, const struct dpc_buf *cells);

/* May the rows take the place of the file `path`? DPC_EEXIST when it has other columns: somebody
 * else wrote it. */
int dpc_json_fields_check(const struct dpc_json_fields *fields, const char *path,
                          struct dpc_error *err) DPC_MUST_CHECK;

#endif
