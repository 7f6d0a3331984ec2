/* SPDX-License-Identifier: Apache-2.0
 * A transfer and dpc_serve_bulk with a lossy middle between them: queues of encoded messages that
 * are dropped, doubled and reordered from a seed, on a clock that the test turns. */
#include "proto/transfer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "proto/serve.h"
#include "tests/unit/harness.h"
#include "tests/unit/proto/shelf.h"

enum { QUEUE_MAX = 256, STEP_MS = 7, ARENA_BYTES = 256 * 1024 };

static const size_t CHUNK = DPC_TRANSFER_CHUNK;

struct letter {
    struct dpc_buf header;
    uint8_t *body;
    size_t body_len;
};

struct queue {
    struct letter letters[QUEUE_MAX];
    size_t count;
};

struct world {
    struct dpc_shelf ours, theirs; /* worker, coordinator */
    struct queue to_server, to_client;
    struct dpc_transfer *transfer;
    struct dpc_serve_blobs serve;
    struct dpc_msg_arena *arena;
    uint8_t *scratch;
    struct dpc_rng rng;
    unsigned drop, twice, swap; /* per mille */
    uint64_t epoch;
    int64_t now_ms;
    bool connected, busy;
    size_t sent, served, open_most; /* messages */
    struct dpc_error err;
};

static void
drop_letter(struct queue *queue, size_t index)
{
    dpc_buf_done(&queue->letters[index].header);
    dpc_free(queue->letters[index].body);
    memmove(&queue->letters[index], &queue->letters[index + 1],
            (queue->count - index - 1) * sizeof *queue->letters);
    queue->count--;
}

static void
post(struct world *world, struct queue *queue, const struct dpc_msg *msg)
{
    if (dpc_rng_below(&world->rng, 1000) < world->drop)
        return;
    CU_ASSERT_FATAL(queue->count < QUEUE_MAX);
    struct letter *letter = &queue->letters[queue->count++];
    dpc_buf_init(&letter->header, 0);
    CU_ASSERT_EQUAL_FATAL(dpc_msg_encode(msg, &letter->header, &world->err), DPC_OK);
    letter->body = msg->body ? dpc_alloc(msg->body_len, 1) : NULL;
    letter->body_len = msg->body_len;
    if (msg->body)
        memcpy(letter->body, msg->body, msg->body_len);
    if (dpc_rng_below(&world->rng, 1000) < world->swap) {
        struct letter *other = &queue->letters[dpc_rng_below(&world->rng, queue->count)];
        struct letter kept = *other;
        *other = *letter;
        *letter = kept;
    }
}

static int
wire_send(void *context, const struct dpc_msg *msg)
{
    struct world *world = context;
    if (!world->connected)
        return DPC_EAGAIN;
    world->sent++;
    post(world, &world->to_server, msg);
    if (dpc_rng_below(&world->rng, 1000) < world->twice)
        post(world, &world->to_server, msg);
    return DPC_OK;
}

static uint64_t
wire_epoch(void *context)
{
    return ((struct world *)context)->epoch;
}

static void
open_transfer(struct world *world)
{
    struct dpc_transfer_wire wire = {wire_send, wire_epoch, world, false};
    struct dpc_transfer_files files = dpc_shelf_files(&world->ours);
    world->transfer = dpc_transfer_create_on(&wire, &files);
}

static struct world *
open_world(uint32_t seed)
{
    struct world *world = dpc_alloc(1, sizeof *world);
    world->connected = true;
    world->serve = dpc_shelf_serve(&world->theirs);
    world->arena = dpc_msg_arena_create(ARENA_BYTES);
    world->scratch = dpc_alloc(DPC_CHUNK_BYTES_MAX, 1);
    dpc_rng_init(&world->rng, 5, DPC_RNG_TEST, seed, 0, 0);
    open_transfer(world);
    return world;
}

static void
lose_all(struct world *world)
{
    while (world->to_server.count)
        drop_letter(&world->to_server, 0);
    while (world->to_client.count)
        drop_letter(&world->to_client, 0);
}

static void
close_world(struct world *world)
{
    lose_all(world);
    dpc_transfer_destroy(world->transfer);
    dpc_msg_arena_destroy(world->arena);
    dpc_shelf_done(&world->ours);
    dpc_shelf_done(&world->theirs);
    dpc_free(world->scratch);
    dpc_free(world);
}

