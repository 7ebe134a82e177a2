/* suggest.c - did you mean …? From what was typed to the word that was meant. */
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

/* clang-format off */

/* Words that people bring along from other tools. */
static const struct {
    const char *typed, *meant;
} synonyms[] = {
    {"ls", "list"},           {"rm", "delete"},          {"remove", "delete"},
    {"del", "delete"},        {"info", "describe"},      {"show", "describe"},
    {"get", "describe"},      {"status", "cluster"},     {"add", "create"},
    {"new", "create"},        {"make", "create"},        {"publish", "send"},
    {"pub", "send"},          {"produce", "send"},       {"put", "send"},
    {"subscribe", "receive"}, {"sub", "receive"},        {"consume", "receive"},
    {"recv", "receive"},      {"read", "pull"},          {"fetch", "pull"},
    {"start", "dev"},         {"server", "dev"},         {"run", "dev"},
    {"check", "verify"},      {"fsck", "verify"},        {"topics", "topic"},
    {"brokers", "cluster"},   {"consumer", "group"},     {"benchmark", "bench"},
    {"topicList", "topic list"},          {"updateTopic", "topic create"},
    {"deleteTopic", "topic delete"},      {"topicStatus", "topic describe"},
    {"topicRoute", "route"},              {"clusterList", "cluster"},
    {"brokerStatus", "cluster"},          {"updateSubGroup", "group create"},
    {"deleteSubGroup", "group delete"},   {"consumerProgress", "group describe"},
    {"sendMessage", "send"},              {"consumeMessage", "receive"},
    {"printMsg", "pull"},                 {"checkMsgSendRT", "bench send"},
};

/* clang-format on */

enum { WORD_MAX = 40 };

/* Edits (insert, delete, replace, swap of neighbours) from a to b; a large number for long words.
 */
static size_t edits(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    if (m >= WORD_MAX || n >= WORD_MAX) return SIZE_MAX;

    size_t d[WORD_MAX][WORD_MAX];
    for (size_t i = 0; i <= m; i++) d[i][0] = i;
    for (size_t j = 0; j <= n; j++) d[0][j] = j;
    for (size_t i = 1; i <= m; i++) {
        for (size_t j = 1; j <= n; j++) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[m][n];
}

const char *cli_did_you_mean(const char *typed, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t fewest = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t cost = edits(typed, words[i]);
        size_t longer = strlen(typed) > strlen(words[i]) ? strlen(typed) : strlen(words[i]);
        if (strlen(typed) >= 3 && strncmp(typed, words[i], strlen(typed)) == 0) cost = 1;
        if (cost > 2 || cost * 2 >= longer || cost >= fewest) continue;
        best = words[i];
        fewest = cost;
    }
    return best;
}

const char *cli_suggest(const char *typed, const char *const *words, size_t count)
{
    for (size_t i = 0; i < sizeof synonyms / sizeof synonyms[0]; i++) {
        if (strcasecmp(synonyms[i].typed, typed) != 0) continue;
        if (strchr(synonyms[i].meant, ' ')) return synonyms[i].meant;
        for (size_t j = 0; j < count; j++)
            if (strcmp(words[j], synonyms[i].meant) == 0) return words[j];
    }
    return cli_did_you_mean(typed, words, count);
}
