/* SPDX-License-Identifier: Apache-2.0
 * The page of a run, from listings as JSON: what stands in it, what is escaped, what is left out;
 * and the curve in it, while it goes on and from the store. */
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "coordinator/pages/page.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "outer: {rounds: 3}\n"
                                     "warm_start: {steps: 10}\n";

static const char status[] =
    "{\"experiment\": \"<b>&\", \"phase\": \"train\", \"mode\": \"strict\","
    " \"rounds_total\": 8, \"rounds_done_min\": 2, \"rounds_done_max\": 3,"
    " \"steps_done\": 250, \"steps_total\": 1000, \"eta_seconds\": 7380,"
    " \"bytes_up\": 1536, \"paused\": \"\", \"alarms\": 0,"
    " \"alarm\": \"\", \"loss\": null}";
static const char paths[] = "{\"paths\": [{\"path\": \"0-1\", \"state\": \"leased\", \"round\": 2,"
                            " \"worker\": \"<script>alert('x')</script>\", \"loss\": 2.5}]}";
static const char workers[] = "{\"workers\": [{\"name\": \"<script>alert(\\\"x\\\")</script>\","
                              " \"connected\": true, \"barred\": \"\", \"tokens\": 12}]}";

static struct dpc_json *
parse(const char *text)
{
    struct dpc_json *root = NULL;
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse(text, strlen(text), &root, NULL), DPC_OK);
    return root;
}

static struct dpc_curve *
open_curve(const struct driver *driver)
{
    struct dpc_curve *curve = NULL;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(
        dpc_curve_create(driver->core, &driver->experiment, driver->kv, &curve, &err), DPC_OK);
    return curve;
}

/* The page from these texts, in `out`. */
static const char *
write_page(const char *status_text, const char *paths_text, bool more, struct dpc_buf *out)
{
    struct driver driver;
    driver_start(&driver, yaml);
    struct dpc_curve *curve = open_curve(&driver);
    struct dpc_json *roots[] = {parse(status_text), parse(paths_text), parse(workers)};
    dpc_buf_init(out, 0);
    dpc_page_write(&(struct dpc_page){.status = roots[0],
                                      .paths = roots[1],
                                      .workers = roots[2],
                                      .more_paths = more,
                                      .curve = curve},
                   out);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        dpc_json_destroy(roots[i]);
    dpc_curve_destroy(curve);
    driver_stop(&driver);
    return dpc_buf_text(out);
}

static bool
has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void
test_what_stands_in_it(void)
{
    struct dpc_buf out;
    const char *text = write_page(status, paths, false, &out);
    CU_ASSERT_TRUE(
        has(text, "Phase <b>train</b>, rounds 2 to 3 of 8, about 2 h 3 min of training"));
    CU_ASSERT_TRUE(has(text, "<progress value=\"250\" max=\"1000\">"));
    CU_ASSERT_TRUE(has(text, "<th>bytes from workers</th><td class=\"n\">1.5 KiB</td>"));
    CU_ASSERT_TRUE(has(text, "<tr><td>0-1</td><td>leased</td><td class=\"n\">2</td>"));
    CU_ASSERT_TRUE(has(text, "<td class=\"n\">2.500</td>"));
    CU_ASSERT_FALSE(has(text, "dipacoctl lists all"));
    CU_ASSERT_FALSE(has(text, "class=\"bad\""));
    CU_ASSERT_FALSE(has(text, "<svg")); /* there are no losses yet */
    dpc_buf_done(&out);
}

static void
test_all_text_is_escaped(void)
{
    struct dpc_buf out;
    const char *text = write_page(status, paths, false, &out);
    CU_ASSERT_FALSE(has(text, "<script"));
    CU_ASSERT_TRUE(has(text, "<title>&lt;b&gt;&amp;</title>"));
    CU_ASSERT_TRUE(has(text, "<h1>&lt;b&gt;&amp;</h1>"));
    CU_ASSERT_TRUE(has(text, "<td>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;</td>"));
    CU_ASSERT_TRUE(has(text, "<td>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</td>"));
    dpc_buf_done(&out);
}

static void
test_trouble_stands_above_all(void)
{
    struct dpc_buf out;
    const char *text =
        write_page("{\"phase\": \"evaluate\", \"tasks_done\": 3, \"tasks_total\": 12,"
                   " \"paused\": \"no <room>\", \"alarms\": 3, \"alarm\": \"two\","
                   " \"damaged_blobs\": 0, \"damage\": \"\"}",
                   "{\"paths\": []}", false, &out);
    CU_ASSERT_TRUE(has(text, "<p class=\"bad\"><b>Held up</b>: no &lt;room&gt;</p>"));
    CU_ASSERT_TRUE(has(text, "<p class=\"bad\"><b>Alarms</b>, 3, the last one: two</p>"));
    CU_ASSERT_FALSE(has(text, "Damaged"));
    CU_ASSERT_TRUE(has(text, "Phase <b>evaluate</b>, 3 of 12 tasks, round"));
    CU_ASSERT_TRUE(has(text, "<h2>Paths</h2>\n<p>None yet.</p>"));
    dpc_buf_done(&out);
}

