/* SPDX-License-Identifier: Apache-2.0
 *
 * How connections are taken while descriptors run short: the last ones belong to files, and who
 * connects is turned away before they are gone. Whoever links this has libzmq and libmicrohttpd
 * take connections so.
 *
 * Owns: one descriptor, for the life of the process. Threads: any.
 */
#ifndef DPC_PROTO_ACCEPT_H
#define DPC_PROTO_ACCEPT_H

#include <stdint.h>

/* Connections that were turned away for want of descriptors since the process began. */
uint64_t dpc_accept_turned_away(void);

/* From the first listener on one descriptor is held back. */
void dpc_accept_begin(void);

#endif
