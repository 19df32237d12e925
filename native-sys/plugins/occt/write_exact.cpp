// Owns the outputs that keep surfaces: STEP, IGES and BREP. The same input gives the same bytes: what
// OpenCASCADE takes from the clock and the user's name is set here.
#include "canonical.hpp"
#include "document.hpp"
#include "messages.hpp"
#include "model.hpp"
#include "places.hpp"
#include "step_ap203.hpp"
#include "write_verify.hpp"

#include <APIHeaderSection_MakeHeader.hxx>
#include <BRepTools.hxx>
#include <BRepTools_ReShape.hxx>
#include <IGESCAFControl_Writer.hxx>
#include <IGESData_GlobalSection.hxx>
#include <IGESData_IGESEntity.hxx>
#include <IGESData_IGESModel.hxx>
#include <Interface_CheckIterator.hxx>
#include <Interface_HArray1OfHAsciiString.hxx>
#include <STEPCAFControl_Writer.hxx>
#include <StepData_Protocol.hxx>
#include <StepData_StepModel.hxx>
#include <StepData_StepWriter.hxx>
#include <Standard_RangeError.hxx>
#include <Standard_Version.hxx>
#include <TCollection_HAsciiString.hxx>
#include <TDF_ChildIterator.hxx>
#include <TDF_LabelSequence.hxx>
#include <TDataStd_Name.hxx>
#include <TopExp_Explorer.hxx>
#include <XCAFDoc_DocumentTool.hxx>
#include <XCAFDoc_MaterialTool.hxx>
#include <XCAFDoc_ShapeTool.hxx>
#include <XSControl_WorkSession.hxx>

#include <fstream>
#include <set>

