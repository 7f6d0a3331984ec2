/* SPDX-License-Identifier: Apache-2.0
 *
 * A session under test: a clock turned by hand, what the last call answered, messages to tell it,
 * and a way to bring it to any state of work.
 *
 * Owns: the session of a rig. Threads: one.
 */
#ifndef DPC_TESTS_WORKER_SESSION_RIG_H
#define DPC_TESTS_WORKER_SESSION_RIG_H

#include <string.h>

#include "tests/unit/harness.h"
#include "worker/session/session.h"

enum { HEARTBEAT = 1000, INCARNATION = 7, LEVELS = 2, SERIAL = 40 };

/* A session, a clock turned by hand, and what the last call answered. */
struct rig {
    struct dpc_session *session;
    struct dpc_session_actions actions;
    int64_t now_ms;
};

static const struct dpc_token token = {INCARNATION, SERIAL};

static inline struct dpc_hash
hash_of(uint8_t value)
{
    struct dpc_hash hash;
    memset(&hash, value, sizeof hash);
    return hash;
}

static inline struct dpc_session_action *
find(struct rig *rig, enum dpc_session_action_type type)
{
    for (uint32_t i = 0; i < rig->actions.count; i++) {
        if (rig->actions.items[i].type == type)
            return &rig->actions.items[i];
    }
    return NULL;
}

static inline bool
has(struct rig *rig, enum dpc_session_action_type type)
{
    return find(rig, type) != NULL;
}

/* A lease is over, at work or handed in. */
static inline bool
dropped(struct rig *rig)
{
    return has(rig, DPC_SESSION_DROP) || has(rig, DPC_SESSION_DROP_PASSED);
}

static inline struct dpc_msg *
sent(struct rig *rig, enum dpc_msg_type type)
{
    for (uint32_t i = 0; i < rig->actions.count; i++) {
        struct dpc_session_action *action = &rig->actions.items[i];
        if (action->type == DPC_SESSION_SEND && action->msg.type == type)
            return &action->msg;
    }
    return NULL;
}

static inline void
tell(struct rig *rig, struct dpc_msg msg)
{
    dpc_session_message(rig->session, &msg, rig->now_ms, &rig->actions);
}

/* Turns the clock by `ms`, or to when the session wants a tick if that is sooner; then ticks. */
static inline void
tick(struct rig *rig, int64_t ms)
{
    int64_t wait_ms = dpc_session_wait_ms(rig->session, rig->now_ms);
    rig->now_ms += wait_ms < ms ? wait_ms : ms;
    dpc_session_tick(rig->session, rig->now_ms, &rig->actions);
}

/* Nobody answers until a message of `type` is sent; NULL when that takes longer than `ms`. */
static inline struct dpc_msg *
wait_for(struct rig *rig, enum dpc_msg_type type, int64_t ms)
{
    int64_t end_ms = rig->now_ms + ms;
    while (rig->now_ms < end_ms) {
        tick(rig, end_ms - rig->now_ms);
        struct dpc_msg *msg = sent(rig, type);
        if (msg)
            return msg;
    }
    return NULL;
}

/* The hello names that lease, as one or the other. */
static inline bool
names(const struct dpc_msg *hello, struct dpc_token of)
{
    return dpc_token_equal(hello->hello.token, of) || dpc_token_equal(hello->hello.handing_in, of);
}

/* Of a coordinator that grants one lease at a time. */
static inline struct dpc_msg
welcome(uint64_t request, uint64_t incarnation)
{
    return (struct dpc_msg){.type = DPC_MSG_WELCOME,
                            .request = request,
                            .welcome = {.protocol = 1,
                                        .incarnation = incarnation,
                                        .experiment = "experiment: test\n",
                                        .heartbeat_ms = HEARTBEAT,
                                        .bulk_endpoint = "tcp://*:1",
                                        .leases = 1}};
}

/* Of one that grants two. */
static inline struct dpc_msg
welcome_to_two(uint64_t request)
{
    struct dpc_msg msg = welcome(request, INCARNATION);
    msg.welcome.leases = 2;
    return msg;
}

static inline struct dpc_msg
lease(uint64_t request, uint64_t serial)
{
    struct dpc_msg msg = {.type = DPC_MSG_LEASE, .request = request};
    msg.lease = (struct dpc_msg_lease){.token = {INCARNATION, serial},
                                       .kind = DPC_TASK_TRAIN,
                                       .path = 3,
                                       .round = 5,
                                       .steps_count = 60,
                                       .levels_count = LEVELS};
    for (uint8_t level = 0; level < LEVELS; level++)
        msg.lease.versions[level] = (struct dpc_blob_ref){hash_of((uint8_t)(1 + level)), 100};
    msg.lease.data = (struct dpc_blob_ref){hash_of(10), 1000};
    msg.lease.state = (struct dpc_blob_ref){hash_of(11), 200};
    return msg;
}

static inline struct dpc_msg
verdict(enum dpc_msg_type type, uint64_t request, struct dpc_token of, int value)
{
    return (struct dpc_msg){
        .type = type,
        .request = request,
        .verdict = {.token = of, .verdict = (enum dpc_verdict)value, .text = "why"}};
}

