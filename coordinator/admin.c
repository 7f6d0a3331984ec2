/* SPDX-License-Identifier: Apache-2.0
 * Listings for dipacoctl and dipaco run: one verb, one function, in a table. Long listings come in
 * pages: `next` says where the following one begins, and comes back as `after`. */
#include "coordinator/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/layout.h"
#include "coordinator/core/why.h"
#include "coordinator/fork/fork.h"

/* Rows of a page. What a row holds counts as well where that may be much: contributions of the
 * ledger's, with the rows themselves, and paths that a module waits for. So a page fits into a
 * message, and takes the loop some milliseconds. */
enum { PAGE_ROWS = 500, PAGE_CONTRIBUTIONS = 1000, PAGE_PENDING = 4000, ROW_PENDING = 1000 };

struct listing {
    struct dpc_server *server;
    const struct dpc_core *core;
    const struct dpc_topology *topology;
    const char *argument;
    uint64_t after;      /* first row (ledger: sequence) of this page */
    uint64_t rows;       /* of workers, paths and modules */
    uint64_t next;       /* of the following one; 0: no more */
    uint32_t part, rest; /* where in the ledger's entry, or at which version of module `after`, this
                            page begins, and the following one */
    int64_t now_ms;
    struct dpc_json *root;
    struct dpc_error *err;
};

static void
set_hash(struct dpc_json *object, const char *key, const struct dpc_hash *hash)
{
    char text[DPC_HASH_HEX_MAX];
    dpc_hash_hex(hash, text, sizeof text);
    dpc_json_set_text(object, key, dpc_hash_is_none(hash) ? "" : text);
}

static void
set_module(const struct listing *listing, struct dpc_json *object, const char *key, uint32_t module)
{
    char name[2 * DPC_NAME_MAX];
    dpc_topology_module_name(listing->topology, module, name, sizeof name);
    dpc_json_set_text(object, key, name);
}

static void
set_path(const struct listing *listing, struct dpc_json *object, const char *key, uint32_t path)
{
    char name[2 * DPC_NAME_MAX];
    dpc_topology_path_name(listing->topology, path, name, sizeof name);
    dpc_json_set_text(object, key, name);
}

/* --- status */

static void
set_rounds(const struct listing *listing)
{
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < listing->topology->routed_paths; i++) {
        uint32_t done = dpc_core_path(listing->core, i)->rounds_done;
        least = done < least ? done : least;
        most = done > most ? done : most;
    }
    dpc_json_set_integer(listing->root, "rounds_total", listing->server->experiment.outer.rounds);
    dpc_json_set_integer(listing->root, "rounds_done_min", least);
    dpc_json_set_integer(listing->root, "rounds_done_max", most);
}

struct counts {
    uint32_t connected, barred, drained;
    uint32_t helpers; /* of those that are connected: they may get a lease */
};

static void
count_workers(const struct listing *listing, struct counts *counts)
{
    int64_t silent_ms;
    bool connected;
    *counts = (struct counts){0};
    for (uint32_t i = 0; i < dpc_core_workers_count(listing->core); i++) {
        const struct dpc_worker_record *worker =
            dpc_core_worker_at(listing->core, i, listing->now_ms, &silent_ms, &connected);
        counts->connected += connected;
        counts->barred += worker->standing != DPC_STANDING_GOOD;
        counts->drained += worker->drained != 0;
        counts->helpers += connected && !worker->drained;
    }
}

/* "" while something can move: an effect of ours runs, or a worker is there to ask for work. */
static const char *
why_nothing_moves(const struct listing *listing)
{
    struct counts counts;
    switch ((enum dpc_phase)dpc_core_phase(listing->core)->phase) {
    case DPC_PHASE_WARM_START:
    case DPC_PHASE_FEATURIZE:
    case DPC_PHASE_TRAIN:
    case DPC_PHASE_EVALUATE:
    case DPC_PHASE_SCORE:
    case DPC_PHASE_TRACE:
    case DPC_PHASE_REROUTE:
        count_workers(listing, &counts);
        if (counts.helpers || (counts.connected && dpc_core_leases_count(listing->core)))
            return "";
        return counts.connected ? "all workers that are connected are drained; dipacoctl undrain "
                                  "lets them work again"
                                : "no worker is connected";
    default:
        return "";
    }
}

