// Whether a model makes sense in space.
#pragma once

#include "job.hpp"

#include <TopoDS_Shape.hxx>

namespace occt {

// Warns of edges that are not where their ends and their faces are. Throws Failure if one is at no place, or ends
// before it begins.
void checkEdges(const Job &job, const TopoDS_Shape &shape);

} // namespace occt
