/* SPDX-License-Identifier: Apache-2.0
 * Messages in, by table: which type, on which channel, from which role. What a peer gets wrong is
 * answered with a typed error and counted; it never reaches the core. */
#include "coordinator/state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

/* Messages of one listener in one turn of the loop, so that bulk never starves control. */
enum { CONTROL_TURN = 256, BULK_TURN = 32, ADMIN_TURN = 8 };

/* A worker that got no work for want of room asks again after this. */
enum { FULL_DISK_RETRY_MS = 2000 };

/* One RPC. All may be repeated by their sender: the core answers a repetition as it did before. */
struct rpc {
    enum dpc_msg_type type;
    enum dpc_role role;
    enum dpc_event_type event; /* 0: the server answers it itself */
};

static const struct rpc control_rpcs[] = {
    {DPC_MSG_HELLO, DPC_ROLE_WORKER, DPC_EVENT_HELLO},
    {DPC_MSG_ASK, DPC_ROLE_WORKER, DPC_EVENT_ASK},
    {DPC_MSG_HEARTBEAT, DPC_ROLE_WORKER, DPC_EVENT_HEARTBEAT},
    {DPC_MSG_SUBMIT, DPC_ROLE_WORKER, DPC_EVENT_SUBMIT},
    {DPC_MSG_GIVE_BACK, DPC_ROLE_WORKER, DPC_EVENT_GIVE_BACK},
    {DPC_MSG_LEAVE, DPC_ROLE_WORKER, DPC_EVENT_LEAVE},
    {DPC_MSG_ENROL, DPC_ROLE_ENROL, 0},
};
static const struct rpc bulk_rpcs[] = {
    {DPC_MSG_FETCH, DPC_ROLE_WORKER, 0},
    {DPC_MSG_OFFER, DPC_ROLE_WORKER, 0},
    {DPC_MSG_PUT, DPC_ROLE_WORKER, 0},
};
static const struct rpc admin_rpcs[] = {
    {DPC_MSG_ADMIN_REQUEST, DPC_ROLE_ADMIN, 0},
};

static const struct rpc *
find_rpc(const struct rpc *rpcs, size_t count, enum dpc_msg_type type)
{
    for (size_t i = 0; i < count; i++) {
        if (rpcs[i].type == type)
            return &rpcs[i];
    }
    return NULL;
}

void
server_note_peer_fault(struct dpc_server *server, const struct dpc_peer *peer, const char *text)
{
    uint32_t dropped;
    char key[DPC_KEY_TEXT_MAX];
    server->peer_faults_count++;
    if (!dpc_log_allowed(&server->peer_faults, dpc_clock_now_ms(&dpc_clock_system), &dropped))
        return;
    dpc_key_text(&peer->key, key);
    dpc_log_warning("peer fault key=%s reason=\"%s\" not_logged=%u", key, text, dropped);
}

void
server_reply_error(struct dpc_server *server, struct dpc_listener *listener,
                   const struct dpc_peer *peer, uint64_t request, int code, const char *text)
{
    struct dpc_msg reply = {.type = DPC_MSG_ERROR, .request = request};
    reply.error.code = code;
    reply.error.text = text;
    if (code != DPC_EAGAIN) /* which is ours */
        server_note_peer_fault(server, peer, text);
    if (dpc_listener_send(listener, peer, &reply) != DPC_OK)
        dpc_log_debug("error reply dropped");
}

/* The next message of a listener that its table allows; false when none waits. */
static bool
receive(struct dpc_server *server, struct dpc_listener *listener, const struct rpc *rpcs,
        size_t rpcs_count, struct dpc_peer *peer, struct dpc_msg *msg, const struct rpc **ret_rpc)
{
    for (int i = 0; i < CONTROL_TURN; i++) {
        struct dpc_error err = {0};
        int code = dpc_listener_receive(listener, peer, msg, &err);
        if (code == DPC_EAGAIN)
            return false;
        if (code != DPC_OK) {
            server_reply_error(server, listener, peer, 0, code, err.text);
            continue;
        }
        const struct rpc *rpc = find_rpc(rpcs, rpcs_count, msg->type);
        if (!rpc) {
            server_reply_error(server, listener, peer, msg->request, DPC_EPROTO,
                               "this message does not belong on this channel");
        } else if (peer->role != rpc->role) {
            server_reply_error(server, listener, peer, msg->request, DPC_EPERM,
                               "this key has not the role for that message");
        } else {
            *ret_rpc = rpc;
            return true;
        }
    }
    return false;
}

/* --- Control. */

/* The check of this worker's submission under this token, if one is at work. */
static struct dpc_job *
find_check(struct dpc_server *server, const struct dpc_peer *peer, struct dpc_token token)
{
    for (uint32_t i = 0; i < server->checks_count; i++) {
        struct dpc_job *job = server->checks[i];
        if (dpc_key_equal(&job->peer.key, &peer->key) && dpc_token_equal(job->submit.token, token))
            return job;
    }
    return NULL;
}

