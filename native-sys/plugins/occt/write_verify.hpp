// Compares an output with surfaces with the model, before it becomes a file.
#pragma once

#include "model.hpp"

#include <IGESControl_Writer.hxx>
#include <STEPControl_Writer.hxx>

namespace occt {

// Throws Failure if a face, a border of a face or a solid has no entity. With lenient, that is reported as a loss, and
// the faces without one are returned.
Faces verifyStep(const Job &job, const Model &model, const STEPControl_Writer &writer);

// The same, lenient or not: IGES files without a part of a face are read by no program.
void verifyIges(const Job &job, const Model &model, const IGESControl_Writer &writer);

} // namespace occt
