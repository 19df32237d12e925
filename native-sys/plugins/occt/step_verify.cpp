// Owns the comparison of entities with shapes: each solid, face and occurrence in the file must have become one.
#include "step_verify.hpp"

#include <Interface_Check.hxx>
#include <Interface_InterfaceModel.hxx>
#include <StepBasic_Product.hxx>
#include <StepBasic_ProductDefinition.hxx>
#include <StepBasic_ProductDefinitionFormation.hxx>
#include <StepRepr_MappedItem.hxx>
#include <StepRepr_NextAssemblyUsageOccurrence.hxx>
#include <StepShape_FaceSurface.hxx>
#include <StepShape_ManifoldSolidBrep.hxx>
#include <StepRepr_Representation.hxx>
#include <StepRepr_RepresentationItem.hxx>
#include <StepRepr_RepresentationMap.hxx>
#include <StepShape_ShapeRepresentation.hxx>
#include <StepShape_SolidModel.hxx>
#include <StepShape_ShellBasedSurfaceModel.hxx>
#include <StepData_StepModel.hxx>
#include <TopExp_Explorer.hxx>
#include <TransferBRep.hxx>
#include <Transfer_Binder.hxx>
#include <Transfer_TransientProcess.hxx>
#include <XSControl_TransferReader.hxx>

#include <algorithm>
#include <unordered_set>

namespace occt {
namespace {

// "2 solids, the first #12 (ManifoldSolidBrep)"
struct Tally {
    uint64_t n = 0;
    std::string first;
    void add(std::string name) {
        if (n++ == 0) first = std::move(name);
    }
    void tell(const std::string &file, const char *noun, const char *plural, const std::string &what, Findings &findings) const {
        if (n == 0) return;
        findings.missing(file + count(n, noun, plural) + " " + what + (n == 1 ? ": " : ", the first of them ") + first);
    }
};

// Whether a solid, its place or its size may hang on an entity of the type. Sound files of real systems have
// faults in what does not matter here: annotations, dates, persons.
bool shapesDependOn(const std::string &type) {
    const auto begins = [&](const char *with) { return type.rfind(with, 0) == 0; };
    const auto holds = [&](const char *what) { return type.find(what) != std::string::npos; };
    // A list of items. That each solid in it has been made is checked after the transfer.
    const size_t last = type.rfind("Representation");
    if (last != std::string::npos && last + 14 == type.size() && !holds("Definition") && !holds("ContextDependent")) return false;
    if (begins("StepShape_") || begins("StepGeom_")) return true;
    if (begins("StepBasic_")) return holds("Product") || holds("Unit") || holds("Measure") || holds("Document");
    if (begins("StepRepr_")) return !holds("DescriptiveRepresentationItem") && !holds("PropertyDefinition");
    // An entity of unknown type or content, which anything may refer to.
    return !begins("StepVisual_") && !begins("StepAP2") && !begins("StepDimTol_") && !begins("StepKinematics_");
}

// Items of representations that are no shapes: views on drawings, which show solids by mapped items.
std::unordered_set<const Standard_Transient *> itemsOfDrawings(const Handle(Interface_InterfaceModel) &model) {
    std::unordered_set<const Standard_Transient *> items;
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++) {
        const auto each = Handle(StepRepr_Representation)::DownCast(model->Value(i));
        if (each.IsNull() || each->IsKind(STANDARD_TYPE(StepShape_ShapeRepresentation))) continue;
        for (Standard_Integer j = 1; j <= each->NbItems(); j++) items.insert(each->ItemsValue(j).get());
    }
    return items;
}

// ", of the part 'bolt'"
std::string partOf(const Handle(StepRepr_NextAssemblyUsageOccurrence) &use) {
    const Handle(StepBasic_ProductDefinition) part = use->RelatedProductDefinition();
    if (part.IsNull() || part->Formation().IsNull() || part->Formation()->OfProduct().IsNull()) return "";
    const Handle(StepBasic_Product) product = part->Formation()->OfProduct();
    const Handle(TCollection_HAsciiString) name = product->Name().IsNull() || product->Name()->IsEmpty() ? product->Id() : product->Name();
    return name.IsNull() ? "" : std::string(", of the part '") + name->ToCString() + "'";
}

bool has(const TopoDS_Shape &shape, TopAbs_ShapeEnum kind) {
    return !shape.IsNull() && TopExp_Explorer(shape, kind).More();
}

} // namespace

