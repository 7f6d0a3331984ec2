/* SPDX-License-Identifier: Apache-2.0
 *
 * One child process: started with its output in a log file, ended by signal, seen by its exit.
 * Children die with this process (PR_SET_PDEATHSIG), stand in process groups of their own, so that
 * Ctrl-C reaches only the supervisor, and never see OPENBLAS_CORETYPE, which would choose kernels
 * with other bits.
 *
 * Owns: the child until it is reaped. Threads: the one that starts children must live as long as
 * they do (the kernel ties PDEATHSIG to it).
 */
#ifndef DPC_CLI_PROCESS_H
#define DPC_CLI_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"

/* Full path of a program of ours: beside the running one, else in PATH. DPC_ENOTFOUND. */
int dpc_process_find(const char *program, char ret_path[DPC_PATH_MAX],
                     struct dpc_error *err) DPC_MUST_CHECK;

/* Starts argv[0] (a full path) in `folder` with standard output and error appended to `log`. */
int dpc_process_start(char *const *argv, const char *folder, const char *log, pid_t *ret_pid,
                      struct dpc_error *err) DPC_MUST_CHECK;

/* Whether it has ended; then `*ret_status` is as from waitpid. */
bool dpc_process_ended(pid_t pid, int *ret_status);

/* "exit code 1" or "signal 9 (Killed)". */
void dpc_process_describe(int status, char *ret_text, size_t size);

/* Appends the last `lines_max` lines of `log` behind byte `from`, each indented by two. */
void dpc_process_last_lines(const char *log, uint64_t from, uint32_t lines_max,
                            struct dpc_buf *out);

#endif
