/* SPDX-License-Identifier: Apache-2.0
 * Revokes as the operator asks for them, one at a time. First is found out what the worker handed
 * in and whether it can be taken out; only then the worker is barred, and what is not merged yet is
 * void, in one batch. With --retrain the same batch brings older versions back. Else modules are
 * folded again, one after the other, each with a batch of its own; one that moves on meanwhile is
 * folded again from where it stands. A coordinator that ends in between has done a part: asking
 * again does the rest, for versions that hold nothing of it are let alone. Where documents are
 * routed anew meanwhile, the rest is done when that is over. */
#include "coordinator/state.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* A module that closes rounds faster than it is folded again that often is given up. */
enum { TRIES_MAX = 8 };

void
server_drop_revoke(struct dpc_server *server)
{
    dpc_free(server->revokes.tainted);
    dpc_free(server->revokes.rows);
    server->revokes.tainted = NULL;
    server->revokes.rows = NULL;
}

static void
end(struct dpc_server *server, int code, const struct dpc_error *error)
{
    struct dpc_revokes *revokes = &server->revokes;
    revokes->running = false;
    revokes->code = code;
    if (code != DPC_OK) {
        revokes->error = *error;
        dpc_log_warning("revoke ended worker=%s reason=\"%s\"", revokes->name, error->text);
    } else {
        dpc_log_info("revoked worker=%s since=%u dense_since=%u modules=%u leases_voided=%u",
                     revokes->name, revokes->since, revokes->dense_since, revokes->rows_count,
                     revokes->leases_voided);
    }
    SERVER_NOTE(server, "revoke", DPC_FIELD_TEXT("name", revokes->name),
                DPC_FIELD_NUMBER("since", revokes->since),
                DPC_FIELD_NUMBER("modules", revokes->rows_count),
                DPC_FIELD_TEXT("reason", code == DPC_OK ? "" : error->text));
}

static void
begin_job(struct dpc_server *server, enum dpc_refold_kind kind)
{
    struct dpc_revokes *revokes = &server->revokes;
    uint32_t modules = dpc_core_topology(server->core)->modules_count;
    struct dpc_job *job = dpc_job_create(DPC_JOB_REFOLD, &server->world);
    struct dpc_refold_task *task = &job->refold;
    task->kind = kind;
    memcpy(task->worker, revokes->worker, sizeof task->worker);
    task->since = revokes->since;
    task->dense_since = revokes->dense_since;
    task->module = revokes->module;
    task->versions = dpc_alloc(modules, sizeof *task->versions);
    for (uint32_t i = 0; i < modules; i++)
        task->versions[i] = dpc_core_module(server->core, i)->version;
    if (kind == DPC_REFOLD_MODULE && revokes->tainted_count) {
        task->tainted_count = revokes->tainted_count;
        task->tainted = dpc_alloc(revokes->tainted_count, sizeof *task->tainted);
        memcpy(task->tainted, revokes->tainted, revokes->tainted_count * sizeof *task->tainted);
    }
    revokes->busy = true;
    server_start_job(server, job);
}

/* --- Telling the core. */

/* Only once the worker is barred: before that nothing has been done, and it is refused. Nor without
 * room, since no sweep makes any beside a revoke. */
static bool
put_off(struct dpc_server *server)
{
    struct dpc_error err;
    struct dpc_revokes *revokes = &server->revokes;
    if (!revokes->barred || !server_has_room(server) ||
        dpc_core_check_rollback(server->core, &err) != DPC_EBUSY)
        return false;
    if (!revokes->put_off)
        dpc_log_info("revoke put off worker=%s phase=%s", revokes->name,
                     dpc_phase_name(dpc_core_phase(server->core)->phase));
    revokes->put_off = true;
    return true;
}

