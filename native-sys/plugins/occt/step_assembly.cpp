// Owns the check of the structure of an assembly. A STEP file says twice which part lies in which assembly:
// by products (NEXT_ASSEMBLY_USAGE_OCCURRENCE) and by their representations (the relationship in
// CONTEXT_DEPENDENT_SHAPE_REPRESENTATION). OpenCASCADE believes the first; a damaged reference in it gives
// another part, or fewer, without an error.
#include "step_assembly.hpp"
#include "step_verify.hpp"

#include <Interface_InterfaceModel.hxx>
#include <StepBasic_ProductDefinition.hxx>
#include <StepRepr_CharacterizedDefinition.hxx>
#include <StepRepr_NextAssemblyUsageOccurrence.hxx>
#include <StepRepr_ProductDefinitionShape.hxx>
#include <StepRepr_Representation.hxx>
#include <StepRepr_RepresentationRelationshipWithTransformation.hxx>
#include <StepRepr_RepresentedDefinition.hxx>
#include <StepRepr_ShapeRepresentationRelationship.hxx>
#include <StepShape_ContextDependentShapeRepresentation.hxx>
#include <StepShape_ShapeDefinitionRepresentation.hxx>

#include <algorithm>
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

} // namespace occt
