/* SPDX-License-Identifier: Apache-2.0
 * Tables of a card are handed out as copies, so that a plug-in may leave a kernel of attention out,
 * or shapes: these are computed by the CPU's table then, on copies in host memory. That is slow,
 * and counted, so that nobody takes it for the card's speed. */
#include "ops/card.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

enum { FILE_MAX = 4096 };
enum { FP32, TF32, BF16, TABLES };

struct dpc_card {
    const struct dpc_card_plugin *plugin;
    uint32_t index;
    uint64_t memory_bytes;
    struct dpc_card_info info;
    const struct dpc_ops *own[TABLES]; /* the plug-in's; NULL: it has none */
    struct dpc_ops tables[TABLES];
    _Atomic uint64_t fallbacks;
    const char *_Atomic fallback;
};

/* --- Loading. */

static struct {
    pthread_mutex_t lock;
    char file[FILE_MAX]; /* as it was named; "" for the usual places */
    char path[FILE_MAX]; /* where it was found */
    const struct dpc_card_plugin *plugin;
} loaded = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The plug-in's path beside the running program; false when that is not to be had. */
static bool
beside_program(char *ret_path)
{
    ssize_t len = readlink("/proc/self/exe", ret_path, FILE_MAX - 1);
    if (len <= 0)
        return false;
    ret_path[len] = '\0';
    char *slash = strrchr(ret_path, '/');
    size_t folder = slash ? (size_t)(slash - ret_path) + 1 : 0;
    return snprintf(ret_path + folder, FILE_MAX - folder, "%s", DPC_CARD_PLUGIN_FILE) <
           (int)(FILE_MAX - folder);
}

static int
find_usual(char *ret_path, struct dpc_error *err)
{
    if (beside_program(ret_path) && access(ret_path, R_OK) == 0)
        return DPC_OK;
    (void)snprintf(ret_path, FILE_MAX, "%s", DPC_PKGLIBDIR "/" DPC_CARD_PLUGIN_FILE);
    if (access(ret_path, R_OK) == 0)
        return DPC_OK;
    return dpc_error_set(err, DPC_ENOTFOUND,
                         "there is no plug-in for cards: %s is neither beside the program nor in "
                         "%s (the Debian package dipaco-worker-cuda holds it)",
                         DPC_CARD_PLUGIN_FILE, DPC_PKGLIBDIR);
}

bool
dpc_card_plugin_is_there(const char *file)
{
    char path[FILE_MAX];
    struct dpc_error err;
    return file ? access(file, R_OK) == 0 : find_usual(path, &err) == DPC_OK;
}

static int
check_plugin(const struct dpc_card_plugin *plugin, const char *path, struct dpc_error *err)
{
    if (!plugin)
        return dpc_error_set(err, DPC_EVERSION, "could not use \"%s\": it is no plug-in for cards",
                             path);
    if (plugin->abi != DPC_CARD_ABI || plugin->ops_bytes != sizeof(struct dpc_ops))
        return dpc_error_set(err, DPC_EVERSION,
                             "could not use plug-in \"%s\": it is of another release (interface "
                             "%u, tables of %zu bytes; needed are %u and %zu)",
                             path, plugin->abi, plugin->ops_bytes, DPC_CARD_ABI,
                             sizeof(struct dpc_ops));
    return DPC_OK;
}

static int
load_path(const char *path, const struct dpc_card_plugin **ret_plugin, struct dpc_error *err)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *reason = dlerror();
        return dpc_error_set(err, DPC_ENOTFOUND, "could not load the plug-in for cards: %s",
                             reason ? reason : "no reason is known");
    }
    const struct dpc_card_plugin *plugin = dlsym(handle, "dpc_card_plugin");
    int code = check_plugin(plugin, path, err);
    if (code != DPC_OK)
        (void)dlclose(handle);
    else
        *ret_plugin = plugin;
    return code;
}

