/* SPDX-License-Identifier: Apache-2.0
 * A product is computed when it is waited for, the latest that a card may, and fails when b is no
 * longer what it was when the product began, the earliest: what happens to b in between shows. Sums
 * live apart while products run, and until the kernel says that it takes them: registers hold a NaN
 * meanwhile, and one that was overwritten fails.
 *
 * Of the tables of the PTX ISA 9 ("Register Fragments", "Canonical Layouts", "Matrix Descriptor
 * Format", "wgmma.fence"), with T = 8 values of 16 bits in 16 bytes:
 *   thread 32 w + 4 g + t has of a the rows 16 w + g and + 8, columns 2 t, 2 t + 1 and + 8
 *   and of d the same rows, of columns 8 n + 2 t and + 1
 *   b K-major:  ((8,m),(T,2k)):((8T,SBO),(1,T)), Swizzle<3,4,3>
 *   b MN-major: ((T,8,m),(8,k)):((1,T,LBO),(8T,SBO)), Swizzle<3,4,3>
 * A swizzle acts on the address: bits 4 to 6 are exchanged by bits 7 to 9. */
#include "tests/unit/ops/cuda_cpu/warpgroup.h"

#include <string.h>

#include <vector>

#include "base/bf16.h"
#include "tests/unit/ops/cuda_cpu/emulate.h"

