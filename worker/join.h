/* SPDX-License-Identifier: Apache-2.0
 *
 * Becoming a worker of a coordinator by a join string (proto/join.h): makes this worker's key unless
 * it has one, shows the coordinator the invitation, waits where the operator has to say yes, and
 * notes the coordinator in a file of the worker's folder. Whatever broke it off, the same again goes
 * on: one that was taken in already is told so, also when the invitation is over by then.
 *
 * Owns: nothing. Threads: the caller's; blocks. Not here: options (main.c).
 */
#ifndef DPC_WORKER_JOIN_H
#define DPC_WORKER_JOIN_H

#include <stdbool.h>

#include "base/error.h"

struct dpc_join_options {
    const char *text;        /* the join string */
    const char *endpoint;    /* to connect to in place of the string's; NULL: that */
    const char *name;        /* of this worker, for the operator */
    const char *key;         /* file of its key; made when missing */
    const char *coordinator; /* file that notes the coordinator (dpc_coordinator_save) */
    bool patient;            /* goes on trying while nobody answers; else a minute */
};

/* DPC_EPERM: it was turned away, or the invitation is over; DPC_EEXIST: the file names another
 * coordinator; DPC_ETIMEDOUT: no contact. */
int dpc_worker_join(const struct dpc_join_options *options, struct dpc_error *err) DPC_MUST_CHECK;

#endif
