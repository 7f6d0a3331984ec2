/* SPDX-License-Identifier: Apache-2.0
 * Each handle has a descriptor of its own, as each process has. */
#include "worker/turns.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/data/temp.h"

static struct dpc_turns *
open_turns(struct temp *temp, const char *name)
{
    struct dpc_turns *turns = NULL;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL_FATAL(dpc_turns_open(temp_path(temp, name), &turns, &err), DPC_OK);
    return turns;
}

static void
one_at_a_time_has_the_turn(void)
{
    struct temp temp;
    temp_make(&temp);
    struct dpc_turns *one = open_turns(&temp, "turns"), *two = open_turns(&temp, "turns");
    CU_ASSERT(dpc_turns_take(one));
    CU_ASSERT(dpc_turns_take(one));
    CU_ASSERT(!dpc_turns_take(two));
    dpc_turns_give(two); /* it has none to give */
    CU_ASSERT(!dpc_turns_take(two));
    dpc_turns_give(one);
    CU_ASSERT(dpc_turns_take(two));
    CU_ASSERT(!dpc_turns_take(one));
    dpc_turns_close(two);
    CU_ASSERT(dpc_turns_take(one));
    struct dpc_turns *other = open_turns(&temp, "another");
    CU_ASSERT(dpc_turns_take(other));
    dpc_turns_close(other);
    dpc_turns_close(one);
    temp_remove(&temp);
}

/* However it ends. */
static void
the_turn_goes_with_the_process(void)
{
    struct temp temp;
    int held[2];
    char byte;
    temp_make(&temp);
    struct dpc_turns *mine = open_turns(&temp, "turns");
    CU_ASSERT_EQUAL_FATAL(pipe(held), 0);
    pid_t child = fork();
    if (child == 0) {
        struct dpc_turns *turns;
        struct dpc_error err = {0};
        bool took = dpc_turns_open(temp.path, &turns, &err) == DPC_OK && dpc_turns_take(turns);
        (void)!write(held[1], took ? "y" : "n", 1);
        pause();
        _exit(0);
    }
    CU_ASSERT_EQUAL_FATAL(read(held[0], &byte, 1), 1);
    CU_ASSERT_EQUAL(byte, 'y');
    CU_ASSERT(!dpc_turns_take(mine));
    CU_ASSERT_EQUAL(kill(child, SIGKILL), 0);
    CU_ASSERT_EQUAL(waitpid(child, NULL, 0), child);
    CU_ASSERT(dpc_turns_take(mine));
    dpc_turns_close(mine);
    close(held[0]);
    close(held[1]);
    temp_remove(&temp);
}

/* Services of several users share a file that none of them may write. */
static void
reading_the_file_is_enough(void)
{
    struct temp temp;
    temp_make(&temp);
    temp_write(&temp, "turns", "anything", 8);
    CU_ASSERT_EQUAL(chmod(temp_path(&temp, "turns"), 0444), 0);
    struct dpc_turns *turns = open_turns(&temp, "turns");
    CU_ASSERT(dpc_turns_take(turns));
    dpc_turns_close(turns);
    temp_remove(&temp);
}

static void
a_file_that_cannot_be_is_told_with_its_option(void)
{
    struct temp temp;
    struct dpc_turns *turns = NULL;
    struct dpc_error err = {0};
    temp_make(&temp);
    CU_ASSERT_EQUAL(dpc_turns_open(temp_path(&temp, "no/folder"), &turns, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no/folder\" (--turns)"));
    CU_ASSERT_PTR_NULL(turns);
    CU_ASSERT_PTR_NULL(dpc_turns_close(NULL));
    temp_remove(&temp);
}

static const struct dpc_test tests[] = {
    {"one at a time has the turn", one_at_a_time_has_the_turn},
    {"the turn goes with the process", the_turn_goes_with_the_process},
    {"reading the file is enough", reading_the_file_is_enough},
    {"a file that cannot be is told with its option",
     a_file_that_cannot_be_is_told_with_its_option},
};
DPC_TEST_MAIN("worker/turns", tests)
