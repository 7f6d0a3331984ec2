/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_BASE_UTF8_H
#define DPC_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* U+FFFD, which stands for what is none. */
#define DPC_UTF8_REPLACEMENT "\xEF\xBF\xBD"

/* Bytes of the character that begins at `text`, of which `left` >= 1 are there; 0: it is none. */
size_t dpc_utf8_sequence(const uint8_t *text, size_t left);

bool dpc_utf8_valid(const uint8_t *text, size_t len);

/* Appends `len` bytes as JSON can hold them: what is no UTF-8, and zero bytes, become U+FFFD. */
void dpc_utf8_mend(const void *bytes, size_t len, struct dpc_buf *out);

/* Bytes of the byte order mark that some editors and exports begin a file with: 3, or 0. */
size_t dpc_utf8_mark(const uint8_t *text, size_t len);

/* Whether the character of `len` >= 1 bytes at `text` steers a terminal instead of being shown: C0
 * (newline and tab too), DEL, C1, which some terminals obey as well, and the embeddings, overrides
 * and isolates of UAX #9, which show a line in another order than it is read. */
bool dpc_utf8_is_control(const uint8_t *text, size_t len);

#endif
