// The structure of an assembly in a STEP file.
#pragma once

#include "model.hpp"

#include <XSControl_WorkSession.hxx>

namespace occt {

// Assemblies that contain themselves: OpenCASCADE follows them until the stack overflows, so these are refused
// before the transfer, lenient or not.
void verifyCycles(const Handle(XSControl_WorkSession) &session, Findings &findings);

// Occurrences whose two descriptions contradict each other.
void verifyOccurrences(const Handle(XSControl_WorkSession) &session, const std::string &file, Findings &findings);

// Parts that are placed with a scale or a mirror, which OpenCASCADE leaves out of the placement.
void verifyPlacements(const Handle(XSControl_WorkSession) &session, const std::string &file, Findings &findings);

} // namespace occt
