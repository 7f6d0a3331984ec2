/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the plug-in that plays a card: its tables, and the gate through which every kernel goes.
 *
 * Owns: nothing. Threads: one. Not here: what steers it (fake_card.c).
 */
#ifndef DPC_TESTS_UNIT_OPS_FAKE_CARD_H
#define DPC_TESTS_UNIT_OPS_FAKE_CARD_H

#include "ops/ops.h"

/* Opens the card's memory for one kernel; false when the card has failed, and nothing may be
 * computed. */
bool fake_card_enter(void);
void fake_card_leave(void);

extern const struct dpc_memory fake_card_memory;

/* fake_table.c, compiled once for each number format. */
void fake_table_fp32(struct dpc_ops *ret_ops);
void fake_table_bf16(struct dpc_ops *ret_ops);

#endif
