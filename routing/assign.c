/* SPDX-License-Identifier: Apache-2.0
 * Choices are made in turns: all documents make their first, then all their second. A capacity
 * grows with the turns, so that overlap takes no room from first choices. */
#include "routing/assign.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/alloc.h"

struct turn {
    uint32_t document;
    float margin; /* of the second choice over the first */
};

static int
by_margin(const void *a, const void *b)
{
    const struct turn *left = a, *right = b;
    if (left->margin != right->margin)
        return left->margin > right->margin ? -1 : 1;
    return left->document < right->document ? -1 : left->document > right->document;
}

static float
margin_of(const float *costs, uint32_t paths)
{
    float best = INFINITY, second = INFINITY;
    for (uint32_t path = 0; path < paths; path++) {
        if (costs[path] < best) {
            second = best;
            best = costs[path];
        } else if (costs[path] < second) {
            second = costs[path];
        }
    }
    return paths > 1 ? second - best : 0;
}

static bool
is_taken(const uint32_t *chosen, uint32_t chosen_count, uint32_t path)
{
    for (uint32_t i = 0; i < chosen_count; i++) {
        if (chosen[i] == path)
            return true;
    }
    return false;
}

/* The cheapest path that has a cost and room and is not chosen yet. */
static uint32_t
choose(const float *costs, uint32_t paths, const uint32_t *filled, const uint32_t *room,
       const uint32_t *chosen, uint32_t chosen_count)
{
    uint32_t best = DPC_ASSIGN_NONE;
    for (uint32_t path = 0; path < paths; path++) {
        if (filled[path] < room[path] && !is_taken(chosen, chosen_count, path) &&
            costs[path] < (best == DPC_ASSIGN_NONE ? INFINITY : costs[best]))
            best = path;
    }
    return best;
}

/* Of the paths that have a cost the one with the fewest documents; among equals the cheapest. The
 * first where none has. */
static uint32_t
least_filled(const float *costs, uint32_t paths, const uint32_t *filled)
{
    uint32_t best = DPC_ASSIGN_NONE;
    for (uint32_t path = 0; path < paths; path++) {
        if (costs[path] < INFINITY && (best == DPC_ASSIGN_NONE || filled[path] < filled[best] ||
                                       (filled[path] == filled[best] && costs[path] < costs[best])))
            best = path;
    }
    return best == DPC_ASSIGN_NONE ? 0 : best;
}

uint32_t
dpc_assign_capacity(uint32_t count, uint32_t paths, uint32_t choices, double capacity)
{
    double room = ceil(capacity * (double)count * choices / paths);
    return room < (double)UINT32_MAX ? (uint32_t)room : UINT32_MAX;
}

/* What a path holds once all documents have made `choices` choices. */
static uint32_t
room_of(const struct dpc_assign_options *options, uint32_t count, uint32_t paths, uint32_t path,
        uint32_t choices)
{
    if (options->rooms)
        return options->rooms[path] * choices;
    return options->capacity > 0 ? dpc_assign_capacity(count, paths, choices, options->capacity)
                                 : UINT32_MAX;
}

void
dpc_assign(const float *costs, uint32_t count, uint32_t paths,
           const struct dpc_assign_options *options, uint32_t *ret_paths)
{
    struct turn *turns = dpc_alloc(count ? count : 1, sizeof *turns);
    uint32_t *filled = dpc_alloc(2 * (size_t)paths, sizeof *filled), *room = filled + paths;
    for (uint32_t i = 0; i < count; i++)
        turns[i] = (struct turn){i, margin_of(costs + (size_t)i * paths, paths)};
    qsort(turns, count, sizeof *turns, by_margin);
    for (uint32_t choice = 0; choice < options->choices; choice++) {
        for (uint32_t path = 0; path < paths; path++)
            room[path] = room_of(options, count, paths, path, choice + 1);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t document = turns[i].document;
            uint32_t *chosen = ret_paths + (size_t)document * options->choices;
            const float *cost = costs + (size_t)document * paths;
            chosen[choice] = choose(cost, paths, filled, room, chosen, choice);
            if (choice == 0 && chosen[0] == DPC_ASSIGN_NONE)
                chosen[0] = least_filled(cost, paths, filled);
            if (chosen[choice] != DPC_ASSIGN_NONE)
                filled[chosen[choice]]++;
        }
    }
    dpc_free(filled);
    dpc_free(turns);
}
