/* SPDX-License-Identifier: Apache-2.0
 * Real sockets on both sides in one thread: a client that says nothing, or too little, keeps nobody
 * waiting. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "coordinator/pages/http.h"
#include "tests/unit/harness.h"

/* --- A site. */

struct site {
    struct dpc_http *http;
    struct sockaddr_in address;
    int64_t now_ms;
    uint32_t written;
    struct dpc_clock clock;
};

static int64_t
read_clock(void *context)
{
    return ((struct site *)context)->now_ms;
}

static int
write_count(void *context, struct dpc_buf *out, struct dpc_error *err)
{
    struct site *site = context;
    (void)err;
    dpc_buf_printf(out, "written %u", ++site->written);
    return DPC_OK;
}

static int
write_nothing(void *context, struct dpc_buf *out, struct dpc_error *err)
{
    (void)context, (void)out;
    return dpc_error_set(err, DPC_EIO, "the disk is gone");
}

static int
write_too_much(void *context, struct dpc_buf *out, struct dpc_error *err)
{
    (void)context, (void)err;
    dpc_buf_extend(out, DPC_HTTP_PAGE_BYTES_MAX);
    dpc_buf_put_u8(out, 0);
    return DPC_OK;
}

/* More than a socket's buffer holds. */
static int
write_much(void *context, struct dpc_buf *out, struct dpc_error *err)
{
    (void)context, (void)err;
    memset(dpc_buf_extend(out, DPC_HTTP_PAGE_BYTES_MAX), 'x', DPC_HTTP_PAGE_BYTES_MAX);
    return DPC_OK;
}

static void
open_site(struct site *site)
{
    static const struct dpc_http_page pages[] = {{"/count", "text/plain", write_count},
                                                 {"/nothing", "text/plain", write_nothing},
                                                 {"/too-much", "text/plain", write_too_much},
                                                 {"/much", "text/plain", write_much}};
    struct dpc_error err;
    *site = (struct site){.now_ms = 1000};
    site->clock = (struct dpc_clock){read_clock, site};
    struct dpc_http_site options = {.pages = pages,
                                    .pages_count = sizeof pages / sizeof *pages,
                                    .context = site,
                                    .clock = &site->clock};
    CU_ASSERT_EQUAL_FATAL(dpc_http_open("127.0.0.1:0", &options, &site->http, &err), DPC_OK);
    const char *port = strrchr(dpc_http_url(site->http), ':') + 1;
    site->address.sin_family = AF_INET;
    site->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    site->address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
}

