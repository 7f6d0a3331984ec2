/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages between coordinator, workers and admin tools, as plain structs. Outside proto/
 * nobody sees protobuf. One message is one header frame (protobuf, wire.proto) and, for CHUNK and
 * PUT, one body frame of raw bytes.
 *
 * Owns: nothing. Pointers in a decoded message point into the channel's memory and live until its
 * next receive. Threads: as the channel. Limits: header DPC_CONTROL_BYTES_MAX (admin replies
 * DPC_ADMIN_BYTES_MAX), body DPC_CHUNK_BYTES_MAX; decoding allocates from a budget and refuses what
 * passes it, texts that are too long, hashes that are not 32 bytes, and numbers past base/limits.h.
 */
#ifndef DPC_PROTO_MESSAGE_H
#define DPC_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"

enum { DPC_PROTOCOL_MIN = 1, DPC_PROTOCOL_MAX = 1 };

/* One half of a CURVE pair. */
enum { DPC_KEY_BYTES = 32 };
struct dpc_key {
    uint8_t bytes[DPC_KEY_BYTES];
};

enum dpc_msg_type {
    DPC_MSG_NONE = 0,
    /* control, worker to coordinator, and the answer to each */
    DPC_MSG_HELLO = 1,
    DPC_MSG_WELCOME = 2,
    DPC_MSG_ASK = 3, /* -> LEASE or WAIT */
    DPC_MSG_LEASE = 4,
    DPC_MSG_WAIT = 5,
    DPC_MSG_HEARTBEAT = 6,
    DPC_MSG_HEARTBEAT_ACK = 7,
    DPC_MSG_SUBMIT = 8,
    DPC_MSG_SUBMITTED = 9,
    DPC_MSG_GIVE_BACK = 10, /* ends a lease unfinished; -> ACK */
    DPC_MSG_LEAVE = 11,     /* ends the session; -> ACK */
    DPC_MSG_ACK = 12,
    DPC_MSG_ERROR = 13, /* the answer to a request that was refused */
    DPC_MSG_ENROL = 14, /* of who has an invitation's key; -> ENROLLED */
    DPC_MSG_ENROLLED = 15,
    /* bulk */
    DPC_MSG_FETCH = 20, /* -> CHUNK */
    DPC_MSG_CHUNK = 21, /* + body */
    DPC_MSG_OFFER = 22, /* -> HAVE */
    DPC_MSG_PUT = 23,   /* + body; -> HAVE */
    DPC_MSG_HAVE = 24,
    /* admin */
    DPC_MSG_ADMIN_REQUEST = 30,
    DPC_MSG_ADMIN_REPLY = 31,
};

enum dpc_task_kind {
    DPC_TASK_TRAIN = 1,
    DPC_TASK_FEATURIZE = 2,
    DPC_TASK_EVALUATE = 3,
    DPC_TASK_SCORE = 4, /* as evaluate, of documents of the router split */
    DPC_TASK_TRACE = 5, /* as evaluate, piece by piece */
    /* To train the router network on documents [0, from) of `data`, whose routes `state` has, and
     * to route [from, to), whose own paths it has. */
    DPC_TASK_REROUTE = 6,
};

/* A lease's fencing token. `incarnation` is drawn anew when a store is made or restored; `serial`
 * only grows. All zero: none. */
struct dpc_token {
    uint64_t incarnation;
    uint64_t serial;
};

/* A blob by name and size. Hash none: no blob. */
struct dpc_blob_ref {
    struct dpc_hash hash;
    uint64_t bytes;
};

struct dpc_msg_hello {
    uint32_t protocol_min, protocol_max;
    const char *name;          /* of the worker, for people */
    const char *build;         /* program version */
    const char *numeric_class; /* machines of one class compute the same bits */
    double tokens_per_s; /* measured on this experiment; 0: not yet */
    /* From before a break: the lease that it still works on, and the one that it hands in. */
    struct dpc_token token, handing_in;
};

struct dpc_msg_welcome {
    uint32_t protocol;
    uint64_t incarnation;
    const char *experiment; /* canonical YAML, base/experiment.h */
    uint32_t heartbeat_ms;
    const char *bulk_endpoint; /* host "*": the host of the control endpoint */
    const char *mirror;        /* URL of a web server that has blobs, too; "": none */
    /* That a worker may hold: with DPC_LEASES_MAX it asks for the next one while it hands in the
     * results of the last. */
    uint32_t leases;
};

