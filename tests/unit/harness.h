/* SPDX-License-Identifier: Apache-2.0
 *
 * The main of a CUnit program. CUnit's own runner answers 0 when assertions failed, so this one
 * counts: 0 when all passed, 1 when something failed or a suite could not start, 99 when no test
 * ran, 77 when the program cannot run here.
 *
 * A test program lists its tests and ends with `DPC_TEST_MAIN("base/rng", tests)`.
 */
#ifndef DPC_TESTS_HARNESS_H
#define DPC_TESTS_HARNESS_H

#include <CUnit/Basic.h>

enum { DPC_TEST_SKIPPED = 77, DPC_TEST_EMPTY = 99 };

struct dpc_test {
    const char *name;
    void (*run)(void);
};

static inline int
dpc_test_run(const char *suite_name, const struct dpc_test *tests, size_t count)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
    for (size_t i = 0; suite && i < count; i++) {
        if (!CU_add_test(suite, tests[i].name, tests[i].run))
            suite = NULL;
    }
    CU_basic_set_mode(CU_BRM_NORMAL);
    int status = 1;
    if (suite && CU_basic_run_tests() == CUE_SUCCESS) {
        if (CU_get_number_of_tests_run() == 0)
            status = DPC_TEST_EMPTY;
        else if (CU_get_number_of_failures() == 0 && CU_get_number_of_tests_failed() == 0 &&
                 CU_get_number_of_suites_failed() == 0)
            status = 0;
    }
    CU_cleanup_registry();
    return status;
}

#define DPC_TEST_MAIN(suite_name, tests)                                                           \
    int main(void)                                                                                 \
    {                                                                                              \
        return dpc_test_run(suite_name, tests, sizeof(tests) / sizeof *(tests));                   \
    }

#endif
