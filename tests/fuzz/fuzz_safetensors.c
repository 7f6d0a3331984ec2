/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a folder with somebody's model holds: reading it neither crashes nor reads beside a
 * file, and what is accepted has finite values.
 *
 * With libFuzzer the input is the file of weights; `make check` also mutates its config and an
 * index.
 */
#include <math.h>

#include "base/imported.h"
#include "base/layout.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/base/llama_folder.h"

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
            fuzz_accepted++;
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

struct place {
    struct llama_folder *folder;
    uint32_t file;
};

static void
read_at(void *context, const uint8_t *bytes, size_t len)
{
    struct place *place = context;
    read_with(place->folder, place->file, bytes, len);
}

/* The files of a folder one after the other, while the others are as they should be. */
static void
mutate_folder(uint32_t parts, enum dpc_safetensors_type type, uint64_t count)
{
    struct dpc_experiment experiment;
    struct llama_folder folder;
    struct dpc_rng rng;
    tiny_llama(&experiment);
    llama_folder_make(&folder, &experiment, parts, type);
    for (uint32_t file = 0; file < folder.files.count; file++) {
        const uint8_t *valid = folder.files.files[file].bytes;
        size_t len = folder.files.files[file].len;
        bool weights = file >= 1 && file <= parts;
        size_t head = weights ? 8U + valid[0] + 256U * valid[1] : 0;
        struct place place = {&folder, file};
        dpc_rng_init(&rng, 1, DPC_RNG_TEST, file, folder.files.count, 0);
        fuzz_mutations(&rng, valid, len, head, count, read_at, &place);
        folder.files.files[file].bytes = valid;
        folder.files.files[file].len = len;
    }
    llama_folder_done(&folder);
}

static void
add_inputs(struct fuzz *fuzz)
{
    struct dpc_experiment experiment;
    struct llama_folder folder;
    tiny_llama(&experiment);
    llama_folder_make(&folder, &experiment, 1, DPC_SAFETENSORS_F32);
    const uint8_t *weights = folder.files.files[1].bytes;
    fuzz_valid(fuzz, weights, folder.files.files[1].len, 8U + weights[0] + 256U * weights[1]);
    llama_folder_done(&folder);
    if (fuzz->folder)
        return;
    mutate_folder(1, DPC_SAFETENSORS_F32, fuzz->count);
    mutate_folder(2, DPC_SAFETENSORS_BF16, fuzz->count);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 2000, add_inputs);
}

#endif
