/* SPDX-License-Identifier: Apache-2.0
 * Plain structs to header frames. The protobuf structs live on the stack, in one scratch that lasts
 * until they are packed; one `fill_` function a message type says which field goes where. What a
 * decoder would refuse is refused here already, so that the fault shows where it was made. */
#include <string.h>

#include "proto/codec.h"

struct scratch {
    Dpc__Wire__Envelope envelope;
    union {
        Dpc__Wire__Hello hello;
        Dpc__Wire__Welcome welcome;
        Dpc__Wire__Ask ask;
        Dpc__Wire__Lease lease;
        Dpc__Wire__Wait wait;
        Dpc__Wire__Heartbeat heartbeat;
        Dpc__Wire__Verdict verdict;
        Dpc__Wire__Submit submit;
        Dpc__Wire__GiveBack give_back;
        Dpc__Wire__Leave leave;
        Dpc__Wire__Ack ack;
        Dpc__Wire__Error error;
        Dpc__Wire__Enrol enrol;
        Dpc__Wire__Enrolled enrolled;
        Dpc__Wire__Fetch fetch;
        Dpc__Wire__Chunk chunk;
        Dpc__Wire__Offer offer;
        Dpc__Wire__Put put;
        Dpc__Wire__Have have;
        Dpc__Wire__AdminRequest admin_request;
        Dpc__Wire__AdminReply admin_reply;
    };
    Dpc__Wire__Token token, handing_in;
    /* A lease's versions, begins, changes and what they are to, data, states. */
    Dpc__Wire__BlobRef refs[4 * DPC_LEVELS_MAX + 3];
    size_t refs_used;
    Dpc__Wire__BlobRef *versions[DPC_LEVELS_MAX], *begins[DPC_LEVELS_MAX];
    uint32_t modules[DPC_LEVELS_MAX];
    Dpc__Wire__Change changes[DPC_LEVELS_MAX], *change_list[DPC_LEVELS_MAX];
    Dpc__Wire__Part parts[DPC_LEVELS_MAX];
    Dpc__Wire__Part *part_list[DPC_LEVELS_MAX];
    ProtobufCBinaryData missing[DPC_CODEC_MISSING_MAX];
    const char *too_large; /* the first field that passes its limit */
};

/* protobuf-c's structs are not const; packing only reads them. */
static char *
text(struct scratch *s, const char *from, size_t size, const char *field)
{
    if (!from)
        from = "";
    if (strnlen(from, size) == size && !s->too_large)
        s->too_large = field;
    return (char *)(uintptr_t)from;
}

static uint32_t
count(struct scratch *s, uint32_t value, uint32_t most, const char *field)
{
    if (value <= most)
        return value;
    if (!s->too_large)
        s->too_large = field;
    return 0;
}

static ProtobufCBinaryData
hash(const struct dpc_hash *from)
{
    if (dpc_hash_is_none(from))
        return (ProtobufCBinaryData){.len = 0, .data = NULL};
    return (ProtobufCBinaryData){.len = DPC_HASH_BYTES, .data = (uint8_t *)(uintptr_t)from->bytes};
}

static Dpc__Wire__BlobRef *
ref(struct scratch *s, const struct dpc_blob_ref *from)
{
    if (dpc_hash_is_none(&from->hash))
        return NULL;
    Dpc__Wire__BlobRef *to = &s->refs[s->refs_used++];
    dpc__wire__blob_ref__init(to);
    to->hash = hash(&from->hash);
    to->bytes = from->bytes;
    return to;
}

/* An element of a list has no absent form: none is an empty BlobRef. */
static Dpc__Wire__BlobRef *
ref_in_list(struct scratch *s, const struct dpc_blob_ref *from)
{
    Dpc__Wire__BlobRef *to = ref(s, from);
    if (!to) {
        to = &s->refs[s->refs_used++];
        dpc__wire__blob_ref__init(to);
    }
    return to;
}

