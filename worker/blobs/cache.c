/* SPDX-License-Identifier: Apache-2.0
 * An index of what lies in the folder, under a mutex; files are read and written outside of it. A
 * blob leaves the index before its file goes, so no call finds a name without a file; pinned ones
 * never leave while somebody may read them. */
#include "worker/blobs/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "storage/blob/blob.h"

struct entry {
    struct dpc_blob_ref ref;
    uint64_t used; /* the cache's counter at the last use */
    uint32_t next; /* in its chain, from 1; 0: it is the last */
};

struct dpc_cache {
    struct dpc_blobs *blobs;
    uint64_t budget;
    pthread_mutex_t lock; /* what stands below */
    uint64_t bytes, uses;
    struct entry *entries;
    size_t entries_count, entries_capacity; /* a power of two */
    uint32_t *chains; /* [entries_capacity], the first entry of each, from 1; 0: it is empty */
    struct held {
        uint32_t path;
        struct dpc_hash hash;
    } * held;
    size_t held_count, held_capacity;
    struct pin {
        struct dpc_hash hash;
        enum dpc_cache_use use;
    } * pins;
    size_t pins_count, pins_capacity;
    /* Blobs of the lease in hand that are on their way: their room is taken, as whole ones. */
    struct dpc_blob_ref *arriving;
    size_t arriving_count, arriving_capacity;
    uint64_t arriving_bytes;
    atomic_bool lost; /* the folder was taken away */
};

/* --- The index; all with the lock held. */

/* What leads to the entry, by a chain that the hash's first bytes name; it is 0 where there is
 * none. Small models leave very many blobs. */
static uint32_t *
link_to(const struct dpc_cache *cache, const struct dpc_hash *hash)
{
    uint64_t number;
    memcpy(&number, hash->bytes, sizeof number);
    uint32_t *link = &cache->chains[number & (cache->entries_capacity - 1)];
    while (*link && !dpc_hash_equal(&cache->entries[*link - 1].ref.hash, hash))
        link = &cache->entries[*link - 1].next;
    return link;
}

static struct entry *
find(const struct dpc_cache *cache, const struct dpc_hash *hash)
{
    uint32_t found = cache->entries_capacity ? *link_to(cache, hash) : 0;
    return found ? &cache->entries[found - 1] : NULL;
}

static void
link_entry(struct dpc_cache *cache, size_t index)
{
    cache->entries[index].next = 0;
    *link_to(cache, &cache->entries[index].ref.hash) = (uint32_t)index + 1;
}

static void
grow_entries(struct dpc_cache *cache)
{
    cache->entries_capacity = cache->entries_capacity ? 2 * cache->entries_capacity : 64;
    cache->entries = dpc_grow(cache->entries, cache->entries_capacity, sizeof *cache->entries);
    dpc_free(cache->chains);
    cache->chains = dpc_alloc(cache->entries_capacity, sizeof *cache->chains);
    for (size_t i = 0; i < cache->entries_count; i++)
        link_entry(cache, i);
}

static bool
is_pinned(const struct dpc_cache *cache, const struct dpc_hash *hash)
{
    for (size_t i = 0; i < cache->pins_count; i++) {
        if (dpc_hash_equal(&cache->pins[i].hash, hash))
            return true;
    }
    return false;
}

static void
add_pin(struct dpc_cache *cache, enum dpc_cache_use use, const struct dpc_hash *hash)
{
    for (size_t i = 0; i < cache->pins_count; i++) {
        if (cache->pins[i].use == use && dpc_hash_equal(&cache->pins[i].hash, hash))
            return;
    }
    if (cache->pins_count == cache->pins_capacity) {
        cache->pins_capacity = cache->pins_capacity ? 2 * cache->pins_capacity : 16;
        cache->pins = dpc_grow(cache->pins, cache->pins_capacity, sizeof *cache->pins);
    }
    cache->pins[cache->pins_count++] = (struct pin){*hash, use};
}

static void
add_entry(struct dpc_cache *cache, const struct dpc_blob_ref *ref)
{
    struct entry *entry = find(cache, &ref->hash);
    if (!entry) {
        if (cache->entries_count == cache->entries_capacity)
            grow_entries(cache);
        entry = &cache->entries[cache->entries_count];
        entry->ref = *ref;
        link_entry(cache, cache->entries_count++);
        cache->bytes += ref->bytes;
    }
    entry->used = ++cache->uses;
}