namespace occt {
namespace {

constexpr double kStart = 0.6, kTransferred = 0.9;

// A file that takes no more once the conversion is cancelled.
class CancellableFile : public std::filebuf {
public:
    explicit CancellableFile(const Host &host) : host_(host) {}

protected:
    std::streamsize xsputn(const char *bytes, std::streamsize n) override { return stopped() ? 0 : std::filebuf::xsputn(bytes, n); }
    // The IGES writer flushes each line of 80 characters; close() writes what is left.
    int sync() override { return stopped() ? -1 : 0; }
    int_type overflow(int_type c) override { return stopped() ? traits_type::eof() : std::filebuf::overflow(c); }

private:
    bool stopped() { return host_.cancelled(); }
    Host host_;
};

template <class Write> void writeFile(const Job &job, const std::string &path, const char *format, Write write) {
    CancellableFile buffer(job.host);
    const bool opened = buffer.open(path, std::ios::out | std::ios::binary) != nullptr;
    std::ostream file(&buffer);
    const bool written = opened && write(file) && file.good();
    const bool closed = buffer.close() != nullptr;
    job.host.throwIfCancelled();
    if (!written || !closed) fail(CADMILL_FAILED, std::string("the ") + format + " file could not be written");
}

Handle(TCollection_HAsciiString) hascii(const std::string &value) { return new TCollection_HAsciiString(value.c_str()); }

void pinHeader(const Handle(StepData_StepModel) &step, const Job &job) {
    APIHeaderSection_MakeHeader header(step);
    header.SetName(hascii(nameOf(job.request->output)));
    header.SetTimeStamp(hascii("1970-01-01T00:00:00"));
    Handle(Interface_HArray1OfHAsciiString) nobody = new Interface_HArray1OfHAsciiString(1, 1);
    nobody->SetValue(1, hascii(""));
    header.SetAuthor(nobody);
    header.SetOrganization(nobody);
    header.SetAuthorisation(hascii(""));
    header.Apply(step);
}

// The writer makes no file of a material without a name or a density.
bool areMaterialsComplete(const Handle(TDocStd_Document) &document) {
    TDF_LabelSequence labels;
    const Handle(XCAFDoc_MaterialTool) tool = XCAFDoc_DocumentTool::MaterialTool(document->Main());
    tool->GetMaterialLabels(labels);
    for (const TDF_Label &label : labels) {
        Handle(TCollection_HAsciiString) name, description, densityName, densityType;
        Standard_Real density = 0;
        if (!tool->GetMaterial(label, name, description, density, densityName, densityType)) return false;
        if (name.IsNull() || description.IsNull() || densityName.IsNull() || densityType.IsNull()) return false;
    }
    return true;
}

std::set<std::string> namesOf(const Handle(TDocStd_Document) &document) {
    std::set<std::string> names;
    for (TDF_ChildIterator it(document->Main(), Standard_True); it.More(); it.Next()) {
        Handle(TDataStd_Name) name;
        if (it.Value().FindAttribute(TDataStd_Name::GetID(), name)) names.insert(TCollection_AsciiString(name->Get()).ToCString());
    }
    return names;
}

void writeStep(const Job &job, const Model &model, const std::string &path) {
    STEPCAFControl_Writer writer;
    writer.SetColorMode(Standard_True);
    writer.SetNameMode(Standard_True);
    writer.SetLayerMode(Standard_True);
    writer.SetPropsMode(Standard_True);
    writer.SetSHUOMode(Standard_True);
    writer.SetDimTolMode(Standard_True);
    writer.SetMaterialMode(areMaterialsComplete(model.document));
    if (!writer.GetMaterialMode()) job.host.loss("materials left out: one of them is incomplete in the input");
    // The schema takes effect on a new model only.
    [[maybe_unused]] const Handle(StepData_StepModel) fresh = writer.ChangeWriter().Model(Standard_True);
#if OCC_VERSION_HEX >= 0x070700
    // 7.7 and 7.8 write the name of write.step.unit, and the numbers in that of the model (FreeCAD#18078).
    fresh->SetWriteLengthUnit(job.options.unit.millimetres);
#endif
    setUnspecifiedOrigin(writer.ChangeWriter().WS());
    Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_WRITE, kStart, kTransferred);
    const bool done = writer.Transfer(model.document, STEPControl_AsIs, nullptr, progress->Start());
    job.host.throwIfCancelled();
    if (!done) fail(CADMILL_FAILED, "OpenCASCADE could not turn the model into STEP");
    const Handle(StepData_StepModel) step = writer.ChangeWriter().Model();
    report(job, model, {verifyStep(job, model, writer.ChangeWriter()), {}});
    orderStep(writer.ChangeWriter().WS(), namesOf(model.document), job.host);
    pinHeader(step, job);
    // Not writer.Write(): it takes a path only, and cannot be cancelled.
    job.host.progress(CADMILL_STAGE_WRITE, kTransferred);
    job.host.throwIfCancelled();
    StepData_StepWriter text(step);
    text.SendModel(Handle(StepData_Protocol)::DownCast(writer.ChangeWriter().WS()->Protocol()));
    Interface_CheckIterator checks = text.CheckList();
    for (checks.Start(); checks.More(); checks.Next())
        if (checks.Value()->NbFails() > 0) fail(CADMILL_FAILED, std::string("the STEP file could not be written: ") + checks.Value()->CFail(1));
    writeFile(job, path, "STEP", [&](std::ostream &file) { return static_cast<bool>(text.Print(file)); });
}

// Names in IGES are in ASCII, and the writer puts bytes of Latin-1 there.
TCollection_ExtendedString asciiOf(TCollection_ExtendedString name) {
    for (Standard_Integer i = 1; i <= name.Length(); i++)
        if (name.Value(i) > 0x7E) name.SetValue(i, '?');
    return name;
}

// IGESCAFControl_Writer asks each label for its name without looking whether there is one, and crashes.
void nameAll(const Job &job, const Handle(TDocStd_Document) &document) {
    uint64_t changed = 0;
    for (TDF_ChildIterator it(document->Main(), Standard_True); it.More(); it.Next()) {
        if (!XCAFDoc_ShapeTool::IsShape(it.Value())) continue;
        Handle(TDataStd_Name) name;
        const bool named = it.Value().FindAttribute(TDataStd_Name::GetID(), name);
        const TCollection_ExtendedString before = named ? name->Get() : TCollection_ExtendedString(), after = asciiOf(before);
        if (named && before == after) continue;
        changed += named && !XCAFDoc_ShapeTool::IsComponent(it.Value());
        TDataStd_Name::Set(it.Value(), after);
    }
    if (changed > 0) job.host.loss(count(changed, "name") + " left out: IGES names are in ASCII, so other characters became question marks");
}

std::set<int> levelsOf(const Handle(IGESData_IGESModel) &model) {
    std::set<int> levels;
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++) levels.insert(model->Entity(i)->Level());
    return levels;
}

