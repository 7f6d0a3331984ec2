/* SPDX-License-Identifier: Apache-2.0
 * CURVE keys and their files. Keys are 32 bytes inside and Z85 text (ZeroMQ RFC 32) outside; what
 * held a secret as text is wiped. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "proto/channel.h"

enum { KEY_FILE_BYTES_MAX = 1024 };

static const char public_label[] = "public-key ";
static const char secret_label[] = "secret-key ";
static const char endpoint_label[] = "endpoint ";

void
dpc_key_bytes_text(const uint8_t bytes[static DPC_KEY_BYTES], char ret_text[DPC_KEY_TEXT_MAX])
{
    zmq_z85_encode(ret_text, bytes, DPC_KEY_BYTES);
}

void
dpc_key_text(const struct dpc_key *key, char ret_text[DPC_KEY_TEXT_MAX])
{
    dpc_key_bytes_text(key->bytes, ret_text);
}

void
dpc_key_id(const uint8_t bytes[static DPC_KEY_BYTES], char ret_id[DPC_KEY_ID_MAX])
{
    (void)snprintf(ret_id, DPC_KEY_ID_MAX, "%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2],
                   bytes[3]);
}

bool
dpc_key_parse(const char *text, struct dpc_key *ret_key)
{
    struct dpc_key key;
    static const struct dpc_key nobody; /* whose shared secrets everybody knows */
    if (strnlen(text, DPC_KEY_TEXT_MAX) != DPC_KEY_TEXT_MAX - 1 ||
        !zmq_z85_decode(key.bytes, text) || dpc_key_equal(&key, &nobody))
        return false;
    *ret_key = key;
    return true;
}

bool
dpc_key_equal(const struct dpc_key *a, const struct dpc_key *b)
{
    return memcmp(a->bytes, b->bytes, DPC_KEY_BYTES) == 0;
}

/* libzmq answers with a failure only where it was built without CURVE, and then a net does not
 * come up (net.c). */
void
dpc_keypair_generate(struct dpc_keypair *ret_keypair)
{
    char public_text[DPC_KEY_TEXT_MAX] = "", secret_text[DPC_KEY_TEXT_MAX] = "";
    memset(ret_keypair, 0, sizeof *ret_keypair);
    if (zmq_curve_keypair(public_text, secret_text) == 0) {
        (void)dpc_key_parse(public_text, &ret_keypair->public_key);
        (void)dpc_key_parse(secret_text, &ret_keypair->secret_key);
    }
    explicit_bzero(secret_text, sizeof secret_text);
}

bool
dpc_keypair_complete(const struct dpc_key *secret_key, struct dpc_keypair *ret_keypair)
{
    char secret_text[DPC_KEY_TEXT_MAX], public_text[DPC_KEY_TEXT_MAX] = "";
    struct dpc_keypair keypair = {.secret_key = *secret_key};
    dpc_key_text(secret_key, secret_text);
    bool good = zmq_curve_public(public_text, secret_text) == 0 &&
                dpc_key_parse(public_text, &keypair.public_key);
    if (good)
        *ret_keypair = keypair;
    explicit_bzero(secret_text, sizeof secret_text);
    explicit_bzero(&keypair, sizeof keypair);
    return good;
}

struct key_file {
    bool has_public, has_secret;
    struct dpc_keypair keypair;
    char endpoint[DPC_ENDPOINT_MAX]; /* "": it has none */
};

static bool
take_endpoint(const char *text, struct key_file *file)
{
    if (file->endpoint[0] || strlen(text) >= sizeof file->endpoint ||
        dpc_endpoint_check(text, false, NULL) != DPC_OK)
        return false;
    (void)snprintf(file->endpoint, sizeof file->endpoint, "%s", text);
    return true;
}

static bool
take_key(const char *text, bool *has, struct dpc_key *ret_key)
{
    bool again = *has;
    *has = dpc_key_parse(text, ret_key);
    return *has && !again;
}

