/* SPDX-License-Identifier: Apache-2.0
 *
 * A binary heap of numbered items, each with a key: the least key first, among equals the least
 * number. Items know their place, so that any of them can be moved or taken out.
 *
 * Owns: its arrays. Threads: the core's. Limits: the capacity it was made for; all in O(log n).
 */
#ifndef DPC_COORDINATOR_CORE_HEAP_H
#define DPC_COORDINATOR_CORE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct core_heap {
    uint32_t count, capacity;
    uint32_t *items;  /* in heap order */
    uint32_t *places; /* of each item, from 1; 0: not in the heap */
    int64_t *keys;    /* of each item */
};

/* An empty heap for items 0 to `capacity` - 1; releases what it held. */
void core_heap_init(struct core_heap *heap, uint32_t capacity);
void core_heap_done(struct core_heap *heap);

/* Puts an item in, or gives it another key. */
void core_heap_set(struct core_heap *heap, uint32_t item, int64_t key);
/* Not in it: nothing happens. */
void core_heap_remove(struct core_heap *heap, uint32_t item);
bool core_heap_has(const struct core_heap *heap, uint32_t item);
/* The first item; false when the heap is empty. */
bool core_heap_first(const struct core_heap *heap, uint32_t *ret_item, int64_t *ret_key);

#endif
