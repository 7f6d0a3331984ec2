/* SPDX-License-Identifier: Apache-2.0 */
#include "data/manpage.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"

struct row {
    const char *page, *text;
};

static void
check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct dpc_buf out;
        dpc_buf_init(&out, 0);
        dpc_manpage_text(rows[i].page, strlen(rows[i].page), &out);
        if (strcmp(dpc_buf_text(&out), rows[i].text) != 0) {
            char *message = dpc_format("page:\n%s\ntext:\n%s\nwant:\n%s", rows[i].page,
                                       dpc_buf_text(&out), rows[i].text);
            (void)fputs(message, stderr);
            dpc_free(message);
            CU_FAIL("another text");
        }
        CU_PASS("as wanted");
        dpc_buf_done(&out);
    }
}
#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof *(rows))

static void
comments_and_titles_leave_nothing(void)
{
    static const struct row rows[] = {
        {"", ""},
        {".\\\" Copyright\n'\\\" t\n.\\\"\n.TH LS 1 \"May 2020\" GNU \"User Commands\"\n", ""},
        {".\n. \n'\n.\\}\n", ""},
        {"text \\\" comment\n", "text\n"},
        {"text \\# comment\n", "text\n"},
        {".B bold \\\" comment\n", "bold\n"},
        {".nh\n.ad l\n.hy 0\n.PD 0\n.unknown with words\ntext\n", "text\n"},
        {".de XX\n.B never\nseen\n..\n.am URL\nnor this\n. .\n..\ntext\n", "text\n"},
        {".ig\nhidden\n..\ntext\n", "text\n"},
        {".EQ\nx sup 2\n.EN\n.PS\nbox\n.PE\ntext\n", "text\n"},
        {".IX Header \"NAME\"\n.tr \\(*W-\n.nr X 1\ntext\n", "text\n"},
    };
    CHECK_ROWS(rows);
}

static void
escapes(void)
{
    static const struct row rows[] = {
        {"\\-x \\e \\\\ \\&.dot \\'\\`\n", "-x \\ \\ .dot ´`\n"},
        {"\\fBbold\\fP \\fIit\\fR \\f(CWmono\\fP \\f[BI]both\\f[]\n", "bold it mono both\n"},
        {"\\(em \\(bu \\(aq \\(lq\\(rq \\(co \\[em] \\[dq] \\[ti] \\[ha]\n",
         "— • ' “” © — \" ~ ^\n"},
        {"\\['e] \\[:u] \\(,c \\(/l \\(ss\n", "é ü ç ł ß\n"},
        {"\\[u00E9] \\[u20AC] \\[u1F600] \\[u0041_0301] \\[char233] \\N'65'\n",
         "é € \xF0\x9F\x98\x80 A\xCC\x81 é A\n"},
        {"a\\~b\\ c\\0d\\|e\\^f\\%g\\:h\\/i\\,j\n", "a b c defghij\n"},
        {"\\s-1SMALL\\s0 \\s+2big\\s0 \\s10ten\\s[12]x\\s'8'y\\s(12z\n", "SMALL big tenxyz\n"},
        {"\\h'-1p'a\\h'+03'b\\v'.5m'c\\w'xx'd\\n(.ge\\n[reg]f\\n+xg\\mr\\M[blue]h\n",
         "a bcdefgh\n"},
        {"\\*(lqquoted\\*(rq \\*(Aq \\*R \\*(Tm \\*[lq]\\*(xx|\n", "“quoted” ' ® ™ “|\n"},
        {".ds Xy value\n.ds long \"  two words\n\\*(Xy\\*[long]|\n", "value  two words|\n"},
        {".ds lo in \\*(hi\n.ds hi out\n\\*(lo\n", "in out\n"},
        {"\\o'aX' \\z_b \\kxc \\d\\u \\p\n", "a _b c\n"},
        {"\\(xx\\[nonsense]\\[u12]\\[uD800]\\[u110000]|\n", "|\n"},
        {"end\\", "end\n"},
        {"\\", ""},
        {"a\\f", "a\n"},
        {"a\\f(", "a\n"},
        {"a\\[em", "a—\n"},
        {"a\\s", "a\n"},
        {"a\\h'", "a\n"},
        {"a\\*[", "a\n"},
        {"zażółć – ¿qué?\n", "zażółć – ¿qué?\n"},
    };
    CHECK_ROWS(rows);
}

static void
a_string_that_names_itself_ends(void)
{
    static const char page[] = ".ds a \\*a\\*a\\*a\\*a\\*a\\*a\\*a\\*a\\*a\\*a\n\\*a\\*a|\n";
    struct dpc_buf out;
    dpc_buf_init(&out, 0);
    dpc_manpage_text(page, sizeof page - 1, &out);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&out), "|\n");
    dpc_buf_done(&out);
}

