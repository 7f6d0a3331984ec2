/* SPDX-License-Identifier: Apache-2.0
 * A run that goes on again has its origin on record, so the same command line may be given again,
 * also when the source is gone meanwhile. */
#include "cli/origin.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/exit.h"
#include "base/vfs.h"
#include "cli/process.h"
#include "storage/db/store.h"

enum { WAIT_MS = 20, LAST_LINES = 8, ROUND_DIGITS_MAX = 9 };

/* "DIR@ROUND" in two; a name without a round behind its last @ is one, and so is that of a folder
 * where there is no DIR. */
struct place {
    char folder[DPC_PATH_MAX];
    const char *round; /* digits, or "warm"; NULL: the newest */
};

/* Is there anything of the name that stands before the @? */
static bool
is_there_before(const char *text, const char *at)
{
    char folder[DPC_PATH_MAX];
    return snprintf(folder, sizeof folder, "%.*s", (int)(at - text), text) < (int)sizeof folder &&
           dpc_vfs_exists(&dpc_vfs_posix, folder);
}

static int
split(const char *text, struct place *ret_place, struct dpc_error *err)
{
    const char *at = strrchr(text, '@');
    bool round = at && at[1] &&
                 (!at[1 + strspn(at + 1, "0123456789")] || strcmp(at + 1, DPC_ORIGIN_WARM) == 0);
    bool whole = dpc_vfs_exists(&dpc_vfs_posix, text), before = at && is_there_before(text, at);
    round &= !whole || before; /* else it is the folder's own name */
    size_t len = round ? (size_t)(at - text) : strlen(text);
    if (at && at[1] && !round && !whole && before)
        return dpc_error_set(
            err, DPC_EINVAL,
            "--from takes DIR@ROUND or DIR@warm: behind the @ of \"%.200s\" stands "
            "neither",
            text);
    if (len == 0 || len >= sizeof ret_place->folder || (round && strlen(at + 1) > ROUND_DIGITS_MAX))
        return dpc_error_set(
            err, DPC_EINVAL,
            "--from takes the folder of a run, DIR@ROUND or DIR@warm, not \"%.200s\"", text);
    memcpy(ret_place->folder, text, len);
    ret_place->folder[len] = 0;
    ret_place->round = round ? at + 1 : NULL;
    return DPC_OK;
}

int
dpc_origin_check(const char *text, struct dpc_error *err)
{
    struct place place;
    return split(text, &place, err);
}

/* --- The child. */

static int
wait_for(pid_t pid)
{
    int status;
    while (!dpc_process_ended(pid, &status))
        poll(NULL, 0, WAIT_MS);
    return WIFEXITED(status) ? WEXITSTATUS(status) : DPC_EXIT_FAILED;
}

/* Lines of its log that hold `word`, from there on. */
static void
collect(const char *log, const char *word, struct dpc_buf *out)
{
    struct dpc_buf lines;
    dpc_buf_init(&lines, 0);
    dpc_process_last_lines(log, 0, LAST_LINES, &lines);
    char *line = lines.len ? (char *)lines.data : NULL;
    for (char *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        const char *found = strstr(line, word);
        if (found)
            dpc_buf_printf(out, "%s%s", out->len ? "\n" : "", found + strlen(word));
    }
    dpc_buf_done(&lines);
}

static int
tell_failure(int status, const char *log, struct dpc_error *err)
{
    int code = status == DPC_EXIT_REFUSED ? DPC_EPERM
               : status == DPC_EXIT_USAGE ? DPC_EINVAL
                                          : DPC_EIO;
    struct dpc_buf text;
    dpc_buf_init(&text, 0);
    collect(log, "error: ", &text);
    if (text.len)
        (void)dpc_error_set(err, code, "%s", dpc_buf_text(&text));
    else
        (void)dpc_error_set(err, code, "dipaco-coordinator --fork failed; its log is %s", log);
    dpc_buf_done(&text);
    return code;
}

struct command {
    char program[DPC_PATH_MAX], store[DPC_PATH_MAX], to[DPC_PATH_MAX], log[DPC_PATH_MAX];
};

static int
name_files(const struct dpc_run_folder *source, const struct dpc_run_folder *folder,
           struct command *command, struct dpc_error *err)
{
    char logs[DPC_PATH_MAX];
    int rc = dpc_process_find("dipaco-coordinator", command->program, err);
    if (rc == DPC_OK)
        rc = dpc_run_folder_file(source, "coordinator", command->store, err);
    if (rc == DPC_OK)
        rc = dpc_run_folder_file(folder, "coordinator", command->to, err);
    if (rc == DPC_OK)
        rc = dpc_run_folder_file(folder, "logs", logs, err);
    if (rc == DPC_OK)
        rc = dpc_run_folder_file(folder, DPC_ORIGIN_LOG, command->log, err);
    return rc == DPC_OK ? dpc_vfs_make_folder(&dpc_vfs_posix, logs, err) : rc;
}

