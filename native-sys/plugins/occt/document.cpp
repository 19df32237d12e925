// Owns the document in memory (XDE): making it, its global parameters, changing its shapes in place, and the
// verdict on what is missing.
#include "document.hpp"

#include <BRepBuilderAPI_Transform.hxx>
#include <BRep_Builder.hxx>
#include <IGESControl_Controller.hxx>
#include <Interface_Static.hxx>
#include <STEPCAFControl_Controller.hxx>
#include <STEPControl_Controller.hxx>
#include <TDF_LabelSequence.hxx>
#include <TNaming_Builder.hxx>
#include <TopoDS_Compound.hxx>
#include <XCAFDoc_DocumentTool.hxx>
#include <XCAFDoc_Location.hxx>

#include <cmath>

namespace occt {

void Findings::settle(const Job &job) {
    if (all_.empty()) return;
    if (job.options.lenient) {
        for (const std::string &each : all_) job.host.loss(each);
        all_.clear();
        return;
    }
    reject(text() + ". lenient=yes converts what is left.");
}

void Findings::refuse() const {
    if (!all_.empty()) reject(text());
}

std::string Findings::text() const {
    std::string text = "the input is incomplete or damaged";
    size_t shown = 0;
    for (const std::string &each : all_)
        if (shown++ < 4) text += (shown == 1 ? ": " : "; ") + each;
    if (all_.size() > 4) text += "; and " + std::to_string(all_.size() - 4) + " more";
    return text;
}

Handle(TDocStd_Document) newDocument() {
    // Without an application: it would load drivers and resources for storing documents.
    Handle(TDocStd_Document) document = new TDocStd_Document("BinXCAF");
    XCAFDoc_DocumentTool::Set(document->Main(), Standard_False);
    XCAFDoc_ShapeTool::SetAutoNaming(Standard_False);
    XCAFDoc_DocumentTool::SetLengthUnit(document, 0.001);
    return document;
}

TopoDS_Shape wholeShape(const Handle(TDocStd_Document) &document) {
    TDF_LabelSequence labels;
    XCAFDoc_DocumentTool::ShapeTool(document->Main())->GetFreeShapes(labels);
    if (labels.Length() == 1) return XCAFDoc_ShapeTool::GetShape(labels.First());
    TopoDS_Compound compound;
    BRep_Builder builder;
    builder.MakeCompound(compound);
    for (const TDF_Label &label : labels) {
        const TopoDS_Shape shape = XCAFDoc_ShapeTool::GetShape(label);
        if (!shape.IsNull()) builder.Add(compound, shape);
    }
    return compound;
}

void changeShapes(const Handle(TDocStd_Document) &document, const ShapeChange &change) {
    const Handle(XCAFDoc_ShapeTool) tool = XCAFDoc_DocumentTool::ShapeTool(document->Main());
    TDF_LabelSequence labels;
    tool->GetShapes(labels);
    for (const TDF_Label &label : labels) {
        if (!XCAFDoc_ShapeTool::IsSimpleShape(label) || XCAFDoc_ShapeTool::IsReference(label)) continue;
        const TopoDS_Shape before = XCAFDoc_ShapeTool::GetShape(label);
        std::function<TopoDS_Shape(const TopoDS_Shape &)> descendant;
        const TopoDS_Shape after = change(before, descendant);
        if (after.IsNull() || after.IsSame(before)) continue;
        TDF_LabelSequence parts;
        XCAFDoc_ShapeTool::GetSubShapes(label, parts);
        std::vector<std::pair<TDF_Label, TopoDS_Shape>> changed;
        for (const TDF_Label &part : parts) changed.emplace_back(part, descendant(XCAFDoc_ShapeTool::GetShape(part)));
        tool->SetShape(label, after);
        for (const auto &each : changed)
            if (!each.second.IsNull()) TNaming_Builder(each.first).Generated(each.second);
    }
    tool->UpdateAssemblies();
}

void scaleModel(const Handle(TDocStd_Document) &document, double factor) {
    if (factor == 1.0) return;
    gp_Trsf scaling;
    scaling.SetScale(gp_Pnt(0, 0, 0), factor);
    const Handle(XCAFDoc_ShapeTool) tool = XCAFDoc_DocumentTool::ShapeTool(document->Main());
    TDF_LabelSequence labels;
    tool->GetShapes(labels);
    for (const TDF_Label &label : labels) {
        TDF_LabelSequence components;
        XCAFDoc_ShapeTool::GetComponents(label, components);
        for (const TDF_Label &component : components) {
            gp_Trsf placement = XCAFDoc_ShapeTool::GetLocation(component).Transformation();
            placement.SetTranslationPart(placement.TranslationPart() * factor);
            XCAFDoc_Location::Set(component, TopLoc_Location(placement));
        }
    }
    changeShapes(document, [&](const TopoDS_Shape &shape, auto &descendant) {
        auto transform = std::make_shared<BRepBuilderAPI_Transform>(shape, scaling, Standard_True);
        descendant = [transform](const TopoDS_Shape &part) { return transform->ModifiedShape(part); };
        return transform->Shape();
    });
}

void loadControllers() {
    STEPControl_Controller::Init();
    STEPCAFControl_Controller::Init();
    IGESControl_Controller::Init();
}

// All parameters that are used, on each conversion: the table is global and outlives a conversion.
void resetParameters(const Options &options) {
    const bool inch = std::string(options.unit.name) == "inch";
    const std::string unit = inch ? "INCH" : options.unit.millimetres == 1 ? "MM" : options.unit.millimetres == 10 ? "CM" : "M";
    Interface_Static::SetCVal("xstep.cascade.unit", "MM");
    Interface_Static::SetCVal("read.step.codepage", "UTF8"); // What StepStream gives it.
    Interface_Static::SetCVal("write.step.unit", unit.c_str());
    Interface_Static::SetCVal("write.iges.unit", unit.c_str());
    Interface_Static::SetCVal("write.step.schema", options.schema == "ap203" ? "AP203" : options.schema == "ap242" ? "AP242DIS" : "AP214IS");
    Interface_Static::SetIVal("write.iges.brep.mode", 1);
    Interface_Static::SetCVal("write.iges.header.author", "");
    Interface_Static::SetCVal("write.iges.header.company", "");
    Interface_Static::SetIVal("read.stepcaf.subshapes.name", 0); // See solid_names.cpp.
    Interface_Static::SetIVal("write.stepcaf.subshapes.name", 0);
}

} // namespace occt
