/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/worker/session/session_rig.h"

enum { LEASE_MS = 100000 };

static void
rest(struct rig *rig, bool rests)
{
    dpc_session_rest(rig->session, rests, rig->now_ms, &rig->actions);
}

/* Steps of a second each, of a lease of 60 steps that came with LEASE_MS. */
static struct rig
running(uint32_t steps)
{
    struct rig rig = begin();
    tell(&rig, welcome(sent(&rig, DPC_MSG_HELLO)->request, INCARNATION));
    struct dpc_msg msg = lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL);
    msg.lease.time_left_ms = LEASE_MS;
    tell(&rig, msg);
    transferred(&rig, DPC_OK);
    rig.now_ms += 1000 * steps;
    dpc_session_progress(rig.session, steps, 100.0);
    return rig;
}

static void
no_lease_is_asked_for_until_the_rest_is_over(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_NONE, &request);
    tell(&rig,
         (struct dpc_msg){.type = DPC_MSG_WAIT, .request = request, .wait = {.retry_ms = 1000}});
    rest(&rig, true);
    CU_ASSERT_PTR_NULL(wait_for(&rig, DPC_MSG_ASK, 3600 * 1000));
    rest(&rig, false);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    rest(&rig, false); /* said twice */
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    end(&rig);
}

/* The coordinator answers what was asked before: it need not wait for silence to give it to others.
 */
static void
a_lease_on_its_way_goes_back(void)
{
    for (int pauses = 0; pauses < 2; pauses++) {
        uint64_t request;
        struct rig rig = reach(DPC_WORK_NONE, &request);
        if (pauses)
            dpc_session_pause(rig.session, true, rig.now_ms, &rig.actions);
        else
            rest(&rig, true);
        tell(&rig, lease(request, SERIAL));
        struct dpc_msg *back = sent(&rig, DPC_MSG_GIVE_BACK);
        CU_ASSERT_PTR_NOT_NULL_FATAL(back);
        CU_ASSERT_EQUAL(back->give_back.token.serial, SERIAL);
        tell(&rig, ack(back->request));
        tell(&rig, lease(request, SERIAL)); /* once more, by the network */
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
        CU_ASSERT_PTR_NULL(wait_for(&rig, DPC_MSG_ASK, 3600 * 1000));
        end(&rig);
    }
}

/* When it has been asked for anew the answer to that comes, too. */
static void
a_short_rest_changes_nothing(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_NONE, &request);
    rest(&rig, true);
    rest(&rig, false);
    struct dpc_msg *ask = sent(&rig, DPC_MSG_ASK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ask);
    uint64_t again = ask->request;
    tell(&rig, lease(request, SERIAL));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
    tell(&rig, lease(again, SERIAL));
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_FETCHING);
    end(&rig);
}

