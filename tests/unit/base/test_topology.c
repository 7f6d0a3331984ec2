/* SPDX-License-Identifier: Apache-2.0 */
#include "base/topology.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "tests/unit/base/small_model.h"
#include "tests/unit/harness.h"

/* Three levels with 2, 3 and 4 modules: 9 routed modules, 24 routed paths. */
static void
make_2_3_4(struct dpc_experiment *experiment, struct dpc_topology *topology)
{
    *experiment = (struct dpc_experiment){
        .levels_count = 3,
        .warm_start.replicas = 1,
        .levels = {{.name = "low", .modules = 2},
                   {.name = "mid", .modules = 3},
                   {.name = "top", .modules = 4}},
    };
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(topology, experiment, NULL), DPC_OK);
}

static void
quickstart_has_four_paths_and_a_dense_one(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    small_model(&experiment);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &experiment, NULL), DPC_OK);
    CU_ASSERT_EQUAL(topology.routed_modules, 4);
    CU_ASSERT_EQUAL(topology.modules_count, 6);
    CU_ASSERT_EQUAL(topology.routed_paths, 4);
    CU_ASSERT_EQUAL(topology.paths_count, 5);
    CU_ASSERT_EQUAL(dpc_topology_dense_path(&topology), 4);
    static const uint32_t modules[5][2] = {{0, 2}, {0, 3}, {1, 2}, {1, 3}, {4, 5}};
    for (uint32_t path = 0; path < 5; path++) {
        CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 0), modules[path][0]);
        CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 1), modules[path][1]);
    }
}

static void
numbers_are_mixed_radix_with_the_last_level_fastest(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    make_2_3_4(&experiment, &topology);
    CU_ASSERT_EQUAL(topology.routed_paths, 24);
    uint32_t path = 0;
    for (uint32_t a = 0; a < 2; a++)
        for (uint32_t b = 0; b < 3; b++)
            for (uint32_t c = 0; c < 4; c++, path++) {
                CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 0), a);
                CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 1), 2 + b);
                CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 2), 5 + c);
            }
}

static void
levels_of_modules_and_paths_through_them(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    make_2_3_4(&experiment, &topology);
    static const uint32_t levels[] = {0, 0, 1, 1, 1, 2, 2, 2, 2, 0, 1, 2};
    for (uint32_t module = 0; module < topology.modules_count; module++) {
        CU_ASSERT_EQUAL(dpc_topology_module_level(&topology, module), levels[module]);
        CU_ASSERT_EQUAL(dpc_topology_module_is_dense(&topology, module), module >= 9);
        uint32_t through = 0;
        for (uint32_t path = 0; path < topology.paths_count; path++) {
            if (!dpc_topology_uses(&topology, path, module))
                continue;
            CU_ASSERT_EQUAL(dpc_topology_path_through(&topology, module, through), path);
            through++;
        }
        CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, module), through);
    }
    CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, 0), 12);
    CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, 8), 6);
}

static void
names_are_found_again(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    char name[2 * DPC_NAME_MAX];
    uint32_t found;
    make_2_3_4(&experiment, &topology);
    for (uint32_t module = 0; module < topology.modules_count; module++) {
        dpc_topology_module_name(&topology, module, name, sizeof name);
        CU_ASSERT(dpc_topology_module_find(&topology, name, &found) && found == module);
    }
    for (uint32_t path = 0; path < topology.paths_count; path++) {
        dpc_topology_path_name(&topology, path, name, sizeof name);
        CU_ASSERT(dpc_topology_path_find(&topology, name, &found) && found == path);
    }
    dpc_topology_module_name(&topology, 3, name, sizeof name);
    CU_ASSERT_STRING_EQUAL(name, "mid.1");
    dpc_topology_module_name(&topology, 10, name, sizeof name);
    CU_ASSERT_STRING_EQUAL(name, "dense.mid");
    dpc_topology_path_name(&topology, 23, name, sizeof name);
    CU_ASSERT_STRING_EQUAL(name, "1-2-3");
    dpc_topology_path_name(&topology, 24, name, sizeof name);
    CU_ASSERT_STRING_EQUAL(name, "dense");
}

