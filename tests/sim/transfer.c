/* SPDX-License-Identifier: Apache-2.0
 * Blobs on their way: the worker's real transfer from and to its real cache, answered by the real
 * other half from the coordinator's store. A list goes through at one instant or not at all; how
 * long that took was drawn before. Either process may end in the middle. */
#include <string.h>

#include "base/alloc.h"
#include "proto/serve.h"
#include "tests/sim/sim.h"

enum { REPLIES_MAX = DPC_TRANSFER_CREDIT, BODY_BYTES_MAX = 4096 };

struct sim_wire {
    struct sim *sim;
    struct sim_worker *worker;
    uint32_t count;
    struct sim_answer {
        struct dpc_msg msg;
        struct dpc_error err;
        uint8_t body[BODY_BYTES_MAX];
    } answers[REPLIES_MAX];
};

/* --- The coordinator's half. */

static struct dpc_store *
store_of(void *context)
{
    return ((struct sim *)context)->coordinator.store;
}

static int
blob_size(void *context, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    return dpc_store_blob_size(store_of(context), hash, ret_bytes);
}

/* As the server does: a blob is held against its name before it leaves for the first time. What
 * rots later is found on arrival. */
static int
verify_once(struct sim *sim, const struct dpc_hash *hash)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_error err;
    uint8_t *bytes;
    size_t len;
    if (dpc_verified_has(coordinator->verified, hash))
        return DPC_OK;
    int code = dpc_store_blob_load(coordinator->store, hash, &bytes, &len, &err);
    if (code == DPC_ECORRUPT)
        sim_coordinator_broke(sim, code, err.text);
    if (code != DPC_OK)
        return code;
    dpc_free(bytes);
    dpc_verified_add(coordinator->verified, hash);
    return DPC_OK;
}

static int
blob_read(void *context, const struct dpc_hash *hash, uint64_t offset, void *ret_bytes, size_t len)
{
    int code = offset == 0 ? verify_once(context, hash) : DPC_OK;
    return code == DPC_OK ? dpc_store_blob_read(store_of(context), hash, offset, ret_bytes, len)
                          : code;
}

static uint64_t
blob_partial(void *context, const struct dpc_hash *hash)
{
    return dpc_store_blob_partial(store_of(context), hash);
}

/* The worker sends it again. */
static int
refuse_for_want_of_room(struct dpc_error *err)
{
    return dpc_error_set(err, DPC_EAGAIN, "the disk is full");
}

static int
blob_append(void *context, const struct dpc_hash *hash, uint64_t offset, const void *bytes,
            size_t len, struct dpc_error *err)
{
    if (!sim_has_room(context))
        return refuse_for_want_of_room(err);
    int code = dpc_store_blob_append(store_of(context), hash, offset, bytes, len, err);
    return sim_ran_out(context, code) ? refuse_for_want_of_room(err) : code;
}

static int
blob_finish(void *context, const struct dpc_hash *hash, struct dpc_error *err)
{
    int code = dpc_store_blob_finish(store_of(context), hash, err);
    return sim_ran_out(context, code) ? refuse_for_want_of_room(err) : code;
}

static bool
counts_still(const struct sim *sim, const struct dpc_msg_lease *lease)
{
    const struct dpc_core *core = sim->coordinator.core;
    struct dpc_lease_view view;
    for (uint32_t i = 0; lease && i < dpc_core_leases_count(core); i++) {
        dpc_core_lease_at(core, i, 0, &view);
        if (view.serial == lease->token.serial)
            return true;
    }
    return false;
}

static bool
is_change(const struct dpc_msg_lease *lease, const struct dpc_hash *hash)
{
    bool found = false;
    for (uint32_t i = 0; lease && i < lease->levels_count; i++)
        found |= dpc_hash_equal(&lease->changes[i].hash, hash);
    return found;
}

static bool
leads_to_newest(const struct sim *sim, const struct dpc_msg_lease *lease,
                const struct dpc_hash *change)
{
    bool found = false;
    for (uint32_t i = 0; i < lease->levels_count; i++)
        found |= dpc_hash_equal(&dpc_core_module(sim->coordinator.core, lease->modules[i])->change,
                                change);
    return found;
}

/* A disk of ours that could not keep a write is the coordinator's end, as in its server. What a
 * lease names may be swept once the lease is gone, of which its worker has not heard yet; and a
 * difference before that, with the version that it leads to. */
