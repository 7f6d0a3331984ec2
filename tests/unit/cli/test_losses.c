/* SPDX-License-Identifier: Apache-2.0
 * Intervals against what a normal approximation gives for the same documents. */
#include "cli/losses.h"

#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/vfs.h"
#include "tests/unit/data/temp.h"

enum { DOCUMENTS = 400, TARGETS = 100 };

/* Losses of 2 nats a token and a document's own share; `gap` more, with noise of its own. */
static struct dpc_losses
make_losses(double gap, double noise, uint32_t stream)
{
    struct dpc_losses losses = {DOCUMENTS, dpc_alloc(DOCUMENTS, sizeof *losses.items)};
    struct dpc_rng common, own;
    dpc_rng_init(&common, 1, DPC_RNG_TEST, 0, 0, 0);
    dpc_rng_init(&own, 1, DPC_RNG_TEST, 1, stream, 0);
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        double nats = 2 + dpc_rng_normal(&common) + gap + noise * dpc_rng_normal(&own);
        losses.items[i] = (struct dpc_loss){i, TARGETS, TARGETS, TARGETS * nats};
    }
    return losses;
}

/* Documents differ by far more than models do: only pairs tell the models apart. */
static void
pairs_tell_small_differences(void)
{
    struct dpc_losses one = make_losses(0, 0.1, 1), two = make_losses(0.05, 0.1, 2);
    struct dpc_difference found = dpc_losses_compare(&two, &one, 1, DPC_LOSSES_BY_TOKEN);
    double error = 0.1 * sqrt(2.0 / DOCUMENTS); /* of the mean of differences */
    CU_ASSERT_DOUBLE_EQUAL(found.mean, 0.05, 3 * error);
    CU_ASSERT_DOUBLE_EQUAL(found.high - found.low, 2 * 1.96 * error, 0.15 * 4 * error);
    CU_ASSERT(found.low < found.mean && found.mean < found.high);
    CU_ASSERT(found.low > 0);
    dpc_losses_done(&one);
    dpc_losses_done(&two);
}

static void
equal_models_are_not_told_apart(void)
{
    struct dpc_losses one = make_losses(0, 0.1, 1), two = make_losses(0, 0.1, 2);
    struct dpc_difference found = dpc_losses_compare(&one, &two, 1, DPC_LOSSES_BY_TOKEN);
    CU_ASSERT(found.low < 0 && found.high > 0);
    found = dpc_losses_compare(&one, &one, 1, DPC_LOSSES_BY_TOKEN);
    CU_ASSERT(found.mean == 0 && found.low == 0 && found.high == 0);
    dpc_losses_done(&one);
    dpc_losses_done(&two);
}

/* What a seed has of its own averages out, here all of it: shorter by the root of two, and the same
 * each time. */
static void
seeds_make_intervals_shorter(void)
{
    struct dpc_losses ones[2] = {make_losses(0, 0.1, 1), make_losses(0, 0.1, 3)};
    struct dpc_losses twos[2] = {make_losses(0.05, 0.1, 2), make_losses(0.05, 0.1, 4)};
    struct dpc_difference one = dpc_losses_compare(ones, twos, 1, DPC_LOSSES_BY_TOKEN);
    struct dpc_difference both = dpc_losses_compare(ones, twos, 2, DPC_LOSSES_BY_TOKEN);
    struct dpc_difference again = dpc_losses_compare(ones, twos, 2, DPC_LOSSES_BY_TOKEN);
    double ratio = (both.high - both.low) / (one.high - one.low);
    CU_ASSERT_DOUBLE_EQUAL(ratio, sqrt(0.5), 0.1);
    CU_ASSERT(both.low == again.low && both.high == again.high);
    for (int i = 0; i < 2; i++) {
        dpc_losses_done(&ones[i]);
        dpc_losses_done(&twos[i]);
    }
}

/* They were drawn for each seed by itself: an interval of two seeds was that of twice the
 * documents, although a second seed reads the first one's. */
