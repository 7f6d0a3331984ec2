/* SPDX-License-Identifier: Apache-2.0
 *
 * Channels: ZeroMQ sockets with CURVE, our own ZAP handler and the limits of base/limits.h.
 * A *listener* is the coordinator's side (ROUTER), a *link* the other (DEALER).
 *
 * Owns: a net owns the ZeroMQ context and the ZAP thread; listeners and links must be closed first.
 * Threads: a net's authorisation calls may come from any thread; a listener or link belongs to the
 * thread that opened it. Nothing here blocks but dpc_channel_poll and the _destroy's short linger.
 * Limits: ZMQ_MAXMSGSIZE just above DPC_CHUNK_BYTES_MAX, one body frame a message,
 * high-water marks.
 * Not here: what messages mean (coordinator/, worker/).
 */
#ifndef DPC_PROTO_CHANNEL_H
#define DPC_PROTO_CHANNEL_H

#include "base/error.h"
#include "proto/message.h"

enum { DPC_KEY_TEXT_MAX = 41 }; /* Z85 with its final zero */

struct dpc_keypair {
    struct dpc_key public_key, secret_key;
};

enum dpc_role {
    DPC_ROLE_NONE,
    DPC_ROLE_ENROL, /* an invitation's key: may ask to be taken in, and nothing else */
    DPC_ROLE_WORKER,
    DPC_ROLE_ADMIN
};

void dpc_keypair_generate(struct dpc_keypair *ret_keypair);
/* A secret key file: two lines "public-key Z85", "secret-key Z85", mode 0600; a wider mode is
 * refused with the chmod that mends it. */
int dpc_keypair_load(const char *path, struct dpc_keypair *ret_keypair,
                     struct dpc_error *err) DPC_MUST_CHECK;
/* Never replaces a file: DPC_EEXIST. Also writes the public half to `path`.pub, mode 0644. */
int dpc_keypair_save(const char *path, const struct dpc_keypair *keypair,
                     struct dpc_error *err) DPC_MUST_CHECK;
/* The public key of a `.pub` file. */
int dpc_key_load(const char *path, struct dpc_key *ret_key, struct dpc_error *err) DPC_MUST_CHECK;
/* Both halves from the secret one. False where it is none. */
bool dpc_keypair_complete(const struct dpc_key *secret_key, struct dpc_keypair *ret_keypair);
void dpc_key_text(const struct dpc_key *key, char ret_text[DPC_KEY_TEXT_MAX]);
void dpc_key_bytes_text(const uint8_t bytes[static DPC_KEY_BYTES], char ret_text[DPC_KEY_TEXT_MAX]);
/* Its first four bytes in hex, for people to compare: a machine says its own while it waits for
 * `dipacoctl approve`. */
enum { DPC_KEY_ID_MAX = 9 };
void dpc_key_id(const uint8_t bytes[static DPC_KEY_BYTES], char ret_id[DPC_KEY_ID_MAX]);
bool dpc_key_parse(const char *text, struct dpc_key *ret_key);
bool dpc_key_equal(const struct dpc_key *a, const struct dpc_key *b);

/* A coordinator as its workers know it: a `.pub` file, in which a line "endpoint tcp://HOST:PORT"
 * may say where its control channel is ("": it does not). */
struct dpc_coordinator {
    struct dpc_key key;
    char endpoint[DPC_ENDPOINT_MAX];
};
int dpc_coordinator_load(const char *path, struct dpc_coordinator *ret_coordinator,
                         struct dpc_error *err) DPC_MUST_CHECK;
/* Replaces the file as one whole. */
int dpc_coordinator_save(const char *path, const struct dpc_coordinator *coordinator,
                         struct dpc_error *err) DPC_MUST_CHECK;

struct dpc_net;

