/* SPDX-License-Identifier: Apache-2.0 */
#include "base/llama.h"

#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "tests/unit/base/small_model.h"
#include "tests/unit/harness.h"

static void
grouped_model(struct dpc_experiment *experiment)
{
    small_model(experiment);
    experiment->model.kv_heads = 2;
    experiment->model.tie_embeddings = false;
}

/* Every value of every module once, in order. */
static void
the_tensors_cover_the_modules(void)
{
    struct dpc_experiment experiment;
    struct dpc_llama llama;
    grouped_model(&experiment);
    dpc_llama_init(&llama, &experiment);
    uint32_t index = 0;
    for (uint32_t level = 0; level < experiment.levels_count; level++) {
        size_t at = 0;
        for (; index < llama.count && llama.tensors[index].level == level; index++) {
            CU_ASSERT_EQUAL(llama.tensors[index].offset, at);
            at += dpc_llama_values(&llama.tensors[index]);
        }
        CU_ASSERT_EQUAL(at, dpc_layout_module_floats(&experiment, level));
    }
    CU_ASSERT_EQUAL(index, llama.count);
    CU_ASSERT_EQUAL(llama.count, 4 * 9 + 3);
    dpc_llama_done(&llama);
}

static const struct dpc_llama_tensor *
find(const struct dpc_llama *llama, const char *name)
{
    for (uint32_t i = 0; i < llama->count; i++) {
        if (strcmp(llama->tensors[i].name, name) == 0)
            return &llama->tensors[i];
    }
    return NULL;
}

static void
names_and_shapes_are_theirs(void)
{
    static const struct {
        const char *name;
        uint32_t level, rows, cols;
    } rows[] = {
        {"model.embed_tokens.weight", 0, 256, 128},
        {"model.layers.0.input_layernorm.weight", 0, 0, 128},
        {"model.layers.0.self_attn.q_proj.weight", 0, 128, 128},
        {"model.layers.1.self_attn.k_proj.weight", 0, 64, 128},
        {"model.layers.2.self_attn.v_proj.weight", 1, 64, 128},
        {"model.layers.3.self_attn.o_proj.weight", 1, 128, 128},
        {"model.layers.3.post_attention_layernorm.weight", 1, 0, 128},
        {"model.layers.3.mlp.gate_proj.weight", 1, 344, 128},
        {"model.layers.3.mlp.up_proj.weight", 1, 344, 128},
        {"model.layers.3.mlp.down_proj.weight", 1, 128, 344},
        {"model.norm.weight", 1, 0, 128},
        {"lm_head.weight", 1, 256, 128},
    };
    struct dpc_experiment experiment;
    struct dpc_llama llama;
    grouped_model(&experiment);
    dpc_llama_init(&llama, &experiment);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct dpc_llama_tensor *tensor = find(&llama, rows[i].name);
        CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
        CU_ASSERT_EQUAL(tensor->level, rows[i].level);
        CU_ASSERT_EQUAL(tensor->rows, rows[i].rows);
        CU_ASSERT_EQUAL(tensor->cols, rows[i].cols);
    }
    CU_ASSERT_PTR_NULL(find(&llama, "model.layers.4.input_layernorm.weight"));
    dpc_llama_done(&llama);
    experiment.model.tie_embeddings = true;
    dpc_llama_init(&llama, &experiment);
    CU_ASSERT_PTR_NULL(find(&llama, "lm_head.weight"));
    dpc_llama_done(&llama);
}

static int
check(const struct dpc_experiment *experiment, const char *text, struct dpc_error *err)
{
    struct dpc_json *config;
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse(text, strlen(text), &config, err), DPC_OK);
    int code = dpc_llama_check("c.json", config, experiment, err);
    dpc_json_destroy(config);
    return code;
}

static void
what_is_written_fits(void)
{
    struct dpc_experiment experiment;
    struct dpc_error err;
    for (int tied = 0; tied < 2; tied++) {
        grouped_model(&experiment);
        experiment.model.tie_embeddings = tied != 0;
        struct dpc_json *config = dpc_llama_config(&experiment, DPC_SAFETENSORS_F32);
        CU_ASSERT_EQUAL(dpc_llama_check("c.json", config, &experiment, &err), DPC_OK);
        dpc_json_destroy(config);
    }
}

#define NEEDED                                                                                     \
    "\"model_type\":\"llama\",\"vocab_size\":256,\"hidden_size\":128,\"intermediate_size\":344,"   \
    "\"num_hidden_layers\":4,\"num_attention_heads\":4"
#define FITTING NEEDED ",\"rms_norm_eps\":1e-05,\"tie_word_embeddings\":true"

