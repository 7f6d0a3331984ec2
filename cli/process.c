/* SPDX-License-Identifier: Apache-2.0
 * Between fork and exec only calls that are safe there: libzmq has threads by then. */
#include "cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/vfs.h"

extern char **environ;

/* --- Finding programs. */

static bool
find_beside(const char *program, char ret_path[DPC_PATH_MAX])
{
    char self[DPC_PATH_MAX], folder[DPC_PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return false;
    self[len] = '\0';
    dpc_path_folder(self, folder, sizeof folder);
    return dpc_path_join(folder, program, ret_path, DPC_PATH_MAX) == DPC_OK &&
           access(ret_path, X_OK) == 0;
}

static bool
find_in_path(const char *program, char ret_path[DPC_PATH_MAX])
{
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t len = strcspn(at, ":");
        int written = snprintf(ret_path, DPC_PATH_MAX, "%.*s/%s", (int)len, at, program);
        if (len && written > 0 && written < DPC_PATH_MAX && access(ret_path, X_OK) == 0)
            return true;
        at += len + (at[len] == ':');
    }
    return false;
}

int
dpc_process_find(const char *program, char ret_path[DPC_PATH_MAX], struct dpc_error *err)
{
    char found[DPC_PATH_MAX];
    if (!find_beside(program, found) && !find_in_path(program, found))
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "could not find the program %s beside this one or in PATH", program);
    snprintf(ret_path, DPC_PATH_MAX, "%s", found);
    return DPC_OK;
}

/* --- Starting. */

/* Other kernels, and a coordinator that this machine is lent to: nothing for a run. */
static bool
is_withheld(const char *variable)
{
    static const char *const names[] = {"OPENBLAS_CORETYPE=", "DIPACO_JOIN="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

/* The environment without what is withheld; release the array alone. */
static char **
child_environment(void)
{
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **kept_variables = dpc_alloc(count + 1, sizeof *kept_variables);
    for (size_t i = 0; i < count; i++) {
        if (!is_withheld(environ[i]))
            kept_variables[kept++] = environ[i];
    }
    return kept_variables;
}

struct start {
    char *const *argv;
    char *const *environment;
    const char *folder;
    int log_fd, null_fd, report_fd;
    pid_t parent;
};

/* In the child; does not return. Tells errno through `report_fd` when it cannot become the program.
 */
static void __attribute__((noreturn)) become(const struct start *start)
{
    sigset_t none;
    sigemptyset(&none);
    /* The parent may have died before prctl: then nobody would send the signal. */
    bool fine = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == start->parent &&
                setpgid(0, 0) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0 &&
                dup2(start->null_fd, STDIN_FILENO) >= 0 &&
                dup2(start->log_fd, STDOUT_FILENO) >= 0 &&
                dup2(start->log_fd, STDERR_FILENO) >= 0 && chdir(start->folder) == 0;
    if (fine)
        execve(start->argv[0], start->argv, start->environment);
    int problem = errno;
    ssize_t written = write(start->report_fd, &problem, sizeof problem);
    (void)written;
    _exit(127);
}

static int
fork_and_exec(struct start *start, pid_t *ret_pid, struct dpc_error *err)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0)
        return dpc_error_set_errno(err, errno, "could not start \"%s\"", start->argv[0]);
    start->report_fd = report[1];
    start->parent = getpid();
    pid_t pid = fork();
    int problem = errno;
    if (pid == 0)
        become(start);
    close(report[1]);
    ssize_t len = 0;
    while (pid > 0 && (len = read(report[0], &problem, sizeof problem)) < 0 && errno == EINTR)
        ;
    close(report[0]);
    if (pid > 0 && len == 0) {
        *ret_pid = pid;
        return DPC_OK;
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return dpc_error_set_errno(err, problem, "could not start \"%s\"", start->argv[0]);
}

int
dpc_process_start(char *const *argv, const char *folder, const char *log, pid_t *ret_pid,
                  struct dpc_error *err)
{
    struct start start = {.argv = argv, .folder = folder};
    start.log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (start.log_fd < 0)
        return dpc_error_set_errno(err, errno, "could not open the log \"%s\"", log);
    start.null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char **environment = child_environment();
    start.environment = environment;
    int rc = start.null_fd < 0 ? dpc_error_set_errno(err, errno, "could not open /dev/null")
                               : fork_and_exec(&start, ret_pid, err);
    dpc_free(environment);
    close(start.log_fd);
    if (start.null_fd >= 0)
        close(start.null_fd);
    return rc;
}

/* --- Ending. */

bool
dpc_process_ended(pid_t pid, int *ret_status)
{
    int status;
    if (waitpid(pid, &status, WNOHANG) != pid)
        return false;
    *ret_status = status;
    return true;
}

void
dpc_process_describe(int status, char *ret_text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(ret_text, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(ret_text, size, "exit code %d", WEXITSTATUS(status));
}

void
dpc_process_last_lines(const char *log, uint64_t from, uint32_t lines_max, struct dpc_buf *out)
{
    enum { TAIL_BYTES = 8192 };
    char tail[TAIL_BYTES + 1];
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    off_t end = lseek(fd, 0, SEEK_END);
    off_t begin = end > TAIL_BYTES ? end - TAIL_BYTES : 0;
    if (begin < (off_t)from)
        begin = (off_t)from;
    ssize_t len = end > begin ? pread(fd, tail, (size_t)(end - begin), begin) : 0;
    close(fd);
    if (len <= 0)
        return;
    tail[len] = '\0';
    if (tail[len - 1] == '\n')
        tail[--len] = '\0';
    char *line = tail + len;
    for (uint32_t lines = 0; line > tail; line--) {
        if (line[-1] == '\n' && ++lines == lines_max)
            break;
    }
    while (line && *line) {
        char *next = strchr(line, '\n');
        dpc_buf_printf(out, "  %.*s\n", next ? (int)(next - line) : (int)strlen(line), line);
        line = next ? next + 1 : NULL;
    }
}
