/* first_touch.c - what new memory costs on this machine, with no broker about.
 *
 *     bench-first-touch DIRECTORY [GIB] [WRITE_KIB]
 *
 * Touches GIB (8) of anonymous memory, one byte a page, and then writes GIB files of 1 GiB in
 * pieces of WRITE_KIB (74, as a batch of 64 messages of 1 KiB) into reserved blocks, without a
 * sync; prints ns of CPU a KiB for each GiB. On a virtual machine that gives free pages back to its
 * host the figures jump once memory must be fetched again. The files are removed. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PATH_ROOM = 4096 };
static const size_t GIB = (size_t)1 << 30;

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void tell(const char *what, int n, double since)
{
    printf("%s, GiB %d: %5.0f ns/KiB\n", what, n + 1, (cpu_ns() - since) / (double)(GIB >> 10));
    fflush(stdout);
}

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void touch_memory(int gib)
{
    for (int n = 0; n < gib; n++) { /* kept until the end: each GiB is another one */
        double start = cpu_ns();
        volatile uint8_t *p =
            mmap(NULL, GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) fail("mmap");
        for (size_t at = 0; at < GIB; at += PAGE) p[at] = 1;
        tell("anonymous", n, start);
    }
}

static void write_file(const char *path, size_t piece, int n)
{
    uint8_t *bytes = calloc(1, piece);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (!bytes || fd < 0) fail(path);
    if (fallocate(fd, 0, 0, (off_t)(GIB + piece)) < 0) fail("fallocate");
    double start = cpu_ns();
    for (size_t at = 0; at < GIB;) {
        ssize_t done = pwrite(fd, bytes, piece, (off_t)at);
        if (done <= 0) fail("pwrite");
        at += (size_t)done;
    }
    tell("written", n, start);
    close(fd);
    free(bytes);
}

int main(int argc, char **argv)
{
    int gib = argc > 2 ? atoi(argv[2]) : 8;
    size_t piece = (argc > 3 ? (size_t)atoi(argv[3]) : 74) << 10;
    char path[PATH_ROOM];
    if (argc < 2 || gib <= 0 || piece == 0) {
        fprintf(stderr, "bench-first-touch DIRECTORY [GIB] [WRITE_KIB]\n");
        return 2;
    }
    pid_t child = fork(); /* a process of its own: its memory is free again afterwards */
    if (child < 0) fail("fork");
    if (child == 0) {
        touch_memory(gib);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    for (int n = 0; n < gib; n++) {
        snprintf(path, sizeof path, "%s/first-touch-%d", argv[1], n);
        write_file(path, piece, n);
    }
    for (int n = 0; n < gib; n++) {
        snprintf(path, sizeof path, "%s/first-touch-%d", argv[1], n);
        unlink(path);
    }
    return 0;
}
