/* SPDX-License-Identifier: Apache-2.0
 * A thread that asks as clouds.c says. The metadata services are reached on a link-local address,
 * never through a proxy. */
#include "worker/owner/notice.h"

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
#include "worker/owner/clouds.h"

enum { URL_MAX = 512 };

struct dpc_notice {
    enum dpc_cloud cloud;
    char url[URL_MAX];
    uint32_t period_ms;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock; /* news */
    pthread_cond_t stopped;
    struct dpc_cloud_news news;
    atomic_bool stopping;
    /* The thread's. */
    CURL *curl;
    struct dpc_cloud_talk talk;
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

static long
ask(void *context, const char *method, const char *place, const char *header,
    struct dpc_buf *answer)
{
    struct dpc_notice *notice = context;
    char url[2 * URL_MAX];
    long status = DPC_CLOUD_SILENT;
    struct curl_slist *headers = header ? curl_slist_append(NULL, header) : NULL;
    (void)snprintf(url, sizeof url, "%s%s", notice->url, place);
    curl_easy_reset(notice->curl);
    curl_easy_setopt(notice->curl, CURLOPT_URL, url);
    curl_easy_setopt(notice->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(notice->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(notice->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(notice->curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(notice->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(notice->curl, CURLOPT_TIMEOUT_MS, (long)DPC_NOTICE_TIMEOUT_MS);
    curl_easy_setopt(notice->curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(notice->curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(notice->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(notice->curl, CURLOPT_XFERINFOFUNCTION, stop_asking);
    curl_easy_setopt(notice->curl, CURLOPT_XFERINFODATA, notice);
    if (curl_easy_perform(notice->curl) == CURLE_OK)
        (void)curl_easy_getinfo(notice->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    return status;
}

/* --- The thread. */

static void
publish(struct dpc_notice *notice, const struct dpc_cloud_news *news)
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
    struct dpc_cloud_news news = {0};
    while (!notice->stopping) {
        dpc_cloud_ask(notice->cloud, &notice->talk, &news);
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
    if (!dpc_cloud_url(cloud))
        return NULL;
    struct dpc_notice *notice = dpc_alloc(1, sizeof *notice);
    notice->cloud = cloud;
    notice->period_ms = options->period_ms ? options->period_ms : DPC_NOTICE_PERIOD_MS;
    (void)snprintf(notice->url, sizeof notice->url, "%s",
                   options->url ? options->url : dpc_cloud_url(cloud));
    notice->talk = (struct dpc_cloud_talk){.ask = ask, .context = notice};
    dpc_buf_init(&notice->talk.answer, DPC_NOTICE_BYTES_MAX);
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
    dpc_buf_done(&notice->talk.answer);
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
