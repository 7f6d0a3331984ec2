/* SPDX-License-Identifier: Apache-2.0
 * Options stand in any order before, between and behind the arguments; "--" ends them. An option of
 * the program may also stand before the subcommand. */
#include "cli/command.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/nearest.h"
#include "cli/text.h"

/* One command line on its way through the tables. */
struct parse {
    const struct dpc_program *program;
    const struct dpc_command *command; /* NULL before it is found */
    void *globals, *options;
    struct dpc_texts arguments;
    bool help;
    char name[96]; /* for messages */
};

static int __attribute__((format(printf, 2, 3)))
usage_error(const struct parse *parse, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "%s: ", parse->name);
    vfprintf(stderr, format, list);
    fprintf(stderr, " (%s --help says more)\n", parse->name);
    va_end(list);
    return DPC_EXIT_USAGE;
}

/* --- Values. */

static int
put_integer(const struct parse *parse, const struct dpc_option *option, const char *text,
            int64_t *ret_value)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end != '\0' || (double)value < option->min ||
        (double)value > option->max)
        return usage_error(parse, "--%s must be a whole number from %.0f to %.0f, not \"%s\"",
                           option->name, option->min, option->max, text);
    *ret_value = value;
    return DPC_EXIT_OK;
}

static int
put_number(const struct parse *parse, const struct dpc_option *option, const char *text,
           double *ret_value)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (errno || end == text || *end != '\0' || !isfinite(value) || value < option->min ||
        value > option->max)
        return usage_error(parse, "--%s must be a number from %g to %g, not \"%s\"", option->name,
                           option->min, option->max, text);
    *ret_value = value;
    return DPC_EXIT_OK;
}

static int
put_choice(const struct parse *parse, const struct dpc_option *option, const char *text,
           int *ret_value)
{
    struct dpc_nearest nearest = {.wanted = text};
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *ret_value = i;
            return DPC_EXIT_OK;
        }
        dpc_nearest_offer(&nearest, option->choices[i]);
    }
    return usage_error(parse, "--%s must be one of %s, not \"%s\"%s%s%s", option->name,
                       option->value_name, text, nearest.best ? "; did you mean \"" : "",
                       nearest.best ? nearest.best : "", nearest.best ? "\"?" : "");
}

static int
put_texts(const struct parse *parse, const char *what, struct dpc_texts *texts, const char *text)
{
    if (texts->count == DPC_ARGUMENTS_MAX)
        return usage_error(parse, "more than %d of %s", DPC_ARGUMENTS_MAX, what);
    texts->items[texts->count++] = text;
    return DPC_EXIT_OK;
}

/* What a script left empty names nothing, and would be told as a file or a folder that is not
 * there, when half of the work is done. */
static int
put_text(const struct parse *parse, const struct dpc_option *option, void *field, const char *text)
{
    if (!*text && !option->may_be_empty)
        return usage_error(parse, "--%s takes %s, not \"\"", option->name, option->value_name);
    if (option->kind == DPC_OPTION_TEXTS)
        return put_texts(parse, option->name, field, text);
    *(const char **)field = text;
    return DPC_EXIT_OK;
}

static int
put_value(const struct parse *parse, const struct dpc_option *option, void *fields,
          const char *value)
{
    void *field = (char *)fields + option->offset;
    switch (option->kind) {
    case DPC_OPTION_FLAG:
        *(bool *)field = true;
        return DPC_EXIT_OK;
    case DPC_OPTION_TEXT:
    case DPC_OPTION_TEXTS:
        return put_text(parse, option, field, value);
    case DPC_OPTION_INTEGER:
        return put_integer(parse, option, value, field);
    case DPC_OPTION_NUMBER:
        return put_number(parse, option, value, field);
    case DPC_OPTION_CHOICE:
        return put_choice(parse, option, value, field);
    }
    return DPC_EXIT_USAGE;
}

/* --- Options. */

