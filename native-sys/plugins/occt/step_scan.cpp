// Owns the check of a STEP file's text: complete, well-formed, each reference defined, each name given once.
//
// OpenCASCADE skips over what it cannot parse and forgets references to nothing, so that a truncated or
// damaged file becomes a smaller model without an error. The header and comments are not checked: what is
// wrong there costs no geometry. A header that is damaged is replaced (step_stream.cpp).
#include "step_scan.hpp"

#include "codepages.hpp"
#include "step_stream.hpp"
#include "step_syntax.hpp"

#include <algorithm>
#include <fstream>
#include <unordered_set>
#include <utility>

namespace occt {
namespace {

constexpr size_t kBlock = 1 << 20;
constexpr size_t kLongestStatement = size_t(256) << 20;
constexpr uint64_t kDenseIds = uint64_t(1) << 28; // Two bitmaps of 32 MiB at most.

// Powers of ten. What is infinite, or soon when it is multiplied, and where numbers of 53 bits lie too far apart.
constexpr int kInfinite = 308, kFarthest = 15;

const char *const kCounted[] = {"MANIFOLD_SOLID_BREP", "BREP_WITH_VOIDS",  "FACETED_BREP",
                                "SHELL_BASED_SURFACE_MODEL", "ADVANCED_FACE", "FACE_SURFACE",
                                "NEXT_ASSEMBLY_USAGE_OCCURRENCE", "DOCUMENT_FILE"};

// A set of entity numbers.
class Ids {
public:
    // Whether it is new.
    bool add(uint64_t id) {
        if (id >= kDenseIds) return sparse_.insert(id).second;
        if (id >= dense_.size()) dense_.resize(std::max<uint64_t>(id + 1, dense_.size() * 2));
        const bool fresh = !dense_[id];
        dense_[id] = true;
        return fresh;
    }
    bool has(uint64_t id) const {
        return id < kDenseIds ? id < dense_.size() && dense_[id] : sparse_.count(id) != 0;
    }
    template <class Visit> void each(Visit visit) const {
        for (uint64_t id = 0; id < dense_.size(); id++)
            if (dense_[id]) visit(id);
        for (uint64_t id : sparse_) visit(id);
    }

private:
    std::vector<bool> dense_;
    std::unordered_set<uint64_t> sparse_;
};

class Scanner {
public:
    explicit Scanner(StepScan &scan) : scan_(scan) {}

    // Starts at the word DATA, that is between statements.
    void feed(const char *text, size_t length) {
        for (size_t i = 0; i < length; i++, position_++) {
            const char c = text[i];
            if (c == '\n') line_++;
            switch (splitter_.next(c)) {
            case StepPart::Comment: break;
            case StepPart::End:
                statement();
                lastEnd_ = position_ + 1;
                break;
            default:
                if (statement_.empty()) {
                    if (isStepSpace(c)) break;
                    startLine_ = line_;
                    start_ = position_;
                }
                if (statement_.size() < kLongestStatement) statement_ += c;
            }
        }
    }

    void finish() {
        // What pads a file after its end is no statement.
        if (!statement_.empty() && !ended_) defect(startLine_, "the file ends within a statement");
        else if (!ended_) defect(line_, "the file ends without END-ISO-10303-21");
        if (!ended_) scan_.cutAt = lastEnd_, scan_.cutInData = inData_;
        // Not allowed, and one that is made of itself overflows the stack of OpenCASCADE.
        edgeElements_.each([&](uint64_t id) {
            if (!orientedEdges_.has(id)) return;
            if (scan_.defects++ == 0) scan_.firstDefect = "an oriented edge is made of the oriented edge #" + std::to_string(id);
        });
        scan_.isCircular = !circlesOf(assemblies_).empty();
        if (scan_.brokenStyle.empty())
            for (const auto &use : styleUses_)
                if (styleParts_.count(use.second) == 0) scan_.brokenStyle = "#" + std::to_string(use.first);
        uint64_t missing = 0, first = 0;
        references_.each([&](uint64_t id) {
            if (!names_.has(id) && missing++ == 0) first = id;
        });
        if (missing == 0) return;
        const std::string text = "#" + std::to_string(first) + " is referred to and not defined";
        if (scan_.firstDefect.empty()) scan_.firstDefect = text;
        scan_.defects += missing;
    }

private:
    void defect(uint64_t line, const std::string &text) {
        if (scan_.defects++ == 0) scan_.firstDefect = "line " + std::to_string(line) + ": " + text;
    }

