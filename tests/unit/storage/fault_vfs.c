/* SPDX-License-Identifier: Apache-2.0
 * Each name points at a node now and, apart from that, on the platter; each node has its bytes now
 * and on the platter. A sync of a file or folder copies from now to the platter, a crash the other
 * way round. Nodes live as long as the disk, so that open files need no counting. */
#include "tests/unit/storage/fault_vfs.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/limits.h"

enum { NODES_MAX = 4096, NAMES_MAX = 4096 };

struct node {
    bool folder;
    struct dpc_buf now, platter;
};

struct name {
    char path[DPC_PATH_MAX];
    struct node *now, *platter; /* NULL: no such name */
};

struct fault_disk {
    struct dpc_vfs vfs;
    struct node *nodes[NODES_MAX];
    size_t nodes_count;
    struct name *names[NAMES_MAX];
    size_t names_count;
    unsigned operations, fail_at;
    enum fault_kind kind;
    bool fired;
};

struct dpc_vfs_file {
    struct fault_disk *disk;
    struct node *node;
};

static struct fault_disk *
disk_of(const struct dpc_vfs *vfs)
{
    return vfs->context;
}

/* Counts a changing operation; true when it is the one that fails. */
static bool
strikes(struct fault_disk *disk, bool is_sync)
{
    if (disk->kind == FAULT_NO_FILES)
        return false;
    disk->operations++;
    if (disk->operations < disk->fail_at || disk->kind == FAULT_NONE)
        return false;
    if (disk->kind == FAULT_DEAD) {
        disk->fired = true;
        return true;
    }
    /* The first operation of the right kind from there on. */
    if (disk->fired || is_sync != (disk->kind == FAULT_SYNC))
        return false;
    disk->fired = true;
    return true;
}

/* Of this fault alone openings are the operations. */
static bool
lacks_files(struct fault_disk *disk)
{
    if (disk->kind != FAULT_NO_FILES || ++disk->operations < disk->fail_at || disk->fired)
        return false;
    disk->fired = true;
    return true;
}

static int
fault_code(const struct fault_disk *disk)
{
    return disk->kind == FAULT_NO_SPACE ? DPC_ENOSPACE : DPC_EIO;
}

static struct name *
find(struct fault_disk *disk, const char *path)
{
    for (size_t i = 0; i < disk->names_count; i++) {
        if (strcmp(disk->names[i]->path, path) == 0)
            return disk->names[i];
    }
    return NULL;
}

static struct name *
find_now(struct fault_disk *disk, const char *path)
{
    struct name *name = find(disk, path);
    return name && name->now ? name : NULL;
}

static struct name *
find_or_make(struct fault_disk *disk, const char *path)
{
    struct name *name = find(disk, path);
    if (name)
        return name;
    assert(disk->names_count < NAMES_MAX);
    name = disk->names[disk->names_count++] = dpc_alloc(1, sizeof *name);
    (void)snprintf(name->path, sizeof name->path, "%s", path);
    return name;
}

static struct node *
make_node(struct fault_disk *disk, bool folder)
{
    assert(disk->nodes_count < NODES_MAX);
    struct node *node = disk->nodes[disk->nodes_count++] = dpc_alloc(1, sizeof *node);
    node->folder = folder;
    dpc_buf_init(&node->now, 0);
    dpc_buf_init(&node->platter, 0);
    return node;
}

static bool
parent_is_there(struct fault_disk *disk, const char *path)
{
    char folder[DPC_PATH_MAX];
    dpc_path_folder(path, folder, sizeof folder);
    struct name *parent = find_now(disk, folder);
    return parent && parent->now->folder;
}

static int
fault_open(const struct dpc_vfs *vfs, const char *path, int flags, struct dpc_vfs_file **ret_file)
{
    struct fault_disk *disk = disk_of(vfs);
    struct name *name = find_now(disk, path);
    if (name && name->now->folder)
        return DPC_EIO;
    if (name && flags & DPC_VFS_FRESH)
        return DPC_EEXIST;
    if (lacks_files(disk))
        return DPC_EFILES;
    if (!name) {
        if (!(flags & DPC_VFS_CREATE) || !parent_is_there(disk, path))
            return DPC_ENOTFOUND;
        if (strikes(disk, false))
            return fault_code(disk);
        name = find_or_make(disk, path);
        name->now = make_node(disk, false);
    }
    *ret_file = dpc_alloc(1, sizeof **ret_file);
    **ret_file = (struct dpc_vfs_file){disk, name->now};
    return DPC_OK;
}

