/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator's event loop: three listeners (control, bulk, admin), pages over HTTP, the
 * executor's results, signals and ticks go in; the core decides; the batch is committed, the reply
 * sent, the effects started.
 *
 * Owns: net, listeners, store, core, executor. Threads: the caller's is the loop; jobs run on the
 * executor's. Limits: base/limits.h and the RPC table in server.c.
 * Errors that are final for the daemon: a commit or a sync that failed, damage in the store, a
 * corpus that cannot be sharded. Everything a peer does wrong is answered and counted.
 */
#ifndef DPC_COORDINATOR_SERVER_H
#define DPC_COORDINATOR_SERVER_H

#include <stdbool.h>

#include "base/error.h"
#include "base/experiment.h"

struct dpc_server_options {
    const char *folder;          /* of the store */
    const char *experiment_file; /* its folder is where a relative corpus is looked for */
    const char *control_endpoint, *bulk_endpoint, *admin_endpoint;
    const char *key_file; /* made when missing */
    const char
        *workers_folder; /* *.pub files of the workers that may connect; read again on SIGHUP */
    const char *report_folder;
    const char *advertised; /* the control channel as workers reach it; NULL: as it is listened on,
                             * where that names a host */
    const char *mirror;     /* of the store's blobs, for workers (dpc_url_check); NULL: none */
    const char *http_address; /* coordinator/pages/http.h; NULL: no pages */
    const char *events_file;  /* coordinator/events.h; NULL: none */
};

struct dpc_server;

/* Recovers from the store and binds. DPC_EBUSY: the store or a port is in use; DPC_EPERM: the
 * experiment file differs from what the store began with. */
int dpc_server_create(const struct dpc_server_options *options, struct dpc_server **ret_server,
                      struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_server *dpc_server_destroy(struct dpc_server *server);

/* No job runs: _destroy will not wait. */
bool dpc_server_is_idle(const struct dpc_server *server);

/* Serves until SIGTERM or SIGINT (DPC_OK) or an error that is final. */
int dpc_server_run(struct dpc_server *server, struct dpc_error *err) DPC_MUST_CHECK;

#endif
