/* SPDX-License-Identifier: Apache-2.0
 * Real sockets over the loopback. Nothing sleeps: each wait is for a condition, with a deadline. */
#include "proto/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/unit/harness.h"
#include "tests/unit/proto/place.h"
#include "tests/unit/proto/samples.h"

/* Until its own thread has seen to the end of a connection libzmq takes messages for it. */
static bool
takes_nothing_soon(struct dpc_link *link, const struct dpc_msg *msg)
{
    int code = DPC_OK;
    for (int64_t end = now() + DEADLINE_MS; code == DPC_OK && now() < end;) {
        code = dpc_link_send(link, msg);
        if (code == DPC_OK)
            wait_a_little(NULL, link);
    }
    return code == DPC_EAGAIN;
}

static bool
reaches(struct dpc_link *link, enum dpc_link_state state)
{
    int64_t end = now() + DEADLINE_MS;
    while (dpc_link_state(link) != state && now() < end)
        wait_a_little(NULL, link);
    return dpc_link_state(link) == state;
}

static void
a_known_key_is_heard_and_answered(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg sent, got,
        answer = {.type = DPC_MSG_WAIT, .request = 9, .wait = {.retry_ms = 5}};
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_CONTROL);
    dpc_sample(DPC_MSG_HELLO, DPC_SAMPLE_FULL, &sent);
    CU_ASSERT_EQUAL_FATAL(send_soon(place.link, &sent), DPC_OK);
    CU_ASSERT_EQUAL(dpc_link_state(place.link), DPC_LINK_UP);
    CU_ASSERT_EQUAL(dpc_link_epoch(place.link), 1);
    CU_ASSERT_EQUAL_FATAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    CU_ASSERT(dpc_key_equal(&peer.key, &place.worker_keys.public_key));
    CU_ASSERT_EQUAL(peer.role, DPC_ROLE_WORKER);
    CU_ASSERT_STRING_EQUAL(got.hello.name, sent.hello.name);
    CU_ASSERT_EQUAL(dpc_listener_send(place.listener, &peer, &answer), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(link_receive(place.link, &got), DPC_OK);
    CU_ASSERT_EQUAL(got.type, DPC_MSG_WAIT);
    CU_ASSERT_EQUAL(got.request, 9);
    CU_ASSERT_EQUAL(dpc_listener_receive(place.listener, &peer, &got, &err), DPC_EAGAIN);

    struct dpc_traffic traffic = dpc_listener_traffic(place.listener);
    CU_ASSERT_EQUAL(traffic.messages_sent, 1);
    CU_ASSERT_EQUAL(traffic.messages_received, 1);
    CU_ASSERT(traffic.bytes_received > 50);
    CU_ASSERT(traffic.bytes_sent > 0 && traffic.bytes_sent < traffic.bytes_received);
    close_place(&place);
}

