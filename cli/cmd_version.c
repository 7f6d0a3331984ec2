/* SPDX-License-Identifier: Apache-2.0
 * What computes here. Versions of libraries are those that the program was built with. */
#include "cli/cards.h"
#include "cli/commands.h"
#include "cli/text.h"
#include "ops/ops.h"

struct version_options {
    bool json;
};

static const struct dpc_option options[] = {
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print JSON",
     .offset = offsetof(struct version_options, json)},
};

static const struct {
    const char *name, *version;
} libraries[] = {
    {"openblas", DPC_VERSION_OPENBLAS}, {"zeromq", DPC_VERSION_ZMQ},
    {"rocksdb", DPC_VERSION_ROCKSDB},   {"protobuf-c", DPC_VERSION_PROTOBUFC},
    {"libyaml", DPC_VERSION_YAML},      {"jansson", DPC_VERSION_JANSSON},
    {"libcrypto", DPC_VERSION_CRYPTO},  {"zlib", DPC_VERSION_ZLIB},
    {"zstd", DPC_VERSION_ZSTD},         {"sentencepiece", DPC_VERSION_SENTENCEPIECE},
};

/* Each card's object in "cards", or why there is none in "cards_reason". */
static void
add_cards(struct dpc_json *root)
{
    struct dpc_json *cards = dpc_json_array();
    struct dpc_card_info info;
    struct dpc_error err = {0};
    uint32_t count = 0;
    if (dpc_card_probe(NULL, &count, &err) != DPC_OK)
        dpc_json_set_text(root, "cards_reason", err.text);
    for (uint32_t i = 0; i < count; i++) {
        if (dpc_card_describe(NULL, i, &info, &err) == DPC_OK)
            dpc_json_append(cards, dpc_cards_json(&info));
    }
    dpc_json_set(root, "cards", cards);
}

static void
print_cards(void)
{
    char line[DPC_CARDS_LINE_MAX];
    struct dpc_card_info info;
    struct dpc_error err = {0};
    uint32_t count = 0;
    if (dpc_card_probe(NULL, &count, &err) != DPC_OK)
        printf("cards         none: %s\n", err.text);
    for (uint32_t i = 0; i < count; i++) {
        int code = dpc_card_describe(NULL, i, &info, &err);
        printf("card %-8u %s\n", i, code == DPC_OK ? dpc_cards_line(&info, line) : err.text);
    }
}

static void
print_json(void)
{
    struct dpc_json *root = dpc_json_object(), *versions = dpc_json_object();
    dpc_json_set_text(root, "program", "dipaco");
    dpc_json_set_text(root, "version", PACKAGE_VERSION);
    dpc_json_set_text(root, "blas_kernel", dpc_ops_blas_kernel());
    dpc_json_set_text(root, "onednn", dpc_ops_onednn_kernel());
    dpc_json_set_bool(root, "bf16", dpc_ops_cpu(DPC_BF16) != NULL);
    dpc_json_set_text(root, "instructions", dpc_ops_cpu(DPC_FP32)->name);
    for (size_t i = 0; i < DPC_COUNT(libraries); i++)
        dpc_json_set_text(versions, libraries[i].name, libraries[i].version);
    dpc_json_set(root, "libraries", versions);
    add_cards(root);
    dpc_json_show(root, stdout);
    dpc_json_destroy(root);
}

static int
run(const struct dpc_call *call)
{
    const struct version_options *given = call->options;
    if (given->json) {
        print_json();
        return DPC_EXIT_OK;
    }
    printf("dipaco %s\n", PACKAGE_VERSION);
    printf("BLAS kernel   %s\n", dpc_ops_blas_kernel());
    printf("oneDNN        %s\n", dpc_ops_onednn_kernel());
    printf("instructions  %s, products by %s, bf16 %s\n", dpc_ops_cpu(DPC_FP32)->name,
           dpc_ops_cpu(DPC_FP32)->products, dpc_ops_cpu(DPC_BF16) ? "yes" : "no");
    print_cards();
    printf("built with   ");
    for (size_t i = 0; i < DPC_COUNT(libraries); i++)
        printf(" %s %s%s", libraries[i].name, libraries[i].version,
               i + 1 < DPC_COUNT(libraries) ? "," : "\n");
    return DPC_EXIT_OK;
}

const struct dpc_command dpc_command_version = {
    .name = "version",
    .arguments = "",
    .summary = "Version, the BLAS kernel and the instructions in use, cards, libraries.",
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct version_options),
    .run = run,
};
