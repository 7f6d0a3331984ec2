/* SPDX-License-Identifier: Apache-2.0
 * Who reads a table knows how many entries it must have, so that its length is known before
 * anything is allocated. */
#include "data/routes.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

static const char magic[8] = {'D', 'P', 'C', 'R', 'T', 'A', 'B', '1'};

enum { FORMAT = 1 };

void
dpc_routes_write(struct dpc_buf *out, const struct dpc_route *routes, size_t count)
{
    dpc_buf_put(out, magic, sizeof magic);
    dpc_buf_put_u32(out, FORMAT);
    dpc_buf_put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &routes[i].margin, sizeof bits);
        dpc_buf_put_u16(out, routes[i].path);
        dpc_buf_put_u32(out, bits);
    }
}

static int
check_header(struct dpc_reader *reader, size_t len, size_t count, struct dpc_error *err)
{
    const uint8_t *start = dpc_reader_bytes(reader, sizeof magic);
    if (!start || memcmp(start, magic, sizeof magic) != 0)
        return dpc_error_set(err, DPC_ECORRUPT, "these bytes are no table of routes");
    uint32_t format = dpc_reader_u32(reader), found = dpc_reader_u32(reader);
    if (!reader->failed && format != FORMAT)
        return dpc_error_set(err, DPC_EVERSION,
                             "the table of routes has format %u, this release reads %d", format,
                             FORMAT);
    if (count > DPC_ROUTES_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "a table of %zu routes is larger than %d", count,
                             DPC_ROUTES_MAX);
    if (reader->failed || found != count || len != dpc_routes_bytes(count))
        return dpc_error_set(err, DPC_ECORRUPT,
                             "the table of routes has %u of them in %zu bytes, not %zu", found, len,
                             count);
    return DPC_OK;
}

static bool
read_route(struct dpc_reader *reader, uint32_t paths, struct dpc_route *ret_route)
{
    ret_route->path = dpc_reader_u16(reader);
    uint32_t bits = dpc_reader_u32(reader);
    memcpy(&ret_route->margin, &bits, sizeof bits);
    bool known = ret_route->path < paths || ret_route->path == DPC_ROUTE_NONE;
    return known && isfinite(ret_route->margin) && ret_route->margin >= 0;
}

int
dpc_routes_read(const void *bytes, size_t len, size_t count, uint32_t paths,
                struct dpc_route **ret_routes, struct dpc_error *err)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, bytes, len);
    int code = check_header(&reader, len, count, err);
    if (code != DPC_OK)
        return code;
    struct dpc_route *routes = dpc_try_alloc(count ? count : 1, sizeof *routes);
    if (!routes)
        return dpc_error_set(err, DPC_ENOMEM, "could not read a table of %zu routes", count);
    for (size_t i = 0; i < count; i++) {
        if (!read_route(&reader, paths, &routes[i])) {
            dpc_free(routes);
            return dpc_error_set(err, DPC_ECORRUPT, "route %zu is to none of %u paths", i, paths);
        }
    }
    *ret_routes = routes;
    return DPC_OK;
}
