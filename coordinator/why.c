/* SPDX-License-Identifier: Apache-2.0
 * Why a worker idles, a path waits, a module has not closed: a chain of links, each of which says
 * why the one before it is so, in numbers and in words. What the core says of itself (core/why.h)
 * is put into words here; the server adds what only it knows: a full disk, submissions that are
 * being looked at, revokes, and keys that nobody has come with. */
#include "coordinator/core/why.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "coordinator/state.h"

/* A path that waits is a round behind none that it waits for, so chains end; they may be long.
 * Names are listed as far as they help. */
enum { LINKS_MAX = 24, NAMES_MAX = 8, NAME_BYTES = 2 * DPC_NAME_MAX };

struct chain {
    struct dpc_server *server;
    const struct dpc_core *core;
    const struct dpc_topology *topology;
    int64_t now_ms;
    struct dpc_json *links;
};

static const char *
path_name(const struct chain *chain, uint32_t path, char ret_name[static NAME_BYTES])
{
    dpc_topology_path_name(chain->topology, path, ret_name, NAME_BYTES);
    return ret_name;
}

static const char *
module_name(const struct chain *chain, uint32_t module, char ret_name[static NAME_BYTES])
{
    dpc_topology_module_name(chain->topology, module, ret_name, NAME_BYTES);
    return ret_name;
}

/* Takes the text; the caller adds numbers. */
static struct dpc_json *
add_link(struct chain *chain, const char *what, const char *name, const char *reason, char *text)
{
    struct dpc_json *link = dpc_json_object();
    dpc_json_set_text(link, "what", what);
    dpc_json_set_text(link, "name", name);
    dpc_json_set_text(link, "reason", reason);
    dpc_json_set_text(link, "text", text);
    dpc_json_append(chain->links, link);
    dpc_free(text);
    return link;
}

/* --- Leases. */

static char *
tell_backup(int64_t backup_ms)
{
    char due[32];
    if (backup_ms < 0)
        return dpc_format("its round is over");
    if (backup_ms == 0)
        return dpc_format("whoever asks gets a backup lease");
    return dpc_format("a backup lease is due in %s", dpc_why_time(backup_ms, due));
}

static char *
tell_lease(const struct chain *chain, const struct dpc_lease_view *lease, int64_t backup_ms)
{
    char name[NAME_BYTES], age[32], left[32] = "no limit yet", silent[32];
    const char *unit = lease->kind == DPC_TASK_TRAIN ? "step" : "document";
    char *backup = tell_backup(backup_ms), *text;
    if (lease->left_ms >= 0)
        dpc_why_time(lease->left_ms, left);
    text = dpc_format("lease %" PRIu64 " of worker %s: %s path %s round %u, %s %u of %u after %s, "
                      "%s%s, heard of %s ago; %s",
                      lease->serial, server_worker_name(chain->server, lease->worker),
                      dpc_task_name(lease->kind), path_name(chain, lease->path, name), lease->round,
                      unit, lease->steps_done, lease->steps_count, dpc_why_time(lease->age_ms, age),
                      left, lease->left_ms < 0 ? "" : " left",
                      dpc_why_time(lease->silent_ms, silent), backup);
    dpc_free(backup);
    return text;
}

/* That at this place in the core's list. */
static void
add_lease(struct chain *chain, uint32_t index, const struct dpc_lease_view *lease)
{
    char name[NAME_BYTES];
    int64_t backup_ms = dpc_core_backup_in(chain->core, index, chain->now_ms);
    struct dpc_json *link =
        add_link(chain, "lease", server_worker_name(chain->server, lease->worker),
                 dpc_task_name(lease->kind), tell_lease(chain, lease, backup_ms));
    dpc_json_set_integer(link, "lease", (int64_t)lease->serial);
    dpc_json_set_text(link, "path", path_name(chain, lease->path, name));
    dpc_json_set_integer(link, "round", lease->round);
    dpc_json_set_integer(link, "steps_done", lease->steps_done);
    dpc_json_set_integer(link, "steps_count", lease->steps_count);
    dpc_json_set_integer(link, "age_ms", lease->age_ms);
    if (lease->left_ms >= 0)
        dpc_json_set_integer(link, "left_ms", lease->left_ms);
    dpc_json_set_integer(link, "silent_ms", lease->silent_ms);
    if (backup_ms >= 0)
        dpc_json_set_integer(link, "backup_ms", backup_ms);
}

