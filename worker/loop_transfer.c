/* SPDX-License-Identifier: Apache-2.0
 * The loop's part for blobs: which way they come and go, and what if none does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "worker/loop_parts.h"

enum {
    PUMP_MS = 100,          /* how often a transfer looks for answers that are overdue */
    CUT_MS = 3 * 60 * 1000, /* without a way for blobs, before a lease goes back */
};

static int64_t
now(void)
{
    return loop_now();
}

/* --- The bulk channel. */

int
loop_connect_bulk(struct dpc_worker *worker, const char *bulk_endpoint, struct dpc_error *err)
{
    char endpoint[DPC_ENDPOINT_MAX];
    int code =
        dpc_endpoint_resolve(bulk_endpoint, worker->options->endpoint, endpoint, sizeof endpoint);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the bulk endpoint \"%s\" makes no sense: %s",
                             bulk_endpoint, dpc_error_words(code));
    if (worker->bulk && strcmp(endpoint, worker->bulk_endpoint) == 0)
        return DPC_OK;
    worker->transfer = dpc_transfer_destroy(worker->transfer);
    worker->bulk = dpc_link_close(worker->bulk);
    code = dpc_link_open(worker->net, DPC_CHANNEL_BULK, endpoint, &worker->options->keypair,
                         &worker->options->server_key, &worker->bulk, err);
    if (code != DPC_OK)
        return code;
    snprintf(worker->bulk_endpoint, sizeof worker->bulk_endpoint, "%s", endpoint);
    worker->transfer = dpc_transfer_create(worker->bulk, &worker->files);
    struct dpc_transfer_gate gate = dpc_allowance_gate(worker->allowance);
    dpc_transfer_set_gate(worker->transfer, &gate);
    return DPC_OK;
}

static void
cancel(struct dpc_worker *worker)
{
    if (worker->transfer)
        dpc_transfer_cancel(worker->transfer);
    if (worker->mirror)
        dpc_mirror_cancel(worker->mirror);
}

void
loop_forget_blobs(struct dpc_worker *worker)
{
    cancel(worker);
    worker->transferring = false;
    worker->transfer_err.code = DPC_OK;
}

static void
fail_transfer(struct dpc_worker *worker, const struct dpc_error *err)
{
    cancel(worker);
    if (!worker->transferring)
        return;
    worker->transfer_err = *err;
    if (err->code == DPC_ENOSPACE && dpc_session_work(worker->session) == DPC_WORK_FETCHING)
        (void)snprintf(worker->transfer_err.text, sizeof worker->transfer_err.text,
                       "%.400s in the cache, which may hold %llu MiB (--cache-mib) if the disk has "
                       "them",
                       err->text, (unsigned long long)(worker->options->cache_bytes / DPC_MIB));
}

void
loop_receive_bulk(struct dpc_worker *worker)
{
    for (int i = 0; i < MESSAGES_PER_TURN; i++) {
        struct dpc_error err = {0};
        struct dpc_msg msg;
        int code = dpc_link_receive(worker->bulk, &msg, &err);
        if (code == DPC_EAGAIN)
            return;
        if (code != DPC_OK)
            loop_report_garbage(worker, "bulk", &err);
        else if (dpc_transfer_handle(worker->transfer, &msg, now(), &err) != DPC_OK)
            fail_transfer(worker, &err);
        else if (dpc_transfer_pump(worker->transfer, now(), &err) != DPC_OK)
            fail_transfer(worker, &err);
    }
}

/* The two channels have a port each, and a firewall may let one of them through alone. A lease that
 * cannot be fetched is for somebody else; what cannot be handed in is kept. */
void
loop_watch_bulk(struct dpc_worker *worker)
{
    bool cut = worker->transferring && worker->bulk && !dpc_transfer_idle(worker->transfer) &&
               dpc_session_joined(worker->session) && dpc_link_state(worker->bulk) != DPC_LINK_UP;
    if (!cut || worker->cut_since_ms == 0) {
        worker->cut_since_ms = cut ? now() : 0;
        worker->cut_told = false;
        return;
    }
    if (now() >= worker->cut_since_ms + ALONE_MS && !worker->cut_told) {
        dpc_log_warning("the coordinator answers, but not at %s, where models come from and "
                        "results go to: does a firewall let that port through? Trying on",
                        worker->bulk_endpoint);
        worker->cut_told = true;
    }
    if (now() >= worker->cut_since_ms + CUT_MS &&
        dpc_session_work(worker->session) == DPC_WORK_FETCHING) {
        struct dpc_error err = {0};
        (void)dpc_error_set(&err, DPC_ETIMEDOUT, "no contact at %s", worker->bulk_endpoint);
        worker->cut_since_ms = 0;
        fail_transfer(worker, &err);
    }
}

