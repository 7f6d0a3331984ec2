/* SPDX-License-Identifier: Apache-2.0
 * The loop's part for blobs: which way they come and go, and what if none does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "worker/loop_parts.h"
#include "worker/compute/versions.h"

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

static void
open_moves(struct dpc_worker *worker, struct loop_moves *moves)
{
    struct dpc_transfer_gate gate = dpc_allowance_gate(worker->allowance);
    moves->transfer = dpc_transfer_create(worker->bulk, &worker->files);
    dpc_transfer_set_gate(moves->transfer, &gate);
}

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
    worker->down.transfer = dpc_transfer_destroy(worker->down.transfer);
    worker->up.transfer = dpc_transfer_destroy(worker->up.transfer);
    worker->bulk = dpc_link_close(worker->bulk);
    code = dpc_link_open(worker->net, DPC_CHANNEL_BULK, endpoint, &worker->options->keypair,
                         &worker->options->server_key, &worker->bulk, err);
    if (code != DPC_OK)
        return code;
    snprintf(worker->bulk_endpoint, sizeof worker->bulk_endpoint, "%s", endpoint);
    open_moves(worker, &worker->down);
    open_moves(worker, &worker->up);
    return DPC_OK;
}

static void
cancel(struct dpc_worker *worker, struct loop_moves *moves)
{
    if (moves->transfer)
        dpc_transfer_cancel(moves->transfer);
    if (worker->mirror && moves == &worker->down)
        dpc_mirror_cancel(worker->mirror);
}

void
loop_forget_blobs(struct dpc_worker *worker, struct loop_moves *moves)
{
    cancel(worker, moves);
    moves->under_way = false;
    moves->err.code = DPC_OK;
}

static void
fail_moves(struct dpc_worker *worker, struct loop_moves *moves, const struct dpc_error *err)
{
    cancel(worker, moves);
    if (!moves->under_way)
        return;
    moves->err = *err;
    if (err->code == DPC_ENOSPACE && moves == &worker->down)
        (void)snprintf(moves->err.text, sizeof moves->err.text,
                       "%.400s in the cache, which may hold %llu MiB (--cache-mib) if the disk has "
                       "them",
                       err->text, (unsigned long long)(worker->options->cache_bytes / DPC_MIB));
}

/* An answer is for the one that asked; the other one drops it. */
static void
handle_answer(struct dpc_worker *worker, struct loop_moves *moves, const struct dpc_msg *msg)
{
    struct dpc_error err = {0};
    if (dpc_transfer_handle(moves->transfer, msg, now(), &err) != DPC_OK ||
        dpc_transfer_pump(moves->transfer, now(), &err) != DPC_OK)
        fail_moves(worker, moves, &err);
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
        if (code != DPC_OK) {
            loop_report_garbage(worker, "bulk", &err);
            continue;
        }
        handle_answer(worker, &worker->down, &msg);
        handle_answer(worker, &worker->up, &msg);
    }
}

static bool
waits_for_bulk(const struct loop_moves *moves)
{
    return moves->under_way && moves->transfer && !dpc_transfer_idle(moves->transfer);
}

static bool
is_stuck(const struct loop_moves *moves)
{
    return moves->transfer && dpc_transfer_is_stuck(moves->transfer, now());
}

/* Nobody else would end a connection that its other end, or a proxy, holds open and is deaf on. */
static void
renew_if_stuck(struct dpc_worker *worker)
{
    bool stuck = is_stuck(&worker->down) || is_stuck(&worker->up);
    if (!stuck || dpc_link_state(worker->bulk) != DPC_LINK_UP)
        return;
    dpc_log_warning("nothing came from %s for %d s although the connection stands: making another",
                    worker->bulk_endpoint, DPC_TRANSFER_STUCK_MS / 1000);
    dpc_link_renew(worker->bulk);
}

/* The two channels have a port each, and a firewall may let one of them through alone. A lease that
 * cannot be fetched is for somebody else; what cannot be handed in is kept. */
