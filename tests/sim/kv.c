/* SPDX-License-Identifier: Apache-2.0
 * A process's handle on the records: each batch is kept or lost whole, reads may fail. What the
 * batches were is remembered for a while, so that a disk may prove to have lied about the last. */
#include <string.h>

#include "base/alloc.h"
#include "storage/db/ledger.h"
#include "tests/sim/disk.h"

struct sim_kv {
    struct dpc_kv kv; /* first, see handle_of */
    struct sim_disk *disk;
    struct dpc_kv *data;
    struct sim_history *history;
};

static struct sim_kv *
handle_of(struct dpc_kv *kv)
{
    return (struct sim_kv *)kv;
}

static int
kv_get(struct dpc_kv *kv, enum dpc_kv_family family, const void *key, size_t key_len,
       uint8_t **ret_value, size_t *ret_len, struct dpc_error *err)
{
    struct sim_kv *handle = handle_of(kv);
    int code = sim_disk_read_code(handle->disk);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read the database");
    return handle->data->ops->get(handle->data, family, key, key_len, ret_value, ret_len, err);
}

static int
kv_scan(struct dpc_kv *kv, enum dpc_kv_family family, const void *prefix, size_t prefix_len,
        const void *after, size_t after_len,
        bool (*visit)(void *, const uint8_t *, size_t, const uint8_t *, size_t), void *context,
        struct dpc_error *err)
{
    struct sim_kv *handle = handle_of(kv);
    int code = sim_disk_read_code(handle->disk);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read the database");
    return handle->data->ops->scan(handle->data, family, prefix, prefix_len, after, after_len,
                                   visit, context, err);
}

struct undoing {
    struct dpc_kv *data;
    struct dpc_kv_batch *undo;
};

/* A key that a batch names twice gets the same old value twice. */
static void
add_undo(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
         const uint8_t *value, size_t value_len)
{
    struct undoing *undoing = context;
    struct dpc_error err;
    uint8_t *old;
    size_t old_len;
    (void)value, (void)value_len;
    if (undoing->data->ops->get(undoing->data, family, key, key_len, &old, &old_len, &err) !=
        DPC_OK) {
        dpc_kv_batch_remove(undoing->undo, family, key, key_len);
        return;
    }
    dpc_kv_batch_put(undoing->undo, family, key, key_len, old, old_len);
    dpc_free(old);
}

static void
remember(struct sim_history *history, struct dpc_kv *data, const struct dpc_kv_batch *batch)
{
    uint64_t sequence;
    struct dpc_hash hash;
    struct sim_write *write = &history->writes[history->count++ % SIM_HISTORY_MAX];
    dpc_kv_batch_reset(&write->undo);
    dpc_kv_batch_reset(&write->redo);
    int code = dpc_kv_batch_each(batch, add_undo, &(struct undoing){data, &write->undo});
    dpc_buf_put(&write->redo.operations, batch->operations.data, batch->operations.len);
    write->redo.count = batch->count;
    write->ledger = code == DPC_OK && dpc_ledger_in_batch(batch, &sequence, &hash);
    write->promised = false;
}

static int
kv_write(struct dpc_kv *kv, const struct dpc_kv_batch *batch, struct dpc_error *err)
{
    struct sim_kv *handle = handle_of(kv);
    struct sim_history *history = handle->history;
    bool was_dead = sim_disk_is_dead(handle->disk);
    if (sim_disk_is_full(handle->disk))
        return dpc_error_set(err, DPC_ENOSPACE, "could not write to the database: it is full");
    bool ends = sim_disk_strikes(handle->disk);
    /* Nobody knows whether the last write of a process came through. */
    history->kept = !was_dead && (!ends || sim_disk_coin(handle->disk));
    if (history->kept && history->recording)
        remember(history, handle->data, batch);
    int code = history->kept ? handle->data->ops->write(handle->data, batch, err) : DPC_OK;
    return ends ? dpc_error_set(err, DPC_EIO, "could not write to the database") : code;
}

static int
kv_checkpoint(struct dpc_kv *kv, const char *folder, struct dpc_error *err)
{
    (void)kv, (void)folder;
    return dpc_error_set(err, DPC_EUNSUPPORTED, "a simulated database has no files to copy");
}

static void
kv_close(struct dpc_kv *kv)
{
    dpc_free(handle_of(kv));
}

static const struct dpc_kv_ops kv_ops = {
    .get = kv_get,
    .write = kv_write,
    .scan = kv_scan,
    .checkpoint = kv_checkpoint,
    .close = kv_close,
};

struct dpc_kv *
sim_kv_open(struct sim_disk *disk, struct dpc_kv *data, struct sim_history *history)
{
    struct sim_kv *handle = dpc_alloc(1, sizeof *handle);
    *handle = (struct sim_kv){.kv = {&kv_ops}, .disk = disk, .data = data, .history = history};
    return &handle->kv;
}

/* --- A disk that lied. */

void
sim_history_init(struct sim_history *history)
{
    memset(history, 0, sizeof *history);
    for (int i = 0; i < SIM_HISTORY_MAX; i++) {
        dpc_kv_batch_init(&history->writes[i].undo);
        dpc_kv_batch_init(&history->writes[i].redo);
    }
}

void
sim_history_done(struct sim_history *history)
{
    for (int i = 0; i < SIM_HISTORY_MAX; i++) {
        dpc_kv_batch_done(&history->writes[i].undo);
        dpc_kv_batch_done(&history->writes[i].redo);
    }
}

/* The `back`-th write from the end; NULL when it is not remembered. */
static struct sim_write *
write_at(struct sim_history *history, uint32_t back)
{
    if (back >= SIM_HISTORY_MAX || back >= history->count)
        return NULL;
    return &history->writes[(history->count - 1 - back) % SIM_HISTORY_MAX];
}

void
sim_history_promise(struct sim_history *history)
{
    struct sim_write *last = write_at(history, 0);
    if (last)
        last->promised = last->ledger;
}

bool
sim_history_lose(struct sim_history *history, struct dpc_kv *data)
{
    struct dpc_error err;
    uint32_t count = 0;
    while (write_at(history, count) && !write_at(history, count)->promised)
        count++;
    if (!write_at(history, count))
        return false;
    int code = DPC_OK;
    for (uint32_t i = 0; i <= count && code == DPC_OK; i++)
        code = data->ops->write(data, &write_at(history, i)->undo, &err);
    history->undone = count + 1;
    return code == DPC_OK;
}

void
sim_history_restore(struct sim_history *history, struct dpc_kv *data)
{
    struct dpc_error err;
    int code = DPC_OK;
    for (; history->undone > 0 && code == DPC_OK; history->undone--)
        code = data->ops->write(data, &write_at(history, history->undone - 1)->redo, &err);
}