/* What fails wherever it is tried; false when nothing does. */
static bool
tell_failure(const struct listing *listing, char *ret_text, size_t size)
{
    char name[2 * DPC_NAME_MAX];
    uint32_t path, tries;
    const char *failure = dpc_core_failure(listing->core, &path, &tries);
    if (!failure)
        return false;
    dpc_topology_path_name(listing->topology, path, name, sizeof name);
    (void)snprintf(ret_text, size,
                   "path %s failed %u times: %s; start the coordinator again to try it once more "
                   "or begin anew with a smaller inner.lr",
                   name, tries, failure);
    return true;
}

static void
set_paused(const struct listing *listing)
{
    char text[DPC_TEXT_MAX];
    if (!server_has_room(listing->server))
        server_tell_space(listing->server, text, sizeof text);
    else if (!tell_failure(listing, text, sizeof text))
        (void)snprintf(text, sizeof text, "%s", why_nothing_moves(listing));
    dpc_json_set_text(listing->root, "paused", text);
}

/* Blobs as the last sweep left them; nothing before the first one. */
static void
set_disk(const struct listing *listing)
{
    const struct dpc_sweeps *sweeps = &listing->server->sweeps;
    uint64_t free_bytes, kept_bytes;
    if (dpc_store_free_bytes(listing->server->store, &free_bytes) == DPC_OK)
        dpc_json_set_integer(listing->root, "disk_free_bytes", (int64_t)free_bytes);
    dpc_json_set_integer(listing->root, "put_off", (int64_t)listing->server->space.put_off);
    const struct dpc_scrub *scrub = &listing->server->scrub;
    uint32_t damaged = server_damaged_blobs(listing->server);
    dpc_json_set_integer(listing->root, "scrub_passes", scrub->passes);
    dpc_json_set_integer(listing->root, "damaged_blobs", damaged);
    dpc_json_set_text(listing->root, "damage", damaged ? scrub->text : "");
    if (server_kept_bytes(listing->server, &kept_bytes))
        dpc_json_set_integer(listing->root, "kept_bytes", (int64_t)kept_bytes);
    dpc_json_set_integer(listing->root, "swept_bytes", (int64_t)sweeps->removed_bytes);
}

static int
list_status(struct listing *listing)
{
    struct dpc_json *root = listing->root;
    const struct dpc_phase_record *phase = dpc_core_phase(listing->core);
    struct counts counts;
    uint64_t steps_done, steps_total;
    uint32_t tasks_done, tasks_total;
    count_workers(listing, &counts);
    dpc_core_progress(listing->core, &steps_done, &steps_total);
    dpc_core_tasks(listing->core, &tasks_done, &tasks_total);
    dpc_json_set_text(root, "experiment", listing->server->experiment.name);
    dpc_json_set_text(root, "mode",
                      listing->server->experiment.mode == DPC_MODE_STRICT ? "strict" : "elastic");
    dpc_json_set_text(root, "phase", dpc_phase_name(phase->phase));
    dpc_json_set_integer(root, "tasks_done", tasks_done);
    dpc_json_set_integer(root, "tasks_total", tasks_total);
    set_rounds(listing);
    dpc_json_set_integer(root, "steps_done", (int64_t)steps_done);
    dpc_json_set_integer(root, "steps_total", (int64_t)steps_total);
    dpc_json_set_integer(root, "workers_connected", counts.connected);
    dpc_json_set_integer(root, "workers_barred", counts.barred);
    dpc_json_set_integer(root, "workers_drained", counts.drained);
    dpc_json_set_integer(root, "workers_known", dpc_core_workers_count(listing->core));
    dpc_json_set_integer(root, "machines_pending",
                         dpc_members_pending(listing->server->members, NULL));
    dpc_json_set_integer(root, "leases", dpc_core_leases_count(listing->core));
    dpc_json_set_number(root, "loss", dpc_core_loss(listing->core));
    dpc_json_set_integer(root, "bytes_up", (int64_t)phase->bytes_up);
    dpc_json_set_integer(root, "bytes_down", (int64_t)phase->bytes_down);
    dpc_json_set_integer(root, "seconds", (int64_t)phase->seconds);
    dpc_json_set_number(root, "eta_seconds", dpc_core_seconds_left(listing->core));
    set_disk(listing);
    set_paused(listing);
    dpc_json_set_bool(root, "finished", phase->phase == DPC_PHASE_FINISHED);
    dpc_json_set_text(root, "report", listing->server->world.report);
    dpc_json_set_text(root, "control_endpoint", dpc_listener_endpoint(listing->server->control));
    dpc_json_set_text(root, "bulk_endpoint", dpc_listener_endpoint(listing->server->bulk));
    dpc_json_set_text(root, "mirror", listing->server->mirror);
    dpc_json_set_integer(root, "alarms", (int64_t)listing->server->alarms_count);
    dpc_json_set_text(root, "alarm", listing->server->alarm);
    dpc_json_set_integer(root, "peer_faults", (int64_t)listing->server->peer_faults_count);
    char incarnation[20];
    (void)snprintf(incarnation, sizeof incarnation, "%016" PRIx64,
                   dpc_store_incarnation(listing->server->store));
    dpc_json_set_text(root, "incarnation", incarnation);
    return dpc_fork_tell_origin(dpc_store_kv(listing->server->store), root, listing->err);
}

