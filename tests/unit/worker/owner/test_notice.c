/* SPDX-License-Identifier: Apache-2.0
 * Notices of preemption, from a metadata service that this program plays: a thread that answers
 * what a table says, on a port of the loopback. */
#include "worker/owner/notice.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/data/temp.h"
#include "tests/unit/harness.h"
#include "tests/unit/worker/web_server.h"

enum { ROWS_MAX = 4, PERIOD_MS = 20, DEADLINE_MS = 10000 };

/* What is asked, with a header that must be there, and the answer. */
struct row {
    const char *question, *header, *status, *body;
};

struct service {
    int listener;
    char url[WEB_URL_MAX];
    pthread_t thread;
    pthread_mutex_t lock;
    struct row rows[ROWS_MAX];
    atomic_bool hangs, ends;
    atomic_uint asked;
};

static void
answer(struct service *service, int connection)
{
    char question[4096], reply[2048];
    struct row found = {.status = "404 Not Found", .body = ""};
    ssize_t len = recv(connection, question, sizeof question - 1, 0);
    question[len > 0 ? len : 0] = '\0';
    pthread_mutex_lock(&service->lock);
    for (int i = 0; i < ROWS_MAX && service->rows[i].question; i++) {
        const struct row *row = &service->rows[i];
        if (strncmp(question, row->question, strlen(row->question)) != 0)
            continue;
        found = *row;
        if (!strstr(question, row->header))
            found = (struct row){.status = "401 Unauthorized", .body = ""};
    }
    pthread_mutex_unlock(&service->lock);
    int size = snprintf(reply, sizeof reply,
                        "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                        found.status, strlen(found.body), found.body);
    if (!service->hangs)
        (void)send(connection, reply, (size_t)size, MSG_NOSIGNAL);
    while (service->hangs && !service->ends)
        (void)poll(NULL, 0, 10);
}

static void *
serve(void *context)
{
    struct service *service = context;
    int connection;
    while ((connection = web_accept(service->listener, &service->ends)) >= 0) {
        service->asked++;
        answer(service, connection);
        close(connection);
    }
    return NULL;
}

static void
service_start(struct service *service)
{
    memset(service, 0, sizeof *service);
    pthread_mutex_init(&service->lock, NULL);
    CU_ASSERT_FATAL(web_listen(&service->listener, service->url, "http"));
    CU_ASSERT_EQUAL_FATAL(pthread_create(&service->thread, NULL, serve, service), 0);
}

static void
service_stop(struct service *service)
{
    service->ends = true;
    pthread_join(service->thread, NULL);
    close(service->listener);
    pthread_mutex_destroy(&service->lock);
}

static void
says(struct service *service, int row, struct row what)
{
    pthread_mutex_lock(&service->lock);
    service->rows[row] = what;
    pthread_mutex_unlock(&service->lock);
}

static struct dpc_notice *
watch(const struct service *service, enum dpc_cloud cloud)
{
    struct dpc_notice_options options = {
        .cloud = cloud, .url = service->url, .period_ms = PERIOD_MS};
    struct dpc_notice *notice = dpc_notice_start(&options);
    CU_ASSERT_PTR_NOT_NULL_FATAL(notice);
    return notice;
}

/* Waits for the descriptor, and for the state. */
static void
expect(struct dpc_notice *notice, enum dpc_notice_state state, const char *words)
{
    char text[DPC_NOTICE_TEXT_MAX] = "";
    int64_t until_ms = dpc_clock_now_ms(&dpc_clock_system) + DEADLINE_MS;
    enum dpc_notice_state now = state == DPC_NOTICE_CALM ? DPC_NOTICE_LEAVING : DPC_NOTICE_CALM;
    while (now != state && dpc_clock_now_ms(&dpc_clock_system) < until_ms) {
        struct pollfd wait = {.fd = dpc_notice_fd(notice), .events = POLLIN};
        if (poll(&wait, 1, 100) == 1)
            now = dpc_notice_take(notice, text);
    }
    CU_ASSERT_EQUAL(now, state);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, words));
}

