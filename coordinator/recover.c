/* SPDX-License-Identifier: Apache-2.0
 * Start of a coordinator: the store as it was left, held against the experiment file as it is now.
 * A key that may not change while an experiment runs is refused by name. */
#include "coordinator/state.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "coordinator/backup.h"

enum { HEARTBEAT_MS = 1000 };

/* Collects the keys that were changed but must not be. */
struct changes {
    struct dpc_buf refused;
    bool any;
    bool late; /* results are being gathered: nothing may change any more */
};

static void
note_change(void *context, const char *key, const char *old_value, const char *new_value,
            bool may_change)
{
    struct changes *changes = context;
    changes->any = true;
    if (!may_change || changes->late)
        dpc_buf_printf(&changes->refused, "%s%s (%s -> %s)", changes->refused.len ? ", " : "", key,
                       old_value, new_value);
}

static int
compare(const struct dpc_server *server, const char *file, const char *yaml, size_t len,
        bool *ret_changed, struct dpc_error *err)
{
    struct dpc_experiment *old = dpc_alloc(1, sizeof *old);
    struct dpc_phase_record phase;
    struct changes changes = {0};
    if (dpc_load_phase(dpc_store_kv(server->store), &phase, NULL) == DPC_OK)
        changes.late = dpc_phase_is_late(phase.phase);
    dpc_buf_init(&changes.refused, DPC_ERROR_TEXT_MAX / 2);
    int code = dpc_experiment_parse_stored("the stored experiment", yaml, len, old, err);
    if (code == DPC_OK) {
        dpc_experiment_diff(old, &server->experiment, DPC_CHANGE_RUNNING, note_change, &changes);
        if (changes.refused.len || changes.refused.failed)
            code = dpc_error_set(err, DPC_EPERM,
                                 "\"%s\" is not what this experiment began with: %s cannot change "
                                 "while it runs; undo the change, or begin anew in another folder",
                                 file, dpc_buf_text(&changes.refused));
    }
    *ret_changed = changes.any;
    dpc_buf_done(&changes.refused);
    dpc_free(old);
    return code;
}

/* The stored experiment must be this one; a new store, or a change that is allowed, is recorded. */
static int
agree_on_experiment(struct dpc_server *server, const char *file, const struct dpc_buf *yaml,
                    struct dpc_error *err)
{
    char *stored;
    size_t len;
    bool changed = true;
    int code = dpc_load_experiment(dpc_store_kv(server->store), &stored, &len, err);
    if (code == DPC_OK) {
        code = compare(server, file, stored, len, &changed, err);
        dpc_free(stored);
    } else if (code == DPC_ENOTFOUND) {
        code = DPC_OK;
    }
    if (code != DPC_OK || !changed)
        return code;
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_put_experiment(&batch, (const char *)yaml->data, yaml->len);
    code = dpc_store_commit(server->store, &batch, err);
    dpc_kv_batch_done(&batch);
    return code;
}

/* Corpus and model stand where the experiment file says, seen from its folder. */
static int
find_inputs(struct dpc_server *server, const char *experiment_file, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = &server->experiment;
    char folder[DPC_PATH_MAX];
    dpc_path_folder(experiment_file, folder, sizeof folder);
    if (dpc_path_join(folder, experiment->data.corpus, server->world.corpus,
                      sizeof server->world.corpus) != DPC_OK)
        return dpc_error_set(err, DPC_ELIMIT, "the name of the corpus \"%s\" is too long",
                             experiment->data.corpus);
    if (dpc_experiment_imports(experiment) &&
        dpc_path_join(folder, experiment->warm_start.from, server->world.imported,
                      sizeof server->world.imported) != DPC_OK)
        return dpc_error_set(err, DPC_ELIMIT, "the name of the model \"%s\" is too long",
                             experiment->warm_start.from);
    return DPC_OK;
}

int
server_open_store(struct dpc_server *server, const struct dpc_server_options *options,
                  struct dpc_error *err)
{
    struct dpc_buf yaml;
    dpc_buf_init(&yaml, DPC_CONFIG_BYTES_MAX);
    dpc_experiment_print(&server->experiment, &yaml);
    int code = find_inputs(server, options->experiment_file, err);
    if (code == DPC_OK)
        code = dpc_backup_refuse(options->folder, err);
    if (code == DPC_OK)
        code = dpc_store_open(options->folder, DPC_KV_READ_WRITE, &server->store, err);
    if (code == DPC_OK)
        dpc_store_set_reserve(server->store, DPC_STORE_RESERVE_BYTES / 2);
    if (code == DPC_OK)
        code = agree_on_experiment(server, options->experiment_file, &yaml, err);
    dpc_buf_done(&yaml);
    return code;
}

int
server_recover(struct dpc_server *server, struct dpc_error *err)
{
    struct dpc_buf yaml;
    dpc_buf_init(&yaml, DPC_CONFIG_BYTES_MAX);
    dpc_experiment_print_short(&server->experiment, &yaml);
    struct dpc_core_options core_options = {
        .incarnation = dpc_store_incarnation(server->store),
        .heartbeat_ms = HEARTBEAT_MS,
        .workers_max = DPC_WORKERS_MAX,
        .experiment_yaml = dpc_buf_text(&yaml),
        .bulk_endpoint = dpc_listener_endpoint(server->bulk),
        .mirror = server->mirror,
    };
    int code = dpc_core_create(&server->experiment, &core_options, dpc_store_kv(server->store),
                               dpc_clock_now_ms(&dpc_clock_system), &server->core, err);
    if (code == DPC_OK) {
        server->world.store = server->store;
        server->world.experiment = &server->experiment;
        server->world.topology = dpc_core_topology(server->core);
    }
    dpc_buf_done(&yaml);
    return code;
}