/* What a worker hands in is read through before the core sees it. */
static void
add_check(struct chain *chain, const uint8_t *key)
{
    for (uint32_t i = 0; i < chain->server->checks_count; i++) {
        const struct dpc_job *job = chain->server->checks[i];
        if (memcmp(job->peer.key.bytes, key, DPC_WORKER_KEY_BYTES) == 0)
            add_link(chain, "submission", server_worker_name(chain->server, key), "checked",
                     dpc_format("what it has handed in for lease %" PRIu64 " is being looked at",
                                job->submit.token.serial));
    }
}

static void
add_leases_on(struct chain *chain, uint32_t path, uint32_t round)
{
    struct dpc_lease_view lease;
    for (uint32_t i = 0; i < dpc_core_leases_count(chain->core); i++) {
        dpc_core_lease_at(chain->core, i, chain->now_ms, &lease);
        if (lease.kind != DPC_TASK_TRAIN || lease.path != path || lease.round != round)
            continue;
        add_lease(chain, i, &lease);
        add_check(chain, lease.worker);
    }
}

/* --- What there is to do. */

static uint32_t
count_helpers(const struct chain *chain)
{
    uint32_t count = 0;
    int64_t silent_ms;
    bool connected;
    for (uint32_t i = 0; i < dpc_core_workers_count(chain->core); i++) {
        const struct dpc_worker_record *worker =
            dpc_core_worker_at(chain->core, i, chain->now_ms, &silent_ms, &connected);
        count += connected && !worker->drained && worker->standing == DPC_STANDING_GOOD;
    }
    return count;
}

/* Where a phase is not about training paths. */
static void
add_phase(struct chain *chain, const struct dpc_why_tasks *tasks)
{
    const char *phase = dpc_phase_name(dpc_core_phase(chain->core)->phase);
    struct dpc_json *link;
    if (tasks->chunks)
        link = add_link(chain, "phase", phase, "tasks",
                        dpc_format("phase %s: %u of %u tasks are left, %u of them failed wherever "
                                   "they were tried",
                                   phase, tasks->chunks_left, tasks->chunks, tasks->failing));
    else
        link = add_link(chain, "phase", phase, "phase", dpc_format("the phase is %s", phase));
    dpc_json_set_integer(link, "tasks", tasks->chunks);
    dpc_json_set_integer(link, "tasks_left", tasks->chunks_left);
    dpc_json_set_integer(link, "held", tasks->held);
    dpc_json_set_integer(link, "failing", tasks->failing);
    dpc_json_set_integer(link, "folding", tasks->folding);
    if (tasks->backup_ms >= 0)
        dpc_json_set_integer(link, "backup_ms", tasks->backup_ms);
}

/* --- Paths. */

static char *
tell_path(const struct chain *chain, const char *name, const struct dpc_why_path *why)
{
    const char *phase = dpc_phase_name(dpc_core_phase(chain->core)->phase);
    uint32_t helpers = count_helpers(chain);
    switch (why->standing) {
    case DPC_PATH_DONE:
        return dpc_format("path %s is done: it has made its %u rounds", name, why->rounds);
    case DPC_PATH_PHASE:
        if (why->round >= why->rounds_open)
            return dpc_format("path %s has made the %u rounds before the next discriminative phase",
                              name, why->rounds_open);
        return dpc_format("path %s is not trained in phase %s", name, phase);
    case DPC_PATH_WAITS:
        return dpc_format("path %s waits to begin round %u", name, why->round);
    case DPC_PATH_FAILS:
        return dpc_format("path %s is let alone: its round %u failed %u times: %s; start the "
                          "coordinator again to try it once more",
                          name, why->round, why->tries, why->failure);
    case DPC_PATH_HELD:
        return dpc_format("path %s is at work in round %u", name, why->round);
    case DPC_PATH_READY:
        break;
    }
    return dpc_format(
        "path %s is ready for round %u from step %u of %u on%s; workers that may get "
        "it: %u",
        name, why->round, why->part_steps, why->steps,
        why->leases_count ? ", a backup, since who holds it is silent or too slow" : "", helpers);
}

