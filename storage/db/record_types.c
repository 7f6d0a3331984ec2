/* SPDX-License-Identifier: Apache-2.0
 * The kinds of records, as tables. What is done with them stands in codec.c and records.c. */
#include "storage/db/record_types.h"

#include <stddef.h>

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Letters are never used again for another kind. */
enum {
    LETTER_STORE = 'S',
    LETTER_PHASE = 'P',
    LETTER_EXPERIMENT = 'E',
    LETTER_MODULE = 'm',
    LETTER_VERSION = 'v',
    LETTER_PATH = 'p',
    LETTER_CONTRIBUTION = 'c',
    LETTER_LEASE = 'l',
    LETTER_WORKER = 'w',
    LETTER_RESULT = 'r',
    LETTER_LEDGER = 'L',
    LETTER_VOID = 'x',
    LETTER_CONDUCT = 'o',
    LETTER_SHARD = 's',
    LETTER_BEST = 'b',
    LETTER_CANDIDATE = 'e',
    LETTER_ORIGIN = 'f',
    LETTER_INVITATION = 'i',
    LETTER_MEMBER = 'M',
};

/* --- Store, phase, experiment: one of each. */

#define F(member) DPC_FIELD(struct dpc_store_record, member)
static const struct dpc_field store_fields[] = {F(schema), F(incarnation)};
#undef F

const struct dpc_record_type dpc_type_store = {
    .name = "store",
    .letter = LETTER_STORE,
    .format = 1,
    .family = DPC_KV_STATE,
    .fields = store_fields,
    .fields_count = COUNT(store_fields),
    .bytes = sizeof(struct dpc_store_record),
};

#define F(member) DPC_FIELD(struct dpc_phase_record, member)
static const struct dpc_field phase_fields[] = {
    F(phase),         F(next_serial),      F(ledger_next),      F(ledger_head),
    F(corpus),        F(prefixes),         F(prefixes_bytes),   F(documents),
    F(router),        F(warm_state),       F(seconds),          F(bytes_up),
    F(bytes_down),    F(numeric_class),    F(warm_state_bytes), F(routing_phases),
    F(scored),        F(scored_bytes),     F(scored_documents), F(traced),
    F(traced_bytes),  F(traced_documents), F(traced_train),     F(traced_learned),
    F(traced_router), F(routes),           F(routes_bytes),     F(tokenizer),
};
#undef F

const struct dpc_record_type dpc_type_phase = {
    .name = "phase",
    .letter = LETTER_PHASE,
    .format = 4,
    .family = DPC_KV_STATE,
    .fields = phase_fields,
    .fields_count = COUNT(phase_fields),
    .fields_count_format_1 = COUNT(phase_fields) - 14, /* up to numeric_class */
    .fields_count_format_2 = COUNT(phase_fields) - 9,  /* without new routes at evaluation */
    .fields_count_format_3 = COUNT(phase_fields) - 1,  /* without a tokenizer */
    .bytes = sizeof(struct dpc_phase_record),
};

const struct dpc_record_type dpc_type_experiment = {
    .name = "experiment",
    .letter = LETTER_EXPERIMENT,
    .format = 1,
    .family = DPC_KV_STATE,
};

#define F(member) DPC_FIELD(struct dpc_origin_record, member)
static const struct dpc_field origin_fields[] = {
    F(number),   F(round),   F(incarnation), F(lr),
    F(momentum), F(rescale), F(warm_start),  F(warm_tokens),
};
#undef F

static void
origin_key(struct dpc_key *key, const void *record)
{
    dpc_key_add_u32(key, ((const struct dpc_origin_record *)record)->number);
}

