/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/exit.h"
#include "tests/unit/worker/session/session_walk.h"

/* --- Failures. */

static void
failed_fetches_give_back_and_ask_ever_more_slowly(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_NONE, &request);
    int64_t pause_ms = DPC_SESSION_FAILURE_MS;
    for (int i = 0; i < 5; i++) {
        tell(&rig, lease(request, SERIAL));
        transferred(&rig, DPC_ENOSPACE);
        struct dpc_msg *back = sent(&rig, DPC_MSG_GIVE_BACK);
        CU_ASSERT_PTR_NOT_NULL_FATAL(back);
        CU_ASSERT_STRING_EQUAL(back->give_back.reason, "the reason");
        CU_ASSERT(dropped(&rig));
        tell(&rig, ack(back->request));
        int64_t from_ms = rig.now_ms;
        struct dpc_msg *again = wait_for(&rig, DPC_MSG_ASK, 2 * DPC_SESSION_FAILURE_MS_MAX);
        CU_ASSERT_PTR_NOT_NULL_FATAL(again);
        CU_ASSERT(rig.now_ms - from_ms >= pause_ms / 2);
        CU_ASSERT(rig.now_ms - from_ms <= pause_ms * 3 / 2 + 1);
        request = again->request;
        pause_ms *= 2;
    }
    end(&rig);
}

static void
an_upload_that_fails_is_tried_again_with_the_lease_kept(void)
{
    struct rig rig = reach(DPC_WORK_UPLOADING, NULL);
    transferred(&rig, DPC_ENOSPACE); /* the coordinator's disk, say */
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_UPLOADING);
    CU_ASSERT(!has(&rig, DPC_SESSION_UPLOAD));
    for (int i = 0; i < 20 && !has(&rig, DPC_SESSION_UPLOAD); i++)
        tick(&rig, 200);
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_UPLOAD)->blobs.count, LEVELS + 1);
    transferred(&rig, DPC_ECORRUPT); /* our own copy is damaged: there is nothing to hand in */
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
    end(&rig);
}

static void
damaged_blobs_are_fetched_again_a_few_times(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    for (int i = 0; i < DPC_SESSION_REFETCH_MAX; i++) {
        fail(&rig, SERIAL, DPC_ECORRUPT);
        CU_ASSERT(has(&rig, DPC_SESSION_FETCH));
        CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_FETCHING);
        transferred(&rig, DPC_OK);
        CU_ASSERT(has(&rig, DPC_SESSION_START));
    }
    fail(&rig, SERIAL, DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
    end(&rig);
}

/* A module may have moved on, and its difference be swept, before a lease on it is fetched. */
static void
a_difference_that_is_gone_is_done_without_once(void)
{
    struct rig rig = begin();
    tell(&rig, welcome(sent(&rig, DPC_MSG_HELLO)->request, INCARNATION));
    struct dpc_msg msg = lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL);
    msg.lease.changes[1] = (struct dpc_blob_ref){hash_of(40), 30};
    msg.lease.bases[1] = (struct dpc_blob_ref){hash_of(41), 100};
    tell(&rig, msg);
    CU_ASSERT_FALSE(find(&rig, DPC_SESSION_FETCH)->blobs.whole);
    transferred(&rig, DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_FETCH));
    CU_ASSERT_TRUE(find(&rig, DPC_SESSION_FETCH)->blobs.whole);
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_FETCHING);
    transferred(&rig, DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
    end(&rig);
}

/* Of a damaged base, too: what is fetched again is the version. */
static void
what_could_not_be_made_is_fetched_whole(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    fail(&rig, SERIAL, DPC_ECORRUPT);
    CU_ASSERT_TRUE(find(&rig, DPC_SESSION_FETCH)->blobs.whole);
    end(&rig);
}

