/* SPDX-License-Identifier: Apache-2.0
 * Bulk: blobs that workers fetch and hand in. Each is read through when its last byte has come, and
 * once before its first byte goes out: a damaged one is found and named here, before workers fetch
 * it in vain. A gigabyte takes seconds, in which the loop goes on: a thread of its own reads, so
 * that it does not wait for outer steps either, and who asks about the blob meanwhile is answered
 * when it has been read. */
#include "coordinator/state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "coordinator/verified.h"
#include "data/routes.h"
#include "proto/serve.h"
#include "proto/transfer.h"

enum {
    /* Blobs that are read or wait for it, and requests that wait for them: above that workers are
     * told to ask again. One worker has no use for more than its share. */
    READINGS_MAX = 256,
    ASKERS_MAX = 4096,
    SHARE_MAX = 4 * DPC_TRANSFER_CREDIT,
    /* Blobs that are known to be whole: more than are under way at a time, since most are fetched
     * by many workers, and each of these fetches a few at once. */
    VERIFIED_MAX = 4 * DPC_WORKERS_MAX,
    /* Answers in one turn of the loop, so that bulk never starves control. */
    ANSWERS_TURN = 32,
    /* More than the keys that may connect. */
    SENDERS_PLACES = 2 * DPC_WORKERS_MAX,
    /* The largest blobs that a lease may hand in: a path state, half of it as deltas, all of it
     * again where it did not arrive whole, or was swept. */
    LEASE_BLOBS_MAX = 8,
    /* Blobs that a lease may begin: a file takes room on the disk however few bytes it has. */
    LEASE_FILES_MAX = LEASE_BLOBS_MAX * (DPC_LEVELS_MAX + 2),
    /* Between two looks whether a blob that is not here is one that must be. */
    LOOK_MS = 1000,
};

/* Of a PUT nothing is left to be done but to know: it stands as an offer. */
struct asker {
    struct dpc_peer peer;
    uint64_t request;
    enum dpc_msg_type type; /* FETCH or OFFER */
    struct dpc_msg_fetch fetch;
    struct dpc_msg_offer offer;
    bool sent_last; /* the last piece of the upload */
};

/* What a worker has sent for the lease that it holds. */
struct sender {
    struct dpc_key key;
    uint64_t serial; /* of the lease; 0: the place is free */
    uint64_t bytes;
    uint32_t files; /* begun */
};

struct dpc_reading {
    struct dpc_executor *reader;
    uint32_t jobs_count, askers_count;
    int64_t looked_ms;
    struct dpc_job *ended;              /* whose askers are being answered; NULL: none */
    struct dpc_job *jobs[READINGS_MAX]; /* of the reader, and that one */
    struct asker askers[ASKERS_MAX];    /* in the order in which they asked */
    struct sender *senders;             /* [SENDERS_PLACES], by key */
    struct dpc_verified *verified;      /* found whole since the start */
    struct dpc_log_limit lacks;
};

/* A request that is being served. */
struct serving {
    struct dpc_server *server;
    const struct dpc_peer *peer;
};

/* --- What is read. */

static struct dpc_job *
find_job(const struct dpc_reading *reading, const struct dpc_hash *hash)
{
    for (uint32_t i = 0; i < reading->jobs_count; i++) {
        if (dpc_hash_equal(&reading->jobs[i]->blob, hash))
            return reading->jobs[i];
    }
    return NULL;
}

static uint32_t
count_jobs(const struct dpc_reading *reading, const struct dpc_peer *peer)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < reading->jobs_count; i++)
        count += dpc_key_equal(&reading->jobs[i]->peer.key, &peer->key);
    return count;
}

/* DPC_EBUSY: it is read from now on. */
static int
begin(const struct serving *serving, enum dpc_job_type type, const struct dpc_hash *hash,
      struct dpc_error *err)
{
    struct dpc_reading *reading = serving->server->reading;
    bool full =
        reading->jobs_count == READINGS_MAX || count_jobs(reading, serving->peer) == SHARE_MAX;
    struct dpc_job *job = dpc_job_create(type, &serving->server->world);
    job->blob = *hash;
    job->peer = *serving->peer;
    if (full || dpc_executor_put(reading->reader, job) != DPC_OK) {
        dpc_job_drop(job);
        return dpc_error_set(err, DPC_EAGAIN, "too many blobs wait to be read: ask again");
    }
    server_note_job(serving->server, job);
    reading->jobs[reading->jobs_count++] = job;
    return DPC_EBUSY;
}

