/* SPDX-License-Identifier: Apache-2.0
 * Socket options are a table with a column a kind of channel; why each value is what it is stands
 * beside it. */
#include "proto/socket.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"

enum {
    KINDS = 3,
    /* What CURVE and the framing put around a frame (33 bytes, and some for later). */
    FRAME_OVERHEAD = 256,
    /* Pause before libzmq tries a connection again, and its bound while nobody answers. */
    RECONNECT_MS = 250,
    RECONNECT_MS_MAX = 10 * 1000,
    /* How long the other side may acknowledge nothing of what was sent to it; as long as the
     * kernel's probes take on a connection where nothing is sent. */
    UNACKNOWLEDGED_MS = 120 * 1000,
    /* How long a closed socket keeps what was not sent yet: a worker's last goodbye. */
    LINGER_MS = 1000,
};

struct option {
    int name;
    int values[KINDS]; /* control, bulk, admin */
};

static const struct option options[] = {
    /* Messages, not bytes: a peer may have this many under way before it is told to wait. A bulk
     * message is up to 1 MiB; transfers keep 8 open, so 32 is never reached by an honest peer. */
    {ZMQ_SNDHWM, {256, 32, 64}},
    {ZMQ_RCVHWM, {256, 32, 64}},
    {ZMQ_LINGER, {LINGER_MS, 0, LINGER_MS}},
    {ZMQ_RECONNECT_IVL, {RECONNECT_MS, RECONNECT_MS, RECONNECT_MS}},
    {ZMQ_RECONNECT_IVL_MAX, {RECONNECT_MS_MAX, RECONNECT_MS_MAX, RECONNECT_MS_MAX}},
    /* Messages wait for a connection that stands, not for one that may come: what waits for a dead
     * coordinator would otherwise arrive in one storm when it is back. */
    {ZMQ_IMMEDIATE, {1, 1, 1}},
    {ZMQ_BACKLOG, {512, 512, 64}},
    /* A dead connection. ZeroMQ's own heartbeats would cut a large frame on a slow line, so bulk
     * has the kernel's; control carries nothing larger than 64 KiB. */
    {ZMQ_HEARTBEAT_IVL, {10 * 1000, 0, 0}},
    {ZMQ_HEARTBEAT_TIMEOUT, {60 * 1000, 0, 0}},
    {ZMQ_HEARTBEAT_TTL, {60 * 1000, 0, 0}},
    {ZMQ_TCP_KEEPALIVE, {1, 1, 0}},
    {ZMQ_TCP_KEEPALIVE_IDLE, {60, 60, -1}},
    {ZMQ_TCP_KEEPALIVE_INTVL, {15, 15, -1}},
    {ZMQ_TCP_KEEPALIVE_CNT, {4, 4, -1}},
    /* Probes are sent on a connection that is idle alone. One that dies while something is on its
     * way (another network, a NAT that forgot it) is else held for a quarter of an hour, and all
     * transfers with it. */
    {ZMQ_TCP_MAXRT, {UNACKNOWLEDGED_MS, UNACKNOWLEDGED_MS, 0}},
};

/* Bulk has an I/O thread of its own (net.c makes two). */
static uint64_t
affinity_of(enum dpc_channel_kind kind)
{
    return kind == DPC_CHANNEL_BULK ? 2 : 1;
}

static int64_t
frame_bytes_max(enum dpc_channel_kind kind)
{
    size_t most = kind == DPC_CHANNEL_CONTROL ? DPC_CONTROL_BYTES_MAX
                  : kind == DPC_CHANNEL_BULK  ? DPC_CHUNK_BYTES_MAX
                                              : DPC_ADMIN_BYTES_MAX;
    return (int64_t)most + FRAME_OVERHEAD;
}

int
dpc_socket_set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

int
dpc_socket_tune(void *socket, enum dpc_channel_kind kind, const char *endpoint,
                struct dpc_error *err)
{
    int64_t most = frame_bytes_max(kind);
    uint64_t affinity = affinity_of(kind);
    bool good = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most) == 0 &&
                zmq_setsockopt(socket, ZMQ_AFFINITY, &affinity, sizeof affinity) == 0 &&
                dpc_socket_set_int(socket, ZMQ_IPV6, strchr(endpoint, '[') != NULL) == 0;
    for (size_t i = 0; good && i < sizeof options / sizeof *options; i++)
        good = dpc_socket_set_int(socket, options[i].name, options[i].values[kind]) == 0;
    if (!good)
        return dpc_error_set(err, DPC_EFOREIGN, "could not set up \"%s\": %s", endpoint,
                             zmq_strerror(errno));
    return DPC_OK;
}

void
dpc_pipe_init(struct dpc_pipe *pipe, enum dpc_channel_kind kind)
{
    *pipe = (struct dpc_pipe){.kind = kind};
    for (int i = 0; i < DPC_FRAMES; i++)
        zmq_msg_init(&pipe->frames[i]);
    /* Decoding copies texts and lists; four times the frame is ample for what is honest. */
    pipe->arena = dpc_msg_arena_create(kind == DPC_CHANNEL_ADMIN ? 2 * DPC_ADMIN_BYTES_MAX
                                                                 : 4 * DPC_CONTROL_BYTES_MAX);
    dpc_buf_init(&pipe->out, DPC_ADMIN_BYTES_MAX);
}

void
dpc_pipe_done(struct dpc_pipe *pipe)
{
    for (int i = 0; i < DPC_FRAMES; i++)
        zmq_msg_close(&pipe->frames[i]);
    dpc_msg_arena_destroy(pipe->arena);
    dpc_buf_done(&pipe->out);
}

