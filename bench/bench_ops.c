/* SPDX-License-Identifier: Apache-2.0
 * Times each kernel of a table by itself, in one thread, on a tile of rows of a shape: GFLOP/s
 * beside the CPU's peak for what multiplies, GB/s beside memcpy for what moves. Operands stay in
 * cache as far as they fit, as they do inside a step. On a card: on the rows of a whole slice, with
 * all its heads, beside the card's own peaks; a call returns before it is computed there, so that
 * what the host does for it is told by itself: where that is as long as the whole, the card waited.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "bench/configs.h"
#include "bench/peak.h"

enum { ROWS = 256, ROWS_WHOLE = 16384, ROUNDS = 7 };
enum { CALLS_AHEAD = 8 }; /* that a card takes without making the host wait */

/* Pieces of a vector are about as large as those of a step on a card (modules/adamw.c). A card gets
 * as many as there are, since its caches hold tens of MiB. */
enum { PIECE_FLOATS = 16 * 1024, PIECES_MAX = 4096 };
static const size_t all_pieces = (size_t)PIECE_FLOATS * PIECES_MAX;

static const double round_seconds = 0.05;

/* Memory for all kernels, and the shape. Letters as in ops/ops.h. */
struct bench {
    const struct dpc_ops *ops;
    size_t N, C, F, V, T, H, D;
    size_t B, heads; /* sequences and heads that one call of attention takes */
    float *x, *y, *z, *gain, *rstd, *losses, *logits, *table, *lse, *cosines, *sines;
    void *scratch;
    struct dpc_act *narrow, *narrow2, *wide, *wide2, *qkv, *dqkv, *dlogits;
    int32_t *tokens;  /* of the host */
    uint32_t *places; /* of the host */
    double *sums;
    struct dpc_weights qkv_w, gate_up_w, down_w;
    float *dw, *m, *v, *parameters;
    size_t norm_floats, adamw_floats;
};

static void *
take(const struct dpc_ops *ops, size_t bytes)
{
    void *memory = ops->memory->allocate(bytes);
    if (!memory) {
        fprintf(stderr, "bench_ops: %zu MiB of memory are not to be had\n", bytes >> 20);
        exit(1);
    }
    return memory;
}

/* Drawing is slow: values repeat after a while. */
static float
drawn(struct dpc_rng *rng, size_t i)
{
    enum { POOL = 1 << 16 };
    static float pool[POOL];
    if (pool[0] == 0)
        for (size_t k = 0; k < POOL; k++)
            pool[k] = (float)dpc_rng_normal(rng) * 0.5f;
    return pool[i * 40503u % POOL];
}