static const struct dpc_option *
find_in(const struct dpc_option *options, size_t count, const char *name, size_t len,
        struct dpc_nearest *nearest)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) == len && strncmp(options[i].name, name, len) == 0)
            return &options[i];
        dpc_nearest_offer(nearest, options[i].name);
    }
    return NULL;
}

static const struct dpc_option *
find_option(struct parse *parse, const char *name, size_t len, struct dpc_nearest *nearest,
            void **ret_fields)
{
    const struct dpc_option *option = NULL;
    if (parse->command) {
        option =
            find_in(parse->command->options, parse->command->options_count, name, len, nearest);
        *ret_fields = parse->options;
    }
    if (!option) {
        option =
            find_in(parse->program->options, parse->program->options_count, name, len, nearest);
        *ret_fields = parse->globals;
    }
    return option;
}

static int
unknown_option(const struct parse *parse, const char *text, const struct dpc_nearest *nearest)
{
    if (nearest->best)
        return usage_error(parse, "there is no option %s; did you mean --%s?", text, nearest->best);
    return usage_error(parse, "there is no option %s", text);
}

/* Takes the option at argv[*index], and its value behind it. */
static int
parse_option(struct parse *parse, int argc, char **argv, int *index)
{
    const char *text = argv[*index];
    if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
        parse->help = true;
        return DPC_EXIT_OK;
    }
    const char *name = text + strspn(text, "-");
    size_t len = strcspn(name, "=");
    char wanted[80];
    snprintf(wanted, sizeof wanted, "%.*s", (int)len, name);
    struct dpc_nearest nearest = {.wanted = wanted};
    dpc_nearest_offer(&nearest, "help");
    void *fields = NULL;
    const struct dpc_option *option =
        text[1] == '-' ? find_option(parse, name, len, &nearest, &fields) : NULL;
    if (!option)
        return unknown_option(parse, text, &nearest);
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    if (option->kind == DPC_OPTION_FLAG && value)
        return usage_error(parse, "--%s takes no value", option->name);
    if (option->kind != DPC_OPTION_FLAG && !value) {
        if (*index + 1 >= argc)
            return usage_error(parse, "--%s needs %s behind it", option->name, option->value_name);
        value = argv[++*index];
    }
    return put_value(parse, option, fields, value);
}

static bool
is_option(const char *text)
{
    return text[0] == '-' && text[1] != '\0';
}

static int
parse_rest(struct parse *parse, int argc, char **argv, int index)
{
    bool ended = false;
    int status = DPC_EXIT_OK;
    for (; index < argc && status == DPC_EXIT_OK && !parse->help; index++) {
        if (!ended && strcmp(argv[index], "--") == 0)
            ended = true;
        else if (!ended && is_option(argv[index]))
            status = parse_option(parse, argc, argv, &index);
        else
            status = put_texts(parse, "arguments", &parse->arguments, argv[index]);
    }
    return status;
}

/* --- Usage texts. */

static void
print_options(const struct dpc_option *options, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", options[i].name, options[i].value_name ? " " : "",
                 options[i].value_name ? options[i].value_name : "");
        fprintf(out, "  %-24s %s\n", left, options[i].help);
    }
}

static void
print_command_usage(const struct dpc_program *program, const struct dpc_command *command, FILE *out)
{
    fprintf(out, "usage: %s %s%s%s [OPTION]...\n\n%s\n", program->name, command->name,
            *command->arguments ? " " : "", command->arguments, command->summary);
    fprintf(out, "\n");
    print_options(command->options, command->options_count, out);
    print_options(program->options, program->options_count, out);
    fprintf(out, "  %-24s %s\n", "--help", "this text");
}

