/* SPDX-License-Identifier: Apache-2.0
 * Each change is committed, and the books are read anew from the store: what is told was kept. */
#include "coordinator/members.h"
#include "proto/channel.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/harness.h"

enum { NOW_S = 1700000000, DAY_S = 24 * 3600, WEEK_S = 7 * DAY_S, KEPT_S = 30 * DAY_S };

/* Both clocks go on together, unless a test says otherwise. */
static struct dpc_members_now
at(int64_t wall_s)
{
    return (struct dpc_members_now){.wall_s = wall_s, .up_s = wall_s};
}

static struct dpc_kv *kv;
static struct dpc_members *members;
static struct dpc_kv_batch batch;
static struct dpc_error err;

static void
read_anew(int64_t now_s)
{
    dpc_members_destroy(members);
    members = NULL;
    CU_ASSERT_EQUAL_FATAL(dpc_members_load(kv, at(now_s), &members, &err), DPC_OK);
}

static void
set_up(void)
{
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
    dpc_kv_batch_init(&batch);
    read_anew(NOW_S);
}

static void
tear_down(void)
{
    members = dpc_members_destroy(members);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static void
keep(void)
{
    CU_ASSERT_EQUAL_FATAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    dpc_kv_batch_reset(&batch);
    read_anew(NOW_S);
}

static void
set_key(uint8_t key[DPC_WORKER_KEY_BYTES], uint32_t number)
{
    memset(key, 0xee, DPC_WORKER_KEY_BYTES);
    memcpy(key, &number, sizeof number);
}

/* Invitation `number`; `uses` 0: it asks. */
static void
invite(uint32_t number, uint32_t uses)
{
    struct dpc_invitation_record record = {.created_s = NOW_S + number,
                                           .expires_s = NOW_S + WEEK_S,
                                           .asks = uses == 0,
                                           .uses_left = uses};
    set_key(record.key, number);
    CU_ASSERT_EQUAL_FATAL(dpc_members_invite(members, &record, &batch, &err), DPC_OK);
    keep();
}

static int
enrol_at(uint32_t invitation, uint32_t machine, const char *address, int64_t now_s,
         enum dpc_enrolment *ret_state)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    char name[DPC_NAME_MAX];
    struct dpc_msg_enrol enrol = {.name = name};
    bool changed;
    set_key(key, invitation);
    set_key(enrol.key.bytes, machine);
    (void)snprintf(name, sizeof name, "machine %u", machine % 1000);
    *ret_state = 0;
    int code = dpc_members_enrol(members, key, &enrol, address, NULL, at(now_s), &batch, ret_state,
                                 &changed, &err);
    CU_ASSERT_EQUAL(changed, batch.operations.len > 0);
    return code;
}

static int
enrol(uint32_t invitation, uint32_t machine, enum dpc_enrolment *ret_state)
{
    int code = enrol_at(invitation, machine, "10.0.0.1", NOW_S, ret_state);
    keep();
    return code;
}

static bool
is(uint32_t machine, enum dpc_member_state state)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    set_key(key, machine);
    return dpc_members_has(members, key, state);
}

static void
judge(uint32_t machine, enum dpc_member_state state, int expected)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    set_key(key, machine);
    CU_ASSERT_EQUAL(dpc_members_judge(members, key, state, NOW_S, &batch, &err), expected);
    keep();
}

static void
an_invitation_takes_as_many_as_it_says(void)
{
    enum dpc_enrolment state;
    set_up();
    invite(1, 2);
    CU_ASSERT_EQUAL(enrol(1, 100, &state), DPC_OK);
    CU_ASSERT_EQUAL(state, DPC_ENROLMENT_TAKEN);
    CU_ASSERT(is(100, DPC_MEMBER_TAKEN));
    CU_ASSERT_EQUAL(dpc_members_invitation_at(members, 0)->uses_left, 1);
    /* The same machine again spends nothing. */
    CU_ASSERT_EQUAL(enrol(1, 100, &state), DPC_OK);
    CU_ASSERT_EQUAL(state, DPC_ENROLMENT_TAKEN);
    CU_ASSERT_EQUAL(dpc_members_invitation_at(members, 0)->uses_left, 1);
    CU_ASSERT_EQUAL(enrol(1, 101, &state), DPC_OK);
    CU_ASSERT_EQUAL(dpc_members_invitations_count(members), 0);
    CU_ASSERT_EQUAL(enrol(1, 102, &state), DPC_EPERM);
    CU_ASSERT_EQUAL(dpc_members_count(members), 2);
    tear_down();
}

