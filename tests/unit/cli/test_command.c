/* SPDX-License-Identifier: Apache-2.0
 * The parser on a table of its own, with standard error caught in a file, and the real tables. */
#include "cli/command.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "tests/unit/harness.h"

struct fields {
    bool flag;
    const char *text, *remark;
    struct dpc_texts texts;
    int64_t integer;
    double number;
    int choice;
};

static struct fields seen;
static struct dpc_texts seen_arguments;
static bool seen_global;
static int runs;

static int
remember(const struct dpc_call *call)
{
    seen = *(const struct fields *)call->options;
    seen_arguments = call->arguments;
    seen_global = *(const bool *)call->globals;
    runs++;
    return DPC_EXIT_OK;
}

static const char *const choices[] = {"red", "green", NULL};
static const struct dpc_option options[] = {
    {.name = "flag", .kind = DPC_OPTION_FLAG, .offset = offsetof(struct fields, flag)},
    {.name = "text",
     .kind = DPC_OPTION_TEXT,
     .value_name = "T",
     .offset = offsetof(struct fields, text)},
    {.name = "texts",
     .kind = DPC_OPTION_TEXTS,
     .value_name = "T",
     .offset = offsetof(struct fields, texts)},
    {.name = "integer",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "N",
     .offset = offsetof(struct fields, integer),
     .min = 1,
     .max = 10},
    {.name = "number",
     .kind = DPC_OPTION_NUMBER,
     .value_name = "N",
     .offset = offsetof(struct fields, number),
     .min = 0,
     .max = 2},
    {.name = "remark",
     .kind = DPC_OPTION_TEXT,
     .value_name = "T",
     .offset = offsetof(struct fields, remark),
     .may_be_empty = true},
    {.name = "choice",
     .kind = DPC_OPTION_CHOICE,
     .value_name = "red|green",
     .offset = offsetof(struct fields, choice),
     .choices = choices},
};
static const struct dpc_option globals[] = {{.name = "global", .kind = DPC_OPTION_FLAG}};
static const struct fields defaults = {.integer = 7};
static const struct dpc_command paint = {
    .name = "paint",
    .arguments = "FILE",
    .summary = "s",
    .arguments_min = 1,
    .arguments_max = 2,
    .options = options,
    .options_count = DPC_COUNT(options),
    .defaults = &defaults,
    .options_bytes = sizeof defaults,
    .run = remember,
};
static const struct dpc_command data_info = {
    .name = "data info",
    .arguments = "",
    .summary = "s",
    .options = options,
    .options_count = DPC_COUNT(options),
    .defaults = &defaults,
    .options_bytes = sizeof defaults,
    .run = remember,
};

/* More than a buffer holds, and then nothing that is left for the end. */
static int
print_much(const struct dpc_call *call)
{
    (void)call;
    for (int i = 0; i < 2 * BUFSIZ; i++)
        putchar('x');
    (void)fflush(stdout);
    return DPC_EXIT_OK;
}

static const struct dpc_command print = {.name = "print", .arguments = "", .run = print_much};
static const struct dpc_command *const commands[] = {&paint, &data_info, &print};
static const struct dpc_program program = {
    .name = "prog",
    .summary = "s",
    .commands = commands,
    .commands_count = DPC_COUNT(commands),
    .options = globals,
    .options_count = DPC_COUNT(globals),
    .options_bytes = sizeof(bool),
};

static char caught[4096];

/* Runs the program on words, which end with NULL, with standard error in `caught`. */
static int
run_words(const char *const *words)
{
    char *argv[32] = {0};
    int argc = 0;
    for (; words[argc]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc];
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO), before_out = dup(STDOUT_FILENO);
    fflush(NULL);
    dup2(fileno(file), STDERR_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    int status = dpc_program_main(&program, argc, argv);
    fflush(NULL);
    dup2(before, STDERR_FILENO);
    dup2(before_out, STDOUT_FILENO);
    close(before);
    close(before_out);
    rewind(file);
    caught[fread(caught, 1, sizeof caught - 1, file)] = '\0';
    fclose(file);
    return status;
}

#define RUN(...)   run_words((const char *const[]){"prog", __VA_ARGS__, NULL})
#define SAYS(text) CU_ASSERT_PTR_NOT_NULL(strstr(caught, text))

static void
test_defaults(void)
{
    CU_ASSERT_EQUAL(RUN("paint", "wall"), DPC_EXIT_OK);
    CU_ASSERT_EQUAL(seen.integer, 7);
    CU_ASSERT_FALSE(seen.flag);
    CU_ASSERT_PTR_NULL(seen.text);
    CU_ASSERT_EQUAL(seen_arguments.count, 1);
    CU_ASSERT_STRING_EQUAL(seen_arguments.items[0], "wall");
}

