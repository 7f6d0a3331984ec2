/* SPDX-License-Identifier: Apache-2.0
 * A page is read line by line. A table says what each request of man(7), and of the macro sets that
 * pages are generated with, does to the layout and whether its words are text; names that no table
 * knows are dropped. Conditions are answered as on a terminal. */
#include "data/manpage.h"

#include <ctype.h>
#include <string.h>

#include "data/mdoc.h"
#include "data/page.h"

enum { IE_DEPTH_MAX = 16, BRANCH_DEPTH_MAX = 16 };

struct parser {
    struct dpc_page page;
    const char *at, *end;
    struct dpc_buf line;      /* one line, continuation lines joined */
    unsigned skip_depth;      /* open braces of a branch that is not taken */
    bool taken[IE_DEPTH_MAX]; /* answers of `.ie` that wait for their `.el` */
    unsigned taken_count;
    unsigned branch_depth;     /* conditions that stand on one line */
    const char *until;         /* lines are dropped up to this request */
    struct dpc_roff_word link; /* of .UR and .MT, until .UE and .ME */
    char link_text[512];
    size_t link_at; /* where the text began */
    bool heading;   /* the next text line is a heading's */
    enum { NO_TABLE, TABLE_FORMAT, TABLE_ROWS } table;
    char separator; /* of a table's cells */
    bool in_cell;   /* between T{ and T} */
};

typedef void request_fn(struct parser *parser, struct dpc_roff_word rest, int how);

struct request {
    const char *name;
    request_fn *run;
    int how;
};

static void read_line(struct parser *parser, struct dpc_roff_word line);

static struct dpc_roff_word
trim(struct dpc_roff_word text)
{
    while (text.len && isspace((unsigned char)*text.text))
        text.text++, text.len--;
    return text;
}

/* --- Requests. */

static size_t
add_words(struct parser *parser, struct dpc_roff_word rest, const char *between, bool *ret_joins)
{
    struct dpc_roff_word words[DPC_ROFF_WORDS_MAX];
    size_t count = dpc_roff_words(rest, words);
    for (size_t i = 0; i < count; i++) {
        dpc_page_add_text(&parser->page, i ? between : "");
        *ret_joins = dpc_page_add(&parser->page, words[i]);
    }
    return count;
}

enum { SPACED, JOINED };

/* .B .I .SM and others: the words, with spaces between; .BR .IR and others: in turn in two fonts,
 * without spaces. */
static void
font_words(struct parser *parser, struct dpc_roff_word rest, int how)
{
    bool joins = false;
    add_words(parser, rest, how == JOINED ? "" : " ", &joins);
    dpc_page_put(&parser->page, joins);
}

static void
heading(struct parser *parser, struct dpc_roff_word rest, int how)
{
    bool joins = false;
    parser->page.fill = true;
    parser->page.tag = false;
    dpc_page_break(&parser->page, (enum dpc_page_gap)how);
    parser->heading = add_words(parser, rest, " ", &joins) == 0;
    dpc_page_put(&parser->page, false);
    if (!parser->heading)
        dpc_page_end_heading(&parser->page);
}

static void
gap(struct parser *parser, struct dpc_roff_word rest, int how)
{
    (void)rest;
    parser->page.tag = false;
    dpc_page_break(&parser->page, (enum dpc_page_gap)how);
}

static void
fill(struct parser *parser, struct dpc_roff_word rest, int how)
{
    (void)rest;
    parser->page.fill = how;
    dpc_page_break(&parser->page, DPC_GAP_LINE);
}

static void
tag(struct parser *parser, struct dpc_roff_word rest, int how)
{
    gap(parser, rest, how);
    parser->page.tag = true;
}

/* .IP: a short tag, such as a bullet, stands on the line of its paragraph. */
static void
indented(struct parser *parser, struct dpc_roff_word rest, int how)
{
    enum { SHORT_TAG_BYTES = 3 };
    struct dpc_roff_word words[DPC_ROFF_WORDS_MAX];
    gap(parser, rest, how);
    if (dpc_roff_words(rest, words) == 0)
        return;
    bool joins = dpc_page_add(&parser->page, words[0]);
    size_t len = parser->page.piece.len;
    dpc_page_put(&parser->page, joins);
    if (len > SHORT_TAG_BYTES)
        dpc_page_break(&parser->page, DPC_GAP_LINE);
}