static float *
floats(const struct dpc_ops *ops, struct dpc_rng *rng, size_t count)
{
    float *memory = take(ops, count * sizeof *memory);
    float *values = dpc_alloc(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = drawn(rng, i);
    ops->memory->upload(memory, values, count * sizeof *values);
    dpc_free(values);
    return memory;
}

static struct dpc_act *
acts(const struct dpc_ops *ops, struct dpc_rng *rng, size_t count)
{
    struct dpc_act *memory = take(ops, count * dpc_act_bytes(ops));
    struct dpc_act *values = dpc_alloc(count, sizeof(float));
    for (size_t i = 0; i < count; i++)
        dpc_act_write(ops, values, i, drawn(rng, i));
    ops->memory->upload(memory, values, count * dpc_act_bytes(ops));
    dpc_free(values);
    return memory;
}

static struct dpc_weights
weights(const struct dpc_ops *ops, struct dpc_rng *rng, size_t O, size_t K)
{
    struct dpc_weights w = {.values = floats(ops, rng, O * K), .O = O, .K = K};
    if (ops->packed_bytes) {
        w.forward = take(ops, ops->packed_bytes(O, K));
        w.backward = ops->packed_once ? w.forward : take(ops, ops->packed_bytes(O, K));
        ops->pack(&w);
    }
    return w;
}

/* Vectors of the optimizer, of which dw is also a product's. The CPU's may share the logits. */
static void
init_optimizer(struct bench *b, struct dpc_rng *rng)
{
    const struct dpc_ops *ops = b->ops;
    size_t weights = 2 * b->F * b->C, logits = b->N * b->V;
    size_t count = ops->whole && weights < all_pieces ? all_pieces : weights;
    b->dw = floats(ops, rng, count);
    b->m = floats(ops, rng, count);
    b->v = take(ops, count * sizeof *b->v);
    b->parameters = ops->whole ? floats(ops, rng, count) : b->logits;
    b->norm_floats = count < all_pieces ? count : all_pieces;
    b->adamw_floats = !ops->whole && logits < b->norm_floats ? logits : b->norm_floats;
    b->sums = take(ops, PIECES_MAX * sizeof *b->sums);
}

static void
bench_init(struct bench *b, const struct dpc_bench_config *config, const struct dpc_ops *ops)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    *b = (struct bench){.ops = ops,
                        .N = ops->whole ? ROWS_WHOLE : ROWS,
                        .C = config->dim,
                        .F = config->ffn,
                        .V = config->vocab,
                        .T = config->context,
                        .H = config->heads,
                        .D = config->dim / config->heads};
    b->B = ops->whole ? b->N / b->T : 1;
    b->heads = ops->whole ? b->B * b->H : 1;
    size_t rows = b->N > b->T ? b->N : b->T, qkv = rows * 3 * b->C;
    struct dpc_attention_shape shape = {b->B, b->T, b->H, b->H, b->D};
    b->x = floats(ops, &rng, b->N * b->C);
    b->y = floats(ops, &rng, b->N * b->C);
    b->z = floats(ops, &rng, b->N * b->C);
    b->gain = floats(ops, &rng, b->C);
    b->rstd = floats(ops, &rng, b->N);
    b->losses = floats(ops, &rng, b->N);
    b->logits = floats(ops, &rng, b->N * dpc_logits_stride(ops->whole, b->V));
    b->table = floats(ops, &rng, b->V * b->C);
    b->lse = floats(ops, &rng, rows * b->H);
    b->scratch = take(ops, ops->attention_scratch_bytes(&shape));
    b->cosines = floats(ops, &rng, b->T * b->D / 2);
    b->sines = floats(ops, &rng, b->T * b->D / 2);
    float *angles = dpc_alloc(b->T * b->D, sizeof *angles);
    dpc_rope_fill(angles, angles + b->T * b->D / 2, b->T, b->D, 10000.0);
    ops->memory->upload(b->cosines, angles, b->T * b->D / 2 * sizeof *angles);
    ops->memory->upload(b->sines, angles + b->T * b->D / 2, b->T * b->D / 2 * sizeof *angles);
    dpc_free(angles);
    b->narrow = acts(ops, &rng, rows * b->C);
    b->narrow2 = acts(ops, &rng, rows * b->C);
    b->wide = acts(ops, &rng, b->N * 2 * b->F);
    b->wide2 = acts(ops, &rng, b->N * 2 * b->F);
    b->qkv = acts(ops, &rng, qkv);
    b->dqkv = acts(ops, &rng, qkv);
    b->qkv_w = weights(ops, &rng, 3 * b->C, b->C);
    b->gate_up_w = weights(ops, &rng, 2 * b->F, b->C);
    b->down_w = weights(ops, &rng, b->C, b->F);
    init_optimizer(b, &rng);
    b->dlogits = (struct dpc_act *)b->logits;
    if (ops->whole)
        b->dlogits = take(ops, b->N * dpc_logits_stride(true, b->V) * dpc_act_bytes(ops));
    b->places = dpc_alloc(b->N, sizeof *b->places);
    b->tokens = dpc_alloc(b->N, sizeof *b->tokens);
    for (size_t n = 0; n < b->N; n++)
        b->places[n] = (uint32_t)n;
    for (size_t n = 0; n < b->N; n++)
        b->tokens[n] = (int32_t)dpc_rng_below(&rng, (uint32_t)b->V);
}

/* --- One call of each kernel. */

static void
forward_gate_up(struct bench *b)
{
    b->ops->linear_forward(b->wide, b->narrow, &b->gate_up_w, b->N);
}

static void
forward_down(struct bench *b)
{
    b->ops->linear_forward_float(b->y, b->wide, &b->down_w, b->N);
}

static void
backward_input_gate_up(struct bench *b)
{
    b->ops->linear_backward_input(b->narrow, b->wide, &b->gate_up_w, b->N);
}

/* Of a weight's gradient in one call. */
static size_t
outputs(const struct bench *b)
{
    return b->ops->whole || 2 * b->F < ROWS ? 2 * b->F : ROWS;
}

static void
backward_weight_gate_up(struct bench *b)
{
    size_t O = outputs(b);
    b->ops->linear_backward_weight(b->dw, b->wide, 2 * b->F, b->narrow, b->N, O, b->C, true);
}

