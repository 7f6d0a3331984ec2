/* SPDX-License-Identifier: Apache-2.0
 * Two leases when one has to yield, and the process to end; what the next one takes up; and
 * anything at all in any order. */
#include "tests/unit/worker/session/lanes_rig.h"
#include "tests/unit/worker/session/session_walk.h"

/* --- Yielding. */

static const struct dpc_session_parts parts = {.allowed = true,
                                               .ship_state = true,
                                               .upload = DPC_CODEC_FP32,
                                               .moments = DPC_MOMENTS_FP32,
                                               .dense_path = UINT32_MAX};

/* As run_beside, of an elastic experiment, after 17 steps of a second each, where the owner allows
 * 40 bytes a second. */
static struct rig
run_slowly_beside(bool is_uploaded)
{
    static const struct dpc_session_options options = {
        .name = "w", .build = "1", .numeric_class = "c", .up_bytes_per_s_max = 40, .seed = 5};
    struct rig rig = {.session = dpc_session_create(&options), .now_ms = 1000};
    dpc_session_allow_parts(rig.session, &parts);
    dpc_session_start(rig.session, rig.now_ms, &rig.actions);
    tell(&rig, welcome_to_two(sent(&rig, DPC_MSG_HELLO)->request));
    tell(&rig, lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL - 1));
    fetched(&rig, DPC_OK);
    rig.now_ms += 10000; /* as long as its results take to go up */
    finish(&rig, SERIAL - 1);
    tell(&rig, lease(sent(&rig, DPC_MSG_ASK)->request, SERIAL));
    if (is_uploaded)
        uploaded(&rig, DPC_OK);
    fetched(&rig, DPC_OK);
    rig.now_ms += 17000;
    dpc_session_progress(rig.session, 17, 100.0);
    return rig;
}

static void
yield(struct rig *rig, int64_t left_ms)
{
    dpc_session_yield(rig->session, "it must go", left_ms, rig->now_ms, &rig->actions);
}

static void
yielding_cuts_the_one_in_front_alone(void)
{
    struct rig rig = run_slowly_beside(false);
    yield(&rig, 60000);
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    CU_ASSERT_FALSE(dropped(&rig));
    finish(&rig, SERIAL);
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    yield(&rig, 60000); /* what is finished is handed in */
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(has(&rig, DPC_SESSION_PASS));
    end(&rig);
    uint64_t request;
    rig = hand_in_beside(&request);
    yield(&rig, 0);
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    tell(&rig, lease(request, SERIAL));
    yield(&rig, 0);
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_GIVE_BACK, token));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP_PASSED));
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    end(&rig);
}

/* Half of 18 s is enough for a step and 200 bytes of deltas, which take 5 s, but not when 400 bytes
 * go before, which take 10. */
static void
a_part_waits_for_the_line(void)
{
    for (int taken = 0; taken < 2; taken++) {
        struct rig rig = run_slowly_beside(!taken);
        yield(&rig, 18000);
        CU_ASSERT_EQUAL(has(&rig, DPC_SESSION_CUT), !taken);
        CU_ASSERT_EQUAL(sent_of(&rig, DPC_MSG_GIVE_BACK, token) != NULL, taken);
        end(&rig);
    }
    struct rig rig = run_slowly_beside(false); /* and comes after it */
    yield(&rig, 28000);
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    end(&rig);
}

/* There is no time to begin it anew once the other one is done. */
static void
a_part_without_room_goes_back(void)
{
    static const int codes[] = {DPC_ENOSPACE, DPC_ECORRUPT};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct rig rig = run_slowly_beside(false);
        yield(&rig, 60000);
        CU_ASSERT(has(&rig, DPC_SESSION_CUT));
        fail(&rig, SERIAL, codes[i]);
        CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_GIVE_BACK, token));
        hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
        end(&rig);
    }
}

