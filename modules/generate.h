/* SPDX-License-Identifier: Apache-2.0
 *
 * Text from a path, token by token. Keys and values of earlier tokens are kept, so that a token
 * costs one pass over the weights. When the context is full, its newer half is kept and read again.
 *
 * Owns: nothing after a call (a call allocates the kept keys and values and frees them).
 * Threads: as the path. Limits: any count; the model sees at most its context.
 * Not here: tokens to text (data/).
 */
#ifndef DPC_MODULES_GENERATE_H
#define DPC_MODULES_GENERATE_H

#include <stdint.h>

#include "modules/path.h"

/* Writes `count` tokens that follow the prompt (of at least one token; of a longer one than the
 * context its end is read) to `ret_tokens`. Each is drawn from softmax(logits / temperature) over
 * the `top_k` likeliest (0: all); temperature 0 takes the likeliest. The same seed gives the same
 * tokens within a numeric class. DPC_EINVAL for an empty prompt, a token >= vocab or a temperature
 * that is negative or not finite; DPC_ENOMEM; DPC_ENOTFINITE when the logits are not finite. */
int dpc_generate(struct dpc_path *path, const int32_t *prompt, uint32_t prompt_len, uint32_t count,
                 double temperature, uint32_t top_k, uint64_t seed,
                 int32_t *ret_tokens) DPC_MUST_CHECK;

#endif
