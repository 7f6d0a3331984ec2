/* SPDX-License-Identifier: Apache-2.0
 * Everything is gathered into one struct first (gather_*), then written three times. Perplexity is
 * per token of the tokenizer; bits per byte compares across tokenizers. */
#include "coordinator/report/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/layout.h"
#include "base/svg.h"
#include "coordinator/fork/fork.h"
#include "coordinator/report/report_best.h"
#include "coordinator/report/report_reroute.h"
#include "coordinator/report/report_routing.h"
#include "data/scores.h"

struct sums {
    double nll; /* nats */
    uint64_t targets, bytes;
    uint32_t documents;
};

/* What a path handed in at once: a round of its, or in elastic mode a part of one. */
struct piece {
    uint32_t round;
    uint32_t end; /* step of the round behind its last one */
    double steps; /* without those that a part before it had, too */
};

/* Train losses by piece: mean of a lease's last tenth of steps. */
struct curve {
    double *x, *y; /* inner steps since the start; bits per token */
    struct piece *pieces;
    size_t count;
};

struct report {
    const struct dpc_world *world;
    const struct dpc_phase_record *phase;
    uint32_t dense;       /* path */
    uint64_t warm_tokens; /* that the warm start read */
    struct sums *paths;   /* [paths_count] */
    struct curve *curves; /* [paths_count]; contributions come by (round, module, path) */
    struct dpc_path_record *records;   /* [paths_count] */
    struct dpc_module_record *modules; /* [modules_count] */
    struct dpc_report_routing *routing;
    struct dpc_report_reroute *reroute;
    struct dpc_buf documents; /* documents.tsv */
    struct dpc_report_best *best;
    struct dpc_error *err;
    int code;
};

/* --- Gathering. */

static int
add_scores(struct report *report, const struct dpc_result_record *record)
{
    uint8_t *bytes;
    size_t len, count;
    struct dpc_score *scores;
    int code =
        dpc_store_blob_load_named(report->world->store, &record->result, &bytes, &len, report->err);
    if (code != DPC_OK)
        return code;
    code = dpc_scores_read(bytes, len, &scores, &count, report->err);
    dpc_free(bytes);
    if (code != DPC_OK)
        return code;
    struct sums *sums = &report->paths[record->path];
    char name[2 * DPC_NAME_MAX];
    dpc_topology_path_name(report->world->topology, record->path, name, sizeof name);
    for (size_t i = 0; i < count; i++) {
        dpc_buf_printf(&report->documents, "%s\t%u\t%u\t%u\t%.17g\n", name, scores[i].id,
                       scores[i].targets, scores[i].bytes, scores[i].nats);
        sums->nll += scores[i].nats;
        sums->targets += scores[i].targets;
        sums->bytes += scores[i].bytes;
        sums->documents++;
    }
    dpc_free(scores);
    return DPC_OK;
}

static bool
gather_result(void *context, const struct dpc_result_record *record)
{
    struct report *report = context;
    if (record->kind == DPC_TASK_EVALUATE && record->path < report->world->topology->paths_count)
        report->code = add_scores(report, record);
    return report->code == DPC_OK;
}

/* Inner steps of a path since the start, before the piece at `at`. */
static double
steps_before(const struct report *report, uint32_t path, size_t at)
{
    if (at > 0)
        return report->curves[path].x[at - 1];
    return path >= report->dense ? 0 : report->world->experiment->warm_start.steps;
}

