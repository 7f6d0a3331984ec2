/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/harness.h"

/* Half of what a size_t counts; `volatile`, since compilers know that no allocation is so large. */
static volatile size_t half = SIZE_MAX / 2;

static void
memory_is_zeroed(void)
{
    uint8_t *bytes = dpc_alloc(1000, 3);
    for (size_t i = 0; i < 3000; i++)
        CU_ASSERT_EQUAL_FATAL(bytes[i], 0);
    CU_ASSERT_PTR_NULL(dpc_free(bytes));
    CU_ASSERT_PTR_NULL(dpc_free(NULL));
}

static void
nothing_is_still_something(void)
{
    void *none = dpc_alloc(0, 8), *vector = dpc_try_alloc_vector(0, 4);
    CU_ASSERT_PTR_NOT_NULL(none);
    CU_ASSERT_PTR_NOT_NULL(vector);
    dpc_free(none);
    dpc_free(vector);
}

static void
products_that_overflow_are_refused(void)
{
    CU_ASSERT_PTR_NULL(dpc_try_alloc(half, 3));
    CU_ASSERT_PTR_NULL(dpc_try_alloc_vector(half, 3));
    CU_ASSERT_PTR_NULL(dpc_try_alloc_vector(half + half + 1, 1));
    char *old = dpc_alloc(4, 1);
    memcpy(old, "abc", 4);
    CU_ASSERT_PTR_NULL(dpc_try_grow(old, half, 3));
    CU_ASSERT_STRING_EQUAL(old, "abc");
    dpc_free(old);
}

static void
vectors_are_aligned_and_zeroed(void)
{
    for (size_t count = 1; count < 200; count += 33) {
        float *vector = dpc_try_alloc_vector(count, sizeof *vector);
        CU_ASSERT_PTR_NOT_NULL_FATAL(vector);
        CU_ASSERT_EQUAL((uintptr_t)vector % 64, 0);
        for (size_t i = 0; i < count; i++)
            CU_ASSERT_EQUAL(vector[i], 0.0f);
        dpc_free(vector);
    }
}

static void
growing_keeps_what_was_there(void)
{
    char *text = dpc_grow(NULL, 4, 1);
    memcpy(text, "abc", 4);
    text = dpc_grow(text, 100000, 1);
    CU_ASSERT_STRING_EQUAL(text, "abc");
    dpc_free(text);
}

static void
texts_are_copied_and_formatted(void)
{
    char *copy = dpc_strdup("one"), *made = dpc_format("%s-%d", copy, 2);
    CU_ASSERT_STRING_EQUAL(copy, "one");
    CU_ASSERT_STRING_EQUAL(made, "one-2");
    dpc_free(copy);
    dpc_free(made);
}

/* Who asks for small control data cannot go on without it. */
static void
dpc_alloc_aborts_without_memory(void)
{
    int status = 0;
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        dpc_free(dpc_alloc(half, 3));
        _exit(0);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static const struct dpc_test tests[] = {
    {"memory is zeroed", memory_is_zeroed},
    {"nothing is still something", nothing_is_still_something},
    {"products that overflow are refused", products_that_overflow_are_refused},
    {"vectors are aligned and zeroed", vectors_are_aligned_and_zeroed},
    {"growing keeps what was there", growing_keeps_what_was_there},
    {"texts are copied and formatted", texts_are_copied_and_formatted},
    {"dpc_alloc aborts without memory", dpc_alloc_aborts_without_memory},
};
DPC_TEST_MAIN("base/alloc", tests)
