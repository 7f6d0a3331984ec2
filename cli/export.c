/* SPDX-License-Identifier: Apache-2.0
 * Weights go from the path to the file in pieces, so that a large path needs no second copy. Each
 * file is written beside its name and renamed. */
#include "cli/export.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/llama.h"
#include "cli/export_tokenizer.h"

enum { PIECE_VALUES = 1 << 16 };

static const char config_name[] = "config.json", weights_name[] = "model.safetensors";

struct export
{
    const struct dpc_export_settings *settings;
    const char *folder;
    char path_name[2 * DPC_NAME_MAX];
    const struct dpc_experiment *whole; /* the run's */
    struct dpc_experiment taken;        /* with the path's levels alone */
    struct dpc_path *path;
    const struct dpc_tokenizer *tokenizer;
    uint8_t *file; /* that it was made of; NULL: tokens are bytes */
    size_t file_len;
    struct dpc_llama llama;
    struct dpc_error *err;
};

static int
file_in(const struct export *export, const char *name, char ret_path[DPC_PATH_MAX])
{
    int code = dpc_path_join(export->folder, name, ret_path, DPC_PATH_MAX);
    if (code != DPC_OK)
        dpc_error_set(export->err, code, "the path \"%.200s/%s\" is too long", export->folder,
                      name);
    return code;
}

/* --- model.safetensors. */

static int
put_header(const struct export *export, struct dpc_buf *out)
{
    const struct dpc_llama *llama = &export->llama;
    struct dpc_safetensor *tensors = dpc_alloc(llama->count, sizeof *tensors);
    for (uint32_t i = 0; i < llama->count; i++) {
        const struct dpc_llama_tensor *ours = &llama->tensors[i];
        struct dpc_safetensor *tensor = &tensors[i];
        *tensor =
            (struct dpc_safetensor){.type = export->settings->type,
                                    .dims_count = ours->rows ? 2 : 1,
                                    .dims = {ours->rows ? ours->rows : ours->cols, ours->cols}};
        (void)snprintf(tensor->name, sizeof tensor->name, "%s", ours->name);
    }
    (void)dpc_safetensors_place(tensors, llama->count);
    dpc_safetensors_put_header(tensors, llama->count, "pt", out);
    dpc_free(tensors);
    return out->failed ? DPC_ENOMEM : DPC_OK;
}

static int
write_values(const struct export *export, struct dpc_vfs_file *file, uint64_t *offset)
{
    enum dpc_safetensors_type type = export->settings->type;
    size_t value_bytes = dpc_safetensors_value_bytes(type);
    uint8_t *piece = dpc_alloc(PIECE_VALUES, sizeof(float));
    int code = DPC_OK;
    for (uint32_t i = 0; code == DPC_OK && i < export->llama.count; i++) {
        const struct dpc_llama_tensor *tensor = &export->llama.tensors[i];
        const float *values = dpc_path_module_params(export->path, tensor->level) + tensor->offset;
        size_t count = dpc_llama_values(tensor);
        for (size_t at = 0; code == DPC_OK && at < count; at += PIECE_VALUES) {
            size_t some = count - at < PIECE_VALUES ? count - at : PIECE_VALUES;
            dpc_safetensors_encode(type, values + at, some, piece);
            code = dpc_vfs_posix.ops->write(file, piece, some * value_bytes, *offset);
            *offset += some * value_bytes;
        }
    }
    dpc_free(piece);
    return code;
}

static int
write_open_file(const struct export *export, struct dpc_vfs_file *file)
{
    struct dpc_buf header;
    uint64_t offset;
    dpc_buf_init(&header, 0);
    int code = put_header(export, &header);
    offset = header.len;
    if (code == DPC_OK)
        code = dpc_vfs_posix.ops->truncate(file, 0);
    if (code == DPC_OK)
        code = dpc_vfs_posix.ops->write(file, header.data, header.len, 0);
    if (code == DPC_OK)
        code = write_values(export, file, &offset);
    if (code == DPC_OK)
        code = dpc_vfs_posix.ops->sync(file);
    dpc_buf_done(&header);
    return code;
}

static int
write_weights(const struct export *export)
{
    const struct dpc_vfs *vfs = &dpc_vfs_posix;
    char path[DPC_PATH_MAX], temp[DPC_PATH_MAX];
    struct dpc_vfs_file *file;
    int code = file_in(export, weights_name, path);
    if (code == DPC_OK)
        code = file_in(export, "model.safetensors.new", temp);
    if (code != DPC_OK)
        return code;
    code = vfs->ops->open(vfs, temp, DPC_VFS_WRITE | DPC_VFS_CREATE, &file);
    if (code == DPC_OK) {
        code = write_open_file(export, file);
        vfs->ops->close(file);
        if (code == DPC_OK)
            code = vfs->ops->rename(vfs, temp, path);
        if (code != DPC_OK)
            (void)vfs->ops->remove(vfs, temp); /* a full disk gets its bytes back */
    }
    if (code != DPC_OK)
        dpc_error_set(export->err, code, "could not write \"%.300s\": %s", path,
                      dpc_error_words(code));
    return code;
}

