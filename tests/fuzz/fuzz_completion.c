/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in the body of a request to `dipaco serve`: what is accepted is within the limits
 * that a completion has.
 */
#include "base/limits.h"
#include "cli/completion.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dpc_completion_request request;
    struct dpc_error err = {0};
    if (dpc_completion_parse((const char *)data, size, &request, &err) != DPC_OK) {
        fuzz_require(err.code != DPC_OK && *err.text, "a refusal says why");
        return 0;
    }
    fuzz_accepted++;
    fuzz_require(request.prompt && request.model, "a request has a prompt and a model");
    fuzz_require(request.tokens_max >= 1 && request.tokens_max <= DPC_SERVE_TOKENS_MAX,
                 "a completion ends");
    fuzz_require(request.settings.temperature >= 0 && request.settings.temperature <= 100 &&
                     request.settings.top_k <= DPC_VOCAB_MAX,
                 "settings are within their ranges");
    fuzz_require(request.stops_count <= DPC_SERVE_STOPS_MAX, "stops have room");
    for (uint32_t i = 0; i < request.stops_count; i++)
        fuzz_require(*request.stops[i], "a stop is a text");
    dpc_completion_request_done(&request);
    return 0;
}

#ifndef DPC_LIBFUZZER

static const char *const bodies[] = {
    "{\"prompt\": \"a\\u0000b\"}",
    "{\"prompt\": [\"a\"], \"model\": \"0-1\", \"max_tokens\": 100, \"temperature\": 0.5, "
    "\"top_k\": 40, \"seed\": 7, \"stop\": [\"x\", \"yy\"], \"stream\": true, \"n\": 1, "
    "\"best_of\": null, \"top_p\": 1.0, \"presence_penalty\": 0, \"echo\": false, "
    "\"logprobs\": null, \"user\": \"somebody\", \"stream_options\": {\"include_usage\": true}}",
};

static void
add_inputs(struct fuzz *fuzz)
{
    fuzz_valid_texts(fuzz, bodies, sizeof bodies / sizeof *bodies);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 40000, add_inputs);
}

#endif
