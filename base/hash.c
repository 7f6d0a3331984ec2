/* SPDX-License-Identifier: Apache-2.0
 * EVP can fail only for want of memory or a broken installation; both abort, as dpc_alloc does. */
#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

const struct dpc_hash dpc_hash_none;

bool
dpc_hash_is_none(const struct dpc_hash *hash)
{
    return dpc_hash_equal(hash, &dpc_hash_none);
}

bool
dpc_hash_equal(const struct dpc_hash *a, const struct dpc_hash *b)
{
    return dpc_hash_compare(a, b) == 0;
}

int
dpc_hash_compare(const struct dpc_hash *a, const struct dpc_hash *b)
{
    return memcmp(a->bytes, b->bytes, DPC_HASH_BYTES);
}

void
dpc_hash_hex(const struct dpc_hash *hash, char *ret_text, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < DPC_HASH_BYTES && used + 2 < size; i++) {
        ret_text[used++] = digits[hash->bytes[i] >> 4];
        ret_text[used++] = digits[hash->bytes[i] & 15];
    }
    if (size)
        ret_text[used] = 0;
}

static int
hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return -1;
}

bool
dpc_hash_parse(const char *text, struct dpc_hash *ret_hash)
{
    struct dpc_hash hash;
    if (strlen(text) != 2 * DPC_HASH_BYTES)
        return false;
    for (size_t i = 0; i < DPC_HASH_BYTES; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        hash.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret_hash = hash;
    return true;
}

static void
require(int worked)
{
    if (worked != 1) {
        fprintf(stderr, "<2>libcrypto has no SHA-256, or no memory is left for it\n");
        abort();
    }
}

void
dpc_hash_of(const void *bytes, size_t len, struct dpc_hash *ret_hash)
{
    require(EVP_Digest(bytes, len, ret_hash->bytes, NULL, EVP_sha256(), NULL));
}

void
dpc_hasher_start(struct dpc_hasher *hasher)
{
    hasher->evp = EVP_MD_CTX_new();
    require(hasher->evp != NULL);
    require(EVP_DigestInit_ex(hasher->evp, EVP_sha256(), NULL));
}

void
dpc_hasher_add(struct dpc_hasher *hasher, const void *bytes, size_t len)
{
    require(EVP_DigestUpdate(hasher->evp, bytes, len));
}

void
dpc_hasher_finish(struct dpc_hasher *hasher, struct dpc_hash *ret_hash)
{
    require(EVP_DigestFinal_ex(hasher->evp, ret_hash->bytes, NULL));
    dpc_hasher_abandon(hasher);
}

void
dpc_hasher_abandon(struct dpc_hasher *hasher)
{
    EVP_MD_CTX_free(hasher->evp);
    hasher->evp = NULL;
}

uint64_t
dpc_hash_draw(const char *domain, const void *bytes, size_t len)
{
    struct dpc_hasher hasher;
    struct dpc_hash hash;
    uint64_t bits = 0;
    dpc_hasher_start(&hasher);
    dpc_hasher_add(&hasher, domain, strlen(domain) + 1);
    dpc_hasher_add(&hasher, bytes, len);
    dpc_hasher_finish(&hasher, &hash);
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | hash.bytes[i];
    return bits;
}

void
dpc_random_bytes(void *ret_bytes, size_t len)
{
    uint8_t *at = ret_bytes;
    while (len) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            fprintf(stderr, "<2>the kernel gives no random bytes\n");
            abort();
        }
        at += got;
        len -= (size_t)got;
    }
}
