/* SPDX-License-Identifier: Apache-2.0
 * Requests stand in a ring in the order of their offsets, one behind the other: the download fills
 * the first, and waits in libcurl's callback while there is none, so that the line itself holds the
 * server back. Only HTTP/1.1, since a window of HTTP/2 would read ahead whatever is asked for. */
#include "worker/blobs/http_wire.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"

enum {
    RECEIVE_BUFFER_MIN = 16 * 1024,
    URL_MAX = DPC_ENDPOINT_MAX + 3 + DPC_HASH_HEX_MAX + 1,
    FORBIDDEN = 403,
    NOT_FOUND = 404,
    GONE = 410,
};

struct piece {
    uint64_t request, offset;
    size_t len, got;
    uint8_t *bytes; /* DPC_TRANSFER_CHUNK */
};

struct dpc_http_wire {
    char url[DPC_ENDPOINT_MAX];
    int receive_buffer; /* of the socket; 0: the system's */
    int64_t silent_ms, piece_ms;
    char *ca_file;
    int fd;
    bool runs; /* the thread does */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a piece more, another download, or the end */

    /* Under the lock. Pieces [done, filled) are answers, [filled, asked) are still to be filled. */
    struct piece pieces[DPC_TRANSFER_CREDIT];
    uint64_t done, filled, asked;
    bool taken; /* the first answer is in the caller's hands */
    struct dpc_blob_ref blob;
    uint64_t at;       /* the next byte from the server */
    uint64_t download; /* grows when the one that runs has to end */
    bool heard;        /* the server has this blob, as it seems */
    bool stopping;
    struct dpc_error failure; /* DPC_OK: none */

    /* The thread's. */
    CURL *curl;
    uint64_t running;       /* the download that it works on */
    uint64_t begun_at;      /* its first byte */
    bool misfit;            /* its answer is not the rest of the blob */
    bool whole;             /* its answer is taken to the last byte */
    int64_t heard_ms;       /* when something came, or nothing was waited for */
    int64_t piece_since_ms; /* since when the piece that is being filled is waited for */
    size_t headers;         /* bytes of this download */
    char error[CURL_ERROR_SIZE];
};

static int64_t
now(void)
{
    return dpc_clock_now_ms(&dpc_clock_system);
}

static struct piece *
piece_at(struct dpc_http_wire *http, uint64_t number)
{
    return &http->pieces[number % DPC_TRANSFER_CREDIT];
}

static void
tell(struct dpc_http_wire *http)
{
    (void)eventfd_write(http->fd, 1);
}

/* --- The thread. */

/* Whether the download that runs has to end. */
static bool
is_over(const struct dpc_http_wire *http)
{
    return http->stopping || http->download != http->running;
}

static size_t
fill(struct dpc_http_wire *http, const char *bytes, size_t len)
{
    struct piece *piece = piece_at(http, http->filled);
    size_t some = piece->len - piece->got;
    some = len < some ? len : some;
    memcpy(piece->bytes + piece->got, bytes, some);
    piece->got += some;
    http->at += some;
    bool full = piece->got == piece->len;
    if (full || !http->heard)
        tell(http);
    http->heard = true;
    if (full) {
        http->filled++;
        http->piece_since_ms = now();
    }
    return some;
}

/* An answer of another length is of another blob; one that does not say how long it is may hold
 * anything between the bytes of the blob, which nobody would count. */
static bool
is_whole(struct dpc_http_wire *http)
{
    curl_off_t len = -1;
    (void)curl_easy_getinfo(http->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &len);
    return len >= 0 && (uint64_t)len == http->blob.bytes - http->begun_at;
}

static size_t
take_bytes(char *bytes, size_t size, size_t count, void *context)
{
    struct dpc_http_wire *http = context;
    size_t len = size * count, used = 0;
    pthread_mutex_lock(&http->lock);
    http->misfit = !is_over(http) && !is_whole(http);
    while (used < len && !is_over(http) && !http->misfit) {
        if (http->filled < http->asked) {
            used += fill(http, bytes + used, len - used);
        } else {
            pthread_cond_wait(&http->changed, &http->lock);
            http->piece_since_ms = now();
        }
    }
    http->whole = used == len && !is_over(http) && http->at == http->blob.bytes;
    pthread_mutex_unlock(&http->lock);
    http->heard_ms = now();
    return used;
}