    // Lines are counted from the word DATA on until the offset of the header is added by the caller.
    void statement() {
        std::string text;
        text.swap(statement_);
        while (!text.empty() && isStepSpace(text.back())) text.pop_back();
        // Signatures may follow the end (ISO 10303-21, edition 3), and no second model, which OpenCASCADE
        // would not read.
        if (ended_) {
            if (text == "ISO-10303-21") defect(startLine_, "another model follows the end of the first");
            return;
        }
        bool foreign = false, special = false;
        for (char c : text) {
            const auto byte = static_cast<unsigned char>(c);
            foreign |= byte >= 0x80;
            special |= (byte == '\\') | ((byte < 0x20) & (byte != '\n') & (byte != '\r'));
        }
        if (foreign) {
            Codepage utf8("");
            std::string decoded;
            utf8.decode(text.data(), text.size(), decoded);
            scan_.notUtf8 = scan_.notUtf8 || utf8.undecodable() > 0;
        }
        if (special) {
            std::string decoded;
            scan_.hasControls = decodeStepText(text, decoded).control || scan_.hasControls;
        }
        if (text == "ENDSEC") {
            inData_ = false;
            sectionEnd_ = start_;
        } else if (text == "END-ISO-10303-21") {
            if (inData_) defect(startLine_, "the data section has no end");
            ended_ = true;
            scan_.endsAt = position_ + 1;
        } else if (!inData_) {
            inData_ = text.compare(0, 4, "DATA") == 0;
            if (!inData_) defect(startLine_, "neither DATA nor the end of the file");
            else if (sectionEnd_ > 0) scan_.sections.emplace_back(sectionEnd_, position_ + 1);
            else if (text.size() > 4) scan_.sections.emplace_back(start_ + 4, position_);
        } else {
            instance(text);
        }
    }

    void instance(const std::string &text) {
        referred_.clear();
        const StepInstance found = parseStepInstance(text, [&](uint64_t id) { referred_.push_back(id); });
        for (uint64_t id : referred_) references_.add(id);
        if (found.defect) return defect(startLine_, found.defect);
        if (found.magnitude >= kInfinite && scan_.infinite.empty()) scan_.infinite = "#" + std::to_string(found.id);
        if (found.magnitude >= kFarthest && found.keyword == "CARTESIAN_POINT")
            defect(startLine_, "#" + std::to_string(found.id) + " is a point at 1e" + std::to_string(found.magnitude) + " or beyond");
        if (!names_.add(found.id)) defect(startLine_, "#" + std::to_string(found.id) + " is defined twice");
        scan_.instances++;
        scan_.hasLongText = scan_.hasLongText || found.longestText > kLongestStepText;
        if (found.keyword == "ORIENTED_EDGE") {
            orientedEdges_.add(found.id);
            for (uint64_t id : referred_) edgeElements_.add(id);
        }
        if (found.keyword == "NEXT_ASSEMBLY_USAGE_OCCURRENCE" && referred_.size() >= 2) assemblies_[referred_[0]].insert(referred_[1]);
        if (!found.keyword.empty()) style(found, text);
        else styleParts_.insert(found.id);
        for (const char *counted : kCounted)
            if (found.keyword == counted) scan_.entities[counted]++;
        if (found.keyword == "DOCUMENT_FILE") scan_.documents.push_back(found.firstString);
    }

    // The links of a style that OpenCASCADE follows without looking (step_styles.cpp). It reads the files that an
    // assembly refers to by itself, so their styles can be checked here only.
    void style(const StepInstance &found, const std::string &text) {
        const bool usage = found.keyword == "SURFACE_STYLE_USAGE", fill = found.keyword == "FILL_AREA_STYLE", colour = found.keyword == "FILL_AREA_STYLE_COLOUR";
        if (found.keyword == "SURFACE_SIDE_STYLE" || colour) styleParts_.insert(found.id);
        if (!usage && !fill && !colour) return;
        // A dollar in the name is a rare price.
        if ((referred_.empty() || text.find('$') != std::string::npos) && scan_.brokenStyle.empty()) scan_.brokenStyle = "#" + std::to_string(found.id);
        for (uint64_t id : referred_)
            if (!colour) styleUses_.emplace_back(found.id, id);
    }

