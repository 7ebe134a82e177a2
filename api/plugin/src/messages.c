/* messages.c - the messages themselves: protoc-gen-c's work, with one cure.
 *
 * protoc-gen-c refuses proto3 `optional`. But such a field already lies alone in a
 * oneof of its own, which protoc invented for generators of that age; with the flag
 * taken off it is an ordinary oneof, and presence survives. */
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "generator.h"

static void clear_optional(pb_message *message)
{
    for (size_t i = 0; i < message->n_field; i++) {
        message->field[i]->has_proto3_optional = 0;
        message->field[i]->proto3_optional = 0;
    }
    for (size_t i = 0; i < message->n_nested_type; i++) clear_optional(message->nested_type[i]);
}

static void prepare(pb_file *file)
{
    for (size_t i = 0; i < file->n_message_type; i++) clear_optional(file->message_type[i]);
    /* Its service glue knows no streams, and breaks on a method named as a C word. */
    file->n_service = 0;
}

/* The request in a file that is gone when closed: no pipe can fill up both ways. */
static int request_file(const pb_request *request)
{
    size_t size = google__protobuf__compiler__code_generator_request__get_packed_size(request);
    uint8_t *bytes = malloc(size);
    FILE *file = tmpfile();
    if (!bytes || !file) abort();
    google__protobuf__compiler__code_generator_request__pack(request, bytes);
    bool written = fwrite(bytes, 1, size, file) == size && fflush(file) == 0;
    free(bytes);
    int fd = written ? dup(fileno(file)) : -1;
    fclose(file);
    if (fd >= 0) lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Run protoc-gen-c with `in` as its standard input; its output through *out. */
static int start_child(struct generator *gen, int in, pid_t *child, FILE **out)
{
    int ends[2];
    if (pipe(ends) != 0) return errno;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    const char *program = gen->protoc_gen_c;
    char *argv[] = {sk_arena_text(gen->arena, sk_slice_of_text(program)), NULL};
    int error = posix_spawnp(child, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *out = fdopen(ends[0], "rb");
    return error;
}

static void take_answer(struct generator *gen, struct sk_slice bytes)
{
    pb_response *response = google__protobuf__compiler__code_generator_response__unpack(
        &gen->allocator, bytes.len, bytes.data);
    if (!response) {
        names_fail(&gen->names, "%s: its answer cannot be read", gen->protoc_gen_c);
        return;
    }
    if (response->error) names_fail(&gen->names, "%s: %s", gen->protoc_gen_c, response->error);
    for (size_t i = 0; i < response->n_file; i++)
        generator_add(gen, response->file[i]->name, response->file[i]->content);
}

void emit_messages(struct generator *gen)
{
    static char no_options[1];
    for (size_t i = 0; i < gen->request->n_proto_file; i++) prepare(gen->request->proto_file[i]);
    gen->request->parameter = no_options; /* ours; protoc-gen-c would not know them */
    int in = request_file(gen->request);
    pid_t child = 0;
    FILE *out = NULL;
    int error = in < 0 ? EIO : start_child(gen, in, &child, &out);
    if (in >= 0) close(in);
    if (error != 0) {
        names_fail(&gen->names, "cannot run %s: %s", gen->protoc_gen_c, strerror(error));
        if (out) fclose(out);
        return;
    }
    struct sk_slice bytes = generator_read(gen, out);
    fclose(out);
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        names_fail(&gen->names, "%s failed", gen->protoc_gen_c);
    else
        take_answer(gen, bytes);
}