static void
an_invitation_without_a_record_takes_nobody(void)
{
    enum dpc_enrolment state;
    set_up();
    CU_ASSERT_EQUAL(enrol(1, 100, &state), DPC_EPERM);
    CU_ASSERT_EQUAL(dpc_members_count(members), 0);
    tear_down();
}

static void
who_is_asked_about_waits(void)
{
    enum dpc_enrolment state;
    set_up();
    invite(1, 0);
    for (int again = 0; again < 2; again++) {
        CU_ASSERT_EQUAL(enrol(1, 100, &state), DPC_OK);
        CU_ASSERT_EQUAL(state, DPC_ENROLMENT_PENDING);
        CU_ASSERT_EQUAL(enrol(1, 101, &state), DPC_OK);
    }
    CU_ASSERT_EQUAL(dpc_members_pending(members, NULL), 2);
    judge(100, DPC_MEMBER_TAKEN, DPC_OK);
    judge(101, DPC_MEMBER_REFUSED, DPC_OK);
    CU_ASSERT_EQUAL(dpc_members_pending(members, NULL), 0);
    CU_ASSERT_EQUAL(enrol(1, 100, &state), DPC_OK);
    CU_ASSERT_EQUAL(state, DPC_ENROLMENT_TAKEN);
    CU_ASSERT_EQUAL(enrol(1, 101, &state), DPC_OK);
    CU_ASSERT_EQUAL(state, DPC_ENROLMENT_REFUSED);
    judge(100, DPC_MEMBER_TAKEN, DPC_EEXIST);
    judge(102, DPC_MEMBER_TAKEN, DPC_ENOTFOUND);
    tear_down();
}

static void
who_was_turned_away_stays_out(void)
{
    enum dpc_enrolment state;
    set_up();
    invite(1, 5);
    invite(2, 5);
    CU_ASSERT_EQUAL(enrol(1, 100, &state), DPC_OK);
    judge(100, DPC_MEMBER_REFUSED, DPC_OK);
    CU_ASSERT_EQUAL(enrol(2, 100, &state), DPC_OK);
    CU_ASSERT_EQUAL(state, DPC_ENROLMENT_REFUSED);
    CU_ASSERT(is(100, DPC_MEMBER_REFUSED));
    CU_ASSERT_EQUAL(dpc_members_invitation_at(members, 1)->uses_left, 5);
    judge(100, DPC_MEMBER_TAKEN, DPC_OK);
    CU_ASSERT_EQUAL(enrol(2, 100, &state), DPC_OK);
    CU_ASSERT_EQUAL(state, DPC_ENROLMENT_TAKEN);
    tear_down();
}

/* The operator sends one that waits a string of its own. */
static void
who_waits_comes_in_with_another_invitation(void)
{
    enum dpc_enrolment state;
    set_up();
    invite(1, 0);
    invite(2, 1);
    CU_ASSERT_EQUAL(enrol(1, 100, &state), DPC_OK);
    CU_ASSERT_EQUAL(enrol(2, 100, &state), DPC_OK);
    CU_ASSERT_EQUAL(state, DPC_ENROLMENT_TAKEN);
    CU_ASSERT_EQUAL(dpc_members_count(members), 1);
    CU_ASSERT_EQUAL(dpc_members_invitations_count(members), 1);
    tear_down();
}

static void
the_key_of_an_invitation_is_no_workers(void)
{
    enum dpc_enrolment state;
    set_up();
    invite(1, 3);
    invite(2, 3);
    CU_ASSERT_EQUAL(enrol(1, 1, &state), DPC_EINVAL);
    CU_ASSERT_EQUAL(enrol(1, 2, &state), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_members_count(members), 0);
    tear_down();
}

static void
places_to_wait_are_bounded(void)
{
    enum dpc_enrolment state;
    char address[DPC_NAME_MAX];
    set_up();
    invite(1, 0);
    invite(2, 1);
    for (uint32_t i = 0; i < DPC_PENDING_MAX; i++) {
        (void)snprintf(address, sizeof address, "10.0.0.%u", i / DPC_PENDING_ADDRESS_MAX);
        CU_ASSERT_EQUAL(enrol_at(1, 1000 + i, address, NOW_S, &state), DPC_OK);
        dpc_kv_batch_reset(&batch);
        if (i == DPC_PENDING_ADDRESS_MAX - 1) {
            CU_ASSERT_EQUAL(enrol_at(1, 5000, address, NOW_S, &state), DPC_ELIMIT);
            CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "of this address"));
        }
    }
    CU_ASSERT_EQUAL(enrol_at(1, 5000, "10.9.9.9", NOW_S, &state), DPC_ELIMIT);
    CU_ASSERT_EQUAL(enrol_at(1, 1000, "10.9.9.9", NOW_S, &state), DPC_OK); /* it waits already */
    CU_ASSERT_EQUAL(enrol_at(2, 5000, "10.9.9.9", NOW_S, &state),
                    DPC_OK); /* and this one need not */
    CU_ASSERT_EQUAL(state, DPC_ENROLMENT_TAKEN);
    dpc_kv_batch_reset(&batch);
    tear_down();
}

