/* SPDX-License-Identifier: Apache-2.0
 * libmicrohttpd without threads: its epoll descriptor stands among what the caller polls. What it
 * lacks is a bound on how long a connection lasts in all: its timeout begins anew with each byte,
 * so that a client who sends one now and then would keep its place for ever. Hence the table of
 * connections. */
#include "coordinator/pages/http.h"

#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/loopback.h"
#include "proto/inflow.h"

enum { IDLE_S = 10, LIFE_MS = 30000, FRESH_MS = 500, REQUEST_BYTES = 16384 };

struct connection {
    struct MHD_Connection *connection; /* NULL: free */
    int64_t since_ms;
};

/* A page as it was last made; who still reads it has a reference of their own. */
struct copy {
    struct MHD_Response *response;
    unsigned status;
    int64_t made_ms;
};

struct dpc_http {
    struct MHD_Daemon *daemon;
    int fd; /* epoll's */
    struct dpc_http_site site;
    struct copy *copies; /* of the pages */
    struct connection connections[DPC_HTTP_CONNECTIONS_MAX];
    char url[DPC_ENDPOINT_MAX];
};

static int64_t
now_ms(const struct dpc_http *http)
{
    return dpc_clock_now_ms(http->site.clock);
}

/* --- Answers. */

/* Scripts never run, nothing is fetched, nothing is kept, and no page of another origin holds or
 * reads ours. A connection serves one request, so that none waits for the next one. */
static const char *const headers[][2] = {
    {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; "
                                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"X-Content-Type-Options", "nosniff"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Referrer-Policy", "no-referrer"},
    {"Cache-Control", "no-store"},
    {"Connection", "close"},
};

/* NULL when there is no memory. */
static struct MHD_Response *
make_response(const char *content_type, const void *bytes, size_t len)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return NULL;
    (void)MHD_add_response_header(response, "Content-Type", content_type);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        (void)MHD_add_response_header(response, headers[i][0], headers[i][1]);
    return response;
}

static enum MHD_Result
refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct MHD_Response *response = make_response("text/plain; charset=utf-8", text, strlen(text));
    if (!response)
        return MHD_NO;
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, "Allow", "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static void
make_copy(struct dpc_http *http, const struct dpc_http_page *page, struct copy *copy)
{
    struct dpc_buf out;
    struct dpc_error err = {0};
    dpc_buf_init(&out, DPC_HTTP_PAGE_BYTES_MAX);
    int code = page->write(http->site.context, &out, &err);
    if (code == DPC_OK && out.failed)
        (void)dpc_error_set(&err, DPC_ELIMIT, "the page is too long");
    bool failed = code != DPC_OK || out.failed;
    copy->status = failed ? MHD_HTTP_INTERNAL_SERVER_ERROR : MHD_HTTP_OK;
    copy->response = failed ? make_response("text/plain; charset=utf-8", err.text, strlen(err.text))
                            : make_response(page->content_type, out.data, out.len);
    copy->made_ms = now_ms(http);
    dpc_buf_done(&out);
}

static void
drop_copy(struct copy *copy)
{
    if (copy->response)
        MHD_destroy_response(copy->response);
    copy->response = NULL;
}

static enum MHD_Result
send_page(struct dpc_http *http, size_t index, struct MHD_Connection *connection)
{
    struct copy *copy = &http->copies[index];
    if (copy->response && now_ms(http) - copy->made_ms >= FRESH_MS)
        drop_copy(copy);
    if (!copy->response)
        make_copy(http, &http->site.pages[index], copy);
    return copy->response ? MHD_queue_response(connection, copy->status, copy->response) : MHD_NO;
}