static void
test_every_kind(void)
{
    CU_ASSERT_EQUAL(RUN("--global", "paint", "--text=a b", "wall", "--texts", "x", "--flag",
                        "--texts", "y", "--integer", "10", "--number", "0.5", "--choice", "green",
                        "--", "--flag"),
                    DPC_EXIT_OK);
    CU_ASSERT_TRUE(seen_global);
    CU_ASSERT_TRUE(seen.flag);
    CU_ASSERT_STRING_EQUAL(seen.text, "a b");
    CU_ASSERT_EQUAL(seen.texts.count, 2);
    CU_ASSERT_STRING_EQUAL(seen.texts.items[1], "y");
    CU_ASSERT_EQUAL(seen.integer, 10);
    CU_ASSERT_EQUAL(seen.number, 0.5);
    CU_ASSERT_EQUAL(seen.choice, 1);
    CU_ASSERT_EQUAL(seen_arguments.count, 2);
    CU_ASSERT_STRING_EQUAL(seen_arguments.items[1], "--flag");
}

static void
test_global_behind_the_subcommand(void)
{
    CU_ASSERT_EQUAL(RUN("data", "info", "--global"), DPC_EXIT_OK);
    CU_ASSERT_TRUE(seen_global);
}

static void
test_misspelled(void)
{
    int before = runs;
    CU_ASSERT_EQUAL(RUN("pant", "wall"), DPC_EXIT_USAGE);
    SAYS("\"paint\"");
    CU_ASSERT_EQUAL(RUN("data", "inof"), DPC_EXIT_USAGE);
    SAYS("\"data info\"");
    CU_ASSERT_EQUAL(RUN("data"), DPC_EXIT_USAGE);
    SAYS("\"data info\"");
    CU_ASSERT_EQUAL(RUN("paint", "--intger", "3", "wall"), DPC_EXIT_USAGE);
    SAYS("--integer");
    CU_ASSERT_EQUAL(RUN("paint", "--glboal", "wall"), DPC_EXIT_USAGE);
    SAYS("--global");
    CU_ASSERT_EQUAL(RUN("paint", "--choice", "gren", "wall"), DPC_EXIT_USAGE);
    SAYS("\"green\"");
    CU_ASSERT_EQUAL(RUN("paint", "-f", "wall"), DPC_EXIT_USAGE);
    CU_ASSERT_EQUAL(RUN("zzzzzzzz"), DPC_EXIT_USAGE);
    CU_ASSERT_EQUAL(runs, before);
}

static void
test_values_out_of_range(void)
{
    int before = runs;
    static const char *const integers[] = {"0", "11", "", "3x", "99999999999999999999", "1.5"};
    for (size_t i = 0; i < DPC_COUNT(integers); i++) {
        CU_ASSERT_EQUAL(RUN("paint", "wall", "--integer", integers[i]), DPC_EXIT_USAGE);
        SAYS("from 1 to 10");
    }
    static const char *const numbers[] = {"-0.1", "2.1", "nan", "inf", "", "1e999", "x"};
    for (size_t i = 0; i < DPC_COUNT(numbers); i++) {
        CU_ASSERT_EQUAL(RUN("paint", "wall", "--number", numbers[i]), DPC_EXIT_USAGE);
        SAYS("from 0 to 2");
    }
    CU_ASSERT_EQUAL(RUN("paint", "wall", "--integer"), DPC_EXIT_USAGE);
    SAYS("needs N");
    CU_ASSERT_EQUAL(RUN("paint", "wall", "--flag=1"), DPC_EXIT_USAGE);
    SAYS("takes no value");
    CU_ASSERT_EQUAL(runs, before);
}

/* A variable of a script that is not set: it was told as a folder that cannot be made, in words and
 * with a status of their own in each subcommand. */
static void
test_empty_texts(void)
{
    int before = runs;
    CU_ASSERT_EQUAL(RUN("paint", "wall", "--text", ""), DPC_EXIT_USAGE);
    SAYS("--text takes T, not \"\"");
    CU_ASSERT_EQUAL(RUN("paint", "wall", "--texts="), DPC_EXIT_USAGE);
    SAYS("--texts takes T, not \"\"");
    CU_ASSERT_EQUAL(runs, before);
    CU_ASSERT_EQUAL(RUN("paint", "wall", "--remark", ""), DPC_EXIT_OK);
    CU_ASSERT_STRING_EQUAL(seen.remark, "");
}

