/* SPDX-License-Identifier: Apache-2.0
 * A session holds the window of tokens that the model sees and, for each block, the rows of qkv
 * that it left for them: the block's pass over new positions finds the earlier keys and values
 * there. */
#include "modules/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "modules/path_parts.h"

struct candidate {
    float logit;
    int32_t token;
};

struct session {
    struct dpc_path *path;
    struct dpc_block_acts *acts; /* [blocks_count]: the path's, but for qkv */
    void *qkv;                   /* acts [blocks_count, rows, W] */
    int32_t *window;             /* [T_max] */
    size_t window_count;
    float *logits;                /* [V] that follow the window */
    struct candidate *candidates; /* [V] */
    struct dpc_rng rng;
};

static void
session_done(struct session *session)
{
    dpc_free(session->acts);
    session->path->ops->memory->release(session->qkv);
    dpc_free(session->window);
    dpc_free(session->logits);
    dpc_free(session->candidates);
}

static int
session_init(struct session *session, struct dpc_path *path, uint64_t seed)
{
    size_t block_acts = (path->T_max + DPC_PAD_ROWS) * path->W; /* a long prompt is padded */
    *session = (struct session){
        .path = path,
        .acts = dpc_alloc(path->blocks_count, sizeof *session->acts),
        .qkv =
            path->ops->memory->allocate(path->blocks_count * block_acts * dpc_act_bytes(path->ops)),
        .window = dpc_try_alloc(path->T_max, sizeof *session->window),
        .logits = dpc_try_alloc_vector(path->V, sizeof *session->logits),
        .candidates = dpc_try_alloc(path->V, sizeof *session->candidates),
    };
    if (!session->qkv || !session->window || !session->logits || !session->candidates)
        return DPC_ENOMEM;
    for (size_t i = 0; i < path->blocks_count; i++) {
        session->acts[i] = path->acts[0];
        session->acts[i].qkv = dpc_act_at(path->ops, session->qkv, i * block_acts);
    }
    dpc_path_pack(path); /* once: parameters stay as they are while a text is written */
    dpc_rng_init(&session->rng, seed, DPC_RNG_GENERATE, 0, 0, 0);
    return DPC_OK;
}

/* Reads `count` more tokens, which fit the window, and sets the logits that follow them. */
static void
read_tokens(struct session *session, const int32_t *tokens, size_t count)
{
    struct dpc_path *path = session->path;
    size_t first = session->window_count;
    memcpy(session->window + first, tokens, count * sizeof *tokens);
    session->window_count += count;
    dpc_trunk_forward(path, session->acts, session->window + first,
                      dpc_slice_of(1, session->window_count, first));
    dpc_path_row_logits(path, count - 1, session->logits);
}

/* Reads one token; a full window keeps its newer half, at positions from 0 on. */
static void
read_token(struct session *session, int32_t token)
{
    size_t full = session->path->T_max, kept = full / 2;
    if (session->window_count == full) {
        session->window_count = 0;
        memmove(session->window, session->window + full - kept, kept * sizeof *session->window);
        session->window[kept] = token;
        read_tokens(session, session->window, kept + 1);
    } else {
        read_tokens(session, &token, 1);
    }
}

/* Likeliest first; of equals the lower token. */
static int
compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return x->token < y->token ? -1 : 1;
}

/* Orders the candidates as far as `top_k` needs it; returns how many remain. */
static size_t
choose_candidates(struct session *session, uint32_t top_k)
{
    size_t V = session->path->V;
    for (size_t v = 0; v < V; v++)
        session->candidates[v] =
            (struct candidate){.logit = session->logits[v], .token = (int32_t)v};
    if (top_k == 0 || top_k >= V)
        return V;
    qsort(session->candidates, V, sizeof *session->candidates, compare_candidates);
    return top_k;
}

/* Draws from softmax(logit / temperature) over the first `count` candidates. */
static int32_t
draw(struct session *session, size_t count, double temperature)
{
    const struct candidate *candidates = session->candidates;
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++)
        max = fmax(max, (double)candidates[i].logit);
    for (size_t i = 0; i < count; i++)
        sum += exp(((double)candidates[i].logit - max) / temperature);
    double left = dpc_rng_unit(&session->rng) * sum;
    for (size_t i = 0; i + 1 < count; i++) {
        left -= exp(((double)candidates[i].logit - max) / temperature);
        if (left < 0)
            return candidates[i].token;
    }
    return candidates[count - 1].token;
}

static int
next_token(struct session *session, double temperature, uint32_t top_k, int32_t *ret_token)
{
    for (size_t v = 0; v < session->path->V; v++) {
        if (!isfinite(session->logits[v]))
            return DPC_ENOTFINITE;
    }
    size_t count = choose_candidates(session, temperature > 0 ? top_k : 1);
    *ret_token = temperature > 0 ? draw(session, count, temperature) : session->candidates[0].token;
    return DPC_OK;
}

int
dpc_generate(struct dpc_path *path, const int32_t *prompt, uint32_t prompt_len, uint32_t count,
             double temperature, uint32_t top_k, uint64_t seed, int32_t *ret_tokens)
{
    uint32_t context = (uint32_t)path->T_max;
    if (prompt_len > context) {
        prompt += prompt_len - context;
        prompt_len = context;
    }
    int status = dpc_path_check(path, prompt, NULL, 1, prompt_len);
    if (status == DPC_OK && !(temperature >= 0 && isfinite(temperature)))
        status = DPC_EINVAL;
    if (status < 0)
        return status;
    struct session session;
    status = session_init(&session, path, seed);
    if (status == DPC_OK)
        read_tokens(&session, prompt, prompt_len);
    for (uint32_t i = 0; i < count && status == DPC_OK; i++) {
        status = next_token(&session, temperature, top_k, &ret_tokens[i]);
        if (status == DPC_OK && i + 1 < count)
            read_token(&session, ret_tokens[i]);
    }
    session_done(&session);
    return status == DPC_OK ? path->ops->memory->finish() : status;
}