/* 2 x own x 3: six paths, each with a module of its own in the middle. */
static void
modules_of_one_path_each(void)
{
    struct dpc_experiment experiment = {
        .levels_count = 3,
        .warm_start.replicas = 1,
        .levels = {{.name = "low", .modules = 2},
                   {.name = "mid", .modules = 6, .own = true},
                   {.name = "top", .modules = 3}},
    };
    struct dpc_topology topology;
    struct dpc_error err;
    char name[2 * DPC_NAME_MAX];
    uint32_t found;
    CU_ASSERT_EQUAL(dpc_experiment_paths(&experiment), 6);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &experiment, &err), DPC_OK);
    CU_ASSERT_EQUAL(topology.routed_paths, 6);
    CU_ASSERT_EQUAL(topology.routed_modules, 2 + 6 + 3);
    for (uint32_t path = 0; path < 6; path++) {
        uint32_t own = dpc_topology_module(&topology, path, 1);
        CU_ASSERT_EQUAL(own, 2 + path);
        CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 0), path / 3);
        CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 2), 8 + path % 3);
        CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, own), 1);
        CU_ASSERT_EQUAL(dpc_topology_path_through(&topology, own, 0), path);
        dpc_topology_path_name(&topology, path, name, sizeof name);
        CU_ASSERT(dpc_topology_path_find(&topology, name, &found) && found == path);
        dpc_topology_module_name(&topology, own, name, sizeof name);
        CU_ASSERT(dpc_topology_module_find(&topology, name, &found) && found == own);
    }
    CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, 0), 3);
    CU_ASSERT_EQUAL(dpc_topology_path_through(&topology, 1, 2), 5);
    CU_ASSERT_EQUAL(dpc_topology_path_through(&topology, 10, 1), 5);
    dpc_topology_path_name(&topology, 5, name, sizeof name);
    CU_ASSERT_STRING_EQUAL(name, "1-2");
}

/* They stand behind the dense path, on its modules. */
static void
the_warm_start_has_replicas(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    char name[2 * DPC_NAME_MAX];
    uint32_t found;
    small_model(&experiment);
    experiment.warm_start.replicas = 3;
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &experiment, NULL), DPC_OK);
    CU_ASSERT_EQUAL(topology.routed_paths, 4);
    CU_ASSERT_EQUAL(topology.paths_count, 7);
    CU_ASSERT_EQUAL(dpc_topology_dense_path(&topology), 4);
    CU_ASSERT_FALSE(dpc_topology_path_is_dense(&topology, 3));
    static const char *const names[] = {"dense", "dense.1", "dense.2"};
    for (uint32_t i = 0; i < 3; i++) {
        CU_ASSERT(dpc_topology_path_is_dense(&topology, 4 + i));
        CU_ASSERT_EQUAL(dpc_topology_module(&topology, 4 + i, 0), 4);
        CU_ASSERT_EQUAL(dpc_topology_module(&topology, 4 + i, 1), 5);
        CU_ASSERT(dpc_topology_uses(&topology, 4 + i, 5));
        CU_ASSERT_EQUAL(dpc_topology_path_through(&topology, 5, i), 4 + i);
        dpc_topology_path_name(&topology, 4 + i, name, sizeof name);
        CU_ASSERT_STRING_EQUAL(name, names[i]);
        CU_ASSERT(dpc_topology_path_find(&topology, name, &found) && found == 4 + i);
        CU_ASSERT_EQUAL(dpc_topology_moments(&topology, 4 + i), DPC_MOMENTS_FP32);
    }
    CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, 5), 3);
    CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, 0), 2);
    static const char *const nothing[] = {"dense.0", "dense.3", "dense.01", "dense.", "densest"};
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        CU_ASSERT_FALSE(dpc_topology_path_find(&topology, nothing[i], &found));
}

