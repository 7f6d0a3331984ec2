/* SPDX-License-Identifier: Apache-2.0
 *
 * Which paths are asked to score which documents in a discriminative phase, with
 * `routing.score_paths`: of each block of documents as many as that says, drawn anew, so that a
 * phase costs documents times these instead of documents times paths. A path is asked for as many
 * blocks as any other, or one more or less, so that none starves of labels.
 *
 * The draw is a pure function of (seed, phase, paths, how many): who comes back in the middle of a
 * phase draws the same again.
 *
 * Owns: its tables. Threads: one. Not here: what is made of the scores
 * (coordinator/corpus/scored.c).
 */
#ifndef DPC_COORDINATOR_CORE_ASKED_H
#define DPC_COORDINATOR_CORE_ASKED_H

#include <stdint.h>

/* Documents of a block, which one lease on a path scores: enough pieces for several workers. */
enum { DPC_ASKED_DOCUMENTS = 32 };

struct dpc_asked {
    uint64_t seed;
    uint32_t phase, paths;
    uint32_t count;        /* of paths that are asked for a block */
    uint32_t block;        /* blocks that were begun */
    uint32_t permutations; /* likewise */
    uint32_t used;         /* entries of the present one */
    uint32_t *order;       /* [paths] the present permutation */
    uint32_t *last;        /* [paths] the last block that asked each, counted from 1 */
    uint32_t *chosen;      /* [count] */
};

/* `count` of `paths` paths, at least one and at most all. */
void dpc_asked_init(struct dpc_asked *asked, uint64_t seed, uint32_t phase, uint32_t paths,
                    uint32_t count);
void dpc_asked_done(struct dpc_asked *asked);

/* The next block's paths [count], in the order of the draw; good until the next call. */
const uint32_t *dpc_asked_next(struct dpc_asked *asked);

static inline uint32_t
dpc_asked_blocks(uint32_t documents)
{
    return documents / DPC_ASKED_DOCUMENTS + (documents % DPC_ASKED_DOCUMENTS > 0);
}

#endif