static void
read_letter(struct world *world, const struct letter *letter, struct dpc_msg *ret_msg)
{
    CU_ASSERT_EQUAL_FATAL(
        dpc_msg_decode(letter->header.data, letter->header.len, world->arena, ret_msg, &world->err),
        DPC_OK);
    ret_msg->body = letter->body;
    ret_msg->body_len = letter->body_len;
}

static void
serve_one(struct world *world)
{
    struct dpc_msg request, reply;
    struct dpc_error err;
    read_letter(world, &world->to_server.letters[0], &request);
    (void)dpc_serve_bulk(&world->serve, &request, world->scratch, &reply, &err);
    if (world->busy) {
        reply = (struct dpc_msg){.type = DPC_MSG_ERROR, .request = request.request};
        reply.error.code = DPC_EBUSY;
    }
    post(world, &world->to_client, &reply);
    if (dpc_rng_below(&world->rng, 1000) < world->twice)
        post(world, &world->to_client, &reply);
    world->served++;
    drop_letter(&world->to_server, 0);
}

static int
hear_one(struct world *world)
{
    struct dpc_msg reply;
    read_letter(world, &world->to_client.letters[0], &reply);
    int code = dpc_transfer_handle(world->transfer, &reply, world->now_ms, &world->err);
    drop_letter(&world->to_client, 0);
    return code;
}

/* One turn: what may be sent, a few served, a few heard. */
static int
turn(struct world *world)
{
    world->now_ms += STEP_MS;
    int code = dpc_transfer_pump(world->transfer, world->now_ms, &world->err);
    if (world->to_server.count > world->open_most)
        world->open_most = world->to_server.count;
    for (uint64_t n = dpc_rng_below(&world->rng, 4); n && world->to_server.count; n--)
        serve_one(world);
    for (uint64_t n = dpc_rng_below(&world->rng, 4); code == DPC_OK && n && world->to_client.count;
         n--)
        code = hear_one(world);
    return code;
}

/* Until all is moved; DPC_ETIMEDOUT when it does not come to an end. */
static int
run(struct world *world)
{
    int code = DPC_OK;
    for (int i = 0; i < 2000000 && code == DPC_OK; i++) {
        if (dpc_transfer_idle(world->transfer))
            return DPC_OK;
        code = turn(world);
    }
    return code == DPC_OK ? DPC_ETIMEDOUT : code;
}

static const size_t sizes[] = {0,     1,         4097,        CHUNK - 1,
                               CHUNK, CHUNK + 1, 5 * 1048576, 5 * 1048576 + 3};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void
fetch(struct world *world, const struct dpc_blob_ref *blob)
{
    CU_ASSERT_EQUAL(dpc_transfer_fetch(world->transfer, blob, &world->err), DPC_OK);
}

static void
put(struct world *world, const struct dpc_blob_ref *blob)
{
    CU_ASSERT_EQUAL(dpc_transfer_put(world->transfer, blob, &world->err), DPC_OK);
}

static void
all_sizes_both_ways(void)
{
    struct world *world = open_world(0);
    uint64_t bytes = 0, chunks = 0;
    for (size_t i = 0; i < SIZES; i++) {
        struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, sizes[i], 1);
        struct dpc_blob_ref up = dpc_shelf_make(&world->ours, sizes[i], sizes[i] ? 2 : 1);
        fetch(world, &down);
        put(world, &up);
        CU_ASSERT_EQUAL_FATAL(run(world), DPC_OK);
        CU_ASSERT(dpc_shelf_holds(&world->ours, &down));
        CU_ASSERT(dpc_shelf_holds(&world->theirs, &up));
        bytes += sizes[i];
        chunks += (sizes[i] + CHUNK - 1) / CHUNK;
        CU_ASSERT_EQUAL(dpc_transfer_bytes_fetched(world->transfer), bytes);
        CU_ASSERT_EQUAL(dpc_transfer_bytes_put(world->transfer), bytes);
    }
    CU_ASSERT_EQUAL(world->sent, 2 * chunks + SIZES); /* one offer each, nothing twice */
    CU_ASSERT(world->open_most <= DPC_TRANSFER_CREDIT);
    close_world(world);
}

