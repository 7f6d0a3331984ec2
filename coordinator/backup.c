/* SPDX-License-Identifier: Apache-2.0
 * The store first, since it wants an empty folder; then what is small. */
#include "coordinator/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "proto/channel.h"

enum { BACKUP_FORMAT = 1, PUBLIC_KEY_BYTES_MAX = 4096 };

static const char marker_name[] = "backup.json";
static const char key_name[] = "coordinator.key";
static const char workers_name[] = "workers";

static int
join(const char *folder, const char *name, char ret_path[static DPC_PATH_MAX],
     struct dpc_error *err)
{
    if (dpc_path_join(folder, name, ret_path, DPC_PATH_MAX) == DPC_OK)
        return DPC_OK;
    return dpc_error_set(err, DPC_ELIMIT, "the name \"%.200s/%s\" is too long", folder, name);
}

/* --- Keys. */

static int
copy_key(const char *from, const char *to, struct dpc_error *err)
{
    struct dpc_keypair key;
    int code = dpc_keypair_load(from, &key, err);
    if (code == DPC_OK)
        code = dpc_keypair_save(to, &key, err);
    explicit_bzero(&key, sizeof key);
    return code;
}

struct public_keys {
    const char *from, *to;
    struct dpc_error *err;
    int code;
};

static void
copy_public_key(void *context, const char *name)
{
    struct public_keys *keys = context;
    char old[DPC_PATH_MAX], new[DPC_PATH_MAX];
    uint8_t *bytes = NULL;
    size_t length = strlen(name), len;
    if (keys->code != DPC_OK || length < 5 || strcmp(name + length - 4, ".pub") != 0)
        return;
    keys->code = join(keys->from, name, old, keys->err);
    if (keys->code == DPC_OK)
        keys->code = join(keys->to, name, new, keys->err);
    if (keys->code == DPC_OK)
        keys->code =
            dpc_vfs_read_file(&dpc_vfs_posix, old, PUBLIC_KEY_BYTES_MAX, &bytes, &len, keys->err);
    if (keys->code == DPC_OK)
        keys->code = dpc_vfs_write_file(&dpc_vfs_posix, new, bytes, len, keys->err);
    dpc_free(bytes);
}

static int
copy_public_keys(const char *from, const char *to, struct dpc_error *err)
{
    struct public_keys keys = {.from = from, .to = to, .err = err};
    int code = dpc_vfs_posix.ops->make_folder(&dpc_vfs_posix, to);
    if (code == DPC_OK)
        code = dpc_vfs_posix.ops->list(&dpc_vfs_posix, from, copy_public_key, &keys);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not copy the keys in \"%s\": %s", from,
                             dpc_error_words(code));
    return keys.code;
}

static int
copy_keys(const char *key_file, const char *workers_folder, const char *to, struct dpc_error *err)
{
    char key[DPC_PATH_MAX], workers[DPC_PATH_MAX];
    int code = join(to, key_name, key, err);
    if (code == DPC_OK)
        code = join(to, workers_name, workers, err);
    if (code == DPC_OK)
        code = copy_key(key_file, key, err);
    return code == DPC_OK ? copy_public_keys(workers_folder, workers, err) : code;
}

/* --- The marker. */

static int
write_marker(const struct dpc_backup_source *source, const char *folder,
             const struct dpc_backup_counts *counts, struct dpc_error *err)
{
    char path[DPC_PATH_MAX], incarnation[20];
    int code = join(folder, marker_name, path, err);
    if (code != DPC_OK)
        return code;
    struct dpc_json *root = dpc_json_object();
    (void)snprintf(incarnation, sizeof incarnation, "%016" PRIx64,
                   dpc_store_incarnation(source->store));
    dpc_json_set_integer(root, "format", BACKUP_FORMAT);
    dpc_json_set_text(root, "incarnation", incarnation);
    dpc_json_set_integer(root, "blobs", (int64_t)counts->blobs);
    dpc_json_set_integer(root, "bytes", (int64_t)counts->bytes);
    char *text = dpc_json_print(root, true);
    code = dpc_vfs_write_file(&dpc_vfs_posix, path, text, strlen(text), err);
    dpc_free(text);
    dpc_json_destroy(root);
    return code;
}

