// Owns the look for damaged numbers in BREP, which has no checksums. The file says several times where an edge is:
// by its curve in space, by a curve on each of its faces and by its ends. Where these are far apart, a number of them
// is wrong.
//
// OpenCASCADE's own check (BRepCheck_Analyzer) finds more and takes 20 to 60 % of a conversion to STEP; this looks at the
// ends of edges alone and takes about 1 %. A warning only: sound files have gaps too.
#include "brep_check.hpp"

#include <BRep_Tool.hxx>
#include <Geom2d_Curve.hxx>
#include <Geom_Curve.hxx>
#include <Geom_Surface.hxx>
#include <TopExp.hxx>
#include <TopExp_Explorer.hxx>
#include <TopTools_IndexedMapOfShape.hxx>
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

bool isNear(const gp_Pnt &one, const gp_Pnt &other, double tolerance) {
    return one.Distance(other) <= kGap * std::max(tolerance, kLeastTolerance); // Not if one is not a number.
}

// The ends of an edge by its vertices; false if there are none.
struct Ends {
    gp_Pnt first, last;
    double tolerance = 0;

    bool read(const TopoDS_Edge &edge) {
        TopoDS_Vertex begin, end;
        TopExp::Vertices(edge, begin, end);
        if (begin.IsNull() || end.IsNull()) return false;
        first = BRep_Tool::Pnt(begin), last = BRep_Tool::Pnt(end);
        tolerance = std::max({BRep_Tool::Tolerance(edge), BRep_Tool::Tolerance(begin), BRep_Tool::Tolerance(end)});
        return true;
    }
    bool fit(const gp_Pnt &atFirst, const gp_Pnt &atLast) const { return isNear(first, atFirst, tolerance) && isNear(last, atLast, tolerance); }
};

bool isSound(const TopoDS_Edge &edge) {
    if (BRep_Tool::Degenerated(edge)) return true;
    Standard_Real from = 0, to = 0;
    const Handle(Geom_Curve) curve = BRep_Tool::Curve(edge, from, to);
    if (curve.IsNull() || std::isinf(from) || std::isinf(to)) return true; // It has one on its faces, or no end.
    Ends ends;
    return from < to && ends.read(edge) && ends.fit(curve->Value(from), curve->Value(to));
}

bool isSoundOn(const TopoDS_Edge &edge, const TopoDS_Face &face) {
    Standard_Real from = 0, to = 0;
    const Handle(Geom2d_Curve) curve = BRep_Tool::CurveOnSurface(edge, face, from, to);
    const Handle(Geom_Surface) surface = BRep_Tool::Surface(face);
    if (curve.IsNull() || surface.IsNull()) return !surface.IsNull();
    const auto at = [&](double parameter) {
        const gp_Pnt2d on = curve->Value(parameter);
        return surface->Value(on.X(), on.Y());
    };
    Ends ends;
    return ends.read(edge) && ends.fit(at(from), at(to));
}

// Each once, wherever it is used.
TopTools_IndexedMapOfShape distinct(const TopoDS_Shape &shape, TopAbs_ShapeEnum kind) {
    TopTools_IndexedMapOfShape found;
    for (TopExp_Explorer it(shape, kind); it.More(); it.Next()) found.Add(it.Current().Located(TopLoc_Location()).Oriented(TopAbs_FORWARD));
    return found;
}

} // namespace

void checkEdges(const Job &job, const TopoDS_Shape &shape) {
    const TopTools_IndexedMapOfShape edges = distinct(shape, TopAbs_EDGE), faces = distinct(shape, TopAbs_FACE);
    TopTools_IndexedMapOfShape odd;
    for (Standard_Integer i = 1; i <= edges.Extent(); i++)
        if (!isSound(TopoDS::Edge(edges(i)))) odd.Add(edges(i));
    for (Standard_Integer i = 1; i <= faces.Extent(); i++)
        for (TopExp_Explorer it(faces(i), TopAbs_EDGE); it.More(); it.Next())
            if (!isSoundOn(TopoDS::Edge(it.Current()), TopoDS::Face(faces(i)))) odd.Add(it.Current().Located(TopLoc_Location()));
    if (!odd.IsEmpty())
        job.host.warn(std::to_string(odd.Extent()) + " of " + count(static_cast<uint64_t>(edges.Extent()), "edge") +
                      " end elsewhere than their faces do, so the file may be damaged");
}

} // namespace occt
