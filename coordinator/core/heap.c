/* SPDX-License-Identifier: Apache-2.0
 * Keys stand beside the items, not in the heap, so that a swap moves four bytes. */
#include "coordinator/core/heap.h"

#include <assert.h>

#include "base/alloc.h"

void
core_heap_init(struct core_heap *heap, uint32_t capacity)
{
    core_heap_done(heap);
    *heap = (struct core_heap){
        .capacity = capacity,
        .items = dpc_alloc(capacity, sizeof *heap->items),
        .places = dpc_alloc(capacity, sizeof *heap->places),
        .keys = dpc_alloc(capacity, sizeof *heap->keys),
    };
}

void
core_heap_done(struct core_heap *heap)
{
    dpc_free(heap->items);
    dpc_free(heap->places);
    dpc_free(heap->keys);
    *heap = (struct core_heap){0};
}

static bool
before(const struct core_heap *heap, uint32_t a, uint32_t b)
{
    return heap->keys[a] != heap->keys[b] ? heap->keys[a] < heap->keys[b] : a < b;
}

static void
put_at(struct core_heap *heap, uint32_t at, uint32_t item)
{
    heap->items[at] = item;
    heap->places[item] = at + 1;
}

/* Finds the item's place on the way up from `at`. */
static void
rise(struct core_heap *heap, uint32_t at, uint32_t item)
{
    while (at > 0 && before(heap, item, heap->items[(at - 1) / 2])) {
        put_at(heap, at, heap->items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put_at(heap, at, item);
}

static void
sink(struct core_heap *heap, uint32_t at, uint32_t item)
{
    for (uint32_t child = 2 * at + 1; child < heap->count; child = 2 * at + 1) {
        if (child + 1 < heap->count && before(heap, heap->items[child + 1], heap->items[child]))
            child++;
        if (!before(heap, heap->items[child], item))
            break;
        put_at(heap, at, heap->items[child]);
        at = child;
    }
    put_at(heap, at, item);
}

static void
settle(struct core_heap *heap, uint32_t at, uint32_t item)
{
    if (at > 0 && before(heap, item, heap->items[(at - 1) / 2]))
        rise(heap, at, item);
    else
        sink(heap, at, item);
}

void
core_heap_set(struct core_heap *heap, uint32_t item, int64_t key)
{
    assert(item < heap->capacity);
    uint32_t at = heap->places[item] ? heap->places[item] - 1 : heap->count++;
    heap->keys[item] = key;
    settle(heap, at, item);
}

void
core_heap_remove(struct core_heap *heap, uint32_t item)
{
    assert(item < heap->capacity);
    if (heap->places[item] == 0)
        return;
    uint32_t at = heap->places[item] - 1, last = heap->items[--heap->count];
    heap->places[item] = 0;
    if (last != item)
        settle(heap, at, last);
}

bool
core_heap_has(const struct core_heap *heap, uint32_t item)
{
    return item < heap->capacity && heap->places[item] > 0;
}

bool
core_heap_first(const struct core_heap *heap, uint32_t *ret_item, int64_t *ret_key)
{
    if (heap->count == 0)
        return false;
    *ret_item = heap->items[0];
    *ret_key = heap->keys[heap->items[0]];
    return true;
}
