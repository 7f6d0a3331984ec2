/* SPDX-License-Identifier: Apache-2.0
 * Full: each field a value of its own, so that two fields that change places are seen. Largest:
 * each at its limit. Empty: nothing set but what a message cannot be without. */
#include "tests/unit/proto/samples.h"

#include <float.h>
#include <string.h>

const enum dpc_msg_type dpc_sample_types[] = {
    DPC_MSG_HELLO,     DPC_MSG_WELCOME,   DPC_MSG_ASK,           DPC_MSG_LEASE,
    DPC_MSG_WAIT,      DPC_MSG_HEARTBEAT, DPC_MSG_SUBMIT,        DPC_MSG_HEARTBEAT_ACK,
    DPC_MSG_SUBMITTED, DPC_MSG_GIVE_BACK, DPC_MSG_LEAVE,         DPC_MSG_ACK,
    DPC_MSG_ERROR,     DPC_MSG_FETCH,     DPC_MSG_CHUNK,         DPC_MSG_OFFER,
    DPC_MSG_PUT,       DPC_MSG_HAVE,      DPC_MSG_ADMIN_REQUEST, DPC_MSG_ADMIN_REPLY,
    DPC_MSG_ENROL,     DPC_MSG_ENROLLED,
};
const size_t dpc_sample_types_count = sizeof dpc_sample_types / sizeof *dpc_sample_types;

static char long_text[DPC_ADMIN_BYTES_MAX];

/* A text of `size` - 1 bytes: the tail of one long one. */
static const char *
text_of(size_t size)
{
    memset(long_text, 'x', sizeof long_text - 1);
    return long_text + sizeof long_text - size;
}

static struct dpc_hash
hash_of(uint32_t seed)
{
    struct dpc_hash hash;
    memset(hash.bytes, (int)(seed % 255 + 1), sizeof hash.bytes);
    hash.bytes[0] = (uint8_t)(seed >> 8);
    return hash;
}

static struct dpc_blob_ref
ref_of(uint32_t seed, bool largest)
{
    return (struct dpc_blob_ref){.hash = hash_of(seed),
                                 .bytes = largest ? DPC_BLOB_BYTES_MAX : 1000 + seed};
}

static struct dpc_token
token_of(bool largest)
{
    return largest ? (struct dpc_token){UINT64_MAX, UINT64_MAX}
                   : (struct dpc_token){0x1122334455667788, 42};
}

static void
sample_lease(struct dpc_msg_lease *lease, bool largest)
{
    *lease = (struct dpc_msg_lease){
        .token = token_of(largest),
        .kind = largest ? DPC_TASK_EVALUATE : DPC_TASK_TRAIN,
        .path = largest ? DPC_PATHS_MAX : 3,
        .round = largest ? DPC_ROUNDS_MAX + DPC_STEPS_MAX : 4,
        .step_first = largest ? UINT64_MAX : 5,
        .steps_count = largest ? DPC_STEPS_MAX : 6,
        .from = largest ? UINT32_MAX : 7,
        .to = largest ? UINT32_MAX : 8,
        .levels_count = largest ? DPC_LEVELS_MAX : 2,
        .data = ref_of(9, largest),
        .state = ref_of(10, largest),
        .kept = ref_of(12, largest),
        .time_left_ms = largest ? UINT32_MAX : 11,
    };
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        lease->versions[i] = ref_of(20 + i, largest);
        lease->begins[i] = ref_of(20 + i, largest);
        if (largest || i == 1) { /* not of all */
            lease->changes[i] = ref_of(50 + i, largest);
            lease->bases[i] = ref_of(60 + i, largest);
        }
        lease->modules[i] = largest ? DPC_MODULES_MAX + DPC_LEVELS_MAX - 1 : 40 + i;
    }
}

