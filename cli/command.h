/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs as tables: a program has subcommands, a subcommand has options and takes arguments. The
 * same tables parse the command line, write the usage texts and name the nearest for what was
 * misspelled.
 *
 * Owns: nothing; tables are constants, texts point into argv. Threads: one.
 * Limits: DPC_ARGUMENTS_MAX arguments or values of one option.
 */
#ifndef DPC_CLI_COMMAND_H
#define DPC_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/exit.h"

enum { DPC_ARGUMENTS_MAX = 256 };

struct dpc_texts {
    uint32_t count;
    const char *items[DPC_ARGUMENTS_MAX];
};

enum dpc_option_kind {
    DPC_OPTION_FLAG,    /* bool */
    DPC_OPTION_TEXT,    /* const char *; NULL: not given */
    DPC_OPTION_TEXTS,   /* struct dpc_texts; may be given again and again */
    DPC_OPTION_INTEGER, /* int64_t within [min, max] */
    DPC_OPTION_NUMBER,  /* double within [min, max] */
    DPC_OPTION_CHOICE,  /* int, an index into `choices` */
};

struct dpc_option {
    const char *name; /* behind "--" */
    enum dpc_option_kind kind;
    const char *value_name; /* "DIR"; NULL for flags */
    const char *help;
    size_t offset; /* of the field in the options struct */
    double min, max;
    const char *const *choices; /* ends with NULL */
    bool may_be_empty;          /* of texts: "" is one as good as any */
};

struct dpc_call {
    const char *name; /* "dipaco run", for messages */
    const void *options;
    const void *globals;
    struct dpc_texts arguments;
};

struct dpc_command {
    const char *name;      /* one word, or two: "data import" */
    const char *arguments; /* "FILE", "" */
    const char *summary;
    uint32_t arguments_min, arguments_max;
    const struct dpc_option *options;
    size_t options_count;
    const void *defaults; /* an options struct */
    size_t options_bytes;
    /* Returns an exit code. */
    int (*run)(const struct dpc_call *call);
};

struct dpc_program {
    const char *name;
    const char *summary;
    const struct dpc_command *const *commands;
    size_t commands_count;
    /* Options that every subcommand knows, and that may also stand before it. */
    const struct dpc_option *options;
    size_t options_count;
    const void *defaults;
    size_t options_bytes;
    /* Whether they go together, before any subcommand runs; NULL: they always do. Complains, and
     * returns an exit code. */
    int (*check)(const struct dpc_call *call);
};

/* The whole main of a program: finds the subcommand, parses, runs; returns an exit code. Usage
 * errors go to standard error with exit code 2, --help to standard output. */
int dpc_program_main(const struct dpc_program *program, int argc, char **argv);

/* "dipaco run: text" on standard error; returns `exit_code`. */
int dpc_complain(const struct dpc_call *call, int exit_code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same for an error report; the exit code follows from its code. */
int dpc_complain_error(const struct dpc_call *call, const struct dpc_error *err);

#define DPC_COUNT(array) (sizeof(array) / sizeof *(array))

#endif