static void
many_blobs_at_once(void)
{
    struct world *world = open_world(1);
    struct dpc_blob_ref down[5], up[5];
    for (uint32_t i = 0; i < 5; i++) {
        down[i] = dpc_shelf_make(&world->theirs, 300000 * (i + 1), 10 + i);
        up[i] = dpc_shelf_make(&world->ours, 400000 * (i + 1), 20 + i);
        fetch(world, &down[i]);
        put(world, &up[i]);
        put(world, &up[i]); /* twice is once */
        fetch(world, &down[i]);
    }
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    for (int i = 0; i < 5; i++) {
        CU_ASSERT(dpc_shelf_holds(&world->ours, &down[i]));
        CU_ASSERT(dpc_shelf_holds(&world->theirs, &up[i]));
    }
    uint64_t bytes = dpc_transfer_bytes_fetched(world->transfer);
    CU_ASSERT_EQUAL(bytes, 300000 * 15);
    fetch(world, &down[0]); /* here already */
    CU_ASSERT(dpc_transfer_idle(world->transfer));
    put(world, &up[0]);
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT_EQUAL(dpc_transfer_bytes_put(world->transfer), 400000 * 15);
    close_world(world);
}

static void
a_lossy_middle_loses_nothing(void)
{
    static const struct {
        unsigned drop, twice, swap;
    } rows[] = {{50, 0, 0},   {0, 200, 0},   {0, 0, 200},     {100, 100, 100},
                {300, 50, 0}, {0, 900, 900}, {100, 300, 500}, {500, 0, 100}};
    for (uint32_t i = 0; i < 3 * sizeof rows / sizeof *rows; i++) {
        struct world *world = open_world(100 + i);
        size_t row = i % (sizeof rows / sizeof *rows);
        world->drop = rows[row].drop;
        world->twice = rows[row].twice;
        world->swap = rows[row].swap;
        struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, 5 * CHUNK + 17 * i, 1);
        struct dpc_blob_ref up = dpc_shelf_make(&world->ours, 6 * CHUNK - 31 * i, 2);
        struct dpc_blob_ref small = dpc_shelf_make(&world->ours, i, 3);
        fetch(world, &down);
        put(world, &up);
        put(world, &small);
        CU_ASSERT_EQUAL(run(world), DPC_OK);
        CU_ASSERT(dpc_shelf_holds(&world->ours, &down));
        CU_ASSERT(dpc_shelf_holds(&world->theirs, &up));
        CU_ASSERT(dpc_shelf_holds(&world->theirs, &small));
        close_world(world);
    }
}

/* Runs until about half of a blob has moved. */
static void
run_half(struct world *world, uint64_t bytes)
{
    while (dpc_transfer_bytes_fetched(world->transfer) < bytes / 2 &&
           dpc_transfer_bytes_put(world->transfer) < bytes / 2)
        CU_ASSERT_EQUAL_FATAL(turn(world), DPC_OK);
}

static void
a_new_connection_goes_on_at_once(void)
{
    struct world *world = open_world(7);
    size_t bytes = 40 * CHUNK;
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, bytes, 1);
    struct dpc_blob_ref up = dpc_shelf_make(&world->ours, bytes, 2);
    fetch(world, &down);
    put(world, &up);
    run_half(world, bytes);
    lose_all(world);
    world->connected = false;
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(turn(world), DPC_OK);
    world->connected = true;
    world->epoch++;
    size_t sent = world->sent;
    CU_ASSERT_EQUAL(turn(world), DPC_OK);
    CU_ASSERT_EQUAL(world->sent, sent + DPC_TRANSFER_CREDIT); /* no retry time had to pass */
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->ours, &down) && dpc_shelf_holds(&world->theirs, &up));
    CU_ASSERT(world->sent <= 2 * 40 + 2 + 2 * DPC_TRANSFER_CREDIT + 4); /* what was under way */
    close_world(world);
}

