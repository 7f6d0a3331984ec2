/* SPDX-License-Identifier: Apache-2.0
 * The file is {head, lease, submission, values, SHA-256 of all that}. The hash comes last, so that
 * values need not lie in memory together; the name comes last of all: written beside it, synced,
 * renamed, the folder synced. The lock keeps a lease's end apart from the renaming alone, so that
 * the event loop never waits for a write. */
#include "worker/compute/spill.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"

enum {
    FORMAT = 1,
    PIECE_BYTES = 1 << 20, /* that a check reads at once */
    ARENA_BYTES = 65536,
};
static const char magic[8] = {'D', 'P', 'C', 'S', 'P', 'I', 'L', '1'};

struct dpc_spill {
    const struct dpc_vfs *vfs;
    char folder[DPC_PATH_MAX], path[DPC_PATH_MAX], passed[DPC_PATH_MAX], temp[DPC_PATH_MAX];
    pthread_mutex_t lock; /* the files' names, `broken`, `holds` */
    bool broken;
    enum dpc_spill_stage holds; /* what was last loaded or written of the lease at work; 0: none */
    bool left; /* and is of the lease that was passed, whose result was not written */
    struct dpc_hash numeric_class;
    uint64_t values_at; /* in the file that was loaded */

    /* The compute thread's. */
    int64_t last_ns; /* the end of the last write, or the lease's begin */
    int64_t cost_ns[DPC_SPILL_STAGES];
    struct dpc_vfs_file *file; /* being written */
    struct dpc_hasher hasher;
    enum dpc_spill_stage stage;
    uint64_t at;
    int64_t begun_ns;
};

/* --- The record as bytes. */

static int
put_message(struct dpc_buf *out, const struct dpc_msg *msg, struct dpc_error *err)
{
    struct dpc_buf bytes;
    dpc_buf_init(&bytes, DPC_CONTROL_BYTES_MAX);
    int code = dpc_msg_encode(msg, &bytes, err);
    if (code == DPC_OK)
        dpc_buf_put_block(out, bytes.data, bytes.len);
    dpc_buf_done(&bytes);
    return code;
}

static int
put_record(struct dpc_buf *out, const struct dpc_hash *numeric_class,
           const struct dpc_spill_record *record, struct dpc_error *err)
{
    struct dpc_msg lease = {.type = DPC_MSG_LEASE, .lease = record->lease};
    struct dpc_msg submit = {.type = DPC_MSG_SUBMIT, .submit = record->submit};
    dpc_buf_put(out, magic, sizeof magic);
    dpc_buf_put_u32(out, FORMAT);
    dpc_buf_put_u32(out, record->stage);
    dpc_buf_put(out, numeric_class->bytes, DPC_HASH_BYTES);
    dpc_buf_put(out, record->experiment.bytes, DPC_HASH_BYTES);
    dpc_buf_put_u32(out, record->steps_done);
    dpc_buf_put_f64(out, record->tally.loss_sum);
    dpc_buf_put_f64(out, record->tally.last_sum);
    dpc_buf_put_u64(out, record->tally.targets);
    dpc_buf_put_u64(out, record->tally.last_targets);
    dpc_buf_put_f64(out, record->tally.seconds);
    dpc_buf_put(out, record->tally.began.bytes, DPC_HASH_BYTES);
    dpc_buf_put_u64(out, record->values_bytes);
    int code = put_message(out, &lease, err);
    if (code == DPC_OK && record->stage == DPC_SPILL_FINISHED)
        code = put_message(out, &submit, err);
    return code;
}

static void
get_message(struct dpc_reader *reader, enum dpc_msg_type type, struct dpc_msg *ret_msg)
{
    size_t len;
    const uint8_t *bytes = dpc_reader_block(reader, &len);
    struct dpc_msg_arena *arena = dpc_msg_arena_create(ARENA_BYTES);
    struct dpc_error err;
    if (!bytes || dpc_msg_decode(bytes, len, arena, ret_msg, &err) != DPC_OK ||
        ret_msg->type != type)
        reader->failed = true;
    dpc_msg_arena_destroy(arena);
}

