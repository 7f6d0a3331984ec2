/* SPDX-License-Identifier: Apache-2.0
 * libyaml twice: its events first, because only they show anchors, tags and depth, then its
 * document. Without anchors the document is a tree, so that a reader may descend without looking
 * back. */
#include "base/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/alloc.h"
#include "base/limits.h"

enum { NAME_SHOWN_MAX = 200 };

struct dpc_yaml {
    const char *name;
    yaml_document_t document;
};

static yaml_document_t *
document_of(const struct dpc_yaml *yaml)
{
    return (yaml_document_t *)(uintptr_t)&yaml->document;
}

static const yaml_node_t *
unwrap(const struct dpc_yaml_node *node)
{
    return (const yaml_node_t *)node;
}

static const struct dpc_yaml_node *
node_at(const struct dpc_yaml *yaml, int index)
{
    return (const struct dpc_yaml_node *)yaml_document_get_node(document_of(yaml), index);
}

/* What libyaml says about the input that it could not read. */
static int
syntax_error(const char *name, const yaml_parser_t *parser, struct dpc_error *err)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return dpc_error_set(err, DPC_ENOMEM, "could not read \"%s\": out of memory", name);
    if (parser->error == YAML_READER_ERROR)
        return dpc_error_set(err, DPC_EPARSE, "%s: not text in UTF-8 at byte %zu: %s", name,
                             parser->problem_offset, parser->problem);
    return dpc_error_set(err, DPC_EPARSE, "%s:%zu: not YAML at column %zu: %s%s%s", name,
                         parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                         parser->problem ? parser->problem : "unknown reason",
                         parser->context ? " " : "", parser->context ? parser->context : "");
}

static bool
has_anchor_or_tag(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return false;
    }
}

/* How far the next event lies from the root, and how many documents there were. */
struct position {
    int depth;
    int documents;
};

static void
advance(struct position *position, yaml_event_type_t type)
{
    if (type == YAML_DOCUMENT_START_EVENT)
        position->documents++;
    else if (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT)
        position->depth++;
    else if (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT)
        position->depth--;
}

static int
check_event(const char *name, const yaml_event_t *event, struct position *position,
            struct dpc_error *err)
{
    size_t line = event->start_mark.line + 1;
    advance(position, event->type);
    if (has_anchor_or_tag(event))
        return dpc_error_set(err, DPC_EUNSUPPORTED,
                             "%s:%zu: anchors, aliases and tags (&, *, !) are not supported: "
                             "write the value out",
                             name, line);
    if (position->documents > 1)
        return dpc_error_set(err, DPC_EPARSE, "%s:%zu: a second document begins; one is allowed",
                             name, line);
    if (position->depth > DPC_CONFIG_DEPTH_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "%s:%zu: nested more than %d deep", name, line,
                             DPC_CONFIG_DEPTH_MAX);
    if (event->type == YAML_SCALAR_EVENT &&
        memchr(event->data.scalar.value, 0, event->data.scalar.length))
        return dpc_error_set(err, DPC_EPARSE, "%s:%zu: a zero byte stands in a text", name, line);
    return DPC_OK;
}

static int
check_events(const char *name, yaml_parser_t *parser, struct dpc_error *err)
{
    struct position position = {0};
    int code = DPC_OK;
    bool more = true;
    while (code == DPC_OK && more) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event))
            return syntax_error(name, parser, err);
        more = event.type != YAML_STREAM_END_EVENT;
        code = check_event(name, &event, &position, err);
        yaml_event_delete(&event);
    }
    return code;
}

static int
load_document(const char *name, yaml_parser_t *parser, struct dpc_yaml **ret_yaml,
              struct dpc_error *err)
{
    struct dpc_yaml *yaml = dpc_alloc(1, sizeof *yaml);
    yaml->name = name;
    if (!yaml_parser_load(parser, &yaml->document)) {
        dpc_free(yaml);
        return syntax_error(name, parser, err);
    }
    *ret_yaml = yaml;
    return DPC_OK;
}

