/* SPDX-License-Identifier: Apache-2.0
 *
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", SC11). A number is a pure function of a key and a counter, so that any batch, any
 * initial weight and any task can be computed again, anywhere, in any order.
 *
 * Owns: nothing. Threads: a stream belongs to one thread; streams are independent.
 */
#ifndef DPC_BASE_RNG_H
#define DPC_BASE_RNG_H

#include <stdint.h>

/* What a stream is for, so that two uses of one seed never share numbers. */
enum dpc_rng_use {
    DPC_RNG_INIT = 1,     /* initial weights: a = level, c = tensor */
    DPC_RNG_BATCH = 2,    /* batches: a = path, b = round, c = step */
    DPC_RNG_KMEANS = 3,   /* seeding: b = restart */
    DPC_RNG_GENERATE = 4, /* sampling of text */
    DPC_RNG_TEST = 5,
    DPC_RNG_PAUSE = 6,      /* jitter of pauses between tries */
    DPC_RNG_SAMPLE = 7,     /* paths of a round: a = path, b = round */
    DPC_RNG_AUDIT = 8,      /* which tasks are repeated: a = path, b = round, c = of the ledger */
    DPC_RNG_UPCYCLE = 9,    /* how routed modules begin: a = module, b = tensor, c = part of it */
    DPC_RNG_BOOTSTRAP = 10, /* documents drawn again: a = pair */
    DPC_RNG_REROUTE = 11,   /* windows that train the router network: a = step */
    DPC_RNG_ASKED = 12,     /* paths that score a block: a = phase, b = permutation */
};

struct dpc_rng {
    uint32_t key[2];
    uint32_t counter[4];
    uint32_t block[4];
    uint32_t used; /* words of `block` given out */
};

/* One block of Philox4x32-10: four words from a counter and a key. */
void dpc_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret_words[4]);

/* A stream for (seed, use, a, b, c), good for 2^32 blocks of four words. */
void dpc_rng_init(struct dpc_rng *rng, uint64_t seed, enum dpc_rng_use use, uint32_t a, uint32_t b,
                  uint32_t c);

uint32_t dpc_rng_u32(struct dpc_rng *rng);
uint64_t dpc_rng_u64(struct dpc_rng *rng);

/* Uniform in [0, bound), without bias; bound > 0. */
uint64_t dpc_rng_below(struct dpc_rng *rng, uint64_t bound);

/* Uniform in [0, 1), 53 bits. */
double dpc_rng_unit(struct dpc_rng *rng);

/* Standard normal, Box-Muller in double precision. */
double dpc_rng_normal(struct dpc_rng *rng);

#endif