struct dpc_msg_ask {
    struct dpc_token handing_in; /* the lease whose results it hands in; zero: none */
};

struct dpc_msg_lease {
    struct dpc_token token;
    enum dpc_task_kind kind;
    uint32_t path;
    uint32_t round;
    uint64_t step_first;   /* position in the schedule of the first step (train); first document
                            * whose routes follow from losses (reroute) */
    uint32_t steps_count;  /* (train) */
    uint32_t from, to;     /* documents of `data` (all but train) */
    uint32_t levels_count; /* at which the path takes a module */
    struct dpc_blob_ref versions[DPC_LEVELS_MAX]; /* published form, one for each of these */
    uint32_t modules[DPC_LEVELS_MAX];             /* their module ids */
    /* What a part of this round that was handed in before moved each module by, which is where the
     * lease goes on: version - begins. Of the whole path or of none of it (train). */
    struct dpc_blob_ref begins[DPC_LEVELS_MAX];
    /* Where a version is another one plus a difference (base/codec.h): that, and the other one, for
     * who has it. None: there is no such. */
    struct dpc_blob_ref changes[DPC_LEVELS_MAX], bases[DPC_LEVELS_MAX];
    struct dpc_blob_ref data;  /* a token file */
    struct dpc_blob_ref state; /* path state; none: zero moments (train). Routes (reroute) */
    struct dpc_blob_ref kept;  /* in its place: one that this worker kept, if it still has it */
    uint32_t time_left_ms;
};

struct dpc_msg_wait {
    uint32_t retry_ms;
    bool finished; /* the experiment has ended */
    const char *reason;
};

struct dpc_msg_heartbeat {
    struct dpc_token token;
    uint32_t steps_done; /* inner steps, or documents */
    double tokens_per_s;
};

enum dpc_verdict {
    DPC_VERDICT_CONTINUE = 1,   /* heartbeat: go on */
    DPC_VERDICT_ACCEPTED = 2,   /* submission: recorded on disk; the same again gets the same */
    DPC_VERDICT_SUPERSEDED = 3, /* another submission for this task came first: drop the work */
    DPC_VERDICT_STALE = 4,      /* no such lease (any more): drop the work */
    DPC_VERDICT_MISSING = 5,    /* submission: these blobs have not arrived: upload, submit again */
    DPC_VERDICT_REFUSED = 6,    /* submission: failed the check; `text` says which */
};

struct dpc_msg_verdict { /* HEARTBEAT_ACK and SUBMITTED */
    struct dpc_token token;
    enum dpc_verdict verdict;
    const char *text;
    uint32_t missing_count;
    struct dpc_hash missing[DPC_LEVELS_MAX + 2];
};

struct dpc_part { /* one module's contribution: delta = published - trained */
    uint32_t module;
    struct dpc_blob_ref delta;
    double norm; /* L2 of the delta */
};

struct dpc_msg_submit {
    struct dpc_token token;
    enum dpc_task_kind kind;
    uint32_t path;
    uint32_t round;
    uint32_t steps_count; /* inner steps done (train); fewer than asked for is a part of them */
    uint64_t tokens;      /* tokens that entered the loss, for people; the core counts its own */
    double loss;          /* mean over the lease, nats a token (train) */
    double loss_last;     /* mean over the last tenth of its steps */
    double seconds;       /* of computing */
    uint32_t parts_count;
    struct dpc_part parts[DPC_LEVELS_MAX];
    struct dpc_blob_ref state;  /* path state after the last step (train) */
    struct dpc_blob_ref kept;   /* in its place: one that stays with the worker */
    struct dpc_hash began;      /* path state that the first step took; none: zero moments */
    struct dpc_blob_ref result; /* features, scores or routes (all but train) */
};

struct dpc_msg_give_back {
    struct dpc_token token;
    const char *reason;
    bool not_finite; /* the task itself failed: a loss or a gradient was not finite */
    bool too_large;  /* the path does not fit the worker's memory */
};

struct dpc_msg_error {
    int32_t code; /* base/error.h */
    const char *text;
};

