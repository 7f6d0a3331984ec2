/* SPDX-License-Identifier: Apache-2.0
 * Opening, and whole blobs. A put writes `partial/HASH.N.new`, N being unlike for each put of this
 * run, so that two threads that put the same bytes never write one file: both rename the same
 * content to the same name. */
#include "storage/blob/blob.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/planted.h"
#include "storage/blob/folder.h"

/* The longest name below the folder: "/partial/", 64 digits, a number, ".new". */
enum { NAME_BELOW_MAX = 100 };

static const char temp_suffix[] = ".new";

static int
check_length(const char *folder, struct dpc_error *err)
{
    if (strlen(folder) + NAME_BELOW_MAX < DPC_PATH_MAX)
        return DPC_OK;
    return dpc_error_set(err, DPC_ELIMIT, "could not open blob folder \"%s\": its name is too long",
                         folder);
}

static struct dpc_blobs *
create(const struct dpc_vfs *vfs, const char *folder, bool read_only)
{
    struct dpc_blobs *blobs = dpc_alloc(1, sizeof *blobs);
    blobs->vfs = vfs;
    blobs->read_only = read_only;
    pthread_mutex_init(&blobs->settling, NULL);
    (void)snprintf(blobs->folder, sizeof blobs->folder, "%s", folder);
    return blobs;
}

static void
collect_temp(void *context, const char *name)
{
    size_t len = strlen(name), suffix = sizeof temp_suffix - 1;
    if (len > suffix && len < NAME_BELOW_MAX && strcmp(name + len - suffix, temp_suffix) == 0)
        dpc_buf_put(context, name, len + 1);
}

