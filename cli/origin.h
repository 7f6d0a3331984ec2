/* SPDX-License-Identifier: Apache-2.0
 *
 * `dipaco run --from DIR@ROUND`: the store of a new run made from that of another, by the
 * coordinator's program (coordinator/fork/fork.h). The round "warm" is the end of the warm start.
 *
 * Owns: nothing; the source's lock only while it works. Threads: one; starts a child process.
 */
#ifndef DPC_CLI_ORIGIN_H
#define DPC_CLI_ORIGIN_H

#include "base/buf.h"
#include "cli/run_folder.h"

#define DPC_ORIGIN_WARM "warm"

/* In the run's folder, from before the fork begins. */
#define DPC_ORIGIN_LOG "logs/fork.log"

/* DPC_EINVAL unless `text` has one of the forms below. */
int dpc_origin_check(const char *text, struct dpc_error *err) DPC_MUST_CHECK;

/* Could a run in `folder` be made from what `text` names, for the experiment in `file` (absolute)?
 * As _take, which would refuse it; also DPC_EPERM where it is `folder` itself. */
int dpc_origin_look(const char *text, const char *file, const struct dpc_run_folder *folder,
                    struct dpc_error *err) DPC_MUST_CHECK;

/* Makes the store of `folder`, which has not begun, from the run that `text` names ("DIR", its
 * newest round, "DIR@ROUND", or "DIR@warm") for the experiment in `file` (absolute). What there is
 * to be told is appended to `notes`. DPC_ENOTFOUND, DPC_EBUSY while a run holds the source,
 * DPC_EPERM where the coordinator refuses it. */
int dpc_origin_take(const char *text, const char *file, const struct dpc_run_folder *folder,
                    struct dpc_buf *notes, struct dpc_error *err) DPC_MUST_CHECK;

/* The run in `folder` has begun: was it made from what `text` names? Else DPC_EPERM. */
int dpc_origin_agree(const char *text, const struct dpc_run_folder *folder,
                     struct dpc_error *err) DPC_MUST_CHECK;

#endif
