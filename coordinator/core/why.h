/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a worker gets no lease, a path is not trained and a module has not closed its round, as the
 * core itself judges it: the same functions decide.
 *
 * Owns: nothing; answers are plain values, good until the next event. Threads: the core's.
 */
#ifndef DPC_COORDINATOR_CORE_WHY_H
#define DPC_COORDINATOR_CORE_WHY_H

#include "coordinator/core/core.h"

enum { DPC_REFUSALS_KEPT = 4, DPC_WHY_TEXT_MAX = 256 };

/* --- A worker. */

/* What comes of asking for work. */
enum dpc_ask {
    DPC_ASK_LEASE = 1, /* a task is ready for it */
    DPC_ASK_AGAIN,     /* the lease that it holds, or the audit */
    DPC_ASK_UNKNOWN,   /* it never said hello */
    DPC_ASK_BARRED,
    DPC_ASK_CLASS,     /* its numeric class is not the one that strict mode keeps to */
    DPC_ASK_PAUSED,    /* its last leases came to nothing */
    DPC_ASK_FINISHED,  /* so is the experiment */
    DPC_ASK_DRAINED,   /* by the operator */
    DPC_ASK_TOO_LARGE, /* what is ready does not fit its memory */
    DPC_ASK_NOTHING,   /* no task is ready */
};
/* A word for programs. */
const char *dpc_ask_name(enum dpc_ask ask);

/* A submission that was not accepted. */
struct dpc_refusal {
    int64_t at_ms;
    enum dpc_verdict verdict;
    uint32_t path, round;
    uint64_t lease; /* serial */
    char text[DPC_WHY_TEXT_MAX];
};

/* What there is to do. */
struct dpc_why_tasks {
    uint32_t ready;    /* for whoever asks first and may have it */
    uint32_t held;     /* by somebody who counts as being at work */
    uint32_t failing;  /* let alone, since they failed wherever they were tried */
    uint32_t folding;  /* outer steps under way */
    int64_t backup_ms; /* until the first of those held is for others, too; -1: none is held */
    uint32_t chunks, chunks_left; /* of documents, of the phase */
};
void dpc_core_why_tasks(const struct dpc_core *core, int64_t now_ms,
                        struct dpc_why_tasks *ret_tasks);

struct dpc_why_worker {
    enum dpc_ask ask;            /* what comes of it if it asks now */
    char text[DPC_WHY_TEXT_MAX]; /* the reason that it is told; "": it gets a lease */
    uint32_t retry_ms;           /* after which it is to ask again; 0: it is not told */
    bool connected;              /* it is there: heard of within three heartbeats */
    bool greeted;                /* it has said hello to this process */
    bool copied;                 /* several processes work with its key (dpc_core_is_copied) */
    int64_t silent_ms;           /* if so */
    uint32_t heartbeat_ms;
    /* Serials of the lease or audit that it is at work on, and of what it hands in; 0: none. */
    uint64_t lease, handing_in;
    uint32_t fruitless; /* leases in a row that came to nothing */
    uint64_t too_large; /* bytes of the smallest path that did not fit; 0: all did */
    struct dpc_why_tasks tasks;
    uint32_t refusals_count;
    struct dpc_refusal refusals[DPC_REFUSALS_KEPT]; /* the newest first; of this process */
};
void dpc_core_why_worker(const struct dpc_core *core,
                         const uint8_t worker[static DPC_WORKER_KEY_BYTES], int64_t now_ms,
                         struct dpc_why_worker *ret_why);

/* --- A path. */

enum dpc_path_standing {
    DPC_PATH_READY = 1, /* for whoever asks */
    DPC_PATH_HELD,      /* somebody counts as being at work on its round */
    DPC_PATH_DONE,      /* with all rounds that it owes */
    DPC_PATH_PHASE,     /* it does not train in this phase, or as far as the next one only */
    DPC_PATH_WAITS,     /* a module has not the round's version */
    DPC_PATH_FAILS,     /* its round failed wherever it was tried, and is let alone */
};
const char *dpc_path_standing_name(enum dpc_path_standing standing);
/* READY where dpc_core_why_path says HELD: whether it needs another is a matter of time. */
enum dpc_path_standing dpc_core_path_standing(const struct dpc_core *core, uint32_t path);

/* What a module lacks for a round that is to begin. */
enum dpc_lack {
    DPC_LACK_NONE = 0,
    DPC_LACK_VERSION, /* it has none yet */
    DPC_LACK_FOLD,    /* an outer step is under way */
    DPC_LACK_ROUND,   /* it has not come as far */
    DPC_LACK_PATH,    /* it has gone on: the path is behind */
};

struct dpc_why_path {
    enum dpc_path_standing standing;
    uint32_t round, rounds, rounds_open; /* of its own: present, owed, before the next phase */
    uint32_t part_steps, steps;          /* of the round: handed in, and in all */
    uint32_t lacks_count;                /* WAITS */
    struct {
        uint32_t module, round;
        enum dpc_lack lack;
    } lacks[DPC_LEVELS_MAX];
    uint32_t leases_count; /* on its round */
    int64_t backup_ms;     /* HELD: until others may have it, too */
    uint32_t tries;        /* that ended with a value that is not finite */
    char failure[DPC_WHY_TEXT_MAX];
};
void dpc_core_why_path(const struct dpc_core *core, uint32_t path, int64_t now_ms,
                       struct dpc_why_path *ret_why);

/* Until others may have the task of the lease at that place (dpc_core_lease_at); 0: they may; -1:
 * nobody may any more. */
int64_t dpc_core_backup_in(const struct dpc_core *core, uint32_t index, int64_t now_ms);

/* --- A module. */

enum dpc_module_standing {
    DPC_MODULE_ABSENT = 1, /* it has no version yet */
    DPC_MODULE_DONE,       /* with all rounds */
    DPC_MODULE_FOLDING,    /* its outer step is under way */
    DPC_MODULE_WAITS,      /* for paths that have not delivered */
    DPC_MODULE_QUORUM,     /* elastic mode: for enough of them */
    DPC_MODULE_GRACE,      /* it has enough, and waits a while for the others */
    DPC_MODULE_CLOSES,     /* its outer step begins with the next event */
};
const char *dpc_module_standing_name(enum dpc_module_standing standing);

struct dpc_why_module {
    enum dpc_module_standing standing;
    uint32_t version, round, rounds; /* that it has made, and owes */
    uint32_t paths;                  /* through it, and of these: */
    uint32_t planned;                /* they train in the round, */
    uint32_t delivered;              /* they have handed all of it in, */
    uint32_t behind;                 /* they have it behind them, planned or not */
    double quorum;                   /* that must have delivered; elastic mode */
    int64_t grace_ms;                /* GRACE: left; else -1 */
    uint64_t rollbacks;              /* among its versions */
};
void dpc_core_why_module(const struct dpc_core *core, uint32_t module, int64_t now_ms,
                         struct dpc_why_module *ret_why);

/* "3.1 s", "125 s", "12 min". */
const char *dpc_why_time(int64_t ms, char ret_text[static 32]);

#endif
