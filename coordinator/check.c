/* SPDX-License-Identifier: Apache-2.0
 * Missing first: a submission whose blobs are still under way is not judged. */
#include "coordinator/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/path_state.h"
#include "base/tensor_blob.h"
#include "data/routes.h"
#include "data/scores.h"

/* DPC_ENOTFOUND, or what keeps this machine from looking, which says nothing of the blob. */
static int
find_size(struct dpc_store *store, const struct dpc_hash *hash, uint64_t *ret_bytes,
          struct dpc_error *err)
{
    int code = dpc_store_blob_size(store, hash, ret_bytes);
    if (code == DPC_OK || code == DPC_ENOTFOUND)
        return code;
    return dpc_error_set(err, code, "could not look for a blob that was handed in: %s",
                         dpc_error_words(code));
}

static int
note_if_missing(struct dpc_store *store, const struct dpc_hash *hash,
                struct dpc_submission_check *check, struct dpc_error *err)
{
    uint64_t bytes;
    size_t places = sizeof check->missing / sizeof *check->missing;
    if (dpc_hash_is_none(hash))
        return DPC_OK;
    int code = find_size(store, hash, &bytes, err);
    if (code == DPC_ENOTFOUND && check->missing_count < places)
        check->missing[check->missing_count++] = *hash;
    return code == DPC_ENOTFOUND ? DPC_OK : code;
}

static int
note_missing(struct dpc_store *store, const struct dpc_msg_submit *submit,
             struct dpc_submission_check *check, struct dpc_error *err)
{
    int code = DPC_OK;
    for (uint32_t i = 0; i < submit->parts_count && code == DPC_OK; i++)
        code = note_if_missing(store, &submit->parts[i].delta.hash, check, err);
    if (code == DPC_OK)
        code = note_if_missing(store, &submit->state.hash, check, err);
    if (code == DPC_OK)
        code = note_if_missing(store, &submit->result.hash, check, err);
    return code;
}

static void
refuse(struct dpc_submission_check *check, const char *what, const char *why)
{
    check->damaged = true;
    (void)snprintf(check->text, sizeof check->text, "%s %s", what, why);
}

/* Whether it has so many bytes, and is said to have them; else it is refused. */
static int
check_size(struct dpc_store *store, const struct dpc_blob_ref *blob, uint64_t bytes,
           const char *what, const char *why, struct dpc_submission_check *check,
           struct dpc_error *err)
{
    uint64_t stored = 0;
    int code = find_size(store, &blob->hash, &stored, err);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        return code;
    if (code == DPC_ENOTFOUND || stored != bytes || blob->bytes != bytes)
        refuse(check, what, why);
    return DPC_OK;
}

static void
refuse_unless_finite(struct dpc_submission_check *check, const char *what, const float *values,
                     size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += fabs((double)values[i]);
    check->not_finite |= !isfinite(sum);
    if (!isfinite(sum))
        refuse(check, what, "holds a value that is not finite");
}

static void
refuse_if_huge(struct dpc_submission_check *check, const char *what, const float *values,
               size_t count, double rms_max)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += (double)values[i] * (double)values[i];
    if (!check->damaged && sqrt(squares / (double)count) > rms_max)
        refuse(check, what, "is far larger than any that training makes");
}

/* Of a whole tensor blob, where they are or, in another form than fp32, decoded. */
static int
check_values(const uint8_t *blob, enum dpc_codec codec, size_t count, const char *what,
             double rms_max, struct dpc_submission_check *check, struct dpc_error *err)
{
    const uint8_t *bytes = blob + DPC_TENSOR_BLOB_HEADER_BYTES;
    const float *values = (const float *)(const void *)bytes;
    float *decoded = NULL;
    if (codec != DPC_CODEC_FP32) {
        values = decoded = dpc_try_alloc_vector(count, sizeof *decoded);
        if (!decoded)
            return dpc_error_set(err, DPC_ENOMEM, "no memory for %zu values", count);
        dpc_codec_decode(codec, bytes, count, decoded);
    }
    refuse_unless_finite(check, what, values, count);
    refuse_if_huge(check, what, values, count, rms_max);
    dpc_free(decoded);
    return DPC_OK;
}

/* A tensor blob of `count` finite values in that form, of at most this root mean square. Its size
 * is looked at before it is read. */
