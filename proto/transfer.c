/* SPDX-License-Identifier: Apache-2.0
 * A list of blobs (items) and DPC_TRANSFER_CREDIT requests under way (slots). Both directions go
 * back N: bytes are taken in order only, and a hole means that what lies before it is lost, so the
 * item is wound back to what stands and asked for from there. A connection keeps order, so holes
 * come from breaks alone, and memory stays at one chunk.
 *
 * What is under way is lost when the link has a new connection (its epoch grew), and taken for lost
 * when no answer came within the retry time. That follows from measured answers as in TCP (RFC
 * 6298: mean plus four deviations, doubled at each miss), with one request open until one is
 * answered: a slow coordinator is asked less, not more. An answer is used even if its request was
 * given up. */
#include "proto/transfer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

enum {
    /* Nothing is known before the first answer: 30 s pass a chunk at 17 kB/s. */
    RETRY_MS_FIRST = 30 * 1000,
    /* A pause of the coordinator (a sync, a hash) is no loss, however fast the line. */
    RETRY_MS_MIN = 1000,
    RETRY_MS_MAX = 10 * 60 * 1000,
    DOUBLINGS_MAX = 10,
    /* A coordinator without room is asked again after 1, 2, 4, 8 and then each 16 s. */
    PAUSE_MS_MIN = 1000,
    PAUSE_DOUBLINGS_MAX = 4,
    HASH_FAILURES_MAX = 2,
};

enum step { STEP_FETCH, STEP_OFFER, STEP_PUT };

struct item {
    struct item *next;
    struct dpc_blob_ref blob;
    bool upload;
    enum step step; /* what the next request is */
    uint64_t done;  /* bytes that stand at the receiving end */
    uint64_t asked; /* bytes asked for, or sent: done or more */
    unsigned hash_failures;
};

struct slot {
    struct item *item; /* NULL: free */
    enum step step;
    uint64_t request;
    uint64_t offset;
    size_t len;
    int64_t sent_ms;
};

/* Times of answers, in ms. */
struct pace {
    bool measured;
    double mean, deviation;
    unsigned doublings;
    int64_t answer_ms; /* when the last answer came */
};

struct dpc_transfer {
    struct dpc_transfer_wire wire;
    struct dpc_transfer_files files;
    struct dpc_transfer_gate gate; /* `may` NULL: none */
    struct item *items;
    struct slot slots[DPC_TRANSFER_CREDIT];
    struct pace pace;
    uint64_t epoch;
    bool unheard; /* something was asked on this connection, and nothing at all has come since */
    int64_t asked_ms; /* first */
    int64_t paused_until_ms;
    unsigned pauses; /* since something moved */
    uint64_t next_request;
    uint64_t bytes_fetched, bytes_put;
    uint8_t *chunk; /* DPC_TRANSFER_CHUNK bytes on their way out */
};

static int
link_send(void *context, const struct dpc_msg *msg)
{
    return dpc_link_send(context, msg);
}

static uint64_t
link_epoch(void *context)
{
    return dpc_link_epoch(context);
}

struct dpc_transfer *
dpc_transfer_create(struct dpc_link *link, const struct dpc_transfer_files *files)
{
    struct dpc_transfer_wire wire = {.send = link_send, .epoch = link_epoch, .context = link};
    return dpc_transfer_create_on(&wire, files);
}

struct dpc_transfer *
dpc_transfer_create_on(const struct dpc_transfer_wire *wire, const struct dpc_transfer_files *files)
{
    struct dpc_transfer *transfer = dpc_alloc(1, sizeof *transfer);
    transfer->wire = *wire;
    transfer->files = *files;
    transfer->epoch = wire->epoch(wire->context);
    /* Another transfer on this link may have answers under way. */
    dpc_random_bytes(&transfer->next_request, sizeof transfer->next_request);
    transfer->chunk = dpc_alloc(DPC_TRANSFER_CHUNK, 1);
    return transfer;
}

void
dpc_transfer_set_gate(struct dpc_transfer *transfer, const struct dpc_transfer_gate *gate)
{
    transfer->gate = gate ? *gate : (struct dpc_transfer_gate){.may = NULL};
}

struct dpc_transfer *
dpc_transfer_destroy(struct dpc_transfer *transfer)
{
    if (!transfer)
        return NULL;
    dpc_transfer_cancel(transfer);
    dpc_free(transfer->chunk);
    return dpc_free(transfer);
}

