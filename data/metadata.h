/* SPDX-License-Identifier: Apache-2.0
 *
 * What is known of documents beside their text: DPC_METADATA_FILE in the corpus folder, written by
 * its owner. Columns are separated by tabs; the first line names them, and the first column is
 * `id`, the document's number as in DPC_IMPORT_NAMES_FILE.
 *
 * Owns: the values of one column. Threads: read-only after loading.
 * Limits: DPC_METADATA_BYTES_MAX, DPC_METADATA_VALUES_MAX different values.
 */
#ifndef DPC_DATA_METADATA_H
#define DPC_DATA_METADATA_H

#include <stdint.h>

#include "base/error.h"

#define DPC_METADATA_FILE "metadata.tsv"

enum {
    DPC_METADATA_BYTES_MAX = 1 << 30, /* sixteen bytes for each of the most documents */
    DPC_METADATA_VALUES_MAX = 4096,   /* a field with more tells documents apart, not kinds */
    DPC_METADATA_MISSING = UINT32_MAX,
};

struct dpc_metadata;

/* The column `field` of the file beside the token file (or in the folder) `corpus`, for documents
 * with ids below `documents`. DPC_ENOTFOUND without file or column, DPC_EPARSE, DPC_ELIMIT. */
int dpc_metadata_load(const char *corpus, const char *field, uint32_t documents,
                      struct dpc_metadata **ret_metadata, struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_metadata *dpc_metadata_destroy(struct dpc_metadata *metadata);

uint32_t dpc_metadata_values(const struct dpc_metadata *metadata);
/* Number of a document's value, in order of first appearance; DPC_METADATA_MISSING. */
uint32_t dpc_metadata_value(const struct dpc_metadata *metadata, uint32_t id);

#endif
