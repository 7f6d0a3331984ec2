/* SPDX-License-Identifier: Apache-2.0
 * Matrix products through oneDNN. A product of one shape is a compiled primitive with its memory
 * objects and scratch; each thread keeps those that it has used (a `plan`), since none of them may
 * be used by two threads at once. After the first step a thread finds all plans there and nothing
 * is allocated.
 *
 * fp32 weights are used as they stand; bf16 ones are converted and packed, once per step, into the
 * layouts that oneDNN asks for. Its own threads stay off: two pools fight. */
#include "ops/tables.h"

#include <stdlib.h>
#include <string.h>

#ifdef HAVE_DNNL

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/bf16.h"
#include "ops/onednn_api.h"

enum {
    PLANS_MAX = 256, /* of one thread: a model has some dozens of shapes; then the oldest goes */
    PACK_ROWS = 256, /* rows for which layouts are chosen; they serve any number */
    ARGS = 4,
};

enum kind { FORWARD, FORWARD_FLOAT, BACKWARD_INPUT, BACKWARD_WEIGHT, BACKWARD_WEIGHT_ADD };

/* What tells one product from another. `stride` is of dy. */
struct shape {
    enum kind kind;
    enum dpc_dtype dtype;
    size_t N, O, K, stride;
};

struct plan {
    struct shape shape;
    dnnl_primitive_t primitive;
    dnnl_memory_t left, right, to, scratch;
    void *scratch_bytes;
};

struct plans {
    dnnl_stream_t stream;
    size_t count, next; /* plans[next] goes when all places are taken */
    struct plan plans[PLANS_MAX];
};

static dnnl_engine_t engine;
static pthread_key_t plans_key;
static char description[64] = "blocked";

/* A status that cannot follow from anything said to us: shapes were checked, and the probe below
 * has shown that code is compiled and runs. What is left is memory. */
static void
must(dnnl_status_t status)
{
    if (status == dnnl_success)
        return;
    fprintf(stderr, "oneDNN failed with status %d: out of memory?\n", (int)status);
    abort();
}

static void
plan_done(struct plan *plan)
{
    dnnl_primitive_destroy(plan->primitive);
    dnnl_memory_destroy(plan->left);
    dnnl_memory_destroy(plan->right);
    dnnl_memory_destroy(plan->to);
    dnnl_memory_destroy(plan->scratch);
    dpc_free(plan->scratch_bytes);
}

static void
plans_destroy(void *value)
{
    struct plans *plans = value;
    for (size_t i = 0; i < plans->count; i++)
        plan_done(&plans->plans[i]);
    dnnl_stream_destroy(plans->stream);
    dpc_free(plans);
}

static struct plans *
plans_of_thread(void)
{
    struct plans *plans = pthread_getspecific(plans_key);
    if (plans)
        return plans;
    omp_set_num_threads(1); /* of this thread alone */
    plans = dpc_alloc(1, sizeof *plans);
    must(dnnl_stream_create(&plans->stream, engine, dnnl_stream_default_flags));
    pthread_setspecific(plans_key, plans);
    return plans;
}

/* --- Descriptions: every product is left [M,K] x right [K,N] = to [M,N]. */

static onednn_desc
matrix(size_t rows, size_t cols, dnnl_data_type_t type, size_t row_stride, size_t col_stride)
{
    onednn_desc desc;
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
    const dnnl_dims_t strides = {(dnnl_dim_t)row_stride, (dnnl_dim_t)col_stride};
    must(onednn_desc_strided(&desc, dims, type, strides));
    return desc;
}

static onednn_desc
any_layout(size_t rows, size_t cols, dnnl_data_type_t type)
{
    onednn_desc desc;
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)cols};
    must(onednn_desc_any(&desc, dims, type));
    return desc;
}

static dnnl_data_type_t
type_of(enum dpc_dtype dtype)
{
    return dtype == DPC_BF16 ? dnnl_bf16 : dnnl_f32;
}

static dnnl_status_t
describe_matmul(dnnl_primitive_desc_t *ret_desc, onednn_const_desc left, onednn_const_desc right,
                onednn_const_desc to, bool add)
{
    dnnl_primitive_attr_t attributes;
    dnnl_post_ops_t post;
    must(dnnl_primitive_attr_create(&attributes));
    must(dnnl_post_ops_create(&post));
    must(dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user));
    if (add)
        must(onednn_append_sum(post));
    must(dnnl_primitive_attr_set_post_ops(attributes, post));
    dnnl_status_t status = onednn_matmul_create(ret_desc, engine, left, right, to, attributes);
    dnnl_post_ops_destroy(post);
    dnnl_primitive_attr_destroy(attributes);
    return status;
}

