/* SPDX-License-Identifier: Apache-2.0
 * What a step asks of the server: records, a reply, effects. */
#include "coordinator/core/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

void
dpc_actions_init(struct dpc_actions *actions)
{
    memset(actions, 0, sizeof *actions);
    dpc_kv_batch_init(&actions->batch);
}

void
dpc_actions_reset(struct dpc_actions *actions)
{
    dpc_kv_batch_reset(&actions->batch);
    actions->has_reply = false;
    actions->alarm[0] = 0;
    actions->forgotten.name[0] = 0;
    for (uint32_t i = 0; i < actions->effects_count; i++)
        actions->effects[i].fold.inputs = dpc_free(actions->effects[i].fold.inputs);
    actions->effects_count = 0;
}

void
dpc_actions_done(struct dpc_actions *actions)
{
    dpc_actions_reset(actions);
    dpc_kv_batch_done(&actions->batch);
    actions->effects = dpc_free(actions->effects);
    actions->effects_capacity = 0;
}

struct dpc_effect *
core_add_effect(struct dpc_actions *actions, enum dpc_effect_type type)
{
    if (actions->effects_count == actions->effects_capacity) {
        actions->effects_capacity = actions->effects_capacity ? 2 * actions->effects_capacity : 8;
        actions->effects =
            dpc_grow(actions->effects, actions->effects_capacity, sizeof *actions->effects);
    }
    struct dpc_effect *effect = &actions->effects[actions->effects_count++];
    *effect = (struct dpc_effect){.type = type};
    return effect;
}

struct dpc_msg *
core_reply(struct dpc_actions *actions, enum dpc_msg_type type)
{
    actions->has_reply = true;
    actions->reply = (struct dpc_msg){.type = type};
    actions->reply_text[0] = 0;
    return &actions->reply;
}

void
core_reply_error(struct dpc_actions *actions, int code, const char *format, ...)
{
    struct dpc_msg *reply = core_reply(actions, DPC_MSG_ERROR);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(actions->reply_text, sizeof actions->reply_text, format, args);
    va_end(args);
    reply->error.code = code;
    reply->error.text = actions->reply_text;
}

struct dpc_msg *
core_reply_submitted(struct dpc_actions *actions, struct dpc_token token, enum dpc_verdict verdict)
{
    struct dpc_msg *reply = core_reply(actions, DPC_MSG_SUBMITTED);
    reply->verdict.token = token;
    reply->verdict.verdict = verdict;
    reply->verdict.text = actions->reply_text;
    return reply;
}

void
core_put_phase(struct dpc_core *core, struct dpc_actions *actions)
{
    dpc_put_phase(&actions->batch, &core->phase);
    core->phase_on_disk = core->phase;
}

void
core_put_ledger(struct dpc_core *core, struct dpc_ledger_record *record,
                struct dpc_actions *actions)
{
    record->sequence = core->phase.ledger_next++;
    record->previous = core->phase.ledger_head;
    dpc_put_ledger(&actions->batch, record, &core->phase.ledger_head);
}
