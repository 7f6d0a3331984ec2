/* SPDX-License-Identifier: Apache-2.0
 * The loop's part for the device that computes: which numeric class it makes the worker, and what
 * follows when it is another one. */
#include "worker/loop_parts.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/exit.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/notify.h"
#include "modules/compute.h"

/* A file that cannot be read may be any: no other process has the hash that stands for it. What
 * this machine lacks for the moment says nothing of the file, and a strict coordinator would turn
 * the worker away for good: then it fails (DPC_EFILES, DPC_ENOMEM). */
static int
hash_file(const char *path, struct dpc_hash *ret_hash, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    int code = dpc_vfs_read_file(&dpc_vfs_posix, path, 256 * DPC_MIB, &bytes, &len, err);
    if (code == DPC_EFILES || code == DPC_ENOMEM)
        return code;
    if (code == DPC_OK) {
        dpc_hash_of(bytes, len, ret_hash);
        dpc_free(bytes);
        return DPC_OK;
    }
    dpc_log_warning("this worker is a numeric class of its own: %s", err->text);
    dpc_random_bytes(ret_hash, sizeof *ret_hash);
    return DPC_OK;
}

/* Machines compute the same bits when kernels, libraries, libm and build are the same; how many
 * threads compute makes no difference. All of it is in the hash at the front; what stands behind is
 * for people, and is cut where a record has no room for it. */
static int
name_class(const struct dpc_card_info *card, char *ret_name, size_t size, struct dpc_error *err)
{
    struct {
        struct dpc_hash program, plugin; /* the build's, and where a card computes its plug-in's */
        char compute[DPC_CARD_TEXT_MAX + 16], libc[32];
    } all;
    struct dpc_hash hash;
    char build[13];
    memset(&all, 0, sizeof all);
    int code = hash_file("/proc/self/exe", &all.program, err);
    if (code == DPC_OK && card)
        code = hash_file(dpc_card_plugin_path(), &all.plugin, err);
    if (code != DPC_OK)
        return code;
    dpc_compute_name(card, all.compute, sizeof all.compute);
    (void)confstr(_CS_GNU_LIBC_VERSION, all.libc, sizeof all.libc);
    dpc_hash_of(&all, sizeof all, &hash);
    dpc_hash_hex(&hash, build, sizeof build);
    snprintf(ret_name, size, "%s/%s/%s", build, all.compute, all.libc);
    return DPC_OK;
}

void
loop_pause_or_go_on(struct dpc_worker *worker)
{
    bool pause = !dpc_device_is_ready(worker->device) || worker->device_waits ||
                 worker->notice_state != DPC_NOTICE_CALM;
    dpc_session_pause(worker->session, pause, loop_now(), &worker->actions);
    loop_act_all(worker);
}

/* A service that waits for its card has started. */
static void
wait_for_card(struct dpc_worker *worker)
{
    if (!worker->ready)
        dpc_notify_ready();
    worker->ready = true;
    loop_pause_or_go_on(worker);
}

/* `next_class` is that of the chosen device. */
static void
use_device(struct dpc_worker *worker)
{
    bool changed = strcmp(worker->next_class, worker->numeric_class) != 0;
    memcpy(worker->numeric_class, worker->next_class, sizeof worker->numeric_class);
    dpc_spill_set_class(worker->spill, worker->numeric_class);
    if (!worker->begun) {
        loop_begin_session(worker);
    } else if (changed) {
        dpc_log_info("numeric class changes numeric_class=%s", worker->numeric_class);
        dpc_session_rejoin(worker->session, loop_now(), &worker->actions);
        loop_act_all(worker);
    }
    loop_pause_or_go_on(worker);
}

/* What is handed in counts as computed by the class of the last hello. */
static void
use_device_in_time(struct dpc_worker *worker)
{
    worker->device_waits = dpc_session_handing_in(worker->session) &&
                           strcmp(worker->next_class, worker->numeric_class) != 0;
    if (worker->device_waits)
        loop_pause_or_go_on(worker);
    else
        use_device(worker);
}

static void
take_news_of_device(struct dpc_worker *worker, const char *text)
{
    struct dpc_error err;
    bool ready = dpc_device_is_ready(worker->device);
    dpc_log(ready ? DPC_LOG_INFO : DPC_LOG_WARNING, "%s", text);
    worker->device_waits = false;
    if (!ready) {
        wait_for_card(worker);
    } else if (name_class(dpc_device_info(worker->device), worker->next_class,
                          sizeof worker->next_class, &err) != DPC_OK) {
        dpc_log_error("could not say of which numeric class this worker is: %s", err.text);
        worker->status = DPC_EXIT_FAILED;
    } else {
        use_device_in_time(worker);
    }
}

void
loop_watch_device(struct dpc_worker *worker)
{
    char text[DPC_ERROR_TEXT_MAX];
    if (worker->status != STATUS_RUNNING || worker->stopping ||
        !dpc_session_is_free(worker->session) || !dpc_runner_is_idle(worker->runner))
        return;
    bool news = dpc_device_look(worker->device, loop_now(), text);
    if (dpc_device_is_worn(worker->device) && !dpc_session_handing_in(worker->session)) {
        dpc_log_warning("the card failed and does not come back to this process: beginning anew");
        worker->status = DPC_WORKER_ANEW;
    } else if (news) {
        take_news_of_device(worker, text);
    } else if (worker->device_waits) {
        use_device_in_time(worker);
    }
}
