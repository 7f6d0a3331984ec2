/* SPDX-License-Identifier: Apache-2.0
 * The rules between keys, over the table of base/experiment_keys.c. A rule names the key that
 * breaks it as a row does, with its line. */
#include "base/experiment.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/experiment_keys.h"
#include "base/experiment_paths.h"
#include "base/experiment_reroute.h"
#include "base/layout.h"
#include "base/path_state.h"
#include "base/tensor_blob.h"
#include "base/topology.h"
#include "base/vfs.h"

enum { BYTES_VOCAB = 256, FFN_MULTIPLE = 8 };

/* --- Rules between keys. */

static int
check_tokenizer(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
                struct dpc_error *err)
{
    bool bytes = experiment->data.tokenizer == DPC_TOKENIZER_BYTES;
    if (bytes && experiment->model.vocab != BYTES_VOCAB)
        return dpc_keys_error(yaml, "data.tokenizer.vocab", err, DPC_EINVAL,
                              "is %u, and there are %d bytes: leave it out, or write kind: "
                              "sentencepiece",
                              experiment->model.vocab, BYTES_VOCAB);
    if (experiment->model.vocab == 0)
        return dpc_keys_error(yaml, "data.tokenizer.kind", err, DPC_EINVAL,
                              "is sentencepiece, which needs the size of the corpus's vocabulary "
                              "beside it: vocab, as \"dipaco data info\" tells it");
    return DPC_OK;
}

static int
check_model(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
            struct dpc_error *err)
{
    uint32_t dim = experiment->model.dim, heads = experiment->model.heads;
    if (dim % heads)
        return dpc_keys_error(yaml, "model.heads", err, DPC_EINVAL,
                              "is %u, which does not divide model.dim, %u", heads, dim);
    if (dim / heads % 2)
        return dpc_keys_error(yaml, "model.heads", err, DPC_EINVAL,
                              "is %u, which makes heads of %u floats: the size must be even", heads,
                              dim / heads);
    if (heads % dpc_experiment_kv_heads(experiment))
        return dpc_keys_error(yaml, "model.kv_heads", err, DPC_EINVAL,
                              "is %u, which does not divide model.heads, %u",
                              experiment->model.kv_heads, heads);
    if (experiment->routing.prefix >= experiment->model.context)
        return dpc_keys_error(yaml, "routing.prefix", err, DPC_EINVAL,
                              "is %u: it must be less than model.context, %u",
                              experiment->routing.prefix, experiment->model.context);
    return DPC_OK;
}

static int
check_shares(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
             struct dpc_error *err)
{
    double held_out = experiment->data.test + experiment->data.early_stop + experiment->data.router;
    if (held_out < 1)
        return DPC_OK;
    return dpc_keys_error(yaml, "data", err, DPC_EINVAL,
                          "leaves nothing to train on: test + early_stop + router is %g and must "
                          "be below 1",
                          held_out);
}

static int
check_steps(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
            struct dpc_error *err)
{
    uint64_t steps =
        experiment->warm_start.steps + (uint64_t)experiment->outer.rounds * experiment->inner.steps;
    if (steps <= DPC_STEPS_TOTAL_MAX)
        return DPC_OK;
    return dpc_keys_error(yaml, "outer.rounds", err, DPC_ELIMIT,
                          "makes %llu steps with warm_start.steps and inner.steps: at most %d are "
                          "possible",
                          (unsigned long long)steps, DPC_STEPS_TOTAL_MAX);
}

static int
check_warm_start(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
                 struct dpc_error *err)
{
    bool asks_model = experiment->routing.features != DPC_FEATURES_NGRAMS &&
                      experiment->routing.init != DPC_ROUTING_HASH;
    if (experiment->warm_start.steps || dpc_experiment_imports(experiment) || !asks_model)
        return DPC_OK;
    return dpc_keys_error(yaml, "warm_start.steps", err, DPC_EINVAL,
                          "is 0, and features of random weights route nothing: raise it, name a "
                          "model in warm_start.from, or write routing.features: ngrams");
}

static int
check_mode(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
           struct dpc_error *err)
{
    if (experiment->mode == DPC_MODE_ELASTIC)
        return DPC_OK;
    if (experiment->transfer.path_state == DPC_STATE_LOCAL)
        return dpc_keys_error(yaml, "transfer.path_state", err, DPC_EINVAL,
                              "is local, and strict mode trains to the same bits whoever trains: "
                              "choose ship or reset, or mode: elastic");
    if (experiment->outer.quorum == 1)
        return DPC_OK;
    return dpc_keys_error(yaml, "outer.quorum", err, DPC_EINVAL,
                          "is %g, and strict mode waits for all paths: leave it out, or choose "
                          "mode: elastic",
                          experiment->outer.quorum);
}

