/* SPDX-License-Identifier: Apache-2.0 */
#include "data/import.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/hash.h"
#include "data/metadata.h"
#include "data/tokens.h"
#include "tests/unit/data/temp.h"

/* Imports the folder's "in" into its "out". */
static int
import_kind(struct temp *temp, enum dpc_import_kind kind, struct dpc_import_stats *ret_stats,
            struct dpc_error *err)
{
    char in[DPC_PATH_MAX], out[DPC_PATH_MAX];
    const char *const sources[] = {in};
    struct dpc_import_options options = {
        .sources = sources, .sources_count = 1, .out = out, .kind = kind};
    (void)snprintf(in, sizeof in, "%s", temp_path(temp, "in"));
    (void)snprintf(out, sizeof out, "%s", temp_path(temp, "out"));
    return dpc_import(&options, ret_stats, err);
}

static struct dpc_import_stats
import_all(struct temp *temp)
{
    struct dpc_import_stats stats = {0};
    struct dpc_error err = {0};
    if (import_kind(temp, DPC_IMPORT_AUTO, &stats, &err) != DPC_OK)
        CU_FAIL(err.text);
    return stats;
}

/* Document `doc` of the "out" corpus is this text. */
static void
check_document(struct temp *temp, uint32_t doc, const char *want)
{
    struct dpc_tokens *tokens;
    int32_t copy[512];
    char text[512];
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open(temp_path(temp, "out"), &tokens, NULL), DPC_OK);
    CU_ASSERT_FATAL(doc < dpc_tokens_documents(tokens));
    uint32_t count = dpc_tokens_copy(tokens, doc, 0, 511, copy);
    for (uint32_t i = 0; i < count; i++)
        text[i] = (char)copy[i];
    text[count] = 0;
    CU_ASSERT_STRING_EQUAL(text, want);
    dpc_tokens_close(tokens);
}

static void
a_folder_of_texts(void)
{
    struct temp temp;
    temp_make(&temp);
    temp_write_text(&temp, "in/b.txt", "second");
    temp_write_text(&temp, "in/a/z.md", "first");
    temp_write_gz(&temp, "in/c.gz", "third, packed");
    temp_write_zst(&temp, "in/d.txt.zst", "fourth, packed");
    temp_write_text(&temp, "in/e", "caf\xE9");
    temp_write_text(&temp, "in/f", "second"); /* a duplicate */
    temp_write_text(&temp, "in/.hidden", "not seen");
    temp_write_text(&temp, "in/.git/config", "not seen");
    temp_write(&temp, "in/g.bin",
               "\x7F"
               "ELF\0\1",
               6);                      /* binary */
    temp_write_text(&temp, "in/h", ""); /* empty */
    CU_ASSERT_EQUAL(symlink("b.txt", temp_path(&temp, "in/i")), 0);
    struct dpc_import_stats stats = import_all(&temp);
    CU_ASSERT_EQUAL(stats.documents, 5);
    CU_ASSERT_EQUAL(stats.texts, 5);
    CU_ASSERT_EQUAL(stats.files, 8);
    CU_ASSERT_EQUAL(stats.files_total, 8);
    CU_ASSERT_EQUAL(stats.bytes, 5 + 6 + 13 + 14 + 4);
    CU_ASSERT_EQUAL(stats.tokens, stats.bytes);
    CU_ASSERT_EQUAL(stats.duplicates, 1);
    CU_ASSERT_EQUAL(stats.binary, 1);
    CU_ASSERT_EQUAL(stats.empty, 1);
    CU_ASSERT_EQUAL(stats.links, 1);
    CU_ASSERT_EQUAL(stats.invalid_utf8, 1);
    check_document(&temp, 0, "first"); /* sorted by path */
    check_document(&temp, 1, "second");
    check_document(&temp, 2, "third, packed");
    check_document(&temp, 3, "fourth, packed");
    check_document(&temp, 4, "caf\xE9");
    temp_remove(&temp);
}

