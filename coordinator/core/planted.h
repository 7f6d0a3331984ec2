/* SPDX-License-Identifier: Apache-2.0
 *
 * Bugs planted on purpose, to show that the simulator finds each (tests/sim, `make sim-bugs`). A
 * build has none of them unless DPC_SIM_BUG names one; the conditions are then constant and vanish.
 *
 * Owns: nothing. Threads: constant. Not here: any switch at run time.
 */
#ifndef DPC_COORDINATOR_CORE_PLANTED_H
#define DPC_COORDINATOR_CORE_PLANTED_H

#ifndef DPC_SIM_BUG
#define DPC_SIM_BUG 0
#endif

enum dpc_planted {
    DPC_PLANTED_REPLY_FIRST = 1,    /* a reply leaves before the batch is on disk */
    DPC_PLANTED_NO_FENCE = 2,       /* a submission counts for whatever lease its sender holds */
    DPC_PLANTED_ACCEPT_TWICE = 3,   /* other leases on an accepted task live on */
    DPC_PLANTED_ARRIVAL_ORDER = 4,  /* contributions are folded in the order of their leases */
    DPC_PLANTED_READY_EARLY = 5,    /* a path is ready one version too early */
    DPC_PLANTED_SERIAL_AGAIN = 6,   /* the next token's serial is not on disk */
    DPC_PLANTED_WARM_FORGOTTEN = 7, /* after a restart the present dense version is the warm one */
    DPC_PLANTED_FOLD_FORGOTTEN = 8, /* outer steps under way are not asked for again */
};

#define DPC_PLANTED(bug) (DPC_SIM_BUG == (bug))

#endif
