/* SPDX-License-Identifier: Apache-2.0
 * Texts of peers end in logs, tables and JSON. They are mended and not refused: a worker whose host
 * name is in Latin-1 should not fail for it. */
#include <string.h>

#include "base/utf8.h"
#include "proto/codec.h"

void
dpc_codec_clean_text(char *text, bool lines)
{
    uint8_t *at = (uint8_t *)text, *end = at + strlen(text);
    while (at < end) {
        bool control = (*at < 0x20 && !(lines && strchr("\n\t", *at))) || *at == 0x7f;
        size_t len = control ? 0 : dpc_utf8_sequence(at, (size_t)(end - at));
        if (len == 0) {
            *at = '?';
            len = 1;
        }
        at += len;
    }
}
