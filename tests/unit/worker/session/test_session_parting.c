/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/worker/session/session_rig.h"

enum { MANY_MS = 20000 };

static void
allow_forms(struct rig *rig, bool allowed, enum dpc_codec upload, enum dpc_moments moments)
{
    dpc_session_allow_parts(rig->session, &(struct dpc_session_parts){.allowed = allowed,
                                                                      .ship_state = true,
                                                                      .upload = upload,
                                                                      .moments = moments,
                                                                      .dense_path = UINT32_MAX});
}

static void
allow(struct rig *rig, bool allowed)
{
    allow_forms(rig, allowed, DPC_CODEC_FP32, DPC_MOMENTS_FP32);
}

/* A session of an elastic experiment whose job has done `steps` in as many seconds. */
static struct rig
running(uint32_t steps)
{
    struct rig rig = reach(DPC_WORK_RUNNING, NULL);
    allow(&rig, true);
    rig.now_ms += 1000 * steps;
    dpc_session_progress(rig.session, steps, 100.0);
    return rig;
}

static void
yield(struct rig *rig, int64_t left_ms)
{
    dpc_session_yield(rig->session, "it must go", left_ms, rig->now_ms, &rig->actions);
}

/* The job ends where it was cut; what is uploaded then. */
static uint32_t
uploads_of_the_part(struct rig *rig)
{
    finish(rig, SERIAL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(rig, DPC_SESSION_UPLOAD));
    return find(rig, DPC_SESSION_UPLOAD)->blobs.count;
}

static void
a_part_is_handed_in(void)
{
    struct rig rig = running(17);
    yield(&rig, MANY_MS);
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    CU_ASSERT_FALSE(dropped(&rig));
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_RUNNING);
    yield(&rig, MANY_MS); /* said twice */
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    CU_ASSERT_EQUAL(uploads_of_the_part(&rig), LEVELS + 1);
    transferred(&rig, DPC_OK);
    struct dpc_msg *submit = sent(&rig, DPC_MSG_SUBMIT);
    CU_ASSERT_PTR_NOT_NULL_FATAL(submit);
    CU_ASSERT_FALSE(dpc_hash_is_none(&submit->submit.state.hash));
    end(&rig);
}

/* 300 bytes of deltas and state at 125 kB/s are nothing; a step of a second is what counts. */
static void
without_time_it_goes_back(void)
{
    struct rig rig = running(17);
    yield(&rig, 1900);
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_CUT));
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
    end(&rig);
}

static void
strict_mode_and_no_steps_give_back(void)
{
    for (int strict = 0; strict < 2; strict++) {
        struct rig rig = running(strict ? 17 : 0);
        allow(&rig, !strict);
        yield(&rig, MANY_MS);
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_GIVE_BACK));
        end(&rig);
    }
}

/* A running lease after an upload of 400 bytes that took 10 s. */
static struct rig
running_with_a_slow_uplink(void)
{
    struct rig rig = running(10);
    finish(&rig, SERIAL);
    rig.now_ms += 10000;
    transferred(&rig, DPC_OK);
    uint64_t request = sent(&rig, DPC_MSG_SUBMIT)->request;
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_ACCEPTED));
    tell(&rig, lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL));
    transferred(&rig, DPC_OK);
    rig.now_ms += 10000;
    dpc_session_progress(rig.session, 10, 100.0);
    return rig;
}

/* Of 9 values at each level. */
static void
a_slow_uplink_leaves_the_state_behind(void)
{
    struct rig rig = running_with_a_slow_uplink();
    yield(&rig, 18000); /* of which a half is 1 s of a step, 5 s of deltas, 5.2 s of state */
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    CU_ASSERT_EQUAL(uploads_of_the_part(&rig), LEVELS);
    transferred(&rig, DPC_OK);
    CU_ASSERT(dpc_hash_is_none(&sent(&rig, DPC_MSG_SUBMIT)->submit.state.hash));
    end(&rig);
}

/* In fewer bytes it fits: 1 s, 3.7 s, 2.6 s. */
static void
forms_of_fewer_bytes_are_reckoned_with(void)
{
    struct rig rig = running_with_a_slow_uplink();
    allow_forms(&rig, true, DPC_CODEC_NF4, DPC_MOMENTS_FP8);
    yield(&rig, 18000);
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    CU_ASSERT_EQUAL(uploads_of_the_part(&rig), LEVELS + 1);
    end(&rig);
}

static void
stopping_hands_in_and_leaves(void)
{
    struct rig rig = running(17);
    stop(&rig);
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_EXIT));
    CU_ASSERT_EQUAL(uploads_of_the_part(&rig), LEVELS + 1);
    transferred(&rig, DPC_OK);
    uint64_t request = sent(&rig, DPC_MSG_SUBMIT)->request;
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_ACCEPTED));
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_LEAVE));
    end(&rig);
}

/* A step that takes far longer than those before it. */
static void
a_cut_that_takes_too_long_gives_back(void)
{
    struct rig rig = running(17);
    stop(&rig);
    int64_t from_ms = rig.now_ms;
    while (!sent(&rig, DPC_MSG_GIVE_BACK) && rig.now_ms < from_ms + 60000) {
        tick(&rig, 1000);
        struct dpc_msg *beat = sent(&rig, DPC_MSG_HEARTBEAT);
        if (beat)
            tell(&rig, verdict(DPC_MSG_HEARTBEAT_ACK, beat->request, token, DPC_VERDICT_CONTINUE));
    }
    CU_ASSERT_EQUAL(rig.now_ms - from_ms, DPC_SESSION_STOP_MS);
    end(&rig);
}

/* The next lease is no part because the last one was. */
static void
the_next_lease_is_whole_again(void)
{
    struct rig rig = running(17);
    yield(&rig, MANY_MS);
    CU_ASSERT_EQUAL(uploads_of_the_part(&rig), LEVELS + 1);
    transferred(&rig, DPC_OK);
    uint64_t request = sent(&rig, DPC_MSG_SUBMIT)->request;
    tell(&rig, verdict(DPC_MSG_SUBMITTED, request, token, DPC_VERDICT_ACCEPTED));
    tell(&rig, lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL));
    transferred(&rig, DPC_OK);
    dpc_session_progress(rig.session, 3, 100.0);
    rig.now_ms += 3000;
    yield(&rig, MANY_MS);
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"a part is handed in", a_part_is_handed_in},
    {"without time it goes back", without_time_it_goes_back},
    {"strict mode and no steps give back", strict_mode_and_no_steps_give_back},
    {"a slow uplink leaves the state behind", a_slow_uplink_leaves_the_state_behind},
    {"forms of fewer bytes are reckoned with", forms_of_fewer_bytes_are_reckoned_with},
    {"stopping hands in and leaves", stopping_hands_in_and_leaves},
    {"a cut that takes too long gives back", a_cut_that_takes_too_long_gives_back},
    {"the next lease is whole again", the_next_lease_is_whole_again},
};
DPC_TEST_MAIN("worker/session_parting", tests)
