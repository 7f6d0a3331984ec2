/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/harness.h"

/* Codes cross the wire and stand in records: these numbers are for ever. */
static void
numbers_names_and_words(void)
{
    CU_ASSERT_EQUAL(DPC_OK, 0);
    CU_ASSERT_EQUAL(DPC_ENOSPACE, -4);
    CU_ASSERT_EQUAL(DPC_EFOREIGN, -24);
    CU_ASSERT_STRING_EQUAL(dpc_error_name(DPC_ENOSPACE), "ENOSPACE");
    CU_ASSERT_STRING_EQUAL(dpc_error_words(DPC_ENOSPACE), "no space left");
    CU_ASSERT_STRING_EQUAL(dpc_error_name(-9999), "?");
    CU_ASSERT_STRING_EQUAL(dpc_error_words(1), "?");
}

static void
numbers_are_unique(void)
{
    static const int codes[] = {
#define DPC_X(name, number, text) number,
        DPC_ERRORS(DPC_X)
#undef DPC_X
    };
    size_t count = sizeof codes / sizeof *codes;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            CU_ASSERT_NOT_EQUAL(codes[i], codes[k]);
    }
}

static void
errno_is_translated(void)
{
    static const struct {
        int errnum, code;
    } rows[] = {
        {0, DPC_OK},
        {ENOENT, DPC_ENOTFOUND},
        {ENOTDIR, DPC_ENOTFOUND},
        {ENOSPC, DPC_ENOSPACE},
        {EDQUOT, DPC_ENOSPACE},
        {ENOMEM, DPC_ENOMEM},
        {EACCES, DPC_EPERM},
        {EROFS, DPC_EPERM},
        {EEXIST, DPC_EEXIST},
        {EMFILE, DPC_EFILES},
        {ENFILE, DPC_EFILES},
        {ENAMETOOLONG, DPC_ELIMIT},
        {EADDRINUSE, DPC_EBUSY},
        {EAGAIN, DPC_EAGAIN},
        {EIO, DPC_EIO},
        {12345, DPC_EIO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CU_ASSERT_EQUAL(dpc_error_from_errno(rows[i].errnum), rows[i].code);
}

static void
reports_are_filled(void)
{
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(dpc_error_set(&err, DPC_ELIMIT, "%d of %s", 3, "x"), DPC_ELIMIT);
    CU_ASSERT_EQUAL(err.code, DPC_ELIMIT);
    CU_ASSERT_STRING_EQUAL(err.text, "3 of x");
    CU_ASSERT_EQUAL(dpc_error_set(NULL, DPC_EIO, "nobody reads this"), DPC_EIO);

    CU_ASSERT_EQUAL(dpc_error_set_errno(&err, ENOENT, "could not open \"%s\"", "y"), DPC_ENOTFOUND);
    CU_ASSERT_STRING_EQUAL(err.text, "could not open \"y\": No such file or directory");
    CU_ASSERT_EQUAL(dpc_error_set_errno(NULL, ENOSPC, "z"), DPC_ENOSPACE);
}

static void
callers_prefix_what_they_know(void)
{
    struct dpc_error err = {0};
    (void)dpc_error_set(&err, DPC_EIO, "the disk is gone");
    CU_ASSERT_EQUAL(dpc_error_prefix(&err, DPC_EIO, "blob %d", 7), DPC_EIO);
    CU_ASSERT_STRING_EQUAL(err.text, "blob 7: the disk is gone");
    /* A report of another code is not about this failure. */
    CU_ASSERT_EQUAL(dpc_error_prefix(&err, DPC_ELIMIT, "store"), DPC_ELIMIT);
    CU_ASSERT_STRING_EQUAL(err.text, "store: limit exceeded");
    CU_ASSERT_EQUAL(dpc_error_prefix(NULL, DPC_EIO, "x"), DPC_EIO);
}

static void
long_texts_are_cut(void)
{
    struct {
        struct dpc_error err;
        char canary[16];
    } box;
    char text[3 * DPC_ERROR_TEXT_MAX];
    memset(&box, '#', sizeof box);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    (void)dpc_error_set(&box.err, DPC_EIO, "%s", text);
    CU_ASSERT_EQUAL(strlen(box.err.text), DPC_ERROR_TEXT_MAX - 1);
    (void)dpc_error_prefix(&box.err, DPC_EIO, "%s", text);
    (void)dpc_error_set_errno(&box.err, ENOENT, "%s", text);
    CU_ASSERT_EQUAL(strlen(box.err.text), DPC_ERROR_TEXT_MAX - 1);
    for (size_t i = 0; i < sizeof box.canary; i++)
        CU_ASSERT_EQUAL(box.canary[i], '#');
}

static const struct dpc_test tests[] = {
    {"numbers, names and words", numbers_names_and_words},
    {"numbers are unique", numbers_are_unique},
    {"errno is translated", errno_is_translated},
    {"reports are filled", reports_are_filled},
    {"callers prefix what they know", callers_prefix_what_they_know},
    {"long texts are cut", long_texts_are_cut},
};
DPC_TEST_MAIN("base/error", tests)
