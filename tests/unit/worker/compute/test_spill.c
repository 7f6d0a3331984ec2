/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compute/spill.h"

#include <string.h>

#include "tests/unit/harness.h"
#include "tests/unit/storage/fault_vfs.h"

enum { VALUES_BYTES = 3000 };

static const char file[] = "/disk/spill", passed_file[] = "/disk/spill.handing-in";

struct rig {
    struct fault_disk *disk;
    struct dpc_spill *spill;
    struct dpc_error err;
    uint8_t values[VALUES_BYTES];
};

static void
open_spill(struct rig *rig)
{
    dpc_spill_destroy(rig->spill);
    CU_ASSERT_EQUAL_FATAL(
        dpc_spill_create(fault_disk_vfs(rig->disk), "/disk", &rig->spill, &rig->err), DPC_OK);
    dpc_spill_set_class(rig->spill, "class a");
}

static void
begin(struct rig *rig)
{
    *rig = (struct rig){.disk = fault_disk_create()};
    for (size_t i = 0; i < VALUES_BYTES; i++)
        rig->values[i] = (uint8_t)(i * 7 + i / 256);
    open_spill(rig);
}

static void
end(struct rig *rig)
{
    dpc_spill_destroy(rig->spill);
    fault_disk_destroy(rig->disk);
}

/* After `steps` steps of lease 9 of incarnation 5, every field another number. */
static struct dpc_spill_record
record_after(uint32_t steps)
{
    struct dpc_spill_record record = {
        .stage = DPC_SPILL_TRAINING,
        .lease = {.token = {5, 9},
                  .kind = DPC_TASK_TRAIN,
                  .path = 3,
                  .round = 4,
                  .step_first = 600,
                  .steps_count = 60,
                  .levels_count = 2,
                  .modules = {1, 2},
                  .time_left_ms = 1000},
        .experiment.bytes = {7},
        .steps_done = steps,
        .tally = {.loss_sum = 1.0 / 3,
                  .last_sum = 0.1,
                  .targets = 1ull << 40,
                  .last_targets = 17,
                  .seconds = 2.5},
        .values_bytes = VALUES_BYTES,
    };
    record.lease.versions[0] = record.lease.versions[1] = (struct dpc_blob_ref){{{8}}, 100};
    record.lease.data = (struct dpc_blob_ref){{{9}}, 1000};
    return record;
}

static int
write_record(struct rig *rig, const struct dpc_spill_record *record, const atomic_bool *cancelled)
{
    size_t first = 1000;
    int code = dpc_spill_begin(rig->spill, record, &rig->err);
    if (code == DPC_OK && record->values_bytes)
        code = dpc_spill_add(rig->spill, rig->values, first, &rig->err);
    if (code == DPC_OK && record->values_bytes)
        code = dpc_spill_add(rig->spill, rig->values + first, VALUES_BYTES - first, &rig->err);
    return code == DPC_OK ? dpc_spill_commit(rig->spill, cancelled, &rig->err) : code;
}

static void
must_write(struct rig *rig, uint32_t steps)
{
    struct dpc_spill_record record = record_after(steps);
    CU_ASSERT_EQUAL_FATAL(write_record(rig, &record, NULL), DPC_OK);
}

static int
load(struct rig *rig, struct dpc_spill_record *ret_record)
{
    return dpc_spill_load(rig->spill, ret_record, &rig->err);
}

static void
what_was_written_is_read(void)
{
    struct rig rig;
    struct dpc_spill_record is, should = record_after(12);
    uint8_t values[VALUES_BYTES];
    begin(&rig);
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_ENOTFOUND);
    must_write(&rig, 11);
    must_write(&rig, 12);
    fault_disk_crash(rig.disk, FAULT_DATA_LOST, FAULT_NAMES_LOST);
    open_spill(&rig);
    CU_ASSERT_EQUAL_FATAL(load(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.stage, DPC_SPILL_TRAINING);
    CU_ASSERT(dpc_token_equal(is.lease.token, should.lease.token));
    CU_ASSERT_EQUAL(is.lease.steps_count, 60);
    CU_ASSERT_EQUAL(is.lease.modules[1], 2);
    CU_ASSERT(dpc_hash_equal(&is.lease.data.hash, &should.lease.data.hash));
    CU_ASSERT(dpc_hash_equal(&is.experiment, &should.experiment));
    CU_ASSERT_EQUAL(is.steps_done, 12);
    CU_ASSERT_EQUAL(memcmp(&is.tally, &should.tally, sizeof is.tally), 0);
    CU_ASSERT_EQUAL(is.values_bytes, VALUES_BYTES);
    CU_ASSERT_EQUAL(dpc_spill_read(rig.spill, values, VALUES_BYTES - 500, 500, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(values, rig.values + 500, VALUES_BYTES - 500), 0);
    dpc_spill_remove(rig.spill);
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_ENOTFOUND);
    end(&rig);
}

