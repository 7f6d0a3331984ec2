/* SPDX-License-Identifier: Apache-2.0
 * On a CPU bf16 is a matter of the processor and of oneDNN, which compiles its products at run time
 * and may be kept from it; on a card, of its capability. */
#include "modules/compute.h"

#include <stdio.h>
#include <string.h>

#include "base/layout.h"

static bool
allows_bf16(enum dpc_compute compute)
{
    return compute == DPC_COMPUTE_BF16 || compute == DPC_COMPUTE_AUTO;
}

static int
choose_of_card(enum dpc_compute compute, const struct dpc_card *card,
               const struct dpc_ops **ret_ops, struct dpc_error *err)
{
    const struct dpc_card_info *info = dpc_card_info(card);
    const struct dpc_ops *bf16 = allows_bf16(compute) ? dpc_card_ops(card, DPC_BF16, false) : NULL;
    if (compute == DPC_COMPUTE_BF16 && !bf16)
        return dpc_error_set(err, DPC_EUNSUPPORTED,
                             "%s cannot compute in bf16 (compute: bf16): its capability is %u, and "
                             "bf16 takes 80; compute: auto would take fp32",
                             info->name, info->capability);
    *ret_ops = bf16 ? bf16 : dpc_card_ops(card, DPC_FP32, compute == DPC_COMPUTE_TF32);
    return *ret_ops
               ? DPC_OK
               : dpc_error_set(err, DPC_EUNSUPPORTED, "%s has no kernels for fp32", info->name);
}

int
dpc_compute_choose(enum dpc_compute compute, const struct dpc_card *card,
                   const struct dpc_ops **ret_ops, struct dpc_error *err)
{
    if (card)
        return choose_of_card(compute, card, ret_ops, err);
    const struct dpc_ops *bf16 = allows_bf16(compute) ? dpc_ops_cpu(DPC_BF16) : NULL;
    if (compute == DPC_COMPUTE_BF16 && !bf16)
        return dpc_error_set(
            err, DPC_EUNSUPPORTED,
            "this machine cannot compute in bf16 (compute: bf16): it takes a processor with "
            "AVX-512 BF16 and a oneDNN that may run the code that it makes, but oneDNN here is "
            "\"%s\"; compute: auto would take fp32",
            dpc_ops_onednn_kernel());
    *ret_ops = bf16 ? bf16 : dpc_ops_cpu(DPC_FP32);
    return DPC_OK;
}

bool
dpc_compute_is_blocked(void)
{
    return strcmp(dpc_ops_onednn_kernel(), "blocked") == 0;
}

/* Heap of a worker that has computed a first lease, without what follows from the experiment:
 * sockets, libraries, the code that oneDNN made (measured). */
enum { PROCESS_BYTES = 24 * 1024 * 1024 };

uint32_t
dpc_compute_batch(const struct dpc_experiment *experiment)
{
    enum { SCORED = 8 };
    return experiment->inner.batch > SCORED ? experiment->inner.batch : SCORED;
}

int
dpc_compute_bytes(const struct dpc_experiment *experiment, const struct dpc_path_options *options,
                  size_t *ret_bytes, struct dpc_error *err)
{
    enum { MOMENTS = 2, RECEIVED = 1, STATE_IN = 2, STATE_OUT = 2 };
    size_t bytes = 0;
    int code = dpc_path_plan(experiment, options, &bytes, err);
    if (code != DPC_OK)
        return code;
    *ret_bytes = bytes + PROCESS_BYTES +
                 (MOMENTS + RECEIVED + STATE_IN + STATE_OUT) * sizeof(float) *
                     dpc_layout_path_floats(experiment);
    return DPC_OK;
}

int
dpc_compute_card_bytes(const struct dpc_experiment *experiment,
                       const struct dpc_path_options *options, size_t *ret_bytes,
                       struct dpc_error *err)
{
    enum { MOMENTS = 2 };
    size_t bytes = 0;
    int code = dpc_path_plan(experiment, options, &bytes, err);
    if (code == DPC_OK)
        *ret_bytes = bytes + MOMENTS * sizeof(float) * dpc_layout_path_floats(experiment);
    return code;
}

void
dpc_compute_name(const struct dpc_card_info *card, char *ret_name, size_t size)
{
    if (card) {
        (void)snprintf(ret_name, size, "sm_%ux%u/%s", card->capability, card->processors,
                       card->libraries);
        return;
    }
    char version[32];
    const char *onednn = dpc_ops_onednn_kernel();
    dpc_ops_blas_version(version, sizeof version);
    (void)snprintf(ret_name, size, "%s/%s-%s/%s", dpc_ops_cpu(DPC_FP32)->name, version,
                   dpc_ops_blas_kernel(), onednn);
}
