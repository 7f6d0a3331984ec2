/* SPDX-License-Identifier: Apache-2.0
 * What the emulated card (cuda_cpu/) plays of a warpgroup's products: kernels like those of
 * ops/cuda/ against sums in plain loops, and one with a fault at a time, which must not pass. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/cuda/launch.cuh"
#include "ops/cuda/mma.cuh"
#include "ops/cuda/warpgroup.cuh"

#include "tests/unit/harness.h"

namespace {

enum {
    SIDE = 64,  /* of a, and of what one product gives */
    LONG = 128, /* rows of a panel */
    TILE_BYTES = SIDE * SIDE * 2,
    PANEL_BYTES = LONG * SIDE * 2,
    WARPGROUP = 128,
    STEPS = SIDE / 16
};

/* a[SIDE, SIDE] of each warpgroup, b's panel[LONG, SIDE], and where c[SIDE, SIDE] of each goes. */
struct Matrices {
    __nv_bfloat16 a[2][SIDE * SIDE], panel[LONG * SIDE];
    float c[2][SIDE * SIDE];
};

alignas(16) Matrices matrices;

void
draw(__nv_bfloat16 *values, size_t count)
{
    static uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525 + 1013904223;
        values[i] = __float2bfloat16_rn((float)(state >> 8) / (1 << 23) - 1.0f);
    }
}

void
draw_all()
{
    draw(matrices.a[0], 2 * SIDE * SIDE);
    draw(matrices.panel, LONG * SIDE);
    memset(matrices.c, 0, sizeof matrices.c);
}

/* --- Parts of kernels. */

uint32_t
tile_of(unsigned char *memory)
{
    return shared_address(memory) + PANEL_BYTES + threadIdx.x / WARPGROUP * TILE_BYTES;
}

/* Begins to copy all that the block works on. */
void
copy_all(const Matrices *from, unsigned char *memory)
{
    uint32_t panel = shared_address(memory);
    int threads = (int)blockDim.x;
    for (int i = (int)threadIdx.x; i < LONG * 8; i += threads)
        copy_16(panel + tile_offset<64>(i / 8, i % 8), from->panel + i * 8, true);
    for (int i = (int)threadIdx.x % WARPGROUP; i < SIDE * 8; i += WARPGROUP)
        copy_16(tile_of(memory) + tile_offset<64>(i / 8, i % 8),
                from->a[threadIdx.x / WARPGROUP] + i * 8, true);
}

void
load_all(const Matrices *from, unsigned char *memory, uint32_t (&a)[STEPS][4])
{
    copy_all(from, memory);
    copies_wait();
    shared_to_products();
    __syncthreads();
    int row = (int)threadIdx.x % WARPGROUP / 32 * 16;
    for (int step = 0; step < STEPS; step++)
        load_matrices(a[step], tile_of(memory) + tile_lane_down<64>(row, 2 * step));
}

void
write_sums(Matrices *to, const float (&c)[8][4])
{
    float *rows = to->c[threadIdx.x / WARPGROUP];
    int lane = (int)threadIdx.x % 32;
    int row = (int)threadIdx.x % WARPGROUP / 32 * 16 + lane / 4, column = lane % 4 * 2;
    for (int n = 0; n < 8; n++) {
        for (int e = 0; e < 4; e++)
            rows[(row + e / 2 * 8) * SIDE + n * 8 + column + e % 2] = c[n][e];
    }
}

/* --- Right kernels. */

/* b's columns are the panel's rows from `first` on. */
__global__ void
columns_kernel(Matrices *m, int first)
{
    DPC_SHARED(unsigned char, memory);
    uint32_t a[STEPS][4];
    float c[8][4];
    load_all(m, memory, a);
    products_fence();
    uint32_t b = shared_address(memory) + first * SIDE * 2;
    products_begin<ROWS_ARE_COLUMNS>(c, a[0], panel_at(b));
    for (int step = 1; step < STEPS; step++)
        products_add<ROWS_ARE_COLUMNS>(c, a[step], panel_at(b + step * 32));
    products_commit();
    products_wait<0>();
    products_have(c);
    write_sums(m, c);
}

/* b's inner index is the panel's rows from `first` on; sums begin at 1. */
__global__ void
inner_kernel(Matrices *m, int first)
{
    DPC_SHARED(unsigned char, memory);
    uint32_t a[STEPS][4];
    float c[8][4];
    for (int i = 0; i < 32; i++)
        c[i / 4][i % 4] = 1.0f;
    load_all(m, memory, a);
    products_fence();
    for (int step = 0; step < STEPS; step++)
        products_add<ROWS_ARE_INNER>(
            c, a[step], panel_at(shared_address(memory) + (first + step * 16) * SIDE * 2));
    products_commit();
    products_wait<0>();
    products_have(c);
    write_sums(m, c);
}