/* A path's round stands once per level; the first level's record speaks for all. */
static bool
gather_contribution(void *context, const struct dpc_contribution_record *record)
{
    struct report *report = context;
    const struct dpc_topology *topology = report->world->topology;
    if (record->path >= topology->paths_count ||
        record->module != dpc_topology_module(topology, record->path, 0))
        return true;
    struct curve *curve = &report->curves[record->path];
    struct piece last = curve->count ? curve->pieces[curve->count - 1] : (struct piece){0};
    double before = steps_before(report, record->path, curve->count);
    struct piece piece = {.round = record->round,
                          .end = record->steps,
                          .steps = dpc_contribution_adds(record, last.round, last.end)};
    curve->x = dpc_grow(curve->x, curve->count + 1, sizeof *curve->x);
    curve->y = dpc_grow(curve->y, curve->count + 1, sizeof *curve->y);
    curve->pieces = dpc_grow(curve->pieces, curve->count + 1, sizeof *curve->pieces);
    curve->x[curve->count] = before + piece.steps;
    curve->y[curve->count] = record->loss_last / M_LN2;
    curve->pieces[curve->count++] = piece;
    return true;
}

static bool
gather_path(void *context, const struct dpc_path_record *record)
{
    struct report *report = context;
    if (record->path < report->world->topology->paths_count)
        report->records[record->path] = *record;
    return true;
}

static bool
gather_module(void *context, const struct dpc_module_record *record)
{
    struct report *report = context;
    if (record->module < report->world->topology->modules_count)
        report->modules[record->module] = *record;
    return true;
}

static int
gather(struct report *report)
{
    struct dpc_kv *kv = dpc_store_kv(report->world->store);
    int code = dpc_scan_results(kv, gather_result, report, report->err);
    if (code == DPC_OK)
        code = report->code;
    if (code == DPC_OK)
        code = dpc_scan_contributions(kv, gather_contribution, report, report->err);
    if (code == DPC_OK)
        code = dpc_scan_paths(kv, gather_path, report, report->err);
    if (code == DPC_OK)
        code = dpc_scan_modules(kv, gather_module, report, report->err);
    if (code == DPC_OK)
        code =
            dpc_fork_warm_tokens(kv, report->world->experiment, &report->warm_tokens, report->err);
    if (code == DPC_OK)
        code = dpc_report_routing_load(kv, report->world->topology, &report->routing, report->err);
    if (code == DPC_OK)
        code = dpc_report_best_load(kv, report->world->topology, report->world->experiment,
                                    &report->best, report->err);
    if (code == DPC_OK)
        code = dpc_report_reroute_load(report->world, report->phase, &report->reroute, report->err);
    return code;
}

/* --- Rows: one a model. */

struct row {
    const char *name;
    struct sums sums;
    uint64_t steps, tokens;
    size_t params_path, params_total;
};

static void
add_sums(struct sums *into, const struct sums *from)
{
    into->nll += from->nll;
    into->targets += from->targets;
    into->bytes += from->bytes;
    into->documents += from->documents;
}

/* "-" where nothing was read. */
static const char *
shown(double value, char text[32])
{
    (void)snprintf(text, 32, isfinite(value) ? "%.3f" : "-", value);
    return text;
}

static double
perplexity(const struct sums *sums)
{
    return sums->targets ? exp(sums->nll / (double)sums->targets) : NAN;
}

static double
bits_per_byte(const struct sums *sums)
{
    return sums->bytes ? sums->nll / M_LN2 / (double)sums->bytes : NAN;
}

static struct row
dense_row(const struct report *report)
{
    size_t params = dpc_layout_path_floats(report->world->experiment);
    struct row row = {.name = "dense",
                      .sums = report->paths[report->dense],
                      .steps = report->records[report->dense].steps_done,
                      .params_path = params,
                      .params_total = params};
    for (uint32_t path = report->dense; path < report->world->topology->paths_count; path++)
        row.tokens += report->records[path].tokens_done;
    return row;
}

static size_t
larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t
params_of(const struct report *report, uint32_t path)
{
    return dpc_layout_levels_floats(report->world->experiment,
                                    dpc_topology_path_levels(report->world->topology, path));
}

/* Tokens of the warm start count once: all paths share it. Of paths that differ in length, or in
 * how often they trained, the largest speaks for all. */