void
loop_watch_bulk(struct dpc_worker *worker)
{
    bool cut = (waits_for_bulk(&worker->down) || waits_for_bulk(&worker->up)) &&
               dpc_session_joined(worker->session) && dpc_link_state(worker->bulk) != DPC_LINK_UP;
    renew_if_stuck(worker);
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
    if (now() >= worker->cut_since_ms + CUT_MS && waits_for_bulk(&worker->down)) {
        struct dpc_error err = {0};
        (void)dpc_error_set(&err, DPC_ETIMEDOUT, "no contact at %s", worker->bulk_endpoint);
        worker->cut_since_ms = 0;
        fail_moves(worker, &worker->down, &err);
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

static int
begin_moves(struct loop_moves *moves, struct dpc_error *err)
{
    moves->under_way = true;
    return moves->transfer ? DPC_OK : dpc_error_set(err, DPC_ECLOSED, "no bulk link");
}

void
loop_fetch_blobs(struct dpc_worker *worker, const struct dpc_session_blobs *blobs)
{
    struct dpc_error err = {0};
    struct dpc_transfer *transfer = worker->down.transfer;
    int code = begin_moves(&worker->down, &err);
    dpc_cache_pin(worker->cache, DPC_CACHE_LEASE, blobs->refs, blobs->count);
    /* The path state that it goes on from may be here alone: of those it goes last. */
    const struct dpc_msg_lease *lease = dpc_session_lease(worker->session);
    if (lease && !dpc_hash_is_none(&lease->kept.hash))
        dpc_cache_hold(worker->cache, lease->path, &lease->kept.hash);
    for (uint32_t i = 0; code == DPC_OK && i < blobs->count; i++) {
        const struct dpc_blob_ref *blob = &blobs->refs[i];
        if (!worker->mirror || dpc_transfer_is_fetching(transfer, &blob->hash) ||
            !dpc_mirror_fetch(worker->mirror, blob, now()))
            code = dpc_transfer_fetch(transfer, blob, &err);
    }
    if (code != DPC_OK)
        worker->down.err = err;
}

void
loop_upload_blobs(struct dpc_worker *worker, const struct dpc_session_blobs *blobs)
{
    struct dpc_error err = {0};
    int code = begin_moves(&worker->up, &err);
    dpc_cache_pin(worker->cache, DPC_CACHE_HANDING_IN, blobs->refs, blobs->count);
    for (uint32_t i = 0; code == DPC_OK && i < blobs->count; i++)
        code = dpc_transfer_put(worker->up.transfer, &blobs->refs[i], &err);
    if (code != DPC_OK)
        worker->up.err = err;
}

/* What the mirror does not bring is for the coordinator. */
static void
move_mirror(struct dpc_worker *worker)
{
    struct dpc_blob_ref missed;
    struct loop_moves *down = &worker->down;
    while (worker->mirror && down->transfer && dpc_mirror_pump(worker->mirror, now(), &missed)) {
        struct dpc_error err = {0};
        if (dpc_transfer_fetch(down->transfer, &missed, &err) != DPC_OK)
            fail_moves(worker, down, &err);
    }
}

static bool
is_through(const struct dpc_worker *worker, const struct loop_moves *moves)
{
    bool mirrored = moves == &worker->down && worker->mirror;
    return (!moves->transfer || dpc_transfer_idle(moves->transfer)) &&
           (!mirrored || dpc_mirror_is_idle(worker->mirror));
}

/* True: the list is through, or has failed, as `ret_err` says. */
static bool
follow_moves(struct dpc_worker *worker, struct loop_moves *moves, struct dpc_error *ret_err)
{
    struct dpc_error err = {0};
    if (moves->transfer && dpc_transfer_pump(moves->transfer, now(), &err) != DPC_OK)
        fail_moves(worker, moves, &err);
    if (!moves->under_way || (moves->err.code == DPC_OK && !is_through(worker, moves)))
        return false;
    *ret_err = moves->err;
    moves->err = (struct dpc_error){.code = DPC_OK};
    moves->under_way = false;
    return true;
}

/* A lease whose results would not fit beside what is handed in would be computed in vain. */
static void
look_for_room(const struct dpc_worker *worker, struct dpc_error *err)
{
    const struct dpc_msg_lease *lease = dpc_session_lease(worker->session);
    if (err->code != DPC_OK || !lease || !dpc_session_handing_in(worker->session))
        return;
    uint64_t bytes = dpc_session_results_bytes(worker->session) +
                     dpc_versions_to_make_bytes(worker->cache, lease);
    if (!dpc_cache_has_room(worker->cache, bytes))
        (void)dpc_error_set(err, DPC_ENOSPACE,
                            "the cache (--cache-mib) has no room for its results beside those that "
                            "are handed in");
}

void
loop_follow_transfers(struct dpc_worker *worker)
{
    struct dpc_error err;
    move_mirror(worker);
    if (follow_moves(worker, &worker->down, &err)) {
        look_for_room(worker, &err);
        dpc_session_fetched(worker->session, err.code, err.text, now(), &worker->actions);
        loop_act_all(worker);
    }
    if (follow_moves(worker, &worker->up, &err)) {
        dpc_session_uploaded(worker->session, err.code, err.text, now(), &worker->actions);
        loop_act_all(worker);
    }
}

static int64_t
moves_wait_ms(const struct dpc_worker *worker, const struct loop_moves *moves)
{
    if (!moves->under_way)
        return INT64_MAX;
    return moves->err.code != DPC_OK || is_through(worker, moves) ? 0 : PUMP_MS;
}

int64_t
loop_transfer_wait_ms(const struct dpc_worker *worker)
{
    int64_t down_ms = moves_wait_ms(worker, &worker->down);
    int64_t up_ms = moves_wait_ms(worker, &worker->up);
    return down_ms < up_ms ? down_ms : up_ms;
}
