/* SPDX-License-Identifier: Apache-2.0
 *
 * The asking side of the admin channel: one verb, one JSON reply, pages followed through `next`.
 *
 * Owns: its net and link. Threads: one. Limits: DPC_ADMIN_BYTES_MAX a page, ADMIN_PAGES_MAX pages.
 */
#ifndef DPC_CLI_ADMIN_H
#define DPC_CLI_ADMIN_H

#include "base/error.h"
#include "base/json.h"
#include "proto/channel.h"

enum { DPC_ADMIN_TIMEOUT_MS = 5000 };

struct dpc_admin;

/* It is of the scheme ipc, and no longer than an endpoint may be. */
bool dpc_admin_is_endpoint(const char *text);

/* DPC_EINVAL where `endpoint` is none. Connecting never fails for want of a coordinator: asking
 * does. */
int dpc_admin_open(const char *endpoint, struct dpc_admin **ret_admin,
                   struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_admin *dpc_admin_close(struct dpc_admin *admin);

/* Asks and waits. DPC_ETIMEDOUT when nobody answers in time; what the coordinator refuses comes
 * back with its code and its reason. */
int dpc_admin_ask(struct dpc_admin *admin, const char *verb, const char *argument,
                  int64_t timeout_ms, struct dpc_json **ret_json,
                  struct dpc_error *err) DPC_MUST_CHECK;

/* The same for a listing of any number of pages: the arrays under the key `verb` are put together
 * in `*ret_json`, {verb: [...]}. `after` "" begins at the start. */
int dpc_admin_list(struct dpc_admin *admin, const char *verb, const char *argument,
                   const char *after, struct dpc_json **ret_json,
                   struct dpc_error *err) DPC_MUST_CHECK;

/* Lets the coordinator do what takes it a while: `verb` begins it and is answered with its number,
 * "VERB-state" tells how it stands until it has ended; that answer is `*ret_state`, and the error
 * that it tells of, if any, is ours. DPC_ESTALE, with `restarted` for the text, when the
 * coordinator was started again meanwhile. */
int dpc_admin_run(struct dpc_admin *admin, const char *verb, const char *argument,
                  const char *restarted, struct dpc_json **ret_state,
                  struct dpc_error *err) DPC_MUST_CHECK;
/* A while, before such a state is asked for again. */
int dpc_admin_pause(struct dpc_admin *admin, struct dpc_error *err) DPC_MUST_CHECK;

/* --- For who must not wait. */

/* Sends a question; an answer to an older one is dropped from then on. DPC_EAGAIN while there is no
 * connection. */
int dpc_admin_send(struct dpc_admin *admin, const char *verb, const char *argument,
                   const char *after, struct dpc_error *err) DPC_MUST_CHECK;
/* The answer, or DPC_EAGAIN. `ret_next` takes DPC_NAME_MAX bytes (may be NULL). */
int dpc_admin_receive(struct dpc_admin *admin, struct dpc_json **ret_json, char *ret_next,
                      struct dpc_error *err) DPC_MUST_CHECK;
/* For dpc_channel_poll. */
struct dpc_link *dpc_admin_link(struct dpc_admin *admin);

#endif
