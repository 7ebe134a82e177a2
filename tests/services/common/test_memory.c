/* test_memory.c - after the start its code goes, and nothing but code. */
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/boot.h"
#include "support/suite.h"

static char written_at_the_start[16384] = "data";

/* Pages of files that this process has mapped, in KiB. */
static long mapped_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "re");
    ck_assert(status != NULL);
    while (fgets(line, sizeof line, status)) sscanf(line, "RssFile: %ld", &kib);
    fclose(status);
    ck_assert_int_ge(kib, 0);
    return kib;
}

/* Look at every page of code that there is. */
static int look_at_code(struct dl_phdr_info *object, size_t size, void *seen)
{
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || part->p_flags != (PF_R | PF_X)) continue;
        const volatile char *code = (const volatile char *)(object->dlpi_addr + part->p_vaddr);
        for (size_t at = 0; at < part->p_memsz; at += 4096) *(size_t *)seen += code[at] ? 1 : 0;
    }
    return 0;
}

START_TEST(the_start_is_forgotten_and_all_goes_on)
{
    char *heap = strdup("heap");
    strcpy(written_at_the_start + 8192, "changed");
    size_t seen = 0;
    dl_iterate_phdr(look_at_code, &seen);
    ck_assert_uint_gt(seen, 100);
    long before = mapped_kib();
    sk_memory_forget_start();
    ck_assert_int_lt(mapped_kib(), before - 100 * 4);
    ck_assert_str_eq(heap, "heap");
    ck_assert_str_eq(written_at_the_start, "data");
    ck_assert_str_eq(written_at_the_start + 8192, "changed");
    ck_assert_str_eq(stpcpy(written_at_the_start, "again") - 5, "again");
    sk_memory_forget_start();
    free(heap);
}
END_TEST

static Suite *memory_suite(void)
{
    Suite *suite = suite_create("service/memory");
    TCase *tc = tcase_create("memory");
    tcase_add_test(tc, the_start_is_forgotten_and_all_goes_on);
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(memory_suite)