static void
fault_close(struct dpc_vfs_file *file)
{
    dpc_free(file);
}

static int
fault_read(struct dpc_vfs_file *file, void *ret_bytes, size_t len, uint64_t offset)
{
    const struct dpc_buf *now = &file->node->now;
    if (offset > now->len || len > now->len - offset)
        return DPC_EIO;
    if (len)
        memcpy(ret_bytes, now->data + offset, len);
    return DPC_OK;
}

static void
resize(struct dpc_buf *bytes, size_t len)
{
    static const uint8_t zeros[4096];
    while (bytes->len < len)
        dpc_buf_put(bytes, zeros,
                    len - bytes->len < sizeof zeros ? len - bytes->len : sizeof zeros);
    bytes->len = len;
}

static int
fault_write(struct dpc_vfs_file *file, const void *bytes, size_t len, uint64_t offset)
{
    bool struck = strikes(file->disk, false);
    size_t put = struck ? len / 2 : len;
    struct dpc_buf *now = &file->node->now;
    if (now->len < offset + put)
        resize(now, (size_t)offset + put);
    if (put)
        memcpy(now->data + offset, bytes, put);
    return struck ? fault_code(file->disk) : DPC_OK;
}

static int
fault_size(struct dpc_vfs_file *file, uint64_t *ret_bytes)
{
    *ret_bytes = file->node->now.len;
    return DPC_OK;
}

static int
fault_truncate(struct dpc_vfs_file *file, uint64_t bytes)
{
    if (file->disk->kind == FAULT_DEAD && strikes(file->disk, false))
        return DPC_EIO;
    resize(&file->node->now, (size_t)bytes);
    return DPC_OK;
}

static int
fault_sync(struct dpc_vfs_file *file)
{
    if (strikes(file->disk, true))
        return DPC_EIO;
    dpc_buf_reset(&file->node->platter);
    dpc_buf_put(&file->node->platter, file->node->now.data, file->node->now.len);
    return DPC_OK;
}

static bool
is_in(const char *path, const char *folder)
{
    char parent[DPC_PATH_MAX];
    dpc_path_folder(path, parent, sizeof parent);
    return strcmp(parent, folder) == 0;
}

static int
fault_sync_folder(const struct dpc_vfs *vfs, const char *path)
{
    struct fault_disk *disk = disk_of(vfs);
    if (!find_now(disk, path))
        return DPC_ENOTFOUND;
    if (lacks_files(disk))
        return DPC_EFILES;
    if (strikes(disk, true))
        return DPC_EIO;
    for (size_t i = 0; i < disk->names_count; i++) {
        if (is_in(disk->names[i]->path, path))
            disk->names[i]->platter = disk->names[i]->now;
    }
    return DPC_OK;
}

static int
fault_make_folder(const struct dpc_vfs *vfs, const char *path)
{
    struct fault_disk *disk = disk_of(vfs);
    struct name *name = find_now(disk, path);
    if (name)
        return name->now->folder ? DPC_OK : DPC_EEXIST;
    char parent[DPC_PATH_MAX];
    dpc_path_folder(path, parent, sizeof parent);
    int code = fault_make_folder(vfs, parent);
    if (code != DPC_OK)
        return code;
    if (strikes(disk, false))
        return fault_code(disk);
    find_or_make(disk, path)->now = make_node(disk, true);
    return DPC_OK;
}

static int
fault_rename(const struct dpc_vfs *vfs, const char *from, const char *to)
{
    struct fault_disk *disk = disk_of(vfs);
    struct name *old = find_now(disk, from);
    if (!old || !parent_is_there(disk, to))
        return DPC_ENOTFOUND;
    if (strikes(disk, false))
        return fault_code(disk);
    find_or_make(disk, to)->now = old->now;
    old->now = NULL;
    return DPC_OK;
}

static int
fault_remove(const struct dpc_vfs *vfs, const char *path)
{
    struct fault_disk *disk = disk_of(vfs);
    struct name *name = find_now(disk, path);
    if (!name)
        return DPC_ENOTFOUND;
    if (disk->kind == FAULT_DEAD && strikes(disk, false))
        return DPC_EIO;
    name->now = NULL;
    return DPC_OK;
}

