/* SPDX-License-Identifier: Apache-2.0
 * Which task is next. A task that can be worked on waits, with its merit, or is watched: somebody
 * holds a lease on it, and until a known instant counts as being at work. Both are heaps, so that
 * an ask costs the same with four paths and with 65,536. Whatever changes a task's standing
 * (a submission, a version, a lease, a sign of life) calls for it to be placed again. */
#include "coordinator/core/state.h"

#include <string.h>

#include "base/alloc.h"

/* Paths of a worker that are looked at for one that it trained: enough for it to find one, few
 * enough for a worker that trained them all. */
enum { AFFINE_MAX = 64 };

/* --- Placing. */

static bool
phase_trains(const struct dpc_core *core, uint32_t path)
{
    uint32_t phase = core->phase.phase;
    if (core_is_dense(core, path))
        return (phase >= DPC_PHASE_WARM_START && phase <= DPC_PHASE_TRAIN) ||
               phase == DPC_PHASE_SCORE || phase == DPC_PHASE_FIT;
    return phase == DPC_PHASE_TRAIN;
}

enum dpc_path_standing
dpc_core_path_standing(const struct dpc_core *core, uint32_t path)
{
    uint32_t done = core->paths[path].record.rounds_done;
    if (done >= dpc_core_path_rounds(core, path))
        return DPC_PATH_DONE;
    if (done >= dpc_core_rounds_open(core, path) || !phase_trains(core, path))
        return DPC_PATH_PHASE;
    if (!core_round_is_ready(core, path))
        return DPC_PATH_WAITS;
    return core_fails_everywhere(core, CORE_TRAINING, path) ? DPC_PATH_FAILS : DPC_PATH_READY;
}

/* The first instant at which nobody counts as being at work on it: two heartbeats and a quarter
 * after the last sign of life, or when the lease falls behind. `but` counts for nothing. */
static int64_t
quiet_from(const struct dpc_core *core, const struct core_lease *leases, uint32_t round,
           const struct core_lease *but)
{
    int64_t latest_ms = INT64_MIN;
    for (const struct core_lease *lease = leases; lease; lease = lease->next) {
        int64_t silent_ms = lease->heard_ms + 9 * (int64_t)core->heartbeat_ms / 4 + 1;
        int64_t behind_ms = core_behind_from(core, lease);
        int64_t quiet_ms = silent_ms < behind_ms ? silent_ms : behind_ms;
        if (lease != but && lease->record.round == round && quiet_ms > latest_ms)
            latest_ms = quiet_ms;
    }
    return latest_ms;
}

/* `left`: more is sooner. */
static void
place(struct core_tasks *tasks, uint32_t task, bool open, int64_t quiet_ms, int64_t left)
{
    bool held = open && quiet_ms != INT64_MIN;
    if (held)
        core_heap_set(&tasks->watched, task, quiet_ms);
    else
        core_heap_remove(&tasks->watched, task);
    if (open && !held)
        core_heap_set(&tasks->waiting, task, -left);
    else
        core_heap_remove(&tasks->waiting, task);
}

static int64_t
rounds_left(const struct dpc_core *core, uint32_t path)
{
    return (int64_t)dpc_core_path_rounds(core, path) - core->paths[path].record.rounds_done;
}

void
core_refresh_path(struct dpc_core *core, uint32_t path)
{
    bool open = dpc_core_path_standing(core, path) == DPC_PATH_READY;
    int64_t quiet_ms =
        quiet_from(core, core->paths[path].leases, core->paths[path].record.rounds_done, NULL);
    place(&core->training, path, open, quiet_ms, rounds_left(core, path));
}

void
core_refresh_paths(struct dpc_core *core)
{
    for (uint32_t path = 0; path < core->topology.paths_count; path++)
        core_refresh_path(core, path);
}

void
core_refresh_chunk(struct dpc_core *core, uint32_t chunk)
{
    bool open = !core->chunks[chunk].done && !core_fails_everywhere(core, CORE_CHUNKING, chunk);
    place(&core->chunking, chunk, open, quiet_from(core, core->chunks[chunk].leases, 0, NULL), 0);
}

void
core_refresh_rating(struct dpc_core *core, uint32_t path)
{
    uint32_t left = core_rounds_unrated(core, path);
    if (core->bests)
        place(&core->rating, path, left > 0 && !core_fails_everywhere(core, CORE_RATING, path),
              quiet_from(core, core->bests[path].leases, core->bests[path].record.next_round, NULL),
              left);
}