namespace {

enum {
    THREADS = DPC_EMULATED_WARPGROUP,
    GROUPS = DPC_EMULATED_THREADS_MAX / THREADS,
    M = 64,
    N = 64,
    K = 16,
    VALUE = 2,      /* bytes */
    CHUNK = 16,     /* bytes that a swizzle moves together */
    LINE = 128,     /* bytes within which it moves them */
    PATTERN = 1024, /* bytes after which it repeats */
    GRAIN = 8,      /* bytes that are watched together: the smallest copy */
    SHARED = DPC_EMULATED_SHARED_MAX
};

/* A signalling NaN: what is computed of it has other bits. */
const uint32_t poison = 0x7fadeadc;

/* One accumulator of a warpgroup. A thread that has taken its sums has them in its registers. */
struct Sums {
    float *c[THREADS];
    float values[THREADS][DPC_EMULATED_SUMS];
    bool taken[THREADS];
    unsigned running; /* products */
};

/* What a descriptor names: a turned, or b. */
struct Panel {
    uint32_t at[K][N]; /* addresses */
    uint16_t values[K][N];
};

struct Product {
    Sums *sums;
    bool add, a_in_panel;
    float a[M][K];
    Panel of_a, of_b;
};

typedef std::vector<Product> Products;

/* Registers as products last met them. */
struct Fragment {
    const uint32_t *a;
    uint32_t values[4];
};

struct Warpgroup {
    std::vector<Sums *> sums;
    Products open;
    std::vector<Products> committed;
    bool fenced;
    /* Of each thread since the last fence. */
    std::vector<Fragment> read[THREADS];
    std::vector<const float *> taken[THREADS];
};

/* What each thread hands in. */
struct Operand {
    float *c;
    const uint32_t *a; /* registers; NULL: in a panel */
    uint64_t of_a, of_b;
    bool n_major, add;
    size_t left;
};

/* What a copy wrote and its thread has not shown to products yet. */
struct Unseen {
    unsigned thread; /* plus 1; 0: seen */
    uint64_t value;
};

Warpgroup groups[GROUPS];
unsigned short readers[SHARED / CHUNK]; /* products that run and read it */
Unseen unseen[SHARED / GRAIN];
unsigned char shown[SHARED]; /* as shared memory was when a thread last showed it */
std::vector<size_t> copied[DPC_EMULATED_THREADS_MAX]; /* grains */
bool used = true;

Warpgroup &
group()
{
    return groups[dpc_emulated_thread() / THREADS];
}

void
need(bool holds, const char *otherwise)
{
    if (!holds)
        dpc_emulated_fail(otherwise);
}

uint32_t
bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* --- Panels. */

struct Descriptor {
    uint32_t start, leading, stride; /* bytes */
};

Descriptor
decode(uint64_t bits, bool n_major)
{
    const uint64_t reserved = 0x3ff1c000c000c000;
    Descriptor d = {(uint32_t)(bits & 0x3fff) << 4, (uint32_t)(bits >> 16 & 0x3fff) << 4,
                    (uint32_t)(bits >> 32 & 0x3fff) << 4};
    need((bits & reserved) == 0, "a descriptor has bits that mean nothing");
    need(bits >> 62 == 1, "a descriptor's swizzle is not that of 128 bytes");
    need((bits >> 49 & 7) == 0, "a descriptor's base offset is not 0");
    need(d.stride > 0 && d.stride % PATTERN == 0,
         "a descriptor's stride is no multiple of the swizzle's pattern");
    if (n_major)
        need(d.start % PATTERN == 0, "a panel does not begin where the swizzle's pattern does");
    else
        need(d.start % PATTERN < LINE && d.start % (K * VALUE) == 0,
             "a panel does not begin in the first row of the swizzle's pattern, at a product's step");
    return d;
}

uint32_t
address(const Descriptor &d, bool n_major, uint32_t k, uint32_t n)
{
    uint32_t at = d.start;
    if (n_major)
        at += n % 8 * VALUE + n / 8 % 8 * CHUNK + n / 64 * d.leading + k % 8 * LINE +
              k / 8 * d.stride;
    else
        at += n % 8 * LINE + n / 8 * d.stride + k % 8 * VALUE + k / 8 * CHUNK;
    at ^= (at >> 7 & 7) << 4;
    need(at + VALUE <= dpc_emulated_shared_bytes(), "a panel lies outside of shared memory");
    return at;
}

uint16_t
shared_value(uint32_t at)
{
    uint16_t value;
    memcpy(&value, dpc_emulated_shared + at, sizeof value);
    return value;
}

/* What a copy wrote is watched by thread, unless ordinary code has written there since; zeros are
 * not, as both often write them. What ordinary code writes could be anybody's: it fails when nobody
 * at all has shown anything since. */
void
need_seen(uint32_t at)
{
    const Unseen &grain = unseen[at / GRAIN];
    uint64_t value;
    memcpy(&value, dpc_emulated_shared + at / GRAIN * GRAIN, sizeof value);
    need(memcmp(shown + at, dpc_emulated_shared + at, VALUE) == 0,
         "products read what nobody has shown them (shared_to_products)");
    need(grain.thread == 0 || value == 0 || value != grain.value,
         "products read what a copy wrote and its thread has not shown (shared_to_products)");
}

void
read_panel(Panel *panel, uint64_t bits, bool n_major)
{
    const Descriptor d = decode(bits, n_major);
    for (uint32_t k = 0; k < K; k++) {
        for (uint32_t n = 0; n < N; n++) {
            uint32_t at = address(d, n_major, k, n);
            need_seen(at);
            panel->at[k][n] = at;
            panel->values[k][n] = shared_value(at);
            if (at % CHUNK == 0)
                readers[at / CHUNK]++;
        }
    }
}

/* No product reads it any more. */
void
leave_panel(const Panel &panel)
{
    for (unsigned k = 0; k < K; k++) {
        for (unsigned n = 0; n < N; n++) {
            uint32_t at = panel.at[k][n];
            need(shared_value(at) == panel.values[k][n],
                 "a panel was written while products read it");
            if (at % CHUNK == 0)
                readers[at / CHUNK]--;
        }
    }
}

/* --- Registers. */

void
read_a(Product *product, unsigned thread, const uint32_t a[4])
{
    unsigned w = thread / 32, g = thread % 32 / 4, t = thread % 4;
    for (unsigned i = 0; i < 8; i++) {
        uint16_t value = (uint16_t)(a[i / 2] >> 16 * (i % 2));
        product->a[16 * w + g + 8 * (i / 2 % 2)][2 * t + i % 2 + 8 * (i / 4)] =
            dpc_bf16_to_float(value);
    }
}

/* Registers that ordinary code wrote after the fence are not ordered before the product. */
void
need_fenced(Warpgroup &own, unsigned thread, const Operand &operand)
{
    need(own.fenced, "products begin without a fence (products_fence) since the last wait");
    for (const float *c : own.taken[thread])
        need(c != operand.c, "products begin with sums that were taken after the fence");
    if (!operand.a)
        return;
    for (const Fragment &known : own.read[thread])
        need(known.a != operand.a || memcmp(known.values, operand.a, sizeof known.values) == 0,
             "products begin with values that were written after the fence");
    Fragment fragment = {operand.a, {}};
    memcpy(fragment.values, operand.a, sizeof fragment.values);
    own.read[thread].push_back(fragment);
}

void
need_untouched(const float *c)
{
    for (unsigned i = 0; i < DPC_EMULATED_SUMS; i++)
        need(bits_of(c[i]) == poison,
             "sums were written while products ran, or before they were taken (products_have)");
}

/* From registers, which hold poison then. */
void
hold(Sums *sums, unsigned thread)
{
    float *c = sums->c[thread];
    if (!sums->taken[thread]) {
        need_untouched(c);
        return;
    }
    memcpy(sums->values[thread], c, sizeof sums->values[thread]);
    for (unsigned i = 0; i < DPC_EMULATED_SUMS; i++)
        memcpy(&c[i], &poison, sizeof poison);
    sums->taken[thread] = false;
}

bool
taken_by_all(const Sums &sums)
{
    for (bool taken : sums.taken) {
        if (!taken)
            return false;
    }
    return true;
}

Sums *
sums_of(Warpgroup &own, Operand *const *operands)
{
    for (Sums *sums : own.sums) {
        unsigned same = 0;
        for (unsigned i = 0; i < THREADS; i++)
            same += sums->c[i] == operands[i]->c;
        need(same == 0 || same == THREADS, "a warpgroup's threads name different sums");
        if (same == THREADS)
            return sums;
    }
    Sums *sums = new Sums;
    sums->running = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        sums->c[i] = operands[i]->c;
        sums->taken[i] = true;
    }
    own.sums.push_back(sums);
    return sums;
}

