/* SPDX-License-Identifier: Apache-2.0
 * The card's memory as a table's. Copies go by pieces through two pinned buffers, so that the copy
 * over the bus runs beside the one in the host. */
#include "ops/cuda/device.h"

#include <string.h>

enum { BLOCKS_MAX = 256, BUFFERS = 2 };
static const size_t buffer_bytes = (size_t)8 << 20;

/* What was given out: the cap counts it. */
static struct {
    void *memory;
    size_t bytes;
} blocks[BLOCKS_MAX];

static size_t blocks_bytes;

static struct {
    char *memory;
    cudaEvent_t done; /* the last copy that used it */
} buffers[BUFFERS];

bool
dpc_cuda_memory_open(void)
{
    for (int i = 0; i < BUFFERS; i++) {
        if (!dpc_cuda_check(cudaMallocHost((void **)&buffers[i].memory, buffer_bytes),
                            "allocate pinned memory") ||
            !dpc_cuda_check(cudaEventCreateWithFlags(&buffers[i].done, cudaEventDisableTiming),
                            "create an event"))
            return false;
    }
    return true;
}

void
dpc_cuda_memory_close(void)
{
    for (int i = 0; i < BLOCKS_MAX; i++)
        (void)cudaFree(blocks[i].memory);
    for (int i = 0; i < BUFFERS; i++) {
        (void)cudaFreeHost(buffers[i].memory);
        if (buffers[i].done)
            (void)cudaEventDestroy(buffers[i].done);
    }
    memset(blocks, 0, sizeof blocks);
    memset(buffers, 0, sizeof buffers);
    blocks_bytes = 0;
}

static int
find_block(const void *memory)
{
    int i = 0;
    while (i < BLOCKS_MAX && blocks[i].memory != memory)
        i++;
    return i;
}

static void
clear(void *memory, size_t bytes)
{
    if (bytes > 0)
        (void)dpc_cuda_check(cudaMemsetAsync(memory, 0, bytes, dpc_cuda.stream), "clear memory");
}

static void *
allocate(size_t bytes)
{
    int i = find_block(NULL);
    void *memory;
    if (dpc_cuda_failed())
        return NULL;
    if (bytes > dpc_cuda.memory_bytes - blocks_bytes || i == BLOCKS_MAX) {
        dpc_cuda_note("%zu MiB are not to be had: %zu of %zu MiB are taken", bytes >> 20,
                      blocks_bytes >> 20, dpc_cuda.memory_bytes >> 20);
        return NULL;
    }
    /* Another program may have taken what was free: no failure of the card. */
    cudaError_t code = cudaMalloc(&memory, bytes ? bytes : 1);
    if (code != cudaSuccess) {
        (void)cudaGetLastError();
        dpc_cuda_note("%zu MiB are not to be had: %s", bytes >> 20, cudaGetErrorString(code));
        return NULL;
    }
    blocks[i].memory = memory;
    blocks[i].bytes = bytes;
    blocks_bytes += bytes;
    clear(memory, bytes);
    return memory;
}

static void
release(void *memory)
{
    int i = memory ? find_block(memory) : BLOCKS_MAX;
    if (i == BLOCKS_MAX)
        return;
    (void)cudaSetDevice(dpc_cuda.index); /* the thread may be another than the one that computes */
    (void)dpc_cuda_check(cudaStreamSynchronize(dpc_cuda.stream), "wait for the card");
    (void)cudaFree(memory);
    blocks_bytes -= blocks[i].bytes;
    blocks[i].memory = NULL;
    blocks[i].bytes = 0;
}

/* A buffer that no copy uses any more; NULL after a failure. */
static char *
idle_buffer(size_t i)
{
    return dpc_cuda_check(cudaEventSynchronize(buffers[i % BUFFERS].done), "wait for a copy")
               ? buffers[i % BUFFERS].memory
               : NULL;
}

static size_t
piece_at(size_t at, size_t bytes)
{
    return bytes - at < buffer_bytes ? bytes - at : buffer_bytes;
}

static void
upload(void *to, const void *from_host, size_t bytes)
{
    size_t i = 0;
    for (size_t at = 0; at < bytes; at += buffer_bytes, i++) {
        size_t some = piece_at(at, bytes);
        char *buffer = idle_buffer(i);
        if (!buffer)
            return;
        memcpy(buffer, (const char *)from_host + at, some);
        (void)dpc_cuda_check(cudaMemcpyAsync((char *)to + at, buffer, some, cudaMemcpyHostToDevice,
                                             dpc_cuda.stream),
                             "copy to the card");
        (void)dpc_cuda_check(cudaEventRecord(buffers[i % BUFFERS].done, dpc_cuda.stream),
                             "mark a copy");
    }
}

/* Queues the copy of piece `i` into its buffer. */
static void
fetch(const void *from, size_t i, size_t bytes)
{
    size_t at = i * buffer_bytes;
    char *buffer = at < bytes ? idle_buffer(i) : NULL;
    if (!buffer)
        return;
    (void)dpc_cuda_check(cudaMemcpyAsync(buffer, (const char *)from + at, piece_at(at, bytes),
                                         cudaMemcpyDeviceToHost, dpc_cuda.stream),
                         "copy from the card");
    (void)dpc_cuda_check(cudaEventRecord(buffers[i % BUFFERS].done, dpc_cuda.stream),
                         "mark a copy");
}

static void
download(void *to_host, const void *from, size_t bytes)
{
    size_t i = 0;
    fetch(from, 0, bytes);
    for (size_t at = 0; at < bytes; at += buffer_bytes, i++) {
        fetch(from, i + 1, bytes);
        const char *buffer = idle_buffer(i);
        if (!buffer)
            break;
        memcpy((char *)to_host + at, buffer, piece_at(at, bytes));
    }
    if (dpc_cuda_failed())
        memset(to_host, 0, bytes);
}

static int
finish(void)
{
    return dpc_cuda_check(cudaStreamSynchronize(dpc_cuda.stream), "compute") ? DPC_OK : DPC_EDEVICE;
}

const struct dpc_memory dpc_cuda_memory = {
    .allocate = allocate,
    .release = release,
    .clear = clear,
    .upload = upload,
    .download = download,
    .finish = finish,
};
