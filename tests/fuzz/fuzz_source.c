/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever stands in a file that is imported, plain or packed: its lines are those of the whole,
 * and a line of JSON that is read prints as one that gives the same.
 */
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/json.h"
#include "data/source.h"
#include "tests/fuzz/fuzz.h"

enum { BYTES_MAX = 1 << 18 };

static void
read_json(const struct dpc_buf *line)
{
    struct dpc_json *root, *again;
    struct dpc_error err;
    if (dpc_json_parse((const char *)line->data, line->len, &root, &err) != DPC_OK)
        return;
    fuzz_accepted++;
    char *first = dpc_json_print(root, false);
    fuzz_require(dpc_json_parse(first, strlen(first), &again, &err) == DPC_OK, first);
    char *second = dpc_json_print(again, false);
    fuzz_require(strcmp(first, second) == 0, "JSON that is printed says the same");
    dpc_json_destroy(again);
    dpc_free(second);
    dpc_free(first);
    if (dpc_json_parse_reals((const char *)line->data, line->len, &again, &err) == DPC_OK)
        dpc_json_destroy(again);
    if (dpc_json_parse_unique((const char *)line->data, line->len, &again, &err) == DPC_OK)
        dpc_json_destroy(again);
    dpc_json_destroy(root);
}

/* Lines and what they are when put together again; the code that ended them. */
static int
read_lines(const char *path, struct dpc_buf *out)
{
    struct dpc_source *source;
    struct dpc_error err;
    struct dpc_buf line;
    bool more = true;
    int code = dpc_source_open(path, &source, &err);
    if (code != DPC_OK)
        return code;
    dpc_buf_init(&line, 0);
    while (code == DPC_OK && more) {
        code = dpc_source_read_line(source, BYTES_MAX, &line, &more, &err);
        if (code != DPC_OK || !more)
            break;
        read_json(&line);
        dpc_buf_put(out, line.data, line.len);
        dpc_buf_put_u8(out, '\n');
    }
    dpc_buf_done(&line);
    dpc_source_close(source);
    return code;
}

static int
read_whole(const char *path, struct dpc_buf *out)
{
    struct dpc_source *source;
    struct dpc_error err;
    int code = dpc_source_open(path, &source, &err);
    if (code == DPC_OK) {
        code = dpc_source_read_all(source, BYTES_MAX, out, &err);
        dpc_source_close(source);
    }
    return code;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dpc_buf whole, lines;
    int fd = memfd_create("source", MFD_CLOEXEC);
    fuzz_require(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size), "a file");
    char *path = dpc_format("/proc/self/fd/%d", fd);
    dpc_buf_init(&whole, 0);
    dpc_buf_init(&lines, 0);
    int whole_code = read_whole(path, &whole), lines_code = read_lines(path, &lines);
    if (whole_code == DPC_OK) {
        fuzz_require(lines_code == DPC_OK, "a file that can be read has lines");
        fuzz_require(lines.len == whole.len || lines.len == whole.len + 1, "no byte is lost");
        fuzz_require(whole.len == 0 || memcmp(lines.data, whole.data, whole.len) == 0,
                     "lines are those of the whole");
    }
    dpc_buf_done(&lines);
    dpc_buf_done(&whole);
    dpc_free(path);
    close(fd);
    return 0;
}

#ifndef DPC_LIBFUZZER

static const char text[] =
    "{\"text\": \"a\\u00e9\\n\", \"n\": [1, -2.5e-3, 1e308, true, null, {}]}\n"
    "{\"text\": \"\\ud83d\\ude00\", \"text\": 9007199254740993}\n\n[[[0]]]";

/* Two members, as from concatenated files. */
static void
add_gz(struct fuzz *fuzz)
{
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    for (int member = 0; member < 2; member++) {
        uint8_t packed[1024];
        z_stream stream = {.next_in = (uint8_t *)(uintptr_t)text,
                           .avail_in = sizeof text - 1,
                           .next_out = packed,
                           .avail_out = sizeof packed};
        fuzz_require(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) ==
                             Z_OK &&
                         deflate(&stream, Z_FINISH) == Z_STREAM_END,
                     "a text is packed");
        dpc_buf_put(&out, packed, sizeof packed - stream.avail_out);
        (void)deflateEnd(&stream);
    }
    fuzz_valid(fuzz, out.data, out.len, 0);
    dpc_buf_done(&out);
}

static void
add_zst(struct fuzz *fuzz)
{
    uint8_t packed[1024];
    size_t len = ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 3);
    fuzz_require(!ZSTD_isError(len), "a text is packed");
    fuzz_valid(fuzz, packed, len, 0);
}

static void
add_inputs(struct fuzz *fuzz)
{
    fuzz_valid(fuzz, text, sizeof text - 1, 0);
    add_gz(fuzz);
    add_zst(fuzz);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 10000, add_inputs);
}

#endif
