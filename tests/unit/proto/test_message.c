/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/message.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "tests/unit/harness.h"
#include "tests/unit/proto/samples.h"

enum { ARENA_BYTES = 256 * 1024, ADMIN_ARENA_BYTES = 2 * 1024 * 1024 };

static bool
same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool
same_ref(const struct dpc_blob_ref *a, const struct dpc_blob_ref *b)
{
    return dpc_hash_equal(&a->hash, &b->hash) && a->bytes == b->bytes;
}

static bool
same_lease(const struct dpc_msg_lease *a, const struct dpc_msg_lease *b)
{
    bool same = dpc_token_equal(a->token, b->token) && a->kind == b->kind && a->path == b->path &&
                a->round == b->round && a->step_first == b->step_first &&
                a->steps_count == b->steps_count && a->from == b->from && a->to == b->to &&
                a->levels_count == b->levels_count && same_ref(&a->data, &b->data) &&
                same_ref(&a->state, &b->state) && same_ref(&a->kept, &b->kept) &&
                a->time_left_ms == b->time_left_ms;
    for (uint32_t i = 0; same && i < a->levels_count; i++)
        same = same_ref(&a->versions[i], &b->versions[i]) && a->modules[i] == b->modules[i] &&
               same_ref(&a->begins[i], &b->begins[i]) && same_ref(&a->changes[i], &b->changes[i]) &&
               same_ref(&a->bases[i], &b->bases[i]);
    return same;
}

static bool
same_submit(const struct dpc_msg_submit *a, const struct dpc_msg_submit *b)
{
    bool same = dpc_token_equal(a->token, b->token) && a->kind == b->kind && a->path == b->path &&
                a->round == b->round && a->steps_count == b->steps_count &&
                a->tokens == b->tokens && a->loss == b->loss && a->loss_last == b->loss_last &&
                a->seconds == b->seconds && a->parts_count == b->parts_count &&
                same_ref(&a->state, &b->state) && same_ref(&a->result, &b->result) &&
                same_ref(&a->kept, &b->kept) && dpc_hash_equal(&a->began, &b->began);
    for (uint32_t i = 0; same && i < a->parts_count; i++)
        same = a->parts[i].module == b->parts[i].module && a->parts[i].norm == b->parts[i].norm &&
               same_ref(&a->parts[i].delta, &b->parts[i].delta);
    return same;
}

static bool
same_verdict(const struct dpc_msg_verdict *a, const struct dpc_msg_verdict *b)
{
    bool same = dpc_token_equal(a->token, b->token) && a->verdict == b->verdict &&
                same_text(a->text, b->text) && a->missing_count == b->missing_count;
    for (uint32_t i = 0; same && i < a->missing_count; i++)
        same = dpc_hash_equal(&a->missing[i], &b->missing[i]);
    return same;
}

static bool
same_session(const struct dpc_msg *a, const struct dpc_msg *b)
{
    const struct dpc_msg_hello *h = &a->hello, *k = &b->hello;
    const struct dpc_msg_welcome *w = &a->welcome, *x = &b->welcome;
    if (a->type == DPC_MSG_HELLO)
        return h->protocol_min == k->protocol_min && h->protocol_max == k->protocol_max &&
               same_text(h->name, k->name) && same_text(h->build, k->build) &&
               same_text(h->numeric_class, k->numeric_class) &&
               h->tokens_per_s == k->tokens_per_s && dpc_token_equal(h->token, k->token) &&
               dpc_token_equal(h->handing_in, k->handing_in);
    if (a->type == DPC_MSG_WELCOME)
        return w->protocol == x->protocol && w->incarnation == x->incarnation &&
               same_text(w->experiment, x->experiment) && w->heartbeat_ms == x->heartbeat_ms &&
               same_text(w->bulk_endpoint, x->bulk_endpoint) && same_text(w->mirror, x->mirror) &&
               (w->leases ? w->leases : 1) == x->leases; /* none said: an older release */
    if (a->type == DPC_MSG_ASK)
        return dpc_token_equal(a->ask.handing_in, b->ask.handing_in);
    return dpc_token_equal(a->heartbeat.token, b->heartbeat.token) &&
           a->heartbeat.steps_done == b->heartbeat.steps_done &&
           a->heartbeat.tokens_per_s == b->heartbeat.tokens_per_s;
}

