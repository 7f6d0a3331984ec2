/* SPDX-License-Identifier: Apache-2.0
 * Chains over an array of names. Which name goes is found by a second chance: a hand goes round
 * over the array and takes the first that nobody has asked for since it last passed. So a blob that
 * is being sent stays, however many others are read through meanwhile. A hash is random already:
 * its first bytes say which chain it belongs to. */
#include "coordinator/verified.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"

struct name {
    struct dpc_hash hash;
    uint32_t next; /* in its chain, from 1; 0: it is the last */
    bool asked;    /* for, since the hand last passed */
};

struct dpc_verified {
    uint32_t capacity, count, hand;
    struct name *names; /* [capacity] */
    uint32_t *chains;   /* [capacity], the first name of each, from 1; 0: it is empty */
};

struct dpc_verified *
dpc_verified_create(uint32_t capacity)
{
    assert(capacity > 0);
    struct dpc_verified *verified = dpc_alloc(1, sizeof *verified);
    verified->capacity = capacity;
    verified->names = dpc_alloc(capacity, sizeof *verified->names);
    verified->chains = dpc_alloc(capacity, sizeof *verified->chains);
    return verified;
}

struct dpc_verified *
dpc_verified_destroy(struct dpc_verified *verified)
{
    if (!verified)
        return NULL;
    dpc_free(verified->names);
    dpc_free(verified->chains);
    return dpc_free(verified);
}

static uint32_t *
chain_of(struct dpc_verified *verified, const struct dpc_hash *hash)
{
    uint64_t number;
    memcpy(&number, hash->bytes, sizeof number);
    return &verified->chains[number % verified->capacity];
}

/* What leads to the name; it is 0 where there is none. */
static uint32_t *
find(struct dpc_verified *verified, const struct dpc_hash *hash)
{
    uint32_t *link = chain_of(verified, hash);
    while (*link && !dpc_hash_equal(&verified->names[*link - 1].hash, hash))
        link = &verified->names[*link - 1].next;
    return link;
}

static void
move_hand(struct dpc_verified *verified)
{
    verified->hand = (verified->hand + 1) % verified->capacity;
}

/* For a new name; an old one goes where all are taken. */
static struct name *
find_place(struct dpc_verified *verified)
{
    if (verified->count < verified->capacity)
        return &verified->names[verified->count++];
    for (; verified->names[verified->hand].asked; move_hand(verified))
        verified->names[verified->hand].asked = false;
    struct name *name = &verified->names[verified->hand];
    *find(verified, &name->hash) = name->next;
    move_hand(verified);
    return name;
}

void
dpc_verified_add(struct dpc_verified *verified, const struct dpc_hash *hash)
{
    if (*find(verified, hash))
        return;
    struct name *name = find_place(verified);
    uint32_t *chain = chain_of(verified, hash);
    *name = (struct name){.hash = *hash, .next = *chain};
    *chain = (uint32_t)(name - verified->names) + 1;
}

bool
dpc_verified_has(struct dpc_verified *verified, const struct dpc_hash *hash)
{
    uint32_t found = *find(verified, hash);
    if (found)
        verified->names[found - 1].asked = true;
    return found != 0;
}
