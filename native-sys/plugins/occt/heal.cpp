// Owns the option heal. fix repairs each part; sew also joins loose faces, and makes solids of the shells that
// close. What is sewn must hold as many faces as before: a face that sewing drops is a loss.
#include "document.hpp"
#include "messages.hpp"

#include <BRepBndLib.hxx>
#include <BRepBuilderAPI_Sewing.hxx>
#include <BRepClass3d.hxx>
#include <BRepLib.hxx>
#include <BRep_Builder.hxx>
#include <BRep_Tool.hxx>
#include <Bnd_Box.hxx>
#include <ShapeBuild_ReShape.hxx>
#include <ShapeFix_Shape.hxx>
#include <Quantity_ColorRGBA.hxx>
#include <TDF_LabelSequence.hxx>
#include <TDataStd_Name.hxx>
#include <TopExp.hxx>
#include <TopExp_Explorer.hxx>
#include <TopTools_IndexedMapOfShape.hxx>
#include <TopoDS.hxx>
#include <TopoDS_Compound.hxx>
#include <XCAFDoc_ColorTool.hxx>
#include <XCAFDoc_DocumentTool.hxx>

#include <algorithm>
#include <cmath>

namespace occt {
namespace {

int faces(const TopoDS_Shape &shape) {
    TopTools_IndexedMapOfShape map;
    TopExp::MapShapes(shape, TopAbs_FACE, map);
    return map.Extent();
}

double diagonalOf(const TopoDS_Shape &shape) {
    Bnd_Box box;
    BRepBndLib::Add(shape, box);
    return box.IsVoid() ? 1 : std::sqrt(box.SquareExtent());
}

bool isLoose(const TopoDS_Shape &shape) { return !TopExp_Explorer(shape, TopAbs_SOLID).More() && TopExp_Explorer(shape, TopAbs_FACE).More(); }

TopoDS_Shape fix(const TopoDS_Shape &shape, std::function<TopoDS_Shape(const TopoDS_Shape &)> &descendant, const Message_ProgressRange &range) {
    Handle(ShapeFix_Shape) fixer = new ShapeFix_Shape(shape);
    fixer->Perform(range);
    descendant = [fixer](const TopoDS_Shape &part) { return fixer->Context()->Apply(part); };
    return fixer->Shape();
}

TopoDS_Shape solidOf(const TopoDS_Shell &shell) {
    if (!BRep_Tool::IsClosed(shell)) return shell;
    TopoDS_Solid solid;
    BRep_Builder builder;
    builder.MakeSolid(solid);
    builder.Add(solid, shell);
    BRepLib::OrientClosedSolid(solid);
    return solid;
}

// Systems write gaps of very different widths: the wider tolerance only where the narrow one leaves edges open.
std::shared_ptr<BRepBuilderAPI_Sewing> sewn(const TopoDS_Shape &shape, const Job &job) {
    std::shared_ptr<BRepBuilderAPI_Sewing> best;
    for (const double part : {1e-5, 1e-4}) {
        auto sewing = std::make_shared<BRepBuilderAPI_Sewing>(std::max(1e-7, part * diagonalOf(shape)));
        for (TopExp_Explorer it(shape, TopAbs_FACE, TopAbs_SOLID); it.More(); it.Next()) sewing->Add(it.Current());
        Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_WORK, 0.6, 0.6);
        sewing->Perform(progress->Start());
        job.host.throwIfCancelled();
        const bool better = !best || (sewing->NbFreeEdges() < best->NbFreeEdges() && faces(sewing->SewedShape()) >= faces(best->SewedShape()));
        if (better) best = sewing;
        if (best->NbFreeEdges() == 0) break;
    }
    return best;
}

// Solids stay; all other faces are sewn together.
TopoDS_Shape sew(const TopoDS_Shape &shape, std::function<TopoDS_Shape(const TopoDS_Shape &)> &descendant, const Job &job) {
    descendant = [](const TopoDS_Shape &part) { return part; };
    if (!TopExp_Explorer(shape, TopAbs_FACE, TopAbs_SOLID).More()) return shape;
    const auto sewing = sewn(shape, job);
    const TopoDS_Shape joined = sewing->SewedShape();
    TopoDS_Compound result;
    BRep_Builder builder;
    builder.MakeCompound(result);
    for (TopExp_Explorer it(shape, TopAbs_SOLID); it.More(); it.Next()) builder.Add(result, it.Current());
    for (TopExp_Explorer it(joined, TopAbs_SHELL); it.More(); it.Next()) builder.Add(result, solidOf(TopoDS::Shell(it.Current())));
    for (TopExp_Explorer it(joined, TopAbs_FACE, TopAbs_SHELL); it.More(); it.Next()) builder.Add(result, it.Current());
    for (TopExp_Explorer it(shape, TopAbs_EDGE, TopAbs_FACE); it.More(); it.Next()) builder.Add(result, it.Current());
    descendant = [sewing](const TopoDS_Shape &part) { return sewing->IsModified(part) ? sewing->Modified(part) : sewing->ModifiedSubShape(part); };
    return result;
}

// IGES files hold each face as a part of its own. Sewing works within a part, so these become one, where the
// faces keep their colours and names.
void joinLooseParts(const Handle(TDocStd_Document) &document) {
    const Handle(XCAFDoc_ShapeTool) shapes = XCAFDoc_DocumentTool::ShapeTool(document->Main());
    const Handle(XCAFDoc_ColorTool) colours = XCAFDoc_DocumentTool::ColorTool(document->Main());
    TDF_LabelSequence free, loose;
    shapes->GetFreeShapes(free);
    for (const TDF_Label &label : free)
        if (XCAFDoc_ShapeTool::IsSimpleShape(label) && isLoose(XCAFDoc_ShapeTool::GetShape(label))) loose.Append(label);
    if (loose.Length() < 2) return;
    TopoDS_Compound whole;
    BRep_Builder builder;
    builder.MakeCompound(whole);
    for (const TDF_Label &label : loose) builder.Add(whole, XCAFDoc_ShapeTool::GetShape(label));
    const TDF_Label joined = shapes->AddShape(whole, Standard_False);
    for (const TDF_Label &label : loose) {
        Handle(TDataStd_Name) name;
        const bool named = label.FindAttribute(TDataStd_Name::GetID(), name) && !name->Get().IsEmpty();
        for (TopExp_Explorer it(XCAFDoc_ShapeTool::GetShape(label), TopAbs_FACE); it.More(); it.Next()) {
            Quantity_ColorRGBA colour;
            for (const XCAFDoc_ColorType kind : {XCAFDoc_ColorGen, XCAFDoc_ColorSurf})
                if (colours->GetColor(label, kind, colour)) colours->SetColor(shapes->AddSubShape(joined, it.Current()), colour, kind);
            if (named) TDataStd_Name::Set(shapes->AddSubShape(joined, it.Current()), name->Get());
        }
    }
    for (const TDF_Label &label : loose) shapes->RemoveShape(label);
}

} // namespace

void healModel(const Job &job, Model &model) {
    if (job.options.heal == Heal::No) return;
    const int before = faces(wholeShape(model.document));
    if (job.options.heal == Heal::Sew) joinLooseParts(model.document);
    changeShapes(model.document, [&](const TopoDS_Shape &shape, auto &descendant) {
        job.host.throwIfCancelled();
        // For cancelling. How many parts there are to come is not known, so the progress stands.
        if (job.options.heal == Heal::Sew) return sew(shape, descendant, job);
        Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_WORK, 0.6, 0.6);
        return fix(shape, descendant, progress->Start());
    });
    job.host.throwIfCancelled();
    const int after = faces(wholeShape(model.document));
    if (after < before)
        job.host.loss(std::string("heal=") + (job.options.heal == Heal::Fix ? "fix" : "sew") + " left " +
                      count(static_cast<uint64_t>(before - after), "face") + " out of " + std::to_string(before));
}

} // namespace occt
