/* SPDX-License-Identifier: Apache-2.0
 * The ZAP handler (ZeroMQ RFC 27): libzmq asks it about every CURVE handshake. A listed key passes,
 * and its text becomes the connection's User-Id, which listener.c reads from each message; what the
 * key may do is looked up then, so that a change of role takes effect at once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "proto/net.h"

/* Frames of a request, in order. */
enum {
    FRAME_VERSION,
    FRAME_REQUEST_ID,
    FRAME_DOMAIN,
    FRAME_ADDRESS,
    FRAME_ROUTING_ID,
    FRAME_MECHANISM,
    FRAME_CREDENTIALS,
    FRAME_COUNT
};

struct frame {
    char bytes[256]; /* ZAP's own texts are shorter, a routing id is at most 255 */
    size_t len;
};

struct request {
    struct frame frames[FRAME_COUNT];
    bool malformed;
};

/* One frame into request->frames[index]; sets `*ret_more`. */
static bool
receive_frame(void *socket, struct request *request, size_t index, bool *ret_more)
{
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    int len;
    do
        len = zmq_msg_recv(&msg, socket, 0);
    while (len < 0 && errno == EINTR);
    if (len >= 0) {
        if (index >= FRAME_COUNT || (size_t)len > sizeof request->frames[0].bytes)
            request->malformed = true;
        else {
            memcpy(request->frames[index].bytes, zmq_msg_data(&msg), (size_t)len);
            request->frames[index].len = (size_t)len;
        }
        *ret_more = zmq_msg_more(&msg);
    }
    zmq_msg_close(&msg);
    return len >= 0;
}

/* False when the context shuts down. */
static bool
receive_request(void *socket, struct request *ret_request)
{
    size_t index = 0;
    bool more = true;
    memset(ret_request, 0, sizeof *ret_request);
    for (; more; index++) {
        if (!receive_frame(socket, ret_request, index, &more))
            return false;
    }
    ret_request->malformed |= index != FRAME_COUNT;
    return true;
}

static bool
frame_is(const struct frame *frame, const char *text)
{
    return frame->len == strlen(text) && memcmp(frame->bytes, text, frame->len) == 0;
}

static bool
admits(struct dpc_net *net, const struct request *request, struct dpc_key *ret_key)
{
    const struct frame *credentials = &request->frames[FRAME_CREDENTIALS];
    const struct frame *domain = &request->frames[FRAME_DOMAIN];
    bool bulk = frame_is(domain, DPC_ZAP_DOMAIN_BULK);
    if (request->malformed || !frame_is(&request->frames[FRAME_VERSION], "1.0") ||
        !(bulk || frame_is(domain, DPC_ZAP_DOMAIN)) ||
        !frame_is(&request->frames[FRAME_MECHANISM], "CURVE") || credentials->len != DPC_KEY_BYTES)
        return false;
    memcpy(ret_key->bytes, credentials->bytes, DPC_KEY_BYTES);
    enum dpc_role role = dpc_net_role(net, ret_key);
    return role != DPC_ROLE_NONE && !(bulk && role == DPC_ROLE_ENROL);
}

static bool
send_text(void *socket, const char *text, int flags)
{
    return zmq_send(socket, text, strlen(text), flags) >= 0;
}

static bool
reply(void *socket, const struct request *request, bool admitted, const char *user_id)
{
    const struct frame *id = &request->frames[FRAME_REQUEST_ID];
    return send_text(socket, "1.0", ZMQ_SNDMORE) &&
           zmq_send(socket, id->bytes, id->len, ZMQ_SNDMORE) >= 0 &&
           send_text(socket, admitted ? "200" : "400", ZMQ_SNDMORE) &&
           send_text(socket, admitted ? "" : "this key is not authorised", ZMQ_SNDMORE) &&
           send_text(socket, user_id, ZMQ_SNDMORE) && send_text(socket, "", 0);
}

void *
dpc_zap_run(void *context)
{
    struct dpc_net *net = context;
    struct request request;
    bool goes_on = true;
    while (goes_on && receive_request(net->zap_socket, &request)) {
        struct dpc_key key;
        char user_id[DPC_KEY_TEXT_MAX] = "";
        bool admitted = admits(net, &request, &key);
        if (admitted)
            dpc_key_text(&key, user_id);
        goes_on = reply(net->zap_socket, &request, admitted, user_id);
        if (!goes_on && errno == ENOMEM) {
            fprintf(stderr, "<2>out of memory: nobody could connect any more\n");
            abort();
        }
    }
    zmq_close(net->zap_socket);
    return NULL;
}
