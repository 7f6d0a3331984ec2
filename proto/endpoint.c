/* SPDX-License-Identifier: Apache-2.0
 * The coordinator names its bulk endpoint as it listens, often on all addresses; a worker takes the
 * host by which it found the coordinator. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/channel.h"

static const char tcp_scheme[] = "tcp://";

/* "tcp://host:port" into the host's place and the port behind the last colon. */
static bool
split(const char *endpoint, const char **ret_host, int *ret_len, const char **ret_port)
{
    if (strncmp(endpoint, tcp_scheme, strlen(tcp_scheme)) != 0)
        return false;
    const char *host = endpoint + strlen(tcp_scheme), *colon = strrchr(host, ':');
    if (!colon || colon == host || colon[1] == 0 || colon - host > 255)
        return false;
    *ret_host = host;
    *ret_len = (int)(colon - host);
    *ret_port = colon + 1;
    return true;
}

static bool
is_any(const char *host, int len)
{
    static const char *const words[] = {"*", "0.0.0.0", "[::]"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if ((size_t)len == strlen(words[i]) && strncmp(host, words[i], (size_t)len) == 0)
            return true;
    }
    return false;
}

/* libzmq takes a port modulo 65536, and 0 for any. */
static bool
is_port(const char *port)
{
    size_t digits = strspn(port, "0123456789");
    unsigned long number = strtoul(port, NULL, 10);
    return digits > 0 && digits <= 5 && !port[digits] && number >= 1 && number <= 65535;
}

int
dpc_endpoint_check(const char *endpoint, bool listens, struct dpc_error *err)
{
    static const char ipc_scheme[] = "ipc://";
    const char *host, *port;
    int host_len;
    if (strncmp(endpoint, ipc_scheme, strlen(ipc_scheme)) == 0 && endpoint[strlen(ipc_scheme)])
        return DPC_OK;
    if (split(endpoint, &host, &host_len, &port) &&
        (is_port(port) || (listens && strcmp(port, "*") == 0)))
        return DPC_OK;
    return dpc_error_set(
        err, DPC_EINVAL,
        "\"%.200s\" is no endpoint: it looks like tcp://HOST:PORT, with a port from "
        "1 to 65535%s",
        endpoint, listens ? ", or *" : "");
}

/* A letter, a digit or one of these may stand in a host or its port, and with more in a path. */
static bool
is_made_of(const char *text, size_t len, const char *others)
{
    for (size_t i = 0; i < len; i++) {
        bool plain = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
                     (text[i] >= '0' && text[i] <= '9');
        if (!plain && !strchr(others, text[i]))
            return false;
    }
    return true;
}

int
dpc_url_check(const char *url, struct dpc_error *err)
{
    size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
    const char *host = url + scheme;
    size_t host_len = strcspn(host, "/");
    const char *path = host + host_len;
    if (scheme && host_len > 0 && strlen(url) < DPC_ENDPOINT_MAX &&
        is_made_of(host, host_len, ".-:[]") && is_made_of(path, strlen(path), "/.-_~+%"))
        return DPC_OK;
    return dpc_error_set(err, DPC_EINVAL,
                         "\"%.200s\" is no address of a mirror: it looks like "
                         "https://HOST/FOLDER, in at most %d bytes, without user and query",
                         url, DPC_ENDPOINT_MAX - 1);
}

int
dpc_endpoint_resolve(const char *endpoint, const char *from, char *ret_endpoint, size_t size)
{
    const char *host, *port, *from_host, *from_port;
    int host_len, from_len, length;
    bool local = !split(endpoint, &host, &host_len, &port);
    /* A socket's file of its own machine is nothing that a coordinator elsewhere may name. */
    if (local && split(from, &from_host, &from_len, &from_port))
        return DPC_EINVAL;
    if (local || !is_any(host, host_len))
        length = snprintf(ret_endpoint, size, "%s", endpoint);
    else if (split(from, &from_host, &from_len, &from_port))
        length = snprintf(ret_endpoint, size, "%s%.*s:%s", tcp_scheme, from_len, from_host, port);
    else
        return DPC_EINVAL;
    return length >= 0 && (size_t)length < size ? DPC_OK : DPC_ELIMIT;
}
