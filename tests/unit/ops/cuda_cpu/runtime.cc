/* SPDX-License-Identifier: Apache-2.0
 * The runtime and cuBLASLt: what is queued on a stream is done when somebody waits for it, and not
 * before. The driver's files and library, which plugin.c looks for, are there by way of the linker
 * (--wrap). */
#include <cublasLt.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <unordered_map>
#include <vector>

#include "base/bf16.h"

namespace {

const size_t card_bytes = (size_t)1 << 30;
size_t taken_bytes;

/* Of the card's memory, with a page on both sides that nobody may touch. */
struct Block {
    void *pages;
    size_t length, taken;
};
std::unordered_map<void *, Block> blocks;

template <typename T>
cudaError_t
handle(T *to)
{
    *to = (T) new char;
    return cudaSuccess;
}

} // namespace

struct dpc_emulated_stream {
    std::vector<std::function<void()>> queue;
    uint64_t done;

    void
    catch_up(uint64_t count)
    {
        for (; done < count; done++) {
            std::function<void()> work = std::move(queue.front());
            queue.erase(queue.begin());
            work();
        }
    }
};

/* Comes when its stream has done so much; as it was recorded last. */
struct dpc_emulated_event {
    cudaStream_t stream;
    uint64_t count;
};

void
dpc_emulated_queue(cudaStream_t stream, std::function<void()> work)
{
    stream->queue.push_back(std::move(work));
}

struct dpc_emulated_matmul {
    cublasOperation_t a, b;
};

struct dpc_emulated_layout {
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t ld;
};

extern "C" {

int __real_access(const char *path, int mode);
void *__real_dlopen(const char *path, int flags);
int __wrap_access(const char *path, int mode);
void *__wrap_dlopen(const char *path, int flags);

int
__wrap_access(const char *path, int mode)
{
    return strcmp(path, "/dev/nvidiactl") == 0 ? 0 : __real_access(path, mode);
}

/* The program itself stands for the driver's library; NVML is not there. */
void *
__wrap_dlopen(const char *path, int flags)
{
    if (path && strcmp(path, "libcuda.so.1") == 0)
        return __real_dlopen(NULL, flags);
    return path && strcmp(path, "libnvidia-ml.so.1") == 0 ? NULL : __real_dlopen(path, flags);
}

cudaError_t
cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties(struct cudaDeviceProp *properties, int index)
{
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "emulated card");
    properties->major = dpc_emulated_capability() / 10;
    properties->minor = dpc_emulated_capability() % 10;
    properties->multiProcessorCount = 1;
    return index == 0 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t
cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int)
{
    *value = attribute == cudaDevAttrMultiProcessorCount ? 1 : (int)dpc_emulated_shared_most();
    return cudaSuccess;
}

cudaError_t
cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t
cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t
cudaSetDevice(int index)
{
    return index == 0 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t
cudaDeviceReset(void)
{
    return cudaSuccess;
}

cudaError_t
cudaMemGetInfo(size_t *free_bytes, size_t *all)
{
    *all = card_bytes;
    *free_bytes = card_bytes - taken_bytes;
    return cudaSuccess;
}

cudaError_t
cudaGetLastError(void)
{
    return getenv("DPC_EMULATED_FAILS") ? cudaErrorMisalignedAddress : cudaSuccess;
}

const char *
cudaGetErrorString(cudaError_t error)
{
    return error == cudaSuccess ? "no error" : "an emulated error";
}

/* Fresh memory holds what nobody would compute with. */
cudaError_t
cudaMallocHost(void **memory, size_t bytes)
{
    size_t lines = (bytes + 255) / 256 * 256;
    *memory = ::operator new(lines ? lines : 256, std::align_val_t(256), std::nothrow);
    if (!*memory)
        return cudaErrorMemoryAllocation;
    memset(*memory, 0xff, lines);
    return cudaSuccess;
}

cudaError_t
cudaFreeHost(void *memory)
{
    ::operator delete(memory, std::align_val_t(256));
    return cudaSuccess;
}

/* Small blocks share a large one, others are rounded up to these. A block ends where its last page
 * does, but for what is missing to a vector. */
cudaError_t
cudaMalloc(void **memory, size_t bytes)
{
    const size_t large = (size_t)2 << 20, page = (size_t)sysconf(_SC_PAGESIZE);
    size_t unit = bytes < large / 2 ? 512 : large, taken = (bytes + unit - 1) / unit * unit;
    size_t vectors = (bytes + 15) / 16 * 16, room = (vectors + page - 1) / page * page;
    if (taken > card_bytes - taken_bytes)
        return cudaErrorMemoryAllocation;
    void *pages = mmap(nullptr, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return cudaErrorMemoryAllocation;
    char *begin = (char *)pages + page;
    if (room > 0 && mprotect(begin, room, PROT_READ | PROT_WRITE) != 0)
        dpc_emulated_fail("no memory for the card's");
    memset(begin, 0xff, room);
    *memory = begin + room - vectors;
    blocks[*memory] = {pages, room + 2 * page, taken};
    taken_bytes += taken;
    return cudaSuccess;
}

cudaError_t
cudaFree(void *memory)
{
    auto block = blocks.find(memory);
    if (block == blocks.end())
        return memory ? cudaErrorInvalidValue : cudaSuccess;
    taken_bytes -= block->second.taken;
    munmap(block->second.pages, block->second.length);
    blocks.erase(block);
    return cudaSuccess;
}

cudaError_t
cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t stream)
{
    dpc_emulated_queue(stream, [=] { memcpy(to, from, bytes); });
    return cudaSuccess;
}

cudaError_t
cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    dpc_emulated_queue(stream, [=] { memset(memory, value, bytes); });
    return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    *stream = new dpc_emulated_stream{};
    return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize(cudaStream_t stream)
{
    stream->catch_up(stream->done + stream->queue.size());
    return cudaSuccess;
}

cudaError_t
cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    dpc_emulated_event then = *event;
    if (then.stream)
        dpc_emulated_queue(stream, [=] { then.stream->catch_up(then.count); });
    return cudaSuccess;
}

