// Owns reading IGES. The file ends with a line that counts the lines of its sections, so a loss of text shows.
// The reader takes a path only and cannot be cancelled while it parses.
#include "iges_topology.hpp"
#include "messages.hpp"
#include "model.hpp"
#include "signals.hpp"

#include <IGESCAFControl_Reader.hxx>
#include <IGESData_GlobalSection.hxx>
#include <IGESData_IGESEntity.hxx>
#include <IGESData_IGESModel.hxx>
#include <Interface_Check.hxx>
#include <TopExp_Explorer.hxx>
#include <TransferBRep.hxx>
#include <Transfer_Binder.hxx>
#include <Transfer_TransientProcess.hxx>
#include <XSControl_TransferReader.hxx>
#include <XSControl_WorkSession.hxx>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace occt {
namespace {

constexpr double kReadShare = 0.15, kTransferEnd = 0.6;

uint64_t number(const std::string &line, size_t column) { return std::strtoull(line.substr(column, 8).c_str(), nullptr, 10); }

// The directory and the lines of parameters say of each other which belong together. OpenCASCADE believes the
// lines, and a wrong number in one gives the parameters to another entity.
class Owners {
public:
    // The first of the two lines of an entity.
    void addDirectory(uint64_t entity, const std::string &line) { starts_.emplace_back(number(line, 8), entity); }
    void addParameters(const std::string &line) { owners_.push_back(static_cast<uint32_t>(std::strtoul(line.substr(65, 7).c_str(), nullptr, 10))); }
    void verify(Findings &findings) {
        std::sort(starts_.begin(), starts_.end());
        uint64_t wrong = 0, first = 0;
        auto next = starts_.begin();
        for (uint64_t i = 0, entity = 0; i < owners_.size(); i++) {
            for (; next != starts_.end() && next->first <= i + 1; ++next) entity = next->second;
            if (owners_[i] != entity && wrong++ == 0) first = i + 1;
        }
        if (wrong > 0)
            findings.missing(count(wrong, "line") + " of section P, the first of them " + std::to_string(first) + ", belong" + (wrong == 1 ? "s" : "") +
                             " to another entity than the directory says");
    }

private:
    std::vector<std::pair<uint64_t, uint64_t>> starts_; // The first line of an entity, and its number.
    std::vector<uint32_t> owners_;
};

// Lines of the sections (S, G, D, P) against the terminating line, and those of the last two against each other.
void scanIges(const Job &job, Findings &findings) {
    std::ifstream file(job.request->input, std::ios::binary);
    if (!file) reject("the input cannot be opened");
    std::map<char, uint64_t> lines;
    Owners owners;
    uint64_t lineNumber = 0, odd = 0, controls = 0;
    std::string end, firstOdd, firstControl;
    for (std::string line; std::getline(file, line);) {
        if ((++lineNumber & 0xFFFF) == 0) job.host.throwIfCancelled();
        if (line.size() < 73) {
            if (line.find_first_not_of(" \r\x1a") != std::string::npos && end.empty() && odd++ == 0)
                firstOdd = std::to_string(lineNumber);
            continue;
        }
        const char section = line[72];
        if (lineNumber == 1 && section == 'C') reject("IGES in compressed form is not supported");
        if (section == 'T') end = line;
        else if (std::string("SGDP").find(section) != std::string::npos) lines[section]++;
        else if (odd++ == 0) firstOdd = std::to_string(lineNumber);
        // Only the start section is for people. A NUL ends what OpenCASCADE reads of a line.
        const auto isControl = [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r'; };
        if (section != 'S' && std::any_of(line.begin(), line.end(), isControl) && controls++ == 0) firstControl = std::to_string(lineNumber);
        if (section == 'D' && lines['D'] % 2 == 1) owners.addDirectory(lines['D'], line);
        if (section == 'P') owners.addParameters(line);
    }
    if (lines['D'] == 0) reject("not an IGES file, or cut off before its entities");
    if (odd > 0) findings.missing(count(odd, "line") + " without a section, the first of them line " + firstOdd);
    if (controls > 0) findings.missing(count(controls, "line") + " with control characters, the first of them line " + firstControl);
    owners.verify(findings);
    if (end.empty()) {
        findings.missing("the file ends without its terminating line");
        return;
    }
    for (size_t i = 0; i + 8 <= 32; i += 8) {
        const char section = end[i];
        const uint64_t announced = std::strtoull(end.substr(i + 1, 7).c_str(), nullptr, 10);
        if (section != 'S' && lines.count(section) && announced != lines[section])
            findings.missing(std::string("section ") + section + " has " + count(lines[section], "line") + " of " + std::to_string(announced));
    }
}

std::string nameOfEntity(const Handle(Interface_InterfaceModel) &model, const Handle(Standard_Transient) &entity) {
    if (entity.IsNull()) return "an entity that does not exist";
    const Handle(TCollection_HAsciiString) label = model->StringLabel(entity);
    const Handle(IGESData_IGESEntity) iges = Handle(IGESData_IGESEntity)::DownCast(entity);
    return (label.IsNull() ? std::string("?") : std::string(label->ToCString())) +
           (iges.IsNull() ? "" : " (type " + std::to_string(iges->TypeNumber()) + ")");
}

struct Tally {
    uint64_t n = 0;
    std::string first;
    void add(const std::string &name) {
        if (n++ == 0) first = name;
    }
    void tell(const char *noun, const char *plural, const char *what, Findings &findings) const {
        if (n > 0) findings.missing(count(n, noun, plural) + " " + what + (n == 1 ? ": " : ", the first of them ") + first);
    }
};

void verifyLoad(const Handle(Interface_InterfaceModel) &model, Findings &findings) {
    Tally failed;
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++) {
        const Handle(Interface_Check) check = model->Check(i, Standard_True);
        const bool fails = !check.IsNull() && check->NbFails() > 0;
        if (model->IsErrorEntity(i) || fails) failed.add(nameOfEntity(model, model->Value(i)) + (fails ? std::string(", ") + check->CFail(1) : ""));
    }
    failed.tell("entity", "entities", "cannot be loaded", findings);
}

void verifyTransfer(const Handle(XSControl_WorkSession) &session, Findings &findings) {
    const Handle(Interface_InterfaceModel) model = session->Model();
    const Handle(Transfer_TransientProcess) process = session->TransferReader()->TransientProcess();
    Tally lost, failed;
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++) {
        const Handle(IGESData_IGESEntity) entity = Handle(IGESData_IGESEntity)::DownCast(model->Value(i));
        if (entity.IsNull()) continue;
        const int type = entity->TypeNumber();
        const bool solid = type == 186, face = type == 143 || type == 144 || type == 510;
        if (!solid && !face) continue;
        const TopoDS_Shape shape = TransferBRep::ShapeResult(process, entity);
        if (shape.IsNull() || !TopExp_Explorer(shape, solid ? TopAbs_SOLID : TopAbs_FACE).More()) lost.add(nameOfEntity(model, entity));
    }
    for (Standard_Integer i = 1; i <= process->NbMapped(); i++) {
        const Handle(Transfer_Binder) binder = process->MapItem(i);
        if (binder.IsNull() || !binder->Check()->HasFailed()) continue;
        failed.add(nameOfEntity(model, process->Mapped(i)) + ", " + binder->Check()->CFail(1));
    }
    lost.tell("solid or face", "solids or faces", "could not be made", findings);
    failed.tell("entity", "entities", "could not be converted", findings);
}

