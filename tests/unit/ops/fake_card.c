/* SPDX-License-Identifier: Apache-2.0
 * A plug-in that plays a card, for tests on machines without one. Its memory may be touched only
 * while one of its own calls runs: between them it has no access rights, so that a program that
 * takes it for its own is killed by SIGSEGV. The environment steers it, and is read at each call:
 *
 *   FAKE_CARD=none           no driver, no card
 *   FAKE_CARD=file:PATH      a card once PATH exists, no driver before
 *   FAKE_CARD=N              so many cards (default: one)
 *   FAKE_CARD_FAIL_AFTER=N   from the N-th kernel after _open on everything fails, until the card
 *                            is closed and opened again
 *   FAKE_CARD_FAIL_ALLOCATION=N  the same from the N-th allocation on
 *   FAKE_CARD_FAIL_ONCE=PATH only as long as PATH does not exist, which the failure makes
 *   FAKE_CARD_STICKY=1       what failed does not open again in the same process
 *   FAKE_CARD_CLOSED=1       it can be described, and not be opened
 *   FAKE_CARD_MEMORY=BYTES   what it has
 *   FAKE_CARD_BUSY=PERCENT   what other processes take of it; file:PATH: 100 while PATH exists
 *   FAKE_CARD_LACKS=attention  NULL in these rows of its tables
 *   FAKE_CARD_WRONG=attention  in bf16 it turns queries and keys by other angles; file:PATH: while
 *                            PATH exists
 *   FAKE_CARD_ABI=NUMBER     of another release; read when it is loaded */
#include "tests/unit/ops/fake_card.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ops/card_plugin.h"
#include "ops/tables.h"

enum { REGIONS_MAX = 256, MEMORY_DEFAULT = 1 << 30, PAGE = 4096 };

static struct {
    struct {
        void *base;
        size_t bytes;
    } regions[REGIONS_MAX];
    size_t used;
    uint64_t memory_bytes;
    unsigned long kernels, allocations;
    bool is_open, failed;
    struct dpc_ops tables[3];
    char failure[DPC_CARD_REASON_MAX];
} card;

static bool spoiled; /* it failed in this process */

static const char *
setting(const char *name)
{
    const char *text = getenv(name);
    return text ? text : "";
}

/* "file:PATH": whether PATH exists. */
static bool
names_file(const char *text)
{
    return strncmp(text, "file:", 5) == 0;
}

static bool
file_exists(const char *text)
{
    return access(text + 5, F_OK) == 0;
}

static uint64_t
card_bytes(void)
{
    const char *text = setting("FAKE_CARD_MEMORY");
    return *text ? strtoull(text, NULL, 10) : MEMORY_DEFAULT;
}

/* --- The gate. */

static void
allow(int rights)
{
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        if (card.regions[i].base && mprotect(card.regions[i].base, card.regions[i].bytes, rights))
            abort();
    }
}

