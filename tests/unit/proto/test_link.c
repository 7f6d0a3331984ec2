/* SPDX-License-Identifier: Apache-2.0
 * A link through a middle that breaks its connections, over the loopback. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/channel.h"
#include "tests/unit/harness.h"

enum { DEADLINE_MS = 60 * 1000, STEP_MS = 5 };

static struct dpc_error err;

/* Takes one connection at a time and passes on what comes. */
struct middle {
    int listening, near, far; /* -1: there is none */
    uint16_t port;            /* of the listener behind it */
};

static int
open_socket(struct sockaddr_in *ret_address, uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0);
    *ret_address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return fd;
}

static void
open_middle(struct middle *middle, const char *behind, char *ret_endpoint, size_t size)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    *middle = (struct middle){.near = -1, .far = -1};
    middle->port = (uint16_t)strtol(strrchr(behind, ':') + 1, NULL, 10);
    middle->listening = open_socket(&address, 0);
    CU_ASSERT_EQUAL_FATAL(bind(middle->listening, (struct sockaddr *)&address, len), 0);
    CU_ASSERT_EQUAL_FATAL(listen(middle->listening, 8), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(middle->listening, (struct sockaddr *)&address, &len), 0);
    (void)fcntl(middle->listening, F_SETFL, O_NONBLOCK);
    (void)snprintf(ret_endpoint, size, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
}

static void
break_off(struct middle *middle)
{
    if (middle->near >= 0)
        close(middle->near);
    if (middle->far >= 0)
        close(middle->far);
    middle->near = middle->far = -1;
}

static void
take(struct middle *middle)
{
    struct sockaddr_in address;
    int fd = accept(middle->listening, NULL, NULL);
    if (fd < 0)
        return;
    break_off(middle);
    middle->near = fd;
    middle->far = open_socket(&address, middle->port);
    CU_ASSERT_EQUAL(connect(middle->far, (struct sockaddr *)&address, sizeof address), 0);
}

static void
pass_on(int from, int to)
{
    char bytes[4096];
    ssize_t len = from < 0 ? 0 : recv(from, bytes, sizeof bytes, MSG_DONTWAIT);
    if (len > 0)
        CU_ASSERT_EQUAL(send(to, bytes, (size_t)len, MSG_NOSIGNAL), len);
}

static int64_t
now(void)
{
    return dpc_clock_now_ms(&dpc_clock_system);
}

/* Until that many connections have stood, each of which is broken off at once. */
static void
break_each(struct middle *middle, struct dpc_link *link, uint64_t count)
{
    uint64_t broken = 0;
    for (int64_t end = now() + DEADLINE_MS; broken < count && now() < end;) {
        struct dpc_poll_item item = {.link = link, .fd = -1};
        (void)!dpc_channel_poll(&item, 1, STEP_MS);
        take(middle);
        pass_on(middle->near, middle->far);
        pass_on(middle->far, middle->near);
        if (dpc_link_epoch(link) > broken) {
            broken++;
            break_off(middle);
        }
    }
    CU_ASSERT_EQUAL(broken, count);
}

/* A middle that breaks off at the first large frame would be sent it again and again, as fast as
 * connections can be made. */
static void
connections_that_break_at_once_are_made_more_slowly(void)
{
    enum { COUNT = 5, LEAST_MS = 125 + 250 + 500 + 1000 };
    struct dpc_net *server, *client;
    struct dpc_keypair server_keys, worker_keys;
    struct dpc_listener *listener;
    struct dpc_link *link;
    struct middle middle;
    char endpoint[64];
    dpc_keypair_generate(&server_keys);
    dpc_keypair_generate(&worker_keys);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&server, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&client, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_net_authorize(server, &worker_keys.public_key, DPC_ROLE_WORKER), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_listener_open(server, DPC_CHANNEL_BULK, "tcp://127.0.0.1:*",
                                            &server_keys, &listener, &err),
                          DPC_OK);
    open_middle(&middle, dpc_listener_endpoint(listener), endpoint, sizeof endpoint);
    CU_ASSERT_EQUAL_FATAL(dpc_link_open(client, DPC_CHANNEL_BULK, endpoint, &worker_keys,
                                        &server_keys.public_key, &link, &err),
                          DPC_OK);
    int64_t begun_ms = now();
    break_each(&middle, link, COUNT);
    CU_ASSERT(now() - begun_ms >= LEAST_MS);
    break_off(&middle);
    close(middle.listening);
    dpc_link_close(link);
    dpc_listener_close(listener);
    dpc_net_destroy(client);
    dpc_net_destroy(server);
}

static const struct dpc_test tests[] = {
    {"connections that break at once are made more slowly",
     connections_that_break_at_once_are_made_more_slowly},
};
DPC_TEST_MAIN("proto/link", tests)