static void
pack_gate_up(struct bench *b)
{
    b->ops->pack(&b->gate_up_w);
}

static void
norm_forward(struct bench *b)
{
    b->ops->rmsnorm_forward(b->narrow, b->z, b->rstd, b->x, b->y, b->gain, b->N, b->C, 1e-5f);
}

static void
norm_backward(struct bench *b)
{
    struct dpc_act *dx_act = b->ops->dtype == DPC_FP32 ? NULL : b->narrow2;
    b->ops->rmsnorm_backward(b->z, dx_act, b->narrow2, b->gain, b->y, b->narrow, b->x, b->rstd,
                             b->gain, b->N, b->C);
}

static struct dpc_attention
attention_of(const struct bench *b)
{
    return (struct dpc_attention){
        .shape = {.B = b->B, .T = b->T, .H = b->H, .G = b->H, .D = b->D},
        .qkv = b->qkv,
        .cosines = b->cosines,
        .sines = b->sines,
    };
}

static void
attend(struct bench *b)
{
    struct dpc_attention in = attention_of(b);
    b->ops->attention_forward(b->narrow, b->lse, &in, b->ops->whole ? DPC_EVERY_UNIT : 0, 0,
                              b->scratch);
}

static void
attend_backward(struct bench *b)
{
    struct dpc_attention in = attention_of(b);
    b->ops->attention_backward(b->dqkv, b->narrow2, b->narrow, b->lse, &in,
                               b->ops->whole ? DPC_EVERY_UNIT : 0, b->scratch);
}

static void
gather(struct bench *b)
{
    b->ops->gather_rows(b->narrow2, b->narrow, b->places, b->N, b->N, b->C);
}

static void
embed_backward(struct bench *b)
{
    b->ops->embedding_backward(b->table, b->x, b->tokens, b->N, b->C, 0, b->C);
}

static void
swiglu_forward(struct bench *b)
{
    b->ops->swiglu_forward(b->wide2, b->wide, b->N, b->F);
}

static void
swiglu_backward(struct bench *b)
{
    b->ops->swiglu_backward(b->wide2, b->wide2, b->wide, b->wide, b->N, b->F);
}

static void
cross_entropy(struct bench *b)
{
    b->ops->cross_entropy_backward(b->losses, b->dlogits, b->logits, b->tokens, b->N, b->V, 1e-3f);
}

static size_t
pieces_of(struct dpc_piece *pieces, size_t floats)
{
    size_t count = 0;
    for (size_t from = 0; from < floats; from += PIECE_FLOATS)
        pieces[count++] = (struct dpc_piece){
            .from = from, .count = floats - from < PIECE_FLOATS ? floats - from : PIECE_FLOATS};
    return count;
}

static void
norm_of_gradients(struct bench *b)
{
    struct dpc_piece pieces[PIECES_MAX];
    b->ops->squared_norms(b->sums, b->dw, pieces, pieces_of(pieces, b->norm_floats));
}

static void
adamw(struct bench *b)
{
    struct dpc_adamw_rates rates = {.lr = 1e-6,
                                    .beta1 = 0.9,
                                    .beta2 = 0.99,
                                    .epsilon = 1e-8,
                                    .gradient_scale = 1,
                                    .correction1 = 1,
                                    .correction2 = 1};
    struct dpc_piece pieces[PIECES_MAX];
    size_t count = pieces_of(pieces, b->adamw_floats);
    b->ops->adamw(b->parameters, b->dw, b->m, b->v, pieces, count, &rates);
}

/* --- What they do: flops of products, or bytes read and written. */

static double
flops_gate_up(const struct bench *b)
{
    return 4.0 * (double)(b->N * b->F * b->C);
}

static double
flops_down(const struct bench *b)
{
    return 2.0 * (double)(b->N * b->F * b->C);
}

static double
flops_weight(const struct bench *b)
{
    return 2.0 * (double)(b->N * outputs(b) * b->C);
}

/* Of a call's heads: two products over the causal half. */
static double
flops_attention(const struct bench *b)
{
    return 2.0 * (double)(b->heads * b->T * b->T * b->D);
}

static double
flops_attention_backward(const struct bench *b)
{
    return 5.0 * (double)(b->heads * b->T * b->T * b->D);
}

static double
bytes_pack(const struct bench *b)
{
    size_t count = 2 * b->F * b->C;
    size_t forms = b->ops->packed_once ? 1 : 2;
    return b->ops->packed_bytes ? (double)(count * forms * (sizeof(float) + 2)) : 0;
}

