/* SPDX-License-Identifier: Apache-2.0
 * A full disk. Before anything that commits or stores, the disk is asked for its room; with less
 * than the reserve the coordinator pauses: no lease is granted, no blob taken, no submission
 * judged, and jobs that want to store something wait. Workers keep what they have and ask again.
 * Nothing was promised that is not on the disk, so with room again it goes on as if nothing had
 * been.
 *
 * The reserve is what RocksDB may still write on its own, so that it never meets a full disk
 * itself: an error there, or of any sync, is final and ends the daemon. */
#include "coordinator/state.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"

/* A quota is not seen in a disk's free room: what failed is tried again now and then. */
enum { PAUSE_MS_MIN = 5000 };

/* More than it takes to pause, by what one worker hands in, so that it does not pause at once. */
static uint64_t
room_to_resume(const struct dpc_server *server)
{
    uint64_t more = DPC_STORE_RESERVE_BYTES / 2;
    return DPC_STORE_RESERVE_BYTES +
           (server->blob_bytes_max > more ? server->blob_bytes_max : more);
}

int
server_check_room(struct dpc_server *server, struct dpc_error *err)
{
    char text[DPC_TEXT_MAX];
    if (server_has_room(server))
        return DPC_OK;
    server_tell_space(server, text, sizeof text);
    return dpc_error_set(err, DPC_ENOSPACE, "%.500s", text);
}

/* What failed may have been written to another disk, or want more than there is; or a quota is
 * full.
 */
static bool
lacks_room_elsewhere(const struct dpc_server *server)
{
    return server->space.reason[0] && server->space.free_bytes >= room_to_resume(server);
}

void
server_tell_space(const struct dpc_server *server, char *ret_text, size_t size)
{
    if (lacks_room_elsewhere(server)) {
        (void)snprintf(ret_text, size,
                       "%.400s; the store's disk has %.1f MiB free, and this is tried again every "
                       "%d s",
                       server->space.reason, (double)server->space.free_bytes / (double)DPC_MIB,
                       PAUSE_MS_MIN / 1000);
        return;
    }
    (void)snprintf(ret_text, size,
                   "the store's disk is full: %.1f MiB are free and it goes on with %.1f MiB; make "
                   "room on it or lower keep_rounds",
                   (double)server->space.free_bytes / (double)DPC_MIB,
                   (double)room_to_resume(server) / (double)DPC_MIB);
}

/* `reason`: of what failed; "": the disk is short. */
static void
pause_now(struct dpc_server *server, const char *reason)
{
    char text[DPC_TEXT_MAX];
    (void)snprintf(server->space.reason, sizeof server->space.reason, "%s", reason);
    server->space.paused = true;
    server->space.swept = server->space.sweep_failed = false;
    server->space.paused_ms = dpc_clock_now_ms(&dpc_clock_system);
    server->sweeps.asked = true;
    server_tell_space(server, text, sizeof text);
    dpc_log_warning("paused reason=\"%s\"", text);
    SERVER_NOTE(server, "paused", DPC_FIELD_TEXT("reason", text));
}

static void
resume(struct dpc_server *server)
{
    struct dpc_space *space = &server->space;
    uint32_t count = space->waiting_count;
    struct dpc_job **waiting = space->waiting;
    space->paused = false;
    space->waiting = NULL;
    space->waiting_count = 0;
    dpc_log_info("goes on free_bytes=%llu", (unsigned long long)space->free_bytes);
    SERVER_NOTE(server, "goes_on", DPC_FIELD_NUMBER("free_bytes", space->free_bytes));
    for (uint32_t i = 0; i < count; i++) {
        if (waiting[i]->type == DPC_JOB_FOLD && !dpc_core_wants(server->core, &waiting[i]->fold))
            dpc_job_drop(waiting[i]); /* what it would read may have been swept */
        else
            server_start_job(server, waiting[i]);
    }
    dpc_free(waiting);
}

bool
server_has_room(struct dpc_server *server)
{
    struct dpc_space *space = &server->space;
    if (dpc_store_free_bytes(server->store, &space->free_bytes) != DPC_OK)
        return !space->paused; /* a write will tell */
    if (!space->paused && space->free_bytes < DPC_STORE_RESERVE_BYTES)
        pause_now(server, "");
    else if (space->paused && space->free_bytes >= room_to_resume(server) &&
             dpc_clock_now_ms(&dpc_clock_system) - space->paused_ms >= PAUSE_MS_MIN)
        resume(server);
    return !space->paused;
}

bool
server_ran_out(struct dpc_server *server, int code, const char *reason)
{
    if (code != DPC_ENOSPACE || dpc_store_is_broken(server->store))
        return false;
    if (dpc_store_free_bytes(server->store, &server->space.free_bytes) == DPC_OK &&
        !server->space.paused)
        pause_now(server, reason);
    return true;
}

void
server_put_job_off(struct dpc_server *server, struct dpc_job *job)
{
    struct dpc_space *space = &server->space;
    space->waiting = dpc_grow(space->waiting, space->waiting_count + 1u, sizeof(void *));
    space->waiting[space->waiting_count++] = job;
    dpc_job_renew(job);
}

void
server_drop_waiting(struct dpc_server *server)
{
    for (uint32_t i = 0; i < server->space.waiting_count; i++)
        dpc_job_drop(server->space.waiting[i]);
    server->space.waiting = dpc_free(server->space.waiting);
    server->space.waiting_count = 0;
}
