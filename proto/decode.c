/* SPDX-License-Identifier: Apache-2.0
 * Header frames to plain structs. protobuf-c parses into the arena, whose size bounds what a frame
 * can make us hold; then one `read_` function a message type takes the fields over, each through a
 * `take_` that knows its bound. The first fault is kept and the rest is read on, so that the
 * readers have no branches of their own. Texts stay where protobuf-c put them. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "proto/codec.h"

struct decoding {
    struct dpc_msg msg;
    int code;
    struct dpc_error *err;
};

/* A fault of the peer: only the first is reported. */
static void
refuse(struct decoding *d, int code, const char *field, const char *why)
{
    if (d->code == DPC_OK)
        d->code = dpc_error_set(d->err, code, "bad %s message: %s %s", dpc_msg_name(d->msg.type),
                                field, why);
}

static const char *
take_text(struct decoding *d, char *text, size_t size, const char *field)
{
    if (strnlen(text, size) == size) {
        refuse(d, DPC_ELIMIT, field, "is too long");
        return "";
    }
    /* An absent text is protobuf-c's own empty string, which is not ours to write to. */
    if (*text)
        dpc_codec_clean_text(text, size > DPC_TEXT_MAX);
    return text;
}

static uint32_t
take_u32(struct decoding *d, uint32_t value, uint32_t most, const char *field)
{
    if (value > most)
        refuse(d, DPC_ELIMIT, field, "is past its limit");
    return value;
}

static uint64_t
take_bytes(struct decoding *d, uint64_t value, const char *field)
{
    if (value > DPC_BLOB_BYTES_MAX)
        refuse(d, DPC_ELIMIT, field, "is past its limit");
    return value;
}

/* A rate or a duration: the coordinator computes with it. */
static double
take_amount(struct decoding *d, double value, const char *field)
{
    if (!isfinite(value) || value < 0)
        refuse(d, DPC_EPROTO, field, "is not a number of at least 0");
    return value;
}

static uint32_t
take_choice(struct decoding *d, uint32_t value, uint32_t first, uint32_t last, const char *field)
{
    if (value < first || value > last)
        refuse(d, DPC_EPROTO, field, "is none that this version knows");
    return value;
}

static struct dpc_hash
take_hash(struct decoding *d, ProtobufCBinaryData bytes, const char *field)
{
    struct dpc_hash hash = dpc_hash_none;
    if (bytes.len == DPC_HASH_BYTES)
        memcpy(hash.bytes, bytes.data, DPC_HASH_BYTES);
    else if (bytes.len != 0)
        refuse(d, DPC_EPROTO, field, "is not 32 bytes");
    return hash;
}

static struct dpc_hash
take_name(struct decoding *d, ProtobufCBinaryData bytes, const char *field)
{
    struct dpc_hash hash = take_hash(d, bytes, field);
    if (dpc_hash_is_none(&hash))
        refuse(d, DPC_EPROTO, field, "is missing");
    return hash;
}

static struct dpc_blob_ref
take_ref(struct decoding *d, const Dpc__Wire__BlobRef *from, const char *field)
{
    struct dpc_blob_ref ref = {.hash = dpc_hash_none};
    if (!from)
        return ref;
    ref.hash = take_hash(d, from->hash, field);
    ref.bytes = take_bytes(d, from->bytes, field);
    if (dpc_hash_is_none(&ref.hash) && ref.bytes)
        refuse(d, DPC_EPROTO, field, "has a size and no hash");
    return ref;
}

static struct dpc_token
take_token(const Dpc__Wire__Token *from)
{
    if (!from)
        return (struct dpc_token){0};
    return (struct dpc_token){.incarnation = from->incarnation, .serial = from->serial};
}

/* A list longer than its array is refused and read as empty. */
static uint32_t
take_count(struct decoding *d, size_t count, size_t most, const char *field)
{
    if (count <= most)
        return (uint32_t)count;
    refuse(d, DPC_ELIMIT, field, "are too many");
    return 0;
}

static void
read_hello(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    const Dpc__Wire__Hello *from = in->hello;
    struct dpc_msg_hello *to = &d->msg.hello;
    to->protocol_min = from->protocol_min;
    to->protocol_max = from->protocol_max;
    if (to->protocol_min > to->protocol_max)
        refuse(d, DPC_EPROTO, "protocol range", "is empty");
    to->name = take_text(d, from->name, DPC_NAME_MAX, "name");
    to->build = take_text(d, from->build, DPC_LABEL_MAX, "build");
    to->numeric_class = take_text(d, from->numeric_class, DPC_LABEL_MAX, "numeric class");
    to->tokens_per_s = take_amount(d, from->tokens_per_s, "tokens per second");
    to->token = take_token(from->token);
    to->handing_in = take_token(from->handing_in);
}

