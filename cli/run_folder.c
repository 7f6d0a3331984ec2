/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/vfs.h"
#include "proto/channel.h"

enum { LOCK_WAIT_MS = 1500, LOCK_RETRY_MS = 20 };

/* --- The folder and its lock. */

/* Whether it is empty or was made by a run. */
static bool
is_ours(int fd)
{
    if (faccessat(fd, "lock", F_OK, 0) == 0)
        return true;
    DIR *listing = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!listing)
        return false;
    bool empty = true;
    struct dirent *entry;
    while ((entry = readdir(listing)))
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    closedir(listing);
    return empty;
}

/* DPC_EBUSY when somebody keeps it. */
static int
wait_for_lock(const struct dpc_run_folder *folder, int operation, struct dpc_error *err)
{
    /* Children of a supervisor that was killed die a moment after it. */
    int64_t deadline = dpc_clock_now_ms(&dpc_clock_system) + LOCK_WAIT_MS;
    while (flock(folder->lock_fd, operation | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return dpc_error_set_errno(err, errno, "could not lock \"%s/lock\"", folder->path);
        if (dpc_clock_now_ms(&dpc_clock_system) >= deadline)
            return DPC_EBUSY;
        poll(NULL, 0, LOCK_RETRY_MS);
    }
    return DPC_OK;
}

static int
take_lock(struct dpc_run_folder *folder, struct dpc_error *err)
{
    /* Children inherit it: the lock lasts until the last of them is gone. */
    folder->lock_fd = openat(folder->fd, "lock", O_RDWR | O_CREAT, 0640);
    if (folder->lock_fd < 0)
        return dpc_error_set_errno(err, errno, "could not open \"%s/lock\"", folder->path);
    int rc = wait_for_lock(folder, LOCK_EX, err);
    return rc != DPC_EBUSY
               ? rc
               : dpc_error_set(err, DPC_EBUSY,
                               "another dipaco run holds \"%s\"; follow that one with dipacoctl "
                               "--dir %s status, or give this one another --dir",
                               folder->path, folder->path);
}

static int
open_folder(const char *absolute, struct dpc_run_folder *folder, struct dpc_error *err)
{
    if (strlen(absolute) >= sizeof folder->path)
        return dpc_error_set(err, DPC_ELIMIT, "the path of the folder \"%.200s\" is too long",
                             absolute);
    snprintf(folder->path, sizeof folder->path, "%s", absolute);
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder->fd >= 0
               ? DPC_OK
               : dpc_error_set_errno(err, errno, "could not open the folder \"%s\"", folder->path);
}

int
dpc_run_folder_open(const char *path, struct dpc_run_folder *ret_folder, struct dpc_error *err)
{
    struct dpc_run_folder folder = {.fd = -1, .lock_fd = -1};
    int rc = dpc_vfs_make_folder(&dpc_vfs_posix, path, err);
    if (rc != DPC_OK)
        return rc;
    char absolute[PATH_MAX];
    if (!realpath(path, absolute))
        return dpc_error_set_errno(err, errno, "could not use the folder \"%.200s\"", path);
    rc = open_folder(absolute, &folder, err);
    if (rc != DPC_OK)
        return rc;
    if (!is_ours(folder.fd))
        rc = dpc_error_set(err, DPC_EPERM,
                           "\"%s\" holds other files and no run: name an empty or a new folder",
                           folder.path);
    else
        rc = take_lock(&folder, err);
    if (rc != DPC_OK) {
        dpc_run_folder_close(&folder);
        return rc;
    }
    *ret_folder = folder;
    return DPC_OK;
}

/* Who holds a lock, from the kernel's list; 0: it does not say. */
static int
lock_holder(int fd)
{
    struct stat about;
    char line[256];
    FILE *locks = fstat(fd, &about) == 0 ? fopen("/proc/locks", "re") : NULL;
    int holder = 0;
    while (locks && !holder && fgets(line, sizeof line, locks)) {
        int pid;
        unsigned long long inode;
        if (sscanf(line, "%*d: FLOCK %*s %*s %d %*x:%*x:%llu", &pid, &inode) == 2 &&
            inode == (unsigned long long)about.st_ino)
            holder = pid;
    }
    if (locks)
        fclose(locks);
    return holder;
}

static int
share_lock(struct dpc_run_folder *folder, struct dpc_error *err)
{
    folder->lock_fd = openat(folder->fd, "lock", O_RDONLY | O_CLOEXEC);
    if (folder->lock_fd < 0 && errno == ENOENT)
        return dpc_error_set(err, DPC_ENOTFOUND, "\"%s\" holds no run", folder->path);
    if (folder->lock_fd < 0)
        return dpc_error_set_errno(err, errno, "could not open \"%s/lock\"", folder->path);
    int rc = wait_for_lock(folder, LOCK_SH, err);
    return rc != DPC_EBUSY
               ? rc
               : dpc_error_set(err, DPC_EBUSY,
                               "process %d runs \"%s\": stop it first, or wait for its end",
                               lock_holder(folder->lock_fd), folder->path);
}

int
dpc_run_folder_open_source(const char *path, struct dpc_run_folder *ret_folder,
                           struct dpc_error *err)
{
    struct dpc_run_folder folder = {.fd = -1, .lock_fd = -1};
    char absolute[PATH_MAX];
    if (!realpath(path, absolute))
        return dpc_error_set_errno(err, errno, "could not find the run \"%.200s\"", path);
    int rc = open_folder(absolute, &folder, err);
    if (rc == DPC_OK)
        rc = share_lock(&folder, err);
    if (rc != DPC_OK) {
        dpc_run_folder_close(&folder);
        return rc;
    }
    *ret_folder = folder;
    return DPC_OK;
}

void
dpc_run_folder_close(struct dpc_run_folder *folder)
{
    if (folder->lock_fd >= 0)
        close(folder->lock_fd);
    if (folder->fd >= 0)
        close(folder->fd);
    folder->fd = folder->lock_fd = -1;
}

int
dpc_run_folder_file(const struct dpc_run_folder *folder, const char *name,
                    char ret_path[DPC_PATH_MAX], struct dpc_error *err)
{
    int rc = dpc_path_join(folder->path, name, ret_path, DPC_PATH_MAX);
    if (rc != DPC_OK)
        return dpc_error_set(err, rc, "the path \"%.200s/%s\" is too long", folder->path, name);
    return DPC_OK;
}

/* --- Beginning anew. */

static int
remove_tree(const struct dpc_run_folder *folder, const char *name, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int rc = dpc_run_folder_file(folder, name, path, err);
    return rc == DPC_OK ? dpc_vfs_remove_tree(path, err) : rc;
}

static bool
is_written_by_run(const char *name)
{
    static const char *const names[] = {"experiment.yaml",     "run.json", "coordinator",
                                        "coordinator.forking", "logs",     "report",
                                        DPC_RUN_ADMIN_SOCKET};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return strncmp(name, "worker-", 7) == 0;
}

struct clearing {
    const struct dpc_run_folder *folder;
    struct dpc_error *err;
    int rc;
};

static void
clear_name(void *context, const char *name)
{
    struct clearing *clearing = context;
    if (clearing->rc == DPC_OK && is_written_by_run(name))
        clearing->rc = remove_tree(clearing->folder, name, clearing->err);
}

int
dpc_run_folder_clear_store(const struct dpc_run_folder *folder, struct dpc_error *err)
{
    int rc = remove_tree(folder, "coordinator", err);
    return rc == DPC_OK ? remove_tree(folder, "coordinator.forking", err) : rc;
}

int
dpc_run_folder_clear(const struct dpc_run_folder *folder, struct dpc_error *err)
{
    struct clearing clearing = {folder, err, DPC_OK};
    int rc =
        dpc_run_folder_clear_store(folder, err); /* first: what says whose it is stays longer */
    if (rc != DPC_OK)
        return rc;
    rc = dpc_vfs_posix.ops->list(&dpc_vfs_posix, folder->path, clear_name, &clearing);
    if (rc != DPC_OK)
        return dpc_error_set(err, rc, "could not list \"%s\": %s", folder->path,
                             dpc_error_words(rc));
    return clearing.rc;
}

/* --- What runs here. */

struct changes {
    struct dpc_buf *text;
    uint32_t count, fixed;
};

static void
note_change(void *context, const char *key, const char *old_value, const char *new_value,
            bool may_change)
{
    struct changes *changes = context;
    dpc_buf_printf(changes->text, "  %s: %s -> %s (%s)\n", key, old_value, new_value,
                   may_change ? "may change in a running experiment" : "fixed once it runs");
    changes->count++;
    changes->fixed += !may_change;
}

/* `*ret_changed`: it differs, but only in keys that may change while it runs. */
static int
compare_experiment(const struct dpc_run_folder *folder, const char *file, const char *text,
                   size_t len, const struct dpc_experiment *experiment, struct dpc_buf *ret_changes,
                   bool *ret_changed, struct dpc_error *err)
{
    struct dpc_experiment old;
    int rc = dpc_experiment_parse_stored(file, text, len, &old, err);
    if (rc != DPC_OK)
        return rc;
    struct changes changes = {.text = ret_changes};
    dpc_experiment_diff(&old, experiment, DPC_CHANGE_RUNNING, note_change, &changes);
    *ret_changed = changes.count > 0;
    if (changes.fixed == 0)
        return DPC_OK;
    bool forks = dpc_experiment_may_become(&old, experiment, DPC_CHANGE_FORK);
    return dpc_error_set(err, DPC_EPERM,
                         "the experiment differs from the one that runs in \"%s\"; go on with the "
                         "old file, give the new one another --dir%s, or begin anew with --fresh",
                         folder->path,
                         forks ? " (with --from it goes on there from what this one has trained)"
                               : "");
}

/* What a finished run was trained with is not written over by what nobody will read. */
static int
check_unfinished(const struct dpc_run_folder *folder, struct dpc_buf *ret_changes,
                 bool *ret_changed, struct dpc_error *err)
{
    struct dpc_run_state state;
    int rc = dpc_run_state_load(folder, &state, err);
    if (rc != DPC_OK || !state.finished)
        return rc;
    dpc_buf_printf(ret_changes,
                   "the run in \"%s\" has finished, so that this has no effect: a new one "
                   "takes it, in another folder\n",
                   folder->path);
    *ret_changed = false;
    return DPC_OK;
}

int
dpc_run_folder_claim(const struct dpc_run_folder *folder, const struct dpc_experiment *experiment,
                     struct dpc_buf *ret_changes, struct dpc_error *err)
{
    char file[DPC_PATH_MAX];
    int rc = dpc_run_folder_file(folder, "experiment.yaml", file, err);
    if (rc != DPC_OK)
        return rc;
    uint8_t *text = NULL;
    size_t len = 0;
    bool changed = true;
    if (dpc_vfs_exists(&dpc_vfs_posix, file)) {
        rc = dpc_vfs_read_file(&dpc_vfs_posix, file, DPC_CONFIG_BYTES_MAX, &text, &len, err);
        if (rc == DPC_OK)
            rc = compare_experiment(folder, file, (const char *)text, len, experiment, ret_changes,
                                    &changed, err);
        if (rc == DPC_OK && changed)
            rc = check_unfinished(folder, ret_changes, &changed, err);
        dpc_free(text);
        if (rc != DPC_OK || !changed)
            return rc;
    }
    struct dpc_buf yaml;
    dpc_buf_init(&yaml, DPC_CONFIG_BYTES_MAX);
    dpc_experiment_print(experiment, &yaml);
    rc = dpc_vfs_write_file(&dpc_vfs_posix, file, yaml.data, yaml.len, err);
    dpc_buf_done(&yaml);
    return rc;
}

int
dpc_run_folder_unclaim(const struct dpc_run_folder *folder, struct dpc_error *err)
{
    int rc = dpc_run_folder_clear_store(folder, err); /* first: another experiment would trip */
    return rc == DPC_OK ? remove_tree(folder, "experiment.yaml", err) : rc;
}

/* --- Folders and keys. */

static int
make_folder(const struct dpc_run_folder *folder, const char *name, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int rc = dpc_run_folder_file(folder, name, path, err);
    return rc == DPC_OK ? dpc_vfs_make_folder(&dpc_vfs_posix, path, err) : rc;
}

/* A key without its public half was left by a start that died in between: both are made again. */
static int
make_key(const struct dpc_run_folder *folder, const char *name, struct dpc_error *err)
{
    char path[DPC_PATH_MAX], half[DPC_PATH_MAX + 8];
    int rc = dpc_run_folder_file(folder, name, path, err);
    if (rc != DPC_OK)
        return rc;
    snprintf(half, sizeof half, "%s.pub", path);
    if (dpc_vfs_exists(&dpc_vfs_posix, path) && dpc_vfs_exists(&dpc_vfs_posix, half))
        return DPC_OK;
    unlink(path);
    unlink(half);
    struct dpc_keypair keypair;
    dpc_keypair_generate(&keypair);
    rc = dpc_keypair_save(path, &keypair, err);
    explicit_bzero(&keypair, sizeof keypair);
    return rc;
}

int
dpc_run_folder_prepare(const struct dpc_run_folder *folder, uint32_t workers_count,
                       struct dpc_error *err)
{
    static const char *const folders[] = {"keys", "keys/workers", "coordinator", "logs", "report"};
    int rc = DPC_OK;
    for (size_t i = 0; rc == DPC_OK && i < sizeof folders / sizeof *folders; i++)
        rc = make_folder(folder, folders[i], err);
    if (rc == DPC_OK && fchmodat(folder->fd, "keys", 0700, 0) != 0)
        rc = dpc_error_set_errno(err, errno, "could not restrict \"%s/keys\"", folder->path);
    if (rc == DPC_OK)
        rc = make_key(folder, "keys/coordinator.key", err);
    for (uint32_t i = 1; rc == DPC_OK && i <= workers_count; i++) {
        char name[DPC_NAME_MAX];
        snprintf(name, sizeof name, "worker-%u", i);
        rc = make_folder(folder, name, err);
        snprintf(name, sizeof name, "keys/workers/worker-%u.key", i);
        if (rc == DPC_OK)
            rc = make_key(folder, name, err);
    }
    return rc;
}

/* --- run.json. */

int
dpc_run_state_load(const struct dpc_run_folder *folder, struct dpc_run_state *ret_state,
                   struct dpc_error *err)
{
    struct dpc_run_state state = {.finished = false};
    char file[DPC_PATH_MAX];
    uint8_t *text = NULL;
    size_t len = 0;
    int rc = dpc_run_folder_file(folder, "run.json", file, err);
    if (rc == DPC_OK && dpc_vfs_exists(&dpc_vfs_posix, file)) {
        struct dpc_json *json = NULL;
        rc = dpc_vfs_read_file(&dpc_vfs_posix, file, DPC_CONFIG_BYTES_MAX, &text, &len, err);
        if (rc == DPC_OK)
            rc = dpc_json_parse((const char *)text, len, &json, err);
        if (rc != DPC_OK)
            rc = dpc_error_prefix(err, rc, "could not read \"%s\" (it may be removed)", file);
        snprintf(state.control_endpoint, sizeof state.control_endpoint, "%s",
                 dpc_json_text(dpc_json_get(json, "control_endpoint"), ""));
        snprintf(state.bulk_endpoint, sizeof state.bulk_endpoint, "%s",
                 dpc_json_text(dpc_json_get(json, "bulk_endpoint"), ""));
        state.finished = dpc_json_bool(dpc_json_get(json, "finished"), false);
        dpc_json_destroy(json);
        dpc_free(text);
    }
    if (rc == DPC_OK)
        *ret_state = state;
    return rc;
}

int
dpc_run_state_save(const struct dpc_run_folder *folder, const struct dpc_run_state *state,
                   const struct dpc_run_process *processes, uint32_t processes_count,
                   struct dpc_error *err)
{
    char file[DPC_PATH_MAX];
    int rc = dpc_run_folder_file(folder, "run.json", file, err);
    if (rc != DPC_OK)
        return rc;
    struct dpc_json *json = dpc_json_object(), *list = dpc_json_array();
    dpc_json_set_text(json, "control_endpoint", state->control_endpoint);
    dpc_json_set_text(json, "bulk_endpoint", state->bulk_endpoint);
    dpc_json_set_bool(json, "finished", state->finished);
    for (uint32_t i = 0; i < processes_count; i++) {
        struct dpc_json *process = dpc_json_object();
        dpc_json_set_text(process, "name", processes[i].name);
        dpc_json_set_integer(process, "pid", processes[i].pid);
        dpc_json_append(list, process);
    }
    dpc_json_set(json, "processes", list);
    char *text = dpc_json_print(json, true);
    rc = dpc_vfs_write_file(&dpc_vfs_posix, file, text, strlen(text), err);
    dpc_free(text);
    dpc_json_destroy(json);
    return rc;
}

/* --- The admin socket. */

void
dpc_run_admin_endpoint(const char *path, int fd, char ret_endpoint[DPC_ENDPOINT_MAX])
{
    struct sockaddr_un address;
    if (strlen(path) + sizeof DPC_RUN_ADMIN_SOCKET < sizeof address.sun_path)
        snprintf(ret_endpoint, DPC_ENDPOINT_MAX, "ipc://%s/%s", path, DPC_RUN_ADMIN_SOCKET);
    else
        snprintf(ret_endpoint, DPC_ENDPOINT_MAX, "ipc:///proc/self/fd/%d/%s", fd,
                 DPC_RUN_ADMIN_SOCKET);
}