    StepScan &scan_;
    StepSplitter splitter_;
    std::string statement_;
    std::vector<std::pair<uint64_t, uint64_t>> styleUses_; // From the entity to the part of it.
    std::unordered_set<uint64_t> styleParts_;
    std::map<uint64_t, std::set<uint64_t>> assemblies_;
    Ids names_, references_, orientedEdges_, edgeElements_;
    std::vector<uint64_t> referred_;
    uint64_t line_ = 1, startLine_ = 1, position_ = 0, lastEnd_ = 0, start_ = 0, sectionEnd_ = 0;
    bool inData_ = false, ended_ = false;

public:
    void startAt(uint64_t position, uint64_t line) { position_ = lastEnd_ = position, line_ = line; }
};

// Where the data section begins, and whether the header before it is as it should be.
bool isSoundHeader(const std::string &head) {
    StepSplitter splitter;
    std::string text;
    std::vector<std::string> statements;
    for (char c : head) {
        const StepPart part = splitter.next(c);
        if (part == StepPart::End) statements.push_back(text), text.clear();
        else if (part != StepPart::Comment && !(text.empty() && isStepSpace(c))) text += c;
    }
    if (!text.empty() || statements.size() < 6) return false;
    for (std::string &each : statements)
        while (!each.empty() && isStepSpace(each.back())) each.pop_back();
    if (statements[0] != "ISO-10303-21" || statements[1] != "HEADER" || statements.back() != "ENDSEC") return false;
    const char *const expected[] = {"FILE_DESCRIPTION", "FILE_NAME", "FILE_SCHEMA"};
    for (int i = 0; i < 3; i++) {
        const StepInstance found = parseStepRecord(statements[2 + static_cast<size_t>(i)]);
        if (found.defect || found.keyword != expected[i]) return false;
    }
    return true;
}

// The word DATA at the beginning of a line or after a semicolon, outside of a comment.
size_t findData(const std::string &head) {
    bool comment = false, atStart = true;
    for (size_t i = 0; i + 4 < head.size(); i++) {
        if (!comment && head.compare(i, 2, "/*") == 0) comment = true;
        if (comment) {
            if (head.compare(i, 2, "*/") == 0) comment = false, i++;
            continue;
        }
        if (atStart && head.compare(i, 4, "DATA") == 0) {
            size_t j = i + 4;
            while (j < head.size() && isStepSpace(head[j])) j++;
            if (j < head.size() && (head[j] == ';' || head[j] == '(')) return i;
        }
        if (!isStepSpace(head[i])) atStart = head[i] == ';';
        else if (head[i] == '\n') atStart = true;
    }
    return std::string::npos;
}

} // namespace

StepScan scanStep(const std::string &path, const Host &host) {
    std::ifstream file(path, std::ios::binary);
    if (!file) reject("the input cannot be opened");
    StepScan scan;
    std::string block(kBlock, '\0'), head;
    size_t data = std::string::npos;
    // A header is a few kilobytes; some list thousands of comments.
    while (data == std::string::npos && head.size() < 64 * kBlock && file) {
        file.read(&block[0], static_cast<std::streamsize>(kBlock));
        head.append(block, 0, static_cast<size_t>(file.gcount()));
        data = findData(head);
    }
    if (data == std::string::npos) reject("not a STEP file, or cut off before its data section");
    scan.dataOffset = data;
    scan.headerDamaged = !isSoundHeader(head.substr(0, data));
    scan.bytes = head.size();
    Scanner scanner(scan);
    scanner.startAt(data, 1 + static_cast<uint64_t>(std::count(head.begin(), head.begin() + static_cast<long>(data), '\n')));
    scanner.feed(head.data() + data, head.size() - data);
    while (file) {
        host.throwIfCancelled();
        file.read(&block[0], static_cast<std::streamsize>(kBlock));
        scan.bytes += static_cast<uint64_t>(file.gcount());
        scanner.feed(block.data(), static_cast<size_t>(file.gcount()));
    }
    scanner.finish();
    return scan;
}

} // namespace occt
