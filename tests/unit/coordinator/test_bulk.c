/* SPDX-License-Identifier: Apache-2.0
 * Bulk of a coordinator over real sockets, its store on the disk: what is read through, who waits
 * for it meanwhile, and what a blob that is none, damaged or gone comes to. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "coordinator/state.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/coordinator/worker_link.h"
#include "tests/unit/harness.h"
#include "tests/unit/proto/shelf.h"
#include "tests/unit/storage/blob_file.h"
#include "tests/unit/storage/scratch.h"

static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "warm_start: {steps: 8}\n";

enum {
    PIECES = 5, /* fewer than may be under way */
    BLOB_BYTES = (PIECES - 1) * DPC_TRANSFER_CHUNK + 5,
    WAIT_MS = 60 * 1000,
    TURN_MS = 20
};

static struct dpc_error err;

struct bench {
    struct driver driver;
    struct dpc_server *server;
    struct dpc_net *net;
    struct dpc_link *link;
    struct worker_link_keys keys;
    struct dpc_shelf shelf;
    struct dpc_transfer *transfer;
    char folder[SCRATCH_PATH_MAX];
};

/* As the worker of that key. */
static void
take_lease(struct bench *bench)
{
    struct dpc_msg_hello hello = {.protocol_min = DPC_PROTOCOL_MIN,
                                  .protocol_max = DPC_PROTOCOL_MAX,
                                  .name = "test",
                                  .build = "test",
                                  .numeric_class = "test"};
    struct dpc_event event = {.type = DPC_EVENT_HELLO};
    memcpy(event.worker, bench->keys.worker.public_key.bytes, DPC_WORKER_KEY_BYTES);
    event.hello.message = &hello;
    driver_step(&bench->driver, &event);
    event = (struct dpc_event){.type = DPC_EVENT_ASK};
    memcpy(event.worker, bench->keys.worker.public_key.bytes, DPC_WORKER_KEY_BYTES);
    driver_step(&bench->driver, &event);
    CU_ASSERT_NOT_EQUAL_FATAL(dpc_core_held_by(bench->driver.core, event.worker), 0);
}

static void
bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    driver_start_with_store(&bench->driver, yaml, scratch_make(bench->folder));
    struct dpc_server *server = dpc_alloc(1, sizeof *server);
    bench->server = server;
    server->experiment = bench->driver.experiment;
    server->store = server->world.store = bench->driver.store;
    server->core = bench->driver.core;
    server->blob_bytes_max = BLOB_BYTES;
    server->peer_faults = (struct dpc_log_limit){.burst = 10, .period_ms = 60000};
    server->chunk = dpc_alloc(DPC_CHUNK_BYTES_MAX, 1);
    server_begin_reading(server);
    worker_link_open(DPC_CHANNEL_BULK, &bench->net, &bench->link, &bench->keys, &server->bulk);
    struct dpc_transfer_files files = dpc_shelf_files(&bench->shelf);
    bench->transfer = dpc_transfer_create(bench->link, &files);
}

static void
bench_done(struct bench *bench)
{
    struct dpc_server *server = bench->server;
    dpc_transfer_destroy(bench->transfer);
    worker_link_close(bench->net, bench->link, server->bulk);
    server_end_reading(server);
    dpc_free(server->chunk);
    dpc_free(server);
    dpc_shelf_done(&bench->shelf);
    driver_stop(&bench->driver);
    scratch_remove(bench->folder);
}

/* A turn of the coordinator's loop; without `reads` nothing that was read is taken back. */
static void
serve(struct bench *bench, bool reads)
{
    struct dpc_server *server = bench->server;
    struct dpc_poll_item items[] = {{.listener = server->bulk, .fd = -1},
                                    {.link = bench->link, .fd = -1},
                                    {.fd = server_reading_fd(server)}};
    (void)!dpc_channel_poll(items, reads ? 3 : 2, TURN_MS);
    server_serve_bulk(server);
    if (reads)
        server_take_read(server);
}

/* Of both sides. */
static int
turn(struct bench *bench, bool reads)
{
    struct dpc_msg msg;
    int code = dpc_transfer_pump(bench->transfer, dpc_clock_now_ms(&dpc_clock_system), &err);
    serve(bench, reads);
    while (code == DPC_OK && dpc_link_receive(bench->link, &msg, &err) == DPC_OK)
        code =
            dpc_transfer_handle(bench->transfer, &msg, dpc_clock_now_ms(&dpc_clock_system), &err);
    return code;
}

