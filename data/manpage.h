/* SPDX-License-Identifier: Apache-2.0
 *
 * A manual page's source as the text that a reader sees, without typesetting: paragraphs run on one
 * line each, headings and list tags stand on lines of their own, examples keep their lines.
 * Comments, definitions, the title line and requests without text leave nothing: raw pages share a
 * few comment heads, and routing by the first bytes would see only those.
 *
 * Owns: nothing. Threads: any. Not here: unpacking and finding pages (data/import.h).
 */
#ifndef DPC_DATA_MANPAGE_H
#define DPC_DATA_MANPAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* True when the source has a page's title line (.TH, .Dd) or a redirect (.so). */
bool dpc_manpage_is(const char *source, size_t len);

/* True when the page only names another page that stands in its place. */
bool dpc_manpage_is_redirect(const char *source, size_t len);

/* Appends the page's text, which ends with a new line; nothing for a page without text. */
void dpc_manpage_text(const char *source, size_t len, struct dpc_buf *out);

#endif