/* --- The small files. */

static int
write_bytes(const struct export *export, const char *name, const void *bytes, size_t len)
{
    char path[DPC_PATH_MAX];
    int code = file_in(export, name, path);
    if (code == DPC_OK)
        code = dpc_vfs_write_file(&dpc_vfs_posix, path, bytes, len, export->err);
    return code;
}

static int
write_text(const struct export *export, const char *name, const char *text)
{
    return write_bytes(export, name, text, strlen(text));
}

static int
write_json(const struct export *export, const char *name, struct dpc_json *root)
{
    char *text = dpc_json_print(root, true);
    int code = write_text(export, name, text);
    dpc_free(text);
    dpc_json_destroy(root);
    return code;
}

/* Readers keep keys that they do not know: what it comes from stands with it. */
static int
write_config(const struct export *export)
{
    struct dpc_json *config = dpc_llama_config(&export->taken, export->settings->type);
    struct dpc_json *origin = dpc_json_object();
    dpc_json_set_text(origin, "experiment", export->whole->name);
    dpc_json_set_text(origin, "path", export->path_name);
    dpc_json_set_text(origin, "tokens", export->file ? "sentencepiece" : "bytes");
    dpc_json_set_integer(origin, "routing_prefix", export->whole->routing.prefix);
    dpc_json_set(config, "dipaco", origin);
    return write_json(export, config_name, config);
}

/* With the model file beside it, where there is one: a LlamaTokenizer reads that where texts are
 * normalised, and llama.cpp always, which without these words puts a mark and a space before them.
 */
static int
write_tokenizer_config(const struct export *export, bool llama, bool add_prefix)
{
    struct dpc_json *config = dpc_json_object();
    dpc_json_set_text(config, "tokenizer_class",
                      llama ? "LlamaTokenizer" : "PreTrainedTokenizerFast");
    dpc_json_set_integer(config, "model_max_length", export->whole->model.context);
    dpc_json_set_bool(config, "clean_up_tokenization_spaces", false);
    if (export->file) {
        dpc_json_set_bool(config, "add_bos_token", false);
        dpc_json_set_bool(config, "add_eos_token", false);
        dpc_json_set_bool(config, "add_prefix_space", add_prefix);
    }
    if (llama)
        dpc_json_set_bool(config, "legacy", false);
    return write_json(export, "tokenizer_config.json", config);
}

/* `ret_json`: whether others find our tokens in a tokenizer.json. */
static int
write_piece_tokenizer(const struct export *export, bool *ret_json)
{
    struct dpc_sentencepiece_facts facts;
    int code = dpc_sentencepiece_look(export->file, export->file_len, &facts, export->err);
    if (code == DPC_OK)
        code = write_bytes(export, DPC_TOKENIZER_FILE, export->file, export->file_len);
    if (code != DPC_OK)
        return code;
    struct dpc_json *root = dpc_export_piece_tokenizer(export->tokenizer, &facts);
    *ret_json = root != NULL;
    code = write_tokenizer_config(export, root == NULL, facts.add_prefix);
    if (code == DPC_OK && root)
        return write_json(export, "tokenizer.json", root);
    dpc_json_destroy(root);
    return code;
}

static int
write_byte_tokenizer(const struct export *export)
{
    int code = write_tokenizer_config(export, false, false);
    return code == DPC_OK ? write_json(export, "tokenizer.json", dpc_export_byte_tokenizer())
                          : code;
}

static int
write_tokenizer(const struct export *export, bool *ret_json)
{
    *ret_json = true;
    return export->file ? write_piece_tokenizer(export, ret_json) : write_byte_tokenizer(export);
}

/* What AutoTokenizer makes of a model file alone are other tokens, since release 5 of transformers
 * without SentencePiece. */
static const char auto_tokenizer[] =
    "    from transformers import AutoModelForCausalLM, AutoTokenizer\n"
    "    model = AutoModelForCausalLM.from_pretrained(\".\")\n"
    "    tokenizer = AutoTokenizer.from_pretrained(\".\")\n";
