/* SPDX-License-Identifier: Apache-2.0
 * Arrays in the order in which things came; there are few, and they are looked for when a person or
 * a new machine asks. */
#include "coordinator/members.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/channel.h"

enum {
    /* A pending machine keeps asking; one that has not for so long was given up by its owner. */
    PENDING_SILENCE_S = 24 * 3600,
    /* It stays that long after its end, so that a wall clock that jumped may jump back. */
    INVITATION_KEPT_S = 30 * 24 * 3600,
    OUT_MAX = 1024, /* machines that were turned away and are remembered */
};

struct member {
    struct dpc_member_record record;
    int64_t seen_up_s; /* it asked, or this process began */
};

struct dpc_members {
    struct dpc_invitation_record *invitations;
    struct member *members;
    uint32_t invitations_count, invitations_capacity;
    uint32_t count, capacity;
    int64_t loaded_up_s;
};

/* --- Records in memory. */

static void
add_invitation(struct dpc_members *members, const struct dpc_invitation_record *invitation)
{
    if (members->invitations_count == members->invitations_capacity) {
        members->invitations_capacity = 2 * members->invitations_capacity + 8;
        members->invitations = dpc_grow(members->invitations, members->invitations_capacity,
                                        sizeof *members->invitations);
    }
    uint32_t place = members->invitations_count++;
    for (; place && members->invitations[place - 1].created_s > invitation->created_s; place--)
        members->invitations[place] = members->invitations[place - 1];
    members->invitations[place] = *invitation;
}

static struct member *
add_member(struct dpc_members *members, const struct dpc_member_record *record, int64_t up_s)
{
    if (members->count == members->capacity) {
        members->capacity = 2 * members->capacity + 8;
        members->members = dpc_grow(members->members, members->capacity, sizeof *members->members);
    }
    struct member *member = &members->members[members->count++];
    *member = (struct member){.record = *record, .seen_up_s = up_s};
    return member;
}

static bool
take_invitation(void *context, const struct dpc_invitation_record *record)
{
    add_invitation(context, record);
    return true;
}

static bool
take_member(void *context, const struct dpc_member_record *record)
{
    struct dpc_members *members = context;
    add_member(members, record, members->loaded_up_s);
    return true;
}

int
dpc_members_load(struct dpc_kv *kv, struct dpc_members_now now, struct dpc_members **ret_members,
                 struct dpc_error *err)
{
    struct dpc_members *members = dpc_alloc(1, sizeof *members);
    members->loaded_up_s = now.up_s;
    int code = dpc_scan_invitations(kv, take_invitation, members, err);
    if (code == DPC_OK)
        code = dpc_scan_members(kv, take_member, members, err);
    if (code != DPC_OK) {
        dpc_members_destroy(members);
        return code;
    }
    *ret_members = members;
    return DPC_OK;
}

struct dpc_members *
dpc_members_destroy(struct dpc_members *members)
{
    if (!members)
        return NULL;
    dpc_free(members->invitations);
    dpc_free(members->members);
    return dpc_free(members);
}

uint32_t
dpc_members_invitations_count(const struct dpc_members *members)
{
    return members->invitations_count;
}

const struct dpc_invitation_record *
dpc_members_invitation_at(const struct dpc_members *members, uint32_t index)
{
    return &members->invitations[index];
}

uint32_t
dpc_members_count(const struct dpc_members *members)
{
    return members->count;
}

const struct dpc_member_record *
dpc_members_at(const struct dpc_members *members, uint32_t index)
{
    return &members->members[index].record;
}

static uint32_t
count_in_state(const struct dpc_members *members, enum dpc_member_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < members->count; i++)
        count += members->members[i].record.state == state;
    return count;
}

uint32_t
dpc_members_pending(const struct dpc_members *members, const uint8_t *invitation)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct dpc_member_record *record = &members->members[i].record;
        count += record->state == DPC_MEMBER_PENDING &&
                 (!invitation || memcmp(record->invitation, invitation, DPC_WORKER_KEY_BYTES) == 0);
    }
    return count;
}

