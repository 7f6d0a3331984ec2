/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in an experiment file, which a worker gets from a coordinator and a researcher
 * writes by hand: what is accepted prints as a file that gives the same experiment, and modules,
 * paths and tensors can be laid out for it.
 */
#include "base/experiment.h"
#include "base/layout.h"
#include "base/topology.h"
#include "tests/fuzz/fuzz.h"

static void
print(const struct dpc_experiment *experiment, struct dpc_buf *out)
{
    dpc_buf_init(out, 0);
    dpc_experiment_print(experiment, out);
    fuzz_require(!out->failed, "an experiment is printed");
}

static void
lay_out(const struct dpc_experiment *experiment)
{
    struct dpc_topology topology;
    struct dpc_error err;
    char name[2 * DPC_NAME_MAX];
    if (dpc_topology_init(&topology, experiment, &err) != DPC_OK)
        return;
    uint32_t last = topology.paths_count - 1, found;
    for (uint32_t i = 0; i < dpc_topology_path_length(&topology, last); i++)
        fuzz_require(dpc_topology_path_module(&topology, last, i) < topology.modules_count,
                     "a path's modules are there");
    dpc_topology_path_name(&topology, last, name, sizeof name);
    fuzz_require(dpc_topology_path_find(&topology, name, &found) && found == last,
                 "a path is found by its name");
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        struct dpc_layout layout;
        dpc_layout_init(&layout, experiment, level);
        fuzz_require(layout.floats_count == dpc_layout_module_floats(experiment, level),
                     "a module has its tensors");
        dpc_layout_done(&layout);
    }
    dpc_topology_done(&topology);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dpc_experiment experiment, again;
    struct dpc_error err = {0};
    struct dpc_buf first, second;
    if (dpc_experiment_parse("f", (const char *)data, size, &experiment, &err) != DPC_OK) {
        fuzz_require(err.code != DPC_OK && *err.text, "a refusal says why");
        return 0;
    }
    fuzz_accepted++;
    print(&experiment, &first);
    int code = dpc_experiment_parse("f", (const char *)first.data, first.len, &again, &err);
    fuzz_require(code == DPC_OK, code == DPC_OK ? "" : err.text);
    print(&again, &second);
    fuzz_require(first.len == second.len && memcmp(first.data, second.data, first.len) == 0,
                 "what is printed says the same");
    dpc_buf_done(&first);
    dpc_buf_done(&second);
    lay_out(&experiment);
    return 0;
}

#ifndef DPC_LIBFUZZER

static const char *const files[] = {
    "experiment: x\ndata: {corpus: c}\nlevels:\n"
    "  - {name: lower, parts: [embedding, {blocks: 2}], modules: 2}\n"
    "  - {name: upper, parts: [{blocks: 2}, head], modules: 2}\n",
    "experiment: y-1\nseed: 7\ndata:\n  corpus: \"a b\" # text\n  tokenizer: {kind: bytes}\n"
    "model: {dim: 32, heads: 2, kv_heads: 1, ffn: 64, context: 128}\nrouting: {prefix: 8, "
    "features: whitened}\nlevels:\n"
    "  - {name: a, parts: [embedding, {blocks: 1}], modules: 1}\n"
    "  - {name: b, parts: [{blocks: 1}], modules: 3, identity: true}\n"
    "  - {name: c, parts: [{blocks: 1}, head], modules: 2}\n"
    "paths: [0-0-1, 0-x-1, 0-1-0, 0-2-0]\n"
    "inner: {steps: 5, batch: 2, lr: 1e-3}\nouter: {rounds: 3, lr: 0.7, momentum: .9}\n",
};

static void
add_inputs(struct fuzz *fuzz)
{
    struct dpc_buf example;
    fuzz_valid_texts(fuzz, files, sizeof files / sizeof *files);
    dpc_buf_init(&example, 0);
    dpc_experiment_write_example(&example);
    fuzz_valid(fuzz, example.data, example.len, 0);
    dpc_buf_done(&example);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 1500, add_inputs);
}

#endif
