/* SPDX-License-Identifier: Apache-2.0
 * Open addressing over eight bytes of each name. They are a hash's, so they need no other, and two
 * honest deltas meet once in many years. */
#include "coordinator/core/seen.h"

#include <string.h>

#include "base/alloc.h"

static uint64_t
short_name(const struct dpc_hash *hash)
{
    uint64_t name;
    memcpy(&name, hash->bytes, sizeof name);
    return name ? name : 1;
}

/* Where the name stands, or the free place where it would. */
static struct core_seen_slot *
find_slot(const struct core_seen_half *half, uint64_t name)
{
    size_t slot = name & (half->slots_count - 1);
    while (half->slots[slot].name && half->slots[slot].name != name)
        slot = (slot + 1) & (half->slots_count - 1);
    return &half->slots[slot];
}

/* NULL: it is not there. */
static const struct core_seen_slot *
find(const struct core_seen_half *half, uint64_t name)
{
    const struct core_seen_slot *slot = half->slots_count ? find_slot(half, name) : NULL;
    return slot && slot->name ? slot : NULL;
}

static void
widen(struct core_seen_half *half)
{
    struct core_seen_half wider = {half->count, SEEN_SLOTS_MIN, NULL};
    if (half->slots_count)
        wider.slots_count = 2 * half->slots_count;
    wider.slots = dpc_alloc(wider.slots_count, sizeof *wider.slots);
    for (size_t i = 0; i < half->slots_count; i++) {
        if (half->slots[i].name)
            *find_slot(&wider, half->slots[i].name) = half->slots[i];
    }
    dpc_free(half->slots);
    *half = wider;
}

void
core_seen_done(struct core_seen *seen)
{
    dpc_free(seen->newer.slots);
    dpc_free(seen->older.slots);
    *seen = (struct core_seen){0};
}

void
core_seen_add(struct core_seen *seen, const struct dpc_hash *hash, uint32_t path, uint32_t round)
{
    uint64_t name = short_name(hash);
    if (find(&seen->newer, name) || find(&seen->older, name))
        return;
    if (seen->newer.count == SEEN_MAX) {
        dpc_free(seen->older.slots);
        seen->older = seen->newer;
        seen->newer = (struct core_seen_half){0};
    }
    if (2 * (seen->newer.count + 1) > seen->newer.slots_count)
        widen(&seen->newer);
    *find_slot(&seen->newer, name) = (struct core_seen_slot){name, path, round};
    seen->newer.count++;
}

bool
core_seen_elsewhere(const struct core_seen *seen, const struct dpc_hash *hash, uint32_t path,
                    uint32_t round)
{
    uint64_t name = short_name(hash);
    const struct core_seen_slot *slot = find(&seen->newer, name);
    if (!slot)
        slot = find(&seen->older, name);
    return slot && (slot->path != path || slot->round != round);
}
