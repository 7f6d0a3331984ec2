/* SPDX-License-Identifier: Apache-2.0
 *
 * The texts that a vocabulary is trained on: documents of train and router alone, each once, and
 * where there are more of them than fit, a part that their content draws. So the sample is a
 * function of the documents and their order; held-out ones leave no trace in the vocabulary.
 *
 * Owns: copies of the texts. Threads: one.
 * Limits: DPC_VOCABULARY_TEXT_BYTES_MAX, DPC_VOCABULARY_DOCUMENT_BYTES_MAX of a document.
 */
#ifndef DPC_DATA_VOCABULARY_SAMPLE_H
#define DPC_DATA_VOCABULARY_SAMPLE_H

#include "base/error.h"
#include "base/experiment.h"

struct dpc_vocabulary_sample;

/* `experiment` says the shares of the splits; it outlives the sample. `bytes_max`: of all texts
 * together. */
struct dpc_vocabulary_sample *dpc_vocabulary_sample_create(const struct dpc_experiment *experiment,
                                                           size_t bytes_max);
/* Takes NULL; returns NULL. */
struct dpc_vocabulary_sample *dpc_vocabulary_sample_destroy(struct dpc_vocabulary_sample *sample);

/* Takes a document in, unless it is held out, there already or not drawn. DPC_ENOMEM. */
int dpc_vocabulary_sample_add(struct dpc_vocabulary_sample *sample, const uint8_t *text, size_t len,
                              struct dpc_error *err) DPC_MUST_CHECK;

/* Of the texts in it. */
size_t dpc_vocabulary_sample_bytes(const struct dpc_vocabulary_sample *sample);

/* The next sentence, a line or a part of one; NULL at the end. It stays the sample's.
 * For dpc_sentencepiece_train. */
const char *dpc_vocabulary_sample_next(void *sample, size_t *ret_len);

#endif
