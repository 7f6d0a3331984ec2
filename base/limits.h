/* SPDX-License-Identifier: Apache-2.0
 *
 * Every maximum of the system, with its unit and its reason. A limit that is reached is DPC_ELIMIT,
 * an error of its own: neither damage nor a fault of ours.
 */
#ifndef DPC_BASE_LIMITS_H
#define DPC_BASE_LIMITS_H

#include <stddef.h>

#define DPC_KIB ((size_t)1024)
#define DPC_MIB (1024 * DPC_KIB)
#define DPC_GIB (1024 * DPC_MIB)

enum {
    /* --- Texts, bytes with the final zero. */
    DPC_NAME_MAX = 64,       /* experiment, level, module, worker: fits a table column */
    DPC_PATH_MAX = 1024,     /* file names; well below PATH_MAX so that suffixes fit */
    DPC_ENDPOINT_MAX = 256,  /* "tcp://host:port", "ipc:///path" */
    DPC_LABEL_MAX = 128,     /* build, numeric class: a hash in hex fits */
    DPC_TEXT_MAX = 1024,     /* a reason for people, an argument; DPC_ERROR_TEXT_MAX fits */
    DPC_LOG_LINE_MAX = 2048, /* below PIPE_BUF: one write is one line */

    DPC_CONFIG_DEPTH_MAX = 16, /* lists and maps inside each other in a file; ours need 5 */

    /* --- Topology. */
    DPC_LEVELS_MAX = 16,        /* levels of a network; the paper uses 2 to 4 */
    DPC_MODULES_MAX = 4096,     /* modules of all levels together */
    DPC_PATHS_MAX = 65536,      /* the paper's 16x16 is 256; 65,536 is what the core is sized for */
    DPC_WARM_REPLICAS_MAX = 64, /* paths of the warm start: more make each round's merge no better */
    DPC_PATHS_LISTED_MAX = 512, /* combinations that a list names: written by hand, and the whole
                                   experiment still fits a control message */
    DPC_BLOCKS_MAX = 512,       /* blocks of one level */

    /* --- Model. */
    DPC_DIM_MAX = 16384,
    DPC_WHITEN_DIM_MAX = 4096, /* dimensions that routing whitens: a triangle of 64 MiB */
    DPC_NGRAMS_DIM = 256,      /* of features without a model (routing/ngrams.h) */
    DPC_CONTEXT_MAX = 65536,   /* tokens */
    DPC_VOCAB_MAX = 65536,     /* a token fits 16 bits */
    DPC_BATCH_MAX = 65536,     /* sequences of one inner step */
    DPC_STEPS_MAX = 1000000,   /* inner steps of one round */
    DPC_ROUNDS_MAX = 1000000,
    DPC_PARTS_MAX = 64, /* of one round of a path: each takes as much disk as the whole */
    DPC_STEPS_TOTAL_MAX = 1000000000, /* warm start and all rounds: a step's number fits 32 bits */

    DPC_POOL_THREADS_MAX = 256, /* of one process: scratch grows with each */

    /* --- Data. */
    DPC_DOCUMENTS_MAX = 1 << 26, /* documents of one corpus: 2 GiB of document table */

    /* --- Workers. */
    DPC_WORKERS_MAX = 16384,           /* identities known at a time */
    DPC_INVITATIONS_MAX = 256,         /* at one time */
    /* That may connect: workers' in files, those that came with an invitation, and invitations. */
    DPC_KEYS_MAX = 2 * DPC_WORKERS_MAX + DPC_INVITATIONS_MAX,
    DPC_PENDING_MAX = 256,             /* machines that wait for the operator's yes: a listing */
    DPC_PENDING_ADDRESS_MAX = 16,      /* of one address, or one IPv6 line: a fool leaves room */
    DPC_CHECKS_MAX = 256,              /* submissions that are looked at at a time: who is put off
                                          hands in again */
    DPC_LEASES_MAX = 2, /* of one worker: it computes one, and hands in what came of another */
    DPC_DOCUMENTS_PER_LEASE_MAX = 512, /* featurize and evaluate: some seconds of a small model */
    DPC_CHUNKS_MAX = 1 << 24, /* leases that scoring is cut into: 1 GiB of the core's memory */
    DPC_PIECE_TOKENS = 16,           /* routes at evaluation change between pieces of this length */
    DPC_PIECES_PER_LEASE_MAX = 8192, /* a lease's losses by piece: 160 KiB */
    DPC_REROUTES_MAX = 8,            /* distances between routes that one evaluation compares */
    DPC_MEMORY_PERCENT = 90, /* of a machine's memory that computing takes where nobody says it */
    DPC_REROUTE_PATHS_MAX = 65535,   /* a route is two bytes, and one value says none */

    /* --- dipaco serve. */
    DPC_SERVE_CONNECTIONS_MAX = 256, /* clients at a time */
    DPC_SERVE_ACTIVE_MAX = 32,       /* answers at a time: each has keys and values of a context */
    DPC_SERVE_TOKENS_MAX = 100000,   /* of one answer */
    DPC_SERVE_PATHS_MAX = 4096,      /* in memory at a time */

