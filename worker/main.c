/* SPDX-License-Identifier: Apache-2.0
 * dipaco-worker: options, key, and the lock that keeps two workers out of one folder. The work
 * itself is in worker/loop.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/processors.h"
#include "base/vfs.h"
#include "worker/join.h"
#include "worker/loop.h"
#include "worker/options.h"
#include "worker/owner/snooze.h"
#include "worker/standing.h"

static int
fail(const struct dpc_error *err)
{
    dpc_log_error("%s", err->text);
    return dpc_exit_of(err->code);
}

/* What an option says is wrong usage: no restart makes it right. */
static int
fail_option(const struct dpc_error *err)
{
    return err->code == DPC_EINVAL ? dpc_worker_usage(err->text, NULL) : fail(err);
}

static int
generate_key(const char *path)
{
    struct dpc_keypair keypair;
    struct dpc_error err = {0};
    dpc_keypair_generate(&keypair);
    int code = dpc_keypair_save(path, &keypair, &err);
    explicit_bzero(&keypair, sizeof keypair);
    if (code != DPC_OK)
        return fail(&err);
    printf("%s\n%s.pub\n", path, path);
    return DPC_EXIT_OK;
}

/* The folder's lock, opened with `flags`; DPC_EBUSY while a worker holds it. */
static int
try_lock(const char *folder, int flags, int how, int *ret_fd, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int code = dpc_path_join(folder, "lock", path, sizeof path);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the name of folder \"%s\" is too long", folder);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        return dpc_error_set_errno(err, errno, "could not open \"%s\"", path);
    if (flock(fd, how | LOCK_NB) == 0) {
        *ret_fd = fd;
        return DPC_OK;
    }
    int errnum = errno;
    close(fd);
    if (errnum == EWOULDBLOCK)
        return dpc_error_set(err, DPC_EBUSY,
                             "another worker uses folder \"%s\": give each its own --dir", folder);
    return dpc_error_set_errno(err, errnum, "could not lock \"%s\"", path);
}

/* Keeps the descriptor open: the lock goes with the process, however it ends. Who looks whether a
 * worker runs holds it for an instant, so this one tries more than once. */
static int
lock_folder(const char *folder, struct dpc_error *err)
{
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    int fd, code = try_lock(folder, O_RDWR | O_CREAT, LOCK_EX, &fd, err);
    for (int i = 0; code == DPC_EBUSY && i < 4; i++) {
        (void)nanosleep(&pause, NULL);
        code = try_lock(folder, O_RDWR | O_CREAT, LOCK_EX, &fd, err);
    }
    return code;
}

/* --- What an owner asks of a folder. */

static int
look_for_worker(const char *folder, bool *ret_running, struct dpc_error *err)
{
    int fd, code = try_lock(folder, O_RDONLY, LOCK_SH, &fd, err);
    *ret_running = code == DPC_EBUSY;
    if (code == DPC_OK)
        close(fd);
    return code == DPC_EBUSY || code == DPC_ENOTFOUND ? DPC_OK : code;
}

static int
snooze(const char *folder, const char *text)
{
    struct dpc_error err = {0};
    int64_t wall_s = dpc_clock_wall_s(), seconds;
    bool running;
    if (dpc_snooze_parse(text, wall_s, &seconds) != DPC_OK)
        return dpc_worker_usage("--snooze takes 30m, 2h, 1d and the like up to 31d, 07:00 or off, "
                                "not",
                                text);
    if (dpc_snooze_write(folder, wall_s, seconds, &err) != DPC_OK ||
        look_for_worker(folder, &running, &err) != DPC_OK)
        return fail(&err);
    if (!running)
        printf("no worker runs in folder \"%s\"; the next one will see it\n", folder);
    return DPC_EXIT_OK;
}

