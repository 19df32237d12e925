// Owns the facts of the report, and the list of what the chosen output cannot hold. Triangles instead of
// surfaces are no loss: the output format asks for them.
#include "model.hpp"

#include <BRepBndLib.hxx>
#include <BRep_Tool.hxx>
#include <Bnd_Box.hxx>
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

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

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

// A shell of a solid beside the others encloses a solid by itself. Those within the first one are voids.
uint64_t separateParts(const TopoDS_Shape &solid) {
    std::vector<Bnd_Box> outer;
    for (TopExp_Explorer it(solid, TopAbs_SHELL); it.More(); it.Next()) {
        Bnd_Box box;
        BRepBndLib::Add(it.Current(), box, Standard_False);
        if (box.IsVoid()) continue;
        const bool apart = std::all_of(outer.begin(), outer.end(), [&](const Bnd_Box &other) { return other.IsOut(box); });
        if (apart) outer.push_back(box);
    }
    return std::max<uint64_t>(outer.size(), 1);
}

bool isOpen(const TopoDS_Shape &solid) {
    for (TopExp_Explorer it(solid, TopAbs_SHELL); it.More(); it.Next())
        if (TopExp_Explorer(it.Current(), TopAbs_FACE).More() && !BRep_Tool::IsClosed(it.Current())) return true;
    return false;
}

struct Solids {
    uint64_t n = 0;
    uint64_t open = 0;     // Which all readers of STEP take for shells, and some of IGES.
    uint64_t separate = 0; // Which readers of STEP and IGES take for several.
};

// BREP files hold solids without a face, which are nothing in other formats. One that has lost a face encloses nothing.
Solids solidsOf(Format out, const TopoDS_Shape &shape, const Faces &lost) {
    Solids solids;
    std::unordered_map<const TopoDS_TShape *, std::pair<bool, uint64_t>> known;
    for (TopExp_Explorer it(shape, TopAbs_SOLID); it.More(); it.Next()) {
        const uint64_t faces = howMany(it.Current(), TopAbs_FACE);
        if (out == Format::Brep || isMesh(out)) {
            solids.n += out == Format::Brep || faces > 0;
            continue;
        }
        if (faces == 0 || facesOf(it.Current(), lost) != faces) continue;
        const auto added = known.try_emplace(it.Current().TShape().get());
        auto &[open, parts] = added.first->second;
        if (added.second) {
            open = isOpen(it.Current());
            parts = howMany(it.Current(), TopAbs_SHELL) > 1 ? separateParts(it.Current()) : 1;
        }
        solids.open += open;
        solids.separate += parts > 1;
        solids.n += open && out == Format::Step ? 0 : parts;
    }
    return solids;
}

// STEP has shells only: one of its own for each face that is in none.
uint64_t shellsOf(Format out, const TopoDS_Shape &shape) {
    if (out == Format::Brep) return howMany(shape, TopAbs_SHELL);
    uint64_t n = out == Format::Step ? howMany(shape, TopAbs_FACE, TopAbs_SHELL) : 0;
    for (TopExp_Explorer it(shape, TopAbs_SHELL); it.More(); it.Next()) n += TopExp_Explorer(it.Current(), TopAbs_FACE).More();
    return n;
}

uint64_t reversedLooseFaces(const TopoDS_Shape &shape) {
    uint64_t n = 0;
    for (TopExp_Explorer it(shape, TopAbs_FACE, TopAbs_SHELL); it.More(); it.Next()) n += it.Current().Orientation() == TopAbs_REVERSED;
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
    uint64_t paddedNames = 0; // With blanks at the ends.
    uint64_t otherLayers = 0; // Those that are not a number of the output.
    uint64_t edgeColours = 0;
};

TCollection_ExtendedString nameOf(const TDF_Label &label) {
    Handle(TDataStd_Name) name;
    return label.FindAttribute(TDataStd_Name::GetID(), name) ? name->Get() : TCollection_ExtendedString();
}

