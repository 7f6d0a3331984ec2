/* SPDX-License-Identifier: Apache-2.0
 * Rollbacks as the operator asks for them. The core does no I/O: which versions are meant, and
 * whether their blobs are still there, is found out here. Asking for a blob's size touches it, so a
 * sweep that is under way spares what the core is about to name. */
#include "coordinator/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct choice {
    struct dpc_server *server;
    const struct dpc_topology *topology;
    uint32_t module_first, modules_count; /* whose versions are wanted */
    uint32_t round;                       /* of all of them */
    struct dpc_version_record *versions;  /* [modules_count], by module */
    bool *found;                          /* likewise */
    uint32_t oldest;                      /* round or version that could be had */
    int failed;                           /* why it cannot be said of all what is there */
};

static bool
is_there(struct choice *choice, const struct dpc_version_record *version)
{
    uint64_t bytes;
    int code = DPC_OK;
    const struct dpc_hash *hashes[] = {&version->master, &version->published, &version->momentum};
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes && code == DPC_OK; i++) {
        if (!dpc_hash_is_none(hashes[i]))
            code = dpc_store_blob_size(choice->server->store, hashes[i], &bytes);
    }
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        choice->failed = code;
    return code == DPC_OK;
}

/* Want of descriptors says nothing of what is kept. */
static int
check_looked(const struct choice *choice, struct dpc_error *err)
{
    if (choice->failed == DPC_OK)
        return DPC_OK;
    return dpc_error_set(err, choice->failed, "could not look for what is kept: %s",
                         dpc_error_words(choice->failed));
}

/* --- One module. Where training began is always kept: the oldest possible is sought behind what
 * was asked for. */

static bool
look_for_oldest_version(void *context, const struct dpc_version_record *version)
{
    struct choice *choice = context;
    if (version->module != choice->module_first || version->version <= choice->versions->version ||
        !is_there(choice, version))
        return true;
    choice->oldest = version->version;
    return false;
}

static int
choose_version(struct choice *choice, const char *name, uint32_t version, struct dpc_error *err)
{
    struct dpc_kv *kv = dpc_store_kv(choice->server->store);
    const struct dpc_module_record *present =
        dpc_core_module(choice->server->core, choice->module_first);
    if (!present || version > present->version)
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "there is no version %u of module %s; dipacoctl versions lists them",
                             version, name);
    int code = dpc_load_version(kv, choice->module_first, version, choice->versions, err);
    if (code != DPC_OK || is_there(choice, choice->versions))
        return code;
    code = dpc_scan_versions(kv, look_for_oldest_version, choice, err);
    if (code == DPC_OK)
        code = check_looked(choice, err);
    if (code != DPC_OK)
        return code;
    return dpc_error_set(
        err, DPC_EPERM,
        "version %u of module %s is not kept any more: the oldest possible after it is %u "
        "(keep_rounds says how many are kept)",
        version, name, choice->oldest);
}

/* --- All modules. The dense ones count other rounds, and no routed module learns from them any
 * more: they are let alone. */

static bool
choose_by_round(void *context, const struct dpc_version_record *version)
{
    struct choice *choice = context;
    uint32_t i = version->module - choice->module_first;
    if (i < choice->modules_count && dpc_version_round(version) == choice->round) {
        choice->versions[i] = *version; /* the newest stays */
        choice->found[i] = true;
    }
    return true;
}

/* Of each module the round of its first version that is there; of these the last. `found` is that
 * of this search. */
static bool
look_for_oldest_round(void *context, const struct dpc_version_record *version)
{
    struct choice *choice = context;
    uint32_t i = version->module - choice->module_first, round = dpc_version_round(version);
    if (i >= choice->modules_count || choice->found[i] || round <= choice->round ||
        !is_there(choice, version))
        return true;
    choice->found[i] = true;
    choice->oldest = round > choice->oldest ? round : choice->oldest;
    return true;
}

