/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/splits.h"

#include "base/alloc.h"

int
dpc_splits_load(const char *file, struct dpc_experiment **ret_experiment, struct dpc_error *err)
{
    static const char defaults[] =
        "experiment: defaults\ndata: {corpus: .}\n"
        "levels: [{name: all, parts: [embedding, {blocks: 1}, head], modules: 1}]\n";
    struct dpc_experiment *experiment = dpc_alloc(1, sizeof *experiment);
    int code =
        file ? dpc_experiment_load(file, experiment, err)
             : dpc_experiment_parse("defaults", defaults, sizeof defaults - 1, experiment, err);
    if (code != DPC_OK) {
        dpc_free(experiment);
        return code;
    }
    *ret_experiment = experiment;
    return DPC_OK;
}
