/* SPDX-License-Identifier: Apache-2.0
 * Tables of what is shown; a key that a listing does not have stays empty. */
#include "coordinator/pages/page.h"

#include <inttypes.h>
#include <math.h>

enum { REFRESH_S = 10 };

/* --- Values. */

static void
put_escaped(struct dpc_buf *out, const char *text)
{
    for (; *text; text++) {
        const char *entity = *text == '<'    ? "&lt;"
                             : *text == '>'  ? "&gt;"
                             : *text == '&'  ? "&amp;"
                             : *text == '"'  ? "&quot;"
                             : *text == '\'' ? "&#39;"
                                             : NULL;
        if (entity)
            dpc_buf_printf(out, "%s", entity);
        else
            dpc_buf_put(out, text, 1);
    }
}

static void
put_bytes(struct dpc_buf *out, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    for (; bytes >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++)
        bytes /= 1024;
    dpc_buf_printf(out, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void
put_seconds(struct dpc_buf *out, double seconds)
{
    uint64_t all = seconds > 0 ? (uint64_t)seconds : 0;
    if (all >= 86400)
        dpc_buf_printf(out, "%" PRIu64 " d %" PRIu64 " h", all / 86400, all / 3600 % 24);
    else if (all >= 3600)
        dpc_buf_printf(out, "%" PRIu64 " h %" PRIu64 " min", all / 3600, all / 60 % 60);
    else if (all >= 60)
        dpc_buf_printf(out, "%" PRIu64 " min %" PRIu64 " s", all / 60, all % 60);
    else
        dpc_buf_printf(out, "%" PRIu64 " s", all);
}

enum form { TEXT, COUNT, LOSS, BYTES, SECONDS, MILLISECONDS, YES };

static void
put_value(struct dpc_buf *out, const struct dpc_json *value, enum form form)
{
    double number = dpc_json_number(value, NAN);
    if (form == TEXT)
        put_escaped(out, dpc_json_text(value, ""));
    else if (form == YES)
        dpc_buf_printf(out, "%s", dpc_json_bool(value, false) ? "yes" : "no");
    else if (!isfinite(number))
        return;
    else if (form == COUNT)
        dpc_buf_printf(out, "%.0f", number);
    else if (form == LOSS)
        dpc_buf_printf(out, "%.3f", number);
    else if (form == BYTES)
        put_bytes(out, number);
    else
        put_seconds(out, form == MILLISECONDS ? number / 1000 : number);
}

/* --- The head: how far it is, and what is wrong. */

static double
number_of(const struct dpc_page *page, const char *key)
{
    return dpc_json_number(dpc_json_get(page->status, key), 0);
}

static void
put_head(const struct dpc_page *page, struct dpc_buf *out)
{
    const char *name = dpc_json_text(dpc_json_get(page->status, "experiment"), "");
    dpc_buf_printf(out,
                   "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta http-equiv=\"refresh\" content=\"%d\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
                   REFRESH_S);
    put_escaped(out, name);
    dpc_buf_printf(out, "</title>\n<style>\n"
                        "body { font: 15px sans-serif; color: #333; margin: 2em; }\n"
                        "table { border-collapse: collapse; }\n"
                        "th, td { text-align: left; padding: 2px 1.5em 2px 0; }\n"
                        "thead th { border-bottom: 1px solid #aaa; }\n"
                        ".n { text-align: right; font-variant-numeric: tabular-nums; }\n"
                        ".bad { background: #fbe3e4; padding: 0.5em 1em; }\n"
                        "progress { width: 30em; max-width: 100%%; }\n"
                        "</style>\n</head>\n<body>\n<h1>");
    put_escaped(out, name);
    dpc_buf_printf(out, "</h1>\n");
}

/* `count` 0: there is nothing to tell. */
static void
put_trouble(const struct dpc_page *page, struct dpc_buf *out, const char *title, const char *count,
            const char *key)
{
    const char *text = dpc_json_text(dpc_json_get(page->status, key), "");
    double number = count ? number_of(page, count) : 1;
    if (number <= 0 || !*text)
        return;
    dpc_buf_printf(out, "<p class=\"bad\"><b>%s</b>", title);
    if (count)
        dpc_buf_printf(out, ", %.0f, the last one", number);
    dpc_buf_printf(out, ": ");
    put_escaped(out, text);
    dpc_buf_printf(out, "</p>\n");
}

static void
put_progress(const struct dpc_page *page, struct dpc_buf *out)
{
    double least = number_of(page, "rounds_done_min"), most = number_of(page, "rounds_done_max");
    double done = number_of(page, "steps_done"), total = number_of(page, "steps_total");
    double tasks = number_of(page, "tasks_total");
    const struct dpc_json *left = dpc_json_get(page->status, "eta_seconds");
    dpc_buf_printf(out, "<p>Phase <b>");
    put_escaped(out, dpc_json_text(dpc_json_get(page->status, "phase"), ""));
    dpc_buf_printf(out, "</b>, ");
    if (tasks > 0)
        dpc_buf_printf(out, "%.0f of %.0f tasks, ", number_of(page, "tasks_done"), tasks);
    if (least < most)
        dpc_buf_printf(out, "rounds %.0f to %.0f", least, most);
    else
        dpc_buf_printf(out, "round %.0f", least);
    dpc_buf_printf(out, " of %.0f", number_of(page, "rounds_total"));
    if (dpc_json_number(left, 0) > 0) {
        dpc_buf_printf(out, ", about ");
        put_value(out, left, SECONDS);
        dpc_buf_printf(out, " of training left");
    }
    dpc_buf_printf(out,
                   "</p>\n<p><progress value=\"%.0f\" max=\"%.0f\">%.0f of %.0f inner steps"
                   "</progress></p>\n",
                   done, total > 0 ? total : 1, done, total);
}

static const struct fact {
    const char *title, *key;
    enum form form;
} facts[] = {
    {"mode", "mode", TEXT},
    {"train loss, nats per token", "loss", LOSS},
    {"workers connected", "workers_connected", COUNT},
    {"workers known", "workers_known", COUNT},
    {"workers barred", "workers_barred", COUNT},
    {"leases", "leases", COUNT},
    {"time so far", "seconds", SECONDS},
    {"bytes from workers", "bytes_up", BYTES},
    {"bytes to workers", "bytes_down", BYTES},
    {"free on the disk", "disk_free_bytes", BYTES},
    {"refused messages", "peer_faults", COUNT},
};

static void
put_facts(const struct dpc_page *page, struct dpc_buf *out)
{
    dpc_buf_printf(out, "<table>\n");
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        dpc_buf_printf(out, "<tr><th>%s</th><td class=\"n\">", facts[i].title);
        put_value(out, dpc_json_get(page->status, facts[i].key), facts[i].form);
        dpc_buf_printf(out, "</td></tr>\n");
    }
    dpc_buf_printf(out, "</table>\n");
}

/* --- Listings. */

static const struct fact path_columns[] = {
    {"path", "path", TEXT},
    {"state", "state", TEXT},
    {"round", "round", COUNT},
    {"of", "rounds_total", COUNT},
    {"worker", "worker", TEXT},
    {"loss", "loss", LOSS},
    {"documents", "documents", COUNT},
    {"best round", "best_round", COUNT},
    {"best loss", "best_loss", LOSS},
};
static const struct fact worker_columns[] = {
    {"worker", "name", TEXT},
    {"connected", "connected", YES},
    {"barred", "barred", TEXT},
    {"task", "kind", TEXT},
    {"path", "path", TEXT},
    {"steps", "steps_done", COUNT},
    {"of", "steps_count", COUNT},
    {"tokens/s", "tokens_per_s", COUNT},
    {"tokens", "tokens", COUNT},
    {"merged", "merged", COUNT},
    {"superseded", "superseded", COUNT},
    {"refused", "refused", COUNT},
};

/* Numbers stand to the right. */
static const char *
class_of(enum form form)
{
    return form == TEXT || form == YES ? "" : " class=\"n\"";
}

static void
put_row(struct dpc_buf *out, const struct dpc_json *row, const struct fact *columns, size_t count)
{
    dpc_buf_printf(out, "<tr>");
    for (size_t i = 0; i < count; i++) {
        dpc_buf_printf(out, "<td%s>", class_of(columns[i].form));
        put_value(out, dpc_json_get(row, columns[i].key), columns[i].form);
        dpc_buf_printf(out, "</td>");
    }
    dpc_buf_printf(out, "</tr>\n");
}

static void
put_listing(struct dpc_buf *out, const char *title, const struct dpc_json *rows, bool more,
            const struct fact *columns, size_t count)
{
    size_t rows_count = dpc_json_count(rows);
    dpc_buf_printf(out, "<h2>%s</h2>\n", title);
    if (!rows_count) {
        dpc_buf_printf(out, "<p>None yet.</p>\n");
        return;
    }
    dpc_buf_printf(out, "<table>\n<thead><tr>");
    for (size_t i = 0; i < count; i++)
        dpc_buf_printf(out, "<th%s>%s</th>", class_of(columns[i].form), columns[i].title);
    dpc_buf_printf(out, "</tr></thead>\n");
    for (size_t i = 0; i < rows_count; i++)
        put_row(out, dpc_json_at(rows, i), columns, count);
    dpc_buf_printf(out, "</table>\n");
    if (more)
        dpc_buf_printf(out, "<p>These are the first %zu; dipacoctl lists all.</p>\n", rows_count);
}

#define COUNT_OF(columns) (sizeof(columns) / sizeof *(columns))

void
dpc_page_write(const struct dpc_page *page, struct dpc_buf *out)
{
    put_head(page, out);
    put_trouble(page, out, "Held up", NULL, "paused");
    put_trouble(page, out, "Damaged blobs", "damaged_blobs", "damage");
    put_trouble(page, out, "Alarms", "alarms", "alarm");
    put_progress(page, out);
    put_facts(page, out);
    dpc_curve_draw(page->curve, out);
    put_listing(out, "Paths", dpc_json_get(page->paths, "paths"), page->more_paths, path_columns,
                COUNT_OF(path_columns));
    put_listing(out, "Workers", dpc_json_get(page->workers, "workers"), page->more_workers,
                worker_columns, COUNT_OF(worker_columns));
    dpc_buf_printf(out, "<p><a href=\"status.json\">status.json</a> "
                        "<a href=\"metrics\">metrics</a></p>\n</body>\n</html>\n");
}
