/* SPDX-License-Identifier: Apache-2.0
 * The path is large enough that its kernels are those of real ones: heads of 64, some tiles of
 * positions the last of which is not full, keys that heads share. */
#include "modules/trial.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "modules/path.h"

enum { LENGTH = 150, PREFIX = 10, VOCAB = 100 };

static const struct dpc_experiment trial = {
    .name = "trial",
    .seed = 1,
    .model = {.dim = 128,
              .heads = 2,
              .kv_heads = 1,
              .ffn = 104,
              .context = LENGTH,
              .vocab = VOCAB,
              .rope_base = 10000.0,
              .norm_epsilon = 1e-5,
              .init_std = 0.08},
    .levels_count = 2,
    .levels = {{.name = "lower", .embedding = true, .blocks = 1, .modules = 1},
               {.name = "upper", .blocks = 1, .head = true, .modules = 1}},
};

/* How far apart gradients may be: some times what sound tables show, 0.008 in bf16, up to 0.004 in
 * TF32 and 1e-6 in fp32, whose sums have another order. */
static double
limit_of(const struct dpc_ops *ops)
{
    if (ops->dtype == DPC_BF16)
        return 0.03;
    return strstr(ops->products, "tf32") ? 0.015 : 1e-3;
}

/* The gradients [dpc_path_floats], the caller's. */
static int
gradients(const struct dpc_ops *ops, float **ret_values, struct dpc_error *err)
{
    struct dpc_path_options options = {.ops = ops, .batch_max = 1, .use = DPC_PATH_TRAIN};
    struct dpc_path *path;
    int32_t tokens[LENGTH], targets[LENGTH];
    for (int i = 0; i < LENGTH; i++) {
        tokens[i] = (i * i + 7 * i) % VOCAB;
        targets[i] = i < PREFIX ? -1 : ((i + 1) * (i + 1) + 7 * (i + 1)) % VOCAB;
    }
    int code = dpc_path_create(&trial, &options, &path, err);
    if (code != DPC_OK)
        return code;
    dpc_path_write_initial(path);
    double loss;
    uint64_t count;
    float *values = dpc_alloc(dpc_path_floats(path), sizeof *values);
    code = dpc_path_backward(path, tokens, targets, 1, LENGTH, &loss, &count);
    if (code == DPC_OK)
        code = dpc_path_read_grads(path, values);
    dpc_path_destroy(path);
    *ret_values = code == DPC_OK ? values : dpc_free(values);
    return code;
}

double
dpc_trial_distance(const float *a, const float *b, size_t count)
{
    double gap = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        gap += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)b[i] * (double)b[i];
    }
    return sqrt(gap / size);
}

/* The largest of a level; NaN if one is. */
static double
distance_of_levels(const float *a, const float *b)
{
    double off = 0;
    for (uint32_t level = 0; level < trial.levels_count && !isnan(off); level++) {
        size_t count = dpc_layout_module_floats(&trial, level);
        double of_level = dpc_trial_distance(a, b, count);
        off = of_level <= off ? off : of_level;
        a += count;
        b += count;
    }
    return off;
}

static int
compare(const struct dpc_ops *ops, const float *want, double *ret_off, struct dpc_error *err)
{
    float *got = NULL;
    int code = gradients(ops, &got, err);
    if (code != DPC_OK)
        return code;
    *ret_off = distance_of_levels(got, want);
    dpc_free(got);
    if (*ret_off <= limit_of(ops))
        return DPC_OK;
    return dpc_error_set(err, DPC_ECORRUPT,
                         "its gradients of a small path are off by %.3g of their size in %s+%s, "
                         "and may be by %.3g",
                         *ret_off, ops->name, ops->products, limit_of(ops));
}

int
dpc_trial(const struct dpc_ops *ops, double *ret_off, struct dpc_error *err)
{
    float *want = NULL;
    int code = gradients(dpc_ops_cpu(DPC_FP32), &want, err);
    if (code == DPC_OK)
        code = compare(ops, want, ret_off, err);
    dpc_free(want);
    return code;
}

/* Whether there is no room for a path, rather than no card any more. */
static bool
lacks_room(const struct dpc_ops *ops, int code)
{
    return code == DPC_ENOMEM && ops->memory->finish() == DPC_OK;
}

int
dpc_trial_card(const struct dpc_card *card, double *ret_off, struct dpc_error *err)
{
    const struct dpc_ops *tables[] = {dpc_card_ops(card, DPC_BF16, false),
                                      dpc_card_ops(card, DPC_FP32, false),
                                      dpc_card_ops(card, DPC_FP32, true)};
    float *want = NULL;
    int code = gradients(dpc_ops_cpu(DPC_FP32), &want, err);
    *ret_off = -1;
    for (size_t i = 0; code == DPC_OK && i < sizeof tables / sizeof *tables; i++) {
        struct dpc_error why = {0};
        double off = -1;
        if (!tables[i])
            continue;
        code = compare(tables[i], want, &off, &why);
        if (lacks_room(tables[i], code))
            code = DPC_OK;
        else if (code != DPC_OK)
            code = dpc_error_set(err, code == DPC_ECORRUPT ? code : DPC_EDEVICE,
                                 "%s cannot be relied on: %.500s", dpc_card_info(card)->name,
                                 code == DPC_ECORRUPT ? why.text : dpc_card_failure(card));
        *ret_off = fmax(*ret_off, off);
    }
    dpc_free(want);
    return code;
}