/* Who has one line of IPv6 took all places, each from another address. */
static void
one_line_of_ipv6_leaves_places_to_others(void)
{
    enum dpc_enrolment state;
    char address[DPC_NAME_MAX];
    set_up();
    invite(1, 0);
    for (uint32_t i = 0; i < DPC_PENDING_ADDRESS_MAX; i++) {
        (void)snprintf(address, sizeof address, "2001:db8:1:2:%x::%x", 7 * i, i);
        CU_ASSERT_EQUAL(enrol_at(1, 1000 + i, address, NOW_S, &state), DPC_OK);
        (void)snprintf(address, sizeof address, "::ffff:10.0.0.%u", i); /* IPv4 is as before */
        CU_ASSERT_EQUAL(enrol_at(1, 2000 + i, address, NOW_S, &state), DPC_OK);
        dpc_kv_batch_reset(&batch);
    }
    CU_ASSERT_EQUAL(enrol_at(1, 5000, "2001:db8:1:2::9", NOW_S, &state), DPC_ELIMIT);
    CU_ASSERT_EQUAL(enrol_at(1, 5000, "2001:db8:1:3::9", NOW_S, &state), DPC_OK);
    CU_ASSERT_EQUAL(enrol_at(1, 5001, "::ffff:10.0.0.99", NOW_S, &state), DPC_OK);
    dpc_kv_batch_reset(&batch);
    tear_down();
}

static void
invitations_are_bounded(void)
{
    struct dpc_invitation_record record = {
        .created_s = NOW_S, .expires_s = NOW_S + WEEK_S, .uses_left = 1};
    set_up();
    for (uint32_t i = 0; i < DPC_INVITATIONS_MAX; i++) {
        set_key(record.key, i);
        CU_ASSERT_EQUAL(dpc_members_invite(members, &record, &batch, &err), DPC_OK);
    }
    CU_ASSERT_EQUAL(dpc_members_invite(members, &record, &batch, &err), DPC_ELIMIT);
    record.created_s = NOW_S + WEEK_S; /* one that is over makes room */
    set_key(record.key, 9999);
    CU_ASSERT_EQUAL(dpc_members_invite(members, &record, &batch, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_members_invitations_count(members), DPC_INVITATIONS_MAX);
    tear_down();
}

static void
time_ends_invitations(void)
{
    uint8_t key[DPC_WORKER_KEY_BYTES], expected[DPC_WORKER_KEY_BYTES];
    enum dpc_enrolment state;
    set_up();
    invite(1, 3);
    CU_ASSERT_EQUAL(enrol_at(1, 100, "", NOW_S + WEEK_S - 1, &state), DPC_OK);
    keep();
    CU_ASSERT_EQUAL(enrol_at(1, 101, "", NOW_S + WEEK_S, &state), DPC_EPERM);
    /* A clock that was ahead for a while has ended nothing. */
    CU_ASSERT_FALSE(dpc_members_expire(members, at(NOW_S + WEEK_S + KEPT_S - 1), &batch, key));
    CU_ASSERT_EQUAL(enrol_at(1, 101, "", NOW_S, &state), DPC_OK);
    keep();
    CU_ASSERT(dpc_members_expire(members, at(NOW_S + WEEK_S + KEPT_S), &batch, key));
    set_key(expected, 1);
    CU_ASSERT_EQUAL(memcmp(key, expected, sizeof key), 0);
    CU_ASSERT_FALSE(dpc_members_expire(members, at(NOW_S + WEEK_S + KEPT_S), &batch, key));
    keep();
    CU_ASSERT_EQUAL(dpc_members_invitations_count(members), 0);
    CU_ASSERT(is(100, DPC_MEMBER_TAKEN)); /* who came stays */
    tear_down();
}

/* The day that a machine may be silent is not the wall clock's. */
static void
a_jump_of_the_clock_drops_nobody_who_waits(void)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    enum dpc_enrolment state;
    struct dpc_members_now jumped = {.wall_s = NOW_S + 10 * DAY_S, .up_s = NOW_S + 5};
    set_up();
    invite(1, 0);
    CU_ASSERT_EQUAL(enrol_at(1, 100, "", NOW_S, &state), DPC_OK);
    CU_ASSERT_FALSE(dpc_members_expire(members, jumped, &batch, key));
    dpc_kv_batch_reset(&batch);
    tear_down();
}