static void
a_submission_is_kept_with_its_lease(void)
{
    struct rig rig;
    struct dpc_spill_record is, record = record_after(0);
    begin(&rig);
    record.stage = DPC_SPILL_FINISHED;
    record.values_bytes = 0;
    record.submit = (struct dpc_msg_submit){.token = {5, 9},
                                            .kind = DPC_TASK_TRAIN,
                                            .steps_count = 60,
                                            .tokens = 1234,
                                            .loss = 1.0 / 7,
                                            .parts_count = 1,
                                            .parts[0] = {1, {{{3}}, 300}, 0.3},
                                            .state = {{{4}}, 400}};
    CU_ASSERT_EQUAL_FATAL(write_record(&rig, &record, NULL), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(load(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.stage, DPC_SPILL_FINISHED);
    CU_ASSERT_EQUAL(is.submit.loss, 1.0 / 7);
    CU_ASSERT_EQUAL(is.submit.parts[0].delta.bytes, 300);
    CU_ASSERT_EQUAL(is.submit.parts[0].norm, 0.3);
    CU_ASSERT_EQUAL(is.submit.state.hash.bytes[0], 4);
    end(&rig);
}

/* Every operation of a second write fails in every way, and the machine loses power: what is found
 * is the first write or the second, whole, or none of a lease whose removal was lost. */
static void
a_torn_write_leaves_the_one_before(void)
{
    for (int kind = FAULT_NO_SPACE; kind < FAULT_KINDS; kind++) {
        for (unsigned at = 1;; at++) {
            struct rig rig;
            struct dpc_spill_record is, record = record_after(12);
            begin(&rig);
            must_write(&rig, 11);
            fault_disk_fail_at(rig.disk, at, (enum fault_kind)kind);
            int code = write_record(&rig, &record, NULL);
            bool fired = fault_disk_fired(rig.disk);
            CU_ASSERT(code == DPC_OK || fired);
            bool broken = dpc_spill_is_broken(rig.spill);
            CU_ASSERT(kind == FAULT_DEAD || broken == (kind == FAULT_SYNC && fired));
            fault_disk_crash(rig.disk, (enum fault_data)(at % FAULT_DATA_KINDS),
                             (enum fault_names)(at % FAULT_NAMES_KINDS));
            open_spill(&rig);
            CU_ASSERT_EQUAL_FATAL(load(&rig, &is), DPC_OK);
            CU_ASSERT(is.steps_done == 12 || (is.steps_done == 11 && code != DPC_OK));
            end(&rig);
            if (!fired)
                break;
        }
    }
}

static void
a_flipped_bit_is_found_and_the_file_removed(void)
{
    struct rig rig;
    struct dpc_spill_record is;
    begin(&rig);
    for (size_t byte = 0;; byte += 37) {
        must_write(&rig, 11);
        if (!fault_disk_flip(rig.disk, file, byte))
            break;
        int code = load(&rig, &is);
        CU_ASSERT(code == DPC_ECORRUPT);
        CU_ASSERT_EQUAL(load(&rig, &is), DPC_ENOTFOUND);
    }
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_OK);
    end(&rig);
}

static void
another_class_removes_it(void)
{
    struct rig rig;
    struct dpc_spill_record is;
    begin(&rig);
    must_write(&rig, 11);
    dpc_spill_set_class(rig.spill, "class b");
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_ESTALE);
    dpc_spill_set_class(rig.spill, "class a");
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_ENOTFOUND);
    end(&rig);
}

