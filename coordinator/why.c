/* SPDX-License-Identifier: Apache-2.0
 * Why a worker idles, a path waits, a module has not closed. What the core says of itself
 * (core/why.h) is put into words; the server adds what only it knows: a full disk, submissions that
 * are being looked at, revokes, and keys that nobody has come with. */
#include "coordinator/why_parts.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

/* --- Workers. */

static void
add_disk(struct why_chain *chain)
{
    char text[DPC_TEXT_MAX];
    if (server_has_room(chain->server))
        return;
    server_tell_space(chain->server, text, sizeof text);
    why_add_link(chain, "disk", "", "full", dpc_format("no worker gets a lease: %s", text));
}

static char *
tell_silence(const struct dpc_why_worker *why)
{
    char silent[32], beat[32];
    if (!why->greeted)
        return dpc_format("; it has not said hello since the coordinator started");
    if (!why->connected && !why->lease && !why->handing_in)
        return dpc_format("; it was last heard of %s ago: it has gone, or says nothing while its "
                          "owner has it pause",
                          dpc_why_time(why->silent_ms, silent));
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
add_copies(struct why_chain *chain, const char *name)
{
    why_add_link(chain, "key", name, "copied",
                 dpc_format("the key of worker %s is used on two machines at once, or in two "
                            "folders of one: " SERVER_COPIED_TEXT,
                            name));
}

static void
add_refusals(struct why_chain *chain, const struct dpc_why_worker *why)
{
    char name[WHY_NAME_BYTES], ago[32];
    for (uint32_t i = 0; i < why->refusals_count; i++) {
        const struct dpc_refusal *refusal = &why->refusals[i];
        bool known = refusal->path < chain->topology->paths_count;
        why_path_name(chain, known ? refusal->path : 0, name);
        struct dpc_json *link = why_add_link(
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
    dpc_json_set_bool(link, "copied", why->copied);
    if (why->greeted)
        dpc_json_set_integer(link, "silent_ms", why->silent_ms);
    dpc_json_set_integer(link, "fruitless", why->fruitless);
    dpc_json_set_integer(link, "too_large_bytes", (int64_t)why->too_large);
    dpc_json_set_integer(link, "ready", why->tasks.ready);
    dpc_json_set_integer(link, "held", why->tasks.held);
    dpc_json_set_integer(link, "failing", why->tasks.failing);
}

static void
add_held(struct why_chain *chain, const uint8_t *key, uint64_t serial)
{
    struct dpc_lease_view lease = {.serial = 0};
    uint32_t i = 0, count = dpc_core_leases_count(chain->core);
    for (; i < count && lease.serial != serial; i++)
        dpc_core_lease_at(chain->core, i, chain->now_ms, &lease);
    if (lease.serial == serial)
        why_add_lease(chain, i - 1, &lease);
    else
        why_add_link(
            chain, "lease", server_worker_name(chain->server, key), "audit",
            dpc_format("lease %" PRIu64 " is an audit: what another handed in, once more", serial));
}

static void
follow_worker(struct why_chain *chain, const struct dpc_worker_record *worker)
{
    struct dpc_why_worker why;
    dpc_core_why_worker(chain->core, worker->key, chain->now_ms, &why);
    struct dpc_json *link = why_add_link(chain, "worker", worker->name, dpc_ask_name(why.ask),
                                         tell_worker(worker->name, &why));
    set_worker(link, &why);
    if (why.copied)
        add_copies(chain, worker->name);
    add_disk(chain);
    if (why.lease)
        add_held(chain, worker->key, why.lease);
    if (why.handing_in)
        add_held(chain, worker->key, why.handing_in);
    if (why.lease || why.handing_in)
        why_add_check(chain, worker->key);
    add_refusals(chain, &why);
    if (why.ask != DPC_ASK_NOTHING)
        return;
    if (why.tasks.chunks_left)
        why_add_phase(chain);
    why_follow_path(chain, why_find_furthest(chain));
}

/* A key that may connect, and that nobody has come with. */
static bool
add_stranger(struct why_chain *chain, const char *text)
{
    char key[DPC_KEY_TEXT_MAX];
    for (uint32_t i = 0; i < chain->server->worker_keys_count; i++) {
        dpc_key_text(&chain->server->worker_keys[i], key);
        if (strcmp(key, text) != 0)
            continue;
        why_add_link(chain, "worker", key, dpc_ask_name(DPC_ASK_UNKNOWN),
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
why_worker(struct why_chain *chain, const char *name, struct dpc_error *err)
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
why_path(struct why_chain *chain, const char *name, struct dpc_error *err)
{
    uint32_t path;
    if (!dpc_topology_path_find(chain->topology, name, &path))
        return refuse_name("path", name, err);
    why_follow_path(chain, path);
    return DPC_OK;
}

static int
why_module(struct why_chain *chain, const char *name, struct dpc_error *err)
{
    uint32_t module;
    if (!dpc_topology_module_find(chain->topology, name, &module))
        return refuse_name("module", name, err);
    why_follow_module(chain, module);
    return DPC_OK;
}

/* The one that is named so, if it is one. */
static int
why_any(struct why_chain *chain, const char *name, struct dpc_error *err)
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
    int (*why)(struct why_chain *chain, const char *name, struct dpc_error *err);
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
    struct why_chain chain = {
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