static void
get_hash(struct dpc_reader *reader, struct dpc_hash *ret_hash)
{
    const uint8_t *bytes = dpc_reader_bytes(reader, DPC_HASH_BYTES);
    if (bytes)
        memcpy(ret_hash->bytes, bytes, DPC_HASH_BYTES);
}

/* Its hash is right, so what does not make sense is of another release. Leases and submissions
 * hold no texts that would point into the arena. */
static int
get_record(struct dpc_reader *reader, const struct dpc_hash *numeric_class,
           struct dpc_spill_record *record)
{
    struct dpc_hash of = dpc_hash_none;
    struct dpc_msg msg = {.type = DPC_MSG_NONE};
    const uint8_t *start = dpc_reader_bytes(reader, sizeof magic);
    if (!start || memcmp(start, magic, sizeof magic) != 0 || dpc_reader_u32(reader) != FORMAT)
        return DPC_ESTALE;
    record->stage = (enum dpc_spill_stage)dpc_reader_u32(reader);
    get_hash(reader, &of);
    get_hash(reader, &record->experiment);
    record->steps_done = dpc_reader_u32(reader);
    record->tally.loss_sum = dpc_reader_f64(reader);
    record->tally.last_sum = dpc_reader_f64(reader);
    record->tally.targets = dpc_reader_u64(reader);
    record->tally.last_targets = dpc_reader_u64(reader);
    record->tally.seconds = dpc_reader_f64(reader);
    get_hash(reader, &record->tally.began);
    record->values_bytes = dpc_reader_u64(reader);
    get_message(reader, DPC_MSG_LEASE, &msg);
    record->lease = msg.lease;
    if (record->stage == DPC_SPILL_FINISHED) {
        get_message(reader, DPC_MSG_SUBMIT, &msg);
        record->submit = msg.submit;
    }
    bool known = record->stage == DPC_SPILL_TRAINING || record->stage == DPC_SPILL_FINISHED;
    return reader->failed || !known || !dpc_hash_equal(&of, numeric_class) ? DPC_ESTALE : DPC_OK;
}

/* --- Reading. */

/* Holds `bytes` of the file against the hash behind them. */
static int
check_hash(const struct dpc_spill *spill, struct dpc_vfs_file *file, uint64_t bytes)
{
    struct dpc_hasher hasher;
    struct dpc_hash is, should;
    uint8_t *piece = dpc_alloc(PIECE_BYTES, 1);
    int code = DPC_OK;
    dpc_hasher_start(&hasher);
    for (uint64_t at = 0; code == DPC_OK && at < bytes;) {
        size_t len = bytes - at < PIECE_BYTES ? (size_t)(bytes - at) : PIECE_BYTES;
        code = spill->vfs->ops->read(file, piece, len, at);
        dpc_hasher_add(&hasher, piece, len);
        at += len;
    }
    dpc_free(piece);
    dpc_hasher_finish(&hasher, &is);
    if (code == DPC_OK)
        code = spill->vfs->ops->read(file, should.bytes, sizeof should.bytes, bytes);
    return code == DPC_OK && !dpc_hash_equal(&is, &should) ? DPC_ECORRUPT : code;
}

static int
read_record(struct dpc_spill *spill, struct dpc_vfs_file *file, uint64_t bytes,
            struct dpc_spill_record *record, uint64_t *ret_values_at)
{
    struct dpc_reader reader;
    size_t len = bytes < ARENA_BYTES ? (size_t)bytes : ARENA_BYTES;
    uint8_t *head = dpc_alloc(len, 1);
    int code = spill->vfs->ops->read(file, head, len, 0);
    dpc_reader_init(&reader, head, len);
    if (code == DPC_OK)
        code = get_record(&reader, &spill->numeric_class, record);
    if (code == DPC_OK) {
        *ret_values_at = (uint64_t)(reader.at - head);
        if (record->values_bytes != bytes - *ret_values_at)
            code = DPC_ECORRUPT;
    }
    dpc_free(head);
    return code;
}