static void
those_turned_away_do_not_fill_the_books(void)
{
    enum { OUT_MAX = 1024 };
    uint8_t key[DPC_WORKER_KEY_BYTES];
    enum dpc_enrolment state;
    set_up();
    invite(1, 0);
    for (uint32_t i = 0; i < OUT_MAX + 1; i++) {
        CU_ASSERT_EQUAL_FATAL(enrol_at(1, 1000 + i, "", NOW_S, &state), DPC_OK);
        set_key(key, 1000 + i);
        CU_ASSERT_EQUAL(
            dpc_members_judge(members, key, DPC_MEMBER_REFUSED, NOW_S + i, &batch, &err), DPC_OK);
    }
    CU_ASSERT(dpc_members_expire(members, at(NOW_S), &batch, key));
    CU_ASSERT_EQUAL(key[0] + 256 * key[1], 1000); /* the first */
    CU_ASSERT_FALSE(dpc_members_expire(members, at(NOW_S), &batch, key));
    dpc_kv_batch_reset(&batch);
    tear_down();
}

/* A machine that names itself as another's id is not taken for that one. */
static void
a_name_that_looks_like_an_id_is_none(void)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    struct dpc_msg_enrol imposter = {.name = "05000000"};
    struct dpc_member_record found;
    enum dpc_enrolment state;
    bool changed;
    set_up();
    invite(1, 9);
    set_key(key, 1);
    set_key(imposter.key.bytes, 7);
    CU_ASSERT_EQUAL(dpc_members_enrol(members, key, &imposter, "", NULL, at(NOW_S), &batch, &state,
                                      &changed, &err),
                    DPC_OK);
    keep();
    CU_ASSERT_EQUAL(dpc_members_find(members, "05000000", &found, &err), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(enrol(1, 5, &state), DPC_OK);
    CU_ASSERT_EQUAL(dpc_members_find(members, "05000000", &found, &err), DPC_OK);
    CU_ASSERT_EQUAL(found.key[0], 5);
    tear_down();
}

static void
who_stopped_asking_leaves_its_place(void)
{
    uint8_t key[DPC_WORKER_KEY_BYTES], expected[DPC_WORKER_KEY_BYTES];
    enum dpc_enrolment state;
    set_up();
    invite(1, 0);
    invite(2, 1);
    for (uint32_t machine = 100; machine < 103; machine++)
        CU_ASSERT_EQUAL(enrol_at(machine < 102 ? 1 : 2, machine, "", NOW_S, &state), DPC_OK);
    CU_ASSERT_EQUAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    dpc_kv_batch_reset(&batch);
    CU_ASSERT_EQUAL(enrol_at(1, 101, "", NOW_S + DAY_S / 2, &state), DPC_OK);
    CU_ASSERT(dpc_members_expire(members, at(NOW_S + DAY_S), &batch, key));
    set_key(expected, 100);
    CU_ASSERT_EQUAL(memcmp(key, expected, sizeof key), 0);
    CU_ASSERT_FALSE(dpc_members_expire(members, at(NOW_S + DAY_S), &batch, key));
    keep();
    CU_ASSERT_FALSE(is(100, DPC_MEMBER_PENDING));
    CU_ASSERT(is(101, DPC_MEMBER_PENDING));
    CU_ASSERT(is(102, DPC_MEMBER_TAKEN));
    tear_down();
}

static void
invitations_are_withdrawn_by_their_id(void)
{
    uint8_t key[DPC_WORKER_KEY_BYTES];
    char id[DPC_KEY_ID_MAX];
    set_up();
    invite(1, 1);
    invite(0x78563412, 1);
    set_key(key, 0x78563412);
    dpc_key_id(key, id);
    CU_ASSERT_STRING_EQUAL(id, "12345678");
    CU_ASSERT_EQUAL(dpc_members_withdraw(members, "1234567", &batch, key, &err), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_members_withdraw(members, id, &batch, key, &err), DPC_OK);
    keep();
    CU_ASSERT_FALSE(dpc_members_invites(members, key));
    CU_ASSERT_EQUAL(dpc_members_invitations_count(members), 1);
    tear_down();
}

