/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a folder with somebody's model holds: reading it neither crashes nor reads beside a
 * file, and what is accepted has finite values.
 *
 * With -DDPC_LIBFUZZER and clang's -fsanitize=fuzzer this is a fuzz target for the file of weights.
 * Built by `make check` it is a program: files named on the command line are replayed, then
 * mutations of a valid file of weights, of its config and of an index, from a fixed seed (argument
 * `-n COUNT` for more).
 */
#include <math.h>
#include <stdlib.h>

#include "base/imported.h"
#include "base/layout.h"
#include "base/rng.h"
#include "tests/unit/base/llama_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t accepted;

/* Every level of the folder. */
static void
read_all(struct llama_folder *folder, const struct dpc_experiment *experiment)
{
    struct dpc_imported *imported;
    struct dpc_error err;
    if (dpc_imported_open(&folder->vfs, "m", experiment, &imported, &err) != DPC_OK)
        return;
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        size_t count = dpc_layout_module_floats(experiment, level);
        float *floats = dpc_alloc(count, sizeof *floats);
        if (dpc_imported_read(imported, level, floats, &err) == DPC_OK) {
            accepted++;
            for (size_t i = 0; i < count; i++) {
                if (!isfinite(floats[i]))
                    abort();
            }
        }
        dpc_free(floats);
    }
    dpc_imported_close(imported);
}

/* `bytes` in the place of the folder's file number `file`. */
static void
read_with(struct llama_folder *folder, uint32_t file, const uint8_t *bytes, size_t len)
{
    struct dpc_experiment experiment;
    tiny_llama(&experiment);
    folder->files.files[file].bytes = bytes;
    folder->files.files[file].len = len;
    read_all(folder, &experiment);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dpc_experiment experiment;
    struct llama_folder folder;
    tiny_llama(&experiment);
    llama_folder_make(&folder, &experiment, 1, DPC_SAFETENSORS_F32);
    read_with(&folder, 1, data, size);
    llama_folder_done(&folder);
    return 0;
}

#ifndef DPC_LIBFUZZER

enum { FILE_BYTES_MAX = 1 << 20, HEADER_SHARE = 4 };

static void
replay(const char *path)
{
    static uint8_t bytes[FILE_BYTES_MAX];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "could not open \"%s\"\n", path);
        abort();
    }
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, len);
}

/* What stands in JSON is more often wrong by a number or a bracket than by a bit. */
static size_t
mutate(struct dpc_rng *rng, uint8_t *bytes, size_t len, size_t header)
{
    static const char letters[] = "0123456789-.eE[]{},:\"\\ntu\x00\x7f\x80\xff";
    size_t reach = dpc_rng_below(rng, HEADER_SHARE) && header < len ? header : len;
    size_t at = (size_t)dpc_rng_below(rng, reach ? reach : 1);
    size_t run = len > at ? (size_t)dpc_rng_below(rng, len - at < 64 ? len - at : 64) : 0;
    switch (dpc_rng_below(rng, 5)) {
    case 0:
        bytes[at] ^= (uint8_t)(1 << dpc_rng_below(rng, 8));
        return len;
    case 1:
        bytes[at] = (uint8_t)letters[dpc_rng_below(rng, sizeof letters - 1)];
        return len;
    case 2:
        memmove(bytes + at, bytes + at + run, len - at - run);
        return len - run;
    case 3:
        memmove(bytes + at + run, bytes + at, len - at);
        return len + run;
    default:
        return dpc_rng_below(rng, 8) ? len : at;
    }
}

/* `header`: bytes of the file that are most worth changing. */
static void
mutations_of(struct llama_folder *folder, uint32_t file, size_t header, uint64_t count)
{
    const uint8_t *valid = folder->files.files[file].bytes;
    size_t len = folder->files.files[file].len;
    uint8_t *bytes = dpc_alloc(len + 5 * 64, 1);
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, file, folder->files.count, 0);
    read_with(folder, file, valid, len);
    for (uint64_t i = 0; i < count; i++) {
        size_t changed = len;
        memcpy(bytes, valid, len);
        for (uint64_t k = dpc_rng_below(&rng, 4) + 1; k > 0; k--)
            changed = mutate(&rng, bytes, changed, header);
        read_with(folder, file, bytes, changed);
    }
    folder->files.files[file].bytes = valid;
    folder->files.files[file].len = len;
    dpc_free(bytes);
}

static void
mutations_of_folder(uint32_t parts, enum dpc_safetensors_type type, uint64_t count)
{
    struct dpc_experiment experiment;
    struct llama_folder folder;
    tiny_llama(&experiment);
    llama_folder_make(&folder, &experiment, parts, type);
    for (uint32_t file = 0; file < folder.files.count; file++) {
        const uint8_t *bytes = folder.files.files[file].bytes;
        bool weights = file >= 1 && file <= parts;
        size_t header = weights ? 8u + bytes[0] + 256u * bytes[1] : folder.files.files[file].len;
        mutations_of(&folder, file, header, count);
    }
    llama_folder_done(&folder);
}

int
main(int argc, char **argv)
{
    uint64_t count = 2000;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
            count = strtoull(argv[++i], NULL, 10);
        else
            replay(argv[i]);
    }
    mutations_of_folder(1, DPC_SAFETENSORS_F32, count);
    mutations_of_folder(2, DPC_SAFETENSORS_BF16, count);
    printf("fuzz_safetensors: 6 files, %llu mutations each, %llu levels read\n",
           (unsigned long long)count, (unsigned long long)accepted);
    return accepted ? 0 : 1;
}

#endif
