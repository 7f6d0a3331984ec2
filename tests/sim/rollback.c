/* SPDX-License-Identifier: Apache-2.0
 * An operator who wants older versions back: of one module, or of all at once. Asks as the server
 * does, which looks whether the blobs are still there before the core hears of it. */
#include "tests/sim/sim.h"

/* Of a tick. */
static const double rollback_chance = 0.3;

static bool
is_there(struct sim *sim, const struct dpc_version_record *version)
{
    return sim_has_blob(sim, &version->master) && sim_has_blob(sim, &version->published) &&
           (dpc_hash_is_none(&version->momentum) || sim_has_blob(sim, &version->momentum));
}

static void
add_version(struct sim *sim, uint32_t module, uint32_t version, struct dpc_version_record *versions,
            uint32_t *count)
{
    struct dpc_error err;
    struct dpc_version_record *record = &versions[*count];
    if (dpc_load_version(sim->coordinator.kv, module, version, record, &err) != DPC_OK)
        sim_fail(sim, "version %u of module %u could not be read: %s", version, module, err.text);
    else if (is_there(sim, record))
        ++*count;
}

bool
sim_draw_rollback(struct sim *sim, struct dpc_version_record ret_versions[SIM_MODULES_MAX],
                  uint32_t *ret_count)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_error err;
    if (coordinator->rollbacks == sim->plan.rollbacks ||
        dpc_core_check_rollback(coordinator->core, &err) != DPC_OK ||
        !sim_chance(sim, rollback_chance) || !sim_has_room(sim))
        return false;
    uint32_t modules = dpc_core_topology(coordinator->core)->modules_count;
    uint32_t only = (uint32_t)dpc_rng_below(&sim->rng, modules);
    bool all = sim_chance(sim, 0.2);
    *ret_count = 0;
    for (uint32_t i = all ? 0 : only; i < (all ? modules : only + 1); i++) {
        uint32_t newest = dpc_core_module(coordinator->core, i)->version;
        uint32_t back = (uint32_t)dpc_rng_below(&sim->rng, 3);
        add_version(sim, i, newest > back ? newest - back : 0, ret_versions, ret_count);
    }
    sim_note(sim, "the operator wants older versions modules=%u first=%u", *ret_count,
             *ret_count ? ret_versions[0].module : 0);
    return *ret_count > 0;
}
