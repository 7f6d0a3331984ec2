/* SPDX-License-Identifier: Apache-2.0
 * One row a key. The order is that of the example file and of what is printed. */
#include "base/experiment_keys.h"

#include <stddef.h>
#include <string.h>

#include "base/experiment.h"
#include "base/experiment_levels.h"
#include "base/experiment_paths.h"
#include "base/experiment_reroute.h"

#define SIZE_OF(type, member) sizeof(((type *)NULL)->member)
#define FIELD(member)                                                                              \
    .offset = (long)offsetof(struct dpc_experiment, member),                                       \
    .size = SIZE_OF(struct dpc_experiment, member)
#define LEVEL_FIELD(member)                                                                        \
    .offset = (long)offsetof(struct dpc_level, member), .size = SIZE_OF(struct dpc_level, member)
#define NO_FIELD .offset = DPC_KEY_NO_FIELD

/* --- Words that keys have as values. */

static const struct dpc_choice modes[] = {
    {"strict", DPC_MODE_STRICT}, {"elastic", DPC_MODE_ELASTIC}, {0}};
static const struct dpc_choice computes[] = {{"fp32", DPC_COMPUTE_FP32},
                                             {"bf16", DPC_COMPUTE_BF16},
                                             {"auto", DPC_COMPUTE_AUTO},
                                             {"tf32", DPC_COMPUTE_TF32},
                                             {0}};
static const struct dpc_choice classes[] = {{"one", DPC_CLASS_ONE}, {"any", DPC_CLASS_ANY}, {0}};
static const struct dpc_choice recomputes[] = {{"auto", DPC_RECOMPUTE_AUTO},
                                               {"none", DPC_RECOMPUTE_NONE},
                                               {"block", DPC_RECOMPUTE_BLOCK},
                                               {0}};
static const struct dpc_choice trusts[] = {
    {"closed", DPC_TRUST_CLOSED}, {"open", DPC_TRUST_OPEN}, {0}};
static const struct dpc_choice tokenizers[] = {
    {"bytes", DPC_TOKENIZER_BYTES}, {"sentencepiece", DPC_TOKENIZER_SENTENCEPIECE}, {0}};
static const struct dpc_choice inits[] = {
    {"kmeans", DPC_ROUTING_KMEANS},   {"spherical", DPC_ROUTING_SPHERICAL},
    {"product", DPC_ROUTING_PRODUCT}, {"metadata", DPC_ROUTING_METADATA},
    {"hash", DPC_ROUTING_HASH},       {0}};
static const struct dpc_choice routing_features[] = {{"standard", DPC_FEATURES_STANDARD},
                                                     {"whitened", DPC_FEATURES_WHITENED},
                                                     {"ngrams", DPC_FEATURES_NGRAMS},
                                                     {0}};
static const struct dpc_choice balances[] = {
    {"none", DPC_BALANCE_NONE}, {"capacity", DPC_BALANCE_CAPACITY}, {0}};
static const struct dpc_choice inner_optimizers[] = {{"adamw", 0}, {0}};
static const struct dpc_choice schedules[] = {{"cosine", 0}, {0}};
static const struct dpc_choice outer_optimizers[] = {{"nesterov", 0}, {0}};
static const struct dpc_choice weights[] = {{"shard", DPC_WEIGHT_SHARD},
                                            {"tokens", DPC_WEIGHT_TOKENS},
                                            {"uniform", DPC_WEIGHT_UNIFORM},
                                            {0}};
static const struct dpc_choice rescales[] = {
    {"sqrt", DPC_RESCALE_SQRT}, {"rda", DPC_RESCALE_RDA}, {"none", DPC_RESCALE_NONE}, {0}};
static const struct dpc_choice begins[] = {
    {"copy", DPC_BEGIN_COPY}, {"noise", DPC_BEGIN_NOISE}, {"drop", DPC_BEGIN_DROP}, {0}};
static const struct dpc_choice lates[] = {
    {"discount", DPC_LATE_DISCOUNT}, {"refuse", DPC_LATE_REFUSE}, {0}};
static const struct dpc_choice codecs[] = {{"fp32", DPC_CODEC_FP32},
                                           {"bf16", DPC_CODEC_BF16},
                                           {"int8", DPC_CODEC_INT8},
                                           {"nf4", DPC_CODEC_NF4},
                                           {0}};
static const struct dpc_choice moments[] = {{"fp32", DPC_MOMENTS_FP32},
                                            {"bf16", DPC_MOMENTS_BF16},
                                            {"fp8", DPC_MOMENTS_FP8},
                                            {"nf4", DPC_MOMENTS_NF4},
                                            {0}};
