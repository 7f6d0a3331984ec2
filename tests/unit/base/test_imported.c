/* SPDX-License-Identifier: Apache-2.0 */
#include "base/imported.h"

#include "base/layout.h"
#include "tests/unit/base/llama_folder.h"
#include "tests/unit/harness.h"

/* All values of all levels, one after the other, are those that were written. */
static void
expect_values(const struct dpc_experiment *experiment, const struct dpc_imported *imported,
              bool exact)
{
    struct dpc_error err;
    uint32_t value = 0;
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        size_t count = dpc_layout_module_floats(experiment, level), wrong = 0;
        float *floats = dpc_alloc(count, sizeof *floats);
        CU_ASSERT_EQUAL(dpc_imported_read(imported, level, floats, &err), DPC_OK);
        for (size_t i = 0; i < count; i++, value++) {
            float gap = floats[i] - (float)value / 64, size = (float)value / 64;
            wrong += exact ? gap != 0 : gap > size / 256 || -gap > size / 256;
        }
        CU_ASSERT_EQUAL(wrong, 0);
        dpc_free(floats);
    }
}

static void
a_model_comes_back_whole_or_in_parts(void)
{
    struct dpc_experiment experiment;
    struct llama_folder folder;
    struct dpc_error err;
    for (uint32_t parts = 1; parts <= 2; parts++) {
        for (int bf16 = 0; bf16 < 2; bf16++) {
            struct dpc_imported *imported = NULL;
            tiny_llama(&experiment);
            llama_folder_make(&folder, &experiment, parts,
                              bf16 ? DPC_SAFETENSORS_BF16 : DPC_SAFETENSORS_F32);
            CU_ASSERT_EQUAL_FATAL(dpc_imported_open(&folder.vfs, "m", &experiment, &imported, &err),
                                  DPC_OK);
            expect_values(&experiment, imported, !bf16);
            dpc_imported_close(imported);
            llama_folder_done(&folder);
        }
    }
}

static void
its_name_is_that_of_the_values(void)
{
    static const struct {
        uint32_t parts;
        enum dpc_safetensors_type type;
    } rows[] = {{1, DPC_SAFETENSORS_F32}, {2, DPC_SAFETENSORS_F32}, {1, DPC_SAFETENSORS_BF16}};
    struct dpc_experiment experiment;
    struct dpc_hash hashes[3];
    tiny_llama(&experiment);
    for (size_t i = 0; i < 3; i++) {
        struct llama_folder folder;
        struct dpc_imported *imported = NULL;
        struct dpc_error err;
        llama_folder_make(&folder, &experiment, rows[i].parts, rows[i].type);
        CU_ASSERT_EQUAL_FATAL(dpc_imported_open(&folder.vfs, "m", &experiment, &imported, &err),
                              DPC_OK);
        CU_ASSERT_EQUAL(dpc_imported_hash(imported, &hashes[i], &err), DPC_OK);
        dpc_imported_close(imported);
        llama_folder_done(&folder);
    }
    CU_ASSERT_TRUE(dpc_hash_equal(&hashes[0], &hashes[1]));
    CU_ASSERT_FALSE(dpc_hash_equal(&hashes[0], &hashes[2]));
}

static int
open_folder(struct llama_folder *folder, const struct dpc_experiment *experiment,
            struct dpc_error *err)
{
    struct dpc_imported *imported = NULL;
    int code = dpc_imported_open(&folder->vfs, "m", experiment, &imported, err);
    dpc_imported_close(imported);
    return code;
}

static void
expect_fault(struct llama_folder *folder, const struct dpc_experiment *experiment, int code,
             const char *text)
{
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(open_folder(folder, experiment, &err), code);
    if (!strstr(err.text, text))
        fprintf(stderr, "\n\"%s\" is not in: %s\n", text, err.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, text));
}

static void
what_is_missing_is_told(void)
{
    struct dpc_experiment experiment;
    struct llama_folder folder;
    tiny_llama(&experiment);
    llama_folder_make(&folder, &experiment, 1, DPC_SAFETENSORS_F32);
    folder.files.count = 1;
    expect_fault(&folder, &experiment, DPC_ENOTFOUND,
                 "there is no model in \"m\": it has neither model.safetensors nor "
                 "model.safetensors.index.json");
    folder.files.count = 0;
    expect_fault(&folder, &experiment, DPC_ENOTFOUND,
                 "there is no model in \"m\": it has no config.json (dipaco export writes such a "
                 "folder)");
    memory_add(&folder.files, "m/config.json", "[1]", 3);
    expect_fault(&folder, &experiment, DPC_EPARSE, "\"m/config.json\": it is no JSON object");
    llama_folder_done(&folder);
}

/* The file is that of another shape than its config says. */
static void
tensors_that_do_not_fit_are_named(void)
{
    struct dpc_experiment experiment, other;
    struct llama_folder folder;
    struct dpc_llama llama;
    struct dpc_buf weights;
    tiny_llama(&experiment);
    tiny_llama(&other);
    other.model.ffn = 6;
    llama_folder_make(&folder, &experiment, 1, DPC_SAFETENSORS_F32);
    dpc_llama_init(&llama, &other);
    llama_write(&llama, 0, llama.count, DPC_SAFETENSORS_F32, &weights);
    folder.files.files[1].bytes = weights.data;
    folder.files.files[1].len = weights.len;
    expect_fault(&folder, &experiment, DPC_EINVAL,
                 "the model in \"m\" does not fit: model.layers.0.mlp.gate_proj.weight is [6, 8] "
                 "and would have to be [4, 8]; ");
    dpc_buf_done(&weights);
    llama_write(&llama, 1, llama.count, DPC_SAFETENSORS_F32, &weights);
    folder.files.files[1].bytes = weights.data;
    folder.files.files[1].len = weights.len;
    expect_fault(&folder, &other, DPC_EINVAL, "intermediate_size is 4 and model.ffn 6");
    expect_fault(&folder, &experiment, DPC_EINVAL,
                 "does not fit: model.embed_tokens.weight is missing; ");
    dpc_buf_done(&weights);
    dpc_llama_done(&llama);
    llama_folder_done(&folder);
}

