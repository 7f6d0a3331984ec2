/* SPDX-License-Identifier: Apache-2.0
 * A process that commits is killed in the middle. RocksDB is used in children only: its threads do
 * not survive a fork. */
#include "storage/db/store.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

enum { KILLS = 6, ACKNOWLEDGED_MIN = 20, BATCH_MODULES = 3, EXIT_NO_MOUNT = 77 };

static char folder[SCRATCH_PATH_MAX];

/* --- In the child. */

static struct dpc_store *
child_open(void)
{
    struct dpc_store *store;
    struct dpc_error err;
    if (dpc_store_open(folder, DPC_KV_READ_WRITE, &store, &err) != DPC_OK) {
        fprintf(stderr, "%s\n", err.text);
        _exit(2);
    }
    return store;
}

/* Commit `number`: the same number in several records of both families, an entry of the ledger and
 * a blob before it. */
static void
child_commit(struct dpc_store *store, uint32_t number, struct dpc_hash *head)
{
    struct dpc_kv_batch batch;
    struct dpc_error err;
    struct dpc_hash blob, previous = *head;
    uint8_t content[64];
    memset(content, (int)number, sizeof content);
    memcpy(content, &number, sizeof number);
    if (dpc_store_blob_put(store, content, sizeof content, &blob, &err) != DPC_OK)
        _exit(3);
    dpc_kv_batch_init(&batch);
    dpc_put_ledger(&batch,
                   &(struct dpc_ledger_record){
                       .sequence = number, .version = number, .master = blob, .previous = previous},
                   head);
    for (uint32_t module = 0; module < BATCH_MODULES; module++)
        dpc_put_module(&batch, &(struct dpc_module_record){.module = module, .version = number});
    dpc_put_phase(&batch,
                  &(struct dpc_phase_record){.ledger_next = number + 1, .ledger_head = *head});
    if (dpc_store_commit(store, &batch, &err) != DPC_OK)
        _exit(4);
    dpc_kv_batch_done(&batch);
}

/* Commits for ever and tells the number of each commit that returned. */
static void
child_write(int acknowledge)
{
    struct dpc_store *store = child_open();
    struct dpc_phase_record phase = {0};
    struct dpc_error err;
    int code = dpc_load_phase(dpc_store_kv(store), &phase, &err);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        _exit(5);
    struct dpc_hash head = phase.ledger_head;
    for (uint32_t number = (uint32_t)phase.ledger_next;; number++) {
        child_commit(store, number, &head);
        if (write(acknowledge, &number, sizeof number) != sizeof number)
            _exit(6);
    }
}

struct found {
    struct dpc_store *store;
    uint32_t modules, module_version, entries;
    bool bad;
};

static bool
note_module(void *context, const struct dpc_module_record *record)
{
    struct found *found = context;
    if (found->modules++ && record->version != found->module_version)
        found->bad = true;
    found->module_version = record->version;
    return true;
}

static bool
note_entry(void *context, const struct dpc_ledger_record *record)
{
    struct found *found = context;
    uint8_t *content;
    size_t len;
    struct dpc_error err;
    found->bad |= record->sequence != found->entries++;
    if (dpc_store_blob_load(found->store, &record->master, &content, &len, &err) != DPC_OK)
        found->bad = true;
    else
        dpc_free(content);
    return true;
}

/* Everything up to `acknowledged` is there, and each batch is whole. */
static void
child_check(uint32_t acknowledged)
{
    struct dpc_error err;
    struct found found = {.store = child_open()};
    struct dpc_kv *kv = dpc_store_kv(found.store);
    bool whole = dpc_scan_modules(kv, note_module, &found, &err) == DPC_OK &&
                 dpc_scan_ledger(kv, 0, note_entry, &found, &err) == DPC_OK && !found.bad &&
                 found.modules == BATCH_MODULES && found.module_version >= acknowledged &&
                 found.entries == found.module_version + 1;
    dpc_store_close(found.store);
    _exit(whole ? 0 : 1);
}

