/* SPDX-License-Identifier: Apache-2.0
 * The error table and the report that callers own. Texts are cut, never allocated: an error report
 * must work when nothing else does. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
    int code;
    const char *name;
    const char *words;
};

static const struct row rows[] = {
#define DPC_X(name, number, text) {number, #name, text},
    DPC_ERRORS(DPC_X)
#undef DPC_X
};

static const struct row *
find(int code)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code == code)
            return &rows[i];
    }
    return NULL;
}

const char *
dpc_error_name(int code)
{
    const struct row *row = find(code);
    return row ? row->name : "?";
}

const char *
dpc_error_words(int code)
{
    const struct row *row = find(code);
    return row ? row->words : "?";
}

int
dpc_error_from_errno(int errnum)
{
    switch (errnum) {
    case 0:
        return DPC_OK;
    case ENOENT:
    case ENOTDIR:
        return DPC_ENOTFOUND;
    case ENOSPC:
    case EDQUOT:
        return DPC_ENOSPACE;
    case ENOMEM:
        return DPC_ENOMEM;
    case EACCES:
    case EPERM:
    case EROFS:
        return DPC_EPERM;
    case EEXIST:
        return DPC_EEXIST;
    case EMFILE:
    case ENFILE:
        return DPC_EFILES;
    case ENAMETOOLONG:
        return DPC_ELIMIT;
    case EAGAIN:
        return DPC_EAGAIN;
    case EBUSY:
    case EADDRINUSE:
        return DPC_EBUSY;
    default:
        return DPC_EIO;
    }
}

int
dpc_error_set(struct dpc_error *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        (void)vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return code;
}

int
dpc_error_set_errno(struct dpc_error *err, int errnum, const char *format, ...)
{
    int code = dpc_error_from_errno(errnum);
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        (void)vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        char words[128];
        (void)snprintf(err->text + used, sizeof err->text - used, ": %s",
                       strerror_r(errnum, words, sizeof words));
    }
    return code;
}

int
dpc_error_prefix(struct dpc_error *err, int code, const char *format, ...)
{
    if (err) {
        char before[DPC_ERROR_TEXT_MAX];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(before, sizeof before, format, args);
        va_end(args);
        size_t used = strlen(before);
        (void)snprintf(before + used, sizeof before - used, ": %s",
                       err->code == code ? err->text : dpc_error_words(code));
        memcpy(err->text, before, sizeof before);
        err->code = code;
    }
    return code;
}