/* One lost answer costs what was under way behind it, not the rest of the blob. */
static void
a_hole_is_filled_at_once(void)
{
    struct world *world = open_world(17);
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, 40 * CHUNK, 1);
    fetch(world, &down);
    while (world->ours.writes < 10 || world->to_client.count == 0)
        CU_ASSERT_EQUAL_FATAL(turn(world), DPC_OK);
    drop_letter(&world->to_client, 0);
    int64_t start_ms = world->now_ms;
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(world->sent <= 40 + DPC_TRANSFER_CREDIT);
    CU_ASSERT(world->now_ms - start_ms < 1000);
    CU_ASSERT(dpc_shelf_holds(&world->ours, &down));
    close_world(world);
}

/* In strict mode two workers with the same task make the same bytes. */
static void
another_who_uploads_the_same_saves_work(void)
{
    struct world *world = open_world(18);
    struct dpc_blob_ref up = dpc_shelf_make(&world->ours, 40 * CHUNK, 1);
    put(world, &up);
    run_half(world, up.bytes);
    const uint8_t *bytes = dpc_shelf_find(&world->ours, &up.hash)->bytes;
    uint64_t kept = dpc_shelf_find(&world->theirs, &up.hash)->len;
    CU_ASSERT_EQUAL(
        world->serve.append(&world->theirs, &up.hash, kept, bytes + kept, 12 * CHUNK, &world->err),
        DPC_OK);
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(world->sent <= 1 + 40 - 12 + DPC_TRANSFER_CREDIT);
    CU_ASSERT(dpc_shelf_holds(&world->theirs, &up));
    close_world(world);
}

static void
a_new_process_resumes_from_what_is_kept(void)
{
    struct world *world = open_world(8);
    size_t bytes = 20 * CHUNK + 5;
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, bytes, 1);
    struct dpc_blob_ref up = dpc_shelf_make(&world->ours, bytes, 2);
    fetch(world, &down);
    run_half(world, bytes);
    dpc_transfer_cancel(world->transfer);
    lose_all(world);
    put(world, &up);
    uint64_t fetched = dpc_transfer_bytes_fetched(world->transfer);
    while (dpc_transfer_bytes_put(world->transfer) < bytes / 2)
        CU_ASSERT_EQUAL_FATAL(turn(world), DPC_OK);
    uint64_t kept = dpc_shelf_find(&world->theirs, &up.hash)->len;
    dpc_transfer_destroy(world->transfer);
    lose_all(world);
    open_transfer(world);
    fetch(world, &down);
    put(world, &up);
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->ours, &down) && dpc_shelf_holds(&world->theirs, &up));
    CU_ASSERT_EQUAL(dpc_transfer_bytes_fetched(world->transfer), bytes - fetched);
    CU_ASSERT_EQUAL(dpc_transfer_bytes_put(world->transfer), bytes - kept);
    close_world(world);
}

/* A restored or crashed coordinator has less than it said. */
static void
a_coordinator_that_lost_its_part_gets_it_again(void)
{
    for (int broken = 0; broken < 2; broken++) {
        struct world *world = open_world(9);
        size_t bytes = 20 * CHUNK;
        struct dpc_blob_ref up = dpc_shelf_make(&world->ours, bytes, 2);
        put(world, &up);
        run_half(world, bytes);
        dpc_shelf_forget(&world->theirs, &up.hash);
        if (broken) { /* and the connection with it */
            lose_all(world);
            world->epoch++;
        }
        CU_ASSERT_EQUAL(run(world), DPC_OK);
        CU_ASSERT(dpc_shelf_holds(&world->theirs, &up));
        close_world(world);
    }
}

static void
a_wrong_hash_is_fetched_once_more(void)
{
    struct world *world = open_world(10);
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, 3 * CHUNK, 1);
    world->theirs.flips = 1;
    fetch(world, &down);
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->ours, &down));
    CU_ASSERT_EQUAL(dpc_transfer_bytes_fetched(world->transfer), 6 * CHUNK);
    struct dpc_blob_ref bad = dpc_shelf_make(&world->theirs, 3 * CHUNK, 2);
    world->theirs.flips = -1;
    fetch(world, &bad);
    CU_ASSERT_EQUAL(run(world), DPC_EHASH);
    CU_ASSERT(strstr(world->err.text, "could not fetch blob") != NULL);
    CU_ASSERT(dpc_transfer_idle(world->transfer));
    CU_ASSERT_EQUAL(dpc_transfer_bytes_fetched(world->transfer), 12 * CHUNK);
    close_world(world);
}

