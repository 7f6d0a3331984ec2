/* SPDX-License-Identifier: Apache-2.0
 * Channels in a process that has no descriptor or no memory left, and of those who would take it.
 */
#include "proto/channel.h"

#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "base/limits.h"
#include "proto/accept.h"
#include "proto/inflow.h"
#include "proto/outflow.h"
#include "proto/pollable.h"
#include "tests/unit/harness.h"
#include "tests/unit/proto/place.h"
#include "tests/unit/proto/samples.h"

/* In the place of libzmq's own, also for libzmq itself: the so many-th frame of this thread from
 * here on finds no memory. */
static _Thread_local int frames_until_none;

int
zmq_msg_init_size(zmq_msg_t *frame, size_t len)
{
    int (*real)(zmq_msg_t *, size_t) =
        (int (*)(zmq_msg_t *, size_t))dlsym(RTLD_NEXT, "zmq_msg_init_size");
    if (frames_until_none && --frames_until_none == 0) {
        errno = ENOMEM;
        return -1;
    }
    return real(frame, len);
}

/* A part of it was sent, and the next message was taken for the rest: other bytes for a blob, or an
 * answer that another worker got. */
static void
a_message_that_finds_no_memory_is_not_sent_in_part(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg sent, got, next;
    static uint8_t body[1000];
    memset(body, 7, sizeof body);
    open_place(&place, DPC_CHANNEL_BULK);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_BULK);
    dpc_sample(DPC_MSG_PUT, DPC_SAMPLE_FULL, &sent);
    sent.body = body;
    sent.body_len = sizeof body;
    CU_ASSERT_EQUAL_FATAL(send_soon(place.link, &sent), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    dpc_sample(DPC_MSG_FETCH, DPC_SAMPLE_FULL, &next);
    for (int frame = 1; frame <= 2; frame++) {
        frames_until_none = frame;
        CU_ASSERT_EQUAL(dpc_link_send(place.link, &sent), DPC_ENOMEM);
        CU_ASSERT_EQUAL(send_soon(place.link, &next), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(listener_receive(place.listener, &peer, &got), DPC_OK);
        CU_ASSERT_EQUAL(got.type, DPC_MSG_FETCH);
    }
    sent.type = DPC_MSG_CHUNK;
    for (int frame = 1; frame <= 3; frame++) {
        frames_until_none = frame;
        CU_ASSERT_EQUAL(dpc_listener_send(place.listener, &peer, &sent), DPC_ENOMEM);
        sent.body_len = (size_t)frame;
        CU_ASSERT_EQUAL(dpc_listener_send(place.listener, &peer, &sent), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(link_receive(place.link, &got), DPC_OK);
        CU_ASSERT_EQUAL(got.type, DPC_MSG_CHUNK);
        CU_ASSERT_EQUAL(got.body_len, sent.body_len);
    }
    close_place(&place);
}

/* Until the link has made another connection, or not. */
static bool
ends_connection(struct dpc_link *link)
{
    uint64_t epoch = dpc_link_epoch(link);
    int64_t end = now() + DEADLINE_MS;
    while (dpc_link_epoch(link) == epoch && now() < end)
        wait_a_little(NULL, link);
    return dpc_link_epoch(link) > epoch;
}

/* It was gathered until no memory was left: libzmq's high-water marks count whole messages. */
static void
a_message_without_an_end_ends_its_connection(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg sent, got;
    static uint8_t frame[DPC_CONTROL_BYTES_MAX];
    uint64_t ended = dpc_inflow_ended();
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_CONTROL);
    dpc_sample(DPC_MSG_HELLO, DPC_SAMPLE_FULL, &sent);
    CU_ASSERT_EQUAL_FATAL(send_soon(place.link, &sent), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    for (size_t bytes = 0; bytes <= DPC_UNTAKEN_BYTES_MAX; bytes += sizeof frame)
        zmq_send(dpc_link_socket(place.link), frame, sizeof frame, ZMQ_SNDMORE);
    zmq_send(dpc_link_socket(place.link), "end", 3, 0);
    CU_ASSERT_TRUE(ends_connection(place.link));
    CU_ASSERT_EQUAL(dpc_inflow_ended(), ended + 1);
    CU_ASSERT_EQUAL(dpc_listener_receive(place.listener, &peer, &got, &err), DPC_EAGAIN);
    CU_ASSERT_EQUAL_FATAL(send_soon(place.link, &sent), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    close_place(&place);
}

/* The same for a worker, whose owner said how much memory it may take. */
static void
a_coordinators_message_without_an_end_ends_the_connection(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg sent, got;
    static uint8_t frame[DPC_CONTROL_BYTES_MAX];
    uint64_t ended = dpc_inflow_ended();
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_CONTROL);
    dpc_sample(DPC_MSG_HELLO, DPC_SAMPLE_FULL, &sent);
    CU_ASSERT_EQUAL_FATAL(send_soon(place.link, &sent), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    void *socket = dpc_listener_socket(place.listener);
    zmq_send(socket, peer.routing_id, peer.routing_len, ZMQ_SNDMORE);
    for (size_t bytes = 0; bytes <= DPC_UNTAKEN_BYTES_MAX; bytes += sizeof frame)
        zmq_send(socket, frame, sizeof frame, ZMQ_SNDMORE);
    zmq_send(socket, "end", 3, 0);
    CU_ASSERT_TRUE(ends_connection(place.link));
    CU_ASSERT_EQUAL(dpc_inflow_ended(), ended + 1);
    CU_ASSERT_EQUAL(dpc_link_receive(place.link, &got, &err), DPC_EAGAIN);
    close_place(&place);
}

/* However much a connection brings: what is taken is not held against it. */
static void
a_long_transfer_keeps_its_connection(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg sent, got;
    static uint8_t body[DPC_CHUNK_BYTES_MAX];
    uint64_t ended = dpc_inflow_ended();
    open_place(&place, DPC_CHANNEL_BULK);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_BULK);
    dpc_sample(DPC_MSG_PUT, DPC_SAMPLE_FULL, &sent);
    sent.body = body;
    sent.body_len = sizeof body;
    for (uint64_t bytes = 0; bytes <= 2 * DPC_UNTAKEN_BYTES_MAX; bytes += sizeof body) {
        CU_ASSERT_EQUAL_FATAL(send_soon(place.link, &sent), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    }
    CU_ASSERT_EQUAL(dpc_inflow_ended(), ended);
    CU_ASSERT_EQUAL(dpc_link_epoch(place.link), 1);
    close_place(&place);
}

/* Whoever asks dipaco serve for much over one connection sends no message of ours. */
static void
what_comes_to_a_web_server_is_not_counted(void)
{
    static char bytes[DPC_CONTROL_BYTES_MAX];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), from = socket(AF_INET, SOCK_STREAM, 0);
    CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&address, len), 0);
    CU_ASSERT_EQUAL_FATAL(listen(listener, 1), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    dpc_inflow_let_be(listener);
    CU_ASSERT_EQUAL_FATAL(connect(from, (struct sockaddr *)&address, len), 0);
    int to = accept4(listener, NULL, NULL, 0);
    ssize_t got = to < 0 ? -1 : 1;
    for (size_t all = 0; got > 0 && all <= DPC_UNTAKEN_BYTES_MAX; all += sizeof bytes) {
        CU_ASSERT_EQUAL_FATAL(send(from, bytes, sizeof bytes, 0), sizeof bytes);
        got = recv(to, bytes, sizeof bytes, MSG_WAITALL);
    }
    CU_ASSERT_EQUAL(got, sizeof bytes);
    close(to);
    close(from);
    close(listener);
}

/* A worker with hundreds of connections that reads from none had 32 MiB gathered for each. */
static void
who_does_not_read_gets_no_more_in_a_crowd(void)
{
    enum { CROWD = 60000, PIECE = DPC_CHUNK_BYTES_MAX, SMALL = 100, SENT = 32 * 1024 };
    static char bytes[SENT], read_bytes[SENT];
    int fds[2];
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    dpc_outflow_begin(CROWD);
    dpc_outflow_begin(fds[0]);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_TRUE(dpc_outflow_add(fds[0], PIECE)); /* alone it may */
    dpc_outflow_undo(fds[0], 3 * (uint64_t)PIECE);
    CU_ASSERT_TRUE(dpc_outflow_add(CROWD, DPC_UNSENT_ALL_BYTES_MAX));
    for (uint64_t all = 0; all < DPC_UNSENT_CROWD_BYTES_MAX; all += PIECE)
        CU_ASSERT_TRUE(dpc_outflow_add(fds[0], PIECE));
    CU_ASSERT_FALSE(dpc_outflow_add(fds[0], PIECE));
    CU_ASSERT_FALSE(dpc_outflow_add(CROWD, PIECE));
    CU_ASSERT_TRUE(dpc_outflow_add(fds[0], SMALL));
    for (int sent = 0; sent < PIECE + SMALL; sent += SENT) {
        CU_ASSERT_EQUAL_FATAL(send(fds[0], bytes, SENT, 0), SENT);
        CU_ASSERT_EQUAL_FATAL(recv(fds[1], read_bytes, SENT, MSG_WAITALL), SENT);
    }
    CU_ASSERT_TRUE(dpc_outflow_add(fds[0], PIECE)); /* a piece of it has gone */
    CU_ASSERT_FALSE(dpc_outflow_add(fds[0], PIECE));
    dpc_outflow_end(CROWD);
    CU_ASSERT_TRUE(dpc_outflow_add(fds[0], PIECE));
    dpc_outflow_end(fds[0]);
    close(fds[0]);
    close(fds[1]);
}

/* Nobody may open anything any more; returns what was allowed. */
static struct rlimit
use_up_descriptors(rlim_t left)
{
    struct rlimit before, none;
    int first = dup(0);
    close(first);
    CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)first + left, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    return before;
}

