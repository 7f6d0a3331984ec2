/* SPDX-License-Identifier: Apache-2.0
 * Names are made of a text, whoever printed it: of this release's for a run that is wanted, of the
 * file in its folder for one that is there. */
#include "cli/comparison_names.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/imported.h"
#include "base/vfs.h"
#include "cli/comparison_report.h"
#include "cli/losses.h"
#include "cli/result.h"
#include "data/tokens.h"

/* --- Names. */

static void
hash_text(const struct dpc_buf *text, struct dpc_hash *ret_hash)
{
    dpc_hash_of(text->data, text->len, ret_hash);
}

void
dpc_comparison_content(const struct dpc_experiment *experiment, struct dpc_hash *ret_hash)
{
    struct dpc_experiment *plain = dpc_alloc(1, sizeof *plain);
    struct dpc_buf yaml;
    *plain = *experiment;
    plain->baseline.dense = false;
    (void)snprintf(plain->name, sizeof plain->name, "row");
    dpc_buf_init(&yaml, 0);
    dpc_experiment_print(plain, &yaml);
    hash_text(&yaml, ret_hash);
    dpc_buf_done(&yaml);
    dpc_free(plain);
}

static int
hash_corpus(const struct dpc_experiment *experiment, struct dpc_hash *ret_hash,
            struct dpc_error *err)
{
    struct dpc_tokens *corpus;
    int code = dpc_tokens_open(experiment->data.corpus, &corpus, err);
    if (code != DPC_OK)
        return code;
    dpc_tokens_hash(corpus, ret_hash);
    dpc_tokens_close(corpus);
    return DPC_OK;
}

static int
hash_imported(const struct dpc_experiment *experiment, struct dpc_hash *ret_hash,
              struct dpc_error *err)
{
    struct dpc_imported *imported = NULL;
    int code =
        dpc_imported_open(&dpc_vfs_posix, experiment->warm_start.from, experiment, &imported, err);
    if (code == DPC_OK)
        code = dpc_imported_hash(imported, ret_hash, err);
    dpc_imported_close(imported);
    return code;
}

int
dpc_comparison_name_run(struct dpc_comparison_run *run, struct dpc_error *err)
{
    struct dpc_hash inputs[3] = {run->content}, hash;
    bool imports = dpc_experiment_imports(&run->experiment);
    char hex[DPC_HASH_HEX_MAX];
    int code = hash_corpus(&run->experiment, &inputs[1], err);
    if (code == DPC_OK && imports)
        code = hash_imported(&run->experiment, &inputs[2], err);
    if (code != DPC_OK)
        return code;
    dpc_hash_of(inputs, (imports ? 3 : 2) * sizeof *inputs, &hash);
    dpc_hash_hex(&hash, hex, sizeof hex);
    (void)snprintf(run->name, sizeof run->name, "%s-%llu-%.8s%s", run->experiment.name,
                   (unsigned long long)run->experiment.seed, hex,
                   run->experiment.baseline.dense ? "-dense" : "");
    return DPC_OK;
}

/* --- What lies in a folder. */

struct found {
    struct dpc_comparison_run run; /* as its experiment file says; `content` by that file's text */
    struct dpc_hash content;       /* by this release's text */
};

/* The text of a release as dpc_comparison_content has it printed: without a name of its own, and
 * with nothing dense beside. */
static void
hash_file(const char *text, size_t len, struct dpc_hash *ret_hash)
{
    static const char dense[] = "  dense: true";
    struct dpc_buf plain;
    dpc_buf_init(&plain, 0);
    for (const char *line = text, *end = text + len; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t line_len = (size_t)((next ? next : end) - line);
        if (line == text)
            dpc_buf_printf(&plain, "experiment: row");
        else if (line_len == sizeof dense - 1 && memcmp(line, dense, line_len) == 0)
            dpc_buf_printf(&plain, "  dense: false");
        else
            dpc_buf_put(&plain, line, line_len);
        if (next)
            dpc_buf_put_u8(&plain, '\n');
        line += line_len + 1;
    }
    hash_text(&plain, ret_hash);
    dpc_buf_done(&plain);
}

static int
read_found(const char *path, struct found *ret_found, struct dpc_error *err)
{
    char file[DPC_PATH_MAX];
    uint8_t *text;
    size_t len;
    int code = dpc_path_join(path, "experiment.yaml", file, sizeof file);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the path \"%.200s/experiment.yaml\" is too long", path);
    code = dpc_vfs_read_file(&dpc_vfs_posix, file, DPC_CONFIG_BYTES_MAX, &text, &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_experiment_parse(file, (const char *)text, len, &ret_found->run.experiment, err);
    if (code == DPC_OK) {
        hash_file((const char *)text, len, &ret_found->run.content);
        dpc_comparison_content(&ret_found->run.experiment, &ret_found->content);
    }
    dpc_free(text);
    return code;
}