/* The same as either, with a in shared memory too. */
template <enum panel_rows ROWS>
__global__ void
panels_kernel(Matrices *m, int first)
{
    DPC_SHARED(unsigned char, memory);
    const uint32_t each = ROWS == ROWS_ARE_INNER ? 16 * SIDE * 2 : 32;
    uint32_t unused[STEPS][4], a = tile_of(memory);
    uint32_t b = shared_address(memory) + first * SIDE * 2;
    float c[8][4];
    load_all(m, memory, unused);
    products_fence();
    products_begin<ROWS>(c, panel_at(a), panel_at(b));
    for (int step = 1; step < STEPS; step++)
        products_add<ROWS>(c, panel_at(a + step * 32), panel_at(b + step * each));
    products_commit();
    products_wait<0>();
    products_have(c);
    write_sums(m, c);
}

/* Two groups, the first of which is taken, doubled, and gone on with while the second runs. */
__global__ void
groups_kernel(Matrices *m)
{
    DPC_SHARED(unsigned char, memory);
    uint32_t a[STEPS][4], panel = shared_address(memory);
    float c[8][4], d[8][4];
    load_all(m, memory, a);
    products_fence();
    products_begin<ROWS_ARE_COLUMNS>(c, a[0], panel_at(panel));
    products_commit();
    products_begin<ROWS_ARE_COLUMNS>(d, a[1], panel_at(panel + 32));
    products_commit();
    products_wait<1>();
    products_have(c);
    for (int i = 0; i < 32; i++)
        c[i / 4][i % 4] *= 2.0f;
    products_fence();
    products_add<ROWS_ARE_COLUMNS>(c, a[1], panel_at(panel + 32));
    products_commit();
    products_wait<0>();
    products_have(c);
    products_have(d);
    for (int i = 0; i < 32; i++)
        c[i / 4][i % 4] += d[i / 4][i % 4];
    write_sums(m, c);
}

enum { SHARED_BYTES = PANEL_BYTES + 2 * TILE_BYTES };

/* Of b, whose inner index and columns lie in the panel as `inner` says. */
float
value_of_b(bool inner, int first, int k, int n)
{
    return __bfloat162float(inner ? matrices.panel[(first + k) * SIDE + n]
                                  : matrices.panel[(first + n) * SIDE + k]);
}

/* The farthest from what plain loops give: begin + sum of weights[k / 16] a[.,k] b[k,.]. */
float
distance(unsigned warpgroups, bool inner, int first, float begin, const float (&weights)[STEPS])
{
    float far = 0;
    for (unsigned w = 0; w < warpgroups; w++) {
        for (int i = 0; i < SIDE * SIDE; i++) {
            float sum = begin;
            for (int k = 0; k < SIDE; k++)
                sum += weights[k / 16] * __bfloat162float(matrices.a[w][i / SIDE * SIDE + k]) *
                       value_of_b(inner, first, k, i % SIDE);
            float off = fabsf(sum - matrices.c[w][i]);
            far = off <= far ? far : off; /* a NaN is far */
        }
    }
    return far;
}

template <typename Kernel, typename... Given>
void
launch(unsigned warpgroups, Kernel kernel, Given... given)
{
    dpc_emulate(1, warpgroups * WARPGROUP, SHARED_BYTES, [&] { kernel(given...); });
}

void
products_are_sums()
{
    for (unsigned warpgroups = 1; warpgroups <= 2; warpgroups++) {
        for (int first = 0; first <= LONG - SIDE; first += 8) {
            draw_all();
            launch(warpgroups, columns_kernel, &matrices, first);
            CU_ASSERT(distance(warpgroups, false, first, 0, {1, 1, 1, 1}) < 1e-4f);
            draw_all();
            launch(warpgroups, inner_kernel, &matrices, first);
            CU_ASSERT(distance(warpgroups, true, first, 1, {1, 1, 1, 1}) < 1e-4f);
            draw_all();
            launch(warpgroups, panels_kernel<ROWS_ARE_COLUMNS>, &matrices, first);
            CU_ASSERT(distance(warpgroups, false, first, 0, {1, 1, 1, 1}) < 1e-4f);
            draw_all();
            launch(warpgroups, panels_kernel<ROWS_ARE_INNER>, &matrices, first);
            CU_ASSERT(distance(warpgroups, true, first, 0, {1, 1, 1, 1}) < 1e-4f);
        }
    }
}

