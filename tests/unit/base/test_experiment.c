/* SPDX-License-Identifier: Apache-2.0 */
#include "base/experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/experiment_paths.h"
#include "base/layout.h"
#include "base/rng.h"
#include "base/vfs.h"
#include "tests/unit/base/experiment_text.h"
#include "tests/unit/harness.h"

/* A file of the source tree. */
static char *
read_source(const char *name)
{
    const char *folder = getenv("srcdir");
    char *path = dpc_format("%s/%s", folder ? folder : ".", name);
    uint8_t *bytes = NULL;
    size_t len;
    struct dpc_error err;
    if (dpc_vfs_read_file(&dpc_vfs_posix, path, DPC_CONFIG_BYTES_MAX, &bytes, &len, &err))
        CU_FAIL_FATAL("the file of the source tree could not be read");
    dpc_free(path);
    return (char *)bytes;
}

static void
quickstart_is_as_the_design_says(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    char *text = read_source("examples/quickstart.yaml");
    CU_ASSERT_EQUAL_FATAL(parse(text, &e, &err), DPC_OK);
    dpc_free(text);
    CU_ASSERT_STRING_EQUAL(e.name, "quickstart");
    CU_ASSERT_EQUAL(e.seed, 1);
    CU_ASSERT_STRING_EQUAL(e.data.corpus, "../.cache/corpus");
    CU_ASSERT(e.data.test == 0.1 && e.data.early_stop == 0.02 && e.data.router == 0.1);
    CU_ASSERT(e.model.dim == 128 && e.model.heads == 4 && e.model.ffn == 344);
    CU_ASSERT(e.model.context == 256 && e.model.vocab == 256 && e.model.tie_embeddings);
    CU_ASSERT_EQUAL_FATAL(e.levels_count, 2);
    CU_ASSERT_STRING_EQUAL(e.levels[0].name, "lower");
    CU_ASSERT(e.levels[0].embedding && e.levels[0].blocks == 2 && !e.levels[0].head);
    CU_ASSERT_STRING_EQUAL(e.levels[1].name, "upper");
    CU_ASSERT(!e.levels[1].embedding && e.levels[1].blocks == 2 && e.levels[1].head);
    CU_ASSERT(e.levels[0].modules == 2 && e.levels[1].modules == 2);
    CU_ASSERT_EQUAL(e.routing.prefix, 64);
    CU_ASSERT(e.inner.lr == 1e-3 && e.inner.warmup == 50 && e.inner.weight_decay == 0.1);
    CU_ASSERT(e.inner.batch == 8 && e.inner.steps == 60 && e.inner.clip == 1.0);
    CU_ASSERT(e.outer.lr == 0.7 && e.outer.momentum == 0.9 && e.outer.rounds == 10);
    CU_ASSERT(e.outer.weight == DPC_WEIGHT_SHARD && e.outer.rescale == DPC_RESCALE_SQRT);
    CU_ASSERT_EQUAL(e.warm_start.steps, 200);
    CU_ASSERT_EQUAL(dpc_layout_path_floats(&e), 824448);
}

