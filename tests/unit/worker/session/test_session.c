/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/worker/session/session_rig.h"

/* --- The usual way. */

static void
from_hello_to_the_next_lease(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_NONE, &request);
    CU_ASSERT_STRING_EQUAL(find(&rig, DPC_SESSION_JOIN)->join.experiment, "experiment: test\n");
    tell(&rig, lease(request, SERIAL));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_FETCH));
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_FETCH)->blobs.count, LEVELS + 2);
    transferred(&rig, DPC_OK);
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_START)->lease.path, 3);
    finish(&rig, SERIAL);
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_UPLOAD)->blobs.count, LEVELS + 1);
    transferred(&rig, DPC_OK);
    struct dpc_msg *submit = sent(&rig, DPC_MSG_SUBMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(submit);
    CU_ASSERT(dpc_token_equal(submit->submit.token, token));
    CU_ASSERT_EQUAL(submit->submit.kind, DPC_TASK_TRAIN);
    CU_ASSERT_EQUAL(submit->submit.path, 3);
    CU_ASSERT_EQUAL(submit->submit.round, 5);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, submit->request, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT(dropped(&rig));
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_PTR_NULL(dpc_session_lease(rig.session));
    end(&rig);
}

static void
a_lease_without_state_fetches_none(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_NONE, &request);
    struct dpc_msg msg = lease(request, SERIAL);
    msg.lease.state.hash = dpc_hash_none;
    tell(&rig, msg);
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_FETCH)->blobs.count, LEVELS + 1);
    end(&rig);
}

static void
hellos_grow_apart_until_the_welcome(void)
{
    struct rig rig = begin();
    uint64_t request = sent(&rig, DPC_MSG_HELLO)->request;
    int64_t pause_ms = DPC_SESSION_HELLO_MS, last_ms = rig.now_ms;
    for (int i = 0; i < 12; i++) {
        struct dpc_msg *hello = wait_for(&rig, DPC_MSG_HELLO, 60000);
        CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
        CU_ASSERT_EQUAL(hello->request, request);
        int64_t gap_ms = rig.now_ms - last_ms;
        CU_ASSERT(gap_ms >= pause_ms / 2 && gap_ms <= pause_ms + pause_ms / 2 + 1);
        last_ms = rig.now_ms;
        pause_ms *= 2;
        if (pause_ms > DPC_SESSION_HELLO_MS_MAX)
            pause_ms = DPC_SESSION_HELLO_MS_MAX;
    }
    tell(&rig, welcome(request, INCARNATION));
    CU_ASSERT(dpc_session_joined(rig.session));
    /* The repetitions are answered too, which changes nothing. */
    tell(&rig, welcome(request, INCARNATION));
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    end(&rig);
}

static void
heartbeats_carry_the_steps(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    dpc_session_progress(rig.session, 17, 456.0);
    struct dpc_msg *beat = wait_for(&rig, DPC_MSG_HEARTBEAT, HEARTBEAT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(beat);
    CU_ASSERT_EQUAL(beat->heartbeat.steps_done, 17);
    CU_ASSERT_DOUBLE_EQUAL(beat->heartbeat.tokens_per_s, 456.0, 0);
    CU_ASSERT(dpc_token_equal(beat->heartbeat.token, token));
    int64_t first_ms = rig.now_ms;
    tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, beat->request, token, DPC_VERDICT_CONTINUE));
    CU_ASSERT_PTR_NOT_NULL(wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT));
    CU_ASSERT_EQUAL(rig.now_ms - first_ms, HEARTBEAT);
    end(&rig);
}

/* --- Verdicts, in every state of work. */

static void
heartbeat_verdicts_in_every_state(void)
{
    for (int work = DPC_WORK_NONE; work <= DPC_WORK_LEAVING; work++) {
        bool beats = work >= DPC_WORK_FETCHING && work <= DPC_WORK_UPLOADING;
        for (int value = DPC_VERDICT_CONTINUE; value <= DPC_VERDICT_REFUSED; value++) {
            bool ends = beats && (value == DPC_VERDICT_SUPERSEDED || value == DPC_VERDICT_STALE ||
                                  value == DPC_VERDICT_ACCEPTED);
            struct rig rig = reach(work, NULL);
            tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, 999, token, value));
            CU_ASSERT_EQUAL(dropped(&rig), ends);
            CU_ASSERT_EQUAL(sent(&rig, DPC_MSG_ASK) != NULL, ends);
            int next = work == DPC_WORK_FINISHED ? DPC_WORK_UPLOADING : DPC_WORK_NONE;
            CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), ends ? next : work);
            end(&rig);
        }
    }
}