static void
forget(struct dpc_reading *reading, const struct dpc_job *job)
{
    for (uint32_t i = 0; i < reading->jobs_count; i++) {
        if (reading->jobs[i] == job)
            reading->jobs[i] = reading->jobs[--reading->jobs_count];
    }
}

/* --- The store's side of dpc_serve_bulk. */

/* Descriptors and memory that this machine lacks for the moment are no fault of the worker, who
 * asks again: it would give back what it has computed. */
static int
put_off(struct dpc_server *server, int code, struct dpc_error *err)
{
    uint32_t dropped;
    if (code != DPC_EFILES && code != DPC_ENOMEM)
        return code;
    if (dpc_log_allowed(&server->reading->lacks, dpc_clock_now_ms(&dpc_clock_system), &dropped))
        dpc_log_warning("this process lacks %s, workers are told to come again not_logged=%u",
                        code == DPC_ENOMEM ? "memory" : "descriptors (ulimit -n, LimitNOFILE)",
                        dropped);
    return dpc_error_set(err, DPC_EAGAIN, "the coordinator lacks %s for the moment: ask again",
                         code == DPC_ENOMEM ? "memory" : "descriptors");
}

static int
blob_size(void *context, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    const struct serving *serving = context;
    int code = dpc_store_blob_size(serving->server->store, hash, ret_bytes);
    return put_off(serving->server, code, NULL);
}

static int
blob_read(void *context, const struct dpc_hash *hash, uint64_t offset, void *ret_bytes, size_t len)
{
    const struct serving *serving = context;
    if (!dpc_verified_has(serving->server->reading->verified, hash))
        return begin(serving, DPC_JOB_VERIFY, hash, NULL);
    int code = dpc_store_blob_read(serving->server->store, hash, offset, ret_bytes, len);
    return put_off(serving->server, code, NULL);
}