/* Handing in is a sign of life: a check may take longer than a heartbeat. */
static void
note_alive(struct dpc_server *server, const struct dpc_peer *peer,
           const struct dpc_msg_submit *submit)
{
    struct dpc_msg_heartbeat beat = {.token = submit->token, .steps_done = submit->steps_count};
    struct dpc_event event = {.type = DPC_EVENT_HEARTBEAT};
    memcpy(event.worker, peer->key.bytes, DPC_WORKER_KEY_BYTES);
    event.heartbeat.message = &beat;
    server_step(server, &event, NULL, 0);
}

/* While the disk is full, what would commit is asked for again later. */
static void
reply_again_with_room(struct dpc_server *server, const struct dpc_peer *peer, uint64_t request)
{
    char text[DPC_TEXT_MAX];
    server->space.put_off++;
    server_tell_space(server, text, sizeof text);
    server_reply_error(server, server->control, peer, request, DPC_EAGAIN, text);
}

static void
reply_wait_for_room(struct dpc_server *server, const struct dpc_peer *peer,
                    const struct dpc_msg *msg)
{
    char text[DPC_TEXT_MAX];
    server->space.put_off++;
    server_tell_space(server, text, sizeof text);
    struct dpc_msg reply = {.type = DPC_MSG_WAIT, .request = msg->request};
    reply.wait.retry_ms = FULL_DISK_RETRY_MS;
    reply.wait.reason = text;
    if (dpc_listener_send(server->control, peer, &reply) != DPC_OK)
        dpc_log_debug("reply dropped type=wait");
}

static void
submit(struct dpc_server *server, const struct dpc_peer *peer, uint64_t request,
       const struct dpc_msg_submit *message, const struct dpc_submission_check *check)
{
    struct dpc_event event = {.type = DPC_EVENT_SUBMIT};
    memcpy(event.worker, peer->key.bytes, DPC_WORKER_KEY_BYTES);
    event.submit.message = message;
    event.submit.check = check;
    server_step(server, &event, peer, request);
}

/* False when there are too many. */
static bool
take_check(struct dpc_server *server, const struct dpc_peer *peer, const struct dpc_msg *msg)
{
    if (server->checks_count == DPC_CHECKS_MAX)
        return false;
    struct dpc_job *job = dpc_job_create(DPC_JOB_CHECK, &server->world);
    job->submit = msg->submit;
    job->peer = *peer;
    job->request = msg->request;
    if (!server_start_job(server, job))
        return false;
    server->checks[server->checks_count++] = job;
    return true;
}

static void
start_check(struct dpc_server *server, const struct dpc_peer *peer, const struct dpc_msg *msg)
{
    struct dpc_job *again = find_check(server, peer, msg->submit.token);
    note_alive(server, peer, &msg->submit);
    if (again) { /* repeated: answer the latest try */
        again->peer = *peer;
        again->request = msg->request;
        return;
    }
    if (!dpc_core_expects(server->core, peer->key.bytes, msg->submit.token)) {
        /* It may be slow to look at, and stands for nothing: the core says why. */
        static const struct dpc_submission_check nothing;
        submit(server, peer, msg->request, &msg->submit, &nothing);
        return;
    }
    if (!take_check(server, peer, msg))
        server_reply_error(server, server->control, peer, msg->request, DPC_EAGAIN,
                           "too many submissions wait to be checked: hand it in again");
}

static void
forget_check(struct dpc_server *server, const struct dpc_job *job)
{
    for (uint32_t i = 0; i < server->checks_count; i++) {
        if (server->checks[i] == job)
            server->checks[i] = server->checks[--server->checks_count];
    }
}

void
server_submit(struct dpc_server *server, struct dpc_job *check)
{
    forget_check(server, check);
    /* What this machine lacks for the moment is not the worker's fault: it hands in again. */
    if (check->code != DPC_OK) {
        server_reply_error(server, server->control, &check->peer, check->request, DPC_EAGAIN,
                           check->error.text);
        return;
    }
    if (!server_has_room(server)) {
        reply_again_with_room(server, &check->peer, check->request);
        return;
    }
    submit(server, &check->peer, check->request, &check->submit, &check->check);
}

/* As often as workers say so, up to a point. */
static bool
may_log(struct dpc_server *server, uint32_t *ret_not_logged)
{
    return dpc_log_allowed(&server->said, dpc_clock_now_ms(&dpc_clock_system), ret_not_logged);
}