bool
dpc_transfer_idle(const struct dpc_transfer *transfer)
{
    return transfer->items == NULL;
}

bool
dpc_transfer_is_stuck(const struct dpc_transfer *transfer, int64_t now_ms)
{
    return transfer->items && transfer->unheard &&
           transfer->wire.epoch(transfer->wire.context) == transfer->epoch &&
           now_ms - transfer->asked_ms >= DPC_TRANSFER_STUCK_MS;
}

uint64_t
dpc_transfer_bytes_fetched(const struct dpc_transfer *transfer)
{
    return transfer->bytes_fetched;
}

uint64_t
dpc_transfer_bytes_put(const struct dpc_transfer *transfer)
{
    return transfer->bytes_put;
}

/* --- Items and slots. */

static struct item *
find_item(const struct dpc_transfer *transfer, const struct dpc_hash *hash, bool upload)
{
    struct item *item = transfer->items;
    while (item && !(item->upload == upload && dpc_hash_equal(&item->blob.hash, hash)))
        item = item->next;
    return item;
}

static void
add_item(struct dpc_transfer *transfer, const struct dpc_blob_ref *blob, bool upload, uint64_t done)
{
    struct item **end = &transfer->items;
    while (*end)
        end = &(*end)->next;
    *end = dpc_alloc(1, sizeof **end);
    **end = (struct item){.blob = *blob,
                          .upload = upload,
                          .step = upload ? STEP_OFFER : STEP_FETCH,
                          .done = done,
                          .asked = done};
}

bool
dpc_transfer_is_fetching(const struct dpc_transfer *transfer, const struct dpc_hash *hash)
{
    return find_item(transfer, hash, false) != NULL;
}

/* Gives up the requests of an item (NULL: of all); their answers find no slot. */
static void
release_slots(struct dpc_transfer *transfer, const struct item *item)
{
    for (int i = 0; i < DPC_TRANSFER_CREDIT; i++) {
        if (!item || transfer->slots[i].item == item)
            transfer->slots[i].item = NULL;
    }
}

static void
remove_item(struct dpc_transfer *transfer, struct item *item)
{
    struct item **at = &transfer->items;
    release_slots(transfer, item);
    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    dpc_free(item);
}

void
dpc_transfer_cancel(struct dpc_transfer *transfer)
{
    while (transfer->items)
        remove_item(transfer, transfer->items);
}

static void
wind_back(struct dpc_transfer *transfer, struct item *item, uint64_t done)
{
    release_slots(transfer, item);
    item->done = item->asked = done;
}

/* After a break nobody knows what arrived: an upload asks first. */
static void
wind_all_back(struct dpc_transfer *transfer)
{
    for (struct item *item = transfer->items; item; item = item->next) {
        wind_back(transfer, item, item->done);
        if (item->upload)
            item->step = STEP_OFFER;
    }
}

static struct slot *
slot_of(struct dpc_transfer *transfer, uint64_t request)
{
    for (int i = 0; i < DPC_TRANSFER_CREDIT; i++) {
        if (transfer->slots[i].item && transfer->slots[i].request == request)
            return &transfer->slots[i];
    }
    return NULL;
}

static bool
has_slots(const struct dpc_transfer *transfer, const struct item *item)
{
    for (int i = 0; i < DPC_TRANSFER_CREDIT; i++) {
        if (transfer->slots[i].item && (!item || transfer->slots[i].item == item))
            return true;
    }
    return false;
}

/* Ends everything with the reason for people: what, which blob, why. */
static int
fail(struct dpc_transfer *transfer, const struct item *item, int code, const char *why,
     struct dpc_error *err)
{
    char name[13];
    dpc_hash_hex(&item->blob.hash, name, sizeof name);
    dpc_error_set(err, code, "could not %s blob %s: %s", item->upload ? "upload" : "fetch", name,
                  why);
    dpc_transfer_cancel(transfer);
    return code;
}

/* --- Pace. */

static void
note_answer(struct pace *pace, int64_t sent_ms, int64_t now_ms)
{
    double took = (double)(now_ms - sent_ms);
    double off = took > pace->mean ? took - pace->mean : pace->mean - took;
    if (pace->measured) {
        pace->deviation += (off - pace->deviation) / 4;
        pace->mean += (took - pace->mean) / 8;
    } else {
        pace->mean = took;
        pace->deviation = took / 2;
        pace->measured = true;
    }
    pace->doublings = 0;
    pace->answer_ms = now_ms;
}

