/* SPDX-License-Identifier: Apache-2.0
 * The first byte gives the length and the range of the second; the others are 80..BF. */
#include "base/utf8.h"

#include <string.h>

size_t
dpc_utf8_sequence(const uint8_t *text, size_t left)
{
    uint8_t first = text[0], low = 0x80, high = 0xBF;
    size_t len;
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        len = 2;
    else if (first >= 0xE0 && first <= 0xEF)
        len = 3;
    else if (first >= 0xF0 && first <= 0xF4)
        len = 4;
    else
        return 0;
    low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : low;
    high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : high;
    if (left < len || text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    }
    return len;
}

bool
dpc_utf8_valid(const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t step = dpc_utf8_sequence(text + i, len - i);
        if (!step)
            return false;
        i += step;
    }
    return true;
}

void
dpc_utf8_mend(const void *bytes, size_t len, struct dpc_buf *out)
{
    const uint8_t *at = bytes, *end = at + len;
    while (at < end) {
        size_t step = *at ? dpc_utf8_sequence(at, (size_t)(end - at)) : 0;
        if (step)
            dpc_buf_put(out, at, step);
        else
            dpc_buf_put(out, DPC_UTF8_REPLACEMENT, strlen(DPC_UTF8_REPLACEMENT));
        at += step ? step : 1;
    }
}

size_t
dpc_utf8_mark(const uint8_t *text, size_t len)
{
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF};
    return len >= sizeof mark && memcmp(text, mark, sizeof mark) == 0 ? sizeof mark : 0;
}

bool
dpc_utf8_is_control(const uint8_t *text, size_t len)
{
    if (len == 1)
        return text[0] < 0x20 || text[0] == 0x7F;
    if (len == 2)
        return text[0] == 0xC2 && text[1] < 0xA0;
    if (len != 3 || text[0] != 0xE2)
        return false;
    return (text[1] == 0x80 && text[2] >= 0xAA && text[2] <= 0xAE) || /* U+202A to U+202E */
           (text[1] == 0x81 && text[2] >= 0xA6 && text[2] <= 0xA9);   /* U+2066 to U+2069 */
}