/* A worker that has not begun to work has written nothing yet. */
static int
show_no_figures(const char *folder, bool running, bool json)
{
    if (!running)
        fprintf(stderr, "dipaco-worker: no worker has run in folder \"%s\"\n", folder);
    else if (json)
        printf("{\n    \"running\": true\n}\n");
    else
        printf("a worker begins in folder \"%s\": it looks for its coordinator, or waits to be let "
               "in, as its log says\n",
               folder);
    return running ? DPC_EXIT_OK : DPC_EXIT_NO_CONTACT;
}

static int
show_status(const char *folder, bool json)
{
    struct dpc_error err = {0};
    char *text = NULL;
    bool running;
    int64_t wall_s = dpc_clock_wall_s();
    int code = look_for_worker(folder, &running, &err);
    if (code == DPC_OK)
        code = dpc_standing_show(&dpc_vfs_posix, folder, running, json, wall_s, &text, &err);
    if (code == DPC_ENOTFOUND)
        return show_no_figures(folder, running, json);
    if (code != DPC_OK)
        return fail(&err);
    printf("%s%s", text, json ? "\n" : "");
    dpc_free(text);
    return running ? DPC_EXIT_OK : DPC_EXIT_NO_CONTACT;
}

/* Which coordinator, and this worker's key. An option comes before what joining noted. */
static int
find_coordinator(struct dpc_worker_arguments *args, struct dpc_coordinator *coordinator,
                 struct dpc_error *err)
{
    int code = dpc_coordinator_load(args->server_key, coordinator, err);
    if (code == DPC_ENOTFOUND)
        return dpc_error_set(err, DPC_EINVAL,
                             "this worker knows no coordinator, since there is no \"%s\"; give it "
                             "a --join string, or --connect and --server-key",
                             args->server_key);
    if (code != DPC_OK)
        return code;
    if (!args->endpoint)
        args->endpoint = coordinator->endpoint;
    if (!args->endpoint[0])
        return dpc_error_set(err, DPC_EINVAL,
                             "--connect with the coordinator's endpoint is missing");
    return dpc_endpoint_check(args->endpoint, false, err);
}

static int
load_keys(struct dpc_worker_arguments *args, struct dpc_coordinator *coordinator,
          struct dpc_worker_options *worker, struct dpc_error *err)
{
    int code = find_coordinator(args, coordinator, err);
    if (code != DPC_OK)
        return code;
    worker->endpoint = args->endpoint;
    worker->server_key = coordinator->key;
    code = dpc_keypair_load(args->key, &worker->keypair, err);
    if (code == DPC_ENOTFOUND)
        return dpc_error_prefix(err, code, "this worker has no key; make one with --generate-key");
    return code;
}

/* What only another string, or another folder, mends is no reason to try again. */
static int
fail_join(const struct dpc_error *err)
{
    dpc_log_error("%s", err->text);
    return err->code == DPC_EEXIST ? DPC_EXIT_REFUSED : dpc_exit_of_experiment(err->code);
}

static int
join(const struct dpc_worker_arguments *args, struct dpc_error *err)
{
    struct dpc_join_options join_options = {
        .text = args->join,
        .endpoint = args->endpoint,
        .name = args->name,
        .key = args->key,
        .coordinator = args->server_key,
        .patient = !args->enrol_only,
    };
    return args->join ? dpc_worker_join(&join_options, err) : DPC_OK;
}

/* Whoever may look at this process sees its arguments and its environment. */
static void
forget_join(struct dpc_worker_arguments *args)
{
    if (!args->join)
        return;
    explicit_bzero((char *)(uintptr_t)args->join, strlen(args->join));
    args->join = NULL;
    (void)unsetenv("DIPACO_JOIN");
}

/* The same program with the same arguments; only a join string is used up (`joined`, where it
 * stood; NULL: nowhere). The process, and whoever waits for it, stays what it is. */