static uint64_t
blob_partial(void *context, const struct dpc_hash *hash)
{
    const struct serving *serving = context;
    return dpc_store_blob_partial(serving->server->store, hash);
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

static struct sender *
find_sender(struct dpc_reading *reading, const struct dpc_key *key)
{
    uint64_t place;
    memcpy(&place, key->bytes, sizeof place);
    for (place %= SENDERS_PLACES;; place = (place + 1) % SENDERS_PLACES) {
        struct sender *sender = &reading->senders[place];
        if (sender->serial == 0 || dpc_key_equal(&sender->key, key))
            return sender;
    }
}

/* A disk has no room for what no lease owes. */
static int
count_sent(const struct serving *serving, bool begins, size_t len, struct dpc_error *err)
{
    struct dpc_server *server = serving->server;
    uint64_t serial = dpc_core_held_by(server->core, serving->peer->key.bytes);
    if (!serial)
        return dpc_error_set(err, DPC_EPERM, "a worker without a lease has nothing to hand in");
    struct sender *sender = find_sender(server->reading, &serving->peer->key);
    if (sender->serial != serial)
        *sender = (struct sender){.key = serving->peer->key, .serial = serial};
    sender->bytes += len;
    sender->files += begins;
    if (sender->files > LEASE_FILES_MAX)
        return dpc_error_set(err, DPC_EPERM, "lease %llu has begun %u blobs, more than any owes",
                             (unsigned long long)serial, sender->files);
    if (sender->bytes > LEASE_BLOBS_MAX * largest_now(server))
        return dpc_error_set(err, DPC_EPERM,
                             "lease %llu has handed in %llu bytes, more than any owes",
                             (unsigned long long)serial, (unsigned long long)sender->bytes);
    return DPC_OK;
}

static void
forget_sent(const struct serving *serving, bool begins, size_t len)
{
    struct sender *sender = find_sender(serving->server->reading, &serving->peer->key);
    sender->bytes -= len;
    sender->files -= begins;
}

static int
blob_append(void *context, const struct dpc_hash *hash, uint64_t offset, const void *bytes,
            size_t len, struct dpc_error *err)
{
    const struct serving *serving = context;
    struct dpc_server *server = serving->server;
    if (!server_has_room(server))
        return refuse_for_want_of_room(server, err);
    int code = count_sent(serving, offset == 0, len, err);
    if (code == DPC_OK)
        code = dpc_store_blob_append(server->store, hash, offset, bytes, len, err);
    if (server_ran_out(server, code, err->text))
        return refuse_for_want_of_room(server, err);
    code = put_off(server, code, err);
    if (code == DPC_EAGAIN) /* it is sent again */
        forget_sent(serving, offset == 0, len);
    return code;
}

static int
blob_finish(void *context, const struct dpc_hash *hash, struct dpc_error *err)
{
    return begin(context, DPC_JOB_ARRIVAL, hash, err);
}

/* --- Answers. */

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

/* A difference between two versions: it can be done without, since the version itself is there,
 * too.
 */
static bool
is_change(const struct dpc_server *server, const struct dpc_hash *hash)
{
    const struct dpc_topology *topology = dpc_core_topology(server->core);
    bool is = false;
    for (uint32_t i = 0; i < topology->modules_count && !is; i++) {
        const struct dpc_module_record *module = dpc_core_module(server->core, i);
        is = module && dpc_hash_equal(&module->change, hash);
    }
    return is;
}

static void
fail_for_lost(struct dpc_server *server, const struct dpc_hash *hash)
{
    struct dpc_error err;
    (void)dpc_store_blob_lost(hash, &err);
    server_fail(server, &err);
}

/* A blob of ours that is gone or cut short would otherwise be asked for, in vain, for ever. One
 * look is long where paths are many; what is asked for in vain is asked for again. True: who asked
 * has done nothing wrong. */
static bool
look_for_lost(const struct serving *serving, const struct dpc_hash *hash, int code)
{
    struct dpc_server *server = serving->server;
    struct dpc_reading *reading = server->reading;
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system);
    if (reading->looked_ms && now_ms - reading->looked_ms < LOOK_MS)
        return false;
    reading->looked_ms = now_ms;
    if (is_change(server, hash))
        return true;
    if (!is_needed(server, hash))
        return false;
    if (code == DPC_ENOTFOUND)
        fail_for_lost(server, hash);
    else if (!find_job(reading, hash))
        (void)begin(serving, DPC_JOB_VERIFY, hash, NULL);
    return code == DPC_ENOTFOUND;
}

/* What there is to be said to the operator of an answer that is none of what was asked for. */
static void
note_refusal(const struct serving *serving, const struct dpc_msg *request,
             const struct dpc_error *err)
{
    int code = err->code;
    bool missed = request->type == DPC_MSG_FETCH && (code == DPC_ENOTFOUND || code == DPC_ERANGE);
    bool ours = missed && look_for_lost(serving, &request->fetch.hash, code);
    /* The peer is told; a disk of ours that could not keep a write is also the daemon's end. */
    if (code == DPC_ENOSPACE || code == DPC_EIO || code == DPC_ECORRUPT)
        server_fail(serving->server, err);
    else if (code != DPC_EAGAIN && !ours)
        server_note_peer_fault(serving->server, serving->peer, err->text);
}

/* A piece that may not be added to what waits to go out is asked for again. */
static void
send_reply(const struct serving *serving, const struct dpc_msg *reply)
{
    int code = dpc_listener_send(serving->server->bulk, serving->peer, reply);
    if (code == DPC_EAGAIN && reply->type == DPC_MSG_CHUNK) {
        struct dpc_msg later = {.type = DPC_MSG_ERROR, .request = reply->request};
        later.error.code = DPC_EAGAIN;
        later.error.text = "too much waits to go out: ask again";
        code = dpc_listener_send(serving->server->bulk, serving->peer, &later);
    }
    if (code != DPC_OK)
        dpc_log_debug("bulk reply dropped type=%s", dpc_msg_name(reply->type));
}

static void
refuse(const struct serving *serving, const struct dpc_msg *request, const struct dpc_error *err)
{
    struct dpc_msg reply = {.type = DPC_MSG_ERROR, .request = request->request};
    reply.error = (struct dpc_msg_error){.code = err->code, .text = err->text};
    note_refusal(serving, request, err);
    send_reply(serving, &reply);
}

