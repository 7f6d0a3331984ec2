/* SPDX-License-Identifier: Apache-2.0
 * A path is made and filled anew when it is asked for and not there: over the one that was not
 * asked for the longest, and that nobody holds. */
#include "cli/model.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/processors.h"
#include "base/tensor_blob.h"
#include "base/vfs.h"
#include "data/sentencepiece.h"
#include "modules/compute.h"
#include "routing/ngrams.h"
#include "routing/router.h"

enum { NONE = -1, ROUTING_MODEL = -2 };

/* A place in memory for a path. */
struct resident {
    struct dpc_path *path; /* NULL: none was needed yet */
    uint32_t levels;       /* that it takes modules at, as bits */
    int64_t loaded;        /* what it holds: a path, NONE or ROUTING_MODEL */
    uint32_t holders;
    uint64_t asked; /* when, on the model's own clock */
};

struct dpc_model {
    char folder[DPC_PATH_MAX]; /* of the store */
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    struct dpc_store *store;
    struct dpc_phase_record phase;
    struct dpc_module_record *modules; /* [modules_count] */
    bool *modules_known;
    struct dpc_path_record *paths; /* [paths_count] */
    struct dpc_best_record *bests; /* [paths_count]; early stopping: the round that each takes */
    struct dpc_router *router;     /* once it was needed */
    const struct dpc_tokenizer *tokenizer; /* likewise */
    struct dpc_pool *pool;
    struct dpc_path_options options;
    uint32_t residents_count;
    struct resident *residents; /* [residents_count] */
    struct resident routing;    /* a place of the routing model's own, when several are wanted */
    bool routing_apart;
    uint64_t clock;
};

/* --- Opening. */

/* In a run's folder it is below, and a coordinator's is one itself. A run that was refused leaves a
 * folder with neither. */
static int
find_store(const char *folder, char ret_store[DPC_PATH_MAX], struct dpc_error *err)
{
    char inner[DPC_PATH_MAX], database[DPC_PATH_MAX];
    struct dpc_vfs_file *there;
    if (dpc_path_join(folder, "coordinator", inner, sizeof inner) != DPC_OK ||
        dpc_path_join(folder, "db", database, sizeof database) != DPC_OK)
        return dpc_error_set(err, DPC_ELIMIT, "the path \"%.200s\" is too long", folder);
    int code = dpc_vfs_posix.ops->open(&dpc_vfs_posix, folder, DPC_VFS_READ, &there);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        return dpc_error_set(err, code, "could not look into \"%.200s\": %s", folder,
                             dpc_error_words(code));
    if (code == DPC_OK)
        dpc_vfs_posix.ops->close(there);
    bool below = dpc_vfs_exists(&dpc_vfs_posix, inner);
    if (!below && !dpc_vfs_exists(&dpc_vfs_posix, database))
        return dpc_error_set(err, DPC_ENOTFOUND, "there is no run in \"%.200s\"", folder);
    (void)snprintf(ret_store, DPC_PATH_MAX, "%s", below ? inner : folder);
    return DPC_OK;
}

static bool
keep_module(void *context, const struct dpc_module_record *record)
{
    struct dpc_model *model = context;
    if (record->module < model->topology.modules_count) {
        model->modules[record->module] = *record;
        model->modules_known[record->module] = true;
    }
    return true;
}

static bool
keep_path(void *context, const struct dpc_path_record *record)
{
    struct dpc_model *model = context;
    if (record->path < model->topology.paths_count)
        model->paths[record->path] = *record;
    return true;
}

static bool
keep_best(void *context, const struct dpc_best_record *record)
{
    struct dpc_model *model = context;
    if (record->path < model->topology.paths_count)
        model->bests[record->path] = *record;
    return true;
}

/* A store has neither experiment nor phase before its corpus is prepared. */
static int
tell_early(const struct dpc_model *model, int code, struct dpc_error *err)
{
    if (code != DPC_ENOTFOUND)
        return code;
    return dpc_error_set(err, code,
                         "there is nothing in \"%.200s\" yet: the run has not come that far",
                         model->folder);
}

