// Owns the comparison of a STEP or IGES output with the model: each face must have become an entity with all of
// its borders, and each solid one as well.
//
// OpenCASCADE leaves out what it cannot turn into an entity (an edge without a curve takes the border with it,
// and the last border its face), notes a warning that is not shown, and calls the result a success. BREP has no
// checksums, so a single digit does that.
//
// Counted is by the number of borders, as a sum would not show a face that is written twice in place of another.
#include "write_verify.hpp"

#include <BRep_Tool.hxx>
#include <IGESData_IGESModel.hxx>
#include <IGESGeom_Line.hxx>
#include <IGESSolid_EdgeList.hxx>
#include <IGESSolid_Face.hxx>
#include <IGESSolid_Loop.hxx>
#include <IGESSolid_ManifoldSolid.hxx>
#include <IGESSolid_Shell.hxx>
#include <StepData_StepModel.hxx>
#include <StepShape_FaceSurface.hxx>
#include <StepShape_ManifoldSolidBrep.hxx>
#include <TDF_LabelSequence.hxx>
#include <TopExp_Explorer.hxx>
#include <TopTools_MapOfShape.hxx>
#include <TopoDS.hxx>
#include <TransferBRep.hxx>
#include <TransferBRep_ShapeMapper.hxx>
#include <Transfer_FinderProcess.hxx>
#include <XCAFDoc_DocumentTool.hxx>
#include <XCAFDoc_ShapeTool.hxx>
#include <XSControl_TransferWriter.hxx>
#include <XSControl_WorkSession.hxx>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace occt {
namespace {

bool isInner(const TopoDS_Shape &shape) { return shape.Orientation() == TopAbs_INTERNAL || shape.Orientation() == TopAbs_EXTERNAL; }

// How many borders a face has, and how many edges these have. The latter for IGES only: STEP gets a border with all
// of its edges or not at all, but a border that runs along an edge and back, as on a sphere, becomes a point.
using Outline = std::pair<int, int>;

struct Counts {
    std::map<Outline, uint64_t> faces;
    uint64_t solids = 0;
    uint64_t inner = 0; // Borders and edges that lie within a face. Neither format has these.
};

Outline outlineOf(const TopoDS_Shape &face, Format format, uint64_t &inner) {
    Outline outline;
    for (TopExp_Explorer it(face, TopAbs_WIRE); it.More(); it.Next()) {
        if (isInner(it.Current())) {
            inner++;
            continue;
        }
        int edges = 0;
        for (TopExp_Explorer edge(it.Current(), TopAbs_EDGE); edge.More(); edge.Next()) {
            inner += isInner(edge.Current());
            // STEP leaves an edge that is one point, as at the tip of a cone, to the surface.
            edges += !isInner(edge.Current()) && (format == Format::Iges || !BRep_Tool::Degenerated(TopoDS::Edge(edge.Current())));
        }
        outline.first += edges > 0;
        if (format == Format::Iges) outline.second += edges;
    }
    return outline;
}

void add(Counts &counts, const TopoDS_Shape &shape, Format format) {
    for (TopExp_Explorer it(shape, TopAbs_FACE); it.More(); it.Next()) counts.faces[outlineOf(it.Current(), format, counts.inner)]++;
    for (TopExp_Explorer it(shape, TopAbs_SOLID); it.More(); it.Next()) counts.solids += TopExp_Explorer(it.Current(), TopAbs_FACE).More();
}

uint64_t sum(const Counts &counts) {
    uint64_t n = 0;
    for (const auto &each : counts.faces) n += each.second;
    return n;
}

uint64_t missingFaces(const Counts &expected, const Counts &written) {
    uint64_t n = 0;
    for (const auto &each : expected.faces) {
        const auto found = written.faces.find(each.first);
        n += each.second - std::min(each.second, found == written.faces.end() ? 0 : found->second);
    }
    return n;
}

// An occurrence of a part is a reference to it, so each part is expected once.
std::vector<TopoDS_Shape> partsOf(const Model &model) {
    std::vector<TopoDS_Shape> parts;
    TDF_LabelSequence labels;
    XCAFDoc_DocumentTool::ShapeTool(model.document->Main())->GetShapes(labels);
    TopTools_MapOfShape seen;
    for (const TDF_Label &label : labels) {
        if (!XCAFDoc_ShapeTool::IsSimpleShape(label) || XCAFDoc_ShapeTool::IsReference(label)) continue;
        const TopoDS_Shape shape = XCAFDoc_ShapeTool::GetShape(label);
        if (!shape.IsNull() && seen.Add(shape)) parts.push_back(shape);
    }
    return parts;
}

Counts writtenToStep(const Handle(Interface_InterfaceModel) &model) {
    Counts counts;
    const Handle(Standard_Type) face = STANDARD_TYPE(StepShape_FaceSurface), solid = STANDARD_TYPE(StepShape_ManifoldSolidBrep);
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++) {
        const Handle(Standard_Transient) &entity = model->Value(i);
        if (entity->IsKind(face)) counts.faces[{static_cast<const StepShape_FaceSurface &>(*entity).NbBounds(), 0}]++;
        else counts.solids += entity->IsKind(solid);
    }
    return counts;
}

