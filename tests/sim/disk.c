/* SPDX-License-Identifier: Apache-2.0
 * Each name points at a node now and, apart from that, on the platter; each node has its bytes now
 * and on the platter. Syncing copies from now to the platter, a power loss draws between the two.
 * Names are found through a table by hash and kept in order of their making, which no address and
 * no seed of a hash changes. */
#include "tests/sim/disk.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"

enum { NOBODY = 0, FLIPS_MAX = 16, BLOCK_BYTES = 64 };

struct node {
    bool folder, dirty;
    bool given_up; /* a sync failed: the kernel holds its pages for clean */
    struct dpc_buf now, platter;
};

struct name {
    char *path;
    uint32_t parent, first_child, next_sibling; /* indices; NOBODY: none */
    struct node *now, *platter;                 /* NULL: no such name */
};

struct flip {
    struct node *node;
    size_t byte;
    uint8_t mask;
};

struct sim_disk {
    struct dpc_vfs vfs;
    struct dpc_rng *rng;
    uint32_t nodes_count, nodes_capacity;
    struct node **nodes;
    uint32_t names_count, names_capacity; /* name 0 is nobody's */
    struct name *names;
    uint32_t slots_count; /* a power of two */
    uint32_t *slots;
    uint32_t flips_count;
    struct flip flips[FLIPS_MAX];
    uint64_t operations_left; /* of the process; 0: without end */
    double read_failure;
    bool dead, full, told, fail_sync; /* told: free room says that it is full */
    unsigned met;
};

struct dpc_vfs_file {
    struct sim_disk *disk;
    struct node *node;
};

static struct sim_disk *
disk_of(const struct dpc_vfs *vfs)
{
    return vfs->context;
}

/* --- Names. */

static uint64_t
hash_of(const char *path)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (; *path; path++)
        hash = (hash ^ (uint8_t)*path) * 0x100000001b3ULL;
    return hash ^ hash >> 29;
}

/* The slot of the path, or the empty one where it belongs. */
static uint32_t *
slot_of(const struct sim_disk *disk, const char *path)
{
    uint32_t mask = disk->slots_count - 1;
    uint32_t at = (uint32_t)hash_of(path) & mask;
    while (disk->slots[at] && strcmp(disk->names[disk->slots[at]].path, path) != 0)
        at = (at + 1) & mask;
    return &disk->slots[at];
}

static void
grow_slots(struct sim_disk *disk)
{
    dpc_free(disk->slots);
    disk->slots_count = disk->slots_count ? 2 * disk->slots_count : 1024;
    disk->slots = dpc_alloc(disk->slots_count, sizeof *disk->slots);
    for (uint32_t i = 1; i < disk->names_count; i++)
        *slot_of(disk, disk->names[i].path) = i;
}

static struct name *
find_now(struct sim_disk *disk, const char *path)
{
    struct name *name = &disk->names[*slot_of(disk, path)];
    return name->now ? name : NULL;
}

static uint32_t
parent_of(struct sim_disk *disk, const char *path)
{
    char folder[DPC_PATH_MAX];
    dpc_path_folder(path, folder, sizeof folder);
    return *slot_of(disk, folder);
}

static bool
parent_is_there(struct sim_disk *disk, const char *path)
{
    const struct name *parent = &disk->names[parent_of(disk, path)];
    return parent->now && parent->now->folder;
}

static struct name *
find_or_make(struct sim_disk *disk, const char *path)
{
    uint32_t known = *slot_of(disk, path);
    if (known)
        return &disk->names[known];
    if (2 * disk->names_count >= disk->slots_count)
        grow_slots(disk);
    if (disk->names_count == disk->names_capacity) {
        disk->names_capacity *= 2;
        disk->names = dpc_grow(disk->names, disk->names_capacity, sizeof *disk->names);
    }
    uint32_t made = disk->names_count++, parent = parent_of(disk, path);
    disk->names[made] = (struct name){.path = dpc_strdup(path), .parent = parent};
    *slot_of(disk, path) = made;
    if (parent) {
        disk->names[made].next_sibling = disk->names[parent].first_child;
        disk->names[parent].first_child = made;
    }
    return &disk->names[made];
}

