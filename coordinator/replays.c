/* SPDX-License-Identifier: Apache-2.0
 * Replays as the operator asks for them: one at a time, a version a job, so that outer steps and
 * sweeps come between. The asker is told a number and asks for what came out so far. */
#include "coordinator/state.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* Rows that are told at a time, and kept in all. */
enum { PAGE_ROWS = 500, ROWS_MAX = 1000000 };

void
server_drop_replay(struct dpc_server *server)
{
    for (uint32_t i = 0; i < server->replays.rows_count; i++)
        dpc_free(server->replays.rows[i].text);
    server->replays.rows = dpc_free(server->replays.rows);
    server->replays.rows_count = server->replays.rows_capacity = 0;
}

/* --- Which versions. */

/* At a module's first version its newest one is noted: what is made meanwhile is another replay's.
 * False: there are no more. */
static bool
find_next(struct dpc_server *server)
{
    struct dpc_replays *replays = &server->replays;
    while (replays->module < replays->modules_end) {
        if (replays->next == 0 && !replays->one) {
            const struct dpc_module_record *module = dpc_core_module(server->core, replays->module);
            replays->versions_end = module ? module->version + 1 : 0;
        }
        if (replays->next < replays->versions_end)
            return true;
        replays->module++;
        replays->next = 0;
    }
    return false;
}

static void
begin_next(struct dpc_server *server)
{
    struct dpc_replays *replays = &server->replays;
    replays->running = find_next(server);
    if (!replays->running)
        return;
    struct dpc_job *job = dpc_job_create(DPC_JOB_REPLAY, &server->world);
    job->replay = (struct dpc_replay_row){.module = replays->module, .version = replays->next++};
    server_start_job(server, job);
}

static int
read_argument(struct dpc_server *server, const char *argument, struct dpc_replays *ret_replays,
              struct dpc_error *err)
{
    char name[2 * DPC_NAME_MAX];
    const struct dpc_topology *topology = dpc_core_topology(server->core);
    size_t len = strcspn(argument, " ");
    *ret_replays = (struct dpc_replays){.modules_end = topology->modules_count};
    if (len == 0)
        return DPC_OK;
    (void)snprintf(name, sizeof name, "%.*s", len < sizeof name ? (int)len : (int)sizeof name - 1,
                   argument);
    if (!dpc_topology_module_find(topology, name, &ret_replays->module))
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "there is no module \"%s\"; dipacoctl modules lists them", name);
    ret_replays->modules_end = ret_replays->module + 1;
    if (!argument[len])
        return DPC_OK;
    if (!server_read_number(argument + len + 1, &ret_replays->next))
        return dpc_error_set(err, DPC_EINVAL,
                             "a replay names a module and a version, such as \"lower.1 3\"");
    const struct dpc_module_record *module = dpc_core_module(server->core, ret_replays->module);
    if (!module || ret_replays->next > module->version)
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "there is no version %u of module %s; dipacoctl versions lists them",
                             ret_replays->next, name);
    ret_replays->one = true;
    ret_replays->versions_end = ret_replays->next + 1;
    return DPC_OK;
}

static int
check_size(const struct dpc_server *server, const struct dpc_replays *replays,
           struct dpc_error *err)
{
    uint64_t rows = 0;
    for (uint32_t i = replays->module; i < replays->modules_end && !replays->one; i++) {
        const struct dpc_module_record *module = dpc_core_module(server->core, i);
        rows += module ? module->version + 1u : 0;
    }
    if (rows <= ROWS_MAX)
        return DPC_OK;
    return dpc_error_set(err, DPC_ELIMIT,
                         "these are %llu versions, and %d can be replayed at a time: ask module "
                         "by module",
                         (unsigned long long)rows, ROWS_MAX);
}

int
server_ask_replay(struct dpc_server *server, const char *argument, struct dpc_json *root,
                  struct dpc_error *err)
{
    struct dpc_replays replays;
    int code = read_argument(server, argument, &replays, err);
    if (code == DPC_OK)
        code = check_size(server, &replays, err);
    if (code == DPC_OK && server->replays.running)
        code = dpc_error_set(err, DPC_EBUSY, "versions are being replayed: ask again later");
    if (code != DPC_OK)
        return code;
    replays.number = server->replays.number + 1;
    server_drop_replay(server);
    server->replays = replays;
    begin_next(server);
    dpc_json_set_integer(root, "number", (int64_t)replays.number);
    return DPC_OK;
}

/* --- What came out. */

void
server_replayed(struct dpc_server *server, const struct dpc_job *job)
{
    struct dpc_replays *replays = &server->replays;
    if (replays->rows_count == replays->rows_capacity) {
        replays->rows_capacity = replays->rows_capacity ? 2 * replays->rows_capacity : 64;
        replays->rows = dpc_grow(replays->rows, replays->rows_capacity, sizeof *replays->rows);
    }
    const struct dpc_replay_row *row = &job->replay;
    replays->rows[replays->rows_count++] = (struct dpc_replayed){
        .module = row->module,
        .version = row->version,
        .cause = row->cause,
        .parent = row->parent,
        .contributions = row->contributions,
        .verdict = row->verdict,
        .text = row->text[0] ? dpc_strdup(row->text) : NULL,
    };
    if (row->text[0])
        dpc_log_error("replay module=%u version=%u verdict=%s reason=\"%s\"", row->module,
                      row->version, dpc_replay_verdict_name(row->verdict), row->text);
    begin_next(server);
}

static struct dpc_json *
tell_row(const struct dpc_server *server, const struct dpc_replayed *row)
{
    char name[2 * DPC_NAME_MAX];
    struct dpc_json *object = dpc_json_object();
    dpc_topology_module_name(dpc_core_topology(server->core), row->module, name, sizeof name);
    dpc_json_set_text(object, "module", name);
    dpc_json_set_integer(object, "version", row->version);
    dpc_json_set_text(object, "cause", server_cause_name(row->cause));
    dpc_json_set_integer(object, "parent", row->parent);
    dpc_json_set_integer(object, "contributions", row->contributions);
    dpc_json_set_text(object, "verdict", dpc_replay_verdict_name(row->verdict));
    dpc_json_set_text(object, "text", row->text ? row->text : "");
    return object;
}

int
server_tell_replay(struct dpc_server *server, const char *argument, struct dpc_json *root,
                   struct dpc_error *err)
{
    const struct dpc_replays *replays = &server->replays;
    struct dpc_json *rows = dpc_json_array();
    uint32_t first = 0;
    if (argument[0] && !server_read_number(argument, &first)) {
        dpc_json_destroy(rows);
        return dpc_error_set(err, DPC_EINVAL, "\"%.64s\" is no number of a row", argument);
    }
    uint32_t last = first;
    for (; last < replays->rows_count && last - first < PAGE_ROWS; last++)
        dpc_json_append(rows, tell_row(server, &replays->rows[last]));
    dpc_json_set_integer(root, "number", (int64_t)replays->number);
    dpc_json_set_bool(root, "running", replays->running || last < replays->rows_count);
    dpc_json_set(root, "replay", rows);
    return DPC_OK;
}
