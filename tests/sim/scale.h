/* SPDX-License-Identifier: Apache-2.0
 *
 * The core alone with very many workers and paths: what one step costs, how much memory all takes,
 * how long a restart takes. Workers are a few fields each; contents are hashes of what they are
 * made from.
 *
 * Owns: everything of one run. Threads: one. Limits: base/limits.h.
 */
#ifndef DPC_TESTS_SIM_SCALE_H
#define DPC_TESTS_SIM_SCALE_H

#include <stdint.h>

struct sim_scale_options {
    uint32_t side;    /* modules of each of the two levels: side x side paths */
    uint32_t workers; /* at most DPC_WORKERS_MAX */
    uint32_t rounds;
};

/* Runs the experiment, with a restart from RocksDB in the middle of a round, and prints figures as
 * one line of JSON. Non-zero when it got stuck, when the rebuilt core is another one, or, with
 * 256 x 256 paths and 10,000 workers or more, when a figure is worse than was promised. */
int sim_scale(const struct sim_scale_options *options);

#endif
