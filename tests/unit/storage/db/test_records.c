/* SPDX-License-Identifier: Apache-2.0
 * Records are filled with patterns of bytes, so that a field that a table forgets, or names twice,
 * shows as a difference. */
#include "storage/db/records.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"

static struct dpc_kv *kv;
static struct dpc_error err;

static void
set_up(void)
{
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
}

static void
write_and_reset(struct dpc_kv_batch *batch)
{
    CU_ASSERT_EQUAL(kv->ops->write(kv, batch, &err), DPC_OK);
    dpc_kv_batch_reset(batch);
}

/* --- Round trips. `seen` counts, `bad` counts differences. */

struct seen {
    const void *expected;
    size_t bytes;
    unsigned count, bad;
};

static bool
compare(struct seen *seen, const void *record, size_t bytes)
{
    const uint8_t *expected = (const uint8_t *)seen->expected + seen->count * bytes;
    seen->bad += memcmp(record, expected, bytes) != 0;
    seen->count++;
    return true;
}

/* Every byte of a record, padding apart, is a value of its own; `salt` makes records differ. */
static void
fill(void *record, size_t bytes, unsigned salt)
{
    uint8_t *at = record;
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(i * 3 + salt * 50 + 1);
}

static const uint8_t extremes[] = {0x00, 0x7f, 0x80, 0xff};

