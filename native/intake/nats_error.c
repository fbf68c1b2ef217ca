/* nats_error: the text of an -ERR becomes a decision, and a sentence that names the way out. */
#include "nats.h"

#include <stdio.h>

/* Answers that leave the source without what it asked for: going on would be silence that looks
 * like health. Everything else is counted; where the server means it, it closes. Lower case. */
static const struct {
    const char *words;
    bool is_about_credentials;
} refusals[] = {
    {"authorization", true},          {"authentication", true},
    {"tls required", false},          {"permissions violation for subscription", false},
    {"invalid subject", false},       {"maximum connections", false},
    {"maximum subscriptions", false}, {"maximum account", false},
};

static const char *hint(const pstk_nats_session *session) {
    if (session->options->user[0] || session->options->token[0]) {
        return "; check user, password and token of this source";
    }
    return session->info.has_nonce
               ? "; it asks for an NKey, which this version cannot sign: use a user and password "
                 "or a token"
               : "; give this source a user and password or a token";
}

bool pstk_nats_is_refusal(pstk_nats_session *session, const uint8_t *text, size_t text_bytes) {
    char shown[160], folded[160];
    size_t size = PSTK_MIN(text_bytes, sizeof shown - 1);
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = text[i];
        shown[i] = byte < 0x20 || byte > 0x7e ? '?' : (char)byte;
        folded[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : shown[i];
    }
    shown[size] = folded[size] = 0;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (strstr(folded, refusals[i].words) != NULL) {
            snprintf(session->text, sizeof session->text, "the NATS server says %s%s", shown,
                     refusals[i].is_about_credentials ? hint(session) : "");
            return true;
        }
    }
    snprintf(session->text, sizeof session->text, "the NATS server said %s", shown);
    return false;
}
