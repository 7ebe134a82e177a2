/* memory_cuts.c - walk along the history of a disk and put together what a cut may leave.
 *
 *      history:   W  W  S  W  R  W  W | cut
 *                 '--'--'           durable: what some sync covers
 *                          W  R  W  W  pending: taken apart into parts
 *
 * The durable disk is kept up to date operation by operation; pending ones are looked at anew at
 * each cut. */
#include "support/memory_cuts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "support/memory_parts.h"

enum { TORN_MOST = 6 };

#define PUSH(array, count, room)                                                                   \
    ((count) == (room) ? (void)((array) = sk_realloc((array), (room) = (room) ? 2 * (room) : 64,   \
                                                     sizeof *(array)))                             \
                       : (void)0,                                                                  \
     &(array)[(count)++])

/* --- what is durable ------------------------------------------------------------------------- */

static void apply_bytes(struct memory_inode *n, const struct memory_op *op)
{
    if (op->kind == MEMORY_RESIZE) {
        memory_resize(n, op->len);
        return;
    }
    if (op->at + op->len > n->bytes) memory_resize(n, op->at + op->len);
    memcpy(memory_own(n, n->bytes) + op->at, op->data, op->len);
}

static bool covers(const struct memory_op *sync, size_t i, const struct memory_op *op)
{
    if (sync->kind == MEMORY_SYNC)
        return !memory_is_name_change(op) && op->inode == sync->inode && i < sync->at;
    return memory_is_name_change(op) && memory_is_in(op->path, sync->path);
}

static void settle(struct memory_cuts *c, const struct memory_op *sync)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct memory_op *op = &c->disk->ops[c->pending[i]];
        if (!covers(sync, c->pending[i], op))
            c->pending[kept++] = c->pending[i];
        else if (memory_is_name_change(op))
            memory_apply_name(c->durable, op, op->inode);
        else
            apply_bytes(&c->durable->inodes[op->inode], op);
    }
    c->pending_count = kept;
}

static void step(struct memory_cuts *c)
{
    size_t i = c->at++;
    const struct memory_op *op = &c->disk->ops[i];
    if (op->kind == MEMORY_SYNC || op->kind == MEMORY_SYNC_DIR)
        settle(c, op);
    else
        *PUSH(c->pending, c->pending_count, c->pending_room) = i;
}

/* --- taking apart ---------------------------------------------------------------------------- */

static struct memory_part *add_part(struct memory_cuts *c, uint32_t file)
{
    struct memory_part *p = PUSH(c->parts, c->part_count, c->part_room);
    *p = (struct memory_part){.states = 1, .file = file};
    return p;
}

static void take_names_apart(struct memory_cuts *c)
{
    for (size_t i = 0; i < c->pending_count; i++) {
        if (!memory_is_name_change(&c->disk->ops[c->pending[i]])) continue;
        struct memory_part *p = add_part(c, MEMORY_NO_PART);
        p->states = 2;
        p->newest = c->pending[i] + 1 == c->at;
    }
    c->name_parts = c->part_count;
}

/* May the file have a name after this cut? If not, its bytes make no difference. */
static bool is_visible(const struct memory_cuts *c, int inode)
{
    if (c->durable->inodes[inode].links) return true;
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct memory_op *op = &c->disk->ops[c->pending[i]];
        if ((op->kind == MEMORY_LINK || op->kind == MEMORY_RENAME) && op->inode == inode)
            return true;
    }
    return false;
}

static bool is_taken(const struct memory_cuts *c, int inode)
{
    for (uint32_t i = 0; i < c->file_count; i++)
        if (c->files[i].inode == inode) return true;
    return false;
}

static size_t new_tags(struct memory_cuts *c, uint64_t count, uint32_t value)
{
    size_t first = c->tag_count;
    for (uint64_t i = 0; i < count; i++) *PUSH(c->tags, c->tag_count, c->tag_room) = value;
    return first;
}

