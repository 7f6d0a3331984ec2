/* SPDX-License-Identifier: Apache-2.0
 * A cache that is filled from a web server of this program's own, which misbehaves in all ways that
 * it knows. What the mirror does not bring is asked of nobody else here. */
#include "worker/blobs/mirror.h"

#include <poll.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/fault_vfs.h"
#include "tests/unit/storage/scratch.h"
#include "tests/unit/worker/tls_front.h"
#include "tests/unit/worker/web_server.h"
#include "worker/blobs/cache.h"

enum {
    BLOBS = 3,
    BYTES = 3 * DPC_TRANSFER_CHUNK + 12345,
    SMALL = DPC_BLOB_INLINE_MAX,
    SILENT_MS = 3000,
    PIECE_MS = 4000,
    DEADLINE_MS = 20000,
};

struct rig {
    struct fault_disk *disk;
    struct dpc_cache *cache;
    struct dpc_transfer_files files;
    struct dpc_transfer_gate gate;
    struct web_server server;
    struct dpc_mirror *mirror;
    uint8_t *contents[BLOBS];
    struct dpc_blob_ref refs[BLOBS];
    struct dpc_blob_ref missed[BLOBS];
    uint32_t missed_count;
    int64_t now_ms; /* as the mirror is told */
    size_t asked;   /* of the gate */
    size_t rate;    /* bytes a request at most; 0: any */
    struct dpc_error err;
};

static uint8_t *
find(void *context, const char *path, size_t *ret_len)
{
    struct rig *rig = context;
    for (int i = 0; i < BLOBS; i++) {
        char name[DPC_HASH_HEX_MAX], expected[128];
        dpc_hash_hex(&rig->refs[i].hash, name, sizeof name);
        (void)snprintf(expected, sizeof expected, "/blobs/%.2s/%s", name, name);
        if (strcmp(path, expected) != 0)
            continue;
        *ret_len = (size_t)rig->refs[i].bytes;
        uint8_t *bytes = dpc_alloc(*ret_len + 1, 1);
        memcpy(bytes, rig->contents[i], *ret_len);
        return bytes;
    }
    return NULL;
}

static size_t
may(void *context, bool up, size_t len, int64_t now_ms)
{
    const struct rig *rig = context;
    (void)now_ms;
    CU_ASSERT_FALSE(up);
    return rig->rate && rig->rate < len ? rig->rate : len;
}

static void
moved(void *context, bool up, size_t len)
{
    struct rig *rig = context;
    (void)up;
    rig->asked += len;
}

static void
open_mirror_at(struct rig *rig, const char *host, const char *ca_file)
{
    char url[128];
    (void)snprintf(url, sizeof url, "%s/blobs/", host);
    struct dpc_http_wire_options options = {
        .url = url, .ca_file = ca_file, .silent_ms = SILENT_MS, .piece_ms = PIECE_MS};
    CU_ASSERT_EQUAL_FATAL(
        dpc_mirror_open(&options, &rig->files, &rig->gate, &rig->mirror, &rig->err), DPC_OK);
}

static void
open_mirror(struct rig *rig)
{
    open_mirror_at(rig, rig->server.url, NULL);
}

/* The last blob is one that the mirror is not asked for. */
static void
begin(struct rig *rig)
{
    memset(rig, 0, sizeof *rig);
    rig->disk = fault_disk_create();
    CU_ASSERT_EQUAL_FATAL(dpc_cache_open(fault_disk_vfs(rig->disk), "/disk/cache", 64 * DPC_MIB,
                                         &rig->cache, &rig->err),
                          DPC_OK);
    rig->files = dpc_cache_files(rig->cache);
    rig->gate = (struct dpc_transfer_gate){.may = may, .moved = moved, .context = rig};
    for (int i = 0; i < BLOBS; i++) {
        size_t len = i == BLOBS - 1 ? SMALL : BYTES + (size_t)i;
        rig->contents[i] = dpc_alloc(len, 1);
        for (size_t at = 0; at < len; at++)
            rig->contents[i][at] = (uint8_t)(at * 31 + at / 251 + (size_t)i);
        rig->refs[i].bytes = len;
        dpc_hash_of(rig->contents[i], len, &rig->refs[i].hash);
    }
    rig->server.find = find;
    rig->server.context = rig;
    CU_ASSERT_FATAL(web_start(&rig->server));
    open_mirror(rig);
}