static void
read_welcome(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    const Dpc__Wire__Welcome *from = in->welcome;
    struct dpc_msg_welcome *to = &d->msg.welcome;
    to->protocol = from->protocol;
    to->incarnation = from->incarnation;
    to->experiment = take_text(d, from->experiment, DPC_CONTROL_BYTES_MAX, "experiment");
    to->heartbeat_ms = from->heartbeat_ms;
    to->bulk_endpoint = take_text(d, from->bulk_endpoint, DPC_ENDPOINT_MAX, "bulk endpoint");
    to->mirror = take_text(d, from->mirror, DPC_ENDPOINT_MAX, "mirror");
    /* Of an older release, which says nothing of it, or of a newer one, which may allow more. */
    to->leases = from->leases == 0 ? 1 : from->leases;
    if (to->leases > DPC_LEASES_MAX)
        to->leases = DPC_LEASES_MAX;
}

static void
read_ask(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    d->msg.ask.handing_in = take_token(in->ask->handing_in);
}

static void
read_versions(struct decoding *d, const Dpc__Wire__Lease *from, struct dpc_msg_lease *to)
{
    to->levels_count = take_count(d, from->n_versions, DPC_LEVELS_MAX, "versions");
    if (from->n_modules != from->n_versions) {
        refuse(d, DPC_EPROTO, "modules", "are not as many as versions");
        to->levels_count = 0;
    }
    for (uint32_t i = 0; i < to->levels_count; i++) {
        to->versions[i] = take_ref(d, from->versions[i], "version");
        to->modules[i] = take_u32(d, from->modules[i], DPC_CODEC_MODULE_MAX, "module");
    }
}

static void
read_begins(struct decoding *d, const Dpc__Wire__Lease *from, struct dpc_msg_lease *to)
{
    if (from->n_begins != 0 && from->n_begins != to->levels_count) {
        refuse(d, DPC_EPROTO, "begins", "are not as many as versions");
        return;
    }
    for (size_t i = 0; i < from->n_begins; i++) {
        to->begins[i] = take_ref(d, from->begins[i], "begins");
        if (dpc_hash_is_none(&to->begins[i].hash))
            refuse(d, DPC_EPROTO, "begins", "are not all there");
    }
}

static void
read_changes(struct decoding *d, const Dpc__Wire__Lease *from, struct dpc_msg_lease *to)
{
    uint32_t count = take_count(d, from->n_changes, to->levels_count, "changes");
    for (uint32_t i = 0; i < count; i++) {
        const Dpc__Wire__Change *change = from->changes[i];
        if (change->place >= to->levels_count ||
            !dpc_hash_is_none(&to->changes[change->place].hash)) {
            refuse(d, DPC_EPROTO, "changes", "are not each of another version");
            return;
        }
        to->changes[change->place] = take_ref(d, change->difference, "change");
        to->bases[change->place] = take_ref(d, change->changed, "changed");
        if (dpc_hash_is_none(&to->changes[change->place].hash) ||
            dpc_hash_is_none(&to->bases[change->place].hash))
            refuse(d, DPC_EPROTO, "changes", "are not all there");
    }
}

static void
read_lease(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    const Dpc__Wire__Lease *from = in->lease;
    struct dpc_msg_lease *to = &d->msg.lease;
    to->token = take_token(from->token);
    to->kind = take_choice(d, from->kind, DPC_TASK_TRAIN, DPC_TASK_REROUTE, "kind");
    to->path = take_u32(d, from->path, DPC_CODEC_PATH_MAX, "path");
    to->round = take_u32(d, from->round, DPC_CODEC_ROUND_MAX, "round");
    to->step_first = from->step_first;
    to->steps_count = take_u32(d, from->steps_count, DPC_STEPS_MAX, "steps");
    to->from = from->from;
    to->to = from->to;
    if (to->from > to->to)
        refuse(d, DPC_EPROTO, "document range", "ends before it begins");
    read_versions(d, from, to);
    read_begins(d, from, to);
    read_changes(d, from, to);
    to->data = take_ref(d, from->data, "data");
    to->state = take_ref(d, from->state, "state");
    to->kept = take_ref(d, from->kept, "kept");
    to->time_left_ms = from->time_left_ms;
}

static void
read_wait(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    d->msg.wait.retry_ms = in->wait->retry_ms;
    d->msg.wait.finished = in->wait->finished;
    d->msg.wait.reason = take_text(d, in->wait->reason, DPC_TEXT_MAX, "reason");
}

static void
read_heartbeat(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    const Dpc__Wire__Heartbeat *from = in->heartbeat;
    d->msg.heartbeat.token = take_token(from->token);
    d->msg.heartbeat.steps_done = from->steps_done;
    d->msg.heartbeat.tokens_per_s = take_amount(d, from->tokens_per_s, "tokens per second");
}

