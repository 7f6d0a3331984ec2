/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker computes with: the processor or a card. One of them is chosen at a time, by looking
 * at what is there; the card is opened by the compute thread when a job needs it, and tried
 * (modules/trial.h). A card that fails, or is not there, is looked for again after pauses that
 * double; one that computes wrongly an hour later. One that failed here, and then does not come
 * back, wants another process.
 *
 * The choice decides the numeric class, so it changes only while no lease is in hand, and the
 * coordinator is told: each call that says "changed" wants a new hello.
 *
 * Owns: the open card. Threads: the event loop calls dpc_device_look and what stands below it, the
 * compute thread dpc_device_take to dpc_device_yield. Limits: one card. Not here: loading a plug-in
 * (ops/card.h), which numbers an experiment wants (modules/compute.h).
 */
#ifndef DPC_WORKER_COMPUTE_DEVICE_H
#define DPC_WORKER_COMPUTE_DEVICE_H

#include <stdatomic.h>

#include "ops/card.h"

enum dpc_device_kind {
    DPC_DEVICE_AUTO, /* a card when there is one, else the processor */
    DPC_DEVICE_CPU,
    DPC_DEVICE_CARD, /* a card and nothing else */
};

struct dpc_device_options {
    enum dpc_device_kind kind;
    uint32_t index;          /* of the card */
    uint32_t memory_percent; /* of its free memory, 1 .. 100; 0: 90 */
    uint32_t yield_percent;  /* stay away while others keep it busier; 0: never */
    const char *plugin;      /* NULL: the usual places; must outlive the device */
};

enum {
    DPC_DEVICE_MEMORY_PERCENT = 90,
    DPC_DEVICE_RETRY_MS = 10000, /* first pause before a card is looked for again; then doubled */
    DPC_DEVICE_RETRY_MS_MAX = 300000,
    DPC_DEVICE_WRONG_MS = 3600000, /* the pause after it computed wrongly */
    DPC_DEVICE_BUSY_MS = 1000,     /* how often it is looked who else uses the card */
    DPC_DEVICE_QUIET_MS = 10000,   /* for so long nobody must, before work goes on */
};

struct dpc_device;

/* "auto", "cpu", "cuda" or "cuda:N" into `kind` and `index`; false for anything else. */
bool dpc_device_parse(const char *text, struct dpc_device_options *options);

/* Nothing is chosen yet: dpc_device_look does that. */
struct dpc_device *dpc_device_create(const struct dpc_device_options *options);
/* Closes the card. Takes NULL and returns NULL. */
struct dpc_device *dpc_device_destroy(struct dpc_device *device);

/* --- The event loop's. */

/* Looks for a card when that is due, unless one is chosen and sound. True when the choice, or what
 * dpc_device_is_ready says, is another than before; `ret_text` [DPC_ERROR_TEXT_MAX] then says what
 * it is, and why. */
bool dpc_device_look(struct dpc_device *device, int64_t now_ms, char *ret_text);
/* The coordinator keeps to another numeric class than that of the present choice. True when there
 * is, or was, another device to try; the next look chooses it. */
bool dpc_device_refuse(struct dpc_device *device);

/* A card failed in this process and does not come back: CUDA may have given up the process for
 * good, whatever becomes of the card, and only a new one can tell. */
bool dpc_device_is_worn(struct dpc_device *device);

/* There is something to compute with. False: only the card will do, and it is not there. */
bool dpc_device_is_ready(const struct dpc_device *device);
/* The chosen card; NULL: the processor. */
const struct dpc_card_info *dpc_device_info(const struct dpc_device *device);
/* Work stands still, since others use the card. */
bool dpc_device_is_yielding(const struct dpc_device *device);

/* --- The compute thread's. */

/* Another card is open than is chosen: what lies in its memory has to go before _take. */
bool dpc_device_is_stale(struct dpc_device *device);
/* The chosen device for a job, opened if need be; `*ret_card` NULL: the processor. DPC_EDEVICE with
 * the reason: the card does not open, computes wrongly, or there is none. */
int dpc_device_take(struct dpc_device *device, struct dpc_card **ret_card,
                    struct dpc_error *err) DPC_MUST_CHECK;
/* The card failed, and nothing lies in its memory any more: closes it. */
void dpc_device_lose(struct dpc_device *device);
/* A job on it came to a good end: the next failure is the first one again. */
void dpc_device_praise(struct dpc_device *device);
/* Between two steps: waits while others keep the card busy, or until `*cancelled` or `*cut`. Calls
 * `before_waiting` (NULL: nothing) when it comes to that. */
void dpc_device_yield(struct dpc_device *device, const atomic_bool *cancelled,
                      const atomic_bool *cut, void (*before_waiting)(void *context), void *context);

#endif
