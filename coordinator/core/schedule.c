/* SPDX-License-Identifier: Apache-2.0
 * Which rounds a path trains in, how many it owes, and where their steps stand in the schedule: of
 * the experiment, and of nothing that happens but discriminative phases and rounds done. */
#include "coordinator/core/state.h"

#include "base/rng.h"

bool
core_is_dense(const struct dpc_core *core, uint32_t path)
{
    return dpc_topology_path_is_dense(&core->topology, path);
}

bool
core_is_replica(const struct dpc_core *core, uint32_t path)
{
    return path > dpc_topology_dense_path(&core->topology);
}

uint32_t
dpc_core_warm_rounds(const struct dpc_core *core)
{
    return core->warm_rounds;
}

uint32_t
dpc_core_path_rounds(const struct dpc_core *core, uint32_t path)
{
    uint32_t rounds = core->experiment->outer.rounds;
    if (!core_is_dense(core, path))
        return rounds;
    return core->warm_rounds + (core->experiment->baseline.dense ? rounds : 0);
}

uint32_t
dpc_core_path_owes(const struct dpc_core *core, uint32_t path)
{
    return core_is_replica(core, path) ? core->warm_rounds : dpc_core_path_rounds(core, path);
}

uint32_t
dpc_core_path_made(const struct dpc_core *core, uint32_t path)
{
    uint32_t owes = dpc_core_path_owes(core, path), done = core->paths[path].record.rounds_done;
    return done < owes ? done : owes;
}

uint32_t
dpc_core_rounds_open(const struct dpc_core *core, uint32_t path)
{
    uint32_t over = core->phase.routing_phases;
    if (core_is_dense(core, path) || over >= core->experiment->routing.phases)
        return dpc_core_path_rounds(core, path);
    return (over + 1) * dpc_experiment_phase_rounds(core->experiment);
}

bool
dpc_experiment_plans(const struct dpc_experiment *experiment, uint32_t path, uint32_t round)
{
    struct dpc_rng rng;
    if (experiment->outer.sample >= 1)
        return true;
    dpc_rng_init(&rng, experiment->seed, DPC_RNG_SAMPLE, path, round, 0);
    return dpc_rng_unit(&rng) < experiment->outer.sample;
}

bool
dpc_core_plans(const struct dpc_core *core, uint32_t path, uint32_t round)
{
    if (core_is_replica(core, path))
        return round < core->warm_rounds;
    return core_is_dense(core, path) || dpc_experiment_plans(core->experiment, path, round);
}

uint32_t
core_next_round(const struct dpc_core *core, uint32_t path, uint32_t round)
{
    uint32_t rounds = dpc_core_path_rounds(core, path);
    while (round < rounds && !dpc_core_plans(core, path, round))
        round++;
    return round;
}

uint32_t
core_module_rounds(const struct dpc_core *core, uint32_t module)
{
    return dpc_core_path_rounds(core, dpc_topology_path_through(&core->topology, module, 0));
}

uint32_t
dpc_core_round_steps(const struct dpc_core *core, uint32_t path, uint32_t round)
{
    uint32_t steps = core->experiment->inner.steps;
    bool last_of_warm_start = core_is_dense(core, path) && round + 1 == core->warm_rounds;
    return last_of_warm_start ? core->experiment->warm_start.steps - round * steps : steps;
}

uint64_t
dpc_core_round_place(const struct dpc_core *core, uint32_t path, uint32_t round)
{
    uint32_t steps = core->experiment->inner.steps, warm_steps = core->experiment->warm_start.steps;
    if (!core_is_dense(core, path))
        return warm_steps + (uint64_t)round * steps;
    if (round < core->warm_rounds)
        return (uint64_t)round * steps;
    return warm_steps + (uint64_t)(round - core->warm_rounds) * steps;
}

uint64_t
core_tokens_of(const struct dpc_core *core, uint32_t steps)
{
    return (uint64_t)steps * core->experiment->inner.batch * core->experiment->model.context;
}