static int
load_records(struct dpc_model *model, struct dpc_error *err)
{
    struct dpc_kv *kv = dpc_store_kv(model->store);
    char *yaml = NULL;
    size_t len = 0;
    int rc = tell_early(model, dpc_load_experiment(kv, &yaml, &len, err), err);
    if (rc == DPC_OK)
        rc = dpc_experiment_parse_stored("the store's experiment", yaml, len, &model->experiment,
                                         err);
    dpc_free(yaml);
    if (rc == DPC_OK)
        rc = dpc_topology_init(&model->topology, &model->experiment, err);
    if (rc != DPC_OK)
        return rc;
    model->modules = dpc_alloc(model->topology.modules_count, sizeof *model->modules);
    model->modules_known = dpc_alloc(model->topology.modules_count, sizeof *model->modules_known);
    model->paths = dpc_alloc(model->topology.paths_count, sizeof *model->paths);
    model->bests = dpc_alloc(model->topology.paths_count, sizeof *model->bests);
    rc = tell_early(model, dpc_load_phase(kv, &model->phase, err), err);
    if (rc == DPC_OK)
        rc = dpc_scan_modules(kv, keep_module, model, err);
    if (rc == DPC_OK)
        rc = dpc_scan_paths(kv, keep_path, model, err);
    if (rc == DPC_OK)
        rc = dpc_scan_bests(kv, keep_best, model, err);
    return rc;
}

/* With the numbers that the workers computed in, and on all processors. They may have had bf16
 * where this machine has not; weights are fp32, so fp32 computes what they mean. */
static int
choose_options(struct dpc_model *model, struct dpc_error *err)
{
    struct dpc_path_options options = {.batch_max = DPC_MODEL_BATCH_MAX, .use = DPC_PATH_INFER};
    enum dpc_compute compute = model->experiment.compute;
    if (compute == DPC_COMPUTE_BF16)
        compute = DPC_COMPUTE_AUTO;
    int rc = dpc_compute_choose(compute, NULL, &options.ops, err);
    if (rc != DPC_OK)
        return rc;
    model->pool = options.pool = dpc_pool_create(dpc_processors_count());
    model->options = options;
    return DPC_OK;
}

/* Paths that skip levels are of other shapes; the one at hand is made anew for another shape. */
static int
shape_path(const struct dpc_model *model, struct resident *resident, uint32_t path,
           struct dpc_error *err)
{
    uint32_t levels = dpc_topology_path_levels(&model->topology, path);
    if (resident->path && resident->levels == levels)
        return DPC_OK;
    resident->path = dpc_path_destroy(resident->path);
    struct dpc_experiment *taken = dpc_alloc(1, sizeof *taken);
    dpc_experiment_take_levels(&model->experiment, levels, taken);
    int rc = dpc_path_create(taken, &model->options, &resident->path, err);
    dpc_free(taken);
    resident->levels = levels;
    return rc;
}

static void
make_room(struct dpc_model *model, uint32_t count)
{
    model->residents = dpc_grow(model->residents, count, sizeof *model->residents);
    for (; model->residents_count < count; model->residents_count++)
        model->residents[model->residents_count] = (struct resident){.loaded = NONE};
}

void
dpc_model_set_residents(struct dpc_model *model, uint32_t count)
{
    make_room(model, count);
    model->routing_apart = true;
}

/* What the store holds now; nothing to compute with yet. */
static int
read_store(const char *folder, struct dpc_model **ret_model, struct dpc_error *err)
{
    struct dpc_model *model = dpc_alloc(1, sizeof *model);
    model->routing.loaded = NONE;
    int rc = find_store(folder, model->folder, err);
    if (rc == DPC_OK)
        rc = dpc_store_open(model->folder, DPC_KV_READ_ONLY, &model->store, err);
    if (rc == DPC_OK)
        rc = load_records(model, err);
    if (rc != DPC_OK) {
        dpc_model_close(model);
        return rc;
    }
    *ret_model = model;
    return DPC_OK;
}

int
dpc_model_open(const char *folder, struct dpc_model **ret_model, struct dpc_error *err)
{
    struct dpc_model *model;
    int rc = read_store(folder, &model, err);
    if (rc != DPC_OK)
        return rc;
    make_room(model, 1);
    rc = choose_options(model, err);
    if (rc != DPC_OK) {
        dpc_model_close(model);
        return rc;
    }
    *ret_model = model;
    return DPC_OK;
}

#define SWAP(a, b)                                                                                 \
    do {                                                                                           \
        __typeof__(a) swapped = (a);                                                               \
        (a) = (b);                                                                                 \
        (b) = swapped;                                                                             \
    } while (0)

/* All that a run changes as it goes on; its experiment and its topology stay. */
static void
swap_records(struct dpc_model *model, struct dpc_model *other)
{
    SWAP(model->store, other->store);
    SWAP(model->phase, other->phase);
    SWAP(model->modules, other->modules);
    SWAP(model->modules_known, other->modules_known);
    SWAP(model->paths, other->paths);
    SWAP(model->bests, other->bests);
    SWAP(model->router, other->router);
}

