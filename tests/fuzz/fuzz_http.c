/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a client sends to the pages, in as many pieces as it likes: a page goes to who reads it
 * by a Host header of this machine alone, each connection ends, and the next client is answered.
 *
 * The first byte of an input is the length of a piece (0: all at once), the rest is what is sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coordinator/pages/http.h"
#include "tests/fuzz/fuzz.h"

enum { ADDRESSES = 250, TURNS = 16, PIECES_MAX = 8, ANSWER_MAX = 16384, LIFE_MS = 30000 };
#define MARK "what only this machine may read"

static struct {
    struct dpc_http *http;
    struct sockaddr_in address;
    int64_t now_ms;
    char answer[ANSWER_MAX]; /* of the last client */
} rig;

static int64_t
read_clock(void *context)
{
    (void)context;
    return rig.now_ms;
}

static int
write_mark(void *context, struct dpc_buf *out, struct dpc_error *err)
{
    (void)context, (void)err;
    dpc_buf_printf(out, "%s", MARK);
    return DPC_OK;
}

static void
close_rig(void)
{
    dpc_http_close(rig.http);
}

static void
open_rig(void)
{
    static const struct dpc_http_page pages[] = {{"/", "text/html", write_mark},
                                                 {"/metrics", "text/plain", write_mark}};
    static const struct dpc_clock clock = {.now_ms = read_clock};
    const struct dpc_http_site site = {
        .pages = pages, .pages_count = sizeof pages / sizeof *pages, .clock = &clock};
    rig.now_ms = 1000;
    fuzz_require(dpc_http_open("127.0.0.1:0", &site, &rig.http, NULL) == DPC_OK, "a site opens");
    const char *port = strrchr(dpc_http_url(rig.http), ':') + 1;
    rig.address.sin_family = AF_INET;
    rig.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    rig.address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    fuzz_require(atexit(close_rig) == 0, "a site closes");
}

/* From one address of the loopback after the other and without a wait at the end, or ports would
 * run out. */
static int
call_in(void)
{
    static uint32_t clients;
    const struct linger none = {.l_onoff = 1};
    const struct sockaddr_in own = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + ++clients % ADDRESSES)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fuzz_require(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0 &&
                     bind(fd, (const struct sockaddr *)&own, sizeof own) == 0 &&
                     connect(fd, (const struct sockaddr *)&rig.address, sizeof rig.address) == 0,
                 "a client calls in");
    return fd;
}

/* True when the connection is over. */
static bool
hear(int fd, size_t *heard)
{
    for (int i = 0; i < TURNS; i++) {
        dpc_http_serve(rig.http);
        ssize_t len = recv(fd, rig.answer + *heard, sizeof rig.answer - 1 - *heard, MSG_DONTWAIT);
        if (len == 0 || (len < 0 && errno != EAGAIN))
            return true;
        *heard += len > 0 ? (size_t)len : 0;
    }
    return false;
}

static void
talk(const uint8_t *bytes, size_t len, size_t piece)
{
    int fd = call_in();
    size_t heard = 0;
    bool over = hear(fd, &heard);
    for (int i = 0; len && !over; i++) {
        size_t some = piece && piece < len && i < PIECES_MAX ? piece : len;
        if (send(fd, bytes, some, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
        bytes += some;
        len -= some;
        over = hear(fd, &heard);
    }
    if (!over) {
        rig.now_ms += LIFE_MS;
        fuzz_require(hear(fd, &heard), "a connection ends");
    }
    rig.answer[heard] = 0;
    close(fd);
    dpc_http_serve(rig.http);
}

static bool
has(const char *text, const char *word)
{
    return strcasestr(text, word) != NULL;
}

static void
check_answer(const uint8_t *bytes, size_t len)
{
    char *asked = dpc_alloc(len + 1, 1);
    for (size_t i = 0; i < len; i++)
        asked[i] = bytes[i] ? (char)bytes[i] : ' ';
    fuzz_require(!*rig.answer || strncmp(rig.answer, "HTTP/1.", 7) == 0, "an answer is HTTP's");
    bool given = strncmp(rig.answer + (*rig.answer ? 8 : 0), " 200 ", 5) == 0;
    fuzz_require(given || !has(rig.answer, MARK), "what is refused holds no page");
    fuzz_require(!given || (has(asked, "host") &&
                            (has(asked, "localhost") || has(asked, "127.") || has(asked, "::1"))),
                 "a page goes to this machine");
    fuzz_require(!given || has(asked, "GET ") || has(asked, "HEAD "), "a page is read");
    fuzz_accepted += given;
    dpc_free(asked);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char plain[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    if (!rig.http)
        open_rig();
    if (size == 0)
        return 0;
    talk(data + 1, size - 1, data[0]);
    check_answer(data + 1, size - 1);
    talk((const uint8_t *)plain, sizeof plain - 1, 0);
    fuzz_require(has(rig.answer, MARK), "the next client is answered");
    return 0;
}

#ifndef DPC_LIBFUZZER

static const char *const requests[] = {
    "\x00GET / HTTP/1.1\r\nHost: localhost:7602\r\n\r\n",
    "\x11GET /metrics?a=b%20c HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nCookie: a=b; c=d\r\n"
    "Authorization: Basic YTpi\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "\x50HEAD / HTTP/1.0\r\nHost: [::1]\r\nRange: bytes=0-\r\n\r\n",
    "\x00GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue"
    "\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "\x00GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nUpgrade: websocket\r\n\r\nhello",
};

static void
add_inputs(struct fuzz *fuzz)
{
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        fuzz_valid(fuzz, requests[i], 1 + strlen(requests[i] + 1), 0);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 1500, add_inputs);
}

#endif
