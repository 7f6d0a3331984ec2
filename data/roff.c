/* SPDX-License-Identifier: Apache-2.0
 * An escape is a backslash, a letter and, by the letter, an argument: one character, `(xx`,
 * `[name]`, or a text between two equal delimiters. A table says which; what leaves nothing on a
 * page (fonts, sizes, motions) is skipped with its argument. */
#include "data/roff.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { DEPTH_MAX = 8, STRING_BYTES_MAX = 1024 };

/* What a page may use without defining it: groff_man(7), mdoc(7). */
static const struct {
    const char *name, *value;
} predefined[] = {
    {"lq", "“"},  {"rq", "”"}, {"R", "®"},  {"Tm", "™"}, {"S", ""},   {"Aq", "'"}, {"C`", "\""},
    {"C'", "\""}, {"q", "\""}, {"Lt", "<"}, {"Gt", ">"}, {"Le", "≤"}, {"Ge", "≥"}, {"Ba", "|"},
    {"Am", "&"},  {"Ne", "≠"}, {"Pm", "±"}, {"If", "∞"}, {"Pi", "π"},
};

/* Where the reading stands. */
struct cursor {
    const char *at, *end;
};

bool
dpc_roff_word_is(struct dpc_roff_word word, const char *text)
{
    return strlen(text) == word.len && memcmp(word.text, text, word.len) == 0;
}

void
dpc_roff_init(struct dpc_roff *roff, size_t budget)
{
    *roff = (struct dpc_roff){.budget = budget};
}

void
dpc_roff_done(struct dpc_roff *roff)
{
    for (size_t i = 0; i < roff->strings_count; i++) {
        dpc_free(roff->strings[i].name);
        dpc_free(roff->strings[i].value);
    }
    roff->strings_count = 0;
}

static struct dpc_roff_string *
find_string(struct dpc_roff *roff, struct dpc_roff_word name)
{
    for (size_t i = 0; i < roff->strings_count; i++) {
        if (dpc_roff_word_is(name, roff->strings[i].name))
            return &roff->strings[i];
    }
    return NULL;
}

void
dpc_roff_define(struct dpc_roff *roff, struct dpc_roff_word name, struct dpc_roff_word value)
{
    struct dpc_roff_string *string = find_string(roff, name);
    if (name.len == 0 || name.len + value.len > STRING_BYTES_MAX)
        return;
    if (!string && roff->strings_count == DPC_ROFF_STRINGS_MAX)
        return;
    if (!string) {
        string = &roff->strings[roff->strings_count++];
        string->name = dpc_format("%.*s", (int)name.len, name.text);
        string->value = NULL;
    }
    dpc_free(string->value);
    string->value = dpc_format("%.*s", (int)value.len, value.text);
}

/* A name after an escape letter: `x`, `(xx` or `[name]`. */
static struct dpc_roff_word
take_name(struct cursor *cursor)
{
    struct dpc_roff_word name = {.text = cursor->at};
    size_t left = (size_t)(cursor->end - cursor->at);
    if (left == 0)
        return name;
    if (*cursor->at == '(') {
        name.text++;
        name.len = left > 3 ? 2 : left - 1;
        cursor->at = name.text + name.len;
    } else if (*cursor->at == '[') {
        const char *close = memchr(cursor->at, ']', left);
        name.text++;
        name.len = close ? (size_t)(close - name.text) : left - 1;
        cursor->at = close ? close + 1 : cursor->end;
    } else {
        name.len = 1;
        cursor->at++;
    }
    return name;
}

/* An argument between two equal characters: 'text'. */
static struct dpc_roff_word
take_quoted(struct cursor *cursor)
{
    struct dpc_roff_word text = {.text = cursor->at};
    if (cursor->at == cursor->end)
        return text;
    const char *start = cursor->at + 1;
    const char *close = memchr(start, *cursor->at, (size_t)(cursor->end - start));
    text.text = start;
    text.len = (size_t)((close ? close : cursor->end) - start);
    cursor->at = close ? close + 1 : cursor->end;
    return text;
}

/* \s: a size, with or without a sign, one digit or two, or in any of the brackets. */
static void
skip_size(struct cursor *cursor)
{
    if (cursor->at < cursor->end && (*cursor->at == '+' || *cursor->at == '-'))
        cursor->at++;
    if (cursor->at < cursor->end && *cursor->at == '\'')
        take_quoted(cursor);
    else if (cursor->end - cursor->at > 1 && *cursor->at >= '1' && *cursor->at <= '3' &&
             isdigit((unsigned char)cursor->at[1]))
        cursor->at += 2; /* \s10: sizes below 40 may have two digits */
    else
        take_name(cursor);
}

static void
put_text(struct dpc_buf *out, const char *text)
{
    dpc_buf_put(out, text, strlen(text));
}

static void
put_character(struct dpc_roff_word name, struct dpc_buf *out)
{
    char buffer[64];
    const char *text = dpc_roff_character(name, buffer);
    if (text)
        put_text(out, text);
}

static void
put_string(struct dpc_roff *roff, struct dpc_roff_word name, struct dpc_buf *out)
{
    const struct dpc_roff_string *string = find_string(roff, name);
    for (size_t i = 0; !string && i < sizeof predefined / sizeof *predefined; i++) {
        if (dpc_roff_word_is(name, predefined[i].name)) {
            put_text(out, predefined[i].value);
            return;
        }
    }
    if (!string || roff->depth == DEPTH_MAX)
        return;
    struct dpc_roff_word value = {.text = string->value, .len = strlen(string->value)};
    if (value.len > roff->budget)
        return;
    roff->budget -= value.len;
    roff->depth++;
    (void)dpc_roff_resolve(roff, value, out);
    roff->depth--;
}

