/* SPDX-License-Identifier: Apache-2.0
 * Names of things on the wire, and the memory that decoded messages point into. */
#include "proto/message.h"

#include <stddef.h>

#include "base/alloc.h"
#include "proto/codec.h"

static const char *const type_names[] = {
    [DPC_MSG_HELLO] = "hello",
    [DPC_MSG_WELCOME] = "welcome",
    [DPC_MSG_ASK] = "ask",
    [DPC_MSG_LEASE] = "lease",
    [DPC_MSG_WAIT] = "wait",
    [DPC_MSG_HEARTBEAT] = "heartbeat",
    [DPC_MSG_HEARTBEAT_ACK] = "heartbeat-ack",
    [DPC_MSG_SUBMIT] = "submit",
    [DPC_MSG_SUBMITTED] = "submitted",
    [DPC_MSG_GIVE_BACK] = "give-back",
    [DPC_MSG_LEAVE] = "leave",
    [DPC_MSG_ACK] = "ack",
    [DPC_MSG_ERROR] = "error",
    [DPC_MSG_ENROL] = "enrol",
    [DPC_MSG_ENROLLED] = "enrolled",
    [DPC_MSG_FETCH] = "fetch",
    [DPC_MSG_CHUNK] = "chunk",
    [DPC_MSG_OFFER] = "offer",
    [DPC_MSG_PUT] = "put",
    [DPC_MSG_HAVE] = "have",
    [DPC_MSG_ADMIN_REQUEST] = "admin-request",
    [DPC_MSG_ADMIN_REPLY] = "admin-reply",
};

static const char *const task_names[] = {
    [DPC_TASK_TRAIN] = "train",       [DPC_TASK_FEATURIZE] = "featurize",
    [DPC_TASK_EVALUATE] = "evaluate", [DPC_TASK_SCORE] = "score",
    [DPC_TASK_TRACE] = "trace",       [DPC_TASK_REROUTE] = "reroute",
};

static const char *const verdict_names[] = {
    [DPC_VERDICT_CONTINUE] = "continue",     [DPC_VERDICT_ACCEPTED] = "accepted",
    [DPC_VERDICT_SUPERSEDED] = "superseded", [DPC_VERDICT_STALE] = "stale",
    [DPC_VERDICT_MISSING] = "missing",       [DPC_VERDICT_REFUSED] = "refused",
};

static const char *
name_of(const char *const *names, size_t count, unsigned number)
{
    return number < count && names[number] ? names[number] : "?";
}

const char *
dpc_msg_name(enum dpc_msg_type type)
{
    return name_of(type_names, sizeof type_names / sizeof *type_names, (unsigned)type);
}

const char *
dpc_task_name(enum dpc_task_kind kind)
{
    return name_of(task_names, sizeof task_names / sizeof *task_names, (unsigned)kind);
}

const char *
dpc_verdict_name(enum dpc_verdict verdict)
{
    return name_of(verdict_names, sizeof verdict_names / sizeof *verdict_names, (unsigned)verdict);
}

bool
dpc_token_equal(struct dpc_token a, struct dpc_token b)
{
    return a.incarnation == b.incarnation && a.serial == b.serial;
}

size_t
dpc_codec_header_max(enum dpc_msg_type type)
{
    return type == DPC_MSG_ADMIN_REPLY ? DPC_ADMIN_BYTES_MAX : DPC_CONTROL_BYTES_MAX;
}

static void *
arena_alloc(void *context, size_t size)
{
    enum { ALIGNMENT = _Alignof(max_align_t) };
    struct dpc_msg_arena *arena = context;
    size_t start = (arena->used + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (start > arena->size || size > arena->size - start) {
        arena->overrun = true;
        return NULL;
    }
    arena->used = start + size;
    return arena->memory + start;
}

static void
arena_free(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

struct dpc_msg_arena *
dpc_msg_arena_create(size_t bytes_max)
{
    struct dpc_msg_arena *arena = dpc_alloc(1, sizeof *arena);
    arena->memory = dpc_alloc(bytes_max, 1);
    arena->size = bytes_max;
    arena->allocator =
        (ProtobufCAllocator){.alloc = arena_alloc, .free = arena_free, .allocator_data = arena};
    return arena;
}

struct dpc_msg_arena *
dpc_msg_arena_destroy(struct dpc_msg_arena *arena)
{
    if (arena)
        dpc_free(arena->memory);
    return dpc_free(arena);
}
