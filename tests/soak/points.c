/* SPDX-License-Identifier: Apache-2.0
 * Kill points: a coordinator that ends itself by SIGKILL between two disk operations. The linker
 * puts this file between the program and its two seams (--wrap of the real vfs and of the opening
 * of the database), so that the daemon's own code is that of a release.
 *
 * A point is named by where it lies in its thread: "A > B" right before B where A was the change
 * before it, "after B" right after it, "half B" in the middle of a write. Only what changes the
 * disk counts. Environment:
 *
 * DPC_POINT_KILL=NUMBER:POINT ends at that point when it is passed for the NUMBER-th time.
 *
 * DPC_POINT_TALLY=FILE gets what was passed how often, "COUNT:POINT" line by line. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "storage/db/kv.h"

enum { NAME_MAX_BYTES = 64, POINT_MAX_BYTES = 3 * NAME_MAX_BYTES, POINTS_MAX = 512 };

/* What the linker makes of a wrapped name. */
extern const struct dpc_vfs __real_dpc_vfs_posix;
extern const struct dpc_vfs __wrap_dpc_vfs_posix;
int __real_dpc_kv_open_rocks(const char *folder, enum dpc_kv_open_mode mode, struct dpc_kv **ret_kv,
                             struct dpc_error *err);
int __wrap_dpc_kv_open_rocks(const char *folder, enum dpc_kv_open_mode mode, struct dpc_kv **ret_kv,
                             struct dpc_error *err);

/* --- Points. */

static struct {
    char name[POINT_MAX_BYTES];
    unsigned long count;
} points[POINTS_MAX];
static size_t points_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local char last_change[NAME_MAX_BYTES] = "begin";

/* Behind each commit, since a daemon whose threads are busy ends without any last rites. */
static void
write_tally(void)
{
    const char *path = getenv("DPC_POINT_TALLY");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file)
        return;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < points_count; i++)
        fprintf(file, "%lu:%s\n", points[i].count, points[i].name);
    pthread_mutex_unlock(&lock);
    fclose(file);
}

static unsigned long
count_point(const char *name)
{
    size_t i = 0;
    while (i < points_count && strcmp(points[i].name, name) != 0)
        i++;
    if (i == POINTS_MAX)
        abort();
    if (i == points_count)
        (void)snprintf(points[points_count++].name, POINT_MAX_BYTES, "%s", name);
    return ++points[i].count;
}

/* Is this the time and the point to end at? */
static bool
strikes(const char *name)
{
    char here[POINT_MAX_BYTES + 24];
    const char *kill_at = getenv("DPC_POINT_KILL");
    pthread_mutex_lock(&lock);
    (void)snprintf(here, sizeof here, "%lu:%s", count_point(name), name);
    pthread_mutex_unlock(&lock);
    return kill_at && strcmp(kill_at, here) == 0;
}

static void
pass(const char *format, const char *one, const char *other)
{
    char name[POINT_MAX_BYTES];
    (void)snprintf(name, sizeof name, format, one, other);
    if (strikes(name))
        (void)raise(SIGKILL);
}

static void
before(const char *change)
{
    pass("%s > %s", last_change, change);
}

static int
after(const char *change, int code)
{
    pass("after %s%s", change, "");
    (void)snprintf(last_change, sizeof last_change, "%s", change);
    return code;
}

/* A file by what it is for: blobs are named by content, which would make a point of each. */
static void
name_change(const char *verb, const char *path, char ret_change[static NAME_MAX_BYTES])
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    if (strstr(path, "/blobs"))
        name = strstr(path, "/partial") ? "partial" : "blob";
    (void)snprintf(ret_change, NAME_MAX_BYTES, "%s %.40s", verb, name);
}

/* --- The vfs. */

struct dpc_vfs_file {
    struct dpc_vfs_file *real;
    char path[DPC_PATH_MAX];
};

static const struct dpc_vfs *const below = &__real_dpc_vfs_posix;

static int
points_open(const struct dpc_vfs *vfs, const char *path, int flags, struct dpc_vfs_file **ret_file)
{
    struct dpc_vfs_file *real;
    char change[NAME_MAX_BYTES];
    (void)vfs;
    name_change("create", path, change);
    bool creates = flags & DPC_VFS_CREATE;
    if (creates)
        before(change);
    int code = below->ops->open(below, path, flags, &real);
    if (creates)
        (void)after(change, code);
    if (code != DPC_OK)
        return code;
    struct dpc_vfs_file *file = dpc_alloc(1, sizeof *file);
    file->real = real;
    (void)snprintf(file->path, sizeof file->path, "%s", path);
    *ret_file = file;
    return DPC_OK;
}

static void
points_close(struct dpc_vfs_file *file)
{
    if (file)
        below->ops->close(file->real);
    dpc_free(file);
}

static int
points_read(struct dpc_vfs_file *file, void *ret_bytes, size_t len, uint64_t offset)
{
    return below->ops->read(file->real, ret_bytes, len, offset);
}

static int
points_write(struct dpc_vfs_file *file, const void *bytes, size_t len, uint64_t offset)
{
    char change[NAME_MAX_BYTES], half[POINT_MAX_BYTES];
    name_change("write", file->path, change);
    (void)snprintf(half, sizeof half, "half %s", change);
    before(change);
    if (strikes(half)) {
        (void)below->ops->write(file->real, bytes, len / 2, offset);
        (void)raise(SIGKILL);
    }
    return after(change, below->ops->write(file->real, bytes, len, offset));
}