/* An error about one key of one level. */
static int __attribute__((format(printf, 5, 6)))
level_error(const struct dpc_yaml *yaml, uint32_t level, const char *key, struct dpc_error *err,
            const char *format, ...)
{
    char path[DPC_NAME_MAX], text[DPC_ERROR_TEXT_MAX / 2];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)snprintf(path, sizeof path, "levels[%u].%s", level, key);
    return dpc_keys_error(yaml, path, err, DPC_EINVAL, "%s", text);
}

static int
check_level_name(const struct dpc_experiment *experiment, uint32_t index,
                 const struct dpc_yaml *yaml, struct dpc_error *err)
{
    const char *name = experiment->levels[index].name;
    if (strcmp(name, "dense") == 0)
        return level_error(yaml, index, "name", err,
                           "is dense, which names the dense path: choose another");
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(experiment->levels[i].name, name) == 0)
            return level_error(yaml, index, "name", err,
                               "is %s, as that of levels[%u]: each level needs "
                               "its own",
                               name, i);
    }
    return DPC_OK;
}

static int
check_level_parts(const struct dpc_experiment *experiment, uint32_t index,
                  const struct dpc_yaml *yaml, struct dpc_error *err)
{
    const struct dpc_level *level = &experiment->levels[index];
    bool first = index == 0, last = index + 1 == experiment->levels_count;
    if (first && !level->embedding)
        return level_error(yaml, index, "parts", err,
                           "must begin with the embedding in the first level");
    if (!first && level->embedding)
        return level_error(yaml, index, "parts", err, "has an embedding: only the first level may");
    if (last && !level->head)
        return level_error(yaml, index, "parts", err, "must end with the head in the last level");
    if (!last && level->head)
        return level_error(yaml, index, "parts", err, "has a head: only the last level may");
    if (level->identity && (first || last))
        return level_error(yaml, index, "identity", err,
                           "is true, and no path can do without the %s: leave it out, or put the "
                           "%s into a level of its own",
                           first ? "embedding" : "head", first ? "embedding" : "head");
    if (level->identity && level->own)
        return level_error(yaml, index, "identity", err,
                           "is true beside modules: path, which gives every path a module: write a "
                           "number of modules");
    return DPC_OK;
}

static int
check_levels(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
             struct dpc_error *err)
{
    uint64_t blocks = 0;
    uint32_t own = 0;
    for (uint32_t i = 0; i < experiment->levels_count; i++) {
        int code = check_level_name(experiment, i, yaml, err);
        if (code == DPC_OK)
            code = check_level_parts(experiment, i, yaml, err);
        if (code != DPC_OK)
            return code;
        blocks += experiment->levels[i].blocks;
        own += experiment->levels[i].own;
    }
    if (own == experiment->levels_count)
        return dpc_keys_error(
            yaml, "levels", err, DPC_EINVAL,
            "all have modules: path, and none says how many paths there are: write "
            "a number at one of them");
    if (blocks == 0)
        return dpc_keys_error(yaml, "levels", err, DPC_EINVAL, "have no blocks: one is the least");
    return dpc_experiment_check_paths(experiment, yaml, err);
}

static int
check_topology(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
               struct dpc_error *err)
{
    struct dpc_topology topology;
    struct dpc_error reason;
    if (dpc_topology_init(&topology, experiment, &reason) != DPC_OK)
        return dpc_keys_error(yaml, "levels", err, reason.code, "is too large: %s", reason.text);
    dpc_topology_done(&topology);
    return DPC_OK;
}

/* What a path trains for a whole lease would else be too large to be handed in. A state is put
 * together as it is, whatever form it travels in. */
static int
check_blobs(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
            struct dpc_error *err)
{
    bool keeps = experiment->transfer.path_state != DPC_STATE_RESET;
    size_t floats = keeps ? dpc_layout_path_floats(experiment) : 0;
    uint64_t bytes = keeps ? dpc_path_state_bytes(floats) : 0;
    for (uint32_t level = 0; !keeps && level < experiment->levels_count; level++) {
        size_t its = dpc_layout_module_floats(experiment, level);
        floats = its > floats ? its : floats;
        bytes = dpc_tensor_blob_bytes(floats);
    }
    if (bytes <= DPC_BLOB_BYTES_MAX)
        return DPC_OK;
    return dpc_keys_error(yaml, "levels", err, DPC_ELIMIT,
                          "make %s of %zu parameters, %s: at most %zu bytes are one blob; make the "
                          "model smaller%s",
                          keeps ? "paths" : "a module", floats,
                          keeps ? "whose optimizer states take 8 bytes for each"
                                : "which takes 4 bytes for each",
                          DPC_BLOB_BYTES_MAX, keeps ? ", or write transfer.path_state: reset" : "");
}

