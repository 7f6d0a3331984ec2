/* SPDX-License-Identifier: Apache-2.0
 * Coroutines take turns: a thread runs until it meets others, at a barrier or at an instruction of its
 * whole warp, and then the next one runs. The order is drawn anew each round. A coroutine begins with
 * setcontext and goes on with longjmp, which asks nothing of the kernel. */
#include "tests/unit/ops/cuda_cpu/emulate.h"

#include "tests/unit/ops/cuda_cpu/warpgroup.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <random>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;
alignas(1024) unsigned char
    dpc_emulated_shared[DPC_EMULATED_SHARED_MAX + DPC_EMULATED_SHARED_BEHIND];

namespace {

enum {
    THREADS_MAX = DPC_EMULATED_THREADS_MAX,
    WARP = DPC_EMULATED_WARP,
    WARPGROUP = DPC_EMULATED_WARPGROUP,
    STACK_BYTES = 256 * 1024
};

struct Copy {
    void *to;
    const void *from;
    size_t bytes;
    bool valid;
};

struct Thread {
    ucontext_t context; /* where it begins */
    jmp_buf place;      /* where it goes on */
    bool begun;
    std::vector<char> stack;
    std::vector<Copy> copies;
    dim3 index;
    bool ended;
};

/* Where the threads of a warp or of a warpgroup meet. */
struct Meeting {
    void (*run)(void **operands);
    void *operands[WARPGROUP];
    unsigned arrived, turn;
};

Thread *threads[THREADS_MAX];
Meeting warps[THREADS_MAX / WARP], warpgroups[THREADS_MAX / WARPGROUP];
jmp_buf scheduler;
const std::function<void()> *body;
unsigned count, running, alive, barrier_arrived, barrier_turn;
size_t shared_used;
bool progress;

void
yield()
{
    if (_setjmp(threads[running]->place) == 0)
        _longjmp(scheduler, 1);
    threadIdx = threads[running]->index;
}

/* Until it yields or ends. */
void
go_on(unsigned i)
{
    Thread *thread = threads[i];
    running = i;
    threadIdx = thread->index;
    if (_setjmp(scheduler) != 0)
        return;
    if (thread->begun)
        _longjmp(thread->place, 1);
    thread->begun = true;
    setcontext(&thread->context);
}

void
release_barrier()
{
    barrier_arrived = 0;
    barrier_turn++;
    progress = true;
}

void
begin_thread()
{
    (*body)();
    dpc_emulated_products_thread_ends();
    Thread *thread = threads[running];
    thread->ended = true;
    alive--;
    progress = true;
    if (barrier_arrived > 0 && barrier_arrived == alive)
        release_barrier();
    _longjmp(scheduler, 1);
}

void
prepare(unsigned i, dim3 block)
{
    if (!threads[i])
        threads[i] = new Thread;
    Thread *thread = threads[i];
    thread->stack.resize(STACK_BYTES);
    thread->copies.clear();
    thread->ended = thread->begun = false;
    thread->index = dim3(i % block.x, i / block.x % block.y, i / block.x / block.y);
    getcontext(&thread->context);
    thread->context.uc_stack.ss_sp = thread->stack.data();
    thread->context.uc_stack.ss_size = STACK_BYTES;
    thread->context.uc_link = nullptr;
    makecontext(&thread->context, begin_thread, 0);
}

void
run_block(dim3 block, std::mt19937 &random)
{
    std::vector<unsigned> order(count);
    alive = count;
    barrier_arrived = 0;
    memset(warps, 0, sizeof warps);
    memset(warpgroups, 0, sizeof warpgroups);
    dpc_emulated_products_reset();
    for (unsigned i = 0; i < count; i++) {
        prepare(i, block);
        order[i] = i;
    }
    while (alive > 0) {
        std::shuffle(order.begin(), order.end(), random);
        progress = false;
        for (unsigned i : order) {
            if (!threads[i]->ended)
                go_on(i);
        }
        if (!progress)
            dpc_emulated_fail("threads wait for others that never come");
    }
}

void
check_behind(const unsigned char *end)
{
    for (int i = 0; i < DPC_EMULATED_SHARED_BEHIND; i++) {
        if (end[i] != 0xff)
            dpc_emulated_fail("shared memory was written behind its end");
    }
}

} // namespace

