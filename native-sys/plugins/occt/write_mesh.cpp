// Owns the outputs of triangles: GLB, glTF, STL, OBJ and VRML.
#include "messages.hpp"
#include "model.hpp"
#include "places.hpp"

#include <BRep_Builder.hxx>
#include <RWGltf_CafWriter.hxx>
#include <RWMesh_CoordinateSystem.hxx>
#include <RWObj_CafWriter.hxx>
#include <StlAPI_Writer.hxx>
#include <TColStd_IndexedDataMapOfStringString.hxx>
#include <TDF_ChildIterator.hxx>
#include <TDataStd_Name.hxx>
#include <VrmlAPI_Writer.hxx>
#include <XCAFDoc_ShapeTool.hxx>

#include <string>

namespace occt {
namespace {

constexpr double kStart = 0.9;

// GLB is put together from a temporary file, which otherwise lies beside the output.
class GltfWriter : public RWGltf_CafWriter {
public:
    GltfWriter(const Job &job, const std::string &path) : RWGltf_CafWriter(path.c_str(), job.out == Format::Glb) {
        if (job.out == Format::Glb) myBinFileNameFull = temporaryFile(job).c_str();
    }
};

bool writeGltf(const Job &job, const Model &model, const std::string &path, const Message_ProgressRange &range) {
    GltfWriter writer(job, path);
    // glTF is Y-up and in metres.
    writer.ChangeCoordinateSystemConverter().SetInputLengthUnit(0.001);
    writer.ChangeCoordinateSystemConverter().SetInputCoordinateSystem(RWMesh_CoordinateSystem_Zup);
    writer.SetMergeFaces(job.options.mergeFaces);
    return writer.Perform(model.document, TColStd_IndexedDataMapOfStringString(), range);
}

// OBJ names no unit and no axis: the axes stay.
bool writeObj(const Job &job, const Model &model, const std::string &path, const Message_ProgressRange &range) {
    RWObj_CafWriter writer(path.c_str());
    RWMesh_CoordinateSystemConverter converter;
    converter.SetInputLengthUnit(0.001);
    converter.SetOutputLengthUnit(0.001 * job.options.unit.millimetres);
    writer.SetCoordinateSystemConverter(converter);
    return writer.Perform(model.document, TColStd_IndexedDataMapOfStringString(), range);
}

bool writeStl(const Job &job, const Model &model, const std::string &path, const Message_ProgressRange &range) {
    TopoDS_Shape shape = wholeShape(model.document);
    if (job.options.unit.millimetres != 1.0) {
        // The writer applies the placement, so a scaled one does without a second copy of the triangles.
        gp_Trsf scaling;
        scaling.SetScale(gp_Pnt(0, 0, 0), 1.0 / job.options.unit.millimetres);
        shape.Location(TopLoc_Location(scaling) * shape.Location(), Standard_False);
    }
    StlAPI_Writer writer;
    writer.ASCIIMode() = Standard_False;
    return writer.Write(shape, path.c_str(), range);
}

// Names that VRML allows (ISO/IEC 14772-1, annex A). The writer replaces blanks and '#' alone.
void nameForVrml(const Job &job, const Handle(TDocStd_Document) &document) {
    const std::u16string illegal = u"\"#',.[\\]{}\x7F";
    uint64_t changed = 0;
    for (TDF_ChildIterator it(document->Main(), Standard_True); it.More(); it.Next()) {
        Handle(TDataStd_Name) name;
        if (!XCAFDoc_ShapeTool::IsShape(it.Value()) || !it.Value().FindAttribute(TDataStd_Name::GetID(), name)) continue;
        TCollection_ExtendedString after = name->Get();
        for (Standard_Integer i = 1; i <= after.Length(); i++)
            if (after.Value(i) <= ' ' || illegal.find(after.Value(i)) != std::u16string::npos) after.SetValue(i, '_');
        if (after.Length() > 0 && (after.Value(1) == '+' || after.Value(1) == '-' || (after.Value(1) >= '0' && after.Value(1) <= '9'))) after.Insert(1, '_');
        if (after == name->Get()) continue;
        changed += !XCAFDoc_ShapeTool::IsComponent(it.Value());
        TDataStd_Name::Set(it.Value(), after);
    }
    if (changed > 0) job.host.loss(count(changed, "name") + " changed: VRML has no blanks and punctuation in names");
}

} // namespace

void writeMesh(const Job &job, const Model &model, const std::string &path) {
    Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_WRITE, kStart, 1);
    const Message_ProgressRange range = progress->Start();
    bool done = false;
    if (job.out == Format::Glb || job.out == Format::Gltf) done = writeGltf(job, model, path, range);
    if (job.out == Format::Obj) done = writeObj(job, model, path, range);
    if (job.out == Format::Stl) done = writeStl(job, model, path, range);
    if (job.out == Format::Vrml) nameForVrml(job, model.document);
    if (job.out == Format::Vrml) done = VrmlAPI_Writer().WriteDoc(model.document, path.c_str(), 1.0 / job.options.unit.millimetres);
    job.host.throwIfCancelled();
    if (!done) fail(CADMILL_FAILED, "OpenCASCADE could not write the output");
}

} // namespace occt
