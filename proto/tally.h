/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that each connection has outstanding, by its descriptor, and all together.
 *
 * Owns: nothing. Threads: any. Limits: descriptors below DPC_TALLY_PLACES; of others nothing is
 * counted. Not here: how much is too much (inflow.c, outflow.c).
 */
#ifndef DPC_PROTO_TALLY_H
#define DPC_PROTO_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Descriptors that are counted: twice as many as workers may have connections. */
enum { DPC_TALLY_PLACES = 65536 };

struct dpc_tally {
    atomic_uint_fast64_t by_all;
    struct {
        atomic_bool counted;
        atomic_uint_fast64_t bytes;
    } places[DPC_TALLY_PLACES];
};

static inline bool
dpc_tally_has_place(int fd)
{
    return fd >= 0 && fd < DPC_TALLY_PLACES;
}

static inline bool
dpc_tally_counts(const struct dpc_tally *tally, int fd)
{
    return dpc_tally_has_place(fd) && tally->places[fd].counted;
}

/* The descriptor is another connection's, or none's: nothing of it is outstanding. */
void dpc_tally_reset(struct dpc_tally *tally, int fd, bool counted);
/* Of one that has a place. What it has outstanding with them, and what all have. */
uint64_t dpc_tally_add(struct dpc_tally *tally, int fd, uint64_t bytes, uint64_t *ret_by_all);
/* No more than it has. */
void dpc_tally_take(struct dpc_tally *tally, int fd, uint64_t bytes);

#endif