static void
judge(const struct sim_wire *wire, const struct dpc_msg *request, int code,
      const struct dpc_error *err)
{
    struct sim *sim = wire->sim;
    const struct dpc_msg_lease *lease = dpc_session_lease(wire->worker->session);
    if (code == DPC_ENOSPACE || code == DPC_EIO)
        sim_coordinator_broke(sim, code, err->text);
    if (request->type != DPC_MSG_FETCH || code != DPC_ENOTFOUND)
        return;
    bool change = is_change(lease, &request->fetch.hash);
    wire->worker->change_gone |= change;
    if (counts_still(sim, lease) && (!change || leads_to_newest(sim, lease, &request->fetch.hash)))
        sim_fail(sim, "a lease names a blob that the coordinator does not have");
}

static int
wire_send(void *context, const struct dpc_msg *request)
{
    struct sim_wire *wire = context;
    struct sim_coordinator *coordinator = &wire->sim->coordinator;
    struct dpc_serve_blobs blobs = {
        .size = blob_size,
        .read = blob_read,
        .partial = blob_partial,
        .append = blob_append,
        .finish = blob_finish,
        .context = wire->sim,
        .total_max = BODY_BYTES_MAX,
    };
    if (wire->count == REPLIES_MAX || !coordinator->core || coordinator->broken)
        return DPC_EAGAIN;
    struct sim_answer *answer = &wire->answers[wire->count++];
    int code = dpc_serve_bulk(&blobs, request, answer->body, &answer->msg, &answer->err);
    judge(wire, request, code, &answer->err);
    return DPC_OK;
}

static uint64_t
wire_epoch(void *context)
{
    return ((struct sim_wire *)context)->worker->life;
}

/* --- The worker's half. */

void
sim_transfer_open(struct sim *sim, struct sim_worker *worker)
{
    struct dpc_transfer_files files = dpc_cache_files(worker->cache);
    worker->wire = dpc_alloc(1, sizeof *worker->wire);
    worker->wire->sim = sim;
    worker->wire->worker = worker;
    struct dpc_transfer_wire wire = {wire_send, wire_epoch, worker->wire, false};
    worker->transfer_ends = dpc_transfer_create_on(&wire, &files);
}

void
sim_transfer_close(struct sim_worker *worker)
{
    worker->transfer_ends = dpc_transfer_destroy(worker->transfer_ends);
    worker->wire = dpc_free(worker->wire);
}

/* An upload may be lost on the coordinator's side behind the last answer. */
static bool
vanishes(struct sim *sim)
{
    return !sim_healed(sim) && sim_chance(sim, sim->plan.blob_loss);
}

static int
queue_blobs(struct sim *sim, struct sim_worker *worker, bool uploads, struct dpc_error *err)
{
    const struct dpc_session_blobs *blobs = uploads ? &worker->up.blobs : &worker->down.blobs;
    int code = DPC_OK;
    for (uint32_t i = 0; i < blobs->count && code == DPC_OK; i++) {
        if (!uploads)
            code = dpc_transfer_fetch(worker->transfer_ends, &blobs->refs[i], err);
        else if (!vanishes(sim))
            code = dpc_transfer_put(worker->transfer_ends, &blobs->refs[i], err);
    }
    return code;
}

int
sim_transfer(struct sim *sim, struct sim_worker *worker, bool uploads, struct dpc_error *err)
{
    struct sim_wire *wire = worker->wire;
    struct dpc_transfer *transfer = worker->transfer_ends;
    uint64_t fetched = dpc_transfer_bytes_fetched(transfer);
    int code = queue_blobs(sim, worker, uploads, err);
    while (code == DPC_OK && !dpc_transfer_idle(transfer)) {
        wire->count = 0;
        code = dpc_transfer_pump(transfer, sim->now_ms, err);
        if (code != DPC_OK || sim->coordinator.broken || wire->count == 0)
            break;
        for (uint32_t i = 0; i < wire->count && code == DPC_OK; i++)
            code = dpc_transfer_handle(transfer, &wire->answers[i].msg, sim->now_ms, err);
    }
    if (code == DPC_OK && dpc_transfer_idle(transfer) && !uploads &&
        dpc_transfer_bytes_fetched(transfer) == fetched)
        sim_mark(sim, SIM_MARK_CACHE_SUFFICED);
    if (code == DPC_OK && !dpc_transfer_idle(transfer))
        code = DPC_EAGAIN;
    dpc_transfer_cancel(transfer);
    return code;
}