static bool
same_bulk(const struct dpc_msg *a, const struct dpc_msg *b)
{
    if (a->type == DPC_MSG_FETCH)
        return dpc_hash_equal(&a->fetch.hash, &b->fetch.hash) &&
               a->fetch.offset == b->fetch.offset && a->fetch.bytes == b->fetch.bytes;
    if (a->type == DPC_MSG_CHUNK)
        return dpc_hash_equal(&a->chunk.hash, &b->chunk.hash) &&
               a->chunk.offset == b->chunk.offset && a->chunk.total == b->chunk.total;
    if (a->type == DPC_MSG_OFFER)
        return dpc_hash_equal(&a->offer.hash, &b->offer.hash) && a->offer.total == b->offer.total;
    if (a->type == DPC_MSG_PUT)
        return dpc_hash_equal(&a->put.hash, &b->put.hash) && a->put.offset == b->put.offset &&
               a->put.total == b->put.total;
    return dpc_hash_equal(&a->have.hash, &b->have.hash) && a->have.offset == b->have.offset &&
           a->have.complete == b->have.complete;
}

static bool
same_texts(const struct dpc_msg *a, const struct dpc_msg *b)
{
    switch (a->type) {
    case DPC_MSG_WAIT:
        return a->wait.retry_ms == b->wait.retry_ms && a->wait.finished == b->wait.finished &&
               same_text(a->wait.reason, b->wait.reason);
    case DPC_MSG_GIVE_BACK:
        return dpc_token_equal(a->give_back.token, b->give_back.token) &&
               same_text(a->give_back.reason, b->give_back.reason) &&
               a->give_back.not_finite == b->give_back.not_finite &&
               a->give_back.too_large == b->give_back.too_large;
    case DPC_MSG_ERROR:
        return a->error.code == b->error.code && same_text(a->error.text, b->error.text);
    case DPC_MSG_ENROL:
        return memcmp(&a->enrol.key, &b->enrol.key, sizeof a->enrol.key) == 0 &&
               same_text(a->enrol.name, b->enrol.name);
    case DPC_MSG_ENROLLED:
        return a->enrolled.state == b->enrolled.state &&
               same_text(a->enrolled.experiment, b->enrolled.experiment) &&
               a->enrolled.retry_ms == b->enrolled.retry_ms;
    case DPC_MSG_ADMIN_REQUEST:
        return same_text(a->admin_request.verb, b->admin_request.verb) &&
               same_text(a->admin_request.argument, b->admin_request.argument) &&
               same_text(a->admin_request.after, b->admin_request.after);
    case DPC_MSG_ADMIN_REPLY:
        return a->admin_reply.code == b->admin_reply.code &&
               same_text(a->admin_reply.text, b->admin_reply.text) &&
               same_text(a->admin_reply.json, b->admin_reply.json) &&
               same_text(a->admin_reply.next, b->admin_reply.next);
    default:
        return a->type == DPC_MSG_LEAVE || a->type == DPC_MSG_ACK;
    }
}

static bool
same(const struct dpc_msg *a, const struct dpc_msg *b)
{
    if (a->type != b->type || a->request != b->request)
        return false;
    if (a->type == DPC_MSG_LEASE)
        return same_lease(&a->lease, &b->lease);
    if (a->type == DPC_MSG_SUBMIT)
        return same_submit(&a->submit, &b->submit);
    if (a->type == DPC_MSG_HEARTBEAT_ACK || a->type == DPC_MSG_SUBMITTED)
        return same_verdict(&a->verdict, &b->verdict);
    if (a->type == DPC_MSG_HELLO || a->type == DPC_MSG_WELCOME || a->type == DPC_MSG_ASK ||
        a->type == DPC_MSG_HEARTBEAT)
        return same_session(a, b);
    if (a->type >= DPC_MSG_FETCH && a->type <= DPC_MSG_HAVE)
        return same_bulk(a, b);
    return same_texts(a, b);
}

static void
encode(const struct dpc_msg *msg, struct dpc_buf *buf)
{
    struct dpc_error err = {.code = DPC_OK};
    dpc_buf_init(buf, 0);
    CU_ASSERT_EQUAL_FATAL(dpc_msg_encode(msg, buf, &err), DPC_OK);
}