static void
read_verdict(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    const Dpc__Wire__Verdict *from = in->submitted;
    struct dpc_msg_verdict *to = &d->msg.verdict;
    to->token = take_token(from->token);
    to->verdict =
        take_choice(d, from->verdict, DPC_VERDICT_CONTINUE, DPC_VERDICT_REFUSED, "verdict");
    to->text = take_text(d, from->text, DPC_TEXT_MAX, "text");
    to->missing_count = take_count(d, from->n_missing, DPC_CODEC_MISSING_MAX, "missing blobs");
    for (uint32_t i = 0; i < to->missing_count; i++)
        to->missing[i] = take_name(d, from->missing[i], "missing blob");
}

static void
read_submit(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    const Dpc__Wire__Submit *from = in->submit;
    struct dpc_msg_submit *to = &d->msg.submit;
    to->token = take_token(from->token);
    to->kind = take_choice(d, from->kind, DPC_TASK_TRAIN, DPC_TASK_REROUTE, "kind");
    to->path = take_u32(d, from->path, DPC_CODEC_PATH_MAX, "path");
    to->round = take_u32(d, from->round, DPC_CODEC_ROUND_MAX, "round");
    /* Of other kinds than training they are documents, and one lease may have all. */
    to->steps_count =
        take_u32(d, from->steps_count,
                 to->kind == DPC_TASK_TRAIN ? DPC_STEPS_MAX : DPC_DOCUMENTS_MAX, "steps");
    to->tokens = from->tokens;
    to->loss = from->loss; /* losses and norms may be anything here: the core judges them */
    to->loss_last = from->loss_last;
    to->seconds = take_amount(d, from->seconds, "seconds");
    to->parts_count = take_count(d, from->n_parts, DPC_LEVELS_MAX, "parts");
    for (uint32_t i = 0; i < to->parts_count; i++) {
        to->parts[i].module = take_u32(d, from->parts[i]->module, DPC_CODEC_MODULE_MAX, "module");
        to->parts[i].delta = take_ref(d, from->parts[i]->delta, "delta");
        to->parts[i].norm = from->parts[i]->norm;
    }
    to->state = take_ref(d, from->state, "state");
    to->result = take_ref(d, from->result, "result");
    to->began = take_hash(d, from->began, "began");
    to->kept = take_ref(d, from->kept, "kept");
}

static void
read_give_back(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    d->msg.give_back.token = take_token(in->give_back->token);
    d->msg.give_back.reason = take_text(d, in->give_back->reason, DPC_TEXT_MAX, "reason");
    d->msg.give_back.not_finite = in->give_back->not_finite;
    d->msg.give_back.too_large = in->give_back->too_large;
}

static void
read_nothing(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    (void)d;
    (void)in;
}

static void
read_error(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    d->msg.error.code = in->error->code;
    d->msg.error.text = take_text(d, in->error->text, DPC_TEXT_MAX, "text");
}

static void
read_enrol(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    struct dpc_hash key = take_name(d, in->enrol->key, "key");
    memcpy(d->msg.enrol.key.bytes, key.bytes, DPC_KEY_BYTES);
    d->msg.enrol.name = take_text(d, in->enrol->name, DPC_NAME_MAX, "name");
    if (!d->msg.enrol.name[0])
        refuse(d, DPC_EPROTO, "name", "is missing");
}

static void
read_enrolled(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    const Dpc__Wire__Enrolled *from = in->enrolled;
    d->msg.enrolled.state =
        take_choice(d, from->state, DPC_ENROLMENT_TAKEN, DPC_ENROLMENT_REFUSED, "state");
    d->msg.enrolled.experiment = take_text(d, from->experiment, DPC_NAME_MAX, "experiment");
    d->msg.enrolled.retry_ms = from->retry_ms;
}

static void
read_fetch(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    d->msg.fetch.hash = take_name(d, in->fetch->hash, "hash");
    d->msg.fetch.offset = take_bytes(d, in->fetch->offset, "offset");
    d->msg.fetch.bytes = take_u32(d, in->fetch->bytes, (uint32_t)DPC_CHUNK_BYTES_MAX, "bytes");
    if (d->msg.fetch.bytes == 0)
        refuse(d, DPC_EPROTO, "bytes", "are none");
}

static void
read_chunk(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    d->msg.chunk.hash = take_name(d, in->chunk->hash, "hash");
    d->msg.chunk.offset = take_bytes(d, in->chunk->offset, "offset");
    d->msg.chunk.total = take_bytes(d, in->chunk->total, "total");
}

static void
read_offer(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    d->msg.offer.hash = take_name(d, in->offer->hash, "hash");
    d->msg.offer.total = take_bytes(d, in->offer->total, "total");
}