static bool
begins(const char *line, const char *label)
{
    return strncmp(line, label, strlen(label)) == 0;
}

/* A label and what it stands for; empty lines and comments pass. */
static bool
parse_line(const char *line, struct key_file *file)
{
    if (begins(line, endpoint_label))
        return take_endpoint(line + strlen(endpoint_label), file);
    if (begins(line, public_label))
        return take_key(line + strlen(public_label), &file->has_public, &file->keypair.public_key);
    if (begins(line, secret_label))
        return take_key(line + strlen(secret_label), &file->has_secret, &file->keypair.secret_key);
    return *line == 0 || *line == '#';
}

static bool
parse_lines(char *text, struct key_file *ret_file)
{
    char *rest = text;
    for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
        if (!parse_line(line, ret_file))
            return false;
    }
    return true;
}

static int
read_key_file(const char *path, struct key_file *ret_file, struct dpc_error *err)
{
    uint8_t *bytes;
    size_t len;
    int code = dpc_vfs_read_file(&dpc_vfs_posix, path, KEY_FILE_BYTES_MAX, &bytes, &len, err);
    if (code != DPC_OK)
        return code;
    memset(ret_file, 0, sizeof *ret_file);
    bool good = !memchr(bytes, 0, len) && parse_lines((char *)bytes, ret_file);
    explicit_bzero(bytes, len);
    dpc_free(bytes);
    if (!good)
        return dpc_error_set(err, DPC_EPARSE,
                             "could not read key \"%s\": it is no key file; a line holds "
                             "\"public-key\" or \"secret-key\" and 40 characters of Z85",
                             path);
    return DPC_OK;
}

static int
check_mode(const char *path, struct dpc_error *err)
{
    struct stat facts;
    if (stat(path, &facts) != 0)
        return dpc_error_set_errno(err, errno, "could not read key \"%s\"", path);
    if (facts.st_mode & (S_IRWXG | S_IRWXO))
        return dpc_error_set(err, DPC_EPERM,
                             "could not read key \"%s\": others may read it (mode %04o); run "
                             "\"chmod 600 %s\", and draw a new key if anyone did",
                             path, (unsigned)(facts.st_mode & 07777), path);
    return DPC_OK;
}

/* Whether the public half follows from the secret one. */
static bool
halves_match(const struct dpc_keypair *keypair)
{
    struct dpc_keypair completed;
    bool match = dpc_keypair_complete(&keypair->secret_key, &completed) &&
                 dpc_key_equal(&completed.public_key, &keypair->public_key);
    explicit_bzero(&completed, sizeof completed);
    return match;
}

int
dpc_keypair_load(const char *path, struct dpc_keypair *ret_keypair, struct dpc_error *err)
{
    struct key_file file;
    int code = check_mode(path, err);
    if (code == DPC_OK)
        code = read_key_file(path, &file, err);
    if (code != DPC_OK)
        return code;
    if (!file.has_public || !file.has_secret)
        code = dpc_error_set(err, DPC_EPARSE,
                             "could not read key \"%s\": it has no %s; move it away, and a new one "
                             "is made",
                             path, file.has_secret ? "public key" : "secret key");
    else if (!halves_match(&file.keypair))
        code =
            dpc_error_set(err, DPC_ECORRUPT,
                          "could not read key \"%s\": its two halves do not belong together", path);
    else
        *ret_keypair = file.keypair;
    explicit_bzero(&file, sizeof file);
    return code;
}

int
dpc_coordinator_load(const char *path, struct dpc_coordinator *ret_coordinator,
                     struct dpc_error *err)
{
    struct key_file file;
    int code = read_key_file(path, &file, err);
    if (code != DPC_OK)
        return code;
    if (file.has_secret)
        code = dpc_error_set(err, DPC_EINVAL,
                             "could not read key \"%s\": it holds a secret key; take \"%s.pub\"",
                             path, path);
    else if (!file.has_public)
        code =
            dpc_error_set(err, DPC_EPARSE, "could not read key \"%s\": it has no public key", path);
    if (code == DPC_OK) {
        ret_coordinator->key = file.keypair.public_key;
        memcpy(ret_coordinator->endpoint, file.endpoint, sizeof ret_coordinator->endpoint);
    }
    explicit_bzero(&file, sizeof file);
    return code;
}

