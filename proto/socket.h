/* SPDX-License-Identifier: Apache-2.0
 *
 * What listeners and links have in common: socket options, and messages as frames.
 *
 * Owns: a pipe owns its frames, buffer and arena, not the socket. Threads: the socket's.
 */
#ifndef DPC_PROTO_SOCKET_H
#define DPC_PROTO_SOCKET_H

#include <zmq.h>

#include "base/buf.h"
#include "proto/channel.h"

/* Sets the options that every socket of that kind has. */
int dpc_socket_tune(void *socket, enum dpc_channel_kind kind, const char *endpoint,
                    struct dpc_error *err) DPC_MUST_CHECK;
int dpc_socket_set_int(void *socket, int option, int value);

/* Reads one frame without waiting. DPC_EAGAIN: none waits; DPC_ECLOSED: the context has ended. */
int dpc_socket_receive(void *socket, zmq_msg_t *frame) DPC_MUST_CHECK;

enum { DPC_FRAME_HEADER, DPC_FRAME_BODY, DPC_FRAMES };

/* What one end of a channel keeps: what the last received message points into, and the buffer
 * that the next one to send is encoded in. */
struct dpc_pipe {
    enum dpc_channel_kind kind;
    zmq_msg_t frames[DPC_FRAMES];
    struct dpc_msg_arena *arena;
    struct dpc_buf out;
    struct dpc_traffic traffic;
};

void dpc_pipe_init(struct dpc_pipe *pipe, enum dpc_channel_kind kind);
void dpc_pipe_done(struct dpc_pipe *pipe);

/* Reads header and body frame; more frames are read and dropped. `*ret_count` says how many there
 * were. DPC_EAGAIN: no message waits. */
int dpc_pipe_receive(struct dpc_pipe *pipe, void *socket, size_t *ret_count) DPC_MUST_CHECK;
/* The message in the `count` frames that dpc_pipe_receive read. */
int dpc_pipe_decode(struct dpc_pipe *pipe, size_t count, struct dpc_msg *ret_msg,
                    struct dpc_error *err) DPC_MUST_CHECK;

/* Encodes; call it before anything is sent. DPC_EINVAL: a body where none belongs, or none. */
int dpc_pipe_encode(struct dpc_pipe *pipe, const struct dpc_msg *msg) DPC_MUST_CHECK;
/* Sends what was encoded, and the body: all of it, or nothing. A ROUTER names in front whom it is
 * for (`to_len` 0: nobody). DPC_EAGAIN, DPC_ENOTFOUND, DPC_ENOMEM, DPC_ECLOSED. */
int dpc_pipe_send(struct dpc_pipe *pipe, void *socket, const void *to, size_t to_len,
                  const struct dpc_msg *msg) DPC_MUST_CHECK;

#endif
