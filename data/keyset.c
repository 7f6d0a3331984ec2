/* SPDX-License-Identifier: Apache-2.0
 * Open addressing with linear steps, at most half full. Keys are parts of SHA-256, so their first
 * bytes are the hash; a slot of zeros is free (no text in practice has that key). */
#include "data/keyset.h"

#include <string.h>

#include "base/alloc.h"

enum { FIRST_SLOTS = 1024 };

static const uint8_t free_slot[DPC_CONTENT_KEY_BYTES];

void
dpc_keyset_init(struct dpc_keyset *set)
{
    *set = (struct dpc_keyset){0};
}

void
dpc_keyset_done(struct dpc_keyset *set)
{
    dpc_free(set->slots);
    dpc_keyset_init(set);
}

/* The slot that holds the key, or the free one where it belongs. */
static uint8_t *
find(const struct dpc_keyset *set, const uint8_t *key)
{
    uint64_t hash;
    memcpy(&hash, key, sizeof hash);
    for (size_t i = (size_t)hash & (set->slots_count - 1);; i = (i + 1) & (set->slots_count - 1)) {
        if (memcmp(set->slots[i], key, DPC_CONTENT_KEY_BYTES) == 0 ||
            memcmp(set->slots[i], free_slot, DPC_CONTENT_KEY_BYTES) == 0)
            return set->slots[i];
    }
}

static bool
make_room(struct dpc_keyset *set)
{
    struct dpc_keyset larger = {.slots_count =
                                    set->slots_count ? 2 * set->slots_count : FIRST_SLOTS};
    larger.slots = dpc_try_alloc(larger.slots_count, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < set->slots_count; i++) {
        if (memcmp(set->slots[i], free_slot, DPC_CONTENT_KEY_BYTES) != 0)
            memcpy(find(&larger, set->slots[i]), set->slots[i], DPC_CONTENT_KEY_BYTES);
    }
    larger.count = set->count;
    dpc_free(set->slots);
    *set = larger;
    return true;
}

bool
dpc_keyset_has(const struct dpc_keyset *set, const uint8_t key[DPC_CONTENT_KEY_BYTES])
{
    return set->count && memcmp(find(set, key), key, DPC_CONTENT_KEY_BYTES) == 0;
}

bool
dpc_keyset_add(struct dpc_keyset *set, const uint8_t key[DPC_CONTENT_KEY_BYTES])
{
    if (dpc_keyset_has(set, key))
        return true;
    if (2 * (set->count + 1) > set->slots_count && !make_room(set))
        return false;
    memcpy(find(set, key), key, DPC_CONTENT_KEY_BYTES);
    set->count++;
    return true;
}