static double
bytes_gather(const struct bench *b)
{
    return (double)(2 * b->N * b->C * dpc_act_bytes(b->ops));
}

/* What is added, and each row of the table that it is added to, read and written. */
static double
bytes_embed_backward(const struct bench *b)
{
    size_t hit = b->N < b->V ? b->N : b->V;
    return (double)((b->N + 2 * hit) * b->C * sizeof(float));
}

static double
bytes_norm(const struct bench *b)
{
    return (double)(b->N * b->C * (3 * sizeof(float) + dpc_act_bytes(b->ops)));
}

static double
bytes_norm_backward(const struct bench *b)
{
    size_t act_rows = b->ops->dtype == DPC_FP32 ? 2 : 3;
    return (double)(b->N * b->C * (3 * sizeof(float) + act_rows * dpc_act_bytes(b->ops)));
}

static double
bytes_swiglu(const struct bench *b)
{
    return (double)(b->N * b->F * 3 * dpc_act_bytes(b->ops));
}

static double
bytes_swiglu_backward(const struct bench *b)
{
    return (double)(b->N * b->F * 6 * dpc_act_bytes(b->ops));
}

static double
bytes_cross_entropy(const struct bench *b)
{
    return (double)(b->N * b->V * (sizeof(float) + dpc_act_bytes(b->ops)));
}

static double
bytes_norm_of_gradients(const struct bench *b)
{
    return (double)(b->norm_floats * sizeof(float));
}

static double
bytes_adamw(const struct bench *b)
{
    return (double)(b->adamw_floats * 7 * sizeof(float));
}

static const struct {
    const char *name;
    void (*run)(struct bench *b);
    double (*amount)(const struct bench *b);
    bool moves; /* bytes, not flops */
} kernels[] = {
    {"linear_forward gate_up", forward_gate_up, flops_gate_up, false},
    {"linear_forward down", forward_down, flops_down, false},
    {"linear_backward_input gate_up", backward_input_gate_up, flops_gate_up, false},
    {"linear_backward_weight gate_up", backward_weight_gate_up, flops_weight, false},
    {"attention_forward", attend, flops_attention, false},
    {"attention_backward", attend_backward, flops_attention_backward, false},
    {"pack", pack_gate_up, bytes_pack, true},
    {"rmsnorm_forward", norm_forward, bytes_norm, true},
    {"rmsnorm_backward", norm_backward, bytes_norm_backward, true},
    {"gather_rows", gather, bytes_gather, true},
    {"embedding_backward", embed_backward, bytes_embed_backward, true},
    {"swiglu_forward", swiglu_forward, bytes_swiglu, true},
    {"swiglu_backward", swiglu_backward, bytes_swiglu_backward, true},
    {"cross_entropy_backward", cross_entropy, bytes_cross_entropy, true},
    {"squared_norms", norm_of_gradients, bytes_norm_of_gradients, true},
    {"adamw", adamw, bytes_adamw, true},
};

