/* SPDX-License-Identifier: Apache-2.0
 * Against a coordinator of four answers, which runs in a thread. */
#include "cli/admin.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/harness.h"

static char folder[] = "/tmp/dipaco-test-XXXXXX";
static char endpoint[64];
static atomic_bool over;
static pthread_t thread;

/* What the fake says to a request; `next` "" at the end. */
static struct dpc_msg_admin_reply
answer(const struct dpc_msg_admin_request *request)
{
    if (strcmp(request->verb, "paths") == 0 && strcmp(request->after, "") == 0)
        return (struct dpc_msg_admin_reply){
            .json = "{\"paths\":[{\"path\":\"0\"},{\"path\":\"1\"}]}", .next = "2"};
    if (strcmp(request->verb, "paths") == 0 && strcmp(request->after, "2") == 0)
        return (struct dpc_msg_admin_reply){.json = "{\"paths\":[{\"path\":\"2\"}]}"};
    if (strcmp(request->verb, "status") == 0)
        return (struct dpc_msg_admin_reply){.json = "{\"phase\":\"train\"}"};
    if (strcmp(request->verb, "garbage") == 0)
        return (struct dpc_msg_admin_reply){.json = "{\"phase\":"};
    return (struct dpc_msg_admin_reply){.code = DPC_ENOTFOUND, .text = "no such thing"};
}

/* "silence" is a verb that gets no answer. */
static void *
coordinate(void *context)
{
    struct dpc_listener *listener = context;
    while (!atomic_load(&over)) {
        struct dpc_poll_item item = {.listener = listener, .fd = -1};
        struct dpc_peer peer;
        struct dpc_msg msg;
        if (dpc_channel_poll(&item, 1, 20) != DPC_OK ||
            dpc_listener_receive(listener, &peer, &msg, NULL) != DPC_OK ||
            strcmp(msg.admin_request.verb, "silence") == 0)
            continue;
        struct dpc_msg reply = {.type = DPC_MSG_ADMIN_REPLY,
                                .request = msg.request,
                                .admin_reply = answer(&msg.admin_request)};
        if (dpc_listener_send(listener, &peer, &reply) != DPC_OK)
            break;
    }
    return NULL;
}

static struct dpc_net *net;
static struct dpc_listener *listener;
static struct dpc_admin *admin;

static void
test_open(void)
{
    struct dpc_error err = {0};
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(endpoint, sizeof endpoint, "ipc://%s/sock", folder);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&net, &err), DPC_OK);
    int rc = dpc_listener_open(net, DPC_CHANNEL_ADMIN, endpoint, NULL, &listener, &err);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    CU_ASSERT_EQUAL_FATAL(rc, DPC_OK);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, coordinate, listener), 0);
    CU_ASSERT_EQUAL_FATAL(dpc_admin_open(endpoint, &admin, &err), DPC_OK);
    struct dpc_admin *none = NULL;
    CU_ASSERT_EQUAL(dpc_admin_open("tcp://localhost:1", &none, &err), DPC_EINVAL);
}

static void
test_ask(void)
{
    struct dpc_error err = {0};
    struct dpc_json *status = NULL;
    CU_ASSERT_EQUAL(dpc_admin_ask(admin, "status", "", 20000, &status, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(status, "phase"), ""), "train");
    dpc_json_destroy(status);
}

static void
test_pages(void)
{
    struct dpc_error err = {0};
    struct dpc_json *reply = NULL;
    CU_ASSERT_EQUAL(dpc_admin_list(admin, "paths", "", "", &reply, &err), DPC_OK);
    const struct dpc_json *paths = dpc_json_get(reply, "paths");
    CU_ASSERT_EQUAL(dpc_json_count(paths), 3);
    CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_get(dpc_json_at(paths, 2), "path"), ""), "2");
    dpc_json_destroy(reply);
}

static void
test_refusals(void)
{
    struct dpc_error err = {0};
    struct dpc_json *reply = NULL;
    CU_ASSERT_EQUAL(dpc_admin_list(admin, "nonsense", "", "", &reply, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no such thing"));
    CU_ASSERT_EQUAL(dpc_admin_ask(admin, "garbage", "", 20000, &reply, &err), DPC_EPARSE);
    CU_ASSERT_PTR_NULL(reply);
}

static void
test_silence(void)
{
    struct dpc_error err = {0};
    struct dpc_json *reply = NULL;
    CU_ASSERT_EQUAL(dpc_admin_ask(admin, "silence", "", 50, &reply, &err), DPC_ETIMEDOUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, endpoint));
    /* A late answer to that would not be taken for the answer to this. */
    CU_ASSERT_EQUAL(dpc_admin_ask(admin, "status", "", 20000, &reply, &err), DPC_OK);
    dpc_json_destroy(reply);
}

static void
test_close(void)
{
    dpc_admin_close(admin);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    dpc_listener_close(listener);
    dpc_net_destroy(net);
    unlink(endpoint + strlen("ipc://"));
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static const struct dpc_test tests[] = {
    {"a coordinator of four answers", test_open}, {"one question", test_ask},
    {"pages are followed", test_pages},           {"refusals and garbage", test_refusals},
    {"no answer in time", test_silence},          {"the end", test_close},
};
DPC_TEST_MAIN("cli/admin", tests)