static void add_events(struct memory_cuts *c, struct memory_file *f)
{
    f->first_event = c->event_count;
    uint64_t room = c->durable->inodes[f->inode].bytes;
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct memory_op *op = &c->disk->ops[c->pending[i]];
        if (memory_is_name_change(op) || op->inode != f->inode) continue;
        uint64_t end = op->kind == MEMORY_WRITE ? op->at + op->len : op->len;
        if (end > room) room = end;
        *PUSH(c->events, c->event_count, c->event_room) =
            (struct memory_event){.op = c->pending[i]};
    }
    f->event_count = c->event_count - f->first_event;
    f->sectors = (room + MEMORY_SECTOR - 1) / MEMORY_SECTOR;
    f->bytes = sk_zalloc(f->sectors + 1, MEMORY_SECTOR);
    f->sector_parts = new_tags(c, f->sectors, MEMORY_NO_PART);
}

/* One more state for a sector, or for the size: `slot` is where its part's number stands. */
static uint32_t add_state(struct memory_cuts *c, uint32_t file, uint32_t *slot, bool newest)
{
    if (*slot == MEMORY_NO_PART) {
        *slot = c->part_count;
        add_part(c, file);
    }
    struct memory_part *p = &c->parts[*slot];
    p->newest |= newest;
    return p->states++;
}

/* Play one event on f->bytes, with nothing lost, and note which states it gives to what. */
static void take_event_apart(struct memory_cuts *c, uint32_t file, struct memory_event *e)
{
    struct memory_file *f = &c->files[file];
    const struct memory_op *op = &c->disk->ops[e->op];
    bool newest = e->op + 1 == c->at;
    uint64_t end = op->at + op->len;
    bool resizes = op->kind == MEMORY_RESIZE ? op->len != f->final_bytes : end > f->final_bytes;
    if (resizes) {
        uint64_t bytes = op->kind == MEMORY_RESIZE ? op->len : end;
        e->size_index = add_state(c, file, &f->size_part, newest);
        e->shrinks = bytes < f->final_bytes;
        if (e->shrinks) memset(f->bytes + bytes, 0, f->final_bytes - bytes);
        f->shrinks |= e->shrinks;
        f->final_bytes = bytes;
    }
    if (op->kind == MEMORY_RESIZE) return;
    e->tags = c->tag_count;
    for (uint64_t from = op->at; from < end; from = memory_piece(from, end)) {
        uint64_t len = memory_piece(from, end) - from;
        uint32_t *slot = &c->tags[f->sector_parts + from / MEMORY_SECTOR];
        uint32_t state = *slot == MEMORY_NO_PART ? 0 : c->parts[*slot].states - 1;
        if (memcmp(f->bytes + from, op->data + (from - op->at), len) != 0)
            state = add_state(c, file, slot, newest);
        memcpy(f->bytes + from, op->data + (from - op->at), len);
        *PUSH(c->tags, c->tag_count, c->tag_room) = state;
    }
}

static void take_file_apart(struct memory_cuts *c, int inode)
{
    uint32_t file = c->file_count;
    struct memory_file *f = PUSH(c->files, c->file_count, c->file_room);
    struct memory_inode *n = &c->durable->inodes[inode];
    *f = (struct memory_file){.inode = inode, .size_part = MEMORY_NO_PART, .final_bytes = n->bytes};
    f->durable_sum = memory_inode_sum(n) ^ memory_mix(n->bytes);
    add_events(c, f);
    if (n->bytes) memcpy(f->bytes, n->blob->data, n->bytes);
    for (size_t i = 0; i < f->event_count; i++)
        take_event_apart(c, file, &c->events[f->first_event + i]);
}

static void forget_files(struct memory_cuts *c)
{
    for (uint32_t i = 0; i < c->file_count; i++) free(c->files[i].bytes);
    c->part_count = c->file_count = 0;
    c->event_count = c->tag_count = 0;
}

