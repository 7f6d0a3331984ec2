/* SPDX-License-Identifier: Apache-2.0
 * A file's first bytes say how it is packed. zlib's own layer for files would end a text without a
 * word where a later member is damaged, so members are taken one by one here, as frames of
 * Zstandard are; both unpack from one buffer of packed bytes, so that memory is bounded whatever a
 * member or frame holds. The bytes that were looked at stay in it: a pipe gives them once. */
#include "data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/alloc.h"
#include "base/limits.h"

enum {
    INPUT_BYTES = 128 * 1024,
    LINE_BYTES = 128 * 1024,
    MAGIC_BYTES = 4,                /* the longest that is looked for */
    GZ_WINDOW_BITS = MAX_WBITS + 16 /* zlib's word for: with gzip's head and checksum, always */
};

enum packing { PLAIN, GZ, ZSTD };

struct dpc_source {
    char *path;
    int fd;
    enum packing packing;
    uint8_t *input; /* bytes of the file: what is not read yet begins at `input_at` */
    size_t input_at, input_len;
    z_stream gz;
    bool between; /* behind a member of GZ, and before the next if there is one */
    ZSTD_DCtx *zstd;
    size_t hint;    /* of ZSTD; 0: at the end of a frame */
    uint8_t *ahead; /* unpacked bytes that lines are cut from */
    size_t ahead_at, ahead_len;
};

static int
failed(const struct dpc_source *source, int code, const char *reason, struct dpc_error *err)
{
    return dpc_error_set(err, code, "could not read \"%s\": %s", source->path, reason);
}

/* --- Bytes as they are in the file. */

