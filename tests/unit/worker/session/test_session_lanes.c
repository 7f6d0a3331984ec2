/* SPDX-License-Identifier: Apache-2.0
 * Two leases at once: how the one passes on, and what comes between. */
#include "tests/unit/worker/session/lanes_rig.h"

/* --- From one to the next. */

static void
passing_uploading_and_asking_go_together(void)
{
    uint64_t request;
    struct rig rig = hand_in_beside(&request);
    CU_ASSERT_EQUAL_FATAL(rig.actions.count, 3);
    CU_ASSERT_EQUAL(rig.actions.items[0].type, DPC_SESSION_PASS);
    CU_ASSERT_EQUAL(rig.actions.items[0].blobs.count, LEVELS + 1);
    CU_ASSERT_EQUAL(rig.actions.items[1].type, DPC_SESSION_UPLOAD);
    CU_ASSERT_EQUAL(rig.actions.items[1].blobs.count, LEVELS + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, older));
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_UPLOADING);
    tell(&rig, lease(request, SERIAL));
    CU_ASSERT(has(&rig, DPC_SESSION_FETCH));
    CU_ASSERT_FALSE(dropped(&rig));
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_FETCHING);
    CU_ASSERT(dpc_token_equal(dpc_session_lease(rig.session)->token, token));
    CU_ASSERT(dpc_token_equal(dpc_session_handing_in(rig.session)->token, older));
    end(&rig);
}

/* The answer may be lost: what is repeated names the lease, too, as long as it is handed in. */
static void
an_ask_that_is_repeated_names_it_too(void)
{
    uint64_t request;
    struct rig rig = hand_in_beside(&request);
    struct dpc_msg *ask = wait_for(&rig, DPC_MSG_ASK, 2 * HEARTBEAT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ask);
    CU_ASSERT_EQUAL(ask->request, request);
    CU_ASSERT(dpc_token_equal(ask->ask.handing_in, older));
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, no_token));
    end(&rig);
}

static void
who_may_hold_one_asks_when_it_is_handed_in(void)
{
    struct rig rig = reach(DPC_WORK_UPLOADING, NULL);
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_PTR_NULL(wait_in_contact(&rig, DPC_MSG_ASK, 600 * HEARTBEAT));
    hand_in(&rig, token, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(has(&rig, DPC_SESSION_DROP_PASSED));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP));
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, no_token));
    end(&rig);
}

static void
what_is_finished_waits_for_the_one_before(void)
{
    struct rig rig = finish_beside();
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_FINISHED);
    CU_ASSERT_PTR_NULL(wait_in_contact(&rig, DPC_MSG_ASK, 60 * HEARTBEAT));
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(place_of(&rig, DPC_SESSION_DROP_PASSED) < place_of(&rig, DPC_SESSION_PASS));
    CU_ASSERT(place_of(&rig, DPC_SESSION_PASS) < place_of(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP));
    const struct dpc_msg *ask = find_ask(&rig, 120 * HEARTBEAT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ask);
    CU_ASSERT(dpc_token_equal(ask->ask.handing_in, token));
    hand_in(&rig, token, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(has(&rig, DPC_SESSION_DROP_PASSED));
    CU_ASSERT_EQUAL(dpc_session_counts(rig.session)->accepted, 2);
    CU_ASSERT_EQUAL(dpc_session_counts(rig.session)->tokens, 2 * 6000);
    end(&rig);
}

/* There may be work where there was none. */
static void
an_accepted_one_makes_who_waits_ask_at_once(void)
{
    uint64_t request;
    struct rig rig = hand_in_beside(&request);
    tell(&rig,
         (struct dpc_msg){.type = DPC_MSG_WAIT, .request = request, .wait = {.retry_ms = 60000}});
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, no_token));
    CU_ASSERT_PTR_NULL(dpc_session_handing_in(rig.session));
    end(&rig);
}

/* A message that crossed the ask, or an older answer. */
static void
a_lease_that_is_handed_in_is_not_computed_again(void)
{
    uint64_t request;
    struct rig rig = hand_in_beside(&request);
    tell(&rig, lease(request, SERIAL - 1));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
    CU_ASSERT_FALSE(dropped(&rig));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_UPLOADING);
    int64_t from_ms = rig.now_ms;
    struct dpc_msg *ask = wait_for(&rig, DPC_MSG_ASK, 2 * HEARTBEAT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ask);
    CU_ASSERT_NOT_EQUAL(ask->request, request);
    CU_ASSERT(dpc_token_equal(ask->ask.handing_in, older));
    CU_ASSERT_EQUAL(rig.now_ms - from_ms, HEARTBEAT);
    tell(&rig, lease(ask->request, SERIAL));
    CU_ASSERT(has(&rig, DPC_SESSION_FETCH));
    end(&rig);
}