static int64_t
retry_ms(const struct pace *pace)
{
    double wait_ms = pace->measured ? pace->mean + 4 * pace->deviation : RETRY_MS_FIRST;
    if (wait_ms < RETRY_MS_MIN)
        wait_ms = RETRY_MS_MIN;
    wait_ms *= (double)(1u << pace->doublings);
    return wait_ms < RETRY_MS_MAX ? (int64_t)wait_ms : RETRY_MS_MAX;
}

/* Time counts from the last sign of life: answers come one after the other, so the eighth chunk of
 * a slow line is not late because seven go before it. */
static bool
is_overdue(const struct dpc_transfer *transfer, int64_t now_ms)
{
    int64_t since_ms = INT64_MAX;
    for (int i = 0; i < DPC_TRANSFER_CREDIT; i++) {
        const struct slot *slot = &transfer->slots[i];
        if (slot->item && slot->sent_ms < since_ms)
            since_ms = slot->sent_ms;
    }
    if (since_ms == INT64_MAX || transfer->wire.answers_all)
        return false;
    if (transfer->pace.answer_ms > since_ms)
        since_ms = transfer->pace.answer_ms;
    return now_ms - since_ms > retry_ms(&transfer->pace);
}

/* --- Requests. */

static bool
wants_to_send(const struct dpc_transfer *transfer, const struct item *item)
{
    if (item->step == STEP_OFFER)
        return !has_slots(transfer, item);
    return item->asked < item->blob.bytes;
}

/* Bytes of the next request; 0: an offer, which has none. DPC_EAGAIN: they may not move yet. */
static int
next_len(const struct dpc_transfer *transfer, const struct item *item, int64_t now_ms,
         size_t *ret_len)
{
    uint64_t left = item->blob.bytes - item->asked;
    size_t len = left < DPC_TRANSFER_CHUNK ? (size_t)left : DPC_TRANSFER_CHUNK;
    if (item->step == STEP_OFFER)
        len = 0;
    else if (transfer->gate.may) {
        size_t may = transfer->gate.may(transfer->gate.context, item->upload, len, now_ms);
        if (may == 0 && len > 0)
            return DPC_EAGAIN;
        len = may < len ? may : len;
    }
    *ret_len = len;
    return DPC_OK;
}

static int
make_request(struct dpc_transfer *transfer, const struct item *item, size_t len,
             struct dpc_msg *ret_msg)
{
    *ret_msg = (struct dpc_msg){.request = transfer->next_request};
    if (item->step == STEP_FETCH) {
        ret_msg->type = DPC_MSG_FETCH;
        ret_msg->fetch = (struct dpc_msg_fetch){
            .hash = item->blob.hash, .offset = item->asked, .bytes = (uint32_t)len};
        return DPC_OK;
    }
    if (item->step == STEP_OFFER) {
        ret_msg->type = DPC_MSG_OFFER;
        ret_msg->offer = (struct dpc_msg_offer){.hash = item->blob.hash, .total = item->blob.bytes};
        return DPC_OK;
    }
    ret_msg->type = DPC_MSG_PUT;
    ret_msg->put = (struct dpc_msg_put){
        .hash = item->blob.hash, .offset = item->asked, .total = item->blob.bytes};
    ret_msg->body = transfer->chunk;
    ret_msg->body_len = len;
    return transfer->files.read(transfer->files.context, &item->blob, item->asked, transfer->chunk,
                                len);
}

static int
send_request(struct dpc_transfer *transfer, struct item *item, struct slot *slot, int64_t now_ms,
             struct dpc_error *err)
{
    struct dpc_msg msg;
    size_t len;
    int code = next_len(transfer, item, now_ms, &len);
    if (code == DPC_OK)
        code = make_request(transfer, item, len, &msg);
    if (code == DPC_OK)
        code = transfer->wire.send(transfer->wire.context, &msg);
    if (code == DPC_EAGAIN)
        return code;
    if (code != DPC_OK)
        return fail(transfer, item, code, dpc_error_words(code), err);
    *slot = (struct slot){.item = item,
                          .step = item->step,
                          .request = transfer->next_request++,
                          .offset = item->asked,
                          .len = len,
                          .sent_ms = now_ms};
    item->asked += len;
    if (!transfer->unheard)
        transfer->asked_ms = now_ms;
    transfer->unheard = true;
    if (len && transfer->gate.moved)
        transfer->gate.moved(transfer->gate.context, item->upload, len);
    return DPC_OK;
}

