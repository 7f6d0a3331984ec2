/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/vfs.h"
#include "proto/channel.h"
#include "tests/unit/harness.h"

static char top[] = "/tmp/dipaco-test-XXXXXX";
static char path[64];
static struct dpc_run_folder folder;

static const char yaml[] =
    "experiment: one\n"
    "data: {corpus: c}\n"
    "model: {dim: 16, heads: 2, ffn: 24, context: 32}\n"
    "levels: [{name: all, parts: [embedding, {blocks: 1}, head], modules: 2}]\n"
    "routing: {prefix: 8}\n";

static struct dpc_experiment
experiment_of(const char *text)
{
    struct dpc_experiment experiment;
    struct dpc_error err = {0};
    int rc = dpc_experiment_parse("one", text, strlen(text), &experiment, &err);
    CU_ASSERT_STRING_EQUAL(err.text, "");
    CU_ASSERT_EQUAL_FATAL(rc, DPC_OK);
    return experiment;
}

static void
test_open(void)
{
    struct dpc_error err = {0};
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(top));
    snprintf(path, sizeof path, "%s/runs/one", top);
    CU_ASSERT_EQUAL_FATAL(dpc_run_folder_open(path, &folder, &err), DPC_OK);
    CU_ASSERT_EQUAL(folder.path[0], '/');
}

static void
test_second_start_is_refused(void)
{
    struct dpc_run_folder second;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(dpc_run_folder_open(path, &second, &err), DPC_EBUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another dipaco run"));
    dpc_run_folder_close(&folder);
    CU_ASSERT_EQUAL(dpc_run_folder_open(path, &folder, &err), DPC_OK);
}

static void
test_foreign_folder_is_refused(void)
{
    struct dpc_run_folder other;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(dpc_run_folder_open(top, &other, &err), DPC_EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no run"));
}

static void
test_changed_experiment_is_refused(void)
{
    struct dpc_experiment experiment = experiment_of(yaml);
    struct dpc_buf changes;
    struct dpc_error err = {0};
    dpc_buf_init(&changes, 0);
    CU_ASSERT_EQUAL(dpc_run_folder_claim(&folder, &experiment, &changes, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_run_folder_claim(&folder, &experiment, &changes, &err), DPC_OK);
    CU_ASSERT_EQUAL(changes.len, 0);
    experiment.outer.rounds++;
    experiment.evaluation.windows++;
    CU_ASSERT_EQUAL(dpc_run_folder_claim(&folder, &experiment, &changes, &err), DPC_EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&changes), "outer.rounds: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&changes), "fixed once it runs"));
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&changes), "may change"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "--fresh"));
    dpc_buf_done(&changes);
}

static int
mode_of(const char *name)
{
    struct stat about;
    return fstatat(folder.fd, name, &about, 0) == 0 ? (int)(about.st_mode & 0777) : -1;
}