static void
documents_count_once_however_many_seeds_read_them(void)
{
    struct dpc_losses one = make_losses(0, 0.1, 1), two = make_losses(0.05, 0.1, 2);
    struct dpc_losses ones[] = {one, one, one, one}, twos[] = {two, two, two, two};
    struct dpc_difference alone = dpc_losses_compare(&one, &two, 1, DPC_LOSSES_BY_TOKEN);
    struct dpc_difference all = dpc_losses_compare(ones, twos, 4, DPC_LOSSES_BY_TOKEN);
    CU_ASSERT_DOUBLE_EQUAL(all.mean, alone.mean, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(all.low, alone.low, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(all.high, alone.high, 1e-12);
    dpc_losses_done(&one);
    dpc_losses_done(&two);
}

static void
other_documents_do_not_match(void)
{
    struct dpc_losses one = make_losses(0, 0, 1), two = make_losses(0, 0, 1);
    struct dpc_losses none = {.count = 0};
    CU_ASSERT_TRUE(dpc_losses_match(&one, &two, DPC_LOSSES_BY_TOKEN));
    two.items[7].targets++;
    CU_ASSERT_FALSE(dpc_losses_match(&one, &two, DPC_LOSSES_BY_TOKEN));
    two.items[7] = one.items[7];
    two.items[DOCUMENTS - 1].document++;
    CU_ASSERT_FALSE(dpc_losses_match(&one, &two, DPC_LOSSES_BY_TOKEN));
    two.items[DOCUMENTS - 1] = one.items[DOCUMENTS - 1];
    two.count--;
    CU_ASSERT_FALSE(dpc_losses_match(&one, &two, DPC_LOSSES_BY_TOKEN));
    CU_ASSERT_FALSE(dpc_losses_match(&none, &none, DPC_LOSSES_BY_TOKEN));
    two.count++;
    dpc_losses_done(&one);
    dpc_losses_done(&two);
}

/* Half as many tokens with twice the loss each are no difference by the byte; a tenth more of it is
 * one of a tenth. */
static void
other_tokens_compare_by_the_byte(void)
{
    struct dpc_losses one = make_losses(0, 0, 1), two = make_losses(0, 0, 1);
    for (uint32_t i = 0; i < two.count; i++)
        two.items[i].targets /= 2;
    CU_ASSERT_FALSE(dpc_losses_match(&one, &two, DPC_LOSSES_BY_TOKEN));
    CU_ASSERT_TRUE(dpc_losses_match(&one, &two, DPC_LOSSES_BY_BYTE));
    struct dpc_difference found = dpc_losses_compare(&two, &one, 1, DPC_LOSSES_BY_BYTE);
    CU_ASSERT(found.mean == 0 && found.low == 0 && found.high == 0);
    for (uint32_t i = 0; i < two.count; i++)
        two.items[i].nats *= 1.1;
    found = dpc_losses_compare(&two, &one, 1, DPC_LOSSES_BY_BYTE);
    CU_ASSERT_DOUBLE_EQUAL(found.mean, log(1.1), 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(found.low, log(1.1), 1e-9);
    for (uint32_t i = 0; i < two.count; i++) { /* a little more text is read of each */
        two.items[i].nats *= 1.2;
        two.items[i].bytes += TARGETS / 5;
    }
    found = dpc_losses_compare(&two, &one, 1, DPC_LOSSES_BY_BYTE);
    CU_ASSERT_DOUBLE_EQUAL(found.mean, log(1.1), 1e-9);
    two.items[3].bytes = 0;
    CU_ASSERT_FALSE(dpc_losses_match(&one, &two, DPC_LOSSES_BY_BYTE));
    dpc_losses_done(&one);
    dpc_losses_done(&two);
}

/* --- The file. */

static int
read_bytes(struct temp *temp, const char *bytes, size_t len, bool dense,
           struct dpc_losses *ret_losses, struct dpc_error *err)
{
    CU_ASSERT_EQUAL_FATAL(
        dpc_vfs_write_file(&dpc_vfs_posix, temp_path(temp, "documents.tsv"), bytes, len, err),
        DPC_OK);
    return dpc_losses_load(temp_path(temp, "."), (struct dpc_losses_of){.dense = dense}, ret_losses,
                           err);
}

static int
read_text(struct temp *temp, const char *text, bool dense, struct dpc_losses *ret_losses,
          struct dpc_error *err)
{
    return read_bytes(temp, text, strlen(text), dense, ret_losses, err);
}

static void
files_are_read_by_model_and_in_order(void)
{
    static const char text[] = "path\tdocument\ttargets\tbytes\tnats\n"
                               "0-1\t9\t10\t11\t12.5\n"
                               "dense\t9\t10\t11\t14\n"
                               "1-0\t4\t20\t21\t22.25\n";
    struct dpc_losses losses;
    struct dpc_error err;
    struct temp temp;
    temp_make(&temp);
    CU_ASSERT_EQUAL_FATAL(read_text(&temp, text, false, &losses, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(losses.count, 2);
    CU_ASSERT(losses.items[0].document == 4 && losses.items[0].targets == 20 &&
              losses.items[0].bytes == 21 && losses.items[0].nats == 22.25);
    CU_ASSERT(losses.items[1].document == 9 && losses.items[1].nats == 12.5);
    dpc_losses_done(&losses);
    CU_ASSERT_EQUAL_FATAL(read_text(&temp, text, true, &losses, &err), DPC_OK);
    CU_ASSERT(losses.count == 1 && losses.items[0].nats == 14);
    dpc_losses_done(&losses);
    temp_remove(&temp);
}

static void
new_routes_have_a_file_of_their_own(void)
{
    static const char text[] = "every\tdocument\ttargets\tbytes\tnats\n"
                               "0\t9\t10\t11\t12.5\n"
                               "16\t9\t10\t11\t14\n"
                               "64\t9\t10\t11\t13\n"
                               "64\t4\t20\t21\t22.25\n";
    struct dpc_losses losses;
    struct dpc_error err;
    struct temp temp;
    temp_make(&temp);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_write_file(&dpc_vfs_posix, temp_path(&temp, "reroute.tsv"), text,
                                             sizeof text - 1, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        dpc_losses_load(temp_path(&temp, "."), (struct dpc_losses_of){.every = 64}, &losses, &err),
        DPC_OK);
    CU_ASSERT_EQUAL_FATAL(losses.count, 2);
    CU_ASSERT(losses.items[0].document == 4 && losses.items[1].nats == 13);
    dpc_losses_done(&losses);
    temp_remove(&temp);
}

static void
broken_lines_are_named(void)
{
    static const char *const lines[] = {"0-1\t9\t10\t11\n",
                                        "0-1\t9\t10\t11\tnan\n",
                                        "nothing\n",
                                        "0-1\t9\t10\t11\t1.5 more\n",
                                        "\n\n",
                                        "0-1\t-9\t10\t11\t1.5\n",
                                        "0-1\t9\t4294967306\t11\t1.5\n",
                                        "0-1\t9\t10\t 11\t1.5\n",
                                        "0-1\t9\t10\t11\t0x1p3\n"};
    struct temp temp;
    temp_make(&temp);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct dpc_losses losses;
        struct dpc_error err = {0};
        char text[128];
        (void)snprintf(text, sizeof text, "titles\n%s", lines[i]);
        CU_ASSERT_EQUAL(read_text(&temp, text, false, &losses, &err), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "documents.tsv:2"));
    }
    temp_remove(&temp);
}

/* A disk that lost a page leaves zeros: what stands behind them was left out without a word. */
static void
a_zero_byte_is_no_end(void)
{
    static const char text[] = "titles\n0-1\t1\t10\t11\t1.5\n\0\0\0\n0-1\t2\t10\t11\t1.5\n";
    static const char inside[] = "titles\n0-1\t1\t10\t11\t1.5\0more\n";
    struct dpc_losses losses;
    struct dpc_error err = {0};
    struct temp temp;
    temp_make(&temp);
    CU_ASSERT_EQUAL(read_bytes(&temp, text, sizeof text - 1, false, &losses, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "documents.tsv:3"));
    CU_ASSERT_EQUAL(read_bytes(&temp, inside, sizeof inside - 1, false, &losses, &err),
                    DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "documents.tsv:2"));
    temp_remove(&temp);
}

/* UBSan stops where a null pointer is sorted. */
static void
a_model_without_lines_has_no_losses(void)
{
    struct dpc_losses losses;
    struct dpc_error err = {0};
    struct temp temp;
    temp_make(&temp);
    CU_ASSERT_EQUAL_FATAL(read_text(&temp, "titles\n0-1\t1\t10\t11\t1.5", true, &losses, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL(losses.count, 0);
    dpc_losses_done(&losses);
    CU_ASSERT_EQUAL_FATAL(read_text(&temp, "", true, &losses, &err), DPC_OK);
    CU_ASSERT_EQUAL(losses.count, 0);
    dpc_losses_done(&losses);
    temp_remove(&temp);
}

static const struct dpc_test tests[] = {
    {"pairs tell small differences", pairs_tell_small_differences},
    {"equal models are not told apart", equal_models_are_not_told_apart},
    {"seeds make intervals shorter", seeds_make_intervals_shorter},
    {"documents count once however many seeds read them",
     documents_count_once_however_many_seeds_read_them},
    {"other documents do not match", other_documents_do_not_match},
    {"other tokens compare by the byte", other_tokens_compare_by_the_byte},
    {"files are read by model and in order", files_are_read_by_model_and_in_order},
    {"new routes have a file of their own", new_routes_have_a_file_of_their_own},
    {"broken lines are named", broken_lines_are_named},
    {"a zero byte is no end", a_zero_byte_is_no_end},
    {"a model without lines has no losses", a_model_without_lines_has_no_losses},
};
DPC_TEST_MAIN("cli/losses", tests)
