/* SPDX-License-Identifier: Apache-2.0
 * A transfer of one blob at a time over the wire of http_wire.h: that brings resuming, the owner's
 * rates and the check of the hash. A failure of a transfer is final for all that it has queued, so
 * the queue is here. */
#include "worker/blobs/mirror.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/log.h"

/* What one lease needs at most, and some. */
enum { QUEUE_MAX = 2 * (2 * DPC_LEVELS_MAX + 2), DOUBLINGS_MAX = 5 };

struct dpc_mirror {
    char url[DPC_ENDPOINT_MAX];
    struct dpc_http_wire *http;
    struct dpc_transfer *transfer;
    struct dpc_blob_ref queue[QUEUE_MAX];
    uint32_t queued;
    struct dpc_blob_ref blob; /* under way */
    bool busy;
    uint64_t bytes_before; /* of that one */
    int64_t paused_until_ms;
    unsigned failures, lacks; /* one after another */
};

int
dpc_mirror_open(const struct dpc_http_wire_options *options, const struct dpc_transfer_files *files,
                const struct dpc_transfer_gate *gate, struct dpc_mirror **ret_mirror,
                struct dpc_error *err)
{
    struct dpc_mirror *mirror = dpc_alloc(1, sizeof *mirror);
    int code = dpc_http_wire_open(options, &mirror->http, err);
    if (code != DPC_OK) {
        dpc_free(mirror);
        return code;
    }
    struct dpc_transfer_wire wire = dpc_http_wire_of(mirror->http);
    mirror->transfer = dpc_transfer_create_on(&wire, files);
    dpc_transfer_set_gate(mirror->transfer, gate);
    (void)snprintf(mirror->url, sizeof mirror->url, "%s", options->url);
    *ret_mirror = mirror;
    return DPC_OK;
}

struct dpc_mirror *
dpc_mirror_close(struct dpc_mirror *mirror)
{
    if (!mirror)
        return NULL;
    mirror->transfer = dpc_transfer_destroy(mirror->transfer);
    mirror->http = dpc_http_wire_close(mirror->http);
    return dpc_free(mirror);
}

bool
dpc_mirror_fetch(struct dpc_mirror *mirror, const struct dpc_blob_ref *blob, int64_t now_ms)
{
    bool waits = mirror->busy && dpc_hash_equal(&mirror->blob.hash, &blob->hash);
    if (blob->bytes <= DPC_BLOB_INLINE_MAX || dpc_mirror_is_paused(mirror, now_ms))
        return false;
    for (uint32_t i = 0; !waits && i < mirror->queued; i++)
        waits = dpc_hash_equal(&mirror->queue[i].hash, &blob->hash);
    if (!waits && mirror->queued == QUEUE_MAX)
        return false;
    if (!waits)
        mirror->queue[mirror->queued++] = *blob;
    return true;
}

static void
end_blob(struct dpc_mirror *mirror)
{
    dpc_transfer_cancel(mirror->transfer);
    dpc_http_wire_stop(mirror->http);
    mirror->busy = false;
}

void
dpc_mirror_cancel(struct dpc_mirror *mirror)
{
    end_blob(mirror);
    mirror->queued = 0;
}

int
dpc_mirror_fd(const struct dpc_mirror *mirror)
{
    return dpc_http_wire_fd(mirror->http);
}

bool
dpc_mirror_is_idle(const struct dpc_mirror *mirror)
{
    return !mirror->busy && mirror->queued == 0;
}

bool
dpc_mirror_is_paused(const struct dpc_mirror *mirror, int64_t now_ms)
{
    return now_ms < mirror->paused_until_ms;
}

uint64_t
dpc_mirror_bytes(const struct dpc_mirror *mirror)
{
    return dpc_transfer_bytes_fetched(mirror->transfer);
}

/* --- What comes of a blob. */

