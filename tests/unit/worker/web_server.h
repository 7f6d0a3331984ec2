/* SPDX-License-Identifier: Apache-2.0
 *
 * A web server on a port of the loopback that answers GETs, with or without a range, out of what
 * `find` knows, and misbehaves as it is told. One connection at a time, which stays open.
 *
 * Owns: its thread and sockets. Threads: `fault`, `at` and the counts from any.
 */
#ifndef DPC_TESTS_WORKER_WEB_SERVER_H
#define DPC_TESTS_WORKER_WEB_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

enum { WEB_URL_MAX = 64 };

enum web_fault {
    WEB_CALM,
    WEB_LACKS,     /* 404 */
    WEB_FORBIDS,   /* 403 */
    WEB_FAILS,     /* 500 */
    WEB_LIES,      /* one byte is another one */
    WEB_CUTS,      /* the connection, after `at` bytes of each answer */
    WEB_HANGS,     /* after `at` bytes */
    WEB_STALLS,    /* there for a second and a half, and goes on */
    WEB_TRICKLES,  /* 1,000 bytes each twentieth of a second */
    WEB_CHUNKED,   /* does not say how much there is */
    WEB_NO_RANGES, /* the whole, whatever is asked for */
    WEB_LONGER,    /* a byte more than there is */
    WEB_SHORTER,   /* a byte less, and says so */
    WEB_REDIRECTS, /* to the same under /moved */
    WEB_GARBAGE,   /* no HTTP */
};

struct web_server {
    /* The file of a path, in memory that the server frees; NULL: there is none. */
    uint8_t *(*find)(void *context, const char *path, size_t *ret_len);
    void *context;
    int listener;
    char url[WEB_URL_MAX];
    pthread_t thread;
    _Atomic enum web_fault fault;
    atomic_size_t at;
    atomic_bool ends;
    atomic_uint connections, requests;
    atomic_size_t bytes; /* of bodies */
};

/* False: the other side has gone. */
static inline bool
web_send(struct web_server *server, int connection, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0 && !server->ends) {
        struct pollfd wait = {.fd = connection, .events = POLLOUT};
        if (poll(&wait, 1, 20) == 0)
            continue;
        ssize_t some = send(connection, at, len < 65536 ? len : 65536, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (some <= 0)
            return false;
        at += some;
        len -= (size_t)some;
    }
    return len == 0;
}

/* The body from `from` on, as far as it goes. False: the connection ends. */
static inline bool
web_send_body(struct web_server *server, int connection, const uint8_t *bytes, size_t from,
              size_t len, enum web_fault fault)
{
    size_t most = len - from, some = most;
    if (fault >= WEB_CUTS && fault <= WEB_STALLS && server->at < some)
        some = server->at;
    for (size_t at = 0; fault == WEB_TRICKLES && at < most; at += 1000) {
        server->bytes += most - at < 1000 ? most - at : 1000;
        if (!web_send(server, connection, bytes + from + at, most - at < 1000 ? most - at : 1000) ||
            poll(NULL, 0, 50) != 0)
            return false;
    }
    if (fault == WEB_TRICKLES)
        return true;
    server->bytes += some;
    if (!web_send(server, connection, bytes + from, some))
        return false;
    while (server->fault == WEB_HANGS && !server->ends)
        (void)poll(NULL, 0, 10);
    if (fault == WEB_STALLS) {
        (void)poll(NULL, 0, 1500);
        server->bytes += most - some;
        return web_send(server, connection, bytes + from + some, most - some);
    }
    return some == most;
}