static int
decode(const struct dpc_buf *buf, struct dpc_msg_arena *arena, struct dpc_msg *ret_msg)
{
    struct dpc_error err = {.code = DPC_OK};
    int code = dpc_msg_decode(buf->data, buf->len, arena, ret_msg, &err);
    if (code != DPC_OK) {
        CU_ASSERT_EQUAL(err.code, code);
        CU_ASSERT(strlen(err.text) > 0);
    }
    return code;
}

static void
every_type_comes_back_as_it_went(void)
{
    struct dpc_msg_arena *arena = dpc_msg_arena_create(ADMIN_ARENA_BYTES);
    for (size_t i = 0; i < dpc_sample_types_count; i++) {
        for (int kind = 0; kind < DPC_SAMPLE_KINDS; kind++) {
            struct dpc_msg sent, got;
            struct dpc_buf buf;
            dpc_sample(dpc_sample_types[i], kind, &sent);
            encode(&sent, &buf);
            CU_ASSERT_EQUAL_FATAL(decode(&buf, arena, &got), DPC_OK);
            CU_ASSERT(same(&sent, &got));
            CU_ASSERT_PTR_NULL(got.body);
            dpc_buf_done(&buf);
        }
    }
    dpc_msg_arena_destroy(arena);
}

static void
control_messages_fit_a_small_arena(void)
{
    struct dpc_msg_arena *arena = dpc_msg_arena_create(ARENA_BYTES);
    for (size_t i = 0; i < dpc_sample_types_count; i++) {
        if (dpc_sample_types[i] == DPC_MSG_ADMIN_REPLY)
            continue;
        struct dpc_msg sent, got;
        struct dpc_buf buf;
        dpc_sample(dpc_sample_types[i], DPC_SAMPLE_LARGEST, &sent);
        encode(&sent, &buf);
        CU_ASSERT_EQUAL(decode(&buf, arena, &got), DPC_OK);
        dpc_buf_done(&buf);
    }
    dpc_msg_arena_destroy(arena);
}

static void
names(void)
{
    for (size_t i = 0; i < dpc_sample_types_count; i++)
        CU_ASSERT_STRING_NOT_EQUAL(dpc_msg_name(dpc_sample_types[i]), "?");
    CU_ASSERT_STRING_EQUAL(dpc_msg_name(DPC_MSG_HELLO), "hello");
    CU_ASSERT_STRING_EQUAL(dpc_msg_name((enum dpc_msg_type)19), "?");
    CU_ASSERT_STRING_EQUAL(dpc_msg_name((enum dpc_msg_type)9999), "?");
    CU_ASSERT_STRING_EQUAL(dpc_task_name(DPC_TASK_FEATURIZE), "featurize");
    CU_ASSERT_STRING_EQUAL(dpc_task_name((enum dpc_task_kind)0), "?");
    CU_ASSERT_STRING_EQUAL(dpc_verdict_name(DPC_VERDICT_STALE), "stale");
}

/* Encodes what our encoder would refuse: the bound of each is the decoder's to hold. */
static int
decode_raw(const char *bytes, size_t len)
{
    struct dpc_msg_arena *arena = dpc_msg_arena_create(ARENA_BYTES);
    struct dpc_msg msg;
    struct dpc_error err;
    int code = dpc_msg_decode(bytes, len, arena, &msg, &err);
    dpc_msg_arena_destroy(arena);
    return code;
}

#define RAW(bytes) decode_raw(bytes, sizeof bytes - 1)

static void
bad_frames_are_refused(void)
{
    CU_ASSERT_EQUAL(RAW(""), DPC_EPROTO);                 /* no type */
    CU_ASSERT_EQUAL(RAW("\xa0\x06\x05"), DPC_EPROTO);     /* a request number alone */
    CU_ASSERT_EQUAL(RAW("\xff\xff\xff"), DPC_EPROTO);     /* no protobuf */
    CU_ASSERT_EQUAL(RAW("\x1a\x05"), DPC_EPROTO);         /* ask, cut short */
    CU_ASSERT_EQUAL(RAW("\x1a\x00"), DPC_OK);             /* ask */
    CU_ASSERT_EQUAL(RAW("\xda\x02\x00"), DPC_EVERSION);   /* type 43: of a later version */
    CU_ASSERT_EQUAL(RAW("\x22\x00"), DPC_EPROTO);         /* lease of kind 0 */
    CU_ASSERT_EQUAL(RAW("\x22\x02\x10\x09"), DPC_EPROTO); /* lease of kind 9 */
    CU_ASSERT_EQUAL(RAW("\x22\x06\x10\x01\x18\xc0\x80\x04"), DPC_ELIMIT); /* path 65537 */
    CU_ASSERT_EQUAL(RAW("\x22\x04\x10\x01\x38\x01"), DPC_EPROTO);         /* documents 1 to 0 */
    CU_ASSERT_EQUAL(RAW("\x22\x04\x10\x01\x4a\x00"), DPC_EPROTO); /* a version without a module */
    CU_ASSERT_EQUAL(RAW("\xa2\x01\x02\x18\x01"), DPC_EPROTO);     /* fetch without a hash */
    CU_ASSERT_EQUAL(RAW("\xa2\x01\x05\x0a\x03"
                        "abc"),
                    DPC_EPROTO);                          /* a hash of three bytes */
    CU_ASSERT_EQUAL(RAW("\x4a\x02\x10\x07"), DPC_EPROTO); /* verdict 7 */
}

