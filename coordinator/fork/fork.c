/* SPDX-License-Identifier: Apache-2.0
 * The folder of a fork, and its blobs. Which blobs it needs is asked of a core made of its records:
 * what that names must be there; of history what the source still keeps comes along. */
#include "coordinator/fork/fork.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "coordinator/core/keep.h"
#include "coordinator/fork/fork_parts.h"
#include "data/tokens.h"

int
dpc_fork_records(const struct dpc_fork_source *source, uint32_t round,
                 const struct dpc_experiment *experiment, struct dpc_store *to,
                 struct dpc_forked *ret_forked, struct dpc_error *err)
{
    struct fork_cut cut = {.source = source, .experiment = experiment};
    int code = fork_cut_find(&cut, round, err);
    if (code == DPC_OK)
        code = fork_find_revoked(&cut, err);
    if (code == DPC_OK)
        code = fork_write(&cut, to, err);
    if (code == DPC_OK)
        *ret_forked = cut.forked;
    fork_cut_done(&cut);
    return code;
}

/* --- Blobs. */

static int
size_in_store(void *context, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    return dpc_store_blob_size(context, hash, ret_bytes);
}

/* `needed`: each must be there. */
static int
adopt_all(struct dpc_store *to, struct dpc_store *from, const struct dpc_keep *keep, bool needed,
          uint64_t *ret_count, struct dpc_error *err)
{
    char hex[DPC_HASH_HEX_MAX];
    int code = DPC_OK;
    *ret_count = 0;
    for (size_t i = 0; i < dpc_keep_count(keep) && code == DPC_OK; i++) {
        code = dpc_store_blob_adopt(to, from, dpc_keep_at(keep, i), err);
        *ret_count += code == DPC_OK;
        if (code == DPC_ENOTFOUND && !needed)
            code = DPC_OK;
        dpc_hash_hex(dpc_keep_at(keep, i), hex, sizeof hex);
        if (code == DPC_ENOTFOUND)
            code = dpc_error_set(err, DPC_ECORRUPT,
                                 "its blob %s is needed and gone: put its file back from a backup",
                                 hex);
    }
    return code;
}

static int
adopt(struct dpc_store *to, struct dpc_store *from, const struct dpc_experiment *experiment,
      uint64_t *ret_count, struct dpc_error *err)
{
    struct dpc_core *core;
    struct dpc_core_options options = {.incarnation = dpc_store_incarnation(to),
                                       .workers_max = DPC_WORKERS_MAX,
                                       .experiment_yaml = "",
                                       .bulk_endpoint = ""};
    int code = dpc_core_create(experiment, &options, dpc_store_kv(to), 0, &core, err);
    if (code != DPC_OK)
        return code;
    struct dpc_keep *keep = dpc_keep_create(core);
    code = adopt_all(to, from, keep, true, ret_count, err);
    if (code == DPC_OK)
        code = dpc_keep_history(keep, dpc_store_kv(to), err);
    if (code == DPC_OK)
        code = adopt_all(to, from, keep, false, ret_count, err);
    dpc_keep_destroy(keep);
    dpc_core_destroy(core);
    return code;
}

/* --- The corpus: the same documents, wherever they lie. */

static int
check_corpus(struct dpc_store *from, const char *experiment_file,
             const struct dpc_experiment *experiment, struct dpc_error *err)
{
    char folder[DPC_PATH_MAX], corpus[DPC_PATH_MAX];
    struct dpc_tokens *tokens = NULL;
    struct dpc_phase_record phase;
    struct dpc_hash hash;
    int code = dpc_load_phase(dpc_store_kv(from), &phase, err);
    if (code != DPC_OK) /* it has none yet: told better by whoever looks for a round */
        return code == DPC_ENOTFOUND ? DPC_OK : code;
    dpc_path_folder(experiment_file, folder, sizeof folder);
    if (dpc_path_join(folder, experiment->data.corpus, corpus, sizeof corpus) != DPC_OK)
        return dpc_error_set(err, DPC_ELIMIT, "the name of the corpus \"%.200s\" is too long",
                             experiment->data.corpus);
    code = dpc_tokens_open(corpus, &tokens, err);
    if (code != DPC_OK)
        return code;
    dpc_tokens_hash(tokens, &hash);
    dpc_tokens_close(tokens);
    if (dpc_hash_equal(&hash, &phase.corpus) || phase.phase == DPC_PHASE_PREPARE)
        return DPC_OK;
    return dpc_error_set(err, DPC_EPERM,
                         "the corpus \"%.200s\" is not the one that it was trained on: name that "
                         "one as data.corpus, or begin anew",
                         corpus);
}

/* --- Folders. */

static void
note_name(void *context, const char *name)
{
    (void)name;
    *(bool *)context = true;
}

/* What is made beside a folder gets its name by a rename, which wants the name itself: without a
 * slash behind it, and not that of a link. */
static int
name_target(const char *to, char ret_to[static DPC_PATH_MAX], struct dpc_error *err)
{
    char path[PATH_MAX];
    if (!realpath(to, path))
        (void)snprintf(path, sizeof path, "%s", to);
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        path[--len] = 0;
    if (len == 0 || len >= DPC_PATH_MAX)
        return dpc_error_set(err, DPC_ELIMIT,
                             "\"%.200s\" is no name for a folder, or too long a one", to);
    memcpy(ret_to, path, len + 1);
    return DPC_OK;
}