static int
load_locked(const char *file, const struct dpc_card_plugin **ret_plugin, struct dpc_error *err)
{
    char path[FILE_MAX];
    if (loaded.plugin && strcmp(loaded.file, file) != 0)
        return dpc_error_set(err, DPC_EBUSY, "another plug-in for cards is loaded: \"%s\"",
                             loaded.file);
    if (!loaded.plugin) {
        /* A name without a slash would be looked for among the system's libraries. */
        int len = snprintf(path, sizeof path, "%s%s", strchr(file, '/') ? "" : "./", file);
        if (len >= (int)sizeof path)
            return dpc_error_set(err, DPC_EINVAL, "the plug-in's name is too long");
        int code = *file ? DPC_OK : find_usual(path, err);
        if (code == DPC_OK)
            code = load_path(path, &loaded.plugin, err);
        if (code != DPC_OK)
            return code;
        (void)snprintf(loaded.file, sizeof loaded.file, "%s", file);
        (void)snprintf(loaded.path, sizeof loaded.path, "%s", path);
    }
    *ret_plugin = loaded.plugin;
    return DPC_OK;
}

/* A plug-in stays loaded: threads of a driver do not survive its removal. */
static int
load(const char *file, const struct dpc_card_plugin **ret_plugin, struct dpc_error *err)
{
    pthread_mutex_lock(&loaded.lock);
    int code = load_locked(file ? file : "", ret_plugin, err);
    pthread_mutex_unlock(&loaded.lock);
    return code;
}

int
dpc_card_probe(const char *file, uint32_t *ret_count, struct dpc_error *err)
{
    char reason[DPC_CARD_REASON_MAX] = "";
    const struct dpc_card_plugin *plugin;
    uint32_t count = 0;
    int code = load(file, &plugin, err);
    if (code != DPC_OK)
        return code;
    code = plugin->count(&count, reason);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "there is no card to compute with: %s", reason);
    if (count == 0)
        return dpc_error_set(err, DPC_ENOTFOUND, "there is no card to compute with");
    *ret_count = count;
    return DPC_OK;
}

int
dpc_card_describe(const char *file, uint32_t index, struct dpc_card_info *ret_info,
                  struct dpc_error *err)
{
    char reason[DPC_CARD_REASON_MAX] = "";
    const struct dpc_card_plugin *plugin;
    struct dpc_card_info info;
    memset(&info, 0, sizeof info);
    int code = load(file, &plugin, err);
    if (code != DPC_OK)
        return code;
    code = plugin->describe(index, &info, reason);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "card %u: %s", index, reason);
    *ret_info = info;
    return DPC_OK;
}

/* --- What the CPU computes in the card's place. */

static struct dpc_card *opened; /* a process has one; kernels have no argument for it */

static void
count_fallback(const char *op)
{
    if (opened->fallbacks++ == 0)
        opened->fallback = op;
}

/* Memory of the card, copied to the host. */
static void *
fetch(const struct dpc_ops *ops, const void *from, size_t bytes)
{
    void *copy = dpc_try_alloc_vector(bytes, 1);
    if (copy)
        ops->memory->download(copy, from, bytes);
    return copy;
}

static void
store(const struct dpc_ops *ops, void *to, const void *copy, size_t bytes)
{
    ops->memory->upload(to, copy, bytes);
}

/* Sizes in values of what attention reads and writes. */
struct sizes {
    size_t qkv, out, lse, angles;
};

static struct sizes
sizes_of(const struct dpc_attention_shape *shape)
{
    size_t rows = shape->B * shape->T;
    return (struct sizes){
        .qkv = rows * (shape->H + 2 * shape->G) * shape->D,
        .out = rows * shape->H * shape->D,
        .lse = rows * shape->H,
        .angles = shape->T * (shape->D / 2),
    };
}

/* One call of attention on the host: its copies, and the table that computes. */
struct stand_in {
    const struct dpc_ops *card, *host;
    struct sizes sizes;
    struct dpc_attention in;
    void *qkv, *cosines, *sines, *out, *lse, *dout, *dqkv, *scratch;
    bool whole; /* nothing was lacking */
};

