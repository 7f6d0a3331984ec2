/* SPDX-License-Identifier: Apache-2.0
 * The kv over RocksDB. The options stand in rocks_options.c.
 *
 * Reading beside the process that writes needs no lock: RocksDB replays the write-ahead log into
 * memory and gives the state of that moment. A compaction may remove a file between the reading of
 * the manifest and the opening of the file; then opening is tried again. */
#include "storage/db/kv.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "storage/db/rocks_options.h"
#include "storage/db/rocks_status.h"

enum { READ_ONLY_TRIES = 10, COLUMN_FAMILIES = DPC_KV_FAMILIES + 1 };

/* RocksDB insists on "default"; nothing stands in it. */
static const char *const family_names[COLUMN_FAMILIES] = {"state", "history", "blob", "default"};

struct rocks_kv {
    struct dpc_kv kv;
    char folder[DPC_PATH_MAX];
    struct dpc_rocks_options options;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[COLUMN_FAMILIES];
    rocksdb_readoptions_t *get_options, *scan_options;
    rocksdb_writeoptions_t *write_options;
};

static struct rocks_kv *
rocks_of(struct dpc_kv *kv)
{
    return (struct rocks_kv *)kv; /* `kv` is the first member */
}

/* Turns a status line into a code and a text, and releases the line. */
static int
report(const struct rocks_kv *rocks, const char *done, char *status, struct dpc_error *err)
{
    int code = dpc_rocks_status_code(status);
    dpc_error_set(err, code, "database \"%s\" could not be %s: %s%s", rocks->folder, done, status,
                  dpc_rocks_way_out(code));
    rocksdb_free(status);
    return code;
}

static int
rocks_get(struct dpc_kv *kv, enum dpc_kv_family family, const void *key, size_t key_len,
          uint8_t **ret_value, size_t *ret_len, struct dpc_error *err)
{
    struct rocks_kv *rocks = rocks_of(kv);
    char *status = NULL;
    size_t len;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(
        rocks->db, rocks->get_options, rocks->families[family], key, key_len, &status);
    if (status)
        return report(rocks, "read", status, err);
    if (!slice)
        return dpc_error_set(err, DPC_ENOTFOUND, "the database has no such key");
    const char *found = rocksdb_pinnableslice_value(slice, &len);
    uint8_t *value = dpc_try_alloc(len, 1);
    if (value && len)
        memcpy(value, found, len);
    rocksdb_pinnableslice_destroy(slice);
    if (!value)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for a value of %zu bytes", len);
    *ret_value = value;
    *ret_len = len;
    return DPC_OK;
}

struct building {
    const struct rocks_kv *rocks;
    rocksdb_writebatch_t *batch;
};

static void
add_operation(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
              const uint8_t *value, size_t value_len)
{
    struct building *building = context;
    rocksdb_column_family_handle_t *handle = building->rocks->families[family];
    if (value)
        rocksdb_writebatch_put_cf(building->batch, handle, (const char *)key, key_len,
                                  (const char *)value, value_len);
    else
        rocksdb_writebatch_delete_cf(building->batch, handle, (const char *)key, key_len);
}

static int
rocks_write(struct dpc_kv *kv, const struct dpc_kv_batch *batch, struct dpc_error *err)
{
    struct rocks_kv *rocks = rocks_of(kv);
    struct building building = {.rocks = rocks, .batch = rocksdb_writebatch_create()};
    char *status = NULL;
    int code = dpc_kv_batch_each(batch, add_operation, &building);
    if (code == DPC_OK)
        rocksdb_write(rocks->db, rocks->write_options, building.batch, &status);
    rocksdb_writebatch_destroy(building.batch);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not write to database \"%s\": %s", rocks->folder,
                             dpc_error_words(code));
    return status ? report(rocks, "written", status, err) : DPC_OK;
}

