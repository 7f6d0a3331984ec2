/* SPDX-License-Identifier: Apache-2.0
 * The process's own memory, as a table's: all is done when a call returns. */
#include "ops/ops.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

static void *
allocate(size_t bytes)
{
    return dpc_try_alloc_vector(bytes, 1);
}

static void
release(void *memory)
{
    dpc_free(memory);
}

static void
clear(void *memory, size_t bytes)
{
    memset(memory, 0, bytes);
}

static void
copy(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

static int
finish(void)
{
    return DPC_OK;
}

const struct dpc_memory dpc_memory_host = {
    .allocate = allocate,
    .release = release,
    .clear = clear,
    .upload = copy,
    .download = copy,
    .finish = finish,
};