#define ROUND_TRIP(object, objects)                                                                \
    static bool compare_##object(void *context, const struct dpc_##object##_record *record)        \
    {                                                                                              \
        return compare(context, record, sizeof *record);                                           \
    }                                                                                              \
    static void round_trip_##objects(const struct dpc_##object##_record *records, unsigned count)  \
    {                                                                                              \
        struct dpc_kv_batch batch;                                                                 \
        struct seen seen = {.expected = records};                                                  \
        set_up();                                                                                  \
        dpc_kv_batch_init(&batch);                                                                 \
        for (unsigned i = count; i-- > 0;)                                                         \
            dpc_put_##object(&batch, &records[i]);                                                 \
        write_and_reset(&batch);                                                                   \
        CU_ASSERT_EQUAL(dpc_scan_##objects(kv, compare_##object, &seen, &err), DPC_OK);            \
        CU_ASSERT_EQUAL(seen.count, count);                                                        \
        CU_ASSERT_EQUAL(seen.bad, 0);                                                              \
        dpc_kv_batch_done(&batch);                                                                 \
        dpc_kv_close(kv);                                                                          \
    }

ROUND_TRIP(module, modules)
ROUND_TRIP(version, versions)
ROUND_TRIP(path, paths)
ROUND_TRIP(contribution, contributions)
ROUND_TRIP(lease, leases)
ROUND_TRIP(worker, workers)
ROUND_TRIP(invitation, invitations)
ROUND_TRIP(member, members)
ROUND_TRIP(void, voids)
ROUND_TRIP(conduct, conducts)
ROUND_TRIP(result, results)
ROUND_TRIP(shard, shards)

/* Padding between members is not stored: it is cleared in what is compared. */
#define CLEAR_BEHIND(record, member, next)                                                         \
    memset((uint8_t *)&(record).member + sizeof(record).member, 0,                                 \
           (size_t)((uint8_t *)&(record).next - (uint8_t *)&(record).member) -                     \
               sizeof(record).member)
#define CLEAR_TAIL(record, member)                                                                 \
    memset((uint8_t *)&(record).member + sizeof(record).member, 0,                                 \
           sizeof(record) - (size_t)((uint8_t *)&(record).member - (uint8_t *)&(record)) -         \
               sizeof(record).member)

static void
modules_come_back_in_order(void)
{
    struct dpc_module_record records[4];
    static const uint32_t ids[] = {0, 1, 256, UINT32_MAX};
    for (unsigned i = 0; i < 4; i++) {
        fill(&records[i], sizeof records[i], i);
        records[i].module = ids[i];
    }
    round_trip_modules(records, 4);
}

static void
versions_come_back_in_order(void)
{
    struct dpc_version_record records[4];
    static const uint32_t ids[][2] = {{0, 0}, {0, UINT32_MAX}, {255, 3}, {256, 2}};
    for (unsigned i = 0; i < 4; i++) {
        fill(&records[i], sizeof records[i], i);
        records[i].module = ids[i][0];
        records[i].version = ids[i][1];
        records[i].cause = i % 2 ? DPC_CAUSE_INITIAL : DPC_CAUSE_OUTER_STEP;
        records[i].ledger = UINT64_MAX - i;
    }
    round_trip_versions(records, 4);
}

static void
paths_come_back_in_order(void)
{
    struct dpc_path_record records[3];
    for (unsigned i = 0; i < 3; i++) {
        fill(&records[i], sizeof records[i], i);
        records[i].path = i * 65535;
        CLEAR_BEHIND(records[i], rounds_done, steps_done);
        CLEAR_BEHIND(records[i], state, state_bytes);
        CLEAR_BEHIND(records[i], test, test_bytes);
        CLEAR_BEHIND(records[i], missed, kept);
        CLEAR_BEHIND(records[i], kept, kept_bytes);
        CLEAR_TAIL(records[i], keeper);
    }
    round_trip_paths(records, 3);
}

static void
contributions_come_back_in_order(void)
{
    struct dpc_contribution_record records[4];
    static const uint32_t keys[][3] = {{0, 9, 9}, {1, 0, 7}, {1, 1, 6}, {256, 0, 0}};
    static const double values[] = {-0.0, DBL_MAX, DBL_TRUE_MIN, INFINITY};
    for (unsigned i = 0; i < 4; i++) {
        fill(&records[i], sizeof records[i], i);
        records[i].round = keys[i][0];
        records[i].module = keys[i][1];
        records[i].path = keys[i][2];
        records[i].norm = values[i];
        records[i].loss = -values[i];
        CLEAR_BEHIND(records[i], delta, bytes);
        CLEAR_BEHIND(records[i], steps, loss);
        CLEAR_TAIL(records[i], began);
    }
    round_trip_contributions(records, 4);
}

static void
leases_come_back_in_order_and_can_be_removed(void)
{
    struct dpc_lease_record records[3];
    struct dpc_kv_batch batch;
    struct seen seen = {.expected = &records[1]};
    static const uint64_t serials[] = {255, 256, UINT64_MAX};
    for (unsigned i = 0; i < 3; i++) {
        fill(&records[i], sizeof records[i], i);
        records[i].serial = serials[i];
        CLEAR_BEHIND(records[i], to, worker);
        CLEAR_TAIL(records[i], state);
    }
    round_trip_leases(records, 3);
    set_up();
    dpc_kv_batch_init(&batch);
    for (unsigned i = 0; i < 3; i++)
        dpc_put_lease(&batch, &records[i]);
    dpc_remove_lease(&batch, 255);
    dpc_remove_lease(&batch, UINT64_MAX);
    write_and_reset(&batch);
    CU_ASSERT_EQUAL(dpc_scan_leases(kv, compare_lease, &seen, &err), DPC_OK);
    CU_ASSERT_EQUAL(seen.count, 1);
    CU_ASSERT_EQUAL(seen.bad, 0);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static void
workers_come_back_in_order(void)
{
    struct dpc_worker_record records[4];
    for (unsigned i = 0; i < 4; i++) {
        fill(&records[i], sizeof records[i], i);
        memset(records[i].key, extremes[i], sizeof records[i].key);
        memset(records[i].name, 0, sizeof records[i].name);
        records[i].standing = i % (DPC_STANDING_QUARANTINED + 1);
        records[i].drained = i & 1;
        CLEAR_TAIL(records[i], drained);
    }
    memset(records[1].name, 'n', sizeof records[1].name - 1);
    (void)snprintf(records[2].name, sizeof records[2].name,
                   "a worker with \"quotes\" and \xc3\xa4");
    round_trip_workers(records, 4);
}

static void
invitations_come_back_in_order_and_can_be_removed(void)
{
    struct dpc_invitation_record records[4];
    struct dpc_kv_batch batch;
    struct seen seen = {.expected = records + 1};
    for (unsigned i = 0; i < 4; i++) {
        fill(&records[i], sizeof records[i], i);
        memset(records[i].key, extremes[i], sizeof records[i].key);
        memset(records[i].note, 0, sizeof records[i].note);
        records[i].note[0] = 'n';
        records[i].asks = i % 2;
    }
    round_trip_invitations(records, 4);
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_invitation(&batch, &records[0]);
    dpc_put_invitation(&batch, &records[1]);
    dpc_remove_invitation(&batch, records[0].key);
    write_and_reset(&batch);
    CU_ASSERT_EQUAL(dpc_scan_invitations(kv, compare_invitation, &seen, &err), DPC_OK);
    CU_ASSERT_EQUAL(seen.count, 1);
    CU_ASSERT_EQUAL(seen.bad, 0);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static void
members_come_back_in_order_and_can_be_removed(void)
{
    struct dpc_member_record records[4];
    struct dpc_kv_batch batch;
    struct seen seen = {.expected = records + 1};
    for (unsigned i = 0; i < 4; i++) {
        fill(&records[i], sizeof records[i], i);
        memset(records[i].key, extremes[i], sizeof records[i].key);
        memset(records[i].name, 0, sizeof records[i].name);
        memset(records[i].address, 0, sizeof records[i].address);
        records[i].address[0] = (char)('a' + i);
        records[i].state = DPC_MEMBER_PENDING + i % 3;
        CLEAR_BEHIND(records[i], state, since_s);
    }
    round_trip_members(records, 4);
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_member(&batch, &records[0]);
    dpc_put_member(&batch, &records[1]);
    dpc_remove_member(&batch, records[0].key);
    write_and_reset(&batch);
    CU_ASSERT_EQUAL(dpc_scan_members(kv, compare_member, &seen, &err), DPC_OK);
    CU_ASSERT_EQUAL(seen.count, 1);
    CU_ASSERT_EQUAL(seen.bad, 0);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static void
voids_come_back_in_order(void)
{
    struct dpc_void_record records[3];
    static const uint64_t keys[][2] = {{0, 5}, {256, 0}, {256, 1}};
    memset(records, 0, sizeof records);
    for (unsigned i = 0; i < 3; i++) {
        records[i].lease = keys[i][0];
        records[i].module = (uint32_t)keys[i][1];
    }
    round_trip_voids(records, 3);
}

static void
conducts_come_back_in_order(void)
{
    struct dpc_conduct_record records[4];
    for (unsigned i = 0; i < 4; i++) {
        fill(&records[i], sizeof records[i], i);
        memset(records[i].key, extremes[i], sizeof records[i].key);
    }
    round_trip_conducts(records, 4);
}

static void
results_come_back_in_order(void)
{
    struct dpc_result_record records[5];
    static const uint32_t keys[][4] = {
        {2, 5, 1000, 0}, {3, 0, 0, 0}, {3, 0, 1, 0}, {4, 0, 0, 1}, {4, 0, 0, 2}};
    for (unsigned i = 0; i < 5; i++) {
        fill(&records[i], sizeof records[i], i);
        records[i].kind = keys[i][0];
        records[i].path = keys[i][1];
        records[i].from = keys[i][2];
        records[i].phase = keys[i][3];
        CLEAR_TAIL(records[i], phase);
    }
    round_trip_results(records, 5);
}

static void
shards_come_back_in_order(void)
{
    struct dpc_shard_record records[3];
    static const uint32_t keys[][2] = {{0, 1}, {0, 300}, {1, 0}};
    for (unsigned i = 0; i < 3; i++) {
        fill(&records[i], sizeof records[i], i);
        records[i].phase = keys[i][0];
        records[i].path = keys[i][1];
    }
    round_trip_shards(records, 3);
}

static void
singles_come_back(void)
{
    struct dpc_store_record store, store_read;
    struct dpc_phase_record phase, phase_read;
    struct dpc_version_record version, version_read;
    struct dpc_kv_batch batch;
    set_up();
    CU_ASSERT_EQUAL(dpc_load_store(kv, &store_read, &err), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_load_phase(kv, &phase_read, &err), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_load_version(kv, 1, 2, &version_read, &err), DPC_ENOTFOUND);
    memset(&store, 0, sizeof store);
    store.schema = 1;
    store.incarnation = UINT64_MAX;
    fill(&phase, sizeof phase, 0);
    CLEAR_BEHIND(phase, phase, next_serial);
    CLEAR_BEHIND(phase, documents, router);
    CLEAR_BEHIND(phase, warm_state, seconds);
    CLEAR_BEHIND(phase, scored, scored_bytes);
    CLEAR_TAIL(phase, scored_documents);
    memset(phase.numeric_class, 0, sizeof phase.numeric_class);
    memset(phase.numeric_class, 'c', sizeof phase.numeric_class - 1);
    fill(&version, sizeof version, 1);
    version.cause = DPC_CAUSE_INITIAL;
    version.module = 1;
    version.version = 2;
    dpc_kv_batch_init(&batch);
    dpc_put_store(&batch, &store);
    dpc_put_phase(&batch, &phase);
    dpc_put_version(&batch, &version);
    write_and_reset(&batch);
    CU_ASSERT_EQUAL(dpc_load_store(kv, &store_read, &err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(&store, &store_read, sizeof store), 0);
    CU_ASSERT_EQUAL(dpc_load_phase(kv, &phase_read, &err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(&phase, &phase_read, sizeof phase), 0);
    CU_ASSERT_EQUAL(dpc_load_version(kv, 1, 2, &version_read, &err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(&version, &version_read, sizeof version), 0);
    CU_ASSERT_EQUAL(dpc_load_version(kv, 1, 3, &version_read, &err), DPC_ENOTFOUND);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static void
the_experiment_comes_back_as_text(void)
{
    static const char *const texts[] = {"", "experiment: x\n"};
    struct dpc_kv_batch batch;
    char *yaml;
    size_t len;
    set_up();
    CU_ASSERT_EQUAL(dpc_load_experiment(kv, &yaml, &len, &err), DPC_ENOTFOUND);
    dpc_kv_batch_init(&batch);
    for (size_t i = 0; i < 2; i++) {
        dpc_put_experiment(&batch, texts[i], strlen(texts[i]));
        write_and_reset(&batch);
        CU_ASSERT_EQUAL_FATAL(dpc_load_experiment(kv, &yaml, &len, &err), DPC_OK);
        CU_ASSERT_STRING_EQUAL(yaml, texts[i]);
        CU_ASSERT_EQUAL(len, strlen(texts[i]));
        dpc_free(yaml);
    }
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static bool
stop_at_once(void *context, const struct dpc_module_record *record)
{
    (void)record;
    ++*(unsigned *)context;
    return false;
}

static void
a_scan_can_be_stopped(void)
{
    struct dpc_kv_batch batch;
    unsigned count = 0;
    set_up();
    dpc_kv_batch_init(&batch);
    for (uint32_t i = 0; i < 3; i++)
        dpc_put_module(&batch, &(struct dpc_module_record){.module = i});
    write_and_reset(&batch);
    CU_ASSERT_EQUAL(dpc_scan_modules(kv, stop_at_once, &count, &err), DPC_OK);
    CU_ASSERT_EQUAL(count, 1);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

/* --- Damage. Each record of `batch` in turn is written whole, then spoilt in some way. */

struct one {
    uint8_t key[64], value[1024];
    size_t key_len, value_len;
    enum dpc_kv_family family;
};

static void
take_one(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
         const uint8_t *value, size_t value_len)
{
    struct one *one = context;
    CU_ASSERT_FATAL(key_len <= sizeof one->key && value_len < sizeof one->value);
    memcpy(one->key, key, key_len);
    memcpy(one->value, value, value_len);
    one->key_len = key_len;
    one->value_len = value_len;
    one->family = family;
}

static bool
ignore_module(void *context, const struct dpc_module_record *record)
{
    (void)context, (void)record;
    return true;
}
static bool
ignore_version(void *context, const struct dpc_version_record *record)
{
    (void)context, (void)record;
    return true;
}
static bool
ignore_invitation(void *context, const struct dpc_invitation_record *record)
{
    (void)context;
    (void)record;
    return true;
}

static bool
ignore_member(void *context, const struct dpc_member_record *record)
{
    (void)context;
    (void)record;
    return true;
}

static bool
ignore_worker(void *context, const struct dpc_worker_record *record)
{
    (void)context, (void)record;
    return true;
}
static bool
ignore_ledger(void *context, const struct dpc_ledger_record *record)
{
    (void)context, (void)record;
    return true;
}

static int
read_all(void)
{
    struct dpc_phase_record phase;
    int code = dpc_load_phase(kv, &phase, &err);
    if (code == DPC_ENOTFOUND)
        code = dpc_scan_modules(kv, ignore_module, NULL, &err);
    if (code == DPC_OK)
        code = dpc_scan_versions(kv, ignore_version, NULL, &err);
    if (code == DPC_OK)
        code = dpc_scan_workers(kv, ignore_worker, NULL, &err);
    if (code == DPC_OK)
        code = dpc_scan_ledger(kv, 0, ignore_ledger, NULL, &err);
    return code;
}

static void
write_one(const struct one *one)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_kv_batch_put(&batch, one->family, one->key, one->key_len, one->value, one->value_len);
    write_and_reset(&batch);
    dpc_kv_batch_done(&batch);
}

static void
check_spoilt(const struct dpc_kv_batch *batch)
{
    struct one whole, spoilt;
    set_up();
    CU_ASSERT_EQUAL(dpc_kv_batch_each(batch, take_one, &whole), DPC_OK);
    write_one(&whole);
    CU_ASSERT_EQUAL(read_all(), DPC_OK);
    for (size_t len = 0; len < whole.value_len; len++) { /* cut anywhere */
        spoilt = whole;
        spoilt.value_len = len;
        write_one(&spoilt);
        CU_ASSERT_EQUAL(read_all(), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "backup"));
    }
    spoilt = whole; /* too long */
    spoilt.value[spoilt.value_len++] = 0;
    write_one(&spoilt);
    CU_ASSERT_EQUAL(read_all(), DPC_ECORRUPT);
    spoilt = whole; /* of a format before the first, and after the last */
    spoilt.value[0] = 0;
    write_one(&spoilt);
    CU_ASSERT_EQUAL(read_all(), DPC_ECORRUPT);
    spoilt.value[0] = (uint8_t)(whole.value[0] + 1);
    write_one(&spoilt);
    CU_ASSERT_EQUAL(read_all(), DPC_EVERSION);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "install a newer dipaco"));
    write_one(&whole);
    CU_ASSERT_EQUAL(read_all(), DPC_OK);
    if (whole.key_len > 1) { /* under another's key */
        spoilt = whole;
        spoilt.key[whole.key_len - 1] ^= 1;
        write_one(&spoilt);
        CU_ASSERT_EQUAL(read_all(), DPC_ECORRUPT);
    }
    dpc_kv_close(kv);
}

static void
spoilt_records_are_refused(void)
{
    struct dpc_kv_batch batch;
    struct dpc_hash hash;
    struct dpc_ledger_entry entries[2] = {{.path = 1, .weight = 0.5}, {.path = 2, .weight = 0.5}};
    dpc_kv_batch_init(&batch);
    dpc_put_module(&batch, &(struct dpc_module_record){.module = 3, .version = 9});
    check_spoilt(&batch);
    dpc_kv_batch_reset(&batch);
    dpc_put_version(&batch, &(struct dpc_version_record){.cause = DPC_CAUSE_INITIAL});
    check_spoilt(&batch);
    dpc_kv_batch_reset(&batch);
    dpc_put_worker(&batch, &(struct dpc_worker_record){.name = "w"});
    check_spoilt(&batch);
    dpc_kv_batch_reset(&batch);
    dpc_put_phase(&batch, &(struct dpc_phase_record){.phase = 3});
    check_spoilt(&batch);
    dpc_kv_batch_reset(&batch);
    dpc_put_ledger(&batch, &(struct dpc_ledger_record){.entries_count = 2, .entries = entries},
                   &hash);
    check_spoilt(&batch);
    dpc_kv_batch_done(&batch);
}

static bool
take_worker(void *context, const struct dpc_worker_record *record)
{
    memcpy(context, record, sizeof *record);
    return true;
}

/* Format 1 ended before `accepted`, format 2 behind it, format 3 before `drained`. */
static void
workers_of_older_formats_are_read(void)
{
    struct dpc_kv_batch batch;
    struct one one;
    struct dpc_worker_record read;
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_worker(&batch, &(struct dpc_worker_record){.name = "w",
                                                       .refused = 5,
                                                       .accepted = 77,
                                                       .standing = DPC_STANDING_REVOKED,
                                                       .drained = 1});
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_workers(kv, take_worker, &read, &err), DPC_OK);
    CU_ASSERT_EQUAL(read.accepted, 77);
    CU_ASSERT_EQUAL(read.standing, DPC_STANDING_REVOKED);
    CU_ASSERT_EQUAL(read.drained, 1);
    one.value[0] = 5;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_workers(kv, take_worker, &read, &err), DPC_EVERSION);
    one.value[0] = 3;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_workers(kv, take_worker, &read, &err), DPC_ECORRUPT);
    one.value_len -= sizeof read.drained;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_workers(kv, take_worker, &read, &err), DPC_OK);
    CU_ASSERT_EQUAL(read.standing, DPC_STANDING_REVOKED);
    CU_ASSERT_EQUAL(read.drained, 0);
    one.value[0] = 2;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_workers(kv, take_worker, &read, &err), DPC_ECORRUPT);
    one.value_len -= sizeof(uint32_t);
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_workers(kv, take_worker, &read, &err), DPC_OK);
    CU_ASSERT_EQUAL(read.accepted, 77);
    CU_ASSERT_EQUAL(read.standing, DPC_STANDING_GOOD);
    one.value[0] = 1;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_workers(kv, take_worker, &read, &err), DPC_ECORRUPT);
    one.value_len -= sizeof read.accepted;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_workers(kv, take_worker, &read, &err), DPC_OK);
    CU_ASSERT_EQUAL(read.refused, 5);
    CU_ASSERT_EQUAL(read.accepted, 0);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static bool
