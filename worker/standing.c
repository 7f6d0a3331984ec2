/* SPDX-License-Identifier: Apache-2.0
 * Written under another name and renamed, so that a reader never meets half of it. Most writes are
 * not synced: a power cut costs seconds of progress that nobody needs, and a disk that sleeps may
 * go on sleeping. */
#include "worker/standing.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"

static const char name_of_file[] = "status.json";

struct dpc_standing_file {
    const struct dpc_vfs *vfs;
    char path[DPC_PATH_MAX];
    struct dpc_session_counts before; /* of the processes that are gone */
    struct dpc_standing last;
    bool written;
    int64_t written_ms;
};

/* --- Writing. */

static uint64_t
count_of(const struct dpc_json *counts, const char *key)
{
    int64_t value = dpc_json_integer(dpc_json_get(counts, key), 0);
    return value > 0 ? (uint64_t)value : 0;
}

static void
read_counts(const struct dpc_json *root, struct dpc_session_counts *ret_counts)
{
    const struct dpc_json *leases = dpc_json_get(root, "leases");
    ret_counts->accepted = count_of(leases, "accepted");
    ret_counts->superseded = count_of(leases, "superseded");
    ret_counts->refused = count_of(leases, "refused");
    ret_counts->returned = count_of(leases, "given_back");
    ret_counts->tokens = count_of(leases, "tokens_trained");
    (void)snprintf(ret_counts->reason, sizeof ret_counts->reason, "%s",
                   dpc_json_text(dpc_json_get(leases, "last_reason"), ""));
}

static int
load(const struct dpc_vfs *vfs, const char *path, struct dpc_json **ret_root, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    int code = dpc_vfs_read_file(vfs, path, DPC_STANDING_BYTES_MAX, &bytes, &len, err);
    if (code != DPC_OK)
        return code;
    code = dpc_json_parse((const char *)bytes, len, ret_root, err);
    dpc_free(bytes);
    if (code == DPC_OK && !dpc_json_is_object(*ret_root)) {
        *ret_root = dpc_json_destroy(*ret_root);
        code = dpc_error_set(err, DPC_EPARSE, "it is no JSON object");
    }
    return code == DPC_OK ? code : dpc_error_prefix(err, code, "could not read \"%s\"", path);
}

struct dpc_standing_file *
dpc_standing_open(const struct dpc_vfs *vfs, const char *folder, struct dpc_error *err)
{
    struct dpc_standing_file *file = dpc_alloc(1, sizeof *file);
    struct dpc_json *root;
    file->vfs = vfs;
    int code = dpc_path_join(folder, name_of_file, file->path, sizeof file->path);
    if (code != DPC_OK)
        dpc_error_set(err, code, "the name of folder \"%s\" is too long", folder);
    else
        code = load(vfs, file->path, &root, err);
    if (code == DPC_OK) {
        read_counts(root, &file->before);
        dpc_json_destroy(root);
    } else if (code == DPC_ENOTFOUND) {
        err->code = DPC_OK;
    }
    return file;
}

struct dpc_standing_file *
dpc_standing_close(struct dpc_standing_file *file)
{
    return dpc_free(file);
}

static struct dpc_json *
tell_task(const struct dpc_standing_lease *of)
{
    struct dpc_json *lease = dpc_json_object();
    dpc_json_set_text(lease, "kind", dpc_task_name(of->kind));
    dpc_json_set_integer(lease, "path", of->path);
    dpc_json_set_integer(lease, "round", of->round);
    return lease;
}

static struct dpc_json *
tell_lease(const struct dpc_standing *standing)
{
    struct dpc_json *lease = tell_task(&standing->lease);
    dpc_json_set_integer(lease, "done", standing->pace.steps_done);
    dpc_json_set_integer(lease, "of", standing->units);
    dpc_json_set_number(lease, "tokens_per_s", standing->pace.tokens_per_s);
    return lease;
}

/* As JSON has it: the file may have claimed as much as there is. */
static int64_t
sum(uint64_t before, uint64_t now)
{
    return before < (uint64_t)INT64_MAX - now ? (int64_t)(before + now) : INT64_MAX;
}