static size_t
count_headers(char *bytes, size_t size, size_t count, void *context)
{
    struct dpc_http_wire *http = context;
    (void)bytes;
    http->headers += size * count;
    return http->headers <= DPC_HTTP_WIRE_HEADERS_MAX ? size * count : 0;
}

/* The next blob may be asked for before libcurl has seen the end of this one: what is whole is let
 * end by itself, since an abort takes the connection with it. */
static int
watch(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct dpc_http_wire *http = context;
    (void)a, (void)b, (void)c, (void)d;
    pthread_mutex_lock(&http->lock);
    bool over = http->stopping || (is_over(http) && !http->whole);
    pthread_mutex_unlock(&http->lock);
    return over || now() - http->heard_ms > http->silent_ms ||
           now() - http->piece_since_ms > http->piece_ms;
}

static int
set_buffer(void *context, curl_socket_t socket, curlsocktype purpose)
{
    const struct dpc_http_wire *http = context;
    (void)purpose;
    if (http->receive_buffer)
        (void)setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &http->receive_buffer,
                         sizeof http->receive_buffer);
    return CURL_SOCKOPT_OK;
}

/* One request, from `at` on. */
static CURLcode
ask(struct dpc_http_wire *http, const struct dpc_hash *hash, uint64_t at)
{
    char name[DPC_HASH_HEX_MAX], url[URL_MAX];
    dpc_hash_hex(hash, name, sizeof name);
    (void)snprintf(url, sizeof url, "%s/%.2s/%s", http->url, name, name);
    curl_easy_reset(http->curl);
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    curl_easy_setopt(http->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(http->curl, CURLOPT_USERAGENT, PACKAGE_NAME "/" PACKAGE_VERSION);
    curl_easy_setopt(http->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(http->curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(http->curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)at);
    curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)DPC_HTTP_WIRE_CONNECT_MS);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, http);
    curl_easy_setopt(http->curl, CURLOPT_HEADERFUNCTION, count_headers);
    curl_easy_setopt(http->curl, CURLOPT_HEADERDATA, http);
    curl_easy_setopt(http->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(http->curl, CURLOPT_XFERINFOFUNCTION, watch);
    curl_easy_setopt(http->curl, CURLOPT_XFERINFODATA, http);
    curl_easy_setopt(http->curl, CURLOPT_SOCKOPTFUNCTION, set_buffer);
    curl_easy_setopt(http->curl, CURLOPT_SOCKOPTDATA, http);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, http->error);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A name that is still being looked up is waited for by nobody. */
    curl_easy_setopt(http->curl, CURLOPT_QUICK_EXIT, 1L);
#endif
    if (http->ca_file)
        curl_easy_setopt(http->curl, CURLOPT_CAINFO, http->ca_file);
    http->error[0] = '\0';
    http->headers = 0;
    http->heard_ms = http->piece_since_ms = now();
    return curl_easy_perform(http->curl);
}

/* The requests that are open come to nothing. */
static void
fail(struct dpc_http_wire *http, CURLcode code)
{
    long status = 0;
    const char *words = *http->error ? http->error : curl_easy_strerror(code);
    (void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == NOT_FOUND || status == GONE || status == FORBIDDEN)
        (void)dpc_error_set(&http->failure, DPC_ENOTFOUND, "the server does not have it (HTTP %ld)",
                            status);
    else if (http->misfit)
        (void)dpc_error_set(&http->failure, DPC_ECLOSED,
                            "the answer (HTTP %ld) does not say that it has the %llu bytes asked "
                            "for",
                            status, (unsigned long long)(http->blob.bytes - http->begun_at));
    else if (code == CURLE_ABORTED_BY_CALLBACK && now() - http->heard_ms > http->silent_ms)
        (void)dpc_error_set(&http->failure, DPC_ETIMEDOUT, "nothing came for %lld s",
                            (long long)http->silent_ms / 1000);
    else if (code == CURLE_ABORTED_BY_CALLBACK)
        (void)dpc_error_set(&http->failure, DPC_ETIMEDOUT, "%zu bytes took more than %lld s",
                            piece_at(http, http->filled)->len, (long long)http->piece_ms / 1000);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        (void)dpc_error_set(&http->failure, DPC_ETIMEDOUT, "%s", words);
    else if (code == CURLE_OK)
        (void)dpc_error_set(&http->failure, DPC_ECLOSED, "the answer (HTTP %ld) ends early",
                            status);
    else
        (void)dpc_error_set(&http->failure, DPC_ECLOSED, "%s", words);
    http->asked = http->filled;
    tell(http);
}