/* Metadata and hashes give each document one path and do not rank the others. */
static int
check_ranking(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
              struct dpc_error *err)
{
    enum dpc_routing_init init = experiment->routing.init;
    if (init != DPC_ROUTING_METADATA && init != DPC_ROUTING_HASH)
        return DPC_OK;
    const char *word = init == DPC_ROUTING_METADATA ? "metadata" : "hash";
    if (experiment->routing.balance != DPC_BALANCE_NONE)
        return dpc_keys_error(
            yaml, "routing.balance", err, DPC_EINVAL,
            "is capacity, which init: %s cannot keep to, since it knows no second "
            "choice: write none, or init: kmeans",
            word);
    if (experiment->routing.overlap > 1)
        return dpc_keys_error(
            yaml, "routing.overlap", err, DPC_EINVAL,
            "is %u, and init: %s knows no second choice: write 1, or init: kmeans",
            experiment->routing.overlap, word);
    return DPC_OK;
}

/* There must be rounds before each phase and behind the last, and documents to score. */
static int
check_phases(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
             struct dpc_error *err)
{
    uint32_t phases = experiment->routing.phases, rounds = dpc_experiment_phase_rounds(experiment);
    if (phases == 0)
        return DPC_OK;
    if (experiment->outer.rounds < phases + 1)
        return dpc_keys_error(yaml, "routing.phases", err, DPC_EINVAL,
                              "is %u, and outer.rounds, %u, leaves fewer than %u parts to train "
                              "between them: give more rounds, or lower it",
                              phases, experiment->outer.rounds, phases + 1);
    if ((uint64_t)rounds * phases >= experiment->outer.rounds)
        return dpc_keys_error(yaml, "routing.phases", err, DPC_EINVAL,
                              "is %u, each after %u rounds, which leaves none of the %u of "
                              "outer.rounds behind the last: give more rounds, or lower it or "
                              "routing.phase_rounds",
                              phases, rounds, experiment->outer.rounds);
    if (experiment->data.router <= 0)
        return dpc_keys_error(yaml, "data.router", err, DPC_EINVAL,
                              "is 0, and routing.phases: %u scores the documents of that split: "
                              "raise it, to 0.04 for example",
                              phases);
    return DPC_OK;
}

/* That a path has at a level: a module, or none where there is an identity. */
static uint32_t
choices_of(const struct dpc_level *level)
{
    return level->own ? 1 : level->modules + level->identity;
}

/* What belongs to phases does nothing without them. */
static int
check_without_phases(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
                     struct dpc_error *err)
{
    const struct {
        const char *key;
        uint32_t value;
    } of_phases[] = {{"routing.phase_rounds", experiment->routing.phase_rounds},
                     {"routing.score_documents", experiment->routing.score_documents},
                     {"routing.score_paths", experiment->routing.score_paths},
                     {"routing.score_windows", experiment->routing.score_windows}};
    for (size_t i = 0; i < sizeof of_phases / sizeof *of_phases; i++) {
        if (of_phases[i].value && experiment->routing.phases == 0)
            return dpc_keys_error(yaml, of_phases[i].key, err, DPC_EINVAL,
                                  "is %u, and with routing.phases: 0 nothing is scored: write 0, "
                                  "or give it phases",
                                  of_phases[i].value);
    }
    return DPC_OK;
}

/* Whoever chooses needs two to choose from. */
static int
check_score_paths(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
                  struct dpc_error *err)
{
    uint32_t count = experiment->routing.score_paths, paths = dpc_experiment_paths(experiment);
    if (count == 0)
        return DPC_OK;
    if (count == 1)
        return dpc_keys_error(yaml, "routing.score_paths", err, DPC_EINVAL,
                              "is 1, which leaves no choice between paths: write 2 or more, or 0 "
                              "for all");
    if (count > paths)
        return dpc_keys_error(yaml, "routing.score_paths", err, DPC_EINVAL,
                              "is %u, and there are %u paths: it may be as many", count, paths);
    return DPC_OK;
}