static void
json_lines(void)
{
    static const char lines[] = "{\"text\": \"one \\u20ac\", \"id\": 1}\n"
                                "\n"
                                "{\"id\": 2}\n"
                                "{\"text\": 3}\n"
                                "{\"text\": \"\"}\n"
                                "{\"text\": \"zero \\u0000 inside\"}\n"
                                "{\"meta\": {\"text\": \"no\"}, \"text\": \"two\\n\"}\r\n"
                                "{\"text\": \"one \\u20ac\"}";
    static const char *const names[] = {"in/x.jsonl", "in/x.jsonl.gz", "in/x.ndjson.zst"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct temp temp;
        temp_make(&temp);
        temp_write_text(&temp, "in/.keep", "");
        if (i == 0)
            temp_write_text(&temp, names[i], lines);
        else if (i == 1)
            temp_write_gz(&temp, names[i], lines);
        else
            temp_write_zst(&temp, names[i], lines);
        struct dpc_import_stats stats = import_all(&temp);
        CU_ASSERT_EQUAL(stats.documents, 2);
        CU_ASSERT_EQUAL(stats.json_lines, 2);
        CU_ASSERT_EQUAL(stats.without_text, 2);
        CU_ASSERT_EQUAL(stats.empty, 1);
        CU_ASSERT_EQUAL(stats.binary, 1);
        CU_ASSERT_EQUAL(stats.duplicates, 1);
        check_document(&temp, 0, "one €");
        check_document(&temp, 1, "two\n");
        temp_remove(&temp);
    }
}

/* Each row among good lines: what other programs write, and what damage leaves. */
static void
an_odd_line_costs_that_line_alone(void)
{
    static const struct {
        const char *line;
        uint64_t documents, no_json;
    } rows[] = {
        {"{\"id\": 18446744073709551615, \"text\": \"kept\"}", 3, 0},
        {"{\"id\": -123456789012345678901234567890, \"text\": \"kept\"}", 3, 0},
        {"{\"score\": NaN, \"text\": \"lost\"}", 2, 1},
        {"{\"score\": -Infinity, \"text\": \"lost\"}", 2, 1},
        {"{\"score\": 1e999, \"text\": \"lost\"}", 2, 1},
        {"{\"text\": \"half \\ud83d\"}", 2, 1},
        {"{\"text\": \"caf\xE9\"}", 2, 1},
        {"\xEF\xBB\xBF{\"text\": \"a mark, but no first line\"}", 2, 1},
        {"{\"text\": \"cut", 2, 1},
        {"{\"text\": \"kept\"}", 3, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct temp temp;
        struct dpc_buf lines;
        temp_make(&temp);
        dpc_buf_init(&lines, 0);
        dpc_buf_printf(&lines, "{\"text\": \"before\"}\n%s\n{\"text\": \"behind\"}\n",
                       rows[i].line);
        temp_write_text(&temp, "in/x.jsonl", dpc_buf_text(&lines));
        struct dpc_import_stats stats = import_all(&temp);
        CU_ASSERT_EQUAL(stats.documents, rows[i].documents);
        CU_ASSERT_EQUAL(stats.no_json, rows[i].no_json);
        check_document(&temp, 0, "before");
        check_document(&temp, (uint32_t)stats.documents - 1, "behind");
        dpc_buf_done(&lines);
        temp_remove(&temp);
    }
}

static void
the_first_line_that_is_no_json_is_named(void)
{
    struct temp temp;
    temp_make(&temp);
    temp_write_text(&temp, "in/a.jsonl", "{\"text\": \"good\"}\n");
    temp_write_text(&temp, "in/b.jsonl", "{\n{\"text\": \"as good\"}\n\n}\n");
    temp_write_text(&temp, "in/c.jsonl", "{}\n}\n");
    struct dpc_import_stats stats = import_all(&temp);
    CU_ASSERT_EQUAL(stats.documents, 2);
    CU_ASSERT_EQUAL(stats.without_text, 1);
    CU_ASSERT_EQUAL(stats.no_json, 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(stats.no_json_first.text, "/in/b.jsonl\", line 1: "));
    temp_remove(&temp);
}

/* Left out line by line it would import as nothing. */
static void
a_file_that_is_no_json_lines_is_an_error(void)
{
    static const char *const texts[] = {
        "not JSON at all\n", "{\n  \"text\": \"on several lines\",\n  \"id\": 1\n}\n",
        "id\n7\n8\n", /* of a table: numbers alone are JSON, too */
    };
    struct temp temp;
    struct dpc_import_stats stats;
    struct dpc_error err;
    temp_make(&temp);
    temp_write_text(&temp, "in/a.jsonl", "{\"text\": \"good\"}\n");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        temp_write_text(&temp, "in/x.jsonl", texts[i]);
        CU_ASSERT_EQUAL(import_kind(&temp, DPC_IMPORT_AUTO, &stats, &err), DPC_EPARSE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "could not import \""));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "x.jsonl\", line 1: "));
        CU_ASSERT_FALSE(dpc_vfs_exists(&dpc_vfs_posix, temp_path(&temp, "out/" DPC_TOKENS_FILE)));
        CU_ASSERT_FALSE(
            dpc_vfs_exists(&dpc_vfs_posix, temp_path(&temp, "out/" DPC_TOKENS_FILE ".new")));
    }
    temp_remove(&temp);
}