int
dpc_coordinator_save(const char *path, const struct dpc_coordinator *coordinator,
                     struct dpc_error *err)
{
    char text[DPC_KEY_TEXT_MAX], lines[128 + DPC_ENDPOINT_MAX];
    dpc_key_text(&coordinator->key, text);
    int len = snprintf(lines, sizeof lines, "%s%s\n", public_label, text);
    if (coordinator->endpoint[0])
        len += snprintf(lines + len, sizeof lines - (size_t)len, "%s%s\n", endpoint_label,
                        coordinator->endpoint);
    return dpc_vfs_write_file(&dpc_vfs_posix, path, lines, (size_t)len, err);
}

int
dpc_key_load(const char *path, struct dpc_key *ret_key, struct dpc_error *err)
{
    struct dpc_coordinator coordinator;
    int code = dpc_coordinator_load(path, &coordinator, err);
    if (code == DPC_OK)
        *ret_key = coordinator.key;
    return code;
}

static int
write_all(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t put = write(fd, text, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        text += put;
        len -= (size_t)put;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

/* Writes `path`, whatever stands there. */
static int
write_new(const char *path, mode_t mode, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return errno;
    int errnum = fchmod(fd, mode) == 0 ? write_all(fd, text, strlen(text)) : errno;
    if (close(fd) != 0 && errnum == 0)
        errnum = errno;
    return errnum;
}

static int
sync_folder_of(const char *path)
{
    char folder[DPC_PATH_MAX];
    dpc_path_folder(path, folder, sizeof folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int errnum = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return errnum;
}

/* A file that did not exist before, whole or not at all: it gets its name once it is on disk. */
static int
write_fresh(const char *path, mode_t mode, const char *text, struct dpc_error *err)
{
    char beside[DPC_PATH_MAX + 32];
    (void)snprintf(beside, sizeof beside, "%s.%ld.new", path, (long)getpid());
    int errnum = write_new(beside, mode, text);
    if (errnum == 0 && link(beside, path) != 0)
        errnum = errno;
    (void)unlink(beside);
    if (errnum == 0)
        errnum = sync_folder_of(path);
    if (errnum == EEXIST)
        return dpc_error_set(
            err, DPC_EEXIST,
            "could not write key \"%s\": there is one already; move it away first, "
            "or name another place",
            path);
    return errnum ? dpc_error_set_errno(err, errnum, "could not write key \"%s\"", path) : DPC_OK;
}

int
dpc_keypair_save(const char *path, const struct dpc_keypair *keypair, struct dpc_error *err)
{
    char public_path[DPC_PATH_MAX], public_text[DPC_KEY_TEXT_MAX], secret_text[DPC_KEY_TEXT_MAX];
    char public_lines[128], secret_lines[256];
    if ((size_t)snprintf(public_path, sizeof public_path, "%s.pub", path) >= sizeof public_path)
        return dpc_error_set(err, DPC_ELIMIT, "could not write key \"%s\": name too long", path);
    dpc_key_text(&keypair->public_key, public_text);
    dpc_key_text(&keypair->secret_key, secret_text);
    (void)snprintf(public_lines, sizeof public_lines, "%s%s\n", public_label, public_text);
    (void)snprintf(secret_lines, sizeof secret_lines, "%s%s%s\n", public_lines, secret_label,
                   secret_text);
    int code = write_fresh(path, 0600, secret_lines, err);
    if (code == DPC_OK) {
        code = write_fresh(public_path, 0644, public_lines, err);
        if (code != DPC_OK)
            (void)unlink(path);
    }
    explicit_bzero(secret_text, sizeof secret_text);
    explicit_bzero(secret_lines, sizeof secret_lines);
    return code;
}
