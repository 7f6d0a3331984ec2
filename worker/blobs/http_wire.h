/* SPDX-License-Identifier: Apache-2.0
 *
 * A web server in the coordinator's place: the wire of a transfer (proto/transfer.h) whose requests
 * are answered out of one download. A blob is `URL/ab/abcdef...`, as storage/blob names its files,
 * so any server with that folder, or a cache before one, will do. What a transfer asks for is what
 * the download may go ahead by: without a request open, nothing is read.
 *
 * Owns: a thread that downloads, one blob at a time, over one connection that is kept. Threads: all
 * calls from one, that of the transfer. Limits: DPC_TRANSFER_CREDIT pieces of DPC_TRANSFER_CHUNK in
 * memory; a server has failed that is silent for DPC_HTTP_WIRE_SILENT_MS, takes longer than
 * DPC_HTTP_WIRE_PIECE_MS for what is asked for next, or says anything but the length of the blob;
 * so what is on the line is what was asked for, and some headers. A connection that breaks after it
 * has brought a piece is made again. Certificates are checked, no redirect is followed, no cookie
 * or credential is kept. Not here: when to ask a server at all, and what if it fails (mirror.c);
 * whether the bytes are the blob's (the transfer's hash).
 */
#ifndef DPC_WORKER_BLOBS_HTTP_WIRE_H
#define DPC_WORKER_BLOBS_HTTP_WIRE_H

#include "proto/transfer.h"

enum {
    DPC_HTTP_WIRE_CONNECT_MS = 10 * 1000,
    DPC_HTTP_WIRE_SILENT_MS = 20 * 1000,
    DPC_HTTP_WIRE_PIECE_MS = 60 * 1000, /* 8.7 kB/s: the coordinator will hardly be slower */
    DPC_HTTP_WIRE_HEADERS_MAX = 64 * 1024,
};

struct dpc_http_wire;

struct dpc_http_wire_options {
    const char *url;          /* as dpc_url_check has it; copied */
    uint64_t bytes_per_s_max; /* of the gate, so that the kernel reads no further ahead; 0: none */
    const char *ca_file;      /* certificates to trust, copied; NULL: those of the system */
    uint32_t silent_ms, piece_ms; /* 0: as above */
};

/* DPC_ELIMIT. */
int dpc_http_wire_open(const struct dpc_http_wire_options *options, struct dpc_http_wire **ret_http,
                       struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL and returns NULL. Ends a download that is under way. */
struct dpc_http_wire *dpc_http_wire_close(struct dpc_http_wire *http);

/* For dpc_transfer_create_on; it takes fetches alone, of the blob of the last _begin. */
struct dpc_transfer_wire dpc_http_wire_of(struct dpc_http_wire *http);
void dpc_http_wire_begin(struct dpc_http_wire *http, const struct dpc_blob_ref *blob);
/* Ends the download and forgets its answers. */
void dpc_http_wire_stop(struct dpc_http_wire *http);

/* Readable when there may be an answer. */
int dpc_http_wire_fd(const struct dpc_http_wire *http);
/* The next answer: a CHUNK, whose body is good until the next call, or an ERROR that ends it for
 * this blob: DPC_ENOTFOUND (the server does not have it), DPC_ETIMEDOUT, DPC_ECLOSED (anything
 * else, in words). DPC_EAGAIN: none yet. */
int dpc_http_wire_receive(struct dpc_http_wire *http, struct dpc_msg *ret_msg) DPC_MUST_CHECK;

#endif
