/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever either end of a bulk channel says, in any order: the worker's transfer asks for what is
 * there and writes what follows on what it has, the coordinator's half answers each request, and a
 * blob that counts as complete is the one of that name.
 *
 * An input is a row of steps: an operation, a blob, and what it takes.
 */
#include "base/alloc.h"
#include "proto/serve.h"
#include "proto/transfer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/proto/shelf.h"

enum { BLOBS = 5, REQUESTS = 16, STEPS_MAX = 200, ARENA_BYTES = 65536 };

static const size_t sizes[BLOBS] = {0, 5, 700, DPC_TRANSFER_CHUNK + 3, 70000};

struct request {
    struct dpc_msg msg;
    uint8_t *body; /* of its own */
};

static struct {
    struct dpc_blob_ref blobs[BLOBS];
    struct dpc_shelf worker, coordinator, source; /* the source has all */
    struct dpc_transfer *transfer;
    uint64_t epoch;
    int64_t now_ms;
    uint32_t count; /* of all requests */
    struct request requests[REQUESTS];
    struct dpc_reader in;
    uint8_t scratch[DPC_CHUNK_BYTES_MAX];
} rig;

static uint32_t
below(uint32_t count)
{
    return dpc_reader_u8(&rig.in) % count;
}

static const struct dpc_blob_ref *
ref_of(const struct dpc_hash *hash)
{
    for (int i = 0; i < BLOBS; i++) {
        if (dpc_hash_equal(&rig.blobs[i].hash, hash))
            return &rig.blobs[i];
    }
    return NULL;
}

/* The header as it travels; false when no decoder would take it. */
static bool
travels(const struct dpc_msg *msg)
{
    static struct dpc_msg_arena *arena;
    struct dpc_msg again;
    struct dpc_error err;
    struct dpc_buf frame;
    arena = arena ? arena : dpc_msg_arena_create(ARENA_BYTES);
    dpc_buf_init(&frame, 0);
    bool fine = dpc_msg_encode(msg, &frame, &err) == DPC_OK &&
                dpc_msg_decode(frame.data, frame.len, arena, &again, &err) == DPC_OK;
    dpc_buf_done(&frame);
    return fine;
}

/* --- The worker's end. */

static void
check_request(const struct dpc_msg *msg)
{
    const struct dpc_blob_ref *blob = ref_of(msg->type == DPC_MSG_FETCH   ? &msg->fetch.hash
                                             : msg->type == DPC_MSG_OFFER ? &msg->offer.hash
                                                                          : &msg->put.hash);
    fuzz_require(blob && travels(msg), "a request is of a blob, and travels");
    fuzz_require(msg->type != DPC_MSG_FETCH ||
                     (msg->fetch.bytes > 0 && msg->fetch.bytes <= DPC_TRANSFER_CHUNK &&
                      msg->fetch.offset + msg->fetch.bytes <= blob->bytes),
                 "what is asked for is there");
    fuzz_require(msg->type != DPC_MSG_PUT ||
                     (msg->body_len > 0 && msg->put.offset + msg->body_len <= blob->bytes),
                 "what is put belongs to it");
}

static int
take_request(void *context, const struct dpc_msg *msg)
{
    struct request *request = &rig.requests[rig.count++ % REQUESTS];
    (void)context;
    check_request(msg);
    dpc_free(request->body);
    *request = (struct request){.msg = *msg, .body = dpc_alloc(msg->body_len + 1, 1)};
    if (msg->body_len)
        memcpy(request->body, msg->body, msg->body_len);
    request->msg.body = request->body;
    return DPC_OK;
}

static uint64_t
read_epoch(void *context)
{
    (void)context;
    return rig.epoch;
}

static void
require_end(int code, const struct dpc_error *err)
{
    fuzz_require(code == DPC_OK ||
                     (err->code == code && *err->text && dpc_transfer_idle(rig.transfer)),
                 "an error says why, and ends all");
}

static void
hand_over(const struct dpc_msg *msg)
{
    struct dpc_error err = {0};
    uint8_t *body = dpc_alloc(msg->body_len + 1, 1); /* of its own, for a sanitizer */
    struct dpc_msg copy = *msg;
    if (msg->body_len)
        memcpy(body, msg->body, msg->body_len);
    copy.body = msg->body ? body : NULL;
    require_end(dpc_transfer_handle(rig.transfer, &copy, rig.now_ms, &err), &err);
    dpc_free(body);
}

/* --- The coordinator's end. */

