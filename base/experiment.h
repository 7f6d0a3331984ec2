/* SPDX-License-Identifier: Apache-2.0
 *
 * The experiment file: one YAML document, read into one plain struct through a table of keys (name,
 * type, range, default, unit, check). The same table writes the commented example
 * (examples/experiment.yaml) and the man text, so that they cannot differ.
 *
 * Owns: nothing; the struct holds no pointers. Threads: read-only after loading.
 * Limits: DPC_CONFIG_BYTES_MAX. Errors name file, line, key and the allowed range, and the key that
 * is nearest to a misspelled one.
 */
#ifndef DPC_BASE_EXPERIMENT_H
#define DPC_BASE_EXPERIMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/change.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/path_state.h"
#include "base/yaml.h"

enum dpc_mode { DPC_MODE_STRICT, DPC_MODE_ELASTIC };
enum dpc_tokenizer_kind { DPC_TOKENIZER_BYTES, DPC_TOKENIZER_SENTENCEPIECE };
enum dpc_outer_weight { DPC_WEIGHT_SHARD, DPC_WEIGHT_TOKENS, DPC_WEIGHT_UNIFORM };
enum dpc_compute { DPC_COMPUTE_FP32, DPC_COMPUTE_BF16, DPC_COMPUTE_AUTO, DPC_COMPUTE_TF32 };
enum dpc_trust { DPC_TRUST_CLOSED, DPC_TRUST_OPEN };
enum dpc_numeric_class { DPC_CLASS_ONE, DPC_CLASS_ANY };
enum dpc_recompute { DPC_RECOMPUTE_AUTO, DPC_RECOMPUTE_NONE, DPC_RECOMPUTE_BLOCK };
enum dpc_routing_init {
    DPC_ROUTING_KMEANS,
    DPC_ROUTING_SPHERICAL,
    DPC_ROUTING_PRODUCT,
    DPC_ROUTING_METADATA,
    DPC_ROUTING_HASH,
};
enum dpc_routing_features { DPC_FEATURES_STANDARD, DPC_FEATURES_WHITENED, DPC_FEATURES_NGRAMS };
enum dpc_routing_balance { DPC_BALANCE_NONE, DPC_BALANCE_CAPACITY };
enum dpc_path_state { DPC_STATE_SHIP, DPC_STATE_LOCAL, DPC_STATE_RESET };
enum dpc_outer_late { DPC_LATE_REFUSE, DPC_LATE_DISCOUNT };
enum dpc_outer_rescale { DPC_RESCALE_SQRT, DPC_RESCALE_RDA, DPC_RESCALE_NONE };
enum dpc_begin { DPC_BEGIN_COPY, DPC_BEGIN_NOISE, DPC_BEGIN_DROP };

/* A level: a slice of the network, with `modules` interchangeable modules, or with one of its own
 * for each path, which is never merged with another. Paths may go straight on at a level that has
 * `identity`, as one more choice behind its modules. Parts stand in this order. */
struct dpc_level {
    char name[DPC_NAME_MAX];
    bool embedding;
    uint32_t blocks;
    bool head;
    uint32_t modules; /* `own`: as many as there are paths */
    bool own;
    bool identity;
};

/* A path as the file lists it: the module that it takes of each level that is a digit of path
 * names, in the order of the levels, or DPC_CHOICE_IDENTITY. */
enum { DPC_CHOICE_IDENTITY = UINT16_MAX };
struct dpc_listed_path {
    uint32_t digits;
    uint16_t choices[DPC_LEVELS_MAX];
};