static void
names_of_nothing_are_not_found(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    uint32_t found = 77;
    make_2_3_4(&experiment, &topology);
    static const char *const paths[] = {"",        "0-0",    "0-0-4",  "2-0-0",
                                        "0-0-0-0", "00-0-0", "0-0-0 ", "-1-0-0",
                                        "dense.0", "0--0-0", "0-0-24", "18446744073709551616-0-0",
                                        "a-b-c"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        CU_ASSERT_FALSE(dpc_topology_path_find(&topology, paths[i], &found));
    static const char *const modules[] = {"",       "low",   "low.2",       "low.01", "low.",
                                          "dense.", "dense", "dense.low.0", "mid.-1"};
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        CU_ASSERT_FALSE(dpc_topology_module_find(&topology, modules[i], &found));
    CU_ASSERT_EQUAL(found, 77);
}

static void
longest_path_name_fits(void)
{
    struct dpc_experiment experiment = {.levels_count = DPC_LEVELS_MAX, .warm_start.replicas = 1};
    struct dpc_topology topology;
    char name[2 * DPC_NAME_MAX];
    uint32_t found;
    for (uint32_t level = 0; level < DPC_LEVELS_MAX; level++)
        experiment.levels[level] = (struct dpc_level){.name = "x", .modules = 2};
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &experiment, NULL), DPC_OK);
    CU_ASSERT_EQUAL(topology.routed_paths, 65536);
    dpc_topology_path_name(&topology, 65535, name, sizeof name);
    CU_ASSERT_STRING_EQUAL(name, "1-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1");
    CU_ASSERT(dpc_topology_path_find(&topology, name, &found) && found == 65535);
}

static void
too_many_are_refused(void)
{
    struct dpc_experiment experiment = {.levels_count = 2,
                                        .warm_start.replicas = 1,
                                        .levels = {{.modules = 257}, {.modules = 256}}};
    struct dpc_topology topology = {.levels_count = 99};
    struct dpc_error err;
    CU_ASSERT_EQUAL(dpc_topology_init(&topology, &experiment, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "65792 paths"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "at most 65536"));
    CU_ASSERT_EQUAL(topology.levels_count, 99);
    experiment.levels[0].modules = DPC_MODULES_MAX;
    experiment.levels[1].modules = 1;
    CU_ASSERT_EQUAL(dpc_topology_init(&topology, &experiment, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "at most 4096"));
    experiment.levels[0].modules = 2;
    experiment.replicas = 32769;
    CU_ASSERT_EQUAL(dpc_topology_init(&topology, &experiment, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "are 65538 paths"));
}

/* Two levels of two modules without the combination 1-0, and 0-1 twice. */
static void
make_listed(struct dpc_experiment *experiment, struct dpc_topology *topology)
{
    small_model(experiment);
    experiment->listed_count = 4;
    static const uint16_t choices[4][2] = {{1, 1}, {0, 1}, {0, 0}, {0, 1}};
    for (uint32_t i = 0; i < 4; i++) {
        experiment->listed[i].digits = 2;
        memcpy(experiment->listed[i].choices, choices[i], sizeof choices[i]);
    }
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(topology, experiment, NULL), DPC_OK);
}

static void
a_list_leaves_out_and_repeats(void)
{
    static const char *const names[] = {"1-1", "0-1.0", "0-0", "0-1.1", "dense"};
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    uint32_t found;
    make_listed(&experiment, &topology);
    CU_ASSERT_EQUAL(topology.routed_paths, 4);
    CU_ASSERT_EQUAL(dpc_experiment_paths(&experiment), 4);
    for (uint32_t path = 0; path < topology.paths_count; path++) {
        char name[2 * DPC_NAME_MAX];
        dpc_topology_path_name(&topology, path, name, sizeof name);
        CU_ASSERT_STRING_EQUAL(name, names[path]);
        CU_ASSERT(dpc_topology_path_find(&topology, name, &found) && found == path);
    }
    static const char *const none[] = {"0-1", "1-0", "1-1.0", "0-1.2", "0-1.", "", "x"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        CU_ASSERT_FALSE(dpc_topology_path_find(&topology, none[i], &found));
    CU_ASSERT_EQUAL(dpc_topology_module(&topology, 3, 0), 0);
    CU_ASSERT_EQUAL(dpc_topology_module(&topology, 3, 1), 3);
    CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, 0), 3);
    CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, 1), 1);
    CU_ASSERT_EQUAL(dpc_topology_path_through(&topology, 1, 0), 0);
    CU_ASSERT_EQUAL(dpc_topology_path_through(&topology, 3, 2), 3);
    dpc_topology_done(&topology);
}