void
groups_end_in_their_order()
{
    draw_all();
    launch(2, groups_kernel, &matrices);
    CU_ASSERT(distance(2, false, 0, 0, {2, 2, 0, 0}) < 1e-4f);
}

/* Start 0x2400, both strides of 1024 bytes, swizzle of 128: each in units of 16 bytes. */
void
a_descriptor_is_as_documented()
{
    CU_ASSERT_EQUAL(panel_at(0x2400), 0x4000004000400240u);
    CU_ASSERT_EQUAL(panel_at(0x2400 + 32), 0x4000004000400242u);
}

/* --- Kernels with a fault. */

enum fault {
    NONE,
    NOT_WAITED,
    NOT_COMMITTED,
    LEFT_ONE,
    WRITTEN_SUMS,
    NO_FENCE,
    FAULTS_OF_A_SECOND, /* in or before a second product */
    NOT_TAKEN = FAULTS_OF_A_SECOND,
    NO_FENCE_AGAIN,
    LATE_VALUES,
    LATE_SUMS,
    FAULTS_OF_B,
    NOT_SHOWN = FAULTS_OF_B,
    NOT_SHOWN_BY_ONE,
    STORED_NOT_SHOWN,
    OVERWRITTEN,
    COPIED_OVER,
    UNEVEN_COPY,
    UNEVEN_PLACE,
    UNEVEN_MATRIX,
    UNEVEN_BEGIN,
    UNEVEN_PANEL,
    NO_SWIZZLE,
    BASE_OFFSET,
    OUTSIDE,
    OTHER_PRODUCT,
    OTHER_INSTRUCTION,
    HALF
};

/* Copies as load_all, and shows it but for the fault. */
void
load_with(enum fault fault, Matrices *m, unsigned char *memory, uint32_t (&a)[STEPS][4])
{
    copy_all(m, memory);
    if (fault == UNEVEN_COPY && threadIdx.x == 3)
        copy_16(shared_address(memory), m->a[0] + 4, true);
    if (fault == UNEVEN_PLACE && threadIdx.x == 3)
        copy_8(shared_address(memory) + 4, m->a[0], true);
    copies_wait();
    if (fault != NOT_SHOWN && (fault != NOT_SHOWN_BY_ONE || threadIdx.x != 72))
        shared_to_products();
    __syncthreads();
    uint32_t tile = tile_of(memory) + (fault == UNEVEN_MATRIX && threadIdx.x == 3 ? 8 : 0);
    for (int step = 0; step < STEPS; step++)
        load_matrices(a[step],
                      tile + tile_lane_down<64>((int)threadIdx.x / 32 * 16, 2 * step));
    if (fault == STORED_NOT_SHOWN && threadIdx.x == 5)
        memory[3] ^= 1;
    __syncthreads();
}

uint64_t
descriptor_with(enum fault fault, uint32_t panel)
{
    switch (fault) {
    case UNEVEN_BEGIN:
        return panel_at(panel + 128);
    case NO_SWIZZLE:
        return panel_at(panel) & ~((uint64_t)3 << 62);
    case BASE_OFFSET:
        return panel_at(panel) | (uint64_t)1 << 49;
    case OUTSIDE:
        return panel_at(panel + SHARED_BYTES - TILE_BYTES / 2);
    case OTHER_PRODUCT:
        return panel_at(panel + (threadIdx.x == 100 ? 32 : 0));
    default:
        return panel_at(panel);
    }
}

void
begin_with(enum fault fault, float (&c)[8][4], const uint32_t (&a)[4], uint32_t panel)
{
    if (fault == HALF && threadIdx.x >= 64)
        __syncthreads();
    if (fault == UNEVEN_PANEL)
        products_begin<ROWS_ARE_INNER>(c, a, panel_at(panel + 256));
    else if (fault == OTHER_INSTRUCTION && threadIdx.x >= 96)
        products_commit();
    else
        products_begin<ROWS_ARE_COLUMNS>(c, a, descriptor_with(fault, panel));
}

