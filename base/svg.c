/* SPDX-License-Identifier: Apache-2.0
 * Coordinates are mapped once (struct scale); everything else is text. */
#include "base/svg.h"

#include <math.h>
#include <stdio.h>

enum { WIDTH = 860, HEIGHT = 460, LEFT = 70, RIGHT = 190, TOP = 50, BOTTOM = 60 };
enum { TICKS = 6, TICKS_MAX = 2 * TICKS };

/* Values that differ by less than this part of them are one: ticks between them would not differ in
 * the digits that are shown. */
static const double least_share = 1e-9;

static const char *const colours[] = {"#c44e52", "#2a6fbb", "#55a868", "#8172b2", "#ccb974"};

struct scale {
    double low, high, step;
    double from, to;   /* pixels */
    double first_tick; /* in steps from 0 */
    int ticks;
};

static double
place(const struct scale *scale, double value)
{
    double share = (value - scale->low) / (scale->high - scale->low);
    return scale->from + share * (scale->to - scale->from);
}

/* A step of 1, 2 or 5 times a power of ten that gives about TICKS ticks. */
static void
round_scale(struct scale *scale, double low, double high)
{
    double largest = fmax(fabs(low), fabs(high));
    if (!(high - low > least_share * largest))
        high = low + fmax(1, 2 * least_share * largest);
    double raw = (high - low) / TICKS, power = pow(10, floor(log10(raw)));
    double factor = raw / power;
    scale->step = power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
    scale->first_tick = floor(low / scale->step);
    double last_tick = ceil(high / scale->step);
    scale->low = scale->first_tick * scale->step;
    scale->high = last_tick * scale->step;
    double ticks = last_tick - scale->first_tick + 1;
    scale->ticks = ticks < TICKS_MAX ? (int)ticks : TICKS_MAX;
}

/* Counted rather than added up: a step that is small beside the value would add nothing. */
static double
tick(const struct scale *scale, int i)
{
    return (scale->first_tick + i) * scale->step;
}

static void
find_range(const struct dpc_series *series, size_t series_count, struct scale *x, struct scale *y)
{
    double x_low = INFINITY, x_high = -INFINITY, y_low = INFINITY, y_high = -INFINITY;
    for (size_t s = 0; s < series_count; s++) {
        for (size_t i = 0; i < series[s].count; i++) {
            if (!isfinite(series[s].x[i]) || !isfinite(series[s].y[i]))
                continue;
            x_low = fmin(x_low, series[s].x[i]);
            x_high = fmax(x_high, series[s].x[i]);
            y_low = fmin(y_low, series[s].y[i]);
            y_high = fmax(y_high, series[s].y[i]);
        }
    }
    round_scale(x, isfinite(x_low) ? x_low : 0, isfinite(x_high) ? x_high : 1);
    round_scale(y, isfinite(y_low) ? y_low : 0, isfinite(y_high) ? y_high : 1);
}

/* Text of a person's, with what XML would misread escaped. */
static void
put_escaped(struct dpc_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            dpc_buf_printf(out, "&lt;");
        else if (*text == '&')
            dpc_buf_printf(out, "&amp;");
        else
            dpc_buf_put(out, text, 1);
    }
}

static void
put_text(struct dpc_buf *out, double x, double y, const char *style, const char *text)
{
    dpc_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, style);
    put_escaped(out, text);
    dpc_buf_printf(out, "</text>\n");
}

/* Lines down from `top` to `bottom` at the ticks of an axis along the bottom. */
static void
put_ticks(struct dpc_buf *out, const struct scale *x, int bottom)
{
    for (int i = 0; i < x->ticks; i++) {
        double v = tick(x, i);
        dpc_buf_printf(out,
                       "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#eee\"/>"
                       "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g</text>\n",
                       place(x, v), TOP, place(x, v), bottom, place(x, v), bottom + 18, v);
    }
}

static void
put_axes(struct dpc_buf *out, const struct scale *x, const struct scale *y)
{
    put_ticks(out, x, HEIGHT - BOTTOM);
    for (int i = 0; i < y->ticks; i++) {
        double v = tick(y, i);
        dpc_buf_printf(out,
                       "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#eee\"/>"
                       "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
                       LEFT, place(y, v), WIDTH - RIGHT, place(y, v), LEFT - 8, place(y, v) + 4, v);
    }
    dpc_buf_printf(out, "<path d=\"M%d,%d V%d H%d\" fill=\"none\" stroke=\"#444\"/>\n", LEFT, TOP,
                   HEIGHT - BOTTOM, WIDTH - RIGHT);
}

