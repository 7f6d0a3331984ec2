/* SPDX-License-Identifier: Apache-2.0
 * The links of a chain: leases, paths and modules, each from what the core says of it, and from one
 * to what it waits for. */
#include "coordinator/why_parts.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"

/* A path that waits is a round behind none that it waits for, so chains end; they may be long.
 * Names are listed as far as they help. */
enum { LINKS_MAX = 24, NAMES_MAX = 8 };

const char *
why_path_name(const struct why_chain *chain, uint32_t path, char ret_name[static WHY_NAME_BYTES])
{
    dpc_topology_path_name(chain->topology, path, ret_name, WHY_NAME_BYTES);
    return ret_name;
}

static const char *
module_name(const struct why_chain *chain, uint32_t module, char ret_name[static WHY_NAME_BYTES])
{
    dpc_topology_module_name(chain->topology, module, ret_name, WHY_NAME_BYTES);
    return ret_name;
}

struct dpc_json *
why_add_link(struct why_chain *chain, const char *what, const char *name, const char *reason,
             char *text)
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
tell_lease(const struct why_chain *chain, const struct dpc_lease_view *lease, int64_t backup_ms)
{
    char name[WHY_NAME_BYTES], age[32], left[32] = "no limit yet", silent[32];
    const char *unit = lease->kind == DPC_TASK_TRAIN ? "step" : "document";
    char *backup = tell_backup(backup_ms), *text;
    if (lease->left_ms >= 0)
        dpc_why_time(lease->left_ms, left);
    text = dpc_format("lease %" PRIu64 " of worker %s: %s path %s round %u, %s %u of %u after %s, "
                      "%s%s, heard of %s ago; %s",
                      lease->serial, server_worker_name(chain->server, lease->worker),
                      dpc_task_name(lease->kind), why_path_name(chain, lease->path, name),
                      lease->round, unit, lease->steps_done, lease->steps_count,
                      dpc_why_time(lease->age_ms, age), left, lease->left_ms < 0 ? "" : " left",
                      dpc_why_time(lease->silent_ms, silent), backup);
    dpc_free(backup);
    return text;
}

