/* SPDX-License-Identifier: Apache-2.0
 * One loop over signals, the admin link and what is due by the clock. A child is *due* when it has
 * no process and its pause is over; workers are due only once the coordinator has said where it
 * listens. Going down is a second, shorter life of the same loop: workers, then the coordinator. */
#include "cli/supervisor.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/processors.h"
#include "base/vfs.h"
#include "cli/admin.h"
#include "base/exit.h"
#include "cli/process.h"
#include "cli/text.h"

enum {
    STATUS_PERIOD_MS = 1000,
    STATUS_PATIENCE_MS = 3000, /* then the question is asked anew */
    TICK_MS = 200,
    QUICK_DEATH_MS = 5000, /* a life that is shorter counts towards giving up */
    QUICK_DEATHS_MAX = 5,
    PAUSE_FIRST_MS = 200,
    PAUSE_MS_MAX = 5000,
    STOP_PATIENCE_MS = 20000, /* between SIGTERM and SIGKILL */
    LAST_LINES = 8,
    ARGUMENTS_MAX = 24,
    ARGUMENT_BYTES_MAX = DPC_PATH_MAX + 8,
};

struct child {
    char name[DPC_NAME_MAX];
    char log[DPC_PATH_MAX];
    pid_t pid; /* 0: not running */
    int64_t started_ms;
    int64_t due_ms;  /* when it may be started */
    int64_t kill_ms; /* when it is killed; 0: it was not asked to end */
    uint32_t quick_deaths;
    uint64_t log_from; /* bytes of the log before this start */
    bool wanted;       /* to be kept running */
};

struct supervisor {
    const struct dpc_supervisor_options *options;
    struct dpc_run_state state;
    struct child coordinator;
    struct child *workers;
    char coordinator_program[DPC_PATH_MAX], worker_program[DPC_PATH_MAX];
    struct dpc_admin *admin;
    int64_t status_due_ms;
    int64_t heard_ms;  /* when the link was opened or last brought something */
    bool status_asked; /* an answer is under way */
    bool contact;      /* this coordinator has answered since it was started */
    bool stopping, ended;
    bool interrupted; /* by a signal, which may be while it stops anyway */
    int signals_fd;
    struct dpc_run_outcome outcome;
    struct dpc_error *err;
};

static int64_t
now_ms(void)
{
    return dpc_clock_now_ms(&dpc_clock_system);
}

int64_t
dpc_supervisor_pause_ms(uint32_t deaths)
{
    int64_t pause = PAUSE_FIRST_MS;
    while (deaths-- > 1 && pause < PAUSE_MS_MAX)
        pause *= 2;
    return pause < PAUSE_MS_MAX ? pause : PAUSE_MS_MAX;
}

static void __attribute__((format(printf, 2, 3)))
note(const struct supervisor *supervisor, const char *format, ...)
{
    char text[DPC_ERROR_TEXT_MAX];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    supervisor->options->on_note(supervisor->options->context, text);
}

/* --- Going down. */

static void
ask_to_end(struct child *child)
{
    if (child->pid && !child->kill_ms) {
        kill(child->pid, SIGTERM);
        child->kill_ms = now_ms() + STOP_PATIENCE_MS;
    }
}

static void
begin_stop(struct supervisor *supervisor, enum dpc_run_end end, int exit_code, int signal_number)
{
    if (supervisor->stopping)
        return;
    supervisor->stopping = true;
    supervisor->outcome = (struct dpc_run_outcome){end, exit_code, signal_number};
    for (uint32_t i = 0; i < supervisor->options->workers_count; i++)
        supervisor->workers[i].wanted = false;
    supervisor->coordinator.wanted = false;
}

static void
fail(struct supervisor *supervisor, int exit_code)
{
    begin_stop(supervisor, DPC_RUN_FAILED, exit_code, 0);
}

/* Workers give their leases back to a coordinator that still stands; so it goes last. */
static void
drive_stop(struct supervisor *supervisor)
{
    bool workers_left = false;
    for (uint32_t i = 0; i < supervisor->options->workers_count; i++) {
        ask_to_end(&supervisor->workers[i]);
        workers_left = workers_left || supervisor->workers[i].pid;
    }
    if (!workers_left)
        ask_to_end(&supervisor->coordinator);
    supervisor->ended = !workers_left && !supervisor->coordinator.pid;
}

static void
kill_overdue(struct supervisor *supervisor, struct child *child)
{
    if (child->pid && child->kill_ms && now_ms() >= child->kill_ms) {
        note(supervisor, "%s does not stop: killing it", child->name);
        kill(child->pid, SIGKILL);
        child->kill_ms = INT64_MAX;
    }
}

