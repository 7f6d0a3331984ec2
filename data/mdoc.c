/* SPDX-License-Identifier: Apache-2.0
 * A line names a macro, and most of its words may name macros again: `.Op Fl a Ar file`. Words are
 * read left to right; an enclosure such as Op closes at the end of the line, before punctuation. */
#include "data/mdoc.h"

#include <stdio.h>
#include <string.h>

enum { OPEN_MAX = 8 };

enum kind {
    PLAIN,   /* its words are text */
    FLAG,    /* a dash before each word */
    ENCLOSE, /* `open` and `close` around the rest of the line */
    OPEN,    /* `open`, until another macro closes */
    CLOSE,   /* `close` without a space before */
    NAME,    /* the page's own name where no word follows */
    CROSS,   /* name(section) */
    CALL,    /* name(arguments) */
    GLUE,    /* no space */
    NOTHING, /* leaves no text, nor does the rest of the line */
    HEADING,
    PARAGRAPH,
    ITEM,
    LINE,
    DISPLAY,
    DISPLAY_END,
    SUMMARY, /* .Nd */
};

struct macro {
    char name[4];
    enum kind kind;
    const char *open, *close; /* PLAIN: `open` stands where no word follows */
};

static const struct macro macros[] = {
    {"Sh", HEADING, 0, 0},        {"Ss", HEADING, 0, 0},       {"Pp", PARAGRAPH, 0, 0},
    {"Lp", PARAGRAPH, 0, 0},      {"Bl", LINE, 0, 0},          {"El", PARAGRAPH, 0, 0},
    {"It", ITEM, 0, 0},           {"Bd", DISPLAY, 0, 0},       {"Ed", DISPLAY_END, 0, 0},
    {"Nd", SUMMARY, 0, 0},        {"Nm", NAME, 0, 0},          {"Fl", FLAG, 0, 0},
    {"Xr", CROSS, 0, 0},          {"Fn", CALL, 0, 0},          {"Ns", GLUE, 0, 0},
    {"Ar", PLAIN, "file ...", 0}, {"Cm", PLAIN, 0, 0},         {"Ic", PLAIN, 0, 0},
    {"Pa", PLAIN, "~", 0},        {"Ev", PLAIN, 0, 0},         {"Dv", PLAIN, 0, 0},
    {"Va", PLAIN, 0, 0},          {"Vt", PLAIN, 0, 0},         {"Fa", PLAIN, 0, 0},
    {"Ft", PLAIN, 0, 0},          {"Em", PLAIN, 0, 0},         {"Sy", PLAIN, 0, 0},
    {"Li", PLAIN, 0, 0},          {"An", PLAIN, 0, 0},         {"Mt", PLAIN, 0, 0},
    {"Lk", PLAIN, 0, 0},          {"Ad", PLAIN, 0, 0},         {"Er", PLAIN, 0, 0},
    {"Tn", PLAIN, 0, 0},          {"Cd", PLAIN, 0, 0},         {"Ms", PLAIN, 0, 0},
    {"No", PLAIN, 0, 0},          {"Sx", PLAIN, 0, 0},         {"St", PLAIN, 0, 0},
    {"In", PLAIN, 0, 0},          {"Bx", PLAIN, "BSD", 0},     {"Nx", PLAIN, "NetBSD", 0},
    {"Fx", PLAIN, "FreeBSD", 0},  {"Ox", PLAIN, "OpenBSD", 0}, {"Ux", PLAIN, "UNIX", 0},
    {"At", PLAIN, "UNIX", 0},     {"%A", PLAIN, 0, 0},         {"%B", PLAIN, 0, 0},
    {"%D", PLAIN, 0, 0},          {"%I", PLAIN, 0, 0},         {"%J", PLAIN, 0, 0},
    {"%N", PLAIN, 0, 0},          {"%O", PLAIN, 0, 0},         {"%P", PLAIN, 0, 0},
    {"%Q", PLAIN, 0, 0},          {"%R", PLAIN, 0, 0},         {"%T", PLAIN, 0, 0},
    {"%U", PLAIN, 0, 0},          {"%V", PLAIN, 0, 0},         {"Op", ENCLOSE, "[", "]"},
    {"Dq", ENCLOSE, "“", "”"},    {"Sq", ENCLOSE, "‘", "’"},   {"Qq", ENCLOSE, "\"", "\""},
    {"Ql", ENCLOSE, "‘", "’"},    {"Pq", ENCLOSE, "(", ")"},   {"Aq", ENCLOSE, "<", ">"},
    {"Bq", ENCLOSE, "[", "]"},    {"Brq", ENCLOSE, "{", "}"},  {"D1", ENCLOSE, "", ""},
    {"Dl", ENCLOSE, "", ""},      {"Oo", OPEN, "[", 0},        {"Oc", CLOSE, 0, "]"},
    {"Do", OPEN, "“", 0},         {"Dc", CLOSE, 0, "”"},       {"So", OPEN, "‘", 0},
    {"Sc", CLOSE, 0, "’"},        {"Qo", OPEN, "\"", 0},       {"Qc", CLOSE, 0, "\""},
    {"Po", OPEN, "(", 0},         {"Pc", CLOSE, 0, ")"},       {"Ao", OPEN, "<", 0},
    {"Ac", CLOSE, 0, ">"},        {"Bo", OPEN, "[", 0},        {"Bc", CLOSE, 0, "]"},
    {"Xo", PLAIN, 0, 0},          {"Xc", PLAIN, 0, 0},         {"Rs", LINE, 0, 0},
    {"Re", LINE, 0, 0},           {"Dd", NOTHING, 0, 0},       {"Dt", NOTHING, 0, 0},
    {"Os", NOTHING, 0, 0},        {"Sm", NOTHING, 0, 0},       {"Bk", NOTHING, 0, 0},
    {"Ek", NOTHING, 0, 0},        {"Lb", NOTHING, 0, 0},       {"Db", NOTHING, 0, 0},
};

