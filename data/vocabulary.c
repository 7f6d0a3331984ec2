/* SPDX-License-Identifier: Apache-2.0
 * Two vocabularies are the same when they were made of the same file. */
#include "data/vocabulary.h"

bool
dpc_vocabulary_equal(const struct dpc_vocabulary *a, const struct dpc_vocabulary *b)
{
    return a->size == b->size && a->width == b->width && dpc_hash_equal(&a->model, &b->model);
}

uint64_t
dpc_vocabulary_text_bytes(const struct dpc_vocabulary *vocabulary, const int32_t *tokens,
                          size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] >= 0 && (uint32_t)tokens[i] < vocabulary->size)
            bytes += vocabulary->lengths ? vocabulary->lengths[tokens[i]] : 1;
    }
    return bytes;
}
