/* SPDX-License-Identifier: Apache-2.0
 * A binary heap by (time, order of being added), so that equal times have one order. */
#include "base/alloc.h"
#include "tests/sim/sim.h"

static bool
before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void
swap(struct sim_event *a, struct sim_event *b)
{
    struct sim_event kept = *a;
    *a = *b;
    *b = kept;
}

void
sim_queue_add(struct sim_queue *queue, struct sim_event event)
{
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity ? 2 * queue->capacity : 256;
        queue->events = dpc_grow(queue->events, queue->capacity, sizeof *queue->events);
    }
    event.order = queue->orders++;
    uint32_t at = queue->count++;
    queue->events[at] = event;
    while (at > 0 && before(&queue->events[at], &queue->events[(at - 1) / 2])) {
        swap(&queue->events[at], &queue->events[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

bool
sim_queue_take(struct sim_queue *queue, struct sim_event *ret_event)
{
    if (queue->count == 0)
        return false;
    *ret_event = queue->events[0];
    queue->events[0] = queue->events[--queue->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t first = at, left = 2 * at + 1, right = left + 1;
        if (left < queue->count && before(&queue->events[left], &queue->events[first]))
            first = left;
        if (right < queue->count && before(&queue->events[right], &queue->events[first]))
            first = right;
        if (first == at)
            return true;
        swap(&queue->events[at], &queue->events[first]);
        at = first;
    }
}

void
sim_queue_done(struct sim_queue *queue)
{
    for (uint32_t i = 0; i < queue->count; i++)
        dpc_free(queue->events[i].payload);
    queue->events = dpc_free(queue->events);
    queue->count = queue->capacity = 0;
}
