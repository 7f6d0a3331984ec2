/* SPDX-License-Identifier: Apache-2.0
 * Messages travel as the frames that the real codec makes. Each is lost, doubled and delayed by
 * itself, so that they also overtake each other. */
#include <string.h>

#include "base/alloc.h"
#include "proto/message.h"
#include "tests/sim/sim.h"

enum { LATENCY_MS = 1 };

static void
post(struct sim *sim, struct sim_event event, const struct dpc_buf *frame)
{
    int copies = 1;
    if (!sim_healed(sim)) {
        if (sim_chance(sim, sim->plan.loss))
            copies--;
        if (sim_chance(sim, sim->plan.duplication))
            copies++;
    }
    for (int i = 0; i < copies; i++) {
        int64_t delay_ms =
            sim_healed(sim) ? LATENCY_MS : LATENCY_MS + sim_draw_ms(sim, sim->plan.delay_ms);
        event.payload = dpc_alloc(frame->len, 1);
        event.len = frame->len;
        memcpy(event.payload, frame->data, frame->len);
        sim_add(sim, delay_ms, event);
    }
}

static void
encode_and_post(struct sim *sim, struct sim_event event, const struct dpc_msg *msg)
{
    struct dpc_buf frame;
    struct dpc_error err;
    dpc_buf_init(&frame, 0);
    if (dpc_msg_encode(msg, &frame, &err) != DPC_OK)
        sim_fail(sim, "a message of type %s could not be encoded: %s", dpc_msg_name(msg->type),
                 err.text);
    else
        post(sim, event, &frame);
    dpc_buf_done(&frame);
}

void
sim_send_up(struct sim *sim, uint32_t worker, const struct dpc_msg *msg)
{
    struct sim_event event = {
        .type = SIM_TO_COORDINATOR, .worker = worker, .life = sim->workers[worker].life};
    if (!sim->workers[worker].cut_up)
        encode_and_post(sim, event, msg);
}

void
sim_send_down(struct sim *sim, uint32_t worker, uint32_t life, const struct dpc_msg *msg)
{
    struct sim_event event = {.type = SIM_TO_WORKER, .worker = worker, .life = life};
    if (!sim->workers[worker].cut_down)
        encode_and_post(sim, event, msg);
}

bool
sim_decode(struct sim *sim, const struct sim_event *event, struct dpc_msg *ret_msg)
{
    struct dpc_error err;
    if (dpc_msg_decode(event->payload, event->len, sim->arena, ret_msg, &err) == DPC_OK)
        return true;
    sim_fail(sim, "a message could not be decoded: %s", err.text);
    return false;
}
