/* SPDX-License-Identifier: Apache-2.0
 * A sum of two floats has the same bits everywhere, so the made version is that of the coordinator.
 * What goes wrong on the way to it costs a whole fetch and nothing else. */
#include "worker/versions.h"

#include "base/alloc.h"
#include "base/log.h"
#include "base/tensor_blob.h"

static bool
is_to_be_made(struct dpc_cache *cache, const struct dpc_msg_lease *lease, uint32_t place)
{
    return !dpc_hash_is_none(&lease->changes[place].hash) &&
           !dpc_cache_has(cache, &lease->versions[place]);
}

/* The base needs no pin: it has just been used, and is read before anything is put. */
void
dpc_versions_choose(struct dpc_cache *cache, const struct dpc_msg_lease *lease,
                    struct dpc_session_blobs *blobs)
{
    for (uint32_t i = 0; !blobs->whole && i < lease->levels_count; i++) {
        if (is_to_be_made(cache, lease, i) && dpc_cache_has(cache, &lease->bases[i]))
            blobs->refs[i] = lease->changes[i];
    }
}

uint64_t
dpc_versions_to_make_bytes(struct dpc_cache *cache, const struct dpc_msg_lease *lease)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < lease->levels_count; i++)
        bytes += is_to_be_made(cache, lease, i) ? lease->versions[i].bytes : 0;
    return bytes;
}

int
dpc_versions_read(struct dpc_cache *cache, const struct dpc_blob_ref *ref, size_t count,
                  float *ret_values, struct dpc_error *err)
{
    uint8_t *bytes;
    int code = dpc_cache_load(cache, ref, &bytes, err);
    if (code != DPC_OK)
        return code;
    code = dpc_tensor_blob_decode(bytes, ref->bytes, count, ret_values, err);
    dpc_free(bytes);
    return code == DPC_OK ? code : DPC_EPROTO;
}

static int
add_difference(struct dpc_cache *cache, const struct dpc_blob_ref *ref, size_t count, float *values,
               struct dpc_error *err)
{
    float *difference = dpc_try_alloc_vector(count, sizeof *difference);
    if (!difference)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for %zu values", count);
    int code = dpc_versions_read(cache, ref, count, difference, err);
    for (size_t i = 0; code == DPC_OK && i < count; i++)
        values[i] += difference[i];
    dpc_free(difference);
    return code;
}

static int
put(struct dpc_cache *cache, const struct dpc_blob_ref *version, const float *values, size_t count,
    struct dpc_error *err)
{
    struct dpc_buf blob;
    struct dpc_blob_ref made;
    struct dpc_hash hash;
    int code = DPC_OK;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, values, count);
    if (!blob.failed)
        dpc_hash_of(blob.data, blob.len, &hash);
    if (blob.failed)
        code = dpc_error_set(err, DPC_ENOMEM, "no memory for %zu values", count);
    else if (!dpc_hash_equal(&hash, &version->hash))
        code = dpc_error_set(err, DPC_ECORRUPT, "it is not what its hash says");
    else if (dpc_cache_put(cache, blob.data, blob.len, &made, err) != DPC_OK)
        dpc_log_debug("a version that was made is not kept: %s", err->text);
    dpc_buf_done(&blob);
    return code;
}

static int
make(struct dpc_cache *cache, const struct dpc_msg_lease *lease, uint32_t place, size_t count,
     float *ret_values, struct dpc_error *err)
{
    int code = dpc_versions_read(cache, &lease->bases[place], count, ret_values, err);
    if (code == DPC_OK)
        code = add_difference(cache, &lease->changes[place], count, ret_values, err);
    if (code == DPC_OK)
        code = put(cache, &lease->versions[place], ret_values, count, err);
    if (code == DPC_OK)
        return code;
    bool as_is = code == DPC_ENOMEM || code == DPC_ECORRUPT;
    return dpc_error_prefix(err, as_is ? code : DPC_ENOTFOUND,
                            "could not make the version of module %u of the one before",
                            lease->modules[place]);
}

int
dpc_versions_load(struct dpc_cache *cache, const struct dpc_msg_lease *lease, uint32_t place,
                  size_t count, float *ret_values, struct dpc_error *err)
{
    if (is_to_be_made(cache, lease, place))
        return make(cache, lease, place, count, ret_values, err);
    return dpc_versions_read(cache, &lease->versions[place], count, ret_values, err);
}
