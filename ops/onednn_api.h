/* SPDX-License-Identifier: Apache-2.0
 *
 * What oneDNN 2 and 3 call by other names, by those of 3: in 2 a description is a value, in 3 an
 * object that its owner destroys. For ops/onednn.c alone.
 *
 * Threads: any.
 */
#ifndef DPC_OPS_ONEDNN_API_H
#define DPC_OPS_ONEDNN_API_H

#ifdef HAVE_DNNL

#include <oneapi/dnnl/dnnl.h>

#include "base/alloc.h"

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t onednn_desc; /* of the caller: onednn_desc_destroy */
typedef const_dnnl_memory_desc_t onednn_const_desc;

static inline dnnl_status_t
onednn_desc_strided(onednn_desc *ret_desc, const dnnl_dims_t dims, dnnl_data_type_t type,
                    const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(ret_desc, 2, dims, type, strides);
}

/* The layout is a primitive's to choose. */
static inline dnnl_status_t
onednn_desc_any(onednn_desc *ret_desc, const dnnl_dims_t dims, dnnl_data_type_t type)
{
    return dnnl_memory_desc_create_with_tag(ret_desc, 2, dims, type, dnnl_format_tag_any);
}

static inline dnnl_status_t
onednn_desc_copy(onednn_desc *ret_desc, onednn_const_desc desc)
{
    return dnnl_memory_desc_clone(ret_desc, desc);
}

static inline void
onednn_desc_destroy(onednn_desc desc)
{
    (void)dnnl_memory_desc_destroy(desc);
}

static inline dnnl_status_t
onednn_matmul_create(dnnl_primitive_desc_t *ret_desc, dnnl_engine_t engine, onednn_const_desc left,
                     onednn_const_desc right, onednn_const_desc to,
                     const_dnnl_primitive_attr_t attributes)
{
    return dnnl_matmul_primitive_desc_create(ret_desc, engine, left, right, NULL, to, attributes);
}

static inline dnnl_status_t
onednn_append_sum(dnnl_post_ops_t post)
{
    return dnnl_post_ops_append_sum(post, 1.0f, 0, dnnl_data_type_undef);
}

#else

typedef dnnl_memory_desc_t *onednn_desc;
typedef const dnnl_memory_desc_t *onednn_const_desc;

static inline dnnl_status_t
onednn_desc_strided(onednn_desc *ret_desc, const dnnl_dims_t dims, dnnl_data_type_t type,
                    const dnnl_dims_t strides)
{
    *ret_desc = dpc_alloc(1, sizeof **ret_desc);
    return dnnl_memory_desc_init_by_strides(*ret_desc, 2, dims, type, strides);
}

static inline dnnl_status_t
onednn_desc_any(onednn_desc *ret_desc, const dnnl_dims_t dims, dnnl_data_type_t type)
{
    *ret_desc = dpc_alloc(1, sizeof **ret_desc);
    return dnnl_memory_desc_init_by_tag(*ret_desc, 2, dims, type, dnnl_format_tag_any);
}

static inline dnnl_status_t
onednn_desc_copy(onednn_desc *ret_desc, onednn_const_desc desc)
{
    *ret_desc = dpc_alloc(1, sizeof **ret_desc);
    **ret_desc = *desc;
    return dnnl_success;
}

static inline void
onednn_desc_destroy(onednn_desc desc)
{
    dpc_free(desc);
}

static inline dnnl_status_t
onednn_matmul_create(dnnl_primitive_desc_t *ret_desc, dnnl_engine_t engine, onednn_const_desc left,
                     onednn_const_desc right, onednn_const_desc to,
                     const_dnnl_primitive_attr_t attributes)
{
    dnnl_matmul_desc_t matmul;
    dnnl_status_t status = dnnl_matmul_desc_init(&matmul, left, right, NULL, to);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(ret_desc, &matmul, attributes, engine, NULL);
    return status;
}

static inline dnnl_status_t
onednn_append_sum(dnnl_post_ops_t post)
{
    return dnnl_post_ops_append_sum(post, 1.0f);
}

#endif

#endif

#endif
