/* SPDX-License-Identifier: Apache-2.0
 * Two keys can be let in: the invitation's, by which a machine asks, and the machine's own, once it
 * was taken in. One that has a key tries that first, so that the same again costs no use of the
 * invitation; where the invitation is refused, the own key tells a machine whose answer was lost
 * from one that came too late. */
#include "worker/join.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/vfs.h"
#include "proto/join.h"

enum {
    POLL_MS = 200,
    ANSWER_MS = 5000,   /* then it asks again */
    CROWDED_MS = 30000, /* when there is no place for it now */
    PENDING_MS_MIN =
        1000, /* between two questions whether it was let in, whatever the answer says */
    PENDING_MS_MAX = 300000,
    ALONE_MS = 15000, /* without a connection, before that is told */
};

struct joining {
    const struct dpc_join_options *options;
    const struct dpc_join *join;
    const char *endpoint;
    struct dpc_keypair keypair; /* its own */
    struct dpc_net *net;
    struct dpc_link *link;
    bool by_own_key, invitation_refused;
    int64_t ask_at_ms, tell_at_ms; /* when it asks next; when it tells next that nobody answers */
    bool told_pending, told_crowded;
};

/* --- Files. */

/* `*ret_fresh`: it was not there before. */
static int
take_key(const char *path, struct dpc_keypair *ret_keypair, bool *ret_fresh, struct dpc_error *err)
{
    int code = dpc_keypair_load(path, ret_keypair, err);
    *ret_fresh = code == DPC_ENOTFOUND;
    if (!*ret_fresh)
        return code;
    dpc_keypair_generate(ret_keypair);
    return dpc_keypair_save(path, ret_keypair, err);
}

/* `*ret_joined`: the file names that coordinator. It may have moved since. */
static int
look_for_coordinator(const struct dpc_join_options *options, const struct dpc_join *join,
                     bool *ret_joined, struct dpc_error *err)
{
    struct dpc_coordinator known;
    *ret_joined = false;
    int code = dpc_coordinator_load(options->coordinator, &known, err);
    if (code == DPC_ENOTFOUND)
        return DPC_OK;
    if (code != DPC_OK)
        return code;
    if (!dpc_key_equal(&known.key, &join->coordinator.key))
        return dpc_error_set(
            err, DPC_EEXIST,
            "\"%s\" names another coordinator: give this one a --dir of its own, or "
            "remove the file to leave the other one for good",
            options->coordinator);
    *ret_joined = !options->again && dpc_vfs_exists(&dpc_vfs_posix, options->key);
    return strcmp(known.endpoint, join->coordinator.endpoint) == 0
               ? DPC_OK
               : dpc_coordinator_save(options->coordinator, &join->coordinator, err);
}

/* --- The conversation. */

static int
open_link(struct joining *joining, bool by_own_key, struct dpc_error *err)
{
    struct dpc_keypair invitation;
    joining->link = dpc_link_close(joining->link);
    joining->by_own_key = by_own_key;
    joining->ask_at_ms = 0;
    if (!dpc_keypair_complete(&joining->join->secret_key, &invitation))
        return dpc_error_set(err, DPC_EINVAL, "the join string holds no key");
    int code = dpc_link_open(joining->net, DPC_CHANNEL_CONTROL, joining->endpoint,
                             by_own_key ? &joining->keypair : &invitation,
                             &joining->join->coordinator.key, &joining->link, err);
    explicit_bzero(&invitation, sizeof invitation);
    return code;
}

static void
ask(struct joining *joining, int64_t now_ms)
{
    struct dpc_msg msg = {.type = DPC_MSG_ENROL, .request = 1};
    msg.enrol.key = joining->keypair.public_key;
    msg.enrol.name = joining->options->name;
    if (dpc_link_send(joining->link, &msg) == DPC_OK)
        joining->ask_at_ms = now_ms + ANSWER_MS;
}

/* A service that waits for a person has started well. */
static void
wait_for_approval(struct joining *joining, const struct dpc_msg_enrolled *answer, int64_t now_ms)
{
    uint32_t retry_ms = answer->retry_ms < PENDING_MS_MIN   ? PENDING_MS_MIN
                        : answer->retry_ms > PENDING_MS_MAX ? PENDING_MS_MAX
                                                            : answer->retry_ms;
    joining->ask_at_ms = now_ms + retry_ms;
    if (joining->told_pending)
        return;
    joining->told_pending = true;
    dpc_log_info("waits for the operator of \"%s\" to let it in name=\"%s\" id=%02x%02x%02x%02x",
                 answer->experiment, joining->options->name, joining->keypair.public_key.bytes[0],
                 joining->keypair.public_key.bytes[1], joining->keypair.public_key.bytes[2],
                 joining->keypair.public_key.bytes[3]);
    dpc_notify_ready();
    dpc_notify_status("waits to be let in");
}

