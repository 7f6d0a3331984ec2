/* SPDX-License-Identifier: Apache-2.0
 * Messages on the control channel of a coordinator, over real sockets. */
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "coordinator/pages/curve.h"
#include "coordinator/state.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/coordinator/worker_link.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "warm_start: {steps: 8}\n";

enum { WAIT_MS = 60 * 1000, TURN_MS = 20 };

static struct dpc_error err;

struct bench {
    struct driver driver;
    struct dpc_server *server;
    struct dpc_net *net;
    struct dpc_link *link;
    struct worker_link_keys keys;
    char folder[SCRATCH_PATH_MAX];
};

/* What a job finds is of no matter here. */
static void
do_nothing(void *job)
{
    (void)job;
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
    dpc_actions_init(&server->actions);
    server->peer_faults = (struct dpc_log_limit){.burst = 10, .period_ms = 60000};
    server->copied = server->said = server->peer_faults;
    server->executor = dpc_executor_create(1, do_nothing, dpc_job_drop);
    worker_link_open(DPC_CHANNEL_CONTROL, &bench->net, &bench->link, &bench->keys,
                     &server->control);
}

static void
bench_done(struct bench *bench)
{
    struct dpc_server *server = bench->server;
    dpc_executor_destroy(server->executor);
    worker_link_close(bench->net, bench->link, server->control);
    dpc_actions_done(&server->actions);
    dpc_free(server);
    driver_stop(&bench->driver);
    scratch_remove(bench->folder);
}

/* Sends one message as soon as the link takes it, and lets the coordinator read it. */
static void
tell(struct bench *bench, const struct dpc_msg *msg)
{
    uint64_t read = dpc_listener_traffic(bench->server->control).messages_received;
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    struct dpc_poll_item item = {.listener = bench->server->control, .fd = -1};
    int code = DPC_EAGAIN;
    while (dpc_listener_traffic(bench->server->control).messages_received == read &&
           dpc_clock_now_ms(&dpc_clock_system) < end_ms) {
        if (code == DPC_EAGAIN)
            code = dpc_link_send(bench->link, msg);
        (void)!dpc_channel_poll(&item, 1, TURN_MS);
        server_serve_control(bench->server);
    }
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
}

/* The answer to the last one. */
static struct dpc_msg
hear(struct bench *bench)
{
    struct dpc_msg msg = {0};
    struct dpc_poll_item item = {.link = bench->link, .fd = -1};
    CU_ASSERT_EQUAL_FATAL(dpc_channel_poll(&item, 1, WAIT_MS), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_link_receive(bench->link, &msg, &err), DPC_OK);
    return msg;
}

/* What the worker hands in for the lease that it gets. */
static struct dpc_msg
make_submission(struct bench *bench)
{
    struct dpc_msg hello = {.type = DPC_MSG_HELLO, .request = 1}, ask = {.type = DPC_MSG_ASK};
    hello.hello = (struct dpc_msg_hello){.protocol_min = DPC_PROTOCOL_MIN,
                                         .protocol_max = DPC_PROTOCOL_MAX,
                                         .name = "test",
                                         .build = "test",
                                         .numeric_class = "test"};
    tell(bench, &hello);
    CU_ASSERT_EQUAL_FATAL(hear(bench).type, DPC_MSG_WELCOME);
    ask.request = 2;
    tell(bench, &ask);
    struct dpc_msg lease = hear(bench);
    CU_ASSERT_EQUAL_FATAL(lease.type, DPC_MSG_LEASE);
    struct dpc_msg submission = {.type = DPC_MSG_SUBMIT, .request = 3};
    driver_fill_submission(&bench->driver, &lease.lease, &submission.submit);
    return submission;
}

static void
fill_executor(struct bench *bench)
{
    struct dpc_server *server = bench->server;
    struct dpc_job *job = dpc_job_create(DPC_JOB_SCRUB, &server->world);
    while (dpc_executor_put(server->executor, job) == DPC_OK)
        job = dpc_job_create(DPC_JOB_SCRUB, &server->world);
    dpc_job_drop(job);
}

static void
empty_executor(struct bench *bench)
{
    struct dpc_server *server = bench->server;
    struct dpc_poll_item item = {.fd = dpc_executor_fd(server->executor)};
    while (!dpc_executor_is_idle(server->executor)) {
        CU_ASSERT_EQUAL_FATAL(dpc_channel_poll(&item, 1, WAIT_MS), DPC_OK);
        dpc_job_drop(dpc_executor_take(server->executor));
    }
}

/* Its job is gone then, so nothing may go on naming it; and it is taken as soon as there is a
 * place.
 */