static void
begin(struct stand_in *call, const struct dpc_ops *card, const struct dpc_attention *in,
      const struct dpc_act *out, const float *lse)
{
    const struct dpc_ops *host = dpc_ops_cpu(card->dtype);
    size_t act = dpc_act_bytes(card);
    memset(call, 0, sizeof *call);
    call->card = card;
    call->host = host ? host : dpc_ops_reference(card->dtype);
    call->sizes = sizes_of(&in->shape);
    call->qkv = fetch(card, in->qkv, call->sizes.qkv * act);
    call->cosines = fetch(card, in->cosines, call->sizes.angles * sizeof(float));
    call->sines = fetch(card, in->sines, call->sizes.angles * sizeof(float));
    call->out = fetch(card, out, call->sizes.out * act);
    call->lse = fetch(card, lse, call->sizes.lse * sizeof(float));
    call->scratch = dpc_try_alloc_vector(call->host->attention_scratch_bytes(&in->shape), 1);
    call->in = (struct dpc_attention){in->shape, call->qkv, call->cosines, call->sines};
    call->whole =
        call->qkv && call->cosines && call->sines && call->out && call->lse && call->scratch;
}

static void
end(struct stand_in *call)
{
    void *const copies[] = {call->qkv, call->cosines, call->sines, call->out,
                            call->lse, call->dout,    call->dqkv,  call->scratch};
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++)
        dpc_free(copies[i]);
}

/* A kernel cannot say that the host has no memory; values that are not finite end the step. */
static void
spoil(const struct dpc_ops *card, struct dpc_act *values)
{
    static const uint32_t not_a_number = 0x7fc07fc0; /* as fp32 and as bf16 */
    store(card, values, &not_a_number, dpc_act_bytes(card));
}

static void
attend(const struct dpc_ops *card, struct dpc_act *out, float *lse, const struct dpc_attention *in,
       size_t first)
{
    struct stand_in call;
    count_fallback("attention_forward");
    begin(&call, card, in, out, lse);
    for (size_t unit = 0; call.whole && unit < in->shape.B * in->shape.G; unit++)
        call.host->attention_forward(call.out, call.lse, &call.in, unit, first, call.scratch);
    if (call.whole) {
        store(card, out, call.out, call.sizes.out * dpc_act_bytes(card));
        store(card, lse, call.lse, call.sizes.lse * sizeof(float));
    } else {
        spoil(card, out);
    }
    end(&call);
}

static void
attend_back(const struct dpc_ops *card, struct dpc_act *dqkv, const struct dpc_act *dout,
            const struct dpc_act *out, const float *lse, const struct dpc_attention *in)
{
    struct stand_in call;
    size_t act = dpc_act_bytes(card);
    count_fallback("attention_backward");
    begin(&call, card, in, out, lse);
    call.dout = fetch(card, dout, call.sizes.out * act);
    call.dqkv = dpc_try_alloc_vector(call.sizes.qkv * act, 1);
    call.whole = call.whole && call.dout && call.dqkv;
    for (size_t unit = 0; call.whole && unit < in->shape.B * in->shape.G; unit++)
        call.host->attention_backward(call.dqkv, call.dout, call.out, call.lse, &call.in, unit,
                                      call.scratch);
    if (call.whole)
        store(card, dqkv, call.dqkv, call.sizes.qkv * act);
    else
        spoil(card, dqkv);
    end(&call);
}

/* As the plug-in says it. */
static size_t
own_bytes(const struct dpc_ops *own, const struct dpc_attention_shape *shape)
{
    return own->attention_scratch_bytes ? own->attention_scratch_bytes(shape) : 0;
}

static bool
takes(const struct dpc_ops *own, const struct dpc_attention_shape *shape)
{
    return own_bytes(own, shape) != DPC_CARD_LEFT_OUT;
}

/* Kernels have no argument for their table: each has functions of its own. */
#define ATTENTION(table)                                                                           \
    static size_t scratch_bytes_##table(const struct dpc_attention_shape *shape)                   \
    {                                                                                              \
        const struct dpc_ops *own = opened->own[table];                                            \
        return takes(own, shape) ? own_bytes(own, shape) : 0;                                      \
    }                                                                                              \
    static void forward_##table(struct dpc_act *out, float *lse, const struct dpc_attention *in,   \
                                size_t unit, size_t first, void *scratch)                          \
    {                                                                                              \
        const struct dpc_ops *own = opened->own[table];                                            \
        if (own->attention_forward && takes(own, &in->shape))                                      \
            own->attention_forward(out, lse, in, unit, first, scratch);                            \
        else                                                                                       \
            attend(&opened->tables[table], out, lse, in, first);                                   \
    }                                                                                              \
    static void backward_##table(struct dpc_act *dqkv, const struct dpc_act *dout,                 \
                                 const struct dpc_act *out, const float *lse,                      \
                                 const struct dpc_attention *in, size_t unit, void *scratch)       \
    {                                                                                              \
        const struct dpc_ops *own = opened->own[table];                                            \
        if (own->attention_backward && takes(own, &in->shape))                                     \
            own->attention_backward(dqkv, dout, out, lse, in, unit, scratch);                      \
        else                                                                                       \
            attend_back(&opened->tables[table], dqkv, dout, out, lse, in);                         \
    }
