/* SPDX-License-Identifier: Apache-2.0
 * The typed calls. How a record becomes bytes is in codec.c, what it holds in record_types.c; the
 * ledger is in ledger.c. */
#include "storage/db/records.h"

#include <string.h>

#include "base/alloc.h"
#include "storage/db/record_types.h"

void
dpc_put_store(struct dpc_kv_batch *batch, const struct dpc_store_record *record)
{
    dpc_record_put(batch, &dpc_type_store, record);
}

void
dpc_put_phase(struct dpc_kv_batch *batch, const struct dpc_phase_record *record)
{
    dpc_record_put(batch, &dpc_type_phase, record);
}

void
dpc_put_experiment(struct dpc_kv_batch *batch, const char *yaml, size_t len)
{
    struct dpc_key key;
    struct dpc_buf value;
    dpc_record_key(&dpc_type_experiment, NULL, &key);
    dpc_buf_init(&value, 0);
    dpc_buf_put_u8(&value, dpc_type_experiment.format);
    dpc_buf_put(&value, yaml, len);
    dpc_kv_batch_put(batch, dpc_type_experiment.family, key.bytes, key.len, value.data, value.len);
    batch->operations.failed |= value.failed;
    dpc_buf_done(&value);
}

void
dpc_put_origin(struct dpc_kv_batch *batch, const struct dpc_origin_record *record)
{
    dpc_record_put(batch, &dpc_type_origin, record);
}

void
dpc_put_module(struct dpc_kv_batch *batch, const struct dpc_module_record *record)
{
    dpc_record_put(batch, &dpc_type_module, record);
}

void
dpc_put_version(struct dpc_kv_batch *batch, const struct dpc_version_record *record)
{
    dpc_record_put(batch, &dpc_type_version, record);
}

void
dpc_put_path(struct dpc_kv_batch *batch, const struct dpc_path_record *record)
{
    dpc_record_put(batch, &dpc_type_path, record);
}

void
dpc_put_contribution(struct dpc_kv_batch *batch, const struct dpc_contribution_record *record)
{
    dpc_record_put(batch, &dpc_type_contribution, record);
}

void
dpc_put_lease(struct dpc_kv_batch *batch, const struct dpc_lease_record *record)
{
    dpc_record_put(batch, &dpc_type_lease, record);
}

void
dpc_remove_lease(struct dpc_kv_batch *batch, uint64_t serial)
{
    struct dpc_key key;
    dpc_record_key(&dpc_type_lease, &(struct dpc_lease_record){.serial = serial}, &key);
    dpc_kv_batch_remove(batch, dpc_type_lease.family, key.bytes, key.len);
}

void
dpc_put_worker(struct dpc_kv_batch *batch, const struct dpc_worker_record *record)
{
    dpc_record_put(batch, &dpc_type_worker, record);
}

void
dpc_put_invitation(struct dpc_kv_batch *batch, const struct dpc_invitation_record *record)
{
    dpc_record_put(batch, &dpc_type_invitation, record);
}

void
dpc_put_member(struct dpc_kv_batch *batch, const struct dpc_member_record *record)
{
    dpc_record_put(batch, &dpc_type_member, record);
}

/* All these kinds begin with their key. */
static void
remove_keyed(struct dpc_kv_batch *batch, const struct dpc_record_type *type, const uint8_t *bytes)
{
    struct dpc_key key;
    dpc_record_key(type, bytes, &key);
    dpc_kv_batch_remove(batch, type->family, key.bytes, key.len);
}

void
dpc_remove_invitation(struct dpc_kv_batch *batch, const uint8_t key[DPC_WORKER_KEY_BYTES])
{
    remove_keyed(batch, &dpc_type_invitation, key);
}

void
dpc_remove_member(struct dpc_kv_batch *batch, const uint8_t key[DPC_WORKER_KEY_BYTES])
{
    remove_keyed(batch, &dpc_type_member, key);
}

void
dpc_remove_worker(struct dpc_kv_batch *batch, const uint8_t key[DPC_WORKER_KEY_BYTES])
{
    remove_keyed(batch, &dpc_type_worker, key);
}

void
dpc_remove_conduct(struct dpc_kv_batch *batch, const uint8_t key[DPC_WORKER_KEY_BYTES])
{
    remove_keyed(batch, &dpc_type_conduct, key);
}

void
dpc_put_void(struct dpc_kv_batch *batch, const struct dpc_void_record *record)
{
    dpc_record_put(batch, &dpc_type_void, record);
}

void
dpc_put_conduct(struct dpc_kv_batch *batch, const struct dpc_conduct_record *record)
{
    dpc_record_put(batch, &dpc_type_conduct, record);
}

void
dpc_put_result(struct dpc_kv_batch *batch, const struct dpc_result_record *record)
{
    dpc_record_put(batch, &dpc_type_result, record);
}

void
dpc_put_shard(struct dpc_kv_batch *batch, const struct dpc_shard_record *record)
{
    dpc_record_put(batch, &dpc_type_shard, record);
}

void
dpc_put_best(struct dpc_kv_batch *batch, const struct dpc_best_record *record)
{
    dpc_record_put(batch, &dpc_type_best, record);
}

void
dpc_put_candidate(struct dpc_kv_batch *batch, const struct dpc_candidate_record *record)
{
    dpc_record_put(batch, &dpc_type_candidate, record);
}

int
dpc_load_store(struct dpc_kv *kv, struct dpc_store_record *ret, struct dpc_error *err)
{
    struct dpc_store_record record;
    struct dpc_key key;
    dpc_record_key(&dpc_type_store, NULL, &key);
    int code = dpc_record_load(kv, &dpc_type_store, &key, &record, err);
    if (code == DPC_OK)
        *ret = record;
    return code;
}

