/* output.h - results as tables (libsmartcols) or JSON (jansson).
 *
 * Threads: one. */
#ifndef SKUA_OUTPUT_H
#define SKUA_OUTPUT_H

#include <jansson.h>
#include <libsmartcols.h>

#include "cli.h"

/* Print one JSON value and a newline; takes the reference. */
void out_json(struct cli *cli, json_t *value_take);

/* A table with these column titles; a title that begins with '>' is aligned right. Cells are
 * printf'ed one by one; a row begins with out_row. */
struct out_table {
    struct libscols_table *table;
    struct libscols_line *line;
    size_t column, columns;
};
void out_table_begin(struct out_table *t, struct cli *cli, const char *const *titles, size_t count);
void out_row(struct out_table *t);
void out_cell(struct out_table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Print what there is and free the table. `headings`: with the line of titles. */
void out_table_end(struct out_table *t, struct cli *cli, bool headings);

/* "2026-11-21T10:15:02.123Z"; "" for 0. */
const char *out_time(int64_t ms, char *buffer, size_t room);
/* "1.5 MiB" */
const char *out_bytes(uint64_t bytes, char *buffer, size_t room);

/* Put body (or body_base64) into `object`. */
void out_json_body(json_t *object, const char *text_key, const char *base64_key, const void *data,
                   size_t len);

/* One message as it is printed by receive and pull. */
json_t *out_message_json(const skua_message *message, bool delivered);
void out_messages_table(struct cli *cli, const skua_messages *list, size_t count, bool headings);

/* --- the client of a command ----------------------------------------------------------- */

/* A client for the flags of this invocation. On failure the error was printed: *exit is the code.
 */
skua_client *out_connect(struct cli *cli, int *exit);

#endif