static void
kill_all(struct supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->options->workers_count; i++) {
        if (supervisor->workers[i].pid)
            kill(supervisor->workers[i].pid, SIGKILL);
    }
    if (supervisor->coordinator.pid)
        kill(supervisor->coordinator.pid, SIGKILL);
}

/* --- What stands in run.json. */

static void
save_state(struct supervisor *supervisor)
{
    uint32_t count = supervisor->options->workers_count + 1;
    struct dpc_run_process *processes = dpc_alloc(count, sizeof *processes);
    processes[0] =
        (struct dpc_run_process){supervisor->coordinator.name, (int)supervisor->coordinator.pid};
    for (uint32_t i = 1; i < count; i++)
        processes[i] = (struct dpc_run_process){supervisor->workers[i - 1].name,
                                                (int)supervisor->workers[i - 1].pid};
    struct dpc_error err;
    if (dpc_run_state_save(supervisor->options->folder, &supervisor->state, processes, count,
                           &err) != DPC_OK &&
        !supervisor->stopping)
        note(supervisor, "%s", err.text);
    dpc_free(processes);
}

/* --- Starting. */

/* Texts of a command line; `argv` points into them. */
struct command_line {
    char texts[ARGUMENTS_MAX][ARGUMENT_BYTES_MAX];
    char *argv[ARGUMENTS_MAX + 1];
    uint32_t count;
};

static void
say(struct command_line *line, const char *text)
{
    snprintf(line->texts[line->count], ARGUMENT_BYTES_MAX, "%s", text);
    line->argv[line->count] = line->texts[line->count];
    line->argv[++line->count] = NULL;
}

/* "--option FOLDER/name". */
static void
say_file(struct command_line *line, const struct supervisor *supervisor, const char *option,
         const char *name)
{
    char path[DPC_PATH_MAX];
    /* The longest name was checked when the folder was prepared. */
    if (dpc_run_folder_file(supervisor->options->folder, name, path, NULL) == DPC_OK) {
        say(line, option);
        say(line, path);
    }
}

static void
start_child(struct supervisor *supervisor, struct child *child, struct command_line *line)
{
    FILE *log = fopen(child->log, "a");
    child->log_from = log && fseek(log, 0, SEEK_END) == 0 ? (uint64_t)ftell(log) : 0;
    if (log)
        fclose(log);
    struct dpc_error err;
    int rc = dpc_process_start(line->argv, supervisor->options->folder->path, child->log,
                               &child->pid, &err);
    child->started_ms = now_ms();
    child->kill_ms = 0;
    if (rc != DPC_OK) {
        child->pid = 0;
        *supervisor->err = err;
        fail(supervisor, DPC_EXIT_FAILED);
    }
    save_state(supervisor);
}

/* Whether a listener could take "tcp://ADDRESS:PORT" now. */
static bool
port_is_free(const char *endpoint)
{
    const char *colon = strrchr(endpoint, ':');
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;
    if (port == 0 || port > 65535)
        return false;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0)
        return false;
    bool worked = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
                  bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0;
    close(fd);
    return worked;
}

static void
open_admin(struct supervisor *supervisor)
{
    char endpoint[DPC_ENDPOINT_MAX];
    supervisor->admin = dpc_admin_close(supervisor->admin);
    supervisor->status_asked = false;
    supervisor->heard_ms = now_ms();
    dpc_run_admin_endpoint(supervisor->options->folder->path, supervisor->options->folder->fd,
                           endpoint);
    if (dpc_admin_open(endpoint, &supervisor->admin, supervisor->err) != DPC_OK)
        fail(supervisor, DPC_EXIT_FAILED);
}

/* The ports of before, so that workers find their coordinator again, unless somebody has taken one:
 * then new ones, and the workers are told by starting them anew (see take_status). */
static void
start_coordinator(struct supervisor *supervisor)
{
    static const char any_port[] = "tcp://127.0.0.1:*";
    struct dpc_run_state *state = &supervisor->state;
    bool reuse = *state->control_endpoint && port_is_free(state->control_endpoint) &&
                 port_is_free(state->bulk_endpoint);
    if (*state->control_endpoint && !reuse)
        note(supervisor, "%s or %s is in use by another program: taking other ports",
             state->control_endpoint, state->bulk_endpoint);
    struct command_line *line = dpc_alloc(1, sizeof *line);
    say(line, supervisor->coordinator_program);
    say_file(line, supervisor, "--dir", "coordinator");
    say(line, "--experiment");
    say(line, supervisor->options->experiment_file);
    say(line, "--listen");
    say(line, reuse ? state->control_endpoint : any_port);
    say(line, "--bulk");
    say(line, reuse ? state->bulk_endpoint : any_port);
    /* Relative to its working folder, which is the run's: names of sockets must be short. */
    say(line, "--admin");
    say(line, "ipc://" DPC_RUN_ADMIN_SOCKET);
    say_file(line, supervisor, "--key", "keys/coordinator.key");
    say_file(line, supervisor, "--workers", "keys/workers");
    say_file(line, supervisor, "--report", "report");
    supervisor->contact = false;
    start_child(supervisor, &supervisor->coordinator, line);
    dpc_free(line);
    open_admin(supervisor);
    supervisor->status_due_ms = now_ms();
}