static void
what_is_left_out_gets_its_default(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse_with("", &e, &err), DPC_OK);
    CU_ASSERT(e.mode == DPC_MODE_STRICT && e.seed == 1);
    CU_ASSERT(e.inner.lr_end == 0.1 && e.inner.beta1 == 0.9 && e.inner.beta2 == 0.99);
    CU_ASSERT(e.inner.epsilon == 1e-8 && e.inner.clip == 1.0);
    CU_ASSERT(e.model.rope_base == 10000 && e.model.norm_epsilon == 1e-5);
    CU_ASSERT(e.model.init_std == 0.02 && e.model.ffn == 344);
    CU_ASSERT(e.baseline.dense && e.evaluation.windows == 8 && e.routing.documents_min == 50);
    CU_ASSERT(e.routing.features == DPC_FEATURES_STANDARD && e.routing.restarts == 10);
    CU_ASSERT_EQUAL_FATAL(parse_with("routing: {features: whitened, restarts: 64}\n"
                                     "model: {dim: 4096, heads: 4}",
                                     &e, &err),
                          DPC_OK);
    CU_ASSERT(e.routing.features == DPC_FEATURES_WHITENED && e.routing.restarts == 64);
    CU_ASSERT_EQUAL(dpc_experiment_feature_dim(&e), 4096);
    CU_ASSERT_EQUAL_FATAL(parse_with("routing: {features: ngrams}", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_experiment_feature_dim(&e), DPC_NGRAMS_DIM);
    CU_ASSERT_EQUAL(parse_with("routing: {restarts: 1}", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(parse_with("model: {dim: 896, heads: 16}", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(e.model.ffn, 2392);
}

static void
values_that_are_only_named_are_accepted(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL(parse_with("compute: fp32\ntrust: closed\ntransfer: {path_state: ship}\n"
                               "outer: {rescale: none, weight: uniform}\nbaseline: {dense: false}",
                               &e, &err),
                    DPC_OK);
    CU_ASSERT(e.outer.rescale == DPC_RESCALE_NONE && e.outer.weight == DPC_WEIGHT_UNIFORM);
    CU_ASSERT_FALSE(e.baseline.dense);
    CU_ASSERT_EQUAL(parse_with("outer: {rescale: rda}", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(e.outer.rescale, DPC_RESCALE_RDA);
}

/* `more` stands in line 3 of the file. */
static const struct {
    const char *more;
    int code;
    const char *text;
} bad_lines[] = {
    {"inner: {batch: 0}", DPC_ERANGE,
     "f.yaml:3: \"inner.batch\" is 0: needed is a whole number from 1 to 65536 (sequences)"},
    {"inner: {batch: 99999999999999999999}", DPC_ERANGE, "\"inner.batch\" is 9999"},
    {"inner: {batch: eight}", DPC_EINVAL, "\"inner.batch\" is eight: needed is a whole number"},
    {"inner: {batch: \"8\"}", DPC_EINVAL, "\"inner.batch\" is \"8\": needed is a whole number"},
    {"inner: {batch: -8}", DPC_EINVAL, "\"inner.batch\" is -8"},
    {"inner: {batch: 1.5}", DPC_EINVAL, "\"inner.batch\" is 1.5"},
    {"inner: {batch: [8]}", DPC_EINVAL, "\"inner.batch\" is a list"},
    {"inner: {batch: }", DPC_EINVAL, "\"inner.batch\" is empty"},
    {"inner:\n  batch: 8\n  lr: 0", DPC_ERANGE,
     "f.yaml:5: \"inner.lr\" is 0: needed is a number above 0 to 10"},
    {"inner: {lr: nan}", DPC_EINVAL, "\"inner.lr\" is nan"},
    {"inner: {lr: inf}", DPC_EINVAL, "\"inner.lr\" is inf"},
    {"inner: {lr: 0x1p3}", DPC_EINVAL, "\"inner.lr\" is 0x1p3"},
    {"inner: {lr: 1e}", DPC_EINVAL, "\"inner.lr\" is 1e"},
    {"inner: {lr: 1e999}", DPC_ERANGE, "\"inner.lr\" is 1e999"},
    {"inner: {epsilon: 9e-38}", DPC_ERANGE, "needed is a number from 1e-37 to 1"},
    {"model: {norm_epsilon: 1e-50}", DPC_ERANGE, "needed is a number from 1e-37 to 0.1"},
    {"inner: {beta1: 1}", DPC_ERANGE, "needed is a number from 0 to below 1"},
    {"model: {tie_embeddings: yes}", DPC_EINVAL, "needed is true or false"},
    {"outer: {weight: loss}", DPC_EINVAL, "needed is one of shard, tokens, uniform"},
    {"mode: fast", DPC_EINVAL, "\"mode\" is fast: needed is one of strict, elastic"},
    {"seed: 9007199254740993", DPC_ERANGE, "0 to 9007199254740992"},
    {"seed: 9007199254740993000", DPC_ERANGE, "0 to 9007199254740992"},
    {"evaluation: {windows: \"\\e[31m\"}", DPC_EINVAL, "is \"?[31m\""},

    {"iner: {batch: 8}", DPC_EINVAL, "f.yaml:3: \"iner\" is unknown: did you mean \"inner\"?"},
    {"inner: {bacth: 8}", DPC_EINVAL, "\"inner.bacth\" is unknown: did you mean \"inner.batch\"?"},
    {"batch: 8", DPC_EINVAL, "\"batch\" is unknown: did you mean \"inner.batch\"?"},
    {"outer: {batch: 8}", DPC_EINVAL, "did you mean \"inner.batch\"?"},
    {"transfer: {something_else: 1}", DPC_EINVAL,
     "is unknown: the keys here are upload, download, path_state"},
    {"inner: 5", DPC_EINVAL, "\"inner\" must be a map"},
    {"inner: {batch: 8, batch: 9}", DPC_EINVAL,
     "f.yaml:3: \"inner.batch\" stands twice: first in line 3"},
    {"experiment: y", DPC_EINVAL, "f.yaml:3: \"experiment\" stands twice: first in line 1"},
    {"? [a, b]\n: 5", DPC_EINVAL, "f.yaml:3: a key must be a word"},

    {"routing: {reroute: 64}", DPC_EINVAL, "\"routing.reroute\" is unknown"},
    {"reroute: {every: 64}", DPC_EINVAL, "f.yaml:3: \"reroute.every\" needs never, or a list of"},
    {"reroute: {every: []}", DPC_EINVAL, "\"reroute.every\" needs never"},
    {"reroute: {every: [24]}", DPC_EINVAL, "rising multiples of 16"},
    {"reroute: {every: [64, 64]}", DPC_EINVAL, "rising multiples of 16"},
    {"reroute: {every: [16, 32, 48, 64, 80, 96, 112, 128, 144]}", DPC_EINVAL, "1 to 8"},
    {"reroute: {every: [64], ahead: 40}", DPC_EINVAL,
     "\"reroute.ahead\" is 40: needed is a multiple of 16"},
    {"reroute: {every: [64]}\nreplicas: 100", DPC_EINVAL,
     "\"reroute.every\" chooses between 400 paths, and a model of 256 tokens"},
    {"reroute: {every: [64]}\nmodel: {context: 200}", DPC_EINVAL,
     "\"model.context\" is 200, and reroute.every cuts windows into pieces of 16 tokens"},
    {"reroute: {every: [16, 512]}\nevaluation: {windows: 2}", DPC_EINVAL,
     "f.yaml:3: \"reroute.every\" has 512, and evaluation.windows, 2 of 256 tokens, reads 512"},
    {"reroute: {every: [64]}\nevaluation: {windows: 4096}", DPC_ELIMIT,
     "\"evaluation.windows\" makes 65536 pieces of 16 tokens of a document"},
    {"outer: {rescale: mean}", DPC_EINVAL,
     "\"outer.rescale\" is mean: needed is one of sqrt, rda, none"},
    {"outer: {quorum: 2}", DPC_ERANGE, "above 0 to 1"},
    {"outer: {quorum: 0.75}", DPC_EINVAL,
     "\"outer.quorum\" is 0.75, and strict mode waits for all paths"},
    {"transfer: {upload: int2}", DPC_EINVAL, "needed is one of fp32, bf16, int8, nf4"},
    {"transfer: {path_state: local}", DPC_EINVAL,
     "\"transfer.path_state\" is local, and strict mode"},
    {"compute: fp16", DPC_EINVAL, "\"compute\" is fp16: needed is one of fp32, bf16, auto"},
    {"trust: anybody", DPC_EINVAL, "\"trust\""},
    {"audit: 1.01", DPC_ERANGE, "\"audit\" is 1.01"},
    {"audit: -0.1", DPC_ERANGE, "\"audit\" is -0.1"},
    {"recompute: true", DPC_EINVAL, "\"recompute\" is true: needed is one of auto, none, block"},
    {"early_stopping: {patience: 3}", DPC_EINVAL, "\"early_stopping\""},
    {"early_stopping: 1", DPC_EINVAL, "\"early_stopping\" is 1: needed is true or false"},

    {"model: {dim: 130, heads: 4}", DPC_EINVAL,
     "f.yaml:3: \"model.heads\" is 4, which does not divide model.dim, 130"},
    {"model: {dim: 127}", DPC_EINVAL, "f.yaml: \"model.heads\" is 4, which does not divide"},
    {"model: {kv_heads: 3}", DPC_EINVAL,
     "f.yaml:3: \"model.kv_heads\" is 3, which does not divide model.heads, 4"},
    {"model: {kv_heads: 0}", DPC_ERANGE, "\"model.kv_heads\" is 0"},
    {"model: {dim: 12}", DPC_EINVAL, "heads of 3 floats: the size must be even"},
    {"routing: {prefix: 256}", DPC_EINVAL,
     "f.yaml:3: \"routing.prefix\" is 256: it must be less than model.context, 256"},
    {"routing: {init: random}", DPC_EINVAL,
     "\"routing.init\" is random: needed is one of kmeans, spherical, product, metadata, hash"},
    {"routing: {features: raw}", DPC_EINVAL,
     "\"routing.features\" is raw: needed is one of standard, whitened, ngrams"},
    {"routing: {features: whitened}\nmodel: {dim: 4104, heads: 4}", DPC_EINVAL,
     "f.yaml:3: \"routing.features\" is whitened, which takes a matrix of model.dim squared, and "
     "that is 4104: write standard, or a model.dim of at most 4096"},
    {"routing: {restarts: 0}", DPC_ERANGE, "\"routing.restarts\" is 0"},
    {"routing: {restarts: 65}", DPC_ERANGE, "\"routing.restarts\" is 65"},
    {"routing: {balance: true}", DPC_EINVAL, "needed is one of none, capacity"},
    {"routing: {capacity: 0.9}", DPC_ERANGE, "\"routing.capacity\" is 0.9"},
    {"routing: {overlap: 65}", DPC_ERANGE, "\"routing.overlap\" is 65"},
    {"routing: {overlap: 5}", DPC_EINVAL, "\"routing.overlap\" is 5, and there are 4 paths"},
    {"routing: {phases: 101}", DPC_ERANGE, "\"routing.phases\" is 101"},
    {"routing: {phase_rounds: 1000001}", DPC_ERANGE, "\"routing.phase_rounds\" is 1000001"},
    {"routing: {score_documents: 10000001}", DPC_ERANGE, "\"routing.score_documents\" is"},
    {"routing: {score_windows: 1000001}", DPC_ERANGE, "\"routing.score_windows\" is 1000001"},
    {"routing: {score_paths: 65537}", DPC_ERANGE, "\"routing.score_paths\" is 65537"},
    {"routing: {phases: 1, score_paths: 1}", DPC_EINVAL,
     "f.yaml:3: \"routing.score_paths\" is 1, which leaves no choice between paths"},
    {"routing: {phases: 1, score_paths: 5}", DPC_EINVAL,
     "f.yaml:3: \"routing.score_paths\" is 5, and there are 4 paths"},
    {"routing: {score_paths: 2}", DPC_EINVAL,
     "f.yaml:3: \"routing.score_paths\" is 2, and with routing.phases: 0 nothing is scored"},
    {"routing: {score_windows: 2}", DPC_EINVAL, "\"routing.score_windows\" is 2, and with"},
    {"routing: {score_documents: 9}", DPC_EINVAL, "\"routing.score_documents\" is 9, and with"},
    {"routing: {phase_rounds: 3}", DPC_EINVAL, "\"routing.phase_rounds\" is 3, and with"},
    {"routing: {phases: 3}\nouter: {rounds: 3}", DPC_EINVAL,
     "f.yaml:3: \"routing.phases\" is 3, and outer.rounds, 3, leaves fewer than 4"},
    {"routing: {phases: 3, phase_rounds: 2}\nouter: {rounds: 6}", DPC_EINVAL,
     "give more rounds, or lower it or routing.phase_rounds"},
    {"routing: {field: a b}", DPC_EINVAL, "\"routing.field\" is a b"},
    {"paths: some", DPC_EINVAL, "f.yaml:3: \"paths\" is some: needed is all, or a list"},
    {"paths: {a: b}", DPC_EINVAL, "\"paths\" is no list: needed is all"},
    {"paths: []", DPC_ERANGE, "\"paths\" has 0 items: allowed are 1 to 512"},
    {"paths:\n- 0-0\n- 0-01\n", DPC_EINVAL, "f.yaml:5: \"paths[1]\" is 0-01: needed is a path's"},
    {"paths: [0-0, 0-, 1-1]", DPC_EINVAL, "\"paths[1]\" is 0-: needed is a path's name"},
    {"paths: [0-0, [1, 1]]", DPC_EINVAL, "\"paths[1]\" is no name: needed is a path's name"},
    {"paths: [0-0, dense]", DPC_EINVAL, "\"paths[1]\" is dense: needed is a path's name"},
    {"paths: [0-0, 0-0.1]", DPC_EINVAL, "\"paths[1]\" is 0-0.1: needed is a path's name"},
    {"paths: [0-0, 12345-0]", DPC_EINVAL, "\"paths[1]\" is 12345-0: needed is a path's name"},
    {"paths: [0-0-0-0-0-0-0-0-0-0-0-0-0-0-0-0-0]", DPC_EINVAL, "\"paths[0]\" is 0-0-0-0"},
    {"paths:\n- 0-0\n- 1-2\n- 1-1", DPC_EINVAL,
     "f.yaml:5: \"paths[1]\" takes module 2 of level upper, which has 2, numbered from 0"},
    {"paths: [0-0, 1-1-1]", DPC_EINVAL,
     "\"paths[1]\" names 3 modules, and there are 2 levels that paths share"},
    {"paths: [0-0, 1]", DPC_EINVAL, "\"paths[1]\" names 1 modules"},
    {"paths: [0-0, 0-1]", DPC_EINVAL,
     "f.yaml:3: \"paths\" leave out the module lower.1, which nothing would train: list a path"},
    {"paths: [0-0, 1-1]\nrouting: {init: product}", DPC_EINVAL,
     "f.yaml:4: \"routing.init\" is product, which makes one path of every combination"},
    {"replicas: 2\nrouting: {init: product}", DPC_EINVAL, "and paths or replicas say others"},
    {"replicas: 2\nrouting: {phases: 1}", DPC_EINVAL,
     "f.yaml:4: \"routing.phases\" is 1, and replicas score all documents alike"},
    {"paths: [0-0, 1-1, 0-0]\nrouting: {phases: 1}", DPC_EINVAL, "replicas score all documents"},
    {"replicas: 0", DPC_ERANGE, "\"replicas\" is 0: needed is a whole number from 1 to 65536"},
    {"replicas: 65537", DPC_ERANGE, "\"replicas\" is 65537"},
    {"replicas: 16385", DPC_ELIMIT, "4 combinations of modules with 16385 replicas each"},
    {"paths: [0-0, 1-1]\nrouting: {overlap: 3}", DPC_EINVAL, "and there are 2 paths"},
    {"routing: {init: hash, balance: capacity}", DPC_EINVAL,
     "\"routing.balance\" is capacity, which init: hash cannot keep to"},
    {"routing: {init: metadata, overlap: 2}", DPC_EINVAL,
     "\"routing.overlap\" is 2, and init: metadata knows no second choice"},
    {"outer: {rounds: 1000000}\ninner: {steps: 1000}", DPC_ELIMIT,
     "f.yaml:3: \"outer.rounds\" makes 1000000200 steps"},
};

static void
bad_files_are_named_with_line_key_and_range(void)
{
    for (size_t i = 0; i < sizeof bad_lines / sizeof *bad_lines; i++) {
        struct dpc_experiment e = {.seed = 4711};
        struct dpc_error err;
        int code = parse_with(bad_lines[i].more, &e, &err);
        if (code != bad_lines[i].code || !strstr(err.text, bad_lines[i].text))
            fprintf(stderr, "\n%s\n  gives %d: %s\n", bad_lines[i].more, code, err.text);
        CU_ASSERT_EQUAL(code, bad_lines[i].code);
        CU_ASSERT_EQUAL(err.code, bad_lines[i].code);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, bad_lines[i].text));
        CU_ASSERT_EQUAL(e.seed, 4711);
    }
}

/* Levels in the place of the usual two; the first of them stands in line 4. */
static const struct {
    const char *levels;
    int code;
    const char *text;
} bad_levels[] = {
    {"  - {name: a, parts: [{blocks: 1}, head], modules: 1}", DPC_EINVAL,
     "f.yaml:4: \"levels[0].parts\" must begin with the embedding"},
    {"  - {name: a, parts: [embedding, {blocks: 1}], modules: 1}", DPC_EINVAL,
     "\"levels[0].parts\" must end with the head"},
    {"  - {name: a, parts: [embedding, head], modules: 1}\n"
     "  - {name: b, parts: [{blocks: 1}, head], modules: 1}",
     DPC_EINVAL, "f.yaml:4: \"levels[0].parts\" has a head: only the last level may"},
    {"  - {name: a, parts: [embedding], modules: 1}\n"
     "  - {name: b, parts: [embedding, {blocks: 1}, head], modules: 1}",
     DPC_EINVAL, "f.yaml:5: \"levels[1].parts\" has an embedding: only the first level may"},
    {"  - {name: a, parts: [embedding, head], modules: 1}", DPC_EINVAL, "have no blocks"},
    {"  - {name: a, parts: [], modules: 1}", DPC_EINVAL, "needs at least one part"},
    {"  - {name: a, parts: embedding, modules: 1}", DPC_EINVAL, "needs at least one part"},
    {"  - {name: a, parts: [embedding, embedding], modules: 1}", DPC_EINVAL, "must be the first"},
    {"  - {name: a, parts: [{blocks: 1}, embedding], modules: 1}", DPC_EINVAL, "must be the first"},
    {"  - {name: a, parts: [embedding, head, {blocks: 1}], modules: 1}", DPC_EINVAL,
     "the head must be the last"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, {blocks: 1}, head], modules: 1}", DPC_EINVAL,
     "write their sum once"},
    {"  - {name: a, parts: [embedding, {blocks: 0}, head], modules: 1}", DPC_ERANGE,
     "from 1 to 512"},
    {"  - {name: a, parts: [embedding, {blocks: x}, head], modules: 1}", DPC_EINVAL,
     "from 1 to 512"},
    {"  - {name: a, parts: [embedding, {layers: 2}, head], modules: 1}", DPC_EINVAL,
     "has an unknown part"},
    {"  - {name: a, parts: [embedding, [2], head], modules: 1}", DPC_EINVAL, "has an unknown part"},
    {"  - {name: a, parts: [embedding, mixer, head], modules: 1}", DPC_EINVAL,
     "has the part \"mixer\""},
    {"  - {name: a.b, parts: [embedding, {blocks: 1}, head], modules: 1}", DPC_EINVAL,
     "f.yaml:4: \"levels[0].name\" is a.b: needed is a name of a-z"},
    {"  - {name: A, parts: [embedding, {blocks: 1}, head], modules: 1}", DPC_EINVAL,
     "\"levels[0].name\" is A"},
    {"  - {name: 1a, parts: [embedding, {blocks: 1}, head], modules: 1}", DPC_EINVAL,
     "\"levels[0].name\" is 1a"},
    {"  - {name: dense, parts: [embedding, {blocks: 1}, head], modules: 1}", DPC_EINVAL,
     "is dense, which names the dense path"},
    {"  - {name: a, parts: [embedding], modules: 1}\n"
     "  - {name: a, parts: [{blocks: 1}, head], modules: 1}",
     DPC_EINVAL, "f.yaml:5: \"levels[1].name\" is a, as that of levels[0]"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head], modules: 0}", DPC_ERANGE,
     "\"levels[0].modules\" is 0: needed is a whole number from 1 to 4096, or path"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head], modules: pats}", DPC_EINVAL,
     "\"levels[0].modules\" is pats: needed is a whole number"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head], modules: path}", DPC_EINVAL,
     "\"levels\" all have modules: path, and none says how many paths there are"},
    {"  - {name: a, parts: [embedding, {blocks: 1}], modules: 128}\n"
     "  - {name: b, parts: [{blocks: 1}], modules: 64}\n"
     "  - {name: c, parts: [{blocks: 1}, head], modules: path}",
     DPC_ELIMIT, "at most 4096 are possible"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head], modules: identity}", DPC_EINVAL,
     "is identity, which is a key of its own"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head], modules: 1, identity: true}", DPC_EINVAL,
     "f.yaml:4: \"levels[0].identity\" is true, and no path can do without the embedding"},
    {"  - {name: a, parts: [embedding], modules: 1}\n"
     "  - {name: b, parts: [{blocks: 1}, head], modules: 1, identity: true}",
     DPC_EINVAL, "f.yaml:5: \"levels[1].identity\" is true, and no path can do without the head"},
    {"  - {name: a, parts: [embedding, {blocks: 1}], modules: 1}\n"
     "  - {name: b, parts: [{blocks: 1}], modules: path, identity: true}\n"
     "  - {name: c, parts: [head], modules: 1}",
     DPC_EINVAL, "f.yaml:5: \"levels[1].identity\" is true beside modules: path"},
    {"  - {name: a, parts: [embedding], modules: 1}\n"
     "  - {name: b, parts: [{blocks: 1}], modules: 1, identity: true}\n"
     "  - {name: c, parts: [head], modules: 1}",
     DPC_EINVAL, "\"levels\" have blocks only where there is an identity"},
    {"  - {name: a, parts: [embedding], modules: 1}\n"
     "  - {name: b, parts: [{blocks: 1}], modules: 1, identity: true}\n"
     "  - {name: c, parts: [head], modules: 1}\n"
     "paths: [0-0-0, 0-x-0]",
     DPC_EINVAL, "f.yaml:7: \"paths[1]\" takes no block at all"},
    {"  - {name: a, parts: [embedding, {blocks: 1}], modules: 1}\n"
     "  - {name: b, parts: [{blocks: 1}], modules: 1}\n"
     "  - {name: c, parts: [head], modules: 1}\n"
     "paths: [0-0-0, 0-x-0]",
     DPC_EINVAL, "f.yaml:7: \"paths[1]\" skips level b, which has no identity"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head], modules: 4}\n"
     "routing: {init: product}",
     DPC_EINVAL,
     "f.yaml:5: \"routing.init\" is product, which clusters once a level of several "
     "modules, and there is one"},
    {"  - {name: a, parts: [embedding, {blocks: 1}], modules: 4}\n"
     "  - {name: b, parts: [{blocks: 1}], modules: 1}\n"
     "  - {name: c, parts: [{blocks: 1}, head], modules: path}\n"
     "routing: {init: product}",
     DPC_EINVAL, "and there is one: write kmeans, or give more levels several modules"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head], modules: 1}\n"
     "reroute: {every: [64]}",
     DPC_EINVAL, "f.yaml:5: \"reroute.every\" chooses between paths, and there is one"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head], modules: 1}\n"
     "replicas: 65536\n"
     "reroute: {every: [64]}",
     DPC_EINVAL, "\"reroute.every\" chooses between 65536 paths, and at most 65535 are possible"},
    {"  - {name: a, parts: [embedding], modules: 2}\n"
     "  - {name: b, parts: [{blocks: 1}], modules: 2}\n"
     "  - {name: c, parts: [head], modules: 2}\n"
     "model: {dim: 2, heads: 1}",
     DPC_EINVAL, "f.yaml:7: \"model.dim\" is 2, less than the 3 levels"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head]}", DPC_EINVAL,
     "f.yaml:4: \"levels[0].modules\" is missing"},
    {"  - {name: a, parts: [embedding, {blocks: 1}, head], modules: 1, module: 2}", DPC_EINVAL,
     "\"levels[0].module\" is unknown: did you mean \"levels[0].modules\"?"},
    {"  - a", DPC_EINVAL, "f.yaml:4: a map of keys is needed here"},
    {"  {name: a}", DPC_EINVAL, "\"levels\" is a map: needed is a list of 1 to 16 maps"},
    {"  []", DPC_ERANGE, "has 0 items: allowed are 1 to 16"},
    {"  - {name: a, parts: [embedding], modules: 300}\n"
     "  - {name: b, parts: [{blocks: 1}, head], modules: 300}",
     DPC_ELIMIT, "\"levels\" is too large: the levels make 90000 paths"},
};

