/* SPDX-License-Identifier: Apache-2.0
 *
 * The conformance suite of op tables: what every table must compute, whoever's it is. One list of
 * cases, one table of limits.
 *
 * Owns: nothing. Threads: one. Not here: which tables there are (test_ops.c, test_ops_card.c).
 */
#ifndef DPC_TESTS_UNIT_OPS_CONFORMANCE_H
#define DPC_TESTS_UNIT_OPS_CONFORMANCE_H

#include "ops/ops.h"

/* Every kernel against the reference of the same dtype, and against itself: twice the same bits.
 * With DPC_TEST_SMALL in the environment, on small shapes alone: for slow checkers. */
void dpc_conform_kernels(const struct dpc_ops *ops);

/* Every backward kernel of a table of fp32 against difference quotients of its forward kernel.
 * Other tables' kernels are held against the reference's. */
void dpc_conform_gradients(const struct dpc_ops *ops);

#endif
