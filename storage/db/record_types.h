/* SPDX-License-Identifier: Apache-2.0
 *
 * The kinds of records: letter, format, family, fields and key of each.
 *
 * Owns: nothing. Threads: any. Not here: anything that another folder calls.
 */
#ifndef DPC_STORAGE_DB_RECORD_TYPES_H
#define DPC_STORAGE_DB_RECORD_TYPES_H

#include "storage/db/codec.h"

extern const struct dpc_record_type dpc_type_store;
extern const struct dpc_record_type dpc_type_phase;
extern const struct dpc_record_type dpc_type_experiment; /* no fields: a text */
extern const struct dpc_record_type dpc_type_origin;
extern const struct dpc_record_type dpc_type_module;
extern const struct dpc_record_type dpc_type_version;
extern const struct dpc_record_type dpc_type_path;
extern const struct dpc_record_type dpc_type_contribution;
extern const struct dpc_record_type dpc_type_lease;
extern const struct dpc_record_type dpc_type_worker;
extern const struct dpc_record_type dpc_type_invitation;
extern const struct dpc_record_type dpc_type_member;
extern const struct dpc_record_type dpc_type_void;
extern const struct dpc_record_type dpc_type_conduct;
extern const struct dpc_record_type dpc_type_result;
extern const struct dpc_record_type dpc_type_shard;
extern const struct dpc_record_type dpc_type_best;
extern const struct dpc_record_type dpc_type_candidate;
extern const struct dpc_record_type dpc_type_ledger; /* entries follow the fields */

#endif