static int
load(struct dpc_spill *spill, const char *path, struct dpc_spill_record *record,
     uint64_t *ret_values_at)
{
    struct dpc_vfs_file *file;
    uint64_t bytes = 0;
    int code = spill->vfs->ops->open(spill->vfs, path, DPC_VFS_READ, &file);
    if (code != DPC_OK)
        return code;
    code = spill->vfs->ops->size(file, &bytes);
    if (code == DPC_OK)
        code = bytes <= DPC_HASH_BYTES ? DPC_ECORRUPT
                                       : check_hash(spill, file, bytes - DPC_HASH_BYTES);
    if (code == DPC_OK)
        code = read_record(spill, file, bytes - DPC_HASH_BYTES, record, ret_values_at);
    spill->vfs->ops->close(file);
    return code;
}

/* Whether the file itself is of no use. What this machine lacks for the moment, or a disk that
 * cannot be read now, says nothing of it: it stays for the next process. */
static bool
is_useless(int code)
{
    return code == DPC_ECORRUPT || code == DPC_ESTALE;
}

static int
fail_load(const char *path, int code, struct dpc_error *err)
{
    if (code == DPC_ESTALE)
        return dpc_error_set(err, code, "it was written by another release or on another device");
    return dpc_error_set(err, code, "could not read \"%s\": %s", path, dpc_error_words(code));
}

int
dpc_spill_load(struct dpc_spill *spill, struct dpc_spill_record *ret_record, struct dpc_error *err)
{
    struct dpc_spill_record record = {.stage = 0};
    int code = load(spill, spill->path, &record, &spill->values_at);
    if (code == DPC_OK) {
        pthread_mutex_lock(&spill->lock);
        spill->holds = record.stage;
        pthread_mutex_unlock(&spill->lock);
        *ret_record = record;
        return DPC_OK;
    }
    if (is_useless(code))
        dpc_spill_remove(spill);
    return fail_load(spill->path, code, err);
}

int
dpc_spill_load_passed(struct dpc_spill *spill, struct dpc_spill_record *ret_record,
                      struct dpc_error *err)
{
    struct dpc_spill_record record = {.stage = 0};
    uint64_t values_at;
    int code = load(spill, spill->passed, &record, &values_at);
    if (code == DPC_OK && record.stage != DPC_SPILL_FINISHED)
        code = DPC_ECORRUPT;
    if (code == DPC_OK) {
        *ret_record = record;
        return DPC_OK;
    }
    if (is_useless(code))
        dpc_spill_remove_passed(spill);
    return fail_load(spill->passed, code, err);
}

int
dpc_spill_read(struct dpc_spill *spill, void *ret_bytes, size_t len, uint64_t offset,
               struct dpc_error *err)
{
    struct dpc_vfs_file *file;
    int code = spill->vfs->ops->open(spill->vfs, spill->path, DPC_VFS_READ, &file);
    if (code == DPC_OK) {
        code = spill->vfs->ops->read(file, ret_bytes, len, spill->values_at + offset);
        spill->vfs->ops->close(file);
    }
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read \"%s\": %s", spill->path,
                             dpc_error_words(code));
    return DPC_OK;
}

void
dpc_spill_remove(struct dpc_spill *spill)
{
    pthread_mutex_lock(&spill->lock);
    /* One that comes back after a power loss is a lease that the coordinator knows to be over. */
    (void)spill->vfs->ops->remove(spill->vfs, spill->path);
    spill->holds = 0;
    spill->left = false;
    pthread_mutex_unlock(&spill->lock);
}