static void
test_rows_that_are_left_out_are_told(void)
{
    struct dpc_buf out;
    CU_ASSERT_TRUE(has(write_page(status, paths, true, &out),
                       "<p>These are the first 1; dipacoctl lists all.</p>"));
    dpc_buf_done(&out);
}

/* --- The curve. */

/* It goes to the end of training with one worker, each round told; then the same from the store. */
static void
test_the_curve_from_the_store_is_the_one_that_was_told(void)
{
    struct driver driver;
    struct dpc_buf told, stored;
    static const struct dpc_token none;
    const struct dpc_msg *reply;
    driver_start(&driver, yaml);
    struct dpc_curve *curve = open_curve(&driver);
    driver_hello(&driver, 0, none);
    while ((reply = driver_ask(&driver, 0))->type == DPC_MSG_LEASE) {
        struct dpc_msg_lease lease = reply->lease;
        struct dpc_msg_submit submit;
        driver_fill_submission(&driver, &lease, &submit);
        driver_submit(&driver, 0, &lease);
        for (int again = 0; lease.kind == DPC_TASK_TRAIN && again < 2; again++)
            dpc_curve_add(curve, lease.path, lease.round, lease.steps_count, submit.loss_last);
    }
    CU_ASSERT_EQUAL(driver_phase(&driver), DPC_PHASE_FINISHED);
    struct dpc_curve *restored = open_curve(&driver);
    dpc_buf_init(&told, 0);
    dpc_buf_init(&stored, 0);
    dpc_curve_draw(curve, &told);
    dpc_curve_draw(restored, &stored);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&told), dpc_buf_text(&stored));
    CU_ASSERT_TRUE(has(dpc_buf_text(&told), ">mean of paths</text>"));
    CU_ASSERT_TRUE(has(dpc_buf_text(&told), ">dense</text>"));
    dpc_buf_done(&told);
    dpc_buf_done(&stored);
    dpc_curve_destroy(curve);
    dpc_curve_destroy(restored);
    driver_stop(&driver);
}

/* Each part of a round stands where it ends, and once. */
static void
test_parts_of_a_round_stand_where_they_end(void)
{
    struct driver driver;
    struct dpc_buf parts, whole;
    driver_start(&driver, yaml);
    struct dpc_curve *curve = open_curve(&driver), *other = open_curve(&driver);
    uint32_t steps = dpc_core_round_steps(driver.core, 0, 0);
    dpc_buf_init(&parts, 0);
    dpc_buf_init(&whole, 0);
    for (int again = 0; again < 2; again++)
        dpc_curve_add(curve, 0, 0, 1, 5);
    dpc_curve_add(curve, 0, 0, steps, 3);
    dpc_curve_add(curve, 0, 0, 1, 9);
    dpc_curve_add(other, 0, 0, 1, 5);
    dpc_curve_add(other, 0, 0, steps, 3);
    dpc_curve_draw(curve, &parts);
    dpc_curve_draw(other, &whole);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&parts), dpc_buf_text(&whole));
    dpc_buf_reset(&whole);
    dpc_curve_destroy(other);
    other = open_curve(&driver);
    dpc_curve_add(other, 0, 0, steps, 3);
    dpc_curve_draw(other, &whole);
    CU_ASSERT_STRING_NOT_EQUAL(dpc_buf_text(&parts), dpc_buf_text(&whole));
    dpc_buf_done(&parts);
    dpc_buf_done(&whole);
    dpc_curve_destroy(curve);
    dpc_curve_destroy(other);
    driver_stop(&driver);
}

static void
test_a_loss_that_is_none_is_left_out(void)
{
    struct driver driver;
    struct dpc_buf out;
    driver_start(&driver, yaml);
    struct dpc_curve *curve = open_curve(&driver);
    dpc_curve_add(curve, 0, 0, 1, NAN);
    dpc_curve_add(curve, 0, 1000000, 1, 2);    /* behind the end */
    dpc_curve_add(curve, UINT32_MAX, 0, 1, 2); /* no such path */
    dpc_buf_init(&out, 0);
    dpc_curve_draw(curve, &out);
    CU_ASSERT_EQUAL(out.len, 0);
    dpc_buf_done(&out);
    dpc_curve_destroy(curve);
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"what stands in it", test_what_stands_in_it},
    {"all text is escaped", test_all_text_is_escaped},
    {"trouble stands above all", test_trouble_stands_above_all},
    {"rows that are left out are told", test_rows_that_are_left_out_are_told},
    {"the curve from the store is the one that was told",
     test_the_curve_from_the_store_is_the_one_that_was_told},
    {"parts of a round stand where they end", test_parts_of_a_round_stand_where_they_end},
    {"a loss that is none is left out", test_a_loss_that_is_none_is_left_out},
};

DPC_TEST_MAIN("coordinator/page", tests)
