/* SPDX-License-Identifier: Apache-2.0
 *
 * A table of routes: for each piece of documents (DPC_PIECE_TOKENS) the path that is the best
 * behind its end, or none. What the router network learns from, and what it answers. Little-endian:
 * {"DPCRTAB1", u32 format 1, u32 count}, then for each u16 path, DPC_ROUTE_NONE for none, and f32
 * margin.
 *
 * Owns: nothing. Threads: any. Limits: DPC_ROUTES_MAX pieces a table.
 */
#ifndef DPC_DATA_ROUTES_H
#define DPC_DATA_ROUTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"

enum {
    DPC_ROUTES_MAX = 1 << 24, /* a quarter of a million documents of 64 pieces; 100 MB */
    DPC_ROUTES_HEADER_BYTES = 16,
    DPC_ROUTES_ENTRY_BYTES = 6,
    DPC_ROUTE_NONE = DPC_REROUTE_PATHS_MAX, /* the number of no path */
};

struct dpc_route {
    uint16_t path;
    float margin; /* how much surer the network is of it than of the document's own path, nats */
};

/* Appends a table; check out->failed. `count` is at most DPC_ROUTES_MAX. */
void dpc_routes_write(struct dpc_buf *out, const struct dpc_route *routes, size_t count);

/* Bytes of a table. */
static inline uint64_t
dpc_routes_bytes(uint64_t count)
{
    return DPC_ROUTES_HEADER_BYTES + count * DPC_ROUTES_ENTRY_BYTES;
}

/* A table of `count` routes to paths below `paths`, or none, into fresh memory (dpc_free it; never
 * NULL). DPC_EVERSION for another format, DPC_ELIMIT, and DPC_ECORRUPT for all else, margins that
 * are negative or not finite among it. */
int dpc_routes_read(const void *bytes, size_t len, size_t count, uint32_t paths,
                    struct dpc_route **ret_routes, struct dpc_error *err) DPC_MUST_CHECK;

#endif
