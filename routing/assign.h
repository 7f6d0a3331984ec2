/* SPDX-License-Identifier: Apache-2.0
 *
 * From what each path costs for each document to the paths that take it: the cheapest, or balanced
 * under a capacity or a room of each path's own (greedy by margin, as SMALLTALK LM, arXiv
 * 2410.03529), and with overlap several.
 * A path of infinite cost is none for the document: it was not asked.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_ROUTING_ASSIGN_H
#define DPC_ROUTING_ASSIGN_H

#include <stdint.h>

enum { DPC_ASSIGN_NONE = UINT32_MAX };

struct dpc_assign_options {
    uint32_t choices;      /* different paths a document gets, at most `paths` */
    double capacity;       /* 0: without end; else at least 1, as dpc_assign_capacity */
    const uint32_t *rooms; /* [paths] documents that a path takes for each choice, in place of the
                            * capacity; NULL: none are given */
};

/* Most documents that a path takes after `choices` choices of each: capacity times the even share,
 * rounded up. */
uint32_t dpc_assign_capacity(uint32_t count, uint32_t paths, uint32_t choices, double capacity);

/* Writes `ret_paths` [count, choices], best first, from `costs` [count, paths], which are finite or
 * INFINITY (a document that has no finite one goes to the first path). Where room is limited the
 * documents that lose most by their second choice choose first. Where all paths have a cost that
 * gives every document a first path; where those that have one are full, the document goes to the
 * one of them with the fewest documents, over its capacity. A further path is DPC_ASSIGN_NONE where
 * no other has room. */
void dpc_assign(const float *costs, uint32_t count, uint32_t paths,
                const struct dpc_assign_options *options, uint32_t *ret_paths);

#endif