static void
submission_verdicts(void)
{
    static const struct {
        enum dpc_verdict verdict;
        enum dpc_session_work after;
        bool drops, asks_now;
    } rows[] = {
        {DPC_VERDICT_CONTINUE, DPC_WORK_SUBMITTING, false, false},
        {DPC_VERDICT_ACCEPTED, DPC_WORK_NONE, true, true},
        {DPC_VERDICT_SUPERSEDED, DPC_WORK_NONE, true, true},
        {DPC_VERDICT_STALE, DPC_WORK_NONE, true, true},
        {DPC_VERDICT_REFUSED, DPC_WORK_NONE, true, false}, /* asks after a pause */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t request;
        struct rig rig = reach(DPC_WORK_SUBMITTING, &request);
        tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, rows[i].verdict));
        CU_ASSERT_EQUAL(dpc_session_work(rig.session), rows[i].after);
        CU_ASSERT_EQUAL(dropped(&rig), rows[i].drops);
        CU_ASSERT_EQUAL(sent(&rig, DPC_MSG_ASK) != NULL, rows[i].asks_now);
        if (rows[i].after == DPC_WORK_NONE && !rows[i].asks_now)
            CU_ASSERT_PTR_NOT_NULL(wait_for(&rig, DPC_MSG_ASK, 2 * DPC_SESSION_FAILURE_MS));
        end(&rig);
    }
}

static void
submission_verdicts_out_of_place_are_dropped(void)
{
    for (int work = DPC_WORK_NONE; work <= DPC_WORK_LEAVING; work++) {
        for (int value = DPC_VERDICT_CONTINUE; value <= DPC_VERDICT_REFUSED; value++) {
            uint64_t request;
            struct rig rig = reach(work, &request);
            bool submits = work == DPC_WORK_SUBMITTING;
            struct dpc_token of = {INCARNATION, submits ? SERIAL - 1 : SERIAL};
            tell(&rig, verdict(DPC_MSG_SUBMITTED, request, of, value));
            CU_ASSERT_EQUAL(rig.actions.count, 0);
            if (!submits) {
                tell(&rig, verdict(DPC_MSG_SUBMITTED, request - 1, token, value));
                CU_ASSERT_EQUAL(rig.actions.count, 0);
            }
            CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), work);
            end(&rig);
        }
    }
}

/* A check that lasts longer than the worker's patience once never reached it: each answer was to an
 * earlier try, and was dropped for its number. */
static void
the_answer_to_an_earlier_submission_is_taken(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_SUBMITTING, &request);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request - 1, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_NONE);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
}

static void
verdicts_on_an_old_lease_are_dropped(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    struct dpc_token old = {INCARNATION, SERIAL - 1};
    tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, 1, old, DPC_VERDICT_STALE));
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_RUNNING);
    end(&rig);
}

static void
missing_blobs_are_uploaded_and_submitted_again(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_SUBMITTING, &request);
    for (int i = 0; i < DPC_SESSION_MISSING_MAX; i++) {
        tell(&rig, misses(request, 30));
        struct dpc_session_action *upload = find(&rig, DPC_SESSION_UPLOAD);
        CU_ASSERT_PTR_NOT_NULL_FATAL(upload);
        CU_ASSERT_EQUAL(upload->blobs.count, 1);
        CU_ASSERT_EQUAL(upload->blobs.refs[0].bytes, 200);
        CU_ASSERT_PTR_NOT_NULL(wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT));
        transferred(&rig, DPC_OK);
        CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_SUBMIT));
        request = sent(&rig, DPC_MSG_SUBMIT)->request;
    }
    tell(&rig, misses(request, 30)); /* enough is enough */
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
    end(&rig);
}

