/* SPDX-License-Identifier: Apache-2.0
 * The whole tree is listed first and then sorted, so ids of documents are the same on every disk.
 */
#include "data/scan.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"

void
dpc_scan_init(struct dpc_scan *scan)
{
    *scan = (struct dpc_scan){0};
}

void
dpc_scan_done(struct dpc_scan *scan)
{
    for (size_t i = 0; i < scan->count; i++)
        dpc_free(scan->paths[i]);
    dpc_free(scan->paths);
    dpc_scan_init(scan);
}

void
dpc_scan_except(struct dpc_scan *scan, const char *path)
{
    struct stat facts;
    assert(scan->except_count < DPC_SCAN_EXCEPT_MAX);
    if (stat(path, &facts) != 0)
        return;
    scan->except[scan->except_count].device = facts.st_dev;
    scan->except[scan->except_count++].inode = facts.st_ino;
}

static bool
is_excepted(const struct dpc_scan *scan, const struct stat *facts)
{
    for (size_t i = 0; i < scan->except_count; i++) {
        if (scan->except[i].device == facts->st_dev && scan->except[i].inode == facts->st_ino)
            return true;
    }
    return false;
}

static int
add_path(struct dpc_scan *scan, const char *path, struct dpc_error *err)
{
    if (scan->count == DPC_DOCUMENTS_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "could not import: more than %d files",
                             DPC_DOCUMENTS_MAX);
    if (scan->count == scan->capacity) {
        scan->capacity = scan->capacity ? 2 * scan->capacity : 1024;
        scan->paths = dpc_grow(scan->paths, scan->capacity, sizeof *scan->paths);
    }
    scan->paths[scan->count++] = dpc_strdup(path);
    return DPC_OK;
}

static int add_folder(struct dpc_scan *scan, const char *folder, int depth, struct dpc_error *err);

static int
add_entry(struct dpc_scan *scan, const char *folder, const char *name, int depth,
          struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    struct stat facts;
    if (dpc_path_join(folder, name, path, sizeof path) != DPC_OK)
        return dpc_error_set(err, DPC_ELIMIT, "could not import \"%s/%s\": its path is too long",
                             folder, name);
    if (lstat(path, &facts) != 0)
        return dpc_error_set_errno(err, errno, "could not import \"%s\"", path);
    if (S_ISDIR(facts.st_mode))
        return add_folder(scan, path, depth + 1, err);
    if (S_ISREG(facts.st_mode))
        return is_excepted(scan, &facts) ? DPC_OK : add_path(scan, path, err);
    scan->links += S_ISLNK(facts.st_mode);
    return DPC_OK;
}

static int
add_folder(struct dpc_scan *scan, const char *folder, int depth, struct dpc_error *err)
{
    int code = DPC_OK;
    if (depth > DPC_SCAN_DEPTH_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "could not import \"%s\": more than %d folders deep",
                             folder, DPC_SCAN_DEPTH_MAX);
    DIR *dir = opendir(folder);
    if (!dir)
        return dpc_error_set_errno(err, errno, "could not import \"%s\"", folder);
    struct dirent *entry;
    while (code == DPC_OK && (errno = 0, entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            code = add_entry(scan, folder, entry->d_name, depth, err);
    }
    if (code == DPC_OK && errno)
        code = dpc_error_set_errno(err, errno, "could not import \"%s\"", folder);
    closedir(dir);
    return code;
}

static int
compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int
dpc_scan_add(struct dpc_scan *scan, const char *source, struct dpc_error *err)
{
    struct stat facts;
    char folder[DPC_PATH_MAX];
    size_t before = scan->count, len = strlen(source);
    if (len == 0 || len >= sizeof folder)
        return dpc_error_set(err, DPC_ELIMIT,
                             "could not import \"%s\": its path is empty or too "
                             "long",
                             source);
    if (stat(source, &facts) != 0)
        return dpc_error_set_errno(err, errno, "could not import \"%s\"", source);
    if (!S_ISDIR(facts.st_mode)) /* a shell's wildcard names what lies in a folder, too */
        return is_excepted(scan, &facts) ? DPC_OK : add_path(scan, source, err);
    memcpy(folder, source, len + 1);
    while (len > 1 && folder[len - 1] == '/')
        folder[--len] = 0;
    int code = add_folder(scan, folder, 0, err);
    if (code == DPC_OK && scan->count > before)
        qsort(scan->paths + before, scan->count - before, sizeof *scan->paths, compare_paths);
    return code;
}
