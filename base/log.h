/* SPDX-License-Identifier: Apache-2.0
 *
 * Log lines: `message key=value ...`, one a line, on standard error. Where the journal reads that
 * (JOURNAL_STREAM names it) lines start with a `<N>` priority instead of a time.
 *
 * Owns: the level. Threads: any; one line is one write.
 * Limits: DPC_LOG_LINE_MAX bytes a line. Not here: progress for people (cli/).
 * Libraries log at DEBUG only. Keys and tokens are never logged. What a peer can trigger goes
 * through a `struct dpc_log_limit`.
 */
#ifndef DPC_BASE_LOG_H
#define DPC_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum dpc_log_level { DPC_LOG_ERROR = 3, DPC_LOG_WARNING = 4, DPC_LOG_INFO = 6, DPC_LOG_DEBUG = 7 };

/* Lines above `level` are dropped. The default is INFO. */
void dpc_log_set_level(enum dpc_log_level level);

/* Name put before each line ("coordinator"); the string must live as long as the program. */
void dpc_log_set_name(const char *name);

/* "error", "warning", "info" or "debug" to a level; false when it is none of these. */
bool dpc_log_level_parse(const char *text, enum dpc_log_level *ret_level);

void dpc_log(enum dpc_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define dpc_log_error(...)   dpc_log(DPC_LOG_ERROR, __VA_ARGS__)
#define dpc_log_warning(...) dpc_log(DPC_LOG_WARNING, __VA_ARGS__)
#define dpc_log_info(...)    dpc_log(DPC_LOG_INFO, __VA_ARGS__)
#define dpc_log_debug(...)   dpc_log(DPC_LOG_DEBUG, __VA_ARGS__)

/* A burst of `burst` lines, then one a `period_ms`. Zero-initialise, set both, ask before logging.
 * On true, `*ret_dropped` says how many were held back since the last. */
struct dpc_log_limit {
    uint32_t burst;
    int64_t period_ms;
    uint32_t used;
    uint32_t dropped;
    int64_t window_start_ms;
};
bool dpc_log_allowed(struct dpc_log_limit *limit, int64_t now_ms, uint32_t *ret_dropped);

#endif
