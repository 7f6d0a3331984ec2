/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"

/* FIPS 180-4's examples, and the hash of nothing. */
static void
known_answers(void)
{
    static const struct {
        const char *text, *hex;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dpc_hash hash, parsed;
        char hex[DPC_HASH_HEX_MAX];
        dpc_hash_of(rows[i].text, strlen(rows[i].text), &hash);
        dpc_hash_hex(&hash, hex, sizeof hex);
        CU_ASSERT_STRING_EQUAL(hex, rows[i].hex);
        CU_ASSERT_TRUE(dpc_hash_parse(hex, &parsed));
        CU_ASSERT_TRUE(dpc_hash_equal(&hash, &parsed));
    }
}

static void
pieces_give_the_same_as_the_whole(void)
{
    enum { LEN = 100000 };
    uint8_t *bytes = dpc_alloc(LEN, 1);
    struct dpc_hash whole, pieces;
    struct dpc_hasher hasher;
    for (size_t i = 0; i < LEN; i++)
        bytes[i] = (uint8_t)(i * 31);
    dpc_hash_of(bytes, LEN, &whole);
    dpc_hasher_start(&hasher);
    for (size_t at = 0, len = 1; at < LEN; at += len, len = len * 3 % 997 + 1) {
        if (len > LEN - at)
            len = LEN - at;
        dpc_hasher_add(&hasher, bytes + at, len);
    }
    dpc_hasher_finish(&hasher, &pieces);
    CU_ASSERT_TRUE(dpc_hash_equal(&whole, &pieces));
    dpc_hasher_start(&hasher);
    dpc_hasher_add(&hasher, bytes, 10);
    dpc_hasher_abandon(&hasher);
    dpc_free(bytes);
}

static void
hex_may_be_short(void)
{
    struct dpc_hash hash;
    char hex[13], tiny[1] = {'#'}, odd[4];
    dpc_hash_of("abc", 3, &hash);
    dpc_hash_hex(&hash, hex, sizeof hex);
    CU_ASSERT_STRING_EQUAL(hex, "ba7816bf8f01");
    dpc_hash_hex(&hash, odd, sizeof odd);
    CU_ASSERT_STRING_EQUAL(odd, "ba");
    dpc_hash_hex(&hash, tiny, sizeof tiny);
    CU_ASSERT_STRING_EQUAL(tiny, "");
}

static void
only_64_hex_digits_are_a_hash(void)
{
    static const char good[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    struct dpc_hash hash = {{42}};
    char text[80];
    CU_ASSERT_FALSE(dpc_hash_parse("", &hash));
    CU_ASSERT_FALSE(dpc_hash_parse(good + 1, &hash));
    (void)snprintf(text, sizeof text, "%s0", good);
    CU_ASSERT_FALSE(dpc_hash_parse(text, &hash));
    (void)snprintf(text, sizeof text, "%s", good);
    text[63] = 'g';
    CU_ASSERT_FALSE(dpc_hash_parse(text, &hash));
    text[63] = 'D'; /* one spelling only, so that equal names are equal texts */
    CU_ASSERT_FALSE(dpc_hash_parse(text, &hash));
    CU_ASSERT_EQUAL(hash.bytes[0], 42);
}

static void
none_is_nothing(void)
{
    struct dpc_hash hash;
    CU_ASSERT_TRUE(dpc_hash_is_none(&dpc_hash_none));
    dpc_hash_of("", 0, &hash);
    CU_ASSERT_FALSE(dpc_hash_is_none(&hash));
    CU_ASSERT(dpc_hash_compare(&dpc_hash_none, &hash) < 0);
    CU_ASSERT(dpc_hash_compare(&hash, &dpc_hash_none) > 0);
}

static void
random_bytes_differ(void)
{
    uint8_t a[64] = {0}, b[64] = {0};
    dpc_random_bytes(a, sizeof a);
    dpc_random_bytes(b, sizeof b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof a), 0);
}

static const struct dpc_test tests[] = {
    {"known answers", known_answers},
    {"pieces give the same as the whole", pieces_give_the_same_as_the_whole},
    {"hex may be short", hex_may_be_short},
    {"only 64 hex digits are a hash", only_64_hex_digits_are_a_hash},
    {"none is nothing", none_is_nothing},
    {"random bytes differ", random_bytes_differ},
};
DPC_TEST_MAIN("base/hash", tests)