static void
add_path(struct chain *chain, uint32_t path, struct dpc_why_path *why)
{
    char name[NAME_BYTES], module[NAME_BYTES];
    dpc_core_why_path(chain->core, path, chain->now_ms, why);
    path_name(chain, path, name);
    struct dpc_json *link = add_link(chain, "path", name, dpc_path_standing_name(why->standing),
                                     tell_path(chain, name, why));
    struct dpc_json *lacks = dpc_json_array();
    dpc_json_set_integer(link, "round", why->round);
    dpc_json_set_integer(link, "rounds_total", why->rounds);
    dpc_json_set_integer(link, "part_steps", why->part_steps);
    dpc_json_set_integer(link, "steps", why->steps);
    for (uint32_t i = 0; i < why->lacks_count; i++)
        dpc_json_append_text(lacks, module_name(chain, why->lacks[i].module, module));
    dpc_json_set(link, "waiting_for", lacks);
    if (why->standing == DPC_PATH_HELD)
        dpc_json_set_integer(link, "backup_ms", why->backup_ms);
    add_leases_on(chain, path, why->round);
}

/* --- Modules. */

/* Paths that have not the module's round behind them, as names; of these the one furthest behind,
 * UINT32_MAX when there is none. */
static uint32_t
list_pending(const struct chain *chain, uint32_t module, uint32_t round, struct dpc_buf *ret_names)
{
    uint32_t furthest = UINT32_MAX, least = UINT32_MAX, count = 0;
    char name[NAME_BYTES];
    for (uint32_t i = 0; i < dpc_topology_paths_through(chain->topology, module); i++) {
        uint32_t path = dpc_topology_path_through(chain->topology, module, i);
        uint32_t done = dpc_core_path(chain->core, path)->rounds_done;
        if (done > round)
            continue;
        if (count < NAMES_MAX)
            dpc_buf_printf(ret_names, "%s%s", count ? ", " : "", path_name(chain, path, name));
        count++;
        if (done < least) {
            least = done;
            furthest = path;
        }
    }
    if (count > NAMES_MAX)
        dpc_buf_printf(ret_names, " and %u more", count - NAMES_MAX);
    return furthest;
}

static char *
tell_module(const struct chain *chain, const char *name, const struct dpc_why_module *why,
            const char *pending)
{
    char grace[32];
    switch (why->standing) {
    case DPC_MODULE_ABSENT:
        return dpc_format("module %s has no version yet: phase %s", name,
                          dpc_phase_name(dpc_core_phase(chain->core)->phase));
    case DPC_MODULE_DONE:
        return dpc_format("module %s is done: version %u is that of its last round", name,
                          why->version);
    case DPC_MODULE_FOLDING:
        return dpc_format("module %s has version %u of round %u, and its outer step is under way",
                          name, why->version, why->round);
    case DPC_MODULE_WAITS:
        return dpc_format("module %s has version %u of round %u; of %u paths it waits for %u: %s",
                          name, why->version, why->round, why->paths, why->paths - why->behind,
                          pending);
    case DPC_MODULE_QUORUM:
        return dpc_format("module %s has version %u of round %u; of %u paths %u have delivered it "
                          "whole, and it waits for %.0f: %s",
                          name, why->version, why->round, why->planned, why->delivered,
                          ceil(why->quorum), pending);
    case DPC_MODULE_GRACE:
        return dpc_format("module %s has version %u of round %u; %u of %u paths have delivered it "
                          "whole, and it waits %s more for: %s",
                          name, why->version, why->round, why->delivered, why->planned,
                          dpc_why_time(why->grace_ms, grace), pending);
    case DPC_MODULE_CLOSES:
        break;
    }
    return dpc_format("module %s has version %u of round %u, which it closes now", name,
                      why->version, why->round);
}

/* It may be of the present round, and of no outer step. */
static void
add_cause(struct chain *chain, uint32_t module, const char *name, uint32_t number)
{
    struct dpc_version_record version;
    struct dpc_error err;
    if (dpc_load_version(dpc_store_kv(chain->server->store), module, number, &version, &err) !=
            DPC_OK ||
        (version.cause != DPC_CAUSE_ROLLBACK && version.cause != DPC_CAUSE_REVOKE))
        return;
    add_link(chain, "version", name, server_cause_name(version.cause),
             dpc_format("version %u came of a %s of version %u", number,
                        server_cause_name(version.cause), version.parent));
}