std::string nameOfEntity(const Handle(Interface_InterfaceModel) &model, const Handle(Standard_Transient) &entity) {
    if (entity.IsNull()) return "an entity that does not exist";
    const Handle(TCollection_HAsciiString) label = model->StringLabel(entity);
    std::string type = entity->DynamicType()->Name();
    const size_t underscore = type.find('_');
    if (underscore != std::string::npos) type.erase(0, underscore + 1);
    return (label.IsNull() ? std::string("?") : std::string(label->ToCString())) + " (" + type + ")";
}

bool placesShapes(const Handle(StepRepr_MappedItem) &item) {
    const Handle(StepRepr_RepresentationMap) source = item->MappingSource();
    if (source.IsNull() || source->MappedRepresentation().IsNull()) return false;
    const Handle(StepRepr_Representation) mapped = source->MappedRepresentation();
    for (Standard_Integer i = 1; i <= mapped->NbItems(); i++) {
        const Handle(StepRepr_RepresentationItem) each = mapped->ItemsValue(i);
        if (!each.IsNull() && (each->IsKind(STANDARD_TYPE(StepShape_SolidModel)) || each->IsKind(STANDARD_TYPE(StepShape_ShellBasedSurfaceModel))))
            return true;
    }
    return false;
}

bool verifyLoad(const Job &job, const Handle(XSControl_WorkSession) &session, const std::string &file, Findings &findings) {
    const Handle(Interface_InterfaceModel) model = session->Model();
    Tally failed, others;
    bool attributes = false;
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++) {
        const Handle(Interface_Check) check = model->Check(i, Standard_True);
        if (model->IsErrorEntity(i) || (!check.IsNull() && check->HasFailed())) {
            std::string text = nameOfEntity(model, model->Value(i));
            for (Standard_Integer j = 1; !check.IsNull() && j <= std::min(check->NbFails(), 3); j++) text += std::string(", ") + check->CFail(j);
            const std::string type = model->Value(i)->DynamicType()->Name();
            // A representation without its context has lost its units.
            const bool vital = shapesDependOn(type) || text.find("context_of_items") != std::string::npos;
            (vital ? failed : others).add(text);
            attributes = attributes || (!vital && type.rfind("StepVisual_", 0) != 0);
        }
    }
    failed.tell(file, "entity", "entities", "cannot be loaded", findings);
    if (others.n > 0)
        job.host.loss(file + count(others.n, "entity", "entities") + " without influence on shapes left out, the first of them " + others.first);
    return attributes;
}

void verifyTransfer(const Handle(XSControl_WorkSession) &session, const std::string &file, Findings &findings) {
    const Handle(Interface_InterfaceModel) model = session->Model();
    const Handle(Transfer_TransientProcess) process = session->TransferReader()->TransientProcess();
    const std::unordered_set<const Standard_Transient *> drawn = itemsOfDrawings(model);
    Tally solids, faces, occurrences, surfaces, failed;
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++) {
        const Handle(Standard_Transient) entity = model->Value(i);
        const auto shape = [&] { return TransferBRep::ShapeResult(process, entity); };
        const auto name = [&] { return nameOfEntity(model, entity); };
        if (entity->IsKind(STANDARD_TYPE(StepShape_ManifoldSolidBrep))) {
            if (!has(shape(), TopAbs_SOLID)) solids.add(name());
        } else if (entity->IsKind(STANDARD_TYPE(StepShape_ShellBasedSurfaceModel))) {
            if (!has(shape(), TopAbs_FACE)) surfaces.add(name());
        } else if (entity->IsKind(STANDARD_TYPE(StepShape_FaceSurface))) {
            if (!has(shape(), TopAbs_FACE)) faces.add(name());
        } else if (const auto use = Handle(StepRepr_NextAssemblyUsageOccurrence)::DownCast(entity); !use.IsNull()) {
            if (shape().IsNull()) occurrences.add(name() + partOf(use));
        } else if (const auto mapped = Handle(StepRepr_MappedItem)::DownCast(entity); !mapped.IsNull()) {
            if (shape().IsNull() && drawn.count(entity.get()) == 0 && placesShapes(mapped)) occurrences.add(name());
        }
    }
    for (Standard_Integer i = 1; i <= process->NbMapped(); i++) {
        const Handle(Transfer_Binder) binder = process->MapItem(i);
        if (binder.IsNull() || !binder->Check()->HasFailed()) continue;
        failed.add(nameOfEntity(model, process->Mapped(i)) + ", " + binder->Check()->CFail(1));
    }
    solids.tell(file, "solid", "solids", "could not be made", findings);
    surfaces.tell(file, "surface model", "surface models", "could not be made", findings);
    faces.tell(file, "face", "faces", "could not be made", findings);
    occurrences.tell(file, "occurrence of a part", "occurrences of parts", "could not be placed", findings);
    failed.tell(file, "entity", "entities", "could not be converted", findings);
}

} // namespace occt
