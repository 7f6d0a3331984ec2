/* SPDX-License-Identifier: Apache-2.0
 * Who may connect: workers whose key an operator put into a folder, and machines that came with an
 * invitation (members.h). The network's table of keys follows both. What is promised to a machine
 * is on disk before the answer leaves. */
#include "coordinator/state.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "proto/join.h"

/* How often a machine asks that waits for the operator. */
enum { PENDING_RETRY_MS = 10 * 1000, INVITATION_SECONDS_MAX = 10 * 366 * 24 * 3600 };

/* --- Keys in a folder. */

struct keys {
    struct dpc_server *server;
    int code;
    struct dpc_error *err;
    struct dpc_key *found;
    uint32_t count;
};

static void
load_key_file(void *context, const char *name)
{
    struct keys *keys = context;
    char path[DPC_PATH_MAX];
    size_t len = strlen(name);
    if (keys->code != DPC_OK || len < 5 || strcmp(name + len - 4, ".pub") != 0)
        return;
    keys->found = dpc_grow(keys->found, keys->count + 1u, sizeof *keys->found);
    keys->code = dpc_path_join(keys->server->world.workers_folder, name, path, sizeof path);
    if (keys->code != DPC_OK)
        keys->code = dpc_error_set(keys->err, keys->code,
                                   "the name of the worker's key \"%.200s\" is too long", name);
    if (keys->code == DPC_OK)
        keys->code = dpc_key_load(path, &keys->found[keys->count], keys->err);
    if (keys->code == DPC_OK) {
        keys->count++;
    } else if (keys->code == DPC_EPARSE ||
               keys->code == DPC_EINVAL) { /* one that was cut or mistaken keeps no other out */
        dpc_log_warning("%s; its worker may not connect", keys->err->text);
        keys->code = DPC_OK;
    }
}

static bool
holds_key(const struct dpc_key *keys, uint32_t count, const struct dpc_key *key)
{
    for (uint32_t i = 0; i < count; i++) {
        if (dpc_key_equal(&keys[i], key))
            return true;
    }
    return false;
}

static bool
is_member(const struct dpc_server *server, const struct dpc_key *key)
{
    return server->members && dpc_members_has(server->members, key->bytes, DPC_MEMBER_TAKEN);
}

/* One whose file has gone is turned away from now on. */
int
server_authorize_workers(struct dpc_server *server, struct dpc_error *err)
{
    struct keys keys = {.server = server, .err = err};
    int code =
        dpc_vfs_posix.ops->list(&dpc_vfs_posix, server->world.workers_folder, load_key_file, &keys);
    if (code != DPC_OK)
        code = dpc_error_set(err, code, "could not read the workers' keys in \"%s\": %s",
                             server->world.workers_folder, dpc_error_words(code));
    else
        code = keys.code;
    if (code == DPC_OK && keys.count > DPC_WORKERS_MAX)
        code =
            dpc_error_set(err, DPC_ELIMIT, "\"%s\" holds %u keys: at most %d workers may be known",
                          server->world.workers_folder, keys.count, DPC_WORKERS_MAX);
    if (code != DPC_OK) {
        dpc_free(keys.found);
        return code;
    }
    /* Those that go make room for those that come. */
    for (uint32_t i = 0; i < server->worker_keys_count; i++) {
        const struct dpc_key *key = &server->worker_keys[i];
        if (holds_key(keys.found, keys.count, key))
            continue;
        if (is_member(server, key))
            dpc_log_warning("a key whose file has gone stays in: it came with an invitation, too; "
                            "dipacoctl dismiss turns it away");
        else
            dpc_net_revoke(server->net, key);
    }
    for (uint32_t i = 0; code == DPC_OK && i < keys.count; i++)
        code = dpc_net_authorize(server->net, &keys.found[i], DPC_ROLE_WORKER);
    if (code != DPC_OK)
        code = dpc_error_set(err, code, "could not admit all keys in \"%s\": %s",
                             server->world.workers_folder, dpc_error_words(code));
    dpc_free(server->worker_keys);
    server->worker_keys = keys.found;
    server->worker_keys_count = keys.count;
    if (code == DPC_OK)
        dpc_log_info("workers authorised count=%u", keys.count);
    return code;
}

/* --- Machines that come with an invitation. */