static const struct dpc_choice path_states[] = {
    {"ship", DPC_STATE_SHIP}, {"local", DPC_STATE_LOCAL}, {"reset", DPC_STATE_RESET}, {0}};

static const struct dpc_key level_rows[] = {
    {.path = "name",
     .type = DPC_KEY_NAME,
     LEVEL_FIELD(name),
     .required = true,
     .doc = "Name of the level; its modules are called name.0, name.1 and so on"},
    {.path = "parts",
     .type = DPC_KEY_CUSTOM,
     NO_FIELD,
     .required = true,
     .custom = {dpc_experiment_parts_needed, dpc_experiment_read_parts, dpc_experiment_print_parts},
     .doc = "What each module of the level consists of; the first level begins with the embedding, "
            "the last ends with the head"},
    {.path = "modules",
     .type = DPC_KEY_CUSTOM,
     NO_FIELD,
     .required = true,
     .custom = {dpc_experiment_modules_needed, dpc_experiment_read_modules,
                dpc_experiment_print_modules},
     .doc =
         "Interchangeable modules of the level, one of which a path takes; with 1 it is shared by "
         "all paths, with path each has its own, which is never merged with another. All levels "
         "together, and one dense module of each, are at most 4096"},
    {.path = "identity",
     .type = DPC_KEY_BOOL,
     LEVEL_FIELD(identity),
     .fallback = "false",
     .doc = "Paths may also go straight on here, without a module: one more choice, written x in "
            "the names of paths (0-x-1), for shorter paths that smaller machines can train. Not "
            "for levels with the embedding or the head, nor beside modules: path; every path keeps "
            "a block at least"},
};
static const struct dpc_keys level_keys = {level_rows, sizeof level_rows / sizeof *level_rows};

/* --- The experiment. */