bool isPadded(const TCollection_ExtendedString &name) {
    return !name.IsEmpty() && (name.Value(1) <= ' ' || name.Value(name.Length()) <= ' ');
}

// "010" is the layer 10 in IGES, and 0 is none.
bool isLevel(const TCollection_ExtendedString &name, const std::set<int> &levels) {
    const TCollection_AsciiString text(name, '?');
    if (!text.IsIntegerValue() || text.Length() > 9) return false;
    const int level = text.IntegerValue();
    return level > 0 && text == TCollection_AsciiString(level) && levels.count(level) != 0;
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

Contents contentsOf(const Handle(TDocStd_Document) &document, const std::set<int> &levels) {
    Contents found;
    found.edgeColours = edgeColoursOf(document);
    const Handle(XCAFDoc_ShapeTool) shapes = XCAFDoc_DocumentTool::ShapeTool(document->Main());
    TDF_LabelSequence labels;
    shapes->GetShapes(labels);
    for (const TDF_Label &label : labels) {
        found.products++;
        found.names += !nameOf(label).IsEmpty();
        found.paddedNames += isPadded(nameOf(label));
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
        if (XCAFDoc_DocumentTool::LayerTool(document->Main())->GetLayer(layer, name)) found.otherLayers += !isLevel(name, levels);
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
    if (out == Format::Step && found.paddedNames > 0)
        job.host.loss("blanks at the ends of " + count(found.paddedNames, "name") + " left out: OpenCASCADE does not write them to STEP");
    lost(plain, found.colours, "colour", "colours", "the output format has no colours");
    lost(out == Format::Iges, found.edgeColours, "colour of edges", "colours of edges", "edges of faces have none in IGES");
    lost(out == Format::Iges, found.otherLayers, "layer", "layers", "IGES numbers its layers from 1, and OpenCASCADE writes those of solids and faces");
    lost(!exchange, found.layers, "layer", "layers", "the output format has no layers");
    lost(!(out == Format::Step && job.options.schema == "ap242"), found.annotations, "dimension or tolerance", "dimensions and tolerances",
         "only STEP with schema=ap242 has them");
    lost(out != Format::Step, found.materials, "material", "materials", "only STEP has them");
    lost(out == Format::Iges || out == Format::Stl, found.assemblies, "assembly", "assemblies", "the output is one flat model");
    lost(out == Format::Iges, reversedLooseFaces(shape), "side of a loose face", "sides of loose faces", "IGES has them for faces of shells, so these faces were turned");
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

void report(const Job &job, const Model &model, const Written &written) {
    const TopoDS_Shape shape = wholeShape(model.document);
    const Contents found = contentsOf(model.document, written.levels);
    const auto fact = [&](const char *name, uint64_t n) { job.host.fact(name, std::to_string(n)); };
    const Solids solids = solidsOf(job.out, shape, written.lost);
    fact("solids", solids.n);
    fact("shells", shellsOf(job.out, shape));
    fact("faces", facesOf(shape, written.lost));
    fact("products", found.products);
    fact("instances", found.instances);
    fact("names", found.names);
    fact("colours", found.colours);
    fact("layers", found.layers);
    if (isMesh(job.out)) fact("triangles", triangles(shape));
    job.host.fact("unit", job.out == Format::Glb || job.out == Format::Gltf ? "m" : job.options.unit.name);
    if (!model.inputUnit.empty()) job.host.fact("input-unit", model.inputUnit);
    reportLosses(job, found, shape);
    if (solids.open > 0) job.host.loss(count(solids.open, "solid is", "solids are") + " not closed, and a shell to " + (job.out == Format::Step ? "readers of STEP" : "some readers of IGES") + "; heal=fix may help");
    if (solids.separate > 0) job.host.loss(count(solids.separate, "solid", "solids") + " of shells beside each other became several");
}

} // namespace occt
