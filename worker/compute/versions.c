/* SPDX-License-Identifier: Apache-2.0
 * A sum of two floats has the same bits everywhere, so the made version is that of the coordinator.
 * What goes wrong on the way to it costs a whole fetch and nothing else. */
#include "worker/compute/versions.h"

#include <string.h>

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

/* Block by block, so that it takes no memory of its own. */
static int
add_difference(struct dpc_cache *cache, const struct dpc_blob_ref *ref, size_t count, float *values,
               struct dpc_error *err)
{
    float difference[DPC_CODEC_BLOCK];
    enum dpc_codec codec;
    uint8_t *bytes;
    int code = dpc_cache_load(cache, ref, &bytes, err);
    if (code != DPC_OK)
        return code;
    code = dpc_tensor_blob_read_header(bytes, ref->bytes, count, &codec, err);
    for (size_t at = 0; code == DPC_OK && at < count; at += DPC_CODEC_BLOCK) {
        size_t some = count - at < DPC_CODEC_BLOCK ? count - at : DPC_CODEC_BLOCK;
        dpc_codec_decode(codec, bytes + dpc_tensor_blob_bytes_as(codec, at), some, difference);
        for (size_t i = 0; i < some; i++)
            values[at + i] += difference[i];
    }
    dpc_free(bytes);
    return code == DPC_OK ? code : DPC_EPROTO;
}

static int
put(struct dpc_cache *cache, const struct dpc_blob_ref *version, const uint8_t *bytes,
    struct dpc_error *err)
{
    struct dpc_hash hash;
    dpc_hash_of(bytes, version->bytes, &hash);
    if (!dpc_hash_equal(&hash, &version->hash))
        return dpc_error_set(err, DPC_ECORRUPT, "it is not what its hash says");
    if (dpc_cache_put_hashed(cache, &hash, bytes, version->bytes, err) != DPC_OK)
        dpc_log_debug("a version that was made is not kept: %s", err->text);
    return DPC_OK;
}

/* The blob of the base becomes that of the version where it is: their headers are the same. */
static int
turn_into_version(struct dpc_cache *cache, const struct dpc_msg_lease *lease, uint32_t place,
                  size_t count, uint8_t *base, struct dpc_error *err)
{
    const struct dpc_blob_ref *version = &lease->versions[place];
    float *values = (float *)(void *)(base + DPC_TENSOR_BLOB_HEADER_BYTES);
    const float *held;
    if (dpc_tensor_blob_read(base, lease->bases[place].bytes, count, &held, err) != DPC_OK)
        return DPC_EPROTO;
    if (version->bytes != lease->bases[place].bytes)
        return dpc_error_set(err, DPC_EPROTO, "it is said to be %llu bytes long",
                             (unsigned long long)version->bytes);
    int code = add_difference(cache, &lease->changes[place], count, values, err);
    return code == DPC_OK ? put(cache, version, base, err) : code;
}

static int
make(struct dpc_cache *cache, const struct dpc_msg_lease *lease, uint32_t place, size_t count,
     float *ret_values, struct dpc_error *err)
{
    uint8_t *bytes = NULL;
    int code = dpc_cache_load(cache, &lease->bases[place], &bytes, err);
    if (code == DPC_OK)
        code = turn_into_version(cache, lease, place, count, bytes, err);
    if (code == DPC_OK)
        memcpy(ret_values, bytes + DPC_TENSOR_BLOB_HEADER_BYTES, count * sizeof *ret_values);
    dpc_free(bytes);
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
