/* SPDX-License-Identifier: Apache-2.0
 * A batch is a row of operations: u8 what, u8 family, key block, value block (puts only). A buffer
 * that ran out of memory is told when the batch is read, so that its makers need not check each
 * put. */
#include "storage/db/kv.h"

#include <assert.h>

enum { OPERATION_PUT = 1, OPERATION_REMOVE = 2 };

void
dpc_kv_batch_init(struct dpc_kv_batch *batch)
{
    dpc_buf_init(&batch->operations, 0);
    batch->count = 0;
}

void
dpc_kv_batch_done(struct dpc_kv_batch *batch)
{
    dpc_buf_done(&batch->operations);
    batch->count = 0;
}

void
dpc_kv_batch_reset(struct dpc_kv_batch *batch)
{
    dpc_buf_reset(&batch->operations);
    batch->count = 0;
}

static void
begin(struct dpc_kv_batch *batch, uint8_t operation, enum dpc_kv_family family, const void *key,
      size_t key_len)
{
    assert(family < DPC_KV_FAMILIES && key_len > 0);
    dpc_buf_put_u8(&batch->operations, operation);
    dpc_buf_put_u8(&batch->operations, (uint8_t)family);
    dpc_buf_put_block(&batch->operations, key, key_len);
    batch->count++;
}

void
dpc_kv_batch_put(struct dpc_kv_batch *batch, enum dpc_kv_family family, const void *key,
                 size_t key_len, const void *value, size_t value_len)
{
    begin(batch, OPERATION_PUT, family, key, key_len);
    dpc_buf_put_block(&batch->operations, value, value_len);
}

void
dpc_kv_batch_remove(struct dpc_kv_batch *batch, enum dpc_kv_family family, const void *key,
                    size_t key_len)
{
    begin(batch, OPERATION_REMOVE, family, key, key_len);
}

int
dpc_kv_batch_each(const struct dpc_kv_batch *batch,
                  void (*visit)(void *context, enum dpc_kv_family family, const uint8_t *key,
                                size_t key_len, const uint8_t *value, size_t value_len),
                  void *context)
{
    if (batch->operations.failed)
        return DPC_ENOMEM;
    struct dpc_reader reader;
    dpc_reader_init(&reader, batch->operations.data, batch->operations.len);
    for (uint32_t i = 0; i < batch->count; i++) {
        uint8_t operation = dpc_reader_u8(&reader);
        enum dpc_kv_family family = dpc_reader_u8(&reader);
        size_t key_len, value_len = 0;
        const uint8_t *key = dpc_reader_block(&reader, &key_len), *value = NULL;
        if (operation == OPERATION_PUT)
            value = dpc_reader_block(&reader, &value_len);
        assert(!reader.failed);
        visit(context, family, key, key_len, value, value_len);
    }
    return dpc_reader_finish(&reader);
}

struct dpc_kv *
dpc_kv_close(struct dpc_kv *kv)
{
    if (kv)
        kv->ops->close(kv);
    return NULL;
}