/* `notes` NULL: it is only tried. */
static int
make(const struct dpc_run_folder *source, const char *round, const char *file,
     const struct dpc_run_folder *folder, struct dpc_buf *notes, struct dpc_error *err)
{
    const bool dry = !notes;
    struct command command;
    pid_t pid;
    int rc = name_files(source, folder, &command, err);
    if (rc != DPC_OK)
        return rc;
    /* Room for three more, and the NULL behind them. */
    char *argv[7 + 3 + 1] = {command.program, "--dir",  command.to,   "--experiment",
                             (char *)file,    "--fork", command.store};
    size_t count = 7;
    if (dry)
        argv[count++] = "--dry-run";
    if (round)
        argv[count++] = "--round";
    if (round)
        argv[count++] = (char *)round;
    rc = dpc_process_start(argv, folder->path, command.log, &pid, err);
    if (rc != DPC_OK)
        return rc;
    int status = wait_for(pid);
    if (status != DPC_EXIT_OK)
        return tell_failure(status, command.log, err);
    if (!dry)
        collect(command.log, "warning: ", notes);
    return DPC_OK;
}

static int
open_source(const char *text, const struct dpc_run_folder *folder, struct place *ret_place,
            struct dpc_run_folder *ret_source, struct dpc_error *err)
{
    char absolute[PATH_MAX];
    int rc = split(text, ret_place, err);
    if (rc == DPC_OK && realpath(ret_place->folder, absolute) &&
        strcmp(absolute, folder->path) == 0)
        rc = dpc_error_set(err, DPC_EPERM,
                           "a run cannot be made from itself: give the new one another --dir");
    return rc == DPC_OK ? dpc_run_folder_open_source(ret_place->folder, ret_source, err) : rc;
}

static int
take(const char *text, const char *file, const struct dpc_run_folder *folder, struct dpc_buf *notes,
     struct dpc_error *err)
{
    struct place place;
    struct dpc_run_folder source;
    int rc = open_source(text, folder, &place, &source, err);
    if (rc != DPC_OK)
        return rc;
    rc = make(&source, place.round, file, folder, notes, err);
    dpc_run_folder_close(&source);
    return rc;
}

int
dpc_origin_look(const char *text, const char *file, const struct dpc_run_folder *folder,
                struct dpc_error *err)
{
    return take(text, file, folder, NULL, err);
}

int
dpc_origin_take(const char *text, const char *file, const struct dpc_run_folder *folder,
                struct dpc_buf *notes, struct dpc_error *err)
{
    return take(text, file, folder, notes, err);
}

/* --- Going on. */

static bool
keep_last(void *context, const struct dpc_origin_record *origin)
{
    *(struct dpc_origin_record *)context = *origin;
    return true;
}

static int
load_origin(const struct dpc_run_folder *folder, struct dpc_origin_record *ret_origin,
            struct dpc_error *err)
{
    struct dpc_store *store;
    char path[DPC_PATH_MAX];
    int rc = dpc_run_folder_file(folder, "coordinator", path, err);
    if (rc == DPC_OK)
        rc = dpc_store_open(path, DPC_KV_READ_ONLY, &store, err);
    if (rc != DPC_OK)
        return rc;
    *ret_origin = (struct dpc_origin_record){.round = UINT32_MAX};
    rc = dpc_scan_origins(dpc_store_kv(store), keep_last, ret_origin, err);
    dpc_store_close(store);
    return rc;
}

/* The newest round may have been any. */
static bool
is_round(const struct place *place, const struct dpc_origin_record *origin)
{
    bool warm_start = place->round && strcmp(place->round, DPC_ORIGIN_WARM) == 0;
    if (warm_start || origin->warm_start)
        return warm_start && origin->warm_start;
    return !place->round || strtoul(place->round, NULL, 10) == origin->round;
}

/* False also when nobody can tell any more. */
static bool
is_another(const char *run, const struct dpc_origin_record *origin)
{
    struct dpc_store *store;
    char path[DPC_PATH_MAX];
    if (dpc_path_join(run, "coordinator", path, sizeof path) != DPC_OK ||
        dpc_store_open(path, DPC_KV_READ_ONLY, &store, NULL) != DPC_OK)
        return false;
    bool another = dpc_store_incarnation(store) != origin->incarnation;
    dpc_store_close(store);
    return another;
}

int
dpc_origin_agree(const char *text, const struct dpc_run_folder *folder, struct dpc_error *err)
{
    struct place place;
    struct dpc_origin_record origin;
    int rc = split(text, &place, err);
    if (rc == DPC_OK)
        rc = load_origin(folder, &origin, err);
    if (rc != DPC_OK)
        return rc;
    if (origin.round != UINT32_MAX && is_round(&place, &origin) &&
        !is_another(place.folder, &origin))
        return DPC_OK;
    return dpc_error_set(err, DPC_EPERM,
                         "the run in \"%s\" has begun, and not from %.200s: go on with it without "
                         "--from, give the new one another --dir, or begin anew with --fresh",
                         folder->path, text);
}
