/* SPDX-License-Identifier: Apache-2.0
 * Early stopping as it stood at the cut. Candidates are counted in the order of their rounds, so
 * those of a path up to the cut are a beginning of its list, and which of them is best follows from
 * them. Where its versions are not kept, or losses of before and after do not compare, the choice
 * begins anew at the cut, as after a rollback that takes the best away. */
#include "coordinator/fork/fork_parts.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

struct seen {
    struct fork_cut *cut;
    bool any; /* record of documents */
};

static bool
note_best(void *context, const struct dpc_best_record *best)
{
    struct seen *seen = context;
    if (best->path < seen->cut->topology.paths_count) {
        seen->cut->bests[best->path] = *best;
        seen->cut->has_best[best->path] = true;
        seen->any |= best->documents_count > 0;
    }
    return true;
}

/* What a path's candidates up to the cut come to. */
struct candidates {
    bool ended;
    uint32_t count; /* of all */
    bool found;     /* one that competes */
    uint32_t last;  /* round of the newest that competes */
    uint32_t round; /* of the best */
    double loss;
};

/* Those of all paths: one scan serves as many as there are. */
struct all_candidates {
    const struct fork_cut *cut;
    struct candidates *paths; /* [paths_count] */
};

static bool
note_candidate(void *context, const struct dpc_candidate_record *candidate)
{
    const struct all_candidates *all = context;
    const struct fork_cut *cut = all->cut;
    if (candidate->path >= cut->topology.paths_count)
        return true;
    const struct dpc_best_record *best = &cut->bests[candidate->path];
    struct candidates *seen = &all->paths[candidate->path];
    seen->ended |= candidate->round > fork_cut_path_round(cut, candidate->path);
    if (seen->ended)
        return true;
    seen->count = candidate->number + 1;
    if (candidate->number < best->first)
        return true;
    double loss = candidate->targets ? candidate->nats / (double)candidate->targets : HUGE_VAL;
    if (!seen->found || loss < seen->loss) {
        seen->round = candidate->round;
        seen->loss = loss;
    }
    seen->found = true;
    seen->last = candidate->round;
    return true;
}

/* The versions of the path's modules that began the round. Behind a rollback they have other
 * numbers, which the source's own best alone tells. */
static bool
find_versions(const struct fork_cut *cut, uint32_t path, uint32_t round,
              uint32_t ret_versions[static DPC_LEVELS_MAX])
{
    uint32_t length = dpc_topology_path_length(&cut->topology, path);
    for (uint32_t i = 0; i < length; i++) {
        struct dpc_version_record version;
        uint32_t module = dpc_topology_path_module(&cut->topology, path, i);
        if (cut->versions[module].rollbacks > 0 ||
            dpc_load_version(cut->source->kv, module, round, &version, NULL) != DPC_OK ||
            !fork_cut_has(cut, &version.published))
            return false;
        ret_versions[i] = round;
    }
    return true;
}

static void
begin_anew(struct fork_cut *cut, struct dpc_best_record *best)
{
    best->found = 0;
    best->first = best->candidates_count;
    best->round = 0;
    best->loss = 0;
    memset(best->versions, 0, sizeof best->versions);
    best->next_round = fork_cut_path_round(cut, best->path);
}

/* The same experiment measures on: the source's best where that is one of these, else theirs. */
static bool
take_best(const struct fork_cut *cut, const struct candidates *seen, struct dpc_best_record *best)
{
    if (!seen->found)
        return true;
    bool same = best->found && best->round == seen->round && best->loss == seen->loss;
    if (!same && !find_versions(cut, best->path, seen->round, best->versions))
        return false;
    best->found = 1;
    best->round = seen->round;
    best->loss = seen->loss;
    return true;
}

static void
find_best(struct fork_cut *cut, const struct candidates *seen, struct dpc_best_record *best)
{
    uint32_t round = fork_cut_path_round(cut, best->path);
    bool same_measure = cut->old->evaluation.windows == cut->experiment->evaluation.windows;
    uint32_t next = seen->found ? seen->last + 1 : best->next_round;
    /* It may have been measured behind a rollback in the round with which the warm start ended, of
     * which a fork of that takes nothing. */
    bool same_versions = !cut->warm || !cut->rolled_back;
    /* It began later than here. */
    bool begins_later = best->first > seen->count || (!seen->found && next > round);
    /* Older rounds that were never measured are kept as long as the source had them before it. */
    bool goes_on = same_measure && same_versions && !begins_later &&
                   (next >= round || next == best->next_round) && take_best(cut, seen, best);
    best->candidates_count = seen->count;
    best->read = 0;
    best->targets = 0;
    best->nats = 0;
    best->next_round = next < round + 1 ? next : round + 1;
    if (!seen->found)
        best->found = 0;
    if (!goes_on) {
        begin_anew(cut, best);
        cut->forked.restarts++;
    }
}

/* Nobody has measured anything so far. */
static void
begin_first(struct fork_cut *cut, struct dpc_best_record *best)
{
    *best = (struct dpc_best_record){.path = best->path,
                                     .documents = best->documents,
                                     .documents_bytes = best->documents_bytes,
                                     .documents_count = best->documents_count};
    begin_anew(cut, best);
}

/* `paths` [paths_count], zeroed. */
static int
load_candidates(const struct fork_cut *cut, struct candidates *paths, struct dpc_error *err)
{
    struct all_candidates all = {.cut = cut, .paths = paths};
    return dpc_scan_candidates(cut->source->kv, note_candidate, &all, err);
}

/* `seen` NULL: nothing was measured that goes on. */
static void
take_path(struct fork_cut *cut, uint32_t path, const struct candidates *seen)
{
    struct dpc_best_record *best = &cut->bests[path];
    if (!fork_cut_takes_path(cut, path)) {
        cut->has_best[path] = false;
        best->candidates_count = 0;
    }
    if (!cut->has_best[path])
        return;
    if (cut->experiment->early_stopping && fork_cut_is_dense(cut, path) &&
        !cut->experiment->baseline.dense)
        best->documents_count = 0;
    if (seen)
        find_best(cut, seen, best);
    else
        begin_first(cut, best);
}

int
fork_find_bests(struct fork_cut *cut, struct dpc_error *err)
{
    struct seen seen = {.cut = cut};
    bool measured = cut->old->early_stopping, measures = cut->experiment->early_stopping;
    int code = dpc_scan_bests(cut->source->kv, note_best, &seen, err);
    if (code == DPC_OK && measures && !seen.any && !cut->warm)
        code = dpc_error_set(err, DPC_EPERM,
                             "early_stopping needs early-stop documents of each path, and the "
                             "source has none: it was begun with data.early_stop: 0, or by an "
                             "earlier release");
    if (code != DPC_OK)
        return code;
    struct candidates *paths = dpc_alloc(cut->topology.paths_count, sizeof *paths);
    if (measured && measures)
        code = load_candidates(cut, paths, err);
    for (uint32_t i = 0; code == DPC_OK && i < cut->topology.paths_count; i++)
        take_path(cut, i, measured && measures ? &paths[i] : NULL);
    dpc_free(paths);
    return code;
}