/* The layout of packed weights, as oneDNN likes it best: those of y = x w^T are a [K,O] matrix,
 * those of dx = dy w an [O,K] one. */
static onednn_desc
packed_layout(size_t O, size_t K, bool forward)
{
    size_t rows = forward ? K : O, cols = forward ? O : K;
    onednn_desc left = matrix(PACK_ROWS, rows, dnnl_bf16, rows, 1);
    onednn_desc right = any_layout(rows, cols, dnnl_bf16);
    onednn_desc to = matrix(PACK_ROWS, cols, dnnl_bf16, cols, 1);
    onednn_desc layout;
    dnnl_primitive_desc_t desc;
    must(describe_matmul(&desc, left, right, to, false));
    must(onednn_desc_copy(&layout, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0)));
    dnnl_primitive_desc_destroy(desc);
    onednn_desc_destroy(left);
    onednn_desc_destroy(right);
    onednn_desc_destroy(to);
    return layout;
}

static onednn_desc
plain_weights(size_t O, size_t K, bool forward)
{
    return forward ? matrix(K, O, dnnl_f32, 1, K) : matrix(O, K, dnnl_f32, K, 1);
}

static onednn_desc
weights_layout(const struct shape *shape, bool forward)
{
    return shape->dtype == DPC_BF16 ? packed_layout(shape->O, shape->K, forward)
                                    : plain_weights(shape->O, shape->K, forward);
}

struct product {
    onednn_desc left, right, to;
};

static struct product
product_of(const struct shape *s)
{
    dnnl_data_type_t type = type_of(s->dtype);
    switch (s->kind) {
    case FORWARD:
    case FORWARD_FLOAT:
        return (struct product){matrix(s->N, s->K, type, s->K, 1), weights_layout(s, true),
                                matrix(s->N, s->O, s->kind == FORWARD ? type : dnnl_f32, s->O, 1)};
    case BACKWARD_INPUT:
        return (struct product){matrix(s->N, s->O, type, s->O, 1), weights_layout(s, false),
                                matrix(s->N, s->K, type, s->K, 1)};
    case BACKWARD_WEIGHT:
    case BACKWARD_WEIGHT_ADD:
        break;
    }
    return (struct product){matrix(s->O, s->N, type, 1, s->stride),
                            matrix(s->N, s->K, type, s->K, 1),
                            matrix(s->O, s->K, dnnl_f32, s->K, 1)};
}

static void
product_done(struct product *product)
{
    onednn_desc_destroy(product->left);
    onednn_desc_destroy(product->right);
    onednn_desc_destroy(product->to);
}

/* --- Plans. */

static dnnl_memory_t
memory_of(onednn_const_desc desc)
{
    dnnl_memory_t memory;
    must(dnnl_memory_create(&memory, desc, engine, DNNL_MEMORY_NONE));
    return memory;
}

static void
plan_init(struct plan *plan, const struct shape *shape)
{
    struct product product = product_of(shape);
    dnnl_primitive_desc_t desc;
    *plan = (struct plan){.shape = *shape};
    must(describe_matmul(&desc, product.left, product.right, product.to,
                         shape->kind == BACKWARD_WEIGHT_ADD));
    must(dnnl_primitive_create(&plan->primitive, desc));
    onednn_const_desc scratch = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
    size_t bytes = dnnl_memory_desc_get_size(scratch);
    plan->left = memory_of(product.left);
    plan->right = memory_of(product.right);
    plan->to = memory_of(product.to);
    plan->scratch = memory_of(scratch);
    if (bytes > 0) {
        plan->scratch_bytes = dpc_try_alloc_vector(bytes, 1);
        must(plan->scratch_bytes ? dnnl_success : dnnl_out_of_memory);
        must(dnnl_memory_set_data_handle(plan->scratch, plan->scratch_bytes));
    }
    dnnl_primitive_desc_destroy(desc);
    product_done(&product);
}

static bool
same_shape(const struct shape *a, const struct shape *b)
{
    return a->kind == b->kind && a->dtype == b->dtype && a->N == b->N && a->O == b->O &&
           a->K == b->K && a->stride == b->stride;
}

static struct plan *
plan_for(struct plans *plans, const struct shape *shape)
{
    for (size_t i = 0; i < plans->count; i++) {
        if (same_shape(&plans->plans[i].shape, shape))
            return &plans->plans[i];
    }
    struct plan *plan;
    if (plans->count < PLANS_MAX) {
        plan = &plans->plans[plans->count++];
    } else {
        plan = &plans->plans[plans->next];
        plans->next = (plans->next + 1) % PLANS_MAX;
        plan_done(plan);
    }
    plan_init(plan, shape);
    return plan;
}

