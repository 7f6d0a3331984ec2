/* SPDX-License-Identifier: Apache-2.0
 * What the event loop has chosen and what the compute thread has open are two things: the thread
 * catches up when it takes the device for a job. `lock` guards what both know. Calls on the driver
 * that open or close are the compute thread's alone. */
#include "worker/compute/device.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "modules/trial.h"

enum choice { NOTHING, PROCESSOR, CARD };

struct dpc_device {
    struct dpc_device_options options;
    pthread_mutex_t lock; /* what stands up to `reason` */
    enum choice choice;
    bool failed;       /* the chosen card did, and the loop has not seen it yet */
    bool is_wrong;     /* it computed wrongly */
    bool was_lost;     /* one failed here, and no job came to a good end since */
    bool worn;         /* and it did not come back */
    uint32_t failures; /* of the card since a job on it came to a good end */
    char reason[DPC_ERROR_TEXT_MAX];

    /* The loop's. */
    struct dpc_card_info info; /* of the chosen card */
    int64_t look_at_ms;
    uint32_t misses;                /* looks in a row that found no card */
    bool told;                      /* the first choice was */
    bool had_card;                  /* it was chosen before */
    bool card_refused, cpu_refused; /* by the coordinator, for their class */

    /* The compute thread's. */
    struct dpc_card *card;
    int64_t busy_at_ns; /* when it is looked for others again */
    bool yield_told;    /* that nobody knows */
    atomic_bool yielding;
};

bool
dpc_device_parse(const char *text, struct dpc_device_options *options)
{
    static const struct {
        const char *name;
        enum dpc_device_kind kind;
    } names[] = {{"auto", DPC_DEVICE_AUTO}, {"cpu", DPC_DEVICE_CPU}, {"cuda", DPC_DEVICE_CARD}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i].name) == 0) {
            options->kind = names[i].kind;
            options->index = 0;
            return true;
        }
    }
    char *end;
    if (strncmp(text, "cuda:", 5) != 0 || text[5] < '0' || text[5] > '9')
        return false;
    errno = 0;
    unsigned long index = strtoul(text + 5, &end, 10);
    if (errno || *end || index > 1023)
        return false;
    options->kind = DPC_DEVICE_CARD;
    options->index = (uint32_t)index;
    return true;
}

struct dpc_device *
dpc_device_create(const struct dpc_device_options *options)
{
    struct dpc_device *device = dpc_alloc(1, sizeof *device);
    device->options = *options;
    if (!device->options.memory_percent)
        device->options.memory_percent = DPC_DEVICE_MEMORY_PERCENT;
    pthread_mutex_init(&device->lock, NULL);
    return device;
}

struct dpc_device *
dpc_device_destroy(struct dpc_device *device)
{
    if (!device)
        return NULL;
    device->card = dpc_card_close(device->card);
    pthread_mutex_destroy(&device->lock);
    return dpc_free(device);
}

/* --- Choosing. */

static int64_t
pause_ms(uint32_t failures)
{
    int64_t pause = DPC_DEVICE_RETRY_MS;
    for (uint32_t i = 1; i < failures && pause < DPC_DEVICE_RETRY_MS_MAX; i++)
        pause *= 2;
    return pause < DPC_DEVICE_RETRY_MS_MAX ? pause : DPC_DEVICE_RETRY_MS_MAX;
}

static void
set_choice(struct dpc_device *device, enum choice choice)
{
    pthread_mutex_lock(&device->lock);
    device->choice = choice;
    pthread_mutex_unlock(&device->lock);
}

static void
note_absence(struct dpc_device *device)
{
    pthread_mutex_lock(&device->lock);
    device->worn = device->was_lost;
    pthread_mutex_unlock(&device->lock);
}

bool
dpc_device_is_worn(struct dpc_device *device)
{
    pthread_mutex_lock(&device->lock);
    bool worn = device->worn;
    pthread_mutex_unlock(&device->lock);
    return worn;
}

/* The processor, where that will do. */
static enum choice
without_card(const struct dpc_device *device)
{
    bool allowed = device->options.kind != DPC_DEVICE_CARD && !device->cpu_refused;
    return allowed ? PROCESSOR : NOTHING;
}