void
dpc_spill_remove_passed(struct dpc_spill *spill)
{
    pthread_mutex_lock(&spill->lock);
    (void)spill->vfs->ops->remove(spill->vfs, spill->passed);
    if (spill->left)
        (void)spill->vfs->ops->remove(spill->vfs, spill->path);
    spill->left = false;
    pthread_mutex_unlock(&spill->lock);
}

/* Steps stay as they are: whoever takes them up computes their last ones again, or finds that the
 * lease is over. No sync: the next write syncs the folder, and before that either name will do. */
void
dpc_spill_pass(struct dpc_spill *spill)
{
    pthread_mutex_lock(&spill->lock);
    if (spill->holds == DPC_SPILL_FINISHED)
        (void)spill->vfs->ops->rename(spill->vfs, spill->path, spill->passed);
    spill->left = spill->holds == DPC_SPILL_TRAINING;
    spill->holds = 0;
    pthread_mutex_unlock(&spill->lock);
}

bool
dpc_spill_is_broken(struct dpc_spill *spill)
{
    pthread_mutex_lock(&spill->lock);
    bool broken = spill->broken;
    pthread_mutex_unlock(&spill->lock);
    return broken;
}

/* --- Writing. */

void
dpc_spill_begin_lease(struct dpc_spill *spill)
{
    spill->last_ns = dpc_clock_ns();
}

bool
dpc_spill_is_due(struct dpc_spill *spill, enum dpc_spill_stage stage)
{
    pthread_mutex_lock(&spill->lock);
    bool steps_kept = spill->holds == DPC_SPILL_TRAINING;
    pthread_mutex_unlock(&spill->lock);
    if (stage == DPC_SPILL_FINISHED && steps_kept)
        return true;
    int64_t since_ns = dpc_clock_ns() - spill->last_ns;
    int64_t least_ns = stage == DPC_SPILL_TRAINING ? DPC_SPILL_PERIOD_MS_MIN * (int64_t)1000000 : 0;
    return since_ns >= least_ns && since_ns / DPC_SPILL_SHARE >= spill->cost_ns[stage];
}

/* The end of a write, good or not: what it took is known either way. */
static int
end_write(struct dpc_spill *spill, int code, struct dpc_error *err)
{
    if (spill->file) {
        spill->vfs->ops->close(spill->file);
        dpc_hasher_abandon(&spill->hasher);
    }
    spill->file = NULL;
    spill->last_ns = dpc_clock_ns();
    spill->cost_ns[spill->stage] = spill->last_ns - spill->begun_ns;
    if (code == DPC_OK)
        return DPC_OK;
    (void)spill->vfs->ops->remove(spill->vfs, spill->temp); /* a full disk gets its bytes back */
    return dpc_error_set(err, code, "could not write \"%s\": %s", spill->path,
                         dpc_error_words(code));
}

static int
write_bytes(struct dpc_spill *spill, const void *bytes, size_t len)
{
    int code = spill->vfs->ops->write(spill->file, bytes, len, spill->at);
    spill->at += len;
    return code;
}

int
dpc_spill_add(struct dpc_spill *spill, const void *bytes, size_t len, struct dpc_error *err)
{
    dpc_hasher_add(&spill->hasher, bytes, len);
    int code = write_bytes(spill, bytes, len);
    return code == DPC_OK ? DPC_OK : end_write(spill, code, err);
}

int
dpc_spill_begin(struct dpc_spill *spill, const struct dpc_spill_record *record,
                struct dpc_error *err)
{
    struct dpc_buf head;
    spill->stage = record->stage;
    spill->begun_ns = dpc_clock_ns();
    spill->at = 0;
    if (dpc_spill_is_broken(spill))
        return end_write(spill, DPC_EIO, err);
    dpc_buf_init(&head, 0);
    int code = put_record(&head, &spill->numeric_class, record, err);
    if (code == DPC_OK)
        code = spill->vfs->ops->open(spill->vfs, spill->temp, DPC_VFS_WRITE | DPC_VFS_CREATE,
                                     &spill->file);
    if (code == DPC_OK) {
        dpc_hasher_start(&spill->hasher);
        code = spill->vfs->ops->truncate(spill->file, 0);
    } else {
        spill->file = NULL;
    }
    code = code == DPC_OK ? dpc_spill_add(spill, head.data, head.len, err)
                          : end_write(spill, code, err);
    dpc_buf_done(&head);
    return code;
}