static void
handle_control(struct dpc_server *server, const struct rpc *rpc, const struct dpc_peer *peer,
               const struct dpc_msg *msg)
{
    struct dpc_event event = {.type = rpc->event};
    uint32_t not_logged;
    memcpy(event.worker, peer->key.bytes, DPC_WORKER_KEY_BYTES);
    if (rpc->event != DPC_EVENT_HEARTBEAT && !server_has_room(server)) {
        if (rpc->event == DPC_EVENT_SUBMIT)
            note_alive(server, peer, &msg->submit);
        if (rpc->event == DPC_EVENT_ASK)
            reply_wait_for_room(server, peer, msg);
        else
            reply_again_with_room(server, peer, msg->request);
        return;
    }
    switch (rpc->event) {
    case DPC_EVENT_SUBMIT:
        start_check(server, peer, msg);
        return;
    case DPC_EVENT_HELLO:
        if (may_log(server, &not_logged))
            dpc_log_info("worker joins name=\"%s\" build=\"%s\" class=\"%s\" not_logged=%u",
                         msg->hello.name, msg->hello.build, msg->hello.numeric_class, not_logged);
        event.hello.message = &msg->hello;
        break;
    case DPC_EVENT_ASK:
        event.ask = msg->ask;
        break;
    case DPC_EVENT_HEARTBEAT:
        event.heartbeat.message = &msg->heartbeat;
        break;
    case DPC_EVENT_GIVE_BACK:
        if (may_log(server, &not_logged))
            dpc_log_info("lease given back lease=%llu reason=\"%s\" not_logged=%u",
                         (unsigned long long)msg->give_back.token.serial, msg->give_back.reason,
                         not_logged);
        event.give_back.message = &msg->give_back;
        break;
    default:
        break;
    }
    server_step(server, &event, peer, msg->request);
}

/* Each process draws a routing id of its own. */
static void
note_connection(struct dpc_server *server, const struct dpc_peer *peer)
{
    uint64_t number = 0;
    uint32_t dropped;
    char key[DPC_KEY_TEXT_MAX];
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system);
    if (peer->routing_len >= sizeof number)
        memcpy(&number, peer->routing_id, sizeof number);
    if (!dpc_core_note_connection(server->core, peer->key.bytes, number, now_ms) ||
        !dpc_log_allowed(&server->copied, now_ms, &dropped))
        return;
    dpc_key_text(&peer->key, key);
    dpc_log_warning("worker key used twice at once name=\"%s\" key=%s advice=\"%s\" not_logged=%u",
                    server_worker_name(server, peer->key.bytes), key, SERVER_COPIED_TEXT, dropped);
}

void
server_serve_control(struct dpc_server *server)
{
    struct dpc_peer peer;
    struct dpc_msg msg;
    const struct rpc *rpc;
    for (int i = 0; i < CONTROL_TURN; i++) {
        if (!receive(server, server->control, control_rpcs,
                     sizeof control_rpcs / sizeof *control_rpcs, &peer, &msg, &rpc))
            return;
        if (msg.type == DPC_MSG_ENROL) {
            server_enrol(server, &peer, &msg);
            continue;
        }
        handle_control(server, rpc, &peer, &msg);
        note_connection(server, &peer);
    }
}

/* --- Bulk. */

void
server_serve_bulk(struct dpc_server *server)
{
    struct dpc_peer peer;
    struct dpc_msg msg;
    const struct rpc *rpc;
    for (int i = 0; i < BULK_TURN; i++) {
        if (!receive(server, server->bulk, bulk_rpcs, sizeof bulk_rpcs / sizeof *bulk_rpcs, &peer,
                     &msg, &rpc))
            return;
        server_answer_bulk(server, &peer, &msg);
    }
}

/* --- Admin. */

static void
answer_admin(struct dpc_server *server, const struct dpc_peer *peer, const struct dpc_msg *msg)
{
    struct dpc_buf json;
    struct dpc_error err = {0};
    char next[DPC_NAME_MAX] = "";
    dpc_buf_init(&json, DPC_ADMIN_BYTES_MAX / 2);
    struct dpc_msg reply = {.type = DPC_MSG_ADMIN_REPLY, .request = msg->request};
    reply.admin_reply.code =
        server_list(server, &msg->admin_request, &json, next, sizeof next, &err);
    reply.admin_reply.text = err.text;
    reply.admin_reply.json = reply.admin_reply.code == DPC_OK ? dpc_buf_text(&json) : "";
    reply.admin_reply.next = next;
    if (dpc_listener_send(server->admin, peer, &reply) != DPC_OK)
        dpc_log_debug("admin reply dropped");
    dpc_buf_done(&json);
}

void
server_serve_admin(struct dpc_server *server)
{
    struct dpc_peer peer;
    struct dpc_msg msg;
    const struct rpc *rpc;
    for (int i = 0; i < ADMIN_TURN; i++) {
        if (!receive(server, server->admin, admin_rpcs, sizeof admin_rpcs / sizeof *admin_rpcs,
                     &peer, &msg, &rpc))
            return;
        answer_admin(server, &peer, &msg);
    }
}
