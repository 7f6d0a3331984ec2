/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/worker/session/session_rig.h"

static const struct dpc_session_options options = {
    .name = "w", .build = "1", .numeric_class = "c", .seed = 5};

/* A process that begins with the lease of the one before, after 17 steps of it or, `finished`, with
 * its submission; up to the welcome. */
static struct rig
restore(bool finished, uint64_t incarnation)
{
    struct rig rig = {.session = dpc_session_create(&options), .now_ms = 1000};
    struct dpc_msg of = lease(0, SERIAL);
    struct dpc_msg_submit submit = {.token = token, .steps_count = 60, .loss = 2.5};
    submit.parts_count = LEVELS;
    for (uint8_t level = 0; level < LEVELS; level++)
        submit.parts[level].delta = (struct dpc_blob_ref){hash_of((uint8_t)(20 + level)), 100};
    submit.state = (struct dpc_blob_ref){hash_of(30), 200};
    dpc_session_restore(rig.session, &of.lease, finished ? 0 : 17, finished ? &submit : NULL);
    dpc_session_start(rig.session, rig.now_ms, &rig.actions);
    struct dpc_msg *hello = sent(&rig, DPC_MSG_HELLO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    CU_ASSERT(names(hello, token));
    tell(&rig, welcome(hello->request, incarnation));
    return rig;
}

static void
steps_are_taken_up(void)
{
    struct rig rig = restore(false, INCARNATION);
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_HEARTBEAT));
    CU_ASSERT_EQUAL(sent(&rig, DPC_MSG_HEARTBEAT)->heartbeat.steps_done, 17);
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_FETCH)->blobs.count, LEVELS + 2);
    transferred(&rig, DPC_OK);
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_START));
    CU_ASSERT(dpc_token_equal(find(&rig, DPC_SESSION_START)->lease.token, token));
    finish(&rig, SERIAL);
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    end(&rig);
}

static void
a_submission_is_handed_in(void)
{
    struct rig rig = restore(true, INCARNATION);
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_UPLOAD)->blobs.count, LEVELS + 1);
    transferred(&rig, DPC_OK);
    struct dpc_msg *submit = sent(&rig, DPC_MSG_SUBMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(submit);
    CU_ASSERT_EQUAL(submit->submit.loss, 2.5);
    CU_ASSERT_EQUAL(submit->submit.path, 3);
    CU_ASSERT_EQUAL(submit->submit.kind, DPC_TASK_TRAIN);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, submit->request, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT(dropped(&rig));
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
}

/* The blobs that it names were lost with the disk's last writes. */
static void
a_submission_without_its_blobs_is_given_back(void)
{
    struct rig rig = restore(true, INCARNATION);
    transferred(&rig, DPC_ENOTFOUND);
    CU_ASSERT(dropped(&rig));
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
    end(&rig);
}

static void
a_lease_that_is_over_is_dropped(void)
{
    for (int finished = 0; finished < 2; finished++) {
        struct rig rig = restore(finished, INCARNATION);
        uint64_t request = sent(&rig, DPC_MSG_HEARTBEAT)->request;
        tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, request, token, DPC_VERDICT_STALE));
        CU_ASSERT(dropped(&rig));
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
        end(&rig);
    }
}

static void
another_store_voids_it(void)
{
    for (int finished = 0; finished < 2; finished++) {
        struct rig rig = restore(finished, INCARNATION + 1);
        CU_ASSERT(dropped(&rig));
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
        CU_ASSERT_PTR_NULL(dpc_session_lease(rig.session));
        end(&rig);
    }
}

static void
suspend(struct rig *rig)
{
    dpc_session_suspend(rig->session, 0, rig->now_ms, &rig->actions);
}

/* What has come to something stays this worker's; what has not goes to others. */
static void
suspending_in_every_state(void)
{
    static const struct {
        int work;
        enum dpc_session_action_type action;
        enum dpc_msg_type message;
    } rows[] = {
        {DPC_WORK_NONE, DPC_SESSION_SEND, DPC_MSG_LEAVE},
        {DPC_WORK_FETCHING, DPC_SESSION_SEND, DPC_MSG_GIVE_BACK},
        {DPC_WORK_RUNNING, DPC_SESSION_EXIT, DPC_MSG_NONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig = reach(rows[i].work, NULL);
        suspend(&rig);
        CU_ASSERT(has(&rig, rows[i].action));
        CU_ASSERT_EQUAL(dropped(&rig), rows[i].work == DPC_WORK_FETCHING);
        if (rows[i].message)
            CU_ASSERT_PTR_NOT_NULL(sent(&rig, rows[i].message));
        end(&rig);
    }
}

static void
suspending_a_restored_lease_keeps_it(void)
{
    struct rig rig = restore(false, INCARNATION);
    suspend(&rig);
    CU_ASSERT(has(&rig, DPC_SESSION_EXIT));
    CU_ASSERT_FALSE(dropped(&rig));
    end(&rig);
}

/* Handing in is tried for as long as in a stop; what is left then is for the next process. */
static void
suspending_while_handing_in_gives_nothing_back(void)
{
    for (int work = DPC_WORK_UPLOADING; work <= DPC_WORK_SUBMITTING; work++) {
        struct rig rig = reach(work, NULL);
        suspend(&rig);
        int64_t from_ms = rig.now_ms;
        while (!has(&rig, DPC_SESSION_EXIT) && rig.now_ms < from_ms + 60000) {
            tick(&rig, DPC_SESSION_STOP_MS);
            CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
        }
        CU_ASSERT(rig.now_ms - from_ms <= DPC_SESSION_STOP_MS);
        CU_ASSERT_FALSE(dropped(&rig));
        end(&rig);
    }
}

static const struct dpc_test tests[] = {
    {"steps are taken up", steps_are_taken_up},
    {"a submission is handed in", a_submission_is_handed_in},
    {"a submission without its blobs is given back", a_submission_without_its_blobs_is_given_back},
    {"a lease that is over is dropped", a_lease_that_is_over_is_dropped},
    {"another store voids it", another_store_voids_it},
    {"suspending in every state", suspending_in_every_state},
    {"suspending a restored lease keeps it", suspending_a_restored_lease_keeps_it},
    {"suspending while handing in gives nothing back",
     suspending_while_handing_in_gives_nothing_back},
};
DPC_TEST_MAIN("worker/session_restore", tests)
