/* SPDX-License-Identifier: Apache-2.0
 * A file's tensors cover its data exactly, so that offsets are checked by sorting them: each begins
 * where the one before ends. After that any tensor may be read without another look. */
#include "base/safetensors.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bf16.h"
#include "base/limits.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files hold floats as memory does");

enum { LENGTH_BYTES = 8, HEADER_ALIGN = 8 };

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [DPC_SAFETENSORS_F32] = {"F32", 4},
    [DPC_SAFETENSORS_BF16] = {"BF16", 2},
    [DPC_SAFETENSORS_F16] = {"F16", 2},
};
enum { TYPES_COUNT = sizeof types / sizeof *types };

struct dpc_safetensors {
    const struct dpc_vfs *vfs;
    struct dpc_vfs_file *file;
    char path[DPC_PATH_MAX];
    uint64_t data; /* where it begins in the file */
    struct dpc_safetensor *tensors;
    uint32_t count, capacity;
};

/* --- Values. */

size_t
dpc_safetensors_value_bytes(enum dpc_safetensors_type type)
{
    return types[type].bytes;
}

static float
from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754's binary16: 5 bits of exponent, 10 of fraction. */
static float
from_f16(uint16_t half)
{
    uint32_t exponent = half >> 10 & 0x1F, fraction = half & 0x3FF;
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    if (exponent == 0) {
        float value = ldexpf((float)fraction, -24);
        return sign ? -value : value;
    }
    if (exponent == 0x1F)
        return from_bits(sign | 0x7F800000 | fraction << 13);
    return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

void
dpc_safetensors_encode(enum dpc_safetensors_type type, const float *values, size_t count,
                       void *ret_bytes)
{
    assert(type == DPC_SAFETENSORS_F32 || type == DPC_SAFETENSORS_BF16);
    uint16_t *halves = ret_bytes;
    if (type == DPC_SAFETENSORS_F32)
        memcpy(ret_bytes, values, count * sizeof *values);
    for (size_t i = 0; type == DPC_SAFETENSORS_BF16 && i < count; i++)
        halves[i] = dpc_bf16_from_float(values[i]);
}

/* Halves stand in the upper half of the room for floats: the float that is written at each step
 * ends before the next half that is read. */
static void
widen(enum dpc_safetensors_type type, float *values, size_t count)
{
    const uint8_t *halves = (const uint8_t *)values + count * sizeof(uint16_t);
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, halves + i * sizeof half, sizeof half);
        values[i] = type == DPC_SAFETENSORS_BF16 ? dpc_bf16_to_float(half) : from_f16(half);
    }
}

uint64_t
dpc_safetensor_values(const struct dpc_safetensor *tensor)
{
    uint64_t values = 1;
    for (uint32_t i = 0; i < tensor->dims_count; i++)
        values *= tensor->dims[i];
    return values;
}

/* --- The header: one tensor. */

struct reading {
    struct dpc_safetensors *file;
    struct dpc_error *err;
    int code;
};

static int __attribute__((format(printf, 4, 5)))
refuse(const struct dpc_safetensors *file, struct dpc_error *err, int code, const char *format, ...)
{
    char text[DPC_ERROR_TEXT_MAX / 2];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return dpc_error_set(err, code, "\"%.300s\" is no sound safetensors file: %s", file->path,
                         text);
}

/* Names go into messages, and so to terminals. */
static bool
is_plain(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    }
    return len > 0 && len < DPC_SAFETENSORS_NAME_MAX;
}

/* -1 where it is no whole number from 0 to 2^53, beyond which readers of JSON differ. */
static int64_t
whole(const struct dpc_json *node)
{
    int64_t value = dpc_json_integer(node, -1);
    return value >= 0 && value <= (int64_t)1 << 53 ? value : -1;
}

static int
read_type(struct reading *reading, const struct dpc_json *value, struct dpc_safetensor *tensor)
{
    const char *word = dpc_json_text(dpc_json_get(value, "dtype"), NULL);
    for (uint32_t type = 0; word && type < TYPES_COUNT; type++) {
        if (strcmp(word, types[type].name) == 0) {
            tensor->type = (enum dpc_safetensors_type)type;
            return DPC_OK;
        }
    }
    if (!word || !is_plain(word))
        return refuse(reading->file, reading->err, DPC_ECORRUPT, "tensor %s has no dtype",
                      tensor->name);
    return dpc_error_set(reading->err, DPC_EUNSUPPORTED,
                         "tensor %s of \"%.300s\" has values of the type %.16s: F32, BF16 and F16 "
                         "are read",
                         tensor->name, reading->file->path, word);
}

