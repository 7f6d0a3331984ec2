/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the loop: its state, and what its parts share. loop.c turns; loop_device.c follows the
 * device that computes; loop_transfer.c moves blobs; loop_owner.c does what the owner of the
 * machine wants, and tells him how the worker stands.
 *
 * Owns: nothing. Threads: the loop's. Not here: what others may call (loop.h).
 */
#ifndef DPC_WORKER_LOOP_PARTS_H
#define DPC_WORKER_LOOP_PARTS_H

#include "worker/loop.h"
#include "worker/blobs/mirror.h"
#include "worker/compute/runner.h"
#include "worker/session/session.h"
#include "worker/standing.h"

enum {
    STATUS_RUNNING = -1,    /* no exit status yet */
    MESSAGES_PER_TURN = 64, /* of one link, so that the other one gets its turn */
    ALONE_MS = 15 * 1000,   /* without an answer from the coordinator, before that is told */
};

/* Blobs of one lease on their way. */
struct loop_moves {
    struct dpc_transfer *transfer; /* on the bulk link; NULL: there is none yet */
    bool under_way;                /* the session waits for the list to be through */
    struct dpc_error err;          /* why it failed; code DPC_OK: it has not */
};

struct dpc_worker {
    const struct dpc_worker_options *options;
    char numeric_class[128], next_class[128];
    bool device_waits; /* of the next class, until what is handed in is done */
    struct dpc_net *net;
    struct dpc_link *control, *bulk;
    char bulk_endpoint[DPC_ENDPOINT_MAX];
    struct dpc_transfer_files files;
    struct loop_moves down, up;        /* of the lease in hand, and of the one before it */
    struct dpc_mirror *mirror;         /* of what goes down; NULL: none */
    char mirror_url[DPC_ENDPOINT_MAX]; /* as it was named, used or not */
    struct dpc_token unstarted;        /* of a lease whose job could not be queued; zero: none */
    struct dpc_cache *cache;
    struct dpc_spill *spill;
    struct dpc_device *device;
    struct dpc_runner *runner;
    struct dpc_session *session;
    struct dpc_notice *notice; /* NULL: no cloud, no notices */
    enum dpc_notice_state notice_state;
    bool begun;    /* the session has */
    bool yielding; /* to others on the card, as the log knows */
    bool fallback_told;
    struct dpc_session_actions actions;
    struct dpc_experiment experiment;
    char *experiment_yaml; /* what `experiment` was read from; NULL before the first welcome */
    int signal_fd;
    bool stopping; /* a signal asked for it */
    bool disk_failed;
    unsigned interrupts;
    uint64_t epoch; /* of the control link */
    enum dpc_link_state link_state;
    int status;
    int stop_status; /* of a stop that the loop itself wants; STATUS_RUNNING: none */
    bool ready;      /* the service manager knows */
    int64_t progress_at_ms;
    int64_t alone_told_ms; /* when it is told next that nobody answers; 0: somebody does */
    uint32_t steps_seen;
    uint64_t life_seen;   /* of the runner */
    int64_t cut_since_ms; /* transfers have had no contact; 0: they have, or there are none */
    bool cut_told;
    struct dpc_log_limit garbage;

    /* loop_owner.c */
    struct dpc_owner *owner;
    struct dpc_owner_verdict rest; /* the last one */
    int64_t rest_since_ms;
    struct dpc_allowance *allowance;
    bool used_up; /* this month's bytes are */
    int64_t used_up_until_s;
    bool allowance_failed; /* its last save did, and the log knows */
    struct dpc_standing_file *standing;
    int64_t started_s, contact_s; /* wall clock */
    bool contact;                 /* as the standing knows it */
    int64_t paused_until_s;       /* as it said last */
    bool standing_failed;         /* its last write did, and the log knows */
};

static inline int64_t
loop_now(void)
{
    return dpc_clock_now_ms(&dpc_clock_system);
}

/* Carries out what the session answered. */
void loop_act_all(struct dpc_worker *worker);

void loop_report_garbage(struct dpc_worker *worker, const char *channel,
                         const struct dpc_error *err);

/* Takes up what the last process left, and says hello. */
void loop_begin_session(struct dpc_worker *worker);

/* --- loop_device.c. */

/* Between two leases: a card may have come or gone. */
void loop_watch_device(struct dpc_worker *worker);
/* New work is for a device that is there, on a machine that stays. */
void loop_pause_or_go_on(struct dpc_worker *worker);

/* --- loop_transfer.c. */

int loop_connect_bulk(struct dpc_worker *worker, const char *bulk_endpoint,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* Takes the owner's mirror, or the one that the coordinator names ("": none). */
void loop_choose_mirror(struct dpc_worker *worker, const char *named);
/* What the session wants; loop_follow_transfers tells it how that went. */
void loop_fetch_blobs(struct dpc_worker *worker, const struct dpc_session_blobs *blobs);
void loop_upload_blobs(struct dpc_worker *worker, const struct dpc_session_blobs *blobs);
void loop_forget_blobs(struct dpc_worker *worker, struct loop_moves *moves);
void loop_receive_bulk(struct dpc_worker *worker);
void loop_follow_transfers(struct dpc_worker *worker);
/* Until that is due again; INT64_MAX: it is not. */
int64_t loop_transfer_wait_ms(const struct dpc_worker *worker);
/* Once a second. */
void loop_watch_bulk(struct dpc_worker *worker);

/* --- loop_owner.c. */

/* Follows what the owner wants, as he wants it now. */
void loop_follow_owner(struct dpc_worker *worker);
/* Once a second: tells the service manager and the owner how the worker stands. */
void loop_show(struct dpc_worker *worker);
void loop_owner_begin(struct dpc_worker *worker);
/* The last word. */
void loop_owner_end(struct dpc_worker *worker);

#endif