static void
bad_levels_are_named(void)
{
    for (size_t i = 0; i < sizeof bad_levels / sizeof *bad_levels; i++) {
        struct dpc_experiment e;
        struct dpc_error err;
        char *text =
            dpc_format("experiment: x\ndata: {corpus: c}\nlevels:\n%s\n", bad_levels[i].levels);
        int code = parse(text, &e, &err);
        if (code != bad_levels[i].code || !strstr(err.text, bad_levels[i].text))
            fprintf(stderr, "\n%s\n  gives %d: %s\n", bad_levels[i].levels, code, err.text);
        CU_ASSERT_EQUAL(code, bad_levels[i].code);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, bad_levels[i].text));
        dpc_free(text);
    }
}

static void
required_keys_are_missed(void)
{
    static const struct {
        const char *text, *missed;
    } rows[] = {
        {"data: {corpus: c}\n", "\"experiment\" is missing"},
        {"experiment: x\n", "\"data.corpus\" is missing"},
        {"experiment: x\ndata: {test: 0.1}\n", "\"data.corpus\" is missing"},
    };
    struct dpc_experiment e;
    struct dpc_error err;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = dpc_format("%s%s", rows[i].text, levels);
        CU_ASSERT_EQUAL(parse(text, &e, &err), DPC_EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].missed));
        dpc_free(text);
    }
    CU_ASSERT_EQUAL(parse("experiment: x\ndata: {corpus: c}\n", &e, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"levels\" is missing"));
}

