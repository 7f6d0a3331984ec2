/* SPDX-License-Identifier: Apache-2.0
 * dipaco-worker: options, key, and the lock that keeps two workers out of one folder. The work
 * itself is in worker/loop.c. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/processors.h"
#include "base/vfs.h"
#include "worker/join.h"
#include "worker/loop.h"

enum { CACHE_MIB_DEFAULT = 8192, MIB_MAX = 1 << 24 };

struct arguments {
    const char *folder, *endpoint, *server_key, *key, *name, *cpus, *join;
    uint64_t cache_mib, memory_mib, threads;
    struct dpc_device_options device;
    struct dpc_notice_options notice;
    bool generate_key, enrol_only, keep_lease;
};

static const struct option options[] = {
    {"dir", required_argument, NULL, 'd'},
    {"connect", required_argument, NULL, 'c'},
    {"server-key", required_argument, NULL, 's'},
    {"key", required_argument, NULL, 'k'},
    {"name", required_argument, NULL, 'n'},
    {"cache-mib", required_argument, NULL, 'm'},
    {"memory-mib", required_argument, NULL, 'M'},
    {"threads", required_argument, NULL, 't'},
    {"cpus", required_argument, NULL, 'p'},
    {"device", required_argument, NULL, 'D'},
    {"device-memory", required_argument, NULL, 'S'},
    {"device-yield", required_argument, NULL, 'y'},
    {"card-plugin", required_argument, NULL, 'P'},
    {"cloud", required_argument, NULL, 'C'},
    {"cloud-url", required_argument, NULL, 'U'},
    {"keep-lease", no_argument, NULL, 'K'},
    {"generate-key", no_argument, NULL, 'g'},
    {"join", required_argument, NULL, 'j'},
    {"enrol-only", no_argument, NULL, 'e'},
    {"log-level", required_argument, NULL, 'l'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "usage: dipaco-worker --dir FOLDER --join STRING [OPTION]...\n"
    "       dipaco-worker --dir FOLDER [OPTION]...\n"
    "       dipaco-worker --dir FOLDER --generate-key [--key FILE]\n"
    "\n"
    "Leases tasks of a DiPaCo experiment from its coordinator, computes them and hands in what "
    "came\n"
    "out. Only connects outwards; ends on SIGTERM.\n"
    "\n"
    "  --dir FOLDER         what the worker keeps: its key, its cache and the lease in hand\n"
    "  --join STRING        become a worker of the coordinator whose operator gave you this "
    "string\n"
    "                       (dipaco://...), and work; once joined, it changes nothing any more.\n"
    "                       Default $DIPACO_JOIN, which other users of the machine do not see\n"
    "  --enrol-only         with --join: end when the coordinator has taken this machine in\n"
    "  --connect ENDPOINT   the coordinator's control channel, such as tcp://host:7600; default\n"
    "                       $DIPACO_CONNECT, or what joining noted\n"
    "  --server-key FILE    the coordinator's public key (its .pub file); default\n"
    "                       FOLDER/coordinator.pub, which joining writes\n"
    "  --key FILE           this worker's key; default FOLDER/worker.key\n"
    "  --name TEXT          for listings; default the machine's name\n"
    "  --cache-mib NUMBER   how much the cache may hold, in MiB; default 8192\n"
    "  --memory-mib NUMBER  how much memory computing may take, in MiB; default: no limit. What "
    "does\n"
    "                       not fit is computed twice; a path that is still too large is given "
    "back\n"
    "  --cpus LIST          keep to these processors, such as 0-3,8; default: all\n"
    "  --threads NUMBER     that compute; default: one for each of these processors\n"
    "  --device DEVICE      that computes: auto (default: a card when there is one, else the\n"
    "                       processor), cpu, cuda (a card, which is waited for) or cuda:N\n"
    "  --device-memory PERCENT\n"
    "                       how much of the card's free memory it may take; default 90\n"
    "  --device-yield PERCENT\n"
    "                       pause while other processes keep the card busier than that; default "
    "0:\n"
    "                       never\n"
    "  --card-plugin FILE   what computes on cards; default dipaco-ops-cuda.so beside this "
    "program\n"
    "                       or where it was installed\n"
    "  --cloud NAME         whose notices of preemption are watched for: auto (default: what this\n"
    "                       machine is by its firmware), none, aws, gcp or azure\n"
    "  --cloud-url URL      where its metadata service is; default the cloud's own\n"
    "  --keep-lease         when told to end, leave the lease to the next start (for an update or "
    "a\n"
    "                       reboot) instead of giving it back\n"
    "  --generate-key       write a new key (and its .pub, which the coordinator has to know)\n"
    "  --log-level LEVEL    error, warning, info or debug; default info\n"
    "  --version, --help\n"
    "\n"
    "Exit status: 0 ended as asked, 1 failed, 2 wrong usage, 4 refused.\n";

static int
wrong(const char *text, const char *value)
{
    fprintf(stderr, "dipaco-worker: %s%s%s%s\nTry 'dipaco-worker --help'.\n", text,
            value ? " \"" : "", value ? value : "", value ? "\"" : "");
    return DPC_EXIT_USAGE;
}

static bool
parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < 1 || value > max)
        return false;
    *ret_number = value;
    return true;
}

static bool
parse_device(int choice, const char *text, struct dpc_device_options *device)
{
    uint64_t percent = 0;
    switch (choice) {
    case 'D':
        return dpc_device_parse(text, device);
    case 'S':
        device->memory_percent = parse_number(text, 100, &percent) ? (uint32_t)percent : 0;
        return percent > 0;
    case 'y':
        if (strcmp(text, "0") != 0 && !parse_number(text, 100, &percent))
            return false;
        device->yield_percent = (uint32_t)percent;
        return true;
    default:
        device->plugin = text;
        return *text != '\0';
    }
}

static int
wrong_device(int choice, const char *text)
{
    return wrong(choice == 'D'   ? "--device takes auto, cpu, cuda or cuda:N, not"
                 : choice == 'S' ? "--device-memory takes a percentage from 1 to 100, not"
                 : choice == 'y' ? "--device-yield takes a percentage from 0 to 100, not"
                                 : "--card-plugin takes a file, not",
                 text);
}

static bool
parse_notice(int choice, const char *text, struct dpc_notice_options *notice)
{
    if (choice == 'C')
        return dpc_cloud_parse(text, &notice->cloud);
    notice->url = text;
    return strncmp(text, "http://", 7) == 0 && strlen(text) <= 255;
}

static int
wrong_notice(int choice, const char *text)
{
    return wrong(choice == 'C' ? "--cloud takes auto, none, aws, gcp or azure, not"
                               : "--cloud-url takes http:// and at most 255 bytes, not",
                 text);
}

/* Options that are kept as they come. */
static bool
take_text(int choice, struct arguments *args)
{
    const struct {
        int choice;
        const char **place;
    } rows[] = {
        {'d', &args->folder}, {'j', &args->join}, {'c', &args->endpoint}, {'s', &args->server_key},
        {'k', &args->key},    {'n', &args->name}, {'p', &args->cpus},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].choice == choice) {
            *rows[i].place = optarg;
            return true;
        }
    }
    return false;
}