const struct dpc_record_type dpc_type_origin = {
    .name = "origin",
    .letter = LETTER_ORIGIN,
    .format = 3,
    .family = DPC_KV_HISTORY,
    .fields = origin_fields,
    .fields_count = COUNT(origin_fields),
    .fields_count_format_1 = COUNT(origin_fields) - 2, /* without `warm_start` */
    .fields_count_format_2 = COUNT(origin_fields) - 1, /* without `warm_tokens` */
    .bytes = sizeof(struct dpc_origin_record),
    .key = origin_key,
};

/* --- Modules and their versions. */

#define F(member) DPC_FIELD(struct dpc_module_record, member)
static const struct dpc_field module_fields[] = {
    F(module),    F(version),      F(master), F(published), F(momentum),
    F(rollbacks), F(serial_first), F(change), F(changed),
};
#undef F

static void
module_key(struct dpc_key *key, const void *record)
{
    dpc_key_add_u32(key, ((const struct dpc_module_record *)record)->module);
}

const struct dpc_record_type dpc_type_module = {
    .name = "module",
    .letter = LETTER_MODULE,
    .format = 3,
    .fields_count_format_1 = COUNT(module_fields) - 4, /* without rollbacks */
    .fields_count_format_2 = COUNT(module_fields) - 2, /* without changes */
    .family = DPC_KV_STATE,
    .fields = module_fields,
    .fields_count = COUNT(module_fields),
    .bytes = sizeof(struct dpc_module_record),
    .key = module_key,
};

#define F(member) DPC_FIELD(struct dpc_version_record, member)
static const struct dpc_field version_fields[] = {
    F(module),    F(version),  F(cause),  F(parent),    F(master),
    F(published), F(momentum), F(ledger), F(rollbacks),
};
#undef F
_Static_assert(sizeof(enum dpc_version_cause) == sizeof(uint32_t), "a cause is read as a u32");

static void
version_key(struct dpc_key *key, const void *record)
{
    const struct dpc_version_record *version = record;
    dpc_key_add_u32(key, version->module);
    dpc_key_add_u32(key, version->version);
}

static bool
version_valid(const void *record)
{
    const struct dpc_version_record *version = record;
    return version->cause >= DPC_CAUSE_INITIAL && version->cause <= DPC_CAUSE_REVOKE;
}

const struct dpc_record_type dpc_type_version = {
    .name = "version",
    .letter = LETTER_VERSION,
    .format = 2,
    .fields_count_format_1 = COUNT(version_fields) - 1, /* without `rollbacks` */
    .family = DPC_KV_HISTORY,
    .fields = version_fields,
    .fields_count = COUNT(version_fields),
    .bytes = sizeof(struct dpc_version_record),
    .key = version_key,
    .valid = version_valid,
};

/* --- Paths and what was contributed on them. */

#define F(member) DPC_FIELD(struct dpc_path_record, member)
static const struct dpc_field path_fields[] = {
    F(path),        F(rounds_done), F(steps_done),     F(tokens_done),     F(state),
    F(state_bytes), F(shard),       F(shard_bytes),    F(shard_documents), F(shard_tokens),
    F(test),        F(test_bytes),  F(test_documents), F(part_steps),      F(parts),
    F(missed),      F(kept),        F(kept_bytes),     F(keeper),          F(window_tokens),
};
#undef F

static void
path_key(struct dpc_key *key, const void *record)
{
    dpc_key_add_u32(key, ((const struct dpc_path_record *)record)->path);
}

const struct dpc_record_type dpc_type_path = {
    .name = "path",
    .letter = LETTER_PATH,
    .format = 3,
    .fields_count_format_1 = COUNT(path_fields) - 7, /* without parts of a round and kept states */
    .fields_count_format_2 = COUNT(path_fields) - 1,
    .family = DPC_KV_STATE,
    .fields = path_fields,
    .fields_count = COUNT(path_fields),
    .bytes = sizeof(struct dpc_path_record),
    .key = path_key,
};

#define F(member) DPC_FIELD(struct dpc_contribution_record, member)
static const struct dpc_field contribution_fields[] = {
    F(round),     F(path),  F(module), F(delta), F(bytes), F(norm), F(steps), F(loss),
    F(loss_last), F(lease), F(worker), F(part),  F(late),  F(from), F(began),
};
#undef F

