/* SPDX-License-Identifier: Apache-2.0
 *
 * Versions computed again from the ledger and from what is kept, and held against what the store
 * says of them: whoever doubts a version can see what it was made of, and that it was made of that.
 *
 * Owns: nothing. Threads: any (executors); records and blobs are only read, and a blob that is
 * asked for is spared by a sweep that is under way. Not here: which versions, and telling
 * (coordinator/replays.c).
 */
#ifndef DPC_COORDINATOR_VERSIONS_REPLAY_H
#define DPC_COORDINATOR_VERSIONS_REPLAY_H

#include "coordinator/versions/lineage.h"
#include "ops/ops.h"
#include "storage/db/store.h"

enum dpc_replay_verdict {
    DPC_REPLAY_OK = 1,
    DPC_REPLAY_GIVEN,    /* drawn or imported at the beginning: made of nothing here */
    DPC_REPLAY_NOT_KEPT, /* what it was made of is not kept any more */
    DPC_REPLAY_DIFFERS,  /* something else comes out */
    DPC_REPLAY_DAMAGED,  /* a record or a blob is not what it must be */
    DPC_REPLAY_NOT_READ, /* this machine lacks descriptors or memory for it now */
};
const char *dpc_replay_verdict_name(enum dpc_replay_verdict verdict);

struct dpc_replay_source {
    struct dpc_lineage_source records;
    struct dpc_store *store;
    const struct dpc_ops *ops;
};

struct dpc_replay_row {
    uint32_t module, version;
    enum dpc_version_cause cause; /* 0: not even that could be read */
    uint32_t parent;
    uint32_t contributions; /* that were folded again */
    enum dpc_replay_verdict verdict;
    char text[DPC_ERROR_TEXT_MAX]; /* what is wrong; "": nothing */
};

/* Never fails: what cannot be computed is a verdict. `row` names module and version. */
void dpc_replay_version(const struct dpc_replay_source *source, struct dpc_replay_row *row);

#endif