static void
set_counts(struct dpc_json *link, const struct dpc_why_module *why)
{
    dpc_json_set_integer(link, "version", why->version);
    dpc_json_set_integer(link, "round", why->round);
    dpc_json_set_integer(link, "rounds_total", why->rounds);
    dpc_json_set_integer(link, "paths", why->paths);
    dpc_json_set_integer(link, "planned", why->planned);
    dpc_json_set_integer(link, "delivered", why->delivered);
    dpc_json_set_integer(link, "behind", why->behind);
    dpc_json_set_integer(link, "rollbacks", (int64_t)why->rollbacks);
    dpc_json_set_number(link, "quorum", why->quorum);
    if (why->grace_ms >= 0)
        dpc_json_set_integer(link, "grace_ms", why->grace_ms);
}

/* The path that it waits for and that is furthest behind; UINT32_MAX: none. */
static uint32_t
add_module(struct chain *chain, uint32_t module)
{
    char name[NAME_BYTES];
    struct dpc_why_module why;
    struct dpc_buf pending;
    dpc_buf_init(&pending, 0);
    dpc_core_why_module(chain->core, module, chain->now_ms, &why);
    module_name(chain, module, name);
    uint32_t furthest = list_pending(chain, module, why.round, &pending);
    struct dpc_json *link = add_link(chain, "module", name, dpc_module_standing_name(why.standing),
                                     tell_module(chain, name, &why, dpc_buf_text(&pending)));
    set_counts(link, &why);
    dpc_buf_done(&pending);
    if (why.standing != DPC_MODULE_ABSENT)
        add_cause(chain, module, name, why.version);
    bool waits = why.standing == DPC_MODULE_WAITS || why.standing == DPC_MODULE_QUORUM ||
                 why.standing == DPC_MODULE_GRACE;
    return waits ? furthest : UINT32_MAX;
}

/* --- The chain. */

/* Of the modules that a path waits for the one that has come least far. */
static uint32_t
find_last(const struct dpc_why_path *why)
{
    uint32_t last = 0;
    for (uint32_t i = 1; i < why->lacks_count; i++)
        last = why->lacks[i].round < why->lacks[last].round ? i : last;
    return why->lacks[last].module;
}

/* From a path to what it waits for, and so on. */
static void
follow_path(struct chain *chain, uint32_t path)
{
    struct dpc_why_path why;
    struct dpc_why_worker nobody;
    static const uint8_t no_key[DPC_WORKER_KEY_BYTES];
    while (path != UINT32_MAX && dpc_json_count(chain->links) < LINKS_MAX) {
        add_path(chain, path, &why);
        if (why.standing == DPC_PATH_PHASE) {
            dpc_core_why_worker(chain->core, no_key, chain->now_ms, &nobody);
            add_phase(chain, &nobody.tasks);
        }
        path = why.standing == DPC_PATH_WAITS ? add_module(chain, find_last(&why)) : UINT32_MAX;
    }
}

static void
add_revoke(struct chain *chain)
{
    const struct dpc_revokes *revokes = &chain->server->revokes;
    if (revokes->running)
        add_link(chain, "revoke", revokes->name, "revoke",
                 dpc_format("what worker %s handed in since round %u is being taken out",
                            revokes->name, revokes->since));
}

static void
follow_module(struct chain *chain, uint32_t module)
{
    uint32_t path = add_module(chain, module);
    add_revoke(chain);
    follow_path(chain, path);
}

/* The path that keeps training from going on: with most rounds to go, of those that somebody holds
 * or that wait; UINT32_MAX: none. */
static uint32_t
find_furthest(const struct chain *chain)
{
    uint32_t furthest = UINT32_MAX, most = 0;
    struct dpc_why_path why;
    for (uint32_t path = 0; path < chain->topology->paths_count; path++) {
        dpc_core_why_path(chain->core, path, chain->now_ms, &why);
        bool open = why.standing != DPC_PATH_DONE && why.standing != DPC_PATH_PHASE;
        if (open && why.rounds - why.round > most) {
            most = why.rounds - why.round;
            furthest = path;
        }
    }
    return furthest;
}