static void
a_byte_order_mark_begins_no_line(void)
{
    struct temp temp;
    temp_make(&temp);
    temp_write_text(&temp, "in/a.jsonl", "\xEF\xBB\xBF{\"text\": \"first\"}\n{\"text\": \"b\"}");
    temp_write_text(&temp, "in/b.jsonl", "\xEF\xBB\xBF\n{\"text\": \"third\"}\n");
    temp_write_text(&temp, "in/c.jsonl", "\xEF\xBB\xBF");
    struct dpc_import_stats stats = import_all(&temp);
    CU_ASSERT_EQUAL(stats.documents, 3);
    CU_ASSERT_EQUAL(stats.no_json, 0);
    check_document(&temp, 0, "first");
    check_document(&temp, 2, "third");
    temp_remove(&temp);
}

static void
a_byte_order_mark_begins_no_text(void)
{
    struct temp temp;
    temp_make(&temp);
    temp_write_text(&temp, "in/a.1", "\xEF\xBB\xBF.TH A 1\n.SH NAME\na \\- does\n");
    temp_write_text(&temp, "in/b.txt", "\xEF\xBB\xBFtext");
    temp_write_text(&temp, "in/c.txt", "text"); /* the same, then */
    temp_write_text(&temp, "in/d.txt", "\xEF\xBB\xBF");
    struct dpc_import_stats stats = import_all(&temp);
    CU_ASSERT_EQUAL(stats.documents, 2);
    CU_ASSERT_EQUAL(stats.manpages, 1);
    CU_ASSERT_EQUAL(stats.duplicates, 1);
    CU_ASSERT_EQUAL(stats.empty, 1);
    check_document(&temp, 0, "NAME\na - does\n");
    check_document(&temp, 1, "text");
    temp_remove(&temp);
}

static void
manual_pages(void)
{
    struct temp temp;
    temp_make(&temp);
    temp_write_text(&temp, "in/man1/.keep", "");
    temp_write_gz(&temp, "in/man1/a.1.gz", ".\\\" head\n.TH A 1\n.SH NAME\na \\- does\n");
    temp_write_text(&temp, "in/man1/b.3type", ".TH B 3\n.SH NAME\nb \\- does\n");
    temp_write_text(&temp, "in/man1/c.1", ".so man1/a.1\n");
    temp_write_text(&temp, "in/man1/d.1", ".TH D 1\n.\\\" nothing\n");
    temp_write_text(&temp, "in/man1/notes.1", "Version 1 of my notes.\n"); /* no page */
    CU_ASSERT_EQUAL(symlink("a.1.gz", temp_path(&temp, "in/man1/e.1.gz")), 0);
    struct dpc_import_stats stats = import_all(&temp);
    CU_ASSERT_EQUAL(stats.documents, 3);
    CU_ASSERT_EQUAL(stats.manpages, 2);
    CU_ASSERT_EQUAL(stats.texts, 1);
    CU_ASSERT_EQUAL(stats.redirects, 1);
    CU_ASSERT_EQUAL(stats.links, 1);
    CU_ASSERT_EQUAL(stats.empty, 1);
    check_document(&temp, 0, "NAME\na - does\n");
    check_document(&temp, 1, "NAME\nb - does\n");
    check_document(&temp, 2, "Version 1 of my notes.\n");
    temp_remove(&temp);
}

static void
a_kind_can_be_forced(void)
{
    struct temp temp;
    struct dpc_import_stats stats;
    temp_make(&temp);
    temp_write_text(&temp, "in/page.1", ".TH A 1\n.SH NAME\nx\n");
    temp_write_text(&temp, "in/rows.txt", ".TH {\n");
    CU_ASSERT_EQUAL(import_kind(&temp, DPC_IMPORT_TEXT, &stats, NULL), DPC_OK);
    CU_ASSERT_EQUAL(stats.texts, 2);
    check_document(&temp, 0, ".TH A 1\n.SH NAME\nx\n");
    CU_ASSERT_EQUAL(import_kind(&temp, DPC_IMPORT_JSON_LINES, &stats, NULL), DPC_EPARSE);
    check_document(&temp, 0, ".TH A 1\n.SH NAME\nx\n"); /* the old one stays */
    CU_ASSERT_EQUAL(import_kind(&temp, DPC_IMPORT_MANPAGE, &stats, NULL), DPC_OK);
    CU_ASSERT_EQUAL(stats.manpages, 1);
    check_document(&temp, 0, "NAME\nx\n");
    temp_remove(&temp);
}

