// Owns the grammar of one statement of a STEP file. As strict as needed to find damage, as tolerant as real
// writers need: numbers without a point, lower-case keywords and space anywhere are fine.
#include "step_syntax.hpp"

#include <algorithm>
#include <cctype>

namespace occt {

// A slash that may begin a comment counts as Comment: outside of texts and comments a slash has no other use
// in the data section.
StepPart StepSplitter::next(char c) {
    switch (state_) {
    case State::Text:
        if (c == '\'') state_ = State::Code;
        return StepPart::Text;
    case State::Comment:
        if (c == '*') state_ = State::Star;
        return StepPart::Comment;
    case State::Star:
        if (c != '*') state_ = c == '/' ? State::Code : State::Comment;
        return StepPart::Comment;
    case State::Slash:
        if (c == '*') {
            state_ = State::Comment;
            return StepPart::Comment;
        }
        state_ = State::Code;
        break;
    case State::Code: break;
    }
    if (c == '/') {
        state_ = State::Slash;
        return StepPart::Comment;
    }
    if (c == '\'') {
        state_ = State::Text;
        return StepPart::Text;
    }
    return c == ';' ? StepPart::End : StepPart::Code;
}

namespace {

constexpr int kLargest = 100000; // No number has more digits before its point, or an exponent beyond.

class Parser {
public:
    Parser(const std::string &text, const std::function<void(uint64_t)> &reference)
        : text_(text), reference_(reference) {}

    StepInstance instance() {
        if (!take('#') || !number(found_.id)) return bad("not an entity: no #number at its beginning");
        if (!take('=')) return bad("no '=' after the number of an entity");
        if (peek() == '(') {
            at_++;
            while (peek() != ')')
                if (!record(nullptr)) return bad("a complex entity is malformed");
            at_++;
        } else if (!record(&found_.keyword)) {
            return bad("the parameters of an entity are malformed");
        }
        return end();
    }

    StepInstance lone() {
        if (!record(&found_.keyword)) return bad("malformed");
        return end();
    }

private:
    StepInstance bad(const char *why) {
        found_.defect = why;
        return found_;
    }
    StepInstance end() {
        peek();
        return at_ == text_.size() ? found_ : bad("text after the end of an entity");
    }

    char peek() {
        while (at_ < text_.size() && isStepSpace(text_[at_])) at_++;
        return at_ < text_.size() ? text_[at_] : '\0';
    }
    bool take(char c) {
        if (peek() != c) return false;
        at_++;
        return true;
    }
    bool digit() const { return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; }
    bool digits() {
        const size_t start = at_;
        while (digit()) at_++;
        return at_ > start;
    }
    bool number(uint64_t &value) {
        const size_t start = at_;
        for (value = 0; digit(); at_++) value = value * 10 + static_cast<uint64_t>(text_[at_] - '0');
        return at_ > start && at_ - start < 19;
    }
    bool word() {
        const size_t start = at_;
        while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_' || text_[at_] == '-'))
            at_++;
        return at_ > start;
    }

    // KEYWORD ( parameters )
    bool record(std::string *keyword) {
        if (peek() == '!') at_++;
        const size_t start = at_;
        if (!word()) return false;
        if (keyword) keyword->assign(text_, start, at_ - start);
        return peek() == '(' && list(keyword != nullptr);
    }

    // An explicit depth instead of recursion: a file must not be able to overflow the stack.
    bool list(bool outermost) {
        int depth = 0;
        bool first = true;
        for (;;) {
            // A value, or the end of an empty list.
            const char c = peek();
            if (c == '(') {
                at_++, depth++;
                if (peek() != ')') continue;
            } else if (c == ')') {
                return false;
            } else if (!value(c, outermost && first, depth)) {
                return false;
            } else if (opened_) {
                opened_ = false;
                continue;
            }
            first = false;
            // What follows a value.
            while (peek() == ')') {
                at_++;
                if (--depth == 0) return true;
            }
            if (!take(',')) return false;
        }
    }

    bool value(char c, bool first, int &depth) {
        if (c == '#') {
            uint64_t id = 0;
            at_++;
            if (!number(id)) return false;
            reference_(id);
            return true;
        }
        if (c == '\'') return quoted(first);
        if (c == '$' || c == '*') return at_++, true;
        if (c == '"') {
            for (at_++; at_ < text_.size() && std::isxdigit(static_cast<unsigned char>(text_[at_])); at_++) {}
            return at_ < text_.size() && text_[at_++] == '"';
        }
        if (c == '.' && at_ + 1 < text_.size() && !(text_[at_ + 1] >= '0' && text_[at_ + 1] <= '9')) {
            at_++;
            return word() && at_ < text_.size() && text_[at_++] == '.';
        }
        if (c == '+' || c == '-' || c == '.' || (c >= '0' && c <= '9')) return real();
        // A typed parameter: LENGTH_MEASURE(1.)
        if (c == '!') at_++;
        if (!word() || peek() != '(') return false;
        at_++, depth++;
        opened_ = peek() != ')';
        return true;
    }

    bool real() {
        if (text_[at_] == '+' || text_[at_] == '-') at_++;
        while (at_ + 1 < text_.size() && text_[at_] == '0' && text_[at_ + 1] >= '0' && text_[at_ + 1] <= '9') at_++;
        const bool zero = at_ < text_.size() && text_[at_] == '0';
        const size_t start = at_;
        bool any = digits();
        int power = static_cast<int>(std::min<size_t>(at_ - start, kLargest)) - 1;
        if (at_ < text_.size() && text_[at_] == '.') {
            at_++;
            const size_t fraction = at_;
            any = digits() || any;
            // 0.001 is smaller; 0.0 is none.
            if (zero) {
                const size_t digit = std::min(text_.find_first_not_of('0', fraction), at_);
                power = digit == at_ ? -kLargest : -1 - static_cast<int>(std::min<size_t>(digit - fraction, kLargest));
            }
        } else if (zero) {
            power = -kLargest;
        }
        if (!any) return false;
        if (at_ < text_.size() && (text_[at_] == 'E' || text_[at_] == 'e' || text_[at_] == 'D' || text_[at_] == 'd')) {
            at_++;
            const bool negative = at_ < text_.size() && text_[at_] == '-';
            if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) at_++;
            int exponent = 0;
            for (size_t i = at_; i < text_.size() && text_[i] >= '0' && text_[i] <= '9'; i++) exponent = std::min(exponent * 10 + (text_[i] - '0'), kLargest);
            if (!digits()) return false;
            if (power > -kLargest) power += negative ? -exponent : exponent;
        }
        found_.magnitude = std::max(found_.magnitude, power);
        return true;
    }

    bool quoted(bool first) {
        const size_t start = ++at_;
        for (; at_ < text_.size(); at_++) {
            if (text_[at_] != '\'') continue;
            if (at_ + 1 < text_.size() && text_[at_ + 1] == '\'') {
                at_++;
                continue;
            }
            if (first) found_.firstString.assign(text_, start, at_ - start);
            found_.longestText = std::max(found_.longestText, at_ - start);
            at_++;
            return true;
        }
        return false;
    }

    const std::string &text_;
    const std::function<void(uint64_t)> &reference_;
    size_t at_ = 0;
    bool opened_ = false;
    StepInstance found_;
};

} // namespace

StepInstance parseStepInstance(const std::string &text, const std::function<void(uint64_t)> &reference) {
    return Parser(text, reference).instance();
}

StepInstance parseStepRecord(const std::string &text) {
    const std::function<void(uint64_t)> none = [](uint64_t) {};
    return Parser(text, none).lone();
}

} // namespace occt