static struct dpc_json *
tell_counts(const struct dpc_session_counts *before, const struct dpc_session_counts *counts)
{
    struct dpc_json *leases = dpc_json_object();
    const char *reason = counts->reason[0] ? counts->reason : before->reason;
    dpc_json_set_integer(leases, "accepted", sum(before->accepted, counts->accepted));
    dpc_json_set_integer(leases, "superseded", sum(before->superseded, counts->superseded));
    dpc_json_set_integer(leases, "refused", sum(before->refused, counts->refused));
    dpc_json_set_integer(leases, "given_back", sum(before->returned, counts->returned));
    dpc_json_set_integer(leases, "tokens_trained", sum(before->tokens, counts->tokens));
    dpc_json_set_text(leases, "last_reason", reason);
    return leases;
}

static struct dpc_json *
tell_bytes(const struct dpc_standing *standing)
{
    const struct dpc_standing_pace *pace = &standing->pace;
    struct dpc_json *bytes = dpc_json_object();
    dpc_json_set_integer(bytes, "day_up", (int64_t)pace->bytes.day_up);
    dpc_json_set_integer(bytes, "day_down", (int64_t)pace->bytes.day_down);
    dpc_json_set_integer(bytes, "month_up", (int64_t)pace->bytes.month_up);
    dpc_json_set_integer(bytes, "month_down", (int64_t)pace->bytes.month_down);
    dpc_json_set_integer(bytes, "month_limit", (int64_t)standing->month_limit);
    dpc_json_set_integer(bytes, "mirror", (int64_t)pace->mirror_bytes);
    dpc_json_set_integer(bytes, "cache", (int64_t)pace->cache_bytes);
    dpc_json_set_integer(bytes, "cache_limit", (int64_t)standing->cache_limit);
    return bytes;
}

static struct dpc_json *
tell(const struct dpc_standing_file *file, const struct dpc_standing *standing, int64_t wall_s)
{
    struct dpc_json *root = dpc_json_object();
    dpc_json_set_text(root, "name", standing->name);
    dpc_json_set_text(root, "release", PACKAGE_VERSION);
    dpc_json_set_integer(root, "written_s", wall_s);
    dpc_json_set_integer(root, "started_s", standing->started_s);
    dpc_json_set_integer(root, "ended_s", standing->ended_s);
    dpc_json_set_text(root, "coordinator", standing->endpoint);
    dpc_json_set_bool(root, "connected", standing->connected);
    dpc_json_set_integer(root, "contact_s", standing->contact_s);
    dpc_json_set_text(root, "work", dpc_session_work_name(standing->work));
    dpc_json_set_bool(root, "computing", standing->computing);
    if (standing->leased)
        dpc_json_set(root, "lease", tell_lease(standing));
    if (standing->hands_in)
        dpc_json_set(root, "handing_in", tell_task(&standing->handing_in));
    dpc_json_set_text(root, "paused", standing->paused);
    dpc_json_set_integer(root, "paused_until_s", standing->paused_until_s);
    dpc_json_set(root, "leases", tell_counts(&file->before, &standing->counts));
    dpc_json_set(root, "bytes", tell_bytes(standing));
    dpc_json_set_text(root, "mirror", standing->mirror);
    dpc_json_set_bool(root, "mirror_paused", standing->mirror_paused);
    dpc_json_set_text(root, "device", standing->device);
    return root;
}

static bool
counts_differ(const struct dpc_standing_file *file, const struct dpc_standing *standing)
{
    return memcmp(&file->last.counts, &standing->counts, sizeof standing->counts) != 0;
}

static bool
is_due(const struct dpc_standing_file *file, const struct dpc_standing *standing, int64_t now_ms)
{
    int64_t pause_ms = DPC_STANDING_STILL_MS;
    if (memcmp(&file->last, standing, offsetof(struct dpc_standing, pace)) != 0)
        pause_ms = DPC_STANDING_CHANGE_MS;
    else if (memcmp(&file->last.pace, &standing->pace, sizeof standing->pace) != 0)
        pause_ms = DPC_STANDING_PACE_MS;
    return !file->written || standing->ended_s || now_ms - file->written_ms >= pause_ms;
}

