// Owns names=solid. Some systems name the bodies (MANIFOLD_SOLID_BREP) and put one product around all.
//
// The names come from the entities. OpenCASCADE's own read.stepcaf.subshapes.name, which would put them into
// the document, follows a null pointer on sound files (7.6.3: io1-cm-214.stp), outside of any try block.
#include "solid_names.hpp"

#include <Interface_InterfaceModel.hxx>
#include <StepShape_ManifoldSolidBrep.hxx>
#include <TCollection_HAsciiString.hxx>
#include <TDF_LabelSequence.hxx>
#include <TDataStd_Name.hxx>
#include <TopExp_Explorer.hxx>
#include <TransferBRep.hxx>
#include <Transfer_TransientProcess.hxx>
#include <XCAFDoc_DocumentTool.hxx>
#include <XCAFDoc_ShapeTool.hxx>
#include <XSControl_TransferReader.hxx>

namespace occt {
namespace {

int solidsIn(const TopoDS_Shape &shape) {
    int n = 0;
    for (TopExp_Explorer it(shape, TopAbs_SOLID); it.More(); it.Next()) n++;
    return n;
}

TDF_LabelSequence simpleShapes(const Handle(XCAFDoc_ShapeTool) &tool) {
    TDF_LabelSequence all, simple;
    tool->GetShapes(all);
    for (const TDF_Label &label : all)
        if (XCAFDoc_ShapeTool::IsSimpleShape(label) && !XCAFDoc_ShapeTool::IsReference(label)) simple.Append(label);
    return simple;
}

} // namespace

void collectSolidNames(const Handle(XSControl_WorkSession) &session, Model &model) {
    const Handle(Interface_InterfaceModel) entities = session->Model();
    const Handle(Transfer_TransientProcess) process = session->TransferReader()->TransientProcess();
    for (Standard_Integer i = 1; i <= entities->NbEntities(); i++) {
        const Handle(StepShape_ManifoldSolidBrep) solid = Handle(StepShape_ManifoldSolidBrep)::DownCast(entities->Value(i));
        if (solid.IsNull() || solid->Name().IsNull() || solid->Name()->IsEmpty()) continue;
        for (TopExp_Explorer it(TransferBRep::ShapeResult(process, solid), TopAbs_SOLID); it.More(); it.Next())
            model.solidNames[it.Current().TShape().get()] = solid->Name()->ToCString();
    }
}

void nameAfterSolids(const Model &model) {
    const Handle(XCAFDoc_ShapeTool) tool = XCAFDoc_DocumentTool::ShapeTool(model.document->Main());
    for (const TDF_Label &label : simpleShapes(tool))
        if (solidsIn(XCAFDoc_ShapeTool::GetShape(label)) > 1) tool->Expand(label);
    tool->UpdateAssemblies();
    for (const TDF_Label &label : simpleShapes(tool)) {
        for (TopExp_Explorer it(XCAFDoc_ShapeTool::GetShape(label), TopAbs_SOLID); it.More(); it.Next()) {
            const auto name = model.solidNames.find(it.Current().TShape().get());
            if (name != model.solidNames.end())
                TDataStd_Name::Set(label, TCollection_ExtendedString(name->second.c_str(), Standard_True));
        }
    }
}

} // namespace occt