/* Paths of the same modules have the same losses, so that no classifier can tell them apart. */
static int
check_replicas(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
               struct dpc_error *err)
{
    bool apart = false;
    for (uint32_t i = 0; i < experiment->levels_count; i++)
        apart |= experiment->levels[i].own;
    if (experiment->routing.phases == 0 || apart || !dpc_experiment_has_replicas(experiment))
        return DPC_OK;
    return dpc_keys_error(
        yaml, "routing.phases", err, DPC_EINVAL,
        "is %u, and replicas score all documents alike: write 0, or give each path "
        "something of its own with modules: path",
        experiment->routing.phases);
}

static int
check_routing(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
              struct dpc_error *err)
{
    uint32_t paths = dpc_experiment_paths(experiment), choosing = 0;
    for (uint32_t i = 0; i < experiment->levels_count; i++)
        choosing += choices_of(&experiment->levels[i]) > 1;
    if (experiment->routing.init == DPC_ROUTING_PRODUCT && choosing < 2)
        return dpc_keys_error(yaml, "routing.init", err, DPC_EINVAL,
                              "is product, which clusters once a level of several modules, and "
                              "there %s: write kmeans, or give more levels several modules",
                              choosing ? "is one" : "is none");
    if (experiment->routing.init == DPC_ROUTING_PRODUCT &&
        (experiment->listed_count || dpc_experiment_replicas(experiment) > 1))
        return dpc_keys_error(yaml, "routing.init", err, DPC_EINVAL,
                              "is product, which makes one path of every combination of modules, "
                              "and paths or replicas say others: write kmeans, or leave them out");
    if (dpc_experiment_feature_dim(experiment) < experiment->levels_count)
        return dpc_keys_error(yaml, "model.dim", err, DPC_EINVAL, "is %u, less than the %u levels",
                              experiment->model.dim, experiment->levels_count);
    if (experiment->routing.features == DPC_FEATURES_WHITENED &&
        experiment->model.dim > DPC_WHITEN_DIM_MAX)
        return dpc_keys_error(yaml, "routing.features", err, DPC_EINVAL,
                              "is whitened, which takes a matrix of model.dim squared, and that is "
                              "%u: write standard, or a model.dim of at most %d",
                              experiment->model.dim, DPC_WHITEN_DIM_MAX);
    if (experiment->routing.overlap > paths)
        return dpc_keys_error(yaml, "routing.overlap", err, DPC_EINVAL,
                              "is %u, and there are %u paths: it may be as many",
                              experiment->routing.overlap, paths);
    return check_ranking(experiment, yaml, err);
}

static int
check_early_stopping(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml,
                     struct dpc_error *err)
{
    if (!experiment->early_stopping || experiment->data.early_stop > 0)
        return DPC_OK;
    return dpc_keys_error(yaml, "data.early_stop", err, DPC_EINVAL,
                          "is 0, and early_stopping chooses each path's best round by the "
                          "documents of that split: raise it, to 0.02 for example, or leave "
                          "early_stopping out");
}

static int
check(const struct dpc_experiment *experiment, const struct dpc_yaml *yaml, struct dpc_error *err)
{
    static int (*const rules[])(const struct dpc_experiment *, const struct dpc_yaml *,
                                struct dpc_error *) = {
        check_tokenizer,      check_model,
        check_shares,         check_steps,
        check_warm_start,     check_mode,
        check_levels,         check_topology,
        check_blobs,          check_routing,
        check_replicas,       check_phases,
        check_without_phases, check_score_paths,
        check_early_stopping, dpc_experiment_check_reroute};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        int code = rules[i](experiment, yaml, err);
        if (code != DPC_OK)
            return code;
    }
    return DPC_OK;
}

/* Values that follow from others. */
static void
complete(struct dpc_experiment *experiment)
{
    if (experiment->data.tokenizer == DPC_TOKENIZER_BYTES && experiment->model.vocab == 0)
        experiment->model.vocab = BYTES_VOCAB;
    for (uint32_t i = 0; i < experiment->levels_count; i++) {
        if (experiment->levels[i].own)
            experiment->levels[i].modules = dpc_experiment_paths(experiment);
    }
    experiment->model.kv_heads = dpc_experiment_kv_heads(experiment);
    if (experiment->model.ffn == 0) {
        uint32_t ffn = (8 * experiment->model.dim + 2) / 3;
        experiment->model.ffn = (ffn + FFN_MULTIPLE - 1) / FFN_MULTIPLE * FFN_MULTIPLE;
    }
}

