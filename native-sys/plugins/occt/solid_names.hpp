// The option names=solid.
#pragma once

#include "model.hpp"

#include <XSControl_WorkSession.hxx>

namespace occt {

// Notes the names of the solids that a STEP file has become, for nameAfterSolids().
void collectSolidNames(const Handle(XSControl_WorkSession) &session, Model &model);

// Names each part after the solid in it; a part with several solids becomes an assembly of them.
void nameAfterSolids(const Model &model);

} // namespace occt
