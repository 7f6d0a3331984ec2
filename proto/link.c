/* SPDX-License-Identifier: Apache-2.0
 * The other side: a DEALER with one connection. libzmq tries again by itself while nobody answers,
 * but not after a handshake that the server refused (the session is dead then, for good), and
 * without growing pauses where TCP works and the handshake does not. So the link watches its socket
 * and takes over in these cases: it drops the connection and makes a new one after a pause that
 * doubles, with chance in it, so that a thousand refused workers do not come all at once. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "proto/channel.h"
#include "proto/inflow.h"
#include "proto/pollable.h"
#include "proto/net.h"
#include "proto/socket.h"

enum {
    PAUSE_MS_MIN = 250,
    PAUSE_MS_MAX = 60 * 1000,
    UNKNOWN_MS_MAX = 10 * 1000, /* bounded like libzmq's own, while a name is not known */
    SHORT_MS = 1000,            /* a connection that broke so soon was none */
    ROUTING_ID_BYTES = 16,
    WATCHED = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
              ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
              ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_DISCONNECTED |
              ZMQ_EVENT_CONNECT_DELAYED | ZMQ_EVENT_CONNECT_RETRIED,
};

struct dpc_link {
    void *socket, *monitor;
    char endpoint[DPC_ENDPOINT_MAX];
    struct dpc_pipe pipe;
    enum dpc_link_state state;
    bool has_address; /* of libzmq's last attempt: the host has one that may be reached from here */
    bool ipv6;        /* by which a host with a name is looked for */
    uint64_t epoch;
    int64_t up_ms; /* when the last connection stood */
    int64_t pause_ms;
    int64_t connect_at_ms; /* 0: connected, or libzmq is at it */
};

void *
dpc_link_socket(struct dpc_link *link)
{
    return link->socket;
}

void *
dpc_link_monitor(struct dpc_link *link)
{
    return link->monitor;
}

/* Curve keys, and a routing id of our own: libzmq's would be drawn from libc's generator, and after
 * a break the coordinator hands the old connection's place over to the new one by it. */
static int
set_identity(struct dpc_link *link, const struct dpc_keypair *keypair,
             const struct dpc_key *server_key, struct dpc_error *err)
{
    uint8_t routing_id[ROUTING_ID_BYTES];
    dpc_random_bytes(routing_id, sizeof routing_id);
    routing_id[0] |= 1; /* a zero in front is libzmq's own mark */
    bool good = zmq_setsockopt(link->socket, ZMQ_ROUTING_ID, routing_id, sizeof routing_id) == 0;
    if (good && keypair)
        good = zmq_setsockopt(link->socket, ZMQ_CURVE_PUBLICKEY, keypair->public_key.bytes,
                              DPC_KEY_BYTES) == 0 &&
               zmq_setsockopt(link->socket, ZMQ_CURVE_SECRETKEY, keypair->secret_key.bytes,
                              DPC_KEY_BYTES) == 0 &&
               zmq_setsockopt(link->socket, ZMQ_CURVE_SERVERKEY, server_key->bytes,
                              DPC_KEY_BYTES) == 0;
    if (!good)
        return dpc_error_set(err, DPC_EFOREIGN, "could not set up \"%s\": %s", link->endpoint,
                             zmq_strerror(errno));
    return DPC_OK;
}

/* The monitor's own end has no high-water mark: libzmq's I/O thread would wait for us otherwise. */
static int
watch(struct dpc_link *link, void *context, struct dpc_error *err)
{
    char name[64];
    uint64_t number;
    dpc_random_bytes(&number, sizeof number);
    (void)snprintf(name, sizeof name, "inproc://link-%016" PRIx64, number);
    link->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!link->monitor || dpc_socket_set_int(link->monitor, ZMQ_RCVHWM, 0) != 0 ||
        dpc_socket_set_int(link->monitor, ZMQ_LINGER, 0) != 0 ||
        zmq_socket_monitor(link->socket, name, WATCHED) != 0 ||
        zmq_connect(link->monitor, name) != 0)
        return dpc_error_set(err, DPC_EFOREIGN, "could not watch \"%s\": %s", link->endpoint,
                             zmq_strerror(errno));
    return DPC_OK;
}

