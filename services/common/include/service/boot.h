/* boot.h - from main() to "ready", and from SIGTERM to the end.
 *
 *      sk_boot:  settings ─► log ─► signals blocked ─► run()
 *      run():    … sk_server_new ─► mount services ─► sk_server_listen
 *                ─► sk_server_start ─► sk_ready ─► sk_boot_wait ─► sk_server_drain …
 *
 * A server prints exactly one line on stdout, once it serves (port 0 became a number):
 *
 *      ready listen=127.0.0.1:8081 listen-tls=127.0.0.1:8082
 *
 * Exit status: 0 stopped as asked, 1 failed, 2 the settings are wrong.
 *
 * Threads: main only. */
#ifndef SK_SERVICE_BOOT_H
#define SK_SERVICE_BOOT_H

#include "base/config.h"
#include "rpc/server.h"

/* --- main --------------------------------------------------------------------------------- */

typedef struct sk_boot sk_boot;

struct sk_boot_program {
    const struct sk_program *program;
    void *values;                         /* the struct of settings, filled before run */
    const int *log_level, *log_format;    /* into *values; may be NULL */
    struct sk_status (*run)(sk_boot *boot, void *values);
};

/* All of main(): returns the exit status. Serves --help, --version, --print-config,
 * --print-config-docs and --check-config itself. */
int sk_boot_main(const struct sk_boot_program *program, int argc, char **argv);

/* Wait for SIGTERM or SIGINT; SIGHUP reads the file again. After this returned, a
 * second signal ends the process at once. `boot` may be NULL (no file to read). */
void sk_boot_wait(sk_boot *boot);

/* SIGTERM, SIGINT and SIGHUP wait for sk_boot_wait, SIGPIPE is ignored. sk_boot_main does
 * it; another main does it before it starts any thread. */
void sk_signals_block(void);

/* Settings of the allocator for servers. sk_boot_main does it; another main does it first. */
void sk_memory_tune(void);

/* Give back what only the start needed: free memory, and the pages of code. sk_ready does it. */
void sk_memory_forget_start(void);

/* --- servers ---------------------------------------------------------------------------------- */

struct sk_server_settings {
    const char *listen, *listen_tls; /* HOST:PORT; "" for none */
    const char *tls_cert, *tls_key;  /* "" for a self-signed pair in data_dir */
    const char *tls_names;           /* more names for it, separated by commas */
    const char *data_dir;
    unsigned pollers;
    uint64_t max_request_bytes, max_metadata_bytes, max_call_bytes;
    unsigned max_streams;
    unsigned handshake_timeout_ms, drain_grace_ms;
};

/* From a struct that has the fields of service/server.def and `listen`. */
#define SK_SERVER_SETTINGS(c, dir)                                                                 \
    ((struct sk_server_settings){.listen = (c)->listen,                                            \
                                 .listen_tls = (c)->listen_tls,                                    \
                                 .tls_cert = (c)->tls_cert,                                        \
                                 .tls_key = (c)->tls_key,                                          \
                                 .tls_names = (c)->tls_names,                                      \
                                 .data_dir = (dir),                                                \
                                 .pollers = (unsigned)(c)->pollers,                        \
                                 .max_request_bytes = (c)->max_request_bytes,                 \
                                 .max_metadata_bytes = (c)->max_metadata_size_bytes,               \
                                 .max_call_bytes = (c)->max_call_memory_bytes,                     \
                                 .max_streams = (unsigned)(c)->max_streams,                        \
                                 .handshake_timeout_ms = (unsigned)(c)->handshake_timeout_ms,      \
                                 .drain_grace_ms = (unsigned)(c)->drain_grace_ms})

/* A server with health and reflection mounted. */
SK_CHECKED struct sk_status sk_server_new(const struct sk_server_settings *settings,
                                          rpc_server **out);

/* Where a server listens, with the ports that it got; "" for a listener it has not. */
struct sk_bound {
    char listen[288];     /* HOST:PORT as it can be dialled from this machine */
    char listen_tls[288];
};

/* Open the listeners. The self-signed certificate names localhost, 127.0.0.1, ::1, this
 * machine's names and addresses, the listeners' hosts and tls_names. `more` (may be NULL)
 * are `more_count` further names: what brokers advertise. */
SK_CHECKED struct sk_status sk_server_listen(rpc_server *server,
                                             const struct sk_server_settings *settings,
                                             const char *const *more, size_t more_count,
                                             struct sk_bound *out);

/* Print the ready line: listeners, then `rest` (" data=…" or ""), flushed. */
void sk_ready(const struct sk_bound *bound, const char *rest);

/* --- addresses ------------------------------------------------------------------------------------ */

/* "HOST:PORT", "[v6]:PORT" or ":PORT" in two. False if it is none of them. */
bool sk_address_split(const char *address, char host[256], int *port);

/* The same put together; a host with a colon gets brackets. */
void sk_address_join(const char *host, int port, char out[288]);

/* What clients should dial: `advertise` (HOST or HOST:PORT) if it is given; else the
 * listener's own host; else, if it listens everywhere, this machine's first IPv4
 * address that is not a loopback, or 127.0.0.1. */
struct sk_advertised {
    char host[256];
    int port;
    int scheme; /* a number of AddressScheme: 1 IPv4, 2 IPv6, 3 a name */
};
SK_CHECKED struct sk_status sk_advertise(const char *advertise, const char *bound,
                                         struct sk_advertised *out);

#endif
