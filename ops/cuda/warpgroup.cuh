/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the plug-in: products of a warpgroup on tensor cores of capability 90 (PTX ISA,
 * "Asynchronous Warpgroup Level Matrix Instructions"; target sm_90a). A warpgroup is four warps,
 * the first of which has a number that is a multiple of four; all of its threads come to each of
 * these.
 *
 * One shape: c[64,64] = a[64,16] b[16,64]. Warp w has rows 16 w.. of c and a, as the fragments of
 * mma.cuh. b lies in shared memory as a panel: rows of 64 values, in the order of tile_offset<64>,
 * which begin at a multiple of 1024 bytes; a in registers, or in a panel too.
 *
 * Products run in the background. Their c may not be touched, nor what they read be written, before
 * they were waited for. See launch.cuh for why instructions stand apart.
 */
#ifndef DPC_OPS_CUDA_WARPGROUP_CUH
#define DPC_OPS_CUDA_WARPGROUP_CUH

#include "ops/cuda/panel.cuh"

#define DPC_SUM_4(mode, c) mode((c)[0]), mode((c)[1]), mode((c)[2]), mode((c)[3])
#define DPC_SUM_32(mode, c)                                                                        \
    DPC_SUM_4(mode, (c)[0]), DPC_SUM_4(mode, (c)[1]), DPC_SUM_4(mode, (c)[2]),                     \
        DPC_SUM_4(mode, (c)[3]), DPC_SUM_4(mode, (c)[4]), DPC_SUM_4(mode, (c)[5]),                 \
        DPC_SUM_4(mode, (c)[6]), DPC_SUM_4(mode, (c)[7])
#define DPC_PRODUCT(mode, c, a, add, ...)                                                          \
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "                           \
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "         \
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, "     \
                 "%31}, " a ", " add ";"                                                           \
                 : DPC_SUM_32(mode, c)                                                             \
                 : __VA_ARGS__)
#define DPC_PRODUCT_OF_REGISTERS(mode, c, a, b, add, rows)                                         \
    DPC_PRODUCT(mode, c, "{%32, %33, %34, %35}, %36", add ", 1, 1, %37", "r"((a)[0]), "r"((a)[1]), \
                "r"((a)[2]), "r"((a)[3]), "l"(b), "n"((rows) == ROWS_ARE_INNER))
#define DPC_PRODUCT_OF_PANELS(mode, c, a, b, add, rows)                                            \
    DPC_PRODUCT(mode, c, "%32, %33", add ", 1, 1, 0, %34", "l"(a), "l"(b),                         \
                "n"((rows) == ROWS_ARE_INNER))

/* Begins c = a b. */
template <enum panel_rows ROWS>
static __device__ inline void
products_begin(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b)
{
    DPC_PRODUCT_OF_REGISTERS("=f", c, a, b, "0", ROWS);
}

/* Begins c += a b. */
template <enum panel_rows ROWS>
static __device__ inline void
products_add(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b)
{
    DPC_PRODUCT_OF_REGISTERS("+f", c, a, b, "1", ROWS);
}

/* The same with a in a panel, whose rows are a's. */
template <enum panel_rows ROWS>
static __device__ inline void
products_begin(float (&c)[8][4], uint64_t a, uint64_t b)
{
    DPC_PRODUCT_OF_PANELS("=f", c, a, b, "0", ROWS);
}

template <enum panel_rows ROWS>
static __device__ inline void
products_add(float (&c)[8][4], uint64_t a, uint64_t b)
{
    DPC_PRODUCT_OF_PANELS("+f", c, a, b, "1", ROWS);
}

/* Before the first product after ordinary code has written registers that products use; these go
 * through products_have before it. */
static __device__ inline void
products_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/* Ends a group of products. */
static __device__ inline void
products_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Until at most the LEFT latest groups still run. */
template <int LEFT>
static __device__ inline void
products_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}

/* Keeps the compiler, which knows of no background, from moving what computes with c to the other
 * side of this: between the wait for c and its first use, and between the last write and the
 * fence. */
static __device__ inline void
products_have(float (&c)[8][4])
{
#pragma unroll
    for (int n = 0; n < 8; n++)
        asm volatile("" : "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])::"memory");
}

/* The same for fragments a. */
template <int N>
static __device__ inline void
products_have(uint32_t (&a)[N][4])
{
#pragma unroll
    for (int n = 0; n < N; n++)
        asm volatile("" : "+r"(a[n][0]), "+r"(a[n][1]), "+r"(a[n][2]), "+r"(a[n][3])::"memory");
}

/* Shows what this thread wrote to shared memory to products, once a barrier has followed. */
static __device__ inline void
shared_to_products()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

#endif
