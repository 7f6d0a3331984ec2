/* SPDX-License-Identifier: Apache-2.0
 *
 * The held-out loss of a path, computed again from the store: what the report says, by another way.
 *
 * Owns: nothing. Threads: one.
 */
#ifndef DPC_CLI_EVALUATE_H
#define DPC_CLI_EVALUATE_H

#include "cli/model.h"

struct dpc_evaluation {
    double nats;      /* sum of losses */
    uint64_t targets; /* tokens that the loss counts */
    uint64_t bytes;   /* of text that they stand for */
    uint32_t documents;
};

/* Reads the path's held-out documents. DPC_ENOTFOUND before they were sharded. */
int dpc_evaluate_path(struct dpc_model *model, uint32_t path, struct dpc_evaluation *ret_evaluation,
                      struct dpc_error *err) DPC_MUST_CHECK;

void dpc_evaluation_add(struct dpc_evaluation *into, const struct dpc_evaluation *from);
/* NaN without targets. */
double dpc_evaluation_perplexity(const struct dpc_evaluation *evaluation);
double dpc_evaluation_bits_per_byte(const struct dpc_evaluation *evaluation);

#endif
