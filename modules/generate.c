/* SPDX-License-Identifier: Apache-2.0
 * A generator holds the window of tokens that the model sees and, for each block, the rows of qkv
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

struct dpc_generator {
    struct dpc_path *path;
    double temperature;
    uint32_t top_k;
    struct dpc_block_acts *acts; /* [blocks_count]: the path's, but for qkv */
    void *qkv;                   /* acts [blocks_count, rows, W] */
    int32_t *window;             /* [T_max] */
    size_t window_count;
    float *logits;                /* [V] that follow the window */
    struct candidate *candidates; /* [V] */
    struct dpc_rng rng;
    int32_t last; /* the token that was drawn last and is not read yet; -1: none */
};

static int
init(struct dpc_generator *generator, struct dpc_path *path,
     const struct dpc_generator_settings *settings)
{
    size_t block_acts = (path->T_max + DPC_PAD_ROWS) * path->W; /* a long prompt is padded */
    *generator = (struct dpc_generator){
        .path = path,
        .temperature = settings->temperature,
        .top_k = settings->top_k,
        .last = -1,
        .acts = dpc_alloc(path->blocks_count, sizeof *generator->acts),
        .qkv =
            path->ops->memory->allocate(path->blocks_count * block_acts * dpc_act_bytes(path->ops)),
        .window = dpc_try_alloc(path->T_max, sizeof *generator->window),
        .logits = dpc_try_alloc_vector(path->V, sizeof *generator->logits),
        .candidates = dpc_try_alloc(path->V, sizeof *generator->candidates),
    };
    if (!generator->qkv || !generator->window || !generator->logits || !generator->candidates)
        return DPC_ENOMEM;
    for (size_t i = 0; i < path->blocks_count; i++) {
        generator->acts[i] = path->acts[0];
        generator->acts[i].qkv = dpc_act_at(path->ops, generator->qkv, i * block_acts);
    }
    dpc_path_pack(path); /* once: parameters stay as they are while a text is written */
    dpc_rng_init(&generator->rng, settings->seed, DPC_RNG_GENERATE, 0, 0, 0);
    return DPC_OK;
}

/* Reads `count` more tokens, which fit the window, and sets the logits that follow them. */
static void
read_tokens(struct dpc_generator *generator, const int32_t *tokens, size_t count)
{
    struct dpc_path *path = generator->path;
    size_t first = generator->window_count;
    memcpy(generator->window + first, tokens, count * sizeof *tokens);
    generator->window_count += count;
    dpc_trunk_forward(path, generator->acts, generator->window + first,
                      dpc_slice_of(1, generator->window_count, first));
    dpc_path_row_logits(path, count - 1, generator->logits);
}

/* Reads one token; a full window keeps its newer half, at positions from 0 on. */
static void
read_token(struct dpc_generator *generator, int32_t token)
{
    size_t full = generator->path->T_max, kept = full / 2;
    if (generator->window_count == full) {
        generator->window_count = 0;
        memmove(generator->window, generator->window + full - kept,
                kept * sizeof *generator->window);
        generator->window[kept] = token;
        read_tokens(generator, generator->window, kept + 1);
    } else {
        read_tokens(generator, &token, 1);
    }
}

/* Likeliest first; of equals the lower token. */
static int
compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return x->token < y->token ? -1 : x->token > y->token;
}

/* Moves the `count` likeliest of candidates [0, all) to the front, in no order (Hoare's FIND). */
static void
select_candidates(struct candidate *candidates, size_t all, size_t count)
{
    ptrdiff_t from = 0, to = (ptrdiff_t)all - 1, wanted = (ptrdiff_t)count;
    while (from < to) {
        struct candidate pivot = candidates[from + (to - from) / 2];
        ptrdiff_t low = from, high = to;
        while (low <= high) {
            while (compare_candidates(&candidates[low], &pivot) < 0)
                low++;
            while (compare_candidates(&candidates[high], &pivot) > 0)
                high--;
            if (low <= high) {
                struct candidate swapped = candidates[low];
                candidates[low++] = candidates[high];
                candidates[high--] = swapped;
            }
        }
        /* What is left of `low` is at least as likely as what is right of `high`. */
        if (wanted <= high)
            to = high;
        else if (wanted >= low)
            from = low;
        else
            return;
    }
}