static void
a_job_that_fails_gives_back_with_its_reason(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    fail(&rig, SERIAL, DPC_ENOTFINITE);
    struct dpc_msg *back = sent(&rig, DPC_MSG_GIVE_BACK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    CU_ASSERT_STRING_EQUAL(back->give_back.reason, "it failed");
    CU_ASSERT_TRUE(back->give_back.not_finite);
    CU_ASSERT_FALSE(back->give_back.too_large);
    CU_ASSERT(dpc_token_equal(back->give_back.token, token));
    /* Its answer lost: repeated. */
    CU_ASSERT_PTR_NOT_NULL(wait_for(&rig, DPC_MSG_GIVE_BACK, 3 * HEARTBEAT));
    end(&rig);
}

/* A machine without a descriptor once got smaller paths alone from then on. */
static void
a_job_that_finds_no_descriptor_is_not_too_large(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    fail(&rig, SERIAL, dpc_error_from_errno(EMFILE));
    struct dpc_msg *back = sent(&rig, DPC_MSG_GIVE_BACK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    CU_ASSERT_FALSE(back->give_back.too_large);
    end(&rig);
}

static void
a_path_that_does_not_fit_is_given_back_as_that(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    fail(&rig, SERIAL, DPC_ELIMIT);
    struct dpc_msg *back = sent(&rig, DPC_MSG_GIVE_BACK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    CU_ASSERT_TRUE(back->give_back.too_large);
    CU_ASSERT_FALSE(back->give_back.not_finite);
    end(&rig);
}

static void
results_of_an_old_lease_are_dropped(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    finish(&rig, SERIAL - 1);
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    fail(&rig, SERIAL - 1, DPC_EIO);
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_RUNNING);
    end(&rig);
}

static void
errors_to_a_submission(void)
{
    static const struct {
        int32_t code;
        enum dpc_msg_type sends; /* at once; NONE: it is repeated in its time */
    } rows[] = {
        {DPC_EBUSY, DPC_MSG_NONE},
        {DPC_ENOSPACE, DPC_MSG_NONE},
        {DPC_ESTALE, DPC_MSG_HELLO},
        {DPC_EINVAL, DPC_MSG_GIVE_BACK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t request;
        struct rig rig = reach(DPC_WORK_SUBMITTING, &request);
        tell(&rig, error(request, rows[i].code));
        if (rows[i].sends == DPC_MSG_NONE) {
            CU_ASSERT(!has(&rig, DPC_SESSION_SEND));
            CU_ASSERT_PTR_NOT_NULL(wait_for(&rig, DPC_MSG_SUBMIT, 3 * HEARTBEAT));
        } else {
            CU_ASSERT_PTR_NOT_NULL(sent(&rig, rows[i].sends));
        }
        end(&rig);
    }
}

static void
an_unknown_protocol_ends_the_worker(void)
{
    for (int way = 0; way < 2; way++) {
        struct rig rig = begin();
        uint64_t request = sent(&rig, DPC_MSG_HELLO)->request;
        struct dpc_msg msg = welcome(request, INCARNATION);
        msg.welcome.protocol = DPC_PROTOCOL_MAX + 1;
        tell(&rig, way == 0 ? msg : error(request, DPC_EVERSION));
        CU_ASSERT_EQUAL_FATAL(has(&rig, DPC_SESSION_EXIT), way == 0);
        CU_ASSERT_EQUAL(has(&rig, DPC_SESSION_REFUSED), way != 0);
        if (way == 0)
            CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_EXIT)->status, DPC_EXIT_REFUSED);
        CU_ASSERT(has(&rig, DPC_SESSION_LOG));
        end(&rig);
    }
}

/* --- Another device. */

static void
a_class_that_was_refused_is_followed_by_another_hello(void)
{
    struct rig rig = begin();
    uint64_t request = sent(&rig, DPC_MSG_HELLO)->request;
    tell(&rig, error(request, DPC_EVERSION));
    CU_ASSERT(has(&rig, DPC_SESSION_REFUSED));
    dpc_session_rejoin(rig.session, rig.now_ms, &rig.actions);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_HELLO));
    uint64_t second = sent(&rig, DPC_MSG_HELLO)->request;
    CU_ASSERT(second != request);
    tell(&rig, welcome(second, INCARNATION));
    CU_ASSERT(dpc_session_joined(rig.session));
    CU_ASSERT(sent(&rig, DPC_MSG_ASK) != NULL);
    end(&rig);
}

static void
a_paused_session_asks_for_nothing(void)
{
    struct rig rig = begin();
    tell(&rig, welcome(sent(&rig, DPC_MSG_HELLO)->request, INCARNATION));
    dpc_session_pause(rig.session, true, rig.now_ms, &rig.actions);
    CU_ASSERT_PTR_NULL(wait_for(&rig, DPC_MSG_ASK, 1000 * HEARTBEAT));
    /* Contact may be lost and come back meanwhile. */
    dpc_session_connected(rig.session, rig.now_ms, &rig.actions);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_HELLO));
    tell(&rig, welcome(sent(&rig, DPC_MSG_HELLO)->request, INCARNATION));
    CU_ASSERT_PTR_NULL(wait_for(&rig, DPC_MSG_ASK, 1000 * HEARTBEAT));
    dpc_session_pause(rig.session, false, rig.now_ms, &rig.actions);
    CU_ASSERT(sent(&rig, DPC_MSG_ASK) != NULL);
    end(&rig);
}