static struct dpc_key
key_of(const uint8_t bytes[DPC_WORKER_KEY_BYTES])
{
    struct dpc_key key;
    memcpy(key.bytes, bytes, sizeof key.bytes);
    return key;
}

static struct dpc_members_now
members_now(void)
{
    return (struct dpc_members_now){.wall_s = dpc_clock_wall_s(),
                                    .up_s = dpc_clock_now_ms(&dpc_clock_system) / 1000};
}

static int
commit(struct dpc_server *server, struct dpc_kv_batch *batch)
{
    struct dpc_error err;
    int code = dpc_store_commit(server->store, batch, &err);
    if (code != DPC_OK)
        server_fail(server, &err);
    return code;
}

int
server_begin_members(struct dpc_server *server, struct dpc_error *err)
{
    int code = dpc_members_load(dpc_store_kv(server->store), members_now(), &server->members, err);
    if (code != DPC_OK)
        return code;
    for (uint32_t i = 0; code == DPC_OK && i < dpc_members_invitations_count(server->members);
         i++) {
        struct dpc_key key = key_of(dpc_members_invitation_at(server->members, i)->key);
        code = dpc_net_authorize(server->net, &key, DPC_ROLE_ENROL);
    }
    for (uint32_t i = 0; code == DPC_OK && i < dpc_members_count(server->members); i++) {
        const struct dpc_member_record *member = dpc_members_at(server->members, i);
        struct dpc_key key = key_of(member->key);
        if (member->state == DPC_MEMBER_TAKEN)
            code = dpc_net_authorize(server->net, &key, DPC_ROLE_WORKER);
    }
    if (code != DPC_OK)
        return dpc_error_set(err, code,
                             "could not admit all machines that came with an "
                             "invitation: %s",
                             dpc_error_words(code));
    return DPC_OK;
}

/* The table of keys as the members' books are now. It has a place for each. */
static void
follow(struct dpc_server *server, const uint8_t bytes[DPC_WORKER_KEY_BYTES])
{
    struct dpc_key key = key_of(bytes);
    if (!is_member(server, &key) &&
        !holds_key(server->worker_keys, server->worker_keys_count, &key))
        dpc_net_revoke(server->net, &key);
    else if (dpc_net_authorize(server->net, &key, DPC_ROLE_WORKER) != DPC_OK)
        dpc_log_error("could not admit a machine: the table of keys is full");
}

/* While the disk is full they stay a little longer; nobody is taken in then anyway. */
void
server_expire_members(struct dpc_server *server)
{
    uint8_t bytes[DPC_WORKER_KEY_BYTES];
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    bool expired = false;
    while (server->failure == DPC_OK && !server->space.paused &&
           dpc_members_expire(server->members, members_now(), &batch, bytes)) {
        follow(server, bytes);
        expired = true;
    }
    if (expired)
        (void)commit(server, &batch);
    dpc_kv_batch_done(&batch);
}

static void
answer(struct dpc_server *server, const struct dpc_peer *peer, uint64_t request,
       enum dpc_enrolment state)
{
    struct dpc_msg reply = {.type = DPC_MSG_ENROLLED, .request = request};
    reply.enrolled.state = state;
    reply.enrolled.experiment = server->experiment.name;
    reply.enrolled.retry_ms = PENDING_RETRY_MS;
    if (dpc_listener_send(server->control, peer, &reply) != DPC_OK)
        dpc_log_debug("reply dropped type=enrolled");
}

static void
tell_enrolment(struct dpc_server *server, const struct dpc_msg_enrol *enrol, const char *address,
               enum dpc_enrolment state)
{
    char id[DPC_KEY_ID_MAX];
    dpc_key_id(enrol->key.bytes, id);
    SERVER_NOTE(server, "machine_enrolled", DPC_FIELD_TEXT("id", id),
                DPC_FIELD_TEXT("name", enrol->name), DPC_FIELD_TEXT("address", address),
                DPC_FIELD_TEXT("state", state == DPC_ENROLMENT_TAKEN ? "in" : "pending"));
    dpc_log_info("machine came with an invitation name=\"%s\" id=%s address=%s %s", enrol->name, id,
                 address, state == DPC_ENROLMENT_TAKEN ? "let in" : "waits for approval");
}

/* One that is forgotten has to join again: so long it was let in, and has been away. */
enum { AWAY_S = 3600 };

