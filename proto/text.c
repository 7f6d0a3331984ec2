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
        size_t len = dpc_utf8_sequence(at, (size_t)(end - at));
        bool kept = lines && (*at == '\n' || *at == '\t');
        if (len == 0 || (!kept && dpc_utf8_is_control(at, len))) {
            len = len ? len : 1;
            memset(at, '?', len);
        }
        at += len;
    }
}