static void
end(struct rig *rig)
{
    dpc_mirror_close(rig->mirror);
    web_stop(&rig->server);
    for (int i = 0; i < BLOBS; i++)
        dpc_free(rig->contents[i]);
    dpc_cache_close(rig->cache);
    fault_disk_destroy(rig->disk);
}

static void
pump(struct rig *rig)
{
    struct dpc_blob_ref missed;
    while (dpc_mirror_pump(rig->mirror, rig->now_ms, &missed)) {
        CU_ASSERT_FATAL(rig->missed_count < BLOBS);
        rig->missed[rig->missed_count++] = missed;
    }
}

/* Until nothing is under way, or the cache has so many bytes of the first blob. */
static void
run_to(struct rig *rig, uint64_t bytes)
{
    int64_t began_ms = dpc_clock_now_ms(&dpc_clock_system), now_ms = began_ms;
    int64_t offset_ms = rig->now_ms;
    uint64_t have = 0;
    pump(rig);
    while (!dpc_mirror_is_idle(rig->mirror) && have < bytes && now_ms < began_ms + DEADLINE_MS) {
        struct pollfd wait = {.fd = dpc_mirror_fd(rig->mirror), .events = POLLIN};
        (void)poll(&wait, 1, 50);
        now_ms = dpc_clock_now_ms(&dpc_clock_system);
        rig->now_ms = offset_ms + now_ms - began_ms;
        pump(rig);
        (void)rig->files.have(rig->files.context, &rig->refs[0], &have);
    }
    CU_ASSERT_FATAL(now_ms < began_ms + DEADLINE_MS);
}

static void
run(struct rig *rig)
{
    run_to(rig, UINT64_MAX);
}

static bool
fetch(struct rig *rig, int blob)
{
    return dpc_mirror_fetch(rig->mirror, &rig->refs[blob], rig->now_ms);
}

static bool
is_here(struct rig *rig, int blob)
{
    uint8_t *bytes;
    if (dpc_cache_load(rig->cache, &rig->refs[blob], &bytes, &rig->err) != DPC_OK)
        return false;
    bool same = memcmp(bytes, rig->contents[blob], (size_t)rig->refs[blob].bytes) == 0;
    dpc_free(bytes);
    return same;
}

static bool
is_missed(const struct rig *rig, int blob)
{
    for (uint32_t i = 0; i < rig->missed_count; i++) {
        if (dpc_hash_equal(&rig->missed[i].hash, &rig->refs[blob].hash))
            return true;
    }
    return false;
}

/* --- Tests. */

static void
test_brings(void)
{
    struct rig rig;
    begin(&rig);
    CU_ASSERT(fetch(&rig, 0));
    CU_ASSERT(fetch(&rig, 1));
    CU_ASSERT(fetch(&rig, 0)); /* twice is once */
    CU_ASSERT_FALSE(fetch(&rig, 2));
    run(&rig);
    CU_ASSERT(is_here(&rig, 0) && is_here(&rig, 1));
    CU_ASSERT_EQUAL(rig.missed_count, 0);
    CU_ASSERT_EQUAL(rig.server.requests, 2);
    CU_ASSERT_EQUAL(rig.server.connections, 1);
    CU_ASSERT_EQUAL(dpc_mirror_bytes(rig.mirror), rig.refs[0].bytes + rig.refs[1].bytes);
    CU_ASSERT_EQUAL(rig.asked, dpc_mirror_bytes(rig.mirror));
    CU_ASSERT(fetch(&rig, 0)); /* here already: nobody is asked */
    run(&rig);
    CU_ASSERT_EQUAL(rig.server.requests, 2);
    end(&rig);
}