static int
connect_to(struct dpc_link *link, struct dpc_error *err)
{
    if (zmq_connect(link->socket, link->endpoint) == 0)
        return DPC_OK;
    int code = errno == EINVAL || errno == EPROTONOSUPPORT ? DPC_EINVAL : DPC_EFOREIGN;
    return dpc_error_set(err, code, "could not connect to \"%s\": %s", link->endpoint,
                         zmq_strerror(errno));
}

int
dpc_link_open(struct dpc_net *net, enum dpc_channel_kind kind, const char *endpoint,
              const struct dpc_keypair *keypair, const struct dpc_key *server_key,
              struct dpc_link **ret_link, struct dpc_error *err)
{
    bool admin = kind == DPC_CHANNEL_ADMIN;
    if (!admin && (!keypair || !server_key))
        return dpc_error_set(err, DPC_EINVAL, "could not connect to \"%s\": no key", endpoint);
    if (strlen(endpoint) >= DPC_ENDPOINT_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "could not connect to \"%s\": name too long",
                             endpoint);
    if (dpc_endpoint_check(endpoint, false, err) != DPC_OK)
        return dpc_error_prefix(err, DPC_EINVAL, "could not connect");
    struct dpc_link *link = dpc_alloc(1, sizeof *link);
    (void)snprintf(link->endpoint, sizeof link->endpoint, "%s", endpoint);
    link->pause_ms = PAUSE_MS_MIN;
    dpc_pipe_init(&link->pipe, kind);
    int code = DPC_OK;
    link->socket = zmq_socket(net->context, ZMQ_DEALER);
    if (!link->socket)
        code = dpc_error_set(err, DPC_EFOREIGN, "could not set up \"%s\": %s", endpoint,
                             zmq_strerror(errno));
    if (code == DPC_OK)
        code = dpc_socket_tune(link->socket, kind, endpoint, err);
    if (code == DPC_OK)
        code = set_identity(link, admin ? NULL : keypair, server_key, err);
    if (code == DPC_OK)
        code = watch(link, net->context, err);
    if (code == DPC_OK)
        code = connect_to(link, err);
    if (code != DPC_OK) {
        dpc_link_close(link);
        return code;
    }
    *ret_link = link;
    return DPC_OK;
}

struct dpc_link *
dpc_link_close(struct dpc_link *link)
{
    if (!link)
        return NULL;
    if (link->socket) {
        (void)zmq_socket_monitor(link->socket, NULL, 0);
        zmq_close(link->socket);
    }
    if (link->monitor)
        zmq_close(link->monitor);
    dpc_pipe_done(&link->pipe);
    return dpc_free(link);
}

/* Drops the connection, whatever is left of it, and sets the time of the next. */
static void
start_over(struct dpc_link *link, int64_t now_ms)
{
    uint32_t chance;
    if (link->connect_at_ms)
        return;
    (void)zmq_disconnect(link->socket, link->endpoint);
    dpc_random_bytes(&chance, sizeof chance);
    link->connect_at_ms = now_ms + link->pause_ms / 2 + chance % link->pause_ms;
    link->pause_ms = link->pause_ms < PAUSE_MS_MAX / 2 ? 2 * link->pause_ms : PAUSE_MS_MAX;
}

/* What is neither an address in brackets nor made of digits and dots. */
static bool
may_be_name(const struct dpc_link *link)
{
    static const char scheme[] = "tcp://";
    const char *host = link->endpoint + strlen(scheme);
    if (strncmp(link->endpoint, scheme, strlen(scheme)) != 0)
        return false;
    size_t digits = strspn(host, "0123456789.");
    return *host != '[' && (digits == 0 || host[digits] != ':');
}

/* libzmq looks a name up in one family of addresses alone, whichever it was told, so a coordinator
 * that has only IPv6 would never be found, nor one that is known in both from a machine that has
 * only that. While the host has no address in one of them, both are tried by turns. One that leads
 * nowhere in IPv6 is tried in the other, as before. */
static void
try_other_family(struct dpc_link *link, int64_t now_ms)
{
    link->ipv6 = !link->ipv6;
    (void)dpc_socket_set_int(link->socket, ZMQ_IPV6, link->ipv6);
    if (link->pause_ms > UNKNOWN_MS_MAX)
        link->pause_ms = UNKNOWN_MS_MAX;
    start_over(link, now_ms);
}

