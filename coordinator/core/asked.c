/* SPDX-License-Identifier: Apache-2.0
 * Random permutations of all paths, one behind the other, are cut into the blocks' portions. Within
 * a permutation no path comes twice; where a block lies across two, the second gives way. */
#include "coordinator/core/asked.h"

#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

void
dpc_asked_init(struct dpc_asked *asked, uint64_t seed, uint32_t phase, uint32_t paths,
               uint32_t count)
{
    *asked = (struct dpc_asked){
        .seed = seed,
        .phase = phase,
        .paths = paths,
        .count = count,
        .used = paths,
        .order = dpc_alloc(paths, sizeof *asked->order),
        .last = dpc_alloc(paths, sizeof *asked->last),
        .chosen = dpc_alloc(count, sizeof *asked->chosen),
    };
}

void
dpc_asked_done(struct dpc_asked *asked)
{
    dpc_free(asked->order);
    dpc_free(asked->last);
    dpc_free(asked->chosen);
    memset(asked, 0, sizeof *asked);
}

static void
swap(uint32_t *one, uint32_t *two)
{
    uint32_t kept = *one;
    *one = *two;
    *two = kept;
}

static void
shuffle(struct dpc_asked *asked)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, asked->seed, DPC_RNG_ASKED, asked->phase, asked->permutations++, 0);
    for (uint32_t i = 0; i < asked->paths; i++)
        asked->order[i] = i;
    for (uint32_t i = asked->paths; i > 1; i--)
        swap(&asked->order[i - 1], &asked->order[dpc_rng_below(&rng, i)]);
}

/* The present block lacks the first `lacking` entries: those that it has already change places with
 * others further on, of which there are enough, since it asks no more paths than there are. */
static void
begin_permutation(struct dpc_asked *asked, uint32_t lacking)
{
    uint32_t other = lacking;
    shuffle(asked);
    for (uint32_t i = 0; i < lacking; i++) {
        if (asked->last[asked->order[i]] != asked->block)
            continue;
        while (asked->last[asked->order[other]] == asked->block)
            other++;
        swap(&asked->order[i], &asked->order[other]);
    }
    asked->used = 0;
}

const uint32_t *
dpc_asked_next(struct dpc_asked *asked)
{
    asked->block++;
    for (uint32_t i = 0; i < asked->count; i++) {
        if (asked->used == asked->paths)
            begin_permutation(asked, asked->count - i);
        uint32_t path = asked->order[asked->used++];
        asked->last[path] = asked->block;
        asked->chosen[i] = path;
    }
    return asked->chosen;
}