static void
what_is_left_out_is_theirs(void)
{
    struct dpc_experiment experiment;
    struct dpc_error err;
    small_model(&experiment);
    CU_ASSERT_EQUAL(check(&experiment, "{" FITTING "}", &err), DPC_OK);
    CU_ASSERT_EQUAL(check(&experiment,
                          "{" FITTING ",\"rope_scaling\":null,\"num_key_value_heads\":null,"
                          "\"head_dim\":32,\"rope_theta\":10000,\"max_position_embeddings\":256,"
                          "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":1e4}}",
                          &err),
                    DPC_OK);
    CU_ASSERT_EQUAL(check(&experiment, "{" NEEDED "}", &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(err.text, "rms_norm_eps is 1e-06 (left out) and model.norm_epsilon 1e-05"));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(err.text, "tie_word_embeddings is false (left out) and model.tie_embeddings true"));
}

/* Each alone in place of, or beside, what fits. */
static const struct {
    const char *text, *fault;
} misfits[] = {
    {"\"vocab_size\":32000", "vocab_size is 32000 and the vocabulary of data.tokenizer 256"},
    {"\"hidden_size\":64", "hidden_size is 64 and model.dim 128"},
    {"\"intermediate_size\":\"344\"", "intermediate_size is \"344\" and model.ffn 344"},
    {"\"num_hidden_layers\":5", "num_hidden_layers is 5 and the sum of the levels' blocks 4"},
    {"\"num_attention_heads\":8,\"num_key_value_heads\":4",
     "num_attention_heads is 8 and model.heads 4"},
    {"\"num_key_value_heads\":2", "num_key_value_heads is 2 and model.kv_heads 4"},
    {"\"head_dim\":64", "head_dim is 64 and model.dim / model.heads 32"},
    {"\"max_position_embeddings\":128", "max_position_embeddings is 128 and model.context 256"},
    {"\"rms_norm_eps\":1e-6", "rms_norm_eps is 1e-06 and model.norm_epsilon 1e-05"},
    {"\"rope_theta\":500000.0", "rope_theta is 500000.0 and model.rope_base 10000"},
    {"\"rope_parameters\":{\"rope_theta\":5}", "rope_theta is 5 and model.rope_base 10000"},
    {"\"tie_word_embeddings\":false", "tie_word_embeddings is false and model.tie_embeddings true"},
    {"\"tie_word_embeddings\":1", "tie_word_embeddings is 1 and model.tie_embeddings true"},
    {"\"model_type\":\"mis\\u001b[1mtral\"", "model_type is \"mis\\u001b[1mtral\", and only"},
    {"\"hidden_act\":\"gelu\"", "hidden_act is \"gelu\", and only \"silu\" is known"},
    {"\"attention_bias\":true", "attention_bias is true and ours false"},
    {"\"mlp_bias\":true", "mlp_bias is true"},
    {"\"rope_scaling\":{\"type\":\"linear\"}", "rope_scaling is \"linear\", and only \"default\""},
    {"\"rope_scaling\":{\"rope_type\":\"llama3\"}", "rope_scaling is \"llama3\""},
    {"\"rope_scaling\":{\"factor\":2}", "rope_scaling is {\"factor\":2}"},
    {"\"rope_parameters\":{\"rope_type\":\"yarn\"}", "rope_parameters is \"yarn\""},
    {"\"rope_parameters\":{\"type\":\"linear\"}", "rope_parameters is \"linear\""},
    {"\"rope_parameters\":\"linear\"", "rope_parameters is \"linear\""},
    {"\"rope_scaling\":{\"type\":\"default\",\"rope_theta\":5}",
     "rope_theta is 5 and model.rope_base 10000"},
};

static void
each_misfit_is_named_with_both_values(void)
{
    struct dpc_experiment experiment;
    small_model(&experiment);
    for (size_t i = 0; i < sizeof misfits / sizeof *misfits; i++) {
        struct dpc_error err = {0};
        char *text = dpc_format("{" FITTING ",%s}", misfits[i].text);
        CU_ASSERT_EQUAL(check(&experiment, text, &err), DPC_EINVAL);
        if (!strstr(err.text, misfits[i].fault))
            fprintf(stderr, "\n%s\n  gives %s\n", text, err.text);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, misfits[i].fault));
        CU_ASSERT_PTR_NULL(strchr(err.text, ';'));
        dpc_free(text);
    }
}

static void
all_misfits_are_named_at_once(void)
{
    struct dpc_experiment experiment;
    struct dpc_error err;
    small_model(&experiment);
    CU_ASSERT_EQUAL(check(&experiment, "{}", &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"c.json\" does not fit the experiment: model_type is "
                                            "missing; vocab_size is missing; hidden_size is "
                                            "missing"));
}

static const struct dpc_test tests[] = {
    {"the tensors cover the modules", the_tensors_cover_the_modules},
    {"names and shapes are theirs", names_and_shapes_are_theirs},
    {"what is written fits", what_is_written_fits},
    {"what is left out is theirs", what_is_left_out_is_theirs},
    {"each misfit is named with both values", each_misfit_is_named_with_both_values},
    {"all misfits are named at once", all_misfits_are_named_at_once},
};
DPC_TEST_MAIN("base/llama", tests)
