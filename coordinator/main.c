/* SPDX-License-Identifier: Apache-2.0
 * dipaco-coordinator: options in, a server, an exit code out. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/exit.h"
#include "base/log.h"
#include "coordinator/backup.h"
#include "coordinator/fork/fork.h"
#include "base/loopback.h"
#include "coordinator/server.h"
#include "proto/channel.h"
#include "base/vfs.h"

enum { DESCRIPTORS = 65536 /* as its unit has them */ };

static const char usage[] =
    "usage: dipaco-coordinator --dir DIR --experiment FILE [options]\n"
    "\n"
    "Owns an experiment: its module versions, its leases, its phases. Goes on where it stopped.\n"
    "\n"
    "  --dir DIR          store of the experiment; made when missing\n"
    "  --experiment FILE  the experiment file (YAML)\n"
    "  --listen ENDPOINT  control channel (default tcp://*:7600, of IPv4; tcp://[::]:7600 takes\n"
    "                     both, likewise --bulk)\n"
    "  --bulk ENDPOINT    bulk channel (default tcp://*:7601)\n"
    "  --admin ENDPOINT   admin channel (default ipc:///run/dipaco-coordinator/admin.sock)\n"
    "  --advertise ENDPOINT\n"
    "                     control channel as workers reach it, for join strings (dipacoctl "
    "invite);\n"
    "                     default --listen, where that names a host\n"
    "  --key FILE         CURVE key, made when missing (default DIR/coordinator.key)\n"
    "  --workers FOLDER   public keys (*.pub) of the workers that may connect; read again on "
    "SIGHUP\n"
    "                     (default DIR/workers)\n"
    "  --restore FOLDER   make --dir, missing or empty, from a backup (dipacoctl backup), and end\n"
    "  --fork STORE       make --dir, missing or empty, from another store for --experiment, which "
    "may\n"
    "                     differ in what only the future depends on, and end\n"
    "  --round N          as that stood when N rounds of routed paths were over (default: the "
    "newest),\n"
    "                     or warm: when the warm start was, with documents still to be routed\n"
    "  --dry-run          only tell whether the fork could be made; --dir is left alone\n"
    "  --report FOLDER    where the report goes (default DIR/report)\n"
    "  --mirror URL       of a web server that has the blobs of DIR, too, which workers ask first\n"
    "                     (default none)\n"
    "  --http ADDRESS     pages for a browser and for Prometheus on a loopback address, such as\n"
    "                     127.0.0.1:7602; port 0 picks one (default none)\n"
    "  --events FILE      append what happens as lines of JSON; opened again on SIGHUP (default "
    "none)\n"
    "  --log-level LEVEL  error, warning, info or debug (default info)\n"
    "  --version, --help\n"
    "\n"
    "exit codes: 0 ok, 1 failed, 2 usage or experiment file, 4 refused (in use, changed file, a\n"
    "corpus that does not suit it, damage, a newer release)\n";

