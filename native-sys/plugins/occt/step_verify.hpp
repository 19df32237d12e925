// Compares a STEP file with what OpenCASCADE made of it.
#pragma once

#include "model.hpp"

#include <Interface_InterfaceModel.hxx>
#include <StepRepr_MappedItem.hxx>
#include <XSControl_WorkSession.hxx>

namespace occt {

// "#12 (AdvancedFace)"
std::string nameOfEntity(const Handle(Interface_InterfaceModel) &model, const Handle(Standard_Transient) &entity);

// A mapped item also places texts and symbols.
bool placesShapes(const Handle(StepRepr_MappedItem) &item);

// Entities that could not be loaded. Before the transfer. Those without influence on shapes, e.g. texts, are a loss.
// Returns whether properties, dimensions or materials are among these: OpenCASCADE crashes on half of one.
bool verifyLoad(const Job &job, const Handle(XSControl_WorkSession) &session, const std::string &file, Findings &findings);

// Solids, faces, products and occurrences without a shape, and failures of the transfer.
void verifyTransfer(const Handle(XSControl_WorkSession) &session, const std::string &file, Findings &findings);

} // namespace occt