static void
link_start(struct parser *parser, struct dpc_roff_word rest, int how)
{
    struct dpc_roff_word words[DPC_ROFF_WORDS_MAX];
    (void)how;
    parser->link = (struct dpc_roff_word){.text = parser->link_text};
    if (dpc_roff_words(rest, words) == 0 || words[0].len > sizeof parser->link_text)
        return;
    memcpy(parser->link_text, words[0].text, words[0].len);
    parser->link.len = words[0].len;
    parser->link_at = parser->page.out->len;
}

/* .UE, .ME: the address, in angle brackets where a text named it, then what follows it. */
static void
link_end(struct parser *parser, struct dpc_roff_word rest, int how)
{
    bool joins = false, named = parser->page.out->len > parser->link_at;
    (void)how;
    if (parser->link.len) {
        dpc_page_add_text(&parser->page, named ? "<" : "");
        dpc_page_add(&parser->page, parser->link);
        dpc_page_add_text(&parser->page, named ? ">" : "");
    } else {
        parser->page.gap = parser->page.gap == DPC_GAP_SPACE ? DPC_GAP_NONE : parser->page.gap;
    }
    add_words(parser, rest, " ", &joins);
    parser->link.len = 0;
    dpc_page_put(&parser->page, joins);
}

/* .URL and .MTO of asciidoc: address, text, what follows. */
static void
link_at_once(struct parser *parser, struct dpc_roff_word rest, int how)
{
    struct dpc_roff_word words[DPC_ROFF_WORDS_MAX];
    size_t count = dpc_roff_words(rest, words);
    bool named = count > 1 && words[1].len;
    (void)how;
    if (count == 0)
        return;
    if (named)
        dpc_page_add(&parser->page, words[1]);
    dpc_page_add_text(&parser->page, named ? " <" : "");
    dpc_page_add(&parser->page, words[0]);
    dpc_page_add_text(&parser->page, named ? ">" : "");
    if (count > 2)
        dpc_page_add(&parser->page, words[2]);
    dpc_page_put(&parser->page, false);
}

/* .OP: an option of a synopsis. */
static void
option(struct parser *parser, struct dpc_roff_word rest, int how)
{
    bool joins = false;
    (void)how;
    dpc_page_add_text(&parser->page, "[");
    add_words(parser, rest, " ", &joins);
    dpc_page_add_text(&parser->page, "]");
    dpc_page_put(&parser->page, false);
}

static void
synopsis(struct parser *parser, struct dpc_roff_word rest, int how)
{
    gap(parser, rest, how);
    font_words(parser, rest, SPACED);
}

/* .q: quoted words. */
static void
quoted(struct parser *parser, struct dpc_roff_word rest, int how)
{
    bool joins = false;
    (void)how;
    dpc_page_add_text(&parser->page, "\"");
    add_words(parser, rest, "\" ", &joins);
    dpc_page_add_text(&parser->page, "\"");
    dpc_page_put(&parser->page, false);
}

static void
define_string(struct parser *parser, struct dpc_roff_word rest, int how)
{
    struct dpc_roff_word name = trim(rest), value;
    size_t len = 0;
    (void)how;
    while (len < name.len && !isspace((unsigned char)name.text[len]))
        len++;
    value = trim((struct dpc_roff_word){.text = name.text + len, .len = name.len - len});
    if (value.len && *value.text == '"')
        value.text++, value.len--;
    name.len = len;
    dpc_roff_define(&parser->page.roff, name, value);
}

/* .de and .ig: everything up to "..", or to the request that is named. */
static void
drop_until(struct parser *parser, struct dpc_roff_word rest, int how)
{
    static const char *const ends[] = {".", "EN", "PE"};
    (void)rest;
    parser->until = ends[how];
}

static void
table_start(struct parser *parser, struct dpc_roff_word rest, int how)
{
    (void)rest, (void)how;
    parser->table = TABLE_FORMAT;
    parser->separator = '\t';
    parser->in_cell = false;
    dpc_page_break(&parser->page, DPC_GAP_PARAGRAPH);
}

static void
table_format(struct parser *parser, struct dpc_roff_word rest, int how)
{
    (void)rest, (void)how;
    if (parser->table)
        parser->table = TABLE_FORMAT;
}

