/* SPDX-License-Identifier: Apache-2.0
 * The plug-in's one symbol. Whether there is a driver is asked of the system before CUDA's runtime
 * is touched, which may remember for the rest of the process that it found none. How busy others
 * keep a card is NVML's to say; it is loaded when somebody asks. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ops/cuda/device.h"

static int
refuse(char *ret_reason, int code, const char *text)
{
    (void)snprintf(ret_reason, DPC_CARD_REASON_MAX, "%s", text);
    return code;
}

static int
refuse_cuda(char *ret_reason, int code, const char *what, cudaError_t error)
{
    (void)cudaGetLastError();
    (void)snprintf(ret_reason, DPC_CARD_REASON_MAX, "%s: %s (error %d)", what,
                   cudaGetErrorString(error), (int)error);
    return code;
}

/* --- As much of NVML as is needed: how busy others keep a card, and how much of it is free. */

typedef struct nvml_device *nvml_device;

struct nvml_sample { /* nvmlProcessUtilizationSample_t */
    unsigned pid;
    unsigned long long time_us;
    unsigned processors, memory, encoder, decoder; /* percent */
};

struct nvml_memory { /* nvmlMemory_t, bytes */
    unsigned long long total, free, used;
};

enum { NVML_SUCCESS = 0, NVML_NOT_FOUND = 6, SAMPLES_MAX = 256, WINDOW_US = 3000000 };

static struct {
    int (*init)(void);
    int (*device_by_uuid)(const char *uuid, nvml_device *ret_device);
    int (*utilization)(nvml_device device, struct nvml_sample *samples, unsigned *count,
                       unsigned long long since_us);
    int (*memory)(nvml_device device, struct nvml_memory *ret_memory);
} nvml;

static bool has_nvml;

static void
load_nvml(void)
{
    void *library = dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!library)
        return;
    *(void **)&nvml.init = dlsym(library, "nvmlInit_v2");
    *(void **)&nvml.device_by_uuid = dlsym(library, "nvmlDeviceGetHandleByUUID");
    *(void **)&nvml.utilization = dlsym(library, "nvmlDeviceGetProcessUtilization");
    *(void **)&nvml.memory = dlsym(library, "nvmlDeviceGetMemoryInfo");
    has_nvml = nvml.init && nvml.device_by_uuid && nvml.utilization && nvml.memory &&
               nvml.init() == NVML_SUCCESS;
}

static bool
find_device(const char *uuid, nvml_device *ret_device)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_nvml);
    return has_nvml && nvml.device_by_uuid(uuid, ret_device) == NVML_SUCCESS;
}

/* --- Which cards there are. */

/* A kernel driver that made its device nodes (/dev/dxg: Windows' subsystem for Linux), and the
 * library that talks to it. */
static bool
has_driver(void)
{
    if (access("/dev/nvidiactl", F_OK) != 0 && access("/dev/dxg", F_OK) != 0)
        return false;
    void *library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (library)
        dlclose(library);
    return library != NULL;
}

static int
count_cards(uint32_t *ret_count, char *ret_reason)
{
    int count = 0;
    if (!has_driver())
        return refuse(ret_reason, DPC_ENOTFOUND, "no NVIDIA driver is loaded");
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess)
        return refuse_cuda(ret_reason, DPC_ENOTFOUND, "CUDA finds no card", error);
    if (count == 0)
        return refuse(ret_reason, DPC_ENOTFOUND, "the driver sees no card");
    *ret_count = (uint32_t)count;
    return DPC_OK;
}

