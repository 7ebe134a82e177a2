/* skua-namesrv as a process: the ready line, signals, exit statuses, bad settings. The
 * program's path is in the environment variable SKUA_NAMESRV. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/suite.h"

struct process {
    pid_t pid;
    FILE *out, *err;
};

static struct process start(const char *const *arguments)
{
    int out[2], err[2];
    const char *argv[16] = {getenv("SKUA_NAMESRV")};
    ck_assert_msg(argv[0] != NULL, "SKUA_NAMESRV is not set");
    for (int i = 0; i < 14 && arguments[i]; i++) argv[i + 1] = arguments[i];
    ck_assert(pipe(out) == 0 && pipe(err) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        for (int fd = 3; fd < 64; fd++) close(fd);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    return (struct process){.pid = pid, .out = fdopen(out[0], "r"), .err = fdopen(err[0], "r")};
}

/* Wait for the end; returns the exit status, or 1000 + the signal. */
static int finish(struct process *p)
{
    int status;
    fclose(p->out);
    fclose(p->err);
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static char line[512];

static const char *read_line(FILE *from)
{
    ck_assert_msg(fgets(line, sizeof line, from) != NULL, "no line came");
    line[strcspn(line, "\n")] = 0;
    return line;
}

static const int stops[] = {SIGTERM, SIGINT};

START_TEST(it_says_ready_and_stops_when_told)
{
    int port;
    struct process p = start((const char *const[]){"--listen", "127.0.0.1:0", NULL});
    ck_assert_int_eq(sscanf(read_line(p.out), "ready listen=127.0.0.1:%d", &port), 1);
    ck_assert_int_gt(port, 0);
    kill(p.pid, SIGHUP); /* no file: not the end */
    kill(p.pid, stops[_i]);
    ck_assert_int_eq(finish(&p), 0);
}
END_TEST

START_TEST(it_makes_its_certificate_once)
{
    char dir[] = "/tmp/skua-namesrv-XXXXXX", file[64], first[4096] = "", second[4096] = "";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/tls.crt", dir);
    for (int round = 0; round < 2; round++) {
        int port;
        struct process p = start(
            (const char *const[]){"--listen=", "--listen-tls=127.0.0.1:0", "--data", dir, NULL});
        ck_assert_int_eq(sscanf(read_line(p.out), "ready listen-tls=127.0.0.1:%d", &port), 1);
        kill(p.pid, SIGTERM);
        ck_assert_int_eq(finish(&p), 0);
        FILE *f = fopen(file, "r");
        ck_assert_ptr_nonnull(f);
        ck_assert_uint_gt(fread(round ? second : first, 1, 4000, f), 100);
        fclose(f);
    }
    ck_assert_str_eq(first, second);
    unlink(file);
    snprintf(file, sizeof file, "%s/tls.key", dir);
    unlink(file);
    rmdir(dir);
}
END_TEST

START_TEST(a_port_in_use_is_an_error)
{
    int port;
    char address[32];
    struct process first = start((const char *const[]){"--listen", "127.0.0.1:0", NULL});
    ck_assert_int_eq(sscanf(read_line(first.out), "ready listen=127.0.0.1:%d", &port), 1);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    struct process second = start((const char *const[]){"--listen", address, NULL});
    bool told = false;
    while (fgets(line, sizeof line, second.err)) told |= strstr(line, address) != NULL;
    ck_assert(told);
    ck_assert_int_eq(finish(&second), 1);
    kill(first.pid, SIGTERM);
    ck_assert_int_eq(finish(&first), 0);
}
END_TEST

static const struct {
    const char *arguments[4];
    int exit_status;
    const char *first_line; /* of stderr when refused, of stdout otherwise */
} rows[] = {
    {{"--expiry", "2"},
     2,
     "skua-namesrv: flag --expiry: expiry: '2' is not a duration; write a number with a unit, like "
     "500ms, 10s, 2m, 12h"},
    {{"--lisen", ":1"},
     2,
     "skua-namesrv: command line: unknown setting 'lisen'; did you mean 'listen'?"},
    {{"--listen="}, 2, "skua-namesrv: listen and listen_tls are both empty; set one of them"},
    {{"run"}, 2, "skua-namesrv: unexpected argument 'run'; skua-namesrv --help shows the options"},
    {{"--config", "/nonexistent.yaml"},
     2,
     "skua-namesrv: configuration file /nonexistent.yaml: No such file or directory"},
    {{"--tls-cert", "x", "--listen-tls", ":0"}, 1, NULL},
    {{"--check-config"}, 0, "the settings are valid"},
    {{"--version"}, 0, NULL},
    {{"--help"}, 0, "The name server of Skua: brokers register here, clients ask here for routes."},
    {{"--print-config"}, 0, "listen: 0.0.0.0:8081                            # default"},
};

START_TEST(what_it_answers_without_serving)
{
    const char *arguments[5] = {0};
    memcpy(arguments, rows[_i].arguments, sizeof rows[_i].arguments);
    struct process p = start(arguments);
    const char *got = read_line(rows[_i].exit_status ? p.err : p.out);
    if (rows[_i].first_line) ck_assert_str_eq(got, rows[_i].first_line);
    while (fgets(line, sizeof line, p.out)) {
    }
    ck_assert_int_eq(finish(&p), rows[_i].exit_status);
}
END_TEST

static Suite *program_suite(void)
{
    Suite *suite = suite_create("namesrv/program");
    TCase *tc = tcase_create("process");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, it_says_ready_and_stops_when_told, 0, ROWS(stops));
    tcase_add_test(tc, it_makes_its_certificate_once);
    tcase_add_test(tc, a_port_in_use_is_an_error);
    tcase_add_loop_test(tc, what_it_answers_without_serving, 0, ROWS(rows));
    suite_add_tcase(suite, tc);
    return suite;
}

SUITE_MAIN(program_suite)
