/* SPDX-License-Identifier: Apache-2.0 */
#include "data/source.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/data/temp.h"

static void
check_reads(struct temp *temp, const char *name, const char *want)
{
    struct dpc_source *source;
    struct dpc_error err = {0};
    struct dpc_buf all;
    CU_ASSERT_EQUAL_FATAL(dpc_source_open(temp_path(temp, name), &source, &err), DPC_OK);
    dpc_buf_init(&all, 0);
    CU_ASSERT_EQUAL(dpc_source_read_all(source, 16 * DPC_MIB, &all, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&all), want);
    CU_ASSERT_EQUAL(all.len, strlen(want));
    dpc_buf_done(&all);
    dpc_source_close(source);
}

/* 2 MB that do not pack away, so that several buffers are read. */
static char *
long_text(void)
{
    enum { LEN = 2000000 };
    char *text = dpc_alloc(LEN + 1, 1);
    uint32_t state = 1;
    for (size_t i = 0; i < LEN; i++) {
        state = state * 1664525u + 1013904223u;
        text[i] = (char)(' ' + (state >> 24) % 90);
    }
    return text;
}

static void
plain_gz_and_zst_read_alike(void)
{
    struct temp temp;
    char *text = long_text();
    const char *const rows[] = {"", "short", text};
    temp_make(&temp);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        temp_write_text(&temp, "plain", rows[i]);
        temp_write_gz(&temp, "gz", rows[i]);
        temp_write_zst(&temp, "zst", rows[i]);
        check_reads(&temp, "plain", rows[i]);
        check_reads(&temp, "gz", rows[i]);
        check_reads(&temp, "zst", rows[i]);
    }
    dpc_free(text);
    temp_remove(&temp);
}

/* What `cat a.gz b.gz` makes. */
static void
several_members_are_one_text(void)
{
    static const char *const kinds[] = {"gz", "zst"};
    struct temp temp;
    temp_make(&temp);
    temp_write_gz(&temp, "gz", "one, ");
    temp_write_zst(&temp, "zst", "one, ");
    for (size_t i = 0; i < 2; i++) {
        uint8_t *bytes, twice[256];
        size_t len;
        CU_ASSERT_EQUAL_FATAL(
            dpc_vfs_read_file(&dpc_vfs_posix, temp_path(&temp, kinds[i]), 128, &bytes, &len, NULL),
            DPC_OK);
        memcpy(twice, bytes, len);
        memcpy(twice + len, bytes, len);
        dpc_free(bytes);
        temp_write(&temp, kinds[i], twice, 2 * len);
        check_reads(&temp, kinds[i], "one, one, ");
    }
    temp_remove(&temp);
}

static int
read_whole(const char *path, size_t bytes_max, struct dpc_error *err)
{
    struct dpc_source *source;
    struct dpc_buf all;
    int code = dpc_source_open(path, &source, err);
    if (code != DPC_OK)
        return code;
    dpc_buf_init(&all, 0);
    code = dpc_source_read_all(source, bytes_max, &all, err);
    dpc_buf_done(&all);
    dpc_source_close(source);
    return code;
}

static void
a_packed_file_that_is_cut_off_is_damaged(void)
{
    static const char *const kinds[] = {"gz", "zst"};
    struct temp temp;
    struct dpc_error err;
    char *text = long_text();
    temp_make(&temp);
    temp_write_gz(&temp, "gz", text);
    temp_write_zst(&temp, "zst", text);
    for (size_t i = 0; i < 2; i++) {
        uint8_t *bytes;
        size_t len;
        CU_ASSERT_EQUAL_FATAL(dpc_vfs_read_file(&dpc_vfs_posix, temp_path(&temp, kinds[i]),
                                                4 * DPC_MIB, &bytes, &len, NULL),
                              DPC_OK);
        const size_t cuts[] = {len - 1, len / 2, 12};
        for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
            temp_write(&temp, "cut", bytes, cuts[k]);
            CU_ASSERT_EQUAL(read_whole(temp_path(&temp, "cut"), 16 * DPC_MIB, &err), DPC_ECORRUPT);
            CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/cut\": "));
        }
        bytes[len / 2] ^= 0x10;
        temp_write(&temp, "flipped", bytes, len);
        int code = read_whole(temp_path(&temp, "flipped"), 16 * DPC_MIB, &err);
        /* ZSTD_compress writes no checksum: a flip may pass as other text, never as a crash. */
        CU_ASSERT(code == DPC_ECORRUPT || (i == 1 && code == DPC_OK));
        dpc_free(bytes);
    }
    dpc_free(text);
    temp_remove(&temp);
}

