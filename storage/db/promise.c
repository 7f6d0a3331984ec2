/* SPDX-License-Identifier: Apache-2.0
 * Two slots, written in turn and in place, so that a promise costs one sync and a torn write leaves
 * the one before it. A slot holds its promise twice, so that a flipped bit costs none: else it
 * would hide just those writes that the newest one is there to miss. A copy: u8 format, u64
 * sequence, 32 bytes hash of the entry, 32 bytes SHA-256 of all before; zeros behind it. A slot of
 * zeros was never written; older programs wrote and read the first copy alone. */
#include "storage/db/promise.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/limits.h"

/* A slot is a block of the disk, so that one torn write never touches both. */
enum {
    FORMAT = 1,
    USED_BYTES = 1 + 8 + 2 * DPC_HASH_BYTES,
    SLOT_BYTES = 4096,
    COPY_AT = SLOT_BYTES / 2,
    SLOTS = 2,
};

struct dpc_promises {
    const struct dpc_vfs *vfs;
    struct dpc_vfs_file *file;
    char path[DPC_PATH_MAX];
    int next_slot;
};

enum slot_state { SLOT_EMPTY, SLOT_VALID, SLOT_DAMAGED };

static enum slot_state
decode_copy(const uint8_t bytes[static USED_BYTES], struct dpc_promise *ret_promise)
{
    static const uint8_t zeros[USED_BYTES];
    struct dpc_reader reader;
    struct dpc_hash check;
    if (memcmp(bytes, zeros, USED_BYTES) == 0)
        return SLOT_EMPTY;
    dpc_hash_of(bytes, USED_BYTES - DPC_HASH_BYTES, &check);
    if (bytes[0] != FORMAT ||
        memcmp(check.bytes, bytes + USED_BYTES - DPC_HASH_BYTES, DPC_HASH_BYTES) != 0)
        return SLOT_DAMAGED;
    dpc_reader_init(&reader, bytes + 1, USED_BYTES - 1);
    ret_promise->sequence = dpc_reader_u64(&reader);
    memcpy(ret_promise->hash.bytes, bytes + 1 + 8, DPC_HASH_BYTES);
    return SLOT_VALID;
}

static enum slot_state
decode(const uint8_t bytes[static SLOT_BYTES], struct dpc_promise *ret_promise)
{
    enum slot_state first = decode_copy(bytes, ret_promise);
    if (first == SLOT_VALID)
        return first;
    enum slot_state second = decode_copy(bytes + COPY_AT, ret_promise);
    return second == SLOT_EMPTY ? first : second;
}

/* The newest promise and the slot in which it stands. */
static int
read_slots(const struct dpc_vfs *vfs, struct dpc_vfs_file *file, struct dpc_promise *ret_promise,
           int *ret_slot)
{
    uint8_t bytes[SLOTS * SLOT_BYTES];
    bool found = false, empty = false;
    int code = vfs->ops->read(file, bytes, sizeof bytes, 0);
    if (code != DPC_OK)
        return code;
    for (int slot = 0; slot < SLOTS; slot++) {
        struct dpc_promise promise;
        enum slot_state state = decode(bytes + slot * SLOT_BYTES, &promise);
        empty |= state == SLOT_EMPTY;
        if (state != SLOT_VALID || (found && promise.sequence < ret_promise->sequence))
            continue;
        found = true;
        *ret_promise = promise;
        *ret_slot = slot;
    }
    if (found)
        return DPC_OK;
    return empty ? DPC_ENOTFOUND : DPC_ECORRUPT;
}

static int
report(int code, const char *path, struct dpc_error *err)
{
    if (code == DPC_ECORRUPT)
        return dpc_error_set(err, code,
                             "file \"%s\" is damaged: check that disk, then restore the store from "
                             "a backup or begin anew with another one",
                             path);
    return dpc_error_set(err, code, "could not use file \"%s\": %s%s", path, dpc_error_words(code),
                         code == DPC_ENOSPACE ? "; make room on that disk and start again" : "");
}

