/* SPDX-License-Identifier: Apache-2.0
 *
 * How we run RocksDB: integrity first, then little memory and few threads.
 *
 * Owns: the option objects and the block cache. Threads: one at a time.
 * Not here: anything that another folder calls.
 */
#ifndef DPC_STORAGE_DB_ROCKS_OPTIONS_H
#define DPC_STORAGE_DB_ROCKS_OPTIONS_H

#include <rocksdb/c.h>

#include "storage/db/kv.h"

struct dpc_rocks_options {
    rocksdb_options_t *db;
    /* In the order of `enum dpc_kv_family`, then the one that RocksDB calls "default". */
    const rocksdb_options_t *families[DPC_KV_FAMILIES + 1];
    rocksdb_cache_t *cache;
};

void dpc_rocks_options_init(struct dpc_rocks_options *options, enum dpc_kv_open_mode mode);
void dpc_rocks_options_done(struct dpc_rocks_options *options);

#endif