/* One model, and so many paths through all of it. */
static void
replicas_of_one_model_are_diloco(void)
{
    struct dpc_experiment experiment;
    struct dpc_topology topology;
    char name[2 * DPC_NAME_MAX];
    uint32_t found;
    small_model(&experiment);
    experiment.levels[0].modules = experiment.levels[1].modules = 1;
    experiment.replicas = 4;
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &experiment, NULL), DPC_OK);
    CU_ASSERT_EQUAL(topology.routed_paths, 4);
    CU_ASSERT_EQUAL(topology.routed_modules, 2);
    for (uint32_t path = 0; path < 4; path++) {
        CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 0), 0);
        CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 1), 1);
        CU_ASSERT_EQUAL(dpc_topology_path_through(&topology, 1, path), path);
    }
    dpc_topology_path_name(&topology, 2, name, sizeof name);
    CU_ASSERT_STRING_EQUAL(name, "0-0.2");
    CU_ASSERT(dpc_topology_path_find(&topology, "0-0.3", &found) && found == 3);
    CU_ASSERT_FALSE(dpc_topology_path_find(&topology, "0-0.4", &found));
    CU_ASSERT_FALSE(dpc_topology_path_find(&topology, "0-0", &found));
    dpc_topology_done(&topology);
}

/* Three levels, of which paths may skip the middle one: 2 x (2 + 1) x 1. */
static void
paths_skip_levels(void)
{
    static const char *const names[] = {"0-0-0", "0-1-0", "0-x-0", "1-0-0", "1-1-0", "1-x-0"};
    struct dpc_experiment experiment = {
        .levels_count = 3,
        .warm_start.replicas = 1,
        .levels = {{.name = "low", .modules = 2},
                   {.name = "mid", .modules = 2, .identity = true},
                   {.name = "top", .modules = 1}},
    };
    struct dpc_topology topology;
    char name[2 * DPC_NAME_MAX];
    uint32_t found;
    CU_ASSERT_EQUAL(dpc_experiment_paths(&experiment), 6);
    CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &experiment, NULL), DPC_OK);
    CU_ASSERT(topology.routed_paths == 6 && topology.routed_modules == 5 && topology.skips);
    for (uint32_t path = 0; path < 6; path++) {
        bool skips = path % 3 == 2;
        dpc_topology_path_name(&topology, path, name, sizeof name);
        CU_ASSERT_STRING_EQUAL(name, names[path]);
        CU_ASSERT(dpc_topology_path_find(&topology, name, &found) && found == path);
        CU_ASSERT_EQUAL(dpc_topology_module(&topology, path, 1) == DPC_TOPOLOGY_NONE, skips);
        CU_ASSERT_EQUAL(dpc_topology_path_length(&topology, path), skips ? 2 : 3);
        CU_ASSERT_EQUAL(dpc_topology_path_levels(&topology, path), skips ? 5 : 7);
        CU_ASSERT_EQUAL(dpc_topology_path_module(&topology, path, 0), path / 3);
        CU_ASSERT_EQUAL(dpc_topology_path_module(&topology, path, skips ? 1 : 2), 4);
    }
    CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, 2), 2);
    CU_ASSERT_EQUAL(dpc_topology_path_through(&topology, 3, 1), 4);
    CU_ASSERT_EQUAL(dpc_topology_paths_through(&topology, 4), 6);
    CU_ASSERT_EQUAL(dpc_topology_path_length(&topology, dpc_topology_dense_path(&topology)), 3);
    CU_ASSERT_EQUAL(dpc_topology_path_module(&topology, 6, 1), 6);
    CU_ASSERT_FALSE(dpc_topology_path_find(&topology, "x-0-0", &found));
    CU_ASSERT_FALSE(dpc_topology_path_find(&topology, "0-2-0", &found));
    dpc_topology_done(&topology);
}

/* --- Any topology: what is counted or indexed against looking through all paths. */

static uint16_t
draw_choice(struct dpc_rng *rng, const struct dpc_level *level)
{
    uint16_t choice = (uint16_t)dpc_rng_below(rng, level->modules + level->identity);
    return choice < level->modules ? choice : DPC_CHOICE_IDENTITY;
}