static void
a_wrong_hash_is_put_once_more(void)
{
    struct world *world = open_world(11);
    struct dpc_blob_ref up = dpc_shelf_make(&world->ours, 3 * CHUNK, 1);
    world->ours.flips = 1;
    put(world, &up);
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->theirs, &up));
    struct dpc_blob_ref bad = dpc_shelf_make(&world->ours, 3 * CHUNK, 2);
    world->ours.flips = -1;
    put(world, &bad);
    CU_ASSERT_EQUAL(run(world), DPC_EHASH);
    CU_ASSERT_PTR_NULL(dpc_shelf_find(&world->theirs, &bad.hash));
    CU_ASSERT(dpc_transfer_idle(world->transfer));
    close_world(world);
}

static void
refusals_are_final(void)
{
    struct world *world = open_world(12);
    struct dpc_blob_ref up = dpc_shelf_make(&world->ours, CHUNK, 1);
    struct dpc_blob_ref other = dpc_shelf_make(&world->theirs, 2 * CHUNK, 2), missing = other;
    missing.hash.bytes[0] ^= 1;
    fetch(world, &missing);
    fetch(world, &other);
    CU_ASSERT_EQUAL(run(world), DPC_ENOTFOUND);
    CU_ASSERT(dpc_transfer_idle(world->transfer));
    world->serve.total_max = CHUNK - 1;
    put(world, &up);
    CU_ASSERT_EQUAL(run(world), DPC_ELIMIT);
    world->serve.total_max = CHUNK;
    world->theirs.write_code = DPC_ENOSPACE;
    put(world, &up);
    CU_ASSERT_EQUAL(run(world), DPC_ENOSPACE);
    world->theirs.write_code = DPC_OK;
    world->ours.write_code = DPC_ENOSPACE; /* on our side */
    fetch(world, &other);
    CU_ASSERT_EQUAL(run(world), DPC_ENOSPACE);
    world->ours.write_code = DPC_OK;
    other.bytes--;
    fetch(world, &other);
    CU_ASSERT_EQUAL(run(world), DPC_EPROTO);
    other.bytes++;
    lose_all(world);
    put(world, &up); /* and it still works */
    fetch(world, &other);
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->theirs, &up) && dpc_shelf_holds(&world->ours, &other));
    close_world(world);
}

static void
late_answers_after_a_cancel_are_dropped(void)
{
    struct world *world = open_world(13);
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, 6 * CHUNK, 1);
    fetch(world, &down);
    CU_ASSERT_EQUAL(dpc_transfer_pump(world->transfer, 1, &world->err), DPC_OK);
    CU_ASSERT_EQUAL(world->to_server.count, 6);
    dpc_transfer_cancel(world->transfer);
    CU_ASSERT(dpc_transfer_idle(world->transfer));
    for (int i = 0; i < 30; i++)
        CU_ASSERT_EQUAL(turn(world), DPC_OK);
    CU_ASSERT_EQUAL(world->ours.writes, 0);
    CU_ASSERT_EQUAL(world->served, 6);
    close_world(world);
}

/* A coordinator that does not answer is asked less and less. */
static void
silence_is_met_with_patience(void)
{
    struct world *world = open_world(14);
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, 30 * CHUNK, 1);
    fetch(world, &down);
    run_half(world, down.bytes);
    lose_all(world);
    world->drop = 1000;
    size_t sent = world->sent;
    int64_t end_ms = world->now_ms + 60 * 60 * 1000; /* an hour */
    int code = DPC_OK;
    for (; code == DPC_OK && world->now_ms < end_ms; world->now_ms += 100)
        code = turn(world);
    CU_ASSERT_EQUAL(code, DPC_OK);
    CU_ASSERT(world->sent > sent);
    CU_ASSERT(world->sent - sent < 30);
    world->drop = 0;
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->ours, &down));
    close_world(world);
}