static bool
is_turned_away(int fd)
{
    char byte;
    struct pollfd end = {.fd = fd, .events = POLLIN};
    return poll(&end, 1, DEADLINE_MS) == 1 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

/* libzmq aborts where a local connection comes and there is no descriptor for it. */
static void
an_admin_without_a_descriptor_is_turned_away(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg sent, got;
    open_admin(&place);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", admin_path);
    int first = socket(AF_UNIX, SOCK_STREAM, 0), second = socket(AF_UNIX, SOCK_STREAM, 0);
    uint64_t before = dpc_accept_turned_away();
    struct rlimit limit = use_up_descriptors(0);
    CU_ASSERT_EQUAL(connect(first, (struct sockaddr *)&address, sizeof address), 0);
    CU_ASSERT(is_turned_away(first));
    CU_ASSERT_EQUAL(connect(second, (struct sockaddr *)&address, sizeof address), 0);
    CU_ASSERT(is_turned_away(second));
    CU_ASSERT_EQUAL(dpc_accept_turned_away(), before + 2);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CU_ASSERT_EQUAL_FATAL(dpc_link_open(place.client, DPC_CHANNEL_ADMIN, admin_endpoint, NULL, NULL,
                                        &place.link, &err),
                          DPC_OK);
    dpc_sample(DPC_MSG_ADMIN_REQUEST, DPC_SAMPLE_FULL, &sent);
    CU_ASSERT_EQUAL(send_soon(place.link, &sent), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    close(first);
    close(second);
    close_place(&place);
    (void)unlink(admin_path);
}

/* Files are opened while workers crowd in. */
static void
the_last_descriptors_are_no_workers(void)
{
    struct place place;
    struct sockaddr_in address = {.sin_family = AF_INET};
    open_place(&place, DPC_CHANNEL_CONTROL);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const char *endpoint = dpc_listener_endpoint(place.listener);
    address.sin_port = htons((uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    struct rlimit limit = use_up_descriptors(2);
    CU_ASSERT_EQUAL(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    CU_ASSERT(is_turned_away(client));
    int file = dup(0);
    CU_ASSERT(file >= 0);
    close(file);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(client);
    close_place(&place);
}

static const struct dpc_test tests[] = {
    {"a message that finds no memory is not sent in part",
     a_message_that_finds_no_memory_is_not_sent_in_part},
    {"a message without an end ends its connection", a_message_without_an_end_ends_its_connection},
    {"a coordinator's message without an end ends the connection",
     a_coordinators_message_without_an_end_ends_the_connection},
    {"a long transfer keeps its connection", a_long_transfer_keeps_its_connection},
    {"what comes to a web server is not counted", what_comes_to_a_web_server_is_not_counted},
    {"who does not read gets no more in a crowd", who_does_not_read_gets_no_more_in_a_crowd},
    {"an admin without a descriptor is turned away", an_admin_without_a_descriptor_is_turned_away},
    {"the last descriptors are no worker's", the_last_descriptors_are_no_workers},
};

int
main(void)
{
    place_admin_endpoint();
    return dpc_test_run("proto/shortage", tests, sizeof tests / sizeof *tests);
}