struct dpc_msg_enrol {
    struct dpc_key key; /* the worker's own, public; no zero */
    const char *name;   /* for people */
};

enum dpc_enrolment {
    DPC_ENROLMENT_TAKEN = 1,   /* recorded on disk: the worker's own key may connect */
    DPC_ENROLMENT_PENDING = 2, /* the operator has to say yes: ask again after `retry_ms` */
    DPC_ENROLMENT_REFUSED = 3, /* the operator has said no */
};

struct dpc_msg_enrolled {
    enum dpc_enrolment state;
    const char *experiment; /* its name */
    uint32_t retry_ms;
};

struct dpc_msg_fetch {
    struct dpc_hash hash;
    uint64_t offset;
    uint32_t bytes; /* at most DPC_CHUNK_BYTES_MAX */
};

struct dpc_msg_chunk { /* body: the bytes */
    struct dpc_hash hash;
    uint64_t offset;
    uint64_t total;
};

struct dpc_msg_offer {
    struct dpc_hash hash;
    uint64_t total;
};

struct dpc_msg_put { /* body: the bytes */
    struct dpc_hash hash;
    uint64_t offset;
    uint64_t total;
};

struct dpc_msg_have {
    struct dpc_hash hash;
    uint64_t offset; /* bytes that stand on the coordinator's disk: go on from here */
    bool complete;   /* all of it, hash checked */
};

struct dpc_msg_admin_request {
    const char *verb;
    const char *argument; /* "" when the verb takes none */
    const char *after;    /* go on here: what `next` said; "" from the start */
};

struct dpc_msg_admin_reply {
    int32_t code;
    const char *text; /* the reason, when code is not 0 */
    const char *json;
    const char *next; /* for the next `after`; "" at the end */
};

struct dpc_msg {
    enum dpc_msg_type type;
    uint64_t request; /* chosen by the asker, repeated in the answer */
    union {
        struct dpc_msg_hello hello;
        struct dpc_msg_welcome welcome;
        struct dpc_msg_ask ask;
        struct dpc_msg_lease lease;
        struct dpc_msg_wait wait;
        struct dpc_msg_heartbeat heartbeat;
        struct dpc_msg_verdict verdict;
        struct dpc_msg_submit submit;
        struct dpc_msg_give_back give_back;
        struct dpc_msg_error error;
        struct dpc_msg_enrol enrol;
        struct dpc_msg_enrolled enrolled;
        struct dpc_msg_fetch fetch;
        struct dpc_msg_chunk chunk;
        struct dpc_msg_offer offer;
        struct dpc_msg_put put;
        struct dpc_msg_have have;
        struct dpc_msg_admin_request admin_request;
        struct dpc_msg_admin_reply admin_reply;
    };
    const uint8_t *body; /* CHUNK and PUT; else NULL */
    size_t body_len;
};

/* "hello", "submit"; "?" for a number that is no type. */
const char *dpc_msg_name(enum dpc_msg_type type);
const char *dpc_task_name(enum dpc_task_kind kind);
const char *dpc_verdict_name(enum dpc_verdict verdict);

bool dpc_token_equal(struct dpc_token a, struct dpc_token b);

/* The header frame of `msg` behind what `out` holds. NULL texts go as "". */
int dpc_msg_encode(const struct dpc_msg *msg, struct dpc_buf *out,
                   struct dpc_error *err) DPC_MUST_CHECK;

/* Memory that decoded messages point into; one a channel, reset by each decode. */
struct dpc_msg_arena;
struct dpc_msg_arena *dpc_msg_arena_create(size_t bytes_max);
struct dpc_msg_arena *dpc_msg_arena_destroy(struct dpc_msg_arena *arena);

/* DPC_EPROTO, DPC_ELIMIT or DPC_EVERSION for what a peer got wrong; `ret_msg` is then not set. The
 * body comes out as none: the channel, which holds its frame, adds it. A text of a peer comes out
 * as UTF-8 without control characters, losses and norms as they came (the core judges them). */
int dpc_msg_decode(const void *frame, size_t len, struct dpc_msg_arena *arena,
                   struct dpc_msg *ret_msg, struct dpc_error *err) DPC_MUST_CHECK;

#endif
