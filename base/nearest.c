/* SPDX-License-Identifier: Apache-2.0
 * Optimal string alignment: three rows of the usual table suffice for swaps of neighbours. */
#include "base/nearest.h"

#include <stdint.h>
#include <string.h>

enum { NAME_MAX_COMPARED = 128 };

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t
dpc_nearest_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NAME_MAX_COMPARED + 1];
    a_len = smaller(a_len, NAME_MAX_COMPARED);
    b_len = smaller(b_len, NAME_MAX_COMPARED);
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] =
                smaller(smaller(above[j], now[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

void
dpc_nearest_offer(struct dpc_nearest *nearest, const char *name)
{
    size_t len = strlen(nearest->wanted);
    size_t distance = dpc_nearest_distance(nearest->wanted, len, name, strlen(name));
    /* A beginning of the name is meant even when much is missing behind it. */
    if (len >= 2 && strncmp(name, nearest->wanted, len) == 0)
        distance = 1;
    if (distance > 1 + len / 4)
        return;
    if (!nearest->best || distance < nearest->best_distance) {
        nearest->best = name;
        nearest->best_distance = distance;
    }
}