static int
fault_list(const struct dpc_vfs *vfs, const char *path, void (*visit)(void *, const char *),
           void *context)
{
    struct fault_disk *disk = disk_of(vfs);
    if (!find_now(disk, path))
        return DPC_ENOTFOUND;
    for (size_t i = 0; i < disk->names_count; i++) {
        const struct name *name = disk->names[i];
        if (name->now && is_in(name->path, path))
            visit(context, strrchr(name->path, '/') + 1);
    }
    return DPC_OK;
}

static int
fault_free_bytes(const struct dpc_vfs *vfs, const char *path, uint64_t *ret_bytes)
{
    (void)vfs, (void)path;
    *ret_bytes = 12345;
    return DPC_OK;
}

static const struct dpc_vfs_ops fault_ops = {
    .open = fault_open,
    .close = fault_close,
    .read = fault_read,
    .write = fault_write,
    .size = fault_size,
    .truncate = fault_truncate,
    .sync = fault_sync,
    .sync_folder = fault_sync_folder,
    .make_folder = fault_make_folder,
    .rename = fault_rename,
    .remove = fault_remove,
    .list = fault_list,
    .free_bytes = fault_free_bytes,
};

struct fault_disk *
fault_disk_create(void)
{
    struct fault_disk *disk = dpc_alloc(1, sizeof *disk);
    disk->vfs = (struct dpc_vfs){.ops = &fault_ops, .context = disk};
    struct name *root = find_or_make(disk, "/"), *folder = find_or_make(disk, "/disk");
    root->now = root->platter = make_node(disk, true);
    folder->now = folder->platter = make_node(disk, true);
    return disk;
}

struct fault_disk *
fault_disk_destroy(struct fault_disk *disk)
{
    for (size_t i = 0; disk && i < disk->names_count; i++)
        dpc_free(disk->names[i]);
    for (size_t i = 0; disk && i < disk->nodes_count; i++) {
        dpc_buf_done(&disk->nodes[i]->now);
        dpc_buf_done(&disk->nodes[i]->platter);
        dpc_free(disk->nodes[i]);
    }
    return dpc_free(disk);
}

const struct dpc_vfs *
fault_disk_vfs(struct fault_disk *disk)
{
    return &disk->vfs;
}

void
fault_disk_fail_at(struct fault_disk *disk, unsigned n, enum fault_kind kind)
{
    disk->operations = 0;
    disk->fail_at = n;
    disk->kind = kind;
    disk->fired = false;
}

unsigned
fault_disk_operations(const struct fault_disk *disk)
{
    return disk->operations;
}

bool
fault_disk_fired(const struct fault_disk *disk)
{
    return disk->fired;
}

static void
crash_node(struct node *node, enum fault_data data)
{
    size_t synced = node->platter.len, written = node->now.len;
    if (data == FAULT_DATA_KEPT)
        return;
    if (data == FAULT_DATA_TORN && written > synced) {
        /* The length came through, and half of the bytes: the rest reads as zeros. */
        size_t half = synced + (written - synced) / 2;
        memset(node->now.data + half, 0, written - half);
        return;
    }
    dpc_buf_reset(&node->now);
    dpc_buf_put(&node->now, node->platter.data, node->platter.len);
}

/* What is in a folder that is gone is gone, too. Names stand behind those of their folders. */
static void
drop_orphans(struct fault_disk *disk)
{
    for (size_t i = 0; i < disk->names_count; i++) {
        struct name *name = disk->names[i];
        if (!parent_is_there(disk, name->path))
            name->now = name->platter = NULL;
    }
}

void
fault_disk_crash(struct fault_disk *disk, enum fault_data data, enum fault_names names)
{
    for (size_t i = 0; i < disk->nodes_count; i++)
        crash_node(disk->nodes[i], data);
    for (size_t i = 0; names == FAULT_NAMES_LOST && i < disk->names_count; i++)
        disk->names[i]->now = disk->names[i]->platter;
    drop_orphans(disk);
    fault_disk_fail_at(disk, 0, FAULT_NONE);
}

bool
fault_disk_flip(struct fault_disk *disk, const char *path, size_t byte)
{
    struct name *name = find_now(disk, path);
    if (!name || byte >= name->now->now.len)
        return false;
    name->now->now.data[byte] ^= 0x10;
    return true;
}

unsigned
fault_disk_files(const struct fault_disk *disk, const char *part)
{
    unsigned count = 0;
    for (size_t i = 0; i < disk->names_count; i++) {
        const struct name *name = disk->names[i];
        count += name->now && !name->now->folder && strstr(name->path, part);
    }
    return count;
}