static void
test_number_of_arguments(void)
{
    CU_ASSERT_EQUAL(RUN("paint"), DPC_EXIT_USAGE);
    SAYS("FILE is missing");
    CU_ASSERT_EQUAL(RUN("paint", "a", "b", "c"), DPC_EXIT_USAGE);
    SAYS("\"c\"");
}

static void
test_more_values_than_there_is_room(void)
{
    const char *words[2 * DPC_ARGUMENTS_MAX + 8] = {"prog", "paint", "wall"};
    char *argv[2 * DPC_ARGUMENTS_MAX + 8];
    int count = 3;
    for (int i = 0; i <= DPC_ARGUMENTS_MAX; i++) {
        words[count++] = "--texts";
        words[count++] = "x";
    }
    memcpy(argv, words, sizeof words);
    CU_ASSERT_EQUAL(dpc_program_main(&program, count, argv), DPC_EXIT_USAGE);
}

static void
test_help(void)
{
    CU_ASSERT_EQUAL(RUN("--help"), DPC_EXIT_OK);
    SAYS("data info");
    CU_ASSERT_EQUAL(RUN("help", "paint"), DPC_EXIT_OK);
    SAYS("--integer");
    CU_ASSERT_EQUAL(RUN("paint", "--help"), DPC_EXIT_OK);
    SAYS("--global");
    CU_ASSERT_EQUAL(RUN("--version"), DPC_EXIT_OK);
    SAYS(PACKAGE_VERSION);
    CU_ASSERT_EQUAL(run_words((const char *const[]){"prog", NULL}), DPC_EXIT_USAGE);
}

static void
test_output_that_was_lost_before_the_end(void)
{
    char *argv[] = {(char *)(uintptr_t) "prog", (char *)(uintptr_t) "print", NULL};
    int before = dup(STDOUT_FILENO), full = open("/dev/full", O_WRONLY);
    fflush(stdout);
    dup2(full, STDOUT_FILENO);
    close(full);
    int status = dpc_program_main(&program, 2, argv);
    clearerr(stdout);
    dup2(before, STDOUT_FILENO);
    close(before);
    CU_ASSERT_EQUAL(status, DPC_EXIT_FAILED);
}

static void
check_table(const struct dpc_option *table, size_t count, size_t fields_bytes)
{
    for (size_t i = 0; i < count; i++) {
        CU_ASSERT_PTR_NOT_NULL(table[i].help);
        CU_ASSERT((table[i].kind == DPC_OPTION_FLAG) == (table[i].value_name == NULL));
        CU_ASSERT(table[i].offset < fields_bytes);
        CU_ASSERT((table[i].kind == DPC_OPTION_CHOICE) == (table[i].choices != NULL));
        if (table[i].kind == DPC_OPTION_INTEGER || table[i].kind == DPC_OPTION_NUMBER)
            CU_ASSERT(table[i].min < table[i].max);
    }
}

static void
test_real_tables(void)
{
    const struct dpc_program *programs[] = {&dpc_program_dipaco, &dpc_program_dipacoctl};
    for (size_t p = 0; p < DPC_COUNT(programs); p++) {
        check_table(programs[p]->options, programs[p]->options_count, programs[p]->options_bytes);
        for (size_t i = 0; i < programs[p]->commands_count; i++) {
            const struct dpc_command *command = programs[p]->commands[i];
            CU_ASSERT_PTR_NOT_NULL(command->run);
            CU_ASSERT_PTR_NOT_NULL(command->summary);
            CU_ASSERT(command->arguments_min <= command->arguments_max);
            CU_ASSERT((command->arguments_max == 0) == (*command->arguments == '\0'));
            check_table(command->options, command->options_count, command->options_bytes);
        }
    }
}

static const struct dpc_test tests[] = {
    {"defaults hold", test_defaults},
    {"every kind of option", test_every_kind},
    {"a global option behind the subcommand", test_global_behind_the_subcommand},
    {"what is misspelled names the nearest", test_misspelled},
    {"values out of range are refused", test_values_out_of_range},
    {"empty texts", test_empty_texts},
    {"too few and too many arguments", test_number_of_arguments},
    {"more values than there is room for", test_more_values_than_there_is_room},
    {"help and version", test_help},
    {"output that was lost before the end is a failure", test_output_that_was_lost_before_the_end},
    {"the real tables are whole", test_real_tables},
};
DPC_TEST_MAIN("cli/command", tests)