static void
printing_and_parsing_again_gives_the_same(void)
{
    struct dpc_experiment first, again;
    struct dpc_error err;
    struct dpc_buf out, out_again;
    memset(&first, 0, sizeof first);
    memset(&again, 0, sizeof again);
    CU_ASSERT_EQUAL_FATAL(
        parse_with("inner: {lr: 0.00030000000000000003, epsilon: 1.2345678901234567e-11}\n"
                   "seed: 9007199254740991\nmodel: {tie_embeddings: false, init_std: 0.1}\n"
                   "outer: {lr: 0.333333333333333333333, weight: tokens, rescale: none}",
                   &first, &err),
        DPC_OK);
    (void)snprintf(first.data.corpus, sizeof first.data.corpus, "%s",
                   "d\xC3\xA9j\xC3\xA0 \"vu\" \\ \xE2\x80\xA8\xF0\x9F\x98\x80: #x");
    dpc_buf_init(&out, 0);
    dpc_buf_init(&out_again, 0);
    dpc_experiment_print(&first, &out);
    CU_ASSERT_EQUAL_FATAL(parse(dpc_buf_text(&out), &again, &err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(&first, &again, sizeof first), 0);
    dpc_experiment_print(&again, &out_again);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&out), dpc_buf_text(&out_again));
    dpc_buf_done(&out);
    dpc_buf_done(&out_again);
}

