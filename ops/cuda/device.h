/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the plug-in: the open card, and what all kernels use of it. Everything but the copies of
 * staging is queued on one stream, so that calls are computed in their order. The first failure is
 * kept (struct dpc_card_plugin, `failure`); after it calls do nothing that matters, and
 * memory->finish says so.
 *
 * Owns: stream, cuBLASLt handle, workspace, staging memory and scratch, from dpc_cuda_open to
 * _close. Threads: one at a time. Not here: kernels, the table (table.c).
 */
#ifndef DPC_OPS_CUDA_DEVICE_H
#define DPC_OPS_CUDA_DEVICE_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include "ops/card_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

struct dpc_cuda {
    cudaStream_t stream;
    cublasLtHandle_t lt;
    void *workspace; /* cuBLASLt's */
    size_t workspace_bytes;
    size_t memory_bytes; /* that may be allocated in all, besides the plug-in's own */
    int index;           /* which card */
    int capability;      /* 90: sm_90 */
    int processors;      /* multiprocessors */
    int shared_bytes;    /* of their memory, that a block may have */
    bool is_open;
};

/* The open card's. */
extern struct dpc_cuda dpc_cuda;

/* Takes the current device of the calling thread. `capability`: the card's. false: `failure` has
 * the reason, and _close gives back what was taken. */
bool dpc_cuda_open(int index, int capability, size_t memory_bytes);
void dpc_cuda_close(void);

/* Keeps the first failure; `what` is what was tried, as in "launch attention", though something
 * that was queued before may have failed instead, which the words say. True when all is well, since
 * the card was opened. */
bool dpc_cuda_check(cudaError_t code, const char *what);
bool dpc_cuda_check_lt(cublasStatus_t code, const char *what);
bool dpc_cuda_failed(void);
/* Words for it, or what was put there with _note: why memory was not given. */
const char *dpc_cuda_failure(void);
void dpc_cuda_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A copy of host memory on the card, for kernels that are queued before the next seven such calls;
 * the host's side may change when this returns. At most DPC_CUDA_STAGE_BYTES. NULL after a failure.
 */
#define DPC_CUDA_STAGE_BYTES ((size_t)4 << 20)
const void *dpc_cuda_stage(const void *from_host, size_t bytes);

/* Scratch on the card for the kernels of one call, at least `bytes`; the same memory is given to
 * the next caller, and it grows, to a power of two, so that it soon grows no more (which waits).
 * NULL after a failure. */
void *dpc_cuda_scratch(size_t bytes);

/* The card's memory as a table's (memory.c), and its pinned buffers. */
extern const struct dpc_memory dpc_cuda_memory;
bool dpc_cuda_memory_open(void);
void dpc_cuda_memory_close(void);

/* The tables (table.c), and forgetting the algorithms that cuBLASLt chose (products.c). */
const struct dpc_ops *dpc_cuda_table(enum dpc_dtype dtype, bool tf32, int capability);
void dpc_cuda_products_close(void);

#ifdef __cplusplus
}
#endif

#endif