struct dpc_experiment {
    char name[DPC_NAME_MAX];
    enum dpc_mode mode;
    uint64_t seed;
    enum dpc_compute compute;
    enum dpc_numeric_class numeric_class;
    enum dpc_recompute recompute;
    enum dpc_trust trust;
    struct {
        char corpus[DPC_PATH_MAX]; /* as written; relative to the experiment file's folder */
        enum dpc_tokenizer_kind tokenizer;
        double test, early_stop, router; /* shares of the documents; the rest is train */
        double dense;                    /* share of train that the dense path trains on */
    } data;
    struct {
        uint32_t dim, heads, ffn, context, vocab; /* vocab: the tokenizer's */
        uint32_t kv_heads;                        /* 0: as many as heads; dpc_experiment_kv_heads */
        bool tie_embeddings;
        double rope_base, norm_epsilon, init_std;
    } model;
    uint32_t levels_count;
    struct dpc_level levels[DPC_LEVELS_MAX];
    uint32_t listed_count; /* 0: paths are all combinations of the levels' modules */
    struct dpc_listed_path listed[DPC_PATHS_LISTED_MAX];
    uint32_t replicas; /* of each; 0 stands for 1, dpc_experiment_replicas */
    struct {
        uint32_t prefix; /* tokens */
        enum dpc_routing_init init;
        enum dpc_routing_features features;
        uint32_t restarts;        /* of k-means */
        char field[DPC_NAME_MAX]; /* column of the corpus's metadata, for metadata */
        enum dpc_routing_balance balance;
        double capacity;          /* times the even share */
        uint32_t phases;          /* discriminative ones */
        uint32_t phase_rounds;    /* rounds before each; dpc_experiment_phase_rounds */
        uint32_t score_documents; /* that each scores; 0: all of the router split */
        uint32_t score_paths;     /* that score each of them; dpc_experiment_score_paths */
        uint32_t score_windows;   /* first windows of a document that it scores; 0: as evaluation */
        uint32_t overlap;         /* paths that train on a document */
        uint32_t documents_min;   /* train and router documents of a path, else an error */
    } routing;
    struct {
        uint32_t every_count;             /* 0: documents are routed once */
        uint32_t every[DPC_REROUTES_MAX]; /* tokens between two routes at evaluation, ascending */
        uint32_t ahead;                   /* tokens whose best path the router network foretells */
        uint32_t steps;                   /* of training it */
        double lr;                        /* peak */
    } reroute;
    struct {
        double lr, lr_end; /* peak, and its share at the end of the cosine */
        uint32_t warmup;   /* steps */
        double weight_decay, beta1, beta2, epsilon, clip;
        uint32_t batch; /* sequences */
        uint32_t steps; /* a round */
    } inner;
    struct {
        double lr, momentum;
        enum dpc_outer_weight weight;
        enum dpc_outer_rescale rescale;
        uint32_t rounds;
        double sample; /* share of the paths that train in a round */
        /* Elastic mode. */
        double quorum; /* share of a module's paths that it waits for */
        double grace;  /* how much longer than for these it waits for the rest */
        enum dpc_outer_late late;
        double late_discount; /* factor on the weight of what came a round late */
    } outer;
    struct {
        enum dpc_codec upload, download; /* dpc_topology_upload, dpc_topology_download */
        enum dpc_path_state path_state;
        enum dpc_moments moments; /* of states that ship; dpc_topology_moments */
    } transfer;
    struct {
        uint32_t steps;          /* of each replica */
        uint32_t replicas;       /* of the dense path */
        char from[DPC_PATH_MAX]; /* as written; dpc_experiment_imports */
        enum dpc_begin init;     /* of routed modules; base/upcycle.h */
        double noise;            /* of a matrix's standard deviation */
        double drop;             /* share of a feed-forward's inner units */
    } warm_start;
    struct {
        bool dense; /* train a dense model of one path's size beside the paths, and report it */
    } baseline;
    struct {
        uint32_t windows; /* windows of `context` tokens that are read of each held-out document */
    } evaluation;
    double audit;         /* share of training tasks that another worker repeats */
    bool early_stopping;  /* each path takes the best of its rounds */
    uint32_t keep_rounds; /* versions and contributions that the store keeps behind the newest */
};

/* Routed paths: the listed ones, or the product of the modules of shared levels, times the
 * replicas. At most DPC_PATHS_MAX + 1, whatever the file says. */
uint32_t dpc_experiment_paths(const struct dpc_experiment *experiment);

/* The experiment with those of its levels alone whose bit is set in `levels`: what a path that
 * skips the others is composed of. What is said of paths is left out. */
void dpc_experiment_take_levels(const struct dpc_experiment *experiment, uint32_t levels,
                                struct dpc_experiment *ret_experiment);

static inline uint32_t
dpc_experiment_replicas(const struct dpc_experiment *experiment)
{
    return experiment->replicas ? experiment->replicas : 1;
}

static inline uint32_t
dpc_experiment_kv_heads(const struct dpc_experiment *experiment)
{
    return experiment->model.kv_heads ? experiment->model.kv_heads : experiment->model.heads;
}

/* Whether the dense model begins as the one in the folder `warm_start.from`. */
bool dpc_experiment_imports(const struct dpc_experiment *experiment);

/* Rounds between two routings of the documents. */
static inline uint32_t
dpc_experiment_phase_rounds(const struct dpc_experiment *experiment)
{
    return experiment->routing.phase_rounds
               ? experiment->routing.phase_rounds
               : experiment->outer.rounds / (experiment->routing.phases + 1);
}