static void
remove_entry(struct dpc_cache *cache, struct entry *entry)
{
    struct entry *last = &cache->entries[cache->entries_count - 1];
    cache->bytes -= entry->ref.bytes;
    *link_to(cache, &entry->ref.hash) = entry->next;
    if (entry != last) {
        *link_to(cache, &last->ref.hash) = (uint32_t)(entry - cache->entries) + 1;
        *entry = *last;
    }
    cache->entries_count--;
}

static struct dpc_blob_ref *
find_arriving(struct dpc_cache *cache, const struct dpc_hash *hash)
{
    for (size_t i = 0; i < cache->arriving_count; i++) {
        if (dpc_hash_equal(&cache->arriving[i].hash, hash))
            return &cache->arriving[i];
    }
    return NULL;
}

static void
add_arriving(struct dpc_cache *cache, const struct dpc_blob_ref *ref)
{
    if (cache->arriving_count == cache->arriving_capacity) {
        cache->arriving_capacity = cache->arriving_capacity ? 2 * cache->arriving_capacity : 16;
        cache->arriving =
            dpc_grow(cache->arriving, cache->arriving_capacity, sizeof *cache->arriving);
    }
    cache->arriving[cache->arriving_count++] = *ref;
    cache->arriving_bytes += ref->bytes;
}

static void
remove_arriving(struct dpc_cache *cache, const struct dpc_hash *hash)
{
    struct dpc_blob_ref *ref = find_arriving(cache, hash);
    if (!ref)
        return;
    cache->arriving_bytes -= ref->bytes;
    *ref = cache->arriving[--cache->arriving_count];
}

static bool
is_held(const struct dpc_cache *cache, const struct dpc_hash *hash)
{
    for (size_t i = 0; i < cache->held_count; i++) {
        if (dpc_hash_equal(&cache->held[i].hash, hash))
            return true;
    }
    return false;
}

static struct entry *
least_used(struct dpc_cache *cache, bool held)
{
    struct entry *least = NULL;
    for (size_t i = 0; i < cache->entries_count; i++) {
        struct entry *entry = &cache->entries[i];
        if (is_held(cache, &entry->ref.hash) == held && !is_pinned(cache, &entry->ref.hash) &&
            (!least || entry->used < least->used))
            least = entry;
    }
    return least;
}

static struct entry *
first_to_go(struct dpc_cache *cache)
{
    struct entry *least = least_used(cache, false);
    return least ? least : least_used(cache, true);
}

/* --- With the lock taken inside. */

static void
touch(struct dpc_cache *cache, const struct dpc_blob_ref *ref)
{
    pthread_mutex_lock(&cache->lock);
    add_entry(cache, ref);
    pthread_mutex_unlock(&cache->lock);
}

static void
drop(struct dpc_cache *cache, const struct dpc_hash *hash)
{
    pthread_mutex_lock(&cache->lock);
    struct entry *entry = find(cache, hash);
    if (entry)
        remove_entry(cache, entry);
    pthread_mutex_unlock(&cache->lock);
    /* One that cannot be removed is found out again at its next use. */
    int code = dpc_blobs_remove(cache->blobs, hash);
    (void)code;
}

/* What has come of blobs whose lease is over: it may be asked for again, and is first to go. */
struct partials {
    struct dpc_cache *cache;
    bool discards;
    uint64_t bytes; /* left */
};

static void
note_partial(void *context, const struct dpc_hash *hash)
{
    struct partials *partials = context;
    struct dpc_cache *cache = partials->cache;
    if (is_pinned(cache, hash) || find_arriving(cache, hash))
        return;
    if (partials->discards)
        dpc_blobs_discard(cache->blobs, hash);
    partials->bytes += dpc_blobs_partial(cache->blobs, hash);
}

/* Beside what is here and what is on its way. */
static bool
fits(const struct dpc_cache *cache, uint64_t bytes)
{
    uint64_t left = cache->budget - cache->arriving_bytes;
    return cache->arriving_bytes <= cache->budget && bytes <= left && cache->bytes <= left - bytes;
}

/* Unless they fit the budget beside `bytes` more. `*ret_made`: there is more room now. */
static int
discard_partials(struct dpc_cache *cache, uint64_t bytes, bool *ret_made)
{
    struct partials partials = {.cache = cache};
    int code = dpc_blobs_list_partials(cache->blobs, note_partial, &partials, NULL);
    uint64_t before = partials.bytes;
    *ret_made = false;
    if (code != DPC_OK || partials.bytes == 0 ||
        (bytes <= cache->budget && fits(cache, bytes + partials.bytes)))
        return code;
    partials = (struct partials){.cache = cache, .discards = true};
    code = dpc_blobs_list_partials(cache->blobs, note_partial, &partials, NULL);
    *ret_made = partials.bytes < before;
    return code;
}