/* A second product: of what, and behind what, is the fault. */
void
go_on_with(enum fault fault, float (&c)[8][4], uint32_t (&a)[STEPS][4], uint32_t panel)
{
    products_wait<0>();
    if (fault == LATE_SUMS) {
        products_fence();
        products_have(c);
    } else if (fault == NOT_TAKEN) {
        c[0][0] += 1.0f;
        products_fence();
    } else if (fault == LATE_VALUES) {
        products_fence();
        products_add<ROWS_ARE_COLUMNS>(c, a[0], panel_at(panel));
        a[0][0] ^= 1;
    }
    products_add<ROWS_ARE_COLUMNS>(c, a[0], panel_at(panel));
    products_commit();
}

void
wait_with(enum fault fault)
{
    if (fault != NOT_COMMITTED)
        products_commit();
    if (fault == LEFT_ONE)
        products_wait<1>();
    else if (fault != NOT_WAITED)
        products_wait<0>();
}

__global__ void
faulty_kernel(Matrices *m, enum fault fault)
{
    DPC_SHARED(unsigned char, memory);
    uint32_t a[STEPS][4], panel = shared_address(memory);
    float c[8][4];
    load_with(fault, m, memory, a);
    if (fault != NO_FENCE)
        products_fence();
    begin_with(fault, c, a[0], panel);
    if (fault == OVERWRITTEN && threadIdx.x == 3)
        memory[0] ^= 1;
    if (fault == COPIED_OVER && threadIdx.x == 3)
        copy_16(panel, m->a[0], true);
    if (fault == WRITTEN_SUMS)
        c[3][2] = 0;
    if (fault >= FAULTS_OF_A_SECOND && fault < FAULTS_OF_B) {
        products_commit();
        go_on_with(fault, c, a, panel);
        products_wait<0>();
    } else {
        wait_with(fault);
    }
    if (fault != NOT_WAITED && fault != NOT_COMMITTED)
        products_have(c);
    write_sums(m, c);
}

struct Outcome {
    bool aborted;
    char said[512];
};

/* Runs it in a process of its own. */
Outcome
outcome_of(enum fault fault)
{
    Outcome outcome = {};
    int ends[2], status = 0;
    if (pipe(ends) != 0)
        return outcome;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        launch(1, faulty_kernel, &matrices, fault);
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], outcome.said + length, sizeof outcome.said - 1 - length)) > 0)
        length += (size_t)got;
    close(ends[0]);
    outcome.aborted =
        waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    return outcome;
}

const struct {
    enum fault fault;
    const char *says;
} faults[] = {
    {NOT_WAITED, "did not wait for"},
    {NOT_COMMITTED, "did not wait for"},
    {LEFT_ONE, "before they were waited for"},
    {NOT_TAKEN, "sums were written"},
    {WRITTEN_SUMS, "sums were written"},
    {NO_FENCE, "without a fence"},
    {NO_FENCE_AGAIN, "without a fence"},
    {LATE_VALUES, "values that were written after the fence"},
    {LATE_SUMS, "sums that were taken after the fence"},
    {NOT_SHOWN, "nobody has shown"},
    {NOT_SHOWN_BY_ONE, "its thread has not shown"},
    {STORED_NOT_SHOWN, "nobody has shown"},
    {OVERWRITTEN, "a panel was written"},
    {COPIED_OVER, "a copy begins"},
    {UNEVEN_COPY, "could not read or write"},
    {UNEVEN_PLACE, "could not read or write"},
    {UNEVEN_MATRIX, "a row of a matrix"},
    {UNEVEN_BEGIN, "does not begin in the first row"},
    {UNEVEN_PANEL, "does not begin where"},
    {NO_SWIZZLE, "swizzle is not"},
    {BASE_OFFSET, "base offset"},
    {OUTSIDE, "outside of shared memory"},
    {OTHER_PRODUCT, "different products"},
    {OTHER_INSTRUCTION, "different instructions"},
    {HALF, "never come"},
};

void
a_fault_does_not_pass()
{
    draw_all();
    Outcome right = outcome_of(NONE);
    CU_ASSERT(!right.aborted && right.said[0] == '\0');
    for (const auto &row : faults) {
        Outcome outcome = outcome_of(row.fault);
        bool said = strstr(outcome.said, row.says) != NULL;
        if (!outcome.aborted || !said)
            printf("\n    not \"%s\" but \"%s\"", row.says, outcome.said);
        CU_ASSERT(outcome.aborted && said);
    }
}

const struct dpc_test tests[] = {
    {"a descriptor is as documented", a_descriptor_is_as_documented},
    {"products are sums", products_are_sums},
    {"groups end in their order", groups_end_in_their_order},
    {"a fault does not pass", a_fault_does_not_pass},
};

} // namespace

DPC_TEST_MAIN("ops/products of an emulated warpgroup", tests)