int
dpc_model_refresh(struct dpc_model *model, struct dpc_error *err)
{
    struct dpc_model *now;
    struct dpc_error why;
    if (read_store(model->folder, &now, &why) != DPC_OK)
        return dpc_error_set(err, DPC_ESTALE, "could not look at the run again: %s", why.text);
    bool same = dpc_store_incarnation(now->store) == dpc_store_incarnation(model->store);
    if (same)
        swap_records(model, now);
    dpc_model_close(now);
    return same ? DPC_OK
                : dpc_error_set(err, DPC_ESTALE,
                                "could not look at the run again: another one stands in \"%.200s\" "
                                "by now; end this program and start it again",
                                model->folder);
}

struct dpc_model *
dpc_model_close(struct dpc_model *model)
{
    if (!model)
        return NULL;
    for (uint32_t i = 0; i < model->residents_count; i++)
        dpc_path_destroy(model->residents[i].path);
    dpc_path_destroy(model->routing.path);
    dpc_free(model->residents);
    dpc_pool_destroy(model->pool);
    dpc_router_destroy(model->router);
    dpc_tokenizer_destroy(model->tokenizer);
    dpc_free(model->modules);
    dpc_free(model->modules_known);
    dpc_free(model->paths);
    dpc_free(model->bests);
    dpc_topology_done(&model->topology);
    dpc_store_close(model->store);
    return dpc_free(model);
}

const struct dpc_experiment *
dpc_model_experiment(const struct dpc_model *model)
{
    return &model->experiment;
}

const struct dpc_topology *
dpc_model_topology(const struct dpc_model *model)
{
    return &model->topology;
}

int
dpc_model_tokenizer_file(struct dpc_model *model, uint8_t **ret_bytes, size_t *ret_len,
                         struct dpc_error *err)
{
    if (model->experiment.data.tokenizer == DPC_TOKENIZER_BYTES) {
        *ret_bytes = NULL;
        *ret_len = 0;
        return DPC_OK;
    }
    if (dpc_hash_is_none(&model->phase.tokenizer))
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "there is no tokenizer yet: the run has not come that far");
    return dpc_store_blob_load(model->store, &model->phase.tokenizer, ret_bytes, ret_len, err);
}

static int
read_tokenizer(struct dpc_model *model, struct dpc_error *err)
{
    struct dpc_tokenizer *tokenizer = NULL;
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = dpc_model_tokenizer_file(model, &bytes, &len, err);
    if (rc == DPC_OK && bytes)
        rc = dpc_sentencepiece_read("the store's", bytes, len, &tokenizer, err);
    if (rc == DPC_OK && tokenizer && tokenizer->vocabulary.size != model->experiment.model.vocab)
        rc =
            dpc_error_set(err, DPC_ECORRUPT, "the store's tokenizer has %u pieces and the model %u",
                          tokenizer->vocabulary.size, model->experiment.model.vocab);
    dpc_free(bytes);
    if (rc != DPC_OK) {
        dpc_tokenizer_destroy(tokenizer);
        return rc;
    }
    model->tokenizer = tokenizer ? tokenizer : dpc_tokenizer_bytes();
    return DPC_OK;
}

int
dpc_model_tokenizer(struct dpc_model *model, const struct dpc_tokenizer **ret_tokenizer,
                    struct dpc_error *err)
{
    int rc = model->tokenizer ? DPC_OK : read_tokenizer(model, err);
    if (rc == DPC_OK)
        *ret_tokenizer = model->tokenizer;
    return rc;
}

int
dpc_model_find_path(const struct dpc_model *model, const char *name, uint32_t *ret_path,
                    struct dpc_error *err)
{
    if (dpc_topology_path_find(&model->topology, name, ret_path))
        return DPC_OK;
    return dpc_error_set(err, DPC_ENOTFOUND, "there is no path \"%.64s\"", name);
}

const struct dpc_path_record *
dpc_model_path_record(const struct dpc_model *model, uint32_t path)
{
    return &model->paths[path];
}

int
dpc_model_test_documents(struct dpc_model *model, uint32_t path, uint8_t **ret_bytes,
                         struct dpc_tokens **ret_tokens, struct dpc_error *err)
{
    const struct dpc_path_record *record = &model->paths[path];
    char name[2 * DPC_NAME_MAX];
    uint8_t *bytes = NULL;
    size_t len = 0;
    dpc_topology_path_name(&model->topology, path, name, sizeof name);
    if (dpc_hash_is_none(&record->test))
        return dpc_error_set(err, DPC_ENOTFOUND, "path %s has no held-out documents%s", name,
                             dpc_hash_is_none(&record->shard) ? " yet" : "");
    int rc = dpc_store_blob_load(model->store, &record->test, &bytes, &len, err);
    if (rc == DPC_OK)
        rc = dpc_tokens_open_bytes(name, bytes, len, ret_tokens, err);
    if (rc != DPC_OK) {
        dpc_free(bytes);
        return rc;
    }
    *ret_bytes = bytes;
    return DPC_OK;
}

