/* SPDX-License-Identifier: Apache-2.0
 *
 * What poll.c needs of listeners and links: their sockets, and a link's own timer.
 *
 * Owns: nothing. Threads: the listener's or the link's.
 */
#ifndef DPC_PROTO_POLLABLE_H
#define DPC_PROTO_POLLABLE_H

#include "proto/channel.h"

void *dpc_listener_socket(struct dpc_listener *listener);

void *dpc_link_socket(struct dpc_link *link);
/* Readable when the connection changed its state: call dpc_link_service then. */
void *dpc_link_monitor(struct dpc_link *link);
/* Takes note of what happened to the connection, and connects again when it is time. Returns when
 * it wants to be called again at the latest, in ms of dpc_clock_system; 0: no time set. */
int64_t dpc_link_service(struct dpc_link *link);

#endif
