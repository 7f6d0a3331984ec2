/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <signal.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "tests/unit/harness.h"

static const struct dpc_vfs *const vfs = &dpc_vfs_posix;
static char root[DPC_PATH_MAX];

/* A fresh folder for one test; what is below it is removed by clean_up. */
static void
make_root(void)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(root, sizeof root, "%s/dpc_vfs_XXXXXX", base ? base : "/tmp");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
}

static const char *
below(const char *name)
{
    static char path[2 * DPC_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void remove_tree(const char *path);

static void
remove_entry(void *context, const char *name)
{
    char path[2 * DPC_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    remove_tree(path);
}

static void
remove_tree(const char *path)
{
    if (vfs->ops->remove(vfs, path) == DPC_OK)
        return;
    char folder[DPC_PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s", path);
    (void)vfs->ops->list(vfs, folder, remove_entry, folder);
    CU_ASSERT_EQUAL(vfs->ops->remove(vfs, folder), DPC_OK);
}

static void
clean_up(void)
{
    remove_tree(root);
}

static void
bytes_are_written_and_read_at_offsets(void)
{
    struct dpc_vfs_file *file;
    uint64_t size;
    char bytes[8] = "";
    make_root();
    CU_ASSERT_EQUAL_FATAL(
        vfs->ops->open(vfs, below("f"), DPC_VFS_WRITE | DPC_VFS_CREATE | DPC_VFS_FRESH, &file),
        DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->write(file, "abcdef", 6, 0), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->write(file, "XY", 2, 10), DPC_OK); /* a hole of four zeros */
    CU_ASSERT_EQUAL(vfs->ops->size(file, &size), DPC_OK);
    CU_ASSERT_EQUAL(size, 12);
    CU_ASSERT_EQUAL(vfs->ops->read(file, bytes, 7, 5), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(bytes, "f\0\0\0\0XY", 7), 0);
    CU_ASSERT_EQUAL(vfs->ops->read(file, bytes, 3, 10), DPC_EIO); /* one byte past the end */
    CU_ASSERT_EQUAL(vfs->ops->read(file, bytes, 0, 12), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->truncate(file, 3), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->size(file, &size), DPC_OK);
    CU_ASSERT_EQUAL(size, 3);
    CU_ASSERT_EQUAL(vfs->ops->sync(file), DPC_OK);
    vfs->ops->close(file);
    vfs->ops->close(NULL);
    clean_up();
}

static void
opening_says_what_is_wrong(void)
{
    struct dpc_vfs_file *file = NULL;
    make_root();
    CU_ASSERT_EQUAL(vfs->ops->open(vfs, below("none"), DPC_VFS_READ, &file), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(vfs->ops->open(vfs, below("none"), DPC_VFS_WRITE, &file), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(vfs->ops->open(vfs, below("a/b"), DPC_VFS_WRITE | DPC_VFS_CREATE, &file),
                    DPC_ENOTFOUND);
    CU_ASSERT_PTR_NULL(file);
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("f"), "x", 1, NULL), DPC_OK);
    CU_ASSERT_EQUAL(
        vfs->ops->open(vfs, below("f"), DPC_VFS_WRITE | DPC_VFS_CREATE | DPC_VFS_FRESH, &file),
        DPC_EEXIST);
    CU_ASSERT_EQUAL(vfs->ops->open(vfs, below("f/g"), DPC_VFS_READ, &file), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NULL(file);
    CU_ASSERT_EQUAL_FATAL(vfs->ops->open(vfs, below("f"), DPC_VFS_READ, &file), DPC_OK);
    CU_ASSERT_NOT_EQUAL(vfs->ops->write(file, "y", 1, 0), DPC_OK); /* opened for reading */
    vfs->ops->close(file);
    clean_up();
}

static void
folders_are_made_with_their_parents(void)
{
    make_root();
    CU_ASSERT_EQUAL(vfs->ops->make_folder(vfs, below("a/b//c/")), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->make_folder(vfs, below("a/b/c")), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->sync_folder(vfs, below("a/b")), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->sync_folder(vfs, below("a/x")), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("a/f"), "x", 1, NULL), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->make_folder(vfs, below("a/f")), DPC_EEXIST);
    CU_ASSERT_EQUAL(vfs->ops->make_folder(vfs, ""), DPC_ELIMIT);
    char *longer = dpc_alloc(DPC_PATH_MAX + 1, 1);
    memset(longer, 'x', DPC_PATH_MAX);
    CU_ASSERT_EQUAL(vfs->ops->make_folder(vfs, longer), DPC_ELIMIT);
    dpc_free(longer);
    clean_up();
}

static void
collect(void *context, const char *name)
{
    unsigned *seen = context;
    static const char *const names[] = {"a", "b", ".hidden"};
    for (unsigned i = 0; i < 3; i++)
        *seen += strcmp(name, names[i]) == 0 ? 1u << (8 * i) : 0;
}

static void
names_are_listed_renamed_and_removed(void)
{
    unsigned seen = 0;
    make_root();
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("a"), "1", 1, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("b"), "2", 1, NULL), DPC_OK);
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below(".hidden"), "3", 1, NULL), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->list(vfs, root, collect, &seen), DPC_OK);
    CU_ASSERT_EQUAL(seen, 0x010101);
    CU_ASSERT_EQUAL(vfs->ops->list(vfs, below("none"), collect, &seen), DPC_ENOTFOUND);
    char *from = dpc_strdup(below("a"));
    CU_ASSERT_EQUAL(vfs->ops->rename(vfs, from, below("b")), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->rename(vfs, from, below("b")), DPC_ENOTFOUND);
    CU_ASSERT_FALSE(dpc_vfs_exists(vfs, from));
    CU_ASSERT_TRUE(dpc_vfs_exists(vfs, below("b")));
    CU_ASSERT_EQUAL(vfs->ops->remove(vfs, below("b")), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->remove(vfs, below("b")), DPC_ENOTFOUND);
    dpc_free(from);
    clean_up();
}

