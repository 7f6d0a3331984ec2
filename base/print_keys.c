/* SPDX-License-Identifier: Apache-2.0
 * Writes what follows from the table of an experiment's keys: `print_keys example` the commented
 * file, `print_keys man` the fragment of the man page. Runs while building, is not installed. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/experiment.h"

int
main(int argc, char **argv)
{
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    if (argc == 2 && strcmp(argv[1], "example") == 0) {
        dpc_experiment_write_example(&out);
    } else if (argc == 2 && strcmp(argv[1], "man") == 0) {
        dpc_experiment_write_man(&out);
    } else {
        fprintf(stderr, "usage: %s example|man\n", argv[0]);
        return 2;
    }
    bool failed = out.failed || fwrite(out.data, 1, out.len, stdout) != out.len || fflush(stdout);
    dpc_buf_done(&out);
    return failed ? 1 : 0;
}
