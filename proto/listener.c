/* SPDX-License-Identifier: Apache-2.0
 * The coordinator's side: a ROUTER. Who sent a message is the CURVE key that the ZAP handler put
 * into the connection's User-Id; the routing id serves for the way back and for nothing else. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "proto/accept.h"
#include "proto/channel.h"
#include "proto/inflow.h"
#include "proto/outflow.h"
#include "proto/pollable.h"
#include "proto/net.h"
#include "proto/socket.h"

enum { ADMIN_SOCKET_MODE = 0660 };

static const char ipc_scheme[] = "ipc://";

struct dpc_listener {
    struct dpc_net *net;
    void *socket;
    char endpoint[DPC_ENDPOINT_MAX];
    struct dpc_pipe pipe;
    zmq_msg_t routing_frame;
};

void *
dpc_listener_socket(struct dpc_listener *listener)
{
    return listener->socket;
}

static int
secure(void *socket, const struct dpc_keypair *keypair, const char *domain, const char *endpoint,
       struct dpc_error *err)
{
    enum { ENFORCE_DOMAIN = 93 /* ZMQ_ZAP_ENFORCE_DOMAIN: only draft headers name it */ };
    if (dpc_socket_set_int(socket, ZMQ_CURVE_SERVER, 1) != 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keypair->secret_key.bytes, DPC_KEY_BYTES) !=
            0 ||
        zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain, strlen(domain)) != 0 ||
        dpc_socket_set_int(socket, ENFORCE_DOMAIN, 1) != 0)
        return dpc_error_set(err, DPC_EFOREIGN, "could not secure \"%s\": %s", endpoint,
                             zmq_strerror(errno));
    return DPC_OK;
}

static int
set_up(struct dpc_listener *listener, const char *endpoint, const struct dpc_keypair *keypair,
       struct dpc_error *err)
{
    listener->socket = zmq_socket(listener->net->context, ZMQ_ROUTER);
    if (!listener->socket || dpc_socket_set_int(listener->socket, ZMQ_ROUTER_MANDATORY, 1) != 0 ||
        dpc_socket_set_int(listener->socket, ZMQ_ROUTER_HANDOVER, 1) != 0)
        return dpc_error_set(err, DPC_EFOREIGN, "could not set up \"%s\": %s", endpoint,
                             zmq_strerror(errno));
    int code = dpc_socket_tune(listener->socket, listener->pipe.kind, endpoint, err);
    if (code == DPC_OK && keypair)
        code =
            secure(listener->socket, keypair,
                   listener->pipe.kind == DPC_CHANNEL_BULK ? DPC_ZAP_DOMAIN_BULK : DPC_ZAP_DOMAIN,
                   endpoint, err);
    return code;
}

static int
refuse_bind(const char *endpoint, int errnum, struct dpc_error *err)
{
    if (errnum == EADDRINUSE)
        return dpc_error_set(err, DPC_EBUSY,
                             "could not listen on \"%s\": the address is in use; stop the program "
                             "that has it, or choose another",
                             endpoint);
    int code = errnum == EACCES                       ? DPC_EPERM
               : errnum == ENOENT                     ? DPC_ENOTFOUND
               : errnum == EINVAL || errnum == ENODEV ? DPC_EINVAL
               : errnum == EADDRNOTAVAIL              ? DPC_EINVAL
               : errnum == EPROTONOSUPPORT            ? DPC_EINVAL
                                                      : DPC_EFOREIGN;
    return dpc_error_set(err, code, "could not listen on \"%s\": %s", endpoint,
                         zmq_strerror(errnum));
}

static int
bind_to(struct dpc_listener *listener, const char *endpoint, struct dpc_error *err)
{
    if (zmq_bind(listener->socket, endpoint) != 0)
        return refuse_bind(endpoint, errno, err);
    size_t size = sizeof listener->endpoint;
    if (zmq_getsockopt(listener->socket, ZMQ_LAST_ENDPOINT, listener->endpoint, &size) != 0)
        return refuse_bind(endpoint, errno, err);
    return DPC_OK;
}

/* Whether a program listens on the socket file. */
static int
probe(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    int errnum = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
    close(fd);
    return errnum;
}

/* libzmq removes whatever stands at the path of an ipc endpoint: a living daemon's socket, a file.
 * So only what is a socket without a listener gets that far. */
