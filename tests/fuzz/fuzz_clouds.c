/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a cloud's metadata service answers, in any order: each look at it is a few questions, of
 * one line each, and what it comes to is one line for a log.
 *
 * An input is a cloud, and then answers: a byte for the status, a length (u16) and a body.
 */
#include "base/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "worker/owner/clouds.h"

enum { LOOKS = 4, QUESTIONS_MAX = 3 };

struct service {
    struct dpc_reader answers;
    unsigned asked; /* in this look */
};

static void
require_line(const char *text, const char *what)
{
    size_t left = strlen(text);
    for (const uint8_t *at = (const uint8_t *)text; left;) {
        size_t len = dpc_utf8_sequence(at, left);
        fuzz_require(len && !dpc_utf8_is_control(at, len), what);
        at += len;
        left -= len;
    }
}

static long
answer(void *context, const char *method, const char *place, const char *header,
       struct dpc_buf *ret_answer)
{
    static const long statuses[] = {200, 404, 401, DPC_CLOUD_SILENT, 503};
    struct service *service = context;
    fuzz_require(++service->asked <= QUESTIONS_MAX, "a look ends");
    fuzz_require(strcmp(method, "GET") == 0 || strcmp(method, "PUT") == 0, "a method is one");
    require_line(place, "a place is a line");
    require_line(header, "a header is a line");
    uint8_t status = dpc_reader_u8(&service->answers);
    uint16_t len = dpc_reader_u16(&service->answers);
    size_t left = (size_t)(service->answers.end - service->answers.at);
    const uint8_t *body = dpc_reader_bytes(&service->answers, len < left ? len : left);
    if (body)
        dpc_buf_put(ret_answer, body, len < left ? len : left);
    return statuses[status % (sizeof statuses / sizeof *statuses)];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct service service;
    struct dpc_cloud_talk talk = {.ask = answer, .context = &service};
    struct dpc_cloud_news news = {.state = DPC_NOTICE_CALM};
    if (size == 0)
        return 0;
    enum dpc_cloud cloud = (enum dpc_cloud)(DPC_CLOUD_AWS + data[0] % 3);
    dpc_reader_init(&service.answers, data + 1, size - 1);
    dpc_buf_init(&talk.answer, DPC_NOTICE_BYTES_MAX);
    for (int i = 0; i < LOOKS; i++) {
        service.asked = 0;
        dpc_cloud_ask(cloud, &talk, &news);
        fuzz_accepted += news.state != DPC_NOTICE_CALM;
        fuzz_require(news.state <= DPC_NOTICE_LEAVING &&
                         (news.state == DPC_NOTICE_CALM) == !*news.text,
                     "news have words, and calm has none");
        require_line(news.text, "news are a line");
        fuzz_require(strlen(talk.token) < sizeof talk.token && strlen(talk.name) < sizeof talk.name,
                     "what is kept has an end");
    }
    dpc_buf_done(&talk.answer);
    return 0;
}

#ifndef DPC_LIBFUZZER

enum { ANSWERS_MAX = 4 };

static const struct {
    enum dpc_cloud cloud;
    const char *bodies[ANSWERS_MAX]; /* each with status 200 */
} talks[] = {
    {DPC_CLOUD_AWS,
     {"AQAEAFK0q==", "{\"action\": \"terminate\", \"time\": \"2017-09-18T08:22Z\"}"}},
    {DPC_CLOUD_GCP, {"FALSE\n", "TRUE\n"}},
    {DPC_CLOUD_AZURE,
     {"me",
      "{\"Events\": [{\"EventType\": \"Preempt\", \"Resources\": [\"other\", \"me\"]}, "
      "{\"EventType\": \"Reboot\", \"Resources\": [\"me\"]}, 7, {}]}",
      "{\"Events\": []}",
      "{\"Events\": [{\"EventType\": \"Terminate\", \"Resources\": [\"me\"]}]}"}},
};

static void
add_inputs(struct fuzz *fuzz)
{
    for (size_t i = 0; i < sizeof talks / sizeof *talks; i++) {
        struct dpc_buf input;
        dpc_buf_init(&input, 0);
        dpc_buf_put_u8(&input, (uint8_t)(talks[i].cloud - DPC_CLOUD_AWS));
        for (int k = 0; k < ANSWERS_MAX && talks[i].bodies[k]; k++) {
            size_t len = strlen(talks[i].bodies[k]);
            dpc_buf_put_u8(&input, 0);
            dpc_buf_put_u16(&input, (uint16_t)len);
            dpc_buf_put(&input, talks[i].bodies[k], len);
        }
        fuzz_valid(fuzz, input.data, input.len, 0);
        dpc_buf_done(&input);
    }
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 40000, add_inputs);
}

#endif
