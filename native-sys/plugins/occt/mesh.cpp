// Owns the triangles. The deflection is relative to the size of the model unless it is given: a fixed one is
// wrong for a watch and for a ship. A face without triangles would be a hole in the output.
#include "messages.hpp"
#include "model.hpp"

#include <BRepBndLib.hxx>
#include <BRepMesh_IncrementalMesh.hxx>
#include <BRepTools.hxx>
#include <BRep_Tool.hxx>
#include <Bnd_Box.hxx>
#include <OSD_Parallel.hxx>
#include <OSD_ThreadPool.hxx>
#include <TopExp.hxx>
#include <TopTools_IndexedMapOfShape.hxx>
#include <TopoDS.hxx>

#include <cmath>
#include <cstdio>
#include <string>

namespace occt {
namespace {

constexpr double kFinest = 1e-6; // Of the diagonal. Below, meshing takes hours and gigabytes.
constexpr double kLeast = 1e-7;  // In mm. OpenCASCADE takes what is closer for the same.

// OpenCASCADE's own pool, bounded by the host, instead of TBB, which counts processors by itself.
class Threads {
public:
    explicit Threads(int n) {
        OSD_Parallel::SetUseOcctThreads(Standard_True);
        const Handle(OSD_ThreadPool) &pool = OSD_ThreadPool::DefaultPool(n);
        if (pool->NbThreads() != n) pool->Init(n);
    }
    // Joins them (rule R9).
    ~Threads() { OSD_ThreadPool::DefaultPool(1)->Init(1); }
    Threads(const Threads &) = delete;
    Threads &operator=(const Threads &) = delete;
};

std::string digits(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

void verify(const Job &job, const TopoDS_Shape &shape) {
    TopTools_IndexedMapOfShape faces;
    TopExp::MapShapes(shape, TopAbs_FACE, faces);
    uint64_t bare = 0;
    for (Standard_Integer i = 1; i <= faces.Extent(); i++) {
        TopLoc_Location location;
        const Handle(Poly_Triangulation) triangles = BRep_Tool::Triangulation(TopoDS::Face(faces(i)), location);
        if (triangles.IsNull() || triangles->NbTriangles() == 0) bare++;
    }
    if (bare == 0) return;
    Findings findings;
    findings.missing(count(bare, "face") + " of " + std::to_string(faces.Extent()) + " got no triangles; heal=fix may help");
    findings.settle(job);
}

} // namespace

double meshModel(const Job &job, const Model &model) {
    const TopoDS_Shape shape = wholeShape(model.document);
    Bnd_Box box;
    BRepBndLib::Add(shape, box, Standard_False);
    const double diagonal = box.IsVoid() ? 0 : std::sqrt(box.SquareExtent());
    if (!(diagonal > 0) || !std::isfinite(diagonal)) reject("the model has no extent");
    const double deflection = job.options.deflection.value_or(job.options.relativeDeflection * diagonal);
    if (deflection < kFinest * diagonal)
        fail(CADMILL_UNFIT, "deflection=" + digits(deflection) + " is too fine for this model, whose diagonal is " + digits(diagonal) +
                                " mm; the least for it is a millionth of that, deflection=" + digits(kFinest * diagonal * 1.001));
    if (deflection < kLeast)
        fail(CADMILL_UNFIT, "deflection=" + digits(deflection) + " is below the least that OpenCASCADE knows, deflection=1e-07; the model's diagonal is " + digits(diagonal) +
                                " mm, so give input-unit= if its numbers are in another unit, or that deflection");

    BRepTools::Clean(shape);
    const Threads threads(job.host.threads());
    IMeshTools_Parameters parameters;
    parameters.Deflection = deflection;
    parameters.Angle = job.options.angle.value_or(job.options.qualityAngle);
    parameters.InParallel = job.host.threads() > 1;
    Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_WORK, 0.7, 0.9);
    BRepMesh_IncrementalMesh mesh(shape, parameters, progress->Start());
    job.host.throwIfCancelled();
    verify(job, shape);
    return deflection;
}

} // namespace occt
