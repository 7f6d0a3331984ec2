/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loopback.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/harness.h"

static void
addresses_of_this_machine_alone_are_taken(void)
{
    static const char *const good[] = {"127.0.0.1:7602", "127.0.0.1:0", "127.200.3.4:65535",
                                       "[::1]:7602", "localhost:7602"};
    static const char *const bad[] = {"",
                                      "7602",
                                      ":7602",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:+1",
                                      "127.0.0.1: 1",
                                      "127.0.0.1:1x",
                                      "127.1:7602",
                                      "[127.0.0.1]:7602",
                                      "::1:7602",
                                      "[::1:7602",
                                      "[::1]7602",
                                      "[::1]",
                                      "localhost"};
    static const char *const open_to_all[] = {
        "0.0.0.0:7602",   "*:7602",     "[::]:7602",      "10.0.0.1:7602",
        "128.0.0.1:7602", "[::2]:7602", "example.org:80", "[::ffff:127.0.0.1]:7602"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CU_ASSERT_EQUAL(dpc_loopback_check(good[i], NULL), DPC_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT_EQUAL(dpc_loopback_check(bad[i], NULL), DPC_EINVAL);
    for (size_t i = 0; i < sizeof open_to_all / sizeof *open_to_all; i++) {
        struct dpc_error err = {0};
        CU_ASSERT_EQUAL(dpc_loopback_check(open_to_all[i], &err), DPC_EINVAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, open_to_all[i]));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ssh -L or a reverse proxy"));
    }
}

static void
hosts_of_this_machine_alone_are_taken(void)
{
    static const char *const ours[] = {"localhost",      "LOCALHOST:1", "127.0.0.1",
                                       "127.9.9.9:7602", "[::1]",       "[::1]:7602"};
    static const char *const others[] = {"",
                                         "evil.example",
                                         "evil.example:7602",
                                         "localhost.evil.example",
                                         "localhost.evil.example:7602",
                                         "127.0.0.1.evil.example",
                                         "127.0.0.1@evil.example",
                                         "localhost:7602@evil.example",
                                         "evil.example#localhost",
                                         "10.0.0.1:7602",
                                         "0.0.0.0",
                                         "[::]",
                                         "[::1]evil.example",
                                         "[::1",
                                         "[localhost]",
                                         "2130706433",
                                         "localhost:",
                                         "localhost:port"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        CU_ASSERT_TRUE(dpc_loopback_is_host(ours[i]));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CU_ASSERT_FALSE(dpc_loopback_is_host(others[i]));
}

static void
a_port_in_use_is_told_with_the_way_out(void)
{
    char url[DPC_ENDPOINT_MAX], address[DPC_ENDPOINT_MAX];
    struct dpc_error err = {0};
    int fd, other;
    CU_ASSERT_EQUAL_FATAL(dpc_loopback_listen("127.0.0.1:0", 4, &fd, &err), DPC_OK);
    dpc_loopback_url(fd, url);
    CU_ASSERT_EQUAL_FATAL(sscanf(url, "http://%100[0-9.:]/", address), 1);
    CU_ASSERT_EQUAL(dpc_loopback_listen(address, 4, &other, &err), DPC_EBUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, address));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "port 0 picks one"));
    (void)close(fd);
}

static const struct dpc_test tests[] = {
    {"addresses of this machine alone are taken", addresses_of_this_machine_alone_are_taken},
    {"hosts of this machine alone are taken", hosts_of_this_machine_alone_are_taken},
    {"a port in use is told with the way out", a_port_in_use_is_told_with_the_way_out},
};
DPC_TEST_MAIN("base/loopback", tests)
