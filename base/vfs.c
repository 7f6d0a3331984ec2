/* SPDX-License-Identifier: Apache-2.0
 * POSIX below the seam, and the helpers above it. Interrupted calls are taken up again; short
 * writes go on where they stopped. */
#include "base/vfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"

struct dpc_vfs_file {
    int fd;
};

static int
last_error(void)
{
    return dpc_error_from_errno(errno);
}

static int
open_again(const char *path, int how)
{
    int fd;
    do
        fd = open(path, how, 0640);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* `sync` is fsync or fdatasync. One that a signal ended has failed at nothing, where a file system
 * lets signals in (one over a network). */
static int
sync_again(int (*sync)(int fd), int fd)
{
    int rc;
    do
        rc = sync(fd);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? DPC_OK : last_error();
}

static int
posix_open(const struct dpc_vfs *vfs, const char *path, int flags, struct dpc_vfs_file **ret_file)
{
    (void)vfs;
    int how = flags & DPC_VFS_WRITE ? O_RDWR : O_RDONLY;
    if (flags & DPC_VFS_CREATE)
        how |= O_CREAT | (flags & DPC_VFS_FRESH ? O_EXCL : 0);
    int fd = open_again(path, how | O_CLOEXEC);
    if (fd < 0)
        return last_error();
    *ret_file = dpc_alloc(1, sizeof **ret_file);
    (*ret_file)->fd = fd;
    return DPC_OK;
}

static void
posix_close(struct dpc_vfs_file *file)
{
    if (file)
        close(file->fd);
    dpc_free(file);
}

static int
posix_read(struct dpc_vfs_file *file, void *ret_bytes, size_t len, uint64_t offset)
{
    uint8_t *at = ret_bytes;
    while (len) {
        ssize_t got = pread(file->fd, at, len, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return last_error();
        if (got == 0)
            return DPC_EIO;
        at += got;
        len -= (size_t)got;
        offset += (uint64_t)got;
    }
    return DPC_OK;
}

static int
posix_write(struct dpc_vfs_file *file, const void *bytes, size_t len, uint64_t offset)
{
    const uint8_t *at = bytes;
    while (len) {
        ssize_t put = pwrite(file->fd, at, len, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return last_error();
        at += put;
        len -= (size_t)put;
        offset += (uint64_t)put;
    }
    return DPC_OK;
}

static int
posix_size(struct dpc_vfs_file *file, uint64_t *ret_bytes)
{
    struct stat facts;
    if (fstat(file->fd, &facts) != 0)
        return last_error();
    *ret_bytes = (uint64_t)facts.st_size;
    return DPC_OK;
}

static int
posix_truncate(struct dpc_vfs_file *file, uint64_t bytes)
{
    int rc;
    do
        rc = ftruncate(file->fd, (off_t)bytes);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? DPC_OK : last_error();
}

static int
posix_sync(struct dpc_vfs_file *file)
{
    return sync_again(fdatasync, file->fd);
}

static int
posix_sync_folder(const struct dpc_vfs *vfs, const char *path)
{
    (void)vfs;
    int fd = open_again(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return last_error();
    int code = sync_again(fsync, fd);
    close(fd);
    return code;
}

static int
posix_make_folder(const struct dpc_vfs *vfs, const char *path)
{
    (void)vfs;
    char part[DPC_PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return DPC_ELIMIT;
    memcpy(part, path, len + 1);
    for (char *at = part + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = 0;
        if (mkdir(part, 0750) != 0 && errno != EEXIST)
            return last_error();
        *at = '/';
    }
    if (mkdir(part, 0750) == 0)
        return DPC_OK;
    if (errno != EEXIST)
        return last_error();
    struct stat facts;
    return stat(part, &facts) == 0 && S_ISDIR(facts.st_mode) ? DPC_OK : DPC_EEXIST;
}

static int
posix_rename(const struct dpc_vfs *vfs, const char *from, const char *to)
{
    (void)vfs;
    return rename(from, to) == 0 ? DPC_OK : last_error();
}

static int
posix_link(const struct dpc_vfs *vfs, const char *from, const char *to)
{
    (void)vfs;
    if (link(from, to) == 0)
        return DPC_OK;
    bool cannot = errno == EXDEV || errno == EPERM || errno == EMLINK || errno == EOPNOTSUPP;
    return cannot ? DPC_EUNSUPPORTED : last_error();
}

static int
posix_remove(const struct dpc_vfs *vfs, const char *path)
{
    (void)vfs;
    return remove(path) == 0 ? DPC_OK : last_error();
}

static int
posix_list(const struct dpc_vfs *vfs, const char *path, void (*visit)(void *, const char *),
           void *context)
{
    (void)vfs;
    DIR *folder = opendir(path);
    if (!folder)
        return last_error();
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, entry->d_name);
        errno = 0;
    }
    int code = errno ? last_error() : DPC_OK;
    closedir(folder);
    return code;
}

static int
posix_free_bytes(const struct dpc_vfs *vfs, const char *path, uint64_t *ret_bytes)
{
    (void)vfs;
    struct statvfs facts;
    if (statvfs(path, &facts) != 0)
        return last_error();
    *ret_bytes = (uint64_t)facts.f_bavail * facts.f_frsize;
    return DPC_OK;
}

static const struct dpc_vfs_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .read = posix_read,
    .write = posix_write,
    .size = posix_size,
    .truncate = posix_truncate,
    .sync = posix_sync,
    .sync_folder = posix_sync_folder,
    .make_folder = posix_make_folder,
    .rename = posix_rename,
    .link = posix_link,
    .remove = posix_remove,
    .list = posix_list,
    .free_bytes = posix_free_bytes,
};

const struct dpc_vfs dpc_vfs_posix = {.ops = &posix_ops, .context = NULL};

static int
read_open_file(const struct dpc_vfs *vfs, struct dpc_vfs_file *file, size_t bytes_max,
               uint8_t **ret_bytes, size_t *ret_len)
{
    uint64_t size;
    int code = vfs->ops->size(file, &size);
    if (code != DPC_OK)
        return code;
    if (size > bytes_max)
        return DPC_ELIMIT;
    uint8_t *bytes = dpc_try_alloc((size_t)size + 1, 1);
    if (!bytes)
        return DPC_ENOMEM;
    code = vfs->ops->read(file, bytes, (size_t)size, 0);
    if (code != DPC_OK) {
        dpc_free(bytes);
        return code;
    }
    *ret_bytes = bytes;
    *ret_len = (size_t)size;
    return DPC_OK;
}

/* Reading a folder says input/output error, as a bad disk does, or that it is too large, and a pipe
 * has no size: it would be taken for an empty file. NULL: neither. */
static const char *
odd_kind(const char *path)
{
    struct stat facts;
    if (stat(path, &facts) != 0)
        return NULL;
    if (S_ISFIFO(facts.st_mode))
        return "it is a pipe: save what comes through it as a file";
    return S_ISDIR(facts.st_mode) ? "it is a folder" : NULL;
}

static int
read_file(const struct dpc_vfs *vfs, const char *path, size_t bytes_max, uint8_t **ret_bytes,
          size_t *ret_len)
{
    struct dpc_vfs_file *file;
    int code = vfs->ops->open(vfs, path, DPC_VFS_READ, &file);
    if (code != DPC_OK)
        return code;
    code = read_open_file(vfs, file, bytes_max, ret_bytes, ret_len);
    vfs->ops->close(file);
    return code;
}

int
dpc_vfs_read_file(const struct dpc_vfs *vfs, const char *path, size_t bytes_max,
                  uint8_t **ret_bytes, size_t *ret_len, struct dpc_error *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int code = read_file(vfs, path, bytes_max, &bytes, &len);
    bool odd = code == DPC_EIO || code == DPC_ELIMIT || (code == DPC_OK && len == 0);
    const char *kind = odd ? odd_kind(path) : NULL;
    if (kind) {
        dpc_free(bytes);
        return dpc_error_set(err, DPC_EINVAL, "could not read \"%s\": %s", path, kind);
    }
    if (code == DPC_ELIMIT)
        return dpc_error_set(err, code, "could not read \"%s\": it is larger than %zu bytes", path,
                             bytes_max);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read \"%s\": %s", path, dpc_error_words(code));
    *ret_bytes = bytes;
    *ret_len = len;
    return DPC_OK;
}

static int
write_temp(const struct dpc_vfs *vfs, const char *path, const void *bytes, size_t len, bool synced)
{
    struct dpc_vfs_file *file;
    int code = vfs->ops->open(vfs, path, DPC_VFS_WRITE | DPC_VFS_CREATE, &file);
    if (code != DPC_OK)
        return code;
    code = vfs->ops->truncate(file, 0);
    if (code == DPC_OK)
        code = vfs->ops->write(file, bytes, len, 0);
    if (code == DPC_OK && synced)
        code = vfs->ops->sync(file);
    vfs->ops->close(file);
    return code;
}

int
dpc_vfs_make_folder(const struct dpc_vfs *vfs, const char *path, struct dpc_error *err)
{
    int code = vfs->ops->make_folder(vfs, path);
    if (code == DPC_OK)
        return code;
    return dpc_error_set(err, code, "could not make the folder \"%s\": %s", path,
                         dpc_error_words(code));
}

static int
remove_entry(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

int
dpc_vfs_remove_tree(const char *path, struct dpc_error *err)
{
    if (nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 || errno == ENOENT)
        return DPC_OK;
    return dpc_error_set_errno(err, errno, "could not remove \"%s\"", path);
}

static int
remove_below(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    return place->level ? remove_entry(path, about, kind, place) : 0;
}

int
dpc_vfs_empty_folder(const char *path, struct dpc_error *err)
{
    char folder[PATH_MAX];
    if (realpath(path, folder) &&
        nftw(folder, remove_below, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0)
        return DPC_OK;
    return dpc_error_set_errno(err, errno, "could not empty \"%s\"", path);
}

int
dpc_vfs_put_in_place(const struct dpc_vfs *vfs, const char *from, const char *path,
                     struct dpc_error *err)
{
    char folder[DPC_PATH_MAX];
    dpc_path_folder(path, folder, sizeof folder);
    int code = vfs->ops->rename(vfs, from, path);
    if (code == DPC_OK)
        code = vfs->ops->sync_folder(vfs, folder);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not write \"%s\": %s", path, dpc_error_words(code));
    return DPC_OK;
}

static int
write_file(const struct dpc_vfs *vfs, const char *path, const void *bytes, size_t len, bool synced,
           struct dpc_error *err)
{
    char temp[DPC_PATH_MAX];
    bool fits = (size_t)snprintf(temp, sizeof temp, "%s.new", path) < sizeof temp;
    int code = fits ? write_temp(vfs, temp, bytes, len, synced) : DPC_ELIMIT;
    if (code == DPC_OK)
        code = synced ? dpc_vfs_put_in_place(vfs, temp, path, NULL)
                      : vfs->ops->rename(vfs, temp, path);
    if (code != DPC_OK && fits)
        (void)vfs->ops->remove(vfs, temp); /* a full disk gets its bytes back */
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not write \"%s\": %s", path, dpc_error_words(code));
    return DPC_OK;
}

int
dpc_vfs_write_file(const struct dpc_vfs *vfs, const char *path, const void *bytes, size_t len,
                   struct dpc_error *err)
{
    return write_file(vfs, path, bytes, len, true, err);
}

int
dpc_vfs_write_file_unsynced(const struct dpc_vfs *vfs, const char *path, const void *bytes,
                            size_t len, struct dpc_error *err)
{
    return write_file(vfs, path, bytes, len, false, err);
}

static void
ignore_name(void *context, const char *name)
{
    (void)context, (void)name;
}

int
dpc_vfs_make_lasting_folder(const struct dpc_vfs *vfs, const char *path)
{
    char parent[DPC_PATH_MAX];
    dpc_path_folder(path, parent, sizeof parent);
    int code = DPC_OK;
    if (vfs->ops->list(vfs, parent, ignore_name, NULL) == DPC_ENOTFOUND)
        code = dpc_vfs_make_lasting_folder(vfs, parent);
    if (code == DPC_OK)
        code = vfs->ops->make_folder(vfs, path);
    return code == DPC_OK ? vfs->ops->sync_folder(vfs, parent) : code;
}

int
dpc_vfs_check_descriptors(struct dpc_error *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DPC_DESCRIPTORS_MIN)
        return DPC_OK;
    return dpc_error_set(err, DPC_EFILES,
                         "this process may open %llu files and connections, and needs %d: raise "
                         "the limit (ulimit -n, LimitNOFILE)",
                         (unsigned long long)limit.rlim_cur, DPC_DESCRIPTORS_MIN);
}

bool
dpc_vfs_exists(const struct dpc_vfs *vfs, const char *path)
{
    struct dpc_vfs_file *file;
    if (vfs->ops->open(vfs, path, DPC_VFS_READ, &file) != DPC_OK)
        return false;
    vfs->ops->close(file);
    return true;
}

void
dpc_path_folder(const char *path, char *ret_folder, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        (void)snprintf(ret_folder, size, ".");
    else
        (void)snprintf(ret_folder, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

int
dpc_path_join(const char *folder, const char *name, char *ret_path, size_t size)
{
    int length = name[0] == '/' ? snprintf(ret_path, size, "%s", name)
                                : snprintf(ret_path, size, "%s/%s", folder, name);
    return length >= 0 && (size_t)length < size ? DPC_OK : DPC_ELIMIT;
}
