/* SPDX-License-Identifier: Apache-2.0
 *
 * A trained (or half trained) model in a coordinator's store, opened read-only: its experiment, its
 * router, and paths composed of the current versions of their modules, or with early stopping of
 * those of each path's best round so far. Works beside a coordinator that goes on.
 *
 * Owns: the store's handle and paths for inference, one if it is not told otherwise. Threads: one.
 */
#ifndef DPC_CLI_MODEL_H
#define DPC_CLI_MODEL_H

#include "base/error.h"
#include "base/experiment.h"
#include "base/topology.h"
#include "data/tokenizer.h"
#include "data/tokens.h"
#include "modules/path.h"
#include "storage/db/store.h"

struct dpc_model;

enum { DPC_MODEL_BATCH_MAX = 8 };

/* `folder` is that of a run, or a store itself. DPC_ENOTFOUND when there is none. */
int dpc_model_open(const char *folder, struct dpc_model **ret_model,
                   struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_model *dpc_model_close(struct dpc_model *model);

/* Reads the store again: what comes into memory from then on is as the run stands now; what is
 * there stays as it is. DPC_ESTALE when the store cannot be read any more or is that of another
 * run, and the model is what it was. */
int dpc_model_refresh(struct dpc_model *model, struct dpc_error *err) DPC_MUST_CHECK;

const struct dpc_experiment *dpc_model_experiment(const struct dpc_model *model);
const struct dpc_topology *dpc_model_topology(const struct dpc_model *model);
/* What made tokens of its corpus; it belongs to the model. DPC_ENOTFOUND before the corpus was
 * read. */
int dpc_model_tokenizer(struct dpc_model *model, const struct dpc_tokenizer **ret_tokenizer,
                        struct dpc_error *err) DPC_MUST_CHECK;
/* The file that it was made of, in fresh memory (dpc_free it); NULL where tokens are bytes. Errors
 * as above, DPC_ECORRUPT. */
int dpc_model_tokenizer_file(struct dpc_model *model, uint8_t **ret_bytes, size_t *ret_len,
                             struct dpc_error *err) DPC_MUST_CHECK;
/* The number of the path of this name. DPC_ENOTFOUND. */
int dpc_model_find_path(const struct dpc_model *model, const char *name, uint32_t *ret_path,
                        struct dpc_error *err) DPC_MUST_CHECK;
/* The record of a path; all zero before its shard was made. */
const struct dpc_path_record *dpc_model_path_record(const struct dpc_model *model, uint32_t path);

/* The held-out documents that were routed to a path. `*ret_bytes` keeps them: close the tokens
 * first, then dpc_free it. DPC_ENOTFOUND before they were sharded, or when there are none. */
int dpc_model_test_documents(struct dpc_model *model, uint32_t path, uint8_t **ret_bytes,
                             struct dpc_tokens **ret_tokens, struct dpc_error *err) DPC_MUST_CHECK;

/* How many paths may be in memory at a time, never fewer than before, and beside them the model
 * that computes routing features, if one is asked. */
void dpc_model_set_residents(struct dpc_model *model, uint32_t count);

/* The path composed of the versions of its modules that it takes, checked against their hashes. It
 * belongs to the model and is valid until the next call, or as long as it is held; batches of up to
 * DPC_MODEL_BATCH_MAX sequences. DPC_EBUSY when all that may be in memory are held, DPC_ESTALE when
 * the run went on and what it was is gone (dpc_model_refresh). */
int dpc_model_path(struct dpc_model *model, uint32_t path, struct dpc_path **ret_path,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* The same, for who takes one path after the other beside a run that goes on: where what was known
 * of it is gone by now, the store is read again. */
int dpc_model_path_of_now(struct dpc_model *model, uint32_t path, struct dpc_path **ret_path,
                          struct dpc_error *err) DPC_MUST_CHECK;
/* Of a path that dpc_model_path gave; as often as it was held it has to be let go. */
void dpc_model_hold(struct dpc_model *model, const struct dpc_path *path);
void dpc_model_let_go(struct dpc_model *model, const struct dpc_path *path);

/* The routed path of a text by its first `routing.prefix` tokens: the router over its features.
 * DPC_ENOTFOUND before there is a router, DPC_ESTALE as above. */
int dpc_model_route(struct dpc_model *model, const int32_t *tokens, uint32_t tokens_count,
                    uint32_t *ret_path, struct dpc_error *err) DPC_MUST_CHECK;

#endif
