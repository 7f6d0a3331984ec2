/* SPDX-License-Identifier: Apache-2.0
 *
 * What a plug-in that computes on a card gives to the program that loads it: one symbol,
 * `dpc_card_plugin`. It is a shared object of its own, so that one program serves machines with and
 * without a card; it uses no symbol of the program.
 *
 * Owns: nothing; a plug-in holds one open card at a time. Threads: one at a time, the one that
 * computes; `count`, `describe` and `others_percent` may be called beside it. Limits: texts are cut
 * at their buffers. Not here: how it is found and loaded (ops/card.h); CUDA (ops/cuda/).
 */
#ifndef DPC_OPS_CARD_PLUGIN_H
#define DPC_OPS_CARD_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ops/ops.h"

/* Raised with every change of this header or of struct dpc_ops. */
#define DPC_CARD_ABI 3u

/* Instead of attention's bytes of scratch: the plug-in leaves shapes like this one out. */
#define DPC_CARD_LEFT_OUT SIZE_MAX

enum { DPC_CARD_TEXT_MAX = 96, DPC_CARD_REASON_MAX = 256 };

struct dpc_card_info {
    char name[DPC_CARD_TEXT_MAX];   /* "NVIDIA H200" */
    char uuid[DPC_CARD_TEXT_MAX];   /* "GPU-8c1f..." */
    char driver[DPC_CARD_TEXT_MAX]; /* newest CUDA that the driver serves: "13.0" */
    /* What decides bits: "cuda-13.0/cublasLt-13.1.0", and "/ptx-13.0" where the driver compiles. */
    char libraries[DPC_CARD_TEXT_MAX];
    uint32_t capability; /* 90: sm_90 */
    uint32_t processors; /* multiprocessors */
    uint64_t memory_bytes, free_bytes;
    bool bf16; /* it has a table of DPC_BF16 */
};

/* Calls that can fail return a code of base/error.h and then a reason of at most
 * DPC_CARD_REASON_MAX bytes, as in "no CUDA driver is loaded (error 35)". */
struct dpc_card_plugin {
    uint32_t abi;     /* DPC_CARD_ABI */
    size_t ops_bytes; /* sizeof(struct dpc_ops), of which it has the same idea */

    /* Cards that can be used now. DPC_ENOTFOUND: no driver, or no card. Asks anew each time. */
    int (*count)(uint32_t *ret_count, char *ret_reason);
    int (*describe)(uint32_t index, struct dpc_card_info *ret_info, char *ret_reason);
    /* Takes card `index` for the calling thread and those after it, with at most `*memory_bytes` of
     * its memory (0: what is free), which becomes what may be allocated now that it is open: less
     * where others hold the rest, or the plug-in needs it for itself. DPC_EDEVICE; DPC_EBUSY when
     * one is open. */
    int (*open)(uint32_t index, uint64_t *memory_bytes, char *ret_reason);
    /* Gives everything back, also after a failure, so that the card may be opened anew. */
    void (*close)(void);
    /* Of the open card; NULL when it has none. tf32: fp32, but products may round what they read to
     * 10 bits of mantissa. Valid until `close`. */
    const struct dpc_ops *(*table)(enum dpc_dtype dtype, bool tf32);
    /* Words for what memory->finish reported as DPC_EDEVICE, or for the last allocation that came
     * to nothing. */
    const char *(*failure)(void);
    /* How busy other processes keep card `index`, in percent of its time over the last seconds.
     * DPC_EUNSUPPORTED where the driver does not say, or not whether it is this one. */
    int (*others_percent)(uint32_t index, uint32_t *ret_percent);
};

#endif