static void
a_pause_before_the_welcome_is_silence(void)
{
    struct rig rig = begin();
    tell(&rig, error(sent(&rig, DPC_MSG_HELLO)->request, DPC_EVERSION));
    dpc_session_pause(rig.session, true, rig.now_ms, &rig.actions);
    CU_ASSERT_PTR_NULL(wait_for(&rig, DPC_MSG_HELLO, 1000 * HEARTBEAT));
    dpc_session_connected(rig.session, rig.now_ms, &rig.actions);
    CU_ASSERT_PTR_NULL(wait_for(&rig, DPC_MSG_HELLO, 1000 * HEARTBEAT));
    dpc_session_pause(rig.session, false, rig.now_ms, &rig.actions);
    CU_ASSERT(sent(&rig, DPC_MSG_HELLO) != NULL);
    end(&rig);
}

/* --- Stopping. */

static void
stop_in_every_state(void)
{
    static const struct {
        enum dpc_session_work work;
        enum dpc_msg_type sends;
        int64_t most_ms; /* until the exit when nobody answers */
    } rows[] = {
        {DPC_WORK_NONE, DPC_MSG_LEAVE, DPC_SESSION_FAREWELL_MS},
        {DPC_WORK_FETCHING, DPC_MSG_GIVE_BACK, 2 * DPC_SESSION_FAREWELL_MS},
        {DPC_WORK_RUNNING, DPC_MSG_GIVE_BACK, 2 * DPC_SESSION_FAREWELL_MS},
        {DPC_WORK_UPLOADING, DPC_MSG_NONE, DPC_SESSION_STOP_MS + 2 * DPC_SESSION_FAREWELL_MS},
        {DPC_WORK_SUBMITTING, DPC_MSG_NONE, DPC_SESSION_STOP_MS + 2 * DPC_SESSION_FAREWELL_MS},
        {DPC_WORK_RETURNING, DPC_MSG_NONE, 2 * DPC_SESSION_FAREWELL_MS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig = reach(rows[i].work, NULL);
        int64_t from_ms = rig.now_ms;
        stop(&rig);
        if (rows[i].sends)
            CU_ASSERT_PTR_NOT_NULL(sent(&rig, rows[i].sends));
        CU_ASSERT_EQUAL(dropped(&rig), rows[i].sends == DPC_MSG_GIVE_BACK);
        while (!has(&rig, DPC_SESSION_EXIT) && rig.now_ms - from_ms <= rows[i].most_ms)
            tick(&rig, 100);
        CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_EXIT));
        CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_EXIT)->status, 0);
        CU_ASSERT(rig.now_ms - from_ms <= rows[i].most_ms);
        end(&rig);
    }
}

static void
stop_while_running_says_goodbye_in_order(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    stop(&rig);
    struct dpc_msg *back = sent(&rig, DPC_MSG_GIVE_BACK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    tell(&rig, ack(back->request));
    struct dpc_msg *leave = sent(&rig, DPC_MSG_LEAVE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(leave);
    tell(&rig, ack(leave->request));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_EXIT));
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_EXIT)->status, 0);
    end(&rig);
}

static void
stop_while_handing_in_finishes_it(void)
{
    struct rig rig = reach(DPC_WORK_UPLOADING, NULL);
    stop(&rig);
    CU_ASSERT(!has(&rig, DPC_SESSION_EXIT));
    transferred(&rig, DPC_OK);
    struct dpc_msg *submit = sent(&rig, DPC_MSG_SUBMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(submit);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, submit->request, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_LEAVE));
    end(&rig);
}

static void
stop_out_of_contact(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HELLO, 20 * HEARTBEAT));
    stop(&rig);
    CU_ASSERT(has(&rig, DPC_SESSION_EXIT));
    end(&rig);
    rig = reach(DPC_WORK_SUBMITTING, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HELLO, 20 * HEARTBEAT));
    int64_t from_ms = rig.now_ms;
    stop(&rig);
    CU_ASSERT(!has(&rig, DPC_SESSION_EXIT));
    while (!has(&rig, DPC_SESSION_EXIT) && rig.now_ms - from_ms < 2 * DPC_SESSION_STOP_MS)
        tick(&rig, 100);
    CU_ASSERT(has(&rig, DPC_SESSION_EXIT));
    CU_ASSERT_EQUAL(rig.now_ms - from_ms, DPC_SESSION_STOP_MS);
    end(&rig);
}

