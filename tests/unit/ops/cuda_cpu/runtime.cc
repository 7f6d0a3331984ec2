/* SPDX-License-Identifier: Apache-2.0
 * The runtime and cuBLASLt: everything is done when a call returns. The driver's files and library,
 * which plugin.c looks for, are there by way of the linker (--wrap). */
#include <cublasLt.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <new>
#include <unordered_map>

#include "base/bf16.h"

namespace {

const size_t card_bytes = (size_t)1 << 30;
size_t taken_bytes;
std::unordered_map<void *, size_t> blocks; /* of the card's memory */

template <typename T>
cudaError_t
handle(T *to)
{
    *to = (T) new char;
    return cudaSuccess;
}

} // namespace

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
    *value = attribute == cudaDevAttrMultiProcessorCount ? 1 : DPC_EMULATED_SHARED_MAX;
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

/* Small blocks share a large one, others are rounded up to these. */
cudaError_t
cudaMalloc(void **memory, size_t bytes)
{
    const size_t large = (size_t)2 << 20;
    size_t unit = bytes < large / 2 ? 512 : large, taken = (bytes + unit - 1) / unit * unit;
    if (taken > card_bytes - taken_bytes)
        return cudaErrorMemoryAllocation;
    cudaError_t error = cudaMallocHost(memory, bytes);
    if (error == cudaSuccess) {
        blocks[*memory] = taken;
        taken_bytes += taken;
    }
    return error;
}

cudaError_t
cudaFree(void *memory)
{
    auto block = blocks.find(memory);
    if (block != blocks.end()) {
        taken_bytes -= block->second;
        blocks.erase(block);
    }
    return cudaFreeHost(memory);
}

cudaError_t
cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t)
{
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t
cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t)
{
    memset(memory, value, bytes);
    return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    return handle(stream);
}

cudaError_t
cudaStreamSynchronize(cudaStream_t)
{
    return cudaSuccess;
}

cudaError_t
cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned)
{
    return cudaSuccess;
}

cudaError_t
cudaStreamDestroy(cudaStream_t stream)
{
    delete (char *)stream;
    return cudaSuccess;
}

cudaError_t
cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    return handle(event);
}

cudaError_t
cudaEventRecord(cudaEvent_t, cudaStream_t)
{
    return cudaSuccess;
}

cudaError_t
cudaEventSynchronize(cudaEvent_t)
{
    return cudaSuccess;
}

cudaError_t
cudaEventDestroy(cudaEvent_t event)
{
    delete (char *)event;
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
value_at(const void *matrix, const dpc_emulated_layout *layout, uint64_t row, uint64_t column)
{
    size_t at = (size_t)(column * (uint64_t)layout->ld + row);
    return layout->type == CUDA_R_16BF ? dpc_bf16_to_float(((const uint16_t *)matrix)[at])
                                       : ((const float *)matrix)[at];
}

cublasStatus_t
cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
               cublasLtMatrixLayout_t a_layout, const void *b, cublasLtMatrixLayout_t b_layout,
               const void *beta, const void *c, cublasLtMatrixLayout_t c_layout, void *d,
               cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t *, void *, size_t,
               cudaStream_t)
{
    uint64_t inner = desc->a == CUBLAS_OP_T ? a_layout->rows : a_layout->columns;
    uint64_t other = desc->b == CUBLAS_OP_T ? b_layout->columns : b_layout->rows;
    if (inner != other)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (uint64_t n = 0; n < d_layout->columns; n++) {
        for (uint64_t m = 0; m < d_layout->rows; m++) {
            float sum = 0, scale = *(const float *)beta;
            for (uint64_t k = 0; k < inner; k++)
                sum += (desc->a == CUBLAS_OP_T ? value_at(a, a_layout, k, m)
                                               : value_at(a, a_layout, m, k)) *
                       (desc->b == CUBLAS_OP_T ? value_at(b, b_layout, n, k)
                                               : value_at(b, b_layout, k, n));
            sum *= *(const float *)alpha;
            if (scale != 0.0f)
                sum += scale * value_at(c, c_layout, m, n);
            size_t at = (size_t)(n * (uint64_t)d_layout->ld + m);
            if (d_layout->type == CUDA_R_16BF)
                ((uint16_t *)d)[at] = dpc_bf16_from_float(sum);
            else
                ((float *)d)[at] = sum;
        }
    }
    return CUBLAS_STATUS_SUCCESS;
}

} // extern "C"