void
why_add_lease(struct why_chain *chain, uint32_t index, const struct dpc_lease_view *lease)
{
    char name[WHY_NAME_BYTES];
    int64_t backup_ms = dpc_core_backup_in(chain->core, index, chain->now_ms);
    struct dpc_json *link =
        why_add_link(chain, "lease", server_worker_name(chain->server, lease->worker),
                     dpc_task_name(lease->kind), tell_lease(chain, lease, backup_ms));
    dpc_json_set_integer(link, "lease", (int64_t)lease->serial);
    dpc_json_set_text(link, "path", why_path_name(chain, lease->path, name));
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

void
why_add_check(struct why_chain *chain, const uint8_t *key)
{
    for (uint32_t i = 0; i < chain->server->checks_count; i++) {
        const struct dpc_job *job = chain->server->checks[i];
        if (memcmp(job->peer.key.bytes, key, DPC_WORKER_KEY_BYTES) == 0)
            why_add_link(chain, "submission", server_worker_name(chain->server, key), "checked",
                         dpc_format("what it has handed in for lease %" PRIu64
                                    " is being looked at",
                                    job->submit.token.serial));
    }
}

static void
add_leases_on(struct why_chain *chain, uint32_t path, uint32_t round)
{
    struct dpc_lease_view lease;
    for (uint32_t i = 0; i < dpc_core_leases_count(chain->core); i++) {
        dpc_core_lease_at(chain->core, i, chain->now_ms, &lease);
        if (lease.kind != DPC_TASK_TRAIN || lease.path != path || lease.round != round)
            continue;
        why_add_lease(chain, i, &lease);
        why_add_check(chain, lease.worker);
    }
}

/* --- What there is to do. */

static uint32_t
count_helpers(const struct why_chain *chain)
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

void
why_add_phase(struct why_chain *chain)
{
    const char *phase = dpc_phase_name(dpc_core_phase(chain->core)->phase);
    struct dpc_why_tasks tasks;
    struct dpc_json *link;
    dpc_core_why_tasks(chain->core, chain->now_ms, &tasks);
    if (tasks.chunks)
        link =
            why_add_link(chain, "phase", phase, "tasks",
                         dpc_format("phase %s: %u of %u tasks are left, %u of them failed wherever "
                                    "they were tried",
                                    phase, tasks.chunks_left, tasks.chunks, tasks.failing));
    else
        link = why_add_link(chain, "phase", phase, "phase", dpc_format("the phase is %s", phase));
    dpc_json_set_integer(link, "tasks", tasks.chunks);
    dpc_json_set_integer(link, "tasks_left", tasks.chunks_left);
    dpc_json_set_integer(link, "held", tasks.held);
    dpc_json_set_integer(link, "failing", tasks.failing);
    dpc_json_set_integer(link, "folding", tasks.folding);
    if (tasks.backup_ms >= 0)
        dpc_json_set_integer(link, "backup_ms", tasks.backup_ms);
}

/* --- Paths. */

/* What a module lacks, behind others. */
static void
tell_lack(const struct why_chain *chain, const struct dpc_why_path *why, uint32_t i,
          struct dpc_buf *out)
{
    char module[WHY_NAME_BYTES];
    const char *name = module_name(chain, why->lacks[i].module, module);
    dpc_buf_printf(out, "%s", i ? ", " : ": ");
    switch (why->lacks[i].lack) {
    case DPC_LACK_NONE:
    case DPC_LACK_VERSION:
        dpc_buf_printf(out, "%s has no version yet", name);
        break;
    case DPC_LACK_FOLD:
        dpc_buf_printf(out, "the outer step of %s is under way", name);
        break;
    case DPC_LACK_ROUND:
        dpc_buf_printf(out, "%s has come to round %u", name, why->lacks[i].round);
        break;
    case DPC_LACK_PATH:
        dpc_buf_printf(out, "%s has gone on to round %u", name, why->lacks[i].round);
        break;
    }
}

static char *
tell_waiting(const struct why_chain *chain, const char *name, const struct dpc_why_path *why)
{
    struct dpc_buf text;
    dpc_buf_init(&text, 0);
    dpc_buf_printf(&text, "path %s waits to begin round %u", name, why->round);
    for (uint32_t i = 0; i < why->lacks_count && i < NAMES_MAX; i++)
        tell_lack(chain, why, i, &text);
    if (why->lacks_count > NAMES_MAX)
        dpc_buf_printf(&text, " and %u more", why->lacks_count - NAMES_MAX);
    char *words = dpc_format("%s", dpc_buf_text(&text));
    dpc_buf_done(&text);
    return words;
}

static char *
tell_path(const struct why_chain *chain, const char *name, const struct dpc_why_path *why)
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
        return tell_waiting(chain, name, why);
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
add_path(struct why_chain *chain, uint32_t path, struct dpc_why_path *why)
{
    char name[WHY_NAME_BYTES], module[WHY_NAME_BYTES];
    dpc_core_why_path(chain->core, path, chain->now_ms, why);
    why_path_name(chain, path, name);
    struct dpc_json *link = why_add_link(chain, "path", name, dpc_path_standing_name(why->standing),
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
list_pending(const struct why_chain *chain, uint32_t module, uint32_t round,
             struct dpc_buf *ret_names)
{
    uint32_t furthest = UINT32_MAX, least = UINT32_MAX, count = 0;
    char name[WHY_NAME_BYTES];
    for (uint32_t i = 0; i < dpc_topology_paths_through(chain->topology, module); i++) {
        uint32_t path = dpc_topology_path_through(chain->topology, module, i);
        uint32_t done = dpc_core_path(chain->core, path)->rounds_done;
        if (done > round)
            continue;
        if (count < NAMES_MAX)
            dpc_buf_printf(ret_names, "%s%s", count ? ", " : "", why_path_name(chain, path, name));
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
tell_module(const struct why_chain *chain, const char *name, const struct dpc_why_module *why,
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
add_cause(struct why_chain *chain, uint32_t module, const char *name, uint32_t number)
{
    struct dpc_version_record version;
    struct dpc_error err;
    if (dpc_load_version(dpc_store_kv(chain->server->store), module, number, &version, &err) !=
            DPC_OK ||
        (version.cause != DPC_CAUSE_ROLLBACK && version.cause != DPC_CAUSE_REVOKE))
        return;
    why_add_link(chain, "version", name, server_cause_name(version.cause),
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
add_module(struct why_chain *chain, uint32_t module)
{
    char name[WHY_NAME_BYTES];
    struct dpc_why_module why;
    struct dpc_buf pending;
    dpc_buf_init(&pending, 0);
    dpc_core_why_module(chain->core, module, chain->now_ms, &why);
    module_name(chain, module, name);
    uint32_t furthest = list_pending(chain, module, why.round, &pending);
    struct dpc_json *link =
        why_add_link(chain, "module", name, dpc_module_standing_name(why.standing),
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

void
why_follow_path(struct why_chain *chain, uint32_t path)
{
    struct dpc_why_path why;
    while (path != UINT32_MAX && dpc_json_count(chain->links) < LINKS_MAX) {
        add_path(chain, path, &why);
        if (why.standing == DPC_PATH_PHASE)
            why_add_phase(chain);
        path = why.standing == DPC_PATH_WAITS ? add_module(chain, find_last(&why)) : UINT32_MAX;
    }
}

static void
add_revoke(struct why_chain *chain)
{
    const struct dpc_revokes *revokes = &chain->server->revokes;
    if (revokes->running)
        why_add_link(chain, "revoke", revokes->name, "revoke",
                     dpc_format("what worker %s handed in since round %u is being taken out",
                                revokes->name, revokes->since));
}

void
why_follow_module(struct why_chain *chain, uint32_t module)
{
    uint32_t path = add_module(chain, module);
    add_revoke(chain);
    why_follow_path(chain, path);
}

uint32_t
why_find_furthest(const struct why_chain *chain)
{
    uint32_t furthest = UINT32_MAX, most = 0;
    for (uint32_t path = 0; path < chain->topology->paths_count; path++) {
        enum dpc_path_standing standing = dpc_core_path_standing(chain->core, path);
        bool open = standing != DPC_PATH_DONE && standing != DPC_PATH_PHASE;
        uint32_t left =
            dpc_core_path_owes(chain->core, path) - dpc_core_path_made(chain->core, path);
        if (open && left > most) {
            most = left;
            furthest = path;
        }
    }
    return furthest;
}
