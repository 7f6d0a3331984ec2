/* SPDX-License-Identifier: Apache-2.0 */
#include "data/json_fields.h"

#include "data/import.h"
#include "data/metadata.h"
#include "tests/unit/data/temp.h"

struct corpus {
    struct temp temp;
    char in[DPC_PATH_MAX], out[DPC_PATH_MAX];
    struct dpc_import_stats stats;
    struct dpc_error err;
};

static void
corpus_make(struct corpus *corpus)
{
    *corpus = (struct corpus){0};
    temp_make(&corpus->temp);
    (void)snprintf(corpus->in, sizeof corpus->in, "%s", temp_path(&corpus->temp, "in"));
    (void)snprintf(corpus->out, sizeof corpus->out, "%s", temp_path(&corpus->temp, "out"));
}

static int
import_fields(struct corpus *corpus, const char *text_field, const char *metadata)
{
    const char *const sources[] = {corpus->in};
    struct dpc_import_options options = {.sources = sources,
                                         .sources_count = 1,
                                         .out = corpus->out,
                                         .text_field = text_field,
                                         .metadata = metadata};
    corpus->stats = (struct dpc_import_stats){0};
    return dpc_import(&options, &corpus->stats, &corpus->err);
}

/* Of the corpus folder; "" when there is no such file. */
static void
check_file(struct corpus *corpus, const char *name, const char *want)
{
    char path[DPC_PATH_MAX];
    uint8_t *bytes;
    size_t len;
    CU_ASSERT_EQUAL_FATAL(dpc_path_join(corpus->out, name, path, sizeof path), DPC_OK);
    if (dpc_vfs_read_file(&dpc_vfs_posix, path, 1 << 20, &bytes, &len, NULL) != DPC_OK) {
        CU_ASSERT_STRING_EQUAL(want, "");
        return;
    }
    CU_ASSERT_STRING_EQUAL((char *)bytes, want);
    dpc_free(bytes);
}

static void
a_field_is_a_key_or_a_walk(void)
{
    static const char text[] =
        "{\"a\": \"1\", \"b\": {\"c\": \"2\", \"d.e\": \"3\", \"f\": {\"g\": "
        "\"4\"}}, \"b.c\": \"5\", \"x\": [1]}";
    static const struct {
        const char *name, *value;
    } rows[] = {{"a", "1"},    {"b.c", "5"}, {"b.d.e", "3"}, {"b.f.g", "4"},
                {"b.f.h", ""}, {"a.b", ""},  {"b.", ""},     {".a", ""},
                {"", ""},      {"x.0", ""},  {"b.g", ""}};
    struct dpc_json *root;
    CU_ASSERT_EQUAL_FATAL(dpc_json_parse(text, strlen(text), &root, NULL), DPC_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CU_ASSERT_STRING_EQUAL(dpc_json_text(dpc_json_field(root, rows[i].name), ""),
                               rows[i].value);
    CU_ASSERT_PTR_NULL(dpc_json_field(NULL, "a"));
    CU_ASSERT_PTR_NULL(dpc_json_field(NULL, "a.b"));
    dpc_json_destroy(root);
}

static void
a_list_that_names_no_columns_is_refused(void)
{
    static const char *const lists[] = {
        "",
        "a,",
        ",a",
        "a,,b",
        "id",
        "a,id",
        "A",
        "1a",
        "meta.source",
        "a b",
        "source=",
        "=a",
        "a,a",
        "a,a=b",
        "x=a,x=b",
        "a\tb",
        "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
        "a123456789012345678901234567890123456789012345678901234567890123",
    };
    struct dpc_json_fields fields;
    struct dpc_error err;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (dpc_json_fields_init(&fields, lists[i], &err) != DPC_EINVAL)
            CU_FAIL(lists[i]);
        dpc_json_fields_done(&fields);
    }
    CU_ASSERT_EQUAL(dpc_json_fields_init(&fields, "a,b-1,c_d=E.f", &err), DPC_OK);
    CU_ASSERT_EQUAL(fields.count, 3);
    CU_ASSERT_STRING_EQUAL(fields.columns[2].field, "E.f");
    dpc_json_fields_done(&fields);
}