/* The other end of the connection, or a proxy, may hold it open for ever and be deaf. */
static void
a_connection_on_which_nothing_comes_is_known_as_dead(void)
{
    struct world *world = open_world(18);
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, 30 * CHUNK, 1);
    CU_ASSERT(!dpc_transfer_is_stuck(world->transfer, 2 * DPC_TRANSFER_STUCK_MS));
    fetch(world, &down);
    run_half(world, down.bytes);
    world->now_ms += 2 * DPC_TRANSFER_STUCK_MS; /* a machine that slept */
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(turn(world), DPC_OK);
    CU_ASSERT(!dpc_transfer_is_stuck(world->transfer, world->now_ms));
    lose_all(world);
    world->drop = 1000;
    int64_t deaf_ms = world->now_ms;
    while (!dpc_transfer_is_stuck(world->transfer, world->now_ms) &&
           world->now_ms < deaf_ms + 3 * DPC_TRANSFER_STUCK_MS) {
        CU_ASSERT_EQUAL_FATAL(turn(world), DPC_OK);
        world->now_ms += 100;
    }
    CU_ASSERT(world->now_ms >= deaf_ms + DPC_TRANSFER_STUCK_MS);
    CU_ASSERT(world->now_ms < deaf_ms + 2 * DPC_TRANSFER_STUCK_MS);
    dpc_transfer_cancel(world->transfer); /* another lease finds it as dead */
    CU_ASSERT(!dpc_transfer_is_stuck(world->transfer, world->now_ms));
    fetch(world, &down);
    CU_ASSERT_EQUAL(turn(world), DPC_OK);
    CU_ASSERT(dpc_transfer_is_stuck(world->transfer, world->now_ms));
    world->drop = 0;
    world->epoch++;
    CU_ASSERT(!dpc_transfer_is_stuck(world->transfer, world->now_ms));
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->ours, &down));
    close_world(world);
}

static void
a_busy_coordinator_is_asked_again(void)
{
    struct world *world = open_world(15);
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, 3 * CHUNK, 1);
    world->busy = true;
    fetch(world, &down);
    for (int i = 0; i < 100000; i++)
        CU_ASSERT_EQUAL_FATAL(turn(world), DPC_OK);
    CU_ASSERT(world->sent < 100); /* about 1000 s, and every 16 s at last */
    world->busy = false;
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->ours, &down));
    close_world(world);
}

/* Its disk is full: it refuses the first piece and tells of the others that nothing stands of what
 * comes before them, which was sent again at once, as fast as the line bears. */
static void
a_coordinator_without_room_is_not_flooded(void)
{
    struct world *world = open_world(17);
    struct dpc_blob_ref up = dpc_shelf_make(&world->ours, 20 * CHUNK, 1);
    world->theirs.write_code = DPC_EAGAIN;
    put(world, &up);
    for (int i = 0; i < 10000; i++)
        CU_ASSERT_EQUAL_FATAL(turn(world), DPC_OK);
    CU_ASSERT(world->sent < 50);
    world->theirs.write_code = DPC_OK;
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->theirs, &up));
    close_world(world);
}

/* Chunks come one after the other, the first ten each `first_ms`, the rest each `then_ms` after the
 * one before. */
static void
line_of(int64_t first_ms, int64_t then_ms)
{
    struct world *world = open_world(16);
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, 40 * CHUNK, 1);
    int64_t next_ms = first_ms;
    int code = DPC_OK;
    fetch(world, &down);
    while (code == DPC_OK && !dpc_transfer_idle(world->transfer)) {
        world->now_ms += 10;
        code = dpc_transfer_pump(world->transfer, world->now_ms, &world->err);
        if (code != DPC_OK || world->now_ms < next_ms)
            continue;
        serve_one(world);
        code = hear_one(world);
        next_ms = world->now_ms + (world->served < 10 ? first_ms : then_ms);
    }
    CU_ASSERT_EQUAL(code, DPC_OK);
    CU_ASSERT_EQUAL(world->sent, 40);
    CU_ASSERT(dpc_shelf_holds(&world->ours, &down));
    close_world(world);
}

static void
a_slow_line_is_no_loss(void)
{
    line_of(20 * 1000, 20 * 1000); /* a full window takes 160 s */
    line_of(10, 900);              /* a fast one that slows down */
}

/* 10 bytes a millisecond, in pieces of at least 1000 or what is left. */
struct gate {
    uint64_t up, down;
    int64_t began_ms, now_ms;
    bool over; /* more moved than that */
};

