// Names in other character sets than UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace occt {

// Turns the bytes of one text into UTF-8. The name is a choice of the option codepage, or "" for UTF-8.
class Codepage {
public:
    explicit Codepage(const std::string &name);

    // Appends the text. A byte that is not of the character set becomes U+FFFD and is counted.
    void decode(const char *text, size_t length, std::string &out);
    uint64_t undecodable() const { return undecodable_; }

private:
    void decodeUtf8(const unsigned char *text, size_t length, std::string &out);

    const uint16_t *single_ = nullptr; // 0x80 to 0xFF.
    const uint16_t *pairs_ = nullptr;  // Lead byte 0x81 to 0xFE, trail byte 0x40 to 0xFE.
    uint64_t undecodable_ = 0;
};

void appendUtf8(std::string &out, uint32_t character);

} // namespace occt
