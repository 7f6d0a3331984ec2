/* SPDX-License-Identifier: Apache-2.0
 *
 * The key-value seam: atomic batches, kept or lost whole, in order. `dpc_kv_open_rocks` is the real
 * one; `dpc_kv_open_memory` serves tests and the simulator.
 *
 * Owns: the database. Threads: any, each call by itself.
 * Keys are ordered as unsigned bytes. A batch survives a crash once its write returned; an error of
 * a write is final: the caller stops.
 */
#ifndef DPC_STORAGE_DB_KV_H
#define DPC_STORAGE_DB_KV_H

#include "base/buf.h"
#include "base/error.h"

/* Column families, by lifetime of what they hold. */
enum dpc_kv_family {
    DPC_KV_STATE,   /* one record per live thing: experiment, modules, paths, leases, workers */
    DPC_KV_HISTORY, /* grows: versions, contributions, ledger, results */
    DPC_KV_BLOB,    /* blobs of at most DPC_BLOB_INLINE_MAX */
    DPC_KV_FAMILIES
};

/* A batch is bytes in memory: no I/O until it is written. */
struct dpc_kv_batch {
    struct dpc_buf operations;
    uint32_t count;
};
void dpc_kv_batch_init(struct dpc_kv_batch *batch);
void dpc_kv_batch_done(struct dpc_kv_batch *batch);
void dpc_kv_batch_reset(struct dpc_kv_batch *batch);
void dpc_kv_batch_put(struct dpc_kv_batch *batch, enum dpc_kv_family family, const void *key,
                      size_t key_len, const void *value, size_t value_len);
void dpc_kv_batch_remove(struct dpc_kv_batch *batch, enum dpc_kv_family family, const void *key,
                         size_t key_len);
/* Calls `visit` for each operation in order; value NULL: a removal. For implementations. */
int dpc_kv_batch_each(const struct dpc_kv_batch *batch,
                      void (*visit)(void *context, enum dpc_kv_family family, const uint8_t *key,
                                    size_t key_len, const uint8_t *value, size_t value_len),
                      void *context) DPC_MUST_CHECK;

struct dpc_kv;

struct dpc_kv_ops {
    /* The value in fresh memory (dpc_free it), or DPC_ENOTFOUND. */
    int (*get)(struct dpc_kv *kv, enum dpc_kv_family family, const void *key, size_t key_len,
               uint8_t **ret_value, size_t *ret_len, struct dpc_error *err);
    /* Atomic, and on disk when it returns. */
    int (*write)(struct dpc_kv *kv, const struct dpc_kv_batch *batch, struct dpc_error *err);
    /* Visits keys that begin with `prefix` in order, from `after` (exclusive, may be NULL) on,
     * until `visit` returns false. */
    int (*scan)(struct dpc_kv *kv, enum dpc_kv_family family, const void *prefix, size_t prefix_len,
                const void *after, size_t after_len,
                bool (*visit)(void *context, const uint8_t *key, size_t key_len,
                              const uint8_t *value, size_t value_len),
                void *context, struct dpc_error *err);
    /* A copy of the database as of one write, in `folder`, which must not exist; from any thread,
     * beside everything else. DPC_EUNSUPPORTED where there is no disk. */
    int (*checkpoint)(struct dpc_kv *kv, const char *folder, struct dpc_error *err);
    void (*close)(struct dpc_kv *kv);
};

struct dpc_kv {
    const struct dpc_kv_ops *ops;
};

enum dpc_kv_open_mode { DPC_KV_READ_WRITE, DPC_KV_READ_ONLY };

/* RocksDB in `folder`, made when missing (read-write). WAL recovery TolerateCorruptedTailRecords,
 * checksums verified. Held by another process: DPC_EBUSY. Damage: DPC_ECORRUPT with the way out. */
int dpc_kv_open_rocks(const char *folder, enum dpc_kv_open_mode mode, struct dpc_kv **ret_kv,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* The other process that holds the database in `folder` open for writing; 0: none, or it cannot be
 * told. */
int dpc_kv_rocks_holder(const char *folder);
int dpc_kv_open_memory(struct dpc_kv **ret_kv) DPC_MUST_CHECK;
/* Takes NULL. */
struct dpc_kv *dpc_kv_close(struct dpc_kv *kv);

#endif
