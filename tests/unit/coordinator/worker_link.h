/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker's end of one of the coordinator's channels, over a real socket of this machine.
 *
 * Owns: the net and the link; the listener is the server's. Threads: one.
 */
#ifndef DPC_TESTS_COORDINATOR_WORKER_LINK_H
#define DPC_TESTS_COORDINATOR_WORKER_LINK_H

#include "proto/channel.h"
#include "tests/unit/harness.h"

#ifdef __SANITIZE_ADDRESS__
/* libzmq loses a little now and then when a connection is closed with messages under way. */
const char *__lsan_default_suppressions(void);
const char *
__lsan_default_suppressions(void)
{
    return "leak:libzmq.so";
}
#endif

struct worker_link_keys {
    struct dpc_keypair server, worker;
};

/* One more process of the same worker. */
static inline struct dpc_link *
worker_link_again(struct dpc_net *net, enum dpc_channel_kind kind,
                  const struct dpc_listener *listener, const struct worker_link_keys *keys)
{
    struct dpc_link *link = NULL;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL_FATAL(dpc_link_open(net, kind, dpc_listener_endpoint(listener), &keys->worker,
                                        &keys->server.public_key, &link, &err),
                          DPC_OK);
    return link;
}

/* The worker, whose key is drawn, may connect; `*ret_listener` is where. */
static inline void
worker_link_open(enum dpc_channel_kind kind, struct dpc_net **ret_net, struct dpc_link **ret_link,
                 struct worker_link_keys *ret_keys, struct dpc_listener **ret_listener)
{
    struct dpc_error err = {0};
    dpc_keypair_generate(&ret_keys->server);
    dpc_keypair_generate(&ret_keys->worker);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(ret_net, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_net_authorize(*ret_net, &ret_keys->worker.public_key, DPC_ROLE_WORKER),
                    DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_listener_open(*ret_net, kind, "tcp://127.0.0.1:*", &ret_keys->server,
                                            ret_listener, &err),
                          DPC_OK);
    *ret_link = worker_link_again(*ret_net, kind, *ret_listener, ret_keys);
}

/* Takes both ends. */
static inline void
worker_link_close(struct dpc_net *net, struct dpc_link *link, struct dpc_listener *listener)
{
    dpc_link_close(link);
    dpc_listener_close(listener);
    dpc_net_destroy(net);
}

#endif
