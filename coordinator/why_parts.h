/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of `dipacoctl why` share (why.c: what is meant, and workers; why_chain.c: leases,
 * paths and modules): a chain of links, each of which says why the one before it is so, in numbers
 * and in words.
 *
 * Owns: nothing; the links are the reply's. Threads: the server's loop. Not here: anything that
 * others call (state.h has server_why).
 */
#ifndef DPC_COORDINATOR_WHY_PARTS_H
#define DPC_COORDINATOR_WHY_PARTS_H

#include "coordinator/core/why.h"
#include "coordinator/state.h"

enum { WHY_NAME_BYTES = 2 * DPC_NAME_MAX };

struct why_chain {
    struct dpc_server *server;
    const struct dpc_core *core;
    const struct dpc_topology *topology;
    int64_t now_ms;
    struct dpc_json *links;
};

/* Takes the text; the caller adds numbers to the link, which is the chain's. */
struct dpc_json *why_add_link(struct why_chain *chain, const char *what, const char *name,
                              const char *reason, char *text);
const char *why_path_name(const struct why_chain *chain, uint32_t path,
                          char ret_name[static WHY_NAME_BYTES]);

/* The lease that dpc_core_lease_at gives for `index`. */
void why_add_lease(struct why_chain *chain, uint32_t index, const struct dpc_lease_view *lease);
/* What the worker has handed in, while it is read through before the core sees it; else nothing. */
void why_add_check(struct why_chain *chain, const uint8_t *key);
/* Where a phase is not about training paths. */
void why_add_phase(struct why_chain *chain);

/* From a path, or UINT32_MAX for none, to what it waits for, and so on. */
void why_follow_path(struct why_chain *chain, uint32_t path);
void why_follow_module(struct why_chain *chain, uint32_t module);
/* The path that keeps training from going on: with most rounds to go, of those that somebody holds
 * or that wait; UINT32_MAX: none. */
uint32_t why_find_furthest(const struct why_chain *chain);

#endif