/* The ids are those of the corpus, whatever is left out between them. */
static void
fields_become_columns(void)
{
    struct corpus corpus;
    struct dpc_metadata *metadata;
    corpus_make(&corpus);
    temp_write_text(
        &corpus.temp, "in/a.jsonl",
        "{\"text\": \"one\", \"language\": \"de\", \"meta\": {\"n\": 3}}\n"
        "{\"text\": \"one\", \"language\": \"a duplicate\"}\n"
        "{\"no\": \"text\", \"language\": \"none\"}\n"
        "{\"text\": \"two\", \"language\": \"tab\\tline\\n.\", \"meta\": {\"n\": 0.5}}\n"
        "{\"text\": \"three\", \"language\": null, \"meta\": {\"n\": true}}\n"
        "{\"text\": \"four\", \"language\": [\"de\"], \"meta\": {\"n\": \"\\u00e9\"}}\n");
    temp_write_text(&corpus.temp, "in/b.txt", "five");
    temp_write_text(&corpus.temp, "in/c.jsonl", "{\"text\": \"six\", \"language\": \"de\"}\n");
    CU_ASSERT_EQUAL_FATAL(import_fields(&corpus, NULL, "language,n=meta.n"), DPC_OK);
    CU_ASSERT_EQUAL(corpus.stats.documents, 6);
    check_file(&corpus, DPC_METADATA_FILE,
               "id\tlanguage\tn\n0\tde\t3\n1\ttab line .\t0.5\n2\t\ttrue\n3\t\té\n4\t\t\n"
               "5\tde\t\n");
    check_file(&corpus, DPC_METADATA_FILE ".new", "");
    CU_ASSERT_EQUAL_FATAL(dpc_metadata_load(corpus.out, "language", 6, &metadata, &corpus.err),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_metadata_values(metadata), 2);
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 0), dpc_metadata_value(metadata, 5));
    CU_ASSERT_EQUAL(dpc_metadata_value(metadata, 4), DPC_METADATA_MISSING);
    dpc_metadata_destroy(metadata);
    temp_remove(&corpus.temp);
}

static void
the_text_may_stand_elsewhere(void)
{
    struct corpus corpus;
    corpus_make(&corpus);
    temp_write_text(&corpus.temp, "in/a.json",
                    "{\"doc\": {\"content\": \"one\"}}\n{\"text\": \"not this\"}\n");
    CU_ASSERT_EQUAL_FATAL(import_fields(&corpus, "doc.content", NULL), DPC_OK);
    CU_ASSERT_EQUAL(corpus.stats.json_lines, 1);
    CU_ASSERT_EQUAL(corpus.stats.without_text, 1);
    CU_ASSERT_EQUAL(corpus.stats.bytes, 3);
    temp_remove(&corpus.temp);
}

/* C4 and Dolma name their JSON lines .json.gz. */
static void
json_lines_by_other_names(void)
{
    static const char *const others[] = {
        "{\n  \"text\": \"a value over lines\"\n}\n",
        "{\"name\": \"a package\", \"version\": 1}\n",
        "[{\"text\": \"an array\"}]\n",
        "{\"text\": 3}\n",
        "no JSON\n",
        "{\"text\": \"cut of",
    };
    struct corpus corpus;
    corpus_make(&corpus);
    temp_write_text(&corpus.temp, "in/d.JSONL", "{\"text\": \"three\"}\n");
    temp_write_text(&corpus.temp, "in/e.Json", "\xEF\xBB\xBF\n  \n{\"text\": \"four\"}\nodd\n");
    temp_write_gz(&corpus.temp, "in/c4-train.00000-of-01024.json.gz",
                  "{\"text\": \"one\", \"url\": \"x\"}\n{\"text\": \"two\"}\n");
    CU_ASSERT_EQUAL_FATAL(import_fields(&corpus, NULL, NULL), DPC_OK);
    CU_ASSERT_EQUAL(corpus.stats.json_lines, 4);
    CU_ASSERT_EQUAL(corpus.stats.no_json, 1);
    CU_ASSERT_EQUAL(corpus.stats.texts, 0);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        temp_write_text(&corpus.temp, "in/f.json", others[i]);
        CU_ASSERT_EQUAL_FATAL(import_fields(&corpus, NULL, NULL), DPC_OK);
        CU_ASSERT_EQUAL(corpus.stats.json_lines, 4);
        CU_ASSERT_EQUAL(corpus.stats.texts, 1);
    }
    temp_remove(&corpus.temp);
}