/* --- Instructions. */

void
begin_all(void **all)
{
    Warpgroup &own = group();
    Operand *const *operands = (Operand *const *)all;
    const Operand &first = *operands[0];
    own.open.emplace_back();
    Product *product = &own.open.back();
    for (unsigned i = 0; i < THREADS; i++) {
        const Operand &operand = *operands[i];
        need(operand.of_a == first.of_a && operand.of_b == first.of_b && !operand.a == !first.a &&
                 operand.n_major == first.n_major && operand.add == first.add,
             "a warpgroup's threads come to different products");
        need_fenced(own, i, operand);
        if (operand.a)
            read_a(product, i, operand.a);
    }
    product->a_in_panel = !first.a;
    if (product->a_in_panel)
        read_panel(&product->of_a, first.of_a, false);
    read_panel(&product->of_b, first.of_b, first.n_major);
    product->add = first.add;
    product->sums = sums_of(own, operands);
    product->sums->running++;
    for (unsigned i = 0; i < THREADS; i++)
        hold(product->sums, i);
}

void
compute(const Product &product)
{
    Sums *sums = product.sums;
    leave_panel(product.of_b);
    if (product.a_in_panel)
        leave_panel(product.of_a);
    for (unsigned thread = 0; thread < THREADS; thread++) {
        for (unsigned i = 0; i < DPC_EMULATED_SUMS; i++) {
            unsigned row = 16 * (thread / 32) + thread % 32 / 4 + 8 * (i / 2 % 2);
            unsigned column = 8 * (i / 4) + 2 * (thread % 4) + i % 2;
            float sum = product.add ? sums->values[thread][i] : 0.0f;
            for (unsigned k = 0; k < K; k++)
                sum += (product.a_in_panel ? dpc_bf16_to_float(product.of_a.values[k][row])
                                           : product.a[row][k]) *
                       dpc_bf16_to_float(product.of_b.values[k][column]);
            sums->values[thread][i] = sum;
        }
    }
    sums->running--;
}

void
wait_all(void **all)
{
    Warpgroup &own = group();
    size_t left = ((const Operand *)all[0])->left;
    for (unsigned i = 0; i < THREADS; i++)
        need(((const Operand *)all[i])->left == left, "a warpgroup's threads wait differently");
    for (; own.committed.size() > left; own.committed.erase(own.committed.begin())) {
        for (const Product &product : own.committed.front())
            compute(product);
    }
    own.fenced = false;
}

