/* SPDX-License-Identifier: Apache-2.0
 *
 * Routing by a field of the documents' metadata (routing.init: metadata).
 *
 * Owns: nothing. Threads: an executor's.
 */
#ifndef DPC_COORDINATOR_CORPUS_METADATA_H
#define DPC_COORDINATOR_CORPUS_METADATA_H

#include "coordinator/corpus/corpus_parts.h"

/* The path of every usable document, `ret_paths` [docs_count]: values in the order of how many
 * documents of train and router have them, each to the path with the fewest so far. DPC_EINVAL when
 * a document has no value, with what to do. */
int dpc_corpus_route_by_field(const struct dpc_corpus *corpus, uint32_t *ret_paths,
                              struct dpc_error *err) DPC_MUST_CHECK;

#endif
