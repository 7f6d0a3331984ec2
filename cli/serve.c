/* SPDX-License-Identifier: Apache-2.0
 * libmicrohttpd without threads: its epoll descriptor stands among what the caller polls. A
 * connection whose answer is under way is suspended, so that the library asks for nothing
 * meanwhile, and resumed when there is something to send. */
#include "cli/serve.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/loopback.h"
#include "cli/completion.h"
#include "proto/inflow.h"

enum { IDLE_S = 30, PIECE_BYTES = 4096, LOOK_MS = 500, DISCARDED_MAX = 16 << 20 };

/* One request, from its headers to the end of its answer. */
struct exchange {
    struct dpc_serve *serve;
    struct MHD_Connection *connection;
    struct dpc_buf body;
    size_t discarded;                  /* bytes of it */
    struct dpc_completion *completion; /* NULL: none is written */
    bool stream;
    bool suspended;
    bool gone;             /* its client is */
    struct dpc_buf events; /* that are to be sent; those before `sent` were */
    size_t sent;
    int64_t since_ns;
    struct exchange *next, **link; /* among those that are written for */
};

struct dpc_serve {
    struct dpc_model *model;
    struct MHD_Daemon *daemon;
    int fd; /* epoll's */
    FILE *log;
    struct exchange *active;
    uint32_t active_count;
    uint64_t number;   /* of answers */
    bool busy;         /* a token was written, or somebody resumed, in the last step */
    int64_t looked_ms; /* when clients were last looked at */
    bool closing;
    int64_t created_s;
    char url[DPC_ENDPOINT_MAX];
};

/* --- Short answers. */

static enum MHD_Result
send_bytes(struct MHD_Connection *connection, unsigned status, const char *type, const char *bytes,
           size_t len)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", type);
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        (void)MHD_add_response_header(response, "Retry-After", "1");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, "Allow", "POST");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result
send_json(struct MHD_Connection *connection, unsigned status, struct dpc_json *root)
{
    char *text = dpc_json_print(root, false);
    enum MHD_Result result = send_bytes(connection, status, "application/json", text, strlen(text));
    dpc_free(text);
    dpc_json_destroy(root);
    return result;
}

static enum MHD_Result
refuse(struct MHD_Connection *connection, unsigned status, const char *words)
{
    return send_json(connection, status, dpc_completion_refusal(words, status >= 500));
}

