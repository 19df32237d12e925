// Owns what OpenCASCADE reads of a STEP file instead of the file itself. The reasons: a codepage that it does
// not know (cp949), reading that can be cancelled and reports progress, and damage without consequence.
#include "step_stream.hpp"

#include <algorithm>

namespace occt {
namespace {

constexpr size_t kBlock = 1 << 16;

const char kHeader[] = "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION((''),'2;1');\n"
                       "FILE_NAME('','1970-01-01T00:00:00',(''),(''),'','','');\n"
                       "FILE_SCHEMA(('AUTOMOTIVE_DESIGN'));\nENDSEC;\n";

// Value of `count` hexadecimal digits, or -1.
long hexadecimal(const std::string &text, size_t at, size_t count) {
    if (at + count > text.size()) return -1;
    long value = 0;
    for (size_t i = at; i < at + count; i++) {
        const char c = text[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

constexpr uint32_t kReplacement = 0xFFFD;

// Line ends and tabs separate words. Other control characters are in no name of any format, and a NUL ends one.
bool isControl(uint32_t character) { return character < 0x20 && character != '\t' && character != '\n' && character != '\r'; }

// OpenCASCADE takes the second of two apostrophes for the end of the text if a comma or a parenthesis follows. It
// knows this directive.
const char kApostrophe[] = "\\X\\27";

void appendQuoted(std::string &out, uint32_t character, StepTextFaults &faults) {
    if (character == '\'') {
        out += kApostrophe;
        return;
    }
    faults.control = faults.control || isControl(character);
    faults.lineEnd = faults.lineEnd || (character < 0x20 && !isControl(character));
    appendUtf8(out, isControl(character) ? kReplacement : character >= 0x20 ? character : ' ');
}

// \X2\AC74BB3C\X0\ or \X4\...\X0\ at `at`. Returns the length of it, or 0 if it is malformed.
size_t wideDirective(const std::string &text, size_t at, size_t digits, std::string &out, StepTextFaults &faults) {
    size_t i = at + 4;
    std::string decoded;
    while (text.compare(i, 4, "\\X0\\") != 0) {
        long unit = hexadecimal(text, i, digits);
        if (unit < 0) return 0;
        i += digits;
        if (digits == 4 && unit >= 0xD800 && unit < 0xDC00) {
            const long low = hexadecimal(text, i, 4);
            if (low < 0xDC00 || low > 0xDFFF) return 0;
            unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            i += 4;
        }
        if (unit > 0x10FFFF || (unit >= 0xD800 && unit < 0xE000)) return 0;
        appendQuoted(decoded, static_cast<uint32_t>(unit), faults);
    }
    out += decoded;
    return i + 4 - at;
}

// A directive at `at`, where there is a backslash. Returns its length, or 0.
size_t directive(const std::string &text, size_t at, std::string &out, StepTextFaults &faults) {
    if (text.compare(at, 3, "\\X\\") == 0) {
        const long c = hexadecimal(text, at + 3, 2);
        if (c < 0) return 0;
        appendQuoted(out, static_cast<uint32_t>(c), faults);
        return 5;
    }
    if (text.compare(at, 4, "\\X2\\") == 0) return wideDirective(text, at, 4, out, faults);
    if (text.compare(at, 4, "\\X4\\") == 0) return wideDirective(text, at, 8, out, faults);
    if (text.compare(at, 3, "\\S\\") == 0 && at + 3 < text.size()) {
        appendQuoted(out, static_cast<uint32_t>(static_cast<unsigned char>(text[at + 3]) & 0x7F) + 0x80, faults);
        return 4;
    }
    return 0;
}

// To a length that OpenCASCADE can read: whole characters, and no part of kApostrophe.
void cutText(std::string &out, size_t start) {
    if (out.size() - start <= kLongestStepText) return;
    size_t end = start + kLongestStepText;
    while ((static_cast<unsigned char>(out[end]) & 0xC0) == 0x80) end--;
    out.resize(end);
    for (size_t part = sizeof kApostrophe - 2; part > 0; part--) {
        if (out.compare(end - part, part, kApostrophe, part) != 0) continue;
        out.resize(end - part);
        break;
    }
}

} // namespace

StepTextFaults decodeStepText(const std::string &text, std::string &out) {
    StepTextFaults faults;
    const auto isPlain = [](char c) { return c != '\\' && c != '\'' && static_cast<unsigned char>(c) >= 0x20; };
    if (std::all_of(text.begin(), text.end(), isPlain)) {
        out += text;
        return faults;
    }
    for (size_t i = 0; i < text.size();) {
        if (isControl(static_cast<unsigned char>(text[i]))) {
            faults.control = true;
            appendUtf8(out, kReplacement);
            i++;
            continue;
        }
        if (text.compare(i, 2, "''") == 0) {
            out += kApostrophe;
            i += 2;
            continue;
        }
        const size_t length = text[i] == '\\' ? directive(text, i, out, faults) : 0;
        if (length == 0) {
            const bool malformed = text.compare(i, 2, "\\X") == 0;
            faults.malformed = faults.malformed || malformed;
            // OpenCASCADE would make something of it.
            if (malformed) appendUtf8(out, kReplacement);
            else out += text[i];
        }
        i += length ? length : 1;
    }
    return faults;
}

StepStream::StepStream(const std::string &path, const StepScan &scan, const Options &options, const Host &host, double share)
    : file_(path, std::ios::binary), codepage_(options.codepage), host_(host), total_(scan.bytes),
      end_(scan.cutAt ? scan.cutAt : scan.endsAt ? scan.endsAt : scan.bytes), done_(0),
      data_(scan.dataOffset), leftOut_(scan.sections.rbegin(), scan.sections.rend()), share_(share) {
    if (!file_) reject("the input cannot be opened");
    in_.resize(kBlock);
    if (scan.cutAt) ending_ = std::string(scan.cutInData ? "\nENDSEC;" : "") + "\nEND-ISO-10303-21;\n";
    if (!scan.headerDamaged) return;
    out_ = kHeader;
    file_.seekg(static_cast<std::streamoff>(scan.dataOffset));
    done_ = position_ = scan.dataOffset;
    setg(&out_[0], &out_[0], &out_[0] + out_.size());
}

StepStream::int_type StepStream::underflow() {
    if (gptr() < egptr()) return traits_type::to_int_type(*gptr());
    out_.clear();
    while (out_.empty() && file_) {
        if (host_.cancelled()) return traits_type::eof();
        file_.read(&in_[0], static_cast<std::streamsize>(std::min<uint64_t>(in_.size(), end_ - done_)));
        const auto length = static_cast<size_t>(file_.gcount());
        if (length == 0) break;
        done_ += length;
        filter(in_.data(), length);
        host_.progress(CADMILL_STAGE_READ, share_ * (total_ ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 1.0));
    }
    if (out_.empty() && closed_) endText();
    if (out_.empty()) out_.swap(ending_);
    if (out_.empty()) return traits_type::eof();
    setg(&out_[0], &out_[0], &out_[0] + out_.size());
    return traits_type::to_int_type(*gptr());
}

void StepStream::filter(const char *in, size_t length) {
    for (size_t i = 0; i < length; i++, position_++) {
        const char c = in[i];
        const StepPart part = splitter_.next(c);
        if (!leftOut_.empty() && isLeftOut()) continue;
        // A text ends with an apostrophe that no other follows.
        if (closed_ && c == '\'') {
            text_ += "''";
            closed_ = false;
            continue;
        }
        if (closed_) endText();
        if (part == StepPart::Text) {
            if (c != '\'') text_ += c;
            else if (inText_) closed_ = true;
            else inText_ = true;
        } else if (part != StepPart::Comment || c == '\n') {
            out_ += c;
        }
    }
}

bool StepStream::isLeftOut() {
    while (!leftOut_.empty() && position_ >= leftOut_.back().second) leftOut_.pop_back();
    return !leftOut_.empty() && position_ >= leftOut_.back().first;
}

void StepStream::endText() {
    const uint64_t before = codepage_.undecodable();
    std::string plain;
    const bool ascii = std::all_of(text_.begin(), text_.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (!ascii) codepage_.decode(text_.data(), text_.size(), plain);
    out_ += '\'';
    const size_t start = out_.size();
    const StepTextFaults faults = decodeStepText(ascii ? text_ : plain, out_);
    // Nothing of the header gets into the output.
    if (position_ >= data_) {
        if (faults.malformed && malformed_++ == 0) firstMalformed_ = out_.substr(start);
        if (codepage_.undecodable() != before && undecodable_++ == 0) firstUndecodable_ = out_.substr(start);
        lineEnds_ += faults.lineEnd;
        if (faults.control && controls_++ == 0) firstControl_ = out_.substr(start);
        cut_ += out_.size() - start > kLongestStepText;
    }
    cutText(out_, start);
    out_ += '\'';
    inText_ = closed_ = false;
    text_.clear();
}

} // namespace occt