/* --- workers */

static void
set_leases(const struct listing *listing, struct dpc_json *row, const uint8_t *worker)
{
    struct dpc_lease_view views[DPC_LEASES_MAX];
    uint32_t count = dpc_core_leases_of(listing->core, worker, listing->now_ms, views);
    for (uint32_t i = 0; i < count; i++) {
        const struct dpc_lease_view *view = &views[i];
        if (view->handing_in) {
            set_path(listing, row, "handing_in_path", view->path);
            dpc_json_set_integer(row, "handing_in_round", view->round);
            continue;
        }
        dpc_json_set_text(row, "kind", dpc_task_name(view->kind));
        set_path(listing, row, "path", view->path);
        dpc_json_set_integer(row, "round", view->round);
        dpc_json_set_integer(row, "steps_done", view->steps_done);
        dpc_json_set_integer(row, "steps_count", view->steps_count);
        dpc_json_set_number(row, "tokens_per_s", view->tokens_per_s);
    }
}

static void
set_conduct(const struct listing *listing, struct dpc_json *row, uint32_t index)
{
    const struct dpc_conduct_record *conduct = dpc_core_conduct_at(listing->core, index);
    dpc_json_set_integer(row, "clipped", (int64_t)conduct->clipped);
    dpc_json_set_integer(row, "opposed", (int64_t)conduct->opposed);
    dpc_json_set_integer(row, "copies", (int64_t)conduct->copies);
    dpc_json_set_integer(row, "idle", (int64_t)conduct->idle);
    dpc_json_set_integer(row, "stale", (int64_t)conduct->stale);
    dpc_json_set_integer(row, "audited", (int64_t)conduct->audited);
    dpc_json_set_integer(row, "failed", (int64_t)conduct->failed);
}

static int
list_workers(struct listing *listing)
{
    struct dpc_json *rows = dpc_json_array();
    uint32_t count = dpc_core_workers_count(listing->core);
    uint64_t i = listing->after;
    for (; i < count && i < listing->after + listing->rows; i++) {
        int64_t silent_ms;
        bool connected;
        char key[DPC_KEY_TEXT_MAX];
        const struct dpc_worker_record *worker =
            dpc_core_worker_at(listing->core, (uint32_t)i, listing->now_ms, &silent_ms, &connected);
        dpc_key_bytes_text(worker->key, key);
        struct dpc_json *row = dpc_json_object();
        dpc_json_set_text(row, "name", worker->name);
        dpc_json_set_text(row, "key", key);
        dpc_json_set_text(row, "barred", server_standing_name(worker->standing));
        dpc_json_set_bool(row, "drained", worker->drained != 0);
        dpc_json_set_bool(row, "connected", connected);
        if (silent_ms >= 0)
            dpc_json_set_integer(row, "silent_ms", silent_ms);
        dpc_json_set_bool(row, "copied",
                          dpc_core_is_copied(listing->core, worker->key, listing->now_ms));
        set_leases(listing, row, worker->key);
        dpc_json_set_integer(row, "tokens", (int64_t)worker->tokens);
        dpc_json_set_integer(row, "leases", (int64_t)worker->leases);
        dpc_json_set_integer(row, "merged", (int64_t)worker->merged);
        dpc_json_set_integer(row, "superseded", (int64_t)worker->superseded);
        dpc_json_set_integer(row, "refused", (int64_t)worker->refused);
        set_conduct(listing, row, (uint32_t)i);
        dpc_json_append(rows, row);
    }
    listing->next = i < count ? i : 0;
    dpc_json_set(listing->root, "workers", rows);
    return DPC_OK;
}