/* -1 to go on, or the exit status. */
static int
parse(int argc, char **argv, struct arguments *args)
{
    enum dpc_log_level level;
    int choice;
    while ((choice = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (take_text(choice, args))
            continue;
        switch (choice) {
        case 'm':
            if (!parse_number(optarg, MIB_MAX, &args->cache_mib))
                return wrong("--cache-mib takes a number of MiB from 1 to 16777216, not", optarg);
            break;
        case 'M':
            if (!parse_number(optarg, MIB_MAX, &args->memory_mib))
                return wrong("--memory-mib takes a number of MiB from 1 to 16777216, not", optarg);
            break;
        case 't':
            if (!parse_number(optarg, DPC_POOL_THREADS_MAX, &args->threads))
                return wrong("--threads takes a number from 1 to 256, not", optarg);
            break;
        case 'D':
        case 'S':
        case 'y':
        case 'P':
            if (!parse_device(choice, optarg, &args->device))
                return wrong_device(choice, optarg);
            break;
        case 'C':
        case 'U':
            if (!parse_notice(choice, optarg, &args->notice))
                return wrong_notice(choice, optarg);
            break;
        case 'K':
            args->keep_lease = true;
            break;
        case 'g':
            args->generate_key = true;
            break;
        case 'e':
            args->enrol_only = true;
            break;
        case 'l':
            if (!dpc_log_level_parse(optarg, &level))
                return wrong("--log-level takes error, warning, info or debug, not", optarg);
            dpc_log_set_level(level);
            break;
        case 'V':
            printf("dipaco-worker %s\n", PACKAGE_VERSION);
            return DPC_EXIT_OK;
        case 'h':
            fputs(usage, stdout);
            return DPC_EXIT_OK;
        default:
            return wrong("see the line above", NULL);
        }
    }
    return -1;
}

static int
check(int argc, char **argv, const struct arguments *args)
{
    if (optind < argc)
        return wrong("there is no argument", argv[optind]);
    if (!args->folder)
        return wrong("--dir is missing", NULL);
    if (args->name && (!*args->name || strlen(args->name) >= DPC_NAME_MAX))
        return wrong("--name takes 1 to 63 bytes, not", args->name);
    if (args->enrol_only && !args->join)
        return wrong("--enrol-only belongs to --join", NULL);
    if (args->endpoint && strlen(args->endpoint) >= DPC_ENDPOINT_MAX)
        return wrong("--connect takes at most 255 bytes, not", args->endpoint);
    return -1;
}

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
    return err->code == DPC_EINVAL ? wrong(err->text, NULL) : fail(err);
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

/* Keeps the descriptor open: the lock goes with the process, however it ends. */
static int
lock_folder(const char *folder, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    int code = dpc_path_join(folder, "lock", path, sizeof path);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the name of folder \"%s\" is too long", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return dpc_error_set_errno(err, errno, "could not open \"%s\"", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return DPC_OK;
    int errnum = errno;
    close(fd);
    if (errnum == EWOULDBLOCK)
        return dpc_error_set(err, DPC_EBUSY,
                             "another worker uses folder \"%s\": give each its own --dir", folder);
    return dpc_error_set_errno(err, errnum, "could not lock \"%s\"", path);
}

/* Which coordinator, and this worker's key. An option comes before what joining noted. */
static int
find_coordinator(struct arguments *args, struct dpc_coordinator *coordinator, struct dpc_error *err)
{
    int code = dpc_coordinator_load(args->server_key, coordinator, err);
    if (code == DPC_ENOTFOUND)
        return dpc_error_prefix(err, DPC_EINVAL,
                                "this worker knows no coordinator; give it a --join string, or "
                                "--connect and --server-key");
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
load_keys(struct arguments *args, struct dpc_worker_options *worker, struct dpc_error *err)
{
    struct dpc_coordinator coordinator;
    int code = find_coordinator(args, &coordinator, err);
    if (code != DPC_OK)
        return code;
    worker->endpoint = args->endpoint;
    worker->server_key = coordinator.key;
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
join(const struct arguments *args, struct dpc_error *err)
{
    struct dpc_join_options join_options = {
        .text = args->join,
        .endpoint = args->endpoint,
        .name = args->name,
        .key = args->key,
        .coordinator = args->server_key,
        .again = args->enrol_only,
    };
    return args->join ? dpc_worker_join(&join_options, err) : DPC_OK;
}

static int
work(struct arguments *args)
{
    struct dpc_error err = {0};
    struct dpc_worker_options worker_options = {
        .folder = args->folder,
        .name = args->name,
        .cache_bytes = args->cache_mib * DPC_MIB,
        .memory_bytes = args->memory_mib * DPC_MIB,
        .device = args->device,
        .notice = args->notice,
        .keep_lease = args->keep_lease,
    };
    struct dpc_worker *worker;
    if (args->cpus && dpc_processors_pin(args->cpus, &err) != DPC_OK)
        return fail_option(&err);
    worker_options.threads = args->threads ? (uint32_t)args->threads : dpc_processors_count();
    (void)signal(SIGPIPE, SIG_IGN);
    if (load_keys(args, &worker_options, &err) != DPC_OK)
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
fill_defaults(struct arguments *args, struct defaults *defaults, struct dpc_error *err)
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

/* A variable that is set to nothing is not set. */
static const char *
or_variable(const char *option, const char *name)
{
    const char *value = option ? option : getenv(name);
    return value && *value ? value : NULL;
}

int
main(int argc, char **argv)
{
    struct arguments args = {.cache_mib = CACHE_MIB_DEFAULT};
    static struct defaults defaults;
    struct dpc_error err = {0};
    dpc_log_set_name("worker");
    int status = parse(argc, argv, &args);
    if (status >= 0)
        return status;
    args.endpoint = or_variable(args.endpoint, "DIPACO_CONNECT");
    args.join = or_variable(args.join, "DIPACO_JOIN");
    status = check(argc, argv, &args);
    if (status >= 0)
        return status;
    if (fill_defaults(&args, &defaults, &err) != DPC_OK)
        return fail(&err);
    if (args.generate_key)
        return generate_key(args.key);
    if (!args.enrol_only && lock_folder(args.folder, &err) != DPC_OK)
        return fail(&err);
    if (join(&args, &err) != DPC_OK)
        return fail_join(&err);
    return args.enrol_only ? DPC_EXIT_OK : work(&args);
}
