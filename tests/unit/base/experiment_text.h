/* SPDX-License-Identifier: Apache-2.0
 *
 * Experiment files as texts, for tests of what their keys may be. The name in errors is f.yaml.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_TESTS_UNIT_BASE_EXPERIMENT_TEXT_H
#define DPC_TESTS_UNIT_BASE_EXPERIMENT_TEXT_H

#include <string.h>

#include "base/alloc.h"
#include "base/experiment.h"

static const char levels[] = "levels:\n"
                             "  - {name: lower, parts: [embedding, {blocks: 2}], modules: 2}\n"
                             "  - {name: upper, parts: [{blocks: 2}, head], modules: 2}\n";

static inline int
parse(const char *text, struct dpc_experiment *ret_experiment, struct dpc_error *err)
{
    err->text[0] = 0;
    return dpc_experiment_parse("f.yaml", text, strlen(text), ret_experiment, err);
}

/* The least file, with `more` lines in front of its three levels' lines. */
static inline int
parse_with(const char *more, struct dpc_experiment *ret_experiment, struct dpc_error *err)
{
    char *text = dpc_format("experiment: x\ndata: {corpus: c}\n%s\n%s", more, levels);
    int code = parse(text, ret_experiment, err);
    dpc_free(text);
    return code;
}

#endif
