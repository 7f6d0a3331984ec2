/* SPDX-License-Identifier: Apache-2.0
 *
 * Training batches and evaluation windows from a token file. A training batch is a pure function of
 * (file, seed, path, round, step), so that any task can be done again anywhere. A sequence is a
 * window of ONE document; the document's first `prefix` tokens chose its route and are never a
 * target.
 *
 * Owns: a table of windows per document. Threads: a sampler is read-only after _create; any number
 * of threads may fill from it. Limits: DPC_BATCH_MAX sequences of DPC_CONTEXT_MAX tokens.
 */
#ifndef DPC_DATA_BATCH_H
#define DPC_DATA_BATCH_H

#include <stdint.h>

#include "base/error.h"
#include "data/tokens.h"

/* Target of a position that no loss counts. */
enum { DPC_TARGET_NONE = -1 };

struct dpc_batch_sampler;

/* `tokens` stays open as long as the sampler. Documents of at most `prefix` tokens are never drawn;
 * DPC_EINVAL when all are that short. */
int dpc_batch_sampler_create(const struct dpc_tokens *tokens, uint32_t batch, uint32_t context,
                             uint32_t prefix, struct dpc_batch_sampler **ret_sampler,
                             struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_batch_sampler *dpc_batch_sampler_destroy(struct dpc_batch_sampler *sampler);

/* Fills tokens[batch, context] and targets[batch, context]. A document is drawn by its number of
 * windows, max(1, ceil((n - 1) / context)) for n tokens; then a start, uniform in [0, n-1-context]
 * (0 for a shorter document). targets[b][t] is the token behind tokens[b][t], or DPC_TARGET_NONE
 * where that token is one of the prefix or past the end; tokens past the end are 0.
 * Returns the number of targets that count, which is at least `batch` when prefix <= context. */
uint64_t dpc_batch_fill(const struct dpc_batch_sampler *sampler, uint64_t seed, uint32_t path,
                        uint32_t round, uint32_t step, int32_t *ret_tokens, int32_t *ret_targets);

/* Mean tokens of a window that is drawn from these documents, each longer than the prefix: fewer
 * than the context where documents are shorter. */
double dpc_batch_window_tokens(const struct dpc_tokens *tokens, const uint32_t *docs,
                               uint32_t docs_count, uint32_t context);

/* Windows for evaluation of a document: [w * context, (w + 1) * context) for w = 0, 1, ... without
 * overlap; at most `windows_max` of them so that no giant decides the figure. */
uint32_t dpc_batch_windows(const struct dpc_tokens *tokens, uint32_t doc, uint32_t context,
                           uint32_t windows_max);

/* Window `window` of a document into tokens[context] and targets[context], masked as above. Returns
 * the number of targets that count; 0 for a window past the end or inside the prefix. */
uint32_t dpc_batch_window(const struct dpc_tokens *tokens, uint32_t doc, uint32_t window,
                          uint32_t context, uint32_t prefix, int32_t *ret_tokens,
                          int32_t *ret_targets);

#endif
