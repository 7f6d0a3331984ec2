/* SPDX-License-Identifier: Apache-2.0
 *
 * A file as a stream of bytes, unpacked on the way: .gz and .zst by their first bytes, not by name;
 * everything else as it is, but a file that is named so and is none of both is refused.
 *
 * Owns: the open file and the unpacker. Threads: one.
 * Limits: the caller's, on unpacked bytes: a small packed file can hold a very large one.
 */
#ifndef DPC_DATA_SOURCE_H
#define DPC_DATA_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct dpc_source;

/* Bytes of a file's name, or path, without the .gz or .zst at its end. */
size_t dpc_source_plain_name(const char *name);

/* DPC_ENOTFOUND, DPC_EPERM, DPC_EIO; DPC_ECORRUPT for a plain file that is not empty and, in spite
 * of its name, not packed. */
int dpc_source_open(const char *path, struct dpc_source **ret_source,
                    struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_source *dpc_source_close(struct dpc_source *source);

/* All bytes, appended to `out`. DPC_ECORRUPT when a packed file is damaged or cut off, DPC_ELIMIT
 * when it needs a larger window than 128 MiB or the bytes pass `bytes_max`, DPC_ENOMEM, DPC_EIO. */
int dpc_source_read_all(struct dpc_source *source, size_t bytes_max, struct dpc_buf *out,
                        struct dpc_error *err) DPC_MUST_CHECK;

/* The next line without its end ("\n"), into `line`, which is emptied first. `*ret_more` is false,
 * and the line empty, at the end. DPC_ELIMIT when a line passes `bytes_max`, and the errors above.
 */
int dpc_source_read_line(struct dpc_source *source, size_t bytes_max, struct dpc_buf *line,
                         bool *ret_more, struct dpc_error *err) DPC_MUST_CHECK;

#endif
