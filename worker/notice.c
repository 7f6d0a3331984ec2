/* SPDX-License-Identifier: Apache-2.0
 * One table of clouds: how a machine is known as theirs, where they answer, how they are asked. The
 * metadata services are reached on a link-local address, never through a proxy. A question that
 * gets no answer changes nothing: a metadata service that restarts is no notice. */
#include "worker/notice.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/vfs.h"

enum { NO_ANSWER = 0, OK = 200, UNAUTHORIZED = 401, NOT_FOUND = 404, URL_MAX = 512 };

struct news {
    enum dpc_notice_state state;
    char text[DPC_NOTICE_TEXT_MAX];
};

struct dpc_notice {
    enum dpc_cloud cloud;
    char url[URL_MAX];
    uint32_t period_ms;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock; /* news */
    pthread_cond_t stopped;
    struct news news;
    atomic_bool stopping;
    /* The thread's. */
    CURL *curl;
    struct dpc_buf answer;
    char token[256]; /* AWS's; "": none yet */
    char name[128];  /* Azure's name of this machine; "": not known yet */
};

/* --- Questions. */

static size_t
take_answer(char *bytes, size_t size, size_t count, void *context)
{
    struct dpc_buf *answer = context;
    dpc_buf_put(answer, bytes, size * count);
    return answer->failed ? 0 : size * count;
}

static int
stop_asking(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return ((struct dpc_notice *)context)->stopping;
}

