/* SPDX-License-Identifier: Apache-2.0
 *
 * bf16: the upper half of an fp32, one value at a time.
 *
 * Owns: nothing. Threads: any. Not here: vectors of them (ops/cpu/act.h).
 */
#ifndef DPC_BASE_BF16_H
#define DPC_BASE_BF16_H

#include <stdint.h>
#include <string.h>

static inline float
dpc_bf16_to_float(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest, ties to even; a NaN stays one. */
static inline uint16_t
dpc_bf16_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
