/* SPDX-License-Identifier: Apache-2.0
 *
 * The cards of this machine, for people: what they are, and how fast one multiplies.
 *
 * Owns: nothing. Threads: one. Not here: loading the plug-in (ops/card.h).
 */
#ifndef DPC_CLI_CARDS_H
#define DPC_CLI_CARDS_H

#include "base/json.h"
#include "ops/card.h"

enum { DPC_CARDS_LINE_MAX = 512 };

/* "NVIDIA H200, sm_90, 132 multiprocessors, 138 of 140 GiB free, driver 13.0, cuda-13.0/..." */
const char *dpc_cards_line(const struct dpc_card_info *info, char ret_line[DPC_CARDS_LINE_MAX]);

/* An object for a card; the caller's. */
struct dpc_json *dpc_cards_json(const struct dpc_card_info *info);

/* Whether one of NVIDIA's cards is fitted, with a driver or without: looked for among the folders
 * of `devices` (DPC_CARDS_DEVICES). A card that Windows lends to Linux is on no bus. */
#define DPC_CARDS_DEVICES "/sys/bus/pci/devices"
bool dpc_cards_are_fitted(const char *devices);

/* What a card does in a second, in 10^12 operations: the median of some products of square
 * matrices, in bf16 where it has that, of up to 4096 rows and fewer on something slow; and how far
 * its gradients are from the processor's (modules/trial.h). Opens the card for it. Errors as
 * dpc_card_open and dpc_trial_card, and DPC_ENOMEM. */
struct dpc_cards_rate {
    double tflops, off;
    size_t rows;
    bool bf16;
};
int dpc_cards_measure(const char *plugin, uint32_t index, struct dpc_cards_rate *ret_rate,
                      struct dpc_error *err) DPC_MUST_CHECK;

#endif