/* --- Signs of life. */

static void
heartbeats_go_out_for_both(void)
{
    struct rig rig = run_beside();
    dpc_session_progress(rig.session, 17, 100.0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT));
    struct dpc_msg *front = sent_of(&rig, DPC_MSG_HEARTBEAT, token);
    struct dpc_msg *back = sent_of(&rig, DPC_MSG_HEARTBEAT, older);
    CU_ASSERT_PTR_NOT_NULL_FATAL(front);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    CU_ASSERT_EQUAL(front->heartbeat.steps_done, 17);
    CU_ASSERT_EQUAL(back->heartbeat.steps_done, 60);
    CU_ASSERT_NOT_EQUAL(front->request, back->request);
    uploaded(&rig, DPC_OK); /* a submission that is repeated is sign enough */
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, token));
    CU_ASSERT_PTR_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, older));
    end(&rig);
    rig = finish_beside();
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, token));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, older));
    end(&rig);
}

/* Else leases that come soon after each other would keep the older one silent. */
static void
a_new_lease_does_not_put_off_the_other_heartbeat(void)
{
    uint64_t request;
    struct rig rig = hand_in_beside(&request);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT));
    rig.now_ms += HEARTBEAT - 100;
    tell(&rig, lease(request, SERIAL));
    int64_t from_ms = rig.now_ms;
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, older));
    CU_ASSERT_EQUAL(rig.now_ms - from_ms, 100);
    end(&rig);
}

static void
one_that_is_over_leaves_the_other_alone(void)
{
    static const int verdicts[] = {DPC_VERDICT_STALE, DPC_VERDICT_SUPERSEDED};
    for (int i = 0; i < 2; i++) {
        struct rig rig = run_beside();
        tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, 0, older, verdicts[i]));
        CU_ASSERT(has(&rig, DPC_SESSION_DROP_PASSED));
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP));
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_SEND));
        CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_RUNNING);
        CU_ASSERT_PTR_NULL(dpc_session_handing_in(rig.session));
        uploaded(&rig, DPC_OK); /* too late to be of any lease */
        CU_ASSERT_EQUAL(rig.actions.count, 0);
        finish(&rig, SERIAL);
        CU_ASSERT(has(&rig, DPC_SESSION_PASS));
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
        end(&rig);
        rig = run_beside();
        tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, 0, token, verdicts[i]));
        CU_ASSERT(has(&rig, DPC_SESSION_DROP));
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP_PASSED));
        CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
        CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, older));
        hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        end(&rig);
    }
}

static void
one_that_waits_to_be_handed_in_may_be_over_too(void)
{
    struct rig rig = finish_beside();
    tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, 0, token, DPC_VERDICT_STALE));
    CU_ASSERT(has(&rig, DPC_SESSION_DROP));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP_PASSED));
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, older));
    end(&rig);
    rig = finish_beside();
    tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, 0, older, DPC_VERDICT_STALE));
    CU_ASSERT(place_of(&rig, DPC_SESSION_DROP_PASSED) < place_of(&rig, DPC_SESSION_PASS));
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    hand_in(&rig, token, DPC_VERDICT_ACCEPTED);
    end(&rig);
}

/* --- What goes wrong with the one that is handed in. */

/* Who hands in what is refused must not ask as quickly as it computes. */
static void
a_refused_one_makes_the_next_ask_wait(void)
{
    struct rig rig = run_beside();
    hand_in(&rig, older, DPC_VERDICT_REFUSED);
    int64_t from_ms = rig.now_ms;
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_RUNNING);
    finish(&rig, SERIAL);
    CU_ASSERT(has(&rig, DPC_SESSION_PASS));
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_PTR_NOT_NULL(wait_for(&rig, DPC_MSG_ASK, 2 * DPC_SESSION_FAILURE_MS));
    CU_ASSERT(rig.now_ms - from_ms >= DPC_SESSION_FAILURE_MS / 2);
    CU_ASSERT(rig.now_ms - from_ms <= 3 * DPC_SESSION_FAILURE_MS / 2);
    end(&rig);
    rig = run_beside(); /* computing has taken longer than that */
    hand_in(&rig, older, DPC_VERDICT_REFUSED);
    rig.now_ms += 2 * DPC_SESSION_FAILURE_MS;
    finish(&rig, SERIAL);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
    rig = finish_beside();
    hand_in(&rig, older, DPC_VERDICT_REFUSED);
    CU_ASSERT(has(&rig, DPC_SESSION_PASS));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
}

