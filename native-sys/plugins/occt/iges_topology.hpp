// The borders of solids in an IGES file.
#pragma once

#include <Interface_InterfaceModel.hxx>

#include <vector>

namespace occt {

// Solids, shells, faces, loops and lists of edges that refer to what is not there, or is of another type.
std::vector<Handle(Standard_Transient)> brokenTopology(const Handle(Interface_InterfaceModel) &model);

} // namespace occt
