/* SPDX-License-Identifier: Apache-2.0
 *
 * An experiment trained to its end in a run's folder on this machine: what `dipaco run` does once
 * and `dipaco compare` again and again. Complaints go to standard error under the call's name, and
 * so does progress.
 *
 * Owns: nothing. Threads: one. Not here: results (cli/result.h), children (cli/supervisor.h).
 */
#ifndef DPC_CLI_TRAINING_H
#define DPC_CLI_TRAINING_H

#include <limits.h>

#include "cli/command.h"
#include "cli/run_folder.h"
#include "cli/supervisor.h"
#include "ops/card.h"

/* What both commands take; `DPC_TRAINING_OPTIONS(where)` are its rows, for an options struct that
 * has one `where` bytes behind its beginning. */
struct dpc_training_options {
    int64_t workers;
    const char *device, *card_plugin;
};
#define DPC_TRAINING_DEFAULTS                                                                      \
    {                                                                                              \
        .workers = 2, .device = "cpu"                                                              \
    }
#define DPC_TRAINING_OPTIONS(where)                                                                \
    {.name = "workers",                                                                            \
     .kind = DPC_OPTION_INTEGER,                                                                   \
     .value_name = "N",                                                                            \
     .help = "worker processes (default 2)",                                                       \
     .offset = (where) + offsetof(struct dpc_training_options, workers),                           \
     .min = 1,                                                                                     \
     .max = DPC_SUPERVISED_WORKERS_MAX},                                                           \
        {.name = "device",                                                                         \
         .kind = DPC_OPTION_TEXT,                                                                  \
         .value_name = "DEVICE",                                                                   \
         .help = "what workers compute with: cpu (default), auto, cuda (each a card, in turn) or " \
                 "cuda:N; of a list, such as cuda,cpu, each takes one in turn",                    \
         .offset = (where) + offsetof(struct dpc_training_options, device)},                       \
    {                                                                                              \
        .name = "card-plugin", .kind = DPC_OPTION_TEXT, .value_name = "FILE",                      \
        .help = "what computes on cards (default " DPC_CARD_PLUGIN_FILE                            \
                " beside this program or where it was installed)",                                 \
        .offset = (where) + offsetof(struct dpc_training_options, card_plugin)                     \
    }

struct dpc_training {
    const struct dpc_call *call;
    const struct dpc_training_options *given;
    char card_plugin[PATH_MAX]; /* absolute; "": the usual one */
    uint32_t cards;             /* of this machine; 0: no worker is to take one */
    const char *from;           /* run that a new one is made from, DIR or DIR@ROUND; NULL: none */
    const char *warm_start; /* run whose warm start a new one takes over where it can; NULL: none */
};

/* Looks at the options, and at this machine's cards where workers are to take them: one that is
 * not there is a failure. An exit code. */
int dpc_training_init(struct dpc_training *training, const struct dpc_call *call,
                      const struct dpc_training_options *given);

/* Trains the experiment of `file` (absolute, as it was read) in an open folder; what was begun goes
 * on, what has finished is left alone, and fails where its report is gone. `fresh`: begins anew.
 * `*ret_signal`: what stopped it, else 0. An exit code. */
int dpc_training_run(const struct dpc_training *training, const char *file,
                     const struct dpc_experiment *experiment, const struct dpc_run_folder *folder,
                     bool fresh, int *ret_signal);

#endif
