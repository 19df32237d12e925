// Owns the order of entities in STEP and IGES outputs. OpenCASCADE writes colours, materials and properties in
// the order of a hash table of addresses, which differ from process to process, and numbers products without a
// name by a counter that outlives a conversion.
//
// The shapes come in a stable order. So what hangs on them is sorted by the first shape that it refers to.
#include "canonical.hpp"

#include <IGESBasic_Name.hxx>
#include <IGESData_Protocol.hxx>
#include <IGESGraph_Color.hxx>
#include <IGESSelect_WorkLibrary.hxx>
#include <Interface_EntityIterator.hxx>
#include <Interface_Graph.hxx>
#include <StepBasic_Product.hxx>
#include <StepBasic_ProductRelatedProductCategory.hxx>
#include <StepData_StepModel.hxx>
#include <StepRepr_NextAssemblyUsageOccurrence.hxx>
#include <StepShape_ContextDependentShapeRepresentation.hxx>
#include <StepShape_ShapeDefinitionRepresentation.hxx>
#include <Standard_Version.hxx>
#include <TCollection_HAsciiString.hxx>

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace occt {
namespace {

using Number = Standard_Integer;

// The entities of a model by number, and what refers to what.
class Order {
public:
    Order(const Handle(Interface_InterfaceModel) &model, const Interface_Graph &graph, const Host &host)
        : model_(model), graph_(graph), host_(host), shape_(static_cast<size_t>(model->NbEntities()) + 1), done_(shape_.size()) {}

    std::vector<Handle(Standard_Transient)> sorted() {
        markShapes();
        std::vector<Handle(Standard_Transient)> result;
        for (Number i = 1; i <= model_->NbEntities(); i++)
            if (shape_[i]) result.push_back(model_->Value(i)), done_[i] = true;
        std::vector<std::tuple<std::string, Number, Number>> roots;
        for (Number i = 1; i <= model_->NbEntities(); i++)
            if (!shape_[i] && graph_.Sharings(model_->Value(i)).NbEntities() == 0)
                roots.emplace_back(model_->Value(i)->DynamicType()->Name(), firstShape(i), i);
        std::sort(roots.begin(), roots.end());
        for (const auto &root : roots) append(std::get<2>(root), result);
        // Cycles without a root.
        for (Number i = 1; i <= model_->NbEntities(); i++)
            if (!done_[i]) append(i, result);
        return result;
    }

private:
    std::vector<Number> references(Number i) const {
        std::vector<Number> numbers;
        Interface_EntityIterator it = graph_.Shareds(model_->Value(i));
        for (it.Start(); it.More(); it.Next())
            if (const Number n = model_->Number(it.Value()); n > 0) numbers.push_back(n);
        return numbers;
    }

    // Visits what can be reached without a recursion.
    template <class Visit> void walk(Number from, Visit visit) const {
        std::vector<Number> waiting{from};
        while (!waiting.empty()) {
            const Number i = waiting.back();
            waiting.pop_back();
            host_.throwIfCancelled();
            if (!visit(i)) continue;
            std::vector<Number> next = references(i);
            waiting.insert(waiting.end(), next.rbegin(), next.rend());
        }
    }

    void markShapes() {
        for (Number i = 1; i <= model_->NbEntities(); i++) {
            const Handle(Standard_Transient) entity = model_->Value(i);
            if (entity->IsKind(STANDARD_TYPE(StepShape_ShapeDefinitionRepresentation)) ||
                entity->IsKind(STANDARD_TYPE(StepShape_ContextDependentShapeRepresentation)) ||
                entity->IsKind(STANDARD_TYPE(StepRepr_NextAssemblyUsageOccurrence)) ||
                entity->IsKind(STANDARD_TYPE(StepBasic_ProductRelatedProductCategory)))
                walk(i, [&](Number n) { return !shape_[n] && (shape_[n] = true); });
        }
    }

    Number firstShape(Number root) {
        Number first = model_->NbEntities() + 1;
        std::vector<Number> seen;
        walk(root, [&](Number n) {
            if (shape_[n]) {
                first = std::min(first, n);
                return false;
            }
            if (done_[n]) return false;
            seen.push_back(n);
            return static_cast<bool>(done_[n] = true);
        });
        for (Number n : seen) done_[n] = false;
        return first;
    }

    void append(Number root, std::vector<Handle(Standard_Transient)> &result) {
        walk(root, [&](Number n) {
            if (done_[n]) return false;
            done_[n] = true;
            result.push_back(model_->Value(n));
            return true;
        });
    }

    Handle(Interface_InterfaceModel) model_;
    const Interface_Graph &graph_;
    const Host &host_;
    std::vector<bool> shape_, done_;
};

Handle(TCollection_HAsciiString) text(const std::string &value) { return new TCollection_HAsciiString(value.c_str()); }

// "Open CASCADE STEP translator 7.6 3.1": a product without a name gets such a one. Files that OpenCASCADE wrote
// have them as names of the input, which stay.
bool isGenerated(const std::string &name, const std::set<std::string> &names) {
    const std::string begin = "Open CASCADE STEP translator " OCC_VERSION_STRING " ";
    return name.rfind(begin, 0) == 0 && name.find_first_not_of("0123456789.", begin.size()) == std::string::npos && names.count(name) == 0;
}

// The counters: of a product without a name, and the id of an occurrence.
void numberProducts(const Handle(StepData_StepModel) &model, const std::set<std::string> &names) {
    Number unnamed = 0, occurrences = 0;
    for (Number i = 1; i <= model->NbEntities(); i++) {
        const auto occurrence = Handle(StepRepr_NextAssemblyUsageOccurrence)::DownCast(model->Value(i));
        if (!occurrence.IsNull()) occurrence->SetId(text(std::to_string(++occurrences)));
        const Handle(StepBasic_Product) product = Handle(StepBasic_Product)::DownCast(model->Value(i));
        if (product.IsNull() || product->Name().IsNull()) continue;
        if (!isGenerated(product->Name()->ToCString(), names)) continue;
        const Handle(TCollection_HAsciiString) name = text("part-" + std::to_string(++unnamed));
        product->SetName(name);
        product->SetId(name);
    }
}

} // namespace

void orderStep(const Handle(XSControl_WorkSession) &session, const std::set<std::string> &names, const Host &host) {
    session->ComputeGraph(Standard_True);
    host.throwIfCancelled();
    const Handle(StepData_StepModel) model = Handle(StepData_StepModel)::DownCast(session->Model());
    numberProducts(model, names);
    const std::vector<Handle(Standard_Transient)> entities = Order(model, session->Graph(), host).sorted();
    model->ClearEntities();
    model->Reservate(static_cast<Number>(entities.size()));
    for (const auto &entity : entities) model->AddEntity(entity);
}

// Names and colours come last, in the order of the entities that refer to them.
void orderIges(const Handle(IGESData_IGESModel) &model) {
    const Interface_Graph graph(model, IGESSelect_WorkLibrary::DefineProtocol());
    std::vector<Handle(Standard_Transient)> entities;
    std::vector<std::tuple<std::string, Number, Number>> attributes;
    for (Number i = 1; i <= model->NbEntities(); i++) {
        const Handle(Standard_Transient) entity = model->Value(i);
        if (!entity->IsKind(STANDARD_TYPE(IGESGraph_Color)) && !entity->IsKind(STANDARD_TYPE(IGESBasic_Name))) {
            entities.push_back(entity);
            continue;
        }
        Number first = model->NbEntities() + 1;
        Interface_EntityIterator it = graph.Sharings(entity);
        for (it.Start(); it.More(); it.Next()) first = std::min(first, model->Number(it.Value()));
        attributes.emplace_back(entity->DynamicType()->Name(), first, i);
    }
    std::sort(attributes.begin(), attributes.end());
    for (const auto &each : attributes) entities.push_back(model->Value(std::get<2>(each)));
    model->ClearEntities();
    model->Reservate(static_cast<Number>(entities.size()));
    for (const auto &entity : entities) model->AddEntity(entity);
}

} // namespace occt