/* A worker of the release before the last new key was turned away by it, in experiments that did
 * not use it, too. */
static void
the_short_form_has_no_key_at_its_default(void)
{
    static const char *const left_out[] = {"vocab", "kv_heads", "numeric_class", "early_stopping"};
    struct dpc_experiment first, again;
    struct dpc_error err;
    struct dpc_buf out;
    memset(&first, 0, sizeof first);
    memset(&again, 0, sizeof again);
    CU_ASSERT_EQUAL_FATAL(
        parse_with("mode: elastic\nouter: {quorum: 0.5}\nreplicas: 2", &first, &err), DPC_OK);
    dpc_buf_init(&out, 0);
    dpc_experiment_print_short(&first, &out);
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        CU_ASSERT_PTR_NULL(strstr(dpc_buf_text(&out), left_out[i]));
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&out), "outer:\n  quorum: 0.5\n"));
    CU_ASSERT_EQUAL_FATAL(parse(dpc_buf_text(&out), &again, &err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(&first, &again, sizeof first), 0);
    dpc_buf_done(&out);
}

/* Whoever went back to an older release was told of a key, as if he had written it. */
static void
what_another_version_wrote_is_told_so(void)
{
    static const char stored[] = "experiment: x\ndata: {corpus: c}\nkey_of_later: 1\n";
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL(
        dpc_experiment_parse_stored("the stored experiment", stored, strlen(stored), &e, &err),
        DPC_EVERSION);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(err.text, "the stored experiment:3: \"key_of_later\" is unknown"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another version of dipaco wrote it"));
}

/* A list is printed as it was read, behind the levels or in front of them; so are the largest. */
static void
lists_of_paths_are_printed_and_read(void)
{
    struct dpc_experiment e, again;
    struct dpc_error err;
    struct dpc_buf list, out;
    memset(&e, 0, sizeof e);
    memset(&again, 0, sizeof again);
    CU_ASSERT_EQUAL_FATAL(parse_with("paths: [0-0, 1-1, 0-1, 1-1]\nreplicas: 3", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(e.listed_count, 4);
    CU_ASSERT_EQUAL(dpc_experiment_paths(&e), 12);
    dpc_buf_init(&out, 0);
    dpc_experiment_print(&e, &out);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(dpc_buf_text(&out), "\npaths: [0-0, 1-1, 0-1, 1-1]\nreplicas: 3\nrouting:\n"));
    CU_ASSERT_EQUAL_FATAL(parse(dpc_buf_text(&out), &again, &err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(&e, &again, sizeof e), 0);
    dpc_buf_done(&out);
    dpc_buf_init(&list, 0);
    for (int i = 0; i < DPC_PATHS_LISTED_MAX; i++)
        dpc_buf_printf(&list, "%s%d-%d", i ? ", " : "paths: [", i % 2, i / 2 % 2);
    char *longer = dpc_format("%s, 0-0]", dpc_buf_text(&list));
    dpc_buf_printf(&list, "]");
    CU_ASSERT_EQUAL(parse_with(dpc_buf_text(&list), &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_experiment_paths(&e), DPC_PATHS_LISTED_MAX);
    CU_ASSERT_EQUAL(parse_with(longer, &e, &err), DPC_ERANGE);
    dpc_free(longer);
    dpc_buf_done(&list);
}

/* A comparison's row reads its keys over those of its file. */
static void
a_list_replaces_the_one_before(void)
{
    static const char *const lists[] = {"[1-1, 0-0, 0-1]", "[0-0]", "all"};
    static const uint32_t counts[] = {3, 1, 0};
    struct dpc_experiment e;
    struct dpc_error err;
    memset(&e, 0, sizeof e);
    for (int i = 0; i < 3; i++) {
        struct dpc_yaml *yaml;
        CU_ASSERT_EQUAL_FATAL(dpc_yaml_parse("f", lists[i], strlen(lists[i]), &yaml, &err), DPC_OK);
        CU_ASSERT_EQUAL(dpc_experiment_read_paths(yaml, dpc_yaml_root(yaml), "paths", &e, &err),
                        DPC_OK);
        CU_ASSERT_EQUAL(e.listed_count, counts[i]);
        CU_ASSERT_EQUAL(e.listed[0].digits, i < 2 ? 2 : 0);
        CU_ASSERT_EQUAL(e.listed[1].digits, i < 1 ? 2 : 0);
        dpc_yaml_destroy(yaml);
    }
}

/* Levels of modules: path are no digit, and have one for each path of the list. */
static void
listed_paths_have_modules_of_their_own(void)
{
    static const char text[] = "experiment: x\ndata: {corpus: c}\nlevels:\n"
                               "  - {name: a, parts: [embedding, {blocks: 1}], modules: 2}\n"
                               "  - {name: b, parts: [{blocks: 1}], modules: path}\n"
                               "  - {name: c, parts: [{blocks: 1}, head], modules: 2}\n"
                               "paths: [0-0, 1-1, 1-1]\nrouting: {phases: 1}\n";
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse(text, &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(e.levels[1].modules, 3);
}

/* A level that paths may skip is one more choice, and x in the list. */
static void
identities_are_printed_and_read(void)
{
    static const char text[] = "experiment: x\ndata: {corpus: c}\nlevels:\n"
                               "  - {name: a, parts: [embedding, {blocks: 1}], modules: 2}\n"
                               "  - {name: b, parts: [{blocks: 1}], modules: 2, identity: true}\n"
                               "  - {name: c, parts: [{blocks: 1}, head], modules: 2}\n";
    struct dpc_experiment e, again;
    struct dpc_error err;
    struct dpc_buf out;
    memset(&e, 0, sizeof e);
    memset(&again, 0, sizeof again);
    CU_ASSERT_EQUAL_FATAL(parse(text, &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_experiment_paths(&e), 2 * 3 * 2);
    char *listed = dpc_format("%spaths: [0-x-1, 1-0-0, 0-1-0]\n", text);
    memset(&e, 0, sizeof e);
    CU_ASSERT_EQUAL_FATAL(parse(listed, &e, &err), DPC_OK);
    dpc_free(listed);
    CU_ASSERT_EQUAL(e.listed[0].choices[1], DPC_CHOICE_IDENTITY);
    dpc_buf_init(&out, 0);
    dpc_experiment_print(&e, &out);
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&out), "modules: 2, identity: true}\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&out), "\npaths: [0-x-1, 1-0-0, 0-1-0]\n"));
    CU_ASSERT_EQUAL_FATAL(parse(dpc_buf_text(&out), &again, &err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(&e, &again, sizeof e), 0);
    dpc_buf_done(&out);
}

/* What a path that skips a level is composed of is an experiment of its own. */
static void
levels_are_taken_out(void)
{
    struct dpc_experiment e, taken;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse_with("replicas: 2", &e, &err), DPC_OK);
    dpc_experiment_take_levels(&e, 3, &taken);
    CU_ASSERT_EQUAL(taken.levels_count, 2);
    dpc_experiment_take_levels(&e, 2, &taken);
    CU_ASSERT_EQUAL(taken.levels_count, 1);
    CU_ASSERT_STRING_EQUAL(taken.levels[0].name, "upper");
    CU_ASSERT_EQUAL(dpc_layout_path_floats(&taken), dpc_layout_module_floats(&e, 1));
    CU_ASSERT_EQUAL(dpc_layout_levels_floats(&e, 2), dpc_layout_module_floats(&e, 1));
    CU_ASSERT_EQUAL(dpc_layout_levels_floats(&e, 3), dpc_layout_path_floats(&e));
}

/* The longest that may be listed still travels in one message. */
static void
the_longest_list_fits_a_message(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    struct dpc_buf text;
    dpc_buf_init(&text, 0);
    dpc_buf_printf(&text, "experiment: x\ndata: {corpus: c}\nlevels:\n");
    for (int i = 0; i < DPC_LEVELS_MAX; i++)
        dpc_buf_printf(&text, "  - {name: l%d, parts: [%s{blocks: 1}%s], modules: 250}\n", i,
                       i ? "" : "embedding, ", i == DPC_LEVELS_MAX - 1 ? ", head" : "");
    for (int i = 0; i < DPC_PATHS_LISTED_MAX; i++) {
        dpc_buf_printf(&text, i ? ", " : "paths: [");
        for (int k = 0; k < DPC_LEVELS_MAX; k++)
            dpc_buf_printf(&text, "%s%d", k ? "-" : "", 249 - i % 250);
    }
    dpc_buf_printf(&text, "]\n");
    CU_ASSERT_EQUAL_FATAL(parse(dpc_buf_text(&text), &e, &err), DPC_OK);
    dpc_buf_reset(&text);
    dpc_experiment_print(&e, &text);
    CU_ASSERT(text.len < DPC_CONTROL_BYTES_MAX - 16 * DPC_KIB);
    dpc_buf_done(&text);
}

/* The canonical form is part of the store: it may gain keys, but what it says stays. */
static void
canonical_form_has_groups_and_levels(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    struct dpc_buf out;
    CU_ASSERT_EQUAL_FATAL(parse_with("", &e, &err), DPC_OK);
    dpc_buf_init(&out, 0);
    dpc_experiment_print(&e, &out);
    const char *text = dpc_buf_text(&out);
    CU_ASSERT_EQUAL(strncmp(text, "experiment: x\nmode: strict\nseed: 1\n", 35), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(
        text,
        "\ndata:\n  corpus: c\n  tokenizer:\n    kind: bytes\n    vocab: 256\n  test: 0.1\n"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(text, "\nlevels:\n  - {name: lower, parts: [embedding, {blocks: 2}], modules: 2, "
                     "identity: false}\n"
                     "  - {name: upper, parts: [{blocks: 2}, head], modules: 2, identity: false}\n"
                     "paths: all\nreplicas: 1\nrouting:\n"));
    dpc_buf_done(&out);
}

struct seen {
    struct dpc_buf text;
};

static void
note(void *context, const char *key, const char *old_value, const char *new_value, bool may_change)
{
    struct seen *seen = context;
    dpc_buf_printf(&seen->text, "%s %s -> %s %s\n", key, old_value, new_value,
                   may_change ? "may" : "fixed");
}

static void
diff_names_changed_keys_and_whether_they_may(void)
{
    struct dpc_experiment a, b;
    struct dpc_error err;
    struct seen seen;
    CU_ASSERT_EQUAL_FATAL(parse_with("", &a, &err), DPC_OK);
    b = a;
    dpc_buf_init(&seen.text, 0);
    dpc_experiment_diff(&a, &b, DPC_CHANGE_RUNNING, note, &seen);
    CU_ASSERT_EQUAL(seen.text.len, 0);
    b.inner.lr = 2e-3;
    b.evaluation.windows = 9;
    dpc_experiment_diff(&a, &b, DPC_CHANGE_FORK, note, &seen);
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&seen.text), "inner.lr 0.001 -> 0.002 may\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&seen.text), "evaluation.windows 8 -> 9 may\n"));
    b.levels[1].modules = 3;
    dpc_buf_reset(&seen.text);
    dpc_experiment_diff(&a, &b, DPC_CHANGE_FORK, note, &seen);
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&seen.text), "] fixed\n"));
    dpc_buf_reset(&seen.text);
    dpc_experiment_diff(&a, &b, DPC_CHANGE_RUNNING, note, &seen);
    CU_ASSERT_STRING_EQUAL(
        dpc_buf_text(&seen.text),
        "levels [{name: lower, parts: [embedding, {blocks: 2}], modules: 2, "
        "identity: false}, "
        "{name: upper, parts: [{blocks: 2}, head], modules: 2, identity: false}]"
        " -> [{name: lower, parts: [embedding, {blocks: 2}], modules: 2, "
        "identity: false}, {name: upper, parts: [{blocks: 2}, head], modules: 3, "
        "identity: false}] fixed\n"
        "inner.lr 0.001 -> 0.002 fixed\nevaluation.windows 8 -> 9 may\n");
    dpc_buf_done(&seen.text);
}

static void
warm_starts_are_shared_where_nothing_of_them_differs(void)
{
    struct dpc_experiment a, b;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse_with("", &a, &err), DPC_OK);
    b = a;
    b.outer.lr = 0.1;
    b.routing.overlap = 2;
    b.baseline.dense = !a.baseline.dense;
    CU_ASSERT_TRUE(dpc_experiment_shares_warm_start(&a, &b));
    a.early_stopping = b.early_stopping = true;
    CU_ASSERT_FALSE(dpc_experiment_shares_warm_start(&a, &b));
    b.baseline.dense = a.baseline.dense;
    CU_ASSERT_TRUE(dpc_experiment_shares_warm_start(&a, &b));
    b.outer.rounds++; /* the learning rate falls over all of them */
    CU_ASSERT_FALSE(dpc_experiment_shares_warm_start(&a, &b));
    b = a;
    b.levels[1].modules++; /* the dense path has another number */
    CU_ASSERT_FALSE(dpc_experiment_shares_warm_start(&a, &b));
    b = a;
    b.trust = DPC_TRUST_OPEN; /* may change while it runs, and outer steps with it */
    CU_ASSERT_FALSE(dpc_experiment_shares_warm_start(&a, &b));
    b = a;
    a.warm_start.steps = b.warm_start.steps = 0;
    CU_ASSERT_FALSE(dpc_experiment_shares_warm_start(&a, &b));
}

static void
example_is_up_to_date_and_holds_the_defaults(void)
{
    struct dpc_experiment example, least;
    struct dpc_error err;
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    dpc_experiment_write_example(&out);
    char *file = read_source("examples/experiment.yaml");
    if (strcmp(file, dpc_buf_text(&out)) != 0)
        CU_FAIL("examples/experiment.yaml is out of date: run make update-examples");
    dpc_free(file);
    memset(&example, 0, sizeof example);
    memset(&least, 0, sizeof least);
    CU_ASSERT_EQUAL_FATAL(parse(dpc_buf_text(&out), &example, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(parse_with("", &least, &err), DPC_OK);
    (void)snprintf(least.name, sizeof least.name, "quickstart");
    (void)snprintf(least.data.corpus, sizeof least.data.corpus, "corpus/");
    CU_ASSERT_EQUAL(memcmp(&example, &least, sizeof least), 0);
    dpc_buf_done(&out);
}

static void
man_text_has_every_key(void)
{
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    dpc_experiment_write_man(&out);
    const char *text = dpc_buf_text(&out);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, ".TP\n.B inner.lr\nPeak learning rate. Allowed: a number "
                                        "above 0 to 10. Default: 1e\\-3. A fork may change it.\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, ".B levels[].modules\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, ".B routing.phases\n"));
    dpc_buf_done(&out);
}

static void
load_names_the_file(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_experiment_load("/nonexistent/e.yaml", &e, &err), DPC_EINVAL);
    CU_ASSERT_STRING_EQUAL(err.text, "there is no experiment file \"/nonexistent/e.yaml\"");
}

