/* SPDX-License-Identifier: Apache-2.0
 * Staging goes through a ring of pinned memory with its twin on the card. Copies have a stream of
 * their own, so that they are made while the card computes what was queued before; the main stream
 * waits for them by an event. The ring is gone round only after that one has caught up. */
#include "ops/cuda/device.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE = 256 };
static const size_t ring_bytes = (size_t)32 << 20, workspace_bytes = (size_t)64 << 20;

/* What nobody plans with: scratch, of which 65,536 rows of 4,096 take 64 MiB (the embedding's, a
 * row for each 17th of them at most); code, ours and cuBLASLt's, which is loaded when it is first
 * launched; and what cudaMalloc rounds up to, 2 MiB a block. Twice what was reckoned. */
static const size_t reserve_bytes = (size_t)256 << 20, scratch_least = (size_t)1 << 20;
_Static_assert(DPC_CUDA_STAGE_BYTES <= (size_t)32 << 20, "what is staged fits the ring");

struct dpc_cuda dpc_cuda;

static struct {
    char *host, *card;
    size_t used;
    cudaStream_t stream;
    cudaEvent_t copied; /* the last copy */
} ring;

static struct {
    void *memory;
    size_t bytes;
} scratch;

static bool failed;
static bool may_be_late; /* kernels may be on their way */
static char words[DPC_CARD_REASON_MAX];

void
dpc_cuda_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args);
    va_end(args);
}

/* Kernels run after the call that queued them has returned: what one of them does wrong is told by
 * any later call. */
static bool
check(bool good, const char *what, const char *reason, int number)
{
    if (!good && !failed) {
        failed = true;
        dpc_cuda_note("could not %s%s: %s (error %d)", what,
                      may_be_late ? ", or something before it failed" : "", reason, number);
    }
    return !failed;
}

bool
dpc_cuda_check(cudaError_t code, const char *what)
{
    return check(code == cudaSuccess, what, cudaGetErrorString(code), (int)code);
}

bool
dpc_cuda_check_lt(cublasStatus_t code, const char *what)
{
    return check(code == CUBLAS_STATUS_SUCCESS, what, cublasLtGetStatusString(code), (int)code);
}

bool
dpc_cuda_failed(void)
{
    return failed;
}

const char *
dpc_cuda_failure(void)
{
    return words;
}

/* What is really free, now that a context and our own buffers are there, but for the reserve:
 * without it, a path that just fits would find none for its kernels, which is a card that failed.
 */
static bool
limit_memory(void)
{
    size_t free_bytes, all;
    if (!dpc_cuda_check(cudaMemGetInfo(&free_bytes, &all), "ask for free memory"))
        return false;
    size_t most = free_bytes > reserve_bytes ? free_bytes - reserve_bytes : 0;
    if (dpc_cuda.memory_bytes > most)
        dpc_cuda.memory_bytes = most;
    return true;
}

static bool
ask(int *ret_value, enum cudaDeviceAttr attribute)
{
    return dpc_cuda_check(cudaDeviceGetAttribute(ret_value, attribute, dpc_cuda.index),
                          "ask what the card is like");
}

bool
dpc_cuda_open(int index, int capability, size_t memory_bytes)
{
    failed = may_be_late = false;
    words[0] = '\0';
    dpc_cuda = (struct dpc_cuda){.is_open = true,
                                 .index = index,
                                 .capability = capability,
                                 .workspace_bytes = workspace_bytes,
                                 .memory_bytes = memory_bytes};
    may_be_late =
        dpc_cuda_check(cudaSetDevice(index), "take the card") &&
        ask(&dpc_cuda.processors, cudaDevAttrMultiProcessorCount) &&
        ask(&dpc_cuda.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin) &&
        dpc_cuda_check(cudaStreamCreateWithFlags(&dpc_cuda.stream, cudaStreamNonBlocking),
                       "open a stream") &&
        dpc_cuda_check_lt(cublasLtCreate(&dpc_cuda.lt), "open cuBLASLt") &&
        dpc_cuda_check(cudaMalloc(&dpc_cuda.workspace, workspace_bytes), "allocate memory") &&
        dpc_cuda_check(cudaMalloc((void **)&ring.card, ring_bytes), "allocate memory") &&
        dpc_cuda_check(cudaMallocHost((void **)&ring.host, ring_bytes), "allocate pinned memory") &&
        dpc_cuda_check(cudaStreamCreateWithFlags(&ring.stream, cudaStreamNonBlocking),
                       "open a stream") &&
        dpc_cuda_check(cudaEventCreateWithFlags(&ring.copied, cudaEventDisableTiming),
                       "create an event") &&
        dpc_cuda_memory_open() && limit_memory();
    return may_be_late;
}