/* Puts that a dead run did not end. Nobody knows them, so nobody misses them. */
static int
remove_temps(const struct dpc_vfs *vfs, const char *partial)
{
    struct dpc_buf names;
    dpc_buf_init(&names, 0);
    int code = vfs->ops->list(vfs, partial, collect_temp, &names);
    for (size_t at = 0; at < names.len; at += strlen((const char *)names.data + at) + 1) {
        char path[DPC_PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/%s", partial, (const char *)names.data + at);
        (void)vfs->ops->remove(vfs, path);
    }
    dpc_buf_done(&names);
    return code;
}

static void
note_folder(void *context, const char *name)
{
    bool *there = context;
    unsigned first;
    if (strlen(name) == 2 && sscanf(name, "%2x", &first) == 1)
        there[first] = true;
}

/* A run that died between a rename and the sync of its folder left a blob that is found, counted
 * on and lost with the next power cut. So all that is found at the start is made to last first. */
static int
sync_folders(struct dpc_blobs *blobs)
{
    const struct dpc_vfs *vfs = blobs->vfs;
    bool there[256] = {false};
    int code = vfs->ops->list(vfs, blobs->folder, note_folder, there);
    for (unsigned first = 0; first < 256 && code == DPC_OK; first++) {
        char folder[DPC_PATH_MAX];
        (void)snprintf(folder, sizeof folder, "%.*s/%02x", DPC_PATH_MAX - NAME_BELOW_MAX,
                       blobs->folder, first);
        if (there[first] && !DPC_PLANTED(DPC_PLANTED_FOUND_NOT_SYNCED))
            code = vfs->ops->sync_folder(vfs, folder);
        blobs->ready[first] = there[first];
    }
    return code == DPC_OK ? vfs->ops->sync_folder(vfs, blobs->folder) : code;
}

int
dpc_blobs_open(const struct dpc_vfs *vfs, const char *folder, struct dpc_blobs **ret_blobs,
               struct dpc_error *err)
{
    char partial[DPC_PATH_MAX];
    int code = check_length(folder, err);
    if (code != DPC_OK)
        return code;
    (void)snprintf(partial, sizeof partial, "%s/partial", folder);
    code = dpc_vfs_make_lasting_folder(vfs, folder);
    if (code == DPC_OK)
        code = dpc_vfs_make_lasting_folder(vfs, partial);
    if (code == DPC_OK)
        code = remove_temps(vfs, partial);
    struct dpc_blobs *blobs = create(vfs, folder, false);
    if (code == DPC_OK)
        code = sync_folders(blobs);
    if (code != DPC_OK) {
        dpc_blobs_close(blobs);
        return dpc_error_set(err, code, "could not open blob folder \"%s\": %s", folder,
                             dpc_error_words(code));
    }
    *ret_blobs = blobs;
    return DPC_OK;
}

int
dpc_blobs_open_read(const struct dpc_vfs *vfs, const char *folder, struct dpc_blobs **ret_blobs,
                    struct dpc_error *err)
{
    int code = check_length(folder, err);
    if (code == DPC_OK)
        *ret_blobs = create(vfs, folder, true);
    return code;
}

struct dpc_blobs *
dpc_blobs_close(struct dpc_blobs *blobs)
{
    if (!blobs)
        return NULL;
    pthread_mutex_destroy(&blobs->settling);
    return dpc_free(blobs);
}

/* Opens a complete blob and gives its size. */
static int
open_complete(const struct dpc_blobs *blobs, const struct dpc_hash *hash,
              struct dpc_vfs_file **ret_file, uint64_t *ret_bytes)
{
    const struct dpc_vfs *vfs = blobs->vfs;
    char path[DPC_PATH_MAX];
    dpc_blobs_name_complete(blobs, hash, path);
    int code = vfs->ops->open(vfs, path, DPC_VFS_READ, ret_file);
    if (code != DPC_OK)
        return code;
    code = vfs->ops->size(*ret_file, ret_bytes);
    if (code != DPC_OK)
        vfs->ops->close(*ret_file);
    return code;
}

int
dpc_blobs_size(const struct dpc_blobs *blobs, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    struct dpc_vfs_file *file;
    int code = open_complete(blobs, hash, &file, ret_bytes);
    if (code == DPC_OK)
        blobs->vfs->ops->close(file);
    return code;
}

int
dpc_blobs_path(const struct dpc_blobs *blobs, const struct dpc_hash *hash, char *ret_path,
               size_t size)
{
    char path[DPC_PATH_MAX];
    uint64_t bytes;
    int code = dpc_blobs_size(blobs, hash, &bytes);
    if (code != DPC_OK)
        return code;
    dpc_blobs_name_complete(blobs, hash, path);
    if (strlen(path) >= size)
        return DPC_ELIMIT;
    memcpy(ret_path, path, strlen(path) + 1);
    return DPC_OK;
}

static int
write_and_publish(struct dpc_blobs *blobs, const void *bytes, size_t len,
                  const struct dpc_hash *hash)
{
    const struct dpc_vfs *vfs = blobs->vfs;
    char partial[DPC_PATH_MAX], temp[DPC_PATH_MAX];
    struct dpc_vfs_file *file;
    dpc_blobs_name_partial(blobs, hash, partial);
    (void)snprintf(temp, sizeof temp, "%s.%u%s", partial, atomic_fetch_add(&blobs->next_temp, 1),
                   temp_suffix);
    int code = vfs->ops->open(vfs, temp, DPC_VFS_WRITE | DPC_VFS_CREATE | DPC_VFS_FRESH, &file);
    if (code != DPC_OK)
        return code;
    code = vfs->ops->write(file, bytes, len, 0);
    if (code == DPC_OK)
        code = dpc_blobs_publish(blobs, file, temp, hash);
    else
        vfs->ops->close(file);
    if (code != DPC_OK)
        (void)vfs->ops->remove(vfs, temp);
    return code;
}

static int
check_put(const struct dpc_blobs *blobs, size_t len, struct dpc_error *err)
{
    int code = dpc_blobs_writable(blobs, err);
    if (code == DPC_OK && len > DPC_BLOB_BYTES_MAX)
        code = dpc_error_set(err, DPC_ELIMIT, "could not store a blob of %zu bytes: at most %zu",
                             len, DPC_BLOB_BYTES_MAX);
    return code;
}

int
dpc_blobs_put_hashed(struct dpc_blobs *blobs, const struct dpc_hash *hash, const void *bytes,
                     size_t len, struct dpc_error *err)
{
    uint64_t there;
    int code = check_put(blobs, len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_blobs_prepare(blobs, hash);
    /* A file of another length is damage, which these bytes mend. */
    if (code == DPC_OK && (dpc_blobs_size(blobs, hash, &there) != DPC_OK || there != len))
        code = write_and_publish(blobs, bytes, len, hash);
    return code == DPC_OK ? DPC_OK : dpc_blobs_report(blobs, code, "store", hash, err);
}

int
dpc_blobs_put(struct dpc_blobs *blobs, const void *bytes, size_t len, struct dpc_hash *ret_hash,
              struct dpc_error *err)
{
    struct dpc_hash hash;
    int code = check_put(blobs, len, err);
    if (code != DPC_OK)
        return code;
    dpc_hash_of(bytes, len, &hash);
    code = dpc_blobs_put_hashed(blobs, &hash, bytes, len, err);
    if (code == DPC_OK)
        *ret_hash = hash;
    return code;
}

int
dpc_blobs_read(const struct dpc_blobs *blobs, const struct dpc_hash *hash, uint64_t offset,
               void *ret_bytes, size_t len)
{
    struct dpc_vfs_file *file;
    uint64_t bytes;
    int code = open_complete(blobs, hash, &file, &bytes);
    if (code != DPC_OK)
        return code;
    if (offset > bytes || len > bytes - offset)
        code = DPC_ERANGE;
    else
        code = blobs->vfs->ops->read(file, ret_bytes, len, offset);
    blobs->vfs->ops->close(file);
    return code;
}

static int
read_whole(const struct dpc_blobs *blobs, const struct dpc_hash *hash, uint8_t **ret_bytes,
           size_t *ret_len)
{
    struct dpc_vfs_file *file;
    uint64_t size;
    int code = open_complete(blobs, hash, &file, &size);
    if (code != DPC_OK)
        return code;
    uint8_t *bytes = NULL;
    if (size > DPC_BLOB_BYTES_MAX)
        code = DPC_ELIMIT;
    else if (!(bytes = dpc_try_alloc((size_t)size, 1)))
        code = DPC_ENOMEM;
    else
        code = blobs->vfs->ops->read(file, bytes, (size_t)size, 0);
    blobs->vfs->ops->close(file);
    if (code != DPC_OK) {
        dpc_free(bytes);
        return code;
    }
    *ret_bytes = bytes;
    *ret_len = (size_t)size;
    return DPC_OK;
}

static int
report_damage(const struct dpc_blobs *blobs, const struct dpc_hash *hash, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    dpc_blobs_name_complete(blobs, hash, path);
    return dpc_error_set(err, DPC_ECORRUPT,
                         "blob file \"%s\" is damaged (its content does not match its name): check "
                         "that disk, then put the file back from a backup; in a worker's cache "
                         "remove it, and it is fetched again",
                         path);
}

int
dpc_blobs_load(const struct dpc_blobs *blobs, const struct dpc_hash *hash, uint8_t **ret_bytes,
               size_t *ret_len, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    int code = read_whole(blobs, hash, &bytes, &len);
    if (code != DPC_OK)
        return dpc_blobs_report(blobs, code, "read", hash, err);
    struct dpc_hash actual;
    dpc_hash_of(bytes, len, &actual);
    if (!DPC_PLANTED(DPC_PLANTED_LOAD_UNCHECKED) && !dpc_hash_equal(&actual, hash)) {
        dpc_free(bytes);
        return report_damage(blobs, hash, err);
    }
    *ret_bytes = bytes;
    *ret_len = len;
    return DPC_OK;
}

int
dpc_blobs_verify(const struct dpc_blobs *blobs, const struct dpc_hash *hash, uint64_t *ret_bytes,
                 struct dpc_error *err)
{
    struct dpc_vfs_file *file;
    struct dpc_hash actual;
    uint64_t bytes;
    int code = open_complete(blobs, hash, &file, &bytes);
    if (code == DPC_OK) {
        code = dpc_blobs_hash_file(blobs, file, bytes, &actual);
        blobs->vfs->ops->close(file);
    }
    if (code != DPC_OK)
        return dpc_blobs_report(blobs, code, "read", hash, err);
    if (!dpc_hash_equal(&actual, hash))
        return report_damage(blobs, hash, err);
    *ret_bytes = bytes;
    return DPC_OK;
}

int
dpc_blobs_remove(struct dpc_blobs *blobs, const struct dpc_hash *hash)
{
    int code = dpc_blobs_writable(blobs, NULL);
    if (code != DPC_OK)
        return code;
    char path[DPC_PATH_MAX];
    dpc_blobs_name_complete(blobs, hash, path);
    code = blobs->vfs->ops->remove(blobs->vfs, path);
    return code == DPC_ENOTFOUND ? DPC_OK : code;
}

struct listing {
    struct dpc_buf hashes;
    uint8_t first; /* the folder that is listed */
};

static void
collect_hash(void *context, const char *name)
{
    struct listing *listing = context;
    struct dpc_hash hash;
    if (dpc_hash_parse(name, &hash) && hash.bytes[0] == listing->first)
        dpc_buf_put(&listing->hashes, hash.bytes, sizeof hash.bytes);
}

/* The names of one folder are collected first, so that `visit` may remove files. */
static int
list_one(const struct dpc_blobs *blobs, struct listing *listing,
         void (*visit)(void *, const struct dpc_hash *, uint64_t), void *context)
{
    char folder[DPC_PATH_MAX];
    int length = snprintf(folder, sizeof folder, "%s/%02x", blobs->folder, listing->first);
    int code = length < DPC_PATH_MAX ? DPC_OK : DPC_ELIMIT;
    dpc_buf_reset(&listing->hashes);
    if (code == DPC_OK)
        code = blobs->vfs->ops->list(blobs->vfs, folder, collect_hash, listing);
    if (code == DPC_ENOTFOUND)
        return DPC_OK;
    if (code == DPC_OK && listing->hashes.failed)
        code = DPC_ENOMEM;
    for (size_t at = 0; at < listing->hashes.len && code == DPC_OK; at += DPC_HASH_BYTES) {
        struct dpc_hash hash;
        uint64_t bytes;
        memcpy(hash.bytes, listing->hashes.data + at, sizeof hash.bytes);
        code = dpc_blobs_size(blobs, &hash, &bytes);
        if (code == DPC_OK)
            visit(context, &hash, bytes);
        else if (code == DPC_ENOTFOUND)
            code = DPC_OK;
    }
    return code;
}

static int
report_list(const struct dpc_blobs *blobs, int code, struct dpc_error *err)
{
    if (code == DPC_OK)
        return DPC_OK;
    return dpc_error_set(err, code, "could not list blob folder \"%s\": %s", blobs->folder,
                         dpc_error_words(code));
}

int
dpc_blobs_list(const struct dpc_blobs *blobs,
               void (*visit)(void *context, const struct dpc_hash *hash, uint64_t bytes),
               void *context, struct dpc_error *err)
{
    struct listing listing;
    dpc_buf_init(&listing.hashes, 0);
    int code = DPC_OK;
    for (unsigned first = 0; first < 256 && code == DPC_OK; first++) {
        listing.first = (uint8_t)first;
        code = list_one(blobs, &listing, visit, context);
    }
    dpc_buf_done(&listing.hashes);
    return report_list(blobs, code, err);
}

static void
collect_partial(void *context, const char *name)
{
    struct dpc_hash hash;
    if (dpc_hash_parse(name, &hash))
        dpc_buf_put(context, hash.bytes, sizeof hash.bytes);
}

int
dpc_blobs_list_partials(const struct dpc_blobs *blobs,
                        void (*visit)(void *context, const struct dpc_hash *hash), void *context,
                        struct dpc_error *err)
{
    struct dpc_buf hashes;
    char folder[DPC_PATH_MAX];
    dpc_buf_init(&hashes, 0);
    int code = dpc_path_join(blobs->folder, "partial", folder, sizeof folder);
    if (code == DPC_OK)
        code = blobs->vfs->ops->list(blobs->vfs, folder, collect_partial, &hashes);
    if (code == DPC_OK && hashes.failed)
        code = DPC_ENOMEM;
    for (size_t at = 0; at < hashes.len && code == DPC_OK; at += DPC_HASH_BYTES) {
        struct dpc_hash hash;
        memcpy(hash.bytes, hashes.data + at, sizeof hash.bytes);
        visit(context, &hash);
    }
    dpc_buf_done(&hashes);
    return report_list(blobs, code == DPC_ENOTFOUND ? DPC_OK : code, err);
}

bool
dpc_blobs_are_broken(const struct dpc_blobs *blobs)
{
    return atomic_load(&blobs->broken);
}

int
dpc_blobs_free_bytes(const struct dpc_blobs *blobs, uint64_t *ret_bytes)
{
    return blobs->vfs->ops->free_bytes(blobs->vfs, blobs->folder, ret_bytes);
}