static void
multiply(const struct shape *shape, void *to, const void *left, const void *right)
{
    struct plans *plans = plans_of_thread();
    struct plan *plan = plan_for(plans, shape);
    must(dnnl_memory_set_data_handle(plan->left, (void *)left));
    must(dnnl_memory_set_data_handle(plan->right, (void *)right));
    must(dnnl_memory_set_data_handle(plan->to, to));
    const dnnl_exec_arg_t args[ARGS] = {{DNNL_ARG_SRC, plan->left},
                                        {DNNL_ARG_WEIGHTS, plan->right},
                                        {DNNL_ARG_DST, plan->to},
                                        {DNNL_ARG_SCRATCHPAD, plan->scratch}};
    must(dnnl_primitive_execute(plan->primitive, plans->stream, ARGS, args));
}

/* --- What both dtypes share. */

static void
multiply_forward(enum kind kind, enum dpc_dtype dtype, void *y, const struct dpc_act *x,
                 const struct dpc_weights *w, size_t N)
{
    struct shape shape = {.kind = kind, .dtype = dtype, .N = N, .O = w->O, .K = w->K};
    multiply(&shape, y, x, dtype == DPC_BF16 ? w->forward : (const void *)w->values);
}

static void
multiply_backward_input(enum dpc_dtype dtype, struct dpc_act *dx, const struct dpc_act *dy,
                        const struct dpc_weights *w, size_t N)
{
    struct shape shape = {.kind = BACKWARD_INPUT, .dtype = dtype, .N = N, .O = w->O, .K = w->K};
    multiply(&shape, dx, dy, dtype == DPC_BF16 ? w->backward : (const void *)w->values);
}

static void
multiply_backward_weight(enum dpc_dtype dtype, float *dw, const struct dpc_act *dy, size_t stride,
                         const struct dpc_act *x, size_t N, size_t O, size_t K, bool add)
{
    struct shape shape = {.kind = add ? BACKWARD_WEIGHT_ADD : BACKWARD_WEIGHT,
                          .dtype = dtype,
                          .N = N,
                          .O = O,
                          .K = K,
                          .stride = stride};
    multiply(&shape, dw, dy, x);
}

/* --- fp32. */

static void
fp32_forward(struct dpc_act *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)
{
    multiply_forward(FORWARD, DPC_FP32, y, x, w, N);
}

static void
fp32_forward_float(float *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)
{
    multiply_forward(FORWARD, DPC_FP32, y, x, w, N);
}

static void
fp32_backward_input(struct dpc_act *dx, const struct dpc_act *dy, const struct dpc_weights *w,
                    size_t N)
{
    multiply_backward_input(DPC_FP32, dx, dy, w, N);
}

static void
fp32_backward_weight(float *dw, const struct dpc_act *dy, size_t stride, const struct dpc_act *x,
                     size_t N, size_t O, size_t K, bool add)
{
    multiply_backward_weight(DPC_FP32, dw, dy, stride, x, N, O, K, add);
}

/* --- bf16. */

static size_t
bf16_packed_bytes(size_t O, size_t K)
{
    onednn_desc forward = packed_layout(O, K, true), backward = packed_layout(O, K, false);
    size_t a = dnnl_memory_desc_get_size(forward), b = dnnl_memory_desc_get_size(backward);
    onednn_desc_destroy(forward);
    onednn_desc_destroy(backward);
    return a > b ? a : b;
}

/* A reorder is no hot product: it is made anew each time, out of oneDNN's own cache. */
static void
pack_form(void *to, const struct dpc_weights *w, bool forward)
{
    onednn_desc layout = packed_layout(w->O, w->K, forward);
    onednn_desc plain = plain_weights(w->O, w->K, forward);
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t reorder;
    dnnl_memory_t source, target;
    must(dnnl_reorder_primitive_desc_create(&desc, plain, engine, layout, engine, NULL));
    must(dnnl_primitive_create(&reorder, desc));
    must(dnnl_memory_create(&source, plain, engine, (void *)w->values));
    must(dnnl_memory_create(&target, layout, engine, to));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, target}};
    must(dnnl_primitive_execute(reorder, plans_of_thread()->stream, 2, args));
    dnnl_memory_destroy(source);
    dnnl_memory_destroy(target);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(desc);
    onednn_desc_destroy(layout);
    onednn_desc_destroy(plain);
}

static void
bf16_pack(const struct dpc_weights *w)
{
    (void)plans_of_thread();
    pack_form(w->forward, w, true);
    pack_form(w->backward, w, false);
}

static void
bf16_forward(struct dpc_act *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)
{
    multiply_forward(FORWARD, DPC_BF16, y, x, w, N);
}

