/* boot.c - main() of a server, up to its run function, and the wait for a signal. */
#include "service/boot.h"

#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

struct sk_boot {
    const struct sk_boot_program *program;
    sk_config *config;
};

/* --- signals -------------------------------------------------------------------------------- */

static sigset_t our_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

void sk_signals_block(void)
{
    sigset_t set = our_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* --- memory --------------------------------------------------------------------------------- */

/* For builds whose malloc is glibc's: those with mimalloc (docs/dependencies.md) do not notice.
 * glibc gives free memory at the end of a heap back to the system from 128 KiB on, and maps blocks
 * of that size one by one: a load of batches then faults in the same pages at each request. With
 * eight arenas a core, memory would also grow with the threads. */
void sk_memory_tune(void)
{
    enum { KEEP = 8 << 20, OWN_MAP = 4 << 20, ARENAS = 4 };
    mallopt(M_TRIM_THRESHOLD, KEEP);
    mallopt(M_MMAP_THRESHOLD, OWN_MAP);
    mallopt(M_ARENA_MAX, ARENAS);
}

static int give_back_code(struct dl_phdr_info *object, size_t size, void *page)
{
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || part->p_flags & PF_W) continue;
        uintptr_t begin = (object->dlpi_addr + part->p_vaddr) / *(size_t *)page * *(size_t *)page;
        uintptr_t end = object->dlpi_addr + part->p_vaddr + part->p_memsz;
        madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

/* Code is mapped by the 64 KiB around each page that is used, and a start uses much that is never
 * used again: making a certificate alone costs 3 MiB. The kernel has it cached; what goes on being
 * needed is mapped again when it is called. */
void sk_memory_forget_start(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    malloc_trim(0);
    dl_iterate_phdr(give_back_code, &page);
}

/* --- log and reload --------------------------------------------------------------------------- */

static void configure_log(const struct sk_boot_program *p)
{
    enum { AUTO, TEXT, JSON };
    int format = p->log_format ? *p->log_format : AUTO;
    int level = p->log_level ? *p->log_level : (int)SK_INFO;
    bool json = format == JSON || (format == AUTO && !isatty(STDERR_FILENO));
    sk_log_configure((enum sk_log_level)level, json);
}

static void tell_change(void *arg, const char *name, bool applied)
{
    (void)arg;
    if (applied)
        sk_log(SK_INFO, "setting changed", sk_text("name", name));
    else
        sk_log(SK_WARN, "setting changed in the file; it waits for a restart",
               sk_text("name", name));
}

/* Read the file anew into values of its own, and take over what may change. Flags and
 * environment were given to this process for good: they are kept. */
static void reload(sk_boot *boot)
{
    const char *file = boot ? sk_config_file(boot->config) : NULL;
    if (!file) {
        sk_log(SK_INFO, "SIGHUP: there is no configuration file to read again");
        return;
    }
    struct sk_status s = sk_config_reread(boot->config, tell_change, NULL);
    if (!sk_ok(s)) {
        sk_log_status(SK_ERROR, "SIGHUP: the file is refused, the settings stay as they were", s);
        return;
    }
    configure_log(boot->program);
}

void sk_boot_wait(sk_boot *boot)
{
    sigset_t set = our_signals();
    int signal_number = SIGHUP;
    while (signal_number == SIGHUP) {
        if (sigwait(&set, &signal_number) != 0) return;
        if (signal_number == SIGHUP) reload(boot);
    }
    sk_log(SK_INFO, "stopping", sk_text("signal", signal_number == SIGINT ? "INT" : "TERM"));
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* --- main ---------------------------------------------------------------------------------------
 */

static int answer(const sk_config *config, const struct sk_program *program,
                  enum sk_config_request request)
{
    switch (request) {
    case SK_CONFIG_HELP:
        sk_config_print_help(program, stdout);
        break;
    case SK_CONFIG_VERSION:
        printf("%s %s\n", program->name, SKUA_VERSION);
        break;
    case SK_CONFIG_CHECK:
        printf("the settings are valid\n");
        break;
    case SK_CONFIG_PRINT:
        sk_config_print(config, stdout);
        break;
    case SK_CONFIG_DOCS:
        sk_config_print_docs(program, stdout);
        break;
    case SK_CONFIG_RUN:
        break;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

static int run(const struct sk_boot_program *p, sk_config *config)
{
    sk_boot boot = {.program = p, .config = config};
    sk_memory_tune();
    configure_log(p);
    sk_signals_block();
    struct sk_status s = p->run(&boot, p->values);
    if (sk_ok(s)) return 0;
    sk_log_status(SK_ERROR, "cannot go on", s);
    return 1;
}

int sk_boot_main(const struct sk_boot_program *p, int argc, char **argv)
{
    SK_CLEANUP(sk_config_free_p) sk_config *config = sk_config_new(p->program, p->values);
    enum sk_config_request request;
    struct sk_status s = sk_config_load(config, argc, (const char *const *)argv,
                                        (const char *const *)environ, &request);
    if (!sk_ok(s)) {
        fprintf(stderr, "%s: %s\n", p->program->name, sk_status_text(&s));
        return 2;
    }
    return request == SK_CONFIG_RUN ? run(p, config) : answer(config, p->program, request);
}