static void
test_keys(void)
{
    struct dpc_error err = {0};
    struct dpc_keypair first, again;
    char file[DPC_PATH_MAX];
    CU_ASSERT_EQUAL_FATAL(dpc_run_folder_prepare(&folder, 2, &err), DPC_OK);
    CU_ASSERT_EQUAL(mode_of("keys"), 0700);
    CU_ASSERT_EQUAL(mode_of("keys/coordinator.key"), 0600);
    CU_ASSERT_EQUAL(mode_of("keys/workers/worker-2.key"), 0600);
    CU_ASSERT_EQUAL(mode_of("keys/workers/worker-2.key.pub"), 0644);
    CU_ASSERT_EQUAL(dpc_run_folder_file(&folder, "keys/workers/worker-1.key", file, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_keypair_load(file, &first, &err), DPC_OK);
    /* A further start keeps keys, and makes those of further workers. */
    CU_ASSERT_EQUAL(dpc_run_folder_prepare(&folder, 3, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_keypair_load(file, &again, &err), DPC_OK);
    CU_ASSERT_TRUE(dpc_key_equal(&first.secret_key, &again.secret_key));
    CU_ASSERT_EQUAL(mode_of("keys/workers/worker-3.key"), 0600);
    /* A start that died between the two halves. */
    unlinkat(folder.fd, "keys/workers/worker-1.key.pub", 0);
    CU_ASSERT_EQUAL(dpc_run_folder_prepare(&folder, 3, &err), DPC_OK);
    CU_ASSERT_EQUAL(mode_of("keys/workers/worker-1.key.pub"), 0644);
}

static void
test_state(void)
{
    struct dpc_run_state state;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(dpc_run_state_load(&folder, &state, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(state.control_endpoint, "");
    snprintf(state.control_endpoint, sizeof state.control_endpoint, "tcp://127.0.0.1:1");
    state.finished = true;
    struct dpc_run_process process = {"worker-1", 12};
    CU_ASSERT_EQUAL(dpc_run_state_save(&folder, &state, &process, 1, &err), DPC_OK);
    memset(&state, 0, sizeof state);
    CU_ASSERT_EQUAL(dpc_run_state_load(&folder, &state, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(state.control_endpoint, "tcp://127.0.0.1:1");
    CU_ASSERT_STRING_EQUAL(state.bulk_endpoint, "");
    CU_ASSERT_TRUE(state.finished);
}

/* Whether claiming the folder for it wrote experiment.yaml again; `changes` says what it told. */
static bool
claim_writes(const struct dpc_experiment *experiment, struct dpc_buf *changes)
{
    struct stat before, after;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(fstatat(folder.fd, "experiment.yaml", &before, 0), 0);
    CU_ASSERT_EQUAL(dpc_run_folder_claim(&folder, experiment, changes, &err), DPC_OK);
    CU_ASSERT_EQUAL(fstatat(folder.fd, "experiment.yaml", &after, 0), 0);
    return before.st_ino != after.st_ino;
}

static void
test_change_of_a_finished_run_has_no_effect(void)
{
    struct dpc_experiment experiment = experiment_of(yaml);
    struct dpc_run_state state = {.finished = false};
    struct dpc_error err = {0};
    struct dpc_buf changes;
    dpc_buf_init(&changes, 0);
    CU_ASSERT_EQUAL(dpc_run_state_save(&folder, &state, NULL, 0, &err), DPC_OK);
    experiment.evaluation.windows++;
    CU_ASSERT(claim_writes(&experiment, &changes));
    CU_ASSERT_PTR_NULL(strstr(dpc_buf_text(&changes), "no effect"));
    state.finished = true;
    CU_ASSERT_EQUAL(dpc_run_state_save(&folder, &state, NULL, 0, &err), DPC_OK);
    CU_ASSERT(!claim_writes(&experiment, &changes));
    CU_ASSERT_PTR_NULL(strstr(dpc_buf_text(&changes), "no effect"));
    experiment.evaluation.windows++;
    CU_ASSERT(!claim_writes(&experiment, &changes));
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&changes), "no effect"));
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&changes), "in another folder"));
    dpc_buf_done(&changes);
}

static void
test_clear(void)
{
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(dpc_run_folder_clear(&folder, &err), DPC_OK);
    CU_ASSERT_EQUAL(mode_of("experiment.yaml"), -1);
    CU_ASSERT_EQUAL(mode_of("run.json"), -1);
    CU_ASSERT_EQUAL(mode_of("worker-3"), -1);
    CU_ASSERT_EQUAL(mode_of("coordinator"), -1);
    CU_ASSERT_EQUAL(mode_of("keys/coordinator.key"), 0600);
    CU_ASSERT_NOT_EQUAL(mode_of("lock"), -1);
}

static void
test_admin_endpoint(void)
{
    char endpoint[DPC_ENDPOINT_MAX], far[DPC_PATH_MAX];
    struct sockaddr_un address;
    dpc_run_admin_endpoint("/a/b", 7, endpoint);
    CU_ASSERT_STRING_EQUAL(endpoint, "ipc:///a/b/admin.sock");
    memset(far, 'x', 300);
    far[0] = '/';
    far[300] = '\0';
    dpc_run_admin_endpoint(far, 7, endpoint);
    CU_ASSERT_STRING_EQUAL(endpoint, "ipc:///proc/self/fd/7/admin.sock");
    /* The longest that fits, and one more. */
    far[sizeof address.sun_path - sizeof "/admin.sock"] = '\0';
    dpc_run_admin_endpoint(far, 7, endpoint);
    CU_ASSERT_EQUAL(strlen(endpoint) - strlen("ipc://"), sizeof address.sun_path - 1);
}

static void
test_close(void)
{
    char command[128];
    dpc_run_folder_close(&folder);
    snprintf(command, sizeof command, "rm -rf %s", top);
    CU_ASSERT_EQUAL(system(command), 0);
}

static const struct dpc_test tests[] = {
    {"a folder is made and locked", test_open},
    {"a second start is refused", test_second_start_is_refused},
    {"a folder of something else is refused", test_foreign_folder_is_refused},
    {"a changed experiment is refused, key by key", test_changed_experiment_is_refused},
    {"keys are made once, and closed to others", test_keys},
    {"run.json", test_state},
    {"a change of a finished run has no effect", test_change_of_a_finished_run_has_no_effect},
    {"beginning anew keeps keys and lock", test_clear},
    {"the admin endpoint behind a long path", test_admin_endpoint},
    {"the folder goes", test_close},
};
DPC_TEST_MAIN("cli/run_folder", tests)
