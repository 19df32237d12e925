// Writes codepage_tables.inc to the standard output. Runs at build time only; uses iconv.
#include <cstdint>
#include <cstdio>
#include <iconv.h>

namespace {

struct Codepage {
    const char *name, *identifier, *iconvName;
    bool pairs;
};

const Codepage kCodepages[] = {
    {"cp949", "cp949", "CP949", true},
    {"gbk", "gbk", "GBK", true},
    {"big5", "big5", "BIG5-HKSCS", true},
    {"cp932", "cp932", "CP932", true},
    {"cp1250", "cp1250", "CP1250", false},
    {"cp1251", "cp1251", "CP1251", false},
    {"cp1252", "cp1252", "CP1252", false},
    {"cp1253", "cp1253", "CP1253", false},
    {"cp1254", "cp1254", "CP1254", false},
    {"cp1257", "cp1257", "CP1257", false},
    {"iso-8859-1", "iso1", "ISO-8859-1", false},
    {"iso-8859-2", "iso2", "ISO-8859-2", false},
    {"iso-8859-5", "iso5", "ISO-8859-5", false},
    {"iso-8859-9", "iso9", "ISO-8859-9", false},
    {"iso-8859-15", "iso15", "ISO-8859-15", false},
};

// 0 for what is unassigned or outside of the basic plane.
uint16_t decoded(iconv_t converter, const unsigned char *bytes, size_t length) {
    uint16_t out[4] = {0, 0, 0, 0};
    char *in = const_cast<char *>(reinterpret_cast<const char *>(bytes));
    char *to = reinterpret_cast<char *>(out);
    size_t left = length, room = sizeof(out);
    iconv(converter, nullptr, nullptr, nullptr, nullptr);
    if (iconv(converter, &in, &left, &to, &room) == static_cast<size_t>(-1) || left != 0) return 0;
    iconv(converter, nullptr, nullptr, &to, &room);
    const bool one = sizeof(out) - room == 2;
    return one && (out[0] < 0xD800 || out[0] > 0xDFFF) ? out[0] : 0;
}

} // namespace

int main() {
    for (const Codepage &page : kCodepages) {
        const iconv_t converter = iconv_open("UTF-16LE", page.iconvName);
        if (converter == reinterpret_cast<iconv_t>(-1)) {
            std::fprintf(stderr, "iconv does not know %s\n", page.iconvName);
            return 1;
        }
        std::printf("const uint16_t %s[] = {", page.identifier);
        const unsigned first = page.pairs ? 0x81 : 0x80, last = page.pairs ? 0xFE : 0xFF;
        for (unsigned lead = first; lead <= last; lead++) {
            const unsigned from = page.pairs ? 0x40 : 0, to = page.pairs ? 0xFE : 0;
            for (unsigned trail = from; trail <= to; trail++) {
                const unsigned char bytes[] = {static_cast<unsigned char>(lead), static_cast<unsigned char>(trail)};
                std::printf("%u,", decoded(converter, bytes, page.pairs ? 2 : 1));
            }
            std::printf("\n");
        }
        std::printf("};\n");
        iconv_close(converter);
    }
    std::printf("struct Table { const char *name; const uint16_t *characters; bool pairs; };\nconst Table kTables[] = {\n");
    for (const Codepage &page : kCodepages)
        std::printf("    {\"%s\", %s, %s},\n", page.name, page.identifier, page.pairs ? "true" : "false");
    std::printf("};\n");
    return 0;
}
