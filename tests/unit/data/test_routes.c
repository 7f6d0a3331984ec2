/* SPDX-License-Identifier: Apache-2.0 */
#include "data/routes.h"

#include <math.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"

enum { PATHS = 300 };

static const struct dpc_route rows[] = {
    {.path = 0}, {299, 0.25f}, {.path = DPC_ROUTE_NONE}, {17, 1e30f}};
enum { ROWS = sizeof rows / sizeof *rows };

static struct dpc_buf
table(size_t count)
{
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    dpc_routes_write(&out, rows, count);
    CU_ASSERT_EQUAL_FATAL(out.len, dpc_routes_bytes(count));
    return out;
}

static int
reads(const struct dpc_buf *bytes, size_t len, size_t count, uint32_t paths)
{
    struct dpc_route *routes = NULL;
    struct dpc_error err = {0};
    int code = dpc_routes_read(bytes->data, len, count, paths, &routes, &err);
    CU_ASSERT_EQUAL(code == DPC_OK, routes != NULL);
    CU_ASSERT_EQUAL(code == DPC_OK, err.text[0] == '\0');
    dpc_free(routes);
    return code;
}

static void
there_and_back(void)
{
    for (size_t count = 0; count <= ROWS; count++) {
        struct dpc_buf bytes = table(count);
        struct dpc_route *routes;
        CU_ASSERT_EQUAL_FATAL(dpc_routes_read(bytes.data, bytes.len, count, PATHS, &routes, NULL),
                              DPC_OK);
        for (size_t i = 0; i < count; i++) {
            CU_ASSERT_EQUAL(routes[i].path, rows[i].path);
            CU_ASSERT_EQUAL(routes[i].margin, rows[i].margin);
        }
        dpc_free(routes);
        dpc_buf_done(&bytes);
    }
}

static void
every_cut_is_damage(void)
{
    struct dpc_buf bytes = table(ROWS);
    for (size_t len = 0; len < bytes.len; len++)
        CU_ASSERT_EQUAL(reads(&bytes, len, ROWS, PATHS), DPC_ECORRUPT);
    dpc_buf_put_u8(&bytes, 0);
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len, ROWS, PATHS), DPC_ECORRUPT);
    dpc_buf_done(&bytes);
}

static void
what_it_is_not_asked_for_is_refused(void)
{
    struct dpc_buf bytes = table(ROWS);
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len, ROWS - 1, PATHS), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len, ROWS + 1, PATHS), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len, ROWS, PATHS - 1), DPC_ECORRUPT); /* 299 is none */
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len, (size_t)DPC_ROUTES_MAX + 1, PATHS), DPC_ELIMIT);
    bytes.data[8] = 2;
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len, ROWS, PATHS), DPC_EVERSION);
    bytes.data[0] ^= 1;
    CU_ASSERT_EQUAL(reads(&bytes, bytes.len, ROWS, PATHS), DPC_ECORRUPT);
    dpc_buf_done(&bytes);
}

static void
margins_that_are_none(void)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, -0.5f};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dpc_route route = {1, bad[i]};
        struct dpc_buf bytes;
        dpc_buf_init(&bytes, 0);
        dpc_routes_write(&bytes, &route, 1);
        CU_ASSERT_EQUAL(reads(&bytes, bytes.len, 1, PATHS), DPC_ECORRUPT);
        dpc_buf_done(&bytes);
    }
}

static const struct dpc_test tests[] = {
    {"there and back", there_and_back},
    {"every cut is damage", every_cut_is_damage},
    {"what it is not asked for is refused", what_it_is_not_asked_for_is_refused},
    {"margins that are none", margins_that_are_none},
};
DPC_TEST_MAIN("data/routes", tests)
