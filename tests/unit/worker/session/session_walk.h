/* SPDX-License-Identifier: Apache-2.0
 *
 * What a coordinator could say to a session under test, drawn: a walk through whatever comes of it.
 *
 * Owns: nothing. Threads: one.
 */
#ifndef DPC_TESTS_WORKER_SESSION_WALK_H
#define DPC_TESTS_WORKER_SESSION_WALK_H

#include "base/rng.h"
#include "tests/unit/worker/session/session_rig.h"

/* Of one of three leases. */
static inline struct dpc_token
any_token(struct dpc_rng *rng)
{
    return (struct dpc_token){INCARNATION, SERIAL + dpc_rng_below(rng, 3)};
}

/* As an answer to the request of that number. */
static inline struct dpc_msg
any_message(struct dpc_rng *rng, uint64_t request)
{
    static const enum dpc_msg_type types[] = {
        DPC_MSG_WELCOME,   DPC_MSG_LEASE, DPC_MSG_WAIT,  DPC_MSG_HEARTBEAT_ACK,
        DPC_MSG_SUBMITTED, DPC_MSG_ACK,   DPC_MSG_ERROR, DPC_MSG_HELLO};
    struct dpc_token of = any_token(rng);
    enum dpc_msg_type type = types[dpc_rng_below(rng, 8)];
    if (type == DPC_MSG_WELCOME)
        return welcome(request, INCARNATION + (dpc_rng_below(rng, 8) == 0));
    if (type == DPC_MSG_LEASE)
        return lease(request, of.serial);
    if (type == DPC_MSG_ERROR)
        return error(request, -(int32_t)dpc_rng_below(rng, 25));
    if (type != DPC_MSG_HEARTBEAT_ACK && type != DPC_MSG_SUBMITTED)
        return (struct dpc_msg){.type = type, .request = request};
    struct dpc_msg msg = verdict(type, request, of, 1 + (int)dpc_rng_below(rng, 6));
    msg.verdict.missing_count = (uint32_t)dpc_rng_below(rng, 3);
    for (uint32_t i = 0; i < msg.verdict.missing_count; i++)
        msg.verdict.missing[i] = hash_of((uint8_t)(20 + dpc_rng_below(rng, 12)));
    return msg;
}

#endif
