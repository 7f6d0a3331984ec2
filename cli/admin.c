/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/admin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

/* A page holds at least one row; more pages than rows there can be means that `next` goes round. */
enum { ADMIN_PAGES_MAX = 1000000 };

/* While there is no connection the socket cannot say when there is one. */
enum { CONNECT_TURN_MS = 10 };

/* What runs in the background takes from some milliseconds to seconds. */
enum { ASK_AGAIN_MS = 100 };

struct dpc_admin {
    struct dpc_net *net;
    struct dpc_link *link;
    uint64_t request;
    char endpoint[DPC_ENDPOINT_MAX];
};

static const char scheme[] = "ipc://";

bool
dpc_admin_is_endpoint(const char *text)
{
    return strncmp(text, scheme, strlen(scheme)) == 0 && text[strlen(scheme)] &&
           strlen(text) < DPC_ENDPOINT_MAX;
}

int
dpc_admin_open(const char *endpoint, struct dpc_admin **ret_admin, struct dpc_error *err)
{
    if (!dpc_admin_is_endpoint(endpoint))
        return dpc_error_set(
            err, DPC_EINVAL,
            "\"%.100s\" is no admin endpoint: it looks like ipc:///path/admin.sock", endpoint);
    if (access(endpoint + strlen(scheme), W_OK) != 0 && errno == EACCES)
        return dpc_error_set(err, DPC_EPERM,
                             "may not use \"%.200s\": only its owner and its group may (with the "
                             "units: root and dipaco-admin)",
                             endpoint);
    struct dpc_admin *admin = dpc_alloc(1, sizeof *admin);
    snprintf(admin->endpoint, sizeof admin->endpoint, "%s", endpoint);
    int rc = dpc_net_create(&admin->net, err);
    if (rc == DPC_OK)
        rc = dpc_link_open(admin->net, DPC_CHANNEL_ADMIN, endpoint, NULL, NULL, &admin->link, err);
    if (rc != DPC_OK) {
        dpc_admin_close(admin);
        return rc;
    }
    *ret_admin = admin;
    return DPC_OK;
}

struct dpc_admin *
dpc_admin_close(struct dpc_admin *admin)
{
    if (!admin)
        return NULL;
    dpc_link_close(admin->link);
    dpc_net_destroy(admin->net);
    return dpc_free(admin);
}

struct dpc_link *
dpc_admin_link(struct dpc_admin *admin)
{
    return admin->link;
}

int
dpc_admin_send(struct dpc_admin *admin, const char *verb, const char *argument, const char *after,
               struct dpc_error *err)
{
    struct dpc_msg msg = {
        .type = DPC_MSG_ADMIN_REQUEST,
        .request = ++admin->request,
        .admin_request = {.verb = verb, .argument = argument, .after = after},
    };
    int rc = dpc_link_send(admin->link, &msg);
    if (rc != DPC_OK)
        return dpc_error_set(err, rc, "could not ask the coordinator at %s: %s", admin->endpoint,
                             dpc_error_words(rc));
    return DPC_OK;
}

static int
read_reply(const struct dpc_msg_admin_reply *reply, struct dpc_json **ret_json, char *ret_next,
           struct dpc_error *err)
{
    if (reply->code != DPC_OK)
        return dpc_error_set(err, reply->code, "the coordinator refused: %s",
                             reply->text && *reply->text ? reply->text
                                                         : dpc_error_words(reply->code));
    struct dpc_json *json = NULL;
    const char *text = reply->json ? reply->json : "";
    int rc = dpc_json_parse(text, strlen(text), &json, err);
    if (rc != DPC_OK)
        return dpc_error_prefix(err, rc, "the coordinator's answer");
    if (ret_next)
        snprintf(ret_next, DPC_NAME_MAX, "%s", reply->next ? reply->next : "");
    *ret_json = json;
    return DPC_OK;
}

int
dpc_admin_receive(struct dpc_admin *admin, struct dpc_json **ret_json, char *ret_next,
                  struct dpc_error *err)
{
    for (;;) {
        struct dpc_msg msg;
        int rc = dpc_link_receive(admin->link, &msg, err);
        if (rc != DPC_OK)
            return rc;
        if (msg.request != admin->request)
            continue;
        if (msg.type == DPC_MSG_ADMIN_REPLY)
            return read_reply(&msg.admin_reply, ret_json, ret_next, err);
        if (msg.type == DPC_MSG_ERROR)
            return dpc_error_set(err, msg.error.code ? msg.error.code : DPC_EPROTO,
                                 "the coordinator refused: %s",
                                 msg.error.text ? msg.error.text : "no reason given");
    }
}

static int
no_answer(const struct dpc_admin *admin, int64_t timeout_ms, struct dpc_error *err)
{
    return dpc_error_set(err, DPC_ETIMEDOUT,
                         "no coordinator answered at %s within %.1f s: it may not be running, or "
                         "--admin or --dir names another place",
                         admin->endpoint, (double)timeout_ms / 1000);
}

/* Waits for something on the link, or for `wait_ms`; false when the deadline is over. Whatever
 * ended the wait, the next turn finds out. */
