/* SPDX-License-Identifier: Apache-2.0
 *
 * The inner optimizer of a path: AdamW (Loshchilov and Hutter 2019; PyTorch's semantics: decoupled
 * decay, bias-corrected moments) with clipping by the global norm, and its schedule. Its state is
 * what a path keeps across rounds and machines (the path state blob).
 *
 * Owns: both moments, in the memory of the path's table, and the step count. Threads: one at a
 * time. Limits: the path's size. Not here: which step of a round it is (worker/); the outer step
 * (coordinator/).
 */
#ifndef DPC_MODULES_ADAMW_H
#define DPC_MODULES_ADAMW_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/experiment.h"
#include "modules/path.h"

struct dpc_adamw;

/* Moments of 0 and step 0 for paths of this one's shape. DPC_ENOMEM. Release with _destroy. */
int dpc_adamw_create(const struct dpc_path *path, struct dpc_adamw **ret_adamw,
                     struct dpc_error *err) DPC_MUST_CHECK;

/* Takes NULL and returns NULL. */
struct dpc_adamw *dpc_adamw_destroy(struct dpc_adamw *adamw);

/* Back to moments of 0 and step 0. */
void dpc_adamw_reset(struct dpc_adamw *adamw);

/* Steps done since moments were 0. */
uint64_t dpc_adamw_steps(const struct dpc_adamw *adamw);

/* Moves the path's parameters by its gradients, with the experiment's betas, epsilon and decay
 * (matrices only). Gradients whose global norm passes `inner.clip` count as if scaled down to it
 * (clip 0: never). `*ret_norm` takes the norm before clipping. DPC_ENOTFINITE when a gradient is
 * not finite: then nothing has changed, but `*ret_norm` is set. DPC_EDEVICE when a card failed.
 * `path` trains, and has the shape and the table of the one that this was made for. */
int dpc_adamw_step(struct dpc_adamw *adamw, struct dpc_path *path, double lr,
                   double *ret_norm) DPC_MUST_CHECK;

/* Learning rate of step `step`, counted from 0 over the whole experiment (warm start, then all
 * rounds): linear over `inner.warmup` steps, then a cosine down to lr x lr_end at the end. */
double dpc_schedule_lr(const struct dpc_experiment *experiment, uint64_t step);

/* Bytes of a path state blob: base/path_state.h as fp32, its values in the order of the path's
 * parameters. */
size_t dpc_adamw_state_bytes(const struct dpc_adamw *adamw);

/* Appends the blob; check out->failed. DPC_EDEVICE when a card failed: the blob is none then. */
int dpc_adamw_write(const struct dpc_adamw *adamw, struct dpc_buf *out) DPC_MUST_CHECK;

/* Takes the state from a blob. DPC_EVERSION for another format, DPC_ECORRUPT when the blob is cut,
 * too long, of another path's size or no state at all; then the state is as it was. */
int dpc_adamw_read(struct dpc_adamw *adamw, const void *bytes, size_t len,
                   struct dpc_error *err) DPC_MUST_CHECK;

/* Values from .. from + count of a path's parameters. */
struct dpc_adamw_span {
    size_t from, count;
};

/* Appends the state blob of a path that has only the spans' values, in their order, out of that of
 * a path of `floats` values; check out->failed. Errors are those of _read. */
int dpc_adamw_narrow(const void *bytes, size_t len, size_t floats,
                     const struct dpc_adamw_span *spans, uint32_t spans_count, struct dpc_buf *out,
                     struct dpc_error *err) DPC_MUST_CHECK;

#endif