static int
read_shape(struct reading *reading, const struct dpc_json *value, struct dpc_safetensor *tensor)
{
    const struct dpc_json *shape = dpc_json_get(value, "shape");
    size_t count = dpc_json_count(shape);
    uint64_t values = 1, values_max = DPC_BLOB_BYTES_MAX / sizeof(float);
    bool sound = dpc_json_is_array(shape) && count <= DPC_SAFETENSORS_DIMS_MAX;
    for (uint32_t i = 0; sound && i < count; i++) {
        int64_t dim = whole(dpc_json_at(shape, i));
        sound = dim >= 0 && (dim == 0 || values <= values_max / (uint64_t)dim);
        tensor->dims[i] = (uint64_t)dim;
        values *= sound ? (uint64_t)dim : 1;
    }
    tensor->dims_count = (uint32_t)count;
    return sound ? DPC_OK
                 : refuse(reading->file, reading->err, DPC_ECORRUPT,
                          "tensor %s has a shape that is none, or too large", tensor->name);
}

static int
read_offsets(struct reading *reading, const struct dpc_json *value, struct dpc_safetensor *tensor)
{
    const struct dpc_json *offsets = dpc_json_get(value, "data_offsets");
    int64_t from = whole(dpc_json_at(offsets, 0)), to = whole(dpc_json_at(offsets, 1));
    if (dpc_json_count(offsets) != 2 || from < 0 || to < from)
        return refuse(reading->file, reading->err, DPC_ECORRUPT,
                      "tensor %s has data_offsets that are none", tensor->name);
    tensor->from = (uint64_t)from;
    tensor->to = (uint64_t)to;
    if (tensor->to - tensor->from != dpc_safetensor_values(tensor) * types[tensor->type].bytes)
        return refuse(reading->file, reading->err, DPC_ECORRUPT,
                      "tensor %s has %llu bytes, which is not what its shape takes", tensor->name,
                      (unsigned long long)(tensor->to - tensor->from));
    return DPC_OK;
}

static bool
read_entry(void *context, const char *name, const struct dpc_json *value)
{
    struct reading *reading = context;
    struct dpc_safetensors *file = reading->file;
    if (strcmp(name, "__metadata__") == 0)
        return true;
    if (!is_plain(name)) {
        reading->code = refuse(file, reading->err, DPC_ECORRUPT,
                               "it names a tensor by what is no text of 1 to %d printable letters",
                               DPC_SAFETENSORS_NAME_MAX - 1);
        return false;
    }
    if (file->count == file->capacity) {
        file->capacity = file->capacity ? 2 * file->capacity : 64;
        file->tensors = dpc_grow(file->tensors, file->capacity, sizeof *file->tensors);
    }
    struct dpc_safetensor *tensor = &file->tensors[file->count++];
    memset(tensor, 0, sizeof *tensor);
    memcpy(tensor->name, name, strlen(name) + 1);
    reading->code = read_type(reading, value, tensor);
    if (reading->code == DPC_OK)
        reading->code = read_shape(reading, value, tensor);
    if (reading->code == DPC_OK)
        reading->code = read_offsets(reading, value, tensor);
    return reading->code == DPC_OK;
}

/* --- The header: all of it. */

static int
by_place(const void *left, const void *right)
{
    const struct dpc_safetensor *a = left, *b = right;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    return a->to < b->to ? -1 : a->to > b->to;
}