static void
whole_files_are_read_within_a_limit(void)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct dpc_error err;
    make_root();
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("f"), "first", 5, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("f"), "2nd", 3, &err), DPC_OK);
    CU_ASSERT_FALSE(dpc_vfs_exists(vfs, below("f.new")));
    CU_ASSERT_EQUAL(dpc_vfs_read_file(vfs, below("f"), 2, &bytes, &len, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "it is larger than 2 bytes"));
    CU_ASSERT_PTR_NULL(bytes);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_read_file(vfs, below("f"), 3, &bytes, &len, &err), DPC_OK);
    CU_ASSERT_EQUAL(len, 3);
    CU_ASSERT_STRING_EQUAL((char *)bytes, "2nd");
    bytes = dpc_free(bytes);
    CU_ASSERT_EQUAL(dpc_vfs_read_file(vfs, below("none"), 3, &bytes, &len, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "could not read \""));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "none\": not found"));
    CU_ASSERT_EQUAL(dpc_vfs_read_file(vfs, root, 1000000, &bytes, &len, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "it is a folder"));
    CU_ASSERT_EQUAL(dpc_vfs_read_file(vfs, root, 1, &bytes, &len, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "it is a folder"));
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("empty"), "", 0, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_read_file(vfs, below("empty"), 0, &bytes, &len, &err), DPC_OK);
    CU_ASSERT(len == 0 && bytes[0] == 0);
    dpc_free(bytes);
    clean_up();
}

/* Runs with a file size limit: the write fails as on a full disk, without one. */
static void
a_failed_write_leaves_the_old_file_and_no_rest(void)
{
    enum { LARGE = 1 << 20 };
    struct rlimit old, small;
    struct dpc_error err;
    uint8_t *bytes, *large = dpc_alloc(LARGE, 1);
    size_t len;
    make_root();
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("f"), "old", 3, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = LARGE / 2;
    signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &small), 0);
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("f"), large, LARGE, &err), DPC_EIO);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &old), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "could not write \""));
    CU_ASSERT_FALSE(dpc_vfs_exists(vfs, below("f.new")));
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_read_file(vfs, below("f"), 3, &bytes, &len, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL((char *)bytes, "old");
    dpc_free(bytes);
    dpc_free(large);
    clean_up();
}

/* /dev/full answers every write as a full disk does. */
static void
a_full_disk_is_enospace(void)
{
    struct dpc_vfs_file *file;
    if (vfs->ops->open(vfs, "/dev/full", DPC_VFS_WRITE, &file) != DPC_OK)
        return; /* no such device in this container */
    CU_ASSERT_EQUAL(vfs->ops->write(file, "x", 1, 0), DPC_ENOSPACE);
    vfs->ops->close(file);
}

