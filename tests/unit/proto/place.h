/* SPDX-License-Identifier: Apache-2.0
 *
 * A coordinator's side and another one in one program, and waiting for what goes between them.
 *
 * Owns: what struct place holds, until close_place. Threads: one.
 */
#ifndef DPC_TESTS_PLACE_H
#define DPC_TESTS_PLACE_H

#include "proto/channel.h"

enum { DEADLINE_MS = 20 * 1000, STEP_MS = 50 };

struct place {
    struct dpc_net *server, *client;
    struct dpc_keypair server_keys, worker_keys;
    struct dpc_listener *listener;
    struct dpc_link *link;
};

extern struct dpc_error err; /* of the last call */

/* The local socket of this process; set by place_admin_endpoint. */
extern char admin_path[64], admin_endpoint[80];
void place_admin_endpoint(void);

void open_place(struct place *place, enum dpc_channel_kind kind);
void open_link(struct place *place, enum dpc_channel_kind kind);
void close_place(struct place *place);
int64_t now(void);
void wait_a_little(struct dpc_listener *listener, struct dpc_link *link);
int send_soon(struct dpc_link *link, const struct dpc_msg *msg);
int listener_receive(struct dpc_listener *listener, struct dpc_peer *peer, struct dpc_msg *msg);
int link_receive(struct dpc_link *link, struct dpc_msg *msg);
void open_admin(struct place *place);

#endif