static void sum_unchanged(struct memory_cuts *c)
{
    c->unchanged_sum = 0;
    for (int i = 0; i < c->durable->name_count; i++) {
        const struct memory_name *name = &c->durable->names[i];
        if (name->inode >= 0 && is_taken(c, name->inode)) continue;
        c->unchanged_sum ^= memory_name_sum(
            name, name->inode < 0 ? 0 : memory_inode_sum(&c->durable->inodes[name->inode]));
    }
}

/* --- how many choices there are -------------------------------------------------------------- */

/* States that are told when all are. */
static uint32_t told(const struct memory_part *p)
{
    return p->states < 3 ? p->states : 3;
}

static uint64_t combinations(const struct memory_cuts *c, uint64_t most)
{
    uint64_t all = 1;
    for (uint32_t i = 0; i < c->part_count && all <= most; i++) all *= told(&c->parts[i]);
    return all;
}

static uint32_t newest_parts(const struct memory_cuts *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->part_count; i++) count += c->parts[i].newest;
    return count;
}

static uint64_t torn_choices(const struct memory_cuts *c)
{
    uint32_t count = newest_parts(c);
    return count <= TORN_MOST ? 1u << count : count + 1;
}

static void take_apart(struct memory_cuts *c)
{
    forget_files(c);
    take_names_apart(c);
    for (size_t i = 0; i < c->pending_count; i++) {
        const struct memory_op *op = &c->disk->ops[c->pending[i]];
        if (!memory_is_name_change(op) && !is_taken(c, op->inode) && is_visible(c, op->inode))
            take_file_apart(c, op->inode);
    }
    sum_unchanged(c);
    uint64_t all = combinations(c, c->plan.all_up_to);
    c->all = all <= c->plan.all_up_to;
    c->choice = 0;
    c->choices = c->all ? all
                        : 2 + 2 * (uint64_t)c->part_count + torn_choices(c) +
                              2 * (uint64_t)c->plan.pairs + c->plan.randoms;
}

/* --- choosing -------------------------------------------------------------------------------- */

static void set_all(struct memory_cuts *c, bool newest)
{
    for (uint32_t i = 0; i < c->part_count; i++)
        c->parts[i].state = newest ? c->parts[i].states - 1 : 0;
}

static void lose_last(struct memory_part *p)
{
    p->state = p->states - 2;
}

static void choose_combination(struct memory_cuts *c, uint64_t choice)
{
    for (uint32_t i = c->part_count; i-- > 0;) {
        struct memory_part *p = &c->parts[i];
        uint32_t digit = (uint32_t)(choice % told(p));
        choice /= told(p);
        p->state = digit == 0 ? 0 : p->states - told(p) + digit;
    }
}

/* Of what the last operation did: subset `choice`, or, if that is much, the first `choice`. */
static void choose_torn(struct memory_cuts *c, uint64_t choice)
{
    bool subsets = newest_parts(c) <= TORN_MOST;
    set_all(c, true);
    for (uint32_t i = 0, bit = 0; i < c->part_count; i++) {
        if (!c->parts[i].newest) continue;
        if (subsets ? !(choice >> bit & 1) : bit >= choice) lose_last(&c->parts[i]);
        bit++;
    }
}

static void choose_pair(struct memory_cuts *c, uint64_t x, bool missing)
{
    uint32_t a = (uint32_t)(x % c->part_count), b = (uint32_t)((x >> 32) % c->part_count);
    set_all(c, missing);
    uint32_t both[] = {a, b};
    for (int i = 0; i < 2; i++) {
        struct memory_part *p = &c->parts[both[i]];
        if (missing)
            lose_last(p);
        else
            p->state = p->states - 1;
    }
}