/* Runs one pass over the input: the check of events, or with `ret_yaml` the load. */
static int
run_parser(const char *name, const char *text, size_t len, struct dpc_yaml **ret_yaml,
           struct dpc_error *err)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return dpc_error_set(err, DPC_ENOMEM, "could not read \"%s\": out of memory", name);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    int code =
        ret_yaml ? load_document(name, &parser, ret_yaml, err) : check_events(name, &parser, err);
    yaml_parser_delete(&parser);
    return code;
}

int
dpc_yaml_parse(const char *name, const char *text, size_t len, struct dpc_yaml **ret_yaml,
               struct dpc_error *err)
{
    size_t name_len = strlen(name);
    const char *shown = name_len > NAME_SHOWN_MAX ? name + name_len - NAME_SHOWN_MAX : name;
    if (len > DPC_CONFIG_BYTES_MAX)
        return dpc_error_set(err, DPC_ELIMIT, "could not read \"%s\": it is larger than %zu bytes",
                             shown, DPC_CONFIG_BYTES_MAX);
    int code = run_parser(shown, text, len, NULL, err);
    return code == DPC_OK ? run_parser(shown, text, len, ret_yaml, err) : code;
}

struct dpc_yaml *
dpc_yaml_destroy(struct dpc_yaml *yaml)
{
    if (yaml)
        yaml_document_delete(&yaml->document);
    return dpc_free(yaml);
}

const char *
dpc_yaml_name(const struct dpc_yaml *yaml)
{
    return yaml->name;
}

const struct dpc_yaml_node *
dpc_yaml_root(const struct dpc_yaml *yaml)
{
    return (const struct dpc_yaml_node *)yaml_document_get_root_node(document_of(yaml));
}

enum dpc_yaml_kind
dpc_yaml_kind(const struct dpc_yaml_node *node)
{
    switch (unwrap(node)->type) {
    case YAML_SEQUENCE_NODE:
        return DPC_YAML_LIST;
    case YAML_MAPPING_NODE:
        return DPC_YAML_MAP;
    default:
        return DPC_YAML_SCALAR;
    }
}

unsigned
dpc_yaml_line(const struct dpc_yaml_node *node)
{
    return (unsigned)unwrap(node)->start_mark.line + 1;
}

const char *
dpc_yaml_text(const struct dpc_yaml_node *node)
{
    const yaml_node_t *scalar = unwrap(node);
    return scalar->type == YAML_SCALAR_NODE ? (const char *)scalar->data.scalar.value : NULL;
}

bool
dpc_yaml_is_plain(const struct dpc_yaml_node *node)
{
    const yaml_node_t *scalar = unwrap(node);
    return scalar->type == YAML_SCALAR_NODE && scalar->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

size_t
dpc_yaml_count(const struct dpc_yaml_node *node)
{
    const yaml_node_t *inside = unwrap(node);
    if (inside->type == YAML_SEQUENCE_NODE)
        return (size_t)(inside->data.sequence.items.top - inside->data.sequence.items.start);
    if (inside->type == YAML_MAPPING_NODE)
        return (size_t)(inside->data.mapping.pairs.top - inside->data.mapping.pairs.start);
    return 0;
}

const struct dpc_yaml_node *
dpc_yaml_at(const struct dpc_yaml *yaml, const struct dpc_yaml_node *node, size_t index)
{
    const yaml_node_t *inside = unwrap(node);
    if (inside->type == YAML_SEQUENCE_NODE)
        return node_at(yaml, inside->data.sequence.items.start[index]);
    return node_at(yaml, inside->data.mapping.pairs.start[index].value);
}

const struct dpc_yaml_node *
dpc_yaml_key_at(const struct dpc_yaml *yaml, const struct dpc_yaml_node *map, size_t index)
{
    return node_at(yaml, unwrap(map)->data.mapping.pairs.start[index].key);
}
