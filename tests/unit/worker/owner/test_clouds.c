/* SPDX-License-Identifier: Apache-2.0
 * What answers of metadata services come to, which are played without a line. Whole conversations
 * stand in test_notice.c. */
#include "worker/owner/clouds.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/harness.h"

struct played {
    const char *token, *answer; /* to PUT and to GET */
    char header[512];           /* of the last GET */
    unsigned asked;
};

static long
answer(void *context, const char *method, const char *place, const char *header,
       struct dpc_buf *ret_answer)
{
    struct played *played = context;
    bool puts = strcmp(method, "PUT") == 0;
    const char *text = puts ? played->token : played->answer;
    (void)place;
    played->asked++;
    if (!puts)
        (void)snprintf(played->header, sizeof played->header, "%s", header);
    dpc_buf_put(ret_answer, text, strlen(text));
    return 200;
}

static struct dpc_cloud_news
ask(enum dpc_cloud cloud, struct played *played)
{
    struct dpc_cloud_talk talk = {.ask = answer, .context = played};
    struct dpc_cloud_news news = {.state = DPC_NOTICE_CALM};
    dpc_buf_init(&talk.answer, DPC_NOTICE_BYTES_MAX);
    dpc_cloud_ask(cloud, &talk, &news);
    dpc_buf_done(&talk.answer);
    return news;
}

/* It goes into a log line and to the coordinator. */
static void
an_action_is_a_word(void)
{
    static const char *const odd[] = {"{\"action\": \"stop\\n<0>forged\"}", "{\"action\": \"\"}",
                                      "{\"action\": \"\\u001b[2J\"}", "{\"action\": 7}"};
    struct played played = {.token = "abc", .answer = "{\"action\": \"stop\"}"};
    struct dpc_cloud_news news = ask(DPC_CLOUD_AWS, &played);
    CU_ASSERT_EQUAL(news.state, DPC_NOTICE_LEAVING);
    CU_ASSERT_STRING_EQUAL(news.text, "AWS will stop this instance");
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        played.answer = odd[i];
        news = ask(DPC_CLOUD_AWS, &played);
        CU_ASSERT_EQUAL(news.state, DPC_NOTICE_LEAVING);
        CU_ASSERT_STRING_EQUAL(news.text, "AWS will interrupt this instance");
    }
}

/* What is sent back as a header must not be two of them. */
static void
a_token_of_two_lines_is_none(void)
{
    struct played played = {.token = "abc\r\nX-Other: 1", .answer = "{\"action\": \"stop\"}"};
    struct dpc_cloud_news news = ask(DPC_CLOUD_AWS, &played);
    CU_ASSERT_EQUAL(news.state, DPC_NOTICE_CALM);
    CU_ASSERT_EQUAL(played.asked, 1);
    played.token = "abc";
    news = ask(DPC_CLOUD_AWS, &played);
    CU_ASSERT_EQUAL(news.state, DPC_NOTICE_LEAVING);
    CU_ASSERT_STRING_EQUAL(played.header, "X-aws-ec2-metadata-token: abc");
}

static const struct dpc_test tests[] = {
    {"an action is a word", an_action_is_a_word},
    {"a token of two lines is none", a_token_of_two_lines_is_none},
};
DPC_TEST_MAIN("worker/clouds", tests)
