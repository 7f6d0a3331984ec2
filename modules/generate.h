/* SPDX-License-Identifier: Apache-2.0
 *
 * Text from a path, token by token. Keys and values of earlier tokens are kept, so that a token
 * costs one pass over the weights. When the context is full, its newer half is kept and read again.
 *
 * Owns: a generator the kept keys and values.
 * Threads: as the path. Limits: any count; the model sees at most its context.
 * Not here: tokens to text (data/).
 */
#ifndef DPC_MODULES_GENERATE_H
#define DPC_MODULES_GENERATE_H

#include <stdint.h>

#include "modules/path.h"

struct dpc_generator;

struct dpc_generator_settings {
    double
        temperature; /* each token is drawn from softmax(logits / temperature); 0: the likeliest */
    uint32_t top_k;  /* over so many likeliest ones; 0: all */
    uint64_t seed;   /* the same seed gives the same tokens within a numeric class */
};

/* Reads a prompt (of at least one token; of a longer one than the context its end). The path keeps
 * its parameters as long as the generator is there; several of them may take turns on a path.
 * DPC_EINVAL for an empty prompt, a token >= vocab or a temperature that is negative or not finite;
 * DPC_ENOMEM. */
int dpc_generator_create(struct dpc_path *path, const int32_t *prompt, uint32_t prompt_len,
                         const struct dpc_generator_settings *settings,
                         struct dpc_generator **ret_generator) DPC_MUST_CHECK;
/* Takes NULL; returns NULL. */
struct dpc_generator *dpc_generator_destroy(struct dpc_generator *generator);

/* The token that follows. DPC_ENOTFINITE when the logits are not finite; what a card says. */
int dpc_generator_next(struct dpc_generator *generator, int32_t *ret_token) DPC_MUST_CHECK;

/* The `count` tokens that follow, in one call; errors as above. */
int dpc_generate(struct dpc_path *path, const int32_t *prompt, uint32_t prompt_len, uint32_t count,
                 double temperature, uint32_t top_k, uint64_t seed,
                 int32_t *ret_tokens) DPC_MUST_CHECK;

#endif
