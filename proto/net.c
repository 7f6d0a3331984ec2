/* SPDX-License-Identifier: Apache-2.0
 * A net is a ZeroMQ context, the ZAP thread and the table of keys. The ZAP socket is bound before
 * dpc_net_create returns, so that no listener can exist that nobody guards. */
#include "proto/net.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/limits.h"
#include "proto/socket.h"

enum { IO_THREADS = 2 /* one for bulk, so that it never starves the control channel */ };

/* libzmq draws routing ids and reconnect pauses from libc's generator, which starts the same in
 * every process. */
static void
seed_libc(void)
{
    unsigned seed;
    dpc_random_bytes(&seed, sizeof seed);
    srand(seed);
}

static int
open_zap_socket(struct dpc_net *net, struct dpc_error *err)
{
    net->zap_socket = zmq_socket(net->context, ZMQ_REP);
    if (!net->zap_socket || dpc_socket_set_int(net->zap_socket, ZMQ_LINGER, 0) != 0 ||
        zmq_bind(net->zap_socket, "inproc://zeromq.zap.01") != 0)
        return dpc_error_set(err, DPC_EFOREIGN, "could not start the network: %s",
                             zmq_strerror(errno));
    return DPC_OK;
}

static int
start_zap_thread(struct dpc_net *net, struct dpc_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(&net->zap_thread, NULL, dpc_zap_run, net);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errnum)
        return dpc_error_set_errno(err, errnum, "could not start the authorisation thread");
    net->zap_runs = true;
    return DPC_OK;
}

int
dpc_net_create(struct dpc_net **ret_net, struct dpc_error *err)
{
    static pthread_once_t seeded = PTHREAD_ONCE_INIT;
    (void)pthread_once(&seeded, seed_libc);
    if (!zmq_has("curve"))
        return dpc_error_set(err, DPC_EFOREIGN,
                             "could not start the network: this libzmq was built without CURVE");
    struct dpc_net *net = dpc_alloc(1, sizeof *net);
    pthread_mutex_init(&net->lock, NULL);
    net->context = zmq_ctx_new();
    int code = DPC_OK;
    if (!net->context || zmq_ctx_set(net->context, ZMQ_IO_THREADS, IO_THREADS) != 0)
        code = dpc_error_set(err, DPC_EFOREIGN, "could not start the network: %s",
                             zmq_strerror(errno));
    if (code == DPC_OK)
        code = open_zap_socket(net, err);
    if (code == DPC_OK)
        code = start_zap_thread(net, err);
    if (code != DPC_OK) {
        dpc_net_destroy(net);
        return code;
    }
    *ret_net = net;
    return DPC_OK;
}

struct dpc_net *
dpc_net_destroy(struct dpc_net *net)
{
    if (!net)
        return NULL;
    if (net->zap_runs) {
        zmq_ctx_shutdown(net->context);
        pthread_join(net->zap_thread, NULL);
    } else if (net->zap_socket) {
        zmq_close(net->zap_socket);
    }
    while (net->context && zmq_ctx_term(net->context) != 0 && errno == EINTR)
        continue;
    pthread_mutex_destroy(&net->lock);
    dpc_free(net->entries);
    return dpc_free(net);
}

/* Where `key` stands in the table, or where it would. */
static size_t
place_of(const struct dpc_net *net, const struct dpc_key *key, bool *ret_found)
{
    size_t first = 0, count = net->entries_count;
    while (count) {
        size_t half = count / 2;
        int order = memcmp(net->entries[first + half].key.bytes, key->bytes, DPC_KEY_BYTES);
        if (order == 0) {
            *ret_found = true;
            return first + half;
        }
        if (order < 0)
            first += half + 1;
        count = order < 0 ? count - half - 1 : half;
    }
    *ret_found = false;
    return first;
}

static void
insert_at(struct dpc_net *net, size_t place)
{
    if (net->entries_count == net->entries_capacity) {
        net->entries_capacity = net->entries_capacity ? 2 * net->entries_capacity : 16;
        net->entries = dpc_grow(net->entries, net->entries_capacity, sizeof *net->entries);
    }
    memmove(&net->entries[place + 1], &net->entries[place],
            (net->entries_count - place) * sizeof *net->entries);
    net->entries_count++;
}

int
dpc_net_authorize(struct dpc_net *net, const struct dpc_key *key, enum dpc_role role)
{
    int code = DPC_OK;
    bool found;
    pthread_mutex_lock(&net->lock);
    size_t place = place_of(net, key, &found);
    if (!found && net->entries_count == DPC_KEYS_MAX) {
        code = DPC_ELIMIT;
    } else {
        if (!found)
            insert_at(net, place);
        net->entries[place] = (struct dpc_net_entry){.key = *key, .role = role};
    }
    pthread_mutex_unlock(&net->lock);
    return code;
}

void
dpc_net_revoke(struct dpc_net *net, const struct dpc_key *key)
{
    bool found;
    pthread_mutex_lock(&net->lock);
    size_t place = place_of(net, key, &found);
    if (found) {
        net->entries_count--;
        memmove(&net->entries[place], &net->entries[place + 1],
                (net->entries_count - place) * sizeof *net->entries);
    }
    pthread_mutex_unlock(&net->lock);
}

enum dpc_role
dpc_net_role(struct dpc_net *net, const struct dpc_key *key)
{
    bool found;
    pthread_mutex_lock(&net->lock);
    size_t place = place_of(net, key, &found);
    enum dpc_role role = found ? net->entries[place].role : DPC_ROLE_NONE;
    pthread_mutex_unlock(&net->lock);
    return role;
}