/* False: the revoke has ended, or is put off. */
static bool
tell_core(struct dpc_server *server, struct dpc_event *event)
{
    struct dpc_revokes *revokes = &server->revokes;
    struct dpc_error err;
    if (put_off(server))
        return false;
    int code = dpc_core_check_rollback(server->core, &err);
    if (code != DPC_OK && revokes->barred)
        code = dpc_error_prefix(&err, code, "the worker is barred, and %u modules are without it",
                                revokes->rows_count);
    if (code == DPC_OK)
        code = server_check_room(server, &err);
    if (code != DPC_OK) {
        end(server, code, &err);
        return false;
    }
    uint32_t leases = dpc_core_leases_count(server->core);
    event->type = DPC_EVENT_REVOKE;
    memcpy(event->worker, revokes->worker, sizeof event->worker);
    event->revoke.tainted_count = revokes->tainted_count;
    event->revoke.tainted = revokes->tainted;
    event->revoke.name = revokes->name;
    server_step(server, event, NULL, 0);
    if (!revokes->barred && server->failure == DPC_OK)
        SERVER_NOTE(server, "worker_barred", DPC_FIELD_TEXT("name", revokes->name));
    revokes->leases_voided += leases - dpc_core_leases_count(server->core);
    revokes->barred = true;
    return server->failure == DPC_OK;
}

static void
add_row(struct dpc_revokes *revokes, uint32_t module, uint32_t version, uint32_t parent,
        uint32_t left_out)
{
    revokes->rows = dpc_grow(revokes->rows, revokes->rows_count + 1u, sizeof *revokes->rows);
    revokes->rows[revokes->rows_count++] = (struct dpc_revoked){module, version, parent, left_out};
}

/* Does any outer step that is under way merge something of it? */
static bool
is_folded_now(const struct dpc_server *server)
{
    const struct dpc_revokes *revokes = &server->revokes;
    for (uint32_t i = 0; i < dpc_core_topology(server->core)->modules_count; i++) {
        if (dpc_core_folds_tainted(server->core, i, revokes->tainted, revokes->tainted_count))
            return true;
    }
    return false;
}

static void
take_tainted(struct dpc_revokes *revokes, struct dpc_refold_task *task)
{
    dpc_free(revokes->tainted);
    revokes->tainted = task->tainted;
    revokes->tainted_count = task->tainted_count;
    task->tainted = NULL;
}

static void
tell_tainted(struct dpc_server *server)
{
    struct dpc_event event = {0};
    if (tell_core(server, &event))
        begin_job(server, DPC_REFOLD_FIND);
}

/* What is tainted is known, and that it can be taken out. Somebody may have gone on from it before
 * the worker was barred: so it is looked for again, until there is no more of it. */
static void
bar(struct dpc_server *server, struct dpc_refold_task *task)
{
    take_tainted(&server->revokes, task);
    server->revokes.dense_since = task->dense_since;
    tell_tainted(server);
}

static void
settle(struct dpc_server *server, struct dpc_refold_task *task)
{
    struct dpc_revokes *revokes = &server->revokes;
    if (task->tainted_count != revokes->tainted_count) {
        bar(server, task);
        return;
    }
    revokes->settled = true;
    if (revokes->retrain || (!task->touched && !is_folded_now(server)))
        end(server, DPC_OK, NULL);
}

static bool
holds_dense(const struct dpc_server *server)
{
    const struct dpc_revokes *revokes = &server->revokes;
    uint32_t dense = dpc_topology_dense_path(dpc_core_topology(server->core));
    for (uint32_t i = 0; i < revokes->tainted_count; i++) {
        if (revokes->tainted[i].path == dense)
            return true;
    }
    return false;
}