/* One line while it is read. */
struct line {
    struct dpc_page *page;
    struct dpc_roff_word words[DPC_ROFF_WORDS_MAX];
    size_t count, at;
    const char *closers[OPEN_MAX];
    size_t closers_count;
    bool glued; /* the next word follows without a space */
};

static const struct macro *
find_macro(struct dpc_roff_word name)
{
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++) {
        if (dpc_roff_word_is(name, macros[i].name))
            return &macros[i];
    }
    return NULL;
}

static bool
closes(struct dpc_roff_word word)
{
    return word.len == 1 && strchr(".,;:?!)]", *word.text);
}

/* True when only punctuation, or another macro, follows. */
static bool
has_no_words(const struct line *line)
{
    return line->at == line->count || closes(line->words[line->at]) ||
           find_macro(line->words[line->at]);
}

static void
space(struct line *line)
{
    if (line->page->piece.len && !line->glued)
        dpc_page_add_text(line->page, " ");
    line->glued = false;
}

static void
add_word(struct line *line, struct dpc_roff_word word)
{
    if (closes(word))
        line->glued = true;
    space(line);
    dpc_page_add(line->page, word);
    line->glued = word.len == 1 && strchr("([", *word.text);
}

static void
add_text(struct line *line, const char *text)
{
    space(line);
    dpc_page_add_text(line->page, text);
}

static void
add_flag(struct line *line)
{
    do {
        add_text(line, "-");
        line->glued = true;
        if (!has_no_words(line))
            add_word(line, line->words[line->at++]);
    } while (!has_no_words(line));
    /* `Fl Fl word` is a long option, `Fl x Ns Ar y` holds together. */
    line->glued = line->at < line->count && (dpc_roff_word_is(line->words[line->at], "Ns") ||
                                             dpc_roff_word_is(line->words[line->at], "Fl"));
}

static void
add_name(struct line *line)
{
    if (has_no_words(line)) {
        add_text(line, line->page->name);
        return;
    }
    struct dpc_roff_word word = line->words[line->at++];
    if (!*line->page->name)
        (void)snprintf(line->page->name, sizeof line->page->name, "%.*s", (int)word.len, word.text);
    add_word(line, word);
}

static void
add_cross(struct line *line)
{
    if (has_no_words(line))
        return;
    add_word(line, line->words[line->at++]);
    if (has_no_words(line))
        return;
    dpc_page_add_text(line->page, "(");
    dpc_page_add(line->page, line->words[line->at++]);
    dpc_page_add_text(line->page, ")");
}