int
dpc_transfer_pump(struct dpc_transfer *transfer, int64_t now_ms, struct dpc_error *err)
{
    uint64_t epoch = transfer->wire.epoch(transfer->wire.context);
    if (epoch != transfer->epoch) {
        transfer->epoch = epoch;
        transfer->unheard = false;
        transfer->pace.doublings = 0;
        transfer->paused_until_ms = 0;
        wind_all_back(transfer);
    } else if (now_ms < transfer->paused_until_ms) {
        return DPC_OK;
    } else if (is_overdue(transfer, now_ms)) {
        if (transfer->pace.doublings < DOUBLINGS_MAX)
            transfer->pace.doublings++;
        wind_all_back(transfer);
    }
    int credit = transfer->pace.doublings || transfer->pauses ? 1 : DPC_TRANSFER_CREDIT;
    struct item *item = transfer->items;
    for (int i = 0; i < credit && item; i++) {
        if (transfer->slots[i].item)
            continue;
        while (item && !wants_to_send(transfer, item))
            item = item->next;
        if (!item)
            break;
        int code = send_request(transfer, item, &transfer->slots[i], now_ms, err);
        if (code == DPC_EAGAIN)
            break;
        if (code != DPC_OK)
            return code;
    }
    return DPC_OK;
}

/* --- Queueing. */

/* All bytes of a fetched blob are here. A first hash that does not match may be a bad disk or line:
 * once more; the second time it is the blob. */
static int
finish_fetch(struct dpc_transfer *transfer, struct item *item, struct dpc_error *err)
{
    int code = transfer->files.finish(transfer->files.context, &item->blob);
    if (code == DPC_OK) {
        remove_item(transfer, item);
    } else if (code == DPC_EHASH && ++item->hash_failures < HASH_FAILURES_MAX) {
        wind_back(transfer, item, 0);
        code = DPC_OK;
    } else {
        return fail(transfer, item, code, dpc_error_words(code), err);
    }
    return code;
}

int
dpc_transfer_fetch(struct dpc_transfer *transfer, const struct dpc_blob_ref *blob,
                   struct dpc_error *err)
{
    uint64_t kept = 0;
    if (find_item(transfer, &blob->hash, false))
        return DPC_OK;
    int code = transfer->files.have(transfer->files.context, blob, &kept);
    if (code == DPC_EEXIST)
        return DPC_OK;
    if (code == DPC_OK && blob->bytes == 0)
        code = transfer->files.write(transfer->files.context, blob, 0, "", 0);
    add_item(transfer, blob, false, kept < blob->bytes ? kept : blob->bytes);
    struct item *item = find_item(transfer, &blob->hash, false);
    if (code != DPC_OK)
        return fail(transfer, item, code, dpc_error_words(code), err);
    if (kept < blob->bytes)
        return DPC_OK;
    item->hash_failures = blob->bytes ? 0 : HASH_FAILURES_MAX - 1; /* nothing: no second try */
    return finish_fetch(transfer, item, err);
}

int
dpc_transfer_put(struct dpc_transfer *transfer, const struct dpc_blob_ref *blob,
                 struct dpc_error *err)
{
    if (dpc_hash_is_none(&blob->hash))
        return dpc_error_set(err, DPC_EINVAL, "could not upload: the blob has no hash");
    if (!find_item(transfer, &blob->hash, true))
        add_item(transfer, blob, true, 0);
    return DPC_OK;
}

/* --- Answers. */

/* Frees the slot that the answer belongs to, and says what it was; false when it was given up. */
static bool
settle(struct dpc_transfer *transfer, const struct dpc_msg *msg, const struct item *item,
       int64_t now_ms, struct slot *ret_slot)
{
    struct slot *slot = slot_of(transfer, msg->request);
    if (!slot || slot->item != item)
        return false;
    note_answer(&transfer->pace, slot->sent_ms, now_ms);
    *ret_slot = *slot;
    slot->item = NULL;
    return true;
}

