/* SPDX-License-Identifier: Apache-2.0
 * One block after the other; nothing is kept between blocks, so that a part can be decoded alone.
 */
#include "base/codec.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/bf16.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "encoded values lie as memory does");

enum {
    INT8_MAX_CODE = 127,
    NF4_SIZES = DPC_CODEC_NF4_SIZES_COUNT,
    NF4_LANES = DPC_CODEC_NF4_LANES
};

static size_t
min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t
block_bytes(enum dpc_codec codec, size_t count)
{
    switch (codec) {
    case DPC_CODEC_FP32:
        return count * sizeof(float);
    case DPC_CODEC_BF16:
        return count * sizeof(uint16_t);
    case DPC_CODEC_INT8:
        return sizeof(float) + count;
    default:
        return sizeof(float) + (count + 1) / 2;
    }
}

size_t
dpc_codec_bytes(enum dpc_codec codec, size_t count)
{
    size_t rest = count % DPC_CODEC_BLOCK;
    return count / DPC_CODEC_BLOCK * block_bytes(codec, DPC_CODEC_BLOCK) +
           (rest ? block_bytes(codec, rest) : 0);
}

/* --- bf16. */

static void
encode_bf16(const float *values, size_t count, uint8_t *ret_bytes)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half = dpc_bf16_from_float(values[i]);
        memcpy(ret_bytes + i * sizeof half, &half, sizeof half);
    }
}

static void
decode_bf16(const uint8_t *bytes, size_t count, float *ret_values)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + i * sizeof half, sizeof half);
        ret_values[i] = dpc_bf16_to_float(half);
    }
}

/* --- Blocks. */

/* Infinite where a value is not finite. */
static float
largest_of(const float *values, size_t count)
{
    float largest = 0;
    bool finite = true;
    for (size_t i = 0; i < count; i++) {
        float size = fabsf(values[i]);
        finite &= size <= FLT_MAX;
        largest = size > largest ? size : largest;
    }
    return finite ? largest : INFINITY;
}

static float
encode_int8(const float *values, size_t count, float largest, uint8_t *ret_codes)
{
    float factor = (float)INT8_MAX_CODE / largest;
    for (size_t i = 0; i < count; i++) {
        float scaled = values[i] * factor;
        int32_t code = (int32_t)(scaled + (scaled < 0 ? -0.5F : 0.5F));
        ret_codes[i] = (uint8_t)(int8_t)code;
    }
    return largest / (float)INT8_MAX_CODE;
}

static void
decode_int8(const uint8_t *codes, size_t count, float scale, float *ret_values)
{
    for (size_t i = 0; i < count; i++)
        ret_values[i] = (float)(int8_t)codes[i] * scale;
}

static const float nf4_sizes[NF4_SIZES] = DPC_CODEC_NF4_SIZES;

/* Of the middles between two sizes how many lie below k / 32 - 1. */
static const uint8_t nf4_below[65] = {
    0,  0,  0,  0,  0,  1,  1,  1,  1,  1,  1,  1,  1,  2,  2,  2,  2,  2,  3,  3,  3,  3,
    4,  4,  4,  5,  5,  5,  6,  6,  6,  7,  7,  7,  8,  8,  9,  9,  9,  10, 10, 10, 11, 11,
    11, 12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 14, 14, 14, 15, 15, 15, 15, 15,
};

/* The number of the nearest size is that of middles below; no two of these are within 1/32. */
static uint32_t
nf4_code(float size)
{
    uint32_t code = nf4_below[(uint32_t)((size + 1) * 32)];
    return code + (code + 1 < NF4_SIZES && size > 0.5F * (nf4_sizes[code] + nf4_sizes[code + 1]));
}

static float
encode_nf4(const float *values, size_t count, float largest, uint8_t *ret_codes)
{
    float factor = 1 / largest;
    double fits[NF4_LANES] = {0}, squares[NF4_LANES] = {0};
    memset(ret_codes, 0, (count + 1) / 2);
    for (size_t i = 0; i < count; i++) {
        uint32_t code = nf4_code(values[i] * factor);
        double size = (double)nf4_sizes[code];
        ret_codes[i / 2] |= (uint8_t)(code << (i % 2 * 4));
        fits[i % NF4_LANES] += (double)values[i] * size;
        squares[i % NF4_LANES] += size * size;
    }
    for (size_t lane = 1; lane < NF4_LANES; lane++) {
        fits[0] += fits[lane];
        squares[0] += squares[lane];
    }
    return (float)(fits[0] / squares[0]);
}

static void
decode_nf4(const uint8_t *codes, size_t count, float scale, float *ret_values)
{
    float values[NF4_SIZES];
    for (int i = 0; i < NF4_SIZES; i++)
        values[i] = nf4_sizes[i] * scale;
    for (size_t i = 0; i < count; i++)
        ret_values[i] = values[codes[i / 2] >> (i % 2 * 4) & 15];
}

static void
encode_scaled(enum dpc_codec codec, const float *values, size_t count, float largest,
              uint8_t *ret_bytes)
{
    float scale = 0;
    uint8_t *codes = ret_bytes + sizeof scale;
    if (largest < DPC_CODEC_LARGEST_MIN)
        memset(codes, 0, block_bytes(codec, count) - sizeof scale);
    else if (codec == DPC_CODEC_INT8)
        scale = encode_int8(values, count, largest, codes);
    else
        scale = encode_nf4(values, count, largest, codes);
    memcpy(ret_bytes, &scale, sizeof scale);
}

static void
encode_block(enum dpc_codec codec, const float *values, size_t count, uint8_t *ret_bytes)
{
    float largest = largest_of(values, count);
    if (isinf(largest))
        memset(ret_bytes, 0xff, block_bytes(codec, count));
    else if (codec == DPC_CODEC_BF16)
        encode_bf16(values, count, ret_bytes);
    else
        encode_scaled(codec, values, count, largest, ret_bytes);
}

static void
decode_block(enum dpc_codec codec, const uint8_t *bytes, size_t count, float *ret_values)
{
    float scale;
    if (codec == DPC_CODEC_BF16) {
        decode_bf16(bytes, count, ret_values);
        return;
    }
    memcpy(&scale, bytes, sizeof scale);
    if (codec == DPC_CODEC_INT8)
        decode_int8(bytes + sizeof scale, count, scale, ret_values);
    else
        decode_nf4(bytes + sizeof scale, count, scale, ret_values);
}

void
dpc_codec_encode(enum dpc_codec codec, const float *values, size_t count, uint8_t *ret_bytes)
{
    assert(codec < DPC_CODECS_COUNT);
    if (codec == DPC_CODEC_FP32) {
        memcpy(ret_bytes, values, count * sizeof *values);
        return;
    }
    for (size_t at = 0; at < count; at += DPC_CODEC_BLOCK)
        encode_block(codec, values + at, min_size(count - at, DPC_CODEC_BLOCK),
                     ret_bytes + dpc_codec_bytes(codec, at));
}

void
dpc_codec_decode(enum dpc_codec codec, const uint8_t *bytes, size_t count, float *ret_values)
{
    assert(codec < DPC_CODECS_COUNT);
    if (codec == DPC_CODEC_FP32) {
        memcpy(ret_values, bytes, count * sizeof *ret_values);
        return;
    }
    for (size_t at = 0; at < count; at += DPC_CODEC_BLOCK)
        decode_block(codec, bytes + dpc_codec_bytes(codec, at),
                     min_size(count - at, DPC_CODEC_BLOCK), ret_values + at);
}
