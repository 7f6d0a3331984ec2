/* SPDX-License-Identifier: Apache-2.0
 * Each supply is a folder of small files: `type`, and `online` of mains, `status`, `capacity` and
 * `scope` of a battery. */
#include "worker/owner/power.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/vfs.h"

enum {
    WORD_MAX = 32,
    PERCENT_MAX =
        120, /* of a battery that was made out to be smaller than it is; more is no charge */
};

struct sum {
    bool mains, discharging;
    uint32_t percents, batteries; /* percentages, added */
};

bool
dpc_power_parse(const char *text, uint32_t *ret_percent_min)
{
    char *end;
    if (strcmp(text, "yes") == 0 || strcmp(text, "no") == 0) {
        *ret_percent_min = *text == 'y' ? 0 : DPC_POWER_NEVER;
        return true;
    }
    errno = 0;
    unsigned long percent = strtoul(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end || percent > 100)
        return false;
    *ret_percent_min = (uint32_t)percent;
    return true;
}

/* The first word of a supply's file; empty where there is none. */
static void
read_word(const char *supply, const char *name, char ret_word[WORD_MAX])
{
    char path[DPC_PATH_MAX];
    ssize_t len = -1;
    int fd = -1;
    if (dpc_path_join(supply, name, path, sizeof path) == DPC_OK)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        len = read(fd, ret_word, WORD_MAX - 1);
        close(fd);
    }
    ret_word[len > 0 ? len : 0] = '\0';
    ret_word[strcspn(ret_word, "\n")] = '\0';
}

static bool
says(const char *supply, const char *name, const char *word)
{
    char text[WORD_MAX];
    read_word(supply, name, text);
    return strcmp(text, word) == 0;
}

static void
add_battery(struct sum *sum, const char *supply)
{
    char text[WORD_MAX];
    sum->discharging = sum->discharging || says(supply, "status", "Discharging");
    read_word(supply, "capacity", text);
    long percent = strtol(text, NULL, 10);
    if (*text < '0' || *text > '9' || percent > PERCENT_MAX)
        return;
    sum->percents += percent < 100 ? (uint32_t)percent : 100;
    sum->batteries++;
}

static void
add_supply(struct sum *sum, const char *supply)
{
    if (says(supply, "type", "Battery")) {
        if (!says(supply, "scope", "Device") && !says(supply, "present", "0"))
            add_battery(sum, supply);
    } else if (!says(supply, "scope", "Device")) {
        /* 1: a fixed voltage, 2: one that is set by the machine. */
        sum->mains = sum->mains || says(supply, "online", "1") || says(supply, "online", "2");
    }
}

struct dpc_power
dpc_power_look(const char *folder)
{
    struct sum sum = {0};
    char supply[DPC_PATH_MAX];
    const char *base = folder ? folder : "/sys/class/power_supply";
    DIR *entries = opendir(base);
    struct dirent *entry;
    for (int i = 0; entries && i < DPC_POWER_SUPPLIES_MAX && (entry = readdir(entries));) {
        if (entry->d_name[0] == '.' ||
            dpc_path_join(base, entry->d_name, supply, sizeof supply) != DPC_OK)
            continue;
        add_supply(&sum, supply);
        i++;
    }
    if (entries)
        closedir(entries);
    return (struct dpc_power){.on_battery = sum.discharging && !sum.mains,
                              .known = sum.batteries > 0,
                              .percent = sum.batteries ? sum.percents / sum.batteries : 100};
}
