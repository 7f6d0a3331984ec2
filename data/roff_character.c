/* SPDX-License-Identifier: Apache-2.0
 * Named characters, after groff_char(7): those that manual pages use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/roff.h"

static const struct {
    char name[4];
    char text[5];
} characters[] = {
    /* Quotes and dashes. */
    {"aq", "'"},
    {"dq", "\""},
    {"lq", "“"},
    {"rq", "”"},
    {"oq", "‘"},
    {"cq", "’"},
    {"Bq", "„"},
    {"bq", "‚"},
    {"Fo", "«"},
    {"Fc", "»"},
    {"fo", "‹"},
    {"fc", "›"},
    {"em", "—"},
    {"en", "–"},
    {"hy", "-"},
    {"mi", "−"},
    {"pl", "+"},
    {"eq", "="},
    {"ha", "^"},
    {"ti", "~"},
    {"ga", "`"},
    {"aa", "´"},
    {"rs", "\\"},
    {"sl", "/"},
    {"at", "@"},
    {"sh", "#"},
    {"Do", "$"},
    {"bv", "|"},
    {"ba", "|"},
    {"br", "|"},
    {"or", "|"},
    {"lB", "["},
    {"rB", "]"},
    {"lC", "{"},
    {"rC", "}"},
    {"ul", "_"},
    {"ru", "_"},
    {"rn", "‾"},
    /* Signs. */
    {"bu", "•"},
    {"sq", "□"},
    {"co", "©"},
    {"rg", "®"},
    {"tm", "™"},
    {"de", "°"},
    {"mc", "µ"},
    {"sc", "§"},
    {"ps", "¶"},
    {"dg", "†"},
    {"dd", "‡"},
    {"ct", "¢"},
    {"Eu", "€"},
    {"eu", "€"},
    {"Po", "£"},
    {"Ye", "¥"},
    {"OK", "✓"},
    {"fm", "′"},
    {"sd", "″"},
    {"md", "⋅"},
    {"pc", "·"},
    {"r!", "¡"},
    {"r?", "¿"},
    {"Of", "ª"},
    {"Om", "º"},
    {"S1", "¹"},
    {"S2", "²"},
    {"S3", "³"},
    {"12", "½"},
    {"14", "¼"},
    {"34", "¾"},
    {"ci", "○"},
    {"lz", "◊"},
    /* Mathematics and arrows. */
    {"mu", "×"},
    {"di", "÷"},
    {"+-", "±"},
    {"<=", "≤"},
    {">=", "≥"},
    {"!=", "≠"},
    {"==", "≡"},
    {"~~", "≈"},
    {"~=", "≅"},
    {"->", "→"},
    {"<-", "←"},
    {"<>", "↔"},
    {"ua", "↑"},
    {"da", "↓"},
    {"rA", "⇒"},
    {"lA", "⇐"},
    {"la", "⟨"},
    {"ra", "⟩"},
    {"if", "∞"},
    {"is", "∫"},
    {"pd", "∂"},
    {"sr", "√"},
    {"no", "¬"},
    {"AN", "∧"},
    {"OR", "∨"},
    {"mo", "∈"},
    {"**", "*"},
    {"lf", "⌊"},
    {"rf", "⌋"},
    {"lc", "⌈"},
    {"rc", "⌉"},
    /* Greek. */
    {"*a", "α"},
    {"*b", "β"},
    {"*g", "γ"},
    {"*d", "δ"},
    {"*e", "ε"},
    {"*h", "θ"},
    {"*i", "ι"},
    {"*l", "λ"},
    {"*m", "μ"},
    {"*p", "π"},
    {"*r", "ρ"},
    {"*s", "σ"},
    {"*t", "τ"},
    {"*f", "φ"},
    {"*w", "ω"},
    {"*D", "Δ"},
    {"*S", "Σ"},
    {"*W", "Ω"},
    /* Letters with accents, where the accent is the first letter of the name. */
    {"'a", "á"},
    {"'e", "é"},
    {"'i", "í"},
    {"'o", "ó"},
    {"'u", "ú"},
    {"'y", "ý"},
    {"'c", "ć"},
    {"'A", "Á"},
    {"'E", "É"},
    {"'I", "Í"},
    {"'O", "Ó"},
    {"'U", "Ú"},
    {"'Y", "Ý"},
    {"'C", "Ć"},
    {"`a", "à"},
    {"`e", "è"},
    {"`i", "ì"},
    {"`o", "ò"},
    {"`u", "ù"},
    {"`A", "À"},
    {"`E", "È"},
    {"`I", "Ì"},
    {"`O", "Ò"},
    {"`U", "Ù"},
    {"^a", "â"},
    {"^e", "ê"},
    {"^i", "î"},
    {"^o", "ô"},
    {"^u", "û"},
    {"^A", "Â"},
    {"^E", "Ê"},
    {"^I", "Î"},
    {"^O", "Ô"},
    {"^U", "Û"},
    {":a", "ä"},
    {":e", "ë"},
    {":i", "ï"},
    {":o", "ö"},
    {":u", "ü"},
    {":y", "ÿ"},
    {":A", "Ä"},
    {":E", "Ë"},
    {":I", "Ï"},
    {":O", "Ö"},
    {":U", "Ü"},
    {"~a", "ã"},
    {"~n", "ñ"},
    {"~o", "õ"},
    {"~A", "Ã"},
    {"~N", "Ñ"},
    {"~O", "Õ"},
    {",c", "ç"},
    {",C", "Ç"},
    {"oa", "å"},
    {"oA", "Å"},
    {"/o", "ø"},
    {"/O", "Ø"},
    {"/l", "ł"},
    {"/L", "Ł"},
    {"vs", "š"},
    {"vS", "Š"},
    {"vz", "ž"},
    {"vZ", "Ž"},
    {"ss", "ß"},
    {"ae", "æ"},
    {"AE", "Æ"},
    {"oe", "œ"},
    {"OE", "Œ"},
    {"-d", "ð"},
    {"-D", "Ð"},
    {"Tp", "þ"},
    {"TP", "Þ"},
    {".i", "ı"},
};

