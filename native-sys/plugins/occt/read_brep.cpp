// Owns reading BREP, OpenCASCADE's own format. The file numbers its shapes; all of them must have been used.
#include "brep_scale.hpp"
#include "messages.hpp"
#include "model.hpp"
#include "signals.hpp"

#include <BRepTools.hxx>
#include <BRep_Builder.hxx>
#include <TopExp.hxx>
#include <TopTools_IndexedMapOfShape.hxx>
#include <TopoDS_Iterator.hxx>
#include <XCAFDoc_DocumentTool.hxx>
#include <XCAFDoc_ShapeTool.hxx>

#include <fstream>
#include <map>
#include <unordered_set>

namespace occt {
namespace {

// The shapes that the file announces ("TShapes 812") and those that it holds, by their two letters.
struct BrepScan {
    uint64_t announced = 0;
    std::map<std::string, uint64_t> shapes;
};

BrepScan scanBrep(const std::string &path, const Host &host) {
    static const std::unordered_set<std::string> kinds{"Ve", "Ed", "Wi", "Fa", "Sh", "So", "CS", "Co"};
    std::ifstream file(path, std::ios::binary);
    if (!file) reject("the input cannot be opened");
    BrepScan scan;
    bool inShapes = false;
    uint64_t lines = 0;
    for (std::string line; std::getline(file, line);) {
        if ((++lines & 0xFFFF) == 0) host.throwIfCancelled();
        while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
        if (!inShapes && line.compare(0, 8, "TShapes ") == 0) {
            scan.announced = std::strtoull(line.c_str() + 8, nullptr, 10);
            inShapes = true;
        } else if (inShapes && line.size() == 2 && kinds.count(line)) {
            scan.shapes[line]++;
        }
    }
    if (!inShapes) reject("not a BREP file in text form, or cut off before its shapes");
    return scan;
}

// What a file holds, by kind.
struct Held {
    std::map<std::string, uint64_t> shapes;
    // Parts of solids, shells, faces, wires and edges which a compound holds as well.
    uint64_t doubled = 0;
};

Held heldBy(const TopoDS_Shape &shape) {
    static const char *const names[] = {"Co", "CS", "So", "Sh", "Fa", "Wi", "Ed", "Ve"};
    Held held;
    std::unordered_set<const TopoDS_TShape *> seen, parts, loose;
    std::vector<TopoDS_Shape> waiting{shape};
    while (!waiting.empty()) {
        const TopoDS_Shape each = waiting.back();
        waiting.pop_back();
        if (each.IsNull() || !seen.insert(each.TShape().get()).second) continue;
        held.shapes[names[each.ShapeType()]]++;
        for (TopoDS_Iterator it(each, Standard_False, Standard_False); it.More(); it.Next()) {
            waiting.push_back(it.Value());
            if (it.Value().ShapeType() > TopAbs_SOLID) (each.ShapeType() == TopAbs_COMPOUND ? loose : parts).insert(it.Value().TShape().get());
        }
    }
    for (const TopoDS_TShape *each : loose) held.doubled += parts.count(each);
    return held;
}

} // namespace

Model readBrep(const Job &job) {
    Findings findings;
    const BrepScan scan = scanBrep(job.request->input, job.host);
    uint64_t defined = 0;
    for (const auto &kind : scan.shapes) defined += kind.second;
    if (defined != scan.announced)
        findings.missing("the file announces " + count(scan.announced, "shape") + " and holds " + std::to_string(defined));
    findings.settle(job);

    std::ifstream file(job.request->input, std::ios::binary);
    TopoDS_Shape shape;
    BRep_Builder builder;
    Handle(Progress) progress = new Progress(job.host, CADMILL_STAGE_READ, 0, 0.5);
    // The reader loops for ever over a stream that has failed, so the stream throws.
    file.exceptions(std::ios::failbit | std::ios::badbit);
    try {
        BRepTools::Read(shape, file, builder, progress->Start());
    } catch (const std::ios_base::failure &) {
        job.host.throwIfCancelled();
        reject("the file is malformed: a number or a word is not where OpenCASCADE expects it");
    }
    job.host.throwIfCancelled();
    if (shape.IsNull()) reject("the file has no shape");
    Held held = heldBy(shape);
    for (const auto &kind : scan.shapes)
        if (held.shapes[kind.first] < kind.second)
            findings.missing(std::to_string(kind.second - held.shapes[kind.first]) + " of " + count(kind.second, "shape") + " of kind '" +
                             kind.first + "' is not part of the model");
    // A solid that was used several times is missing once without being unused. Where it was, a damaged reference
    // leads to another shape, which is most often a part of one.
    if (held.doubled > 0)
        findings.missing(count(held.doubled, "part of a shape lies", "parts of shapes lie") + " in a compound as well, in place of another shape");
    if (SignalGuard::caught() > 0) findings.missing(count(SignalGuard::caught(), "invalid memory access", "invalid memory accesses") + " while reading");
    findings.settle(job);

    Model model;
    model.document = newDocument();
    XCAFDoc_DocumentTool::ShapeTool(model.document->Main())->AddShape(withoutScales(job, shape), Standard_False);
    return model;
}

} // namespace occt