/* --- paths */

static bool
find_lease_on(const struct listing *listing, uint32_t path, struct dpc_lease_view *ret_view)
{
    for (uint32_t i = 0; i < dpc_core_leases_count(listing->core); i++) {
        dpc_core_lease_at(listing->core, i, listing->now_ms, ret_view);
        if (ret_view->path == path && ret_view->kind == DPC_TASK_TRAIN)
            return true;
    }
    return false;
}

/* What a path does now, and which of its modules lack the version that its next round begins with.
 */
static void
set_path_state(const struct listing *listing, struct dpc_json *row, uint32_t path)
{
    struct dpc_lease_view view;
    const struct dpc_path_record *record = dpc_core_path(listing->core, path);
    struct dpc_json *waiting = dpc_json_array();
    const char *state = "waiting";
    enum dpc_path_standing standing = dpc_core_path_standing(listing->core, path);
    if (standing == DPC_PATH_DONE) {
        state = "done";
    } else if (find_lease_on(listing, path, &view)) {
        state = "leased";
        dpc_json_set_text(row, "worker", server_worker_name(listing->server, view.worker));
    } else if (standing == DPC_PATH_READY) {
        state = "ready";
    } else {
        uint32_t length = dpc_topology_path_length(listing->topology, path);
        for (uint32_t i = 0; i < length; i++) {
            char name[2 * DPC_NAME_MAX];
            uint32_t module = dpc_topology_path_module(listing->topology, path, i);
            const struct dpc_module_record *now = dpc_core_module(listing->core, module);
            dpc_topology_module_name(listing->topology, module, name, sizeof name);
            if (!now)
                state = "blocked";
            if (!now || dpc_module_round(now) != record->rounds_done)
                dpc_json_append_text(waiting, name);
        }
    }
    dpc_json_set_text(row, "state", state);
    dpc_json_set(row, "waiting_for", waiting);
}

/* Nothing where nobody measures it. */
static void
set_best(const struct listing *listing, struct dpc_json *row, uint32_t path)
{
    const struct dpc_best_record *best = dpc_core_best(listing->core, path);
    if (!best || !best->found)
        return;
    dpc_json_set_integer(row, "best_round", best->round);
    dpc_json_set_number(row, "best_loss", best->loss);
}

static int
list_paths(struct listing *listing)
{
    struct dpc_json *rows = dpc_json_array();
    uint64_t i = listing->after;
    for (; i < listing->topology->paths_count && i < listing->after + listing->rows; i++) {
        uint32_t path = (uint32_t)i;
        const struct dpc_path_record *record = dpc_core_path(listing->core, path);
        struct dpc_json *row = dpc_json_object();
        set_path(listing, row, "path", path);
        dpc_json_set_integer(row, "round", dpc_core_path_made(listing->core, path));
        dpc_json_set_integer(row, "rounds_total", dpc_core_path_owes(listing->core, path));
        dpc_json_set_integer(row, "steps_done", (int64_t)record->steps_done);
        dpc_json_set_integer(row, "part_steps", record->part_steps);
        set_path_state(listing, row, path);
        dpc_json_set_integer(row, "documents", (int64_t)record->shard_documents);
        dpc_json_set_integer(row, "tokens", (int64_t)record->shard_tokens);
        dpc_json_set_number(row, "loss", dpc_core_path_loss(listing->core, path));
        set_best(listing, row, path);
        dpc_json_append(rows, row);
    }
    listing->next = i < listing->topology->paths_count ? i : 0;
    dpc_json_set(listing->root, "paths", rows);
    return DPC_OK;
}

/* --- modules */

/* Those behind the first ones are counted. Returns how many there are. */
static uint32_t
set_pending(const struct listing *listing, struct dpc_json *row,
            const struct dpc_module_record *record)
{
    struct dpc_json *pending = dpc_json_array();
    uint32_t count = 0, through = dpc_topology_paths_through(listing->topology, record->module);
    for (uint32_t i = 0; i < through; i++) {
        char name[2 * DPC_NAME_MAX];
        uint32_t path = dpc_topology_path_through(listing->topology, record->module, i);
        uint32_t done = dpc_core_path(listing->core, path)->rounds_done;
        if (done > dpc_module_round(record) || done >= dpc_core_path_rounds(listing->core, path))
            continue;
        dpc_topology_path_name(listing->topology, path, name, sizeof name);
        if (count++ < ROW_PENDING)
            dpc_json_append_text(pending, name);
    }
    if (count > ROW_PENDING) {
        char *more = dpc_format("and %u more", count - ROW_PENDING);
        dpc_json_append_text(pending, more);
        dpc_free(more);
    }
    dpc_json_set(row, "pending", pending);
    dpc_json_set_integer(row, "pending_count", count);
    return count < ROW_PENDING ? count : ROW_PENDING;
}