static void
serve(const struct dpc_msg *request, struct dpc_msg *ret_reply)
{
    static struct dpc_error err;
    struct dpc_serve_blobs blobs = dpc_shelf_serve(&rig.coordinator);
    int code = dpc_serve_bulk(&blobs, request, rig.scratch, ret_reply, &err);
    fuzz_require(ret_reply->type == DPC_MSG_CHUNK || ret_reply->type == DPC_MSG_HAVE ||
                     (ret_reply->type == DPC_MSG_ERROR && code != DPC_OK && *err.text),
                 "a request is answered");
    fuzz_require(ret_reply->request == request->request && travels(ret_reply),
                 "an answer is one to its request, and travels");
    if (ret_reply->type == DPC_MSG_HAVE && ret_reply->have.complete) {
        const struct dpc_blob_ref *blob = ref_of(&ret_reply->have.hash);
        fuzz_require(blob && dpc_shelf_holds(&rig.coordinator, blob), "what is complete is whole");
        fuzz_accepted++;
    }
    if (ret_reply->type == DPC_MSG_CHUNK)
        fuzz_require(ret_reply->body_len > 0 &&
                         ret_reply->chunk.offset + ret_reply->body_len <= ret_reply->chunk.total,
                     "a piece lies in its blob");
}

/* --- Steps. */

static uint64_t
some_offset(const struct dpc_blob_ref *blob)
{
    const uint64_t offsets[] = {
        0, blob->bytes,        blob->bytes - 1, blob->bytes + 1, DPC_TRANSFER_CHUNK,
        2, DPC_BLOB_BYTES_MAX, UINT64_MAX};
    return offsets[below(sizeof offsets / sizeof *offsets)];
}

static const struct request *
some_request(void)
{
    uint32_t kept = rig.count < REQUESTS ? rig.count : REQUESTS, back = below(REQUESTS);
    return kept ? &rig.requests[(rig.count - 1 - back % kept) % REQUESTS] : NULL;
}

static void
queue(const struct dpc_blob_ref *blob)
{
    struct dpc_error err = {0};
    int code = below(2) ? dpc_transfer_fetch(rig.transfer, blob, &err)
                        : dpc_transfer_put(rig.transfer, blob, &err);
    require_end(code, &err);
}

static void
pump(const struct dpc_blob_ref *blob)
{
    static const int64_t pauses_ms[] = {0, 1, 100, 10000, 600000};
    struct dpc_error err = {0};
    (void)blob;
    rig.now_ms += pauses_ms[below(sizeof pauses_ms / sizeof *pauses_ms)];
    require_end(dpc_transfer_pump(rig.transfer, rig.now_ms, &err), &err);
}

/* A request is answered, perhaps late or twice. */
static void
answer(const struct dpc_blob_ref *blob)
{
    const struct request *request = some_request();
    struct dpc_msg reply;
    (void)blob;
    if (!request)
        return;
    serve(&request->msg, &reply);
    hand_over(&reply);
}

static void
answer_oddly(const struct dpc_blob_ref *blob)
{
    static const int32_t codes[] = {DPC_EAGAIN, DPC_EBUSY, DPC_EHASH, DPC_ENOTFOUND, 0, 7, -9999};
    const struct request *request = some_request();
    struct dpc_msg reply = {.request = request ? request->msg.request : 0};
    switch (below(3)) {
    case 0:
        reply.type = DPC_MSG_CHUNK;
        reply.chunk = (struct dpc_msg_chunk){blob->hash, some_offset(blob), blob->bytes};
        if (below(4) == 3)
            reply.chunk.total = some_offset(blob);
        reply.body = rig.scratch;
        reply.body_len = (size_t)(some_offset(blob) % (DPC_CHUNK_BYTES_MAX + 1));
        break;
    case 1:
        reply.type = DPC_MSG_HAVE;
        reply.have = (struct dpc_msg_have){blob->hash, some_offset(blob), below(8) == 7};
        break;
    default:
        reply.type = DPC_MSG_ERROR;
        reply.error.code = codes[below(sizeof codes / sizeof *codes)];
        reply.error.text = "no";
        break;
    }
    if (travels(&reply))
        hand_over(&reply);
}

