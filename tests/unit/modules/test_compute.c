/* SPDX-License-Identifier: Apache-2.0
 * oneDNN compiles its products at run time. A filter such as systemd's MemoryDenyWriteExecute keeps
 * it from that; this program puts one on itself before anything is computed. */
#include "modules/compute.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/modules/model.h"

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define DENY        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)
#define ALLOW       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Refuses mappings that may be written and executed, and making anything executable later. */
static bool
forbid_written_code(void)
{
    struct sock_filter filter[] = {
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pkey_mprotect, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 3, 7),
        LOAD(args[2]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        DENY,
        /* mmap and what is left of mprotect. */
        LOAD(args[2]),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PROT_WRITE | PROT_EXEC),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROT_WRITE | PROT_EXEC, 0, 1),
        DENY,
        ALLOW,
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* A product that oneDNN 2.6 fails to compile leaks some of its own bytes. */
const char *__lsan_default_suppressions(void);
const char *
__lsan_default_suppressions(void)
{
    return "leak:libdnnl";
}

static void
a_filter_of_written_code_leaves_fp32(void)
{
    const struct dpc_ops *ops = NULL;
    struct dpc_error err = {0};
    char name[64], version[32];
    CU_ASSERT_PTR_EQUAL(
        mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MAP_FAILED);
    CU_ASSERT_EQUAL(dpc_compute_choose(DPC_COMPUTE_AUTO, NULL, &ops, &err), DPC_OK);
    CU_ASSERT_EQUAL(ops->dtype, DPC_FP32);
    CU_ASSERT_STRING_EQUAL(ops->products, "openblas");
    CU_ASSERT_EQUAL(dpc_compute_choose(DPC_COMPUTE_FP32, NULL, &ops, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_compute_choose(DPC_COMPUTE_TF32, NULL, &ops, &err), DPC_OK);
    CU_ASSERT_EQUAL(ops->dtype, DPC_FP32);
    CU_ASSERT_EQUAL(dpc_compute_choose(DPC_COMPUTE_BF16, NULL, &ops, &err), DPC_EUNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, dpc_ops_onednn_kernel()));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "compute: auto"));
    dpc_compute_name(NULL, name, sizeof name);
    CU_ASSERT_PTR_NOT_NULL(strstr(name, dpc_ops_blas_kernel()));
    CU_ASSERT_PTR_NOT_NULL(strstr(name, dpc_ops_onednn_kernel()));
    dpc_ops_blas_version(version, sizeof version);
    CU_ASSERT(strspn(version, "0123456789.") >= 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(name, version));
    const struct dpc_card_info card = {
        .libraries = "cuda-13.0/cublasLt-13.1.0", .capability = 90, .processors = 132};
    dpc_compute_name(&card, name, sizeof name);
    CU_ASSERT_STRING_EQUAL(name, "sm_90x132/cuda-13.0/cublasLt-13.1.0");
#ifdef HAVE_DNNL
    CU_ASSERT(dpc_compute_is_blocked());
#else
    CU_ASSERT_STRING_EQUAL(dpc_ops_onednn_kernel(), "none");
#endif
}

/* And it computes. */
static void
a_path_trains_without_it(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    struct dpc_path *path = small_path(&experiment, dpc_ops_cpu(DPC_FP32), 2, DPC_PATH_TRAIN);
    int32_t tokens[2 * 8], targets[2 * 8];
    double loss;
    uint64_t count;
    small_batch(&experiment, 2, 8, 2, tokens, targets);
    CU_ASSERT_EQUAL(dpc_path_backward(path, tokens, targets, 2, 8, &loss, &count), DPC_OK);
    CU_ASSERT(isfinite(loss) && loss > 0);
    dpc_path_destroy(path);
}

static const struct dpc_test tests[] = {
    {"a filter of written code leaves fp32", a_filter_of_written_code_leaves_fp32},
    {"a path trains without it", a_path_trains_without_it},
};

int
main(void)
{
    if (!forbid_written_code())
        return 77; /* no seccomp in this kernel */
    return dpc_test_run("modules/compute", tests, sizeof tests / sizeof *tests);
}