uint32_t
dpc_device_words(const char *list)
{
    uint32_t words = 1;
    for (; *list; list++)
        words += *list == ',';
    return words;
}

void
dpc_device_word(const char *list, uint32_t index, char *ret_word, size_t size)
{
    for (index %= dpc_device_words(list); index > 0; index--)
        list = strchr(list, ',') + 1;
    (void)snprintf(ret_word, size, "%.*s", (int)strcspn(list, ","), list);
}

static void
say_device(struct command_line *line, const struct dpc_supervisor_options *options, uint32_t index)
{
    char device[ARGUMENT_BYTES_MAX];
    dpc_device_word(options->device, index, device, sizeof device);
    if (strcmp(device, "cuda") == 0 && options->cards)
        snprintf(device, sizeof device, "cuda:%u", index % options->cards);
    say(line, "--device");
    say(line, device);
    if (options->card_plugin) {
        say(line, "--card-plugin");
        say(line, options->card_plugin);
    }
}

static void
start_worker(struct supervisor *supervisor, struct child *worker)
{
    char key[DPC_NAME_MAX + 32], processors[ARGUMENT_BYTES_MAX], threads[16], memory[32];
    snprintf(key, sizeof key, "keys/workers/%s.key", worker->name);
    struct command_line *line = dpc_alloc(1, sizeof *line);
    say(line, supervisor->worker_program);
    say_file(line, supervisor, "--dir", worker->name);
    say(line, "--connect");
    say(line, supervisor->state.control_endpoint);
    say_file(line, supervisor, "--server-key", "keys/coordinator.key.pub");
    say_file(line, supervisor, "--key", key);
    say(line, "--name");
    say(line, worker->name);
    uint32_t index = (uint32_t)(worker - supervisor->workers);
    say_device(line, supervisor->options, index);
    uint32_t busy = dpc_processors_share(index, supervisor->options->workers_count, processors,
                                         sizeof processors);
    snprintf(threads, sizeof threads, "%u",
             busy < DPC_POOL_THREADS_MAX ? busy : DPC_POOL_THREADS_MAX);
    say(line, "--cpus");
    say(line, processors);
    say(line, "--threads");
    say(line, threads);
    if (supervisor->options->memory_mib) {
        snprintf(memory, sizeof memory, "%" PRIu64, supervisor->options->memory_mib);
        say(line, "--memory-mib");
        say(line, memory);
    }
    /* Who starts a run on a laptop wants it to go on. */
    say(line, "--battery");
    say(line, "yes");
    start_child(supervisor, worker, line);
    dpc_free(line);
}

static bool
is_due(const struct child *child)
{
    return child->wanted && !child->pid && now_ms() >= child->due_ms;
}

static void
start_due(struct supervisor *supervisor)
{
    if (is_due(&supervisor->coordinator))
        start_coordinator(supervisor);
    for (uint32_t i = 0; i < supervisor->options->workers_count && !supervisor->stopping; i++) {
        if (*supervisor->state.control_endpoint && supervisor->contact &&
            is_due(&supervisor->workers[i]))
            start_worker(supervisor, &supervisor->workers[i]);
    }
}

/* --- Deaths. */

static void
show_last_lines(struct supervisor *supervisor, const struct child *child)
{
    struct dpc_buf lines;
    dpc_buf_init(&lines, 0);
    dpc_process_last_lines(child->log, child->log_from, LAST_LINES, &lines);
    if (lines.len)
        supervisor->options->on_note(supervisor->options->context, dpc_buf_text(&lines));
    dpc_buf_done(&lines);
}

static void
give_up(struct supervisor *supervisor, const struct child *child, const char *how, int exit_code)
{
    show_last_lines(supervisor, child);
    dpc_error_set(supervisor->err, DPC_EIO,
                  "%s ended with %s; its last lines stand above, all of them in %s", child->name,
                  how, child->log);
    fail(supervisor, exit_code);
}