static inline bool
web_answer(struct web_server *server, int connection, char *question)
{
    enum web_fault fault = server->fault;
    char path[512] = "", head[512];
    size_t len = 0, from = 0;
    (void)sscanf(question, "GET %511s", path);
    bool moved = strncmp(path, "/moved", 6) == 0;
    const char *range = strcasestr(question, "\r\nRange: bytes=");
    if (range && fault != WEB_NO_RANGES)
        from = strtoul(range + 15, NULL, 10);
    uint8_t *bytes = server->find(server->context, path + (moved ? 6 : 0), &len);
    const char *status = !bytes || fault == WEB_LACKS ? "404 Not Found"
                         : fault == WEB_FORBIDS       ? "403 Forbidden"
                         : fault == WEB_FAILS         ? "500 Internal Server Error"
                         : from > len                 ? "416 Range Not Satisfiable"
                         : from > 0                   ? "206 Partial Content"
                                                      : "200 OK";
    bool sends = *status == '2';
    if (fault == WEB_GARBAGE)
        (void)snprintf(head, sizeof head, "SSH-2.0-OpenSSH_9.2\r\n");
    else if (fault == WEB_REDIRECTS && !moved)
        (void)snprintf(head, sizeof head,
                       "HTTP/1.1 302 Found\r\nLocation: /moved%s\r\nContent-Length: 0\r\n\r\n",
                       path);
    else if (!sends)
        (void)snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: 4\r\n\r\nsad\n", status);
    if (fault == WEB_GARBAGE || (fault == WEB_REDIRECTS && !moved) || !sends) {
        dpc_free(bytes);
        return web_send(server, connection, head, strlen(head)) && fault != WEB_GARBAGE;
    }
    len += fault == WEB_LONGER;
    len -= fault == WEB_SHORTER;
    if (fault == WEB_LIES)
        bytes[len / 2] ^= 1;
    int size = snprintf(head, sizeof head, "HTTP/1.1 %s\r\n", status);
    if (fault == WEB_CHUNKED)
        size += snprintf(head + size, sizeof head - (size_t)size,
                         "Transfer-Encoding: chunked\r\n\r\n%zx", len - from);
    else
        size += snprintf(head + size, sizeof head - (size_t)size, "Content-Length: %zu\r\n",
                         len - from);
    if (from > 0 && fault != WEB_CHUNKED)
        size += snprintf(head + size, sizeof head - (size_t)size,
                         "Content-Range: bytes %zu-%zu/%zu\r\n", from, len - 1, len);
    size += snprintf(head + size, sizeof head - (size_t)size, "\r\n");
    bool goes_on = web_send(server, connection, head, (size_t)size) &&
                   web_send_body(server, connection, bytes, from, len, fault) &&
                   (fault != WEB_CHUNKED || web_send(server, connection, "\r\n0\r\n\r\n", 7));
    dpc_free(bytes);
    return goes_on;
}

/* Questions fit one read here: who asks waits for the answer. */
static inline void
web_talk(struct web_server *server, int connection)
{
    char question[4096];
    bool goes_on = true;
    while (goes_on && !server->ends) {
        struct pollfd wait = {.fd = connection, .events = POLLIN};
        if (poll(&wait, 1, 20) == 0)
            continue;
        ssize_t len = recv(connection, question, sizeof question - 1, 0);
        if (len <= 0)
            return;
        question[len] = '\0';
        server->requests++;
        goes_on = web_answer(server, connection, question);
    }
}

/* The next connection; -1 once it `ends`. */
static inline int
web_accept(int listener, const atomic_bool *ends)
{
    int connection = -1;
    while (connection < 0 && !*ends) {
        struct pollfd wait = {.fd = listener, .events = POLLIN};
        if (poll(&wait, 1, 20) > 0)
            connection = accept(listener, NULL, NULL);
    }
    return connection;
}

static inline void *
web_run(void *context)
{
    struct web_server *server = context;
    int connection;
    while ((connection = web_accept(server->listener, &server->ends)) >= 0) {
        server->connections++;
        web_talk(server, connection);
        close(connection);
    }
    return NULL;
}

/* On a port of its own; the URL names it. */
static inline bool
web_listen(int *ret_listener, char ret_url[WEB_URL_MAX], const char *scheme)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, 8) != 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        return false;
    (void)snprintf(ret_url, WEB_URL_MAX, "%s://127.0.0.1:%u", scheme, ntohs(address.sin_port));
    *ret_listener = listener;
    return true;
}

/* `find` and `context` are set, all else is zero. False where there is no port or thread. */
static inline bool
web_start(struct web_server *server)
{
    return web_listen(&server->listener, server->url, "http") &&
           pthread_create(&server->thread, NULL, web_run, server) == 0;
}

static inline void
web_stop(struct web_server *server)
{
    server->ends = true;
    pthread_join(server->thread, NULL);
    close(server->listener);
}

#endif
