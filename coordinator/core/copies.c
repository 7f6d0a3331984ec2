/* SPDX-License-Identifier: Apache-2.0
 * One key, several processes: a folder that was copied to another machine. They are given the same
 * lease, and all but one learn for nothing. Each process draws a number for its connection, and one
 * that was heard of before another is not heard of after it, unless both are there: not behind a
 * restart, nor a break, which keeps the number. What a queue still held when a process was
 * restarted is read at once, so an older number has to come back a heartbeat later, too, and
 * without a new one in between. */
#include "coordinator/core/state.h"

/* Without a return for so long, it is over. */
enum { OVER_HEARTBEATS = 20 };

/* Was it known already? */
static bool
bring_to_front(struct core_connections *connections, uint64_t number)
{
    uint32_t at = 0;
    while (at < CORE_CONNECTIONS && connections->numbers[at] != number)
        at++;
    bool known = at < CORE_CONNECTIONS;
    for (at = known ? at : CORE_CONNECTIONS - 1; at > 0; at--)
        connections->numbers[at] = connections->numbers[at - 1];
    connections->numbers[0] = number;
    return known;
}

bool
dpc_core_note_connection(struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES],
                         uint64_t number, int64_t now_ms)
{
    struct core_worker *worker = core_find_worker(core, key);
    struct core_connections *connections = worker ? &worker->connections : NULL;
    if (!worker || !number || connections->numbers[0] == number)
        return false;
    if (!bring_to_front(connections, number)) {
        connections->newest = number;
        connections->first_ms = connections->last_ms = 0;
    }
    if (number == connections->newest)
        return false;
    bool before = core_is_copied(core, worker, now_ms);
    if (!connections->last_ms ||
        now_ms - connections->last_ms > OVER_HEARTBEATS * (int64_t)core->heartbeat_ms)
        connections->first_ms = now_ms;
    connections->last_ms = now_ms;
    return !before && core_is_copied(core, worker, now_ms);
}

bool
core_is_copied(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms)
{
    const struct core_connections *connections = &worker->connections;
    return connections->last_ms - connections->first_ms >= (int64_t)core->heartbeat_ms &&
           now_ms - connections->last_ms <= OVER_HEARTBEATS * (int64_t)core->heartbeat_ms;
}

bool
dpc_core_is_copied(const struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES],
                   int64_t now_ms)
{
    const struct core_worker *worker = core_find_worker(core, key);
    return worker && core_is_copied(core, worker, now_ms);
}