static bool
fails_now(void)
{
    const char *after = setting("FAKE_CARD_FAIL_AFTER"), *once = setting("FAKE_CARD_FAIL_ONCE");
    if (!*after || card.kernels < strtoul(after, NULL, 10))
        return false;
    if (!*once)
        return true;
    if (access(once, F_OK) == 0)
        return false;
    int fd = open(once, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return true;
}

bool
fake_card_enter(void)
{
    card.kernels++;
    if (!card.failed && fails_now()) {
        card.failed = spoiled = true;
        (void)snprintf(card.failure, sizeof card.failure, "the fake card failed at kernel %lu",
                       card.kernels);
    }
    if (!card.failed)
        allow(PROT_READ | PROT_WRITE);
    return !card.failed;
}

void
fake_card_leave(void)
{
    allow(PROT_NONE);
}

/* --- Its memory. */

static size_t
whole_pages(size_t bytes)
{
    return (bytes / PAGE + 1) * PAGE;
}

static void *
allocate(size_t bytes)
{
    size_t place = 0, wanted = whole_pages(bytes);
    const char *fails = setting("FAKE_CARD_FAIL_ALLOCATION");
    while (place < REGIONS_MAX && card.regions[place].base)
        place++;
    card.failed = card.failed || (*fails && ++card.allocations >= strtoul(fails, NULL, 10));
    if (card.failed || place == REGIONS_MAX || card.used + wanted > card.memory_bytes) {
        (void)snprintf(card.failure, sizeof card.failure,
                       "%zu bytes are not to be had of the fake card's %llu", wanted,
                       (unsigned long long)card.memory_bytes);
        return NULL;
    }
    void *base = mmap(NULL, wanted, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    card.regions[place].base = base;
    card.regions[place].bytes = wanted;
    card.used += wanted;
    return base;
}

static void
release(void *memory)
{
    for (size_t i = 0; memory && i < REGIONS_MAX; i++) {
        if (card.regions[i].base != memory)
            continue;
        (void)munmap(memory, card.regions[i].bytes);
        card.used -= card.regions[i].bytes;
        card.regions[i].base = NULL;
    }
}

static void
clear(void *memory, size_t bytes)
{
    if (card.failed)
        return;
    allow(PROT_READ | PROT_WRITE);
    memset(memory, 0, bytes);
    allow(PROT_NONE);
}

static void
upload(void *to, const void *from_host, size_t bytes)
{
    if (card.failed)
        return;
    allow(PROT_READ | PROT_WRITE);
    memcpy(to, from_host, bytes);
    allow(PROT_NONE);
}

static void
download(void *to_host, const void *from, size_t bytes)
{
    memset(to_host, 0, bytes);
    if (card.failed)
        return;
    allow(PROT_READ | PROT_WRITE);
    memcpy(to_host, from, bytes);
    allow(PROT_NONE);
}

static int
finish(void)
{
    return card.failed ? DPC_EDEVICE : DPC_OK;
}

const struct dpc_memory fake_card_memory = {
    .allocate = allocate,
    .release = release,
    .clear = clear,
    .upload = upload,
    .download = download,
    .finish = finish,
};

/* The naive kernels need no scratch. */
size_t
dpc_attention_scratch_bytes(const struct dpc_attention_shape *shape)
{
    (void)shape;
    return 0;
}

/* --- The plug-in. */

static int
say(char *ret_reason, int code, const char *text)
{
    (void)snprintf(ret_reason, DPC_CARD_REASON_MAX, "%s", text);
    return code;
}

static int
count_cards(uint32_t *ret_count, char *ret_reason)
{
    const char *text = setting("FAKE_CARD");
    if (strcmp(text, "none") == 0 || (names_file(text) && !file_exists(text)))
        return say(ret_reason, DPC_ENOTFOUND, "no fake driver is loaded");
    *ret_count = *text && !names_file(text) ? (uint32_t)strtoul(text, NULL, 10) : 1;
    return DPC_OK;
}

static int
describe(uint32_t index, struct dpc_card_info *ret_info, char *ret_reason)
{
    uint32_t count;
    int code = count_cards(&count, ret_reason);
    if (code != DPC_OK)
        return code;
    if (index >= count)
        return say(ret_reason, DPC_ENOTFOUND, "there is no such card");
    *ret_info = (struct dpc_card_info){
        .name = "fake card",
        .uuid = "FAKE-0",
        .driver = "1.0",
        .libraries = "fake-1.0",
        .capability = 80,
        .processors = 1,
        .memory_bytes = card_bytes(),
        .free_bytes = card_bytes() - card.used,
        .bf16 = true,
    };
    return DPC_OK;
}

static bool
is_wrong(void)
{
    const char *text = setting("FAKE_CARD_WRONG");
    return names_file(text) ? file_exists(text) : strcmp(text, "attention") == 0;
}

static void (*rightly)(struct dpc_act *out, float *lse, const struct dpc_attention *in, size_t unit,
                       size_t first, void *scratch);

static void
attend_wrongly(struct dpc_act *out, float *lse, const struct dpc_attention *in, size_t unit,
               size_t first, void *scratch)
{
    struct dpc_attention other = *in;
    other.cosines = in->sines;
    other.sines = in->cosines;
    rightly(out, lse, &other, unit, first, scratch);
}

static void
fill_tables(void)
{
    fake_table_fp32(&card.tables[0]);
    fake_table_fp32(&card.tables[1]);
    fake_table_bf16(&card.tables[2]);
    card.tables[1].name = "fake-tf32";
    rightly = card.tables[2].attention_forward;
    if (is_wrong())
        card.tables[2].attention_forward = attend_wrongly;
    bool lacks = strcmp(setting("FAKE_CARD_LACKS"), "attention") == 0;
    for (size_t i = 0; lacks && i < 3; i++) {
        card.tables[i].attention_forward = NULL;
        card.tables[i].attention_backward = NULL;
        card.tables[i].attention_scratch_bytes = NULL;
    }
}

static int
open_card(uint32_t index, uint64_t *memory_bytes, char *ret_reason)
{
    uint32_t count;
    int code = count_cards(&count, ret_reason);
    if (code != DPC_OK || index >= count)
        return say(ret_reason, DPC_EDEVICE, "there is no such card");
    if (card.is_open)
        return say(ret_reason, DPC_EBUSY, "a card is open");
    if (*setting("FAKE_CARD_CLOSED"))
        return say(ret_reason, DPC_EDEVICE, "the fake card does not open");
    if (spoiled && *setting("FAKE_CARD_STICKY"))
        return say(ret_reason, DPC_EDEVICE, "the fake card's context is spoiled");
    memset(&card, 0, sizeof card);
    if (*memory_bytes == 0 || *memory_bytes > card_bytes())
        *memory_bytes = card_bytes();
    card.memory_bytes = *memory_bytes;
    card.is_open = true;
    fill_tables();
    return DPC_OK;
}

static void
close_card(void)
{
    for (size_t i = 0; i < REGIONS_MAX; i++)
        release(card.regions[i].base);
    card.is_open = false;
}

static const struct dpc_ops *
table(enum dpc_dtype dtype, bool tf32)
{
    return &card.tables[dtype == DPC_BF16 ? 2 : tf32 ? 1 : 0];
}

static const char *
failure(void)
{
    return card.failure;
}

static int
others_percent(uint32_t index, uint32_t *ret_percent)
{
    const char *text = setting("FAKE_CARD_BUSY");
    (void)index;
    if (!*text)
        return DPC_EUNSUPPORTED;
    *ret_percent =
        names_file(text) ? (file_exists(text) ? 100 : 0) : (uint32_t)strtoul(text, NULL, 10);
    return DPC_OK;
}

__attribute__((visibility("default"))) struct dpc_card_plugin dpc_card_plugin = {
    .abi = DPC_CARD_ABI,
    .ops_bytes = sizeof(struct dpc_ops),
    .count = count_cards,
    .describe = describe,
    .open = open_card,
    .close = close_card,
    .table = table,
    .failure = failure,
    .others_percent = others_percent,
};

__attribute__((constructor)) static void
choose_abi(void)
{
    const char *text = setting("FAKE_CARD_ABI");
    if (*text)
        dpc_card_plugin.abi = (uint32_t)strtoul(text, NULL, 10);
}