void
core_refresh_task(struct dpc_core *core, enum core_sort sort, uint32_t task)
{
    static void (*const refreshes[])(struct dpc_core *, uint32_t) = {
        [CORE_TRAINING] = core_refresh_path,
        [CORE_CHUNKING] = core_refresh_chunk,
        [CORE_RATING] = core_refresh_rating,
    };
    refreshes[sort](core, task);
}

void
core_hear_of(struct dpc_core *core, struct core_lease *lease, int64_t now_ms)
{
    lease->heard_ms = now_ms;
    core_refresh_task(core, lease->sort, lease->task);
}

/* --- What suits whom. */

bool
core_fits(const struct dpc_core *core, const struct core_worker *worker, uint32_t path)
{
    return worker->too_large == 0 || core_path_bytes(core, path) < worker->too_large;
}

static uint32_t
path_of(const struct dpc_core *core, enum core_sort sort, uint32_t task)
{
    return sort == CORE_CHUNKING ? core->chunks[task].path : task;
}

/* It has the memory, and is none to back up what it hands in itself. */
static bool
suits(const struct dpc_core *core, const struct core_worker *worker, enum core_sort sort,
      uint32_t task)
{
    const struct core_lease *own = worker->handing_in;
    bool is_own = own && own->sort == sort && own->task == task;
    return !is_own && core_fits(core, worker, path_of(core, sort, task));
}

/* --- Who trained what last. */

static void
leave_path(struct dpc_core *core, struct core_path *path)
{
    struct core_worker *former = &core->workers[path->trained_by];
    if (path->before != CORE_NOBODY)
        core->paths[path->before].behind = path->behind;
    else
        former->first_trained = path->behind;
    if (path->behind != CORE_NOBODY)
        core->paths[path->behind].before = path->before;
    else
        former->last_trained = path->before;
    path->trained_by = CORE_NOBODY;
}

void
core_leave_paths(struct dpc_core *core, struct core_worker *worker)
{
    while (worker->first_trained != CORE_NOBODY)
        leave_path(core, &core->paths[worker->first_trained]);
}

void
core_note_trained(struct dpc_core *core, uint32_t path_id, struct core_worker *worker)
{
    struct core_path *path = &core->paths[path_id];
    if (path->trained_by != CORE_NOBODY)
        leave_path(core, path);
    path->trained_by = (uint32_t)(worker - core->workers);
    path->before = worker->last_trained;
    path->behind = CORE_NOBODY;
    if (worker->last_trained != CORE_NOBODY)
        core->paths[worker->last_trained].behind = path_id;
    else
        worker->first_trained = path_id;
    worker->last_trained = path_id;
}

/* Among the worker's paths one that waits with the best merit; else `best`. */
static uint32_t
prefer_own(struct dpc_core *core, const struct core_worker *worker, uint32_t best, int64_t key)
{
    uint32_t path = worker->first_trained;
    for (int i = 0; i < AFFINE_MAX && path != CORE_NOBODY; i++, path = core->paths[path].behind) {
        if (core_heap_has(&core->training.waiting, path) &&
            core->training.waiting.keys[path] == key && suits(core, worker, CORE_TRAINING, path))
            return path;
    }
    return best;
}

/* Contributions that the worker has made already to what the modules of `path` are given in its
 * present round. */
static uint32_t
count_given(const struct dpc_core *core, const struct core_worker *worker, uint32_t path)
{
    uint32_t given = 0, round = core->paths[path].record.rounds_done;
    uint32_t length = dpc_topology_path_length(&core->topology, path);
    for (uint32_t k = 0; k < length; k++) {
        uint32_t module = dpc_topology_path_module(&core->topology, path, k);
        uint32_t level = dpc_topology_module_level(&core->topology, module);
        uint32_t count = dpc_topology_paths_through(&core->topology, module);
        for (uint32_t i = 0; i < count && i < AFFINE_MAX; i++) {
            uint32_t other = dpc_topology_path_through(&core->topology, module, i);
            const struct core_delta *delta = &core->paths[other].deltas[level];
            given += delta->serial && delta->round == round &&
                     memcmp(delta->worker, worker->record.key, sizeof delta->worker) == 0;
        }
    }
    return given;
}

