/* SPDX-License-Identifier: Apache-2.0
 * A table with open addressing. A hash is random already: its first bytes are its place. Entries go
 * only when all older ones go, by building the table anew. */
#include "storage/db/touched.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"

enum { PLACES_MIN = 64 };

struct entry {
    struct dpc_hash hash;
    uint64_t at; /* which touch it was, from 1 on; 0: an empty place */
};

struct dpc_touched {
    pthread_mutex_t lock;
    uint64_t touches;
    size_t used, places; /* a power of two, at least twice what is used */
    struct entry *entries;
};

struct dpc_touched *
dpc_touched_create(void)
{
    struct dpc_touched *touched = dpc_alloc(1, sizeof *touched);
    pthread_mutex_init(&touched->lock, NULL);
    touched->places = PLACES_MIN;
    touched->entries = dpc_alloc(touched->places, sizeof *touched->entries);
    return touched;
}

struct dpc_touched *
dpc_touched_destroy(struct dpc_touched *touched)
{
    if (!touched)
        return NULL;
    pthread_mutex_destroy(&touched->lock);
    dpc_free(touched->entries);
    return dpc_free(touched);
}

/* The entry of a hash, or the empty place where it belongs. */
static struct entry *
find(const struct dpc_touched *touched, const struct dpc_hash *hash)
{
    uint64_t start;
    memcpy(&start, hash->bytes, sizeof start);
    for (size_t i = (size_t)start;; i++) {
        struct entry *entry = &touched->entries[i & (touched->places - 1)];
        if (!entry->at || dpc_hash_equal(&entry->hash, hash))
            return entry;
    }
}

/* A table for twice `used` entries with those touched behind `horizon`. */
static void
rebuild(struct dpc_touched *touched, size_t used, uint64_t horizon)
{
    struct entry *old = touched->entries;
    size_t old_places = touched->places;
    touched->places = PLACES_MIN;
    while (touched->places < 4 * used)
        touched->places *= 2;
    touched->entries = dpc_alloc(touched->places, sizeof *touched->entries);
    touched->used = 0;
    for (size_t i = 0; i < old_places; i++) {
        if (old[i].at <= horizon)
            continue;
        *find(touched, &old[i].hash) = old[i];
        touched->used++;
    }
    dpc_free(old);
}

void
dpc_touched_add(struct dpc_touched *touched, const struct dpc_hash *hash)
{
    dpc_touched_lock(touched);
    if (2 * (touched->used + 1) > touched->places)
        rebuild(touched, touched->used + 1, 0);
    struct entry *entry = find(touched, hash);
    touched->used += entry->at == 0;
    entry->hash = *hash;
    entry->at = ++touched->touches;
    dpc_touched_unlock(touched);
}

bool
dpc_touched_again(struct dpc_touched *touched, const struct dpc_hash *hash)
{
    dpc_touched_lock(touched);
    struct entry *entry = find(touched, hash);
    bool known = entry->at > 0;
    if (known)
        entry->at = ++touched->touches;
    dpc_touched_unlock(touched);
    return known;
}

uint64_t
dpc_touched_count(struct dpc_touched *touched)
{
    dpc_touched_lock(touched);
    uint64_t count = touched->touches;
    dpc_touched_unlock(touched);
    return count;
}

void
dpc_touched_lock(struct dpc_touched *touched)
{
    pthread_mutex_lock(&touched->lock);
}

void
dpc_touched_unlock(struct dpc_touched *touched)
{
    pthread_mutex_unlock(&touched->lock);
}

bool
dpc_touched_since(const struct dpc_touched *touched, const struct dpc_hash *hash, uint64_t horizon)
{
    return find(touched, hash)->at > horizon;
}

void
dpc_touched_forget(struct dpc_touched *touched, uint64_t horizon)
{
    size_t kept = 0;
    dpc_touched_lock(touched);
    for (size_t i = 0; i < touched->places; i++)
        kept += touched->entries[i].at > horizon;
    rebuild(touched, kept, horizon);
    dpc_touched_unlock(touched);
}
