/* SPDX-License-Identifier: Apache-2.0
 * Every answer to an upload is "so much I have": a piece that came twice, too early or after a
 * restart is not an error, it gets the same answer as any other. */
#include "proto/serve.h"

#include "base/limits.h"

static int
refuse(int code, const char *why, const struct dpc_hash *hash, struct dpc_error *err)
{
    char name[13];
    dpc_hash_hex(hash, name, sizeof name);
    return dpc_error_set(err, code, "blob %s: %s", name, why);
}

/* What the store said in full, where it said something; the coordinator logs it. */
static int
pass_on(int code, const struct dpc_hash *hash, struct dpc_error *err)
{
    return err->code == code ? code : refuse(code, dpc_error_words(code), hash, err);
}

static void
set_have(struct dpc_msg *reply, const struct dpc_hash *hash, uint64_t offset, bool complete)
{
    reply->type = DPC_MSG_HAVE;
    reply->have = (struct dpc_msg_have){.hash = *hash, .offset = offset, .complete = complete};
}

static int
serve_fetch(const struct dpc_serve_blobs *blobs, const struct dpc_msg_fetch *fetch,
            uint8_t *scratch, struct dpc_msg *reply, struct dpc_error *err)
{
    uint64_t total;
    int code = blobs->size(blobs->context, &fetch->hash, &total);
    if (code != DPC_OK)
        return pass_on(code, &fetch->hash, err);
    if (fetch->offset >= total)
        return refuse(DPC_ERANGE, "the offset lies behind its end", &fetch->hash, err);
    uint64_t left = total - fetch->offset;
    size_t len = fetch->bytes < left ? fetch->bytes : (size_t)left;
    if (len > DPC_CHUNK_BYTES_MAX)
        len = DPC_CHUNK_BYTES_MAX;
    code = blobs->read(blobs->context, &fetch->hash, fetch->offset, scratch, len);
    if (code != DPC_OK)
        return pass_on(code, &fetch->hash, err);
    reply->type = DPC_MSG_CHUNK;
    reply->chunk =
        (struct dpc_msg_chunk){.hash = fetch->hash, .offset = fetch->offset, .total = total};
    reply->body = scratch;
    reply->body_len = len;
    return DPC_OK;
}

/* Whether an upload of that size may go on. `*ret_complete`: it is here already. */
static int
admit(const struct dpc_serve_blobs *blobs, const struct dpc_hash *hash, uint64_t total,
      bool *ret_complete, struct dpc_error *err)
{
    uint64_t bytes;
    int code = blobs->size(blobs->context, hash, &bytes);
    *ret_complete = code == DPC_OK;
    if (code == DPC_OK && bytes != total)
        return refuse(DPC_EPROTO, "it has another size", hash, err);
    if (code == DPC_ENOTFOUND && total > blobs->total_max)
        return refuse(DPC_ELIMIT, "it is too large", hash, err);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        return pass_on(code, hash, err);
    return DPC_OK;
}

static int
finish(const struct dpc_serve_blobs *blobs, const struct dpc_hash *hash, uint64_t total,
       struct dpc_msg *reply, struct dpc_error *err)
{
    int code = blobs->finish(blobs->context, hash, err);
    if (code == DPC_OK)
        set_have(reply, hash, total, true);
    return code == DPC_OK ? DPC_OK : pass_on(code, hash, err);
}

/* An offer of what is here whole but for the last step: after a crash between the last byte and
 * _finish, or an empty blob, for which no PUT would come. */
static int
serve_offer(const struct dpc_serve_blobs *blobs, const struct dpc_msg_offer *offer,
            struct dpc_msg *reply, struct dpc_error *err)
{
    bool complete;
    int code = admit(blobs, &offer->hash, offer->total, &complete, err);
    if (code != DPC_OK)
        return code;
    uint64_t kept = complete ? offer->total : blobs->partial(blobs->context, &offer->hash);
    set_have(reply, &offer->hash, kept, complete);
    if (complete || kept < offer->total)
        return DPC_OK;
    if (offer->total == 0)
        code = blobs->append(blobs->context, &offer->hash, 0, "", 0, err);
    if (code != DPC_OK)
        return pass_on(code, &offer->hash, err);
    code = finish(blobs, &offer->hash, offer->total, reply, err);
    if (code != DPC_EHASH)
        return code;
    set_have(reply, &offer->hash, 0, false); /* what was kept was damaged, and is gone */
    err->code = DPC_OK;
    return DPC_OK;
}

static int
serve_put(const struct dpc_serve_blobs *blobs, const struct dpc_msg *request, struct dpc_msg *reply,
          struct dpc_error *err)
{
    const struct dpc_msg_put *put = &request->put;
    bool complete;
    int code = admit(blobs, &put->hash, put->total, &complete, err);
    if (code != DPC_OK)
        return code;
    if (request->body_len == 0 || put->offset > put->total ||
        request->body_len > put->total - put->offset)
        return refuse(DPC_EPROTO, "a piece that is empty or lies behind its end", &put->hash, err);
    uint64_t kept = complete ? put->total : blobs->partial(blobs->context, &put->hash);
    set_have(reply, &put->hash, kept, complete);
    if (complete || kept != put->offset)
        return DPC_OK;
    code = blobs->append(blobs->context, &put->hash, kept, request->body, request->body_len, err);
    if (code != DPC_OK)
        return pass_on(code, &put->hash, err);
    reply->have.offset = kept + request->body_len;
    if (reply->have.offset < put->total)
        return DPC_OK;
    return finish(blobs, &put->hash, put->total, reply, err);
}

int
dpc_serve_bulk(const struct dpc_serve_blobs *blobs, const struct dpc_msg *request, uint8_t *scratch,
               struct dpc_msg *ret_reply, struct dpc_error *err)
{
    int code;
    *ret_reply = (struct dpc_msg){.request = request->request};
    err->code = DPC_OK;
    switch (request->type) {
    case DPC_MSG_FETCH:
        code = serve_fetch(blobs, &request->fetch, scratch, ret_reply, err);
        break;
    case DPC_MSG_OFFER:
        code = serve_offer(blobs, &request->offer, ret_reply, err);
        break;
    case DPC_MSG_PUT:
        code = serve_put(blobs, request, ret_reply, err);
        break;
    default:
        code = dpc_error_set(err, DPC_EPROTO, "%s is no request of the bulk channel",
                             dpc_msg_name(request->type));
        break;
    }
    if (code != DPC_OK) {
        ret_reply->type = DPC_MSG_ERROR;
        ret_reply->error = (struct dpc_msg_error){.code = code, .text = err->text};
        ret_reply->body = NULL;
        ret_reply->body_len = 0;
    }
    return code;
}