static struct dpc_msg
misses_of_older(uint64_t request, uint8_t hash)
{
    struct dpc_msg msg = misses(request, hash);
    msg.verdict.token = older;
    return msg;
}

static void
missing_blobs_are_uploaded_beside_the_job(void)
{
    struct rig rig = run_beside();
    uploaded(&rig, DPC_OK);
    tell(&rig, misses_of_older(sent(&rig, DPC_MSG_SUBMIT)->request, 21));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_UPLOAD)->blobs.count, 1);
    CU_ASSERT_FALSE(dropped(&rig));
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_RUNNING);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, token));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, older));
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(has(&rig, DPC_SESSION_DROP_PASSED));
    end(&rig);
}

static void
what_cannot_be_handed_in_goes_back_beside_the_job(void)
{
    struct rig rig = run_beside();
    uploaded(&rig, DPC_OK);
    tell(&rig, misses_of_older(sent(&rig, DPC_MSG_SUBMIT)->request, 99));
    struct dpc_msg *back = sent_of(&rig, DPC_MSG_GIVE_BACK, older);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    CU_ASSERT(has(&rig, DPC_SESSION_DROP_PASSED));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP));
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_RUNNING);
    finish(&rig, SERIAL); /* the answer is still to come */
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    tell(&rig, ack(wait_for(&rig, DPC_MSG_GIVE_BACK, 3 * HEARTBEAT)->request));
    CU_ASSERT(has(&rig, DPC_SESSION_PASS));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK)); /* it came to nothing */
    end(&rig);
    rig = run_beside();
    uploaded(&rig, DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_GIVE_BACK, older));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP));
    end(&rig);
}

/* It is this lease's upload that is tried again, whatever the front does. */
static void
a_failed_upload_is_tried_again_beside_the_job(void)
{
    struct rig rig = run_beside();
    uploaded(&rig, DPC_ETIMEDOUT);
    CU_ASSERT_FALSE(dropped(&rig));
    int64_t end_ms = rig.now_ms + 2 * DPC_SESSION_FAILURE_MS;
    while (!has(&rig, DPC_SESSION_UPLOAD) && rig.now_ms < end_ms)
        tick(&rig, 100);
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    fail(&rig, SERIAL, DPC_EIO);
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_GIVE_BACK, token));
    CU_ASSERT(has(&rig, DPC_SESSION_DROP));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP_PASSED));
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    end(&rig);
}

/* --- Room in the cache. */

/* Nothing is handed in any more, and it does not fit even so. */
static void
expect_no_room(struct rig *rig)
{
    fetched(rig, DPC_ENOSPACE);
    CU_ASSERT_PTR_NOT_NULL(sent_of(rig, DPC_MSG_GIVE_BACK, token));
    CU_ASSERT(has(rig, DPC_SESSION_DROP));
}

static void
what_has_no_room_waits_for_the_one_before(void)
{
    for (int computed = 0; computed < 2; computed++) {
        uint64_t request;
        struct rig rig = computed ? run_beside() : hand_in_beside(&request);
        if (computed) {
            fail(&rig, SERIAL, DPC_ENOSPACE);
        } else {
            tell(&rig, lease(request, SERIAL));
            fetched(&rig, DPC_ENOSPACE);
        }
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_SEND));
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
        CU_ASSERT_FALSE(dropped(&rig));
        CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_FETCHING);
        fetched(&rig, DPC_OK); /* of nothing that was asked for */
        CU_ASSERT_EQUAL(rig.actions.count, 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT));
        CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, token));
        hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        CU_ASSERT(place_of(&rig, DPC_SESSION_DROP_PASSED) < place_of(&rig, DPC_SESSION_FETCH));
        CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_FETCH));
        CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_FETCH)->blobs.count, LEVELS + 2);
        if (computed) {
            fetched(&rig, DPC_OK);
            CU_ASSERT(dpc_token_equal(find(&rig, DPC_SESSION_START)->lease.token, token));
        } else {
            expect_no_room(&rig);
        }
        end(&rig);
    }
}

