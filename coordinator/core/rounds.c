/* SPDX-License-Identifier: Apache-2.0
 * Rounds of modules: when a path has all versions that it needs, when all planned paths through a
 * module have delivered, what its outer step takes, and how its result commits with the ledger. */
#include "coordinator/core/state.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/planted.h"

enum dpc_lack
core_lack_of(const struct dpc_core *core, uint32_t path, uint32_t module_id)
{
    const struct core_module *module = &core->modules[module_id];
    uint32_t round = core->paths[path].record.rounds_done;
    uint32_t begins = dpc_module_round(&module->record);
    if (!module->exists)
        return DPC_LACK_VERSION;
    if (module->folding)
        return DPC_LACK_FOLD;
    if (begins == round || (DPC_PLANTED(DPC_PLANTED_READY_EARLY) && begins + 1 == round))
        return DPC_LACK_NONE;
    return begins < round ? DPC_LACK_ROUND : DPC_LACK_PATH;
}

bool
core_round_is_ready(const struct dpc_core *core, uint32_t path)
{
    uint32_t length = dpc_topology_path_length(&core->topology, path);
    for (uint32_t i = 0; i < length; i++) {
        if (core_lack_of(core, path, dpc_topology_path_module(&core->topology, path, i)))
            return false;
    }
    return true;
}

/* What a step of the path reads: windows of short documents are not full. */
static double
window_tokens(const struct dpc_core *core, uint32_t path)
{
    double tokens = core->paths[path].record.window_tokens;
    return tokens > 0 ? tokens : core->experiment->model.context;
}

static double
raw_weight(const struct dpc_core *core, const struct core_delta *delta)
{
    double share = (double)delta->steps / dpc_core_round_steps(core, delta->path, delta->round);
    switch (core->experiment->outer.weight) {
    case DPC_WEIGHT_SHARD:
        return share * (double)core->paths[delta->path].record.shard_documents;
    case DPC_WEIGHT_TOKENS:
        return (double)delta->steps * window_tokens(core, delta->path);
    case DPC_WEIGHT_UNIFORM:
        break;
    }
    return share;
}

enum dpc_module_standing
core_judge_module(const struct dpc_core *core, uint32_t module_id)
{
    const struct core_module *module = &core->modules[module_id];
    uint32_t paths = dpc_topology_paths_through(&core->topology, module_id);
    if (!module->exists)
        return DPC_MODULE_ABSENT;
    if (module->folding)
        return DPC_MODULE_FOLDING;
    if (dpc_module_round(&module->record) >= core_module_rounds(core, module_id))
        return DPC_MODULE_DONE;
    if (core->experiment->mode == DPC_MODE_ELASTIC)
        return core_judge_closing(core, module_id);
    return module->delivered == paths ? DPC_MODULE_CLOSES : DPC_MODULE_WAITS;
}

void
core_count_delivered(struct dpc_core *core, uint32_t module_id)
{
    struct core_module *module = &core->modules[module_id];
    uint32_t count = dpc_topology_paths_through(&core->topology, module_id);
    module->delivered = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t path = dpc_topology_path_through(&core->topology, module_id, i);
        module->delivered +=
            core->paths[path].record.rounds_done > dpc_module_round(&module->record);
    }
}

void
dpc_fold_set_rates(struct dpc_fold *fold, const struct dpc_experiment *experiment, bool dense)
{
    /* The dense path and its replicas go on from their mean; alone, from where it stands. */
    fold->lr = dense ? 1.0 : experiment->outer.lr;
    fold->mu = dense ? 0.0 : experiment->outer.momentum;
    fold->rda = !dense && experiment->outer.rescale == DPC_RESCALE_RDA;
    fold->download = dense ? DPC_CODEC_FP32 : experiment->transfer.download;
}

/* Sqrt rescaling uses the effective number of contributions (sum w)^2 / sum w^2. */
void
dpc_fold_normalise(struct dpc_fold *fold, enum dpc_outer_rescale rescale)
{
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < fold->inputs_count; i++)
        sum += fold->inputs[i].weight;
    for (uint32_t i = 0; i < fold->inputs_count; i++) {
        fold->inputs[i].weight /= sum;
        squares += fold->inputs[i].weight * fold->inputs[i].weight;
    }
    fold->rescale = rescale == DPC_RESCALE_SQRT ? sqrt(1.0 / squares) : 1.0;
}

