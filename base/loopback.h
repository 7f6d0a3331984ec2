/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening for HTTP on this machine alone: whoever reaches such a port is asked nothing, so that
 * the address must be a loopback one, and a request's Host header must mean one.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_BASE_LOOPBACK_H
#define DPC_BASE_LOOPBACK_H

#include <stdbool.h>

#include "base/error.h"
#include "base/limits.h"

/* "127.0.0.1:7602", "[::1]:7602", "localhost:7602"; port 0 stands for one that is free. DPC_EINVAL
 * for what is no address of this machine alone. */
int dpc_loopback_check(const char *address, struct dpc_error *err) DPC_MUST_CHECK;

/* A socket that listens there and does not block; the caller closes it. Also DPC_EBUSY when the
 * port is in use. */
int dpc_loopback_listen(const char *address, int backlog, int *ret_fd,
                        struct dpc_error *err) DPC_MUST_CHECK;

/* "http://127.0.0.1:7602/", with the socket's real port. */
void dpc_loopback_url(int fd, char ret_url[DPC_ENDPOINT_MAX]);

/* Does the Host header name this machine as only this machine can mean it? Else somebody's name was
 * made to resolve here, and a page of theirs, in a browser here, would read ours. */
bool dpc_loopback_is_host(const char *host);

#endif