take_result(void *context, const struct dpc_result_record *record)
{
    *(struct dpc_result_record *)context = *record;
    return true;
}

static bool
take_path(void *context, const struct dpc_path_record *record)
{
    *(struct dpc_path_record *)context = *record;
    return true;
}

/* Format 1 ended before `part_steps`, format 2 before `window_tokens`. */
static void
paths_of_older_formats_are_read(void)
{
    struct dpc_kv_batch batch;
    struct one one;
    struct dpc_path_record read;
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_path(
        &batch, &(struct dpc_path_record){.test_documents = 8, .missed = 4, .window_tokens = 12.5});
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_paths(kv, take_path, &read, &err), DPC_OK);
    CU_ASSERT_EQUAL(read.window_tokens, 12.5);
    one.value[0] = 2;
    one.value_len -= sizeof read.window_tokens;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_paths(kv, take_path, &read, &err), DPC_OK);
    CU_ASSERT_TRUE(read.missed == 4 && read.window_tokens == 0);
    one.value[0] = 1;
    one.value_len -=
        3 * sizeof(uint32_t) + sizeof read.kept + sizeof read.kept_bytes + sizeof read.keeper;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_paths(kv, take_path, &read, &err), DPC_OK);
    CU_ASSERT_TRUE(read.test_documents == 8 && read.missed == 0);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

