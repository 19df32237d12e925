// The text of a STEP file as OpenCASCADE is given it.
#pragma once

#include "codepages.hpp"
#include "job.hpp"
#include "step_scan.hpp"
#include "step_syntax.hpp"

#include <fstream>
#include <streambuf>
#include <string>
#include <utility>
#include <vector>

namespace occt {

struct StepTextFaults {
    bool malformed = false; // A directive (\X2\ etc.) is.
    bool lineEnd = false;   // One of them is a line end or a tab, which becomes a blank.
    bool control = false;   // Control characters are in it, which become U+FFFD.
};

// Appends a text of a STEP file, which is in UTF-8, with its directives replaced by what they stand for.
StepTextFaults decodeStepText(const std::string &text, std::string &out);

// Reads a scanned file and hands it on without comments, with an end if it was cut off (lenient), with a replaced header if it is damaged, and with all
// texts in UTF-8: in place of the bytes of the codepage, and of the \X\, \X2\, \X4\ and \S\ of the standard.
// Reports progress by bytes and ends early when the conversion is cancelled.
class StepStream : public std::streambuf {
public:
    StepStream(const std::string &path, const StepScan &scan, const Options &options, const Host &host, double share);

    // Texts of the data section with directives that are malformed.
    uint64_t malformed() const { return malformed_; }
    const std::string &firstMalformed() const { return firstMalformed_; }
    // Those with line ends and tabs by directives.
    uint64_t lineEnds() const { return lineEnds_; }
    // Those with bytes that have no meaning in the character set.
    uint64_t undecodable() const { return undecodable_; }
    const std::string &firstUndecodable() const { return firstUndecodable_; }
    // Texts of the data section with control characters.
    uint64_t controls() const { return controls_; }
    const std::string &firstControl() const { return firstControl_; }
    // Texts of the data section that were cut at kLongestStepText.
    uint64_t cut() const { return cut_; }

protected:
    int_type underflow() override;

private:
    void filter(const char *text, size_t length);
    bool isLeftOut();
    void endText();

    std::ifstream file_;
    Codepage codepage_;
    const Host &host_;
    StepSplitter splitter_;
    uint64_t total_, end_, done_, data_, position_ = 0, undecodable_ = 0, malformed_ = 0, lineEnds_ = 0, controls_ = 0, cut_ = 0;
    std::vector<std::pair<uint64_t, uint64_t>> leftOut_; // Of the file; the next one last.
    double share_;
    bool inText_ = false, closed_ = false; // Whether an apostrophe may have ended the text.
    std::string in_, out_, ending_, text_, firstUndecodable_, firstMalformed_, firstControl_;
};

} // namespace occt