/* A blob that the records named when they were read. Who reads beside a run cannot tell what its
 * coordinator removed from what a disk lost. */
static int
load_blob(const struct dpc_model *model, const struct dpc_hash *hash, const char *what,
          uint8_t **ret_bytes, size_t *ret_len, struct dpc_error *err)
{
    int rc = dpc_store_blob_load(model->store, hash, ret_bytes, ret_len, err);
    char name[2 * DPC_HASH_BYTES + 1];
    if (rc != DPC_ENOTFOUND)
        return rc;
    dpc_hash_hex(hash, name, sizeof name);
    return dpc_error_set(err, DPC_ESTALE,
                         "%s is gone: where the run goes on its coordinator removed it: ask again, "
                         "or let it keep more with keep_rounds; else its file was lost: put %s "
                         "back from a backup",
                         what, name);
}

/* --- Composing a path. */

static int
load_module(const struct dpc_model *model, struct dpc_path *path, uint32_t index,
            const struct dpc_hash *published, struct dpc_error *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0, floats = dpc_path_module_floats(path, index);
    const float *values;
    int rc = load_blob(model, published, "a module's version", &bytes, &len, err);
    if (rc == DPC_OK)
        rc = dpc_tensor_blob_read(bytes, len, floats, &values, err);
    if (rc == DPC_OK)
        dpc_path_write_module(path, index, values);
    dpc_free(bytes);
    return rc;
}

/* Version of a module that a path takes: a given one, or the current one. */
static int
published_hash(const struct dpc_model *model, uint32_t module, const uint32_t *version,
               struct dpc_hash *ret_hash, struct dpc_error *err)
{
    char name[2 * DPC_NAME_MAX];
    dpc_topology_module_name(&model->topology, module, name, sizeof name);
    if (version) {
        struct dpc_version_record record;
        int rc = dpc_load_version(dpc_store_kv(model->store), module, *version, &record, err);
        if (rc != DPC_OK)
            return dpc_error_prefix(err, rc, "version %u of %s", *version, name);
        *ret_hash = record.published;
        return DPC_OK;
    }
    if (!model->modules_known[module])
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "there is no version of %s yet: the run has not come that far", name);
    *ret_hash = model->modules[module].published;
    return DPC_OK;
}

/* Where what is asked for is, or where it may come; NULL: all places are held. */
static struct resident *
find_place(struct dpc_model *model, int64_t as)
{
    struct resident *oldest = NULL;
    if (as == ROUTING_MODEL && model->routing_apart)
        return &model->routing;
    for (uint32_t i = 0; i < model->residents_count; i++) {
        struct resident *resident = &model->residents[i];
        if (resident->loaded == as)
            return resident;
        if (!resident->holders && (!oldest || resident->asked < oldest->asked))
            oldest = resident;
    }
    return oldest;
}

/* `versions`: of the path's modules, level by level; NULL: the current ones. */
static int
fill(struct dpc_model *model, struct resident *resident, uint32_t path, const uint32_t *versions,
     struct dpc_error *err)
{
    int rc = shape_path(model, resident, path, err);
    uint32_t length = dpc_topology_path_length(&model->topology, path);
    for (uint32_t i = 0; rc == DPC_OK && i < length; i++) {
        struct dpc_hash hash;
        uint32_t module = dpc_topology_path_module(&model->topology, path, i);
        rc = published_hash(model, module, versions ? &versions[i] : NULL, &hash, err);
        if (rc == DPC_OK)
            rc = load_module(model, resident->path, i, &hash, err);
    }
    return rc;
}

static int
compose(struct dpc_model *model, uint32_t path, const uint32_t *versions, int64_t as,
        struct dpc_path **ret_path, struct dpc_error *err)
{
    struct resident *resident = find_place(model, as);
    if (!resident)
        return dpc_error_set(err, DPC_EBUSY,
                             "all %u paths that may be in memory are in use: ask again",
                             model->residents_count);
    resident->asked = ++model->clock;
    if (resident->loaded != as) {
        resident->loaded = NONE;
        int rc = fill(model, resident, path, versions, err);
        if (rc != DPC_OK)
            return rc;
        resident->loaded = as;
    }
    *ret_path = resident->path;
    return DPC_OK;
}

