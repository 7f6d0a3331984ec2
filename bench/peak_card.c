/* SPDX-License-Identifier: Apache-2.0
 * A card's limits, through its own table: the largest products that a step could be made of, and
 * the plainest way to move rows. */
#include "bench/peak.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"

enum { SIDE = 8192, ROUNDS = 9, CALLS = 5 };

struct buffers {
    const struct dpc_ops *ops;
    struct dpc_act *a, *b; /* [SIDE, SIDE] */
    struct dpc_weights w;  /* [SIDE, SIDE] */
    uint32_t *places;      /* [SIDE] 0, 1, ... */
    void *random;          /* of the host, as many as `w` has */
};

static void
multiply(struct buffers *buffers)
{
    buffers->ops->linear_forward(buffers->b, buffers->a, &buffers->w, SIDE);
}

static void
copy(struct buffers *buffers)
{
    buffers->ops->gather_rows(buffers->b, buffers->a, buffers->places, SIDE, SIDE, SIDE);
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median seconds of a call; 0 after a failure. */
static double
seconds_of(struct buffers *buffers, void (*call)(struct buffers *))
{
    double rounds[ROUNDS];
    for (int round = -1; round < ROUNDS; round++) {
        int64_t start = dpc_clock_ns();
        for (int i = 0; i < CALLS; i++)
            call(buffers);
        if (buffers->ops->memory->finish() != DPC_OK)
            return 0;
        if (round >= 0)
            rounds[round] = (double)(dpc_clock_ns() - start) * 1e-9 / CALLS;
    }
    qsort(rounds, ROUNDS, sizeof *rounds, compare_doubles);
    return rounds[ROUNDS / 2];
}

/* Random values: products of zeros are faster than those of anything else. */
static void
fill(struct buffers *buffers)
{
    const struct dpc_ops *ops = buffers->ops;
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < SIDE; i++)
        buffers->places[i] = (uint32_t)i;
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++)
        dpc_act_write(ops, buffers->random, i, (float)dpc_rng_unit(&rng) - 0.5f);
    ops->memory->upload(buffers->a, buffers->random, (size_t)SIDE * SIDE * dpc_act_bytes(ops));
    for (size_t i = 0; i < (size_t)SIDE * SIDE; i++)
        ((float *)buffers->random)[i] = (float)dpc_rng_unit(&rng) - 0.5f;
    ops->memory->upload((float *)buffers->w.values, buffers->random,
                        (size_t)SIDE * SIDE * sizeof(float));
    if (ops->pack)
        ops->pack(&buffers->w);
}

static bool
buffers_init(struct buffers *buffers, const struct dpc_ops *ops)
{
    size_t count = (size_t)SIDE * SIDE,
           packed = ops->packed_bytes ? ops->packed_bytes(SIDE, SIDE) : 0;
    *buffers = (struct buffers){.ops = ops};
    buffers->a = ops->memory->allocate(count * dpc_act_bytes(ops));
    buffers->b = ops->memory->allocate(count * dpc_act_bytes(ops));
    buffers->w = (struct dpc_weights){.O = SIDE, .K = SIDE};
    buffers->w.values = ops->memory->allocate(count * sizeof(float));
    buffers->w.forward = packed ? ops->memory->allocate(packed) : NULL;
    buffers->w.backward = buffers->w.forward;
    buffers->places = dpc_alloc(SIDE, sizeof *buffers->places);
    buffers->random = dpc_try_alloc(count, sizeof(float));
    return buffers->a && buffers->b && buffers->w.values && buffers->random &&
           (!packed || buffers->w.forward);
}

static void
buffers_done(struct buffers *buffers)
{
    const struct dpc_memory *memory = buffers->ops->memory;
    memory->release(buffers->a);
    memory->release(buffers->b);
    memory->release((float *)buffers->w.values);
    memory->release(buffers->w.forward);
    dpc_free(buffers->places);
    dpc_free(buffers->random);
}

int
dpc_peak_measure_card(const struct dpc_ops *ops, struct dpc_peak *ret_peak)
{
    struct buffers buffers;
    double product = 0, moved = 0;
    int status = buffers_init(&buffers, ops) ? DPC_OK : DPC_ENOMEM;
    if (status == DPC_OK) {
        fill(&buffers);
        product = seconds_of(&buffers, multiply);
        moved = seconds_of(&buffers, copy);
        status = ops->memory->finish();
    }
    buffers_done(&buffers);
    if (status != DPC_OK)
        return status;
    double gflops = 2.0 * SIDE * (double)SIDE * SIDE / product * 1e-9;
    *ret_peak = (struct dpc_peak){.isa = ops->name, .threads = 1};
    ret_peak->copy_gb_s = 2.0 * (double)((size_t)SIDE * SIDE * dpc_act_bytes(ops)) / moved * 1e-9;
    if (ops->dtype == DPC_BF16)
        ret_peak->bf16_gflops = gflops;
    else
        ret_peak->fp32_gflops = gflops;
    return DPC_OK;
}