/* Of the machines that were let in, the one that has been away longest. */
static const struct dpc_member_record *
find_longest_gone(const struct dpc_server *server)
{
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system), now_s = dpc_clock_wall_s();
    const struct dpc_member_record *longest = NULL;
    struct dpc_absence absence, most = {0};
    for (uint32_t i = 0; i < dpc_members_count(server->members); i++) {
        const struct dpc_member_record *member = dpc_members_at(server->members, i);
        if (member->state != DPC_MEMBER_TAKEN || now_s - (int64_t)member->since_s < AWAY_S ||
            !dpc_core_is_gone(server->core, member->key, now_ms, &absence) ||
            now_ms - absence.heard_ms < AWAY_S * 1000 ||
            (longest && !dpc_absence_is_longer(&absence, &most)))
            continue;
        longest = member;
        most = absence;
    }
    return longest;
}

static void
tell_forgotten(struct dpc_server *server, const struct dpc_member_record *member)
{
    char id[DPC_KEY_ID_MAX];
    dpc_key_id(member->key, id);
    SERVER_NOTE(server, "machine_forgotten", DPC_FIELD_TEXT("id", id),
                DPC_FIELD_TEXT("name", member->name));
    dpc_log_info("machine forgotten name=\"%s\" id=%s: it was away longest, and another one came",
                 member->name, id);
}

void
server_enrol(struct dpc_server *server, const struct dpc_peer *peer, const struct dpc_msg *msg)
{
    const struct dpc_msg_enrol *enrol = &msg->enrol;
    const char *address = dpc_listener_address(server->control);
    enum dpc_enrolment state = DPC_ENROLMENT_REFUSED;
    struct dpc_kv_batch batch;
    struct dpc_error err;
    bool changed = false;
    if (server->failure != DPC_OK)
        return; /* what it knows may not be on disk */
    const struct dpc_member_record *longest =
        dpc_members_is_full(server->members) ? find_longest_gone(server) : NULL;
    struct dpc_member_record gone = longest ? *longest : (struct dpc_member_record){0};
    if (holds_key(server->worker_keys, server->worker_keys_count, &enrol->key)) {
        answer(server, peer, msg->request, DPC_ENROLMENT_TAKEN); /* by its file */
        return;
    }
    dpc_kv_batch_init(&batch);
    int code = server_has_room(server) ? DPC_OK : DPC_EAGAIN;
    if (code != DPC_OK)
        server_tell_space(server, err.text, sizeof err.text);
    else
        code = dpc_members_enrol(server->members, peer->key.bytes, enrol, address,
                                 longest ? gone.key : NULL, members_now(), &batch, &state, &changed,
                                 &err);
    if (code != DPC_OK) {
        server_reply_error(server, server->control, peer, msg->request, code, err.text);
    } else if (!changed || commit(server, &batch) == DPC_OK) {
        if (changed) {
            tell_enrolment(server, enrol, address, state);
            follow(server, enrol->key.bytes);
        }
        if (longest && !dpc_members_has(server->members, gone.key, DPC_MEMBER_TAKEN)) {
            tell_forgotten(server, &gone);
            follow(server, gone.key);
        }
        answer(server, peer, msg->request, state);
        /* It was the last that the invitation took. */
        if (!dpc_members_invites(server->members, peer->key.bytes))
            dpc_net_revoke(server->net, &peer->key);
    }
    dpc_kv_batch_done(&batch);
}

/* --- What the operator asks for. */

struct invite {
    char endpoint[DPC_ENDPOINT_MAX];
    uint32_t uses, seconds;
    const char *note;
};

/* "ENDPOINT USES SECONDS NOTE". */
static int
read_invite(const struct dpc_server *server, const char *argument, struct invite *ret_invite,
            struct dpc_error *err)
{
    struct invite invite = {.note = ""};
    int note_at = 0;
    if (sscanf(argument, "%255s %9u %9u %n", invite.endpoint, &invite.uses, &invite.seconds,
               &note_at) != 3 ||
        note_at == 0 || invite.uses > DPC_WORKERS_MAX || invite.seconds == 0 ||
        invite.seconds > INVITATION_SECONDS_MAX)
        return dpc_error_set(err, DPC_EINVAL,
                             "\"%.200s\" is no invitation: it is an endpoint or -, a number of "
                             "machines up to %d, and how many seconds it holds, up to ten years",
                             argument, DPC_WORKERS_MAX);
    invite.note = argument + note_at;
    if (strlen(invite.note) >= DPC_NAME_MAX)
        return dpc_error_set(err, DPC_EINVAL, "the note has more than %d bytes", DPC_NAME_MAX - 1);
    if (strcmp(invite.endpoint, "-") == 0)
        (void)snprintf(invite.endpoint, sizeof invite.endpoint, "%s", server->advertised);
    if (!invite.endpoint[0])
        return dpc_error_set(err, DPC_EINVAL,
                             "this coordinator does not know where workers reach it: say so with "
                             "--at tcp://HOST:PORT, or start it with --advertise");
    *ret_invite = invite;
    return DPC_OK;
}