/* `*ret_done`: it was taken in. */
static int
take_enrolled(struct joining *joining, const struct dpc_msg_enrolled *answer, int64_t now_ms,
              bool *ret_done, struct dpc_error *err)
{
    switch (answer->state) {
    case DPC_ENROLMENT_TAKEN:
        *ret_done = true;
        return DPC_OK;
    case DPC_ENROLMENT_PENDING:
        wait_for_approval(joining, answer, now_ms);
        return DPC_OK;
    case DPC_ENROLMENT_REFUSED:
        break;
    }
    return dpc_error_set(err, DPC_EPERM,
                         "the operator of \"%s\" has turned this machine away; ask them",
                         answer->experiment);
}

static int
take_refusal(struct joining *joining, struct dpc_error *err)
{
    if (joining->by_own_key && joining->invitation_refused)
        return dpc_error_set(err, DPC_EPERM,
                             "this invitation is used up, over or withdrawn: ask the operator for "
                             "another join string");
    joining->invitation_refused |= !joining->by_own_key;
    return open_link(joining, !joining->by_own_key, err);
}

static int
take_error(struct joining *joining, const struct dpc_msg_error *error, int64_t now_ms,
           struct dpc_error *err)
{
    if (error->code == DPC_EPERM) /* over meanwhile */
        return take_refusal(joining, err);
    if (error->code != DPC_ELIMIT && error->code != DPC_EAGAIN)
        return dpc_error_set(err, DPC_EPROTO, "the coordinator says: %s", error->text);
    joining->ask_at_ms = now_ms + CROWDED_MS;
    if (!joining->told_crowded)
        dpc_log_warning("not let in yet: %s", error->text);
    joining->told_crowded = true;
    return DPC_OK;
}

static int
receive(struct joining *joining, int64_t now_ms, bool *ret_done, struct dpc_error *err)
{
    struct dpc_msg msg;
    int code = dpc_link_receive(joining->link, &msg, err);
    if (code == DPC_EAGAIN)
        return DPC_OK;
    if (code != DPC_OK)
        return dpc_error_prefix(err, code, "the coordinator's answer");
    if (msg.type == DPC_MSG_ENROLLED)
        return take_enrolled(joining, &msg.enrolled, now_ms, ret_done, err);
    if (msg.type == DPC_MSG_ERROR)
        return take_error(joining, &msg.error, now_ms, err);
    return DPC_OK;
}

static void
tell_alone(struct joining *joining, int64_t now_ms)
{
    if (now_ms < joining->tell_at_ms)
        return;
    if (joining->tell_at_ms)
        dpc_log_warning("nobody answers yet at %s; it goes on trying", joining->endpoint);
    joining->tell_at_ms = now_ms + (joining->tell_at_ms ? 10 : 1) * (int64_t)ALONE_MS;
}

/* One turn, after what came was waited for. */
static int
go_on(struct joining *joining, bool *ret_done, struct dpc_error *err)
{
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system);
    switch (dpc_link_state(joining->link)) {
    case DPC_LINK_CONNECTING:
        tell_alone(joining, now_ms);
        return DPC_OK;
    case DPC_LINK_MISMATCH:
        return dpc_error_set(err, DPC_EPERM,
                             "what answers at %s is not the coordinator of this join string: ask "
                             "the operator for a new one",
                             joining->endpoint);
    case DPC_LINK_REFUSED:
        return take_refusal(joining, err);
    case DPC_LINK_UP:
        break;
    }
    if (joining->by_own_key) {
        *ret_done = true;
        return DPC_OK;
    }
    if (now_ms >= joining->ask_at_ms)
        ask(joining, now_ms);
    return receive(joining, now_ms, ret_done, err);
}

static int
converse(struct joining *joining, bool by_own_key, struct dpc_error *err)
{
    bool done = false;
    int code = open_link(joining, by_own_key, err);
    while (code == DPC_OK && !done) {
        struct dpc_poll_item item = {.link = joining->link, .fd = -1};
        (void)!dpc_channel_poll(&item, 1, POLL_MS);
        code = go_on(joining, &done, err);
        dpc_notify_alive();
    }
    return code;
}

int
dpc_worker_join(const struct dpc_join_options *options, struct dpc_error *err)
{
    struct dpc_join join;
    bool joined, fresh;
    int code = dpc_join_parse(options->text, &join, err);
    if (code == DPC_OK)
        code = look_for_coordinator(options, &join, &joined, err);
    if (code != DPC_OK || joined)
        return code;
    struct joining joining = {
        .options = options,
        .join = &join,
        .endpoint = options->endpoint ? options->endpoint : join.coordinator.endpoint,
    };
    code = take_key(options->key, &joining.keypair, &fresh, err);
    if (code == DPC_OK)
        code = dpc_net_create(&joining.net, err);
    if (code == DPC_OK)
        code = converse(&joining, !fresh, err);
    if (code == DPC_OK)
        code = dpc_coordinator_save(options->coordinator, &join.coordinator, err);
    if (code == DPC_OK)
        dpc_log_info("joined coordinator=%s name=\"%s\"", join.coordinator.endpoint, options->name);
    dpc_link_close(joining.link);
    dpc_net_destroy(joining.net);
    explicit_bzero(&joining.keypair, sizeof joining.keypair);
    explicit_bzero(&join, sizeof join);
    return code;
}