/* Where the dense path goes back less far, it is looked for again what it holds since then. */
static void
go_back(struct dpc_server *server, struct dpc_refold_task *task)
{
    struct dpc_revokes *revokes = &server->revokes;
    struct dpc_event event = {0};
    struct dpc_version_record *versions = NULL;
    struct dpc_error err;
    uint32_t count = 0, dense_since = revokes->dense_since;
    take_tainted(revokes, task);
    int code = DPC_OK;
    if (task->touched || is_folded_now(server))
        code =
            server_choose_round(server, revokes->since, holds_dense(server) ? &dense_since : NULL,
                                &versions, &count, &err);
    if (code == DPC_OK && dense_since != revokes->dense_since) {
        revokes->dense_since = dense_since;
        dpc_free(versions);
        begin_job(server, DPC_REFOLD_FIND);
        return;
    }
    uint32_t *before = dpc_alloc(count + 1u, sizeof *before);
    for (uint32_t i = 0; i < count; i++)
        before[i] = dpc_core_module(server->core, versions[i].module)->version;
    event.revoke.rollback = (struct dpc_rollback){count, versions};
    if (code != DPC_OK) {
        end(server, code, &err);
    } else if (tell_core(server, &event)) {
        for (uint32_t i = 0; i < count; i++) {
            if (dpc_core_module(server->core, versions[i].module)->version != before[i])
                add_row(revokes, versions[i].module, before[i] + 1, versions[i].version, 0);
        }
        begin_job(server, DPC_REFOLD_FIND);
    }
    dpc_free(before);
    dpc_free(versions);
}

static void
replace(struct dpc_server *server, const struct dpc_refold_task *task)
{
    struct dpc_revokes *revokes = &server->revokes;
    struct dpc_error err;
    struct dpc_event event = {.revoke = {.refolded_count = 1, .refolded = &task->refolded}};
    uint32_t parent = task->refolded.version.parent;
    /* One that holds nothing of it gets nothing of it either, however often it moves on. */
    bool stale = task->touched && dpc_core_module(server->core, task->module)->version != parent;
    if (task->touched && !stale) {
        if (!tell_core(server, &event))
            return;
        add_row(revokes, task->module, parent + 1, parent, task->refolded.entries_count);
    }
    if (!stale) {
        revokes->module++;
        revokes->tries = 0;
        return;
    }
    if (++revokes->tries < TRIES_MAX)
        return;
    int code = dpc_error_set(&err, DPC_EBUSY,
                             "module %u closes rounds faster than it can be folded again; the "
                             "worker is barred: ask again, or with --retrain",
                             task->module);
    end(server, code, &err);
}

void
server_refolded(struct dpc_server *server, struct dpc_job *job)
{
    struct dpc_revokes *revokes = &server->revokes;
    revokes->busy = false;
    struct dpc_error err;
    if (job->code != DPC_OK)
        end(server, job->code, &job->error);
    else if (revokes->forgotten && !revokes->barred && !job->refold.tainted_count)
        end(server,
            dpc_error_set(&err, DPC_ENOTFOUND,
                          "there is no worker with the key \"%s\", nor anything that it has handed "
                          "in since round %u",
                          revokes->name, revokes->since),
            &err);
    else if (job->refold.kind == DPC_REFOLD_MODULE)
        replace(server, &job->refold);
    else if (revokes->barred)
        settle(server, &job->refold);
    else if (revokes->retrain)
        go_back(server, &job->refold);
    else
        bar(server, &job->refold);
}

/* An outer step that merges what is revoked ends first: its version is folded again. Without room
 * it may never end, since no sweep makes any beside a revoke. */
void
server_go_on_revoke(struct dpc_server *server)
{
    struct dpc_revokes *revokes = &server->revokes;
    struct dpc_error err;
    if (!revokes->running || revokes->busy || (!revokes->settled && !revokes->put_off))
        return;
    if (revokes->put_off && put_off(server))
        return;
    revokes->put_off = false;
    if (!revokes->settled)
        tell_tainted(server);
    else if (revokes->module == dpc_core_topology(server->core)->modules_count)
        end(server, DPC_OK, NULL);
    else if (server_check_room(server, &err) != DPC_OK)
        end(server, err.code, &err);
    else if (!dpc_core_folds_tainted(server->core, revokes->module, revokes->tainted,
                                     revokes->tainted_count))
        begin_job(server, DPC_REFOLD_MODULE);
}

/* --- Asking and telling. */