static void
print_program_usage(const struct dpc_program *program, FILE *out)
{
    fprintf(out, "usage: %s SUBCOMMAND [ARGUMENT]... [OPTION]...\n\n%s\n\n", program->name,
            program->summary);
    for (size_t i = 0; i < program->commands_count; i++) {
        const struct dpc_command *command = program->commands[i];
        char left[64];
        snprintf(left, sizeof left, "%s %s", command->name, command->arguments);
        fprintf(out, "  %-24s %s\n", left, command->summary);
    }
    fprintf(out, "\n");
    print_options(program->options, program->options_count, out);
    fprintf(out, "  %-24s %s\n", "--version", "name and version");
    fprintf(out,
            "\nExit codes: 0 ok, 1 failed, 2 usage, 3 no contact, 4 refused.\n"
            "%s SUBCOMMAND --help says more; so does man %s.\n",
            program->name, program->name);
}

/* --- Subcommands. */

static bool
begins_with_word(const char *name, const char *word)
{
    size_t len = strlen(word);
    return strncmp(name, word, len) == 0 && name[len] == ' ';
}

/* Words of argv that `name` takes: 1 or 2, or 0 when it is another name. */
static int
command_matches(const char *name, int argc, char **argv, int index)
{
    if (!strchr(name, ' '))
        return strcmp(name, argv[index]) == 0 ? 1 : 0;
    if (!begins_with_word(name, argv[index]) || index + 1 >= argc)
        return 0;
    return strcmp(name + strlen(argv[index]) + 1, argv[index + 1]) == 0 ? 2 : 0;
}

/* 0 when it is not the first of two words of any. */
static int
ask_for_second_word(const struct parse *parse, const char *word)
{
    struct dpc_buf names;
    dpc_buf_init(&names, 0);
    for (size_t i = 0; i < parse->program->commands_count; i++) {
        const char *name = parse->program->commands[i]->name;
        if (begins_with_word(name, word))
            dpc_buf_printf(&names, "%s\"%s\"", names.len ? " or " : "", name);
    }
    int status =
        names.len ? usage_error(parse, "\"%s\" needs a second word: %s", word, dpc_buf_text(&names))
                  : 0;
    dpc_buf_done(&names);
    return status;
}

static int
unknown_command(const struct parse *parse, int argc, char **argv, int index)
{
    char two[160];
    bool second = index + 1 < argc && !is_option(argv[index + 1]);
    int status = second ? 0 : ask_for_second_word(parse, argv[index]);
    if (status)
        return status;
    snprintf(two, sizeof two, "%s%s%s", argv[index], second ? " " : "",
             second ? argv[index + 1] : "");
    struct dpc_nearest nearest = {.wanted = argv[index]}, nearest_two = {.wanted = two};
    for (size_t i = 0; i < parse->program->commands_count; i++) {
        const char *name = parse->program->commands[i]->name;
        dpc_nearest_offer(strchr(name, ' ') ? &nearest_two : &nearest, name);
    }
    const char *best = nearest.best ? nearest.best : nearest_two.best;
    if (best)
        return usage_error(parse, "there is no subcommand \"%s\"; did you mean \"%s\"?",
                           nearest.best ? argv[index] : two, best);
    return usage_error(parse, "there is no subcommand \"%s\"", argv[index]);
}

/* Returns the words taken, or 0. */
static int
find_command(struct parse *parse, int argc, char **argv, int index)
{
    for (size_t i = 0; i < parse->program->commands_count; i++) {
        int words = command_matches(parse->program->commands[i]->name, argc, argv, index);
        if (words) {
            parse->command = parse->program->commands[i];
            snprintf(parse->name, sizeof parse->name, "%s %s", parse->program->name,
                     parse->command->name);
            return words;
        }
    }
    return 0;
}

static int
check_arguments(const struct parse *parse)
{
    const struct dpc_command *command = parse->command;
    if (parse->arguments.count < command->arguments_min)
        return usage_error(parse, "%s %s", command->arguments,
                           command->arguments_min == 1 ? "is missing" : "are missing");
    if (parse->arguments.count > command->arguments_max)
        return usage_error(parse, "does not know what to do with \"%s\"",
                           parse->arguments.items[command->arguments_max]);
    return DPC_EXIT_OK;
}