/* --- Members of .gz. */

/* The file's bytes as they are, behind those in `ret_bytes`. */
static void
read_packed(struct temp *temp, const char *name, struct dpc_buf *ret_bytes)
{
    uint8_t *bytes;
    size_t len;
    CU_ASSERT_EQUAL_FATAL(
        dpc_vfs_read_file(&dpc_vfs_posix, temp_path(temp, name), 4 * DPC_MIB, &bytes, &len, NULL),
        DPC_OK);
    dpc_buf_put(ret_bytes, bytes, len);
    dpc_free(bytes);
}

/* "all": a member of each text, `zeros` of padding behind each. `*ret_second` is where the second
 * begins. */
static void
write_members(struct temp *temp, const char *first, const char *second, size_t zeros,
              struct dpc_buf *ret_bytes, size_t *ret_second)
{
    const char *const texts[] = {first, second};
    uint8_t *padding = dpc_alloc(zeros + 1, 1);
    memset(padding, 0, zeros + 1);
    for (size_t i = 0; i < 2; i++) {
        *ret_second = ret_bytes->len;
        temp_write_gz(temp, "member", texts[i]);
        read_packed(temp, "member", ret_bytes);
        dpc_buf_put(ret_bytes, padding, zeros);
    }
    dpc_free(padding);
    temp_write(temp, "all", ret_bytes->data, ret_bytes->len);
}

static void
zeros_between_and_behind_members_are_padding(void)
{
    static const size_t zeros[] = {0, 1, 512, 128 * 1024, 300 * 1024};
    struct temp temp;
    char *text = long_text();
    temp_make(&temp);
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++) {
        struct dpc_buf bytes;
        size_t second;
        dpc_buf_init(&bytes, 0);
        write_members(&temp, "", text, zeros[i], &bytes, &second);
        check_reads(&temp, "all", text);
        dpc_buf_reset(&bytes);
        write_members(&temp, text, "", zeros[i], &bytes, &second);
        check_reads(&temp, "all", text);
        dpc_buf_reset(&bytes);
        write_members(&temp, "one, ", "two", zeros[i], &bytes, &second);
        check_reads(&temp, "all", "one, two");
        dpc_buf_done(&bytes);
    }
    dpc_free(text);
    temp_remove(&temp);
}

/* zlib's own layer for files ends the text before such a member, and says nothing. */
static void
a_later_member_that_is_damaged_is_told(void)
{
    struct temp temp;
    struct dpc_error err;
    struct dpc_buf bytes;
    size_t second;
    temp_make(&temp);
    dpc_buf_init(&bytes, 0);
    write_members(&temp, "one, ", "two", 3, &bytes, &second);
    for (size_t cut = second + 1; cut < bytes.len - 3; cut++) {
        temp_write(&temp, "cut", bytes.data, cut);
        CU_ASSERT_EQUAL(read_whole(temp_path(&temp, "cut"), DPC_MIB, &err), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "cut off"));
    }
    for (size_t at = second; at < second + 3; at++) {
        bytes.data[at] ^= 0x40;
        temp_write(&temp, "head", bytes.data, bytes.len);
        CU_ASSERT_EQUAL(read_whole(temp_path(&temp, "head"), DPC_MIB, &err), DPC_ECORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/head\": the packed file is damaged or cut off"));
        bytes.data[at] ^= 0x40;
    }
    dpc_buf_put(&bytes, "x", 1);
    temp_write(&temp, "behind", bytes.data, bytes.len);
    CU_ASSERT_EQUAL(read_whole(temp_path(&temp, "behind"), DPC_MIB, &err), DPC_ECORRUPT);
    dpc_buf_done(&bytes);
    temp_remove(&temp);
}