static int
clear_path(const char *endpoint, const char *path, struct dpc_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat facts;
    if ((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s", path) >=
        sizeof address.sun_path)
        return dpc_error_set(err, DPC_ELIMIT,
                             "could not listen on \"%s\": a socket's path has at most %zu bytes",
                             endpoint, sizeof address.sun_path - 1);
    if (lstat(path, &facts) != 0)
        return errno == ENOENT
                   ? DPC_OK
                   : dpc_error_set_errno(err, errno, "could not listen on \"%s\"", endpoint);
    if (!S_ISSOCK(facts.st_mode))
        return dpc_error_set(err, DPC_EEXIST,
                             "could not listen on \"%s\": there is a file that is no socket",
                             endpoint);
    int errnum = probe(&address);
    if (errnum == 0 || errnum == EAGAIN)
        return refuse_bind(endpoint, EADDRINUSE, err);
    if (errnum != ECONNREFUSED && errnum != ENOENT)
        return dpc_error_set_errno(err, errnum, "could not listen on \"%s\"", endpoint);
    return DPC_OK;
}

static int
bind_admin(struct dpc_listener *listener, const char *endpoint, struct dpc_error *err)
{
    if (strncmp(endpoint, ipc_scheme, strlen(ipc_scheme)) != 0)
        return dpc_error_set(err, DPC_EINVAL,
                             "could not listen on \"%s\": the admin channel is ipc://PATH",
                             endpoint);
    const char *path = endpoint + strlen(ipc_scheme);
    int code = clear_path(endpoint, path, err);
    if (code == DPC_OK)
        code = bind_to(listener, endpoint, err);
    if (code == DPC_OK && chmod(path, ADMIN_SOCKET_MODE) != 0)
        code = dpc_error_set_errno(err, errno, "could not set the mode of \"%s\"", path);
    return code;
}

int
dpc_listener_open(struct dpc_net *net, enum dpc_channel_kind kind, const char *endpoint,
                  const struct dpc_keypair *keypair, struct dpc_listener **ret_listener,
                  struct dpc_error *err)
{
    bool admin = kind == DPC_CHANNEL_ADMIN;
    if (!admin && !keypair)
        return dpc_error_set(err, DPC_EINVAL, "could not listen on \"%s\": no key", endpoint);
    if (dpc_endpoint_check(endpoint, true, err) != DPC_OK)
        return dpc_error_prefix(err, DPC_EINVAL, "could not listen");
    struct dpc_listener *listener = dpc_alloc(1, sizeof *listener);
    dpc_accept_begin();
    listener->net = net;
    dpc_pipe_init(&listener->pipe, kind);
    zmq_msg_init(&listener->routing_frame);
    int code = set_up(listener, endpoint, admin ? NULL : keypair, err);
    if (code == DPC_OK)
        code = admin ? bind_admin(listener, endpoint, err) : bind_to(listener, endpoint, err);
    if (code != DPC_OK) {
        dpc_listener_close(listener);
        return code;
    }
    *ret_listener = listener;
    return DPC_OK;
}

struct dpc_listener *
dpc_listener_close(struct dpc_listener *listener)
{
    if (!listener)
        return NULL;
    if (listener->socket)
        zmq_close(listener->socket);
    zmq_msg_close(&listener->routing_frame);
    dpc_pipe_done(&listener->pipe);
    return dpc_free(listener);
}

const char *
dpc_listener_endpoint(const struct dpc_listener *listener)
{
    return listener->endpoint;
}

struct dpc_traffic
dpc_listener_traffic(const struct dpc_listener *listener)
{
    return listener->pipe.traffic;
}

/* An id that does not fit is of no program of ours; it gets no answer. */
static void
note_routing(struct dpc_listener *listener, struct dpc_peer *peer)
{
    size_t len = zmq_msg_size(&listener->routing_frame);
    if (len <= sizeof peer->routing_id) {
        memcpy(peer->routing_id, zmq_msg_data(&listener->routing_frame), len);
        peer->routing_len = (uint8_t)len;
    }
}

/* The key from the handshake, and what it may do now. */
static int
identify(struct dpc_listener *listener, struct dpc_peer *peer, struct dpc_error *err)
{
    if (listener->pipe.kind == DPC_CHANNEL_ADMIN) {
        peer->role = DPC_ROLE_ADMIN;
        return DPC_OK;
    }
    const char *user_id = zmq_msg_gets(&listener->pipe.frames[DPC_FRAME_HEADER], "User-Id");
    if (!user_id || !dpc_key_parse(user_id, &peer->key))
        return dpc_error_set(err, DPC_EPERM, "a message without a proven key was dropped");
    peer->role = dpc_net_role(listener->net, &peer->key);
    if (peer->role == DPC_ROLE_NONE)
        return dpc_error_set(err, DPC_EPERM,
                             "a message of key %s was dropped: it is not authorised any more",
                             user_id);
    return DPC_OK;
}

int
dpc_listener_receive(struct dpc_listener *listener, struct dpc_peer *ret_peer,
                     struct dpc_msg *ret_msg, struct dpc_error *err)
{
    size_t count;
    uint64_t before = listener->pipe.traffic.bytes_received;
    /* The ROUTER puts a frame in front of each message: who sent it. */
    int code = dpc_socket_receive(listener->socket, &listener->routing_frame);
    if (code == DPC_OK)
        code = dpc_pipe_receive(&listener->pipe, listener->socket, &count);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "nothing was received: %s", dpc_error_words(code));
    memset(ret_peer, 0, sizeof *ret_peer);
    ret_peer->fd = zmq_msg_get(&listener->pipe.frames[DPC_FRAME_HEADER], ZMQ_SRCFD);
    dpc_inflow_take(ret_peer->fd, count, listener->pipe.traffic.bytes_received - before);
    note_routing(listener, ret_peer);
    code = identify(listener, ret_peer, err);
    if (code == DPC_OK)
        code = dpc_pipe_decode(&listener->pipe, count, ret_msg, err);
    return code;
}

const char *
dpc_listener_address(const struct dpc_listener *listener)
{
    const char *address = zmq_msg_gets(&listener->pipe.frames[DPC_FRAME_HEADER], "Peer-Address");
    return address ? address : "";
}

int
dpc_listener_send(struct dpc_listener *listener, const struct dpc_peer *peer,
                  const struct dpc_msg *msg)
{
    int code = dpc_pipe_encode(&listener->pipe, msg);
    if (code != DPC_OK)
        return code;
    if (peer->routing_len == 0)
        return DPC_ENOTFOUND;
    uint64_t bytes = listener->pipe.out.len + msg->body_len;
    if (!dpc_outflow_add(peer->fd, bytes))
        return DPC_EAGAIN;
    code =
        dpc_pipe_send(&listener->pipe, listener->socket, peer->routing_id, peer->routing_len, msg);
    if (code != DPC_OK)
        dpc_outflow_undo(peer->fd, bytes);
    return code;
}
