/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a peer puts into a header frame: the decoder neither crashes nor takes more than its
 * arena, and what it accepts can be encoded again and comes back the same.
 *
 * With -DDPC_LIBFUZZER and clang's -fsanitize=fuzzer this is a fuzz target. Built by `make check`
 * it is a program: files named on the command line are replayed, then mutations of valid frames,
 * from a fixed seed (argument `-n COUNT` for more).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "proto/message.h"
#include "tests/unit/proto/samples.h"

enum { ARENA_BYTES = 2 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
encode_or_die(const struct dpc_msg *msg, struct dpc_buf *buf)
{
    struct dpc_error err;
    if (dpc_msg_encode(msg, buf, &err) != DPC_OK) {
        fprintf(stderr, "a decoded message was not encoded: %s\n", err.text);
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dpc_msg_arena *first, *second;
    if (!first) {
        first = dpc_msg_arena_create(ARENA_BYTES);
        second = dpc_msg_arena_create(ARENA_BYTES);
    }
    struct dpc_msg msg, again;
    struct dpc_error err;
    struct dpc_buf a, b;
    if (dpc_msg_decode(data, size, first, &msg, &err) != DPC_OK)
        return 0;
    dpc_buf_init(&a, 0);
    dpc_buf_init(&b, 0);
    encode_or_die(&msg, &a);
    if (dpc_msg_decode(a.data, a.len, second, &again, &err) != DPC_OK)
        abort();
    encode_or_die(&again, &b);
    if (a.len != b.len || (a.len && memcmp(a.data, b.data, a.len) != 0))
        abort();
    dpc_buf_done(&a);
    dpc_buf_done(&b);
    return 0;
}

#ifndef DPC_LIBFUZZER

static void
replay(const char *path)
{
    static uint8_t bytes[2 * DPC_ADMIN_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "could not open \"%s\"\n", path);
        abort();
    }
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, len);
}

/* Flips, overwrites, cuts, doubles and moves bytes; returns the new length. */
static size_t
mutate(struct dpc_rng *rng, uint8_t *bytes, size_t len, size_t size)
{
    size_t at = len ? (size_t)dpc_rng_below(rng, len) : 0;
    size_t run = len ? (size_t)dpc_rng_below(rng, len - at) + 1 : 0;
    switch (dpc_rng_below(rng, 6)) {
    case 0:
        if (len)
            bytes[at] ^= (uint8_t)(1u << dpc_rng_below(rng, 8));
        return len;
    case 1:
        if (len)
            bytes[at] = (uint8_t)dpc_rng_u32(rng);
        return len;
    case 2:
        return at;
    case 3:
        memmove(bytes + at, bytes + at + run, len - at - run);
        return len - run;
    case 4:
        if (len + run > size)
            return len;
        memmove(bytes + at + run, bytes + at, len - at);
        return len + run;
    default:
        if (len)
            bytes[at] = (uint8_t[]){0x00, 0x7f, 0x80, 0xff}[dpc_rng_below(rng, 4)];
        return len;
    }
}

static void
mutations_of(enum dpc_msg_type type, int kind, uint64_t count)
{
    struct dpc_msg msg;
    struct dpc_buf valid;
    struct dpc_rng rng;
    dpc_sample(type, kind, &msg);
    dpc_buf_init(&valid, 0);
    encode_or_die(&msg, &valid);
    LLVMFuzzerTestOneInput(valid.data, valid.len);
    size_t size = 2 * valid.len + 64;
    uint8_t *bytes = dpc_try_alloc(size, 1);
    if (!bytes)
        abort();
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, (uint32_t)type, (uint32_t)kind, 0);
    for (uint64_t i = 0; i < count; i++) {
        size_t len = valid.len;
        if (len)
            memcpy(bytes, valid.data, len);
        for (uint64_t k = dpc_rng_below(&rng, 4) + 1; k > 0; k--)
            len = mutate(&rng, bytes, len, size);
        LLVMFuzzerTestOneInput(bytes, len);
    }
    dpc_free(bytes);
    dpc_buf_done(&valid);
}

int
main(int argc, char **argv)
{
    uint64_t count = 1500;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            count = strtoull(argv[++i], NULL, 10);
        else
            replay(argv[i]);
    }
    for (size_t i = 0; i < dpc_sample_types_count; i++) {
        for (int kind = 0; kind < DPC_SAMPLE_KINDS; kind++)
            mutations_of(dpc_sample_types[i], kind,
                         kind == DPC_SAMPLE_LARGEST ? count / 15 : count);
    }
    printf("fuzz_message: %zu types, %llu mutations each\n", dpc_sample_types_count,
           (unsigned long long)count);
    return 0;
}

#endif