/* No rename reaches it, and what is made beside it lies on another disk. */
static bool
is_mounted(const char *to)
{
    char parent[DPC_PATH_MAX];
    struct stat own, above;
    dpc_path_folder(to, parent, sizeof parent);
    return stat(to, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev;
}

static int
check_target(const char *to, struct dpc_error *err)
{
    bool used = false;
    int code = dpc_vfs_exists(&dpc_vfs_posix, to)
                   ? dpc_vfs_posix.ops->list(&dpc_vfs_posix, to, note_name, &used)
                   : DPC_OK;
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not look into \"%s\": %s", to,
                             dpc_error_words(code));
    if (used)
        return dpc_error_set(err, DPC_EEXIST,
                             "the folder \"%s\" is not empty: name a new one, or empty it", to);
    if (is_mounted(to))
        return dpc_error_set(err, DPC_EINVAL,
                             "\"%s\" is where a file system is mounted: name a folder in it", to);
    return DPC_OK;
}

/* Reading would make nothing, but say what is wrong in words of the database. */
static int
check_source(const char *from, struct dpc_error *err)
{
    char db[DPC_PATH_MAX];
    if (dpc_path_join(from, "db", db, sizeof db) != DPC_OK)
        return dpc_error_set(err, DPC_ELIMIT, "the name \"%.200s\" is too long", from);
    if (!dpc_vfs_exists(&dpc_vfs_posix, db))
        return dpc_error_set(err, DPC_ENOTFOUND, "\"%s\" holds no store", from);
    int holder = dpc_kv_rocks_holder(db);
    return holder ? dpc_error_set(err, DPC_EBUSY,
                                  "the store \"%s\" is open in process %d: stop that one first",
                                  from, holder)
                  : DPC_OK;
}

/* It becomes a store in one step. */
static int
put_in_place(const char *folder, const char *to, struct dpc_error *err)
{
    const struct dpc_vfs *vfs = &dpc_vfs_posix;
    char parent[DPC_PATH_MAX];
    dpc_path_folder(to, parent, sizeof parent);
    int code = vfs->ops->sync_folder(vfs, folder);
    if (code == DPC_OK)
        code = vfs->ops->rename(vfs, folder, to);
    if (code == DPC_OK)
        code = vfs->ops->sync_folder(vfs, parent);
    return code == DPC_OK ? DPC_OK
                          : dpc_error_set(err, code, "could not put the store \"%s\" in place: %s",
                                          to, dpc_error_words(code));
}

static int
fill(struct dpc_store *from, uint32_t round, const struct dpc_experiment *experiment,
     const char *folder, struct dpc_forked *forked, struct dpc_error *err)
{
    struct dpc_store *to;
    struct dpc_fork_source source = {dpc_store_kv(from), size_in_store, from};
    int code = dpc_store_open(folder, DPC_KV_READ_WRITE, &to, err);
    if (code != DPC_OK)
        return code;
    code = dpc_fork_records(&source, round, experiment, to, forked, err);
    if (code == DPC_OK)
        code = adopt(to, from, experiment, &forked->blobs, err);
    dpc_store_close(to);
    return code;
}

/* Where it may be forked. */
static int
open_source(const char *from, const char *experiment_file, const struct dpc_experiment *experiment,
            struct dpc_store **ret_store, struct dpc_error *err)
{
    struct dpc_store *store;
    int code = check_source(from, err);
    if (code == DPC_OK)
        code = dpc_store_open(from, DPC_KV_READ_ONLY, &store, err);
    if (code != DPC_OK)
        return code;
    code = check_corpus(store, experiment_file, experiment, err);
    if (code == DPC_OK)
        *ret_store = store;
    else
        dpc_store_close(store);
    return code;
}

static int
try(const char *from, uint32_t round, const char *experiment_file,
    const struct dpc_experiment *experiment, struct dpc_error *err)
{
    struct dpc_store *store;
    int code = open_source(from, experiment_file, experiment, &store, err);
    if (code != DPC_OK)
        return code;
    struct dpc_fork_source source = {dpc_store_kv(store), size_in_store, store};
    struct fork_cut cut = {.source = &source, .experiment = experiment};
    code = fork_cut_find(&cut, round, err);
    fork_cut_done(&cut);
    dpc_store_close(store);
    return code;
}

static int
make(const char *from, uint32_t round, const char *experiment_file,
     const struct dpc_experiment *experiment, const char *to, struct dpc_forked *forked,
     struct dpc_error *err)
{
    struct dpc_store *store;
    char folder[DPC_PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s.forking", to) >= (int)sizeof folder)
        return dpc_error_set(err, DPC_ELIMIT, "the name \"%.200s\" is too long", to);
    int code = check_target(to, err);
    if (code == DPC_OK)
        code = open_source(from, experiment_file, experiment, &store, err);
    if (code != DPC_OK)
        return code;
    code = dpc_vfs_remove_tree(folder, err); /* what a fork that was broken off has left */
    if (code == DPC_OK)
        code = fill(store, round, experiment, folder, forked, err);
    dpc_store_close(store);
    if (code == DPC_OK)
        return put_in_place(folder, to, err);
    (void)dpc_vfs_remove_tree(folder, NULL);
    return code;
}

int
dpc_fork_make(const char *from, uint32_t round, const char *experiment_file, const char *to,
              struct dpc_forked *ret_forked, struct dpc_error *err)
{
    struct dpc_experiment *experiment = dpc_alloc(1, sizeof *experiment);
    struct dpc_forked forked = {0};
    char target[DPC_PATH_MAX];
    int code = dpc_experiment_load(experiment_file, experiment, err);
    if (code == DPC_OK && !to)
        code = try(from, round, experiment_file, experiment, err);
    if (code == DPC_OK && to)
        code = name_target(to, target, err);
    if (code == DPC_OK && to)
        code = make(from, round, experiment_file, experiment, target, &forked, err);
    dpc_free(experiment);
    if (code != DPC_OK)
        return dpc_error_prefix(err, code, "could not go on from \"%s\"", from);
    *ret_forked = forked;
    return DPC_OK;
}