static const struct option long_options[] = {
    {"dir", required_argument, NULL, 'd'},
    {"experiment", required_argument, NULL, 'e'},
    {"listen", required_argument, NULL, 'l'},
    {"bulk", required_argument, NULL, 'b'},
    {"admin", required_argument, NULL, 'a'},
    {"advertise", required_argument, NULL, 'A'},
    {"key", required_argument, NULL, 'k'},
    {"workers", required_argument, NULL, 'w'},
    {"report", required_argument, NULL, 'r'},
    {"mirror", required_argument, NULL, 'm'},
    {"http", required_argument, NULL, 'H'},
    {"events", required_argument, NULL, 'E'},
    {"restore", required_argument, NULL, 'R'},
    {"fork", required_argument, NULL, 'f'},
    {"dry-run", no_argument, NULL, 't'},
    {"round", required_argument, NULL, 'n'},
    {"log-level", required_argument, NULL, 'v'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* What it does instead of serving. */
struct making {
    const char *restore, *fork;
    uint32_t round; /* of the fork */
    bool dry;       /* it is only tried */
};

/* Where options that were not given stand, below --dir. */
struct defaults {
    char key[DPC_PATH_MAX], workers[DPC_PATH_MAX], report[DPC_PATH_MAX];
};

static int
refuse_usage(const char *why, const char *what)
{
    fprintf(stderr, "dipaco-coordinator: %s%s\n\n%s", why, what, usage);
    return DPC_EXIT_USAGE;
}

static bool
read_round(const char *text, uint32_t *ret_round)
{
    char *behind;
    if (strcmp(text, "warm") == 0) {
        *ret_round = DPC_FORK_WARM;
        return true;
    }
    unsigned long round = strtoul(text, &behind, 10);
    *ret_round = (uint32_t)round;
    return text[0] >= '0' && text[0] <= '9' && !*behind && round <= DPC_ROUNDS_MAX;
}

static int
check_options(const struct dpc_server_options *options, const struct making *making)
{
    if (making->restore && making->fork)
        return refuse_usage("--restore and --fork both make --dir: give one", "");
    if (making->round != DPC_FORK_NEWEST && !making->fork)
        return refuse_usage("--round belongs to --fork", "");
    if (making->dry && !making->fork)
        return refuse_usage("--dry-run belongs to --fork", "");
    struct dpc_error err;
    if (options->http_address && dpc_loopback_check(options->http_address, &err) != DPC_OK)
        return refuse_usage("--http: ", err.text);
    if (options->mirror && dpc_url_check(options->mirror, &err) != DPC_OK)
        return refuse_usage("--mirror: ", err.text);
    if (making->restore && options->folder)
        return -1;
    if (!options->folder || !options->experiment_file)
        return refuse_usage(options->folder ? "--experiment is missing" : "--dir is missing", "");
    if (!*options->folder)
        return refuse_usage("--dir takes a folder, not ", "\"\"");
    return -1;
}

static bool
set_level(const char *text)
{
    enum dpc_log_level level;
    bool known = dpc_log_level_parse(text, &level);
    if (known)
        dpc_log_set_level(level);
    return known;
}

/* -1: go on; else the exit code. */
static int
parse(int argc, char **argv, struct dpc_server_options *options, struct making *making)
{
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'd':
            options->folder = optarg;
            break;
        case 'e':
            options->experiment_file = optarg;
            break;
        case 'l':
            options->control_endpoint = optarg;
            break;
        case 'b':
            options->bulk_endpoint = optarg;
            break;
        case 'a':
            options->admin_endpoint = optarg;
            break;
        case 'A':
            options->advertised = optarg;
            break;
        case 'k':
            options->key_file = optarg;
            break;
        case 'w':
            options->workers_folder = optarg;
            break;
        case 'r':
            options->report_folder = optarg;
            break;
        case 'm':
            options->mirror = optarg;
            break;
        case 'H':
            options->http_address = strcmp(optarg, "none") == 0 ? NULL : optarg;
            break;
        case 'E':
            options->events_file = optarg;
            break;
        case 'R':
            making->restore = optarg;
            break;
        case 'f':
            making->fork = optarg;
            break;
        case 't':
            making->dry = true;
            break;
        case 'n':
            if (!read_round(optarg, &making->round))
                return refuse_usage("--round takes a number or warm, not ", optarg);
            break;
        case 'v':
            if (!set_level(optarg))
                return refuse_usage("no such log level: ", optarg);
            break;
        case 'V':
            printf("dipaco-coordinator %s\n", PACKAGE_VERSION);
            return DPC_EXIT_OK;
        case 'h':
            fputs(usage, stdout);
            return DPC_EXIT_OK;
        default:
            return refuse_usage("see the options below", "");
        }
    }
    if (optind < argc)
        return refuse_usage("unexpected argument: ", argv[optind]);
    return check_options(options, making);
}

static int
fill_defaults(struct dpc_server_options *options, struct defaults *defaults)
{
    const struct {
        const char **option;
        const char *name;
        char *place;
    } rows[] = {
        {&options->key_file, "coordinator.key", defaults->key},
        {&options->workers_folder, "workers", defaults->workers},
        {&options->report_folder, "report", defaults->report},
    };
    int code = dpc_vfs_posix.ops->make_folder(&dpc_vfs_posix, options->folder);
    for (size_t i = 0; code == DPC_OK && i < sizeof rows / sizeof *rows; i++) {
        if (*rows[i].option)
            continue;
        code = dpc_path_join(options->folder, rows[i].name, rows[i].place, DPC_PATH_MAX);
        *rows[i].option = rows[i].place;
    }
    if (code == DPC_OK && options->workers_folder == defaults->workers)
        code = dpc_vfs_posix.ops->make_folder(&dpc_vfs_posix, defaults->workers);
    return code;
}

