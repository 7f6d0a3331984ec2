/* SPDX-License-Identifier: Apache-2.0 */
#include "data/source.h"

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
    {"a bomb stops at the limit", a_bomb_stops_at_the_limit},
    {"lines come one by one", lines_come_one_by_one},
    {"what cannot be opened is named", what_cannot_be_opened_is_named},
};
DPC_TEST_MAIN("data/source", tests)