static unsigned
status_of(int code)
{
    switch (code) {
    case DPC_EPARSE:
    case DPC_EINVAL:
    case DPC_ELIMIT:
        return MHD_HTTP_BAD_REQUEST;
    case DPC_ENOTFOUND:
        return MHD_HTTP_NOT_FOUND;
    case DPC_EBUSY:
    case DPC_ESTALE:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    default:
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
}

/* Clients of typed languages take no list of models without the time that each was made at; here it
 * is that since when they are served. */
static struct dpc_json *
model_of(const struct dpc_serve *serve, const char *name)
{
    struct dpc_json *model = dpc_json_object();
    dpc_json_set_text(model, "id", name);
    dpc_json_set_text(model, "object", "model");
    dpc_json_set_integer(model, "created", serve->created_s);
    dpc_json_set_text(model, "owned_by", "dipaco");
    return model;
}

static enum MHD_Result
send_models(struct dpc_serve *serve, struct MHD_Connection *connection)
{
    const struct dpc_topology *topology = dpc_model_topology(serve->model);
    struct dpc_json *root = dpc_json_object(), *list = dpc_json_array();
    char name[2 * DPC_NAME_MAX];
    dpc_json_append(list, model_of(serve, DPC_SERVE_ROUTED));
    for (uint32_t path = 0; path <= dpc_topology_dense_path(topology); path++) {
        dpc_topology_path_name(topology, path, name, sizeof name);
        dpc_json_append(list, model_of(serve, name));
    }
    dpc_json_set_text(root, "object", "list");
    dpc_json_set(root, "data", list);
    return send_json(connection, MHD_HTTP_OK, root);
}

static enum MHD_Result
send_model(struct dpc_serve *serve, struct MHD_Connection *connection, const char *name)
{
    uint32_t path;
    if (strcmp(name, DPC_SERVE_ROUTED) == 0 ||
        dpc_topology_path_find(dpc_model_topology(serve->model), name, &path))
        return send_json(connection, MHD_HTTP_OK, model_of(serve, name));
    return refuse(connection, MHD_HTTP_NOT_FOUND,
                  "there is no such model: /v1/models lists those there are");
}

/* --- Answers that are written. */

static void
add_active(struct exchange *exchange)
{
    struct dpc_serve *serve = exchange->serve;
    struct exchange **end = &serve->active;
    while (*end)
        end = &(*end)->next;
    *end = exchange;
    exchange->link = end;
    serve->active_count++;
}

static void
drop_active(struct exchange *exchange)
{
    *exchange->link = exchange->next;
    if (exchange->next)
        exchange->next->link = exchange->link;
    exchange->link = NULL;
    exchange->next = NULL;
    exchange->serve->active_count--;
}

static void
suspend(struct exchange *exchange)
{
    exchange->suspended = true;
    MHD_suspend_connection(exchange->connection);
}

/* The library takes the connection up in its next run, for which nothing wakes the caller. */
static void
resume(struct exchange *exchange)
{
    if (exchange->suspended)
        MHD_resume_connection(exchange->connection);
    exchange->suspended = false;
    exchange->serve->busy = true;
}

/* Gives the library what there is of the events. */
static ssize_t
read_events(void *context, uint64_t position, char *ret_bytes, size_t size)
{
    struct exchange *exchange = context;
    size_t left = exchange->events.len - exchange->sent;
    (void)position;
    if (exchange->gone)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (left == 0 && (!exchange->link || exchange->serve->closing))
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (left == 0) {
        dpc_buf_reset(&exchange->events);
        exchange->sent = 0;
        suspend(exchange);
        return 0;
    }
    size_t some = left < size ? left : size;
    memcpy(ret_bytes, exchange->events.data + exchange->sent, some);
    exchange->sent += some;
    return (ssize_t)some;
}

static enum MHD_Result
begin_stream(struct exchange *exchange)
{
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BYTES,
                                                                      read_events, exchange, NULL);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", "text/event-stream");
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    enum MHD_Result result = MHD_queue_response(exchange->connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static int
begin_completion(struct exchange *exchange, struct dpc_error *err)
{
    struct dpc_serve *serve = exchange->serve;
    struct dpc_completion_request request;
    if (serve->active_count == DPC_SERVE_ACTIVE_MAX)
        return dpc_error_set(err, DPC_EBUSY, "%d answers are being written: ask again",
                             DPC_SERVE_ACTIVE_MAX);
    int code =
        dpc_completion_parse((const char *)exchange->body.data, exchange->body.len, &request, err);
    if (code != DPC_OK)
        return code;
    code =
        dpc_completion_create(serve->model, &request, ++serve->number, &exchange->completion, err);
    exchange->stream = request.stream;
    dpc_completion_request_done(&request);
    return code;
}

static const char too_long[] = "the request is too long: at most 256 KiB are read";

/* When the whole body has come. While a connection is suspended its clock stands still. */
static enum MHD_Result
answer_body(struct exchange *exchange)
{
    struct dpc_error err;
    if (exchange->body.failed)
        return refuse(exchange->connection, MHD_HTTP_CONTENT_TOO_LARGE, too_long);
    int code = begin_completion(exchange, &err);
    if (code != DPC_OK)
        return refuse(exchange->connection, status_of(code), err.text);
    add_active(exchange);
    if (exchange->stream)
        return begin_stream(exchange);
    suspend(exchange);
    return MHD_YES;
}

static enum MHD_Result
answer_whole(struct exchange *exchange)
{
    const char *error = dpc_completion_error(exchange->completion);
    if (exchange->gone)
        return MHD_NO;
    if (error)
        return refuse(exchange->connection, MHD_HTTP_INTERNAL_SERVER_ERROR, error);
    return send_json(exchange->connection, MHD_HTTP_OK,
                     dpc_completion_answer(exchange->completion));
}

static void
end_completion(struct exchange *exchange)
{
    double seconds = 1e-9 * (double)(dpc_clock_ns() - exchange->since_ns);
    dpc_completion_abandon(exchange->completion); /* no more than it has written */
    if (exchange->serve->log)
        dpc_completion_log(exchange->completion, seconds, exchange->serve->log);
    drop_active(exchange);
}

/* A token, unless what there is has not been read: then its client sets the pace. */
static void
write_token(struct exchange *exchange)
{
    if (exchange->events.len - exchange->sent > DPC_SERVE_UNREAD_BYTES_MAX)
        return;
    exchange->serve->busy = true;
    dpc_completion_step(exchange->completion);
    if (exchange->stream)
        dpc_completion_put_events(exchange->completion, &exchange->events);
    bool finished = dpc_completion_is_finished(exchange->completion);
    if (finished)
        end_completion(exchange);
    if (finished || (exchange->stream && exchange->events.len > exchange->sent))
        resume(exchange);
}

static void
write_tokens(struct dpc_serve *serve)
{
    for (struct exchange *exchange = serve->active, *next; exchange; exchange = next) {
        next = exchange->next;
        write_token(exchange);
    }
}

/* The library does not look at a suspended connection: nobody would tell that its client is gone,
 * and everything would be written for nobody. One who closes his half of it counts as gone. */
static void
look_at_clients(struct dpc_serve *serve)
{
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system);
    if (now_ms - serve->looked_ms < LOOK_MS)
        return;
    serve->looked_ms = now_ms;
    for (struct exchange *exchange = serve->active, *next; exchange; exchange = next) {
        next = exchange->next;
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(exchange->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct pollfd item = {.fd = info ? info->connect_fd : -1, .events = POLLRDHUP};
        if (poll(&item, 1, 0) == 1 && (item.revents & (POLLRDHUP | POLLHUP | POLLERR))) {
            exchange->gone = true;
            end_completion(exchange);
            resume(exchange);
        }
    }
}

/* --- Requests. */

static struct exchange *
begin_exchange(struct dpc_serve *serve, struct MHD_Connection *connection)
{
    struct exchange *exchange = dpc_alloc(1, sizeof *exchange);
    exchange->serve = serve;
    exchange->connection = connection;
    exchange->since_ns = dpc_clock_ns();
    dpc_buf_init(&exchange->body, DPC_SERVE_REQUEST_BYTES_MAX);
    dpc_buf_init(&exchange->events, 0);
    return exchange;
}

static void
end_exchange(void *context, struct MHD_Connection *connection, void **state,
             enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *state;
    (void)context, (void)connection, (void)code;
    if (!exchange)
        return;
    if (exchange->link)
        end_completion(exchange);
    dpc_completion_destroy(exchange->completion);
    dpc_buf_done(&exchange->body);
    dpc_buf_done(&exchange->events);
    *state = dpc_free(exchange);
}

/* Only what a page of somebody in a browser here cannot send without being asked first. */
static bool
says_json(struct MHD_Connection *connection)
{
    const char *type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type");
    return type && strncasecmp(type, "application/json", 16) == 0 &&
           (type[16] == 0 || type[16] == ';' || type[16] == ' ');
}

static enum MHD_Result
answer_other(struct dpc_serve *serve, struct MHD_Connection *connection, const char *url,
             const char *method)
{
    static const char models[] = "/v1/models/";
    bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (reads && strcmp(url, "/v1/models") == 0)
        return send_models(serve, connection);
    if (reads && strncmp(url, models, strlen(models)) == 0)
        return send_model(serve, connection, url + strlen(models));
    if (reads && strcmp(url, "/health") == 0)
        return send_bytes(connection, MHD_HTTP_OK, "text/plain; charset=utf-8", "ok\n", 3);
    if (strcmp(url, "/v1/completions") == 0)
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "a prompt is sent by POST");
    return refuse(connection, MHD_HTTP_NOT_FOUND,
                  "there are POST /v1/completions, GET /v1/models and GET /health");
}

/* Behind the body, whatever it was: an answer before it would cut the connection off. */
static enum MHD_Result
answer_request(struct exchange *exchange, const char *url, const char *method)
{
    struct MHD_Connection *connection = exchange->connection;
    if (strcmp(url, "/v1/completions") != 0 || strcmp(method, "POST") != 0)
        return answer_other(exchange->serve, connection, url, method);
    if (!says_json(connection))
        return refuse(connection, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                      "the Content-Type must be application/json");
    return answer_body(exchange);
}

/* Too much of what is not wanted ends the connection. */
static enum MHD_Result
take_body(struct exchange *exchange, const char *body, size_t *body_len)
{
    dpc_buf_put(&exchange->body, body, *body_len);
    if (exchange->body.failed)
        exchange->discarded += *body_len;
    *body_len = 0;
    return exchange->discarded > DISCARDED_MAX ? MHD_NO : MHD_YES;
}

static bool
says_too_much(struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return length && strtoull(length, NULL, 10) > DISCARDED_MAX;
}

/* Called with the headers, with each piece of the body, behind it, and when an answer that is not
 * streamed is whole. */
static enum MHD_Result
answer(void *context, struct MHD_Connection *connection, const char *url, const char *method,
       const char *version, const char *body, size_t *body_len, void **state)
{
    struct dpc_serve *serve = context;
    struct exchange *exchange = *state;
    (void)version;
    if (exchange && *body_len)
        return take_body(exchange, body, body_len);
    if (exchange)
        return exchange->completion ? answer_whole(exchange)
                                    : answer_request(exchange, url, method);
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host");
    if (!host || !dpc_loopback_is_host(host))
        return refuse(connection, MHD_HTTP_FORBIDDEN,
                      "the Host header must be localhost or a loopback address");
    if (says_too_much(connection))
        return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, too_long);
    *state = begin_exchange(serve, connection);
    return MHD_YES;
}

