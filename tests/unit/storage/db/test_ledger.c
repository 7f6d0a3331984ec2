/* SPDX-License-Identifier: Apache-2.0
 * The chain of the ledger: read from anywhere, and what was done to it behind its back noticed. */
#include "storage/db/records.h"

#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"

static struct dpc_kv *kv;
static struct dpc_error err;

static void
write_and_reset(struct dpc_kv_batch *batch)
{
    CU_ASSERT_EQUAL(kv->ops->write(kv, batch, &err), DPC_OK);
    dpc_kv_batch_reset(batch);
}

static bool
ignore_ledger(void *context, const struct dpc_ledger_record *record)
{
    (void)context, (void)record;
    return true;
}

enum { LEDGER_COUNT = 5 };

static struct dpc_hash ledger_hashes[LEDGER_COUNT];

static void
put_entry(struct dpc_kv_batch *batch, uint64_t sequence, const struct dpc_hash *previous,
          struct dpc_hash *ret_hash)
{
    struct dpc_ledger_entry entries[3];
    for (uint32_t i = 0; i < 3; i++) {
        entries[i] = (struct dpc_ledger_entry){.path = i, .lease = sequence * 10 + i, .weight = 1};
        memset(entries[i].worker, (int)i, sizeof entries[i].worker);
    }
    struct dpc_ledger_record record = {
        .sequence = sequence,
        .module = (uint32_t)sequence % 2,
        .version = (uint32_t)sequence,
        .rescale = 1.5,
        .previous = *previous,
        .entries_count = sequence % 4, /* none, too */
        .entries = entries,
    };
    dpc_put_ledger(batch, &record, ret_hash);
}

/* `first`: sequence of the first entry. With `phase`, a phase record holds the end of the chain. */
static void
make_ledger(uint64_t first, bool phase)
{
    struct dpc_kv_batch batch;
    struct dpc_hash previous = dpc_hash_none;
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
    dpc_kv_batch_init(&batch);
    for (uint64_t i = 0; i < LEDGER_COUNT; i++) {
        put_entry(&batch, first + i, &previous, &ledger_hashes[i]);
        previous = ledger_hashes[i];
    }
    if (phase)
        dpc_put_phase(&batch, &(struct dpc_phase_record){.ledger_next = first + LEDGER_COUNT,
                                                         .ledger_head = previous});
    write_and_reset(&batch);
    dpc_kv_batch_done(&batch);
}

struct ledger_seen {
    unsigned count, stop_after;
    uint64_t first, last;
    double weights;
};

static bool
note_ledger(void *context, const struct dpc_ledger_record *record)
{
    struct ledger_seen *seen = context;
    if (seen->count++ == 0)
        seen->first = record->sequence;
    seen->last = record->sequence;
    for (uint32_t i = 0; i < record->entries_count; i++) {
        CU_ASSERT_EQUAL(record->entries[i].lease, record->sequence * 10 + i);
        CU_ASSERT_EQUAL(record->entries[i].worker[31], i);
        seen->weights += record->entries[i].weight;
    }
    return seen->count != seen->stop_after;
}

static void
the_ledger_is_read_in_order_from_anywhere(void)
{
    for (uint64_t first = 0; first < 2; first++) {
        make_ledger(first, true);
        for (uint64_t from = 0; from <= first + LEDGER_COUNT; from++) {
            struct ledger_seen seen = {0};
            CU_ASSERT_EQUAL(dpc_scan_ledger(kv, from, note_ledger, &seen, &err), DPC_OK);
            uint64_t begin = from > first ? from : first;
            CU_ASSERT_EQUAL(seen.count, first + LEDGER_COUNT - begin);
            CU_ASSERT(seen.count == 0 || seen.first == begin);
            CU_ASSERT(seen.count == 0 || seen.last == first + LEDGER_COUNT - 1);
        }
        struct ledger_seen seen = {.stop_after = 2};
        CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 0, note_ledger, &seen, &err), DPC_OK);
        CU_ASSERT_EQUAL(seen.count, 2);
        dpc_kv_close(kv);
    }
}

static void
an_empty_ledger_is_whole(void)
{
    struct dpc_kv_batch batch;
    struct ledger_seen seen = {0};
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 0, note_ledger, &seen, &err), DPC_OK);
    dpc_kv_batch_init(&batch);
    dpc_put_phase(&batch, &(struct dpc_phase_record){.ledger_next = 1});
    write_and_reset(&batch);
    CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 0, note_ledger, &seen, &err), DPC_OK);
    CU_ASSERT_EQUAL(seen.count, 0);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static void
remove_entry(uint64_t sequence)
{
    struct dpc_kv_batch batch;
    uint8_t key[9] = {'L'};
    key[8] = (uint8_t)sequence;
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_remove(&batch, DPC_KV_HISTORY, key, sizeof key);
    write_and_reset(&batch);
    dpc_kv_batch_done(&batch);
}

static void
an_entry_taken_out_is_noticed(void)
{
    for (uint64_t out = 0; out < LEDGER_COUNT; out++) {
        struct ledger_seen seen = {0};
        make_ledger(0, true);
        remove_entry(out);
        CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 0, note_ledger, &seen, &err), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ledger is damaged"));
        CU_ASSERT_EQUAL(seen.count, out);
        dpc_kv_close(kv);
    }
}