static int
read_marker(const char *folder, struct dpc_backup_counts *ret_counts, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    uint8_t *bytes = NULL;
    size_t len;
    struct dpc_json *root = NULL;
    int code = join(folder, marker_name, path, err);
    if (code != DPC_OK)
        return code;
    if (!dpc_vfs_exists(&dpc_vfs_posix, path))
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "\"%s\" holds no backup, or one that was broken off: it has no %s",
                             folder, marker_name);
    code = dpc_vfs_read_file(&dpc_vfs_posix, path, DPC_CONFIG_BYTES_MAX, &bytes, &len, err);
    if (code == DPC_OK)
        code = dpc_json_parse((const char *)bytes, len, &root, err);
    if (code == DPC_OK && dpc_json_number(dpc_json_get(root, "format"), 0) > BACKUP_FORMAT)
        code = dpc_error_set(err, DPC_EVERSION,
                             "the backup \"%s\" is of a newer version: install a newer dipaco",
                             folder);
    ret_counts->blobs = (uint64_t)dpc_json_integer(dpc_json_get(root, "blobs"), 0);
    ret_counts->bytes = (uint64_t)dpc_json_integer(dpc_json_get(root, "bytes"), 0);
    dpc_json_destroy(root);
    dpc_free(bytes);
    return code;
}

/* One that was brought here from another machine may have lost files on its way, which nobody would
 * miss before a worker asks for them. */
static int
check_whole(const char *folder, struct dpc_error *err)
{
    struct dpc_backup_counts made = {0}, there = {0};
    int code = read_marker(folder, &made, err);
    if (code == DPC_OK)
        code = dpc_store_backup_count(folder, &there, err);
    if (code != DPC_OK || (there.blobs >= made.blobs && there.bytes >= made.bytes))
        return code;
    return dpc_error_set(err, DPC_ECORRUPT,
                         "the backup \"%.200s\" is not whole: it was made with %" PRIu64
                         " blobs in files of %" PRIu64 " bytes, and has %" PRIu64 " of %" PRIu64
                         " bytes: bring it here again, or take another backup",
                         folder, made.blobs, made.bytes, there.blobs, there.bytes);
}

/* --- There and back. */

/* The innermost folder above it that is there, or itself, by its one name: all below that are made.
 */
static void
find_above(const char *folder, char ret_above[PATH_MAX])
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", folder);
    while (!realpath(path, ret_above) && strcmp(path, "/") != 0) {
        char *slash = strrchr(path, '/');
        slash[slash == path] = 0;
    }
}

static int
refuse_inside(const char *folder, const char *store, struct dpc_error *err)
{
    char absolute[PATH_MAX], above[PATH_MAX];
    if (folder[0] != '/')
        return dpc_error_set(err, DPC_EINVAL, "\"%s\" is no absolute name of a folder", folder);
    if (!realpath(store, absolute))
        return dpc_error_set_errno(err, errno, "could not find the store \"%s\"", store);
    size_t len = strlen(absolute);
    find_above(folder, above);
    if (strncmp(above, absolute, len) != 0 || (above[len] != '/' && above[len] != 0))
        return DPC_OK;
    return dpc_error_set(err, DPC_EINVAL,
                         "\"%s\" lies inside the store \"%s\": name a folder outside it", folder,
                         store);
}

int
dpc_backup_make(const struct dpc_backup_source *source, const char *folder,
                struct dpc_backup_counts *ret_counts, struct dpc_error *err)
{
    struct dpc_backup_counts counts = {0};
    int code = refuse_inside(folder, source->store_folder, err);
    if (code == DPC_OK)
        code = dpc_store_backup(source->store, folder, &counts, err);
    if (code != DPC_OK)
        return dpc_error_prefix(err, code, "could not make the backup");
    code = copy_keys(source->key_file, source->workers_folder, folder, err);
    if (code == DPC_OK)
        code = write_marker(source, folder, &counts, err);
    if (code != DPC_OK) {
        (void)dpc_vfs_empty_folder(folder, NULL);
        return dpc_error_prefix(err, code, "could not make the backup");
    }
    *ret_counts = counts;
    return DPC_OK;
}

int
dpc_backup_restore(const char *folder, const char *to, struct dpc_backup_counts *ret_counts,
                   struct dpc_error *err)
{
    char key[DPC_PATH_MAX], workers[DPC_PATH_MAX];
    int code = check_whole(folder, err);
    if (code == DPC_OK)
        code = join(folder, key_name, key, err);
    if (code == DPC_OK)
        code = join(folder, workers_name, workers, err);
    if (code == DPC_OK)
        code = dpc_store_restore(folder, to, ret_counts, err);
    if (code == DPC_OK)
        code = copy_keys(key, workers, to, err);
    if (code == DPC_OK)
        code = dpc_store_restored(to, err);
    return code == DPC_OK ? DPC_OK : dpc_error_prefix(err, code, "could not restore");
}

int
dpc_backup_refuse(const char *folder, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int code = join(folder, marker_name, path, err);
    if (code != DPC_OK || !dpc_vfs_exists(&dpc_vfs_posix, path))
        return code;
    return dpc_error_set(
        err, DPC_EPERM,
        "\"%.200s\" is a backup: make a store of it, elsewhere, with --restore (and "
        "where it has served as a store before, remove %s from it)",
        folder, marker_name);
}