static void
too_much_of_anything_is_refused(void)
{
    struct dpc_msg msg;
    struct dpc_buf buf;
    struct dpc_error err;
    dpc_buf_init(&buf, 0);
    dpc_sample(DPC_MSG_LEASE, DPC_SAMPLE_LARGEST, &msg);
    msg.lease.levels_count++;
    CU_ASSERT_EQUAL(dpc_msg_encode(&msg, &buf, &err), DPC_ELIMIT);
    dpc_sample(DPC_MSG_SUBMIT, DPC_SAMPLE_LARGEST, &msg);
    msg.submit.parts_count++;
    CU_ASSERT_EQUAL(dpc_msg_encode(&msg, &buf, &err), DPC_ELIMIT);
    dpc_sample(DPC_MSG_HELLO, DPC_SAMPLE_LARGEST, &msg);
    msg.hello.name--;
    CU_ASSERT_EQUAL(dpc_msg_encode(&msg, &buf, &err), DPC_ELIMIT);
    CU_ASSERT(strstr(err.text, "name") != NULL);
    dpc_sample(DPC_MSG_WELCOME, DPC_SAMPLE_LARGEST, &msg);
    msg.welcome.experiment -= 500;
    CU_ASSERT_EQUAL(dpc_msg_encode(&msg, &buf, &err), DPC_ELIMIT);
    msg.type = (enum dpc_msg_type)77;
    CU_ASSERT_EQUAL(dpc_msg_encode(&msg, &buf, &err), DPC_EINVAL);
    CU_ASSERT_EQUAL(buf.len, 0);
    dpc_buf_done(&buf);
}

/* Numbers that the encoder passes on and the decoder does not. */
static void
numbers_past_their_limit_are_refused(void)
{
    struct dpc_msg_arena *arena = dpc_msg_arena_create(ARENA_BYTES);
    struct dpc_msg msg, got;
    struct dpc_buf buf;
#define REFUSED(type, change, expected)                                                            \
    do {                                                                                           \
        dpc_sample(type, DPC_SAMPLE_FULL, &msg);                                                   \
        change;                                                                                    \
        encode(&msg, &buf);                                                                        \
        CU_ASSERT_EQUAL(decode(&buf, arena, &got), expected);                                      \
        dpc_buf_done(&buf);                                                                        \
    } while (0)
    REFUSED(DPC_MSG_OFFER, msg.offer.total = DPC_BLOB_BYTES_MAX + 1, DPC_ELIMIT);
    REFUSED(DPC_MSG_PUT, msg.put.offset = UINT64_MAX, DPC_ELIMIT);
    /* The dense path counts on from its warm start: its leases once could not be read. */
    REFUSED(DPC_MSG_LEASE, msg.lease.round = DPC_ROUNDS_MAX + DPC_STEPS_MAX, DPC_OK);
    REFUSED(DPC_MSG_LEASE, msg.lease.round = DPC_ROUNDS_MAX + DPC_STEPS_MAX + 1, DPC_ELIMIT);
    REFUSED(DPC_MSG_SUBMIT, msg.submit.round = DPC_ROUNDS_MAX + DPC_STEPS_MAX, DPC_OK);
    REFUSED(DPC_MSG_SUBMIT,
            (msg.submit.kind = DPC_TASK_TRAIN, msg.submit.steps_count = DPC_STEPS_MAX + 1),
            DPC_ELIMIT);
    /* Routes of more documents than a round may have steps: the phase never ended. */
    REFUSED(DPC_MSG_SUBMIT,
            (msg.submit.kind = DPC_TASK_REROUTE, msg.submit.steps_count = DPC_DOCUMENTS_MAX),
            DPC_OK);
    REFUSED(DPC_MSG_LEASE, msg.lease.modules[1] = UINT32_MAX, DPC_ELIMIT);
    REFUSED(DPC_MSG_LEASE, msg.lease.bases[1].hash = dpc_hash_none, DPC_EPROTO);
    REFUSED(DPC_MSG_SUBMIT, msg.submit.parts[0].module = UINT32_MAX, DPC_ELIMIT);
    REFUSED(DPC_MSG_SUBMIT, msg.submit.seconds = -1, DPC_EPROTO);
    REFUSED(DPC_MSG_HELLO, msg.hello.tokens_per_s = NAN, DPC_EPROTO);
    REFUSED(DPC_MSG_HELLO, msg.hello.protocol_min = 3, DPC_EPROTO);
    REFUSED(DPC_MSG_HEARTBEAT, msg.heartbeat.tokens_per_s = INFINITY, DPC_EPROTO);
    REFUSED(DPC_MSG_FETCH, msg.fetch.bytes = 0, DPC_EPROTO);
    REFUSED(DPC_MSG_ENROL, memset(&msg.enrol.key, 0, sizeof msg.enrol.key), DPC_EPROTO);
    REFUSED(DPC_MSG_ENROL, msg.enrol.name = "", DPC_EPROTO);
    REFUSED(DPC_MSG_ENROLLED, msg.enrolled.state = 4, DPC_EPROTO);
    REFUSED(DPC_MSG_SUBMIT, msg.submit.loss = NAN, DPC_OK); /* the core's to judge */
#undef REFUSED
    dpc_msg_arena_destroy(arena);
}