/* Format 1 ended before `phase`: there was one result of a task. */
static void
a_result_of_the_first_format_is_read(void)
{
    struct dpc_kv_batch batch;
    struct one one;
    struct dpc_result_record read = {.phase = 9};
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_result(&batch, &(struct dpc_result_record){.kind = 3, .to = 32, .bytes = 7});
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    one.value[0] = 1;
    one.value_len -= sizeof read.phase;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_results(kv, take_result, &read, &err), DPC_OK);
    CU_ASSERT_TRUE(read.kind == 3 && read.to == 32 && read.bytes == 7);
    CU_ASSERT_EQUAL(read.phase, 0);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static bool
take_last_entry(void *context, const struct dpc_ledger_record *record)
{
    memcpy(context, &record->entries[record->entries_count - 1], sizeof *record->entries);
    return true;
}

/* Format 1 ended its entries before `steps`: what was merged then was whole and as it came. */
static void
a_ledger_entry_of_the_first_format_is_read(void)
{
    struct dpc_kv_batch batch;
    struct dpc_hash hash;
    struct one one;
    struct dpc_ledger_entry entry = {.path = 1, .weight = 1, .steps = 9, .late = 1, .scale = 0.5};
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_ledger(&batch, &(struct dpc_ledger_record){.entries_count = 1, .entries = &entry},
                   &hash);
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 0, take_last_entry, &entry, &err), DPC_OK);
    CU_ASSERT_TRUE(entry.steps == 9 && entry.late == 1 && entry.scale == 0.5);
    one.value[0] = 1;
    one.value_len -= sizeof entry.steps + sizeof entry.late + sizeof entry.scale;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_ledger(kv, 0, take_last_entry, &entry, &err), DPC_OK);
    CU_ASSERT_TRUE(entry.path == 1 && entry.weight == 1);
    CU_ASSERT_TRUE(entry.steps == 0 && entry.late == 0 && entry.scale == 1);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static bool