/* As soon as the link takes it. */
static void
send(struct bench *bench, const struct dpc_msg *msg)
{
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    int code = dpc_link_send(bench->link, msg);
    while (code == DPC_EAGAIN && dpc_clock_now_ms(&dpc_clock_system) < end_ms) {
        serve(bench, false);
        code = dpc_link_send(bench->link, msg);
    }
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
}

/* Until all is over, the transfer fails, or the coordinator does. */
static int
move_all(struct bench *bench)
{
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    int code = DPC_OK;
    while (!dpc_transfer_idle(bench->transfer) && code == DPC_OK &&
           bench->server->failure == DPC_OK && dpc_clock_now_ms(&dpc_clock_system) < end_ms)
        code = turn(bench, true);
    return code;
}

static struct dpc_blob_ref
put_ours(struct bench *bench, size_t len)
{
    struct dpc_blob_ref blob = {.bytes = len};
    uint8_t *bytes = dpc_alloc(len, 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_put(bench->driver.store, bytes, len, &blob.hash, &err),
                          DPC_OK);
    dpc_free(bytes);
    return blob;
}

static void
blobs_go_both_ways(void)
{
    struct bench bench;
    bench_init(&bench);
    take_lease(&bench);
    struct dpc_blob_ref down = put_ours(&bench, BLOB_BYTES), small = put_ours(&bench, 100);
    struct dpc_blob_ref up = dpc_shelf_make(&bench.shelf, BLOB_BYTES - 1, 2);
    struct dpc_blob_ref little = dpc_shelf_make(&bench.shelf, 100, 3);
    CU_ASSERT_EQUAL(dpc_transfer_fetch(bench.transfer, &down, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_transfer_fetch(bench.transfer, &small, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_transfer_put(bench.transfer, &up, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_transfer_put(bench.transfer, &little, &err), DPC_OK);
    CU_ASSERT_EQUAL(move_all(&bench), DPC_OK);
    CU_ASSERT(dpc_transfer_idle(bench.transfer));
    CU_ASSERT(dpc_shelf_holds(&bench.shelf, &down) && dpc_shelf_holds(&bench.shelf, &small));
    uint64_t bytes;
    CU_ASSERT_EQUAL(dpc_store_blob_verify(bench.driver.store, &up.hash, &bytes, &err), DPC_OK);
    CU_ASSERT_EQUAL(bytes, up.bytes);
    CU_ASSERT_EQUAL(dpc_store_blob_verify(bench.driver.store, &little.hash, &bytes, &err), DPC_OK);
    CU_ASSERT_EQUAL(bench.server->peer_faults_count, 0);
    CU_ASSERT(server_reading_is_idle(bench.server));
    bench_done(&bench);
}

/* Pieces that were asked for before the blob was read come in their order: else all but one would
 * be asked for again. */
static void
nothing_goes_out_twice(void)
{
    struct bench bench;
    bench_init(&bench);
    struct dpc_blob_ref down = put_ours(&bench, BLOB_BYTES);
    CU_ASSERT_EQUAL(dpc_transfer_fetch(bench.transfer, &down, &err), DPC_OK);
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    while (dpc_listener_traffic(bench.server->bulk).messages_received < PIECES &&
           dpc_clock_now_ms(&dpc_clock_system) < end_ms)
        CU_ASSERT_EQUAL(turn(&bench, false), DPC_OK);
    CU_ASSERT_EQUAL(move_all(&bench), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&bench.shelf, &down));
    uint64_t sent = dpc_listener_traffic(bench.server->bulk).bytes_sent;
    CU_ASSERT(sent > down.bytes && sent < down.bytes + 8192);
    bench_done(&bench);
}

/* Sends one request and gives the answer, which without `reads` must not wait for a reading. */
static struct dpc_msg
ask_for(struct bench *bench, const struct dpc_msg *request, bool reads)
{
    struct dpc_msg msg = {0};
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    send(bench, request);
    while (dpc_clock_now_ms(&dpc_clock_system) < end_ms) {
        serve(bench, reads);
        if (dpc_link_receive(bench->link, &msg, &err) == DPC_OK)
            return msg;
    }
    CU_FAIL_FATAL("no answer");
    return msg;
}

static struct dpc_msg
ask(struct bench *bench, const struct dpc_msg *request)
{
    return ask_for(bench, request, true);
}

/* However many they are, and although their pieces go out by turns. */
static void
blobs_under_way_are_each_read_once(void)
{
    enum { BLOBS = 1100, PIECE_BYTES = 50 };
    static struct dpc_blob_ref blobs[BLOBS];
    struct bench bench;
    bench_init(&bench);
    struct dpc_msg fetch = {.type = DPC_MSG_FETCH, .fetch = {.bytes = PIECE_BYTES}};
    for (uint32_t i = 0; i < BLOBS; i++)
        blobs[i] = put_ours(&bench, 2 * PIECE_BYTES + i);
    for (uint32_t round = 0; round < 2; round++) {
        fetch.fetch.offset = round * PIECE_BYTES;
        for (uint32_t i = 0; i < BLOBS; i++) {
            fetch.request++;
            fetch.fetch.hash = blobs[i].hash;
            struct dpc_msg answer = ask_for(&bench, &fetch, round == 0);
            CU_ASSERT_FATAL(answer.type == DPC_MSG_CHUNK && answer.request == fetch.request);
        }
    }
    CU_ASSERT(server_reading_is_idle(bench.server));
    bench_done(&bench);
}

static void
an_offer_of_nothing_under_a_false_name_is_answered(void)
{
    struct bench bench;
    bench_init(&bench);
    take_lease(&bench);
    struct dpc_msg offer = {.type = DPC_MSG_OFFER, .request = 9};
    memset(offer.offer.hash.bytes, 7, sizeof offer.offer.hash.bytes);
    struct dpc_msg answer = ask(&bench, &offer);
    CU_ASSERT(answer.type == DPC_MSG_HAVE && answer.request == 9);
    CU_ASSERT(answer.have.offset == 0 && !answer.have.complete);
    dpc_hash_of("", 0, &offer.offer.hash);
    answer = ask(&bench, &offer);
    CU_ASSERT(answer.type == DPC_MSG_HAVE && answer.have.complete);
    CU_ASSERT(server_reading_is_idle(bench.server));
    bench_done(&bench);
}

/* However many pieces one worker asks for, others find a place. */
static void
no_worker_takes_all_places(void)
{
    enum { ASKED = 200 };
    struct bench bench;
    struct dpc_msg msg;
    bench_init(&bench);
    struct dpc_blob_ref down = put_ours(&bench, BLOB_BYTES);
    struct dpc_msg fetch = {.type = DPC_MSG_FETCH, .fetch = {down.hash, 0, 1000}};
    for (fetch.request = 1; fetch.request <= ASKED; fetch.request++, fetch.fetch.offset++)
        send(&bench, &fetch);
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    uint32_t refused = 0;
    while (dpc_listener_traffic(bench.server->bulk).messages_received < ASKED &&
           dpc_clock_now_ms(&dpc_clock_system) < end_ms) {
        serve(&bench, false);
    }
    struct dpc_poll_item item = {.link = bench.link, .fd = -1};
    while (dpc_channel_poll(&item, 1, 10 * TURN_MS) == DPC_OK) {
        while (dpc_link_receive(bench.link, &msg, &err) == DPC_OK)
            refused += msg.type == DPC_MSG_ERROR && msg.error.code == DPC_EAGAIN;
    }
    CU_ASSERT(refused > ASKED / 2 && refused <= ASKED - DPC_TRANSFER_CREDIT);
    CU_ASSERT_EQUAL(bench.server->peer_faults_count, 0);
    bench_done(&bench);
}

/* A worker that was refused would give its lease back, and what it has computed would be lost. */
static void
who_finds_no_descriptor_left_is_put_off(void)
{
    struct bench bench;
    struct rlimit before, none;
    bench_init(&bench);
    take_lease(&bench);
    struct dpc_blob_ref up = dpc_shelf_make(&bench.shelf, BLOB_BYTES / 8, 2);
    struct dpc_blob_ref down = put_ours(&bench, BLOB_BYTES);
    struct dpc_msg put = {.type = DPC_MSG_PUT, .request = 1, .put = {up.hash, 0, up.bytes}};
    struct dpc_msg fetch = {.type = DPC_MSG_FETCH, .request = 2, .fetch = {down.hash, 0, 100}};
    put.body = dpc_shelf_find(&bench.shelf, &up.hash)->bytes;
    put.body_len = up.bytes;
    struct dpc_msg offer = {.type = DPC_MSG_OFFER, .request = 3, .offer = {up.hash, up.bytes}};
    CU_ASSERT_EQUAL(ask(&bench, &offer).type, DPC_MSG_HAVE); /* the connection stands */

    int next = dup(STDOUT_FILENO);
    close(next);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 160; i++) { /* together more than a lease may hand in */
        struct dpc_msg answer = ask(&bench, i % 2 ? &fetch : &put);
        CU_ASSERT(answer.type == DPC_MSG_ERROR && answer.error.code == DPC_EAGAIN);
    }
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
    CU_ASSERT_EQUAL(bench.server->peer_faults_count, 0);
    CU_ASSERT_EQUAL(bench.server->failure, DPC_OK);
    CU_ASSERT_EQUAL(ask(&bench, &fetch).type, DPC_MSG_CHUNK);
    CU_ASSERT_EQUAL(ask(&bench, &put).type, DPC_MSG_HAVE);
    bench_done(&bench);
}

/* Its sender is told, and may try once more; what came is not kept. */
static void
an_upload_that_is_another_blob_is_refused(void)
{
    struct bench bench;
    uint64_t bytes;
    bench_init(&bench);
    take_lease(&bench);
    struct dpc_blob_ref up = dpc_shelf_make(&bench.shelf, BLOB_BYTES, 2);
    bench.shelf.flips = 1;
    CU_ASSERT_EQUAL(dpc_transfer_put(bench.transfer, &up, &err), DPC_OK);
    CU_ASSERT_EQUAL(move_all(&bench), DPC_OK);
    CU_ASSERT_EQUAL(dpc_store_blob_verify(bench.driver.store, &up.hash, &bytes, &err), DPC_OK);
    CU_ASSERT_EQUAL(bench.server->peer_faults_count, 1);
    up = dpc_shelf_make(&bench.shelf, BLOB_BYTES, 4);
    bench.shelf.flips = -1;
    CU_ASSERT_EQUAL(dpc_transfer_put(bench.transfer, &up, &err), DPC_OK);
    CU_ASSERT_EQUAL(move_all(&bench), DPC_EHASH);
    CU_ASSERT_EQUAL(dpc_store_blob_size(bench.driver.store, &up.hash, &bytes), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_store_blob_partial(bench.driver.store, &up.hash), 0);
    CU_ASSERT_EQUAL(bench.server->peer_faults_count, 3);
    CU_ASSERT_EQUAL(bench.server->failure, DPC_OK);
    bench_done(&bench);
}

static void
nothing_is_taken_that_no_lease_owes(void)
{
    struct bench bench;
    uint64_t bytes;
    bench_init(&bench);
    struct dpc_blob_ref up = dpc_shelf_make(&bench.shelf, BLOB_BYTES, 2);
    CU_ASSERT_EQUAL(dpc_transfer_put(bench.transfer, &up, &err), DPC_OK);
    CU_ASSERT_EQUAL(move_all(&bench), DPC_EPERM);
    CU_ASSERT_EQUAL(dpc_store_blob_partial(bench.driver.store, &up.hash), 0);
    take_lease(&bench);
    int code = DPC_OK;
    uint32_t blobs = 0;
    for (uint32_t seed = 2; code == DPC_OK && seed < 15; seed++) {
        up = dpc_shelf_make(&bench.shelf, BLOB_BYTES, seed);
        CU_ASSERT_EQUAL(dpc_transfer_put(bench.transfer, &up, &err), DPC_OK);
        code = move_all(&bench);
        blobs += dpc_store_blob_size(bench.driver.store, &up.hash, &bytes) == DPC_OK;
    }
    CU_ASSERT_EQUAL(code, DPC_EPERM);
    CU_ASSERT_EQUAL(blobs, 8);
    CU_ASSERT_EQUAL(bench.server->failure, DPC_OK);
    bench_done(&bench);
}

/* Each takes a file of its own: a byte of each filled the disk, at 4 KiB a byte. */
static void
a_lease_owes_no_thousand_blobs(void)
{
    enum { PUTS = 300, MOST = 8 * (DPC_LEVELS_MAX + 2) };
    struct bench bench;
    struct dpc_msg put = {.type = DPC_MSG_PUT, .put.total = 2, .body_len = 1};
    uint32_t files = 0;
    put.body = (const uint8_t *)"x";
    bench_init(&bench);
    take_lease(&bench);
    for (put.request = 1; put.request <= PUTS; put.request++) {
        memcpy(put.put.hash.bytes, &put.request, sizeof put.request);
        send(&bench, &put);
    }
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    while (dpc_listener_traffic(bench.server->bulk).messages_received < PUTS &&
           dpc_clock_now_ms(&dpc_clock_system) < end_ms)
        serve(&bench, false);
    for (uint64_t number = 1; number <= PUTS; number++) {
        memcpy(put.put.hash.bytes, &number, sizeof number);
        files += dpc_store_blob_partial(bench.driver.store, &put.put.hash) > 0;
    }
    CU_ASSERT_EQUAL(files, MOST);
    CU_ASSERT_EQUAL(bench.server->peer_faults_count, PUTS - MOST);
    CU_ASSERT_EQUAL(bench.server->failure, DPC_OK);
    bench_done(&bench);
}

/* However often it asks meanwhile. */
static void
who_asks_while_a_blob_is_read_is_answered_once(void)
{
    struct bench bench;
    struct dpc_msg msg;
    bench_init(&bench);
    struct dpc_blob_ref down = put_ours(&bench, BLOB_BYTES);
    struct dpc_msg fetch = {.type = DPC_MSG_FETCH, .fetch = {down.hash, 0, 1000}};
    for (fetch.request = 1; fetch.request <= 5; fetch.request++)
        send(&bench, &fetch);
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    while (dpc_listener_traffic(bench.server->bulk).messages_received < 5 &&
           dpc_clock_now_ms(&dpc_clock_system) < end_ms)
        CU_ASSERT_EQUAL(turn(&bench, false), DPC_OK);
    CU_ASSERT_EQUAL(dpc_listener_traffic(bench.server->bulk).messages_sent, 0);
    while (dpc_listener_traffic(bench.server->bulk).messages_sent == 0 &&
           dpc_clock_now_ms(&dpc_clock_system) < end_ms) {
        struct dpc_poll_item item = {.fd = server_reading_fd(bench.server)};
        (void)!dpc_channel_poll(&item, 1, TURN_MS);
        server_take_read(bench.server);
    }
    CU_ASSERT_EQUAL(dpc_listener_traffic(bench.server->bulk).messages_sent, 1);
    struct dpc_poll_item item = {.link = bench.link, .fd = -1};
    CU_ASSERT_EQUAL(dpc_channel_poll(&item, 1, WAIT_MS), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_link_receive(bench.link, &msg, &err), DPC_OK);
    CU_ASSERT(msg.type == DPC_MSG_CHUNK && msg.body_len == 1000);
    CU_ASSERT_EQUAL(msg.request, 5); /* what it has asked last */
    bench_done(&bench);
}

static void
a_damaged_blob_does_not_go_out(void)
{
    struct bench bench;
    char path[BLOB_FILE_PATH_MAX], hex[DPC_HASH_HEX_MAX];
    bench_init(&bench);
    struct dpc_blob_ref down = put_ours(&bench, BLOB_BYTES);
    blob_file(bench.folder, &down.hash, path);
    blob_file_flip(path, 2000000);
    CU_ASSERT_EQUAL(dpc_transfer_fetch(bench.transfer, &down, &err), DPC_OK);
    (void)move_all(&bench);
    CU_ASSERT_EQUAL(bench.server->failure, DPC_ECORRUPT);
    dpc_hash_hex(&down.hash, hex, sizeof hex);
    CU_ASSERT_PTR_NOT_NULL(strstr(bench.server->failure_text.text, hex));
    CU_ASSERT_EQUAL(dpc_transfer_bytes_fetched(bench.transfer), 0);
    bench_done(&bench);
}

/* As an outer step would: the dense model's first module is there from the beginning. */
static void
name_as_change(struct bench *bench, const struct dpc_hash *hash)
{
    uint32_t module = dpc_core_topology(bench->driver.core)->routed_modules;
    struct dpc_module_record *record =
        (struct dpc_module_record *)(uintptr_t)dpc_core_module(bench->driver.core, module);
    CU_ASSERT_PTR_NOT_NULL_FATAL(record);
    record->change = *hash;
}

/* Whoever is told that a difference is gone fetches the version whole. */
static void
a_difference_can_be_done_without(void)
{
    struct bench bench;
    char path[BLOB_FILE_PATH_MAX];
    bench_init(&bench);
    struct dpc_blob_ref down = put_ours(&bench, BLOB_BYTES);
    name_as_change(&bench, &down.hash);
    blob_file(bench.folder, &down.hash, path);
    blob_file_flip(path, 2000000);
    CU_ASSERT_EQUAL(dpc_transfer_fetch(bench.transfer, &down, &err), DPC_OK);
    CU_ASSERT_EQUAL(move_all(&bench), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(bench.server->failure, DPC_OK);
    struct dpc_blob_ref gone = {.bytes = 100};
    memset(gone.hash.bytes, 9, sizeof gone.hash.bytes);
    name_as_change(&bench, &gone.hash);
    CU_ASSERT_EQUAL(dpc_transfer_fetch(bench.transfer, &gone, &err), DPC_OK);
    CU_ASSERT_EQUAL(move_all(&bench), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(bench.server->failure, DPC_OK);
    bench_done(&bench);
}

/* The driver's shards are names alone. */
static struct dpc_blob_ref
one_that_is_gone(const struct bench *bench)
{
    struct dpc_keep *keep = dpc_keep_create(bench->driver.core);
    struct dpc_blob_ref blob = {.bytes = 100};
    bool found = false;
    for (size_t i = 0; i < dpc_keep_count(keep) && !found; i++) {
        uint64_t bytes;
        blob.hash = *dpc_keep_at(keep, i);
        found = dpc_store_blob_size(bench->driver.store, &blob.hash, &bytes) == DPC_ENOTFOUND;
    }
    dpc_keep_destroy(keep);
    CU_ASSERT_FATAL(found);
    return blob;
}

/* One that nothing names is the worker's matter; one that something does, the operator's, who is
 * not told that a worker did wrong. */
static void
a_blob_that_is_gone_is_told(void)
{
    struct bench bench;
    bench_init(&bench);
    struct dpc_blob_ref none = {.bytes = 100};
    memset(none.hash.bytes, 7, sizeof none.hash.bytes);
    CU_ASSERT_EQUAL(dpc_transfer_fetch(bench.transfer, &none, &err), DPC_OK);
    CU_ASSERT_EQUAL(move_all(&bench), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(bench.server->failure, DPC_OK);
    uint64_t faults = bench.server->peer_faults_count;
    CU_ASSERT_EQUAL(faults, 1);
    struct dpc_blob_ref gone = one_that_is_gone(&bench);
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    while (bench.server->failure == DPC_OK && dpc_clock_now_ms(&dpc_clock_system) < end_ms) {
        faults = bench.server->peer_faults_count;
        CU_ASSERT_EQUAL(dpc_transfer_fetch(bench.transfer, &gone, &err), DPC_OK);
        (void)move_all(&bench);
    }
    CU_ASSERT_EQUAL(bench.server->failure, DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(bench.server->failure_text.text, "put its file back"));
    CU_ASSERT_EQUAL(bench.server->peer_faults_count, faults);
    bench_done(&bench);
}

static const struct dpc_test tests[] = {
    {"blobs go both ways", blobs_go_both_ways},
    {"nothing goes out twice", nothing_goes_out_twice},
    {"blobs under way are each read once", blobs_under_way_are_each_read_once},
    {"an offer of nothing under a false name is answered",
     an_offer_of_nothing_under_a_false_name_is_answered},
    {"no worker takes all places", no_worker_takes_all_places},
    {"who finds no descriptor left is put off", who_finds_no_descriptor_left_is_put_off},
    {"an upload that is another blob is refused", an_upload_that_is_another_blob_is_refused},
    {"nothing is taken that no lease owes", nothing_is_taken_that_no_lease_owes},
    {"a lease owes no thousand blobs", a_lease_owes_no_thousand_blobs},
    {"who asks while a blob is read is answered once",
     who_asks_while_a_blob_is_read_is_answered_once},
    {"a damaged blob does not go out", a_damaged_blob_does_not_go_out},
    {"a difference can be done without", a_difference_can_be_done_without},
    {"a blob that is gone is told", a_blob_that_is_gone_is_told},
};

DPC_TEST_MAIN("coordinator/bulk", tests)