/* So many more questions came, and the state is still calm. */
static void
expect_calm(struct service *service, struct dpc_notice *notice)
{
    char text[DPC_NOTICE_TEXT_MAX];
    unsigned asked = service->asked;
    int64_t until_ms = dpc_clock_now_ms(&dpc_clock_system) + DEADLINE_MS;
    while (service->asked < asked + 6 && dpc_clock_now_ms(&dpc_clock_system) < until_ms)
        (void)poll(NULL, 0, 5);
    CU_ASSERT(service->asked >= asked + 6);
    CU_ASSERT_EQUAL(dpc_notice_take(notice, text), DPC_NOTICE_CALM);
}

static const char token_header[] = "X-aws-ec2-metadata-token: abc";
static const char action_place[] = "GET /latest/meta-data/spot/instance-action ";
static const char rebalance_place[] = "GET /latest/meta-data/events/recommendations/rebalance ";

static void
aws_says_when_it_takes_a_machine_back(void)
{
    struct service service;
    service_start(&service);
    says(&service, 0,
         (struct row){"PUT /latest/api/token ", "X-aws-ec2-metadata-token-ttl-seconds: 21600",
                      "200 OK", "abc"});
    says(&service, 1, (struct row){action_place, token_header, "404 Not Found", ""});
    says(&service, 2, (struct row){rebalance_place, token_header, "404 Not Found", ""});
    struct dpc_notice *notice = watch(&service, DPC_CLOUD_AWS);
    expect_calm(&service, notice);
    says(&service, 2, (struct row){rebalance_place, token_header, "200 OK", "{}"});
    expect(notice, DPC_NOTICE_RISK, "recommends");
    says(&service, 1,
         (struct row){action_place, token_header, "200 OK",
                      "{\"action\": \"terminate\", \"time\": \"2017-09-18T08:22:00Z\"}"});
    expect(notice, DPC_NOTICE_LEAVING, "terminate");
    says(&service, 1, (struct row){action_place, token_header, "404 Not Found", ""});
    says(&service, 2, (struct row){rebalance_place, token_header, "404 Not Found", ""});
    expect(notice, DPC_NOTICE_CALM, "");
    dpc_notice_stop(notice);
    service_stop(&service);
}

/* Tokens end: a new one is asked for. */
static void
aws_wants_a_new_token(void)
{
    struct service service;
    service_start(&service);
    says(&service, 0, (struct row){"PUT /latest/api/token ", "seconds", "200 OK", "abc"});
    says(&service, 1, (struct row){action_place, token_header, "404 Not Found", ""});
    struct dpc_notice *notice = watch(&service, DPC_CLOUD_AWS);
    expect_calm(&service, notice);
    says(&service, 0, (struct row){"PUT /latest/api/token ", "seconds", "200 OK", "xyz"});
    says(&service, 1,
         (struct row){action_place, "X-aws-ec2-metadata-token: xyz", "200 OK", "no JSON"});
    expect(notice, DPC_NOTICE_LEAVING, "interrupt");
    dpc_notice_stop(notice);
    service_stop(&service);
}

static void
google_says_true_or_false(void)
{
    static const char place[] = "GET /computeMetadata/v1/instance/preempted ";
    static const char header[] = "Metadata-Flavor: Google";
    struct service service;
    service_start(&service);
    says(&service, 0, (struct row){place, header, "200 OK", "FALSE\n"});
    struct dpc_notice *notice = watch(&service, DPC_CLOUD_GCP);
    expect_calm(&service, notice);
    says(&service, 0, (struct row){place, header, "200 OK", "<html>TRUE</html>"});
    expect_calm(&service, notice);
    says(&service, 0, (struct row){place, header, "200 OK", "TRUE\n"});
    expect(notice, DPC_NOTICE_LEAVING, "Google");
    /* A service that says nothing takes nothing back. */
    says(&service, 0, (struct row){place, header, "503 Service Unavailable", "FALSE"});
    unsigned asked = service.asked;
    while (service.asked < asked + 5)
        (void)poll(NULL, 0, 5);
    char text[DPC_NOTICE_TEXT_MAX];
    CU_ASSERT_EQUAL(dpc_notice_take(notice, text), DPC_NOTICE_LEAVING);
    dpc_notice_stop(notice);
    service_stop(&service);
}