static int
handle_chunk(struct dpc_transfer *transfer, const struct dpc_msg *msg, int64_t now_ms,
             struct dpc_error *err)
{
    const struct dpc_msg_chunk *chunk = &msg->chunk;
    struct item *item = find_item(transfer, &chunk->hash, false);
    struct slot slot;
    if (!item)
        return DPC_OK;
    bool expected = settle(transfer, msg, item, now_ms, &slot);
    if (chunk->total != item->blob.bytes)
        return fail(transfer, item, DPC_EPROTO, "the coordinator's has another size", err);
    if (chunk->offset == item->done) {
        if (msg->body_len == 0 || msg->body_len > item->blob.bytes - item->done)
            return fail(transfer, item, DPC_EPROTO, "a piece has a wrong size", err);
        int code = transfer->files.write(transfer->files.context, &item->blob, item->done,
                                         msg->body, msg->body_len);
        if (code != DPC_OK)
            return fail(transfer, item, code, dpc_error_words(code), err);
        transfer->bytes_fetched += msg->body_len;
        transfer->pauses = 0;
        item->done += msg->body_len;
        if (item->asked < item->done)
            item->asked = item->done;
    } else if (expected && chunk->offset > item->done) {
        wind_back(transfer, item, item->done);
    }
    if (item->done == item->blob.bytes)
        return finish_fetch(transfer, item, err);
    if (!has_slots(transfer, item))
        wind_back(transfer, item, item->done);
    return DPC_OK;
}

static int
handle_have(struct dpc_transfer *transfer, const struct dpc_msg *msg, int64_t now_ms,
            struct dpc_error *err)
{
    const struct dpc_msg_have *have = &msg->have;
    struct item *item = find_item(transfer, &have->hash, true);
    struct slot slot = {.len = 0};
    if (!item)
        return DPC_OK;
    bool expected = settle(transfer, msg, item, now_ms, &slot);
    if (have->complete) {
        transfer->pauses = 0;
        transfer->bytes_put += slot.len;
        remove_item(transfer, item);
        return DPC_OK;
    }
    if (!expected)
        return DPC_OK;
    if (have->offset >= item->blob.bytes)
        return fail(transfer, item, DPC_EPROTO, "the coordinator has it all, and not whole", err);
    if (slot.step == STEP_OFFER) {
        item->step = STEP_PUT;
        wind_back(transfer, item, have->offset);
    } else if (have->offset < slot.offset + slot.len) {
        wind_back(transfer, item, have->offset); /* a hole, or the coordinator lost its part */
    } else {
        transfer->pauses = 0;
        transfer->bytes_put += slot.len;
        if (item->done < have->offset)
            item->done = have->offset;
        if (item->asked < item->done)
            item->asked = item->done;
        if (!has_slots(transfer, item))
            wind_back(transfer, item, item->done);
    }
    return DPC_OK;
}

/* What else is under way would be answered as if it had been lost, and sent again at once. */
static void
pause_all(struct dpc_transfer *transfer, int64_t now_ms)
{
    unsigned doublings =
        transfer->pauses < PAUSE_DOUBLINGS_MAX ? transfer->pauses++ : PAUSE_DOUBLINGS_MAX;
    transfer->paused_until_ms = now_ms + ((int64_t)PAUSE_MS_MIN << doublings);
    wind_all_back(transfer);
}

/* A busy coordinator is asked again later. */
static int
handle_error(struct dpc_transfer *transfer, const struct dpc_msg *msg, int64_t now_ms,
             struct dpc_error *err)
{
    int code = msg->error.code;
    struct slot *slot = slot_of(transfer, msg->request);
    if (!slot)
        return DPC_OK;
    if (code == DPC_EAGAIN || code == DPC_EBUSY) {
        pause_all(transfer, now_ms);
        return DPC_OK;
    }
    struct item *item = slot->item;
    if (code == DPC_EHASH && item->upload && ++item->hash_failures < HASH_FAILURES_MAX) {
        item->step = STEP_OFFER;
        wind_back(transfer, item, 0);
        return DPC_OK;
    }
    if (code >= DPC_OK || strcmp(dpc_error_name(code), "?") == 0)
        code = DPC_EPROTO;
    return fail(transfer, item, code, msg->error.text, err);
}

int
dpc_transfer_handle(struct dpc_transfer *transfer, const struct dpc_msg *msg, int64_t now_ms,
                    struct dpc_error *err)
{
    transfer->unheard = false;
    switch (msg->type) {
    case DPC_MSG_CHUNK:
        return handle_chunk(transfer, msg, now_ms, err);
    case DPC_MSG_HAVE:
        return handle_have(transfer, msg, now_ms, err);
    case DPC_MSG_ERROR:
        return handle_error(transfer, msg, now_ms, err);
    default:
        return DPC_OK; /* not for us */
    }
}