void
commit_all(void **)
{
    Warpgroup &own = group();
    own.committed.emplace_back();
    own.committed.back().swap(own.open);
}

void
fence_all(void **)
{
    Warpgroup &own = group();
    own.fenced = true;
    for (unsigned i = 0; i < THREADS; i++) {
        own.read[i].clear();
        own.taken[i].clear();
    }
}

void
together(void (*run)(void **all), Operand *operand)
{
    unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    used = true;
    need(dpc_emulated_capability() == 90, "only capability 90 has products of a warpgroup");
    need((dpc_emulated_thread() / THREADS + 1) * THREADS <= threads,
         "the block ends within a warpgroup");
    dpc_emulated_together(run, operand, THREADS);
}

} // namespace

void
dpc_emulated_products_begin(float *c, const uint32_t *a, uint64_t of_a, uint64_t of_b,
                            bool n_major, bool add)
{
    Operand own = {c, a, of_a, of_b, n_major, add, 0};
    together(begin_all, &own);
}

void
dpc_emulated_products_fence()
{
    together(fence_all, nullptr);
}

void
dpc_emulated_products_commit()
{
    together(commit_all, nullptr);
}

void
dpc_emulated_products_wait(size_t left)
{
    Operand own = {nullptr, nullptr, 0, 0, false, false, left};
    together(wait_all, &own);
}

void
dpc_emulated_products_have(float *c)
{
    Warpgroup &own = group();
    unsigned thread = dpc_emulated_thread() % THREADS;
    for (size_t i = 0; i < own.sums.size(); i++) {
        Sums *sums = own.sums[i];
        if (sums->c[thread] != c || sums->taken[thread])
            continue;
        need(sums->running == 0, "sums are taken before they were waited for (products_wait)");
        need_untouched(c);
        memcpy(c, sums->values[thread], sizeof sums->values[thread]);
        sums->taken[thread] = true;
        own.taken[thread].push_back(c);
        if (taken_by_all(*sums)) {
            delete sums;
            own.sums.erase(own.sums.begin() + (ptrdiff_t)i);
        }
        return;
    }
}

void
dpc_emulated_products_show()
{
    unsigned thread = dpc_emulated_thread();
    for (size_t grain : copied[thread]) {
        if (unseen[grain].thread == thread + 1)
            unseen[grain].thread = 0;
    }
    copied[thread].clear();
    memcpy(shown, dpc_emulated_shared, dpc_emulated_shared_bytes());
    used = true;
}

void
dpc_emulated_products_reset()
{
    if (!used)
        return;
    for (Warpgroup &own : groups) {
        for (Sums *sums : own.sums)
            delete sums;
        own = Warpgroup();
    }
    for (std::vector<size_t> &grains : copied)
        grains.clear();
    memset(readers, 0, sizeof readers);
    memset(unseen, 0, sizeof unseen);
    memset(shown, 0xff, sizeof shown); /* as dpc_emulate leaves shared memory */
    used = false;
}

void
dpc_emulated_products_thread_ends()
{
    const Warpgroup &own = group();
    need(own.open.empty() && own.committed.empty(),
         "a thread ends with products that it did not wait for");
}

void
dpc_emulated_products_copy_begins(const void *to, size_t bytes)
{
    size_t at = (size_t)((const unsigned char *)to - dpc_emulated_shared);
    need(at + bytes <= dpc_emulated_shared_bytes(), "a copy goes to outside of shared memory");
    for (size_t i = at / CHUNK; i < (at + bytes + CHUNK - 1) / CHUNK; i++)
        need(readers[i] == 0, "a copy begins to where products still read");
}

void
dpc_emulated_products_copied(const void *to, size_t bytes)
{
    unsigned thread = dpc_emulated_thread();
    size_t at = (size_t)((const unsigned char *)to - dpc_emulated_shared);
    for (size_t grain = at / GRAIN; grain < (at + bytes) / GRAIN; grain++) {
        unseen[grain].thread = thread + 1;
        memcpy(&unseen[grain].value, dpc_emulated_shared + grain * GRAIN, GRAIN);
        copied[thread].push_back(grain);
    }
    used = true;
}
