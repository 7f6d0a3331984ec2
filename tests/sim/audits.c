/* SPDX-License-Identifier: Apache-2.0
 * Accepted tasks that are given out again. An audit's lease names what the accepted one named;
 * other bits than were computed are noticed, and nobody else is barred for them. */
#include <string.h>

#include "tests/sim/sim.h"

static struct sim_grant *
grant_of(const struct sim *sim, uint64_t serial)
{
    return serial < sim->memory->grants_count ? &sim->memory->grants[serial] : NULL;
}

bool
sim_is_audit(const struct sim *sim, const struct dpc_msg_submit *submit)
{
    const struct sim_grant *grant = grant_of(sim, submit->token.serial);
    return grant && grant->left && grant->audit;
}

static bool
same_ref(const struct dpc_blob_ref *a, const struct dpc_blob_ref *b)
{
    return a->bytes == b->bytes && dpc_hash_equal(&a->hash, &b->hash);
}

void
sim_check_audit_lease(struct sim *sim, const struct dpc_msg_lease *lease)
{
    const struct sim_round *round = &sim->memory->rounds[lease->path][lease->round];
    const struct sim_grant *accepted = grant_of(sim, round->serial);
    if (!sim->plan.audits || !accepted || !accepted->left) {
        sim_fail(sim, "round %u of path %u is leased again", lease->round, lease->path);
        return;
    }
    bool same = same_ref(&lease->data, &accepted->lease.data) &&
                same_ref(&lease->state, &accepted->lease.state) &&
                lease->step_first == accepted->lease.step_first &&
                lease->steps_count == accepted->lease.steps_count;
    for (uint32_t level = 0; same && level < lease->levels_count; level++)
        same = same_ref(&lease->versions[level], &accepted->lease.versions[level]) &&
               lease->modules[level] == accepted->lease.modules[level];
    if (!same)
        sim_fail(sim, "the audit of round %u of path %u is not of what was accepted", lease->round,
                 lease->path);
    sim_mark(sim, SIM_MARK_AUDIT_GRANTED);
}

/* The alarm ends with the name of the one who is barred. */
static void
check_barred(struct sim *sim, const char *alarm)
{
    if (!strstr(alarm, "is barred"))
        return;
    sim_mark(sim, SIM_MARK_AUDIT_BARRED);
    const char *name = strrchr(alarm, ' ') + 1;
    for (uint32_t i = 0; i < sim->plan.workers; i++) {
        if (strcmp(sim->workers[i].name, name) == 0 && !sim->memory->lied[i])
            sim_fail(sim, "worker %s was barred for the bits of another", name);
    }
}

void
sim_check_audited(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_msg_submit *submit = event->submit.message;
    struct sim_grant *grant = grant_of(sim, submit->token.serial);
    struct sim_round *round = &sim->memory->rounds[submit->path][submit->round];
    const char *alarm = sim->coordinator.actions.alarm;
    bool lie = sim->coordinator.tampered && !grant->audited;
    if (lie) {
        round->disputed = true;
        sim->memory->lied[sim_worker_of(sim, event->worker)] = true;
    }
    if (lie && !alarm[0])
        sim_fail(sim, "other bits of round %u of path %u passed an audit", submit->round,
                 submit->path);
    if (alarm[0] && (grant->audited || !round->disputed))
        sim_fail(sim, "an audit of round %u of path %u raised an alarm", submit->round,
                 submit->path);
    sim_mark(sim, lie ? SIM_MARK_AUDIT_DIFFERED : SIM_MARK_AUDITED);
    check_barred(sim, alarm);
    grant->audited = true;
}