static void
azure_names_the_machines(void)
{
    static const char place[] = "GET /metadata/scheduledevents?api-version=2020-07-01 ";
    struct service service;
    service_start(&service);
    says(&service, 0,
         (struct row){"GET /metadata/instance/compute/name?", "Metadata: true", "200 OK", "me"});
    says(&service, 1,
         (struct row){place, "Metadata: true", "200 OK",
                      "{\"Events\": [{\"EventType\": \"Preempt\", \"Resources\": [\"other\"]}, "
                      "{\"EventType\": \"Reboot\", \"Resources\": [\"me\"]}, 7, {}]}"});
    struct dpc_notice *notice = watch(&service, DPC_CLOUD_AZURE);
    expect_calm(&service, notice);
    says(&service, 1, (struct row){place, "Metadata: true", "200 OK", "{\"Events\": "});
    expect_calm(&service, notice);
    says(&service, 1,
         (struct row){place, "Metadata: true", "200 OK",
                      "{\"Events\": [{\"EventType\": \"Preempt\", \"Resources\": [\"other\", "
                      "\"me\"]}]}"});
    expect(notice, DPC_NOTICE_LEAVING, "Azure");
    says(&service, 1, (struct row){place, "Metadata: true", "200 OK", "{\"Events\": []}"});
    expect(notice, DPC_NOTICE_CALM, "");
    dpc_notice_stop(notice);
    service_stop(&service);
}

/* Nobody waits for a service that does not answer. */
static void
an_end_does_not_wait_for_an_answer(void)
{
    struct service service;
    service_start(&service);
    service.hangs = true;
    struct dpc_notice *notice = watch(&service, DPC_CLOUD_GCP);
    while (service.asked == 0)
        (void)poll(NULL, 0, 5);
    int64_t start_ms = dpc_clock_now_ms(&dpc_clock_system);
    dpc_notice_stop(notice);
    CU_ASSERT(dpc_clock_now_ms(&dpc_clock_system) - start_ms < DPC_NOTICE_TIMEOUT_MS + 500);
    service_stop(&service);
}

static void
write_field(struct temp *temp, const char *name, const char *text)
{
    temp_write(temp, name, text, strlen(text));
}

static void
a_machine_is_known_by_its_firmware(void)
{
    struct temp temp;
    temp_make(&temp);
    CU_ASSERT_EQUAL(dpc_cloud_detect(temp.folder), DPC_CLOUD_NONE);
    write_field(&temp, "sys_vendor", "Microsoft Corporation\n");
    write_field(&temp, "product_name", "Virtual Machine\n");
    CU_ASSERT_EQUAL(dpc_cloud_detect(temp.folder), DPC_CLOUD_NONE);
    write_field(&temp, "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n");
    CU_ASSERT_EQUAL(dpc_cloud_detect(temp.folder), DPC_CLOUD_AZURE);
    write_field(&temp, "product_name", "Google Compute Engine\n");
    CU_ASSERT_EQUAL(dpc_cloud_detect(temp.folder), DPC_CLOUD_GCP);
    write_field(&temp, "sys_vendor", "Amazon EC2\n");
    CU_ASSERT_EQUAL(dpc_cloud_detect(temp.folder), DPC_CLOUD_AWS);
    struct dpc_notice_options none = {.cloud = DPC_CLOUD_NONE, .dmi_folder = temp.folder};
    CU_ASSERT_PTR_NULL(dpc_notice_start(&none));
    temp_remove(&temp);
    enum dpc_cloud cloud;
    CU_ASSERT(dpc_cloud_parse("gcp", &cloud) && cloud == DPC_CLOUD_GCP);
    CU_ASSERT(!dpc_cloud_parse("GCP", &cloud));
}

static const struct dpc_test tests[] = {
    {"a machine is known by its firmware", a_machine_is_known_by_its_firmware},
    {"AWS says when it takes a machine back", aws_says_when_it_takes_a_machine_back},
    {"AWS wants a new token", aws_wants_a_new_token},
    {"Google says true or false", google_says_true_or_false},
    {"Azure names the machines", azure_names_the_machines},
    {"an end does not wait for an answer", an_end_does_not_wait_for_an_answer},
};
DPC_TEST_MAIN("worker/notice", tests)