/* Behind those that are in the buffer; no more at the end of the file. */
static int
read_more(struct dpc_source *source, struct dpc_error *err)
{
    ssize_t got;
    do {
        got = read(source->fd, source->input + source->input_len, INPUT_BYTES - source->input_len);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return dpc_error_set_errno(err, errno, "could not read \"%s\"", source->path);
    source->input_len += (size_t)got;
    return DPC_OK;
}

/* Does nothing while bytes are left; then none are at the end of the file. */
static int
refill(struct dpc_source *source, struct dpc_error *err)
{
    if (source->input_at < source->input_len)
        return DPC_OK;
    source->input_at = 0;
    source->input_len = 0;
    return read_more(source, err);
}

/* A pipe may give them one by one. */
static int
read_magic(struct dpc_source *source, struct dpc_error *err)
{
    size_t before;
    do {
        before = source->input_len;
        int code = read_more(source, err);
        if (code != DPC_OK)
            return code;
    } while (source->input_len < MAGIC_BYTES && source->input_len > before);
    return DPC_OK;
}

/* --- Open and close. */

static bool
is_gz(const uint8_t *first, size_t len)
{
    return len >= 2 && first[0] == 0x1F && first[1] == 0x8B;
}

/* A frame, or one that decoders skip, whose last four bits are its writer's: pzstd of Debian begins
 * its files with such a one. */
static bool
is_zstd(const uint8_t *first, size_t len)
{
    if (len < MAGIC_BYTES)
        return false;
    uint32_t magic =
        first[0] | (uint32_t)first[1] << 8 | (uint32_t)first[2] << 16 | (uint32_t)first[3] << 24;
    return magic == ZSTD_MAGICNUMBER ||
           (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

static enum packing
packing_of(const uint8_t *first, size_t len)
{
    if (is_gz(first, len))
        return GZ;
    return is_zstd(first, len) ? ZSTD : PLAIN;
}

/* Text under such a name is far less likely than a file that something has damaged. Only plain
 * files are asked: what a pipe or a device is called says nothing about its bytes. */
static int
check_name(const struct dpc_source *source, bool regular, struct dpc_error *err)
{
    bool named_packed = source->path[dpc_source_plain_name(source->path)] != 0;
    if (source->packing != PLAIN || source->input_len == 0 || !regular || !named_packed)
        return DPC_OK;
    return failed(source, DPC_ECORRUPT,
                  "it is not packed as its name says; rename it if it is text, or get it again",
                  err);
}

static int
start_unpacker(struct dpc_source *source, struct dpc_error *err)
{
    int code = read_magic(source, err);
    if (code != DPC_OK)
        return code;
    switch (packing_of(source->input, source->input_len)) {
    case PLAIN:
        return DPC_OK;
    case GZ:
        if (inflateInit2(&source->gz, GZ_WINDOW_BITS) != Z_OK)
            break;
        source->packing = GZ;
        return DPC_OK;
    case ZSTD:
        source->zstd = ZSTD_createDCtx();
        if (!source->zstd)
            break;
        source->packing = ZSTD;
        return DPC_OK;
    }
    return failed(source, DPC_ENOMEM, "out of memory", err);
}

size_t
dpc_source_plain_name(const char *name)
{
    static const char *const packed[] = {".gz", ".zst"};
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        size_t end_len = strlen(packed[i]);
        if (len > end_len && strcmp(name + len - end_len, packed[i]) == 0)
            return len - end_len;
    }
    return len;
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
    *source =
        (struct dpc_source){.path = dpc_strdup(path), .fd = fd, .input = dpc_alloc(INPUT_BYTES, 1)};
    int code = start_unpacker(source, err);
    if (code == DPC_OK)
        code = check_name(source, S_ISREG(facts.st_mode), err);
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
    if (source->packing == GZ)
        (void)inflateEnd(&source->gz);
    close(source->fd);
    (void)ZSTD_freeDCtx(source->zstd);
    dpc_free(source->input);
    dpc_free(source->ahead);
    dpc_free(source->path);
    return dpc_free(source);
}

/* --- Unpacking. */

static int
read_plain(struct dpc_source *source, uint8_t *ret_bytes, size_t size, size_t *ret_len,
           struct dpc_error *err)
{
    int code = refill(source, err);
    if (code != DPC_OK)
        return code;
    size_t left = source->input_len - source->input_at, len = left < size ? left : size;
    memcpy(ret_bytes, source->input + source->input_at, len);
    source->input_at += len;
    *ret_len = len;
    return DPC_OK;
}

/* Whether another member begins here. Zeros are padding, for a tape or a block of a disk, as they
 * are to gzip behind the last member; anything else that is none may be a damaged one. */
static bool
begin_member(struct dpc_source *source)
{
    while (source->input_at < source->input_len && source->input[source->input_at] == 0)
        source->input_at++;
    if (source->input_at == source->input_len)
        return false;
    source->between = false;
    (void)inflateReset(&source->gz); /* fails on a stream that was never set up alone */
    return true;
}

static int
inflate_input(struct dpc_source *source, uint8_t *ret_bytes, size_t size, size_t *ret_len,
              struct dpc_error *err)
{
    z_stream *gz = &source->gz;
    uInt room = size < INPUT_BYTES ? (uInt)size : INPUT_BYTES; /* zlib counts in fewer bits */
    gz->next_in = source->input + source->input_at;
    gz->avail_in = (uInt)(source->input_len - source->input_at);
    gz->next_out = ret_bytes;
    gz->avail_out = room;
    int error = inflate(gz, Z_NO_FLUSH);
    source->input_at = source->input_len - gz->avail_in;
    source->between = error == Z_STREAM_END;
    *ret_len = room - gz->avail_out;
    if (error == Z_OK || error == Z_STREAM_END)
        return DPC_OK;
    if (error == Z_MEM_ERROR)
        return failed(source, DPC_ENOMEM, "out of memory", err);
    /* There is room, so only the end of the file leaves nothing to do. */
    return failed(source, DPC_ECORRUPT,
                  error == Z_BUF_ERROR ? "the packed file is cut off"
                                       : "the packed file is damaged or cut off",
                  err);
}

static int
read_gz(struct dpc_source *source, uint8_t *ret_bytes, size_t size, size_t *ret_len,
        struct dpc_error *err)
{
    size_t len = 0;
    while (len == 0) {
        /* The decoder may still hold unpacked bytes when the input is used up. */
        int code = refill(source, err);
        if (code != DPC_OK)
            return code;
        bool ended = source->input_len == 0;
        if (source->between && !begin_member(source)) {
            if (ended)
                break;
            continue;
        }
        code = inflate_input(source, ret_bytes, size, &len, err);
        if (code != DPC_OK)
            return code;
    }
    *ret_len = len;
    return DPC_OK;
}

static int
zstd_code(size_t result)
{
    switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_memory_allocation:
        return DPC_ENOMEM;
    case ZSTD_error_frameParameter_windowTooLarge: /* of zstd --long=28 and more */
        return DPC_ELIMIT;
    default:
        return DPC_ECORRUPT;
    }
}

static int
read_zstd(struct dpc_source *source, uint8_t *ret_bytes, size_t size, size_t *ret_len,
          struct dpc_error *err)
{
    ZSTD_outBuffer out = {.dst = ret_bytes, .size = size};
    while (out.pos == 0) {
        /* The decoder may still hold unpacked bytes when the input is used up. */
        int code = refill(source, err);
        if (code != DPC_OK)
            return code;
        bool ended = source->input_len == 0;
        if (ended && source->hint == 0)
            break;
        ZSTD_inBuffer in = {source->input, source->input_len, source->input_at};
        source->hint = ZSTD_decompressStream(source->zstd, &out, &in);
        source->input_at = in.pos;
        if (ZSTD_isError(source->hint))
            return failed(source, zstd_code(source->hint), ZSTD_getErrorName(source->hint), err);
        if (ended && out.pos == 0 && source->hint != 0)
            return failed(source, DPC_ECORRUPT, "the packed file is cut off", err);
    }
    *ret_len = out.pos;
    return DPC_OK;
}

/* --- Whole files and lines. */

static int
fill_ahead(struct dpc_source *source, struct dpc_error *err)
{
    static int (*const reads[])(struct dpc_source *, uint8_t *, size_t, size_t *,
                                struct dpc_error *) = {
        [PLAIN] = read_plain, [GZ] = read_gz, [ZSTD] = read_zstd};
    if (!source->ahead)
        source->ahead = dpc_alloc(LINE_BYTES, 1);
    source->ahead_at = 0;
    source->ahead_len = 0;
    return reads[source->packing](source, source->ahead, LINE_BYTES, &source->ahead_len, err);
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
