/* SPDX-License-Identifier: Apache-2.0
 * The length says how many entries there are before anything is allocated for them. */
#include "data/scores.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

static const char magic[8] = {'D', 'P', 'C', 'S', 'C', 'O', 'R', '1'};

enum { FORMAT = 1 };

void
dpc_scores_write(struct dpc_buf *out, const struct dpc_score *scores, size_t count)
{
    dpc_buf_put(out, magic, sizeof magic);
    dpc_buf_put_u32(out, FORMAT);
    dpc_buf_put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        dpc_buf_put_u32(out, scores[i].id);
        dpc_buf_put_u32(out, scores[i].targets);
        dpc_buf_put_u32(out, scores[i].bytes);
        dpc_buf_put_f64(out, scores[i].nats);
    }
}

/* Reads the header and compares its count with the length. */
static int
read_header(struct dpc_reader *reader, size_t len, uint32_t *ret_count, struct dpc_error *err)
{
    const uint8_t *start = dpc_reader_bytes(reader, sizeof magic);
    if (!start || memcmp(start, magic, sizeof magic) != 0)
        return dpc_error_set(err, DPC_ECORRUPT, "these bytes are no score table");
    uint32_t format = dpc_reader_u32(reader), count = dpc_reader_u32(reader);
    if (!reader->failed && format != FORMAT)
        return dpc_error_set(err, DPC_EVERSION,
                             "the score table has format %u, this release reads %d", format,
                             FORMAT);
    if (count > DPC_SCORES_MAX)
        return dpc_error_set(err, DPC_ELIMIT,
                             "the score table names %u documents, at most %d are read", count,
                             DPC_SCORES_MAX);
    if (reader->failed || len != DPC_SCORES_HEADER_BYTES + (size_t)count * DPC_SCORES_ENTRY_BYTES)
        return dpc_error_set(err, DPC_ECORRUPT, "the score table of %u documents has %zu bytes",
                             count, len);
    *ret_count = count;
    return DPC_OK;
}

int
dpc_scores_read(const void *bytes, size_t len, struct dpc_score **ret_scores, size_t *ret_count,
                struct dpc_error *err)
{
    struct dpc_reader reader;
    uint32_t count = 0;
    dpc_reader_init(&reader, bytes, len);
    int code = read_header(&reader, len, &count, err);
    if (code != DPC_OK)
        return code;
    struct dpc_score *scores = dpc_try_alloc(count ? count : 1, sizeof *scores);
    if (!scores)
        return dpc_error_set(err, DPC_ENOMEM, "could not read a score table of %u documents",
                             count);
    for (uint32_t i = 0; i < count; i++) {
        scores[i].id = dpc_reader_u32(&reader);
        scores[i].targets = dpc_reader_u32(&reader);
        scores[i].bytes = dpc_reader_u32(&reader);
        scores[i].nats = dpc_reader_f64(&reader);
        if (!isfinite(scores[i].nats) || scores[i].nats < 0) {
            dpc_free(scores);
            return dpc_error_set(err, DPC_ECORRUPT, "the score of entry %u is no sum of losses", i);
        }
    }
    *ret_scores = scores;
    *ret_count = count;
    return DPC_OK;
}
