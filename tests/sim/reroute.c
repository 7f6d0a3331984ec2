/* SPDX-License-Identifier: Apache-2.0
 * New routes at evaluation: what the router network learns stands for all traces, so that one that
 * was forgotten, or not waited for, shows in the lease. */
#include "base/alloc.h"
#include "tests/sim/sim.h"

struct traces {
    struct dpc_buf hashes;
    uint64_t documents;
    struct dpc_hash all; /* of the hashes */
};

static bool
add_trace(void *context, const struct dpc_result_record *record)
{
    struct traces *traces = context;
    if (record->kind != DPC_TASK_TRACE)
        return true;
    dpc_buf_put(&traces->hashes, record->result.bytes, DPC_HASH_BYTES);
    traces->documents += record->to - record->from;
    return true;
}

static void
gather(struct sim *sim, struct traces *traces)
{
    struct dpc_error err;
    *traces = (struct traces){.documents = 0};
    dpc_buf_init(&traces->hashes, 0);
    if (dpc_scan_results(sim->coordinator.kv, add_trace, traces, &err) != DPC_OK)
        sim_fail(sim, "results could not be read: %s", err.text);
    dpc_hash_of(traces->hashes.data, traces->hashes.len, &traces->all);
    dpc_buf_done(&traces->hashes);
}

void
sim_label(struct sim *sim, struct dpc_event *event)
{
    struct traces traces;
    gather(sim, &traces);
    event->type = DPC_EVENT_LABELLED;
    event->labelled =
        (struct dpc_blob_ref){sim_put_blob(sim, traces.all.bytes, DPC_HASH_BYTES), DPC_HASH_BYTES};
}

void
sim_check_reroute_lease(struct sim *sim, const struct dpc_msg_lease *lease)
{
    const struct dpc_phase_record *phase = dpc_core_phase(sim->coordinator.core);
    uint64_t owed = (uint64_t)(phase->traced_documents - phase->traced_train) *
                    dpc_core_topology(sim->coordinator.core)->routed_paths;
    struct traces traces;
    struct dpc_hash hash;
    gather(sim, &traces);
    dpc_hash_of(traces.all.bytes, DPC_HASH_BYTES, &hash);
    sim_mark(sim, SIM_MARK_REROUTED);
    if (traces.documents != owed)
        sim_fail(sim, "new routes are learned from %llu traces of documents, not %llu",
                 (unsigned long long)traces.documents, (unsigned long long)owed);
    if (!dpc_hash_equal(&hash, &lease->state.hash))
        sim_fail(sim, "new routes are learned from other traces than there are");
    if (lease->from != phase->traced_learned || lease->to != phase->traced_documents)
        sim_fail(sim, "new routes are found for documents %u to %u", lease->from, lease->to);
}