/* Whether the next blob is asked for before or after libcurl has seen the end of the last one is
 * chance: under load one of twenty was before, and cost a connection. */
static void
test_keeps_its_connection(void)
{
    for (int i = 0; i < 20; i++) {
        struct rig rig;
        begin(&rig);
        CU_ASSERT(fetch(&rig, 0));
        CU_ASSERT(fetch(&rig, 1));
        run(&rig);
        CU_ASSERT(is_here(&rig, 0) && is_here(&rig, 1));
        CU_ASSERT_EQUAL(rig.server.connections, 1);
        end(&rig);
    }
}

/* What is no fault of the blob's line is told once, and the mirror let alone for a while. */
static void
expect_pause(enum web_fault fault, size_t at)
{
    struct rig rig;
    begin(&rig);
    rig.server.fault = fault;
    rig.server.at = at;
    CU_ASSERT(fetch(&rig, 0));
    CU_ASSERT(fetch(&rig, 1));
    run(&rig);
    CU_ASSERT(is_missed(&rig, 0) && is_missed(&rig, 1));
    CU_ASSERT_FALSE(is_here(&rig, 0));
    unsigned asked = rig.server.requests;
    CU_ASSERT_FALSE(fetch(&rig, 1));
    CU_ASSERT(dpc_mirror_is_paused(rig.mirror, rig.now_ms));
    CU_ASSERT_EQUAL(rig.server.requests, asked);
    rig.now_ms += DPC_MIRROR_PAUSE_MS;
    rig.server.fault = WEB_CALM;
    rig.missed_count = 0;
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_here(&rig, 0));
    CU_ASSERT_EQUAL(rig.missed_count, 0);
    end(&rig);
}

static void
test_failures(void)
{
    expect_pause(WEB_FAILS, 0);
    expect_pause(WEB_LIES, 0);
    expect_pause(WEB_CUTS, 0);
    expect_pause(WEB_SHORTER, 0);
    expect_pause(WEB_LONGER, 0);
    expect_pause(WEB_CHUNKED, 0);
    expect_pause(WEB_REDIRECTS, 0);
    expect_pause(WEB_GARBAGE, 0);
    expect_pause(WEB_TRICKLES, 0);
    expect_pause(WEB_HANGS, DPC_TRANSFER_CHUNK + 1);
}

/* Each failure doubles the pause, up to a limit; a success ends that. */
static void
test_doubling(void)
{
    struct rig rig;
    int64_t pause_ms = DPC_MIRROR_PAUSE_MS;
    begin(&rig);
    for (int i = 0; i < 8; i++) {
        rig.server.fault = WEB_FAILS;
        rig.missed_count = 0;
        CU_ASSERT(fetch(&rig, 0));
        run(&rig);
        int64_t failed_ms = rig.now_ms;
        rig.now_ms = failed_ms + pause_ms - 1000;
        CU_ASSERT_FALSE(fetch(&rig, 0));
        rig.now_ms = failed_ms + pause_ms;
        pause_ms = pause_ms < DPC_MIRROR_PAUSE_MS_MAX ? 2 * pause_ms : pause_ms;
    }
    rig.server.fault = WEB_CALM;
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_here(&rig, 0));
    rig.server.fault = WEB_FAILS;
    rig.missed_count = 0;
    CU_ASSERT(fetch(&rig, 1));
    run(&rig);
    rig.now_ms += DPC_MIRROR_PAUSE_MS;
    CU_ASSERT(fetch(&rig, 1));
    end(&rig);
}

