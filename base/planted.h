/* SPDX-License-Identifier: Apache-2.0
 *
 * Bugs planted on purpose, to show that the simulator finds each (tests/sim, `make sim-bugs`). A
 * build has none of them unless DPC_SIM_BUG names one; the conditions are then constant and vanish.
 *
 * Owns: nothing. Threads: constant. Not here: any switch at run time.
 */
#ifndef DPC_BASE_PLANTED_H
#define DPC_BASE_PLANTED_H

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
    /* of the disk */
    DPC_PLANTED_LOAD_UNCHECKED = 9,      /* a blob that is loaded is not held against its name */
    DPC_PLANTED_ARRIVAL_UNCHECKED = 10,  /* nor one that has arrived */
    DPC_PLANTED_FILE_NOT_SYNCED = 11,    /* a blob gets its name before its bytes are on disk */
    DPC_PLANTED_FOLDER_NOT_SYNCED = 12,  /* a blob's name is not on disk when it is promised */
    DPC_PLANTED_FOUND_NOT_SYNCED = 13,   /* nor that of a blob that a killed run left */
    DPC_PLANTED_STORE_NOT_SYNCED = 14,   /* nor that of the store's own folder */
    DPC_PLANTED_PROMISE_FIRST = 15,      /* the promise file is written before the batch */
    DPC_PLANTED_PROMISE_UNREAD = 16,     /* and not looked at when the store is opened */
    DPC_PLANTED_SYNC_IGNORED = 17,       /* a failed sync of a blob is taken for a success */
    DPC_PLANTED_DIFFERENCE_MISSED = 18,  /* two results of one task may differ */
    DPC_PLANTED_VERSION_NOT_PLACED = 19, /* a new version does not make its paths ready */
    /* of rollbacks */
    DPC_PLANTED_DISCARDED_MERGED = 20, /* what was learned from a discarded version is merged */
    DPC_PLANTED_DISCARDED_LEASED = 21, /* leases on a discarded version live on */
    /* of elastic mode */
    DPC_PLANTED_FOLDING_OPEN = 22,   /* what comes while an outer step is made counts as in time */
    DPC_PLANTED_MERGED_TWICE = 23,   /* a round of which a part was merged is merged late as well */
    DPC_PLANTED_LATE_FORGOTTEN = 24, /* a restart forgets what came late */
    DPC_PLANTED_PART_FORGOTTEN = 25, /* a lease that goes on names no part that it goes on from */
    /* of barred workers and what they handed in */
    DPC_PLANTED_BARRED_LEASED = 30, /* the lease of a barred worker lives on */
    DPC_PLANTED_VOID_MERGED = 31,   /* what was revoked before it was merged is merged */
    DPC_PLANTED_STALE_REFOLD = 32,  /* a module that moved on gets what was computed before */
    DPC_PLANTED_HOLDER_FORGOTTEN = 33, /* a worker that holds a lease makes room for another */
    /* of audits */
    DPC_PLANTED_AUDIT_BLIND = 40, /* an audit finds any two results the same */
    /* of discriminative phases */
    DPC_PLANTED_SCORES_AGAIN = 41, /* after a restart scores of an earlier phase count again */
    DPC_PLANTED_OTHERS_ASKED = 45, /* after a restart other paths are asked to score */
    /* of early stopping */
    DPC_PLANTED_BEST_SWEPT = 42, /* the versions of a path's best round are not kept */
    /* of new routes at evaluation */
    DPC_PLANTED_ROUTES_OLD = 43,   /* the network learns without what traces found */
    DPC_PLANTED_TRACED_SWEPT = 44, /* what is traced is not kept */
};

#define DPC_PLANTED(bug) (DPC_SIM_BUG == (bug))

#endif
