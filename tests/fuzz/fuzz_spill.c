/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in a worker's folder: a spill that is trusted is one that could be written, and
 * the count of its traffic is kept or begun anew.
 *
 * The first byte of an input says which of them it is. The hash behind a spill would stop nearly
 * every mutation, so that it is put right.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/storage/fault_vfs.h"
#include "worker/owner/allowance.h"
#include "worker/compute/spill.h"

static const char spill_path[] = "/disk/spill", traffic_path[] = "/disk/traffic.json";

static struct dpc_spill *
open_spill(const struct dpc_vfs *vfs)
{
    struct dpc_spill *spill;
    fuzz_require(dpc_spill_create(vfs, "/disk", &spill, NULL) == DPC_OK, "a folder");
    dpc_spill_set_class(spill, "class");
    return spill;
}

static void
write_file(const struct dpc_vfs *vfs, const char *path, const struct dpc_buf *bytes)
{
    fuzz_require(dpc_vfs_write_file(vfs, path, bytes->data, bytes->len, NULL) == DPC_OK, path);
}

static void
write_spill(struct dpc_spill *spill, const struct dpc_spill_record *record, const uint8_t *values)
{
    fuzz_require(dpc_spill_begin(spill, record, NULL) == DPC_OK &&
                     dpc_spill_add(spill, values, record->values_bytes, NULL) == DPC_OK &&
                     dpc_spill_commit(spill, NULL, NULL) == DPC_OK,
                 "a spill is written");
}

static void
write_again(struct dpc_spill *spill, const struct dpc_spill_record *record)
{
    struct dpc_spill_record again;
    uint8_t *values = dpc_alloc(record->values_bytes, 1);
    fuzz_require(dpc_spill_read(spill, values, record->values_bytes, 0, NULL) == DPC_OK,
                 "values are in the file");
    write_spill(spill, record, values);
    fuzz_require(dpc_spill_load(spill, &again, NULL) == DPC_OK && again.stage == record->stage &&
                     again.steps_done == record->steps_done &&
                     again.values_bytes == record->values_bytes &&
                     memcmp(&again.tally, &record->tally, sizeof again.tally) == 0 &&
                     dpc_token_equal(again.lease.token, record->lease.token),
                 "a spill that was written is read");
    dpc_free(values);
}

static void
read_spill(const struct dpc_vfs *vfs, const uint8_t *bytes, size_t len)
{
    struct dpc_spill *spill = open_spill(vfs);
    struct dpc_spill_record record;
    struct dpc_hash hash;
    struct dpc_error err;
    struct dpc_buf file;
    dpc_buf_init(&file, 0);
    dpc_buf_put(&file, bytes, len);
    dpc_hash_of(file.data, file.len, &hash);
    dpc_buf_put(&file, hash.bytes, sizeof hash.bytes);
    write_file(vfs, spill_path, &file);
    if (dpc_spill_load(spill, &record, &err) == DPC_OK) {
        fuzz_accepted++;
        fuzz_require(record.stage < DPC_SPILL_STAGES, "a spill is of a stage");
        fuzz_require(record.lease.levels_count <= DPC_LEVELS_MAX, "a lease has levels");
        fuzz_require(record.values_bytes < len, "values are within the file");
        write_again(spill, &record);
    }
    dpc_buf_done(&file);
    dpc_spill_destroy(spill);
}

static void
read_traffic(const struct dpc_vfs *vfs, const uint8_t *bytes, size_t len)
{
    static const struct dpc_allowance_options options = {.up_kib_s = 1, .month_gib = 1};
    struct dpc_error err = {0};
    struct dpc_buf file;
    dpc_buf_init(&file, 0);
    dpc_buf_put(&file, bytes, len);
    write_file(vfs, traffic_path, &file);
    struct dpc_allowance *allowance = dpc_allowance_open(vfs, "/disk", &options, &err);
    fuzz_accepted += err.code == DPC_OK;
    for (int64_t day = 1; day < 4; day++) {
        int64_t now_ms = day * 86400000, wall_s = 1800000000 + 86400 * day, until_s = 0;
        if (dpc_allowance_is_used_up(allowance, now_ms, wall_s, &until_s))
            fuzz_require(until_s > wall_s, "a month ends");
        (void)dpc_allowance_count(allowance, now_ms, wall_s);
    }
    fuzz_require(dpc_allowance_save(allowance, 5 * 86400000, true, &err) == DPC_OK, "it is saved");
    dpc_allowance_close(allowance);
    dpc_buf_done(&file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct fault_disk *disk = fault_disk_create();
    if (data[0] % 2)
        read_traffic(fault_disk_vfs(disk), data + 1, size - 1);
    else
        read_spill(fault_disk_vfs(disk), data + 1, size - 1);
    fault_disk_destroy(disk);
    return 0;
}

#ifndef DPC_LIBFUZZER

static void
add_spill(struct fuzz *fuzz, const struct dpc_spill_record *record)
{
    static const uint8_t values[64] = {1, 2, 3};
    struct fault_disk *disk = fault_disk_create();
    struct dpc_spill *spill = open_spill(fault_disk_vfs(disk));
    struct dpc_buf input;
    uint8_t *bytes;
    size_t len;
    write_spill(spill, record, values);
    fuzz_require(dpc_vfs_read_file(fault_disk_vfs(disk), spill_path, 1 << 16, &bytes, &len, NULL) ==
                     DPC_OK,
                 "a spill is there");
    dpc_buf_init(&input, 0);
    dpc_buf_put_u8(&input, 0);
    dpc_buf_put(&input, bytes, len - DPC_HASH_BYTES);
    fuzz_valid(fuzz, input.data, input.len, 0);
    dpc_buf_done(&input);
    dpc_free(bytes);
    dpc_spill_destroy(spill);
    fault_disk_destroy(disk);
}

static void
add_inputs(struct fuzz *fuzz)
{
    static const char traffic[] = "\1{\"day\": 20270115, \"day_up\": 10, \"day_down\": 20, "
                                  "\"month_up\": 1073741824, \"month_down\": 3}";
    struct dpc_spill_record record = {
        .stage = DPC_SPILL_TRAINING,
        .lease = {.token = {5, 9},
                  .kind = DPC_TASK_TRAIN,
                  .steps_count = 60,
                  .levels_count = 2,
                  .modules = {1, 2},
                  .time_left_ms = 1000},
        .steps_done = 12,
        .tally = {.loss_sum = 1.0 / 3, .targets = 1ULL << 40, .seconds = 2.5},
        .values_bytes = 64,
    };
    add_spill(fuzz, &record);
    record.stage = DPC_SPILL_FINISHED;
    record.values_bytes = 0;
    record.submit = (struct dpc_msg_submit){
        .token = {5, 9}, .kind = DPC_TASK_TRAIN, .steps_count = 60, .tokens = 1234, .loss = 0.5};
    add_spill(fuzz, &record);
    fuzz_valid(fuzz, traffic, sizeof traffic - 1, 0);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 5000, add_inputs);
}

#endif
