/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model lost on each held-out document, as a run's report has it (report/documents.tsv, and
 * reroute.tsv), and how far two models are apart on the same documents.
 *
 * Owns: losses own their items. Threads: any.
 */
#ifndef DPC_CLI_LOSSES_H
#define DPC_CLI_LOSSES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct dpc_loss {
    uint32_t document; /* its number in the corpus */
    uint32_t targets, bytes;
    double nats; /* sum over the targets */
};

struct dpc_losses {
    uint32_t count;
    struct dpc_loss *items; /* by document */
};

/* Whose losses: those of the dense model, or of all routed paths together, whose documents are
 * routed once or, `every` not 0, anew after so many tokens. */
struct dpc_losses_of {
    bool dense;
    uint32_t every;
};

/* Out of a report's folder. Release with _done. DPC_ENOTFOUND, DPC_ECORRUPT (with the line),
 * DPC_EIO. */
int dpc_losses_load(const char *folder, struct dpc_losses_of of, struct dpc_losses *ret_losses,
                    struct dpc_error *err) DPC_MUST_CHECK;
void dpc_losses_done(struct dpc_losses *losses);

/* What models are compared by: perplexity where their tokens are the same, else bits per byte. */
enum dpc_losses_by { DPC_LOSSES_BY_TOKEN, DPC_LOSSES_BY_BYTE };

/* The same documents, and the same tokens of each or text behind all: what is needed to compare. */
bool dpc_losses_match(const struct dpc_losses *one, const struct dpc_losses *two,
                      enum dpc_losses_by by);

/* The logarithm of the ratio of their perplexities (the difference of mean losses in nats a token),
 * or of their bits per byte, `one` to `two`. */
struct dpc_difference {
    double mean;
    double low, high; /* 95 %, percentile interval of the paired bootstrap over documents (Efron and
                       * Tibshirani, "An introduction to the bootstrap", chapter 13) */
};

/* The mean over `count` pairs of losses that match, one a seed; documents are drawn once for all
 * pairs that have the same ones. The same arguments give the same interval. */
struct dpc_difference dpc_losses_compare(const struct dpc_losses *ones,
                                         const struct dpc_losses *twos, uint32_t count,
                                         enum dpc_losses_by by);

#endif