static struct dpc_invitation_record *
find_invitation(const struct dpc_members *members, const uint8_t key[DPC_WORKER_KEY_BYTES])
{
    for (uint32_t i = 0; i < members->invitations_count; i++) {
        if (memcmp(members->invitations[i].key, key, DPC_WORKER_KEY_BYTES) == 0)
            return &members->invitations[i];
    }
    return NULL;
}

static struct member *
find_member(const struct dpc_members *members, const uint8_t key[DPC_WORKER_KEY_BYTES])
{
    for (uint32_t i = 0; i < members->count; i++) {
        if (memcmp(members->members[i].record.key, key, DPC_WORKER_KEY_BYTES) == 0)
            return &members->members[i];
    }
    return NULL;
}

bool
dpc_members_invites(const struct dpc_members *members, const uint8_t key[DPC_WORKER_KEY_BYTES])
{
    return find_invitation(members, key) != NULL;
}

bool
dpc_members_has(const struct dpc_members *members, const uint8_t key[DPC_WORKER_KEY_BYTES],
                enum dpc_member_state state)
{
    const struct member *member = find_member(members, key);
    return member && member->record.state == state;
}

/* --- Invitations. */

static void
drop_invitation(struct dpc_members *members, struct dpc_invitation_record *invitation,
                struct dpc_kv_batch *batch)
{
    uint32_t place = (uint32_t)(invitation - members->invitations);
    dpc_remove_invitation(batch, invitation->key);
    members->invitations_count--;
    memmove(invitation, invitation + 1,
            (members->invitations_count - place) * sizeof *members->invitations);
}

int
dpc_members_invite(struct dpc_members *members, const struct dpc_invitation_record *invitation,
                   struct dpc_kv_batch *batch, struct dpc_error *err)
{
    for (uint32_t i = 0; i < members->invitations_count; i++) {
        if (members->invitations_count == DPC_INVITATIONS_MAX &&
            members->invitations[i].expires_s <= invitation->created_s)
            drop_invitation(members, &members->invitations[i], batch);
    }
    if (members->invitations_count == DPC_INVITATIONS_MAX)
        return dpc_error_set(err, DPC_ELIMIT,
                             "there are %d invitations already: withdraw some (dipacoctl "
                             "invitations lists them), or give one more uses",
                             DPC_INVITATIONS_MAX);
    add_invitation(members, invitation);
    dpc_put_invitation(batch, invitation);
    return DPC_OK;
}

int
dpc_members_withdraw(struct dpc_members *members, const char *id, struct dpc_kv_batch *batch,
                     uint8_t ret_key[DPC_WORKER_KEY_BYTES], struct dpc_error *err)
{
    for (uint32_t i = 0; i < members->invitations_count; i++) {
        char own[DPC_KEY_ID_MAX];
        dpc_key_id(members->invitations[i].key, own);
        if (strcmp(own, id) != 0)
            continue;
        memcpy(ret_key, members->invitations[i].key, DPC_WORKER_KEY_BYTES);
        drop_invitation(members, &members->invitations[i], batch);
        return DPC_OK;
    }
    return dpc_error_set(err, DPC_ENOTFOUND,
                         "there is no invitation \"%.64s\"; dipacoctl invitations lists them", id);
}

/* --- Machines that come. */

static void
drop_member(struct dpc_members *members, struct member *member, struct dpc_kv_batch *batch)
{
    uint32_t place = (uint32_t)(member - members->members);
    dpc_remove_member(batch, member->record.key);
    members->count--;
    memmove(member, member + 1, (members->count - place) * sizeof *member);
}

/* Of IPv6 whoever has a line has 2^64 addresses, of which the first half is common to all. */
static bool
is_same_line(const char *a, const char *b)
{
    struct in6_addr one, other;
    if (inet_pton(AF_INET6, a, &one) != 1 || inet_pton(AF_INET6, b, &other) != 1 ||
        IN6_IS_ADDR_V4MAPPED(&one) || IN6_IS_ADDR_V4MAPPED(&other))
        return strcmp(a, b) == 0;
    return memcmp(&one, &other, sizeof one / 2) == 0;
}

