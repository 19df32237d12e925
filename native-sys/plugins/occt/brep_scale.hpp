// Placements with a scale in BREP.
#pragma once

#include "job.hpp"

#include <TopoDS_Shape.hxx>

namespace occt {

// The shape with its scaled and mirrored placements applied to the geometry. Throws Failure where one is within a
// solid or a face.
TopoDS_Shape withoutScales(const Job &job, const TopoDS_Shape &shape);

} // namespace occt
