/* SPDX-License-Identifier: Apache-2.0
 *
 * What net.c, zap.c, listener.c and link.c share: the context and the table of keys.
 *
 * Owns: as channel.h. Threads: the table is locked; the ZAP thread and the owners of listeners read
 * it, anyone may change it.
 */
#ifndef DPC_PROTO_NET_H
#define DPC_PROTO_NET_H

#include <pthread.h>

#include "proto/channel.h"

/* The ZAP domains of CURVE listeners: without one libzmq would accept every key. An invitation's
 * key has no business on the bulk channel. */
#define DPC_ZAP_DOMAIN      "dipaco"
#define DPC_ZAP_DOMAIN_BULK "dipaco-bulk"

struct dpc_net_entry {
    struct dpc_key key;
    enum dpc_role role;
};

struct dpc_net {
    void *context;
    pthread_mutex_t lock;
    struct dpc_net_entry *entries; /* sorted by key */
    size_t entries_count, entries_capacity;
    void *zap_socket; /* the ZAP thread's, once that runs */
    pthread_t zap_thread;
    bool zap_runs;
};

/* DPC_ROLE_NONE for a key that is not (or no longer) listed. */
enum dpc_role dpc_net_role(struct dpc_net *net, const struct dpc_key *key);

/* Body of the ZAP thread: answers until the context shuts down. */
void *dpc_zap_run(void *net);

#endif