static void
what_has_no_room_beside_nothing_goes_back(void)
{
    struct rig rig = reach(DPC_WORK_FETCHING, NULL);
    expect_no_room(&rig);
    end(&rig);
    rig = reach(DPC_WORK_RUNNING, NULL);
    fail(&rig, SERIAL, DPC_ENOSPACE);
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_GIVE_BACK, token));
    end(&rig);
}

/* A welcome, or a result that goes back, changes nothing about whose turn it is. */
static void
room_comes_with_the_end_of_the_other_alone(void)
{
    uint64_t request;
    struct rig rig = hand_in_beside(&request);
    tell(&rig, lease(request, SERIAL));
    fetched(&rig, DPC_ENOSPACE);
    dpc_session_connected(rig.session, rig.now_ms, &rig.actions);
    tell(&rig, welcome_to_two(sent(&rig, DPC_MSG_HELLO)->request));
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
    uploaded(&rig, DPC_ENOTFOUND);
    struct dpc_msg *back = sent_of(&rig, DPC_MSG_GIVE_BACK, older);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
    tell(&rig, ack(back->request));
    CU_ASSERT(has(&rig, DPC_SESSION_FETCH));
    end(&rig);
}

/* The other one has gone while it was fetched for: there may be room now. */
static void
room_that_came_meanwhile_is_tried_at_once(void)
{
    for (int computed = 0; computed < 2; computed++) {
        uint64_t request;
        struct rig rig = computed ? run_beside() : hand_in_beside(&request);
        if (!computed)
            tell(&rig, lease(request, SERIAL));
        hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
        if (computed)
            fail(&rig, SERIAL, DPC_ENOSPACE);
        else
            fetched(&rig, DPC_ENOSPACE);
        CU_ASSERT(has(&rig, DPC_SESSION_FETCH));
        CU_ASSERT_FALSE(dropped(&rig));
        expect_no_room(&rig); /* once */
        end(&rig);
    }
}

/* A lease that waits long for the line is one that another worker could have had: where 400 bytes
 * take 10 s, and the lease took 4, the next one is asked for in 6. */
static void
who_is_faster_than_its_line_asks_later(void)
{
    struct rig rig = run_beside();
    rig.now_ms += 4000;
    finish(&rig, SERIAL);
    rig.now_ms += 6000;
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    int64_t from_ms = rig.now_ms;
    CU_ASSERT_PTR_NOT_NULL(wait_in_contact(&rig, DPC_MSG_ASK, 60 * HEARTBEAT));
    CU_ASSERT_EQUAL(rig.now_ms - from_ms, 6000);
    end(&rig);
    rig = run_beside(); /* the line is free before that */
    rig.now_ms += 4000;
    finish(&rig, SERIAL);
    rig.now_ms += 6000;
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    hand_in(&rig, token, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
    rig = run_beside(); /* 400 bytes in half a second tell of round trips, not of the line */
    rig.now_ms += 500;
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    finish(&rig, SERIAL);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
    rig = run_beside(); /* the machine is the slower one */
    rig.now_ms += 1000;
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    rig.now_ms += 4000;
    finish(&rig, SERIAL);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
}

/* Its owner wants the machine, or the process to end, before there is room. */
static void
what_goes_back_while_it_waits_is_not_fetched_again(void)
{
    for (int stops = 0; stops < 2; stops++) {
        uint64_t request;
        struct rig rig = hand_in_beside(&request);
        tell(&rig, lease(request, SERIAL));
        fetched(&rig, DPC_ENOSPACE);
        if (stops)
            stop(&rig);
        else
            dpc_session_yield(rig.session, "it must go", 0, rig.now_ms, &rig.actions);
        struct dpc_msg *back = sent_of(&rig, DPC_MSG_GIVE_BACK, token);
        CU_ASSERT_PTR_NOT_NULL_FATAL(back);
        request = back->request;
        hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
        CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_RETURNING);
        tell(&rig, ack(request));
        CU_ASSERT_EQUAL(sent(&rig, DPC_MSG_LEAVE) != NULL, stops);
        CU_ASSERT_PTR_NULL(wait_for(&rig, DPC_MSG_GIVE_BACK, 3 * HEARTBEAT));
        end(&rig);
    }
}

