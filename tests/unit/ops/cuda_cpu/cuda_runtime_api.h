/* SPDX-License-Identifier: Apache-2.0
 *
 * As much of CUDA's runtime as ops/cuda/ uses, played by the CPU (README.md).
 *
 * Owns: nothing. Threads: one. Not here: threads of a card (emulate.h).
 */
#ifndef DPC_TESTS_UNIT_OPS_CUDA_CPU_CUDA_RUNTIME_API_H
#define DPC_TESTS_UNIT_OPS_CUDA_CPU_CUDA_RUNTIME_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#include "tests/unit/ops/cuda_cpu/emulate.h"
extern "C" {
#endif

typedef enum {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorMisalignedAddress = 716,
    cudaErrorNotSupported = 801,
} cudaError_t;

typedef enum { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 } cudaMemcpyKind;
typedef enum { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 } cudaFuncAttribute;
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };

typedef struct dpc_emulated_stream *cudaStream_t;
typedef struct dpc_emulated_event *cudaEvent_t;
typedef struct {
    char bytes[16];
} cudaUUID_t;

struct cudaDeviceProp {
    char name[256];
    cudaUUID_t uuid;
    int major, minor, multiProcessorCount;
};

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int index);
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int index);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaSetDevice(int index);
cudaError_t cudaDeviceReset(void);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *all);
cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaMalloc(void **memory, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaMallocHost(void **memory, size_t bytes);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);

#ifdef __cplusplus
}

/* Until somebody waits for it. */
void dpc_emulated_queue(cudaStream_t stream, std::function<void()> work);

static inline cudaError_t
cudaFuncSetAttribute(const void *, cudaFuncAttribute, int bytes)
{
    return (size_t)bytes <= dpc_emulated_shared_most() ? cudaSuccess : cudaErrorInvalidValue;
}

template <typename... A>
static inline cudaError_t
cudaFuncSetAttribute(void (*)(A...), cudaFuncAttribute attribute, int bytes)
{
    return cudaFuncSetAttribute((const void *)nullptr, attribute, bytes);
}
#endif

#endif
