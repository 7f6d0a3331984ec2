/* SPDX-License-Identifier: Apache-2.0
 * A row says what an option takes, in the words that a mistake is told in, and who reads that. */
#include "worker/options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/exit.h"
#include "base/limits.h"
#include "base/log.h"
#include "worker/owner/hours.h"
#include "worker/owner/power.h"
#include "worker/owner/presence.h"

enum { CACHE_MIB_DEFAULT = 8192, MIB_MAX = 1 << 24 };

static const char usage[] =
    "usage: dipaco-worker --dir FOLDER --join STRING [OPTION]...\n"
    "       dipaco-worker --dir FOLDER [OPTION]...\n"
    "       dipaco-worker --dir FOLDER --generate-key [--key FILE]\n"
    "       dipaco-worker --dir FOLDER --snooze TIME\n"
    "       dipaco-worker --dir FOLDER --status [--json]\n"
    "\n"
    "Leases tasks of a DiPaCo experiment from its coordinator, computes them and hands in what "
    "came\n"
    "out. Only connects outwards; ends on SIGTERM, SIGINT and SIGHUP (nohup keeps that one out).\n"
    "\n"
    "  --dir FOLDER         what the worker keeps: its key, its cache and the lease in hand\n"
    "  --join STRING        become a worker of the coordinator whose operator gave you this\n"
    "                       string (dipaco://...), and work; once joined, it changes nothing any\n"
    "                       more. Default $DIPACO_JOIN, which others on the machine do not see\n"
    "  --enrol-only         with --join: end when the coordinator has taken this machine in\n"
    "  --connect ENDPOINT   the coordinator's control channel, such as tcp://host:7600; default\n"
    "                       $DIPACO_CONNECT, or what joining noted\n"
    "  --server-key FILE    the coordinator's public key (its .pub file); default\n"
    "                       FOLDER/coordinator.pub, which joining writes\n"
    "  --key FILE           this worker's key; default FOLDER/worker.key\n"
    "  --name TEXT          for listings; default the machine's name\n"
    "  --cache-mib NUMBER   how much the cache may hold, in MiB; default 8192\n"
    "  --memory-mib NUMBER  how much memory computing may take, in MiB; default: nine "
    "tenths of\n"
    "                       the machine's, or of its control group's limit. What does not fit "
    "is\n"
    "                       computed twice; a path that is still too large is given back\n"
    "  --cpus LIST          keep to these processors, such as 0-3,8; default: all\n"
    "  --threads NUMBER     that compute; default: one for each of these processors, within "
    "the\n"
    "                       limit of its control group\n"
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
    "  --keep-lease         when told to end, leave the lease to the next start (for a reboot)\n"
    "                       instead of giving it back; another build of this program or of\n"
    "                       OpenBLAS does not take it up\n"
    "  --generate-key       write a new key (and its .pub, which the coordinator has to know)\n"
    "  --hours LIST         work at these hours alone, such as 22:00-07:00 or\n"
    "                       \"mon-fri 20:00-06:00, sat,sun 00:00-24:00\"; default: all\n"
    "  --battery WHEN       work on battery, too: yes, no (default), or from how many percent\n"
    "                       of charge on\n"
    "  --idle MINUTES       work only when nobody has used keyboard, mouse or a terminal for so\n"
    "                       long; default: always\n"
    "  --rate-up KIB        so many KiB a second at most go to the coordinator, and\n"
    "  --rate-down KIB      come from it; default: no limit\n"
    "  --month-gib NUMBER   ask for no more work when transfers have taken so many GiB in this\n"
    "                       month; default: no limit\n"
    "  --mirror URL         a web server that has the coordinator's blobs, such as a cache in "
    "this\n"
    "                       network; none: ask no mirror; default auto: the one that the\n"
    "                       coordinator names, if it is https\n"
    "  --snooze TIME        give the worker of this folder a rest: 30m, 2h, 1d, or 07:00 (until\n"
    "                       then); off ends it\n"
    "  --status             tell how the worker of this folder stands: what it does, what it has\n"
    "                       done, why it pauses; --json for programs\n"
    "  --log-level LEVEL    error, warning, info or debug; default info\n"
    "  --version, --help\n"
    "\n"
    "Exit status: 0 ended as asked, 1 failed, 2 wrong usage, 3 no worker runs (--status) or "
    "nobody\n"
    "answers (--enrol-only), 4 refused.\n";

/* --- What options take. */

struct row {
    const char *name; /* behind "--" */
    size_t at;        /* of the field in the arguments */
    uint64_t most;    /* of a number; bytes of a text, 0: any */
    /* Takes `text` into the field; false: it is not what `takes` says. NULL: a flag. */
    bool (*read)(const struct row *row, const char *text, void *field);
    const char *takes;
};

