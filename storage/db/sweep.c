/* SPDX-License-Identifier: Apache-2.0
 * Removing what nothing needs. Deciding and removing are one step under the lock of the touched
 * blobs: whoever touches one later finds it gone and writes it anew, whoever touched it before
 * keeps it. Nothing is recorded, so a sweep that a crash broke off is simply begun again. */
#include <string.h>

#include "base/buf.h"
#include "storage/db/store_parts.h"

/* Removals in one write: the lock is held while it lasts. */
enum { INLINE_REMOVALS_MAX = 256 };

/* A blob in the database that nobody keeps. */
struct candidate {
    struct dpc_hash hash;
    uint64_t bytes;
};

struct sweep {
    struct dpc_store *store;
    uint64_t horizon;
    bool (*keep)(void *context, const struct dpc_hash *hash);
    void *context;
    struct dpc_buf candidates; /* structs of that name */
    struct dpc_swept swept;
    int code;
};

static bool
is_touched(const struct sweep *sweep, const struct dpc_hash *hash)
{
    return dpc_touched_since(sweep->store->touched, hash, sweep->horizon);
}

static void
count_kept(struct sweep *sweep, uint64_t bytes)
{
    sweep->swept.kept++;
    sweep->swept.kept_bytes += bytes;
}

static void
sweep_file(void *context, const struct dpc_hash *hash, uint64_t bytes)
{
    struct sweep *sweep = context;
    if (sweep->code != DPC_OK)
        return;
    bool kept = sweep->keep(sweep->context, hash);
    dpc_touched_lock(sweep->store->touched);
    kept |= is_touched(sweep, hash);
    if (!kept)
        sweep->code = dpc_blobs_remove(sweep->store->blobs, hash);
    dpc_touched_unlock(sweep->store->touched);
    if (kept) {
        count_kept(sweep, bytes);
    } else if (sweep->code == DPC_OK) {
        sweep->swept.removed++;
        sweep->swept.removed_bytes += bytes;
    }
}

static void
sweep_partial(void *context, const struct dpc_hash *hash)
{
    struct sweep *sweep = context;
    dpc_touched_lock(sweep->store->touched);
    if (!is_touched(sweep, hash)) {
        dpc_blobs_discard(sweep->store->blobs, hash);
        sweep->swept.partials++;
    }
    dpc_touched_unlock(sweep->store->touched);
}

static bool
collect_inline(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
               size_t value_len)
{
    (void)value;
    struct sweep *sweep = context;
    struct candidate candidate = {.bytes = value_len};
    if (key_len != sizeof candidate.hash.bytes) {
        sweep->code = DPC_ECORRUPT;
        return false;
    }
    memcpy(candidate.hash.bytes, key, key_len);
    if (sweep->keep(sweep->context, &candidate.hash))
        count_kept(sweep, value_len);
    else
        dpc_buf_put(&sweep->candidates, &candidate, sizeof candidate);
    return true;
}

/* As many candidates as one write takes, from place `*at` on; those touched meanwhile stay. */
static int
remove_some(struct sweep *sweep, size_t *at, struct dpc_error *err)
{
    struct dpc_kv_batch batch;
    struct candidate candidate;
    int code = DPC_OK;
    dpc_kv_batch_init(&batch);
    dpc_touched_lock(sweep->store->touched);
    for (; *at < sweep->candidates.len && batch.count < INLINE_REMOVALS_MAX;
         *at += sizeof candidate) {
        memcpy(&candidate, sweep->candidates.data + *at, sizeof candidate);
        if (is_touched(sweep, &candidate.hash)) {
            count_kept(sweep, candidate.bytes);
            continue;
        }
        dpc_kv_batch_remove(&batch, DPC_KV_BLOB, candidate.hash.bytes, sizeof candidate.hash.bytes);
        sweep->swept.removed++;
        sweep->swept.removed_bytes += candidate.bytes;
    }
    if (batch.count)
        code = dpc_store_write(sweep->store, &batch, err);
    dpc_touched_unlock(sweep->store->touched);
    dpc_kv_batch_done(&batch);
    return code;
}

static int
sweep_inline(struct sweep *sweep, struct dpc_error *err)
{
    struct dpc_kv *kv = sweep->store->kv;
    size_t at = 0;
    int code = kv->ops->scan(kv, DPC_KV_BLOB, "", 0, NULL, 0, collect_inline, sweep, err);
    if (sweep->candidates.failed)
        sweep->code = DPC_ENOMEM;
    while (code == DPC_OK && sweep->code == DPC_OK && at < sweep->candidates.len)
        code = remove_some(sweep, &at, err);
    return code;
}

static int
sweep_all(struct sweep *sweep, struct dpc_error *err)
{
    int code = dpc_blobs_list(sweep->store->blobs, sweep_file, sweep, err);
    if (code == DPC_OK && sweep->code == DPC_OK)
        code = dpc_blobs_list_partials(sweep->store->blobs, sweep_partial, sweep, err);
    if (code == DPC_OK && sweep->code == DPC_OK)
        code = sweep_inline(sweep, err);
    if (code == DPC_OK && sweep->code != DPC_OK)
        code = dpc_error_set(err, sweep->code, "could not remove blobs that nobody needs: %s",
                             dpc_error_words(sweep->code));
    return code;
}

uint64_t
dpc_store_touches(struct dpc_store *store)
{
    return dpc_touched_count(store->touched);
}

int
dpc_store_sweep(struct dpc_store *store, uint64_t horizon,
                bool (*keep)(void *context, const struct dpc_hash *hash), void *context,
                struct dpc_swept *ret_swept, struct dpc_error *err)
{
    struct sweep sweep = {.store = store, .horizon = horizon, .keep = keep, .context = context};
    int code = dpc_store_writable(store, err);
    if (code != DPC_OK)
        return code;
    dpc_touched_forget(store->touched, horizon);
    dpc_buf_init(&sweep.candidates, 0);
    code = sweep_all(&sweep, err);
    dpc_buf_done(&sweep.candidates);
    if (code == DPC_OK)
        *ret_swept = sweep.swept;
    return code;
}