/* In elastic mode it may not wait for all of them. */
static void
set_closing(const struct listing *listing, struct dpc_json *row, uint32_t module)
{
    int64_t closes_ms = dpc_core_closes_in(listing->core, module, listing->now_ms);
    if (closes_ms >= 0)
        dpc_json_set_integer(row, "closes_ms", closes_ms);
}

/* Returns how many paths it names. */
static uint32_t
add_module(struct listing *listing, struct dpc_json *rows, uint32_t module)
{
    uint32_t level = dpc_topology_module_level(listing->topology, module);
    const struct dpc_module_record *record = dpc_core_module(listing->core, module);
    if (!record)
        return 0;
    struct dpc_json *row = dpc_json_object();
    set_module(listing, row, "module", module);
    dpc_json_set_text(row, "level", listing->server->experiment.levels[level].name);
    dpc_json_set_integer(row, "version", record->version);
    set_hash(row, "hash", &record->published);
    set_hash(row, "master", &record->master);
    set_hash(row, "momentum", &record->momentum);
    dpc_json_set_integer(row, "paths", dpc_topology_paths_through(listing->topology, module));
    uint32_t named = set_pending(listing, row, record);
    set_closing(listing, row, module);
    dpc_json_set_integer(row, "parameters",
                         (int64_t)dpc_layout_module_floats(&listing->server->experiment, level));
    dpc_json_append(rows, row);
    return named;
}

static int
list_modules(struct listing *listing)
{
    struct dpc_json *rows = dpc_json_array();
    uint32_t count = listing->topology->modules_count, named = 0;
    uint64_t i = listing->after;
    for (; i < count && i < listing->after + listing->rows && named < PAGE_PENDING; i++)
        named += add_module(listing, rows, (uint32_t)i);
    listing->next = i < count ? i : 0;
    dpc_json_set(listing->root, "modules", rows);
    return DPC_OK;
}

/* --- versions */

const char *
server_cause_name(enum dpc_version_cause cause)
{
    static const char *const names[] = {
        "?", [DPC_CAUSE_INITIAL] = "initial", [DPC_CAUSE_OUTER_STEP] = "outer_step",
        [DPC_CAUSE_ROLLBACK] = "rollback", [DPC_CAUSE_REVOKE] = "revoke"};
    return names[cause];
}

struct version_rows {
    struct listing *listing;
    struct dpc_json *rows;
    bool full;
};

static bool
add_version(void *context, const struct dpc_version_record *record)
{
    struct version_rows *rows = context;
    if (dpc_json_count(rows->rows) == PAGE_ROWS) {
        rows->full = true;
        rows->listing->next = record->module;
        rows->listing->rest = record->version;
        return false;
    }
    struct dpc_json *row = dpc_json_object();
    set_module(rows->listing, row, "module", record->module);
    dpc_json_set_integer(row, "version", record->version);
    dpc_json_set_text(row, "cause", server_cause_name(record->cause));
    dpc_json_set_integer(row, "parent", record->parent);
    set_hash(row, "hash", &record->published);
    set_hash(row, "master", &record->master);
    set_hash(row, "momentum", &record->momentum);
    dpc_json_set_integer(row, "ledger", (int64_t)record->ledger);
    dpc_json_append(rows->rows, row);
    return true;
}

/* A page reads its own rows alone: there is a version a module and round, and the loop waits. */
static int
list_versions(struct listing *listing)
{
    struct version_rows rows = {.listing = listing};
    uint32_t module, end = listing->topology->modules_count, first = listing->part;
    int code = DPC_OK;
    if (listing->argument[0] &&
        !dpc_topology_module_find(listing->topology, listing->argument, &module))
        return dpc_error_set(listing->err, DPC_ENOTFOUND,
                             "there is no module \"%s\"; dipacoctl modules lists them",
                             listing->argument);
    rows.rows = dpc_json_array();
    dpc_json_set(listing->root, "versions", rows.rows);
    if (listing->argument[0])
        end = module + 1;
    else
        module = listing->after < end ? (uint32_t)listing->after : end;
    for (; module < end && !rows.full && code == DPC_OK; module++, first = 0)
        code = dpc_scan_versions_of(dpc_store_kv(listing->server->store), module, first,
                                    add_version, &rows, listing->err);
    return code;
}

