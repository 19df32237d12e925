// Owns placements of BREP that scale or mirror. OpenCASCADE reads them, and its writers of STEP and IGES leave the
// scale out, as it does itself where it asks a placement for its angle. So the geometry is scaled instead, which
// leaves placements that only move.
#include "brep_scale.hpp"

#include <BRepBuilderAPI_Transform.hxx>
#include <BRep_CurveRepresentation.hxx>
#include <BRep_ListIteratorOfListOfCurveRepresentation.hxx>
#include <BRep_Builder.hxx>
#include <BRep_TEdge.hxx>
#include <BRep_TFace.hxx>
#include <TopTools_DataMapOfShapeShape.hxx>
#include <TopoDS_Iterator.hxx>

#include <cmath>
#include <unordered_set>

namespace occt {
namespace {

constexpr double kSame = 1e-9; // The text of a file rounds.

bool isScaled(const TopLoc_Location &place) { return !place.IsIdentity() && !(std::fabs(place.Transformation().ScaleFactor() - 1) <= kSame); }

// Whether there is one at all, for most files have none.
class Search {
public:
    bool anywhere(const TopoDS_Shape &shape) {
        if (isScaled(shape.Location())) return true;
        if (!seen_.insert(shape.TShape().get()).second) return false;
        if (shape.ShapeType() == TopAbs_FACE && isScaled(static_cast<const BRep_TFace &>(*shape.TShape()).Location())) return true;
        if (shape.ShapeType() == TopAbs_EDGE)
            for (BRep_ListIteratorOfListOfCurveRepresentation it(static_cast<const BRep_TEdge &>(*shape.TShape()).Curves()); it.More(); it.Next())
                if (isScaled(it.Value()->Location())) return true;
        for (TopoDS_Iterator it(shape, Standard_False, Standard_False); it.More(); it.Next())
            if (anywhere(it.Value())) return true;
        return false;
    }

private:
    std::unordered_set<const TopoDS_TShape *> seen_;
};

// Compounds hold their parts by themselves. Parts of anything else share edges, which have to stay the same.
class Scaling {
public:
    explicit Scaling(const Job &job) : job_(job) {}

    TopoDS_Shape apply(const TopoDS_Shape &shape) {
        const TopLoc_Location place = shape.Location();
        const TopoDS_Shape itself = own(shape.Located(TopLoc_Location()).Oriented(TopAbs_FORWARD));
        if (!isScaled(place)) return itself.Located(place).Oriented(TopAbs::Compose(itself.Orientation(), shape.Orientation()));
        const TopoDS_Shape key = shape.Oriented(TopAbs_FORWARD);
        if (!scaled_.IsBound(key)) {
            job_.host.throwIfCancelled();
            scaled_.Bind(key, BRepBuilderAPI_Transform(itself, place.Transformation(), Standard_True).Shape());
        }
        const TopoDS_Shape &result = scaled_.Find(key);
        return result.Oriented(TopAbs::Compose(result.Orientation(), shape.Orientation()));
    }

private:
    TopoDS_Shape own(const TopoDS_Shape &shape) {
        if (own_.IsBound(shape)) return own_.Find(shape);
        TopoDS_Shape result = shape;
        if (Search().anywhere(shape)) {
            if (shape.ShapeType() != TopAbs_COMPOUND)
                fail(CADMILL_UNFIT, "a part within a solid, a shell or a face is placed with a scale, which OpenCASCADE cannot convert; "
                                    "apply the scale to the geometry in the system that wrote the file");
            result = shape.EmptyCopied();
            for (TopoDS_Iterator it(shape, Standard_False, Standard_False); it.More(); it.Next()) BRep_Builder().Add(result, apply(it.Value()));
        }
        own_.Bind(shape, result);
        return result;
    }

    const Job &job_;
    TopTools_DataMapOfShapeShape own_, scaled_;
};

} // namespace

TopoDS_Shape withoutScales(const Job &job, const TopoDS_Shape &shape) {
    return Search().anywhere(shape) ? Scaling(job).apply(shape) : shape;
}

} // namespace occt