static void
table_end(struct parser *parser, struct dpc_roff_word rest, int how)
{
    (void)rest, (void)how;
    parser->table = NO_TABLE;
    dpc_page_break(&parser->page, DPC_GAP_PARAGRAPH);
}

/* --- Conditions. */

/* The answer that a terminal gives, and the cursor behind the condition. What depends on registers
 * that nobody keeps here is no, except whether this is groff. */
static bool
condition(struct dpc_roff_word *rest)
{
    struct dpc_roff_word word = trim(*rest);
    bool negated = word.len && *word.text == '!';
    if (negated)
        word.text++, word.len--;
    size_t len = 0;
    char quote = word.len ? *word.text : 0;
    if (quote == '\'' || quote == '"') {
        for (int marks = 0; len < word.len && marks < 3; len++)
            marks += word.text[len] == quote;
    } else if (quote == 'n' || quote == 't' || quote == 'o' || quote == 'e') {
        len = 1;
    } else {
        while (len < word.len && word.text[len] != ' ')
            len++;
    }
    struct dpc_roff_word asked = {.text = word.text, .len = len};
    bool yes = dpc_roff_word_is(asked, "n") || dpc_roff_word_is(asked, "o") ||
               dpc_roff_word_is(asked, "\\n(.g") || dpc_roff_word_is(asked, "\\n[.g]");
    *rest = trim((struct dpc_roff_word){.text = word.text + len, .len = word.len - len});
    return yes != negated;
}

/* Braces that a line opens, less those that it closes. */
static int
brace_balance(struct dpc_roff_word line)
{
    int balance = 0;
    for (size_t i = 0; i + 1 < line.len; i++) {
        if (line.text[i] != '\\')
            continue;
        i++;
        balance += (line.text[i] == '{') - (line.text[i] == '}');
    }
    return balance;
}

static void
branch(struct parser *parser, bool taken, struct dpc_roff_word body)
{
    bool block = body.len > 1 && body.text[0] == '\\' && body.text[1] == '{';
    if (!taken) {
        int balance = brace_balance(body);
        parser->skip_depth = block && balance > 0 ? (unsigned)balance : 0;
        return;
    }
    if (block)
        body.text += 2, body.len -= 2;
    body = trim(body);
    if (body.len && parser->branch_depth < BRANCH_DEPTH_MAX) {
        parser->branch_depth++;
        read_line(parser, body);
        parser->branch_depth--;
    }
}

static void
if_or_ie(struct parser *parser, struct dpc_roff_word rest, int how)
{
    bool yes = condition(&rest);
    if (how && parser->taken_count < IE_DEPTH_MAX)
        parser->taken[parser->taken_count++] = yes;
    branch(parser, yes, rest);
}

static void
otherwise(struct parser *parser, struct dpc_roff_word rest, int how)
{
    (void)how;
    bool taken = parser->taken_count ? parser->taken[--parser->taken_count] : true;
    branch(parser, !taken, trim(rest));
}

/* --- The table. */

