/* SPDX-License-Identifier: Apache-2.0
 *
 * The inner syntax of roff, the language of manual pages: escapes, strings and the words of a
 * request line. Enough of it to read pages as text, nothing of typesetting. Names of escapes:
 * groff(7).
 *
 * Owns: the strings that a page defined. Threads: one. Limits: DPC_ROFF_STRINGS_MAX strings, and
 * `budget` bytes of text from strings, so that a string that names itself ends.
 */
#ifndef DPC_DATA_ROFF_H
#define DPC_DATA_ROFF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { DPC_ROFF_STRINGS_MAX = 256, DPC_ROFF_WORDS_MAX = 128 };

struct dpc_roff_string {
    char *name;
    char *value; /* not resolved yet */
};

struct dpc_roff {
    struct dpc_roff_string strings[DPC_ROFF_STRINGS_MAX];
    size_t strings_count;
    size_t budget; /* bytes */
    int depth;
};

/* A word of a request line; points into the line. */
struct dpc_roff_word {
    const char *text;
    size_t len;
};

void dpc_roff_init(struct dpc_roff *roff, size_t budget);
void dpc_roff_done(struct dpc_roff *roff);

/* `.ds name value`; more strings than the limit are dropped. */
void dpc_roff_define(struct dpc_roff *roff, struct dpc_roff_word name, struct dpc_roff_word value);

/* Appends what a reader would see of `text`. Returns true when it ends with `\c`: what follows
 * joins without a space. */
bool dpc_roff_resolve(struct dpc_roff *roff, struct dpc_roff_word text, struct dpc_buf *out);

/* Cuts a request line into words: spaces separate, quotes hold together, `\"` ends the line. A
 * doubled quote inside quotes stays doubled. Returns the number of words. */
size_t dpc_roff_words(struct dpc_roff_word line, struct dpc_roff_word words[DPC_ROFF_WORDS_MAX]);

/* UTF-8 of a named character ("em", "bu", "'e", "u20AC", "char176"), or NULL. The answer lies in a
 * table, or in `buffer`. */
const char *dpc_roff_character(struct dpc_roff_word name, char buffer[static 64]);

/* True when `word` is exactly `text`. */
bool dpc_roff_word_is(struct dpc_roff_word word, const char *text);

#endif
