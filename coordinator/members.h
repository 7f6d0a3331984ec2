/* SPDX-License-Identifier: Apache-2.0
 *
 * Who was invited, and who came. An invitation is a key pair whose secret half travels in a join
 * string (proto/join.h); who has it may ask that a key of its own be taken in, and nothing else.
 * Some invitations take every machine that comes, so many and so long; others ask the operator
 * about each, and may therefore be read by anybody.
 *
 * Owns: copies of all records. Threads: one. Limits: DPC_INVITATIONS_MAX, DPC_WORKERS_MAX members,
 * DPC_PENDING_MAX of them pending, DPC_PENDING_ADDRESS_MAX from one address, or
 * of one IPv6 network of 64 bits.
 * Not here: sockets, clocks, commits. What a call changes it also puts into `batch`: commit that
 * before anything is promised; a commit that fails is the end of the daemon.
 */
#ifndef DPC_COORDINATOR_MEMBERS_H
#define DPC_COORDINATOR_MEMBERS_H

#include "proto/message.h"
#include "storage/db/records.h"

struct dpc_members;

/* The wall clock's seconds since 1970, which may jump, and those of a clock that only goes on. */
struct dpc_members_now {
    int64_t wall_s, up_s;
};

int dpc_members_load(struct dpc_kv *kv, struct dpc_members_now now,
                     struct dpc_members **ret_members, struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_members *dpc_members_destroy(struct dpc_members *members);

/* Is there an invitation with this key? */
bool dpc_members_invites(const struct dpc_members *members,
                         const uint8_t key[DPC_WORKER_KEY_BYTES]);

/* In order of their making. Pointers live until the next call that changes anything. */
uint32_t dpc_members_invitations_count(const struct dpc_members *members);
const struct dpc_invitation_record *dpc_members_invitation_at(const struct dpc_members *members,
                                                              uint32_t index);
uint32_t dpc_members_count(const struct dpc_members *members);
const struct dpc_member_record *dpc_members_at(const struct dpc_members *members, uint32_t index);
/* Those that came with the invitation of that key; NULL: with any. */
uint32_t dpc_members_pending(const struct dpc_members *members, const uint8_t *invitation);

int dpc_members_invite(struct dpc_members *members, const struct dpc_invitation_record *invitation,
                       struct dpc_kv_batch *batch, struct dpc_error *err) DPC_MUST_CHECK;
/* By its id. What came with it stays. */
int dpc_members_withdraw(struct dpc_members *members, const char *id, struct dpc_kv_batch *batch,
                         uint8_t ret_key[DPC_WORKER_KEY_BYTES],
                         struct dpc_error *err) DPC_MUST_CHECK;

/* Are as many known as may be, apart from those that were turned away? */
bool dpc_members_is_full(const struct dpc_members *members);
/* A machine that holds the invitation with `key` says what it is; the same again gets the same
 * answer. Where no place is left, the machine with the key `gone`, which was let in, is forgotten
 * for it (NULL: none is). `*ret_changed`: something is to be committed. DPC_EPERM when the
 * invitation takes nobody any more, DPC_EINVAL when its key is no worker's, DPC_ELIMIT when there
 * is no place for it now.
 */
int dpc_members_enrol(struct dpc_members *members, const uint8_t key[DPC_WORKER_KEY_BYTES],
                      const struct dpc_msg_enrol *enrol, const char *address, const uint8_t *gone,
                      struct dpc_members_now now, struct dpc_kv_batch *batch,
                      enum dpc_enrolment *ret_state, bool *ret_changed,
                      struct dpc_error *err) DPC_MUST_CHECK;

/* The one with this id, or, if it is the only one, with this name. */
int dpc_members_find(const struct dpc_members *members, const char *text,
                     struct dpc_member_record *ret_member, struct dpc_error *err) DPC_MUST_CHECK;
/* TAKEN or REFUSED. DPC_EEXIST when it is that already. */
int dpc_members_judge(struct dpc_members *members, const uint8_t key[DPC_WORKER_KEY_BYTES],
                      enum dpc_member_state state, int64_t now_s, struct dpc_kv_batch *batch,
                      struct dpc_error *err) DPC_MUST_CHECK;
bool dpc_members_has(const struct dpc_members *members, const uint8_t key[DPC_WORKER_KEY_BYTES],
                     enum dpc_member_state state);

/* Takes out the next invitation that has been over for a month (a clock that is wrong for a while
 * ends none), pending machine that has not asked for a day, or machine that was turned away when
 * there are too many of these; false when there is none. `ret_key` is its key. */
bool dpc_members_expire(struct dpc_members *members, struct dpc_members_now now,
                        struct dpc_kv_batch *batch, uint8_t ret_key[DPC_WORKER_KEY_BYTES]);

#endif
