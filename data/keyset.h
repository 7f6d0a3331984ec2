/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of content keys, so that an import keeps each text once.
 *
 * Owns: its slots. Threads: one.
 */
#ifndef DPC_DATA_KEYSET_H
#define DPC_DATA_KEYSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/split.h"

struct dpc_keyset {
    uint8_t (*slots)[DPC_CONTENT_KEY_BYTES];
    size_t slots_count; /* a power of two, or 0 */
    size_t count;
};

void dpc_keyset_init(struct dpc_keyset *set);
void dpc_keyset_done(struct dpc_keyset *set);

bool dpc_keyset_has(const struct dpc_keyset *set, const uint8_t key[DPC_CONTENT_KEY_BYTES]);
/* A key that is in the set stays there once. False when there is no memory. */
bool dpc_keyset_add(struct dpc_keyset *set, const uint8_t key[DPC_CONTENT_KEY_BYTES]);

#endif
