/* SPDX-License-Identifier: Apache-2.0
 *
 * A cloud's notice that it is about to take this machine back. What it is good for: the lease goes
 * back, or in elastic mode what it has come to is handed in, while there is still somebody to do
 * so, and another worker begins at once instead of after two missed heartbeats. Nothing depends on
 * it.
 *
 * Owns: a thread that asks the cloud's metadata service, every few seconds. Threads: all calls from
 * the event loop. Limits: those of clouds.h. No time of the cloud is read: all clouds
 * give DPC_NOTICE_LEAD_MS at least (the shortest is 30 s), and clocks may differ. Not here: what
 * the clouds are asked (clouds.h), and what is done about it (worker/loop.c).
 */
#ifndef DPC_WORKER_OWNER_NOTICE_H
#define DPC_WORKER_OWNER_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/owner/clouds.h"

enum {
    DPC_NOTICE_LEAD_MS = 25000,
    DPC_NOTICE_PERIOD_MS = 5000,
    DPC_NOTICE_TIMEOUT_MS = 2000, /* of one question */
};

struct dpc_notice_options {
    enum dpc_cloud cloud;   /* AUTO: what the machine says of itself */
    const char *url;        /* where the metadata service is; NULL: the cloud's own place */
    const char *dmi_folder; /* NULL: /sys/class/dmi/id */
    uint32_t period_ms;     /* 0: DPC_NOTICE_PERIOD_MS */
};

struct dpc_notice;

/* Begins to ask; NULL where there is no cloud to ask. The options' texts are copied. */
struct dpc_notice *dpc_notice_start(const struct dpc_notice_options *options);
/* Takes NULL and returns NULL. Does not wait for an answer that is under way. */
struct dpc_notice *dpc_notice_stop(struct dpc_notice *notice);

enum dpc_cloud dpc_notice_cloud(const struct dpc_notice *notice);

/* Readable when the state may have changed. */
int dpc_notice_fd(const struct dpc_notice *notice);
/* The state, and words for it ("AWS will terminate this instance"); clears the descriptor. */
enum dpc_notice_state dpc_notice_take(struct dpc_notice *notice,
                                      char ret_text[DPC_NOTICE_TEXT_MAX]);

#endif