/* Nobody should make most of what a module is given, where workers belong to anybody: of some that
 * wait with the best merit, `best` and the worker's own among them, the path to whose modules it
 * has given least. */
static uint32_t
prefer_apart(const struct dpc_core *core, const struct core_worker *worker, uint32_t best,
             int64_t key)
{
    const struct core_heap *waiting = &core->training.waiting;
    uint32_t least = count_given(core, worker, best);
    for (uint32_t i = 0; i < waiting->count && i < AFFINE_MAX && least; i++) {
        uint32_t path = waiting->items[i];
        bool may = waiting->keys[path] == key && suits(core, worker, CORE_TRAINING, path);
        uint32_t given = may ? count_given(core, worker, path) : least;
        if (given < least) {
            least = given;
            best = path;
        }
    }
    return best;
}

/* --- Choosing. */

/* Leases on a task; `*ret_round`: those that count. */
static const struct core_lease *
leases_on(const struct dpc_core *core, enum core_sort sort, uint32_t task, uint32_t *ret_round)
{
    switch (sort) {
    case CORE_TRAINING:
        *ret_round = core->paths[task].record.rounds_done;
        return core->paths[task].leases;
    case CORE_RATING:
        *ret_round = core->bests[task].record.next_round;
        return core->bests[task].leases;
    case CORE_CHUNKING:
        break;
    }
    *ret_round = 0;
    return core->chunks[task].leases;
}

static const struct core_tasks *
look_at(const struct dpc_core *core, enum core_sort sort)
{
    const struct core_tasks *const tasks[] = {
        [CORE_TRAINING] = &core->training,
        [CORE_CHUNKING] = &core->chunking,
        [CORE_RATING] = &core->rating,
    };
    return tasks[sort];
}

/* Those of a core that is to be changed. */
static struct core_tasks *
tasks_of(struct dpc_core *core, enum core_sort sort)
{
    return (struct core_tasks *)look_at(core, sort);
}

/* The merit of a task: more is sooner. */
static int64_t
merit_of(const struct dpc_core *core, enum core_sort sort, uint32_t task)
{
    if (sort == CORE_CHUNKING)
        return 0;
    return sort == CORE_TRAINING ? rounds_left(core, task) : core_rounds_unrated(core, task);
}

/* What was watched too long waits again, for a backup. When it was placed, leases may have been
 * measured shorter than they are now; then it is watched on. */
static void
release_quiet(struct dpc_core *core, enum core_sort sort, int64_t now_ms)
{
    struct core_tasks *tasks = tasks_of(core, sort);
    uint32_t task, round;
    int64_t quiet_ms;
    while (core_heap_first(&tasks->watched, &task, &quiet_ms) && quiet_ms <= now_ms) {
        const struct core_lease *leases = leases_on(core, sort, task, &round);
        quiet_ms = quiet_from(core, leases, round, NULL);
        if (quiet_ms > now_ms) {
            core_heap_set(&tasks->watched, task, quiet_ms);
            continue;
        }
        core_heap_remove(&tasks->watched, task);
        core_heap_set(&tasks->waiting, task, -merit_of(core, sort, task));
    }
}

/* The first of the tasks that wait that suits the worker. Only where the very first does not all of
 * them are looked at. */
static bool
first_waiting(const struct dpc_core *core, enum core_sort sort, const struct core_worker *worker,
              uint32_t *ret_task, int64_t *ret_key)
{
    const struct core_heap *waiting = &look_at(core, sort)->waiting;
    bool found = false;
    if (!core_heap_first(waiting, ret_task, ret_key) || suits(core, worker, sort, *ret_task))
        return waiting->count > 0;
    for (uint32_t i = 0; i < waiting->count; i++) {
        uint32_t task = waiting->items[i];
        int64_t key = waiting->keys[task];
        bool sooner = !found || key < *ret_key || (key == *ret_key && task < *ret_task);
        if (!sooner || !suits(core, worker, sort, task))
            continue;
        *ret_task = task;
        *ret_key = key;
        found = true;
    }
    return found;
}

