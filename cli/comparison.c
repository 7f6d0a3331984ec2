/* SPDX-License-Identifier: Apache-2.0
 * The file is read through tables of keys, as an experiment is; a row's keys are laid over the base
 * only when its runs are made, once for each seed. */
#include "cli/comparison.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/keys.h"
#include "base/vfs.h"
#include "cli/comparison_names.h"

/* --- Keys. */

#define ROW_FIELD(member)                                                                          \
    .offset = offsetof(struct dpc_comparison_row, member),                                         \
    .size = sizeof(((struct dpc_comparison_row *)NULL)->member)
#define FIELD(member)                                                                              \
    .offset = offsetof(struct dpc_comparison, member),                                             \
    .size = sizeof(((struct dpc_comparison *)NULL)->member)

static const char set_needed[] = "a map of keys of an experiment";

/* What the keys mean is looked at with the base at hand. */
static int
read_set(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, const char *path,
         void *target, struct dpc_error *err)
{
    if (dpc_yaml_kind(node) != DPC_YAML_MAP)
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL, "needs %s", set_needed);
    ((struct dpc_comparison_row *)target)->set = node;
    return DPC_OK;
}

static const struct dpc_choice measures[] = {
    {.name = "dipaco", .value = DPC_MEASURE_DIPACO},
    {.name = "dense", .value = DPC_MEASURE_DENSE},
    {.name = NULL},
};

static const struct dpc_key row_rows[] = {
    {.path = "name",
     .type = DPC_KEY_NAME,
     ROW_FIELD(name),
     .required = true,
     .doc = "Name of the row"},
    {.path = "title", .type = DPC_KEY_TEXT, ROW_FIELD(title), .doc = "What people read instead"},
    {.path = "measure",
     .type = DPC_KEY_ENUM,
     ROW_FIELD(measure),
     .fallback = "dipaco",
     .choices = measures,
     .doc = "The routed model, or the dense one that is trained beside it"},
    {.path = "every",
     .type = DPC_KEY_UINT,
     ROW_FIELD(every),
     .fallback = "0",
     .range = {.min = 0, .max = DPC_CONTEXT_MAX},
     .unit = "tokens",
     .doc = "The routed model with a new route after so many tokens, one of its reroute.every; 0: "
            "routed once"},
    {.path = "against",
     .type = DPC_KEY_NAME,
     ROW_FIELD(against),
     .doc = "Row that this one's step is measured from; default: the one before"},
    {.path = "tokens_of",
     .type = DPC_KEY_NAME,
     ROW_FIELD(tokens_of),
     .doc = "Train so many rounds that all paths together read as many tokens as that row's"},
    {.path = "set",
     .type = DPC_KEY_CUSTOM,
     .offset = DPC_KEY_NO_FIELD,
     .custom = {.needed = set_needed, .read = read_set},
     .doc = "Keys of the experiment in place of the base's"},
};
static const struct dpc_keys row_keys = {row_rows, sizeof row_rows / sizeof *row_rows};

static const char seeds_needed[] = "a list of whole numbers, such as [1, 2]";

static int
read_seeds(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, const char *path,
           void *target, struct dpc_error *err)
{
    static const struct dpc_range range = {.min = 0, .max = 0x1p53};
    struct dpc_comparison *comparison = target;
    size_t count = dpc_yaml_count(node);
    if (dpc_yaml_kind(node) != DPC_YAML_LIST || count == 0 || count > DPC_COMPARISON_SEEDS_MAX)
        return dpc_keys_error_at(yaml, node, path, err, DPC_EINVAL, "needs %s: 1 to %d of them",
                                 seeds_needed, DPC_COMPARISON_SEEDS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct dpc_yaml_node *seed = dpc_yaml_at(yaml, node, i);
        int code = dpc_keys_read_uint(seed, &range, &comparison->seeds[i]);
        if (code != DPC_OK)
            return dpc_keys_error_at(yaml, seed, path, err, code, "needs %s", seeds_needed);
        for (size_t before = 0; before < i; before++) {
            if (comparison->seeds[before] == comparison->seeds[i])
                return dpc_keys_error_at(yaml, seed, path, err, DPC_EINVAL,
                                         "has one seed twice: it would be no second witness");
        }
    }
    comparison->seeds_count = (uint32_t)count;
    return DPC_OK;
}

