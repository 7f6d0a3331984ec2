/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS in front of a plain server, on a port of the loopback, with a certificate of its own making
 * for 127.0.0.1 that nobody trusts who is not told to. One connection at a time.
 *
 * Owns: its thread and sockets, and the certificate's file. Threads: one.
 */
#ifndef DPC_TESTS_WORKER_TLS_FRONT_H
#define DPC_TESTS_WORKER_TLS_FRONT_H

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>

#include "tests/unit/worker/web_server.h"

struct tls_front {
    int listener;
    char url[WEB_URL_MAX];
    pthread_t thread;
    atomic_bool ends;
    int behind; /* port of the plain server */
    SSL_CTX *context;
    char ca_file[512];
};

static inline bool
tls_make_certificate(struct tls_front *front)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_EXTENSION *host = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    FILE *file = fopen(front->ca_file, "w");
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"mirror", -1, -1,
                               0);
    bool made =
        key && host && file && X509_set_version(certificate, 2) &&
        ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -86400) &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), 86400) &&
        X509_set_issuer_name(certificate, name) && X509_set_pubkey(certificate, key) &&
        X509_add_ext(certificate, host, -1) && X509_sign(certificate, key, EVP_sha256()) > 0 &&
        SSL_CTX_use_certificate(front->context, certificate) == 1 &&
        SSL_CTX_use_PrivateKey(front->context, key) == 1 && PEM_write_X509(file, certificate) == 1;
    made = file && fclose(file) == 0 && made;
    X509_EXTENSION_free(host);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return made;
}

/* Bytes both ways, until either side has enough. */
static inline void
tls_talk(struct tls_front *front, SSL *tls, int outside, int inside)
{
    char bytes[16384];
    while (!front->ends) {
        struct pollfd waits[] = {{.fd = outside, .events = POLLIN},
                                 {.fd = inside, .events = POLLIN}};
        if (SSL_pending(tls) == 0 && poll(waits, 2, 20) == 0)
            continue;
        if (SSL_pending(tls) > 0 || waits[0].revents) {
            int len = SSL_read(tls, bytes, sizeof bytes);
            if (len <= 0 || send(inside, bytes, (size_t)len, MSG_NOSIGNAL) != len)
                return;
        }
        if (waits[1].revents) {
            ssize_t len = recv(inside, bytes, sizeof bytes, 0);
            if (len <= 0 || SSL_write(tls, bytes, (int)len) <= 0)
                return;
        }
    }
}

static inline void *
tls_run(void *context)
{
    struct tls_front *front = context;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)front->behind),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int outside;
    while ((outside = web_accept(front->listener, &front->ends)) >= 0) {
        int inside = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        SSL *tls = SSL_new(front->context);
        SSL_set_fd(tls, outside);
        if (SSL_accept(tls) == 1 &&
            connect(inside, (struct sockaddr *)&address, sizeof address) == 0)
            tls_talk(front, tls, outside, inside);
        SSL_free(tls);
        close(inside);
        close(outside);
    }
    return NULL;
}

/* In front of `server`; the certificate goes to `ca_file`. */
static inline bool
tls_start(struct tls_front *front, const struct web_server *server, const char *ca_file)
{
    memset(front, 0, sizeof *front);
    (void)snprintf(front->ca_file, sizeof front->ca_file, "%s", ca_file);
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    front->behind = (int)strtol(strrchr(server->url, ':') + 1, NULL, 10);
    front->context = SSL_CTX_new(TLS_server_method());
    return front->context && tls_make_certificate(front) &&
           web_listen(&front->listener, front->url, "https") &&
           pthread_create(&front->thread, NULL, tls_run, front) == 0;
}

static inline void
tls_stop(struct tls_front *front)
{
    front->ends = true;
    pthread_join(front->thread, NULL);
    close(front->listener);
    SSL_CTX_free(front->context);
}

#endif
