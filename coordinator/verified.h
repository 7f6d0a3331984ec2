/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of blobs that were read whole and are what they are called, since the process began: what
 * is sent piece by piece is read through once, not for each piece.
 *
 * Owns: its table. Threads: one. Limits: the capacity it was made for; then a name goes that nobody
 * has asked for of late. All in constant time, taken over many calls. Not here: whether a blob is
 * still there, which the store says.
 */
#ifndef DPC_COORDINATOR_VERIFIED_H
#define DPC_COORDINATOR_VERIFIED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"

struct dpc_verified;

struct dpc_verified *dpc_verified_create(uint32_t capacity);
/* Takes NULL. */
struct dpc_verified *dpc_verified_destroy(struct dpc_verified *verified);

/* Of a name that is there already nothing changes. */
void dpc_verified_add(struct dpc_verified *verified, const struct dpc_hash *hash);
/* Asking for a name keeps it: others go first. */
bool dpc_verified_has(struct dpc_verified *verified, const struct dpc_hash *hash);

#endif
