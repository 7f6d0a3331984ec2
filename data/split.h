/* SPDX-License-Identifier: Apache-2.0
 *
 * Which split a document belongs to: a keyed hash of its content decides, and nothing else. So the
 * split is the same in every phase, shard and overlap, and copies of one text share it.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_DATA_SPLIT_H
#define DPC_DATA_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/experiment.h"

/* First half of the SHA-256 of a document's content. */
enum { DPC_CONTENT_KEY_BYTES = 16 };

/* Values stand in reports; never renumber. */
enum dpc_split {
    DPC_SPLIT_TRAIN = 0,
    DPC_SPLIT_ROUTER = 1, /* k-means, bias, balance; later the discriminative router */
    DPC_SPLIT_EARLY_STOP = 2,
    DPC_SPLIT_TEST = 3,
};
enum { DPC_SPLITS_COUNT = 4 };

/* The split of a document with this key under the experiment's data.test, data.early_stop and
 * data.router. Growing one share by a little moves few documents. */
enum dpc_split dpc_split_of_key(const uint8_t key[DPC_CONTENT_KEY_BYTES],
                                const struct dpc_experiment *experiment);

/* Of a document of train: is it one of those that the dense path trains on (data.dense)? Growing
 * the share takes none away. */
bool dpc_split_is_dense(const uint8_t key[DPC_CONTENT_KEY_BYTES],
                        const struct dpc_experiment *experiment);

/* "train", "router", "early-stop", "test". */
const char *dpc_split_name(enum dpc_split split);

#endif
