/* nats_info: the bytes of a server's INFO become the few facts the wire needs.
 * A strict JSON scanner (RFC 8259) in a fixed block of memory: depth is a bit set, so nesting costs
 * no stack, and no text is kept but the members of the outermost object that have a name here. */
#include "nats.h"

enum place {
    AT_VALUE,
    AT_VALUE_OR_END, /* behind '[' */
    AT_KEY_OR_END,   /* behind '{' */
    AT_KEY,          /* behind a comma */
    AT_COLON,
    AT_NEXT, /* a comma or the end of this level */
    IN_STRING,
    IN_ESCAPE,
    IN_HEX,
    IN_NUMBER,
    IN_WORD,
    AT_LINE_END,
};

enum number_place { N_MINUS, N_ZERO, N_INT, N_DOT, N_FRACTION, N_E, N_E_SIGN, N_EXPONENT };

void pstk_nats_info_begin(pstk_nats_info *info) {
    memset(info, 0, sizeof *info);
    info->place = AT_VALUE;
}

static bool is_space(uint8_t byte) { return byte == ' ' || byte == '\t' || byte == '\r'; }
static bool is_digit(uint8_t byte) { return (uint8_t)(byte - '0') < 10; }
static bool is_hex(uint8_t byte) { return is_digit(byte) || (uint8_t)((byte | 0x20u) - 'a') < 6; }

static void keep(pstk_nats_info *info, uint8_t byte) {
    if (info->depth != 1) {
        return;
    }
    if (info->is_key) {
        if (info->key_bytes < sizeof info->key) {
            info->key[info->key_bytes] = (char)byte;
        }
        info->key_bytes++;
        return;
    }
    if (info->value_bytes < sizeof info->value) {
        info->value[info->value_bytes] = (char)byte;
    }
    info->value_bytes++;
}

static bool is_key(const pstk_nats_info *info, const char *name) {
    size_t size = strlen(name);
    return info->key_bytes == size && memcmp(info->key, name, size) == 0;
}

static uint64_t value_number(const pstk_nats_info *info) {
    uint64_t number = 0;
    for (uint32_t i = 0; i < info->value_bytes; i++) {
        if (i == 18 || !is_digit((uint8_t)info->value[i])) {
            return 0; /* a fraction, a sign, or beyond any size: as if not said */
        }
        number = number * 10 + (uint64_t)(info->value[i] - '0');
    }
    return number;
}

/* A string, number or word of the outermost object is complete. */
static void set_member(pstk_nats_info *info) {
    bool is_true = info->value_bytes == 4 && memcmp(info->value, "true", 4) == 0;
    if (is_key(info, "max_payload")) {
        info->max_payload = value_number(info);
    } else if (is_key(info, "auth_required")) {
        info->is_auth_required = is_true;
    } else if (is_key(info, "tls_required")) {
        info->is_tls_required = is_true;
    } else if (is_key(info, "headers")) {
        info->has_headers = is_true;
    } else if (is_key(info, "ldm")) {
        info->is_lame_duck = is_true;
    } else if (is_key(info, "nonce")) {
        info->has_nonce = info->value_bytes > 0;
    } else if (is_key(info, "server_id")) {
        info->server_id_bytes = info->value_bytes;
        memcpy(info->server_id, info->value, PSTK_MIN(info->value_bytes, sizeof info->server_id));
    }
}

static pstk_nats_info_step end_scalar(pstk_nats_info *info) {
    if (info->depth == 1) {
        set_member(info);
    }
    info->place = AT_NEXT;
    return PSTK_NATS_INFO_MORE;
}

static pstk_nats_info_step open_level(pstk_nats_info *info, bool is_object) {
    if (info->depth == PSTK_NATS_JSON_DEPTH_MAX) {
        return PSTK_NATS_INFO_BAD;
    }
    info->depth++;
    uint32_t bit = UINT32_C(1) << info->depth;
    info->objects = is_object ? info->objects | bit : info->objects & ~bit;
    info->place = is_object ? AT_KEY_OR_END : AT_VALUE_OR_END;
    return PSTK_NATS_INFO_MORE;
}

static pstk_nats_info_step close_level(pstk_nats_info *info, uint8_t byte) {
    bool is_object = (info->objects >> info->depth & 1u) != 0;
    if (byte != (is_object ? '}' : ']')) {
        return PSTK_NATS_INFO_BAD;
    }
    info->depth--;
    info->place = info->depth == 0 ? AT_LINE_END : AT_NEXT;
    return PSTK_NATS_INFO_MORE;
}

static pstk_nats_info_step begin_string(pstk_nats_info *info, bool is_key_string) {
    info->is_key = is_key_string;
    if (is_key_string) {
        info->key_bytes = 0;
    }
    info->value_bytes = 0;
    info->place = IN_STRING;
    return PSTK_NATS_INFO_MORE;
}

static pstk_nats_info_step begin_value(pstk_nats_info *info, uint8_t byte) {
    if (info->depth == 0 && byte != '{') {
        return PSTK_NATS_INFO_BAD;
    }
    if (byte == '{' || byte == '[') {
        return open_level(info, byte == '{');
    }
    if (byte == '"') {
        return begin_string(info, false);
    }
    info->is_key = false;
    info->value_bytes = 0;
    keep(info, byte);
    if (byte == '-' || is_digit(byte)) {
        info->place = IN_NUMBER;
        info->number_place = byte == '-' ? N_MINUS : byte == '0' ? N_ZERO : N_INT;
        return PSTK_NATS_INFO_MORE;
    }
    info->place = IN_WORD;
    info->word = byte == 't' ? "rue" : byte == 'f' ? "alse" : byte == 'n' ? "ull" : NULL;
    return info->word ? PSTK_NATS_INFO_MORE : PSTK_NATS_INFO_BAD;
}

