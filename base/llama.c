/* SPDX-License-Identifier: Apache-2.0
 * Two tables: the parts of each of our tensors under their names, and the keys of config.json with
 * what they must be. Writing and checking go over the same ones. */
#include "base/llama.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"

/* --- Tensors. */

enum { PARTS_MAX = 3 };

/* Whole names of what is in no block; behind "model.layers.N." of what is. */
static const char *const parts_of[][PARTS_MAX] = {
    [DPC_TENSOR_EMBEDDING] = {"model.embed_tokens.weight"},
    [DPC_TENSOR_NORM_ATTENTION] = {"input_layernorm.weight"},
    [DPC_TENSOR_QKV] = {"self_attn.q_proj.weight", "self_attn.k_proj.weight",
                        "self_attn.v_proj.weight"},
    [DPC_TENSOR_ATTENTION_OUT] = {"self_attn.o_proj.weight"},
    [DPC_TENSOR_NORM_FFN] = {"post_attention_layernorm.weight"},
    [DPC_TENSOR_GATE_UP] = {"mlp.gate_proj.weight", "mlp.up_proj.weight"},
    [DPC_TENSOR_DOWN] = {"mlp.down_proj.weight"},
    [DPC_TENSOR_NORM_FINAL] = {"model.norm.weight"},
    [DPC_TENSOR_HEAD] = {"lm_head.weight"},
};

/* Rows of a tensor's parts, from above. */
static void
split_rows(const struct dpc_experiment *experiment, const struct dpc_tensor *tensor,
           uint32_t ret_rows[PARTS_MAX])
{
    uint32_t dim = experiment->model.dim, ffn = experiment->model.ffn;
    uint32_t kv_dim = dim / experiment->model.heads * dpc_experiment_kv_heads(experiment);
    ret_rows[0] = tensor->rows;
    ret_rows[1] = ret_rows[2] = kv_dim;
    if (tensor->kind == DPC_TENSOR_QKV)
        ret_rows[0] = dim;
    else if (tensor->kind == DPC_TENSOR_GATE_UP)
        ret_rows[0] = ret_rows[1] = ffn;
}

static bool
is_in_block(enum dpc_tensor_kind kind)
{
    return kind != DPC_TENSOR_EMBEDDING && kind != DPC_TENSOR_NORM_FINAL && kind != DPC_TENSOR_HEAD;
}

/* `block`: among those of all levels. */
static void
add_parts(struct dpc_llama *llama, const struct dpc_experiment *experiment, uint32_t level,
          const struct dpc_tensor *tensor, uint32_t block)
{
    uint32_t rows[PARTS_MAX];
    size_t offset = tensor->offset;
    split_rows(experiment, tensor, rows);
    for (uint32_t part = 0; part < PARTS_MAX && parts_of[tensor->kind][part]; part++) {
        const char *name = parts_of[tensor->kind][part];
        struct dpc_llama_tensor *made = &llama->tensors[llama->count++];
        *made = (struct dpc_llama_tensor){.level = level,
                                          .offset = offset,
                                          .rows = tensor->decay ? rows[part] : 0,
                                          .cols = tensor->cols};
        if (is_in_block(tensor->kind))
            (void)snprintf(made->name, sizeof made->name, "model.layers.%u.%s", block, name);
        else
            (void)snprintf(made->name, sizeof made->name, "%s", name);
        offset += (size_t)rows[part] * tensor->cols;
    }
}

void
dpc_llama_init(struct dpc_llama *llama, const struct dpc_experiment *experiment)
{
    uint32_t block = 0;
    *llama = (struct dpc_llama){0};
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        struct dpc_layout layout;
        dpc_layout_init(&layout, experiment, level);
        llama->tensors =
            dpc_grow(llama->tensors, llama->count + (size_t)PARTS_MAX * layout.tensors_count,
                     sizeof *llama->tensors);
        for (uint32_t i = 0; i < layout.tensors_count; i++)
            add_parts(llama, experiment, level, &layout.tensors[i],
                      block + layout.tensors[i].block);
        block += experiment->levels[level].blocks;
        dpc_layout_done(&layout);
    }
}

void
dpc_llama_done(struct dpc_llama *llama)
{
    dpc_free(llama->tensors);
    *llama = (struct dpc_llama){0};
}

size_t
dpc_llama_values(const struct dpc_llama_tensor *tensor)
{
    return (size_t)(tensor->rows ? tensor->rows : 1) * tensor->cols;
}

/* --- config.json: numbers and switches. */

enum form { FORM_WHOLE, FORM_REAL, FORM_SWITCH };

struct facts {
    double dim, ffn, blocks, heads, kv_heads, head_dim, vocab, context, epsilon, rope_base, tied;
    double biased; /* we have none: 0 */
};

