/* SPDX-License-Identifier: Apache-2.0
 * The key is hashed once more behind a fixed domain string, so that no other use of content hashes
 * (names of blobs, duplicates) is correlated with the split. The hash is a point in [0, 1); test,
 * early stop and router take their shares from its start, and the dense path its own from its end.
 */
#include "data/split.h"

#include "base/hash.h"

static double
point_of_key(const uint8_t key[DPC_CONTENT_KEY_BYTES])
{
    uint64_t bits = dpc_hash_draw("dipaco document split 1", key, DPC_CONTENT_KEY_BYTES);
    return (double)(bits >> 11) * 0x1.0p-53;
}

enum dpc_split
dpc_split_of_key(const uint8_t key[DPC_CONTENT_KEY_BYTES], const struct dpc_experiment *experiment)
{
    double point = point_of_key(key);
    if ((point -= experiment->data.test) < 0)
        return DPC_SPLIT_TEST;
    if ((point -= experiment->data.early_stop) < 0)
        return DPC_SPLIT_EARLY_STOP;
    if ((point -= experiment->data.router) < 0)
        return DPC_SPLIT_ROUTER;
    return DPC_SPLIT_TRAIN;
}

bool
dpc_split_is_dense(const uint8_t key[DPC_CONTENT_KEY_BYTES],
                   const struct dpc_experiment *experiment)
{
    double train =
        1 - experiment->data.test - experiment->data.early_stop - experiment->data.router;
    return 1 - point_of_key(key) <= train * experiment->data.dense;
}

const char *
dpc_split_name(enum dpc_split split)
{
    static const char *const names[DPC_SPLITS_COUNT] = {"train", "router", "early-stop", "test"};
    return (unsigned)split < DPC_SPLITS_COUNT ? names[split] : "?";
}