/* A planted bug, see planted.h. */
static inline void
sort_by_arrival(struct dpc_fold *fold)
{
    for (uint32_t i = 1; i < fold->inputs_count; i++) {
        for (uint32_t k = i; k > 0 && fold->inputs[k].lease < fold->inputs[k - 1].lease; k--) {
            struct dpc_fold_input kept = fold->inputs[k];
            fold->inputs[k] = fold->inputs[k - 1];
            fold->inputs[k - 1] = kept;
        }
    }
}

bool
core_is_merged(const struct dpc_core *core, const struct core_delta *delta, uint32_t module)
{
    bool discarded = delta->serial < core->modules[module].record.serial_first;
    return (!discarded || DPC_PLANTED(DPC_PLANTED_DISCARDED_MERGED)) &&
           (!core_is_void(core, delta->serial, module) || DPC_PLANTED(DPC_PLANTED_VOID_MERGED));
}

static void
add_input(const struct dpc_core *core, const struct core_delta *delta, uint32_t late,
          struct dpc_fold *fold)
{
    struct dpc_fold_input *input = &fold->inputs[fold->inputs_count];
    if (!core_is_merged(core, delta, fold->module))
        return;
    *input = (struct dpc_fold_input){
        .path = delta->path,
        .delta = delta->hash,
        .weight = raw_weight(core, delta) * (late ? core->experiment->outer.late_discount : 1),
        .scale = 1,
        .steps = delta->steps,
        .late = late,
        .lease = delta->serial,
    };
    memcpy(input->worker, delta->worker, sizeof input->worker);
    fold->inputs_count++;
}

/* In path order, what came late first, without what was learned from a version that a rollback
 * discarded, and what was revoked. */
static void
list_inputs(const struct dpc_core *core, struct dpc_fold *fold)
{
    const struct core_module *module = &core->modules[fold->module];
    uint32_t round = dpc_module_round(&module->record);
    uint32_t level = dpc_topology_module_level(&core->topology, fold->module);
    uint32_t count = dpc_topology_paths_through(&core->topology, fold->module);
    fold->inputs = dpc_alloc(count + module->late_count, sizeof *fold->inputs);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t path = dpc_topology_path_through(&core->topology, fold->module, i);
        const struct core_delta *late = core_find_late(module, path);
        const struct core_delta *delta = &core->paths[path].deltas[level];
        if (late)
            add_input(core, late, 1, fold);
        if (delta->serial && delta->round == round)
            add_input(core, delta, 0, fold);
    }
}

/* What the module's next outer step takes. It follows from the tables alone and stays the same
 * until the step commits: nothing about a delivered round changes before its modules close. */
static void
describe_fold(const struct dpc_core *core, uint32_t module_id, struct dpc_fold *fold)
{
    const struct core_module *module = &core->modules[module_id];
    uint32_t level = dpc_topology_module_level(&core->topology, module_id);
    bool dense = dpc_topology_module_is_dense(&core->topology, module_id);
    *fold = (struct dpc_fold){
        .module = module_id,
        .version = module->record.version + 1,
        .count = dpc_layout_module_floats(core->experiment, level),
        .master = module->record.master,
        .published = module->record.published,
        .momentum = module->record.momentum,
    };
    list_inputs(core, fold);
    if (DPC_PLANTED(DPC_PLANTED_ARRIVAL_ORDER))
        sort_by_arrival(fold);
    enum dpc_outer_rescale rescale = dense ? DPC_RESCALE_NONE : core->experiment->outer.rescale;
    fold->rescale = rescale == DPC_RESCALE_SQRT ? 0.0 : 1.0;
    if (fold->inputs_count)
        dpc_fold_normalise(fold, rescale);
    dpc_fold_set_rates(fold, core->experiment, dense);
    fold->gated = core->experiment->trust == DPC_TRUST_OPEN;
}

static void
put_ledger(struct dpc_core *core, const struct dpc_folded *folded, struct dpc_actions *actions)
{
    struct dpc_fold fold;
    describe_fold(core, folded->module, &fold);
    struct dpc_ledger_record record = {
        .module = folded->module,
        .version = folded->version,
        .rescale = fold.rda ? folded->rescale : fold.rescale,
        .master = folded->master,
        .momentum = folded->momentum,
        .entries_count = fold.inputs_count,
        .entries = dpc_alloc(fold.inputs_count + 1, sizeof *record.entries), /* never none */
    };
    for (uint32_t i = 0; i < fold.inputs_count; i++) {
        const struct dpc_fold_input *input = &fold.inputs[i];
        record.entries[i] = (struct dpc_ledger_entry){
            .path = input->path,
            .lease = input->lease,
            .delta = input->delta,
            .weight = input->weight,
            .steps = input->steps,
            .late = input->late,
            .scale = input->scale * core_judged_scale(folded, i),
        };
        memcpy(record.entries[i].worker, input->worker, DPC_WORKER_KEY_BYTES);
    }
    core_note_judged(core, &fold, folded, actions);
    core_put_ledger(core, &record, actions);
    dpc_free(record.entries);
    dpc_free(fold.inputs);
}