static void
long_keys_and_names_are_cut_not_overrun(void)
{
    enum { LONG = 1000 }; /* YAML itself allows keys of 1,024 */
    struct dpc_experiment e;
    struct dpc_error err;
    char *name = dpc_alloc(LONG + 1, 1);
    memset(name, 'k', LONG);
    char *text = dpc_format("%s: 1\n", name);
    CU_ASSERT_EQUAL(dpc_experiment_parse(name, text, strlen(text), &e, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "kkk...\" is unknown: the keys here are experiment,"));
    dpc_free(text);
    text = dpc_format("experiment: %s\n", name);
    CU_ASSERT_EQUAL(parse(text, &e, &err), DPC_ERANGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "kkk...: needed is a name"));
    dpc_free(text);
    dpc_free(name);
}

static void
volunteers_trusts_nobody_and_waits_for_nobody(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    char *text = read_source("examples/volunteers.yaml");
    CU_ASSERT_EQUAL_FATAL(parse(text, &e, &err), DPC_OK);
    dpc_free(text);
    CU_ASSERT(e.mode == DPC_MODE_ELASTIC && e.trust == DPC_TRUST_OPEN && e.audit > 0);
    CU_ASSERT(e.outer.quorum < 1 && e.outer.late == DPC_LATE_DISCOUNT);
    /* The gates need four votes in each module. */
    CU_ASSERT(e.levels[0].modules >= 4 && e.levels[1].modules >= 4);
}

