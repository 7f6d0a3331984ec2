/* SPDX-License-Identifier: Apache-2.0
 *
 * Which kernels an experiment computes with on this machine, and in how much memory.
 *
 * Owns: nothing. Threads: any. Not here: the kernels (ops/).
 */
#ifndef DPC_MODULES_COMPUTE_H
#define DPC_MODULES_COMPUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/experiment.h"
#include "modules/path.h"
#include "ops/card.h"

/* The table of `card` (NULL: of the CPU) for `compute`: fp32 always has one, auto is bf16 where
 * that runs and fp32 elsewhere, tf32 allows a card to round what its products read and is fp32 on a
 * CPU. DPC_EUNSUPPORTED for bf16 where it does not run, with the reason. */
int dpc_compute_choose(enum dpc_compute compute, const struct dpc_card *card,
                       const struct dpc_ops **ret_ops, struct dpc_error *err) DPC_MUST_CHECK;

/* oneDNN was built in and is kept from running: slower products, and no bf16. */
bool dpc_compute_is_blocked(void);

/* Sequences that a worker holds at a time: a batch, or what it scores at once where that is more. */
uint32_t dpc_compute_batch(const struct dpc_experiment *experiment);

/* Bytes of a worker that trains on such a path: the path, two moments, the versions that deltas are
 * taken against, the path state as it came and as it goes, and the process itself. Pages of mapped
 * files, which the kernel takes back when it likes, do not count. */
int dpc_compute_bytes(const struct dpc_experiment *experiment,
                      const struct dpc_path_options *options, size_t *ret_bytes,
                      struct dpc_error *err) DPC_MUST_CHECK;

/* Bytes of a card's memory that a worker on such a path takes: the path and two moments. */
int dpc_compute_card_bytes(const struct dpc_experiment *experiment,
                           const struct dpc_path_options *options, size_t *ret_bytes,
                           struct dpc_error *err) DPC_MUST_CHECK;

/* What decides the bits of all tables of a device, besides the program and the C library: of the
 * CPU (NULL) "avx512/0.3.21-SkylakeX/2.6.3-avx512_core_bf16", of a card, whose libraries choose their kernels by
 * the number of its multiprocessors, "sm_90x132/cuda-13.0/cublasLt-13.1.0". */
void dpc_compute_name(const struct dpc_card_info *card, char *ret_name, size_t size);

#endif