/* --- Workers. */

static void
add_disk(struct chain *chain)
{
    char text[DPC_TEXT_MAX];
    if (server_has_room(chain->server))
        return;
    server_tell_space(chain->server, text, sizeof text);
    add_link(chain, "disk", "", "full", dpc_format("no worker gets a lease: %s", text));
}

static char *
tell_silence(const struct dpc_why_worker *why)
{
    char silent[32], beat[32];
    if (!why->greeted)
        return dpc_format("; it has not said hello since the coordinator started");
    if (!why->connected)
        return dpc_format("; it was last heard of %s ago, and a heartbeat is due each %s",
                          dpc_why_time(why->silent_ms, silent),
                          dpc_why_time(why->heartbeat_ms, beat));
    return dpc_format("; it was heard of %s ago", dpc_why_time(why->silent_ms, silent));
}

static char *
tell_worker(const char *name, const struct dpc_why_worker *why)
{
    char pause[32], *silence = tell_silence(why), *text;
    if (why->ask == DPC_ASK_AGAIN)
        text = dpc_format("worker %s holds a lease%s", name, silence);
    else if (why->ask == DPC_ASK_LEASE)
        text = dpc_format("worker %s holds no lease and gets one when it asks%s", name, silence);
    else if (why->ask == DPC_ASK_PAUSED)
        text = dpc_format("worker %s gets no lease for %s: %s%s", name,
                          dpc_why_time(why->retry_ms, pause), why->text, silence);
    else
        text = dpc_format("worker %s gets no lease: %s%s", name, why->text, silence);
    dpc_free(silence);
    return text;
}

static void
add_refusals(struct chain *chain, const struct dpc_why_worker *why)
{
    char name[NAME_BYTES], ago[32];
    for (uint32_t i = 0; i < why->refusals_count; i++) {
        const struct dpc_refusal *refusal = &why->refusals[i];
        bool known = refusal->path < chain->topology->paths_count;
        path_name(chain, known ? refusal->path : 0, name);
        struct dpc_json *link = add_link(
            chain, "submission", known ? name : "?", dpc_verdict_name(refusal->verdict),
            dpc_format("%s ago what it handed in for path %s round %u was told %s: %s",
                       dpc_why_time(chain->now_ms - refusal->at_ms, ago), known ? name : "?",
                       refusal->round, dpc_verdict_name(refusal->verdict), refusal->text));
        dpc_json_set_integer(link, "lease", (int64_t)refusal->lease);
        dpc_json_set_integer(link, "round", refusal->round);
        dpc_json_set_integer(link, "age_ms", chain->now_ms - refusal->at_ms);
    }
}

static void
set_worker(struct dpc_json *link, const struct dpc_why_worker *why)
{
    dpc_json_set_text(link, "told", why->text);
    dpc_json_set_integer(link, "retry_ms", why->retry_ms);
    dpc_json_set_bool(link, "connected", why->connected);
    if (why->greeted)
        dpc_json_set_integer(link, "silent_ms", why->silent_ms);
    dpc_json_set_integer(link, "fruitless", why->fruitless);
    dpc_json_set_integer(link, "too_large_bytes", (int64_t)why->too_large);
    dpc_json_set_integer(link, "ready", why->tasks.ready);
    dpc_json_set_integer(link, "held", why->tasks.held);
    dpc_json_set_integer(link, "failing", why->tasks.failing);
}

static void
add_held(struct chain *chain, const uint8_t *key, uint64_t serial)
{
    struct dpc_lease_view lease = {.serial = 0};
    uint32_t i = 0, count = dpc_core_leases_count(chain->core);
    for (; i < count && lease.serial != serial; i++)
        dpc_core_lease_at(chain->core, i, chain->now_ms, &lease);
    if (lease.serial == serial)
        add_lease(chain, i - 1, &lease);
    else
        add_link(
            chain, "lease", server_worker_name(chain->server, key), "audit",
            dpc_format("lease %" PRIu64 " is an audit: what another handed in, once more", serial));
    add_check(chain, key);
}

