/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of tensors in Hugging Face's safetensors form: 8 bytes with the length of the header
 * (little-endian), the header as JSON, {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets":
 * [FROM, TO]}}, with offsets from the end of the header, and the data, without holes. An entry
 * "__metadata__" holds texts.
 *
 * Owns: an open file and its list of tensors. Threads: one at a time. Limits: a header of
 * DPC_SAFETENSORS_HEADER_BYTES_MAX, DPC_SAFETENSORS_DIMS_MAX dimensions, names of printable ASCII;
 * values of the types below. Files come from anywhere: what does not hold together is an error,
 * never a read beside the file. Not here: which tensors a model has (base/llama.h).
 */
#ifndef DPC_BASE_SAFETENSORS_H
#define DPC_BASE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/vfs.h"

enum { DPC_SAFETENSORS_NAME_MAX = 128, DPC_SAFETENSORS_DIMS_MAX = 4 };

enum dpc_safetensors_type { DPC_SAFETENSORS_F32, DPC_SAFETENSORS_BF16, DPC_SAFETENSORS_F16 };

struct dpc_safetensor {
    char name[DPC_SAFETENSORS_NAME_MAX];
    enum dpc_safetensors_type type;
    uint32_t dims_count;
    uint64_t dims[DPC_SAFETENSORS_DIMS_MAX];
    uint64_t from, to; /* bytes of the data */
};

struct dpc_safetensors;

/* Reads and checks the header. DPC_ECORRUPT for lengths, shapes and offsets that do not agree,
 * DPC_EPARSE for what is no such JSON, or names a tensor twice, DPC_EUNSUPPORTED for other types of
 * values, DPC_ELIMIT, and those of the vfs. */
int dpc_safetensors_open(const struct dpc_vfs *vfs, const char *path,
                         struct dpc_safetensors **ret_file, struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL. Returns NULL. */
struct dpc_safetensors *dpc_safetensors_close(struct dpc_safetensors *file);

/* Its tensors in the order of their names. */
uint32_t dpc_safetensors_count(const struct dpc_safetensors *file);
const struct dpc_safetensor *dpc_safetensors_at(const struct dpc_safetensors *file, uint32_t index);
/* NULL: there is none of that name. */
const struct dpc_safetensor *dpc_safetensors_find(const struct dpc_safetensors *file,
                                                  const char *name);

/* All values of one of its tensors, as floats, which every type is exactly. DPC_ENOTFINITE where
 * one of them is not. */
int dpc_safetensors_read(const struct dpc_safetensors *file, const struct dpc_safetensor *tensor,
                         float *ret_values, struct dpc_error *err) DPC_MUST_CHECK;

/* Values of a tensor: the product of its dimensions. */
uint64_t dpc_safetensor_values(const struct dpc_safetensor *tensor);

/* --- Writing: the header, then the values of each tensor in the order of the list. */

/* Lays the data out: fills `from` and `to` of tensors with name, type and dimensions. Returns the
 * bytes of the data. */
uint64_t dpc_safetensors_place(struct dpc_safetensor *tensors, uint32_t count);
/* What stands before the data of a list that was placed, a multiple of 8 bytes. `format` is the
 * metadata that readers ask for: "pt". Check out->failed. */
void dpc_safetensors_put_header(const struct dpc_safetensor *tensors, uint32_t count,
                                const char *format, struct dpc_buf *out);
/* `count` values in the form of the file, rounded to the nearest, into `ret_bytes`, which has room
 * for count times dpc_safetensors_value_bytes. */
void dpc_safetensors_encode(enum dpc_safetensors_type type, const float *values, size_t count,
                            void *ret_bytes);
size_t dpc_safetensors_value_bytes(enum dpc_safetensors_type type);

#endif
