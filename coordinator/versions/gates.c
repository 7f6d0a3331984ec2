/* SPDX-License-Identifier: Apache-2.0
 * One pass over the deltas, a few coordinates of all of them at a time, gathers norms, products
 * with the median of the others and products of pairs; the rest is arithmetic on these. Sums are
 * taken in double, coordinate by coordinate, so that they do not depend on how many are read at a
 * time.
 *
 * The median of the others is taken coordinate by coordinate: unlike their mean, a single one of
 * them cannot move it past the honest values, however large it is. Left out is the one that is
 * judged, who would agree with himself. */
#include "coordinator/versions/gates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct gates {
    const struct dpc_gate_source *source;
    const struct dpc_fold_input *inputs;
    uint32_t inputs_count;
    size_t count, block;  /* values of a delta; of each that are read at a time */
    size_t stride, phase; /* pairs look at every `stride`-th value, from `phase` on */
    float *values;        /* [inputs_count, block] */
    float *sorted;        /* [inputs_count] */
    double *squares;      /* [inputs_count]: |delta|^2 */
    double *with_median;  /* [inputs_count]: delta . median of the others */
    double *medians;      /* [inputs_count]: |median of the others|^2 */
    double *pairs; /* [inputs_count, inputs_count]: delta_i . delta_k, sampled; may be NULL */
};

static void
gates_done(struct gates *gates)
{
    dpc_free(gates->values);
    dpc_free(gates->sorted);
    dpc_free(gates->squares);
    dpc_free(gates->with_median);
    dpc_free(gates->medians);
    dpc_free(gates->pairs);
}

/* Pairs cost their number at every value; above this many products in all a sample is as good.
 * Which one it is follows from the names of all deltas, so nobody can know it when he makes his. */
static void
choose_sample(struct gates *gates)
{
    double products = (double)gates->inputs_count * gates->inputs_count * (double)gates->count / 2;
    uint32_t mixed = 0;
    for (uint32_t i = 0; i < gates->inputs_count; i++)
        mixed ^= (uint32_t)gates->inputs[i].delta.bytes[0] |
                 (uint32_t)gates->inputs[i].delta.bytes[1] << 8 |
                 (uint32_t)gates->inputs[i].delta.bytes[2] << 16;
    gates->stride = 1 + (size_t)(products / 1e10);
    gates->phase = mixed % gates->stride;
}

static int
gates_init(struct gates *gates, struct dpc_error *err)
{
    size_t n = gates->inputs_count;
    size_t block = GATE_VALUES_MAX / n;
    gates->block = block < gates->count ? block : gates->count;
    gates->values = dpc_try_alloc(n * gates->block, sizeof *gates->values);
    gates->sorted = dpc_try_alloc(n, sizeof *gates->sorted);
    gates->squares = dpc_try_alloc(n, sizeof *gates->squares);
    gates->with_median = dpc_try_alloc(n, sizeof *gates->with_median);
    gates->medians = dpc_try_alloc(n, sizeof *gates->medians);
    if (n <= GATE_PAIRS_MAX)
        gates->pairs = dpc_try_alloc(n * n, sizeof *gates->pairs);
    choose_sample(gates);
    bool enough = gates->values && gates->sorted && gates->squares && gates->with_median &&
                  gates->medians && (gates->pairs || n > GATE_PAIRS_MAX);
    return enough ? DPC_OK
                  : dpc_error_set(err, DPC_ENOMEM, "no memory to compare %zu contributions", n);
}

/* --- Measuring. */