/* Seeds libc's rand() from the kernel before the first socket: libzmq draws routing ids from it. */
int dpc_net_create(struct dpc_net **ret_net, struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_net *dpc_net_destroy(struct dpc_net *net);

/* Who may connect to this net's CURVE listeners, and as what. A key that is not listed is turned
 * away by the ZAP handler. DPC_ELIMIT at DPC_KEYS_MAX. */
int dpc_net_authorize(struct dpc_net *net, const struct dpc_key *key,
                      enum dpc_role role) DPC_MUST_CHECK;
void dpc_net_revoke(struct dpc_net *net, const struct dpc_key *key);

enum dpc_channel_kind { DPC_CHANNEL_CONTROL, DPC_CHANNEL_BULK, DPC_CHANNEL_ADMIN };

/* Where a message came from and where its answer goes. `key` is the CURVE key that the handshake
 * proved (zero on the admin channel, whose role is ADMIN by the file mode of its socket). */
struct dpc_peer {
    struct dpc_key key;
    enum dpc_role role;
    uint8_t routing_id[32];
    uint8_t routing_len;
    int fd; /* of the connection; below 0: not known */
};

struct dpc_listener;

/* CONTROL and BULK need `keypair`; ADMIN takes an ipc endpoint, socket mode 0660, and no key;
 * a socket file that nobody listens on is replaced.
 * A port in use: DPC_EBUSY with the endpoint in the text. "tcp://127.0.0.1:*" picks a port. */
int dpc_listener_open(struct dpc_net *net, enum dpc_channel_kind kind, const char *endpoint,
                      const struct dpc_keypair *keypair, struct dpc_listener **ret_listener,
                      struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_listener *dpc_listener_close(struct dpc_listener *listener);
/* The endpoint with its real port. */
const char *dpc_listener_endpoint(const struct dpc_listener *listener);

/* One message. DPC_EAGAIN when there is none; DPC_EPROTO (and DPC_ELIMIT, DPC_EVERSION) when a peer
 * sent garbage, DPC_EPERM when its key was revoked: `ret_peer` says who, `err` what, and the next
 * call goes on with the next message. */
int dpc_listener_receive(struct dpc_listener *listener, struct dpc_peer *ret_peer,
                         struct dpc_msg *ret_msg, struct dpc_error *err) DPC_MUST_CHECK;
/* Where the message came from that was received last: an IP address as text; "" when unknown. */
const char *dpc_listener_address(const struct dpc_listener *listener);
/* Never blocks. DPC_ENOTFOUND when the peer has gone, DPC_EAGAIN when its queue is full, or all of
 * them together and its own is not empty (outflow.h). */
int dpc_listener_send(struct dpc_listener *listener, const struct dpc_peer *peer,
                      const struct dpc_msg *msg) DPC_MUST_CHECK;

struct dpc_link;

/* `keypair` and `server_key` NULL for ADMIN. Connects and reconnects by itself, with growing
 * pauses. */
int dpc_link_open(struct dpc_net *net, enum dpc_channel_kind kind, const char *endpoint,
                  const struct dpc_keypair *keypair, const struct dpc_key *server_key,
                  struct dpc_link **ret_link, struct dpc_error *err) DPC_MUST_CHECK;
struct dpc_link *dpc_link_close(struct dpc_link *link);

/* How the connection stands, for a person: an unauthorised key is refused (exit code 4), a server
 * that nobody reaches is no contact (3). The link goes on trying in every state. */
enum dpc_link_state {
    DPC_LINK_CONNECTING, /* nobody answers yet, or the connection broke */
    DPC_LINK_UP,
    DPC_LINK_REFUSED,  /* the coordinator does not know our key */
    DPC_LINK_MISMATCH, /* the handshake failed: what answers has not the server key that we were
                        * given, speaks another protocol, breaks off or says nothing */
};
enum dpc_link_state dpc_link_state(struct dpc_link *link);
/* Gives up the connection that stands, and makes another one. */
void dpc_link_renew(struct dpc_link *link);
/* Counts the connections that stood. What was under way when it grew is lost. */
uint64_t dpc_link_epoch(struct dpc_link *link);

/* DPC_EAGAIN when there is none; DPC_EPROTO and its kin as for a listener. */
int dpc_link_receive(struct dpc_link *link, struct dpc_msg *ret_msg,
                     struct dpc_error *err) DPC_MUST_CHECK;
/* Never blocks. DPC_EAGAIN when there is no connection or its queue is full. */
int dpc_link_send(struct dpc_link *link, const struct dpc_msg *msg) DPC_MUST_CHECK;

/* Bytes of frames that went through, both directions seen from the listener. */
struct dpc_traffic {
    uint64_t bytes_sent, bytes_received, messages_sent, messages_received;
};
struct dpc_traffic dpc_listener_traffic(const struct dpc_listener *listener);

/* Waits until one of the items is readable or the time is over. Each item has exactly one of
 * listener, link or fd (>= 0, the other two NULL). Returns 0, or DPC_EAGAIN when time ran out (or a
 * signal came) with nothing readable. */
struct dpc_poll_item {
    struct dpc_listener *listener;
    struct dpc_link *link;
    int fd;
    bool readable; /* the answer */
};
int dpc_channel_poll(struct dpc_poll_item *items, size_t count, int64_t timeout_ms) DPC_MUST_CHECK;

/* DPC_EINVAL unless it is tcp://HOST:PORT, with port "*" only for who listens, or ipc://PATH. */
int dpc_endpoint_check(const char *endpoint, bool listens, struct dpc_error *err) DPC_MUST_CHECK;

/* DPC_EINVAL unless it is http:// or https:// with a host, a port or none, and a path or none: no
 * user, no query, nothing that is not printed. */
int dpc_url_check(const char *url, struct dpc_error *err) DPC_MUST_CHECK;

/* "tcp://0.0.0.0:7601" as `from` a worker that reached the coordinator at "tcp://host:7600".
 * DPC_EINVAL for a local socket where that was none. */
int dpc_endpoint_resolve(const char *endpoint, const char *from, char *ret_endpoint,
                         size_t size) DPC_MUST_CHECK;

#endif
