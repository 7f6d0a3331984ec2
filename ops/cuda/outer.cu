/* SPDX-License-Identifier: Apache-2.0
 * The outer step, as ops/plain.c has it: no fused multiply-adds, so that it gives the same bits. */
#include "ops/cuda/kernels.h"
#include "ops/cuda/vec.cuh"

namespace {

enum { THREADS = 256 };

__global__ void
accumulate(double *sum, const float *delta, double weight, size_t count)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < count)
        sum[i] = __dadd_rn(sum[i], __dmul_rn(weight, (double)delta[i]));
}

__global__ void
nesterov(float *theta, float *momentum, const double *sum, size_t count, double scale, double lr,
         double mu)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= count)
        return;
    double gradient = __dmul_rn(scale, sum[i]);
    float moved = (float)__dadd_rn(__dmul_rn(mu, (double)momentum[i]), gradient);
    momentum[i] = moved;
    double step = __dadd_rn(gradient, __dmul_rn(mu, (double)moved));
    theta[i] = (float)__dsub_rn((double)theta[i], __dmul_rn(lr, step));
}

} // namespace

extern "C" void
dpc_cuda_outer_accumulate(double *sum, const float *delta, double weight, size_t count)
{
    if (count == 0)
        return;
    DPC_LAUNCH(blocks_for(count, THREADS), THREADS, 0, accumulate, sum, delta, weight, count);
    dpc_cuda_check(cudaGetLastError(), "launch outer_accumulate");
}

extern "C" void
dpc_cuda_outer_nesterov(float *theta, float *momentum, const double *sum, size_t count,
                        double scale, double lr, double mu)
{
    if (count == 0)
        return;
    DPC_LAUNCH(blocks_for(count, THREADS), THREADS, 0, nesterov, theta, momentum, sum, count, scale, lr, mu);
    dpc_cuda_check(cudaGetLastError(), "launch outer_nesterov");
}
