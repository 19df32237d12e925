// Owns the look for damaged numbers, for none of the formats has checksums. A file says several times where an edge
// is: by its curve in space, by its ends, and by its faces or by a curve on each of them. Where these are far apart, a
// number of them is wrong.
//
// OpenCASCADE's own check (BRepCheck_Analyzer) finds more and takes 20 to 60 % of a conversion to STEP; this looks at the
// ends of edges alone and takes about 1 %. A gap is a warning only, as sound files have some.
#include "edge_check.hpp"
#include "model.hpp"

#include <BRep_Tool.hxx>
#include <Geom2d_Curve.hxx>
#include <Geom_Curve.hxx>
#include <Geom_Surface.hxx>
#include <TopExp.hxx>
#include <TopExp_Explorer.hxx>
#include <TopTools_MapOfShape.hxx>
#include <TopoDS.hxx>
#include <TopoDS_Edge.hxx>
#include <TopoDS_Face.hxx>
#include <TopoDS_Vertex.hxx>

#include <algorithm>
#include <cmath>

namespace occt {
namespace {

// Of the tolerances that the file states. What is damaged is off by more than that.
constexpr double kGap = 10, kLeastTolerance = 1e-6;

// In mm. Numbers of 53 bits lie a tenth of a millimetre apart there.
constexpr double kFarthest = 1e15;

// The ends of an edge by its vertices.
struct Ends {
    gp_Pnt first, last;
    double tolerance = 0;
    bool areThere = false;
    bool arePlaces = true;
    bool arePassable = true; // OpenCASCADE refuses a curve that ends before it begins, whatever it is to do with it.

    explicit Ends(const TopoDS_Edge &edge) {
        TopoDS_Vertex begin, end;
        TopExp::Vertices(edge, begin, end);
        if (begin.IsNull() || end.IsNull()) return;
        first = BRep_Tool::Pnt(begin), last = BRep_Tool::Pnt(end);
        areThere = true;
        tolerance = std::max({BRep_Tool::Tolerance(edge), BRep_Tool::Tolerance(begin), BRep_Tool::Tolerance(end)});
    }
    bool fit(const gp_Pnt &atFirst, const gp_Pnt &atLast) {
        const double gap = std::max(first.Distance(atFirst), last.Distance(atLast));
        for (const gp_Pnt &end : {first, last, atFirst, atLast})
            arePlaces = arePlaces && std::max({std::fabs(end.X()), std::fabs(end.Y()), std::fabs(end.Z())}) <= kFarthest && end.SquareDistance(gp_Pnt()) >= 0;
        return gap <= kGap * std::max(tolerance, kLeastTolerance);
    }
};

bool isSound(const TopoDS_Edge &edge, Ends &ends) {
    Standard_Real from = 0, to = 0;
    const Handle(Geom_Curve) curve = BRep_Tool::Curve(edge, from, to);
    if (curve.IsNull() || std::isinf(from) || std::isinf(to)) return true; // It has one on its faces, or no end.
    ends.arePassable = ends.arePassable && from <= to;
    return ends.areThere && from < to && ends.fit(curve->Value(from), curve->Value(to));
}

bool isSoundOn(const TopoDS_Edge &edge, const TopoDS_Face &face, const Handle(Geom_Surface) &surface, Ends &ends) {
    Standard_Real from = 0, to = 0;
    const Handle(Geom2d_Curve) curve = BRep_Tool::CurveOnSurface(edge, face, from, to);
    if (curve.IsNull()) return true;
    ends.arePassable = ends.arePassable && from <= to;
    const auto at = [&](double parameter) {
        const gp_Pnt2d on = curve->Value(parameter);
        return surface->Value(on.X(), on.Y());
    };
    return ends.areThere && ends.fit(at(from), at(to));
}

} // namespace

void checkEdges(const Job &job, const TopoDS_Shape &shape) {
    TopTools_MapOfShape faces, edges, odd;
    uint64_t nowhere = 0, backward = 0;
    const auto itself = [](const TopoDS_Shape &used) { return used.Located(TopLoc_Location()).Oriented(TopAbs_FORWARD); };
    for (TopExp_Explorer each(shape, TopAbs_FACE); each.More(); each.Next()) {
        const TopoDS_Face face = TopoDS::Face(itself(each.Current()));
        if (!faces.Add(face)) continue; // A part that is used several times.
        const Handle(Geom_Surface) surface = BRep_Tool::Surface(face);
        for (TopExp_Explorer it(face, TopAbs_EDGE); it.More(); it.Next()) {
            const TopoDS_Edge &edge = TopoDS::Edge(it.Current());
            Ends ends(edge);
            bool sound = !surface.IsNull() && isSoundOn(edge, face, surface, ends) && ends.areThere;
            const bool isNew = edges.Add(itself(edge));
            if (sound && isNew && !BRep_Tool::Degenerated(edge)) sound = isSound(edge, ends);
            if (!sound) odd.Add(itself(edge));
            nowhere += !ends.arePlaces;
            backward += !ends.arePassable;
        }
    }
    if (nowhere > 0) reject(count(nowhere, "edge of a face is", "edges of faces are") + " at coordinates that are not numbers, or beyond 1e15 mm");
    Findings findings;
    if (backward > 0) findings.missing(count(backward, "edge of a face ends", "edges of faces end") + (backward == 1 ? " before it begins" : " before they begin"));
    findings.settle(job);
    if (!odd.IsEmpty())
        job.host.warn(std::to_string(odd.Extent()) + " of " + count(static_cast<uint64_t>(edges.Extent()), "edge") +
                      " end elsewhere than their faces do, so the file may be damaged");
}

} // namespace occt
