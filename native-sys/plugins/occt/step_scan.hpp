// What a STEP file says of itself, found before OpenCASCADE sees it.
#pragma once

#include "job.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace occt {

// Its lexer has a buffer of 16 KiB.
constexpr size_t kLongestStepText = 16000;

// Result of a pass over the text of a STEP file. Depends on the syntax of ISO 10303-21 only.
struct StepScan {
    uint64_t bytes = 0;
    uint64_t dataOffset = 0;     // Of the word DATA.
    bool headerDamaged = false;  // Then the header is replaced while reading.
    uint64_t instances = 0;
    std::map<std::string, uint64_t> entities; // How many there are of the kinds in step_scan.cpp.
    std::vector<std::string> documents;       // Names in DOCUMENT_FILE.

    uint64_t endsAt = 0;         // After END-ISO-10303-21, if it is there. The rest of the file is not read.
    uint64_t cutAt = 0;          // Not 0 if the end is missing: the end of the last statement.
    bool cutInData = false;      // Whether ENDSEC is missing too.

    bool notUtf8 = false;        // Whether there are other texts than in UTF-8.
    bool hasLongText = false;    // Whether there are texts that OpenCASCADE cannot read.
    // Bytes, the last one not included, that make one data section of several, and one without parameters
    // (edition 3). OpenCASCADE reads no other.
    std::vector<std::pair<uint64_t, uint64_t>> sections;
    bool hasControls = false;    // Whether there are control characters in texts.

    bool isCircular = false;     // Whether an assembly is a part of itself.
    std::string brokenStyle;     // A style that OpenCASCADE would crash on: "#12", or empty.

    std::string infinite;        // An entity with a number that no double can be: "#12", or empty.

    uint64_t defects = 0;     // In the data: syntax, references to nothing, names given twice, a missing end.
    std::string firstDefect;  // With its line.
};

// What links to what, without what ends: empty if nothing leads back to itself.
template <class Name> std::map<Name, std::set<Name>> circlesOf(std::map<Name, std::set<Name>> links) {
    for (bool shrinks = true; shrinks;) {
        shrinks = false;
        for (auto it = links.begin(); it != links.end();) {
            const bool ends = std::none_of(it->second.begin(), it->second.end(), [&](const Name &to) { return links.count(to) != 0; });
            it = ends ? links.erase(it) : std::next(it);
            shrinks = shrinks || ends;
        }
    }
    return links;
}

// Throws Failure if the file cannot be read, has no data section, or is cancelled.
StepScan scanStep(const std::string &path, const Host &host);

} // namespace occt