static void
texts_are_mended(void)
{
    static const struct {
        const char *sent, *got;
    } rows[] = {
        {"plain", "plain"},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"two\nlines\t\x1b[31m", "two?lines??[31m"},
        {"\xc2\x9b\x33\x31m", "??31m"},
        {"gpj\xe2\x80\xaetxt", "gpj???txt"},
        {"latin \xe4", "latin ?"},
        {"\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80", "?????????"},
        {"cut \xe2\x82", "cut ??"},
    };
    struct dpc_msg_arena *arena = dpc_msg_arena_create(ARENA_BYTES);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dpc_msg msg = {.type = DPC_MSG_ERROR, .error = {.text = rows[i].sent}}, got;
        struct dpc_buf buf;
        encode(&msg, &buf);
        CU_ASSERT_EQUAL_FATAL(decode(&buf, arena, &got), DPC_OK);
        CU_ASSERT_STRING_EQUAL(got.error.text, rows[i].got);
        dpc_buf_done(&buf);
    }
    dpc_msg_arena_destroy(arena);
}

/* Thousands of two-byte list elements: protobuf-c would take 64 times their size. */
static void
memory_of_a_frame_is_bounded(void)
{
    static char frame[DPC_CONTROL_BYTES_MAX];
    size_t inner = sizeof frame - 4;
    frame[0] = 0x22; /* lease */
    frame[1] = (char)(0x80 | (inner & 0x7f));
    frame[2] = (char)(0x80 | (inner >> 7 & 0x7f));
    frame[3] = (char)(inner >> 14);
    for (size_t i = 4; i + 1 < sizeof frame; i += 2) {
        frame[i] = 0x4a; /* versions */
        frame[i + 1] = 0;
    }
    CU_ASSERT_EQUAL(decode_raw(frame, sizeof frame), DPC_ELIMIT);
    static char larger[DPC_ADMIN_BYTES_MAX + 1];
    CU_ASSERT_EQUAL(decode_raw(larger, sizeof larger), DPC_ELIMIT);
}

static const struct dpc_test tests[] = {
    {"every type comes back as it went", every_type_comes_back_as_it_went},
    {"control messages fit a small arena", control_messages_fit_a_small_arena},
    {"names", names},
    {"bad frames are refused", bad_frames_are_refused},
    {"too much of anything is refused", too_much_of_anything_is_refused},
    {"numbers past their limit are refused", numbers_past_their_limit_are_refused},
    {"texts are mended", texts_are_mended},
    {"memory of a frame is bounded", memory_of_a_frame_is_bounded},
};

DPC_TEST_MAIN("proto/message", tests)