static int
points_size(struct dpc_vfs_file *file, uint64_t *ret_bytes)
{
    return below->ops->size(file->real, ret_bytes);
}

static int
points_truncate(struct dpc_vfs_file *file, uint64_t bytes)
{
    char change[NAME_MAX_BYTES];
    name_change("truncate", file->path, change);
    before(change);
    return after(change, below->ops->truncate(file->real, bytes));
}

static int
points_sync(struct dpc_vfs_file *file)
{
    char change[NAME_MAX_BYTES];
    name_change("sync", file->path, change);
    before(change);
    return after(change, below->ops->sync(file->real));
}

static int
points_sync_folder(const struct dpc_vfs *vfs, const char *path)
{
    char change[NAME_MAX_BYTES];
    (void)vfs;
    name_change("sync_folder", path, change);
    before(change);
    return after(change, below->ops->sync_folder(below, path));
}

static int
points_make_folder(const struct dpc_vfs *vfs, const char *path)
{
    char change[NAME_MAX_BYTES];
    (void)vfs;
    name_change("make_folder", path, change);
    before(change);
    return after(change, below->ops->make_folder(below, path));
}

static int
points_rename(const struct dpc_vfs *vfs, const char *from, const char *to)
{
    char change[NAME_MAX_BYTES];
    (void)vfs;
    name_change("rename", to, change);
    before(change);
    return after(change, below->ops->rename(below, from, to));
}

static int
points_link(const struct dpc_vfs *vfs, const char *from, const char *to)
{
    char change[NAME_MAX_BYTES];
    (void)vfs;
    name_change("link", to, change);
    before(change);
    return after(change, below->ops->link(below, from, to));
}

static int
points_remove(const struct dpc_vfs *vfs, const char *path)
{
    char change[NAME_MAX_BYTES];
    (void)vfs;
    name_change("remove", path, change);
    before(change);
    return after(change, below->ops->remove(below, path));
}

static int
points_list(const struct dpc_vfs *vfs, const char *path,
            void (*visit)(void *context, const char *name), void *context)
{
    (void)vfs;
    return below->ops->list(below, path, visit, context);
}

static int
points_free_bytes(const struct dpc_vfs *vfs, const char *path, uint64_t *ret_bytes)
{
    (void)vfs;
    return below->ops->free_bytes(below, path, ret_bytes);
}

static const struct dpc_vfs_ops vfs_ops = {
    .open = points_open,
    .close = points_close,
    .read = points_read,
    .write = points_write,
    .size = points_size,
    .truncate = points_truncate,
    .sync = points_sync,
    .sync_folder = points_sync_folder,
    .make_folder = points_make_folder,
    .rename = points_rename,
    .link = points_link,
    .remove = points_remove,
    .list = points_list,
    .free_bytes = points_free_bytes,
};
const struct dpc_vfs __wrap_dpc_vfs_posix = {.ops = &vfs_ops};

/* --- The database. */

struct points_kv {
    struct dpc_kv base;
    struct dpc_kv *real;
};

static struct dpc_kv *
real_kv(struct dpc_kv *kv)
{
    return ((struct points_kv *)kv)->real;
}

static int
points_get(struct dpc_kv *kv, enum dpc_kv_family family, const void *key, size_t key_len,
           uint8_t **ret_value, size_t *ret_len, struct dpc_error *err)
{
    struct dpc_kv *real = real_kv(kv);
    return real->ops->get(real, family, key, key_len, ret_value, ret_len, err);
}

static int
points_commit(struct dpc_kv *kv, const struct dpc_kv_batch *batch, struct dpc_error *err)
{
    struct dpc_kv *real = real_kv(kv);
    before("commit");
    int code = after("commit", real->ops->write(real, batch, err));
    write_tally();
    return code;
}

static int
points_scan(struct dpc_kv *kv, enum dpc_kv_family family, const void *prefix, size_t prefix_len,
            const void *behind, size_t behind_len,
            bool (*visit)(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
                          size_t value_len),
            void *context, struct dpc_error *err)
{
    struct dpc_kv *real = real_kv(kv);
    return real->ops->scan(real, family, prefix, prefix_len, behind, behind_len, visit, context,
                           err);
}

static int
points_checkpoint(struct dpc_kv *kv, const char *folder, struct dpc_error *err)
{
    struct dpc_kv *real = real_kv(kv);
    before("checkpoint");
    return after("checkpoint", real->ops->checkpoint(real, folder, err));
}

static void
points_kv_close(struct dpc_kv *kv)
{
    (void)dpc_kv_close(real_kv(kv));
    dpc_free(kv);
}

static const struct dpc_kv_ops kv_ops = {
    .get = points_get,
    .write = points_commit,
    .scan = points_scan,
    .checkpoint = points_checkpoint,
    .close = points_kv_close,
};

int
__wrap_dpc_kv_open_rocks(const char *folder, enum dpc_kv_open_mode mode, struct dpc_kv **ret_kv,
                         struct dpc_error *err)
{
    struct dpc_kv *real;
    before("open database");
    int code = after("open database", __real_dpc_kv_open_rocks(folder, mode, &real, err));
    if (code != DPC_OK)
        return code;
    struct points_kv *kv = dpc_alloc(1, sizeof *kv);
    kv->base.ops = &kv_ops;
    kv->real = real;
    *ret_kv = &kv->base;
    return DPC_OK;
}
