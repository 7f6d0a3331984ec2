/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder with a LlamaForCausalLM of somebody, read as a dense model of the experiment:
 * config.json, and model.safetensors or the files that model.safetensors.index.json names.
 *
 * Owns: the open files. Threads: one at a time. Limits: those of base/safetensors.h;
 * DPC_IMPORTED_FILES_MAX files. The folder comes from anywhere: _open checks that everything is
 * there in the right shape and nothing more, _read that values are finite.
 */
#ifndef DPC_BASE_IMPORTED_H
#define DPC_BASE_IMPORTED_H

#include "base/error.h"
#include "base/experiment.h"
#include "base/hash.h"
#include "base/vfs.h"

enum { DPC_IMPORTED_FILES_MAX = 256 };

struct dpc_imported;

/* DPC_ENOTFOUND when there is no such model, DPC_EINVAL with each key or tensor that does not fit
 * the experiment and both values, and what base/safetensors.h says. `experiment` must outlive it.
 */
int dpc_imported_open(const struct dpc_vfs *vfs, const char *folder,
                      const struct dpc_experiment *experiment, struct dpc_imported **ret_imported,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL. Returns NULL. */
struct dpc_imported *dpc_imported_close(struct dpc_imported *imported);

/* The parameters of `level`'s module, dpc_layout_module_floats values, as base/layout.h says.
 * DPC_ENOTFINITE, DPC_EIO. */
int dpc_imported_read(const struct dpc_imported *imported, uint32_t level, float *ret_floats,
                      struct dpc_error *err) DPC_MUST_CHECK;

/* A name of all its parameters, whatever form they stand in. What _read says, and DPC_ENOMEM. */
int dpc_imported_hash(const struct dpc_imported *imported, struct dpc_hash *ret_hash,
                      struct dpc_error *err) DPC_MUST_CHECK;

#endif