/* A blob that the mirror has not got yet is the coordinator's, and the next one may be there. */
static void
test_lacks(void)
{
    struct rig rig;
    begin(&rig);
    for (int i = 0; i < DPC_MIRROR_LACKS_MAX - 1; i++) {
        rig.server.fault = i % 2 ? WEB_LACKS : WEB_FORBIDS;
        rig.missed_count = 0;
        CU_ASSERT(fetch(&rig, 0));
        run(&rig);
        CU_ASSERT(is_missed(&rig, 0));
        CU_ASSERT(rig.asked <= (size_t)(i + 1) * DPC_TRANSFER_CHUNK); /* of the owner's month */
    }
    rig.server.fault = WEB_CALM;
    CU_ASSERT(fetch(&rig, 1));
    run(&rig);
    CU_ASSERT(is_here(&rig, 1));
    rig.server.fault = WEB_LACKS;
    for (int i = 0; i < DPC_MIRROR_LACKS_MAX; i++) {
        rig.missed_count = 0;
        CU_ASSERT(fetch(&rig, 0));
        run(&rig);
    }
    CU_ASSERT_FALSE(fetch(&rig, 0));
    end(&rig);
}

/* A line that breaks again and again gets on. */
static void
test_breaks(void)
{
    struct rig rig;
    begin(&rig);
    rig.server.fault = WEB_CUTS;
    rig.server.at = DPC_TRANSFER_CHUNK + 100000;
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_here(&rig, 0));
    CU_ASSERT_EQUAL(rig.server.connections, 3);
    CU_ASSERT_EQUAL(rig.server.bytes, rig.refs[0].bytes);
    CU_ASSERT_EQUAL(rig.asked, rig.refs[0].bytes);
    end(&rig);
}

/* One that stands still for a while is not asked twice: what is asked for counts as moved. */
static void
test_stalls(void)
{
    struct rig rig;
    begin(&rig);
    rig.server.fault = WEB_STALLS;
    rig.server.at = 2 * DPC_TRANSFER_CHUNK;
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_here(&rig, 0));
    CU_ASSERT_EQUAL(rig.server.requests, 1);
    CU_ASSERT_EQUAL(rig.asked, rig.refs[0].bytes);
    end(&rig);
}

/* A lease that is over leaves nothing that would wake the loop again and again. */
static void
test_cancelled(void)
{
    struct rig rig;
    begin(&rig);
    rig.server.fault = WEB_HANGS;
    rig.server.at = DPC_TRANSFER_CHUNK;
    CU_ASSERT(fetch(&rig, 0));
    pump(&rig);
    struct pollfd wait = {.fd = dpc_mirror_fd(rig.mirror), .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&wait, 1, DEADLINE_MS), 1);
    dpc_mirror_cancel(rig.mirror);
    CU_ASSERT_EQUAL(poll(&wait, 1, 100), 0);
    rig.server.fault = WEB_CALM;
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_here(&rig, 0));
    end(&rig);
}

/* What stands in the cache is not fetched again: not from a mirror, and not after one. */
static void
test_resumes(void)
{
    struct rig rig;
    begin(&rig);
    rig.server.fault = WEB_HANGS;
    rig.server.at = 2 * DPC_TRANSFER_CHUNK;
    CU_ASSERT(fetch(&rig, 0));
    run_to(&rig, 2 * DPC_TRANSFER_CHUNK);
    dpc_mirror_cancel(rig.mirror);
    CU_ASSERT(dpc_mirror_is_idle(rig.mirror));
    rig.mirror = dpc_mirror_close(rig.mirror);
    web_stop(&rig.server);
    rig.server = (struct web_server){.find = find, .context = &rig};
    CU_ASSERT_FATAL(web_start(&rig.server));
    open_mirror(&rig);
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_here(&rig, 0));
    CU_ASSERT_EQUAL(rig.server.bytes, rig.refs[0].bytes - 2 * DPC_TRANSFER_CHUNK);
    end(&rig);
}

/* A server that knows no ranges serves whole blobs, and no rests. */
static void
test_no_ranges(void)
{
    struct rig rig;
    begin(&rig);
    rig.server.fault = WEB_NO_RANGES;
    CU_ASSERT_EQUAL(rig.files.write(rig.files.context, &rig.refs[0], 0, rig.contents[0], 1000),
                    DPC_OK);
    CU_ASSERT(fetch(&rig, 1));
    run(&rig);
    CU_ASSERT(is_here(&rig, 1));
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_missed(&rig, 0));
    uint64_t have = 0;
    CU_ASSERT_EQUAL(rig.files.have(rig.files.context, &rig.refs[0], &have), DPC_OK);
    CU_ASSERT_EQUAL(have, 1000);
    end(&rig);
}

