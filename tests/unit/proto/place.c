/* SPDX-License-Identifier: Apache-2.0
 * Nothing sleeps: each wait is for a condition, with a deadline. */
#include "tests/unit/proto/place.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/harness.h"

struct dpc_error err;
char admin_path[64], admin_endpoint[80];

void
place_admin_endpoint(void)
{
    (void)snprintf(admin_path, sizeof admin_path, "/tmp/dipaco-admin-%ld", (long)getpid());
    (void)snprintf(admin_endpoint, sizeof admin_endpoint, "ipc://%s", admin_path);
}

void
open_place(struct place *place, enum dpc_channel_kind kind)
{
    memset(place, 0, sizeof *place);
    dpc_keypair_generate(&place->server_keys);
    dpc_keypair_generate(&place->worker_keys);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&place->server, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&place->client, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_listener_open(place->server, kind, "tcp://127.0.0.1:*",
                                            &place->server_keys, &place->listener, &err),
                          DPC_OK);
}

void
open_link(struct place *place, enum dpc_channel_kind kind)
{
    CU_ASSERT_EQUAL_FATAL(dpc_link_open(place->client, kind, dpc_listener_endpoint(place->listener),
                                        &place->worker_keys, &place->server_keys.public_key,
                                        &place->link, &err),
                          DPC_OK);
}

void
close_place(struct place *place)
{
    dpc_link_close(place->link);
    dpc_listener_close(place->listener);
    dpc_net_destroy(place->client);
    dpc_net_destroy(place->server);
}

int64_t
now(void)
{
    return dpc_clock_now_ms(&dpc_clock_system);
}

void
wait_a_little(struct dpc_listener *listener, struct dpc_link *link)
{
    struct dpc_poll_item items[2];
    size_t count = 0;
    if (listener)
        items[count++] = (struct dpc_poll_item){.listener = listener, .fd = -1};
    if (link)
        items[count++] = (struct dpc_poll_item){.link = link, .fd = -1};
    (void)!dpc_channel_poll(items, count, STEP_MS);
}

int
send_soon(struct dpc_link *link, const struct dpc_msg *msg)
{
    int code = DPC_EAGAIN;
    for (int64_t end = now() + DEADLINE_MS; code == DPC_EAGAIN && now() < end;) {
        code = dpc_link_send(link, msg);
        if (code == DPC_EAGAIN)
            wait_a_little(NULL, link);
    }
    return code;
}

int
listener_receive(struct dpc_listener *listener, struct dpc_peer *peer, struct dpc_msg *msg)
{
    int code = DPC_EAGAIN;
    for (int64_t end = now() + DEADLINE_MS; code == DPC_EAGAIN && now() < end;) {
        code = dpc_listener_receive(listener, peer, msg, &err);
        if (code == DPC_EAGAIN)
            wait_a_little(listener, NULL);
    }
    return code;
}

int
link_receive(struct dpc_link *link, struct dpc_msg *msg)
{
    int code = DPC_EAGAIN;
    for (int64_t end = now() + DEADLINE_MS; code == DPC_EAGAIN && now() < end;) {
        code = dpc_link_receive(link, msg, &err);
        if (code == DPC_EAGAIN)
            wait_a_little(NULL, link);
    }
    return code;
}

void
open_admin(struct place *place)
{
    memset(place, 0, sizeof *place);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&place->server, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_net_create(&place->client, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_listener_open(place->server, DPC_CHANNEL_ADMIN, admin_endpoint, NULL,
                                            &place->listener, &err),
                          DPC_OK);
}
