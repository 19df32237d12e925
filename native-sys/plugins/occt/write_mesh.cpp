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
#include <VrmlAPI_Writer.hxx>

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

} // namespace

void writeMesh(const Job &job, const Model &model, const std::string &path) {
    Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_WRITE, kStart, 1);
    const Message_ProgressRange range = progress->Start();
    bool done = false;
    if (job.out == Format::Glb || job.out == Format::Gltf) done = writeGltf(job, model, path, range);
    if (job.out == Format::Obj) done = writeObj(job, model, path, range);
    if (job.out == Format::Stl) done = writeStl(job, model, path, range);
    if (job.out == Format::Vrml) done = VrmlAPI_Writer().WriteDoc(model.document, path.c_str(), 1.0 / job.options.unit.millimetres);
    job.host.throwIfCancelled();
    if (!done) fail(CADMILL_FAILED, "OpenCASCADE could not write the output");
}

} // namespace occt