static int
refuse_round(struct choice *choice, uint32_t i, struct dpc_error *err)
{
    char name[2 * DPC_NAME_MAX];
    dpc_topology_module_name(choice->topology, choice->module_first + i, name, sizeof name);
    if (!choice->found[i])
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "module %s has not reached round %u: dipacoctl modules tells how far "
                             "each is",
                             name, choice->round);
    memset(choice->found, 0, choice->modules_count * sizeof *choice->found);
    int code =
        dpc_scan_versions(dpc_store_kv(choice->server->store), look_for_oldest_round, choice, err);
    if (code == DPC_OK)
        code = check_looked(choice, err);
    if (code != DPC_OK)
        return code;
    return dpc_error_set(
        err, DPC_EPERM,
        "round %u of module %s is not kept any more: the oldest possible after it is "
        "%u (keep_rounds says how many are kept)",
        choice->round, name, choice->oldest);
}

static int
choose_round(struct choice *choice, struct dpc_error *err)
{
    int code = dpc_scan_versions(dpc_store_kv(choice->server->store), choose_by_round, choice, err);
    for (uint32_t i = 0; i < choice->modules_count && code == DPC_OK; i++) {
        if (!choice->found[i] || !is_there(choice, &choice->versions[i]))
            code = refuse_round(choice, i, err);
    }
    return code;
}

/* --- Doing it. */

static void
tell(const struct choice *choice, const uint32_t *before, uint32_t leases_voided,
     struct dpc_json *root)
{
    struct dpc_json *rows = dpc_json_array();
    for (uint32_t i = 0; i < choice->modules_count; i++) {
        char name[2 * DPC_NAME_MAX];
        uint32_t module = choice->module_first + i;
        const struct dpc_module_record *now = dpc_core_module(choice->server->core, module);
        bool appended = now->version != before[i];
        dpc_topology_module_name(choice->topology, module, name, sizeof name);
        struct dpc_json *row = dpc_json_object();
        dpc_json_set_text(row, "module", name);
        dpc_json_set_integer(row, "version", appended ? before[i] + 1 : before[i]);
        dpc_json_set_integer(row, "parent", choice->versions[i].version);
        dpc_json_set_bool(row, "appended", appended);
        dpc_json_append(rows, row);
        if (!appended)
            continue;
        dpc_log_info("rolled back module=%s version=%u parent=%u", name, before[i] + 1,
                     choice->versions[i].version);
        SERVER_NOTE(choice->server, "rollback", DPC_FIELD_TEXT("module", name),
                    DPC_FIELD_NUMBER("version", before[i] + 1u),
                    DPC_FIELD_NUMBER("parent", choice->versions[i].version));
    }
    dpc_json_set(root, "rollback", rows);
    dpc_json_set_integer(root, "leases_voided", leases_voided);
}

static int
carry_out(struct choice *choice, struct dpc_json *root, struct dpc_error *err)
{
    struct dpc_server *server = choice->server;
    uint32_t leases = dpc_core_leases_count(server->core);
    uint32_t *before = dpc_alloc(choice->modules_count, sizeof *before);
    for (uint32_t i = 0; i < choice->modules_count; i++)
        before[i] = dpc_core_module(server->core, choice->module_first + i)->version;
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK};
    event.rollback.versions_count = choice->modules_count;
    event.rollback.versions = choice->versions;
    server_step(server, &event, NULL, 0);
    int code = server->failure;
    if (code == DPC_OK)
        tell(choice, before, leases - dpc_core_leases_count(server->core), root);
    else
        *err = server->failure_text;
    dpc_free(before);
    return code;
}

static int
begin(struct dpc_server *server, struct choice *choice, uint32_t modules_count,
      struct dpc_error *err)
{
    *choice = (struct choice){
        .server = server,
        .topology = dpc_core_topology(server->core),
        .modules_count = modules_count,
        .versions = dpc_alloc(modules_count, sizeof *choice->versions),
        .found = dpc_alloc(modules_count, sizeof *choice->found),
    };
    int code = dpc_core_check_rollback(server->core, err);
    return code == DPC_OK ? server_check_room(server, err) : code;
}

static void
end(struct choice *choice)
{
    dpc_free(choice->versions);
    dpc_free(choice->found);
}

