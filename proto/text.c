/* SPDX-License-Identifier: Apache-2.0
 * Texts of peers end in logs, tables and JSON. They are mended and not refused: a worker whose host
 * name is in Latin-1 should not fail for it. */
#include <string.h>

#include "proto/codec.h"

/* Bytes of the UTF-8 sequence at `at` (RFC 3629: no overlong forms, no surrogates), or 0. */
static size_t
sequence_bytes(const uint8_t *at)
{
    if (at[0] < 0x80)
        return 1;
    size_t len = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return len;
}

void
dpc_codec_clean_text(char *text, bool lines)
{
    uint8_t *at = (uint8_t *)text;
    while (*at) {
        bool control = (*at < 0x20 && !(lines && strchr("\n\t", *at))) || *at == 0x7f;
        size_t len = control ? 0 : sequence_bytes(at);
        if (len == 0) {
            *at = '?';
            len = 1;
        }
        at += len;
    }
}