static struct row
dipaco_row(const struct report *report)
{
    const struct dpc_topology *topology = report->world->topology;
    const struct dpc_experiment *experiment = report->world->experiment;
    struct row row = {.name = "dipaco"};
    row.tokens = report->warm_tokens;
    for (uint32_t path = 0; path < topology->routed_paths; path++) {
        add_sums(&row.sums, &report->paths[path]);
        row.steps = larger(row.steps, report->records[path].steps_done);
        row.tokens += report->records[path].tokens_done;
        row.params_path = larger(row.params_path, params_of(report, path));
    }
    for (uint32_t module = 0; module < topology->routed_modules; module++)
        row.params_total +=
            dpc_layout_module_floats(experiment, dpc_topology_module_level(topology, module));
    return row;
}

static uint32_t
make_rows(const struct report *report, struct row ret_rows[2])
{
    uint32_t count = 0;
    if (report->world->experiment->baseline.dense)
        ret_rows[count++] = dense_row(report);
    ret_rows[count++] = dipaco_row(report);
    return count;
}

/* --- report.json */

static void
set_sums(struct dpc_json *object, const struct sums *sums)
{
    dpc_json_set_number(object, "ppl", perplexity(sums));
    dpc_json_set_number(object, "bits_per_byte", bits_per_byte(sums));
    dpc_json_set_integer(object, "documents", sums->documents);
    dpc_json_set_integer(object, "targets", (int64_t)sums->targets);
}

static struct dpc_json *
json_rows(const struct report *report)
{
    struct dpc_json *rows = dpc_json_array();
    struct row all[2];
    uint32_t count = make_rows(report, all);
    for (uint32_t i = 0; i < count; i++) {
        struct dpc_json *row = dpc_json_object();
        dpc_json_set_text(row, "name", all[i].name);
        set_sums(row, &all[i].sums);
        dpc_json_set_integer(row, "steps", (int64_t)all[i].steps);
        dpc_json_set_integer(row, "tokens", (int64_t)all[i].tokens);
        dpc_json_set_integer(row, "params_path", (int64_t)all[i].params_path);
        dpc_json_set_integer(row, "params_total", (int64_t)all[i].params_total);
        dpc_json_append(rows, row);
    }
    return rows;
}

static struct dpc_json *
json_curve(const struct curve *curve)
{
    struct dpc_json *points = dpc_json_array();
    for (size_t i = 0; i < curve->count; i++) {
        struct dpc_json *point = dpc_json_array();
        dpc_json_append_number(point, curve->x[i]);
        dpc_json_append_number(point, curve->y[i]);
        dpc_json_append(points, point);
    }
    return points;
}

static struct dpc_json *
json_paths(const struct report *report)
{
    struct dpc_json *paths = dpc_json_array();
    for (uint32_t i = 0; i <= report->dense; i++) { /* replicas of the dense path are no model */
        char name[2 * DPC_NAME_MAX];
        struct dpc_json *path = dpc_json_object();
        dpc_topology_path_name(report->world->topology, i, name, sizeof name);
        dpc_json_set_text(path, "path", name);
        dpc_json_set_integer(path, "params", (int64_t)params_of(report, i));
        dpc_json_set_integer(path, "train_documents", (int64_t)report->records[i].shard_documents);
        dpc_json_set_integer(path, "train_tokens", (int64_t)report->records[i].shard_tokens);
        set_sums(path, &report->paths[i]);
        dpc_json_set(path, "train_bits_per_token", json_curve(&report->curves[i]));
        dpc_report_best_set(report->best, i, path);
        dpc_json_append(paths, path);
    }
    return paths;
}

