/* SPDX-License-Identifier: Apache-2.0
 * Backups as the operator asks for them: one at a time, beside training, and never beside a sweep,
 * which would remove blobs that the copied records name. The asker is told a number and asks again
 * for what became of it, so that nobody waits on a connection for as long as a copy takes. */
#include "coordinator/state.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"

int
server_ask_backup(struct dpc_server *server, const char *folder, struct dpc_error *err)
{
    struct dpc_backups *backups = &server->backups;
    if (backups->wanted || backups->busy)
        return dpc_error_set(err, DPC_EBUSY, "a backup to \"%s\" is being made: ask again later",
                             backups->folder);
    int code = server_check_room(server, err);
    if (code != DPC_OK)
        return code;
    *backups = (struct dpc_backups){
        .number = backups->number + 1, .wanted = true, .made_s = backups->made_s};
    (void)snprintf(backups->folder, sizeof backups->folder, "%s", folder);
    server_begin_backup(server);
    return DPC_OK;
}

void
server_begin_backup(struct dpc_server *server)
{
    struct dpc_backups *backups = &server->backups;
    if (!backups->wanted || server->sweeps.busy)
        return;
    struct dpc_job *job = dpc_job_create(DPC_JOB_BACKUP, &server->world);
    (void)snprintf(job->folder, sizeof job->folder, "%s", backups->folder);
    backups->wanted = false;
    backups->busy = true;
    server_start_job(server, job);
}

void
server_backed_up(struct dpc_server *server, const struct dpc_job *job)
{
    struct dpc_backups *backups = &server->backups;
    backups->busy = false;
    backups->code = job->code;
    backups->error = job->error;
    backups->counts = job->backed_up;
    if (job->code == DPC_OK)
        backups->made_s = dpc_clock_wall_s();
    if (job->code == DPC_OK)
        dpc_log_info("backup made folder=\"%s\" blobs=%llu bytes=%llu copied_bytes=%llu",
                     backups->folder, (unsigned long long)backups->counts.blobs,
                     (unsigned long long)backups->counts.bytes,
                     (unsigned long long)backups->counts.copied_bytes);
    else
        dpc_log_warning("%s", job->error.text);
    SERVER_NOTE(server, "backup", DPC_FIELD_TEXT("folder", backups->folder),
                DPC_FIELD_TEXT("reason", job->code == DPC_OK ? "" : job->error.text));
}

void
server_tell_backup(const struct dpc_server *server, struct dpc_json *root)
{
    const struct dpc_backups *backups = &server->backups;
    bool running = backups->wanted || backups->busy;
    dpc_json_set_integer(root, "number", (int64_t)backups->number);
    dpc_json_set_bool(root, "running", running);
    dpc_json_set_text(root, "folder", backups->folder);
    dpc_json_set_integer(root, "code", running ? 0 : backups->code);
    dpc_json_set_text(root, "error", running ? "" : backups->error.text);
    dpc_json_set_integer(root, "blobs", (int64_t)backups->counts.blobs);
    dpc_json_set_integer(root, "bytes", (int64_t)backups->counts.bytes);
    dpc_json_set_integer(root, "copied_bytes", (int64_t)backups->counts.copied_bytes);
}