static void
add_call(struct line *line)
{
    if (has_no_words(line))
        return;
    add_word(line, line->words[line->at++]);
    dpc_page_add_text(line->page, "(");
    for (bool first = true; !has_no_words(line); first = false) {
        dpc_page_add_text(line->page, first ? "" : ", ");
        dpc_page_add(line->page, line->words[line->at++]);
    }
    dpc_page_add_text(line->page, ")");
}

static void
add_enclosure(struct line *line, const struct macro *macro)
{
    add_text(line, macro->open);
    line->glued = true;
    if (line->closers_count < OPEN_MAX)
        line->closers[line->closers_count++] = macro->close;
}

static void
add_macro(struct line *line, const struct macro *macro)
{
    switch (macro->kind) {
    case FLAG:
        add_flag(line);
        break;
    case ENCLOSE:
        add_enclosure(line, macro);
        break;
    case OPEN:
        add_text(line, macro->open);
        line->glued = true;
        break;
    case CLOSE:
        line->glued = true;
        add_text(line, macro->close);
        break;
    case NAME:
        add_name(line);
        break;
    case CROSS:
        add_cross(line);
        break;
    case CALL:
        add_call(line);
        break;
    case GLUE:
        line->glued = true;
        break;
    default:
        if (macro->open && has_no_words(line))
            add_text(line, macro->open);
        break;
    }
}

static void
close_all(struct line *line)
{
    while (line->closers_count) {
        line->glued = true;
        add_text(line, line->closers[--line->closers_count]);
    }
}

/* True when the words from here on are only punctuation: enclosures close before it. */
static bool
only_punctuation(const struct line *line)
{
    for (size_t i = line->at; i < line->count; i++) {
        if (!closes(line->words[i]))
            return false;
    }
    return true;
}

static void
add_words(struct line *line)
{
    while (line->at < line->count) {
        if (only_punctuation(line))
            close_all(line);
        struct dpc_roff_word word = line->words[line->at++];
        const struct macro *macro = find_macro(word);
        if (macro)
            add_macro(line, macro);
        else
            add_word(line, word);
    }
    close_all(line);
}

/* What the macro at the start of a line does to the layout, before its words. */
static void
lay_out(struct line *line, const struct macro *macro)
{
    struct dpc_page *page = line->page;
    bool literal = false;
    switch (macro->kind) {
    case HEADING:
    case PARAGRAPH:
        dpc_page_break(page, DPC_GAP_PARAGRAPH);
        break;
    case ITEM:
        dpc_page_break(page, DPC_GAP_PARAGRAPH);
        page->tag = line->count > 0;
        break;
    case DISPLAY:
        for (size_t i = 0; i < line->count; i++)
            literal = literal || dpc_roff_word_is(line->words[i], "-literal") ||
                      dpc_roff_word_is(line->words[i], "-unfilled");
        page->fill = !literal;
        dpc_page_break(page, DPC_GAP_LINE);
        line->count = 0;
        break;
    case DISPLAY_END:
        page->fill = true;
        dpc_page_break(page, DPC_GAP_LINE);
        break;
    case LINE:
        dpc_page_break(page, DPC_GAP_LINE);
        line->count = 0;
        break;
    case SUMMARY:
        dpc_page_add_text(page, "-");
        break;
    case CLOSE:
        page->gap = page->gap == DPC_GAP_SPACE ? DPC_GAP_NONE : page->gap;
        break;
    default:
        break;
    }
}

void
dpc_mdoc_request(struct dpc_page *page, struct dpc_roff_word name, struct dpc_roff_word rest)
{
    const struct macro *macro = find_macro(name);
    struct line line = {.page = page};
    if (!macro || macro->kind == NOTHING)
        return;
    line.count = dpc_roff_words(rest, line.words);
    lay_out(&line, macro);
    if (line.count || macro->kind < HEADING)
        add_macro(&line, macro);
    add_words(&line);
    dpc_page_put(page, line.glued && macro->kind == OPEN);
    if (macro->kind == HEADING)
        dpc_page_end_heading(page);
}