static int
by_name(const void *left, const void *right)
{
    const struct dpc_safetensor *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* No memory is there for no tensors, and qsort takes none. */
static void
sort(struct dpc_safetensors *file, int (*compare)(const void *, const void *))
{
    if (file->count)
        qsort(file->tensors, file->count, sizeof *file->tensors, compare);
}

static int
check_places(struct dpc_safetensors *file, uint64_t data_bytes, struct dpc_error *err)
{
    uint64_t end = 0;
    sort(file, by_place);
    for (uint32_t i = 0; i < file->count; i++) {
        const struct dpc_safetensor *tensor = &file->tensors[i];
        if (tensor->from != end)
            return refuse(file, err, DPC_ECORRUPT, "tensor %s %s", tensor->name,
                          tensor->from < end ? "overlaps another" : "stands behind a hole");
        end = tensor->to;
    }
    if (end != data_bytes)
        return refuse(file, err, DPC_ECORRUPT,
                      "its tensors take %llu bytes, and there are %llu: it was cut off, or is "
                      "another file's header",
                      (unsigned long long)end, (unsigned long long)data_bytes);
    sort(file, by_name);
    return DPC_OK;
}

static int
read_entries(struct dpc_safetensors *file, const char *text, size_t len, struct dpc_error *err)
{
    struct dpc_json *root;
    struct dpc_error fault;
    struct reading reading = {.file = file, .err = err, .code = DPC_OK};
    if (dpc_json_parse_unique(text, len, &root, &fault) != DPC_OK) {
        for (char *at = fault.text; *at; at++)
            *at = *at < ' ' || *at > '~' ? '?' : *at;
        return refuse(file, err, DPC_EPARSE, "its header: %.200s", fault.text);
    }
    if (dpc_json_is_object(root))
        dpc_json_each(root, read_entry, &reading);
    else
        reading.code = refuse(file, err, DPC_EPARSE, "its header is no JSON object");
    dpc_json_destroy(root);
    return reading.code;
}

/* `bytes`: of the whole file. */
static int
read_header(struct dpc_safetensors *file, uint64_t bytes, uint64_t len, struct dpc_error *err)
{
    if (len > bytes - LENGTH_BYTES)
        return refuse(file, err, DPC_ECORRUPT,
                      "its header is said to have %llu bytes, and the file has %llu",
                      (unsigned long long)len, (unsigned long long)bytes);
    if (len > DPC_SAFETENSORS_HEADER_BYTES_MAX)
        return dpc_error_set(err, DPC_ELIMIT,
                             "the header of \"%.300s\" has %llu bytes: at most %zu are read",
                             file->path, (unsigned long long)len, DPC_SAFETENSORS_HEADER_BYTES_MAX);
    char *text = dpc_try_alloc((size_t)len + 1, 1);
    if (!text)
        return dpc_error_set(err, DPC_ENOMEM, "no memory for the header of \"%.300s\"", file->path);
    int code = file->vfs->ops->read(file->file, text, (size_t)len, LENGTH_BYTES);
    if (code != DPC_OK)
        dpc_error_set(err, code, "could not read \"%.300s\": %s", file->path,
                      dpc_error_words(code));
    else
        code = read_entries(file, text, (size_t)len, err);
    dpc_free(text);
    file->data = LENGTH_BYTES + len;
    return code == DPC_OK ? check_places(file, bytes - file->data, err) : code;
}

static int
read_length(struct dpc_safetensors *file, uint64_t *ret_bytes, uint64_t *ret_len,
            struct dpc_error *err)
{
    uint8_t length[LENGTH_BYTES];
    struct dpc_reader reader;
    int code = file->vfs->ops->size(file->file, ret_bytes);
    if (code == DPC_OK && *ret_bytes < LENGTH_BYTES)
        return refuse(file, err, DPC_ECORRUPT, "it has only %llu bytes",
                      (unsigned long long)*ret_bytes);
    if (code == DPC_OK)
        code = file->vfs->ops->read(file->file, length, sizeof length, 0);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read \"%.300s\": %s", file->path,
                             dpc_error_words(code));
    dpc_reader_init(&reader, length, sizeof length);
    *ret_len = dpc_reader_u64(&reader);
    return DPC_OK;
}

int
dpc_safetensors_open(const struct dpc_vfs *vfs, const char *path, struct dpc_safetensors **ret_file,
                     struct dpc_error *err)
{
    uint64_t bytes = 0, len = 0;
    struct dpc_safetensors *file = dpc_alloc(1, sizeof *file);
    file->vfs = vfs;
    int code = snprintf(file->path, sizeof file->path, "%s", path) < (int)sizeof file->path
                   ? vfs->ops->open(vfs, path, DPC_VFS_READ, &file->file)
                   : DPC_ELIMIT;
    if (code != DPC_OK)
        dpc_error_set(err, code, "could not open \"%.300s\": %s", path, dpc_error_words(code));
    if (code == DPC_OK)
        code = read_length(file, &bytes, &len, err);
    if (code == DPC_OK)
        code = read_header(file, bytes, len, err);
    if (code == DPC_OK)
        *ret_file = file;
    else
        dpc_safetensors_close(file);
    return code;
}

