/* SPDX-License-Identifier: Apache-2.0
 *
 * What happened, as lines of JSON appended to a file: for who wants to know later, or at once
 * (tail -f). docs/events.md lists the kinds.
 *
 * Owns: the file, from _open to _close. Threads: one; a line is one write, which goes to the page
 * cache. Limits: lines that cannot be written are counted and left out: that is told once, and once
 * more when they can be again. They are no record that anything depends on: that is the store.
 */
#ifndef DPC_COORDINATOR_EVENTS_H
#define DPC_COORDINATOR_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dpc_events;

/* Appends to `path`, which is made when it is missing, readable for its user and group. */
int dpc_events_open(const char *path, struct dpc_events **ret_events,
                    struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL. */
struct dpc_events *dpc_events_close(struct dpc_events *events);
/* The file of that name as it is now, which may be another one since. Where that cannot be opened
 * it goes on with the one that it has. */
void dpc_events_reopen(struct dpc_events *events);

struct dpc_event_field {
    const char *key;
    const char *text; /* NULL: `number` counts */
    int64_t number;
};
#define DPC_FIELD_TEXT(key, text)     {(key), (text), 0}
#define DPC_FIELD_NUMBER(key, number) {(key), NULL, (int64_t)(number)}
/* {"time": .., "event": .., then the fields} */
void dpc_events_put(struct dpc_events *events, const char *event,
                    const struct dpc_event_field *fields, size_t fields_count);

enum { DPC_EVENT_TIME_MAX = 32 };
/* "2026-11-29T16:00:00.123Z" (RFC 3339) from milliseconds of Unix time. */
void dpc_events_time(int64_t unix_ms, char ret_text[DPC_EVENT_TIME_MAX]);

#endif
