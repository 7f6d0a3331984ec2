/* SPDX-License-Identifier: Apache-2.0
 * Waiting for several channels and descriptors at once. A link's connection has events and a timer
 * of its own: they are served here without waking the caller. */
#include <assert.h>
#include <errno.h>
#include <zmq.h>

#include "base/clock.h"
#include "proto/channel.h"
#include "proto/pollable.h"

enum { ITEMS_MAX = 64 };

/* The caller's items first, in their order, then the links' monitors. */
struct waiting {
    zmq_pollitem_t items[2 * ITEMS_MAX];
    size_t count;
    int64_t wake_ms; /* a link's timer; 0: none */
};

static void
gather(const struct dpc_poll_item *items, size_t count, struct waiting *ret_waiting)
{
    ret_waiting->wake_ms = 0;
    ret_waiting->count = count;
    for (size_t i = 0; i < count; i++) {
        zmq_pollitem_t *to = &ret_waiting->items[i];
        *to = (zmq_pollitem_t){.fd = items[i].fd, .events = ZMQ_POLLIN};
        if (items[i].listener)
            to->socket = dpc_listener_socket(items[i].listener);
        if (!items[i].link)
            continue;
        int64_t wake_ms = dpc_link_service(items[i].link);
        if (wake_ms && (!ret_waiting->wake_ms || wake_ms < ret_waiting->wake_ms))
            ret_waiting->wake_ms = wake_ms;
        to->socket = dpc_link_socket(items[i].link);
        ret_waiting->items[ret_waiting->count++] =
            (zmq_pollitem_t){.socket = dpc_link_monitor(items[i].link), .events = ZMQ_POLLIN};
    }
}

static long
wait_ms(int64_t now_ms, int64_t deadline_ms, int64_t wake_ms)
{
    int64_t until_ms = wake_ms && wake_ms < deadline_ms ? wake_ms : deadline_ms;
    return until_ms > now_ms ? (long)(until_ms - now_ms) : 0;
}

int
dpc_channel_poll(struct dpc_poll_item *items, size_t count, int64_t timeout_ms)
{
    assert(count <= ITEMS_MAX);
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system);
    int64_t deadline_ms = now_ms + (timeout_ms > 0 ? timeout_ms : 0);
    for (;;) {
        struct waiting waiting;
        gather(items, count, &waiting);
        int ready = zmq_poll(waiting.items, (int)waiting.count,
                             wait_ms(now_ms, deadline_ms, waiting.wake_ms));
        bool any = false;
        for (size_t i = 0; i < count; i++) {
            items[i].readable = ready > 0 && waiting.items[i].revents != 0;
            any |= items[i].readable;
        }
        if (any)
            return DPC_OK;
        now_ms = dpc_clock_now_ms(&dpc_clock_system);
        if (ready < 0)
            return errno == EINTR ? DPC_EAGAIN : errno == ETERM ? DPC_ECLOSED : DPC_EFOREIGN;
        if (now_ms >= deadline_ms)
            return DPC_EAGAIN;
    }
}
