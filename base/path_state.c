/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path_state.h"

#include <string.h>

#include "base/limits.h"

enum { FORMAT = 1, FIELDS_BYTES = 32 };
static const char magic[8] = "DPCSTAT1";

size_t
dpc_path_state_bytes(size_t count)
{
    return DPC_PATH_STATE_HEADER_BYTES + 2 * count * sizeof(float);
}

void
dpc_path_state_put_header(struct dpc_buf *out, uint64_t steps, size_t count)
{
    static const uint8_t zeros[DPC_PATH_STATE_HEADER_BYTES - FIELDS_BYTES];
    dpc_buf_put(out, magic, sizeof magic);
    dpc_buf_put_u32(out, FORMAT);
    dpc_buf_put_u32(out, 0);
    dpc_buf_put_u64(out, steps);
    dpc_buf_put_u64(out, count);
    dpc_buf_put(out, zeros, sizeof zeros);
}

int
dpc_path_state_read_header(const void *bytes, size_t len, size_t count, uint64_t *ret_steps,
                           struct dpc_error *err)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, bytes, len);
    const uint8_t *begin = dpc_reader_bytes(&reader, sizeof magic);
    if (!begin || memcmp(begin, magic, sizeof magic) != 0)
        return dpc_error_set(err, DPC_ECORRUPT, "could not read a path state: it is none");
    uint32_t format = dpc_reader_u32(&reader);
    (void)dpc_reader_u32(&reader);
    uint64_t steps = dpc_reader_u64(&reader), has = dpc_reader_u64(&reader);
    if (!reader.failed && format != FORMAT)
        return dpc_error_set(err, DPC_EVERSION,
                             "could not read a path state: it has format %u, this program reads %u",
                             format, (unsigned)FORMAT);
    if (reader.failed || has != count || len != dpc_path_state_bytes(count))
        return dpc_error_set(err, DPC_ECORRUPT,
                             "could not read a path state: %zu bytes for %llu values, but the path "
                             "has %zu values and needs %zu bytes",
                             len, (unsigned long long)has, count, dpc_path_state_bytes(count));
    if (steps > DPC_STEPS_TOTAL_MAX)
        return dpc_error_set(err, DPC_ECORRUPT,
                             "could not read a path state: it says %llu steps, and at most %d are "
                             "possible",
                             (unsigned long long)steps, DPC_STEPS_TOTAL_MAX);
    *ret_steps = steps;
    return DPC_OK;
}