static void
nothing_to_import_is_an_error(void)
{
    struct temp temp;
    struct dpc_import_stats stats;
    struct dpc_error err;
    temp_make(&temp);
    CU_ASSERT_EQUAL(import_kind(&temp, DPC_IMPORT_AUTO, &stats, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/in\""));
    temp_write(&temp, "in/binary", "\0\0", 2);
    CU_ASSERT_EQUAL(import_kind(&temp, DPC_IMPORT_AUTO, &stats, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "1 binary"));
    CU_ASSERT_FALSE(dpc_vfs_exists(&dpc_vfs_posix, temp_path(&temp, "out")));
    temp_write(&temp, "out/mine", "text", 4);
    CU_ASSERT_EQUAL(import_kind(&temp, DPC_IMPORT_AUTO, &stats, &err), DPC_EINVAL);
    CU_ASSERT(dpc_vfs_exists(&dpc_vfs_posix, temp_path(&temp, "out/mine")));
    temp_remove(&temp);
}

/* Files written in another order, from another folder, give the same bytes. */
static void
the_same_files_give_the_same_corpus(void)
{
    struct dpc_hash hashes[2];
    for (int i = 0; i < 2; i++) {
        struct temp temp;
        struct dpc_tokens *tokens;
        temp_make(&temp);
        temp_write_text(&temp, i ? "in/a" : "in/b/c", i ? "one" : "two");
        temp_write_text(&temp, i ? "in/b/c" : "in/a", i ? "two" : "one");
        import_all(&temp);
        CU_ASSERT_EQUAL_FATAL(dpc_tokens_open(temp_path(&temp, "out"), &tokens, NULL), DPC_OK);
        dpc_tokens_hash(tokens, &hashes[i]);
        dpc_tokens_close(tokens);
        temp_remove(&temp);
    }
    CU_ASSERT_TRUE(dpc_hash_equal(&hashes[0], &hashes[1]));
}

static void
a_corpus_below_its_source_is_no_text(void)
{
    struct temp temp;
    char in[DPC_PATH_MAX], out[DPC_PATH_MAX];
    const char *const sources[] = {in};
    struct dpc_import_options options = {.sources = sources, .sources_count = 1, .out = out};
    temp_make(&temp);
    temp_write_text(&temp, "in/a", "one");
    (void)snprintf(in, sizeof in, "%s", temp_path(&temp, "in"));
    for (int i = 0; i < 2; i++) { /* the second finds what the first wrote */
        struct dpc_import_stats stats = {0};
        (void)snprintf(out, sizeof out, "%s", temp_path(&temp, "in/corpus"));
        CU_ASSERT_EQUAL(dpc_import(&options, &stats, NULL), DPC_OK);
        CU_ASSERT_EQUAL(stats.files_total, 1);
        CU_ASSERT_EQUAL(stats.documents, 1);
    }
    temp_remove(&temp);
}

/* Its owner's metadata, and whatever a crash leaves, in the folder that is source and corpus. */
static void
what_lies_beside_a_corpus_shifts_no_ids(void)
{
    static const char *const names[] = {
        "in/" DPC_TOKENS_FILE ".new",
        "in/" DPC_IMPORT_NAMES_FILE ".new",
        "in/" DPC_TOKENIZER_FILE,
        "in/" DPC_TOKENIZER_FILE ".new",
        "in/" DPC_TOKENIZER_FILE ".new.new",
        "in/" DPC_METADATA_FILE,
    };
    struct temp temp;
    char in[DPC_PATH_MAX];
    const char *const sources[] = {in};
    struct dpc_import_options options = {.sources = sources, .sources_count = 1, .out = in};
    temp_make(&temp);
    (void)snprintf(in, sizeof in, "%s", temp_path(&temp, "in"));
    temp_write_text(&temp, "in/z", "one");
    temp_write_text(&temp, "in/below/" DPC_METADATA_FILE, "of no corpus");
    for (int i = 0; i < 2; i++) {
        struct dpc_import_stats stats = {0};
        CU_ASSERT_EQUAL(dpc_import(&options, &stats, NULL), DPC_OK);
        CU_ASSERT_EQUAL(stats.files_total, 2);
        CU_ASSERT_EQUAL(stats.documents, 2);
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            temp_write_text(&temp, names[k], names[k]);
    }
    temp_remove(&temp);
}