static void
a_stage_that_is_not_known_removes_it(void)
{
    struct rig rig;
    struct dpc_spill_record is, record = record_after(11);
    begin(&rig);
    record.stage = (enum dpc_spill_stage)0;
    CU_ASSERT_EQUAL_FATAL(write_record(&rig, &record, NULL), DPC_OK);
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_ESTALE);
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_ENOTFOUND);
    end(&rig);
}

static void
what_is_no_spill_is_removed(void)
{
    struct rig rig;
    struct dpc_spill_record is;
    begin(&rig);
    for (size_t len = 0; len < 100; len += 33) {
        CU_ASSERT_EQUAL_FATAL(
            dpc_vfs_write_file(fault_disk_vfs(rig.disk), file, rig.values, len, &rig.err), DPC_OK);
        CU_ASSERT_EQUAL(load(&rig, &is), DPC_ECORRUPT);
        CU_ASSERT_EQUAL(fault_disk_files(rig.disk, "spill"), 0);
    }
    end(&rig);
}

static void
a_lease_that_ended_meanwhile_writes_nothing(void)
{
    struct rig rig;
    struct dpc_spill_record is, record = record_after(12);
    atomic_bool cancelled = true;
    begin(&rig);
    CU_ASSERT_EQUAL(write_record(&rig, &record, &cancelled), DPC_ECANCELLED);
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(fault_disk_files(rig.disk, "spill"), 0);
    cancelled = false;
    CU_ASSERT_EQUAL(write_record(&rig, &record, &cancelled), DPC_OK);
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_OK);
    end(&rig);
}

/* A result is worth writing at once; steps not before a second has gone into them. */
static void
writes_are_due_by_what_they_cost(void)
{
    struct rig rig;
    begin(&rig);
    dpc_spill_begin_lease(rig.spill);
    CU_ASSERT_FALSE(dpc_spill_is_due(rig.spill, DPC_SPILL_TRAINING));
    CU_ASSERT(dpc_spill_is_due(rig.spill, DPC_SPILL_FINISHED));
    must_write(&rig, 11);
    CU_ASSERT_FALSE(dpc_spill_is_due(rig.spill, DPC_SPILL_TRAINING));
    end(&rig);
}

/* --- The lease that is handed in. */

/* The result of the lease of that serial. */
static void
must_write_result(struct rig *rig, uint64_t serial)
{
    struct dpc_spill_record record = record_after(0);
    record.stage = DPC_SPILL_FINISHED;
    record.values_bytes = 0;
    record.lease.token.serial = serial;
    record.submit = (struct dpc_msg_submit){.token = record.lease.token,
                                            .kind = DPC_TASK_TRAIN,
                                            .steps_count = 60,
                                            .loss = 1.0 / (double)serial,
                                            .parts_count = 1,
                                            .parts[0] = {1, {{{3}}, 300}, 0.3}};
    CU_ASSERT_EQUAL_FATAL(write_record(rig, &record, NULL), DPC_OK);
}

static int
load_passed(struct rig *rig, struct dpc_spill_record *ret_record)
{
    return dpc_spill_load_passed(rig->spill, ret_record, &rig->err);
}

