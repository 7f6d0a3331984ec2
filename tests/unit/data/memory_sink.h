/* SPDX-License-Identifier: Apache-2.0
 *
 * A token file that is written into an empty buffer; DPC_ELIMIT when that is full.
 *
 * Owns: nothing. Threads: one.
 */
#ifndef DPC_TESTS_DATA_MEMORY_SINK_H
#define DPC_TESTS_DATA_MEMORY_SINK_H

#include <string.h>

#include "data/tokens_writer.h"

static inline int
memory_sink_write(void *context, const void *bytes, size_t len, uint64_t offset)
{
    struct dpc_buf *out = context;
    if (offset < out->len)
        memcpy(out->data + offset, bytes, len); /* the header, which comes last */
    else
        dpc_buf_put(out, bytes, len);
    return out->failed ? DPC_ELIMIT : DPC_OK;
}

static inline struct dpc_tokens_sink
memory_sink(struct dpc_buf *out)
{
    return (struct dpc_tokens_sink){.write = memory_sink_write, .context = out};
}

#endif
