/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/speed.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/layout.h"
#include "base/pool.h"
#include "base/rng.h"
#include "modules/compute.h"

enum { MEASURE_MS = 500 };

/* The first pass touches memory for the first time and does not count. */
static int
time_passes(struct dpc_path *path, const struct dpc_experiment *experiment, const int32_t *tokens,
            double *ret_seconds)
{
    int64_t begun = 0, now = 0;
    int passes = -1, rc = DPC_OK;
    double loss;
    uint64_t targets;
    while (rc == DPC_OK && (passes < 1 || now - begun < MEASURE_MS)) {
        rc = dpc_path_backward(path, tokens, tokens, experiment->inner.batch,
                               experiment->model.context, &loss, &targets);
        now = dpc_clock_now_ms(&dpc_clock_system);
        if (++passes == 0)
            begun = now;
    }
    *ret_seconds = (double)(now - begun) / 1e3 / passes;
    return rc;
}

int
dpc_speed_measure(const struct dpc_experiment *experiment, uint32_t threads,
                  double *ret_flops_per_second, struct dpc_error *err)
{
    struct dpc_path_options options = {.batch_max = experiment->inner.batch, .use = DPC_PATH_TRAIN};
    size_t count = (size_t)experiment->inner.batch * experiment->model.context;
    struct dpc_path *path = NULL;
    struct dpc_rng rng;
    double seconds = 0;
    int rc = dpc_compute_choose(experiment->compute, NULL, &options.ops, err);
    if (rc != DPC_OK)
        return rc;
    options.pool = dpc_pool_create(threads);
    rc = dpc_path_create(experiment, &options, &path, err);
    if (rc != DPC_OK) {
        dpc_pool_destroy(options.pool);
        return rc;
    }
    int32_t *tokens = dpc_alloc(count, sizeof *tokens);
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    for (size_t i = 0; i < count; i++)
        tokens[i] = (int32_t)dpc_rng_below(&rng, experiment->model.vocab);
    rc = time_passes(path, experiment, tokens, &seconds);
    if (rc != DPC_OK)
        rc = dpc_error_set(err, rc, "could not time a training step: %s", dpc_error_words(rc));
    *ret_flops_per_second = (double)count * dpc_layout_train_flops(experiment) / seconds;
    dpc_free(tokens);
    dpc_path_destroy(path);
    dpc_pool_destroy(options.pool);
    return rc;
}