/* --- ledger */

struct ledger_rows {
    struct listing *listing;
    struct dpc_json *rows;
    uint32_t size; /* rows and contributions */
};

static struct dpc_json *
make_contribution(const struct listing *listing, const struct dpc_ledger_entry *entry)
{
    char key[DPC_KEY_TEXT_MAX];
    struct dpc_json *item = dpc_json_object();
    set_path(listing, item, "path", entry->path);
    dpc_json_set_integer(item, "lease", (int64_t)entry->lease);
    dpc_json_set_text(item, "worker", server_name_or_key(listing->server, entry->worker, key));
    dpc_json_set_number(item, "weight", entry->weight);
    dpc_json_set_number(item, "scale", entry->scale);
    dpc_json_set_integer(item, "steps", entry->steps);
    dpc_json_set_integer(item, "late", entry->late);
    set_hash(item, "delta", &entry->delta);
    return item;
}

/* An entry that is larger than what is left of the page goes on in the next one, as another row of
 * its sequence number. */
static bool
add_ledger(void *context, const struct dpc_ledger_record *record)
{
    struct ledger_rows *rows = context;
    struct listing *listing = rows->listing;
    uint32_t i = record->sequence == listing->after ? listing->part : 0;
    if (rows->size++ >= PAGE_CONTRIBUTIONS) {
        listing->next = record->sequence;
        return false;
    }
    struct dpc_json *row = dpc_json_object(), *entries = dpc_json_array();
    dpc_json_set_integer(row, "sequence", (int64_t)record->sequence);
    set_module(listing, row, "module", record->module);
    dpc_json_set_integer(row, "version", record->version);
    dpc_json_set_number(row, "rescale", record->rescale);
    set_hash(row, "master", &record->master);
    set_hash(row, "previous", &record->previous);
    for (; i < record->entries_count && rows->size <= PAGE_CONTRIBUTIONS; i++, rows->size++)
        dpc_json_append(entries, make_contribution(listing, &record->entries[i]));
    dpc_json_set(row, "entries", entries);
    dpc_json_append(rows->rows, row);
    if (i == record->entries_count)
        return true;
    listing->next = record->sequence;
    listing->rest = i;
    return false;
}

static int
list_ledger(struct listing *listing)
{
    struct ledger_rows rows = {.listing = listing, .rows = dpc_json_array()};
    dpc_json_set(listing->root, "ledger", rows.rows);
    return dpc_scan_ledger(dpc_store_kv(listing->server->store), listing->after, add_ledger, &rows,
                           listing->err);
}

/* --- What the operator wants done: no listings, but answered in the same way. */

static int
start_backup(struct listing *listing)
{
    int code = server_ask_backup(listing->server, listing->argument, listing->err);
    if (code == DPC_OK)
        server_tell_backup(listing->server, listing->root);
    return code;
}

static int
tell_backup(struct listing *listing)
{
    server_tell_backup(listing->server, listing->root);
    return DPC_OK;
}

static int
roll_back_module(struct listing *listing)
{
    return server_roll_back_module(listing->server, listing->argument, listing->root, listing->err);
}

static int
roll_back_round(struct listing *listing)
{
    return server_roll_back_round(listing->server, listing->argument, listing->root, listing->err);
}

static int
admit(struct listing *listing)
{
    return server_admit(listing->server, listing->argument, listing->root, listing->err);
}

static int
drain(struct listing *listing)
{
    return server_drain(listing->server, listing->argument, true, listing->root, listing->err);
}

static int
undrain(struct listing *listing)
{
    return server_drain(listing->server, listing->argument, false, listing->root, listing->err);
}

static int
why(struct listing *listing)
{
    return server_why(listing->server, listing->argument, listing->root, listing->err);
}

static int
start_replay(struct listing *listing)
{
    return server_ask_replay(listing->server, listing->argument, listing->root, listing->err);
}

static int
tell_replay(struct listing *listing)
{
    return server_tell_replay(listing->server, listing->argument, listing->root, listing->err);
}

static int
start_revoke(struct listing *listing)
{
    return server_ask_revoke(listing->server, listing->argument, listing->root, listing->err);
}