static enum choice
find_card(struct dpc_device *device, int64_t now_ms, struct dpc_error *err)
{
    uint32_t count, index = device->options.index;
    struct dpc_card_info info;
    int code = dpc_card_probe(device->options.plugin, &count, err);
    if (code == DPC_OK)
        code = dpc_card_describe(device->options.plugin, index, &info, err);
    if (code != DPC_OK) {
        note_absence(device);
        device->misses++;
        device->look_at_ms = now_ms + pause_ms(device->misses);
        return without_card(device);
    }
    device->misses = 0;
    device->info = info;
    device->had_card = true;
    return CARD;
}

/* After a failure of the card the first look goes without it. */
static bool
take_failure(struct dpc_device *device, int64_t now_ms, struct dpc_error *err)
{
    pthread_mutex_lock(&device->lock);
    bool failed = device->failed;
    int64_t pause = device->is_wrong ? DPC_DEVICE_WRONG_MS : pause_ms(device->failures);
    device->failed = device->is_wrong = false;
    if (failed)
        dpc_error_set(err, DPC_EDEVICE, "%s", device->reason);
    pthread_mutex_unlock(&device->lock);
    if (failed)
        device->look_at_ms = now_ms + pause;
    return failed;
}

static void
say(const struct dpc_device *device, enum choice choice, int64_t now_ms,
    const struct dpc_error *err, char *ret_text)
{
    const struct dpc_card_info *info = &device->info;
    const char *why = err->text[0] ? err->text : "that is what there is";
    long long seconds = (long long)(device->look_at_ms - now_ms) / 1000;
    if (choice == CARD)
        (void)snprintf(ret_text, DPC_ERROR_TEXT_MAX,
                       "computing on a card name=\"%s\" index=%u capability=%u libraries=%s "
                       "memory_mib=%llu",
                       info->name, device->options.index, info->capability, info->libraries,
                       (unsigned long long)(info->memory_bytes >> 20));
    else if (choice == PROCESSOR && device->options.kind == DPC_DEVICE_CPU)
        (void)snprintf(ret_text, DPC_ERROR_TEXT_MAX, "computing on the processor");
    else if (choice == PROCESSOR)
        (void)snprintf(ret_text, DPC_ERROR_TEXT_MAX, "computing on the processor reason=\"%.600s\"",
                       why);
    else
        (void)snprintf(ret_text, DPC_ERROR_TEXT_MAX,
                       "no work is asked for until there is a card: looking again in_s=%lld "
                       "reason=\"%.600s\"",
                       seconds, why);
}

static enum choice
choose(struct dpc_device *device, int64_t now_ms, struct dpc_error *err)
{
    if (device->options.kind == DPC_DEVICE_CPU)
        return PROCESSOR;
    if (take_failure(device, now_ms, err))
        return without_card(device);
    if (device->card_refused) {
        dpc_error_set(err, DPC_EVERSION, "the coordinator keeps to another numeric class");
        return PROCESSOR;
    }
    if (device->choice == CARD)
        return CARD;
    if (now_ms < device->look_at_ms) {
        if (device->cpu_refused)
            dpc_error_set(err, DPC_EVERSION, "the coordinator keeps to the card's numeric class");
        return without_card(device);
    }
    return find_card(device, now_ms, err);
}

bool
dpc_device_look(struct dpc_device *device, int64_t now_ms, char *ret_text)
{
    struct dpc_error err = {0};
    enum choice before = device->choice, now = choose(device, now_ms, &err);
    if (now == before && device->told)
        return false;
    device->told = true;
    set_choice(device, now);
    say(device, now, now_ms, &err, ret_text);
    return true;
}

bool
dpc_device_refuse(struct dpc_device *device)
{
    if (device->options.kind != DPC_DEVICE_AUTO)
        return false;
    if (device->choice == CARD && !device->cpu_refused) {
        device->card_refused = true;
        return true;
    }
    /* Without a card now, but the lost one was welcome: it is waited for. */
    if (device->choice == PROCESSOR && device->had_card && !device->card_refused) {
        device->cpu_refused = true;
        return true;
    }
    return false;
}

bool
dpc_device_is_ready(const struct dpc_device *device)
{
    return device->choice != NOTHING;
}

const struct dpc_card_info *
dpc_device_info(const struct dpc_device *device)
{
    return device->choice == CARD ? &device->info : NULL;
}

bool
dpc_device_is_yielding(const struct dpc_device *device)
{
    return device->yielding;
}

/* --- Computing. */

