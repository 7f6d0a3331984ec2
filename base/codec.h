/* SPDX-License-Identifier: Apache-2.0
 *
 * The forms in which values travel: fp32 as they are, and three that lose something.
 *
 * - bf16: the upper half of fp32, rounded to nearest even; 2 bytes a value.
 *
 * - int8: blocks of DPC_CODEC_BLOCK values: f32 scale, then a signed byte each; value = byte x
 * scale, the largest of the block is 127.
 *
 * - nf4: the same blocks: f32 scale, then four bits each, the lower ones first: value = scale x one
 * of 16 sizes, which are as likely as each other where values are normal (NormalFloat of QLoRA,
 * arXiv 2305.14314, appendix E). The scale is the one of least squares. Of the deltas of the
 * comparison's 2x2 this loses 1.0 % of the squares; whole numbers of as many bits 1.6 %, E3M0 3.7
 * %.
 *
 * Little-endian. Encoded values are a function of the values, the same on every machine: additions,
 * multiplications and divisions of IEEE, in one order. A block with a value that is not finite,
 * also of bf16, has all bits set, and decodes to such values.
 *
 * Owns: nothing. Threads: any. Not here: headers (base/tensor_blob.h), which form is taken when
 * (the experiment's `transfer`).
 */
#ifndef DPC_BASE_CODEC_H
#define DPC_BASE_CODEC_H

#include <stddef.h>
#include <stdint.h>

/* As blobs have it: never renumbered. */
enum dpc_codec {
    DPC_CODEC_FP32 = 0,
    DPC_CODEC_BF16 = 1,
    DPC_CODEC_INT8 = 2,
    DPC_CODEC_NF4 = 3,
    DPC_CODECS_COUNT
};

enum { DPC_CODEC_BLOCK = 256 };

/* Nothing in a block is larger: it is one of zeros. */
#define DPC_CODEC_LARGEST_MIN 1e-30F

/* In units of the largest value of a block. */
#define DPC_CODEC_NF4_SIZES                                                                        \
    {                                                                                              \
        -1.0F, -0.69619280F, -0.52507305F, -0.39491749F, -0.28444138F, -0.18477343F,               \
            -0.091050036F, 0.0F, 0.079580300F, 0.16093020F, 0.24611230F, 0.33791524F, 0.44070983F, \
            0.56261700F, 0.72295684F, 1.0F                                                         \
    }
/* The sums of least squares are those of every so manieth value, added in their order. */
enum { DPC_CODEC_NF4_SIZES_COUNT = 16, DPC_CODEC_NF4_LANES = 8 };

/* Bytes of `count` encoded values. Where `count` is a multiple of DPC_CODEC_BLOCK, that is also
 * where the value with the number `count` begins. */
size_t dpc_codec_bytes(enum dpc_codec codec, size_t count);

/* `ret_bytes` holds dpc_codec_bytes. */
void dpc_codec_encode(enum dpc_codec codec, const float *values, size_t count, uint8_t *ret_bytes);

/* Values may come that are not finite. */
void dpc_codec_decode(enum dpc_codec codec, const uint8_t *bytes, size_t count, float *ret_values);

/* Who codes many values with many threads gives each so many at a time, a multiple of
 * DPC_CODEC_BLOCK. */
enum { DPC_CODEC_PART = 256 * DPC_CODEC_BLOCK };

#endif