static int
rename_unless(struct dpc_spill *spill, const atomic_bool *cancelled)
{
    pthread_mutex_lock(&spill->lock);
    int code = cancelled && *cancelled
                   ? DPC_ECANCELLED
                   : spill->vfs->ops->rename(spill->vfs, spill->temp, spill->path);
    if (code == DPC_OK) {
        spill->holds = spill->stage;
        spill->left = false;
        code = spill->vfs->ops->sync_folder(spill->vfs, spill->folder);
        /* Without a descriptor no sync was begun; the next write's does for both. */
        spill->broken = spill->broken || (code != DPC_OK && code != DPC_EFILES);
    }
    pthread_mutex_unlock(&spill->lock);
    return code;
}

static int
sync_file(struct dpc_spill *spill)
{
    int code = spill->vfs->ops->sync(spill->file);
    if (code == DPC_OK)
        return DPC_OK;
    pthread_mutex_lock(&spill->lock);
    spill->broken = true;
    pthread_mutex_unlock(&spill->lock);
    return code;
}

int
dpc_spill_commit(struct dpc_spill *spill, const atomic_bool *cancelled, struct dpc_error *err)
{
    struct dpc_hash hash;
    dpc_hasher_finish(&spill->hasher, &hash);
    int code = write_bytes(spill, hash.bytes, sizeof hash.bytes);
    if (code == DPC_OK)
        code = sync_file(spill);
    spill->vfs->ops->close(spill->file);
    spill->file = NULL;
    if (code == DPC_OK)
        code = rename_unless(spill, cancelled);
    return end_write(spill, code, err);
}

/* --- Life. */

struct dpc_hash
dpc_spill_name_experiment(const struct dpc_experiment *experiment)
{
    struct dpc_hash hash;
    struct dpc_buf text;
    dpc_buf_init(&text, 0);
    dpc_experiment_print(experiment, &text);
    dpc_hash_of(text.data, text.len, &hash);
    dpc_buf_done(&text);
    return hash;
}

void
dpc_spill_set_class(struct dpc_spill *spill, const char *numeric_class)
{
    dpc_hash_of(numeric_class, strlen(numeric_class), &spill->numeric_class);
}

int
dpc_spill_create(const struct dpc_vfs *vfs, const char *folder, struct dpc_spill **ret_spill,
                 struct dpc_error *err)
{
    struct dpc_spill *spill = dpc_alloc(1, sizeof *spill);
    spill->vfs = vfs;
    pthread_mutex_init(&spill->lock, NULL);
    int code = dpc_path_join(folder, "spill", spill->path, sizeof spill->path);
    if (code == DPC_OK)
        code = dpc_path_join(folder, "spill.new", spill->temp, sizeof spill->temp);
    if (code == DPC_OK)
        code = dpc_path_join(folder, "spill.handing-in", spill->passed, sizeof spill->passed);
    if (code != DPC_OK) {
        dpc_spill_destroy(spill);
        return dpc_error_set(err, code, "the name of the folder is too long: %s", folder);
    }
    (void)snprintf(spill->folder, sizeof spill->folder, "%s", folder);
    *ret_spill = spill;
    return DPC_OK;
}

struct dpc_spill *
dpc_spill_destroy(struct dpc_spill *spill)
{
    if (!spill)
        return NULL;
    pthread_mutex_destroy(&spill->lock);
    return dpc_free(spill);
}