static void
machines_are_found_by_id_and_by_name(void)
{
    struct dpc_member_record found;
    enum dpc_enrolment state;
    set_up();
    invite(1, 9);
    CU_ASSERT_EQUAL(enrol(1, 5, &state), DPC_OK);
    CU_ASSERT_EQUAL(enrol(1, 7, &state), DPC_OK);
    CU_ASSERT_EQUAL(enrol(1, 1007, &state), DPC_OK); /* of the same name */
    CU_ASSERT_EQUAL(dpc_members_find(members, "machine 5", &found, &err), DPC_OK);
    CU_ASSERT_EQUAL(found.key[0], 5);
    CU_ASSERT_STRING_EQUAL(found.address, "10.0.0.1");
    CU_ASSERT_EQUAL(dpc_members_find(members, "07000000", &found, &err), DPC_OK);
    CU_ASSERT_EQUAL(found.key[0], 7);
    CU_ASSERT_EQUAL(dpc_members_find(members, "machine 7", &found, &err), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_members_find(members, "nobody", &found, &err), DPC_ENOTFOUND);
    tear_down();
}

static int
enrol_for(uint32_t gone, enum dpc_enrolment *ret_state)
{
    uint8_t key[DPC_WORKER_KEY_BYTES], gone_key[DPC_WORKER_KEY_BYTES];
    struct dpc_msg_enrol enrol = {.name = "one more"};
    bool changed;
    set_key(key, 1);
    set_key(gone_key, gone);
    memset(enrol.key.bytes, 1, sizeof enrol.key.bytes);
    return dpc_members_enrol(members, key, &enrol, "", gone_key, at(NOW_S), &batch, ret_state,
                             &changed, &err);
}

static void
who_was_away_longest_makes_room_when_all_places_are_taken(void)
{
    enum dpc_enrolment state;
    set_up();
    invite(1, DPC_WORKERS_MAX);
    invite(2, 1);
    for (uint32_t i = 0; i < DPC_WORKERS_MAX; i++) {
        CU_ASSERT_FALSE_FATAL(dpc_members_is_full(members));
        CU_ASSERT_EQUAL_FATAL(enrol_at(1 + (i == 0), 1000 + i, "", NOW_S, &state), DPC_OK);
    }
    keep();
    CU_ASSERT_TRUE(dpc_members_is_full(members));
    CU_ASSERT_EQUAL(enrol(1, 900, &state), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "none of which has been away for long"));
    CU_ASSERT_EQUAL(enrol_for(900, &state), DPC_ELIMIT); /* who is not there makes no room */
    CU_ASSERT_TRUE(is(1003, DPC_MEMBER_TAKEN));
    CU_ASSERT_EQUAL(enrol_for(1003, &state), DPC_OK);
    CU_ASSERT_EQUAL(state, DPC_ENROLMENT_TAKEN);
    keep();
    CU_ASSERT_FALSE(is(1003, DPC_MEMBER_TAKEN));
    CU_ASSERT_EQUAL(dpc_members_count(members), DPC_WORKERS_MAX);
    tear_down();
}

static const struct dpc_test tests[] = {
    {"an invitation takes as many as it says", an_invitation_takes_as_many_as_it_says},
    {"an invitation without a record takes nobody", an_invitation_without_a_record_takes_nobody},
    {"who is asked about waits", who_is_asked_about_waits},
    {"who was turned away stays out", who_was_turned_away_stays_out},
    {"who waits comes in with another invitation", who_waits_comes_in_with_another_invitation},
    {"the key of an invitation is no worker's", the_key_of_an_invitation_is_no_workers},
    {"places to wait are bounded", places_to_wait_are_bounded},
    {"one line of IPv6 leaves places to others", one_line_of_ipv6_leaves_places_to_others},
    {"invitations are bounded", invitations_are_bounded},
    {"time ends invitations", time_ends_invitations},
    {"a jump of the clock drops nobody who waits", a_jump_of_the_clock_drops_nobody_who_waits},
    {"those turned away do not fill the books", those_turned_away_do_not_fill_the_books},
    {"a name that looks like an id is none", a_name_that_looks_like_an_id_is_none},
    {"who stopped asking leaves its place", who_stopped_asking_leaves_its_place},
    {"invitations are withdrawn by their id", invitations_are_withdrawn_by_their_id},
    {"machines are found by id and by name", machines_are_found_by_id_and_by_name},
    {"who was away longest makes room when all places are taken",
     who_was_away_longest_makes_room_when_all_places_are_taken},
};

DPC_TEST_MAIN("coordinator/members", tests)
