/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of an experiment of two levels with two modules each, for tests to add to: the core
 * never looks into a model, so that it is as small as an experiment may be.
 */
#ifndef DPC_TESTS_UNIT_COORDINATOR_SMALL_2X2_H
#define DPC_TESTS_UNIT_COORDINATOR_SMALL_2X2_H

#define LEVELS_2X2                                                                                 \
    "levels:\n"                                                                                    \
    "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 2}\n"                             \
    "  - {name: upper, parts: [{blocks: 1}, head], modules: 2}\n"
#define SMALL_2X2                                                                                  \
    "experiment: test\n"                                                                           \
    "data: {corpus: corpus}\n"                                                                     \
    "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n" LEVELS_2X2
/* Where weights are merged and replayed for real. */
#define TINY_2X2                                                                                   \
    "experiment: test\n"                                                                           \
    "data: {corpus: corpus}\n"                                                                     \
    "model: {dim: 8, heads: 2, ffn: 16, context: 16}\n" LEVELS_2X2

#endif