void writeIges(const Job &job, const Model &model, const std::string &path) {
    IGESCAFControl_Writer writer;
    writer.SetColorMode(Standard_True);
    writer.SetNameMode(Standard_True);
    writer.SetLayerMode(Standard_True);
    nameAll(job, model.document);
    Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_WRITE, kStart, kTransferred);
    bool done = false;
    try {
        done = writer.Transfer(model.document, progress->Start());
    } catch (const Standard_RangeError &) {
        fail(CADMILL_UNFIT, "the model has a shell or a solid that borders nothing (internal or external in the words of OpenCASCADE), which "
                            "IGES cannot hold; BREP can");
    }
    job.host.throwIfCancelled();
    if (!done) fail(CADMILL_FAILED, "OpenCASCADE could not turn the model into IGES");
    verifyIges(job, model, writer);
    report(job, model, {{}, levelsOf(writer.Model())});
    IGESData_GlobalSection global = writer.Model()->GlobalSection();
    const std::string name = nameOf(job.request->output);
    global.SetFileName(hascii(name));
    global.SetSendName(hascii(name));
    global.SetDate(hascii("19700101.000000"));
    global.SetLastChangeDate(hascii("19700101.000000"));
    global.SetAuthorName(hascii(""));
    global.SetCompanyName(hascii(""));
    writer.Model()->SetGlobalSection(global);
    writer.ComputeModel();
    orderIges(writer.Model());
    job.host.progress(CADMILL_STAGE_WRITE, kTransferred);
    writeFile(job, path, "IGES", [&](std::ostream &file) { return static_cast<bool>(writer.Write(file)); });
}

void writeBrep(const Job &job, const Model &model, const std::string &path) {
    report(job, model, {});
    scaleModel(model.document, 1.0 / job.options.unit.millimetres);
    Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_WRITE, kStart, 1);
    writeFile(job, path, "BREP", [&](std::ostream &file) {
        BRepTools::Write(wholeShape(model.document), file, progress->Start());
        return true;
    });
}

// BREP files hold solids and shells without a face. The writer of STEP passes over them; that of IGES writes a solid
// without a shell, which readers refuse, and cannot write such a shell.
void leaveOutEmpty(const Job &job, const Model &model) {
    uint64_t left = 0;
    changeShapes(model.document, [&](const TopoDS_Shape &shape, auto &descendant) {
        Handle(BRepTools_ReShape) change = new BRepTools_ReShape;
        uint64_t empty = 0;
        for (const TopAbs_ShapeEnum kind : {TopAbs_SOLID, TopAbs_SHELL})
            for (TopExp_Explorer it(shape, kind, kind == TopAbs_SHELL ? TopAbs_SOLID : TopAbs_SHAPE); it.More(); it.Next()) {
                if (TopExp_Explorer(it.Current(), TopAbs_FACE).More()) continue;
                change->Remove(it.Current());
                empty++;
            }
        if (empty == 0) return shape;
        left += empty;
        descendant = [change](const TopoDS_Shape &part) { return change->Apply(part); };
        return change->Apply(shape);
    });
    if (left > 0) job.host.loss(count(left, "solid or shell", "solids and shells") + " without a face left out: the output format has none");
}

} // namespace

void writeExact(const Job &job, const Model &model, const std::string &path) {
    if (job.out != Format::Brep) leaveOutEmpty(job, model);
    if (job.out == Format::Step) writeStep(job, model, path);
    else if (job.out == Format::Iges) writeIges(job, model, path);
    else writeBrep(job, model, path);
}

} // namespace occt
