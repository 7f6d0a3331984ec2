/* SPDX-License-Identifier: Apache-2.0
 *
 * Which deltas were handed in before, by the first bytes of their names, and for which task: who
 * hands in one of them for another has trained nothing. For the same one it is what an honest
 * worker brings that was at work on it as well. Two halves of bounded size; when the newer is full
 * the older is forgotten, so at least the last SEEN_MAX deltas are known.
 *
 * Owns: its table. Threads: one. Limits: at most 64 bytes for each of up to 2 x SEEN_MAX deltas.
 * Not here: deltas that are nearly the same (coordinator/versions/gates.h).
 */
#ifndef DPC_COORDINATOR_CORE_SEEN_H
#define DPC_COORDINATOR_CORE_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

enum { SEEN_MAX = 1 << 20, SEEN_SLOTS_MIN = 64 };

struct core_seen {
    struct core_seen_half {
        size_t count, slots_count; /* a power of two, at least twice the count */
        struct core_seen_slot {
            uint64_t name; /* 0: free */
            uint32_t path, round;
        } * slots;
    } newer, older;
};

void core_seen_done(struct core_seen *seen);
/* Handed in for this round of the path; the first task of a delta stands. */
void core_seen_add(struct core_seen *seen, const struct dpc_hash *hash, uint32_t path,
                   uint32_t round);
/* It was handed in for another task. */
bool core_seen_elsewhere(const struct core_seen *seen, const struct dpc_hash *hash, uint32_t path,
                         uint32_t round);

#endif