/* "ROUND refold WORKER" or "ROUND retrain WORKER"; a worker's name may hold spaces. */
static int
read_argument(struct dpc_server *server, const char *argument, struct dpc_revokes *ret_revokes,
              struct dpc_error *err)
{
    char round[16];
    struct dpc_key key;
    struct dpc_worker_record worker;
    size_t len = strcspn(argument, " ");
    (void)snprintf(round, sizeof round, "%.*s", len < sizeof round ? (int)len : 0, argument);
    const char *how = argument[len] ? argument + len + 1 : "";
    const char *name = strchr(how, ' ');
    bool retrain = strncmp(how, "retrain ", 8) == 0, refold = strncmp(how, "refold ", 7) == 0;
    if (!server_read_number(round, &ret_revokes->since) || !name || (!retrain && !refold))
        return dpc_error_set(err, DPC_EINVAL,
                             "a revoke names a round, \"refold\" or \"retrain\", and a worker");
    int code = server_find_worker(server, name + 1, &worker, err);
    if (code == DPC_ENOTFOUND && dpc_key_parse(name + 1, &key)) {
        ret_revokes->forgotten = true;
        memcpy(worker.key, key.bytes, sizeof worker.key);
        (void)snprintf(worker.name, sizeof worker.name, "%s", name + 1);
    } else if (code != DPC_OK) {
        return code;
    }
    ret_revokes->retrain = retrain;
    ret_revokes->dense_since = ret_revokes->since;
    memcpy(ret_revokes->worker, worker.key, sizeof ret_revokes->worker);
    (void)snprintf(ret_revokes->name, sizeof ret_revokes->name, "%s", worker.name);
    return DPC_OK;
}

int
server_ask_revoke(struct dpc_server *server, const char *argument, struct dpc_json *root,
                  struct dpc_error *err)
{
    struct dpc_revokes revokes = {.number = server->revokes.number + 1};
    int code = read_argument(server, argument, &revokes, err);
    if (code == DPC_OK && server->revokes.running)
        code = dpc_error_set(err, DPC_EBUSY, "worker %s is being revoked: ask again later",
                             server->revokes.name);
    if (code == DPC_OK)
        code = dpc_core_check_rollback(server->core, err);
    if (code == DPC_OK)
        code = server_check_room(server, err);
    if (code != DPC_OK)
        return code;
    server_drop_revoke(server);
    revokes.running = true;
    server->revokes = revokes;
    begin_job(server, revokes.retrain ? DPC_REFOLD_FIND : DPC_REFOLD_CHECK);
    server_tell_revoke(server, root);
    return DPC_OK;
}

void
server_tell_revoke(const struct dpc_server *server, struct dpc_json *root)
{
    const struct dpc_revokes *revokes = &server->revokes;
    struct dpc_json *rows = dpc_json_array();
    for (uint32_t i = 0; i < revokes->rows_count; i++) {
        char name[2 * DPC_NAME_MAX];
        const struct dpc_revoked *row = &revokes->rows[i];
        struct dpc_json *object = dpc_json_object();
        dpc_topology_module_name(dpc_core_topology(server->core), row->module, name, sizeof name);
        dpc_json_set_text(object, "module", name);
        dpc_json_set_integer(object, "version", row->version);
        dpc_json_set_integer(object, "parent", row->parent);
        dpc_json_set_integer(object, "left_out", row->left_out);
        dpc_json_append(rows, object);
    }
    dpc_json_set_integer(root, "number", (int64_t)revokes->number);
    dpc_json_set_bool(root, "running", revokes->running);
    dpc_json_set_integer(root, "code", revokes->running ? 0 : revokes->code);
    dpc_json_set_text(root, "error", revokes->running ? "" : revokes->error.text);
    dpc_json_set_text(root, "worker", revokes->name);
    dpc_json_set_bool(root, "barred", revokes->barred);
    dpc_json_set_bool(root, "retrain", revokes->retrain);
    dpc_json_set_integer(root, "since", revokes->since);
    dpc_json_set_integer(root, "dense_since", revokes->dense_since);
    dpc_json_set_integer(root, "contributions", revokes->tainted_count);
    dpc_json_set_integer(root, "leases_voided", revokes->leases_voided);
    dpc_json_set(root, "revoke", rows);
}
