/* SPDX-License-Identifier: Apache-2.0
 *
 * Acts as the kernels of one table see them: floats, or bf16 where DPC_ACT_BF16 is defined. Kernels
 * load them to vectors of fp32 and store those; whole rows go by pieces of LANES values or fewer.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_OPS_CPU_ACT_H
#define DPC_OPS_CPU_ACT_H

#include "base/bf16.h"
#include "ops/cpu/vec.h"
#include "ops/ops.h"

#ifdef DPC_ACT_BF16
#define DPC_ACT_DTYPE DPC_BF16
typedef uint16_t act;
typedef uint16_t vec_halves __attribute__((vector_size(LANES * sizeof(uint16_t))));
typedef uint16_t vec_halves_unaligned
    __attribute__((vector_size(LANES * sizeof(uint16_t)), aligned(sizeof(uint16_t)), may_alias));
typedef uint32_t vec_words __attribute__((vector_size(LANES * sizeof(uint32_t))));

INLINE vec
act_widen(vec_halves halves)
{
    return (vec)(__builtin_convertvector(halves, vec_words) << 16);
}

/* To the nearest, ties to even; a NaN stays one. */
INLINE vec_halves
act_narrow(vec value)
{
#if defined(__AVX512BF16__)
    return (vec_halves)_mm512_cvtneps_pbh((__m512)value);
#else
    vec_words bits = (vec_words)value, nan = (vec_words)(value != value);
    vec_words rounded = bits + 0x7fff + (bits >> 16 & 1);
    return __builtin_convertvector(((~nan & rounded) | (nan & (bits | 0x400000))) >> 16,
                                   vec_halves);
#endif
}

INLINE vec
act_load(const act *from)
{
    return act_widen(*(const vec_halves_unaligned *)from);
}

INLINE void
act_store(act *to, vec value)
{
    *(vec_halves_unaligned *)to = act_narrow(value);
}

INLINE vec
act_load_part(const act *from, size_t count)
{
    vec_halves halves = {0};
    memcpy(&halves, from, count * sizeof *from);
    return act_widen(halves);
}

INLINE void
act_store_part(act *to, vec value, size_t count)
{
    vec_halves halves = act_narrow(value);
    memcpy(to, &halves, count * sizeof *to);
}
#else
#define DPC_ACT_DTYPE DPC_FP32
typedef float act;

INLINE vec
act_load(const act *from)
{
    return vec_load(from);
}

INLINE void
act_store(act *to, vec value)
{
    vec_store(to, value);
}

INLINE vec
act_load_part(const act *from, size_t count)
{
    return vec_load_part(from, count, 0.0f);
}

INLINE void
act_store_part(act *to, vec value, size_t count)
{
    vec_store_part(to, value, count);
}
#endif

/* --- Pieces of a row: LANES values, or the fewer that are left; what is missing reads as 0. */

INLINE vec
piece(const float *from, size_t count)
{
    return count == LANES ? vec_load(from) : vec_load_part(from, count, 0.0f);
}

INLINE void
put_piece(float *to, vec value, size_t count)
{
    if (count == LANES)
        vec_store(to, value);
    else
        vec_store_part(to, value, count);
}

INLINE vec
act_piece(const act *from, size_t count)
{
    return count == LANES ? act_load(from) : act_load_part(from, count);
}

INLINE void
put_act_piece(act *to, vec value, size_t count)
{
    if (count == LANES)
        act_store(to, value);
    else
        act_store_part(to, value, count);
}

/* Calls each(at, count) for the pieces of a row of `length` values; `each` is a macro or inlined.
 */
#define FOR_PIECES(length, each)                                                                   \
    do {                                                                                           \
        size_t at_ = 0;                                                                            \
        for (; at_ + LANES <= (length); at_ += LANES)                                              \
            each(at_, LANES);                                                                      \
        if (at_ < (length))                                                                        \
            each(at_, (length)-at_);                                                               \
    } while (0)

#endif