static void
bf16_forward_float(float *y, const struct dpc_act *x, const struct dpc_weights *w, size_t N)
{
    multiply_forward(FORWARD_FLOAT, DPC_BF16, y, x, w, N);
}

static void
bf16_backward_input(struct dpc_act *dx, const struct dpc_act *dy, const struct dpc_weights *w,
                    size_t N)
{
    multiply_backward_input(DPC_BF16, dx, dy, w, N);
}

static void
bf16_backward_weight(float *dw, const struct dpc_act *dy, size_t stride, const struct dpc_act *x,
                     size_t N, size_t O, size_t K, bool add)
{
    multiply_backward_weight(DPC_BF16, dw, dy, stride, x, N, O, K, add);
}

/* --- Does it run here? */

static const char *
isa_name(void)
{
    switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
        return "sse41";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx512_core:
        return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512_core_bf16";
    default:
        return "newer";
    }
}

/* One product, whose result is looked at: where a filter forbids memory that is written and then
 * executed, oneDNN cannot compile and says so here; and it may know less of the processor than we
 * do (DNNL_MAX_CPU_ISA), and have no products in bf16. */
static bool
probe(enum dpc_dtype dtype)
{
    enum { SIDE = 32 };
    float ones[SIDE * SIDE], y[SIDE * SIDE] = {0};
    uint16_t ones_bf16[SIDE * SIDE];
    void *x = dtype == DPC_BF16 ? (void *)ones_bf16 : ones;
    onednn_desc square = matrix(SIDE, SIDE, type_of(dtype), SIDE, 1);
    onednn_desc result = matrix(SIDE, SIDE, dnnl_f32, SIDE, 1);
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t left = NULL, to = NULL, scratch = NULL;
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        ones[i] = 1.0f;
        ones_bf16[i] = 0x3f80;
    }
    bool ran = describe_matmul(&desc, square, square, result, false) == dnnl_success &&
               dnnl_primitive_create(&primitive, desc) == dnnl_success;
    if (ran) {
        onednn_const_desc pad = dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
        must(dnnl_memory_create(&left, square, engine, x));
        must(dnnl_memory_create(&to, result, engine, y));
        must(dnnl_memory_create(&scratch, pad, engine, DNNL_MEMORY_ALLOCATE));
        const dnnl_exec_arg_t args[ARGS] = {{DNNL_ARG_SRC, left},
                                            {DNNL_ARG_WEIGHTS, left},
                                            {DNNL_ARG_DST, to},
                                            {DNNL_ARG_SCRATCHPAD, scratch}};
        ran = dnnl_primitive_execute(primitive, plans_of_thread()->stream, ARGS, args) ==
              dnnl_success;
    }
    dnnl_memory_destroy(left);
    dnnl_memory_destroy(to);
    dnnl_memory_destroy(scratch);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(desc);
    onednn_desc_destroy(square);
    onednn_desc_destroy(result);
    return ran && y[0] == SIDE && y[SIDE * SIDE - 1] == SIDE;
}

static bool works, works_in_bf16;

static void
begin(void)
{
    const dnnl_version_t *version = dnnl_version();
    omp_set_num_threads(1);
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
        pthread_key_create(&plans_key, plans_destroy) != 0)
        return;
    works = probe(DPC_FP32);
    works_in_bf16 = works && probe(DPC_BF16);
    if (works)
        snprintf(description, sizeof description, "%d.%d.%d-%s", version->major, version->minor,
                 version->patch, isa_name());
}

static bool
runs(enum dpc_dtype dtype)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin);
    return dtype == DPC_BF16 ? works_in_bf16 : works;
}

bool
dpc_onednn_set_products(struct dpc_ops *ops)
{
    bool half = ops->dtype == DPC_BF16;
    if (!runs(ops->dtype))
        return false;
    ops->products = "onednn";
    ops->packed_bytes = half ? bf16_packed_bytes : NULL;
    ops->pack = half ? bf16_pack : NULL;
    ops->linear_forward = half ? bf16_forward : fp32_forward;
    ops->linear_forward_float = half ? bf16_forward_float : fp32_forward_float;
    ops->linear_backward_input = half ? bf16_backward_input : fp32_backward_input;
    ops->linear_backward_weight = half ? bf16_backward_weight : fp32_backward_weight;
    return true;
}

const char *
dpc_ops_onednn_kernel(void)
{
    (void)runs(DPC_FP32);
    return description;
}

#else

bool
dpc_onednn_set_products(struct dpc_ops *ops)
{
    (void)ops;
    return false;
}

const char *
dpc_ops_onednn_kernel(void)
{
    return "none";
}

#endif