static int
check_tensor(struct dpc_store *store, const struct dpc_blob_ref *ref, enum dpc_codec codec,
             size_t count, const char *what, double rms_max, struct dpc_submission_check *check,
             struct dpc_error *err)
{
    uint8_t *blob;
    enum dpc_codec held;
    size_t len;
    int code = check_size(store, ref, dpc_tensor_blob_bytes_as(codec, count), what,
                          "has not the shape that its task asks for", check, err);
    if (code != DPC_OK || check->damaged)
        return code;
    code = dpc_store_blob_load(store, &ref->hash, &blob, &len, err);
    if (code != DPC_OK)
        return code;
    if (dpc_tensor_blob_read_header(blob, len, count, &held, NULL) != DPC_OK || held != codec)
        refuse(check, what, "is not a tensor of the shape that its task asks for");
    else
        code = check_values(blob, codec, count, what, rms_max, check, err);
    dpc_free(blob);
    return code;
}

static void
check_moments(const uint8_t *state, size_t count, struct dpc_submission_check *check)
{
    const float *moments = (const float *)(const void *)(state + DPC_PATH_STATE_HEADER_BYTES);
    refuse_unless_finite(check, "the path state", moments, 2 * count);
    for (size_t i = count; !check->damaged && i < 2 * count; i++) {
        if (moments[i] < 0)
            refuse(check, "the path state", "has a negative second moment");
    }
}

/* The claimed size, which later leases repeat, the header and the moments, of which the second is a
 * mean of squares: whoever goes on from it must not end with values that are not finite. */
static int
check_state(struct dpc_store *store, const struct dpc_topology *topology, uint32_t path,
            const struct dpc_blob_ref *state, struct dpc_submission_check *check,
            struct dpc_error *err)
{
    uint8_t *blob;
    struct dpc_buf plain;
    enum dpc_moments form = dpc_topology_moments(topology, path), held;
    uint64_t steps;
    size_t len, count = dpc_layout_levels_floats(topology->experiment,
                                                 dpc_topology_path_levels(topology, path));
    int code = check_size(store, state, dpc_path_state_bytes_as(form, count), "the path state",
                          "has not the size of the path's two moments", check, err);
    if (code != DPC_OK || check->damaged)
        return code;
    code = dpc_store_blob_load(store, &state->hash, &blob, &len, err);
    if (code != DPC_OK)
        return code;
    dpc_buf_init(&plain, 0);
    if (form == DPC_MOMENTS_FP32 &&
        dpc_path_state_read_header(blob, len, count, &steps, NULL) == DPC_OK)
        check_moments(blob, count, check); /* where they are */
    else if (dpc_path_state_decode(blob, len, count, NULL, &plain, &held, NULL) != DPC_OK ||
             held != form)
        refuse(check, "the path state", "is none");
    else if (plain.failed)
        code = dpc_error_set(err, DPC_ENOMEM, "no memory for a path state of %zu values", count);
    else
        check_moments(plain.data, count, check);
    dpc_buf_done(&plain);
    dpc_free(blob);
    return code;
}

/* Features are a tensor of whole rows, scores and routes a table; how many rows there must be, the
 * core knows. */
static int
check_features(struct dpc_store *store, const struct dpc_experiment *experiment,
               const struct dpc_blob_ref *result, struct dpc_submission_check *check,
               struct dpc_error *err)
{
    if (result->bytes < dpc_tensor_blob_bytes(0) || result->bytes > DPC_BLOB_BYTES_MAX) {
        refuse(check, "the features", "have not the size of a tensor");
        return DPC_OK;
    }
    size_t count = (result->bytes - dpc_tensor_blob_bytes(0)) / sizeof(float);
    if (result->bytes != dpc_tensor_blob_bytes(count) || count % experiment->model.dim) {
        refuse(check, "the features", "are not whole rows");
        return DPC_OK;
    }
    check->rows = (uint32_t)(count / experiment->model.dim);
    return check_tensor(store, result, DPC_CODEC_FP32, count, "the features", INFINITY, check, err);
}

static int
check_routes(struct dpc_store *store, const struct dpc_topology *topology,
             const struct dpc_blob_ref *result, struct dpc_submission_check *check,
             struct dpc_error *err)
{
    uint8_t *blob;
    struct dpc_route *routes;
    size_t len, count = (result->bytes - dpc_routes_bytes(0)) / DPC_ROUTES_ENTRY_BYTES;
    static const char why[] = "have not the size of a table";
    if (result->bytes < dpc_routes_bytes(0) || count > DPC_ROUTES_MAX) {
        refuse(check, "the routes", why);
        return DPC_OK;
    }
    int code = check_size(store, result, dpc_routes_bytes(count), "the routes", why, check, err);
    if (code != DPC_OK || check->damaged)
        return code;
    code = dpc_store_blob_load(store, &result->hash, &blob, &len, err);
    if (code != DPC_OK)
        return code;
    if (dpc_routes_read(blob, len, count, topology->routed_paths, &routes, NULL) == DPC_OK) {
        check->rows = (uint32_t)count;
        dpc_free(routes);
    } else {
        refuse(check, "the routes", "are not a table of paths");
    }
    dpc_free(blob);
    return DPC_OK;
}