static void
sample_submit(struct dpc_msg_submit *submit, bool largest)
{
    *submit = (struct dpc_msg_submit){
        .token = token_of(largest),
        .kind = DPC_TASK_FEATURIZE,
        .path = largest ? DPC_PATHS_MAX : 3,
        .round = largest ? DPC_ROUNDS_MAX + DPC_STEPS_MAX : 4,
        .steps_count = largest ? DPC_STEPS_MAX : 5,
        .tokens = largest ? UINT64_MAX : 6,
        .loss = largest ? -DBL_MAX : 7.5,
        .loss_last = largest ? DBL_MIN : 8.25,
        .seconds = largest ? DBL_MAX : 9.125,
        .parts_count = largest ? DPC_LEVELS_MAX : 2,
        .state = ref_of(50, largest),
        .kept = ref_of(53, largest),
        .result = ref_of(51, largest),
        .began = ref_of(52, largest).hash,
    };
    for (uint32_t i = 0; i < submit->parts_count; i++) {
        submit->parts[i].module = largest ? DPC_MODULES_MAX : 60 + i;
        submit->parts[i].delta = ref_of(70 + i, largest);
        submit->parts[i].norm = largest ? DBL_MAX : 80.5 + i;
    }
}

static void
sample_verdict(struct dpc_msg_verdict *verdict, bool largest)
{
    *verdict = (struct dpc_msg_verdict){
        .token = token_of(largest),
        .verdict = largest ? DPC_VERDICT_REFUSED : DPC_VERDICT_MISSING,
        .text = largest ? text_of(DPC_TEXT_MAX) : "because",
        .missing_count = largest ? DPC_LEVELS_MAX + 2 : 3,
    };
    for (uint32_t i = 0; i < verdict->missing_count; i++)
        verdict->missing[i] = hash_of(90 + i);
}

static void
sample_bulk(struct dpc_msg *msg, bool largest)
{
    struct dpc_hash hash = hash_of(300);
    uint64_t total = largest ? DPC_BLOB_BYTES_MAX : 6000, offset = largest ? total : 4096;
    switch (msg->type) {
    case DPC_MSG_FETCH:
        msg->fetch = (struct dpc_msg_fetch){hash, offset, largest ? DPC_CHUNK_BYTES_MAX : 512};
        break;
    case DPC_MSG_CHUNK:
        msg->chunk = (struct dpc_msg_chunk){hash, offset, total};
        break;
    case DPC_MSG_OFFER:
        msg->offer = (struct dpc_msg_offer){hash, total};
        break;
    case DPC_MSG_PUT:
        msg->put = (struct dpc_msg_put){hash, offset, total};
        break;
    default:
        msg->have = (struct dpc_msg_have){hash, offset, true};
        break;
    }
}

static void
sample_texts(struct dpc_msg *msg, bool largest)
{
    const char *reason = largest ? text_of(DPC_TEXT_MAX) : "the reason";
    switch (msg->type) {
    case DPC_MSG_WAIT:
        msg->wait = (struct dpc_msg_wait){largest ? UINT32_MAX : 17, true, reason};
        break;
    case DPC_MSG_GIVE_BACK:
        msg->give_back = (struct dpc_msg_give_back){token_of(largest), reason, largest, largest};
        break;
    case DPC_MSG_ERROR:
        msg->error = (struct dpc_msg_error){largest ? INT32_MIN : DPC_ENOSPACE, reason};
        break;
    case DPC_MSG_ENROL:
        msg->enrol =
            (struct dpc_msg_enrol){.name = largest ? text_of(DPC_NAME_MAX) : "w\xc3\xb6rker"};
        memset(msg->enrol.key.bytes, largest ? 0xff : 5, DPC_KEY_BYTES);
        break;
    case DPC_MSG_ENROLLED:
        msg->enrolled = (struct dpc_msg_enrolled){
            largest ? DPC_ENROLMENT_REFUSED : DPC_ENROLMENT_PENDING,
            largest ? text_of(DPC_NAME_MAX) : "quickstart", largest ? UINT32_MAX : 5000};
        break;
    case DPC_MSG_ADMIN_REQUEST:
        msg->admin_request = (struct dpc_msg_admin_request){
            largest ? text_of(DPC_NAME_MAX) : "paths", largest ? reason : "0-1", reason};
        break;
    default:
        msg->admin_reply = (struct dpc_msg_admin_reply){
            largest ? INT32_MAX : DPC_EPERM, reason,
            largest ? text_of(DPC_ADMIN_BYTES_MAX - 4096) : "{\n\t\"a\": \"\xc3\xa4\"}", "page 2"};
        break;
    }
}

