/* SPDX-License-Identifier: Apache-2.0
 *
 * What connections have sent and nobody has taken yet. libzmq's high-water marks count whole
 * messages, and a message may have any number of frames: one that never ends would be gathered
 * until no memory is left. A connection that leaves too much untaken is ended.
 *
 * Owns: nothing. Threads: any. Limits: DPC_UNTAKEN_BYTES_MAX of one connection,
 * DPC_UNTAKEN_ALL_BYTES_MAX of all, above which DPC_UNTAKEN_CROWD_BYTES_MAX of one.
 */
#ifndef DPC_PROTO_INFLOW_H
#define DPC_PROTO_INFLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connections that were ended for what they left untaken since the process began. */
uint64_t dpc_inflow_ended(void);

/* A connection has this descriptor from now on; false: none so high is counted. */
bool dpc_inflow_begin(int fd);
/* It may be something else's from now on. */
void dpc_inflow_end(int fd);

/* What is accepted from this listening socket on is not libzmq's, and is not counted. */
void dpc_inflow_let_be(int listener);
/* A connection of that listening socket has this descriptor from now on. */
bool dpc_inflow_begin_of(int listener, int fd);

/* A message of so many frames and bytes has left libzmq; `fd` as it says, or less than 0. */
void dpc_inflow_take(int fd, size_t frames, uint64_t bytes);

#endif
