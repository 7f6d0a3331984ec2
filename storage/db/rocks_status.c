/* SPDX-License-Identifier: Apache-2.0
 * Order counts: a full disk during a flush is reported inside other lines, and a lock file that may
 * not be opened is a matter of permission, not of another process. */
#include "storage/db/rocks_status.h"

#include <string.h>

static const struct {
    const char *part;
    int code;
} rows[] = {
    {"No space left on device", DPC_ENOSPACE},
    {"Disk quota exceeded", DPC_ENOSPACE},
    {"Permission denied", DPC_EPERM},
    {"Operation not permitted", DPC_EPERM},
    {"Read-only file system", DPC_EPERM},
    {"Not supported operation in read only mode", DPC_EPERM},
    {"lock hold by current process", DPC_EBUSY},
    {"While lock file", DPC_EBUSY},
    {"Column families not opened", DPC_EVERSION},
    {"unsupported format_version", DPC_EVERSION},
    {"Corruption", DPC_ECORRUPT},
    {"No such file or directory", DPC_ECORRUPT},
    {"IO error", DPC_EIO},
};

int
dpc_rocks_status_code(const char *status)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strstr(status, rows[i].part))
            return rows[i].code;
    }
    return DPC_EFOREIGN;
}

const char *
dpc_rocks_way_out(int code)
{
    switch (code) {
    case DPC_ENOSPACE:
        return "; make room on that disk and start again";
    case DPC_EPERM:
        return "; check who owns that folder";
    case DPC_EVERSION:
        return "; it was written by a newer version, or with a newer RocksDB: install that one";
    case DPC_ECORRUPT:
        return "; check that disk, then restore the store from a backup or begin anew with "
               "another one";
    case DPC_EIO:
        return "; check that disk and start again";
    default:
        return "";
    }
}
