/* SPDX-License-Identifier: Apache-2.0
 *
 * Exit codes of all programs, and how error codes map onto them.
 */
#ifndef DPC_BASE_EXIT_H
#define DPC_BASE_EXIT_H

#include "base/error.h"

enum dpc_exit {
    DPC_EXIT_OK = 0,
    DPC_EXIT_FAILED = 1,
    DPC_EXIT_USAGE = 2,
    DPC_EXIT_NO_CONTACT = 3,
    DPC_EXIT_REFUSED = 4,
    DPC_EXIT_SIGNAL = 128, /* plus the signal that stopped it, cleanly, as shells count */
};

/* No contact for what timed out or closed; refused for what a person must mend before another try
 * can end differently (in use, not permitted, damaged, of a newer release); else failed. */
int dpc_exit_of(int code);
/* The same for reading an experiment file: one that is missing, or what is wrong in it, is wrong
 * usage. */
int dpc_exit_of_experiment(int code);

#endif