/* Any byte of any entry but the last is held by the next one, the last by the phase record. */
static void
a_tampered_entry_is_noticed(void)
{
    for (uint64_t which = 0; which < LEDGER_COUNT; which++) {
        const uint8_t key[9] = {[0] = 'L', [8] = (uint8_t)which};
        struct dpc_kv_batch batch;
        uint8_t *value;
        size_t len;
        make_ledger(0, true);
        dpc_kv_batch_init(&batch);
        CU_ASSERT_EQUAL_FATAL(kv->ops->get(kv, DPC_KV_HISTORY, key, sizeof key, &value, &len, &err),
                              DPC_OK);
        for (size_t i = 1; i < len; i++) {
            value[i] ^= 0x20;
            dpc_kv_batch_put(&batch, DPC_KV_HISTORY, key, sizeof key, value, len);
            write_and_reset(&batch);
            CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 0, ignore_ledger, NULL, &err), DPC_ECORRUPT);
            value[i] ^= 0x20;
        }
        dpc_kv_batch_done(&batch);
        dpc_free(value);
        dpc_kv_close(kv);
    }
}

static void
another_ledger_in_its_place_is_noticed(void)
{
    struct dpc_kv_batch batch;
    struct dpc_hash hash;
    make_ledger(0, true);
    dpc_kv_batch_init(&batch);
    put_entry(&batch, 3, &ledger_hashes[1], &hash); /* skips an entry */
    write_and_reset(&batch);
    CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 0, ignore_ledger, NULL, &err), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 3, ignore_ledger, NULL, &err), DPC_ECORRUPT);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

/* The chain is whole here, the numbers are not. */
static void
a_number_left_out_is_noticed(void)
{
    struct dpc_kv_batch batch;
    struct dpc_hash hash;
    make_ledger(0, false);
    dpc_kv_batch_init(&batch);
    put_entry(&batch, LEDGER_COUNT + 1, &ledger_hashes[LEDGER_COUNT - 1], &hash);
    write_and_reset(&batch);
    CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 0, ignore_ledger, NULL, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "entry 5 is missing"));
    CU_ASSERT_EQUAL(dpc_scan_ledger(kv, LEDGER_COUNT, ignore_ledger, NULL, &err), DPC_ECORRUPT);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static void
a_gap_before_the_first_is_noticed(void)
{
    make_ledger(0, true);
    remove_entry(2);
    remove_entry(3);
    CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 3, ignore_ledger, NULL, &err), DPC_ECORRUPT);
    dpc_kv_close(kv);
}

/* Its bytes, before memory is asked for: an entry takes 100 bytes, and there are those of 3. */
static void
a_count_without_entries_is_damage(void)
{
    static const uint32_t counts[] = {4, DPC_CONTRIBUTION_ENTRIES_MAX, UINT32_MAX};
    const uint8_t key[9] = {[0] = 'L', [8] = 3};
    struct dpc_ledger_record record;
    uint8_t *value;
    size_t len, at;
    make_ledger(0, true);
    CU_ASSERT_EQUAL_FATAL(kv->ops->get(kv, DPC_KV_HISTORY, key, sizeof key, &value, &len, &err),
                          DPC_OK);
    at = len - 3 * 100 - 4;
    CU_ASSERT(value[at] == 3 && value[at + 1] == 0);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct dpc_kv_batch batch;
        dpc_kv_batch_init(&batch);
        for (int k = 0; k < 4; k++)
            value[at + (size_t)k] = (uint8_t)(counts[i] >> (8 * k));
        dpc_kv_batch_put(&batch, DPC_KV_HISTORY, key, sizeof key, value, len);
        write_and_reset(&batch);
        CU_ASSERT_EQUAL(dpc_load_ledger(kv, 3, &record, &err), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "impossible number of entries"));
        dpc_kv_batch_done(&batch);
    }
    dpc_free(value);
    dpc_kv_close(kv);
}

/* Elastic mode: all of them in time, and one of the round before that came late. */
static void
each_path_may_stand_twice(void)
{
    const uint32_t count = DPC_PATHS_MAX + 1;
    struct dpc_ledger_record record = {
        .sequence = 3, .module = 1, .version = 1, .entries_count = count};
    struct dpc_ledger_record again;
    struct dpc_kv_batch batch;
    struct dpc_hash hash;
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
    record.entries = dpc_alloc(count, sizeof *record.entries);
    for (uint32_t i = 0; i < count; i++)
        record.entries[i] = (struct dpc_ledger_entry){.path = i / 2, .lease = i + 1, .late = i & 1};
    dpc_kv_batch_init(&batch);
    dpc_put_ledger(&batch, &record, &hash);
    write_and_reset(&batch);
    CU_ASSERT_EQUAL_FATAL(dpc_load_ledger(kv, 3, &again, &err), DPC_OK);
    CU_ASSERT_EQUAL(again.entries_count, count);
    CU_ASSERT(again.entries[count - 1].lease == count && again.entries[1].late == 1);
    dpc_free(again.entries);
    dpc_free(record.entries);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static const struct dpc_test tests[] = {
    {"the ledger is read in order from anywhere", the_ledger_is_read_in_order_from_anywhere},
    {"an empty ledger is whole", an_empty_ledger_is_whole},
    {"an entry taken out is noticed", an_entry_taken_out_is_noticed},
    {"a tampered entry is noticed", a_tampered_entry_is_noticed},
    {"another ledger in its place is noticed", another_ledger_in_its_place_is_noticed},
    {"a number left out is noticed", a_number_left_out_is_noticed},
    {"a gap before the first is noticed", a_gap_before_the_first_is_noticed},
    {"each path may stand twice", each_path_may_stand_twice},
    {"a count without entries is damage", a_count_without_entries_is_damage},
};
DPC_TEST_MAIN("storage/db ledger", tests)