/* --- The mirror. */

/* A coordinator may send its workers to any server that proves its name by a certificate; whatever
 * else answers in the network of a machine is for its owner to name. */
static bool
is_trusted(const char *named)
{
    struct dpc_error err;
    if (dpc_url_check(named, &err) != DPC_OK)
        dpc_log_warning("the coordinator's mirror is not asked: %s", err.text);
    else if (strncmp(named, "https:", 6) != 0)
        dpc_log_warning("the coordinator's mirror %s is not asked, since it is not https: whoever "
                        "trusts it says --mirror %s",
                        named, named);
    else
        return true;
    return false;
}

void
loop_choose_mirror(struct dpc_worker *worker, const char *named)
{
    const char *own = worker->options->mirror;
    const char *url = own ? own : named;
    if (strcmp(url, worker->mirror_url) == 0)
        return;
    (void)snprintf(worker->mirror_url, sizeof worker->mirror_url, "%s", url);
    worker->mirror = dpc_mirror_close(worker->mirror);
    if (!*url || strcmp(url, "none") == 0 || (!own && !is_trusted(named)))
        return;
    struct dpc_http_wire_options options = {.url = url,
                                            .ca_file = getenv("SSL_CERT_FILE"),
                                            .bytes_per_s_max =
                                                worker->options->allowance.down_kib_s * DPC_KIB};
    struct dpc_transfer_gate gate = dpc_allowance_gate(worker->allowance);
    struct dpc_error err;
    if (dpc_mirror_open(&options, &worker->files, &gate, &worker->mirror, &err) == DPC_OK)
        dpc_log_info("blobs come from the mirror %s where it has them", url);
    else
        dpc_log_warning("the mirror %s is not asked: %s", url, err.text);
}

/* --- Lists of blobs. */

void
loop_move_blobs(struct dpc_worker *worker, const struct dpc_session_blobs *blobs, bool fetches)
{
    struct dpc_error err = {0};
    int code = worker->transfer ? DPC_OK : dpc_error_set(&err, DPC_ECLOSED, "no bulk link");
    worker->transferring = true;
    dpc_cache_pin(worker->cache, blobs->refs, blobs->count);
    /* The path state that it goes on from may be here alone: of those it goes last. */
    const struct dpc_msg_lease *lease = dpc_session_lease(worker->session);
    if (fetches && lease && !dpc_hash_is_none(&lease->kept.hash))
        dpc_cache_hold(worker->cache, lease->path, &lease->kept.hash);
    for (uint32_t i = 0; code == DPC_OK && i < blobs->count; i++) {
        const struct dpc_blob_ref *blob = &blobs->refs[i];
        if (!fetches)
            code = dpc_transfer_put(worker->transfer, blob, &err);
        else if (!worker->mirror || dpc_transfer_is_fetching(worker->transfer, &blob->hash) ||
                 !dpc_mirror_fetch(worker->mirror, blob, now()))
            code = dpc_transfer_fetch(worker->transfer, blob, &err);
    }
    if (code != DPC_OK)
        worker->transfer_err = err;
}

/* What the mirror does not bring is for the coordinator. */
static void
move_mirror(struct dpc_worker *worker)
{
    struct dpc_blob_ref missed;
    while (worker->mirror && worker->transfer && dpc_mirror_pump(worker->mirror, now(), &missed)) {
        struct dpc_error err = {0};
        if (dpc_transfer_fetch(worker->transfer, &missed, &err) != DPC_OK)
            fail_transfer(worker, &err);
    }
}

static bool
is_idle(const struct dpc_worker *worker)
{
    return (!worker->transfer || dpc_transfer_idle(worker->transfer)) &&
           (!worker->mirror || dpc_mirror_is_idle(worker->mirror));
}

void
loop_follow_transfers(struct dpc_worker *worker)
{
    struct dpc_error err = {0};
    move_mirror(worker);
    if (worker->transfer && dpc_transfer_pump(worker->transfer, now(), &err) != DPC_OK)
        fail_transfer(worker, &err);
    if (!worker->transferring)
        return;
    if (worker->transfer_err.code != DPC_OK) {
        err = worker->transfer_err;
        worker->transfer_err.code = DPC_OK;
    } else if (!is_idle(worker)) {
        return;
    }
    worker->transferring = false;
    dpc_session_transferred(worker->session, err.code, err.text, now(), &worker->actions);
    loop_act_all(worker);
}

int64_t
loop_transfer_wait_ms(const struct dpc_worker *worker)
{
    if (!worker->transferring)
        return INT64_MAX;
    return worker->transfer_err.code != DPC_OK || is_idle(worker) ? 0 : PUMP_MS;
}
