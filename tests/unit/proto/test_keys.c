/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/channel.h"
#include "tests/unit/harness.h"

static char folder[64];
static struct dpc_error err;

static const char *
path_of(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void
write_file(const char *path, mode_t mode, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CU_ASSERT_EQUAL(fchmod(fd, mode), 0);
    close(fd);
}

static mode_t
mode_of(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 ? facts.st_mode & 07777 : 0;
}

static void
a_saved_pair_comes_back(void)
{
    struct dpc_keypair pair, other;
    struct dpc_key key;
    dpc_keypair_generate(&pair);
    const char *path = path_of("key");
    CU_ASSERT_EQUAL_FATAL(dpc_keypair_save(path, &pair, &err), DPC_OK);
    CU_ASSERT_EQUAL(mode_of(path), 0600);
    CU_ASSERT_EQUAL(mode_of(path_of("key.pub")), 0644);
    CU_ASSERT_EQUAL_FATAL(dpc_keypair_load(path, &other, &err), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(&pair, &other, sizeof pair), 0);
    CU_ASSERT_EQUAL_FATAL(dpc_key_load(path_of("key.pub"), &key, &err), DPC_OK);
    CU_ASSERT(dpc_key_equal(&key, &pair.public_key));
    CU_ASSERT_FALSE(dpc_key_equal(&key, &pair.secret_key));
}

static void
nothing_is_replaced(void)
{
    struct dpc_keypair pair, kept;
    dpc_keypair_generate(&pair);
    const char *path = path_of("kept");
    CU_ASSERT_EQUAL_FATAL(dpc_keypair_save(path, &pair, &err), DPC_OK);
    dpc_keypair_generate(&kept);
    CU_ASSERT_EQUAL(dpc_keypair_save(path, &kept, &err), DPC_EEXIST);
    CU_ASSERT_EQUAL_FATAL(dpc_keypair_load(path, &kept, &err), DPC_OK);
    CU_ASSERT(dpc_key_equal(&pair.public_key, &kept.public_key));
    /* A public half that stands there already: the secret half is not left behind alone. */
    write_file(path_of("half.pub"), 0644, "");
    CU_ASSERT_EQUAL(dpc_keypair_save(path_of("half"), &pair, &err), DPC_EEXIST);
    CU_ASSERT_NOT_EQUAL(access(path_of("half"), F_OK), 0);
    CU_ASSERT_EQUAL(dpc_keypair_save(path_of("no/such/folder"), &pair, &err), DPC_ENOTFOUND);
}

static void
a_key_that_others_may_read_is_refused(void)
{
    static const mode_t wide[] = {0640, 0604, 0660, 0620, 0610};
    struct dpc_keypair pair, other;
    dpc_keypair_generate(&pair);
    const char *path = path_of("wide");
    CU_ASSERT_EQUAL_FATAL(dpc_keypair_save(path, &pair, &err), DPC_OK);
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        CU_ASSERT_EQUAL(chmod(path, wide[i]), 0);
        CU_ASSERT_EQUAL(dpc_keypair_load(path, &other, &err), DPC_EPERM);
        CU_ASSERT(strstr(err.text, "chmod 600") != NULL);
    }
    CU_ASSERT_EQUAL(chmod(path, 0400), 0);
    CU_ASSERT_EQUAL(dpc_keypair_load(path, &other, &err), DPC_OK);
}

static void
garbage_is_refused(void)
{
    static const char *const rows[] = {
        "",
        "hello\n",
        "public-key short\n",
        "public-key 0123456789012345678901234567890123456789\n", /* no secret half */
        "public-key 01234567890123456789012345678901234567\"9\n",
        "secret-key 0123456789012345678901234567890123456789\n"
        "secret-key 0123456789012345678901234567890123456789\n",
    };
    struct dpc_keypair pair;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_file(path_of("garbage"), 0600, rows[i]);
        CU_ASSERT_EQUAL(dpc_keypair_load(path_of("garbage"), &pair, &err), DPC_EPARSE);
    }
    char large[2000];
    memset(large, '#', sizeof large - 1);
    large[sizeof large - 1] = 0;
    write_file(path_of("garbage"), 0600, large);
    CU_ASSERT_EQUAL(dpc_keypair_load(path_of("garbage"), &pair, &err), DPC_ELIMIT);
    CU_ASSERT_EQUAL(dpc_keypair_load(path_of("missing"), &pair, &err), DPC_ENOTFOUND);
}

