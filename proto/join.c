/* SPDX-License-Identifier: Apache-2.0
 * 69 bytes are 92 characters without padding. Base64url and not Z85, in which keys stand elsewhere:
 * Z85 has characters that shells and YAML take for their own. */
#include "proto/join.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

enum {
    FORM = 1,
    KEY_AT = 1,
    SECRET_AT = KEY_AT + DPC_KEY_BYTES,
    CHECK_AT = SECRET_AT + DPC_KEY_BYTES,
    CHECK_BYTES = 4,
    PAYLOAD_BYTES = CHECK_AT + CHECK_BYTES,
    PAYLOAD_CHARACTERS = PAYLOAD_BYTES / 3 * 4,
};
_Static_assert(PAYLOAD_BYTES % 3 == 0, "no padding");

static const char scheme[] = "dipaco://";
static const char tcp_scheme[] = "tcp://";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
encode(const uint8_t bytes[PAYLOAD_BYTES], char ret_text[PAYLOAD_CHARACTERS + 1])
{
    for (size_t i = 0; i < PAYLOAD_BYTES / 3; i++) {
        uint32_t three = (uint32_t)bytes[3 * i] << 16 | (uint32_t)bytes[3 * i + 1] << 8 |
                         (uint32_t)bytes[3 * i + 2];
        for (size_t j = 0; j < 4; j++)
            ret_text[4 * i + j] = alphabet[three >> (18 - 6 * j) & 63];
    }
    ret_text[PAYLOAD_CHARACTERS] = '\0';
}

/* Exactly PAYLOAD_CHARACTERS of the alphabet; blanks behind them come with copying. */
static bool
decode(const char *text, uint8_t ret_bytes[PAYLOAD_BYTES])
{
    size_t len = strcspn(text, " \t\r\n");
    if (len != PAYLOAD_CHARACTERS || text[len + strspn(text + len, " \t\r\n")])
        return false;
    for (size_t i = 0; i < PAYLOAD_BYTES / 3; i++) {
        uint32_t three = 0;
        for (size_t j = 0; j < 4; j++) {
            const char *at = strchr(alphabet, text[4 * i + j]);
            if (!at)
                return false;
            three = three << 6 | (uint32_t)(at - alphabet);
        }
        ret_bytes[3 * i] = (uint8_t)(three >> 16);
        ret_bytes[3 * i + 1] = (uint8_t)(three >> 8);
        ret_bytes[3 * i + 2] = (uint8_t)three;
    }
    return true;
}

/* What the last bytes of the payload must be. */
static void
check_of(const char *place, size_t place_len, const uint8_t *payload,
         uint8_t ret_check[CHECK_BYTES])
{
    struct dpc_hasher hasher;
    struct dpc_hash hash;
    dpc_hasher_start(&hasher);
    dpc_hasher_add(&hasher, place, place_len);
    dpc_hasher_add(&hasher, payload, CHECK_AT);
    dpc_hasher_finish(&hasher, &hash);
    memcpy(ret_check, hash.bytes, CHECK_BYTES);
}

/* A name, an IPv4 address, or an IPv6 address in brackets, of one machine; then the port. */
static bool
is_place(const char *place)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    size_t len = place[0] == '[' ? strcspn(place, "]") + 1 : strspn(place, letters);
    bool bracketed = place[0] == '[' && strspn(place + 1, "0123456789abcdefABCDEF:.") + 2 == len;
    bool any = strncmp(place, "0.0.0.0:", 8) == 0 || strncmp(place, "[::]", 4) == 0;
    return len > 0 && (place[0] != '[' || bracketed) && place[len] == ':' && !any;
}

int
dpc_join_check_endpoint(const char *endpoint, struct dpc_error *err)
{
    int code = dpc_endpoint_check(endpoint, false, err);
    if (code == DPC_OK && (strncmp(endpoint, tcp_scheme, strlen(tcp_scheme)) != 0 ||
                           !is_place(endpoint + strlen(tcp_scheme))))
        code =
            dpc_error_set(err, DPC_EINVAL,
                          "\"%.200s\" is no endpoint that a worker elsewhere could connect to: it "
                          "looks like tcp://HOST:PORT, with the name or address of one machine",
                          endpoint);
    return code;
}

int
dpc_join_print(const struct dpc_join *join, char ret_text[DPC_JOIN_TEXT_MAX], struct dpc_error *err)
{
    uint8_t payload[PAYLOAD_BYTES] = {FORM};
    char characters[PAYLOAD_CHARACTERS + 1];
    const char *endpoint = join->coordinator.endpoint;
    int code = dpc_join_check_endpoint(endpoint, err);
    if (code != DPC_OK)
        return code;
    const char *place = endpoint + strlen(tcp_scheme);
    memcpy(payload + KEY_AT, join->coordinator.key.bytes, DPC_KEY_BYTES);
    memcpy(payload + SECRET_AT, join->secret_key.bytes, DPC_KEY_BYTES);
    check_of(place, strlen(place), payload, payload + CHECK_AT);
    encode(payload, characters);
    (void)snprintf(ret_text, DPC_JOIN_TEXT_MAX, "%s%s/%s", scheme, place, characters);
    explicit_bzero(payload, sizeof payload);
    explicit_bzero(characters, sizeof characters);
    return DPC_OK;
}

static int
read_payload(const uint8_t payload[PAYLOAD_BYTES], const char *place, size_t place_len,
             struct dpc_join *join, struct dpc_error *err)
{
    uint8_t check[CHECK_BYTES];
    if (payload[0] != FORM)
        return dpc_error_set(err, DPC_EVERSION,
                             "could not read the join string: it is of form %u, this program knows "
                             "form %d; a newer release reads it",
                             payload[0], FORM);
    check_of(place, place_len, payload, check);
    if (memcmp(check, payload + CHECK_AT, CHECK_BYTES) != 0)
        return dpc_error_set(
            err, DPC_EPARSE,
            "could not read the join string: a character is missing or wrong; copy "
            "it again, whole");
    memcpy(join->coordinator.key.bytes, payload + KEY_AT, DPC_KEY_BYTES);
    memcpy(join->secret_key.bytes, payload + SECRET_AT, DPC_KEY_BYTES);
    return DPC_OK;
}

int
dpc_join_parse(const char *text, struct dpc_join *ret_join, struct dpc_error *err)
{
    uint8_t payload[PAYLOAD_BYTES];
    struct dpc_join join;
    const char *place = text + strlen(scheme);
    const char *slash = strncmp(text, scheme, strlen(scheme)) == 0 ? strchr(place, '/') : NULL;
    size_t place_len = slash ? (size_t)(slash - place) : 0;
    int len = slash ? snprintf(join.coordinator.endpoint, sizeof join.coordinator.endpoint,
                               "%s%.*s", tcp_scheme, (int)place_len, place)
                    : -1;
    if (len < 0 || (size_t)len >= sizeof join.coordinator.endpoint || !decode(slash + 1, payload))
        return dpc_error_set(err, DPC_EPARSE,
                             "could not read the join string: it looks like "
                             "dipaco://HOST:PORT/ and %d letters and digits; copy it again, whole",
                             PAYLOAD_CHARACTERS);
    int code = read_payload(payload, place, place_len, &join, err);
    if (code == DPC_OK && dpc_join_check_endpoint(join.coordinator.endpoint, err) != DPC_OK)
        code = dpc_error_prefix(err, DPC_EPARSE, "could not read the join string");
    if (code == DPC_OK)
        *ret_join = join;
    explicit_bzero(payload, sizeof payload);
    explicit_bzero(&join, sizeof join);
    return code;
}