bool hasCurve(const Handle(IGESSolid_Loop) &loop, int edge) {
    if (loop->EdgeType(edge) == 1) return !loop->Edge(edge).IsNull();
    const auto list = Handle(IGESSolid_EdgeList)::DownCast(loop->Edge(edge));
    const int index = loop->ListIndex(edge);
    if (list.IsNull() || index < 1 || index > list->NbEdges() || list->StartVertexIndex(index) < 1 || list->EndVertexIndex(index) < 1) return false;
    // Readers refuse, or crash on, a line from a point to itself.
    const auto line = Handle(IGESGeom_Line)::DownCast(list->Curve(index));
    return line.IsNull() ? !list->Curve(index).IsNull() : line->StartPoint().SquareDistance(line->EndPoint()) > 0;
}

Outline outlineOf(const Handle(IGESSolid_Face) &face) {
    Outline outline;
    if (face->Surface().IsNull()) return {-1, 0};
    for (int i = 1; i <= face->NbLoops(); i++) {
        const Handle(IGESSolid_Loop) loop = face->Loop(i);
        if (loop.IsNull() || loop->NbEdges() == 0) continue;
        outline.first++;
        for (int j = 1; j <= loop->NbEdges(); j++) outline.second += hasCurve(loop, j);
    }
    return outline;
}

Counts writtenToIges(const Handle(Interface_InterfaceModel) &model) {
    Counts counts;
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++) {
        const Handle(Standard_Transient) entity = model->Value(i);
        if (const auto face = Handle(IGESSolid_Face)::DownCast(entity); !face.IsNull()) counts.faces[outlineOf(face)]++;
        counts.solids += entity->IsKind(STANDARD_TYPE(IGESSolid_ManifoldSolid));
    }
    return counts;
}

// Those without an entity. A face that only misses a border is there.
Faces lostFaces(const std::vector<TopoDS_Shape> &parts, const Handle(Transfer_FinderProcess) &process) {
    Faces lost;
    for (const TopoDS_Shape &part : parts)
        for (TopExp_Explorer it(part, TopAbs_FACE); it.More(); it.Next()) {
            Handle(StepShape_FaceSurface) entity;
            if (!process->FindTypedTransient(TransferBRep::ShapeMapper(process, it.Current()), STANDARD_TYPE(StepShape_FaceSurface), entity))
                lost.insert(it.Current().TShape().get());
        }
    return lost;
}

// What is missing, as a sentence, or nothing.
std::string missing(const Job &job, const std::vector<TopoDS_Shape> &parts, const Counts &written) {
    const std::string name = job.out == Format::Step ? "STEP" : "IGES";
    Counts expected;
    for (const TopoDS_Shape &part : parts) add(expected, part, job.out);
    if (expected.inner > 0) job.host.loss(count(expected.inner, "edge") + " within faces left out: " + name + " has only edges at their borders");
    const uint64_t faces = missingFaces(expected, written);
    const uint64_t solids = expected.solids - std::min(expected.solids, written.solids);
    std::string text;
    if (faces > 0) text = std::to_string(faces) + " of " + count(sum(expected), "face");
    if (solids > 0) text += (faces > 0 ? " and " : "") + std::to_string(solids) + " of " + count(expected.solids, "solid");
    if (!text.empty()) text += " could not be turned into " + name + ", or not with all edges";
    return text;
}

} // namespace

Faces verifyStep(const Job &job, const Model &model, const STEPControl_Writer &writer) {
    const Handle(XSControl_WorkSession) session = writer.WS();
    const std::vector<TopoDS_Shape> parts = partsOf(model);
    const std::string text = missing(job, parts, writtenToStep(session->Model()));
    if (text.empty()) return {};
    if (!job.options.lenient) fail(CADMILL_UNFIT, text + "; heal=fix may help, and lenient=yes writes the rest");
    job.host.loss(text);
    return lostFaces(parts, session->TransferWriter()->FinderProcess());
}

void verifyIges(const Job &job, const Model &model, const IGESControl_Writer &writer) {
    const std::string text = missing(job, {wholeShape(model.document)}, writtenToIges(writer.Model()));
    if (!text.empty()) fail(CADMILL_UNFIT, text + "; heal=fix may help");
}

} // namespace occt