/* As a shell writes in/ and a star. */
static void
a_corpus_is_no_text_where_a_wildcard_names_its_files(void)
{
    struct temp temp;
    char in[DPC_PATH_MAX], text[DPC_PATH_MAX], names[DPC_PATH_MAX], metadata[DPC_PATH_MAX];
    const char *const sources[] = {names, metadata, text};
    struct dpc_import_options options = {.sources = sources, .sources_count = 3, .out = in};
    struct dpc_import_stats stats = {0};
    temp_make(&temp);
    temp_write_text(&temp, "in/text", "one");
    temp_write_text(&temp, "in/" DPC_IMPORT_NAMES_FILE, "0\t3\tin/text\n");
    temp_write_text(&temp, "in/" DPC_METADATA_FILE, "id\tlanguage\n0\ten\n");
    (void)snprintf(in, sizeof in, "%s", temp_path(&temp, "in"));
    (void)snprintf(text, sizeof text, "%s", temp_path(&temp, "in/text"));
    (void)snprintf(names, sizeof names, "%s", temp_path(&temp, "in/" DPC_IMPORT_NAMES_FILE));
    (void)snprintf(metadata, sizeof metadata, "%s", temp_path(&temp, "in/" DPC_METADATA_FILE));
    CU_ASSERT_EQUAL(dpc_import(&options, &stats, NULL), DPC_OK);
    CU_ASSERT_EQUAL(stats.files_total, 1);
    CU_ASSERT_EQUAL(stats.documents, 1);
    temp_remove(&temp);
}

/* They wrote over each other's new corpus, and the first to end put that in place. */
static void
two_imports_into_one_folder_take_turns(void)
{
    struct temp temp;
    struct dpc_import_stats stats = {0};
    struct dpc_error err = {0};
    temp_make(&temp);
    temp_write_text(&temp, "in/a", "one");
    import_all(&temp);
    temp_write_text(&temp, "in/b", "two");
    int other = open(temp_path(&temp, "out"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CU_ASSERT_EQUAL_FATAL(flock(other, LOCK_EX | LOCK_NB), 0);
    CU_ASSERT_EQUAL(import_kind(&temp, DPC_IMPORT_AUTO, &stats, &err), DPC_EBUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another import"));
    check_document(&temp, 0, "one");
    close(other);
    CU_ASSERT_EQUAL(import_all(&temp).documents, 2);
    temp_remove(&temp);
}

static void
names_stand_beside_the_tokens(void)
{
    struct temp temp;
    uint8_t *names;
    size_t len;
    temp_make(&temp);
    temp_write_text(&temp, "in/a", "one");
    temp_write_text(&temp, "in/b\tc", "three");
    temp_write_text(&temp, "in/d.jsonl", "\n{\"text\": \"x\"}\n");
    import_all(&temp);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_read_file(&dpc_vfs_posix,
                                            temp_path(&temp, "out/" DPC_IMPORT_NAMES_FILE), DPC_MIB,
                                            &names, &len, NULL),
                          DPC_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)names, "0\t3\t"));
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)names, "/in/a\n1\t5\t"));
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)names, "/in/b?c\n2\t1\t"));
    CU_ASSERT_PTR_NOT_NULL(strstr((char *)names, "/in/d.jsonl:2\n"));
    dpc_free(names);
    temp_remove(&temp);
}

static bool
stop_after_one(void *context, const struct dpc_import_stats *stats)
{
    ++*(int *)context;
    CU_ASSERT_EQUAL(stats->files_total, 2);
    return stats->files < 1;
}

static void
progress_can_stop_it(void)
{
    struct temp temp;
    struct dpc_error err;
    struct dpc_import_stats stats;
    int calls = 0;
    char in[DPC_PATH_MAX], out[DPC_PATH_MAX];
    const char *const sources[] = {in};
    struct dpc_import_options options = {.sources = sources,
                                         .sources_count = 1,
                                         .out = out,
                                         .progress = stop_after_one,
                                         .progress_context = &calls};
    temp_make(&temp);
    temp_write_text(&temp, "in/a", "one");
    temp_write_text(&temp, "in/b", "two");
    (void)snprintf(in, sizeof in, "%s", temp_path(&temp, "in"));
    (void)snprintf(out, sizeof out, "%s", temp_path(&temp, "out"));
    CU_ASSERT_EQUAL(dpc_import(&options, &stats, &err), DPC_ECANCELLED);
    CU_ASSERT_EQUAL(calls, 1);
    CU_ASSERT_FALSE(dpc_vfs_exists(&dpc_vfs_posix, temp_path(&temp, "out/" DPC_TOKENS_FILE)));
    temp_remove(&temp);
}