static int
compare_floats(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void
sort_floats(float *values, uint32_t count)
{
    if (count > 32) {
        qsort(values, count, sizeof *values, compare_floats);
        return;
    }
    for (uint32_t i = 1; i < count; i++) {
        float value = values[i];
        uint32_t k = i;
        for (; k > 0 && values[k - 1] > value; k--)
            values[k] = values[k - 1];
        values[k] = value;
    }
}

/* The value that stands at `rank` in sorted[n] without `own`. */
static double
rank_without(const float *sorted, uint32_t rank, float own)
{
    return (double)(own > sorted[rank] ? sorted[rank] : sorted[rank + 1]);
}

static void
measure_medians(struct gates *gates, size_t place)
{
    uint32_t n = gates->inputs_count, lower = (n - 2) / 2, upper = (n - 1) / 2;
    for (uint32_t i = 0; i < n; i++)
        gates->sorted[i] = gates->values[i * gates->block + place];
    sort_floats(gates->sorted, n);
    for (uint32_t i = 0; i < n; i++) {
        float own = gates->values[i * gates->block + place];
        double low = rank_without(gates->sorted, lower, own);
        double median = (low + rank_without(gates->sorted, upper, own)) / 2;
        gates->squares[i] += (double)own * (double)own;
        gates->with_median[i] += (double)own * median;
        gates->medians[i] += median * median;
    }
}

static void
measure_pairs(struct gates *gates, size_t place)
{
    uint32_t n = gates->inputs_count;
    for (uint32_t i = 0; i < n; i++) {
        double own = (double)gates->values[i * gates->block + place];
        for (uint32_t k = 0; k <= i; k++)
            gates->pairs[i * n + k] += own * (double)gates->values[k * gates->block + place];
    }
}

static int
measure(struct gates *gates, struct dpc_error *err)
{
    for (size_t first = 0; first < gates->count; first += gates->block) {
        size_t left = gates->count - first;
        size_t count = left < gates->block ? left : gates->block;
        for (uint32_t i = 0; i < gates->inputs_count; i++) {
            float *values = gates->values + i * gates->block;
            int code = gates->source->read(gates->source->context, i, first, count, values, err);
            if (code != DPC_OK)
                return code;
        }
        for (size_t place = 0; place < count; place++) {
            measure_medians(gates, place);
            if (gates->pairs && (first + place) % gates->stride == gates->phase)
                measure_pairs(gates, place);
        }
    }
    return DPC_OK;
}

/* --- Numbers. */

static double
cosine(double product, double squares_a, double squares_b)
{
    return squares_a > 0 && squares_b > 0 ? product / sqrt(squares_a * squares_b) : 0;
}

static int
compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Steps of each, as a share of the most that any of them has: into [inputs_count]. */
static void
list_shares_of_steps(const struct gates *gates, double *ret_shares)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < gates->inputs_count; i++)
        most = gates->inputs[i].steps > most ? gates->inputs[i].steps : most;
    for (uint32_t i = 0; i < gates->inputs_count; i++)
        ret_shares[i] = most ? (double)gates->inputs[i].steps / most : 1;
}

/* Of whole rounds, as it would be: a part of one moves between its share and the root of its share
 * of that. The lower one of an even number: of two the smaller, which a swollen one cannot raise.
 */
static double
median_norm(const struct gates *gates, const struct dpc_judged *judged, const double *shares)
{
    double *norms = dpc_alloc(gates->inputs_count, sizeof *norms);
    for (uint32_t i = 0; i < gates->inputs_count; i++)
        norms[i] = shares[i] > 0 ? judged[i].norm / shares[i] : 0;
    qsort(norms, gates->inputs_count, sizeof *norms, compare_doubles);
    double median = norms[(gates->inputs_count - 1) / 2];
    dpc_free(norms);
    return median;
}

/* --- Owners. */

struct share {
    const uint8_t *owner; /* key of the worker */
    uint32_t index;
    double weight;
};

