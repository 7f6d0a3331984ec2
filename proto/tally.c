/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/tally.h"

void
dpc_tally_reset(struct dpc_tally *tally, int fd, bool counted)
{
    if (!dpc_tally_has_place(fd))
        return;
    atomic_store(&tally->places[fd].counted, false);
    atomic_fetch_sub(&tally->by_all, atomic_exchange(&tally->places[fd].bytes, 0));
    atomic_store(&tally->places[fd].counted, counted);
}

uint64_t
dpc_tally_add(struct dpc_tally *tally, int fd, uint64_t bytes, uint64_t *ret_by_all)
{
    *ret_by_all = atomic_fetch_add(&tally->by_all, bytes) + bytes;
    return atomic_fetch_add(&tally->places[fd].bytes, bytes) + bytes;
}

void
dpc_tally_take(struct dpc_tally *tally, int fd, uint64_t bytes)
{
    if (!dpc_tally_has_place(fd))
        return;
    uint64_t before = atomic_load(&tally->places[fd].bytes), less;
    do
        less = bytes < before ? bytes : before;
    while (!atomic_compare_exchange_weak(&tally->places[fd].bytes, &before, before - less));
    atomic_fetch_sub(&tally->by_all, less);
}
