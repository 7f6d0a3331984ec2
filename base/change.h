/* SPDX-License-Identifier: Apache-2.0
 *
 * Changes of keys between two experiments, for the table of keys and for who compares them.
 *
 * Owns: nothing. Threads: constant.
 */
#ifndef DPC_BASE_CHANGE_H
#define DPC_BASE_CHANGE_H

/* When a key is changed: in a running experiment; in a fork of one, for what was trained before it
 * does not depend on the key; in a fork of a warm start, which does not, to the bit. */
enum dpc_change { DPC_CHANGE_RUNNING = 1, DPC_CHANGE_FORK = 2, DPC_CHANGE_WARM = 4 };

#endif