/* Dimensions of a routing feature. */
static inline uint32_t
dpc_experiment_feature_dim(const struct dpc_experiment *experiment)
{
    return experiment->routing.features == DPC_FEATURES_NGRAMS ? DPC_NGRAMS_DIM
                                                               : experiment->model.dim;
}

/* Routed paths that score a document in a discriminative phase. */
static inline uint32_t
dpc_experiment_score_paths(const struct dpc_experiment *experiment)
{
    return experiment->routing.score_paths ? experiment->routing.score_paths
                                           : dpc_experiment_paths(experiment);
}

/* Rounds of the dense path that are the warm start; the last may have fewer steps. */
static inline uint32_t
dpc_experiment_warm_rounds(const struct dpc_experiment *experiment)
{
    return (experiment->warm_start.steps + experiment->inner.steps - 1) / experiment->inner.steps;
}

/* Steps of the warm start, of all its replicas together. */
static inline uint64_t
dpc_experiment_warm_steps(const struct dpc_experiment *experiment)
{
    return (uint64_t)experiment->warm_start.steps * experiment->warm_start.replicas;
}

/* Inner steps of all routed paths together, the warm start once; where rounds draw their paths
 * (outer.sample), so many on average. */
static inline double
dpc_experiment_steps_in_all(const struct dpc_experiment *experiment)
{
    double rounds = (double)experiment->outer.rounds * experiment->inner.steps;
    return (double)dpc_experiment_warm_steps(experiment) +
           rounds * experiment->outer.sample * dpc_experiment_paths(experiment);
}

/* Pieces of a document that evaluation reads. */
static inline uint64_t
dpc_experiment_pieces(const struct dpc_experiment *experiment)
{
    return (uint64_t)experiment->evaluation.windows * experiment->model.context / DPC_PIECE_TOKENS;
}

/* Reads and checks a file. On failure `*ret_experiment` is untouched. */
int dpc_experiment_load(const char *path, struct dpc_experiment *ret_experiment,
                        struct dpc_error *err) DPC_MUST_CHECK;

/* The same from memory; `name` stands for the file in errors. */
int dpc_experiment_parse(const char *name, const char *text, size_t len,
                         struct dpc_experiment *ret_experiment,
                         struct dpc_error *err) DPC_MUST_CHECK;

/* The same of what a dipaco has written: what this one cannot read is of another version.
 * DPC_EVERSION then, with the reason. */
int dpc_experiment_parse_stored(const char *name, const char *text, size_t len,
                                struct dpc_experiment *ret_experiment,
                                struct dpc_error *err) DPC_MUST_CHECK;

/* An experiment file with the keys of `map`, a map of the document `yaml` at `prefix`
 * ("rows[2].set."), in place of its own: a row of a comparison. NULL: with none. */
int dpc_experiment_load_with(const char *path, const struct dpc_yaml *yaml,
                             const struct dpc_yaml_node *map, const char *prefix,
                             struct dpc_experiment *ret_experiment,
                             struct dpc_error *err) DPC_MUST_CHECK;

/* The whole experiment as canonical YAML (all keys, table order): what the store keeps. Parsing it
 * gives an equal struct. */
void dpc_experiment_print(const struct dpc_experiment *experiment, struct dpc_buf *out);

/* The same without keys that are at their defaults: what workers get, so that those of an older
 * release read it unless it needs a key that they do not know. */
void dpc_experiment_print_short(const struct dpc_experiment *experiment, struct dpc_buf *out);

/* Calls `visit` for each key whose values differ, with both values as text and whether the key may
 * change then, as far as a key alone can tell. */
void dpc_experiment_diff(const struct dpc_experiment *old, const struct dpc_experiment *now,
                         enum dpc_change when,
                         void (*visit)(void *context, const char *key, const char *old_value,
                                       const char *new_value, bool may_change),
                         void *context);
/* Whether all keys that differ may, as far as keys alone can tell. */
bool dpc_experiment_may_become(const struct dpc_experiment *old, const struct dpc_experiment *now,
                               enum dpc_change when);
/* Whether the warm start of one is that of the other, in strict mode to the bit, over the same
 * documents: where the corpus lies is not looked at. False where they have none. */
bool dpc_experiment_shares_warm_start(const struct dpc_experiment *a,
                                      const struct dpc_experiment *b);

/* The commented example with every key, its default, range and unit; and the same as man text. */
void dpc_experiment_write_example(struct dpc_buf *out);
void dpc_experiment_write_man(struct dpc_buf *out);

#endif
