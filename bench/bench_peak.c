/* SPDX-License-Identifier: Apache-2.0
 * Prints what this CPU can do at most (bench/peak.h) as one JSON object. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"
#include "bench/peak.h"

static void
print_result(const struct dpc_peak *peak)
{
    char model[128];
    dpc_peak_cpu_model(model, sizeof model);
    struct dpc_json *json = dpc_json_object();
    dpc_json_set_text(json, "cpu", model);
    dpc_json_set_text(json, "isa", peak->isa);
    dpc_json_set_integer(json, "threads", peak->threads);
    dpc_json_set_number(json, "fp32_gflops", peak->fp32_gflops);
    dpc_json_set_number(json, "bf16_gflops", peak->bf16_gflops);
    dpc_json_set_number(json, "copy_gb_s", peak->copy_gb_s);
    dpc_json_set_number(json, "triad_gb_s", peak->triad_gb_s);
    char *text = dpc_json_print(json, true);
    puts(text);
    dpc_free(text);
    dpc_json_destroy(json);
}

static int
usage(void)
{
    fprintf(stderr, "usage: bench_peak [--threads N] [--seconds S]   (at most %u threads, 600 s)\n",
            DPC_PEAK_THREADS_MAX);
    return 2;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"threads", required_argument, NULL, 't'}, {"seconds", required_argument, NULL, 's'}, {0}};
    long threads = 1;
    double seconds = 1.0;
    char *end = "";
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 't')
            threads = strtol(optarg, &end, 10);
        else if (option == 's')
            seconds = strtod(optarg, &end);
        if (option == '?' || *end)
            return usage();
    }
    if (threads < 1 || threads > DPC_PEAK_THREADS_MAX || !(seconds > 0 && seconds <= 600) ||
        optind != argc)
        return usage();
    struct dpc_peak peak;
    int status = dpc_peak_measure((uint32_t)threads, seconds, &peak);
    if (status == DPC_OK)
        status = dpc_peak_measure_memory((uint32_t)threads, seconds, &peak);
    if (status < 0) {
        fprintf(stderr, "could not measure with %ld threads: %s\n", threads,
                dpc_error_words(status));
        return 1;
    }
    print_result(&peak);
    return 0;
}
