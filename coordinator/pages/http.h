/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP for people and programs on this machine: a few pages, read only, on a loopback address.
 *
 * Owns: its socket, its connections, and each page as it was last made. Threads: all calls from
 * one; it has none of its own and nothing here blocks, so that an event loop may poll it.
 * Limits: DPC_HTTP_CONNECTIONS_MAX at a time, each for one request and some seconds; a page is made
 * anew at most twice a second, however often it is asked for, and holds DPC_HTTP_PAGE_BYTES_MAX.
 * Not here: what the pages say (coordinator/web.c).
 */
#ifndef DPC_COORDINATOR_PAGES_HTTP_H
#define DPC_COORDINATOR_PAGES_HTTP_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

struct dpc_http_page {
    const char *url; /* "/metrics" */
    const char *content_type;
    /* Called from dpc_http_serve. A failure is answered with its words. */
    int (*write)(void *context, struct dpc_buf *out, struct dpc_error *err);
};

struct dpc_http;

/* Pages and what they write from; all must outlive it. */
struct dpc_http_site {
    const struct dpc_http_page *pages;
    size_t pages_count;
    void *context;
    const struct dpc_clock *clock;
};

/* `address`: base/loopback.h. DPC_EINVAL, DPC_EBUSY when the port is in use. */
int dpc_http_open(const char *address, const struct dpc_http_site *site, struct dpc_http **ret_http,
                  struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_http *dpc_http_close(struct dpc_http *http);
/* "http://127.0.0.1:7602/", with the real port. */
const char *dpc_http_url(const struct dpc_http *http);

/* Readable while there is something to serve. */
int dpc_http_fd(const struct dpc_http *http);
/* Milliseconds after which _serve is to be called whatever the descriptor says, at most `most`. */
int64_t dpc_http_wait_ms(struct dpc_http *http, int64_t most);
/* Takes, answers and ends what it can without waiting. */
void dpc_http_serve(struct dpc_http *http);

#endif