static Dpc__Wire__Token *
put_token(Dpc__Wire__Token *to, struct dpc_token from)
{
    if (dpc_token_equal(from, (struct dpc_token){0}))
        return NULL;
    dpc__wire__token__init(to);
    to->incarnation = from.incarnation;
    to->serial = from.serial;
    return to;
}

static Dpc__Wire__Token *
token(struct scratch *s, struct dpc_token from)
{
    return put_token(&s->token, from);
}

static void
fill_hello(const struct dpc_msg *msg, struct scratch *s)
{
    const struct dpc_msg_hello *from = &msg->hello;
    dpc__wire__hello__init(&s->hello);
    s->hello.protocol_min = from->protocol_min;
    s->hello.protocol_max = from->protocol_max;
    s->hello.name = text(s, from->name, DPC_NAME_MAX, "name");
    s->hello.build = text(s, from->build, DPC_LABEL_MAX, "build");
    s->hello.numeric_class = text(s, from->numeric_class, DPC_LABEL_MAX, "numeric class");
    s->hello.tokens_per_s = from->tokens_per_s;
    s->hello.token = token(s, from->token);
    s->hello.handing_in = put_token(&s->handing_in, from->handing_in);
    s->envelope.hello = &s->hello;
}

static void
fill_welcome(const struct dpc_msg *msg, struct scratch *s)
{
    const struct dpc_msg_welcome *from = &msg->welcome;
    dpc__wire__welcome__init(&s->welcome);
    s->welcome.protocol = from->protocol;
    s->welcome.incarnation = from->incarnation;
    s->welcome.experiment = text(s, from->experiment, DPC_CONTROL_BYTES_MAX, "experiment");
    s->welcome.heartbeat_ms = from->heartbeat_ms;
    s->welcome.bulk_endpoint = text(s, from->bulk_endpoint, DPC_ENDPOINT_MAX, "bulk endpoint");
    s->welcome.mirror = text(s, from->mirror, DPC_ENDPOINT_MAX, "mirror");
    s->welcome.leases = count(s, from->leases, DPC_LEASES_MAX, "leases");
    s->envelope.welcome = &s->welcome;
}

static void
fill_ask(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__ask__init(&s->ask);
    s->ask.handing_in = token(s, msg->ask.handing_in);
    s->envelope.ask = &s->ask;
}

static void
fill_lease(const struct dpc_msg *msg, struct scratch *s)
{
    const struct dpc_msg_lease *from = &msg->lease;
    Dpc__Wire__Lease *to = &s->lease;
    dpc__wire__lease__init(to);
    to->token = token(s, from->token);
    to->kind = from->kind;
    to->path = from->path;
    to->round = from->round;
    to->step_first = from->step_first;
    to->steps_count = from->steps_count;
    to->from = from->from;
    to->to = from->to;
    size_t levels = count(s, from->levels_count, DPC_LEVELS_MAX, "levels");
    for (size_t i = 0; i < levels; i++) {
        s->versions[i] = ref_in_list(s, &from->versions[i]);
        s->modules[i] = from->modules[i];
    }
    to->n_versions = to->n_modules = levels;
    to->versions = s->versions;
    to->modules = s->modules;
    to->n_begins = dpc_hash_is_none(&from->begins[0].hash) ? 0 : levels;
    for (size_t i = 0; i < to->n_begins; i++)
        s->begins[i] = ref_in_list(s, &from->begins[i]);
    to->begins = s->begins;
    for (uint32_t i = 0; i < levels; i++) {
        if (dpc_hash_is_none(&from->changes[i].hash))
            continue;
        Dpc__Wire__Change *change = &s->changes[to->n_changes];
        dpc__wire__change__init(change);
        change->place = i;
        change->difference = ref_in_list(s, &from->changes[i]);
        change->changed = ref_in_list(s, &from->bases[i]);
        s->change_list[to->n_changes++] = change;
    }
    to->changes = s->change_list;
    to->data = ref(s, &from->data);
    to->state = ref(s, &from->state);
    to->kept = ref(s, &from->kept);
    to->time_left_ms = from->time_left_ms;
    s->envelope.lease = to;
}

