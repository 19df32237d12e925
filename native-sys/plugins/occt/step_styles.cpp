// Owns the check of what gives shapes their colour: from STYLED_ITEM down to COLOUR_RGB. OpenCASCADE 7.6 reads a
// reference to nothing as a null pointer, and follows it outside of any try block when it collects the colours
// (STEPConstruct_Styles::GetColors).
#include "step_styles.hpp"
#include "step_verify.hpp"

#include <Interface_Check.hxx>
#include <Interface_InterfaceModel.hxx>
#include <StepRepr_MappedItem.hxx>
#include <StepVisual_Colour.hxx>
#include <StepVisual_ColourRgb.hxx>
#include <StepVisual_CurveStyle.hxx>
#include <StepVisual_FillAreaStyle.hxx>
#include <StepVisual_FillAreaStyleColour.hxx>
#include <StepVisual_FillStyleSelect.hxx>
#include <StepVisual_HArray1OfInvisibleItem.hxx>
#include <StepVisual_HArray1OfPresentationStyleAssignment.hxx>
#include <StepVisual_Invisibility.hxx>
#include <StepVisual_PreDefinedColour.hxx>
#include <StepVisual_PreDefinedItem.hxx>
#include <StepVisual_PresentationLayerAssignment.hxx>
#include <StepVisual_PresentationStyleAssignment.hxx>
#include <StepVisual_PresentationStyleSelect.hxx>
#include <StepVisual_StyledItem.hxx>
#include <StepVisual_SurfaceSideStyle.hxx>
#include <StepVisual_SurfaceStyleBoundary.hxx>
#include <StepVisual_SurfaceStyleElementSelect.hxx>
#include <StepVisual_SurfaceStyleFillArea.hxx>
#include <StepVisual_SurfaceStyleRendering.hxx>
#include <StepVisual_SurfaceStyleUsage.hxx>
#include <TCollection_HAsciiString.hxx>

#include <string>

namespace occt {
namespace {

using Entity = Standard_Transient *;

// Finds the entity in which the chain of a style breaks: one that could not be loaded whole, or that refers to
// nothing where OpenCASCADE does not look. Null if there is none.
class Chain {
public:
    explicit Chain(const Handle(Interface_InterfaceModel) &model) : model_(model) {}

    Entity broken(const Handle(StepVisual_StyledItem) &item) const {
        Entity found = failed(item);
        for (int i = 1; !found && i <= item->NbStyles(); i++) {
            const Handle(StepVisual_PresentationStyleAssignment) assignment = item->StylesValue(i);
            found = assignment.IsNull() ? item.get() : failed(assignment);
            for (int j = 1; !found && j <= (assignment.IsNull() ? 0 : assignment->NbStyles()); j++) {
                const StepVisual_PresentationStyleSelect style = assignment->StylesValue(j);
                if (!style.SurfaceStyleUsage().IsNull()) found = surface(style.SurfaceStyleUsage());
                else if (!style.CurveStyle().IsNull()) found = curve(style.CurveStyle());
            }
        }
        return found;
    }

private:
    // Names are mandatory, and often missing in sound files.
    template <class Type> Entity failed(const Handle(Type) &entity) const {
        const Handle(Interface_Check) check = model_->Check(model_->Number(entity), Standard_True);
        for (int i = 1; !check.IsNull() && i <= check->NbFails(); i++)
            if (std::string(check->CFail(i)).find("(name)") == std::string::npos) return entity.get();
        return nullptr;
    }

    Entity surface(const Handle(StepVisual_SurfaceStyleUsage) &usage) const {
        const Handle(StepVisual_SurfaceSideStyle) side = usage->Style();
        Entity found = side.IsNull() ? usage.get() : failed(usage);
        if (!found) found = failed(side);
        for (int i = 1; !found && i <= side->NbStyles(); i++) found = element(side->StylesValue(i));
        return found;
    }

    Entity element(const StepVisual_SurfaceStyleElementSelect &element) const {
        if (const Handle(StepVisual_SurfaceStyleFillArea) area = element.SurfaceStyleFillArea(); !area.IsNull())
            return area->FillArea().IsNull() ? area.get() : fill(area->FillArea());
        if (const Handle(StepVisual_SurfaceStyleBoundary) boundary = element.SurfaceStyleBoundary(); !boundary.IsNull())
            return boundary->StyleOfBoundary().IsNull() ? boundary.get() : curve(boundary->StyleOfBoundary());
        const Handle(StepVisual_SurfaceStyleRendering) rendering = element.SurfaceStyleRendering();
        if (rendering.IsNull()) return nullptr;
        const Entity found = failed(rendering);
        return found || rendering->SurfaceColour().IsNull() ? found : colour(rendering->SurfaceColour());
    }