static void
bodies_travel_on_bulk_alone(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg sent, got;
    uint8_t *body = dpc_alloc(DPC_CHUNK_BYTES_MAX + 1, 1);
    memset(body, 7, DPC_CHUNK_BYTES_MAX);
    open_place(&place, DPC_CHANNEL_BULK);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_BULK);
    dpc_sample(DPC_MSG_PUT, DPC_SAMPLE_FULL, &sent);
    sent.body = body;
    for (sent.body_len = DPC_CHUNK_BYTES_MAX;; sent.body_len = 0) {
        CU_ASSERT_EQUAL_FATAL(send_soon(place.link, &sent), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(listener_receive(place.listener, &peer, &got), DPC_OK);
        CU_ASSERT_EQUAL(got.body_len, sent.body_len);
        CU_ASSERT(got.body && memcmp(got.body, body, got.body_len) == 0);
        got.type = DPC_MSG_CHUNK; /* the same bytes back */
        CU_ASSERT_EQUAL(dpc_listener_send(place.listener, &peer, &got), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(link_receive(place.link, &got), DPC_OK);
        CU_ASSERT_EQUAL(got.body_len, sent.body_len);
        if (sent.body_len == 0)
            break;
    }
    sent.body_len = DPC_CHUNK_BYTES_MAX + 1;
    CU_ASSERT_EQUAL(dpc_link_send(place.link, &sent), DPC_ELIMIT);
    sent.body = NULL;
    CU_ASSERT_EQUAL(dpc_link_send(place.link, &sent), DPC_EINVAL);
    struct dpc_msg ask = {.type = DPC_MSG_ASK, .body = body, .body_len = 1};
    CU_ASSERT_EQUAL(dpc_link_send(place.link, &ask), DPC_EINVAL);
    close_place(&place);
    dpc_free(body);
}

static void
an_unknown_key_is_turned_away_and_may_come_back(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg ask = {.type = DPC_MSG_ASK}, got;
    open_place(&place, DPC_CHANNEL_CONTROL);
    open_link(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT(reaches(place.link, DPC_LINK_REFUSED));
    CU_ASSERT_EQUAL(dpc_link_send(place.link, &ask), DPC_EAGAIN);
    CU_ASSERT_EQUAL(dpc_listener_receive(place.listener, &peer, &got, &err), DPC_EAGAIN);
    CU_ASSERT_EQUAL(dpc_link_epoch(place.link), 0);
    /* The operator lets it in: the link comes by itself. */
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    CU_ASSERT_EQUAL(send_soon(place.link, &ask), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    CU_ASSERT_EQUAL(got.type, DPC_MSG_ASK);
    close_place(&place);
}

static void
a_wrong_server_key_is_noticed(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg ask = {.type = DPC_MSG_ASK}, got;
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    place.server_keys.public_key = place.worker_keys.public_key;
    open_link(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT(reaches(place.link, DPC_LINK_MISMATCH));
    CU_ASSERT_EQUAL(dpc_link_send(place.link, &ask), DPC_EAGAIN);
    CU_ASSERT_EQUAL(dpc_listener_receive(place.listener, &peer, &got, &err), DPC_EAGAIN);
    close_place(&place);
}

/* An address without brackets is to libzmq what a name with addresses of one family is. */
static void
a_name_of_either_family_is_found(void)
{
    static const struct {
        const char *listens, *format;
    } rows[] = {{"tcp://[::1]:*", "tcp://::1:%s"}, {"tcp://127.0.0.1:*", "tcp://localhost:%s"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct place place;
        char endpoint[64];
        open_place(&place, DPC_CHANNEL_CONTROL);
        dpc_listener_close(place.listener);
        place.listener = NULL;
        if (dpc_listener_open(place.server, DPC_CHANNEL_CONTROL, rows[i].listens,
                              &place.server_keys, &place.listener, &err) == DPC_OK) {
            CU_ASSERT_EQUAL(
                dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                DPC_OK);
            (void)snprintf(endpoint, sizeof endpoint, rows[i].format,
                           strrchr(dpc_listener_endpoint(place.listener), ':') + 1);
            CU_ASSERT_EQUAL_FATAL(dpc_link_open(place.client, DPC_CHANNEL_CONTROL, endpoint,
                                                &place.worker_keys, &place.server_keys.public_key,
                                                &place.link, &err),
                                  DPC_OK);
            CU_ASSERT(reaches(place.link, DPC_LINK_UP));
        } /* else: a machine without IPv6 */
        close_place(&place);
    }
}

/* A listening socket on the loopback that belongs to no program of ours, and its endpoint. */
static int
listen_plainly(char *ret_endpoint, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 8), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(ret_endpoint, size, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

/* The link's next connection; -1: none came. */
static int
accept_plainly(int fd, struct dpc_link *link)
{
    int connection = -1;
    for (int64_t end = now() + DEADLINE_MS; connection < 0 && now() < end;) {
        connection = accept(fd, NULL, NULL);
        if (connection < 0)
            wait_a_little(NULL, link);
    }
    return connection;
}

/* As a web server does, or a proxy while the coordinator behind it is away. */
static void
a_server_of_another_protocol_is_tried_again(void)
{
    static const char greeting[] = "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n";
    struct place place = {.link = NULL};
    char endpoint[64];
    int fd = listen_plainly(endpoint, sizeof endpoint);
    dpc_keypair_generate(&place.server_keys);
    dpc_keypair_generate(&place.worker_keys);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&place.client, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_link_open(place.client, DPC_CHANNEL_CONTROL, endpoint,
                                        &place.worker_keys, &place.server_keys.public_key,
                                        &place.link, &err),
                          DPC_OK);
    for (int i = 0; i < 3; i++) {
        int connection = accept_plainly(fd, place.link);
        CU_ASSERT_FATAL(connection >= 0);
        CU_ASSERT_EQUAL(write(connection, greeting, sizeof greeting - 1), sizeof greeting - 1);
        CU_ASSERT(reaches(place.link, DPC_LINK_MISMATCH));
        close(connection);
    }
    close(fd);
    close_place(&place);
}

/* Tells on `monitor` when `socket` loses its connection. */
static void *
watch_for_end(void *context, void *socket)
{
    void *monitor = zmq_socket(context, ZMQ_PAIR);
    int timeout = DEADLINE_MS;
    CU_ASSERT_EQUAL(zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &timeout, sizeof timeout), 0);
    CU_ASSERT_EQUAL(zmq_socket_monitor(socket, "inproc://events", ZMQ_EVENT_DISCONNECTED), 0);
    CU_ASSERT_EQUAL(zmq_connect(monitor, "inproc://events"), 0);
    return monitor;
}

static bool
saw_end(void *monitor)
{
    char event[64];
    return zmq_recv(monitor, event, sizeof event, 0) > 0;
}

/* Without CURVE, or with a key of nobody's, there is no way in: the handler is asked always. */
static void
a_plain_peer_gets_nowhere(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg got;
    open_place(&place, DPC_CHANNEL_CONTROL);
    void *context = zmq_ctx_new(), *plain = zmq_socket(context, ZMQ_DEALER);
    void *monitor = watch_for_end(context, plain);
    int linger = 0;
    CU_ASSERT_EQUAL(zmq_setsockopt(plain, ZMQ_LINGER, &linger, sizeof linger), 0);
    CU_ASSERT_EQUAL(zmq_connect(plain, dpc_listener_endpoint(place.listener)), 0);
    CU_ASSERT_EQUAL(zmq_send(plain, "\x1a\x00", 2, 0), 2);
    CU_ASSERT(saw_end(monitor));
    CU_ASSERT_EQUAL(dpc_listener_receive(place.listener, &peer, &got, &err), DPC_EAGAIN);
    zmq_close(monitor);
    zmq_close(plain);
    zmq_ctx_term(context);
    close_place(&place);
}

static void
an_invitation_opens_the_control_channel_alone(void)
{
    static const struct {
        enum dpc_channel_kind kind;
        enum dpc_link_state state;
    } rows[] = {{DPC_CHANNEL_CONTROL, DPC_LINK_UP}, {DPC_CHANNEL_BULK, DPC_LINK_REFUSED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct place place;
        open_place(&place, rows[i].kind);
        CU_ASSERT_EQUAL(
            dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_ENROL), DPC_OK);
        open_link(&place, rows[i].kind);
        CU_ASSERT(reaches(place.link, rows[i].state));
        close_place(&place);
    }
}

static void
a_revoked_key_falls_silent(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg ask = {.type = DPC_MSG_ASK}, got;
    const struct dpc_key *key = &place.worker_keys.public_key;
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, key, DPC_ROLE_ENROL), DPC_OK);
    open_link(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(send_soon(place.link, &ask), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    CU_ASSERT_EQUAL(peer.role, DPC_ROLE_ENROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, key, DPC_ROLE_WORKER), DPC_OK);
    CU_ASSERT_EQUAL(send_soon(place.link, &ask), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    CU_ASSERT_EQUAL(peer.role, DPC_ROLE_WORKER);
    dpc_net_revoke(place.server, key);
    CU_ASSERT_EQUAL(send_soon(place.link, &ask), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_EPERM);
    CU_ASSERT(dpc_key_equal(&peer.key, key));
    CU_ASSERT_EQUAL(peer.role, DPC_ROLE_NONE);
    close_place(&place);
}

static void
the_table_of_keys_has_an_end(void)
{
    struct dpc_net *net;
    struct dpc_key key = {.bytes = {0}};
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&net, &err), DPC_OK);
    for (uint32_t i = 0; i < DPC_KEYS_MAX; i++) {
        uint32_t mixed = i * 2654435761u;
        memcpy(key.bytes, &mixed, sizeof mixed);
        CU_ASSERT_EQUAL_FATAL(dpc_net_authorize(net, &key, DPC_ROLE_WORKER), DPC_OK);
    }
    CU_ASSERT_EQUAL(dpc_net_authorize(net, &key, DPC_ROLE_ADMIN), DPC_OK); /* a change */
    key.bytes[31] = 1;
    CU_ASSERT_EQUAL(dpc_net_authorize(net, &key, DPC_ROLE_WORKER), DPC_ELIMIT);
    dpc_net_revoke(net, &key); /* not there */
    key.bytes[31] = 0;
    dpc_net_revoke(net, &key);
    CU_ASSERT_EQUAL(dpc_net_authorize(net, &key, DPC_ROLE_WORKER), DPC_OK);
    dpc_net_destroy(net);
}

static void
a_port_in_use_is_said(void)
{
    struct place place;
    struct dpc_listener *second = NULL;
    open_place(&place, DPC_CHANNEL_CONTROL);
    const char *endpoint = dpc_listener_endpoint(place.listener);
    CU_ASSERT_EQUAL(dpc_listener_open(place.client, DPC_CHANNEL_BULK, endpoint, &place.server_keys,
                                      &second, &err),
                    DPC_EBUSY);
    CU_ASSERT(strstr(err.text, endpoint) != NULL);
    CU_ASSERT_EQUAL(dpc_listener_open(place.client, DPC_CHANNEL_BULK, "nonsense",
                                      &place.server_keys, &second, &err),
                    DPC_EINVAL);
    CU_ASSERT_EQUAL(
        dpc_listener_open(place.client, DPC_CHANNEL_BULK, "tcp://127.0.0.1:*", NULL, &second, &err),
        DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_listener_open(place.client, DPC_CHANNEL_ADMIN, "tcp://127.0.0.1:*", NULL,
                                      &second, &err),
                    DPC_EINVAL);
    CU_ASSERT_PTR_NULL(second);
    close_place(&place);
}

/* A worker that has our key and does not keep to the format: raw sockets with the worker's keys. */
static void *
raw_dealer(struct place *place, void *context)
{
    void *raw = zmq_socket(context, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt(raw, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(raw, ZMQ_CURVE_PUBLICKEY, place->worker_keys.public_key.bytes, DPC_KEY_BYTES);
    zmq_setsockopt(raw, ZMQ_CURVE_SECRETKEY, place->worker_keys.secret_key.bytes, DPC_KEY_BYTES);
    zmq_setsockopt(raw, ZMQ_CURVE_SERVERKEY, place->server_keys.public_key.bytes, DPC_KEY_BYTES);
    CU_ASSERT_EQUAL(zmq_connect(raw, dpc_listener_endpoint(place->listener)), 0);
    return raw;
}

static void
bad_multiparts_are_drained_whole(void)
{
    static const char ask[] = "\x1a\x00", put[] = "\xba\x01\x22\x0a\x20"
                                                  "hashhashhashhashhashhashhashhash";
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg got;
    open_place(&place, DPC_CHANNEL_BULK);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    void *context = zmq_ctx_new(), *raw = raw_dealer(&place, context);
    zmq_send(raw, "", 0, 0);               /* an empty header */
    zmq_send(raw, put, sizeof put - 1, 0); /* no body */
    zmq_send(raw, ask, 2, ZMQ_SNDMORE);    /* a body where none belongs */
    zmq_send(raw, "body", 4, 0);
    zmq_send(raw, put, sizeof put - 1, ZMQ_SNDMORE); /* too many frames */
    for (int i = 0; i < 20; i++)
        zmq_send(raw, "more", 4, ZMQ_SNDMORE);
    zmq_send(raw, "end", 3, 0);
    zmq_send(raw, put, sizeof put - 1, ZMQ_SNDMORE);
    zmq_send(raw, "body", 4, 0);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_EPROTO);
        CU_ASSERT(dpc_key_equal(&peer.key, &place.worker_keys.public_key));
    }
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    CU_ASSERT_EQUAL(got.type, DPC_MSG_PUT);
    CU_ASSERT_EQUAL(got.body_len, 4);
    zmq_close(raw);
    zmq_ctx_term(context);
    close_place(&place);
}

static void
a_frame_past_the_limit_ends_the_connection(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg got;
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    void *context = zmq_ctx_new(), *raw = raw_dealer(&place, context);
    void *monitor = watch_for_end(context, raw);
    char *large = dpc_alloc(DPC_CHUNK_BYTES_MAX, 1);
    zmq_send(raw, large, DPC_CHUNK_BYTES_MAX, 0);
    CU_ASSERT(saw_end(monitor));
    zmq_close(monitor);
    zmq_close(raw);
    raw = raw_dealer(&place, context);
    zmq_send(raw, "\x1a\x00", 2, 0);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    CU_ASSERT_EQUAL(got.type, DPC_MSG_ASK);
    CU_ASSERT(dpc_listener_traffic(place.listener).bytes_received < 1000);
    zmq_close(raw);
    zmq_ctx_term(context);
    dpc_free(large);
    close_place(&place);
}

static void
a_link_survives_a_restart_of_the_listener(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg ask = {.type = DPC_MSG_ASK}, got;
    char endpoint[DPC_ENDPOINT_MAX];
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(send_soon(place.link, &ask), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    (void)snprintf(endpoint, sizeof endpoint, "%s", dpc_listener_endpoint(place.listener));
    /* As a process that ends: the whole net goes, and a new one comes up on the same port. */
    dpc_listener_close(place.listener);
    dpc_net_destroy(place.server);
    CU_ASSERT(reaches(place.link, DPC_LINK_CONNECTING));
    CU_ASSERT(takes_nothing_soon(place.link, &ask));
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&place.server, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_listener_open(place.server, DPC_CHANNEL_CONTROL, endpoint,
                                            &place.server_keys, &place.listener, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL(send_soon(place.link, &ask), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    CU_ASSERT_EQUAL(dpc_link_epoch(place.link), 2);
    close_place(&place);
}

static void
a_link_is_renewed(void)
{
    struct place place;
    open_place(&place, DPC_CHANNEL_BULK);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_BULK);
    CU_ASSERT(reaches(place.link, DPC_LINK_UP));
    dpc_link_renew(place.link);
    CU_ASSERT_EQUAL(dpc_link_state(place.link), DPC_LINK_CONNECTING);
    CU_ASSERT(reaches(place.link, DPC_LINK_UP));
    CU_ASSERT_EQUAL(dpc_link_epoch(place.link), 2);
    close_place(&place);
}

/* Connections of this process, either end, in which the port of `endpoint` has a part, and the
 * longest that the kernel lets one of them wait for an acknowledgement; 0: for its own time. */
static int
count_connections(const char *endpoint, unsigned *ret_longest_ms)
{
    int count = 0;
    long port = strtol(strrchr(endpoint, ':') + 1, NULL, 10);
    *ret_longest_ms = 1;
    for (int fd = 0; fd < 256; fd++) {
        struct sockaddr_in here, there;
        socklen_t here_len = sizeof here, there_len = sizeof there;
        unsigned timeout_ms = 0;
        socklen_t len = sizeof timeout_ms;
        if (getsockname(fd, (struct sockaddr *)&here, &here_len) != 0 ||
            getpeername(fd, (struct sockaddr *)&there, &there_len) != 0 ||
            (ntohs(here.sin_port) != port && ntohs(there.sin_port) != port) ||
            getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &len) != 0)
            continue;
        count++;
        if (timeout_ms == 0 || (*ret_longest_ms && timeout_ms > *ret_longest_ms))
            *ret_longest_ms = timeout_ms;
    }
    return count;
}

/* The kernel's own time is a quarter of an hour, and its probes are for idle connections. */
static void
a_connection_that_died_in_a_transfer_is_given_up(void)
{
    static const enum dpc_channel_kind kinds[] = {DPC_CHANNEL_CONTROL, DPC_CHANNEL_BULK};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct place place;
        unsigned longest_ms;
        open_place(&place, kinds[i]);
        CU_ASSERT_EQUAL(
            dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
            DPC_OK);
        open_link(&place, kinds[i]);
        CU_ASSERT(reaches(place.link, DPC_LINK_UP));
        const char *endpoint = dpc_listener_endpoint(place.listener);
        CU_ASSERT_EQUAL(count_connections(endpoint, &longest_ms), 2);
        CU_ASSERT(longest_ms > 0 && longest_ms <= 3 * 60 * 1000);
        close_place(&place);
    }
}

static void
an_answer_to_one_who_left_is_said(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg ask = {.type = DPC_MSG_ASK}, got;
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(send_soon(place.link, &ask), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    place.link = dpc_link_close(place.link);
    int code = DPC_OK;
    for (int64_t end = now() + DEADLINE_MS; code == DPC_OK && now() < end;) {
        code = dpc_listener_send(place.listener, &peer, &ask);
        wait_a_little(place.listener, NULL);
    }
    CU_ASSERT_EQUAL(code, DPC_ENOTFOUND);
    struct dpc_peer nobody = {.routing_len = 0};
    CU_ASSERT_EQUAL(dpc_listener_send(place.listener, &nobody, &ask), DPC_ENOTFOUND);
    close_place(&place);
}

static void
a_goodbye_is_still_delivered(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg leave = {.type = DPC_MSG_LEAVE}, got;
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(send_soon(place.link, &leave), DPC_OK);
    place.link = dpc_link_close(place.link);
    place.client = dpc_net_destroy(place.client);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    CU_ASSERT_EQUAL(got.type, DPC_MSG_LEAVE);
    close_place(&place);
}

static void
poll_tells_who_is_ready(void)
{
    struct place place;
    struct dpc_msg ask = {.type = DPC_MSG_ASK};
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    open_place(&place, DPC_CHANNEL_CONTROL);
    CU_ASSERT_EQUAL(dpc_net_authorize(place.server, &place.worker_keys.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    open_link(&place, DPC_CHANNEL_CONTROL);
    struct dpc_poll_item items[] = {
        {.listener = place.listener, .fd = -1}, {.link = place.link, .fd = -1}, {.fd = ends[0]}};
    CU_ASSERT_EQUAL(dpc_channel_poll(items, 3, 0), DPC_EAGAIN);
    CU_ASSERT_EQUAL(send_soon(place.link, &ask), DPC_OK);
    CU_ASSERT_EQUAL(dpc_channel_poll(items, 3, DEADLINE_MS), DPC_OK);
    CU_ASSERT(items[0].readable && !items[1].readable && !items[2].readable);
    CU_ASSERT_EQUAL(write(ends[1], "x", 1), 1);
    CU_ASSERT_EQUAL(dpc_channel_poll(items, 3, DEADLINE_MS), DPC_OK);
    CU_ASSERT(items[0].readable && !items[1].readable && items[2].readable);
    close(ends[0]);
    close(ends[1]);
    close_place(&place);
}

/* --- The admin channel. */

static void
an_admin_asks_and_gets_a_page(void)
{
    struct place place;
    struct dpc_peer peer;
    struct dpc_msg sent, got;
    struct stat facts;
    open_admin(&place);
    CU_ASSERT_EQUAL(stat(admin_path, &facts), 0);
    CU_ASSERT_EQUAL(facts.st_mode & 07777, 0660);
    CU_ASSERT_EQUAL_FATAL(dpc_link_open(place.client, DPC_CHANNEL_ADMIN, admin_endpoint, NULL, NULL,
                                        &place.link, &err),
                          DPC_OK);
    dpc_sample(DPC_MSG_ADMIN_REQUEST, DPC_SAMPLE_FULL, &sent);
    CU_ASSERT_EQUAL(send_soon(place.link, &sent), DPC_OK);
    CU_ASSERT_EQUAL(listener_receive(place.listener, &peer, &got), DPC_OK);
    CU_ASSERT_EQUAL(peer.role, DPC_ROLE_ADMIN);
    CU_ASSERT_STRING_EQUAL(got.admin_request.verb, "paths");
    dpc_sample(DPC_MSG_ADMIN_REPLY, DPC_SAMPLE_LARGEST, &sent);
    CU_ASSERT_EQUAL(dpc_listener_send(place.listener, &peer, &sent), DPC_OK);
    CU_ASSERT_EQUAL(link_receive(place.link, &got), DPC_OK);
    CU_ASSERT_STRING_EQUAL(got.admin_reply.json, sent.admin_reply.json);
    close_place(&place);
}

static void
a_second_daemon_does_not_steal_the_socket(void)
{
    struct place place;
    struct dpc_listener *second = NULL;
    open_admin(&place);
    CU_ASSERT_EQUAL(
        dpc_listener_open(place.client, DPC_CHANNEL_ADMIN, admin_endpoint, NULL, &second, &err),
        DPC_EBUSY);
    CU_ASSERT_EQUAL(access(admin_path, F_OK), 0);
    close_place(&place);
}

static void
a_stale_socket_is_replaced_and_a_file_is_not(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct place place;
    struct dpc_listener *none = NULL;
    (void)unlink(admin_path);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", admin_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* as after a kill: the file stays, nobody listens */
    open_admin(&place);
    place.listener = dpc_listener_close(place.listener);
    close_place(&place);

    (void)unlink(admin_path);
    fd = open(admin_path, O_WRONLY | O_CREAT, 0600);
    CU_ASSERT(fd >= 0);
    close(fd);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&place.server, &err), DPC_OK);
    CU_ASSERT_EQUAL(
        dpc_listener_open(place.server, DPC_CHANNEL_ADMIN, admin_endpoint, NULL, &none, &err),
        DPC_EEXIST);
    CU_ASSERT_EQUAL(access(admin_path, F_OK), 0);
    char longest[200];
    (void)snprintf(longest, sizeof longest, "ipc:///tmp/%0150d", 1);
    CU_ASSERT_EQUAL(dpc_listener_open(place.server, DPC_CHANNEL_ADMIN, longest, NULL, &none, &err),
                    DPC_ELIMIT);
    CU_ASSERT_EQUAL(dpc_listener_open(place.server, DPC_CHANNEL_ADMIN, "ipc:///no/such/folder/x",
                                      NULL, &none, &err),
                    DPC_ENOTFOUND);
    dpc_net_destroy(place.server);
    (void)unlink(admin_path);
}

static void
endpoints_are_resolved(void)
{
    static const struct {
        const char *endpoint, *from, *to;
    } rows[] = {
        {"tcp://0.0.0.0:7601", "tcp://host:7600", "tcp://host:7601"},
        {"tcp://*:7601", "tcp://10.0.0.1:7600", "tcp://10.0.0.1:7601"},
        {"tcp://[::]:7601", "tcp://[fe80::1]:7600", "tcp://[fe80::1]:7601"},
        {"tcp://other:7601", "tcp://host:7600", "tcp://other:7601"},
        {"ipc:///run/x", "ipc:///run/y", "ipc:///run/x"},
    };
    char got[DPC_ENDPOINT_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CU_ASSERT_EQUAL(dpc_endpoint_resolve(rows[i].endpoint, rows[i].from, got, sizeof got),
                        DPC_OK);
        CU_ASSERT_STRING_EQUAL(got, rows[i].to);
    }
    CU_ASSERT_EQUAL(dpc_endpoint_resolve("tcp://*:1", "ipc:///x", got, sizeof got), DPC_EINVAL);
    /* a local service of the worker's machine */
    CU_ASSERT_EQUAL(dpc_endpoint_resolve("ipc:///x", "tcp://host:1", got, sizeof got), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_endpoint_resolve("tcp://*:1", "tcp://host", got, sizeof got), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_endpoint_resolve("tcp://*:1", "tcp://host:2", got, 8), DPC_ELIMIT);
}

/* libzmq takes a port modulo 65536. */
static void
endpoints_are_looked_at(void)
{
    static const char *const good[] = {"tcp://host:1", "tcp://[::1]:65535", "ipc:///a/b"};
    static const char *const bad[] = {"",           "host:7600",       "tcp://host",
                                      "tcp://:80",  "tcp://host:",     "tcp://host:0",
                                      "tcp://h:*",  "tcp://h:65536",   "tcp://h:99999",
                                      "tcp://h:x1", "tcp://h:1x",      "ipc://",
                                      "udp://h:1",  "tcp://h:0000001", "tcp://h:-1"};
    struct dpc_error error;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CU_ASSERT_EQUAL(dpc_endpoint_check(good[i], false, &error), DPC_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT_EQUAL(dpc_endpoint_check(bad[i], false, &error), DPC_EINVAL);
    CU_ASSERT_EQUAL(dpc_endpoint_check("tcp://*:*", true, &error), DPC_OK);
    CU_ASSERT_EQUAL(dpc_endpoint_check("tcp://*:70000", true, &error), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "a port from 1 to 65535, or *"));
}

/* Nothing in it may ask a server on a volunteer's own network for more than a file. */
static void
mirrors_are_looked_at(void)
{
    static const char *const good[] = {"https://host", "http://host:8080/a/b_c/",
                                       "https://[::1]:1/", "https://h.example.org/~x/%20"};
    static const char *const bad[] = {"",
                                      "https://",
                                      "https:///blobs",
                                      "ftp://host/blobs",
                                      "file:///etc",
                                      "HTTPS://host",
                                      "host/blobs",
                                      "https://user@host/",
                                      "https://user:word@host/",
                                      "https://host/?reboot=1",
                                      "https://host/#x",
                                      "https://host/a b",
                                      "https://host/a\n",
                                      "https://host/\xc3\xa4"};
    char longest[DPC_ENDPOINT_MAX + 1];
    struct dpc_error error;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CU_ASSERT_EQUAL(dpc_url_check(good[i], &error), DPC_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CU_ASSERT_EQUAL(dpc_url_check(bad[i], &error), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "it looks like https://HOST/FOLDER"));
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "http://", 7);
    longest[DPC_ENDPOINT_MAX] = '\0';
    CU_ASSERT_EQUAL(dpc_url_check(longest, &error), DPC_EINVAL);
    longest[DPC_ENDPOINT_MAX - 1] = '\0';
    CU_ASSERT_EQUAL(dpc_url_check(longest, &error), DPC_OK);
}

static const struct dpc_test tests[] = {
    {"endpoints are looked at", endpoints_are_looked_at},
    {"mirrors are looked at", mirrors_are_looked_at},
    {"a known key is heard and answered", a_known_key_is_heard_and_answered},
    {"bodies travel on bulk alone", bodies_travel_on_bulk_alone},
    {"an unknown key is turned away and may come back",
     an_unknown_key_is_turned_away_and_may_come_back},
    {"a wrong server key is noticed", a_wrong_server_key_is_noticed},
    {"a name of either family is found", a_name_of_either_family_is_found},
    {"a server of another protocol is tried again", a_server_of_another_protocol_is_tried_again},
    {"a plain peer gets nowhere", a_plain_peer_gets_nowhere},
    {"an invitation opens the control channel alone",
     an_invitation_opens_the_control_channel_alone},
    {"a revoked key falls silent", a_revoked_key_falls_silent},
    {"the table of keys has an end", the_table_of_keys_has_an_end},
    {"a port in use is said", a_port_in_use_is_said},
    {"bad multiparts are drained whole", bad_multiparts_are_drained_whole},
    {"a frame past the limit ends the connection", a_frame_past_the_limit_ends_the_connection},
    {"a link survives a restart of the listener", a_link_survives_a_restart_of_the_listener},
    {"a link is renewed", a_link_is_renewed},
    {"a connection that died in a transfer is given up",
     a_connection_that_died_in_a_transfer_is_given_up},
    {"an answer to one who left is said", an_answer_to_one_who_left_is_said},
    {"a goodbye is still delivered", a_goodbye_is_still_delivered},
    {"poll tells who is ready", poll_tells_who_is_ready},
    {"an admin asks and gets a page", an_admin_asks_and_gets_a_page},
    {"a second daemon does not steal the socket", a_second_daemon_does_not_steal_the_socket},
    {"a stale socket is replaced and a file is not", a_stale_socket_is_replaced_and_a_file_is_not},
    {"endpoints are resolved", endpoints_are_resolved},
};

int
main(void)
{
    place_admin_endpoint();
    return dpc_test_run("proto/channel", tests, sizeof tests / sizeof *tests);
}