static const struct dpc_key rows[] = {
    {.path = "experiment",
     .type = DPC_KEY_NAME,
     FIELD(name),
     .required = true,
     .example = "quickstart",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Name of the experiment"},
    {.path = "mode",
     .type = DPC_KEY_ENUM,
     FIELD(mode),
     .fallback = "strict",
     .choices = modes,
     .may_change = DPC_CHANGE_FORK,
     .doc = "strict: every path trains every step of every round, and versions are a pure function "
            "of this file and the corpus"},
    {.path = "seed",
     .type = DPC_KEY_UINT,
     FIELD(seed),
     .fallback = "1",
     .range = {.min = 0, .max = 0x1p53},
     .doc = "Seed of every random number of the experiment"},
    {.path = "compute",
     .type = DPC_KEY_ENUM,
     FIELD(compute),
     .fallback = "fp32",
     .choices = computes,
     .may_change = DPC_CHANGE_FORK,
     .doc = "Number format in which workers multiply matrices, with sums in fp32; bf16 takes half "
            "the time and needs a processor that has it (AVX-512 BF16) or a card of capability 80, "
            "auto takes bf16 where it runs; tf32 is fp32 in which a card may round what its "
            "products read to 10 bits of mantissa. Weights and optimizer are fp32 always"},
    {.path = "numeric_class",
     .type = DPC_KEY_ENUM,
     FIELD(numeric_class),
     .fallback = "one",
     .choices = classes,
     .may_change = DPC_CHANGE_FORK,
     .doc = "Whose results go together in strict mode; one: only machines that compute the same "
            "bits as the one whose result came first, any: all machines, so that versions also "
            "depend on who trained what, and two workers may differ without an alarm"},
    {.path = "recompute",
     .type = DPC_KEY_ENUM,
     FIELD(recompute),
     .fallback = "auto",
     .choices = recomputes,
     .may_change = DPC_CHANGE_RUNNING | DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Activations are kept (none) or computed again for each block on the way back (block): "
            "less memory, a third more work, the same bits; auto keeps them where they fit the "
            "worker's --memory-mib"},
    {.path = "trust",
     .type = DPC_KEY_ENUM,
     FIELD(trust),
     .fallback = "closed",
     .choices = trusts,
     .may_change = DPC_CHANGE_RUNNING | DPC_CHANGE_FORK,
     .doc =
         "Whom the workers belong to; closed: to the operator, who believes what is whole, finite "
         "and not absurdly large; open: to anybody, so that in each outer step contributions that "
         "are too large are clipped, those that point against the others or are copies are left "
         "out, and no worker weighs more than half of the weight that came, while there are "
         "others; versions then also depend on who trained what"},

    {.path = "data.corpus",
     .type = DPC_KEY_PATH,
     FIELD(data.corpus),
     .required = true,
     .example = "corpus/",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Corpus folder that `dipaco data import` made, relative to this file"},
    {.path = "data.tokenizer.kind",
     .type = DPC_KEY_ENUM,
     FIELD(data.tokenizer),
     .fallback = "bytes",
     .choices = tokenizers,
     .doc = "What a token is; bytes: a byte; sentencepiece: a piece of a word, out of the "
            "vocabulary that the corpus was imported with (`dipaco data import --tokenizer`)"},
    {.path = "data.tokenizer.vocab",
     .type = DPC_KEY_UINT,
     FIELD(model.vocab),
     .fallback_words = "256 for bytes; with sentencepiece it is needed",
     .example = "256",
     .range = {.min = 2, .max = DPC_VOCAB_MAX},
     .unit = "tokens",
     .doc = "Size of the vocabulary, which must be the corpus's"},
    {.path = "data.test",
     .type = DPC_KEY_REAL,
     FIELD(data.test),
     .fallback = "0.1",
     .range = {.min = 0, .max = 0.5},
     .unit = "share of the documents",
     .doc = "Documents held out for the final comparison"},
    {.path = "data.early_stop",
     .type = DPC_KEY_REAL,
     FIELD(data.early_stop),
     .fallback = "0.02",
     .range = {.min = 0, .max = 0.5},
     .unit = "share of the documents",
     .doc = "Documents kept apart for choosing each path's best round (early_stopping); not "
            "trained on, and without early_stopping not read"},
    {.path = "data.router",
     .type = DPC_KEY_REAL,
     FIELD(data.router),
     .fallback = "0.04",
     .range = {.min = 0, .max = 0.5},
     .unit = "share of the documents",
     .doc = "Documents held out for fitting the router"},
    {.path = "data.dense",
     .type = DPC_KEY_REAL,
     FIELD(data.dense),
     .fallback = "1",
     .range = {.min = 1e-6, .max = 1},
     .unit = "share of the documents of train",
     .doc = "Documents that the dense path trains on, in the warm start and as the baseline; their "
            "content draws them. Whoever trains it has all of them on its disk, where those of a "
            "routed path are one shard of many: a large corpus needs no more than the dense path "
            "reads"},

    {.path = "model.dim",
     .type = DPC_KEY_UINT,
     FIELD(model.dim),
     .fallback = "128",
     .range = {.min = 2, .max = DPC_DIM_MAX},
     .unit = "floats",
     .doc = "Width of the residual stream; a multiple of heads"},
    {.path = "model.heads",
     .type = DPC_KEY_UINT,
     FIELD(model.heads),
     .fallback = "4",
     .range = {.min = 1, .max = DPC_DIM_MAX / 2},
     .doc = "Attention heads; dim / heads must be even, for rotary positions"},
    {.path = "model.kv_heads",
     .type = DPC_KEY_UINT,
     FIELD(model.kv_heads),
     .fallback_words = "as many as heads",
     .example = "4",
     .range = {.min = 1, .max = DPC_DIM_MAX / 2},
     .doc = "Heads of keys and values, each shared by heads / kv_heads query heads; divides heads"},
    {.path = "model.ffn",
     .type = DPC_KEY_UINT,
     FIELD(model.ffn),
     .fallback_words = "8/3 of dim, rounded up to a multiple of 8",
     .example = "344",
     .range = {.min = 1, .max = 4 * DPC_DIM_MAX},
     .unit = "floats",
     .doc = "Width inside a feed-forward layer (SwiGLU)"},
    {.path = "model.context",
     .type = DPC_KEY_UINT,
     FIELD(model.context),
     .fallback = "256",
     .range = {.min = 2, .max = DPC_CONTEXT_MAX},
     .unit = "tokens",
     .doc = "Length of a training sequence, which is a window of one document"},
    {.path = "model.tie_embeddings",
     .type = DPC_KEY_BOOL,
     FIELD(model.tie_embeddings),
     .fallback = "true",
     .doc = "The head uses the embedding of its own path instead of a matrix of its own"},
    {.path = "model.rope_base",
     .type = DPC_KEY_REAL,
     FIELD(model.rope_base),
     .fallback = "10000",
     .range = {.min = 1, .max = 1e9, .min_open = true},
     .doc = "Base of the rotary positions' wavelengths"},
    {.path = "model.norm_epsilon",
     .type = DPC_KEY_REAL,
     FIELD(model.norm_epsilon),
     .fallback = "1e-5",
     .range = {.min = DPC_EPSILON_MIN, .max = 0.1},
     .doc = "Added to the mean square in RMSNorm"},
    {.path = "model.init_std",
     .type = DPC_KEY_REAL,
     FIELD(model.init_std),
     .fallback = "0.02",
     .range = {.min = 0, .max = 1, .min_open = true},
     .doc = "Standard deviation of initial weights"},

    {.path = "levels",
     .type = DPC_KEY_LIST,
     FIELD(levels),
     .required = true,
     .example = "  - {name: lower, parts: [embedding, {blocks: 2}], modules: 2}\n"
                "  - {name: upper, parts: [{blocks: 2}, head], modules: 2}",
     .list = {&level_keys, sizeof(struct dpc_level),
              (long)offsetof(struct dpc_experiment, levels_count), DPC_LEVELS_MAX},
     .doc = "Slices of the network from input to output; a path takes one module of each"},
    {.path = "paths",
     .type = DPC_KEY_CUSTOM,
     NO_FIELD,
     .fallback = "all",
     .custom = {dpc_experiment_paths_needed, dpc_experiment_read_paths, dpc_experiment_print_paths},
     .doc = "Which combinations of modules there are; all: every one, or a list such as [0-0, 0-1, "
            "1-1]: of each level that paths share the number of a module, or x for its identity, "
            "from the first level to the last, so that every module is on a path. A combination "
            "that is listed more than "
            "once makes replicas, paths of the same modules with documents of their own, and they "
            "are named 0-0.0, 0-0.1 and so on"},
    {.path = "replicas",
     .type = DPC_KEY_UINT,
     FIELD(replicas),
     .fallback = "1",
     .range = {.min = 1, .max = DPC_PATHS_MAX},
     .unit = "paths",
     .doc = "How many paths there are of each combination; with one module a level this is DiLoCo: "
            "so many workers train one model, each on documents of its own"},

    {.path = "routing.prefix",
     .type = DPC_KEY_UINT,
     FIELD(routing.prefix),
     .fallback = "64",
     .range = {.min = 1, .max = DPC_CONTEXT_MAX},
     .unit = "tokens",
     .doc = "A document's first tokens, which choose its path and are left out of the loss; less "
            "than model.context. Documents that are not longer are not used"},
    {.path = "routing.init",
     .type = DPC_KEY_ENUM,
     FIELD(routing.init),
     .fallback = "kmeans",
     .choices = inits,
     .may_change = DPC_CHANGE_WARM,
     .doc = "How documents are first given to paths; kmeans: clusters of their features, "
            "spherical: the same by their angle, product: clusters of one slice of the "
            "features a level, which together name a path, metadata: the values of a field, hash: "
            "by the content's hash, without meaning"},
    {.path = "routing.features",
     .type = DPC_KEY_ENUM,
     FIELD(routing.features),
     .fallback = "standard",
     .choices = routing_features,
     .may_change = DPC_CHANGE_WARM,
     .doc =
         "What documents are routed by; standard: the warm-started model's mean hidden state over "
         "the prefix, each dimension with mean 0 and variance 1, then all at unit length; "
         "whitened: also free of correlation, so that what many dimensions say together counts "
         "once; ngrams: which tokens and pairs of tokens the prefix holds, without a model"},
    {.path = "routing.restarts",
     .type = DPC_KEY_UINT,
     FIELD(routing.restarts),
     .fallback = "10",
     .range = {.min = 1, .max = 64},
     .unit = "seedings",
     .may_change = DPC_CHANGE_WARM,
     .doc = "How often k-means begins anew; the clusters with the least sum of squared distances "
            "stay"},
    {.path = "routing.field",
     .type = DPC_KEY_NAME,
     FIELD(routing.field),
     .fallback = "language",
     .may_change = DPC_CHANGE_WARM,
     .doc = "With init: metadata, the column of metadata.tsv in the corpus folder that is routed "
            "by; values share paths so that paths get as even as they can. `dipaco data import "
            "--metadata` writes the file from fields of JSON lines. It is text, its columns "
            "separated by tabs; the first line names them and begins with id, each further one "
            "with a document's number, counted from 0. Each document of the corpus needs a value; "
            "texts from elsewhere go to the path with the nearest mean"},
    {.path = "routing.balance",
     .type = DPC_KEY_ENUM,
     FIELD(routing.balance),
     .fallback = "none",
     .choices = balances,
     .may_change = DPC_CHANGE_WARM,
     .doc = "capacity: no path gets more documents of train and router than routing.capacity "
            "says, those that lose most by their second choice choose first; documents held out "
            "always go to the nearest path. Not with init: metadata or hash"},
    {.path = "routing.capacity",
     .type = DPC_KEY_REAL,
     FIELD(routing.capacity),
     .fallback = "1.25",
     .range = {.min = 1, .max = 1000},
     .unit = "times the even share",
     .may_change = DPC_CHANGE_WARM,
     .doc = "Most documents of a path, with balance: capacity"},
    {.path = "routing.overlap",
     .type = DPC_KEY_UINT,
     FIELD(routing.overlap),
     .fallback = "1",
     .range = {.min = 1, .max = 64},
     .unit = "paths",
     .may_change = DPC_CHANGE_WARM,
     .doc = "Paths that train on a document, its nearest ones; held-out documents have one. Not "
            "with init: metadata or hash"},
    {.path = "routing.documents_min",
     .type = DPC_KEY_UINT,
     FIELD(routing.documents_min),
     .fallback = "50",
     .range = {.min = 1, .max = 1000000},
     .unit = "documents",
     .may_change = DPC_CHANGE_WARM,
     .doc = "Fewest documents that a path needs for routing; with fewer the experiment stops"},
    {.path = "routing.phases",
     .type = DPC_KEY_UINT,
     FIELD(routing.phases),
     .fallback = "0",
     .range = {.min = 0, .max = 100},
     .unit = "phases",
     .may_change = DPC_CHANGE_WARM,
     .doc = "How often documents are routed anew while paths train: every path scores the "
            "documents of the router split, a linear classifier learns which path is the best for "
            "which features, and all documents are sharded by it. Needs data.router above 0 and "
            "more rounds than phases; not with replicas of shared modules"},
    {.path = "routing.phase_rounds",
     .type = DPC_KEY_UINT,
     FIELD(routing.phase_rounds),
     .fallback = "0",
     .range = {.min = 0, .max = 1000000},
     .unit = "rounds",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Rounds before each of routing.phases; 0: outer.rounds in even parts"},
    {.path = "routing.score_documents",
     .type = DPC_KEY_UINT,
     FIELD(routing.score_documents),
     .fallback = "0",
     .range = {.min = 0, .max = 10000000},
     .unit = "documents",
     .may_change = DPC_CHANGE_WARM,
     .doc = "Documents of the router split that are scored in each of routing.phases, which costs "
            "documents times routing.score_paths; 0: all"},
    {.path = "routing.score_paths",
     .type = DPC_KEY_UINT,
     FIELD(routing.score_paths),
     .fallback = "0",
     .range = {.min = 0, .max = DPC_PATHS_MAX},
     .unit = "paths",
     .may_change = DPC_CHANGE_WARM,
     .doc = "Paths that score each of these documents, drawn anew for every 32 of them so that all "
            "paths score as many; the best of them is what the router learns; at least 2; 0: all"},
    {.path = "routing.score_windows",
     .type = DPC_KEY_UINT,
     FIELD(routing.score_windows),
     .fallback = "0",
     .range = {.min = 0, .max = 1000000},
     .unit = "windows",
     .may_change = DPC_CHANGE_WARM,
     .doc = "First windows of a document that are scored; 0: evaluation.windows"},

    {.path = "reroute.every",
     .type = DPC_KEY_CUSTOM,
     NO_FIELD,
     .fallback = "never",
     .custom = {dpc_experiment_reroute_needed, dpc_experiment_read_reroute,
                dpc_experiment_print_reroute},
     .may_change = DPC_CHANGE_WARM,
     .doc =
         "Evaluate the paths a second time with a new route after every so many tokens, once for "
         "each number: a router network, the dense model trained on, foretells from the "
         "tokens so far which path is the best for those that follow. Every path reads all "
         "held-out documents and those of the router split for it. Needs 2 paths or more, at "
         "most as many as the vocabulary has tokens, data.router above 0 and a model.context "
         "that is a multiple of 16"},
    {.path = "reroute.ahead",
     .type = DPC_KEY_UINT,
     FIELD(reroute.ahead),
     .fallback = "64",
     .range = {.min = DPC_PIECE_TOKENS, .max = DPC_CONTEXT_MAX},
     .unit = "tokens, a multiple of 16",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "How far the router network looks ahead: its target is the path with the least loss on "
            "so many tokens behind a place"},
    {.path = "reroute.steps",
     .type = DPC_KEY_UINT,
     FIELD(reroute.steps),
     .fallback = "200",
     .range = {.min = 1, .max = DPC_STEPS_MAX},
     .unit = "steps of inner.batch sequences",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Steps of training the router network, on one worker"},
    {.path = "reroute.lr",
     .type = DPC_KEY_REAL,
     FIELD(reroute.lr),
     .fallback = "1e-3",
     .range = {.min = 0, .max = 10, .min_open = true},
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Peak learning rate of the router network; a tenth of the steps warm up, a cosine "
            "follows"},

    {.path = "inner.optimizer",
     .type = DPC_KEY_ENUM,
     NO_FIELD,
     .fallback = "adamw",
     .choices = inner_optimizers,
     .doc = "Optimizer of a path's steps"},
    {.path = "inner.lr",
     .type = DPC_KEY_REAL,
     FIELD(inner.lr),
     .fallback = "1e-3",
     .range = {.min = 0, .max = 10, .min_open = true},
     .may_change = DPC_CHANGE_FORK,
     .doc = "Peak learning rate"},
    {.path = "inner.lr_end",
     .type = DPC_KEY_REAL,
     FIELD(inner.lr_end),
     .fallback = "0.1",
     .range = {.min = 0, .max = 1},
     .unit = "share of lr",
     .may_change = DPC_CHANGE_FORK,
     .doc = "Learning rate at the end of the experiment"},
    {.path = "inner.warmup",
     .type = DPC_KEY_UINT,
     FIELD(inner.warmup),
     .fallback = "50",
     .range = {.min = 0, .max = DPC_STEPS_MAX},
     .unit = "steps",
     .may_change = DPC_CHANGE_FORK,
     .doc = "Steps in which the learning rate rises linearly from 0"},
    {.path = "inner.schedule",
     .type = DPC_KEY_ENUM,
     NO_FIELD,
     .fallback = "cosine",
     .choices = schedules,
     .doc = "How the learning rate falls behind the warm-up, over warm start and all rounds"},
    {.path = "inner.weight_decay",
     .type = DPC_KEY_REAL,
     FIELD(inner.weight_decay),
     .fallback = "0.1",
     .range = {.min = 0, .max = 10},
     .may_change = DPC_CHANGE_FORK,
     .doc = "Decoupled weight decay of matrices"},
    {.path = "inner.beta1",
     .type = DPC_KEY_REAL,
     FIELD(inner.beta1),
     .fallback = "0.9",
     .range = {.min = 0, .max = 1, .max_open = true},
     .may_change = DPC_CHANGE_FORK,
     .doc = "Decay of AdamW's first moment"},
    {.path = "inner.beta2",
     .type = DPC_KEY_REAL,
     FIELD(inner.beta2),
     .fallback = "0.99",
     .range = {.min = 0, .max = 1, .max_open = true},
     .may_change = DPC_CHANGE_FORK,
     .doc = "Decay of AdamW's second moment"},
    {.path = "inner.epsilon",
     .type = DPC_KEY_REAL,
     FIELD(inner.epsilon),
     .fallback = "1e-8",
     .range = {.min = DPC_EPSILON_MIN, .max = 1},
     .may_change = DPC_CHANGE_FORK,
     .doc = "Added to the root of AdamW's second moment"},
    {.path = "inner.clip",
     .type = DPC_KEY_REAL,
     FIELD(inner.clip),
     .fallback = "1.0",
     .range = {.min = 0, .max = 1e6, .min_open = true},
     .may_change = DPC_CHANGE_FORK,
     .doc = "Largest norm of a path's gradient; a longer one is scaled down"},
    {.path = "inner.batch",
     .type = DPC_KEY_UINT,
     FIELD(inner.batch),
     .fallback = "8",
     .range = {.min = 1, .max = DPC_BATCH_MAX},
     .unit = "sequences",
     .may_change = DPC_CHANGE_FORK,
     .doc = "Sequences of one step"},
    {.path = "inner.steps",
     .type = DPC_KEY_UINT,
     FIELD(inner.steps),
     .fallback = "60",
     .range = {.min = 1, .max = DPC_STEPS_MAX},
     .unit = "steps",
     .may_change = DPC_CHANGE_FORK,
     .doc = "Steps that a path trains in one round"},

    {.path = "outer.optimizer",
     .type = DPC_KEY_ENUM,
     NO_FIELD,
     .fallback = "nesterov",
     .choices = outer_optimizers,
     .may_change = DPC_CHANGE_WARM,
     .doc = "Optimizer of a module's rounds"},
    {.path = "outer.lr",
     .type = DPC_KEY_REAL,
     FIELD(outer.lr),
     .fallback = "0.7",
     .range = {.min = 0, .max = 10, .min_open = true},
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Learning rate of a round"},
    {.path = "outer.momentum",
     .type = DPC_KEY_REAL,
     FIELD(outer.momentum),
     .fallback = "0.9",
     .range = {.min = 0, .max = 1, .max_open = true},
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Nesterov momentum of a round"},
    {.path = "outer.weight",
     .type = DPC_KEY_ENUM,
     FIELD(outer.weight),
     .fallback = "shard",
     .choices = weights,
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "What a path's delta weighs in a module, where it brings only a part of a round the "
            "part of it; shard: the documents of its shard, tokens: the tokens that its steps "
            "read, as the coordinator counts them (fewer than batch times context where documents "
            "are shorter), uniform: the same for all"},
    {.path = "outer.rescale",
     .type = DPC_KEY_ENUM,
     FIELD(outer.rescale),
     .fallback = "sqrt",
     .choices = rescales,
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc =
         "Length of the mean delta; sqrt: times the root of the effective number of paths merged; "
         "rda: the mean of the deltas' lengths, in the mean of their directions, so that it "
         "follows from how much they agree; none: as it is"},
    {.path = "outer.rounds",
     .type = DPC_KEY_UINT,
     FIELD(outer.rounds),
     .fallback = "10",
     .range = {.min = 1, .max = DPC_ROUNDS_MAX},
     .unit = "rounds",
     .may_change = DPC_CHANGE_FORK,
     .doc = "Outer steps of the experiment"},
    {.path = "outer.sample",
     .type = DPC_KEY_REAL,
     FIELD(outer.sample),
     .fallback = "1",
     .range = {.min = 0, .max = 1, .min_open = true},
     .unit = "share of the paths",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc =
         "Paths that train in a round, drawn anew for each round; the others skip it, and a module "
         "that none of them uses stays as it is; the dense baseline trains in each"},
    {.path = "outer.quorum",
     .type = DPC_KEY_REAL,
     FIELD(outer.quorum),
     .fallback = "1",
     .range = {.min = 0, .max = 1, .min_open = true},
     .unit = "share of a module's paths",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Paths that a module waits for, however long they take; less than 1 in elastic mode "
            "alone"},
    {.path = "outer.grace",
     .type = DPC_KEY_REAL,
     FIELD(outer.grace),
     .fallback = "0.5",
     .range = {.min = 0, .max = 1000},
     .unit = "times what the quorum took",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "How long a module waits for the rest once the quorum is in (elastic mode)"},
    {.path = "outer.late",
     .type = DPC_KEY_ENUM,
     FIELD(outer.late),
     .fallback = "discount",
     .choices = lates,
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "What becomes of a delta that comes after its module closed the round (elastic mode): "
            "merged with the next round at a smaller weight, or refused"},
    {.path = "outer.late_discount",
     .type = DPC_KEY_REAL,
     FIELD(outer.late_discount),
     .fallback = "0.5",
     .range = {.min = 0, .max = 1, .min_open = true},
     .unit = "times the weight",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Weight of a delta that came a round late, beside those in time; where a module has "
            "none of these, late ones share its step as they would have in time"},

    {.path = "transfer.upload",
     .type = DPC_KEY_ENUM,
     FIELD(transfer.upload),
     .fallback = "fp32",
     .choices = codecs,
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Form in which deltas of routed modules travel to the coordinator, in bytes a value; "
            "fp32: 4, as they are; bf16: 2; int8: 1.02, whole numbers of a scale for each 256; "
            "nf4: 0.52, four bits, NormalFloat. The dense model's are fp32"},
    {.path = "transfer.download",
     .type = DPC_KEY_ENUM,
     FIELD(transfer.download),
     .fallback = "fp32",
     .choices = codecs,
     .may_change = DPC_CHANGE_WARM,
     .doc = "Form in which versions of routed modules travel to workers. fp32: as they are; else "
            "workers train from the version before plus a difference in that form (see "
            "transfer.upload), which makes up for what earlier ones have lost; who has not the "
            "version before fetches the new one whole, as fp32. The coordinator keeps a version "
            "once more"},
    {.path = "transfer.path_state",
     .type = DPC_KEY_ENUM,
     FIELD(transfer.path_state),
     .fallback = "ship",
     .choices = path_states,
     .may_change = DPC_CHANGE_FORK,
     .doc = "What becomes of a path's optimizer state, two values for each parameter, "
            "between two leases; ship: it travels with them; local: it stays with its worker, and "
            "another one begins from moments of zero (elastic mode); reset: every lease does, the "
            "dense baseline's, too"},
    {.path = "transfer.moments",
     .type = DPC_KEY_ENUM,
     FIELD(transfer.moments),
     .fallback = "fp32",
     .choices = moments,
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Form in which the two moments of AdamW travel where path states ship, in bytes a "
            "parameter; fp32: 8, as they are; bf16: 4; fp8: 2.01, bytes with an exponent for each "
            "256; nf4: 1.02, four bits, NormalFloat and powers of two. The next lease goes on from "
            "what travelled, whoever has it. The dense path's are fp32"},

    {.path = "warm_start.steps",
     .type = DPC_KEY_UINT,
     FIELD(warm_start.steps),
     .fallback = "200",
     .range = {.min = 0, .max = DPC_STEPS_MAX},
     .unit = "steps",
     .doc = "Steps of the dense model from which all paths start and that computes routing "
            "features; 0: it is the model of warm_start.from as it came, or, where no model is "
            "asked for a route (features: ngrams, init: hash), one of random weights"},
    {.path = "warm_start.replicas",
     .type = DPC_KEY_UINT,
     FIELD(warm_start.replicas),
     .fallback = "1",
     .range = {.min = 1, .max = DPC_WARM_REPLICAS_MAX},
     .unit = "paths",
     .doc = "How many paths the dense model has in the warm start, so that as many workers share "
            "it: each trains inner.steps steps on documents that it draws itself, then their "
            "mean is where all go on. 1: it is one path, and the other workers wait"},
    {.path = "warm_start.from",
     .type = DPC_KEY_PATH,
     FIELD(warm_start.from),
     .fallback = "none",
     .doc = "Folder of a model, relative to this file, that the dense one begins as, instead of "
            "random weights: a LlamaForCausalLM (config.json, and model.safetensors in F32, BF16 "
            "or F16, whole or in parts), such as `dipaco export` writes, of the shape that model "
            "and levels say; it is read once, when the run begins. none: random weights"},
    {.path = "warm_start.init",
     .type = DPC_KEY_ENUM,
     FIELD(warm_start.init),
     .fallback = "copy",
     .choices = begins,
     .may_change = DPC_CHANGE_WARM,
     .doc =
         "How routed modules begin, where their level has several; copy: all as the dense model; "
         "noise: as that with noise on its matrices; drop: as that with some of its feed-forward "
         "weights drawn anew (Drop-Upcycling). What is drawn is another thing for each module, "
         "the first one too"},
    {.path = "warm_start.noise",
     .type = DPC_KEY_REAL,
     FIELD(warm_start.noise),
     .fallback = "0.01",
     .range = {.min = 0, .max = 10, .min_open = true},
     .unit = "times the standard deviation of a matrix",
     .may_change = DPC_CHANGE_WARM,
     .doc = "Standard deviation of the noise, with init: noise"},
    {.path = "warm_start.drop",
     .type = DPC_KEY_REAL,
     FIELD(warm_start.drop),
     .fallback = "0.5",
     .range = {.min = 0, .max = 1, .min_open = true},
     .unit = "share of model.ffn",
     .may_change = DPC_CHANGE_WARM,
     .doc = "Inner units of each feed-forward whose weights are drawn anew, from a normal of the "
            "mean and standard deviation that these weights had, with init: drop"},

    {.path = "baseline.dense",
     .type = DPC_KEY_BOOL,
     FIELD(baseline.dense),
     .fallback = "true",
     .may_change = DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Train the dense model on beside the paths, for as many steps as one path, and report "
            "both"},

    {.path = "evaluation.windows",
     .type = DPC_KEY_UINT,
     FIELD(evaluation.windows),
     .fallback = "8",
     .range = {.min = 1, .max = 65536},
     .unit = "windows of model.context tokens",
     .may_change = DPC_CHANGE_RUNNING | DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "How much of each held-out document is read, so that no giant decides the figure; a "
            "change in a run with early_stopping mixes losses that do not compare"},

    {.path = "audit",
     .type = DPC_KEY_REAL,
     FIELD(audit),
     .fallback = "0",
     .range = {.min = 0, .max = 1},
     .unit = "share of the tasks",
     .may_change = DPC_CHANGE_RUNNING | DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "Training tasks that an idle worker of the same numeric class repeats once they are "
            "accepted; results must be the same to the bit, a third worker decides where they are "
            "not, and the odd one is barred"},
    {.path = "early_stopping",
     .type = DPC_KEY_BOOL,
     FIELD(early_stopping),
     .fallback = "false",
     .may_change = DPC_CHANGE_FORK,
     .doc = "Evaluate each path after each of its rounds on the early-stop documents of its shard, "
            "and take the round that is best in evaluation, `eval` and `generate`; training never "
            "stops for it, and the dense baseline has its best round, too"},
    {.path = "keep_rounds",
     .type = DPC_KEY_UINT,
     FIELD(keep_rounds),
     .fallback = "3",
     .range = {.min = 1, .max = DPC_ROUNDS_MAX},
     .unit = "rounds",
     .may_change = DPC_CHANGE_RUNNING | DPC_CHANGE_FORK | DPC_CHANGE_WARM,
     .doc = "How far back the coordinator keeps module versions, contributions and the path states "
            "that rounds began with, which is how far `dipacoctl rollback` and `dipaco run --from` "
            "can go back (to round 0 always, but for --from where documents were routed anew "
            "since); what is older is removed from its disk, its records stay"},
};
const struct dpc_keys dpc_experiment_keys = {rows, sizeof rows / sizeof *rows};