static void
a_second_stop_ends_at_once(void)
{
    for (int work = DPC_WORK_NONE; work <= DPC_WORK_LEAVING; work++) {
        struct rig rig = reach(work, NULL);
        stop(&rig);
        stop(&rig);
        CU_ASSERT(has(&rig, DPC_SESSION_EXIT));
        end(&rig);
    }
}

/* --- Anything at all. */

static void
any_event(struct rig *rig, struct dpc_rng *rng, uint64_t request)
{
    uint64_t serial = SERIAL + dpc_rng_below(rng, 3);
    switch (dpc_rng_below(rng, 8)) {
    case 0:
        tick(rig, (int64_t)dpc_rng_below(rng, 30000));
        break;
    case 1:
        transferred(rig, dpc_rng_below(rng, 2) ? -(int)dpc_rng_below(rng, 25) : DPC_OK);
        break;
    case 2:
        finish(rig, serial);
        break;
    case 3:
        fail(rig, serial, -(int)dpc_rng_below(rng, 25));
        break;
    default:
        tell(rig, any_message(rng, request - dpc_rng_below(rng, 2)));
        break;
    }
}

/* Whatever comes in whatever order: the list of actions does not overflow, an exit is the last of
 * it, jobs start only for leases that are held, and the next tick is never in the past. */
static void
any_order_of_events(void)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 11, DPC_RNG_TEST, 0, 0, 0);
    unsigned starts = 0, exits = 0;
    for (int trial = 0; trial < 300; trial++) {
        uint64_t request;
        struct rig rig = reach(DPC_WORK_NONE, &request);
        bool exited = false, stops = dpc_rng_below(&rng, 2);
        for (int i = 0; i < 400 && !exited; i++) {
            if (stops && i == 200)
                stop(&rig);
            else
                any_event(&rig, &rng, request);
            CU_ASSERT_FATAL(rig.actions.count < DPC_SESSION_ACTIONS_MAX);
            CU_ASSERT_FATAL(dpc_session_wait_ms(rig.session, rig.now_ms) >= 0);
            for (uint32_t k = 0; k < rig.actions.count; k++) {
                struct dpc_session_action *action = &rig.actions.items[k];
                if (action->type == DPC_SESSION_SEND && action->msg.type != DPC_MSG_HEARTBEAT)
                    request = action->msg.request;
                exited |= action->type == DPC_SESSION_EXIT;
                CU_ASSERT_FATAL(!exited || k + 1 == rig.actions.count);
            }
            if (has(&rig, DPC_SESSION_START)) {
                starts++;
                CU_ASSERT_PTR_NOT_NULL_FATAL(dpc_session_lease(rig.session));
            }
        }
        exits += exited;
        end(&rig);
    }
    CU_ASSERT(starts > 100); /* the walk went somewhere */
    CU_ASSERT(exits > 20);
}

static const struct dpc_test tests[] = {
    {"failed fetches give back and ask ever more slowly",
     failed_fetches_give_back_and_ask_ever_more_slowly},
    {"an upload that fails is tried again with the lease kept",
     an_upload_that_fails_is_tried_again_with_the_lease_kept},
    {"damaged blobs are fetched again a few times", damaged_blobs_are_fetched_again_a_few_times},
    {"a difference that is gone is done without once",
     a_difference_that_is_gone_is_done_without_once},
    {"what could not be made is fetched whole", what_could_not_be_made_is_fetched_whole},
    {"a job that fails gives back with its reason", a_job_that_fails_gives_back_with_its_reason},
    {"a job that finds no descriptor is not too large",
     a_job_that_finds_no_descriptor_is_not_too_large},
    {"a path that does not fit is given back as that",
     a_path_that_does_not_fit_is_given_back_as_that},
    {"results of an old lease are dropped", results_of_an_old_lease_are_dropped},
    {"errors to a submission", errors_to_a_submission},
    {"an unknown protocol ends the worker", an_unknown_protocol_ends_the_worker},
    {"a class that was refused is followed by another hello",
     a_class_that_was_refused_is_followed_by_another_hello},
    {"a paused session asks for nothing", a_paused_session_asks_for_nothing},
    {"a pause before the welcome is silence", a_pause_before_the_welcome_is_silence},
    {"stop in every state", stop_in_every_state},
    {"stop while running says goodbye in order", stop_while_running_says_goodbye_in_order},
    {"stop while handing in finishes it", stop_while_handing_in_finishes_it},
    {"stop out of contact", stop_out_of_contact},
    {"a second stop ends at once", a_second_stop_ends_at_once},
    {"any order of events", any_order_of_events},
};
DPC_TEST_MAIN("worker/session, failures and stops", tests)