static int
evict(struct dpc_cache *cache, struct entry *entry)
{
    struct dpc_hash hash = entry->ref.hash;
    remove_entry(cache, entry);
    return dpc_blobs_remove(cache->blobs, &hash);
}

/* The disk is full although the budget is not; false when there is nothing that is not needed. */
static bool
make_room_on_disk(struct dpc_cache *cache)
{
    bool made;
    pthread_mutex_lock(&cache->lock);
    int code = discard_partials(cache, UINT64_MAX, &made);
    struct entry *entry = code == DPC_OK && !made ? least_used(cache, false) : NULL;
    if (entry)
        made = evict(cache, entry) == DPC_OK;
    pthread_mutex_unlock(&cache->lock);
    return code == DPC_OK && made;
}

static uint64_t
pinned_bytes(const struct dpc_cache *cache)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < cache->entries_count; i++)
        bytes += is_pinned(cache, &cache->entries[i].ref.hash) ? cache->entries[i].ref.bytes : 0;
    return bytes;
}

static bool
could_fit(const struct dpc_cache *cache, uint64_t bytes)
{
    uint64_t needed = pinned_bytes(cache) + cache->arriving_bytes;
    return needed <= cache->budget && bytes <= cache->budget - needed;
}

bool
dpc_cache_has_room(struct dpc_cache *cache, uint64_t bytes)
{
    pthread_mutex_lock(&cache->lock);
    bool could = could_fit(cache, bytes);
    pthread_mutex_unlock(&cache->lock);
    return could;
}

/* Evicts until `bytes` more fit the budget, or nothing where they would not fit in the end; the
 * lock held. */
static int
make_room_locked(struct dpc_cache *cache, uint64_t bytes)
{
    bool made;
    if (!could_fit(cache, bytes))
        return DPC_ENOSPACE;
    int code = discard_partials(cache, bytes, &made);
    while (code == DPC_OK && !fits(cache, bytes)) {
        struct entry *entry = first_to_go(cache);
        code = entry ? evict(cache, entry) : DPC_ENOSPACE;
    }
    return code;
}

static int
make_room(struct dpc_cache *cache, uint64_t bytes)
{
    pthread_mutex_lock(&cache->lock);
    int code = make_room_locked(cache, bytes);
    pthread_mutex_unlock(&cache->lock);
    return code;
}

/* For a whole blob before its first piece: many that come beside each other would otherwise fill
 * the disk together. */
static int
make_room_to_arrive(struct dpc_cache *cache, const struct dpc_blob_ref *ref)
{
    int code = DPC_OK;
    pthread_mutex_lock(&cache->lock);
    if (!find_arriving(cache, &ref->hash)) {
        code = make_room_locked(cache, ref->bytes);
        if (code == DPC_OK)
            add_arriving(cache, ref);
    }
    pthread_mutex_unlock(&cache->lock);
    return code;
}

/* Without the folder nothing can be written until it is made again, by the next process. */
static int
note_lost(struct dpc_cache *cache, int code)
{
    if (code == DPC_ENOTFOUND)
        atomic_store(&cache->lost, true);
    return code;
}

static int
no_room(const struct dpc_cache *cache, int code, uint64_t bytes, struct dpc_error *err)
{
    if (code != DPC_ENOSPACE)
        return dpc_error_set(err, code, "could not make room in the cache: %s",
                             dpc_error_words(code));
    return dpc_error_set(err, code,
                         "the cache has no room for %llu bytes beside what leases need "
                         "(it may hold %llu): raise --cache-mib",
                         (unsigned long long)bytes, (unsigned long long)cache->budget);
}

/* --- Whole blobs. */

/* One that cannot be what it is called goes; `code` says what reading it came to. */
static int
settle(struct dpc_cache *cache, const struct dpc_blob_ref *ref, int code, uint64_t len,
       struct dpc_error *err)
{
    if (code == DPC_ECORRUPT || code == DPC_EHASH) {
        drop(cache, &ref->hash);
        return DPC_ECORRUPT;
    }
    if (code == DPC_OK && len != ref->bytes)
        return dpc_error_set(err, DPC_EPROTO,
                             "a blob has %llu bytes and not %llu as the lease says",
                             (unsigned long long)len, (unsigned long long)ref->bytes);
    if (code == DPC_OK)
        touch(cache, ref);
    return code;
}