static void
fill_wait(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__wait__init(&s->wait);
    s->wait.retry_ms = msg->wait.retry_ms;
    s->wait.finished = msg->wait.finished;
    s->wait.reason = text(s, msg->wait.reason, DPC_TEXT_MAX, "reason");
    s->envelope.wait = &s->wait;
}

static void
fill_heartbeat(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__heartbeat__init(&s->heartbeat);
    s->heartbeat.token = token(s, msg->heartbeat.token);
    s->heartbeat.steps_done = msg->heartbeat.steps_done;
    s->heartbeat.tokens_per_s = msg->heartbeat.tokens_per_s;
    s->envelope.heartbeat = &s->heartbeat;
}

/* Both messages that carry a verdict: the union's pointers have one type and one place. */
static void
fill_verdict(const struct dpc_msg *msg, struct scratch *s)
{
    const struct dpc_msg_verdict *from = &msg->verdict;
    dpc__wire__verdict__init(&s->verdict);
    s->verdict.token = token(s, from->token);
    s->verdict.verdict = from->verdict;
    s->verdict.text = text(s, from->text, DPC_TEXT_MAX, "text");
    s->verdict.n_missing = count(s, from->missing_count, DPC_CODEC_MISSING_MAX, "missing blobs");
    for (size_t i = 0; i < s->verdict.n_missing; i++)
        s->missing[i] = hash(&from->missing[i]);
    s->verdict.missing = s->missing;
    s->envelope.submitted = &s->verdict;
}

static void
fill_parts(const struct dpc_msg_submit *from, struct scratch *s)
{
    size_t parts = count(s, from->parts_count, DPC_LEVELS_MAX, "parts");
    for (size_t i = 0; i < parts; i++) {
        dpc__wire__part__init(&s->parts[i]);
        s->parts[i].module = from->parts[i].module;
        s->parts[i].delta = ref(s, &from->parts[i].delta);
        s->parts[i].norm = from->parts[i].norm;
        s->part_list[i] = &s->parts[i];
    }
    s->submit.n_parts = parts;
    s->submit.parts = s->part_list;
}

static void
fill_submit(const struct dpc_msg *msg, struct scratch *s)
{
    const struct dpc_msg_submit *from = &msg->submit;
    dpc__wire__submit__init(&s->submit);
    s->submit.token = token(s, from->token);
    s->submit.kind = from->kind;
    s->submit.path = from->path;
    s->submit.round = from->round;
    s->submit.steps_count = from->steps_count;
    s->submit.tokens = from->tokens;
    s->submit.loss = from->loss;
    s->submit.loss_last = from->loss_last;
    s->submit.seconds = from->seconds;
    fill_parts(from, s);
    s->submit.state = ref(s, &from->state);
    s->submit.result = ref(s, &from->result);
    s->submit.kept = ref(s, &from->kept);
    s->submit.began = hash(&from->began);
    s->envelope.submit = &s->submit;
}

static void
fill_give_back(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__give_back__init(&s->give_back);
    s->give_back.token = token(s, msg->give_back.token);
    s->give_back.reason = text(s, msg->give_back.reason, DPC_TEXT_MAX, "reason");
    s->give_back.not_finite = msg->give_back.not_finite;
    s->give_back.too_large = msg->give_back.too_large;
    s->envelope.give_back = &s->give_back;
}

static void
fill_leave(const struct dpc_msg *msg, struct scratch *s)
{
    (void)msg;
    dpc__wire__leave__init(&s->leave);
    s->envelope.leave = &s->leave;
}

static void
fill_ack(const struct dpc_msg *msg, struct scratch *s)
{
    (void)msg;
    dpc__wire__ack__init(&s->ack);
    s->envelope.ack = &s->ack;
}

