// Owns the check of the structure of an assembly. A STEP file says twice which part lies in which assembly:
// by products (NEXT_ASSEMBLY_USAGE_OCCURRENCE) and by their representations (the relationship in
// CONTEXT_DEPENDENT_SHAPE_REPRESENTATION). OpenCASCADE believes the first; a damaged reference in it gives
// another part, or fewer, without an error.
#include "step_assembly.hpp"
#include "step_verify.hpp"

#include <Interface_InterfaceModel.hxx>
#include <StepBasic_ProductDefinition.hxx>
#include <StepGeom_CartesianTransformationOperator3d.hxx>
#include <StepGeom_Direction.hxx>
#include <StepRepr_CharacterizedDefinition.hxx>
#include <StepRepr_FunctionallyDefinedTransformation.hxx>
#include <StepRepr_MappedItem.hxx>
#include <StepRepr_NextAssemblyUsageOccurrence.hxx>
#include <StepRepr_ProductDefinitionShape.hxx>
#include <StepRepr_Representation.hxx>
#include <StepRepr_RepresentationRelationshipWithTransformation.hxx>
#include <StepRepr_RepresentedDefinition.hxx>
#include <StepRepr_ShapeRepresentationRelationship.hxx>
#include <StepRepr_Transformation.hxx>
#include <StepShape_ContextDependentShapeRepresentation.hxx>
#include <StepShape_ShapeDefinitionRepresentation.hxx>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace occt {
namespace {

using Entity = const Standard_Transient *;
using Links = std::unordered_map<Entity, std::vector<Entity>>;

template <class Type, class Visit> void each(const Handle(Interface_InterfaceModel) &model, Visit visit) {
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++)
        if (const Handle(Type) entity = Handle(Type)::DownCast(model->Value(i)); !entity.IsNull()) visit(entity);
}

Handle(Standard_Transient) definitionOf(const Handle(StepRepr_PropertyDefinition) &shape) {
    return shape.IsNull() ? Handle(Standard_Transient)() : shape->Definition().Value();
}

// Representations of each product, and those that a relationship without a transformation joins to them.
class Representations {
public:
    explicit Representations(const Handle(Interface_InterfaceModel) &model) {
        std::unordered_set<Entity> placing;
        each<StepShape_ContextDependentShapeRepresentation>(model, [&](const auto &place) { placing.insert(place->RepresentationRelation().get()); });
        each<StepShape_ShapeDefinitionRepresentation>(model, [&](const auto &shape) {
            const Handle(Standard_Transient) product = definitionOf(shape->Definition().PropertyDefinition());
            if (!product.IsNull() && !shape->UsedRepresentation().IsNull()) own_[product.get()].push_back(shape->UsedRepresentation().get());
        });
        each<StepRepr_RepresentationRelationship>(model, [&](const auto &relation) {
            if (placing.count(relation.get()) || relation->IsKind(STANDARD_TYPE(StepRepr_RepresentationRelationshipWithTransformation))) return;
            if (relation->Rep1().IsNull() || relation->Rep2().IsNull()) return;
            joined_[relation->Rep1().get()].push_back(relation->Rep2().get());
            joined_[relation->Rep2().get()].push_back(relation->Rep1().get());
        });
    }

    bool any(Entity product) const { return own_.count(product) != 0; }

    bool has(Entity product, Entity representation) const {
        std::vector<Entity> waiting = own_.at(product);
        std::unordered_set<Entity> seen(waiting.begin(), waiting.end());
        while (!waiting.empty()) {
            const Entity one = waiting.back();
            waiting.pop_back();
            if (one == representation) return true;
            const auto next = joined_.find(one);
            if (next == joined_.end()) continue;
            for (Entity other : next->second)
                if (seen.insert(other).second) waiting.push_back(other);
        }
        return false;
    }

private:
    Links own_, joined_;
};

// Of the three axes, as far as the file has them: an axis that is missing makes no mirror.
bool isMirror(const StepGeom_CartesianTransformationOperator3d &place) {
    std::array<std::array<double, 3>, 3> axes;
    const Handle(StepGeom_Direction) given[] = {place.Axis1(), place.Axis2(), place.Axis3()};
    for (size_t i = 0; i < 3; i++) {
        if (given[i].IsNull() || given[i]->NbDirectionRatios() < 3) return false;
        for (size_t j = 0; j < 3; j++) axes[i][j] = given[i]->DirectionRatiosValue(static_cast<Standard_Integer>(j) + 1);
    }
    const auto minor = [&](size_t j, size_t k) { return axes[1][j] * axes[2][k] - axes[1][k] * axes[2][j]; };
    return axes[0][0] * minor(1, 2) - axes[0][1] * minor(0, 2) + axes[0][2] * minor(0, 1) < 0;
}