/* Returns an exit code. */
static int
restore(const char *from, const char *to)
{
    struct dpc_backup_counts counts;
    struct dpc_error err;
    int code = dpc_backup_restore(from, to, &counts, &err);
    if (code == DPC_OK)
        dpc_log_info("restored from=\"%s\" dir=\"%s\" blobs=%llu bytes=%llu", from, to,
                     (unsigned long long)counts.blobs, (unsigned long long)counts.bytes);
    else
        dpc_log_error("%s", err.text);
    return code == DPC_EEXIST ? DPC_EXIT_REFUSED : dpc_exit_of(code);
}

/* Returns an exit code. */
static int
fork_store(const struct making *making, const struct dpc_server_options *options)
{
    struct dpc_forked forked;
    struct dpc_error err;
    int code = dpc_fork_make(making->fork, making->round, options->experiment_file,
                             making->dry ? NULL : options->folder, &forked, &err);
    if (code != DPC_OK) {
        dpc_log_error("%s", err.text);
        return code == DPC_EEXIST ? DPC_EXIT_REFUSED : dpc_exit_of_experiment(code);
    }
    if (making->dry)
        return DPC_EXIT_OK;
    dpc_log_info("forked from=\"%s\" dir=\"%s\" round=%u blobs=%llu", making->fork, options->folder,
                 forked.round, (unsigned long long)forked.blobs);
    if (forked.restarts)
        dpc_log_warning("early stopping begins anew at round %u for %u paths: what was best so far "
                        "is not kept, or was measured otherwise",
                        forked.round, forked.restarts);
    if (forked.barred)
        dpc_log_warning(
            "%u rounds of paths of the warm start were handed in by workers that are barred since, "
            "and a revoke takes out none of these: begin anew if they may be bad",
            forked.barred);
    if (forked.again)
        dpc_log_warning(
            "%u rounds of paths that were revoked behind round %u are part of it again, "
            "of %u workers: revoke them there once more, the first with dipacoctl "
            "revoke \"%s\" --since %u, or go on from an older round",
            forked.again, forked.round, forked.again_workers, forked.again_name,
            forked.again_since);
    if (forked.states_left_out)
        dpc_log_warning("%u paths begin from moments of zero: their states were not with the "
                        "coordinator",
                        forked.states_left_out);
    return DPC_EXIT_OK;
}

/* Each worker takes a descriptor on each socket, and where none is left libzmq's I/O thread spins
 * and blobs cannot be opened. A shell gives its programs less than it may, often 1,024. */
static void
take_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int
main(int argc, char **argv)
{
    struct making making = {.round = DPC_FORK_NEWEST};
    static struct defaults defaults;
    struct dpc_server_options options = {
        .control_endpoint = "tcp://*:7600",
        .bulk_endpoint = "tcp://*:7601",
        .admin_endpoint = "ipc:///run/dipaco-coordinator/admin.sock",
    };
    struct dpc_server *server = NULL;
    struct dpc_error err = {0};
    dpc_log_set_name("coordinator");
    int code = parse(argc, argv, &options, &making);
    if (code >= 0)
        return code;
    if (making.restore)
        return restore(making.restore, options.folder);
    if (making.fork)
        return fork_store(&making, &options);
    code = fill_defaults(&options, &defaults);
    if (code != DPC_OK)
        (void)dpc_error_set(&err, code, "could not make \"%s\": %s", options.folder,
                            dpc_error_words(code));
    take_descriptors();
    if (code == DPC_OK)
        code = dpc_vfs_check_descriptors(&err);
    int status = dpc_exit_of(code);
    if (code == DPC_OK) {
        code = dpc_server_create(&options, &server, &err);
        status = dpc_exit_of_experiment(code);
    }
    if (code == DPC_OK) {
        code = dpc_server_run(server, &err);
        status = dpc_exit_of(code);
    }
    if (code != DPC_OK)
        dpc_log_error("%s", err.text);
    else
        dpc_log_info("stopped");
    /* A job that still runs may last; what it would bring is asked for again. */
    if (server && !dpc_server_is_idle(server))
        _exit(status);
    dpc_server_destroy(server);
    return status;
}
