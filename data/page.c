/* SPDX-License-Identifier: Apache-2.0
 * The gap is written with the piece that comes after it, so a page never ends with one. */
#include "data/page.h"

#include <string.h>

void
dpc_page_init(struct dpc_page *page, struct dpc_buf *out)
{
    *page = (struct dpc_page){.out = out, .start = out->len, .fill = true};
    dpc_roff_init(&page->roff, DPC_PAGE_EXPANSION_MAX);
    dpc_buf_init(&page->piece, 0);
}

void
dpc_page_done(struct dpc_page *page)
{
    dpc_roff_done(&page->roff);
    dpc_buf_done(&page->piece);
}

void
dpc_page_break(struct dpc_page *page, enum dpc_page_gap gap)
{
    if (gap > page->gap)
        page->gap = gap;
}

void
dpc_page_end_heading(struct dpc_page *page)
{
    page->headed = true;
    dpc_page_break(page, DPC_GAP_LINE);
}

bool
dpc_page_add(struct dpc_page *page, struct dpc_roff_word text)
{
    return dpc_roff_resolve(&page->roff, text, &page->piece);
}

void
dpc_page_add_text(struct dpc_page *page, const char *text)
{
    dpc_buf_put(&page->piece, text, strlen(text));
}

static void
put_gap(struct dpc_page *page)
{
    static const char *const gaps[] = {[DPC_GAP_NONE] = "",
                                       [DPC_GAP_SPACE] = " ",
                                       [DPC_GAP_LINE] = "\n",
                                       [DPC_GAP_PARAGRAPH] = "\n\n"};
    const char *gap = gaps[page->headed ? DPC_GAP_LINE : page->gap];
    bool has_space = page->out->len > page->start && page->out->data[page->out->len - 1] == ' ';
    if (page->out->len == page->start || (page->gap == DPC_GAP_SPACE && has_space))
        return;
    dpc_buf_put(page->out, gap, strlen(gap));
}

void
dpc_page_put(struct dpc_page *page, bool joins)
{
    struct dpc_buf *piece = &page->piece;
    while (!joins && piece->len && strchr(" \t\r", piece->data[piece->len - 1]))
        piece->len--;
    if (piece->len == 0) {
        if (joins)
            page->gap = page->gap == DPC_GAP_SPACE ? DPC_GAP_NONE : page->gap;
        return;
    }
    put_gap(page);
    page->headed = false;
    dpc_buf_put(page->out, piece->data, piece->len);
    dpc_buf_reset(piece);
    page->gap = joins ? DPC_GAP_NONE : page->fill ? DPC_GAP_SPACE : DPC_GAP_LINE;
    if (page->tag && !joins) {
        page->tag = false;
        page->gap = DPC_GAP_LINE;
    }
}