/* Is there a place for one more that the operator has to be asked about? */
static int
check_pending(const struct dpc_members *members, const char *address, struct dpc_error *err)
{
    uint32_t pending = 0, near = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct dpc_member_record *record = &members->members[i].record;
        pending += record->state == DPC_MEMBER_PENDING;
        near += record->state == DPC_MEMBER_PENDING && is_same_line(record->address, address);
    }
    if (pending < DPC_PENDING_MAX && near < DPC_PENDING_ADDRESS_MAX)
        return DPC_OK;
    return dpc_error_set(err, DPC_ELIMIT,
                         "%u machines%s wait to be let in already: try again when the operator has "
                         "looked at them",
                         pending < DPC_PENDING_MAX ? near : pending,
                         pending < DPC_PENDING_MAX ? " of this address" : "");
}

bool
dpc_members_is_full(const struct dpc_members *members)
{
    return members->count >= DPC_WORKERS_MAX &&
           members->count - count_in_state(members, DPC_MEMBER_REFUSED) >= DPC_WORKERS_MAX;
}

/* `gone` makes room where there is none. */
static int
check_newcomer(struct dpc_members *members, const struct dpc_invitation_record *invitation,
               const char *address, const uint8_t *gone, struct dpc_kv_batch *batch,
               struct dpc_error *err)
{
    struct member *member = gone ? find_member(members, gone) : NULL;
    int code = invitation->asks ? check_pending(members, address, err) : DPC_OK;
    if (code != DPC_OK || !dpc_members_is_full(members))
        return code;
    if (!member)
        return dpc_error_set(err, DPC_ELIMIT,
                             "%d machines are known already, none of which has been away for long: "
                             "another one is taken when one has",
                             DPC_WORKERS_MAX);
    drop_member(members, member, batch);
    return DPC_OK;
}

static enum dpc_enrolment
enrolment_of(enum dpc_member_state state)
{
    return state == DPC_MEMBER_TAKEN     ? DPC_ENROLMENT_TAKEN
           : state == DPC_MEMBER_PENDING ? DPC_ENROLMENT_PENDING
                                         : DPC_ENROLMENT_REFUSED;
}

static void
spend(struct dpc_members *members, struct dpc_invitation_record *invitation,
      struct dpc_kv_batch *batch)
{
    if (invitation->asks)
        return;
    if (--invitation->uses_left == 0)
        drop_invitation(members, invitation, batch);
    else
        dpc_put_invitation(batch, invitation);
}

/* One that the operator was to be asked about, and that now comes with an invitation that does not
 * ask. */
static bool
is_let_in(const struct member *member, const struct dpc_invitation_record *invitation)
{
    return member->record.state == DPC_MEMBER_PENDING && !invitation->asks;
}

int
dpc_members_enrol(struct dpc_members *members, const uint8_t key[DPC_WORKER_KEY_BYTES],
                  const struct dpc_msg_enrol *enrol, const char *address, const uint8_t *gone,
                  struct dpc_members_now now, struct dpc_kv_batch *batch,
                  enum dpc_enrolment *ret_state, bool *ret_changed, struct dpc_error *err)
{
    struct dpc_invitation_record *invitation = find_invitation(members, key);
    struct member *member = find_member(members, enrol->key.bytes);
    static const struct dpc_key nobody;
    *ret_changed = false;
    if (!invitation || (uint64_t)now.wall_s >= invitation->expires_s)
        return dpc_error_set(err, DPC_EPERM,
                             "this invitation is over: ask the operator for another one");
    if (find_invitation(members, enrol->key.bytes) || dpc_key_equal(&enrol->key, &nobody))
        return dpc_error_set(err, DPC_EINVAL,
                             "the key of an invitation, or of zeros, is no worker's");
    if (member && !is_let_in(member, invitation)) {
        member->seen_up_s = now.up_s;
        *ret_state = enrolment_of(member->record.state);
        return DPC_OK;
    }
    if (!member) {
        struct dpc_member_record record = {0};
        int code = check_newcomer(members, invitation, address, gone, batch, err);
        if (code != DPC_OK)
            return code;
        memcpy(record.key, enrol->key.bytes, sizeof record.key);
        (void)snprintf(record.name, sizeof record.name, "%s", enrol->name);
        (void)snprintf(record.address, sizeof record.address, "%s", address);
        member = add_member(members, &record, now.up_s);
    }
    memcpy(member->record.invitation, key, sizeof member->record.invitation);
    member->record.state = invitation->asks ? DPC_MEMBER_PENDING : DPC_MEMBER_TAKEN;
    member->record.since_s = (uint64_t)now.wall_s;
    dpc_put_member(batch, &member->record);
    spend(members, invitation, batch);
    *ret_state = enrolment_of(member->record.state);
    *ret_changed = true;
    return DPC_OK;
}