static void
fill_error(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__error__init(&s->error);
    s->error.code = msg->error.code;
    s->error.text = text(s, msg->error.text, DPC_TEXT_MAX, "text");
    s->envelope.error = &s->error;
}

static void
fill_enrol(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__enrol__init(&s->enrol);
    s->enrol.key.len = DPC_KEY_BYTES;
    s->enrol.key.data = (uint8_t *)(uintptr_t)msg->enrol.key.bytes;
    s->enrol.name = text(s, msg->enrol.name, DPC_NAME_MAX, "name");
    s->envelope.enrol = &s->enrol;
}

static void
fill_enrolled(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__enrolled__init(&s->enrolled);
    s->enrolled.state = msg->enrolled.state;
    s->enrolled.experiment = text(s, msg->enrolled.experiment, DPC_NAME_MAX, "experiment");
    s->enrolled.retry_ms = msg->enrolled.retry_ms;
    s->envelope.enrolled = &s->enrolled;
}

static void
fill_fetch(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__fetch__init(&s->fetch);
    s->fetch.hash = hash(&msg->fetch.hash);
    s->fetch.offset = msg->fetch.offset;
    s->fetch.bytes = count(s, msg->fetch.bytes, (uint32_t)DPC_CHUNK_BYTES_MAX, "bytes");
    s->envelope.fetch = &s->fetch;
}

static void
fill_chunk(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__chunk__init(&s->chunk);
    s->chunk.hash = hash(&msg->chunk.hash);
    s->chunk.offset = msg->chunk.offset;
    s->chunk.total = msg->chunk.total;
    s->envelope.chunk = &s->chunk;
}

static void
fill_offer(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__offer__init(&s->offer);
    s->offer.hash = hash(&msg->offer.hash);
    s->offer.total = msg->offer.total;
    s->envelope.offer = &s->offer;
}

static void
fill_put(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__put__init(&s->put);
    s->put.hash = hash(&msg->put.hash);
    s->put.offset = msg->put.offset;
    s->put.total = msg->put.total;
    s->envelope.put = &s->put;
}

static void
fill_have(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__have__init(&s->have);
    s->have.hash = hash(&msg->have.hash);
    s->have.offset = msg->have.offset;
    s->have.complete = msg->have.complete;
    s->envelope.have = &s->have;
}

static void
fill_admin_request(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__admin_request__init(&s->admin_request);
    s->admin_request.verb = text(s, msg->admin_request.verb, DPC_NAME_MAX, "verb");
    s->admin_request.argument = text(s, msg->admin_request.argument, DPC_TEXT_MAX, "argument");
    s->admin_request.after = text(s, msg->admin_request.after, DPC_TEXT_MAX, "after");
    s->envelope.admin_request = &s->admin_request;
}

static void
fill_admin_reply(const struct dpc_msg *msg, struct scratch *s)
{
    dpc__wire__admin_reply__init(&s->admin_reply);
    s->admin_reply.code = msg->admin_reply.code;
    s->admin_reply.text = text(s, msg->admin_reply.text, DPC_TEXT_MAX, "text");
    s->admin_reply.json = text(s, msg->admin_reply.json, DPC_ADMIN_BYTES_MAX, "json");
    s->admin_reply.next = text(s, msg->admin_reply.next, DPC_TEXT_MAX, "next");
    s->envelope.admin_reply = &s->admin_reply;
}