static struct dpc_json *
json_versions(const struct report *report)
{
    struct dpc_json *versions = dpc_json_array();
    for (uint32_t i = 0; i < report->world->topology->modules_count; i++) {
        char name[2 * DPC_NAME_MAX], hash[DPC_HASH_HEX_MAX];
        struct dpc_json *version = dpc_json_object();
        dpc_topology_module_name(report->world->topology, i, name, sizeof name);
        dpc_hash_hex(&report->modules[i].published, hash, sizeof hash);
        dpc_json_set_text(version, "module", name);
        dpc_json_set_integer(version, "version", report->modules[i].version);
        dpc_json_set_text(version, "hash", hash);
        dpc_json_append(versions, version);
    }
    return versions;
}

static int
write_file(const struct report *report, const char *name, const void *bytes, size_t len)
{
    char path[DPC_PATH_MAX];
    if (dpc_path_join(report->world->report, name, path, sizeof path) != DPC_OK)
        return dpc_error_set(report->err, DPC_ELIMIT, "the name of the report folder is too long");
    return dpc_vfs_write_file(&dpc_vfs_posix, path, bytes, len, report->err);
}

static int
write_documents(const struct report *report)
{
    return write_file(report, "documents.tsv", report->documents.data, report->documents.len);
}

static int
write_routing(const struct report *report)
{
    struct dpc_buf out;
    if (!dpc_report_routing_has_choice(report->routing))
        return DPC_OK;
    dpc_buf_init(&out, 0);
    dpc_report_routing_svg(report->routing, report->world->experiment->name, &out);
    int code = write_file(report, "routing.svg", out.data, out.len);
    dpc_buf_done(&out);
    return code;
}

static int
write_reroute(const struct report *report)
{
    if (!dpc_report_reroute_has_rows(report->reroute))
        return DPC_OK;
    const struct dpc_buf *tsv = dpc_report_reroute_tsv(report->reroute);
    return write_file(report, "reroute.tsv", tsv->data, tsv->len);
}

static int
write_json(const struct report *report)
{
    struct dpc_json *root = dpc_json_object();
    dpc_json_set_integer(root, "format", 1);
    dpc_json_set_text(root, "experiment", report->world->experiment->name);
    int code = dpc_fork_tell_origin(dpc_store_kv(report->world->store), root, report->err);
    dpc_json_set(root, "rows", json_rows(report));
    dpc_json_set(root, "paths", json_paths(report));
    dpc_json_set_integer(root, "bytes_up", (int64_t)report->phase->bytes_up);
    dpc_json_set_integer(root, "bytes_down", (int64_t)report->phase->bytes_down);
    dpc_json_set_integer(root, "seconds", (int64_t)report->phase->seconds);
    dpc_json_set(root, "versions", json_versions(report));
    dpc_json_set(root, "routing", dpc_report_routing_json(report->routing));
    dpc_json_set(root, "reroute", dpc_report_reroute_json(report->reroute));
    char *text = dpc_json_print(root, true);
    if (code == DPC_OK)
        code = write_file(report, "report.json", text, strlen(text));
    dpc_free(text);
    dpc_json_destroy(root);
    return code;
}

/* --- report.md */

static void
markdown_paths(const struct report *report, struct dpc_buf *out)
{
    char name[2 * DPC_NAME_MAX], text[32];
    dpc_buf_printf(out, "| path | train documents | held-out documents | perplexity |");
    dpc_report_best_head(report->best, out);
    dpc_buf_printf(out, "\n|---|---|---|---|");
    dpc_report_best_rule(report->best, out);
    dpc_buf_printf(out, "\n");
    for (uint32_t i = 0; i <= report->dense; i++) { /* replicas of the dense path are no model */
        dpc_topology_path_name(report->world->topology, i, name, sizeof name);
        dpc_buf_printf(out, "| %s | %llu | %u | %s |", name,
                       (unsigned long long)report->records[i].shard_documents,
                       report->paths[i].documents, shown(perplexity(&report->paths[i]), text));
        dpc_report_best_cell(report->best, i, out);
        dpc_buf_printf(out, "\n");
    }
}