static const struct request requests[] = {
    {"B", font_words, SPACED},
    {"I", font_words, SPACED},
    {"R", font_words, SPACED},
    {"SM", font_words, SPACED},
    {"SB", font_words, SPACED},
    {"FN", font_words, SPACED},
    {"T", font_words, SPACED},
    {"BR", font_words, JOINED},
    {"RB", font_words, JOINED},
    {"BI", font_words, JOINED},
    {"IB", font_words, JOINED},
    {"IR", font_words, JOINED},
    {"RI", font_words, JOINED},
    {"q", quoted, 0},
    {"SH", heading, DPC_GAP_PARAGRAPH},
    {"SS", heading, DPC_GAP_PARAGRAPH},
    {"PP", gap, DPC_GAP_PARAGRAPH},
    {"P", gap, DPC_GAP_PARAGRAPH},
    {"LP", gap, DPC_GAP_PARAGRAPH},
    {"HP", gap, DPC_GAP_PARAGRAPH},
    {"sp", gap, DPC_GAP_PARAGRAPH},
    {"Sp", gap, DPC_GAP_PARAGRAPH},
    {"br", gap, DPC_GAP_LINE},
    {"ti", gap, DPC_GAP_LINE},
    {"in", gap, DPC_GAP_LINE},
    {"ce", gap, DPC_GAP_LINE},
    {"RS", gap, DPC_GAP_LINE},
    {"RE", gap, DPC_GAP_LINE},
    {"INDENT", gap, DPC_GAP_LINE},
    {"UNINDENT", gap, DPC_GAP_LINE},
    {"nf", fill, false},
    {"EX", fill, false},
    {"Vb", fill, false},
    {"fi", fill, true},
    {"EE", fill, true},
    {"Ve", fill, true},
    {"TP", tag, DPC_GAP_PARAGRAPH},
    {"Tp", tag, DPC_GAP_PARAGRAPH},
    {"TQ", tag, DPC_GAP_LINE},
    {"IP", indented, DPC_GAP_PARAGRAPH},
    {"UR", link_start, 0},
    {"MT", link_start, 0},
    {"UE", link_end, 0},
    {"ME", link_end, 0},
    {"URL", link_at_once, 0},
    {"MTO", link_at_once, 0},
    {"OP", option, 0},
    {"SY", synopsis, DPC_GAP_PARAGRAPH},
    {"YS", gap, DPC_GAP_PARAGRAPH},
    {"ds", define_string, 0},
    {"de", drop_until, 0},
    {"de1", drop_until, 0},
    {"am", drop_until, 0},
    {"ig", drop_until, 0},
    {"EQ", drop_until, 1},
    {"PS", drop_until, 2},
    {"TS", table_start, 0},
    {"T&", table_format, 0},
    {"TE", table_end, 0},
    {"if", if_or_ie, 0},
    {"ie", if_or_ie, 1},
    {"el", otherwise, 0},
};

static const struct request *
find_request(struct dpc_roff_word name)
{
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        if (dpc_roff_word_is(name, requests[i].name))
            return &requests[i];
    }
    return NULL;
}

/* --- Lines. */

/* Name and rest of a request line; false for a text line. */
static bool
split_request(struct dpc_roff_word line, struct dpc_roff_word *ret_name,
              struct dpc_roff_word *ret_rest)
{
    if (line.len == 0 || (*line.text != '.' && *line.text != '\''))
        return false;
    struct dpc_roff_word text =
        trim((struct dpc_roff_word){.text = line.text + 1, .len = line.len - 1});
    size_t len = 0;
    while (len < text.len && !isspace((unsigned char)text.text[len]) && text.text[len] != '\\')
        len++;
    *ret_name = (struct dpc_roff_word){.text = text.text, .len = len};
    *ret_rest = (struct dpc_roff_word){.text = text.text + len, .len = text.len - len};
    return true;
}

/* The line before a table's data: options end with ";", formats with ".". */
static void
read_format_line(struct parser *parser, struct dpc_roff_word line)
{
    static const char option_name[] = "tab(";
    while (line.len && isspace((unsigned char)line.text[line.len - 1]))
        line.len--;
    const char *option_at = memmem(line.text, line.len, option_name, sizeof option_name - 1);
    size_t after = option_at ? (size_t)(option_at - line.text) + sizeof option_name - 1 : 0;
    if (option_at && after < line.len)
        parser->separator = line.text[after];
    if (line.len && line.text[line.len - 1] == '.')
        parser->table = TABLE_ROWS;
}

/* The cells of a row with two spaces between; T{ and T} enclose a cell of several lines. */
static void
read_row(struct parser *parser, struct dpc_roff_word line)
{
    const char *at = line.text, *end = line.text + line.len;
    if (!parser->in_cell && (dpc_roff_word_is(line, "_") || dpc_roff_word_is(line, "=")))
        return;
    while (at <= end) {
        const char *stop = memchr(at, parser->separator, (size_t)(end - at));
        struct dpc_roff_word cell = {.text = at, .len = (size_t)((stop ? stop : end) - at)};
        if (dpc_roff_word_is(cell, "T{")) {
            parser->in_cell = true;
        } else if (dpc_roff_word_is(cell, "T}")) {
            parser->in_cell = false;
        } else if (cell.len) {
            dpc_page_add_text(&parser->page, parser->page.piece.len ? "  " : "");
            dpc_page_add(&parser->page, cell);
        }
        at = (stop ? stop : end) + 1;
    }
    dpc_page_put(&parser->page, false);
    if (!parser->in_cell)
        dpc_page_break(&parser->page, DPC_GAP_LINE);
}