bool
server_read_number(const char *text, uint32_t *ret_number)
{
    char *behind;
    unsigned long number = strtoul(text, &behind, 10);
    if (text[0] < '0' || text[0] > '9' || *behind || number > INT32_MAX)
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

int
server_roll_back_module(struct dpc_server *server, const char *argument, struct dpc_json *root,
                        struct dpc_error *err)
{
    char name[2 * DPC_NAME_MAX];
    struct choice choice;
    uint32_t version;
    const char *space = strchr(argument, ' ');
    if (!space || (size_t)(space - argument) >= sizeof name ||
        !server_read_number(space + 1, &version))
        return dpc_error_set(err, DPC_EINVAL,
                             "a rollback names a module and a version, such as \"lower.1 3\"");
    (void)snprintf(name, sizeof name, "%.*s", (int)(space - argument), argument);
    int code = begin(server, &choice, 1, err);
    if (code == DPC_OK && !dpc_topology_module_find(choice.topology, name, &choice.module_first))
        code = dpc_error_set(err, DPC_ENOTFOUND,
                             "there is no module \"%s\"; dipacoctl modules lists them", name);
    if (code == DPC_OK)
        code = choose_version(&choice, name, version, err);
    if (code == DPC_OK)
        code = carry_out(&choice, root, err);
    end(&choice);
    return code;
}

int
server_roll_back_round(struct dpc_server *server, const char *argument, struct dpc_json *root,
                       struct dpc_error *err)
{
    struct choice choice;
    uint32_t round;
    if (!server_read_number(argument, &round))
        return dpc_error_set(err, DPC_EINVAL, "a rollback names a round, such as \"3\"");
    int code = begin(server, &choice, dpc_core_topology(server->core)->routed_modules, err);
    choice.round = round;
    if (code == DPC_OK)
        code = choose_round(&choice, err);
    if (code == DPC_OK)
        code = carry_out(&choice, root, err);
    end(&choice);
    return code;
}

/* --- For revokes. A module that has not got there yet holds nothing of that round. */

static int
collect_round(struct choice *choice, struct dpc_version_record *versions, uint32_t *count,
              struct dpc_error *err)
{
    int code = dpc_scan_versions(dpc_store_kv(choice->server->store), choose_by_round, choice, err);
    for (uint32_t i = 0; i < choice->modules_count && code == DPC_OK; i++) {
        if (choice->found[i] && !is_there(choice, &choice->versions[i]))
            code = refuse_round(choice, i, err);
        else if (choice->found[i])
            versions[(*count)++] = choice->versions[i];
    }
    return code;
}

/* Of the dense modules, the first round from that one on that is kept. */
static int
collect_from_round(struct choice *choice, struct dpc_version_record *versions, uint32_t *count,
                   struct dpc_error *err)
{
    uint32_t others = *count;
    int code = collect_round(choice, versions, count, err);
    if (code != DPC_EPERM || choice->failed != DPC_OK || choice->oldest <= choice->round)
        return code;
    choice->round = choice->oldest;
    memset(choice->found, 0, choice->modules_count * sizeof *choice->found);
    *count = others;
    return collect_round(choice, versions, count, err);
}

int
server_choose_round(struct dpc_server *server, uint32_t round, uint32_t *dense_round,
                    struct dpc_version_record **ret_versions, uint32_t *ret_count,
                    struct dpc_error *err)
{
    const struct dpc_topology *topology = dpc_core_topology(server->core);
    struct dpc_version_record *versions = dpc_alloc(topology->modules_count, sizeof *versions);
    uint32_t warm_rounds = dpc_core_warm_rounds(server->core);
    struct choice routed, others;
    int code = begin(server, &routed, topology->routed_modules, err);
    routed.round = round;
    *ret_count = 0;
    if (code == DPC_OK)
        code = collect_round(&routed, versions, ret_count, err);
    end(&routed);
    if (code == DPC_OK && dense_round) {
        code = begin(server, &others, topology->modules_count - topology->routed_modules, err);
        others.module_first = topology->routed_modules;
        others.round = *dense_round + warm_rounds;
        if (code == DPC_OK)
            code = collect_from_round(&others, versions, ret_count, err);
        *dense_round = others.round - warm_rounds;
        end(&others);
    }
    *ret_versions = code == DPC_OK ? versions : dpc_free(versions);
    return code;
}