    /* --- The coordinator's HTTP side. */
    DPC_HTTP_CONNECTIONS_MAX = 16, /* at a time: browsers and scrapers of one machine */
    DPC_SERIES_EACH_MAX = 256,     /* workers, paths or modules that have series of their own;
                                      with more there are sums alone */
};

/* --- Sizes in bytes. */
#define DPC_CONFIG_BYTES_MAX (1 * DPC_MIB) /* an experiment file; larger is a mistake */
#define DPC_CONTROL_BYTES_MAX                                                                      \
    (64 * DPC_KIB) /* one control message: bounds what decoding can allocate */
#define DPC_CHUNK_BYTES_MAX                                                                        \
    (1 * DPC_MIB)                           /* one bulk frame; ZMQ_MAXMSGSIZE stands just above it \
                                             */
#define DPC_ADMIN_BYTES_MAX   (1 * DPC_MIB) /* one page of a listing */
#define DPC_HTTP_PAGE_BYTES_MAX (4 * DPC_MIB) /* all series with DPC_SERIES_EACH_MAX of each: 1 MiB */
#define DPC_BLOB_INLINE_MAX   (64 * DPC_KIB) /* blobs up to this stand in RocksDB itself */
#define DPC_SLOW_LINK_BYTES_S 125000         /* a slow home uplink: assumed until one is measured */
#define DPC_STORE_RESERVE_BYTES                                                                    \
    (32 * DPC_MIB) /* free room that a coordinator leaves: what RocksDB gathers in memory (25 MiB) \
                      fits */
#define DPC_BLOB_BYTES_MAX (64 * DPC_GIB) /* one blob: module version, path state or shard */
#define DPC_SAFETENSORS_HEADER_BYTES_MAX                                                           \
    (16 * DPC_MIB) /* lists 100,000 tensors, which a model of 10,000 blocks has */
#define DPC_DOCUMENT_BYTES_MAX                                                                     \
    (256 * DPC_MIB) /* one document at import; larger is cut by its owner */

#define DPC_SERVE_REQUEST_BYTES_MAX (256 * DPC_KIB) /* a prompt of the longest context */
#define DPC_SERVE_UNREAD_BYTES_MAX                                                                 \
    (64 * DPC_KIB) /* of a stream whose client is slower than its path */
#define DPC_TOKENIZER_FILE_BYTES_MAX (64 * DPC_MIB) /* 65,536 pieces take 1 to 2 MiB */
#define DPC_TOKENIZER_RUN_BYTES_MAX                                                                \
    (64 * DPC_KIB) /* that are cut into pieces at once: that takes 190 bytes a byte of text */
#define DPC_TOKENIZER_TEXT_BYTES_MAX                                                               \
    (16 * DPC_MIB) /* the same of a tokenizer that must see a text whole */
#define DPC_VOCABULARY_TEXT_BYTES_MAX                                                              \
    (32 * DPC_MIB) /* that a vocabulary is trained on: more costs time and gives hardly others */
#define DPC_VOCABULARY_DOCUMENT_BYTES_MAX                                                          \
    (1 * DPC_MIB) /* of one document of them, so that no giant decides */

/* Without a connection of a worker a coordinator has 40 open, and a worker 30; with fewer, libzmq
 * aborts at the start, and later what is opened fails now and then. */
#define DPC_DESCRIPTORS_MIN 64

/* A contribution's root mean square, a value. Weights are drawn near 0.02 and stay near 1; what
 * moves all of them by more in one round is no training, whoever sent it. */
#define DPC_DELTA_RMS_MAX 16.0
/* Nats a token: no network that learns comes near it, and sums and charts stand what is below. */
#define DPC_LOSS_MAX 1e6
/* What is added so that nothing is divided by zero: as fp32, which has no normal number below
 * 1.2e-38, it must not be zero itself. */
#define DPC_EPSILON_MIN 1e-37

/* What one connection may have sent that nobody has taken: twice what the high-water marks of
 * proto/socket.c let an honest one. With more of all together each may have left two pieces. */
#define DPC_UNTAKEN_BYTES_MAX       (64 * DPC_MIB)
#define DPC_UNTAKEN_ALL_BYTES_MAX   (1 * DPC_GIB)
#define DPC_UNTAKEN_CROWD_BYTES_MAX (2 * DPC_CHUNK_BYTES_MAX)
/* What is to go out on all connections and has not; with more than that one has two pieces. */
#define DPC_UNSENT_ALL_BYTES_MAX   (1 * DPC_GIB)
#define DPC_UNSENT_CROWD_BYTES_MAX (2 * DPC_CHUNK_BYTES_MAX)

_Static_assert(DPC_CONTROL_BYTES_MAX <= DPC_CHUNK_BYTES_MAX,
               "a control message fits a chunk's frame");
_Static_assert(DPC_BLOB_INLINE_MAX <= DPC_CHUNK_BYTES_MAX, "an inline blob travels in one chunk");

#endif
