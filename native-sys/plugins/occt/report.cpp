// Owns the facts of the report, and the list of what the chosen output cannot hold. Triangles instead of
// surfaces are no loss: the output format asks for them.
#include "model.hpp"

#include <BRep_Tool.hxx>
#include <Quantity_Color.hxx>
#include <TDF_ChildIterator.hxx>
#include <TDF_LabelSequence.hxx>
#include <TDataStd_Name.hxx>
#include <TopExp_Explorer.hxx>
#include <TopoDS.hxx>
#include <XCAFDoc_ColorTool.hxx>
#include <XCAFDoc_DimTolTool.hxx>
#include <XCAFDoc_DocumentTool.hxx>
#include <XCAFDoc_LayerTool.hxx>
#include <XCAFDoc_MaterialTool.hxx>
#include <XCAFDoc_ShapeTool.hxx>

#include <set>
#include <string>
#include <tuple>

namespace occt {
namespace {

constexpr uint64_t kNamed = 5;

uint64_t howMany(const TopoDS_Shape &shape, TopAbs_ShapeEnum kind, TopAbs_ShapeEnum outside = TopAbs_SHAPE) {
    uint64_t n = 0;
    if (!shape.IsNull())
        for (TopExp_Explorer it(shape, kind, outside); it.More(); it.Next()) n++;
    return n;
}

uint64_t facesOf(const TopoDS_Shape &shape, const Faces &lost) {
    uint64_t n = 0;
    for (TopExp_Explorer it(shape, TopAbs_FACE); it.More(); it.Next()) n += lost.count(it.Current().TShape().get()) == 0;
    return n;
}

// BREP files hold solids without a face, which are nothing. One that has lost a face encloses nothing.
uint64_t solidsOf(const TopoDS_Shape &shape, const Faces &lost) {
    uint64_t n = 0;
    for (TopExp_Explorer it(shape, TopAbs_SOLID); it.More(); it.Next()) {
        const uint64_t faces = howMany(it.Current(), TopAbs_FACE);
        n += faces > 0 && facesOf(it.Current(), lost) == faces;
    }
    return n;
}

uint64_t triangles(const TopoDS_Shape &shape) {
    uint64_t n = 0;
    for (TopExp_Explorer it(shape, TopAbs_FACE); it.More(); it.Next()) {
        TopLoc_Location location;
        const Handle(Poly_Triangulation) mesh = BRep_Tool::Triangulation(TopoDS::Face(it.Current()), location);
        if (!mesh.IsNull()) n += static_cast<uint64_t>(mesh->NbTriangles());
    }
    return n;
}

struct Contents {
    uint64_t products = 0, instances = 0, assemblies = 0, names = 0, colours = 0, layers = 0, annotations = 0, materials = 0;
    uint64_t foreignNames = 0; // Not in ASCII.
    uint64_t namedLayers = 0;  // By more than a number.
    uint64_t edgeColours = 0;
};

TCollection_ExtendedString nameOf(const TDF_Label &label) {
    Handle(TDataStd_Name) name;
    return label.FindAttribute(TDataStd_Name::GetID(), name) ? name->Get() : TCollection_ExtendedString();
}

uint64_t edgeColoursOf(const Handle(TDocStd_Document) &document) {
    const Handle(XCAFDoc_ColorTool) tool = XCAFDoc_DocumentTool::ColorTool(document->Main());
    std::set<std::tuple<double, double, double>> colours;
    for (TDF_ChildIterator it(XCAFDoc_DocumentTool::ShapeTool(document->Main())->Label(), Standard_True); it.More(); it.Next()) {
        Quantity_Color colour;
        if (tool->GetColor(it.Value(), XCAFDoc_ColorCurv, colour)) colours.emplace(colour.Red(), colour.Green(), colour.Blue());
    }
    return colours.size();
}

Contents contentsOf(const Handle(TDocStd_Document) &document) {
    Contents found;
    found.edgeColours = edgeColoursOf(document);
    const Handle(XCAFDoc_ShapeTool) shapes = XCAFDoc_DocumentTool::ShapeTool(document->Main());
    TDF_LabelSequence labels;
    shapes->GetShapes(labels);
    for (const TDF_Label &label : labels) {
        found.products++;
        found.names += !nameOf(label).IsEmpty();
        found.foreignNames += !nameOf(label).IsAscii();
        found.assemblies += XCAFDoc_ShapeTool::IsAssembly(label);
        TDF_LabelSequence components;
        XCAFDoc_ShapeTool::GetComponents(label, components);
        found.instances += static_cast<uint64_t>(components.Length());
    }
    TDF_LabelSequence colours, layers, dimensions, tolerances, datums;
    XCAFDoc_DocumentTool::ColorTool(document->Main())->GetColors(colours);
    XCAFDoc_DocumentTool::LayerTool(document->Main())->GetLayerLabels(layers);
    const Handle(XCAFDoc_DimTolTool) annotations = XCAFDoc_DocumentTool::DimTolTool(document->Main());
    annotations->GetDimensionLabels(dimensions);
    annotations->GetGeomToleranceLabels(tolerances);
    annotations->GetDatumLabels(datums);
    found.colours = static_cast<uint64_t>(colours.Length());
    found.layers = static_cast<uint64_t>(layers.Length());
    found.annotations = static_cast<uint64_t>(dimensions.Length() + tolerances.Length() + datums.Length());
    TDF_LabelSequence materials;
    XCAFDoc_DocumentTool::MaterialTool(document->Main())->GetMaterialLabels(materials);
    found.materials = static_cast<uint64_t>(materials.Length());
    for (const TDF_Label &layer : layers) {
        TCollection_ExtendedString name;
        if (XCAFDoc_DocumentTool::LayerTool(document->Main())->GetLayer(layer, name)) found.namedLayers += !TCollection_AsciiString(name).IsIntegerValue();
    }
    return found;
}

void reportLosses(const Job &job, const Contents &found, const TopoDS_Shape &shape) {
    const Format out = job.out;
    const bool mesh = isMesh(out), exchange = out == Format::Step || out == Format::Iges;
    const bool plain = out == Format::Stl || out == Format::Brep;
    const auto lost = [&](bool condition, uint64_t n, const char *noun, const char *plural, const char *reason) {
        if (condition && n > 0) job.host.loss(count(n, noun, plural) + " left out: " + reason);
    };
    lost(plain, found.names, "name of a part", "names of parts", "the output format has no names");
    lost(out == Format::Iges, found.foreignNames, "name", "names", "IGES names are in ASCII, so other characters became question marks");
    lost(plain, found.colours, "colour", "colours", "the output format has no colours");
    lost(out == Format::Iges, found.edgeColours, "colour of edges", "colours of edges", "edges of faces have none in IGES");
    lost(out == Format::Iges, found.namedLayers, "layer", "layers", "IGES numbers its layers");
    lost(!exchange, found.layers, "layer", "layers", "the output format has no layers");
    lost(!(out == Format::Step && job.options.schema == "ap242"), found.annotations, "dimension or tolerance", "dimensions and tolerances",
         "only STEP with schema=ap242 has them");
    lost(out != Format::Step, found.materials, "material", "materials", "only STEP has them");
    lost(out == Format::Iges || out == Format::Stl, found.assemblies, "assembly", "assemblies", "the output is one flat model");
    if (!mesh) return;
    lost(mesh, howMany(shape, TopAbs_EDGE, TopAbs_FACE), "curve", "curves", "the output has triangles only");
    lost(mesh, howMany(shape, TopAbs_VERTEX, TopAbs_EDGE), "point", "points", "the output has triangles only");
}

} // namespace

void requireFaces(const Job &job, const Model &model) {
    if (howMany(wholeShape(model.document), TopAbs_FACE) == 0)
        reject("the input has no faces that OpenCASCADE can read; curves and points alone are not converted");
    TDF_LabelSequence labels;
    XCAFDoc_DocumentTool::ShapeTool(model.document->Main())->GetShapes(labels);
    uint64_t empty = 0;
    std::string names;
    for (const TDF_Label &label : labels) {
        const TopoDS_Shape shape = XCAFDoc_ShapeTool::GetShape(label);
        if (!XCAFDoc_ShapeTool::IsSimpleShape(label) || (!shape.IsNull() && TopExp_Explorer(shape, TopAbs_VERTEX).More())) continue;
        const TCollection_AsciiString name(nameOf(label), 0);
        if (empty++ < kNamed) names += std::string(names.empty() ? "" : ", ") + "'" + name.ToCString() + "'";
    }
    if (empty > 0) job.host.warn(count(empty, "part has", "parts have") + " no shape: " + names + (empty > kNamed ? " and others" : ""));
}

void report(const Job &job, const Model &model, const Faces &lost) {
    const TopoDS_Shape shape = wholeShape(model.document);
    const Contents found = contentsOf(model.document);
    const auto fact = [&](const char *name, uint64_t n) { job.host.fact(name, std::to_string(n)); };
    fact("solids", solidsOf(shape, lost));
    fact("shells", howMany(shape, TopAbs_SHELL));
    fact("faces", facesOf(shape, lost));
    fact("products", found.products);
    fact("instances", found.instances);
    fact("names", found.names);
    fact("colours", found.colours);
    fact("layers", found.layers);
    if (isMesh(job.out)) fact("triangles", triangles(shape));
    job.host.fact("unit", job.out == Format::Glb || job.out == Format::Gltf ? "m" : job.options.unit.name);
    if (!model.inputUnit.empty()) job.host.fact("input-unit", model.inputUnit);
    reportLosses(job, found, shape);
}

} // namespace occt
