/* SPDX-License-Identifier: Apache-2.0
 *
 * One message of each type with every field set, and one with extremes: what the codec's tests, the
 * channels' tests and the fuzz target start from.
 */
#ifndef DPC_TESTS_PROTO_SAMPLES_H
#define DPC_TESTS_PROTO_SAMPLES_H

#include "proto/message.h"

enum { DPC_SAMPLE_FULL, DPC_SAMPLE_EMPTY, DPC_SAMPLE_LARGEST, DPC_SAMPLE_KINDS };

/* All types, in order. */
extern const enum dpc_msg_type dpc_sample_types[];
extern const size_t dpc_sample_types_count;

/* Texts point into static memory. Chunk and put get no body. */
void dpc_sample(enum dpc_msg_type type, int kind, struct dpc_msg *ret_msg);

#endif