/* A new version may make paths ready. */
static void
refresh_paths_through(struct dpc_core *core, uint32_t module)
{
    uint32_t count = dpc_topology_paths_through(&core->topology, module);
    for (uint32_t i = 0; i < count && !DPC_PLANTED(DPC_PLANTED_VERSION_NOT_PLACED); i++) {
        uint32_t path = dpc_topology_path_through(&core->topology, module, i);
        core_refresh_path(core, path);
        core_refresh_rating(core, path);
    }
}

void
core_append_version(struct dpc_core *core, struct dpc_version_record *version,
                    const struct dpc_hash *change, struct dpc_actions *actions)
{
    struct core_module *module = &core->modules[version->module];
    if (!dpc_hash_equal(&version->published, &module->record.published)) {
        module->record.change = *change;
        module->record.changed =
            dpc_hash_is_none(change) ? dpc_hash_none : module->record.published;
    }
    module->folding = false;
    version->ledger = core->phase.ledger_next - 1;
    version->rollbacks = module->record.rollbacks;
    module->record.version = version->version;
    module->record.master = version->master;
    module->record.published = version->published;
    module->record.momentum = version->momentum;
    dpc_put_version(&actions->batch, version);
    dpc_put_module(&actions->batch, &module->record);
    core_note_past(core, version);
    core_count_delivered(core, version->module);
    refresh_paths_through(core, version->module);
    core_put_phase(core, actions);
}

static void
close_round(struct dpc_core *core, const struct dpc_folded *folded, struct dpc_actions *actions)
{
    put_ledger(core, folded, actions);
    struct dpc_version_record version = {
        .module = folded->module,
        .version = folded->version,
        .cause = DPC_CAUSE_OUTER_STEP,
        .parent = core->modules[folded->module].record.version,
        .master = folded->master,
        .published = folded->published,
        .momentum = folded->momentum,
    };
    core_append_version(core, &version, &folded->change, actions);
    if (dpc_topology_module_is_dense(&core->topology, folded->module) &&
        folded->version == core->warm_rounds)
        core->warm[dpc_topology_module_level(&core->topology, folded->module)] = version;
    core_catch_up(core, folded->module, actions);
}

/* No path through the module trains in the round, or all had delivered when a rollback discarded
 * what they learned: the round ends with the bytes and the momentum that it began with. */
static void
close_unchanged(struct dpc_core *core, const struct dpc_fold *fold, struct dpc_actions *actions)
{
    struct dpc_folded folded = {
        .module = fold->module,
        .version = fold->version,
        .master = fold->master,
        .published = fold->published,
        .momentum = fold->momentum,
    };
    close_round(core, &folded, actions);
    dpc_free(fold->inputs);
}

static void
end_round(struct dpc_core *core, uint32_t module, struct dpc_actions *actions)
{
    struct dpc_fold fold;
    describe_fold(core, module, &fold);
    if (fold.inputs_count == 0) {
        close_unchanged(core, &fold, actions);
        return;
    }
    core_add_effect(actions, DPC_EFFECT_FOLD)->fold = fold;
    core->modules[module].folding = true;
    refresh_paths_through(core, module); /* what is still on its way now comes late */
}

void
core_fold_what_is_complete(struct dpc_core *core, struct dpc_actions *actions)
{
    for (uint32_t i = 0; i < core->topology.modules_count; i++) {
        while (core_judge_module(core, i) == DPC_MODULE_CLOSES)
            end_round(core, i, actions);
    }
}

bool
dpc_core_wants(const struct dpc_core *core, const struct dpc_fold *fold)
{
    const struct core_module *module = &core->modules[fold->module];
    return module->folding && fold->version == module->record.version + 1;
}

void
core_on_folded(struct dpc_core *core, const struct dpc_folded *folded, struct dpc_actions *actions)
{
    struct core_module *module = &core->modules[folded->module];
    /* An answer to a question that a restart asked again, or asked before it, or that a rollback
     * has made idle. */
    if (!module->folding || folded->version != module->record.version + 1)
        return;
    close_round(core, folded, actions);
    core_fold_what_is_complete(core, actions);
    core_advance(core, actions);
}
