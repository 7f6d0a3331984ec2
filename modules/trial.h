/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a card computes what the processor does, before anybody builds on it: cards that are run
 * too fast or are about to die give wrong numbers rather than failures, and a driver or a plug-in
 * may have a fault on one kind of card alone.
 *
 * Owns: nothing. Threads: one at a time. Not here: every op at every shape (tests/unit/ops),
 * whether a worker tells the truth (coordinator/).
 */
#ifndef DPC_MODULES_TRIAL_H
#define DPC_MODULES_TRIAL_H

#include "base/error.h"
#include "ops/card.h"

/* ||a - b|| / ||b||; NaN, which passes no comparison, where a value is none. */
double dpc_trial_distance(const float *a, const float *b, size_t count);

/* A step forward and back of a small path, by `ops` and by the CPU in fp32, from the same weights
 * and tokens. `*ret_off`: the largest distance of a level's gradients. DPC_ECORRUPT: they are
 * further apart than the numbers of such a table explain; DPC_EDEVICE: the card failed (err has no
 * text); also what dpc_path_create says. */
int dpc_trial(const struct dpc_ops *ops, double *ret_off, struct dpc_error *err) DPC_MUST_CHECK;

/* The same for every table of the card, also those that no job may need; err always has
 * words. `*ret_off` is the largest of them, -1 where nothing was tried since there is no room in
 * its memory: a job will say so better. */
int dpc_trial_card(const struct dpc_card *card, double *ret_off,
                   struct dpc_error *err) DPC_MUST_CHECK;

#endif