static void
contribution_key(struct dpc_key *key, const void *record)
{
    const struct dpc_contribution_record *contribution = record;
    dpc_key_add_u32(key, contribution->round);
    dpc_key_add_u32(key, contribution->module);
    dpc_key_add_u32(key, contribution->path);
    if (contribution->part > 0) /* the first stands where format 1 had the only one */
        dpc_key_add_u32(key, contribution->part);
}

const struct dpc_record_type dpc_type_contribution = {
    .name = "contribution",
    .letter = LETTER_CONTRIBUTION,
    .format = 2,
    .fields_count_format_1 = COUNT(contribution_fields) - 4, /* without those of parts */
    .family = DPC_KV_HISTORY,
    .fields = contribution_fields,
    .fields_count = COUNT(contribution_fields),
    .bytes = sizeof(struct dpc_contribution_record),
    .key = contribution_key,
};

/* --- Leases, workers, results. */

#define F(member) DPC_FIELD(struct dpc_lease_record, member)
static const struct dpc_field lease_fields[] = {
    F(serial), F(kind), F(path), F(round), F(from), F(to), F(worker), F(time_left_ms), F(state),
};
#undef F

static void
lease_key(struct dpc_key *key, const void *record)
{
    dpc_key_add_u64(key, ((const struct dpc_lease_record *)record)->serial);
}

const struct dpc_record_type dpc_type_lease = {
    .name = "lease",
    .letter = LETTER_LEASE,
    .format = 2,
    .fields_count_format_1 = COUNT(lease_fields) - 1, /* without state */
    .family = DPC_KV_STATE,
    .fields = lease_fields,
    .fields_count = COUNT(lease_fields),
    .bytes = sizeof(struct dpc_lease_record),
    .key = lease_key,
};

#define F(member) DPC_FIELD(struct dpc_worker_record, member)
static const struct dpc_field worker_fields[] = {
    F(key),        F(name),    F(tokens),   F(leases),   F(merged),
    F(superseded), F(refused), F(accepted), F(standing), F(drained),
};
#undef F
_Static_assert(sizeof(enum dpc_standing) == sizeof(uint32_t), "a standing is read as a u32");

/* Of records whose first member is their key. */
static void
first_key(struct dpc_key *key, const void *record)
{
    dpc_key_add_bytes32(key, record);
}
_Static_assert(offsetof(struct dpc_worker_record, key) == 0, "first_key");

static bool
worker_valid(const void *record)
{
    const struct dpc_worker_record *worker = record;
    return worker->standing <= DPC_STANDING_QUARANTINED && worker->drained <= 1;
}

const struct dpc_record_type dpc_type_worker = {
    .name = "worker",
    .letter = LETTER_WORKER,
    .format = 4,
    .fields_count_format_1 = COUNT(worker_fields) - 3, /* without `accepted` and what follows it */
    .fields_count_format_2 = COUNT(worker_fields) - 2,
    .fields_count_format_3 = COUNT(worker_fields) - 1,
    .family = DPC_KV_STATE,
    .fields = worker_fields,
    .fields_count = COUNT(worker_fields),
    .bytes = sizeof(struct dpc_worker_record),
    .key = first_key,
    .valid = worker_valid,
};

#define F(member) DPC_FIELD(struct dpc_invitation_record, member)
static const struct dpc_field invitation_fields[] = {
    F(key), F(created_s), F(expires_s), F(asks), F(uses_left), F(note),
};
#undef F
_Static_assert(offsetof(struct dpc_invitation_record, key) == 0, "removed by its key alone");

static bool
invitation_valid(const void *record)
{
    const struct dpc_invitation_record *invitation = record;
    return invitation->asks == 1 || (invitation->asks == 0 && invitation->uses_left > 0);
}

