/* SPDX-License-Identifier: Apache-2.0
 *
 * What was given to libzmq for connections and has not gone out. Its high-water marks hold for each
 * connection, of which one worker may have hundreds and read from none: pieces of a megabyte would
 * be gathered for all of them. With much of all together a connection gets more only when what it
 * has been given is gone.
 *
 * Owns: nothing. Threads: any. Limits: DPC_UNSENT_ALL_BYTES_MAX of all, above which
 * DPC_UNSENT_CROWD_BYTES_MAX of one connection.
 * Not here: what is small, which always goes; what a link sends, which transfers bound.
 */
#ifndef DPC_PROTO_OUTFLOW_H
#define DPC_PROTO_OUTFLOW_H

#include <stdbool.h>
#include <stdint.h>

/* A connection has this descriptor from now on, or until now. */
void dpc_outflow_begin(int fd);
void dpc_outflow_end(int fd);

/* Before so many bytes are given to libzmq; false: not now. `fd` less than 0: not known. */
bool dpc_outflow_add(int fd, uint64_t bytes);
/* It did not take them. */
void dpc_outflow_undo(int fd, uint64_t bytes);

#endif