/* A worker that is started, or comes back, while it rests says hello all the same. */
static void
contact_is_found_while_it_rests(void)
{
    struct rig rig = begin();
    rest(&rig, true);
    struct dpc_msg *hello = wait_for(&rig, DPC_MSG_HELLO, 60000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    tell(&rig, welcome(hello->request, INCARNATION));
    CU_ASSERT(dpc_session_joined(rig.session));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    dpc_session_connected(rig.session, rig.now_ms, &rig.actions);
    hello = sent(&rig, DPC_MSG_HELLO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    tell(&rig, welcome(hello->request, INCARNATION));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    rest(&rig, false);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
}

/* Neither the cloud's notice that is withdrawn nor the owner's rest that ends speaks for both. */
static void
who_is_paused_and_rests_needs_the_end_of_both(void)
{
    struct rig rig = reach(DPC_WORK_NONE, NULL);
    dpc_session_pause(rig.session, true, rig.now_ms, &rig.actions);
    rest(&rig, true);
    dpc_session_pause(rig.session, false, rig.now_ms, &rig.actions);
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    dpc_session_pause(rig.session, true, rig.now_ms, &rig.actions);
    rest(&rig, false);
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    dpc_session_pause(rig.session, false, rig.now_ms, &rig.actions);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
}

static void
what_is_handed_in_goes_on(void)
{
    struct rig rig = reach(DPC_WORK_UPLOADING, NULL);
    rest(&rig, true);
    transferred(&rig, DPC_OK);
    uint64_t request = sent(&rig, DPC_MSG_SUBMIT)->request;
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_PTR_NULL(wait_for(&rig, DPC_MSG_ASK, 3600 * 1000));
    end(&rig);
}

static void
a_lease_that_is_given_back_is_not_asked_for_again(void)
{
    struct rig rig = running(10);
    rest(&rig, true);
    dpc_session_yield(rig.session, "paused: on battery", 1000, rig.now_ms, &rig.actions);
    struct dpc_msg *back = sent(&rig, DPC_MSG_GIVE_BACK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    CU_ASSERT_STRING_EQUAL(back->give_back.reason, "paused: on battery");
    tell(&rig, ack(back->request));
    CU_ASSERT_PTR_NULL(wait_for(&rig, DPC_MSG_ASK, 3600 * 1000));
    end(&rig);
}

/* 10 of 60 steps in 10 s: the other 50 take 50 s, so that of the 90 s left 40 are to spare. */
static void
a_job_that_stands_still_keeps_its_pace(void)
{
    struct rig rig = running(10);
    CU_ASSERT_EQUAL(dpc_session_rest_ms(rig.session, rig.now_ms), 50000);
    CU_ASSERT_EQUAL(dpc_session_slack_ms(rig.session, rig.now_ms), 40000);
    dpc_session_hold(rig.session, true, rig.now_ms);
    rig.now_ms += 30000;
    CU_ASSERT_EQUAL(dpc_session_rest_ms(rig.session, rig.now_ms), 50000);
    CU_ASSERT_EQUAL(dpc_session_slack_ms(rig.session, rig.now_ms), 10000);
    dpc_session_hold(rig.session, false, rig.now_ms);
    rig.now_ms += 5000;
    dpc_session_progress(rig.session, 15, 100.0);
    CU_ASSERT_EQUAL(dpc_session_rest_ms(rig.session, rig.now_ms), 45000);
    end(&rig);
}

/* A cloud that takes the machine back does not wait for the end of the rest. */
static void
a_job_that_stands_still_is_not_nearly_done(void)
{
    struct rig rig = running(59);
    CU_ASSERT(dpc_session_ends_within(rig.session, 2000, rig.now_ms));
    dpc_session_hold(rig.session, true, rig.now_ms);
    CU_ASSERT_FALSE(dpc_session_ends_within(rig.session, 2000, rig.now_ms));
    dpc_session_hold(rig.session, false, rig.now_ms);
    CU_ASSERT(dpc_session_ends_within(rig.session, 2000, rig.now_ms));
    end(&rig);
}

/* In 24 s half of which is for the unforeseen a step of a second fits; one of an hour would not. */
static void
a_part_is_handed_in_after_an_hour_of_standing_still(void)
{
    struct rig rig = running(10);
    dpc_session_allow_parts(rig.session, &(struct dpc_session_parts){.allowed = true});
    dpc_session_hold(rig.session, true, rig.now_ms);
    rig.now_ms += 3600 * 1000;
    dpc_session_yield(rig.session, "paused", 24000, rig.now_ms, &rig.actions);
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    end(&rig);
}

/* Two hundred bytes of deltas are nothing at 125 kB/s, and 20 s at 10 bytes a second. */
static void
a_part_has_the_rate_that_its_owner_allows(void)
{
    for (int slow = 0; slow < 2; slow++) {
        static struct dpc_session_options options = {
            .name = "w", .build = "1", .numeric_class = "c", .seed = 5};
        options.up_bytes_per_s_max = slow ? 10 : 0;
        struct rig rig = {.session = dpc_session_create(&options), .now_ms = 1000};
        dpc_session_start(rig.session, rig.now_ms, &rig.actions);
        tell(&rig, welcome(sent(&rig, DPC_MSG_HELLO)->request, INCARNATION));
        tell(&rig, lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL));
        transferred(&rig, DPC_OK);
        dpc_session_allow_parts(rig.session, &(struct dpc_session_parts){.allowed = true});
        rig.now_ms += 10000;
        dpc_session_progress(rig.session, 10, 100.0);
        dpc_session_yield(rig.session, "paused", 20000, rig.now_ms, &rig.actions);
        CU_ASSERT_EQUAL(has(&rig, DPC_SESSION_CUT), !slow);
        end(&rig);
    }
}

static void
a_job_that_begins_while_it_stands_still_has_had_no_time(void)
{
    struct rig rig = reach(DPC_WORK_FETCHING, NULL);
    dpc_session_hold(rig.session, true, rig.now_ms);
    rig.now_ms += 20000;
    transferred(&rig, DPC_OK);
    rig.now_ms += 20000;
    dpc_session_hold(rig.session, false, rig.now_ms);
    rig.now_ms += 6000;
    dpc_session_progress(rig.session, 6, 100.0);
    CU_ASSERT_EQUAL(dpc_session_rest_ms(rig.session, rig.now_ms), 54000);
    CU_ASSERT_EQUAL(dpc_session_slack_ms(rig.session, rig.now_ms), -54000 - 40000 - 6000);
    end(&rig);
}

static void
a_lease_without_a_time_waits_as_long_as_its_worker_thinks_right(void)
{
    struct rig rig = begin();
    tell(&rig, welcome(sent(&rig, DPC_MSG_HELLO)->request, INCARNATION));
    CU_ASSERT_EQUAL(dpc_session_slack_ms(rig.session, rig.now_ms), INT64_MAX);
    struct dpc_msg msg = lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL);
    msg.lease.time_left_ms = UINT32_MAX;
    tell(&rig, msg);
    CU_ASSERT_EQUAL(dpc_session_slack_ms(rig.session, rig.now_ms), INT64_MAX);
    end(&rig);
}

static void
what_came_of_leases_is_counted(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_SUBMITTING, &request);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_ACCEPTED));
    const struct dpc_session_counts *counts = dpc_session_counts(rig.session);
    CU_ASSERT_EQUAL(counts->accepted, 1);
    CU_ASSERT_EQUAL(counts->tokens, 6000);
    CU_ASSERT_STRING_EQUAL(counts->reason, "");
    end(&rig);
    rig = reach(DPC_WORK_SUBMITTING, &request);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_REFUSED));
    counts = dpc_session_counts(rig.session);
    CU_ASSERT_EQUAL(counts->refused, 1);
    CU_ASSERT_EQUAL(counts->tokens, 0);
    CU_ASSERT_STRING_EQUAL(counts->reason, "refused: why");
    end(&rig);
    rig = reach(DPC_WORK_SUBMITTING, &request);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_SUPERSEDED));
    CU_ASSERT_EQUAL(dpc_session_counts(rig.session)->superseded, 1);
    end(&rig);
    rig = reach(DPC_WORK_RETURNING, NULL);
    CU_ASSERT_EQUAL(dpc_session_counts(rig.session)->returned, 1);
    CU_ASSERT_STRING_EQUAL(dpc_session_counts(rig.session)->reason, "given back: the reason");
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"a lease on its way goes back", a_lease_on_its_way_goes_back},
    {"a short rest changes nothing", a_short_rest_changes_nothing},
    {"no lease is asked for until the rest is over", no_lease_is_asked_for_until_the_rest_is_over},
    {"contact is found while it rests", contact_is_found_while_it_rests},
    {"who is paused and rests needs the end of both",
     who_is_paused_and_rests_needs_the_end_of_both},
    {"what is handed in goes on", what_is_handed_in_goes_on},
    {"a lease that is given back is not asked for again",
     a_lease_that_is_given_back_is_not_asked_for_again},
    {"a job that stands still keeps its pace", a_job_that_stands_still_keeps_its_pace},
    {"a job that stands still is not nearly done", a_job_that_stands_still_is_not_nearly_done},
    {"a part is handed in after an hour of standing still",
     a_part_is_handed_in_after_an_hour_of_standing_still},
    {"a part has the rate that its owner allows", a_part_has_the_rate_that_its_owner_allows},
    {"a job that begins while it stands still has had no time",
     a_job_that_begins_while_it_stands_still_has_had_no_time},
    {"a lease without a time waits as long as its worker thinks right",
     a_lease_without_a_time_waits_as_long_as_its_worker_thinks_right},
    {"what came of leases is counted", what_came_of_leases_is_counted},
};
DPC_TEST_MAIN("worker/session_rest", tests)