/* Answers when it has seen the headers, so that no body is ever read. */
static enum MHD_Result
answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
       const char *version, const char *body, size_t *body_len, void **state)
{
    struct dpc_http *http = context;
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    (void)version, (void)body, (void)body_len, (void)state;
    if (!host || !dpc_loopback_is_host(host))
        return refuse(connection, MHD_HTTP_FORBIDDEN,
                      "the Host header must be localhost or a loopback address: open the page by "
                      "one of these\n");
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return refuse(
            connection, MHD_HTTP_METHOD_NOT_ALLOWED,
            "pages can be read and nothing else: what changes something is dipacoctl's\n");
    for (size_t i = 0; i < http->site.pages_count; i++) {
        if (strcmp(http->site.pages[i].url, url) == 0)
            return send_page(http, i, connection);
    }
    return refuse(connection, MHD_HTTP_NOT_FOUND, "there is no such page: / has links to all\n");
}

/* --- Connections. */

static void
note_connection(void *context, struct MHD_Connection *connection, void **state,
                enum MHD_ConnectionNotificationCode code)
{
    struct dpc_http *http = context;
    bool starts = code == MHD_CONNECTION_NOTIFY_STARTED;
    (void)state;
    for (size_t i = 0; i < DPC_HTTP_CONNECTIONS_MAX; i++) {
        struct connection *slot = &http->connections[i];
        if (slot->connection != (starts ? NULL : connection))
            continue;
        slot->connection = starts ? connection : NULL;
        slot->since_ms = now_ms(http);
        return;
    }
}

/* The library sees the end of the stream and releases the connection. */
static void
end_old_connections(struct dpc_http *http)
{
    int64_t now = now_ms(http);
    for (size_t i = 0; i < DPC_HTTP_CONNECTIONS_MAX; i++) {
        struct connection *slot = &http->connections[i];
        if (!slot->connection || now - slot->since_ms < LIFE_MS)
            continue;
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(slot->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info)
            (void)shutdown(info->connect_fd, SHUT_RDWR);
    }
}

int
dpc_http_fd(const struct dpc_http *http)
{
    return http->fd;
}

int64_t
dpc_http_wait_ms(struct dpc_http *http, int64_t most)
{
    MHD_UNSIGNED_LONG_LONG wait;
    if (MHD_get_timeout(http->daemon, &wait) != MHD_YES)
        return most;
    return wait < (MHD_UNSIGNED_LONG_LONG)most ? (int64_t)wait : most;
}

void
dpc_http_serve(struct dpc_http *http)
{
    end_old_connections(http);
    (void)MHD_run(http->daemon);
}

/* --- Life. */

/* Takes the socket, if it starts. */
static struct MHD_Daemon *
start_daemon(struct dpc_http *http, int socket_fd)
{
    return MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, http, MHD_OPTION_LISTEN_SOCKET,
                            socket_fd, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)DPC_HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            (size_t)REQUEST_BYTES, MHD_OPTION_NOTIFY_CONNECTION, note_connection,
                            http, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
}

int
dpc_http_open(const char *address, const struct dpc_http_site *site, struct dpc_http **ret_http,
              struct dpc_error *err)
{
    int socket_fd = -1;
    int code = dpc_loopback_listen(address, DPC_HTTP_CONNECTIONS_MAX, &socket_fd, err);
    if (code != DPC_OK)
        return code;
    struct dpc_http *http = dpc_alloc(1, sizeof *http);
    http->site = *site;
    http->copies = dpc_alloc(site->pages_count, sizeof *http->copies);
    dpc_loopback_url(socket_fd, http->url);
    dpc_inflow_let_be(socket_fd);
    http->daemon = start_daemon(http, socket_fd);
    if (!http->daemon) {
        (void)close(socket_fd);
        dpc_http_close(http);
        return dpc_error_set(err, DPC_EFOREIGN,
                             "could not serve HTTP on \"%s\": libmicrohttpd did not start",
                             address);
    }
    http->fd = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    *ret_http = http;
    return DPC_OK;
}

struct dpc_http *
dpc_http_close(struct dpc_http *http)
{
    if (!http)
        return NULL;
    for (size_t i = 0; i < http->site.pages_count; i++)
        drop_copy(&http->copies[i]);
    if (http->daemon)
        MHD_stop_daemon(http->daemon);
    dpc_free(http->copies);
    return dpc_free(http);
}

const char *
dpc_http_url(const struct dpc_http *http)
{
    return http->url;
}