/* Gives each key from the iterator's place on that has the prefix, and is not `after`. */
static void
visit_rest(rocksdb_iterator_t *iterator, const void *prefix, size_t prefix_len, const void *after,
           size_t after_len,
           bool (*visit)(void *, const uint8_t *, size_t, const uint8_t *, size_t), void *context)
{
    for (; rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
        size_t key_len, value_len;
        const char *key = rocksdb_iter_key(iterator, &key_len);
        if (key_len < prefix_len || (prefix_len && memcmp(key, prefix, prefix_len) != 0))
            return;
        if (after && key_len == after_len && memcmp(key, after, after_len) == 0)
            continue;
        const char *value = rocksdb_iter_value(iterator, &value_len);
        if (!visit(context, (const uint8_t *)key, key_len, (const uint8_t *)value, value_len))
            return;
    }
}

static bool
is_above(const void *a, size_t a_len, const void *b, size_t b_len)
{
    size_t shorter = a_len < b_len ? a_len : b_len;
    int order = shorter ? memcmp(a, b, shorter) : 0;
    return order ? order > 0 : a_len > b_len;
}

static int
rocks_scan(struct dpc_kv *kv, enum dpc_kv_family family, const void *prefix, size_t prefix_len,
           const void *after, size_t after_len,
           bool (*visit)(void *, const uint8_t *, size_t, const uint8_t *, size_t), void *context,
           struct dpc_error *err)
{
    struct rocks_kv *rocks = rocks_of(kv);
    rocksdb_iterator_t *iterator =
        rocksdb_create_iterator_cf(rocks->db, rocks->scan_options, rocks->families[family]);
    bool from_after = after && is_above(after, after_len, prefix, prefix_len);
    rocksdb_iter_seek(iterator, from_after ? after : prefix, from_after ? after_len : prefix_len);
    visit_rest(iterator, prefix, prefix_len, after, after_len, visit, context);
    char *status = NULL;
    rocksdb_iter_get_error(iterator, &status);
    rocksdb_iter_destroy(iterator);
    return status ? report(rocks, "read", status, err) : DPC_OK;
}

/* Takes a half-open one. */
static void
rocks_close(struct dpc_kv *kv)
{
    struct rocks_kv *rocks = rocks_of(kv);
    for (size_t i = 0; rocks->db && i < COLUMN_FAMILIES; i++)
        rocksdb_column_family_handle_destroy(rocks->families[i]);
    if (rocks->db)
        rocksdb_close(rocks->db);
    rocksdb_readoptions_destroy(rocks->get_options);
    rocksdb_readoptions_destroy(rocks->scan_options);
    rocksdb_writeoptions_destroy(rocks->write_options);
    dpc_rocks_options_done(&rocks->options);
    dpc_free(rocks);
}

/* Table files are linked, or copied across file systems; the log is flushed first. */
static int
rocks_checkpoint(struct dpc_kv *kv, const char *folder, struct dpc_error *err)
{
    struct rocks_kv *rocks = rocks_of(kv);
    char *status = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(rocks->db, &status);
    if (!status)
        rocksdb_checkpoint_create(checkpoint, folder, 0, &status);
    if (checkpoint)
        rocksdb_checkpoint_object_destroy(checkpoint);
    return status ? report(rocks, "copied", status, err) : DPC_OK;
}

static const struct dpc_kv_ops rocks_ops = {
    .get = rocks_get,
    .write = rocks_write,
    .scan = rocks_scan,
    .checkpoint = rocks_checkpoint,
    .close = rocks_close,
};

static struct rocks_kv *
create(const char *folder, enum dpc_kv_open_mode mode)
{
    struct rocks_kv *rocks = dpc_alloc(1, sizeof *rocks);
    rocks->kv.ops = &rocks_ops;
    (void)snprintf(rocks->folder, sizeof rocks->folder, "%s", folder);
    dpc_rocks_options_init(&rocks->options, mode);
    rocks->get_options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(rocks->get_options, 1);
    rocks->scan_options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(rocks->scan_options, 1);
    rocksdb_readoptions_set_fill_cache(rocks->scan_options, 0);
    rocks->write_options = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->write_options, 1);
    return rocks;
}

/* The process that holds the lock file, 0 when it cannot be told. Only asked about other processes:
 * closing a lock file gives up the locks that this process has on it. */