static pstk_nats_info_step take_structure(pstk_nats_info *info, uint8_t byte) {
    if (is_space(byte)) {
        return PSTK_NATS_INFO_MORE;
    }
    switch (info->place) {
    case AT_VALUE:
        return begin_value(info, byte);
    case AT_VALUE_OR_END:
        return byte == ']' ? close_level(info, byte) : begin_value(info, byte);
    case AT_KEY_OR_END:
        if (byte == '}') {
            return close_level(info, byte);
        }
        return byte == '"' ? begin_string(info, true) : PSTK_NATS_INFO_BAD;
    case AT_KEY:
        return byte == '"' ? begin_string(info, true) : PSTK_NATS_INFO_BAD;
    case AT_COLON:
        info->place = AT_VALUE;
        return byte == ':' ? PSTK_NATS_INFO_MORE : PSTK_NATS_INFO_BAD;
    case AT_NEXT:
        if (byte != ',') {
            return close_level(info, byte);
        }
        info->place = (info->objects >> info->depth & 1u) ? AT_KEY : AT_VALUE;
        return PSTK_NATS_INFO_MORE;
    default: /* AT_LINE_END */
        return byte == '\n' ? PSTK_NATS_INFO_DONE : PSTK_NATS_INFO_BAD;
    }
}

static pstk_nats_info_step take_string(pstk_nats_info *info, uint8_t byte) {
    if (info->place == IN_HEX) {
        info->hex_left--;
        info->place = info->hex_left ? IN_HEX : IN_STRING;
        keep(info, byte);
        return is_hex(byte) ? PSTK_NATS_INFO_MORE : PSTK_NATS_INFO_BAD;
    }
    if (info->place == IN_ESCAPE) {
        info->hex_left = 4;
        info->place = byte == 'u' ? IN_HEX : IN_STRING;
        keep(info, byte);
        bool is_known = byte != 0 && strchr("\"\\/bfnrtu", byte) != NULL;
        return is_known ? PSTK_NATS_INFO_MORE : PSTK_NATS_INFO_BAD;
    }
    if (byte == '"') {
        if (!info->is_key) {
            return end_scalar(info);
        }
        info->place = AT_COLON;
        return PSTK_NATS_INFO_MORE;
    }
    if (byte == '\\') {
        info->place = IN_ESCAPE;
    }
    keep(info, byte);
    return byte >= 0x20 ? PSTK_NATS_INFO_MORE : PSTK_NATS_INFO_BAD;
}

/* Where a number may go from here, or -1: RFC 8259 section 6. */
static int number_next(uint8_t place, uint8_t byte) {
    bool is_e = byte == 'e' || byte == 'E';
    switch (place) {
    case N_MINUS:
        return byte == '0' ? N_ZERO : is_digit(byte) ? N_INT : -1;
    case N_ZERO:
        return byte == '.' ? N_DOT : is_e ? N_E : -1;
    case N_INT:
        return is_digit(byte) ? N_INT : byte == '.' ? N_DOT : is_e ? N_E : -1;
    case N_DOT:
        return is_digit(byte) ? N_FRACTION : -1;
    case N_FRACTION:
        return is_digit(byte) ? N_FRACTION : is_e ? N_E : -1;
    case N_E:
        return byte == '+' || byte == '-' ? N_E_SIGN : is_digit(byte) ? N_EXPONENT : -1;
    default: /* N_E_SIGN, N_EXPONENT */
        return is_digit(byte) ? N_EXPONENT : -1;
    }
}

static pstk_nats_info_step take_number(pstk_nats_info *info, uint8_t byte) {
    int next = number_next(info->number_place, byte);
    if (next >= 0) {
        info->number_place = (uint8_t)next;
        keep(info, byte);
        return PSTK_NATS_INFO_MORE;
    }
    uint8_t place = info->number_place;
    if (place != N_ZERO && place != N_INT && place != N_FRACTION && place != N_EXPONENT) {
        return PSTK_NATS_INFO_BAD;
    }
    (void)end_scalar(info);
    return take_structure(info, byte);
}

static pstk_nats_info_step take_word(pstk_nats_info *info, uint8_t byte) {
    if (byte != (uint8_t)*info->word) {
        return PSTK_NATS_INFO_BAD;
    }
    info->word++;
    keep(info, byte);
    return *info->word ? PSTK_NATS_INFO_MORE : end_scalar(info);
}

pstk_nats_info_step pstk_nats_info_take(pstk_nats_info *info, uint8_t byte) {
    if (++info->bytes > PSTK_NATS_INFO_BYTES_MAX) {
        return PSTK_NATS_INFO_BAD;
    }
    switch (info->place) {
    case IN_STRING:
    case IN_ESCAPE:
    case IN_HEX:
        return take_string(info, byte);
    case IN_NUMBER:
        return take_number(info, byte);
    case IN_WORD:
        return take_word(info, byte);
    default:
        return take_structure(info, byte);
    }
}