/* A card that failed takes nothing back: its context goes as a whole. Whoever closes it may be
 * another thread than that which opened it, whose card is the first. */
void
dpc_cuda_close(void)
{
    bool sound = !failed;
    if (dpc_cuda.is_open)
        (void)cudaSetDevice(dpc_cuda.index);
    if (dpc_cuda.stream && sound)
        sound = cudaStreamSynchronize(dpc_cuda.stream) == cudaSuccess;
    dpc_cuda_memory_close();
    dpc_cuda_products_close();
    (void)cudaFreeHost(ring.host);
    (void)cudaFree(ring.card);
    (void)cudaFree(scratch.memory);
    (void)cudaFree(dpc_cuda.workspace);
    if (dpc_cuda.lt)
        (void)cublasLtDestroy(dpc_cuda.lt);
    if (ring.copied)
        (void)cudaEventDestroy(ring.copied);
    if (ring.stream)
        (void)cudaStreamDestroy(ring.stream);
    if (dpc_cuda.stream)
        (void)cudaStreamDestroy(dpc_cuda.stream);
    if (!sound)
        (void)cudaDeviceReset();
    (void)cudaGetLastError();
    memset(&ring, 0, sizeof ring);
    memset(&scratch, 0, sizeof scratch);
    memset(&dpc_cuda, 0, sizeof dpc_cuda);
    failed = false;
}

/* No card's failure, but it leaves a step undone as one does. */
static void
refuse(size_t bytes)
{
    if (!failed)
        dpc_cuda_note("could not list %zu KiB in one call: the plug-in takes %zu", bytes >> 10,
                      DPC_CUDA_STAGE_BYTES >> 10);
    failed = true;
}

const void *
dpc_cuda_stage(const void *from_host, size_t bytes)
{
    size_t room = (bytes + LINE - 1) / LINE * LINE;
    if (bytes > DPC_CUDA_STAGE_BYTES) {
        refuse(bytes);
        return NULL;
    }
    if (ring.used + room > ring_bytes) {
        (void)dpc_cuda_check(cudaStreamSynchronize(dpc_cuda.stream), "wait for the card");
        ring.used = 0;
    }
    if (failed)
        return NULL;
    char *host = ring.host + ring.used, *card = ring.card + ring.used;
    memcpy(host, from_host, bytes);
    ring.used += room;
    return dpc_cuda_check(cudaMemcpyAsync(card, host, bytes, cudaMemcpyHostToDevice, ring.stream),
                          "copy to the card") &&
                   dpc_cuda_check(cudaEventRecord(ring.copied, ring.stream), "mark a copy") &&
                   dpc_cuda_check(cudaStreamWaitEvent(dpc_cuda.stream, ring.copied, 0),
                                  "wait for a copy")
               ? card
               : NULL;
}

void *
dpc_cuda_scratch(size_t bytes)
{
    if (bytes <= scratch.bytes)
        return failed ? NULL : scratch.memory;
    if (!dpc_cuda_check(cudaStreamSynchronize(dpc_cuda.stream), "wait for the card"))
        return NULL;
    (void)cudaFree(scratch.memory);
    memset(&scratch, 0, sizeof scratch);
    size_t room = scratch_least;
    while (room < bytes && room <= SIZE_MAX / 2)
        room *= 2;
    if (!dpc_cuda_check(cudaMalloc(&scratch.memory, room), "allocate scratch"))
        return NULL;
    scratch.bytes = room;
    return scratch.memory;
}
