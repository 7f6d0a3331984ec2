/* SPDX-License-Identifier: Apache-2.0
 * Which file holds a tensor is looked up in the files themselves: an index only names them. */
#include "base/imported.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/layout.h"
#include "base/limits.h"
#include "base/llama.h"
#include "base/safetensors.h"

static const char config_name[] = "config.json", weights_name[] = "model.safetensors",
                  index_name[] = "model.safetensors.index.json";

struct dpc_imported {
    const struct dpc_vfs *vfs;
    const struct dpc_experiment *experiment;
    char folder[DPC_PATH_MAX];
    struct dpc_llama llama;
    struct dpc_safetensors *files[DPC_IMPORTED_FILES_MAX];
    char names[DPC_IMPORTED_FILES_MAX][DPC_NAME_MAX];
    uint32_t files_count;
};

/* --- Files. */

static int
join(const struct dpc_imported *imported, const char *name, char ret_path[DPC_PATH_MAX],
     struct dpc_error *err)
{
    int code = dpc_path_join(imported->folder, name, ret_path, DPC_PATH_MAX);
    if (code != DPC_OK)
        dpc_error_set(err, code, "the path of the model \"%.200s\" is too long", imported->folder);
    return code;
}

static int
load_json(const struct dpc_imported *imported, const char *name, char ret_path[DPC_PATH_MAX],
          struct dpc_json **ret_root, struct dpc_error *err)
{
    uint8_t *text;
    size_t len;
    int code = join(imported, name, ret_path, err);
    if (code == DPC_OK)
        code = dpc_vfs_read_file(imported->vfs, ret_path, DPC_SAFETENSORS_HEADER_BYTES_MAX, &text,
                                 &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_json_parse_unique((const char *)text, len, ret_root, NULL);
    dpc_free(text);
    if (code == DPC_OK && !dpc_json_is_object(*ret_root)) {
        dpc_json_destroy(*ret_root);
        code = DPC_EPARSE;
    }
    if (code != DPC_OK)
        dpc_error_set(err, code, "could not read \"%.300s\": it is no JSON object", ret_path);
    return code;
}

static int
check_config(const struct dpc_imported *imported, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    struct dpc_json *config;
    int code = load_json(imported, config_name, path, &config, err);
    if (code == DPC_ENOTFOUND)
        return dpc_error_set(err, code,
                             "there is no model in \"%.300s\": it has no %s (dipaco export writes "
                             "such a folder)",
                             imported->folder, config_name);
    if (code != DPC_OK)
        return code;
    code = dpc_llama_check(path, config, imported->experiment, err);
    dpc_json_destroy(config);
    return code;
}

static int
open_file(struct dpc_imported *imported, const char *name, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int code = join(imported, name, path, err);
    if (code == DPC_OK)
        code =
            dpc_safetensors_open(imported->vfs, path, &imported->files[imported->files_count], err);
    imported->files_count += code == DPC_OK;
    return code;
}

/* --- The index: {"weight_map": {"TENSOR": "FILE"}}. */

struct naming {
    struct dpc_imported *imported;
    uint32_t count;
    bool sound;
};

/* A name of a file in the folder, and no way out of it. */
static bool
is_file_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t len = strlen(name);
    return len > 0 && len < DPC_NAME_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

static bool
note_file(void *context, const char *tensor, const struct dpc_json *value)
{
    (void)tensor;
    struct naming *naming = context;
    const char *name = dpc_json_text(value, "");
    for (uint32_t i = 0; i < naming->count; i++) {
        if (strcmp(naming->imported->names[i], name) == 0)
            return true;
    }
    naming->sound = is_file_name(name) && naming->count < DPC_IMPORTED_FILES_MAX;
    if (naming->sound)
        memcpy(naming->imported->names[naming->count++], name, strlen(name) + 1);
    return naming->sound;
}

static int
open_listed(struct dpc_imported *imported, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    struct dpc_json *index;
    struct naming naming = {.imported = imported, .sound = true};
    int code = load_json(imported, index_name, path, &index, err);
    if (code == DPC_ENOTFOUND)
        return dpc_error_set(err, code, "there is no model in \"%.300s\": it has neither %s nor %s",
                             imported->folder, weights_name, index_name);
    if (code != DPC_OK)
        return code;
    dpc_json_each(dpc_json_get(index, "weight_map"), note_file, &naming);
    dpc_json_destroy(index);
    if (!naming.sound || naming.count == 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "\"%.300s\" has no weight_map that names 1 to %d files of its folder",
                             path, DPC_IMPORTED_FILES_MAX);
    for (uint32_t i = 0; code == DPC_OK && i < naming.count; i++)
        code = open_file(imported, imported->names[i], err);
    return code;
}

static int
open_files(struct dpc_imported *imported, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int code = join(imported, weights_name, path, err);
    if (code != DPC_OK)
        return code;
    return dpc_vfs_exists(imported->vfs, path) ? open_file(imported, weights_name, err)
                                               : open_listed(imported, err);
}

/* --- Tensors. */

/* NULL: in none. */
static const struct dpc_safetensor *
find(const struct dpc_imported *imported, const char *name, const struct dpc_safetensors **ret_file)
{
    const struct dpc_safetensor *tensor = NULL;
    *ret_file = NULL;
    for (uint32_t i = 0; !tensor && i < imported->files_count; i++) {
        *ret_file = imported->files[i];
        tensor = dpc_safetensors_find(imported->files[i], name);
    }
    return tensor;
}

static bool
has_shape(const struct dpc_safetensor *tensor, const struct dpc_llama_tensor *ours)
{
    if (ours->rows == 0)
        return tensor->dims_count == 1 && tensor->dims[0] == ours->cols;
    return tensor->dims_count == 2 && tensor->dims[0] == ours->rows &&
           tensor->dims[1] == ours->cols;
}

static void
put_shapes(struct dpc_buf *faults, const struct dpc_safetensor *tensor,
           const struct dpc_llama_tensor *ours)
{
    dpc_buf_printf(faults, "%s is [", ours->name);
    for (uint32_t i = 0; i < tensor->dims_count; i++)
        dpc_buf_printf(faults, "%s%llu", i ? ", " : "", (unsigned long long)tensor->dims[i]);
    if (ours->rows)
        dpc_buf_printf(faults, "] and would have to be [%u, %u]", ours->rows, ours->cols);
    else
        dpc_buf_printf(faults, "] and would have to be [%u]", ours->cols);
}

static void
check_present(const struct dpc_imported *imported, struct dpc_buf *faults)
{
    for (uint32_t i = 0; i < imported->llama.count; i++) {
        const struct dpc_llama_tensor *ours = &imported->llama.tensors[i];
        const struct dpc_safetensors *file;
        const struct dpc_safetensor *tensor = find(imported, ours->name, &file);
        if (tensor && has_shape(tensor, ours))
            continue;
        dpc_buf_printf(faults, faults->len ? "; " : "");
        if (tensor)
            put_shapes(faults, tensor, ours);
        else
            dpc_buf_printf(faults, "%s is missing", ours->name);
    }
}

static int
by_name(const void *left, const void *right)
{
    const struct dpc_llama_tensor *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

/* Older files hold the wavelengths, which follow from the config; with tied embeddings some hold
 * the head twice. */
static bool
is_of_no_matter(const struct dpc_imported *imported, const char *name)
{
    static const char wavelengths[] = ".rotary_emb.inv_freq";
    size_t len = strlen(name), tail = sizeof wavelengths - 1;
    return (len > tail && strcmp(name + len - tail, wavelengths) == 0) ||
           (imported->experiment->model.tie_embeddings && strcmp(name, "lm_head.weight") == 0);
}

/* What nobody would read, such as biases, makes it another model; what stands twice, none. */
static void
check_file(const struct dpc_imported *imported, uint32_t index,
           const struct dpc_llama_tensor *const *sorted, struct dpc_buf *faults)
{
    const struct dpc_safetensors *file = imported->files[index], *first;
    for (uint32_t i = 0; i < dpc_safetensors_count(file); i++) {
        const struct dpc_safetensor *tensor = dpc_safetensors_at(file, i);
        struct dpc_llama_tensor wanted, *key = &wanted;
        bool known = strlen(tensor->name) < sizeof wanted.name;
        if (known) {
            memcpy(wanted.name, tensor->name, strlen(tensor->name) + 1);
            known = bsearch(&key, sorted, imported->llama.count, sizeof *sorted, by_name) != NULL;
        }
        (void)find(imported, tensor->name, &first);
        if (known && first != file)
            dpc_buf_printf(faults, "%s%s is in two files", faults->len ? "; " : "", tensor->name);
        else if (!known && !is_of_no_matter(imported, tensor->name))
            dpc_buf_printf(faults, "%s%s is none of a model of this config",
                           faults->len ? "; " : "", tensor->name);
    }
}

static void
check_no_more(const struct dpc_imported *imported, struct dpc_buf *faults)
{
    const struct dpc_llama *llama = &imported->llama;
    const struct dpc_llama_tensor **sorted = dpc_alloc(llama->count, sizeof *sorted);
    for (uint32_t i = 0; i < llama->count; i++)
        sorted[i] = &llama->tensors[i];
    qsort(sorted, llama->count, sizeof *sorted, by_name);
    for (uint32_t i = 0; i < imported->files_count; i++)
        check_file(imported, i, sorted, faults);
    dpc_free(sorted);
}

static int
check_tensors(const struct dpc_imported *imported, struct dpc_error *err)
{
    struct dpc_buf faults;
    int code = DPC_OK;
    /* More than an error's text takes is not gathered: a file may list 100,000. */
    dpc_buf_init(&faults, DPC_ERROR_TEXT_MAX);
    check_present(imported, &faults);
    check_no_more(imported, &faults);
    if (faults.len || faults.failed) {
        faults.failed = false;
        code = dpc_error_set(err, DPC_EINVAL, "the model in \"%.200s\" does not fit: %.*s",
                             imported->folder, (int)faults.len, (const char *)faults.data);
    }
    dpc_buf_done(&faults);
    return code;
}

/* --- The header's functions. */

int
dpc_imported_open(const struct dpc_vfs *vfs, const char *folder,
                  const struct dpc_experiment *experiment, struct dpc_imported **ret_imported,
                  struct dpc_error *err)
{
    struct dpc_imported *imported = dpc_alloc(1, sizeof *imported);
    imported->vfs = vfs;
    imported->experiment = experiment;
    dpc_llama_init(&imported->llama, experiment);
    int code = DPC_OK;
    if (snprintf(imported->folder, sizeof imported->folder, "%s", folder) >= DPC_PATH_MAX)
        code =
            dpc_error_set(err, DPC_ELIMIT, "the path of the model \"%.200s\" is too long", folder);
    if (code == DPC_OK)
        code = check_config(imported, err);
    if (code == DPC_OK)
        code = open_files(imported, err);
    if (code == DPC_OK)
        code = check_tensors(imported, err);
    if (code == DPC_OK)
        *ret_imported = imported;
    else
        dpc_imported_close(imported);
    return code;
}

struct dpc_imported *
dpc_imported_close(struct dpc_imported *imported)
{
    if (!imported)
        return NULL;
    for (uint32_t i = 0; i < imported->files_count; i++)
        dpc_safetensors_close(imported->files[i]);
    dpc_llama_done(&imported->llama);
    return dpc_free(imported);
}

int
dpc_imported_read(const struct dpc_imported *imported, uint32_t level, float *ret_floats,
                  struct dpc_error *err)
{
    int code = DPC_OK;
    for (uint32_t i = 0; code == DPC_OK && i < imported->llama.count; i++) {
        const struct dpc_llama_tensor *ours = &imported->llama.tensors[i];
        if (ours->level != level)
            continue;
        const struct dpc_safetensors *file;
        const struct dpc_safetensor *tensor = find(imported, ours->name, &file);
        code = dpc_safetensors_read(file, tensor, ret_floats + ours->offset, err);
    }
    return code;
}

static int
add_level(const struct dpc_imported *imported, uint32_t level, struct dpc_hasher *hasher,
          struct dpc_error *err)
{
    size_t count = dpc_layout_module_floats(imported->experiment, level);
    float *floats = dpc_try_alloc_vector(count, sizeof *floats);
    if (!floats)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for a module of %zu values", count);
    int code = dpc_imported_read(imported, level, floats, err);
    if (code == DPC_OK)
        dpc_hasher_add(hasher, floats, count * sizeof *floats);
    dpc_free(floats);
    return code;
}

int
dpc_imported_hash(const struct dpc_imported *imported, struct dpc_hash *ret_hash,
                  struct dpc_error *err)
{
    struct dpc_hasher hasher;
    int code = DPC_OK;
    dpc_hasher_start(&hasher);
    for (uint32_t level = 0; code == DPC_OK && level < imported->experiment->levels_count; level++)
        code = add_level(imported, level, &hasher, err);
    if (code == DPC_OK)
        dpc_hasher_finish(&hasher, ret_hash);
    else
        dpc_hasher_abandon(&hasher);
    return code;
}
