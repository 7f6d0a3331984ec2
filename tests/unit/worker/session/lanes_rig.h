/* SPDX-License-Identifier: Apache-2.0
 *
 * The rig of a session with two leases: SERIAL - 1 is handed in, while SERIAL is fetched for and
 * computed.
 *
 * Owns: the session of a rig. Threads: one.
 */
#ifndef DPC_TESTS_WORKER_LANES_RIG_H
#define DPC_TESTS_WORKER_LANES_RIG_H

#include "tests/unit/worker/session/session_rig.h"

static const struct dpc_token older = {INCARNATION, SERIAL - 1};
static const struct dpc_token no_token;

/* Where in the last answer the first action of that type stands; its count: nowhere. */
static inline uint32_t
place_of(const struct rig *rig, enum dpc_session_action_type type)
{
    uint32_t i = 0;
    while (i < rig->actions.count && rig->actions.items[i].type != type)
        i++;
    return i;
}

/* The message of that type that speaks of that lease. */
static inline struct dpc_msg *
sent_of(struct rig *rig, enum dpc_msg_type type, struct dpc_token of)
{
    for (uint32_t i = 0; i < rig->actions.count; i++) {
        struct dpc_msg *msg = &rig->actions.items[i].msg;
        if (rig->actions.items[i].type != DPC_SESSION_SEND || msg->type != type)
            continue;
        struct dpc_token token_in = type == DPC_MSG_HEARTBEAT ? msg->heartbeat.token
                                    : type == DPC_MSG_SUBMIT  ? msg->submit.token
                                                              : msg->give_back.token;
        if (dpc_token_equal(token_in, of))
            return msg;
    }
    return NULL;
}

/* The upload is through, and the coordinator says that of the submission. */
static inline void
hand_in(struct rig *rig, struct dpc_token of, int value)
{
    uploaded(rig, DPC_OK);
    struct dpc_msg *submit = sent_of(rig, DPC_MSG_SUBMIT, of);
    CU_ASSERT_PTR_NOT_NULL_FATAL(submit);
    tell(rig, verdict(DPC_MSG_SUBMITTED, submit->request, of, value));
}

static inline void
acknowledge(struct rig *rig, uint64_t request, struct dpc_token of)
{
    tell(rig, verdict(DPC_MSG_HEARTBEAT_ACK, request, of, DPC_VERDICT_CONTINUE));
}

/* One that is there, and answers nothing but heartbeats; up to a message of that type. */
static inline struct dpc_msg *
wait_in_contact(struct rig *rig, enum dpc_msg_type type, int64_t ms)
{
    static struct dpc_msg found;
    for (int64_t end_ms = rig->now_ms + ms; rig->now_ms < end_ms;) {
        tick(rig, end_ms - rig->now_ms);
        if (sent(rig, type)) {
            found = *sent(rig, type);
            return &found;
        }
        if (has(rig, DPC_SESSION_EXIT))
            return NULL;
        struct dpc_msg *beat = sent(rig, DPC_MSG_HEARTBEAT);
        if (beat)
            acknowledge(rig, beat->request, beat->heartbeat.token);
    }
    return NULL;
}

/* The ask that leaves now or, where the line is slower than the machine, within `ms`. */
static inline const struct dpc_msg *
find_ask(struct rig *rig, int64_t ms)
{
    const struct dpc_msg *ask = sent(rig, DPC_MSG_ASK);
    return ask ? ask : wait_in_contact(rig, DPC_MSG_ASK, ms);
}

#endif
