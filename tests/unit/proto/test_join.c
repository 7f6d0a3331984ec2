/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/join.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/harness.h"

static struct dpc_error err;

static struct dpc_join
sample(const char *endpoint)
{
    struct dpc_join join = {0};
    (void)snprintf(join.coordinator.endpoint, sizeof join.coordinator.endpoint, "%s", endpoint);
    for (int i = 0; i < DPC_KEY_BYTES; i++) {
        join.coordinator.key.bytes[i] = (uint8_t)(7 * i + 1);
        join.secret_key.bytes[i] = (uint8_t)(255 - 5 * i);
    }
    return join;
}

static void
a_string_comes_back(void)
{
    static const char *const endpoints[] = {"tcp://trainer.example.org:7600", "tcp://10.0.0.7:1",
                                            "tcp://[2001:db8::1]:65535"};
    char text[DPC_JOIN_TEXT_MAX];
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        struct dpc_join join = sample(endpoints[i]), read;
        CU_ASSERT_EQUAL_FATAL(dpc_join_print(&join, text, &err), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(dpc_join_parse(text, &read, &err), DPC_OK);
        CU_ASSERT_STRING_EQUAL(read.coordinator.endpoint, endpoints[i]);
        CU_ASSERT(dpc_key_equal(&read.coordinator.key, &join.coordinator.key));
        CU_ASSERT(dpc_key_equal(&read.secret_key, &join.secret_key));
    }
}

/* Strings that were given out must be read by every later release. The payload was put together by
 * another program: python3 -c 'import base64,hashlib; p=bytes([1])+bytes((7*i+1)%256 for i in
 * range(32))+bytes((255-5*i)%256 for i in range(32)); print(base64.urlsafe_b64encode(
 * p+hashlib.sha256(b"trainer.example.org:7600"+p).digest()[:4]).decode())' */
static void
the_form_is_what_it_was(void)
{
    static const char expected[] = "dipaco://trainer.example.org:7600/"
                                   "AQEIDxYdJCsyOUBHTlVcY2pxeH-GjZSboqmwt77FzNPa__"
                                   "r18Ovm4dzX0s3Iw765tK-qpaCblpGMh4J9eHNuaWRV7p4o";
    struct dpc_join join = sample("tcp://trainer.example.org:7600");
    char text[DPC_JOIN_TEXT_MAX];
    CU_ASSERT_EQUAL_FATAL(dpc_join_print(&join, text, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(text, expected);
}

static void
a_changed_or_lost_character_is_seen(void)
{
    struct dpc_join join = sample("tcp://trainer.example.org:7600"), read;
    char text[DPC_JOIN_TEXT_MAX], changed[DPC_JOIN_TEXT_MAX];
    CU_ASSERT_EQUAL_FATAL(dpc_join_print(&join, text, &err), DPC_OK);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        memcpy(changed, text, len + 1);
        changed[i] = text[i] == 'x' ? 'y' : 'x';
        CU_ASSERT_NOT_EQUAL(dpc_join_parse(changed, &read, &err), DPC_OK);
        memmove(changed + i, text + i + 1, len - i);
        CU_ASSERT_NOT_EQUAL(dpc_join_parse(changed, &read, &err), DPC_OK);
    }
    (void)snprintf(changed, sizeof changed, "%s \n", text); /* as it is copied */
    CU_ASSERT_EQUAL(dpc_join_parse(changed, &read, &err), DPC_OK);
    (void)snprintf(changed, sizeof changed, "%s \nx", text);
    CU_ASSERT_EQUAL(dpc_join_parse(changed, &read, &err), DPC_EPARSE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "copy it again"));
}

static void
a_newer_form_is_named(void)
{
    struct dpc_join join = sample("tcp://trainer.example.org:7600"), read;
    char text[DPC_JOIN_TEXT_MAX];
    CU_ASSERT_EQUAL_FATAL(dpc_join_print(&join, text, &err), DPC_OK);
    char *payload = strrchr(text, '/') + 1;
    payload[0] = 'B'; /* the upper six bits of the first byte */
    CU_ASSERT_EQUAL(dpc_join_parse(text, &read, &err), DPC_EVERSION);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "form 5"));
}

static void
no_secret_is_in_an_error(void)
{
    struct dpc_join join = sample("tcp://trainer.example.org:7600"), read;
    char text[DPC_JOIN_TEXT_MAX];
    CU_ASSERT_EQUAL_FATAL(dpc_join_print(&join, text, &err), DPC_OK);
    char *payload = strrchr(text, '/') + 1;
    payload[20] = payload[20] == 'x' ? 'y' : 'x';
    CU_ASSERT_EQUAL(dpc_join_parse(text, &read, &err), DPC_EPARSE);
    payload[30] = '\0'; /* a piece of it */
    CU_ASSERT_PTR_NULL(strstr(err.text, payload + 22));
}

static void
garbage_is_refused(void)
{
    static const char *const rows[] = {"",
                                       "dipaco://",
                                       "dipaco:///",
                                       "dipaco://host:7600",
                                       "dipaco://host:7600/",
                                       "tcp://host:7600/AAAA",
                                       "dipaco://host:7600/AAAA/AAAA"};
    struct dpc_join read;
    char text[1000];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CU_ASSERT_EQUAL(dpc_join_parse(rows[i], &read, &err), DPC_EPARSE);
    memset(text, 'h', sizeof text - 1); /* a host that is longer than any endpoint */
    memcpy(text, "dipaco://", 9);
    text[900] = '/';
    text[sizeof text - 1] = '\0';
    CU_ASSERT_EQUAL(dpc_join_parse(text, &read, &err), DPC_EPARSE);
}

/* A string whose check is right, and that nobody could connect with. */
static void
an_endpoint_must_be_one(void)
{
    static const char *const rows[] = {"ipc:///run/socket", "tcp://host",      "tcp://host:0",
                                       "tcp://*:*",         "tcp://*:7600",    "tcp://0.0.0.0:1",
                                       "tcp://[::]:1",      "tcp://h/x:7600",  "tcp://a b:7600",
                                       "tcp://eth0;x:7600", "tcp://[::1:7600", "tcp://[zz]:7600"};
    char text[DPC_JOIN_TEXT_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dpc_join join = sample(rows[i]);
        CU_ASSERT_EQUAL(dpc_join_print(&join, text, &err), DPC_EINVAL);
    }
}

static const struct dpc_test tests[] = {
    {"a string comes back", a_string_comes_back},
    {"the form is what it was", the_form_is_what_it_was},
    {"a changed or lost character is seen", a_changed_or_lost_character_is_seen},
    {"a newer form is named", a_newer_form_is_named},
    {"no secret is in an error", no_secret_is_in_an_error},
    {"garbage is refused", garbage_is_refused},
    {"an endpoint must be one", an_endpoint_must_be_one},
};

DPC_TEST_MAIN("proto/join", tests)
