/* SPDX-License-Identifier: Apache-2.0
 *
 * What fuzz targets share. A target is LLVMFuzzerTestOneInput, and with -DDPC_LIBFUZZER and clang's
 * -fsanitize=fuzzer that is all of it. Built by `make check` it is a program: files named on the
 * command line are replayed, then mutations of valid inputs from a fixed seed (`-n COUNT`: so many
 * of each). With `-w FOLDER` the valid inputs are written there instead, for libFuzzer to begin
 * with.
 *
 * Owns: nothing. Threads: one.
 */
#ifndef DPC_TESTS_FUZZ_H
#define DPC_TESTS_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inputs that the code under test took: a target that refuses everything shows nothing. */
static uint64_t fuzz_accepted;

/* What must hold for each input; with the name of what does not. */
static inline void
fuzz_require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

#ifndef DPC_LIBFUZZER

enum { FUZZ_FILE_BYTES_MAX = 1 << 22, FUZZ_RUN_MAX = 64, FUZZ_MUTATIONS_MAX = 4 };

struct fuzz {
    const char *name;   /* of the target */
    const char *folder; /* that valid inputs are written to; NULL: they are mutated */
    uint64_t count;     /* mutations of each */
    uint32_t inputs;    /* valid ones so far */
};

/* Each run gets memory of its own, so that a sanitizer sees a read past the end. */
static inline void
fuzz_run(void (*run)(void *context, const uint8_t *bytes, size_t len), void *context,
         const void *bytes, size_t len)
{
    uint8_t *copy = dpc_alloc(len ? len : 1, 1);
    if (len)
        memcpy(copy, bytes, len);
    run(context, copy, len);
    dpc_free(copy);
}

static inline void
fuzz_run_target(void *context, const uint8_t *bytes, size_t len)
{
    (void)context;
    LLVMFuzzerTestOneInput(bytes, len);
}

/* Flips, overwrites, doubles, removes and cuts bytes, most of them among the first `head`; there is
 * room for FUZZ_RUN_MAX more. Text is more often wrong by a digit or a bracket than by a bit.
 * Returns the new length. */
static inline size_t
fuzz_mutate(struct dpc_rng *rng, uint8_t *bytes, size_t len, size_t head)
{
    static const char letters[] = "0123456789-.eE[]{},:\"\\\n\t tu\x00\x01\x7f\x80\xff";
    size_t reach = head && head < len && dpc_rng_below(rng, 4) ? head : len;
    if (len == 0)
        return 0;
    size_t at = (size_t)dpc_rng_below(rng, reach), left = len - at;
    size_t run = (size_t)dpc_rng_below(rng, left < FUZZ_RUN_MAX ? left : FUZZ_RUN_MAX) + 1;
    switch (dpc_rng_below(rng, 6)) {
    case 0:
        bytes[at] ^= (uint8_t)(1U << dpc_rng_below(rng, 8));
        return len;
    case 1:
        bytes[at] = (uint8_t)letters[dpc_rng_below(rng, sizeof letters - 1)];
        return len;
    case 2:
        bytes[at] = (uint8_t)dpc_rng_u32(rng);
        return len;
    case 3:
        memmove(bytes + at, bytes + at + run, left - run);
        return len - run;
    case 4:
        memmove(bytes + at + run, bytes + at, left);
        return len + run;
    default:
        return dpc_rng_below(rng, 4) ? len : at;
    }
}

/* `run` with `count` mutations of `valid`. */
static inline void
fuzz_mutations(struct dpc_rng *rng, const void *valid, size_t len, size_t head, uint64_t count,
               void (*run)(void *context, const uint8_t *bytes, size_t len), void *context)
{
    uint8_t *bytes = dpc_alloc(len + FUZZ_MUTATIONS_MAX * FUZZ_RUN_MAX, 1);
    for (uint64_t i = 0; i < count; i++) {
        size_t changed = len;
        if (len)
            memcpy(bytes, valid, len);
        for (uint64_t k = dpc_rng_below(rng, FUZZ_MUTATIONS_MAX) + 1; k > 0; k--)
            changed = fuzz_mutate(rng, bytes, changed, head);
        fuzz_run(run, context, bytes, changed);
    }
    dpc_free(bytes);
}

static inline void
fuzz_write(const struct fuzz *fuzz, const void *bytes, size_t len)
{
    char *path = dpc_format("%s/%s-%u", fuzz->folder, fuzz->name, fuzz->inputs);
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(bytes, 1, len, file) == len;
    fuzz_require(file && fclose(file) == 0 && written, path);
    dpc_free(path);
}

/* The target with an input that it must accept, and then with mutations of it, of which most change
 * one of the first `head` bytes (0: all). */
static inline void
fuzz_valid(struct fuzz *fuzz, const void *bytes, size_t len, size_t head)
{
    struct dpc_rng rng;
    uint64_t before = fuzz_accepted;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, fuzz->inputs, (uint32_t)len, 0);
    fuzz_run(fuzz_run_target, NULL, bytes, len);
    fuzz_require(fuzz_accepted > before, "a valid input is accepted");
    if (fuzz->folder)
        fuzz_write(fuzz, bytes, len);
    else
        fuzz_mutations(&rng, bytes, len, head, fuzz->count, fuzz_run_target, NULL);
    fuzz->inputs++;
}

static inline void
fuzz_replay(const char *path)
{
    static uint8_t bytes[FUZZ_FILE_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    fuzz_require(file != NULL, path);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    fuzz_run(fuzz_run_target, NULL, bytes, len);
}

static inline void
fuzz_valid_texts(struct fuzz *fuzz, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fuzz_valid(fuzz, texts[i], strlen(texts[i]), 0);
}

/* The main of a target, which hands its valid inputs to fuzz_valid in `add_inputs`. */
static inline int
fuzz_main(int argc, char **argv, uint64_t count, void (*add_inputs)(struct fuzz *fuzz))
{
    const char *slash = strrchr(argv[0], '/');
    struct fuzz fuzz = {.name = slash ? slash + 1 : argv[0], .count = count};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            fuzz.count = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "-w") == 0 && i + 1 < argc)
            fuzz.folder = argv[++i];
        else
            fuzz_replay(argv[i]);
    }
    add_inputs(&fuzz);
    printf("%s: %u inputs, %llu mutations each, %llu accepted\n", fuzz.name, fuzz.inputs,
           (unsigned long long)(fuzz.folder ? 0 : fuzz.count), (unsigned long long)fuzz_accepted);
    return fuzz_accepted ? 0 : 1;
}

#endif
#endif