static void
tell_invitation(const struct dpc_invitation_record *invitation, struct dpc_json *row)
{
    char id[DPC_KEY_ID_MAX];
    dpc_key_id(invitation->key, id);
    dpc_json_set_text(row, "id", id);
    dpc_json_set_bool(row, "asks", invitation->asks);
    if (!invitation->asks)
        dpc_json_set_integer(row, "uses_left", invitation->uses_left);
    dpc_json_set_integer(row, "created", (int64_t)invitation->created_s);
    dpc_json_set_integer(row, "expires", (int64_t)invitation->expires_s);
    dpc_json_set_text(row, "note", invitation->note);
}

/* What the commit of an operator's wish came to. */
static int
commit_wish(struct dpc_server *server, struct dpc_kv_batch *batch, struct dpc_error *err)
{
    if (commit(server, batch) != DPC_OK)
        *err = server->failure_text;
    return server->failure;
}

int
server_invite(struct dpc_server *server, const char *argument, struct dpc_json *root,
              struct dpc_error *err)
{
    char text[DPC_JOIN_TEXT_MAX];
    struct dpc_keypair keypair;
    struct dpc_kv_batch batch;
    struct invite invite;
    int code = read_invite(server, argument, &invite, err);
    if (code == DPC_OK)
        code = server_check_room(server, err);
    if (code != DPC_OK)
        return code;
    struct dpc_join join = {.coordinator.key = server->public_key};
    struct dpc_invitation_record record = {.created_s = (uint64_t)dpc_clock_wall_s(),
                                           .asks = invite.uses == 0,
                                           .uses_left = invite.uses};
    dpc_keypair_generate(&keypair);
    join.secret_key = keypair.secret_key;
    record.expires_s = record.created_s + invite.seconds;
    memcpy(record.key, keypair.public_key.bytes, sizeof record.key);
    (void)snprintf(record.note, sizeof record.note, "%s", invite.note);
    (void)snprintf(join.coordinator.endpoint, sizeof join.coordinator.endpoint, "%s",
                   invite.endpoint);
    dpc_kv_batch_init(&batch);
    code = dpc_join_print(&join, text, err);
    if (code == DPC_OK)
        code = dpc_members_invite(server->members, &record, &batch, err);
    if (code == DPC_OK)
        code = commit_wish(server, &batch, err);
    if (code == DPC_OK)
        code = dpc_net_authorize(server->net, &keypair.public_key, DPC_ROLE_ENROL);
    if (code == DPC_ELIMIT && !err->text[0])
        code = dpc_error_set(err, code, "the table of keys is full");
    if (code == DPC_OK) {
        tell_invitation(&record, root);
        dpc_json_set_text(root, "endpoint", invite.endpoint);
        dpc_json_set_text(root, "join", text);
    }
    dpc_kv_batch_done(&batch);
    explicit_bzero(text, sizeof text);
    explicit_bzero(&join, sizeof join);
    explicit_bzero(&keypair, sizeof keypair);
    return code;
}

void
server_list_invitations(const struct dpc_server *server, struct dpc_json *root)
{
    struct dpc_json *rows = dpc_json_array();
    for (uint32_t i = 0; i < dpc_members_invitations_count(server->members); i++) {
        const struct dpc_invitation_record *invitation =
            dpc_members_invitation_at(server->members, i);
        if (invitation->expires_s <= (uint64_t)dpc_clock_wall_s())
            continue;
        struct dpc_json *row = dpc_json_object();
        tell_invitation(invitation, row);
        dpc_json_append(rows, row);
    }
    dpc_json_set(root, "invitations", rows);
}