static int
check_losses(const char *report_path, bool dense, struct dpc_error *err)
{
    struct dpc_losses losses;
    int code = dpc_losses_load(report_path, (struct dpc_losses_of){.dense = dense}, &losses, err);
    if (code == DPC_OK)
        dpc_losses_done(&losses);
    return code;
}

/* Its report can be read. */
static int
check_report(const char *path, const struct dpc_experiment *experiment, struct dpc_error *err)
{
    char report_path[DPC_PATH_MAX];
    struct dpc_json *report;
    int code = dpc_path_join(path, "report", report_path, sizeof report_path);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the path \"%.200s/report\" is too long", path);
    code = dpc_result_load(report_path, &report, err);
    if (code != DPC_OK)
        return code;
    dpc_json_destroy(report);
    code = check_losses(report_path, false, err);
    return code == DPC_OK && experiment->baseline.dense ? check_losses(report_path, true, err)
                                                        : code;
}

/* Is it what its name says, trained on the corpus that is there now? */
static int
check_found(const char *path, const char *name, struct found *found, struct dpc_error *err)
{
    int code = dpc_comparison_name_run(&found->run, err);
    if (code != DPC_OK)
        return code;
    if (strcmp(found->run.name, name) != 0)
        return dpc_error_set(err, DPC_ESTALE,
                             "its name is not that of its experiment.yaml and its corpus: one of "
                             "them was changed");
    return check_report(path, &found->run.experiment, err);
}

/* --- Looking through the folder. */

struct names {
    uint32_t count;
    char **items;
};

static void
add_name(void *context, const char *name)
{
    struct names *names = context;
    names->items = dpc_grow(names->items, names->count + 1, sizeof *names->items);
    names->items[names->count++] = dpc_strdup(name);
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct search {
    struct dpc_comparison_runs *runs;
    const char *folder;
    void (*tell)(void *context, const char *text);
    void *context;
};

static void __attribute__((format(printf, 2, 3)))
say(const struct search *search, const char *format, ...)
{
    char text[DPC_ERROR_TEXT_MAX + DPC_PATH_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    search->tell(search->context, text);
}

/* The run that the folder is for and that has not finished elsewhere; NULL when there is none. */
static struct dpc_comparison_run *
wanted_run(const struct search *search, const struct found *found)
{
    for (uint32_t i = 0; i < search->runs->count; i++) {
        struct dpc_comparison_run *run = &search->runs->runs[i];
        if (dpc_hash_equal(&run->content, &found->content) &&
            run->experiment.baseline.dense == found->run.experiment.baseline.dense &&
            !dpc_comparison_run_is_finished(search->folder, run))
            return run;
    }
    return NULL;
}

/* The run that the finished one in the folder `path` is; NULL: none that is wanted. */
static int
match(const struct search *search, const char *path, const char *name, struct found *found,
      struct dpc_comparison_run **ret_run, struct dpc_error *err)
{
    int code = read_found(path, found, err);
    if (code != DPC_OK)
        return code;
    *ret_run = wanted_run(search, found);
    return *ret_run ? check_found(path, name, found, err) : DPC_OK;
}

static void
look_at(const struct search *search, const char *name, struct found *found)
{
    char path[DPC_PATH_MAX];
    struct dpc_comparison_run *run = NULL;
    struct dpc_error err;
    int length = snprintf(found->run.name, sizeof found->run.name, "%s", name);
    if ((size_t)length >= sizeof found->run.name ||
        dpc_comparison_run_folder(search->folder, &found->run, path, NULL) != DPC_OK ||
        !dpc_comparison_run_is_finished(search->folder, &found->run))
        return;
    if (match(search, path, name, found, &run, &err) != DPC_OK) {
        say(search, "the finished run \"%s\" is left alone: %s", name, err.text);
    } else if (run) {
        say(search, "%s, seed %llu: an earlier release has trained it as \"%s\"",
            run->experiment.name, (unsigned long long)run->experiment.seed, name);
        memcpy(run->name, name, (size_t)length + 1);
    }
}

static bool
all_are_finished(const struct search *search)
{
    bool all = true;
    for (uint32_t i = 0; i < search->runs->count; i++)
        all &= dpc_comparison_run_is_finished(search->folder, &search->runs->runs[i]);
    return all;
}

void
dpc_comparison_find_finished(struct dpc_comparison_runs *runs, const char *folder,
                             void (*tell)(void *context, const char *text), void *context)
{
    struct search search = {runs, folder, tell, context};
    struct names names = {0};
    char path[DPC_PATH_MAX];
    if (dpc_path_join(folder, "runs", path, sizeof path) != DPC_OK || all_are_finished(&search) ||
        dpc_vfs_posix.ops->list(&dpc_vfs_posix, path, add_name, &names) != DPC_OK)
        return;
    struct found *found = dpc_alloc(1, sizeof *found);
    if (names.count)
        qsort(names.items, names.count, sizeof *names.items, by_name);
    for (uint32_t i = 0; i < names.count; i++) {
        look_at(&search, names.items[i], found);
        dpc_free(names.items[i]);
    }
    dpc_free(names.items);
    dpc_free(found);
}
