/* SPDX-License-Identifier: Apache-2.0
 * Workers as the operator names them, and who of them may work, and gets work. A name is what a
 * worker calls itself, so several may share one; a key is nobody else's. */
#include "coordinator/state.h"

#include <string.h>

#include "base/clock.h"

const char *
server_standing_name(enum dpc_standing standing)
{
    static const char *const names[] = {
        [DPC_STANDING_GOOD] = "",
        [DPC_STANDING_REVOKED] = "revoked",
        [DPC_STANDING_QUARANTINED] = "quarantined",
    };
    return names[standing];
}

static bool
has_key(const struct dpc_worker_record *worker, const char *text)
{
    char key_text[DPC_KEY_TEXT_MAX];
    dpc_key_bytes_text(worker->key, key_text);
    return strcmp(key_text, text) == 0;
}

int
server_find_worker(struct dpc_server *server, const char *text,
                   struct dpc_worker_record *ret_worker, struct dpc_error *err)
{
    int64_t silent_ms, now_ms = dpc_clock_now_ms(&dpc_clock_system);
    bool connected;
    uint32_t found = 0, count = dpc_core_workers_count(server->core);
    for (uint32_t i = 0; i < count; i++) {
        const struct dpc_worker_record *worker =
            dpc_core_worker_at(server->core, i, now_ms, &silent_ms, &connected);
        bool by_key = has_key(worker, text);
        if (!by_key && strcmp(worker->name, text) != 0)
            continue;
        *ret_worker = *worker;
        found++;
        if (by_key)
            return DPC_OK;
    }
    if (found == 1)
        return DPC_OK;
    if (found == 0)
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "there is no worker \"%.64s\"; dipacoctl workers lists them", text);
    return dpc_error_set(err, DPC_EINVAL,
                         "%u workers are named \"%.64s\": give the key of one, which dipacoctl "
                         "workers --json tells",
                         found, text);
}

const char *
server_worker_name(const struct dpc_server *server, const uint8_t *key)
{
    int64_t silent_ms;
    bool connected;
    for (uint32_t i = 0; i < dpc_core_workers_count(server->core); i++) {
        const struct dpc_worker_record *worker =
            dpc_core_worker_at(server->core, i, 0, &silent_ms, &connected);
        if (memcmp(worker->key, key, DPC_WORKER_KEY_BYTES) == 0)
            return worker->name;
    }
    return "?";
}

const char *
server_name_or_key(const struct dpc_server *server, const uint8_t *key,
                   char ret_text[static DPC_KEY_TEXT_MAX])
{
    const char *name = server_worker_name(server, key);
    dpc_key_bytes_text(key, ret_text);
    return strcmp(name, "?") == 0 ? ret_text : name;
}

int
server_admit(struct dpc_server *server, const char *argument, struct dpc_json *root,
             struct dpc_error *err)
{
    struct dpc_worker_record worker;
    struct dpc_event event = {.type = DPC_EVENT_STANDING, .standing = DPC_STANDING_GOOD};
    int code = server_find_worker(server, argument, &worker, err);
    if (code == DPC_OK && server->revokes.running)
        code = dpc_error_set(err, DPC_EBUSY, "worker %s is being revoked: ask again later",
                             server->revokes.name);
    if (code == DPC_OK)
        code = server_check_room(server, err);
    if (code != DPC_OK)
        return code;
    memcpy(event.worker, worker.key, sizeof event.worker);
    server_step(server, &event, NULL, 0);
    if (server->failure != DPC_OK) {
        *err = server->failure_text;
        return server->failure;
    }
    if (worker.standing != DPC_STANDING_GOOD) {
        dpc_log_info("admitted worker=%s was=%s", worker.name,
                     server_standing_name(worker.standing));
        SERVER_NOTE(server, "worker_admitted", DPC_FIELD_TEXT("name", worker.name));
    }
    dpc_json_set_text(root, "worker", worker.name);
    dpc_json_set_text(root, "was", server_standing_name(worker.standing));
    dpc_json_set_bool(root, "drained", worker.drained != 0);
    return DPC_OK;
}

/* --- Draining. */

/* What a step with `event` will have changed. */
static void
tell_drained(struct dpc_server *server, const struct dpc_event *event, struct dpc_json *root)
{
    uint32_t changed = 0, already = 0, holding = 0, barred = 0;
    int64_t silent_ms, now_ms = dpc_clock_now_ms(&dpc_clock_system);
    bool connected;
    for (uint32_t i = 0; i < dpc_core_workers_count(server->core); i++) {
        const struct dpc_worker_record *worker =
            dpc_core_worker_at(server->core, i, now_ms, &silent_ms, &connected);
        bool meant =
            event->drain.all || memcmp(worker->key, event->worker, sizeof worker->key) == 0;
        if (meant && worker->standing != DPC_STANDING_GOOD) {
            barred++;
        } else if (meant) {
            bool is_so = (worker->drained != 0) == event->drain.drained;
            already += is_so;
            changed += !is_so;
            holding += dpc_core_held_by(server->core, worker->key) != 0;
        }
    }
    dpc_json_set_integer(root, "changed", changed);
    dpc_json_set_integer(root, "already", already);
    dpc_json_set_integer(root, "holding", holding);
    dpc_json_set_integer(root, "barred", barred);
}

static int
find_drainable(struct dpc_server *server, const char *text, struct dpc_worker_record *ret_worker,
               struct dpc_error *err)
{
    int code = server_find_worker(server, text, ret_worker, err);
    if (code == DPC_OK && ret_worker->standing != DPC_STANDING_GOOD)
        code = dpc_error_set(err, DPC_EPERM,
                             "worker %s is barred (%s) and gets no lease anyway; dipacoctl admit "
                             "takes it in again",
                             ret_worker->name, server_standing_name(ret_worker->standing));
    return code;
}

int
server_drain(struct dpc_server *server, const char *argument, bool drained, struct dpc_json *root,
             struct dpc_error *err)
{
    struct dpc_worker_record worker = {.name = ""};
    struct dpc_event event = {.type = DPC_EVENT_DRAIN};
    event.drain.drained = drained;
    event.drain.all = argument[0] == '\0';
    int code = event.drain.all ? DPC_OK : find_drainable(server, argument, &worker, err);
    if (code == DPC_OK)
        code = server_check_room(server, err);
    if (code != DPC_OK)
        return code;
    memcpy(event.worker, worker.key, sizeof event.worker);
    dpc_json_set_text(root, "worker", worker.name);
    tell_drained(server, &event, root);
    server_step(server, &event, NULL, 0);
    if (server->failure != DPC_OK) {
        *err = server->failure_text;
        return server->failure;
    }
    dpc_log_info("%s worker=%s", drained ? "drained" : "undrained",
                 event.drain.all ? "all" : worker.name);
    return DPC_OK;
}