static void
a_result_passes_and_leaves_room_for_the_next_lease(void)
{
    struct rig rig;
    struct dpc_spill_record is;
    uint8_t values[VALUES_BYTES];
    begin(&rig);
    CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_ENOTFOUND);
    must_write_result(&rig, 9);
    dpc_spill_pass(rig.spill);
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL_FATAL(load_passed(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.stage, DPC_SPILL_FINISHED);
    CU_ASSERT_EQUAL(is.submit.token.serial, 9);
    CU_ASSERT_EQUAL(is.submit.parts[0].delta.bytes, 300);
    must_write(&rig, 12); /* the next lease's */
    CU_ASSERT_EQUAL_FATAL(load(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.steps_done, 12);
    CU_ASSERT_EQUAL_FATAL(load_passed(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.submit.token.serial, 9);
    /* Looking at the one does not change where the values of the other are. */
    CU_ASSERT_EQUAL(dpc_spill_read(rig.spill, values, VALUES_BYTES, 0, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(values, rig.values, VALUES_BYTES), 0);
    dpc_spill_remove(rig.spill);
    CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_OK);
    end(&rig);
}

static void
a_restart_sees_both(void)
{
    struct rig rig;
    struct dpc_spill_record is;
    for (int finished = 0; finished < 2; finished++) {
        begin(&rig);
        must_write_result(&rig, 8);
        dpc_spill_pass(rig.spill);
        if (finished)
            must_write_result(&rig, 9);
        else
            must_write(&rig, 12);
        fault_disk_crash(rig.disk, FAULT_DATA_LOST, FAULT_NAMES_LOST);
        open_spill(&rig);
        CU_ASSERT_EQUAL_FATAL(load_passed(&rig, &is), DPC_OK);
        CU_ASSERT_EQUAL(is.submit.token.serial, 8);
        CU_ASSERT_EQUAL_FATAL(load(&rig, &is), DPC_OK);
        CU_ASSERT_EQUAL(is.lease.token.serial, 9);
        CU_ASSERT_EQUAL(is.stage, finished ? DPC_SPILL_FINISHED : DPC_SPILL_TRAINING);
        dpc_spill_pass(rig.spill); /* takes the place of what is over */
        CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_OK);
        CU_ASSERT_EQUAL(is.submit.token.serial, finished ? 9 : 8);
        CU_ASSERT_EQUAL(load(&rig, &is), finished ? DPC_ENOTFOUND : DPC_OK);
        end(&rig);
    }
}

/* Steps whose result was not worth a write stay where they are, for the next process. */
static void
what_is_not_finished_does_not_pass(void)
{
    struct rig rig;
    struct dpc_spill_record is;
    begin(&rig);
    dpc_spill_pass(rig.spill); /* with nothing there */
    CU_ASSERT_EQUAL(fault_disk_files(rig.disk, "spill"), 0);
    must_write_result(&rig, 8);
    dpc_spill_pass(rig.spill);
    must_write(&rig, 12);
    dpc_spill_pass(rig.spill);
    CU_ASSERT_EQUAL_FATAL(load_passed(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.submit.token.serial, 8);
    CU_ASSERT_EQUAL_FATAL(load(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.stage, DPC_SPILL_TRAINING);
    CU_ASSERT_EQUAL(is.steps_done, 12);
    dpc_spill_remove_passed(rig.spill); /* and with it what was left of that */
    CU_ASSERT_EQUAL(fault_disk_files(rig.disk, "spill"), 0);
    must_write(&rig, 12);
    dpc_spill_pass(rig.spill);
    must_write(&rig, 13); /* the next lease's */
    dpc_spill_remove_passed(rig.spill);
    CU_ASSERT_EQUAL_FATAL(load(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.steps_done, 13);
    end(&rig);
}

static void
what_has_passed_is_removed_alone(void)
{
    struct rig rig;
    struct dpc_spill_record is;
    begin(&rig);
    dpc_spill_remove_passed(rig.spill); /* there is none */
    must_write_result(&rig, 8);
    dpc_spill_pass(rig.spill);
    must_write_result(&rig, 9);
    dpc_spill_remove_passed(rig.spill);
    CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL_FATAL(load(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.lease.token.serial, 9);
    end(&rig);
}

/* The first file, as it is, in the second one's place. */
static void
move_to_passed(struct rig *rig)
{
    const struct dpc_vfs *vfs = fault_disk_vfs(rig->disk);
    CU_ASSERT_EQUAL_FATAL(vfs->ops->rename(vfs, file, passed_file), DPC_OK);
}

static void
what_has_passed_is_not_trusted_either(void)
{
    struct rig rig;
    struct dpc_spill_record is;
    begin(&rig);
    for (size_t byte = 0;; byte += 37) {
        must_write_result(&rig, 8);
        dpc_spill_pass(rig.spill);
        must_write(&rig, 12);
        if (!fault_disk_flip(rig.disk, passed_file, byte))
            break;
        CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, passed_file));
        CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_ENOTFOUND);
        CU_ASSERT_EQUAL(load(&rig, &is), DPC_OK);
    }
    CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_OK);
    must_write(&rig, 12);
    move_to_passed(&rig); /* steps, and no result */
    CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, passed_file));
    CU_ASSERT_EQUAL(fault_disk_files(rig.disk, "spill"), 0);
    must_write_result(&rig, 8);
    dpc_spill_pass(rig.spill);
    dpc_spill_set_class(rig.spill, "class b");
    CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_ESTALE);
    dpc_spill_set_class(rig.spill, "class a");
    CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_ENOTFOUND);
    end(&rig);
}

