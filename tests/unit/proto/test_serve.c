/* SPDX-License-Identifier: Apache-2.0
 * The coordinator's answers one by one, and a transfer over real sockets. */
#include "proto/serve.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/unit/harness.h"
#include "tests/unit/proto/shelf.h"

static struct dpc_shelf ours, theirs;
static uint8_t scratch[DPC_CHUNK_BYTES_MAX];
static struct dpc_msg reply;
static struct dpc_error err;

static int
ask(struct dpc_msg request)
{
    struct dpc_serve_blobs blobs = dpc_shelf_serve(&theirs);
    blobs.total_max = 5000;
    request.request = 77;
    int code = dpc_serve_bulk(&blobs, &request, scratch, &reply, &err);
    CU_ASSERT_EQUAL(reply.request, 77);
    CU_ASSERT_EQUAL(reply.type == DPC_MSG_ERROR, code != DPC_OK);
    if (code != DPC_OK) {
        CU_ASSERT_EQUAL(reply.error.code, code);
        CU_ASSERT(strlen(reply.error.text) > 0);
        CU_ASSERT_PTR_NULL(reply.body);
    }
    return code;
}

static int
ask_fetch(const struct dpc_hash *hash, uint64_t offset, uint32_t bytes)
{
    return ask((struct dpc_msg){.type = DPC_MSG_FETCH, .fetch = {*hash, offset, bytes}});
}

static int
ask_offer(const struct dpc_hash *hash, uint64_t total)
{
    return ask((struct dpc_msg){.type = DPC_MSG_OFFER, .offer = {*hash, total}});
}

static int
ask_put(const struct dpc_hash *hash, uint64_t offset, uint64_t total, const void *body, size_t len)
{
    return ask((struct dpc_msg){
        .type = DPC_MSG_PUT, .put = {*hash, offset, total}, .body = body, .body_len = len});
}

static bool
have(uint64_t offset, bool complete)
{
    return reply.type == DPC_MSG_HAVE && reply.have.offset == offset &&
           reply.have.complete == complete;
}

static void
fetches(void)
{
    struct dpc_blob_ref blob = dpc_shelf_make(&theirs, 3000, 1);
    const uint8_t *bytes = dpc_shelf_find(&theirs, &blob.hash)->bytes;
    CU_ASSERT_EQUAL(ask_fetch(&blob.hash, 1000, 500), DPC_OK);
    CU_ASSERT_EQUAL(reply.type, DPC_MSG_CHUNK);
    CU_ASSERT_EQUAL(reply.chunk.offset, 1000);
    CU_ASSERT_EQUAL(reply.chunk.total, 3000);
    CU_ASSERT_EQUAL(reply.body_len, 500);
    CU_ASSERT_EQUAL(memcmp(reply.body, bytes + 1000, 500), 0);
    CU_ASSERT_EQUAL(ask_fetch(&blob.hash, 2999, UINT32_MAX), DPC_OK);
    CU_ASSERT_EQUAL(reply.body_len, 1);
    CU_ASSERT_EQUAL(ask_fetch(&blob.hash, 3000, 1), DPC_ERANGE);
    CU_ASSERT_EQUAL(ask_fetch(&blob.hash, UINT64_MAX, 1), DPC_ERANGE);
    blob.hash.bytes[3] ^= 1;
    CU_ASSERT_EQUAL(ask_fetch(&blob.hash, 0, 1), DPC_ENOTFOUND);
    dpc_shelf_done(&theirs);
}

static void
uploads(void)
{
    struct dpc_blob_ref blob = dpc_shelf_make(&ours, 3000, 1);
    const uint8_t *bytes = dpc_shelf_find(&ours, &blob.hash)->bytes;
    CU_ASSERT_EQUAL(ask_offer(&blob.hash, 3000), DPC_OK);
    CU_ASSERT(have(0, false));
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 0, 3000, bytes, 1000), DPC_OK);
    CU_ASSERT(have(1000, false));
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 0, 3000, bytes, 1000), DPC_OK); /* twice */
    CU_ASSERT(have(1000, false));
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 2000, 3000, bytes, 1000), DPC_OK); /* a hole */
    CU_ASSERT(have(1000, false));
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 500, 3000, bytes, 1000), DPC_OK); /* across */
    CU_ASSERT(have(1000, false));
    CU_ASSERT_EQUAL(ask_offer(&blob.hash, 3000), DPC_OK); /* after a break */
    CU_ASSERT(have(1000, false));
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 1000, 3000, bytes + 1000, 2000), DPC_OK);
    CU_ASSERT(have(3000, true));
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 1000, 3000, bytes + 1000, 2000), DPC_OK);
    CU_ASSERT(have(3000, true));
    CU_ASSERT_EQUAL(ask_offer(&blob.hash, 3000), DPC_OK);
    CU_ASSERT(have(3000, true));
    CU_ASSERT(dpc_shelf_holds(&theirs, &blob));
    CU_ASSERT_EQUAL(ask_offer(&blob.hash, 2999), DPC_EPROTO);
    dpc_shelf_done(&ours);
    dpc_shelf_done(&theirs);
}

