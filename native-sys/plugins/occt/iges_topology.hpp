// The borders of solids in an IGES file, and its coordinates.
#pragma once

#include <Interface_InterfaceModel.hxx>

#include <vector>

namespace occt {

// Solids, shells, faces, loops and lists of edges that refer to what is not there, or is of another type.
std::vector<Handle(Standard_Transient)> brokenTopology(const Handle(Interface_InterfaceModel) &model);

// Points, lines, splines and lists of vertices with coordinates that are not numbers, or beyond 1e15.
std::vector<Handle(Standard_Transient)> farPoints(const Handle(Interface_InterfaceModel) &model);

} // namespace occt
