/* SPDX-License-Identifier: Apache-2.0
 *
 * A score table: what an `evaluate` task found for each document, as the blob that a worker hands
 * in and the report sums up. Little-endian: {"DPCSCOR1", u32 format 1, u32 count}, then for each
 * document u32 id, u32 targets, u32 bytes, f64 nats.
 *
 * Owns: nothing. Threads: any. Limits: DPC_SCORES_MAX documents a table.
 */
#ifndef DPC_DATA_SCORES_H
#define DPC_DATA_SCORES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum {
    DPC_SCORES_MAX = 1 << 24, /* more documents than one evaluation task gets */
    DPC_SCORES_HEADER_BYTES = 16,
    DPC_SCORES_ENTRY_BYTES = 20,
};

struct dpc_score {
    uint32_t id;      /* of the document, in the corpus */
    uint32_t targets; /* tokens that count: the prefix is masked, windows are bounded */
    uint32_t bytes;   /* of text that those tokens stand for */
    double nats;      /* sum of their losses */
};

/* Appends a table; check out->failed. `count` is at most DPC_SCORES_MAX. */
void dpc_scores_write(struct dpc_buf *out, const struct dpc_score *scores, size_t count);

/* A table into fresh memory (dpc_free it; never NULL). DPC_EVERSION for another format, DPC_ELIMIT,
 * and DPC_ECORRUPT for all else, nats that are negative or not finite among it. */
int dpc_scores_read(const void *bytes, size_t len, struct dpc_score **ret_scores, size_t *ret_count,
                    struct dpc_error *err) DPC_MUST_CHECK;

#endif