/* --- The header's functions. */

/* Of modules; more than DPC_PATHS_MAX are not counted to the end. */
static uint64_t
combinations(const struct dpc_experiment *experiment)
{
    uint64_t count = 1;
    if (experiment->listed_count)
        return experiment->listed_count;
    for (uint32_t i = 0; i < experiment->levels_count && count <= DPC_PATHS_MAX; i++)
        count *= choices_of(&experiment->levels[i]);
    return count;
}

uint32_t
dpc_experiment_paths(const struct dpc_experiment *experiment)
{
    uint64_t paths = combinations(experiment) * dpc_experiment_replicas(experiment);
    return paths <= DPC_PATHS_MAX ? (uint32_t)paths : DPC_PATHS_MAX + 1;
}

bool
dpc_experiment_imports(const struct dpc_experiment *experiment)
{
    const char *from = experiment->warm_start.from;
    return *from && strcmp(from, "none") != 0;
}

void
dpc_experiment_take_levels(const struct dpc_experiment *experiment, uint32_t levels,
                           struct dpc_experiment *ret_experiment)
{
    memcpy(ret_experiment, experiment, sizeof *experiment);
    ret_experiment->levels_count = ret_experiment->listed_count = 0;
    for (uint32_t i = 0; i < experiment->levels_count; i++) {
        if (levels >> i & 1)
            ret_experiment->levels[ret_experiment->levels_count++] = experiment->levels[i];
    }
}

/* Keys of another document, which take the place of the file's own. */
struct overlay {
    const struct dpc_yaml *yaml;
    const struct dpc_yaml_node *map; /* NULL: none */
    const char *prefix;
};

/* A broken rule is reported in the document that may have broken it. */
static int
read_keys(const struct dpc_yaml *yaml, const struct overlay *over,
          struct dpc_experiment *experiment, struct dpc_error *err)
{
    int code = dpc_keys_read(&dpc_experiment_keys, yaml, experiment, err);
    if (code == DPC_OK && over->map)
        code = dpc_keys_read_over(&dpc_experiment_keys, over->yaml, over->map, over->prefix,
                                  experiment, err);
    if (code != DPC_OK)
        return code;
    complete(experiment);
    return check(experiment, over->map ? over->yaml : yaml, err);
}

/* A table of experiments is mistaken for one easily. */
static int
check_kind(const struct dpc_yaml *yaml, struct dpc_error *err)
{
    const struct dpc_yaml_node *root = dpc_yaml_root(yaml);
    bool map = root && dpc_yaml_kind(root) == DPC_YAML_MAP;
    for (size_t i = 0; map && i < dpc_yaml_count(root); i++) {
        const char *key = dpc_yaml_text(dpc_yaml_key_at(yaml, root, i));
        if (key && strcmp(key, "comparison") == 0)
            return dpc_error_set(err, DPC_EINVAL,
                                 "%s is a table of experiments, which dipaco compare takes, and no "
                                 "experiment",
                                 dpc_yaml_name(yaml));
    }
    return DPC_OK;
}

static int
parse_with(const char *name, const char *text, size_t len, const struct overlay *over,
           struct dpc_experiment *ret_experiment, struct dpc_error *err)
{
    struct dpc_yaml *yaml;
    int code = dpc_yaml_parse(name, text, len, &yaml, err);
    if (code != DPC_OK)
        return code;
    struct dpc_experiment *made = dpc_alloc(1, sizeof *made);
    code = check_kind(yaml, err);
    if (code == DPC_OK)
        code = read_keys(yaml, over, made, err);
    if (code == DPC_OK)
        memcpy(ret_experiment, made, sizeof *made);
    dpc_free(made);
    dpc_yaml_destroy(yaml);
    return code;
}

int
dpc_experiment_parse(const char *name, const char *text, size_t len,
                     struct dpc_experiment *ret_experiment, struct dpc_error *err)
{
    static const struct overlay nothing;
    return parse_with(name, text, len, &nothing, ret_experiment, err);
}

int
dpc_experiment_parse_stored(const char *name, const char *text, size_t len,
                            struct dpc_experiment *ret_experiment, struct dpc_error *err)
{
    struct dpc_error fault;
    int code = dpc_experiment_parse(name, text, len, ret_experiment, &fault);
    if (code == DPC_OK)
        return DPC_OK;
    return dpc_error_set(err, DPC_EVERSION,
                         "%s; unless somebody has changed it, another version of dipaco wrote it: "
                         "go on with that one",
                         fault.text);
}