/* 43 steps of a second are left of the job, and 400 bytes of the other one take 10 s at most. */
static void
what_is_nearly_done_waits_for_the_line_too(void)
{
    struct rig rig = run_slowly_beside(false);
    CU_ASSERT_FALSE(dpc_session_ends_within(rig.session, 43000, rig.now_ms));
    CU_ASSERT(dpc_session_ends_within(rig.session, 43001, rig.now_ms));
    rig.now_ms += 42000;
    dpc_session_progress(rig.session, 59, 100.0);
    CU_ASSERT_FALSE(dpc_session_ends_within(rig.session, 10000, rig.now_ms));
    CU_ASSERT(dpc_session_ends_within(rig.session, 10001, rig.now_ms));
    uploaded(&rig, DPC_OK);
    CU_ASSERT_FALSE(dpc_session_ends_within(rig.session, 1000, rig.now_ms));
    CU_ASSERT(dpc_session_ends_within(rig.session, 1001, rig.now_ms));
    end(&rig);
    uint64_t request;
    rig = hand_in_beside(&request); /* nothing is computed */
    CU_ASSERT_FALSE(dpc_session_ends_within(rig.session, 1000000, rig.now_ms));
    end(&rig);
}

/* --- Stopping. */

static void
stopping_gives_one_back_and_hands_in_the_other(void)
{
    for (int accepted_first = 0; accepted_first < 2; accepted_first++) {
        struct rig rig = run_beside();
        stop(&rig);
        struct dpc_msg *back = sent_of(&rig, DPC_MSG_GIVE_BACK, token);
        CU_ASSERT_PTR_NOT_NULL_FATAL(back);
        uint64_t request = back->request;
        CU_ASSERT(has(&rig, DPC_SESSION_DROP));
        CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP_PASSED));
        if (accepted_first)
            hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        else
            tell(&rig, ack(request));
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_LEAVE));
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
        if (accepted_first)
            tell(&rig, ack(request));
        else
            hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        struct dpc_msg *leave = sent(&rig, DPC_MSG_LEAVE);
        CU_ASSERT_PTR_NOT_NULL_FATAL(leave);
        tell(&rig, ack(leave->request));
        CU_ASSERT(has(&rig, DPC_SESSION_EXIT));
        end(&rig);
    }
}

static void
stopping_hands_in_both_that_are_finished(void)
{
    struct rig rig = finish_beside();
    stop(&rig);
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(has(&rig, DPC_SESSION_PASS));
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    hand_in(&rig, token, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_LEAVE));
    end(&rig);
}

/* The part comes after what is handed in already. */
static void
stopping_cuts_the_one_in_front(void)
{
    struct rig rig = run_beside();
    dpc_session_allow_parts(rig.session, &parts);
    rig.now_ms += 2000;
    dpc_session_progress(rig.session, 2, 100.0);
    stop(&rig);
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    CU_ASSERT_FALSE(dropped(&rig));
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_SEND));
    finish(&rig, SERIAL);
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    hand_in(&rig, token, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_LEAVE));
    end(&rig);
}

static void
what_is_not_handed_in_in_time_goes_back(void)
{
    for (int first = 0; first < 2; first++) {
        struct rig rig = finish_beside();
        int64_t from_ms = rig.now_ms;
        stop(&rig);
        CU_ASSERT_PTR_NOT_NULL_FATAL(
            wait_in_contact(&rig, DPC_MSG_GIVE_BACK, 2 * DPC_SESSION_STOP_MS));
        CU_ASSERT_EQUAL(rig.now_ms - from_ms, DPC_SESSION_STOP_MS);
        struct dpc_msg *one = sent_of(&rig, DPC_MSG_GIVE_BACK, first ? older : token);
        struct dpc_msg *other = sent_of(&rig, DPC_MSG_GIVE_BACK, first ? token : older);
        CU_ASSERT_PTR_NOT_NULL_FATAL(one);
        CU_ASSERT_PTR_NOT_NULL_FATAL(other);
        uint64_t request = other->request;
        CU_ASSERT(has(&rig, DPC_SESSION_DROP));
        CU_ASSERT(has(&rig, DPC_SESSION_DROP_PASSED));
        tell(&rig, ack(one->request));
        CU_ASSERT_EQUAL(rig.actions.count, 0);
        tell(&rig, ack(request));
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_LEAVE));
        end(&rig);
    }
}

/* Nobody answers: it ends all the same. */
static void
stopping_ends_without_answers(void)
{
    for (int finished = 0; finished < 2; finished++) {
        struct rig rig = finished ? finish_beside() : run_beside();
        int64_t from_ms = rig.now_ms;
        stop(&rig);
        while (!has(&rig, DPC_SESSION_EXIT) && rig.now_ms < from_ms + 60000)
            tick(&rig, 1000);
        CU_ASSERT(has(&rig, DPC_SESSION_EXIT));
        CU_ASSERT(rig.now_ms - from_ms <= DPC_SESSION_STOP_MS + 2 * DPC_SESSION_FAREWELL_MS);
        end(&rig);
    }
}