static void
halves_of_two_pairs_are_refused(void)
{
    struct dpc_keypair pair, other;
    dpc_keypair_generate(&pair);
    dpc_keypair_generate(&other);
    pair.public_key = other.public_key;
    CU_ASSERT_EQUAL_FATAL(dpc_keypair_save(path_of("mixed"), &pair, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_keypair_load(path_of("mixed"), &other, &err), DPC_ECORRUPT);
}

static void
a_secret_file_is_no_public_key(void)
{
    struct dpc_keypair pair;
    struct dpc_key key;
    dpc_keypair_generate(&pair);
    CU_ASSERT_EQUAL_FATAL(dpc_keypair_save(path_of("secret"), &pair, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_key_load(path_of("secret"), &key, &err), DPC_EINVAL);
    CU_ASSERT(strstr(err.text, ".pub") != NULL);
}

static void
a_coordinators_file_says_where_it_is(void)
{
    static const char *const bad[] = {
        "endpoint tcp://host\n",
        "endpoint tcp://host:7600\nendpoint tcp://host:7600\n",
        "endpoint \n",
    };
    struct dpc_coordinator saved = {.endpoint = "tcp://[::1]:7600"}, read;
    struct dpc_keypair pair;
    struct dpc_key key;
    char text[DPC_KEY_TEXT_MAX], lines[512];
    dpc_keypair_generate(&pair);
    saved.key = pair.public_key;
    const char *path = path_of("coordinator.pub");
    for (int again = 0; again < 2; again++) { /* a file that is there is replaced */
        CU_ASSERT_EQUAL_FATAL(dpc_coordinator_save(path, &saved, &err), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(dpc_coordinator_load(path, &read, &err), DPC_OK);
        CU_ASSERT_STRING_EQUAL(read.endpoint, saved.endpoint);
        CU_ASSERT(dpc_key_equal(&read.key, &saved.key));
        CU_ASSERT_EQUAL_FATAL(dpc_key_load(path, &key, &err), DPC_OK);
        CU_ASSERT(dpc_key_equal(&key, &saved.key));
        saved.endpoint[0] = again ? 't' : '\0';
    }
    dpc_key_text(&saved.key, text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        (void)snprintf(lines, sizeof lines, "public-key %s\n%s", text, bad[i]);
        write_file(path, 0644, lines);
        CU_ASSERT_EQUAL(dpc_coordinator_load(path, &read, &err), DPC_EPARSE);
    }
}

static void
a_secret_half_is_completed(void)
{
    struct dpc_keypair pair, completed;
    dpc_keypair_generate(&pair);
    CU_ASSERT_FATAL(dpc_keypair_complete(&pair.secret_key, &completed));
    CU_ASSERT_EQUAL(memcmp(&completed, &pair, sizeof pair), 0);
}

static void
texts_of_keys(void)
{
    struct dpc_keypair pair;
    struct dpc_key key;
    char text[DPC_KEY_TEXT_MAX];
    dpc_keypair_generate(&pair);
    dpc_key_text(&pair.public_key, text);
    CU_ASSERT_EQUAL(strlen(text), 40);
    CU_ASSERT(dpc_key_parse(text, &key));
    CU_ASSERT(dpc_key_equal(&key, &pair.public_key));
    CU_ASSERT_FALSE(dpc_key_parse("", &key));
    text[39] = 0;
    CU_ASSERT_FALSE(dpc_key_parse(text, &key));
    CU_ASSERT_FALSE(dpc_key_parse("                                        ", &key));
    CU_ASSERT_FALSE(dpc_key_parse("0123456789012345678901234567890123456789x", &key));
}

static const struct dpc_test tests[] = {
    {"a saved pair comes back", a_saved_pair_comes_back},
    {"nothing is replaced", nothing_is_replaced},
    {"a key that others may read is refused", a_key_that_others_may_read_is_refused},
    {"garbage is refused", garbage_is_refused},
    {"halves of two pairs are refused", halves_of_two_pairs_are_refused},
    {"a secret file is no public key", a_secret_file_is_no_public_key},
    {"a coordinator's file says where it is", a_coordinators_file_says_where_it_is},
    {"a secret half is completed", a_secret_half_is_completed},
    {"texts of keys", texts_of_keys},
};

int
main(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/dipaco-keys-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    int status = dpc_test_run("proto/keys", tests, sizeof tests / sizeof *tests);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? status : 1;
}
