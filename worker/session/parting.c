/* SPDX-License-Identifier: Apache-2.0
 * Half of the time left is for what nobody can foresee: a link that is slower than last time, an
 * answer that is lost and asked for again. */
#include "worker/session/parting.h"

#include "base/limits.h"

static bool
fits(const struct dpc_parting_facts *facts, uint64_t bytes)
{
    double bytes_per_s = facts->up_bytes_per_s > 0 ? facts->up_bytes_per_s : DPC_SLOW_LINK_BYTES_S;
    double needed_ms = (double)facts->step_ms + 1000.0 * (double)bytes / bytes_per_s;
    return needed_ms <= (double)facts->left_ms / 2;
}

enum dpc_parting
dpc_parting_choose(const struct dpc_parting_facts *facts)
{
    if (!facts->parts_allowed || facts->steps_done == 0 || facts->step_ms == 0)
        return DPC_PARTING_NOTHING;
    if (fits(facts, facts->deltas_bytes + facts->state_bytes))
        return DPC_PARTING_ALL;
    return fits(facts, facts->deltas_bytes) ? DPC_PARTING_DELTAS : DPC_PARTING_NOTHING;
}