static void *
download(void *context)
{
    struct dpc_http_wire *http = context;
    pthread_mutex_lock(&http->lock);
    while (!http->stopping) {
        if (http->filled == http->asked) {
            pthread_cond_wait(&http->changed, &http->lock);
            continue;
        }
        struct dpc_hash hash = http->blob.hash;
        uint64_t filled = http->filled;
        http->begun_at = http->at;
        http->running = http->download;
        http->misfit = http->whole = false;
        pthread_mutex_unlock(&http->lock);
        CURLcode code = ask(http, &hash, http->begun_at);
        pthread_mutex_lock(&http->lock);
        /* One that has brought a piece goes on where it broke. */
        if (!is_over(http) && http->filled < http->asked && http->filled == filled)
            fail(http, code);
    }
    pthread_mutex_unlock(&http->lock);
    return NULL;
}

/* --- The caller's side. */

static void
add_piece(struct dpc_http_wire *http, const struct dpc_msg *msg)
{
    struct piece *piece = piece_at(http, http->asked++);
    piece->request = msg->request;
    piece->offset = msg->fetch.offset;
    piece->len = msg->fetch.bytes;
    piece->got = 0;
}

/* What does not follow on the last request is another download. */
static int
take_request(struct dpc_http_wire *http, const struct dpc_msg *msg)
{
    const struct piece *last = piece_at(http, http->asked - 1);
    uint64_t end = http->filled < http->asked ? last->offset + last->len : http->at;
    if (msg->fetch.offset != end) {
        http->download++;
        http->at = msg->fetch.offset;
        http->asked = http->filled;
    }
    /* What is asked for counts as moved: of a blob that is not there it should be little. */
    if (http->asked - http->done == DPC_TRANSFER_CREDIT || (http->asked > 0 && !http->heard))
        return DPC_EAGAIN;
    add_piece(http, msg);
    return DPC_OK;
}

static int
send_request(void *context, const struct dpc_msg *msg)
{
    struct dpc_http_wire *http = context;
    int code = DPC_EINVAL;
    pthread_mutex_lock(&http->lock);
    if (msg->type == DPC_MSG_FETCH && msg->fetch.bytes > 0 &&
        msg->fetch.bytes <= DPC_TRANSFER_CHUNK &&
        dpc_hash_equal(&msg->fetch.hash, &http->blob.hash))
        code = http->failure.code == DPC_OK ? take_request(http, msg) : DPC_EAGAIN;
    pthread_cond_signal(&http->changed);
    pthread_mutex_unlock(&http->lock);
    return code;
}

/* A connection that is made again is the thread's business. */
static uint64_t
epoch(void *context)
{
    (void)context;
    return 0;
}

struct dpc_transfer_wire
dpc_http_wire_of(struct dpc_http_wire *http)
{
    return (struct dpc_transfer_wire){
        .send = send_request, .epoch = epoch, .answers_all = true, .context = http};
}

void
dpc_http_wire_begin(struct dpc_http_wire *http, const struct dpc_blob_ref *blob)
{
    eventfd_t count;
    pthread_mutex_lock(&http->lock);
    http->download++;
    http->done = http->filled = http->asked = 0;
    http->taken = false;
    http->failure.code = DPC_OK;
    http->heard = false;
    http->blob = *blob;
    http->at = 0;
    (void)eventfd_read(http->fd, &count); /* what it told of is forgotten */
    pthread_cond_signal(&http->changed);
    pthread_mutex_unlock(&http->lock);
}

