/* SPDX-License-Identifier: Apache-2.0
 *
 * The file of a comparison: one YAML document that names a base experiment and says, row by row,
 * which of its keys are different. And what has to be trained for it: a run for each row and seed,
 * but one run for all that ask for the same.
 *
 *     comparison: NAME
 *     base: experiment.yaml          from the folder of this file
 *     seeds: [1, 2]                  default: that of the base
 *     rows:
 *       - {name: dense, measure: dense}
 *       - {name: four-modules, set: {levels: [...], routing: {phases: 1}}}
 *       - {name: dense-longer, tokens_of: four-modules, set: {...}}
 *
 * Owns: a comparison owns the document that its rows point into. Threads: one.
 * Limits: DPC_COMPARISON_ROWS_MAX, DPC_COMPARISON_SEEDS_MAX. Errors name file, line, row and key.
 */
#ifndef DPC_CLI_COMPARISON_H
#define DPC_CLI_COMPARISON_H

#include "base/error.h"
#include "base/experiment.h"
#include "base/hash.h"

enum { DPC_COMPARISON_ROWS_MAX = 64, DPC_COMPARISON_SEEDS_MAX = 16 };

/* Which of a run's two models a row is about. */
enum dpc_measure { DPC_MEASURE_DIPACO, DPC_MEASURE_DENSE };

struct dpc_comparison_row {
    char name[DPC_NAME_MAX];
    char title[DPC_PATH_MAX]; /* for people; the name where there is none */
    enum dpc_measure measure;
    uint32_t every; /* the routed model with a new route after so many tokens; 0: routed once */
    char against[DPC_NAME_MAX];      /* the row that its step is measured from; "" for the first */
    char tokens_of[DPC_NAME_MAX];    /* "": outer.rounds as it is; else as many as make its paths
                                      * train on as many tokens as those of that row */
    const struct dpc_yaml_node *set; /* keys in place of the base's; NULL: none */
};

struct dpc_comparison {
    char file[DPC_PATH_MAX]; /* as given */
    char name[DPC_NAME_MAX];
    char base[DPC_PATH_MAX]; /* as written */
    uint32_t seeds_count;    /* 0 in the file: one, the base's */
    uint64_t seeds[DPC_COMPARISON_SEEDS_MAX];
    uint32_t rows_count;
    struct dpc_comparison_row rows[DPC_COMPARISON_ROWS_MAX];
    struct dpc_yaml *yaml;
};

/* In fresh memory. DPC_EINVAL, DPC_ERANGE and those of base/yaml.h. */
int dpc_comparison_load(const char *file, struct dpc_comparison **ret_comparison,
                        struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL and returns NULL. */
struct dpc_comparison *dpc_comparison_destroy(struct dpc_comparison *comparison);

/* Index of a row, or -1. */
int dpc_comparison_find(const struct dpc_comparison *comparison, const char *name);

/* One experiment to be trained. */
struct dpc_comparison_run {
    char name[DPC_NAME_MAX + 48]; /* "four-modules-1-0f3c9a12": row, seed, and what is trained */
    struct dpc_hash content;
    struct dpc_experiment experiment; /* its corpus as an absolute path */
};

struct dpc_comparison_runs {
    uint32_t count;
    struct dpc_comparison_run *runs;
    uint32_t of[DPC_COMPARISON_ROWS_MAX][DPC_COMPARISON_SEEDS_MAX]; /* index of the row's run */
};

/* What is to be trained, in the order of the file. Release with _done. Errors name the row. */
int dpc_comparison_make_runs(const struct dpc_comparison *comparison,
                             struct dpc_comparison_runs *ret_runs,
                             struct dpc_error *err) DPC_MUST_CHECK;
void dpc_comparison_runs_done(struct dpc_comparison_runs *runs);

#endif
