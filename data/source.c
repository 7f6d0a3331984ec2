/* SPDX-License-Identifier: Apache-2.0
 * zlib's gz layer also passes plain files through, members one behind the other included; Zstandard
 * frames are recognised by their magic and go through a stream decoder of our own. */
#include "data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/limits.h"

enum { INPUT_BYTES = 128 * 1024, LINE_BYTES = 128 * 1024 };

struct dpc_source {
    char *path;
    int fd;          /* of a Zstandard file, else -1 */
    gzFile gz;       /* of every other */
    ZSTD_DCtx *zstd; /* NULL: through zlib */
    uint8_t *input;
    ZSTD_inBuffer in;
    size_t hint;    /* 0: at the end of a frame */
    uint8_t *ahead; /* unpacked bytes that lines are cut from */
    size_t ahead_at, ahead_len;
};

static int
failed(const struct dpc_source *source, int code, const char *reason, struct dpc_error *err)
{
    return dpc_error_set(err, code, "could not read \"%s\": %s", source->path, reason);
}

static bool
is_zstd(int fd)
{
    static const uint8_t magic[4] = {0x28, 0xB5, 0x2F, 0xFD};
    uint8_t first[sizeof magic];
    return pread(fd, first, sizeof first, 0) == (ssize_t)sizeof first &&
           memcmp(first, magic, sizeof magic) == 0;
}

static int
start_unpacker(struct dpc_source *source, int fd, struct dpc_error *err)
{
    if (is_zstd(fd)) {
        source->fd = fd;
        source->zstd = ZSTD_createDCtx();
        source->input = dpc_alloc(INPUT_BYTES, 1);
        source->in.src = source->input;
        return source->zstd ? DPC_OK : failed(source, DPC_ENOMEM, "out of memory", err);
    }
    source->gz = gzdopen(fd, "rb");
    if (!source->gz) {
        close(fd);
        return failed(source, DPC_ENOMEM, "out of memory", err);
    }
    (void)gzbuffer(source->gz, INPUT_BYTES);
    return DPC_OK;
}

int
dpc_source_open(const char *path, struct dpc_source **ret_source, struct dpc_error *err)
{
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dpc_error_set_errno(err, errno, "could not read \"%s\"", path);
    if (fstat(fd, &facts) != 0 || S_ISDIR(facts.st_mode)) {
        close(fd);
        return dpc_error_set(err, DPC_EINVAL, "could not read \"%s\": it is a folder", path);
    }
    struct dpc_source *source = dpc_alloc(1, sizeof *source);
    *source = (struct dpc_source){.path = dpc_strdup(path), .fd = -1};
    int code = start_unpacker(source, fd, err);
    if (code != DPC_OK) {
        dpc_source_close(source);
        return code;
    }
    *ret_source = source;
    return DPC_OK;
}

struct dpc_source *
dpc_source_close(struct dpc_source *source)
{
    if (!source)
        return NULL;
    if (source->gz)
        (void)gzclose_r(source->gz);
    if (source->fd >= 0)
        close(source->fd);
    (void)ZSTD_freeDCtx(source->zstd);
    dpc_free(source->input);
    dpc_free(source->ahead);
    dpc_free(source->path);
    return dpc_free(source);
}

static int
read_gz(struct dpc_source *source, uint8_t *ret_bytes, size_t size, size_t *ret_len,
        struct dpc_error *err)
{
    int error = Z_OK;
    int got = gzread(source->gz, ret_bytes, (unsigned)(size < INPUT_BYTES ? size : INPUT_BYTES));
    const char *reason = gzerror(source->gz, &error);
    if (error == Z_ERRNO)
        return dpc_error_set_errno(err, errno, "could not read \"%s\"", source->path);
    /* A stream that is cut off gives its last bytes together with Z_BUF_ERROR. */
    if (got < 0 || error == Z_BUF_ERROR || error == Z_DATA_ERROR)
        return failed(source, DPC_ECORRUPT,
                      error == Z_BUF_ERROR ? "the packed file is cut off" : reason, err);
    *ret_len = (size_t)got;
    return DPC_OK;
}

