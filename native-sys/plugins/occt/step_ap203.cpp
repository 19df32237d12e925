// Owns the origin of an AP203 output. The schema asks who made and who approved each part, and when.
//
// OpenCASCADE takes the address of the machine from a name server, which is a forbidden system call here (rule
// R10), the user from the password file and the time from the clock. None of these belongs in a result: it would
// name a worker, and differ from run to run.
#include "step_ap203.hpp"

#include <STEPConstruct_ContextTool.hxx>
#include <STEPControl_ActorWrite.hxx>
#include <StepBasic_CalendarDate.hxx>
#include <StepBasic_CoordinatedUniversalTimeOffset.hxx>
#include <StepBasic_DateAndTime.hxx>
#include <StepBasic_LocalTime.hxx>
#include <StepBasic_Organization.hxx>
#include <StepBasic_Person.hxx>
#include <StepBasic_PersonAndOrganization.hxx>
#include <TCollection_HAsciiString.hxx>
#include <Transfer_ActorOfFinderProcess.hxx>
#include <XSControl_Controller.hxx>

namespace occt {
namespace {

// The writer has functions that set these, and keeps the object that has them to itself. An explicit instantiation
// may name a private member ([temp.spec] 6).
STEPConstruct_ContextTool &contextOf(STEPControl_ActorWrite &actor);
template <STEPConstruct_ContextTool STEPControl_ActorWrite::*context> struct Context {
    friend STEPConstruct_ContextTool &contextOf(STEPControl_ActorWrite &actor) { return actor.*context; }
};
template struct Context<&STEPControl_ActorWrite::myContext>;

Handle(TCollection_HAsciiString) text(const char *value) { return new TCollection_HAsciiString(value); }

Handle(StepBasic_PersonAndOrganization) unspecified() {
    Handle(StepBasic_Person) person = new StepBasic_Person;
    // One of the two names is mandatory.
    person->Init(text("unspecified"), Standard_True, text("Unspecified"), Standard_False, nullptr, Standard_False, nullptr, Standard_False,
                 nullptr, Standard_False, nullptr);
    Handle(StepBasic_Organization) organization = new StepBasic_Organization;
    organization->Init(Standard_False, nullptr, text("Unspecified"), text(""));
    Handle(StepBasic_PersonAndOrganization) both = new StepBasic_PersonAndOrganization;
    both->Init(person, organization);
    return both;
}

Handle(StepBasic_DateAndTime) epoch() {
    Handle(StepBasic_CalendarDate) date = new StepBasic_CalendarDate;
    date->Init(1970, 1, 1);
    Handle(StepBasic_CoordinatedUniversalTimeOffset) zone = new StepBasic_CoordinatedUniversalTimeOffset;
    zone->Init(0, Standard_False, 0, StepBasic_aobExact);
    Handle(StepBasic_LocalTime) time = new StepBasic_LocalTime;
    time->Init(0, Standard_True, 0, Standard_False, 0, zone);
    Handle(StepBasic_DateAndTime) both = new StepBasic_DateAndTime;
    both->Init(date, time);
    return both;
}

} // namespace

void setUnspecifiedOrigin(const Handle(XSControl_WorkSession) &session) {
    const auto actor = Handle(STEPControl_ActorWrite)::DownCast(session->NormAdaptor()->ActorWrite());
    if (actor.IsNull()) return;
    STEPConstruct_AP203Context &origin = contextOf(*actor).AP203Context();
    origin.SetDefaultPersonAndOrganization(unspecified());
    origin.SetDefaultDateAndTime(epoch());
}

} // namespace occt
