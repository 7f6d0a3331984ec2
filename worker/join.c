/* SPDX-License-Identifier: Apache-2.0
 * Two keys can be let in: the invitation's, by which a machine asks, and the machine's own, once it
 * was taken in. One that has a key tries that first, so that the same again costs no use of the
 * invitation; where the invitation is refused, the own key tells a machine whose answer was lost
 * from one that came too late. */
#include "worker/join.h"

#include <stdio.h>
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
    CERTAIN_MS = 5000, /* both keys are refused for so long: a coordinator that starts knows none */
    AGAIN_MS = 1000,   /* between two refusals */
    WAITING_MS = 30000,   /* the same for one whose invitation ended while it waits for approval */
    ELSEWHERE_MS = 10000, /* without a connection, before the other place is tried */
    HOPELESS_MS = 60000,  /* before one that is not patient ends */
    PENDING_MS_MIN =
        1000, /* between two questions whether it was let in, whatever the answer says */
    PENDING_MS_MAX = 300000,
    ALONE_MS = 15000, /* without a connection, before that is told */
};

struct joining {
    const struct dpc_join_options *options;
    const struct dpc_join *join;
    const char *places[2];      /* endpoints: the one to try, and another one or NULL */
    struct dpc_keypair keypair; /* its own */
    struct dpc_net *net;
    struct dpc_link *link; /* NULL: it is opened at `open_at_ms` */
    bool by_own_key;
    int64_t begun_ms, opened_ms, open_at_ms;
    int64_t refused_ms;            /* since when both keys are; 0: not both */
    bool refused[2];               /* the invitation's, its own */
    int64_t ask_at_ms, tell_at_ms; /* when it asks next; when it tells next that nobody answers */
    bool told_pending, told_crowded, told_mismatch;
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

/* Where it is, as the file says: an option or a person may have mended that. DPC_EEXIST: the file
 * names another coordinator. */
static int
look_for_coordinator(const struct dpc_join_options *options, const struct dpc_join *join,
                     struct dpc_coordinator *ret_known, struct dpc_error *err)
{
    int code = dpc_coordinator_load(options->coordinator, ret_known, err);
    if (code == DPC_ENOTFOUND) {
        *ret_known = join->coordinator;
        return DPC_OK;
    }
    if (code != DPC_OK)
        return code;
    if (!dpc_key_equal(&ret_known->key, &join->coordinator.key))
        return dpc_error_set(
            err, DPC_EEXIST,
            "\"%s\" names another coordinator: give this one a --dir of its own, or "
            "remove the file to leave the other one for good",
            options->coordinator);
    return DPC_OK;
}

/* The place where it was found, unless an option of the moment said so. */
static int
note_coordinator(const struct joining *joining, const struct dpc_coordinator *known,
                 struct dpc_error *err)
{
    struct dpc_coordinator found = joining->join->coordinator;
    (void)snprintf(found.endpoint, sizeof found.endpoint, "%s",
                   joining->options->endpoint ? known->endpoint : joining->places[0]);
    bool same = dpc_vfs_exists(&dpc_vfs_posix, joining->options->coordinator) &&
                strcmp(known->endpoint, found.endpoint) == 0;
    return same ? DPC_OK : dpc_coordinator_save(joining->options->coordinator, &found, err);
}

/* --- The conversation. */

static int
open_link(struct joining *joining, int64_t now_ms, struct dpc_error *err)
{
    struct dpc_keypair invitation;
    if (!dpc_keypair_complete(&joining->join->secret_key, &invitation))
        return dpc_error_set(err, DPC_EINVAL, "the join string holds no key");
    int code = dpc_link_open(joining->net, DPC_CHANNEL_CONTROL, joining->places[0],
                             joining->by_own_key ? &joining->keypair : &invitation,
                             &joining->join->coordinator.key, &joining->link, err);
    joining->opened_ms = now_ms;
    joining->ask_at_ms = 0;
    explicit_bzero(&invitation, sizeof invitation);
    return code;
}

static void
open_later(struct joining *joining, int64_t now_ms, int64_t pause_ms)
{
    joining->link = dpc_link_close(joining->link);
    joining->open_at_ms = now_ms + pause_ms;
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
    char id[DPC_KEY_ID_MAX];
    uint32_t retry_ms = answer->retry_ms < PENDING_MS_MIN   ? PENDING_MS_MIN
                        : answer->retry_ms > PENDING_MS_MAX ? PENDING_MS_MAX
                                                            : answer->retry_ms;
    joining->ask_at_ms = now_ms + retry_ms;
    if (joining->told_pending)
        return;
    joining->told_pending = true;
    dpc_key_id(joining->keypair.public_key.bytes, id);
    dpc_log_info("waits for the operator of \"%s\" to let it in name=\"%s\" id=%s",
                 answer->experiment, joining->options->name, id);
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

/* The key that it came with is refused: the other one is tried. A coordinator that was just
 * started, or one that takes it in at this moment, may have refused one of them for the last time.
 */
static int
take_refusal(struct joining *joining, int64_t now_ms, struct dpc_error *err)
{
    joining->refused[joining->by_own_key] = true;
    bool both = joining->refused[0] && joining->refused[1];
    if (both && !joining->refused_ms)
        joining->refused_ms = now_ms;
    if (both && !joining->told_pending && now_ms - joining->refused_ms >= CERTAIN_MS)
        return dpc_error_set(err, DPC_EPERM,
                             "this invitation is used up, over or withdrawn: ask the operator for "
                             "another join string");
    joining->by_own_key = !joining->by_own_key;
    open_later(joining, now_ms, !both ? 0 : joining->told_pending ? WAITING_MS : AGAIN_MS);
    return DPC_OK;
}

static int
take_error(struct joining *joining, const struct dpc_msg_error *error, int64_t now_ms,
           struct dpc_error *err)
{
    if (error->code == DPC_EPERM) /* over meanwhile */
        return take_refusal(joining, now_ms, err);
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

/* Nobody answers, or what does breaks off or has another key: behind a tunnel both look alike. */
static int
wait_for_contact(struct joining *joining, int64_t now_ms, struct dpc_error *err)
{
    bool mismatch = dpc_link_state(joining->link) == DPC_LINK_MISMATCH;
    if (!joining->options->patient && !joining->told_pending &&
        now_ms - joining->begun_ms >= HOPELESS_MS)
        return dpc_error_set(err, DPC_ETIMEDOUT, "no contact with the coordinator at %s: %s",
                             joining->places[0],
                             mismatch ? "what answers there breaks off, or is not the coordinator "
                                        "of this join string"
                                      : "nobody answers; is that place reached from here?");
    if (mismatch && !joining->told_mismatch)
        dpc_log_warning("what answers at %s breaks off, or is not the coordinator of this join "
                        "string; it goes on trying",
                        joining->places[0]);
    joining->told_mismatch |= mismatch;
    if (!mismatch && now_ms >= joining->tell_at_ms) {
        if (joining->tell_at_ms)
            dpc_log_warning("nobody answers yet at %s; it goes on trying", joining->places[0]);
        joining->tell_at_ms = now_ms + (joining->tell_at_ms ? 10 : 1) * (int64_t)ALONE_MS;
    }
    if (joining->places[1] && now_ms - joining->opened_ms >= ELSEWHERE_MS) {
        const char *other = joining->places[1];
        joining->places[1] = joining->places[0];
        joining->places[0] = other;
        open_later(joining, now_ms, 0);
    }
    return DPC_OK;
}

/* One turn, after what came was waited for. */
static int
go_on(struct joining *joining, bool *ret_done, struct dpc_error *err)
{
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system);
    if (!joining->link)
        return now_ms < joining->open_at_ms ? DPC_OK : open_link(joining, now_ms, err);
    switch (dpc_link_state(joining->link)) {
    case DPC_LINK_CONNECTING:
    case DPC_LINK_MISMATCH:
        return wait_for_contact(joining, now_ms, err);
    case DPC_LINK_REFUSED:
        return take_refusal(joining, now_ms, err);
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
converse(struct joining *joining, struct dpc_error *err)
{
    bool done = false;
    int code = DPC_OK;
    joining->begun_ms = dpc_clock_now_ms(&dpc_clock_system);
    while (code == DPC_OK && !done) {
        struct dpc_poll_item item = {.link = joining->link, .fd = -1};
        (void)!dpc_channel_poll(&item, joining->link ? 1 : 0, POLL_MS);
        code = go_on(joining, &done, err);
        dpc_notify_alive();
    }
    return code;
}

/* An option comes first; else what the file says, and the string's where that differs. */
static void
choose_places(struct joining *joining, const struct dpc_coordinator *known)
{
    const char *option = joining->options->endpoint, *string = joining->join->coordinator.endpoint;
    joining->places[0] = option ? option : known->endpoint[0] ? known->endpoint : string;
    if (!option && strcmp(joining->places[0], string) != 0)
        joining->places[1] = string;
}

int
dpc_worker_join(const struct dpc_join_options *options, struct dpc_error *err)
{
    struct dpc_join join;
    struct dpc_coordinator known;
    bool fresh;
    int code = dpc_join_parse(options->text, &join, err);
    if (code == DPC_OK)
        code = look_for_coordinator(options, &join, &known, err);
    if (code != DPC_OK)
        return code;
    struct joining joining = {.options = options, .join = &join};
    choose_places(&joining, &known);
    code = take_key(options->key, &joining.keypair, &fresh, err);
    joining.by_own_key = !fresh;
    if (code == DPC_OK)
        code = dpc_net_create(&joining.net, err);
    if (code == DPC_OK)
        code = converse(&joining, err);
    if (code == DPC_OK)
        code = note_coordinator(&joining, &known, err);
    if (code == DPC_OK)
        dpc_log_info("joined coordinator=%s name=\"%s\"", joining.places[0], options->name);
    dpc_link_close(joining.link);
    dpc_net_destroy(joining.net);
    explicit_bzero(&joining.keypair, sizeof joining.keypair);
    explicit_bzero(&join, sizeof join);
    return code;
}