static void
paragraphs_and_lines(void)
{
    static const struct row rows[] = {
        {"one\ntwo\n", "one two\n"},
        {"one\n\ntwo\n", "one\n\ntwo\n"},
        {"one\n.PP\ntwo\n.P\nthree\n.LP\nfour\n.sp 2\nfive\n",
         "one\n\ntwo\n\nthree\n\nfour\n\nfive\n"},
        {"one\n.br\ntwo\n", "one\ntwo\n"},
        {".PP\n.br\n\none\n.PP\n.PP\n", "one\n"},
        {".SH NAME\nls \\- list\n.SH \"SEE ALSO\"\n.PP\nmore\n",
         "NAME\nls - list\n\nSEE ALSO\nmore\n"},
        {".SH\nNAME\nls\n.SS Sub heading\ntext\n", "NAME\nls\n\nSub heading\ntext\n"},
        {"join\\c\n.B ed\n", "joined\n"},
        {"con\\\ntinued\n", "continued\n"},
        {"even \\\\\ntwo\n", "even \\ two\n"},
        {"a\n  indented\nb\n", "a\n  indented b\n"},
        {"a\n.nf\nx  y\n\tz\n\nw\n.fi\nb\nc\n", "a\nx  y\n\tz\n\nw\nb c\n"},
        {".EX\n$ ls\n$ pwd\n.EE\n", "$ ls\n$ pwd\n"},
        {"trailing  \nspace\r\nreturn\n", "trailing space return\n"},
        {"a\n.RS 4\nb\n.RE\nc\n", "a\nb\nc\n"},
    };
    CHECK_ROWS(rows);
}

static void
words_of_fonts(void)
{
    static const struct row rows[] = {
        {".B one two\n", "one two\n"},
        {".B \"one two\" three\n", "one two three\n"},
        {".BR ls (1),\n.IR file s\n", "ls(1), files\n"},
        {".BI \\-o \" file\" [=x ]\n", "-o file[=x]\n"},
        {".B a\\ b c\n", "a b c\n"},
        {".SM POSIX\n.SB X\n.RB [ x ]\n.RI < y >\n.IB z w\n", "POSIX X [x] <y> zw\n"},
        {"See\n.BR open (2)\nfor more.\n", "See open(2) for more.\n"},
        {".B\ntext\n", "text\n"},
        {"'br\n. B spaced\n", "spaced\n"},
    };
    CHECK_ROWS(rows);
}

static void
lists_and_links(void)
{
    static const struct row rows[] = {
        {".TP\n.B \\-a\nAll.\n.TP\n.BR \\-b , \\-\\-both\nBoth\nof them.\n",
         "-a\nAll.\n\n-b,--both\nBoth of them.\n"},
        {".TP 4\ntag\nbody\n.TQ\nsecond\nbody\n", "tag\nbody\nsecond\nbody\n"},
        {".IP \\(bu 2\nfirst\n.IP \\(bu\nsecond\n", "• first\n\n• second\n"},
        {".IP word\nbody\n.IP\nnext\n", "word\nbody\n\nnext\n"},
        {".IP \"two words\" 4\nbody\n", "two words\nbody\n"},
        {"see\n.UR http://x.org\nthe site\n.UE .\n", "see the site <http://x.org>.\n"},
        {"see\n.UR http://x.org\n.UE\n", "see http://x.org\n"},
        {".MT a@b.c\nAnn\n.ME ,\n", "Ann <a@b.c>,\n"},
        {".URL \"http://x.org\" \"site\" \".\"\n", "site <http://x.org>.\n"},
        {".MTO \"a\\(atb.c\" \"\" \"\"\n", "a@b.c\n"},
        {".SY prog\n.OP \\-a\n.OP \\-o file\n.YS\nend\n", "prog [-a] [-o file]\n\nend\n"},
    };
    CHECK_ROWS(rows);
}

static void
conditions(void)
{
    static const struct row rows[] = {
        {".if n yes\n.if t no\n.if !n no\n.if !t yes\n", "yes yes\n"},
        {".ie n yes\n.el no\n.ie t no\n.el yes\n", "yes yes\n"},
        {".if n \\{\\\nin\n.B block\n.\\}\nout\n", "in block out\n"},
        {".if t \\{\\\nnever\n.if n \\{\nnever\n.\\}\nnever\n.\\}\nout\n", "out\n"},
        {".ie n \\{\\\none\n.\\}\n.el \\{\\\ntwo\n.\\}\nthree\n", "one three\n"},
        {".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\nit\\*(Aqs\n", "it's\n"},
        {".ie \\n(zZ=1 in \\fIbash(1)\\fP.\n.el here.\n", "here.\n"},
        {".if '\\*[x]'y' never\ntext\n", "text\n"},
        {".ie n \\{\\\n\\h'-04'\\(bu\\h'+03'\\c\n.\\}\n.el \\{\\\n.sp -1\n.IP \\(bu "
         "2.3\n.\\}\nitem\n",
         "• item\n"},
        {".if n .if n .if n deep\n", "deep\n"},
        {".el text\n", ""},
        {".if\n.ie\ntext\n", "text\n"},
    };
    CHECK_ROWS(rows);
}