/* An exit code that starting again would not change: usage, refused, and a coordinator that failed
 * within its first seconds (later it may have met a disk that was full for a while). */
static bool
is_final(const struct supervisor *supervisor, const struct child *child, int status, bool quick)
{
    if (!WIFEXITED(status))
        return false;
    int code = WEXITSTATUS(status);
    bool at_start = child == &supervisor->coordinator && (quick || !supervisor->contact);
    return code == DPC_EXIT_USAGE || code == DPC_EXIT_REFUSED ||
           (at_start && code == DPC_EXIT_FAILED);
}

static void
bury(struct supervisor *supervisor, struct child *child, int status)
{
    char how[64];
    bool asked = child->kill_ms != 0;
    dpc_process_describe(status, how, sizeof how);
    child->pid = 0;
    child->due_ms = now_ms();
    if (supervisor->stopping || asked)
        return;
    bool quick = now_ms() - child->started_ms < QUICK_DEATH_MS;
    child->quick_deaths = quick ? child->quick_deaths + 1 : 0;
    if (is_final(supervisor, child, status, quick)) {
        give_up(supervisor, child, how, WEXITSTATUS(status));
    } else if (child->quick_deaths >= QUICK_DEATHS_MAX) {
        give_up(supervisor, child, how, DPC_EXIT_FAILED);
    } else {
        int64_t pause = dpc_supervisor_pause_ms(child->quick_deaths);
        child->due_ms = now_ms() + pause;
        /* One that ends well was told to, by somebody else. */
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            note(supervisor, "%s ended with %s; starting it again", child->name, how);
        else
            child->due_ms = now_ms() + 2 * STATUS_PERIOD_MS;
    }
}

static void
reap_child(struct supervisor *supervisor, struct child *child)
{
    int status;
    if (child->pid && dpc_process_ended(child->pid, &status)) {
        bury(supervisor, child, status);
        save_state(supervisor);
    }
}

static void
reap(struct supervisor *supervisor)
{
    reap_child(supervisor, &supervisor->coordinator);
    for (uint32_t i = 0; i < supervisor->options->workers_count; i++)
        reap_child(supervisor, &supervisor->workers[i]);
}

/* --- Status. */

static void
restart_workers(struct supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->options->workers_count; i++)
        ask_to_end(&supervisor->workers[i]);
}

static void
take_endpoints(struct supervisor *supervisor, const struct dpc_json *status)
{
    struct dpc_run_state *state = &supervisor->state;
    const char *control = dpc_json_text(dpc_json_get(status, "control_endpoint"), "");
    const char *bulk = dpc_json_text(dpc_json_get(status, "bulk_endpoint"), "");
    supervisor->contact = true;
    if (strcmp(control, state->control_endpoint) == 0 && strcmp(bulk, state->bulk_endpoint) == 0)
        return;
    if (*state->control_endpoint)
        restart_workers(supervisor);
    snprintf(state->control_endpoint, sizeof state->control_endpoint, "%s", control);
    snprintf(state->bulk_endpoint, sizeof state->bulk_endpoint, "%s", bulk);
    save_state(supervisor);
}

static void
take_status(struct supervisor *supervisor, const struct dpc_json *status)
{
    take_endpoints(supervisor, status);
    supervisor->options->on_status(supervisor->options->context, status);
    if (dpc_json_bool(dpc_json_get(status, "finished"), false)) {
        supervisor->state.finished = true;
        begin_stop(supervisor, DPC_RUN_FINISHED, DPC_EXIT_OK, 0);
    }
}

static void
ask_status(struct supervisor *supervisor)
{
    int64_t now = now_ms();
    if (!supervisor->admin || !supervisor->coordinator.pid || supervisor->stopping)
        return;
    /* A question that was lost, or a link that waits ever longer between its tries: a new link. */
    if (now - supervisor->heard_ms >= STATUS_PATIENCE_MS) {
        open_admin(supervisor);
        supervisor->status_due_ms = now;
    }
    if (!supervisor->admin || supervisor->status_asked || now < supervisor->status_due_ms)
        return;
    if (dpc_admin_send(supervisor->admin, "status", "", "", NULL) != DPC_OK)
        return;
    supervisor->status_asked = true;
    supervisor->status_due_ms = now + STATUS_PERIOD_MS;
}

static void
receive_status(struct supervisor *supervisor)
{
    if (!supervisor->admin)
        return;
    struct dpc_json *status = NULL;
    struct dpc_error err;
    int rc = dpc_admin_receive(supervisor->admin, &status, NULL, &err);
    if (rc == DPC_EAGAIN)
        return;
    supervisor->status_asked = false;
    supervisor->heard_ms = now_ms();
    if (rc == DPC_OK)
        take_status(supervisor, status);
    else
        note(supervisor, "%s", err.text);
    dpc_json_destroy(status);
}