static void
a_foreign_blob_missing_gives_the_lease_back(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_SUBMITTING, &request);
    tell(&rig, misses(request, 99));
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
    end(&rig);
}

/* --- A coordinator that falls silent, and comes back. */

static void
restart_of_the_coordinator_in_every_state(void)
{
    static const struct {
        enum dpc_session_work work;
        enum dpc_msg_type sends; /* on the welcome */
        int acts;                /* likewise; 0: nothing */
    } rows[] = {
        {DPC_WORK_NONE, DPC_MSG_ASK, 0},
        {DPC_WORK_FETCHING, DPC_MSG_HEARTBEAT, DPC_SESSION_FETCH},
        {DPC_WORK_RUNNING, DPC_MSG_HEARTBEAT, 0},
        {DPC_WORK_UPLOADING, DPC_MSG_HEARTBEAT, DPC_SESSION_UPLOAD},
        {DPC_WORK_SUBMITTING, DPC_MSG_SUBMIT, 0},
        {DPC_WORK_RETURNING, DPC_MSG_GIVE_BACK, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rig rig = reach(rows[i].work, NULL);
        int64_t from_ms = rig.now_ms;
        struct dpc_msg *hello = wait_for(&rig, DPC_MSG_HELLO, 20 * HEARTBEAT);
        CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
        CU_ASSERT(rig.now_ms - from_ms >= 3 * HEARTBEAT && rig.now_ms - from_ms <= 6 * HEARTBEAT);
        CU_ASSERT(!dpc_session_joined(rig.session));
        struct dpc_token held = rows[i].work == DPC_WORK_NONE ? (struct dpc_token){0, 0} : token;
        CU_ASSERT(names(hello, held));
        CU_ASSERT_EQUAL(dpc_session_work(rig.session), rows[i].work);
        tell(&rig, welcome(hello->request, INCARNATION));
        CU_ASSERT(has(&rig, DPC_SESSION_JOIN));
        CU_ASSERT(!dropped(&rig));
        CU_ASSERT(!has(&rig, DPC_SESSION_START));
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, rows[i].sends));
        if (rows[i].acts)
            CU_ASSERT(has(&rig, (enum dpc_session_action_type)rows[i].acts));
        CU_ASSERT_EQUAL(dpc_session_work(rig.session), rows[i].work);
        end(&rig);
    }
}

static void
a_new_connection_says_hello_at_once(void)
{
    for (int work = DPC_WORK_NONE; work <= DPC_WORK_RETURNING; work++) {
        struct rig rig = reach(work, NULL);
        dpc_session_connected(rig.session, rig.now_ms, &rig.actions);
        struct dpc_msg *hello = sent(&rig, DPC_MSG_HELLO);
        CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
        uint64_t late = hello->request;
        CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), work);
        /* And again while the hello waits: the break was not the last. */
        dpc_session_connected(rig.session, rig.now_ms, &rig.actions);
        CU_ASSERT_PTR_NOT_NULL_FATAL(sent(&rig, DPC_MSG_HELLO));
        CU_ASSERT_EQUAL(rig.actions.count, 1);
        uint64_t request = sent(&rig, DPC_MSG_HELLO)->request;
        tell(&rig, welcome(late, INCARNATION)); /* over a connection that is gone */
        CU_ASSERT_EQUAL(rig.actions.count, 0);
        tell(&rig, welcome(request, INCARNATION));
        CU_ASSERT(dpc_session_joined(rig.session));
        CU_ASSERT(!dropped(&rig));
        CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), work);
        end(&rig);
    }
}

static void
work_goes_on_while_the_coordinator_is_away(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_HELLO, 20 * HEARTBEAT));
    finish(&rig, SERIAL);
    CU_ASSERT(has(&rig, DPC_SESSION_UPLOAD));
    transferred(&rig, DPC_OK);
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_SUBMIT));
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_SUBMITTING);
    struct dpc_msg *hello = wait_for(&rig, DPC_MSG_HELLO, 60000);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    CU_ASSERT(names(hello, token));
    tell(&rig, welcome(hello->request, INCARNATION));
    struct dpc_msg *submit = sent(&rig, DPC_MSG_SUBMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(submit);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, submit->request, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
    end(&rig);
}

