/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of a warpgroup (wgmma.mma_async.m64n64k16) on the emulated card: what the PTX ISA says
 * that they do. What it leaves undefined fails.
 *
 * Owns: products that run, sums until they are taken. Threads: a card's. Limits: panels with 128-byte
 * swizzle. Not here: the names that kernels use (ops/cuda/warpgroup.cuh).
 */
#ifndef DPC_TESTS_UNIT_OPS_CUDA_CPU_WARPGROUP_H
#define DPC_TESTS_UNIT_OPS_CUDA_CPU_WARPGROUP_H

#include <stddef.h>
#include <stdint.h>

enum { DPC_EMULATED_SUMS = 32 }; /* of a thread */

/* What all threads of a warpgroup do together. a are four registers, or (NULL) K-major in memory as
 * descriptor of_a says; `n_major` is the instruction's imm-trans-b, `add` its scale-d. From the begin
 * on, c[DPC_EMULATED_SUMS] holds what nobody would compute with. */
void dpc_emulated_products_begin(float *c, const uint32_t *a, uint64_t of_a, uint64_t of_b,
                                 bool n_major, bool add);
void dpc_emulated_products_fence();
void dpc_emulated_products_commit();
void dpc_emulated_products_wait(size_t left);

/* Of one thread: c gets its sums; what the thread's copies wrote may be read by products. */
void dpc_emulated_products_have(float *c);
void dpc_emulated_products_show();

/* What emulate.cc tells: a block begins, the running thread ends, begins a copy, has copied. */
void dpc_emulated_products_reset();
void dpc_emulated_products_thread_ends();
void dpc_emulated_products_copy_begins(const void *to, size_t bytes);
void dpc_emulated_products_copied(const void *to, size_t bytes);

#endif