int
dpc_standing_write(struct dpc_standing_file *file, const struct dpc_standing *standing,
                   int64_t now_ms, int64_t wall_s, struct dpc_error *err)
{
    if (!is_due(file, standing, now_ms))
        return DPC_OK;
    struct dpc_json *root = tell(file, standing, wall_s);
    char *text = dpc_json_print(root, true);
    int code = (counts_differ(file, standing) ? dpc_vfs_write_file : dpc_vfs_write_file_unsynced)(
        file->vfs, file->path, text, strlen(text), err);
    dpc_free(text);
    dpc_json_destroy(root);
    file->written = true;
    file->written_ms = now_ms;
    if (code == DPC_OK)
        memcpy(&file->last, standing, sizeof *standing);
    return code;
}

/* --- Showing. */

static int64_t
integer(const struct dpc_json *object, const char *key)
{
    return dpc_json_integer(dpc_json_get(object, key), 0);
}

static const char *
text_of(const struct dpc_json *object, const char *key)
{
    return dpc_json_text(dpc_json_get(object, key), "");
}

/* Without what a terminal would obey, and on one line: it may be root who asks. */
static void
put_text(struct dpc_buf *out, const char *before, const struct dpc_json *object, const char *key)
{
    const uint8_t *at = (const uint8_t *)text_of(object, key);
    dpc_buf_printf(out, "%s", before);
    for (size_t left = strlen((const char *)at); left;) {
        size_t len = dpc_utf8_sequence(at, left);
        bool plain = len && !dpc_utf8_is_control(at, len);
        dpc_buf_put(out, plain ? (const void *)at : "?", plain ? len : 1);
        at += len ? len : 1;
        left -= len ? len : 1;
    }
}

/* In local time, as the owner's clock shows it. */
static void
put_date(struct dpc_buf *out, const char *before, int64_t wall_s)
{
    time_t seconds = (time_t)wall_s;
    struct tm parts;
    char text[32] = "?";
    if (localtime_r(&seconds, &parts))
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts);
    dpc_buf_printf(out, "%s%s", before, text);
}

static void
show_worker(struct dpc_buf *out, const struct dpc_json *root, bool running, int64_t age_s)
{
    int64_t ended_s = integer(root, "ended_s");
    put_text(out, "worker          ", root, "name");
    if (running)
        put_date(out, ", runs since ", integer(root, "started_s"));
    else if (ended_s)
        put_date(out, " does not run: it ended ", ended_s);
    else
        put_date(out, " does not run: it was killed after ", integer(root, "written_s"));
    dpc_buf_printf(out, "; figures %lld s old\n", (long long)age_s);
}

static void
show_contact(struct dpc_buf *out, const struct dpc_json *root)
{
    bool connected = dpc_json_bool(dpc_json_get(root, "connected"), false);
    put_text(out, "coordinator     ", root, "coordinator");
    put_date(out, connected ? ", connected since " : ", no contact since ",
             integer(root, "contact_s"));
    dpc_buf_printf(out, "\n");
}

static void
put_place(struct dpc_buf *out, const struct dpc_json *lease)
{
    dpc_buf_printf(out, " path %lld, round %lld", (long long)integer(lease, "path"),
                   (long long)integer(lease, "round"));
}

static void
show_work(struct dpc_buf *out, const struct dpc_json *root)
{
    const struct dpc_json *lease = dpc_json_get(root, "lease");
    const struct dpc_json *other = dpc_json_get(root, "handing_in");
    put_text(out, "work            ", root, "work");
    if (lease) {
        put_text(out, ": ", lease, "kind");
        put_place(out, lease);
        dpc_buf_printf(out, ", %lld of %lld, %.0f tokens/s", (long long)integer(lease, "done"),
                       (long long)integer(lease, "of"),
                       dpc_json_number(dpc_json_get(lease, "tokens_per_s"), 0));
    }
    if (other) {
        put_text(out, "\nhanding in      ", other, "kind");
        put_place(out, other);
    }
    dpc_buf_printf(out, "\n");
}

static void
show_pause(struct dpc_buf *out, const struct dpc_json *root)
{
    int64_t until_s = integer(root, "paused_until_s");
    if (!*text_of(root, "paused"))
        return;
    put_text(out, "paused          ", root, "paused");
    if (until_s)
        put_date(out, ", until ", until_s);
    dpc_buf_printf(out, "\n");
}