static int
tell_revoke(struct listing *listing)
{
    server_tell_revoke(listing->server, listing->root);
    return DPC_OK;
}

static int
invite(struct listing *listing)
{
    return server_invite(listing->server, listing->argument, listing->root, listing->err);
}

static int
list_invitations(struct listing *listing)
{
    server_list_invitations(listing->server, listing->root);
    return DPC_OK;
}

static int
withdraw(struct listing *listing)
{
    return server_withdraw(listing->server, listing->argument, listing->root, listing->err);
}

static int
list_members(struct listing *listing)
{
    listing->next = server_list_members(listing->server, listing->after, PAGE_ROWS, listing->root);
    return DPC_OK;
}

static int
approve(struct listing *listing)
{
    return server_judge_member(listing->server, listing->argument, DPC_MEMBER_TAKEN, listing->root,
                               listing->err);
}

static int
dismiss(struct listing *listing)
{
    return server_judge_member(listing->server, listing->argument, DPC_MEMBER_REFUSED,
                               listing->root, listing->err);
}

/* --- The table. */

static const struct verb {
    const char *name;
    int (*list)(struct listing *listing);
} verbs[] = {
    {"status", list_status},
    {"workers", list_workers},
    {"paths", list_paths},
    {"modules", list_modules},
    {"versions", list_versions},
    {"ledger", list_ledger},
    {"backup", start_backup},
    {"backup-state", tell_backup},
    {"rollback", roll_back_module},
    {"rollback-round", roll_back_round},
    {"admit", admit},
    {"invite", invite},
    {"invitations", list_invitations},
    {"withdraw", withdraw},
    {"members", list_members},
    {"approve", approve},
    {"dismiss", dismiss},
    {"drain", drain},
    {"undrain", undrain},
    {"why", why},
    {"replay", start_replay},
    {"replay-state", tell_replay},
    {"revoke", start_revoke},
    {"revoke-state", tell_revoke},
};

int
server_tell(struct dpc_server *server, const struct server_question *question,
            struct dpc_json **ret_root, struct server_place *ret_next, struct dpc_error *err)
{
    struct listing listing = {
        .server = server,
        .core = server->core,
        .topology = dpc_core_topology(server->core),
        .argument = question->argument,
        .after = question->after.row,
        .part = question->after.entry,
        .rows = question->rows ? question->rows : PAGE_ROWS,
        .now_ms = dpc_clock_now_ms(&dpc_clock_system),
        .err = err,
    };
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].name, question->verb) != 0)
            continue;
        listing.root = dpc_json_object();
        int code = verbs[i].list(&listing);
        if (code == DPC_OK)
            *ret_root = listing.root;
        else
            dpc_json_destroy(listing.root);
        *ret_next = (struct server_place){listing.next, listing.rest};
        return code;
    }
    return dpc_error_set(err, DPC_EVERSION,
                         "the coordinator's release has no \"%s\": use the dipacoctl that came "
                         "with it",
                         question->verb);
}

/* "ROW" or "ROW.ENTRY", as print_place wrote it. */
static struct server_place
read_place(const char *text)
{
    char *behind;
    struct server_place place = {.row = strtoull(text, &behind, 10)};
    if (*behind == '.')
        place.entry = (uint32_t)strtoul(behind + 1, NULL, 10);
    return place;
}

static void
print_place(const struct server_place *place, char *ret_text, size_t size)
{
    if (place->entry)
        (void)snprintf(ret_text, size, "%" PRIu64 ".%u", place->row, place->entry);
    else if (place->row)
        (void)snprintf(ret_text, size, "%" PRIu64, place->row);
}

int
server_list(struct dpc_server *server, const struct dpc_msg_admin_request *request,
            struct dpc_buf *out, char *ret_next, size_t next_size, struct dpc_error *err)
{
    struct server_question question = {
        .verb = request->verb, .argument = request->argument, .after = read_place(request->after)};
    struct dpc_json *root;
    struct server_place next = {0};
    int code = server_tell(server, &question, &root, &next, err);
    print_place(&next, ret_next, next_size);
    if (code != DPC_OK)
        return code;
    char *text = dpc_json_print(root, false);
    dpc_buf_put(out, text, strlen(text));
    dpc_free(text);
    dpc_json_destroy(root);
    return out->failed ? dpc_error_set(err, DPC_ELIMIT, "the page is too long") : DPC_OK;
}
