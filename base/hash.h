/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 names of blobs, versions and contributions (OpenSSL's EVP, 1.5-2 GB/s with SHA-NI).
 *
 * Owns: a running hash owns its EVP context. Threads: a running hash belongs to one thread.
 */
#ifndef DPC_BASE_HASH_H
#define DPC_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DPC_HASH_BYTES = 32, DPC_HASH_HEX_MAX = 2 * DPC_HASH_BYTES + 1 };

struct dpc_hash {
    uint8_t bytes[DPC_HASH_BYTES];
};

/* No content: all zero. SHA-256 of nothing in practice is never all zero. */
extern const struct dpc_hash dpc_hash_none;

bool dpc_hash_is_none(const struct dpc_hash *hash);
bool dpc_hash_equal(const struct dpc_hash *a, const struct dpc_hash *b);
int dpc_hash_compare(const struct dpc_hash *a, const struct dpc_hash *b);

/* Lower-case hex with the final zero; `size` chooses a short form (12 + 1 for people). */
void dpc_hash_hex(const struct dpc_hash *hash, char *ret_text, size_t size);
/* Exactly 64 hex digits; false otherwise. */
bool dpc_hash_parse(const char *text, struct dpc_hash *ret_hash);

void dpc_hash_of(const void *bytes, size_t len, struct dpc_hash *ret_hash);

/* A hash while bytes arrive. Call _start, then _add as often as needed, then _finish, which also
 * releases; _abandon releases without a result. */
struct dpc_hasher {
    void *evp;
};
void dpc_hasher_start(struct dpc_hasher *hasher);
void dpc_hasher_add(struct dpc_hasher *hasher, const void *bytes, size_t len);
void dpc_hasher_finish(struct dpc_hasher *hasher, struct dpc_hash *ret_hash);
void dpc_hasher_abandon(struct dpc_hasher *hasher);

/* 64 even bits that follow from the bytes, for one purpose, the domain: they tell nothing of those
 * of another. */
uint64_t dpc_hash_draw(const char *domain, const void *bytes, size_t len);

/* `len` random bytes from the kernel: keys, incarnations, tokens. Aborts when there are none. */
void dpc_random_bytes(void *ret_bytes, size_t len);

#endif