/* A disk that is full, say, is no fault of the mirror. */
static bool
is_its_fault(int code)
{
    return code == DPC_ECLOSED || code == DPC_ETIMEDOUT || code == DPC_EPROTO || code == DPC_EHASH;
}

static void
judge(struct dpc_mirror *mirror, const struct dpc_error *err, int64_t now_ms)
{
    mirror->lacks = err->code == DPC_ENOTFOUND ? mirror->lacks + 1 : 0;
    if (!is_its_fault(err->code) && mirror->lacks < DPC_MIRROR_LACKS_MAX) {
        dpc_log_debug("not from the mirror: %s", err->text);
        return;
    }
    char lacks[96] = "";
    if (!is_its_fault(err->code))
        (void)snprintf(lacks, sizeof lacks,
                       "it lacks one after another, or may not read the coordinator's files; the "
                       "last: ");
    int64_t pause_ms = (int64_t)DPC_MIRROR_PAUSE_MS << mirror->failures;
    mirror->failures += mirror->failures < DOUBLINGS_MAX;
    mirror->lacks = 0;
    mirror->paused_until_ms = now_ms + pause_ms;
    dpc_log_warning(
        "the mirror %s is let alone for %lld min, blobs come from the coordinator: %s%s",
        mirror->url, (long long)pause_ms / 60000, lacks, err->text);
}

/* A blob that was here already says nothing. */
static void
praise(struct dpc_mirror *mirror)
{
    if (dpc_mirror_bytes(mirror) == mirror->bytes_before)
        return;
    if (mirror->failures > 0)
        dpc_log_info("the mirror %s serves again", mirror->url);
    mirror->failures = mirror->lacks = 0;
}

/* Takes what came; an error is final for the blob. */
static int
receive(struct dpc_mirror *mirror, int64_t now_ms, struct dpc_error *err)
{
    struct dpc_msg msg;
    int code = DPC_OK;
    while (code == DPC_OK && dpc_http_wire_receive(mirror->http, &msg) == DPC_OK) {
        char name[13];
        if (msg.type != DPC_MSG_ERROR) {
            code = dpc_transfer_handle(mirror->transfer, &msg, now_ms, err);
            continue;
        }
        dpc_hash_hex(&mirror->blob.hash, name, sizeof name);
        code =
            dpc_error_set(err, msg.error.code, "could not fetch blob %s: %s", name, msg.error.text);
    }
    return code;
}

static void
take_next(struct dpc_mirror *mirror)
{
    mirror->blob = mirror->queue[0];
    mirror->queued--;
    memmove(mirror->queue, mirror->queue + 1, mirror->queued * sizeof *mirror->queue);
}

static int
begin_blob(struct dpc_mirror *mirror, struct dpc_error *err)
{
    mirror->busy = true;
    mirror->bytes_before = dpc_mirror_bytes(mirror);
    dpc_http_wire_begin(mirror->http, &mirror->blob);
    return dpc_transfer_fetch(mirror->transfer, &mirror->blob, err);
}

bool
dpc_mirror_pump(struct dpc_mirror *mirror, int64_t now_ms, struct dpc_blob_ref *ret_missed)
{
    while (!dpc_mirror_is_idle(mirror)) {
        struct dpc_error err = {0};
        bool begins = !mirror->busy;
        if (begins)
            take_next(mirror);
        *ret_missed = mirror->blob;
        if (begins && dpc_mirror_is_paused(mirror, now_ms))
            return true;
        int code = begins ? begin_blob(mirror, &err) : receive(mirror, now_ms, &err);
        if (code == DPC_OK)
            code = dpc_transfer_pump(mirror->transfer, now_ms, &err);
        if (code == DPC_OK && !dpc_transfer_idle(mirror->transfer))
            return false;
        if (code == DPC_OK)
            praise(mirror);
        else
            judge(mirror, &err, now_ms);
        end_blob(mirror);
        if (code != DPC_OK)
            return true;
    }
    return false;
}