count_steps(void *context, const struct dpc_contribution_record *record)
{
    uint32_t *steps = context;
    *steps = 10 * *steps + record->steps;
    return true;
}

static void
parts_of_a_round_stand_beside_one_another(void)
{
    struct dpc_kv_batch batch;
    uint32_t steps = 0;
    set_up();
    dpc_kv_batch_init(&batch);
    for (uint32_t part = 3; part-- > 0;)
        dpc_put_contribution(&batch,
                             &(struct dpc_contribution_record){.part = part, .steps = part + 1});
    dpc_put_contribution(&batch, &(struct dpc_contribution_record){.path = 1, .steps = 4});
    write_and_reset(&batch);
    CU_ASSERT_EQUAL(dpc_scan_contributions(kv, count_steps, &steps, &err), DPC_OK);
    CU_ASSERT_EQUAL(steps, 1234);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

/* Format 3 is from before a store kept a tokenizer. */
static void
a_phase_of_the_third_format_is_read(void)
{
    struct dpc_kv_batch batch;
    struct one one;
    struct dpc_phase_record read;
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_phase(&batch,
                  &(struct dpc_phase_record){.phase = 3, .routes_bytes = 5, .tokenizer = {{1}}});
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_load_phase(kv, &read, &err), DPC_OK);
    CU_ASSERT_TRUE(read.routes_bytes == 5 && read.tokenizer.bytes[0] == 1);
    one.value[0] = 3;
    one.value_len -= sizeof read.tokenizer;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_load_phase(kv, &read, &err), DPC_OK);
    CU_ASSERT_TRUE(read.routes_bytes == 5 && dpc_hash_is_none(&read.tokenizer));
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static bool
take_module(void *context, const struct dpc_module_record *record)
{
    *(struct dpc_module_record *)context = *record;
    return true;
}