/* --- What the operator says of them. */

/* What looks like an id is one: a machine may call itself anything. */
static bool
is_id(const char *text)
{
    return strlen(text) == DPC_KEY_ID_MAX - 1 &&
           strspn(text, "0123456789abcdef") == DPC_KEY_ID_MAX - 1;
}

static bool
is_called(const struct dpc_member_record *record, const char *text)
{
    char id[DPC_KEY_ID_MAX];
    dpc_key_id(record->key, id);
    return strcmp(is_id(text) ? id : record->name, text) == 0;
}

int
dpc_members_find(const struct dpc_members *members, const char *text,
                 struct dpc_member_record *ret_member, struct dpc_error *err)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct dpc_member_record *record = &members->members[i].record;
        if (!is_called(record, text))
            continue;
        *ret_member = *record;
        found++;
    }
    if (found == 1)
        return DPC_OK;
    if (found == 0)
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "no machine \"%.64s\" came with an invitation; dipacoctl members "
                             "lists those that did",
                             text);
    return dpc_error_set(err, DPC_EINVAL,
                         "%u machines are called \"%.64s\": give the id of one, which dipacoctl "
                         "members lists",
                         found, text);
}

int
dpc_members_judge(struct dpc_members *members, const uint8_t key[DPC_WORKER_KEY_BYTES],
                  enum dpc_member_state state, int64_t now_s, struct dpc_kv_batch *batch,
                  struct dpc_error *err)
{
    struct member *member = find_member(members, key);
    if (!member)
        return dpc_error_set(err, DPC_ENOTFOUND, "there is no such machine");
    if (member->record.state == state)
        return dpc_error_set(err, DPC_EEXIST, "machine \"%s\" is %s already", member->record.name,
                             state == DPC_MEMBER_TAKEN ? "let in" : "turned away");
    member->record.state = state;
    member->record.since_s = (uint64_t)now_s;
    dpc_put_member(batch, &member->record);
    return DPC_OK;
}

/* --- Time. */

static struct member *
find_silent(struct dpc_members *members, int64_t up_s)
{
    for (uint32_t i = 0; i < members->count; i++) {
        struct member *member = &members->members[i];
        if (member->record.state == DPC_MEMBER_PENDING &&
            up_s - member->seen_up_s >= PENDING_SILENCE_S)
            return member;
    }
    return NULL;
}

/* Of those that were turned away the first, where there are too many. */
static struct member *
find_forgotten(struct dpc_members *members)
{
    struct member *first = NULL;
    if (members->count <= OUT_MAX || count_in_state(members, DPC_MEMBER_REFUSED) <= OUT_MAX)
        return NULL;
    for (uint32_t i = 0; i < members->count; i++) {
        struct member *member = &members->members[i];
        if (member->record.state == DPC_MEMBER_REFUSED &&
            (!first || member->record.since_s < first->record.since_s))
            first = member;
    }
    return first;
}

bool
dpc_members_expire(struct dpc_members *members, struct dpc_members_now now,
                   struct dpc_kv_batch *batch, uint8_t ret_key[DPC_WORKER_KEY_BYTES])
{
    for (uint32_t i = 0; i < members->invitations_count; i++) {
        if (now.wall_s < (int64_t)members->invitations[i].expires_s + INVITATION_KEPT_S)
            continue;
        memcpy(ret_key, members->invitations[i].key, DPC_WORKER_KEY_BYTES);
        drop_invitation(members, &members->invitations[i], batch);
        return true;
    }
    struct member *gone = find_silent(members, now.up_s);
    if (!gone)
        gone = find_forgotten(members);
    if (!gone)
        return false;
    memcpy(ret_key, gone->record.key, DPC_WORKER_KEY_BYTES);
    drop_member(members, gone, batch);
    return true;
}
