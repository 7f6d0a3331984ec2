/* SPDX-License-Identifier: Apache-2.0
 * A campaign: each seed runs without faults once (the reference), then with faults twice. All three
 * must hold every invariant, the last two must do the same step by step, and all must end with the
 * same versions, unless somebody wanted older ones back. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/sim/scale.h"
#include "tests/sim/sim.h"

struct campaign {
    uint64_t first, count, stride; /* every stride-th seed of `count` */
    uint32_t jobs;
    bool tracing, expects_failure;
    uint64_t markers[SIM_MARKERS], events;
    int64_t longest_ms; /* from healing to the end of the experiment */
};

/* Markers are asked for only of a campaign that is long enough to reach them all. */
enum { MARKERS_SEEDS = 200 };

static volatile uint64_t present_seed;
static volatile bool abort_is_expected;

/* An assert of the code under test must not hide its seed; it also finds a planted bug. */
static void
on_abort(int number)
{
    char text[96];
    (void)number;
    int len = snprintf(text, sizeof text, "aborted: tests/sim/sim --seed %" PRIu64 " --trace\n",
                       present_seed);
    if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
        _exit(2);
    if (abort_is_expected)
        _exit(0);
}

static bool
run_one(struct sim *sim, uint64_t seed, bool faults, bool tracing)
{
    struct sim_plan plan;
    sim_plan_draw(&plan, seed, faults);
    if (tracing)
        sim_plan_print(&plan);
    sim_init(sim, &plan, tracing);
    bool ended = sim_run(sim);
    sim_done(sim);
    return ended;
}

static int64_t
longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Versions follow from experiment and corpus alone. */
static bool
is_pure(const struct sim *sim)
{
    return !sim->coordinator.rollbacks && !sim->coordinator.revokes && !sim->plan.elastic &&
           !sim->plan.open;
}

/* What is wrong with the seed; "" when nothing is. */
static void
run_seed(struct campaign *campaign, uint64_t seed, char *ret_failure, size_t size)
{
    struct sim *runs = dpc_alloc(3, sizeof *runs);
    struct sim *reference = &runs[0], *first = &runs[1], *second = &runs[2];
    ret_failure[0] = 0;
    if (!run_one(reference, seed, false, false))
        (void)snprintf(ret_failure, size, "without faults: %s", reference->failure);
    else if (!run_one(first, seed, true, campaign->tracing))
        (void)snprintf(ret_failure, size, "%s", first->failure);
    else if (is_pure(first) && !dpc_hash_equal(&first->outcome, &reference->outcome))
        (void)snprintf(ret_failure, size, "the versions differ from those without faults");
    else if (!campaign->tracing &&
             (!run_one(second, seed, true, false) || second->trace != first->trace))
        (void)snprintf(ret_failure, size, "the same seed went another way the second time");
    for (int i = 0; i < SIM_MARKERS; i++)
        campaign->markers[i] += first->markers[i];
    campaign->events += first->events_count;
    campaign->longest_ms = longer(campaign->longest_ms, first->now_ms - first->healed_ms);
    dpc_free(runs);
}

static int
run_seeds(struct campaign *campaign)
{
    char failure[600];
    for (uint64_t i = 0; i < campaign->count; i += campaign->stride) {
        present_seed = campaign->first + i;
        run_seed(campaign, present_seed, failure, sizeof failure);
        if (!failure[0])
            continue;
        printf("seed %" PRIu64 ": %s\n", present_seed, failure);
        if (campaign->expects_failure) {
            printf("found after %" PRIu64 " seeds\n", i + 1);
            return 0;
        }
        printf("replay: tests/sim/sim --seed %" PRIu64 " --trace\n", present_seed);
        return 1;
    }
    if (campaign->expects_failure)
        printf("%" PRIu64 " seeds found nothing\n", campaign->count);
    return campaign->expects_failure ? 1 : 0;
}

/* In processes of their own; each sends what it counted through a pipe. */
static void
run_share(const struct campaign *campaign, uint32_t job, int to)
{
    struct campaign share = *campaign;
    share.first += job;
    share.count -= job < share.count ? job : share.count;
    share.stride = campaign->jobs;
    int status = run_seeds(&share);
    if (fflush(stdout) != 0 || write(to, &share, sizeof share) != (ssize_t)sizeof share)
        status = 1;
    _exit(status);
}

