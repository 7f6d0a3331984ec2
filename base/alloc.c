/* SPDX-License-Identifier: Apache-2.0
 * Thin over libc: the one file of the tree in which malloc and its kin may stand. */
#include "base/alloc.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    VECTOR_ALIGNMENT = 64,
    HUGE_PAGE = 2 * 1024 * 1024,
    HUGE_FROM = 4 * HUGE_PAGE, /* below, rounding up to whole pages would waste memory */
};

static void
die(size_t count, size_t size)
{
    fprintf(stderr, "<2>out of memory: %zu x %zu bytes\n", count, size);
    abort();
}

/* Whether an object of so many bytes can exist at all; a sanitizer's allocator aborts on the
 * others. */
static bool
fits(size_t count, size_t size)
{
    size_t bytes;
    return !__builtin_mul_overflow(count, size, &bytes) && bytes < PTRDIFF_MAX;
}

static void *
try_alloc(size_t count, size_t size)
{
    return fits(count, size) ? calloc(count ? count : 1, size ? size : 1) : NULL;
}

static void *
try_grow(void *old, size_t count, size_t size)
{
    return fits(count, size) ? reallocarray(old, count ? count : 1, size ? size : 1) : NULL;
}

/* Asks for huge pages for what of it is whole ones, before it is touched: a fault each, where small
 * pages take hundreds (a third of what reading and writing a path's blobs costs, measured). Control
 * data stays in small ones: its arrays have room that is never touched. */
static void *
ask_for_huge_pages(void *memory, size_t bytes)
{
    uintptr_t begin = ((uintptr_t)memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    uintptr_t end = ((uintptr_t)memory + bytes) / HUGE_PAGE * HUGE_PAGE;
    if (memory && bytes >= HUGE_FROM)
        (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    return memory;
}

void *
dpc_alloc(size_t count, size_t size)
{
    void *memory = try_alloc(count, size);
    if (!memory)
        die(count, size);
    return memory;
}

void *
dpc_try_alloc(size_t count, size_t size)
{
    return ask_for_huge_pages(try_alloc(count, size), count * size);
}

/* Large arenas ask for huge pages before they are touched: a matrix's columns lie pages apart, and
 * each page costs an entry of a small table in the processor (3 % of a training step, measured). */
void *
dpc_try_alloc_vector(size_t count, size_t size)
{
    if (!fits(count, size))
        return NULL;
    size_t alignment = count * size < HUGE_FROM ? VECTOR_ALIGNMENT : HUGE_PAGE;
    size_t bytes = (count * size + alignment) / alignment * alignment;
    void *memory = ask_for_huge_pages(aligned_alloc(alignment, bytes), bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void *
dpc_grow(void *old, size_t count, size_t size)
{
    void *memory = try_grow(old, count, size);
    if (!memory)
        die(count, size);
    return memory;
}

void *
dpc_try_grow(void *old, size_t count, size_t size)
{
    return ask_for_huge_pages(try_grow(old, count, size), count * size);
}

char *
dpc_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(dpc_alloc(bytes, 1), text, bytes);
}

char *
dpc_format(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        die(1, strlen(format));
    return text;
}

void *
dpc_free(void *memory)
{
    free(memory);
    return NULL;
}
