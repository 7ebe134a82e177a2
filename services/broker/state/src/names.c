/* names.c - two hash tables and a sorted array over the same things. */
#include "names.h"

#include <stdlib.h>

#include "base/assert.h"

static int compare_names(struct sk_slice a, struct sk_slice b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Where `name` stands, or would stand, in names->sorted. */
static size_t place_of(const struct sk_names *names, struct sk_slice name)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_names(names->sorted[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void sk_names_add(struct sk_names *names, struct sk_named *thing, struct sk_slice name, uint32_t id)
{
    if (id == 0) id = names->next_id ? names->next_id : 1;
    if (id >= names->next_id) names->next_id = id + 1;
    thing->id = id;
    thing->name = sk_slice_of(sk_strndup(name), name.len);

    if (names->count == names->room) {
        names->room = names->room ? names->room * 2 : 16;
        names->sorted = sk_realloc(names->sorted, names->room, sizeof *names->sorted);
    }
    size_t place = place_of(names, name);
    memmove(names->sorted + place + 1, names->sorted + place,
            (names->count - place) * sizeof *names->sorted);
    names->sorted[place] = thing;
    names->count++;

    HASH_ADD_KEYPTR(by_name, names->by_name, thing->name.data, thing->name.len, thing);
    HASH_ADD(by_id, names->by_id, id, sizeof thing->id, thing);
}

void sk_names_remove(struct sk_names *names, struct sk_named *thing)
{
    size_t place = place_of(names, thing->name);
    sk_assert(place < names->count && names->sorted[place] == thing);
    names->count--;
    memmove(names->sorted + place, names->sorted + place + 1,
            (names->count - place) * sizeof *names->sorted);

    HASH_DELETE(by_name, names->by_name, thing);
    HASH_DELETE(by_id, names->by_id, thing);
    free((void *)(uintptr_t)thing->name.data);
    thing->name = SK_EMPTY;
}

size_t sk_names_after(const struct sk_names *names, struct sk_slice name)
{
    size_t place = name.len ? place_of(names, name) : 0;
    bool is_there =
        name.len && place < names->count && compare_names(names->sorted[place]->name, name) == 0;
    return place + is_there;
}

void *sk_names_find(const struct sk_names *names, struct sk_slice name)
{
    struct sk_named *thing = NULL;
    if (name.len) HASH_FIND(by_name, names->by_name, name.data, name.len, thing);
    return thing;
}

void *sk_names_by_id(const struct sk_names *names, uint32_t id)
{
    struct sk_named *thing = NULL;
    HASH_FIND(by_id, names->by_id, &id, sizeof id, thing);
    return thing;
}

bool sk_names_knows(const struct sk_names *names, uint32_t id)
{
    return id > 0 && id < names->next_id;
}

static int by_id(const void *a, const void *b)
{
    const struct sk_named *const *left = a, *const *right = b;
    return ((*left)->id > (*right)->id) - ((*left)->id < (*right)->id);
}

struct sk_named **sk_names_in_order_of_id(const struct sk_names *names)
{
    struct sk_named **all = sk_zalloc(names->count, sizeof *all);
    if (names->count) memcpy(all, names->sorted, names->count * sizeof *all);
    qsort(all, names->count, sizeof *all, by_id);
    return all;
}

void sk_names_done(struct sk_names *names)
{
    sk_assert(names->count == 0);
    free(names->sorted);
    *names = (struct sk_names){0};
}
