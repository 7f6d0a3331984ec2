/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk of the simulator: the vfs seam in memory, and the kv seam over what outlives a process.
 * What was written and not synced is there as long as the machine runs; a power loss keeps, loses
 * or tears it block by block, file contents and names each on their own, as a file system may. A
 * process may end inside any changing operation: that one is half done, and all later ones fail.
 *
 * Owns: all files. Threads: one. Limits: none but memory; nodes live as long as the disk.
 * Not here: when something goes wrong (chaos.c, coordinator.c, worker.c).
 */
#ifndef DPC_TESTS_SIM_DISK_H
#define DPC_TESTS_SIM_DISK_H

#include "base/rng.h"
#include "base/vfs.h"
#include "storage/db/kv.h"

struct sim_disk;

/* What the present process has met: an error that none of these explains is a fault of ours. */
enum sim_disk_met {
    SIM_MET_END = 1, /* the process ended inside an operation */
    SIM_MET_FULL = 2,
    SIM_MET_SYNC = 4, /* a sync failed */
    SIM_MET_READ = 8,
    SIM_MET_FLIP = 16,
};

/* An empty disk with one folder, "/d". Draws from `rng`, which must outlive it. */
struct sim_disk *sim_disk_create(struct dpc_rng *rng);
struct sim_disk *sim_disk_destroy(struct sim_disk *disk);
const struct dpc_vfs *sim_disk_vfs(struct sim_disk *disk);

/* A process begins on it, and ends after `operations_mean` changing operations on average (0:
 * never inside one). Each read fails with `read_failure`. */
void sim_disk_begin(struct sim_disk *disk, uint32_t operations_mean, double read_failure);
bool sim_disk_is_dead(const struct sim_disk *disk);
unsigned sim_disk_met(const struct sim_disk *disk);
/* True when `code` is what the faults so far must lead to. */
bool sim_disk_excuses(const struct sim_disk *disk, int code);
/* The process has ended; with `power_lost` the machine as well. True when something was torn. */
bool sim_disk_end(struct sim_disk *disk, bool power_lost);
/* Another, empty disk in its place. */
void sim_disk_wipe(struct sim_disk *disk);

/* `told`: its free room says so; else a quota is used up, which only a write finds out. */
void sim_disk_set_full(struct sim_disk *disk, bool full, bool told);
/* The next sync fails, and what it should have kept is never kept. */
void sim_disk_fail_sync(struct sim_disk *disk);
/* Flips a bit of some synced file; false when there is none. */
bool sim_disk_flip(struct sim_disk *disk);
/* Flips them all back: the operator's backup. */
void sim_disk_repair(struct sim_disk *disk);
/* No fault any more from here on. */
void sim_disk_calm(struct sim_disk *disk);

/* Without faults and without counting: a file's bytes as they are now; NULL when there is none. */
const struct dpc_buf *sim_disk_peek(struct sim_disk *disk, const char *path, bool *ret_flipped);

/* Heads, of the disk's stream. */
bool sim_disk_coin(struct sim_disk *disk);
/* Counts a change that is not the vfs's. True when the process is dead, or ends with this one. */
bool sim_disk_strikes(struct sim_disk *disk);
/* DPC_OK, or the error that a read meets. */
int sim_disk_read_code(struct sim_disk *disk);
bool sim_disk_is_full(struct sim_disk *disk);

/* --- The kv over `data`, which outlives the process (kv.c). */

enum { SIM_HISTORY_MAX = 8 };

/* What the last writes were, so that a disk that lies can lose them. */
struct sim_history {
    bool recording;
    bool kept; /* the present or the last write is on disk, whatever was answered */
    uint32_t count, undone;
    struct sim_write {
        struct dpc_kv_batch undo, redo;
        bool ledger, promised;
    } writes[SIM_HISTORY_MAX];
};
void sim_history_init(struct sim_history *history);
void sim_history_done(struct sim_history *history);
/* The last write was acknowledged, its promise included. */
void sim_history_promise(struct sim_history *history);
/* Takes back the last writes, up to one whose ledger entry was promised; false: there is none. */
bool sim_history_lose(struct sim_history *history, struct dpc_kv *data);
/* The operator's backup: what was lost is there again. */
void sim_history_restore(struct sim_history *history, struct dpc_kv *data);

/* A process's handle; closing it leaves `data` as it is. */
struct dpc_kv *sim_kv_open(struct sim_disk *disk, struct dpc_kv *data, struct sim_history *history);

#endif
