/* SPDX-License-Identifier: Apache-2.0
 * Drawing a window uniformly over the shard and then moving its start freely inside the document
 * gives every token about the same chance, without a grid that cuts at the same places each epoch.
 */
#include "data/batch.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/rng.h"

struct dpc_batch_sampler {
    const struct dpc_tokens *tokens;
    uint32_t batch, context, prefix;
    uint32_t documents;
    uint64_t *ends; /* windows of documents 0 .. d */
};

static uint32_t
windows_of(uint32_t count, uint32_t context)
{
    return count < 2 ? 1 : (count - 2) / context + 1;
}

int
dpc_batch_sampler_create(const struct dpc_tokens *tokens, uint32_t batch, uint32_t context,
                         uint32_t prefix, struct dpc_batch_sampler **ret_sampler,
                         struct dpc_error *err)
{
    uint32_t documents = dpc_tokens_documents(tokens);
    uint64_t *ends = dpc_try_alloc(documents, sizeof *ends);
    uint64_t total = 0;
    if (!ends)
        return dpc_error_set(err, DPC_ENOMEM, "could not draw from corpus \"%s\": %s",
                             dpc_tokens_name(tokens), dpc_error_words(DPC_ENOMEM));
    for (uint32_t doc = 0; doc < documents; doc++) {
        uint32_t count = dpc_tokens_count(tokens, doc);
        total += count > prefix && count > 1 ? windows_of(count, context) : 0;
        ends[doc] = total;
    }
    if (!total) {
        dpc_free(ends);
        return dpc_error_set(err, DPC_EINVAL,
                             "could not draw from corpus \"%s\": none of its %" PRIu32
                             " documents is longer than the routing prefix of %" PRIu32
                             " tokens; import longer documents, or lower routing.prefix",
                             dpc_tokens_name(tokens), documents, prefix);
    }
    struct dpc_batch_sampler *sampler = dpc_alloc(1, sizeof *sampler);
    *sampler = (struct dpc_batch_sampler){.tokens = tokens,
                                          .batch = batch,
                                          .context = context,
                                          .prefix = prefix,
                                          .documents = documents,
                                          .ends = ends};
    *ret_sampler = sampler;
    return DPC_OK;
}

struct dpc_batch_sampler *
dpc_batch_sampler_destroy(struct dpc_batch_sampler *sampler)
{
    if (sampler)
        dpc_free(sampler->ends);
    return dpc_free(sampler);
}

/* The document whose windows hold number `window`. */
static uint32_t
document_of_window(const struct dpc_batch_sampler *sampler, uint64_t window)
{
    uint32_t low = 0, high = sampler->documents - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sampler->ends[middle] > window)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* One sequence from position `start` of a document on. */
static uint32_t
fill_sequence(const struct dpc_tokens *tokens, uint32_t doc, uint32_t start, uint32_t context,
              uint32_t prefix, int32_t *ret_tokens, int32_t *ret_targets)
{
    uint32_t inputs = dpc_tokens_copy(tokens, doc, start, context, ret_tokens);
    uint32_t targets = dpc_tokens_copy(tokens, doc, start + 1, context, ret_targets);
    uint32_t masked = prefix > start + 1 ? prefix - start - 1 : 0;
    for (uint32_t t = inputs; t < context; t++)
        ret_tokens[t] = 0;
    for (uint32_t t = targets; t < context; t++)
        ret_targets[t] = DPC_TARGET_NONE;
    for (uint32_t t = 0; t < masked && t < context; t++)
        ret_targets[t] = DPC_TARGET_NONE;
    return targets > masked ? targets - masked : 0;
}

uint64_t
dpc_batch_fill(const struct dpc_batch_sampler *sampler, uint64_t seed, uint32_t path,
               uint32_t round, uint32_t step, int32_t *ret_tokens, int32_t *ret_targets)
{
    uint64_t windows = sampler->ends[sampler->documents - 1], counted = 0;
    struct dpc_rng rng;
    dpc_rng_init(&rng, seed, DPC_RNG_BATCH, path, round, step);
    for (uint32_t b = 0; b < sampler->batch; b++) {
        uint32_t doc = document_of_window(sampler, dpc_rng_below(&rng, windows));
        uint32_t count = dpc_tokens_count(sampler->tokens, doc);
        uint32_t starts = count > sampler->context ? count - sampler->context : 1;
        uint32_t start = (uint32_t)dpc_rng_below(&rng, starts);
        size_t at = (size_t)b * sampler->context;
        counted += fill_sequence(sampler->tokens, doc, start, sampler->context, sampler->prefix,
                                 ret_tokens + at, ret_targets + at);
    }
    return counted;
}

double
dpc_batch_window_tokens(const struct dpc_tokens *tokens, const uint32_t *docs, uint32_t docs_count,
                        uint32_t context)
{
    double windows = 0, sum = 0;
    for (uint32_t i = 0; i < docs_count; i++) {
        uint32_t count = dpc_tokens_count(tokens, docs[i]), its = windows_of(count, context);
        windows += its;
        sum += (double)its * (count > context ? context : count - 1);
    }
    return windows > 0 ? sum / windows : 0;
}

uint32_t
dpc_batch_windows(const struct dpc_tokens *tokens, uint32_t doc, uint32_t context,
                  uint32_t windows_max)
{
    uint32_t count = dpc_tokens_count(tokens, doc);
    uint32_t windows = count < 2 ? 0 : windows_of(count, context);
    return windows < windows_max ? windows : windows_max;
}

uint32_t
dpc_batch_window(const struct dpc_tokens *tokens, uint32_t doc, uint32_t window, uint32_t context,
                 uint32_t prefix, int32_t *ret_tokens, int32_t *ret_targets)
{
    uint64_t start = (uint64_t)window * context;
    uint32_t count = dpc_tokens_count(tokens, doc);
    if (start > count)
        start = count;
    return fill_sequence(tokens, doc, (uint32_t)start, context, prefix, ret_tokens, ret_targets);
}
