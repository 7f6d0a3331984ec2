/* SPDX-License-Identifier: Apache-2.0
 * The rate is that of the table that workers compute with, so that it also tells a card whose
 * library does not reach its speed. Matrices hold values of all kinds: products of zeros draw less
 * power, and are faster than any of training. */
#include "cli/cards.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "modules/trial.h"

enum { ROWS_MIN = 256, ROWS_MAX = 4096, PRODUCTS = 7 };

static const int64_t slow_ns = 50 * 1000000; /* of one product: larger ones would take too long */

const char *
dpc_cards_line(const struct dpc_card_info *info, char ret_line[DPC_CARDS_LINE_MAX])
{
    const double gib = 1024.0 * 1024 * 1024;
    (void)snprintf(ret_line, DPC_CARDS_LINE_MAX,
                   "%s, sm_%u, %u multiprocessors, %.1f of %.1f GiB free, bf16 %s, driver %s, %s",
                   info->name, info->capability, info->processors, (double)info->free_bytes / gib,
                   (double)info->memory_bytes / gib, info->bf16 ? "yes" : "no", info->driver,
                   info->libraries);
    return ret_line;
}

struct dpc_json *
dpc_cards_json(const struct dpc_card_info *info)
{
    struct dpc_json *card = dpc_json_object();
    dpc_json_set_text(card, "name", info->name);
    dpc_json_set_text(card, "uuid", info->uuid);
    dpc_json_set_integer(card, "capability", info->capability);
    dpc_json_set_integer(card, "processors", info->processors);
    dpc_json_set_integer(card, "memory_bytes", (int64_t)info->memory_bytes);
    dpc_json_set_integer(card, "free_bytes", (int64_t)info->free_bytes);
    dpc_json_set_bool(card, "bf16", info->bf16);
    dpc_json_set_text(card, "driver", info->driver);
    dpc_json_set_text(card, "libraries", info->libraries);
    return card;
}

/* --- The bus. */

/* The number in a file such as vendor or class; 0 when there is none. */
static unsigned long
number_of(const char *devices, const char *device, const char *name)
{
    char path[PATH_MAX], text[32] = "";
    (void)snprintf(path, sizeof path, "%s/%s/%s", devices, device, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (!fgets(text, sizeof text, file))
        text[0] = '\0';
    (void)fclose(file);
    return strtoul(text, NULL, 16);
}

/* Its sound and USB controllers are devices of their own, of other classes. */
bool
dpc_cards_are_fitted(const char *devices)
{
    enum { NVIDIA = 0x10de, DISPLAY = 0x03 };
    bool found = false;
    DIR *folder = opendir(devices);
    if (!folder)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(folder));)
        found = number_of(devices, entry->d_name, "vendor") == NVIDIA &&
                number_of(devices, entry->d_name, "class") >> 16 == DISPLAY;
    (void)closedir(folder);
    return found;
}

/* --- The rate. */

/* Three square matrices in a card's memory. */
struct product {
    const struct dpc_ops *ops;
    size_t rows;
    struct dpc_act *x, *y;
    float *values;
    void *packed[2];
};