cudaError_t
cudaStreamDestroy(cudaStream_t stream)
{
    delete stream;
    return cudaSuccess;
}

cudaError_t
cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new dpc_emulated_event{};
    return cudaSuccess;
}

cudaError_t
cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    *event = {stream, stream->done + stream->queue.size()};
    return cudaSuccess;
}

cudaError_t
cudaEventSynchronize(cudaEvent_t event)
{
    if (event->stream)
        event->stream->catch_up(event->count);
    return cudaSuccess;
}

cudaError_t
cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

/* --- cuBLASLt. */

cublasStatus_t
cublasLtCreate(cublasLtHandle_t *lt)
{
    handle(lt);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtDestroy(cublasLtHandle_t lt)
{
    delete (char *)lt;
    return CUBLAS_STATUS_SUCCESS;
}

size_t
cublasLtGetVersion(void)
{
    return 0;
}

const char *
cublasLtGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS ? "success" : "an emulated error";
}

cublasStatus_t
cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t, cudaDataType_t)
{
    *desc = new dpc_emulated_matmul{CUBLAS_OP_N, CUBLAS_OP_N};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                               const void *value, size_t bytes)
{
    cublasOperation_t *to = attribute == CUBLASLT_MATMUL_DESC_TRANSA ? &desc->a : &desc->b;
    if (bytes != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type, uint64_t rows,
                           uint64_t columns, int64_t ld)
{
    *layout = new dpc_emulated_layout{type, rows, columns, ld};
    return ld >= (int64_t)rows ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t
cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    handle(preference);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete (char *)preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                     cublasLtMatmulPreferenceAttributes_t, const void *, size_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

/* Shapes with an odd side have none, so that the plain product is tested too. */
cublasStatus_t
cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t a,
                               cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                               cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int,
                               cublasLtMatmulHeuristicResult_t *results, int *found)
{
    results->algo.number = 1;
    results->state = CUBLAS_STATUS_SUCCESS;
    *found = a->rows % 2 == 0;
    return *found ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

static float
value_at(const void *matrix, const dpc_emulated_layout &layout, uint64_t row, uint64_t column)
{
    size_t at = (size_t)(column * (uint64_t)layout.ld + row);
    return layout.type == CUDA_R_16BF ? dpc_bf16_to_float(((const uint16_t *)matrix)[at])
                                      : ((const float *)matrix)[at];
}

static void
put_at(void *matrix, const dpc_emulated_layout &layout, uint64_t row, uint64_t column, float value)
{
    size_t at = (size_t)(column * (uint64_t)layout.ld + row);
    if (layout.type == CUDA_R_16BF)
        ((uint16_t *)matrix)[at] = dpc_bf16_from_float(value);
    else
        ((float *)matrix)[at] = value;
}

cublasStatus_t
cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
               cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
               const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
               cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *, void *, size_t,
               cudaStream_t stream)
{
    bool turned_a = desc->a == CUBLAS_OP_T, turned_b = desc->b == CUBLAS_OP_T;
    uint64_t inner = turned_a ? a_layout->rows : a_layout->columns;
    if (inner != (turned_b ? b_layout->columns : b_layout->rows))
        return CUBLAS_STATUS_INVALID_VALUE;
    dpc_emulated_queue(stream, [=, of_a = *a_layout, of_b = *b_layout, of_c = *c_layout,
                                of_d = *d_layout, factor = *(const float *)alpha,
                                scale = *(const float *)beta] {
        for (uint64_t n = 0; n < of_d.columns; n++) {
            for (uint64_t m = 0; m < of_d.rows; m++) {
                float sum = 0;
                for (uint64_t k = 0; k < inner; k++)
                    sum += (turned_a ? value_at(a, of_a, k, m) : value_at(a, of_a, m, k)) *
                           (turned_b ? value_at(b, of_b, n, k) : value_at(b, of_b, k, n));
                sum *= factor;
                if (scale != 0.0f)
                    sum += scale * value_at(c, of_c, m, n);
                put_at(d, of_d, m, n, sum);
            }
        }
    });
    return CUBLAS_STATUS_SUCCESS;
}

} // extern "C"