static void
follow_worker(struct chain *chain, const struct dpc_worker_record *worker)
{
    struct dpc_why_worker why;
    dpc_core_why_worker(chain->core, worker->key, chain->now_ms, &why);
    struct dpc_json *link = add_link(chain, "worker", worker->name, dpc_ask_name(why.ask),
                                     tell_worker(worker->name, &why));
    set_worker(link, &why);
    add_disk(chain);
    if (why.lease)
        add_held(chain, worker->key, why.lease);
    add_refusals(chain, &why);
    if (why.ask != DPC_ASK_NOTHING)
        return;
    if (why.tasks.chunks_left)
        add_phase(chain, &why.tasks);
    follow_path(chain, find_furthest(chain));
}

/* A key that may connect, and that nobody has come with. */
static bool
add_stranger(struct chain *chain, const char *text)
{
    char key[DPC_KEY_TEXT_MAX];
    for (uint32_t i = 0; i < chain->server->worker_keys_count; i++) {
        dpc_key_text(&chain->server->worker_keys[i], key);
        if (strcmp(key, text) != 0)
            continue;
        add_link(chain, "worker", key, dpc_ask_name(DPC_ASK_UNKNOWN),
                 dpc_format("worker %s may connect, and has never said hello", key));
        return true;
    }
    return false;
}

/* --- What is meant. */

static int
refuse_name(const char *kind, const char *name, struct dpc_error *err)
{
    return dpc_error_set(err, DPC_ENOTFOUND, "there is no %s \"%.200s\"", kind, name);
}

static int
why_worker(struct chain *chain, const char *name, struct dpc_error *err)
{
    struct dpc_worker_record worker;
    int code = server_find_worker(chain->server, name, &worker, err);
    if (code == DPC_OK)
        follow_worker(chain, &worker);
    if (code != DPC_ENOTFOUND)
        return code;
    return add_stranger(chain, name) ? DPC_OK : refuse_name("worker", name, err);
}

static int
why_path(struct chain *chain, const char *name, struct dpc_error *err)
{
    uint32_t path;
    if (!dpc_topology_path_find(chain->topology, name, &path))
        return refuse_name("path", name, err);
    follow_path(chain, path);
    return DPC_OK;
}

static int
why_module(struct chain *chain, const char *name, struct dpc_error *err)
{
    uint32_t module;
    if (!dpc_topology_module_find(chain->topology, name, &module))
        return refuse_name("module", name, err);
    follow_module(chain, module);
    return DPC_OK;
}

/* The one that is named so, if it is one. */
static int
why_any(struct chain *chain, const char *name, struct dpc_error *err)
{
    uint32_t number;
    struct dpc_worker_record record;
    bool worker = server_find_worker(chain->server, name, &record, err) != DPC_ENOTFOUND;
    bool path = dpc_topology_path_find(chain->topology, name, &number);
    bool module = dpc_topology_module_find(chain->topology, name, &number);
    if (worker + path + module > 1)
        return dpc_error_set(err, DPC_EINVAL,
                             "a worker and a %s are named \"%.200s\": say which, as in dipacoctl "
                             "why worker %.200s",
                             path ? "path" : "module", name, name);
    if (path)
        return why_path(chain, name, err);
    if (module)
        return why_module(chain, name, err);
    int code = why_worker(chain, name, err);
    return code == DPC_ENOTFOUND ? refuse_name("worker, path or module", name, err) : code;
}

static const struct kind {
    const char *name;
    int (*why)(struct chain *chain, const char *name, struct dpc_error *err);
} kinds[] = {
    {"any ", why_any},
    {"worker ", why_worker},
    {"path ", why_path},
    {"module ", why_module},
};

int
server_why(struct dpc_server *server, const char *argument, struct dpc_json *root,
           struct dpc_error *err)
{
    struct chain chain = {
        .server = server,
        .core = server->core,
        .topology = dpc_core_topology(server->core),
        .now_ms = dpc_clock_now_ms(&dpc_clock_system),
        .links = dpc_json_array(),
    };
    dpc_json_set(root, "why", chain.links);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t len = strlen(kinds[i].name);
        if (strncmp(argument, kinds[i].name, len) == 0)
            return kinds[i].why(&chain, argument + len, err);
    }
    return dpc_error_set(err, DPC_EINVAL,
                         "\"%.200s\" is not any, worker, path or module with a name", argument);
}