static int
compare_owners(const void *a, const void *b)
{
    const struct share *x = a, *y = b;
    int order = memcmp(x->owner, y->owner, DPC_WORKER_KEY_BYTES);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* Those that count at all, owner by owner. dpc_free it. */
static struct share *
list_shares(const struct gates *gates, const struct dpc_judged *judged, uint32_t *ret_count)
{
    struct share *shares = dpc_alloc(gates->inputs_count, sizeof *shares);
    uint32_t count = 0;
    for (uint32_t i = 0; i < gates->inputs_count; i++) {
        if (judged[i].scale > 0)
            shares[count++] = (struct share){gates->inputs[i].worker, i, gates->inputs[i].weight};
    }
    if (count)
        qsort(shares, count, sizeof *shares, compare_owners);
    *ret_count = count;
    return shares;
}

/* Where the shares of the owner of the one at `first` end. */
static uint32_t
behind_owner(const struct share *shares, uint32_t count, uint32_t first)
{
    uint32_t behind = first + 1;
    while (behind < count &&
           memcmp(shares[behind].owner, shares[first].owner, DPC_WORKER_KEY_BYTES) == 0)
        behind++;
    return behind;
}

/* --- Judging. */

static void
judge_norms(const struct gates *gates, struct dpc_judged *judged)
{
    double *shares = dpc_alloc(gates->inputs_count, sizeof *shares);
    list_shares_of_steps(gates, shares);
    for (uint32_t i = 0; i < gates->inputs_count; i++)
        judged[i].norm = sqrt(gates->squares[i]);
    double median = median_norm(gates, judged, shares);
    for (uint32_t i = 0; i < gates->inputs_count; i++) {
        double most = GATE_CLIP * median * sqrt(shares[i]);
        if (judged[i].norm < GATE_IDLE * median * shares[i])
            judged[i].marks |= DPC_MARK_IDLE;
        if (most > 0 && judged[i].norm > most) {
            judged[i].scale *= most / judged[i].norm;
            judged[i].marks |= DPC_MARK_CLIPPED;
        }
    }
    dpc_free(shares);
}

/* The most contributions that one owner has, other than the input's own: into [inputs_count]. */
static void
count_of_others(const struct gates *gates, const struct dpc_judged *judged, uint32_t *ret_most)
{
    uint32_t count, behind, biggest = 0, most = 0, second = 0;
    struct share *shares = list_shares(gates, judged, &count);
    for (uint32_t first = 0; first < count; first = behind) {
        behind = behind_owner(shares, count, first);
        uint32_t size = behind - first;
        second = size > most ? most : size > second ? size : second;
        biggest = size > most ? first : biggest;
        most = size > most ? size : most;
    }
    for (uint32_t i = 0; i < count; i++)
        ret_most[shares[i].index] = i >= biggest && i < biggest + most ? second : most;
    dpc_free(shares);
}

/* Nobody is judged by a median that another owner alone could have made. */
static void
judge_directions(const struct gates *gates, struct dpc_judged *judged)
{
    uint32_t *most = dpc_alloc(gates->inputs_count, sizeof *most);
    count_of_others(gates, judged, most);
    for (uint32_t i = 0; i < gates->inputs_count; i++) {
        judged[i].cosine = cosine(gates->with_median[i], gates->squares[i], gates->medians[i]);
        if (gates->inputs_count >= GATE_VOTERS_MIN && 2 * most[i] < gates->inputs_count - 1 &&
            judged[i].cosine < GATE_COSINE_MIN) {
            judged[i].scale = 0;
            judged[i].marks |= DPC_MARK_OPPOSED;
        }
    }
    dpc_free(most);
}

static bool
is_copy(const struct gates *gates, uint32_t i, uint32_t k)
{
    size_t n = gates->inputs_count;
    if (dpc_hash_equal(&gates->inputs[i].delta, &gates->inputs[k].delta))
        return true;
    return gates->pairs && cosine(gates->pairs[i * n + k], gates->pairs[i * n + i],
                                  gates->pairs[k * n + k]) > GATE_COPY_COSINE;
}

/* The first in canonical order stays; nobody knows whose it was. */
static void
judge_copies(const struct gates *gates, struct dpc_judged *judged)
{
    for (uint32_t i = 1; gates->pairs && i < gates->inputs_count; i++) {
        for (uint32_t k = 0; k < i && !(judged[i].marks & DPC_MARK_COPY); k++) {
            if ((judged[k].marks & DPC_MARK_COPY) || !is_copy(gates, i, k))
                continue;
            judged[i].scale = 0;
            judged[i].marks |= DPC_MARK_COPY;
            judged[i].copy_of = gates->inputs[k].path;
        }
    }
}

/* Scales the shares of one owner, all of which stand together. */
static void
limit_owner(const struct share *shares, uint32_t count, double total, struct dpc_judged *judged)
{
    double own = 0;
    for (uint32_t i = 0; i < count; i++)
        own += shares[i].weight;
    if (own <= GATE_OWNER_MAX * total || own >= total)
        return;
    for (uint32_t i = 0; i < count; i++) {
        judged[shares[i].index].scale *= GATE_OWNER_MAX * total / own;
        judged[shares[i].index].marks |= DPC_MARK_OWNER;
    }
}

/* Over what counts at all. */
static void
judge_owners(const struct gates *gates, struct dpc_judged *judged)
{
    uint32_t count, behind;
    double total = 0;
    struct share *shares = list_shares(gates, judged, &count);
    for (uint32_t i = 0; i < count; i++)
        total += shares[i].weight;
    for (uint32_t first = 0; first < count; first = behind) {
        behind = behind_owner(shares, count, first);
        if (behind - first < count)
            limit_owner(shares + first, behind - first, total, judged);
    }
    dpc_free(shares);
}

int
dpc_gates_judge(const struct dpc_gate_source *source, const struct dpc_fold_input *inputs,
                uint32_t inputs_count, size_t count, struct dpc_judged *ret_judged,
                struct dpc_error *err)
{
    struct gates gates = {
        .source = source, .inputs = inputs, .inputs_count = inputs_count, .count = count};
    for (uint32_t i = 0; i < inputs_count; i++)
        ret_judged[i] = (struct dpc_judged){.path = inputs[i].path, .scale = 1};
    if (inputs_count < 2)
        return DPC_OK;
    int code = gates_init(&gates, err);
    if (code == DPC_OK)
        code = measure(&gates, err);
    if (code == DPC_OK) {
        judge_norms(&gates, ret_judged);
        judge_directions(&gates, ret_judged);
        judge_copies(&gates, ret_judged);
        judge_owners(&gates, ret_judged);
    }
    gates_done(&gates);
    return code;
}
