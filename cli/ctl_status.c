/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/ctl.h"
#include "cli/progress.h"

static void
print_status(const struct dpc_json *status)
{
    static const char *const keys[] = {"experiment", "mode", "report", "control_endpoint",
                                       "bulk_endpoint", "mirror"};
    char line[DPC_PROGRESS_LINE_MAX];
    dpc_progress_line(status, line);
    printf("%s\n\n", line);
    for (size_t i = 0; i < DPC_COUNT(keys); i++) {
        const char *value = dpc_json_text(dpc_json_get(status, keys[i]), "");
        if (*value)
            printf("%-17s %s\n", keys[i], value);
    }
    printf("%-17s %.0f of %.0f, all paths together\n", "steps",
           dpc_json_number(dpc_json_get(status, "steps_done"), 0),
           dpc_json_number(dpc_json_get(status, "steps_total"), 0));
    double pending = dpc_json_number(dpc_json_get(status, "machines_pending"), 0);
    if (pending > 0)
        printf("%-17s %.0f wait for \"dipacoctl approve\"; dipacoctl members lists them\n",
               "MACHINES", pending);
    printf("%-17s %.0f known, %.0f barred, %.0f drained, %.0f connected, %.0f leases\n", "workers",
           dpc_json_number(dpc_json_get(status, "workers_known"), 0),
           dpc_json_number(dpc_json_get(status, "workers_barred"), 0),
           dpc_json_number(dpc_json_get(status, "workers_drained"), 0),
           dpc_json_number(dpc_json_get(status, "workers_connected"), 0),
           dpc_json_number(dpc_json_get(status, "leases"), 0));
}

static void
print_disk(const struct dpc_json *status)
{
    char room[DPC_SHORT_TEXT_MAX], kept[DPC_SHORT_TEXT_MAX], swept[DPC_SHORT_TEXT_MAX];
    printf("%-17s %s free, %s of blobs kept at the last sweep, %s swept\n", "disk",
           dpc_text_bytes(dpc_json_number(dpc_json_get(status, "disk_free_bytes"), 0), room),
           dpc_text_bytes(dpc_json_number(dpc_json_get(status, "kept_bytes"), 0), kept),
           dpc_text_bytes(dpc_json_number(dpc_json_get(status, "swept_bytes"), 0), swept));
}

static void
print_damage(const struct dpc_json *status)
{
    double damaged = dpc_json_number(dpc_json_get(status, "damaged_blobs"), 0);
    if (damaged > 0)
        printf("%-17s %.0f blobs, the last one: %s\n", "DAMAGED", damaged,
               dpc_json_text(dpc_json_get(status, "damage"), ""));
}

static void
print_alarm(const struct dpc_json *status)
{
    double alarms = dpc_json_number(dpc_json_get(status, "alarms"), 0);
    if (alarms > 0)
        printf("%-17s %.0f since the coordinator started, the last one: %s\n", "ALARM", alarms,
               dpc_json_text(dpc_json_get(status, "alarm"), ""));
}

static void
print_reply(const struct dpc_json *status)
{
    print_status(status);
    print_disk(status);
    print_damage(status);
    print_alarm(status);
}

static int
run(const struct dpc_call *call)
{
    return dpc_ctl_ask(call, "status", "", print_reply);
}

const struct dpc_command dpc_command_status = {
    .name = "status",
    .arguments = "",
    .summary = "Where the experiment stands.",
    .run = run,
};
