/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory. Small control data comes from `dpc_alloc`, which aborts when there is none: nobody can go on
 * without a few hundred bytes. Anything whose size a peer, a file or an option decides comes from
 * `dpc_try_alloc`, after a check against base/limits.h.
 *
 * Owns: nothing. Threads: any. Not here: arenas of a training step (modules/).
 */
#ifndef DPC_BASE_ALLOC_H
#define DPC_BASE_ALLOC_H

#include <stddef.h>

/* Zeroed memory of `count` times `size` bytes; aborts when there is none. Release with dpc_free. */
void *dpc_alloc(size_t count, size_t size) __attribute__((returns_nonnull, malloc));

/* The same, or NULL when there is no memory or the product overflows. */
void *dpc_try_alloc(size_t count, size_t size) __attribute__((warn_unused_result));

/* Zeroed memory aligned to 64 bytes, for vectors; NULL when there is none. Release with dpc_free. */
void *dpc_try_alloc_vector(size_t count, size_t size) __attribute__((warn_unused_result));

/* Grows `old` (may be NULL) to `count` elements; aborts when there is no memory. New bytes are not set. */
void *dpc_grow(void *old, size_t count, size_t size) __attribute__((returns_nonnull));

/* The same, or NULL, and `old` stays valid. */
void *dpc_try_grow(void *old, size_t count, size_t size) __attribute__((warn_unused_result));

char *dpc_strdup(const char *text) __attribute__((returns_nonnull, malloc));

/* printf into fresh memory; aborts when there is none. */
char *dpc_format(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* Takes NULL and returns NULL, so that `p = dpc_free(p)` leaves no dangling pointer. */
void *dpc_free(void *memory);

#endif
