/* SPDX-License-Identifier: Apache-2.0
 *
 * The metadata services of the clouds: what they are asked, and what their answers say.
 *
 * Owns: nothing. Threads: any, a talk belongs to one. Limits: answers of DPC_NOTICE_BYTES_MAX,
 * which may hold anything. Not here: the line, and when to ask (notice.c).
 */
#ifndef DPC_WORKER_OWNER_CLOUDS_H
#define DPC_WORKER_OWNER_CLOUDS_H

#include <stdbool.h>

#include "base/buf.h"

enum {
    DPC_CLOUD_SILENT = 0,
    DPC_NOTICE_BYTES_MAX = 65536,
    DPC_NOTICE_TEXT_MAX = 160,
};

enum dpc_cloud { DPC_CLOUD_AUTO, DPC_CLOUD_NONE, DPC_CLOUD_AWS, DPC_CLOUD_GCP, DPC_CLOUD_AZURE };

enum dpc_notice_state {
    DPC_NOTICE_CALM,
    DPC_NOTICE_RISK,    /* likelier than usual: nothing new should be begun */
    DPC_NOTICE_LEAVING, /* in DPC_NOTICE_LEAD_MS or a little more */
};

/* "auto", "none", "aws", "gcp", "azure"; false for another word. */
bool dpc_cloud_parse(const char *word, enum dpc_cloud *ret_cloud);
const char *dpc_cloud_name(enum dpc_cloud cloud);

/* The cloud that this machine is of by its DMI fields (NULL: the usual folder), or NONE. */
enum dpc_cloud dpc_cloud_detect(const char *dmi_folder);

/* With the service of one machine. */
struct dpc_cloud_talk {
    /* The HTTP status of the answer, whose body it adds to `answer`; DPC_CLOUD_SILENT when none
     * came. `header`: one line, or NULL. */
    long (*ask)(void *context, const char *method, const char *place, const char *header,
                struct dpc_buf *answer);
    void *context;
    struct dpc_buf answer; /* of the caller */
    char token[256];       /* AWS's; "": none yet */
    char name[128];        /* Azure's name of this machine; "": not known yet */
};

struct dpc_cloud_news {
    enum dpc_notice_state state;
    char text[DPC_NOTICE_TEXT_MAX]; /* one line */
};

/* Where the service is; NULL: it has none. */
const char *dpc_cloud_url(enum dpc_cloud cloud);
/* Asks a cloud that has one; what it says into `news`, which stay as they are when it says nothing.
 */
void dpc_cloud_ask(enum dpc_cloud cloud, struct dpc_cloud_talk *talk, struct dpc_cloud_news *news);

#endif
