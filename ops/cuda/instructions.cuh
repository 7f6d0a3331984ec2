/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the plug-in: instructions that no C++ names (PTX ISA), of cards from capability 80 on where
 * nothing else is said. See launch.cuh for why they stand apart, mma.cuh for what a fragment is.
 */
#ifndef DPC_OPS_CUDA_INSTRUCTIONS_CUH
#define DPC_OPS_CUDA_INSTRUCTIONS_CUH

#include <cuda_bf16.h>
#include <stdint.h>

/* --- Memory. */

/* To the card's memory, on any card. Said so, since the compiler takes some such stores apart. */
static __device__ inline void
store_16(void *to, uint4 value)
{
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
                 "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w)
                 : "memory");
}

/* --- Copies in the background. */

/* 16 bytes; zeros where not `valid`, and `from` is not read then. */
static __device__ inline void
copy_16(uint32_t to, const void *from, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
}

static __device__ inline void
copy_8(uint32_t to, const void *from, bool valid)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from),
                 "r"(valid ? 8 : 0)
                 : "memory");
}

/* Waits for this thread's copies; a barrier shows them to the others. */
static __device__ inline void
copies_wait()
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

static __device__ inline uint32_t
shared_address(const void *memory)
{
    return (uint32_t)__cvta_generic_to_shared(memory);
}

/* --- Fragments. */

static __device__ inline void
load_matrices(uint32_t (&r)[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

static __device__ inline void
load_matrices_turned(uint32_t (&r)[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

/* c += a b. */
static __device__ inline void
multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Two values in bf16, `low` in the lower bits. */
static __device__ inline uint32_t
pack(float low, float high)
{
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

/* 2^x; minus infinity gives 0. */
static __device__ inline float
power_of_two(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

#endif