int
dpc_socket_receive(void *socket, zmq_msg_t *frame)
{
    int len;
    do
        len = zmq_msg_recv(frame, socket, ZMQ_DONTWAIT);
    while (len < 0 && errno == EINTR);
    if (len >= 0)
        return DPC_OK;
    return errno == EAGAIN ? DPC_EAGAIN : errno == ETERM ? DPC_ECLOSED : DPC_EFOREIGN;
}

int
dpc_pipe_receive(struct dpc_pipe *pipe, void *socket, size_t *ret_count)
{
    zmq_msg_t surplus;
    zmq_msg_init(&surplus);
    size_t count = 0;
    bool more = true;
    int code = DPC_OK;
    for (; more && code == DPC_OK; count++) {
        zmq_msg_t *frame = count < DPC_FRAMES ? &pipe->frames[count] : &surplus;
        code = dpc_socket_receive(socket, frame);
        if (code == DPC_OK) {
            pipe->traffic.bytes_received += zmq_msg_size(frame);
            more = zmq_msg_more(frame);
        }
    }
    zmq_msg_close(&surplus);
    if (code == DPC_OK) {
        pipe->traffic.messages_received++;
        *ret_count = count;
    }
    return code;
}

static bool
carries_body(const struct dpc_msg *msg)
{
    return msg->type == DPC_MSG_CHUNK || msg->type == DPC_MSG_PUT;
}

int
dpc_pipe_decode(struct dpc_pipe *pipe, size_t count, struct dpc_msg *ret_msg, struct dpc_error *err)
{
    zmq_msg_t *header = &pipe->frames[DPC_FRAME_HEADER], *body = &pipe->frames[DPC_FRAME_BODY];
    struct dpc_msg msg;
    if (count > DPC_FRAMES)
        return dpc_error_set(err, DPC_EPROTO, "bad message: %zu frames, at most %d", count,
                             DPC_FRAMES);
    int code = dpc_msg_decode(zmq_msg_data(header), zmq_msg_size(header), pipe->arena, &msg, err);
    if (code != DPC_OK)
        return code;
    if (carries_body(&msg) != (count == DPC_FRAMES))
        return dpc_error_set(err, DPC_EPROTO, "bad %s message: %s body", dpc_msg_name(msg.type),
                             carries_body(&msg) ? "it has no" : "it has a");
    if (carries_body(&msg)) {
        msg.body = zmq_msg_data(body);
        msg.body_len = zmq_msg_size(body);
    }
    if (msg.body_len > DPC_CHUNK_BYTES_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "bad %s message: body of %zu bytes",
                             dpc_msg_name(msg.type), msg.body_len);
    *ret_msg = msg;
    return DPC_OK;
}

int
dpc_pipe_encode(struct dpc_pipe *pipe, const struct dpc_msg *msg)
{
    if (carries_body(msg) ? msg->body_len && !msg->body : msg->body_len || msg->body)
        return DPC_EINVAL;
    if (carries_body(msg) && pipe->kind != DPC_CHANNEL_BULK)
        return DPC_EINVAL;
    if (msg->body_len > DPC_CHUNK_BYTES_MAX)
        return DPC_ELIMIT;
    dpc_buf_reset(&pipe->out);
    return dpc_msg_encode(msg, &pipe->out, NULL);
}

static int
send_error(void)
{
    switch (errno) {
    case EAGAIN:
        return DPC_EAGAIN;
    case EHOSTUNREACH:
        return DPC_ENOTFOUND;
    case ENOMEM:
        return DPC_ENOMEM;
    case ETERM:
        return DPC_ECLOSED;
    default:
        return DPC_EFOREIGN;
    }
}

struct outgoing {
    zmq_msg_t frames[1 + DPC_FRAMES];
    int count;
};

static int
add_frame(struct outgoing *outgoing, const void *bytes, size_t len)
{
    zmq_msg_t *frame = &outgoing->frames[outgoing->count];
    if (zmq_msg_init_size(frame, len) != 0)
        return DPC_ENOMEM;
    if (len)
        memcpy(zmq_msg_data(frame), bytes, len);
    outgoing->count++;
    return DPC_OK;
}

/* Never blocks, so a signal cannot interrupt it for long. */
static int
send_frames(struct outgoing *outgoing, void *socket)
{
    for (int i = 0; i < outgoing->count; i++) {
        int sent, flags = ZMQ_DONTWAIT | (i + 1 < outgoing->count ? ZMQ_SNDMORE : 0);
        do
            sent = zmq_msg_send(&outgoing->frames[i], socket, flags);
        while (sent < 0 && errno == EINTR);
        if (sent < 0)
            return send_error();
    }
    return DPC_OK;
}

/* Frames are made before the first one goes: behind a message that ends halfway the next one would
 * be taken for its rest, by whoever that was for. */
int
dpc_pipe_send(struct dpc_pipe *pipe, void *socket, const void *to, size_t to_len,
              const struct dpc_msg *msg)
{
    struct outgoing outgoing = {.count = 0};
    int code = to_len ? add_frame(&outgoing, to, to_len) : DPC_OK;
    if (code == DPC_OK)
        code = add_frame(&outgoing, pipe->out.data, pipe->out.len);
    if (code == DPC_OK && carries_body(msg))
        code = add_frame(&outgoing, msg->body, msg->body_len);
    if (code == DPC_OK)
        code = send_frames(&outgoing, socket);
    for (int i = 0; i < outgoing.count; i++)
        zmq_msg_close(&outgoing.frames[i]); /* one that was sent is empty */
    if (code == DPC_OK) {
        pipe->traffic.bytes_sent += pipe->out.len + msg->body_len;
        pipe->traffic.messages_sent++;
    }
    return code;
}
