/* SPDX-License-Identifier: Apache-2.0 */
#include "data/vocabulary_sample.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/limits.h"
#include "data/split.h"
#include "tests/unit/harness.h"

enum { DOCUMENTS = 400, TEXT_MAX = 64 };
static const struct dpc_experiment shares = {
    .data = {.test = 0.3, .early_stop = 0.2, .router = 0.1}};

static size_t
write_text(char text[TEXT_MAX], uint32_t i)
{
    return (size_t)snprintf(text, TEXT_MAX, "document %u is a text of its own", i);
}

static bool
held_out(uint32_t i)
{
    char text[TEXT_MAX];
    struct dpc_hash hash;
    dpc_hash_of(text, write_text(text, i), &hash);
    enum dpc_split split = dpc_split_of_key(hash.bytes, &shares);
    return split == DPC_SPLIT_TEST || split == DPC_SPLIT_EARLY_STOP;
}

static void
add(struct dpc_vocabulary_sample *sample, uint32_t i)
{
    char text[TEXT_MAX];
    size_t len = write_text(text, i);
    CU_ASSERT_EQUAL(dpc_vocabulary_sample_add(sample, (const uint8_t *)text, len, NULL), DPC_OK);
}

static void
held_out_documents_leave_no_trace(void)
{
    struct dpc_vocabulary_sample *sample = dpc_vocabulary_sample_create(&shares, DPC_MIB);
    uint32_t out = 0, in = 0;
    size_t len;
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        add(sample, i);
        out += held_out(i);
    }
    CU_ASSERT(out > DOCUMENTS / 3 && out < DOCUMENTS * 2 / 3);
    for (const char *text; (text = dpc_vocabulary_sample_next(sample, &len)); in++) {
        char copy[TEXT_MAX];
        unsigned number;
        (void)snprintf(copy, sizeof copy, "%.*s", (int)len, text);
        CU_ASSERT_EQUAL_FATAL(sscanf(copy, "document %u", &number), 1);
        CU_ASSERT_FALSE(held_out(number));
    }
    CU_ASSERT_EQUAL(in, DOCUMENTS - out);
    dpc_vocabulary_sample_destroy(sample);
}

static void
a_text_counts_once(void)
{
    struct dpc_vocabulary_sample *sample = dpc_vocabulary_sample_create(&shares, DPC_MIB);
    uint32_t i = 0;
    while (held_out(i))
        i++;
    add(sample, i);
    size_t once = dpc_vocabulary_sample_bytes(sample);
    add(sample, i);
    CU_ASSERT(once > 0);
    CU_ASSERT_EQUAL(dpc_vocabulary_sample_bytes(sample), once);
    dpc_vocabulary_sample_destroy(sample);
}

/* The set is the same whatever came first: it is told by a sum over its texts. */
static uint64_t
sum_of(const uint32_t *order, size_t *ret_bytes)
{
    struct dpc_vocabulary_sample *sample = dpc_vocabulary_sample_create(&shares, 2000);
    uint64_t sum = 0;
    size_t len;
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        add(sample, order[i]);
    *ret_bytes = dpc_vocabulary_sample_bytes(sample);
    for (const char *text; (text = dpc_vocabulary_sample_next(sample, &len));) {
        for (size_t i = 0; i < len; i++)
            sum += (uint64_t)text[i] * (i + 1) * (i + 1);
    }
    dpc_vocabulary_sample_destroy(sample);
    return sum;
}

static void
what_stays_of_too_much_does_not_depend_on_what_came_first(void)
{
    uint32_t order[DOCUMENTS];
    size_t forward_bytes, backward_bytes;
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        order[i] = i;
    uint64_t forward = sum_of(order, &forward_bytes);
    for (uint32_t i = 0; i < DOCUMENTS; i++)
        order[i] = DOCUMENTS - 1 - i;
    uint64_t backward = sum_of(order, &backward_bytes);
    CU_ASSERT(forward_bytes > 200 && forward_bytes <= 2000);
    CU_ASSERT_EQUAL(forward_bytes, backward_bytes);
    CU_ASSERT_EQUAL(forward, backward);
}

static void
sentences_are_lines_and_parts_of_long_ones(void)
{
    enum { LONG = 10000 };
    static const struct dpc_experiment none_held_out;
    struct dpc_vocabulary_sample *sample = dpc_vocabulary_sample_create(&none_held_out, DPC_MIB);
    struct dpc_buf text;
    size_t len, total = 0;
    dpc_buf_init(&text, 0);
    dpc_buf_put(&text, "\n\none\ttwo\n", 10);
    for (int i = 0; i < LONG; i++)
        dpc_buf_put(&text, "\xE2\x82\xAC", 3);
    CU_ASSERT_EQUAL(dpc_vocabulary_sample_add(sample, text.data, text.len, NULL), DPC_OK);
    const char *sentence = dpc_vocabulary_sample_next(sample, &len);
    CU_ASSERT(len == 3 && memcmp(sentence, "one", 3) == 0);
    sentence = dpc_vocabulary_sample_next(sample, &len);
    CU_ASSERT(len == 3 && memcmp(sentence, "two", 3) == 0);
    while ((sentence = dpc_vocabulary_sample_next(sample, &len))) {
        CU_ASSERT(len > 0 && len <= 4096 && len % 3 == 0); /* no character is cut */
        CU_ASSERT_EQUAL((uint8_t)sentence[0], 0xE2);
        total += len;
    }
    CU_ASSERT_EQUAL(total, 3 * LONG);
    dpc_buf_done(&text);
    dpc_vocabulary_sample_destroy(sample);
}

static void
a_giant_gives_its_beginning(void)
{
    static const struct dpc_experiment none_held_out;
    struct dpc_vocabulary_sample *sample =
        dpc_vocabulary_sample_create(&none_held_out, 8 * DPC_MIB);
    uint8_t *text = dpc_alloc(3 * DPC_MIB, 1);
    memset(text, 'x', 3 * DPC_MIB);
    CU_ASSERT_EQUAL(dpc_vocabulary_sample_add(sample, text, 3 * DPC_MIB, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_vocabulary_sample_bytes(sample), DPC_VOCABULARY_DOCUMENT_BYTES_MAX);
    dpc_free(text);
    dpc_vocabulary_sample_destroy(sample);
}

static const struct dpc_test tests[] = {
    {"held-out documents leave no trace", held_out_documents_leave_no_trace},
    {"a text counts once", a_text_counts_once},
    {"what stays of too much does not depend on what came first",
     what_stays_of_too_much_does_not_depend_on_what_came_first},
    {"sentences are lines and parts of long ones", sentences_are_lines_and_parts_of_long_ones},
    {"a giant gives its beginning", a_giant_gives_its_beginning},
};
DPC_TEST_MAIN("data/vocabulary_sample", tests)