/* Orders the candidates as far as `top_k` needs it; returns how many remain. */
static size_t
choose_candidates(struct dpc_generator *generator, uint32_t top_k)
{
    size_t V = generator->path->V;
    for (size_t v = 0; v < V; v++)
        generator->candidates[v] =
            (struct candidate){.logit = generator->logits[v], .token = (int32_t)v};
    if (top_k == 0 || top_k >= V)
        return V;
    select_candidates(generator->candidates, V, top_k);
    qsort(generator->candidates, top_k, sizeof *generator->candidates, compare_candidates);
    return top_k;
}

/* Draws from softmax(logit / temperature) over the first `count` candidates. */
static int32_t
draw(struct dpc_generator *generator, size_t count, double temperature)
{
    const struct candidate *candidates = generator->candidates;
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++)
        max = fmax(max, (double)candidates[i].logit);
    for (size_t i = 0; i < count; i++)
        sum += exp(((double)candidates[i].logit - max) / temperature);
    double left = dpc_rng_unit(&generator->rng) * sum;
    for (size_t i = 0; i + 1 < count; i++) {
        left -= exp(((double)candidates[i].logit - max) / temperature);
        if (left < 0)
            return candidates[i].token;
    }
    return candidates[count - 1].token;
}

int
dpc_generator_create(struct dpc_path *path, const int32_t *prompt, uint32_t prompt_len,
                     const struct dpc_generator_settings *settings,
                     struct dpc_generator **ret_generator)
{
    uint32_t context = (uint32_t)path->T_max;
    if (prompt_len > context) {
        prompt += prompt_len - context;
        prompt_len = context;
    }
    int status = dpc_path_check(path, prompt, NULL, 1, prompt_len);
    if (status == DPC_OK && !(settings->temperature >= 0 && isfinite(settings->temperature)))
        status = DPC_EINVAL;
    if (status < 0)
        return status;
    struct dpc_generator *generator = dpc_alloc(1, sizeof *generator);
    status = init(generator, path, settings);
    if (status != DPC_OK) {
        dpc_generator_destroy(generator);
        return status;
    }
    read_tokens(generator, prompt, prompt_len);
    *ret_generator = generator;
    return DPC_OK;
}

struct dpc_generator *
dpc_generator_destroy(struct dpc_generator *generator)
{
    if (!generator)
        return NULL;
    dpc_free(generator->acts);
    generator->path->ops->memory->release(generator->qkv);
    dpc_free(generator->window);
    dpc_free(generator->logits);
    dpc_free(generator->candidates);
    return dpc_free(generator);
}

/* A token is read when the next one is asked for: behind the last one that would be in vain. */
int
dpc_generator_next(struct dpc_generator *generator, int32_t *ret_token)
{
    bool draws = generator->temperature > 0;
    if (generator->last >= 0)
        read_token(generator, generator->last);
    int status = generator->path->ops->memory->finish();
    for (size_t v = 0; status == DPC_OK && v < generator->path->V; v++) {
        if (!isfinite(generator->logits[v]))
            status = DPC_ENOTFINITE;
    }
    if (status != DPC_OK)
        return status;
    size_t count = choose_candidates(generator, draws ? generator->top_k : 1);
    generator->last =
        draws ? draw(generator, count, generator->temperature) : generator->candidates[0].token;
    *ret_token = generator->last;
    return DPC_OK;
}

int
dpc_generate(struct dpc_path *path, const int32_t *prompt, uint32_t prompt_len, uint32_t count,
             double temperature, uint32_t top_k, uint64_t seed, int32_t *ret_tokens)
{
    struct dpc_generator_settings settings = {temperature, top_k, seed};
    struct dpc_generator *generator = NULL;
    int status = dpc_generator_create(path, prompt, prompt_len, &settings, &generator);
    for (uint32_t i = 0; i < count && status == DPC_OK; i++)
        status = dpc_generator_next(generator, &ret_tokens[i]);
    dpc_generator_destroy(generator);
    return status;
}
