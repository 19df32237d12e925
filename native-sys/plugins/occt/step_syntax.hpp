// The syntax of ISO 10303-21 (the text of STEP files), without any input or output.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace occt {

inline bool isStepSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == '\v'; }

enum class StepPart { Code, Text, Comment, End };

// Tells for each character whether it is code, part of a quoted text, of a comment, or the semicolon at the
// end of a statement. The first character of a comment is reported late, as is unavoidable: see next().
class StepSplitter {
public:
    StepPart next(char c);

private:
    enum class State { Code, Slash, Text, Comment, Star } state_ = State::Code;
};

struct StepInstance {
    uint64_t id = 0;
    std::string keyword;     // Empty for a complex instance, "(A()B())".
    std::string firstString; // The first parameter, if it is a text; as in the file.
    size_t longestText = 0;  // In bytes, as in the file.
    int magnitude = -1000;   // The power of ten of the largest number with a point, or with an exponent.
    const char *defect = nullptr;
};

// "#12=KEYWORD(...)", without the semicolon and comments. Calls `reference` for each "#34" among the parameters.
StepInstance parseStepInstance(const std::string &text, const std::function<void(uint64_t)> &reference);

// "KEYWORD(...)", as in the header.
StepInstance parseStepRecord(const std::string &text);

} // namespace occt