/* The ask may be under way: what it brings is not begun any more, and leaving ends it. */
static void
stopping_while_handing_in_begins_nothing(void)
{
    for (int late = 0; late < 2; late++) {
        uint64_t request;
        struct rig rig = hand_in_beside(&request);
        stop(&rig);
        CU_ASSERT_FALSE(dropped(&rig));
        if (late) {
            tell(&rig, lease(request, SERIAL));
            CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
        } else {
            CU_ASSERT_PTR_NULL(wait_in_contact(&rig, DPC_MSG_ASK, DPC_SESSION_STOP_MS / 2));
        }
        hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
        CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
        CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_LEAVE));
        end(&rig);
    }
}

/* A part that came to nothing is no reason to wait for longer. */
static void
an_earlier_cut_does_not_make_the_farewell_longer(void)
{
    struct rig rig = run_slowly_beside(false);
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    yield(&rig, 60000);
    CU_ASSERT(has(&rig, DPC_SESSION_CUT));
    fail(&rig, SERIAL, DPC_EIO);
    tell(&rig, ack(sent(&rig, DPC_MSG_GIVE_BACK)->request));
    int64_t from_ms = rig.now_ms;
    stop(&rig);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_LEAVE));
    while (!has(&rig, DPC_SESSION_EXIT) && rig.now_ms < from_ms + 60000)
        tick(&rig, 1000);
    CU_ASSERT_EQUAL(rig.now_ms - from_ms, DPC_SESSION_FAREWELL_MS);
    end(&rig);
}

/* --- For the next process. */

static void
suspend(struct rig *rig)
{
    dpc_session_suspend(rig->session, 3, rig->now_ms, &rig->actions);
}

static void
suspending_hands_in_and_keeps_what_runs(void)
{
    struct rig rig = run_beside();
    suspend(&rig);
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(has(&rig, DPC_SESSION_DROP_PASSED));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_SEND));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_EXIT));
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_EXIT)->status, 3);
    end(&rig);
    rig = run_beside(); /* it is finished just now */
    suspend(&rig);
    finish(&rig, SERIAL);
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(has(&rig, DPC_SESSION_PASS));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_SEND));
    hand_in(&rig, token, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_LEAVE));
    end(&rig);
}

static void
suspending_leaves_both_to_the_next_process(void)
{
    for (int finished = 0; finished < 2; finished++) {
        struct rig rig = finished ? finish_beside() : run_beside();
        int64_t from_ms = rig.now_ms;
        suspend(&rig);
        CU_ASSERT_EQUAL(rig.actions.count, 0);
        CU_ASSERT_PTR_NULL(wait_in_contact(&rig, DPC_MSG_GIVE_BACK, 2 * DPC_SESSION_STOP_MS));
        CU_ASSERT(has(&rig, DPC_SESSION_EXIT));
        CU_ASSERT_EQUAL(rig.actions.count, 1);
        CU_ASSERT_EQUAL(rig.now_ms - from_ms, DPC_SESSION_STOP_MS);
        end(&rig);
    }
}

static void
suspending_begins_nothing(void)
{
    uint64_t request;
    struct rig rig = hand_in_beside(&request);
    tell(&rig, lease(request, SERIAL));
    suspend(&rig); /* of what is fetched nothing is in the spill */
    struct dpc_msg *back = sent_of(&rig, DPC_MSG_GIVE_BACK, token);
    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_DROP_PASSED));
    tell(&rig, ack(back->request));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_EXIT));
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT_PTR_NOT_NULL(sent(&rig, DPC_MSG_LEAVE));
    end(&rig);
    rig = hand_in_beside(&request);
    suspend(&rig);
    tell(&rig, lease(request, SERIAL));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
    end(&rig);
}

/* A process that begins with both leases of the one before; the one in front with 17 steps or,
 * `finished`, with its result, too. Up to the welcome. */