static uint64_t
scores_bytes_max(enum dpc_task_kind kind)
{
    uint64_t rows = kind == DPC_TASK_TRACE ? DPC_PIECES_PER_LEASE_MAX : DPC_DOCUMENTS_PER_LEASE_MAX;
    return DPC_SCORES_HEADER_BYTES + DPC_SCORES_ENTRY_BYTES * rows;
}

/* Finite ones may have a sum that is not, and a report or a path's best version is made of sums. */
static void
add_scores(const struct dpc_score *scores, size_t count, struct dpc_submission_check *check)
{
    check->rows = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        if (scores[i].nats > DPC_LOSS_MAX * scores[i].targets)
            refuse(check, "the scores", "hold a loss that no network has");
        check->targets += scores[i].targets;
        check->nats += scores[i].nats;
    }
}

static int
check_scores(struct dpc_store *store, const struct dpc_msg_submit *submit,
             struct dpc_submission_check *check, struct dpc_error *err)
{
    uint8_t *blob;
    size_t len, count;
    struct dpc_score *scores;
    static const char why[] = "are larger than a lease's";
    if (submit->result.bytes > scores_bytes_max(submit->kind)) {
        refuse(check, "the scores", why);
        return DPC_OK;
    }
    int code =
        check_size(store, &submit->result, submit->result.bytes, "the scores", why, check, err);
    if (code != DPC_OK || check->damaged)
        return code;
    code = dpc_store_blob_load(store, &submit->result.hash, &blob, &len, err);
    if (code != DPC_OK)
        return code;
    if (dpc_scores_read(blob, len, &scores, &count, NULL) != DPC_OK) {
        refuse(check, "the scores", "are not a table of scores");
    } else {
        add_scores(scores, count, check);
        dpc_free(scores);
    }
    dpc_free(blob);
    return DPC_OK;
}

static int
check_result(struct dpc_store *store, const struct dpc_experiment *experiment,
             const struct dpc_topology *topology, const struct dpc_msg_submit *submit,
             struct dpc_submission_check *check, struct dpc_error *err)
{
    switch (submit->kind) {
    case DPC_TASK_FEATURIZE:
        return check_features(store, experiment, &submit->result, check, err);
    case DPC_TASK_REROUTE:
        return check_routes(store, topology, &submit->result, check, err);
    default:
        return check_scores(store, submit, check, err);
    }
}

static int
check_training(struct dpc_store *store, const struct dpc_experiment *experiment,
               const struct dpc_topology *topology, const struct dpc_msg_submit *submit,
               struct dpc_submission_check *check, struct dpc_error *err)
{
    int code = DPC_OK;
    for (uint32_t i = 0; i < submit->parts_count && code == DPC_OK && !check->damaged; i++) {
        if (submit->parts[i].module >= topology->modules_count) {
            refuse(check, "a part", "is for a module that does not exist");
            return DPC_OK;
        }
        uint32_t level = dpc_topology_module_level(topology, submit->parts[i].module);
        code = check_tensor(store, &submit->parts[i].delta,
                            dpc_topology_upload(topology, submit->parts[i].module),
                            dpc_layout_module_floats(experiment, level), "a contribution",
                            DPC_DELTA_RMS_MAX, check, err);
    }
    /* Whether there may be none is the core's to say. */
    if (code != DPC_OK || check->damaged || dpc_hash_is_none(&submit->state.hash))
        return code;
    if (submit->path >= topology->paths_count)
        refuse(check, "the path state", "is of a path that does not exist");
    else
        code = check_state(store, topology, submit->path, &submit->state, check, err);
    return code;
}

int
dpc_check_submission(struct dpc_store *store, const struct dpc_experiment *experiment,
                     const struct dpc_topology *topology, const struct dpc_msg_submit *submit,
                     struct dpc_submission_check *ret_check, struct dpc_error *err)
{
    struct dpc_submission_check check = {0};
    int code = note_missing(store, submit, &check, err);
    bool whole = code == DPC_OK && !check.missing_count;
    if (whole && submit->kind == DPC_TASK_TRAIN)
        code = check_training(store, experiment, topology, submit, &check, err);
    else if (whole)
        code = check_result(store, experiment, topology, submit, &check, err);
    if (code == DPC_OK)
        *ret_check = check;
    return code;
}
