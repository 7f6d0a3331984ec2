/* SPDX-License-Identifier: Apache-2.0
 * What departs from RocksDB's defaults, and why:
 *
 * - Recovery of the write-ahead log tolerates a torn tail (the write that a crash cut off, which
 *   nobody was told of) and refuses anything else. The default, point in time, opens without a word
 *   after one flipped bit and leaves out everything behind it.
 * - track_and_verify_wals_in_manifest stays off: in 7.8 it raises false alarms.
 * - Its own log gets no lines: on a disk that fails the first line fails, and the second one meets
 *   an assertion in Debian's build, so that the daemon would die of what it was about to report.
 *   What a line would say comes as the status of a write as well.
 * - Files are of format 5, which RocksDB reads since 6.6: newer releases write others, and a store
 *   could not go to a machine with an older one, nor a backup.
 * - Values are hashes, counters and small fp32 blobs: nothing to compress.
 * - A coordinator's records are some megabytes: small buffers, one small cache, two threads. */
#include "storage/db/rocks_options.h"

#include "base/limits.h"
#include "base/log.h"

enum { BACKGROUND_JOBS = 2, INFO_LOGS_KEPT = 2, LEVEL_FATAL = 4, FILES_OPEN_MAX = 256, FORMAT = 5 };

static const size_t cache_bytes = 8 * DPC_MIB;
static const size_t wal_bytes_max = 64 * DPC_MIB;

/* Bytes that a family gathers in memory before it writes a file. */
static const size_t buffer_bytes[DPC_KV_FAMILIES + 1] = {4 * DPC_MIB, 4 * DPC_MIB, 16 * DPC_MIB,
                                                         DPC_MIB};

/* Options that RocksDB's C interface cannot set one by one. A library that does not know one (they
 * came and went over the releases) goes on without it. */
static const char *const integrity[] = {
    "paranoid_file_checks=true",             /* a new file is read back and compared */
    "force_consistency_checks=true",         /* levels do not overlap */
    "verify_sst_unique_id_in_manifest=true", /* a file is the one that the manifest means */
    "flush_verify_memtable_count=true",
    "memtable_protection_bytes_per_key=8", /* bits that flip in memory */
    "track_and_verify_wals_in_manifest=false",
};

static void
set_integrity(rocksdb_options_t *options)
{
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_wal_recovery_mode(options,
                                          rocksdb_tolerate_corrupted_tail_records_recovery);
    for (size_t i = 0; i < sizeof integrity / sizeof *integrity; i++) {
        char *status = NULL;
        rocksdb_get_options_from_string(options, integrity[i], options, &status);
        if (status)
            dpc_log_debug("RocksDB option not set option=%s status=\"%s\"", integrity[i], status);
        rocksdb_free(status);
    }
}

static void
set_footprint(rocksdb_options_t *options, enum dpc_kv_open_mode mode)
{
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS);
    rocksdb_options_set_max_total_wal_size(options, wal_bytes_max);
    /* A reader holds all files open, since the writer beside it may remove them at any time. */
    rocksdb_options_set_max_open_files(options, mode == DPC_KV_READ_ONLY ? -1 : FILES_OPEN_MAX);
    /* A log that is to be cut into files would get its heads at any level. */
    rocksdb_options_set_info_log_level(options, LEVEL_FATAL);
    rocksdb_options_set_max_log_file_size(options, 0);
    rocksdb_options_set_keep_log_file_num(options, INFO_LOGS_KEPT);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_stats_persist_period_sec(options, 0);
}

static rocksdb_options_t *
make_family(rocksdb_cache_t *cache, size_t buffer)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    set_integrity(options);
    rocksdb_options_set_write_buffer_size(options, buffer);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_block_based_options_set_format_version(table, FORMAT);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    return options;
}

void
dpc_rocks_options_init(struct dpc_rocks_options *options, enum dpc_kv_open_mode mode)
{
    options->cache = rocksdb_cache_create_lru(cache_bytes);
    options->db = rocksdb_options_create();
    set_integrity(options->db);
    set_footprint(options->db, mode);
    rocksdb_options_set_create_if_missing(options->db, mode == DPC_KV_READ_WRITE);
    rocksdb_options_set_create_missing_column_families(options->db, mode == DPC_KV_READ_WRITE);
    for (size_t i = 0; i < DPC_KV_FAMILIES + 1; i++)
        options->families[i] = make_family(options->cache, buffer_bytes[i]);
}

void
dpc_rocks_options_done(struct dpc_rocks_options *options)
{
    for (size_t i = 0; i < DPC_KV_FAMILIES + 1; i++)
        rocksdb_options_destroy((rocksdb_options_t *)options->families[i]);
    rocksdb_options_destroy(options->db);
    rocksdb_cache_destroy(options->cache);
}