static struct rig
restore_both(bool finished)
{
    static const struct dpc_session_options options = {
        .name = "w", .build = "1", .numeric_class = "c", .seed = 5};
    struct rig rig = {.session = dpc_session_create(&options), .now_ms = 1000};
    struct dpc_msg first = lease(0, SERIAL - 1), second = lease(0, SERIAL);
    struct dpc_msg_submit submit = {.token = older, .steps_count = 60, .parts_count = LEVELS};
    for (uint8_t level = 0; level < LEVELS; level++)
        submit.parts[level].delta = (struct dpc_blob_ref){hash_of((uint8_t)(20 + level)), 100};
    dpc_session_restore(rig.session, &first.lease, 0, &submit);
    submit.token = token;
    submit.state = (struct dpc_blob_ref){hash_of(30), 200};
    dpc_session_restore(rig.session, &second.lease, finished ? 0 : 17, finished ? &submit : NULL);
    dpc_session_start(rig.session, rig.now_ms, &rig.actions);
    struct dpc_msg *hello = sent(&rig, DPC_MSG_HELLO);
    CU_ASSERT_PTR_NOT_NULL_FATAL(hello);
    CU_ASSERT(dpc_token_equal(hello->hello.handing_in, older));
    CU_ASSERT(dpc_token_equal(hello->hello.token, token));
    tell(&rig, welcome_to_two(hello->request));
    CU_ASSERT_PTR_NOT_NULL_FATAL(find(&rig, DPC_SESSION_UPLOAD));
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_UPLOAD)->blobs.count, LEVELS);
    CU_ASSERT_PTR_NULL(sent(&rig, DPC_MSG_ASK));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, token));
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_HEARTBEAT, older));
    return rig;
}

static void
both_are_taken_up(void)
{
    struct rig rig = restore_both(false);
    CU_ASSERT_EQUAL(sent_of(&rig, DPC_MSG_HEARTBEAT, token)->heartbeat.steps_done, 17);
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_FETCH)->blobs.count, LEVELS + 2);
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    fetched(&rig, DPC_OK);
    CU_ASSERT(dpc_token_equal(find(&rig, DPC_SESSION_START)->lease.token, token));
    end(&rig);
}

static void
two_results_are_handed_in_one_after_the_other(void)
{
    struct rig rig = restore_both(true);
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_FETCH));
    CU_ASSERT_FALSE(has(&rig, DPC_SESSION_PASS));
    CU_ASSERT_EQUAL((int)dpc_session_work(rig.session), DPC_WORK_FINISHED);
    hand_in(&rig, older, DPC_VERDICT_ACCEPTED);
    CU_ASSERT(has(&rig, DPC_SESSION_PASS));
    CU_ASSERT_EQUAL(find(&rig, DPC_SESSION_UPLOAD)->blobs.count, LEVELS + 1);
    CU_ASSERT(dpc_token_equal(sent(&rig, DPC_MSG_ASK)->ask.handing_in, token));
    hand_in(&rig, token, DPC_VERDICT_ACCEPTED);
    end(&rig);
}

