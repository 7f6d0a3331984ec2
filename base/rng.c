/* SPDX-License-Identifier: Apache-2.0
 * The key is (seed low, seed high xor use); the counter is (block, a, b, c), so that streams which
 * differ in any coordinate never overlap. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 10 };

void
dpc_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t ret_words[4])
{
    uint32_t x[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x[0];
        uint64_t p1 = (uint64_t)0xCD9E8D57u * x[2];
        uint32_t y[4] = {(uint32_t)(p1 >> 32) ^ x[1] ^ k0, (uint32_t)p1,
                         (uint32_t)(p0 >> 32) ^ x[3] ^ k1, (uint32_t)p0};
        memcpy(x, y, sizeof x);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(ret_words, x, sizeof x);
}

void
dpc_rng_init(struct dpc_rng *rng, uint64_t seed, enum dpc_rng_use use, uint32_t a, uint32_t b,
             uint32_t c)
{
    *rng = (struct dpc_rng){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32) ^ ((uint32_t)use << 24)},
        .counter = {0, a, b, c},
        .used = 4,
    };
}

uint32_t
dpc_rng_u32(struct dpc_rng *rng)
{
    if (rng->used == 4) {
        dpc_philox(rng->counter, rng->key, rng->block);
        rng->counter[0]++;
        rng->used = 0;
    }
    return rng->block[rng->used++];
}

uint64_t
dpc_rng_u64(struct dpc_rng *rng)
{
    uint64_t low = dpc_rng_u32(rng);
    return low | (uint64_t)dpc_rng_u32(rng) << 32;
}

uint64_t
dpc_rng_below(struct dpc_rng *rng, uint64_t bound)
{
    uint64_t reject_below = -bound % bound;
    uint64_t draw;
    do {
        draw = dpc_rng_u64(rng);
    } while (draw < reject_below);
    return draw % bound;
}

double
dpc_rng_unit(struct dpc_rng *rng)
{
    return (double)(dpc_rng_u64(rng) >> 11) * 0x1.0p-53;
}

double
dpc_rng_normal(struct dpc_rng *rng)
{
    double radius = sqrt(-2.0 * log(1.0 - dpc_rng_unit(rng)));
    return radius * cos(2.0 * M_PI * dpc_rng_unit(rng));
}
