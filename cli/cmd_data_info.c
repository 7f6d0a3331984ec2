/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/splits.h"
#include "cli/text.h"
#include "data/tokens.h"

struct info_options {
    const char *experiment;
    bool json;
};

static const struct dpc_option options[] = {
    {.name = "experiment",
     .kind = DPC_OPTION_TEXT,
     .value_name = "FILE",
     .help = "take the splits' shares and the prefix from this experiment (else the defaults)",
     .offset = offsetof(struct info_options, experiment)},
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print JSON",
     .offset = offsetof(struct info_options, json)},
};

struct split_count {
    uint64_t documents, tokens;
};

struct info {
    const struct dpc_tokens *tokens;
    uint32_t prefix;
    struct split_count splits[DPC_SPLITS_COUNT];
    uint64_t too_short; /* not longer than the routing prefix */
};

static void
count_documents(struct info *info, const struct dpc_experiment *experiment)
{
    for (uint32_t doc = 0; doc < dpc_tokens_documents(info->tokens); doc++) {
        struct split_count *split = &info->splits[dpc_tokens_split(info->tokens, doc, experiment)];
        uint32_t count = dpc_tokens_count(info->tokens, doc);
        split->documents++;
        split->tokens += count;
        info->too_short += count <= info->prefix;
    }
}

static void
print_json(const struct info *info)
{
    struct dpc_json *root = dpc_json_object(), *splits = dpc_json_object();
    char hash[DPC_HASH_HEX_MAX];
    struct dpc_hash content;
    dpc_tokens_hash(info->tokens, &content);
    dpc_hash_hex(&content, hash, sizeof hash);
    dpc_json_set_integer(root, "documents", dpc_tokens_documents(info->tokens));
    dpc_json_set_integer(root, "tokens", (int64_t)dpc_tokens_total(info->tokens));
    dpc_json_set_integer(root, "vocab", dpc_tokens_vocabulary(info->tokens)->size);
    dpc_json_set_text(root, "hash", hash);
    dpc_json_set_integer(root, "prefix", info->prefix);
    dpc_json_set_integer(root, "too_short", (int64_t)info->too_short);
    for (int i = 0; i < DPC_SPLITS_COUNT; i++) {
        struct dpc_json *split = dpc_json_object();
        dpc_json_set_integer(split, "documents", (int64_t)info->splits[i].documents);
        dpc_json_set_integer(split, "tokens", (int64_t)info->splits[i].tokens);
        dpc_json_set(splits, dpc_split_name((enum dpc_split)i), split);
    }
    dpc_json_set(root, "splits", splits);
    dpc_json_show(root, stdout);
    dpc_json_destroy(root);
}

static void
print_text(const struct info *info)
{
    static const char *const titles[] = {"split", ">documents", ">tokens"};
    struct dpc_table *table = dpc_table_create(titles, DPC_COUNT(titles));
    for (int i = 0; i < DPC_SPLITS_COUNT; i++) {
        dpc_table_add(table, "%s", dpc_split_name((enum dpc_split)i));
        dpc_table_add(table, "%" PRIu64, info->splits[i].documents);
        dpc_table_add(table, "%" PRIu64, info->splits[i].tokens);
    }
    dpc_table_add(table, "all");
    dpc_table_add(table, "%" PRIu32, dpc_tokens_documents(info->tokens));
    dpc_table_add(table, "%" PRIu64, dpc_tokens_total(info->tokens));
    dpc_table_print(table, stdout);
    dpc_table_destroy(table);
    const struct dpc_vocabulary *vocabulary = dpc_tokens_vocabulary(info->tokens);
    printf("tokenizer: {kind: %s, vocab: %" PRIu32 "}\n",
           vocabulary->lengths ? "sentencepiece" : "bytes", vocabulary->size);
    if (info->too_short)
        printf("%" PRIu64 " documents are not longer than the routing prefix of %" PRIu32
               " tokens and are never trained on\n",
               info->too_short, info->prefix);
}

static int
run(const struct dpc_call *call)
{
    const struct info_options *given = call->options;
    struct dpc_experiment *experiment;
    struct dpc_tokens *tokens = NULL;
    struct dpc_error err;
    int rc = dpc_splits_load(given->experiment, &experiment, &err);
    if (rc != DPC_OK)
        return dpc_complain(call, dpc_exit_of_experiment(rc), "%s", err.text);
    rc = dpc_tokens_open(call->arguments.items[0], &tokens, &err);
    if (rc == DPC_OK)
        rc = dpc_tokens_verify(tokens, &err);
    if (rc == DPC_OK) {
        struct info info = {.tokens = tokens, .prefix = experiment->routing.prefix};
        count_documents(&info, experiment);
        if (given->json)
            print_json(&info);
        else
            print_text(&info);
    }
    dpc_tokens_close(tokens);
    dpc_free(experiment);
    return rc == DPC_OK ? DPC_EXIT_OK : dpc_complain_error(call, &err);
}

const struct dpc_command dpc_command_data_info = {
    .name = "data info",
    .arguments = "DIR",
    .summary = "Documents, tokens and splits of a corpus; checks its hash.",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct info_options),
    .run = run,
};