/* \h: a motion to the right separates like a space. */
static void
put_motion(struct dpc_roff_word distance, struct dpc_buf *out)
{
    if (distance.len && (*distance.text == '+' || isdigit((unsigned char)*distance.text)))
        dpc_buf_put_u8(out, ' ');
}

/* \N'123': a character by its code. */
static void
put_code(struct dpc_roff_word digits, struct dpc_buf *out)
{
    char name[24] = "char";
    if (digits.len == 0 || digits.len > 8)
        return;
    memcpy(name + 4, digits.text, digits.len);
    put_character((struct dpc_roff_word){.text = name, .len = digits.len + 4}, out);
}

/* \o'ab': characters one over the other; the first stands for all. */
static void
put_overstrike(struct dpc_roff *roff, struct dpc_roff_word text, struct dpc_buf *out)
{
    if (text.len && *text.text != '\\')
        text.len = 1;
    if (roff->depth == DEPTH_MAX)
        return;
    roff->depth++;
    (void)dpc_roff_resolve(roff, text, out);
    roff->depth--;
}

/* What an escape letter stands for by itself; NULL for the others. */
static const char *
simple_escape(char letter)
{
    switch (letter) {
    case 'e':
    case 'E':
    case '\\':
        return "\\";
    case ' ':
    case '~':
    case '0':
        return " ";
    case 't':
        return "\t";
    case '-':
        return "-";
    case '\'':
        return "´";
    case '`':
        return "`";
    case '&':
    case ')':
    case '%':
    case '/':
    case ',':
    case ':':
    case '^':
    case '|':
    case '!':
    case '{':
    case '}':
    case 'a':
    case 'd':
    case 'p':
    case 'r':
    case 'u':
    case 'z':
        return "";
    default:
        return NULL;
    }
}

/* An escape with an argument; the cursor stands behind its letter. */
static void
put_escape(struct dpc_roff *roff, char letter, struct cursor *cursor, struct dpc_buf *out)
{
    if (letter == '(' || letter == '[') {
        cursor->at--;
        put_character(take_name(cursor), out);
    } else if (letter == '*') {
        put_string(roff, take_name(cursor), out);
    } else if (letter == 'h') {
        put_motion(take_quoted(cursor), out);
    } else if (letter == 'N') {
        put_code(take_quoted(cursor), out);
    } else if (letter == 'o' || letter == 'Z') {
        put_overstrike(roff, take_quoted(cursor), out);
    } else if (letter == 's') {
        skip_size(cursor);
    } else if (strchr("fFgkmMnOVY$", letter)) {
        if (letter == 'n' && cursor->at < cursor->end && strchr("+-", *cursor->at))
            cursor->at++;
        take_name(cursor);
    } else if (strchr("vwlLDbBAxXHSRC", letter)) {
        take_quoted(cursor);
    } else {
        dpc_buf_put_u8(out, (uint8_t)letter);
    }
}

bool
dpc_roff_resolve(struct dpc_roff *roff, struct dpc_roff_word text, struct dpc_buf *out)
{
    struct cursor cursor = {.at = text.text, .end = text.text + text.len};
    bool joins = false;
    while (cursor.at < cursor.end) {
        const char *slash = memchr(cursor.at, '\\', (size_t)(cursor.end - cursor.at));
        size_t plain = (size_t)((slash ? slash : cursor.end) - cursor.at);
        dpc_buf_put(out, cursor.at, plain);
        joins = joins && plain == 0;
        cursor.at += plain;
        if (!slash || ++cursor.at == cursor.end)
            break;
        char letter = *cursor.at++;
        if (letter == '"' || letter == '#')
            break;
        const char *simple = simple_escape(letter);
        if (letter == 'c')
            joins = true;
        else if (simple)
            put_text(out, simple);
        else if (letter)
            put_escape(roff, letter, &cursor, out);
    }
    return joins;
}

/* The end of a word that starts at `at`; `quoted` when it is held together by quotes. */
static const char *
word_end(const char *at, const char *end, bool quoted)
{
    for (; at < end; at++) {
        if (*at == '\\' && at + 1 < end) {
            if (at[1] == '"')
                return at;
            at++;
        } else if (quoted && *at == '"') {
            if (at + 1 == end || at[1] != '"')
                return at;
            at++;
        } else if (!quoted && (*at == ' ' || *at == '\t')) {
            return at;
        }
    }
    return end;
}

size_t
dpc_roff_words(struct dpc_roff_word line, struct dpc_roff_word words[DPC_ROFF_WORDS_MAX])
{
    const char *at = line.text, *end = line.text + line.len;
    size_t count = 0;
    while (count < DPC_ROFF_WORDS_MAX) {
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        if (at == end || (*at == '\\' && at + 1 < end && at[1] == '"'))
            break;
        bool quoted = *at == '"';
        at += quoted;
        const char *stop = word_end(at, end, quoted);
        words[count++] = (struct dpc_roff_word){.text = at, .len = (size_t)(stop - at)};
        at = stop + (quoted && stop < end && *stop == '"');
    }
    return count;
}
