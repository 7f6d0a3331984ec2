/* SPDX-License-Identifier: Apache-2.0
 *
 * A join string: all that a machine needs to become a worker of a coordinator, as one word that goes
 * through shells, mails and environment files as it is:
 *
 *     dipaco://HOST:PORT/PAYLOAD
 *
 * PAYLOAD is 92 characters of base64url (RFC 4648, section 5): a byte 1 (the form of what follows),
 * the coordinator's public key, the secret key of an invitation, and the first 4 bytes of the SHA-256
 * of "HOST:PORT" and what stands before them, so that a string that lost or changed a character is
 * told from one that is not valid any more.
 *
 * Owns: nothing. Threads: any. A join string is a secret until it is used up: never log one.
 */
#ifndef DPC_PROTO_JOIN_H
#define DPC_PROTO_JOIN_H

#include "proto/channel.h"

struct dpc_join {
    struct dpc_coordinator coordinator; /* its endpoint is tcp://HOST:PORT */
    struct dpc_key secret_key;          /* the invitation's */
};

enum { DPC_JOIN_TEXT_MAX = DPC_ENDPOINT_MAX + 128 };

/* DPC_EINVAL: no worker elsewhere can connect to it, or no join string can name it. */
int dpc_join_check_endpoint(const char *endpoint, struct dpc_error *err) DPC_MUST_CHECK;
/* The same for the coordinator's endpoint. */
int dpc_join_print(const struct dpc_join *join, char ret_text[DPC_JOIN_TEXT_MAX],
                   struct dpc_error *err) DPC_MUST_CHECK;
/* DPC_EPARSE with what is wrong with it; the string itself is in no error. */
int dpc_join_parse(const char *text, struct dpc_join *ret_join,
                   struct dpc_error *err) DPC_MUST_CHECK;

#endif
