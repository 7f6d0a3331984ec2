/* SPDX-License-Identifier: Apache-2.0
 * Messages in, by table: which type, on which channel, from which role. What a peer gets wrong is
 * answered with a typed error and counted; it never reaches the core. */
#include "coordinator/state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "data/routes.h"
#include "proto/serve.h"

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

static void
note_peer_fault(struct dpc_server *server, const struct dpc_peer *peer, const char *text)
{
    uint32_t dropped;
    char key[DPC_KEY_TEXT_MAX];
    server->peer_faults_count++;
    if (!dpc_log_allowed(&server->peer_faults, dpc_clock_now_ms(&dpc_clock_system), &dropped))
        return;
    dpc_key_text(&peer->key, key);
    dpc_log_warning("peer fault key=%s reason=\"%s\" not_logged=%u", key, text, dropped);
}

static void
reply_error(struct dpc_server *server, struct dpc_listener *listener, const struct dpc_peer *peer,
            uint64_t request, int code, const char *text)
{
    struct dpc_msg reply = {.type = DPC_MSG_ERROR, .request = request};
    reply.error.code = code;
    reply.error.text = text;
    if (code != DPC_EAGAIN) /* which is ours */
        note_peer_fault(server, peer, text);
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
            reply_error(server, listener, peer, 0, code, err.text);
            continue;
        }
        const struct rpc *rpc = find_rpc(rpcs, rpcs_count, msg->type);
        if (!rpc) {
            reply_error(server, listener, peer, msg->request, DPC_EPROTO,
                        "this message does not belong on this channel");
        } else if (peer->role != rpc->role) {
            reply_error(server, listener, peer, msg->request, DPC_EPERM,
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
    reply_error(server, server->control, peer, request, DPC_EAGAIN, text);
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
start_check(struct dpc_server *server, const struct dpc_peer *peer, const struct dpc_msg *msg)
{
    struct dpc_job *again = find_check(server, peer, msg->submit.token);
    note_alive(server, peer, &msg->submit);
    if (again) { /* repeated: answer the latest try */
        again->peer = *peer;
        again->request = msg->request;
        return;
    }
    if (server->checks_count == DPC_CHECKS_MAX) {
        reply_error(server, server->control, peer, msg->request, DPC_EAGAIN,
                    "too many submissions wait to be checked: hand it in again");
        return;
    }
    struct dpc_job *job = dpc_job_create(DPC_JOB_CHECK, &server->world);
    job->submit = msg->submit;
    job->peer = *peer;
    job->request = msg->request;
    server->checks[server->checks_count++] = job;
    server_start_job(server, job);
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
        reply_error(server, server->control, &check->peer, check->request, DPC_EAGAIN,
                    check->error.text);
        return;
    }
    if (!server_has_room(server)) {
        reply_again_with_room(server, &check->peer, check->request);
        return;
    }
    struct dpc_event event = {.type = DPC_EVENT_SUBMIT};
    memcpy(event.worker, check->peer.key.bytes, DPC_WORKER_KEY_BYTES);
    event.submit.message = &check->submit;
    event.submit.check = &check->check;
    server_step(server, &event, &check->peer, check->request);
}

static void
handle_control(struct dpc_server *server, const struct rpc *rpc, const struct dpc_peer *peer,
               const struct dpc_msg *msg)
{
    struct dpc_event event = {.type = rpc->event};
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
        dpc_log_info("worker joins name=\"%s\" build=\"%s\" class=\"%s\"", msg->hello.name,
                     msg->hello.build, msg->hello.numeric_class);
        event.hello.message = &msg->hello;
        break;
    case DPC_EVENT_HEARTBEAT:
        event.heartbeat.message = &msg->heartbeat;
        break;
    case DPC_EVENT_GIVE_BACK:
        dpc_log_info("lease given back lease=%llu reason=\"%s\"",
                     (unsigned long long)msg->give_back.token.serial, msg->give_back.reason);
        event.give_back.message = &msg->give_back;
        break;
    default:
        break;
    }
    server_step(server, &event, peer, msg->request);
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
        handle_control(server, rpc, &peer, &msg);
    }
}

/* --- Bulk. */

static int
blob_size(void *context, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    struct dpc_server *server = context;
    return dpc_store_blob_size(server->store, hash, ret_bytes);
}

/* Is the blob whole, as far as this process has looked? Each is read and held against its name when
 * its first byte is asked for the first time: a damaged one is found here and named, before workers
 * fetch it in vain. */
static int
verify_once(struct dpc_server *server, const struct dpc_hash *hash, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len, places = sizeof server->verified / sizeof *server->verified;
    for (size_t i = 0; i < places; i++) {
        if (dpc_hash_equal(&server->verified[i], hash))
            return DPC_OK;
    }
    int code = dpc_store_blob_load(server->store, hash, &bytes, &len, err);
    if (code != DPC_OK)
        return code;
    dpc_free(bytes);
    server->verified[server->verified_next++ % places] = *hash;
    return DPC_OK;
}

