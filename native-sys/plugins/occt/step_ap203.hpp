// The persons and dates that AP203 asks for.
#pragma once

#include <XSControl_WorkSession.hxx>

namespace occt {

// Has the session write an unspecified person and organization, and the beginning of 1970. Before the transfer.
void setUnspecifiedOrigin(const Handle(XSControl_WorkSession) &session);

} // namespace occt
