// The bare program that the OpenCASCADE plugin is compared with: the same calls of the library, in a process of its
// own, without cadmill, its checks, and its confinement.
//
//   occt-bare THREADS INPUT.step OUTPUT.glb
//
// Prints the seconds of its steps as JSON. Built by tests/bench/occt.py.
#include <BRepBndLib.hxx>
#include <BRepMesh_IncrementalMesh.hxx>
#include <BRep_Builder.hxx>
#include <Bnd_Box.hxx>
#include <Interface_Static.hxx>
#include <Message.hxx>
#include <Message_Messenger.hxx>
#include <Message_ProgressRange.hxx>
#include <OSD_Parallel.hxx>
#include <OSD_ThreadPool.hxx>
#include <RWGltf_CafWriter.hxx>
#include <RWMesh_CoordinateSystem.hxx>
#include <STEPCAFControl_Reader.hxx>
#include <TColStd_IndexedDataMapOfStringString.hxx>
#include <TDF_LabelSequence.hxx>
#include <TDocStd_Document.hxx>
#include <TopoDS_Compound.hxx>
#include <XCAFDoc_DocumentTool.hxx>
#include <XCAFDoc_ShapeTool.hxx>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

int failed(const char *what) {
    std::fprintf(stderr, "not %s\n", what);
    return 1;
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 4) return failed("called as THREADS INPUT.step OUTPUT.glb");
    const int threads = std::atoi(argv[1]);
    Message::DefaultMessenger()->ChangePrinters().Clear();
    Handle(TDocStd_Document) document = new TDocStd_Document("BinXCAF");
    const Handle(XCAFDoc_ShapeTool) shapes = XCAFDoc_DocumentTool::ShapeTool(document->Main());
    XCAFDoc_DocumentTool::SetLengthUnit(document, 0.001);
    STEPCAFControl_Reader reader;
    reader.SetColorMode(true);
    reader.SetNameMode(true);
    reader.SetLayerMode(true);
    reader.SetPropsMode(true);
    reader.SetSHUOMode(true);
    reader.SetGDTMode(true);
    reader.SetMatMode(true);

    const double begun = now();
    if (reader.ReadFile(argv[2]) != IFSelect_RetDone) return failed("read");
    const double read = now();
    if (!reader.Transfer(document)) return failed("transferred");
    const double transferred = now();

    TDF_LabelSequence labels;
    shapes->GetFreeShapes(labels);
    TopoDS_Compound whole;
    BRep_Builder builder;
    builder.MakeCompound(whole);
    for (const TDF_Label &label : labels) builder.Add(whole, XCAFDoc_ShapeTool::GetShape(label));
    Bnd_Box box;
    BRepBndLib::Add(whole, box, false);
    OSD_Parallel::SetUseOcctThreads(true);
    OSD_ThreadPool::DefaultPool(threads);
    IMeshTools_Parameters parameters;
    parameters.Deflection = 1e-3 * std::sqrt(box.SquareExtent());
    parameters.Angle = 0.5;
    parameters.InParallel = threads > 1;
    BRepMesh_IncrementalMesh mesh(whole, parameters);
    const double meshed = now();

    RWGltf_CafWriter writer(argv[3], true);
    writer.ChangeCoordinateSystemConverter().SetInputLengthUnit(0.001);
    writer.ChangeCoordinateSystemConverter().SetInputCoordinateSystem(RWMesh_CoordinateSystem_Zup);
    writer.SetMergeFaces(true);
    if (!writer.Perform(document, TColStd_IndexedDataMapOfStringString(), Message_ProgressRange())) return failed("written");
    std::printf("{\"read\": %.3f, \"transfer\": %.3f, \"mesh\": %.3f, \"write\": %.3f}\n", read - begun, transferred - read,
                meshed - transferred, now() - meshed);
    return 0;
}