/* --- The loop. */

static void
take_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (read(supervisor->signals_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        if (supervisor->interrupted) {
            note(supervisor, "killing all processes");
            kill_all(supervisor);
            continue;
        }
        supervisor->interrupted = true;
        note(supervisor, "stopping; once more stops at once");
        begin_stop(supervisor, DPC_RUN_STOPPED, DPC_EXIT_SIGNAL + (int)info.ssi_signo,
                   (int)info.ssi_signo);
    }
}

static void
wait_for_something(struct supervisor *supervisor)
{
    struct dpc_poll_item items[2] = {{.fd = supervisor->signals_fd}};
    size_t count = 1;
    if (supervisor->admin)
        items[count++] =
            (struct dpc_poll_item){.link = dpc_admin_link(supervisor->admin), .fd = -1};
    /* Whatever it was that ended the wait, every turn looks at everything. */
    (void)!dpc_channel_poll(items, count, TICK_MS);
}

static void
run_loop(struct supervisor *supervisor)
{
    while (!supervisor->ended) {
        if (!supervisor->stopping)
            start_due(supervisor);
        ask_status(supervisor);
        wait_for_something(supervisor);
        take_signals(supervisor);
        reap(supervisor);
        receive_status(supervisor);
        kill_overdue(supervisor, &supervisor->coordinator);
        for (uint32_t i = 0; i < supervisor->options->workers_count; i++)
            kill_overdue(supervisor, &supervisor->workers[i]);
        if (supervisor->stopping)
            drive_stop(supervisor);
    }
    save_state(supervisor);
}

/* --- Setting up. */

static int
name_child(const struct supervisor *supervisor, struct child *child, const char *name)
{
    char log[DPC_NAME_MAX + 16];
    snprintf(child->name, sizeof child->name, "%s", name);
    snprintf(log, sizeof log, "logs/%s.log", name);
    child->wanted = true;
    return dpc_run_folder_file(supervisor->options->folder, log, child->log, supervisor->err);
}

static int
name_children(struct supervisor *supervisor)
{
    int rc = name_child(supervisor, &supervisor->coordinator, "coordinator");
    for (uint32_t i = 0; rc == DPC_OK && i < supervisor->options->workers_count; i++) {
        char name[DPC_NAME_MAX];
        snprintf(name, sizeof name, "worker-%u", i + 1);
        rc = name_child(supervisor, &supervisor->workers[i], name);
    }
    return rc;
}

/* A signal that whoever started us chose to ignore (nohup) stays ignored; blocked, it would come.
 */
static void
add_unless_ignored(sigset_t *signals, int number)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset(signals, number);
}

static int
take_over_signals(struct supervisor *supervisor, sigset_t *ret_before)
{
    sigset_t signals;
    sigemptyset(&signals);
    add_unless_ignored(&signals, SIGINT);
    add_unless_ignored(&signals, SIGHUP);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, ret_before);
    supervisor->signals_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (supervisor->signals_fd < 0)
        return dpc_error_set_errno(supervisor->err, errno, "could not listen to signals");
    return DPC_OK;
}

void
dpc_supervise(const struct dpc_supervisor_options *options, struct dpc_run_outcome *ret_outcome,
              struct dpc_error *err)
{
    struct supervisor supervisor = {.options = options,
                                    .signals_fd = -1,
                                    .err = err,
                                    .outcome = {DPC_RUN_FAILED, DPC_EXIT_FAILED, 0}};
    sigset_t before;
    supervisor.workers = dpc_alloc(options->workers_count, sizeof *supervisor.workers);
    int rc = take_over_signals(&supervisor, &before);
    if (rc == DPC_OK)
        rc = dpc_process_find("dipaco-coordinator", supervisor.coordinator_program, err);
    if (rc == DPC_OK)
        rc = dpc_process_find("dipaco-worker", supervisor.worker_program, err);
    if (rc == DPC_OK)
        rc = dpc_run_state_load(options->folder, &supervisor.state, err);
    if (rc == DPC_OK)
        rc = name_children(&supervisor);
    if (rc == DPC_OK)
        run_loop(&supervisor);
    dpc_admin_close(supervisor.admin);
    if (supervisor.signals_fd >= 0)
        close(supervisor.signals_fd);
    sigprocmask(SIG_SETMASK, &before, NULL);
    dpc_free(supervisor.workers);
    *ret_outcome = supervisor.outcome;
}