static void
read_text(struct parser *parser, struct dpc_roff_word line)
{
    struct dpc_page *page = &parser->page;
    if (line.len == 0 || (*line.text == '\r' && line.len == 1)) {
        dpc_page_break(page, DPC_GAP_PARAGRAPH);
        return;
    }
    if (isspace((unsigned char)*line.text))
        dpc_page_break(page, DPC_GAP_LINE);
    bool joins = dpc_page_add(page, line);
    dpc_page_put(page, joins);
    if (parser->heading) {
        parser->heading = false;
        dpc_page_end_heading(page);
    }
}

static void
read_line(struct parser *parser, struct dpc_roff_word line)
{
    struct dpc_roff_word name, rest;
    if (parser->table == TABLE_ROWS && !split_request(line, &name, &rest)) {
        read_row(parser, line);
        return;
    }
    if (!split_request(line, &name, &rest)) {
        read_text(parser, line);
        return;
    }
    const struct request *request = find_request(name);
    if (request)
        request->run(parser, rest, request->how);
    else
        dpc_mdoc_request(&parser->page, name, rest);
}

/* Lines that are read for their end only: branches not taken, definitions, formats. */
static bool
skip_line(struct parser *parser, struct dpc_roff_word line)
{
    struct dpc_roff_word name, rest;
    if (parser->skip_depth) {
        int balance = brace_balance(line) + (int)parser->skip_depth;
        parser->skip_depth = balance > 0 ? (unsigned)balance : 0;
        return true;
    }
    bool request = split_request(line, &name, &rest);
    if (parser->until) {
        if (request && dpc_roff_word_is(name, parser->until))
            parser->until = NULL;
        return true;
    }
    if (parser->table == TABLE_FORMAT && !(request && dpc_roff_word_is(name, "TE"))) {
        read_format_line(parser, line);
        return true;
    }
    return false;
}

/* The next line into parser->line; a backslash at its end joins the line after it. */
static bool
next_line(struct parser *parser)
{
    if (parser->at == parser->end)
        return false;
    dpc_buf_reset(&parser->line);
    for (bool more = true; more && parser->at < parser->end;) {
        const char *stop = memchr(parser->at, '\n', (size_t)(parser->end - parser->at));
        size_t len = (size_t)((stop ? stop : parser->end) - parser->at), slashes = 0;
        while (slashes < len && parser->at[len - 1 - slashes] == '\\')
            slashes++;
        more = slashes % 2 == 1;
        dpc_buf_put(&parser->line, parser->at, len - more);
        parser->at += len + (stop != NULL);
    }
    return !parser->line.failed;
}

void
dpc_manpage_text(const char *source, size_t len, struct dpc_buf *out)
{
    struct parser parser = {.at = source, .end = source + len};
    dpc_page_init(&parser.page, out);
    dpc_buf_init(&parser.line, 0);
    while (next_line(&parser)) {
        struct dpc_roff_word line = {.text = dpc_buf_text(&parser.line), .len = parser.line.len};
        if (!skip_line(&parser, line))
            read_line(&parser, line);
    }
    if (out->len > parser.page.start)
        dpc_buf_put_u8(out, '\n');
    dpc_buf_done(&parser.line);
    dpc_page_done(&parser.page);
}

/* --- What a file is. */

/* Looks for a request at the start of any line. */
static bool
has_request(const char *source, size_t len, const char *name)
{
    struct dpc_roff_word found, rest;
    const char *at = source, *end = source + len;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        struct dpc_roff_word line = {.text = at, .len = (size_t)((stop ? stop : end) - at)};
        if (split_request(line, &found, &rest) && dpc_roff_word_is(found, name))
            return true;
        at = stop ? stop + 1 : end;
    }
    return false;
}

static bool
has_title(const char *source, size_t len)
{
    return has_request(source, len, "TH") || has_request(source, len, "Dd");
}

bool
dpc_manpage_is(const char *source, size_t len)
{
    return has_title(source, len) || has_request(source, len, "so");
}

bool
dpc_manpage_is_redirect(const char *source, size_t len)
{
    return !has_title(source, len) && has_request(source, len, "so");
}