const struct dpc_record_type dpc_type_invitation = {
    .name = "invitation",
    .letter = LETTER_INVITATION,
    .format = 1,
    .family = DPC_KV_STATE,
    .fields = invitation_fields,
    .fields_count = COUNT(invitation_fields),
    .bytes = sizeof(struct dpc_invitation_record),
    .key = first_key,
    .valid = invitation_valid,
};

#define F(member) DPC_FIELD(struct dpc_member_record, member)
static const struct dpc_field member_fields[] = {
    F(key), F(state), F(since_s), F(invitation), F(name), F(address),
};
#undef F
_Static_assert(offsetof(struct dpc_member_record, key) == 0, "removed by its key alone");
_Static_assert(sizeof(enum dpc_member_state) == sizeof(uint32_t), "a state is read as a u32");

static bool
member_valid(const void *record)
{
    uint32_t state = ((const struct dpc_member_record *)record)->state;
    return state >= DPC_MEMBER_PENDING && state <= DPC_MEMBER_REFUSED;
}

const struct dpc_record_type dpc_type_member = {
    .name = "member",
    .letter = LETTER_MEMBER,
    .format = 1,
    .family = DPC_KV_STATE,
    .fields = member_fields,
    .fields_count = COUNT(member_fields),
    .bytes = sizeof(struct dpc_member_record),
    .key = first_key,
    .valid = member_valid,
};

#define F(member) DPC_FIELD(struct dpc_void_record, member)
static const struct dpc_field void_fields[] = {F(lease), F(module)};
#undef F

static void
void_key(struct dpc_key *key, const void *record)
{
    dpc_key_add_u64(key, ((const struct dpc_void_record *)record)->lease);
    dpc_key_add_u32(key, ((const struct dpc_void_record *)record)->module);
}

const struct dpc_record_type dpc_type_void = {
    .name = "void",
    .letter = LETTER_VOID,
    .format = 1,
    .family = DPC_KV_STATE,
    .fields = void_fields,
    .fields_count = COUNT(void_fields),
    .bytes = sizeof(struct dpc_void_record),
    .key = void_key,
};

#define F(member) DPC_FIELD(struct dpc_conduct_record, member)
static const struct dpc_field conduct_fields[] = {
    F(key), F(clipped), F(opposed), F(copies), F(idle), F(stale), F(audited), F(failed),
};
#undef F

_Static_assert(offsetof(struct dpc_conduct_record, key) == 0, "first_key");

const struct dpc_record_type dpc_type_conduct = {
    .name = "conduct",
    .letter = LETTER_CONDUCT,
    .format = 1,
    .family = DPC_KV_STATE,
    .fields = conduct_fields,
    .fields_count = COUNT(conduct_fields),
    .bytes = sizeof(struct dpc_conduct_record),
    .key = first_key,
};

#define F(member) DPC_FIELD(struct dpc_result_record, member)
static const struct dpc_field result_fields[] = {
    F(kind), F(path), F(from), F(to), F(result), F(bytes), F(phase),
};
#undef F

static void
result_key(struct dpc_key *key, const void *record)
{
    const struct dpc_result_record *result = record;
    dpc_key_add_u32(key, result->kind);
    dpc_key_add_u32(key, result->path);
    dpc_key_add_u32(key, result->from);
    if (result->phase > 0) /* others stand where format 1 had them */
        dpc_key_add_u32(key, result->phase);
}

const struct dpc_record_type dpc_type_result = {
    .name = "result",
    .letter = LETTER_RESULT,
    .format = 2,
    .fields_count_format_1 = COUNT(result_fields) - 1, /* without `phase` */
    .family = DPC_KV_HISTORY,
    .fields = result_fields,
    .fields_count = COUNT(result_fields),
    .bytes = sizeof(struct dpc_result_record),
    .key = result_key,
};

/* --- What each sharding gave each path. */

