/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

int
main(int argc, char **argv)
{
    return dpc_program_main(&dpc_program_dipaco, argc, argv);
}