static struct facts
facts_of(const struct dpc_experiment *experiment)
{
    struct facts facts = {
        .dim = experiment->model.dim,
        .ffn = experiment->model.ffn,
        .heads = experiment->model.heads,
        .kv_heads = dpc_experiment_kv_heads(experiment),
        .head_dim = experiment->model.dim / experiment->model.heads,
        .vocab = experiment->model.vocab,
        .context = experiment->model.context,
        .epsilon = experiment->model.norm_epsilon,
        .rope_base = experiment->model.rope_base,
        .tied = experiment->model.tie_embeddings,
    };
    for (uint32_t level = 0; level < experiment->levels_count; level++)
        facts.blocks += experiment->levels[level].blocks;
    return facts;
}

#define OURS(member) offsetof(struct facts, member)

/* What a key is where it is left out: a number of Hugging Face's own, or one of these. */
enum { NEEDED = -1, AS_HEADS = -2, AS_OURS = -3 };

struct number {
    const char *key;
    enum form form;
    size_t ours;
    const char *called; /* in the experiment file */
    double left_out;
    bool at_least; /* theirs may be more */
    bool in_rope;  /* newer files have it in "rope_parameters", or where that was before */
};

static const struct number numbers[] = {
    {"vocab_size", FORM_WHOLE, OURS(vocab), "the vocabulary of data.tokenizer", NEEDED, 0, 0},
    {"hidden_size", FORM_WHOLE, OURS(dim), "model.dim", NEEDED, 0, 0},
    {"intermediate_size", FORM_WHOLE, OURS(ffn), "model.ffn", NEEDED, 0, 0},
    {"num_hidden_layers", FORM_WHOLE, OURS(blocks), "the sum of the levels' blocks", NEEDED, 0, 0},
    {"num_attention_heads", FORM_WHOLE, OURS(heads), "model.heads", NEEDED, 0, 0},
    {"num_key_value_heads", FORM_WHOLE, OURS(kv_heads), "model.kv_heads", AS_HEADS, 0, 0},
    {"head_dim", FORM_WHOLE, OURS(head_dim), "model.dim / model.heads", AS_OURS, 0, 0},
    {"max_position_embeddings", FORM_WHOLE, OURS(context), "model.context", 2048, true, 0},
    {"rms_norm_eps", FORM_REAL, OURS(epsilon), "model.norm_epsilon", 1e-6, 0, 0},
    {"rope_theta", FORM_REAL, OURS(rope_base), "model.rope_base", 10000, 0, true},
    {"tie_word_embeddings", FORM_SWITCH, OURS(tied), "model.tie_embeddings", 0, 0, 0},
    {"attention_bias", FORM_SWITCH, OURS(biased), "ours", 0, 0, 0},
    {"mlp_bias", FORM_SWITCH, OURS(biased), "ours", 0, 0, 0},
};
enum { NUMBERS_COUNT = sizeof numbers / sizeof *numbers };

static double
fact(const struct facts *facts, size_t offset)
{
    double value;
    memcpy(&value, (const char *)facts + offset, sizeof value);
    return value;
}

static void
set_number(struct dpc_json *config, const char *key, enum form form, double value)
{
    if (form == FORM_SWITCH)
        dpc_json_set_bool(config, key, value != 0);
    else if (form == FORM_WHOLE)
        dpc_json_set_integer(config, key, (int64_t)value);
    else
        dpc_json_set_number(config, key, value);
}

struct dpc_json *
dpc_llama_config(const struct dpc_experiment *experiment, enum dpc_safetensors_type type)
{
    struct facts facts = facts_of(experiment);
    struct dpc_json *config = dpc_json_object(), *architectures = dpc_json_array();
    dpc_json_append_text(architectures, "LlamaForCausalLM");
    dpc_json_set(config, "architectures", architectures);
    dpc_json_set_text(config, "model_type", "llama");
    for (size_t i = 0; i < NUMBERS_COUNT; i++)
        set_number(config, numbers[i].key, numbers[i].form, fact(&facts, numbers[i].ours));
    dpc_json_set_text(config, "hidden_act", "silu");
    dpc_json_set_number(config, "initializer_range", experiment->model.init_std);
    dpc_json_set_text(config, "torch_dtype", type == DPC_SAFETENSORS_F32 ? "float32" : "bfloat16");
    /* No token begins or ends a text. */
    dpc_json_set(config, "bos_token_id", NULL);
    dpc_json_set(config, "eos_token_id", NULL);
    return config;
}

/* --- config.json against the experiment. */

struct checking {
    const struct dpc_json *config;
    struct dpc_buf faults; /* "hidden_size is 64 and model.dim 128; ..." */
};

static void
begin_fault(struct checking *checking)
{
    dpc_buf_printf(&checking->faults, checking->faults.len ? "; " : "");
}

/* null is as good as left out. */
static const struct dpc_json *
look_up(const struct dpc_json *object, const char *key)
{
    const struct dpc_json *value = dpc_json_get(object, key);
    return dpc_json_is_null(value) ? NULL : value;
}

