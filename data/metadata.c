/* SPDX-License-Identifier: Apache-2.0
 * The file's text stays in memory, cut into lines and cells where they stand. */
#include "data/metadata.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "base/vfs.h"
#include "data/tokens.h"

struct dpc_metadata {
    char *text; /* the file; names point into it */
    const char **names;
    uint32_t names_count;
    uint32_t *values; /* [documents] */
    uint32_t documents;
};

/* Where reading stands. */
struct place {
    const char *path, *field;
    char *rest; /* NULL at the end */
    uint32_t line;
    uint32_t column; /* of the field */
};

/* Spreadsheets end lines with a carriage return, too: it is no part of the last cell. */
static char *
next_line(struct place *place)
{
    char *line = place->rest;
    if (!line || !*line)
        return NULL;
    char *end = strchr(line, '\n');
    place->rest = end ? end + 1 : NULL;
    if (end)
        *end = 0;
    size_t len = strlen(line);
    if (len && line[len - 1] == '\r')
        line[len - 1] = 0;
    place->line++;
    return line;
}

/* Cell number `column` of a line, which is cut up to there; NULL when it has fewer. */
static char *
cell_of(char *line, uint32_t column)
{
    char *cell = line;
    for (uint32_t i = 0; i < column && cell; i++) {
        cell = strchr(cell, '\t');
        if (cell)
            cell++;
    }
    if (cell)
        cell[strcspn(cell, "\t")] = 0;
    return cell;
}

static int
read_head(struct place *place, struct dpc_error *err)
{
    char *line = next_line(place);
    uint32_t column = 0;
    for (char *cell = line, *end; cell; cell = end, column++) {
        end = strchr(cell, '\t');
        if (end)
            *end++ = 0;
        if (column == 0 && strcmp(cell, "id") != 0)
            break;
        if (column > 0 && strcmp(cell, place->field) == 0) {
            place->column = column;
            return DPC_OK;
        }
    }
    return dpc_error_set(err, DPC_ENOTFOUND,
                         "\"%s\" has no column \"%s\": its first line must be id and the fields' "
                         "names, separated by tabs; add the column, or name another in "
                         "routing.field",
                         place->path, place->field);
}

/* The number of a name, a new one for a new name; DPC_METADATA_MISSING when there are too many. */
static uint32_t
number_of(struct dpc_metadata *metadata, const char *name)
{
    for (uint32_t i = 0; i < metadata->names_count; i++) {
        if (strcmp(metadata->names[i], name) == 0)
            return i;
    }
    if (metadata->names_count == DPC_METADATA_VALUES_MAX)
        return DPC_METADATA_MISSING;
    metadata->names[metadata->names_count] = name;
    return metadata->names_count++;
}

static int
read_row(struct dpc_metadata *metadata, const struct place *place, char *line,
         struct dpc_error *err)
{
    char *end;
    char *value = cell_of(line, place->column);
    unsigned long id = strtoul(line, &end, 10);
    /* strtoul would also take blanks and a sign: "-0", or the number of the next column. */
    if (*line < '0' || *line > '9' || (*end && *end != '\t') || id >= metadata->documents)
        return dpc_error_set(err, DPC_EPARSE,
                             "\"%s\", line %u, begins with no number of a document: the corpus has "
                             "%u, counted from 0",
                             place->path, place->line, metadata->documents);
    if (!value || !*value)
        return DPC_OK;
    uint32_t number = number_of(metadata, value), before = metadata->values[id];
    if (number == DPC_METADATA_MISSING)
        return dpc_error_set(err, DPC_ELIMIT,
                             "\"%s\" has more than %d different values of \"%s\": route by a field "
                             "with fewer",
                             place->path, DPC_METADATA_VALUES_MAX, place->field);
    if (before != DPC_METADATA_MISSING && before != number)
        return dpc_error_set(err, DPC_EPARSE,
                             "\"%s\", line %u, gives document %lu another \"%s\" than a line "
                             "before: a document has one",
                             place->path, place->line, id, place->field);
    metadata->values[id] = number;
    return DPC_OK;
}

static int
read_rows(struct dpc_metadata *metadata, struct place *place, struct dpc_error *err)
{
    int code = read_head(place, err);
    char *line;
    while (code == DPC_OK && (line = next_line(place)))
        code = read_row(metadata, place, line, err);
    return code;
}

static int
read_text(const char *path, char **ret_text, struct dpc_error *err)
{
    uint8_t *bytes; /* and a zero behind them */
    size_t len;
    int code = dpc_vfs_read_file(&dpc_vfs_posix, path, DPC_METADATA_BYTES_MAX, &bytes, &len, err);
    if (code == DPC_ENOTFOUND)
        return dpc_error_set(err, code,
                             "there is no \"%s\", which routing.init: metadata needs: write it (a "
                             "line \"id<tab>FIELD\", then a line each document), import with "
                             "--metadata, or choose another init",
                             path);
    if (code != DPC_OK)
        return code;
    *ret_text = (char *)bytes;
    if (memchr(bytes, 0, len)) /* else all behind it would be left out without a word */
        return dpc_error_set(err, DPC_EPARSE, "\"%s\" is no text: it has a zero byte", path);
    return DPC_OK;
}

int
dpc_metadata_load(const char *corpus, const char *field, uint32_t documents,
                  struct dpc_metadata **ret_metadata, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    struct dpc_metadata *metadata = dpc_alloc(1, sizeof *metadata);
    struct place place = {.path = path, .field = field};
    int code = dpc_tokens_name_beside(corpus, DPC_METADATA_FILE, path);
    if (code != DPC_OK)
        dpc_error_set(err, code, "the corpus's path \"%s\" is too long", corpus);
    if (code == DPC_OK)
        code = read_text(path, &metadata->text, err);
    if (code == DPC_OK) {
        metadata->documents = documents;
        metadata->names = dpc_alloc(DPC_METADATA_VALUES_MAX, sizeof *metadata->names);
        metadata->values = dpc_alloc(documents ? documents : 1, sizeof *metadata->values);
        memset(metadata->values, 0xff, documents * sizeof *metadata->values);
        size_t len = strlen(metadata->text);
        place.rest = metadata->text + dpc_utf8_mark((const uint8_t *)metadata->text, len);
        code = read_rows(metadata, &place, err);
    }
    if (code != DPC_OK)
        dpc_metadata_destroy(metadata);
    else
        *ret_metadata = metadata;
    return code;
}

struct dpc_metadata *
dpc_metadata_destroy(struct dpc_metadata *metadata)
{
    if (!metadata)
        return NULL;
    dpc_free(metadata->text);
    dpc_free(metadata->names);
    dpc_free(metadata->values);
    return dpc_free(metadata);
}

uint32_t
dpc_metadata_values(const struct dpc_metadata *metadata)
{
    return metadata->names_count;
}

uint32_t
dpc_metadata_value(const struct dpc_metadata *metadata, uint32_t id)
{
    return id < metadata->documents ? metadata->values[id] : DPC_METADATA_MISSING;
}
