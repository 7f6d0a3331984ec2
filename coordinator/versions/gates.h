/* SPDX-License-Identifier: Apache-2.0
 *
 * The gates of `trust: open`: what a module's outer step makes of contributions that anybody may
 * have sent. Each gets a factor on its weight, `scale`, and marks that say why:
 * - a norm above GATE_CLIP times the median of the round is clipped to that, for a part of a round
 * to the root of that part of it;
 * - one of at least GATE_VOTERS_MIN that points against the others (cosine with the coordinate-wise
 *   median of the others below GATE_COSINE_MIN) counts nothing: with fewer there is no majority,
 *   nor where one owner made half of the others;
 * - the same delta again, or nearly so (cosine above GATE_COPY_COSINE), counts once;
 * - a norm below GATE_IDLE times the median, for a part of a round that part of it, is told: next
 * to nothing was trained;
 * - an owner's contributions together weigh at most half of the weight that came, while there are
 * others; what these bring may be less, and the owner's still most of the step.
 *
 * What is left out weighs nothing and is not made up for, so the most that gates, or a worker that
 * provokes them, can do is to shorten the step. Everything follows from the deltas, weights and
 * owners in canonical order, so the bits do too; the ledger has the scales.
 *
 * Owns: nothing. Threads: any. Limits: memory is GATE_VALUES_MAX values and, up to
 * GATE_PAIRS_MAX contributions, one number a pair; above, near copies are not looked for.
 * Not here: where deltas lie (outer.c), what is told to whom (core/trust.c).
 */
#ifndef DPC_COORDINATOR_VERSIONS_GATES_H
#define DPC_COORDINATOR_VERSIONS_GATES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "coordinator/core/core.h"

/* Why these: docs/trust.md has the spread of honest contributions. */
#define GATE_CLIP        2.5
#define GATE_COSINE_MIN  (-0.2)
#define GATE_COPY_COSINE 0.99
#define GATE_IDLE        0.05
#define GATE_OWNER_MAX   0.5
enum { GATE_VOTERS_MIN = 4, GATE_PAIRS_MAX = 1024, GATE_VALUES_MAX = 4 << 20 };

/* Where deltas come from: `count` values of contribution `index` from the place `first` on. */
struct dpc_gate_source {
    void *context;
    int (*read)(void *context, uint32_t index, size_t first, size_t count, float *ret_values,
                struct dpc_error *err);
};

/* Judges `inputs`, deltas of `count` values each, into `ret_judged[inputs_count]`. Errors are the
 * source's, or DPC_ENOMEM. */
int dpc_gates_judge(const struct dpc_gate_source *source, const struct dpc_fold_input *inputs,
                    uint32_t inputs_count, size_t count, struct dpc_judged *ret_judged,
                    struct dpc_error *err) DPC_MUST_CHECK;

#endif