static void (*const fillers[])(const struct dpc_msg *, struct scratch *) = {
    [DPC_MSG_HELLO] = fill_hello,
    [DPC_MSG_WELCOME] = fill_welcome,
    [DPC_MSG_ASK] = fill_ask,
    [DPC_MSG_LEASE] = fill_lease,
    [DPC_MSG_WAIT] = fill_wait,
    [DPC_MSG_HEARTBEAT] = fill_heartbeat,
    [DPC_MSG_HEARTBEAT_ACK] = fill_verdict,
    [DPC_MSG_SUBMIT] = fill_submit,
    [DPC_MSG_SUBMITTED] = fill_verdict,
    [DPC_MSG_GIVE_BACK] = fill_give_back,
    [DPC_MSG_LEAVE] = fill_leave,
    [DPC_MSG_ACK] = fill_ack,
    [DPC_MSG_ERROR] = fill_error,
    [DPC_MSG_ENROL] = fill_enrol,
    [DPC_MSG_ENROLLED] = fill_enrolled,
    [DPC_MSG_FETCH] = fill_fetch,
    [DPC_MSG_CHUNK] = fill_chunk,
    [DPC_MSG_OFFER] = fill_offer,
    [DPC_MSG_PUT] = fill_put,
    [DPC_MSG_HAVE] = fill_have,
    [DPC_MSG_ADMIN_REQUEST] = fill_admin_request,
    [DPC_MSG_ADMIN_REPLY] = fill_admin_reply,
};

/* The case of the envelope's oneof is the message type's number, in both directions. */
_Static_assert((int)DPC__WIRE__ENVELOPE__MESSAGE_HELLO == (int)DPC_MSG_HELLO, "wire.proto");
_Static_assert((int)DPC__WIRE__ENVELOPE__MESSAGE_SUBMIT == (int)DPC_MSG_SUBMIT, "wire.proto");
_Static_assert((int)DPC__WIRE__ENVELOPE__MESSAGE_SUBMITTED == (int)DPC_MSG_SUBMITTED, "wire.proto");
_Static_assert((int)DPC__WIRE__ENVELOPE__MESSAGE_ERROR == (int)DPC_MSG_ERROR, "wire.proto");
_Static_assert((int)DPC__WIRE__ENVELOPE__MESSAGE_ENROL == (int)DPC_MSG_ENROL, "wire.proto");
_Static_assert((int)DPC__WIRE__ENVELOPE__MESSAGE_ENROLLED == (int)DPC_MSG_ENROLLED, "wire.proto");
_Static_assert((int)DPC__WIRE__ENVELOPE__MESSAGE_HAVE == (int)DPC_MSG_HAVE, "wire.proto");
_Static_assert((int)DPC__WIRE__ENVELOPE__MESSAGE_ADMIN_REPLY == (int)DPC_MSG_ADMIN_REPLY,
               "wire.proto");

struct sink {
    ProtobufCBuffer base;
    struct dpc_buf *out;
};

static void
sink_append(ProtobufCBuffer *buffer, size_t len, const uint8_t *bytes)
{
    dpc_buf_put(((struct sink *)buffer)->out, bytes, len);
}

int
dpc_msg_encode(const struct dpc_msg *msg, struct dpc_buf *out, struct dpc_error *err)
{
    size_t type = (size_t)msg->type;
    if (type >= sizeof fillers / sizeof *fillers || !fillers[type])
        return dpc_error_set(err, DPC_EINVAL, "could not encode: %zu is no message type", type);
    struct scratch s = {.refs_used = 0};
    dpc__wire__envelope__init(&s.envelope);
    s.envelope.request = msg->request;
    s.envelope.message_case = (Dpc__Wire__Envelope__MessageCase)type;
    fillers[type](msg, &s);
    if (s.too_large)
        return dpc_error_set(err, DPC_ELIMIT, "could not encode %s: %s is too large",
                             dpc_msg_name(msg->type), s.too_large);
    size_t len = protobuf_c_message_get_packed_size(&s.envelope.base);
    if (len > dpc_codec_header_max(msg->type))
        return dpc_error_set(err, DPC_ELIMIT, "could not encode %s: %zu bytes, at most %zu",
                             dpc_msg_name(msg->type), len, dpc_codec_header_max(msg->type));
    struct sink sink = {.base = {.append = sink_append}, .out = out};
    protobuf_c_message_pack_to_buffer(&s.envelope.base, &sink.base);
    if (out->failed)
        return dpc_error_set(err, DPC_ELIMIT, "could not encode %s: the buffer is full",
                             dpc_msg_name(msg->type));
    return DPC_OK;
}
