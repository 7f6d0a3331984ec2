/* SPDX-License-Identifier: Apache-2.0
 * A web server of the blobs in a folder, for mirror.sh: `web_server FOLDER FILE` writes its URL to
 * FILE, and at its end (SIGTERM) how many bytes it has sent. */
#include <signal.h>
#include <stdio.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "tests/unit/worker/web_server.h"

static uint8_t *
find(void *context, const char *path, size_t *ret_len)
{
    char file[DPC_PATH_MAX];
    uint8_t *bytes;
    struct dpc_error err;
    if (strstr(path, "..") || dpc_path_join(context, path + 1, file, sizeof file) != DPC_OK ||
        dpc_vfs_read_file(&dpc_vfs_posix, file, DPC_GIB, &bytes, ret_len, &err) != DPC_OK)
        return NULL;
    return bytes;
}

static bool
note(const char *path, const char *text)
{
    FILE *file = fopen(path, "a");
    return file && fprintf(file, "%s\n", text) > 0 && fclose(file) == 0;
}

int
main(int argc, char **argv)
{
    static struct web_server server;
    sigset_t signals;
    int number;
    char text[64];
    if (argc != 3)
        return 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    server.find = find;
    server.context = argv[1];
    if (!web_start(&server) || !note(argv[2], server.url))
        return 1;
    (void)sigwait(&signals, &number);
    web_stop(&server);
    (void)snprintf(text, sizeof text, "%zu", (size_t)server.bytes);
    return note(argv[2], text) ? 0 : 1;
}