// Names of the flags of the standard; the factor is what OpenCASCADE applied.
void readUnit(const Handle(IGESData_IGESModel) &iges, Model &model) {
    static const char *const names[] = {"", "inch", "mm", "", "foot", "mile", "m", "km", "mil", "um", "cm", "microinch"};
    const IGESData_GlobalSection &section = iges->GlobalSection();
    const int flag = section.UnitFlag();
    if (flag > 0 && flag < 12) model.inputUnit = names[flag];
    model.inputUnitMillimetres = section.UnitValue();
}

} // namespace

Model readIges(const Job &job) {
    Findings findings;
    scanIges(job, findings);
    findings.settle(job);
    job.host.progress(CADMILL_STAGE_READ, 0.02);

    IGESCAFControl_Reader reader;
    reader.SetColorMode(Standard_True);
    reader.SetNameMode(Standard_True);
    reader.SetLayerMode(Standard_True);
    const IFSelect_ReturnStatus status = reader.ReadFile(job.request->input);
    job.host.throwIfCancelled();
    if (status != IFSelect_RetDone) reject("OpenCASCADE cannot read the file: it is empty or malformed");
    verifyLoad(reader.Model(), findings);
    findings.settle(job); // A transfer of what is not sound wastes time, or crashes.

    Tally broken;
    for (const auto &entity : brokenTopology(reader.Model())) broken.add(nameOfEntity(reader.Model(), entity));
    Findings crashing;
    broken.tell("part of a solid", "parts of solids", "with a reference to nothing, or to an entity of another type", crashing);
    Tally far;
    for (const auto &entity : farPoints(reader.Model())) far.add(nameOfEntity(reader.Model(), entity));
    far.tell("entity", "entities", "at coordinates that are not numbers, or beyond 1e15", crashing);
    crashing.refuse(); // With lenient=yes too: a transfer would crash.

    Model model;
    readUnit(reader.IGESModel(), model);
    model.document = newDocument();
    Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_READ, kReadShare, kTransferEnd);
    const bool done = reader.Transfer(model.document, progress->Start());
    job.host.throwIfCancelled();
    if (!done) findings.missing("OpenCASCADE could not convert the file");
    verifyTransfer(reader.WS(), findings);
    if (SignalGuard::caught() > 0)
        findings.missing("OpenCASCADE met " + count(SignalGuard::caught(), "invalid memory access", "invalid memory accesses") + " and left the entities out");
    findings.settle(job);
    return model;
}

} // namespace occt