/* --- In the parent. */

static int
status_of(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Lets a child commit until it told `count` commits, kills it, and gives the last that it told. */
static uint32_t
write_and_kill(unsigned count)
{
    int ends[2];
    uint32_t number, last = 0;
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        close(ends[0]);
        child_write(ends[1]);
    }
    close(ends[1]);
    for (unsigned told = 0; read(ends[0], &number, sizeof number) == sizeof number;) {
        last = number;
        if (++told == count)
            kill(child, SIGKILL);
    }
    close(ends[0]);
    CU_ASSERT_EQUAL(status_of(child), 128 + SIGKILL);
    return last;
}

static void
acknowledged_batches_survive_kill_9(void)
{
    scratch_make(folder);
    for (unsigned i = 0; i < KILLS; i++) {
        uint32_t acknowledged = write_and_kill(ACKNOWLEDGED_MIN + i * 7);
        CU_ASSERT(acknowledged + 1 >= (i + 1) * ACKNOWLEDGED_MIN);
        pid_t child = fork();
        CU_ASSERT_FATAL(child >= 0);
        if (child == 0)
            child_check(acknowledged);
        CU_ASSERT_EQUAL(status_of(child), 0);
    }
    scratch_remove(folder);
}

/* Killed at once: while the store is made, or anywhere soon after. */
static void
a_store_half_made_is_made_again(void)
{
    for (unsigned delay_us = 0; delay_us < 60000; delay_us += 4000) {
        scratch_make(folder);
        pid_t child = fork();
        CU_ASSERT_FATAL(child >= 0);
        if (child == 0) {
            child_open();
            _exit(0);
        }
        usleep(delay_us);
        kill(child, SIGKILL);
        int status = status_of(child);
        CU_ASSERT(status == 0 || status == 128 + SIGKILL);
        child = fork();
        CU_ASSERT_FATAL(child >= 0);
        if (child == 0) {
            dpc_store_close(child_open());
            _exit(0);
        }
        CU_ASSERT_EQUAL(status_of(child), 0);
        scratch_remove(folder);
    }
}

/* A file system of 24 MiB, in a mount namespace of the child's own. */
static void
mount_small(void)
{
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        _exit(EXIT_NO_MOUNT);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=24m") != 0)
        _exit(EXIT_NO_MOUNT);
}

/* Commits until the disk is full, as an experiment would: whole blobs first. */
static int
child_fill(struct dpc_store *store, uint32_t *ret_committed, struct dpc_error *err)
{
    static uint8_t content[300 * 1024], small[60 * 1024];
    struct dpc_hash hash;
    int code = DPC_OK;
    for (uint32_t i = 0; code == DPC_OK; i++) {
        memcpy(content, &i, sizeof i);
        memcpy(small, &i, sizeof i);
        code =
            dpc_store_blob_put(store, content, i % 8 ? sizeof small : sizeof content, &hash, err);
        if (code == DPC_OK)
            code = dpc_store_blob_put(store, small, sizeof small, &hash, err);
        if (code == DPC_OK)
            *ret_committed = i + 1;
    }
    return code;
}

static void
child_full_disk(void)
{
    struct dpc_error err;
    uint32_t committed = 0;
    uint64_t room;
    mount_small();
    struct dpc_store *store = child_open();
    int code = child_fill(store, &committed, &err);
    if (code != DPC_ENOSPACE || !strstr(err.text, "make room on that disk")) {
        fprintf(stderr, "%u: %s\n", committed, err.text);
        _exit(1);
    }
    if (dpc_store_free_bytes(store, &room) != DPC_OK || room > 4 * DPC_MIB || committed < 10)
        _exit(7);
    dpc_store_close(store);
    /* More room, and everything that was acknowledged is there. */
    if (mount("tmpfs", folder, "tmpfs", MS_REMOUNT, "size=200m") != 0)
        _exit(EXIT_NO_MOUNT);
    store = child_open();
    static uint8_t small[60 * 1024];
    for (uint32_t i = 0; i < committed; i++) {
        struct dpc_hash hash;
        uint8_t *loaded;
        size_t len;
        memcpy(small, &i, sizeof i);
        dpc_hash_of(small, sizeof small, &hash);
        if (dpc_store_blob_load(store, &hash, &loaded, &len, &err) != DPC_OK)
            _exit(8);
        dpc_free(loaded);
    }
    dpc_store_close(store);
    _exit(0);
}

