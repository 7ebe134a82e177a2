/* check_outside.c - what check.h's macros call, for helpers of the suites that a fuzz target uses:
 * there is no suite that could tell of a failure, so it ends the program. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void _mark_point(const char *file, int line)
{
    (void)file;
    (void)line;
}

void _ck_assert_failed(const char *file, int line, const char *expr, const char *msg, ...)
{
    va_list args;
    fprintf(stderr, "%s:%d: assertion failed: %s ", file, line, expr);
    va_start(args, msg);
    if (msg) vfprintf(stderr, msg, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
