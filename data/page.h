/* SPDX-License-Identifier: Apache-2.0
 *
 * The running text of a manual page while it is read: pieces come one by one and are joined by a
 * space, a new line or an empty line, as a reader would see them.
 *
 * Owns: the strings of the page and a scratch buffer; the text goes to the caller's buffer.
 * Threads: one. Limits: DPC_PAGE_EXPANSION_MAX bytes from strings.
 */
#ifndef DPC_DATA_PAGE_H
#define DPC_DATA_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "data/roff.h"

enum { DPC_PAGE_EXPANSION_MAX = 1 << 20 };

/* What stands between the last piece and the next; a stronger one replaces a weaker. */
enum dpc_page_gap { DPC_GAP_NONE, DPC_GAP_SPACE, DPC_GAP_LINE, DPC_GAP_PARAGRAPH };

struct dpc_page {
    struct dpc_roff roff;
    struct dpc_buf *out;
    size_t start;          /* of the page in `out` */
    struct dpc_buf piece;  /* being put together */
    enum dpc_page_gap gap; /* before the next piece */
    bool fill;             /* lines of a paragraph run on */
    bool headed;           /* the last piece was a heading: no empty line follows */
    bool tag;              /* the next piece is the tag of a list item: it has a line of its own */
    char name[128];        /* of mdoc's .Nm */
};

void dpc_page_init(struct dpc_page *page, struct dpc_buf *out);
void dpc_page_done(struct dpc_page *page);

/* At least this gap before the next piece. */
void dpc_page_break(struct dpc_page *page, enum dpc_page_gap gap);

/* The last piece was a heading: the next one stands on the line below it. */
void dpc_page_end_heading(struct dpc_page *page);

/* Adds resolved text to the piece; true when it ends with `\c`. */
bool dpc_page_add(struct dpc_page *page, struct dpc_roff_word text);
void dpc_page_add_text(struct dpc_page *page, const char *text);

/* Puts the piece out and starts the next. An empty piece leaves nothing. With `joins` the next
 * piece follows without a gap. */
void dpc_page_put(struct dpc_page *page, bool joins);

#endif
