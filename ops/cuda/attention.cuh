/* SPDX-License-Identifier: Apache-2.0
 *
 * What the attention kernels of both number formats share: how heads lie in memory, the order in
 * which blocks of rows are computed, and the passes before them, which leave rotated and padded
 * heads in scratch so that the kernels themselves only copy tiles.
 */
#ifndef DPC_OPS_CUDA_ATTENTION_CUH
#define DPC_OPS_CUDA_ATTENTION_CUH

#include "ops/cuda/vec.cuh"
#include "ops/ops.h"

/* Row t of head h of sequence b begins at base + b batch + h head + t row. */
template <typename value> struct dpc_heads {
    value *base;
    size_t batch, head, row;
};

/* Sizes of a shape, as kernels take them. */
struct dpc_sizes {
    int B, T, H, G, D;
};

/* The angles' tables [T, D/2]. */
struct dpc_angles {
    const float *cosines, *sines;
};

/* Blocks of rows of all heads in the order in which they start: heads in groups of which the cache
 * holds what they stream, in a group the blocks with the most work first, so that the last ones
 * to end are short. */
struct dpc_order {
    unsigned blocks, heads, group;
};

struct dpc_place {
    int head, block; /* block 0 has the most work */
};

static inline unsigned
dpc_order_count(const struct dpc_order *order)
{
    return order->blocks * order->heads;
}

static __device__ inline struct dpc_place
dpc_order_at(const struct dpc_order &order, unsigned index)
{
    unsigned in_group = order.group * order.blocks;
    unsigned begin = index / in_group * order.group, rest = index % in_group;
    unsigned width = min(order.group, order.heads - begin);
    struct dpc_place place = {(int)(begin + rest % width), (int)(rest / width)};
    return place;
}

/* `streamed` bytes are read again and again for one head. */
static inline struct dpc_order
dpc_order_of(size_t blocks, size_t heads, size_t streamed)
{
    size_t group = ((size_t)16 << 20) / (streamed ? streamed : 1);
    group = group < 1 ? 1 : group > heads ? heads : group;
    struct dpc_order order = {(unsigned)blocks, (unsigned)heads, (unsigned)group};
    return order;
}

static inline struct dpc_sizes
dpc_sizes_of(const struct dpc_attention_shape *s)
{
    struct dpc_sizes sizes = {(int)s->B, (int)s->T, (int)s->H, (int)s->G, (int)s->D};
    return sizes;
}

static inline size_t
dpc_ceiling(size_t count, size_t unit)
{
    return (count + unit - 1) / unit;
}

/* Heads that stand in rows of `width` heads [B, T, width, D], from head `from` on. */
template <typename value>
static inline struct dpc_heads<value>
dpc_heads_in_rows(value *acts, const struct dpc_sizes &s, size_t width, size_t from)
{
    size_t D = (size_t)s.D;
    struct dpc_heads<value> heads = {acts + from * D, (size_t)s.T * width * D, D, width * D};
    return heads;
}

/* Heads one after the other, [B, count, T, width]. */
template <typename value>
static inline struct dpc_heads<value>
dpc_heads_apart(value *base, const struct dpc_sizes &s, size_t count, size_t width)
{
    size_t head = (size_t)s.T * width;
    struct dpc_heads<value> heads = {base, count * head, head, width};
    return heads;
}

template <typename value>
static inline struct dpc_heads<const value>
dpc_heads_const(const struct dpc_heads<value> &h)
{
    struct dpc_heads<const value> heads = {h.base, h.batch, h.head, h.row};
    return heads;
}

/* Scratch is cut into pieces of multiples of this many bytes. */
static inline size_t
dpc_piece_bytes(size_t count, size_t value_bytes)
{
    return dpc_ceiling(count * value_bytes, 256) * 256;
}

/* Takes the next piece of scratch. */
template <typename value>
static inline value *
dpc_piece_take(void **scratch, size_t count)
{
    value *piece = (value *)*scratch;
    *scratch = (char *)*scratch + dpc_piece_bytes(count, sizeof(value));
    return piece;
}

/* Whether a tensor begins where vectors of 16 bytes do. */
static inline bool
dpc_aligned(const void *memory)
{
    return (uintptr_t)memory % 16 == 0;
}

/* --- The passes before (attention_prepare.cu). */

/* to[b, h, t, 0 .. width) = heads of `from`, turned by the angles (cosines NULL: as they are),
 * then zeros; t from `first` on. from's heads have s.D values. */
template <typename act, typename value>
void dpc_cuda_lay_heads(value *to, size_t width, const struct dpc_heads<const act> &from,
                        size_t count, const struct dpc_sizes &s, size_t first,
                        const struct dpc_angles &angles);

/* stats[b, h, t] = (lse x factor, sum of dout x out), for the backward pass. */
template <typename act>
void dpc_cuda_attention_stats(float2 *stats, const act *dout, const act *out, const float *lse,
                              const struct dpc_sizes &s, float factor);

/* --- Acts in bf16 computed in fp32 (attention_float.cu), for heads that are wider than what the
 * tensor cores' kernels hold. */

void dpc_cuda_attention_forward_wide(bf16 *out, float *lse, const struct dpc_attention *in,
                                     size_t first, void *scratch);
void dpc_cuda_attention_backward_wide(bf16 *dqkv, const bf16 *dout, const bf16 *out,
                                      const float *lse, const struct dpc_attention *in,
                                      void *scratch);
size_t dpc_cuda_attention_scratch_bytes_wide(const struct dpc_attention_shape *shape);

#endif