/* Every operation of passing fails in every way, and the machine loses power: the result is found
 * in the one place or the other, whole, and beside it what passed before or nothing. */
static void
a_torn_passing_loses_no_result(void)
{
    for (int kind = FAULT_NO_SPACE; kind < FAULT_KINDS; kind++) {
        for (unsigned at = 1;; at++) {
            struct rig rig;
            struct dpc_spill_record passed, is;
            begin(&rig);
            must_write_result(&rig, 8);
            dpc_spill_pass(rig.spill);
            must_write_result(&rig, 9);
            fault_disk_fail_at(rig.disk, at, (enum fault_kind)kind);
            dpc_spill_pass(rig.spill);
            bool fired = fault_disk_fired(rig.disk);
            fault_disk_crash(rig.disk, (enum fault_data)(at % FAULT_DATA_KINDS),
                             (enum fault_names)(at % FAULT_NAMES_KINDS));
            open_spill(&rig);
            CU_ASSERT_EQUAL_FATAL(load_passed(&rig, &passed), DPC_OK);
            int code = load(&rig, &is);
            CU_ASSERT_EQUAL(code, passed.submit.token.serial == 9 ? DPC_ENOTFOUND : DPC_OK);
            CU_ASSERT(code != DPC_OK || is.submit.token.serial == 9);
            end(&rig);
            if (!fired)
                break;
        }
    }
}

static void
what_cannot_be_opened_now_is_not_removed(void)
{
    struct rig rig;
    struct dpc_spill_record is;
    begin(&rig);
    must_write_result(&rig, 8);
    dpc_spill_pass(rig.spill);
    must_write(&rig, 12);
    fault_disk_fail_at(rig.disk, 1, FAULT_NO_FILES);
    CU_ASSERT_EQUAL(load(&rig, &is), DPC_EFILES);
    fault_disk_fail_at(rig.disk, 1, FAULT_NO_FILES);
    CU_ASSERT_EQUAL(load_passed(&rig, &is), DPC_EFILES);
    CU_ASSERT_EQUAL_FATAL(load(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.steps_done, 12);
    CU_ASSERT_EQUAL_FATAL(load_passed(&rig, &is), DPC_OK);
    CU_ASSERT_EQUAL(is.submit.token.serial, 8);
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"what cannot be opened now is not removed", what_cannot_be_opened_now_is_not_removed},
    {"what was written is read", what_was_written_is_read},
    {"a submission is kept with its lease", a_submission_is_kept_with_its_lease},
    {"a torn write leaves the one before", a_torn_write_leaves_the_one_before},
    {"a flipped bit is found and the file removed", a_flipped_bit_is_found_and_the_file_removed},
    {"another class removes it", another_class_removes_it},
    {"a stage that is not known removes it", a_stage_that_is_not_known_removes_it},
    {"what is no spill is removed", what_is_no_spill_is_removed},
    {"a lease that ended meanwhile writes nothing", a_lease_that_ended_meanwhile_writes_nothing},
    {"writes are due by what they cost", writes_are_due_by_what_they_cost},
    {"a result passes and leaves room for the next lease",
     a_result_passes_and_leaves_room_for_the_next_lease},
    {"a restart sees both", a_restart_sees_both},
    {"what is not finished does not pass", what_is_not_finished_does_not_pass},
    {"what has passed is removed alone", what_has_passed_is_removed_alone},
    {"what has passed is not trusted either", what_has_passed_is_not_trusted_either},
    {"a torn passing loses no result", a_torn_passing_loses_no_result},
};
DPC_TEST_MAIN("worker/spill", tests)