static inline struct dpc_msg
misses(uint64_t request, uint8_t hash)
{
    struct dpc_msg msg = verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_MISSING);
    msg.verdict.missing_count = 1;
    msg.verdict.missing[0] = hash_of(hash);
    return msg;
}

static inline struct dpc_msg
error(uint64_t request, int32_t code)
{
    return (struct dpc_msg){
        .type = DPC_MSG_ERROR, .request = request, .error = {.code = code, .text = "so"}};
}

static inline struct dpc_msg
ack(uint64_t request)
{
    return (struct dpc_msg){.type = DPC_MSG_ACK, .request = request};
}

static inline void
finish(struct rig *rig, uint64_t serial)
{
    struct dpc_msg_submit submit = {.token = {INCARNATION, serial},
                                    .steps_count = 60,
                                    .tokens = 6000,
                                    .loss = 2.5,
                                    .parts_count = LEVELS};
    for (uint8_t level = 0; level < LEVELS; level++)
        submit.parts[level].delta = (struct dpc_blob_ref){hash_of((uint8_t)(20 + level)), 100};
    submit.state = (struct dpc_blob_ref){hash_of(30), 200};
    dpc_session_finished(rig->session, &submit, 1234.0, rig->now_ms, &rig->actions);
}

static inline void
fail(struct rig *rig, uint64_t serial, int code)
{
    dpc_session_failed(rig->session, (struct dpc_token){INCARNATION, serial}, code, "it failed",
                       rig->now_ms, &rig->actions);
}

static inline void
fetched(struct rig *rig, int code)
{
    dpc_session_fetched(rig->session, code, "the reason", rig->now_ms, &rig->actions);
}

static inline void
uploaded(struct rig *rig, int code)
{
    dpc_session_uploaded(rig->session, code, "the reason", rig->now_ms, &rig->actions);
}

/* Of whichever of the two the session waits for first. */
static inline void
transferred(struct rig *rig, int code)
{
    if (dpc_session_work(rig->session) == DPC_WORK_FETCHING)
        fetched(rig, code);
    else
        uploaded(rig, code);
}

static inline void
stop(struct rig *rig)
{
    dpc_session_stop(rig->session, 0, rig->now_ms, &rig->actions);
}

static inline struct rig
begin(void)
{
    static const struct dpc_session_options options = {
        .name = "w", .build = "1", .numeric_class = "c", .seed = 5};
    struct rig rig = {.session = dpc_session_create(&options), .now_ms = 1000};
    dpc_session_start(rig.session, rig.now_ms, &rig.actions);
    return rig;
}

static inline void
end(struct rig *rig)
{
    dpc_session_destroy(rig->session);
}

/* A session that hands in lease SERIAL - 1 and asks for another one; the number of that request. */
static inline struct rig
hand_in_beside(uint64_t *ret_request)
{
    struct rig rig = begin();
    tell(&rig, welcome_to_two(sent(&rig, DPC_MSG_HELLO)->request));
    tell(&rig, lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL - 1));
    fetched(&rig, DPC_OK);
    finish(&rig, SERIAL - 1);
    *ret_request = sent(&rig, DPC_MSG_ASK)->request;
    return rig;
}

/* Both are under way: the one runs, the other is uploaded. */
static inline struct rig
run_beside(void)
{
    uint64_t request;
    struct rig rig = hand_in_beside(&request);
    tell(&rig, lease(request, SERIAL));
    fetched(&rig, DPC_OK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_START));
    return rig;
}

/* The second one is finished, too. */
static inline struct rig
finish_beside(void)
{
    struct rig rig = run_beside();
    finish(&rig, SERIAL);
    return rig;
}

/* A session that is about `work`; the number of its last request goes to `*ret_request`. */
static inline struct rig
reach(int work, uint64_t *ret_request)
{
    if (work == DPC_WORK_FINISHED)
        return finish_beside();
    struct rig rig = begin();
    tell(&rig, welcome(sent(&rig, DPC_MSG_HELLO)->request, INCARNATION));
    uint64_t request = sent(&rig, DPC_MSG_ASK)->request;
    if (work != DPC_WORK_NONE && work != DPC_WORK_LEAVING)
        tell(&rig, lease(request, SERIAL));
    if (work == DPC_WORK_RUNNING || work == DPC_WORK_UPLOADING || work == DPC_WORK_SUBMITTING)
        transferred(&rig, DPC_OK);
    if (work == DPC_WORK_UPLOADING || work == DPC_WORK_SUBMITTING)
        finish(&rig, SERIAL);
    if (work == DPC_WORK_SUBMITTING) {
        transferred(&rig, DPC_OK);
        request = sent(&rig, DPC_MSG_SUBMIT)->request;
    } else if (work == DPC_WORK_RETURNING) {
        transferred(&rig, DPC_ENOTFOUND);
        request = sent(&rig, DPC_MSG_GIVE_BACK)->request;
    } else if (work == DPC_WORK_LEAVING) {
        stop(&rig);
        request = sent(&rig, DPC_MSG_LEAVE)->request;
    }
    CU_ASSERT_EQUAL_FATAL((int)dpc_session_work(rig.session), work);
    if (ret_request)
        *ret_request = request;
    return rig;
}

#endif
