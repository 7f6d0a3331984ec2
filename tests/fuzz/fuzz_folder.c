/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in the files that programs leave in their own folders and read again: how a
 * worker stands, how long it rests, what it has moved, a run's state and report, its losses, kinds
 * of documents. Damage is told, and what is accepted is within its bounds and comes back when it is
 * written again.
 *
 * The first byte of an input says which file it is.
 */
#include <math.h>

#include "cli/losses.h"
#include "cli/result.h"
#include "cli/run_folder.h"
#include "data/metadata.h"
#include "tests/fuzz/folder.h"
#include "worker/owner/snooze.h"
#include "worker/standing.h"

enum { WALL_S = 1800000000, NOW_MS = 1000, DOCUMENTS = 8 };

struct bytes {
    const uint8_t *data;
    size_t len;
};

static void
require_reason(int code, const struct dpc_error *err)
{
    fuzz_require(code == DPC_OK || (err->code == code && *err->text), "a refusal says why");
}

static void
show_standing(bool running, bool json)
{
    char *text;
    struct dpc_error err = {0};
    int code = dpc_standing_show(&dpc_vfs_posix, fuzz_folder, running, json, WALL_S, &text, &err);
    require_reason(code, &err);
    if (code != DPC_OK)
        return;
    fuzz_accepted++;
    for (const char *at = text; *at; at++)
        fuzz_require(*at == '\n' || ((unsigned char)*at >= ' ' && *at != 0x7F),
                     "a terminal obeys nothing of it");
    dpc_free(text);
}

static void
read_standing(struct bytes bytes)
{
    static const struct dpc_standing standing = {.name = "w"};
    struct dpc_error err = {0};
    fuzz_folder_write("status.json", bytes.data, bytes.len);
    for (int i = 0; i < 4; i++)
        show_standing(i & 1, i & 2);
    struct dpc_standing_file *file = dpc_standing_open(&dpc_vfs_posix, fuzz_folder, &err);
    (void)remove(fuzz_folder_path("status.json"));
    fuzz_require(dpc_standing_write(file, &standing, NOW_MS, WALL_S, &err) == DPC_OK,
                 "what cannot be read is written over");
    dpc_standing_close(file);
    err.code = DPC_OK;
    file = dpc_standing_open(&dpc_vfs_posix, fuzz_folder, &err);
    fuzz_require(err.code == DPC_OK, "what was written is read");
    dpc_standing_close(file);
}

static void
read_snooze(struct bytes bytes)
{
    struct dpc_error err = {0};
    fuzz_folder_write("snooze", bytes.data, bytes.len);
    struct dpc_snooze *snooze = dpc_snooze_create(fuzz_folder);
    for (int64_t i = 0; i < 3; i++) {
        int64_t left_ms = dpc_snooze_left_ms(snooze, NOW_MS + i, WALL_S + i, &err);
        fuzz_require(left_ms >= 0 && left_ms <= 1000 * (int64_t)DPC_SNOOZE_S_MAX,
                     "a rest has an end");
        fuzz_accepted += left_ms > 0;
    }
    dpc_snooze_destroy(snooze);
}

static void
read_losses(const char *name, struct bytes bytes, struct dpc_losses_of of)
{
    struct dpc_losses losses;
    struct dpc_error err = {0};
    fuzz_folder_write(name, bytes.data, bytes.len);
    int code = dpc_losses_load(fuzz_folder, of, &losses, &err);
    require_reason(code, &err);
    if (code != DPC_OK)
        return;
    fuzz_accepted += losses.count > 0;
    size_t lines = 0;
    for (size_t i = 0; i < bytes.len; i++)
        lines += bytes.data[i] == '\n' || i + 1 == bytes.len;
    fuzz_require(losses.count <= lines, "a loss stands in a line");
    for (uint32_t i = 0; i < losses.count; i++)
        fuzz_require(isfinite(losses.items[i].nats) &&
                         (i == 0 || losses.items[i - 1].document <= losses.items[i].document),
                     "losses are numbers, by document");
    (void)dpc_losses_match(&losses, &losses, DPC_LOSSES_BY_BYTE);
    dpc_losses_done(&losses);
}

static void
read_documents(struct bytes bytes)
{
    read_losses("documents.tsv", bytes, (struct dpc_losses_of){.dense = false});
    read_losses("documents.tsv", bytes, (struct dpc_losses_of){.dense = true});
}

static void
read_reroute(struct bytes bytes)
{
    read_losses("reroute.tsv", bytes, (struct dpc_losses_of){.every = 64});
}