/* Its first bytes, which tell how it is packed, come once. */
static void
a_pipe_is_unpacked_as_a_file_is(void)
{
    static const char *const kinds[] = {"plain", "gz", "zst"};
    struct temp temp;
    temp_make(&temp);
    temp_write_text(&temp, "plain", "of a pipe");
    temp_write_gz(&temp, "gz", "of a pipe");
    temp_write_zst(&temp, "zst", "of a pipe");
    CU_ASSERT_EQUAL_FATAL(mkfifo(temp_path(&temp, "pipe"), 0600), 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct dpc_source *source;
        struct dpc_buf bytes, all;
        dpc_buf_init(&bytes, 0);
        dpc_buf_init(&all, 0);
        read_packed(&temp, kinds[i], &bytes);
        /* Linux opens a pipe for both without waiting for the other end. */
        int fd = open(temp_path(&temp, "pipe"), O_RDWR | O_CLOEXEC);
        CU_ASSERT_FATAL(fd >= 0);
        CU_ASSERT_EQUAL(write(fd, bytes.data, bytes.len), (ssize_t)bytes.len);
        CU_ASSERT_EQUAL_FATAL(dpc_source_open(temp.path, &source, NULL), DPC_OK);
        close(fd);
        CU_ASSERT_EQUAL(dpc_source_read_all(source, 100, &all, NULL), DPC_OK);
        CU_ASSERT_STRING_EQUAL(dpc_buf_text(&all), "of a pipe");
        dpc_source_close(source);
        dpc_buf_done(&all);
        dpc_buf_done(&bytes);
    }
    temp_remove(&temp);
}

/* Debian's pzstd begins every file with a frame that decoders skip; it may also stand behind. */
static void
a_file_that_begins_with_a_frame_to_skip_is_unpacked(void)
{
    struct temp temp;
    struct dpc_error err;
    temp_make(&temp);
    temp_write_zst(&temp, "zst", "behind it");
    for (uint8_t last = 0x50; last <= 0x5F; last++) {
        const uint8_t skipped[] = {last, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 9, 0, 0, 0};
        struct dpc_buf bytes;
        dpc_buf_init(&bytes, 0);
        dpc_buf_put(&bytes, skipped, sizeof skipped);
        read_packed(&temp, "zst", &bytes);
        dpc_buf_put(&bytes, skipped, sizeof skipped);
        temp_write(&temp, "all.zst", bytes.data, bytes.len);
        check_reads(&temp, "all.zst", "behind it");
        temp_write(&temp, "cut.zst", bytes.data, bytes.len - 1);
        CU_ASSERT_EQUAL(read_whole(temp_path(&temp, "cut.zst"), 100, &err), DPC_ECORRUPT);
        temp_write(&temp, "alone.zst", skipped, sizeof skipped);
        check_reads(&temp, "alone.zst", "");
        dpc_buf_done(&bytes);
    }
    temp_write_text(&temp, "text", "\x60*M\x18 is none");
    check_reads(&temp, "text", "\x60*M\x18 is none");
    temp_remove(&temp);
}

static void
what_is_named_packed_is_packed(void)
{
    static const char *const names[] = {"x.gz", "x.zst", "x.jsonl.gz"};
    static const char *const texts[] = {"x", "BZh9", "a text, not packed"};
    struct temp temp;
    struct dpc_error err;
    temp_make(&temp);
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 3; k++) {
            temp_write_text(&temp, names[i], texts[k]);
            CU_ASSERT_EQUAL(read_whole(temp_path(&temp, names[i]), 100, &err), DPC_ECORRUPT);
            CU_ASSERT_PTR_NOT_NULL(strstr(err.text, names[i]));
            CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is not packed as its name says"));
        }
        temp_write_text(&temp, names[i], "");
        check_reads(&temp, names[i], "");
    }
    temp_write_gz(&temp, "x.zst", "the other way"); /* the bytes say which */
    check_reads(&temp, "x.zst", "the other way");
    temp_write_text(&temp, "x.gz.txt", "no end of a name");
    check_reads(&temp, "x.gz.txt", "no end of a name");
    temp_remove(&temp);
}

