/* SPDX-License-Identifier: Apache-2.0
 *
 * Request lines of mdoc(7), the BSD manual's macros, as text.
 *
 * Owns: nothing. Threads: one a page.
 */
#ifndef DPC_DATA_MDOC_H
#define DPC_DATA_MDOC_H

#include "data/page.h"

/* Reads one request line: its name and the rest. A name that is none of mdoc's adds nothing. */
void dpc_mdoc_request(struct dpc_page *page, struct dpc_roff_word name, struct dpc_roff_word rest);

#endif