/* --- Pieces. */

static int
import_pieces(struct temp *temp, const struct dpc_import_tokenizer *tokenizer,
              struct dpc_import_stats *ret_stats, struct dpc_error *err)
{
    char in[DPC_PATH_MAX], out[DPC_PATH_MAX];
    const char *const sources[] = {in};
    struct dpc_import_options options = {.sources = sources,
                                         .sources_count = 1,
                                         .out = out,
                                         .tokenizer = *tokenizer,
                                         .threads = tokenizer->file ? 3 : 1};
    (void)snprintf(in, sizeof in, "%s", temp_path(temp, "in"));
    (void)snprintf(out, sizeof out, "%s", temp_path(temp, "out"));
    return dpc_import(&options, ret_stats, err);
}

static void
write_stories(struct temp *temp)
{
    static const char *const first[] = {"har", "lan", "win", "gar", "ri", "moun", "let", "mor"};
    static const char *const second[] = {"bour", "tern", "ter", "den", "ver", "tain", "ning", "ow"};
    for (uint32_t doc = 0; doc < 40; doc++) {
        char name[32];
        struct dpc_buf text;
        dpc_buf_init(&text, 0);
        dpc_buf_printf(&text, "%u\n", doc);
        for (uint32_t i = 0; i < 60; i++)
            dpc_buf_printf(&text, "%s%s%s", first[(doc + i * i) % 8], second[(doc * 3 + i) % 8],
                           i % 9 == 8 ? "\n" : " ");
        (void)snprintf(name, sizeof name, "in/%02u", doc);
        temp_write_text(temp, name, dpc_buf_text(&text));
        dpc_buf_done(&text);
    }
}

static void
a_vocabulary_is_trained_kept_and_used_again(void)
{
    static const struct dpc_experiment half = {.data = {.test = 0.5}};
    struct temp temp;
    struct dpc_error err = {0};
    struct dpc_import_stats stats = {0}, again = {0};
    struct dpc_hash trained, reused;
    struct dpc_tokens *tokens = NULL;
    char model[DPC_PATH_MAX];
    temp_make(&temp);
    write_stories(&temp);
    struct dpc_import_tokenizer tokenizer = {
        .kind = DPC_IMPORT_UNIGRAM, .vocab = 300, .experiment = &half};
    if (import_pieces(&temp, &tokenizer, &stats, &err) != DPC_OK)
        CU_FAIL_FATAL(err.text);
    CU_ASSERT_EQUAL(stats.documents, 40);
    CU_ASSERT_EQUAL(stats.vocab, 300);
    CU_ASSERT(stats.tokens < stats.bytes * 4 / 5);
    CU_ASSERT(stats.sampled_bytes > 0 && stats.sampled_bytes < stats.bytes);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open(temp_path(&temp, "out"), &tokens, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_vocabulary(tokens)->size, 300);
    dpc_tokens_hash(tokens, &trained);
    dpc_tokens_close(tokens);

    /* The file serves another import, by several threads, which gives the same corpus. */
    (void)snprintf(model, sizeof model, "%s", temp_path(&temp, "copy.model"));
    uint8_t *bytes;
    size_t len;
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_read_file(&dpc_vfs_posix,
                                            temp_path(&temp, "out/" DPC_TOKENIZER_FILE), DPC_MIB,
                                            &bytes, &len, NULL),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_vfs_write_file(&dpc_vfs_posix, model, bytes, len, NULL), DPC_OK);
    dpc_free(bytes);
    tokenizer = (struct dpc_import_tokenizer){.kind = DPC_IMPORT_TOKENIZER_FILE, .file = model};
    CU_ASSERT_EQUAL(import_pieces(&temp, &tokenizer, &again, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open(temp_path(&temp, "out"), &tokens, NULL), DPC_OK);
    dpc_tokens_hash(tokens, &reused);
    dpc_tokens_close(tokens);
    CU_ASSERT(dpc_hash_equal(&trained, &reused));
    CU_ASSERT_EQUAL(again.sampled_bytes, 0);

    /* Bytes need no file, whatever lies there. */
    import_all(&temp);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open(temp_path(&temp, "out"), &tokens, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_load_tokenizer(tokens, &bytes, &len, NULL), DPC_OK);
    CU_ASSERT_PTR_NULL(bytes);
    dpc_tokens_close(tokens);
    temp_remove(&temp);
}