static int
blob_read(void *context, const struct dpc_hash *hash, uint64_t offset, void *ret_bytes, size_t len)
{
    struct dpc_server *server = context;
    struct dpc_error err;
    int code = offset == 0 ? verify_once(server, hash, &err) : DPC_OK;
    if (code == DPC_ECORRUPT)
        server_fail(server, &err);
    return code == DPC_OK ? dpc_store_blob_read(server->store, hash, offset, ret_bytes, len) : code;
}

static uint64_t
blob_partial(void *context, const struct dpc_hash *hash)
{
    struct dpc_server *server = context;
    return dpc_store_blob_partial(server->store, hash);
}

/* The worker sends it again. */
static int
refuse_for_want_of_room(struct dpc_server *server, struct dpc_error *err)
{
    char text[DPC_TEXT_MAX];
    server->space.put_off++;
    server_tell_space(server, text, sizeof text);
    return dpc_error_set(err, DPC_EAGAIN, "%.500s", text);
}

static int
blob_append(void *context, const struct dpc_hash *hash, uint64_t offset, const void *bytes,
            size_t len, struct dpc_error *err)
{
    struct dpc_server *server = context;
    if (!server_has_room(server))
        return refuse_for_want_of_room(server, err);
    int code = dpc_store_blob_append(server->store, hash, offset, bytes, len, err);
    return server_ran_out(server, code) ? refuse_for_want_of_room(server, err) : code;
}

static int
blob_finish(void *context, const struct dpc_hash *hash, struct dpc_error *err)
{
    struct dpc_server *server = context;
    int code = dpc_store_blob_finish(server->store, hash, err);
    return server_ran_out(server, code) ? refuse_for_want_of_room(server, err) : code;
}

/* Does anything that is still to be done name this blob? Then it must be there, whole. */
static bool
is_needed(const struct dpc_server *server, const struct dpc_hash *hash)
{
    struct dpc_keep *keep = dpc_keep_create(server->core);
    bool found = false;
    for (size_t i = 0; i < dpc_keep_count(keep) && !found; i++)
        found = dpc_hash_equal(dpc_keep_at(keep, i), hash);
    dpc_keep_destroy(keep);
    return found;
}

/* A blob of ours that is gone or cut short would otherwise be asked for, in vain, for ever. */
static void
fail_if_ours_is_lost(struct dpc_server *server, const struct dpc_hash *hash)
{
    uint8_t *bytes;
    size_t len;
    struct dpc_error err;
    char name[DPC_HASH_HEX_MAX];
    if (!is_needed(server, hash))
        return;
    int code = dpc_store_blob_load(server->store, hash, &bytes, &len, &err);
    if (code == DPC_OK) {
        dpc_free(bytes);
        return;
    }
    dpc_hash_hex(hash, name, sizeof name);
    if (code == DPC_ENOTFOUND)
        (void)dpc_error_set(&err, DPC_ECORRUPT,
                            "blob %s is named by the store and is gone: put its file back from a "
                            "backup",
                            name);
    server_fail(server, &err);
}

/* The router network answers for all documents at once. */
static uint64_t
largest_now(const struct dpc_server *server)
{
    const struct dpc_phase_record *phase = dpc_core_phase(server->core);
    uint64_t documents = phase->traced_documents - phase->traced_learned;
    uint64_t routes = dpc_routes_bytes(documents * dpc_experiment_pieces(&server->experiment));
    return phase->phase == DPC_PHASE_REROUTE && routes > server->blob_bytes_max
               ? routes
               : server->blob_bytes_max;
}

void
server_serve_bulk(struct dpc_server *server)
{
    struct dpc_serve_blobs blobs = {
        .size = blob_size,
        .read = blob_read,
        .partial = blob_partial,
        .append = blob_append,
        .finish = blob_finish,
        .context = server,
        .total_max = largest_now(server),
    };
    struct dpc_peer peer;
    struct dpc_msg msg, reply;
    const struct rpc *rpc;
    struct dpc_error err;
    for (int i = 0; i < BULK_TURN; i++) {
        if (!receive(server, server->bulk, bulk_rpcs, sizeof bulk_rpcs / sizeof *bulk_rpcs, &peer,
                     &msg, &rpc))
            return;
        int code = dpc_serve_bulk(&blobs, &msg, server->chunk, &reply, &err);
        /* The peer is told; a disk of ours that could not keep a write is also the daemon's end. */
        if (code == DPC_ENOSPACE || code == DPC_EIO)
            server_fail(server, &err);
        else if (code != DPC_OK && code != DPC_EAGAIN)
            note_peer_fault(server, &peer, err.text);
        if (msg.type == DPC_MSG_FETCH && (code == DPC_ENOTFOUND || code == DPC_ERANGE))
            fail_if_ours_is_lost(server, &msg.fetch.hash);
        if (dpc_listener_send(server->bulk, &peer, &reply) != DPC_OK)
            dpc_log_debug("bulk reply dropped type=%s", dpc_msg_name(reply.type));
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