static void
read_put(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    d->msg.put.hash = take_name(d, in->put->hash, "hash");
    d->msg.put.offset = take_bytes(d, in->put->offset, "offset");
    d->msg.put.total = take_bytes(d, in->put->total, "total");
}

static void
read_have(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    d->msg.have.hash = take_name(d, in->have->hash, "hash");
    d->msg.have.offset = take_bytes(d, in->have->offset, "offset");
    d->msg.have.complete = in->have->complete;
}

static void
read_admin_request(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    const Dpc__Wire__AdminRequest *from = in->admin_request;
    d->msg.admin_request.verb = take_text(d, from->verb, DPC_NAME_MAX, "verb");
    d->msg.admin_request.argument = take_text(d, from->argument, DPC_TEXT_MAX, "argument");
    d->msg.admin_request.after = take_text(d, from->after, DPC_TEXT_MAX, "after");
}

static void
read_admin_reply(struct decoding *d, const Dpc__Wire__Envelope *in)
{
    const Dpc__Wire__AdminReply *from = in->admin_reply;
    d->msg.admin_reply.code = from->code;
    d->msg.admin_reply.text = take_text(d, from->text, DPC_TEXT_MAX, "text");
    d->msg.admin_reply.json = take_text(d, from->json, DPC_ADMIN_BYTES_MAX, "json");
    d->msg.admin_reply.next = take_text(d, from->next, DPC_TEXT_MAX, "next");
}

static void (*const readers[])(struct decoding *, const Dpc__Wire__Envelope *) = {
    [DPC_MSG_HELLO] = read_hello,
    [DPC_MSG_WELCOME] = read_welcome,
    [DPC_MSG_ASK] = read_ask,
    [DPC_MSG_LEASE] = read_lease,
    [DPC_MSG_WAIT] = read_wait,
    [DPC_MSG_HEARTBEAT] = read_heartbeat,
    [DPC_MSG_HEARTBEAT_ACK] = read_verdict,
    [DPC_MSG_SUBMIT] = read_submit,
    [DPC_MSG_SUBMITTED] = read_verdict,
    [DPC_MSG_GIVE_BACK] = read_give_back,
    [DPC_MSG_LEAVE] = read_nothing,
    [DPC_MSG_ACK] = read_nothing,
    [DPC_MSG_ERROR] = read_error,
    [DPC_MSG_ENROL] = read_enrol,
    [DPC_MSG_ENROLLED] = read_enrolled,
    [DPC_MSG_FETCH] = read_fetch,
    [DPC_MSG_CHUNK] = read_chunk,
    [DPC_MSG_OFFER] = read_offer,
    [DPC_MSG_PUT] = read_put,
    [DPC_MSG_HAVE] = read_have,
    [DPC_MSG_ADMIN_REQUEST] = read_admin_request,
    [DPC_MSG_ADMIN_REPLY] = read_admin_reply,
};

static const Dpc__Wire__Envelope *
parse(const void *frame, size_t len, struct dpc_msg_arena *arena)
{
    arena->used = 0;
    arena->overrun = false;
    return dpc__wire__envelope__unpack(&arena->allocator, len, frame);
}

/* A header without a message that we know: of a newer program when something unknown stands in it.
 */
static int
refuse_empty(const Dpc__Wire__Envelope *in, struct dpc_error *err)
{
    if (in->base.n_unknown_fields)
        return dpc_error_set(err, DPC_EVERSION,
                             "bad message: type %" PRIu32 " is none that this version knows",
                             in->base.unknown_fields[0].tag);
    return dpc_error_set(err, DPC_EPROTO, "bad message: it has no type");
}

int
dpc_msg_decode(const void *frame, size_t len, struct dpc_msg_arena *arena, struct dpc_msg *ret_msg,
               struct dpc_error *err)
{
    if (len > DPC_ADMIN_BYTES_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "bad message: header of %zu bytes", len);
    const Dpc__Wire__Envelope *in = parse(frame, len, arena);
    if (!in && arena->overrun)
        return dpc_error_set(err, DPC_ELIMIT, "bad message: its header needs too much memory");
    if (!in)
        return dpc_error_set(err, DPC_EPROTO, "bad message: its header is no protocol buffer");
    if (in->message_case == DPC__WIRE__ENVELOPE__MESSAGE__NOT_SET)
        return refuse_empty(in, err);
    struct decoding d = {.code = DPC_OK, .err = err};
    d.msg.type = (enum dpc_msg_type)in->message_case;
    d.msg.request = in->request;
    if (len > dpc_codec_header_max(d.msg.type))
        refuse(&d, DPC_ELIMIT, "header", "is too large");
    readers[in->message_case](&d, in);
    if (d.code != DPC_OK)
        return d.code;
    *ret_msg = d.msg;
    return DPC_OK;
}