/* An import of other pieces that is cut off before the token file is in its place, and one that is
 * cut off behind that. */
static void
the_token_file_says_which_tokenizer_is_meant(void)
{
    static const struct dpc_experiment none_held_out;
    struct temp temp;
    struct dpc_error err = {0};
    struct dpc_import_stats stats;
    struct dpc_tokens *tokens;
    struct dpc_hash hash;
    uint8_t *bytes;
    size_t len;
    char model[DPC_PATH_MAX], second[DPC_PATH_MAX], saved[DPC_PATH_MAX];
    temp_make(&temp);
    write_stories(&temp);
    (void)snprintf(model, sizeof model, "%s", temp_path(&temp, "out/" DPC_TOKENIZER_FILE));
    (void)snprintf(second, sizeof second, "%s", temp_path(&temp, "out/" DPC_TOKENIZER_FILE ".new"));
    struct dpc_import_tokenizer tokenizer = {
        .kind = DPC_IMPORT_UNIGRAM, .vocab = 300, .experiment = &none_held_out};
    CU_ASSERT_EQUAL_FATAL(import_pieces(&temp, &tokenizer, &stats, &err), DPC_OK);
    CU_ASSERT_FALSE(dpc_vfs_exists(&dpc_vfs_posix, second));
    temp_write_text(&temp, "out/" DPC_TOKENIZER_FILE ".new", "of another import");
    /* A corpus may be named by the file in it, too. */
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open(temp_path(&temp, "out/" DPC_TOKENS_FILE), &tokens, NULL),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_load_tokenizer(tokens, &bytes, &len, &err), DPC_OK);
    dpc_hash_of(bytes, len, &hash);
    CU_ASSERT(dpc_hash_equal(&hash, &dpc_tokens_vocabulary(tokens)->model));
    dpc_free(bytes);
    (void)snprintf(saved, sizeof saved, "%s", temp_path(&temp, "saved"));
    CU_ASSERT_EQUAL(rename(model, saved), 0);
    temp_write_text(&temp, "out/" DPC_TOKENIZER_FILE, "of an import before");
    CU_ASSERT_EQUAL(rename(saved, second), 0);
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_load_tokenizer(tokens, &bytes, &len, &err), DPC_OK);
    dpc_hash_of(bytes, len, &hash);
    CU_ASSERT(dpc_hash_equal(&hash, &dpc_tokens_vocabulary(tokens)->model));
    dpc_free(bytes);
    CU_ASSERT_EQUAL(remove(second), 0);
    CU_ASSERT_EQUAL(dpc_tokens_load_tokenizer(tokens, &bytes, &len, &err), DPC_ESTALE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, DPC_TOKENIZER_FILE "\" is not the tokenizer"));
    dpc_tokens_close(tokens);
    temp_remove(&temp);
}