static void
a_check_that_finds_no_place_is_asked_for_again(void)
{
    struct bench bench;
    bench_init(&bench);
    struct dpc_msg submission = make_submission(&bench);
    fill_executor(&bench);
    for (int i = 0; i < 2; i++) {
        tell(&bench, &submission);
        struct dpc_msg answer = hear(&bench);
        CU_ASSERT(answer.type == DPC_MSG_ERROR && answer.request == submission.request);
        CU_ASSERT_EQUAL(answer.error.code, DPC_EAGAIN);
        CU_ASSERT_EQUAL(bench.server->checks_count, 0);
        submission.request++;
    }
    CU_ASSERT_EQUAL(bench.server->failure, DPC_OK);
    CU_ASSERT_EQUAL(bench.server->peer_faults_count, 0);
    empty_executor(&bench);
    tell(&bench, &submission);
    CU_ASSERT_EQUAL(bench.server->checks_count, 1);
    CU_ASSERT_FALSE(dpc_executor_is_idle(bench.server->executor));
    bench_done(&bench);
}

static size_t
drawn_bytes(const struct dpc_curve *curve)
{
    struct dpc_buf drawn;
    dpc_buf_init(&drawn, 0);
    dpc_curve_draw(curve, &drawn);
    size_t len = drawn.len;
    dpc_buf_done(&drawn);
    return len;
}

/* It is known by its token, and what else it says may be anything: a path that there is not ended
 * the coordinator where it draws a curve, and a round of another one ended that one's line. */
static void
an_accepted_submission_that_comes_again_tells_nothing_new(void)
{
    static const uint32_t paths[] = {0, 65000};
    struct bench bench;
    bench_init(&bench);
    struct driver *driver = &bench.driver;
    struct dpc_msg submission = make_submission(&bench);
    struct dpc_submission_check fine = {.rows = 0};
    struct dpc_event event = {.type = DPC_EVENT_SUBMIT};
    memcpy(event.worker, bench.keys.worker.public_key.bytes, DPC_WORKER_KEY_BYTES);
    event.submit.message = &submission.submit;
    event.submit.check = &fine;
    CU_ASSERT_EQUAL_FATAL(
        dpc_curve_create(driver->core, &driver->experiment, driver->kv, &bench.server->curve, &err),
        DPC_OK);
    driver_step(driver, &event);
    CU_ASSERT_EQUAL_FATAL(driver->actions.reply.verdict.verdict, DPC_VERDICT_ACCEPTED);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        submission.submit.path = paths[i];
        submission.submit.loss_last = 7;
        submission.request++;
        tell(&bench, &submission);
        CU_ASSERT_EQUAL(hear(&bench).verdict.verdict, DPC_VERDICT_ACCEPTED);
        CU_ASSERT_EQUAL(drawn_bytes(bench.server->curve), 0);
    }
    dpc_curve_destroy(bench.server->curve);
    bench_done(&bench);
}

/* A second process with the same key says a word after each of the first. */
static void
a_key_that_is_used_twice_is_noticed(void)
{
    struct bench bench;
    bench_init(&bench);
    struct dpc_msg ask = {.type = DPC_MSG_ASK, .request = 9};
    (void)make_submission(&bench);
    struct dpc_link *links[2] = {bench.link};
    links[1] =
        worker_link_again(bench.net, DPC_CHANNEL_CONTROL, bench.server->control, &bench.keys);
    bool copied = false;
    int64_t end_ms = dpc_clock_now_ms(&dpc_clock_system) + WAIT_MS;
    for (int turn = 1; !copied && dpc_clock_now_ms(&dpc_clock_system) < end_ms; turn++) {
        bench.link = links[turn % 2];
        tell(&bench, &ask);
        CU_ASSERT_EQUAL(hear(&bench).type, DPC_MSG_LEASE);
        copied = dpc_core_is_copied(bench.server->core, bench.keys.worker.public_key.bytes,
                                    dpc_clock_now_ms(&dpc_clock_system));
    }
    CU_ASSERT_TRUE(copied);
    bench.link = links[0];
    dpc_link_close(links[1]);
    bench_done(&bench);
}

static const struct dpc_test tests[] = {
    {"an accepted submission that comes again tells nothing new",
     an_accepted_submission_that_comes_again_tells_nothing_new},
    {"a key that is used twice is noticed", a_key_that_is_used_twice_is_noticed},
    {"a check that finds no place is asked for again",
     a_check_that_finds_no_place_is_asked_for_again},
};

DPC_TEST_MAIN("coordinator/rpc", tests)