static int
call_in(const struct site *site)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CU_ASSERT_EQUAL_FATAL(
        connect(fd, (const struct sockaddr *)&site->address, sizeof site->address), 0);
    CU_ASSERT_EQUAL_FATAL(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void
say(int fd, const char *text)
{
    CU_ASSERT_EQUAL(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Serves until the other side has closed the connection, and closes it; the length of what came, of
 * which `text` gets the beginning. It must do so before the library, by its own clock, calls the
 * connection idle (10 s). */
static size_t
hear(const struct site *site, int fd, char *ret_text, size_t size)
{
    size_t len = 0;
    int64_t end_ns = dpc_clock_ns() + INT64_C(8000000000);
    for (;;) {
        CU_ASSERT_FATAL(dpc_clock_ns() < end_ns);
        char bytes[65536];
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        for (ssize_t i = 0; i < got; i++, len++) {
            if (len + 1 < size)
                ret_text[len] = bytes[i];
        }
        dpc_http_serve(site->http);
    }
    ret_text[len < size ? len : size - 1] = 0;
    close(fd);
    return len;
}

static void
ask(const struct site *site, const char *request, char *ret_text, size_t size)
{
    int fd = call_in(site);
    say(fd, request);
    hear(site, fd, ret_text, size);
}

#define ASK(site, request)                                                                         \
    char answer[4096];                                                                             \
    ask(site, request, answer, sizeof answer)
#define HOST "Host: localhost\r\n\r\n"

static bool
has(const char *answer, const char *text)
{
    return strstr(answer, text) != NULL;
}

static void
test_a_page_comes_with_headers_that_keep_it_to_itself(void)
{
    struct site site;
    open_site(&site);
    ASK(&site, "GET /count?any=1 HTTP/1.1\r\n" HOST);
    CU_ASSERT_TRUE(has(answer, "HTTP/1.1 200 OK\r\n"));
    CU_ASSERT_TRUE(has(answer, "\r\n\r\nwritten 1"));
    CU_ASSERT_TRUE(has(answer, "\r\nContent-Type: text/plain\r\n"));
    CU_ASSERT_TRUE(has(answer, "\r\nContent-Security-Policy: default-src 'none'; "));
    CU_ASSERT_TRUE(has(answer, "\r\nX-Content-Type-Options: nosniff\r\n"));
    CU_ASSERT_TRUE(has(answer, "\r\nCache-Control: no-store\r\n"));
    dpc_http_close(site.http);
}

static void
test_head_has_no_body(void)
{
    struct site site;
    open_site(&site);
    ASK(&site, "HEAD /count HTTP/1.1\r\n" HOST);
    CU_ASSERT_TRUE(has(answer, "HTTP/1.1 200 OK\r\n"));
    CU_ASSERT_TRUE(has(answer, "\r\nContent-Length: 9\r\n"));
    CU_ASSERT_FALSE(has(answer, "written"));
    dpc_http_close(site.http);
}

static void
test_what_is_refused(void)
{
    static const struct {
        const char *request, *status, *text;
    } rows[] = {
        {"POST /count HTTP/1.1\r\nContent-Length: 1000000\r\n" HOST, "405",
         "\r\nAllow: GET, HEAD\r\n"},
        {"DELETE /count HTTP/1.1\r\n" HOST, "405", "\r\nAllow: GET, HEAD\r\n"},
        {"GET /else HTTP/1.1\r\n" HOST, "404", "no such page"},
        {"GET /count/ HTTP/1.1\r\n" HOST, "404", "no such page"},
        {"GET http://evil.example/count HTTP/1.1\r\n" HOST, "404", "no such page"},
        {"GET /count HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403", "loopback"},
        {"POST /count HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403", "loopback"},
        {"GET /count HTTP/1.0\r\n\r\n", "403", "loopback"},
        {"GET /nothing HTTP/1.1\r\n" HOST, "500", "the disk is gone"},
        {"GET /too-much HTTP/1.1\r\n" HOST, "500", "too long"},
    };
    struct site site;
    open_site(&site);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ASK(&site, rows[i].request);
        CU_ASSERT_EQUAL(strncmp(answer + strlen("HTTP/1.1 "), rows[i].status, 3), 0);
        CU_ASSERT_TRUE(has(answer, rows[i].text));
        CU_ASSERT_TRUE(has(answer, "\r\nX-Content-Type-Options: nosniff\r\n"));
        CU_ASSERT_FALSE(has(answer, "written"));
    }
    CU_ASSERT_EQUAL(site.written, 0);
    dpc_http_close(site.http);
}

static void
test_who_asks_often_gets_the_same_copy(void)
{
    struct site site;
    open_site(&site);
    for (int i = 0; i < 10; i++) {
        ASK(&site, "GET /count HTTP/1.1\r\n" HOST);
        CU_ASSERT_TRUE(has(answer, "written 1"));
    }
    site.now_ms += 500;
    ASK(&site, "GET /count HTTP/1.1\r\n" HOST);
    CU_ASSERT_TRUE(has(answer, "written 2"));
    dpc_http_close(site.http);
}

/* The page is made anew while its old copy is still on the way. */
static void
test_a_slow_reader_gets_the_page_whole(void)
{
    struct site site;
    char text[16];
    open_site(&site);
    int fd = call_in(&site);
    say(fd, "GET /much HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 100; i++)
        dpc_http_serve(site.http);
    site.now_ms += 600;
    ASK(&site, "HEAD /much HTTP/1.1\r\n" HOST);
    CU_ASSERT_TRUE(has(answer, "200 OK"));
    CU_ASSERT_TRUE(hear(&site, fd, text, sizeof text) > DPC_HTTP_PAGE_BYTES_MAX);
    dpc_http_close(site.http);
}

/* --- Those who say nothing. */

static void
test_silent_connections_keep_nobody_waiting(void)
{
    struct site site;
    int silent[DPC_HTTP_CONNECTIONS_MAX - 1];
    open_site(&site);
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        silent[i] = call_in(&site);
        say(silent[i], "GET /count HTTP/1.1\r\nHost: loc");
    }
    ASK(&site, "GET /count HTTP/1.1\r\n" HOST);
    CU_ASSERT_TRUE(has(answer, "written 1"));
    CU_ASSERT_TRUE(dpc_http_wait_ms(site.http, 500) <= 500);
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        close(silent[i]);
    dpc_http_close(site.http);
}

/* With all places taken the next one waits, and gets one when the others' time is over, although
 * each of them still says something now and then. */
static void
test_a_connection_that_never_ends_is_ended(void)
{
    struct site site;
    char text[64];
    int slow[DPC_HTTP_CONNECTIONS_MAX];
    open_site(&site);
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++) {
        slow[i] = call_in(&site);
        say(slow[i], "GET /count HTTP/1.1\r\n");
        dpc_http_serve(site.http);
    }
    int fd = call_in(&site);
    say(fd, "GET /count HTTP/1.1\r\n" HOST);
    for (int second = 0; second < 29; second++) {
        site.now_ms += 1000;
        for (size_t i = 0; i < sizeof slow / sizeof *slow; i++)
            say(slow[i], "a: b\r\n");
        dpc_http_serve(site.http);
        CU_ASSERT_EQUAL(recv(fd, text, sizeof text, 0), -1);
    }
    site.now_ms += 2000;
    hear(&site, fd, text, sizeof text);
    CU_ASSERT_TRUE(has(text, "200 OK"));
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++)
        CU_ASSERT_EQUAL(hear(&site, slow[i], text, sizeof text), 0);
    dpc_http_close(site.http);
}

