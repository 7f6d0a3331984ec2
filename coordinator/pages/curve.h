/* SPDX-License-Identifier: Apache-2.0
 *
 * The train losses of a run, for a picture of them while it goes on: the dense path, and the mean
 * of the routed ones, by how far in the schedule they are. In nats a token.
 *
 * Owns: its sums. Threads: one. Limits: DPC_CURVE_POINTS a line, whatever the number of paths and
 * rounds; with more rounds than that a point is the mean of a few.
 */
#ifndef DPC_COORDINATOR_PAGES_CURVE_H
#define DPC_COORDINATOR_PAGES_CURVE_H

#include "base/buf.h"
#include "coordinator/core/core.h"

enum { DPC_CURVE_POINTS = 256 };

struct dpc_curve;

/* Of the core's experiment, with what the store has of it. The core must outlive it. */
int dpc_curve_create(const struct dpc_core *core, const struct dpc_experiment *experiment,
                     struct dpc_kv *kv, struct dpc_curve **ret_curve,
                     struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_curve *dpc_curve_destroy(struct dpc_curve *curve);

/* A path's loss behind so many steps of a round. What is not behind all that it told before does
 * not count, so that it may be told again. */
void dpc_curve_add(struct dpc_curve *curve, uint32_t path, uint32_t round, uint32_t steps,
                   double loss);
/* As SVG; nothing before there is a loss. */
void dpc_curve_draw(const struct dpc_curve *curve, struct dpc_buf *out);

#endif