static void
read_report(struct bytes bytes)
{
    static FILE *nowhere;
    struct dpc_json *report;
    struct dpc_error err = {0};
    fuzz_folder_write("report.json", bytes.data, bytes.len);
    int code = dpc_result_load(fuzz_folder, &report, &err);
    require_reason(code, &err);
    if (code != DPC_OK)
        return;
    nowhere = nowhere ? nowhere : fopen("/dev/null", "w");
    fuzz_accepted++;
    dpc_result_print_rows(report, nowhere);
    dpc_result_print_totals(report, "report", nowhere);
    dpc_json_destroy(report);
}

static void
read_run(struct bytes bytes)
{
    struct dpc_run_folder folder = {.fd = -1, .lock_fd = -1};
    struct dpc_run_state state;
    struct dpc_error err = {0};
    (void)snprintf(folder.path, sizeof folder.path, "%s", fuzz_folder);
    fuzz_folder_write("run.json", bytes.data, bytes.len);
    int code = dpc_run_state_load(&folder, &state, &err);
    require_reason(code, &err);
    if (code != DPC_OK)
        return;
    fuzz_accepted++;
    fuzz_require(strlen(state.control_endpoint) < DPC_ENDPOINT_MAX &&
                     strlen(state.bulk_endpoint) < DPC_ENDPOINT_MAX,
                 "endpoints have an end");
}

static void
read_metadata(struct bytes bytes)
{
    struct dpc_metadata *metadata;
    struct dpc_error err = {0};
    fuzz_folder_write(DPC_METADATA_FILE, bytes.data, bytes.len);
    int code = dpc_metadata_load(fuzz_folder, "kind", DOCUMENTS, &metadata, &err);
    require_reason(code, &err);
    if (code != DPC_OK)
        return;
    fuzz_accepted++;
    for (uint32_t id = 0; id < DOCUMENTS + 1; id++) {
        uint32_t value = dpc_metadata_value(metadata, id);
        fuzz_require(value == DPC_METADATA_MISSING || value < dpc_metadata_values(metadata),
                     "a document is of a kind that there is");
    }
    dpc_metadata_destroy(metadata);
}

static void (*const readers[])(struct bytes bytes) = {
    read_standing, read_snooze, read_documents, read_reroute, read_report, read_run, read_metadata,
};
enum { READERS = sizeof readers / sizeof *readers };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_folder_make();
    if (size)
        readers[data[0] % READERS]((struct bytes){data + 1, size - 1});
    return 0;
}

#ifndef DPC_LIBFUZZER

static const char *const files[READERS] = {
    "{\"name\": \"w\", \"written_s\": 1799999990, \"started_s\": 1799990000, \"ended_s\": 0, "
    "\"coordinator\": \"tcp://host:7600\", \"connected\": true, \"contact_s\": 1799990001, "
    "\"work\": \"running\", \"lease\": {\"kind\": \"train\", \"path\": 3, \"round\": 4, "
    "\"done\": 120, \"of\": 500, \"tokens_per_s\": 1234.5}, \"handing_in\": {\"kind\": \"train\", "
    "\"path\": 2, \"round\": 4}, \"paused\": \"hours\", \"paused_until_s\": 1800000500, "
    "\"leases\": {\"accepted\": 5, \"tokens_trained\": 1000, \"last_reason\": \"stale\"}, "
    "\"bytes\": {\"day_up\": 1, \"month_limit\": 10737418240}, \"mirror\": \"http://m\", "
    "\"mirror_paused\": true, \"device\": \"the processor\"}",
    "dipaco-snooze 1799999000 1800001000\n",
    "path\tdocument\ttargets\tbytes\tnats\n0-1\t9\t10\t11\t12.5\ndense\t9\t10\t11\t14\n"
    "1-0\t4\t20\t21\t22.25e-1\n",
    "every\tdocument\ttargets\tbytes\tnats\n0\t9\t10\t11\t12.5\n64\t9\t10\t11\t13\n",
    "{\"format\": 1, \"rows\": [{\"name\": \"dense\", \"ppl\": 12.5, \"bits_per_byte\": 1.5, "
    "\"steps\": 100, \"tokens\": 1e6, \"params_path\": 1000, \"params_total\": 1000}, "
    "{\"name\": \"dipaco\", \"ppl\": 11.25}], \"bytes_up\": 1e9, \"bytes_down\": 5, "
    "\"seconds\": 86400}",
    "{\"control_endpoint\": \"tcp://127.0.0.1:1\", \"bulk_endpoint\": \"tcp://127.0.0.1:2\", "
    "\"finished\": true, \"processes\": []}",
    "id\tsource\tkind\n0\ta\tnews\n7\tb\tcode\n3\tc\tnews\n",
};

static void
add_inputs(struct fuzz *fuzz)
{
    for (size_t i = 0; i < READERS; i++) {
        char *input = dpc_format("%c%s", (int)(i + READERS), files[i]);
        fuzz_valid(fuzz, input, strlen(input), 0);
        dpc_free(input);
    }
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 1000, add_inputs);
}

#endif