/* The first chunk that nobody is at work on. */
static bool
choose_chunk(struct dpc_core *core, const struct core_worker *worker, int64_t now_ms,
             struct dpc_lease_record *ret_task, uint32_t *ret_index)
{
    int64_t key;
    release_quiet(core, CORE_CHUNKING, now_ms);
    if (!first_waiting(core, CORE_CHUNKING, worker, ret_index, &key))
        return false;
    const struct core_chunk *chunk = &core->chunks[*ret_index];
    *ret_task = (struct dpc_lease_record){
        .kind = core_chunk_kind(core),
        .path = chunk->path,
        .from = chunk->from,
        .to = chunk->to,
    };
    return true;
}

/* The ready path that has most rounds to go; among equals one that this worker trained last. */
static bool
choose_training(struct dpc_core *core, const struct core_worker *worker, int64_t now_ms,
                struct dpc_lease_record *ret_task, uint32_t *ret_index)
{
    int64_t key;
    release_quiet(core, CORE_TRAINING, now_ms);
    if (!first_waiting(core, CORE_TRAINING, worker, ret_index, &key))
        return false;
    *ret_index = prefer_own(core, worker, *ret_index, key);
    if (core->experiment->trust == DPC_TRUST_OPEN)
        *ret_index = prefer_apart(core, worker, *ret_index, key);
    *ret_task = (struct dpc_lease_record){
        .kind = DPC_TASK_TRAIN,
        .path = *ret_index,
        .round = core->paths[*ret_index].record.rounds_done,
    };
    return true;
}

/* The path that is furthest behind with its evaluations; `urgent`: if its rounds would outlast
 * those that the store keeps anyway. */
static bool
choose_rating(struct dpc_core *core, const struct core_worker *worker, bool urgent, int64_t now_ms,
              struct dpc_lease_record *ret_task, uint32_t *ret_index)
{
    int64_t key;
    release_quiet(core, CORE_RATING, now_ms);
    if (!first_waiting(core, CORE_RATING, worker, ret_index, &key) ||
        (urgent && -key < core->experiment->keep_rounds))
        return false;
    const struct dpc_best_record *record = &core->bests[*ret_index].record;
    uint32_t left = record->documents_count - record->read;
    *ret_task = (struct dpc_lease_record){
        .kind = DPC_TASK_EVALUATE,
        .path = *ret_index,
        .round = record->next_round,
        .from = record->read,
        .to = record->read +
              (left < DPC_DOCUMENTS_PER_LEASE_MAX ? left : DPC_DOCUMENTS_PER_LEASE_MAX),
    };
    return true;
}

/* Evaluations for early stopping fill the time in which nobody can train, until they are too far
 * behind. */
bool
core_choose(struct dpc_core *core, const struct core_worker *worker, int64_t now_ms,
            struct dpc_lease_record *ret_task, enum core_sort *ret_sort, uint32_t *ret_index)
{
    *ret_sort = CORE_CHUNKING;
    if (choose_chunk(core, worker, now_ms, ret_task, ret_index))
        return true;
    *ret_sort = CORE_RATING;
    if (choose_rating(core, worker, true, now_ms, ret_task, ret_index))
        return true;
    *ret_sort = CORE_TRAINING;
    if (choose_training(core, worker, now_ms, ret_task, ret_index))
        return true;
    *ret_sort = CORE_RATING;
    return choose_rating(core, worker, false, now_ms, ret_task, ret_index);
}

/* --- Foreseeing, which changes nothing. */

uint32_t
core_tasks_failing(const struct dpc_core *core)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->topology.paths_count; i++)
        count += core_fails_everywhere(core, CORE_TRAINING, i) +
                 (core->bests && core_fails_everywhere(core, CORE_RATING, i));
    for (uint32_t i = 0; i < core->chunks_count; i++)
        count += core_fails_everywhere(core, CORE_CHUNKING, i);
    return count;
}

/* As release_quiet would leave it: instants are looked at again once they have passed. */
static int64_t
quiet_of(const struct dpc_core *core, enum core_sort sort, uint32_t task, int64_t now_ms)
{
    const struct core_heap *watched = &look_at(core, sort)->watched;
    uint32_t round;
    const struct core_lease *leases = leases_on(core, sort, task, &round);
    return watched->keys[task] > now_ms ? watched->keys[task]
                                        : quiet_from(core, leases, round, NULL);
}

