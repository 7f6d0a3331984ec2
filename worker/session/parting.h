/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker that has to go hands in of a lease that it cannot finish: the more, the longer it
 * has and the quicker its uplink. Elastic mode alone takes a part of a round.
 *
 * Owns: nothing. Threads: any; a pure function. Not here: who says that it has to go
 * (worker/loop.c), what follows (session.c).
 */
#ifndef DPC_WORKER_SESSION_PARTING_H
#define DPC_WORKER_SESSION_PARTING_H

#include <stdbool.h>
#include <stdint.h>

enum dpc_parting {
    DPC_PARTING_NOTHING = 0, /* the lease goes back */
    DPC_PARTING_DELTAS,      /* what was learned; the path goes on from moments of zero */
    DPC_PARTING_ALL,         /* and the path state */
};

struct dpc_parting_facts {
    bool parts_allowed; /* by the experiment */
    uint32_t steps_done;
    int64_t step_ms; /* for the one that is under way; 0: unknown */
    uint64_t deltas_bytes, state_bytes;
    double up_bytes_per_s; /* as measured; 0: not yet */
    int64_t left_ms;
};

enum dpc_parting dpc_parting_choose(const struct dpc_parting_facts *facts);

#endif