static int
run_command(struct parse *parse, int argc, char **argv, int index)
{
    const struct dpc_command *command = parse->command;
    parse->options = dpc_alloc(1, command->options_bytes + 1);
    if (command->defaults)
        memcpy(parse->options, command->defaults, command->options_bytes);
    int status = parse_rest(parse, argc, argv, index);
    if (status == DPC_EXIT_OK && parse->help) {
        print_command_usage(parse->program, command, stdout);
    } else if (status == DPC_EXIT_OK) {
        status = check_arguments(parse);
        if (status == DPC_EXIT_OK) {
            struct dpc_call call = {parse->name, parse->options, parse->globals, parse->arguments};
            if (parse->program->check)
                status = parse->program->check(&call);
            if (status == DPC_EXIT_OK)
                status = command->run(&call);
        }
    }
    dpc_free(parse->options);
    return status;
}

/* Options before the subcommand, then the subcommand. */
static int
parse_program(struct parse *parse, int argc, char **argv)
{
    int index = 1, status = DPC_EXIT_OK;
    for (; index < argc && is_option(argv[index]); index++) {
        if (strcmp(argv[index], "--version") == 0) {
            printf("%s %s\n", parse->program->name, PACKAGE_VERSION);
            return DPC_EXIT_OK;
        }
        status = parse_option(parse, argc, argv, &index);
        if (status != DPC_EXIT_OK)
            return status;
    }
    if (!parse->help && index < argc && strcmp(argv[index], "help") == 0) {
        parse->help = true;
        index++;
    }
    if (index == argc) {
        print_program_usage(parse->program, parse->help ? stdout : stderr);
        return parse->help ? DPC_EXIT_OK : DPC_EXIT_USAGE;
    }
    int words = find_command(parse, argc, argv, index);
    if (words == 0)
        return unknown_command(parse, argc, argv, index);
    return run_command(parse, argc, argv, index + words);
}

/* What was printed may meet a full disk only now, or has met it when the buffer was full: then
 * there may be nothing left to fail, and the reason is known no more. */
static int
finish_output(const struct parse *parse)
{
    bool lost = ferror(stdout) != 0;
    const char *reason = "part of it is lost; is its disk full?";
    if (fflush(stdout) != 0)
        reason = strerror(errno);
    else if (!lost)
        return DPC_EXIT_OK;
    fprintf(stderr, "%s: could not write to standard output: %s\n", parse->name, reason);
    return DPC_EXIT_FAILED;
}

int
dpc_program_main(const struct dpc_program *program, int argc, char **argv)
{
    struct parse parse = {.program = program};
    snprintf(parse.name, sizeof parse.name, "%s", program->name);
    parse.globals = dpc_alloc(1, program->options_bytes + 1);
    if (program->defaults)
        memcpy(parse.globals, program->defaults, program->options_bytes);
    int status = parse_program(&parse, argc, argv);
    if (status == DPC_EXIT_OK)
        status = finish_output(&parse);
    dpc_free(parse.globals);
    return status;
}

/* --- Complaints. */

/* A name or a line of a file from elsewhere may stand in it: it must not draw on this terminal. */
int
dpc_complain(const struct dpc_call *call, int exit_code, const char *format, ...)
{
    char text[2 * DPC_ERROR_TEXT_MAX];
    struct dpc_buf clean;
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    dpc_buf_init(&clean, 0);
    dpc_text_clean(text, dpc_text_cut(text, strlen(text)), &clean);
    fprintf(stderr, "%s: %s\n", call->name, dpc_buf_text(&clean));
    dpc_buf_done(&clean);
    return exit_code;
}

int
dpc_complain_error(const struct dpc_call *call, const struct dpc_error *err)
{
    return dpc_complain(call, dpc_exit_of(err->code), "%s", err->text);
}