/* A value as it may be shown: config.json comes from anywhere. */
static void
show(struct dpc_buf *out, const struct dpc_json *value)
{
    char *text = dpc_json_print(value, false);
    for (char *at = text; *at; at++)
        *at = *at < ' ' || *at > '~' ? '?' : *at;
    dpc_buf_printf(out, "%.40s", text);
    dpc_free(text);
}

/* NAN where it is no number, or no switch. */
static double
number_of(const struct dpc_json *value, enum form form)
{
    bool on = dpc_json_bool(value, false);
    if (form == FORM_SWITCH)
        return on == dpc_json_bool(value, true) ? on : NAN;
    return dpc_json_number(value, NAN);
}

static void
show_number(struct dpc_buf *out, enum form form, double value)
{
    if (form == FORM_SWITCH)
        dpc_buf_printf(out, value != 0 ? "true" : "false");
    else
        dpc_buf_put_real(out, value);
}

/* In fp32, in which both compute. */
static bool
fits(double theirs, double ours, bool at_least)
{
    return at_least ? theirs >= ours : (float)theirs == (float)ours;
}

static const struct dpc_json *
find(const struct dpc_json *config, const struct number *number)
{
    static const char *const ropes[] = {"rope_scaling", "rope_parameters"};
    const struct dpc_json *inside = NULL;
    for (size_t i = 0; number->in_rope && !inside && i < sizeof ropes / sizeof *ropes; i++)
        inside = look_up(look_up(config, ropes[i]), number->key);
    return inside ? inside : look_up(config, number->key);
}

static double
left_out(const struct dpc_json *config, const struct number *number, double ours)
{
    if (number->left_out == AS_HEADS)
        return dpc_json_number(look_up(config, "num_attention_heads"), ours);
    return number->left_out == AS_OURS ? ours : number->left_out;
}

static void
check_number(struct checking *checking, const struct number *number, double ours)
{
    const struct dpc_json *value = find(checking->config, number);
    double theirs =
        value ? number_of(value, number->form) : left_out(checking->config, number, ours);
    if (!value && number->left_out == NEEDED) {
        begin_fault(checking);
        dpc_buf_printf(&checking->faults, "%s is missing", number->key);
        return;
    }
    if (fits(theirs, ours, number->at_least))
        return;
    begin_fault(checking);
    dpc_buf_printf(&checking->faults, "%s is ", number->key);
    if (value)
        show(&checking->faults, value);
    else
        show_number(&checking->faults, number->form, theirs);
    dpc_buf_printf(&checking->faults, "%s and %s ", value ? "" : " (left out)", number->called);
    show_number(&checking->faults, number->form, ours);
}

/* What we have in one form alone. */
static void
check_text(struct checking *checking, const char *key, const struct dpc_json *value,
           const char *needed)
{
    if (!value || strcmp(dpc_json_text(value, ""), needed) == 0)
        return;
    begin_fault(checking);
    dpc_buf_printf(&checking->faults, "%s is ", key);
    show(&checking->faults, value);
    dpc_buf_printf(&checking->faults, ", and only \"%s\" is known", needed);
}

/* How it turns positions, in either spelling; NULL: it does not say. */
static const struct dpc_json *
type_of_rope(const struct dpc_json *rope)
{
    const struct dpc_json *type = look_up(rope, "rope_type");
    return type ? type : look_up(rope, "type");
}

static void
check_forms(struct checking *checking)
{
    const struct dpc_json *config = checking->config;
    const struct dpc_json *scaling = look_up(config, "rope_scaling");
    const struct dpc_json *scaled = type_of_rope(scaling);
    const struct dpc_json *parameters = look_up(config, "rope_parameters");
    if (!look_up(config, "model_type")) {
        begin_fault(checking);
        dpc_buf_printf(&checking->faults, "model_type is missing");
    }
    check_text(checking, "model_type", look_up(config, "model_type"), "llama");
    check_text(checking, "hidden_act", look_up(config, "hidden_act"), "silu");
    check_text(checking, "rope_scaling", scaled ? scaled : scaling, "default");
    check_text(checking, "rope_parameters",
               dpc_json_is_object(parameters) ? type_of_rope(parameters) : parameters, "default");
}

int
dpc_llama_check(const char *name, const struct dpc_json *config,
                const struct dpc_experiment *experiment, struct dpc_error *err)
{
    struct checking checking = {.config = config};
    struct facts facts = facts_of(experiment);
    int code = DPC_OK;
    dpc_buf_init(&checking.faults, 0);
    check_forms(&checking);
    for (size_t i = 0; i < NUMBERS_COUNT; i++)
        check_number(&checking, &numbers[i], fact(&facts, numbers[i].ours));
    if (checking.faults.len)
        code = dpc_error_set(err, DPC_EINVAL, "\"%.200s\" does not fit the experiment: %s", name,
                             dpc_buf_text(&checking.faults));
    dpc_buf_done(&checking.faults);
    return code;
}
