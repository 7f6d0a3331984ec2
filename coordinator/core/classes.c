/* SPDX-License-Identifier: Apache-2.0
 * Numeric classes: strict mode promises the same bits whoever trains, so it keeps to machines that
 * compute the same, unless the experiment gives that up for more machines. */
#include "coordinator/core/state.h"

#include <stdio.h>
#include <string.h>

static bool
keeps_one_class(const struct dpc_core *core)
{
    return core->experiment->mode == DPC_MODE_STRICT &&
           core->experiment->numeric_class != DPC_CLASS_ANY;
}

/* That of the first result, and before there is one that of whoever is at work and heard of; "":
 * any. */
static const char *
present_class(const struct dpc_core *core, const struct core_worker *but)
{
    if (core->phase.numeric_class[0])
        return core->phase.numeric_class;
    for (uint32_t i = 0; i < core->leases_count; i++) {
        const struct core_worker *worker = core_find_worker(core, core->leases[i]->record.worker);
        if (worker && worker != but && worker->numeric_class[0] &&
            core_is_there(core, worker, core->now_ms))
            return worker->numeric_class;
    }
    return "";
}

bool
core_is_class(const char *known, const char *numeric_class)
{
    char kept[DPC_NAME_MAX];
    (void)snprintf(kept, sizeof kept, "%s", numeric_class);
    return strcmp(known, kept) == 0;
}

bool
core_class_is_welcome(const struct dpc_core *core, const struct core_worker *worker,
                      const char *numeric_class)
{
    if (!keeps_one_class(core))
        return true;
    const char *present = present_class(core, worker);
    return !present[0] || core_is_class(present, numeric_class);
}

void
core_tell_class(const struct dpc_core *core, const struct core_worker *worker,
                const char *numeric_class, char *ret_text, size_t size)
{
    /* As long as a reply may be, with both classes as whole as a record keeps them. */
    (void)snprintf(ret_text, size,
                   "take the same release and kind of machine, or fork with numeric_class: any: "
                   "strict mode keeps to the numeric class %.63s; this is %.63s",
                   present_class(core, worker), numeric_class);
    _Static_assert(DPC_NAME_MAX == 64, "a record keeps 63 characters");
}

void
core_keep_class(struct dpc_core *core, const struct core_worker *worker)
{
    if (keeps_one_class(core) && !core->phase.numeric_class[0])
        memcpy(core->phase.numeric_class, worker->numeric_class, sizeof core->phase.numeric_class);
}