int
dpc_kv_rocks_holder(const char *folder)
{
    char path[DPC_PATH_MAX];
    if (dpc_path_join(folder, "LOCK", path, sizeof path) != DPC_OK)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool known = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return known ? (int)lock.l_pid : 0;
}

static int
report_busy(const struct rocks_kv *rocks, char *status, struct dpc_error *err)
{
    bool ourselves = strstr(status, "lock hold by current process") != NULL;
    int holder = ourselves ? (int)getpid() : dpc_kv_rocks_holder(rocks->folder);
    rocksdb_free(status);
    if (holder > 0)
        return dpc_error_set(err, DPC_EBUSY,
                             "database \"%s\" is open in process %d: stop that one first",
                             rocks->folder, holder);
    return dpc_error_set(err, DPC_EBUSY,
                         "database \"%s\" is open in another process: stop that one first",
                         rocks->folder);
}

static int
open_to_write(struct rocks_kv *rocks, struct dpc_error *err)
{
    char *status = NULL;
    rocks->db = rocksdb_open_column_families(rocks->options.db, rocks->folder, COLUMN_FAMILIES,
                                             family_names, rocks->options.families, rocks->families,
                                             &status);
    if (rocks->db)
        return DPC_OK;
    if (dpc_rocks_status_code(status) == DPC_EBUSY)
        return report_busy(rocks, status, err);
    return report(rocks, "opened", status, err);
}

static int
open_to_read(struct rocks_kv *rocks, struct dpc_error *err)
{
    char *status = NULL;
    for (int i = 0; i < READ_ONLY_TRIES && !rocks->db; i++) {
        rocksdb_free(status);
        status = NULL;
        rocks->db = rocksdb_open_for_read_only_column_families(
            rocks->options.db, rocks->folder, COLUMN_FAMILIES, family_names,
            rocks->options.families, rocks->families, 0, &status);
        if (!rocks->db && !strstr(status, "No such file"))
            break;
    }
    if (rocks->db)
        return DPC_OK;
    if (strstr(status, "Column family not found")) {
        rocksdb_free(status);
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "database \"%s\" is not complete yet: start the coordinator first",
                             rocks->folder);
    }
    return report(rocks, "opened", status, err);
}

/* What lies in the folder before RocksDB sees it. */
enum folder_state { FOLDER_DATABASE, FOLDER_FRESH, FOLDER_BEHEADED };

static bool
holds_data(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcmp(dot, ".sst") == 0 || strcmp(dot, ".log") == 0);
}

/* RocksDB makes a fresh database where CURRENT is missing, even over the files of an old one. */
static enum folder_state
look_at(const char *folder)
{
    char path[DPC_PATH_MAX];
    if (dpc_path_join(folder, "CURRENT", path, sizeof path) == DPC_OK && access(path, F_OK) == 0)
        return FOLDER_DATABASE;
    enum folder_state state = FOLDER_FRESH;
    DIR *listing = opendir(folder);
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        if (holds_data(entry->d_name))
            state = FOLDER_BEHEADED;
    }
    if (listing)
        closedir(listing);
    return state;
}

int
dpc_kv_open_rocks(const char *folder, enum dpc_kv_open_mode mode, struct dpc_kv **ret_kv,
                  struct dpc_error *err)
{
    if (strlen(folder) + 64 > DPC_PATH_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "the name of database \"%s\" is too long", folder);
    enum folder_state state = look_at(folder);
    if (state == FOLDER_BEHEADED)
        return dpc_error_set(err, DPC_ECORRUPT, "database \"%s\" lacks its file CURRENT%s", folder,
                             dpc_rocks_way_out(DPC_ECORRUPT));
    if (state == FOLDER_FRESH && mode == DPC_KV_READ_ONLY)
        return dpc_error_set(err, DPC_ENOTFOUND, "there is no database in \"%s\"", folder);

    struct rocks_kv *rocks = create(folder, mode);
    int code = mode == DPC_KV_READ_ONLY ? open_to_read(rocks, err) : open_to_write(rocks, err);
    if (code != DPC_OK) {
        rocks_close(&rocks->kv);
        return code;
    }
    *ret_kv = &rocks->kv;
    return DPC_OK;
}
