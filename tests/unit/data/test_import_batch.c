/* SPDX-License-Identifier: Apache-2.0 */
#include "data/import_batch.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "tests/unit/harness.h"

/* A token for each byte, but for texts that begin with a mark. */
static int
encode(const struct dpc_tokenizer *tokenizer, const uint8_t *text, size_t len, struct dpc_buf *out,
       struct dpc_error *err)
{
    (void)tokenizer;
    if (len && *text == '!')
        return dpc_error_set(err, DPC_EPARSE, "refused: %.*s", (int)len, (const char *)text);
    if (len && *text == '?')
        return dpc_error_set(err, DPC_EINVAL, "nothing in it");
    dpc_buf_put(out, text, len);
    return DPC_OK;
}

static const struct dpc_tokenizer_ops ops = {.encode = encode};
static const struct dpc_tokenizer tokenizer = {.ops = &ops,
                                               .vocabulary = {.size = 256, .width = 1}};

static size_t
fill(struct dpc_import_batch *batch, size_t from)
{
    size_t number = from;
    while (!dpc_import_batch_is_full(batch)) {
        struct dpc_import_document *document = dpc_import_batch_add(batch);
        CU_ASSERT_EQUAL(document->text.len + document->name.len + document->cells.len, 0);
        const char *mark = number % 7 == 3 ? "!" : number % 7 == 5 ? "?" : "";
        dpc_buf_printf(&document->text, "%stext %zu", mark, number);
        dpc_buf_printf(&document->name, "name %zu", number++);
    }
    return number;
}

static void
check(struct dpc_import_batch *batch, size_t from)
{
    for (size_t i = 0; i < dpc_import_batch_count(batch); i++) {
        struct dpc_import_document *document = dpc_import_batch_at(batch, i);
        char name[32];
        (void)snprintf(name, sizeof name, "name %zu", from + i);
        CU_ASSERT_STRING_EQUAL(dpc_buf_text(&document->name), name);
        switch ((from + i) % 7) {
        case 3:
            CU_ASSERT_EQUAL(document->code, DPC_EPARSE);
            CU_ASSERT_PTR_NOT_NULL(strstr(document->err.text, dpc_buf_text(&document->text)));
            break;
        case 5:
            CU_ASSERT_EQUAL(document->code, DPC_EINVAL);
            break;
        default:
            CU_ASSERT_EQUAL(document->code, DPC_OK);
            CU_ASSERT_STRING_EQUAL(dpc_buf_text(&document->tokens), dpc_buf_text(&document->text));
        }
    }
}

static void
documents_come_out_as_they_came(void)
{
    for (uint32_t threads = 0; threads <= 4; threads++) {
        struct dpc_import_batch *batch = dpc_import_batch_create(&tokenizer, threads);
        size_t from = 0;
        dpc_import_batch_encode(batch); /* of none */
        for (int round = 0; round < 3; round++) {
            size_t to = fill(batch, from);
            CU_ASSERT_EQUAL(dpc_import_batch_count(batch), to - from);
            dpc_import_batch_encode(batch);
            check(batch, from);
            dpc_import_batch_reset(batch);
            CU_ASSERT_EQUAL(dpc_import_batch_count(batch), 0);
            from = to;
        }
        CU_ASSERT(from >= 3000);
        dpc_import_batch_destroy(batch);
    }
    CU_ASSERT_PTR_NULL(dpc_import_batch_destroy(NULL));
}

/* Memory follows the text in it, not the number of documents, and is not kept for the next. */
static void
large_texts_fill_it_sooner(void)
{
    struct dpc_import_batch *batch = dpc_import_batch_create(&tokenizer, 2);
    for (size_t i = 0; !dpc_import_batch_is_full(batch); i++) {
        struct dpc_import_document *document = dpc_import_batch_add(batch);
        CU_ASSERT_PTR_NOT_NULL_FATAL(dpc_buf_extend(&document->text, 3 * DPC_MIB));
        memset(document->text.data, 'x', document->text.len);
    }
    CU_ASSERT_EQUAL(dpc_import_batch_count(batch), 3);
    dpc_import_batch_encode(batch);
    CU_ASSERT_EQUAL(dpc_import_batch_at(batch, 2)->tokens.len, 3 * DPC_MIB);
    dpc_import_batch_reset(batch);
    CU_ASSERT_FALSE(dpc_import_batch_is_full(batch));
    struct dpc_import_document *document = dpc_import_batch_add(batch);
    CU_ASSERT(document->text.capacity <= DPC_MIB && document->tokens.capacity <= DPC_MIB);
    dpc_import_batch_destroy(batch);
}

static const struct dpc_test tests[] = {
    {"documents come out as they came", documents_come_out_as_they_came},
    {"large texts fill it sooner", large_texts_fill_it_sooner},
};
DPC_TEST_MAIN("data/import_batch", tests)