static bool
read_text(const struct row *row, const char *text, void *field)
{
    *(const char **)field = text;
    return *text && (!row->most || strlen(text) <= row->most);
}

static bool
parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end || value < least || value > most)
        return false;
    *ret_number = value;
    return true;
}

static bool
read_number(const struct row *row, const char *text, void *field)
{
    return parse_number(text, 1, row->most, field);
}

static bool
read_percent(const char *text, uint64_t least, uint32_t *ret_percent)
{
    uint64_t percent;
    if (!parse_number(text, least, 100, &percent))
        return false;
    *ret_percent = (uint32_t)percent;
    return true;
}

static bool
read_device(const struct row *row, const char *text, void *field)
{
    (void)row;
    return dpc_device_parse(text, field);
}

static bool
read_device_memory(const struct row *row, const char *text, void *field)
{
    (void)row;
    return read_percent(text, 1, field);
}

static bool
read_share(const struct row *row, const char *text, void *field)
{
    (void)row;
    return read_percent(text, 0, field);
}

static bool
read_cloud(const struct row *row, const char *text, void *field)
{
    (void)row;
    return dpc_cloud_parse(text, field);
}

static bool
read_url(const struct row *row, const char *text, void *field)
{
    return strncmp(text, "http://", 7) == 0 && read_text(row, text, field);
}

static bool
read_mirror(const struct row *row, const char *text, void *field)
{
    struct dpc_error err;
    (void)row;
    *(const char **)field = strcmp(text, "auto") == 0 ? NULL : text;
    return strcmp(text, "auto") == 0 || strcmp(text, "none") == 0 ||
           dpc_url_check(text, &err) == DPC_OK;
}

static bool
read_hours(const struct row *row, const char *text, void *field)
{
    (void)row;
    return dpc_hours_parse(text, field);
}

static bool
read_battery(const struct row *row, const char *text, void *field)
{
    (void)row;
    return dpc_power_parse(text, field);
}

static bool
read_level(const struct row *row, const char *text, void *field)
{
    enum dpc_log_level level;
    (void)row, (void)field;
    if (!dpc_log_level_parse(text, &level))
        return false;
    dpc_log_set_level(level);
    return true;
}

#define AT(field) offsetof(struct dpc_worker_arguments, field)

static const struct row rows[] = {
    {"dir", AT(folder), 0, read_text, "a folder"},
    {"join", AT(join), 0, read_text, "a join string"},
    {"connect", AT(endpoint), DPC_ENDPOINT_MAX - 1, read_text, "an endpoint of at most 255 bytes"},
    {"server-key", AT(server_key), 0, read_text, "a file"},
    {"key", AT(key), 0, read_text, "a file"},
    {"name", AT(name), DPC_NAME_MAX - 1, read_text, "1 to 63 bytes"},
    {"cache-mib", AT(cache_mib), MIB_MAX, read_number, "a number of MiB from 1 to 16777216"},
    {"memory-mib", AT(memory_mib), MIB_MAX, read_number, "a number of MiB from 1 to 16777216"},
    {"threads", AT(threads), DPC_POOL_THREADS_MAX, read_number, "a number from 1 to 256"},
    {"cpus", AT(cpus), 0, read_text, "a list of processors"},
    {"device", AT(device), 0, read_device, "auto, cpu, cuda or cuda:N"},
    {"device-memory", AT(device.memory_percent), 0, read_device_memory,
     "a percentage from 1 to 100"},
    {"device-yield", AT(device.yield_percent), 0, read_share, "a percentage from 0 to 100"},
    {"card-plugin", AT(device.plugin), 0, read_text, "a file"},
    {"cloud", AT(notice.cloud), 0, read_cloud, "auto, none, aws, gcp or azure"},
    {"cloud-url", AT(notice.url), 255, read_url, "http:// and at most 255 bytes"},
    {"hours", AT(owner.hours), 0, read_hours,
     "hours such as \"22:00-07:00\" or \"mon-fri 20:00-06:00, sat,sun 00:00-24:00\""},
    {"battery", AT(owner.battery_percent_min), 0, read_battery, "yes, no or a percentage"},
    {"idle", AT(owner.idle_minutes), DPC_PRESENCE_MINUTES_MAX, read_number,
     "a number of minutes from 1 to 1440"},
    {"rate-up", AT(allowance.up_kib_s), DPC_ALLOWANCE_KIB_S_MAX, read_number,
     "KiB a second, from 1 to 4194304"},
    {"rate-down", AT(allowance.down_kib_s), DPC_ALLOWANCE_KIB_S_MAX, read_number,
     "KiB a second, from 1 to 4194304"},
    {"month-gib", AT(allowance.month_gib), DPC_ALLOWANCE_GIB_MAX, read_number,
     "a number of GiB from 1 to 1048576"},
    {"mirror", AT(mirror), 0, read_mirror, "auto, none or a URL such as http://HOST/FOLDER"},
    {"snooze", AT(snooze), 0, read_text, "a time such as 2h, 07:00 or off"},
    {"keep-lease", AT(keep_lease), 0, NULL, NULL},
    {"enrol-only", AT(enrol_only), 0, NULL, NULL},
    {"generate-key", AT(generate_key), 0, NULL, NULL},
    {"status", AT(status), 0, NULL, NULL},
    {"json", AT(json), 0, NULL, NULL},
    {"log-level", 0, 0, read_level, "error, warning, info or debug"},
};