/* Appends one code point to `text`, which has room for four bytes and a zero; false when none. */
static bool
put_utf8(unsigned long code, char *text)
{
    if (code == 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return false;
    if (code < 0x80) {
        *text++ = (char)code;
    } else if (code < 0x800) {
        *text++ = (char)(0xC0 | code >> 6);
    } else if (code < 0x10000) {
        *text++ = (char)(0xE0 | code >> 12);
        *text++ = (char)(0x80 | (code >> 6 & 0x3F));
    } else {
        *text++ = (char)(0xF0 | code >> 18);
        *text++ = (char)(0x80 | (code >> 12 & 0x3F));
        *text++ = (char)(0x80 | (code >> 6 & 0x3F));
    }
    if (code >= 0x80)
        *text++ = (char)(0x80 | (code & 0x3F));
    *text = 0;
    return true;
}

/* "u20AC", or a base with accents: "u0041_0301". */
static bool
parse_unicode(const char *name, char buffer[static 64])
{
    char *at = buffer;
    if (*name++ != 'u')
        return false;
    do {
        char *end;
        unsigned long code = strtoul(name, &end, 16);
        if (end - name < 4 || end - name > 6 || at - buffer > 48 || !put_utf8(code, at))
            return false;
        at += strlen(at);
        name = end;
    } while (*name++ == '_');
    return name[-1] == 0;
}

const char *
dpc_roff_character(struct dpc_roff_word name, char buffer[static 64])
{
    char text[32];
    if (name.len == 0 || name.len >= sizeof text)
        return NULL;
    memcpy(text, name.text, name.len);
    text[name.len] = 0;
    for (size_t i = 0; name.len == 2 && i < sizeof characters / sizeof *characters; i++) {
        if (memcmp(characters[i].name, text, 3) == 0)
            return characters[i].text;
    }
    if (strncmp(text, "char", 4) == 0)
        return put_utf8(strtoul(text + 4, NULL, 10), buffer) ? buffer : NULL;
    return parse_unicode(text, buffer) ? buffer : NULL;
}