static void
ask_oddly(const struct dpc_blob_ref *blob)
{
    struct dpc_msg request = {.request = 1}, reply;
    const struct dpc_shelf_blob *bytes = dpc_shelf_find(&rig.source, &blob->hash);
    switch (below(3)) {
    case 0:
        request.type = DPC_MSG_FETCH;
        request.fetch =
            (struct dpc_msg_fetch){blob->hash, some_offset(blob), (uint32_t)some_offset(blob)};
        break;
    case 1:
        request.type = DPC_MSG_OFFER;
        request.offer = (struct dpc_msg_offer){blob->hash, some_offset(blob)};
        break;
    default:
        request.type = DPC_MSG_PUT;
        request.put = (struct dpc_msg_put){blob->hash, some_offset(blob), blob->bytes};
        if (below(4) == 3)
            request.put.total = some_offset(blob);
        request.body = below(2) && bytes ? bytes->bytes : rig.scratch;
        request.body_len = (size_t)(some_offset(blob) % (blob->bytes + 1));
        break;
    }
    if (travels(&request))
        serve(&request, &reply);
}

static void
disturb(const struct dpc_blob_ref *blob)
{
    switch (below(6)) {
    case 0:
        rig.epoch++;
        break;
    case 1:
        dpc_transfer_cancel(rig.transfer);
        break;
    case 2:
        rig.worker.write_code = below(2) ? DPC_ENOSPACE : DPC_OK;
        break;
    case 3:
        rig.coordinator.write_code = below(2) ? DPC_ENOSPACE : DPC_OK;
        break;
    case 4:
        rig.coordinator.flips = rig.worker.flips = 1;
        break;
    default:
        dpc_shelf_forget(below(2) ? &rig.worker : &rig.coordinator, &blob->hash);
        break;
    }
}

/* --- All. */

/* Even blobs are the worker's, odd ones the coordinator's. */
static void
start(void)
{
    struct dpc_transfer_wire wire = {.send = take_request, .epoch = read_epoch};
    struct dpc_transfer_files files = dpc_shelf_files(&rig.worker);
    for (uint32_t i = 0; i < BLOBS; i++) {
        if (rig.source.count < BLOBS)
            rig.blobs[i] = dpc_shelf_make(&rig.source, sizes[i], i);
        (void)dpc_shelf_make(i % 2 ? &rig.coordinator : &rig.worker, sizes[i], i);
    }
    rig.now_ms = 1000;
    rig.transfer = dpc_transfer_create_on(&wire, &files);
}

static void
end(void)
{
    for (int i = 0; i < BLOBS; i++) {
        const struct dpc_shelf_blob *blob = dpc_shelf_find(&rig.worker, &rig.blobs[i].hash);
        fuzz_require(!blob || blob->len <= rig.blobs[i].bytes, "no byte too many is written");
        fuzz_require(!blob || !blob->complete || dpc_shelf_holds(&rig.worker, &rig.blobs[i]),
                     "what was fetched is whole");
    }
    dpc_transfer_destroy(rig.transfer);
    dpc_shelf_done(&rig.worker);
    dpc_shelf_done(&rig.coordinator);
    rig.worker.write_code = rig.coordinator.write_code = DPC_OK;
    rig.worker.flips = rig.coordinator.flips = 0;
    for (int i = 0; i < REQUESTS; i++)
        rig.requests[i].body = dpc_free(rig.requests[i].body);
    rig.count = 0;
}

static void (*const operations[])(const struct dpc_blob_ref *blob) = {
    queue, pump, pump, answer, answer, answer, answer_oddly, ask_oddly, disturb,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dpc_reader_init(&rig.in, data, size);
    start();
    for (int i = 0; i < STEPS_MAX && rig.in.at < rig.in.end; i++) {
        uint32_t operation = below(sizeof operations / sizeof *operations);
        operations[operation](&rig.blobs[below(BLOBS)]);
    }
    end();
    return 0;
}

#ifndef DPC_LIBFUZZER

enum { INPUTS = 6, INPUT_BYTES = 300, QUEUE = 0, PUMP = 1, ANSWER = 3 };

/* Whole transfers of each blob, up or down as its owner has it, and then anything. */
static void
add_inputs(struct fuzz *fuzz)
{
    for (uint32_t i = 0; i < INPUTS; i++) {
        struct dpc_buf input;
        struct dpc_rng rng;
        dpc_buf_init(&input, 0);
        dpc_rng_init(&rng, 1, DPC_RNG_TEST, i, 3, 0);
        for (uint8_t blob = 0; blob < BLOBS; blob++) {
            const uint8_t steps[] = {QUEUE, blob, blob % 2, PUMP, blob,   1,    ANSWER, blob,
                                     0,     PUMP, blob,     1,    ANSWER, blob, 0};
            dpc_buf_put(&input, steps, sizeof steps);
        }
        while (input.len < INPUT_BYTES)
            dpc_buf_put_u8(&input, (uint8_t)dpc_rng_u32(&rng));
        fuzz_valid(fuzz, input.data, input.len, 0);
        dpc_buf_done(&input);
    }
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 60, add_inputs);
}

#endif