void
dpc_emulated_fail(const char *what)
{
    fprintf(stderr, "emulated card: %s (thread %u of block %u %u)\n", what, running, blockIdx.x,
            blockIdx.y);
    abort();
}

size_t
dpc_emulated_shared_bytes()
{
    return shared_used;
}

unsigned
dpc_emulated_thread()
{
    return running;
}

int
dpc_emulated_capability()
{
    const char *wanted = getenv("DPC_EMULATED_CAPABILITY");
    return wanted ? (int)strtol(wanted, nullptr, 10) : 90;
}

/* "Maximum amount of shared memory per thread block", CUDA C++ Programming Guide. */
size_t
dpc_emulated_shared_most()
{
    switch (dpc_emulated_capability()) {
    case 75:
        return 64 * 1024;
    case 80:
        return 163 * 1024;
    case 86:
    case 89:
        return 99 * 1024;
    default:
        return DPC_EMULATED_SHARED_MAX;
    }
}

void
dpc_emulate(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &thread)
{
    static std::mt19937 random(1);
    count = block.x * block.y * block.z;
    if (count == 0 || count > THREADS_MAX || shared_bytes > dpc_emulated_shared_most() ||
        grid.x == 0 || grid.y == 0 || grid.y > 65535)
        dpc_emulated_fail("a launch that a card would refuse");
    body = &thread;
    shared_used = shared_bytes;
    gridDim = grid;
    blockDim = block;
    for (unsigned y = 0; y < grid.y; y++) {
        for (unsigned x = 0; x < grid.x; x++) {
            blockIdx = dim3(x, y);
            /* What an earlier block left there must not matter. */
            memset(dpc_emulated_shared, 0xff, shared_bytes + DPC_EMULATED_SHARED_BEHIND);
            run_block(block, random);
            check_behind(dpc_emulated_shared + shared_bytes);
        }
    }
}

void
dpc_emulated_block_barrier()
{
    unsigned turn = barrier_turn;
    if (++barrier_arrived == alive) {
        release_barrier();
        return;
    }
    while (turn == barrier_turn)
        yield();
}

void
dpc_emulated_together(void (*run)(void **operands), void *operand, unsigned size)
{
    Meeting &meeting = size == WARP ? warps[running / WARP] : warpgroups[running / WARPGROUP];
    unsigned turn = meeting.turn;
    if (meeting.arrived > 0 && meeting.run != run)
        dpc_emulated_fail("threads come to different instructions that they do together");
    meeting.run = run;
    meeting.operands[running % size] = operand;
    if (++meeting.arrived == size) {
        run(meeting.operands);
        meeting.arrived = 0;
        meeting.turn++;
        progress = true;
        return;
    }
    while (turn == meeting.turn)
        yield();
}

void
dpc_emulated_copy_later(void *to, const void *from, size_t bytes, bool valid)
{
    if ((uintptr_t)to % bytes || (uintptr_t)from % bytes)
        dpc_emulated_fail("a copy begins where a card could not read or write it");
    dpc_emulated_products_copy_begins(to, bytes);
    threads[running]->copies.push_back({to, from, bytes, valid});
}

void
dpc_emulated_copy_now()
{
    for (const Copy &copy : threads[running]->copies) {
        if (copy.valid)
            memcpy(copy.to, copy.from, copy.bytes);
        else
            memset(copy.to, 0, copy.bytes);
        dpc_emulated_products_copied(copy.to, copy.bytes);
    }
    threads[running]->copies.clear();
}