/* Piece by piece: the documents of the dense path are as many bytes as the corpus. */
static int
check_whole(struct dpc_cache *cache, const struct dpc_blob_ref *ref, struct dpc_error *err)
{
    uint64_t len = 0;
    int code = dpc_blobs_verify(cache->blobs, &ref->hash, &len, err);
    return settle(cache, ref, code, len, err);
}

int
dpc_cache_load(struct dpc_cache *cache, const struct dpc_blob_ref *ref, uint8_t **ret_bytes,
               struct dpc_error *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int code = dpc_blobs_load(cache->blobs, &ref->hash, &bytes, &len, err);
    code = settle(cache, ref, code, len, err);
    if (code == DPC_OK)
        *ret_bytes = bytes;
    else
        dpc_free(bytes);
    return code;
}

int
dpc_cache_path(struct dpc_cache *cache, const struct dpc_blob_ref *ref, char *ret_path, size_t size,
               struct dpc_error *err)
{
    int code = check_whole(cache, ref, err);
    if (code != DPC_OK)
        return code;
    code = dpc_blobs_path(cache->blobs, &ref->hash, ret_path, size);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not name a blob of the cache: %s",
                             dpc_error_words(code));
    return DPC_OK;
}

int
dpc_cache_put_hashed(struct dpc_cache *cache, const struct dpc_hash *hash, const void *bytes,
                     size_t len, struct dpc_error *err)
{
    const struct dpc_blob_ref ref = {.hash = *hash, .bytes = len};
    uint64_t there;
    int code = make_room(cache, len);
    if (code != DPC_OK)
        return no_room(cache, code, len, err);
    /* A damaged one that is there already would be handed in again and again. */
    code = dpc_blobs_verify(cache->blobs, &ref.hash, &there, NULL);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        drop(cache, &ref.hash);
    do
        code = dpc_blobs_put_hashed(cache->blobs, &ref.hash, bytes, len, err);
    while (code == DPC_ENOSPACE && make_room_on_disk(cache));
    if (code != DPC_OK)
        return note_lost(cache, code);
    pthread_mutex_lock(&cache->lock);
    add_entry(cache, &ref);
    add_pin(cache, DPC_CACHE_LEASE, &ref.hash);
    pthread_mutex_unlock(&cache->lock);
    return DPC_OK;
}

int
dpc_cache_put(struct dpc_cache *cache, const void *bytes, size_t len, struct dpc_blob_ref *ret_ref,
              struct dpc_error *err)
{
    struct dpc_blob_ref ref = {.bytes = len};
    dpc_hash_of(bytes, len, &ref.hash);
    int code = dpc_cache_put_hashed(cache, &ref.hash, bytes, len, err);
    if (code == DPC_OK)
        *ret_ref = ref;
    return code;
}

void
dpc_cache_pin(struct dpc_cache *cache, enum dpc_cache_use use, const struct dpc_blob_ref *refs,
              uint32_t count)
{
    pthread_mutex_lock(&cache->lock);
    for (uint32_t i = 0; i < count; i++)
        add_pin(cache, use, &refs[i].hash);
    pthread_mutex_unlock(&cache->lock);
}

/* Of this path, made where there is none yet; the lock held. */
static struct held *
held_for(struct dpc_cache *cache, uint32_t path)
{
    for (size_t i = 0; i < cache->held_count; i++) {
        if (cache->held[i].path == path)
            return &cache->held[i];
    }
    if (cache->held_count == cache->held_capacity) {
        cache->held_capacity = cache->held_capacity ? 2 * cache->held_capacity : 16;
        cache->held = dpc_grow(cache->held, cache->held_capacity, sizeof *cache->held);
    }
    cache->held[cache->held_count] = (struct held){.path = path};
    return &cache->held[cache->held_count++];
}

void
dpc_cache_hold(struct dpc_cache *cache, uint32_t path, const struct dpc_hash *hash)
{
    pthread_mutex_lock(&cache->lock);
    held_for(cache, path)->hash = *hash;
    struct entry *entry = find(cache, hash);
    if (entry)
        entry->used = ++cache->uses;
    pthread_mutex_unlock(&cache->lock);
}

void
dpc_cache_unpin(struct dpc_cache *cache, enum dpc_cache_use use)
{
    size_t kept = 0;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < cache->pins_count; i++) {
        if (cache->pins[i].use != use)
            cache->pins[kept++] = cache->pins[i];
    }
    cache->pins_count = kept;
    if (use == DPC_CACHE_LEASE) /* nothing else arrives */
        cache->arriving_bytes = cache->arriving_count = 0;
    pthread_mutex_unlock(&cache->lock);
}