/* --- Contact. */

static void
connect_again(struct rig *rig)
{
    dpc_session_connected(rig->session, rig->now_ms, &rig->actions);
    struct dpc_msg *hello = sent(rig, DPC_MSG_HELLO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    tell(rig, welcome_to_two(hello->request));
}

static void
hello_after_silence_names_both_and_both_go_on(void)
{
    struct rig rig = run_beside();
    struct dpc_msg *hello = wait_for(&rig, DPC_MSG_HELLO, 20 * HEARTBEAT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    CU_ASSERT(dpc_token_equal(hello->hello.token, token));
    CU_ASSERT(dpc_token_equal(hello->hello.handing_in, older));
    tell(&rig, welcome_to_two(hello->request));
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_START));
    CU_ASSERT_FALSE(dropped(&rig));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, token));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, older));
    end(&rig);
}

static void
each_lane_takes_up_what_it_was_about(void)
{
    uint64_t request;
    struct rig rig = hand_in_beside(&request);
    connect_again(&rig);
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, older));
    tell(&rig, lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL));
    uploaded(&rig, DPC_OK);
    connect_again(&rig);
    CU_ASSERT(has(&rig, DPC_SESSION_FETCH));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_SUBMIT, older));
    fetched(&rig, DPC_OK);
    finish(&rig, SERIAL);
    connect_again(&rig);
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_PASS));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_SUBMIT, older));
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_FINISHED);
    end(&rig);
    rig = finish_beside();
    uploaded(&rig, DPC_ENOTFOUND);
    connect_again(&rig);
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_GIVE_BACK, older));
    end(&rig);
}

/* What is computed to its end out of contact passes, and the ask comes with the welcome. */
static void
a_job_that_ends_out_of_contact_passes(void)
{
    struct rig rig = run_beside();
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HELLO, 20 * HEARTBEAT));
    finish(&rig, SERIAL);
    CU_ASSERT(has(&rig, DPC_SESSION_PASS));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_SEND));
    struct dpc_msg *hello = wait_for(&rig, DPC_MSG_HELLO, 2 * DPC_SESSION_HELLO_MS_MAX);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    CU_ASSERT(dpc_token_equal(hello->hello.token, token)); /* all that an older one reads */
    CU_ASSERT(dpc_token_equal(hello->hello.handing_in, token));
    tell(&rig, welcome_to_two(hello->request));
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, token));
    end(&rig);
}

static void
another_store_voids_both(void)
{
    for (int finished = 0; finished < 2; finished++) {
        struct rig rig = finished ? finish_beside() : run_beside();
        dpc_session_connected(rig.session, rig.now_ms, &rig.actions);
        tell(&rig, welcome(sent(&rig, DPC_MSG_HELLO)->request, INCARNATION + 1));
        CU_ASSERT(has(&rig, DPC_SESSION_DROP));
        CU_ASSERT(has(&rig, DPC_SESSION_DROP_PASSED));
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_UPLOAD));
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_PASS));
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_HEARTBEAT));
        CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
        CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, no_token));
        CU_ASSERT_PTR_NULL(dpc_session_lease(rig.session));
        CU_ASSERT_PTR_NULL(dpc_session_handing_in(rig.session));
        end(&rig);
    }
}

/* --- Pauses and rests. */

static void
quieten(struct rig *rig, bool rests, bool on)
{
    if (rests)
        dpc_session_rest(rig->session, on, rig->now_ms, &rig->actions);
    else
        dpc_session_pause(rig->session, on, rig->now_ms, &rig->actions);
}

static void
what_is_handed_in_goes_on_while_nothing_is_asked_for(void)
{
    for (int rests = 0; rests < 2; rests++) {
        uint64_t request;
        struct rig rig = hand_in_beside(&request);
        quieten(&rig, rests, true);
        CU_ASSERT_PTR_NULL(wait_in_contact(&rig, DPC_MSG_ASK, 60 * HEARTBEAT));
        hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
        CU_ASSERT_PTR_NULL(wait_in_contact(&rig, DPC_MSG_ASK, 60 * HEARTBEAT));
        quieten(&rig, rests, false);
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
        end(&rig);
        rig = run_beside(); /* the job that runs is no new one */
        quieten(&rig, rests, true);
        finish(&rig, SERIAL);
        hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        CU_ASSERT(has(&rig, DPC_SESSION_PASS));
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
        quieten(&rig, rests, false);
        CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_ASK));
        CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, token));
        end(&rig);
    }
}