int
dpc_experiment_load_with(const char *path, const struct dpc_yaml *yaml,
                         const struct dpc_yaml_node *map, const char *prefix,
                         struct dpc_experiment *ret_experiment, struct dpc_error *err)
{
    const struct overlay over = {yaml, map, prefix};
    uint8_t *text;
    size_t len;
    int code = dpc_vfs_read_file(&dpc_vfs_posix, path, DPC_CONFIG_BYTES_MAX, &text, &len, err);
    if (code == DPC_ENOTFOUND) /* no restart finds it */
        return dpc_error_set(err, DPC_EINVAL, "there is no experiment file \"%s\"", path);
    if (code != DPC_OK)
        return code;
    code = parse_with(path, (const char *)text, len, &over, ret_experiment, err);
    dpc_free(text);
    return code;
}

int
dpc_experiment_load(const char *path, struct dpc_experiment *ret_experiment, struct dpc_error *err)
{
    return dpc_experiment_load_with(path, NULL, NULL, "", ret_experiment, err);
}

void
dpc_experiment_print(const struct dpc_experiment *experiment, struct dpc_buf *out)
{
    dpc_keys_print(&dpc_experiment_keys, experiment, NULL, out);
}

/* Whether reading what is left gives `whole` again. Some defaults follow from other keys, so that
 * nothing but reading tells. */
static bool
is_whole_without(const struct dpc_experiment *experiment, const bool *left_out,
                 const struct dpc_buf *whole)
{
    struct dpc_experiment *again = dpc_alloc(1, sizeof *again);
    struct dpc_buf some, all;
    dpc_buf_init(&some, 0);
    dpc_buf_init(&all, 0);
    dpc_keys_print(&dpc_experiment_keys, experiment, left_out, &some);
    bool same = dpc_experiment_parse("a part of it", (const char *)some.data, some.len, again,
                                     NULL) == DPC_OK;
    if (same)
        dpc_experiment_print(again, &all);
    same = same && all.len == whole->len && memcmp(all.data, whole->data, all.len) == 0;
    dpc_buf_done(&some);
    dpc_buf_done(&all);
    dpc_free(again);
    return same;
}

void
dpc_experiment_print_short(const struct dpc_experiment *experiment, struct dpc_buf *out)
{
    bool *left_out = dpc_alloc(dpc_experiment_keys.count, sizeof *left_out);
    struct dpc_buf whole;
    dpc_buf_init(&whole, 0);
    dpc_experiment_print(experiment, &whole);
    for (size_t i = 0; i < dpc_experiment_keys.count; i++) {
        left_out[i] = true;
        left_out[i] = is_whole_without(experiment, left_out, &whole);
    }
    dpc_keys_print(&dpc_experiment_keys, experiment, left_out, out);
    dpc_buf_done(&whole);
    dpc_free(left_out);
}

void
dpc_experiment_diff(const struct dpc_experiment *old, const struct dpc_experiment *now,
                    enum dpc_change when,
                    void (*visit)(void *context, const char *key, const char *old_value,
                                  const char *new_value, bool may_change),
                    void *context)
{
    dpc_keys_diff(&dpc_experiment_keys, when, old, now, visit, context);
}

static void
note_difference(void *context, const char *key, const char *old_value, const char *new_value,
                bool may_change)
{
    (void)key, (void)old_value, (void)new_value;
    *(bool *)context &= may_change;
}

bool
dpc_experiment_may_become(const struct dpc_experiment *old, const struct dpc_experiment *now,
                          enum dpc_change when)
{
    bool may = true;
    dpc_experiment_diff(old, now, when, note_difference, &may);
    return may;
}

bool
dpc_experiment_shares_warm_start(const struct dpc_experiment *a, const struct dpc_experiment *b)
{
    /* Whether the dense path is measured is settled before it begins. */
    return a->warm_start.steps > 0 && dpc_experiment_may_become(a, b, DPC_CHANGE_WARM) &&
           (!a->early_stopping || a->baseline.dense == b->baseline.dense);
}

void
dpc_experiment_write_example(struct dpc_buf *out)
{
    dpc_buf_printf(out, "# SPDX-License-Identifier: Apache-2.0\n"
                        "# Every key of an experiment. Written from the table of keys by "
                        "`make update-examples`.\n\n");
    dpc_keys_write_example(&dpc_experiment_keys, out);
}

void
dpc_experiment_write_man(struct dpc_buf *out)
{
    dpc_keys_write_man(&dpc_experiment_keys, out);
}