/* A head of its own where the embedding is the head does no harm; what is one block too many does.
 */
static void
tensors_that_nobody_reads_are_refused(void)
{
    struct dpc_experiment experiment, tied, short_one;
    struct llama_folder folder;
    tiny_llama(&experiment);
    llama_folder_make(&folder, &experiment, 1, DPC_SAFETENSORS_F32);
    tied = experiment;
    tied.model.tie_embeddings = true;
    struct dpc_json *config = dpc_llama_config(&tied, DPC_SAFETENSORS_F32);
    char *text = dpc_json_print(config, false);
    folder.files.files[0].bytes = text;
    folder.files.files[0].len = strlen(text);
    struct dpc_error err;
    CU_ASSERT_EQUAL(open_folder(&folder, &tied, &err), DPC_OK);
    dpc_free(text);
    dpc_json_destroy(config);
    short_one = experiment;
    short_one.levels[1].blocks = 0;
    config = dpc_llama_config(&short_one, DPC_SAFETENSORS_F32);
    text = dpc_json_print(config, false);
    folder.files.files[0].bytes = text;
    folder.files.files[0].len = strlen(text);
    expect_fault(&folder, &short_one, DPC_EINVAL,
                 "model.layers.1.input_layernorm.weight is none of a model of this config");
    dpc_free(text);
    dpc_json_destroy(config);
    llama_folder_done(&folder);
}

static void
an_index_names_files_of_its_folder(void)
{
    static const struct {
        const char *index;
        int code;
        const char *text;
    } rows[] = {
        {"{\"weight_map\": {\"x\": \"../a.safetensors\"}}", DPC_EINVAL, "has no weight_map"},
        {"{\"weight_map\": {\"x\": \"/etc/passwd\"}}", DPC_EINVAL, "names 1 to 256 files of its"},
        {"{\"weight_map\": {\"x\": 7}}", DPC_EINVAL, "has no weight_map"},
        {"{\"weight_map\": {}}", DPC_EINVAL, "has no weight_map"},
        {"{\"weight_map\": \"a\"}", DPC_EINVAL, "has no weight_map"},
        {"{}", DPC_EINVAL, "has no weight_map"},
        {"[]", DPC_EPARSE, "no JSON object"},
        {"{\"weight_map\": {\"x\": \"a.safetensors\"}}", DPC_EINVAL, "lm_head.weight is missing"},
        {"{\"weight_map\": {\"x\": \"c.bin\"}}", DPC_ENOTFOUND, "could not open \"m/c.bin\""},
        {"{\"weight_map\": {\"x\": \"a.safetensors\", \"y\": \"copy.bin\", \"z\": \"b.bin\"}}",
         DPC_EINVAL, "model.embed_tokens.weight is in two files"},
    };
    struct dpc_experiment experiment;
    struct llama_folder folder;
    tiny_llama(&experiment);
    llama_folder_make(&folder, &experiment, 2, DPC_SAFETENSORS_F32);
    memory_add(&folder.files, "m/copy.bin", folder.weights[0].data, folder.weights[0].len);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        folder.files.files[3].bytes = rows[i].index;
        folder.files.files[3].len = strlen(rows[i].index);
        expect_fault(&folder, &experiment, rows[i].code, rows[i].text);
    }
    llama_folder_done(&folder);
}

static void
a_value_that_is_not_finite_is_refused(void)
{
    struct dpc_experiment experiment;
    struct llama_folder folder;
    struct dpc_imported *imported = NULL;
    struct dpc_error err;
    tiny_llama(&experiment);
    llama_folder_make(&folder, &experiment, 1, DPC_SAFETENSORS_F32);
    memcpy(folder.weights[0].data + folder.weights[0].len - 4, "\0\0\xC0\x7F", 4);
    CU_ASSERT_EQUAL_FATAL(dpc_imported_open(&folder.vfs, "m", &experiment, &imported, &err),
                          DPC_OK);
    float *floats = dpc_alloc(dpc_layout_module_floats(&experiment, 1), sizeof *floats);
    CU_ASSERT_EQUAL(dpc_imported_read(imported, 1, floats, &err), DPC_ENOTFINITE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "tensor lm_head.weight of \"m/model.safetensors\""));
    dpc_free(floats);
    dpc_imported_close(imported);
    CU_ASSERT_PTR_NULL(dpc_imported_close(NULL));
    llama_folder_done(&folder);
}

static const struct dpc_test tests[] = {
    {"a model comes back whole or in parts", a_model_comes_back_whole_or_in_parts},
    {"its name is that of the values", its_name_is_that_of_the_values},
    {"what is missing is told", what_is_missing_is_told},
    {"tensors that do not fit are named", tensors_that_do_not_fit_are_named},
    {"tensors that nobody reads are refused", tensors_that_nobody_reads_are_refused},
    {"an index names files of its folder", an_index_names_files_of_its_folder},
    {"a value that is not finite is refused", a_value_that_is_not_finite_is_refused},
};
DPC_TEST_MAIN("base/imported", tests)
