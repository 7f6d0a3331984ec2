/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <signal.h>

#include "base/limits.h"
#include "base/signals.h"
#include "cli/commands.h"
#include "cli/serve.h"

enum { RESIDENTS_DEFAULT = 8, WAIT_MS = 1000 };

struct serve_options {
    const char *http;
    int64_t residents; /* 0: not given */
};

static const struct dpc_option options[] = {
    {.name = "http",
     .kind = DPC_OPTION_TEXT,
     .value_name = "ADDRESS",
     .help = "where to listen, a loopback address (default 127.0.0.1:7603; port 0 picks one)",
     .offset = offsetof(struct serve_options, http)},
    {.name = "paths",
     .kind = DPC_OPTION_INTEGER,
     .value_name = "N",
     .help = "paths in memory at a time, which is how many may write at a time (default 8)",
     .offset = offsetof(struct serve_options, residents),
     .min = 1,
     .max = DPC_SERVE_PATHS_MAX},
};

/* Until somebody asks it to end. */
static int
serve_on(struct dpc_serve *serve, struct dpc_error *err)
{
    static const int signals[] = {SIGINT, SIGTERM};
    int fd;
    int rc = dpc_signals_open(signals, DPC_COUNT(signals), &fd, err);
    if (rc != DPC_OK)
        return rc;
    (void)signal(SIGPIPE, SIG_IGN);
    while (!dpc_signals_take()) {
        struct pollfd items[] = {{.fd = dpc_serve_fd(serve), .events = POLLIN},
                                 {.fd = fd, .events = POLLIN}};
        (void)poll(items, DPC_COUNT(items), dpc_serve_wait_ms(serve, WAIT_MS));
        dpc_serve_step(serve);
    }
    dpc_signals_close();
    return DPC_OK;
}

static int
run(const struct dpc_call *call)
{
    const struct serve_options *given = call->options;
    struct dpc_model *model = NULL;
    struct dpc_serve *serve = NULL;
    const struct dpc_tokenizer *tokenizer;
    struct dpc_error err;
    bool no_address = false;
    int rc = dpc_model_open(call->arguments.items[0], &model, &err);
    if (rc == DPC_OK)
        rc = dpc_model_tokenizer(model, &tokenizer, &err);
    if (rc == DPC_OK) {
        dpc_model_set_residents(model,
                                given->residents ? (uint32_t)given->residents : RESIDENTS_DEFAULT);
        rc = dpc_serve_open(given->http ? given->http : "127.0.0.1:7603", model, stdout, &serve,
                            &err);
        no_address = rc == DPC_EINVAL;
    }
    if (rc == DPC_OK) {
        printf("%sv1/completions\n", dpc_serve_url(serve));
        fflush(stdout);
        rc = serve_on(serve, &err);
    }
    dpc_serve_close(serve);
    dpc_model_close(model);
    if (no_address)
        return dpc_complain(call, DPC_EXIT_USAGE, "%s", err.text);
    return rc == DPC_OK ? DPC_EXIT_OK : dpc_complain_error(call, &err);
}

const struct dpc_command dpc_command_serve = {
    .name = "serve",
    .arguments = "DIR",
    .summary = "Lets the paths of a run go on from prompts that come over HTTP.",
    .arguments_min = 1,
    .arguments_max = 1,
    .options = options,
    .options_count = DPC_COUNT(options),
    .options_bytes = sizeof(struct serve_options),
    .run = run,
};