int64_t
core_open_in(const struct dpc_core *core, enum core_sort sort, uint32_t task, int64_t now_ms)
{
    const struct core_tasks *tasks = look_at(core, sort);
    if (!core_heap_has(&tasks->watched, task))
        return core_heap_has(&tasks->waiting, task) ? 0 : -1;
    int64_t quiet_ms = quiet_of(core, sort, task, now_ms);
    return quiet_ms > now_ms ? quiet_ms - now_ms : 0;
}

int64_t
dpc_core_backup_in(const struct dpc_core *core, uint32_t index, int64_t now_ms)
{
    const struct core_lease *lease = core->leases[index];
    uint32_t round;
    (void)leases_on(core, lease->sort, lease->task, &round);
    return lease->record.round == round ? core_open_in(core, lease->sort, lease->task, now_ms) : -1;
}

/* The same where `but` (NULL: none) counts for nothing. */
static int64_t
quiet_without(const struct dpc_core *core, enum core_sort sort, uint32_t task,
              const struct core_lease *but, int64_t now_ms)
{
    uint32_t round;
    const struct core_lease *leases = leases_on(core, sort, task, &round);
    bool concerned = but && but->sort == sort && but->task == task;
    return concerned ? quiet_from(core, leases, round, but) : quiet_of(core, sort, task, now_ms);
}

/* Of the tasks of a sort that are watched those that release_quiet would leave so, and the first
 * instant of theirs, if it is before `*first_ms`. */
static uint32_t
count_held(const struct dpc_core *core, enum core_sort sort, const struct core_lease *but,
           int64_t now_ms, int64_t *first_ms)
{
    const struct core_heap *watched = &look_at(core, sort)->watched;
    uint32_t task, count = 0;
    int64_t key;
    if (!core_heap_first(watched, &task, &key))
        return 0;
    if (key > now_ms && !but) {
        *first_ms = key < *first_ms ? key : *first_ms;
        return watched->count;
    }
    for (uint32_t i = 0; i < watched->count; i++) {
        key = quiet_without(core, sort, watched->items[i], but, now_ms);
        if (key > now_ms && key < *first_ms)
            *first_ms = key;
        count += key > now_ms;
    }
    return count;
}

uint32_t
core_tasks_held(const struct dpc_core *core, const struct core_lease *but, int64_t now_ms,
                int64_t *ret_until_ms)
{
    int64_t first_ms = INT64_MAX;
    uint32_t count = 0;
    for (int sort = CORE_TRAINING; sort <= CORE_RATING; sort++)
        count += count_held(core, (enum core_sort)sort, but, now_ms, &first_ms);
    *ret_until_ms = first_ms == INT64_MAX ? INT64_MAX : first_ms - now_ms;
    return count;
}

uint32_t
core_tasks_ready(const struct dpc_core *core, uint32_t held)
{
    uint32_t count = 0;
    for (int sort = CORE_TRAINING; sort <= CORE_RATING; sort++) {
        const struct core_tasks *tasks = look_at(core, (enum core_sort)sort);
        count += tasks->waiting.count + tasks->watched.count;
    }
    return count - held;
}

/* Would it be released for a backup if the worker asked, or given up with its lease, which does not
 * stand any more? */
static bool
is_quiet(const struct dpc_core *core, enum core_sort sort, uint32_t task,
         const struct core_worker *worker, int64_t now_ms)
{
    return quiet_without(core, sort, task, worker->lease, now_ms) <= now_ms;
}

enum dpc_ask
core_foresee_choice(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms)
{
    bool some = false;
    if (core_has_audit_for(core, worker, now_ms))
        return DPC_ASK_LEASE;
    for (int sort = CORE_TRAINING; sort <= CORE_RATING; sort++) {
        const struct core_tasks *tasks = look_at(core, (enum core_sort)sort);
        uint32_t waiting = tasks->waiting.count;
        for (uint32_t i = 0; i < waiting + tasks->watched.count; i++) {
            uint32_t task =
                i < waiting ? tasks->waiting.items[i] : tasks->watched.items[i - waiting];
            if (i >= waiting && !is_quiet(core, (enum core_sort)sort, task, worker, now_ms))
                continue;
            if (suits(core, worker, (enum core_sort)sort, task))
                return DPC_ASK_LEASE;
            some |= !core_fits(core, worker, path_of(core, (enum core_sort)sort, task));
        }
    }
    return some ? DPC_ASK_TOO_LARGE : DPC_ASK_NOTHING;
}
