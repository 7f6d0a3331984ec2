/* SPDX-License-Identifier: Apache-2.0
 *
 * What the CPU, or a card, can do at most, measured now: absolute figures move with the machine and
 * with its neighbours, so a benchmark's share of the peak needs the peak of the same minutes.
 *
 * Owns: nothing; memory and threads that it takes are gone when a call returns. Threads: one
 * measurement at a time, since two would halve each other. Limits: DPC_PEAK_THREADS_MAX. Not here:
 * matrix units (AMX), for which the peaks of dot-product instructions are too low.
 */
#ifndef DPC_BENCH_PEAK_H
#define DPC_BENCH_PEAK_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ops/ops.h"

/* More than any machine's CPUs: what an option says shall not start a million threads. */
#define DPC_PEAK_THREADS_MAX 1024u

struct dpc_peak {
    const char *isa;              /* the widest set of instructions that runs here */
    uint32_t threads;             /* that worked at once */
    double fp32_gflops;           /* fused multiply-adds on registers; one counts as two */
    double bf16_gflops;           /* bf16 dot products into fp32; 0 where the CPU has none */
    double copy_gb_s, triad_gb_s; /* bytes read and written, 1e9 a second; 0 until measured */
};

/* Medians of short rounds, all threads together, after a warm-up; takes about `seconds` for each
 * kind of arithmetic. DPC_ELIMIT: threads not 1 .. DPC_PEAK_THREADS_MAX; DPC_EIO: no such thread.
 */
int dpc_peak_measure(uint32_t threads, double seconds, struct dpc_peak *ret_peak) DPC_MUST_CHECK;

/* The same for memory: memcpy, and a = b + s * c (McCalpin's STREAM triad, without the reads that a
 * write causes), on arrays larger than a cache. Sets copy_gb_s and triad_gb_s. Also DPC_ENOMEM. */
int dpc_peak_measure_memory(uint32_t threads, double seconds,
                            struct dpc_peak *ret_peak) DPC_MUST_CHECK;

/* What the card of a whole table can do: `isa` is the table's name, the rate of its dtype that of a
 * product of 8192^3 random values, and copy_gb_s that of rows gathered in their order. DPC_ENOMEM,
 * DPC_EDEVICE. */
int dpc_peak_measure_card(const struct dpc_ops *ops, struct dpc_peak *ret_peak) DPC_MUST_CHECK;

/* The CPU's name for itself, "unknown" where it does not say; cut at `size`. */
void dpc_peak_cpu_model(char *ret_model, size_t size);

#endif
