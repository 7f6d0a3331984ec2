/* SPDX-License-Identifier: Apache-2.0
 *
 * Loops that do nothing but arithmetic on registers, once per instruction set.
 *
 * Owns: nothing. Threads: any. Private to bench/peak.c.
 */
#ifndef DPC_BENCH_PEAK_LOOPS_H
#define DPC_BENCH_PEAK_LOOPS_H

#include <stdint.h>

struct dpc_peak_loop {
    /* Returns what was computed, so that the compiler computes it. */
    float (*run)(uint64_t iterations);
    double flops_per_iteration;
};

struct dpc_peak_set {
    const char *isa;
    struct dpc_peak_loop fp32, bf16; /* bf16.run is NULL where the CPU has no such instruction */
};

/* The widest set that runs on this CPU. */
struct dpc_peak_set dpc_peak_widest(void);

#endif