static void
what_its_owner_wrote_is_not_replaced(void)
{
    struct corpus corpus;
    corpus_make(&corpus);
    temp_write_text(&corpus.temp, "in/a.jsonl", "{\"text\": \"one\", \"kind\": \"x\"}\n");
    temp_write_text(&corpus.temp, "out/" DPC_METADATA_FILE, "id\tkind\tmine\n0\tx\ty\n");
    CU_ASSERT_EQUAL(import_fields(&corpus, NULL, "kind"), DPC_EEXIST);
    CU_ASSERT_PTR_NOT_NULL(strstr(corpus.err.text, "move it away"));
    check_file(&corpus, DPC_METADATA_FILE, "id\tkind\tmine\n0\tx\ty\n");
    check_file(&corpus, DPC_IMPORT_NAMES_FILE, "");
    temp_write_text(&corpus.temp, "out/" DPC_METADATA_FILE, "id\tkind\n0\told\n1\told\n");
    CU_ASSERT_EQUAL(import_fields(&corpus, NULL, "kind"), DPC_OK);
    check_file(&corpus, DPC_METADATA_FILE, "id\tkind\n0\tx\n");
    temp_remove(&corpus.temp);
}

static void
metadata_of_other_ids_is_told(void)
{
    struct corpus corpus;
    char names[2 * DPC_PATH_MAX];
    corpus_make(&corpus);
    temp_write_text(&corpus.temp, "in/b.txt", "one");
    CU_ASSERT_EQUAL_FATAL(import_fields(&corpus, NULL, NULL), DPC_OK);
    CU_ASSERT_FALSE(corpus.stats.metadata_is_stale);
    temp_write_text(&corpus.temp, "out/" DPC_METADATA_FILE, "id\tkind\n0\tx\n");
    /* As another tokenizer would have it, in a folder that has moved. */
    (void)snprintf(names, sizeof names, "0\t77\t%s/elsewhere/b.txt\n", corpus.in);
    temp_write_text(&corpus.temp, "out/" DPC_IMPORT_NAMES_FILE, names);
    CU_ASSERT_EQUAL_FATAL(import_fields(&corpus, NULL, NULL), DPC_OK);
    CU_ASSERT_FALSE(corpus.stats.metadata_is_stale);
    temp_write_text(&corpus.temp, "in/c.txt", "behind it");
    CU_ASSERT_EQUAL_FATAL(import_fields(&corpus, NULL, NULL), DPC_OK);
    CU_ASSERT_TRUE(corpus.stats.metadata_is_stale);
    temp_write_text(&corpus.temp, "in/a.txt", "before it");
    CU_ASSERT_EQUAL(unlink(temp_path(&corpus.temp, "in/c.txt")), 0);
    CU_ASSERT_EQUAL_FATAL(import_fields(&corpus, NULL, NULL), DPC_OK);
    CU_ASSERT_TRUE(corpus.stats.metadata_is_stale);
    CU_ASSERT_EQUAL_FATAL(import_fields(&corpus, NULL, "kind"), DPC_OK);
    CU_ASSERT_FALSE(corpus.stats.metadata_is_stale);
    check_file(&corpus, DPC_METADATA_FILE, "id\tkind\n0\t\n1\t\n");
    temp_remove(&corpus.temp);
}

static const struct dpc_test tests[] = {
    {"a field is a key or a walk", a_field_is_a_key_or_a_walk},
    {"a list that names no columns is refused", a_list_that_names_no_columns_is_refused},
    {"fields become columns", fields_become_columns},
    {"the text may stand elsewhere", the_text_may_stand_elsewhere},
    {"JSON lines by other names", json_lines_by_other_names},
    {"what its owner wrote is not replaced", what_its_owner_wrote_is_not_replaced},
    {"metadata of other ids is told", metadata_of_other_ids_is_told},
};
DPC_TEST_MAIN("data/json_fields", tests)