#define F(member) DPC_FIELD(struct dpc_shard_record, member)
static const struct dpc_field shard_fields[] = {
    F(phase), F(path), F(train_documents), F(train_tokens), F(routed), F(stayed),
};
#undef F

static void
shard_key(struct dpc_key *key, const void *record)
{
    const struct dpc_shard_record *shard = record;
    dpc_key_add_u32(key, shard->phase);
    dpc_key_add_u32(key, shard->path);
}

const struct dpc_record_type dpc_type_shard = {
    .name = "shard",
    .letter = LETTER_SHARD,
    .format = 1,
    .family = DPC_KV_HISTORY,
    .fields = shard_fields,
    .fields_count = COUNT(shard_fields),
    .bytes = sizeof(struct dpc_shard_record),
    .key = shard_key,
};

/* --- Early stopping. */

_Static_assert(DPC_LEVELS_MAX == 16, "the table of bests names each level");
#define F(member) DPC_FIELD(struct dpc_best_record, member)
static const struct dpc_field best_fields[] = {
    F(path),
    F(documents),
    F(documents_bytes),
    F(documents_count),
    F(next_round),
    F(read),
    F(targets),
    F(nats),
    F(candidates_count),
    F(first),
    F(found),
    F(round),
    F(loss),
    F(versions[0]),
    F(versions[1]),
    F(versions[2]),
    F(versions[3]),
    F(versions[4]),
    F(versions[5]),
    F(versions[6]),
    F(versions[7]),
    F(versions[8]),
    F(versions[9]),
    F(versions[10]),
    F(versions[11]),
    F(versions[12]),
    F(versions[13]),
    F(versions[14]),
    F(versions[15]),
};
#undef F

static void
best_key(struct dpc_key *key, const void *record)
{
    dpc_key_add_u32(key, ((const struct dpc_best_record *)record)->path);
}

const struct dpc_record_type dpc_type_best = {
    .name = "best",
    .letter = LETTER_BEST,
    .format = 1,
    .family = DPC_KV_STATE,
    .fields = best_fields,
    .fields_count = COUNT(best_fields),
    .bytes = sizeof(struct dpc_best_record),
    .key = best_key,
};

#define F(member) DPC_FIELD(struct dpc_candidate_record, member)
static const struct dpc_field candidate_fields[] = {
    F(path), F(number), F(round), F(phase), F(documents), F(targets), F(nats),
};
#undef F

static void
candidate_key(struct dpc_key *key, const void *record)
{
    const struct dpc_candidate_record *candidate = record;
    dpc_key_add_u32(key, candidate->path);
    dpc_key_add_u32(key, candidate->number);
}

const struct dpc_record_type dpc_type_candidate = {
    .name = "candidate",
    .letter = LETTER_CANDIDATE,
    .format = 1,
    .family = DPC_KV_HISTORY,
    .fields = candidate_fields,
    .fields_count = COUNT(candidate_fields),
    .bytes = sizeof(struct dpc_candidate_record),
    .key = candidate_key,
};

/* --- The ledger. What varies in length follows these fields (ledger.c). */

#define F(member) DPC_FIELD(struct dpc_ledger_record, member)
static const struct dpc_field ledger_fields[] = {
    F(sequence), F(module), F(version), F(rescale), F(master), F(momentum), F(previous),
};
#undef F

static void
ledger_key(struct dpc_key *key, const void *record)
{
    dpc_key_add_u64(key, ((const struct dpc_ledger_record *)record)->sequence);
}

const struct dpc_record_type dpc_type_ledger = {
    .name = "ledger",
    .letter = LETTER_LEDGER,
    .format = 2,
    .fields_count_format_1 = COUNT(ledger_fields), /* its entries are shorter */
    .family = DPC_KV_HISTORY,
    .fields = ledger_fields,
    .fields_count = COUNT(ledger_fields),
    .bytes = sizeof(struct dpc_ledger_record),
    .key = ledger_key,
};