    Entity fill(const Handle(StepVisual_FillAreaStyle) &style) const {
        Entity found = failed(style);
        for (int i = 1; !found && i <= style->NbFillStyles(); i++) {
            const Handle(StepVisual_FillAreaStyleColour) fill = style->FillStylesValue(i).FillAreaStyleColour();
            if (fill.IsNull()) return style.get();
            found = fill->FillColour().IsNull() ? fill.get() : colour(fill->FillColour());
        }
        return found;
    }

    Entity curve(const Handle(StepVisual_CurveStyle) &style) const { return style->CurveColour().IsNull() ? nullptr : colour(style->CurveColour()); }

    Entity colour(const Handle(StepVisual_Colour) &colour) const {
        if (const auto rgb = Handle(StepVisual_ColourRgb)::DownCast(colour); !rgb.IsNull()) {
            // OpenCASCADE divides by the greatest part if one exceeds 1.
            const auto isPart = [](double part) { return part >= 0 && part < 1e9; };
            return isPart(rgb->Red()) && isPart(rgb->Green()) && isPart(rgb->Blue()) ? failed(rgb) : colour.get();
        }
        const auto named = Handle(StepVisual_PreDefinedColour)::DownCast(colour);
        const bool hasName = named.IsNull() || (!named->GetPreDefinedItem().IsNull() && !named->GetPreDefinedItem()->Name().IsNull());
        return hasName ? failed(colour) : colour.get();
    }

    Handle(Interface_InterfaceModel) model_;
};

// Annotations and their texts are styled as well, and get into few outputs.
bool isOfShape(const Handle(StepVisual_StyledItem) &style) {
    const Handle(Standard_Transient) item = style->ItemAP242().Value();
    return item.IsNull() || std::string(item->DynamicType()->Name()).rfind("StepShape_", 0) == 0 || item->IsKind(STANDARD_TYPE(StepRepr_MappedItem));
}

} // namespace

void verifyStyles(const Job &job, const Handle(XSControl_WorkSession) &session, Findings &findings) {
    const Handle(Interface_InterfaceModel) model = session->Model();
    const Chain chain(model);
    uint64_t styles = 0, others = 0;
    std::string firstStyle, firstOther;
    const auto other = [&](const Handle(Standard_Transient) &entity) {
        if (others++ == 0) firstOther = nameOfEntity(model, entity);
    };
    for (Standard_Integer i = 1; i <= model->NbEntities(); i++) {
        const Handle(Standard_Transient) entity = model->Value(i);
        if (const auto item = Handle(StepVisual_StyledItem)::DownCast(entity); !item.IsNull()) {
            const Entity at = chain.broken(item);
            if (!at) continue;
            item->SetStyles(new StepVisual_HArray1OfPresentationStyleAssignment(1, 1)); // Null, where OpenCASCADE looks.
            if (!isOfShape(item)) other(item);
            else if (styles++ == 0) firstStyle = nameOfEntity(model, item) + " at " + nameOfEntity(model, at);
        } else if (const auto hidden = Handle(StepVisual_Invisibility)::DownCast(entity); !hidden.IsNull() && hidden->InvisibleItems().IsNull()) {
            hidden->SetInvisibleItems(new StepVisual_HArray1OfInvisibleItem(1, 1));
            other(hidden);
        } else if (const auto layer = Handle(StepVisual_PresentationLayerAssignment)::DownCast(entity); !layer.IsNull() && layer->Name().IsNull()) {
            layer->SetName(new TCollection_HAsciiString(""));
            other(layer);
        }
    }
    const auto first = [](uint64_t n, const std::string &name) { return (n == 1 ? ": " : ", the first of them ") + name; };
    if (styles > 0) findings.missing(count(styles, "style of a shape", "styles of shapes") + " cannot be read" + first(styles, firstStyle));
    if (others > 0)
        job.host.loss(count(others, "style, layer or list of hidden items", "styles, layers or lists of hidden items") + " cannot be read" + first(others, firstOther));
}

} // namespace occt