static void
release(struct product *product)
{
    void *const all[] = {product->x, product->y, product->values, product->packed[0],
                         product->ops->packed_once ? NULL : product->packed[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        product->ops->memory->release(all[i]);
}

/* From -1 to 1, as acts and as weights. */
static void
fill(struct product *product, void *host)
{
    const struct dpc_ops *ops = product->ops;
    size_t count = product->rows * product->rows;
    float *values = host;
    for (size_t i = 0; i < count; i++)
        values[i] = (float)((uint32_t)i * 2654435761u >> 8) * 0x1p-23f - 1.0f;
    ops->memory->upload(product->values, host, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        dpc_act_write(ops, host, i, values[i]); /* an act is never longer: none is lost */
    ops->memory->upload(product->x, host, count * dpc_act_bytes(ops));
}

static int
place(struct product *product, struct dpc_error *err)
{
    const struct dpc_ops *ops = product->ops;
    size_t rows = product->rows, count = rows * rows;
    size_t packed_bytes = ops->packed_bytes ? ops->packed_bytes(rows, rows) : 0;
    void *host = dpc_try_alloc(count, sizeof(float));
    product->x = ops->memory->allocate(count * dpc_act_bytes(ops));
    product->y = ops->memory->allocate(count * dpc_act_bytes(ops));
    product->values = ops->memory->allocate(count * sizeof(float));
    bool whole = host && product->x && product->y && product->values;
    for (int i = 0; i < 2 && packed_bytes; i++) {
        product->packed[i] =
            i == 1 && ops->packed_once ? product->packed[0] : ops->memory->allocate(packed_bytes);
        whole = whole && product->packed[i];
    }
    if (whole)
        fill(product, host);
    dpc_free(host);
    return whole ? DPC_OK
                 : dpc_error_set(err, DPC_ENOMEM, "there is no memory for products of %zu rows",
                                 rows);
}

static int
compare_times(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return (one > other) - (one < other);
}

/* The median time of a product in ns, the first one left out. */
static int
time_products(const struct product *product, int64_t *ret_ns)
{
    const struct dpc_ops *ops = product->ops;
    struct dpc_weights weights = {.values = product->values,
                                  .O = product->rows,
                                  .K = product->rows,
                                  .forward = product->packed[0],
                                  .backward = product->packed[1]};
    int64_t times[PRODUCTS];
    int code = DPC_OK;
    if (ops->pack)
        ops->pack(&weights);
    for (int i = -1; i < PRODUCTS && code == DPC_OK; i++) {
        int64_t start_ns = dpc_clock_ns();
        ops->linear_forward(product->y, product->x, &weights, product->rows);
        code = ops->memory->finish();
        times[i < 0 ? 0 : i] = dpc_clock_ns() - start_ns;
    }
    qsort(times, PRODUCTS, sizeof *times, compare_times);
    *ret_ns = times[PRODUCTS / 2];
    return code;
}

static int
measure(const struct dpc_card *card, struct dpc_cards_rate *ret_rate, struct dpc_error *err)
{
    const struct dpc_ops *bf16 = dpc_card_ops(card, DPC_BF16, false);
    struct product product = {.ops = bf16 ? bf16 : dpc_card_ops(card, DPC_FP32, false)};
    int64_t ns = 0;
    int code = DPC_OK;
    for (size_t rows = ROWS_MIN; code == DPC_OK && rows <= ROWS_MAX && ns < slow_ns; rows *= 2) {
        product = (struct product){.ops = product.ops, .rows = rows};
        code = place(&product, err);
        if (code == DPC_OK)
            code = time_products(&product, &ns);
        release(&product);
        if (code == DPC_EDEVICE)
            dpc_error_set(err, code, "%s failed: %s", dpc_card_info(card)->name,
                          dpc_card_failure(card));
    }
    double operations = 2.0 * (double)product.rows * (double)product.rows * (double)product.rows;
    if (code == DPC_OK)
        *ret_rate = (struct dpc_cards_rate){.tflops = operations / (double)(ns > 0 ? ns : 1) / 1000,
                                            .rows = product.rows,
                                            .bf16 = bf16 != NULL};
    return code;
}

int
dpc_cards_measure(const char *plugin, uint32_t index, struct dpc_cards_rate *ret_rate,
                  struct dpc_error *err)
{
    struct dpc_card *card;
    int code = dpc_card_open(plugin, index, 0, &card, err);
    if (code != DPC_OK)
        return code;
    double off = 0;
    code = dpc_trial_card(card, &off, err);
    if (code == DPC_OK)
        code = measure(card, ret_rate, err);
    ret_rate->off = off;
    dpc_card_close(card);
    return code;
}
