/* SPDX-License-Identifier: Apache-2.0
 *
 * A card that computes: finding the plug-in, loading it, opening a card, its op tables.
 *
 * Owns: the loaded plug-in and the open card. A process has at most one of each; it stays loaded
 * until the process ends. Threads: one at a time, but for dpc_card_probe and
 * dpc_card_others_percent. Limits: none. Not here: kernels (ops/cuda/), when to use a card
 * (worker/compute/device.h).
 */
#ifndef DPC_OPS_CARD_H
#define DPC_OPS_CARD_H

#include "ops/card_plugin.h"

struct dpc_card;

/* Where the plug-in is looked for when nobody names a file: beside the running program, then where
 * it is installed. */
#define DPC_CARD_PLUGIN_FILE "dipaco-ops-cuda.so"

/* The cards that plug-in `file` (NULL: the usual places) can use now; asks the driver anew each
 * time. DPC_ENOTFOUND when there is no plug-in (or it could not be loaded), no driver or no card,
 * with the reason; DPC_EVERSION for a plug-in of another release; DPC_EBUSY once another one is
 * loaded.
 */
int dpc_card_probe(const char *file, uint32_t *ret_count, struct dpc_error *err) DPC_MUST_CHECK;
int dpc_card_describe(const char *file, uint32_t index, struct dpc_card_info *ret_info,
                      struct dpc_error *err) DPC_MUST_CHECK;

/* Whether the file of plug-in `file` (NULL: in the usual places) can be read, be it one that loads
 * or not. */
bool dpc_card_plugin_is_there(const char *file);

/* The file of the plug-in that is loaded; "": none is. */
const char *dpc_card_plugin_path(void);

/* Opens card `index` with at most `memory_bytes` of its memory (0: what is free). Also DPC_EDEVICE,
 * DPC_EBUSY. Release with dpc_card_close, which takes NULL and returns NULL. */
int dpc_card_open(const char *file, uint32_t index, uint64_t memory_bytes,
                  struct dpc_card **ret_card, struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_card *dpc_card_close(struct dpc_card *card);

const struct dpc_card_info *dpc_card_info(const struct dpc_card *card);

/* What may be allocated of its memory: `memory_bytes` of _open, or what was free then, but for what
 * the plug-in itself needs, if less. */
uint64_t dpc_card_memory_bytes(const struct dpc_card *card);

/* The table for a number format, valid until _close; NULL when the card has none. Attention, which
 * a plug-in may leave out (NULL in its table, or DPC_CARD_LEFT_OUT for some shapes; nothing else
 * may be), is computed by the CPU's table in its place, on copies (dpc_card_fallbacks). tf32: see
 * ops/card_plugin.h. */
const struct dpc_ops *dpc_card_ops(const struct dpc_card *card, enum dpc_dtype dtype, bool tf32);

/* Calls that the CPU computed in the card's place since it was opened, and which op was the first;
 * NULL when none was. */
uint64_t dpc_card_fallbacks(const struct dpc_card *card, const char **ret_op);

/* Words for DPC_EDEVICE. */
const char *dpc_card_failure(const struct dpc_card *card);

/* See struct dpc_card_plugin. */
int dpc_card_others_percent(const struct dpc_card *card, uint32_t *ret_percent) DPC_MUST_CHECK;

#endif
