// The same order of entities on each run.
#pragma once

#include "job.hpp"

#include <IGESData_IGESModel.hxx>
#include <XSControl_WorkSession.hxx>

#include <set>
#include <string>

namespace occt {

// Of the STEP model in the session, which was filled from a document with these names.
void orderStep(const Handle(XSControl_WorkSession) &session, const std::set<std::string> &names, const Host &host);

void orderIges(const Handle(IGESData_IGESModel) &model);

} // namespace occt
