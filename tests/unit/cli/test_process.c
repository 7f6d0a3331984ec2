/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/process.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/vfs.h"
#include "cli/supervisor.h"
#include "tests/unit/harness.h"

static char folder[] = "/tmp/dipaco-test-XXXXXX";
static char log_file[64];

static void
test_folder(void)
{
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(log_file, sizeof log_file, "%s/log", folder);
}

/* Starts a shell with a script; FATAL when that fails. */
static pid_t
start(const char *script)
{
    char shell[] = "/bin/sh", option[] = "-c", text[512];
    char *argv[] = {shell, option, text, NULL};
    struct dpc_error err = {0};
    pid_t pid = 0;
    snprintf(text, sizeof text, "%s", script);
    unlink(log_file);
    CU_ASSERT_EQUAL_FATAL(dpc_process_start(argv, folder, log_file, &pid, &err), DPC_OK);
    return pid;
}

/* Waits for its end, with a deadline. */
static int
end_of(pid_t pid)
{
    int status = -1;
    int64_t deadline = dpc_clock_now_ms(&dpc_clock_system) + 20000;
    while (!dpc_process_ended(pid, &status) && dpc_clock_now_ms(&dpc_clock_system) < deadline)
        poll(NULL, 0, 5);
    return status;
}

static const char *
log_text(void)
{
    static char text[1024];
    FILE *file = fopen(log_file, "r");
    size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[len] = '\0';
    return text;
}

static void
test_output_goes_to_the_log(void)
{
    setenv("OPENBLAS_CORETYPE", "Haswell", 1);
    setenv("DIPACO_JOIN", "dipaco://elsewhere", 1);
    setenv("DIPACO_TEST", "kept", 1);
    int status = end_of(start("echo out; echo err >&2; pwd; "
                              "echo \"<$OPENBLAS_CORETYPE$DIPACO_JOIN$DIPACO_TEST>\"; "
                              "read line || echo closed; exit 3"));
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv("DIPACO_JOIN");
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(log_text(), "out\nerr\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(log_text(), folder));
    CU_ASSERT_PTR_NOT_NULL(strstr(log_text(), "<kept>\nclosed\n"));
}

static void
test_own_process_group_and_clear_mask(void)
{
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    pid_t pid = start("sleep 60");
    sigprocmask(SIG_SETMASK, &before, NULL);
    CU_ASSERT_EQUAL(getpgid(pid), pid);
    int status = -1;
    CU_ASSERT_FALSE(dpc_process_ended(pid, &status));
    kill(pid, SIGTERM);
    status = end_of(pid);
    CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    char text[64];
    dpc_process_describe(status, text, sizeof text);
    CU_ASSERT_STRING_EQUAL(text, "signal 15 (Terminated)");
}

static void
test_no_such_program(void)
{
    char program[] = "/no/such/program";
    char *argv[] = {program, NULL};
    struct dpc_error err = {0};
    pid_t pid = 0;
    CU_ASSERT_EQUAL(dpc_process_start(argv, folder, log_file, &pid, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/no/such/program"));
    CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left behind */
}

/* A supervisor that is killed leaves nobody: here a child of ours plays it. */
static void
test_children_die_with_the_parent(void)
{
    int answer[2];
    CU_ASSERT_EQUAL_FATAL(pipe(answer), 0);
    pid_t supervisor = fork();
    if (supervisor == 0) {
        pid_t child = start("sleep 60");
        ssize_t written = write(answer[1], &child, sizeof child);
        _exit(written == (ssize_t)sizeof child ? 0 : 1);
    }
    pid_t child = 0;
    CU_ASSERT_EQUAL_FATAL(read(answer[0], &child, sizeof child), (ssize_t)sizeof child);
    waitpid(supervisor, NULL, 0);
    int64_t deadline = dpc_clock_now_ms(&dpc_clock_system) + 20000;
    char state = 'R';
    /* An orphan that nobody reaps stays as a zombie; that is as dead as it gets. */
    while (kill(child, 0) == 0 && state != 'Z' && dpc_clock_now_ms(&dpc_clock_system) < deadline) {
        char name[64];
        snprintf(name, sizeof name, "/proc/%d/stat", (int)child);
        FILE *file = fopen(name, "r");
        if (file && fscanf(file, "%*d %*s %c", &state) != 1)
            state = 'R';
        if (file)
            fclose(file);
        poll(NULL, 0, 5);
    }
    CU_ASSERT(kill(child, 0) != 0 || state == 'Z');
    close(answer[0]);
    close(answer[1]);
}

static void
test_last_lines(void)
{
    struct dpc_buf lines;
    dpc_buf_init(&lines, 0);
    end_of(start("for i in 1 2 3 4 5; do echo line $i; done"));
    dpc_process_last_lines(log_file, 0, 2, &lines);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&lines), "  line 4\n  line 5\n");
    dpc_buf_reset(&lines);
    dpc_process_last_lines(log_file, 28, 8, &lines); /* only what this start wrote */
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&lines), "  line 5\n");
    dpc_buf_reset(&lines);
    dpc_process_last_lines(log_file, 35, 8, &lines);
    dpc_process_last_lines("/no/such/log", 0, 8, &lines);
    CU_ASSERT_EQUAL(lines.len, 0);
    dpc_buf_done(&lines);
}

static void
test_pauses_grow(void)
{
    CU_ASSERT_EQUAL(dpc_supervisor_pause_ms(0), 200);
    CU_ASSERT_EQUAL(dpc_supervisor_pause_ms(1), 200);
    CU_ASSERT_EQUAL(dpc_supervisor_pause_ms(2), 400);
    CU_ASSERT_EQUAL(dpc_supervisor_pause_ms(4), 1600);
    CU_ASSERT_EQUAL(dpc_supervisor_pause_ms(100), 5000);
}

static void
test_remove_folder(void)
{
    unlink(log_file);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static const struct dpc_test tests[] = {
    {"a folder", test_folder},
    {"output goes to the log", test_output_goes_to_the_log},
    {"own process group, no blocked signals", test_own_process_group_and_clear_mask},
    {"no such program", test_no_such_program},
    {"children die with the parent", test_children_die_with_the_parent},
    {"last lines of a log", test_last_lines},
    {"pauses grow", test_pauses_grow},
    {"the folder goes", test_remove_folder},
};
DPC_TEST_MAIN("cli/process", tests)