static void
draw(struct dpc_rng *rng, struct dpc_experiment *experiment)
{
    *experiment = (struct dpc_experiment){.levels_count = 1 + (uint32_t)dpc_rng_below(rng, 4)};
    uint32_t own = (uint32_t)dpc_rng_below(rng, 8), shared = 0;
    for (uint32_t i = 0; i < experiment->levels_count; i++) {
        struct dpc_level *level = &experiment->levels[i];
        (void)snprintf(level->name, sizeof level->name, "l%u", i);
        level->modules = 1 + (uint32_t)dpc_rng_below(rng, 3);
        level->own = i == own && experiment->levels_count > 1;
        level->identity = !level->own && dpc_rng_below(rng, 3) == 0;
        shared += !level->own;
    }
    experiment->replicas = (uint32_t)dpc_rng_below(rng, 4);
    experiment->listed_count = dpc_rng_below(rng, 3) ? 1 + (uint32_t)dpc_rng_below(rng, 12) : 0;
    for (uint32_t i = 0; i < experiment->listed_count; i++) {
        uint32_t digit = 0;
        for (uint32_t k = 0; k < experiment->levels_count; k++) {
            if (!experiment->levels[k].own)
                experiment->listed[i].choices[digit++] = draw_choice(rng, &experiment->levels[k]);
        }
        experiment->listed[i].digits = shared;
    }
    for (uint32_t i = 0; i < experiment->levels_count; i++) {
        if (experiment->levels[i].own)
            experiment->levels[i].modules = dpc_experiment_paths(experiment);
    }
}

static void
check_modules_of(const struct dpc_topology *topology)
{
    for (uint32_t module = 0; module < topology->modules_count; module++) {
        uint32_t through = 0;
        for (uint32_t path = 0; path < topology->paths_count; path++) {
            if (!dpc_topology_uses(topology, path, module))
                continue;
            CU_ASSERT_FATAL(through < dpc_topology_paths_through(topology, module));
            CU_ASSERT_EQUAL(dpc_topology_path_through(topology, module, through), path);
            through++;
        }
        CU_ASSERT_EQUAL(dpc_topology_paths_through(topology, module), through);
    }
}

/* Walked by level and by module. */
static void
check_walk(const struct dpc_topology *topology, uint32_t path)
{
    uint32_t index = 0;
    for (uint32_t level = 0; level < topology->levels_count; level++) {
        uint32_t module = dpc_topology_module(topology, path, level);
        bool taken = dpc_topology_path_levels(topology, path) >> level & 1;
        CU_ASSERT_EQUAL(taken, module != DPC_TOPOLOGY_NONE);
        if (taken) {
            CU_ASSERT_EQUAL(dpc_topology_module_level(topology, module), level);
            CU_ASSERT_EQUAL(dpc_topology_path_module(topology, path, index), module);
            index++;
        }
    }
    CU_ASSERT_EQUAL(dpc_topology_path_length(topology, path), index);
}

static void
any_topology_holds_together(void)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    for (int trial = 0; trial < 300; trial++) {
        struct dpc_experiment experiment;
        struct dpc_topology topology;
        draw(&rng, &experiment);
        CU_ASSERT_EQUAL_FATAL(dpc_topology_init(&topology, &experiment, NULL), DPC_OK);
        CU_ASSERT_EQUAL(topology.routed_paths, dpc_experiment_paths(&experiment));
        check_modules_of(&topology);
        for (uint32_t path = 0; path < topology.paths_count; path++) {
            char name[2 * DPC_NAME_MAX];
            uint32_t found;
            check_walk(&topology, path);
            dpc_topology_path_name(&topology, path, name, sizeof name);
            CU_ASSERT(dpc_topology_path_find(&topology, name, &found) && found == path);
        }
        dpc_topology_done(&topology);
    }
}

static const struct dpc_test tests[] = {
    {"quickstart has four paths and a dense one", quickstart_has_four_paths_and_a_dense_one},
    {"mixed radix, last level fastest", numbers_are_mixed_radix_with_the_last_level_fastest},
    {"levels of modules and paths through them", levels_of_modules_and_paths_through_them},
    {"names are found again", names_are_found_again},
    {"modules of one path each", modules_of_one_path_each},
    {"the warm start has replicas", the_warm_start_has_replicas},
    {"names of nothing are not found", names_of_nothing_are_not_found},
    {"longest path name fits", longest_path_name_fits},
    {"too many are refused", too_many_are_refused},
    {"a list leaves out and repeats", a_list_leaves_out_and_repeats},
    {"replicas of one model are DiLoCo", replicas_of_one_model_are_diloco},
    {"paths skip levels", paths_skip_levels},
    {"any topology holds together", any_topology_holds_together},
};
DPC_TEST_MAIN("base/topology", tests)
