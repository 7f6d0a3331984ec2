/* SPDX-License-Identifier: Apache-2.0
 *
 * New routes at evaluation (DiPaCo, section 2.4.3): what the router network is to learn, and what
 * the held-out documents cost when it chooses the path anew after every so many tokens. A path that
 * is switched to has read none of the window so far and must: its loss on a piece is that behind
 * all of the window's tokens, and the recomputing is counted.
 *
 * Owns: see each call. Threads: an executor.
 */
#ifndef DPC_COORDINATOR_CORPUS_REROUTE_H
#define DPC_COORDINATOR_CORPUS_REROUTE_H

#include "coordinator/corpus/world.h"
#include "data/routes.h"

/* Puts the table of routes (data/routes.h) of all traced documents: the path that has it, at every
 * piece; but of the router split's first ones, which the network learns from, the path of the least
 * loss on the `reroute.ahead` tokens behind the piece's end, none where no token counts. */
int dpc_reroute_label(const struct dpc_world *world, const struct dpc_phase_record *phase,
                      struct dpc_blob_ref *ret_routes, struct dpc_error *err) DPC_MUST_CHECK;

/* Puts a table of routes. */
int dpc_reroute_put(struct dpc_store *store, const struct dpc_route *routes, size_t count,
                    struct dpc_blob_ref *ret_routes, struct dpc_error *err) DPC_MUST_CHECK;

/* The held-out documents with a new route after every `every` tokens; 0: never, which is the path
 * that each was routed to. Routes change between pieces behind the routing prefix, to the path that
 * the network says where it is surer of that by `margin` nats than of the document's own, which was
 * the best margin on router documents that it had not learned from. */
struct dpc_rerouted {
    uint32_t every;
    double margin; /* infinite: documents stay where they are */
    uint32_t documents;
    double nats;
    uint64_t targets, bytes;
    uint64_t switches;
    uint64_t recomputed; /* tokens that paths read again for them */
};

/* `ret_rows` has a row for never, then one for each of reroute.every; `*ret_count` is their number,
 * 0 where the experiment has no new routes. Appends lines to `tsv`: every, document, targets,
 * bytes, nats. */
int dpc_reroute_evaluate(const struct dpc_world *world, const struct dpc_phase_record *phase,
                         struct dpc_rerouted ret_rows[DPC_REROUTES_MAX + 1], uint32_t *ret_count,
                         struct dpc_buf *tsv, struct dpc_error *err) DPC_MUST_CHECK;

#endif
