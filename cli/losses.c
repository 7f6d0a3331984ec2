/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/losses.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/rng.h"
#include "base/vfs.h"

enum { RESAMPLES = 2000, BOOTSTRAP_SEED = 1 };
#define FILE_BYTES_MAX (1024 * DPC_MIB)

/* --- Reading. */

/* Cuts the next column off; false where there is none or where it is no whole number of 32 bits. */
static bool
take_number(char **rest, uint32_t *ret_number)
{
    const char *text = strsep(rest, "\t");
    if (!text || !*text || text[strspn(text, "0123456789")])
        return false;
    unsigned long long value = strtoull(text, NULL, 10);
    *ret_number = (uint32_t)value;
    return value <= UINT32_MAX;
}

/* All of the rest. strtod would also take blanks and hexadecimal. */
static bool
take_nats(const char *text, double *ret_nats)
{
    char *end;
    if (!text || !*text || text[strspn(text, "0123456789+-.e")])
        return false;
    *ret_nats = strtod(text, &end);
    return !*end && isfinite(*ret_nats);
}

/* Cuts the line at its columns; the first one is the name. */
static bool
parse_line(char *line, size_t len, struct dpc_loss *ret_loss, const char **ret_name)
{
    char *rest = line;
    if (strlen(line) != len) /* a zero byte: what stands behind it would be left out */
        return false;
    *ret_name = strsep(&rest, "\t");
    return **ret_name && take_number(&rest, &ret_loss->document) &&
           take_number(&rest, &ret_loss->targets) && take_number(&rest, &ret_loss->bytes) &&
           take_nats(rest, &ret_loss->nats);
}

/* Is a line with this in its first column of them? */
static bool
is_wanted(const char *name, struct dpc_losses_of of)
{
    return of.every ? strtoul(name, NULL, 10) == of.every
                    : (strcmp(name, "dense") == 0) == of.dense;
}

static int
compare_documents(const void *one, const void *two)
{
    const struct dpc_loss *a = one, *b = two;
    return a->document < b->document ? -1 : a->document > b->document;
}

/* The first line holds titles. `text` has a zero behind it and is cut into its lines. */
static int
parse(const char *path, char *text, size_t len, struct dpc_losses_of of,
      struct dpc_losses *ret_losses, struct dpc_error *err)
{
    struct dpc_losses losses = {.count = 0};
    unsigned number = 0;
    for (char *line = text, *next; line < text + len; line = next + 1) {
        struct dpc_loss loss;
        const char *name;
        next = memchr(line, '\n', (size_t)(text + len - line));
        next = next ? next : text + len;
        *next = 0;
        if (++number == 1)
            continue;
        if (!parse_line(line, (size_t)(next - line), &loss, &name)) {
            dpc_losses_done(&losses);
            return dpc_error_set(err, DPC_ECORRUPT,
                                 "%s:%u: not a name, a document and three numbers: remove the "
                                 "run's folder to train it again",
                                 path, number);
        }
        if (!is_wanted(name, of))
            continue;
        losses.items = dpc_grow(losses.items, losses.count + 1, sizeof *losses.items);
        losses.items[losses.count++] = loss;
    }
    if (losses.count)
        qsort(losses.items, losses.count, sizeof *losses.items, compare_documents);
    *ret_losses = losses;
    return DPC_OK;
}

int
dpc_losses_load(const char *folder, struct dpc_losses_of of, struct dpc_losses *ret_losses,
                struct dpc_error *err)
{
    const char *name = of.every ? "reroute.tsv" : "documents.tsv";
    char path[DPC_PATH_MAX];
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = dpc_path_join(folder, name, path, sizeof path);
    if (rc != DPC_OK)
        return dpc_error_set(err, rc, "the path \"%.200s/%s\" is too long", folder, name);
    rc = dpc_vfs_read_file(&dpc_vfs_posix, path, FILE_BYTES_MAX, &bytes, &len, err);
    if (rc != DPC_OK)
        return rc;
    rc = parse(path, (char *)bytes, len, of, ret_losses, err);
    dpc_free(bytes);
    return rc;
}

void
dpc_losses_done(struct dpc_losses *losses)
{
    dpc_free(losses->items);
    *losses = (struct dpc_losses){.count = 0};
}

/* --- Comparing. */

bool
dpc_losses_match(const struct dpc_losses *one, const struct dpc_losses *two, enum dpc_losses_by by)
{
    bool match = one->count == two->count && one->count > 0;
    for (uint32_t i = 0; match && i < one->count; i++) {
        const struct dpc_loss *a = &one->items[i], *b = &two->items[i];
        match = a->document == b->document &&
                (by == DPC_LOSSES_BY_BYTE ? a->bytes && b->bytes : a->targets == b->targets);
    }
    return match;
}

/* Over the documents as they are (NULL), or over as many drawn ones. */
static double
difference(const struct dpc_losses *one, const struct dpc_losses *two, enum dpc_losses_by by,
           struct dpc_rng *rng)
{
    double apart = 0, targets = 0, nats[2] = {0}, bytes[2] = {0};
    for (uint32_t i = 0; i < one->count; i++) {
        uint32_t drawn = rng ? (uint32_t)dpc_rng_below(rng, one->count) : i;
        const struct dpc_loss *a = &one->items[drawn], *b = &two->items[drawn];
        apart += a->nats - b->nats;
        targets += a->targets;
        nats[0] += a->nats;
        nats[1] += b->nats;
        bytes[0] += a->bytes;
        bytes[1] += b->bytes;
    }
    if (by == DPC_LOSSES_BY_TOKEN)
        return targets > 0 ? apart / targets : 0;
    return nats[0] > 0 && nats[1] > 0 ? log(nats[0] / bytes[0] / (nats[1] / bytes[1])) : 0;
}

static int
compare_numbers(const void *one, const void *two)
{
    double a = *(const double *)one, b = *(const double *)two;
    return a < b ? -1 : a > b;
}

static bool
same_documents(const struct dpc_losses *one, const struct dpc_losses *two)
{
    bool same = one->count == two->count;
    for (uint32_t i = 0; same && i < one->count; i++)
        same = one->items[i].document == two->items[i].document;
    return same;
}

/* Seeds that read the same documents have them drawn alike: a document that is easy for a model is
 * so with each seed, and drawn for each seed by itself it would count as so many documents. */
struct dpc_difference
dpc_losses_compare(const struct dpc_losses *ones, const struct dpc_losses *twos, uint32_t count,
                   enum dpc_losses_by by)
{
    struct dpc_difference found = {.mean = 0};
    double *drawn = dpc_alloc(RESAMPLES, sizeof *drawn);
    for (uint32_t pair = 0; pair < count; pair++) {
        struct dpc_rng rng;
        uint32_t stream = same_documents(&ones[0], &ones[pair]) ? 0 : pair;
        dpc_rng_init(&rng, BOOTSTRAP_SEED, DPC_RNG_BOOTSTRAP, stream, 0, 0);
        found.mean += difference(&ones[pair], &twos[pair], by, NULL) / count;
        for (uint32_t i = 0; i < RESAMPLES; i++)
            drawn[i] += difference(&ones[pair], &twos[pair], by, &rng) / count;
    }
    qsort(drawn, RESAMPLES, sizeof *drawn, compare_numbers);
    found.low = drawn[RESAMPLES / 40];
    found.high = drawn[RESAMPLES - 1 - RESAMPLES / 40];
    dpc_free(drawn);
    return found;
}