/* --- Who waits. */

static const struct dpc_hash *
hash_of(const struct dpc_msg *msg)
{
    return msg->type == DPC_MSG_FETCH   ? &msg->fetch.hash
           : msg->type == DPC_MSG_OFFER ? &msg->offer.hash
                                        : &msg->put.hash;
}

static struct asker
make_asker(const struct dpc_peer *peer, const struct dpc_msg *msg)
{
    struct asker asker = {.peer = *peer, .request = msg->request, .type = msg->type};
    if (msg->type == DPC_MSG_FETCH)
        asker.fetch = msg->fetch;
    else if (msg->type == DPC_MSG_OFFER)
        asker.offer = msg->offer;
    else
        asker.offer = (struct dpc_msg_offer){.hash = msg->put.hash, .total = msg->put.total};
    if (msg->type == DPC_MSG_PUT)
        asker.type = DPC_MSG_OFFER;
    return asker;
}

static const struct dpc_hash *
blob_of(const struct asker *asker)
{
    return asker->type == DPC_MSG_FETCH ? &asker->fetch.hash : &asker->offer.hash;
}

/* It asks again since no answer has come so far: the last time counts. */
static bool
asks_again(const struct asker *before, const struct asker *now)
{
    return before->type == now->type && dpc_key_equal(&before->peer.key, &now->peer.key) &&
           dpc_hash_equal(blob_of(before), blob_of(now)) &&
           before->fetch.offset == now->fetch.offset;
}

static void
wait_for(const struct serving *serving, const struct dpc_msg *msg, bool sent_last)
{
    struct dpc_reading *reading = serving->server->reading;
    struct asker asker = make_asker(serving->peer, msg);
    struct dpc_error err;
    uint32_t of_it = 0;
    asker.sent_last = sent_last;
    for (uint32_t i = 0; i < reading->askers_count; i++) {
        struct asker *before = &reading->askers[i];
        if (asks_again(before, &asker)) {
            asker.sent_last |= before->sent_last;
            *before = asker;
            return;
        }
        of_it += dpc_key_equal(&before->peer.key, &serving->peer->key);
    }
    if (reading->askers_count < ASKERS_MAX && of_it < SHARE_MAX) {
        reading->askers[reading->askers_count++] = asker;
        return;
    }
    (void)dpc_error_set(&err, DPC_EAGAIN, "too many requests wait for blobs: ask again");
    refuse(serving, msg, &err);
}

static void
answer(struct serving *serving, const struct dpc_msg *msg)
{
    struct dpc_serve_blobs blobs = {
        .size = blob_size,
        .read = blob_read,
        .partial = blob_partial,
        .append = blob_append,
        .finish = blob_finish,
        .context = serving,
        .total_max = largest_now(serving->server),
    };
    struct dpc_msg reply;
    struct dpc_error err;
    int code = dpc_serve_bulk(&blobs, msg, serving->server->chunk, &reply, &err);
    if (code == DPC_EBUSY) {
        wait_for(serving, msg, msg->type == DPC_MSG_PUT);
        return;
    }
    if (code != DPC_OK)
        note_refusal(serving, msg, &err);
    send_reply(serving, &reply);
}

void
server_answer_bulk(struct dpc_server *server, const struct dpc_peer *peer,
                   const struct dpc_msg *msg)
{
    struct serving serving = {server, peer};
    const struct dpc_job *job = find_job(server->reading, hash_of(msg));
    if (job && (job->type == DPC_JOB_ARRIVAL ||
                !dpc_verified_has(server->reading->verified, hash_of(msg))))
        wait_for(&serving, msg, false);
    else
        answer(&serving, msg);
}

/* --- What was read. */

