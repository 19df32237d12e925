// The colours, visibility and layers of a STEP file.
#pragma once

#include "model.hpp"

#include <XSControl_WorkSession.hxx>

namespace occt {

// Styles that refer to nothing or to something else. They are taken out of the session, because OpenCASCADE follows
// what they refer to without looking. Those of shapes are findings, others a loss. Before the transfer.
void verifyStyles(const Job &job, const Handle(XSControl_WorkSession) &session, Findings &findings);

} // namespace occt