static void choose_random(struct memory_cuts *c, uint64_t seed, unsigned manner)
{
    for (uint32_t i = 0; i < c->part_count; i++) {
        struct memory_part *p = &c->parts[i];
        uint64_t x = memory_mix(seed ^ memory_mix(i)), coin = x >> 32;
        if (manner == 3) coin = memory_mix(seed + p->file);
        bool keep = manner == 1 ? coin % 8 > 0 : manner == 2 ? coin % 8 == 0 : coin & 1;
        p->state = manner == 0 ? (uint32_t)(x % p->states) : keep ? p->states - 1 : 0;
    }
}

static void choose_sample(struct memory_cuts *c, uint64_t choice)
{
    uint64_t seed = memory_mix(c->plan.seed ^ memory_mix(c->at * 1000003 + choice));
    if (choice < 2) {
        set_all(c, choice == 0);
    } else if ((choice -= 2) < 2 * (uint64_t)c->part_count) {
        bool missing = choice % 2 == 0;
        struct memory_part *p = &c->parts[choice / 2];
        set_all(c, missing);
        p->state = missing ? p->states - 2 : p->states - 1;
    } else if ((choice -= 2 * (uint64_t)c->part_count) < torn_choices(c)) {
        choose_torn(c, choice);
    } else if ((choice -= torn_choices(c)) < 2 * (uint64_t)c->plan.pairs) {
        choose_pair(c, seed, choice % 2 == 0);
    } else {
        choose_random(c, seed, (unsigned)(choice % 4));
    }
}

/* --- life ------------------------------------------------------------------------------------ */

struct memory_cuts *memory_cuts_new(struct memory_vfs *disk, const struct memory_cuts_plan *plan)
{
    struct memory_cuts *c = sk_zalloc(1, sizeof *c);
    c->disk = disk;
    c->plan = *plan;
    c->durable = disk->base ? memory_vfs_copy(disk->base) : memory_vfs_new();
    while (c->durable->inode_count < disk->inode_count) memory_new_inode(c->durable);
    if (c->plan.last > disk->op_count) c->plan.last = disk->op_count;
    while (c->at < plan->first && c->at < c->plan.last) step(c);
    take_apart(c);
    return c;
}

void memory_cuts_free(struct memory_cuts *c)
{
    if (!c) return;
    forget_files(c);
    memory_vfs_free(c->durable);
    free(c->pending);
    free(c->parts);
    free(c->events);
    free(c->files);
    free(c->tags);
    free(c);
}

bool memory_cuts_next(struct memory_cuts *c, struct memory_cut *out)
{
    if (c->choice == c->choices) {
        if (c->at >= c->plan.last) return false;
        step(c);
        take_apart(c);
    }
    uint64_t choice = c->choice++;
    if (c->all)
        choose_combination(c, choice);
    else
        choose_sample(c, choice);
    *out = (struct memory_cut){
        .ops = c->at, .choice = choice, .hash = memory_cuts_hash(c), .parts = c->part_count};
    return true;
}

/* --- one image ------------------------------------------------------------------------------- */

static void tear(struct memory_cuts *c, uint64_t seed)
{
    uint32_t count = newest_parts(c), kept = (uint32_t)(memory_mix(seed) % (count + 1));
    set_all(c, true);
    for (uint32_t i = 0, nth = 0; i < c->part_count; i++)
        if (c->parts[i].newest && c->parts[i].file != MEMORY_NO_PART && nth++ >= kept)
            lose_last(&c->parts[i]);
}

struct memory_vfs *memory_vfs_crash(struct memory_vfs *m, size_t ops, enum memory_crash how,
                                    uint64_t seed)
{
    struct memory_cuts *c =
        memory_cuts_new(m, &(struct memory_cuts_plan){.first = ops, .last = ops});
    set_all(c, how == MEMORY_KEEP_ALL);
    if (how == MEMORY_KEEP_SOME) choose_random(c, seed, 0);
    if (how == MEMORY_TEAR_LAST) tear(c, seed);
    struct memory_vfs *image = memory_cuts_image(c);
    memory_cuts_free(c);
    memory_vfs_rebase(image);
    return image;
}