/* The status of an answer, which is in `answer` then; NO_ANSWER when none came. */
static long
ask(struct dpc_notice *notice, const char *method, const char *place, const char *header)
{
    char url[2 * URL_MAX];
    long status = NO_ANSWER;
    struct curl_slist *headers = header ? curl_slist_append(NULL, header) : NULL;
    (void)snprintf(url, sizeof url, "%s%s", notice->url, place);
    dpc_buf_reset(&notice->answer);
    curl_easy_reset(notice->curl);
    curl_easy_setopt(notice->curl, CURLOPT_URL, url);
    curl_easy_setopt(notice->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(notice->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(notice->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(notice->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(notice->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(notice->curl, CURLOPT_TIMEOUT_MS, (long)DPC_NOTICE_TIMEOUT_MS);
    curl_easy_setopt(notice->curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(notice->curl, CURLOPT_WRITEDATA, &notice->answer);
    curl_easy_setopt(notice->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(notice->curl, CURLOPT_XFERINFOFUNCTION, stop_asking);
    curl_easy_setopt(notice->curl, CURLOPT_XFERINFODATA, notice);
    if (curl_easy_perform(notice->curl) == CURLE_OK)
        (void)curl_easy_getinfo(notice->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    return status;
}

/* Parses the answer; NULL when it is no JSON. */
static struct dpc_json *
answer_json(struct dpc_notice *notice)
{
    struct dpc_json *root = NULL;
    struct dpc_error err;
    const char *text = dpc_buf_text(&notice->answer);
    return dpc_json_parse(text, notice->answer.len, &root, &err) == DPC_OK ? root : NULL;
}

static void
say(struct news *news, enum dpc_notice_state state, const char *text)
{
    news->state = state;
    (void)snprintf(news->text, sizeof news->text, "%s", text);
}

/* --- AWS: a token first (IMDSv2), which ends some time. */

static long
ask_aws(struct dpc_notice *notice, const char *place)
{
    char header[sizeof notice->token + 64];
    if (!*notice->token) {
        long status =
            ask(notice, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600");
        if (status != OK || notice->answer.len >= sizeof notice->token)
            return NO_ANSWER;
        (void)snprintf(notice->token, sizeof notice->token, "%s", dpc_buf_text(&notice->answer));
    }
    (void)snprintf(header, sizeof header, "X-aws-ec2-metadata-token: %s", notice->token);
    long status = ask(notice, "GET", place, header);
    if (status == UNAUTHORIZED)
        notice->token[0] = '\0';
    return status;
}

static void
poll_aws(struct dpc_notice *notice, struct news *news)
{
    long status = ask_aws(notice, "/latest/meta-data/spot/instance-action");
    if (status == OK) {
        struct dpc_json *root = answer_json(notice);
        char text[DPC_NOTICE_TEXT_MAX];
        (void)snprintf(text, sizeof text, "AWS will %.32s this instance",
                       dpc_json_text(dpc_json_get(root, "action"), "interrupt"));
        dpc_json_destroy(root);
        say(news, DPC_NOTICE_LEAVING, text);
        return;
    }
    if (status != NOT_FOUND)
        return;
    status = ask_aws(notice, "/latest/meta-data/events/recommendations/rebalance");
    if (status == OK)
        say(news, DPC_NOTICE_RISK, "AWS recommends to leave this instance");
    else if (status == NOT_FOUND)
        say(news, DPC_NOTICE_CALM, "");
}

/* --- Google. */

static void
poll_gcp(struct dpc_notice *notice, struct news *news)
{
    if (ask(notice, "GET", "/computeMetadata/v1/instance/preempted", "Metadata-Flavor: Google") !=
        OK)
        return;
    const char *text = dpc_buf_text(&notice->answer);
    if (strncmp(text, "TRUE", 4) == 0)
        say(news, DPC_NOTICE_LEAVING, "Google preempts this instance");
    else if (strncmp(text, "FALSE", 5) == 0)
        say(news, DPC_NOTICE_CALM, "");
}

/* --- Azure: events of a whole group of machines, of which this one is known by its name. */

static bool
names_this_machine(const struct dpc_json *event, const char *name)
{
    const struct dpc_json *resources = dpc_json_get(event, "Resources");
    for (size_t i = 0; i < dpc_json_count(resources); i++) {
        if (strcmp(dpc_json_text(dpc_json_at(resources, i), ""), name) == 0)
            return true;
    }
    return false;
}

static bool
learn_name(struct dpc_notice *notice)
{
    if (!*notice->name &&
        ask(notice, "GET", "/metadata/instance/compute/name?api-version=2020-07-01&format=text",
            "Metadata: true") == OK &&
        notice->answer.len < sizeof notice->name)
        (void)snprintf(notice->name, sizeof notice->name, "%s", dpc_buf_text(&notice->answer));
    return *notice->name != '\0';
}

static void
poll_azure(struct dpc_notice *notice, struct news *news)
{
    if (!learn_name(notice) ||
        ask(notice, "GET", "/metadata/scheduledevents?api-version=2020-07-01", "Metadata: true") !=
            OK)
        return;
    struct dpc_json *root = answer_json(notice);
    const struct dpc_json *events = dpc_json_get(root, "Events");
    if (root)
        say(news, DPC_NOTICE_CALM, "");
    for (size_t i = 0; i < dpc_json_count(events); i++) {
        const struct dpc_json *event = dpc_json_at(events, i);
        const char *type = dpc_json_text(dpc_json_get(event, "EventType"), "");
        if ((strcmp(type, "Preempt") == 0 || strcmp(type, "Terminate") == 0) &&
            names_this_machine(event, notice->name))
            say(news, DPC_NOTICE_LEAVING, "Azure takes this machine back");
    }
    dpc_json_destroy(root);
}

/* --- The clouds. */

static const struct cloud {
    const char *word;
    const char *dmi_file, *dmi_text; /* by which a machine is known as theirs */
    const char *url;
    void (*poll)(struct dpc_notice *notice, struct news *news);
} clouds[] = {
    [DPC_CLOUD_AUTO] = {.word = "auto"},
    [DPC_CLOUD_NONE] = {.word = "none"},
    [DPC_CLOUD_AWS] = {"aws", "sys_vendor", "Amazon EC2", "http://169.254.169.254", poll_aws},
    [DPC_CLOUD_GCP] = {"gcp", "product_name", "Google Compute Engine",
                       "http://metadata.google.internal", poll_gcp},
    [DPC_CLOUD_AZURE] = {"azure", "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77",
                         "http://169.254.169.254", poll_azure},
};

enum { CLOUDS = sizeof clouds / sizeof *clouds };

bool
dpc_cloud_parse(const char *word, enum dpc_cloud *ret_cloud)
{
    for (int i = 0; i < CLOUDS; i++) {
        if (strcmp(clouds[i].word, word) == 0) {
            *ret_cloud = (enum dpc_cloud)i;
            return true;
        }
    }
    return false;
}

const char *
dpc_cloud_name(enum dpc_cloud cloud)
{
    return clouds[cloud].word;
}

static bool
dmi_says(const char *folder, const struct cloud *cloud)
{
    enum { DMI_BYTES_MAX = 4096 };
    char path[DPC_PATH_MAX];
    uint8_t *bytes;
    size_t len;
    if (!cloud->dmi_file || dpc_path_join(folder, cloud->dmi_file, path, sizeof path) != DPC_OK ||
        dpc_vfs_read_file(&dpc_vfs_posix, path, DMI_BYTES_MAX, &bytes, &len, NULL) != DPC_OK)
        return false;
    size_t wanted = strlen(cloud->dmi_text);
    bool says = len >= wanted && memcmp(bytes, cloud->dmi_text, wanted) == 0;
    dpc_free(bytes);
    return says;
}

enum dpc_cloud
dpc_cloud_detect(const char *dmi_folder)
{
    for (int i = 0; i < CLOUDS; i++) {
        if (dmi_says(dmi_folder ? dmi_folder : "/sys/class/dmi/id", &clouds[i]))
            return (enum dpc_cloud)i;
    }
    return DPC_CLOUD_NONE;
}

/* --- The thread. */

static void
publish(struct dpc_notice *notice, const struct news *news)
{
    pthread_mutex_lock(&notice->lock);
    bool changed = news->state != notice->news.state;
    notice->news = *news;
    pthread_mutex_unlock(&notice->lock);
    if (changed)
        (void)eventfd_write(notice->fd, 1);
}

/* Until it is time to ask again, or to end. */
static void
wait_a_while(struct dpc_notice *notice)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (int64_t)notice->period_ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&notice->lock);
    while (!notice->stopping &&
           pthread_cond_timedwait(&notice->stopped, &notice->lock, &until) == 0) {
    }
    pthread_mutex_unlock(&notice->lock);
}

static void *
keep_asking(void *context)
{
    struct dpc_notice *notice = context;
    struct news news = {0};
    while (!notice->stopping) {
        clouds[notice->cloud].poll(notice, &news);
        if (!notice->stopping)
            publish(notice, &news);
        wait_a_while(notice);
    }
    return NULL;
}

static void
init_locks(struct dpc_notice *notice)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&notice->stopped, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&notice->lock, NULL);
}

struct dpc_notice *
dpc_notice_start(const struct dpc_notice_options *options)
{
    enum dpc_cloud cloud = options->cloud;
    if (cloud == DPC_CLOUD_AUTO)
        cloud = dpc_cloud_detect(options->dmi_folder);
    if (!clouds[cloud].poll)
        return NULL;
    struct dpc_notice *notice = dpc_alloc(1, sizeof *notice);
    notice->cloud = cloud;
    notice->period_ms = options->period_ms ? options->period_ms : DPC_NOTICE_PERIOD_MS;
    (void)snprintf(notice->url, sizeof notice->url, "%s",
                   options->url ? options->url : clouds[cloud].url);
    dpc_buf_init(&notice->answer, DPC_NOTICE_BYTES_MAX);
    init_locks(notice);
    notice->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    notice->curl = curl_easy_init();
    if (notice->fd < 0 || !notice->curl ||
        pthread_create(&notice->thread, NULL, keep_asking, notice) != 0)
        abort(); /* no thread or descriptor at start-up: nothing else would work either */
    return notice;
}

struct dpc_notice *
dpc_notice_stop(struct dpc_notice *notice)
{
    if (!notice)
        return NULL;
    pthread_mutex_lock(&notice->lock);
    notice->stopping = true;
    pthread_cond_signal(&notice->stopped);
    pthread_mutex_unlock(&notice->lock);
    pthread_join(notice->thread, NULL);
    curl_easy_cleanup(notice->curl);
    pthread_mutex_destroy(&notice->lock);
    pthread_cond_destroy(&notice->stopped);
    dpc_buf_done(&notice->answer);
    close(notice->fd);
    return dpc_free(notice);
}

enum dpc_cloud
dpc_notice_cloud(const struct dpc_notice *notice)
{
    return notice->cloud;
}

int
dpc_notice_fd(const struct dpc_notice *notice)
{
    return notice->fd;
}

enum dpc_notice_state
dpc_notice_take(struct dpc_notice *notice, char ret_text[DPC_NOTICE_TEXT_MAX])
{
    eventfd_t count;
    (void)eventfd_read(notice->fd, &count);
    pthread_mutex_lock(&notice->lock);
    enum dpc_notice_state state = notice->news.state;
    memcpy(ret_text, notice->news.text, DPC_NOTICE_TEXT_MAX);
    pthread_mutex_unlock(&notice->lock);
    return state;
}