static void
failures_of_writing_a_file_are_named(void)
{
    struct dpc_error err;
    char longer[DPC_PATH_MAX];
    make_root();
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, below("none/f"), "x", 1, &err), DPC_ENOTFOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "none/f\": not found"));
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    CU_ASSERT_EQUAL(dpc_vfs_write_file(vfs, longer, "x", 1, &err), DPC_ELIMIT);
    CU_ASSERT_EQUAL(vfs->ops->make_folder(vfs, below("folder/inside")), DPC_OK);
    CU_ASSERT_NOT_EQUAL(dpc_vfs_write_file(vfs, below("folder"), "x", 1, &err), DPC_OK);
    CU_ASSERT_FALSE(dpc_vfs_exists(vfs, below("folder.new")));
    clean_up();
}

static void
free_space_is_told(void)
{
    uint64_t bytes = 0;
    make_root();
    CU_ASSERT_EQUAL(vfs->ops->free_bytes(vfs, root, &bytes), DPC_OK);
    CU_ASSERT(bytes > 0);
    CU_ASSERT_EQUAL(vfs->ops->free_bytes(vfs, below("none"), &bytes), DPC_ENOTFOUND);
    clean_up();
}

static void
paths_are_joined_and_cut(void)
{
    static const struct {
        const char *path, *folder;
    } rows[] = {{"a", "."}, {"a/b", "a"}, {"/a", "/"}, {"/", "/"}, {"/a/b/c", "/a/b"}};
    char path[8];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dpc_path_folder(rows[i].path, path, sizeof path);
        CU_ASSERT_STRING_EQUAL(path, rows[i].folder);
    }
    CU_ASSERT_EQUAL(dpc_path_join("ab", "cd", path, sizeof path), DPC_OK);
    CU_ASSERT_STRING_EQUAL(path, "ab/cd");
    CU_ASSERT_EQUAL(dpc_path_join("ab", "/cd", path, sizeof path), DPC_OK);
    CU_ASSERT_STRING_EQUAL(path, "/cd");
    CU_ASSERT_EQUAL(dpc_path_join("abcd", "ef", path, sizeof path), DPC_OK);
    CU_ASSERT_EQUAL(dpc_path_join("abcd", "efg", path, sizeof path), DPC_ELIMIT);
}

/* A link is removed, what it leads to is not. */
static void
trees_are_removed(void)
{
    char tree[2 * DPC_PATH_MAX], inside[2 * DPC_PATH_MAX], kept[2 * DPC_PATH_MAX],
        link[2 * DPC_PATH_MAX];
    struct dpc_error err;
    make_root();
    (void)snprintf(tree, sizeof tree, "%s/tree", root);
    (void)snprintf(inside, sizeof inside, "%s/tree/a/b", root);
    (void)snprintf(kept, sizeof kept, "%s/kept", root);
    (void)snprintf(link, sizeof link, "%s/tree/a/link", root);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_make_lasting_folder(vfs, inside), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_write_file(vfs, kept, "x", 1, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(symlink(kept, link), 0);
    CU_ASSERT_EQUAL(dpc_vfs_remove_tree(tree, &err), DPC_OK);
    CU_ASSERT_FALSE(dpc_vfs_exists(vfs, tree));
    CU_ASSERT_TRUE(dpc_vfs_exists(vfs, kept));
    CU_ASSERT_EQUAL(dpc_vfs_remove_tree(tree, &err), DPC_OK); /* there is none */
    CU_ASSERT_EQUAL(dpc_vfs_remove_tree(kept, &err), DPC_OK);
    CU_ASSERT_FALSE(dpc_vfs_exists(vfs, kept));
    clean_up();
}

/* `dipaco plan <(sed ...)` was told that the file is empty. */
static void
a_pipe_is_no_empty_file(void)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct dpc_error err = {0};
    int ends[2];
    char path[64];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    CU_ASSERT_EQUAL(write(ends[1], "text", 4), 4);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    CU_ASSERT_EQUAL(dpc_vfs_read_file(vfs, path, 10, &bytes, &len, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NULL(bytes);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "it is a pipe: save what"));
    (void)close(ends[0]);
    (void)close(ends[1]);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_read_file(vfs, "/dev/null", 10, &bytes, &len, &err), DPC_OK);
    CU_ASSERT_EQUAL(len, 0);
    dpc_free(bytes);
}

