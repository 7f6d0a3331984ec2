/* SPDX-License-Identifier: Apache-2.0
 * Cards of the plug-in that plays one (fake_card.c), which lies beside this program. */
#include "ops/card.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/gap.h"
#include "tests/unit/harness.h"

/* What the makefile builds, in the folder that tests are started in. */
static const char fake[] = "tests/unit/ops/fake-card.so";

static struct dpc_card *
open_fake(uint64_t memory_bytes)
{
    struct dpc_card *card = NULL;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(dpc_card_open(fake, 0, memory_bytes, &card, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    return card;
}

static bool
says(const struct dpc_error *err, const char *text)
{
    if (strstr(err->text, text))
        return true;
    fprintf(stderr, "\"%s\" does not say \"%s\"\n", err->text, text);
    return false;
}

/* Runs first: nothing is loaded yet. */
static void
a_plugin_that_cannot_be_loaded_says_why(void)
{
    struct dpc_error err = {0};
    uint32_t count = 7;
    CU_ASSERT_EQUAL(dpc_card_probe("no-such.so", &count, &err), DPC_ENOTFOUND);
    CU_ASSERT(says(&err, "no-such.so"));
    CU_ASSERT_EQUAL(dpc_card_probe("./Makefile", &count, &err), DPC_ENOTFOUND);
    CU_ASSERT(says(&err, "Makefile"));
    CU_ASSERT_EQUAL(dpc_card_probe(NULL, &count, &err), DPC_ENOTFOUND);
    CU_ASSERT(says(&err, DPC_CARD_PLUGIN_FILE));
    CU_ASSERT_FALSE(dpc_card_plugin_is_there("no-such.so"));
    CU_ASSERT(dpc_card_plugin_is_there("./Makefile"));
    CU_ASSERT_STRING_EQUAL(dpc_card_plugin_path(), "");
    setenv("FAKE_CARD_ABI", "12345", 1);
    CU_ASSERT_EQUAL(dpc_card_probe(fake, &count, &err), DPC_EVERSION);
    CU_ASSERT(says(&err, "12345"));
    unsetenv("FAKE_CARD_ABI");
    CU_ASSERT_EQUAL(count, 7);
}

static void
a_driver_may_appear_later(void)
{
    struct dpc_error err = {0};
    struct dpc_card_info info;
    struct dpc_card *card = NULL;
    uint32_t count = 7;
    setenv("FAKE_CARD", "none", 1);
    CU_ASSERT_EQUAL(dpc_card_probe(fake, &count, &err), DPC_ENOTFOUND);
    CU_ASSERT(says(&err, "no fake driver is loaded"));
    CU_ASSERT_EQUAL(dpc_card_describe(fake, 0, &info, &err), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_card_open(fake, 0, 0, &card, &err), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(count, 7);
    unsetenv("FAKE_CARD");
    CU_ASSERT_EQUAL(dpc_card_probe(fake, &count, &err), DPC_OK);
    CU_ASSERT_EQUAL(count, 1);
    CU_ASSERT_EQUAL(dpc_card_describe(fake, 0, &info, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(info.libraries, "fake-1.0");
    CU_ASSERT_EQUAL(dpc_card_describe(fake, 1, &info, &err), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_card_probe("other.so", &count, &err), DPC_EBUSY);
    CU_ASSERT(says(&err, fake));
}

static void
a_process_has_one_open_card(void)
{
    struct dpc_error err = {0};
    struct dpc_card *card = open_fake(0), *other = NULL;
    CU_ASSERT_EQUAL(dpc_card_open(fake, 0, 0, &other, &err), DPC_EBUSY);
    CU_ASSERT_STRING_EQUAL(dpc_card_info(card)->name, "fake card");
    CU_ASSERT_PTR_NULL(dpc_card_close(card));
    CU_ASSERT_PTR_NULL(dpc_card_close(NULL));
    setenv("FAKE_CARD_CLOSED", "1", 1);
    CU_ASSERT_EQUAL(dpc_card_open(fake, 0, 0, &other, &err), DPC_EDEVICE);
    CU_ASSERT(says(&err, "does not open"));
    unsetenv("FAKE_CARD_CLOSED");
}

static void
a_failed_card_serves_again_once_opened_anew(void)
{
    struct dpc_card *card = open_fake(0);
    const struct dpc_ops *ops = dpc_card_ops(card, DPC_FP32, false);
    const float values[3] = {1, 2, 3};
    float sum = 0, *from = ops->memory->allocate(sizeof values), *to = ops->memory->allocate(4);
    ops->memory->upload(from, values, sizeof values);
    ops->sum_rows(to, from, 3, 1, false);
    ops->memory->download(&sum, to, sizeof sum);
    CU_ASSERT_EQUAL(ops->memory->finish(), DPC_OK);
    CU_ASSERT_EQUAL(sum, 6);
    setenv("FAKE_CARD_FAIL_AFTER", "1", 1);
    ops->sum_rows(to, from, 3, 1, false);
    ops->memory->download(&sum, to, sizeof sum);
    CU_ASSERT_EQUAL(ops->memory->finish(), DPC_EDEVICE);
    CU_ASSERT_EQUAL(sum, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_card_failure(card), "failed at kernel"));
    unsetenv("FAKE_CARD_FAIL_AFTER");
    CU_ASSERT_EQUAL(ops->memory->finish(), DPC_EDEVICE);
    ops->memory->release(from);
    ops->memory->release(to);
    dpc_card_close(card);
    card = open_fake(0);
    CU_ASSERT_EQUAL(dpc_card_ops(card, DPC_FP32, false)->memory->finish(), DPC_OK);
    dpc_card_close(card);
}

static void
memory_has_a_cap(void)
{
    struct dpc_card *card = open_fake(1 << 20);
    const struct dpc_memory *memory = dpc_card_ops(card, DPC_FP32, false)->memory;
    void *half = memory->allocate(1 << 19);
    CU_ASSERT_EQUAL(dpc_card_memory_bytes(card), 1 << 20);
    CU_ASSERT_PTR_NOT_NULL(half);
    CU_ASSERT_PTR_NULL(memory->allocate(1 << 20));
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_card_failure(card), "not to be had"));
    CU_ASSERT_EQUAL(memory->finish(), DPC_OK);
    memory->release(half);
    memory->release(NULL);
    dpc_card_close(card);

    /* Nobody plans with more than there is. */
    card = open_fake(UINT64_MAX);
    CU_ASSERT_EQUAL(dpc_card_memory_bytes(card), dpc_card_info(card)->free_bytes);
    dpc_card_close(card);
}

/* --- What the CPU computes in its place. */

enum { B = 2, T = 13, H = 4, G = 2, D = 8, QKV = B * T * (H + 2 * G) * D, OUT = B * T * H * D };
enum { LSE = B * T * H, ANGLES = T * D / 2 };

struct attended {
    float out[OUT], lse[LSE], dqkv[QKV];
};

static float
value_at(size_t i)
{
    return (float)sin((double)i * 1.7 + 0.3);
}

/* Acts of any table, in its memory. */
static void *
place_acts(const struct dpc_ops *ops, size_t count, size_t offset)
{
    void *acts = ops->memory->allocate(count * dpc_act_bytes(ops)), *host = dpc_alloc(count, 4);
    for (size_t i = 0; i < count; i++)
        dpc_act_write(ops, host, i, value_at(i + offset));
    ops->memory->upload(acts, host, count * dpc_act_bytes(ops));
    dpc_free(host);
    return acts;
}

static void
take_acts(const struct dpc_ops *ops, const void *acts, size_t count, float *ret_values)
{
    void *host = dpc_alloc(count, 4);
    ops->memory->download(host, acts, count * dpc_act_bytes(ops));
    for (size_t i = 0; i < count; i++)
        ret_values[i] = dpc_act_read(ops, host, i);
    dpc_free(host);
}

static float *
place_floats(const struct dpc_ops *ops, const float *values, size_t count)
{
    float *floats = ops->memory->allocate(count * sizeof *floats);
    ops->memory->upload(floats, values, count * sizeof *floats);
    return floats;
}

static void
attend(const struct dpc_ops *ops, size_t first, struct attended *ret)
{
    float cosines[ANGLES], sines[ANGLES], zeros[LSE] = {0};
    dpc_rope_fill(cosines, sines, T, D, 10000);
    size_t sequences = first ? 1 : B, units = ops->whole ? 1 : sequences * G;
    struct dpc_attention in = {
        {sequences, T, H, G, D},
        place_acts(ops, QKV, 0),
        place_floats(ops, cosines, ANGLES),
        place_floats(ops, sines, ANGLES),
    };
    void *out = place_acts(ops, OUT, 5000), *dout = place_acts(ops, OUT, 9000);
    void *dqkv = place_acts(ops, QKV, 100), *lse = place_floats(ops, zeros, LSE);
    size_t bytes = ops->attention_scratch_bytes(&in.shape);
    void *scratch = bytes ? ops->memory->allocate(bytes) : NULL;
    for (size_t i = 0; i < units; i++)
        ops->attention_forward(out, lse, &in, ops->whole ? DPC_EVERY_UNIT : i, first, scratch);
    for (size_t i = 0; i < units && !first; i++)
        ops->attention_backward(dqkv, dout, out, lse, &in, ops->whole ? DPC_EVERY_UNIT : i,
                                scratch);
    CU_ASSERT_EQUAL(ops->memory->finish(), DPC_OK);
    take_acts(ops, out, OUT, ret->out);
    take_acts(ops, dqkv, QKV, ret->dqkv);
    ops->memory->download(ret->lse, lse, sizeof ret->lse);
    void *all[] = {(void *)in.qkv, (void *)in.cosines, (void *)in.sines, out, dout, dqkv, lse,
                   scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ops->memory->release(all[i]);
}

static void
compare(const float *got, const float *want, size_t count, double limit)
{
    double worst = largest_gap(got, want, count);
    CU_ASSERT(worst <= limit);
    if (!(worst <= limit))
        fprintf(stderr, "differs by %g\n", worst);
}

static void
attention_that_a_card_lacks_is_computed_by_the_cpu(void)
{
    static const size_t firsts[] = {0, T - 1};
    setenv("FAKE_CARD_LACKS", "attention", 1);
    struct dpc_card *card = open_fake(0);
    unsetenv("FAKE_CARD_LACKS");
    const char *op = "";
    CU_ASSERT_EQUAL(dpc_card_fallbacks(card, &op), 0);
    CU_ASSERT_PTR_NULL(op);
    for (int i = 0; i < 4; i++) {
        enum dpc_dtype dtype = i < 2 ? DPC_FP32 : DPC_BF16;
        struct attended got, want;
        attend(dpc_card_ops(card, dtype, false), firsts[i % 2], &got);
        attend(dpc_ops_reference(dtype), firsts[i % 2], &want);
        double limit = dtype == DPC_BF16 ? 0.1 : 1e-4;
        compare(got.out, want.out, OUT, limit);
        compare(got.lse, want.lse, LSE, limit);
        compare(got.dqkv, want.dqkv, QKV, limit);
    }
    CU_ASSERT_EQUAL(dpc_card_fallbacks(card, &op), 6);
    CU_ASSERT_STRING_EQUAL(op, "attention_forward");
    dpc_card_close(card);
    card = open_fake(0);
    CU_ASSERT_EQUAL(dpc_card_fallbacks(card, &op), 0);
    CU_ASSERT_PTR_NOT_NULL(dpc_card_ops(card, DPC_FP32, true));
    CU_ASSERT_STRING_EQUAL(dpc_card_ops(card, DPC_FP32, true)->name, "fake-tf32");
    dpc_card_close(card);
}

static void
others_are_seen(void)
{
    struct dpc_card *card = open_fake(0);
    uint32_t percent = 7;
    CU_ASSERT_EQUAL(dpc_card_others_percent(card, &percent), DPC_EUNSUPPORTED);
    setenv("FAKE_CARD_BUSY", "35", 1);
    CU_ASSERT_EQUAL(dpc_card_others_percent(card, &percent), DPC_OK);
    CU_ASSERT_EQUAL(percent, 35);
    unsetenv("FAKE_CARD_BUSY");
    dpc_card_close(card);
}

static const struct dpc_test tests[] = {
    {"a plug-in that cannot be loaded says why", a_plugin_that_cannot_be_loaded_says_why},
    {"a driver may appear later", a_driver_may_appear_later},
    {"a process has one open card", a_process_has_one_open_card},
    {"a failed card serves again once opened anew", a_failed_card_serves_again_once_opened_anew},
    {"memory has a cap", memory_has_a_cap},
    {"attention that a card lacks is computed by the CPU",
     attention_that_a_card_lacks_is_computed_by_the_cpu},
    {"others are seen", others_are_seen},
};
DPC_TEST_MAIN("ops/card", tests)
