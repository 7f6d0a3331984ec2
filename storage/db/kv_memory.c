/* SPDX-License-Identifier: Apache-2.0
 * The kv in memory: a sorted array of entries for each family. A scan works on a copy of what it
 * will visit, so that it sees one state, as RocksDB's iterator does, and a visitor may call back.
 */
#include "storage/db/kv.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

struct entry {
    size_t key_len, value_len;
    uint8_t bytes[]; /* the key, then the value */
};

struct family {
    struct entry **entries; /* by key */
    size_t count, capacity;
};

struct memory_kv {
    struct dpc_kv kv;
    pthread_mutex_t lock;
    struct family families[DPC_KV_FAMILIES];
};

static struct memory_kv *
memory_of(struct dpc_kv *kv)
{
    return (struct memory_kv *)kv; /* `kv` is the first member */
}

static int
compare(const struct entry *entry, const void *key, size_t key_len)
{
    size_t shorter = entry->key_len < key_len ? entry->key_len : key_len;
    int order = shorter ? memcmp(entry->bytes, key, shorter) : 0;
    return order ? order : (entry->key_len > key_len) - (entry->key_len < key_len);
}

/* Index of the first entry whose key is not below `key`. */
static size_t
lower_bound(const struct family *family, const void *key, size_t key_len)
{
    size_t low = 0, high = family->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(family->entries[middle], key, key_len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry **
find(const struct family *family, const void *key, size_t key_len)
{
    size_t at = lower_bound(family, key, key_len);
    bool there = at < family->count && compare(family->entries[at], key, key_len) == 0;
    return there ? &family->entries[at] : NULL;
}

static struct entry *
make_entry(const void *key, size_t key_len, const void *value, size_t value_len)
{
    struct entry *entry = dpc_alloc(1, sizeof *entry + key_len + value_len);
    entry->key_len = key_len;
    entry->value_len = value_len;
    memcpy(entry->bytes, key, key_len);
    if (value_len)
        memcpy(entry->bytes + key_len, value, value_len);
    return entry;
}

static void
put(struct family *family, struct entry *entry)
{
    struct entry **old = find(family, entry->bytes, entry->key_len);
    if (old) {
        dpc_free(*old);
        *old = entry;
        return;
    }
    if (family->count == family->capacity) {
        family->capacity = family->capacity ? 2 * family->capacity : 64;
        family->entries = dpc_grow(family->entries, family->capacity, sizeof(struct entry *));
    }
    size_t at = lower_bound(family, entry->bytes, entry->key_len);
    memmove(family->entries + at + 1, family->entries + at,
            (family->count - at) * sizeof(struct entry *));
    family->entries[at] = entry;
    family->count++;
}

static void
drop(struct family *family, const void *key, size_t key_len)
{
    struct entry **old = find(family, key, key_len);
    if (!old)
        return;
    dpc_free(*old);
    size_t at = (size_t)(old - family->entries);
    memmove(old, old + 1, (family->count - at - 1) * sizeof(struct entry *));
    family->count--;
}

static void
apply(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
      const uint8_t *value, size_t value_len)
{
    struct memory_kv *memory = context;
    if (value)
        put(&memory->families[family], make_entry(key, key_len, value, value_len));
    else
        drop(&memory->families[family], key, key_len);
}

static int
memory_get(struct dpc_kv *kv, enum dpc_kv_family family, const void *key, size_t key_len,
           uint8_t **ret_value, size_t *ret_len, struct dpc_error *err)
{
    struct memory_kv *memory = memory_of(kv);
    pthread_mutex_lock(&memory->lock);
    struct entry **entry = find(&memory->families[family], key, key_len);
    if (entry) {
        uint8_t *value = dpc_alloc((*entry)->value_len, 1);
        memcpy(value, (*entry)->bytes + key_len, (*entry)->value_len);
        *ret_value = value;
        *ret_len = (*entry)->value_len;
    }
    pthread_mutex_unlock(&memory->lock);
    return entry ? DPC_OK : dpc_error_set(err, DPC_ENOTFOUND, "the database has no such key");
}

static int
memory_write(struct dpc_kv *kv, const struct dpc_kv_batch *batch, struct dpc_error *err)
{
    struct memory_kv *memory = memory_of(kv);
    pthread_mutex_lock(&memory->lock);
    int code = dpc_kv_batch_each(batch, apply, memory);
    pthread_mutex_unlock(&memory->lock);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not write to the database: %s",
                             dpc_error_words(code));
    return DPC_OK;
}

static bool
has_prefix(const struct entry *entry, const void *prefix, size_t prefix_len)
{
    return entry->key_len >= prefix_len &&
           (prefix_len == 0 || memcmp(entry->bytes, prefix, prefix_len) == 0);
}

/* Copies of the entries to visit; `*ret_count` of them. */
static struct entry **
snapshot(struct memory_kv *memory, enum dpc_kv_family which, const void *prefix, size_t prefix_len,
         const void *after, size_t after_len, size_t *ret_count)
{
    struct family *family = &memory->families[which];
    pthread_mutex_lock(&memory->lock);
    size_t first = lower_bound(family, prefix, prefix_len);
    if (after) {
        size_t behind = lower_bound(family, after, after_len);
        if (behind < family->count && compare(family->entries[behind], after, after_len) == 0)
            behind++;
        if (behind > first)
            first = behind;
    }
    size_t end = first;
    while (end < family->count && has_prefix(family->entries[end], prefix, prefix_len))
        end++;
    struct entry **copies = dpc_alloc(end - first, sizeof *copies);
    for (size_t i = first; i < end; i++) {
        const struct entry *entry = family->entries[i];
        copies[i - first] = make_entry(entry->bytes, entry->key_len, entry->bytes + entry->key_len,
                                       entry->value_len);
    }
    pthread_mutex_unlock(&memory->lock);
    *ret_count = end - first;
    return copies;
}

static int
memory_scan(struct dpc_kv *kv, enum dpc_kv_family family, const void *prefix, size_t prefix_len,
            const void *after, size_t after_len,
            bool (*visit)(void *, const uint8_t *, size_t, const uint8_t *, size_t), void *context,
            struct dpc_error *err)
{
    (void)err;
    size_t count;
    struct entry **copies =
        snapshot(memory_of(kv), family, prefix, prefix_len, after, after_len, &count);
    bool more = true;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = copies[i];
        more = more && visit(context, entry->bytes, entry->key_len, entry->bytes + entry->key_len,
                             entry->value_len);
        dpc_free(copies[i]);
    }
    dpc_free(copies);
    return DPC_OK;
}

static void
memory_close(struct dpc_kv *kv)
{
    struct memory_kv *memory = memory_of(kv);
    for (size_t f = 0; f < DPC_KV_FAMILIES; f++) {
        for (size_t i = 0; i < memory->families[f].count; i++)
            dpc_free(memory->families[f].entries[i]);
        dpc_free(memory->families[f].entries);
    }
    pthread_mutex_destroy(&memory->lock);
    dpc_free(memory);
}

static int
memory_checkpoint(struct dpc_kv *kv, const char *folder, struct dpc_error *err)
{
    (void)kv;
    return dpc_error_set(err, DPC_EUNSUPPORTED,
                         "a database in memory has no files that \"%s\" could hold", folder);
}

static const struct dpc_kv_ops memory_ops = {
    .checkpoint = memory_checkpoint,
    .get = memory_get,
    .write = memory_write,
    .scan = memory_scan,
    .close = memory_close,
};

int
dpc_kv_open_memory(struct dpc_kv **ret_kv)
{
    struct memory_kv *memory = dpc_alloc(1, sizeof *memory);
    memory->kv.ops = &memory_ops;
    pthread_mutex_init(&memory->lock, NULL);
    *ret_kv = &memory->kv;
    return DPC_OK;
}