static void
the_end_of_a_pause_asks_for_no_more_than_is_allowed(void)
{
    for (int rests = 0; rests < 2; rests++) {
        struct rig rig = reach(DPC_WORK_UPLOADING, NULL);
        quieten(&rig, rests, true);
        quieten(&rig, rests, false);
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
        hand_in(&rig, token, DPC_VERDICT_ACCEPTED);
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
        end(&rig);
    }
}

/* What is handed in is of use, and has to reach the coordinator: before the pause or in it. */
static void
a_paused_one_says_hello_for_what_it_hands_in(void)
{
    for (int lost_before = 0; lost_before < 2; lost_before++) {
        uint64_t request;
        struct rig rig = hand_in_beside(&request);
        if (lost_before)
            CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HELLO, 20 * HEARTBEAT));
        quieten(&rig, false, true);
        struct dpc_msg *hello = wait_for(&rig, DPC_MSG_HELLO, 20 * HEARTBEAT);
        CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
        CU_ASSERT(dpc_token_equal(hello->hello.handing_in, older));
        CU_ASSERT(dpc_token_equal(hello->hello.token, older));
        tell(&rig, welcome_to_two(hello->request));
        CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
        hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
        end(&rig);
    }
}

static const struct dpc_test tests[] = {
    {"passing, uploading and asking go together", passing_uploading_and_asking_go_together},
    {"an ask that is repeated names it too", an_ask_that_is_repeated_names_it_too},
    {"who may hold one asks when it is handed in", who_may_hold_one_asks_when_it_is_handed_in},
    {"what is finished waits for the one before", what_is_finished_waits_for_the_one_before},
    {"an accepted one makes who waits ask at once", an_accepted_one_makes_who_waits_ask_at_once},
    {"a lease that is handed in is not computed again",
     a_lease_that_is_handed_in_is_not_computed_again},
    {"heartbeats go out for both", heartbeats_go_out_for_both},
    {"a new lease does not put off the other heartbeat",
     a_new_lease_does_not_put_off_the_other_heartbeat},
    {"one that is over leaves the other alone", one_that_is_over_leaves_the_other_alone},
    {"one that waits to be handed in may be over too",
     one_that_waits_to_be_handed_in_may_be_over_too},
    {"a refused one makes the next ask wait", a_refused_one_makes_the_next_ask_wait},
    {"missing blobs are uploaded beside the job", missing_blobs_are_uploaded_beside_the_job},
    {"what cannot be handed in goes back beside the job",
     what_cannot_be_handed_in_goes_back_beside_the_job},
    {"a failed upload is tried again beside the job",
     a_failed_upload_is_tried_again_beside_the_job},
    {"what has no room waits for the one before", what_has_no_room_waits_for_the_one_before},
    {"what has no room beside nothing goes back", what_has_no_room_beside_nothing_goes_back},
    {"room comes with the end of the other alone", room_comes_with_the_end_of_the_other_alone},
    {"room that came meanwhile is tried at once", room_that_came_meanwhile_is_tried_at_once},
    {"who is faster than its line asks later", who_is_faster_than_its_line_asks_later},
    {"what goes back while it waits is not fetched again",
     what_goes_back_while_it_waits_is_not_fetched_again},
    {"hello after silence names both, and both go on",
     hello_after_silence_names_both_and_both_go_on},
    {"each lane takes up what it was about", each_lane_takes_up_what_it_was_about},
    {"a job that ends out of contact passes", a_job_that_ends_out_of_contact_passes},
    {"another store voids both", another_store_voids_both},
    {"what is handed in goes on while nothing is asked for",
     what_is_handed_in_goes_on_while_nothing_is_asked_for},
    {"the end of a pause asks for no more than is allowed",
     the_end_of_a_pause_asks_for_no_more_than_is_allowed},
    {"a paused one says hello for what it hands in", a_paused_one_says_hello_for_what_it_hands_in},
};
DPC_TEST_MAIN("worker/session, two leases", tests)