/* The server is held back by what the gate lets through, however small its pieces. */
static void
test_gate(void)
{
    struct rig rig;
    begin(&rig);
    rig.rate = 1000;
    CU_ASSERT(fetch(&rig, 0));
    run_to(&rig, 100000);
    CU_ASSERT(rig.asked < 100000 + 2 * 8 * 1000 + DPC_TRANSFER_CHUNK);
    rig.rate = 0;
    run(&rig);
    CU_ASSERT(is_here(&rig, 0));
    CU_ASSERT_EQUAL(rig.server.requests, 1);
    end(&rig);
}

/* A full disk is no fault of the mirror's. */
static void
test_full(void)
{
    struct rig rig;
    begin(&rig);
    rig.cache = dpc_cache_close(rig.cache);
    CU_ASSERT_EQUAL_FATAL(
        dpc_cache_open(fault_disk_vfs(rig.disk), "/disk/cache", BYTES / 2, &rig.cache, &rig.err),
        DPC_OK);
    rig.mirror = dpc_mirror_close(rig.mirror);
    rig.files = dpc_cache_files(rig.cache);
    open_mirror(&rig);
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_missed(&rig, 0));
    CU_ASSERT(fetch(&rig, 0));
    end(&rig);
}

/* A server that cannot prove its name is none, whatever it has. */
static void
test_certificates(void)
{
    struct rig rig;
    struct tls_front front;
    char folder[SCRATCH_PATH_MAX], ca_file[SCRATCH_PATH_MAX + 8];
    begin(&rig);
    (void)snprintf(ca_file, sizeof ca_file, "%s/ca.pem", scratch_make(folder));
    CU_ASSERT_FATAL(tls_start(&front, &rig.server, ca_file));
    dpc_mirror_close(rig.mirror);
    open_mirror_at(&rig, front.url, NULL);
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_missed(&rig, 0));
    CU_ASSERT(dpc_mirror_is_paused(rig.mirror, rig.now_ms));
    CU_ASSERT_EQUAL(rig.server.requests, 0);
    dpc_mirror_close(rig.mirror);
    open_mirror_at(&rig, front.url, ca_file);
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_here(&rig, 0));
    rig.mirror = dpc_mirror_close(rig.mirror);
    /* By another name than the certificate has. */
    char *host = strstr(front.url, "127.0.0.1");
    memcpy(host, "localhost", 9);
    open_mirror_at(&rig, front.url, ca_file);
    rig.missed_count = 0;
    CU_ASSERT(fetch(&rig, 1));
    run(&rig);
    CU_ASSERT(is_missed(&rig, 1));
    tls_stop(&front);
    scratch_remove(folder);
    end(&rig);
}

/* Nobody listens there. */
static void
test_away(void)
{
    struct rig rig;
    begin(&rig);
    web_stop(&rig.server);
    CU_ASSERT(fetch(&rig, 0));
    run(&rig);
    CU_ASSERT(is_missed(&rig, 0));
    CU_ASSERT_FALSE(fetch(&rig, 0));
    CU_ASSERT_FATAL(web_start(&rig.server));
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"a mirror brings blobs", test_brings},
    {"a mirror keeps its connection from blob to blob", test_keeps_its_connection},
    {"one that fails is let alone", test_failures},
    {"for longer each time", test_doubling},
    {"what it lacks", test_lacks},
    {"a line that breaks", test_breaks},
    {"a server that stalls", test_stalls},
    {"a lease that is over", test_cancelled},
    {"what is here is not fetched again", test_resumes},
    {"a server without ranges", test_no_ranges},
    {"the gate", test_gate},
    {"a full disk", test_full},
    {"certificates", test_certificates},
    {"a server that is away", test_away},
};

DPC_TEST_MAIN("worker/mirror", tests)