static void
tables(void)
{
    static const struct row rows[] = {
        {".TS\nallbox;\nlb lb\nl l.\nName\tMeaning\n_\na\tfirst\nb\tsecond\n.TE\nafter\n",
         "Name  Meaning\na  first\nb  second\n\nafter\n"},
        {".TS\ntab(:);\nl l.\na:b c\n.TE\n", "a  b c\n"},
        {".TS\nl l.\na\tT{\nlong\n.B cell\nT}\nb\tc\n.TE\n", "a long cell\nb  c\n"},
        {".TS\nl.\n.TE\ntext\n", "text\n"},
        {".TS\nunfinished", ""},
    };
    CHECK_ROWS(rows);
}

static void
mdoc_pages(void)
{
    static const struct row rows[] = {
        {".Dd May 1, 2020\n.Dt SCP 1\n.Os\n.Sh NAME\n.Nm scp\n.Nd OpenSSH secure file copy\n",
         "NAME\nscp - OpenSSH secure file copy\n"},
        {".Nm scp\n.Op Fl 346\n.Op Fl c Ar cipher\n.Ar source ... target\n",
         "scp [-346] [-c cipher] source ... target\n"},
        {".Nm ls\n.Pp\n.Nm\nlists, as\n.Xr stat 2 ,\n.Xr cd 1\n.\n",
         "ls\n\nls lists, as stat(2), cd(1)\n"},
        {".Bl -tag -width Ds\n.It Fl a , Fl Fl all\nAll.\n.It Ev HOME\nHome.\n.El\nend\n",
         "-a, --all\nAll.\n\nHOME\nHome.\n\nend\n"},
        {".Oo\n.Ar user Ns @\n.Oc Ns Ar host\n", "[user@]host\n"},
        {".Pq see Dq Li x y .\n", "(see “x y”).\n"},
        {".Fn open \"path\" flags\n.Fl\n.Ar\n", "open(path, flags) - file ...\n"},
        {".Bd -literal\na\nb\n.Ed\nc\nd\n", "a\nb\nc d\n"},
        {".Sq a Ns b\n.Aq mail@x.org\n.Bx 4.3\n", "‘ab’ <mail@x.org> 4.3\n"},
    };
    CHECK_ROWS(rows);
}

static void
pages_and_redirects_are_told_from_text(void)
{
    static const struct {
        const char *page;
        bool is_page, is_redirect;
    } rows[] = {
        {".\\\" x\n.TH A 1\n", true, false},
        {".de X\nfoo\n..\n.TH A 1\n.so x\n", true, false},
        {".Dd Today\n", true, false},
        {".so man2/open.2\n", true, true},
        {".\\\" x\n.so man2/open.2", true, true},
        {"plain text\n", false, false},
        {"", false, false},
        {"text about .TH here\n", false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].page);
        CU_ASSERT_EQUAL(dpc_manpage_is(rows[i].page, len), rows[i].is_page);
        CU_ASSERT_EQUAL(dpc_manpage_is_redirect(rows[i].page, len), rows[i].is_redirect);
    }
}

/* Pieces of roff in an order by chance: nothing to compare with, but sanitizers watch. */
static void
nonsense_never_crashes(void)
{
    static const char *const pieces[] = {
        ".",       "'",    "\\",     "\n",   " ",   "\"",  "(",      "[",    "]",         "{",
        "}",       "TS\n", "TE\n",   "T{",   "T}",  "\t",  ".ie n ", ".el ", ".if t \\{", "\\}",
        ".de X\n", "..\n", ".ds a ", "\\*a", "\\f", "\\s", "\\h'",   "\\c",  ".IP ",      ".TP\n",
        ".Op ",    "Fl ",  "Nm ",    ".It ", "x",   "ü",   "\\[u",   "\\N'", "\\o'"};
    uint32_t state = 7;
    char page[512];
    for (int i = 0; i < 3000; i++) {
        size_t len = 0;
        struct dpc_buf out;
        while (len < sizeof page - 16) {
            state = state * 1664525u + 1013904223u;
            const char *piece = pieces[(state >> 16) % (sizeof pieces / sizeof *pieces)];
            memcpy(page + len, piece, strlen(piece));
            len += strlen(piece);
        }
        char *exact = dpc_alloc(len, 1); /* a read past the end is seen */
        memcpy(exact, page, len);
        dpc_buf_init(&out, 0);
        dpc_manpage_text(exact, len, &out);
        CU_ASSERT_FALSE(out.failed);
        dpc_buf_done(&out);
        dpc_free(exact);
    }
}

static const struct dpc_test tests[] = {
    {"comments and titles leave nothing", comments_and_titles_leave_nothing},
    {"escapes", escapes},
    {"a string that names itself ends", a_string_that_names_itself_ends},
    {"paragraphs and lines", paragraphs_and_lines},
    {"words of fonts", words_of_fonts},
    {"lists and links", lists_and_links},
    {"conditions", conditions},
    {"tables", tables},
    {"mdoc pages", mdoc_pages},
    {"pages and redirects are told from text", pages_and_redirects_are_told_from_text},
    {"nonsense never crashes", nonsense_never_crashes},
};
DPC_TEST_MAIN("data/manpage", tests)