static void
a_bomb_stops_at_the_limit(void)
{
    struct temp temp;
    struct dpc_error err;
    size_t len = 3 * DPC_MIB;
    char *text = dpc_alloc(len + 1, 1);
    memset(text, 'a', len);
    temp_make(&temp);
    temp_write_gz(&temp, "gz", text);
    temp_write_zst(&temp, "zst", text);
    CU_ASSERT_EQUAL(read_whole(temp_path(&temp, "gz"), 2 * DPC_MIB, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "more than 2 MiB"));
    CU_ASSERT_EQUAL(read_whole(temp_path(&temp, "zst"), 2 * DPC_MIB, &err), DPC_ELIMIT);
    CU_ASSERT_EQUAL(read_whole(temp_path(&temp, "zst"), len, &err), DPC_OK);
    dpc_free(text);
    temp_remove(&temp);
}

static void
lines_come_one_by_one(void)
{
    static const char *const want[] = {"first", "", "third\r", "last without end"};
    struct temp temp;
    struct dpc_source *source;
    struct dpc_buf line;
    bool more;
    temp_make(&temp);
    temp_write_zst(&temp, "z", "first\n\nthird\r\nlast without end");
    CU_ASSERT_EQUAL_FATAL(dpc_source_open(temp_path(&temp, "z"), &source, NULL), DPC_OK);
    dpc_buf_init(&line, 0);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        CU_ASSERT_EQUAL(dpc_source_read_line(source, 100, &line, &more, NULL), DPC_OK);
        CU_ASSERT_TRUE(more);
        CU_ASSERT_STRING_EQUAL(dpc_buf_text(&line), want[i]);
    }
    CU_ASSERT_EQUAL(dpc_source_read_line(source, 100, &line, &more, NULL), DPC_OK);
    CU_ASSERT_FALSE(more);
    dpc_source_close(source);
    CU_ASSERT_EQUAL_FATAL(dpc_source_open(temp_path(&temp, "z"), &source, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_source_read_line(source, 4, &line, &more, NULL), DPC_ELIMIT);
    dpc_source_close(source);
    dpc_buf_done(&line);
    temp_remove(&temp);
}

static void
what_cannot_be_opened_is_named(void)
{
    struct temp temp;
    struct dpc_source *source;
    struct dpc_error err;
    temp_make(&temp);
    CU_ASSERT_EQUAL(dpc_source_open(temp_path(&temp, "none"), &source, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/none\""));
    CU_ASSERT_EQUAL(dpc_source_open(temp.folder, &source, &err), DPC_EINVAL);
    temp_remove(&temp);
}

static const struct dpc_test tests[] = {
    {"plain, gz and zst read alike", plain_gz_and_zst_read_alike},
    {"several members are one text", several_members_are_one_text},
    {"a packed file that is cut off is damaged", a_packed_file_that_is_cut_off_is_damaged},
    {"zeros between and behind members are padding", zeros_between_and_behind_members_are_padding},
    {"a later member that is damaged is told", a_later_member_that_is_damaged_is_told},
    {"a pipe is unpacked as a file is", a_pipe_is_unpacked_as_a_file_is},
    {"a file that begins with a frame to skip is unpacked",
     a_file_that_begins_with_a_frame_to_skip_is_unpacked},
    {"what is named packed is packed", what_is_named_packed_is_packed},
    {"a bomb stops at the limit", a_bomb_stops_at_the_limit},
    {"lines come one by one", lines_come_one_by_one},
    {"what cannot be opened is named", what_cannot_be_opened_is_named},
};
DPC_TEST_MAIN("data/source", tests)