static int
write_markdown(const struct report *report)
{
    struct dpc_buf out;
    struct row rows[2];
    char text[32];
    uint32_t count = make_rows(report, rows);
    double against = count > 1 ? perplexity(&rows[0].sums) : NAN;
    dpc_buf_init(&out, 0);
    dpc_buf_printf(&out, "# %s\n\n", report->world->experiment->name);
    dpc_buf_printf(
        &out, "| model | perplexity | against dense | bits per byte | steps | tokens "
              "trained | parameters of a path | in total |\n|---|---|---|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < count; i++) {
        dpc_buf_printf(&out, "| %s | %s | ", rows[i].name, shown(perplexity(&rows[i].sums), text));
        if (i > 0)
            dpc_buf_printf(&out, "%+.1f %%", 100 * (perplexity(&rows[i].sums) / against - 1));
        dpc_buf_printf(&out, " | %s | %llu | %llu | %zu | %zu |\n",
                       shown(bits_per_byte(&rows[i].sums), text), (unsigned long long)rows[i].steps,
                       (unsigned long long)rows[i].tokens, rows[i].params_path,
                       rows[i].params_total);
    }
    dpc_buf_printf(&out,
                   "\nHeld-out documents, the first %u windows of each, the routing prefix left "
                   "out.\n\n![train loss](loss.svg)\n\n",
                   report->world->experiment->evaluation.windows);
    markdown_paths(report, &out);
    if (dpc_report_routing_has_choice(report->routing)) {
        dpc_buf_printf(&out, "\n![routing](routing.svg)\n\n");
        dpc_report_routing_markdown(report->routing, &out);
    }
    if (dpc_report_reroute_has_rows(report->reroute)) {
        dpc_buf_printf(&out, "\n");
        dpc_report_reroute_markdown(report->reroute, &out);
    }
    dpc_buf_printf(&out, "\n%.1f MB went from the workers up, %.1f MB down to them, in %llu s.\n",
                   (double)report->phase->bytes_up / 1e6, (double)report->phase->bytes_down / 1e6,
                   (unsigned long long)report->phase->seconds);
    int code = write_file(report, "report.md", out.data, out.len);
    dpc_buf_done(&out);
    return code;
}

/* --- loss.svg */

/* Grows by steps towards each value, so that the mean of equal ones is that one, bit for bit: axes
 * end at the largest value of all lines. */
struct mean {
    double weight, value;
};

static void
mean_add(struct mean *mean, double weight, double value)
{
    if (!(weight > 0))
        return;
    mean->weight += weight;
    mean->value += (value - mean->value) * (weight / mean->weight);
}

/* The least round of any piece from `next` [routed_paths] on; false behind the last. */
static bool
least_round(const struct report *report, const size_t *next, uint32_t *ret_round)
{
    uint32_t least = 0;
    bool found = false;
    for (uint32_t path = 0; path < report->world->topology->routed_paths; path++) {
        const struct curve *curve = &report->curves[path];
        if (next[path] == curve->count)
            continue;
        uint32_t round = curve->pieces[next[path]].round;
        least = found && least < round ? least : round;
        found = true;
    }
    *ret_round = least;
    return found;
}

/* A path's loss over the pieces of a round, which stand from `*next` on and are passed; no weight
 * where it did not train in it. */
static struct mean
round_loss(const struct curve *curve, uint32_t round, size_t *next)
{
    struct mean loss = {0};
    for (; *next < curve->count && curve->pieces[*next].round == round; (*next)++)
        mean_add(&loss, curve->pieces[*next].steps, curve->y[*next]);
    return loss;
}

/* The mean by documents, round by round: the losses of the routed paths that trained in the round,
 * over the steps of all of them so far, which grow also where each round has other paths. */
