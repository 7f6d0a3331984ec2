/* SPDX-License-Identifier: Apache-2.0
 *
 * What data/sentencepiece.c needs of SentencePiece, which speaks C++ alone. Nothing is thrown
 * through these calls.
 *
 * Owns: a model. Threads: a model is read-only. Reasons are cut to `reason_size` bytes with the
 * final zero.
 */
#ifndef DPC_DATA_SENTENCEPIECE_CXX_H
#define DPC_DATA_SENTENCEPIECE_CXX_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct spm_model;

enum spm_kind { SPM_NORMAL, SPM_UNKNOWN, SPM_CONTROL, SPM_BYTE };

/* NULL, with a reason, when it cannot be read. */
struct spm_model *spm_open(const void *bytes, size_t len, char *ret_reason, size_t reason_size);
/* Takes NULL. */
void spm_close(struct spm_model *model);

int spm_count(const struct spm_model *model);
/* A piece as the model writes it, spaces as U+2581, with a zero behind it; it stays the model's. */
const char *spm_piece(const struct spm_model *model, int id, enum spm_kind *ret_kind);
float spm_score(const struct spm_model *model, int id);

/* Gives the tokens of a text to `put`, all at once. */
bool spm_encode(const struct spm_model *model, const char *text, size_t len,
                void (*put)(void *context, const int *ids, size_t count), void *context,
                char *ret_reason, size_t reason_size);

/* A setting of SentencePiece's trainer, as its own documentation names it. */
struct spm_setting {
    const char *name, *value;
};

/* Trains on the sentences that `next` gives until it gives NULL, and gives the model's bytes to
 * `put`. */
bool spm_train(const struct spm_setting *settings, size_t settings_count,
               const char *(*next)(void *context, size_t *ret_len), void *context,
               void (*put)(void *context, const void *bytes, size_t len), char *ret_reason,
               size_t reason_size);

#ifdef __cplusplus
}
#endif

#endif