/* --- Life. */

int
dpc_serve_open(const char *address, struct dpc_model *model, FILE *log,
               struct dpc_serve **ret_serve, struct dpc_error *err)
{
    int socket_fd;
    int code = dpc_loopback_listen(address, DPC_SERVE_CONNECTIONS_MAX, &socket_fd, err);
    if (code != DPC_OK)
        return code;
    struct dpc_serve *serve = dpc_alloc(1, sizeof *serve);
    serve->model = model;
    serve->log = log;
    serve->created_s = (int64_t)time(NULL);
    dpc_loopback_url(socket_fd, serve->url);
    dpc_inflow_let_be(socket_fd);
    serve->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, answer, serve,
                         MHD_OPTION_LISTEN_SOCKET, socket_fd, MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned)DPC_SERVE_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)IDLE_S, MHD_OPTION_NOTIFY_COMPLETED, end_exchange, NULL,
                         MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
    if (!serve->daemon) {
        (void)close(socket_fd);
        dpc_free(serve);
        return dpc_error_set(err, DPC_EFOREIGN,
                             "could not serve HTTP on \"%s\": libmicrohttpd did not start",
                             address);
    }
    serve->fd = MHD_get_daemon_info(serve->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    *ret_serve = serve;
    return DPC_OK;
}

/* The library wants no suspended connection when it stops. */
struct dpc_serve *
dpc_serve_close(struct dpc_serve *serve)
{
    if (!serve)
        return NULL;
    serve->closing = true;
    for (struct exchange *exchange = serve->active; exchange; exchange = exchange->next)
        resume(exchange);
    MHD_stop_daemon(serve->daemon);
    return dpc_free(serve);
}

const char *
dpc_serve_url(const struct dpc_serve *serve)
{
    return serve->url;
}

int
dpc_serve_fd(const struct dpc_serve *serve)
{
    return serve->fd;
}

int
dpc_serve_wait_ms(struct dpc_serve *serve, int most)
{
    MHD_UNSIGNED_LONG_LONG wait;
    if (serve->busy)
        return 0;
    if (serve->active && most > LOOK_MS)
        most = LOOK_MS;
    if (MHD_get_timeout(serve->daemon, &wait) != MHD_YES)
        return most;
    return wait < (MHD_UNSIGNED_LONG_LONG)most ? (int)wait : most;
}

void
dpc_serve_step(struct dpc_serve *serve)
{
    serve->busy = false;
    (void)MHD_run(serve->daemon);
    look_at_clients(serve);
    write_tokens(serve);
}