static void
another_incarnation_voids_the_lease(void)
{
    for (int work = DPC_WORK_FETCHING; work <= DPC_WORK_RETURNING; work++) {
        struct rig rig = reach(work, NULL);
        struct dpc_msg *hello = wait_for(&rig, DPC_MSG_HELLO, 20 * HEARTBEAT);
        CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
        tell(&rig, welcome(hello->request, INCARNATION + 1));
        CU_ASSERT(dropped(&rig));
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_ASK));
        CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_NONE);
        end(&rig);
    }
}

/* An upload that failed waits to be tried again: it is for the store that is gone. */
static void
another_incarnation_forgets_an_upload_that_failed(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_UPLOADING, NULL);
    transferred(&rig, DPC_EIO);
    dpc_session_connected(rig.session, rig.now_ms, &rig.actions);
    tell(&rig, welcome(sent(&rig, DPC_MSG_HELLO)->request, INCARNATION + 1));
    request = sent(&rig, DPC_MSG_ASK)->request;
    tell(&rig,
         (struct dpc_msg){.type = DPC_MSG_WAIT, .request = request, .wait = {.retry_ms = 3600000}});
    rig.now_ms += DPC_SESSION_FAILURE_MS_MAX;
    dpc_session_tick(rig.session, rig.now_ms, &rig.actions);
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_NONE);
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_UPLOAD));
    end(&rig);
}

static void
a_coordinator_that_forgot_hears_hello_at_once_and_no_storm(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_NONE, &request);
    tell(&rig, error(request, DPC_ESTALE));
    struct dpc_msg *hello = sent(&rig, DPC_MSG_HELLO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    int64_t first_ms = rig.now_ms;
    for (int i = 0; i < 8; i++) {
        tell(&rig, welcome(hello->request, INCARNATION));
        tell(&rig, error(sent(&rig, DPC_MSG_ASK)->request, DPC_ESTALE));
        hello = wait_for(&rig, DPC_MSG_HELLO, 2 * DPC_SESSION_FAILURE_MS_MAX);
        CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    }
    CU_ASSERT(rig.now_ms - first_ms > 60 * DPC_SESSION_HELLO_MS);
    end(&rig);
}

static void
a_heartbeat_refused_says_hello_and_keeps_the_work(void)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    struct dpc_msg *beat = wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(beat);
    tell(&rig, error(beat->request, DPC_ESTALE));
    struct dpc_msg *hello = sent(&rig, DPC_MSG_HELLO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    CU_ASSERT(names(hello, token));
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_RUNNING);
    end(&rig);
}

/* It wrote a line for each, on the disk of the worker's owner. */
static void
a_coordinator_does_not_fill_the_log(void)
{
    enum { ERRORS = 10 * DPC_SESSION_NOTES_BURST };
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    struct dpc_msg *beat = wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(beat);
    uint64_t request = beat->request;
    uint32_t lines = 0;
    for (int i = 0; i < ERRORS; i++) {
        tell(&rig, error(request, DPC_EINVAL));
        lines += has(&rig, DPC_SESSION_LOG);
    }
    CU_ASSERT(lines > 0 && lines <= DPC_SESSION_NOTES_BURST);
    rig.now_ms += DPC_SESSION_NOTE_MS;
    tell(&rig, error(request, DPC_EINVAL));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_LOG));
    CU_ASSERT_PTR_NOT_NULL(strstr(find(&rig, DPC_SESSION_LOG)->log.text, "not_logged="));
    end(&rig);
}

static bool
tells_a_loss(struct rig *rig)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(rig, DPC_SESSION_LOG));
    return strstr(find(rig, DPC_SESSION_LOG)->log.text, "loss=") != NULL;
}

/* It said loss=0.0000 where there was none. */
static void
a_loss_is_told_where_there_is_one(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_SUBMITTING, &request);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT(tells_a_loss(&rig));
    end(&rig);
    rig = reach(DPC_WORK_RUNNING, NULL);
    struct dpc_msg *beat = wait_for(&rig, DPC_MSG_HEARTBEAT, 2 * HEARTBEAT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(beat);
    tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, beat->request, token, DPC_VERDICT_STALE));
    CU_ASSERT_FALSE(tells_a_loss(&rig));
    end(&rig);
}