// "a scale of 2", "a mirror", or nothing.
std::string lostOf(const Handle(Standard_Transient) &operation) {
    const auto place = Handle(StepGeom_CartesianTransformationOperator3d)::DownCast(operation);
    if (place.IsNull()) return "";
    if (place->HasScale() && !(std::fabs(place->Scale() - 1) <= 1e-9)) return "a scale of " + std::string(TCollection_AsciiString(place->Scale()).ToCString());
    return isMirror(*place) ? "a mirror" : "";
}

} // namespace

void verifyCycles(const Handle(XSControl_WorkSession) &session, Findings &findings) {
    const Handle(Interface_InterfaceModel) model = session->Model();
    Links products, representations;
    each<StepRepr_NextAssemblyUsageOccurrence>(model, [&](const auto &use) {
        if (!use->RelatingProductDefinition().IsNull() && !use->RelatedProductDefinition().IsNull())
            products[use->RelatingProductDefinition().get()].push_back(use->RelatedProductDefinition().get());
    });
    each<StepShape_ContextDependentShapeRepresentation>(model, [&](const auto &place) {
        const Handle(StepRepr_RepresentationRelationship) relation = place->RepresentationRelation();
        if (!relation.IsNull() && !relation->Rep1().IsNull() && !relation->Rep2().IsNull())
            representations[relation->Rep1().get()].push_back(relation->Rep2().get());
    });
    // Those all of whose parts are known to end are taken away, until only those in cycles are left.
    for (Links *links : {&products, &representations}) {
        for (bool shrinks = true; shrinks;) {
            shrinks = false;
            for (auto it = links->begin(); it != links->end();) {
                const bool ends = std::none_of(it->second.begin(), it->second.end(), [&](Entity part) { return links->count(part) != 0; });
                it = ends ? links->erase(it) : std::next(it);
                shrinks = shrinks || ends;
            }
        }
    }
    const size_t n = std::max(products.size(), representations.size());
    if (n > 0) findings.missing(count(n, "assembly contains itself", "assemblies contain themselves"));
}

void verifyOccurrences(const Handle(XSControl_WorkSession) &session, const std::string &file, Findings &findings) {
    const Handle(Interface_InterfaceModel) model = session->Model();
    const Representations representations(model);
    uint64_t contradictions = 0;
    std::string first;
    each<StepShape_ContextDependentShapeRepresentation>(model, [&](const auto &place) {
        const Handle(StepRepr_RepresentationRelationship) relation = place->RepresentationRelation();
        const auto use = Handle(StepRepr_NextAssemblyUsageOccurrence)::DownCast(definitionOf(place->RepresentedProductRelation()));
        if (relation.IsNull() || use.IsNull()) return;
        const Entity one = relation->Rep1().get(), other = relation->Rep2().get();
        const Entity whole = use->RelatingProductDefinition().get(), part = use->RelatedProductDefinition().get();
        if (!representations.any(whole) || !representations.any(part)) return;
        // Systems disagree on which of the two comes first.
        if (representations.has(part, one) && representations.has(whole, other)) return;
        if (representations.has(part, other) && representations.has(whole, one)) return;
        if (contradictions++ == 0) first = nameOfEntity(model, use);
    });
    if (contradictions > 0)
        findings.missing(file + count(contradictions, "occurrence of a part is", "occurrences of parts are") + " at odds with the representation" +
                         (contradictions > 1 ? "s" : "") + ", the first of them " + first);
}

void verifyPlacements(const Handle(XSControl_WorkSession) &session, const std::string &file, Findings &findings) {
    const Handle(Interface_InterfaceModel) model = session->Model();
    std::unordered_set<Entity> seen;
    std::string first;
    const auto check = [&](const Handle(Standard_Transient) &operation) {
        const std::string lost = lostOf(operation);
        if (lost.empty() || !seen.insert(operation.get()).second) return;
        if (first.empty()) first = nameOfEntity(model, operation) + " with " + lost;
    };
    each<StepRepr_MappedItem>(model, [&](const auto &item) {
        if (placesShapes(item)) check(item->MappingTarget());
    });
    each<StepRepr_RepresentationRelationshipWithTransformation>(model, [&](const auto &relation) { check(relation->TransformationOperator().Value()); });
    if (!seen.empty())
        findings.missing(file + count(seen.size(), "placement has", "placements have") + " a scale or a mirror, which OpenCASCADE leaves out: " +
                         (seen.size() == 1 ? "" : "the first is ") + first);
}

} // namespace occt
