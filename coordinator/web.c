/* SPDX-License-Identifier: Apache-2.0
 * The pages of the HTTP side. They only read, and what they read is in memory, but for the disk's
 * free room, the process's own figures and a few records of the database. */
#include "coordinator/state.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "coordinator/pages/metrics.h"
#include "coordinator/pages/page.h"

/* Rows of each table of the page: enough to see how it goes, and made in some milliseconds. */
enum { TABLE_ROWS = 100 };

/* --- /metrics */

static double
seconds_of(struct timeval time)
{
    return (double)time.tv_sec + 1e-6 * (double)time.tv_usec;
}

static double
count_open_files(void)
{
    double count = -1; /* the folder's own */
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return NAN;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(folder);
    return count;
}

static double
resident_bytes(void)
{
    unsigned long long all, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    bool read = file && fscanf(file, "%llu %llu", &all, &resident) == 2;
    if (file)
        (void)fclose(file);
    return read ? (double)resident * (double)sysconf(_SC_PAGESIZE) : NAN;
}

static void
measure_process(const struct dpc_server *server, struct dpc_metrics_server *figures)
{
    struct rusage usage;
    figures->started_s = (double)server->started_s;
    figures->cpu_s = getrusage(RUSAGE_SELF, &usage) == 0
                         ? seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime)
                         : NAN;
    figures->resident_bytes = resident_bytes();
    figures->open_fds = count_open_files();
}

static void
measure_store(struct dpc_server *server, struct dpc_metrics_server *figures)
{
    const struct dpc_sweeps *sweeps = &server->sweeps;
    const struct dpc_backups *backups = &server->backups;
    uint64_t free_bytes, kept_bytes;
    bool known = dpc_store_free_bytes(server->store, &free_bytes) == DPC_OK;
    figures->disk_free_bytes = known ? (double)free_bytes : NAN;
    figures->paused = server->space.paused;
    figures->put_off = (double)server->space.put_off;
    figures->sweeps = (double)sweeps->epoch;
    figures->kept_bytes = server_kept_bytes(server, &kept_bytes) ? (double)kept_bytes : NAN;
    figures->swept_bytes = (double)sweeps->removed_bytes;
    figures->scrub_passes = server->scrub.passes;
    figures->damaged_blobs = server_damaged_blobs(server);
    figures->backups = (double)backups->number;
    figures->backup_failed = backups->code != DPC_OK;
    figures->backup_s = backups->made_s ? (double)backups->made_s : NAN;
}

static int
write_metrics(void *context, struct dpc_buf *out, struct dpc_error *err)
{
    struct dpc_server *server = context;
    char incarnation[20];
    struct dpc_metrics_server figures = {
        .version = PACKAGE_VERSION,
        .incarnation = incarnation,
        .alarms = (double)server->alarms_count,
        .peer_faults = (double)server->peer_faults_count,
        .machines_pending = dpc_members_pending(server->members, NULL),
    };
    (void)err;
    (void)snprintf(incarnation, sizeof incarnation, "%016" PRIx64,
                   dpc_store_incarnation(server->store));
    measure_process(server, &figures);
    measure_store(server, &figures);
    dpc_metrics_write(server->core, &server->experiment, &figures,
                      dpc_clock_now_ms(&dpc_clock_system), out);
    return DPC_OK;
}

/* --- /status.json */

static int
write_status(void *context, struct dpc_buf *out, struct dpc_error *err)
{
    static const struct server_question question = {.verb = "status", .argument = ""};
    struct dpc_json *root;
    struct server_place next;
    int code = server_tell(context, &question, &root, &next, err);
    if (code != DPC_OK)
        return code;
    char *text = dpc_json_print(root, true);
    dpc_buf_printf(out, "%s\n", text);
    dpc_free(text);
    dpc_json_destroy(root);
    return DPC_OK;
}

/* --- / */

static int
write_page(void *context, struct dpc_buf *out, struct dpc_error *err)
{
    static const char *const verbs[] = {"status", "paths", "workers"};
    enum { VERBS = sizeof verbs / sizeof *verbs };
    struct dpc_server *server = context;
    struct dpc_json *roots[VERBS] = {NULL};
    struct server_place next[VERBS];
    int code = DPC_OK;
    for (size_t i = 0; code == DPC_OK && i < VERBS; i++) {
        struct server_question question = {.verb = verbs[i], .argument = "", .rows = TABLE_ROWS};
        code = server_tell(server, &question, &roots[i], &next[i], err);
    }
    if (code == DPC_OK)
        dpc_page_write(&(struct dpc_page){.status = roots[0],
                                          .paths = roots[1],
                                          .workers = roots[2],
                                          .more_paths = next[1].row != 0,
                                          .more_workers = next[2].row != 0,
                                          .curve = server->curve},
                       out);
    for (size_t i = 0; i < VERBS; i++)
        dpc_json_destroy(roots[i]);
    return code;
}

/* --- Life. */

static const struct dpc_http_page pages[] = {
    {"/", "text/html; charset=utf-8", write_page},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", write_metrics},
    {"/status.json", "application/json", write_status},
};

int
server_open_web(struct dpc_server *server, const char *address, struct dpc_error *err)
{
    struct dpc_http_site site = {.pages = pages,
                                 .pages_count = sizeof pages / sizeof *pages,
                                 .context = server,
                                 .clock = &dpc_clock_system};
    int code = dpc_http_open(address, &site, &server->http, err);
    if (code == DPC_OK)
        code = dpc_curve_create(server->core, &server->experiment, dpc_store_kv(server->store),
                                &server->curve, err);
    if (code == DPC_OK)
        dpc_log_info("pages url=%s", dpc_http_url(server->http));
    return code;
}

void
server_close_web(struct dpc_server *server)
{
    server->http = dpc_http_close(server->http);
    server->curve = dpc_curve_destroy(server->curve);
}

int
server_web_fd(const struct dpc_server *server)
{
    return server->http ? dpc_http_fd(server->http) : -1;
}

int64_t
server_web_wait_ms(const struct dpc_server *server, int64_t most)
{
    return server->http ? dpc_http_wait_ms(server->http, most) : most;
}

void
server_serve_web(struct dpc_server *server)
{
    if (server->http)
        dpc_http_serve(server->http);
}
