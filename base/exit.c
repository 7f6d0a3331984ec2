/* SPDX-License-Identifier: Apache-2.0
 * A service manager starts a daemon again after 1, and leaves it to a person after 2 and 4. */
#include "base/exit.h"

int
dpc_exit_of(int code)
{
    switch (code) {
    case DPC_OK:
        return DPC_EXIT_OK;
    case DPC_ETIMEDOUT:
    case DPC_ECLOSED:
        return DPC_EXIT_NO_CONTACT;
    case DPC_EBUSY:
    case DPC_EPERM:
    case DPC_ECORRUPT:
    case DPC_EVERSION:
        return DPC_EXIT_REFUSED;
    default:
        return DPC_EXIT_FAILED;
    }
}

int
dpc_exit_of_experiment(int code)
{
    switch (code) {
    case DPC_EPARSE:
    case DPC_ERANGE:
    case DPC_EINVAL:
    case DPC_ELIMIT:
    case DPC_EUNSUPPORTED:
        return DPC_EXIT_USAGE;
    default:
        return dpc_exit_of(code);
    }
}
