/* SPDX-License-Identifier: Apache-2.0
 * Whoever asks why is told what the core does: before a worker asks, what it is going to be told,
 * and afterwards the same. */
#include <string.h>

#include "tests/sim/sim.h"

/* Nobody but the worker has moved anything meanwhile; but that it asks makes it one more who may
 * try a task that failed elsewhere. */
static void
check_foreseen(struct sim *sim, const struct dpc_why_worker *before)
{
    const struct dpc_msg *reply = &sim->coordinator.actions.reply;
    bool leased = before->ask == DPC_ASK_LEASE || before->ask == DPC_ASK_AGAIN;
    const char *told = reply->type == DPC_MSG_WAIT    ? reply->wait.reason
                       : reply->type == DPC_MSG_ERROR ? reply->error.text
                                                      : "";
    if (leased != (reply->type == DPC_MSG_LEASE) || strcmp(told, before->text) != 0)
        sim_fail(sim, "why foretold %s (%s), and the worker was told %s (%s)",
                 dpc_ask_name(before->ask), before->text, dpc_msg_name(reply->type), told);
    if (before->ask == DPC_ASK_AGAIN && reply->type == DPC_MSG_LEASE &&
        reply->lease.token.serial != before->lease)
        sim_fail(sim, "why foretold lease %llu, and it is %llu", (unsigned long long)before->lease,
                 (unsigned long long)reply->lease.token.serial);
}

void
sim_check_why(struct sim *sim, const struct dpc_event *event, int64_t now_ms,
              const struct dpc_why_worker *before)
{
    const struct dpc_msg *reply = &sim->coordinator.actions.reply;
    struct dpc_why_worker after;
    dpc_core_why_worker(sim->coordinator.core, event->worker, now_ms, &after);
    /* That it is done with its lease is only known once it asks. */
    bool passes = before->lease && before->lease == event->ask.handing_in.serial;
    if (!passes && (before->connected || before->tasks.failing == 0))
        check_foreseen(sim, before);
    if (reply->type == DPC_MSG_LEASE &&
        (after.ask != DPC_ASK_AGAIN || after.lease != reply->lease.token.serial))
        sim_fail(sim, "lease %llu was granted, and why says %s",
                 (unsigned long long)reply->lease.token.serial, dpc_ask_name(after.ask));
    if (reply->type != DPC_MSG_WAIT)
        return;
    if (strcmp(after.text, reply->wait.reason) != 0 || after.retry_ms != reply->wait.retry_ms)
        sim_fail(sim, "a worker waits since \"%s\", and why says \"%s\"", reply->wait.reason,
                 after.text);
    if (after.ask == DPC_ASK_PAUSED)
        sim_mark(sim, SIM_MARK_WHY_PAUSED);
    if (after.ask == DPC_ASK_DRAINED)
        sim_mark(sim, SIM_MARK_DRAINED_WAITS);
    if (after.ask == DPC_ASK_TOO_LARGE)
        sim_mark(sim, SIM_MARK_WHY_TOO_LARGE);
}