static int
gather(struct campaign *campaign, int from)
{
    struct campaign share;
    int status = 0, ended;
    for (uint32_t job = 0; job < campaign->jobs; job++) {
        if (wait(&ended) < 0 || !WIFEXITED(ended) || WEXITSTATUS(ended) != 0)
            status = 1;
        else if (read(from, &share, sizeof share) != (ssize_t)sizeof share)
            status = 1;
        for (int i = 0; i < SIM_MARKERS && status == 0; i++)
            campaign->markers[i] += share.markers[i];
        campaign->events += status == 0 ? share.events : 0;
        campaign->longest_ms = longer(campaign->longest_ms, status == 0 ? share.longest_ms : 0);
    }
    return status;
}

static int
run_shares(struct campaign *campaign)
{
    int ends[2];
    if (pipe(ends) != 0)
        return 1;
    for (uint32_t job = 0; job < campaign->jobs; job++) {
        pid_t child = fork();
        if (child == 0)
            run_share(campaign, job, ends[1]);
        if (child < 0)
            return 1;
    }
    close(ends[1]);
    int status = gather(campaign, ends[0]);
    close(ends[0]);
    return status;
}

/* A campaign that never went a rare path has shown nothing about it. */
static int
judge_markers(const struct campaign *campaign)
{
    int lost = 0;
    for (int i = 0; i < SIM_MARKERS; i++) {
        printf("%10" PRIu64 "  %s\n", campaign->markers[i], sim_marker_text(i));
        lost += campaign->markers[i] == 0;
    }
    if (lost == 0 || campaign->count < MARKERS_SEEDS)
        return 0;
    printf("%d of these never happened: the campaign has shown nothing about them\n", lost);
    return 1;
}

static int
run_campaign(struct campaign *campaign)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int status = campaign->jobs > 1 ? run_shares(campaign) : run_seeds(campaign);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    if (status != 0 || campaign->expects_failure)
        return status;
    status = judge_markers(campaign);
    printf("%" PRIu64 " seeds from %" PRIu64 ", %" PRIu64
           " events, %.1f s, %.1f seeds/s, ended at most "
           "%lld s after healing\n",
           campaign->count, campaign->first, campaign->events, seconds,
           (double)campaign->count / seconds, (long long)campaign->longest_ms / 1000);
    return status;
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},     {"first", required_argument, NULL, 'f'},
        {"seeds", required_argument, NULL, 'n'},    {"trace", no_argument, NULL, 't'},
        {"expect-failure", no_argument, NULL, 'e'}, {"jobs", required_argument, NULL, 'j'},
        {"scale", no_argument, NULL, 'c'},          {"side", required_argument, NULL, 'i'},
        {"workers", required_argument, NULL, 'w'},  {0},
    };
    struct campaign *campaign = dpc_alloc(1, sizeof *campaign);
    struct sim_scale_options scale = {.side = 256, .workers = 10000, .rounds = 2};
    bool scales = false;
    int option, status = 2;
    *campaign = (struct campaign){.first = 1, .count = MARKERS_SEEDS, .stride = 1, .jobs = 1};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?') {
            fprintf(stderr, "usage: sim [--seed N [--trace]] [--first N] [--seeds COUNT] "
                            "[--jobs N] [--expect-failure]\n"
                            "       sim --scale [--side N] [--workers N]\n");
            goto out;
        }
        scales |= option == 'c';
        if (option == 'i')
            scale.side = (uint32_t)strtoul(optarg, NULL, 10);
        if (option == 'w')
            scale.workers = (uint32_t)strtoul(optarg, NULL, 10);
        campaign->tracing |= option == 't';
        campaign->expects_failure |= option == 'e';
        if (option == 's' || option == 'f')
            campaign->first = strtoull(optarg, NULL, 10);
        if (option == 'j')
            campaign->jobs = (uint32_t)strtoul(optarg, NULL, 10);
        if (option == 's' || option == 'n')
            campaign->count = option == 's' ? 1 : strtoull(optarg, NULL, 10);
    }
    abort_is_expected = campaign->expects_failure;
    signal(SIGABRT, on_abort);
    status = scales ? sim_scale(&scale) : run_campaign(campaign);
out:
    dpc_free(campaign);
    return status;
}
