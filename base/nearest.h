/* SPDX-License-Identifier: Apache-2.0
 *
 * The nearest name to a misspelled one, for "did you mean".
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_BASE_NEAREST_H
#define DPC_BASE_NEAREST_H

#include <stddef.h>

/* A running search: initialise with {.wanted = text}, offer every name, read `best`. */
struct dpc_nearest {
    const char *wanted;
    const char *best; /* NULL when none came close enough to be meant */
    size_t best_distance;
};

/* `name` must outlive the search. */
void dpc_nearest_offer(struct dpc_nearest *nearest, const char *name);

/* Edits (insert, drop, replace, swap of neighbours) between two names; longer ones than 128 bytes
 * are compared by their first 128. */
size_t dpc_nearest_distance(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
