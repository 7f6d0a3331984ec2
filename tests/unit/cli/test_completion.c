/* SPDX-License-Identifier: Apache-2.0
 * What a request may say; what comes of it is in tests/e2e/serve.sh. */
#include "cli/completion.h"

#include <string.h>

#include "base/limits.h"
#include "tests/unit/harness.h"

static int
parse(const char *body, struct dpc_completion_request *request, struct dpc_error *err)
{
    *err = (struct dpc_error){0};
    return dpc_completion_parse(body, strlen(body), request, err);
}

static void
what_is_left_out_has_its_default(void)
{
    struct dpc_completion_request request;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse("{\"prompt\": \"a\\u0000b\"}", &request, &err), DPC_OK);
    CU_ASSERT(request.prompt_len == 3 && memcmp(request.prompt, "a\0b", 3) == 0);
    CU_ASSERT_STRING_EQUAL(request.model, DPC_SERVE_ROUTED);
    CU_ASSERT(request.tokens_max == 100 && request.stops_count == 0 && !request.stream);
    CU_ASSERT(request.settings.temperature == 0.8 && request.settings.top_k == 40);
    dpc_completion_request_done(&request);
}

static void
what_is_said_is_taken(void)
{
    static const char body[] =
        "{\"prompt\": \"a\", \"model\": \"0-1\", \"max_tokens\": 100000, \"temperature\": 0, "
        "\"top_k\": 65536, \"seed\": 9007199254740992, \"stop\": [\"x\", \"yy\"], \"stream\": "
        "true, "
        "\"n\": 1, \"best_of\": null, \"top_p\": 1.0, \"presence_penalty\": 0, "
        "\"frequency_penalty\": 0.0, \"echo\": false, \"logprobs\": null, \"suffix\": null, "
        "\"logit_bias\": null, \"user\": \"somebody\"}";
    struct dpc_completion_request request;
    struct dpc_error err;
    if (parse(body, &request, &err) != DPC_OK)
        CU_FAIL_FATAL(err.text);
    CU_ASSERT_STRING_EQUAL(request.model, "0-1");
    CU_ASSERT(request.tokens_max == 100000 && request.stream);
    CU_ASSERT(request.settings.temperature == 0 && request.settings.top_k == 65536);
    CU_ASSERT_EQUAL(request.settings.seed, (uint64_t)1 << 53);
    CU_ASSERT_EQUAL_FATAL(request.stops_count, 2);
    CU_ASSERT_STRING_EQUAL(request.stops[1], "yy");
    dpc_completion_request_done(&request);
    CU_ASSERT_EQUAL_FATAL(parse("{\"prompt\": \"a\", \"stop\": \"x\"}", &request, &err), DPC_OK);
    CU_ASSERT_EQUAL(request.stops_count, 1);
    dpc_completion_request_done(&request);
    CU_ASSERT_EQUAL_FATAL(parse("{\"prompt\": [\"ab\"], \"stream_options\": {\"include_usage\": "
                                "true}}",
                                &request, &err),
                          DPC_OK);
    CU_ASSERT_STRING_EQUAL(request.prompt, "ab");
    dpc_completion_request_done(&request);
}

/* Clients send them with what is theirs by default, and were refused. */
static void
what_is_empty_changes_nothing(void)
{
    struct dpc_completion_request request;
    struct dpc_error err;
    if (parse("{\"prompt\": \"a\", \"suffix\": \"\", \"logit_bias\": {}}", &request, &err) !=
        DPC_OK)
        CU_FAIL_FATAL(err.text);
    dpc_completion_request_done(&request);
}

static void
what_cannot_be_is_refused_by_name(void)
{
    static const char *const bad[][2] = {
        {"", "line"},
        {"{\"prompt\": \"a\"", "line 1"},
        {"{\"prompt\": \"a\", \"prompt\": \"b\"}", "prompt"},
        {"[]", "JSON object"},
        {"{}", "\"prompt\" is missing"},
        {"{\"prompt\": 1}", "\"prompt\" must be one text"},
        {"{\"prompt\": [\"a\", \"b\"]}", "\"prompt\" must be one text"},
        {"{\"prompt\": \"a\", \"model\": 1}", "\"model\" must be a text"},
        {"{\"prompt\": \"a\", \"max_tokens\": 0}", "from 1 to 100000"},
        {"{\"prompt\": \"a\", \"max_tokens\": 100001}", "from 1 to 100000"},
        {"{\"prompt\": \"a\", \"max_tokens\": 1.5}", "from 1 to 100000"},
        {"{\"prompt\": \"a\", \"max_tokens\": \"7\"}", "from 1 to 100000"},
        {"{\"prompt\": \"a\", \"temperature\": -0.1}", "from 0 to 100"},
        {"{\"prompt\": \"a\", \"temperature\": 1e9}", "from 0 to 100"},
        {"{\"prompt\": \"a\", \"top_k\": -1}", "from 0 to 65536"},
        {"{\"prompt\": \"a\", \"seed\": 1e17}", "2^53"},
        {"{\"prompt\": \"a\", \"stop\": \"\"}", "none of them empty"},
        {"{\"prompt\": \"a\", \"stop\": \"a\\u0000b\"}", "\"stop\" must be"},
        {"{\"prompt\": \"a\", \"model\": \"dipaco\\u0000b\"}", "\"model\" must be"},
        {"{\"prompt\": \"a\", \"stop\": [\"a\", 1]}", "\"stop\" must be"},
        {"{\"prompt\": \"a\", \"stop\": [\"a\", \"b\", \"c\", \"d\", \"e\"]}", "at most four"},
        {"{\"prompt\": \"a\", \"stream\": 1}", "\"stream\" must be"},
        {"{\"prompt\": \"a\", \"n\": 2}", "\"n\" is not supported"},
        {"{\"prompt\": \"a\", \"top_p\": 0.9}", "\"top_p\" is not supported"},
        {"{\"prompt\": \"a\", \"echo\": true}", "\"echo\" is not supported"},
        {"{\"prompt\": \"a\", \"logprobs\": 1}", "\"logprobs\" is not supported"},
        {"{\"prompt\": \"a\", \"logprobs\": 0}", "\"logprobs\" is not supported"},
        {"{\"prompt\": \"a\", \"suffix\": \"b\"}", "\"suffix\" is not supported"},
        {"{\"prompt\": \"a\", \"suffix\": \"\\u0000b\"}", "\"suffix\" is not supported"},
        {"{\"prompt\": \"a\", \"logit_bias\": {\"1\": 2}}", "\"logit_bias\" is not supported"},
        {"{\"prompt\": \"a\", \"n\": {}}", "\"n\" is not supported"},
        {"{\"prompt\": \"a\", \"messages\": []}", "\"messages\" is unknown"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dpc_completion_request request;
        struct dpc_error err;
        CU_ASSERT(parse(bad[i][0], &request, &err) < 0);
        if (!strstr(err.text, bad[i][1]))
            CU_FAIL(bad[i][0]);
    }
}

static const struct dpc_test tests[] = {
    {"what is left out has its default", what_is_left_out_has_its_default},
    {"what is said is taken", what_is_said_is_taken},
    {"what is empty changes nothing", what_is_empty_changes_nothing},
    {"what cannot be is refused by name", what_cannot_be_is_refused_by_name},
};
DPC_TEST_MAIN("cli/completion", tests)
