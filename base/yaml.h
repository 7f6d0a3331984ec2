/* SPDX-License-Identifier: Apache-2.0
 *
 * One YAML document as a tree with line numbers: the plain subset that a configuration needs.
 * Scalars are texts; what they mean is their reader's business (base/keys.h).
 *
 * Owns: the tree owns its nodes; `name` and the input stay the caller's, and the name must live as
 * long as the tree. Threads: a tree belongs to one thread.
 * Limits: DPC_CONFIG_BYTES_MAX, DPC_CONFIG_DEPTH_MAX. Refused with their line: syntax errors, more
 * than one document, anchors and aliases, tags, zero bytes in texts.
 */
#ifndef DPC_BASE_YAML_H
#define DPC_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dpc_yaml;
struct dpc_yaml_node;

enum dpc_yaml_kind { DPC_YAML_SCALAR, DPC_YAML_LIST, DPC_YAML_MAP };

/* `name` stands for the file in errors. DPC_EPARSE, DPC_EUNSUPPORTED (anchors, tags), DPC_ELIMIT.
 */
int dpc_yaml_parse(const char *name, const char *text, size_t len, struct dpc_yaml **ret_yaml,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL, returns NULL. */
struct dpc_yaml *dpc_yaml_destroy(struct dpc_yaml *yaml);

/* The name given to _parse; of a very long one the end, so that an error has room for its reason.
 */
const char *dpc_yaml_name(const struct dpc_yaml *yaml);
/* NULL for an empty document. */
const struct dpc_yaml_node *dpc_yaml_root(const struct dpc_yaml *yaml);

enum dpc_yaml_kind dpc_yaml_kind(const struct dpc_yaml_node *node);
/* Counted from 1. */
unsigned dpc_yaml_line(const struct dpc_yaml_node *node);
/* The text of a scalar, NULL for a list or map; and whether it stands without quotes. */
const char *dpc_yaml_text(const struct dpc_yaml_node *node);
bool dpc_yaml_is_plain(const struct dpc_yaml_node *node);
/* Items of a list or pairs of a map; 0 for a scalar. */
size_t dpc_yaml_count(const struct dpc_yaml_node *node);
/* The item, or the value of the pair, at `index` < count. */
const struct dpc_yaml_node *dpc_yaml_at(const struct dpc_yaml *yaml,
                                        const struct dpc_yaml_node *node, size_t index);
/* The key of the pair at `index` < count of a map. */
const struct dpc_yaml_node *dpc_yaml_key_at(const struct dpc_yaml *yaml,
                                            const struct dpc_yaml_node *map, size_t index);

#endif
