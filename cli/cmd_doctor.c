/* SPDX-License-Identifier: Apache-2.0
 * Is this machine fit for a worker? Each check is a row: it says what it found, how bad that is,
 * and what to do about it. No card is no fault; a card that nothing can compute on is one. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/limits.h"
#include "base/processors.h"
#include "cli/cards.h"
#include "cli/commands.h"
#include "cli/text.h"

struct doctor_options {
    bool json;
    const char *card_plugin;
};

static const struct dpc_option options[] = {
    {.name = "card-plugin",
     .kind = DPC_OPTION_TEXT,
     .value_name = "FILE",
     .help = "what computes on cards (default " DPC_CARD_PLUGIN_FILE
             " beside this program or where it was installed)",
     .offset = offsetof(struct doctor_options, card_plugin)},
    {.name = "json",
     .kind = DPC_OPTION_FLAG,
     .help = "print JSON",
     .offset = offsetof(struct doctor_options, json)},
};

enum level { OK, WARNING, PROBLEM };
static const char *const level_names[] = {"ok", "warning", "problem"};

enum { CARDS_MAX = 64 };

/* What goes from check to check. */
struct doctor {
    const char *plugin;
    bool json;
    struct dpc_json *findings;
    enum level worst;
};

/* One finding; `advice` NULL: there is nothing to do. */
static void __attribute__((format(printf, 5, 6)))
find(struct doctor *doctor, enum level level, const char *what, const char *advice,
     const char *format, ...)
{
    char text[DPC_ERROR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    doctor->worst = level > doctor->worst ? level : doctor->worst;
    if (!doctor->json)
        printf("%-8s %-10s %s%s%s\n", level_names[level], what, text, advice ? "; " : "",
               advice ? advice : "");
    struct dpc_json *finding = dpc_json_object();
    dpc_json_set_text(finding, "level", level_names[level]);
    dpc_json_set_text(finding, "check", what);
    dpc_json_set_text(finding, "text", text);
    if (advice)
        dpc_json_set_text(finding, "advice", advice);
    dpc_json_append(doctor->findings, finding);
}

/* --- The processor. */

/* What a worker takes when it is told nothing else. */
static void
check_machine(struct doctor *doctor)
{
    struct dpc_cgroup group = dpc_cgroup_own();
    char limits[DPC_LABEL_MAX] = "";
    if (group.processors > 0 || group.memory_bytes > 0)
        (void)snprintf(limits, sizeof limits, ", as its control group limits it");
    find(doctor, OK, "machine", NULL, "%u processors at once, %.1f GiB of memory%s",
         dpc_processors_count(), (double)dpc_cgroup_memory_bytes() / (double)DPC_GIB, limits);
}

static void
check_kernels(struct doctor *doctor)
{
    const struct dpc_ops *ops = dpc_ops_cpu(DPC_FP32);
    bool slow = strcmp(ops->name, "baseline") == 0, blas = strcmp(ops->products, "openblas") == 0;
    find(doctor, slow ? WARNING : OK, "processor",
         slow ? "it will be slow: a card, or a machine with AVX2, does more" : NULL,
         "%s, products by %s (%s), bf16 %s", ops->name, ops->products,
         blas ? dpc_ops_blas_kernel() : dpc_ops_onednn_kernel(),
         dpc_ops_cpu(DPC_BF16) ? "yes" : "no");
}

static void
check_onednn(struct doctor *doctor)
{
    const char *kernel = dpc_ops_onednn_kernel();
    if (strcmp(kernel, "blocked") == 0)
        find(doctor, WARNING, "onednn", "take MemoryDenyWriteExecute away from the unit",
             "it may not run the code that it makes: slower, and no bf16 on the processor");
    else
        find(doctor, OK, "onednn", NULL, "%s", kernel);
}

static void
check_coretype(struct doctor *doctor)
{
    const char *coretype = getenv("OPENBLAS_CORETYPE");
    if (coretype)
        find(doctor, WARNING, "openblas", "unset it, and take it out of the unit's environment",
             "OPENBLAS_CORETYPE is \"%.100s\": it chooses other kernels, often at half the speed, "
             "and another numeric class",
             coretype);
    else
        find(doctor, OK, "openblas", NULL, "OPENBLAS_CORETYPE is not set");
}

/* --- Cards. */

/* NVIDIA's driver, whatever a plug-in says; Windows' own, where that lends its card to Linux. */
static bool
has_driver(void)
{
    static const char *const signs[] = {"/proc/driver/nvidia/version", "/dev/nvidiactl",
                                        "/usr/lib/wsl/lib/libcuda.so.1"};
    for (size_t i = 0; i < DPC_COUNT(signs); i++) {
        if (access(signs[i], F_OK) == 0)
            return true;
    }
    return false;
}

/* What is missing between here and a card, and what to do about it; NULL: there is none to use. */
static const char *
advise(const struct doctor *doctor)
{
    bool is_loaded = *dpc_card_plugin_path() != '\0', driven = has_driver();
    if (dpc_card_plugin_is_there(doctor->plugin) && !is_loaded)
        return "install what it needs: of NVIDIA's packages for CUDA 13 that is libcublas-13-0";
    if (!is_loaded && doctor->plugin)
        return "name the file of a plug-in";
    if (!driven && !dpc_cards_are_fitted(DPC_CARDS_DEVICES))
        return doctor->plugin ? "install a driver that the plug-in knows" : NULL;
    if (!is_loaded)
        return "install the package dipaco-worker-cuda, or build with --with-cuda";
    if (!driven)
        return "install NVIDIA's driver: with CUDA 13 branch 580 or newer (nvidia-open)";
    return "install a driver that serves the plug-in (with CUDA 13 branch 580 or newer), and let "
           "this user open /dev/nvidia* (a service by systemd/examples/worker-card.conf)";
}

static void
check_no_card(struct doctor *doctor, const struct dpc_error *err)
{
    const char *advice = err->code == DPC_ENOTFOUND ? advise(doctor) : NULL;
    const char *plugin = dpc_card_plugin_path();
    if (err->code == DPC_EVERSION)
        find(doctor, PROBLEM, "card",
             "install the plug-in of this release (dipaco-worker-cuda holds it)", "%s", err->text);
    else if (err->code != DPC_ENOTFOUND)
        find(doctor, PROBLEM, "card", "see the driver's own log (dmesg, nvidia-smi)", "%s",
             err->text);
    else
        find(doctor, advice ? WARNING : OK, "card", advice, "none is used: %s%s%s%s", err->text,
             *plugin ? " (plug-in " : "", plugin, *plugin ? ")" : "");
}

static void
check_rate(struct doctor *doctor, uint32_t index)
{
    struct dpc_cards_rate rate;
    struct dpc_error err = {0};
    char gradients[96] = "there was no room to try it";
    int code = dpc_cards_measure(doctor->plugin, index, &rate, &err);
    if (code == DPC_OK && rate.off >= 0)
        (void)snprintf(gradients, sizeof gradients,
                       "its gradients are those of the processor to %.2g of their size", rate.off);
    if (code == DPC_OK)
        find(doctor, OK, "rate", NULL, "card %u: %.4g TFLOP/s in %s, products of %zu rows; %s",
             index, rate.tflops, rate.bf16 ? "bf16" : "fp32", rate.rows, gradients);
    else
        find(doctor, PROBLEM, "rate",
             "see who else uses the card (nvidia-smi), the driver's log (dmesg), and whether it is "
             "overclocked",
             "card %u: %s", index, err.text);
}

static void
check_card(struct doctor *doctor, uint32_t index)
{
    enum { CAPABILITY_MIN = 75 };
    const uint64_t little_bytes = (uint64_t)1 << 30;
    struct dpc_card_info info;
    struct dpc_error err = {0};
    char line[DPC_CARDS_LINE_MAX];
    if (dpc_card_describe(doctor->plugin, index, &info, &err) != DPC_OK) {
        find(doctor, PROBLEM, "card", "see the driver's log (dmesg)", "%s", err.text);
        return;
    }
    dpc_cards_line(&info, line);
    if (info.capability < CAPABILITY_MIN) {
        find(doctor, PROBLEM, "card", "it is too old: use --device cpu", "%u: %s", index, line);
        return;
    }
    if (info.free_bytes < little_bytes)
        find(doctor, WARNING, "card", "see who holds its memory (nvidia-smi)", "%u: %s", index,
             line);
    else if (!info.bf16)
        find(doctor, WARNING, "card", "experiments with compute: bf16 will refuse it", "%u: %s",
             index, line);
    else
        find(doctor, OK, "card", NULL, "%u: %s", index, line);
    check_rate(doctor, index);
}

static void
check_cards(struct doctor *doctor)
{
    struct dpc_error err = {0};
    uint32_t count = 0;
    if (dpc_card_probe(doctor->plugin, &count, &err) != DPC_OK)
        check_no_card(doctor, &err);
    for (uint32_t i = 0; i < count && i < CARDS_MAX; i++)
        check_card(doctor, i);
}

static int
run(const struct dpc_call *call)
{
    static void (*const checks[])(struct doctor * doctor) = {
        check_machine, check_kernels, check_onednn, check_coretype, check_cards};
    const struct doctor_options *given = call->options;
    struct doctor doctor = {
        .plugin = given->card_plugin, .json = given->json, .findings = dpc_json_array()};
    for (size_t i = 0; i < DPC_COUNT(checks); i++)
        checks[i](&doctor);
    struct dpc_json *root = dpc_json_object();
    dpc_json_set_text(root, "level", level_names[doctor.worst]);
    dpc_json_set(root, "findings", doctor.findings);
    if (given->json)
        dpc_json_show(root, stdout);
    dpc_json_destroy(root);
    return doctor.worst == PROBLEM ? DPC_EXIT_FAILED : DPC_EXIT_OK;
}

const struct dpc_command dpc_command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "Checks whether this machine is fit to compute, and how fast its cards are.",
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct doctor_options),
    .run = run,
};
