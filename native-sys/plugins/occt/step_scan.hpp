// What a STEP file says of itself, found before OpenCASCADE sees it.
#pragma once

#include "job.hpp"

#include <map>
#include <string>
#include <vector>

namespace occt {

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
    bool hasControls = false;    // Whether there are control characters in texts.

    uint64_t defects = 0;     // In the data: syntax, references to nothing, names given twice, a missing end.
    std::string firstDefect;  // With its line.
};

// Throws Failure if the file cannot be read, has no data section, or is cancelled.
StepScan scanStep(const std::string &path, const Host &host);

} // namespace occt