/* Whatever a file says, it is an error with a text or an experiment that can be printed and read.
 */
static void
damaged_files_never_harm(void)
{
    enum { TRIALS = 3000, EDITS = 4 };
    static const char bytes[] = "{}[]:,-#&*!|>'\"%@` \n\t0129azAZ.\\\x01\x7F\xC3\xFF";
    char *good = read_source("examples/quickstart.yaml");
    size_t len = strlen(good);
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    int read = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        struct dpc_experiment e, again;
        struct dpc_error err = {0};
        char *text = dpc_strdup(good);
        for (int i = 0; i <= trial % EDITS; i++)
            text[dpc_rng_below(&rng, len)] = bytes[dpc_rng_below(&rng, sizeof bytes)];
        int code = dpc_experiment_parse("f.yaml", text, len, &e, &err);
        if (code == DPC_OK) {
            struct dpc_buf out;
            dpc_buf_init(&out, 0);
            dpc_experiment_print(&e, &out);
            CU_ASSERT_EQUAL(parse(dpc_buf_text(&out), &again, &err), DPC_OK);
            CU_ASSERT_EQUAL(memcmp(&e, &again, sizeof e), 0);
            dpc_buf_done(&out);
            read++;
        } else {
            CU_ASSERT(err.code == code && strncmp(err.text, "f.yaml:", 7) == 0);
        }
        dpc_free(text);
    }
    CU_ASSERT(read > TRIALS / 20 && read < TRIALS); /* both ways were walked */
    dpc_free(good);
}

