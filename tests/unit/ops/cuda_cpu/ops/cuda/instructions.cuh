/* SPDX-License-Identifier: Apache-2.0
 *
 * In place of ops/cuda/instructions.cuh: what those instructions do, from the PTX ISA's tables
 * (README.md).
 */
#ifndef DPC_TESTS_UNIT_OPS_CUDA_CPU_INSTRUCTIONS_CUH
#define DPC_TESTS_UNIT_OPS_CUDA_CPU_INSTRUCTIONS_CUH

#include <cuda_bf16.h>

/* Through a vector, so that one that begins where a card could not write it is a trap. */
static inline void
store_16(void *to, uint4 value)
{
    *(uint4 *)to = value;
}

static inline uint32_t
shared_address(const void *memory)
{
    return (uint32_t)((const unsigned char *)memory - dpc_emulated_shared);
}

static inline void
copy_16(uint32_t to, const void *from, bool valid)
{
    dpc_emulated_copy_later(dpc_emulated_shared + to, from, 16, valid);
}

static inline void
copy_8(uint32_t to, const void *from, bool valid)
{
    dpc_emulated_copy_later(dpc_emulated_shared + to, from, 8, valid);
}

static inline void
copies_wait()
{
    dpc_emulated_copy_now();
}

/* Lane 8 i + r holds where row r of matrix i begins. */
struct dpc_emulated_matrices {
    uint32_t *r;
    uint32_t address;
};

static inline uint32_t
dpc_emulated_element(void **operands, int matrix, int row, int column)
{
    uint32_t address = ((dpc_emulated_matrices *)operands[8 * matrix + row])->address;
    uint16_t value;
    memcpy(&value, dpc_emulated_shared + address + 2 * column, sizeof value);
    return value;
}

template <bool TURNED>
static inline void
dpc_emulated_load_all(void **operands)
{
    for (int lane = 0; lane < 32; lane++) {
        if (((dpc_emulated_matrices *)operands[lane])->address % 16)
            dpc_emulated_fail("a row of a matrix begins where a card could not read it");
        int row = lane / 4, column = 2 * (lane % 4);
        for (int i = 0; i < 4; i++) {
            uint32_t low = TURNED ? dpc_emulated_element(operands, i, column, row)
                                  : dpc_emulated_element(operands, i, row, column);
            uint32_t high = TURNED ? dpc_emulated_element(operands, i, column + 1, row)
                                   : dpc_emulated_element(operands, i, row, column + 1);
            ((dpc_emulated_matrices *)operands[lane])->r[i] = low | high << 16;
        }
    }
}

static inline void
load_matrices(uint32_t (&r)[4], uint32_t address)
{
    dpc_emulated_matrices own = {r, address};
    dpc_emulated_together(dpc_emulated_load_all<false>, &own);
}

static inline void
load_matrices_turned(uint32_t (&r)[4], uint32_t address)
{
    dpc_emulated_matrices own = {r, address};
    dpc_emulated_together(dpc_emulated_load_all<true>, &own);
}

struct dpc_emulated_product {
    float *c;
    const uint32_t *a;
    uint32_t b[2];
};

static inline float
dpc_emulated_half(uint32_t pair, int high)
{
    return dpc_bf16_to_float((uint16_t)(high ? pair >> 16 : pair));
}

/* a[16,16] and b[16,8] put together from all lanes, then multiplied. */
static inline void
dpc_emulated_multiply_all(void **operands)
{
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const dpc_emulated_product *own = (const dpc_emulated_product *)operands[lane];
        int g = lane / 4, t = lane % 4;
        for (int high = 0; high < 2; high++) {
            for (int i = 0; i < 4; i++)
                a[g + 8 * (i & 1)][2 * t + high + 8 * (i >> 1)] =
                    dpc_emulated_half(own->a[i], high);
            for (int i = 0; i < 2; i++)
                b[2 * t + high + 8 * i][g] = dpc_emulated_half(own->b[i], high);
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        float *c = ((dpc_emulated_product *)operands[lane])->c;
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + 8 * (i >> 1), column = 2 * (lane % 4) + (i & 1);
            for (int k = 0; k < 16; k++)
                c[i] += a[row][k] * b[k][column];
        }
    }
}

static inline void
multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    dpc_emulated_product own = {c, a, {b0, b1}};
    dpc_emulated_together(dpc_emulated_multiply_all, &own);
}

static inline uint32_t
pack(float low, float high)
{
    return (uint32_t)dpc_bf16_from_float(low) | (uint32_t)dpc_bf16_from_float(high) << 16;
}

static inline float
power_of_two(float x)
{
    return exp2f(x);
}

#endif