static enum choice
chosen(struct dpc_device *device)
{
    pthread_mutex_lock(&device->lock);
    enum choice choice = device->failed ? NOTHING : device->choice;
    pthread_mutex_unlock(&device->lock);
    return choice;
}

bool
dpc_device_is_stale(struct dpc_device *device)
{
    return device->card && chosen(device) != CARD;
}

/* What a failure says of the card beyond itself. */
enum failure { DID_NOT_OPEN, IS_WRONG, WAS_LOST };

/* Tells the loop, with the reason. */
static void
note_failure(struct dpc_device *device, const char *text, enum failure failure)
{
    pthread_mutex_lock(&device->lock);
    device->failed = true;
    device->is_wrong = failure == IS_WRONG;
    device->was_lost |= failure == WAS_LOST;
    if (device->failures < UINT32_MAX)
        device->failures++;
    (void)snprintf(device->reason, sizeof device->reason, "%s", text);
    pthread_mutex_unlock(&device->lock);
}

static int
open_card(struct dpc_device *device, struct dpc_error *err)
{
    const char *plugin = device->options.plugin;
    uint32_t index = device->options.index;
    struct dpc_card_info info;
    int code = dpc_card_describe(plugin, index, &info, err);
    if (code == DPC_OK)
        code = dpc_card_open(plugin, index, info.free_bytes / 100 * device->options.memory_percent,
                             &device->card, err);
    double off;
    if (code == DPC_OK)
        code = dpc_trial_card(device->card, &off, err);
    if (code == DPC_OK)
        return DPC_OK;
    device->card = dpc_card_close(device->card);
    note_absence(device);
    note_failure(device, err->text, code == DPC_ECORRUPT ? IS_WRONG : DID_NOT_OPEN);
    return err->code = DPC_EDEVICE;
}

int
dpc_device_take(struct dpc_device *device, struct dpc_card **ret_card, struct dpc_error *err)
{
    enum choice choice = chosen(device);
    if (choice != CARD)
        device->card = dpc_card_close(device->card);
    if (choice == NOTHING)
        return dpc_error_set(err, DPC_EDEVICE, "the card is not there");
    if (choice == CARD && !device->card) {
        int code = open_card(device, err);
        if (code != DPC_OK)
            return code;
    }
    *ret_card = device->card;
    return DPC_OK;
}

void
dpc_device_lose(struct dpc_device *device)
{
    if (!device->card)
        return;
    char text[DPC_ERROR_TEXT_MAX];
    (void)snprintf(text, sizeof text, "%s failed: %.500s", dpc_card_info(device->card)->name,
                   dpc_card_failure(device->card));
    device->card = dpc_card_close(device->card);
    note_failure(device, text, WAS_LOST);
}

void
dpc_device_praise(struct dpc_device *device)
{
    pthread_mutex_lock(&device->lock);
    device->failures = 0;
    device->was_lost = false;
    pthread_mutex_unlock(&device->lock);
}

static bool
others_are_busy(struct dpc_device *device)
{
    uint32_t percent;
    int code = dpc_card_others_percent(device->card, &percent);
    if (code != DPC_OK && !device->yield_told)
        dpc_log_warning("--device-yield has no effect: the driver does not tell what other "
                        "processes do on this card");
    device->yield_told |= code != DPC_OK;
    return code == DPC_OK && percent > device->options.yield_percent;
}

static void
sleep_until_next_look(void)
{
    struct timespec pause = {.tv_sec = DPC_DEVICE_BUSY_MS / 1000,
                             .tv_nsec = DPC_DEVICE_BUSY_MS % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

void
dpc_device_yield(struct dpc_device *device, const atomic_bool *cancelled, const atomic_bool *cut,
                 void (*before_waiting)(void *context), void *context)
{
    enum { QUIET_LOOKS = DPC_DEVICE_QUIET_MS / DPC_DEVICE_BUSY_MS };
    if (!device->card || !device->options.yield_percent || dpc_clock_ns() < device->busy_at_ns)
        return;
    if (others_are_busy(device)) {
        device->yielding = true;
        if (before_waiting)
            before_waiting(context);
        for (int quiet = 0; quiet < QUIET_LOOKS && !*cancelled && !*cut;) {
            sleep_until_next_look();
            quiet = others_are_busy(device) ? 0 : quiet + 1;
        }
        device->yielding = false;
    }
    device->busy_at_ns = dpc_clock_ns() + DPC_DEVICE_BUSY_MS * (int64_t)1000000;
}