static void
sample_session(struct dpc_msg *msg, bool largest)
{
    switch (msg->type) {
    case DPC_MSG_HELLO:
        msg->hello = (struct dpc_msg_hello){
            .protocol_min = largest ? UINT32_MAX : 1,
            .protocol_max = largest ? UINT32_MAX : 2,
            .name = largest ? text_of(DPC_NAME_MAX) : "w\xc3\xb6rker",
            .build = largest ? text_of(DPC_LABEL_MAX) : "0.1.0",
            .numeric_class = largest ? text_of(DPC_LABEL_MAX) : "SkylakeX-1",
            .tokens_per_s = largest ? DBL_MAX : 1234.5,
            .token = token_of(largest),
            .handing_in = token_of(largest),
        };
        break;
    case DPC_MSG_ASK:
        msg->ask.handing_in = token_of(largest);
        break;
    case DPC_MSG_WELCOME:
        msg->welcome = (struct dpc_msg_welcome){
            .protocol = largest ? UINT32_MAX : 1,
            .incarnation = largest ? UINT64_MAX : 77,
            .experiment =
                largest ? text_of(DPC_CONTROL_BYTES_MAX - 1024) : "experiment: x\nseed: 1\n",
            .heartbeat_ms = largest ? UINT32_MAX : 2000,
            .bulk_endpoint = largest ? text_of(DPC_ENDPOINT_MAX) : "tcp://*:7601",
            .mirror = largest ? text_of(DPC_ENDPOINT_MAX) : "https://host/blobs",
            .leases = DPC_LEASES_MAX,
        };
        break;
    default:
        msg->heartbeat = (struct dpc_msg_heartbeat){token_of(largest), largest ? UINT32_MAX : 12,
                                                    largest ? DBL_MAX : 99.5};
        break;
    }
}

/* What decoding insists on. */
static void
sample_empty(struct dpc_msg *msg)
{
    struct dpc_hash hash = hash_of(1);
    if (msg->type == DPC_MSG_LEASE)
        msg->lease.kind = DPC_TASK_TRAIN;
    else if (msg->type == DPC_MSG_SUBMIT)
        msg->submit.kind = DPC_TASK_TRAIN;
    else if (msg->type == DPC_MSG_HEARTBEAT_ACK || msg->type == DPC_MSG_SUBMITTED)
        msg->verdict.verdict = DPC_VERDICT_CONTINUE;
    else if (msg->type == DPC_MSG_FETCH)
        msg->fetch = (struct dpc_msg_fetch){.hash = hash, .bytes = 1};
    else if (msg->type == DPC_MSG_CHUNK)
        msg->chunk.hash = hash;
    else if (msg->type == DPC_MSG_OFFER)
        msg->offer.hash = hash;
    else if (msg->type == DPC_MSG_PUT)
        msg->put.hash = hash;
    else if (msg->type == DPC_MSG_HAVE)
        msg->have.hash = hash;
    else if (msg->type == DPC_MSG_ENROL)
        msg->enrol = (struct dpc_msg_enrol){.key.bytes = {1}, .name = "w"};
    else if (msg->type == DPC_MSG_ENROLLED)
        msg->enrolled.state = DPC_ENROLMENT_TAKEN;
}

void
dpc_sample(enum dpc_msg_type type, int kind, struct dpc_msg *ret_msg)
{
    bool largest = kind == DPC_SAMPLE_LARGEST;
    memset(ret_msg, 0, sizeof *ret_msg);
    ret_msg->type = type;
    if (kind == DPC_SAMPLE_EMPTY) {
        sample_empty(ret_msg);
        return;
    }
    ret_msg->request = largest ? UINT64_MAX : 1234567;
    if (type == DPC_MSG_LEASE)
        sample_lease(&ret_msg->lease, largest);
    else if (type == DPC_MSG_SUBMIT)
        sample_submit(&ret_msg->submit, largest);
    else if (type == DPC_MSG_HEARTBEAT_ACK || type == DPC_MSG_SUBMITTED)
        sample_verdict(&ret_msg->verdict, largest);
    else if (type >= DPC_MSG_FETCH && type <= DPC_MSG_HAVE)
        sample_bulk(ret_msg, largest);
    else if (type == DPC_MSG_HELLO || type == DPC_MSG_WELCOME || type == DPC_MSG_ASK ||
             type == DPC_MSG_HEARTBEAT)
        sample_session(ret_msg, largest);
    else if (type != DPC_MSG_LEAVE && type != DPC_MSG_ACK)
        sample_texts(ret_msg, largest);
}