/* The steps lie in the spill, whatever comes of the other lease: leaving would end theirs. */
static void
suspending_keeps_what_is_fetched_again(void)
{
    struct rig rig = restore_both(false);
    suspend(&rig);
    CU_ASSERT_EQUAL(rig.actions.count, 0);
    uploaded(&rig, DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(sent_of(&rig, DPC_MSG_GIVE_BACK, older));
    CU_ASSERT_PTR_NULL(wait_in_contact(&rig, DPC_MSG_LEAVE, 2 * DPC_SESSION_STOP_MS));
    CU_ASSERT(has(&rig, DPC_SESSION_EXIT));
    end(&rig);
}

/* --- Anything at all. */

enum { REQUESTS = 4 };

/* What the walk has seen. */
struct walk {
    struct asked {
        enum dpc_msg_type type;
        uint64_t number;
    } asked[REQUESTS]; /* the last ones */
    bool paused, rests, stops, exited;
    unsigned starts, passes, exits, drops, both, asks_too_many;
};

/* Of coordinators that grant two leases, and now and then of one that grants one. */
static struct dpc_msg
any_message_of_two(struct dpc_rng *rng, uint64_t request)
{
    struct dpc_msg msg = any_message(rng, request);
    if (msg.type == DPC_MSG_WELCOME)
        msg.welcome.leases = 1 + (dpc_rng_below(rng, 4) > 0);
    return msg;
}

/* As a coordinator would, to the request that was sent at that place. */
static void
answer(struct rig *rig, struct dpc_rng *rng, const struct asked *asked)
{
    const struct dpc_msg_lease *back = dpc_session_handing_in(rig->session);
    if (asked->type == DPC_MSG_HELLO)
        tell(rig, welcome_to_two(asked->number));
    else if (asked->type == DPC_MSG_ASK)
        tell(rig, lease(asked->number, any_token(rng).serial));
    else if (asked->type == DPC_MSG_SUBMIT && back)
        tell(rig, verdict(DPC_MSG_SUBMITTED, asked->number, back->token, DPC_VERDICT_ACCEPTED));
    else
        tell(rig, ack(asked->number));
}

static int
any_code(struct dpc_rng *rng)
{
    static const int codes[] = {DPC_OK, DPC_OK, DPC_OK, DPC_ENOSPACE, DPC_ETIMEDOUT, 0};
    int code = codes[dpc_rng_below(rng, 6)];
    return code ? code : -(int)dpc_rng_below(rng, 25);
}

/* What the owner wants. */
static void
any_wish(struct rig *rig, struct dpc_rng *rng, struct walk *walk)
{
    bool on = dpc_rng_below(rng, 2);
    switch (dpc_rng_below(rng, 4)) {
    case 0:
        dpc_session_pause(rig->session, walk->paused = on, rig->now_ms, &rig->actions);
        break;
    case 1:
        dpc_session_rest(rig->session, walk->rests = on, rig->now_ms, &rig->actions);
        break;
    case 2:
        yield(rig, (int64_t)dpc_rng_below(rng, 60000));
        break;
    default:
        dpc_session_connected(rig->session, rig->now_ms, &rig->actions);
        break;
    }
}

/* Something that leads on. */
static void
next_event(struct rig *rig, struct dpc_rng *rng, const struct walk *walk)
{
    const struct dpc_msg_lease *front = dpc_session_lease(rig->session);
    switch (dpc_rng_below(rng, 6)) {
    case 0:
        tick(rig, HEARTBEAT);
        break;
    case 1:
        uploaded(rig, DPC_OK);
        break;
    case 2:
        fetched(rig, DPC_OK);
        break;
    case 3:
        dpc_session_progress(rig->session, (uint32_t)dpc_rng_below(rng, 60), 100.0);
        finish(rig, front ? front->token.serial : SERIAL);
        break;
    default:
        answer(rig, rng, &walk->asked[dpc_rng_below(rng, REQUESTS)]);
        break;
    }
}

static void
any_event(struct rig *rig, struct dpc_rng *rng, struct walk *walk)
{
    switch (dpc_rng_below(rng, 24)) {
    case 0:
        tick(rig, (int64_t)dpc_rng_below(rng, 30000));
        break;
    case 1:
        uploaded(rig, any_code(rng));
        break;
    case 2:
        fetched(rig, any_code(rng));
        break;
    case 3:
        finish(rig, any_token(rng).serial);
        break;
    case 4:
        fail(rig, any_token(rng).serial, any_code(rng));
        break;
    case 5:
        any_wish(rig, rng, walk);
        break;
    case 6:
    case 7:
    case 8:
        tell(rig, any_message_of_two(rng, walk->asked[dpc_rng_below(rng, REQUESTS)].number));
        break;
    default:
        next_event(rig, rng, walk);
        break;
    }
}

static void
note_sent(struct walk *walk, const struct dpc_msg *msg, const struct dpc_msg_lease *back)
{
    if (msg->type == DPC_MSG_HEARTBEAT)
        return;
    memmove(walk->asked + 1, walk->asked, (REQUESTS - 1) * sizeof *walk->asked);
    walk->asked[0] = (struct asked){msg->type, msg->request};
    if (msg->type != DPC_MSG_ASK)
        return;
    walk->asks_too_many += walk->paused || walk->rests || walk->stops;
    CU_ASSERT_FATAL(dpc_token_equal(msg->ask.handing_in, back ? back->token : no_token));
}

/* Whether what was answered may be. */
static void
check(struct rig *rig, struct walk *walk)
{
    const struct dpc_msg_lease *back = dpc_session_handing_in(rig->session);
    CU_ASSERT_FATAL(rig->actions.count <= DPC_SESSION_ACTIONS_MAX);
    CU_ASSERT_FATAL(dpc_session_wait_ms(rig->session, rig->now_ms) >= 0);
    for (uint32_t i = 0; i < rig->actions.count; i++) {
        struct dpc_session_action *action = &rig->actions.items[i];
        walk->exited |= action->type == DPC_SESSION_EXIT;
        walk->passes += action->type == DPC_SESSION_PASS;
        walk->drops += action->type == DPC_SESSION_DROP_PASSED;
        CU_ASSERT_FATAL(!walk->exited || i + 1 == rig->actions.count);
        if (action->type == DPC_SESSION_SEND)
            note_sent(walk, &action->msg, back);
        if (action->type != DPC_SESSION_START)
            continue;
        walk->starts++;
        walk->both += back != NULL;
        CU_ASSERT_FATAL(!back || !dpc_token_equal(action->lease.token, back->token));
        CU_ASSERT_FATAL(
            dpc_token_equal(action->lease.token, dpc_session_lease(rig->session)->token));
    }
}

/* Whatever comes in whatever order: the list of actions does not overflow, an exit is the last of
 * it, and no job starts for a lease that is handed in. */
static void
any_order_of_events(void)
{
    struct dpc_rng rng;
    struct walk all = {.starts = 0};
    dpc_rng_init(&rng, 12, DPC_RNG_TEST, 0, 0, 0);
    for (int trial = 0; trial < 500; trial++) {
        struct rig rig = begin();
        struct walk walk = {.exited = false};
        check(&rig, &walk);
        uint64_t end_of = dpc_rng_below(&rng, 4);
        dpc_session_allow_parts(rig.session,
                                dpc_rng_below(&rng, 2) ? &parts : &(struct dpc_session_parts){0});
        tell(&rig, welcome_to_two(walk.asked[0].number));
        check(&rig, &walk);
        for (int i = 0; i < 400 && !walk.exited; i++) {
            walk.stops = i >= 200 && end_of < 2;
            if (i == 200 && end_of == 0)
                stop(&rig);
            else if (i == 200 && end_of == 1)
                suspend(&rig);
            else
                any_event(&rig, &rng, &walk);
            check(&rig, &walk);
        }
        all.starts += walk.starts;
        all.passes += walk.passes;
        all.drops += walk.drops;
        all.both += walk.both;
        all.exits += walk.exited;
        all.asks_too_many += walk.asks_too_many;
        end(&rig);
    }
    CU_ASSERT_EQUAL(all.asks_too_many, 0);
    CU_ASSERT(all.starts > 500); /* the walk went somewhere */
    CU_ASSERT(all.passes > 200);
    CU_ASSERT(all.drops > 100);
    CU_ASSERT(all.both > 50);
    CU_ASSERT(all.exits > 100);
}

static const struct dpc_test tests[] = {
    {"yielding cuts the one in front alone", yielding_cuts_the_one_in_front_alone},
    {"a part waits for the line", a_part_waits_for_the_line},
    {"a part without room goes back", a_part_without_room_goes_back},
    {"what is nearly done waits for the line, too", what_is_nearly_done_waits_for_the_line_too},
    {"stopping gives one back and hands in the other",
     stopping_gives_one_back_and_hands_in_the_other},
    {"stopping hands in both that are finished", stopping_hands_in_both_that_are_finished},
    {"stopping cuts the one in front", stopping_cuts_the_one_in_front},
    {"what is not handed in in time goes back", what_is_not_handed_in_in_time_goes_back},
    {"stopping ends without answers", stopping_ends_without_answers},
    {"stopping while handing in begins nothing", stopping_while_handing_in_begins_nothing},
    {"an earlier cut does not make the farewell longer",
     an_earlier_cut_does_not_make_the_farewell_longer},
    {"suspending hands in and keeps what runs", suspending_hands_in_and_keeps_what_runs},
    {"suspending leaves both to the next process", suspending_leaves_both_to_the_next_process},
    {"suspending begins nothing", suspending_begins_nothing},
    {"both are taken up", both_are_taken_up},
    {"two results are handed in one after the other",
     two_results_are_handed_in_one_after_the_other},
    {"suspending keeps what is fetched again", suspending_keeps_what_is_fetched_again},
    {"any order of events", any_order_of_events},
};
DPC_TEST_MAIN("worker/session, the ends of two leases", tests)