static void
note_read(struct dpc_server *server, struct dpc_job *job)
{
    struct dpc_reading *reading = server->reading;
    int code = job->code;
    if (job->type == DPC_JOB_ARRIVAL && server_ran_out(server, code, job->error.text))
        job->code = refuse_for_want_of_room(server, &job->error);
    else if (code == DPC_OK)
        dpc_verified_add(reading->verified, &job->blob);
    else if (code == DPC_ECORRUPT && is_change(server, &job->blob)) {
        dpc_log_warning("a difference between versions is damaged, they go out whole reason=\"%s\"",
                        job->error.text);
        job->code = DPC_ENOTFOUND;
    } else if (code == DPC_ECORRUPT || code == DPC_EIO || code == DPC_ENOSPACE)
        server_fail(server, &job->error);
    job->code = put_off(server, job->code, &job->error);
    job->error.code = job->code;
}

/* Who has sent the last piece of what was another blob is told so; others may send it. */
static void
answer_other_blob(const struct serving *serving, const struct asker *asker,
                  const struct dpc_msg *msg)
{
    struct dpc_error err;
    struct dpc_msg reply = {.type = DPC_MSG_HAVE, .request = asker->request};
    reply.have.hash = asker->offer.hash;
    (void)dpc_error_set(&err, DPC_EHASH, "what came as this blob is another");
    if (asker->sent_last)
        refuse(serving, msg, &err);
    else
        send_reply(serving, &reply);
}

static void
answer_asker(struct dpc_server *server, const struct asker *asker, const struct dpc_job *job)
{
    struct serving serving = {server, &asker->peer};
    struct dpc_msg msg = {.type = asker->type, .request = asker->request};
    bool fetch = asker->type == DPC_MSG_FETCH;
    if (fetch)
        msg.fetch = asker->fetch;
    else
        msg.offer = asker->offer;
    if (!fetch && job->code == DPC_EHASH)
        answer_other_blob(&serving, asker, &msg);
    else if (job->code == DPC_OK || (fetch == (job->type == DPC_JOB_ARRIVAL)))
        answer(&serving, &msg); /* it asks for another thing than what failed */
    else
        refuse(&serving, &msg, &job->error);
}

/* False when nobody waits for the blob that has been read. */
static bool
answer_next(struct dpc_server *server, const struct dpc_job *job)
{
    struct dpc_reading *reading = server->reading;
    for (uint32_t i = 0; i < reading->askers_count; i++) {
        struct asker asker = reading->askers[i];
        if (!dpc_hash_equal(blob_of(&asker), &job->blob))
            continue;
        reading->askers_count--;
        memmove(&reading->askers[i], &reading->askers[i + 1],
                (reading->askers_count - i) * sizeof *reading->askers);
        answer_asker(server, &asker, job);
        return true;
    }
    return false;
}

void
server_take_read(struct dpc_server *server)
{
    struct dpc_reading *reading = server->reading;
    for (int i = 0; i < ANSWERS_TURN; i++) {
        if (!reading->ended) {
            reading->ended = dpc_executor_take(reading->reader);
            if (!reading->ended)
                return;
            server_forget_job(server, reading->ended);
            note_read(server, reading->ended);
        }
        if (!answer_next(server, reading->ended)) {
            forget(reading, reading->ended);
            dpc_job_drop(reading->ended);
            reading->ended = NULL;
        }
    }
}

bool
server_reading_has_ended(const struct dpc_server *server)
{
    return server->reading->ended != NULL;
}

/* --- Life. */

void
server_begin_reading(struct dpc_server *server)
{
    server->reading = dpc_alloc(1, sizeof *server->reading);
    server->reading->reader = dpc_executor_create(1, dpc_job_run, dpc_job_drop);
    server->reading->senders = dpc_alloc(SENDERS_PLACES, sizeof *server->reading->senders);
    server->reading->verified = dpc_verified_create(VERIFIED_MAX);
    server->reading->lacks = (struct dpc_log_limit){.burst = 1, .period_ms = 60000};
}

void
server_end_reading(struct dpc_server *server)
{
    if (!server->reading)
        return;
    dpc_executor_destroy(server->reading->reader);
    dpc_job_drop(server->reading->ended);
    dpc_free(server->reading->senders);
    dpc_verified_destroy(server->reading->verified);
    server->reading = dpc_free(server->reading);
}

int
server_reading_fd(const struct dpc_server *server)
{
    return dpc_executor_fd(server->reading->reader);
}

bool
server_reading_is_idle(const struct dpc_server *server)
{
    return !server->reading || dpc_executor_is_idle(server->reading->reader);
}
