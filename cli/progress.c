/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/text.h"

void
dpc_progress_init(struct dpc_progress *progress, FILE *out)
{
    *progress = (struct dpc_progress){.out = out, .live = isatty(fileno(out)) == 1};
}

static double
number(const struct dpc_json *status, const char *key, double fallback)
{
    return dpc_json_number(dpc_json_get(status, key), fallback);
}

/* "12/48 tasks" of a phase that has other ones than training. */
static void
put_tasks(const struct dpc_json *status, struct dpc_buf *line)
{
    double done = number(status, "tasks_done", 0), total = number(status, "tasks_total", 0);
    if (total > 0)
        dpc_buf_printf(line, "  %.0f/%.0f tasks", done, total);
}

/* "round 3/10", or "rounds 3-4/10" while paths are apart; nothing before there are any. */
static void
put_rounds(const struct dpc_json *status, struct dpc_buf *line)
{
    double total = number(status, "rounds_total", 0);
    double least = number(status, "rounds_done_min", 0),
           most = number(status, "rounds_done_max", 0);
    if (total <= 0)
        return;
    if (least == most)
        dpc_buf_printf(line, "  round %.0f/%.0f", least, total);
    else
        dpc_buf_printf(line, "  rounds %.0f-%.0f/%.0f", least, most, total);
}

static void
put_share(const struct dpc_json *status, struct dpc_buf *line)
{
    char time[DPC_SHORT_TEXT_MAX];
    double done = number(status, "steps_done", 0), total = number(status, "steps_total", 0);
    double left = number(status, "eta_seconds", -1), loss = number(status, "loss", -1);
    if (total > 0)
        dpc_buf_printf(line, "  %.0f%%", 100 * done / total);
    if (left > 0)
        dpc_buf_printf(line, "  %s left", dpc_text_seconds(left, time));
    if (loss >= 0)
        dpc_buf_printf(line, "  loss %.3f", loss);
}

/* What a narrow terminal may cut off. */
static void
put_rest(const struct dpc_json *status, struct dpc_buf *line)
{
    char up[DPC_SHORT_TEXT_MAX], down[DPC_SHORT_TEXT_MAX], time[DPC_SHORT_TEXT_MAX];
    double workers = number(status, "workers_connected", 0);
    dpc_buf_printf(line, "  %.0f worker%s  %s", workers, workers == 1 ? "" : "s",
                   dpc_text_seconds(number(status, "seconds", 0), time));
    dpc_buf_printf(line, "  %s up, %s down", dpc_text_bytes(number(status, "bytes_up", 0), up),
                   dpc_text_bytes(number(status, "bytes_down", 0), down));
}

static void
put_paused(const struct dpc_json *status, struct dpc_buf *line)
{
    const char *paused = dpc_json_text(dpc_json_get(status, "paused"), "");
    if (*paused)
        dpc_buf_printf(line, "  paused: %s", paused);
}

static const char *
phase_of(const struct dpc_json *status)
{
    return dpc_json_text(dpc_json_get(status, "phase"), "?");
}

void
dpc_progress_line(const struct dpc_json *status, char ret_line[DPC_PROGRESS_LINE_MAX])
{
    struct dpc_buf line;
    dpc_buf_init(&line, 0);
    dpc_buf_printf(&line, "%-10s", phase_of(status));
    put_tasks(status, &line);
    put_rounds(status, &line);
    put_paused(status, &line);
    put_share(status, &line);
    put_rest(status, &line);
    snprintf(ret_line, DPC_PROGRESS_LINE_MAX, "%s", dpc_buf_text(&line));
    dpc_buf_done(&line);
}

/* What must change for the next plain line: of a phase's tasks, a tenth of them. */
static void
name_stage(const struct dpc_json *status, char *ret_stage, size_t size)
{
    double tasks = number(status, "tasks_total", 0);
    double tenth = tasks > 0 ? floor(10 * number(status, "tasks_done", 0) / tasks) : 0;
    snprintf(ret_stage, size, "%s %.0f %.0f %s", phase_of(status),
             number(status, "rounds_done_min", 0), tenth,
             dpc_json_text(dpc_json_get(status, "paused"), ""));
}

static int
terminal_columns(FILE *out)
{
    struct winsize size;
    if (ioctl(fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
        return 80;
    return size.ws_col;
}

void
dpc_progress_show(struct dpc_progress *progress, const struct dpc_json *status)
{
    char line[DPC_PROGRESS_LINE_MAX], stage[sizeof progress->stage];
    dpc_progress_line(status, line);
    if (progress->live) {
        fprintf(progress->out, "\r\033[K%.*s", terminal_columns(progress->out) - 1, line);
        progress->shown = true;
    } else {
        name_stage(status, stage, sizeof stage);
        if (strcmp(stage, progress->stage) != 0)
            fprintf(progress->out, "%s\n", line);
        snprintf(progress->stage, sizeof progress->stage, "%s", stage);
    }
    fflush(progress->out);
}

void
dpc_progress_done(struct dpc_progress *progress)
{
    if (progress->shown)
        fprintf(progress->out, "\r\033[K");
    progress->shown = false;
    fflush(progress->out);
}

void
dpc_progress_note(struct dpc_progress *progress, const char *text)
{
    size_t len = strlen(text);
    dpc_progress_done(progress);
    fprintf(progress->out, "%s%s", text, len && text[len - 1] == '\n' ? "" : "\n");
    fflush(progress->out);
}
