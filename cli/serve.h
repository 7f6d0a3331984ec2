/* SPDX-License-Identifier: Apache-2.0
 *
 * A model over HTTP on a loopback address, as clients of OpenAI's completions know it: each prompt
 * is routed by its first tokens, and its path writes on.
 *
 *     POST /v1/completions    cli/completion.h; with "stream": true as server-sent events
 *     GET  /v1/models         "dipaco", which routes, and each path by its name
 *     GET  /v1/models/NAME    one of these
 *     GET  /health            "ok"
 *
 * Owns: its socket, its connections and their answers. Threads: one, that of the model; answers
 * take turns, a token each. Limits: DPC_SERVE_CONNECTIONS_MAX, DPC_SERVE_ACTIVE_MAX,
 * DPC_SERVE_REQUEST_BYTES_MAX.
 */
#ifndef DPC_CLI_SERVE_H
#define DPC_CLI_SERVE_H

#include <stdbool.h>

#include "cli/model.h"

struct dpc_serve;

/* `address`: base/loopback.h. `log` (may be NULL) gets a line for each answer. DPC_EINVAL,
 * DPC_EBUSY when the port is in use. The model outlives it. */
int dpc_serve_open(const char *address, struct dpc_model *model, FILE *log,
                   struct dpc_serve **ret_serve, struct dpc_error *err) DPC_MUST_CHECK;
/* Ends what is under way. Takes NULL; returns NULL. */
struct dpc_serve *dpc_serve_close(struct dpc_serve *serve);

/* "http://127.0.0.1:7603/", with the real port. */
const char *dpc_serve_url(const struct dpc_serve *serve);

/* Readable when clients have something to say; see also _wait_ms. */
int dpc_serve_fd(const struct dpc_serve *serve);
/* Milliseconds after which _step is to be called whatever the descriptor says, at most `most`. */
int dpc_serve_wait_ms(struct dpc_serve *serve, int most);
/* Takes requests, writes a token of each answer, sends what is there. */
void dpc_serve_step(struct dpc_serve *serve);

#endif