/* `value` is the connection's descriptor where it begins or ends. */
static void
note_event(struct dpc_link *link, int event, int32_t value, int64_t now_ms)
{
    if (event == ZMQ_EVENT_DISCONNECTED)
        dpc_inflow_end(value);
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        (void)dpc_inflow_begin(value);
        break;
    case ZMQ_EVENT_CONNECT_DELAYED: /* it waits for the host's answer */
        link->has_address = true;
        break;
    case ZMQ_EVENT_CONNECT_RETRIED:
        if ((!link->has_address || link->ipv6) && may_be_name(link))
            try_other_family(link, now_ms);
        link->has_address = false;
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        link->state = DPC_LINK_UP;
        link->epoch++;
        link->up_ms = now_ms;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        link->state = DPC_LINK_REFUSED;
        start_over(link, now_ms);
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        link->state = DPC_LINK_MISMATCH;
        start_over(link, now_ms);
        break;
    default: /* disconnected; behind a failed handshake, which set the time of the next connection,
              * it says nothing new. Without one, it is all that libzmq says of a server that greets
              * in another protocol (a web server, say), before it gives up for good. */
        if (link->connect_at_ms)
            break;
        if (link->state == DPC_LINK_UP && now_ms - link->up_ms >= SHORT_MS)
            link->pause_ms = PAUSE_MS_MIN;
        link->state = link->state == DPC_LINK_UP ? DPC_LINK_CONNECTING : DPC_LINK_MISMATCH;
        start_over(link, now_ms);
        break;
    }
}

/* An event is two frames: number (16 bits) and value (32 bits), then the endpoint. */
static bool
next_event(struct dpc_link *link, int *ret_event, int32_t *ret_value)
{
    uint8_t head[6];
    char endpoint[DPC_ENDPOINT_MAX];
    uint16_t number;
    if (zmq_recv(link->monitor, head, sizeof head, ZMQ_DONTWAIT) != (int)sizeof head)
        return false;
    (void)zmq_recv(link->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
    memcpy(&number, head, sizeof number);
    memcpy(ret_value, head + sizeof number, sizeof *ret_value);
    *ret_event = number;
    return true;
}

int64_t
dpc_link_service(struct dpc_link *link)
{
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system);
    int event;
    int32_t value;
    while (next_event(link, &event, &value))
        note_event(link, event, value, now_ms);
    if (link->connect_at_ms && now_ms >= link->connect_at_ms) {
        link->connect_at_ms = 0;
        if (connect_to(link, NULL) != DPC_OK)
            start_over(link, now_ms);
    }
    return link->connect_at_ms;
}

void
dpc_link_renew(struct dpc_link *link)
{
    if (link->state == DPC_LINK_UP) {
        link->state = DPC_LINK_CONNECTING;
        link->pause_ms = PAUSE_MS_MIN;
    }
    start_over(link, dpc_clock_now_ms(&dpc_clock_system));
}

enum dpc_link_state
dpc_link_state(struct dpc_link *link)
{
    (void)dpc_link_service(link);
    return link->state;
}

uint64_t
dpc_link_epoch(struct dpc_link *link)
{
    (void)dpc_link_service(link);
    return link->epoch;
}

int
dpc_link_receive(struct dpc_link *link, struct dpc_msg *ret_msg, struct dpc_error *err)
{
    size_t count;
    uint64_t before = link->pipe.traffic.bytes_received;
    (void)dpc_link_service(link);
    int code = dpc_pipe_receive(&link->pipe, link->socket, &count);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "nothing was received: %s", dpc_error_words(code));
    dpc_inflow_take(zmq_msg_get(&link->pipe.frames[DPC_FRAME_HEADER], ZMQ_SRCFD), count,
                    link->pipe.traffic.bytes_received - before);
    return dpc_pipe_decode(&link->pipe, count, ret_msg, err);
}

int
dpc_link_send(struct dpc_link *link, const struct dpc_msg *msg)
{
    (void)dpc_link_service(link);
    int code = dpc_pipe_encode(&link->pipe, msg);
    if (code != DPC_OK)
        return code;
    return dpc_pipe_send(&link->pipe, link->socket, NULL, 0, msg);
}