static void
a_model_of_another_tokenizer_is_told(void)
{
    static const struct dpc_experiment none_held_out;
    struct temp temp;
    struct dpc_error err = {0};
    struct dpc_import_stats stats;
    struct dpc_tokens *tokens;
    char folder[DPC_PATH_MAX];
    temp_make(&temp);
    write_stories(&temp);
    struct dpc_import_tokenizer tokenizer = {
        .kind = DPC_IMPORT_BPE, .vocab = 300, .experiment = &none_held_out};
    CU_ASSERT_EQUAL_FATAL(import_pieces(&temp, &tokenizer, &stats, &err), DPC_OK);
    (void)snprintf(folder, sizeof folder, "%s", temp_path(&temp, "out"));
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open(folder, &tokens, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_check_imported(tokens, folder, &err), DPC_OK);
    temp_write_text(&temp, "model/" DPC_TOKENIZER_FILE, "another one");
    temp_write_text(&temp, "none/config.json", "{}");
    CU_ASSERT_EQUAL(dpc_tokens_check_imported(tokens, temp_path(&temp, "none"), &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_check_imported(tokens, temp_path(&temp, "model"), &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "import the texts with --tokenizer "));
    dpc_tokens_close(tokens);
    temp_remove(&temp);
}

static void
what_can_be_read_once_trains_no_vocabulary(void)
{
    static const struct dpc_experiment half = {.data = {.test = 0.5, .early_stop = 0.5}};
    struct temp temp;
    struct dpc_error err = {0};
    struct dpc_import_stats stats;
    temp_make(&temp);
    struct dpc_import_tokenizer tokenizer = {
        .kind = DPC_IMPORT_BPE, .vocab = 300, .experiment = &half};
    temp_make_folder(&temp, "in");
    CU_ASSERT_EQUAL(import_pieces(&temp, &tokenizer, &stats, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no text in it"));
    temp_write_text(&temp, "in/one", "a text");
    CU_ASSERT_EQUAL(import_pieces(&temp, &tokenizer, &stats, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "all 1 documents are held out"));
    CU_ASSERT_EQUAL(remove(temp_path(&temp, "in/one")), 0);
    CU_ASSERT_EQUAL(rmdir(temp_path(&temp, "in")), 0);
    CU_ASSERT_EQUAL(mkfifo(temp_path(&temp, "in"), 0600), 0);
    CU_ASSERT_EQUAL(import_pieces(&temp, &tokenizer, &stats, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is no plain file"));
    temp_remove(&temp);
}

static void
a_vocabulary_that_cannot_be_leaves_the_old_corpus(void)
{
    static const struct dpc_experiment none_held_out;
    struct temp temp;
    struct dpc_error err = {0};
    struct dpc_import_stats stats;
    struct dpc_tokens *tokens;
    uint8_t *bytes;
    size_t len;
    temp_make(&temp);
    write_stories(&temp);
    struct dpc_import_tokenizer tokenizer = {
        .kind = DPC_IMPORT_BPE, .vocab = 300, .experiment = &none_held_out};
    CU_ASSERT_EQUAL_FATAL(import_pieces(&temp, &tokenizer, &stats, &err), DPC_OK);
    tokenizer.vocab = 60000;
    CU_ASSERT_EQUAL(import_pieces(&temp, &tokenizer, &stats, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "60000"));
    temp_write_text(&temp, "no.model", "this is none");
    char model[DPC_PATH_MAX];
    (void)snprintf(model, sizeof model, "%s", temp_path(&temp, "no.model"));
    tokenizer = (struct dpc_import_tokenizer){.kind = DPC_IMPORT_TOKENIZER_FILE, .file = model};
    CU_ASSERT_EQUAL(import_pieces(&temp, &tokenizer, &stats, &err), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no.model"));
    CU_ASSERT_EQUAL_FATAL(dpc_tokens_open(temp_path(&temp, "out"), &tokens, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_tokens_load_tokenizer(tokens, &bytes, &len, NULL), DPC_OK);
    CU_ASSERT_PTR_NOT_NULL(bytes);
    dpc_free(bytes);
    dpc_tokens_close(tokens);
    temp_remove(&temp);
}

static const struct dpc_test tests[] = {
    {"a folder of texts", a_folder_of_texts},
    {"json lines", json_lines},
    {"an odd line costs that line alone", an_odd_line_costs_that_line_alone},
    {"the first line that is no JSON is named", the_first_line_that_is_no_json_is_named},
    {"a file that is no JSON lines is an error", a_file_that_is_no_json_lines_is_an_error},
    {"a byte order mark begins no line", a_byte_order_mark_begins_no_line},
    {"a byte order mark begins no text", a_byte_order_mark_begins_no_text},
    {"manual pages", manual_pages},
    {"a kind can be forced", a_kind_can_be_forced},
    {"nothing to import is an error", nothing_to_import_is_an_error},
    {"the same files give the same corpus", the_same_files_give_the_same_corpus},
    {"a corpus below its source is no text", a_corpus_below_its_source_is_no_text},
    {"what lies beside a corpus shifts no ids", what_lies_beside_a_corpus_shifts_no_ids},
    {"a corpus is no text where a wildcard names its files",
     a_corpus_is_no_text_where_a_wildcard_names_its_files},
    {"two imports into one folder take turns", two_imports_into_one_folder_take_turns},
    {"names stand beside the tokens", names_stand_beside_the_tokens},
    {"progress can stop it", progress_can_stop_it},
    {"a vocabulary is trained, kept and used again", a_vocabulary_is_trained_kept_and_used_again},
    {"the token file says which tokenizer is meant", the_token_file_says_which_tokenizer_is_meant},
    {"a model of another tokenizer is told", a_model_of_another_tokenizer_is_told},
    {"what can be read once trains no vocabulary", what_can_be_read_once_trains_no_vocabulary},
    {"a vocabulary that cannot be leaves the old corpus",
     a_vocabulary_that_cannot_be_leaves_the_old_corpus},
};
DPC_TEST_MAIN("data/import", tests)