static void
put_line(struct dpc_buf *out, const struct dpc_series *series, const struct scale *x,
         const struct scale *y, const char *colour)
{
    dpc_buf_printf(out,
                   "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" "
                   "stroke-opacity=\"%s\" points=\"",
                   colour, series->name ? "2.2" : "1", series->name ? "1" : "0.35");
    for (size_t i = 0; i < series->count; i++) {
        if (isfinite(series->x[i]) && isfinite(series->y[i]))
            dpc_buf_printf(out, "%.1f,%.1f ", place(x, series->x[i]), place(y, series->y[i]));
    }
    dpc_buf_printf(out, "\"/>\n");
}

static void
begin(struct dpc_buf *out, int height, const char *title)
{
    dpc_buf_printf(out,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                   "font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n"
                   "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                   WIDTH, height);
    put_text(out, LEFT, 28, "font-size=\"16\" font-weight=\"bold\"", title);
}

void
dpc_svg_chart(struct dpc_buf *out, const char *title, const char *x_label, const char *y_label,
              const struct dpc_series *series, size_t series_count)
{
    struct scale x = {.from = LEFT, .to = WIDTH - RIGHT};
    struct scale y = {.from = HEIGHT - BOTTOM, .to = TOP};
    find_range(series, series_count, &x, &y);
    begin(out, HEIGHT, title);
    put_axes(out, &x, &y);
    put_text(out, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 18, "text-anchor=\"middle\"", x_label);
    dpc_buf_printf(out, "<g transform=\"translate(18,%d) rotate(-90)\">",
                   (TOP + HEIGHT - BOTTOM) / 2);
    put_text(out, 0, 0, "text-anchor=\"middle\"", y_label);
    dpc_buf_printf(out, "</g>\n");
    size_t named = 0;
    for (size_t s = 0; s < series_count; s++) {
        if (series[s].name)
            named++;
        const char *colour = colours[(named ? named - 1 : 0) % (sizeof colours / sizeof *colours)];
        put_line(out, &series[s], &x, &y, colour);
        if (series[s].name) {
            double at = TOP + 20.0 * (double)named;
            dpc_buf_printf(out,
                           "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" "
                           "stroke-width=\"3\"/>\n",
                           WIDTH - RIGHT + 16, at, WIDTH - RIGHT + 40, at, colour);
            put_text(out, WIDTH - RIGHT + 46, at + 4, "", series[s].name);
        }
    }
    dpc_buf_printf(out, "</svg>\n");
}

/* --- Rows of dots. */

enum { ROW_HEIGHT = 26, NAMES = 320, FIGURES = 80 };

static void
put_row(struct dpc_buf *out, const struct dpc_svg_row *row, const struct scale *x, double at)
{
    double low = INFINITY, high = -INFINITY;
    char figure[32];
    put_text(out, NAMES - 12, at + 4, "text-anchor=\"end\"", row->name);
    for (size_t i = 0; i < row->count; i++) {
        if (!isfinite(row->values[i]))
            continue;
        low = fmin(low, row->values[i]);
        high = fmax(high, row->values[i]);
        dpc_buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"%s\"/>\n",
                       place(x, row->values[i]), at, colours[1]);
    }
    if (!isfinite(low))
        return;
    dpc_buf_printf(out,
                   "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
                   "stroke-width=\"2\"/>\n",
                   place(x, low), at, place(x, high), at, colours[1]);
    if (!isfinite(row->figure))
        return;
    (void)snprintf(figure, sizeof figure, "%.3f", row->figure);
    put_text(out, WIDTH - FIGURES + 20, at + 4, "", figure);
}

void
dpc_svg_rows(struct dpc_buf *out, const char *title, const char *x_label,
             const struct dpc_svg_row *rows, size_t rows_count)
{
    struct scale x = {.from = NAMES, .to = WIDTH - FIGURES};
    double low = INFINITY, high = -INFINITY;
    int bottom = TOP + ROW_HEIGHT * (int)rows_count;
    for (size_t row = 0; row < rows_count; row++) {
        for (size_t i = 0; i < rows[row].count; i++) {
            if (isfinite(rows[row].values[i])) {
                low = fmin(low, rows[row].values[i]);
                high = fmax(high, rows[row].values[i]);
            }
        }
    }
    round_scale(&x, isfinite(low) ? low : 0, isfinite(high) ? high : 1);
    begin(out, bottom + BOTTOM, title);
    put_ticks(out, &x, bottom);
    for (size_t row = 0; row < rows_count; row++)
        put_row(out, &rows[row], &x, TOP + ROW_HEIGHT * ((double)row + 0.5));
    put_text(out, (NAMES + WIDTH - FIGURES) / 2.0, bottom + 42, "text-anchor=\"middle\"", x_label);
    dpc_buf_printf(out, "</svg>\n");
}