static void
a_lost_answer_to_submit_is_asked_for_again(void)
{
    uint64_t request;
    struct rig rig = reach(DPC_WORK_SUBMITTING, &request);
    struct dpc_msg *again = wait_for(&rig, DPC_MSG_SUBMIT, 3 * HEARTBEAT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(again);
    CU_ASSERT_EQUAL(again->request, request);
    CU_ASSERT_EQUAL(again->submit.steps_count, 60);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT_EQUAL(dpc_session_work(rig.session), DPC_WORK_NONE);
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    end(&rig);
}

/* --- Waiting. */

static void
wait_is_obeyed_within_bounds(void)
{
    static const struct {
        uint32_t retry_ms;
        bool finished;
        int64_t least_ms, most_ms;
    } rows[] = {
        {700, false, 700, 771},
        {0, false, DPC_SESSION_WAIT_MS_MIN, 60},
        {UINT32_MAX, false, DPC_SESSION_WAIT_MS_MAX, DPC_SESSION_WAIT_MS_MAX * 11 / 10 + 1},
        {10, true, DPC_SESSION_FINISHED_MS, DPC_SESSION_FINISHED_MS * 11 / 10 + 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t request;
        struct rig rig = reach(DPC_WORK_NONE, &request);
        struct dpc_msg msg = {.type = DPC_MSG_WAIT, .request = request};
        msg.wait = (struct dpc_msg_wait){rows[i].retry_ms, rows[i].finished, "no task"};
        tell(&rig, msg);
        int64_t from_ms = rig.now_ms;
        CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(&rig, DPC_MSG_ASK, 2 * DPC_SESSION_WAIT_MS_MAX));
        CU_ASSERT(rig.now_ms - from_ms >= rows[i].least_ms);
        CU_ASSERT(rig.now_ms - from_ms <= rows[i].most_ms);
        /* Silence while nothing was asked is no silence. */
        CU_ASSERT(dpc_session_joined(rig.session));
        end(&rig);
    }
}

static const struct dpc_test tests[] = {
    {"from hello to the next lease", from_hello_to_the_next_lease},
    {"a lease without state fetches none", a_lease_without_state_fetches_none},
    {"hellos grow apart until the welcome", hellos_grow_apart_until_the_welcome},
    {"heartbeats carry the steps", heartbeats_carry_the_steps},
    {"heartbeat verdicts in every state", heartbeat_verdicts_in_every_state},
    {"submission verdicts", submission_verdicts},
    {"submission verdicts out of place are dropped", submission_verdicts_out_of_place_are_dropped},
    {"the answer to an earlier submission is taken", the_answer_to_an_earlier_submission_is_taken},
    {"verdicts on an old lease are dropped", verdicts_on_an_old_lease_are_dropped},
    {"missing blobs are uploaded and submitted again",
     missing_blobs_are_uploaded_and_submitted_again},
    {"a foreign blob missing gives the lease back", a_foreign_blob_missing_gives_the_lease_back},
    {"restart of the coordinator in every state", restart_of_the_coordinator_in_every_state},
    {"a new connection says hello at once", a_new_connection_says_hello_at_once},
    {"work goes on while the coordinator is away", work_goes_on_while_the_coordinator_is_away},
    {"another incarnation voids the lease", another_incarnation_voids_the_lease},
    {"another incarnation forgets an upload that failed",
     another_incarnation_forgets_an_upload_that_failed},
    {"a coordinator that forgot hears hello at once, and no storm",
     a_coordinator_that_forgot_hears_hello_at_once_and_no_storm},
    {"a heartbeat refused says hello and keeps the work",
     a_heartbeat_refused_says_hello_and_keeps_the_work},
    {"a coordinator does not fill the log", a_coordinator_does_not_fill_the_log},
    {"a loss is told where there is one", a_loss_is_told_where_there_is_one},
    {"a lost answer to submit is asked for again", a_lost_answer_to_submit_is_asked_for_again},
    {"wait is obeyed within bounds", wait_is_obeyed_within_bounds},
};
DPC_TEST_MAIN("worker/session", tests)
