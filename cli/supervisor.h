/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs one coordinator and some workers as child processes until the experiment has finished:
 * starts them in order, starts again what dies (with growing pauses), gives up on what dies again
 * and again, and stops all of them cleanly, workers first.
 *
 * Owns: the children, their log files' names, the admin link. Threads: the caller's; signals
 * SIGINT, SIGTERM, SIGHUP and SIGCHLD are taken over while it runs. Limits:
 * DPC_SUPERVISED_WORKERS_MAX workers.
 */
#ifndef DPC_CLI_SUPERVISOR_H
#define DPC_CLI_SUPERVISOR_H

#include "base/json.h"
#include "cli/run_folder.h"

enum { DPC_SUPERVISED_WORKERS_MAX = 256 };

struct dpc_supervisor_options {
    const struct dpc_run_folder *folder;
    const char *experiment_file; /* absolute */
    uint32_t workers_count;
    uint64_t memory_mib;     /* each worker's --memory-mib; 0: as it finds itself */
    const char *device;      /* a list of --device, of which each worker takes one in turn */
    uint32_t cards;          /* where that is "cuda", worker i gets card i modulo so many */
    const char *card_plugin; /* the workers' --card-plugin; NULL: the usual one */
    /* The coordinator's `status`, about once a second. */
    void (*on_status)(void *context, const struct dpc_json *status);
    /* One line, or several, about a child: for people. */
    void (*on_note)(void *context, const char *text);
    void *context;
};

enum dpc_run_end {
    DPC_RUN_FINISHED, /* the report is written */
    DPC_RUN_FAILED,   /* `exit_code` and the reason in `err` */
    DPC_RUN_STOPPED,  /* by `signal` */
};

struct dpc_run_outcome {
    enum dpc_run_end end;
    int exit_code;
    int signal;
};

/* Returns when all children have gone. */
void dpc_supervise(const struct dpc_supervisor_options *options,
                   struct dpc_run_outcome *ret_outcome, struct dpc_error *err);

/* The pause before start number `deaths` + 1 of a child that died `deaths` times quickly, in ms. */
int64_t dpc_supervisor_pause_ms(uint32_t deaths);

/* Words of a list of devices, which are parted by commas (1 or more), and the one that worker
 * `index` takes, cut at `size`. */
uint32_t dpc_device_words(const char *list);
void dpc_device_word(const char *list, uint32_t index, char *ret_word, size_t size);

#endif
