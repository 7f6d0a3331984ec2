/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever an owner or an operator writes in one word or one small file: hours, rests, a share of a
 * battery, join strings, endpoints, keys, places of pages. What is accepted means something that is
 * within its bounds, and what can be printed reads as the same.
 *
 * The first byte of an input says which of them it is.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/loopback.h"
#include "proto/join.h"
#include "tests/fuzz/fuzz.h"
#include "worker/owner/hours.h"
#include "worker/owner/power.h"
#include "worker/owner/snooze.h"

enum { WALL_S = 1800000000 }; /* a Friday */

static void
read_hours(const char *text)
{
    struct dpc_hours hours;
    if (!dpc_hours_parse(text, &hours))
        return;
    fuzz_accepted++;
    int64_t change_s = dpc_hours_change_s(&hours, WALL_S);
    if (change_s != INT64_MAX)
        fuzz_require(change_s > WALL_S &&
                         dpc_hours_hold(&hours, change_s) != dpc_hours_hold(&hours, WALL_S),
                     "hours change when they say so");
}

static void
read_snooze(const char *text)
{
    int64_t seconds;
    if (dpc_snooze_parse(text, WALL_S, &seconds) != DPC_OK)
        return;
    fuzz_accepted++;
    fuzz_require(seconds >= 0 && seconds <= DPC_SNOOZE_S_MAX, "a rest has an end");
}

static void
read_power(const char *text)
{
    uint32_t percent;
    if (!dpc_power_parse(text, &percent))
        return;
    fuzz_accepted++;
    fuzz_require(percent <= DPC_POWER_NEVER, "a charge is a percentage");
}

static void
read_join(const char *text)
{
    struct dpc_join join, again;
    char printed[DPC_JOIN_TEXT_MAX];
    struct dpc_error err;
    if (dpc_join_parse(text, &join, &err) != DPC_OK)
        return;
    fuzz_accepted++;
    fuzz_require(dpc_join_print(&join, printed, &err) == DPC_OK, "a join string is printed");
    fuzz_require(strncmp(text, printed, strlen(printed)) == 0, "a join string is as it was");
    fuzz_require(dpc_join_parse(printed, &again, &err) == DPC_OK &&
                     dpc_key_equal(&join.secret_key, &again.secret_key),
                 "a printed join string is one");
}

static void
read_endpoint(const char *text)
{
    char resolved[DPC_ENDPOINT_MAX];
    struct dpc_error err;
    bool listens = dpc_endpoint_check(text, true, &err) == DPC_OK;
    bool connects = dpc_endpoint_check(text, false, &err) == DPC_OK;
    fuzz_require(listens || !connects, "whatever can be connected to can be listened on");
    fuzz_accepted += connects;
    if (connects && dpc_endpoint_resolve(text, "tcp://host:1", resolved, sizeof resolved) == DPC_OK)
        fuzz_require(dpc_endpoint_check(resolved, false, &err) == DPC_OK, "an endpoint stays one");
}

static void
read_name(const char *text)
{
    struct dpc_key key;
    struct dpc_hash hash;
    char printed[DPC_KEY_TEXT_MAX];
    if (dpc_key_parse(text, &key)) {
        fuzz_accepted++;
        dpc_key_text(&key, printed);
        fuzz_require(strcmp(text, printed) == 0, "a key is as it was");
    }
    fuzz_accepted += dpc_hash_parse(text, &hash);
}

/* A `.pub` file is read by its path. */
static void
read_key_file(const char *text)
{
    struct dpc_coordinator coordinator;
    struct dpc_key key;
    struct dpc_error err;
    int fd = memfd_create("key", MFD_CLOEXEC);
    fuzz_require(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "a file");
    char *path = dpc_format("/proc/self/fd/%d", fd);
    if (dpc_coordinator_load(path, &coordinator, &err) == DPC_OK) {
        fuzz_accepted++;
        fuzz_require(!*coordinator.endpoint ||
                         dpc_endpoint_check(coordinator.endpoint, false, &err) == DPC_OK,
                     "a coordinator can be reached");
        fuzz_require(dpc_key_load(path, &key, &err) == DPC_OK &&
                         dpc_key_equal(&key, &coordinator.key),
                     "a coordinator's file is one of a key");
    }
    dpc_free(path);
    close(fd);
}

static void
read_loopback(const char *text)
{
    struct dpc_error err = {0};
    if (dpc_loopback_check(text, &err) != DPC_OK) {
        fuzz_require(*err.text, "a refusal says why");
        return;
    }
    fuzz_accepted++;
    fuzz_require(dpc_loopback_is_host(text), "a place of pages is a host that may ask for them");
}

static void (*const readers[])(const char *text) = {
    read_hours,    read_snooze, read_power,    read_join,
    read_endpoint, read_name,   read_key_file, read_loopback,
};
enum { READERS = sizeof readers / sizeof *readers };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *text = dpc_format("%.*s", (int)(size - 1), (const char *)data + 1);
    readers[data[0] % READERS](text);
    dpc_free(text);
    return 0;
}

#ifndef DPC_LIBFUZZER

static void
add_word(struct fuzz *fuzz, char reader, const char *text)
{
    char *input = dpc_format("%c%s", reader, text);
    fuzz_valid(fuzz, input, strlen(input), 0);
    dpc_free(input);
}

static void
add_inputs(struct fuzz *fuzz)
{
    static const char key[] = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    struct dpc_join join = {
        .coordinator = {.key.bytes = {1, 2, 3}, .endpoint = "tcp://train.example.org:7601"},
        .secret_key.bytes = {4, 5}};
    char text[DPC_JOIN_TEXT_MAX], *file = dpc_format("public-key %s\nendpoint tcp://a:1\n", key);
    /* No first byte is zero, which would end the text: 7 stands for the first reader. */
    add_word(fuzz, READERS + 0, "mon-fri 20:00-06:00, sat,sun 00:00-24:00");
    add_word(fuzz, READERS + 1, "1d2h30m");
    add_word(fuzz, READERS + 1, "until 07:00");
    add_word(fuzz, READERS + 2, "40");
    fuzz_require(dpc_join_print(&join, text, NULL) == DPC_OK, "a join string is printed");
    add_word(fuzz, READERS + 3, text);
    add_word(fuzz, READERS + 4, "tcp://[::1]:65535");
    add_word(fuzz, READERS + 4, "tcp://*:7601");
    add_word(fuzz, READERS + 5, key);
    add_word(fuzz, READERS + 5, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    add_word(fuzz, READERS + 6, file);
    add_word(fuzz, READERS + 7, "127.255.0.1:7602");
    add_word(fuzz, READERS + 7, "[::1]:0");
    dpc_free(file);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 10000, add_inputs);
}

#endif