static const struct dpc_key rows[] = {
    {.path = "comparison",
     .type = DPC_KEY_NAME,
     FIELD(name),
     .required = true,
     .doc = "Name of the comparison"},
    {.path = "base",
     .type = DPC_KEY_PATH,
     FIELD(base),
     .required = true,
     .doc = "Experiment file whose keys the rows share, from the folder of this file"},
    {.path = "seeds",
     .type = DPC_KEY_CUSTOM,
     .offset = DPC_KEY_NO_FIELD,
     .custom = {.needed = seeds_needed, .read = read_seeds},
     .doc = "Seeds that every row is trained with"},
    {.path = "rows",
     .type = DPC_KEY_LIST,
     FIELD(rows),
     .required = true,
     .list = {.keys = &row_keys,
              .item_size = sizeof(struct dpc_comparison_row),
              .count_offset = offsetof(struct dpc_comparison, rows_count),
              .count_max = DPC_COMPARISON_ROWS_MAX},
     .doc = "What is compared"},
};
static const struct dpc_keys keys = {rows, sizeof rows / sizeof *rows};

/* --- Rules between rows. */

int
dpc_comparison_find(const struct dpc_comparison *comparison, const char *name)
{
    for (uint32_t i = 0; i < comparison->rows_count; i++) {
        if (strcmp(comparison->rows[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static int __attribute__((format(printf, 5, 6)))
row_error(const struct dpc_comparison *comparison, uint32_t row, const char *key,
          struct dpc_error *err, const char *format, ...)
{
    char path[DPC_NAME_MAX], text[DPC_ERROR_TEXT_MAX / 2];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)snprintf(path, sizeof path, "rows[%u].%s", row, key);
    return dpc_keys_error(comparison->yaml, path, err, DPC_EINVAL, "%s", text);
}

static bool
sets(const struct dpc_comparison *comparison, const struct dpc_comparison_row *row, const char *key)
{
    for (size_t i = 0; row->set && i < dpc_yaml_count(row->set); i++) {
        const char *text = dpc_yaml_text(dpc_yaml_key_at(comparison->yaml, row->set, i));
        if (text && strcmp(text, key) == 0)
            return true;
    }
    return false;
}

static int
check_row(const struct dpc_comparison *comparison, uint32_t index, struct dpc_error *err)
{
    const struct dpc_comparison_row *row = &comparison->rows[index];
    if (comparison->seeds_count && sets(comparison, row, "seed"))
        return row_error(comparison, index, "set.seed", err,
                         "has no effect, since every row is trained with each of \"seeds\": leave "
                         "one of the two out");
    int before = dpc_comparison_find(comparison, row->name);
    if (before < (int)index)
        return row_error(comparison, index, "name", err,
                         "is %s, as that of rows[%d]: each row needs its own", row->name, before);
    int against = dpc_comparison_find(comparison, row->against);
    if (*row->against && (against < 0 || against >= (int)index))
        return row_error(comparison, index, "against", err,
                         "is %s, and no row before this one has that name", row->against);
    if (row->every && row->measure == DPC_MEASURE_DENSE)
        return row_error(comparison, index, "every", err,
                         "is %u, and a dense model has no routes: leave one of the two out",
                         row->every);
    int tokens_of = dpc_comparison_find(comparison, row->tokens_of);
    if (*row->tokens_of && (tokens_of < 0 || *comparison->rows[tokens_of].tokens_of))
        return row_error(comparison, index, "tokens_of", err,
                         "is %s: name a row that has no tokens_of itself", row->tokens_of);
    if (*row->tokens_of && row->measure == DPC_MEASURE_DENSE)
        return row_error(comparison, index, "tokens_of", err,
                         "counts tokens of routed paths, and the row measures the dense model: "
                         "write a level of one module with outer: {lr: 1, momentum: 0}, which is a "
                         "dense model too");
    return DPC_OK;
}

static int
check_rows(struct dpc_comparison *comparison, struct dpc_error *err)
{
    int code = DPC_OK;
    for (uint32_t i = 0; code == DPC_OK && i < comparison->rows_count; i++) {
        struct dpc_comparison_row *row = &comparison->rows[i];
        code = check_row(comparison, i, err);
        if (!*row->title)
            memcpy(row->title, row->name, sizeof row->name);
        if (!*row->against && i > 0)
            memcpy(row->against, comparison->rows[i - 1].name, sizeof row->against);
    }
    return code;
}

/* --- Loading. */

static int
read_file(struct dpc_comparison *comparison, struct dpc_error *err)
{
    uint8_t *text;
    size_t len;
    int code =
        dpc_vfs_read_file(&dpc_vfs_posix, comparison->file, DPC_CONFIG_BYTES_MAX, &text, &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_yaml_parse(comparison->file, (const char *)text, len, &comparison->yaml, err);
    dpc_free(text);
    if (code == DPC_OK)
        code = dpc_keys_read(&keys, comparison->yaml, comparison, err);
    return code == DPC_OK ? check_rows(comparison, err) : code;
}

int
dpc_comparison_load(const char *file, struct dpc_comparison **ret_comparison, struct dpc_error *err)
{
    struct dpc_comparison *comparison = dpc_alloc(1, sizeof *comparison);
    int code = DPC_OK;
    if (strlen(file) >= sizeof comparison->file)
        code = dpc_error_set(err, DPC_ELIMIT, "the path \"%.200s\" is too long", file);
    if (code == DPC_OK) {
        (void)snprintf(comparison->file, sizeof comparison->file, "%s", file);
        code = read_file(comparison, err);
    }
    if (code != DPC_OK) {
        dpc_comparison_destroy(comparison);
        return code;
    }
    *ret_comparison = comparison;
    return DPC_OK;
}

struct dpc_comparison *
dpc_comparison_destroy(struct dpc_comparison *comparison)
{
    if (comparison)
        dpc_yaml_destroy(comparison->yaml);
    return dpc_free(comparison);
}

/* --- Runs. */

struct making {
    const struct dpc_comparison *comparison;
    char base[DPC_PATH_MAX];
    struct dpc_comparison_runs *runs;
    struct dpc_error *err;
};

static double
tokens_a_step(const struct dpc_experiment *experiment)
{
    return (double)experiment->inner.batch * experiment->model.context;
}

/* A run lies in another folder than the base: what it reads gets a name that holds everywhere. */
static int
find_folder(const struct making *making, const char *what, const char *way_out,
            char name[DPC_PATH_MAX])
{
    char folder[DPC_PATH_MAX], found[DPC_PATH_MAX], absolute[PATH_MAX];
    dpc_path_folder(making->base, folder, sizeof folder);
    int code = dpc_path_join(folder, name, found, sizeof found);
    if (code == DPC_OK && !realpath(found, absolute))
        return dpc_error_set_errno(making->err, errno, "could not find the %s \"%.200s\" (%s)",
                                   what, found, way_out);
    if (code != DPC_OK || strlen(absolute) >= DPC_PATH_MAX)
        return dpc_error_set(making->err, DPC_ELIMIT, "the path of the %s \"%.200s\" is too long",
                             what, name);
    (void)snprintf(name, DPC_PATH_MAX, "%s", absolute);
    return DPC_OK;
}

static int
find_inputs(const struct making *making, struct dpc_experiment *experiment)
{
    int code = find_folder(making, "corpus", "make one with dipaco data import SRC... --out DIR",
                           experiment->data.corpus);
    if (code == DPC_OK && dpc_experiment_imports(experiment))
        code =
            find_folder(making, "model", "warm_start.from names it", experiment->warm_start.from);
    return code;
}

/* What was changed behind the back of the file's check is checked again. */
static int
check_again(struct dpc_experiment *experiment, const char *name, struct dpc_error *err)
{
    struct dpc_buf yaml;
    dpc_buf_init(&yaml, DPC_CONFIG_BYTES_MAX);
    dpc_experiment_print(experiment, &yaml);
    int code = dpc_experiment_parse(name, (const char *)yaml.data, yaml.len, experiment, err);
    dpc_buf_done(&yaml);
    return code;
}

/* A route that the row measures must be one that its experiment evaluates. */
static int
check_every(const struct making *making, uint32_t index, const struct dpc_experiment *experiment)
{
    uint32_t every = making->comparison->rows[index].every;
    bool found = every == 0;
    for (uint32_t i = 0; i < experiment->reroute.every_count; i++)
        found |= experiment->reroute.every[i] == every;
    return found ? DPC_OK
                 : row_error(making->comparison, index, "every", making->err,
                             "is %u, which is none of reroute.every of its experiment: write it "
                             "there",
                             every);
}

/* The row's experiment but for rounds that follow from another row, of the base's seed. */
static int
read_row(const struct making *making, uint32_t index, struct dpc_experiment *ret_experiment)
{
    const struct dpc_comparison_row *row = &making->comparison->rows[index];
    char prefix[DPC_NAME_MAX];
    (void)snprintf(prefix, sizeof prefix, "rows[%u].set.", index);
    int code = dpc_experiment_load_with(making->base, making->comparison->yaml, row->set, prefix,
                                        ret_experiment, making->err);
    if (code == DPC_OK)
        code = find_inputs(making, ret_experiment);
    if (code == DPC_OK)
        ret_experiment->baseline.dense = row->measure == DPC_MEASURE_DENSE;
    return code == DPC_OK ? check_every(making, index, ret_experiment) : code;
}

/* That the model which the row measures reads. */
static double
tokens_of_row(const struct dpc_comparison_row *row, const struct dpc_experiment *experiment)
{
    double rounds = (double)experiment->outer.rounds * experiment->inner.steps;
    double steps = row->measure == DPC_MEASURE_DENSE
                       ? (double)dpc_experiment_warm_steps(experiment) + rounds
                       : dpc_experiment_steps_in_all(experiment);
    return steps * tokens_a_step(experiment);
}

static int
make_experiment(const struct making *making, uint32_t index, struct dpc_experiment *ret_experiment)
{
    const struct dpc_comparison_row *row = &making->comparison->rows[index];
    int code = read_row(making, index, ret_experiment);
    if (code != DPC_OK || !*row->tokens_of)
        return code;
    struct dpc_experiment *other = dpc_alloc(1, sizeof *other);
    uint32_t asked = (uint32_t)dpc_comparison_find(making->comparison, row->tokens_of);
    code = read_row(making, asked, other);
    if (code == DPC_OK) {
        double tokens = tokens_of_row(&making->comparison->rows[asked], other);
        double steps = tokens / tokens_a_step(ret_experiment);
        double warm = (double)dpc_experiment_warm_steps(ret_experiment);
        double all = dpc_experiment_steps_in_all(ret_experiment) - warm;
        double rounds = (steps - warm) / (all / ret_experiment->outer.rounds);
        /* What is too many is refused below. */
        ret_experiment->outer.rounds =
            (uint32_t)fmin(fmax(1, floor(rounds + 0.5)), (double)DPC_ROUNDS_MAX + 1);
        code = check_again(ret_experiment, row->name, making->err);
    }
    dpc_free(other);
    return code;
}

/* The run for a row's experiment: one that is there already, or a new one at the end. */
static uint32_t
place_run(struct dpc_comparison_runs *runs, const char *row,
          const struct dpc_experiment *experiment)
{
    struct dpc_hash content;
    dpc_comparison_content(experiment, &content);
    uint32_t index = 0;
    while (index < runs->count && !dpc_hash_equal(&runs->runs[index].content, &content))
        index++;
    if (index < runs->count) {
        runs->runs[index].experiment.baseline.dense |= experiment->baseline.dense;
        return index;
    }
    runs->runs = dpc_grow(runs->runs, ++runs->count, sizeof *runs->runs);
    struct dpc_comparison_run *run = &runs->runs[index];
    *run = (struct dpc_comparison_run){.content = content, .experiment = *experiment};
    (void)snprintf(run->experiment.name, sizeof run->experiment.name, "%s", row);
    return index;
}

static int
make_row_runs(const struct making *making, uint32_t row, struct dpc_experiment *experiment)
{
    const struct dpc_comparison *comparison = making->comparison;
    int code = make_experiment(making, row, experiment);
    if (code != DPC_OK)
        return dpc_error_prefix(making->err, code, "row \"%s\"", comparison->rows[row].name);
    for (uint32_t i = 0; i < comparison->seeds_count || i == 0; i++) {
        if (comparison->seeds_count)
            experiment->seed = comparison->seeds[i];
        making->runs->of[row][i] = place_run(making->runs, comparison->rows[row].name, experiment);
    }
    return DPC_OK;
}

int
dpc_comparison_make_runs(const struct dpc_comparison *comparison,
                         struct dpc_comparison_runs *ret_runs, struct dpc_error *err)
{
    struct making making = {.comparison = comparison, .runs = ret_runs, .err = err};
    struct dpc_experiment *experiment = dpc_alloc(1, sizeof *experiment);
    char folder[DPC_PATH_MAX];
    *ret_runs = (struct dpc_comparison_runs){.count = 0};
    dpc_path_folder(comparison->file, folder, sizeof folder);
    int code = dpc_path_join(folder, comparison->base, making.base, sizeof making.base);
    if (code != DPC_OK)
        code = dpc_error_set(err, code, "the path of the base \"%.200s\" is too long",
                             comparison->base);
    for (uint32_t row = 0; code == DPC_OK && row < comparison->rows_count; row++)
        code = make_row_runs(&making, row, experiment);
    for (uint32_t i = 0; code == DPC_OK && i < ret_runs->count; i++)
        code = dpc_comparison_name_run(&ret_runs->runs[i], err);
    if (code != DPC_OK)
        dpc_comparison_runs_done(ret_runs);
    dpc_free(experiment);
    return code;
}

void
dpc_comparison_runs_done(struct dpc_comparison_runs *runs)
{
    dpc_free(runs->runs);
    *runs = (struct dpc_comparison_runs){.count = 0};
}