static void
a_full_disk_is_told_and_loses_nothing(void)
{
    scratch_make(folder);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0)
        child_full_disk();
    int status = status_of(child);
    if (status == EXIT_NO_MOUNT)
        printf("(skipped: no mount namespace here) ");
    else
        CU_ASSERT_EQUAL(status, 0);
    scratch_remove(folder);
}

/* From some write on all fail, in all files; the error is told and the process ends by itself. */
static void
child_lose_the_disk(bool opened)
{
    struct rlimit none = {0};
    struct dpc_store *store = opened ? child_open() : NULL;
    struct dpc_hash head = {0}, hash;
    struct dpc_error err;
    if (opened)
        child_commit(store, 0, &head);
    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &none) != 0)
        _exit(9);
    int code = opened ? dpc_store_blob_put(store, "1", 1, &hash, &err)
                      : dpc_store_open(folder, DPC_KV_READ_WRITE, &store, &err);
    dpc_store_close(store);
    _exit(code == DPC_EIO && strstr(err.text, "check that disk") ? 0 : 1);
}

/* RocksDB's own log stands on that disk, too. */
static void
a_failing_disk_ends_with_an_error(void)
{
    scratch_make(folder);
    for (int opened = 1; opened >= 0; opened--) {
        pid_t child = fork();
        CU_ASSERT_FATAL(child >= 0);
        if (child == 0)
            child_lose_the_disk(opened);
        CU_ASSERT_EQUAL(status_of(child), 0);
    }
    scratch_remove(folder);
}

/* Another process is named by its number. */
static void
the_process_that_holds_the_store_is_named(void)
{
    int ends[2];
    char byte, expected[64];
    struct dpc_store *store;
    struct dpc_error err;
    scratch_make(folder);
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t holder = fork();
    CU_ASSERT_FATAL(holder >= 0);
    if (holder == 0) {
        child_open();
        (void)!write(ends[1], "x", 1);
        for (;;)
            pause();
    }
    CU_ASSERT_EQUAL(read(ends[0], &byte, 1), 1);
    (void)snprintf(expected, sizeof expected, "is open in process %d: stop that one first",
                   (int)holder);
    pid_t second = fork();
    CU_ASSERT_FATAL(second >= 0);
    if (second == 0) {
        int code = dpc_store_open(folder, DPC_KV_READ_WRITE, &store, &err);
        _exit(code == DPC_EBUSY && strstr(err.text, expected) ? 0 : 1);
    }
    CU_ASSERT_EQUAL(status_of(second), 0);
    kill(holder, SIGKILL);
    CU_ASSERT_EQUAL(status_of(holder), 128 + SIGKILL);
    close(ends[0]);
    close(ends[1]);
    scratch_remove(folder);
}

static const struct dpc_test tests[] = {
    {"acknowledged batches survive kill -9", acknowledged_batches_survive_kill_9},
    {"a store half made is made again", a_store_half_made_is_made_again},
    {"a full disk is told and loses nothing", a_full_disk_is_told_and_loses_nothing},
    {"a failing disk ends with an error", a_failing_disk_ends_with_an_error},
    {"the process that holds the store is named", the_process_that_holds_the_store_is_named},
};
DPC_TEST_MAIN("storage/db store crash", tests)
