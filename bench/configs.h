/* SPDX-License-Identifier: Apache-2.0
 *
 * The shapes that benchmarks measure (bench/README.md has them as a table).
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_BENCH_CONFIGS_H
#define DPC_BENCH_CONFIGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/experiment.h"
#include "ops/ops.h"

struct dpc_bench_config {
    const char *name;
    uint32_t blocks, dim, heads, ffn, context, batch, vocab;
};

/* NULL: there is none. */
const struct dpc_bench_config *dpc_bench_config_named(const char *name);

/* An experiment of one path of that shape. */
struct dpc_experiment dpc_bench_experiment(const struct dpc_bench_config *config);

/* The model's floating-point operations, forward and backward: 6 a matrix parameter and token (the
 * tied head counts, the embedding's look-up does not), and the causal half of attention. What is
 * computed a second time does not count. */
double dpc_bench_flops_per_token(const struct dpc_bench_config *config);

/* The table "NAME+PRODUCTS" ("avx2+openblas"), "reference", "cuda" or "cuda+tf32" (the first
 * card's), or the CPU's fastest of the dtype (NULL); NULL when it does not run here. */
const struct dpc_ops *dpc_bench_ops_named(const char *name, enum dpc_dtype dtype);

/* Waits until all is computed, and says on stderr what is wrong with the card if it failed, since
 * the times of calls that computed nothing are no figures. DPC_OK or DPC_EDEVICE. */
int dpc_bench_finish(const struct dpc_ops *ops) DPC_MUST_CHECK;

#endif
