/* SPDX-License-Identifier: Apache-2.0
 * A socket of our own, since a library that serves HTTP does not say why it could open none. */
#include "base/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_MAX = 65535 };

static bool
is_loopback(int family, const void *address)
{
    if (family == AF_INET6)
        return memcmp(address, &in6addr_loopback, sizeof in6addr_loopback) == 0;
    return *(const uint8_t *)address == 127; /* in network order */
}

/* All of `text`, digits only. */
static bool
read_port(const char *text, uint16_t *ret_port)
{
    char *behind;
    unsigned long port = strtoul(text, &behind, 10);
    *ret_port = (uint16_t)port;
    return text[0] >= '0' && text[0] <= '9' && !*behind && port <= PORT_MAX;
}

/* Cuts "[::1]:7602" and "127.0.0.1:7602" in two; `*ret_port` NULL: there is none. False when the
 * host is none, or is too long for what we take. */
static bool
split_host(const char *text, char ret_host[DPC_NAME_MAX], const char **ret_port,
           bool *ret_bracketed)
{
    *ret_bracketed = text[0] == '[';
    const char *host = text + *ret_bracketed;
    size_t len = strcspn(host, *ret_bracketed ? "]" : ":");
    const char *behind = host + len;
    if (len == 0 || len >= DPC_NAME_MAX || (*ret_bracketed && *behind++ != ']'))
        return false;
    memcpy(ret_host, host, len);
    ret_host[len] = 0;
    *ret_port = *behind == ':' ? behind + 1 : NULL;
    return *behind == ':' || !*behind;
}

bool
dpc_loopback_is_host(const char *host)
{
    char name[DPC_NAME_MAX];
    const char *port_text;
    uint16_t port;
    bool bracketed;
    struct in6_addr address;
    if (!split_host(host, name, &port_text, &bracketed) ||
        (port_text && !read_port(port_text, &port)))
        return false;
    if (!bracketed && strcasecmp(name, "localhost") == 0)
        return true;
    int family = bracketed ? AF_INET6 : AF_INET;
    return inet_pton(family, name, &address) == 1 && is_loopback(family, &address);
}

static int
refuse_address(const char *text, const char *why, struct dpc_error *err)
{
    return dpc_error_set(err, DPC_EINVAL, "\"%.200s\" is no address for HTTP: %s", text, why);
}

static int
parse_address(const char *text, struct sockaddr_storage *ret_address, socklen_t *ret_len,
              struct dpc_error *err)
{
    char name[DPC_NAME_MAX];
    const char *port_text;
    uint16_t port;
    bool bracketed;
    struct sockaddr_in *in4 = (struct sockaddr_in *)ret_address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_address;
    memset(ret_address, 0, sizeof *ret_address);
    if (!split_host(text, name, &port_text, &bracketed) || !port_text ||
        !read_port(port_text, &port))
        return refuse_address(text, "it must be ADDRESS:PORT, such as 127.0.0.1:7602", err);
    int family = bracketed ? AF_INET6 : AF_INET;
    void *address = bracketed ? (void *)&in6->sin6_addr : (void *)&in4->sin_addr;
    const char *number = !bracketed && strcasecmp(name, "localhost") == 0 ? "127.0.0.1" : name;
    if (inet_pton(family, number, address) != 1 || !is_loopback(family, address))
        return refuse_address(
            text,
            "whoever reaches the port is asked nothing, so that it must be one of "
            "this machine alone (127.0.0.0/8 or [::1]); from elsewhere use "
            "ssh -L or a reverse proxy that asks who it is",
            err);
    ret_address->ss_family = (sa_family_t)family;
    if (bracketed)
        in6->sin6_port = htons(port);
    else
        in4->sin_port = htons(port);
    *ret_len = bracketed ? sizeof *in6 : sizeof *in4;
    return DPC_OK;
}

int
dpc_loopback_check(const char *address, struct dpc_error *err)
{
    struct sockaddr_storage parsed;
    socklen_t len;
    return parse_address(address, &parsed, &len, err);
}

int
dpc_loopback_listen(const char *text, int backlog, int *ret_fd, struct dpc_error *err)
{
    struct sockaddr_storage address;
    socklen_t len;
    int on = 1;
    int code = parse_address(text, &address, &len, err);
    if (code != DPC_OK)
        return code;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return dpc_error_set_errno(err, errno, "could not listen on \"%s\" for HTTP", text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, backlog) == 0) {
        *ret_fd = fd;
        return DPC_OK;
    }
    int errnum = errno;
    (void)close(fd);
    if (errnum == EADDRINUSE)
        return dpc_error_set(err, DPC_EBUSY,
                             "could not listen on \"%s\" for HTTP: the port is in use; name "
                             "another one (port 0 picks one)",
                             text);
    return dpc_error_set_errno(err, errnum, "could not listen on \"%s\" for HTTP", text);
}

void
dpc_loopback_url(int fd, char ret_url[DPC_ENDPOINT_MAX])
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char name[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
    (void)getsockname(fd, (struct sockaddr *)&address, &len);
    if (address.ss_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, name, sizeof name);
        (void)snprintf(ret_url, DPC_ENDPOINT_MAX, "http://[%s]:%u/", name, ntohs(in6->sin6_port));
    } else {
        (void)inet_ntop(AF_INET, &in4->sin_addr, name, sizeof name);
        (void)snprintf(ret_url, DPC_ENDPOINT_MAX, "http://%s:%u/", name, ntohs(in4->sin_port));
    }
}