int
dpc_promise_read(const struct dpc_vfs *vfs, const char *path, struct dpc_promise *ret_promise,
                 struct dpc_error *err)
{
    struct dpc_vfs_file *file;
    uint64_t size;
    int slot, code = vfs->ops->open(vfs, path, DPC_VFS_READ, &file);
    if (code == DPC_OK) {
        code = vfs->ops->size(file, &size);
        /* A file that was being made when the machine stopped: nothing was promised yet. */
        if (code == DPC_OK)
            code = size < SLOTS * SLOT_BYTES ? DPC_ENOTFOUND
                                             : read_slots(vfs, file, ret_promise, &slot);
        vfs->ops->close(file);
    }
    return code == DPC_OK ? DPC_OK : report(code, path, err);
}

/* Fills a new file, so that later writes change nothing but its bytes. */
static int
prepare(struct dpc_promises *promises)
{
    static const uint8_t zeros[SLOTS * SLOT_BYTES];
    const struct dpc_vfs *vfs = promises->vfs;
    struct dpc_promise last;
    char folder[DPC_PATH_MAX];
    uint64_t size;
    int slot = 0, code = vfs->ops->size(promises->file, &size);
    if (code == DPC_OK && size >= SLOTS * SLOT_BYTES) {
        code = read_slots(vfs, promises->file, &last, &slot);
        promises->next_slot = code == DPC_OK ? (slot + 1) % SLOTS : 0;
        return code == DPC_ENOTFOUND ? DPC_OK : code;
    }
    dpc_path_folder(promises->path, folder, sizeof folder);
    if (code == DPC_OK)
        code = vfs->ops->write(promises->file, zeros, sizeof zeros, 0);
    if (code == DPC_OK)
        code = vfs->ops->sync(promises->file);
    return code == DPC_OK ? vfs->ops->sync_folder(vfs, folder) : code;
}

int
dpc_promises_open(const struct dpc_vfs *vfs, const char *path, struct dpc_promises **ret_promises,
                  struct dpc_error *err)
{
    struct dpc_promises *promises = dpc_alloc(1, sizeof *promises);
    promises->vfs = vfs;
    (void)snprintf(promises->path, sizeof promises->path, "%s", path);
    int code =
        vfs->ops->open(vfs, path, DPC_VFS_READ | DPC_VFS_WRITE | DPC_VFS_CREATE, &promises->file);
    if (code == DPC_OK)
        code = prepare(promises);
    if (code != DPC_OK) {
        dpc_promises_close(promises);
        return report(code, path, err);
    }
    *ret_promises = promises;
    return DPC_OK;
}

struct dpc_promises *
dpc_promises_close(struct dpc_promises *promises)
{
    if (promises && promises->file)
        promises->vfs->ops->close(promises->file);
    return dpc_free(promises);
}

int
dpc_promises_write(struct dpc_promises *promises, const struct dpc_promise *promise,
                   struct dpc_error *err)
{
    const struct dpc_vfs *vfs = promises->vfs;
    struct dpc_buf copy;
    uint8_t slot[COPY_AT + USED_BYTES] = {0};
    struct dpc_hash check;
    dpc_buf_init(&copy, USED_BYTES);
    dpc_buf_put_u8(&copy, FORMAT);
    dpc_buf_put_u64(&copy, promise->sequence);
    dpc_buf_put(&copy, promise->hash.bytes, DPC_HASH_BYTES);
    dpc_hash_of(copy.data, copy.len, &check);
    dpc_buf_put(&copy, check.bytes, DPC_HASH_BYTES);
    int code = copy.failed ? DPC_ENOMEM : DPC_OK;
    if (code == DPC_OK) {
        memcpy(slot, copy.data, USED_BYTES);
        memcpy(slot + COPY_AT, copy.data, USED_BYTES);
        code = vfs->ops->write(promises->file, slot, sizeof slot,
                               (uint64_t)promises->next_slot * SLOT_BYTES);
    }
    if (code == DPC_OK)
        code = vfs->ops->sync(promises->file);
    dpc_buf_done(&copy);
    promises->next_slot = (promises->next_slot + 1) % SLOTS;
    return code == DPC_OK ? DPC_OK : report(code, promises->path, err);
}