static void
name_uuid(char *ret_text, const cudaUUID_t *uuid)
{
    const uint8_t *b = (const uint8_t *)uuid->bytes;
    (void)snprintf(ret_text, DPC_CARD_TEXT_MAX,
                   "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                   b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                   b[14], b[15]);
}

/* Of the card that was opened last, which keeps it: the driver takes long to say all that it knows
 * of a card, and how busy it is is asked every second, beside the thread that computes. */
static struct {
    pthread_mutex_t lock;
    bool is_set;
    uint32_t index;
    char uuid[DPC_CARD_TEXT_MAX];
} opened = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
keep_uuid(uint32_t index, const char *uuid)
{
    pthread_mutex_lock(&opened.lock);
    opened.is_set = true;
    opened.index = index;
    (void)snprintf(opened.uuid, sizeof opened.uuid, "%s", uuid);
    pthread_mutex_unlock(&opened.lock);
}

static bool
find_uuid(uint32_t index, char *ret_uuid)
{
    struct cudaDeviceProp properties;
    pthread_mutex_lock(&opened.lock);
    bool found = opened.is_set && opened.index == index;
    if (found)
        (void)snprintf(ret_uuid, DPC_CARD_TEXT_MAX, "%s", opened.uuid);
    pthread_mutex_unlock(&opened.lock);
    if (found)
        return true;
    if (cudaGetDeviceProperties(&properties, (int)index) != cudaSuccess) {
        (void)cudaGetLastError(); /* or it would be taken for that of a launch */
        return false;
    }
    name_uuid(ret_uuid, &properties.uuid);
    return true;
}

/* NVML needs no context on the card, which CUDA would make, and keep, for the thread that asks. */
static cudaError_t
ask_memory(uint32_t index, struct dpc_card_info *info)
{
    struct nvml_memory memory;
    nvml_device device;
    size_t free_bytes = 0, all = 0;
    if (find_device(info->uuid, &device) && nvml.memory(device, &memory) == NVML_SUCCESS) {
        info->free_bytes = memory.free;
        info->memory_bytes = memory.total;
        return cudaSuccess;
    }
    cudaError_t error = cudaSetDevice((int)index);
    if (error == cudaSuccess)
        error = cudaMemGetInfo(&free_bytes, &all);
    if (dpc_cuda.is_open)
        (void)cudaSetDevice(dpc_cuda.index);
    info->free_bytes = free_bytes;
    info->memory_bytes = all;
    return error;
}

/* Machine code for X.y runs on X.z, z >= y; for other cards the driver compiles PTX, each version
 * of it in its own way. */
static bool
has_machine_code(int major, int minor)
{
    static const char compiled[] = DPC_CUDA_ARCHS;
    const char *at = compiled;
    for (char *end; *at; at = end) {
        long arch = strtol(at, &end, 10);
        if (end == at)
            break;
        if (arch / 10 == major && arch % 10 <= minor)
            return true;
    }
    return false;
}

static int
describe_card(uint32_t index, struct dpc_card_info *ret_info, char *ret_reason)
{
    struct cudaDeviceProp properties;
    struct dpc_card_info info = {0};
    uint32_t count;
    int driver = 0, runtime = 0, code = count_cards(&count, ret_reason);
    if (code != DPC_OK)
        return code;
    if (index >= count) {
        (void)snprintf(ret_reason, DPC_CARD_REASON_MAX, "there is no card %u: this machine has %u",
                       index, count);
        return DPC_ENOTFOUND;
    }
    cudaError_t error = cudaGetDeviceProperties(&properties, (int)index);
    if (error == cudaSuccess)
        error = cudaDriverGetVersion(&driver);
    if (error == cudaSuccess)
        error = cudaRuntimeGetVersion(&runtime);
    if (error == cudaSuccess) {
        name_uuid(info.uuid, &properties.uuid);
        error = ask_memory(index, &info);
    }
    if (error != cudaSuccess)
        return refuse_cuda(ret_reason, DPC_EDEVICE, "the card does not answer", error);
    size_t lt = cublasLtGetVersion();
    (void)snprintf(info.name, sizeof info.name, "%s", properties.name);
    (void)snprintf(info.driver, sizeof info.driver, "%d.%d", driver / 1000, driver % 1000 / 10);
    bool compiled = has_machine_code(properties.major, properties.minor);
    (void)snprintf(info.libraries, sizeof info.libraries, "cuda-%d.%d/cublasLt-%zu.%zu.%zu%s%s",
                   runtime / 1000, runtime % 1000 / 10, lt / 10000, lt % 10000 / 100, lt % 100,
                   compiled ? "" : "/ptx-", compiled ? "" : info.driver);
    info.capability = (uint32_t)(properties.major * 10 + properties.minor);
    info.processors = (uint32_t)properties.multiProcessorCount;
    info.bf16 = dpc_cuda_table(DPC_BF16, false, (int)info.capability) != NULL;
    *ret_info = info;
    return DPC_OK;
}

static int
open_card(uint32_t index, uint64_t *memory_bytes, char *ret_reason)
{
    struct dpc_card_info info;
    if (dpc_cuda.is_open)
        return refuse(ret_reason, DPC_EBUSY, "this process has a card open already");
    int code = describe_card(index, &info, ret_reason);
    if (code != DPC_OK)
        return code;
    if (info.capability < 75) {
        (void)snprintf(ret_reason, DPC_CARD_REASON_MAX,
                       "%s has compute capability %u.%u, needed is 7.5", info.name,
                       info.capability / 10, info.capability % 10);
        return DPC_EUNSUPPORTED;
    }
    if (!dpc_cuda_open((int)index, (int)info.capability,
                       *memory_bytes ? *memory_bytes : SIZE_MAX)) {
        (void)refuse(ret_reason, DPC_EDEVICE, dpc_cuda_failure());
        dpc_cuda_close();
        return DPC_EDEVICE;
    }
    keep_uuid(index, info.uuid);
    *memory_bytes = dpc_cuda.memory_bytes;
    return DPC_OK;
}

static const struct dpc_ops *
open_table(enum dpc_dtype dtype, bool tf32)
{
    return dpc_cuda.is_open ? dpc_cuda_table(dtype, tf32, dpc_cuda.capability) : NULL;
}

/* Processes have other numbers in a container than outside of it, and it depends on the driver
 * which of them NVML says. The name is that of the namespace in which the kernel began. */
static bool
is_in_container(void)
{
    static const char first[] = "pid:[4026531836]";
    char name[sizeof first + 16];
    ssize_t len = readlink("/proc/self/ns/pid", name, sizeof name);
    return len > 0 && ((size_t)len != sizeof first - 1 || memcmp(name, first, (size_t)len) != 0);
}

/* Somebody computes, and it may well be ourselves under another number. */
static bool
may_be_ours(const struct nvml_sample *samples, unsigned count)
{
    static atomic_bool found; /* and so NVML says the numbers that we know */
    for (unsigned i = 0; i < count; i++)
        found = found || samples[i].pid == (unsigned)getpid();
    return count > 0 && !found && is_in_container();
}

static int
others_percent(uint32_t index, uint32_t *ret_percent)
{
    struct nvml_sample samples[SAMPLES_MAX];
    unsigned count = SAMPLES_MAX, percent = 0;
    char uuid[DPC_CARD_TEXT_MAX];
    nvml_device device;
    if (!find_uuid(index, uuid) || !find_device(uuid, &device))
        return DPC_EUNSUPPORTED;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now); /* which NVML's samples are marked with */
    unsigned long long now_us =
        (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
    int status = nvml.utilization(device, samples, &count, now_us - WINDOW_US);
    if (status != NVML_SUCCESS && status != NVML_NOT_FOUND) /* not found: nobody computes */
        return DPC_EUNSUPPORTED;
    if (status == NVML_NOT_FOUND)
        count = 0;
    if (count > SAMPLES_MAX)
        count = SAMPLES_MAX;
    if (may_be_ours(samples, count))
        return DPC_EUNSUPPORTED;
    for (unsigned i = 0; i < count; i++)
        percent += samples[i].pid == (unsigned)getpid() || samples[i].processors > 100
                       ? 0 /* our own, or a sample that was never taken */
                       : samples[i].processors;
    *ret_percent = percent > 100 ? 100 : percent;
    return DPC_OK;
}

__attribute__((visibility("default"))) extern const struct dpc_card_plugin dpc_card_plugin;

const struct dpc_card_plugin dpc_card_plugin = {
    .abi = DPC_CARD_ABI,
    .ops_bytes = sizeof(struct dpc_ops),
    .count = count_cards,
    .describe = describe_card,
    .open = open_card,
    .close = dpc_cuda_close,
    .table = open_table,
    .failure = dpc_cuda_failure,
    .others_percent = others_percent,
};