int
dpc_load_phase(struct dpc_kv *kv, struct dpc_phase_record *ret, struct dpc_error *err)
{
    struct dpc_phase_record record;
    struct dpc_key key;
    dpc_record_key(&dpc_type_phase, NULL, &key);
    int code = dpc_record_load(kv, &dpc_type_phase, &key, &record, err);
    if (code == DPC_OK)
        *ret = record;
    return code;
}

int
dpc_load_version(struct dpc_kv *kv, uint32_t module, uint32_t version,
                 struct dpc_version_record *ret, struct dpc_error *err)
{
    struct dpc_version_record record;
    struct dpc_key key;
    dpc_record_key(&dpc_type_version,
                   &(struct dpc_version_record){.module = module, .version = version}, &key);
    int code = dpc_record_load(kv, &dpc_type_version, &key, &record, err);
    if (code == DPC_OK)
        *ret = record;
    return code;
}

int
dpc_load_experiment(struct dpc_kv *kv, char **ret_yaml, size_t *ret_len, struct dpc_error *err)
{
    const struct dpc_record_type *type = &dpc_type_experiment;
    struct dpc_key key;
    struct dpc_reader reader;
    uint8_t *value;
    size_t len;
    dpc_record_key(type, NULL, &key);
    int code = kv->ops->get(kv, type->family, key.bytes, key.len, &value, &len, err);
    if (code == DPC_ENOTFOUND)
        return dpc_error_set(err, code, "the store has no experiment");
    if (code != DPC_OK)
        return code;
    code = dpc_record_begin(type, &reader, value, len, err);
    if (code == DPC_OK) {
        /* The format byte goes, the final zero comes: the text fits where the value was. */
        memmove(value, value + 1, len - 1);
        value[len - 1] = 0;
        *ret_yaml = (char *)value;
        *ret_len = len - 1;
        return DPC_OK;
    }
    dpc_free(value);
    return code;
}

/* A scan gives its visitor a typed record; the codec knows only bytes. */
#define DPC_SCAN(objects, object)                                                                  \
    struct object##_visitor {                                                                      \
        bool (*visit)(void *, const struct dpc_##object##_record *);                               \
        void *context;                                                                             \
    };                                                                                             \
    static bool visit_##object(void *visitor, const void *record)                                  \
    {                                                                                              \
        const struct object##_visitor *typed = visitor;                                            \
        return typed->visit(typed->context, record);                                               \
    }                                                                                              \
    int dpc_scan_##objects(struct dpc_kv *kv,                                                      \
                           bool (*visit)(void *, const struct dpc_##object##_record *),            \
                           void *context, struct dpc_error *err)                                   \
    {                                                                                              \
        struct dpc_##object##_record record;                                                       \
        struct object##_visitor visitor = {visit, context};                                        \
        return dpc_record_scan(kv, &dpc_type_##object, &record, visit_##object, &visitor, err);    \
    }

DPC_SCAN(origins, origin)
DPC_SCAN(modules, module)
DPC_SCAN(versions, version)
DPC_SCAN(paths, path)
DPC_SCAN(contributions, contribution)
DPC_SCAN(leases, lease)
DPC_SCAN(workers, worker)
DPC_SCAN(invitations, invitation)
DPC_SCAN(members, member)
DPC_SCAN(voids, void)
DPC_SCAN(conducts, conduct)
DPC_SCAN(results, result)
DPC_SCAN(shards, shard)
DPC_SCAN(bests, best)
DPC_SCAN(candidates, candidate)

int
dpc_scan_versions_of(struct dpc_kv *kv, uint32_t module, uint32_t version_first,
                     bool (*visit)(void *, const struct dpc_version_record *), void *context,
                     struct dpc_error *err)
{
    struct dpc_version_record record;
    struct version_visitor visitor = {visit, context};
    struct dpc_key of_module, before;
    dpc_key_start(&of_module, dpc_type_version.letter);
    dpc_key_add_u32(&of_module, module);
    before = of_module;
    dpc_key_add_u32(&before, version_first - 1);
    return dpc_record_scan_part(kv, &dpc_type_version, &of_module, version_first ? &before : NULL,
                                &record, visit_version, &visitor, err);
}

/* Keys begin with the round, then comes the module: a key that ends there stands before all that
 * begin with it. */

int
dpc_scan_contributions_from(struct dpc_kv *kv, uint32_t round,
                            bool (*visit)(void *, const struct dpc_contribution_record *),
                            void *context, struct dpc_error *err)
{
    struct dpc_contribution_record record;
    struct contribution_visitor visitor = {visit, context};
    struct dpc_key all, after;
    dpc_key_start(&all, dpc_type_contribution.letter);
    after = all;
    dpc_key_add_u32(&after, round);
    return dpc_record_scan_part(kv, &dpc_type_contribution, &all, &after, &record,
                                visit_contribution, &visitor, err);
}

int
dpc_scan_contributions_of(struct dpc_kv *kv, uint32_t round, uint32_t module_first,
                          bool (*visit)(void *, const struct dpc_contribution_record *),
                          void *context, struct dpc_error *err)
{
    struct dpc_contribution_record record;
    struct contribution_visitor visitor = {visit, context};
    struct dpc_key of_round, after;
    dpc_key_start(&of_round, dpc_type_contribution.letter);
    dpc_key_add_u32(&of_round, round);
    after = of_round;
    dpc_key_add_u32(&after, module_first);
    return dpc_record_scan_part(kv, &dpc_type_contribution, &of_round, &after, &record,
                                visit_contribution, &visitor, err);
}
