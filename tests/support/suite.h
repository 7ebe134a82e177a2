/* suite.h - the main() of a Check suite: one suite, one program, one CTest entry. */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>

static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#define SUITE_MAIN(make_suite)                                                                     \
    int main(void) { return suite_run(make_suite()); }

#define ROWS(array) ((int)(sizeof(array) / sizeof(array)[0]))

#endif