static struct node *
make_node(struct sim_disk *disk, bool folder)
{
    if (disk->nodes_count == disk->nodes_capacity) {
        disk->nodes_capacity = disk->nodes_capacity ? 2 * disk->nodes_capacity : 256;
        disk->nodes = dpc_grow(disk->nodes, disk->nodes_capacity, sizeof *disk->nodes);
    }
    struct node *node = disk->nodes[disk->nodes_count++] = dpc_alloc(1, sizeof *node);
    node->folder = folder;
    dpc_buf_init(&node->now, 0);
    dpc_buf_init(&node->platter, 0);
    return node;
}

/* --- Faults. */

bool
sim_disk_coin(struct sim_disk *disk)
{
    return dpc_rng_u32(disk->rng) & 1;
}

bool
sim_disk_strikes(struct sim_disk *disk)
{
    if (disk->dead || disk->operations_left == 0 || --disk->operations_left > 0)
        return disk->dead;
    disk->dead = true;
    disk->met |= SIM_MET_END;
    return true;
}

/* A change to a name: `*ret_code` is what it answers, true when it happens. */
static bool
happens(struct sim_disk *disk, int *ret_code)
{
    bool was_dead = disk->dead, strikes = sim_disk_strikes(disk);
    *ret_code = strikes ? DPC_EIO : DPC_OK;
    return !strikes || (!was_dead && sim_disk_coin(disk));
}

int
sim_disk_read_code(struct sim_disk *disk)
{
    if (disk->dead)
        return DPC_EIO;
    if (disk->read_failure <= 0 || dpc_rng_unit(disk->rng) >= disk->read_failure)
        return DPC_OK;
    disk->met |= SIM_MET_READ;
    return DPC_EIO;
}

bool
sim_disk_is_full(struct sim_disk *disk)
{
    if (disk->full)
        disk->met |= SIM_MET_FULL;
    return disk->full;
}

/* --- The vfs. */

static int
disk_open(const struct dpc_vfs *vfs, const char *path, int flags, struct dpc_vfs_file **ret_file)
{
    struct sim_disk *disk = disk_of(vfs);
    struct name *name = find_now(disk, path);
    int code = DPC_OK;
    if (disk->dead || (name && name->now->folder))
        return DPC_EIO;
    if (name && flags & DPC_VFS_FRESH)
        return DPC_EEXIST;
    if (!name) {
        if (!(flags & DPC_VFS_CREATE) || !parent_is_there(disk, path))
            return DPC_ENOTFOUND;
        if (sim_disk_is_full(disk))
            return DPC_ENOSPACE;
        if (happens(disk, &code)) {
            struct node *node = make_node(disk, false);
            name = find_or_make(disk, path);
            name->now = node;
        }
        if (code != DPC_OK)
            return code;
    }
    *ret_file = dpc_alloc(1, sizeof **ret_file);
    **ret_file = (struct dpc_vfs_file){disk, name->now};
    return DPC_OK;
}

static void
disk_close(struct dpc_vfs_file *file)
{
    dpc_free(file);
}