static const char own_tokenizer[] =
    "    from sentencepiece import SentencePieceProcessor\n"
    "    from transformers import AutoModelForCausalLM\n"
    "    model = AutoModelForCausalLM.from_pretrained(\".\")\n"
    "    tokenizer = SentencePieceProcessor(model_file=\"" DPC_TOKENIZER_FILE "\")\n"
    "\n"
    "AutoTokenizer makes other tokens of some texts: it has no form for all that this file does.\n";

static int
write_readme(const struct export *export, uint64_t values, bool json)
{
    const struct dpc_experiment *whole = export->whole;
    char *tokens = export->file
                       ? dpc_format("Tokens are %u pieces of `" DPC_TOKENIZER_FILE
                                    "`, a model of SentencePiece; none begins or ends a text.",
                                    whole->model.vocab)
                       : dpc_format("Tokens are bytes: token N is byte N, none begins or ends a "
                                    "text, and `tokenizer.json` says so to others.");
    char *text = dpc_format(
        "# %s, path %s\n"
        "\n"
        "A path of a DiPaCo model as a LlamaForCausalLM of %llu parameters. %s "
        "In training windows were of %u tokens, and a document's first %u, by which a router "
        "chooses its path, were context alone.\n"
        "\n"
        "%s",
        whole->name, export->path_name, (unsigned long long)values, tokens, whole->model.context,
        whole->routing.prefix, json ? auto_tokenizer : own_tokenizer);
    int code = write_text(export, "README.md", text);
    dpc_free(tokens);
    dpc_free(text);
    return code;
}

/* --- All of it. */

static void
count_name(void *context, const char *name)
{
    (void)name;
    ++*(uint32_t *)context;
}

/* What was there is written over file by file; without its config.json it is no model meanwhile. A
 * tokenizer of what was there must not stay beside the model that comes. */
static int
claim_folder(const struct export *export)
{
    static const char *const theirs[] = {config_name, "tokenizer.json", DPC_TOKENIZER_FILE};
    const struct dpc_vfs *vfs = &dpc_vfs_posix;
    char path[DPC_PATH_MAX];
    uint32_t names = 0;
    int code = dpc_vfs_make_folder(vfs, export->folder, export->err);
    if (code != DPC_OK)
        return code;
    code = vfs->ops->list(vfs, export->folder, count_name, &names);
    if (code == DPC_OK && names && !export->settings->force)
        return dpc_error_set(export->err, DPC_EPERM,
                             "\"%.300s\" is not empty: name another folder, or write over what is "
                             "there with --force",
                             export->folder);
    for (size_t i = 0; code == DPC_OK && i < sizeof theirs / sizeof *theirs; i++) {
        code = file_in(export, theirs[i], path);
        if (code == DPC_OK && dpc_vfs_exists(vfs, path))
            code = vfs->ops->remove(vfs, path);
    }
    if (code != DPC_OK)
        dpc_error_set(export->err, code, "could not use the folder \"%.300s\": %s", export->folder,
                      dpc_error_words(code));
    return code;
}

static int
write_all(const struct export *export, uint64_t values)
{
    bool json = false;
    int code = claim_folder(export);
    if (code == DPC_OK)
        code = write_weights(export);
    if (code == DPC_OK)
        code = write_tokenizer(export, &json);
    if (code == DPC_OK)
        code = write_readme(export, values, json);
    return code == DPC_OK ? write_config(export) : code;
}

int
dpc_export_path(struct dpc_model *model, uint32_t path, const char *folder,
                const struct dpc_export_settings *settings, uint64_t *ret_values,
                struct dpc_error *err)
{
    const struct dpc_topology *topology = dpc_model_topology(model);
    struct export *export = dpc_alloc(1, sizeof *export);
    uint64_t values = 0;
    *export = (struct export){
        .settings = settings, .folder = folder, .whole = dpc_model_experiment(model), .err = err};
    dpc_topology_path_name(topology, path, export->path_name, sizeof export->path_name);
    int code = dpc_model_path_of_now(model, path, &export->path, err);
    if (code == DPC_OK)
        code = dpc_model_tokenizer(model, &export->tokenizer, err);
    if (code == DPC_OK)
        code = dpc_model_tokenizer_file(model, &export->file, &export->file_len, err);
    if (code == DPC_OK) {
        dpc_experiment_take_levels(export->whole, dpc_topology_path_levels(topology, path),
                                   &export->taken);
        dpc_llama_init(&export->llama, &export->taken);
        for (uint32_t i = 0; i < export->llama.count; i++)
            values += dpc_llama_values(&export->llama.tensors[i]);
        code = write_all(export, values);
        dpc_llama_done(&export->llama);
    }
    dpc_free(export->file);
    dpc_free(export);
    if (code == DPC_OK)
        *ret_values = values;
    return code;
}