int
dpc_model_path(struct dpc_model *model, uint32_t path, struct dpc_path **ret_path,
               struct dpc_error *err)
{
    const struct dpc_best_record *best = &model->bests[path];
    return compose(model, path, best->found ? best->versions : NULL, path, ret_path, err);
}

int
dpc_model_path_of_now(struct dpc_model *model, uint32_t path, struct dpc_path **ret_path,
                      struct dpc_error *err)
{
    int rc = dpc_model_path(model, path, ret_path, err);
    if (rc != DPC_ESTALE)
        return rc;
    rc = dpc_model_refresh(model, err);
    return rc == DPC_OK ? dpc_model_path(model, path, ret_path, err) : rc;
}

static struct resident *
resident_of(struct dpc_model *model, const struct dpc_path *path)
{
    uint32_t i = 0;
    while (model->residents[i].path != path)
        i++;
    return &model->residents[i];
}

void
dpc_model_hold(struct dpc_model *model, const struct dpc_path *path)
{
    resident_of(model, path)->holders++;
}

void
dpc_model_let_go(struct dpc_model *model, const struct dpc_path *path)
{
    resident_of(model, path)->holders--;
}

/* --- Routing. */

static int
load_router(struct dpc_model *model, struct dpc_error *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (model->router)
        return DPC_OK;
    if (dpc_hash_is_none(&model->phase.router))
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "there is no router yet: the run has not come that far");
    int rc = load_blob(model, &model->phase.router, "the router", &bytes, &len, err);
    if (rc == DPC_OK)
        rc = dpc_router_read(bytes, len, &model->router, err);
    dpc_free(bytes);
    if (rc == DPC_OK &&
        (dpc_router_paths(model->router) != model->topology.routed_paths ||
         dpc_router_dim(model->router) != dpc_experiment_feature_dim(&model->experiment)))
        rc = dpc_error_set(err, DPC_ECORRUPT, "the router is that of another experiment");
    return rc;
}

/* What there is of the text stands for the whole document: only a hash router looks at its key. */
static int
route(struct dpc_model *model, const int32_t *tokens, uint32_t tokens_count, const float *feature,
      uint32_t *ret_path, struct dpc_error *err)
{
    const struct dpc_tokenizer *tokenizer;
    struct dpc_hash hash;
    struct dpc_buf text;
    int rc = dpc_model_tokenizer(model, &tokenizer, err);
    if (rc != DPC_OK)
        return rc;
    dpc_buf_init(&text, 0);
    dpc_tokenizer_decode(tokenizer, tokens, tokens_count, &text);
    dpc_hash_of(text.data, text.len, &hash);
    dpc_buf_done(&text);
    *ret_path = dpc_router_path(model->router, feature, hash.bytes);
    return DPC_OK;
}

/* By the dense path as it was when the router was fitted, or by what the tokens alone say. */
static int
features_of(struct dpc_model *model, const int32_t *tokens, uint32_t tokens_count,
            float *ret_feature, struct dpc_error *err)
{
    uint32_t versions[DPC_LEVELS_MAX];
    if (model->experiment.routing.features == DPC_FEATURES_NGRAMS) {
        dpc_ngrams_features(tokens, tokens_count, ret_feature);
        return DPC_OK;
    }
    for (uint32_t level = 0; level < model->topology.levels_count; level++)
        versions[level] = dpc_experiment_warm_rounds(&model->experiment);
    struct dpc_path *path;
    int rc = compose(model, dpc_topology_dense_path(&model->topology), versions, ROUTING_MODEL,
                     &path, err);
    if (rc != DPC_OK)
        return rc;
    rc = dpc_path_features(path, tokens, &tokens_count, 1, tokens_count, ret_feature);
    return rc == DPC_OK
               ? rc
               : dpc_error_set(err, rc, "could not route the text: %s", dpc_error_words(rc));
}

int
dpc_model_route(struct dpc_model *model, const int32_t *tokens, uint32_t tokens_count,
                uint32_t *ret_path, struct dpc_error *err)
{
    uint32_t prefix = model->experiment.routing.prefix;
    if (tokens_count == 0)
        return dpc_error_set(err, DPC_EINVAL, "there is no text to route: the prompt is empty");
    int rc = load_router(model, err);
    if (rc != DPC_OK)
        return rc;
    float *feature = dpc_alloc(dpc_router_dim(model->router), sizeof *feature);
    rc = features_of(model, tokens, tokens_count < prefix ? tokens_count : prefix, feature, err);
    if (rc == DPC_OK)
        rc = route(model, tokens, tokens_count, feature, ret_path, err);
    dpc_free(feature);
    return rc;
}