struct dpc_safetensors *
dpc_safetensors_close(struct dpc_safetensors *file)
{
    if (!file)
        return NULL;
    if (file->file)
        file->vfs->ops->close(file->file);
    dpc_free(file->tensors);
    return dpc_free(file);
}

/* --- Its tensors. */

uint32_t
dpc_safetensors_count(const struct dpc_safetensors *file)
{
    return file->count;
}

const struct dpc_safetensor *
dpc_safetensors_at(const struct dpc_safetensors *file, uint32_t index)
{
    assert(index < file->count);
    return &file->tensors[index];
}

const struct dpc_safetensor *
dpc_safetensors_find(const struct dpc_safetensors *file, const char *name)
{
    struct dpc_safetensor wanted;
    if (!is_plain(name) || file->count == 0)
        return NULL;
    memcpy(wanted.name, name, strlen(name) + 1);
    return bsearch(&wanted, file->tensors, file->count, sizeof *file->tensors, by_name);
}

int
dpc_safetensors_read(const struct dpc_safetensors *file, const struct dpc_safetensor *tensor,
                     float *ret_values, struct dpc_error *err)
{
    size_t count = (size_t)dpc_safetensor_values(tensor), bytes = types[tensor->type].bytes;
    uint8_t *at = (uint8_t *)ret_values + count * (sizeof(float) - bytes);
    int code = file->vfs->ops->read(file->file, at, count * bytes, file->data + tensor->from);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read \"%.300s\": %s", file->path,
                             dpc_error_words(code));
    if (tensor->type != DPC_SAFETENSORS_F32)
        widen(tensor->type, ret_values, count);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(ret_values[i]))
            return dpc_error_set(err, DPC_ENOTFINITE,
                                 "tensor %s of \"%.300s\" has a value that is not finite",
                                 tensor->name, file->path);
    }
    return DPC_OK;
}

/* --- Writing. */

uint64_t
dpc_safetensors_place(struct dpc_safetensor *tensors, uint32_t count)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        tensors[i].from = end;
        end += dpc_safetensor_values(&tensors[i]) * types[tensors[i].type].bytes;
        tensors[i].to = end;
    }
    return end;
}

static struct dpc_json *
describe(const struct dpc_safetensor *tensor)
{
    struct dpc_json *entry = dpc_json_object(), *shape = dpc_json_array(),
                    *offsets = dpc_json_array();
    for (uint32_t i = 0; i < tensor->dims_count; i++)
        dpc_json_append_integer(shape, (int64_t)tensor->dims[i]);
    dpc_json_append_integer(offsets, (int64_t)tensor->from);
    dpc_json_append_integer(offsets, (int64_t)tensor->to);
    dpc_json_set_text(entry, "dtype", types[tensor->type].name);
    dpc_json_set(entry, "shape", shape);
    dpc_json_set(entry, "data_offsets", offsets);
    return entry;
}

void
dpc_safetensors_put_header(const struct dpc_safetensor *tensors, uint32_t count, const char *format,
                           struct dpc_buf *out)
{
    struct dpc_json *root = dpc_json_object(), *metadata = dpc_json_object();
    dpc_json_set_text(metadata, "format", format);
    dpc_json_set(root, "__metadata__", metadata);
    for (uint32_t i = 0; i < count; i++)
        dpc_json_set(root, tensors[i].name, describe(&tensors[i]));
    char *text = dpc_json_print(root, false);
    size_t len = strlen(text), padding = (HEADER_ALIGN - len % HEADER_ALIGN) % HEADER_ALIGN;
    dpc_buf_put_u64(out, len + padding);
    dpc_buf_put(out, text, len);
    dpc_buf_printf(out, "%*s", (int)padding, "");
    dpc_free(text);
    dpc_json_destroy(root);
}