static struct curve
mean_curve(const struct report *report)
{
    uint32_t paths = report->world->topology->routed_paths, round;
    size_t *next = dpc_alloc(paths, sizeof *next);
    struct curve mean = {0};
    while (least_round(report, next, &round)) {
        struct mean steps = {0}, loss = {0};
        for (uint32_t path = 0; path < paths; path++) {
            double documents = (double)report->records[path].shard_documents;
            struct mean its = round_loss(&report->curves[path], round, &next[path]);
            mean_add(&steps, documents, steps_before(report, path, next[path]));
            mean_add(&loss, its.weight > 0 ? documents : 0, its.value);
        }
        mean.x = dpc_grow(mean.x, mean.count + 1, sizeof *mean.x);
        mean.y = dpc_grow(mean.y, mean.count + 1, sizeof *mean.y);
        mean.x[mean.count] = steps.value;
        mean.y[mean.count++] = loss.weight > 0 ? loss.value : NAN;
    }
    dpc_free(next);
    return mean;
}

static int
write_svg(const struct report *report)
{
    const struct dpc_topology *topology = report->world->topology;
    enum { PATHS_DRAWN_MAX = 64 }; /* more lines than that are a blot */
    uint32_t drawn = topology->routed_paths < PATHS_DRAWN_MAX ? topology->routed_paths : 0;
    struct dpc_series *series = dpc_alloc(drawn + 2u, sizeof *series);
    struct curve mean = mean_curve(report);
    const struct curve *dense = &report->curves[report->dense];
    size_t count = 0;
    series[count++] = (struct dpc_series){"dense", dense->x, dense->y, dense->count};
    series[count++] = (struct dpc_series){"DiPaCo, mean of paths", mean.x, mean.y, mean.count};
    for (uint32_t path = 0; path < drawn; path++)
        series[count++] = (struct dpc_series){NULL, report->curves[path].x, report->curves[path].y,
                                              report->curves[path].count};
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    dpc_svg_chart(&out, report->world->experiment->name, "inner steps of a path",
                  "train loss, bits per token", series, count);
    int code = write_file(report, "loss.svg", out.data, out.len);
    dpc_buf_done(&out);
    dpc_free(mean.x);
    dpc_free(mean.y);
    dpc_free(series);
    return code;
}

int
dpc_report_write(const struct dpc_world *world, const struct dpc_phase_record *phase,
                 struct dpc_error *err)
{
    const struct dpc_topology *topology = world->topology;
    struct report report = {
        .world = world,
        .phase = phase,
        .dense = dpc_topology_dense_path(topology),
        .paths = dpc_alloc(topology->paths_count, sizeof *report.paths),
        .curves = dpc_alloc(topology->paths_count, sizeof *report.curves),
        .records = dpc_alloc(topology->paths_count, sizeof *report.records),
        .modules = dpc_alloc(topology->modules_count, sizeof *report.modules),
        .err = err,
    };
    dpc_buf_init(&report.documents, 0);
    dpc_buf_printf(&report.documents, "path\tdocument\ttargets\tbytes\tnats\n");
    int code = dpc_vfs_make_folder(&dpc_vfs_posix, world->report, err);
    if (code == DPC_OK)
        code = gather(&report);
    if (code == DPC_OK)
        code = write_markdown(&report);
    if (code == DPC_OK)
        code = write_svg(&report);
    if (code == DPC_OK)
        code = write_routing(&report);
    if (code == DPC_OK)
        code = write_documents(&report);
    if (code == DPC_OK)
        code = write_reroute(&report);
    if (code == DPC_OK)
        code = write_json(&report); /* last: who sees it finds the others */
    for (uint32_t i = 0; i < topology->paths_count; i++) {
        dpc_free(report.curves[i].x);
        dpc_free(report.curves[i].y);
        dpc_free(report.curves[i].pieces);
    }
    dpc_free(report.paths);
    dpc_free(report.curves);
    dpc_free(report.records);
    dpc_free(report.modules);
    dpc_report_routing_destroy(report.routing);
    dpc_report_reroute_destroy(report.reroute);
    dpc_buf_done(&report.documents);
    dpc_report_best_destroy(report.best);
    return code;
}