/* More packed bytes; none at the end of the file. */
static int
refill_zstd(struct dpc_source *source, struct dpc_error *err)
{
    ssize_t got;
    do {
        got = read(source->fd, source->input, INPUT_BYTES);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return dpc_error_set_errno(err, errno, "could not read \"%s\"", source->path);
    source->in.size = (size_t)got;
    source->in.pos = 0;
    return DPC_OK;
}

static int
read_zstd(struct dpc_source *source, uint8_t *ret_bytes, size_t size, size_t *ret_len,
          struct dpc_error *err)
{
    ZSTD_outBuffer out = {.dst = ret_bytes, .size = size};
    while (out.pos == 0) {
        /* The decoder may still hold unpacked bytes when the input is used up. */
        if (source->in.pos == source->in.size) {
            int code = refill_zstd(source, err);
            if (code != DPC_OK)
                return code;
        }
        bool ended = source->in.size == 0;
        if (ended && source->hint == 0)
            break;
        source->hint = ZSTD_decompressStream(source->zstd, &out, &source->in);
        if (ZSTD_isError(source->hint))
            return failed(source, DPC_ECORRUPT, ZSTD_getErrorName(source->hint), err);
        if (ended && out.pos == 0 && source->hint != 0)
            return failed(source, DPC_ECORRUPT, "the packed file is cut off", err);
    }
    *ret_len = out.pos;
    return DPC_OK;
}

int
dpc_source_read(struct dpc_source *source, uint8_t *ret_bytes, size_t size, size_t *ret_len,
                struct dpc_error *err)
{
    return source->zstd ? read_zstd(source, ret_bytes, size, ret_len, err)
                        : read_gz(source, ret_bytes, size, ret_len, err);
}

static int
fill_ahead(struct dpc_source *source, struct dpc_error *err)
{
    if (!source->ahead)
        source->ahead = dpc_alloc(LINE_BYTES, 1);
    source->ahead_at = 0;
    source->ahead_len = 0;
    return dpc_source_read(source, source->ahead, LINE_BYTES, &source->ahead_len, err);
}

static int
too_large(const struct dpc_source *source, const char *what, size_t bytes_max,
          struct dpc_error *err)
{
    return dpc_error_set(err, DPC_ELIMIT,
                         "could not read \"%s\": %s has more than %zu MiB; cut it into several",
                         source->path, what, bytes_max / DPC_MIB);
}

int
dpc_source_read_all(struct dpc_source *source, size_t bytes_max, struct dpc_buf *out,
                    struct dpc_error *err)
{
    size_t start = out->len;
    for (;;) {
        int code = fill_ahead(source, err);
        if (code != DPC_OK)
            return code;
        if (source->ahead_len == 0)
            return DPC_OK;
        if (out->len - start + source->ahead_len > bytes_max)
            return too_large(source, "it", bytes_max, err);
        dpc_buf_put(out, source->ahead, source->ahead_len);
        if (out->failed)
            return failed(source, DPC_ENOMEM, "out of memory", err);
    }
}

int
dpc_source_read_line(struct dpc_source *source, size_t bytes_max, struct dpc_buf *line,
                     bool *ret_more, struct dpc_error *err)
{
    bool any = false;
    dpc_buf_reset(line);
    for (;;) {
        if (source->ahead_at == source->ahead_len) {
            int code = fill_ahead(source, err);
            if (code != DPC_OK)
                return code;
            if (source->ahead_len == 0)
                break;
        }
        any = true;
        const uint8_t *at = source->ahead + source->ahead_at;
        size_t left = source->ahead_len - source->ahead_at;
        const uint8_t *end = memchr(at, '\n', left);
        size_t len = end ? (size_t)(end - at) : left;
        if (line->len + len > bytes_max)
            return too_large(source, "a line", bytes_max, err);
        dpc_buf_put(line, at, len);
        source->ahead_at += len + (end != NULL);
        if (end)
            break;
    }
    *ret_more = any;
    return line->failed ? failed(source, DPC_ENOMEM, "out of memory", err) : DPC_OK;
}