static bool
wait_a_turn(struct dpc_admin *admin, int64_t deadline, int64_t wait_ms)
{
    int64_t left = deadline - dpc_clock_now_ms(&dpc_clock_system);
    struct dpc_poll_item item = {.link = admin->link, .fd = -1};
    if (left <= 0)
        return false;
    (void)!dpc_channel_poll(&item, 1, left < wait_ms ? left : wait_ms);
    return true;
}

/* Sends as soon as there is a connection, then waits for the answer. */
static int
ask_page(struct dpc_admin *admin, const char *verb, const char *argument, const char *after,
         int64_t timeout_ms, struct dpc_json **ret_json, char *ret_next, struct dpc_error *err)
{
    int64_t deadline = dpc_clock_now_ms(&dpc_clock_system) + timeout_ms;
    int rc;
    while ((rc = dpc_admin_send(admin, verb, argument, after, err)) == DPC_EAGAIN) {
        if (!wait_a_turn(admin, deadline, CONNECT_TURN_MS))
            return no_answer(admin, timeout_ms, err);
    }
    if (rc != DPC_OK)
        return rc;
    while ((rc = dpc_admin_receive(admin, ret_json, ret_next, err)) == DPC_EAGAIN) {
        if (!wait_a_turn(admin, deadline, timeout_ms))
            return no_answer(admin, timeout_ms, err);
    }
    return rc;
}

int
dpc_admin_ask(struct dpc_admin *admin, const char *verb, const char *argument, int64_t timeout_ms,
              struct dpc_json **ret_json, struct dpc_error *err)
{
    return ask_page(admin, verb, argument, "", timeout_ms, ret_json, NULL, err);
}

int
dpc_admin_list(struct dpc_admin *admin, const char *verb, const char *argument, const char *after,
               struct dpc_json **ret_json, struct dpc_error *err)
{
    struct dpc_json *rows = dpc_json_array();
    char next[DPC_NAME_MAX];
    snprintf(next, sizeof next, "%s", after);
    int rc = DPC_OK;
    uint32_t pages = 0;
    do {
        struct dpc_json *page = NULL;
        rc = ask_page(admin, verb, argument, next, DPC_ADMIN_TIMEOUT_MS, &page, next, err);
        if (rc == DPC_OK)
            dpc_json_append_all(rows, dpc_json_get(page, verb));
        dpc_json_destroy(page);
        if (rc == DPC_OK && ++pages > ADMIN_PAGES_MAX)
            rc = dpc_error_set(err, DPC_ELIMIT, "the coordinator's listing does not end");
    } while (rc == DPC_OK && *next);
    if (rc != DPC_OK) {
        dpc_json_destroy(rows);
        return rc;
    }
    *ret_json = dpc_json_object();
    dpc_json_set(*ret_json, verb, rows);
    return DPC_OK;
}

int
dpc_admin_pause(struct dpc_admin *admin, struct dpc_error *err)
{
    struct dpc_poll_item item = {.link = admin->link, .fd = -1};
    int rc = dpc_channel_poll(&item, 1, ASK_AGAIN_MS);
    if (rc != DPC_OK && rc != DPC_EAGAIN)
        return dpc_error_set(err, rc, "could not wait: %s", dpc_error_words(rc));
    return DPC_OK;
}

/* What the coordinator did may have come to an error. */
static int
take_end(struct dpc_json *state, struct dpc_json **ret_state, struct dpc_error *err)
{
    int rc = (int)dpc_json_integer(dpc_json_get(state, "code"), DPC_OK);
    if (rc == DPC_OK) {
        *ret_state = state;
        return DPC_OK;
    }
    rc = dpc_error_set(err, rc, "%s", dpc_json_text(dpc_json_get(state, "error"), ""));
    dpc_json_destroy(state);
    return rc;
}

static int
wait_for_end(struct dpc_admin *admin, const char *state_verb, int64_t number, const char *restarted,
             struct dpc_json **ret_state, struct dpc_error *err)
{
    for (;;) {
        struct dpc_json *state = NULL;
        int rc = dpc_admin_ask(admin, state_verb, "", DPC_ADMIN_TIMEOUT_MS, &state, err);
        if (rc != DPC_OK)
            return rc;
        if (dpc_json_integer(dpc_json_get(state, "number"), 0) != number) {
            dpc_json_destroy(state);
            return dpc_error_set(err, DPC_ESTALE, "the coordinator was started again meanwhile%s",
                                 restarted);
        }
        if (!dpc_json_bool(dpc_json_get(state, "running"), false))
            return take_end(state, ret_state, err);
        dpc_json_destroy(state);
        rc = dpc_admin_pause(admin, err);
        if (rc != DPC_OK)
            return rc;
    }
}

int
dpc_admin_run(struct dpc_admin *admin, const char *verb, const char *argument,
              const char *restarted, struct dpc_json **ret_state, struct dpc_error *err)
{
    char state_verb[DPC_NAME_MAX];
    struct dpc_json *begun = NULL;
    int rc = dpc_admin_ask(admin, verb, argument, DPC_ADMIN_TIMEOUT_MS, &begun, err);
    if (rc != DPC_OK)
        return rc;
    int64_t number = dpc_json_integer(dpc_json_get(begun, "number"), 0);
    dpc_json_destroy(begun);
    snprintf(state_verb, sizeof state_verb, "%s-state", verb);
    return wait_for_end(admin, state_verb, number, restarted, ret_state, err);
}
