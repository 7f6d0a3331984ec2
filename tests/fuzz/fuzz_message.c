/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a peer puts into a header frame: the decoder neither crashes nor takes more than its
 * arena, and what it accepts can be encoded again and comes back the same.
 */
#include "proto/message.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/proto/samples.h"

enum { ARENA_BYTES = 2 * 1024 * 1024 };

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
    fuzz_accepted++;
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
add_inputs(struct fuzz *fuzz)
{
    uint64_t count = fuzz->count;
    for (size_t i = 0; i < dpc_sample_types_count; i++) {
        for (int kind = 0; kind < DPC_SAMPLE_KINDS; kind++) {
            struct dpc_msg msg;
            struct dpc_buf valid;
            dpc_sample(dpc_sample_types[i], kind, &msg);
            dpc_buf_init(&valid, 0);
            encode_or_die(&msg, &valid);
            fuzz->count = kind == DPC_SAMPLE_LARGEST ? count / 15 : count;
            fuzz_valid(fuzz, valid.data, valid.len, 0);
            dpc_buf_done(&valid);
        }
    }
    fuzz->count = count;
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 1500, add_inputs);
}

#endif