/* Format 1 is from before there were rollbacks: each version is a round. Format 2 knew no changes.
 */
static void
modules_of_older_formats_are_read(void)
{
    struct dpc_kv_batch batch;
    struct one one;
    struct dpc_module_record read;
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_module(
        &batch,
        &(struct dpc_module_record){
            .version = 9, .rollbacks = 2, .serial_first = 77, .change = {{1}}, .changed = {{2}}});
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_modules(kv, take_module, &read, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_module_round(&read), 7);
    CU_ASSERT_TRUE(read.change.bytes[0] == 1 && read.changed.bytes[0] == 2);
    one.value[0] = 2;
    one.value_len -= sizeof read.change + sizeof read.changed;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_modules(kv, take_module, &read, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_module_round(&read), 7);
    CU_ASSERT_TRUE(dpc_hash_is_none(&read.change) && dpc_hash_is_none(&read.changed));
    one.value[0] = 1;
    one.value_len -= sizeof read.rollbacks + sizeof read.serial_first;
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_modules(kv, take_module, &read, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_module_round(&read), 9);
    CU_ASSERT_EQUAL(read.serial_first, 0);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static void
impossible_values_are_refused(void)
{
    struct dpc_kv_batch batch;
    struct one one;
    set_up();
    dpc_kv_batch_init(&batch);
    dpc_put_version(&batch, &(struct dpc_version_record){.cause = DPC_CAUSE_OUTER_STEP});
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    one.value[1 + 8] = 7; /* the cause */
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_versions(kv, ignore_version, NULL, &err), DPC_ECORRUPT);
    dpc_kv_close(kv);

    set_up();
    dpc_kv_batch_reset(&batch);
    dpc_put_worker(&batch, &(struct dpc_worker_record){.name = "ab"});
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    one.value[1 + 32 + 4] = 0; /* a zero inside a name */
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_workers(kv, ignore_worker, NULL, &err), DPC_ECORRUPT);
    dpc_kv_close(kv);

    set_up();
    dpc_kv_batch_reset(&batch);
    dpc_put_invitation(&batch, &(struct dpc_invitation_record){.asks = 1});
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    one.value[1 + 32 + 8 + 8] = 2; /* neither yes nor no */
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_invitations(kv, ignore_invitation, NULL, &err), DPC_ECORRUPT);
    one.value[1 + 32 + 8 + 8] = 0; /* no machine is left that it takes */
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_invitations(kv, ignore_invitation, NULL, &err), DPC_ECORRUPT);
    dpc_kv_close(kv);

    set_up();
    dpc_kv_batch_reset(&batch);
    dpc_put_member(&batch, &(struct dpc_member_record){.state = DPC_MEMBER_TAKEN});
    CU_ASSERT_EQUAL(dpc_kv_batch_each(&batch, take_one, &one), DPC_OK);
    one.value[1 + 32] = 0; /* no state */
    write_one(&one);
    CU_ASSERT_EQUAL(dpc_scan_members(kv, ignore_member, NULL, &err), DPC_ECORRUPT);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static const struct dpc_test tests[] = {
    {"modules come back in order", modules_come_back_in_order},
    {"versions come back in order", versions_come_back_in_order},
    {"paths come back in order", paths_come_back_in_order},
    {"contributions come back in order", contributions_come_back_in_order},
    {"leases come back in order", leases_come_back_in_order_and_can_be_removed},
    {"workers come back in order", workers_come_back_in_order},
    {"invitations come back in order", invitations_come_back_in_order_and_can_be_removed},
    {"members come back in order", members_come_back_in_order_and_can_be_removed},
    {"voids come back in order", voids_come_back_in_order},
    {"conducts come back in order", conducts_come_back_in_order},
    {"results come back in order", results_come_back_in_order},
    {"shards come back in order", shards_come_back_in_order},
    {"singles come back", singles_come_back},
    {"the experiment comes back as text", the_experiment_comes_back_as_text},
    {"a scan can be stopped", a_scan_can_be_stopped},
    {"spoilt records are refused", spoilt_records_are_refused},
    {"paths of older formats are read", paths_of_older_formats_are_read},
    {"a result of the first format is read", a_result_of_the_first_format_is_read},
    {"a ledger entry of the first format is read", a_ledger_entry_of_the_first_format_is_read},
    {"parts of a round stand beside one another", parts_of_a_round_stand_beside_one_another},
    {"workers of older formats are read", workers_of_older_formats_are_read},
    {"modules of older formats are read", modules_of_older_formats_are_read},
    {"a phase of the third format is read", a_phase_of_the_third_format_is_read},
    {"impossible values are refused", impossible_values_are_refused},
};
DPC_TEST_MAIN("storage/db records", tests)
