// Owns reading STEP: the text is checked first, then read through a stream, then the shapes are compared with
// the entities. Files of an assembly by external references are found beside the main one.
//
// Refuses what is incomplete, unless lenient=yes.
#include "messages.hpp"
#include "model.hpp"
#include "places.hpp"
#include "signals.hpp"
#include "solid_names.hpp"
#include "step_assembly.hpp"
#include "step_scan.hpp"
#include "step_stream.hpp"
#include "step_styles.hpp"
#include "step_verify.hpp"

#include <Interface_Static.hxx>
#include <STEPCAFControl_ExternFile.hxx>
#include <STEPCAFControl_Reader.hxx>
#include <TColStd_SequenceOfAsciiString.hxx>
#include <XCAFDoc_DocumentTool.hxx>

#include <cctype>
#include <istream>
#include <map>
#include <set>
#include <unistd.h>

namespace occt {
namespace {

constexpr double kReadShare = 0.35, kTransferEnd = 0.6;

bool isStepName(std::string name) {
    for (char &c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const size_t dot = name.rfind('.');
    const std::string extension = dot == std::string::npos ? "" : name.substr(dot + 1);
    return extension == "stp" || extension == "step";
}

// OpenCASCADE computes with it, for hours.
void refuseInfinite(const StepScan &scan, const std::string &file) {
    if (!scan.infinite.empty()) reject("the file '" + file + "' is damaged: " + scan.infinite + " has a number of 1e308 or more");
}

bool writesNames(const Job &job) { return job.out != Format::Stl && job.out != Format::Brep; }

void loseText(const Job &job, const std::string &text, const char *hint = "") {
    if (!writesNames(job)) return;
    if (!job.options.lenient) fail(CADMILL_TEXT_LOST, text + hint);
    job.host.loss(text);
}

// The main file and those that it refers to, in turn. Returns whether the colours of all can be read.
bool scanReferences(const Job &job, const StepScan &main, Findings &findings) {
    bool colours = true;
    std::map<std::string, std::set<std::string>> links;
    std::set<std::string> seen{nameOf(job.request->input)};
    std::vector<std::string> waiting(main.documents);
    links[nameOf(job.request->input)].insert(main.documents.begin(), main.documents.end());
    while (!waiting.empty()) {
        const std::string name = waiting.back();
        waiting.pop_back();
        // Documents of other kinds are referred to as well. OpenCASCADE tells later which ones it needs.
        if (!isStepName(name) || !seen.insert(name).second) continue;
        if (access(name.c_str(), R_OK) != 0) {
            findings.missing("the file '" + name + "', which the assembly refers to, is not beside it");
            continue;
        }
        StepScan scan;
        try {
            scan = scanStep(name, job.host);
        } catch (const Failure &failure) {
            if (failure.status != CADMILL_REJECTED) throw;
            findings.missing("the file '" + name + "', which the assembly refers to, cannot be read: " + failure.text);
            continue;
        }
        if (scan.defects > 0) findings.missing(name + " is damaged: " + scan.firstDefect);
        // OpenCASCADE opens these by itself, past StepStream.
        if (scan.notUtf8)
            loseText(job, "the names in '" + name + "', which the assembly refers to, are not in UTF-8, and codepage applies to the main file only");
        if (scan.hasControls) loseText(job, "texts in '" + name + "', which the assembly refers to, have control characters");
        if (scan.hasLongText) findings.missing("'" + name + "' has texts longer than " + std::to_string(kLongestStepText) + " bytes, which OpenCASCADE cannot read");
        if (!scan.sections.empty())
            findings.missing("'" + name + "' has several data sections, or one with parameters (ISO 10303-21, edition 3), which only the main file may have");
        refuseInfinite(scan, name);
        if (scan.isCircular) reject("an assembly in '" + name + "' contains itself");
        if (!scan.brokenStyle.empty()) {
            findings.missing("no colours, as a style in '" + name + "', which the assembly refers to, cannot be read: " + scan.brokenStyle);
            colours = false;
        }
        links[name].insert(scan.documents.begin(), scan.documents.end());
        waiting.insert(waiting.end(), scan.documents.begin(), scan.documents.end());
    }
    // OpenCASCADE would read them until the stack overflows. It passes over a main file that refers to itself.
    links[nameOf(job.request->input)].erase(nameOf(job.request->input));
    if (const auto circle = circlesOf(links); !circle.empty())
        reject("the files of the assembly refer to each other in a circle, among them '" + circle.begin()->first + "'");
    return colours;
}

struct NamedUnit {
    const char *stepName, *name;
    double millimetres;
};
const NamedUnit kUnits[] = {{"millimetre", "mm", 1.0}, {"metre", "m", 1000.0}, {"centimetre", "cm", 10.0},
                            {"inch", "inch", 25.4}, {"foot", "foot", 304.8}, {"micrometre", "um", 1e-3}};

void readUnit(STEPControl_Reader &reader, const Job &job, Model &model) {
    TColStd_SequenceOfAsciiString lengths, angles, solidAngles;
    reader.FileUnits(lengths, angles, solidAngles);
    std::set<std::string> names;
    for (const TCollection_AsciiString &length : lengths) {
        std::string name;
        for (const char *c = length.ToCString(); *c; c++) name += static_cast<char>(std::tolower(*c));
        names.insert(name);
    }
    if (names.size() > 1) {
        if (job.options.inputUnit) fail(CADMILL_UNFIT, "the file uses several units of length, so input-unit is ambiguous");
        model.inputUnit = "several";
        return;
    }
    if (names.empty()) return;
    model.inputUnit = *names.begin();
    for (const NamedUnit &unit : kUnits) {
        if (model.inputUnit != unit.stepName) continue;
        model.inputUnit = unit.name;
        model.inputUnitMillimetres = unit.millimetres;
        return;
    }
    if (job.options.inputUnit) fail(CADMILL_UNFIT, "the file's unit, '" + model.inputUnit + "', is not one that input-unit can replace");
}

void checkText(const Job &job, const StepStream &stream) {
    if (stream.controls() > 0)
        loseText(job, count(stream.controls(), "text") + " with control characters, which names cannot have, the first '" + stream.firstControl() + "'",
                 "; lenient=yes replaces them");
    if (stream.cut() > 0)
        loseText(job, count(stream.cut(), "text") + " longer than " + std::to_string(kLongestStepText) + " bytes, which OpenCASCADE cannot read",
                 "; lenient=yes cuts them");
    if (stream.malformed() > 0)
        loseText(job, count(stream.malformed(), "text") + " with a directive (\\X\\, \\X2\\ or \\X4\\) that is malformed, the first '" + stream.firstMalformed() + "'",
                 "; lenient=yes replaces its first character");
    if (stream.lineEnds() > 0 && writesNames(job)) job.host.loss(count(stream.lineEnds(), "text") + " with line ends or tabs, which became blanks");
    if (stream.undecodable() > 0)
        loseText(job, count(stream.undecodable(), "text") + " with characters that are not in the character set" +
                          (job.options.codepage.empty() ? " UTF-8" : " " + job.options.codepage) + ", the first '" + stream.firstUndecodable() + "'",
                 "; codepage= names another character set, e.g. cp949");
}

void verifyReferences(const Job &job, STEPCAFControl_Reader &reader, Findings &findings) {
    using Files = NCollection_DataMap<TCollection_AsciiString, Handle(STEPCAFControl_ExternFile)>;
    for (Files::Iterator it(reader.ExternFiles()); it.More(); it.Next()) {
        const Handle(STEPCAFControl_ExternFile) &file = it.Value();
        const std::string name = it.Key().ToCString();
        if (file.IsNull() || file->GetLoadStatus() != IFSelect_RetDone || file->GetWS().IsNull()) {
            findings.missing("the file '" + name + "', which the assembly refers to, cannot be read");
            continue;
        }
        verifyLoad(job, file->GetWS(), name + ": ", findings);
        verifyOccurrences(file->GetWS(), name + ": ", findings);
        verifyPlacements(file->GetWS(), name + ": ", findings);
        verifyTransfer(file->GetWS(), name + ": ", findings);
        if (!file->GetTransferStatus()) findings.missing("the file '" + name + "' could not be converted");
    }
}

} // namespace

Model readStep(const Job &job) {
    const std::string path = job.request->input;
    const CurrentDirectory inside(directoryOf(path));
    Findings findings;
    const StepScan scan = scanStep(nameOf(path), job.host);
    if (scan.defects > 0)
        findings.missing(count(scan.defects, "defect") + " in the text of the file, the first of them " + scan.firstDefect);
    refuseInfinite(scan, nameOf(path));
    if (scan.headerDamaged) job.host.warn("the header of the file is damaged and was left out");
    const bool colours = scanReferences(job, scan, findings);
    findings.settle(job);

    STEPCAFControl_Reader reader;
    reader.SetColorMode(colours);
    reader.SetNameMode(Standard_True);
    reader.SetLayerMode(Standard_True);
    reader.SetPropsMode(Standard_True);
    reader.SetSHUOMode(colours);
    reader.SetGDTMode(Standard_True);
    reader.SetMatMode(Standard_True);
    StepStream buffer(nameOf(path), scan, job.options, job.host, kReadShare);
    std::istream stream(&buffer);
    // The name, not the path: references are looked up relative to it, from the current directory.
    const IFSelect_ReturnStatus status = reader.ChangeReader().ReadStream(nameOf(path).c_str(), stream);
    job.host.throwIfCancelled();
    if (status != IFSelect_RetDone) reject("OpenCASCADE cannot read the file: it is empty or malformed");
    checkText(job, buffer);
    if (verifyLoad(job, reader.ChangeReader().WS(), "", findings)) {
        reader.SetPropsMode(Standard_False);
        reader.SetGDTMode(Standard_False);
        reader.SetMatMode(Standard_False);
        job.host.loss("properties, dimensions and materials left out: some are damaged");
    }
    Findings cycles;
    verifyCycles(reader.ChangeReader().WS(), cycles);
    cycles.refuse();
    verifyOccurrences(reader.ChangeReader().WS(), "", findings);
    verifyPlacements(reader.ChangeReader().WS(), "", findings);
    verifyStyles(job, reader.ChangeReader().WS(), findings);
    findings.settle(job); // A transfer of what is not sound wastes time, or crashes.

    Model model;
    readUnit(reader.ChangeReader(), job, model);
    model.document = newDocument();
    Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_READ, kReadShare, kTransferEnd);
    const bool done = reader.Transfer(model.document, progress->Start());
    job.host.throwIfCancelled();
    if (!done) findings.missing("OpenCASCADE could not convert the file");
    verifyTransfer(reader.ChangeReader().WS(), "", findings);
    verifyReferences(job, reader, findings);
    if (SignalGuard::caught() > 0)
        findings.missing("OpenCASCADE met " + count(SignalGuard::caught(), "invalid memory access", "invalid memory accesses") + " and left the entities out");
    findings.settle(job);
    if (job.options.solidNames) collectSolidNames(reader.ChangeReader().WS(), model);
    return model;
}

} // namespace occt