static double
seconds_of_calls(struct bench *b, size_t i, size_t calls)
{
    int64_t start = dpc_clock_ns();
    for (size_t call = 0; call < calls; call++)
        kernels[i].run(b);
    (void)b->ops->memory->finish();
    return (double)(dpc_clock_ns() - start) * 1e-9;
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of one call over some rounds. */
static double
time_kernel(struct bench *b, size_t i)
{
    double rounds[ROUNDS];
    (void)seconds_of_calls(b, i, 1);
    size_t calls = 1 + (size_t)(round_seconds / (seconds_of_calls(b, i, 1) + 1e-9));
    for (size_t round = 0; round < ROUNDS; round++)
        rounds[round] = seconds_of_calls(b, i, calls) / (double)calls;
    qsort(rounds, ROUNDS, sizeof *rounds, compare_doubles);
    return rounds[ROUNDS / 2];
}

/* Median seconds of the host for one call, which are those until a card has it in its queue. */
static double
time_host(struct bench *b, size_t i)
{
    double rounds[ROUNDS];
    for (size_t round = 0; round < ROUNDS; round++) {
        int64_t start = dpc_clock_ns();
        for (size_t call = 0; call < CALLS_AHEAD; call++)
            kernels[i].run(b);
        rounds[round] = (double)(dpc_clock_ns() - start) * 1e-9 / CALLS_AHEAD;
        (void)b->ops->memory->finish();
    }
    qsort(rounds, ROUNDS, sizeof *rounds, compare_doubles);
    return rounds[ROUNDS / 2];
}

static struct dpc_json *
measure(struct bench *b, size_t i, const struct dpc_peak *peak)
{
    double seconds = time_kernel(b, i), amount = kernels[i].amount(b);
    double rate = amount / seconds * 1e-9;
    double limit = kernels[i].moves            ? peak->copy_gb_s
                   : b->ops->dtype == DPC_BF16 ? peak->bf16_gflops
                                               : peak->fp32_gflops;
    struct dpc_json *row = dpc_json_object();
    dpc_json_set_text(row, "op", kernels[i].name);
    dpc_json_set_number(row, "us", seconds * 1e6);
    if (b->ops->whole)
        dpc_json_set_number(row, "host_us", time_host(b, i) * 1e6);
    dpc_json_set_number(row, kernels[i].moves ? "gb_s" : "gflops", rate);
    dpc_json_set_number(row, kernels[i].moves ? "of_memcpy" : "of_peak",
                        limit > 0 ? rate / limit : 0);
    return row;
}

/* Nothing of a card that failed on the way. */
static int
print_result(struct bench *b, const char *config, const char *only, const struct dpc_peak *peak)
{
    struct dpc_json *json = dpc_json_object(), *rows = dpc_json_array();
    dpc_json_set_text(json, "config", config);
    dpc_json_set_text(json, "dtype", b->ops->dtype == DPC_BF16 ? "bf16" : "fp32");
    dpc_json_set_text(json, "ops", b->ops->name);
    dpc_json_set_text(json, "products", b->ops->products);
    dpc_json_set_text(json, "blas_kernel", dpc_ops_blas_kernel());
    dpc_json_set_text(json, "onednn", dpc_ops_onednn_kernel());
    dpc_json_set_integer(json, "rows", (int64_t)b->N);
    dpc_json_set_number(json, "peak_gflops",
                        b->ops->dtype == DPC_BF16 ? peak->bf16_gflops : peak->fp32_gflops);
    dpc_json_set_number(json, "copy_gb_s", peak->copy_gb_s);
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (kernels[i].amount(b) > 0 && strstr(kernels[i].name, only))
            dpc_json_append(rows, measure(b, i, peak));
    }
    dpc_json_set(json, "kernels", rows);
    int status = dpc_bench_finish(b->ops);
    if (status == DPC_OK) {
        char *text = dpc_json_print(json, true);
        puts(text);
        dpc_free(text);
    }
    dpc_json_destroy(json);
    return status;
}

static int
measure_peak(const struct dpc_ops *ops, struct dpc_peak *ret_peak)
{
    if (ops->whole)
        return dpc_peak_measure_card(ops, ret_peak);
    int status = dpc_peak_measure(1, 0.5, ret_peak);
    return status == DPC_OK ? dpc_peak_measure_memory(1, 0.5, ret_peak) : status;
}

static int
usage(void)
{
    fprintf(stderr,
            "usage: bench_ops [--config quickstart|compare|A|B|C|P] [--dtype fp32|bf16] [--ops "
            "TABLE] [--only WORD]\n");
    return 2;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"dtype", required_argument, NULL, 'd'},
                                            {"ops", required_argument, NULL, 'o'},
                                            {"only", required_argument, NULL, 'k'},
                                            {0}};
    const char *config = "A", *dtype = "fp32", *table = NULL, *only = "";
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'c')
            config = optarg;
        else if (option == 'd')
            dtype = optarg;
        else if (option == 'o')
            table = optarg;
        else if (option == 'k')
            only = optarg;
        else
            return usage();
    }
    const struct dpc_bench_config *shape = dpc_bench_config_named(config);
    const struct dpc_ops *ops =
        dpc_bench_ops_named(table, strcmp(dtype, "bf16") == 0 ? DPC_BF16 : DPC_FP32);
    if (!shape || !ops || optind != argc)
        return usage();
    struct bench bench;
    struct dpc_peak peak;
    int status = measure_peak(ops, &peak);
    if (status != DPC_OK) {
        if (dpc_bench_finish(ops) == DPC_OK)
            fprintf(stderr, "could not measure the peak: %s\n", dpc_error_words(status));
        return 1;
    }
    bench_init(&bench, shape, ops);
    return print_result(&bench, config, only, &peak) == DPC_OK ? 0 : 1;
}