static void
bad_uploads(void)
{
    struct dpc_blob_ref blob = dpc_shelf_make(&ours, 5000, 1);
    const uint8_t *bytes = dpc_shelf_find(&ours, &blob.hash)->bytes;
    CU_ASSERT_EQUAL(ask_offer(&blob.hash, 5001), DPC_ELIMIT);
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 0, 5001, bytes, 1), DPC_ELIMIT);
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 0, 5000, bytes, 0), DPC_EPROTO);
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 4999, 5000, bytes, 2), DPC_EPROTO);
    CU_ASSERT_EQUAL(ask_put(&blob.hash, UINT64_MAX, 5000, bytes, 2), DPC_EPROTO);
    CU_ASSERT_PTR_NULL(dpc_shelf_find(&theirs, &blob.hash));
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 0, 100, bytes, 100), DPC_EHASH); /* not that blob */
    CU_ASSERT_PTR_NULL(dpc_shelf_find(&theirs, &blob.hash));
    theirs.write_code = DPC_ENOSPACE;
    CU_ASSERT_EQUAL(ask_put(&blob.hash, 0, 5000, bytes, 100), DPC_ENOSPACE);
    theirs.write_code = DPC_OK;
    CU_ASSERT_EQUAL(ask((struct dpc_msg){.type = DPC_MSG_HELLO}), DPC_EPROTO);
    dpc_shelf_done(&ours);
}

/* All bytes arrived, and the coordinator died before the last step. */
static void
an_offer_finishes_what_is_whole(void)
{
    struct dpc_blob_ref blob = dpc_shelf_make(&theirs, 100, 1);
    struct dpc_shelf_blob *kept = dpc_shelf_find(&theirs, &blob.hash);
    kept->complete = false;
    CU_ASSERT_EQUAL(ask_offer(&blob.hash, 100), DPC_OK);
    CU_ASSERT(have(100, true));
    kept->complete = false;
    kept->bytes[50] ^= 1;
    CU_ASSERT_EQUAL(ask_offer(&blob.hash, 100), DPC_OK);
    CU_ASSERT(have(0, false));
    struct dpc_blob_ref empty = dpc_shelf_make(&ours, 0, 1);
    CU_ASSERT_EQUAL(ask_offer(&empty.hash, 0), DPC_OK);
    CU_ASSERT(have(0, true));
    CU_ASSERT(dpc_shelf_holds(&theirs, &empty));
    dpc_shelf_done(&ours);
    dpc_shelf_done(&theirs);
}

static void
serve_waiting(struct dpc_listener *listener)
{
    struct dpc_serve_blobs blobs = dpc_shelf_serve(&theirs);
    struct dpc_peer peer;
    struct dpc_msg request;
    while (dpc_listener_receive(listener, &peer, &request, &err) == DPC_OK) {
        CU_ASSERT_EQUAL(dpc_serve_bulk(&blobs, &request, scratch, &reply, &err), DPC_OK);
        CU_ASSERT_EQUAL(dpc_listener_send(listener, &peer, &reply), DPC_OK);
    }
}

static bool
moves(struct dpc_transfer *transfer, struct dpc_link *link, struct dpc_listener *listener)
{
    struct dpc_msg msg;
    int code = DPC_OK;
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + 60 * 1000, now_ms = 0;
    while (!dpc_transfer_idle(transfer) && code == DPC_OK && now_ms < end_ms) {
        struct dpc_poll_item items[] = {{.listener = listener, .fd = -1}, {.link = link, .fd = -1}};
        now_ms = dpc_clock_now_ms(&dpc_clock_system);
        code = dpc_transfer_pump(transfer, now_ms, &err);
        (void)!dpc_channel_poll(items, 2, 50);
        serve_waiting(listener);
        while (code == DPC_OK && dpc_link_receive(link, &msg, &err) == DPC_OK)
            code = dpc_transfer_handle(transfer, &msg, now_ms, &err);
    }
    return code == DPC_OK && dpc_transfer_idle(transfer);
}

static void
over_real_sockets(void)
{
    struct dpc_keypair server_keys, worker_keys;
    struct dpc_net *net;
    struct dpc_listener *listener;
    struct dpc_link *link;
    dpc_keypair_generate(&server_keys);
    dpc_keypair_generate(&worker_keys);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&net, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_net_authorize(net, &worker_keys.public_key, DPC_ROLE_WORKER), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_listener_open(net, DPC_CHANNEL_BULK, "tcp://127.0.0.1:*",
                                            &server_keys, &listener, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_link_open(net, DPC_CHANNEL_BULK, dpc_listener_endpoint(listener),
                                        &worker_keys, &server_keys.public_key, &link, &err),
                          DPC_OK);
    struct dpc_transfer_files files = dpc_shelf_files(&ours);
    struct dpc_transfer *transfer = dpc_transfer_create(link, &files);
    struct dpc_blob_ref down = dpc_shelf_make(&theirs, 5 * 1048576 + 1, 1);
    struct dpc_blob_ref up = dpc_shelf_make(&ours, 5 * 1048576 - 1, 2);
    CU_ASSERT_EQUAL(dpc_transfer_fetch(transfer, &down, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_transfer_put(transfer, &up, &err), DPC_OK);
    CU_ASSERT(moves(transfer, link, listener));
    CU_ASSERT(dpc_shelf_holds(&ours, &down) && dpc_shelf_holds(&theirs, &up));
    struct dpc_traffic traffic = dpc_listener_traffic(listener);
    CU_ASSERT(traffic.bytes_sent > down.bytes && traffic.bytes_sent < down.bytes + 4096);
    CU_ASSERT(traffic.bytes_received > up.bytes && traffic.bytes_received < up.bytes + 4096);
    dpc_transfer_destroy(transfer);
    dpc_link_close(link);
    dpc_listener_close(listener);
    dpc_net_destroy(net);
    dpc_shelf_done(&ours);
    dpc_shelf_done(&theirs);
}

static const struct dpc_test tests[] = {
    {"fetches", fetches},
    {"uploads", uploads},
    {"bad uploads", bad_uploads},
    {"an offer finishes what is whole", an_offer_finishes_what_is_whole},
    {"over real sockets", over_real_sockets},
};

DPC_TEST_MAIN("proto/serve", tests)