static void
a_tokenizer_and_its_vocabulary_go_together(void)
{
    static const struct {
        const char *tokenizer;
        int code;
        const char *words; /* NULL: the vocabulary is `vocab` */
        uint32_t vocab;
    } cases[] = {
        {"{kind: bytes}", DPC_OK, NULL, 256},
        {"{kind: bytes, vocab: 256}", DPC_OK, NULL, 256},
        {"{vocab: 256}", DPC_OK, NULL, 256},
        {"{kind: sentencepiece, vocab: 8192}", DPC_OK, NULL, 8192},
        {"{kind: sentencepiece, vocab: 65536}", DPC_OK, NULL, 65536},
        {"{kind: bytes, vocab: 257}", DPC_EINVAL, "\"data.tokenizer.vocab\" is 257", 0},
        {"{kind: sentencepiece}", DPC_EINVAL, "dipaco data info", 0},
        {"{kind: sentencepiece, vocab: 1}", DPC_ERANGE, "2 to 65536", 0},
        {"{kind: sentencepiece, vocab: 65537}", DPC_ERANGE, "2 to 65536", 0},
        {"{kind: unigram, vocab: 300}", DPC_EINVAL, "one of bytes, sentencepiece", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dpc_experiment e;
        struct dpc_error err = {0};
        char *text = dpc_format("experiment: x\ndata: {corpus: c, tokenizer: %s}\n%s",
                                cases[i].tokenizer, levels);
        CU_ASSERT_EQUAL(parse(text, &e, &err), cases[i].code);
        if (cases[i].words)
            CU_ASSERT_PTR_NOT_NULL(strstr(err.text, cases[i].words))
        else
            CU_ASSERT_EQUAL(e.model.vocab, cases[i].vocab);
        dpc_free(text);
    }
}

static const struct dpc_test tests[] = {
    {"a tokenizer and its vocabulary go together", a_tokenizer_and_its_vocabulary_go_together},
    {"quickstart is as the design says", quickstart_is_as_the_design_says},
    {"volunteers trusts nobody and waits for nobody",
     volunteers_trusts_nobody_and_waits_for_nobody},
    {"what is left out gets its default", what_is_left_out_gets_its_default},
    {"values that are only named are accepted", values_that_are_only_named_are_accepted},
    {"bad files: line, key and range", bad_files_are_named_with_line_key_and_range},
    {"bad levels are named", bad_levels_are_named},
    {"required keys are missed", required_keys_are_missed},
    {"printing and parsing again gives the same", printing_and_parsing_again_gives_the_same},
    {"the short form has no key at its default", the_short_form_has_no_key_at_its_default},
    {"what another version wrote is told so", what_another_version_wrote_is_told_so},
    {"lists of paths are printed and read", lists_of_paths_are_printed_and_read},
    {"a list replaces the one before", a_list_replaces_the_one_before},
    {"listed paths have modules of their own", listed_paths_have_modules_of_their_own},
    {"identities are printed and read", identities_are_printed_and_read},
    {"levels are taken out", levels_are_taken_out},
    {"the longest list fits a message", the_longest_list_fits_a_message},
    {"canonical form has groups and levels", canonical_form_has_groups_and_levels},
    {"diff names changed keys", diff_names_changed_keys_and_whether_they_may},
    {"warm starts are shared where nothing of them differs",
     warm_starts_are_shared_where_nothing_of_them_differs},
    {"example is up to date", example_is_up_to_date_and_holds_the_defaults},
    {"man text has every key", man_text_has_every_key},
    {"load names the file", load_names_the_file},
    {"damaged files never harm", damaged_files_never_harm},
    {"long keys and names are cut", long_keys_and_names_are_cut_not_overrun},
};
DPC_TEST_MAIN("base/experiment", tests)