static void
show_leases(struct dpc_buf *out, const struct dpc_json *root)
{
    struct dpc_session_counts counts = {0};
    const struct dpc_json *leases = dpc_json_get(root, "leases");
    read_counts(root, &counts);
    dpc_buf_printf(
        out, "leases          %llu accepted, %llu superseded, %llu refused, %llu given back\n",
        (unsigned long long)counts.accepted, (unsigned long long)counts.superseded,
        (unsigned long long)counts.refused, (unsigned long long)counts.returned);
    if (counts.reason[0])
        put_text(out, "last reason     ", leases, "last_reason");
    dpc_buf_printf(out, "%stokens trained  %llu\n", counts.reason[0] ? "\n" : "",
                   (unsigned long long)counts.tokens);
}

static double
mib(const struct dpc_json *bytes, const char *key)
{
    return (double)integer(bytes, key) / (double)DPC_MIB;
}

/* A worker that does not run turns no page of the calendar: its day is the one that it last saw. */
static void
compare_days(int64_t written_s, int64_t wall_s, bool *ret_same_day, bool *ret_same_month)
{
    time_t then = (time_t)written_s, now = (time_t)wall_s;
    struct tm a, b;
    *ret_same_day = *ret_same_month = true;
    if (!localtime_r(&then, &a) || !localtime_r(&now, &b))
        return;
    *ret_same_month = a.tm_year == b.tm_year && a.tm_mon == b.tm_mon;
    *ret_same_day = *ret_same_month && a.tm_mday == b.tm_mday;
}

static void
show_bytes(struct dpc_buf *out, const struct dpc_json *root, int64_t wall_s)
{
    const struct dpc_json *bytes = dpc_json_get(root, "bytes");
    bool same_day, same_month;
    compare_days(integer(root, "written_s"), wall_s, &same_day, &same_month);
    dpc_buf_printf(out, "transfers       %.1f MiB up, %.1f down %s; %.1f up, %.1f down %s",
                   mib(bytes, "day_up"), mib(bytes, "day_down"),
                   same_day ? "today" : "on its last day", mib(bytes, "month_up"),
                   mib(bytes, "month_down"), same_month ? "this month" : "in its last month");
    if (integer(bytes, "month_limit"))
        dpc_buf_printf(out, " of %.0f", mib(bytes, "month_limit"));
    dpc_buf_printf(out, "\ncache           %.1f MiB of %.0f\n", mib(bytes, "cache"),
                   mib(bytes, "cache_limit"));
}

static void
show_mirror(struct dpc_buf *out, const struct dpc_json *root)
{
    bool paused = dpc_json_bool(dpc_json_get(root, "mirror_paused"), false);
    if (!*text_of(root, "mirror"))
        return;
    put_text(out, "mirror          ", root, "mirror");
    dpc_buf_printf(out, ", %.1f MiB since the start%s\n",
                   mib(dpc_json_get(root, "bytes"), "mirror"),
                   paused ? "; it failed, and is let alone for a while" : "");
}

static char *
show(const struct dpc_json *root, bool running, int64_t wall_s, int64_t age_s)
{
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    show_worker(&out, root, running, age_s);
    if (running) {
        show_contact(&out, root);
        show_work(&out, root);
        show_pause(&out, root);
    }
    show_leases(&out, root);
    show_bytes(&out, root, wall_s);
    show_mirror(&out, root);
    put_text(&out, "device          ", root, "device");
    dpc_buf_printf(&out, "\n");
    char *text = dpc_strdup(dpc_buf_text(&out));
    dpc_buf_done(&out);
    return text;
}

int
dpc_standing_show(const struct dpc_vfs *vfs, const char *folder, bool running, bool json,
                  int64_t wall_s, char **ret_text, struct dpc_error *err)
{
    char path[DPC_PATH_MAX];
    struct dpc_json *root;
    int code = dpc_path_join(folder, name_of_file, path, sizeof path);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "the name of folder \"%s\" is too long", folder);
    code = load(vfs, path, &root, err);
    if (code != DPC_OK)
        return code;
    int64_t age_s;
    if (__builtin_sub_overflow(wall_s, integer(root, "written_s"), &age_s))
        age_s = INT64_MAX; /* the file may say anything */
    dpc_json_set_bool(root, "running", running);
    dpc_json_set_integer(root, "age_s", age_s);
    *ret_text = json ? dpc_json_print(root, true) : show(root, running, wall_s, age_s);
    dpc_json_destroy(root);
    return DPC_OK;
}