/* The folder stays, also where a link names it. */
static void
a_folder_is_emptied(void)
{
    char folder[2 * DPC_PATH_MAX], inside[2 * DPC_PATH_MAX], link[2 * DPC_PATH_MAX];
    struct dpc_error err;
    make_root();
    (void)snprintf(folder, sizeof folder, "%s/folder", root);
    (void)snprintf(inside, sizeof inside, "%s/folder/a", root);
    (void)snprintf(link, sizeof link, "%s/link", root);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_make_lasting_folder(vfs, inside), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(symlink(folder, link), 0);
    CU_ASSERT_EQUAL(dpc_vfs_empty_folder(link, &err), DPC_OK);
    CU_ASSERT_FALSE(dpc_vfs_exists(vfs, inside));
    CU_ASSERT_TRUE(dpc_vfs_exists(vfs, link));
    CU_ASSERT_EQUAL(dpc_vfs_empty_folder(inside, &err), DPC_ENOTFOUND);
    clean_up();
}

static void
few_descriptors_are_refused_in_words(void)
{
    struct rlimit limit, few;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = (struct rlimit){.rlim_cur = DPC_DESCRIPTORS_MIN, .rlim_max = limit.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    CU_ASSERT_EQUAL(dpc_vfs_check_descriptors(&err), DPC_OK);
    few.rlim_cur--;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    CU_ASSERT_EQUAL(dpc_vfs_check_descriptors(&err), DPC_EFILES);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ulimit -n"));
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* In the place of the C library's, as far as this program calls them: a signal comes first, as on
 * a file system over a network. */
static int interruptions;

static bool
is_interrupted(void)
{
    if (interruptions == 0)
        return false;
    interruptions--;
    errno = EINTR;
    return true;
}

int interrupted_fdatasync(int fd) __asm__("fdatasync");
int
interrupted_fdatasync(int fd)
{
    return is_interrupted() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int interrupted_fsync(int fd) __asm__("fsync");
int
interrupted_fsync(int fd)
{
    return is_interrupted() ? -1 : (int)syscall(SYS_fsync, fd);
}

int interrupted_ftruncate(int fd, off_t bytes) __asm__("ftruncate");
int
interrupted_ftruncate(int fd, off_t bytes)
{
    return is_interrupted() ? -1 : (int)syscall(SYS_ftruncate, fd, bytes);
}

static void
a_signal_is_no_failed_sync(void)
{
    struct dpc_vfs_file *file;
    make_root();
    CU_ASSERT_EQUAL_FATAL(vfs->ops->open(vfs, below("file"), DPC_VFS_WRITE | DPC_VFS_CREATE, &file),
                          DPC_OK);
    interruptions = 2;
    CU_ASSERT_EQUAL(vfs->ops->truncate(file, 10), DPC_OK);
    CU_ASSERT_EQUAL(interruptions, 0);
    interruptions = 2;
    CU_ASSERT_EQUAL(vfs->ops->sync(file), DPC_OK);
    CU_ASSERT_EQUAL(interruptions, 0);
    interruptions = 2;
    CU_ASSERT_EQUAL(vfs->ops->sync_folder(vfs, root), DPC_OK);
    CU_ASSERT_EQUAL(interruptions, 0);
    vfs->ops->close(file);
    remove_tree(root);
}

static const struct dpc_test tests[] = {
    {"few descriptors are refused in words", few_descriptors_are_refused_in_words},
    {"a signal is no failed sync", a_signal_is_no_failed_sync},
    {"bytes are written and read at offsets", bytes_are_written_and_read_at_offsets},
    {"opening says what is wrong", opening_says_what_is_wrong},
    {"a folder is emptied", a_folder_is_emptied},
    {"folders are made with their parents", folders_are_made_with_their_parents},
    {"names are listed, renamed and removed", names_are_listed_renamed_and_removed},
    {"trees are removed", trees_are_removed},
    {"whole files are read within a limit", whole_files_are_read_within_a_limit},
    {"a pipe is no empty file", a_pipe_is_no_empty_file},
    {"a failed write leaves the old file", a_failed_write_leaves_the_old_file_and_no_rest},
    {"a full disk is ENOSPACE", a_full_disk_is_enospace},
    {"failures of writing a file are named", failures_of_writing_a_file_are_named},
    {"free space is told", free_space_is_told},
    {"paths are joined and cut", paths_are_joined_and_cut},
};
DPC_TEST_MAIN("base/vfs", tests)