static int
disk_read(struct dpc_vfs_file *file, void *ret_bytes, size_t len, uint64_t offset)
{
    const struct dpc_buf *now = &file->node->now;
    int code = sim_disk_read_code(file->disk);
    if (code != DPC_OK || offset > now->len || len > now->len - offset)
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

/* New bytes mend what rotted below them. */
static void
mend(struct sim_disk *disk, const struct node *node, uint64_t from, uint64_t to)
{
    for (uint32_t i = disk->flips_count; i-- > 0;) {
        struct flip *flip = &disk->flips[i];
        if (flip->node != node || flip->byte < from || flip->byte >= to)
            continue;
        if (flip->byte < node->platter.len)
            node->platter.data[flip->byte] ^= flip->mask;
        *flip = disk->flips[--disk->flips_count];
    }
}

static int
disk_write(struct dpc_vfs_file *file, const void *bytes, size_t len, uint64_t offset)
{
    struct sim_disk *disk = file->disk;
    struct dpc_buf *now = &file->node->now;
    int code = sim_disk_is_full(disk) ? DPC_ENOSPACE : DPC_OK;
    if (disk->dead)
        return DPC_EIO;
    if (sim_disk_strikes(disk))
        code = DPC_EIO;
    size_t put = code == DPC_OK ? len : (size_t)dpc_rng_below(disk->rng, len + 1);
    if (now->len < offset + put)
        resize(now, (size_t)offset + put);
    mend(disk, file->node, offset, offset + put);
    if (put)
        memcpy(now->data + offset, bytes, put);
    file->node->dirty = true;
    file->node->given_up = false;
    return code;
}

static int
disk_size(struct dpc_vfs_file *file, uint64_t *ret_bytes)
{
    if (file->disk->dead)
        return DPC_EIO;
    *ret_bytes = file->node->now.len;
    return DPC_OK;
}

static int
disk_truncate(struct dpc_vfs_file *file, uint64_t bytes)
{
    int code;
    if (happens(file->disk, &code)) {
        mend(file->disk, file->node, bytes, UINT64_MAX);
        resize(&file->node->now, (size_t)bytes);
        file->node->dirty = true;
    }
    return code;
}

static void
keep(struct node *node)
{
    if (!node->dirty || node->given_up)
        return;
    dpc_buf_reset(&node->platter);
    dpc_buf_put(&node->platter, node->now.data, node->now.len);
    node->dirty = false;
}

/* True when this sync is the one that fails. */
static bool
sync_fails(struct sim_disk *disk)
{
    if (!disk->fail_sync)
        return false;
    disk->fail_sync = false;
    disk->met |= SIM_MET_SYNC;
    return true;
}

static int
disk_sync(struct dpc_vfs_file *file)
{
    int code;
    if (!file->disk->dead && sync_fails(file->disk)) {
        file->node->given_up = true;
        return DPC_EIO;
    }
    if (happens(file->disk, &code))
        keep(file->node);
    return code;
}

static int
disk_sync_folder(const struct dpc_vfs *vfs, const char *path)
{
    struct sim_disk *disk = disk_of(vfs);
    struct name *folder = find_now(disk, path);
    int code;
    if (disk->dead || !folder)
        return disk->dead ? DPC_EIO : DPC_ENOTFOUND;
    if (sync_fails(disk))
        return DPC_EIO;
    if (happens(disk, &code)) {
        for (uint32_t i = folder->first_child; i; i = disk->names[i].next_sibling)
            disk->names[i].platter = disk->names[i].now;
    }
    return code;
}

static int
disk_make_folder(const struct dpc_vfs *vfs, const char *path)
{
    struct sim_disk *disk = disk_of(vfs);
    struct name *name = find_now(disk, path);
    char parent[DPC_PATH_MAX];
    if (disk->dead)
        return DPC_EIO;
    if (name)
        return name->now->folder ? DPC_OK : DPC_EEXIST;
    dpc_path_folder(path, parent, sizeof parent);
    int code = disk_make_folder(vfs, parent);
    if (code == DPC_OK && sim_disk_is_full(disk))
        return DPC_ENOSPACE;
    if (code == DPC_OK && happens(disk, &code)) {
        struct node *node = make_node(disk, true);
        find_or_make(disk, path)->now = node;
    }
    return code;
}

static int
disk_rename(const struct dpc_vfs *vfs, const char *from, const char *to)
{
    struct sim_disk *disk = disk_of(vfs);
    int code;
    if (!find_now(disk, from) || !parent_is_there(disk, to))
        return disk->dead ? DPC_EIO : DPC_ENOTFOUND;
    if (happens(disk, &code)) {
        struct node *node = find_now(disk, from)->now;
        find_or_make(disk, to)->now = node;
        find_now(disk, from)->now = NULL;
    }
    return code;
}

static int
disk_link(const struct dpc_vfs *vfs, const char *from, const char *to)
{
    struct sim_disk *disk = disk_of(vfs);
    int code;
    if (disk->dead)
        return DPC_EIO;
    if (!find_now(disk, from) || !parent_is_there(disk, to))
        return DPC_ENOTFOUND;
    if (find_now(disk, to))
        return DPC_EEXIST;
    if (sim_disk_is_full(disk))
        return DPC_ENOSPACE;
    if (happens(disk, &code)) {
        struct node *node = find_now(disk, from)->now;
        find_or_make(disk, to)->now = node;
    }
    return code;
}

static int
disk_remove(const struct dpc_vfs *vfs, const char *path)
{
    struct sim_disk *disk = disk_of(vfs);
    struct name *name = find_now(disk, path);
    int code;
    if (!name)
        return disk->dead ? DPC_EIO : DPC_ENOTFOUND;
    if (happens(disk, &code))
        name->now = NULL;
    return code;
}

static int
disk_list(const struct dpc_vfs *vfs, const char *path, void (*visit)(void *, const char *),
          void *context)
{
    struct sim_disk *disk = disk_of(vfs);
    struct name *folder = find_now(disk, path);
    if (disk->dead || !folder)
        return disk->dead ? DPC_EIO : DPC_ENOTFOUND;
    for (uint32_t i = folder->first_child; i; i = disk->names[i].next_sibling) {
        if (disk->names[i].now)
            visit(context, strrchr(disk->names[i].path, '/') + 1);
    }
    return DPC_OK;
}

static int
disk_free_bytes(const struct dpc_vfs *vfs, const char *path, uint64_t *ret_bytes)
{
    (void)path;
    struct sim_disk *disk = disk_of(vfs);
    *ret_bytes = disk->told && sim_disk_is_full(disk) ? 0 : DPC_GIB;
    return DPC_OK;
}

static const struct dpc_vfs_ops disk_ops = {
    .open = disk_open,
    .close = disk_close,
    .read = disk_read,
    .write = disk_write,
    .size = disk_size,
    .truncate = disk_truncate,
    .sync = disk_sync,
    .sync_folder = disk_sync_folder,
    .make_folder = disk_make_folder,
    .rename = disk_rename,
    .link = disk_link,
    .remove = disk_remove,
    .list = disk_list,
    .free_bytes = disk_free_bytes,
};

/* --- Life. */

struct sim_disk *
sim_disk_create(struct dpc_rng *rng)
{
    struct sim_disk *disk = dpc_alloc(1, sizeof *disk);
    disk->vfs = (struct dpc_vfs){.ops = &disk_ops, .context = disk};
    disk->rng = rng;
    disk->names_capacity = 512;
    disk->names = dpc_alloc(disk->names_capacity, sizeof *disk->names);
    disk->names_count = 1;
    grow_slots(disk);
    struct name *root = find_or_make(disk, "/");
    root->now = root->platter = make_node(disk, true);
    struct name *folder = find_or_make(disk, "/d");
    folder->now = folder->platter = make_node(disk, true);
    return disk;
}

struct sim_disk *
sim_disk_destroy(struct sim_disk *disk)
{
    if (!disk)
        return NULL;
    for (uint32_t i = 1; i < disk->names_count; i++)
        dpc_free(disk->names[i].path);
    for (uint32_t i = 0; i < disk->nodes_count; i++) {
        dpc_buf_done(&disk->nodes[i]->now);
        dpc_buf_done(&disk->nodes[i]->platter);
        dpc_free(disk->nodes[i]);
    }
    dpc_free(disk->nodes);
    dpc_free(disk->names);
    dpc_free(disk->slots);
    return dpc_free(disk);
}

const struct dpc_vfs *
sim_disk_vfs(struct sim_disk *disk)
{
    return &disk->vfs;
}

void
sim_disk_begin(struct sim_disk *disk, uint32_t operations_mean, double read_failure)
{
    disk->dead = false;
    disk->operations_left = 0;
    disk->read_failure = read_failure;
    disk->met = (disk->full ? SIM_MET_FULL : 0) | (disk->flips_count ? SIM_MET_FLIP : 0);
    if (operations_mean)
        disk->operations_left =
            1 + (uint64_t)(-(double)operations_mean * log(1 - dpc_rng_unit(disk->rng)));
}

bool
sim_disk_is_dead(const struct sim_disk *disk)
{
    return disk->dead;
}

unsigned
sim_disk_met(const struct sim_disk *disk)
{
    return disk->met;
}

bool
sim_disk_excuses(const struct sim_disk *disk, int code)
{
    switch (code) {
    case DPC_EIO:
        return disk->met & (SIM_MET_END | SIM_MET_SYNC | SIM_MET_READ);
    case DPC_ENOSPACE:
        return disk->met & SIM_MET_FULL;
    case DPC_ECORRUPT:
    case DPC_EHASH:
        return disk->met & SIM_MET_FLIP;
    default:
        return false;
    }
}

/* Some blocks came to the platter and some did not, in any order; so with the length. */
static void
tear(struct sim_disk *disk, struct node *node)
{
    size_t old = node->platter.len, len = sim_disk_coin(disk) ? node->now.len : old;
    resize(&node->platter, len);
    for (size_t at = 0; at < len; at += BLOCK_BYTES) {
        size_t end = at + BLOCK_BYTES < len ? at + BLOCK_BYTES : len;
        if (end > node->now.len)
            end = node->now.len;
        if (at < end && sim_disk_coin(disk))
            memcpy(node->platter.data + at, node->now.data + at, end - at);
    }
}

/* True when it was torn. */
static bool
lose_power(struct sim_disk *disk, struct node *node)
{
    bool torn = false;
    if (!node->dirty)
        return false;
    uint64_t drawn = dpc_rng_below(disk->rng, 3);
    if (drawn == 0 && !node->given_up)
        keep(node);
    if (drawn == 1 && !node->given_up) {
        tear(disk, node);
        torn = true;
    }
    dpc_buf_reset(&node->now);
    dpc_buf_put(&node->now, node->platter.data, node->platter.len);
    node->dirty = node->given_up = false;
    return torn;
}

/* Parents stand before what is in them. */
static void
drop_orphans(struct sim_disk *disk)
{
    for (uint32_t i = 1; i < disk->names_count; i++) {
        struct name *name = &disk->names[i];
        if (name->parent && !disk->names[name->parent].now)
            name->now = name->platter = NULL;
    }
}

bool
sim_disk_end(struct sim_disk *disk, bool power_lost)
{
    bool torn = false;
    disk->dead = true;
    disk->fail_sync = false;
    if (!power_lost)
        return false;
    for (uint32_t i = 0; i < disk->nodes_count; i++)
        torn |= lose_power(disk, disk->nodes[i]);
    for (uint32_t i = 1; i < disk->names_count; i++) {
        struct name *name = &disk->names[i];
        if (name->now != name->platter)
            name->now = name->platter = sim_disk_coin(disk) ? name->now : name->platter;
    }
    drop_orphans(disk);
    return torn;
}

void
sim_disk_wipe(struct sim_disk *disk)
{
    uint32_t folder = *slot_of(disk, "/d");
    for (uint32_t i = folder + 1; i < disk->names_count; i++)
        disk->names[i].now = disk->names[i].platter = NULL;
    disk->flips_count = 0;
    disk->full = disk->fail_sync = false;
}

void
sim_disk_set_full(struct sim_disk *disk, bool full, bool told)
{
    disk->full = full;
    disk->told = told;
}

void
sim_disk_fail_sync(struct sim_disk *disk)
{
    disk->fail_sync = true;
}

static bool
can_rot(const struct node *node)
{
    return node && !node->folder && !node->dirty && node->now.len > 0 &&
           node->now.len == node->platter.len;
}

bool
sim_disk_flip(struct sim_disk *disk)
{
    uint32_t first = (uint32_t)dpc_rng_below(disk->rng, disk->names_count);
    for (uint32_t i = 0; i < disk->names_count && disk->flips_count < FLIPS_MAX; i++) {
        struct node *node = disk->names[(first + i) % disk->names_count].now;
        if (!can_rot(node))
            continue;
        struct flip flip = {.node = node,
                            .byte = dpc_rng_below(disk->rng, node->now.len),
                            .mask = (uint8_t)(1u << dpc_rng_below(disk->rng, 8))};
        node->now.data[flip.byte] ^= flip.mask;
        node->platter.data[flip.byte] ^= flip.mask;
        disk->flips[disk->flips_count++] = flip;
        disk->met |= SIM_MET_FLIP;
        return true;
    }
    return false;
}

void
sim_disk_repair(struct sim_disk *disk)
{
    while (disk->flips_count > 0) {
        struct flip *flip = &disk->flips[--disk->flips_count];
        if (flip->byte < flip->node->now.len)
            flip->node->now.data[flip->byte] ^= flip->mask;
        if (flip->byte < flip->node->platter.len)
            flip->node->platter.data[flip->byte] ^= flip->mask;
    }
}

void
sim_disk_calm(struct sim_disk *disk)
{
    sim_disk_repair(disk);
    disk->operations_left = 0;
    disk->read_failure = 0;
    disk->full = disk->fail_sync = false;
}

const struct dpc_buf *
sim_disk_peek(struct sim_disk *disk, const char *path, bool *ret_flipped)
{
    const struct name *name = find_now(disk, path);
    *ret_flipped = false;
    if (!name || name->now->folder)
        return NULL;
    for (uint32_t i = 0; i < disk->flips_count; i++)
        *ret_flipped |= disk->flips[i].node == name->now;
    return &name->now->now;
}