ATTENTION(FP32)
ATTENTION(TF32)
ATTENTION(BF16)

/* --- An open card. */

static const struct {
    enum dpc_dtype dtype;
    bool tf32;
    size_t (*scratch_bytes)(const struct dpc_attention_shape *shape);
    void (*forward)(struct dpc_act *out, float *lse, const struct dpc_attention *in, size_t unit,
                    size_t first, void *scratch);
    void (*backward)(struct dpc_act *dqkv, const struct dpc_act *dout, const struct dpc_act *out,
                     const float *lse, const struct dpc_attention *in, size_t unit, void *scratch);
} kinds[TABLES] = {
    [FP32] = {DPC_FP32, false, scratch_bytes_FP32, forward_FP32, backward_FP32},
    [TF32] = {DPC_FP32, true, scratch_bytes_TF32, forward_TF32, backward_TF32},
    [BF16] = {DPC_BF16, false, scratch_bytes_BF16, forward_BF16, backward_BF16},
};

/* Which of a card's tables this is. */
static size_t
place_of(enum dpc_dtype dtype, bool tf32)
{
    return dtype == DPC_BF16 ? BF16 : tf32 ? TF32 : FP32;
}

static void
copy_tables(struct dpc_card *card)
{
    for (size_t i = 0; i < TABLES; i++) {
        card->own[i] = card->plugin->table(kinds[i].dtype, kinds[i].tf32);
        if (!card->own[i])
            continue;
        card->tables[i] = *card->own[i];
        card->tables[i].attention_scratch_bytes = kinds[i].scratch_bytes;
        card->tables[i].attention_forward = kinds[i].forward;
        card->tables[i].attention_backward = kinds[i].backward;
    }
}

const char *
dpc_card_plugin_path(void)
{
    return loaded.path;
}

int
dpc_card_open(const char *file, uint32_t index, uint64_t memory_bytes, struct dpc_card **ret_card,
              struct dpc_error *err)
{
    char reason[DPC_CARD_REASON_MAX] = "";
    struct dpc_card_info info;
    const struct dpc_card_plugin *plugin;
    int code = load(file, &plugin, err);
    if (code == DPC_OK)
        code = dpc_card_describe(file, index, &info, err);
    if (code != DPC_OK)
        return code;
    code = plugin->open(index, &memory_bytes, reason);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not open card %u (%s): %s", index, info.name,
                             reason);
    struct dpc_card *card = dpc_alloc(1, sizeof *card);
    card->plugin = plugin;
    card->index = index;
    card->info = info;
    card->memory_bytes = memory_bytes;
    copy_tables(card);
    opened = card;
    *ret_card = card;
    return DPC_OK;
}

struct dpc_card *
dpc_card_close(struct dpc_card *card)
{
    if (!card)
        return NULL;
    card->plugin->close();
    opened = NULL;
    return dpc_free(card);
}

const struct dpc_card_info *
dpc_card_info(const struct dpc_card *card)
{
    return &card->info;
}

uint64_t
dpc_card_memory_bytes(const struct dpc_card *card)
{
    return card->memory_bytes;
}

const struct dpc_ops *
dpc_card_ops(const struct dpc_card *card, enum dpc_dtype dtype, bool tf32)
{
    size_t place = place_of(dtype, tf32);
    return card->own[place] ? &card->tables[place] : NULL;
}

uint64_t
dpc_card_fallbacks(const struct dpc_card *card, const char **ret_op)
{
    *ret_op = card->fallback;
    return card->fallbacks;
}

const char *
dpc_card_failure(const struct dpc_card *card)
{
    const char *words = card->plugin->failure();
    return words && *words ? words : dpc_error_words(DPC_EDEVICE);
}

int
dpc_card_others_percent(const struct dpc_card *card, uint32_t *ret_percent)
{
    return card->plugin->others_percent(card->index, ret_percent);
}