static int
begin_anew(char **argv, const char *joined)
{
    int kept = 0;
    for (int i = 0; argv[i]; i++) {
        if (argv[i] == joined)
            kept--;                                              /* --join */
        else if (!joined || argv[i] + strlen(argv[i]) != joined) /* --join=... */
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    execv("/proc/self/exe", argv);
    dpc_log_error("could not begin anew: %s", strerror(errno));
    return DPC_EXIT_FAILED;
}

/* What is neither said nor known is no limit. */
static uint64_t
memory_bytes(const struct dpc_worker_arguments *args)
{
    return args->memory_mib ? args->memory_mib * DPC_MIB : dpc_cgroup_compute_bytes();
}

static int
work(struct dpc_worker_arguments *args)
{
    struct dpc_error err = {0};
    struct dpc_coordinator coordinator; /* whose endpoint the options may point into */
    struct dpc_worker_options worker_options = {
        .folder = args->folder,
        .name = args->name,
        .cache_bytes = args->cache_mib * DPC_MIB,
        .memory_bytes = memory_bytes(args),
        .device = args->device,
        .notice = args->notice,
        .owner = args->owner,
        .allowance = args->allowance,
        .mirror = args->mirror,
        .keep_lease = args->keep_lease,
    };
    struct dpc_worker *worker;
    if (args->cpus && dpc_processors_pin(args->cpus, &err) != DPC_OK)
        return fail_option(&err);
    worker_options.threads = args->threads ? (uint32_t)args->threads : dpc_processors_count();
    (void)signal(SIGPIPE, SIG_IGN);
    if (dpc_vfs_check_descriptors(&err) != DPC_OK)
        return fail(&err);
    if (load_keys(args, &coordinator, &worker_options, &err) != DPC_OK)
        return fail_option(&err);
    if (dpc_worker_create(&worker_options, &worker, &err) != DPC_OK)
        return fail(&err);
    int status = dpc_worker_run(worker);
    /* A step of a large model that is still under way may last; nothing is lost with it. */
    if (!dpc_worker_is_idle(worker))
        _exit(status);
    dpc_worker_destroy(worker);
    explicit_bzero(&worker_options.keypair, sizeof worker_options.keypair);
    return status;
}

/* Where options that were not given stand, below --dir. */
struct defaults {
    char key[DPC_PATH_MAX], coordinator[DPC_PATH_MAX], name[DPC_NAME_MAX];
};

static int
fill_defaults(struct dpc_worker_arguments *args, struct defaults *defaults, struct dpc_error *err)
{
    int code = dpc_vfs_posix.ops->make_folder(&dpc_vfs_posix, args->folder);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not make folder \"%s\": %s", args->folder,
                             dpc_error_words(code));
    code = dpc_path_join(args->folder, "worker.key", defaults->key, sizeof defaults->key);
    if (code == DPC_OK)
        code = dpc_path_join(args->folder, "coordinator.pub", defaults->coordinator,
                             sizeof defaults->coordinator);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the name of folder \"%.200s\" is too long", args->folder);
    if (gethostname(defaults->name, sizeof defaults->name - 1) != 0 || !defaults->name[0])
        (void)snprintf(defaults->name, sizeof defaults->name, "worker");
    args->key = args->key ? args->key : defaults->key;
    args->server_key = args->server_key ? args->server_key : defaults->coordinator;
    args->name = args->name ? args->name : defaults->name;
    return DPC_OK;
}

int
main(int argc, char **argv)
{
    struct dpc_worker_arguments args;
    static struct defaults defaults;
    struct dpc_error err = {0};
    dpc_log_set_name("worker");
    int status = dpc_worker_arguments_read(argc, argv, &args);
    if (status >= 0)
        return status;
    if (args.snooze)
        return snooze(args.folder, args.snooze);
    if (args.status)
        return show_status(args.folder, args.json);
    if (fill_defaults(&args, &defaults, &err) != DPC_OK)
        return fail(&err);
    if (args.generate_key)
        return generate_key(args.key);
    if (!args.enrol_only && lock_folder(args.folder, &err) != DPC_OK)
        return fail(&err);
    int code = join(&args, &err);
    const char *joined = args.join;
    forget_join(&args);
    if (code != DPC_OK)
        return fail_join(&err);
    if (args.enrol_only)
        return DPC_EXIT_OK;
    status = work(&args);
    return status == DPC_WORKER_ANEW ? begin_anew(argv, joined) : status;
}
