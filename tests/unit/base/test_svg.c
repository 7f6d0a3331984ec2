/* SPDX-License-Identifier: Apache-2.0 */
#include "base/svg.h"

#include <float.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/harness.h"

enum { CHART_BYTES_MAX = 1 << 20, DEADLINE_S = 20 };

static struct dpc_buf out;

/* The chart of a line through two points, as text until `out` is released. A program that draws for
 * ever ends at the deadline. */
static const char *
chart_of(double x0, double x1, double y0, double y1)
{
    double x[2] = {x0, x1}, y[2] = {y0, y1};
    struct dpc_series series = {"line", x, y, 2};
    dpc_buf_init(&out, CHART_BYTES_MAX);
    (void)alarm(DEADLINE_S);
    dpc_svg_chart(&out, "chart", "x", "y", &series, 1);
    (void)alarm(0);
    CU_ASSERT_FALSE(out.failed);
    return dpc_buf_text(&out);
}

static size_t
count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        count++;
    return count;
}

static void
ticks_are_round_numbers_around_the_values(void)
{
    static const char *const shown[] = {">0<", ">100<", ">600<", ">-0.2<", ">0.8<"};
    const char *svg = chart_of(0, 600, -0.2, 0.75);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        CU_ASSERT_PTR_NOT_NULL(strstr(svg, shown[i]));
    CU_ASSERT_EQUAL(count_of(svg, ">0<"), 2); /* exactly 0, on both axes */
    CU_ASSERT_EQUAL(count_of(svg, "stroke=\"#eee\""), 7 + 6);
    dpc_buf_done(&out);
}

static void
values_that_differ_in_the_last_bits_are_one(void)
{
    const char *svg = chart_of(0, 600, 5.303, nextafter(5.303, INFINITY));
    CU_ASSERT_PTR_NOT_NULL(strstr(svg, ">5.2<"));
    CU_ASSERT_PTR_NOT_NULL(strstr(svg, ">6.4<"));
    CU_ASSERT_EQUAL(count_of(svg, "nan"), 0);
    dpc_buf_done(&out);
}

/* Whatever a loss comes to. */
static void
every_chart_ends(void)
{
    static const double values[][2] = {
        {1e20, 1e20},      {-1e20, nextafter(-1e20, 0)}, {1e9, 1e9 + 2},
        {0, DBL_TRUE_MIN}, {-DBL_MAX, DBL_MAX},          {DBL_MAX, DBL_MAX},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const char *svg = chart_of(0, 1, values[i][0], values[i][1]);
        CU_ASSERT(count_of(svg, "stroke=\"#eee\"") <= 6 + 12);
        dpc_buf_done(&out);
    }
}

/* Rows are drawn over such an axis, too. */
static void
rows_of_nearly_equal_dots_are_drawn(void)
{
    const double values[] = {5.303, nextafter(5.303, 0)};
    struct dpc_svg_row row = {.name = "row", .values = values, .count = 2, .figure = 5.303};
    dpc_buf_init(&out, CHART_BYTES_MAX);
    (void)alarm(DEADLINE_S);
    dpc_svg_rows(&out, "rows", "x", &row, 1);
    (void)alarm(0);
    CU_ASSERT_EQUAL(count_of(dpc_buf_text(&out), "<circle"), 2);
    dpc_buf_done(&out);
}

static const struct dpc_test tests[] = {
    {"ticks are round numbers around the values", ticks_are_round_numbers_around_the_values},
    {"values that differ in the last bits are one", values_that_differ_in_the_last_bits_are_one},
    {"every chart ends", every_chart_ends},
    {"rows of nearly equal dots are drawn", rows_of_nearly_equal_dots_are_drawn},
};
DPC_TEST_MAIN("base/svg", tests)