uint64_t
dpc_cache_bytes(struct dpc_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    uint64_t bytes = cache->bytes;
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}

bool
dpc_cache_is_broken(const struct dpc_cache *cache)
{
    return dpc_blobs_are_broken(cache->blobs) || atomic_load(&cache->lost);
}

/* --- For transfers. */

static int
files_have(void *context, const struct dpc_blob_ref *ref, uint64_t *ret_bytes)
{
    struct dpc_cache *cache = context;
    uint64_t bytes;
    *ret_bytes = 0;
    if (dpc_blobs_size(cache->blobs, &ref->hash, &bytes) == DPC_OK) {
        if (bytes == ref->bytes) {
            touch(cache, ref);
            return DPC_EEXIST;
        }
        drop(cache, &ref->hash); /* cut or grown on disk */
    }
    bytes = dpc_blobs_partial(cache->blobs, &ref->hash);
    if (bytes > ref->bytes) {
        dpc_blobs_discard(cache->blobs, &ref->hash);
        bytes = 0;
    }
    *ret_bytes = bytes;
    return DPC_OK;
}

static int
files_write(void *context, const struct dpc_blob_ref *ref, uint64_t offset, const void *bytes,
            size_t len)
{
    struct dpc_cache *cache = context;
    int code = make_room_to_arrive(cache, ref);
    if (code != DPC_OK)
        return code;
    do
        code = dpc_blobs_append(cache->blobs, &ref->hash, offset, bytes, len, NULL);
    while (code == DPC_ENOSPACE && make_room_on_disk(cache));
    return note_lost(cache, code);
}

static int
files_finish(void *context, const struct dpc_blob_ref *ref)
{
    struct dpc_cache *cache = context;
    int code = dpc_blobs_finish(cache->blobs, &ref->hash, NULL);
    if (code == DPC_OK) {
        pthread_mutex_lock(&cache->lock);
        remove_arriving(cache, &ref->hash);
        add_entry(cache, ref);
        pthread_mutex_unlock(&cache->lock);
    }
    return note_lost(cache, code);
}

static int
files_read(void *context, const struct dpc_blob_ref *ref, uint64_t offset, void *ret_bytes,
           size_t len)
{
    struct dpc_cache *cache = context;
    int code = dpc_blobs_read(cache->blobs, &ref->hash, offset, ret_bytes, len);
    if (code != DPC_ERANGE && code != DPC_EIO)
        return code;
    /* Cut short, or on a part of the disk that is lost: whoever made it can make it again. */
    drop(cache, &ref->hash);
    return DPC_ECORRUPT;
}

bool
dpc_cache_has(struct dpc_cache *cache, const struct dpc_blob_ref *ref)
{
    uint64_t bytes;
    return files_have(cache, ref, &bytes) == DPC_EEXIST;
}

struct dpc_transfer_files
dpc_cache_files(struct dpc_cache *cache)
{
    return (struct dpc_transfer_files){
        .have = files_have,
        .write = files_write,
        .finish = files_finish,
        .read = files_read,
        .context = cache,
    };
}

/* --- Life. */

static void
visit(void *context, const struct dpc_hash *hash, uint64_t bytes)
{
    add_entry(context, &(struct dpc_blob_ref){*hash, bytes});
}

int
dpc_cache_open(const struct dpc_vfs *vfs, const char *folder, uint64_t budget,
               struct dpc_cache **ret_cache, struct dpc_error *err)
{
    struct dpc_cache *cache = dpc_alloc(1, sizeof *cache);
    cache->budget = budget;
    pthread_mutex_init(&cache->lock, NULL);
    int code = dpc_blobs_open(vfs, folder, &cache->blobs, err);
    if (code == DPC_OK)
        code = dpc_blobs_list(cache->blobs, visit, cache, err);
    if (code == DPC_OK) {
        /* The owner may have lowered the budget since; too much pinned is impossible here. */
        code = make_room(cache, 0);
        if (code != DPC_OK)
            code = no_room(cache, code, 0, err);
    }
    if (code != DPC_OK) {
        dpc_cache_close(cache);
        return code;
    }
    *ret_cache = cache;
    return DPC_OK;
}

struct dpc_cache *
dpc_cache_close(struct dpc_cache *cache)
{
    if (!cache)
        return NULL;
    cache->blobs = dpc_blobs_close(cache->blobs);
    dpc_free(cache->entries);
    dpc_free(cache->chains);
    dpc_free(cache->held);
    dpc_free(cache->pins);
    dpc_free(cache->arriving);
    pthread_mutex_destroy(&cache->lock);
    return dpc_free(cache);
}
