/* SPDX-License-Identifier: Apache-2.0
 *
 * A small corpus in a test's folder, made by the builder from texts.
 *
 * Owns: nothing. Threads: one.
 */
#ifndef DPC_TESTS_DATA_CORPUS_H
#define DPC_TESTS_DATA_CORPUS_H

#include "data/builder.h"
#include "data/tokens.h"
#include "tests/unit/data/temp.h"

/* Builds the token file `name` from `count` texts that all differ. */
static inline void
corpus_build_with(struct temp *temp, const char *name, const struct dpc_tokenizer *tokenizer,
                  const char *const *texts, size_t count)
{
    struct dpc_builder *builder;
    CU_ASSERT_EQUAL_FATAL(
        dpc_builder_open(&dpc_vfs_posix, temp_path(temp, name), tokenizer, &builder, NULL), DPC_OK);
    for (size_t i = 0; i < count; i++)
        CU_ASSERT_EQUAL(
            dpc_builder_add(builder, (const uint8_t *)texts[i], strlen(texts[i]), NULL, NULL),
            DPC_OK);
    CU_ASSERT_EQUAL(dpc_builder_finish(builder, NULL), DPC_OK);
    dpc_builder_close(builder);
}

/* Of bytes. */
static inline void
corpus_build(struct temp *temp, const char *name, const char *const *texts, size_t count)
{
    corpus_build_with(temp, name, dpc_tokenizer_bytes(), texts, count);
}

static inline struct dpc_tokens *
corpus_open(struct temp *temp, const char *name)
{
    struct dpc_tokens *tokens = NULL;
    struct dpc_error err = {0};
    int code = dpc_tokens_open(temp_path(temp, name), &tokens, &err);
    if (code != DPC_OK)
        CU_FAIL(err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tokens);
    return tokens;
}

#endif