static size_t
gate_may(void *context, bool up, size_t len, int64_t now_ms)
{
    struct gate *gate = context;
    if (!gate->began_ms)
        gate->began_ms = now_ms;
    gate->now_ms = now_ms;
    uint64_t all = 1000 + 10 * (uint64_t)(now_ms - gate->began_ms);
    uint64_t left = all - (up ? gate->up : gate->down);
    return left >= len ? len : left >= 1000 ? (size_t)left : 0;
}

static void
gate_moved(void *context, bool up, size_t len)
{
    struct gate *gate = context;
    *(up ? &gate->up : &gate->down) += len;
    uint64_t all = 1000 + 10 * (uint64_t)(gate->now_ms - gate->began_ms);
    gate->over = gate->over || gate->up > all || gate->down > all;
}

static void
a_gate_holds_back_and_loses_nothing(void)
{
    struct world *world = open_world(11);
    struct gate gate = {0};
    struct dpc_transfer_gate with = {gate_may, gate_moved, &gate};
    dpc_transfer_set_gate(world->transfer, &with);
    struct dpc_blob_ref down = dpc_shelf_make(&world->theirs, CHUNK + 4321, 1);
    struct dpc_blob_ref up = dpc_shelf_make(&world->ours, CHUNK + 1234, 2);
    struct dpc_blob_ref empty = dpc_shelf_make(&world->ours, 0, 3);
    fetch(world, &down);
    put(world, &up);
    put(world, &empty);
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->ours, &down));
    CU_ASSERT(dpc_shelf_holds(&world->theirs, &up));
    CU_ASSERT_EQUAL(gate.down, CHUNK + 4321);
    CU_ASSERT_EQUAL(gate.up, CHUNK + 1234);
    CU_ASSERT_FALSE(gate.over);
    CU_ASSERT(gate.now_ms - gate.began_ms >= (int64_t)CHUNK / 10);
    close_world(world);
}

/* What had to go twice has moved twice. */
static void
a_gate_counts_what_goes_again(void)
{
    struct world *world = open_world(12);
    struct gate gate = {0};
    struct dpc_transfer_gate with = {gate_may, gate_moved, &gate};
    dpc_transfer_set_gate(world->transfer, &with);
    world->drop = 200;
    struct dpc_blob_ref up = dpc_shelf_make(&world->ours, CHUNK, 2);
    put(world, &up);
    CU_ASSERT_EQUAL(run(world), DPC_OK);
    CU_ASSERT(dpc_shelf_holds(&world->theirs, &up));
    CU_ASSERT(gate.up > CHUNK);
    CU_ASSERT_FALSE(gate.over);
    close_world(world);
}

static const struct dpc_test tests[] = {
    {"all sizes both ways", all_sizes_both_ways},
    {"many blobs at once", many_blobs_at_once},
    {"a lossy middle loses nothing", a_lossy_middle_loses_nothing},
    {"a new connection goes on at once", a_new_connection_goes_on_at_once},
    {"a hole is filled at once", a_hole_is_filled_at_once},
    {"another who uploads the same saves work", another_who_uploads_the_same_saves_work},
    {"a new process resumes from what is kept", a_new_process_resumes_from_what_is_kept},
    {"a coordinator that lost its part gets it again",
     a_coordinator_that_lost_its_part_gets_it_again},
    {"a wrong hash is fetched once more", a_wrong_hash_is_fetched_once_more},
    {"a wrong hash is put once more", a_wrong_hash_is_put_once_more},
    {"refusals are final", refusals_are_final},
    {"late answers after a cancel are dropped", late_answers_after_a_cancel_are_dropped},
    {"silence is met with patience", silence_is_met_with_patience},
    {"a connection on which nothing comes is known as dead",
     a_connection_on_which_nothing_comes_is_known_as_dead},
    {"a busy coordinator is asked again", a_busy_coordinator_is_asked_again},
    {"a coordinator without room is not flooded", a_coordinator_without_room_is_not_flooded},
    {"a slow line is no loss", a_slow_line_is_no_loss},
    {"a gate holds back and loses nothing", a_gate_holds_back_and_loses_nothing},
    {"a gate counts what goes again", a_gate_counts_what_goes_again},
};

DPC_TEST_MAIN("proto/transfer", tests)
