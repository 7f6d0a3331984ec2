/* SPDX-License-Identifier: Apache-2.0
 * A worker that lies about what it learned. The linker puts this file between the training of a
 * release and where it takes the difference to what it received (--wrap), so that the shipped
 * worker has nothing of it. Losses, path state and everything else stay honest.
 *
 * DPC_HOSTILE says what becomes of each module's difference:
 *   flip   its sign turns round
 *   scale  a hundred times as large
 *   noise  random values of the same norm
 *   stale  the one before it again, to the bit
 *   echo   the one before it again, but for its last value, so that its hash is another
 *   idle   a ten-thousandth of it: nothing was trained, but the hash is new
 *
 * DPC_HOSTILE_PROGRAM is the worker that it claims to be, whose numeric class it tells. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/rng.h"
#include "base/vfs.h"
#include "modules/path.h"

/* What the linker makes of a wrapped name. */
int __real_dpc_path_subtract_module(struct dpc_path *path, uint32_t level, float *values);
int __wrap_dpc_path_subtract_module(struct dpc_path *path, uint32_t level, float *values);
int __real_dpc_vfs_read_file(const struct dpc_vfs *vfs, const char *path, size_t limit,
                             uint8_t **ret_data, size_t *ret_len, struct dpc_error *err);
int __wrap_dpc_vfs_read_file(const struct dpc_vfs *vfs, const char *path, size_t limit,
                             uint8_t **ret_data, size_t *ret_len, struct dpc_error *err);

static float *before[DPC_LEVELS_MAX]; /* honest ones of the task before */
static uint32_t calls;

static void
multiply(float *values, size_t count, float factor)
{
    for (size_t i = 0; i < count; i++)
        values[i] *= factor;
}

static void
make_noise(float *values, size_t count)
{
    struct dpc_rng rng;
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += (double)values[i] * (double)values[i];
    dpc_rng_init(&rng, 666, DPC_RNG_TEST, calls, 0, 0);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(sqrt(squares / (double)count) * dpc_rng_normal(&rng));
}

/* The first time there is none before it. */
static void
repeat(float *values, size_t count, uint32_t level, float added)
{
    float *honest = dpc_alloc(count, sizeof *honest);
    memcpy(honest, values, count * sizeof *values);
    if (before[level]) {
        memcpy(values, before[level], count * sizeof *values);
        values[count - 1] += added * (float)(calls % 1000);
        dpc_free(honest);
    } else {
        before[level] = honest;
    }
}

int
__wrap_dpc_path_subtract_module(struct dpc_path *path, uint32_t level, float *values)
{
    const char *how = getenv("DPC_HOSTILE");
    size_t count = dpc_path_module_floats(path, level);
    int code = __real_dpc_path_subtract_module(path, level, values);
    calls++;
    if (!how || code != DPC_OK)
        return code;
    if (strcmp(how, "flip") == 0)
        multiply(values, count, -1);
    else if (strcmp(how, "scale") == 0)
        multiply(values, count, 100);
    else if (strcmp(how, "noise") == 0)
        make_noise(values, count);
    else if (strcmp(how, "stale") == 0)
        repeat(values, count, level, 0);
    else if (strcmp(how, "echo") == 0)
        repeat(values, count, level, 1e-6f);
    else if (strcmp(how, "idle") == 0)
        multiply(values, count, 1e-4f);
    else
        abort();
    return code;
}

int
__wrap_dpc_vfs_read_file(const struct dpc_vfs *vfs, const char *path, size_t limit,
                         uint8_t **ret_data, size_t *ret_len, struct dpc_error *err)
{
    const char *claimed = getenv("DPC_HOSTILE_PROGRAM");
    bool own = strcmp(path, "/proc/self/exe") == 0;
    return __real_dpc_vfs_read_file(vfs, own && claimed ? claimed : path, limit, ret_data, ret_len,
                                    err);
}
