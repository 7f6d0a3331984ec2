/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the codec (encode.c, decode.c) share with each other and nobody else: the
 * generated types, the bounds that both hold a message to, and the arena.
 *
 * Owns: an arena owns its memory. Threads: as message.h.
 */
#ifndef DPC_PROTO_CODEC_H
#define DPC_PROTO_CODEC_H

#include "base/limits.h"
#include "proto/message.h"
#include "proto/wire.pb-c.h"

enum {
    /* The dense paths' and the dense modules' ids stand behind the routed ones (base/topology.h).
     */
    DPC_CODEC_PATH_MAX = DPC_PATHS_MAX + DPC_WARM_REPLICAS_MAX - 1,
    DPC_CODEC_MODULE_MAX = DPC_MODULES_MAX + DPC_LEVELS_MAX - 1,
    /* The dense path's rounds go on from those of its warm start, of a step at least. */
    DPC_CODEC_ROUND_MAX = DPC_ROUNDS_MAX + DPC_STEPS_MAX,
    DPC_CODEC_MISSING_MAX = DPC_LEVELS_MAX + 2,
};

_Static_assert((int)DPC_TEXT_MAX >= (int)DPC_ERROR_TEXT_MAX, "an error report travels whole");

/* Header bytes that a message of this type may have. */
size_t dpc_codec_header_max(enum dpc_msg_type type);

/* A bump allocator over memory of fixed size: freeing is a no-op, `overrun` says that a request did
 * not fit. Dressed up as what protobuf-c wants. */
struct dpc_msg_arena {
    ProtobufCAllocator allocator;
    uint8_t *memory;
    size_t size, used;
    bool overrun;
};

/* Makes `text` fit for logs, terminals and JSON, in place: each byte of what is not UTF-8, and of
 * control characters (but newline and tab where `lines`), becomes '?'. */
void dpc_codec_clean_text(char *text, bool lines);

#endif