static void
test_a_port_in_use_is_busy(void)
{
    struct site site;
    struct dpc_http *second;
    struct dpc_error err = {0};
    char address[64];
    open_site(&site);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(site.address.sin_port));
    struct dpc_http_site options = {.clock = &site.clock};
    CU_ASSERT_EQUAL(dpc_http_open(address, &options, &second, &err), DPC_EBUSY);
    CU_ASSERT_TRUE(has(err.text, address));
    CU_ASSERT_TRUE(has(err.text, "in use"));
    dpc_http_close(site.http);
}

static void
test_the_other_loopback(void)
{
    struct dpc_http *http;
    struct dpc_error err;
    struct site site = {.now_ms = 0};
    site.clock = (struct dpc_clock){read_clock, &site};
    struct dpc_http_site options = {.clock = &site.clock};
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    bool there = probe >= 0 && bind(probe, (struct sockaddr *)&address, sizeof address) == 0;
    if (probe >= 0)
        close(probe);
    if (!there)
        return; /* a machine without IPv6 */
    CU_ASSERT_EQUAL_FATAL(dpc_http_open("[::1]:0", &options, &http, &err), DPC_OK);
    CU_ASSERT_EQUAL(strncmp(dpc_http_url(http), "http://[::1]:", 13), 0);
    dpc_http_close(http);
}

static const struct dpc_test tests[] = {
    {"a page comes with headers that keep it to itself",
     test_a_page_comes_with_headers_that_keep_it_to_itself},
    {"HEAD has no body", test_head_has_no_body},
    {"what is refused", test_what_is_refused},
    {"who asks often gets the same copy", test_who_asks_often_gets_the_same_copy},
    {"a slow reader gets the page whole", test_a_slow_reader_gets_the_page_whole},
    {"silent connections keep nobody waiting", test_silent_connections_keep_nobody_waiting},
    {"a connection that never ends is ended", test_a_connection_that_never_ends_is_ended},
    {"a port in use is busy", test_a_port_in_use_is_busy},
    {"the other loopback", test_the_other_loopback},
};

DPC_TEST_MAIN("coordinator/http", tests)