enum { ROWS = sizeof rows / sizeof *rows, CHOICE_VERSION = ROWS, CHOICE_HELP };

/* --- Reading. */

int
dpc_worker_usage(const char *text, const char *value)
{
    fprintf(stderr, "dipaco-worker: %s%s%s%s\nTry 'dipaco-worker --help'.\n", text,
            value ? " \"" : "", value ? value : "", value ? "\"" : "");
    return DPC_EXIT_USAGE;
}

/* The rows as getopt wants them: each answers with its index. */
static void
list_options(struct option ret_options[CHOICE_HELP + 2])
{
    for (int i = 0; i < ROWS; i++)
        ret_options[i] =
            (struct option){rows[i].name, rows[i].read ? required_argument : no_argument, NULL, i};
    ret_options[CHOICE_VERSION] = (struct option){"version", no_argument, NULL, CHOICE_VERSION};
    ret_options[CHOICE_HELP] = (struct option){"help", no_argument, NULL, CHOICE_HELP};
    ret_options[CHOICE_HELP + 1] = (struct option){NULL, 0, NULL, 0};
}

static int
take(const struct row *row, const char *text, struct dpc_worker_arguments *arguments)
{
    char words[256];
    void *field = (char *)arguments + row->at;
    if (!row->read)
        *(bool *)field = true;
    else if (!row->read(row, text, field)) {
        (void)snprintf(words, sizeof words, "--%s takes %s, not", row->name, row->takes);
        return dpc_worker_usage(words, text);
    }
    return -1;
}

static int
check(int argc, char **argv, const struct dpc_worker_arguments *arguments)
{
    if (optind < argc && strncmp(argv[optind], "dipaco:", 7) == 0)
        return dpc_worker_usage("a join string goes behind --join", NULL);
    if (optind < argc)
        return dpc_worker_usage("there is no argument", argv[optind]);
    if (!arguments->folder)
        return dpc_worker_usage("--dir is missing", NULL);
    int asked = arguments->generate_key + arguments->status + (arguments->snooze != NULL);
    if (asked > 1)
        return dpc_worker_usage("--generate-key, --snooze and --status go one at a time", NULL);
    if (arguments->json && !arguments->status)
        return dpc_worker_usage("--json goes with --status", NULL);
    if (asked)
        return -1;
    if (arguments->enrol_only && !arguments->join)
        return dpc_worker_usage("--enrol-only belongs to --join", NULL);
    return -1;
}

/* A variable that is set to nothing is not set. */
static const char *
or_variable(const char *option, const char *name)
{
    const char *value = option ? option : getenv(name);
    return value && *value ? value : NULL;
}

int
dpc_worker_arguments_read(int argc, char **argv, struct dpc_worker_arguments *ret_arguments)
{
    struct option options[CHOICE_HELP + 2];
    int choice, status = -1;
    *ret_arguments = (struct dpc_worker_arguments){.cache_mib = CACHE_MIB_DEFAULT,
                                                   .owner.battery_percent_min = DPC_POWER_NEVER};
    list_options(options);
    while (status < 0 && (choice = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (choice == CHOICE_VERSION) {
            printf("dipaco-worker %s\n", PACKAGE_VERSION);
            return DPC_EXIT_OK;
        }
        if (choice == CHOICE_HELP) {
            fputs(usage, stdout);
            return DPC_EXIT_OK;
        }
        status = choice == '?' ? dpc_worker_usage("see the line above", NULL)
                               : take(&rows[choice], optarg, ret_arguments);
    }
    ret_arguments->endpoint = or_variable(ret_arguments->endpoint, "DIPACO_CONNECT");
    ret_arguments->join = or_variable(ret_arguments->join, "DIPACO_JOIN");
    return status < 0 ? check(argc, argv, ret_arguments) : status;
}
