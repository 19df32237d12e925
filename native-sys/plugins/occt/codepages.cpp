// Owns the decoding of text. The tables are made at build time from glibc's iconv (make_codepages.cpp),
// not read at run time: iconv would load gconv modules, files that each sandbox would have to allow.
#include "codepages.hpp"

#include <cstring>

namespace occt {
namespace {

#include "codepage_tables.inc"

constexpr unsigned kLeadFirst = 0x81, kLeadLast = 0xFE, kTrailFirst = 0x40, kTrailLast = 0xFE;
constexpr unsigned kTrails = kTrailLast - kTrailFirst + 1;

// Length of the UTF-8 sequence at `text`, or 0 if there is none.
size_t utf8Length(const unsigned char *text, size_t left) {
    const unsigned char c = text[0];
    const size_t length = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (length == 0 || length > left) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xC0) != 0x80) return 0;
    if ((c == 0xE0 && text[1] < 0xA0) || (c == 0xED && text[1] > 0x9F)) return 0;
    if ((c == 0xF0 && text[1] < 0x90) || (c == 0xF4 && text[1] > 0x8F)) return 0;
    return length;
}

} // namespace

void appendUtf8(std::string &out, uint32_t c) {
    if (c < 0x80) {
        out += static_cast<char>(c);
    } else if (c < 0x800) {
        out += static_cast<char>(0xC0 | (c >> 6));
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        out += static_cast<char>(0xE0 | (c >> 12));
        out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | (c >> 18));
        out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
        out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
        out += static_cast<char>(0x80 | (c & 0x3F));
    }
}

Codepage::Codepage(const std::string &name) {
    for (const Table &table : kTables)
        if (name == table.name) (table.pairs ? pairs_ : single_) = table.characters;
}

void Codepage::decodeUtf8(const unsigned char *text, size_t length, std::string &out) {
    for (size_t i = 0; i < length;) {
        const size_t n = utf8Length(text + i, length - i);
        if (n == 0) undecodable_++, appendUtf8(out, 0xFFFD);
        else out.append(reinterpret_cast<const char *>(text) + i, n);
        i += n ? n : 1;
    }
}

void Codepage::decode(const char *bytes, size_t length, std::string &out) {
    const auto *text = reinterpret_cast<const unsigned char *>(bytes);
    if (!single_ && !pairs_) return decodeUtf8(text, length, out);
    for (size_t i = 0; i < length; i++) {
        const unsigned c = text[i];
        uint32_t character = c;
        if (c >= 0x80 && single_) character = single_[c - 0x80];
        if (c >= 0x80 && pairs_) {
            const unsigned trail = i + 1 < length ? text[i + 1] : 0;
            const bool pair = c >= kLeadFirst && c <= kLeadLast && trail >= kTrailFirst && trail <= kTrailLast;
            character = pair ? pairs_[(c - kLeadFirst) * kTrails + trail - kTrailFirst] : 0;
            if (character) i++;
            // Half-width katakana are the one-byte characters above 0x7F of cp932.
            else if (pairs_ == cp932 && c >= 0xA1 && c <= 0xDF) character = 0xFF61 + c - 0xA1;
        }
        if (c >= 0x80 && character == 0) undecodable_++, character = 0xFFFD;
        appendUtf8(out, character);
    }
}

} // namespace occt