int
server_withdraw(struct dpc_server *server, const char *argument, struct dpc_json *root,
                struct dpc_error *err)
{
    struct dpc_kv_batch batch;
    struct dpc_key key;
    dpc_kv_batch_init(&batch);
    int code = server_check_room(server, err);
    if (code == DPC_OK)
        code = dpc_members_withdraw(server->members, argument, &batch, key.bytes, err);
    if (code == DPC_OK)
        code = commit_wish(server, &batch, err);
    if (code == DPC_OK) {
        dpc_net_revoke(server->net, &key);
        dpc_json_set_text(root, "id", argument);
        dpc_json_set_integer(root, "pending", dpc_members_pending(server->members, key.bytes));
    }
    dpc_kv_batch_done(&batch);
    return code;
}

static const char *
state_name(enum dpc_member_state state)
{
    static const char *const names[] = {
        [DPC_MEMBER_PENDING] = "pending", [DPC_MEMBER_TAKEN] = "in", [DPC_MEMBER_REFUSED] = "out"};
    return names[state];
}

static void
tell_member(const struct dpc_member_record *member, struct dpc_json *row)
{
    char id[DPC_KEY_ID_MAX], key_text[DPC_KEY_TEXT_MAX];
    dpc_key_id(member->key, id);
    dpc_key_bytes_text(member->key, key_text);
    dpc_json_set_text(row, "id", id);
    dpc_json_set_text(row, "name", member->name);
    dpc_json_set_text(row, "state", state_name(member->state));
    dpc_json_set_text(row, "address", member->address);
    dpc_json_set_integer(row, "since", (int64_t)member->since_s);
    dpc_key_id(member->invitation, id);
    dpc_json_set_text(row, "invitation", id);
    dpc_json_set_text(row, "key", key_text);
}

uint64_t
server_list_members(const struct dpc_server *server, uint64_t after, uint32_t rows,
                    struct dpc_json *root)
{
    struct dpc_json *list = dpc_json_array();
    uint64_t i = after, count = dpc_members_count(server->members);
    for (; i < count && i < after + rows; i++) {
        struct dpc_json *row = dpc_json_object();
        tell_member(dpc_members_at(server->members, (uint32_t)i), row);
        dpc_json_append(list, row);
    }
    dpc_json_set(root, "members", list);
    return i < count ? i : 0;
}

/* A key that stands in a file as well would stay in. */
static int
check_file(const struct dpc_server *server, const struct dpc_member_record *member,
           struct dpc_error *err)
{
    struct dpc_key key = key_of(member->key);
    if (!holds_key(server->worker_keys, server->worker_keys_count, &key))
        return DPC_OK;
    return dpc_error_set(err, DPC_EEXIST,
                         "the key of machine \"%s\" stands in \"%s\" as well: remove it there and "
                         "send the coordinator SIGHUP first",
                         member->name, server->world.workers_folder);
}

static void
note_judgement(struct dpc_server *server, const struct dpc_member_record *member)
{
    char id[DPC_KEY_ID_MAX];
    dpc_key_id(member->key, id);
    dpc_log_info("machine %s name=\"%s\" id=%s",
                 member->state == DPC_MEMBER_TAKEN ? "let in" : "turned away", member->name, id);
    SERVER_NOTE(server, "machine_judged", DPC_FIELD_TEXT("id", id),
                DPC_FIELD_TEXT("name", member->name),
                DPC_FIELD_TEXT("state", state_name(member->state)));
}

int
server_judge_member(struct dpc_server *server, const char *argument, enum dpc_member_state state,
                    struct dpc_json *root, struct dpc_error *err)
{
    struct dpc_member_record member;
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    int code = dpc_members_find(server->members, argument, &member, err);
    if (code == DPC_OK && state == DPC_MEMBER_REFUSED)
        code = check_file(server, &member, err);
    if (code == DPC_OK)
        code = server_check_room(server, err);
    if (code == DPC_OK)
        code =
            dpc_members_judge(server->members, member.key, state, dpc_clock_wall_s(), &batch, err);
    if (code == DPC_OK)
        code = commit_wish(server, &batch, err);
    if (code == DPC_OK) {
        follow(server, member.key);
        member.state = state;
        tell_member(&member, root);
        dpc_json_set_bool(root, "invited_still",
                          dpc_members_invites(server->members, member.invitation));
        note_judgement(server, &member);
    }
    dpc_kv_batch_done(&batch);
    return code;
}