void
dpc_http_wire_stop(struct dpc_http_wire *http)
{
    dpc_http_wire_begin(http, &(struct dpc_blob_ref){.bytes = 0});
}

int
dpc_http_wire_fd(const struct dpc_http_wire *http)
{
    return http->fd;
}

int
dpc_http_wire_receive(struct dpc_http_wire *http, struct dpc_msg *ret_msg)
{
    eventfd_t count;
    int code = DPC_OK;
    (void)eventfd_read(http->fd, &count);
    pthread_mutex_lock(&http->lock);
    if (http->taken)
        http->done++;
    http->taken = http->done < http->filled;
    if (http->taken) {
        const struct piece *piece = piece_at(http, http->done);
        *ret_msg = (struct dpc_msg){.type = DPC_MSG_CHUNK, .request = piece->request};
        ret_msg->chunk = (struct dpc_msg_chunk){
            .hash = http->blob.hash, .offset = piece->offset, .total = http->blob.bytes};
        ret_msg->body = piece->bytes;
        ret_msg->body_len = piece->len;
    } else if (http->failure.code != DPC_OK) {
        *ret_msg = (struct dpc_msg){.type = DPC_MSG_ERROR};
        ret_msg->error =
            (struct dpc_msg_error){.code = http->failure.code, .text = http->failure.text};
    } else {
        code = DPC_EAGAIN;
    }
    pthread_mutex_unlock(&http->lock);
    return code;
}

/* --- Life. */

/* Half a second's worth, as Linux doubles what it is told; a fast line needs no limit here. */
static int
buffer_of(uint64_t bytes_per_s_max)
{
    uint64_t bytes = bytes_per_s_max / 4;
    if (bytes_per_s_max == 0 || bytes > INT32_MAX / 2)
        return 0;
    return bytes < RECEIVE_BUFFER_MIN ? RECEIVE_BUFFER_MIN : (int)bytes;
}

int
dpc_http_wire_open(const struct dpc_http_wire_options *options, struct dpc_http_wire **ret_http,
                   struct dpc_error *err)
{
    struct dpc_http_wire *http = dpc_alloc(1, sizeof *http);
    (void)snprintf(http->url, sizeof http->url, "%s", options->url);
    while (*http->url && http->url[strlen(http->url) - 1] == '/')
        http->url[strlen(http->url) - 1] = '\0';
    http->receive_buffer = buffer_of(options->bytes_per_s_max);
    http->silent_ms = options->silent_ms ? options->silent_ms : DPC_HTTP_WIRE_SILENT_MS;
    http->piece_ms = options->piece_ms ? options->piece_ms : DPC_HTTP_WIRE_PIECE_MS;
    http->ca_file = options->ca_file ? dpc_strdup(options->ca_file) : NULL;
    for (int i = 0; i < DPC_TRANSFER_CREDIT; i++)
        http->pieces[i].bytes = dpc_alloc(DPC_TRANSFER_CHUNK, 1);
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->changed, NULL);
    http->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    http->curl = curl_easy_init();
    http->runs =
        http->fd >= 0 && http->curl && pthread_create(&http->thread, NULL, download, http) == 0;
    if (!http->runs) {
        dpc_http_wire_close(http);
        return dpc_error_set(err, DPC_ELIMIT, "no thread or descriptor is left for downloads");
    }
    *ret_http = http;
    return DPC_OK;
}

struct dpc_http_wire *
dpc_http_wire_close(struct dpc_http_wire *http)
{
    if (!http)
        return NULL;
    pthread_mutex_lock(&http->lock);
    http->stopping = true;
    pthread_cond_signal(&http->changed);
    pthread_mutex_unlock(&http->lock);
    if (http->runs)
        pthread_join(http->thread, NULL);
    curl_easy_cleanup(http->curl);
    pthread_cond_destroy(&http->changed);
    pthread_mutex_destroy(&http->lock);
    for (int i = 0; i < DPC_TRANSFER_CREDIT; i++)
        dpc_free(http->pieces[i].bytes);
    dpc_free(http->ca_file);
    if (http->fd >= 0)
        close(http->fd);
    return dpc_free(http);
}
